"""The terminal behaves towards a conversation like the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.call.actions import EndCall, Play, SendDigits, Speak, SwitchLanguage
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
from tests.servers import opening, settings_for
from tests.system.test_call import offline, seeded
from tests.virtual_time import run_virtually

ADA = "+15550100001"
ON, OFF = PlaybackReported(Playback.AGENT_ON), PlaybackReported(Playback.AGENT_OFF)


@dataclass(slots=True)
class Terminal:
    """A line whose writing is kept with its time."""

    pace: float = 10.0
    written: list[tuple[float, str]] = field(default_factory=list)
    happened: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.written)

    def write(self, text: str) -> None:
        self.written.append((asyncio.get_running_loop().time(), text))

    def run(self, script: Callable[[TerminalTransport], Coroutine[Any, Any, None]]) -> None:
        """Play a script on virtual time; when all is quiet the line is closed."""

        async def main() -> None:
            line = TerminalTransport(self.write, self.pace)
            async with asyncio.TaskGroup() as tasks:
                voice = tasks.create_task(line.speak())
                reader = tasks.create_task(self._read(line))
                await script(line)
                await asyncio.sleep(10)
                await line.close()
                await reader
                voice.cancel()

        run_virtually(main())

    async def _read(self, line: TerminalTransport) -> None:
        async for event in line.events():
            self.happened.append(event)


def test_utterances_that_follow_each_other_are_told_apart() -> None:
    """A pause on the telephone is a space in the terminal."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        await line.send(Speak(1, "One.", is_last=True))
        await line.send(Speak(2, "Two.", is_last=True))

    terminal.run(script)

    assert terminal.text == "\nagent: One. Two.\nyou: "


def test_no_text_steers_the_terminal() -> None:
    """Neither a reply nor a language, a source or what is handed over."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        await line.send(Speak(1, "A\x1b[2J\x9b\u202eb.", is_last=True))
        await line.send(SwitchLanguage("e\x1bn"))

    terminal.run(script)

    assert "A [2J  b." in terminal.text
    assert terminal.text.replace("\n", "").isprintable()


def test_words_appear_at_speaking_pace() -> None:
    """One character after the other, so that there is time to break in."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        await line.send(Speak(1, "Yes."))
        await asyncio.sleep(0.25)
        await line.send(Speak(1, " Hm", is_last=True))

    terminal.run(script)

    moments = [(round(at, 3), text) for at, text in terminal.written]
    assert moments == [
        (0.0, "\nagent: "),
        (0.0, "Y"),
        (0.1, "e"),
        (0.2, "s"),
        (0.3, "."),
        (0.4, " "),
        (0.5, "H"),
        (0.6, "m"),
        (0.7, "\nyou: "),
    ]
    assert terminal.happened == [ON, OFF, CallEnded()]


def test_typing_interrupts_with_exactly_what_had_appeared() -> None:
    """The rest is thrown away, the words of the caller follow (D7)."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        line.greet("Hello, how can I help you?")
        await line.send(Speak(1, "Never said.", is_last=True))
        await asyncio.sleep(0.55)
        line.take("are you open\n")

    terminal.run(script)

    assert terminal.text == "\nagent: Hello,"
    assert terminal.happened == [
        ON,
        CallerInterrupted("Hello,"),
        CallerSpoke("are you open"),
        CallEnded(),
    ]


def test_interrupt_counts_from_the_beginning_of_the_speech() -> None:
    """Several pieces without a pause are one speech; after silence another one begins."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        await line.send(Speak(1, "First.", is_last=True))
        await asyncio.sleep(5)
        await line.send(Speak(2, "One "))
        await line.send(Speak(2, "two three", is_last=True))
        await asyncio.sleep(0.65)
        line.take("stop")

    terminal.run(script)

    assert terminal.happened[2:4] == [ON, CallerInterrupted("One two")]


def test_typing_in_silence_interrupts_nobody() -> None:
    """Twilio sends no interrupt when nothing plays either."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        line.take("hello")

    terminal.run(script)

    assert terminal.happened == [CallerSpoke("hello"), CallEnded()]


def test_interrupt_does_not_take_back_the_end_of_the_call() -> None:
    """What is said is cut; that the call was given back is not."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        await line.send(Speak(1, "Goodbye and thank you.", is_last=True))
        await line.send(EndCall("{}"))
        await asyncio.sleep(0.35)
        line.take("wait")

    terminal.run(script)

    assert terminal.text == "\nagent: Good\n[the call ends: {}]\n"
    assert terminal.happened[:3] == [ON, CallerInterrupted("Good"), CallerSpoke("wait")]
    assert terminal.happened[3] == CallEnded()


