"""How a request to the action URL is read, and the TwiML of each decision."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.call.after_session import TransferOutcome
from agent.http.action_webhook import transfer_outcome
from agent.simulator.carrier import call_fields
from tests.servers import ACTION_URL, Server

TOOK, NOBODY, GONE = (
    TransferOutcome.COMPLETED,
    TransferOutcome.UNANSWERED,
    TransferOutcome.CALLER_GONE,
)


@pytest.mark.parametrize(
    ("field", "values", "outcome"),
    [
        ("DialCallStatus", "completed answered", TOOK),
        ("DialCallStatus", "busy no-answer failed canceled new-word", NOBODY),
        ("QueueResult", "bridged bridging-in-process redirected redirected-from-bridged", TOOK),
        ("QueueResult", "hangup", GONE),
        ("QueueResult", "queue-full leave error system-error new-word", NOBODY),
        ("ReferCallStatus", "in-progress completed", TOOK),
        ("ReferCallStatus", "busy failed no-answer canceled", NOBODY),
        ("ReferSipResponseCode", "405 202", NOBODY),
    ],
)
def test_each_value_of_a_transfer_field_has_an_outcome(
    field: str, values: str, outcome: TransferOutcome
) -> None:
    """A value that is not documented means that no person was reached."""
    assert {transfer_outcome({field: value}) for value in [*values.split()]} == {outcome}


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"SessionStatus": "ended", "CallStatus": "in-progress"}, None),
        ({"DialCallStatus": ""}, NOBODY),
        ({"ReferCallStatus": "in-progress", "ReferSipResponseCode": "202"}, TOOK),
        ({"ReferCallStatus": "failed", "ReferSipResponseCode": "405"}, NOBODY),
    ],
)
def test_status_of_a_referral_precedes_its_response_code(
    fields: Mapping[str, str], outcome: TransferOutcome | None
) -> None:
    """Without a field of a transfer the request is about a relay session."""
    assert transfer_outcome(fields) is outcome


@pytest.mark.parametrize(
    ("fields", "verbs"),
    [
        ({"CallStatus": "completed", "SessionStatus": "ended"}, ()),
        ({"SessionStatus": "completed"}, ()),
        ({"SessionStatus": "failed", "ErrorCode": "39001"}, ("Connect",)),
        ({"SessionStatus": "failed", "ErrorCode": "x" * 99}, ("Connect",)),
        ({"SessionStatus": "failed", "ErrorCode": "64108"}, ("Hangup",)),
        ({"SessionStatus": "failed", "ErrorCode": "64109"}, ("Say", "Hangup")),
        ({"SessionStatus": "ended", "HandoffData": "["}, ("Connect",)),
        ({"SessionStatus": "ended", "HandoffData": '{"reasonCode": "goodbye"}'}, ("Hangup",)),
        ({}, ("Connect",)),
        ({"DialCallStatus": "completed"}, ("Hangup",)),
        ({"DialCallStatus": "no-answer"}, ("Connect",)),
        ({"QueueResult": "hangup"}, ()),
    ],
)
async def test_each_decision_is_answered_with_its_twiml(
    server: Server, fields: Mapping[str, str], verbs: tuple[str, ...]
) -> None:
    """`tests/call/test_after_session.py` has every decision."""
    answer = await server.twilio.post(
        ACTION_URL, {**call_fields(CallStatus="in-progress"), **fields}
    )

    assert (answer.status, answer.verbs) == (200, verbs)
