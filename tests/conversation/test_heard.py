"""How much was heard: both readings of the relay's report, and the estimate without it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.heard import heard_until

SENT = "Your order is two large pizzas. That comes to $24.50 in all. Shall I go on?"
TEXTS = st.text(
    alphabet=st.sampled_from("ab cd.e 1,2 '?!-\n"),
    max_size=60,
)
WORDS = st.lists(
    st.sampled_from(["two", "large", "pizzas.", "the", "The", "it's", "24.50", "at", "7", "--"]),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize(
    ("reported", "heard"),
    [
        ("Your order is two", "Your order is two"),
        ("your ORDER is, two", "Your order is two"),
        (SENT, SENT),
        ("Your order is two large pizzas.", "Your order is two large pizzas"),
        ("", ""),
        ("...", ""),
    ],
)
def test_a_report_is_read_as_the_beginning_of_all_that_was_sent(reported: str, heard: str) -> None:
    """The first reading of `utteranceUntilInterrupt`."""
    assert SENT[: heard_until(SENT, reported)] == heard


@pytest.mark.parametrize(
    ("reported", "heard"),
    [
        ("That comes to", "Your order is two large pizzas. That comes to"),
        ("Shall I", "Your order is two large pizzas. That comes to $24.50 in all. Shall I"),
        ("Shall I go on?", SENT),
    ],
)
def test_a_report_may_begin_with_a_later_message(reported: str, heard: str) -> None:
    """The second reading: only the current message is covered."""
    assert SENT[: heard_until(SENT, reported)] == heard


def test_the_latest_passage_that_fits_is_taken() -> None:
    """Both begin alike; the report is of the message that was playing."""
    sent = "Hello, this is the pizza place. One moment please. Thanks. One moment please."

    assert sent[: heard_until(sent, "One moment")] == sent.removesuffix(" please.")


@pytest.mark.parametrize(
    ("reported", "heard"),
    [
        ("That comes to twenty four dollars fifty in", "That comes to $24.50 in"),
        ("That comes to twenty four", "That comes to $24.50"),
    ],
)
def test_numbers_that_were_spelled_out_are_found(reported: str, heard: str) -> None:
    """A speech engine reports the words it spoke."""
    sent = "That comes to $24.50 in all."

    assert sent[: heard_until(sent, reported)] == heard


def test_a_word_that_was_cut_in_half_was_not_heard() -> None:
    """The position is the end of the word before."""
    assert SENT[: heard_until(SENT, "Your order is two lar")] == "Your order is two"


def test_a_word_the_engine_left_out_does_no_harm() -> None:
    """Practice section 5, rule 2: small mismatches are allowed."""
    assert SENT[: heard_until(SENT, "Your order two large")] == "Your order is two large"


def test_a_word_of_the_report_that_was_not_sent_does_no_harm() -> None:
    """What follows the last word that was found is left out."""
    assert SENT[: heard_until(SENT, "Your order is two huge")] == "Your order is two"


@pytest.mark.parametrize(
    ("after_ms", "heard"),
    [(None, ""), (0, ""), (900, "Your order is"), (1_000, "Your order is"), (60_000, SENT[:-1])],
)
def test_without_a_fit_the_time_decides(after_ms: int | None, heard: str) -> None:
    """Practice section 5, rule 4: 15 characters a second, at a word end, never more than sent."""
    position = heard_until(SENT, "Bonjour tout le monde", after_ms=after_ms)

    assert SENT[:position] == heard


def test_the_rate_of_the_voice_can_be_set() -> None:
    """Tunable per voice."""
    position = heard_until(SENT, "Bonjour", after_ms=1_000, characters_per_second=18)

    assert SENT[:position] == "Your order is two"


@pytest.mark.parametrize(
    ("sent", "reported", "heard"),
    [
        (
            "ピザを二枚ですね。合計は三千円です。",
            "ピザを二枚ですね合計は三",
            "ピザを二枚ですね。合計は三",
        ),
        ("您点了两个大披萨。一共是八十元。", "一共是八", "您点了两个大披萨。一共是八"),
        ("ร้านเปิดถึงสี่ทุ่มค่ะ", "ร้านเปิดถึง", "ร้านเปิดถึง"),
        ("大きいPepperoniを二枚", "大きいpepperoniを", "大きいPepperoniを"),
        ("大きいPepperoniを二枚", "大きいpepper", "大きい"),
    ],
)
def test_writing_without_spaces_is_cut_where_it_was_cut(
    sent: str, reported: str, heard: str
) -> None:
    """There each character stands for itself; a whole clause is no word."""
    assert sent[: heard_until(sent, reported)] == heard


def test_wide_characters_take_longer_to_read_out() -> None:
    """Five of them a second, where a second has fifteen letters."""
    sent = "お電話ありがとうございます"

    assert sent[: heard_until(sent, "Hello", after_ms=1_000)] == "お電話あり"


def test_just_too_few_words_are_not_believed() -> None:
    """Practice section 5, rule 4: fewer than 60 of 100 words."""
    believed = heard_until("one two three four five six", "one two three x y")
    doubted = heard_until("one two three four five six", "one two x y z")

    assert (believed, doubted) == (len("one two three"), 0)


def test_nothing_sent_is_nothing_heard() -> None:
    """An interrupt before the first word."""
    assert heard_until("", "Hello") == 0
    assert heard_until("...", "Hello", after_ms=5_000) == 0


@given(sent=TEXTS, reported=TEXTS, after_ms=st.none() | st.integers(0, 10_000))
def test_the_position_lies_in_the_text_at_the_end_of_a_word(
    sent: str, reported: str, after_ms: int | None
) -> None:
    """History keeps whole words of the agent's own."""
    end = heard_until(sent, reported, after_ms=after_ms)

    assert 0 <= end <= len(sent)
    if 0 < end < len(sent):
        assert sent[end - 1].isalnum()
        assert not sent[end].isalnum()


@given(words=WORDS, count=st.integers(0, 25))
def test_every_beginning_that_ends_with_a_word_is_found_exactly(
    words: list[str], count: int
) -> None:
    """No words, in whatever repetition, lead the alignment astray."""
    sent, reported = " ".join(words), " ".join(words[:count])

    end = heard_until(sent, reported)

    assert re.findall(r"\w+", sent[:end]) == re.findall(r"\w+", reported)


@given(words=WORDS)
def test_all_that_was_sent_is_all_that_was_heard(words: list[str]) -> None:
    """The last mark included, if there was a word."""
    sent = " ".join(words)

    assert heard_until(sent, sent) == (len(sent) if re.search(r"\w", sent) else 0)
