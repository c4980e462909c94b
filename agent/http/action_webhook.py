"""What happens to a call whose relay session is over: `POST /twiml/action`.

Twilio asks when a session has ended or failed, and again when a person it was handed to is done
(relay reference section 1.9). It is decided by the status; handoff data is used only as data. The
signature is verified first.

| the session | the call |
|---|---|
| is over because the caller hung up | is over |
| was ended by us, with a goodbye | is hung up |
| was ended by us, for a person | goes to the person; comes back if there is nobody |
| was ended by us, because the process stops | is given a new line, see
`agent.session.call_manager` |
| failed | is given a new line, unless the error says that a new one would fail as well |

A call that was given too many lines goes to a person, or hears an apology. While the table is away
nobody can tell where a call stands: the caller is asked for patience, and Twilio to ask again.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import web

from agent.call.ending import HandoffData, ReasonCode
from agent.call.resumption import ResumeCause
from agent.errors import StoreError
from agent.http import transfer as people
from agent.http.connect_twiml import action_url, connection
from agent.http.middleware import CALLS, SETTINGS, answer, error_code, genuine_form, refuse
from agent.http.transfer import TransferOutcome
from agent.twilio import speech_failover as faults
from agent.twilio import twiml
from agent.twilio.speech_failover import failed_side

log = structlog.get_logger(__name__)

routes = web.RouteTableDef()

LOST = "I am sorry, the connection was lost. Please call again. Goodbye."
TROUBLE = "technical trouble"
"""Why a call goes to a person whose caller has not asked for one."""
PATIENCE = "One moment, please."
PATIENCE_SECONDS = 2
MOST_ATTEMPTS = 15
"""How often a caller is asked for patience: some 30 seconds, and more if the table is slow."""


@routes.post("/twiml/action")
async def follow_up(request: web.Request) -> web.Response:
    """Say what happens to a call whose relay session, or whose talk to a person, is over."""
    fields = await genuine_form(request)
    if isinstance(fields, str):
        return refuse(request, fields, 403)
    if not fields.get("CallSid"):
        return refuse(request, "bad_request", 400)
    request.app[CALLS].admission.release(fields["CallSid"])
    if fields.get("CallStatus") == "completed" or fields.get("SessionStatus") == "completed":
        return answer(twiml.empty())
    if (result := people.outcome(fields)) is not None:
        return await _after_a_person(request, fields, result)
    if request.query.get("cause", "") in set(ResumeCause):
        return await go_on(request, fields, ResumeCause(request.query["cause"]))
    return await _after_session(request, fields)


async def _after_a_person(
    request: web.Request, fields: Mapping[str, str], result: TransferOutcome
) -> web.Response:
    match result:
        case TransferOutcome.DONE:
            return answer(twiml.hang_up())
        case TransferOutcome.NOBODY:
            return await go_on(request, fields, ResumeCause.NOBODY)
        case TransferOutcome.GONE:
            return answer(twiml.empty())


async def _after_session(request: web.Request, fields: Mapping[str, str]) -> web.Response:
    """The caller is still there."""
    handoff = HandoffData.read(fields.get("HandoffData", ""))
    if fields.get("SessionStatus") != "ended" or handoff is None:
        return await _recover(request, fields)
    match handoff.code:
        case ReasonCode.GOODBYE:
            return answer(twiml.hang_up())
        case ReasonCode.SERVER_DRAIN:
            cause = ResumeCause.HANDED_OVER if handoff.was_quiet else ResumeCause.LOST
            return await go_on(request, fields, cause)
        case ReasonCode.LIVE_AGENT:
            passed_on = await _passed_on(request, fields, handoff)
            return passed_on or await go_on(request, fields, ResumeCause.NOBODY)


async def _recover(request: web.Request, fields: Mapping[str, str]) -> web.Response:
    """A session has failed."""
    code = error_code(fields.get("ErrorCode", ""))
    remedy = faults.remedy(code)
    log.warning("session.failed", error_code=code, remedy=remedy)
    match remedy:
        case faults.ErrorRemedy.NEW_LINE:
            return await go_on(request, fields, ResumeCause.LOST)
        case faults.ErrorRemedy.PLAIN_LINE:
            return await go_on(request, fields, ResumeCause.LOST, is_plain=True)
        case faults.ErrorRemedy.OTHERS:
            return await _give_up(request, fields)
        case faults.ErrorRemedy.NONE:
            return answer(twiml.hang_up())


async def go_on(
    request: web.Request, fields: Mapping[str, str], cause: ResumeCause, *, is_plain: bool = False
) -> web.Response:
    """Connect the call to the relay again.

    Args:
        request: Of the action URL.
        fields: Of the request.
        cause: Why the call needs a new line.
        is_plain: With the carrier's own voice, for those of the use case were refused.
    """
    calls = request.app[CALLS]
    session_id = fields.get("SessionId", "") or request.query.get("session", "")
    try:
        prepared = await calls.resume(fields, cause, session_id)
    except StoreError as error:
        log.warning("resume.delayed", error=type(error).__name__)
        return _ask_again(request, fields, cause, session_id)
    if prepared is None:
        log.warning("resume.refused", cause=cause)
        return await _give_up(request, fields)
    speech = calls.speech
    if side := failed_side(error_code(fields.get("ErrorCode", ""))):
        provider = speech.failed(fields["CallSid"], side, prepared.use_case.relay)
        log.warning("speech.provider_failed", side=side, provider=provider)
    return answer(connection(request.app[SETTINGS], prepared, fields, speech, is_plain=is_plain))


def _ask_again(
    request: web.Request, fields: Mapping[str, str], cause: ResumeCause, session_id: str
) -> web.Response:
    """Have the carrier ask again in a moment: what it told this time is in the address."""
    attempt = error_code(request.query.get("attempt", "")) + 1
    if attempt > MOST_ATTEMPTS:
        return answer(twiml.say_and_hang_up(LOST))
    use_case = request.query.get("useCase", "")
    again = {"cause": cause, "session": session_id, "attempt": str(attempt)}
    where = action_url(request.app[SETTINGS], use_case, fields, **again)
    sentence = PATIENCE if attempt == 1 else ""
    return answer(twiml.redirect(where, sentence=sentence, pause_seconds=PATIENCE_SECONDS))


async def _give_up(request: web.Request, fields: Mapping[str, str]) -> web.Response:
    """A new line would fail as well: a person, if there is one, or an apology."""
    trouble = HandoffData(ReasonCode.LIVE_AGENT, TROUBLE)
    passed_on = await _passed_on(request, fields, trouble)
    return passed_on or answer(twiml.say_and_hang_up(LOST))


async def _passed_on(
    request: web.Request, fields: Mapping[str, str], handoff: HandoffData
) -> web.Response | None:
    """The call on its way to a person; None where nobody can be reached."""
    use_case = await request.app[CALLS].setup.use_case(request.query.get("useCase", ""))
    settings = request.app[SETTINGS]
    document = people.document(use_case.desk, handoff, fields, settings, use_case.name)
    return answer(document) if document else None
