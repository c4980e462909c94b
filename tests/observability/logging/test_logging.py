"""Log lines have no personal values; exceptions show place and type, and text only on request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Annotated

import pytest
import structlog
from msgspec import Meta

from agent.call import events as ev
from agent.call.actions import CancelReply, RunTool, Speak, StartReply, ToolOutcome
from agent.call.messages import StopReason, Usage
from agent.errors import StoreError
from agent.observability import configure_logging
from agent.observability.logging import frames_and_types
from agent.tools import CallContext, tool
from tests.observability.observed import LOOK, SPOKE, observed
from tests.tools.test_executor import run

pytestmark = pytest.mark.usefixtures("plain_logging")

Captured = pytest.CaptureFixture[str]
_NAME = "".join(("Ada", " Example"))
"""Not in the source as it stands here: the lines of source in a traceback have no values."""


def _named(name: str) -> None:
    raise ValueError(f"no caller is named {name}")


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


def _run_grouped(name: str) -> None:
    async def fail() -> None:
        _caused(name)

    async def fail_twice() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(fail())

    asyncio.run(fail_twice())


def _lines_of(fail: Callable[[str], object]) -> list[str]:
    try:
        fail(_NAME)
    except Exception as error:  # noqa: BLE001 (it is what is asked for)
        return frames_and_types(error).splitlines()
    raise AssertionError


@tool("Book")
async def _book(call: CallContext, name: Annotated[str, Meta(description="Whose.")]) -> None:
    """Book."""
    _while_handled(name)


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_tool_that_fails_is_logged_without_what_its_fault_says(
    log_format: str, capsys: Captured
) -> None:
    """Each exception of the chain has its frames and its type, no text and no note."""
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
    log_format: str, capsys: Captured
) -> None:
    configure_logging("info", log_format, with_personal=True)

    await run(_book, json.dumps({"name": _NAME}))

    written = capsys.readouterr().err
    assert f"no caller is named {_NAME}" in written
    assert f"the item of {_NAME}" in written
    assert f"on the telephone: {_NAME}" in written


def test_fault_of_a_library_says_all_where_it_is_asked_for(capsys: Captured) -> None:
    configure_logging("info", "json", with_personal=True)

    try:
        _caused(_NAME)
    except StoreError:
        logging.getLogger("any").exception("Error handling request")

    told = json.loads(capsys.readouterr().err)
    assert told["error"] == "StoreError"
    assert f"no caller is named {_NAME}" in told["exception"]


def _from_none(name: str) -> None:
    try:
        _named(name)
    except ValueError:
        raise KeyError(name) from None


_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (_while_handled, ["ValueError", _CAUSE, "StoreError", _CONTEXT, "KeyError"]),
        (
            _run_grouped,
            ["ExceptionGroup", *["    ValueError", f"    {_CAUSE}", "    StoreError"] * 2],
        ),
        (_from_none, ["KeyError"]),
    ],
    ids=["chain", "group", "not its cause"],
)
def test_exception_stands_below_those_it_came_from(
    fail: Callable[[str], object], told: Sequence[str]
) -> None:
    lines = _lines_of(fail)

    ends = ("Error", "Group", "exception:", "occurred:")
    assert [line for line in lines if line.endswith(ends)] == told
    assert _NAME not in "\n".join(lines)


def test_faults_that_go_round_in_a_circle_or_are_too_many_come_to_an_end() -> None:
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


def test_log_is_json_without_personal_values(capsys: Captured) -> None:
    configure_logging("info", "json")
    log = structlog.get_logger("test")

    log.debug("too.fine")
    with structlog.contextvars.bound_contextvars(call_sid="CA0", pii_caller="+15550100001"):
        log.info("call.started", kind="inbound", pii_words="my name is Ada")
    try:
        int("fault")
    except ValueError:
        log.exception("call.crashed")

    started, crashed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    del started["timestamp"]
    told = {"event": "call.started", "level": "info", "call_sid": "CA0", "kind": "inbound"}
    assert started == told
    assert 'int("fault")\nValueError' in crashed["exception"]
    assert "invalid literal" not in crashed["exception"]


def test_log_on_a_terminal_is_readable_without_personal_values(capsys: Captured) -> None:
    configure_logging("warning", "console")

    structlog.get_logger("test").info("too.fine")
    structlog.get_logger("test").warning("call.refused", reason="busy", pii_caller="+1555")

    written = capsys.readouterr().err
    assert "call.refused" in written and "reason=busy" in written
    assert "+1555" not in written and "too.fine" not in written


def test_report_of_a_library_is_a_line_without_its_values(capsys: Captured) -> None:
    """Once, also if logging is configured twice; asyncio puts values into the text."""
    configure_logging("info", "json")
    configure_logging("info", "json")

    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: Ada")
    logging.getLogger("any").info("too fine")

    told = json.loads(capsys.readouterr().err)
    del told["timestamp"]
    assert told == {
        "event": "library.log_emitted",
        "level": "error",
        "logger": "asyncio",
        "message": "Task exception was never retrieved",
    }


def test_turns_and_summaries_are_sentences_on_a_terminal(capsys: Captured) -> None:
    """With the end of the call's SID."""
    configure_logging("info", "console")
    with structlog.contextvars.bound_contextvars(call_sid="CA0123456789abcdef"):
        observed(
            (10.0, SPOKE, [StartReply(1, ())]),
            (11.0, ev.ReplyFinished(1, (LOOK,), StopReason.TOOLS), [RunTool(LOOK)]),
            (13.0, ev.ToolFinished(LOOK.id, ToolOutcome("{}")), [StartReply(2, ())]),
            (14.0, ev.ReplyDelta(2, "Yes. "), [Speak(1, "Yes. ")]),
            (15.0, ev.ReplyFinished(2, (), StopReason.END), [Speak(1, "", is_last=True)]),
            (15.0, ev.TokensCounted(2, Usage(50, 20, 150)), []),
            (20.0, SPOKE, [StartReply(3, ())]),
            (21.0, ev.CallerInterrupted(""), [CancelReply(3)]),
        )

    written = capsys.readouterr().err
    for sentence in (
        "…abcdef turn 1 answered after 4000 ms = model 2000 + tool 2000, then speech 1000",
        "look_up 2000 ms ok",
        "…abcdef turn 2 interrupted (speech) after 1000 ms without a word = model 1000",
        "…abcdef call over: caller_hangup after 21.0 s, 2 turns, 1 interrupt",
        "tokens 50 in, 20 out, 75% cached; look_up 1 ok",
    ):
        assert sentence in written
    assert "Yes" not in written and "open" not in written
