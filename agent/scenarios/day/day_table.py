"""The table of a day: what is counted, over which turns, and which figure is wanted.

Every row is a function over the observed calls. Its docstring is its definition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from agent.scenarios.day.observed_call import (
    ANSWER_SECONDS,
    SILENCE_SECONDS,
    ObservedCall,
    ObservedReaction,
    ObservedTurn,
    SpokenCycle,
)
from agent.scenarios.day.scripted_call import CallerManner, Reaction

Heard = tuple[ObservedCall, ObservedTurn]
_RESUMED_SECONDS = 4.0
"""Within which an agent that a noise has stopped goes on."""
_CUTS_PER_CALL = 60 / 1000
"""Of the agent's sentences, which must stay below it: 60 in a day of 1,000 calls."""
_OWN_SECONDS = 0.1
"""Of the service, beside the relay's silence and the model's first token."""


@dataclass(frozen=True, slots=True)
class DayRow:
    """One line of the table."""

    kind: str
    short: str
    """The figure alone: a share, a number, or seconds."""
    measured: str
    """The same with its counts."""
    wanted: str
    is_reached: bool
    value: float
    """A share from 0 to 1, a number, or seconds."""
    count: int
    """Turns, or cycles, that the row is about."""
    total: int
    """Of how many turns."""


def answered_early(
    calls: Iterable[ObservedCall], fits: Callable[[ObservedTurn], bool]
) -> tuple[int, int]:
    """Turns in which a cycle opened between the caller's first word and the last; all turns.

    What the agent then says does not matter: any text in the caller's turn counts.
    """
    heard = [(call, turn) for call, turn in _turns(calls) if fits(turn)]
    return sum(bool(call.early(turn)) for call, turn in heard), len(heard)


