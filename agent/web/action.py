"""What happens to a call whose relay session is over: `POST /twiml/action`.

Twilio asks when a session has ended or failed, and again when a person it was handed to is done
(relay reference section 1.9). It is decided by the status; handoff data is used only as data. The
signature is verified first.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import web

from agent.conversation.handoff import HandoffData, ReasonCode
from agent.conversation.usecase import UseCase
from agent.relay import twiml
from agent.store.session import our_number
from agent.web.edge import CALLS, SETTINGS, answer, error_code, genuine_form, refuse

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

LOST = "I am sorry, the connection was lost. Please call again. Goodbye."
NOBODY = "I am sorry, nobody can take your call at the moment. Please call again later. Goodbye."


@routes.post("/twiml/action")
async def follow_up(request: web.Request) -> web.Response:
    """Say what happens to a call whose relay session, or whose talk to a person, is over."""
    fields = await genuine_form(request)
    if fields is None:
        return refuse(request, "signature", 403)
    if not fields.get("CallSid"):
        return refuse(request, "bad_request", 400)
    request.app[CALLS].admission.release(fields["CallSid"])
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


def _hand_over(request: web.Request, use_case: UseCase, fields: Mapping[str, str]) -> str:
    if not use_case.handoff_number:
        return twiml.say_and_hang_up(NOBODY)
    ours = our_number(fields) or request.app[SETTINGS].outbound_from
    return twiml.dial(
        use_case.handoff_number,
        caller_id=ours if ours.startswith("+") else "",
        action_url=f"{request.app[SETTINGS].origin}/twiml/action",
    )
