"""The terminal behaves towards a conversation like the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import pytest

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
from agent.cli.terminal_screen import PlainScreen
from agent.cli.terminal_transport import TerminalTransport
from agent.simulator.virtual_time import run_virtually

ON, OFF = PlaybackReported(Playback.AGENT_ON), PlaybackReported(Playback.AGENT_OFF)
HELLO = Speak(0, "Hello, how can I help you?", is_last=True)
Caller = Callable[[TerminalTransport], None]
Step = TransportAction | Caller | float
"""An action is sent, the caller does something, a number is so many seconds of silence."""


def say(words: str) -> Caller:
    return lambda line: line.say(words)


def say_piece(words: str) -> Caller:
    return lambda line: line.say_piece(words)


def press(keys: str) -> Caller:
    return lambda line: line.press(keys)


def say_at(word: int, words: str) -> Caller:
    return lambda line: line.say_at(word, words)


@dataclass(slots=True)
class Terminal:
    """A terminal at ten characters a second, whose output is kept."""

    shown: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def run(self, *steps: Step) -> None:
        """Take steps in virtual time, wait for silence, and close the line."""

        async def main() -> None:
            line = TerminalTransport(PlainScreen(self.shown.append), 10.0)
            async with asyncio.TaskGroup() as tasks:
                voice = tasks.create_task(line.speak())
                reader = tasks.create_task(self._read(line.events()))
                for step in steps:
                    if isinstance(step, float):
                        await asyncio.sleep(step)
                    elif isinstance(step, TransportAction):
                        await line.send(step)
                    else:
                        step(line)
                await asyncio.sleep(10)
                await line.close()
                await reader
                voice.cancel()

        run_virtually(main())

    async def _read(self, events: AsyncGenerator[Event, None]) -> None:
        async for event in events:
            self.events.append(event)


@pytest.mark.parametrize(
    ("steps", "shown", "events"),
    [
        # utterances that follow each other are one, with a space between
        ([Speak(1, "One.", is_last=True), Speak(2, "Two.", is_last=True)],
         ["agent: One. Two.\n"], [ON, OFF]),
        # what had appeared was heard, the rest is dropped
        ([HELLO, Speak(1, "Never said.", is_last=True), 0.55, say("are you open")],
         ["agent: Hello,—\n", "you: are you open\n"],
         [ON, CallerInterrupted("Hello,"), CallerSpoke("are you open")]),
        # an interrupt counts from the beginning of the speech, which may have several pieces
        ([Speak(1, "A.", is_last=True), 5.0, Speak(2, "One "), Speak(2, "two three"), 0.65,
          say("stop")],
         ["agent: A.\n", "agent: One two—\n", "you: stop\n"],
         [ON, OFF, ON, CallerInterrupted("One two"), CallerSpoke("stop")]),
        # in silence there is nothing to interrupt
        ([say("hello")], ["you: hello\n"], [CallerSpoke("hello")]),
        # words in pieces are partial until the last one
        ([say_piece("my zip"), say_piece("is 12"), say("345")],
         ["you: my zip ...\n", "you: is 12 ...\n", "you: 345\n"],
         [PlaybackReported(Playback.CALLER_ON), CallerSpoke("my zip", is_final=False),
          CallerSpoke("my zip is 12", is_final=False), PlaybackReported(Playback.CALLER_OFF),
          CallerSpoke("my zip is 12 345")]),
        # an interrupt does not take back the end of the call
        ([Speak(1, "Goodbye and thank you.", is_last=True), EndCall("{}"), 0.35, say("wait")],
         ["agent: Good—\n", "you: wait\n", "  - the call ends: {}\n"],
         [ON, CallerInterrupted("Good"), CallerSpoke("wait")]),
        # only digits, star and pound are keys
        ([press("12 #x")], [], [CallerPressed("1"), CallerPressed("2"), CallerPressed("#")]),
        # noise interrupts without words
        ([HELLO, 0.55, TerminalTransport.make_noise],
         ["agent: Hello,—\n"], [ON, CallerInterrupted("Hello,")]),
        # words at a word of the next utterance
        ([say_at(2, "no"), HELLO],
         ["agent: Hello, how—\n", "you: no\n"],
         [ON, CallerInterrupted("Hello, how "), CallerSpoke("no")]),
        # after the end nothing is heard
        ([TerminalTransport.hang_up, say("too late")], ["you: too late\n"], []),
        # sounds, tones and languages
        ([Play("https://assets.example.com/typing.mp3"), SendDigits("1w2#"),
          SwitchLanguage("es-US")],
         ["  - plays https://assets.example.com/typing.mp3\n", "  - sends the tones 1w2#\n",
          "  - speaks es-US from now on\n"], []),
    ],
)  # fmt: skip
def test_terminal_behaves_like_the_relay(
    steps: list[Step], shown: list[str], events: list[Event]
) -> None:
    terminal = Terminal()

    terminal.run(*steps)

    assert terminal.shown == shown
    assert terminal.events == [*events, CallEnded()]


def test_no_text_steers_the_terminal() -> None:
    """Neither a reply nor the name of a language."""
    terminal = Terminal()

    terminal.run(Speak(1, "A\x1b[2J\x9b\u202eb.", is_last=True), SwitchLanguage("e\x1bn"))

    assert terminal.shown[0] == "  - speaks e n from now on\n"
    assert "".join(terminal.shown).replace("\n", "").isprintable()
