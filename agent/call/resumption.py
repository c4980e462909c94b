"""How a call goes on after its connection was lost, or handed over on purpose.

The facts say what was being spoken when the connection broke, not what was heard of it. So nothing
is marked as cut and nothing is repeated word by word.

| the connection | the last fact | the caller hears |
|---|---|---|
| broke | the caller's words, a tool, a note | that it broke, then the answer |
| broke | words of the agent | that it broke, then the model takes up the thread |
| was handed over when it was quiet | words of the agent | that the agent is still there |
| was reopened by the relay | a question of the agent | nothing: the caller is silent |
| was reopened by the relay | other words of the agent | how the model takes up the thread |
| any of these | the caller had begun to speak | a question for these words |
| came back from an unanswered transfer | any | that no person is free |
| was never open | none | the greeting |

Rejected: to say nothing about a break. A caller who spoke during it would go on waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.call.config import Phrases
from agent.call.history import AgentSaid, Fact, Summary
from agent.call.utterance_analysis import asks

BROKEN_OFF = (
    "The line broke off here for a moment. The caller may not have heard your last words, and you"
    " may not have said all. Take up the thread in one short sentence: no greeting, no apology,"
    " no repetition in full"
)


class ResumeCause(StrEnum):
    """Why a call goes on over a new connection."""

    LOST = "lost"
    HANDED_OVER = "handed_over"
    """A stopping process gave the call up when neither side spoke."""
    RECONNECTED = "reconnected"
    """The relay has reopened its socket and kept what was said in between."""
    NOBODY = "nobody"
    """It was transferred, and no person took it."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a conversation that goes on begins with."""

    facts: Sequence[Fact]
    cause: ResumeCause
    is_caller_cut_off: bool = False
    """The caller had begun to speak, and the words never came."""
    elapsed_ms: int = 0
    language: str = ""


@dataclass(frozen=True, slots=True)
class FirstWords:
    """What a resumed call begins with: a sentence, a note for the model, or both."""

    sentence: str = ""
    note: str = ""
    asks_model: bool = False


def first_words(resumption: Resumption, phrases: Phrases, greeting: str) -> FirstWords:
    """What to say and whether to ask the model, by the table of the module."""
    cause, last = resumption.cause, _last_fact(resumption.facts)
    if last is None and greeting:
        return FirstWords(greeting)
    if cause is ResumeCause.NOBODY:
        return FirstWords(phrases.nobody_free)
    if resumption.is_caller_cut_off:
        return FirstWords(phrases.resumed_unheard)
    if not isinstance(last, AgentSaid):
        sentence = "" if cause is ResumeCause.RECONNECTED else phrases.resumed
        return FirstWords(sentence, asks_model=True)
    if cause is ResumeCause.HANDED_OVER:
        return FirstWords(phrases.resumed_quiet)
    if cause is ResumeCause.LOST:
        return FirstWords(phrases.resumed, BROKEN_OFF, asks_model=True)
    return FirstWords() if asks(last.text) else FirstWords(note=BROKEN_OFF, asks_model=True)


def _last_fact(facts: Sequence[Fact]) -> Fact | None:
    happened = (fact for fact in reversed(facts) if not isinstance(fact, Summary))
    return next((f for f in happened if not isinstance(f, AgentSaid) or f.text), None)
