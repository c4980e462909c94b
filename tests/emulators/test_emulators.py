"""The AWS SDK and the OpenAI library read the emulators as the real services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it ships no types
import aiohttp
import openai
import pytest
from botocore import eventstream  # type: ignore[import-untyped]  # it ships no types
from botocore import exceptions as boto
from botocore.config import Config  # type: ignore[import-untyped]  # it ships no types

from tests.emulators.bedrock import STATUS, BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import (
    Reply,
    Tokens,
    call,
    drop,
    fail,
    garble,
    say,
    stall,
)
from tests.emulators.scripts import by_index, by_model, by_text, sometimes
from tests.emulators.sigv4 import Keys

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{MODEL}"
KEYS = Keys("AKIDEMULATED", "not-a-secret")
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]
PATIENCE_SECONDS = 0.15


@pytest.fixture
async def bedrock() -> AsyncIterator[BedrockEmulator]:
    async with BedrockEmulator(keys=KEYS, region="us-east-1") as emulator:
        yield emulator


@cache
def session_with(secret: str, token: str | None) -> Any:
    """One session for many clients: each would read the SDK's models anew."""
    return aioboto3.Session(KEYS.access_key, secret, token, region_name="us-east-1")


def sdk_at(url: str, *, secret: str = KEYS.secret_key, token: str | None = None) -> Any:
    session = session_with(secret, token)
    config = Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE_SECONDS)
    return session.client("bedrock-runtime", endpoint_url=url, config=config)


@pytest.fixture
async def sdk(bedrock: BedrockEmulator) -> AsyncIterator[Any]:
    async with sdk_at(bedrock.url) as client:
        yield client


async def ask(sdk: Any, model: str = MODEL, text: str = "Hello") -> list[Any]:
    messages = [{"role": "user", "content": [{"text": text}]}]
    answer = await sdk.converse_stream(modelId=model, messages=messages)
    try:
        return [event async for event in answer["stream"]]
    finally:
        answer["stream"].close()  # the SDK leaves the connection open when reading fails


async def words(sdk: Any, model: str = MODEL, text: str = "Hello") -> str:
    deltas = [event.get("contentBlockDelta", {}) for event in await ask(sdk, model, text)]
    return "".join(delta.get("delta", {}).get("text", "") for delta in deltas)


async def test_sdk_reads_words_a_call_and_usage(bedrock: BedrockEmulator, sdk: Any) -> None:
    """The AWS SDK reads each event as Bedrock's own."""
    tokens = Tokens(10, 4, cache_read=100, cache_write=7)
    menu = call("menu", {"day": 1}, id="a", pieces=2, tokens=tokens, latency_ms=9)
    bedrock.answer_with(say("Well, now.") + menu)

    assert await ask(sdk) == [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Well, "}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "now."}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {
            "contentBlockStart": {
                "contentBlockIndex": 1,
                "start": {"toolUse": {"toolUseId": "a", "name": "menu"}},
            }
        },
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"day'}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '": 1}'}}}},
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"messageStop": {"stopReason": "tool_use"}},
        {
            "metadata": {
                "usage": {
                    "inputTokens": 10,
                    "outputTokens": 4,
                    "totalTokens": 121,
                    "cacheReadInputTokens": 100,
                    "cacheWriteInputTokens": 7,
                },
                "metrics": {"latencyMs": 9},
            }
        },
    ]


@pytest.mark.parametrize("kind", sorted(STATUS))
async def test_sdk_raises_each_error_before_the_stream(
    kind: str, bedrock: BedrockEmulator, sdk: Any
) -> None:
    """Kind, status and words reach the SDK; the kinds it models have their own class."""
    bedrock.answer_with(fail(kind, "Because.", headers={"retry-after": "3"}))

    with pytest.raises(boto.ClientError) as raised:
        await ask(sdk)

    response = raised.value.response
    assert response["Error"] == {"Code": kind, "Message": "Because."}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == STATUS[kind]
    assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "3"
    modelled = getattr(sdk.exceptions, kind, boto.ClientError)
    assert isinstance(raised.value, modelled)


