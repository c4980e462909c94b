"""How a request to the action URL is read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.call.after_session import TransferOutcome
from agent.http.action_webhook import transfer_outcome

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
