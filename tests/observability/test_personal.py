"""Nothing personal of a caller reaches logs or metrics, unless it is asked for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from yarl import URL

from agent.errors import AgentError, StoreError, ToolError, UseCaseError
from agent.observability import configure_logging
from agent.ports import Item
from agent.simulator.carrier import call_fields
from agent.store.memory import MemoryStore
from agent.store.sqlite import SqliteStore
from benchmarks.planted import found, plant
from tests.servers import heard_out, offline, seeded, serving, settings_for, staged

Captured = pytest.CaptureFixture[str]
pytestmark = [pytest.mark.needs("time"), pytest.mark.usefixtures("plain_logging")]
_CALLS = 50


async def test_nothing_of_a_caller_is_in_logs_or_metrics(
    table: Path, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """Fifty callers give personal data in words, keys and malformed frames."""
    configure_logging("info", "json")
    store = await SqliteStore.open(table)

    async with staged(settings_for(table), store, offline) as server:
        people = await plant(server, _CALLS)
        _, metrics = await server.get(server.metrics_url)
    await store.close()

    written = "".join(capsys.readouterr()) + caplog.text
    assert len(people) == _CALLS == written.count('"call.summarized"')
    assert written.count('"turn.finished"') > 2 * _CALLS
    assert written.count('"relay.error_received"') == _CALLS
    assert found(people, written) == []
    assert found(people, metrics) == []


async def test_unreadable_request_is_a_line_without_its_bytes(
    table: Path, capsys: Captured
) -> None:
    """By default aiohttp logs the header over several lines with a traceback."""
    configure_logging("info", "json")

    async with serving(settings_for(table)) as server:
        url = URL(server.twilio.base)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Caller: Ada \x00 Example\r\n\r\n")
        await reader.read()
        writer.close()

    written = capsys.readouterr().err
    (told,) = [
        line for line in map(json.loads, written.splitlines()) if line["event"] == "request.refused"
    ]
    assert (told["reason"], told["error"]) == ("protocol", "BadHttpMessage")
    assert "exception" not in told
    assert "Ada" not in written


class _FaultyStore(MemoryStore):
    """Fails to read use cases once `fault` is set, with any error of the service."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: AgentError | None = None

    async def get(self, pk: str, sk: str) -> Item | None:
        if self.fault is not None and sk.startswith(("configuration", "version::")):
            raise self.fault
        return await super().get(pk, sk)


@pytest.mark.parametrize(
    ("fault", "is_told"),
    [
        (UseCaseError("prompt: is missing"), True),
        (StoreError("the table did not answer within 2 s"), True),
        (ToolError("There is no order of Ada Example."), False),
    ],
)
async def test_webhook_and_call_that_fail_say_why_in_the_words_of_operators_only(
    table: Path, capsys: Captured, fault: AgentError, is_told: bool
) -> None:
    """The text of any other exception may hold personal data."""
    configure_logging("info", "json")
    store = _FaultyStore()
    await seeded(store)

    async with staged(settings_for(table), store, offline) as server:
        relay = await server.relay(From="+15550100001")
        await server.calls.until_quiet()
        store.fault = fault
        async with server.twilio.dial(relay) as call:
            await call.set_up()
            await heard_out(call)
        await server.ring(call_fields())

    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    failed = [line for line in lines if line["event"] in {"call.failed", "webhook.failed"}]
    assert len({line["event"] for line in failed}) == 2
    for told in failed:
        assert told["error"] == type(fault).__name__
        assert told.get("fault") == (str(fault) if is_told else None)
    assert (str(fault) in written) == is_told


async def test_what_is_asked_for_is_in_the_log(table: Path, capsys: Captured) -> None:
    """Proves that the search of the tests above finds personal data."""
    configure_logging("info", "json", with_personal=True)
    store = await SqliteStore.open(table)

    async with staged(settings_for(table), store, offline) as server:
        people = await plant(server, 1)
    await store.close()

    assert people[0].first in found(people, capsys.readouterr().err)
