"""What all routes share: typed application keys, who may ask, and the last line of defence.

Twilio never gets a 5xx from a webhook: it would drop the caller without a word. Whatever goes
wrong behind a TwiML route is logged and answered with a sentence (contract section 5); what Twilio
only reports has no caller to talk to, and is answered with nothing. This is the third and last
place where any exception is caught.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from agent.call.text import whole_number
from agent.errors import AgentError, StoreError, UseCaseError
from agent.http import request_body as body
from agent.session.call_manager import CallManager
from agent.settings import Settings
from agent.store.call_state.call_item import VERSTAT, WEBHOOK_FIELDS
from agent.twilio import twiml
from agent.twilio.signature import Signatures, is_well_formed

log = structlog.get_logger(__name__)

CALLS = web.AppKey("calls", CallManager)
SETTINGS = web.AppKey("settings", Settings)
TELEMETRY = body.TELEMETRY
SIGNATURES: web.AppKey[Signatures | None] = web.AppKey("signatures")
"""None: requests are not checked, because no auth token was given."""

SIGNATURE_HEADER = "X-Twilio-Signature"
TROUBLE = "I am sorry, we have a technical problem. Please call again in a few minutes. Goodbye."

_ONCE = WEBHOOK_FIELDS | {
    "SessionStatus", "HandoffData", "DialCallStatus", "ErrorCode", "AnsweredBy",
    "QueueResult", "ReferCallStatus", "ReferSipResponseCode",
}  # fmt: skip
"""Fields that decide something."""
_VERSTAT = "verstat"
_SHOWN_OF_SID = 64
"""Characters; one of Twilio's has 34."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(document: str) -> web.Response:
    """A TwiML document as response."""
    return web.Response(text=document, content_type="text/xml", charset="utf-8")


def refuse(request: web.Request, reason: str, status: int) -> web.Response:
    """Turn a call away, counted. `reason` is one of a few words of ours."""
    request.app[TELEMETRY].count("agent_calls_refused_total", reason=reason)
    log.warning("call.refused", reason=reason, status=status)
    return web.Response(status=status, text=f"{reason}\n")


async def genuine_form(request: web.Request) -> dict[str, str] | str:
    """The fields of a request that Twilio has signed for our account.

    For any other request the reason why it is refused: `signature` or `account`.


    The body of a request that has no signature, or none of its form, is not read.
    Log lines of the request have its CallSid from here on: what nobody has signed is not logged.
    An app adds fields of its own to a call. Should one of them ever come beside Twilio's of the
    same name, nobody could say which of the two counts.
    """
    signatures = request.app[SIGNATURES]
    header = request.headers.get(SIGNATURE_HEADER)
    if signatures and not is_well_formed(header):
        return "signature"
    form = await body.form_of(request)
    if signatures and not signatures.webhook_is_genuine(request.raw_path, form, header):
        return "signature"
    if any(name in form and len(form.getall(name)) > 1 for name in _ONCE):
        return "signature"
    fields = dict(form)
    if call_sid := fields.get("CallSid"):
        structlog.contextvars.bind_contextvars(call_sid=call_sid[:_SHOWN_OF_SID])
    if VERSTAT not in fields and (verstat := request.query.get(_VERSTAT)):
        fields[VERSTAT] = verstat
    is_ours = request.app[SETTINGS].twilio_account_sid in {"", fields.get("AccountSid", "")}
    return fields if is_ours else "account"


def passed_on(fields: Mapping[str, str]) -> dict[str, str]:
    """What the address of a later request of the same call must tell: Twilio tells it only once.

    The signature covers it; `genuine_form` reads it back.
    """
    verstat = fields.get(VERSTAT, "")
    return {_VERSTAT: verstat} if verstat else {}


def error_code(text: str) -> int:
    """An error code of Twilio's; 0 for what is none."""
    return whole_number(text, 999_999) or 0


def _apology() -> web.Response:
    return answer(twiml.say_and_hang_up(TROUBLE))


def _nothing() -> web.Response:
    return web.Response(status=204)


_IN_TROUBLE: Mapping[str, Callable[[], web.Response]] = {
    "/twiml": _apology,
    "/messages": _nothing,
    "/calls": _nothing,
}
"""The webhooks by the beginning of their path, and what is answered where one fails."""


def told(error: AgentError) -> dict[str, str]:
    """What the log says of a fault that ends a webhook or a call.

    What the table or a record lacks is for operators; the text of any other may be a caller's.
    """
    is_plain = isinstance(error, StoreError | UseCaseError)
    return {"error": type(error).__name__, "fault" if is_plain else "pii_fault": str(error)}


@web.middleware
async def guard_webhooks(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Measure each webhook, and let no failure of it reach Twilio as one."""
    in_trouble = next(
        (say for path, say in _IN_TROUBLE.items() if request.path.startswith(path)), None
    )
    if in_trouble is None:
        return await handler(request)
    began = request.app[TELEMETRY].now()
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        _measure(request, refusal.status, began)
        raise
    except AgentError as error:
        log.error("webhook.failed", **told(error))
        response = in_trouble()
    except Exception:  # the web boundary: the caller hears a sentence instead of a dial tone
        log.exception("webhook.crashed")
        response = in_trouble()
    finally:
        structlog.contextvars.unbind_contextvars("call_sid")  # the connection outlives the request
    _measure(request, response.status, began)
    return response


def _measure(request: web.Request, status: int, began: float) -> None:
    telemetry = request.app[TELEMETRY]
    route = getattr(request.match_info.route.resource, "canonical", "unknown")
    seconds = telemetry.now() - began
    telemetry.count("agent_webhook_duration_seconds", seconds, route=route, status=str(status))
