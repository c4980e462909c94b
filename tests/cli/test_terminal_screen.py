"""`talk` on real terminals: a pseudo-terminal, whose screen pyte draws.

The screens are kept in `build/screens`, to be looked at.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pyte
import pytest

from agent.cli.terminal_screen import PlainScreen
from tests.waiting import HANG_SECONDS

pytestmark = pytest.mark.needs("time")

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "build" / "screens"
GREETING = "Hello, this is Harbor Oven. How can I help you today?"


class Answering(pyte.Screen):
    """A screen that reports where its cursor is, as terminals do."""

    keyboard: int

    def write_process_input(self, data: str) -> None:
        os.write(self.keyboard, data.encode())


@dataclass(slots=True)
class Shown:
    """A terminal and the process in it."""

    screen: pyte.Screen
    process: subprocess.Popen[bytes]
    master: int
    output: bytes = b""

    @property
    def text(self) -> str:
        """The lines of the screen, joined where they were folded."""
        return " ".join(" ".join(self.screen.display).split())

    def until(self, words: str) -> None:
        """Draw the screen until it shows these words."""
        stream, end = pyte.ByteStream(self.screen), time.monotonic() + HANG_SECONDS
        while words not in self.text:
            assert time.monotonic() < end, f"{words!r} is not in {self.text!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                piece = os.read(self.master, 10_000)
                self.output += piece
                stream.feed(piece)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def keep(self, name: str) -> None:
        keep(name, "\n".join(self.screen.display))


def keep(name: str, text: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    (SCREENS / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")


@contextmanager
def terminal(
    tmp_path: Path, columns: int = 80, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Shown]:
    """A terminal in which a caller talks to the restaurant."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "talk"],
        cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={
            "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8",
            "STORE_PATH": str(tmp_path / "agent.db"), "PYTHON_DOTENV_DISABLED": "1",
            **environment,
        },
    )  # fmt: skip
    try:
        screen = Answering(columns, 24)
        screen.keyboard = master
        yield Shown(screen, process, master)
        assert process.wait(HANG_SECONDS) == 0
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("name", "columns", "environment"),
    [
        ("80x24", 80, {}),
        ("60-columns", 60, {}),
        ("no-colour", 80, {"NO_COLOR": "1"}),
        ("dumb", 80, {"TERM": "dumb"}),
        ("no-utf-8", 80, {"LANG": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}),
    ],
)
def test_a_call_on_a_terminal(
    tmp_path: Path, name: str, columns: int, environment: dict[str, str]
) -> None:
    """A line, its answer, a command, and the end; the terminal is as it was."""
    with terminal(tmp_path, columns, environment) as shown:
        shown.until(f"agent: {GREETING}")
        shown.type("two large Lighthouse pizzas please\r")
        shown.until("Got it, 2 large Lighthouse pizzas. Is this for pickup or delivery?")
        shown.keep(name)
        shown.type("/exit\r")
        shown.until("python -m agent show CA")
        has_colour = b";90m" in shown.output

    assert "two large Lighthouse pizzas please" in shown.text
    assert "tokens in" in shown.text
    assert has_colour == (name not in {"no-colour", "dumb"})


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_key_that_ends_the_call(tmp_path: Path, key: str) -> None:
    """One line and no traceback, also with half a line typed."""
    with terminal(tmp_path) as shown:
        shown.until("agent: Hello")
        if key == "\x03":
            shown.type("half a line")
            shown.until("you: half a line")
        shown.type(key)
        shown.until("call ended (caller hangup)")
        shown.until("python -m agent show CA")

    assert "Traceback" not in shown.text


def test_what_is_typed_does_not_mix_with_what_is_spoken(tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shown.until("agent: Hello")
        shown.type("are you op")
        shown.until(f"agent: {GREETING} you: are you op")
        shown.type("en\r")
        shown.until("you: are you open")
        shown.type("\x04")
        shown.until("python -m agent show CA")


@pytest.mark.parametrize(
    ("kind", "text", "lines"),
    [
        ("agent", "one two three four five six", "agent: one two three\n       four five six\n"),
        ("note", "a note", "  - a note\n"),
        ("caller", "\x1b[2Jhello", "you:  [2Jhello\n"),
    ],
)
def test_whole_lines_are_folded_at_words(kind: str, text: str, lines: str) -> None:
    shown: list[str] = []
    screen = PlainScreen(shown.append, columns=22)

    getattr(screen, kind)(text)
    screen.silence()

    assert "".join(shown) == lines


def piped(tmp_path: Path, shell: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a shell in which {talk} talks to the restaurant, without a terminal."""
    talk = f"{sys.executable} -m agent talk"
    return subprocess.run(  # noqa: S602 (our own command)
        shell.format(talk=talk), shell=True, cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=HANG_SECONDS,
        env={
            "PATH": os.environ["PATH"], "STORE_PATH": str(tmp_path / "agent.db"),
            "PYTHON_DOTENV_DISABLED": "1",
        },
    )  # fmt: skip


def test_piped_lines_give_a_transcript_with_the_order(tmp_path: Path) -> None:
    run = piped(tmp_path, "printf 'a large pepperoni\\npickup\\nyes\\n' | {talk}")
    keep("piped", run.stdout)

    spoken = [line for line in run.stdout.splitlines() if line.startswith(("agent: ", "you: "))]
    assert [line[:36] for line in spoken] == [
        "agent: Hello, this is Harbor Oven. H",
        "you: a large pepperoni",
        "agent: Got it, 1 large Pepperoni piz",
        "you: pickup",
        "agent: So that is 1 large Pepperoni ",
        "you: yes",
        "agent: Your order is placed, and the",
        "agent: It will be ready for pickup i",
    ]
    assert "  - PlaceOrderFunction {" in run.stdout


@pytest.mark.parametrize(
    ("shell", "status"),
    [
        ("printf 'hello\\n' | {talk}", 0),
        ("{talk} </dev/null", 0),
        ("{talk} <&-", 0),
        ("printf 'hello\\n' | {talk} | head -1", 0),
        ("{talk} <&- >&-", 0),
        ("printf 'hello\\n' | {talk} --use-case nope", 1),
    ],
)
def test_pipes_and_closed_streams_give_no_traceback(
    tmp_path: Path, shell: str, status: int
) -> None:
    run = piped(tmp_path, shell)

    assert run.returncode == status
    assert "Traceback" not in run.stderr
    assert "\x1b" not in run.stdout
