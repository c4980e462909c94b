"""Tokens in, words out: what a voice may be given."""

# ruff: noqa: RUF001 (full-width marks and typography are what is tested)

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.sentence_chunker import MAXIMUM_PIECE, SentenceChunker, clean_word

FRAGMENTS = st.sampled_from([
    "One ", "large", "pizza, ", "for $24.50 ", "at 7:30 p.m. ", "Dr. ", "mail a_b@x.io ", "e.g. ",
    "<thinking>", "</thinking>", "<think>", "</think>", "<b>", "</b>", "<", ">", "< 5 ", "\n",
    "\n- ", "# ", "```", "[menu](https://x.io/9) ", "https://www.example.com/a?b=1 ", "_so_ ",
    "~ ", "* ", "10 ", "-> ", "&amp; ", "℃ ", "|---| ", "<a@x.io> ",
    '(https://x.io "a b") ', "م\u200cی ",
    "你好。", "三个，", "**bold** ", "😀", " ", "  ", "& ", "...", "! ", "? ", "555 0100", "3️⃣ ",
])  # fmt: skip
REPLIES = st.lists(FRAGMENTS, max_size=30).map("".join) | st.text(max_size=60)


def say(*chunks: str, is_cut_short: bool = False) -> list[str]:
    """The pieces a reply of these chunks gives, none of them empty."""
    speech = SentenceChunker()
    pieces = [speech.feed(chunk) for chunk in chunks]
    return [piece for piece in [*pieces, speech.finish(is_cut_short=is_cut_short)] if piece]


def whole(*chunks: str, is_cut_short: bool = False) -> str:
    return "".join(say(*chunks, is_cut_short=is_cut_short))


@st.composite
def cut_replies(draw: st.DrawFn) -> list[str]:
    """A reply in chunks, as a provider happens to cut it."""
    text = draw(REPLIES)
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@given(chunks=cut_replies(), is_cut_short=st.booleans())
def test_what_is_said_does_not_depend_on_how_the_tokens_were_cut(
    chunks: list[str], is_cut_short: bool
) -> None:
    at_once = whole("".join(chunks), is_cut_short=is_cut_short)

    assert whole(*chunks, is_cut_short=is_cut_short) == at_once
    assert whole(*"".join(chunks), is_cut_short=is_cut_short) == at_once


@given(chunks=cut_replies())
def test_flushing_changes_the_pieces_and_not_the_words(chunks: list[str]) -> None:
    speech = SentenceChunker()

    pieces = [speech.feed(chunk) + speech.flush() for chunk in chunks]

    assert "".join([*pieces, speech.finish()]).rstrip() == whole("".join(chunks)).rstrip()


@given(text=st.text(alphabet="ab1290 .,:;!?$%*_#~`|'\"()\n-+=/@", max_size=80))
def test_no_digit_is_lost(text: str) -> None:
    assert re.sub(r"\D", "", whole(text)) == re.sub(r"\D", "", text)


@given(word=st.text(alphabet="abzAZ019.,;:!?'\"$%+()-", max_size=30))
def test_a_word_without_marks_is_read_like_one_with_a_mark_that_is_left_out(word: str) -> None:
    assert clean_word(word) == clean_word(f"{word}`") == word


@given(
    numbers=st.lists(st.integers(0, 99).map(str), min_size=2, max_size=4),
    mark=st.text(alphabet="*`~|[]{}\\^", min_size=1, max_size=3),
)
def test_two_numbers_are_never_read_as_one(numbers: list[str], mark: str) -> None:
    assert re.findall(r"\d+", whole(mark.join(numbers))) == numbers


