"""An answer that is the last one again is not given to a caller who has gone on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.config import Phrases
from agent.call.history import AgentSaid, CallerSaid, Fact, History, InputMode, Note, SpeechSource
from agent.call.last_answer import content_of, last_answer
from agent.call.sentence_chunker import SentenceChunker
from agent.call.speech_guard import GuardRules, SpeechGuard, Verdict, verdict_of
from tests.call import builders as it

SOUP = "We have a tomato soup for lunch today. Would you like to try it?"
SALAD = "There is a harvest salad with apples as well. Shall I add one?"
ASKED = CallerSaid("what is for lunch")
GONE_ON = CallerSaid("and how much does it cost")


def guard(*, is_strict: bool = False) -> SpeechGuard:
    return SpeechGuard(GuardRules("en-US", is_strict=is_strict, last_answer=SOUP))


def said(judge: SpeechGuard, text: str) -> str:
    """What is said of a text that comes word by word through the chunker."""
    chunker = SentenceChunker("en-US")
    pieces = [judge.feed(chunker.feed(f"{word} ")) for word in text.split(" ")]
    return "".join([*pieces, judge.finish(chunker.finish())]).rstrip()


def spoken(call: it.Call) -> list[str]:
    return [one.text.rstrip() for one in call.world.utterances]


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (SOUP, ""),
        ("we have tomato soup for lunch today! Would you like to try it", ""),
        (f"Okay. {SOUP}", "Okay."),
    ],
)
def test_the_last_answer_is_not_said_again(text: str, passed: str, *, is_strict: bool) -> None:
    judge = guard(is_strict=is_strict)

    assert said(judge, text) == passed
    assert judge.verdict is Verdict.REPETITION
    assert not judge.is_end
    assert verdict_of(Note(judge.note)) is Verdict.REPETITION


@given(
    begins=st.integers(0, len(SOUP)),
    ends=st.sampled_from(["", " No.", " It costs 8 dollars.", f" {SALAD}", "pepper. "]),
)
def test_an_answer_with_anything_else_in_it_is_said_whole(begins: int, ends: str) -> None:
    judge, text = guard(), SOUP[:begins] + ends
    is_same = content_of(text, "en-US") == content_of(SOUP, "en-US")

    assert said(judge, text) == ("" if is_same else " ".join(text.split()))
    assert judge.verdict is (Verdict.REPETITION if is_same else None)


@given(text=st.text(), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_nothing_of_another_answer_is_lost(text: str, cuts: list[int]) -> None:
    judge = guard()
    ends = sorted(min(cut, len(text)) for cut in cuts)
    pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]

    passed = "".join(map(judge.feed, pieces)) + judge.finish("")

    assert judge.verdict is not None or passed.rstrip() == text.rstrip()


@pytest.mark.parametrize(
    "facts",
    [
        (ASKED, AgentSaid(SOUP), GONE_ON),
        (AgentSaid(SOUP), GONE_ON),
        (ASKED, AgentSaid("We have a tomato soup for lunch. "), AgentSaid("Would you?"), GONE_ON),
    ],
)
def test_a_caller_who_has_gone_on_wants_another_answer(facts: tuple[Fact, ...]) -> None:
    assert last_answer(History(facts), "en-US") != ""


@pytest.mark.parametrize(
    "facts",
    [
        (),
        (GONE_ON,),
        (ASKED, AgentSaid(SOUP)),
        (ASKED, AgentSaid(SOUP), ASKED),
        (ASKED, AgentSaid(SOUP), CallerSaid("What is for lunch?")),
        (ASKED, AgentSaid(SOUP), CallerSaid("sorry, could you repeat that")),
        (ASKED, AgentSaid(SOUP), CallerSaid("hm, what was that?")),
        (ASKED, AgentSaid(SOUP), CallerSaid("What?")),
        (ASKED, AgentSaid(SOUP), CallerSaid("hold on")),
        (ASKED, AgentSaid(SOUP), CallerSaid("2", InputMode.KEYPAD)),
        (ASKED, AgentSaid("We have a tomato soup", is_cut=True), GONE_ON),
        (ASKED, AgentSaid(SOUP), AgentSaid("Are you there?", SpeechSource.SERVICE), GONE_ON),
        (AgentSaid(SOUP, SpeechSource.GREETING), GONE_ON),
        (ASKED, AgentSaid(SOUP), GONE_ON, Note("The line broke off.")),
        (ASKED, AgentSaid("What size would you like?"), GONE_ON),
        (ASKED, AgentSaid("Sure. Is there anything else I can do for you?"), GONE_ON),
    ],
)
def test_a_repeat_may_be_wanted(facts: tuple[Fact, ...]) -> None:
    assert last_answer(History(facts), "en-US") == ""


@pytest.mark.parametrize(
    ("language", "said_then", "is_wanted"),
    [
        ("es-US", "¿cómo?", True), ("es-US", "¿cómo se prepara?", False),
        ("de-DE", "Was?", True), ("de-DE", "was kostet das", False),
        ("fr-FR", "comment ?", True), ("fr-FR", "comment est-elle faite", False),
        ("ja-JP", "いくらですか", True),
    ],
)  # fmt: skip
def test_a_repeat_is_asked_for_in_each_language(
    language: str, said_then: str, *, is_wanted: bool
) -> None:
    facts = (
        ASKED,
        AgentSaid("Tomato soup, garden salad, apple pie, lemon tea"),
        CallerSaid(said_then),
    )

    assert (last_answer(History(facts), language) == "") is is_wanted


def test_the_same_answer_is_asked_for_again_and_then_another_one_is_said() -> None:
    call = it.answered(SOUP)
    call.happens(it.agent_off(), it.spoke("And how much does it cost?"))

    again = call.happens(it.delta(2, SOUP), it.finished(2))
    call.happens(it.delta(3, "It is the soup of the day."), it.finished(3))

    assert "The caller has gone on since" in str(it.question(again).messages[-1])
    assert spoken(call) == [SOUP, "It is the soup of the day."]


def test_a_model_that_says_it_a_third_time_is_replaced() -> None:
    call = it.answered(SOUP)
    call.happens(it.agent_off(), it.spoke("And how much does it cost?"))

    call.happens(it.delta(2, SOUP), it.finished(2), it.delta(3, SOUP), it.finished(3))

    assert spoken(call) == [SOUP, Phrases().not_understood]


def test_a_caller_who_asks_for_it_hears_it_again() -> None:
    call = it.answered(SOUP)
    call.happens(it.agent_off(), it.spoke("Could you repeat that, please?"))

    call.happens(it.delta(2, SOUP), it.finished(2))

    assert spoken(call) == [SOUP, SOUP]


def test_a_read_back_after_a_correction_is_said() -> None:
    first = "So that is one large pepperoni pizza for pickup at seven. Is that right?"
    other = "So that is one large pepperoni pizza for pickup at eight. Is that right?"
    call = it.answered(first)
    call.happens(it.agent_off(), it.spoke("No, at eight please."))

    call.happens(it.delta(2, other), it.finished(2))

    assert spoken(call) == [first, other]


def test_an_answer_that_a_tool_has_looked_up_again_is_said() -> None:
    none = "I am sorry, nothing is free on that day. Which other day suits you?"
    call = it.answered(none)
    call.happens(it.agent_off(), it.spoke("Friday then."))

    call.happens(it.finished(2, it.wants("look_up")), it.done(1), it.delta(3, none), it.finished(3))

    assert spoken(call) == [none, none]
