"""What a call looks like in a terminal, and what is typed.

There are two screens. `PromptScreen` is for a person at a terminal: the utterance grows above the
line that is being typed, and the two never mix. `PlainScreen` is for pipes, files and terminals
without cursor movement: whole lines, nothing redrawn.

Callers and models may say anything, so whatever would steer a terminal is left out (`printable`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import nullcontext
from typing import Protocol

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from agent.observability.recording.transcript import printable

AGENT, YOU = "agent: ", "you: "
_NOTE = "  - "
_STYLE = Style.from_dict({"caller": "bold", "note": "ansibrightblack", "fault": "ansired"})
_NARROWEST = 20


class Screen(Protocol):
    """Shows a call."""

    is_quiet: bool
    """Notes are left out."""

    def agent(self, text: str) -> None:
        """The agent has said this much more of its utterance."""

    def silence(self, *, is_cut: bool = False) -> None:
        """The utterance is over; `is_cut`: the caller interrupted it."""

    def caller(self, text: str) -> None:
        """The caller has said this."""

    def note(self, text: str) -> None:
        """Something about the call."""

    def fault(self, text: str) -> None:
        """Something that went wrong."""

    def answer(self, text: str) -> None:
        """Lines that answer a command."""

    def lines(self) -> AsyncGenerator[str, None]:
        """The lines that are typed, until the input ends or Ctrl-C."""


class _Lines(ABC):
    """Builds whole lines, folded at words; a subclass writes them."""

    def __init__(self) -> None:
        self.is_quiet = False
        self._utterance = ""

    def agent(self, text: str) -> None:
        self._utterance += printable(text)

    def silence(self, *, is_cut: bool = False) -> None:
        if said := self._utterance.strip():
            self._write("agent", AGENT, f"{said}—" if is_cut and _can_show("—") else said)
        self._utterance = ""

    def caller(self, text: str) -> None:
        self._write("caller", YOU, printable(text))

    def note(self, text: str) -> None:
        if not self.is_quiet:
            self._write("note", _NOTE, printable(text))

    def fault(self, text: str) -> None:
        self._write("fault", _NOTE, printable(text))

    def answer(self, text: str) -> None:
        for line in text.splitlines():
            self._write("answer", "", printable(line))

    @abstractmethod
    def _write(self, kind: str, begin: str, text: str) -> None:
        """Show a whole line; `kind` is that of its style."""


class PlainScreen(_Lines):
    """Whole lines on standard output; folded only on a terminal."""

    def __init__(
        self, write: Callable[[str], object], columns: int = 0, *, echoes: bool = True
    ) -> None:
        super().__init__()
        self._show_line = write
        self._columns = columns
        self._echoes = echoes

    def caller(self, text: str) -> None:
        if self._echoes:  # a terminal does it by itself
            super().caller(text)

    def _write(self, kind: str, begin: str, text: str) -> None:
        self._show_line(f"{_folded(begin, text, self._columns)}\n")

    async def lines(self) -> AsyncGenerator[str, None]:
        async for line in typed_lines():
            yield line


class PromptScreen(_Lines):
    """A line to type in, below the utterance that is being spoken."""

    def __init__(self, source: Input | None = None, output: Output | None = None) -> None:
        super().__init__()
        source = source or create_input()
        # Raw also while lines are shown: a key would be echoed then, and a Ctrl-D lost.
        source.cooked_mode = nullcontext  # type: ignore[method-assign]
        self._session = PromptSession[str](
            self._prompt, style=_STYLE, erase_when_done=True, input=source, output=output
        )

    def agent(self, text: str) -> None:
        super().agent(text)
        self._session.app.invalidate()

    async def lines(self) -> AsyncGenerator[str, None]:
        # The same between two prompts.
        with patch_stdout(raw=True), self._session.app.input.raw_mode():
            while True:
                try:
                    yield await self._session.prompt_async()
                except (EOFError, KeyboardInterrupt):
                    return

    def _prompt(self) -> FormattedText:
        size = self._session.app.output.get_size()
        spoken = _folded(AGENT, self._utterance, size.columns) if self._utterance else ""
        visible = spoken.splitlines()[-max(1, size.rows - 3) :]
        above = [("class:agent", f"{line}\n") for line in visible]
        return FormattedText([*above, ("class:caller", YOU)])

    def _write(self, kind: str, begin: str, text: str) -> None:
        output = self._session.app.output
        line = _folded(begin, text, output.get_size().columns)
        print_formatted_text(FormattedText([(f"class:{kind}", line)]), style=_STYLE, output=output)


def open_screen() -> PromptScreen | PlainScreen:
    """The screen for this process's input and output."""
    on_terminal = sys.stdout.isatty()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a TextIOWrapper
    if on_terminal and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return PromptScreen()
    columns = shutil.get_terminal_size().columns if on_terminal else 0
    return PlainScreen(_print, columns, echoes=not sys.stdin.isatty())


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _can_show(character: str) -> bool:
    try:
        character.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        return False
    return True


def _folded(begin: str, text: str, columns: int) -> str:
    """The text behind its beginning, further lines indented; 0 columns = one line."""
    if not columns:
        return begin + text
    width = max(_NARROWEST, columns - 1)
    indent = " " * (len(begin) or len(text) - len(text.lstrip()))
    lines = textwrap.wrap(text, width, initial_indent=begin, subsequent_indent=indent)
    return "\n".join(lines) or begin.rstrip()


async def typed_lines() -> AsyncGenerator[str, None]:
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
