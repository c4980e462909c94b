"""The console: who may look and act, what is seen of a call, and acts across processes."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from agent import app
from agent.call.operator_acts import GIVEN_BACK, TAKEN_OVER
from agent.http.console.console_page import LONGEST_TEXT, MOST_STREAMS_OF_A_KEY
from agent.http.pages import HEADERS
from agent.ports import Item
from tests.servers import Server, heard_out, serving, settings_for
from tests.waiting import until

SECRET, LOOKS = "a-secret-of-anna-who-acts", "a-secret-of-the-screen-on-the-wall"
KEYS = f"anna:act:{SECRET}, wall:look:{LOOKS}"
ROUTES = [
    ("GET", "/console"),
    ("GET", "/console/assets/console.js"),
    ("GET", "/console/me"),
    ("GET", "/console/numbers"),
    ("GET", "/console/live"),
    ("GET", "/console/calls"),
    ("GET", "/console/calls/CA1"),
    ("GET", "/console/calls/CA1/live"),
    ("GET", "/console/calls/CA1/page"),
    ("GET", "/console/calls/CA1/scenario"),
    ("GET", "/console/calls/CA1/replay"),
    ("POST", "/console/calls/CA1/forget"),
    ("POST", "/console/calls/CA1/act"),
]
SAY = {"act": "say", "text": "Anna here."}
ACTS = [("/console/calls/CA1/act", SAY), ("/console/calls/CA1/forget", {"confirm": "0009"})]
COSTLY = ["live", "numbers", "calls", *(f"calls/CA1/{it}" for it in ("page", "scenario", "replay"))]
"""Paths that cost much to answer."""


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'me:{secret}'.encode()).decode()}"}


def url_of(server: Server, path: str) -> str:
    return server.metrics_url.replace("/metrics", path)


async def asked(
    server: Server,
    method: str,
    path: str,
    secret: str = SECRET,
    body: object = None,
    **headers: str,
) -> tuple[int, str]:
    """Status and text of an answer that ends."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {**(basic(secret) if secret else {}), **named}
    url, http = url_of(server, path), server.twilio.http
    sent = {"json": body} if body is not None else {}
    async with http.request(method, url, headers=given, **sent) as answer:  # type: ignore[arg-type]
        return answer.status, await answer.text()


async def acted(server: Server, call_sid: str, **body: object) -> int:
    status, _ = await asked(server, "POST", f"/console/calls/{call_sid}/act", body=body)
    return status


class Page:
    """The messages of a stream, as a page gets them."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.seen: list[Any] = []

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first message from now on that is wanted."""
        async with asyncio.timeout(10):
            async for line in self._answer.content:
                if line.startswith(b"data: "):
                    self.seen.append(json.loads(line[6:]))
                    if wanted(self.seen[-1]):
                        return self.seen[-1]
        raise AssertionError(f"not told: {self.seen}")


@asynccontextmanager
async def watching(server: Server, path: str) -> AsyncIterator[Page]:
    async with server.twilio.http.get(url_of(server, path), headers=basic(SECRET)) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Page(answer)


def is_fact(text: str) -> Callable[[Any], bool]:
    return lambda it: it["type"] == "fact" and it["fact"].get("text", "").strip() == text


@pytest.fixture
async def server(table: Path) -> AsyncIterator[Server]:
    async with serving(settings_for(table, CONSOLE_API_KEYS=KEYS)) as running:
        yield running


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("secret", ["", "a-secret-of-nobody-here"])
async def test_without_a_key_nothing_is_answered(
    server: Server, method: str, path: str, secret: str
) -> None:
    status, text = await asked(server, method, path, secret)

    assert (status, text) == (401, "a key is needed\n")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_the_console_is_not_on_the_public_port(
    server: Server, method: str, path: str
) -> None:
    url = server.url(path)
    async with server.twilio.http.request(method, url, headers=basic(SECRET)) as answer:
        assert answer.status == 404


async def test_a_public_service_without_keys_has_no_console(table: Path) -> None:
    async with serving(settings_for(table)) as server:
        status, _ = await asked(server, "GET", "/console")

    assert status == 404


async def test_in_development_a_key_is_made_at_each_start(table: Path) -> None:
    local = {"WS_URL": "ws://localhost:3000/", "TWILIO_AUTH_TOKEN": ""}
    async with serving(settings_for(table, **local)) as server:
        key = server.service.console_key
        found = [await asked(server, "GET", "/console/me", each) for each in ("", key)]

    assert found == [(401, "a key is needed\n"), (200, '{"name":"development","mayAct":true}')]


async def test_every_answer_has_the_headers_of_pages(server: Server) -> None:
    """No frame, no foreign script, nothing that a cache keeps."""
    for path in ("/console", "/console/me", "/console/calls", "/console/calls/CA1"):
        url = url_of(server, path)
        async with server.twilio.http.get(url, headers=basic(SECRET)) as answer:
            assert HEADERS.items() <= dict(answer.headers).items(), path
            assert answer.headers["Cache-Control"] in {"no-store", "no-cache"}


