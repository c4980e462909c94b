"""What is in the image, and what is not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from tests.image.container import docker

_OWN_MEGABYTES = 250
_LISTING = """
import json, os
for top in ("/app", "/opt", "/root", "/home", "/build", "/given", "/tmp", "/run/secrets"):
    for folder, folders, files in os.walk(top):
        for each in folders + files:
            path = os.path.join(folder, each)
            found = os.lstat(path)
            print(json.dumps([path, found.st_uid, found.st_mode, found.st_size]))
"""
_TOOLS = "import shutil; print(*filter(shutil.which, 'cc gcc g++ clang make git pip3'.split()))"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder of the image."""

    path: PurePosixPath
    uid: int
    mode: int
    size: int


@pytest.fixture(scope="module")
def entries(image: str) -> list[Entry]:
    """What the build has made, and what it may have left, as root sees it."""
    listing = ("run", "--rm", "--user", "0", "--entrypoint", "python", image, "-c", _LISTING)
    listed = asyncio.run(docker(*listing))
    rows = map(json.loads, listed.splitlines())
    return [Entry(PurePosixPath(path), *numbers) for path, *numbers in rows]


async def test_image_has_the_service_and_nothing_else(
    image: str, entries: list[Entry], record_property: Callable[[str, object], None]
) -> None:
    """No tests, documents, caches or history of ours; no program that makes others."""
    own = sum(entry.size for entry in entries) / 1e6
    total = int(await docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
    tools = await docker("run", "--rm", "--entrypoint", "python", image, "-c", _TOOLS)

    record_property("image", f"size {own:.0f} MB without its base, {total:.0f} MB with it")
    assert own < _OWN_MEGABYTES
    tops = {str(entry.path) for entry in entries if entry.path.parts[1:-1] in {("app",), ("opt",)}}
    assert tops == {"/app/LICENSE", "/app/agent", "/app/configuration", "/opt/venv"}
    assert [entry.path for entry in entries if entry.path.is_relative_to("/build")] == []
    unwanted = re.compile(r"^(tests|\.git|\.cache|pip|setuptools|pytest|ruff|mypy)$")
    assert [entry.path for entry in entries if unwanted.match(entry.path.name)] == []
    assert tools == ""


def test_everything_is_owned_by_root_and_written_by_no_other(
    entries: list[Entry],
) -> None:
    """Readable for the user of the service, and no more."""
    entries = [entry for entry in entries if entry.path.parts[1] in {"app", "opt"}]

    assert {entry.uid for entry in entries} == {0}
    changeable = [
        entry.path for entry in entries if entry.mode & 0o022 and entry.mode >> 12 != 0o12
    ]
    unreadable = [entry.path for entry in entries if not entry.mode & 0o004]
    assert (changeable, unreadable) == ([], [])


def test_everything_is_compiled(entries: list[Entry]) -> None:
    """A start on a read-only disk would compile all of it, each time."""
    there = {entry.path for entry in entries}
    sources = [each for each in there if each.suffix == ".py" and "bin" not in each.parts]

    missing = [
        path
        for path in sources
        if not any(
            path.parent / "__pycache__" / f"{path.stem}.cpython-3{minor}.pyc" in there
            for minor in range(11, 20)
        )
    ]

    assert len(sources) > 3_000
    assert missing == []