@pytest.mark.parametrize(
    ("typed", "events"),
    [
        ("/dtmf 1", [CallerPressed("1")]),
        ("/dtmf 12 #", [CallerPressed("1"), CallerPressed("2"), CallerPressed("#")]),
        ("/dtmf abc", []),
        ("/help", []),
        ("/nonsense", []),
        ("  two pizzas  ", [CallerSpoke("two pizzas")]),
    ],
)
def test_line_that_is_typed_is_words_or_keys_or_a_command(
    typed: str, events: Sequence[Event]
) -> None:
    """Only digits, star and pound are keys; a command is not said to the agent."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        line.take(typed)

    terminal.run(script)

    assert terminal.happened == [*events, CallEnded()]
    is_unknown = typed.startswith("/") and "dtmf" not in typed
    assert terminal.text == (f"\n{HELP}\n" if is_unknown else "")


def test_hang_up_ends_the_line() -> None:
    """Nothing that is typed later is heard."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        line.take("/hangup")
        line.take("too late")

    terminal.run(script)

    assert terminal.happened == [CallEnded()]


def test_what_a_terminal_cannot_play_is_told() -> None:
    """Sounds, tones and languages are shown in brackets."""
    terminal = Terminal()

    async def script(line: TerminalTransport) -> None:
        await line.send(Play("https://assets.example.com/typing.mp3"))
        await line.send(SendDigits("1w2#"))
        await line.send(SwitchLanguage("es-US"))

    terminal.run(script)

    assert terminal.text.split("\n") == [
        "",
        "[plays https://assets.example.com/typing.mp3]",
        "",
        "[sends the tones 1w2#]",
        "",
        "[speaks es-US from now on]",
        "",
    ]


def _now() -> float:
    return 1_900_000_000.0


def test_conversation_in_a_terminal_is_a_call(tmp_path: Path) -> None:
    """Greeting, words, tools and the end are those of a call on the phone."""
    terminal = Terminal(pace=40.0)
    store = asyncio.run(seeded(MemoryStore()))

    async def typed() -> AsyncGenerator[str, None]:
        for text in ("a house salad for pickup", "that's all", "yes", "no bye"):
            await asyncio.sleep(30 / 4)
            yield text
        await asyncio.sleep(60)
        raise AssertionError("the agent has hung up long ago")

    async def main() -> EndReason:
        settings = settings_for(tmp_path / "unused")
        async with open_journals(store, _now) as journals:
            messenger = MemoryMessenger(UNREACHABLE)
            resources = Resources(
                store, journals, opening(offline), TOOL_REGISTRY, messenger, Telemetry()
            )
            calls = CallManager(settings, resources, _now)
            return await talk(calls, TerminalTransport(terminal.write, terminal.pace), typed(), ADA)

    reason = run_virtually(main())

    assert reason is EndReason.AGENT_END
    assert "agent: Hello Ada, this is Harbor Oven." in terminal.text
    assert "The total is $10." in terminal.text
    assert "Goodbye!" in terminal.text
    assert len(asyncio.run(store.query(ADA, "restaurantOrder::"))) == 1


def test_end_of_the_keyboard_hangs_up(tmp_path: Path) -> None:
    """A pipe that is empty is a caller who is gone."""
    terminal = Terminal()
    store = asyncio.run(seeded(MemoryStore()))

    async def typed() -> AsyncGenerator[str, None]:
        await asyncio.sleep(1)
        yield "hello"

    async def main() -> EndReason:
        settings = settings_for(tmp_path / "unused")
        async with open_journals(store, _now) as journals:
            messenger = MemoryMessenger(UNREACHABLE)
            resources = Resources(
                store, journals, opening(offline), TOOL_REGISTRY, messenger, Telemetry()
            )
            calls = CallManager(settings, resources, _now)
            return await talk(calls, TerminalTransport(terminal.write), typed(), "")

    assert run_virtually(main()) is EndReason.CALLER_HANGUP


def test_text_is_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Characters do not wait for the end of a line."""
    show("Hel")

    assert capsys.readouterr().out == "Hel"