@given(
    before=st.sampled_from(["", "Sure. "]),
    name=st.sampled_from(["thinking", "think", "reasoning", "scratchpad", "reflection", "THINK"]),
    hidden=st.lists(st.sampled_from(["secret ", "\n", "<b>", "1 < 2 ", "secret."])).map("".join),
    is_closed=st.booleans(),
    size=st.integers(1, 9),
)
def test_thinking_is_never_spoken(
    before: str, name: str, hidden: str, is_closed: bool, size: int
) -> None:
    text = f"{before}<{name}>{hidden}" + (f"</{name}> Done." if is_closed else "")

    said = whole(*(text[at : at + size] for at in range(0, len(text), size)))

    assert said.rstrip() == (before + ("Done." if is_closed else "")).strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<thinking>a<thinking>b</thinking>c</thinking>Yes.", "Yes."),
        ("<thinking>a<think>b</think>c</thinking>Yes.", "Yes."),
        ("<thinking>a</think>b</thinking>Yes.", "Yes."),
        ("Yes.</thinking> No.", "Yes. No."),
        ("</thinking><thinking>a</thinking>Yes.", "Yes."),
        ("<thinking/>Yes.", "Yes."),
        ("<speak>Yes.</speak>", "Yes."),
        ("<thinking>{`f</thinking>Yes.", "Yes."),
        ('<a href="x y">Yes</a> <br/>', "Yes"),
        ("It is < 5 and > 3", "It is less than 5 and greater than 3"),
        ("<" + "a " * 60, " ".join(["less than a", *["a"] * 59])),
    ],
)
def test_tags_are_not_spoken(text: str, said: str) -> None:
    assert whole(text).rstrip() == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Two** _large_ `pizzas`", "Two large pizzas"),
        ("# Menu\n- pizza\n- salad", "Menu pizza salad"),
        ("1. pizza\n2. salad", "1. pizza 2. salad"),
        ("---\nYes\n```json\nNo\n```", "Yes No"),
        ("5 - 3", "5 - 3"),
        ("[the menu](https://x.io/a) is", "the menu is"),
        ("See https://www.example.com/a?b=1 now", "See example.com now"),
        ("Pizza & salad", "Pizza and salad"),
        ("Great 😀 choice 👍🏽!", "Great choice !"),
        ("21°C in snake_case_name", "21°C in snake_case_name"),
        ("a\u200bb 3\ufe0f\u20e3", "ab 3"),
        ("```3 pizzas", "3 pizzas"),
        ("In 10~15 minutes, $10~$15, 5%~9%", "In 10-15 minutes, $10-$15, 5%-9%"),
        ("5*3 and 1|2", "5\u00d73 and 1 2"),
        ("A small $10<br>A large $20<br/>30 cm", "A small $10 A large $20 30 cm"),
        ("See https://x.io/a?b=1. Then call.", "See x.io. Then call."),
    ],
)
def test_marks_for_readers_are_left_out(text: str, said: str) -> None:
    assert whole(text) == said


def test_the_first_word_goes_out_at_once_then_clauses() -> None:
    pieces = say(
        *"Sure, we have three kinds of pizza today, and two salads. Which one do you want?"
    )

    assert pieces == [
        "Sure, ",
        "we have three kinds of pizza today, ",
        "and two salads. Which one do you want?",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "please write to anna.maria@example.com today",
        "that will be exactly 24.50 dollars today",
        "we open tomorrow morning at 7:30 a.m. today",
        "your doctor this morning is Dr. Smith today",
        "bring things such as these, e.g. Salad today",
        "you are talking to J. R. Smith from today",
    ],
)
def test_a_piece_does_not_end_inside_a_number_or_an_abbreviation(sentence: str) -> None:
    pieces = say("So ", *f"{sentence} on. Bye")

    assert all(not piece.rstrip().endswith(("Dr.", "e.g.", "J.", "R.", "a.m.")) for piece in pieces)
    assert "".join(pieces) == f"So {sentence} on. Bye"
    assert not any(re.search(r"[@:]$|\d\.$", piece.rstrip()) for piece in pieces)


def test_a_text_without_marks_is_given_out_in_bounded_pieces() -> None:
    pieces = say(*("word " * 80))

    assert len(pieces) == 4
    assert all(len(piece) <= MAXIMUM_PIECE + 5 for piece in pieces)


def test_languages_without_spaces_have_their_own_marks() -> None:
    pieces = say(*"好的。我们今天有三种比萨，一共二十四点五元，还有两种沙拉可以选择。您要哪一种？")

    assert pieces[0] == "好的。"
    assert len(pieces) > 2
    assert "".join(pieces) == (
        "好的。我们今天有三种比萨，一共二十四点五元，还有两种沙拉可以选择。您要哪一种？"
    )


def test_a_line_end_is_a_clause_end() -> None:
    assert say("Here: ", "one large pizza with ham\n", "two") == [
        "Here: ",
        "one large pizza with ham ",
        "two",
    ]


def test_ready_words_can_be_flushed() -> None:
    speech = SentenceChunker()
    speech.feed("Sure, two large piz")

    was_pending = speech.is_pending
    piece = speech.flush()

    assert (was_pending, piece, speech.is_pending) == (True, "two large ", False)
    assert speech.finish() == "piz"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("We have pizza. It is good. And it com", "We have pizza. It is good. "),
        ("Sure, we have many kinds of piz", "Sure, "),
        ("Certainl", "Certainl"),
        ("Ask Dr. Smi", "Ask "),
        ("", ""),
    ],
)
def test_a_reply_that_was_cut_short_ends_with_a_sentence(text: str, said: str) -> None:
    assert whole(text, is_cut_short=True) == said


