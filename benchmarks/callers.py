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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import pack, unpack_from
from typing import cast
from urllib.parse import urlsplit

import msgspec

from benchmarks.model_stub import ModelStub
from benchmarks.replay import percentile
from benchmarks.service import cpu_seconds, rss_bytes, waited_seconds

THINK_SECONDS = 1.3
"""From the end of a reply to the next prompt; with 1.1 s of reply, a turn every 2.4 s."""
_TURN_SECONDS = 30.0
_OPENING_SECONDS = 30.0
_OPEN_AT_ONCE = 8
_NO_MASK = bytes(4)
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_LAG_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a running relay, and how a call gets to its socket."""

    name: str
    pid: int
    open: Callable[[int], Awaitable[tuple[str, Mapping[str, str], str]]]
    """URL of the socket of a new call, headers of the handshake, `CallSid`; given: its number."""
    asks_model: bool = True


class _Frame(msgspec.Struct):
    type: str = ""
    token: str = ""
    last: bool = False


_decode = msgspec.json.Decoder(_Frame).decode


@dataclass(slots=True)
class Turn:
    """One turn by the monotonic clock, in seconds."""

    mark: str
    asked: float = 0.0
    first: float = 0.0
    last: float = 0.0
    frames: int = 0


class Line(asyncio.Protocol):
    """A socket of RFC 6455, client side: whole text frames, pings and the end."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self._headers = headers
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] = loop.create_future()
        """For the handshake, then for the end of each reply."""
        self._is_open = False
        self._turn: Turn | None = None

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str]) -> Line:
        """Connect; raises `ConnectionError` when refused."""
        line = cls(url, headers)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: line, line._url.hostname or "", line._url.port or 80)
        async with asyncio.timeout(_OPENING_SECONDS):
            await line._waiting
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # a TCP socket
        path = f"{self._url.path or '/'}?{self._url.query}".rstrip("?")
        headers = {
            "Host": self._url.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            **self._headers,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._transport.write("\r\n".join([*lines, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self._unread += data
        if not self._is_open:
            head, ended, rest = self._unread.partition(b"\r\n\r\n")
            if not ended:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._fail(head.partition(b"\r\n")[0].decode())
                return
            self._is_open, self._unread = True, rest
            self._waiting.set_result(None)
        while (frame := self._next_frame()) is not None:
            self._hear(*frame, at)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"lost: {type(error).__name__}")

    async def ask(self, mark: str) -> Turn:
        """Say something and wait for the end of the reply; raises `OSError`."""
        turn = self._turn = Turn(mark)
        self._waiting = asyncio.get_running_loop().create_future()
        words = f"Well, tell me about question {mark}."
        prompt = {"type": "prompt", "voicePrompt": words, "lang": "en-US", "last": True}
        turn.asked = time.monotonic()
        self.send(prompt)
        async with asyncio.timeout(_TURN_SECONDS):
            await self._waiting
        return turn

    def send(self, message: Mapping[str, object]) -> None:
        """Send a message of the relay."""
        self._write(_TEXT, msgspec.json.encode(message))

    def hang_up(self) -> None:
        """Close the socket."""
        self._turn = None
        if self._transport is not None and not self._transport.is_closing():
            self._write(_CLOSE, pack("!H", 1000))
            self._transport.close()

    def _write(self, kind: int, content: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the socket is closed")
        size = len(content)
        length = bytes([0x80 | size]) if size < 126 else pack("!BH", 0x80 | 126, size)
        self._transport.write(bytes([0x80 | kind]) + length + _NO_MASK + content)

    def _next_frame(self) -> tuple[int, bytes] | None:
        unread = self._unread
        if len(unread) < 2:
            return None
        size, begin = unread[1] & 0x7F, 2
        if size == 126:
            if len(unread) < 4:
                return None
            size, begin = unpack_from("!H", unread, 2)[0], 4
        if len(unread) < begin + size:
            return None
        self._unread = unread[begin + size :]
        return unread[0] & 0x0F, unread[begin : begin + size]

    def _hear(self, kind: int, content: bytes, at: float) -> None:
        if kind == _PING:
            self._write(_PONG, content)
        elif kind == _TEXT and (turn := self._turn) is not None:
            frame = _decode(content)
            if frame.type != "text":
                return
            turn.frames += 1
            if frame.token and not turn.first:
                turn.first = at
            if frame.last and turn.first:
                turn.last = at
                self._turn = None
                self._waiting.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(reason))


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
    _lines: list[tuple[int, Line]] = field(default_factory=list)

    async def play(self) -> Played:
        """Play all of it; a fault of a call is counted and ends that call."""
        played = Played(calls=self.count, rss_before=rss_bytes(self.subject.pid))
        chance = random.Random(1)
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            await self._open_all(played)
            await asyncio.sleep(self.open_for)
            played.rss_open = rss_bytes(self.subject.pid)
            if self.warm_turns:
                await self._talk(range(self.warm_turns), chance, Played(errors=played.errors))
            await self._measure(chance, played)
        finally:
            for _, line in self._lines:
                line.hang_up()
            gc.enable()
        await asyncio.sleep(self.open_for)
        return played

    async def _measure(self, chance: random.Random, played: Played) -> None:
        lag = asyncio.create_task(_notice_lag(played.lags), name="lag")
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

    async def _open_all(self, played: Played) -> None:
        gate = asyncio.Semaphore(_OPEN_AT_ONCE)

        async def open_one(number: int) -> None:
            try:
                async with gate:
                    url, headers, sid = await self.subject.open(number)
                    line = await Line.open(url, headers)
                    line.send({"type": "setup", "callSid": sid, "sessionId": f"VX{sid[2:]}"})
                    self._lines.append((number, line))
            except (OSError, TimeoutError) as error:
                played.errors[f"opening: {error}"] += 1

        async with asyncio.TaskGroup() as tasks:
            for number in range(self.count):
                tasks.create_task(open_one(number), name=f"opening {number}")

    async def _talk(self, numbers: Sequence[int], chance: random.Random, played: Played) -> None:
        async def talk(number: int, line: Line) -> None:
            await asyncio.sleep(chance.random() * (self.think + 1.1))  # none in step with another
            try:
                for turn in numbers:
                    played.turns.append(await line.ask(f"q{number}x{turn}"))
                    if turn < numbers[-1]:
                        await asyncio.sleep(self.think * chance.uniform(0.8, 1.2))
            except (OSError, TimeoutError) as error:
                played.errors[f"talking: {type(error).__name__} {error}"] += 1

        async with asyncio.TaskGroup() as tasks:
            for number, line in self._lines:
                tasks.create_task(talk(number, line), name=f"caller {number}")


async def _notice_lag(lags: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(_LAG_SECONDS)
        lags.append(time.monotonic() - began - _LAG_SECONDS)


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
