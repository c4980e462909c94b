"""What a person is told who takes a call over.

`World` checks all promises (docs/explain/promises.md) after each event.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agent.call import events as ev
from agent.call.actions import Action, EndCall, Handoff, Play, SwitchLanguage
from tests.call.builders import (
    HELLO,
    Call,
    agent_off,
    delta,
    done,
    failed,
    finished,
    pressed,
    spoke,
    thinking,
    wants,
)

SPANISH = replace(HELLO, language="es-US", can_hand_off=True)


def told(actions: list[Action]) -> dict[str, Any]:
    """What the action URL reads."""
    (only,) = [action for action in actions if isinstance(action, EndCall)]
    told: dict[str, Any] = json.loads(only.handoff)
    return told


def handed_over(call: Call, reply: int, handoff: Handoff) -> dict[str, Any]:
    """The model asks for a person while it speaks; this is the first tool but those before."""
    call.happens(delta(reply, "I am connecting you."), finished(reply, wants("leave")))
    call.happens(done(reply, effect=handoff))
    return told(call.happens(agent_off()))


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
    handed = told(call.happens(agent_off()))

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

    handed = told(call.happens(agent_off()))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "technical trouble",
        "summary": "The caller's last words: Two pizzas. / Hello? Two pizzas!",
        "language": "es-US",
    }
