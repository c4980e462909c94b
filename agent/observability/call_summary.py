"""What one call was and what it cost: one log line at its end, `call.summarized`.

It has lengths and counts, never words. The cost is an estimate from a file of prices, such as
`configuration/prices.toml`. If a model or a kind of tokens that was used has no price, the cost is
unknown and left out: 0 would look like a call that cost nothing.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from agent.call.actions import Record, Speak
from agent.call.events import CallerSpoke, EndReason, Playback, PlaybackReported, TokensCounted
from agent.call.heard_alignment import letters
from agent.call.history import AgentSaid, Fact, Note, SpeechSource, ToolUsed
from agent.call.messages import Usage
from agent.errors import AgentError
from agent.observability.turn_stages import Activity
from agent.ports import ObservedStep
from agent.usecases.outcome_schema import CallOutcome

log = structlog.get_logger(__name__)

KINDS = ("input", "output", "cache_read", "cache_write")
LETTERS_PER_SECOND = 15.0
_Price = Annotated[float, msgspec.Meta(ge=0)]


class PricesError(AgentError):
    """A file of prices cannot be used; one line that names it."""


class ModelPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one model, each for 1,000 tokens; None = not known."""

    input: _Price
    output: _Price
    cache_read: _Price | None = None
    cache_write: _Price | None = None

    def cost(self, used: Mapping[str, int]) -> float | None:
        cost = 0.0
        for kind, tokens in used.items():
            price: float | None = getattr(self, kind)
            if tokens and price is None:
                return None
            cost += tokens / 1000 * (price or 0.0)
        return cost


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By identifiers of models; the currency is a code of ISO 4217."""

    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    models: dict[str, ModelPrices] = {}

    def each(self, used: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
        """The cost of the tokens of each model, as far as it is known."""
        costs = {
            model: self.models[model].cost(used[model]) for model in used if model in self.models
        }
        return {model: cost for model, cost in costs.items() if cost is not None}


NO_PRICES = Prices("USD")


def read_prices(path: Path) -> Prices:
    """Read a file of prices; raises `PricesError`."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8-sig")), Prices)
    except (OSError, ValueError) as error:
        raise PricesError(f"PRICES_FILE: {path}: {error}") from error


