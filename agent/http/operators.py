"""The operators' port of a service of several processes, the workers.

Each worker serves its own operators' routes on a Unix socket. Metrics are asked of all and added
up; what a worker counted that has ended is kept, or the sums would fall. `POST /drain` is answered
here and concerns all. Any other request goes to the worker that it names (`agent.http.console`), or
else to the one that has run longest, so that its limits of rates count; answers are passed on while
they come.

Rejected: the client library's files shared by processes, which keep no exemplars and cost a write
to a mapped file for each count.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec
import structlog
from aiohttp import hdrs, web

from agent.http.api import DIAL_KEYS, ON_DRAIN, ApiKeys, drain
from agent.http.console.fleet import COPIES, PASSED_ON, WORKER, passed_answer
from agent.http.pages import HEADERS
from agent.http.server import SCRAPE_HEADER, SERIES_PATH, Address, open_operators
from agent.observability.metrics import METRICS, rendered
from agent.observability.series import SeriesCopy, added_up
from agent.ports import uncounted

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 2.0
"""How long a worker is waited for; then its metrics are those of the request before."""
_COUNTED = frozenset(spec.name for spec in METRICS if spec.kind != "gauge")
_FORWARDED = (
    hdrs.AUTHORIZATION, hdrs.CONTENT_TYPE, hdrs.CONTENT_ENCODING, hdrs.ACCEPT, hdrs.HOST,
    hdrs.ORIGIN, hdrs.IF_NONE_MATCH, "Sec-Fetch-Site", PASSED_ON,
)  # fmt: skip
_RETURNED = (
    hdrs.CONTENT_TYPE, hdrs.WWW_AUTHENTICATE, hdrs.RETRY_AFTER, hdrs.CACHE_CONTROL, hdrs.ETAG,
    hdrs.CONTENT_DISPOSITION, *HEADERS,
)  # fmt: skip


@dataclass(slots=True, eq=False)
class _Worker:
    http: aiohttp.ClientSession
    latest: list[SeriesCopy] = field(default_factory=list)


class Workers:
    """The workers that run, by number; all are asked over their sockets."""

    def __init__(self) -> None:
        self._running: dict[int, _Worker] = {}
        self._ended: list[SeriesCopy] = []

    def add(self, number: int, path: str) -> None:
        """A worker takes calls; it answers on the Unix socket at this path."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_SECONDS)
        http = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path), timeout=limit)
        self._running[number] = _Worker(http)

    async def remove(self, number: int) -> None:
        """A worker has ended."""
        if worker := self._running.pop(number, None):
            kept = [one for one in worker.latest if one.metric in _COUNTED]
            self._ended = added_up(METRICS, [*self._ended, *kept])
            await worker.http.close()

    async def copies(self, scrape: str = "") -> list[SeriesCopy]:
        """The series of all workers, also of those that have ended.

        `scrape` is the `SCRAPE_HEADER` of the request, which each worker notes.
        """
        headers = {SCRAPE_HEADER: scrape} if scrape else {}
        await asyncio.gather(*(self._ask(each, headers) for each in list(self._running.values())))
        latest = (one for worker in self._running.values() for one in worker.latest)
        return added_up(METRICS, [*self._ended, *latest])

    async def active_calls(self) -> int:
        """Calls in progress, of all workers."""
        found = [one for one in await self.copies() if one.metric == "agent_active_calls"]
        return int(sum(one.numbers[0] for one in found))

    @asynccontextmanager
    async def serving(
        self, address: Address | None, keys: ApiKeys | None, on_drain: Callable[[], object]
    ) -> AsyncIterator[int]:
        """Serve the operators' port while there are workers; yields its number, 0 = none."""
        application = web.Application()
        application[DIAL_KEYS], application[ON_DRAIN] = keys, on_drain
        application.router.add_post("/drain", drain)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get(SERIES_PATH, self._series)
        application.router.add_route("*", "/{any:.*}", self._forward)
        try:
            async with open_operators(application, address, uncounted) as port:
                yield port
        finally:
            for number in list(self._running):
                await self.remove(number)

    async def _ask(self, worker: _Worker, headers: dict[str, str]) -> None:
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                worker.http.get(f"http://worker{SERIES_PATH}", headers=headers) as answer,
            ):
                worker.latest = COPIES.decode(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("worker.metrics_failed", error=type(error).__name__)

    async def _metrics(self, request: web.Request) -> web.Response:
        accept = request.headers.get(hdrs.ACCEPT, "")
        copies = await self.copies(request.headers.get(SCRAPE_HEADER, ""))
        body, content_type = rendered(copies, accept)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def _series(self, _: web.Request) -> web.Response:
        body = msgspec.json.encode(await self.copies())
        return web.Response(body=body, content_type="application/json")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        first = next(iter(self._running.values()), None)
        named = request.query.get(WORKER, "")
        worker = self._running.get(int(named)) if named.isdecimal() else first
        if worker is None:
            return web.Response(status=503, text="no worker runs\n")
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        asking = worker.http.request(
            request.method, f"http://worker{request.path_qs}",
            headers=headers, data=await request.read(), allow_redirects=False,
        )  # fmt: skip
        passed = await passed_answer(request, asking, _RETURNED)
        return passed or web.Response(status=503, text="the worker does not answer\n")
