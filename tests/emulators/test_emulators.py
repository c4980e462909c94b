"""The AWS SDK and the OpenAI library read the emulators as the real services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it ships no types
import aiohttp
import openai
import pytest
from botocore import exceptions as boto  # type: ignore[import-untyped]  # it ships no types
from botocore.config import Config  # type: ignore[import-untyped]  # likewise

from tests.emulators.bedrock import STATUS, BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Tokens, call, fail, say

pytestmark = pytest.mark.needs("time")

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=ANY/20260101/{}/bedrock/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]


@pytest.fixture
async def bedrock() -> AsyncIterator[BedrockEmulator]:
    async with BedrockEmulator(region="us-east-1") as emulator:
        yield emulator


@pytest.fixture
async def sdk(bedrock: BedrockEmulator) -> AsyncIterator[Any]:
    session = aioboto3.Session("AKIDEMULATED", "not-a-secret", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1})
    async with session.client("bedrock-runtime", endpoint_url=bedrock.url, config=config) as client:
        yield client


async def ask(sdk: Any, text: str = "Hello") -> list[Any]:
    messages = [{"role": "user", "content": [{"text": text}]}]
    answer = await sdk.converse_stream(modelId=MODEL, messages=messages)
    try:
        return [event async for event in answer["stream"]]
    finally:
        answer["stream"].close()  # the SDK leaves the connection open when reading fails


async def test_sdk_reads_words_a_call_and_usage(bedrock: BedrockEmulator, sdk: Any) -> None:
    tokens = Tokens(10, 4, cache_read=100, cache_write=7)
    menu = call("menu", {"day": 1}, id="a", pieces=2, tokens=tokens)
    bedrock.answer_with(say("Well, now.") + menu)

    def delta(block: int, **content: object) -> dict[str, object]:
        return {"contentBlockDelta": {"contentBlockIndex": block, "delta": content}}

    begun = {"toolUse": {"toolUseId": "a", "name": "menu"}}
    usage = {
        "inputTokens": 10, "outputTokens": 4, "totalTokens": 121,
        "cacheReadInputTokens": 100, "cacheWriteInputTokens": 7,
    }  # fmt: skip
    assert await ask(sdk) == [
        {"messageStart": {"role": "assistant"}},
        delta(0, text="Well, "),
        delta(0, text="now."),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": begun}},
        delta(1, toolUse={"input": '{"day'}),
        delta(1, toolUse={"input": '": 1}'}),
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": usage, "metrics": {"latencyMs": 120}}},
    ]


@pytest.mark.parametrize("kind", sorted(STATUS))
async def test_sdk_raises_each_error_before_the_stream(
    kind: str, bedrock: BedrockEmulator, sdk: Any
) -> None:
    bedrock.answer_with(fail(kind, "Because."))

    with pytest.raises(boto.ClientError) as refused:
        await ask(sdk)

    response = refused.value.response
    assert response["Error"] == {"Code": kind, "Message": "Because."}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == STATUS[kind]
    assert isinstance(refused.value, getattr(sdk.exceptions, kind, boto.ClientError))


async def test_sdk_raises_an_error_inside_the_stream(bedrock: BedrockEmulator, sdk: Any) -> None:
    """After a 200 an error is an event, its kind with a small first letter."""
    bedrock.answer_with(say("Well, ") + fail("ThrottlingException", "Slow.", in_stream=True))

    with pytest.raises(boto.EventStreamError) as raised:
        await ask(sdk)

    assert raised.value.response["Error"] == {"Code": "throttlingException", "Message": "Slow."}


async def test_invalid_request_is_refused_in_bedrocks_words(
    bedrock: BedrockEmulator, sdk: Any
) -> None:
    with pytest.raises(sdk.exceptions.ValidationException, match="is blank"):
        await ask(sdk, " ")

    assert "is blank" in bedrock.requests[0].faults[0]
    assert [fault.kind for fault in bedrock.refused] == ["ValidationException"]


@pytest.mark.parametrize(
    ("authorization", "kind"),
    [
        ("", "MissingAuthenticationTokenException"),
        ("AWS4-HMAC-SHA256 nothing", "IncompleteSignatureException"),
        (SIGNED.format("us-west-2"), "InvalidSignatureException"),
    ],
)
async def test_requests_without_a_signature_of_the_region_are_refused(
    authorization: str, kind: str, bedrock: BedrockEmulator
) -> None:
    path = f"{bedrock.url}/model/{MODEL}/converse-stream"
    headers = {"Authorization": authorization} if authorization else {}
    async with (
        aiohttp.ClientSession() as http,
        http.post(path, json={"messages": HELLO}, headers=headers) as answer,
    ):
        assert answer.status == 403
        assert answer.headers["x-amzn-errortype"].split(":")[0] == kind
    assert bedrock.requests == []


@pytest.fixture
async def server() -> AsyncIterator[OpenAIEmulator]:
    async with OpenAIEmulator(api_key="key") as emulator:
        yield emulator


async def chunks(server: OpenAIEmulator, text: str = "Hello", key: str = "key") -> list[Any]:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0) as chat:
        stream = await chat.chat.completions.create(
            model="small",
            messages=[{"role": "user", "content": text}],
            stream=True,
            stream_options={"include_usage": True},
        )
        return [chunk async for chunk in stream]


async def test_openai_reads_words_parallel_calls_and_usage(server: OpenAIEmulator) -> None:
    tokens = Tokens(10, 4, cache_read=100)
    calls = call("menu", {"day": 1}, id="a", pieces=2) + call("hours", id="b", tokens=tokens)
    server.answer_with(say("Well, now.") + calls)

    read = await chunks(server)

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


async def test_openai_requests_are_checked(server: OpenAIEmulator) -> None:
    with pytest.raises(openai.BadRequestError, match="blank"):
        await chunks(server, " ")
    with pytest.raises(openai.AuthenticationError):
        await chunks(server, key="other")

    assert (server.requests[0].model, server.requests[0].last_text) == ("small", " ")
    assert [fault.kind for fault in server.refused] == ["invalid_request_error", "invalid_api_key"]
