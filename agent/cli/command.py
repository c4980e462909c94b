"""What the commands share. Each is a module of this folder, listed in `agent.cli.main`.

Its `add` adds the parser, whose default `run` is a coroutine that returns the exit status.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from agent.errors import AgentError
from agent.observability import configure_logging
from agent.settings import Settings

PROGRAM = os.environ.get("VOICE_AGENT_PROGRAM") or (
    "voice-agent" if Path(sys.argv[0]).stem == "voice-agent" else "python -m agent"
)
"""How the command was called; a script that calls it sets the variable."""
UNUSABLE = 2
"""Exit status: an option, a file or the configuration cannot be used."""


class OptionError(AgentError):
    """What an option says cannot be used; the message begins with the option."""


class Commands(Protocol):
    """The subparsers of `argparse`, whose class has no public name."""

    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser:
        """Add the parser of a command."""


def add_config(command: argparse.ArgumentParser) -> None:
    """Add the option `--config`, which wins over `CONFIGURATION`."""
    command.add_argument(
        "--config",
        default="",
        metavar="DIR",
        help="folder with use-cases/, profiles/ and tools/; unset: the folder of CONFIGURATION",
    )


def add_variables(command: argparse.ArgumentParser) -> None:
    """Add the option `--var`, which may be given several times: pairs of name and value."""
    command.add_argument(
        "--var",
        dest="variables",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the use case in this call; may be repeated",
    )


def _pair(text: str) -> tuple[str, str]:
    name, is_given, value = text.partition("=")
    if not (name and is_given):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def positive(text: str) -> float:
    """The type of an option: a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


def positive_whole(text: str) -> int:
    """The type of an option: a whole number above 0."""
    value = positive(text)
    if value != int(value):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(value)


def check_writable(asked: argparse.Namespace, names: Iterable[str]) -> None:
    """Raise `OptionError` if a file that one of these options names cannot be written."""
    for name in names:
        path: Path | None = getattr(asked, name)
        if path is not None and (fault := _why_not_writable(path)):
            raise OptionError(f"--{name}: {path}: {os.strerror(fault)}")


def _why_not_writable(path: Path) -> int:
    if path.is_dir():
        return errno.EISDIR
    if not path.parent.exists():
        return errno.ENOENT
    if not path.parent.is_dir():
        return errno.ENOTDIR
    return 0 if os.access(path if path.exists() else path.parent, os.W_OK) else errno.EACCES


def write_files(asked: argparse.Namespace, texts: Mapping[str, Callable[[], str]]) -> None:
    """Write the texts by the options that name their files, those that were given.

    One that cannot be written costs no other; `OptionError` is raised at the end.
    """
    faults = list[str]()
    for name, text_of in texts.items():
        path: Path | None = getattr(asked, name)
        try:
            if path is not None:
                path.write_text(text_of(), encoding="utf-8")
        except OSError as error:
            faults.append(f"--{name}: {path}: {error.strerror}")
    if faults:
        raise OptionError("\n".join(faults))


def read_settings(asked: argparse.Namespace) -> Settings:
    """The settings of the environment and of `--config`."""
    given = {"CONFIGURATION": asked.config} if asked.config else {}
    return Settings.read({**os.environ, **given})


def quiet_settings(*, with_mcp: bool = False) -> Settings:
    """Settings of a command that prints; only errors are logged."""
    settings = Settings.read(os.environ)
    configure_logging("error", "console")
    return settings if with_mcp else replace(settings, mcp_config="")
