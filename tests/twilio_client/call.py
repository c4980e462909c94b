"""One call as Twilio carries it: the relay socket, the caller, and the end of the session.

Playback advances in virtual time, see `playback`. Real time passes only while waiting for the
service, within a limit.

No frame says that the service has finished an answer: a turn with tools may speak a preamble in a
cycle of its own. `say` treats the answer as complete when, since the caller's words, a cycle with
words was closed, none is open, and no frame came for `grace_seconds`. Phrases in `fillers` are not
an answer. A test that expects several cycles says so with `cycles=`.

One task reads the socket, because a read that is cancelled by a time limit makes aiohttp give up
its side of the closing handshake.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket as sockets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.twilio_client.ledger import Cycle, Fault, Ledger
from tests.twilio_client.playback import Playback, Reading

if TYPE_CHECKING:
    from tests.twilio_client.client import Answer, Relay, Twilio

_CLOSING = {getattr(aiohttp.WSMsgType, name) for name in ("CLOSE", "CLOSING", "CLOSED", "ERROR")}


@dataclass(frozen=True, slots=True)
class Manner:
    """Behaviour of Twilio that is not documented, and the time limits of the test."""

    reading: Reading = Reading.REPLY
    grace_seconds: float = 0.05
    """Silence on the socket after which an answer is complete; the only guess in real time."""
    answer_seconds: float = 60.0
    closing_seconds: float = 20.0  # within this time an interrupted cycle must be closed
    fillers: frozenset[str] = frozenset()  # phrases that are not an answer
    language: str = "en-US"
    setup: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `setup` to replace or add; None leaves a field out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of the service to one turn of the caller."""

    cycles: tuple[str, ...]
    first_text_seconds: float  # from the caller's final words to the first text

    @property
    def text(self) -> str:
        return " ".join(cycle.strip() for cycle in self.cycles)


class UnansweredError(Exception):
    """No complete reply came within the limit or before the connection was lost."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The request to the action URL when the session was over, and its answer."""

    fields: Mapping[str, str]
    answer: Answer | None  # None = the service set no action URL
    at: float = 0.0  # when the session was over, on the clock of the loop

    @property
    def status(self) -> str:
        return self.fields["SessionStatus"]


