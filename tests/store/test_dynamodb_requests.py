"""Requests to DynamoDB are those the SDK would send; damaged answers are asked for again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aioboto3  # type: ignore[import-untyped] # ships no types
import pytest
from aiohttp import web
from botocore import xform_name  # type: ignore[import-untyped] # ships no types

from agent.errors import StoreError
from agent.store.dynamodb_client import DynamoDBTimeouts
from agent.store.dynamodb_table import DynamoDBStore
from tests.listening import listening
from tests.llm.accounts import set_account

REGION = "eu-central-1"
ITEM = {"pk": "a", "sk": "one", "sequence": 3, "text": "Grüße, 12 €", "more": [1.5, None, {}]}


class Asked(NamedTuple):
    """One request as it arrived."""

    target: str
    kind: str
    signed: str
    body: Any
    token: str | None


class Server:
    """Answers that everything was done and nothing found."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.checksums: list[str] = []
        """Of the next answers; without one there is none."""
        self.status = 200

    async def handle(self, request: web.Request) -> web.Response:
        headers = request.headers
        signed = headers["Authorization"].partition("Signature=")[0]
        body = json.loads(await request.read())
        token = headers.get("X-Amz-Security-Token")
        kind = headers["Content-Type"]
        self.asked.append(Asked(headers["X-Amz-Target"], kind, signed, body, token))
        answer: dict[str, Any] = {"Items": [], "Responses": {}}
        checksum = {"x-amz-crc32": self.checksums.pop(0)} if self.checksums else {}
        return web.json_response(answer, status=self.status, headers=checksum)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    serving = Server()
    application = web.Application()
    application.router.add_post("/", serving.handle)
    async with listening(application) as url:
        set_account(monkeypatch, url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        yield serving


async def every_operation(store: DynamoDBStore) -> None:
    await store.get("a", "one")
    await store.get_many([("a", "one"), ("b", "two")])
    await store.put(ITEM)
    await store.put(ITEM, only_if_absent=True)
    await store.put_newer(ITEM)
    await store.merge("a", "one", {"name": "Ada", "at": 1e-7})
    await store.query("a", "o")
    await store.query_index("i")
    await store.move("a", "one", {"pk": "a", "sk": "two"})


@pytest.mark.parametrize("token", ["", "session/token=="])
async def test_request_is_the_one_the_sdk_would_send(
    server: Server, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """By target, body, and what is signed; `tests/test_aws_requests.py` has the signature."""
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    store = await DynamoDBStore.open("t", region=REGION)
    await every_operation(store)
    await store.close()
    ours = server.asked.copy()
    server.asked.clear()

    async with aioboto3.Session().client("dynamodb", region_name=REGION) as sdk:
        for each in ours:
            operation = xform_name(each.target.rpartition(".")[2])
            await getattr(sdk, operation)(**each.body)

    assert len(ours) == 11
    assert ours == server.asked


async def test_damaged_answer_is_asked_for_again(server: Server) -> None:
    store = await DynamoDBStore.open("t", region=REGION)
    server.asked.clear()
    server.checksums = ["1"]

    assert await store.query("a") == []
    assert len(server.asked) == 2
    await store.close()


async def test_repetitions_end_while_the_table_fails_and_return_with_it(server: Server) -> None:
    """100 of a process in advance: a table that is down is not asked three times as much."""
    patient = DynamoDBTimeouts(connect=60.0, read=60.0, operation=120.0)  # only answers count
    store = await DynamoDBStore.open("t", region=REGION, timeouts=patient)

    async def ask(times: int) -> int:
        server.asked.clear()
        gets = (store.get("a", str(number)) for number in range(times))
        answers = await asyncio.gather(*gets, return_exceptions=True)
        assert all(isinstance(each, StoreError) == (server.status != 200) for each in answers)
        return len(server.asked)

    server.status = 503
    asked_while_down = await ask(90), await ask(10)
    server.status = 200
    asked_after = await ask(10)
    server.status = 503
    asked_again = await ask(1)
    await store.close()

    assert (*asked_while_down, asked_after, asked_again) == (90 + 100, 10, 10, 3)