@pytest.mark.parametrize(
    "path",
    [
        "/console/assets/../console_page.py",
        "/console/assets/..%2f..%2fapi.py",
        "/console/assets/%2e%2e%2fpages.py",
        "/console/calls/..%2f..%2fmetrics",
        "/console/calls/" + "A" * 65,
        "/console/calls/CA1%00",
        "/console/calls/chat::1",
    ],
)
async def test_no_other_file_or_item_is_reached_by_a_path(server: Server, path: str) -> None:
    status, _ = await asked(server, "GET", path)

    assert status == 404


async def test_a_key_that_may_look_cannot_act(server: Server) -> None:
    me = await asked(server, "GET", "/console/me", LOOKS)
    answers = [await asked(server, "POST", path, LOOKS, body) for path, body in ACTS]

    assert me == (200, '{"name":"wall","mayAct":false}')
    assert answers == [(403, "this key may look, and not act\n")] * 2


@pytest.mark.parametrize(("path", "body"), ACTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_a_page_of_another_site_cannot_act(
    server: Server, headers: dict[str, str], path: str, body: object
) -> None:
    status, text = await asked(server, "POST", path, body=body, **headers)

    assert (status, text) == (403, "needs JSON from the page itself\n")


@pytest.mark.parametrize("path", COSTLY)
async def test_a_page_of_another_site_makes_no_work(server: Server, path: str) -> None:
    answer = await asked(server, "GET", f"/console/{path}", Sec_Fetch_Site="cross-site")

    assert answer == (403, "open the page itself\n")


async def test_a_name_that_resolves_to_this_machine_is_not_answered(server: Server) -> None:
    answer = await asked(server, "GET", "/console/me", Host="rebound.example.com")

    assert answer == (403, "unknown host name\n")


@pytest.mark.parametrize(
    "body",
    [
        {"act": "shout", "text": "x"},
        {"act": "say", "text": "x" * (LONGEST_TEXT + 1)},
        {"act": "say", "text": 5},
        {"act": "say", "other": 1},
        {},
        [],
    ],
)
async def test_an_act_that_is_none_is_refused(server: Server, body: object) -> None:
    status, _ = await asked(server, "POST", "/console/calls/CA1/act", body=body)

    assert status == 400


async def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    body = {"act": "say", "text": "x" * 200_000}

    status, _ = await asked(server, "POST", "/console/calls/CA1/act", body=body)

    assert status == 413


async def test_streams_of_one_key_are_bounded(server: Server) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MOST_STREAMS_OF_A_KEY):
            await stack.enter_async_context(watching(server, "/console/live"))
        refused = await asked(server, "GET", "/console/live")
        other = url_of(server, "/console/live")
        async with server.twilio.http.get(other, headers=basic(LOOKS)) as answer:
            assert answer.status == 200

    assert refused == (429, "too many streams are open\n")


async def test_an_act_on_a_call_that_does_not_go_on_is_refused(server: Server) -> None:
    assert await acted(server, "CA1", **SAY) == 404


async def test_a_page_sees_what_was_said_and_what_is_said_now(server: Server) -> None:
    relay = await server.relay(From="+15550100009")
    call_sid = relay.fields["CallSid"]
    async with server.twilio.connect(relay) as call:
        await call.say("What is on the menu?")
        async with watching(server, f"/console/calls/{call_sid}/live") as page:
            first = await page.until(lambda it: it["type"] == "call")
            await page.until(is_fact("What is on the menu?"))
            await call.say("<script>alert(1)</script> please")
            said = await page.until(is_fact("<script>alert(1)</script> please"))
            turn = await page.until(lambda it: it["type"] == "turn")

    assert first["caller"] == "+15550100009"
    assert first["isTakenOver"] is False
    assert said["fact"]["kind"] == "CallerSaid"
    assert turn["stages"].keys() >= {"model"}


async def test_operator_takes_over_speaks_and_gives_back(server: Server) -> None:
    """The caller hears the operator, the model is silent, and then answers all that was said."""
    relay = await server.relay()
    call_sid = relay.fields["CallSid"]
    with capture_logs() as logs:
        async with server.twilio.connect(relay) as call:
            await call.say("Who is there?")
            assert await acted(server, call_sid, act="take_over") == 200
            assert await acted(server, call_sid, **SAY) == 200
            heard = await call.reply()
            await call.prompt("My soup was cold.")
            assert await acted(server, call_sid, act="give_back") == 200
            answer = await call.reply()
        words = await server.said(call)
        audit = await server.items(call_sid, "operator::")

    assert "Anna here." in heard.text
    assert answer.text
    notes = [text for kind, text in words if kind == "note"]
    assert notes == [TAKEN_OVER, GIVEN_BACK]
    assert ("callerSaid", "My soup was cold.") in words
    assert [(it["operator"], it["act"]) for it in audit] == [
        ("anna", "take_over"),
        ("anna", "say"),
        ("anna", "give_back"),
    ]
    acts = [it for it in logs if it["event"] == "operator.acted"]
    assert [it["act"] for it in acts] == ["take_over", "say", "give_back"]
    assert "Anna here." not in json.dumps(acts)


