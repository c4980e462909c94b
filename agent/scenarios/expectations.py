"""Compares a call with what was expected of it, one `Check` for each thing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise

from agent.scenarios.caller_script import CallerScript
from agent.scenarios.figures import percentile
from agent.scenarios.outcome import AgentTurn, Check, Speaker
from agent.scenarios.scenario import Expectations, ItemExpectation, ToolExpectation
from agent.scenarios.service_facts import ServiceFacts, ToolRun
from agent.scenarios.spoken_numbers import numbers_in
from agent.simulator.simulated_call import TwilioCall
from agent.simulator.talk_cycles import Departure, TalkCycle

_SHORT = 12
"""Characters of an answer that may well be given twice, such as "One moment."."""
_UNHEARD_SECONDS = 2.0
"""Of a goodbye that need not have been played when the server ends the session."""
_OUTCOMES = {
    "the caller hung up": "hung-up", "the server hung up": "ended", "transferred": "transferred",
    "refused": "refused", "failed": "failed",
}  # fmt: skip


async def judge(script: CallerScript, facts: ServiceFacts | None) -> list[Check]:
    """All checks of a call that is over; those that need the table only where there is one."""
    expects = script.scenario.expects
    checks = [*_manners(script), *_words(script, expects), *_ending(script, expects)]
    if facts is not None:
        await facts.settle()
        sids = script.call.fields["CallSid"]
        runs = await facts.tools(sids)
        checks += [*_tools(runs, expects), *await _table(facts, expects, _words_of_caller(script))]
        checks += await _heard(script, facts, sids)
        if expects.tokens:
            used = await facts.tokens(sids)
            checks.append(_check("cost", used <= expects.tokens, f"{used} tokens"))
    return checks


def unchecked(expects: Expectations) -> list[str]:
    """The names of the checks that only the service's own table can answer."""
    names = [f"tool {each.name}" for each in expects.tools]
    names += [f"table {each.sk}" for each in expects.table]
    names += ["messages"] if expects.messages is not None else []
    return names + (["cost"] if expects.tokens else [])


def is_believed(heard: str, said: Sequence[str]) -> bool:
    """Whether some answers in a row are together what was heard since the caller's last words.

    The last word may be half a word, which counts as not heard.
    """
    wanted = {_plain(heard), _plain(" ".join(heard.split()[:-1]))}
    ends = range(len(said) + 1)
    return "" in wanted or any(
        _plain(" ".join(said[begin:end])) in wanted for end in ends for begin in range(end)
    )


def turns_of(script: CallerScript) -> list[AgentTurn]:
    """The answers of the agent, in order, on all sessions."""
    return [turn for session in sessions_of(script) for turn in _turns(script, session)]


def _manners(script: CallerScript) -> Iterator[Check]:
    faults = Counter(fault.kind.value for fault in script.call.departures)
    details = {fault.kind.value: fault.detail for fault in script.call.departures}
    for session in sessions_of(script):
        for fault in session.ledger.departures:
            faults[fault.kind.value] += 1
            details.setdefault(fault.kind.value, fault.detail)
    yield _check("protocol", not faults)
    for kind, times in sorted(faults.items()):
        detail, is_harmful = f"{times} times, {details[kind]}", kind == Departure.HUNG_UP_ON
        yield Check(f"protocol: {kind}", is_met=False, detail=detail, is_harmful=is_harmful)
    yield _check("script", not script.faults, "; ".join(script.faults))
    longest = max([turn.wait for turn in turns_of(script)] + script.silences, default=0.0)
    is_quick = longest <= script.scenario.expects.dead_air
    yield Check("dead air", is_quick, f"{longest:.1f} s", is_harmful=not is_quick)
    yield Check(
        "answer without an end",
        is_met=not script.dead_ends,
        detail="; ".join(script.dead_ends),
        is_harmful=bool(script.dead_ends),
    )
    yield from _first_and_last_words(script)
    doubled = [text for session in sessions_of(script) for text in _doubled(session)]
    yield _check("double answer", not doubled, "; ".join(doubled))


def _first_and_last_words(script: CallerScript) -> Iterator[Check]:
    """The agent greets, and ends the call when its goodbye was heard."""
    sessions = list(sessions_of(script))
    for first in sessions[:1]:
        until = first.session.began_at + script.scenario.expects.dead_air
        begins = any(cycle.opened_at < until for cycle in first.ledger.cycles[:1])
        is_greeted = begins or "welcomeGreeting" in first.relay.attributes
        yield _check("greeting", is_greeted, "the agent does not speak first")
    unheard = max((each.session.unheard_at_end for each in sessions), default=0.0)
    yield _check("goodbye heard", unheard < _UNHEARD_SECONDS, f"{unheard:.1f} s were not played")


