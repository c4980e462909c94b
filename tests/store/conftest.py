"""A DynamoDB without us, and one behind a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aioboto3  # type: ignore[import-untyped] # ships no types
import pytest

from tests.dynamodb import REGION, Engine
from tests.store.proxy import Proxy, proxying


@pytest.fixture
async def sdk(dynamodb: Engine, table_name: str) -> AsyncIterator[Any]:
    """The engine, without us; this process has an account there."""
    assert table_name
    async with aioboto3.Session().client(
        "dynamodb", region_name=REGION, endpoint_url=dynamodb.url
    ) as client:
        yield client


@pytest.fixture
async def proxy(
    dynamodb: Engine, monkeypatch: pytest.MonkeyPatch, table_name: str
) -> AsyncIterator[Proxy]:
    assert table_name
    async with proxying(dynamodb.url) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", running.url)
        yield running
