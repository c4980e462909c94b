"""The client of one server, and its connections.

The official client is used with its retries off and limits of our own: its defaults are ten
minutes and two retries, and connections it forgets after five idle seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
import structlog

from agent.llm.refusals import Learned, RefusalEvents
from agent.llm.timeouts import Patience

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 120.0
_PATIENCE = Patience()
_WARM_SECONDS = 60.0
"""A connection used or made so recently is there."""
_NO_KEY = "none"
"""Servers on one's own machine want no key, the client does."""
_OPENAI_HOST = "api.openai.com"
_LIMIT_FIELD = {True: "max_completion_tokens", False: "max_tokens"}
"""At OpenAI, newer models refuse the old name; elsewhere older servers do not know the new one."""


class OpenAIRuntime:
    """The connections of this process to one server; made by `open`."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        http: httpx2.AsyncClient,
        patience: Patience,
        learned: Learned,
    ) -> None:
        self.client = client
        self.patience = patience
        self.learned = learned
        self._http = http
        self._warm_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        api_key: str = "",
        base_url: str = "",
        max_calls: int = 100,
        patience: Patience = _PATIENCE,
        events: RefusalEvents | None = None,
    ) -> AsyncIterator[OpenAIRuntime]:
        """A runtime; on leaving, all its connections are closed.

        Args:
            api_key: Empty = the server wants none.
            base_url: Empty = OpenAI's own.
            max_calls: Twice as many connections are the most there may be.
            patience: The time limits of each request; a server of one's own may load a model.
            events: Told of options that models refuse.
        """
        size = 2 * max_calls
        limits = httpx2.Limits(
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        read = max(patience.first_event, patience.gap, patience.load if base_url else 0.0)
        timeout = httpx2.Timeout(read, connect=patience.connect)
        async with httpx2.AsyncClient(limits=limits, timeout=timeout) as http:
            client = openai.AsyncOpenAI(
                api_key=api_key or _NO_KEY,
                base_url=base_url or f"https://{_OPENAI_HOST}/v1",
                timeout=timeout,
                max_retries=0,
                http_client=http,
            )
            yield cls(client, http, patience, Learned(events))

    @property
    def limit_field(self) -> str:
        """What this server calls the limit of tokens."""
        return _LIMIT_FIELD[self.client.base_url.host == _OPENAI_HOST]

    def note_connection(self, *, is_kept: bool) -> None:
        """A stream has ended, and its connection can be used again or not."""
        now = asyncio.get_running_loop().time()
        self._warm_until = now + _WARM_SECONDS if is_kept else 0.0

    async def warm(self) -> None:
        """Have a connection; asks for nothing that costs. Never raises."""
        if asyncio.get_running_loop().time() < self._warm_until:
            return
        try:
            await self._http.head(self.client.base_url)
        except (httpx2.HTTPError, OSError) as error:
            log.info("openai.not_warm", cause=type(error).__name__)
        else:
            self.note_connection(is_kept=True)
