"""The agent's side of a turn: what each step does, and what follows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.call.actions import (
    CancelReply,
    Record,
    RunTool,
    Speak,
    StartReply,
    StartTimer,
    StopTimer,
    Timer,
    ToolOutcome,
)
from agent.call.agent_output import AgentOutput
from agent.call.config import CallConfig, Limits, Phrases
from agent.call.ending import BY_AGENT
from agent.call.history import AgentSaid, CallerSaid, Fact, History, SpeechSource, ToolUsed
from agent.call.messages import Choice, StopReason, ToolCall
from agent.call.timers import TimerSet
from agent.call.tool_calls import ToolCalls
from agent.call.turn import Then, Turn, TurnDecision
from agent.call.turn_taking import FillerPolicy
from tests.call.builders import asks, caller, result, use, wants
from tests.call.world import SPECS

PHRASES = Phrases(
    fillers=("Wait.",),
    apology="Sorry.",
    lost_thread="Where was I?",
    not_understood="Pardon?",
    blocked="Not that.",
    goodbye="Goodbye.",
    trying_again=("Trying.",),
)
LIMITS = Limits(tool_rounds=1, filler_count=2)
BRIEF = CallConfig(tools=SPECS, phrases=PHRASES, limits=LIMITS)
ASKED = caller("Two pizzas.")


class Telephone:
    """A turn and what it works with; the caller has said "Two pizzas."."""

    def __init__(self, brief: CallConfig = BRIEF, *before: Fact) -> None:
        self.clocks = TimerSet()
        history = History([*before, CallerSaid("Two pizzas.")])
        mouth = AgentOutput(history, characters_per_second=10)
        self.tools = ToolCalls(history, brief.tools)
        patience = FillerPolicy(brief.phrases, brief.limits)
        self.turn = Turn(history, mouth, self.tools, patience, self.clocks, brief)

    def finishes(
        self, *calls: ToolCall, stop: StopReason = StopReason.END, is_ending: bool = False
    ) -> TurnDecision:
        return self.turn.finish_reply(calls, stop, BY_AGENT if is_ending else None)


def asked(brief: CallConfig = BRIEF, *before: Fact) -> Telephone:
    """Reply 1 is awaited."""
    telephone = Telephone(brief, *before)
    telephone.turn.ask()
    return telephone


def test_a_question_ends_the_silence_and_has_a_filler() -> None:
    """A number of a reply is never used again, also after a break."""
    call = ToolCall("tool00001", "mark", "{}")
    telephone = Telephone(BRIEF, CallerSaid("Mark."), ToolUsed(4, call, result(1)))
    telephone.clocks.start(Timer.IDLE, 8_000)

    stopped, question, filler = telephone.turn.ask(Choice.NONE)

    assert stopped == StopTimer(Timer.IDLE)
    assert isinstance(question, StartReply)
    assert (question.reply, question.choice) == (5, Choice.NONE)
    assert filler == StartTimer(Timer.FILLER, 2, 3_000)


def test_words_stop_the_filler_and_wait_for_their_clause() -> None:
    """The clock of a clause is started once and stopped with it."""
    turn = asked().turn

    said = [turn.pass_on(piece) for piece in ("One ", "two ", "three ", "and that is all. ")]

    assert said == [
        [StopTimer(Timer.FILLER), Speak(1, "One "), Record(1, AgentSaid("One "))],
        [StartTimer(Timer.FLUSH, 2, 300)],
        [],
        [
            Speak(1, "two three and that is all. "),
            Record(1, AgentSaid("One two three and that is all. ")),
            StopTimer(Timer.FLUSH),
        ],
    ]


def test_a_reply_with_words_ends_the_turn() -> None:
    """They are the last ones, whatever waited for them."""
    telephone = asked()
    telephone.turn.pass_on("One two ")

    assert telephone.finishes() == TurnDecision(
        [
            StopTimer(Timer.FLUSH),
            Speak(1, "two", is_last=True),
            Record(1, AgentSaid("One two")),
        ],
        Then.END_TURN,
    )


def test_a_reply_with_nothing_is_asked_for_once_more() -> None:
    """In the same way; then a sentence of ours stands in for it."""
    telephone = Telephone()
    telephone.turn.ask(Choice.NONE)

    again = telephone.finishes()
    sentence = telephone.finishes()

    assert again == TurnDecision(
        [
            StopTimer(Timer.FILLER),
            asks(2, ASKED, choice=Choice.NONE),
            StartTimer(Timer.FILLER, 2, 3_000),
        ]
    )
    assert sentence.actions[1:] == [
        Speak(1, "Pardon?", is_last=True),
        Record(1, AgentSaid("Pardon?", SpeechSource.SERVICE)),
    ]
    assert sentence.then is Then.END_TURN


@pytest.mark.parametrize(("is_ending", "words"), [(False, "Not that."), (True, "Goodbye.")])
def test_a_sentence_stands_in_for_a_blocked_reply(words: str, *, is_ending: bool) -> None:
    """The last one of a call is a goodbye."""
    step = asked().finishes(wants("order"), stop=StopReason.BLOCKED, is_ending=is_ending)

    assert step.actions[1:] == [
        Speak(1, words, is_last=True),
        Record(1, AgentSaid(words, SpeechSource.SERVICE)),
    ]
    assert step.then is Then.END_TURN


def test_tools_are_awaited_and_then_told_of() -> None:
    """Without another round, if there were enough."""
    telephone = asked()

    used = telephone.finishes(wants("mark"))
    telephone.tools.finish("tool00001", ToolOutcome('{"ok":true}'))
    step = telephone.turn.go_on(None)

    assert used == TurnDecision(
        [
            StopTimer(Timer.FILLER),
            Record(1, ToolUsed(1, use(1, "mark"))),
            RunTool(use(1, "mark"), is_lasting=True),
            StartTimer(Timer.FILLER, 2, 800),
        ]
    )
    assert [one.choice for one in step.actions if isinstance(one, StartReply)] == [Choice.NONE]
    assert step.then is Then.AWAIT


def test_calls_that_are_answered_at_once_lead_on() -> None:
    """There is nothing to wait for."""
    step = asked(replace(BRIEF, limits=Limits())).finishes(wants("no_such_tool"))

    questions = [one for one in step.actions if isinstance(one, StartReply)]
    assert [(one.reply, one.choice) for one in questions] == [(2, Choice.AUTO)]


def test_a_reply_without_tools_uses_none() -> None:
    """Whatever it has made up."""
    telephone = Telephone()
    telephone.turn.ask(Choice.NONE)
    telephone.turn.pass_on("Done. ")

    step = telephone.finishes(wants("mark"))

    assert not telephone.tools.is_unfinished
    assert step.then is Then.END_TURN


def test_a_goodbye_before_the_tools_was_the_last_word() -> None:
    """Only without one the model is asked, and may call nothing more."""
    silent, polite = asked(), asked()
    polite.turn.pass_on("Thank you, goodbye. ")

    steps = [one.finishes(wants("no_such_tool"), is_ending=True) for one in (silent, polite)]

    choices = [one.choice for one in steps[0].actions if isinstance(one, StartReply)]
    assert choices == [Choice.NONE]
    assert [step.then for step in steps] == [Then.AWAIT, Then.END_TURN]


def test_a_failure_is_made_good_by_its_number() -> None:
    """An apology, another attempt, and at last nothing any more."""
    telephone = asked()

    first = telephone.turn.fail_reply(None)
    telephone.turn.ask()
    second = telephone.turn.fail_reply(None)
    telephone.turn.lose_patience()
    telephone.turn.ask()
    third = telephone.turn.fail_reply(None)

    assert first == TurnDecision(
        [
            StopTimer(Timer.FILLER),
            Speak(1, "Sorry.", is_last=True),
            Record(1, AgentSaid("Sorry.", SpeechSource.SERVICE)),
            StartTimer(Timer.TROUBLE, 2, 30_000),
        ],
        Then.END_TURN,
    )
    assert second == TurnDecision(
        [
            StopTimer(Timer.FILLER),
            Speak(2, "Trying.", is_last=True),
            Record(2, AgentSaid("Trying.", SpeechSource.SERVICE)),
            StartTimer(Timer.RETRY, 4, 1_300 + 5_000),
        ]
    )
    assert third == TurnDecision([StopTimer(Timer.FILLER)], Then.GIVE_UP)


def test_an_answer_ends_the_trouble() -> None:
    """And the clock that runs with it."""
    telephone = asked()
    telephone.turn.fail_reply(None)
    telephone.turn.ask()
    telephone.turn.pass_on("Sure. ")

    assert StopTimer(Timer.TROUBLE) in telephone.finishes().actions


def test_a_reply_that_broke_off_has_lost_its_thread() -> None:
    """What was said of it is closed first."""
    telephone = asked()
    telephone.turn.pass_on("We have three kinds, ")
    telephone.turn.flush()

    step = telephone.turn.fail_reply(None)

    assert step.actions[:3] == [
        StopTimer(Timer.FLUSH),
        Speak(1, "", is_last=True),
        Speak(2, "Where was I?", is_last=True),
    ]


def test_a_failure_at_the_end_of_a_call_is_a_goodbye() -> None:
    """Nobody is asked to say it again and then hung up on."""
    step = asked().turn.fail_reply(BY_AGENT)

    assert step.actions[1] == Speak(1, "Goodbye.", is_last=True)
    assert step.then is Then.END_TURN


def test_a_new_question_takes_the_place_of_the_one_in_progress() -> None:
    """If there is one."""
    telephone = Telephone()
    nothing = telephone.turn.ask_anew()
    telephone.turn.ask(Choice.NONE)

    again = telephone.turn.ask_anew()

    assert nothing == []
    assert again == [
        CancelReply(1),
        StopTimer(Timer.FILLER),
        asks(2, ASKED, choice=Choice.NONE),
        StartTimer(Timer.FILLER, 2, 3_000),
    ]


def test_a_turn_that_is_left_leaves_nothing_behind() -> None:
    """Neither a reply nor an open utterance, nor what would have followed."""
    telephone = asked()
    telephone.turn.pass_on("We have three kinds, ")
    telephone.turn.flush()
    for timer in (Timer.HOLD, Timer.PLAYBACK, Timer.IDLE, Timer.TROUBLE):
        telephone.clocks.start(timer, 1_000)

    assert telephone.turn.leave() == [
        CancelReply(1),
        StopTimer(Timer.FLUSH),
        Speak(1, "", is_last=True),
        StopTimer(Timer.HOLD),
        StopTimer(Timer.PLAYBACK),
        StopTimer(Timer.IDLE),
    ]
    assert telephone.clocks.is_running(Timer.TROUBLE)


def test_fillers_run_out_within_a_turn() -> None:
    """A new turn has its own."""
    telephone = asked()

    said = [telephone.turn.fill_in(), telephone.turn.fill_in()]
    none = telephone.turn.wait(1_000)
    telephone.turn.begin()

    assert [actions[2:] for actions in said] == [[StartTimer(Timer.FILLER, 2, 5_000)], []]
    assert none == []
    assert telephone.turn.wait(1_000) == [StartTimer(Timer.FILLER, 3, 1_000)]


def test_an_edit_counts_from_the_next_step_on() -> None:
    """Tools, sentences and limits."""
    telephone = asked()

    telephone.turn.follow(CallConfig(phrases=Phrases(apology="Oh."), limits=Limits(trouble_ms=1)))
    step = telephone.turn.fail_reply(None)

    assert step.actions[1] == Speak(1, "Oh.", is_last=True)
    assert step.actions[-1] == StartTimer(Timer.TROUBLE, 2, 1)
