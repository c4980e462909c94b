"""`eval` and `seed --require-eval`: what they say, and with which exit status."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import structlog

from agent.cli.evaluation.bad_models import BAD_MODELS
from agent.cli.evaluation.eval_output import Progress
from agent.cli.evaluation.hosted_service import hosted_settings
from agent.cli.evaluation.suite import Plan, Trial
from agent.cli.main import main
from agent.scenarios.outcome import Check, ScenarioRun
from agent.scenarios.scenario import Scenario
from agent.settings import Settings
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import say
from tests.shipped import CONFIGURATION

Shown = tuple[int, list[str], list[str]]
"""Exit status, lines of output, lines of errors."""
Run = Callable[..., Shown]

GOOD = """
variables: {question: hello}
variants: [{question: hello}, {question: good evening}]
replies: [["Hello, we are open."]]
steps: [{says: "{question}"}]
expects: {said: [we are open]}
"""
FACTS = """
tags: [facts]
steps: [{says: hello}]
expects: {never_said: [Deutsch]}
"""
BAD = GOOD.replace("said: [we are open]", "said: [we are closed], never_said: [hello]")

pytestmark = pytest.mark.usefixtures("plain_logging")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    for names in Settings.variables().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STORE_PATH", str(tmp_path / "agent.db"))

    def run(*arguments: object) -> Shown:
        capsys.readouterr()
        status = main([str(each) for each in arguments])
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err.splitlines()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with one use case and one good scenario."""
    use_case = tmp_path / "mine" / "use-cases" / "defaultUseCase"
    shutil.copytree(
        CONFIGURATION / "use-cases" / use_case.name,
        use_case,
        ignore=shutil.ignore_patterns("scenarios"),
    )
    write(tmp_path / "mine", "good.yaml", GOOD)
    return tmp_path / "mine"


def write(configuration: Path, name: str, text: str) -> Path:
    file = configuration / "use-cases" / "defaultUseCase" / "scenarios" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_all_scenarios_pass_under_each_timing(run: Run, folder: Path) -> None:
    status, shown, progress = run("eval", folder, "--timings", 3, "--jobs", 1)

    assert status == 0
    passes = "2 scenarios, 6 of 6 runs passed; pass^1 100.0%, pass^3 100.0%"
    assert [line.split(maxsplit=1) for line in shown[:2]] == [
        ["defaultUseCase", passes],
        ["all", passes],
    ]
    assert progress[-1] == "6 of 6 runs, 0 failed"


def test_failure_is_named_with_the_command_that_plays_just_that_run(run: Run, folder: Path) -> None:
    file = write(folder, "bad.yaml", BAD)

    status, shown, _ = run("eval", folder, "--timings", 2, "--jobs", 1)

    assert status == 1
    at = shown.index("FAILED  defaultUseCase: bad [good evening]")
    again = f"eval {file} --timing 0 --only 'good evening'"
    assert shown[at + 1 : at + 4] == [
        "  said 'we are closed'  (timings 0-1)",
        "  never said 'hello': said 'Hello'  (timings 0-1)",
        f"  python -m agent {again}",
    ]
    alone = ("eval", file, "--timing", 0, "--only", "good evening", "--config", folder)
    status, shown, _ = run(*alone)
    assert status == 1
    assert "0 of 1 runs passed" in shown[-4]
    assert f"  python -m agent {again} --config {folder}" in shown


def test_work_is_shared_by_processes_and_the_result_is_the_same(run: Run, folder: Path) -> None:
    write(folder, "bad.yaml", BAD)
    alone = run("eval", folder, "--timings", 5, "--jobs", 1)
    shared = run("eval", folder, "--timings", 5, "--jobs", 2)

    assert shared[0] == alone[0] == 1
    assert shared[1][:-1] == alone[1][:-1], "but for the seconds it took"


