"""What all routes share: application keys, verified forms, request bodies, the error boundary.

A webhook never answers 5xx, because Twilio would drop the call without a word. Bodies are read by
one rule:

- A body has at most `LARGEST_BODY_BYTES`, a form at most `MOST_FIELDS` fields. A larger
  `Content-Length` is refused before the body is read.
- A form is UTF-8 (https://url.spec.whatwg.org/#urlencoded-parsing). With another `charset` it is
  not a form: some of Python's codecs take a second for a body of this size.
- `Content-Type` has at most `LONGEST_TYPE` characters and is split at `;`: the standard library's
  parser takes milliseconds for thousands of parameters.
- A body with a `Content-Encoding` is refused and never decompressed; Twilio sends none.

A refusal is a 4xx answer, a count in `agent_bad_requests_total` and one log line.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from aiohttp import hdrs, web
from multidict import MultiDict

from agent.errors import AgentError, StoreError, UseCaseError
from agent.observability import Telemetry
from agent.session.call_manager import CallManager
from agent.session.call_outcomes import CallFailure, failure_of
from agent.session.outbound import OutboundCalls
from agent.settings import Settings
from agent.store.call_state.call_item import VERSTAT, WEBHOOK_FIELDS
from agent.twilio import twiml
from agent.twilio.auth_tokens import AuthTokens
from agent.twilio.signature import Signatures, is_well_formed

log = structlog.get_logger(__name__)

CALLS = web.AppKey("calls", CallManager)
OUTBOUND = web.AppKey("outbound", OutboundCalls)
SETTINGS = web.AppKey("settings", Settings)
TELEMETRY = web.AppKey("telemetry", Telemetry)
SIGNATURES: web.AppKey[Signatures | None] = web.AppKey("signatures")
"""None: no auth token is configured, and requests are not verified."""
AUTH_TOKENS = web.AppKey("auth_tokens", AuthTokens)

SIGNATURE_HEADER = "X-Twilio-Signature"
TROUBLE = "I am sorry, we have a technical problem. Please call again in a few minutes. Goodbye."

LARGEST_BODY_BYTES = 16 * 1024
MOST_FIELDS = 300
"""Twilio sends about 40; apps add their own."""
LONGEST_TYPE = 256
_FORM = "application/x-www-form-urlencoded"
_READ_AS_UTF_8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1"})
"""A correctly escaped form is ASCII, and therefore the same in each of them."""

_MUST_BE_UNIQUE = WEBHOOK_FIELDS | {
    "SessionStatus", "HandoffData", "DialCallStatus", "ErrorCode", "AnsweredBy",
    "QueueResult", "ReferCallStatus", "ReferSipResponseCode",
}  # fmt: skip
"""Fields that decide something. An app adds fields to a call, and could repeat one of these."""
_VERSTAT_PARAMETER = "verstat"
_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
_VERIFIED_CALL = web.RequestKey("verified_call", str)
"""The CallSid, once the request is verified."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")


def answer(document: str) -> web.Response:
    """A TwiML document as response."""
    return web.Response(text=document, content_type="text/xml", charset="utf-8")


def refuse(request: web.Request, reason: str, status: int) -> web.Response:
    """Refuse a request about a call, and count it by `reason`, a label of a closed set."""
    request.app[TELEMETRY].count("agent_calls_refused_total", reason=reason)
    log.warning("call.refused", reason=reason, status=status)
    return web.Response(status=status, text=f"{reason}\n")


async def verified_call(request: web.Request, *, needs_sid: bool = True) -> dict[str, str]:
    """The fields of a request about a call; raises `HTTPException` if it is refused."""
    fields = await verified_form(request)
    if isinstance(fields, str):
        refuse(request, fields, 403)
        raise web.HTTPForbidden(text=f"{fields}\n")
    if needs_sid and not fields.get("CallSid"):
        refuse(request, "bad_request", 400)
        raise web.HTTPBadRequest(text="bad_request\n")
    return fields


async def verified_form(request: web.Request) -> dict[str, str] | str:
    """The fields of a form that Twilio signed for our account.

    Without a well-formed signature the body is not read. From here on, log lines of the request
    have its CallSid; the fields of an unsigned request are not logged. A refused call of our
    account counts as failed: who does not know the account's id cannot cause that.
    Returns the reason, `signature` or `account`, if the request is refused.
    """
    account_sid = request.app[SETTINGS].twilio_account_sid
    signatures = request.app[SIGNATURES]
    header = request.headers.get(SIGNATURE_HEADER)
    if signatures and not is_well_formed(header):
        return "signature"
    form = await form_of(request)
    if signatures and not await request.app[AUTH_TOKENS].accept(
        lambda token: signatures.webhook_is_genuine(token, request.raw_path, form, header)
    ):
        if account_sid and form.get("AccountSid") == account_sid:
            _note_refused_call(request, form, "signature")
        return "signature"
    if any(name in form and len(form.getall(name)) > 1 for name in _MUST_BE_UNIQUE):
        return "signature"
    fields = dict(form)
    if call_sid := fields.get("CallSid"):
        request[_VERIFIED_CALL] = call_sid
        structlog.contextvars.bind_contextvars(call_sid=call_sid[:64])
    if VERSTAT not in fields and (verstat := request.query.get(_VERSTAT_PARAMETER)):
        fields[VERSTAT] = verstat
    if account_sid in {"", fields.get("AccountSid", "")}:
        return fields
    _note_refused_call(request, fields, "account")
    return "account"


