"""The model's last answer, which is not to be given again to a caller who has gone on.

A repeat is wanted if the caller asks for it, says the same as before, asks for a moment, has broken
into the answer, or presses a key; and a tool, a re-prompt, or a refused call in between makes it a
new answer. Short ones may be the same: "What size would you like?", "Anything else?".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile

from agent.call.history import AgentSaid, CallerSaid, Fact, History, InputMode, SpeechSource
from agent.call.languages import is_function_word, nods_of, offers_help
from agent.call.languages.commitment_words import commitment_words
from agent.call.spoken_values import words_of
from agent.call.utterance_analysis import asks_for_moment

_FEWEST = 6
"""Words with content of an answer that is not said twice."""
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?\u2026])\s+")


def last_answer(history: History, language: str) -> str:
    """Its words, if the caller has said something new since; else empty.

    `language` is that of the caller, a BCP 47 tag; in one without a table every repeat is wanted.
    """
    facts = list(history)
    now = _latest(facts, CallerSaid)
    answer = _latest(facts[: len(facts) - len(now)], AgentSaid)
    before = _latest(facts[: len(facts) - len(now) - len(answer)], CallerSaid)
    is_models = all(
        isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL and not fact.is_cut
        for fact in answer
    )
    is_spoken = all(isinstance(fact, CallerSaid) and fact.means is InputMode.SPEECH for fact in now)
    said = _text(now)
    if not (now and is_models and is_spoken) or _wants_repeat(said, _text(before), language):
        return ""
    text = _text(answer)
    sentences = _BETWEEN_SENTENCES.split(text)
    told = " ".join(each for each in sentences if not offers_help(each.casefold()))
    return text if len(content_of(told, language)) >= _FEWEST else ""


def content_of(text: str, language: str) -> tuple[str, ...]:
    """The words of a text but function words and backchannels."""
    nods = nods_of(language)
    words = words_of(text).split()
    return tuple(word for word in words if word not in nods and not is_function_word(word))


def _wants_repeat(said: str, before: str, language: str) -> bool:
    table, line = commitment_words(language), words_of(said)
    if table is None or line == words_of(before):
        return True
    return table.repeats.search(line) is not None or asks_for_moment(said, language)


def _latest(facts: Sequence[Fact], kind: type[AgentSaid | CallerSaid]) -> list[Fact]:
    """The facts of this kind at the end."""
    return list(takewhile(lambda fact: isinstance(fact, kind), reversed(facts)))[::-1]


def _text(facts: Iterable[Fact]) -> str:
    return " ".join(fact.text for fact in facts if isinstance(fact, AgentSaid | CallerSaid))
