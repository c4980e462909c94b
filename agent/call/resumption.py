"""How a call goes on whose line was lost, or given up on purpose, and is there again.

Another process may have led it before; what it leaves are facts. What was being spoken when the
line broke is known, what was heard of it is not: text is sent faster than it is read out, and the
relay no longer reports. So nothing is marked as cut and nothing is said again word by word. The
agent says one sentence about the break, and the model takes up the thread.

| the line | the last fact | the caller hears |
|---|---|---|
| broke | the caller's words, a tool, a note | that it broke, then the answer |
| broke | words of the agent | that it broke, then the model takes up the thread |
| was handed over in a quiet moment | words of the agent | that we are still here |
| came back by itself | a question of the agent | nothing: the silence was theirs |
| came back by itself | other words of the agent | how the model takes up the thread |
| any of these | the caller had begun to speak | a question for these words |
| came back from a person nobody answered for | any | that nobody is free |
| was never there | none | the greeting |

Rejected: a break that is passed over in silence. For a second or more nobody was listening, and
a caller who has spoken meanwhile waits for an answer that will not come.
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
"""Told to the model when its last words may not have been heard."""


class ResumeCause(StrEnum):
    """Why a call goes on a new line."""

    LOST = "lost"
    """The line or the process that led it is gone, whatever was going on."""
    HANDED_OVER = "handed_over"
    """The process that led it is stopping and gave it up in a quiet moment."""
    RECONNECTED = "reconnected"
    """The relay has opened its socket again by itself and kept what was said meanwhile."""
    NOBODY = "nobody"
    """It was passed to a person, and nobody took it."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a conversation that goes on begins with."""

    facts: Sequence[Fact]
    """All that is known of the call, valid for every provider."""
    cause: ResumeCause
    is_caller_cut_off: bool = False
    """The caller had begun to speak, and the words never came."""
    elapsed_ms: int = 0
    """Since the call began."""
    language: str = ""
    """Tag of the language the call has switched to; empty = the one it began in."""


@dataclass(frozen=True, slots=True)
class FirstWords:
    """With what a call goes on."""

    sentence: str = ""
    """Said at once; empty = nothing."""
    note: str = ""
    """Told to the model; empty = nothing."""
    asks_model: bool = False


def first_words(resumption: Resumption, phrases: Phrases, greeting: str) -> FirstWords:
    """The table of the header."""
    cause, last = resumption.cause, _last_fact(resumption.facts)
    if last is None and greeting:
        return FirstWords(greeting)
    if cause is ResumeCause.NOBODY:
        return FirstWords(phrases.nobody_free)
    if resumption.is_caller_cut_off:
        return FirstWords(phrases.resumed_unheard)
    if not isinstance(last, AgentSaid):
        return FirstWords(
            "" if cause is ResumeCause.RECONNECTED else phrases.resumed, asks_model=True
        )
    if cause is ResumeCause.HANDED_OVER:
        return FirstWords(phrases.resumed_quiet)
    if cause is ResumeCause.LOST:
        return FirstWords(phrases.resumed, BROKEN_OFF, asks_model=True)
    return FirstWords() if asks(last.text) else FirstWords(note=BROKEN_OFF, asks_model=True)


def _last_fact(facts: Sequence[Fact]) -> Fact | None:
    """The last thing that happened; a speech of which nothing was heard is none."""
    happened = (fact for fact in reversed(facts) if not isinstance(fact, Summary))
    return next((f for f in happened if not isinstance(f, AgentSaid) or f.text), None)
