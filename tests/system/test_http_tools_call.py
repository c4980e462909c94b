"""The documented tool without code, through whole calls over real sockets."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli import main as commands
from agent.store.sqlite import SqliteStore
from agent.tools import SPECS
from agent.usecases import seed
from tests.servers import Server, serving, settings_for
from tests.tools.http.stand_in import StandIn, reply, standing_in

ADA = "+15550100001"
ROOT = Path(__file__).parents[2]
NAME = "flowerShop"
ORIGIN = "https://orders.example.com"
_SECRET = {"HTTP_TOOL_SECRETS": "ORDERS_API_TOKEN", "ORDERS_API_TOKEN": "t0ken"}
FOUND = reply(body='{"status": {"text": "on its way"}, "eta": "at noon", "internal": "x"}')
SCRIPT = {
    "slots": {"number": {"kind": "pattern", "phrases": ["\\d{4,8}"]}},
    "intents": [{"when": ["fresh.number"], "call": "OrderStatusFunction"}],
    "tools": {
        "OrderStatusFunction": {
            "arguments": {"number": "{slot.number}"},
            "done": [{"say": "It is {result.state} and arrives {result.arrives}."}],
            "failed": [{"say": "I cannot see that order."}],
        }
    },
    "fallback": ["Which order do you mean?"],
    "trouble": ["That did not work."],
    "done": ["That is done."],
}


def example(origin: str = ORIGIN) -> str:
    page = (ROOT / "docs" / "build" / "http-tools.md").read_text(encoding="utf-8")
    tool, _event = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return str(tool).replace(ORIGIN, origin)


def written(configuration: Path, origin: str = ORIGIN) -> Path:
    folder = configuration / "use-cases" / NAME
    folder.mkdir(parents=True)
    (folder / "use-case.toml").write_text(
        f'greeting = "Hello."\nkeypad.1.function = "OrderStatusFunction"\n{example(origin)}',
        encoding="utf-8",
    )
    (folder / "prompt.md").write_text("You know the orders.", encoding="utf-8")
    (folder / "offline.json").write_text(json.dumps(SCRIPT), encoding="utf-8")
    return configuration


@asynccontextmanager
async def serving_orders(
    tmp_path: Path, other: StandIn, **environment: str
) -> AsyncIterator[Server]:
    store = await SqliteStore.open(tmp_path / "agent.db")
    configuration = written(tmp_path, other.origin)
    await seed.seed(store, configuration, SPECS, now=datetime.now(UTC))
    await store.close()
    hosts = {"STACK_USE_CASE": NAME, "HTTP_TOOL_HOSTS": other.origin}
    variables = {**hosts, **_SECRET, **environment}
    async with serving(settings_for(tmp_path / "agent.db", **variables)) as server:
        yield server


async def test_caller_hears_what_another_system_knows(tmp_path: Path) -> None:
    async with standing_in(FOUND) as other, serving_orders(tmp_path, other) as server:
        async with server.twilio.call(From=ADA) as call:
            heard = await call.say("where is my order 123456")
        _, detail = await server.get(server.metrics_url.replace("metrics", "health/detail"))

    assert "It is on its way and arrives at noon." in heard.text
    assert [asked.line for asked in other.asked] == [
        "GET /v1/orders/123456?caller=%2B15550100001 HTTP/1.1"
    ]
    assert other.asked[0].headers["authorization"] == "Bearer t0ken"
    assert call.ledger.departures == []
    assert detail == "Ready"


async def test_call_goes_on_when_the_other_system_fails(tmp_path: Path) -> None:
    async with (
        standing_in(reply(500), FOUND) as other,
        serving_orders(tmp_path, other) as server,
        server.twilio.call(From=ADA) as call,
    ):
        first = await call.say("where is my order 123456")
        second = await call.say("and what about 7654321")

    assert "I cannot see that order." in first.text
    assert "It is on its way" in second.text
    assert call.ledger.departures == []


_TOKEN = "headers.Authorization: ORDERS_API_TOKEN"
_NOT_THERE = f"{_TOKEN} may not be sent to {{origin}} by HTTP_TOOL_SECRETS"


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("ORDERS_API_TOKEN", "", f"{_TOKEN} is not set"),
        ("HTTP_TOOL_SECRETS", "ORDER_API_TOKEN", f"{_TOKEN} is not in HTTP_TOOL_SECRETS"),
        ("ORDERS_API_TOKEN", "two words", f"{_TOKEN} holds characters no header may have"),
        ("HTTP_TOOL_HOSTS", "", "url: {origin} is not in HTTP_TOOL_HOSTS"),
        ("HTTP_TOOL_SECRETS", "ORDERS_API_TOKEN@api.example.com", _NOT_THERE),
        ("HTTP_TOOL_SECRETS", "ORDERS_API_TOKEN@http://127.0.0.1:1", _NOT_THERE),
        (
            "HTTP_TOOL_SECRETS",
            "ORDERS_API_TOKEN@*.example.com, ORDERS_API_TOKEN@https://127.0.0.1",
            _NOT_THERE,
        ),
    ],
)
async def test_tool_that_cannot_be_used_costs_no_call(
    tmp_path: Path, variable: str, value: str, fault: str
) -> None:
    """It is not offered; operators see what is missing before the first call."""
    async with (
        standing_in(FOUND) as other,
        serving_orders(tmp_path, other, **{variable: value}) as server,
    ):
        _, detail = await server.get(server.metrics_url.replace("metrics", "health/detail"))
        async with server.twilio.call(From=ADA) as call:
            heard = await call.say("where is my order 123456")

    assert heard.text == "Which order do you mean?"
    assert other.asked == []
    assert detail.splitlines() == [
        "Ready",
        f"{NAME}.httpTools.OrderStatusFunction.{fault.format(origin=other.origin)}; left out",
        f"{NAME}.dtmfHandlers.1.replyFunction: OrderStatusFunction is not implemented",
    ]
    assert "t0ken" not in detail


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, ""),
        ({"HTTP_TOOL_HOSTS": ""}, "url: https://orders.example.com:443 is not in HTTP_TOOL_HOSTS"),
        ({"HTTP_TOOL_HOSTS": "*.example.com", "ORDERS_API_TOKEN": ""}, f"{_TOKEN} is not set"),
    ],
)
def test_check_names_the_file_and_the_field(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    fault: str,
) -> None:
    """With the variables as the page sets them, and with some that are not."""
    monkeypatch.setenv("CONFIGURATION", str(written(tmp_path)))
    as_the_page = {"HTTP_TOOL_HOSTS": "orders.example.com", **_SECRET}
    for name, value in {**as_the_page, **changed}.items():
        monkeypatch.setenv(name, value)

    status, errors = commands.main(["check"]), capsys.readouterr().err

    field = f"use-cases/{NAME}/use-case.toml: http_tools.OrderStatusFunction"
    assert (status, errors) == ((1, f"{field}.{fault}\n") if fault else (0, ""))
