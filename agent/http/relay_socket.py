"""The relay socket: one WebSocket is one call's line.

A handshake is refused before the upgrade if it is not signed, if its single-use token does not
open this call, if the process drains or is far too full (`agent.capacity.admission`); afterwards
`setup`
must name the same call (relay reference section 4). A socket that the relay opens again by itself
(`applicationReconnect`) brings the token that was spent, and perhaps no `setup`: then the token
alone says whose call it is.

aiohttp answers Twilio's pings and sends its own, so that a balancer never sees a silent socket.
Handlers are not cancelled when the peer goes away (`handler_cancellation=False` in
`agent.http.server`): that the line is gone is an event for the conversation, which may have an
order to finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from agent.call.actions import EndCall, TransportAction
from agent.call.events import CallEnded, EndReason, Event
from agent.errors import AgentError, RelayProtocolError, StoreError
from agent.http.middleware import (
    CALLS,
    SETTINGS,
    SIGNATURE_HEADER,
    SIGNATURES,
    TELEMETRY,
    refuse,
    told,
)
from agent.ports import Count
from agent.store.call_state.call_item import SpentToken, TokenUse
from agent.twilio import frames
from agent.twilio.speech_failover import SpeechHealth, failed_side

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

HEARTBEAT_SECONDS = 20.0
"""Between our pings; well below the idle limit of any balancer."""
SETUP_SECONDS = 10.0
"""How long the relay may take to say whose call it is."""
_CLEAN_CLOSES = {WSCloseCode.OK, WSCloseCode.GOING_AWAY}
"""Of a caller who hung up; after any other the relay asks the action URL for another line."""
SEND_SECONDS = 5.0
"""How long one frame may take to leave; a line slower than that is given up."""


@routes.get("/")
@routes.get("/conversation-relay")
async def take_call(request: web.Request) -> web.StreamResponse:
    """Upgrade, check, and lead the call until it is over."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, compress=False)
    if not socket.can_prepare(request):
        return web.Response(status=426, text="This is for WebSockets.\n")
    calls, signatures = request.app[CALLS], request.app[SIGNATURES]
    header = request.headers.get(SIGNATURE_HEADER)
    if signatures and not signatures.handshake_is_genuine(request.raw_path, header):
        return refuse(request, "signature", 403)
    if calls.active_calls.is_draining:
        return refuse(request, "draining", 503)
    call_sid = request.query.get("callSid", "")
    with calls.active_calls.slot(call_sid) as is_seated:
        if not is_seated:
            return refuse(request, "full", 503)
        return await _answer(request, socket, call_sid)


async def _answer(
    request: web.Request, socket: web.WebSocketResponse, call_sid: str
) -> web.StreamResponse:
    """Upgrade a call that has a seat, if its token opens it, and lead it."""
    try:
        spent = await request.app[CALLS].spend_token(call_sid, request.query.get("token", ""))
    except StoreError:
        return refuse(request, "store", 503)
    if spent.use is TokenUse.REFUSED:
        return refuse(request, "token", 403)
    await socket.prepare(request)
    line = RelayTransport(socket, request.app[TELEMETRY].count, request.app[CALLS].speech)
    if spent.use is TokenUse.AGAIN or await _is_set_up(request, line, call_sid):
        await _lead(request, line, call_sid, spent)
    else:
        refuse(request, "setup", 403)
        await socket.close(code=WSCloseCode.POLICY_VIOLATION)
    return socket


async def _is_set_up(request: web.Request, line: RelayTransport, call_sid: str) -> bool:
    """The relay has said that this is the call the token was made for, of our account."""
    setup = await line.set_up()
    account = request.app[SETTINGS].twilio_account_sid
    return setup is not None and setup.call_sid == call_sid and account in {"", setup.account_sid}


async def _lead(
    request: web.Request, line: RelayTransport, call_sid: str, spent: SpentToken
) -> None:
    with structlog.contextvars.bound_contextvars(call_sid=call_sid):
        log.info("call.started")
        try:
            reason = await request.app[CALLS].run(call_sid, line, spent)
        except AgentError as error:
            log.error("call.failed", **told(error))
        except Exception:  # the web boundary: one call must not take others with it
            log.exception("call.crashed")
        else:
            log.info("call.ended", reason=reason)
        await line.close()


class RelayTransport:
    """`ports.Line` over the relay's socket."""

    def __init__(self, socket: web.WebSocketResponse, count: Count, speech: SpeechHealth) -> None:
        self._socket = socket
        self._speech = speech
        self._call_sid = ""
        self._count = count
        self._has_ended = False

    async def set_up(self) -> frames.Setup | None:
        """Wait for `setup`; None if it does not come. Frames before it are ignored and counted."""
        try:
            async with asyncio.timeout(SETUP_SECONDS):
                async for inbound in self._inbound():
                    if isinstance(inbound, frames.Setup):
                        self._call_sid = inbound.call_sid
                        return inbound
                    self._count("agent_relay_frames_ignored_total", kind="before_setup")
        except TimeoutError:
            log.warning("relay.no_setup")
        return None

    async def events(self) -> AsyncGenerator[Event, None]:
        """See `ports.Line`."""
        async for inbound in self._inbound():
            match inbound:
                case frames.Setup():
                    self._count("agent_relay_frames_ignored_total", kind="repeated_setup")
                case frames.RelayFault(description, code):
                    self._count("agent_relay_errors_total")
                    log.warning("relay.error", code=code, pii_description=description)
                    if side := failed_side(code or 0):
                        provider = self._speech.failed(self._call_sid, side)
                        log.warning("speech.provider_failed", side=side, provider=provider)
                case frames.Unheeded(kind):
                    self._count("agent_relay_frames_ignored_total", kind=kind)
                case frames.RoundTrip() | frames.ConfigUpdated():
                    pass
                case _:
                    yield inbound
        if self._socket.close_code not in _CLEAN_CLOSES and not self._has_ended:
            yield CallEnded(EndReason.ERROR_RELAY)

    async def send(self, action: TransportAction) -> None:
        """See `ports.Line`."""
        if self._has_ended or self._socket.closed:
            return
        self._has_ended = isinstance(action, EndCall)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_str(frames.render(action))
        except (ConnectionError, TimeoutError) as error:
            log.warning("line.lost", error=type(error).__name__)
            self._has_ended = True
            await self._socket.close()

    async def close(self) -> None:
        """See `ports.Line`."""
        self._has_ended = True
        await self._socket.close()

    async def _inbound(self) -> AsyncGenerator[frames.Inbound, None]:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                self._count("agent_relay_frames_ignored_total", kind="binary")
                continue
            try:
                yield frames.parse(message.data)
            except RelayProtocolError as error:
                self._count("agent_relay_frames_ignored_total", kind=error.kind)
                log.warning("frame.ignored", kind=error.kind)
