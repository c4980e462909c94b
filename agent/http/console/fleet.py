"""The processes of a fleet: which one runs a call, what all have counted, and how to ask another.

Each call's entry in the list of calls names the operators' port of its process
(`agent.store.call_state.call_list`). A request about a call of another process is sent there with
the person's own key, and its answer is passed on as it comes. So all processes need the same
`CONSOLE_API_KEYS`, and the tasks of a stack must reach each other's operators' port.

A process that serves the console lists itself, so that its numbers are found without a call:

    pk   console::processes      sk   http://ADDRESS:PORT, with #NUMBER for one of several workers

The entry is written when the process starts and now and then later; it is deleted at its end, and
expires if the process was killed. The table is read, and other processes are asked, while a page
looks.

Rejected: commands as items that each process reads from the table. Each would have to look again
and again, also without a watcher. Numbers in the table, which each process would write all the
time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from types import MappingProxyType

import aiohttp
import msgspec
import structlog
from aiohttp import hdrs, web

from agent.errors import StoreError
from agent.http.console.live_feed import Watcher, framed
from agent.http.pages import HEADERS, refused
from agent.http.server import SERIES_PATH
from agent.observability.call_overview import overview_of
from agent.observability.series import SeriesCopy
from agent.ports import Item, Store
from agent.store.call_state.call_list import LISTING, ListedCall, listed, live_listings
from agent.usecases.validation import plain

log = structlog.get_logger(__name__)

PASSED_ON = "X-Console-Passed-On"
"""Header of a request from another process, which is not passed on again."""
WORKER = "worker"
"""Parameter of a query: the number of the worker, where one port belongs to several."""
LOOK_SECONDS = 0.7
"""Between two looks at the list of calls, while a page watches it."""
COUNT_SECONDS = 3.0
"""As that, between two questions what was counted."""
COPIES = msgspec.json.Decoder(list[SeriesCopy])
"""What another process answers at `SERIES_PATH`."""
_LIST = "console::processes"
_LISTED_SECONDS = 1800
"""Until the entry of a process that was killed expires."""
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


class WatchedView:
    """A message that is made anew while there are watchers, who get it when it has changed.

    Args:
        name: Of its task.
        seconds: Between two looks.
        look: Makes the message; may raise `StoreError`.
    """

    def __init__(self, name: str, seconds: float, look: Callable[[], Awaitable[bytes]]) -> None:
        self._name = name
        self._seconds = seconds
        self._make = look
        self._watchers: set[Watcher] = set()
        self._latest = b""
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """Get the message now and whenever it changes."""
        watcher = Watcher([framed(self._latest)] if self._latest and self._watchers else [])
        self._watchers.add(watcher)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name=self._name)
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
                latest = await self._make()
            except StoreError as error:
                log.warning("console.list_failed", error=type(error).__name__)
            else:
                if latest != self._latest:
                    self._latest = latest
                    event = framed(latest)
                    for watcher in self._watchers:
                        watcher.tell(event)
            await asyncio.sleep(self._seconds)


def _shown(call: ListedCall) -> msgspec.Raw:
    form = {
        "call": call.call_sid,
        "began_ms": int(call.began.timestamp() * 1000),
        "caller": call.caller,
        "useCase": call.use_case,
    }
    return msgspec.Raw(msgspec.json.encode(form))


class Fleet:
    """The processes of a fleet, as one of them sees it.

    Args:
        store: The table of all.
        clock: Epoch seconds.
        copies: What this process has counted.
        own: The address of this process, of `process_address`.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        copies: Callable[[], list[SeriesCopy]],
        own: Callable[[], str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._copies = copies
        self._own = own
        self._http: aiohttp.ClientSession | None = None
        self._live: dict[tuple[object, object], msgspec.Raw] = {}
        """Of the latest look, by SID and the sequence of its listing."""

    async def announce(self) -> None:
        """List this process until it is cancelled; a write that fails is only logged."""
        if not (own := self._own()):
            return
        try:
            while True:
                expires = int(self._clock()) + _LISTED_SECONDS
                await _noted(self._store.put({"pk": _LIST, "sk": own, "expireAt": expires}))
                await asyncio.sleep(_LISTED_SECONDS / 3)
        finally:
            await _noted(self._store.delete(_LIST, own))

    async def live(self) -> bytes:
        """The live calls of all processes as a message. Raises `StoreError`."""
        items = await live_listings(self._store, datetime.fromtimestamp(self._clock(), UTC))
        known, self._live = self._live, {}
        for item in items:
            key = item["pk"], item.get("sequence")
            self._live[key] = known.get(key) or _shown(listed(item))
        return msgspec.json.encode({"type": "calls", "calls": list(self._live.values())})

    async def numbers(self) -> bytes:
        """What all processes have counted as a message. Raises `StoreError`.

        `silent` names those that do not answer, whose numbers are missing.
        """
        now, own = self._clock(), self._own()
        items = await self._store.query(_LIST)
        kept = [str(item["sk"]) for item in items if _expires(item) > now]
        ports = sorted({address.partition("#")[0] for address in (own, *kept)})
        answers = await asyncio.gather(*(self._counted_at(port) for port in ports))
        counted = [one for copies in answers for one in copies or ()]
        silent = [port for port, copies in zip(ports, answers, strict=True) if copies is None]
        numbers = overview_of(counted)
        told = {"type": "numbers", "numbers": numbers, "ports": len(ports), "silent": silent}
        return msgspec.json.encode(told)

    async def _counted_at(self, port: str) -> list[SeriesCopy] | None:
        """What one process or all workers of a port have counted; None without an answer."""
        if port == self._own():
            return self._copies()
        try:
            async with (
                asyncio.timeout(_CONNECT_SECONDS),
                self._asking().get(f"{port}{SERIES_PATH}", allow_redirects=False) as answer,
            ):
                answer.raise_for_status()
                return COPIES.decode(await answer.read())
        except (aiohttp.ClientError, msgspec.DecodeError, OSError) as error:
            log.warning("process.unreachable", error=type(error).__name__)
            return None

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
        base, _, worker = owner.partition("#")
        given = request.headers
        headers = {str(name): given[name] for name in _PASSED if name in given}
        asking = self._asking().request(
            request.method, f"{base}{request.path}", params={WORKER: worker} if worker else {},
            headers={**headers, PASSED_ON: "1"}, data=body, allow_redirects=False,
        )  # fmt: skip
        passed = await passed_answer(request, asking, _KEPT, HEADERS)
        return passed or refused(502, "the process of this call does not answer")

    def _asking(self) -> aiohttp.ClientSession:
        if self._http is None:
            limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
            self._http = aiohttp.ClientSession(timeout=limit, auto_decompress=False)
        return self._http

    async def close(self) -> None:
        """Close the connections to other processes."""
        if self._http is not None:
            await self._http.close()


def _expires(item: Item) -> float:
    until = plain(item.get("expireAt"))
    return until if isinstance(until, int | float) else 0.0


async def _noted(writing: Awaitable[object]) -> None:
    try:
        await writing
    except StoreError as error:
        log.warning("console.process_not_listed", error=type(error).__name__)


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