async def test_sdk_raises_an_error_inside_the_stream(bedrock: BedrockEmulator, sdk: Any) -> None:
    """After a 200 an error is an event, its kind with a small first letter."""
    bedrock.answer_with(say("Well, ") + fail("ThrottlingException", "Slow.", in_stream=True))

    with pytest.raises(boto.EventStreamError) as raised:
        await ask(sdk)

    assert raised.value.response["Error"] == {"Code": "throttlingException", "Message": "Slow."}


async def test_sdk_fails_on_a_reset_and_on_a_bad_checksum(
    bedrock: BedrockEmulator, sdk: Any
) -> None:
    """A fault of the transport breaks the client's reading, wherever it is."""
    for reply, error in (
        (drop(), boto.ConnectionClosedError),
        (say("Well, ") + drop(), aiohttp.ClientPayloadError),
        (say("Well, ") + garble(), eventstream.ChecksumMismatch),
    ):
        bedrock.answer_with(reply)

        with pytest.raises(error):
            await ask(sdk)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (stall(), boto.ReadTimeoutError),
        (stall("headers"), aiohttp.SocketTimeoutError),
        (stall("started"), aiohttp.SocketTimeoutError),
        (say("Well, ") + stall(), aiohttp.SocketTimeoutError),
    ],
)
async def test_a_stalled_answer_lasts_until_the_client_leaves(
    reply: Reply, error: type[Exception], bedrock: BedrockEmulator, sdk: Any
) -> None:
    """The client gives up, not the server, and the server notices at once."""
    bedrock.answer_with(reply)

    with pytest.raises(error):
        await ask(sdk)

    await bedrock.until_idle()
    assert [closed.index for closed in bedrock.closed_early] == [0]


async def test_an_invalid_request_is_refused_in_bedrocks_words(
    bedrock: BedrockEmulator, sdk: Any
) -> None:
    """The SDK's own exception carries the fault, and tests can read it from the request."""
    with pytest.raises(sdk.exceptions.ValidationException, match="is blank"):
        await ask(sdk, text=" ")

    assert "is blank" in bedrock.requests[0].faults[0]
    assert [fault.kind for fault in bedrock.refused] == ["ValidationException"]


async def test_only_fresh_and_right_signatures_are_answered(bedrock: BedrockEmulator) -> None:
    """A wrong secret, an expired token and an unsigned request are each refused."""
    bedrock.expired_tokens.add("old")
    for client, kind in (
        (sdk_at(bedrock.url, secret="wrong"), "InvalidSignatureException"),
        (sdk_at(bedrock.url, token="old"), "ExpiredTokenException"),
    ):
        async with client as sdk:
            with pytest.raises(boto.ClientError, match=kind):
                await ask(sdk)
    path = f"{bedrock.url}/model/{MODEL}/converse-stream"
    credential = "AWS4-HMAC-SHA256 Credential=NOBODY/20260101/us-east-1/bedrock/aws4_request"
    signed = f"{credential}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    async with aiohttp.ClientSession() as http:
        for headers, kind in (
            ({}, "MissingAuthenticationTokenException"),
            ({"Authorization": "AWS4-HMAC-SHA256 nothing"}, "IncompleteSignatureException"),
            ({"Authorization": signed}, "UnrecognizedClientException"),
            (
                {"Authorization": signed.replace("us-east-1", "us-west-2")},
                "InvalidSignatureException",
            ),
        ):
            async with http.post(path, json={"messages": HELLO}, headers=headers) as answer:
                assert answer.status == 403
                assert answer.headers["x-amzn-errortype"].split(":")[0] == kind
    assert bedrock.requests == []


async def test_scripts_choose_by_index_model_text_and_chance(
    bedrock: BedrockEmulator, sdk: Any
) -> None:
    """Scripts nest; chance repeats itself for the same seed."""
    by_word = by_text({"soup": say("Soup.")}, otherwise=[say("One."), say("Two.")])
    bedrock.answer_with(by_index({0: say("First.")}, by_model({PROFILE: say("Far.")}, by_word)))

    answers = [
        await words(sdk, *asked) for asked in ((), (PROFILE,), (MODEL, "Any soup?"), (), (), ())
    ]
    assert answers == ["First.", "Far.", "Soup.", "One.", "Two.", "Two."]

    def draw() -> list[Reply]:
        rule = sometimes(say("Fine."), (0.05, stall()), (0.3, drop()), seed=3)
        return [rule(bedrock.requests[0]) for _ in range(1000)]

    drawn = draw()
    assert drawn == draw()
    assert 20 < drawn.count(stall()) < 80
    assert 250 < drawn.count(drop()) < 350