def _doubled(session: TwilioCall) -> Iterator[str]:
    """Answers to one turn that are equal."""
    for one, other in pairwise(session.ledger.cycles):
        same = _plain(one.text) == _plain(other.text) and len(_plain(one.text)) > _SHORT
        if one.turn == other.turn and same and one.cut_at is None:
            yield one.text.strip()


def _words(script: CallerScript, expects: Expectations) -> Iterator[Check]:
    sent, heard = "\n".join(_sent(script)), "\n".join(_heard_texts(script))
    for pattern in expects.said:
        found = re.search(pattern, heard, re.IGNORECASE)
        detail = "sent, and not heard" if re.search(pattern, sent, re.IGNORECASE) else ""
        yield _check(f"said {pattern!r}", found is not None, detail)
    for pattern in expects.never_said:
        found = re.search(pattern, sent, re.IGNORECASE)
        detail = "" if found is None else f"said {found[0]!r}"
        yield _check(f"never said {pattern!r}", found is None, detail)
    if expects.numbers:
        said = set(numbers_in(heard))
        for number in expects.numbers:
            yield _check(f"number {number:g}", number in said)
    if expects.language:
        yield _language(script, expects.language)
    if expects.first_words and (waits := sorted(turn.wait for turn in turns_of(script))):
        slowest = percentile(waits, 0.95)
        yield _check("first words", slowest <= expects.first_words, f"{slowest:.2f} s")


def _language(script: CallerScript, language: str) -> Check:
    """The language of the voice for the last answer."""
    sessions = list(sessions_of(script))
    cycles = sessions[-1].ledger.cycles if sessions else []
    of_session = sessions[-1].session.languages[-1] if sessions else ""
    spoken = (cycles[-1].language if cycles else "") or of_session or "en-US"
    return _check(
        "language", spoken.split("-")[0] == language.split("-", maxsplit=1)[0], f"spoken: {spoken}"
    )


def _ending(script: CallerScript, expects: Expectations) -> Iterator[Check]:
    outcome = script.call.outcome
    came = _OUTCOMES[outcome.value] if outcome is not None else "none"
    if expects.outcome:
        detail = f"{came} {script.call.detail}".strip()
        yield _check("outcome", came == expects.outcome, detail)
    elif came == "failed":
        yield Check("outcome", is_met=False, detail=script.call.detail, is_harmful=True)
    if expects.transfer_to:
        people = [verb.text for verb in script.call.verbs if verb.kind in {"dial", "enqueue"}]
        yield _check("transfer", any(expects.transfer_to in each for each in people))


def _tools(runs: list[ToolRun], expects: Expectations) -> Iterator[Check]:
    open_runs = [run.name for run in runs if not run.result]
    yield _check("tool without a result", not open_runs, ", ".join(open_runs))
    for expected in expects.tools:
        times = sum(_is_that_run(run, expected) for run in runs)
        wanted = times == expected.times if expected.times is not None else times > 0
        yield _check(f"tool {expected.name}", wanted, f"{times} times")


def _is_that_run(run: ToolRun, expected: ToolExpectation) -> bool:
    if run.name != expected.name or run.is_error:
        return False
    return all(_fits(_at(run.arguments, path), value) for path, value in expected.arguments.items())


def _words_of_caller(script: CallerScript) -> set[str]:
    lines = (line.text for line in script.own_lines if line.speaker is Speaker.CALLER)
    return {word for text in lines for word in _plain(text).split()}


async def _table(
    facts: ServiceFacts, expects: Expectations, caller_words: Container[str]
) -> list[Check]:
    checks = []
    for expected in expects.table:
        items = await facts.items(*expected.key)
        right = sum(_is_that_item(item, expected) for item in items)
        is_met = right == expected.times == len(items)
        detail = f"{right} as expected, {len(items)} in all, {expected.times} wanted"
        before = {str(item["sk"]): item for item in await facts.items_before(*expected.key)}
        is_doubled = len(items) > max(expected.times, len(before))
        is_harmful = is_doubled or any(
            _is_false(item, before.get(str(item["sk"])), expected, caller_words) for item in items
        )
        name = f"table {expected.sk}"
        checks.append(Check(name, is_met, detail, is_harmful=is_harmful))
    if expects.messages is not None:
        sent = await facts.messages()
        for message in expects.messages:
            times = sum(
                each.channel == message.channel
                and each.to == message.to
                and re.search(message.matches, each.text, re.IGNORECASE) is not None
                for each in sent
            )
            name = f"message by {message.channel}"
            checks.append(
                Check(
                    name, times == message.times, f"{times} sent", is_harmful=times > message.times
                )
            )
        wanted = sum(message.times for message in expects.messages)
        too_many = len(sent) > wanted
        checks.append(Check("messages", not too_many, f"{len(sent)} sent", is_harmful=too_many))
    return checks


