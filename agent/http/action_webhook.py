"""What Twilio reports: the end of a relay session or a transfer, and of an outbound call or SMS.

`agent.call.after_session` decides what follows `POST /twiml/action`; this module parses the request
and carries the decision out. Handoff data never decides where a call goes. The status callbacks are
counted, and a message that was not delivered is told (`CallAnnouncer.message_failed`); number and
text of an SMS are neither logged nor stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import web

from agent.call.after_session import (
    AFTER_FAILURE,
    GIVE_UP,
    ActionReport,
    Apologize,
    AskAgain,
    CallOver,
    HangUpCall,
    NextStep,
    Reconnect,
    SessionStatus,
    Transfer,
    TransferOutcome,
    after_session,
    after_store_error,
)
from agent.call.lifecycle import HandoffData
from agent.call.resumption import ResumeCause
from agent.call.text import whole_number
from agent.errors import StoreError
from agent.http.call_twiml import action_url, connect_document, transfer_document
from agent.http.middleware import (
    CALLS,
    SETTINGS,
    TELEMETRY,
    answer,
    refuse,
    verified_call,
    verified_form,
)
from agent.messaging import REFERENCE
from agent.session.outbound import FINAL_STATUSES
from agent.twilio import twiml
from agent.twilio.speech_failover import failed_side, session_fault

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

LOST = "I am sorry, the connection was lost. Please call again. Goodbye."
PATIENCE = "One moment, please."
PATIENCE_SECONDS = 2
_LARGEST_CODE = 999_999
SMS_STATUS_PATH = "/messages/status"
_SMS_STATUSES = frozenset(
    {
        "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed",
        "canceled", "read", "partially_delivered",
    }
)  # fmt: skip

_TRANSFER_FIELDS: Mapping[str, Mapping[str, TransferOutcome]] = {
    "DialCallStatus": dict.fromkeys(("completed", "answered"), TransferOutcome.COMPLETED),
    "QueueResult": {
        **dict.fromkeys(
            ("bridged", "bridging-in-process", "redirected", "redirected-from-bridged"),
            TransferOutcome.COMPLETED,
        ),
        "hangup": TransferOutcome.CALLER_GONE,
    },
    "ReferCallStatus": dict.fromkeys(("in-progress", "completed"), TransferOutcome.COMPLETED),
    "ReferSipResponseCode": {},
}
"""Fields that report a transfer, in order of precedence, and their values.

