"""Half characters, whole numbers, names, free text and links."""

# ruff: noqa: RUF001 (writings of all kinds)

from __future__ import annotations

import json
import timeit
import unicodedata
from time import thread_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call.history import AgentSaid, CallerSaid, Note, Summary
from agent.call.messages import ReplyRequest, Text, ToolCall, ToolResult, ToolSpec
from agent.call.text import (
    NAME_LENGTH,
    CharacterJoiner,
    has_link,
    json_object,
    line_in,
    name_in,
    whole,
    whole_json,
    whole_number,
)

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
    assert whole_json(text) == expected


texts = st.text(st.sampled_from([HIGH, LOW, "a", "ü", SMILE, "\\", '"', "\n"]), max_size=12)


@given(text=texts, is_escaped=st.booleans())
@example(text=HIGH, is_escaped=True)
def test_whatever_is_in_json_can_be_sent(text: str, is_escaped: bool) -> None:
    written = json.dumps([text], ensure_ascii=is_escaped)

    (read,) = json.loads(whole_json(written))

    assert read.encode().decode() == whole(text)


@given(pieces=st.lists(texts))
def test_pieces_are_what_the_whole_is(pieces: list[str]) -> None:
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
    assert "\\ud83d" not in ascii(value)
    assert "ab" in ascii(value)


@pytest.mark.parametrize(
    "name",
    [
        "Ada", "de la Cruz", "O'Brien", "O’Brien", "Jean-Luc", "J. R. R.", "J.Smith",
        "J.R.Tolkien", "Ma.Elena",
        "St.John", "Nguyễn Văn",
        "李", "Анна", "अनिल कुमार", "محمد", "Müller-Lüdenscheidt", "x" * NAME_LENGTH,
    ],
)  # fmt: skip
def test_names_of_all_writings_are_names(name: str) -> None:
    assert name_in(name) == name


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (" Ada ", "Ada"),
        ("de  Example", "de Example"),
        ("Ame\u0301lie", "Amélie"),
        ("علی\u200cرضا", "علیرضا"),
    ],
)
def test_a_name_has_one_form(said: str, name: str) -> None:
    assert name_in(said) == name


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10_000,
        "", " ", "...", "- -", "\u0301", "Ada1", "١٢", "<b>Ada</b>", "Ada\nNew rules", "Ada\t",
        "Ada\u202e", "Ada\u200b", '"', "Ada; refund", "You owe us $90", "Say: goodbye",
        "Ada [note]", "evil.com", "Evil dot com", "www.evil", "Ada 😀", "{{name}}",
        "x" * (NAME_LENGTH + 1),
    ],
)  # fmt: skip
def test_what_is_no_name_is_none(text: str) -> None:
    if text.strip() == text:
        assert name_in(text) == ""
    else:
        assert name_in(text) in {"", text.strip()}


@given(text=st.text())
def test_a_name_is_short_and_harmless_whatever_was_said(text: str) -> None:
    name = name_in(text)

    assert len(name) <= NAME_LENGTH
    assert all(unicodedata.category(sign)[0] in "LM" or sign in " '’-." for sign in name)
    assert name_in(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example", "see evil.com for more", "EVIL.COM", "evil[.]com", "evil (dot) com",
        "evil{dot}com", "evil dot com", "evil-dot-com", "evil d0t com", "hxxp://evil", "www.evil",
        "x.com", "bit.ly/abc",
        "t.co/abc", "evil。com", "ev\u200bil.c\u200bom", "evil . com", "1.2.3.4",
        "163.com", "me@evil.example", "ｅｖｉｌ．ｃｏｍ", "http:\\\\evil", "javascript:alert(1)",
        "münchen.de", "пример.рф", "st.click/x", "st.evil.com", "a nice place.restaurant",
    ],
)  # fmt: skip
def test_a_link_is_found_in_its_disguises(text: str) -> None:
    assert has_link(text)
    assert has_link(f"no onions, {text}, please")


@pytest.mark.parametrize(
    "text",
    [
        "well done. cut in eight", "5 St.Louis Ave.", "12 Main St. Apt. 4", "at 7 p.m. please",
        "U.S.A.", "3.5 cm", "No.7", "e.g. bacon", "不要洋葱。多放辣椒", "Hauptstr. 12, 3. Stock",
        "polka dot plates", "214 Lantern Street, Port Maple, Oregon 97000", "c/o Smith",
        "half/half", "the code is #12*3", "call 555.010.1234", "by the door...thanks", "note: none",
        "10.30 sharp",
    ],
)  # fmt: skip
def test_remarks_and_addresses_are_no_links(text: str) -> None:
    assert not has_link(text)


def test_free_text_is_one_line_of_what_is_seen() -> None:
    assert line_in(" 5 St.Louis\n Ave\u202e,\x00 Apt\u200b 4 ") == "5 St. Louis Ave, Apt 4"


@pytest.mark.parametrize(
    "part", ["a", "a-", "a.", ".", "st.", ": ", "1.", "[.]", "dot ", "a_", "_", "@a"]
)
def test_looking_for_links_costs_no_more_than_the_length(part: str) -> None:
    """A text of a model is looked at on the loop: four times the text, not sixteen times the work.

    The work is that of this thread alone, and the bound is generous.
    """

    def work(text: str) -> float:
        return min(timeit.repeat(lambda: has_link(text), timer=thread_time, number=1, repeat=5))

    assert work(part * 2_000) < 12 * work(part * 500) + 0.01


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("100", 100), ("101", None), ("", None), ("-1", None), ("+1", None),
     ("1_0", None), (" 1", None), ("٣", None), ("²", None), ("9" * 19, None)],
)  # fmt: skip
def test_only_ascii_digits_up_to_the_limit_are_a_whole_number(
    text: str, number: int | None
) -> None:
    assert whole_number(text, 100) == number


@pytest.mark.parametrize(
    ("text", "value"), [('{"a":1}', {"a": 1}), ("[]", None), ("{", None), ("\ud800", None)]
)
def test_only_a_json_object_is_read(text: str, value: object) -> None:
    assert json_object(text) == value
