"""HTTP tools: requests, retries, results and errors."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from typing import Any

import pytest
import structlog

from agent.call.actions import Entry, ToolOutcome
from agent.call.messages import ToolCall
from agent.errors import AgentError
from agent.store.memory import MemoryStore
from agent.tools import CallToolExecutor, OutboundHttp
from agent.tools.http import FAILURES, REST_SECONDS, CircuitOpenError, HostCircuit
from agent.tools.http.outbound_http import HttpRequest, UnreachableError
from agent.tools.idempotency import IN_DOUBT, UNKNOWN
from agent.usecases.host_allowlist import HostAllowlist
from tests.fakes import Clock
from tests.tools.http.stand_in import (
    DROP,
    HANG,
    Asked,
    Names,
    declared,
    offered,
    offering,
    reply,
    run,
    said,
    standing_in,
)
from tests.tools.worlds import CALL_ID

TEXT = {"description": "A text."}
OK = reply(body='{"ok": true}')


async def test_look_up_is_exactly_the_request_that_was_written() -> None:
    async with offered(
        url="/v1/orders/{number}/state?of={call.caller}&q={words}&x=1",
        headers={"Authorization": "Bearer ${ORDERS_TOKEN}"},
        parameters={"number": TEXT, "words": {**TEXT, "required": False}},
    ) as (other, toolbox):
        outcome = await run(toolbox, number=" a?b ", words="x&y=z é")
        await run(toolbox, number="7")

    assert said(outcome) == {"ok": True}
    assert other.asked == [
        Asked(
            "GET /v1/orders/a%3Fb/state?of=%2B15550100001&q=x%26y%3Dz%20%C3%A9&x=1 HTTP/1.1",
            {
                "host": f"127.0.0.1:{other.port}",
                "user-agent": "voice-agent",
                "accept-encoding": "identity",
                "authorization": "Bearer t0ken",
                "accept": "*/*",
                "connection": "close",
            },
            "",
        ),
        Asked("GET /v1/orders/7/state?of=%2B15550100001&x=1 HTTP/1.1", other.asked[0].headers, ""),
    ]


async def test_body_is_filled_with_types_and_without_what_was_left_out() -> None:
    async with offered(
        url="/orders",
        method="POST",
        body={
            "count": "{count}",
            "gift": "{gift}",
            "weight": "{weight}",
            "note": "{note}",
            "label": "{count} for {call.use_case}",
            "lines": [{"what": "{what}", "fixed": 1}, "{note}"],
            "ids": ["{call.id}", "{call.called}"],
        },
        parameters={
            "count": {**TEXT, "type": "integer", "minimum": 1},
            "weight": {**TEXT, "type": "number"},
            "gift": {**TEXT, "type": "boolean"},
            "what": {**TEXT, "enum": ["tea", "coffee"]},
            "note": {**TEXT, "required": False},
        },
    ) as (other, toolbox):
        await run(toolbox, count="3", weight=1.5, gift=True, what="tea", note=None)

    (asked,) = other.asked
    assert asked.line == "POST /orders HTTP/1.1"
    assert asked.headers["content-type"] == "application/json"
    assert "idempotency-key" not in asked.headers
    assert json.loads(asked.body) == {
        "count": 3,
        "gift": True,
        "weight": 1.5,
        "label": "3 for restaurantOrderingUseCase",
        "lines": [{"what": "tea", "fixed": 1}],
        "ids": [CALL_ID, "+15550100099"],
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": 0, "what": "tea"},
        {"count": 10, "what": "tea"},
        {"count": 1.5, "what": "tea"},
        {"count": 1, "what": "milk"},
        {"count": 1, "what": "tea", "note": "x" * 201},
        {"count": 1, "what": "tea", "url": "https://evil.example"},
        {"count": 1, "what": "tea", "call.caller": "+15550100077"},
        {"what": "tea"},
    ],
)
async def test_arguments_that_do_not_fit_are_never_sent(arguments: dict[str, object]) -> None:
    async with offered(
        url="/?count={count}&what={what}&note={note}",
        parameters={
            "count": {**TEXT, "type": "integer", "minimum": 1, "maximum": 9},
            "what": {**TEXT, "enum": ["tea", "coffee"]},
            "note": {**TEXT, "required": False},
        },
    ) as (other, toolbox):
        outcome = await run(toolbox, **arguments)

    assert outcome.is_error
    assert other.asked == []


@pytest.mark.parametrize("url", ["/?of={call.caller}", "/{call.caller}"])
async def test_withheld_number_is_never_an_empty_filter(url: str) -> None:
    async with offered(url=url, caller="") as (other, toolbox):
        outcome = await run(toolbox)

    assert said(outcome) == {
        "error": "This cannot be done: the call's caller is not known in this call."
    }
    assert other.asked == []


@pytest.mark.parametrize(
    ("answer", "table", "told"),
    [
        (reply(body='{"a": {"b": [1, {"c": "x"}]}}'), {}, {"a": {"b": [1, {"c": "x"}]}}),
        (
            reply(body='{"a": {"b": [1, {"c/d": "x"}]}, "d": 2}'),
            {"result": {"found": "/a/b/1/c~1d", "all": "/a/b", "no": "/a/x", "n": "/a/b/7"}},
            {"found": "x", "all": [1, {"c/d": "x"}]},
        ),
        (reply(body="[1, 2]"), {}, {"result": [1, 2]}),
        (reply(body="3", kind="application/vnd.x+json; charset=utf-8"), {}, {"result": 3}),
        (reply(body='{"a": 1}', kind=""), {}, {"a": 1}),
        (reply(body="It rains.", kind="text/plain"), {}, {"result": "It rains."}),
        (
            reply(body="Grüße".encode("latin-1"), kind="text/plain; charset=ISO-8859-1"),
            {},
            {"result": "Grüße"},
        ),
        (reply(body='\ufeff{"a": 1}'.encode()), {"result": {"found": "/a"}}, {"found": 1}),
        (reply(body="\ufeffIt rains.".encode(), kind="text/plain"), {}, {"result": "It rains."}),
        (reply(204, kind=""), {}, {"message": "Done."}),
        (reply(body=" "), {}, {"message": "Done."}),
    ],
)  # fmt: skip
async def test_answer_is_told_as_it_was_mapped(
    answer: bytes, table: dict[str, Any], told: dict[str, object]
) -> None:
    async with offered(answer, **table) as (_, toolbox):
        outcome = await run(toolbox)

    assert said(outcome) == told


BAD_ANSWERS = {
    "not JSON": (reply(body="{"), "its answer is not valid JSON"),
    "NaN": (reply(body='{"a": NaN}'), "its answer is not valid JSON"),
    "half a character": (reply(body='{"a": "\\ud800"}'), "its answer is not valid JSON"),
    "number too large": (reply(body="9" * 6_000), "its answer is not valid JSON"),
    "deep": (reply(body="[" * 200 + "]" * 200), "its answer is nested too deeply"),
    "very deep": (reply(body="[" * 30_000), "its answer is not valid JSON"),
    "binary": (reply(body=b"\x89PNG\x00", kind="image/png"), "its answer is not text"),
    "binary as JSON": (reply(body=b"\xff\xfe{}"), "its answer is not text"),
    "zeros": (reply(body=b"a\x00b", kind="text/plain"), "its answer is not text"),
    "odd charset": (reply(body="x", kind="text/plain; charset=utf-7"), "its answer is not text"),
    "too long": (reply(body=b"[" + b"1," * 40_000 + b"1]"), "its answer is too long"),
    "endless": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 200_000 + HANG,
        "its answer is too long",
    ),
    "compressed": (
        reply(body=gzip.compress(b"0" * 10_000_000), extra="Content-Encoding: gzip\r\n"),
        "its answer is compressed",
    ),
    "cut off": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "its answer broke off"),
    "slow in the middle": (
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":' + HANG,
        "its answer came too slowly",
    ),
}


def limit_for(answer: bytes) -> float:
    """Seconds: short only where it has to expire, because a busy machine may stall for longer."""
    return 0.4 if answer.endswith(HANG) else 5.0


@pytest.mark.parametrize(("answer", "fault"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_bad_answer_is_one_error_of_a_look_up_and_a_deed_is_done(
    answer: bytes, fault: str
) -> None:
    limit = limit_for(answer)
    async with offered(answer, timeout=limit) as (looked_at, toolbox):
        look = await run(toolbox)
    async with offered(answer, method="POST", timeout=limit) as (told, toolbox):
        deed, again = await run(toolbox), await run(toolbox)

    assert said(look) == {"error": f"T cannot be used at the moment: {fault}."}
    assert said(deed) == said(again) == {"message": f"Done, but {fault}."}
    assert (len(looked_at.asked), len(told.asked)) == (1, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_long_result_is_cut_for_the_model_and_for_the_idempotency_store(method: str) -> None:
    store = MemoryStore()
    answer = reply(body=json.dumps({"a": "x" * 50_000}))
    async with offered(answer, store=store, method=method) as (_, toolbox):
        outcome = await run(toolbox)

    assert len(json.dumps(await store.query(CALL_ID, "effect::"))) < 6_000
    assert len(outcome.content) <= 4_000
    assert not outcome.is_error


REASON = "No such order. " + "x" * 1_000


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("table", "reason"),
    [({}, ""), ({"error": "/error/reason"}, f" The reason given is: {REASON[:300]}")],
    ids=["plain", "explained"],
)
async def test_refusal_is_told_with_its_status(
    method: str, status: int, table: dict[str, Any], reason: str
) -> None:
    body = json.dumps({"error": {"reason": REASON.replace("order", " order")}})
    async with offered(reply(status, body), method=method, **table) as (other, toolbox):
        outcome = await run(toolbox)

    assert said(outcome) == {"error": f"T was refused with status {status}.{reason}"}
    assert len(other.asked) == 1


@pytest.mark.parametrize("trouble", [DROP, reply(502), reply(503), reply(504)])
@pytest.mark.parametrize(
    "table",
    [
        {"method": "GET"},
        {"method": "POST", "side_effect": "none"},
        {"method": "PUT", "side_effect": "idempotent"},
        {"method": "POST", "side_effect": "idempotent", "idempotency_key": True},
        {"method": "POST", "idempotency_key": True},
    ],
    ids=str,
)
async def test_what_may_be_repeated_is_asked_once_more(
    trouble: bytes, table: dict[str, Any]
) -> None:
    async with offered(trouble, OK, **table) as (other, toolbox):
        outcome = await run(toolbox)

    assert said(outcome) == {"ok": True}
    assert len(other.asked) == 2
    assert other.asked[0] == other.asked[1]
    assert ("idempotency-key" in other.asked[0].headers) == ("idempotency_key" in table)


@pytest.mark.parametrize("trouble", [DROP, HANG, reply(500), reply(503), reply(303), reply(408)])
async def test_what_must_not_be_repeated_is_asked_once(trouble: bytes) -> None:
    async with offered(trouble, OK, method="POST", timeout=limit_for(trouble)) as (other, toolbox):
        first, second = await run(toolbox), await run(toolbox)

    assert said(first) == said(second) == {"error": UNKNOWN}
    assert len(other.asked) == 1


async def test_doubt_is_cleared_by_the_same_call_with_the_same_key() -> None:
    deed: dict[str, Any] = {"method": "POST", "idempotency_key": True}
    async with offered(reply(503), reply(409), OK, **deed) as (other, toolbox):
        first, second, third = [await run(toolbox) for _ in range(3)]

    assert said(first) == {"error": IN_DOUBT}
    assert said(second) == said(third) == {"ok": True}
    assert len({asked.headers["idempotency-key"] for asked in other.asked}) == 1
    assert len(other.asked) == 3


async def test_deed_is_done_once_however_often_it_is_asked_for() -> None:
    deed: dict[str, Any] = {"method": "POST", "body": {"n": "{n}"}, "parameters": {"n": TEXT}}
    async with offered(**deed) as (other, toolbox):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(toolbox, n="1")) for _ in range(3)]
        await run(toolbox, n=" 1")
        await run(toolbox, n="2")

    assert [said(task.result()) for task in tasks] == [{"ok": True}] * 3
    assert [json.loads(asked.body)["n"] for asked in other.asked] == ["1", "2"]


async def test_idempotency_store_holds_no_secret() -> None:
    store = MemoryStore()
    headers = {"X-Key": "${ORDERS_TOKEN}"}
    async with offered(store=store, method="POST", headers=headers) as (other, toolbox):
        await run(toolbox)

    (entry,) = await store.query(CALL_ID, "effect::")
    assert other.asked[0].headers["x-key"] == "t0ken"
    assert "t0ken" not in json.dumps(entry)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    async with standing_in() as elsewhere:
        answer = reply(status, extra=f"Location: {elsewhere.origin}/\r\n")
        async with standing_in(answer) as other:
            tool = declared(url=other.origin)
            hosts = f"{other.origin},{elsewhere.origin}"
            async with offering(tool, hosts=hosts) as toolbox:
                outcome = await run(toolbox)

    assert said(outcome) == {
        "error": f"T cannot be used at the moment: it answered with status {status}."
    }
    assert elsewhere.asked == []
    assert len(other.asked) == 1


async def test_neither_cookie_nor_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = reply(extra="Set-Cookie: session=1; Path=/\r\n")
    async with standing_in() as proxy, standing_in(cookie) as other:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        async with offering(declared(url=other.origin)) as toolbox:
            await run(toolbox)
            await run(toolbox)

    assert proxy.asked == []
    assert [("cookie" in asked.headers) for asked in other.asked] == [False, False]


async def test_caller_who_moves_on_cancels_a_look_up() -> None:
    async with offered(HANG) as (other, toolbox):
        task = asyncio.create_task(run(toolbox), name="look up")
        await other.hung.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert len(other.asked) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_host_that_is_down_is_an_error_and_nothing_was_done(method: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        tool = declared(url=f"http://127.0.0.1:{taken.getsockname()[1]}", method=method)
        async with offering(tool) as toolbox:
            first, second = await run(toolbox), await run(toolbox)

    told = {"error": "T cannot be used at the moment: it cannot be connected to."}
    assert said(first) == said(second) == told


async def test_host_that_keeps_failing_is_left_alone_for_a_while() -> None:
    clock = Clock(0.0)
    async with offered(*[reply(500)] * FAILURES, OK, clock=clock) as (other, toolbox):
        for _ in range(FAILURES):
            await run(toolbox)
        resting = await run(toolbox)
        asked = len(other.asked)
        clock.seconds = REST_SECONDS
        back = await run(toolbox)

    assert said(resting) == {"error": "T cannot be used at the moment: the host rests."}
    assert asked == FAILURES
    assert said(back) == {"ok": True}


def test_failures_with_answers_between_them_are_no_outage() -> None:
    circuit = HostCircuit(Clock(0.0))

    for _ in range(FAILURES):
        with pytest.raises(AgentError), circuit.asking():
            raise AgentError
        with circuit.asking():
            pass

    with circuit.asking():
        pass


def test_one_request_tries_whether_a_host_is_back() -> None:
    clock = Clock(0.0)
    circuit = HostCircuit(clock)

    def fail(error: BaseException, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(type(error)), circuit.asking():
                raise error

    fail(AgentError(), FAILURES)
    clock.seconds = REST_SECONDS
    fail(asyncio.CancelledError())
    with circuit.asking(), pytest.raises(CircuitOpenError), circuit.asking():
        pass
    with circuit.asking():
        pass
    fail(AgentError(), FAILURES)
    with pytest.raises(CircuitOpenError), circuit.asking():
        pass


async def test_failure_is_logged_by_host_and_reason_alone() -> None:
    async with offered(reply(500), url="/{call.caller}") as (_, toolbox):
        with structlog.testing.capture_logs() as logs:
            await run(toolbox)

    reason = "it answered with status 500"
    assert logs == [
        {"event": "http_tool.failed", "log_level": "warning", "tool": "T", "host": "127.0.0.1",
         "reason": reason},
    ]  # fmt: skip


LOCAL, NEXT = ["127.0.0.1"], ["127.0.0.2"]


@pytest.mark.parametrize(
    ("listed", "host", "answers", "told"),
    [
        ("orders.test:{}=127.0.0.2/32", "orders.test", [NEXT, LOCAL, NEXT + LOCAL], [None] * 3),
        ("orders.test:{}=127.0.0.1/32", "orders.test", [LOCAL], [200]),
        ("[::ffff:127.0.0.1]:{}", "::ffff:7f00:1", [], [None]),
    ],
    ids=["a name that changes its address", "a name where it may lead", "an address of another"],
)
async def test_only_admitted_addresses_are_connected_to(
    listed: str, host: str, answers: list[list[str]], told: list[int | None]
) -> None:
    statuses: list[int | None] = []
    async with standing_in() as other:
        hosts = HostAllowlist.read("http://" + listed.format(other.port))
        request = HttpRequest("GET", "http", host, other.port, "/", {})
        async with OutboundHttp.open(hosts, Names(*answers) if answers else None) as outbound:
            for _ in told:
                try:
                    statuses.append((await outbound.send(request, 2.0)).status)
                except UnreachableError:
                    statuses.append(None)

    assert statuses == told
    reached = [asked.headers["host"] for asked in other.asked]
    assert reached == [f"orders.test:{other.port}"] * told.count(200)


CARD, MARKS = "4111111111111111", "x" * 16
PAY = {
    "method": "POST",
    "body": {"card": "{call.digits}", "for": "{what}"},
    "parameters": {"what": TEXT},
    "collects": {"min_digits": 13, "sensitive": True},
    "error": "/reason",
}


async def _paid(toolbox: CallToolExecutor, what: str = "roses") -> ToolOutcome:
    call = ToolCall("call00001", "T", json.dumps({"what": what}))
    return await toolbox.run(call, entry=Entry(CARD, is_sensitive=True))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(body=f'{{"charged": "{CARD}"}}'), {"charged": MARKS}),
        (
            reply(402, f'{{"reason": "{CARD} is declined"}}'),
            {"error": f"T was refused with status 402. The reason given is: {MARKS} is declined"},
        ),
    ],
)
async def test_sensitive_digits_are_sent_and_not_stored(
    answer: bytes, told: dict[str, object]
) -> None:
    """The plan of an effect and its outcome are in the table."""
    store = MemoryStore()
    async with standing_in(answer) as other:
        tool = declared(url=f"{other.origin}/pay", **PAY)
        async with offering(tool, store=store) as toolbox:
            outcome = await _paid(toolbox)

    kept = await store.query(CALL_ID)
    assert json.loads(other.asked[0].body) == {"card": CARD, "for": "roses"}
    assert said(outcome) == told
    assert len(kept) == 1
    assert CARD not in str(kept)


async def test_an_argument_cannot_take_sensitive_digits_elsewhere() -> None:
    async with (
        standing_in() as other,
        offering(declared(url=f"{other.origin}/pay", **PAY)) as toolbox,
    ):
        outcome = await _paid(toolbox, what="{call.digits}")

    assert other.asked == []
    assert said(outcome) == {"error": "The arguments of T cannot be sent."}


async def test_other_digits_may_be_in_a_path() -> None:
    async with standing_in() as other:
        tool = declared(url=f"{other.origin}/orders/{{call.digits}}", collects={})
        async with offering(tool) as toolbox:
            await toolbox.run(ToolCall("call00001", "T", "{}"), entry=Entry("4711"))

    assert other.asked[0].line == "GET /orders/4711 HTTP/1.1"
