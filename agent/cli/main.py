"""The commands: `python -m agent serve | talk | new | dial | seed | check | show | replay`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from agent.cli import check, dial, new_agent, recorded_calls, seeding, serve, talk
from agent.cli.command import PROGRAM
from agent.errors import AgentError

_MODULES = (serve, talk, new_agent, dial, seeding, check, recorded_calls)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _open_closed_streams()
    asked = _parser().parse_args(arguments)
    try:
        status: int = asyncio.run(asked.run(asked))
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.set_defaults(status_of_fault=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _MODULES:
        module.add(commands)
    return parser
