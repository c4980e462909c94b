"""Twilio's API by Twilio's own client, asynchronously.

One thing of the client is mended: it hands credentials to aiohttp in a way that aiohttp is giving
up (twilio-python issue 931), so they are made into the header they would become. When the library
does that itself, `_HttpClient` goes; a test of the library says when.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from twilio.http.async_http_client import (  # type: ignore[import-untyped] # ships no types
    AsyncTwilioHttpClient,
)
from twilio.rest import Client  # type: ignore[import-untyped] # the same


class _HttpClient(AsyncTwilioHttpClient):  # type: ignore[misc] # of a library without types
    async def request(
        self,
        method: str,
        url: str,
        *args: Any,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **options: Any,
    ) -> Any:
        if auth is not None:
            headers = {**(headers or {}), "Authorization": aiohttp.encode_basic_auth(*auth)}
        return await super().request(method, url, *args, headers=headers, **options)


@asynccontextmanager
async def open_client(account_sid: str, user: str, secret: str, api_url: str) -> AsyncIterator[Any]:
    """The client of one account; its connections are closed on leaving.

    Args:
        account_sid: Whose calls and messages.
        user: SID of an API key, or of the account.
        secret: The key's, or the auth token.
        api_url: Where the API is, without a final slash.
    """
    async with _HttpClient() as http:
        client = Client(user, secret, account_sid, http_client=http)
        client.api.base_url = api_url
        yield client
