"""A configuration folder of the reader's own, with every command that takes one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.settings import Settings

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("plain_logging")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in a folder for the test; of the settings only `STORE_PATH` is set."""
    for name, *_ in Settings.describe():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STORE_PATH", str(tmp_path / "agent.db"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return (main(list(arguments)), *capsys.readouterr())

    return run


def profiles(folder: Path, *numbers: str) -> None:
    (folder / "profiles").mkdir(exist_ok=True)
    for path in (folder / "profiles").iterdir():
        path.unlink()
    for number in numbers:
        (folder / "profiles" / f"{number}.toml").write_text(f'caller = "{number}"\n')


def test_new_folder_passes_the_check_and_can_be_seeded(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("new", "flower-shop")

    assert (status, out.splitlines()[-1].partition("talk ")[2]) == (
        0, "--config flower-shop --use-case flower-shop",
    )  # fmt: skip
    assert len((tmp_path / "flower-shop" / "README.md").read_text().splitlines()) == 10
    assert run("check", "--config", "flower-shop")[::2] == (0, "")
    assert run("seed", "--config", "flower-shop")[:2] == (
        0, "wrote flower-shop / configuration (version 1)\n",
    )  # fmt: skip


def test_second_agent_goes_into_the_same_folder(run: Run) -> None:
    assert run("new", "one", "--config", "mine")[0] == run("new", "two", "--config", "mine")[0] == 0

    assert run("check", "--config", "mine")[::2] == (0, "")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["mine"], "mine/use-cases/mine/use-case.toml: exists already"),
        (["../mine"], "NAME: must be 1 to 32 letters"),
        (["two", "--config", "mine/README.md"], "--config: mine/README.md"),
    ],
)
def test_new_overwrites_nothing(run: Run, tmp_path: Path, arguments: list[str], fault: str) -> None:
    run("new", "mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    status, _, errors = run("new", *arguments)

    assert (status, errors.startswith(fault), errors.count("\n")) == (1, True, 1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["check", "seed", "talk", "serve --seed"])
def test_wrong_folder_is_one_line_of_every_command(run: Run, tmp_path: Path, command: str) -> None:
    """A folder that is missing or empty, and a tool that cannot be imported."""
    (tmp_path / "empty" / "use-cases").mkdir(parents=True)
    run("new", "mine")
    tool = Path("mine", "tools", "mine.py")

    for wrong in ("missing", "empty"):
        line = f"CONFIGURATION: must be a folder with a use case in use-cases/, unlike {wrong}\n"
        assert run(*command.split(), "--config", wrong)[::2] == (1, line)
    tool.write_text("import no_such_module\n")
    status, _, errors = run(*command.split(), "--config", "mine")

    line = f"{tool}: line 1: ModuleNotFoundError: No module named 'no_such_module'\n"
    assert (status, errors.splitlines(keepends=True)[0]) == (1, line)


def test_prune_deletes_what_is_not_in_the_folder(run: Run, tmp_path: Path) -> None:
    """Versions stay, and so does a profile that a caller made by calling."""
    run("new", "old", "--config", "first")
    profiles(tmp_path / "first", "+15550100001", "+15550100002")
    run("seed", "--config", "first")
    run("new", "young", "--config", "second")
    profiles(tmp_path / "second", "+15550100002")
    run("seed", "--config", "second")
    with closing(sqlite3.connect(tmp_path / "agent.db")) as database, database:
        database.execute(
            "UPDATE items SET pk = '+15550100003', pk1 = 'profile', sk1 = '+15550100003',"
            " item = json_remove(json_set(item, '$.pk', '+15550100003', '$.sk1', '+15550100003'),"
            " '$.seeded') WHERE pk = '+15550100002'"
        )
    lost = "old / configuration (version 1)\n"
    caller = "+15550100001 / profile\n"

    would = run("seed", "--prune", "--config", "second", "--dry-run")
    pruned = run("seed", "--prune", "--config", "second")
    again = run("seed", "--prune", "--config", "second")

    assert would == (0, f"would delete {lost}would delete {caller}", "")
    assert pruned == (0, f"deleted {lost}deleted {caller}", "")
    assert again == (0, "", "")
    assert run("seed", "--config", "first", "--use-case", "old")[1] == f"wrote {lost}"
    status, _, errors = run("talk", "--config", "second", "--use-case", "young.not")
    assert (status, errors) == (1, "young.not: there is no such use case; there are: old, young\n")


def test_saved_tool_counts_from_the_next_turn(run: Run, tmp_path: Path) -> None:
    """Of a call that goes on, though nothing in the record has changed."""
    run("new", "mine")
    tool = tmp_path / "mine" / "tools" / "mine.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    talking = subprocess.Popen(
        [sys.executable, "-m", "agent", "talk", "--config", "mine", "--use-case", "mine"],
        cwd=tmp_path, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert talking.stdin is not None and talking.stdout is not None

    def until(words: str) -> None:
        assert talking.stdout is not None
        seen = list[str]()
        for line in talking.stdout:
            seen.append(line)
            if words in line:
                return
        raise AssertionError("".join(seen))

    with talking:
        talking.stdin.write("when are you open\n")
        talking.stdin.flush()
        until("agent: We are open from nine to six.")
        tool.write_text(tool.read_text().replace("from nine to six", "all night"))
        until("loaded tools: it counts from the next turn")
        talking.stdin.write("when do you close\n")
        talking.stdin.close()
        until("agent: We are open all night.")
        talking.stdout.read()

    assert talking.returncode == 0