def by_kind(usage: Usage) -> dict[str, int]:
    """The tokens of each kind."""
    return {kind: getattr(usage, kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class VersionStamp:
    """What answered a call; equal stamps ask a model the same and decide the same."""

    use_case: str = ""
    version: int = 0
    """Of the use case; 0 = the record as it stood, without a version."""
    model: str = ""
    prompt: str = ""
    """Digest of the prompt before it is filled with the caller, the day and earlier orders."""
    tools: str = ""
    code: str = ""
    """Digest of the rules, `agent.call`."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the observer of a call cannot see in its events."""

    stamp: Callable[[], VersionStamp] = VersionStamp
    """Called at the end of the call, as a use case may be edited meanwhile."""
    resume: int = 0
    """Number of the connection; 0 is the first one of the call."""
    code_version: str = ""
    prices: Prices = NO_PRICES
    rung_seconds: float | None = None
    """From the voice webhook to the first event; None = not known, or not the first connection."""
    earlier: Sequence[Fact] = ()
    """Those of earlier connections of the call."""
    outcome: Callable[[Sequence[Fact], EndReason], CallOutcome | None] = lambda *_: None
    """What the call has yielded, from the runs of tools and the notes among its facts."""


class CallSummary:
    """Adds up one call; `model` names the model that answers now, `used` has tokens by kind."""

    def __init__(self, model: Callable[[], str]) -> None:
        self._model = model
        self._interrupts: Counter[str] = Counter()
        self._tools: dict[str, Counter[str]] = {}
        self.used: dict[str, Counter[str]] = {}
        self._facts: dict[int, Fact] = {}
        self.outcome: CallOutcome | None = None
        """Set by `write`."""
        self._agent = _TalkTime()
        self._caller = _TalkTime()

    def observe(self, moment: ObservedStep, kind: str) -> None:
        if kind:
            self._interrupts[kind] += 1
        match moment.event:
            case CallerSpoke(text, True):
                self._caller.letters += letters(text)
            case PlaybackReported(Playback.AGENT_ON | Playback.AGENT_OFF as report):
                self._agent.note(moment.received_at, speaks=report is Playback.AGENT_ON)
            case PlaybackReported(Playback.CALLER_ON | Playback.CALLER_OFF as report):
                self._caller.note(moment.received_at, speaks=report is Playback.CALLER_ON)
            case TokensCounted(_, usage):
                model = usage.model or self._model()
                self.used.setdefault(model, Counter()).update(by_kind(usage))
            case _:
                pass
        said = {action.text for action, _ in moment.timed_actions if type(action) is Speak}
        for action, _ in moment.timed_actions:
            if type(action) is Speak:
                self._agent.letters += letters(action.text)
            elif type(action) is Record:
                self._note_fact(action, said)

    def _note_fact(self, record: Record, said: Container[str]) -> None:
        match record.fact:
            case AgentSaid(text, SpeechSource.GREETING, False) if text not in said:
                self._agent.letters += letters(text)
            case ToolUsed() | Note() as fact:
                self._facts[record.position] = fact
            case _:
                pass

    def add_tool(self, run: Activity) -> None:
        self._tools.setdefault(run.tool, Counter())[run.outcome] += 1

    def write(
        self, use_case: str, reason: EndReason, turns: int, seconds: float, facts: CallFacts
    ) -> None:
        used = {kind: sum(each[kind] for each in self.used.values()) for kind in KINDS}
        read = used["input"] + used["cache_read"] + used["cache_write"]
        costs, stamp = facts.prices.each(self.used), facts.stamp()
        agent, caller, is_measured = self._talk()
        optional: dict[str, object] = {"resume": facts.resume} if facts.resume else {}
        known = {**dict(enumerate(facts.earlier)), **self._facts}
        self.outcome = facts.outcome([known[position] for position in sorted(known)], reason)
        if self.outcome is not None:
            optional |= {"success": self.outcome.success, "contained": self.outcome.is_contained}
            optional |= {"transfer": self.outcome.transfer} if self.outcome.transfer else {}
        if costs and len(costs) == len(self.used):
            price = round(sum(costs.values()), 6)
            optional |= {"price": price, "currency": facts.prices.currency}
        log.info(
            "call.summarized",
            reason=reason.value,
            use_case=use_case,
            use_case_version=stamp.version,
            model=self._model(),
            models=sorted(self.used),
            seconds=round(seconds, 1),
            turns=turns,
            interrupts=dict(self._interrupts),
            tools={name: dict(outcomes) for name, outcomes in self._tools.items()},
            tokens=used,
            cache_share=round(used["cache_read"] / read, 3) if read else 0.0,
            agent_seconds=round(agent, 1),
            caller_seconds=round(caller, 1),
            talk_share=round(agent / (agent + caller), 3) if agent + caller else 0.0,
            talk="measured" if is_measured else "estimated",
            prompt_hash=stamp.prompt,
            tools_hash=stamp.tools,
            code_version=facts.code_version,
            **optional,
        )

    def _talk(self) -> tuple[float, float, bool]:
        """Seconds of agent and caller; whether the relay reported who speaks, so they are known."""
        both = (self._agent, self._caller)
        estimated = [one.letters / LETTERS_PER_SECOND for one in both]
        unreported = [one.letters for one in both if not one.is_reported]
        is_measured = len(unreported) < len(both) and not any(unreported)
        agent, caller = [one.seconds for one in both] if is_measured else estimated
        return agent, caller, is_measured


@dataclass(slots=True)
class _TalkTime:
    letters: int = 0
    seconds: float = 0.0
    is_reported: bool = False
    since: float | None = None

    def note(self, at: float, *, speaks: bool) -> None:
        if speaks:
            self.is_reported = True
            self.since = at if self.since is None else self.since
        elif self.since is not None:
            self.seconds += max(0.0, at - self.since)
            self.since = None
