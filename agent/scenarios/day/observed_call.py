"""What was heard when on one call of the day, by the simulator's account alone.

Times are seconds of the clock of the event loop. Nothing here comes from the service: a cycle is
what arrived on the socket, a voice is what the script spoke.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.scenarios.day.scripted_call import CallerManner, Reaction

SILENCE_SECONDS = 0.7
"""After which speech recognition takes the caller to be done, unless the TwiML has a number."""
ANSWER_SECONDS = 6.0
"""An answer that begins later is none; the agent asks again after 8 s of silence."""


@dataclass(frozen=True, slots=True)
class SpokenCycle:
    """One talk cycle of the agent; `opened_at` is when its first text arrived."""

    opened_at: float
    text: str


@dataclass(frozen=True, slots=True)
class ObservedReaction:
    """What the caller did while the agent replied, and what was heard afterwards."""

    kind: Reaction
    began_at: float
    ended_at: float
    opening: str
    """The first sentence of the reply, which had been heard."""
    ending: str
    """Its last sentence, which had not."""
    heard: str
    """What the caller heard after it, until the next act."""


@dataclass(frozen=True, slots=True)
class ObservedTurn:
    """One turn of the caller; it ends where the caller next does something."""

    manner: CallerManner
    voices: tuple[tuple[float, float], ...]
    """When the caller spoke, from and to."""
    prompts: int
    """Final prompts that the relay delivered for it."""
    until: float
    """The next act of the caller: a reaction, the next turn, the end of the call."""
    after: float
    """The same, where a reaction does not count."""
    reaction: ObservedReaction | None = None
    is_hung_up_on: bool = False
    """The caller asked for a moment, and the agent ended the call in it."""

    @property
    def began_at(self) -> float:
        return self.voices[0][0]

    @property
    def complete_at(self) -> float:
        """The end of the caller's last word."""
        return self.voices[-1][1]


@dataclass(frozen=True, slots=True)
class ObservedCall:
    """One call from its ring to its end."""

    number: int
    language: str
    turns: tuple[ObservedTurn, ...]
    cycles: tuple[SpokenCycle, ...]
    cuts: tuple[float, ...]
    """When the caller's voice stopped the agent's."""
    unspoken: int = 0
    """Turns that the caller could not begin: the call was over, not for a moment asked for."""

    def cycles_between(self, since: float, until: float) -> list[SpokenCycle]:
        """The cycles that opened at or after the first time, and before the second."""
        return [cycle for cycle in self.cycles if since <= cycle.opened_at < until]

    def early(self, turn: ObservedTurn) -> list[SpokenCycle]:
        """The cycles that opened after the caller began and before the last word."""
        return self.cycles_between(turn.began_at, turn.complete_at)
