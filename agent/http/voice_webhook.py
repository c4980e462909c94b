"""`POST /twiml`: Twilio's voice webhook sets a call up and connects it to ConversationRelay.

The URL may also be the fallback URL of the number: a call whose action URL failed is then
reconnected. An outbound call brings a token in the URL, which the signature covers
(`agent.session.outbound`); a call without a token is an inbound call.

At capacity a call hears a sentence and is ended, redirected to `BUSY_REDIRECT_URL`, or put into
`BUSY_QUEUE`, without access to the table; `BUSY_SMS` never delays or fails the answer. A draining
process sends a new call back to the voice webhook, where the load balancer chooses another process.
The count of redirects is in the URL: two full regions that name each other do not go on for ever.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

import structlog
from aiohttp import web
from yarl import URL

from agent.call.after_session import Reconnect
from agent.call.resumption import ResumeCause
from agent.call.text import whole_number
from agent.errors import MessageError, StoreError
from agent.http.action_webhook import carry_out
from agent.http.api import RateLimiter
from agent.http.call_twiml import connect_document
from agent.http.middleware import (
    CALLS,
    OUTBOUND,
    SETTINGS,
    TELEMETRY,
    answer,
    forwarded_parameters,
    refuse,
    verified_call,
)
from agent.messaging import may_text
from agent.ports import TextMessage
from agent.session import caller_limits
from agent.session.call_manager import CallManager
from agent.session.caller_limits import CallerLimitError
from agent.session.outbound import OutboundCallRecord
from agent.settings import Settings
from agent.store.call_state.call_item import is_forged, our_number
from agent.twilio import twiml
from agent.usecases.caller_identity import identify, is_telephone_number

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

BUSY = "All our lines are busy at the moment. Please call again in a few minutes. Goodbye."
TOO_OFTEN = "You have called us very often lately. Please call again later. Goodbye."
TOO_MANY = "You already have several calls with us at the moment. Please call again later. Goodbye."
VOICEMAIL = "Hello. This is an automated message: we have tried to reach you by telephone. Goodbye."
MOST_REDIRECTS = 3
_REDIRECTS = "attempt"
_PAUSE_SECONDS = 1
_SAY_LANGUAGE = re.compile("[a-z]{2}-[A-Z]{2}")
"""Languages of `<Say>`; ConversationRelay knows others as well."""
_MOST_TEXTS = 100
"""SMS being sent at one time; beyond that a caller gets none."""
_CLOSE_SECONDS = 5.0


@routes.post("/twiml")
async def answer_call(request: web.Request) -> web.Response:
    """Connect a call to ConversationRelay, with the use case of its caller."""
    fields = await verified_call(request)
    calls = request.app[CALLS]
    if not _is_sent_on(request):
        calls.outcomes.rang(fields["CallSid"])
    if fields.get("ErrorCode") and fields.get("CallStatus") == "in-progress":  # the fallback URL
        return await carry_out(request, fields, Reconnect(ResumeCause.LOST))
    dialled = await _dialled(request, fields)
    if isinstance(dialled, web.Response):
        return dialled
    if rejected := _without_slot(request, fields, is_outbound=dialled is not None):
        return rejected
    with ExitStack() as slot:
        slot.callback(calls.admission.release, fields["CallSid"])
        try:
            use_case, variables = (dialled.use_case, dialled.variables) if dialled else ("", {})
            prepared = await calls.prepare(fields, use_case, variables=variables)
        except CallerLimitError as limit:
            refuse(request, limit.reason, 429)
            return answer(twiml.say_and_hang_up(TOO_OFTEN))
        slot.pop_all()
    calls.outcomes.await_socket(fields["CallSid"])
    return answer(connect_document(request.app[SETTINGS], prepared, fields, calls.speech))


async def _dialled(
    request: web.Request, fields: Mapping[str, str]
) -> OutboundCallRecord | web.Response | None:
    """For what an outbound call was made; None for an inbound call; else what is answered at once.

    A fax is hung up, an answering machine hears one message. An unknown answer counts as a person,
    because hanging up on a person is worse than talking to a machine
    (https://www.twilio.com/docs/voice/answering-machine-detection).
    """
    if "dial" not in request.query:
        return None
    dial = await request.app[OUTBOUND].claim(request.query["dial"], fields)
    if dial is None:
        return refuse(request, "dial", 403)
    kind = fields.get("AnsweredBy", "").partition("_")[0]
    answered_by = kind if kind in {"human", "machine", "fax"} else "unknown"
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome=answered_by)
    if answered_by == "fax":
        return answer(twiml.hang_up())
    if answered_by == "machine":
        use_case = await request.app[CALLS].setup.use_case(dial.use_case)
        language = use_case.relay.get("language", "")
        known = language if _SAY_LANGUAGE.fullmatch(language) else ""
        return answer(twiml.say_and_hang_up(use_case.voicemail or VOICEMAIL, language=known))
    return dial


def _without_slot(
    request: web.Request, fields: Mapping[str, str], *, is_outbound: bool
) -> web.Response | None:
    """The answer to a call for which this process has no slot; None if it has one now."""
    calls, call_sid = request.app[CALLS], fields["CallSid"]
    if _is_sent_on(request):
        log.info("call.redirected")
        own = f"{request.app[SETTINGS].origin}/twiml?{request.rel_url.raw_query_string}"
        url = _counted(own, request, fields)
        return answer(twiml.redirect(url, pause_seconds=_PAUSE_SECONDS))
    caller = "" if is_outbound else identify(fields.get("From", ""))
    if calls.admission.has_enough(caller, call_sid):
        refuse(request, "caller_seats", 429)
        return answer(twiml.say_and_hang_up(TOO_MANY))
    if calls.active_calls.is_draining:
        reason = "busy"
    elif not calls.load.allows_calls and not calls.admission.holds(call_sid):
        reason = "overload"
    elif not calls.admission.reserve(call_sid, caller):
        reason = "busy"
    else:
        return None
    request.app[TELEMETRY].count("agent_calls_refused_total", reason=reason)
    calls.outcomes.failed(call_sid, "busy")
    log.warning("call.rejected_at_capacity", reason=reason)
    return _at_capacity(request, fields, is_outbound=is_outbound)


def _at_capacity(
    request: web.Request, fields: Mapping[str, str], *, is_outbound: bool
) -> web.Response:
    """What a call hears at capacity; an outbound call hears the sentence only."""
    settings = request.app[SETTINGS]
    if not is_outbound:
        request.app[AT_CAPACITY_TEXTS].send_later(fields)
        if settings.busy_redirect_url and _redirects(request) < MOST_REDIRECTS:
            url = _counted(settings.busy_redirect_url, request, fields)
            return answer(twiml.redirect(url, sentence=settings.busy_sentence))
        if settings.busy_queue:
            return answer(twiml.enqueue(settings.busy_queue, sentence=settings.busy_sentence))
    return answer(twiml.say_and_hang_up(settings.busy_sentence or BUSY))


def _is_sent_on(request: web.Request) -> bool:
    """Whether this process drains, so that another one is to take the call, and counts it."""
    return request.app[CALLS].active_calls.is_draining and _redirects(request) < MOST_REDIRECTS


def _redirects(request: web.Request) -> int:
    """How often this call was redirected; a count that cannot be read is the highest."""
    count = whole_number(request.query.get(_REDIRECTS, "0"), MOST_REDIRECTS)
    return MOST_REDIRECTS if count is None else count


def _counted(url: str, request: web.Request, fields: Mapping[str, str]) -> str:
    count = str(_redirects(request) + 1)
    return str(URL(url).update_query({**forwarded_parameters(fields), _REDIRECTS: count}))


class AtCapacityTexts:
    """Sends `BUSY_SMS`, if it is set, to callers who were rejected at capacity."""

    def __init__(self, settings: Settings, calls: CallManager) -> None:
        self._settings = settings
        self._calls = calls
        self._rates = RateLimiter(1, caller_limits.TEXT_SECONDS, calls.clock)
        self._sending: set[asyncio.Task[None]] = set()

    def send_later(self, fields: Mapping[str, str]) -> None:
        """Text a caller with a telephone number who was not texted lately; returns at once."""
        settings, ours, caller = self._settings, our_number(fields), fields.get("From", "")
        sender = ours if is_telephone_number(ours) else settings.outbound_from
        message = TextMessage(sender, caller, settings.busy_sms)
        is_possible = (
            message.body
            and sender
            and is_telephone_number(caller)
            and not is_forged(fields, settings.trusted_attestation)
            and may_text(message, settings.sms_numbers)
        )
        if not is_possible or len(self._sending) >= _MOST_TEXTS or self._rates.wait(caller):
            return
        task = asyncio.create_task(self._send(message), name="at-capacity SMS")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()

    async def _send(self, message: TextMessage) -> None:
        try:
            store, now = self._calls.resources.store, self._calls.clock()
            if not await caller_limits.may_text(store, message.recipient, now):
                return
        except StoreError as error:  # the rate limiter of this process has counted it
            log.warning("at_capacity_sms.count_failed", error=type(error).__name__)
        try:
            await self._calls.messenger.text(message)
        except MessageError as error:
            log.warning("at_capacity_sms.send_failed", error=type(error).__name__)


AT_CAPACITY_TEXTS = web.AppKey("at_capacity_texts", AtCapacityTexts)


async def at_capacity_texts(application: web.Application) -> AsyncIterator[None]:
    """Provide `AT_CAPACITY_TEXTS` while the application runs; for `cleanup_ctx`."""
    texts = application[AT_CAPACITY_TEXTS] = AtCapacityTexts(
        application[SETTINGS], application[CALLS]
    )
    yield
    await texts.close()
