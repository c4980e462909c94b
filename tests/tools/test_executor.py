"""Every tool call has an outcome."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import pytest
from msgspec import Meta
from structlog.testing import capture_logs

from agent.call.actions import Entry, HangUp, ToolOutcome
from agent.call.collector import Collector
from agent.call.messages import SideEffect, ToolCall
from agent.errors import StoreError, ToolError
from agent.store.memory import MemoryStore
from agent.tools import CallContext, CallToolExecutor, Tool, WithEffect, tool
from tests.tools.worlds import call_of

DOUBT = " It is not known whether it took effect; calling it again the same way is safe."
Number = Annotated[int, Meta(description="A number.")]


async def run(made: Tool, arguments: str = "{}") -> ToolOutcome:
    toolbox = CallToolExecutor([made], call_of(MemoryStore()))
    return await toolbox.run(ToolCall("call00001", made.spec.name, arguments))


def error_of(outcome: ToolOutcome) -> str:
    assert outcome.is_error
    return str(json.loads(outcome.content)["error"])


def answering(value: object) -> Tool:
    @tool("AnswerFunction")
    async def answer(call: CallContext) -> object:
        """Answer."""
        return value

    return answer


def failing(error: Exception, side_effect: SideEffect = SideEffect.NONE) -> Tool:
    @tool("FailFunction", side_effect=side_effect)
    async def fail(call: CallContext) -> None:
        """Fail."""
        raise error

    return fail


def waiting(side_effect: SideEffect, timeout: float) -> Tool:
    @tool("WaitFunction", side_effect=side_effect)
    async def wait(call: CallContext) -> None:
        """Wait for something that never comes."""
        await asyncio.Event().wait()

    return replace(wait, timeout=timeout)


@tool("DoubleFunction")
async def double(call: CallContext, number: Number, times: Number = 2) -> int:
    """Multiply."""
    return number * times


@pytest.mark.parametrize(
    ("arguments", "result"),
    [('{"number": 21}', 42), ('{"number": "3", "times": null}', 6)],
    ids=["given", "converted from text"],
)
async def test_a_tool_gets_its_arguments_and_its_result_is_an_object(
    arguments: str, result: int
) -> None:
    assert await run(double, arguments) == ToolOutcome(f'{{"result":{result}}}')


@pytest.mark.parametrize("written", ['"three"', "3.5", "true", '"3x"', "[3]"])
async def test_nothing_else_is_made_to_fit(written: str) -> None:
    error = error_of(await run(double, f'{{"number": {written}}}'))

    assert error.startswith("The arguments of DoubleFunction do not fit: Expected `int`")


async def test_missing_arguments_are_named_all_at_once() -> None:
    @tool("AddFunction")
    async def add(call: CallContext, first: Number, second: Number) -> int:
        """Add."""
        return first + second

    outcome = await run(add, "{}")

    assert json.loads(outcome.content) == {
        "error": "AddFunction also needs: first, second. Ask the caller if need be.",
        "missing_fields": ["first", "second"],
    }
    assert json.loads((await run(add, '{"first": 1, "second": 2}')).content) == {"result": 3}


async def test_an_unknown_tool_is_answered_with_those_there_are() -> None:
    call = ToolCall("call00001", "TripleFunction", "{}")

    some = await CallToolExecutor([double], call_of(MemoryStore())).run(call)
    none = await CallToolExecutor([], call_of(MemoryStore())).run(call)

    assert error_of(some) == "There is no tool 'TripleFunction'. The tools are: DoubleFunction."
    assert error_of(none) == "There is no tool 'TripleFunction'. The tools are: none."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, '{"result":null}'),
        ("", '{"result":""}'),
        ([], '{"result":[]}'),
        ({}, "{}"),
        ({"total": Decimal("21.50")}, '{"total":"21.50"}'),
        ({"at": datetime(2026, 3, 5, tzinfo=UTC)}, '{"at":"2026-03-05T00:00:00Z"}'),
        ({"tags": {"one"}, "raw": b"x"}, '{"tags":["one"],"raw":"eA=="}'),
        ({1: float("nan")}, '{"1":null}'),
        ({"name": "A\ud83d."}, '{"name": "A."}'),
        ("A\ude00.", '{"result": "A."}'),
        (["\ud83d\ude00", "\ud83d"], '{"result": ["\\ud83d\\ude00", ""]}'),
    ],
)
async def test_every_value_becomes_a_json_object(value: object, text: str) -> None:
    assert await run(answering(value)) == ToolOutcome(text)


async def test_a_result_that_is_too_long_is_cut_and_says_so() -> None:
    for value in 'a"\\ü':
        outcome = await run(answering({"text": value * 10_000}))

        cut = json.loads(outcome.content)
        assert len(outcome.content) <= 4_000
        assert cut["note"] == "The result was too long and is cut here: the rest is missing."
        assert cut["beginning"].startswith('{"text":')


async def test_an_effect_comes_with_its_result() -> None:
    outcome = await run(answering(WithEffect({"message": "Bye."}, HangUp())))

    assert outcome == ToolOutcome('{"message":"Bye."}', effect=HangUp())


OUR_FAULT = "The tool failed because of a technical problem on our side."
SLOW = "WaitFunction took longer than 0.01 seconds and was stopped."


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (failing(ToolError("No such slot.")), "No such slot."),
        (failing(ToolError("No A\ud83d.")), "No A."),
        (failing(ToolError()), OUR_FAULT),
        (answering(object()), OUR_FAULT),
        (failing(ValueError(), SideEffect.IDEMPOTENT), OUR_FAULT + DOUBT),
        (waiting(SideEffect.NONE, 0.01), SLOW),
        (waiting(SideEffect.IDEMPOTENT, 0.01), SLOW + DOUBT),
        (waiting(SideEffect.ONCE, 0.01), SLOW + DOUBT),
    ],
    ids=["told", "half a character", "no text", "result that cannot be written", "doubt", "slow",
         "slow repeatable", "slow with an effect"],
)  # fmt: skip
async def test_a_tool_with_an_error_gives_it_to_the_model(made: Tool, error: str) -> None:
    """A `ToolError` in its words without half characters; any other as our fault."""
    assert error_of(await run(made)) == error


@pytest.mark.parametrize("error", [ValueError("secret"), StoreError("secret"), TimeoutError()])
async def test_any_other_error_is_logged_and_kept_from_the_model(error: Exception) -> None:
    with capture_logs() as logs:
        outcome = await run(failing(error))

    assert error_of(outcome) == OUR_FAULT
    assert logs == [
        {
            "event": "tool.failed",
            "log_level": "error",
            "exc_info": True,
            "tool": "FailFunction",
            "tool_call_id": "call00001",
        }
    ]


async def test_cancellation_passes_through() -> None:
    running = asyncio.create_task(run(waiting(SideEffect.NONE, 60)))
    await asyncio.sleep(0)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_caller_with_a_withheld_number_is_not_known() -> None:
    store = MemoryStore()

    withheld = call_of(store, caller="", call_id="CA1")

    assert (withheld.is_caller_known, withheld.owner) == (False, "CA1")
    for caller in ("+15550100001", "client:ada"):
        assert call_of(store, caller=caller).owner == caller


def declining(error: Exception) -> Tool:
    @tool("PayFunction", collects=Collector(is_sensitive=True))
    async def pay(call: CallContext) -> None:
        """Pay."""
        assert call.digits == "4111222233334444"
        raise error

    return pay


async def given(made: Tool, entry: Entry) -> ToolOutcome:
    toolbox = CallToolExecutor([made], call_of(MemoryStore()))
    return await toolbox.run(ToolCall("call00001", made.spec.name, "{}"), entry=entry)


async def test_a_tool_reads_what_was_entered_for_it() -> None:
    @tool("FindFunction", collects=Collector())
    async def find(call: CallContext) -> dict[str, str]:
        """Find."""
        return {"found": call.digits}

    assert await given(find, Entry("4711")) == ToolOutcome('{"found":"4711"}')


@pytest.mark.parametrize(
    "shown", ["4111222233334444", "4111 2222 3333 4444", "4111-2222-3333.4444"]
)
async def test_sensitive_digits_that_a_tool_gives_back_are_marked(shown: str) -> None:
    outcome = await given(
        declining(ToolError(f"{shown} is declined")), Entry("4111222233334444", True)
    )

    assert error_of(outcome) == "xxxxxxxxxxxxxxxx is declined"


async def test_digits_in_a_longer_number_are_others() -> None:
    error = ToolError("94111222233334444 is our reference")

    assert "94111222233334444" in error_of(
        await given(declining(error), Entry("4111222233334444", True))
    )


async def test_an_error_with_sensitive_digits_is_logged_without_its_text() -> None:
    with capture_logs() as logs:
        await given(declining(ValueError("4111222233334444")), Entry("4111222233334444", True))

    assert logs == [
        {
            "event": "tool.failed",
            "log_level": "error",
            "tool": "PayFunction",
            "tool_call_id": "call00001",
            "error": "ValueError",
        }
    ]


def test_a_context_is_shown_without_the_digits() -> None:
    assert "4711" not in repr(replace(call_of(MemoryStore()), digits="4711"))