class TwilioCall:
    """One relay socket. Made by `Twilio.connect` or `Twilio.dial`, which also end it."""

    def __init__(
        self,
        twilio: Twilio,
        relay: Relay,
        socket: aiohttp.ClientWebSocketResponse,
        manner: Manner,
    ) -> None:
        self.relay = relay
        self.session_id = f"VX{secrets.token_hex(16)}"
        self.ledger = Ledger(closing_seconds=manner.closing_seconds)
        self.playback = Playback()
        self.ending: Ending | None = None  # set once, when the call is over
        self._twilio = twilio
        self._socket = socket
        self._manner = manner
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._spoke_at = self._clock()
        self._events = set(relay.attributes.get("events", "").split())
        self._is_heard_speaking = False
        self._arrived: asyncio.Queue[tuple[float, aiohttp.WSMessage]] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read(), name=f"twilio {self.session_id}")

    async def say(self, text: str, *, cycles: int = 1, partials: tuple[str, ...] = ()) -> Reply:
        """Play everything, say this, and wait for the whole reply; raises `UnansweredError`."""
        await self.play_out()
        for partial in partials:
            await self.prompt(partial, is_final=False)
        await self.prompt(text)
        return await self.reply(cycles=cycles)

    async def reply(self, *, cycles: int = 1) -> Reply:
        """Wait for the whole reply to what was said last."""
        await self._until(lambda: self._answers >= cycles and not self.ledger.open_cycle)
        return self._reply()

    async def prompt(self, text: str, *, is_final: bool = True) -> None:
        """Send the caller's words; returns at once.

        With speech still queued the caller talks over the agent, as with `interruptible="none"`.
        Text without a letter or digit is noise and not a turn.
        """
        await self._catch_up()
        if is_final and any(letter.isalnum() for letter in text):
            self._spoke_at = self._clock()
            self.ledger.caller_spoke(self._spoke_at)
            self.playback.start_over()
        await self.send(type="prompt", voicePrompt=text, lang=self._manner.language, last=is_final)

    async def press(self, digit: str) -> None:
        """One key."""
        await self._catch_up()
        self._spoke_at = self._clock()
        self.ledger.caller_spoke(self._spoke_at)
        await self.send(type="dtmf", digit=digit)

    async def hear(self, characters: int) -> int:
        """Wait until so many characters of the reply have arrived, or all; returns their number."""
        await self._until(
            lambda: self._answers > 0 and not self.ledger.open_cycle,
            lambda: len(self.playback.text) >= characters,
        )
        return len(self.playback.text)

    async def interrupt(self, *, words: int | None = None, characters: int | None = None) -> str:
        """Interrupt after so much of the speech since the caller's last words.

        Returns the reported utterance. Raises RuntimeError if nothing is playing, because Twilio
        sends no interrupt then.
        """
        await self._catch_up()
        if not self.playback.is_playing:
            raise RuntimeError("nothing is playing")
        if words is not None:
            self.playback.play_words(words)
        if characters is not None:
            self.playback.play(characters)
        await self._report_played()
        utterance, after = self.playback.cut(self._manner.reading)
        await self._report_speaking(is_on=False)
        self.ledger.interrupted(self._clock())
        cut = {"utteranceUntilInterrupt": utterance, "durationUntilInterruptMs": after}
        await self.send(type="interrupt", **cut)
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
        except UnansweredError:
            self.ledger.blame(Fault.NOT_CLOSED, "the line never settled")

    async def play_out(self) -> None:
        """Everything that has arrived is played to its end."""
        await self._catch_up()
        self.playback.play(len(self.playback.text))
        await self._report_played()
        await self._report_speaking(is_on=False)

    async def hang_up(self) -> Ending:
        """The caller hangs up; without effect when the call is over."""
        await self._catch_up()
        return await self._end("completed", CallStatus="completed")

    async def fail(self, error_code: str = "39001") -> Ending:
        """The connection breaks without a closing handshake."""
        if self.ending is None:
            raw: Any = self._socket.get_extra_info("socket")
            raw.shutdown(sockets.SHUT_RDWR)
            await self._reader
        return await self._failed(error_code)

    async def set_up(self) -> None:
        """Send `setup` and begin to play the greeting."""
        await self.send(**self._setup())
        greeting = self.relay.attributes.get("welcomeGreeting", "")
        if greeting:
            self.playback.queue(greeting, opens_cycle=True)
            await self._report_speaking(is_on=True)

    async def send(self, **frame: object) -> None:
        """Send a frame as it is; it is lost if the connection is."""
        await self.send_raw(json.dumps(frame))

    async def send_raw(self, text: str) -> None:
        if self.ending is None and not self._socket.closed:
            await self._socket.send_str(text)

    async def send_binary(self, content: bytes) -> None:
        await self._socket.send_bytes(content)

    def _setup(self) -> dict[str, Any]:
        fields = self.relay.fields
        frame: dict[str, Any] = {
            "type": "setup",
            "sessionId": self.session_id,
            "accountSid": fields["AccountSid"],
            "callSid": fields["CallSid"],
            "parentCallSid": "",
            "from": fields.get("From", ""),
            "to": fields["To"],
            "forwardedFrom": "",
            "callerName": "",
            "callType": "PSTN",
            "direction": fields["Direction"],
            "callStatus": fields["CallStatus"].upper(),
            "customParameters": dict(self.relay.parameters),
            **self._manner.setup,
        }
        return {name: value for name, value in frame.items() if value is not None}

    @property
    def _turn_cycles(self) -> list[Cycle]:
        return [cycle for cycle in self.ledger.cycles if cycle.turn == self.ledger.turn]

    @property
    def _answers(self) -> int:
        closed = [cycle.text.strip() for cycle in self._turn_cycles if not cycle.is_open]
        return sum(text not in {"", *self._manner.fillers} for text in closed)

    def _reply(self) -> Reply:
        cycles = self._turn_cycles
        if not cycles:
            raise UnansweredError("the line was lost before an answer")
        return Reply(tuple(cycle.text for cycle in cycles), cycles[0].opened_at - self._spoke_at)

    async def _until(
        self,
        is_done: Callable[[], bool],
        is_enough: Callable[[], bool] = lambda: False,
        *,
        within: float | None = None,
        grace: float | None = None,
    ) -> None:
        """Take frames until `is_enough`, or `is_done` and quiet, or the call is over."""
        limit = self._manner.answer_seconds if within is None else within
        quiet = self._manner.grace_seconds if grace is None else grace
        try:
            async with asyncio.timeout(limit):
                while self.ending is None and not is_enough():
                    if is_done():
                        if not await self._take(quiet):
                            return
                    else:
                        await self._take(limit)
        except TimeoutError as error:
            raise UnansweredError(f"not done within {limit} s") from error

    async def _catch_up(self) -> None:
        """Enter the frames that have arrived, so that the caller reacts to them."""
        await asyncio.sleep(0)
        while self.ending is None and not self._arrived.empty():
            await self._take(0)

    async def _take(self, seconds: float) -> bool:
        """Enter the next frame; False if none comes in this time."""
        try:
            async with asyncio.timeout(seconds if self._arrived.empty() else None):
                at, message = await self._arrived.get()
        except TimeoutError:
            return False
        await self._enter(message, at)
        return True

    async def _enter(self, message: aiohttp.WSMessage, at: float) -> None:
        if message.type in _CLOSING:
            self.ledger.blame(Fault.HUNG_UP_ON, f"{message.type.name} {self._socket.close_code}")
            await self._failed("64105")
        elif message.type is not aiohttp.WSMsgType.TEXT:
            self.ledger.blame(Fault.BAD_FRAME, message.type.name)
        else:
            await self._enter_frame(message.data, at)

    async def _enter_frame(self, text: str, at: float) -> None:
        was_open = self.ledger.open_cycle is not None
        had_ended = self.ledger.end is not None
        frame = self.ledger.received(text, at)
        if frame is None or had_ended:
            return
        if frame["type"] == "text" and frame["token"]:
            self.playback.queue(frame["token"], opens_cycle=not was_open)
            await self._report_speaking(is_on=True)
        elif frame["type"] == "end":
            await self._finish()

    async def _finish(self) -> None:
        """After `end`: play what is queued, close, request the action URL."""
        while await self._take(self._manner.grace_seconds):
            pass
        if self.ending is not None or self.ledger.end is None:
            return
        await self.play_out()
        handoff = self.ledger.end.get("handoffData")
        extra = {} if handoff is None else {"HandoffData": handoff}
        await self._end("ended", CallStatus="in-progress", **extra)

    async def _failed(self, error_code: str) -> Ending:
        return await self._end(
            "failed",
            CallStatus="in-progress",
            ErrorCode=error_code,
            ErrorMessage="The connection to the WebSocket server failed.",
        )

    async def _end(self, status: str, **extra: str) -> Ending:
        if self.ending is None:
            fields = {
                **self.relay.fields,
                "SessionId": self.session_id,
                "SessionStatus": status,
                "SessionDuration": str(int(self._clock() - self._started_at)),
                **extra,
            }
            at = self._clock()
            self.ending = Ending(fields, None, at)
            await self._socket.close(code=1000, message=b"Closing websocket session")
            await self._reader
            if self.relay.action:
                answer = await self._twilio.post(self.relay.action, fields)
                self.ending = Ending(fields, answer, at)
        return self.ending

    async def _report_speaking(self, *, is_on: bool) -> None:
        if is_on is self._is_heard_speaking:
            return
        self._is_heard_speaking = is_on
        if "speaker-events" in self._events:
            await self.send(type="info", name="agentSpeaking", value="on" if is_on else "off", ts=0)

    async def _report_played(self) -> None:
        for text in self.playback.finished_messages():
            if "tokens-played" in self._events:
                await self.send(type="info", name="tokensPlayed", value=text)

    async def _read(self) -> None:
        """Queue each message with its time; the last one is the end of the socket."""
        while True:
            message = await self._socket.receive()
            self._arrived.put_nowait((self._clock(), message))
            if message.type in _CLOSING:
                return
