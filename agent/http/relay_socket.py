"""The relay socket: one WebSocket is one call's connection to ConversationRelay.

A handshake is refused before the upgrade; then the `setup` frame must name the same call. When
Twilio reopens a socket by itself, it sends the used token and perhaps no `setup`; the token alone
then identifies the call.

aiohttp answers Twilio's pings and sends its own, so that a load balancer never sees an idle socket,
and sends small frames at once (`TCP_NODELAY`).
`handler_cancellation=False`: a lost connection is an event for the conversation, which may have to
finish an order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from agent.call.actions import EndCall, TransportAction
from agent.call.after_session import is_lost_connection
from agent.call.events import CallEnded, EndReason, Event
from agent.errors import AgentError, RelayProtocolError, StoreError
from agent.http.middleware import (
    AUTH_TOKENS,
    CALLS,
    SETTINGS,
    SIGNATURE_HEADER,
    SIGNATURES,
    TELEMETRY,
    error_fields,
    refuse,
)
from agent.ports import Count
from agent.session.call_manager import OpenedCall
from agent.session.call_outcomes import failure_of
from agent.session.resume import latest_attempt
from agent.store.call_state.call_item import TokenUse
from agent.twilio import relay_frames as relay
from agent.twilio.signature import is_well_formed
from agent.twilio.speech_failover import SpeechHealth, failed_side

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

HEARTBEAT_SECONDS = 20.0
"""Between our pings; well below the idle limit of load balancers."""
SETUP_SECONDS = 10.0
SEND_SECONDS = 5.0
"""For one frame; a slower connection is closed."""
_AT_ONCE_BYTES = 16 * 1024
"""With less than this unsent, an event loop lets no writer wait (it does above 64 KiB, until there
are 16 KiB again): such a frame needs no time limit."""


@routes.get("/")
@routes.get("/conversation-relay")
async def handle_socket(request: web.Request) -> web.StreamResponse:
    """Verify the handshake, upgrade, and run the call until it is over."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, compress=False)
    if not socket.can_prepare(request):
        return web.Response(status=426, text="This is for WebSockets.\n")
    calls, signatures = request.app[CALLS], request.app[SIGNATURES]
    header = request.headers.get(SIGNATURE_HEADER)
    if signatures and not (
        is_well_formed(header)
        and await request.app[AUTH_TOKENS].accept(
            lambda token: signatures.handshake_is_genuine(token, request.raw_path, header)
        )
    ):
        return refuse(request, "signature", 403)
    if calls.active_calls.is_draining:
        return refuse(request, "draining", 503)
    call_sid = request.query.get("callSid", "")
    with calls.active_calls.slot(call_sid) as is_admitted:
        if not is_admitted:
            return refuse(request, "full", 503)
        return await _accept(request, socket, call_sid)


async def _accept(
    request: web.Request, socket: web.WebSocketResponse, call_sid: str
) -> web.StreamResponse:
    calls = request.app[CALLS]
    try:
        spent = await calls.spend_token(call_sid, request.query.get("token", ""))
    except StoreError:
        return refuse(request, "store", 503)
    if spent.use is TokenUse.REFUSED:
        return refuse(request, "token", 403)
    with (
        structlog.contextvars.bound_contextvars(call_sid=call_sid),
        calls.opening(call_sid, spent) as opened,
    ):
        await _serve(request, socket, call_sid, opened)
    return socket


async def _serve(
    request: web.Request, socket: web.WebSocketResponse, call_sid: str, opened: OpenedCall
) -> None:
    await socket.prepare(request)
    calls, count, (spent, _) = request.app[CALLS], request.app[TELEMETRY].count, opened
    transport = RelayTransport(socket, request.transport, count, calls.speech)
    account_sid = request.app[SETTINGS].twilio_account_sid
    if spent.use is not TokenUse.AGAIN and not await transport.is_set_up(call_sid, account_sid):
        refuse(request, "setup", 403)
        await socket.close(code=WSCloseCode.POLICY_VIOLATION)
        return
    is_first = spent.use is TokenUse.FIRST and latest_attempt(spent.item or {}) is None
    calls.outcomes.connected(call_sid, is_first=is_first)
    log.info("call.started")
    try:
        reason = await calls.run(call_sid, transport, opened)
    except AgentError as error:
        calls.outcomes.failed(call_sid, failure_of(error))
        log.error("call.failed", **error_fields(error))
    except Exception as error:  # the boundary of calls: a fault of one call must not end others
        calls.outcomes.failed(call_sid, failure_of(error))
        log.exception("call.crashed")
    else:
        log.info("call.ended", reason=reason)
    await transport.close()


class RelayTransport:
    """`ports.Transport` over the relay socket, whose bytes go over `transport`."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        count: Count,
        speech: SpeechHealth,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._speech = speech
        self._call_sid = ""
        self._count = count
        self._has_ended = False

    async def is_set_up(self, call_sid: str, account_sid: str) -> bool:
        """Wait for `setup`; whether it comes and names this call, of this account (empty = any)."""
        try:
            async with asyncio.timeout(SETUP_SECONDS):
                async for frame in self._frames():
                    if isinstance(frame, relay.Setup):
                        self._call_sid = frame.call_sid
                        is_ours = account_sid in {"", frame.account_sid}
                        return frame.call_sid == call_sid and is_ours
                    self._count("agent_relay_frames_ignored_total", kind="before_setup")
        except TimeoutError:
            log.warning("relay.setup_timed_out")
        return False

    async def events(self) -> AsyncGenerator[Event, None]:
        async for frame in self._frames():
            match frame:
                case relay.Setup():
                    self._count("agent_relay_frames_ignored_total", kind="repeated_setup")
                case relay.RelayError(description, code):
                    self._count("agent_relay_errors_total")
                    log.warning("relay.error_received", code=code, pii_description=description)
                    if side := failed_side(code or 0):
                        provider = self._speech.failed(self._call_sid, side)
                        log.warning("speech.provider_failed", side=side, provider=provider)
                case relay.IgnoredFrame(kind):
                    if kind != "unused_info":
                        self._count("agent_relay_frames_ignored_total", kind=kind)
                case _:
                    yield frame
        if is_lost_connection(self._socket.close_code, sent_end=self._has_ended):
            yield CallEnded(EndReason.ERROR_RELAY)

    async def send(self, action: TransportAction) -> None:
        if self._has_ended or self._socket.closed:
            return
        self._has_ended = isinstance(action, EndCall)
        frame = relay.render(action)
        unsent = self._transport.get_write_buffer_size() if self._transport else _AT_ONCE_BYTES
        try:
            if unsent + len(frame) < _AT_ONCE_BYTES:
                await self._socket.send_frame(frame, WSMsgType.TEXT)
            else:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._socket.send_frame(frame, WSMsgType.TEXT)
        except (ConnectionError, TimeoutError) as error:
            log.warning("relay.send_failed", error=type(error).__name__)
            self._has_ended = True
            await self._socket.close()

    async def close(self) -> None:
        self._has_ended = True
        await self._socket.close()

    async def _frames(self) -> AsyncGenerator[relay.Inbound, None]:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                self._count("agent_relay_frames_ignored_total", kind="binary")
                continue
            try:
                yield relay.parse(message.data)
            except RelayProtocolError as error:
                self._count("agent_relay_frames_ignored_total", kind=error.kind)
                log.warning("relay.frame_ignored", kind=error.kind)