https://www.twilio.com/docs/voice/twiml/dial, /enqueue and /refer. Any other value means that no
person was reached: the caller then loses a moment only. A call redirected out of a queue was taken
by a person (a Flex conference does so). `ReferSipResponseCode` comes alone if a switch refused."""
_TRANSFER_FAULTS = {
    TransferOutcome.COMPLETED: "",
    TransferOutcome.UNANSWERED: "unanswered",
    TransferOutcome.CALLER_GONE: "caller_gone",
}
"""As `transfer.failed` has them."""


@routes.post("/twiml/action")
async def follow_up(request: web.Request) -> web.Response:
    """Answer with what follows."""
    fields = await verified_call(request)
    request.app[CALLS].admission.release(fields["CallSid"])
    status, cause = fields.get("SessionStatus"), request.query.get("cause")
    transfer = transfer_outcome(fields)
    if transfer is not None:
        announcer, number = request.app[CALLS].announcer, request.query.get("transfer", "")
        await announcer.transfer_ended(fields["CallSid"], number, _TRANSFER_FAULTS[transfer])
    step = after_session(
        ActionReport(
            status=SessionStatus(status) if status in set(SessionStatus) else SessionStatus.FAILED,
            is_call_completed=fields.get("CallStatus") == "completed",
            handoff=HandoffData.read(fields.get("HandoffData", "")),
            transfer=transfer,
            repeated=ResumeCause(cause) if cause in set(ResumeCause) else None,
        )
    )
    if step is None:
        code = _error_code(fields)
        fault = session_fault(code)
        log.warning("session.failed", error_code=code, fault=fault)
        step = AFTER_FAILURE[fault]
    if step is GIVE_UP:
        await request.app[CALLS].outcomes.gave_up(fields["CallSid"])
    elif isinstance(step, CallOver | HangUpCall):
        request.app[CALLS].outcomes.is_over(fields["CallSid"])
    return await carry_out(request, fields, step)


def transfer_outcome(fields: Mapping[str, str]) -> TransferOutcome | None:
    """How a transfer ended; None if the request is not about a transfer."""
    field = next((field for field in _TRANSFER_FIELDS if field in fields), None)
    if field is None:
        return None
    return _TRANSFER_FIELDS[field].get(fields[field], TransferOutcome.UNANSWERED)


async def carry_out(
    request: web.Request, fields: Mapping[str, str], step: NextStep
) -> web.Response:
    """Carry a decision out; the request is of the action URL, or of the fallback URL."""
    call_sid, announcer = fields["CallSid"], request.app[CALLS].announcer
    if isinstance(step, CallOver | HangUpCall | Apologize):
        has_hung_up = fields.get("CallStatus") == "completed"
        await announcer.is_over(call_sid, has_hung_up=has_hung_up)
    match step:
        case CallOver():
            return answer(twiml.empty())
        case HangUpCall():
            return answer(twiml.hang_up())
        case Apologize():
            return answer(twiml.say_and_hang_up(LOST))
        case Reconnect():
            return await _reconnect(request, fields, step)
        case AskAgain():
            url = action_url(  # Twilio repeats the request; the URL has what it sent in this one
                request.app[SETTINGS],
                request.query.get("useCase", ""),
                fields,
                cause=step.cause,
                session=_session_id(request, fields),
                attempt=str(step.attempt),
            )
            sentence = PATIENCE if step.attempt == 1 else ""
            return answer(twiml.redirect(url, sentence=sentence, pause_seconds=PATIENCE_SECONDS))
        case Transfer(handoff, without_target):
            use_case = await request.app[CALLS].setup.use_case(request.query.get("useCase", ""))
            target = use_case.transfer_target
            document = transfer_document(
                target, handoff, fields, request.app[SETTINGS], use_case.name
            )
            if document is None:
                return await carry_out(request, fields, without_target)
            kind = type(target).__name__.removesuffix("Target").lower()
            number = _session_id(request, fields)
            await announcer.transfer_began(call_sid, number, kind, handoff.reason)
            return answer(document)


async def _reconnect(
    request: web.Request, fields: Mapping[str, str], step: Reconnect
) -> web.Response:
    calls = request.app[CALLS]
    try:
        prepared = await calls.resume(fields, step.cause, _session_id(request, fields))
    except StoreError as error:
        log.warning("resume.delayed", error=type(error).__name__)
        attempts = whole_number(request.query.get("attempt", ""), _LARGEST_CODE) or 0
        following = after_store_error(step.cause, attempts)
        if isinstance(following, Apologize):
            calls.outcomes.failed(fields["CallSid"], "store")
        return await carry_out(request, fields, following)
    if prepared is None:
        log.warning("resume.refused", cause=step.cause)
        await calls.outcomes.gave_up(fields["CallSid"])
        return await carry_out(request, fields, GIVE_UP)
    if side := failed_side(_error_code(fields)):
        provider = calls.speech.failed(fields["CallSid"], side, prepared.use_case.relay)
        log.warning("speech.provider_failed", side=side, provider=provider)
    settings, is_default = request.app[SETTINGS], step.with_default_speech
    speech = calls.speech
    return answer(
        connect_document(settings, prepared, fields, speech, with_default_speech=is_default)
    )


def _session_id(request: web.Request, fields: Mapping[str, str]) -> str:
    return fields.get("SessionId", "") or request.query.get("session", "")


@routes.post("/calls/status")
async def call_status(request: web.Request) -> web.Response:
    """Count how an outbound call ended."""
    fields = await verified_call(request, needs_sid=False)
    status = fields.get("CallStatus", "")
    outcome = status if status in FINAL_STATUSES else "other"
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome=outcome)
    log.info("outbound_call.ended", call_sid=fields.get("CallSid", "")[:64], status=outcome)
    return web.Response(status=204)


@routes.post(SMS_STATUS_PATH)
async def sms_status(request: web.Request) -> web.Response:
    """Count a change of state of an SMS, and tell that it was not delivered.

    Operators see in the log that a sender is blocked.
    https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
    """
    fields = await verified_form(request)
    if isinstance(fields, str):
        return refuse(request, fields, 403)
    status = fields.get("MessageStatus", "")
    if not status or not fields.get("MessageSid"):
        return web.Response(status=400, text="bad_request\n")
    known = status if status in _SMS_STATUSES else "other"
    request.app[TELEMETRY].count("agent_messages_total", channel="sms", status=known)
    if status in {"undelivered", "failed"}:
        code, reference = _error_code(fields), request.query.get(REFERENCE, "")
        log.warning("sms.delivery_failed", status=status, error_code=code)
        announcer, message = request.app[CALLS].announcer, fields["MessageSid"]
        await announcer.message_failed(reference, message, status, code)
    return web.Response(status=204)


def _error_code(fields: Mapping[str, str]) -> int:
    return whole_number(fields.get("ErrorCode", ""), _LARGEST_CODE) or 0
