"""One relay socket and the caller on it, on the clock of the event loop.

The session is that of `relay_session`. With a pace in `Manner` the agent's speech takes its time;
without one the playback moves only by `play_out` and `interrupt`, so tests need no time.

No frame says that the server has finished an answer: a turn with tools may speak a preamble in a
cycle of its own. `say` treats the answer as complete when, since the caller's words, a cycle with
words was closed, none is open, and no frame came for `grace_seconds`. Phrases in `fillers` are not
an answer. Who expects several cycles says so with `cycles=`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket as sockets
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from agent.simulator.relay_session import RelayHabits, RelaySession, SessionEnd
from agent.simulator.server_frames import EndFrame
from agent.simulator.talk_cycles import Departure, TalkCycle

if TYPE_CHECKING:
    from agent.simulator.carrier import Twilio
    from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer

_CLOSING = {getattr(aiohttp.WSMsgType, name) for name in ("CLOSE", "CLOSING", "CLOSED", "ERROR")}


def exact_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The clock of this loop; uvloop rounds its own to milliseconds, so the one it is made of."""
    return time.monotonic if type(loop).__module__ == "uvloop" else loop.time


@dataclass(frozen=True, slots=True)
class Manner(RelayHabits):
    """How Twilio and the caller behave, and how long they wait."""

    grace_seconds: float = 0.05
    """Silence on the socket after which an answer is complete; the only guess in real time."""
    answer_seconds: float = 60.0
    fillers: frozenset[str] = frozenset()
    """Phrases that are not an answer."""


@dataclass(frozen=True, slots=True)
class AgentReply:
    """The answer of the server to one turn of the caller."""

    cycles: tuple[str, ...]
    first_text_seconds: float
    """From the caller's final words to the first text."""

    @property
    def text(self) -> str:
        return " ".join(cycle.strip() for cycle in self.cycles)


class NoReplyError(Exception):
    """No complete reply came within the limit or before the connection was lost."""


@dataclass(frozen=True, slots=True)
class SessionReport:
    """The request to the action URL when the session was over, and its answer."""

    fields: Mapping[str, str]
    answer: TwimlAnswer | None
    """None = there is no action URL."""
    at: float = 0.0
    """When the session was over, on the clock of the loop."""

    @property
    def status(self) -> str:
        return self.fields["SessionStatus"]


