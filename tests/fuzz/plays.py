"""Sends random input to the service: on a socket, as a request, from the table."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from hypothesis import strategies as st
from multidict import MultiDict
from yarl import URL

from agent.simulator.carrier import call_fields
from agent.tools import SPECS
from agent.usecases.folders import load_record
from tests import shipped
from tests.fuzz import feed
from tests.fuzz.rig import CALLER, Rig, goes_on_or_is_over
from tests.servers import ORIGIN, Server

_RECORDS = (load_record(folder, SPECS) for folder in shipped.USE_CASES)
USE_CASES: dict[str, Any] = {str(record["pk"]): record for record in _RECORDS}
"""The shipped ones, as their items are."""


async def say_frames(rig: Rig, server: Server, frames: Sequence[feed.Frame]) -> None:
    """A call in which these frames come, and then a caller who wants an answer."""
    relay = await server.twilio.until_taken(CALLER)  # after a flood none is
    rig.note_token(relay.url)
    async with server.twilio.connect(relay) as call:
        for frame in frames:
            if isinstance(frame, bytes):
                await call.send_binary(frame)
            else:
                await call.send_raw(frame)
        await goes_on_or_is_over(call)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to any of our routes."""

    path: str
    query: str
    content_type: str
    body: bytes
    is_signed: bool
    key: str
    fields: tuple[tuple[str, str], ...] = ()
    """What is signed; empty if the body is no form."""


def _of_form(fields: Sequence[tuple[str, str]]) -> tuple[str, bytes, tuple[tuple[str, str], ...]]:
    body = urlencode(fields).encode()
    return "application/x-www-form-urlencoded", body, tuple(fields)


requests = st.builds(
    lambda path, query, content, is_signed, key: Request(
        path, query, content[0], content[1], is_signed, key, content[2]
    ),
    st.sampled_from(feed.PATHS),
    feed.queries,
    feed.forms.map(_of_form) | feed.odd_bodies.map(lambda odd: (*odd, ())),
    st.booleans(),
    feed.keys,
)
_DELIBERATE = {"/dial": {502, 503}}
"""Refusals that are for a company's own servers and say what is wrong."""


async def ask(server: Server, request: Request) -> None:
    """Send a request; its answer is none of a failure."""
    port = server.service.metrics_port if request.path == "/dial" else server.service.port
    is_upgrade = request.path in {"/", "/conversation-relay"}
    url = f"{ORIGIN}{request.path}{request.query}"
    headers = {
        "X-Twilio-Signature": _signature(server, url, request),
        "Content-Type": request.content_type,
        "Authorization": request.key,
    }
    if is_upgrade:
        headers |= {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }  # fmt: skip
    local = URL(f"http://127.0.0.1:{port}{request.path}{request.query}", encoded=True)
    body = None if is_upgrade else request.body
    method = "GET" if is_upgrade else "POST"
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, local, data=body, headers=headers) as response,
    ):
        text = await response.text()
    allowed = _DELIBERATE.get(request.path, set())
    assert response.status < 500 or response.status in allowed, (response.status, text)


def _signature(server: Server, url: str, request: Request) -> str:
    if request.path in {"/", "/conversation-relay"}:
        url = url.replace("https://", "wss://", 1)
    with suppress(UnicodeEncodeError):
        return server.twilio.sign(url, MultiDict(request.fields)) if request.is_signed else "Zm9y"
    return ""


@dataclass(frozen=True, slots=True)
class Record:
    """Items that are not as the service would have written them."""

    use_case: str
    use_case_item: dict[str, Any] | None = None
    profile: dict[str, Any] | None = None
    session: dict[str, Any] | None = None
    """In place of the attributes that the webhook has put down."""
    keeps_token: bool = True
    chat: tuple[dict[str, Any], ...] = ()


_SESSION: dict[str, Any] = {
    "From": CALLER, "To": "+15550100000", "startedMs": 1_900_000_000_000, "llmModel": "offline:",
    "useCase": "restaurantOrderingUseCase", "useCaseVersion": 1, "userContext": feed.PROFILE,
    "systemPrompt": [{"text": "You are kind."}, {"text": "Zebulonika calls."}],
    "tools": "[]", "dtmfHandlers": "{}", "outboundUseCase": "",
}  # fmt: skip


@st.composite
def _use_case_records(draw: st.DrawFn) -> Record:
    name = draw(st.sampled_from(sorted(USE_CASES)))
    return Record(name, use_case_item=draw(feed.items(USE_CASES[name])))


_some_use_case = st.sampled_from(sorted(USE_CASES))
records = (
    _use_case_records()
    | st.builds(Record, _some_use_case, profile=feed.items(feed.PROFILE))
    | st.builds(
        Record,
        _some_use_case,
        session=feed.items(_SESSION),
        keeps_token=st.sampled_from([True] * 9 + [False]),
    )
    | st.builds(Record, _some_use_case, chat=st.lists(feed.items(feed.CHAT), max_size=3).map(tuple))
)


async def call_with(rig: Rig, server: Server, record: Record) -> None:
    """A call for which these items are there; afterwards the shipped use case is back."""
    store, name = server.store, record.use_case
    was = await store.get(name, "configuration")
    call_sid = f"CA{secrets.token_hex(16)}"
    profile = {**feed.PROFILE, "useCase": name} if record.profile is None else record.profile
    await store.put({**profile, "pk": CALLER, "sk": "profile"})
    if record.use_case_item is not None:
        await store.put({**record.use_case_item, "pk": name, "sk": "configuration"})
    try:
        await _call(rig, server, record, call_sid)
    finally:
        if was is not None:
            await store.put(was)


async def _call(rig: Rig, server: Server, record: Record, call_sid: str) -> None:
    for number, chat in enumerate(record.chat):
        sk = f"chat::1900000000000{number:06d}"
        await server.store.put({**chat, "pk": call_sid, "sk": sk})
    answered = await server.ring(call_fields(From=CALLER, CallSid=call_sid))
    relay = answered.relay
    if relay is None:
        assert answered.verbs == ("Say", "Hangup")
        return
    rig.note_token(relay.url)
    if record.session is not None:
        await server.calls.until_written()
        written = await server.store.get(call_sid, "connection") or {}
        kept = {name: written[name] for name in ("socketToken", "socketTokenExpireAt")}
        keeping = kept if record.keeps_token else {}
        item = {**record.session, **keeping, "pk": call_sid, "sk": "connection"}
        await server.store.put(item)
    if not record.keeps_token:
        assert (
            await server.twilio.handshake(relay.url, signature=server.twilio.sign(relay.url)) == 403
        )
        return
    async with server.twilio.connect(relay) as call:
        await goes_on_or_is_over(call)
