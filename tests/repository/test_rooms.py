"""The shape of `agent/`: sizes of files, names, levels of imports."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent"
FILES = sorted(AGENT.rglob("*.py"))


def repeated(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_no_file_has_more_than_400_lines() -> None:
    long = [str(file) for file in FILES if len(file.read_text().splitlines()) > 400]

    assert long == []


def test_six_modules_stand_at_the_top() -> None:
    assert sorted(file.stem for file in AGENT.glob("*.py")) == [
        "__init__", "__main__", "app", "errors", "ports", "settings",
    ]  # fmt: skip


def test_a_name_of_a_file_or_of_a_public_class_occurs_once() -> None:
    stems = [file.stem for file in FILES if file.stem != "__init__"]
    classes = [
        node.name
        for file in FILES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]

    assert repeated(stems) == []
    assert repeated(classes) == []


def test_rooms_have_at_most_seven_levels() -> None:
    """A level counts if a room stands in it; modules at the top of `agent/` are no rooms."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [each["layers"] for each in contracts["contracts"] if each["type"] == "layers"]
    levels = [
        level
        for level in layers
        if any((ROOT / each.strip().replace(".", "/")).is_dir() for each in level.split("|"))
    ]

    assert len(levels) <= 7