def _note_refused_call(
    request: web.Request, fields: Mapping[str, str], reason: CallFailure
) -> None:
    outcomes, call_sid = request.app[CALLS].outcomes, fields.get("CallSid", "")
    if request.path.startswith(_OF_CALLS) and _CALL_SID.fullmatch(call_sid):
        if request.path == _OF_CALLS:
            outcomes.rang(call_sid)
        outcomes.failed(call_sid, reason)


def forwarded_parameters(fields: Mapping[str, str]) -> dict[str, str]:
    """Query parameters of the next URL: what Twilio sends once; `verified_form` reads them."""
    verstat = fields.get(VERSTAT, "")
    return {_VERSTAT_PARAMETER: verstat} if verstat else {}


def error_fields(error: AgentError) -> dict[str, str]:
    """Log fields of an error that ended a webhook or a call.

    The text of a store or use-case error is for operators; any other may contain personal data.
    """
    is_plain = isinstance(error, StoreError | UseCaseError)
    return {"error": type(error).__name__, "fault" if is_plain else "pii_fault": str(error)}


_OF_CALLS = "/twiml"
_WEBHOOKS = (_OF_CALLS, "/messages", "/calls")


@web.middleware
async def guard_webhooks(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Measure each webhook, and answer 200 or 204 when it fails."""
    if not request.path.startswith(_WEBHOOKS):
        return await handler(request)
    began = request.app[TELEMETRY].now()
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        _measure(request, refusal.status, began)
        raise
    except Exception as error:  # the boundary of webhooks: the caller hears a sentence
        if isinstance(error, AgentError):
            log.error("webhook.failed", **error_fields(error))
        else:
            log.exception("webhook.crashed")
        if request.path.startswith(_OF_CALLS):
            if call_sid := request.get(_VERIFIED_CALL, ""):
                request.app[CALLS].outcomes.failed(call_sid, failure_of(error))
            response = answer(twiml.say_and_hang_up(TROUBLE))
        else:
            response = web.Response(status=204)
    finally:
        structlog.contextvars.unbind_contextvars("call_sid")  # the connection outlives the request
    _measure(request, response.status, began)
    return response


def _measure(request: web.Request, status: int, began: float) -> None:
    telemetry = request.app[TELEMETRY]
    route = getattr(request.match_info.route.resource, "canonical", "unknown")
    seconds = telemetry.now() - began
    telemetry.count("agent_webhook_duration_seconds", seconds, route=route, status=str(status))


def media_type(request: web.Request) -> str:
    """The media type of the body; empty if it is missing or its `charset` is not read as UTF-8."""
    header = request.headers.get(hdrs.CONTENT_TYPE, "")
    if len(header) > LONGEST_TYPE:
        return ""
    kind, *parameters = (each.strip().lower() for each in header.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in _READ_AS_UTF_8:
            return ""
    return kind


async def form_of(request: web.Request) -> MultiDict[str]:
    """The fields of a URL-encoded form; empty if it is none; `HTTPException` for a refused body."""
    if media_type(request) != _FORM:
        return MultiDict()
    body = await _body_of(request)
    if body.count(b"&") >= MOST_FIELDS:
        raise _refused_body(request, "fields", web.HTTPBadRequest())
    try:
        return MultiDict(parse_qsl(body.rstrip().decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        return MultiDict()


async def json_of(request: web.Request, kind: type[T]) -> T | None:
    """The body decoded to this type, None if it does not fit; `HTTPException` as `form_of`."""
    try:
        return msgspec.json.decode(await _body_of(request), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


async def _body_of(request: web.Request) -> bytes:
    encodings = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
    if any(each.strip().lower() not in {"", "identity"} for each in encodings.split(",")):
        raise _refused_body(request, "encoding", web.HTTPUnsupportedMediaType())
    size, body = request.content_length or 0, bytearray()
    try:
        while size <= LARGEST_BODY_BYTES and (part := await request.content.readany()):
            body += part
            size = max(size, len(body))
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _refused_body(request, "broken", web.HTTPBadRequest()) from error
    if size > LARGEST_BODY_BYTES:
        too_large = web.HTTPRequestEntityTooLarge(LARGEST_BODY_BYTES, size)
        raise _refused_body(request, "too_large", too_large)
    return bytes(body)


def _refused_body(
    request: web.Request, reason: str, answer: web.HTTPException
) -> web.HTTPException:
    request.app[TELEMETRY].count("agent_bad_requests_total", reason=reason)
    log.warning("request.refused", reason=reason, status=answer.status)
    return answer