def test_a_word_is_cleaned_by_itself() -> None:
    assert clean_word("**$24.50**") == "$24.50"
    assert clean_word("©") == "©"
    assert clean_word("😀") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Write to <ada@example.com> or <mailto:b@x.io>.", "Write to ada@example.com or b@x.io."),
        ("See <https://www.example.com/a?b=1>, <https://x.io>", "See example.com, x.io"),
        ("[the menu](https://x.io/a_(b)) is", "the menu is"),
        ('[the menu](https://x.io "Our menu") is', "the menu is"),
        ("![Our menu](https://x.io/a.png) ok", "Our menu ok"),
        ("It is 25℃, 77℉, 5㎏, 20㎡ and №7", "It is 25°C, 77°F, 5kg, 20m² and number 7"),
        ("20 m², ½ of it™, ① pizza ②salad, ﬁne", "20 m², ½ of it™, 1 pizza 2 salad, fine"),
        ("می\u200cخواهم کتاب\u200cها", "می\u200cخواهم کتاب\u200cها"),
        ("क्\u200dष ശ്രീ\u200d", "क्\u200dष ശ്രീ\u200d"),
        ("a\u200db \u2764\ufe0f\u200d\U0001f525 ok", "ab ok"),
        ("In 10 ~ 15 minutes, $10 ~ $15, 5% ~ 9%", "In 10 - 15 minutes, $10 - $15, 5% - 9%"),
        ("That is 2 * $10 and 3 * 4", "That is 2 \u00d7 $10 and 3 \u00d7 4"),
        ("a * b ~ c 5", "a b c 5"),
        ("Small -> Large, 10 → 12, a=>b, x --> y", "Small – Large, 10 – 12, a – b, x – y"),
        (
            "Fish &amp; chips, 3 &lt; 5&nbsp;kg, &quot;so&quot;",
            'Fish and chips, 3 less than 5 kg, "so"',
        ),
        ("AT&T &unknown; &#65;&#x42;", "AT and T and unknown; AB"),
        ("x <= 5 and y >= 3", "x less than or equal to 5 and y greater than or equal to 3"),
        ("| Size | Price |\n|:---|---:|\n| Large | $10 |", "Size Price Large $10"),
        ("|Size|Price|\n|--|:-:|\n|Large|$10|", "Size Price Large $10"),
        ("## Menu ##\n***\n* * *\n- - -\n___\nYes\n====", "Menu Yes"),
        ("So: ```json\n5\n```\n~~~py\n6", "So: 5 6"),
        ("- [ ] pizza\n- [x] salad\n→ soup\n> - bread", "pizza salad soup bread"),
        ("\u202eabc\u202c \u2066d\u2069\u200e \u0007e\u0085f\x9b", "abc d e f"),
    ],
)
def test_what_readers_see_is_said_as_it_is_meant(text: str, said: str) -> None:
    assert whole(text).rstrip() == whole(*text).rstrip() == said


@pytest.mark.parametrize("language", ["es-ES", "de", "multi", "ja-JP"])
def test_no_english_word_is_put_into_another_language(language: str) -> None:
    speech = SentenceChunker(language)

    assert speech.feed("Café & té, 3 < 5 <= 6 > 2 ") + speech.finish() == (
        "Café & té, 3 < 5 <= 6 > 2"
    )


def test_words_in_other_letters_are_not_english() -> None:
    assert whole("比萨&沙拉 和 пицца & салат") == "比萨&沙拉 和 пицца & салат"
    assert whole("Pizza & salad") == "Pizza and salad"
    assert whole("пицца and salad & more") == "пицца and salad and more"


@given(chunks=cut_replies(), language=st.sampled_from(["", "es"]))
def test_no_split_changes_what_is_said_in_any_language(chunks: list[str], language: str) -> None:
    at_once, cut = SentenceChunker(language), SentenceChunker(language)

    words = at_once.feed("".join(chunks)) + at_once.finish()

    assert "".join([*map(cut.feed, chunks), cut.finish()]) == words


def test_a_word_without_end_is_said_in_parts() -> None:
    assert whole(*["ab" * 50] * 30) == "ab" * 1_500


@pytest.mark.parametrize(
    ("tokens", "pieces"),
    [
        (["... ", "Well, ", "yes."], ["", "... Well, ", "", "yes."]),
        (["— ", "— "], ["", "", ""]),
        (["?!"], ["", ""]),
        (["… ", "? ", "7"], ["", "", "", "… ? 7"]),
        (["Yes. ", "— ", "No."], ["Yes. ", "", "", "— No."]),
    ],
)
def test_marks_wait_for_the_first_letter_or_digit(tokens: list[str], pieces: list[str]) -> None:
    speech = SentenceChunker()

    assert [*map(speech.feed, tokens), speech.finish()] == pieces


def test_marks_alone_are_never_ready() -> None:
    speech = SentenceChunker()
    speech.feed("... Well I")

    assert speech.finish(is_cut_short=True) == ""

    speech = SentenceChunker()
    fed = speech.feed("... ")
    state = (fed, speech.is_pending, speech.flush())

    assert state == ("", False, "")
    assert speech.finish(is_cut_short=True) == ""


def test_sentences_without_spaces_in_one_chunk_are_several() -> None:
    assert say("你好。再见。") == ["你好。", "再见。"]
