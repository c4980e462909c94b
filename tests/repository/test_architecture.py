"""The whole repository: imports, sizes of files, lists, names and shipped records."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.llm import OfflineModel
from agent.settings import Settings
from agent.tools import SPECS, TOOLS, Tool, builtin
from agent.usecases import Profile, prompt
from agent.usecases.folders import load_profile, load_record
from agent.usecases.record import parse_use_case
from tests.shipped import PROFILES, USE_CASES

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent"
FILES = sorted(AGENT.rglob("*.py"))
ADA = Profile("+15550100001", "Ada", "Example", "ada@example.com")


def test_imports_go_one_way() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"

    run = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout


def test_every_tool_is_listed() -> None:
    """A tool that is not listed would never be offered."""
    modules = pkgutil.walk_packages(builtin.__path__, f"{builtin.__name__}.")
    written = {
        value.spec.name
        for module in modules
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, Tool)
    }

    assert written == SPECS.keys()
    assert len(TOOLS) == len(SPECS), "two tools with one name"


@pytest.mark.parametrize("folder", USE_CASES, ids=lambda folder: folder.name)
def test_shipped_use_case_is_complete(folder: Path) -> None:
    use_case, warnings = parse_use_case(load_record(folder, SPECS), SPECS)

    filled = prompt.system_prompt(
        use_case, ADA, datetime(2026, 3, 5, 18, 40, tzinfo=UTC), [(folder.name, "Title", "")]
    )

    assert warnings == ()
    assert "<<" not in filled
    assert "<<" not in prompt.greeting(use_case, ADA)
    assert prompt.greeting(use_case, Profile("")) == use_case.greeting != ""
    assert {spec.name for spec in use_case.tools} <= SPECS.keys()
    assert "LiveAgentHandoffFunction" in {spec.name for spec in use_case.tools}
    assert OfflineModel(use_case.offline_script).name == "offline:"
    # Newer models refuse sampling options.
    assert (use_case.model.temperature, use_case.model.top_p) == (None, None)


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_shipped_profile_leads_to_a_use_case(file: Path) -> None:
    assert load_profile(file)["useCase"] in {folder.name for folder in USE_CASES}


def test_default_use_case_of_the_process_is_shipped() -> None:
    assert Settings().stack_use_case in {folder.name for folder in USE_CASES}


def repeated(names: list[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_no_file_is_long_and_six_modules_stand_at_the_top() -> None:
    assert [str(file) for file in FILES if len(file.read_text().splitlines()) > 400] == []
    assert sorted(file.stem for file in AGENT.glob("*.py")) == [
        "__init__", "__main__", "app", "aws_requests", "errors", "ports",
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


def test_tests_of_the_core_start_without_any_sdk() -> None:
    """Neither they nor the fixtures of all tests import one, so that they start at once."""
    program = (
        "import importlib, pathlib, sys, tests.conftest\n"
        "for file in pathlib.Path('tests/call').glob('*.py'):\n"
        "    importlib.import_module(f'tests.call.{file.stem}')\n"
        "print(*sys.modules)"
    )
    run = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = set(run.stdout.split())
    assert loaded.isdisjoint(
        {"testcontainers", "docker", "aioboto3", "botocore", "openai", "twilio"}
    )
    assert "tests.call.test_rules" in loaded
