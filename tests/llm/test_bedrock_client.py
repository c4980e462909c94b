"""Requests to Bedrock are those the SDK would send; connections are kept, and closed."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped] # ships no types
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, Usage
from agent.errors import ModelError
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.bedrock.converse_request import Json
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.usecases import ModelSettings
from agent.usecases.model_times import TimeLimits
from tests.llm import contract
from tests.llm.accounts import set_account
from tests.llm.eventstream import (
    MESSAGE,
    START,
    Answer,
    Asked,
    Bedrock,
    Sent,
    bedrock,
    delta,
    fault,
    stop,
    tool,
)
from tests.waiting import until

NOVA = "us.amazon.nova-lite-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
PIECES = [TextPiece("Hello"), Stopped(StopReason.END), Usage(7, 2)]
ASKED = contract.request(contract.SMALL_TALK)
SENT = "accept-encoding", "content-type", "host", "x-amz-date", "x-amz-security-token"


Serve = Callable[..., AbstractAsyncContextManager[tuple[Bedrock, BedrockClient]]]


@pytest.fixture(autouse=True)
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """An account that does not exist; serves answers at its endpoint."""
    set_account(monkeypatch)

    @asynccontextmanager
    async def served(*answers: Answer) -> AsyncIterator[tuple[Bedrock, BedrockClient]]:
        async with bedrock(*answers) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
            async with BedrockClient.open() as client:
                yield server, client

    return served


def nova(client: BedrockClient, identifier: str = NOVA) -> BedrockModel:
    return BedrockModel(identifier, ModelSettings(), client)


def limited(client: BedrockClient, limits: TimeLimits) -> FailoverModel:
    """The model with the time limits of a process."""
    candidate = Candidate(nova(client), ModelCircuit(NOVA), limits=limits)
    return FailoverModel([candidate], HedgeBudget(0.0))


async def spoken(model: BedrockModel) -> list[ReplyPiece]:
    """A whole reply, without its signs of life."""
    return contract.without_signs_of_life(await contract.pieces_of(model, ASKED))


def that_matters(asked: Asked) -> tuple[str, str, dict[str, str], str, Json]:
    """Bodies differ in blanks, so signatures too; `tests/test_aws_requests.py` compares those."""
    headers = {name: asked.headers[name] for name in SENT if name in asked.headers}
    signed, _, _ = asked.headers["authorization"].partition("Signature=")
    return asked.method, asked.path, headers, signed, json.loads(asked.body)


async def both(server: Bedrock, model: BedrockModel) -> tuple[Asked, Asked]:
    """The same request made by us and by the SDK, whose JSON has other spaces and escapes."""
    await contract.pieces_of(model, ASKED)
    written = server.asked[-1].body
    body = json.loads(written)

    def write_as_we_do(params: dict[str, Any], **_: object) -> None:
        assert json.loads(params["body"]) == body
        params["body"] = written

    session = aioboto3.Session(region_name="eu-central-1")
    async with session.client("bedrock-runtime", endpoint_url=server.url) as client:
        client.meta.events.register("before-call", write_as_we_do)
        answer = await client.converse_stream(modelId=model.name, **body)
        async for _ in answer["stream"]:
            pass
    ours, theirs = server.asked[-2:]
    return ours, theirs


@pytest.mark.parametrize("token", ["", "session/token=="])
@pytest.mark.parametrize(
    "identifier",
    [
        "amazon.nova-micro-v1:0",
        NOVA,
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        PROFILE,
        "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3",
        "a model~with_odd.charäcters",
    ],
)
async def test_request_is_the_one_the_sdk_would_send(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, identifier: str, token: str
) -> None:
    """Compared again if a second passes between the two requests."""
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    async with serve() as (server, client):
        ours, theirs = await both(server, nova(client, identifier))
        while ours.headers["x-amz-date"] != theirs.headers["x-amz-date"]:
            ours, theirs = await both(server, nova(client, identifier))

    assert that_matters(ours) == that_matters(theirs)
    assert ("x-amz-security-token" in ours.headers) is bool(token)


async def test_endpoint_is_configured_or_that_of_the_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", raising=False)

    places = []
    for name, value in (
        ("AWS_REGION", "eu-central-1"),
        ("AWS_REGION", "cn-north-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9/"),
    ):
        monkeypatch.setenv(name, value)
        async with BedrockClient.open() as client:
            places.append((client.region, client.endpoint))

    assert places == [
        ("eu-central-1", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("cn-north-1", "http://127.0.0.1:9"),
    ]


async def test_without_a_region_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")

    with pytest.raises(
        ModelError, match=r"You must specify a region\. Set AWS_REGION\.$"
    ) as caught:
        async with BedrockClient.open():
            pass

    assert caught.value.fault is ReplyFault.DENIED


async def test_configuration_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[default]", encoding="utf-8")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "config"))

    monkeypatch.setattr("configparser.RawConfigParser.read", refuse)
    with pytest.raises(ModelError, match=f"Permission denied: '{tmp_path}/config'.*AWS_PROFILE"):
        async with BedrockClient.open():
            pass


@pytest.mark.parametrize("config", ["", "[default]\ncredential_process = false\n"])
async def test_without_credentials_it_starts_and_a_reply_is_denied(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str
) -> None:
    """A source of credentials that fails is logged."""
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with capture_logs() as logged:
        async with serve() as (server, client):
            with pytest.raises(ModelError, match=r"AWS credentials .* AWS_PROFILE") as caught:
                await contract.pieces_of(nova(client), ASKED)

    assert caught.value.fault is ReplyFault.DENIED
    assert server.asked == []
    assert [(each["event"], each["cause"]) for each in logged] == (
        [("aws.credentials_renewal_failed", "CredentialRetrievalError")] if config else []
    )
    assert all("pii_detail" in each for each in logged)


async def test_response_that_was_read_out_leaves_its_connection_to_the_next(serve: Serve) -> None:
    refusal = Answer((b'{"message":"Slow down."}',), 429, {"x-amzn-errortype": "Throttling"})
    async with serve(refusal, Answer()) as (server, client):
        with pytest.raises(ModelError):
            await contract.pieces_of(nova(client), ASKED)
        replies = [await spoken(nova(client)) for _ in range(2)]

    assert replies == [PIECES] * 2
    assert server.opened == 1


async def test_warming_opens_connections_before_they_are_needed(serve: Serve) -> None:
    """As many as asked for; existing ones count."""
    async with serve() as (server, client):
        await client.warm(3)
        await client.warm(3)
        await nova(client).warm()
        await until(lambda: server.opened >= 3)
        await contract.pieces_of(nova(client), ASKED)

        assert (server.opened, len(server.asked)) == (3, 1)


async def test_warming_replaces_connections_that_were_closed(serve: Serve) -> None:
    """By us in the middle of a reply, which stops the model, or by the server after one."""
    async with serve() as (server, client):
        server.answers = [
            Answer((START + delta("Well"), server.until_left)),
            Answer(headers={"Connection": "close"}),
        ]
        await client.warm()
        await contract.tasks_left_after_closing(nova(client), ASKED)
        assert await server.left.get() == "left"
        await client.warm()
        await contract.pieces_of(nova(client), ASKED)
        await client.warm()

        await until(lambda: server.opened >= 3)
        assert server.opened == 3


async def test_endpoint_that_refuses_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warming never raises, and a reply is unavailable."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        async with BedrockClient.open() as client:
            await client.warm(2)
            with pytest.raises(ModelError) as caught:
                await contract.pieces_of(nova(client), ASKED)

    assert caught.value.fault is ReplyFault.UNAVAILABLE


@pytest.mark.parametrize("begun", [b"", START])
async def test_cancelling_a_reply_closes_its_connection(serve: Serve, begun: bytes) -> None:
    async with serve() as (server, client):
        is_asked = asyncio.Event()

        async def note(_: web.Request) -> None:
            is_asked.set()

        server.answers = [Answer((begun, note, server.until_left))]
        turn = asyncio.create_task(contract.pieces_of(nova(client), ASKED))
        await is_asked.wait()
        turn.cancel()

        with pytest.raises(asyncio.CancelledError):
            await turn
        assert await server.left.get() == "left"


@pytest.mark.needs("time")
@pytest.mark.parametrize(
    ("begun", "limits"),
    [
        ((), TimeLimits(first_event=0.05)),
        ((START[:20],), TimeLimits(first_event=0.05)),
        ((START + delta("Well"),), TimeLimits(gap=0.05)),
        ((START + delta("Well") + START[:20],), TimeLimits(gap=0.05)),
    ],
)
async def test_silence_is_a_timeout_and_closes_the_connection(
    serve: Serve, begun: tuple[bytes, ...], limits: TimeLimits
) -> None:
    """Before the first event and between events; a part of an event does not count."""
    async with serve() as (server, client):
        server.answers = [Answer((*begun, server.until_left))]

        with pytest.raises(ModelError) as caught:
            await contract.pieces_of(limited(client, limits), ASKED)

        assert caught.value.fault is ReplyFault.TIMEOUT
        assert await server.left.get() == "left"


async def test_silence_after_the_message_is_the_end(serve: Serve) -> None:
    async with serve() as (server, client):
        server.answers = [Answer((MESSAGE, server.until_left))]

        pieces = await contract.pieces_of(limited(client, TimeLimits(gap=0.05)), ASKED)

        assert pieces == PIECES[:2]
        assert await server.left.get() == "left"


async def reset(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


@pytest.mark.parametrize(
    "sent", [(b"",), (START,), (START + delta("Well"),), (MESSAGE[:-1],), (START, reset)]
)
async def test_stream_that_ends_before_its_message_is_unavailable(
    serve: Serve, sent: tuple[Sent, ...]
) -> None:
    async with serve(Answer(sent)) as (_, client):
        with pytest.raises(ModelError) as caught:
            await contract.pieces_of(nova(client), ASKED)

    assert caught.value.fault is ReplyFault.UNAVAILABLE


async def test_calls_without_a_name_are_logged(serve: Serve) -> None:
    sent = START + tool(0, "") + delta("Hello", 1) + stop("end_turn")
    with capture_logs() as logged:
        async with serve(Answer((sent,))) as (_, client):
            assert await spoken(nova(client)) == PIECES[:2]

    assert logged == [
        {"event": "bedrock.calls_dropped", "log_level": "warning", "model": NOVA, "parts": 1}
    ]


async def test_error_after_the_message_is_ignored(serve: Serve) -> None:
    sent = MESSAGE + fault("internalServerException")
    async with serve(Answer((sent,))) as (_, client):
        assert await spoken(nova(client)) == PIECES[:2]
