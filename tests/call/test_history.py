"""Facts, and what a model may read of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.actions import StartReply
from agent.call.history import (
    CALL_BEGINS,
    CALLER_WAITS,
    CUT_OFF,
    STILL_RUNNING,
    AgentSaid,
    CallerSaid,
    Fact,
    History,
    InputMode,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
    is_turn_border,
)
from agent.call.messages import Message, Role, Text, ToolCall, ToolResult
from tests.call import builders as it
from tests.call.providers import assert_no_provider_refuses
from tests.call.world import assert_acceptable

WORDS = st.sampled_from(["", " ", "yes", " One large pizza. ", "a b c d e f g h i j"])
PLAIN = st.one_of(
    st.builds(CallerSaid, WORDS, st.sampled_from(InputMode)),
    st.builds(AgentSaid, WORDS, st.sampled_from(SpeechSource), st.booleans()),
    st.builds(Note, WORDS),
)
ROUNDS = st.lists(st.booleans(), min_size=1, max_size=3)
"""The calls of one reply: whether each has its result."""


@st.composite
def fact_lists(draw: st.DrawFn) -> list[Fact]:
    """Any facts in any order; only tool runs of one reply stand together."""
    facts: list[Fact] = []
    number = 0
    for reply, part in enumerate(draw(st.lists(PLAIN | ROUNDS, max_size=12))):
        if not isinstance(part, list):
            facts.append(part)
            continue
        for has_result in part:
            number += 1
            answer = it.result(number) if has_result else None
            facts.append(ToolUsed(reply, it.use(number, "look_up"), answer))
    return facts


@given(facts=fact_lists(), limit=st.integers(0, 120))
def test_any_facts_make_a_request_that_every_provider_accepts(
    facts: list[Fact], limit: int
) -> None:
    assert_acceptable(History(facts).messages(limit))


@given(facts=fact_lists(), limit=st.integers(0, 120))
def test_trimming_keeps_the_end_and_starts_at_a_turn_border(facts: list[Fact], limit: int) -> None:
    history = History(facts)

    trimmed = history.messages(limit)

    starts = [
        at
        for at, fact in enumerate(facts)
        if isinstance(fact, CallerSaid) and not (at and isinstance(facts[at - 1], CallerSaid))
    ]
    possible = [History(facts[at:]).messages(10_000) for at in [0, *starts]]
    assert trimmed in possible


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "add", "change", "ask", "sum up", "forget"]), WORDS),
    max_size=8,
)


@given(facts=fact_lists(), changes=CHANGES, limit=st.integers(0, 200))
def test_a_request_does_not_depend_on_those_before(
    facts: list[Fact], changes: list[tuple[str, str]], limit: int
) -> None:
    history, written = History(), list[Fact]()
    for change, words in changes:
        if change == "add" and facts:
            written.append(facts.pop(0))
            history.append(written[-1])
        elif change == "change":
            _change(history, words)
            written[history.first :] = list(history)
        elif change == "sum up" and history.turns:
            written.append(Summary(words, history.turns[-1]))
            history.append(written[-1])
        elif change == "forget":
            history.forget()
        assert history.messages(limit) == History(written).messages(limit)
    afresh = History(written)
    assert (history.turns, history.characters) == (afresh.turns, afresh.characters)
    asked, again = history.messages(limit), history.messages(limit)
    assert all(one is other for one, other in zip(asked, again, strict=True))


def _change(history: History, words: str) -> None:
    """Complete the first tool run, say the caller's last words again, and cut the last speech."""
    for at, used in list(history.tool_runs())[:1]:
        if used.result is None:
            history.complete_tool(at, it.result(at))
    if history.last_said is not None:
        history.rephrase(words)
    for at in range(len(history) - 1, history.first - 1, -1):
        said = history[at]
        if isinstance(said, AgentSaid) and not said.is_cut:
            history.extend_speech(at, words)
            history.cut_speech(at, words)
            break