def answered_over_voice(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Turns in several prompts in which a cycle opened while the caller's voice was heard."""
    heard = [(call, turn) for call, turn in _turns(calls) if came_in_pieces(turn)]
    over = sum(any(_is_over_voice(each, turn) for each in call.early(turn)) for call, turn in heard)
    return over, len(heard)


def came_in_pieces(turn: ObservedTurn) -> bool:
    """The relay delivered the turn in two or more final prompts, whatever the caller said."""
    return turn.prompts > 1


def cut_by_haste(calls: Iterable[ObservedCall]) -> int:
    """Cycles that opened early and were stopped by the rest of the same turn of the caller."""
    return sum(_hasty_cuts(call, turn) for call, turn in _turns(calls))


def doubly_answered(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Turns after whose last word two or more cycles opened before the caller's next act.

    Turns that ask for a moment are left out, as are those without an answer: there the agent may
    speak into the silence.
    """
    heard = [
        call.cycles_between(turn.complete_at, turn.until)
        for call, turn in _turns(calls)
        if turn.manner is not CallerManner.MOMENT and _wait(call, turn) is not None
    ]
    return sum(len(cycles) > 1 for cycles in heard), len(heard)


def nods_taken_as_interruptions(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Nods that arrived as a prompt, after which the reply did not go on as if there were none.

    It goes on if its last sentence is heard, and each cycle that opens after the nod has that
    sentence: a cycle without it answers the nod.
    """
    heard = list(_reactions(calls, Reaction.NOD, Reaction.CUTTING_NOD))
    taken = sum(
        not _has(act.heard, act.ending)
        or any(not _has(each.text, act.ending) for each in _after(call, turn, act))
        for call, turn, act in heard
    )
    return taken, len(heard)


def noise_stops_for_good(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Noises after which the reply was not resumed once from the heard point.

    Resumed: within 4 s a cycle opens; the last sentence is then heard exactly once; the first one,
    which was heard before, is not heard again.
    """
    heard = list(_reactions(calls, Reaction.NOISE))
    stopped = 0
    for call, turn, act in heard:
        cycles = _after(call, turn, act)
        is_soon = bool(cycles) and cycles[0].opened_at - act.ended_at <= _RESUMED_SECONDS
        is_once = _plain(act.heard).count(_plain(act.ending)) == 1
        stopped += not (is_soon and is_once and not _has(act.heard, act.opening))
    return stopped, len(heard)


def hung_up_on(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Callers who asked for a moment, and had not spoken again when the agent ended the call."""
    heard = [turn for _, turn in _turns(calls) if turn.manner is CallerManner.MOMENT]
    return sum(turn.is_hung_up_on for turn in heard), len(heard)


def interruptions_ignored(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Words said over the reply after which it went on to its end, or that got no answer in 6 s."""
    heard = list(_reactions(calls, Reaction.INTERRUPTION))
    ignored = 0
    for call, turn, act in heard:
        cycles = call.cycles_between(act.began_at, act.ended_at + ANSWER_SECONDS)
        is_answered = any(each.opened_at < turn.after for each in cycles)
        ignored += _has(act.heard, act.ending) or not is_answered
    return ignored, len(heard)


def left_unanswered(calls: Iterable[ObservedCall]) -> tuple[int, int]:
    """Turns after whose last word no cycle opened within 6 s, or that the call was over for."""
    calls = list(calls)
    waits = [_wait(call, turn) for call, turn in _turns(calls)]
    unspoken = sum(call.unspoken for call in calls)
    return sum(wait is None for wait in waits) + unspoken, len(waits) + unspoken


def seconds_to_answer(calls: Iterable[ObservedCall]) -> list[float]:
    """From the end of the caller's voice to the first text, over complete sentences.

    Only sentences that the relay delivered in one prompt; one without an answer counts as 6 s.
    """
    heard = [
        _wait(call, turn)
        for call, turn in _turns(calls)
        if turn.manner is CallerManner.SENTENCE and turn.prompts == 1
    ]
    return [ANSWER_SECONDS if wait is None else wait for wait in heard]


def day_table(calls: Sequence[ObservedCall], first_token: float) -> list[DayRow]:
    """The rows, in the order of the table.

    `first_token` is the time of the model in seconds. The median may exceed its sum with the 0.7 s
    of the relay by 0.1 s, whatever the TwiML asks for.
    """

    def early(kind: str, fits: Callable[[ObservedTurn], bool], below: float) -> DayRow:
        return _share(kind, answered_early(calls, fits), below)

    def never(kind: str, found: tuple[int, int]) -> DayRow:
        return _share(kind, found, 0.0)

    nods = nods_taken_as_interruptions(calls)
    return [
        early(
            "dictated numbers answered before they were complete", _of(CallerManner.NUMBER), 0.02
        ),
        early("turns in several prompts answered early", came_in_pieces, 0.1),
        never("turns in several prompts answered over the voice", answered_over_voice(calls)),
        early("addresses answered early", _of(CallerManner.ADDRESS), 0.1),
        early("hesitations answered early", _of(CallerManner.HESITATION), 0.1),
        early("self-corrections answered early", _of(CallerManner.CORRECTION), 0.1),
        _cuts("sentences of the agent cut by its own haste", calls),
        never("double answers", doubly_answered(calls)),
        _share("nods taken as interruptions, when they arrive as prompts", nods, 0.05),
        never("wordless noise stops an answer that never goes on", noise_stops_for_good(calls)),
        never("callers who asked for a moment and were hung up on", hung_up_on(calls)),
        never("real interruptions ignored", interruptions_ignored(calls)),
        _median("median time to the answer", calls, first_token),
        never("turns without an answer", left_unanswered(calls)),
    ]


def _share(kind: str, found: tuple[int, int], below: float) -> DayRow:
    """A share that must be below a limit, or nothing; one of no turns is not reached."""
    count, total = found
    value = count / total if total else 0.0
    is_reached = bool(total) and (value < below if below else not count)
    short = f"{value:.1%}" if total else "none"
    measured = f"{short} ({count:,} of {total:,})"
    wanted = f"< {below:.0%}" if below else "0"
    return DayRow(kind, short, measured, wanted, is_reached, value, count, total)


def _cuts(kind: str, calls: Sequence[ObservedCall]) -> DayRow:
    cuts, most = cut_by_haste(calls), _CUTS_PER_CALL * len(calls)
    turns = sum(len(call.turns) for call in calls)
    return DayRow(kind, f"{cuts:,}", f"{cuts:,}", f"< {most:g}", cuts < most, cuts, cuts, turns)


def _median(kind: str, calls: Sequence[ObservedCall], first_token: float) -> DayRow:
    waits, limit = seconds_to_answer(calls), SILENCE_SECONDS + first_token + _OWN_SECONDS
    value = median(waits) if waits else ANSWER_SECONDS
    text, wanted = f"{value:.2f} s", f"<= {limit:.2f} s"
    return DayRow(kind, text, text, wanted, value <= limit, value, len(waits), len(waits))


def _of(manner: CallerManner) -> Callable[[ObservedTurn], bool]:
    return lambda turn: turn.manner is manner


def _turns(calls: Iterable[ObservedCall]) -> Iterator[Heard]:
    return ((call, turn) for call in calls for turn in call.turns)


def _reactions(
    calls: Iterable[ObservedCall], *kinds: Reaction
) -> Iterator[tuple[ObservedCall, ObservedTurn, ObservedReaction]]:
    for call, turn in _turns(calls):
        if turn.reaction is not None and turn.reaction.kind in kinds:
            yield call, turn, turn.reaction


def _after(call: ObservedCall, turn: ObservedTurn, act: ObservedReaction) -> list[SpokenCycle]:
    return call.cycles_between(act.began_at, turn.after)


def _wait(call: ObservedCall, turn: ObservedTurn) -> float | None:
    """From the last word to the first text; None without one within 6 s."""
    cycles = call.cycles_between(turn.complete_at, turn.complete_at + ANSWER_SECONDS)
    return cycles[0].opened_at - turn.complete_at if cycles else None


def _is_over_voice(cycle: SpokenCycle, turn: ObservedTurn) -> bool:
    return any(began < cycle.opened_at < ended for began, ended in turn.voices)


def _hasty_cuts(call: ObservedCall, turn: ObservedTurn) -> int:
    """A cut counts for the latest early cycle before it."""
    openings = [each.opened_at for each in call.early(turn)]
    ends = [*openings, turn.complete_at]
    return sum(any(began <= cut <= end for cut in call.cuts) for began, end in pairwise(ends))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _has(text: str, sentence: str) -> bool:
    return _plain(sentence) in _plain(text)
