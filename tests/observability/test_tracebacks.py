"""What is logged of a fault: where it was and what kind it is, and its text only if asked for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Annotated

import pytest
from msgspec import Meta

from agent.errors import StoreError
from agent.observability import configure_logging
from agent.observability.logging.log_setup import frames_and_types
from agent.tools import CallContext, tool
from tests.tools.test_executor import run

pytestmark = pytest.mark.usefixtures("plain_logging")

_NAME = "".join(("Ada", " Example"))
"""Not in the source as it stands here: the lines of source in a traceback have no values."""


def _named(name: str) -> None:
    raise ValueError(f"nobody is called {name}")


def _caused(name: str) -> None:
    try:
        _named(name)
    except ValueError as error:
        error.add_note(f"on the telephone: {name}")
        raise StoreError(f"the item of {name}") from error


def _while_handled(name: str) -> None:
    try:
        _caused(name)
    except StoreError:
        _ = {"": 0}[name]


async def _grouped(name: str) -> None:
    async def fail() -> None:
        _caused(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        group.create_task(fail())


def _fault_of(fail: Callable[[str], object]) -> Exception:
    try:
        fail(_NAME)
    except Exception as error:  # noqa: BLE001 (it is what is asked for)
        return error
    raise AssertionError


def _run_grouped(name: str) -> None:
    asyncio.run(_grouped(name))


@tool("Book")
async def _book(call: CallContext, name: Annotated[str, Meta(description="Whose.")]) -> None:
    """Book."""
    _while_handled(name)


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_tool_that_fails_is_logged_without_what_its_fault_says(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fault that led to another has its frames and its type; no text, no note."""
    configure_logging("info", log_format)

    await run(_book, json.dumps({"name": _NAME}))

    written = capsys.readouterr().err
    lines = written.replace("\\n", "\n").replace('"', "\n").splitlines()
    assert "tool.failed" in written and "Ada" not in written
    for where in ("in _book", "in _while_handled", "in _caused", "in _named"):
        assert where in written
    for kind in ("ValueError", "StoreError", "KeyError"):
        assert kind in lines


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_what_a_fault_says_is_logged_where_it_is_asked_for(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, with the notes."""
    configure_logging("info", log_format, with_personal=True)

    await run(_book, json.dumps({"name": _NAME}))

    written = capsys.readouterr().err
    assert f"nobody is called {_NAME}" in written
    assert f"the item of {_NAME}" in written
    assert f"on the telephone: {_NAME}" in written


def test_fault_of_a_library_says_all_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As our own do."""
    configure_logging("info", "json", with_personal=True)

    try:
        _caused(_NAME)
    except StoreError:
        logging.getLogger("any").exception("Error handling request")

    told = json.loads(capsys.readouterr().err)
    assert told["error"] == "StoreError"
    assert f"nobody is called {_NAME}" in told["exception"]


def test_each_fault_of_a_group_is_told() -> None:
    """A task group raises what its tasks have raised; each with its own causes."""
    lines = frames_and_types(_fault_of(_run_grouped)).splitlines()

    assert _NAME not in "\n".join(lines)
    assert [line for line in lines if line.endswith(("Error", "Group"))] == [
        "ExceptionGroup",
        "    ValueError",
        "    StoreError",
        "    ValueError",
        "    StoreError",
    ]


def test_the_cause_stands_before_what_it_led_to() -> None:
    """In the order and with the words of Python."""
    lines = frames_and_types(_fault_of(_while_handled)).splitlines()

    kinds = [line for line in lines if line and not line.startswith((" ", "Traceback"))]
    assert kinds == [
        "ValueError",
        "The above exception was the direct cause of the following exception:",
        "StoreError",
        "During handling of the above exception, another exception occurred:",
        "KeyError",
    ]


def test_what_a_fault_says_it_did_not_come_from_is_left_out() -> None:
    """`raise ... from None`."""

    def fail(name: str) -> None:
        try:
            _named(name)
        except ValueError:
            raise KeyError(name) from None

    assert "ValueError" not in frames_and_types(_fault_of(fail))


def test_faults_that_go_round_in_a_circle_or_are_too_many_come_to_an_end() -> None:
    """Whoever reads a log line wants the last ones."""
    first, second = ValueError(_NAME), KeyError(_NAME)
    first.__context__, second.__context__ = second, first
    assert frames_and_types(first).splitlines()[0] == "KeyError"

    fault = RuntimeError(_NAME)
    for _ in range(5_000):
        earlier, fault = fault, RuntimeError(_NAME)
        fault.__cause__ = earlier
    assert frames_and_types(fault).count("RuntimeError") < 50

    group: Exception = ValueError(_NAME)
    for _ in range(5_000):
        group = ExceptionGroup(_NAME, [group] * 2)
    assert frames_and_types(group).count("ExceptionGroup") < 5_000
