"""No text of a conversation has half a character."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call.history import AgentSaid, CallerSaid, History, Note, Summary, ToolUsed
from agent.call.messages import Message, ReplyRequest, Role, Text, ToolCall, ToolResult, ToolSpec
from agent.call.text import CharacterJoiner, whole, whole_json

HIGH, LOW, SMILE = "\ud83d", "\ude00", "\U0001f600"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", "Hello"),
        ("Grüße \U0001f600", "Grüße \U0001f600"),
        (HIGH + LOW, SMILE),
        ("a" + HIGH + "b", "ab"),
        ("a" + LOW, "a"),
        (HIGH, ""),
        (LOW + HIGH, ""),
        (HIGH + HIGH + LOW + LOW, SMILE),
    ],
)
def test_halves_that_meet_are_joined(text: str, expected: str) -> None:
    """Those that stay alone are left out."""
    assert whole(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":"\\ud83d"}', '{"a":""}'),
        ('{"a":"\\uDE00 \\u0041"}', '{"a":" \\u0041"}'),
        ('{"a":"\\ud83d\\ude00"}', '{"a":"\\ud83d\\ude00"}'),
        ('{"a":"\\\\ud83d"}', '{"a":"\\\\ud83d"}'),
        ('{"a":"\\\\\\ud83d"}', '{"a":"\\\\"}'),
        ('{"\\ud83d\\ud83d\\ude00', '{"\\ud83d\\ude00'),
        ('{"a":"' + HIGH + '"}', '{"a":""}'),
        ("\\ud8", "\\ud8"),
    ],
)
def test_halves_that_are_escapes_are_left_out(text: str, expected: str) -> None:
    """An escaped backslash begins no escape; the rest stays as it was written."""
    assert whole_json(text) == expected


texts = st.text(st.sampled_from([HIGH, LOW, "a", "ü", SMILE, "\\", '"', "\n"]), max_size=12)


@given(text=texts, is_escaped=st.booleans())
@example(text=HIGH, is_escaped=True)
def test_whatever_is_in_json_can_be_sent(text: str, is_escaped: bool) -> None:
    """Read again, its strings are what `whole` makes of them."""
    written = json.dumps([text], ensure_ascii=is_escaped)

    (read,) = json.loads(whole_json(written))

    assert read.encode().decode() == whole(text)


@given(pieces=st.lists(texts))
def test_pieces_are_what_the_whole_is(pieces: list[str]) -> None:
    """Wherever a text is cut; only a half at the very end is still awaited."""
    joined = CharacterJoiner()

    assert "".join(joined.add(piece) for piece in pieces) == whole("".join(pieces))


HALF = f"a{HIGH}b"
JSON = '{"a":"\\ud83d"}'
VALUES: tuple[Any, ...] = (
    Text(HALF),
    ToolCall(HALF, HALF, JSON),
    ToolResult(HALF, JSON),
    ToolSpec(HALF, HALF, JSON),
    ReplyRequest(HALF, (), context=HALF),
    CallerSaid(HALF),
    AgentSaid(HALF),
    Note(HALF),
    Summary(HALF, 0),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_no_value_has_half_a_character(value: object) -> None:
    """Wherever the text comes from."""
    assert "\\ud83d" not in ascii(value)
    assert "ab" in ascii(value)


def test_no_history_has_half_a_character() -> None:
    """However a fact is completed."""
    history = History([AgentSaid("Hi"), ToolUsed(1, ToolCall("tool00001", "menu", "{}"))])
    history.extend_speech(0, HALF)
    history.complete_tool(1, ToolResult("tool00001", f'"{HALF}"'))
    history.append(CallerSaid(HALF))
    history.append(AgentSaid(""))
    history.cut_speech(3, HALF)

    assert "\\ud" not in ascii(list(history))
    assert "\\ud" not in ascii(history.messages(1_000))
    assert Message(Role.CALLER, (Text("ab"),)).parts == (Text(HALF),)
