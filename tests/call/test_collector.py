"""Rules of an entry, and digits in the words of callers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.collector import Collector, has_luhn_digit, spoken_digits

DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=24)


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ({"min_digits": 7, "max_digits": 6}, "min_digits is greater than max_digits"),
        ({"terminator": "*"}, "terminator and clear_key are the same key"),
        ({"terminator": "5"}, "Invalid enum value '5'"),
        ({"retries": 6}, "Expected `int` <= 5"),
        ({"mask": True}, "Object contains unknown field `mask`"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(rules: dict[str, object], fault: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(rules, Collector)

    assert str(caught.value).startswith(fault)


def test_a_collector_needs_neither_a_terminator_nor_a_clear_key() -> None:
    assert Collector(terminator="", clear_key="").terminator == ""


@pytest.mark.parametrize(
    ("number", "is_valid"),
    [
        ("4111111111111111", True),
        ("378282246310005", True),
        ("6011000990139424", True),
        ("4111111111111112", False),
        ("4111111111111131", False),
        ("0", True),
        ("1", False),
    ],
)
def test_check_digit(number: str, is_valid: bool) -> None:
    assert has_luhn_digit(number) is is_valid


@given(DIGITS, st.data())
def test_one_wrong_digit_is_always_noticed(digits: str, data: st.DataObject) -> None:
    (valid,) = [digits + last for last in "0123456789" if has_luhn_digit(digits + last)]
    at = data.draw(st.integers(0, len(valid) - 1))
    other = data.draw(st.sampled_from([each for each in "0123456789" if each != valid[at]]))

    assert not has_luhn_digit(valid[:at] + other + valid[at + 1 :])


@given(DIGITS, st.integers(1, 4), st.integers(4, 24), st.sampled_from(["", "luhn"]))
def test_marks_are_as_valid_as_the_digits(
    digits: str, fewest: int, most: int, validator: str
) -> None:
    rules = msgspec.convert(
        {"min_digits": fewest, "max_digits": most, "validator": validator}, Collector
    )
    marks = ""
    for at, digit in enumerate(digits):
        marks += rules.marks(digits[:at], digit)

    assert set(marks) <= {"x", "X"}
    assert rules.accepts(marks) == rules.accepts(digits)
    assert rules.accepts(rules.marks("", digits)) == rules.accepts(digits)


@pytest.mark.parametrize(
    ("text", "language", "digits"),
    [
        ("It's four five, six, seven.", "en-US", "4567"),
        ("forty two, double five and oh", "en-GB", "42550"),
        ("4711", "en-US", "4711"),
        ("four hundred", "", "400"),
        ("20 5", "en-US", "205"),
        ("mein Code ist vier sieben elf", "de-DE", "4711"),
        ("vierundzwanzig", "de-DE", "24"),
        ("cuatro siete uno uno", "es-US", "4711"),
        ("treinta y uno", "es-MX", "31"),
        ("quatre sept un un", "fr-FR", "4711"),
        ("\uff14\uff17\uff11\uff11", "ja-JP", "4711"),
        ("٤٧١١", "ar-EG", "4711"),
    ],
)
def test_spoken_digits_are_an_entry(text: str, language: str, digits: str) -> None:
    spoken = spoken_digits(text, language, is_sensitive=False)

    assert (spoken.digits, spoken.is_entry) == (digits, True)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I have two cards here", "en-US"),
        ("Can a person help me?", "en-US"),
        ("double room", "en-US"),
        ("x", "en-US"),
        ("ich habe ein Problem damit", "de-DE"),
        ("何番ですか", "ja-JP"),
    ],
)
def test_a_sentence_is_no_entry(text: str, language: str) -> None:
    assert not spoken_digits(text, language, is_sensitive=False).is_entry


@pytest.mark.parametrize(
    ("text", "language", "hidden"),
    [
        ("My card is four five, double six.", "en-US", "My card is x x x x , ."),
        ("no, it is 4566", "en-US", "no, it is x x x x"),
        ("hunderteinundzwanzig", "de-DE", "(withheld)"),
        ("よん ご ろく", "ja-JP", "(withheld)"),
        ("a person please", "en-US", "a person please"),
    ],
)
def test_digits_are_hidden(text: str, language: str, hidden: str) -> None:
    spoken = spoken_digits(text, language, is_sensitive=True)

    assert spoken.hidden(text, "x" * len(spoken.digits)) == hidden


@given(st.text(alphabet="0123456789 ,.-abcxX", max_size=40), st.sampled_from(["en", "de", "ja"]))
def test_no_numeral_is_ever_left(text: str, language: str) -> None:
    spoken = spoken_digits(text, language, is_sensitive=True)
    hidden = spoken.hidden(text, Collector().marks("", spoken.digits))

    assert not any(map(str.isdecimal, hidden))
    again = spoken_digits(hidden, language, is_sensitive=True)
    assert (len(again.digits), again.is_entry) == (len(spoken.digits), spoken.is_entry)


@pytest.mark.parametrize(
    ("language", "said", "digits"),
    [
        ("es-ES", "seiscientos doce veintitrés", "61223"),
        ("fr-FR", "soixante-douze quatre-vingt-dix", "7290"),
        ("de-DE", "vierundzwanzig dreißig", "2430"),
    ],
)
def test_numbers_are_read_as_each_language_says_them(language: str, said: str, digits: str) -> None:
    assert spoken_digits(said, language, is_sensitive=False).digits == digits


def test_a_range_that_is_no_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="are whole numbers"):
        Collector().narrowed('{"min_digits": "many"}')
