"""Whether the caller has heard what a tool is about to do, and has agreed to it.

A call of a tool that needs it (`ToolSpec.needs_heard_confirmation`), or that claims a confirmation
itself (`confirmed: true`), runs only if

1. the caller's last words answer words of the model that were played to their end and ask,
2. these words name the values that the tool lists (`ToolSpec.read_back`),
3. nothing that the caller said since is a no, a correction, a question or a request for time,
4. no other such call was carried out on the same answer.

A question of the caller in between leaves what was read back before it in force. An answer to a
sentence of the service, such as "Are you still there?", is none to the read-back,
unless that sentence repeats its question. What was read back is compared as spoken
(`agent.call.spoken_values`); words are compared only in the language the call began in, in which
tools are written, and only once for the same values: if the caller has agreed to a second read-back
of them, other words may mean the same. Numbers and the parts of an e-mail address always count.
Whether a yes is meant, only a caller knows: in doubt words that refuse nothing are a yes, because a
rule that asks again and again has no end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from agent.call.history import AgentSaid, CallerSaid, Fact, History, SpeechSource, ToolUsed
from agent.call.languages import is_same_language
from agent.call.languages.commitment_words import CommitmentWords, commitment_words
from agent.call.messages import ToolCall, ToolSpec
from agent.call.spoken_values import SpokenText, leaves, squeezed, words_of
from agent.call.utterance_analysis import asks, asks_for_moment, questions

NOT_HEARD = (
    "Not done: the caller interrupted your last sentence, so a yes may not mean this."
    " Say again briefly what you are about to do and ask."
)
NOT_AGREED = (
    "Not done: the caller has not agreed to this. Say in one sentence what you are about to do,"
    " with all that matters, ask whether it is right, wait for the answer, and after a yes call"
    " this again."
)
NOT_NAMED = (
    "Not done: your last question did not name {}. Say in one sentence what you are about to do,"
    " with these values, ask whether it is right, and after a yes call this again."
)
_OTHERS = frozenset({SpeechSource.SERVICE, SpeechSource.OPERATOR})
_LONGEST_QUESTION = 300  # characters at the end of a re-prompt


@dataclass(frozen=True, slots=True)
class Exchange:
    """The model's latest words that the caller has answered, and what was said since."""

    position: int = -1
    """Of the last of these words; -1 = there are none."""
    asked: str = ""
    asks: bool = False
    """Whether the last of these words hold a question."""
    is_heard_out: bool = True
    """Finished and not cut off: no barge-in is reported for words that were not yet played."""
    answers: tuple[str, ...] = ()
    """Of the caller; empty if all answer another question, of the service."""
    language: str = ""
    """Of the caller, BCP 47."""
    first_language: str = ""
    """In which the call began."""


def exchange_before(
    history: History, end: int, broken_off: int | None, language: str, first_language: str
) -> Exchange:
    """The exchange that the request to the model at this position follows.

    Args:
        history: The call so far.
        end: Length of the history when the turn first asked the model.
        broken_off: Position of speech that the model did not finish.
        language: Of the caller, BCP 47; empty = English.
        first_language: In which the call began, and tools are written.
    """
    facts = history.between(history.first, end)
    while facts and not isinstance(facts[-1], CallerSaid):
        facts.pop()
    said = [at for at, fact in enumerate(facts) if _is_models(fact)]
    last = next((at for at in reversed(said) if _text_of(facts[at])), None)
    unheard = [at for at in said[-1:] if _is_cut(facts[at]) or history.first + at == broken_off]
    if last is None:
        return Exchange(-1, "", False, not unheard, (), language, first_language)
    turns: list[str] = []
    start, is_in_force = last + 1, True
    while is_in_force:
        end, start = start, _turn_start(facts, start, is_callers=False)
        turns.append(" ".join(_text_of(fact) for fact in facts[start:end] if _is_models(fact)))
        caller, start = start, _turn_start(facts, start, is_callers=True)
        between = [fact.text for fact in facts[start:caller] if isinstance(fact, CallerSaid)]
        is_in_force = start > 0 and bool(between) and _only_asks(between, language)
    return Exchange(
        history.first + last,
        " ".join(reversed(turns)),
        asks(turns[0]),
        not unheard,
        _answers(facts[last + 1 :], turns[0], language),
        language,
        first_language,
    )


