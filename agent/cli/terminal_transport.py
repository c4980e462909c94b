"""A terminal in the place of the relay: it speaks at a pace, and reports what was heard.

What has appeared on the screen is what the caller has heard, so an interrupt is as exact as the
relay's. One `TerminalTransport` is one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from agent.call.actions import EndCall, Play, SendDigits, Speak, SwitchLanguage, TransportAction
from agent.call.events import (
    CallEnded,
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    Event,
    Playback,
    PlaybackReported,
)
from agent.cli.terminal_screen import Screen

CHARACTERS_PER_SECOND = 40.0
"""Twice the pace of a fast speaker, so that there is still time to interrupt."""
KEYS = frozenset("0123456789*#")


class TerminalTransport:
    """`ports.Transport` on a screen; 0 characters per second = all at once.

    The caller's words are reported as `language`, BCP 47; empty = no language is reported.
    """

    def __init__(
        self,
        screen: Screen,
        characters_per_second: float = CHARACTERS_PER_SECOND,
        language: str = "",
    ) -> None:
        self._screen = screen
        self._language = language
        self._pace = 1 / characters_per_second if characters_per_second else 0.0
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._unspoken: asyncio.Queue[Speak | EndCall] = asyncio.Queue()
        self._shown = ""
        self._is_speaking = False
        self._may_interrupt = True
        self._is_closed = False
        self._pieces = ""
        self._is_caller_speaking = False
        self._barge_in: tuple[int, str] | None = None

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
                self._screen.note(f"plays {source}")
            case SendDigits(digits):
                self._screen.note(f"sends the tones {digits}")
            case SwitchLanguage(language):
                self._screen.note(f"speaks {language} from now on")

    async def close(self) -> None:
        self._is_closed = True
        self._events.put_nowait(CallEnded())

    async def speak(self) -> None:
        """Show what the agent says, until the call ends."""
        while True:
            match await self._unspoken.get():
                case Speak(_, text, is_last, interruptible):
                    self._may_interrupt = interruptible is not False
                    await self._show(text)
                    if is_last and self._unspoken.empty():
                        self._fall_silent()
                    elif is_last and self._is_speaking:
                        await self._show(" ")
                case EndCall(handoff):
                    self._fall_silent()
                    self._screen.note(f"the call ends: {handoff}" if handoff else "the call ends")
                    self._events.put_nowait(CallEnded())
                    return

    def greet(self, greeting: str) -> None:
        """Speak the greeting, which the relay speaks on a telephone."""
        self._unspoken.put_nowait(Speak(0, greeting, is_last=True))

    def say(self, words: str) -> None:
        """The caller speaks, and interrupts the agent; after pieces these are the last words."""
        self._interrupt()
        self._screen.caller(words)
        if self._is_caller_speaking:
            self._events.put_nowait(PlaybackReported(Playback.CALLER_OFF))
        self._events.put_nowait(
            CallerSpoke(f"{self._pieces} {words}".strip(), language=self._language)
        )
        self._pieces, self._is_caller_speaking = "", False

    def say_piece(self, words: str) -> None:
        """The caller says some words and goes on speaking: partial transcripts."""
        self._interrupt()
        self._screen.caller(f"{words} ...")
        if not self._is_caller_speaking:
            self._events.put_nowait(PlaybackReported(Playback.CALLER_ON))
        self._pieces, self._is_caller_speaking = f"{self._pieces} {words}".strip(), True
        self._events.put_nowait(CallerSpoke(self._pieces, False, self._language))

    def say_at(self, word: int, words: str) -> None:
        """The caller speaks when this many words of the agent's next utterance were heard."""
        self._barge_in = word, words

    def press(self, keys: str) -> None:
        """The caller presses keys; what is no key is ignored."""
        self._interrupt()
        for key in keys:
            if key in KEYS:
                self._events.put_nowait(CallerPressed(key))

    def make_noise(self) -> None:
        """Something without words interrupts the agent."""
        self._interrupt()

    def hang_up(self) -> None:
        """The caller ends the call."""
        self._events.put_nowait(CallEnded())

    def _interrupt(self) -> None:
        """Stop speaking; what has appeared was heard. The end of the call stays in the queue."""
        if not (self._is_speaking and self._may_interrupt):
            return
        for action in [self._unspoken.get_nowait() for _ in range(self._unspoken.qsize())]:
            if isinstance(action, EndCall):
                self._unspoken.put_nowait(action)
        self._events.put_nowait(CallerInterrupted(self._shown))
        self._is_speaking = False
        self._screen.silence(is_cut=True)

    async def _show(self, text: str) -> None:
        if text and not self._is_speaking:
            self._shown, self._is_speaking = "", True
            self._events.put_nowait(PlaybackReported(Playback.AGENT_ON))
        for character in text:
            if not self._is_speaking:
                return
            self._shown += character
            self._screen.agent(character)
            if self._pace:
                await asyncio.sleep(self._pace)
            self._barge_in_at_its_word()

    def _barge_in_at_its_word(self) -> None:
        if self._barge_in is None or not self._is_speaking:
            return
        word, words = self._barge_in
        if len(self._shown.split()) > word or (
            self._shown.endswith(tuple(" .,?!")) and len(self._shown.split()) == word
        ):
            self._barge_in = None
            self.say(words)

    def _fall_silent(self) -> None:
        if self._is_speaking:
            self._is_speaking = False
            self._screen.silence()
            self._events.put_nowait(PlaybackReported(Playback.AGENT_OFF))
