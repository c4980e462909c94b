"""How the models of this process are doing: what all calls have learned of each.

Every call has its own `ResilientModel`; what one call learns at the cost of a silence the others
shall know. So there is one `ModelCircuit` for each identifier and one `HedgeBudget`, shared by all.

**Breaker.** Closed, a model is asked. It opens when at least half of its recent requests failed
or came late, or at once when the model is not to be had (`DENIED`). Open, it is passed over while
another model is there. It closes when a probe of `watch` was answered: a request of one word in the
background, because a live call must not pay for finding out. `warm` would not do as a probe: a
throttled or broken model accepts connections. Faults that are the request's own (`REFUSED`,
`TOO_LONG`) say nothing about a model.

**Hedges.** The second request is due when the first is later than nineteen in twenty were lately,
and never outside 0.8-1.5 s. Only times of streams that did begin are known: the stall that hedges
are for would otherwise move the mark it is to be found by. That a model which became slow
altogether is not asked twice for ever is the budget's doing: it allows one in twenty, so nearly
all requests still run alone and move the mark. It fills with requests and not with time, so that a
quiet night saves up no storm, and stands still for a while after throttling (practice section 10).

**Loading.** Some servers, as Ollama, load a model when it is first asked for and drop it when it is
not asked for some minutes; they give up loading when the one who asked leaves. Such a model is cold
until it has answered. `watch` has a cold one loaded with a request of its own, which stays until
the answer, when the process starts and when a call begins. A reply that has no other model to go to
waits longer for a cold one, until `TimeLimits.load` has passed since the first contact: from then
on the model is like any other.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import ceil

import structlog

from agent.call.events import ReplyFault
from agent.call.messages import Choice, Message, ReplyRequest, Role, Text, ToolSpec
from agent.errors import ModelError
from agent.llm.timeouts import TimeLimits
from agent.ports import Count, LanguageModel, uncounted

log = structlog.get_logger(__name__)

Chance = Callable[[float, float], float]
"""A number between two others."""

_FAULTS_OF_THE_REQUEST = frozenset({ReplyFault.REFUSED, ReplyFault.TOO_LONG})
_PROBE = ReplyRequest(
    system="Answer with one word.",
    messages=(Message(Role.CALLER, (Text("Hello?"),)),),
    choice=Choice.NONE,
    max_tokens=16,
)
_NO_TOOL = ToolSpec("Nothing", "Does nothing.", '{"type":"object","properties":{}}')


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """When a model is slow, and when it is given up for a while; seconds and counts."""

    slow: float = 0.8
    """A first event later than this part of the longest wait for it counts as a failure."""
    window: float = 60.0
    window_requests: int = 20
    enough: int = 6
    """Fewer outcomes than this prove nothing."""
    bad_share: float = 0.5
    probe_after: float = 5.0
    denied_probe_after: float = 60.0
    idle: float = 240.0
    """A server may have dropped a model that has not answered for so long; Ollama waits 300 s."""
    probe_at_most: float = 60.0
    """The wait for the next probe doubles up to this."""
    hedge_earliest: float = 0.8
    hedge_latest: float = 1.5
    hedge_percentile: float = 0.95
    hedge_samples: int = 20
    """Fewer first events than this say nothing: `hedge_latest` counts."""


class ModelCircuit:
    """What this process knows of one model. Times are those of the running loop.

    Args:
        name: Identifier.
        count: For the breaker and streams.
        limits: When the model is given up for a while.
        patience: How long is waited for it.
        loads: Its server loads it at the first contact.
    """

    def __init__(
        self,
        name: str,
        count: Count = uncounted,
        limits: HealthLimits | None = None,
        patience: TimeLimits | None = None,
        *,
        loads: bool = False,
    ) -> None:
        self.name = name
        self._patience = patience or TimeLimits()
        self._loads = loads
        self._answered_at = float("-inf")
        self._cold_since: float | None = None
        """When it was first asked for since it may have to be loaded."""
        self._due = asyncio.Event()
        """There is something to do for `watch`."""
        self._count = count
        self._streams = 0
        self._limits = limits or HealthLimits()
        self._first_events: deque[float] = deque(maxlen=100)
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=self._limits.window_requests)
        self._opened = asyncio.Event()
        self._probe_after = self._limits.probe_after
        self._probe = _PROBE

    @property
    def is_open(self) -> bool:
        """The model is to be passed over."""
        return self._opened.is_set()

    @property
    def is_cold(self) -> bool:
        """The model may have to be loaded first, and a reply may wait for that."""
        return self._may_be_unloaded and self._seconds_cold < self._patience.load

    @property
    def longest_wait(self) -> float:
        """Seconds for the first event of a reply that has no other model to go to."""
        left = self._patience.load - self._seconds_cold if self.is_cold else 0.0
        return max(left, self._patience.first_event)

    @property
    def hedge_after(self) -> float:
        """Seconds after which a request without any event is late."""
        limits = self._limits
        if len(self._first_events) < limits.hedge_samples:
            return limits.hedge_latest
        ordered = sorted(self._first_events)
        usual = ordered[ceil(len(ordered) * limits.hedge_percentile) - 1]
        return min(max(usual, limits.hedge_earliest), limits.hedge_latest)

    def asked(self, *, with_tools: bool = False) -> None:
        """A stream of it is open; not one of a probe, which is no reply."""
        self._add_stream(1)
        self._note_contact()
        if with_tools:  # a model that cannot use tools must not answer the probe
            self._probe = replace(_PROBE, tools=(_NO_TOOL,), choice=Choice.AUTO)

    def left(self) -> None:
        """That stream is open no more."""
        self._add_stream(-1)

    def began(self, seconds: float) -> None:
        """The first event of a stream came after so long."""
        self._count("agent_llm_time_to_first_event_seconds", seconds, model=self.name)
        was_cold = self._may_be_unloaded
        self._answered()
        if was_cold:
            self._note(is_bad=False)
            return
        self._first_events.append(seconds)
        self._note(is_bad=seconds > self._limits.slow * self._patience.first_event)

    def wake(self) -> None:
        """Have the model loaded by `watch`, if its server may not have it."""
        if self.is_cold:
            self._due.set()

    def overtaken(self) -> None:
        """A hedge has answered while this model had not given a sign of life."""
        self._note(is_bad=True)

    def failed(self, fault: ReplyFault) -> None:
        """A request of this model failed."""
        if fault is ReplyFault.DENIED:
            self._open(self._limits.denied_probe_after)
        elif fault not in _FAULTS_OF_THE_REQUEST:
            self._note(is_bad=True)

    async def watch(self, model: LanguageModel, chance: Chance = random.uniform) -> None:
        """Load and probe the model in the background when that is due; runs until cancelled.

        Args:
            model: Any model of this identifier.
            chance: Spreads the probes of many processes.
        """
        while True:
            await self._due.wait()
            self._due.clear()
            if not self.is_open and self.is_cold:
                await self._answers(model)
            wait = self._probe_after
            while self.is_open:
                await asyncio.sleep(wait * chance(0.8, 1.2))
                if await self._answers(model):
                    self._close()
                wait = min(wait * 2, self._limits.probe_at_most)

    def _add_stream(self, streams: int) -> None:
        self._streams += streams
        self._count("agent_llm_streams_open", self._streams, model=self.name)

    def _note(self, *, is_bad: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._outcomes.append((now, is_bad))
        recent = [bad for at, bad in self._outcomes if at > now - self._limits.window]
        if len(recent) >= self._limits.enough and sum(recent) >= len(recent) * (
            self._limits.bad_share
        ):
            self._open(self._limits.probe_after)

    def _open(self, probe_after: float) -> None:
        if self.is_open:
            return
        self._probe_after = probe_after
        self._opened.set()
        self._due.set()
        self._count("agent_llm_breaker_open", 1, model=self.name)
        log.warning("model.passed_over", model=self.name)

    def _close(self) -> None:
        self._outcomes.clear()
        self._opened.clear()
        self._count("agent_llm_breaker_open", 0, model=self.name)
        log.info("model.back", model=self.name)

    @property
    def _may_be_unloaded(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._loads and now - self._answered_at > self._limits.idle

    @property
    def _seconds_cold(self) -> float:
        now = asyncio.get_running_loop().time()
        return 0.0 if self._cold_since is None else now - self._cold_since

    def _note_contact(self) -> None:
        if self._may_be_unloaded and self._cold_since is None:
            self._cold_since = asyncio.get_running_loop().time()

    def _answered(self) -> None:
        self._answered_at = asyncio.get_running_loop().time()
        self._cold_since = None

    async def _answers(self, model: LanguageModel) -> bool:
        self._note_contact()
        patience = self._patience
        limit = patience.load if self._may_be_unloaded else patience.first_event
        try:
            async with asyncio.timeout(limit), aclosing(model.reply(self._probe)) as pieces:
                if await anext(pieces, None) is None:
                    return False
        except (ModelError, TimeoutError):
            return False
        except Exception:  # a probe is a reply: what it stumbles over must not end the process
            log.exception("model.probe_crashed", model=self.name)
            return False
        self._answered()
        return True


class HedgeBudget:
    """How many second requests this process may make: a share of all requests.

    Args:
        share: Of the requests, in the long run; the bucket begins half full.
        capacity: Hedges that can be saved up.
        pause: Seconds without hedges after a model was throttled.
        is_allowed: Whether this process can afford a hedge now, at all.
    """

    def __init__(
        self,
        share: float = 0.05,
        capacity: float = 10.0,
        pause: float = 30.0,
        is_allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._share = share
        self._is_allowed = is_allowed
        self._capacity = capacity
        self._pause = pause
        self._saved = capacity / 2 if share else 0.0
        self._paused_until = float("-inf")

    def earn(self) -> None:
        """A request was made."""
        self._saved = min(self._saved + self._share, self._capacity)

    def pause(self) -> None:
        """A model was throttled: more requests would make it worse."""
        self._paused_until = asyncio.get_running_loop().time() + self._pause

    def spend(self) -> bool:
        """Whether a hedge may be made now; it is then taken off the budget."""
        is_paused = asyncio.get_running_loop().time() < self._paused_until
        # Twenty times a twentieth is a little less than one in binary.
        if is_paused or self._saved < 1.0 - 1e-9 or not self._is_allowed():
            return False
        self._saved -= 1.0
        return True