def fault_of(
    spec: ToolSpec, call: ToolCall, exchange: Exchange, earlier: Sequence[tuple[int, ToolUsed]]
) -> str:
    """Why a call must not run yet, as a sentence for the model; empty if it may.

    Args:
        spec: A tool that needs a heard confirmation.
        call: Its arguments are a JSON object.
        exchange: As `exchange_before` found it.
        earlier: All calls so far of tools that need one, with their positions.
    """
    if exchange.position < 0:
        return NOT_AGREED
    if not exchange.is_heard_out:
        return NOT_HEARD
    since = [used for at, used in earlier if at > exchange.position]
    is_used = any(used.result is None or not used.result.is_error for used in since)
    if is_used or not exchange.asks or not agrees(exchange.answers, exchange.language):
        return NOT_AGREED
    names = frozenset(spec.read_back)
    given = list(leaves(json.loads(call.arguments), names))
    is_second = any(
        at < exchange.position
        and used.call.name == call.name
        and _is_refused(used)
        and list(leaves(json.loads(used.call.arguments), names)) == given
        for at, used in earlier
    )
    is_alike = is_same_language(exchange.language or "en", exchange.first_language or "en")
    text = SpokenText(exchange.asked, exchange.language)
    compares_words = is_alike and not is_second
    missing = dict.fromkeys(
        name for name, value in given if not text.names(value, compares_words=compares_words)
    )
    return NOT_NAMED.format(", ".join(missing)) if missing else ""


def _turn_start(facts: Sequence[Fact], end: int, *, is_callers: bool) -> int:
    """Where the run of facts before `end` begins that are the caller's words, or are not."""
    passed = takewhile(
        lambda fact: isinstance(fact, CallerSaid) is is_callers, reversed(facts[:end])
    )
    return end - sum(1 for _ in passed)


def agrees(answers: Sequence[str], language: str) -> bool:
    """Whether the caller has answered, and refused nothing; `language` is a BCP 47 tag."""
    table = commitment_words(language)
    if table is None:
        return bool(answers)
    return not _is_refused_by(answers, table) and not all(_asks(each, table) for each in answers)


def _only_asks(answers: Sequence[str], language: str) -> bool:
    """Whether the caller has asked something, which leaves a read-back in force."""
    table = commitment_words(language)
    if table is None or _is_refused_by(answers, table):
        return False
    return all(_asks(each, table) for each in answers)


def _is_refused_by(answers: Sequence[str], table: CommitmentWords) -> bool:
    lines = list(map(words_of, answers))
    refusals = (line for line in lines if table.refuses.search(line))
    is_no = any(not table.agrees.search(line) for line in refusals)
    return is_no or any(table.corrects.search(line) for line in lines)


def _asks(answer: str, table: CommitmentWords) -> bool:
    line = words_of(answer)
    is_query = table.queries.search(line) is not None or answer.rstrip().endswith("?")
    return is_query and not table.agrees.search(line)


def _is_models(fact: Fact) -> bool:
    return isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL


def _is_cut(fact: Fact) -> bool:
    return isinstance(fact, AgentSaid) and fact.is_cut


def _text_of(fact: Fact) -> str:
    return fact.text.strip() if isinstance(fact, AgentSaid) else ""


def _answers(facts: Sequence[Fact], asked: str, language: str) -> tuple[str, ...]:
    """What the caller said, if some of it came before another one asked something else."""
    answers: list[str] = []
    is_answer, is_others = False, False
    for fact in facts:
        if isinstance(fact, AgentSaid) and fact.voice in _OTHERS:
            is_others = is_others or (questions(fact.text) > 0 and not _repeats(fact.text, asked))
        elif isinstance(fact, CallerSaid):
            answers.append(fact.text)
            is_answer = is_answer or not (is_others or asks_for_moment(fact.text, language))
    return tuple(answers) if is_answer else ()


def _repeats(sentence: str, asked: str) -> bool:
    """Whether a sentence of the service ends with the question that was asked."""
    question = sentence[-_LONGEST_QUESTION:].rstrip(" ?").rpartition(". ")[2].rpartition("? ")[2]
    return squeezed(question) in squeezed(asked)


def _is_refused(used: ToolUsed) -> bool:
    return used.result is not None and used.result.is_error
