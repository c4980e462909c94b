"""Calls that are over, on the console: search, what is made of a call, and forgetting a caller."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from agent.cli.recorded_calls import shown
from agent.http.pages import HEADERS
from agent.session.call_replay import replayed
from agent.settings import Settings
from tests.http.test_console import KEYS, LOOKS, SECRET, asked, basic, url_of
from tests.servers import Server, serving, settings_for

ADA, BOB = "+15550100001", "+15550100009"
ORDER = "a large pepperoni pizza for pickup"


@pytest.fixture
async def server(table: Path) -> AsyncIterator[Server]:
    async with serving(settings_of(table)) as running:
        yield running


def settings_of(table: Path) -> Settings:
    return settings_for(table, CONSOLE_API_KEYS=KEYS, RECORD_CALLS="true")


async def ended_call(server: Server, caller: str = BOB, said: str = ORDER) -> str:
    """A call that the table has whole; its SID."""
    relay = await server.relay(From=caller)
    call_sid = relay.fields["CallSid"]
    async with server.twilio.connect(relay) as call:
        await call.say(said)
    await server.items(call_sid)
    return call_sid


async def found(server: Server, query: str) -> tuple[list[str], int | None]:
    """The calls that a search finds, and from when on there are more."""
    status, text = await asked(server, "GET", f"/console/calls?{query}", LOOKS)
    assert status == 200, text
    answer: Any = json.loads(text)
    return [it["call_sid"] for it in answer["calls"]], answer["before"]


async def test_calls_are_searched_by_all_that_is_known_of_them(server: Server) -> None:
    first = await ended_call(server)
    second = await ended_call(server, ADA, "are you open")
    [listed] = await server.store.query(first, "listing")
    day = str(listed["sk1"])[:10]

    every = await found(server, "")
    wanted = [
        f"caller={quote(BOB)}",
        f"text={quote('PEPPERONI pizza')}",
        f"day={day}&use_case=restaurantOrderingUseCase&reason=caller_hangup&caller={quote(BOB)}",
        f"since=2h&caller={quote(f' {BOB} ')}",
    ]
    single = [await found(server, query) for query in wanted]
    others = ("tool=PlaceOrderFunction", "outcome=booked", "reason=transfer", "day=2020-01-01")
    none = [await found(server, query) for query in (*others, "use_case=%00", "text=%F0%9F%8D%95")]

    assert every == ([second, first], None)
    assert single == [([first], None)] * 4
    assert none == [([], None)] * 6


async def test_calls_are_listed_page_by_page_and_none_is_left_out(server: Server) -> None:
    made = [await ended_call(server) for _ in range(3)]

    pages, before = list[list[str]](), None
    for _ in range(3):
        calls, before = await found(
            server, f"last=1{'' if before is None else f'&before={before}'}"
        )
        pages.append(calls)

    assert pages == [[call] for call in reversed(made)]
    assert before is None


@pytest.mark.parametrize(
    "query",
    [
        "caller=anna",
        f"text={'x' * 201}",
        f"caller={'1' * 201}",
        "last=0",
        "last=201",
        "last=many",
        "since=soon",
        "since=91d",
        "since=9999d",
        "day=tomorrow",
        "day=9999-12-31",
        "day=0001-01-01",
        "before=-1",
        "before=99999999999999999999",
        "colour=red",
    ],
)
async def test_a_search_that_is_none_is_refused(server: Server, query: str) -> None:
    status, _ = await asked(server, "GET", f"/console/calls?{query}")

    assert status == 400


async def test_a_call_is_replayed_with_what_is_configured_today(
    server: Server, table: Path
) -> None:
    """As `replay --now`: first nothing has changed, then the greeting has."""
    call_sid = await ended_call(server)
    path = f"/console/calls/{call_sid}/replay"

    same = await asked(server, "GET", path, LOOKS)
    record = await server.store.get("restaurantOrderingUseCase", "configuration")
    edited = json.dumps(record).replace("How can I help you", "What can I do for you")
    await server.store.put(json.loads(edited))
    _, other = await asked(server, "GET", path, LOOKS)
    as_command = await replayed(
        settings_of(table), server.calls.resources, call_sid, with_today=True
    )

    assert (same[0], json.loads(same[1])["status"]) == (200, 0)
    assert json.loads(other) == {"text": as_command.text, "status": 1}
    assert "What can ..." in as_command.text


async def test_what_cannot_be_replayed_is_said(server: Server) -> None:
    call_sid = await ended_call(server)
    for item in await server.store.query("restaurantOrderingUseCase"):
        await server.store.delete(str(item["pk"]), str(item["sk"]))

    without_record = await asked(server, "GET", "/console/calls/CA1/replay")
    without_use_case = await asked(server, "GET", f"/console/calls/{call_sid}/replay")

    text = "CA1: there is no record of this call"
    assert without_record == (200, json.dumps({"text": text, "status": 2}, separators=(",", ":")))
    assert without_use_case[0] == 409


async def test_a_call_is_kept_as_a_scenario_and_as_a_page(server: Server) -> None:
    """Files to keep: no page of the console, so nothing in them runs in its place."""
    call_sid = await ended_call(server)

    answers = {}
    for name in ("scenario", "page"):
        url = url_of(server, f"/console/calls/{call_sid}/{name}")
        async with server.twilio.http.get(url, headers=basic(LOOKS)) as answer:
            answers[name] = (answer.headers, await answer.text())
    missing = [await asked(server, "GET", f"/console/calls/CA1/{name}") for name in answers]

    kinds = {name: headers["Content-Disposition"] for name, (headers, _) in answers.items()}
    assert kinds == {
        "scenario": f'attachment; filename="{call_sid}.yaml"',
        "page": f'attachment; filename="{call_sid}.html"',
    }
    assert all(HEADERS.items() <= dict(headers).items() for headers, _ in answers.values())
    assert f"says: {ORDER}" in answers["scenario"][1]
    assert f"<td>{ORDER}</td>" in answers["page"][1]
    assert missing == [(404, "there is no such call\n")] * 2


async def test_a_caller_is_forgotten_after_the_number_was_confirmed(server: Server) -> None:
    """As `forget`; the line of the audit has the operator and the call, and no number."""
    call_sid, kept = await ended_call(server), await ended_call(server, ADA)
    path = f"/console/calls/{call_sid}/forget"

    wrong: list[object] = [{"confirm": "0001"}, {"confirm": ""}, {}, {"confirm": 9}, []]

    with capture_logs() as logs:
        refused = [await asked(server, "POST", path, body=body) for body in wrong]
        before = await found(server, "")
        status, text = await asked(server, "POST", path, body={"confirm": "0009"})

    told: Any = json.loads(text)
    assert refused == [(400, "needs the last 4 characters\n")] * 5
    assert before[0] == [kept, call_sid]
    assert (status, told["kept"]) == (200, [])
    assert told["deleted"]["call connection"] == 1
    assert told["not_reached"].startswith("Not reached: log groups")
    assert await server.items(call_sid) == []
    assert await found(server, "") == ([kept], None)
    assert await shown(server.store, call_sid) is None
    audit = [it for it in logs if it["event"] in {"operator.acted", "caller_data.deleted"}]
    assert [(it["event"], it.get("operator"), it.get("call")) for it in audit] == [
        ("operator.acted", "anna", call_sid),
        ("caller_data.deleted", None, None),
    ]
    assert not re.search(r"5550100009|pepperoni", json.dumps(logs))


async def test_a_caller_who_is_not_known_cannot_be_forgotten(server: Server) -> None:
    hidden = await ended_call(server, "anonymous")

    answers = [
        await asked(server, "POST", f"/console/calls/{it}/forget", SECRET, {"confirm": ""})
        for it in ("CA1", hidden)
    ]

    assert answers == [(409, "the caller of this call is not known\n")] * 2


async def test_data_under_a_legal_hold_stays_and_the_reason_is_told(server: Server) -> None:
    call_sid = await ended_call(server)
    await server.know(BOB, legalHold="case 7")

    path = f"/console/calls/{call_sid}/forget"
    status, text = await asked(server, "POST", path, body={"confirm": "0009"})

    told = json.loads(text)
    assert (status, told["deleted"]) == (200, {})
    assert told["kept"] == [["everything", "legal hold: case 7"]]
    assert (await found(server, ""))[0] == [call_sid]
