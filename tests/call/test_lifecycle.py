"""How a call ends: `CallEnding`, and the `HandoffData` that the action URL reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call.actions import Handoff
from agent.call.config import Phrases
from agent.call.events import EndReason
from agent.call.history import AgentSaid, CallerSaid, Fact, InputMode, Note
from agent.call.lifecycle import (
    BY_AGENT,
    HANDED_OVER,
    IDLE,
    LARGEST,
    MODEL_FAILED,
    SPENT,
    TIME_IS_UP,
    CallEnding,
    HandoffData,
    ReasonCode,
    transfer,
)

PERSON = ReasonCode.LIVE_AGENT
TEXT = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("ending", "reason", "is_revocable"),
    [
        (BY_AGENT, EndReason.AGENT_END, True),
        (IDLE, EndReason.IDLE, True),
        (TIME_IS_UP, EndReason.MAX_DURATION, False),
        (SPENT, EndReason.CALLER_SPEND, False),
        (MODEL_FAILED, EndReason.ERROR_MODEL, False),
        (HANDED_OVER, EndReason.DRAIN, False),
        (transfer(Handoff("wish")), EndReason.TRANSFER, False),
    ],
)
def test_only_a_goodbye_is_revocable(
    ending: CallEnding, reason: EndReason, is_revocable: bool
) -> None:
    assert (ending.reason, ending.is_revocable) == (reason, is_revocable)


def test_a_transfer_keeps_the_reason_and_the_summary_of_the_model() -> None:
    said = [CallerSaid("A person, please.")]

    ending = transfer(Handoff("wish", "Two pizzas.", {"name": "Ada"}), said, language="es-US")

    assert ending.handoff == HandoffData(PERSON, "wish", "Two pizzas.", {"name": "Ada"}, "es-US")
    assert ending.farewell(Phrases()) == "I will connect you with a person now."
    assert BY_AGENT.farewell(Phrases()) == "Thank you for calling. Goodbye."


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            [
                CallerSaid("Hello."),
                CallerSaid("Two pizzas."),
                AgentSaid("Your card number, please?"),
                CallerSaid("4111111111111111", InputMode.KEYPAD),
                CallerSaid("That was it."),
                Note("The caller pressed 4111."),
                CallerSaid("A person, please."),
            ],
            "Two pizzas. / That was it. / A person, please.",
        ),
        (
            [CallerSaid("a" * 999), CallerSaid("A person, please.")],
            f"{'a' * 230} / A person, please.",
        ),
        ([CallerSaid("0", InputMode.KEYPAD)], ""),
    ],
    ids=["the last three, without keys", "the end of long ones", "none"],
)
def test_without_a_summary_the_callers_last_words_stand_in(facts: list[Fact], words: str) -> None:
    summary = f"The caller's last words: {words}" if words else ""

    assert transfer(Handoff("wish"), facts).handoff == HandoffData(PERSON, "wish", summary)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (HandoffData(), '{"reasonCode": "goodbye"}'),
        (
            HandoffData(PERSON, "wish", "Möchte", {"name": "Ada", "día": "5"}, "es-US"),
            '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "Möchte",'
            ' "slots": {"name": "Ada", "día": "5"}, "language": "es-US"}',
        ),
    ],
)
def test_it_is_written_as_json_without_empty_texts(data: HandoffData, text: str) -> None:
    assert data.render() == text
    assert HandoffData.read(text) == data


MANY = {f"slot{number}": "v" * 100 for number in range(20)}


@pytest.mark.parametrize(
    ("data", "bounded"),
    [
        (
            HandoffData(PERSON, "r" * 900, "s" * 9_000, {"n" * 99: "v" * 999}, "e" * 99),
            HandoffData(PERSON, "r" * 300, "s" * 800, {"n" * 60: "v" * 150}, "e" * 40),
        ),
        (HandoffData(PERSON, "界" * 200), HandoffData(PERSON, "界" * 100)),
        (
            HandoffData(PERSON, "wish", "so", MANY),
            HandoffData(PERSON, "wish", "so", {name: MANY[name] for name in list(MANY)[:6]}),
        ),
        (
            HandoffData(PERSON, "wi\ud800sh", " a\n b ", {"": "x", "y": " ", "o": "two\npizzas"}),
            HandoffData(PERSON, "wish", "a b", {"o": "two pizzas"}),
        ),
    ],
    ids=["long", "letters of three bytes", "many slots", "one line, whole letters"],
)
def test_each_part_is_bounded(data: HandoffData, bounded: HandoffData) -> None:
    assert data.bounded() == bounded
    assert HandoffData.read(data.render()) == bounded


@given(
    data=st.builds(
        HandoffData, st.sampled_from(ReasonCode), TEXT, TEXT, st.dictionaries(TEXT, TEXT), TEXT
    )
)
@example(
    data=HandoffData(
        PERSON,
        "\x00" * 900,
        '"' * 900,
        {f'"{number}' * 30: "\\" * 200 for number in range(40)},
        "\U0001f355" * 50,
    )
)
def test_what_is_written_is_small_and_reads_the_same(data: HandoffData) -> None:
    written = data.render()

    assert len(written) <= len(written.encode()) < LARGEST
    assert json.loads(written)["reasonCode"] == data.code
    assert HandoffData.read(written) == data.bounded()
    assert data.bounded().bounded() == data.bounded()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"reasonCode": "goodbye", "reason": 7}', HandoffData(reason="7")),
        ('{"reasonCode": "goodbye", "slots": ["a"], "reason": "r"}', HandoffData(reason="r")),
        (
            json.dumps({"reasonCode": "goodbye", "summary": "s" * 60_000}),
            HandoffData(summary="s" * 800),
        ),
        *(
            (text, None)
            for text in (
                "", "{", "null", "[]", "7", '"goodbye"', "{}", '{"reasonCode": "other"}',
                '{"reasonCode": []}', '{"reason": "wish"}', "[" * 100_000,
            )
        ),
    ],
)  # fmt: skip
def test_only_the_code_decides_whether_a_text_is_ours(text: str, data: HandoffData | None) -> None:
    assert HandoffData.read(text) == data


@given(text=st.text() | st.from_regex(r'\{"reasonCode": ?"(goodbye|x)".{0,20}\}?'))
def test_reading_never_fails(text: str) -> None:
    assert isinstance(HandoffData.read(text), HandoffData | None)
