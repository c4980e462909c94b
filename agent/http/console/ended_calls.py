"""The routes of the console about calls that are over, or as far as the table has them.

    GET  /console/calls?caller=&...          search, with the filters of `python -m agent calls`
    GET  /console/calls/CALL                 facts, times and turns, as `show --json` prints them
    GET  /console/calls/CALL/page            one page of HTML to keep, as `show --html`
    GET  /console/calls/CALL/scenario        a scenario file, as `show --scenario`
    GET  /console/calls/CALL/replay          what differs today, as `replay --now`
    POST /console/calls/CALL/forget          {"confirm": "0001"}, as `forget NUMBER`

What takes long is done for few requests at once and ends after a while: live calls come first.
Deleting a caller's data needs the last characters of the number, so that it is no slip. It is
logged with the operator's name; an item in the partition of the call would be deleted with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import structlog
from aiohttp import web

from agent.errors import StoreError, UseCaseError
from agent.http.console.operator_access import OperatorAccess, call_of
from agent.http.middleware import json_of
from agent.http.pages import PageRefusal, private_download, private_json, refused
from agent.observability.recording.call_page import call_page
from agent.observability.recording.recorded_scenario import scenario_text
from agent.observability.recording.transcript import read_transcript, transcript_json
from agent.session.call_manager import CallManager
from agent.session.call_replay import replayed
from agent.session.personal_data import NOT_REACHED, forget_caller
from agent.settings import Settings
from agent.store.call_state.call_list import (
    LISTING,
    CallQuery,
    day_of,
    listed,
    period_of,
    search_calls,
    search_time,
)
from agent.usecases.caller_identity import identify

log = structlog.get_logger(__name__)

CONFIRMED_CHARACTERS = 4
"""The last ones of a number, which must be typed before its data is deleted."""
_MOST_LISTED = 200
_LONGEST_PERIOD = timedelta(days=90)
_AT_ONCE = 2
_LONGEST_SECONDS = 20.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As `CallQuery`; `before`: epoch milliseconds, calls that began until then."""

    caller: _Text = ""
    use_case: _Text = ""
    outcome: _Text = ""
    tool: _Text = ""
    reason: _Text = ""
    text: _Text = ""
    since: _Text = "24h"
    day: _Text = ""
    last: Annotated[int, msgspec.Meta(ge=1, le=_MOST_LISTED)] = 50
    before: Annotated[int, msgspec.Meta(ge=0, le=32_000_000_000_000)] | None = None

    def query(self, now: datetime) -> CallQuery:
        """One call more than is shown; raises `ValueError`. `now` has the zone of days."""
        caller = identify(self.caller.strip())
        if self.caller and not caller:
            raise ValueError("caller: must be a number or client: and a name")
        period = period_of(self.since)
        if period > _LONGEST_PERIOD:
            raise ValueError(f"since: at most {_LONGEST_PERIOD.days}d")
        day = day_of(self.day) if self.day else None
        since, until = search_time(now + timedelta(seconds=1), period, day)
        if self.before is not None:
            until = min(until, _EPOCH + timedelta(milliseconds=self.before + 1))
        names = ("use_case", "outcome", "tool", "reason", "text")
        others = {name: getattr(self, name).strip() for name in names}
        return CallQuery(since, until, self.last + 1, caller, **others)


class _Forgetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    confirm: _Text


class EndedCalls:
    """The routes about calls as the table has them."""

    def __init__(self, settings: Settings, calls: CallManager, access: OperatorAccess) -> None:
        self._settings = settings
        self._calls = calls
        self._store = calls.resources.store
        self._access = access
        self._at_work = asyncio.Semaphore(_AT_ONCE)

    def routes(self, path: str) -> list[web.RouteDef]:
        """All, below the path of the console."""
        call = f"{path}/calls/{{call}}"
        return [
            web.get(f"{path}/calls", self._search),
            web.get(call, self._show),
            web.get(f"{call}/page", self._page),
            web.get(f"{call}/scenario", self._scenario),
            web.get(f"{call}/replay", self._replay),
            web.post(f"{call}/forget", self._forget),
        ]

    async def _search(self, request: web.Request) -> web.Response:
        self._access.own_key(request)
        now = datetime.fromtimestamp(self._calls.clock(), self._settings.time_zone)
        try:
            wanted = msgspec.convert(dict(request.query), _Search, strict=False)
            query = wanted.query(now)
        except (msgspec.ValidationError, ValueError) as error:
            return refused(400, str(error))
        async with self._working():
            found = await search_calls(self._store, query)
        shown, more = found[: wanted.last], found[wanted.last :]
        before = int(more[0].began.timestamp() * 1000) if more else None
        return private_json(msgspec.json.encode({"calls": shown, "before": before}))

    async def _show(self, request: web.Request) -> web.Response:
        self._access.key(request)
        async with self._working():
            if (call := await read_transcript(self._store, call_of(request))) is None:
                return refused(404, "there is no such call")
            return private_json((await asyncio.to_thread(transcript_json, call)).encode())

    async def _page(self, request: web.Request) -> web.Response:
        self._access.own_key(request)
        call_sid = call_of(request)
        async with self._working():
            if (call := await read_transcript(self._store, call_sid)) is None:
                return refused(404, "there is no such call")
            text = await asyncio.to_thread(call_page, call)
        return private_download(text, "text/html", f"{call_sid}.html")

    async def _scenario(self, request: web.Request) -> web.Response:
        self._access.own_key(request)
        call_sid = call_of(request)
        async with self._working():
            if (text := await scenario_text(self._store, call_sid)) is None:
                return refused(404, "there is no such call")
        return private_download(text, "application/yaml", f"{call_sid}.yaml")

    async def _replay(self, request: web.Request) -> web.Response:
        self._access.own_key(request)
        call = self._settings, self._calls.resources, call_of(request)
        try:
            async with self._working():
                report = await replayed(*call, with_today=True)
        except UseCaseError as error:
            return refused(409, f"the use case cannot be used: {error}")
        return private_json(msgspec.json.encode(report))

    async def _forget(self, request: web.Request) -> web.Response:
        key = self._access.acting_key(request)
        wanted, call_sid = await json_of(request, _Forgetting), call_of(request)
        try:
            item = await self._store.get(call_sid, LISTING)
            if item is None or not (caller := listed(item).caller):
                return refused(409, "the caller of this call is not known")
            if wanted is None or wanted.confirm != caller[-CONFIRMED_CHARACTERS:]:
                return refused(400, f"needs the last {CONFIRMED_CHARACTERS} characters")
            log.info("operator.acted", act="forget", operator=key.name, call=call_sid)
            now = self._calls.clock()
            deletion = await forget_caller(self._store, self._calls.recordings, caller, now)
        except StoreError:
            return refused(503, "the table cannot be reached: do it again")
        told = {"deleted": deletion.deleted, "kept": deletion.kept, "not_reached": NOT_REACHED}
        return private_json(msgspec.json.encode(told))

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Raises `PageRefusal` if the work takes too long, or the table fails."""
        try:
            async with asyncio.timeout(_LONGEST_SECONDS), self._at_work:
                yield
        except StoreError as error:
            raise PageRefusal(refused(503, "the table cannot be reached")) from error
        except TimeoutError as error:
            raise PageRefusal(refused(503, "it took too long: ask for less")) from error