@given(facts=fact_lists())
def test_a_generous_limit_leaves_every_tool_call_and_result(facts: list[Fact]) -> None:
    messages = History(facts).messages(10_000)

    parts = [part for message in messages for part in message.parts]
    used = [fact for fact in facts if isinstance(fact, ToolUsed)]
    assert [part for part in parts if isinstance(part, ToolCall)] == [one.call for one in used]
    assert [part for part in parts if isinstance(part, ToolResult)] == [
        one.result or ToolResult(one.call.id, STILL_RUNNING) for one in used
    ]


@st.composite
def summarised(draw: st.DrawFn) -> tuple[list[Fact], int]:
    """Any facts and a turn border among them, with a summary of what is before it at the end."""
    facts = draw(fact_lists().filter(lambda facts: bool(borders_of(facts))))
    until = draw(st.sampled_from(borders_of(facts)))
    return [*facts, Summary("Ada is calling.", until)], until


def borders_of(facts: list[Fact]) -> list[int]:
    return [at for at in range(len(facts)) if is_turn_border(facts, at)]


@given(call=summarised(), later=fact_lists(), limit=st.integers(0, 120), is_forgotten=st.booleans())
def test_a_summary_is_read_in_the_place_of_what_it_is_of(
    call: tuple[list[Fact], int], later: list[Fact], limit: int, is_forgotten: bool
) -> None:
    facts, until = call
    new = [fact for fact in later if not isinstance(fact, ToolUsed)]
    history = History(facts)
    if is_forgotten:
        history.forget()
    for fact in new:
        history.append(fact)

    messages = history.messages(limit)
    everything = history.messages(100_000)

    assert_acceptable(messages)
    assert_no_provider_refuses(StartReply(1, messages))
    first = messages[0].parts[0]
    assert isinstance(first, Text)
    assert first.text.startswith("[Summary of the call so far: Ada is calling.]")
    since = [CallerSaid("[Summary of the call so far: Ada is calling.]"), *facts[until:-1], *new]
    assert everything == History(since).messages(100_000)


@given(call=summarised())
def test_what_is_summarised_can_be_forgotten(call: tuple[list[Fact], int]) -> None:
    facts, until = call
    history = History(facts)
    read = history.messages(10_000)

    gone = history.forget()

    assert (gone, list(history)) == (facts[:until], facts[until:])
    assert (history.first, history.summary.until, len(history)) == (until, until, len(facts))
    assert [history[at] for at in range(until, len(facts))] == facts[until:]
    assert history.messages(10_000) == read
    assert history.forget() == []
    assert list(history.tool_runs()) == [
        (at, fact) for at, fact in enumerate(facts) if at >= until and isinstance(fact, ToolUsed)
    ]


def test_the_latest_summary_is_in_force() -> None:
    history = History([*TURNS, Summary("One.", 2), Summary("Two.", 5), CallerSaid("i")])

    said = "[Summary of the call so far: Two.] gggggggggg hhhhhhhhhh i"
    assert history.messages(1_000) == (it.caller(said),)


@pytest.mark.parametrize(("limit", "first"), [(58, "c" * 10), (57, "g" * 10)])
def test_a_summary_takes_room(limit: int, first: str) -> None:
    history = History([*TURNS, Summary("Eight at", 2)])

    text = history.messages(limit)[0].parts[0]

    assert isinstance(text, Text)
    assert text.text.startswith(f"[Summary of the call so far: Eight at] {first}")


@pytest.mark.parametrize("until", [-1, 1, 3, 6, 7, 99])
def test_a_summary_that_ends_nowhere_is_a_mistake(until: int) -> None:
    history = History(TURNS)

    with pytest.raises(ValueError, match=f"^fact 7 is no summary until {until}$"):
        history.append(Summary("One.", until))

    assert len(history) == 7


def test_summarized_facts_that_change_take_no_room() -> None:
    running = ToolUsed(1, it.use(1, "look_up"))
    history = History([CallerSaid("Hi."), running, *TURNS, Summary("One.", 4)])
    before = history.characters

    history.complete_tool(1, it.result(1))

    assert history.characters == before


