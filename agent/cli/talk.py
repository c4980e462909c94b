"""The `talk` command: a call in the terminal, with the session that runs calls on the telephone.

Words appear at speaking pace. A line typed while the agent speaks interrupts it, and what had
appeared is the part that was heard, as the relay reports it. `/dtmf 1` presses a key, `/hangup` or
Ctrl-C ends the call.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from agent import app
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
from agent.cli.command import Commands
from agent.llm.offline import OFFLINE_NOTICE
from agent.observability import configure_logging
from agent.observability.recording.transcript import printable
from agent.session.call_manager import CallManager
from agent.settings import Settings
from agent.store.call_state.call_item import VERSTAT
from agent.usecases.caller_identity import identify

CHARACTERS_PER_SECOND = 40.0
"""Twice the pace of a fast speaker, so that there is still time to interrupt."""
HELP = (
    "Type to speak, also while the agent speaks. /dtmf 1 presses a key, /hangup or Ctrl-C ends the"
    " call."
)
_KEYS = frozenset("0123456789*#")
_VERIFIED = "TN-Validation-Passed-A"
"""The caller's number counts as verified: the operator chose it."""


def add(commands: Commands) -> None:
    """Add the command."""
    talking = commands.add_parser("talk", help="talk to an agent in this terminal")
    talking.add_argument("--use-case", metavar="NAME", help="instead of STACK_USE_CASE")
    talking.add_argument(
        "--from", dest="caller", default="", metavar="NUMBER", help="calls from this number"
    )
    talking.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    settings = Settings.read(os.environ)
    configure_logging("error", "console", with_personal=settings.log_personal_data)
    # The limits for callers do not apply to the operator's terminal.
    settings = replace(settings, caller_calls_per_hour=0, caller_tokens_per_day=0)
    if asked.use_case:
        settings = replace(settings, stack_use_case=asked.use_case)
    if asked.caller and not identify(asked.caller):
        print(f"--from: {asked.caller} is neither an E.164 number nor client:identity")
        return 1
    if settings.model_identifier.startswith("offline:"):
        print(OFFLINE_NOTICE)
    print(HELP)
    async with app.open_calls(settings) as (calls, _, _):
        line = TerminalTransport(show)
        _hang_up_on_interrupt(line)
        reason = await talk(calls, line, keyboard(), asked.caller)
    print(f"\n[{reason}]")
    return 0


def _hang_up_on_interrupt(line: TerminalTransport) -> None:
    """End the call at the first Ctrl-C; the second one ends the command."""
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        line.take("/hangup")

    loop.add_signal_handler(signal.SIGINT, hang_up)


class TerminalTransport:
    """`ports.Transport` on a terminal; 0 characters per second = all at once."""

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
        while not self._is_closed:
            event = await self._events.get()
            yield event
            if isinstance(event, CallEnded):
                return

    async def send(self, action: TransportAction) -> None:
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
        self._is_closed = True
        self._events.put_nowait(CallEnded())

    async def speak(self) -> None:
        """Show what the agent says, until the call ends."""
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
        """Speak the greeting, which the relay speaks on a telephone."""
        self._unspoken.put_nowait(Speak(0, greeting, is_last=True))

    def take(self, typed: str) -> None:
        """Read a typed line: a command, or the caller's words."""
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
        """Stop speaking; what has appeared was heard. The end of the call stays in the queue."""
        if not self._is_speaking:
            return
        for action in [self._unspoken.get_nowait() for _ in range(self._unspoken.qsize())]:
            if isinstance(action, EndCall):
                self._unspoken.put_nowait(action)
        self._events.put_nowait(CallerInterrupted(self._shown))
        self._shown, self._is_speaking = "", False

    def _write(self, text: str) -> None:
        self._show_text(printable(text))

    async def _show(self, text: str) -> None:
        if text and not self._is_speaking:
            self._shown, self._is_speaking = "", True
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
    """Run one call, which ends after the last typed line; an empty caller is unknown."""
    call_sid = f"CA{secrets.token_hex(16)}"
    fields = {"CallSid": call_sid, "From": caller, "To": "terminal", VERSTAT: _VERIFIED}
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
    """The lines of standard input, without blocking the event loop; closes it at the end."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (sys.stdin.isatty() or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        for typed in sys.stdin:  # a file: nothing to watch, and reading does not block
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
