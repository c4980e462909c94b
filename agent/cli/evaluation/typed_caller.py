"""A caller who types: a line is spoken, also while the agent speaks, which then stops.

Piped lines wait until the agent has answered the one before, and the call ends with the input.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from agent.cli.terminal_screen import Screen
from agent.cli.terminal_transport import KEYS
from agent.scenarios.caller_script import CallerScript
from agent.scenarios.outcome import Speaker, TranscriptLine
from agent.simulator.simulated_call import TwilioCall

HELP = {
    "/dtmf KEYS": "press keys: /dtmf 12#",
    "/noise": "interrupt without words",
    "/lose": "the connection between Twilio and the server is lost",
    "/hangup, /exit": "end the call; also Ctrl-D",
}
_LOOK_SECONDS = 0.1
"""Between two looks at what the agent says, and at what was typed."""
_LOST = "64105"


class TypedCaller:
    """Leads the call of a script by hand; what is said goes into its transcript."""

    def __init__(self, script: CallerScript, screen: Screen, *, is_paced: bool) -> None:
        self._script = script
        self._screen = screen
        self._is_paced = is_paced
        self._typed: asyncio.Queue[str | None] = asyncio.Queue()
        self._shown = ""

    async def play(self) -> None:
        """Call, and talk until a side hangs up."""
        reading = asyncio.create_task(self._read(), name="typed lines")
        try:
            async with aclosing(self._script.call.sessions()) as sessions:
                await self._lead_all(sessions)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        outcome = self._script.call.outcome
        self._screen.note(outcome.value if outcome is not None else "the call is over")

    async def _read(self) -> None:
        try:
            async with aclosing(self._screen.lines()) as lines:
                async for line in lines:
                    self._typed.put_nowait(line.strip())
        finally:
            self._typed.put_nowait(None)

    async def _lead_all(self, sessions: AsyncIterator[TwilioCall]) -> None:
        async for session in sessions:
            while session.ending is None:
                if not self._is_paced:
                    await self._script.hear_out(session)
                await session.wait_until(
                    lambda: not self._typed.empty(), _LOOK_SECONDS, every=_LOOK_SECONDS
                )
                self._show(session)
                if not session.playback.is_playing and session.ledger.open_cycle is None:
                    self._screen.silence()
                if not self._typed.empty() and session.ending is None:
                    await self._take(self._typed.get_nowait(), session)
            self._show(session)
            self._screen.silence()

    def _show(self, session: TwilioCall) -> None:
        """What was heard since the last time."""
        heard = session.playback.heard_text
        if not heard.startswith(self._shown):  # the caller has spoken, and it started over
            self._shown = ""
        if heard != self._shown:
            self._screen.agent(heard.removeprefix(self._shown))
            self._shown = heard

    async def _take(self, typed: str | None, session: TwilioCall) -> None:
        """Act on a typed line: a command, or the caller's words."""
        command, _, rest = (typed or "").partition(" ")
        keys = rest.replace(" ", "")
        match command:
            case "" if typed is not None:
                pass
            case "" | "/hangup" | "/exit":
                self._note(Speaker.CALLER, "(hangs up)")
                await session.hang_up()
            case "/dtmf" if keys and set(keys) <= KEYS:
                self._note(Speaker.CALLER, f"(presses {keys})")
                for key in keys:
                    await session.press(key)
            case "/noise":
                self._note(Speaker.CALLER, "(a noise)")
                await self._break_in("", session)
            case "/lose":
                self._note(Speaker.LINE, f"the connection is lost ({_LOST})")
                await session.fail(_LOST)
            case _ if command.startswith("/"):
                self._screen.answer("\n".join(f"{name:20}{does}" for name, does in HELP.items()))
            case _:
                await self._say(str(typed), session)

    async def _say(self, words: str, session: TwilioCall) -> None:
        is_heard = await self._break_in(words, session)
        self._screen.caller(words)
        self._note(Speaker.CALLER, words if is_heard else f"({words}, not heard by the line)")
        if is_heard:
            await session.prompt(words, language=self._script.scenario.caller.language)
            self._show(session)

    async def _break_in(self, words: str, session: TwilioCall) -> bool:
        """Begin to speak, and stop; whether Twilio hears it. The agent may be interrupted by it."""
        was_speaking = session.playback.is_playing
        is_heard = await session.begin_to_speak(words)
        await session.stop_speaking()
        self._show(session)
        self._screen.silence(is_cut=was_speaking and not session.playback.is_playing)
        return is_heard

    def _note(self, speaker: Speaker, text: str) -> None:
        at = asyncio.get_running_loop().time() - self._script.began_at
        self._script.own_lines.append(TranscriptLine(at, speaker, text))
