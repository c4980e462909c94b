"""The types of a call of the scripted day. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.scenarios.timing import CallTiming


class CallerManner(StrEnum):
    """How the caller speaks in a turn."""

    SENTENCE = "complete sentence"
    NUMBER = "dictated number"
    PIECES = "in pieces"
    ADDRESS = "address"
    HESITATION = "hesitation"
    CORRECTION = "self-correction"
    RETOLD = "delivered twice"
    """A complete sentence whose final prompt the relay delivers again."""
    MOMENT = "asks for a moment"


class Reaction(StrEnum):
    """What the caller does while the agent replies."""

    NOD = "nod"
    """The relay delivers it as a prompt while the agent speaks on."""
    CUTTING_NOD = "nod that cuts"
    """The relay takes it for a barge-in: an interrupt, then a prompt."""
    NOISE = "noise"
    """An interrupt, and no words."""
    INTERRUPTION = "interruption"


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """Words without a pause in them, and the silence that follows; 0 after the last piece."""

    words: str
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class CallerReaction:
    """A reaction, when this share of the reply's first sentence was heard; 1 = all of it."""

    kind: Reaction
    words: str
    at_share: float
    reply: str
    """What the model says if it is asked from then on."""


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """One turn of the caller, and what the model says to it."""

    manner: CallerManner
    pieces: tuple[SpokenPiece, ...]
    sentences: tuple[str, ...]
    """The reply of the model; its first and last sentence occur in no other turn of the call."""
    reaction: CallerReaction | None = None
    away: float = 0.0
    """For which the caller says nothing more, having asked for a moment."""
    again_after: float = 0.0
    """From the final prompt to its repetition; 0 = it is not repeated."""

    @property
    def reply(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One call of the day."""

    number: int
    language: str
    timing: CallTiming
    is_punctuated: bool
    """Recognition writes capitals and marks."""
    turns: tuple[ScriptedTurn, ...]

    def written(self, words: str) -> str:
        """The words as this call's speech recognition delivers them."""
        if self.is_punctuated:
            capital = words[:1].upper() + words[1:]
            return capital if capital[-1:] in ".?!" else f"{capital.rstrip(',')}."
        return "".join(each for each in words if each not in ".,?!¿¡")
