"""Twilio's voice webhooks: what happens to a call before and after its relay session.

`POST /twiml` sets a call up and connects it to the relay. `POST /twiml/action` is asked when a
relay session is over, and again when a person it was handed to is done (relay reference section
1.9): it decides by the status, and uses the handoff data only as data. Both verify the signature
first; nothing is stored for a request that is not Twilio's.

A call that we made comes with a token in its URL, which the signature covers, and which belongs to
this call and to the number that was called (`agent.store.dials`). Nothing else makes it one: a call
of some other program, which has no token, is answered like one that came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import structlog
from aiohttp import web

from agent.conversation.handoff import HandoffData, ReasonCode
from agent.conversation.usecase import UseCase
from agent.relay import twiml
from agent.relay.parameters import app_parameters
from agent.store.session import our_number
from agent.web.answered import answerer, message
from agent.web.dial import OUTBOUND
from agent.web.edge import CALLS, SETTINGS, TELEMETRY, answer, error_code, genuine_form, refuse

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

BUSY = "All our lines are busy at the moment. Please call again in a few minutes. Goodbye."
LOST = "I am sorry, the connection was lost. Please call again. Goodbye."
NOBODY = "I am sorry, nobody can take your call at the moment. Please call again later. Goodbye."


@routes.post("/twiml")
async def set_up(request: web.Request) -> web.Response:
    """Connect a call to the relay, personally."""
    fields = await genuine_form(request)
    if fields is None:
        return refuse(request, "signature", 403)
    if not fields.get("CallSid") or not fields.get("From"):
        return refuse(request, "bad_request", 400)
    settings, calls = request.app[SETTINGS], request.app[CALLS]
    if settings.twilio_account_sid not in {"", fields.get("AccountSid", "")}:
        return refuse(request, "account", 403)
    made_for = await _made_for(request, fields)
    if isinstance(made_for, web.Response):
        return made_for
    if calls.is_full or calls.is_draining:
        refuse(request, "busy", 503)
        return answer(twiml.say_and_hang_up(BUSY))
    prepared = await calls.prepare(fields, made_for)
    query = urlencode({"callSid": prepared.call_sid, "token": prepared.token})
    document = twiml.connect(
        f"{settings.ws_url}?{query}",
        f"{settings.origin}/twiml/action?{urlencode({'useCase': prepared.use_case.name})}",
        prepared.use_case.relay,
        languages=prepared.use_case.languages,
        parameters={**app_parameters(fields), "callSid": prepared.call_sid},
        greeting=prepared.greeting,
    )
    return answer(document)


@routes.post("/twiml/action")
async def follow_up(request: web.Request) -> web.Response:
    """Say what happens to a call whose relay session, or whose talk to a person, is over."""
    fields = await genuine_form(request)
    if fields is None:
        return refuse(request, "signature", 403)
    if not fields.get("CallSid"):
        return refuse(request, "bad_request", 400)
    if fields.get("CallStatus") == "completed" or fields.get("SessionStatus") == "completed":
        return answer(twiml.empty())
    if "DialCallStatus" in fields:
        was_answered = fields["DialCallStatus"] in {"completed", "answered"}
        return answer(twiml.hang_up() if was_answered else twiml.say_and_hang_up(NOBODY))
    handoff = HandoffData.read(fields.get("HandoffData", ""))
    if fields.get("SessionStatus") != "ended" or handoff is None:
        log.warning("session.failed", error_code=error_code(fields.get("ErrorCode", "")))
        return answer(twiml.say_and_hang_up(LOST))
    match handoff.code:
        case ReasonCode.GOODBYE:
            return answer(twiml.hang_up())
        case ReasonCode.SERVER_DRAIN:
            return answer(twiml.hang_up())
        case ReasonCode.LIVE_AGENT:
            use_case = await request.app[CALLS].use_case(request.query.get("useCase", ""))
            return answer(_hand_over(request, use_case, fields))


async def _made_for(request: web.Request, fields: Mapping[str, str]) -> str | web.Response:
    """The use case a call of ours was made for, empty for one that came in.

    What is answered instead if no person took the call, or it is none of ours.
    """
    if "dial" not in request.query:
        return ""
    dial = await request.app[OUTBOUND].claim(request.query["dial"], fields)
    if dial is None:
        return refuse(request, "dial", 403)
    kind = answerer(fields)
    request.app[TELEMETRY].outbound_calls.labels(kind).inc()
    if kind == "fax":
        return answer(twiml.hang_up())
    if kind == "machine":
        return answer(message(await request.app[CALLS].use_case(dial.use_case)))
    return dial.use_case


def _hand_over(request: web.Request, use_case: UseCase, fields: Mapping[str, str]) -> str:
    if not use_case.handoff_number:
        return twiml.say_and_hang_up(NOBODY)
    ours = our_number(fields) or request.app[SETTINGS].outbound_from
    return twiml.dial(
        use_case.handoff_number,
        caller_id=ours if ours.startswith("+") else "",
        action_url=f"{request.app[SETTINGS].origin}/twiml/action",
    )
