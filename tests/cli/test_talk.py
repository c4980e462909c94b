"""The terminal behaves towards a conversation like the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

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
from agent.cli.talk import HELP, TerminalTransport, show, talk
from agent.observability import Telemetry
from agent.session import Resources
from agent.session.call_manager import CallManager
from agent.store.call_state.journal import open_journals
from tests.fakes import TOOL_REGISTRY, UNREACHABLE, MemoryMessenger, MemoryStore
from tests.servers import offline, opening, seeded, settings_for
from tests.virtual_time import run_virtually

ADA = "+15550100001"
ON, OFF = PlaybackReported(Playback.AGENT_ON), PlaybackReported(Playback.AGENT_OFF)


HELLO = Speak(0, "Hello, how can I help you?", is_last=True)
Step = TransportAction | str | float
"""An action is sent, a text is typed, a number is so many seconds of silence."""


@dataclass(slots=True)
class Terminal:
    """A terminal whose output is kept with its time."""

    pace: float = 10.0
    written: list[tuple[float, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.written)

    def write(self, text: str) -> None:
        self.written.append((asyncio.get_running_loop().time(), text))

    def run(self, *steps: Step) -> None:
        """Take steps in virtual time, wait for silence, and close the line."""

        async def main() -> None:
            line = TerminalTransport(self.write, self.pace)
            async with asyncio.TaskGroup() as tasks:
                voice = tasks.create_task(line.speak())
                reader = tasks.create_task(self._read(line))
                for step in steps:
                    if isinstance(step, str):
                        line.take(step)
                    elif isinstance(step, float):
                        await asyncio.sleep(step)
                    else:
                        await line.send(step)
                await asyncio.sleep(10)
                await line.close()
                await reader
                voice.cancel()

        run_virtually(main())

    async def _read(self, line: TerminalTransport) -> None:
        async for event in line.events():
            self.events.append(event)


@pytest.mark.parametrize(
    ("steps", "text", "events"),
    [
        # utterances that follow each other are told apart by a space
        ([Speak(1, "One.", is_last=True), Speak(2, "Two.", is_last=True)],
         "\nagent: One. Two.\nyou: ", [ON, OFF]),
        # what had appeared was heard, the rest is dropped
        ([HELLO, Speak(1, "Never said.", is_last=True), 0.55, "are you open\n"],
         "\nagent: Hello,", [ON, CallerInterrupted("Hello,"), CallerSpoke("are you open")]),
        # an interrupt counts from the beginning of the speech, which may have several pieces
        ([Speak(1, "A.", is_last=True), 5.0, Speak(2, "One "), Speak(2, "two three"), 0.65, "stop"],
         "\nagent: A.\nyou: \nagent: One two",
         [ON, OFF, ON, CallerInterrupted("One two"), CallerSpoke("stop")]),
        # in silence there is nothing to interrupt
        (["hello"], "", [CallerSpoke("hello")]),
        # an interrupt does not take back the end of the call
        ([Speak(1, "Goodbye and thank you.", is_last=True), EndCall("{}"), 0.35, "wait"],
         "\nagent: Good\n[the call ends: {}]\n",
         [ON, CallerInterrupted("Good"), CallerSpoke("wait")]),
        # only digits, star and pound are keys; a command is not said to the agent
        (["/dtmf 1"], "", [CallerPressed("1")]),
        (["/dtmf 12 #"], "", [CallerPressed("1"), CallerPressed("2"), CallerPressed("#")]),
        (["/dtmf abc"], "", []),
        (["/help"], f"\n{HELP}\n", []),
        (["/nonsense"], f"\n{HELP}\n", []),
        (["  two pizzas  "], "", [CallerSpoke("two pizzas")]),
        # after the end nothing is heard
        (["/hangup", "too late"], "", []),
        # sounds, tones and languages are shown in brackets
        ([Play("https://assets.example.com/typing.mp3"), SendDigits("1w2#"),
          SwitchLanguage("es-US")],
         "\n[plays https://assets.example.com/typing.mp3]\n\n[sends the tones 1w2#]\n"
         "\n[speaks es-US from now on]\n", []),
    ],
)  # fmt: skip
def test_terminal_behaves_like_the_relay(steps: list[Step], text: str, events: list[Event]) -> None:
    terminal = Terminal()

    terminal.run(*steps)

    assert terminal.text == text
    assert terminal.events == [*events, CallEnded()]


def test_no_text_steers_the_terminal() -> None:
    """Neither a reply nor the name of a language."""
    terminal = Terminal()

    terminal.run(Speak(1, "A\x1b[2J\x9b\u202eb.", is_last=True), SwitchLanguage("e\x1bn"))

    assert "A [2J  b." in terminal.text
    assert terminal.text.replace("\n", "").isprintable()


def test_words_appear_at_speaking_pace() -> None:
    """One character after the other, so that there is time to interrupt."""
    terminal = Terminal()

    terminal.run(Speak(1, "Yes."), 0.25, Speak(1, " H", is_last=True))

    moments = [(round(at, 3), text) for at, text in terminal.written]
    assert moments == [
        (0.0, "\nagent: "), (0.0, "Y"), (0.1, "e"), (0.2, "s"), (0.3, "."), (0.4, " "),
        (0.5, "H"), (0.6, "\nyou: "),
    ]  # fmt: skip


def _now() -> float:
    return 1_900_000_000.0


async def _talked(
    store: MemoryStore,
    directory: Path,
    terminal: Terminal,
    typed: AsyncGenerator[str, None],
    caller: str,
) -> EndReason:
    """One call between a keyboard and the offline model."""
    settings = settings_for(directory / "unused")
    async with open_journals(store, _now) as journals:
        messenger = MemoryMessenger(UNREACHABLE)
        resources = Resources(
            store, journals, opening(offline), TOOL_REGISTRY, messenger, Telemetry()
        )
        calls = CallManager(settings, resources, _now)
        line = TerminalTransport(terminal.write, terminal.pace)
        return await talk(calls, line, typed, caller)


def test_conversation_in_a_terminal_is_a_call(tmp_path: Path) -> None:
    """Greeting, words, tools and the end are those of a call on the telephone."""
    terminal = Terminal(pace=40.0)
    store = asyncio.run(seeded(MemoryStore()))

    async def typed() -> AsyncGenerator[str, None]:
        for text in ("a house salad for pickup", "that's all", "yes", "no bye"):
            await asyncio.sleep(30 / 4)
            yield text
        await asyncio.sleep(60)
        raise AssertionError("the agent has hung up long ago")

    reason = run_virtually(_talked(store, tmp_path, terminal, typed(), ADA))

    assert reason is EndReason.AGENT_END
    assert "agent: Hello Ada, this is Harbor Oven." in terminal.text
    assert "The total is $10." in terminal.text
    assert "Goodbye!" in terminal.text
    assert len(asyncio.run(store.query(ADA, "restaurantOrder::"))) == 1


def test_end_of_the_keyboard_hangs_up(tmp_path: Path) -> None:
    store = asyncio.run(seeded(MemoryStore()))

    async def typed() -> AsyncGenerator[str, None]:
        await asyncio.sleep(1)
        yield "hello"

    reason = run_virtually(_talked(store, tmp_path, Terminal(), typed(), ""))

    assert reason is EndReason.CALLER_HANGUP


def test_text_is_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Characters do not wait for the end of a line."""
    show("Hel")

    assert capsys.readouterr().out == "Hel"