@pytest.mark.parametrize(
    ("facts", "is_answered"),
    [
        ([], False),
        ([CallerSaid("Hi.")], False),
        ([AgentSaid("Hello.")], True),
        ([CallerSaid("Hi."), AgentSaid("One moment.", SpeechSource.SERVICE)], False),
        ([AgentSaid("One moment.", SpeechSource.SERVICE)], True),
        ([CallerSaid("Hi."), AgentSaid("Hello."), Summary("One.", 0)], True),
        ([CallerSaid("Hi."), Summary("One.", 0)], False),
    ],
)
def test_an_answer_stands_after_words_that_are_not_of_the_service(
    facts: list[Fact], is_answered: bool
) -> None:
    """Unless there are no others."""
    assert History(facts).is_answered is is_answered


def test_a_summary_does_not_reach_less_far_than_the_last_one() -> None:
    history = History([*TURNS, Summary("One.", 5)])

    with pytest.raises(ValueError, match=r"^fact 8 is no summary until 2$"):
        history.append(Summary("Two.", 2))


def test_a_forgotten_fact_is_not_mistaken_for_another() -> None:
    history = History([*TURNS, Summary("One.", 2)])
    history.forget()

    assert history[2] == CallerSaid("c" * 10)
    for position in (1, -1, 8):
        with pytest.raises(IndexError, match=f"^fact {position} is not there$"):
            history.cut_speech(position, "")


def test_the_words_the_caller_has_answered_are_found() -> None:
    said: list[Fact] = [
        AgentSaid("Large?"),
        AgentSaid("One moment.", SpeechSource.SERVICE),
        CallerSaid("Yes."),
    ]

    call = History([CallerSaid("Hi."), *said, AgentSaid("Fine."), CallerSaid("Okay.")])

    answered = [call.answered_before(end) for end in range(len(call) + 1)]

    assert answered == [None, None, None, None, 1, 1, 4]
    assert History([AgentSaid("Fine.")]).answered_before(1) is None


def test_a_call_begins_with_a_word_for_the_caller() -> None:
    assert History([]).messages(100) == (it.caller(CALL_BEGINS),)
    assert History([AgentSaid("Hello.", SpeechSource.GREETING)]).messages(100) == (
        it.caller(CALL_BEGINS),
        it.agent("Hello."),
        it.caller(CALLER_WAITS),
    )


def test_neighbours_of_one_side_are_one_message() -> None:
    history = History(
        [
            CallerSaid("Hi."),
            CallerSaid("5 5", InputMode.KEYPAD),
            Note("The kitchen closes."),
            AgentSaid("One moment. ", SpeechSource.SERVICE),
            AgentSaid("Sure."),
            CallerSaid("Fine."),
        ]
    )

    assert history.messages(1_000) == (
        it.caller("Hi. [The caller pressed on the keypad: 5 5] [The kitchen closes.]"),
        it.agent("One moment. Sure."),
        it.caller("Fine."),
    )


def test_a_cut_is_noted_before_the_callers_next_words_once() -> None:
    history = History(
        [
            CallerSaid("Hi."),
            AgentSaid("We have", is_cut=True),
            AgentSaid("", is_cut=True),
            CallerSaid("What?"),
            AgentSaid("Pizza."),
            CallerSaid("Oh."),
        ]
    )

    assert history.messages(1_000) == (
        it.caller("Hi."),
        it.agent("We have"),
        it.caller(f"{CUT_OFF} What?"),
        it.agent("Pizza."),
        it.caller("Oh."),
    )


