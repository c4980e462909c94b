"""How requests are made that must not be made twice, and what it means when one fails.

| what went wrong | was it sent? | because |
|---|---|---|
| no connection: name, port, TLS, or too slow | no, certain | no byte of the request was written |
| any other failure or time-out | not known | the request may have arrived and been obeyed |
| status 4xx, but 408 | no, certain | it was read and refused |
| any other status that is no success | not known | it may have been obeyed before it failed |

So a connection has its own limit, shorter than that of the whole, and is used once: a kept one may
be closed by the other side in the moment we write to it, and then nobody knows. Messages are rare;
a handshake for each costs less than one doubt. aiohttp repeats no POST by itself.

Redirects are not followed: they would carry credentials elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp

from agent.ports import MessageError, MessageRefusedError, Refusal

CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 5.0
"""Ends before the ledger gives up (`agent.tools.ledger`), so that it is known how it failed."""


@asynccontextmanager
async def open_http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for such requests; closed on leaving."""
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield http


@contextmanager
def telling_apart() -> Iterator[None]:
    """Translate what a request raises: `MessageRefusedError` if nothing was written."""
    try:
        yield
    except (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
    ) as error:
        raise MessageRefusedError(Refusal.OTHER, type(error).__name__) from error
    except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
        raise MessageError(type(error).__name__) from error


def refused(status: int) -> bool:
    """An answer with this status means for certain that nothing was done."""
    return 400 <= status < 500 and status != 408
