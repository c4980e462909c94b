"""The example pipeline: its steps, what they run, and what its role permits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "examples" / "pipeline" / "deploy.yml"
_TEXT = PIPELINE.read_text(encoding="utf-8")
_JOBS: dict[str, Any] = yaml.safe_load(_TEXT)["jobs"]
_RUNS = [
    pytest.param(step["run"], id=step["name"])
    for job in _JOBS.values()
    for step in job["steps"]
    if "run" in step
]


def names(job: str) -> list[str]:
    """Of the steps of a job that run something."""
    return [step["name"] for step in _JOBS[job]["steps"] if "run" in step]


@pytest.mark.parametrize("script", _RUNS)
def test_a_step_is_sound_shell_and_is_given_values_as_variables_only(script: str) -> None:
    """An expression inside a script would be run as a part of it."""
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run(  # noqa: S603 (our own script)
        [shellcheck, "--shell", "bash", "-"], input=script, text=True, capture_output=True,
        check=False,
    )  # fmt: skip

    assert (checked.returncode, checked.stdout) == (0, "")
    assert "${{" not in script


def test_each_step_waits_for_the_one_before() -> None:
    """Nothing is built before the tests, and nothing deployed before its signature is verified."""
    assert list(_JOBS) == ["test", "image", "deploy"]
    assert (_JOBS["image"]["needs"], _JOBS["deploy"]["needs"]) == ("test", "image")
    assert names("image") == ["Install what signs", "Build, push and sign", "Verify the signature"]
    assert [each.partition(" ")[0] for each in names("deploy")[1:]] == [
        "Canary",
        "Promote",
        "Remove",
    ]


def test_what_is_left_after_a_failure_is_removed() -> None:
    last = _JOBS["deploy"]["steps"][-1]

    assert last["if"] == "failure() || cancelled()"
    assert "./release.sh remove " in last["run"]


def test_the_image_that_was_verified_is_deployed_by_its_digest() -> None:
    assert _JOBS["deploy"]["env"]["DIGEST"] == "${{ needs.image.outputs.digest }}"
    assert all(
        '--tag "$DIGEST"' in step["run"]
        for step in _JOBS["deploy"]["steps"]
        if step.get("name") in {"Canary", "Promote"}
    )


def test_only_jobs_of_the_environment_may_ask_for_the_role() -> None:
    """Its protection rules then decide who deploys."""
    asks = {name for name, job in _JOBS.items() if "id-token" in job["permissions"]}

    assert asks == {name for name, job in _JOBS.items() if "environment" in job}
    assert asks == {"image", "deploy"}
    assert yaml.safe_load(_TEXT)["permissions"] == {}


def test_every_action_is_pinned_to_a_commit() -> None:
    used = [step["uses"] for job in _JOBS.values() for step in job["steps"] if "uses" in step]

    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used)


def test_every_variable_it_needs_is_explained() -> None:
    page = (ROOT / "docs/deploy/upgrade.md").read_text(encoding="utf-8")

    needed = set(re.findall(r"vars\.(\w+)", _TEXT))
    assert {name for name in needed if f"`{name}`" not in page} == set()


def test_the_role_lasts_as_long_as_the_pipeline_asks_for() -> None:
    role = (ROOT / "infrastructure/deploy-role.yml").read_text(encoding="utf-8")
    [longest] = re.findall(r"MaxSessionDuration: (\d+)", role)
    asked = re.findall(r"role-duration-seconds: (\d+)", _TEXT)

    assert asked == [longest]
