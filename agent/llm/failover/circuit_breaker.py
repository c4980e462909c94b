"""What this process has learned of each model: circuit breaker, hedge times, loading.

All calls share one `ModelCircuit` for each identifier and one `HedgeBudget`.

**Circuit breaker.** It opens when at least half of the recent requests failed or came late, or at
once when the model cannot be used (`DENIED`); faults of the request do not count. It closes when a
probe is answered, a request of one word in the background. Rejected: `warm` as the probe, as a
broken model accepts connections.

**Hedges.** A second request is due when the first is later than 95 % of recent ones, between 0.8 s
and `TimeLimits.hedge`. Only streams that began are measured: stalls would otherwise raise the limit
that finds them. The budget allows hedges for one request in twenty, so that a slow model is not
always asked twice. It fills with requests, so that a quiet night saves up none, and pauses after
throttling.

**Loading.** Some servers, as Ollama, load a model at its first request, unload it after some idle
minutes, and stop loading when the client leaves. The probe loads such a cold model when the process
starts and when a call begins. A reply that has no other model left waits longer for a cold one,
until `TimeLimits.load` has passed since the first request.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from math import ceil

import structlog

from agent.call.events import ReplyFault
from agent.call.messages import Choice, Message, ReplyRequest, Role, Text, ToolSpec
from agent.errors import ModelError
from agent.ports import Count, LanguageModel, uncounted
from agent.usecases.model_times import TimeLimits

log = structlog.get_logger(__name__)

Chance = Callable[[float, float], float]  # a random number between two others

_FAULTS_OF_THE_REQUEST = frozenset({ReplyFault.REFUSED, ReplyFault.TOO_LONG})
_PROBE = ReplyRequest(
    system="Answer with one word.",
    messages=(Message(Role.CALLER, (Text("Hello?"),)),),
    choice=Choice.NONE,
    max_tokens=16,
)
_NO_TOOL = ToolSpec("Nothing", "Does nothing.", '{"type":"object","properties":{}}')

_SLOW_SHARE = 0.8  # a first event later than this share of its time limit counts as a failure
_WINDOW_SECONDS = 60.0
_WINDOW_REQUESTS = 20
_FEWEST_REQUESTS = 6  # the circuit does not open for fewer recent requests
_FAILED_SHARE = 0.5
_PROBE_SECONDS = 5.0
_PROBE_DENIED_SECONDS = 60.0
_LONGEST_PROBE_SECONDS = 60.0  # the wait for the next probe doubles up to this
_IDLE_SECONDS = 240.0  # without an answer a server may unload the model; Ollama does after 300 s
_EARLIEST_HEDGE = 0.8
_HEDGE_PERCENTILE = 0.95
_FIRST_EVENTS = 100  # latest ones that are measured
_HEDGE_SAMPLES = 20  # with fewer first events `TimeLimits.hedge` is used
_MOST_HEDGES = 10.0  # saved in the budget
_NO_HEDGES_SECONDS = 30.0  # after throttling


class ModelCircuit:
    """The state of one model in this process. Times are of the running loop, in seconds."""

    def __init__(
        self,
        name: str,
        count: Count = uncounted,
        limits: TimeLimits | None = None,
        *,
        may_load: bool = False,
    ) -> None:
        self.name = name
        self.is_open = False
        self._count = count
        self._open_streams = 0
        self._limits = limits or TimeLimits()
        self._may_load = may_load
        self._answered_at = float("-inf")
        self._cold_since: float | None = None  # the first request since it may have to be loaded
        self._probe_due = asyncio.Event()
        self._probe_seconds = _PROBE_SECONDS
        self._probe = _PROBE
        self._first_events = _LatestNumbers(_FIRST_EVENTS)
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=_WINDOW_REQUESTS)
        self._failed_at = float("-inf")

    @property
    def is_cold(self) -> bool:
        """Whether the model may have to be loaded first, and a reply may wait for that."""
        return self._may_be_unloaded and self._seconds_cold < self._limits.load

    def longest_wait(self, limits: TimeLimits) -> float:
        """Seconds for the first event of a reply that has no other model left."""
        left = self._limits.load - self._seconds_cold if self.is_cold else 0.0
        return max(left, limits.first_event)

    def hedge_after(self, limits: TimeLimits) -> float | None:
        """Seconds after which a request without any event is late; None = never."""
        if not limits.hedge or len(self._first_events) < _HEDGE_SAMPLES:
            return limits.hedge or None
        usual = self._first_events.percentile(_HEDGE_PERCENTILE)
        return min(max(usual, _EARLIEST_HEDGE), limits.hedge)

    def stream_opened(self, *, with_tools: bool = False) -> None:
        self._count_streams(1)  # `stream_closed` follows once
        self._note_request()
        if with_tools:  # a model that cannot use tools must not answer the probe
            self._probe = replace(_PROBE, tools=(_NO_TOOL,), choice=Choice.AUTO)

    def stream_closed(self) -> None:
        self._count_streams(-1)

    def stream_began(self, seconds: float, limits: TimeLimits) -> None:
        self._count("agent_llm_time_to_first_event_seconds", seconds, model=self.name)
        was_cold = self._may_be_unloaded
        self._note_answer()
        if not was_cold:
            self._first_events.add(seconds)
        is_slow = seconds > _SLOW_SHARE * limits.first_event
        self._note(is_failure=is_slow and not was_cold)

    def overtaken(self) -> None:
        """A hedge has answered while this model had sent no event."""
        self._note(is_failure=True)

    def failed(self, fault: ReplyFault) -> None:
        if fault is ReplyFault.DENIED:
            self._open(_PROBE_DENIED_SECONDS)
        elif fault not in _FAULTS_OF_THE_REQUEST:
            self._note(is_failure=True)

    def wake(self) -> None:
        if self.is_cold:
            self._probe_due.set()

    async def probe(self, model: LanguageModel, chance: Chance = random.uniform) -> None:
        """Load and probe the model in the background when due; runs until cancelled."""
        while True:
            await self._probe_due.wait()
            self._probe_due.clear()
            if not self.is_open and self.is_cold:
                await self._answers(model)
            wait = self._probe_seconds
            while self.is_open:
                await asyncio.sleep(wait * chance(0.8, 1.2))
                if await self._answers(model):
                    self._close()
                wait = min(wait * 2, _LONGEST_PROBE_SECONDS)

    def _count_streams(self, change: int) -> None:
        self._open_streams += change
        self._count("agent_llm_streams_open", self._open_streams, model=self.name)

    def _note(self, *, is_failure: bool) -> None:
        now = _now()
        since = now - _WINDOW_SECONDS
        self._outcomes.append((now, is_failure))
        if is_failure:
            self._failed_at = now
        if self._failed_at <= since:
            return
        recent = [failed for at, failed in self._outcomes if at > since]
        if len(recent) >= _FEWEST_REQUESTS and sum(recent) >= len(recent) * _FAILED_SHARE:
            self._open(_PROBE_SECONDS)

    def _open(self, probe_seconds: float) -> None:
        if self.is_open:
            return
        self.is_open = True
        self._probe_seconds = probe_seconds
        self._probe_due.set()
        self._count("agent_llm_breaker_open", 1, model=self.name)
        log.warning("llm.circuit_opened", model=self.name)

    def _close(self) -> None:
        self.is_open = False
        self._outcomes.clear()
        self._count("agent_llm_breaker_open", 0, model=self.name)
        log.info("llm.circuit_closed", model=self.name)

    @property
    def _may_be_unloaded(self) -> bool:
        return self._may_load and _now() - self._answered_at > _IDLE_SECONDS

    @property
    def _seconds_cold(self) -> float:
        return 0.0 if self._cold_since is None else _now() - self._cold_since

    def _note_request(self) -> None:
        if self._may_be_unloaded and self._cold_since is None:
            self._cold_since = _now()

    def _note_answer(self) -> None:
        self._answered_at, self._cold_since = _now(), None

    async def _answers(self, model: LanguageModel) -> bool:
        self._note_request()
        limit = self._limits.load if self._may_be_unloaded else self._limits.first_event
        try:
            async with asyncio.timeout(limit), aclosing(model.reply(self._probe)) as pieces:
                if await anext(pieces, None) is None:
                    return False
        except (ModelError, TimeoutError):
            return False
        except Exception:  # an unexpected error of a probe must not end the process
            log.exception("llm.probe_crashed", model=self.name)
            return False
        self._note_answer()
        return True


class _LatestNumbers:
    """The latest numbers, kept in order too: sorting all for each reply was 1 % of a turn."""

    def __init__(self, most: int) -> None:
        self._latest = deque[float](maxlen=most)
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, number: float) -> None:
        if len(self._latest) == self._latest.maxlen:
            del self._ordered[bisect_left(self._ordered, self._latest[0])]
        self._latest.append(number)
        insort(self._ordered, number)

    def percentile(self, share: float) -> float:
        return self._ordered[ceil(len(self._ordered) * share) - 1]


def _now() -> float:
    return asyncio.get_running_loop().time()


class HedgeBudget:
    """The second requests of this process: a share of all. It begins half full."""

    def __init__(
        self,
        share: float = 0.05,
        is_allowed: Callable[[], bool] = lambda: True,
        throttled: Callable[[], None] = lambda: None,
    ) -> None:
        self._share = share
        self._is_allowed = is_allowed
        self._throttled = throttled
        self._saved = _MOST_HEDGES / 2 if share else 0.0
        self._paused_until = float("-inf")

    def earn(self) -> None:
        self._saved = min(self._saved + self._share, _MOST_HEDGES)

    def pause(self) -> None:
        self._paused_until = _now() + _NO_HEDGES_SECONDS
        self._throttled()

    def spend(self) -> bool:
        """Take a hedge from the budget; whether it may be made."""
        is_paused = _now() < self._paused_until
        # Twenty times a twentieth is a little less than one in binary.
        if is_paused or self._saved < 1.0 - 1e-9 or not self._is_allowed():
            return False
        self._saved -= 1.0
        return True