def test_reports_are_written(run: Run, folder: Path, tmp_path: Path) -> None:
    write(folder, "bad.yaml", BAD)
    options = [f"--{kind}={tmp_path / kind}" for kind in ("html", "markdown", "junit", "json")]

    status, _, _ = run("eval", folder, "--timings", 1, "--repeat", 2, "--jobs", 1, *options)

    assert status == 1
    assert "4 of 8 runs failed" in (tmp_path / "html").read_text()
    assert "4 of 8 runs failed" in (tmp_path / "markdown").read_text()
    assert ET.parse(tmp_path / "junit").getroot().get("failures") == "4"  # noqa: S314 (our own)
    document = json.loads((tmp_path / "json").read_text())
    assert {each["repetition"] for each in document["runs"]} == {0, 1}
    assert document["facts"]["configuration"] == str(folder)


def test_report_that_cannot_be_written_costs_no_other(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    options = ("--html=/dev/full", f"--json={tmp_path / 'json'}")

    status, shown, errors = run("eval", folder, "--timing", 0, "--jobs", 1, *options)

    assert (status, errors[-1]) == (2, "--html: /dev/full: No space left on device")
    assert "2 of 2 runs passed" in shown[0]
    assert len(json.loads((tmp_path / "json").read_text())["runs"]) == 2


def test_path_of_a_report_is_checked_before_anything_is_played(run: Run, folder: Path) -> None:
    status, shown, errors = run("eval", folder, "--jobs", 1, "--junit", folder)

    assert (status, shown) == (2, [])
    assert errors == [f"--junit: {folder}: Is a directory"]


def test_command_of_a_failure_has_no_control_characters(run: Run, folder: Path) -> None:
    write(folder, "bad.yaml", BAD.replace("good evening", '"\\e[2Jhello"'))

    _, shown, _ = run("eval", folder, "--timing", 0, "--jobs", 1)

    assert any("--only" in line for line in shown)
    assert "\x1b" not in "".join(shown)


def test_bad_models_are_judged_and_reported_by_harm(run: Run, folder: Path, tmp_path: Path) -> None:
    """What an agent only says is no harm: the call passes, and the report says how it showed."""
    file = write(folder, "facts.yaml", FACTS)
    options = [f"--{kind}={tmp_path / kind}" for kind in ("html", "markdown", "junit", "json")]

    status, shown, progress = run("eval", file, "--bad-models", "--jobs", 1, *options)

    assert status == 0
    assert progress[-1] == "20 of 20 runs, 0 failed"
    assert [line.split(":")[0] for line in shown[:-1]] == list(BAD_MODELS)
    assert "rambles: no harm; it goes on for a minute; " in shown[6]
    assert "never said 'Deutsch' (1)" in shown[7]
    suites = ET.parse(tmp_path / "junit").getroot()  # noqa: S314 (our own)
    assert (suites.get("tests"), suites.get("failures")) == ("20", "0")
    document = json.loads((tmp_path / "json").read_text())
    assert document["remarks"] == shown[:-1]
    assert [each["subject"] for each in document["subjects"]] == list(BAD_MODELS)
    for kind in ("html", "markdown"):
        assert "it goes on for a minute" in (tmp_path / kind).read_text()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--only", "good"], "no scenario without `replies` expects a `table` or has the tag"),
        (["--repeat", 2], "every repetition would be the same"),
        (["--model", "openai:x"], "plays on virtual time, so --model must be offline"),
    ],
)
def test_bad_models_that_cannot_be_judged_are_refused(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], fault: str
) -> None:
    """A verdict without a call would say that all is well."""
    monkeypatch.setenv("OPENAI_API_KEY", "a")
    write(folder, "facts.yaml", FACTS)

    status, shown, errors = run("eval", folder, "--bad-models", *arguments)

    assert (status, shown) == (2, [])
    assert errors[0].startswith(f"--bad-models: {fault}")


