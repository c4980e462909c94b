"""How a call goes on after its connection was lost, or handed over on purpose.

The facts say what was being spoken when the connection broke, not what was heard of it. So nothing
is marked as cut and nothing is repeated word by word. After words of the agent the model takes up
the thread, but not over a connection that the relay has reopened after a question: the caller, who
noticed nothing, is silent.

A transfer or an end that was announced follows at once, with the sentence of the use case.

Rejected: to say nothing about a break. A caller who spoke during it would go on waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.call.actions import Handoff, HangUp
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
    """By a stopping process, when neither side spoke."""
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
    end: Handoff | HangUp | None = None
    """What the call was about to come to when the line broke."""


@dataclass(frozen=True, slots=True)
class FirstWords:
    """A sentence for the caller, a note for the model, or both."""

    sentence: str = ""
    note: str = ""
    asks_model: bool = False


def first_words(resumption: Resumption, phrases: Phrases, greeting: str) -> FirstWords:
    """What to say, and whether to ask the model."""
    happened = (fact for fact in reversed(resumption.facts) if not isinstance(fact, Summary))
    last = next((fact for fact in happened if not isinstance(fact, AgentSaid) or fact.text), None)
    cause = resumption.cause
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
