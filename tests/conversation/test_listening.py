"""What a caller's words are before they are a turn."""

from __future__ import annotations

import pytest

from agent.conversation.listening import asks, has_words, is_acknowledgement, is_unfinished


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Two.", True), ("7", True), ("好", True), ("", False), (" \n", False), ("?! ...", False)],
)
def test_marks_alone_are_no_words(text: str, *, expected: bool) -> None:
    """Practice section 3: punctuation is not a turn."""
    assert has_words(text) is expected


@pytest.mark.parametrize("text", ["Okay.", "uh-huh", "Mm-hm", "YES!", "all right", "Yeah, yeah."])
def test_a_nod_says_only_go_on(text: str) -> None:
    """Practice section 4.2: the whole utterance matches, whatever its marks."""
    assert is_acknowledgement(text)


@pytest.mark.parametrize(
    "text", ["stop", "no", "wait", "actually", "okay stop", "yes but no onions", "", "..."]
)
def test_anything_more_is_no_nod(text: str) -> None:
    """Practice section 4.2: these always interrupt."""
    assert not is_acknowledgement(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Shall I order it?", True),
        ('Did you say "two?"', True),
        ("Shall I? ", True),
        ("Shall I? Fine.", False),
        ("ご注文は以上でしょうか？", True),  # noqa: RUF001 (Japanese)
        ("هل هذا كل شيء؟", True),
        ("", False),
    ],
)
def test_only_the_last_sentence_asks(text: str, *, expected: bool) -> None:
    """A question in the middle has been passed over."""
    assert asks(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I would like a", True),
        ("Two pizzas and...", False),
        ("Two pizzas AND", True),
        ("and-", True),
        ("and…", True),
        ("My number is", True),
        ("um,", True),
        ("I want to.", False),
        ("Two pizzas please", False),
        ("", False),
    ],
)
def test_words_that_break_off_are_unfinished(text: str, *, expected: bool) -> None:
    """Practice section 4.4; a full stop is an end."""
    assert is_unfinished(text) is expected
