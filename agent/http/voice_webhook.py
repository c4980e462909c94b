"""Twilio's voice webhook: `POST /twiml` sets a call up and connects it to the relay.

The signature is verified first; nothing is stored for a request that is not Twilio's. What happens
to a call whose relay session is over is `agent.http.action_webhook`; should that not be reached,
Twilio asks the fallback URL of the number, which may be this one, and the call goes on here.

A call that we made comes with a token in its URL, which the signature covers, and which belongs to
this call and to the number that was called (`agent.session.outbound`). Nothing
else makes it one: a call
of some other program, which has no token, is answered like one that came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import structlog
from aiohttp import web

from agent.call.resumption import ResumeCause
from agent.http import overflow_calls as busy
from agent.http.action_webhook import go_on
from agent.http.answering_machine import answerer, message
from agent.http.connect_twiml import connection
from agent.http.dial_api import OUTBOUND
from agent.http.middleware import CALLS, SETTINGS, TELEMETRY, answer, genuine_form, refuse
from agent.session.call_manager import CallManager
from agent.session.caller_limits import CallerLimitError
from agent.twilio import twiml
from agent.usecases.caller_identity import identify

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()


@routes.post("/twiml")
async def set_up(request: web.Request) -> web.Response:
    """Connect a call to the relay, personally."""
    fields = await genuine_form(request)
    if isinstance(fields, str):
        return refuse(request, fields, 403)
    if not fields.get("CallSid"):
        return refuse(request, "bad_request", 400)
    settings, calls = request.app[SETTINGS], request.app[CALLS]
    if _has_failed_elsewhere(fields):
        return await go_on(request, fields, ResumeCause.LOST)
    made_for = await _made_for(request, fields)
    if isinstance(made_for, web.Response):
        return made_for
    if calls.active_calls.is_draining and (elsewhere := busy.sent_on(request, fields)):
        return elsewhere
    if no_seat := _turned_away(request, fields, is_ours=bool(made_for)):
        return no_seat
    with ExitStack() as seat:
        seat.callback(calls.admission.release, fields["CallSid"])
        try:
            prepared = await calls.prepare(fields, made_for)
        except CallerLimitError as limit:
            refuse(request, limit.reason, 429)
            return answer(twiml.say_and_hang_up(busy.TOO_OFTEN))
        seat.pop_all()
    return answer(connection(settings, prepared, fields, calls.speech))


def _has_failed_elsewhere(fields: Mapping[str, str]) -> bool:
    """This is the fallback URL of a call whose action URL could not be reached."""
    return bool(fields.get("ErrorCode")) and fields.get("CallStatus") == "in-progress"


def _turned_away(
    request: web.Request, fields: Mapping[str, str], *, is_ours: bool
) -> web.Response | None:
    """What is answered to a call that has no seat; None if it has one from now on.

    Args:
        request: Of the voice webhook.
        fields: Of the request, verified.
        is_ours: We have called.
    """
    calls, call_sid = request.app[CALLS], fields["CallSid"]
    caller = "" if is_ours else identify(fields.get("From", ""))
    if calls.admission.has_enough(caller, call_sid):
        refuse(request, "caller_seats", 429)
        return answer(twiml.say_and_hang_up(busy.TOO_MANY))
    if reason := _no_seat(calls, call_sid, caller):
        refuse(request, reason, 503)
        return busy.turned_away(request, fields, is_ours=is_ours)
    return None


def _no_seat(calls: CallManager, call_sid: str, caller: str) -> str:
    """Why a new call cannot be taken; empty if it has a seat now, or had one."""
    if calls.active_calls.is_draining:
        return "busy"
    if not calls.load.allows_calls and not calls.admission.holds(call_sid):
        return "overload"
    return "" if calls.admission.reserve(call_sid, caller) else "busy"


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
    request.app[TELEMETRY].count("agent_outbound_calls_total", outcome=kind)
    if kind == "fax":
        return answer(twiml.hang_up())
    if kind == "machine":
        return answer(message(await request.app[CALLS].setup.use_case(dial.use_case)))
    return dial.use_case
