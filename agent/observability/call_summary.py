"""Tokens, added up and told by kind.

What one call was and what it cost: one log line at its end.

`CallSummary` adds up; it keeps lengths and counts, never words. The shares of the talk are measured
where the relay reports who speaks (relay reference section 2.7), otherwise estimated by what was
said, and the line says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from agent.call.actions import Action, CancelTool, Record, RunTool, Speak
from agent.call.events import (
    CallerSpoke,
    EndReason,
    Playback,
    PlaybackReported,
    TokensCounted,
    ToolFinished,
)
from agent.call.heard_alignment import letters
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import Usage
from agent.observability.prices import NO_PRICES, Prices
from agent.ports import ObservedStep

KINDS = ("input", "output", "cache_read", "cache_write")


def total(usages: Iterable[Usage]) -> Usage:
    """All of them together, as those of nobody in particular."""
    counted = list(usages)
    return Usage(*(sum(getattr(one, kind) for one in counted) for kind in KINDS))


def by_kind(usage: Usage) -> dict[str, int]:
    """How many of each kind."""
    return {kind: getattr(usage, kind) for kind in KINDS}


log = structlog.get_logger(__name__)

LETTERS_PER_SECOND = 15.0
"""Of speech, for estimates."""


@dataclass(frozen=True, slots=True)
class VersionStamp:
    """Which versions have answered a call; the hashes tell them apart and nothing of a caller."""

    use_case_version: int = 0
    """0 = the record as it stands, without a version."""
    prompt_hash: str = ""
    """Of the prompt before it is filled, as in the record of a call (`RECORD_CALLS`)."""
    tools_hash: str = ""
    """Of what the model is told of the tools; likewise."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the observer of a call cannot see in its events."""

    stamp: Callable[[], VersionStamp] = VersionStamp
    """Asked at the end of the call: a use case may have been edited."""
    resume: int = 0
    """Number of the line; 0 is the first one of the call."""
    code_version: str = ""
    prices: Prices = field(default=NO_PRICES)


class CallSummary:
    """Adds up one call."""

    def __init__(self, model: Callable[[], str]) -> None:
        self._model = model
        self._interrupts: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._tools: dict[str, Counter[str]] = {}
        self.used: dict[str, Usage] = {}
        """Tokens by the model that answered."""
        self._agent = _Voice()
        self._caller = _Voice()

    @property
    def tokens(self) -> int:
        """Of all kinds, used so far."""
        return sum(by_kind(total(self.used.values())).values())

    def observe(self, moment: ObservedStep, kind: str) -> None:
        """Follow one moment of the call; as for `Turns`."""
        if kind:
            self._interrupts[kind] += 1
        match moment.event:
            case CallerSpoke(text, True):
                self._caller.letters += letters(text)
            case PlaybackReported(report):
                self._report(report, moment.received_at)
            case ToolFinished(call_id, outcome):
                self._ran(call_id, "error" if outcome.is_error else "ok")
            case TokensCounted(_, usage):
                self._count(usage)
            case _:
                pass
        for action, _ in moment.deeds:
            self._note_action(action)

    def write(
        self, use_case: str, reason: EndReason, turns: int, seconds: float, facts: CallFacts
    ) -> None:
        """Write the line; called once, at the end."""
        used = total(self.used.values())
        read = used.input + used.cache_read + used.cache_write
        price = facts.prices.of(self.used)
        stamp = facts.stamp()
        agent, caller, is_measured = self._talk()
        told: dict[str, object] = {"resume": facts.resume} if facts.resume else {}
        if price is not None:
            told |= {"price": round(price, 6), "currency": facts.prices.currency}
        log.info(
            "call.receipt",
            reason=reason.value,
            use_case=use_case,
            use_case_version=stamp.use_case_version,
            model=self._model(),
            models=sorted(self.used),
            seconds=round(seconds, 1),
            turns=turns,
            interrupts=dict(self._interrupts),
            tools={name: dict(outcomes) for name, outcomes in self._tools.items()},
            tokens=by_kind(used),
            cache_share=round(used.cache_read / read, 3) if read else 0.0,
            agent_seconds=round(agent, 1),
            caller_seconds=round(caller, 1),
            talk_share=round(agent / (agent + caller), 3) if agent + caller else 0.0,
            talk="measured" if is_measured else "estimated",
            prompt_hash=stamp.prompt_hash,
            tools_hash=stamp.tools_hash,
            code_version=facts.code_version,
            **told,
        )

    def _note_action(self, action: Action) -> None:
        match action:
            case Speak(_, text):
                self._agent.letters += letters(text)
            case Record(_, AgentSaid(text, SpeechSource.GREETING, False)):
                self._agent.letters += letters(text)
            case RunTool(call):
                self._names[call.id] = call.name
            case CancelTool(call_id):
                self._ran(call_id, "cancelled")
            case _:
                pass

    def _ran(self, call_id: str, outcome: str) -> None:
        if (name := self._names.pop(call_id, None)) is not None:
            self._tools.setdefault(name, Counter())[outcome] += 1

    def _count(self, usage: Usage) -> None:
        model = usage.model or self._model()
        self.used[model] = total((self.used.get(model, Usage(0, 0)), usage))

    def _report(self, report: Playback, at: float) -> None:
        match report:
            case Playback.AGENT_ON:
                self._agent.on(at)
            case Playback.AGENT_OFF:
                self._agent.off(at)
            case Playback.CALLER_ON:
                self._caller.on(at)
            case Playback.CALLER_OFF:
                self._caller.off(at)
            case Playback.PLAYED:
                pass

    def _talk(self) -> tuple[float, float, bool]:
        """Seconds of the agent and of the caller, and whether they are measured."""
        voices = (self._agent, self._caller)
        is_measured = any(voice.is_reported for voice in voices) and all(
            voice.is_reported or not voice.letters for voice in voices
        )
        if is_measured:
            return self._agent.seconds, self._caller.seconds, True
        agent, caller = (voice.letters / LETTERS_PER_SECOND for voice in voices)
        return agent, caller, False


@dataclass(slots=True)
class _Voice:
    """How much somebody has spoken."""

    letters: int = 0
    seconds: float = 0.0
    is_reported: bool = False
    since: float | None = None

    def on(self, at: float) -> None:
        self.is_reported = True
        self.since = at if self.since is None else self.since

    def off(self, at: float) -> None:
        if self.since is not None:
            self.seconds += max(0.0, at - self.since)
            self.since = None
