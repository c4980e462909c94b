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
from agent.relay import twiml
from agent.web import people
from agent.web.edge import CALLS, SETTINGS, answer, error_code, genuine_form, refuse
from agent.web.people import Outcome

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
    if fields.get("CallStatus") == "completed" or fields.get("SessionStatus") == "completed":
        return answer(twiml.empty())
    if (result := people.outcome(fields)) is not None:
        return answer(_after_a_person(result))
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
            return answer(await _hand_over(request, handoff, fields))


def _after_a_person(result: Outcome) -> str:
    match result:
        case Outcome.DONE:
            return twiml.hang_up()
        case Outcome.NOBODY:
            return twiml.say_and_hang_up(NOBODY)
        case Outcome.GONE:
            return twiml.empty()


async def _hand_over(request: web.Request, handoff: HandoffData, fields: Mapping[str, str]) -> str:
    use_case = await request.app[CALLS].use_case(request.query.get("useCase", ""))
    settings = request.app[SETTINGS]
    passed_on = people.document(use_case.desk, handoff, fields, settings, use_case.name)
    return passed_on or twiml.say_and_hang_up(NOBODY)
