"""Which process runs a call, and how the console of another one reaches it.

Each call's entry in the list of calls names the operators' port of its process
(`agent.store.call_state.call_list`). A request about a call of another process is sent there with
the person's own key, and its answer is passed on as it comes; the list is read from the table while
a page looks. So all processes need the same `CONSOLE_API_KEYS`, and the tasks of a stack must
reach each other's operators' port.

Rejected: commands as items that each process reads from the table. Each would have to look again
and again, also without a watcher.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from ipaddress import ip_address
from types import MappingProxyType

import aiohttp
import msgspec
import structlog
from aiohttp import hdrs, web

from agent.errors import StoreError
from agent.http.console.live_feed import Watcher
from agent.http.pages import HEADERS, refused
from agent.ports import Store
from agent.store.call_state.call_list import LISTING, ListedCall, listed, live_calls

log = structlog.get_logger(__name__)

PASSED_ON = "X-Console-Passed-On"
"""Header of a request from another process, which is not passed on again."""
WORKER = "worker"
"""Parameter of a query: the number of the worker, where one port belongs to several."""
LOOK_SECONDS = 0.5
"""Between two looks at the list of calls, while a page watches it."""
_CONNECT_SECONDS = 2.0
_PASSED = (hdrs.AUTHORIZATION, hdrs.CONTENT_TYPE)
_KEPT = (hdrs.CONTENT_TYPE, hdrs.CACHE_CONTROL, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE)


def process_address(host: str, port: int, worker: str = "") -> str:
    """Where the other processes of a fleet reach this one; empty if there is no port.

    Args:
        host: On which the operators' port listens.
        port: Its number.
        worker: The number of this worker, if the port belongs to several.
    """
    if not port:
        return ""
    name = host if host == "localhost" or not ip_address(host).is_unspecified else _own_address()
    return f"http://{f'[{name}]' if ':' in name else name}:{port}{f'#{worker}' if worker else ''}"


def _own_address() -> str:
    """The address of this machine towards others; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("192.0.2.1", 9))  # RFC 5737: an address that is never used
        except OSError:
            return "127.0.0.1"
        return str(trial.getsockname()[0])


class LiveList:
    """The live calls of the fleet, read from the table while there are watchers."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._watchers: set[Watcher] = set()
        self._latest = b""
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """Get the list now and whenever it changes."""
        watcher = Watcher([self._latest] if self._latest and self._watchers else [])
        self._watchers.add(watcher)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="list of live calls")
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers and self._looking is not None:
                self._looking.cancel()
                self._looking, self._latest = None, b""

    async def _look(self) -> None:
        while True:
            try:
                found = await live_calls(self._store, self._now())
            except StoreError as error:
                log.warning("console.list_failed", error=type(error).__name__)
            else:
                self._tell(
                    msgspec.json.encode({"type": "calls", "calls": list(map(_shown, found))})
                )
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, latest: bytes) -> None:
        if latest != self._latest:
            self._latest = latest
            for watcher in self._watchers:
                watcher.tell(latest)


def _shown(call: ListedCall) -> Mapping[str, object]:
    return {
        "call": call.call_sid,
        "began_ms": int(call.began.timestamp() * 1000),
        "caller": call.caller,
        "useCase": call.use_case,
    }


class Fleet:
    """The other processes; `own` is the address of this one, of `process_address`."""

    def __init__(self, store: Store, own: Callable[[], str]) -> None:
        self._store = store
        self._own = own
        self._http: aiohttp.ClientSession | None = None

    async def owner(self, call_sid: str) -> str:
        """The address of another process that runs a call; empty: none, or not known."""
        item = await self._store.get(call_sid, LISTING)
        found = listed(item) if item is not None else None
        is_others = found is not None and not found.reason and found.process != self._own()
        return found.process if found is not None and is_others else ""

    async def pass_on(
        self, request: web.Request, owner: str, body: bytes | None = None
    ) -> web.StreamResponse:
        """Ask another process, and pass its answer on while it comes."""
        if self._http is None:
            limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
            self._http = aiohttp.ClientSession(timeout=limit, auto_decompress=False)
        base, _, worker = owner.partition("#")
        given = request.headers
        headers = {str(name): given[name] for name in _PASSED if name in given}
        asking = self._http.request(
            request.method, f"{base}{request.path}", params={WORKER: worker} if worker else {},
            headers={**headers, PASSED_ON: "1"}, data=body, allow_redirects=False,
        )  # fmt: skip
        passed = await passed_answer(request, asking, _KEPT, HEADERS)
        return passed or refused(502, "the process of this call does not answer")

    async def close(self) -> None:
        """Close the connections to other processes."""
        if self._http is not None:
            await self._http.close()


async def passed_answer(
    request: web.Request,
    asking: AbstractAsyncContextManager[aiohttp.ClientResponse],
    kept: Iterable[str],
    headers: Mapping[str, str] = MappingProxyType({}),
) -> web.StreamResponse | None:
    """The answer of another process, passed on while it comes; None if that does not answer.

    Args:
        request: Of the browser or another client.
        asking: The request to the other process.
        kept: Names of headers that are passed on.
        headers: Others of the answer.
    """
    passed = web.StreamResponse()
    try:
        async with asking as answer:
            named = {name: answer.headers[name] for name in kept if name in answer.headers}
            passed = web.StreamResponse(status=answer.status, headers={**headers, **named})
            passed.content_length = answer.content_length
            await passed.prepare(request)
            async for piece in answer.content.iter_any():
                await passed.write(piece)
            await passed.write_eof()
    except (aiohttp.ClientError, OSError) as error:  # also if the browser has gone
        if not passed.prepared:
            log.warning("process.unreachable", error=type(error).__name__)
            return None
    return passed