async def _heard(script: CallerScript, facts: ServiceFacts, call_sid: str) -> list[Check]:
    """What the service believes that the caller has heard of a broken answer."""
    cuts = [text for session in sessions_of(script) for _, text in session.session.cuts]
    said = [text for text, _ in await facts.said(call_sid)]
    wrong = [text for text in cuts if not is_believed(text, said)]
    return [_check("heard text", not wrong, "; ".join(wrong))] if cuts else []


def _is_that_item(item: Mapping[str, object], expected: ItemExpectation) -> bool:
    return all(_fits(_at(item, path), value) for path, value in expected.where.items())


def _is_false(
    item: Mapping[str, object],
    known: Mapping[str, object] | None,
    expected: ItemExpectation,
    caller_words: Container[str],
) -> bool:
    """Whether something else than expected was written.

    In an item that was there before (`known`), what is missing is not false, nor what the caller
    has said and changed later.
    """
    if known is None:
        return not _is_that_item(item, expected)
    values = ((_at(item, path), _at(known, path), value) for path, value in expected.where.items())
    return any(
        now not in (None, was) and not _fits(now, value) and _first_word(now) not in caller_words
        for now, was, value in values
    )


def _first_word(value: object) -> str:
    """In small letters; that of `restaurantOrdering` is `restaurant`."""
    found = re.search(r"[A-Z]?[a-z]+|\w+", str(value))
    return found[0].casefold() if found else ""


def _at(value: object, path: str) -> object:
    """The value at a path such as `order.lines.0.item`; None if there is none."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _fits(found: object, expected: object) -> bool:
    if isinstance(expected, Mapping) and set(expected) == {"matches"}:
        return re.search(str(expected["matches"]), str(found), re.IGNORECASE) is not None
    if isinstance(expected, str) and isinstance(found, str):
        return found.casefold() == expected.casefold()
    if isinstance(expected, int | float) and isinstance(found, int | float | str):
        try:
            return float(found) == float(expected)
        except ValueError:
            return False
    return found == expected


def _sent(script: CallerScript) -> Iterator[str]:
    """What the agent has said, heard or not."""
    for session in sessions_of(script):
        yield session.relay.attributes.get("welcomeGreeting", "")
        yield from (cycle.text for cycle in session.ledger.cycles)
    yield from _spoken_verbs(script)


def _heard_texts(script: CallerScript) -> Iterator[str]:
    """What the caller has heard of it."""
    for session in sessions_of(script):
        yield from session.playback.heard_replies
    yield from _spoken_verbs(script)


def _spoken_verbs(script: CallerScript) -> Iterator[str]:
    return (verb.text for verb in script.call.verbs if verb.kind == "say")


def _turns(script: CallerScript, session: TwilioCall) -> Iterator[AgentTurn]:
    asked = session.ledger.asked
    for number, at in enumerate(asked, 1):
        cycles = [each for each in session.ledger.cycles if each.turn == number]
        if cycles:
            closed_at = cycles[-1].closed_at or cycles[-1].opened_at
            spoken = _spoken_until(session, cycles[-1])
            began = script.began_at
            yield AgentTurn(
                at - began, cycles[0].opened_at - began, closed_at - began, spoken - began
            )


def _spoken_until(session: TwilioCall, cycle: TalkCycle) -> float:
    ends = (end for _, end in session.session.spoken if end >= cycle.opened_at)
    return next(ends, cycle.closed_at or cycle.opened_at)


def sessions_of(script: CallerScript) -> Iterator[TwilioCall]:
    """The sessions of the call that were opened, in order."""
    return (leg.call for leg in script.call.legs if leg.call is not None)


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()


def _check(name: str, is_met: bool, detail: str = "") -> Check:
    return Check(name, is_met, "" if is_met else detail)
