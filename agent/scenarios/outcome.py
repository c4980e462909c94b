"""What came of one run of a scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Speaker(StrEnum):
    """Who does something, in a transcript."""

    CALLER = "caller"
    AGENT = "agent"
    LINE = "line"
    """What happens to the call: a tool, a session that ends, a transfer."""


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One line; seconds since the call began to ring."""

    at: float
    speaker: Speaker
    text: str
    until: float = 0.0
    """When it was spoken to its end; 0 = it has no length."""
    is_cut: bool = False
    """The caller broke in; `text` is what was heard."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was to be true. `name` is from a bounded set, such as `protocol: no_words`."""

    name: str
    is_met: bool
    detail: str = ""
    is_harmful: bool = False
    """Not met in a way that harms the caller: something false or doubled, or dead air."""


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One answer: seconds since the call began to ring, of the words it answers and of its own."""

    asked_at: float
    first_text_at: float
    closed_at: float
    spoken_until: float

    @property
    def wait(self) -> float:
        """Seconds from the caller's words to the agent's first text."""
        return self.first_text_at - self.asked_at


@dataclass(slots=True)
class ScenarioRun:
    """One run of one scenario under one timing."""

    scenario: str
    variant: str = ""
    timing: int = 0
    """Seed of the timing."""
    repetition: int = 0
    subject: str = ""
    """What was tested: a model, a version, a bad model; empty = the service as it is."""
    checks: list[Check] = field(default_factory=list)
    transcript: list[TranscriptLine] = field(default_factory=list)
    turns: list[AgentTurn] = field(default_factory=list)
    seconds: float = 0.0
    """Length of the call."""
    tokens: int = 0
    outcome: str = ""
    use_case: str = ""
    file: str = ""
    """Of the scenario; with the variant it says which one this is."""

    @property
    def has_passed(self) -> bool:
        return all(check.is_met for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if not check.is_met]

    @property
    def harms(self) -> list[Check]:
        return [check for check in self.checks if check.is_harmful]

    @property
    def title(self) -> str:
        """Scenario and variant."""
        return f"{self.scenario} [{self.variant}]" if self.variant else self.scenario