def test_calls_of_one_reply_are_answered_together() -> None:
    history = History(
        [
            CallerSaid("Hi."),
            AgentSaid("Let me see. "),
            ToolUsed(1, it.use(1, "look_up"), it.result(1)),
            ToolUsed(1, it.use(2, "order")),
            ToolUsed(2, it.use(3, "look_up"), it.result(3)),
            CallerSaid("And?"),
        ]
    )

    assert history.messages(1_000) == (
        it.caller("Hi."),
        it.agent("Let me see.", it.use(1, "look_up"), it.use(2, "order")),
        it.caller(it.result(1), it.result(2, STILL_RUNNING)),
        it.agent(it.use(3, "look_up")),
        it.caller(it.result(3), "And?"),
    )


TURNS: list[Fact] = [
    CallerSaid("a" * 10),
    AgentSaid("b" * 10),
    CallerSaid("c" * 10),
    ToolUsed(1, it.use(1, "look_up", '{"d":1}'), it.result(1, '{"e":1}')),
    AgentSaid("f" * 6),
    CallerSaid("g" * 10),
    CallerSaid("h" * 10),
]


@pytest.mark.parametrize(
    ("limit", "first"),
    [
        (0, "g" * 10),
        (20, "g" * 10),
        (49, "g" * 10),
        (50, "c" * 10),
        (69, "c" * 10),
        (70, "a" * 10),
    ],
)
def test_the_latest_whole_turns_within_the_limit_are_kept(limit: int, first: str) -> None:
    messages = History(TURNS).messages(limit)

    text = messages[0].parts[0]
    assert isinstance(text, Text)
    assert text.text.startswith(first)


def test_a_call_without_any_turn_is_not_trimmed() -> None:
    history = History([AgentSaid("a" * 50, SpeechSource.GREETING), Note("b" * 50)])

    assert history.messages(10) == (
        it.caller(CALL_BEGINS),
        it.agent("a" * 50),
        it.caller("[" + "b" * 50 + "]"),
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda history: history.extend_speech(0, "more"),
        lambda history: history.cut_speech(0, ""),
        lambda history: history.complete_tool(1, it.result(1)),
        lambda history: history.extend_speech(2, "more"),
        lambda history: history.cut_speech(1, ""),
        lambda history: history.complete_tool(2, it.result(1)),
        lambda history: history.fact(2, AgentSaid),
        lambda history: history.fact(0, ToolUsed),
    ],
)
def test_a_fact_is_completed_once_and_by_what_it_is(change: Callable[[History], object]) -> None:
    history = History(
        [
            AgentSaid("We have", is_cut=True),
            ToolUsed(1, it.use(1, "look_up"), it.result(1)),
            CallerSaid("Hi."),
        ]
    )
    before = list(history)

    with pytest.raises(ValueError, match=r"^fact [012] "):
        change(history)

    assert list(history) == before


def test_last_words_of_the_caller_may_be_heard_anew() -> None:
    history = History([AgentSaid("Hello."), CallerSaid("Two"), CallerSaid("large")])

    positions = [history.rephrase("large pizzas"), history.rephrase("large pizzas, please")]

    assert positions == [2, 2]
    assert list(history)[1:] == [CallerSaid("Two"), CallerSaid("large pizzas, please")]
    assert (history.asked, history.unanswered(0)) == ("Hello.", "Two large pizzas, please")
    assert history.unanswered(2) == "large pizzas, please"


@pytest.mark.parametrize("facts", [[], [CallerSaid("Two"), Note("A note.")]])
def test_words_that_something_followed_stay_as_they_are(facts: list[Fact]) -> None:
    history = History(facts)

    with pytest.raises(ValueError, match="not the caller's words"):
        history.rephrase("Two large")


def test_fillers_are_kept_and_no_model_reads_them() -> None:
    """Not even that one was cut off."""
    history = History([
        CallerSaid("Two pizzas."),
        AgentSaid("One moment, please.", SpeechSource.FILLER),
        AgentSaid("I am still", SpeechSource.FILLER, is_cut=True),
        CallerSaid("Hello?"),
    ])  # fmt: skip

    messages = history.messages(1_000)

    assert messages == (Message(Role.CALLER, (Text("Two pizzas. Hello?"),)),)
    assert len(history) == 4
