"""The routes of the console, on the operators' port only.

    GET  /console                       the page; its files are at /console/assets/
    GET  /console/me                    whose key it is, and whether they may act
    GET  /console/numbers               what this process has counted since its start
    GET  /console/live                  the live calls of the fleet, as server-sent events
    GET  /console/calls?caller=&last=   the latest calls
    GET  /console/calls/CALL            a call: facts, times, turns, as `show --json` prints it
    GET  /console/calls/CALL/live       a live call, as server-sent events
    POST /console/calls/CALL/act        {"act": "say", "text": "..."}

Every request shows a key of `CONSOLE_API_KEYS` (`agent.http.pages.PageGuard`). An act needs a key
that may act. It must be JSON, which a page of another site cannot send without being asked
(https://fetch.spec.whatwg.org/#cors-safelisted-request-header), and of the own origin if it names
one. A stream of another site's page is refused, too, because streams are bounded.

An act is written down where the call runs: as a log event, and as an item of the call.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import count
from time import monotonic
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import structlog
from aiohttp import hdrs, web

from agent.call.events import OperatorAct, OperatorActed
from agent.errors import StoreError
from agent.http.api import ApiKeys
from agent.http.console.fleet import PASSED_ON, Fleet, LiveList
from agent.http.console.live_feed import LiveFeeds, Watcher
from agent.http.middleware import TELEMETRY, json_of, media_type
from agent.http.pages import HEADERS, PageFiles, PageGuard, private_json, refused
from agent.observability.call_overview import overview_of
from agent.observability.recording.transcript import read_transcript, transcript_json
from agent.session.call_manager import CallManager
from agent.settings import Settings
from agent.settings.setting_types import OperatorKey
from agent.store.call_state.call_item import CALL_SECONDS
from agent.store.call_state.call_list import CallQuery, search_calls
from agent.usecases.caller_identity import identify

log = structlog.get_logger(__name__)

PATH = "/console"
OPERATOR = "operator::"
"""Sort keys of the items that say what operators have done in a call."""
MOST_STREAMS = 60
"""Of one process."""
MOST_STREAMS_OF_A_KEY = 20
LONGEST_TEXT = 1_000
"""Characters of a whisper, or of what is said."""
_MOST_LISTED = 200
_DAY = timedelta(days=1)
_CALL = re.compile(r"[A-Za-z0-9]{2,64}")
_STREAM: Mapping[str, str] = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",
}
_ALIVE = b": alive\n\n"


class _Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    act: OperatorAct
    text: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)] = ""


class Console:
    """The console of one process; `keys` are of all who may look or act."""

    def __init__(
        self, settings: Settings, calls: CallManager, keys: tuple[OperatorKey, ...]
    ) -> None:
        hosts = {urlsplit(url).hostname or "" for url in (settings.ws_url, settings.origin)}
        self._keys = keys
        self._guard = PageGuard(ApiKeys([key.secret for key in keys]), hosts, monotonic)
        self._calls = calls
        self._store = calls.resources.store
        self._feeds = LiveFeeds(calls.resources.prices)
        self._list = LiveList(self._store, self._now)
        self._fleet = Fleet(self._store, lambda: calls.announcer.list.process)
        self._streams: dict[str, int] = {}
        self._numbers = count()

    def routes(self) -> list[web.RouteDef]:
        """All routes of the console."""
        return [
            *PageFiles().routes(PATH, "console.html", self._guard.check),
            web.get(f"{PATH}/me", self._show_key),
            web.get(f"{PATH}/numbers", self._show_numbers),
            web.get(f"{PATH}/live", self._stream_list),
            web.get(f"{PATH}/calls", self._list_calls),
            web.get(f"{PATH}/calls/{{call}}", self._show_call),
            web.get(f"{PATH}/calls/{{call}}/live", self._stream_call),
            web.post(f"{PATH}/calls/{{call}}/act", self._act),
        ]

    async def opened(self, _: web.Application) -> AsyncIterator[None]:
        """Of the application: closes what was opened."""
        yield
        await self._fleet.close()

    async def _show_key(self, request: web.Request) -> web.Response:
        key = self._key(request)
        return private_json(msgspec.json.encode({"name": key.name, "mayAct": key.may_act}))

    async def _show_numbers(self, request: web.Request) -> web.Response:
        self._key(request)
        numbers = overview_of(request.app[TELEMETRY].copies())
        return private_json(msgspec.json.encode(numbers))

    async def _stream_list(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, self._list.watching)

    async def _stream_call(self, request: web.Request) -> web.StreamResponse:
        self._key(request)
        call = self._calls.running.get(call_sid := _call_of(request))
        if call is not None:
            return await self._stream(request, lambda: self._feeds.watching(call))
        return await self._elsewhere(request, call_sid)

    async def _list_calls(self, request: web.Request) -> web.Response:
        self._key(request)
        asked = request.query.get("caller", "").strip()
        caller, last = identify(asked), request.query.get("last", "50")
        if (asked and not caller) or not (last.isdecimal() and 0 < int(last[:9]) <= _MOST_LISTED):
            return refused(400, f"caller must be a number, last at most {_MOST_LISTED}")
        try:
            until = self._now() + timedelta(seconds=1)
            query = CallQuery(until - _DAY, until, int(last), caller)
            calls = await search_calls(self._store, query)
        except StoreError:
            return refused(503, "the table cannot be reached")
        return private_json(msgspec.json.encode(calls))

    async def _show_call(self, request: web.Request) -> web.Response:
        self._key(request)
        try:
            call = await read_transcript(self._store, _call_of(request))
        except StoreError:
            return refused(503, "the table cannot be reached")
        if call is None:
            return refused(404, "there is no such call")
        return private_json(transcript_json(call).encode())

    async def _act(self, request: web.Request) -> web.StreamResponse:
        key = self._key(request)
        if not key.may_act:
            log.warning("operator.refused", reason="role", operator=key.name)
            return refused(403, "this key may look, and not act")
        if media_type(request) != "application/json" or not _is_own(request):
            log.warning("operator.refused", reason="origin", operator=key.name)
            return refused(403, "needs JSON from the page itself")
        wanted = await json_of(request, _Act)
        if wanted is None:
            return refused(400, f"needs an act, and a text of at most {LONGEST_TEXT} characters")
        call = self._calls.running.get(call_sid := _call_of(request))
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
            owner = "" if PASSED_ON in request.headers else await self._fleet.owner(call_sid)
        except StoreError:
            return refused(503, "the table cannot be reached")
        if not owner:
            return refused(404, "this call does not go on")
        return await self._fleet.pass_on(request, owner, body)

    async def _stream(
        self, request: web.Request, watch: Callable[[], AbstractContextManager[Watcher]]
    ) -> web.StreamResponse:
        """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
        name = self._key(request).name
        is_full = sum(self._streams.values()) >= MOST_STREAMS
        if is_full or self._streams.get(name, 0) >= MOST_STREAMS_OF_A_KEY:
            log.warning("console.streams_exhausted", operator=name)
            return refused(429, "too many streams are open", Retry_After="5")
        if not _is_own(request):
            return refused(403, "open the page itself")
        self._streams[name] = self._streams.get(name, 0) + 1
        answer = web.StreamResponse(headers={**HEADERS, **_STREAM})
        try:
            with watch() as watcher:
                await answer.prepare(request)
                async for message in watcher.messages():
                    await answer.write(b"data: " + message + b"\n\n" if message else _ALIVE)
                return answer
        except ConnectionError:  # the page has gone
            return answer
        finally:
            self._streams[name] -= 1

    def _key(self, request: web.Request) -> OperatorKey:
        return self._keys[self._guard.check(request)]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._calls.clock(), UTC)


def _call_of(request: web.Request) -> str:
    call_sid = request.match_info["call"]
    if not _CALL.fullmatch(call_sid):
        raise web.HTTPNotFound(headers=HEADERS, text="there is no such call\n")
    return call_sid


def _is_own(request: web.Request) -> bool:
    """Whether no page of another site sends it; a program names no origin."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get(hdrs.ORIGIN)
    host = request.headers.get(hdrs.HOST, "").lower()
    is_same = origin is None or origin.partition("//")[2].lower() == host
    return is_same and site in {"same-origin", "none"}
