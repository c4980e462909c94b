"""What the commands share. Each is a module of this folder, listed in `agent.cli.main`.

Its `add` adds the parser, whose default `run` is a coroutine that returns the exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from agent.observability import configure_logging
from agent.settings import Settings

PROGRAM = os.environ.get("VOICE_AGENT_PROGRAM") or (
    "voice-agent" if Path(sys.argv[0]).stem == "voice-agent" else "python -m agent"
)
"""How the command was called; a script that calls it sets the variable."""


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
        help="folder with use-cases/, profiles/ and tools/; unset = CONFIGURATION",
    )


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


def read_settings(asked: argparse.Namespace) -> Settings:
    """The settings of the environment and of `--config`."""
    given = {"CONFIGURATION": asked.config} if asked.config else {}
    return Settings.read({**os.environ, **given})


def quiet_settings(*, with_mcp: bool = False) -> Settings:
    """Settings of a command that prints; only errors are logged."""
    settings = Settings.read(os.environ)
    configure_logging("error", "console")
    return settings if with_mcp else replace(settings, mcp_config="")
