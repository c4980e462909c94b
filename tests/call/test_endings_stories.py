"""Every way a call ends, what revokes an end, and what is handed over.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

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
from tests.call.builders import (
    HELLO,
    Call,
    agent_off,
    agent_on,
    delta,
    done,
    failed,
    finished,
    interrupted,
    leaving,
    partial,
    pressed,
    question,
    result,
    speaking,
    spoke,
    spoken,
    starts,
    thinking,
    use,
    using,
    wants,
)

WISH = (
    '{"reasonCode": "live-agent-handoff", "reason": "wish",'
    ' "summary": "The caller\'s last words: That is all."}'
)
"""Of a model that gave no summary."""


def test_the_call_ends_when_the_goodbye_was_played() -> None:
    call = leaving(HangUp())

    actions = call.happens(agent_off())

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        StopTimer(Timer.DURATION),
        EndCall('{"reasonCode": "goodbye"}'),
        starts(Timer.CLOSING, 10_000),
    ]
    assert call.world.conversation.end_reason is EndReason.AGENT_END


def test_the_call_ends_also_without_playback_reports() -> None:
    call = leaving(HangUp())

    actions = call.fires(Timer.PLAYBACK)

    assert EndCall('{"reasonCode": "goodbye"}') in actions


def test_the_end_of_an_earlier_playback_does_not_end_the_call() -> None:
    call = thinking("That is all.")
    call.fires(Timer.FILLER)
    call.happens(agent_on(), delta(1, "Thank you, goodbye."), finished(1, wants("leave")))
    call.happens(done(1, effect=HangUp()))

    at_first = call.happens(agent_off())
    at_last = call.happens(agent_on(), agent_off())

    assert at_first == []
    assert EndCall('{"reasonCode": "goodbye"}') in at_last


def test_a_caller_who_begins_to_speak_delays_the_end() -> None:
    call = leaving(HangUp())

    begun = call.happens(partial("Wait, one"))
    played = call.happens(agent_off())

    assert begun == [starts(Timer.PLAYBACK, 10_000)]
    assert played == []
    assert question(call.happens(spoke("Wait, one more thing."))).reply == 2


def test_the_wait_for_the_goodbye_is_limited() -> None:
    call = thinking("That is all.")
    call.happens(delta(1, "Goodbye. " * 40), finished(1, wants("leave")))

    actions = call.happens(done(1, effect=HangUp()))

    assert starts(Timer.PLAYBACK, 10_000) in actions


def test_a_model_that_ends_without_a_word_is_asked_for_one() -> None:
    call = using("leave")

    actions = call.happens(done(1, effect=HangUp()))

    assert question(actions).choice is Choice.NONE


def test_a_model_without_last_words_gets_ours() -> None:
    call = using("leave")
    call.happens(done(1, effect=HangUp()), finished(2))

    actions = call.happens(finished(3))

    assert spoken(actions) == [HELLO.phrases.goodbye]
    assert EndCall('{"reasonCode": "goodbye"}') in call.happens(agent_off())


def test_a_model_that_fails_at_its_last_words_gets_ours() -> None:
    call = using("leave")
    call.happens(done(1, effect=Handoff("wish", "wants a person")))

    actions = call.happens(failed(2))

    assert spoken(actions) == [HELLO.phrases.transfer]
    assert call.happens(agent_off())[-2] == EndCall(
        '{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "wants a person"}'
    )


def test_a_caller_who_speaks_takes_the_end_back() -> None:
    call = leaving(HangUp())

    actions = call.happens(spoke("Wait, one more thing."))
    after = call.happens(delta(2, "Yes?"), finished(2), agent_off())

    assert question(actions).reply == 2
    assert after == [StopTimer(Timer.PLAYBACK), starts(Timer.IDLE, 8_000)]


def test_a_caller_who_breaks_in_takes_the_end_back() -> None:
    call = leaving(HangUp())

    actions = call.happens(interrupted("Thank you"))

    assert actions[-1] == starts(Timer.IDLE, 8_000)
    assert call.fires(Timer.IDLE)[0] == Speak(3, "Are you still there?", is_last=True)


def test_a_handoff_stands_whatever_the_caller_says() -> None:
    call = leaving(Handoff("wish"))

    words = call.happens(spoke("Wait, one more thing."))
    key = call.happens(pressed("4"))
    ended = call.happens(agent_off())

    assert words == [Record(4, CallerSaid("Wait, one more thing."))]
    assert key == []
    assert EndCall(WISH) in ended


def test_an_interrupt_hurries_a_handoff() -> None:
    call = leaving(Handoff("wish"))

    actions = call.happens(interrupted("Thank you"))

    assert actions == [
        StopTimer(Timer.PLAYBACK),
        Record(2, AgentSaid("Thank you", is_cut=True)),
        StopTimer(Timer.DURATION),
        EndCall(WISH),
        starts(Timer.CLOSING, 10_000),
    ]


def test_a_late_hang_up_is_no_longer_wanted() -> None:
    config = replace(HELLO, tools={"leave": replace(HELLO.tools["order"], name="leave")})
    call = using("leave", config=config)
    call.happens(spoke("Wait!"), done(1, effect=HangUp()))
    call.happens(delta(2, "Yes?"), finished(2))

    assert question(call.happens(agent_off())).reply == 3


def test_a_late_handoff_still_hands_off() -> None:
    config = replace(HELLO, tools={"leave": replace(HELLO.tools["order"], name="leave")})
    call = using("leave", config=config)
    call.happens(spoke("Wait!"), done(1, effect=Handoff("wish", "so")))
    call.happens(delta(2, "Yes?"), finished(2))

    actions = call.happens(agent_off())

    ended = EndCall('{"reasonCode": "live-agent-handoff", "reason": "wish", "summary": "so"}')
    assert ended in actions


def test_a_relay_that_does_not_close_is_not_waited_for() -> None:
    call = leaving(HangUp())
    call.happens(agent_off())

    actions = call.fires(Timer.CLOSING)

    assert actions == []
    assert call.world.conversation.is_over
    assert call.world.conversation.end_reason is EndReason.AGENT_END


def test_a_hang_up_while_the_goodbye_plays_is_the_agents_end() -> None:
    call = leaving(HangUp())

    call.happens(ev.CallEnded(EndReason.CALLER_HANGUP))

    assert call.world.conversation.end_reason is EndReason.AGENT_END


@pytest.mark.parametrize("reason", [EndReason.CALLER_HANGUP, EndReason.ERROR_RELAY])
def test_a_hang_up_stops_everything(reason: EndReason) -> None:
    call = speaking("We have three kinds, ")

    actions = call.happens(ev.CallEnded(reason))

    assert actions == [CancelReply(1), StopTimer(Timer.DURATION)]
    assert call.world.conversation.is_over
    assert call.world.conversation.end_reason is reason


@pytest.mark.parametrize(
    "event",
    [
        ev.CallStarted(),
        spoke("Hello?"),
        partial("Hel"),
        interrupted("We have"),
        pressed("1"),
        agent_on(),
        agent_off(),
        delta(1, "more "),
        finished(1),
        failed(1),
        ev.ServiceStopping(),
        ev.CallEnded(),
        ev.TokensCounted(1, Usage(1, 1)),
    ],
)
def test_after_the_end_nothing_happens(event: ev.Event) -> None:
    call = speaking("We have three kinds, ")
    call.happens(ev.CallEnded())

    assert call.happens(event) == []


def test_words_after_the_end_message_are_only_recorded() -> None:
    call = leaving(HangUp())
    call.happens(agent_off())

    words = call.happens(spoke("Hello?"), partial("Are"))
    kept = call.happens(spoke("Are you there?"))
    cut = call.happens(interrupted("Thank"))

    assert words == []
    assert kept == [Record(5, CallerSaid("Are you there?"))]
    assert cut == [Record(2, AgentSaid("Thank", is_cut=True))]


def test_a_result_after_the_end_message_is_recorded() -> None:
    call = using("order")
    call.happens(spoke("Bye."), delta(2, "Bye."), finished(2, wants("leave")))
    call.happens(done(2, effect=HangUp()), agent_off())

    actions = call.happens(done(1))

    assert actions == [Record(2, ToolUsed(1, use(1, "order"), result(1)))]


SPANISH = replace(HELLO, language="es-US", can_hand_off=True)


def handoff_sent(actions: list[Action]) -> dict[str, Any]:
    """What the action URL reads."""
    (only,) = [action for action in actions if isinstance(action, EndCall)]
    sent: dict[str, Any] = json.loads(only.handoff)
    return sent


def handed_over(call: Call, reply: int, handoff: Handoff) -> dict[str, Any]:
    """The model asks for a person while it speaks; this is the first tool but those before."""
    call.happens(delta(reply, "I am connecting you."), finished(reply, wants("leave")))
    call.happens(done(reply, effect=handoff))
    return handoff_sent(call.happens(agent_off()))


def test_a_model_that_gives_no_summary_costs_no_time() -> None:
    call = thinking("My pizza is cold. I want a person!")

    handed = handed_over(call, 1, Handoff("user-requested", slots={"order": "one pizza"}))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "user-requested",
        "summary": "The caller's last words: My pizza is cold. I want a person!",
        "slots": {"order": "one pizza"},
    }


def test_keys_are_never_handed_over() -> None:
    call = thinking("I will type my number.")
    call.happens(delta(1, "Go on."), finished(1), agent_off())
    call.happens(*(pressed(key) for key in "5678#"))
    call.happens(delta(2, "I am connecting you."), finished(2, wants("leave")))

    call.happens(done(1, effect=Handoff("user-requested")))
    handed = handoff_sent(call.happens(agent_off()))

    assert handed["summary"] == "The caller's last words: I will type my number."
    assert "5678" not in json.dumps(handed)


def test_the_language_of_the_use_case_is_handed_over() -> None:
    call = thinking("Una persona, por favor.", config=SPANISH)

    handed = handed_over(call, 1, Handoff("user-requested", "so"))

    assert handed["language"] == "es-US"


def test_the_language_switched_to_last_is_handed_over() -> None:
    call = thinking("Speak English, please.", config=SPANISH)
    call.happens(finished(1, wants("leave")), done(1, effect=SwitchLanguage("fr-FR")))
    call.happens(finished(2, wants("leave")), done(2, effect=SwitchLanguage("en-US")))
    call.happens(finished(3, wants("leave")), done(3, effect=Play("https://example.com/a.mp3")))
    call.happens(ev.CallConfigChanged(SPANISH))

    handed = handed_over(call, 4, Handoff("user-requested", "so"))

    assert handed["language"] == "en-US"


def test_a_transfer_after_model_failures_has_words_and_language() -> None:
    call = thinking("Two pizzas.", config=SPANISH)
    call.happens(failed(1), spoke("Hello? Two pizzas!"), failed(2))

    handed = handoff_sent(call.happens(agent_off()))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "technical trouble",
        "summary": "The caller's last words: Two pizzas. / Hello? Two pizzas!",
        "language": "es-US",
    }
