"""A tool that collects digits: the caller types or says them, and the tool alone reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import Entry, Handoff, Record, RunTool, Speak, StartReply
from agent.call.collector import Collector
from agent.call.config import CallConfig, KeyBinding, Phrases
from agent.call.history import AgentSaid, CallerSaid, Fact, InputMode, SpeechSource, ToolUsed
from agent.call.messages import SideEffect, ToolSpec
from agent.call.timers import StopTimer, Timer
from tests.call import builders as it

PHRASES = Phrases()
CARD = "4111111111111111"
OPEN = Collector(min_digits=3, max_digits=6)
SECRET = Collector(
    min_digits=13,
    max_digits=19,
    validator="luhn",
    retries=1,
    is_sensitive=True,
    prompt="Your card?",
)


def collecting(collector: Collector, side_effect: SideEffect = SideEffect.NONE) -> CallConfig:
    """The usual configuration, in which `look_up` collects digits."""
    spec = ToolSpec("look_up", "Looks.", '{"type":"object"}', side_effect, collects=collector)
    return replace(it.HELLO, tools={**it.HELLO.tools, "look_up": spec})


def asked(collector: Collector, side_effect: SideEffect = SideEffect.NONE) -> it.Call:
    """Reply 1 has called the tool without a word, and the question was played."""
    call = it.using("look_up", config=collecting(collector, side_effect))
    call.happens(it.agent_off())
    return call


def typed(keys: str) -> list[ev.Event]:
    return [it.pressed(key) for key in keys]


def ran(actions: Sequence[object]) -> list[Entry | None]:
    """What the tools that begin are given."""
    return [action.entry for action in actions if isinstance(action, RunTool)]


def words_of(facts: Sequence[Fact]) -> list[str]:
    return [fact.text for fact in facts if isinstance(fact, CallerSaid)]


def test_a_tool_that_collects_asks_and_waits() -> None:
    call = it.thinking(config=collecting(OPEN))

    actions = call.happens(it.finished(1, it.wants("look_up")))
    waits = call.happens(it.agent_off())

    assert actions == [
        StopTimer(Timer.FILLER),
        Record(2, ToolUsed(1, it.use(1, "look_up"))),
        Speak(2, PHRASES.enter_digits, is_last=True),
        Record(3, AgentSaid(PHRASES.enter_digits, SpeechSource.SERVICE)),
        it.starts(Timer.PLAYBACK, 3_600),
    ]
    assert waits == [StopTimer(Timer.PLAYBACK), it.starts(Timer.DIGITS, 8_000)]


def test_a_model_that_has_asked_is_not_repeated() -> None:
    call = it.thinking(config=collecting(OPEN))

    call.happens(it.delta(1, "Your number, please?"), it.finished(1, it.wants("look_up")))

    assert [fact for fact in call.facts if isinstance(fact, AgentSaid)][1:] == [
        AgentSaid("Your number, please?")
    ]


def test_a_tool_may_ask_in_its_own_words() -> None:
    call = it.thinking(config=collecting(SECRET))

    assert it.spoken(call.happens(it.finished(1, it.wants("look_up")))) == ["Your card?"]


@pytest.mark.parametrize(
    "steps",
    [
        typed("4711#"),
        [*typed("4711"), Timer.DIGITS],
        typed("99*4711#"),
        [it.spoke("It's four seven one one."), Timer.DIGITS],
        [it.spoke("Four seven."), it.spoke("One one."), Timer.DIGITS],
        [it.spoke("four seven one"), *typed("4711#")],
        [*typed("47"), it.spoke("four seven"), *typed("11#")],
        [*typed("47"), it.spoke("okay"), *typed("11#")],
    ],
)
def test_digits_reach_the_tool(steps: Sequence[it.Step]) -> None:
    call = asked(OPEN)

    assert ran(call.happens(*steps)) == [Entry("4711")]


def test_the_longest_entry_needs_no_other_key() -> None:
    call = asked(OPEN)

    actions = call.happens(*typed("471100"))

    assert actions == [
        StopTimer(Timer.DIGITS),
        Record(4, CallerSaid("4 7 1 1 0 0", InputMode.KEYPAD)),
        it.starts(Timer.LATE_DIGITS, 3_000),
        RunTool(it.use(1, "look_up"), entry=Entry("471100")),
        it.starts(Timer.TOOL, 800),
    ]


def test_a_key_with_a_meaning_is_a_digit_while_a_tool_collects() -> None:
    config = replace(collecting(OPEN), keypad={"6": KeyBinding("We are open."), "0": KeyBinding()})
    call = it.using("look_up", config=config)

    assert ran(call.happens(*typed("6660#"))) == [Entry("6660")]


def test_the_model_reads_the_result_and_goes_on() -> None:
    call = asked(OPEN)
    call.happens(*typed("4711#"))

    actions = call.happens(it.done(1, '{"found":true}'))

    assert it.question(actions).messages[-2:] == (
        it.agent(PHRASES.enter_digits),
        it.caller(
            "[The caller pressed on the keypad: 4 7 1 1]"
            ' [look_up has finished, with this result: {"found":true}]'
        ),
    )
    assert it.result(1, '{"found":true}') in it.question(actions).messages[-3].parts


def test_a_key_stops_the_question() -> None:
    call = it.using("look_up", config=collecting(OPEN))

    actions = call.happens(it.pressed("4"))

    assert actions == [StopTimer(Timer.PLAYBACK), it.starts(Timer.DIGITS, 3_000)]


def test_late_keys_are_dropped() -> None:
    call = asked(OPEN)
    call.happens(*typed("471100"))

    assert call.happens(*typed("1#")) == []


def test_keys_count_again_after_a_while() -> None:
    call = asked(OPEN)
    call.happens(*typed("471100"), Timer.LATE_DIGITS, it.done(1), it.finished(2, text="Found."))

    actions = call.happens(*typed("5#"))

    assert it.caller_text(actions) == "[The caller pressed on the keypad: 5]"


@pytest.mark.parametrize("steps", [typed("47#"), [*typed("47"), Timer.DIGITS], [Timer.DIGITS]])
def test_a_wrong_entry_is_asked_for_again(steps: Sequence[it.Step]) -> None:
    call = asked(OPEN)

    again = call.happens(*steps)
    run = call.happens(it.agent_off(), *typed("4711#"))

    assert it.spoken(again) == [PHRASES.digits_again]
    assert ran(run) == [Entry("4711")]


def test_a_caller_who_enters_nothing_three_times_is_answered_by_the_model() -> None:
    call = asked(OPEN)
    for _ in range(2):
        call.happens(Timer.DIGITS, it.agent_off())

    actions = call.happens(Timer.DIGITS)

    fault = "The caller has not entered a valid number. Offer another way, or ask what to do."
    assert call.history.fact(2, ToolUsed).result == it.result(
        1, f'{{"error": "{fault}"}}', is_error=True
    )
    assert it.question(actions).reply == 2


def test_an_empty_terminator_is_no_entry() -> None:
    call = asked(OPEN)

    assert call.happens(it.pressed("#")) == [it.starts(Timer.DIGITS, 8_000)]


def test_a_check_digit_that_is_wrong_is_noticed() -> None:
    call = asked(SECRET)

    again = call.happens(*typed("4111111111111112#"))

    assert it.spoken(again) == [PHRASES.digits_again]


def test_other_words_end_the_entry() -> None:
    call = asked(OPEN)

    actions = call.happens(it.pressed("4"), it.spoke("I do not have a number at all."))

    assert it.caller_text(actions) == (
        "[The caller pressed on the keypad: 4] I do not have a number at all."
    )
    assert call.history.fact(2, ToolUsed).result is not None
    assert ran(actions) == []


def test_a_caller_who_asks_for_a_moment_has_it() -> None:
    call = asked(SECRET)

    granted = call.happens(it.spoke("Hold on, let me get my card."))
    waits = call.happens(it.agent_off())
    run = call.happens(*typed(f"{CARD}#"))

    assert it.spoken(granted) == [PHRASES.take_your_time]
    assert waits[-1] == it.starts(Timer.DIGITS, 45_000)
    assert ran(run) == [Entry(CARD, is_sensitive=True)]


def test_a_noise_in_the_question_does_not_end_the_entry() -> None:
    call = it.thinking(config=collecting(OPEN))
    call.happens(it.delta(1, "Please type the number now."), it.finished(1, it.wants("look_up")))

    goes_on = call.happens(it.interrupted("Please type"), Timer.YIELD)
    run = call.happens(it.agent_off(), *typed("4711#"))

    assert it.spoken(goes_on) == ["the number now."]
    assert ran(run) == [Entry("4711")]


def test_a_key_that_has_stopped_the_question_is_a_digit() -> None:
    call = it.thinking(config=collecting(OPEN))
    call.happens(it.delta(1, "Please type the number now."), it.finished(1, it.wants("look_up")))

    run = call.happens(it.pressed("4"), it.interrupted("Please type"), *typed("711#"))

    assert ran(run) == [Entry("4711")]


def test_a_voice_has_time_for_its_words() -> None:
    call = asked(OPEN)

    assert call.happens(it.caller_on())[-1] == it.starts(Timer.DIGITS, 20_000)
    assert call.happens(it.caller_off())[-1] == it.starts(Timer.DIGITS, 8_000)


def test_one_number_at_a_time() -> None:
    call = it.thinking(config=collecting(OPEN))

    call.happens(it.finished(1, it.wants("look_up"), it.wants("look_up")))
    run = call.happens(*typed("4711#"))

    refused = call.history.fact(3, ToolUsed).result
    assert refused is not None
    assert refused.is_error
    assert ran(run) == [Entry("4711")]


def test_a_model_may_narrow_what_is_entered() -> None:
    narrow = '{"min_digits": 4, "max_digits": 4}'
    call = it.using("look_up", narrow, config=collecting(OPEN))

    assert ran(call.happens(*typed("4711"))) == [Entry("4711")]


@pytest.mark.parametrize("wide", ['{"min_digits": 5, "max_digits": 4}', '{"max_digits": 7}'])
def test_a_model_may_not_ask_for_more(wide: str) -> None:
    call = it.using("look_up", wide, config=collecting(OPEN))

    result = call.history.fact(2, ToolUsed).result
    assert result is not None
    assert "from 3 to 6" in result.content


def test_a_transfer_that_comes_meanwhile_ends_the_entry() -> None:
    leave = replace(it.HELLO.tools["look_up"], name="leave")
    config = collecting(OPEN)
    config = replace(config, tools={**config.tools, "leave": leave})
    call = it.thinking(config=config)
    call.happens(it.finished(1, it.wants("leave"), it.wants("look_up")))

    actions = call.happens(it.done(1, effect=Handoff("wish", "so")))

    assert it.question(actions).reply == 2
    assert call.history.fact(3, ToolUsed).result is not None


def test_a_transfer_that_no_turn_waits_for_ends_the_entry_and_the_model_is_asked() -> None:
    call = it.thinking(config=collecting(OPEN))
    call.happens(it.finished(1, it.wants("mark"), it.wants("look_up")))
    call.happens(it.acts(ev.OperatorAct.SAY, "One moment."))

    actions = call.happens(it.done(1, effect=Handoff("wish", "so")))

    assert it.question(actions).reply == 2
    assert call.history.fact(3, ToolUsed).result is not None


def test_a_tool_that_is_not_offered_any_more_is_not_run() -> None:
    call = asked(OPEN)
    call.happens(ev.CallConfigChanged(it.HELLO))
    config = replace(it.HELLO, tools={})
    call.happens(ev.CallConfigChanged(config))

    actions = call.happens(*typed("4711#"))

    assert ran(actions) == []
    assert it.question(actions).reply == 2


@pytest.mark.parametrize("effect", [SideEffect.NONE, SideEffect.ONCE])
@pytest.mark.parametrize("before", [[], typed("411"), typed(f"{CARD}#")])
def test_a_caller_whose_line_was_lost_is_asked_again(
    effect: SideEffect, before: list[it.Step]
) -> None:
    """The digits are in no table: also when the tool had begun with them."""
    call = asked(SECRET, effect)
    call.happens(*before)

    resumed = call.resumes()
    run = call.happens(it.agent_off(), *typed(f"{CARD}#"))

    assert it.spoken(resumed) == [PHRASES.resumed, PHRASES.digits_again]
    assert ran(run) == [Entry(CARD, is_sensitive=True)]


@pytest.mark.parametrize("mode", ev.ShutdownMode)
def test_a_caller_whose_call_was_handed_over_is_asked_again(mode: ev.ShutdownMode) -> None:
    call = asked(SECRET, SideEffect.ONCE)
    call.happens(*typed("411"), ev.ServiceStopping(mode), ev.CallEnded())

    call.resumes()

    assert ran(call.happens(it.agent_off(), *typed(f"{CARD}#"))) == [Entry(CARD, is_sensitive=True)]


def test_a_model_that_has_gone_on_is_told_that_a_number_is_lost() -> None:
    call = asked(SECRET, SideEffect.ONCE)
    call.happens(*typed(f"{CARD}#"), it.spoke("Are you open?"), it.delta(2, "Yes, until nine."))
    call.happens(it.finished(2))

    call.resumes()

    result = call.history.fact(2, ToolUsed).result
    assert result is not None
    assert "the number is lost" in result.content


SPOKEN = "My card is four one one one, one one one one, double one one one 1111."


@pytest.mark.parametrize(
    "steps",
    [
        typed(f"{CARD}#"),
        [it.spoke(SPOKEN), Timer.DIGITS],
        [it.partial("four one one"), it.spoke(SPOKEN), it.spoke(SPOKEN)],
        [*typed("4111"), it.spoke("I would rather say it: four one one one.")],
        [*typed("4111"), it.spoke("no not this one, I read four one one one two three four five")],
        [*typed(CARD), Timer.DIGITS, it.spoke(SPOKEN), it.done(1), it.spoke(SPOKEN)],
        [*typed("411"), ev.CallEnded()],
        [*typed("411"), ev.ServiceStopping(ev.ShutdownMode.AT_ONCE)],
        [*typed("411"), ev.AllowanceSpent()],
        [it.spoke("vier eins eins eins"), Timer.DIGITS],
        [ev.CallerSpoke(SPOKEN, language="es"), Timer.DIGITS],
        [ev.CallerSpoke(SPOKEN, language="ja"), Timer.DIGITS],
        [ev.CallerSpoke("vier eins eins eins", language="en"), Timer.DIGITS],
        [it.spoke("quatre un un un"), Timer.DIGITS],
        [it.spoke("Mejor quatre.")],
        [ev.CallerSpoke("quatre un un un", language="es"), Timer.DIGITS],
        [it.pressed("4"), it.pressed("#"), it.spoke("quatre un un un")],
    ],
)
def test_sensitive_digits_are_in_no_fact_and_no_message(steps: Sequence[it.Step]) -> None:
    language = "de-DE" if "vier" in str(steps) else "en-US"
    config = replace(collecting(SECRET), language=language)
    call = it.using("look_up", config=config)
    seen: list[object] = []
    for step in steps:
        actions = call.happens(step)
        seen += [one for one in actions if isinstance(one, Record | StartReply | Speak)]
        seen.append(call.world.conversation.received)

    written = repr(seen).replace("tool00001", "").casefold()
    said = ("four", "one one", "double", "vier", "eins", "quatre")
    for secret in ("411", "4 1 1", "'4'", "'1'", *said):
        assert secret not in written


def test_sensitive_digits_are_taken_in_any_language_that_has_a_table() -> None:
    call = it.using("look_up", config=collecting(SECRET))

    call.happens(it.agent_off(), it.spoke("quatre un un un un un un un un un un un un un un un"))

    assert ran(call.fires(Timer.DIGITS)) == [Entry(CARD, is_sensitive=True)]


def test_a_sensitive_entry_is_not_shown() -> None:
    assert repr(Entry("4111", is_sensitive=True)) == "Entry(xxxx)"
    assert repr(Entry("4711")) == "Entry(4711)"


@pytest.mark.parametrize(
    "steps",
    [
        typed(f"{CARD}#"),
        typed("4111111111111112#"),
        [*typed("41111"), *typed("*"), *typed(CARD), Timer.DIGITS],
        [it.spoke(SPOKEN), Timer.DIGITS],
        [it.spoke("four one one one two"), Timer.DIGITS],
        [it.spoke("one moment please"), it.agent_off(), *typed(f"{CARD}#")],
    ],
)
def test_what_others_read_leads_to_the_same_decisions(steps: Sequence[it.Step]) -> None:
    """The record of a call holds marks, and can be played again."""
    first, second = asked(SECRET), asked(SECRET)

    for step in steps:
        did = first.happens(step)
        again = step if isinstance(step, Timer) else first.world.conversation.received
        repeated = second.happens(again)
        assert [str(action) for action in repeated] == [str(action) for action in did]


def test_words_that_repeat_a_secret_late_are_no_turn() -> None:
    call = asked(SECRET)
    call.happens(*typed(f"{CARD}#"))

    actions = call.happens(it.spoke(SPOKEN))

    assert actions == [Record(5, CallerSaid(f"My card is {' '.join('x' * 16)} , , .".strip()))]


def test_some_time_after_a_secret_words_and_keys_are_read_again() -> None:
    call = asked(SECRET)
    call.happens(*typed(f"{CARD}#"), it.done(1), it.finished(2, text="Thank you."))

    call.happens(Timer.LATE_DIGITS, it.spoke("My number is 555 0199."))

    assert words_of(call.facts)[-1] == "My number is 555 0199."


def test_a_language_without_a_table_is_withheld_whole() -> None:
    call = asked(SECRET)

    call.happens(ev.CallerSpoke("よん いち いち いち", language="ja-JP"))

    assert words_of(call.facts)[-1] == "(withheld)"


def test_a_tool_that_was_not_run_does_not_make_the_one_before_it_new() -> None:
    call = it.thinking(config=collecting(SECRET, SideEffect.ONCE))
    call.happens(it.finished(1, it.wants("mark"), it.wants("look_up")), it.done(1))
    call.happens(it.spoke("No, forget the card."))

    actions = call.happens(it.finished(2, it.wants("mark")))

    assert ran(actions) == []


def test_no_number_is_collected_in_a_call_that_is_to_be_transferred() -> None:
    call = it.thinking()
    call.happens(it.finished(1, it.wants("mark")), it.spoke("Wait, one more thing"))
    call.happens(it.done(1, effect=Handoff("wish", "A pizza.")))

    call.happens(it.finished(2, it.wants("enter")))

    refused = [fact for fact in call.facts if isinstance(fact, ToolUsed)][-1].result
    assert refused is not None and refused.is_error
