"""The routes of the console, on the operators' port only.

    GET  /console                       the page; its files are at /console/assets/
    GET  /console/me                    whose key it is, and whether they may act
    GET  /console/numbers               what the fleet has counted, as server-sent events
    GET  /console/live                  the live calls of the fleet, as server-sent events
    GET  /console/calls/CALL/live       a live call, as server-sent events
    POST /console/calls/CALL/act        {"act": "say", "text": "..."}

Those about calls that are over are in `agent.http.console.ended_calls`. Who is answered says
`agent.http.console.operator_access`. Streams are bounded.

An act is written down where the call runs: as a log event, and as an item of the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Annotated

import msgspec
import structlog
from aiohttp import hdrs, web

from agent.call.events import OperatorAct, OperatorActed
from agent.errors import StoreError
from agent.http.console.ended_calls import EndedCalls
from agent.http.console.fleet import (
    COUNT_SECONDS,
    LOOK_SECONDS,
    PASSED_ON,
    Fleet,
    WatchedView,
)
from agent.http.console.live_feed import LiveFeeds, Watcher
from agent.http.console.operator_access import OperatorAccess, call_of
from agent.http.middleware import json_of
from agent.http.pages import HEADERS, PageFiles, private_json, refused
from agent.session.call_manager import CallManager
from agent.settings import Settings
from agent.settings.setting_types import OperatorKey
from agent.store.call_state.call_item import CALL_SECONDS

log = structlog.get_logger(__name__)

PATH = "/console"
OPERATOR = "operator::"
"""Sort keys of the items that say what operators have done in a call."""
MOST_STREAMS = 60
"""Of one process."""
MOST_STREAMS_OF_A_KEY = 20
LONGEST_TEXT = 1_000
"""Characters of a whisper, or of what is said."""
_STREAM: Mapping[str, str] = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",
}


class _Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    act: OperatorAct
    text: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)] = ""


class Console:
    """The console of one process; `keys` are of all who may look or act."""

    def __init__(
        self, settings: Settings, calls: CallManager, keys: tuple[OperatorKey, ...]
    ) -> None:
        self._access = OperatorAccess(settings, keys)
        self._calls = calls
        self._store = calls.resources.store
        self._feeds = LiveFeeds(calls.resources.prices)
        self._ended = EndedCalls(settings, calls, self._access)
        copies = calls.resources.telemetry.copies
        self.fleet = Fleet(self._store, calls.clock, copies, lambda: calls.announcer.list.process)
        self._list = WatchedView("live calls", LOOK_SECONDS, self.fleet.live)
        self._counted = WatchedView("numbers", COUNT_SECONDS, self.fleet.numbers)
        self._streams: dict[str, int] = {}
        self._numbers = count()

    def routes(self) -> list[web.RouteDef]:
        """All routes of the console."""
        return [
            *PageFiles().routes(PATH, "console.html", self._access.key),
            web.get(f"{PATH}/me", self._show_key),
            web.get(f"{PATH}/numbers", self._stream_numbers),
            web.get(f"{PATH}/live", self._stream_list),
            web.get(f"{PATH}/calls/{{call}}/live", self._stream_call),
            web.post(f"{PATH}/calls/{{call}}/act", self._act),
            *self._ended.routes(PATH),
        ]

    async def opened(self, _: web.Application) -> AsyncIterator[None]:
        """Of the application: closes what was opened."""
        yield
        await self.fleet.close()

    async def _show_key(self, request: web.Request) -> web.Response:
        key = self._access.key(request)
        return private_json(msgspec.json.encode({"name": key.name, "mayAct": key.may_act}))

    async def _stream_numbers(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, self._counted.watching)

    async def _stream_list(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, self._list.watching)

    async def _stream_call(self, request: web.Request) -> web.StreamResponse:
        self._access.key(request)
        call = self._calls.running.get(call_sid := call_of(request))
        if call is not None:
            return await self._stream(request, lambda: self._feeds.watching(call))
        return await self._elsewhere(request, call_sid)

    async def _act(self, request: web.Request) -> web.StreamResponse:
        key = self._access.acting_key(request)
        wanted = await json_of(request, _Act)
        if wanted is None:
            return refused(400, f"needs an act, and a text of at most {LONGEST_TEXT} characters")
        call = self._calls.running.get(call_sid := call_of(request))
        if call is None:
            return await self._elsewhere(request, call_sid, msgspec.json.encode(wanted))
        may_transfer = call.configuration.config.can_hand_off
        if wanted.act is OperatorAct.TRANSFER and not may_transfer:
            return refused(409, "the use case has no transfer target")
        await self._write_down(call_sid, wanted, key.name)
        call.session.operate(OperatorActed(wanted.act, wanted.text, key.name))
        return private_json(b"{}")

    async def _write_down(self, call_sid: str, wanted: _Act, operator: str) -> None:
        """The audit: without it, no act."""
        now = self._calls.clock()
        log.info("operator.acted", act=wanted.act, operator=operator, call=call_sid)
        try:
            await self._store.put(
                {
                    "pk": call_sid,
                    "sk": f"{OPERATOR}{int(now * 1000):013d}{next(self._numbers) % 1000:03d}",
                    "act": wanted.act.value,
                    "text": wanted.text,
                    "operator": operator,
                    "expireAt": int(now) + CALL_SECONDS,
                }
            )
        except StoreError as error:
            raise web.HTTPServiceUnavailable(headers=HEADERS, text="the table fails\n") from error

    async def _elsewhere(
        self, request: web.Request, call_sid: str, body: bytes | None = None
    ) -> web.StreamResponse:
        """Ask the process that runs the call."""
        try:
            owner = "" if PASSED_ON in request.headers else await self.fleet.owner(call_sid)
        except StoreError:
            return refused(503, "the table cannot be reached")
        if not owner:
            return refused(404, "this call does not go on")
        return await self.fleet.pass_on(request, owner, body)

    async def _stream(
        self, request: web.Request, watch: Callable[[], AbstractContextManager[Watcher]]
    ) -> web.StreamResponse:
        """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
        name = self._access.own_key(request).name
        is_full = sum(self._streams.values()) >= MOST_STREAMS
        if is_full or self._streams.get(name, 0) >= MOST_STREAMS_OF_A_KEY:
            log.warning("console.streams_exhausted", operator=name)
            return refused(429, "too many streams are open", Retry_After="5")
        self._streams[name] = self._streams.get(name, 0) + 1
        answer = web.StreamResponse(headers={**HEADERS, **_STREAM})
        try:
            with watch() as watcher:
                await answer.prepare(request)
                async for events in watcher.events():
                    await answer.write(events)
                return answer
        except ConnectionError:  # the page has gone
            return answer
        finally:
            self._streams[name] -= 1