@pytest.fixture
async def server() -> AsyncIterator[OpenAIEmulator]:
    async with OpenAIEmulator(api_key="key") as emulator:
        yield emulator


def chat_at(url: str, key: str = "key") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=PATIENCE_SECONDS)


@pytest.fixture
async def chat(server: OpenAIEmulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with chat_at(server.base_url) as client:
        yield client


async def chunks(chat: openai.AsyncOpenAI, text: str = "Hello") -> list[Any]:
    stream = await chat.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": text}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return [chunk async for chunk in stream]


async def test_openai_reads_words_parallel_calls_and_usage(
    server: OpenAIEmulator, chat: openai.AsyncOpenAI
) -> None:
    """The library reads words, each call's pieces by its index, the reason and the counts."""
    tokens = Tokens(10, 4, cache_read=100)
    calls = call("menu", {"day": 1}, id="a", pieces=2) + call("hours", id="b", tokens=tokens)
    server.answer_with(say("Well, now.") + calls)

    read = await chunks(chat)

    deltas = [choice.delta for chunk in read for choice in chunk.choices]
    assert [delta.content for delta in deltas][:3] == ["", "Well, ", "now."]
    pieces = [piece for delta in deltas for piece in delta.tool_calls or ()]
    assert [(p.index, p.id, p.function.name, p.function.arguments) for p in pieces] == [
        (0, "a", "menu", ""),
        (0, None, None, '{"day'),
        (0, None, None, '": 1}'),
        (1, "b", "hours", ""),
    ]
    assert read[-2].choices[0].finish_reason == "tool_calls"
    assert (read[-1].usage.prompt_tokens, read[-1].usage.completion_tokens) == (110, 4)
    assert read[-1].usage.prompt_tokens_details.cached_tokens == 100


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("invalid_request_error", openai.BadRequestError),
        ("invalid_api_key", openai.AuthenticationError),
        ("model_not_found", openai.NotFoundError),
        ("rate_limit_exceeded", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("overloaded", openai.InternalServerError),
    ],
)
async def test_openai_raises_each_error_before_the_stream(
    kind: str, error: type[openai.APIStatusError], server: OpenAIEmulator, chat: openai.AsyncOpenAI
) -> None:
    """Code, words and Retry-After reach the library."""
    server.answer_with(fail(kind, "Because.", headers={"retry-after": "3"}))

    with pytest.raises(error, match="Because") as raised:
        await chunks(chat)

    assert raised.value.code == kind
    assert raised.value.response.headers["retry-after"] == "3"


async def test_openai_fails_on_errors_inside_the_stream(
    server: OpenAIEmulator, chat: openai.AsyncOpenAI
) -> None:
    """An error object, a reset, broken JSON and silence each break the reading."""
    for reply, error in (
        (fail("server_error"), openai.APIError),
        (drop(), openai.APIConnectionError),
        (garble(), ValueError),
        (stall(), openai.APITimeoutError),
    ):
        server.answer_with(say("Well, ") + reply)

        with pytest.raises(error):
            await chunks(chat)
    await server.until_idle()
    assert [closed.index for closed in server.closed_early] == [3]


async def test_openai_requests_are_checked(
    server: OpenAIEmulator, chat: openai.AsyncOpenAI
) -> None:
    """A blank message and a wrong key are refused as OpenAI would."""
    with pytest.raises(openai.BadRequestError, match="blank"):
        await chunks(chat, " ")
    async with chat_at(server.base_url, "other") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await chunks(stranger)

    assert (server.requests[0].model, server.requests[0].last_text) == ("small", " ")
    assert [fault.kind for fault in server.refused] == ["invalid_request_error", "invalid_api_key"]
