"""A call goes to a person: what Twilio is told, and what came of it.

`document` passes the call on, as the desk of the use case says; the person gets what Twilio can
carry there:

    a workflow    reason, summary, slots, language, use case and call, as attributes of the task
    an app        the same, shortened, as parameters of the incoming call
    all others    nothing but the call; what was said stands in the table under the CallSid

Rejected: headers for a SIP address. They end up in the logs of every switchboard on the way, and
which of them arrive is that switchboard's choice.

When it is over, Twilio asks the action URL again, and `outcome` reads the answer. Its words are
those of Twilio's pages on `<Dial>`, `<Enqueue>` and `<Refer>`. A word nobody knows means that
nobody was reached: the caller then hears something, and has not lost more than a moment. It is the
other way round for a call that was redirected out of a queue: somebody has taken it (a conference
of Flex does so), and it must not be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from agent.call.lifecycle import HandoffData
from agent.http.connect_twiml import action_url
from agent.settings import Settings
from agent.store.call_state.call_item import our_number
from agent.twilio import twiml
from agent.usecases.transfer_target import (
    PhoneTarget,
    QueueTarget,
    ReferralTarget,
    TransferTarget,
    WorkflowTarget,
)

_PARAMETER_BYTES = 128
"""Of a value that an app is told; Twilio passes on no more."""


class TransferOutcome(Enum):
    """What came of passing a call on."""

    DONE = auto()
    """A person had the call, or has it elsewhere."""
    NOBODY = auto()
    """No person was reached; the caller is still there."""
    GONE = auto()
    """The caller has hung up."""


_WORDS: Mapping[str, Mapping[str, TransferOutcome]] = {
    "DialCallStatus": {"completed": TransferOutcome.DONE, "answered": TransferOutcome.DONE},
    "QueueResult": {
        "bridged": TransferOutcome.DONE,
        "bridging-in-process": TransferOutcome.DONE,
        "redirected": TransferOutcome.DONE,
        "redirected-from-bridged": TransferOutcome.DONE,
        "hangup": TransferOutcome.GONE,
    },
    "ReferCallStatus": {"in-progress": TransferOutcome.DONE, "completed": TransferOutcome.DONE},
    "ReferSipResponseCode": {},
}
"""The fields that tell, in this order, and their words; all others mean that nobody was reached.

The last one comes alone where a switchboard has refused a referral.
"""


def outcome(fields: Mapping[str, str]) -> TransferOutcome | None:
    """What came of passing a call on; None if it is not that which is told.

    Args:
        fields: Of a request to the action URL, verified.
    """
    field = next((field for field in _WORDS if field in fields), None)
    return None if field is None else _WORDS[field].get(fields[field], TransferOutcome.NOBODY)


def document(
    desk: TransferTarget | None,
    handoff: HandoffData,
    fields: Mapping[str, str],
    settings: Settings,
    use_case: str,
) -> str | None:
    """The TwiML that passes a call on; None if nobody can be reached.

    Args:
        desk: Where the people of the use case are reached.
        handoff: What they are told.
        fields: Of the request to the action URL, verified.
        settings: Of this process.
        use_case: Name of the use case, so that the call can come back to it.
    """
    afterwards = action_url(settings, use_case, fields)
    match desk:
        case None:
            return None
        case PhoneTarget(to, ring_seconds, caller_id):
            return twiml.dial(
                to,
                caller_id=caller_id or _shown(fields, settings),
                action_url=afterwards,
                timeout_seconds=ring_seconds,
                parameters=_parameters(handoff, fields, use_case),
            )
        case QueueTarget(name):
            return twiml.enqueue(name, action_url=afterwards)
        case WorkflowTarget(sid, priority):
            task = _task(handoff, fields, use_case)
            return twiml.enqueue_task(sid, task, priority=priority, action_url=afterwards)
        case ReferralTarget(to):
            return twiml.refer(to, action_url=afterwards) if _is_by_sip(fields) else None


def _shown(fields: Mapping[str, str], settings: Settings) -> str:
    """Our number that the call came by, as only a number can be shown; empty = the caller's."""
    ours = our_number(fields) or settings.outbound_from
    return ours if ours.startswith("+") else ""


def _is_by_sip(fields: Mapping[str, str]) -> bool:
    """Any other call would be ended by a referral (13801, relay reference section 5)."""
    return fields.get("From", "").lower().startswith(("sip:", "sips:"))


def _task(
    handoff: HandoffData, fields: Mapping[str, str], use_case: str
) -> dict[str, str | dict[str, str]]:
    return {
        "reason": handoff.reason,
        "summary": handoff.summary,
        "slots": dict(handoff.slots),
        "language": handoff.language,
        "useCase": use_case,
        "callSid": fields.get("CallSid", ""),
    }


def _parameters(handoff: HandoffData, fields: Mapping[str, str], use_case: str) -> dict[str, str]:
    """The same as texts of the length an app is told."""
    told = {
        **_task(handoff, fields, use_case),
        "slots": "; ".join(f"{name}: {value}" for name, value in handoff.slots.items()),
    }
    return {name: _beginning(str(text)) for name, text in told.items()}


def _beginning(text: str) -> str:
    return text.encode()[:_PARAMETER_BYTES].decode(errors="ignore")
