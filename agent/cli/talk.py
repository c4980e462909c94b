"""A conversation in the terminal: the same session, with a keyboard for a phone.

Words appear at speaking pace. Whatever is typed while the agent speaks interrupts it, with exactly
what had appeared as the part that was heard; so the terminal behaves towards the conversation like
the relay. `/dtmf 1` presses a key, `/hangup` or Ctrl-C ends the call.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import AsyncGenerator, Callable

from agent.call.actions import EndCall, Play, SendDigits, Speak, SwitchLanguage, TransportAction
from agent.call.events import (
    CallEnded,
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    EndReason,
    Event,
    Playback,
    PlaybackReported,
)
from agent.observability.recording.transcript import printable
from agent.session.call_manager import CallManager
from agent.store.call_state.call_item import VERSTAT

CHARACTERS_PER_SECOND = 40.0
"""Twice a brisk voice: fast enough to read along, slow enough to break in."""
HELP = (
    "Type to speak, also while the agent speaks. /dtmf 1 presses a key, /hangup or Ctrl-C ends the"
    " call."
)
_KEYS = frozenset("0123456789*#")
_OURSELVES = "TN-Validation-Passed-A"
"""The number that is called from is the operator's choice."""


class TerminalTransport:
    """`ports.Line` on a terminal.

    Args:
        write: Shows text; called with a few characters at a time.
        characters_per_second: Speaking pace; 0 = all at once.
    """

    def __init__(
        self, write: Callable[[str], object], characters_per_second: float = CHARACTERS_PER_SECOND
    ) -> None:
        self._show_text = write
        self._pace = 1 / characters_per_second if characters_per_second else 0.0
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._unspoken: asyncio.Queue[Speak | EndCall] = asyncio.Queue()
        self._shown = ""
        self._is_speaking = False
        self._is_closed = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """See `ports.Line`."""
        while not self._is_closed:
            event = await self._events.get()
            yield event
            if isinstance(event, CallEnded):
                return

    async def send(self, action: TransportAction) -> None:
        """See `ports.Line`."""
        match action:
            case Speak() | EndCall():
                self._unspoken.put_nowait(action)
            case Play(source):
                self._write(f"\n[plays {source}]\n")
            case SendDigits(digits):
                self._write(f"\n[sends the tones {digits}]\n")
            case SwitchLanguage(language):
                self._write(f"\n[speaks {language} from now on]\n")

    async def close(self) -> None:
        """See `ports.Line`."""
        self._is_closed = True
        self._events.put_nowait(CallEnded())

    async def speak(self) -> None:
        """Let what is said appear; runs until the call is ended."""
        while True:
            match await self._unspoken.get():
                case Speak(_, text, is_last):
                    await self._show(text)
                    if is_last and self._unspoken.empty():
                        self._fall_silent()
                    elif is_last and self._is_speaking:
                        await self._show(" ")
                case EndCall(handoff):
                    self._write(f"\n[the call ends: {handoff}]\n")
                    self._events.put_nowait(CallEnded())
                    return

    def greet(self, greeting: str) -> None:
        """Play the greeting, as the relay would."""
        self._unspoken.put_nowait(Speak(0, greeting, is_last=True))

    def take(self, typed: str) -> None:
        """A line was typed."""
        typed = typed.strip()
        if typed == "/hangup":
            self._events.put_nowait(CallEnded())
            return
        if typed == "/help" or (typed.startswith("/") and not typed.startswith("/dtmf")):
            self._write(f"\n{HELP}\n")
            return
        self._interrupt()
        if typed.startswith("/dtmf"):
            for digit in typed.removeprefix("/dtmf"):
                if digit in _KEYS:
                    self._events.put_nowait(CallerPressed(digit))
        else:
            self._events.put_nowait(CallerSpoke(typed))

    def _interrupt(self) -> None:
        """Stop what is being said; what has appeared was heard."""
        if not self._is_speaking:
            return
        kept = [one for one in self._drain() if isinstance(one, EndCall)]
        for one in kept:
            self._unspoken.put_nowait(one)
        self._events.put_nowait(CallerInterrupted(self._shown))
        self._shown = ""
        self._is_speaking = False

    def _drain(self) -> list[Speak | EndCall]:
        drained = []
        while not self._unspoken.empty():
            drained.append(self._unspoken.get_nowait())
        return drained

    def _write(self, text: str) -> None:
        """Show text, without what could steer the terminal."""
        self._show_text(printable(text))

    async def _show(self, text: str) -> None:
        if text and not self._is_speaking:
            self._is_speaking = True
            self._shown = ""
            self._write("\nagent: ")
            self._events.put_nowait(PlaybackReported(Playback.AGENT_ON))
        for character in text:
            if not self._is_speaking:
                return
            self._write(character)
            self._shown += character
            await asyncio.sleep(self._pace)

    def _fall_silent(self) -> None:
        if self._is_speaking:
            self._is_speaking = False
            self._write("\nyou: ")
            self._events.put_nowait(PlaybackReported(Playback.AGENT_OFF))


async def talk(
    calls: CallManager, line: TerminalTransport, typed: AsyncGenerator[str, None], caller: str
) -> EndReason:
    """Lead one call between a keyboard and the agent.

    Args:
        calls: Where the call is set up and run.
        line: The terminal.
        typed: Lines of the keyboard; its end hangs up.
        caller: E.164 number or `client:identity` to call from; empty = unknown.
    """
    call_sid = f"CA{secrets.token_hex(16)}"
    fields = {"CallSid": call_sid, "From": caller, "To": "terminal", VERSTAT: _OURSELVES}
    prepared = await calls.prepare(fields)

    async def listen() -> None:
        async for text in typed:
            line.take(text)
        line.take("/hangup")

    async with asyncio.TaskGroup() as tasks:
        listener = tasks.create_task(listen(), name="keyboard")
        speaker = tasks.create_task(line.speak(), name="voice")
        line.greet(prepared.greeting)
        reason = await calls.run(call_sid, line)
        listener.cancel()
        speaker.cancel()
    return reason


async def keyboard() -> AsyncGenerator[str, None]:
    """Lines from standard input, without blocking the loop; closes it in the end."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (sys.stdin.isatty() or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        for typed in sys.stdin:  # a file: the loop cannot watch it, and it never makes us wait
            yield typed
        return
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield line.decode(errors="replace")
    finally:
        pipe.close()


def show(text: str) -> None:
    """Write to standard output at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
