"""The quick lane of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import dynamodb, needs
from tests.observability.prometheus import program


@pytest.fixture(params=["sqlite", "dynamodb"])
def engine(request: pytest.FixtureRequest) -> str:
    """A parameter as that of `stores`."""
    return str(request.param)


def test_a_parameter_says_what_is_needed(request: pytest.FixtureRequest, engine: str) -> None:
    """In a quick run the second one is not even started."""
    assert needs.needs_of(request.node) == ({"engine"} if engine == "dynamodb" else set())


@pytest.mark.needs("an example", "another")
def test_a_marker_says_what_is_needed(request: pytest.FixtureRequest) -> None:
    assert needs.needs_of(request.node) == {"an example", "another"}


def test_a_fixture_says_what_is_needed(request: pytest.FixtureRequest) -> None:
    request.node.fixturenames.append("dynamodb")

    assert needs.needs_of(request.node) == {"engine"}


def test_what_is_needed_is_refused_in_a_quick_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(needs.LEFT_OUT, ",".join(needs.ALL))

    with pytest.raises(AssertionError, match="this test needs engine: mark it"), dynamodb.running():
        pass
    with pytest.raises(AssertionError, match="this test needs prometheus: mark it"):
        program("promtool")


def test_a_module_has_one_list_of_marks() -> None:
    """A second `pytestmark` would take away what the first one says is needed."""
    modules = Path(needs.__file__).parent.rglob("test_*.py")
    marked = [re.findall(r"(?m)^pytestmark = ", module.read_text()) for module in modules]

    assert max(map(len, marked)) == 1


def test_folders_that_are_left_out_are_there() -> None:
    tests = Path(needs.__file__).parent

    assert all((tests / folder).is_dir() for folder in needs.FOLDERS)