def test_two_configurations_are_compared_in_pairs(run: Run, folder: Path, tmp_path: Path) -> None:
    write(folder, "good.yaml", "steps: [{says: where are you}]\nexpects: {said: [Acme Homes]}")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    script = other / "use-cases" / "defaultUseCase" / "offline.json"
    script.write_text(script.read_text().replace("Harbor", "Acme"))
    greeting = other / "use-cases" / "defaultUseCase" / "use-case.toml"
    greeting.write_text(greeting.read_text() + "\n")

    status, shown, _ = run("eval", folder, "--against-config", other, "--timings", 2, "--jobs", 1)

    assert status == 1
    [compared] = [line for line in shown if " pairs: " in line]
    assert compared.startswith(f"2 pairs: 0 passed only with {folder}, 0 only with {other}")
    assert "McNemar, exact: p = 1" in compared


async def test_model_with_a_network_is_asked_in_real_time(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        folder,
        "real.yaml",
        """
steps:
  - says: {words: hello, waits: false}
  - hears: We are open
  - hangs_up: false
""",
    )
    reply = [say("We are open."), say("We are open.")]
    async with OpenAIEmulator(reply, api_key="a") as model:
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "a")
        options = ("--model", "openai:small", "--timing", 0)
        status, shown, _ = await asyncio.to_thread(run, "eval", file, *options)

    assert status == 0, shown
    assert "1 of 1 runs passed" in shown[0]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nowhere"], "nowhere: has no scenario"),
        (["--only", "banana"], "has no scenario with 'banana'"),
        (["--model", "openai:x"], "OPENAI_API_KEY: must be set"),
        (["--model", "nonsense:x"], "MODEL_IDENTIFIER: must be offline:"),
        (["--against-config", "nowhere"], "CONFIGURATION: must be a folder"),
        (["--json", "/nowhere/report"], "--json: /nowhere/report: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(
    run: Run, folder: Path, arguments: list[str], fault: str
) -> None:
    config = ["--config", folder, "--timings", 1, "--jobs", 1]

    status, _, errors = run("eval", *arguments, *config)

    assert status == 2
    assert fault in errors[-1]


def test_faults_of_scenario_and_use_case_are_status_2(run: Run, folder: Path) -> None:
    file = write(folder, "worse.yaml", "steps: [{shouts: hi}]")

    status, _, errors = run("eval", folder)

    assert (status, errors) == (
        2,
        [f"{file}: Object contains unknown field `shouts` - at `$.steps[0]`"],
    )
    file.unlink()
    (folder / "use-cases" / "defaultUseCase" / "use-case.toml").write_text("title = 1")
    status, _, errors = run("eval", folder, "--jobs", 1)
    assert status == 2
    assert "use-case.toml" in errors[-1]


def test_check_counts_scenarios_and_names_faults(run: Run, folder: Path) -> None:
    status, shown, _ = run("check", "--config", folder)
    assert "scenarios: 2" in shown

    bad = write(folder, "bad.yaml", "steps: [{hears: '('}]")
    lost = write(folder, "lost.yaml", "use_case: lost\nsteps: [{says: hi}]")
    status, _, errors = run("check", "--config", folder)

    assert status == 1
    assert [line for line in errors if ".yaml" in line] == [
        f"{bad}: '(' is no regular expression: missing ), unterminated subpattern at position 0",
        f"{lost}: use_case: 'lost' is not in the configuration",
    ]


