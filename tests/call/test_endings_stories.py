"""Every way a call ends, what revokes an end, and what is handed over."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.call import events as ev
from agent.call.actions import (
    Action,
    CancelReply,
    EndCall,
    Handoff,
    HangUp,
    Play,
    Record,
    Speak,
    SwitchLanguage,
)
from agent.call.events import EndReason
from agent.call.history import AgentSaid, CallerSaid, ToolUsed
from agent.call.messages import Choice, Usage
from agent.call.timers import StopTimer, Timer
from agent.call.turn import CALL_GOES_ON
from tests.call import builders as it

LEAVES = replace(it.HELLO, tools={"leave": replace(it.HELLO.tools["order"], name="leave")})
WISH = (
    '{"reasonCode": "live-agent-handoff", "reason": "wish",'
    ' "summary": "The caller\'s last words: That is all."}'
)
"""Of a model that gave no summary."""


def test_the_call_ends_when_the_goodbye_was_played() -> None:
    call = it.leaving(HangUp())

    actions = call.happens(it.agent_off())

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        StopTimer(Timer.DURATION),
        EndCall('{"reasonCode": "goodbye"}'),
        it.starts(Timer.CLOSING, 10_000),
    ]
    assert call.world.conversation.end_reason is EndReason.AGENT_END


def test_the_call_ends_also_without_playback_reports() -> None:
    call = it.leaving(HangUp())

    actions = call.fires(Timer.PLAYBACK)

    assert EndCall('{"reasonCode": "goodbye"}') in actions


def test_the_end_of_an_earlier_playback_does_not_end_the_call() -> None:
    call = it.thinking("That is all.")
    call.fires(Timer.FILLER)
    call.happens(
        it.agent_on(), it.delta(1, "Thank you, goodbye."), it.finished(1, it.wants("leave"))
    )
    call.happens(it.done(1, effect=HangUp()))

    at_first = call.happens(it.agent_off())
    at_last = call.happens(it.agent_on(), it.agent_off())

    assert at_first == []
    assert EndCall('{"reasonCode": "goodbye"}') in at_last


def test_a_caller_who_begins_to_speak_delays_the_end() -> None:
    call = it.leaving(HangUp())

    begun = call.happens(it.partial("Wait, one"))
    played = call.happens(it.agent_off())

    assert begun == [it.starts(Timer.PLAYBACK, 10_000)]
    assert played == []
    assert it.question(call.happens(it.spoke("Wait, one more thing."))).reply == 2


def test_the_wait_for_the_goodbye_is_limited() -> None:
    call = it.thinking("That is all.")
    call.happens(it.delta(1, "Goodbye. " * 40), it.finished(1, it.wants("leave")))

    actions = call.happens(it.done(1, effect=HangUp()))

    assert it.starts(Timer.PLAYBACK, 10_000) in actions


def test_a_model_that_ends_without_a_word_is_asked_for_one() -> None:
    call = it.using("leave")

    actions = call.happens(it.done(1, effect=HangUp()))

    assert it.question(actions).choice is Choice.NONE


def test_a_model_without_last_words_gets_ours() -> None:
    call = it.using("leave")
    call.happens(it.done(1, effect=HangUp()), it.finished(2))

    actions = call.happens(it.finished(3))

    assert it.spoken(actions) == [it.HELLO.phrases.goodbye]
    assert EndCall('{"reasonCode": "goodbye"}') in call.happens(it.agent_off())


def test_a_model_that_fails_at_its_last_words_gets_ours() -> None:
    call = it.using("leave")
    call.happens(it.done(1, effect=Handoff("wish", "wants a person")))

    actions = call.happens(it.failed(2))

    assert it.spoken(actions) == [it.HELLO.phrases.transfer]
    assert call.happens(it.agent_off())[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "wants a person"}'
    )


def test_a_caller_who_speaks_takes_the_end_back() -> None:
    call = it.leaving(HangUp())

    actions = call.happens(it.spoke("Wait, one more thing."))
    after = call.happens(it.delta(2, "Yes?"), it.finished(2), it.agent_off())

    assert it.question(actions).reply == 2
    assert CALL_GOES_ON in it.caller_text(actions)
    assert after == [StopTimer(Timer.PLAYBACK), it.starts(Timer.IDLE, 8_000)]


def test_a_caller_who_breaks_in_takes_the_end_back() -> None:
    call = it.leaving(HangUp())

    actions = call.happens(it.interrupted("Thank you"))

    assert actions[-1] == it.starts(Timer.IDLE, 8_000)
    assert call.fires(Timer.IDLE)[0] == Speak(3, "Are you still there?", is_last=True)


def test_a_model_that_has_ended_the_call_learns_once_that_it_goes_on() -> None:
    call = it.leaving(HangUp())
    call.happens(it.interrupted("Thank you"))

    asked = call.happens(it.spoke("Wait, one more thing."))

    assert it.caller_text(asked).count(CALL_GOES_ON) == 1


def test_a_handoff_stands_whatever_the_caller_says() -> None:
    call = it.leaving(Handoff("wish"))

    words = call.happens(it.spoke("Wait, one more thing."))
    key = call.happens(it.pressed("4"))
    ended = call.happens(it.agent_off())

    assert words == [Record(4, CallerSaid("Wait, one more thing."))]
    assert key == []
    assert EndCall(WISH) in ended


def test_an_interrupt_hurries_a_handoff() -> None:
    call = it.leaving(Handoff("wish"))

    actions = call.happens(it.interrupted("Thank you"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(2, AgentSaid("Thank you", is_cut=True)),
        StopTimer(Timer.DURATION),
        EndCall(WISH),
        it.starts(Timer.CLOSING, 10_000),
    ]


@pytest.mark.parametrize("sign", [it.interrupted("I will"), it.caller_on()])
def test_the_words_before_a_handoff_do_not_give_way(sign: ev.Event) -> None:
    call = it.using("leave", config=LEAVES)
    call.happens(it.done(1, effect=Handoff("wish", "so")))

    call.happens(sign)

    assert Timer.YIELD not in call.running
    said = call.happens(it.delta(call.world.active or 0, "One moment. "))
    assert it.spoken(said)


def test_words_of_the_service_before_a_handoff_do_not_give_way() -> None:
    call = it.using("leave", config=LEAVES)
    call.resumes()
    call.happens(it.done(1, effect=Handoff("wish", "so")))

    call.happens(it.interrupted("I am"))

    assert Timer.YIELD not in call.running


def hands_off_over_a_voice() -> it.Call:
    """A filler is interrupted; the tool that was awaited then has the call transferred."""
    call = it.using("leave", config=LEAVES)
    call.fires(Timer.TOOL)
    call.happens(it.interrupted(), it.caller_on(), it.done(1, effect=Handoff("wish", "so")))
    return call


def test_a_handoff_is_announced_after_the_words_it_waited_for() -> None:
    call = hands_off_over_a_voice()
    call.happens(it.delta(2, "A colleague will help. "), it.finished(2))

    announced = call.happens(it.spoke("Will that take long?"))

    assert "".join(it.spoken(announced)) == "A colleague will help. "


def test_a_handoff_is_announced_to_a_caller_who_talks_on_and_on() -> None:
    call = hands_off_over_a_voice()
    call.happens(it.delta(2, "A colleague will help. "), it.finished(2), it.caller_on())

    announced = call.fires(Timer.LONGEST_TURN)
    call.happens(it.agent_on())

    words = f"{it.HELLO.phrases.may_i_answer}A colleague will help. "
    assert "".join(it.spoken(announced)) == words
    assert any(isinstance(action, EndCall) for action in call.happens(it.agent_off()))


def test_a_late_hang_up_is_no_longer_wanted() -> None:
    call = it.using("leave", config=LEAVES)
    call.happens(it.spoke("Not yet!"), it.done(1, effect=HangUp()))
    call.happens(it.delta(2, "Yes?"), it.finished(2))

    assert it.question(call.happens(it.agent_off())).reply == 3


def test_a_late_handoff_still_hands_off() -> None:
    call = it.using("leave", config=LEAVES)
    call.happens(it.spoke("Why?"), it.done(1, effect=Handoff("wish", "so")))
    call.happens(it.delta(2, "Yes?"), it.finished(2))

    actions = call.happens(it.agent_off())

    ended = EndCall('{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "so"}')
    assert ended in actions


def test_a_relay_that_does_not_close_is_not_waited_for() -> None:
    call = it.leaving(HangUp())
    call.happens(it.agent_off())

    actions = call.fires(Timer.CLOSING)

    assert actions == []
    assert call.world.conversation.is_over
    assert call.world.conversation.end_reason is EndReason.AGENT_END


def test_a_hang_up_while_the_goodbye_plays_is_the_agents_end() -> None:
    call = it.leaving(HangUp())

    call.happens(ev.CallEnded(EndReason.CALLER_HANGUP))

    assert call.world.conversation.end_reason is EndReason.AGENT_END


@pytest.mark.parametrize("reason", [EndReason.CALLER_HANGUP, EndReason.ERROR_RELAY])
def test_a_hang_up_stops_everything(reason: EndReason) -> None:
    call = it.speaking("We have three kinds, ")

    actions = call.happens(ev.CallEnded(reason))

    assert actions == [CancelReply(1), StopTimer(Timer.DURATION)]
    assert call.world.conversation.is_over
    assert call.world.conversation.end_reason is reason


@pytest.mark.parametrize(
    "event",
    [
        ev.CallStarted(),
        it.spoke("Hello?"),
        it.partial("Hel"),
        it.interrupted("We have"),
        it.pressed("1"),
        it.agent_on(),
        it.agent_off(),
        it.delta(1, "more "),
        it.finished(1),
        it.failed(1),
        ev.ServiceStopping(),
        ev.CallEnded(),
        ev.TokensCounted(1, Usage(1, 1)),
    ],
)
def test_after_the_end_nothing_happens(event: ev.Event) -> None:
    call = it.speaking("We have three kinds, ")
    call.happens(ev.CallEnded())

    assert call.happens(event) == []


def test_words_after_the_end_message_are_only_recorded() -> None:
    call = it.leaving(HangUp())
    call.happens(it.agent_off())

    words = call.happens(it.spoke("Hello?"), it.partial("Are"))
    kept = call.happens(it.spoke("Are you there?"))
    cut = call.happens(it.interrupted("Thank"))

    assert words == []
    assert kept == [Record(5, CallerSaid("Are you there?"))]
    assert cut == [Record(2, AgentSaid("Thank", is_cut=True))]


def test_a_result_after_the_end_message_is_recorded() -> None:
    call = it.using("order")
    call.happens(it.spoke("Bye."), it.delta(2, "Bye."), it.finished(2, it.wants("leave")))
    call.happens(it.done(2, effect=HangUp()), it.agent_off())

    actions = call.happens(it.done(1))

    assert actions == [Record(2, ToolUsed(1, it.use(1, "order"), it.result(1)))]


SPANISH = replace(it.HELLO, language="es-US", can_hand_off=True)


def handoff_sent(actions: list[Action]) -> dict[str, Any]:
    """What the action URL reads."""
    (only,) = [action for action in actions if isinstance(action, EndCall)]
    sent: dict[str, Any] = json.loads(only.handoff)
    return sent


def handed_over(call: it.Call, reply: int, handoff: Handoff) -> dict[str, Any]:
    """The model asks for a person while it speaks; this is the first tool but those before."""
    call.happens(it.delta(reply, "I am connecting you."), it.finished(reply, it.wants("leave")))
    call.happens(it.done(reply, effect=handoff))
    return handoff_sent(call.happens(it.agent_off()))


def test_a_model_that_gives_no_summary_costs_no_time() -> None:
    call = it.thinking("My pizza is cold. I want a person!")

    handed = handed_over(call, 1, Handoff("user-requested", slots={"order": "one pizza"}))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "user-requested",
        "summary": "The caller's last words: My pizza is cold. I want a person!",
        "slots": {"order": "one pizza"},
    }


def test_keys_are_never_handed_over() -> None:
    call = it.thinking("I will type my number.")
    call.happens(it.delta(1, "Go on."), it.finished(1), it.agent_off())
    call.happens(*(it.pressed(key) for key in "5678#"))
    call.happens(it.delta(2, "I am connecting you."), it.finished(2, it.wants("leave")))

    call.happens(it.done(1, effect=Handoff("user-requested")))
    handed = handoff_sent(call.happens(it.agent_off()))

    assert handed["summary"] == "The caller's last words: I will type my number."
    assert "5678" not in json.dumps(handed)


def test_the_language_of_the_use_case_is_handed_over() -> None:
    call = it.thinking("Una persona, por favor.", config=SPANISH)

    handed = handed_over(call, 1, Handoff("user-requested", "so"))

    assert handed["language"] == "es-US"


def test_the_language_switched_to_last_is_handed_over() -> None:
    call = it.thinking("Speak English, please.", config=SPANISH)
    call.happens(it.finished(1, it.wants("leave")), it.done(1, effect=SwitchLanguage("fr-FR")))
    call.happens(it.finished(2, it.wants("leave")), it.done(2, effect=SwitchLanguage("en-US")))
    call.happens(
        it.finished(3, it.wants("leave")), it.done(3, effect=Play("https://example.com/a.mp3"))
    )
    call.happens(ev.CallConfigChanged(SPANISH))

    handed = handed_over(call, 4, Handoff("user-requested", "so"))

    assert handed["language"] == "en-US"


def test_a_transfer_after_model_failures_has_words_and_language() -> None:
    call = it.thinking("Two pizzas.", config=SPANISH)
    call.happens(it.failed(1), it.spoke("Hello? Two pizzas!"), it.failed(2))

    handed = handoff_sent(call.happens(it.agent_off()))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "technical trouble",
        "summary": "The caller's last words: Two pizzas. / Hello? Two pizzas!",
        "language": "es-US",
    }
