"""What follows a relay session that failed, by its error code."""

from __future__ import annotations

import pytest

from agent.twilio.speech_failover import VOICE_ATTRIBUTES, ErrorRemedy, remedy
from agent.usecases.relay_attributes import ATTRIBUTES


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 39001, 64102, 64103, 64105, 64107, 64111, 64114, 99999], ErrorRemedy.NEW_LINE),
        ([64101, 64106], ErrorRemedy.PLAIN_LINE),
        ([64104, 64109, 64110], ErrorRemedy.OTHERS),
        ([64108], ErrorRemedy.NONE),
    ],
)
def test_each_code_has_a_remedy(codes: list[int], expected: ErrorRemedy) -> None:
    """Relay reference section 5; what is not known is taken for trouble of the line."""
    assert {remedy(code) for code in codes} == {expected}


def test_a_plain_line_does_without_attributes_that_exist() -> None:
    """A name that is none would leave the refused one in."""
    assert ATTRIBUTES.keys() >= VOICE_ATTRIBUTES
    assert not VOICE_ATTRIBUTES & {"url", "language", "interruptible", "dtmfDetection", "events"}