def test_canary_is_refused_if_a_scenario_fails_and_else_written(run: Run, folder: Path) -> None:
    seed = ("seed", "--config", folder, "--use-case", "defaultUseCase")
    run(*seed)
    prompt = folder / "use-cases" / "defaultUseCase" / "prompt.md"
    prompt.write_text(prompt.read_text() + "\nBe brief.\n")
    file = write(folder, "bad.yaml", BAD)

    status, shown, errors = run(*seed, "--canary", 10, "--require-eval")
    assert (status, shown) == (1, [])
    assert errors[-4:] == [
        "32 of 32 runs, 16 failed",
        "bad [good evening]: said 'we are closed', never said 'hello'",
        "bad [hello]: said 'we are closed', never said 'hello'",
        "--require-eval: 2 of 4 scenarios fail, nothing was written",
    ]

    file.unlink()
    status, shown, errors = run(*seed, "--canary", 10, "--require-eval")
    assert (status, errors[-1]) == (0, "16 of 16 runs, 0 failed")
    assert "canary 2 for 10 %" in shown[0]

    assert run(*seed, "--require-eval")[2] == [
        "--require-eval: needs --canary with a share of callers"
    ]


def test_canary_that_cannot_be_is_refused_before_calls_are_played(run: Run, folder: Path) -> None:
    canary = ("seed", "--config", folder, "--canary", 10, "--require-eval", "--use-case")
    use_case = "defaultUseCase"

    assert run(*canary, use_case) == (1, [], [f"{use_case}: there is no such use case"])
    run("seed", "--config", folder, "--use-case", use_case)
    same = f"{use_case}: canary: all callers get this content already"
    assert run(*canary, use_case) == (1, [], [same])


def test_log_is_after_the_evaluation_of_a_canary_as_it_was(run: Run, folder: Path) -> None:
    """What is written into the table is logged."""
    seed = ("seed", "--config", folder, "--use-case", "defaultUseCase")
    run(*seed)
    prompt = folder / "use-cases" / "defaultUseCase" / "prompt.md"
    prompt.write_text(prompt.read_text() + "\nBe brief.\n")
    before = structlog.get_config()

    assert run(*seed, "--canary", 10, "--require-eval")[0] == 0

    assert structlog.get_config() == before


class Terminal(StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_rewritten_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "40")

    progress = Progress(4)
    progress.show([ScenarioRun(f"a-long-name-{'x' * 50}\x1b[2J"), ScenarioRun("b")])
    progress.show([ScenarioRun("c" * 50, checks=[Check("said 'a'", is_met=False)])])
    progress.end()

    *lines, last = terminal.getvalue().split("\r\x1b[K")
    assert lines == [
        "", "0 of 4 runs, 0 failed  ", "2 of 4 runs, 0 failed  b",
        f"3 of 4 runs, 1 failed  {'c' * 16}",
    ]  # fmt: skip
    assert last == "", "nothing is left of it"


def test_plan_is_split_into_parts_of_whole_scenarios() -> None:
    plan = Plan(hosted_settings(), [Scenario(str(each)) for each in range(5)], Trial(timings=2))

    assert plan.runs == 10
    assert [len(part.scenarios) for part in plan.split(2)] == [3, 2]
    assert [len(part.scenarios) for part in plan.split(9)] == [1] * 5


def test_day_prints_its_table_and_says_by_its_status_whether_all_is_reached(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "day.json"

    status, output, _ = run("eval", "--day", "--calls", 8, "--seed", 5, "--jobs", 1, "--json", file)

    written = json.loads(file.read_text())
    rows = written["tables"]["all"]
    assert status == 1
    assert output[0].split() == ["all", "calls", "measured", "wanted"]
    assert (len(rows), list(written["tables"])) == (14, ["all", "english", "french"])
    for line, row in zip(output[1:], rows, strict=False):
        assert line.startswith(row["kind"])
        assert row["measured"] in line
        assert ("!" in line) is not row["is_reached"]
    assert output[-1].startswith(f"8 calls, {rows[-1]['total']} turns, seed 5, ")


@pytest.mark.parametrize(
    ("option", "value"), [("--only", "a"), ("--timings", 2), ("--model", "openai:small")]
)
def test_day_refuses_an_option_that_would_not_count(run: Run, option: str, value: object) -> None:
    status, _, errors = run("eval", "--day", option, value)

    assert status == 2
    assert errors == [f"--day: generates its calls and has a model; leave out {option}"]
