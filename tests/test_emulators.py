"""The emulators as real clients meet them: the AWS SDK and the OpenAI library, nothing patched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it ships no types
import pytest
from botocore.config import Config  # type: ignore[import-untyped]  # it ships no types

from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.replies import call, say
from tests.emulators.sigv4 import Keys

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
KEYS = Keys("AKIDEMULATED", "not-a-secret")
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]


@pytest.fixture
async def bedrock() -> AsyncIterator[BedrockEmulator]:
    async with BedrockEmulator(keys=KEYS, region="us-east-1") as emulator:
        yield emulator


@pytest.fixture
async def client(bedrock: BedrockEmulator) -> AsyncIterator[Any]:
    session = aioboto3.Session(KEYS.access_key, KEYS.secret_key, region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=1)
    async with session.client("bedrock-runtime", endpoint_url=bedrock.url, config=config) as sdk:
        yield sdk


async def ask(sdk: Any, model: str = MODEL, **more: Any) -> list[Any]:
    answer = await sdk.converse_stream(modelId=model, **({"messages": HELLO} | more))
    return [event async for event in answer["stream"]]


async def test_sdk_reads_words_a_call_and_usage(bedrock: BedrockEmulator, client: Any) -> None:
    """The AWS SDK reads each event as Bedrock's own."""
    bedrock.answer_with(say("Well, now.") + call("menu", {"day": 1}, id="a", pieces=2))

    assert await ask(client) == [
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
                    "inputTokens": 12,
                    "outputTokens": 5,
                    "totalTokens": 17,
                    "cacheReadInputTokens": 0,
                    "cacheWriteInputTokens": 0,
                },
                "metrics": {"latencyMs": 120},
            }
        },
    ]
    assert (bedrock.requests[0].model, bedrock.requests[0].last_text) == (MODEL, "Hello")
