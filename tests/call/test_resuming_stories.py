"""Calls that go on after their line was lost, read event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import (
    Action,
    EndCall,
    Handoff,
    HangUp,
    Record,
    RunTool,
    StartReply,
    SwitchLanguage,
)
from agent.call.config import CallConfig, Limits, Phrases
from agent.call.conversation import Conversation
from agent.call.history import (
    CALLER_WAITS,
    STILL_RUNNING,
    AgentSaid,
    CallerBegan,
    CallerSaid,
    Fact,
    History,
    Note,
    SpeechSource,
    ToolUsed,
)
from agent.call.messages import ToolCall, ToolResult
from agent.call.resumption import BROKEN_OFF, FirstWords, ResumeCause, Resumption, first_words
from agent.call.timers import StartTimer, Timer
from agent.call.tool_calls import CANCELLED, error_content
from tests.call import builders as it
from tests.call.world import MARK, ORDER

PHRASES = Phrases()


def resumed(*facts: Fact, config: CallConfig = it.HELLO) -> tuple[Conversation, list[Action]]:
    """A call that goes on from these facts, and its first actions."""
    conversation = Conversation(config, Resumption(facts, ResumeCause.LOST))
    return conversation, conversation.receive(ev.CallStarted())


def test_words_that_were_not_answered_are_answered() -> None:
    call = it.thinking("Two pizzas please.")

    actions = call.resumes()

    assert it.spoken(actions) == [PHRASES.resumed]
    (asked,) = [action for action in actions if isinstance(action, StartReply)]
    assert asked.messages == (
        it.caller("[The call begins.]"),
        it.agent("Hello."),
        it.caller("Two pizzas please."),
        it.agent(PHRASES.resumed),
        it.caller(CALLER_WAITS),
    )


def test_a_sentence_that_broke_off_is_taken_up_by_the_model() -> None:
    call = it.speaking("We have three kinds, ")

    actions = call.resumes()

    assert it.spoken(actions) == [PHRASES.resumed]
    assert call.facts[-1] == Note(BROKEN_OFF)
    assert [action.reply for action in actions if isinstance(action, StartReply)] == [1]


def test_a_call_that_was_handed_over_in_a_quiet_moment_goes_on_without_a_model() -> None:
    call = it.answered("Which size?")

    actions = call.resumes(ResumeCause.HANDED_OVER)

    assert it.spoken(actions) == [PHRASES.resumed_quiet]
    assert call.running == {Timer.DURATION, Timer.PLAYBACK}


def test_a_caller_who_was_cut_off_is_asked_for_the_last_words() -> None:
    call = it.listening()
    call.happens(it.caller_on())
    began = call.world.actions
    call.happens(it.partial("I would like"))
    again = call.world.actions

    actions = call.resumes()

    assert Record(1, CallerBegan()) in began
    assert Record(1, CallerBegan()) not in again
    assert it.spoken(actions) == [PHRASES.resumed_unheard]
    assert call.running == {Timer.DURATION, Timer.PLAYBACK}


SPEAKS = (it.spoke("Kinds?"), it.delta(1, "We have three kinds, "))


@pytest.mark.parametrize(
    ("steps", "cause", "said"),
    [
        ((*SPEAKS, it.interrupted("We have")), ResumeCause.LOST, PHRASES.resumed_unheard),
        ((it.pressed("5"), it.pressed("7")), ResumeCause.LOST, PHRASES.resumed_unheard),
        ((it.caller_on(), it.spoke("Two.")), ResumeCause.LOST, PHRASES.resumed),
        ((it.spoke("Two."),), ResumeCause.NOBODY, PHRASES.nobody_free),
    ],
    ids=["broke in", "was typing", "the words have come", "no person has taken the call"],
)
def test_the_first_words_are_those_of_what_was_lost(
    steps: tuple[it.Step, ...], cause: ResumeCause, said: str
) -> None:
    call = it.listening()
    call.happens(*steps)

    assert it.spoken(call.resumes(cause)) == [said]


def test_a_line_that_came_back_by_itself_is_passed_over_after_a_question() -> None:
    call = it.answered("Which size?")

    actions = call.resumes(ResumeCause.RECONNECTED)

    assert it.spoken(actions) == []
    assert it.starts(Timer.PLAYBACK, 1_000) in actions
    assert call.fires(Timer.PLAYBACK) == [it.starts(Timer.IDLE, 8_000)]


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (AgentSaid("We have three kinds,"), FirstWords("", BROKEN_OFF, True)),
        (AgentSaid("We have three kinds."), FirstWords("", BROKEN_OFF, True)),
        (AgentSaid('You mean "no"? '), FirstWords()),
        (CallerSaid("Two."), FirstWords(asks_model=True)),
        (Note("The order is in."), FirstWords(asks_model=True)),
    ],
)
def test_after_a_reconnection_only_a_question_is_known_to_be_all(
    last: AgentSaid | CallerSaid | Note, words: FirstWords
) -> None:
    assert first_words(Resumption([last], ResumeCause.RECONNECTED), PHRASES, "Hello.") == words


def test_speech_of_which_nothing_was_heard_is_no_last_word() -> None:
    facts: list[Fact] = [CallerSaid("Two."), AgentSaid("", is_cut=True)]

    assert first_words(Resumption(facts, ResumeCause.HANDED_OVER), PHRASES, "").asks_model


def test_a_call_of_which_nothing_is_known_is_greeted() -> None:
    _, actions = resumed()

    assert it.spoken(actions) == ["Hello."]


@pytest.mark.parametrize(
    ("end", "sentence", "code"),
    [
        (Handoff("wish", "wants a person"), PHRASES.transfer, "live-agent-handoff"),
        (HangUp(), PHRASES.goodbye, "goodbye"),
    ],
)
def test_an_end_that_was_announced_follows_when_the_line_is_back(
    end: Handoff | HangUp, sentence: str, code: str
) -> None:
    """The caller may not have heard of it, and the model believes that it has come."""
    facts: list[Fact] = [CallerSaid("That is all."), AgentSaid("Of course.")]
    conversation = Conversation(it.HELLO, Resumption(facts, ResumeCause.LOST, end=end))

    actions = conversation.receive(ev.CallStarted())
    ended = conversation.receive(it.agent_off())

    assert it.spoken(actions) == [sentence]
    assert not [action for action in actions if isinstance(action, StartReply)]
    assert [code in action.handoff for action in ended if isinstance(action, EndCall)] == [True]


def test_where_the_model_speaks_first_it_does() -> None:
    _, actions = resumed(config=replace(it.HELLO, greeting=""))

    assert [action.reply for action in actions if isinstance(action, StartReply)] == [1]


def test_an_order_that_was_being_placed_is_asked_for_again() -> None:
    call = it.using("order", '{"a":1}')

    actions = call.resumes()
    result = call.happens(it.done(1, '{"placed":true}'))

    assert RunTool(ToolCall("tool00001", "order", '{"a":1}'), is_lasting=True) in actions
    assert it.spoken(actions) == [PHRASES.resumed]
    assert Timer.FILLER in call.running
    assert [action.reply for action in result if isinstance(action, StartReply)] == [2]


def test_an_order_the_caller_no_longer_waits_for_is_news() -> None:
    call = it.using("order")
    call.happens(it.spoke("And a drink?"), it.delta(2, "Sure, which?"), it.finished(2))

    actions = call.resumes()
    call.happens(it.delta(2, "Which drink?"), it.finished(2), it.done(1))

    assert RunTool(ToolCall("tool00001", "order", "{}"), is_lasting=True) in actions
    assert any(isinstance(fact, Note) and "order" in fact.text for fact in call.facts)


def test_a_run_of_an_earlier_reply_is_waited_for_if_the_caller_said_nothing_since() -> None:
    """A key that was pressed and not used leaves nothing behind; nobody waits in silence."""
    facts: list[Fact] = [
        CallerSaid("Mark it."),
        ToolUsed(1, it.use(1, "mark")),
        ToolUsed(2, it.use(2, "look_up"), it.result(2)),
        AgentSaid("Goodbye.", SpeechSource.SERVICE),
    ]

    conversation, actions = resumed(*facts, config=replace(it.HELLO, tools={"mark": MARK}))
    result = conversation.receive(it.done(1))

    assert RunTool(it.use(1, "mark"), is_lasting=True) in actions
    assert Timer.FILLER in {one.timer for one in actions if isinstance(one, StartTimer)}
    assert [one.reply for one in result if isinstance(one, StartReply)] == [3]


def test_a_look_the_caller_waits_for_is_taken_again() -> None:
    call = it.using("look_up")

    assert RunTool(ToolCall("tool00001", "look_up", "{}")) in call.resumes()


def test_a_tool_without_side_effects_no_turn_waits_for_is_cancelled() -> None:
    open_look = ToolUsed(1, ToolCall("tool00001", "look_up", "{}"))

    conversation, actions = resumed(CallerSaid("Look."), open_look, CallerSaid("Never mind."))

    assert not [action for action in actions if isinstance(action, RunTool)]
    left = ToolResult("tool00001", error_content(CANCELLED), is_error=True)
    assert conversation.history[1] == replace(open_look, result=left)


def test_a_tool_that_is_offered_no_more_is_answered() -> None:
    open_run = ToolUsed(1, ToolCall("tool00001", "gone", "{}"))

    conversation, _ = resumed(CallerSaid("Go."), open_run)

    used = conversation.history.fact(1, ToolUsed)
    assert used.result == ToolResult("tool00001", error_content(CANCELLED), is_error=True)


def test_two_facts_of_one_run_wait_for_one_run() -> None:
    runs = [ToolUsed(1, ToolCall(f"tool0000{n}", "order", '{"a": 1}')) for n in (1, 2)]

    conversation, actions = resumed(CallerSaid("Go."), *runs)
    conversation.receive(it.done(1))

    assert [action for action in actions if isinstance(action, RunTool)] == [
        RunTool(runs[0].call, is_lasting=True)
    ]
    assert [conversation.history.fact(at, ToolUsed).result is None for at in (1, 2)] == [
        False,
        False,
    ]


def test_new_identifiers_and_replies_come_after_those_of_before() -> None:
    call = it.using("look_up")
    call.happens(it.done(1), it.finished(2, it.wants("look_up")))

    call.resumes()
    call.happens(it.done(2))
    call.happens(it.finished(3, it.wants("mark")))

    runs = [fact for fact in call.facts if isinstance(fact, ToolUsed)]
    assert [(run.reply, run.call.id) for run in runs] == [
        (1, "tool00001"),
        (2, "tool00002"),
        (3, "tool00003"),
    ]


def test_a_run_of_something_else_is_not_waited_for() -> None:
    runs = [
        ToolUsed(1, ToolCall("tool00001", "order", '{"a": 1}')),
        ToolUsed(1, ToolCall("tool00002", "order", '{"a": 2}')),
        ToolUsed(1, ToolCall("tool00003", "order", '{"a": 2}')),
    ]

    _, actions = resumed(CallerSaid("Go."), *runs)

    assert [action for action in actions if isinstance(action, RunTool)] == [
        RunTool(run.call, is_lasting=True) for run in runs[:2]
    ]


def test_an_order_two_facts_wait_for_is_news_once() -> None:
    runs = [ToolUsed(1, ToolCall(f"tool0000{n}", "order", "{}")) for n in (1, 2)]
    conversation, _ = resumed(CallerSaid("Go."), *runs, CallerSaid("And a drink."))

    conversation.receive(it.done(1))

    assert len([fact for fact in conversation.history if isinstance(fact, Note)]) == 1


def test_identifiers_of_others_do_not_count() -> None:
    look = ToolUsed(1, ToolCall("old000007", "look_up", "{}"), ToolResult("old000007", "{}"))
    conversation, _ = resumed(look, CallerSaid("Go."))

    actions = conversation.receive(it.finished(2, it.wants("look_up")))

    assert RunTool(ToolCall("tool00001", "look_up", "{}")) in actions


def test_what_may_change_the_world_is_written_down_before_it_begins() -> None:
    call = it.thinking()

    actions = call.happens(it.finished(1, it.wants("mark"), it.wants("order"), it.wants("look_up")))

    lasting = {a.call.name: a.is_lasting for a in actions if isinstance(a, RunTool)}
    assert lasting == {MARK.name: True, ORDER.name: True, "look_up": False}


def test_the_language_is_the_one_the_call_had_switched_to() -> None:
    resumption = Resumption([CallerSaid("Hola.")], ResumeCause.LOST, language="es-US")

    actions = Conversation(it.HELLO, resumption).receive(ev.CallStarted())

    assert SwitchLanguage("es-US") in actions


@pytest.mark.parametrize(("elapsed_ms", "left_ms"), [(600_000, 1_140_000), (9_000_000, 1)])
def test_the_longest_call_is_not_made_longer_by_breaks(elapsed_ms: int, left_ms: int) -> None:
    resumption = Resumption([CallerSaid("Hi.")], ResumeCause.LOST, elapsed_ms=elapsed_ms)
    conversation = Conversation(it.limited(Limits(duration_ms=1_800_000)), resumption)

    actions = conversation.receive(ev.CallStarted())

    started = {a.timer: a.after_ms for a in actions if isinstance(a, StartTimer)}
    assert started[Timer.DURATION] == left_ms


def test_a_resumed_call_is_led_like_any_other() -> None:
    call = it.answered("Which size?")
    call.resumes(ResumeCause.HANDED_OVER)
    call.happens(it.agent_off(), it.spoke("Large."))
    call.happens(it.delta(1, "A large one. Anything else?"), it.finished(1))

    call.happens(it.interrupted("A large one"))

    assert call.facts[-3:] == [
        AgentSaid(PHRASES.resumed_quiet, SpeechSource.SERVICE),
        CallerSaid("Large."),
        AgentSaid("A large one", is_cut=True),
    ]


def test_an_unfinished_run_is_read_as_running() -> None:
    call = it.using("order")
    call.resumes()

    read = [part for message in History(call.facts).messages(32_000) for part in message.parts]

    assert ToolResult("tool00001", STILL_RUNNING) in read
