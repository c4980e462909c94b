"""Callers of a relay that cost little themselves, and the figures of their turns.

Added time of a turn is what is not the model's: from the prompt's frame to the model's having read
the request, and from the model's first delta to the first text frame.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp

from agent.scenarios.figures import percentile
from agent.scenarios.load_generator import notice_lag, waited_seconds
from agent.simulator.carrier import CallRefusedError, Twilio
from agent.simulator.simulated_call import Manner, NoReplyError, TwilioCall
from agent.simulator.twiml_reader import RelayInvitation
from benchmarks.model_stub import ModelStub
from benchmarks.service import cpu_seconds, rss_bytes

THINK_SECONDS = 1.3
"""From the end of a reply to the next prompt; with 1.1 s of reply, a turn every 2.4 s."""
_MANNER = Manner(grace_seconds=0.0, answer_seconds=30.0)
_OPENING_SECONDS = 30.0
_OPEN_AT_ONCE = 8
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, NoReplyError, CallRefusedError)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a running relay, and how a call gets to its socket."""

    name: str
    pid: int
    twilio: Twilio
    ring: Callable[[int], Awaitable[RelayInvitation]]
    """Given the number of the call; raises `CallRefusedError` when there is no line."""
    asks_model: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn by the monotonic clock, in seconds."""

    mark: str
    asked: float
    first: float
    frames: int


async def ask(call: TwilioCall, mark: str) -> Turn:
    """Say something and wait for the end of the reply."""
    frames = call.ledger.frames
    await call.prompt(f"Well, tell me about question {mark}.")
    await call.reply()
    asked, first = call.ledger.asked[-1], call.ledger.cycles[-1].opened_at
    return Turn(mark, asked, first, call.ledger.frames - frames)


@dataclass(slots=True)
class Played:
    """What some calls were like; times in seconds."""

    turns: list[Turn] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0
    """Processor time of the relay during the measured turns."""
    waited: float = 0.0
    """How long the relay was ready and other work had its core, which makes it late."""
    own_cpu: float = 0.0
    """Of this process, its model included: near `wall` it is what is measured."""
    wall: float = 0.0
    rss_before: int = 0
    """Bytes of the relay before the calls."""
    rss_open: int = 0
    rss_after: int = 0
    lags: list[float] = field(default_factory=list)
    """By how much this process is late."""
    calls: int = 0


@dataclass(slots=True)
class Calls:
    """So many calls side by side; `play` opens them, lets them talk and hangs up."""

    subject: Subject
    count: int
    turns: int
    think: float = THINK_SECONDS
    warm_turns: int = 1
    """Turns of each call before the measured ones."""
    open_for: float = 0.5
    """Seconds between the last call's beginning and its first words."""
    at_edges: Callable[[], None] = lambda: None
    """Called just before and just after the measured turns."""
    _lines: list[tuple[int, TwilioCall]] = field(default_factory=list)

    async def play(self) -> Played:
        """Play all of it; a fault of a call is counted and ends that call."""
        played = Played(calls=self.count, rss_before=rss_bytes(self.subject.pid))
        chance = random.Random(1)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            async with AsyncExitStack() as lines:
                await self._open_all(lines, played)
                await asyncio.sleep(self.open_for)
                played.rss_open = rss_bytes(self.subject.pid)
                if self.warm_turns:
                    await self._talk(range(self.warm_turns), chance, Played(errors=played.errors))
                await self._measure(chance, played)
                await asyncio.gather(*(line.hang_up() for _, line in self._lines))
        finally:
            gc.enable()
        await asyncio.sleep(self.open_for)
        return played

    async def _measure(self, chance: random.Random, played: Played) -> None:
        lag = asyncio.create_task(notice_lag(played.lags), name="lag")
        self.at_edges()
        waited = waited_seconds(self.subject.pid)
        cpu, own, began = cpu_seconds(self.subject.pid), time.process_time(), time.monotonic()
        await self._talk(range(self.warm_turns, self.warm_turns + self.turns), chance, played)
        played.wall = time.monotonic() - began
        played.cpu = cpu_seconds(self.subject.pid) - cpu
        played.waited = waited_seconds(self.subject.pid) - waited
        played.own_cpu = time.process_time() - own
        played.rss_after = rss_bytes(self.subject.pid)
        self.at_edges()
        lag.cancel()

    async def _open_all(self, lines: AsyncExitStack, played: Played) -> None:
        gate = asyncio.Semaphore(_OPEN_AT_ONCE)

        async def open_one(number: int) -> None:
            try:
                async with gate, asyncio.timeout(_OPENING_SECONDS):
                    relay = await self.subject.ring(number)
                    line = self.subject.twilio.connect(relay, manner=_MANNER)
                    self._lines.append((number, await lines.enter_async_context(line)))
            except _FAULTS as error:
                played.errors[f"opening: {error}"] += 1

        async with asyncio.TaskGroup() as tasks:
            for number in range(self.count):
                tasks.create_task(open_one(number), name=f"opening {number}")

    async def _talk(self, numbers: Sequence[int], chance: random.Random, played: Played) -> None:
        async def talk(number: int, line: TwilioCall) -> None:
            await asyncio.sleep(chance.random() * (self.think + 1.1))  # none in step with another
            try:
                for turn in numbers:
                    played.turns.append(await ask(line, f"q{number}x{turn}"))
                    if turn < numbers[-1]:
                        await asyncio.sleep(self.think * chance.uniform(0.8, 1.2))
            except _FAULTS as error:
                played.errors[f"talking: {type(error).__name__} {error}"] += 1

        async with asyncio.TaskGroup() as tasks:
            for number, line in self._lines:
                tasks.create_task(talk(number, line), name=f"caller {number}")


def figures(played: Played, model: ModelStub, *, asks_model: bool = True) -> dict[str, float]:
    """The figures of a run: times in milliseconds, shares of a core, kilobytes per call."""
    on_way_in, on_way_out, added, unasked = [], [], [], 0
    for turn in played.turns:
        if not asks_model:
            added.append(1000 * (turn.first - turn.asked))
        elif (answered := model.answered.get(turn.mark)) is None:
            unasked += 1
        else:
            on_way_in.append(1000 * (answered.read - turn.asked))
            on_way_out.append(1000 * (turn.first - answered.began))
            added.append(on_way_in[-1] + on_way_out[-1])
    turns = max(1, len(played.turns))
    found: dict[str, float] = {
        "cpu_ms": 1000 * played.cpu / turns,
        "core": played.cpu / played.wall,
        "waited": played.waited / played.wall,
        "rig_core": played.own_cpu / played.wall,
        "frames": sum(turn.frames for turn in played.turns) / turns,
        "turns": len(played.turns),
        "errors": played.errors.total() + unasked,
        "kb_open": (played.rss_open - played.rss_before) / 1024 / played.calls,
        "kb_after": (played.rss_after - played.rss_before) / 1024 / played.calls,
    }
    for name, values in (
        ("added", added),
        ("in", on_way_in),
        ("out", on_way_out),
        ("lag", [1000 * lag for lag in played.lags]),
    ):
        if ordered := sorted(values):
            found[f"{name}_p50"] = percentile(ordered, 0.5)
            found[f"{name}_p95"] = percentile(ordered, 0.95)
    return found
