"""What one call was and what it cost: one log line at its end, `call.summarized`.

It has lengths and counts, never words. The shares of the talk are measured where the relay reports
who speaks (`agentSpeaking`, `clientSpeaking`), otherwise estimated by what was said; the line says
which.

The cost is an estimate from a file of prices:

    currency = "USD"

    [models."us.amazon.nova-lite-v1:0"]
    input = 0.00006        # each for 1,000 tokens
    output = 0.00024
    cache_read = 0.000015
    cache_write = 0.00006

If a model is not in the file, or tokens of a kind without a price were used, the cost of the call
is unknown and left out: 0 would look like a call that cost nothing.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from agent.call.actions import Action, Record, Speak
from agent.call.events import CallerSpoke, EndReason, Playback, PlaybackReported, TokensCounted
from agent.call.heard_alignment import letters
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import Usage
from agent.errors import AgentError
from agent.observability.turn_stages import Activity
from agent.ports import ObservedStep

log = structlog.get_logger(__name__)

KINDS = ("input", "output", "cache_read", "cache_write")
LETTERS_PER_SECOND = 15.0
"""Of speech, for estimates."""
_Price = Annotated[float, msgspec.Meta(ge=0)]


class PricesError(AgentError):
    """A file of prices cannot be used; one line that names it."""


class ModelPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one model, each for 1,000 tokens; None = not known."""

    input: _Price
    output: _Price
    cache_read: _Price | None = None
    cache_write: _Price | None = None

    def cost(self, usage: Usage) -> float | None:
        """The cost of these tokens; None if it is not known."""
        cost = 0.0
        for kind, tokens in by_kind(usage).items():
            price: float | None = getattr(self, kind)
            if tokens and price is None:
                return None
            cost += tokens / 1000 * (price or 0.0)
        return cost


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    models: dict[str, ModelPrices] = {}


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of models by their identifiers."""

    currency: str
    """ISO 4217."""
    models: Mapping[str, ModelPrices]

    def each(self, used: Mapping[str, Usage]) -> list[tuple[str, float]]:
        """The cost of each model's tokens, without models where it is not known."""
        found = []
        for model, usage in used.items():
            prices = self.models.get(model)
            if prices is not None and (cost := prices.cost(usage)) is not None:
                found.append((model, cost))
        return found

    def cost(self, used: Mapping[str, Usage]) -> float | None:
        """The cost of all tokens; None if that of a model is not known, or nothing was used."""
        known = self.each(used)
        return sum(cost for _, cost in known) if known and len(known) == len(used) else None


NO_PRICES = Prices("USD", {})


def read_prices(path: Path) -> Prices:
    """Read a file of prices.

    Raises:
        PricesError: It cannot be read, or is not a file of prices.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8-sig")), _File)
    except (OSError, ValueError) as error:
        raise PricesError(f"PRICES_FILE: {path}: {error}") from error
    return Prices(found.currency, found.models)


def total(usages: Iterable[Usage]) -> Usage:
    """The sum of all, without a model."""
    counted = list(usages)
    return Usage(*(sum(getattr(one, kind) for one in counted) for kind in KINDS))


def by_kind(usage: Usage) -> dict[str, int]:
    """The tokens of each kind."""
    return {kind: getattr(usage, kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class VersionStamp:
    """What answered a call; equal stamps ask a model the same and decide the same.

    The digests tell versions apart and nothing of a caller.
    """

    use_case: str = ""
    version: int = 0
    """Of the use case; 0 = the record as it stood, without a version."""
    model: str = ""
    """Its identifier."""
    prompt: str = ""
    """Digest of the prompt before it is filled with the caller, the day and earlier orders."""
    tools: str = ""
    """Digest of what the model is told of the tools."""
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
    prices: Prices = field(default=NO_PRICES)


class CallSummary:
    """Adds up one call; `model` gives the name of the model that answers now."""

    def __init__(self, model: Callable[[], str]) -> None:
        self._model = model
        self._interrupts: Counter[str] = Counter()
        self._tools: dict[str, Counter[str]] = {}
        self.used: dict[str, Usage] = {}
        """Tokens by the model that answered."""
        self._agent = _TalkTime()
        self._caller = _TalkTime()

    @property
    def tokens(self) -> int:
        """Of all kinds, used so far."""
        return sum(by_kind(total(self.used.values())).values())

    def observe(self, moment: ObservedStep, kind: str) -> None:
        """Add one step of the call; `kind` is its `interrupt_kind`."""
        if kind:
            self._interrupts[kind] += 1
        match moment.event:
            case CallerSpoke(text, True):
                self._caller.letters += letters(text)
            case PlaybackReported(report):
                self._note_playback(report, moment.received_at)
            case TokensCounted(_, usage):
                model = usage.model or self._model()
                self.used[model] = total((self.used.get(model, Usage(0, 0)), usage))
            case _:
                pass
        for action, _ in moment.timed_actions:
            self._note_action(action)

    def add_tool(self, run: Activity) -> None:
        """A tool run has ended."""
        self._tools.setdefault(run.tool, Counter())[run.outcome] += 1

    def write(
        self, use_case: str, reason: EndReason, turns: int, seconds: float, facts: CallFacts
    ) -> None:
        """Write the line; called once, at the end."""
        used = total(self.used.values())
        read = used.input + used.cache_read + used.cache_write
        price = facts.prices.cost(self.used)
        stamp = facts.stamp()
        agent, caller, is_measured = self._talk()
        optional: dict[str, object] = {"resume": facts.resume} if facts.resume else {}
        if price is not None:
            optional |= {"price": round(price, 6), "currency": facts.prices.currency}
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
            tokens=by_kind(used),
            cache_share=round(used.cache_read / read, 3) if read else 0.0,
            agent_seconds=round(agent, 1),
            caller_seconds=round(caller, 1),
            talk_share=round(agent / (agent + caller), 3) if agent + caller else 0.0,
            talk="measured" if is_measured else "estimated",
            prompt_hash=stamp.prompt,
            tools_hash=stamp.tools,
            code_version=facts.code_version,
            **optional,
        )

    def _note_action(self, action: Action) -> None:
        match action:
            case Speak(_, text) | Record(_, AgentSaid(text, SpeechSource.GREETING, False)):
                self._agent.letters += letters(text)
            case _:
                pass

    def _note_playback(self, report: Playback, at: float) -> None:
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
        both = (self._agent, self._caller)
        is_measured = any(one.is_reported for one in both) and all(
            one.is_reported or not one.letters for one in both
        )
        if is_measured:
            return self._agent.seconds, self._caller.seconds, True
        agent, caller = (one.letters / LETTERS_PER_SECOND for one in both)
        return agent, caller, False


@dataclass(slots=True)
class _TalkTime:
    """How much one side has spoken."""

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
