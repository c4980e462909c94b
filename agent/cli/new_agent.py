"""The `new` command: makes a configuration folder with an agent that works at once."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from agent import SHIPPED_CONFIGURATION
from agent.cli.command import PROGRAM, Commands

_STARTER = Path(__file__).parent / "starter"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def add(commands: Commands) -> None:
    """Add the command."""
    making = commands.add_parser("new", help="make a folder with an agent of your own")
    making.add_argument("name", metavar="NAME", help="letters, digits, - and _; at most 32")
    making.add_argument(
        "--config",
        type=Path,
        metavar="DIR",
        help="the folder, which may hold other agents; unset = a new folder NAME",
    )
    making.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    name, folder = asked.name, asked.config or Path(asked.name)
    if not _NAME.fullmatch(name):
        print(
            "NAME: must be 1 to 32 letters, digits, - or _, and begin with a letter",
            file=sys.stderr,
        )
        return 1
    files = {
        folder / "use-cases" / name / "use-case.toml": "use-case.toml",
        folder / "use-cases" / name / "prompt.md": "prompt.md",
        folder / "use-cases" / name / "offline.json": "offline.json",
        folder / "tools" / f"{name}.py": "tools.py.txt",
    }
    if there := [str(path) for path in files if path.exists()]:
        print(f"{there[0]}: exists already; choose another NAME or --config", file=sys.stderr)
        return 1
    if not (folder / "README.md").exists():
        files[folder / "README.md"] = "README.md"
    try:
        _write(files, name)
        for schema in (SHIPPED_CONFIGURATION / "schema").glob("*.json"):
            (folder / "schema").mkdir(exist_ok=True)
            (folder / "schema" / schema.name).write_bytes(schema.read_bytes())
    except OSError as error:
        print(f"--config: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"Talk to it: {PROGRAM} talk --config {folder} --use-case {name}")
    return 0


def _write(files: dict[Path, str], name: str) -> None:
    tool = f"{name[0].upper()}{name[1:].replace('-', '_')}HoursFunction".replace("__", "_")
    for path, source in files.items():
        text = (_STARTER / source).read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@NAME@", name).replace("@TOOL@", tool), encoding="utf-8")
        print(f"wrote {path}")
