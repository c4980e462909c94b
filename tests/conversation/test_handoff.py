"""What we tell ourselves through the carrier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.handoff import GOODBYE, HandoffData, ReasonCode

SHORT = st.text(max_size=500)


def test_it_is_written_as_json_without_empty_texts() -> None:
    """The action URL of the seed reads `reasonCode`."""
    data = HandoffData(ReasonCode.LIVE_AGENT, "wish", "Möchte Pizza")

    assert data.render() == (
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "Möchte Pizza"}'
    )
    assert GOODBYE.render() == '{"reasonCode": "goodbye"}'


def test_long_texts_are_shortened() -> None:
    """The relay's limit is not published."""
    data = HandoffData(ReasonCode.LIVE_AGENT, "r" * 501, "s" * 600)

    read = HandoffData.read(data.render())

    assert read == HandoffData(ReasonCode.LIVE_AGENT, "r" * 500, "s" * 500)


@given(data=st.builds(HandoffData, st.sampled_from(ReasonCode), SHORT, SHORT))
def test_what_was_written_is_read(data: HandoffData) -> None:
    """A round trip."""
    assert HandoffData.read(data.render()) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '"goodbye"',
        "{}",
        '{"reasonCode": "other"}',
        '{"reasonCode": []}',
        "[" * 100_000,
    ],
)
def test_what_is_not_ours_reads_as_nothing(text: str) -> None:
    """The text has travelled."""
    assert HandoffData.read(text) is None


@given(text=st.text() | st.from_regex(r'\{"reasonCode": ?"(goodbye|x)".{0,20}\}?'))
def test_reading_never_fails(text: str) -> None:
    """A caller on the line waits for the answer to this request."""
    assert isinstance(HandoffData.read(text), HandoffData | None)


def test_texts_of_another_type_are_read_as_text() -> None:
    """Only the code decides."""
    read = HandoffData.read('{"reasonCode": "goodbye", "reason": 7}')

    assert read == HandoffData(ReasonCode.GOODBYE, "7")
