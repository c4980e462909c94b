"""How much was heard: both readings of the relay's report, and the estimate without it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.heard_alignment import GOOD_FIT, heard_until, letters

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
    assert SENT[: heard_until(SENT, reported)] == heard


def test_the_latest_passage_that_fits_is_taken() -> None:
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
    sent = "That comes to $24.50 in all."

    assert sent[: heard_until(sent, reported)] == heard


@pytest.mark.parametrize(
    ("reported", "heard"),
    [
        ("Your order is two large pizzas. That comes to $2", "comes to"),
        ("Your order is two large pizzas. That comes to $24", "comes to"),
        ("Your order is two large pizzas. That comes to $24.50", "comes to $24.50"),
    ],
)
def test_a_price_that_was_cut_in_half_was_not_heard(reported: str, heard: str) -> None:
    assert SENT[: heard_until(SENT, reported)].endswith(heard)


def test_a_word_that_was_cut_in_half_was_not_heard() -> None:
    assert SENT[: heard_until(SENT, "Your order is two lar")] == "Your order is two"


def test_a_word_the_engine_left_out_does_no_harm() -> None:
    assert SENT[: heard_until(SENT, "Your order two large")] == "Your order is two large"


def test_a_word_of_the_report_that_was_not_sent_does_no_harm() -> None:
    assert SENT[: heard_until(SENT, "Your order is two huge")] == "Your order is two"


@pytest.mark.parametrize(
    ("after_ms", "heard"),
    [(None, ""), (0, ""), (900, "Your order is"), (1_000, "Your order is"), (60_000, SENT[:-1])],
)
def test_without_a_fit_the_time_decides(after_ms: int | None, heard: str) -> None:
    position = heard_until(SENT, "Bonjour tout le monde", after_ms=after_ms)

    assert SENT[:position] == heard


def test_the_rate_of_the_voice_can_be_set() -> None:
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
    assert sent[: heard_until(sent, reported)] == heard


def test_wide_characters_take_longer_to_read_out() -> None:
    sent = "お電話ありがとうございます"

    assert sent[: heard_until(sent, "Hello", after_ms=1_000)] == "お電話あり"


def test_just_too_few_words_are_not_believed() -> None:
    believed = heard_until("one two three four five six", "one two three x y")
    doubted = heard_until("one two three four five six", "one two x y z")

    assert (believed, doubted) == (len("one two three"), 0)


def test_nothing_sent_is_nothing_heard() -> None:
    assert heard_until("", "Hello") == 0
    assert heard_until("...", "Hello", after_ms=5_000) == 0


@given(sent=TEXTS, reported=TEXTS, after_ms=st.none() | st.integers(0, 10_000))
def test_the_position_lies_in_the_text_at_the_end_of_a_word(
    sent: str, reported: str, after_ms: int | None
) -> None:
    end = heard_until(sent, reported, after_ms=after_ms)

    assert 0 <= end <= len(sent)
    if 0 < end < len(sent):
        assert sent[end - 1].isalnum()
        assert not sent[end].isalnum()


@given(words=WORDS, count=st.integers(0, 25))
def test_every_beginning_that_ends_with_a_word_is_found_exactly(
    words: list[str], count: int
) -> None:
    sent, reported = " ".join(words), " ".join(words[:count])

    end = heard_until(sent, reported)

    assert re.findall(r"\w+", sent[:end]) == re.findall(r"\w+", reported)


@given(words=WORDS)
def test_all_that_was_sent_is_all_that_was_heard(words: list[str]) -> None:
    sent = " ".join(words)

    assert heard_until(sent, sent) == (len(sent) if re.search(r"\w", sent) else 0)


VOCABULARY = [
    *("the", "your", "order", "is", "two", "large", "pizzas", "that", "comes", "to", "in", "all"),
    *("shall", "i", "go", "on", "and", "of", "a", "we", "have", "open", "at", "with", "or", "can"),
    *("you", "please", "thank", "for", "it", "not", "would", "like", "pick", "up", "delivery"),
]
SPELLED = {"24.50": "twenty four dollars fifty", "7": "seven", "415": "four one five"}


@given(dice=st.randoms(use_true_random=True), length=st.sampled_from([3, 10, 30, 80, 150]))
def test_bounded_work_changes_nothing_for_what_relays_report(dice: Random, length: int) -> None:
    sent, reported = _conversation_like(dice, length)

    assert heard_until(sent, reported) == _heard_without_bound(sent, reported)


def _conversation_like(dice: Random, length: int) -> tuple[str, str]:
    """Words of an agent, and what a speech engine could report of them."""
    choices = [*VOCABULARY * 2, *SPELLED]
    words = [dice.choice(choices) for _ in range(length)]
    start = 0 if dice.random() < 0.7 else dice.randrange(length)
    reported: list[str] = []
    for word in words[start : dice.randrange(start, length + 1)]:
        luck = dice.random()
        if word in SPELLED and luck < 0.8:
            reported += SPELLED[word].split()
        elif luck > 0.03:
            reported.append("uh" if luck < 0.05 else word)
    if reported and dice.random() < 0.3:
        reported[-1] = reported[-1][: max(1, len(reported[-1]) // 2)]
    sent = " ".join(word + "." * (dice.random() < 0.1) for word in words)
    return sent, " ".join(reported)


def _heard_without_bound(sent: str, reported: str) -> int:
    """The rule as it is written, for plain words: every passage is aligned as a whole.

    A report that is the beginning of the text, up to half a word, needs no alignment.
    """
    words = [
        (found[0].replace(".", ""), found.end()) for found in re.finditer(r"\w+(\.\w+)*", sent)
    ]
    forms, report = [form for form, _ in words], reported.replace(".", "").split()
    pairs = enumerate(zip(forms, report, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), 0)
    if 0 < same == len(report) - 1 and forms[same].startswith(report[same]):
        return words[same - 1][1]
    later = [at for at, form in enumerate(forms) if at and report and form == report[0]]
    for start in [0, *reversed(later[-16:])] if report else []:
        reach = start + len(report) + max(3, len(report) // 3)
        share, end = _fit(forms[start:reach], report)
        if share >= GOOD_FIT:
            return len(sent) if start + end == len(words) else words[start + end - 1][1]
    return 0


def _fit(sent: Sequence[str], report: Sequence[str]) -> tuple[float, int]:
    """The share of the report that is accounted for, and how many words were heard."""
    blocks = SequenceMatcher(None, sent, report, autojunk=False).get_matching_blocks()[:-1]
    if not blocks:
        return 0.0, 0
    found, end = sum(block.size for block in blocks), blocks[-1].a + blocks[-1].size
    for before, after in pairwise(blocks):
        between = sent[before.a + before.size : after.a]
        if any(character.isdigit() for character in "".join(between)):
            found += after.b - before.b - before.size
    rest = report[blocks[-1].b + blocks[-1].size :]
    if rest and end < len(sent) and any(map(str.isdigit, sent[end])):
        return (found + len(rest)) / len(report), end + 1
    if len(rest) == 1 and end < len(sent) and sent[end].startswith(rest[0]):
        found += 1
    return found / len(report), end


SENTENCE = "You have table {} at seven, and the total is so far 24.50 dollars. "
REPORT = "you have table {} at seven and the total is so far twenty four fifty dollars "


@pytest.mark.parametrize("sentences", [1, 30, 100])
def test_a_long_report_with_numbers_is_found_however_much_repeats(sentences: int) -> None:
    sent = "".join(map(SENTENCE.format, range(sentences))) + "Shall I go on with the next one?"
    reported = "".join(map(REPORT.format, range(sentences))) + "shall i go"

    end = heard_until(sent, reported)

    assert sent[:end].endswith(". Shall I go")


def test_a_long_repetitive_report_is_found_word_by_word() -> None:
    sent = "ha " * 1_500 + "the end"

    assert heard_until(sent, "ha " * 1_400) == len("ha " * 1_400) - 1
    for rest in ("t", "uh"):
        assert sent[: heard_until(sent, "ha " * 1_500 + rest)] == ("ha " * 1_500).rstrip()


def test_a_long_report_that_fits_nowhere_leaves_it_to_the_time() -> None:
    sent = "ha " * 1_500

    end = heard_until(sent, "ha " * 749 + "xx ha " * 750 + "yy", after_ms=2_000)

    assert sent[:end] == ("ha " * 10).rstrip()


def test_an_endless_speech_is_cut_where_its_beginning_was_heard() -> None:
    sent = "one two three " * 20_000

    assert sent[: heard_until(sent, "one two three four")] == "one two three"
    assert heard_until(sent, "four", after_ms=10**9) <= 16_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("Hello.", 6),
        ("Grüße", 5),
        ("ご注文", 9),
        ("主菜 Pizza", 12),
        ("안녕", 6),
        ("สวัสดี", 6),
    ],
)
def test_wide_characters_count_as_several_letters(text: str, expected: int) -> None:
    assert letters(text) == expected
