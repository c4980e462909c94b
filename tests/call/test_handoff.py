"""What we tell ourselves through the carrier."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call.ending import GOODBYE, LARGEST, QUIET, HandoffData, ReasonCode

TEXT = st.text(st.characters(codec=None))


def test_it_is_written_as_json_without_empty_texts() -> None:
    """The action URL of the seed reads `reasonCode`."""
    data = HandoffData(ReasonCode.LIVE_AGENT, "wish", "Möchte Pizza")

    assert data.render() == (
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "Möchte Pizza"}'
    )
    assert GOODBYE.render() == '{"reasonCode": "goodbye"}'


def test_it_holds_what_was_found_out_and_what_the_caller_speaks() -> None:
    """The person who takes over need not ask again (practice section 17)."""
    data = HandoffData(
        ReasonCode.LIVE_AGENT, "wish", slots={"name": "Ada", "día": "5"}, language="es-US"
    )

    assert data.render() == (
        '{"reasonCode": "live-agent-handoff", "reason": "wish",'
        ' "slots": {"name": "Ada", "día": "5"}, "language": "es-US"}'
    )
    assert HandoffData.read(data.render()) == data


def test_long_texts_are_shortened() -> None:
    """The relay's limit is not published."""
    data = HandoffData(
        ReasonCode.LIVE_AGENT, "r" * 900, "s" * 9_000, {"n" * 99: "v" * 999}, "e" * 99
    )

    read = HandoffData.read(data.render())

    assert read == HandoffData(
        ReasonCode.LIVE_AGENT, "r" * 300, "s" * 800, {"n" * 60: "v" * 150}, "e" * 40
    )


def test_a_long_text_is_cut_between_letters() -> None:
    """A letter of three bytes counts as three, and is there or is not."""
    data = HandoffData(ReasonCode.LIVE_AGENT, "界" * 200)

    assert data.bounded().reason == "界" * 100


def test_of_too_many_slots_the_first_are_kept() -> None:
    """They never take the room of the summary."""
    slots = {f"slot{number}": "v" * 100 for number in range(20)}

    data = HandoffData(ReasonCode.LIVE_AGENT, "wish", "so", slots).bounded()

    assert list(data.slots) == ["slot0", "slot1", "slot2", "slot3", "slot4", "slot5"]
    assert data.summary == "so"


def test_texts_stand_on_one_line_and_hold_whole_letters() -> None:
    """Half a character cannot be sent, a slot without name or value says nothing."""
    slots = {"": "x", "y": " ", "order": "two\npizzas"}

    data = HandoffData(ReasonCode.LIVE_AGENT, "wi\ud800sh", " a\n b ", slots).bounded()

    assert data == HandoffData(ReasonCode.LIVE_AGENT, "wish", "a b", {"order": "two pizzas"})


@given(
    data=st.builds(
        HandoffData,
        st.sampled_from(ReasonCode),
        TEXT,
        TEXT,
        st.dictionaries(TEXT, TEXT),
        TEXT,
    )
)
@example(
    data=HandoffData(
        ReasonCode.LIVE_AGENT,
        "\x00" * 900,
        '"' * 900,
        {f'"{number}' * 30: "\\" * 200 for number in range(40)},
        "\U0001f355" * 50,
    )
)
def test_what_was_written_is_small_and_is_read(data: HandoffData) -> None:
    """Whatever a model or a caller has said: JSON under the limit, and the same when read."""
    written = data.render()

    assert len(written) <= len(written.encode()) < LARGEST
    assert json.loads(written)["reasonCode"] == data.code
    assert HandoffData.read(written) == data.bounded()
    assert data.bounded().bounded() == data.bounded()


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
        '{"reason": "wish"}',
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


def test_slots_that_are_none_are_left_out() -> None:
    """The person is told the rest."""
    read = HandoffData.read('{"reasonCode": "live-agent-handoff", "slots": ["a"], "reason": "r"}')

    assert read == HandoffData(ReasonCode.LIVE_AGENT, "r")


def test_what_is_read_is_bounded_as_well() -> None:
    """It becomes a task of TaskRouter, which has a limit of its own."""
    read = HandoffData.read(json.dumps({"reasonCode": "goodbye", "summary": "s" * 60_000}))

    assert read == HandoffData(ReasonCode.GOODBYE, summary="s" * 800)


def test_a_call_that_was_given_up_in_a_quiet_moment_says_so() -> None:
    """All others may have been torn off in mid-sentence."""
    quiet = HandoffData.read(HandoffData(ReasonCode.SERVER_DRAIN, QUIET).render())
    torn_off = HandoffData.read(HandoffData(ReasonCode.SERVER_DRAIN).render())

    assert quiet and quiet.was_quiet
    assert torn_off and not torn_off.was_quiet
