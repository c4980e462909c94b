"""Commitments, loops and rambling are held back; harmless words pass as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.commitment_sources import Sources
from agent.call.config import Limits
from agent.call.history import CallerSaid, Fact, History, Note, ToolUsed
from agent.call.messages import SideEffect, ToolCall, ToolResult, ToolSpec
from agent.call.sentence_chunker import SentenceChunker
from agent.call.speech_guard import GuardRules, SpeechGuard, Verdict, verdict_of
from agent.call.spoken_values import known_numbers
from tests.call import builders as it

MENU = "Open from 11 AM to 9 PM.\nCheese 11.00, 15.00, 19.00. Soup 8.50. Toppings at 2.00 each."
BOOK = ToolSpec("book", "Books.", "{}", SideEffect.ONCE)
HARMLESS = (
    "Sure, ", "I can help you with that. ", "What would you like to order today, ", "my friend? ",
    "We have pizza, salad, ", "and a lovely soup. ", "Which one would you like? ", "Gladly. ",
)  # fmt: skip


def used(content: str, *, is_error: bool = False) -> ToolUsed:
    call = ToolCall("tool00001", "book", "{}")
    return ToolUsed(1, call, ToolResult(call.id, content, is_error))


def guard(*facts: Fact, language: str = "en-US", longest: int = 0, caller: str = "") -> SpeechGuard:
    sources = Sources(known_numbers(MENU), History(facts))
    return SpeechGuard(GuardRules(language, caller, longest, sources, (BOOK,)))


def said(judge: SpeechGuard, text: str) -> str:
    """What is said of a text that comes word by word through the chunker."""
    chunker = SentenceChunker(judge.rules.language)
    pieces = [judge.feed(chunker.feed(f"{word} ")) for word in text.split(" ")]
    return "".join([*pieces, judge.finish(chunker.finish())]).rstrip()


@given(pieces=st.lists(st.sampled_from(HARMLESS), unique=True, max_size=8))
def test_harmless_words_pass_in_the_same_pieces(pieces: list[str]) -> None:
    judge = guard()

    assert [judge.feed(piece) for piece in pieces] == pieces
    assert judge.verdict is None


@given(text=st.text(), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_nothing_is_said_that_was_not_written(text: str, cuts: list[int]) -> None:
    judge = guard(longest=30)
    ends = sorted(min(cut, len(text)) for cut in cuts)
    pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]

    spoken = "".join(map(judge.feed, pieces)) + judge.finish("")

    assert text.startswith(spoken)
    assert judge.verdict is not None or spoken == text.rstrip() or spoken == text


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("A large cheese pizza is nineteen dollars.", ()),
        ("That is 27.50 in total, so $27.50.", ()),
        ("Three large ones are 57 dollars.", (CallerSaid("three large cheese pizzas"),)),
        ("We are open until 9 PM.", ()),
        ("It will be ready at 7:15 PM.", (used('{"message":"ready at about 7:15 PM"}'),)),
        ("At seven thirty PM, then.", (CallerSaid("a table at seven thirty"),)),
        ("Your table is booked.", (used('{"id":4711}'),)),
        ("Shall I say that it is booked?", ()),
        ("It is not booked yet.", ()),
        ("Once it is booked you get a message.", ()),
        ("The tour is free, and you can book it.", ()),
    ],
)
def test_what_is_known_is_said(text: str, facts: tuple[Fact, ...]) -> None:
    judge = guard(*facts)

    assert said(judge, text) == text
    assert judge.verdict is None


@pytest.mark.parametrize(
    ("text", "facts", "language"),
    [
        ("Great. That is 9 dollars and 99 cents.", (), "en-US"),
        ("Great. It costs $1,250 a month.", (), "en-US"),
        ("Great. It will be ready at 7:15 PM.", (), "en-US"),
        ("Great. Your table is booked.", (), "en-US"),
        ("Great. I have sent you a message.", (used('{"error":"down"}', is_error=True),), "en-US"),
        ("Great. Your name is saved.", (used('{"saved":false}'),), "en-US"),
        ("Great. Son siete euros.", (), "es-US"),
        ("Great. Su mesa está reservada.", (), "es-US"),
        ("Great. Das macht sieben Euro.", (), "de-DE"),
        ("Great. Ihr Tisch ist für Sie reserviert.", (), "de-DE"),
        ("Great. Cela fait sept euros.", (), "fr-FR"),
        ("Great. Votre table est bien réservée.", (), "fr-FR"),
    ],
)
def test_what_nothing_supports_is_held_back(
    text: str, facts: tuple[Fact, ...], language: str
) -> None:
    judge = guard(*facts, language=language)

    spoken = said(judge, f"{text} More of that.")

    assert judge.verdict is Verdict.COMMITMENT
    assert text.startswith(spoken)
    assert not any(map(str.isdigit, spoken))
    assert "book" not in spoken and "sent" not in spoken and "saved" not in spoken
    assert verdict_of(Note(judge.note)) is Verdict.COMMITMENT


def test_a_sentence_of_the_reply_is_not_said_again() -> None:
    judge = guard()

    spoken = said(judge, "We have a very nice soup. We have a very nice soup. We have a very nice")

    assert spoken == "We have a very nice soup."
    assert judge.verdict is Verdict.REPETITION


def test_a_long_answer_ends_with_its_sentence() -> None:
    judge = guard(longest=20)

    spoken = said(judge, "There is a soup and there is a salad. And there is more. And more.")

    assert spoken == "There is a soup and there is a salad."
    assert judge.verdict is Verdict.LENGTH


@pytest.mark.parametrize(
    ("caller", "verdict"),
    [("a pizza please", Verdict.LANGUAGE), ("ich möchte bitte die Karte auf Deutsch", None)],
)
def test_another_language_is_not_spoken_unless_the_caller_speaks_it(
    caller: str, verdict: Verdict | None
) -> None:
    judge = guard(caller=caller)

    said(judge, "Gerne, ich helfe Ihnen. Was möchten Sie bestellen?")

    assert judge.verdict is verdict


GUARDED = it.limited(Limits(guards_commitments=True, longest_reply=60))


def spoken(call: it.Call) -> str:
    return " | ".join(one.text.rstrip() for one in call.world.utterances)


def test_a_commitment_is_asked_for_again_and_then_replaced() -> None:
    call = it.thinking(config=GUARDED)

    call.happens(it.delta(1, "Your order is placed. "))
    again = call.happens(it.finished(1))
    call.happens(it.delta(2, "It is placed, as I said. "), it.finished(2))

    assert "is placed" in str(it.question(again).messages[-1])
    assert spoken(call) == f"Your | {GUARDED.phrases.not_certain}"


def test_a_tool_that_comes_with_a_claim_runs() -> None:
    call = it.thinking(config=GUARDED)

    call.happens(it.delta(1, "Okay. Your order is placed. "), it.finished(1, it.wants("order")))
    call.happens(it.done(1), it.delta(2, "Your order is placed. "), it.finished(2))

    assert spoken(call) == "Okay. | Your order is placed."


def test_a_long_answer_is_cut_with_a_question() -> None:
    call = it.thinking(config=GUARDED)
    rambling = "There is a soup with basil, and there is a salad with apples. And so on. "

    call.happens(it.delta(1, rambling), it.finished(1))

    assert spoken(call) == (
        "There is a soup with basil, and there is a salad with apples. | Shall I go on?"
    )


def test_a_long_answer_that_was_cut_after_a_question_waits_for_the_caller() -> None:
    call = it.thinking(config=GUARDED)
    rambling = "We have a soup with basil and a salad. Would you like the soup? And so on. "

    call.happens(it.delta(1, rambling), it.finished(1))

    assert spoken(call) == "We have a soup with basil and a salad. Would you like the soup?"


def test_prices_of_a_result_add_up_to_a_total() -> None:
    result = '{"tray": 9.25, "delivery": 3.4}'

    assert said(guard(used(result)), "That is $12.65.") == "That is $12.65."


def test_a_number_in_words_of_the_caller_is_known_in_the_language_of_the_call() -> None:
    judge = guard(CallerSaid("Das waren zweitausendvierhundert Euro."), language="de-DE")

    assert said(judge, "Ja, 2400 Euro.") == "Ja, 2400 Euro."
    assert said(guard(language="de-DE"), "Ja, 2400 Euro.") == "Ja,"


@pytest.mark.parametrize(
    ("caller", "session", "text"),
    [
        ("es", "en-US", "Your order is placed."),
        ("en", "es-US", "Su pedido está confirmado."),
        ("de", "en-US", "That is $9000.01."),
    ],
)
def test_a_commitment_in_the_language_of_the_session_is_held_back_too(
    caller: str, session: str, text: str
) -> None:
    """Speech recognition may have reported another language for the caller's words."""
    sources = Sources(known_numbers(MENU), History())
    judge = SpeechGuard(GuardRules(caller, sources=sources, specs=(BOOK,), session=session))

    assert said(judge, text) != text
    assert judge.verdict is Verdict.COMMITMENT


def test_small_prices_do_not_add_up_to_a_large_one() -> None:
    judge = guard()

    assert (said(judge, "That is $9000.01."), judge.verdict) == ("That", Verdict.COMMITMENT)


def test_a_strict_guard_without_sources_says_whole_sentences() -> None:
    judge = SpeechGuard(GuardRules("en-US", is_strict=True))

    assert (judge.feed("Hello "), judge.feed("there. "), judge.verdict) == (
        "",
        "Hello there. ",
        None,
    )


def test_a_result_that_is_no_json_supports_a_claim() -> None:
    assert said(guard(used("Done.")), "It is booked.") == "It is booked."