class TwilioCall:
    """One relay socket. Made by `Twilio.connect` or `Twilio.dial`, which also end it."""

    def __init__(
        self,
        twilio: Twilio,
        relay: RelayInvitation,
        socket: aiohttp.ClientWebSocketResponse,
        manner: Manner,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = exact_clock(self._loop)
        self._spoke_at = self._now()
        self.relay = relay
        self.session = RelaySession(relay, manner, self._spoke_at)
        self.ledger, self.playback = self.session.ledger, self.session.playback
        self.session_id = self.session.session_id
        self.ending: SessionReport | None = None
        """Set once, when the session is over and the action URL has answered."""
        self._twilio = twilio
        self._socket = socket
        self._manner = manner
        self._watches: list[tuple[asyncio.Future[None], Callable[[], bool]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._work: set[asyncio.Task[None]] = set()
        self._conclusion: asyncio.Task[SessionReport] | None = None
        self._reader = asyncio.create_task(self._read(), name=f"twilio {self.session_id}")

    async def say(
        self, text: str, *, cycles: int = 1, partials: tuple[str, ...] = ()
    ) -> AgentReply:
        """Play everything, say this, and wait for the whole reply; raises `NoReplyError`."""
        await self.play_out()
        for partial in partials:
            await self.prompt(partial, is_final=False)
        await self.prompt(text)
        return await self.reply(cycles=cycles)

    async def reply(self, *, cycles: int = 1) -> AgentReply:
        """Wait for the whole reply to what was said last."""
        await self._until(lambda: not self.ledger.open_cycle and self._answers >= cycles)
        found = self._turn_cycles
        if not found:
            raise NoReplyError("the line was lost before an answer")
        words = tuple(cycle.text for cycle in found)
        return AgentReply(words, found[0].opened_at - self._spoke_at)

    async def prompt(self, text: str, *, is_final: bool = True, language: str = "") -> None:
        """Send the caller's words; returns at once.

        With speech still queued the caller talks over the agent, as with `interruptible="none"`.
        """
        await self._catch_up()
        self._spoke_at = self._now() if is_final else self._spoke_at
        self.session.prompt(text, self._now(), is_final=is_final, language=language)
        await self._step()

    async def begin_to_speak(self, words: str) -> bool:
        """The caller begins to say these words; whether Twilio hears them (`relay_session`)."""
        await self._catch_up()
        is_heard = self.session.begin_to_speak(words, self._now())
        await self._step()
        return is_heard

    async def stop_speaking(self) -> None:
        """The caller falls silent; the words come with `prompt`."""
        self.session.stop_speaking()
        await self._step()

    async def press(self, digit: str) -> bool:
        """One key; whether it was delivered."""
        await self._catch_up()
        self._spoke_at = self._now()
        is_delivered = self.session.press(digit, self._spoke_at)
        await self._step()
        return is_delivered

    async def voice_at(self, characters: int) -> None:
        """The voice has come to so many characters (`SpeechPlayback.is_voiced`)."""
        self.playback.voice_at(characters)
        self.session.advance(self._now())
        await self._step()

    async def hear(self, characters: int) -> int:
        """Wait until so many characters of the reply have arrived, or all; returns their number."""
        await self._until(
            lambda: not self.ledger.open_cycle and self._answers > 0,
            lambda: len(self.playback.text) >= characters,
        )
        return len(self.playback.text)

    async def interrupt(self, *, words: int | None = None, characters: int | None = None) -> str:
        """Interrupt after so much of the speech since the caller's last words.

        Returns what Twilio reports as heard. Raises RuntimeError if nothing is playing, because
        Twilio sends no interrupt then.
        """
        await self._catch_up()
        if not self.playback.is_playing:
            raise RuntimeError("nothing is playing")
        if words is not None:
            self.playback.play_words(words)
        if characters is not None:
            self.playback.play(characters)
        self.session.advance(self._now())
        utterance = self.session.interrupt(self._now())
        await self._step()
        return utterance

    async def settle(self, seconds: float | None = None) -> None:
        """Wait until no cycle is open and nothing comes for so long, by default `grace_seconds`."""
        quiet = self._manner.grace_seconds if seconds is None else seconds
        try:
            await self._until(
                lambda: self.ledger.open_cycle is None,
                within=self._manner.closing_seconds + quiet,
                grace=quiet,
            )
        except NoReplyError:
            self.ledger.blame(Departure.NOT_CLOSED, "the line never settled")

    async def wait_until(
        self, holds: Callable[[], bool], seconds: float, *, every: float = 1.0
    ) -> bool:
        """Wait until something holds, for so long at most, or the session is over; whether it does.

        It is asked after each frame, when a message was played, and every so many seconds.
        """
        until = self._now() + seconds
        while True:
            self.session.advance(self._now())
            await self._step()
            left = until - self._now()
            if self.session.ending is not None or holds() or left <= 0:
                return holds()
            await self._change(min(left, every))

    async def play_out(self) -> None:
        """Everything that has arrived is played to its end."""
        await self._catch_up()
        self.session.play_out(self._now())
        await self._step()

    async def hang_up(self) -> SessionReport:
        """The caller hangs up; without effect when the call is over."""
        await self._catch_up()
        self.session.hang_up(self._now())
        return await self._over()

    async def fail(self, error_code: str = "39001") -> SessionReport:
        """The connection breaks without a closing handshake."""
        if self.session.ending is None:
            self.session.lost(error_code, self._now())
            number = os.dup(self._socket.get_extra_info("socket").fileno())
            with sockets.socket(fileno=number) as line:  # that of uvloop cannot be shut down
                line.shutdown(sockets.SHUT_RDWR)
        return await self._over()

    async def set_up(self) -> None:
        """Send `setup` and begin to play the greeting."""
        self.session.set_up(self._now())
        await self._step()

    async def send(self, **frame: object) -> None:
        """Send a frame as it is; it is lost if the connection is."""
        await self.send_raw(json.dumps(frame))

    async def send_raw(self, text: str) -> None:
        if self.session.ending is None and not self._socket.closed:
            with suppress(ConnectionError):
                await self._socket.send_str(text)

    async def send_binary(self, content: bytes) -> None:
        with suppress(ConnectionError):
            await self._socket.send_bytes(content)

    @property
    def _turn_cycles(self) -> list[TalkCycle]:
        return [cycle for cycle in self.ledger.cycles if cycle.turn == self.ledger.turn]

    @property
    def _answers(self) -> int:
        closed = [cycle.text.strip() for cycle in self._turn_cycles if not cycle.is_open]
        return sum(bool(text) and text not in self._manner.fillers for text in closed)

    async def _until(
        self,
        is_done: Callable[[], bool],
        is_enough: Callable[[], bool] = lambda: False,
        *,
        within: float | None = None,
        grace: float | None = None,
    ) -> None:
        """Wait until `is_enough`, or `is_done` and quiet, or the session is over."""
        limit = self._manner.answer_seconds if within is None else within
        quiet = self._manner.grace_seconds if grace is None else grace
        try:
            async with asyncio.timeout(limit):
                while self.session.ending is None and not is_enough():
                    is_ending = self.ledger.end is not None and not self._manner.pace
                    if is_done() and not is_ending:
                        if not await self._change(quiet):
                            return
                    else:
                        await self._change(None, lambda: is_done() or is_enough())
                if self.session.ending is not None:
                    await self._over()
        except TimeoutError as error:
            raise NoReplyError(f"not done within {limit} s") from error

    async def _change(
        self, seconds: float | None, matters: Callable[[], bool] = lambda: True
    ) -> bool:
        """Wait for a frame or piece of speech that matters; False if none comes in this time."""
        watch = (self._loop.create_future(), matters)
        self._watches.append(watch)
        try:
            async with asyncio.timeout(seconds):
                await watch[0]
        except TimeoutError:
            return False
        finally:
            self._watches.remove(watch)
        return True

    async def _catch_up(self) -> None:
        """Let the frames that have arrived be entered, so that the caller reacts to them."""
        await asyncio.sleep(0)

    async def _step(self) -> None:
        """After each act: send what there is to send, and look when there is more to do."""
        outbox = self.session.outbox
        while outbox:
            await self.send_raw(outbox.popleft())
        self._go_on()

    def _go_on(self) -> None:
        ending, due_at = self.session.ending, self.session.due_at
        if self._timer is not None and (due_at is None or due_at < self._timer_at):
            self._timer.cancel()
            self._timer = None
        if ending is not None and self._conclusion is None:
            conclusion = self._conclude(ending)
            self._conclusion = asyncio.create_task(conclusion, name="twilio conclusion")
        elif due_at is not None and self._timer is None:
            self._timer, self._timer_at = self._loop.call_at(due_at, self._tick), due_at
        for waiting, matters in self._watches:
            if not waiting.done() and (ending is not None or matters()):
                waiting.set_result(None)

    def _tick(self) -> None:
        self._timer = None
        self.session.advance(self._now())
        if self.session.outbox:
            self._begin(self._step())
        else:
            self._go_on()

    def _begin(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            at = self._now()
            if message.type is aiohttp.WSMsgType.TEXT:
                frame = self.session.receive(message.data, at)
                if isinstance(frame, EndFrame) and not self._manner.pace:
                    self._begin(self._finish())
            elif message.type in _CLOSING:
                detail = f"{message.type.name} {self._socket.close_code}"
                self.session.hung_up_on(detail, at)
                await self._step()
                return
            else:
                self.ledger.blame(Departure.BAD_FRAME, message.type.name)
            if self.session.outbox:
                await self._step()
            else:
                self._go_on()

    async def _finish(self) -> None:
        """After `end`, without a pace: what is queued is played, and the session is over."""
        await asyncio.sleep(self._manner.grace_seconds)
        self.session.play_out(self._now())
        self.session.finish(self._now())
        await self._step()

    async def _conclude(self, ending: SessionEnd) -> SessionReport:
        """Close the socket and ask the action URL."""
        await self._socket.close(code=1000, message=b"Closing websocket session")
        await self._reader
        fields, answer = self.session.action_fields(ending), None
        if self.relay.action:
            answer = await self._twilio.post(self.relay.action, fields)
        self.ending = SessionReport(fields, answer, ending.at)
        return self.ending

    async def _over(self) -> SessionReport:
        """What came of the end of the session, which has come."""
        while self._conclusion is None:
            await self._step()
        return await asyncio.shield(self._conclusion)
