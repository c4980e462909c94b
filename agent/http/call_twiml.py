"""The TwiML that connects a call to ConversationRelay, or transfers it.

A transfer target gets what Twilio can carry there:

| target | gets |
|---|---|
| a TaskRouter workflow | reason, summary, slots, language, use case, CallSid as task attributes |
| an app | the same, shortened, as parameters of the incoming call |
| any other | the call only; the transcript is in the table under the CallSid |

Rejected: headers for a SIP address, which every switch on the way logs and perhaps drops.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from agent.call.lifecycle import HandoffData
from agent.http.middleware import forwarded_parameters
from agent.session.call_manager import PreparedCall
from agent.settings import Settings
from agent.store.call_state.call_item import our_number
from agent.twilio import twiml
from agent.twilio.speech_failover import VOICE_ATTRIBUTES, SpeechHealth, SpeechSide
from agent.usecases.transfer_target import (
    PhoneTarget,
    QueueTarget,
    ReferralTarget,
    TransferTarget,
    WorkflowTarget,
)

_PARAMETER_BYTES = 128
"""Of a parameter of an app; Twilio forwards no more."""


def connect_document(
    settings: Settings,
    prepared: PreparedCall,
    fields: Mapping[str, str],
    speech: SpeechHealth,
    *,
    with_default_speech: bool = False,
) -> str:
    """TwiML that connects a prepared call; `fields` are of the webhook that is answered, verified.

    `with_default_speech` leaves out the use case's voice and transcription, which Twilio refused.
    """
    use_case = prepared.use_case
    backups = {
        SpeechSide.VOICE: use_case.backup_voice,
        SpeechSide.TRANSCRIPTION: use_case.backup_transcription,
    }
    relay, languages = speech.connected(
        prepared.call_sid, use_case.relay, use_case.languages, backups
    )
    if with_default_speech:
        relay = {name: text for name, text in relay.items() if name not in VOICE_ATTRIBUTES}
        languages = ()
    query = urlencode({"callSid": prepared.call_sid, "token": prepared.token})
    return twiml.connect(
        f"{settings.ws_url}?{query}",
        action_url(settings, use_case.name, fields),
        relay,
        languages=languages,
        parameters={**twiml.app_parameters(fields), "callSid": prepared.call_sid},
        greeting=prepared.greeting,
    )


def action_url(settings: Settings, use_case: str, fields: Mapping[str, str], **more: str) -> str:
    """The URL of `POST /twiml/action` for a call, with further query parameters `more`."""
    query = urlencode({"useCase": use_case, **forwarded_parameters(fields), **more})
    return f"{settings.origin}/twiml/action?{query}"


def transfer_document(
    target: TransferTarget | None,
    handoff: HandoffData,
    fields: Mapping[str, str],
    settings: Settings,
    use_case: str,
) -> str | None:
    """TwiML that transfers a call; None if the target cannot be reached from this call."""
    session = fields.get("SessionId", "")
    afterwards = action_url(settings, use_case, fields, **{"transfer": session} if session else {})
    ours = our_number(fields) or settings.outbound_from
    task: dict[str, str | dict[str, str]] = {
        "reason": handoff.reason,
        "summary": handoff.summary,
        "slots": dict(handoff.slots),
        "language": handoff.language,
        "useCase": use_case,
        "callSid": fields.get("CallSid", ""),
    }
    match target:
        case None:
            return None
        case PhoneTarget(to, ring_seconds, caller_id):
            return twiml.dial(
                to,
                caller_id=caller_id or (ours if ours.startswith("+") else ""),
                action_url=afterwards,
                timeout_seconds=ring_seconds,
                parameters=_app_parameters(handoff, task),
            )
        case QueueTarget(name):
            return twiml.enqueue(name, action_url=afterwards)
        case WorkflowTarget(sid, priority):
            return twiml.enqueue_task(sid, task, priority=priority, action_url=afterwards)
        case ReferralTarget(to):
            # a referral would end any other call: https://www.twilio.com/docs/api/errors/13801
            is_sip = fields.get("From", "").lower().startswith(("sip:", "sips:"))
            return twiml.refer(to, action_url=afterwards) if is_sip else None


def _app_parameters(handoff: HandoffData, task: Mapping[str, object]) -> dict[str, str]:
    slots = "; ".join(f"{name}: {value}" for name, value in handoff.slots.items())
    return {
        name: str(text).encode()[:_PARAMETER_BYTES].decode(errors="ignore")
        for name, text in {**task, "slots": slots}.items()
    }