async def test_operator_ends_the_call(server: Server) -> None:
    relay = await server.relay()
    async with server.twilio.connect(relay) as call:
        await call.say("Who is there?")
        assert await acted(server, relay.fields["CallSid"], act="end") == 200
        await heard_out(call)

    assert await server.metric("agent_calls_total", end_reason="operator") == 1


async def test_console_of_another_process_shows_a_call_within_a_second_and_acts(
    table: Path,
) -> None:
    settings = settings_for(table, CONSOLE_API_KEYS=KEYS)
    async with serving(settings) as other, app.running(settings, "127.0.0.1") as service:
        mine = Server(service, other.twilio)
        async with watching(mine, "/console/live") as live:
            await live.until(lambda it: it["calls"] == [])
            relay = await other.relay()
            call_sid = relay.fields["CallSid"]
            async with other.twilio.connect(relay) as call:
                await live.until(lambda it: [one["call"] for one in it["calls"]] == [call_sid])
                await call.say("Who is there?")
                async with watching(mine, f"/console/calls/{call_sid}/live") as page:
                    await page.until(lambda it: it["type"] == "call")
                    await call.prompt("What is on the menu?")
                    await page.until(is_fact("What is on the menu?"))
                    assert await acted(mine, call_sid, **SAY) == 200
                    await page.until(is_fact("Anna here."))
            await live.until(lambda it: it["calls"] == [])
        audit = await other.items(call_sid, "operator::")

    assert [it["act"] for it in audit] == ["say"]


async def test_numbers_are_the_sum_of_all_processes(table: Path) -> None:
    """Those of the metrics; the entry of an orderly process is gone when it has ended."""
    settings = settings_for(table, CONSOLE_API_KEYS=KEYS)
    async with serving(settings) as other, app.running(settings, "127.0.0.1") as service:
        mine = Server(service, other.twilio)
        async with watching(mine, "/console/numbers") as page:
            first = await page.until(lambda it: it["ports"] == 2)
            async with other.twilio.connect(await other.relay()) as call:
                await call.say("What is on the menu?")
            last = await page.until(lambda it: it["numbers"]["ended"] == 1)

    async with serving(settings) as alone, watching(alone, "/console/numbers") as page:
        [listed] = await alone.store.query("console::processes")
        after = await page.until(lambda _: True)

    assert (first["numbers"]["ended"], first["silent"]) == (0, [])
    counted = last["numbers"]
    assert (counted["live"], counted["contained"]) == (0, 1.0)
    assert 0 < counted["response_p50"] <= counted["response_p95"]
    assert listed["sk"] == alone.metrics_url.removesuffix("/metrics")
    assert (after["ports"], after["silent"], after["numbers"]["ended"]) == (1, [], 0)


async def test_a_process_that_does_not_answer_is_named(server: Server) -> None:
    """A process that was killed is named until its entry expires; a strange answer is none."""
    no_process, no_metrics = "http://127.0.0.1:9", server.url("/health#2").removesuffix("#2")
    for address in (no_process, no_metrics, "http://127.0.0.1:1"):
        until_epoch = 0 if address.endswith(":1") else int(time()) + 60
        item: Item = {"pk": "console::processes", "sk": address, "expireAt": until_epoch}
        await server.store.put(item)

    async with watching(server, "/console/numbers") as page:
        told = await page.until(lambda it: it["ports"] == 3)

    assert told["silent"] == sorted([no_process, no_metrics])


async def test_without_a_page_nothing_looks(server: Server) -> None:
    """The list and the numbers are read while a page is open, and no longer."""

    def looking() -> set[str]:
        return {task.get_name() for task in asyncio.all_tasks()} & {"live calls", "numbers"}

    before = looking()
    async with watching(server, "/console/live") as live, watching(server, "/console/numbers"):
        await live.until(lambda it: it["calls"] == [])
        during = looking()
    await until(lambda: looking() == set())

    assert (before, during) == (set(), {"live calls", "numbers"})


async def test_a_call_that_nobody_watches_has_no_feed(server: Server) -> None:
    relay = await server.relay()
    call_sid = relay.fields["CallSid"]
    async with server.twilio.connect(relay) as call:
        await call.say("Who is there?")
        observers = server.calls.running[call_sid].observers
        before = len(observers)
        async with watching(server, f"/console/calls/{call_sid}/live") as page:
            await page.until(lambda it: it["type"] == "call")
            during = len(observers)
        await until(lambda: len(observers) == before)

    assert during == before + 1
    assert server.calls.running == {}
