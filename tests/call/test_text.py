"""What callers may have kept, spoken, mailed or texted."""

# ruff: noqa: RUF001 (writings of all kinds)

from __future__ import annotations

import timeit
import unicodedata
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.text import NAME_LENGTH, has_link, line_in, name_in, whole_number


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
    """Letters and marks, and the few signs that names have."""
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
    """Spaces are single, letters composed, joiners without a shape of their own gone."""
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
    """Sentences, markup, links and characters that are not seen."""
    if text.strip() == text:
        assert name_in(text) == ""
    else:
        assert name_in(text) in {"", text.strip()}


@given(text=st.text())
def test_a_name_is_short_and_harmless_whatever_was_said(text: str) -> None:
    """And it is a name again when it is read."""
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
    """Bare host names, too: a telephone makes links of them."""
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
    """Abbreviations, numbers and full stops are in many of them."""
    assert not has_link(text)


def test_free_text_is_one_line_of_what_is_seen() -> None:
    """Line breaks are spaces, invisible characters are gone."""
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
