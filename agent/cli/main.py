"""The commands of `python -m agent`: serve, talk, new, dial, seed, check, eval and others.

Settings come from the environment, then from the file .env in the working folder, then defaults.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from dotenv import load_dotenv

from agent import __version__
from agent.cli import (
    caller_data,
    check,
    dial,
    new_agent,
    outcome_command,
    recorded_calls,
    seeding,
    sent_events,
    serve,
    talk,
)
from agent.cli.command import PROGRAM
from agent.cli.evaluation import call, evaluate, load_test, probe
from agent.errors import AgentError
from agent.settings import SettingsError

_DESCRIPTION = (
    "A voice agent on Twilio ConversationRelay. Settings come from the environment, then from the"
    " file .env in this folder, then defaults."
)
_MODULES = (
    serve, talk, new_agent, dial, seeding, check, call, evaluate, load_test, probe, recorded_calls,
    caller_data, sent_events, outcome_command,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _open_closed_streams()
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.run is None:
        parser.print_help()
        return 0
    try:
        _read_env_file(Path(".env"))
        with asyncio.Runner(loop_factory=asked.loop) as runner:
            status: int = runner.run(asked.run(asked))
        sys.stdout.flush()
    except (BrokenPipeError, ExceptionGroup) as error:
        if isinstance(error, ExceptionGroup) and error.split(BrokenPipeError)[1] is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except AgentError as error:
        print(error, file=sys.stderr)
        return int(asked.status_of_fault)
    return status


def _open_closed_streams() -> None:
    """Python sets a standard stream to None if it was closed before the start."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (for good)
            setattr(sys, name, stream)


def _read_env_file(path: Path) -> None:
    """Set what the environment does not; `PYTHON_DOTENV_DISABLED=1` leaves the file alone."""
    try:
        load_dotenv(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise SettingsError(f"{path.absolute()}: cannot be read: {reason}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(status_of_fault=1, run=None, loop=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for module in _MODULES:
        module.add(commands)
    return parser
