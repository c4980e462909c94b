"""What a person is told who takes a call over.

Every story also passes through `World`, which holds it to the promises of style section 3.
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
    """The caller's words stand in at once; the model is not asked for more."""
    call = thinking("My pizza is cold. I want a person!")

    handed = handed_over(call, 1, Handoff("user-requested", slots={"order": "one pizza"}))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "user-requested",
        "summary": "The caller's last words: My pizza is cold. I want a person!",
        "slots": {"order": "one pizza"},
    }


def test_keys_are_never_told_to_the_person() -> None:
    """They may be a card or a secret."""
    call = thinking("I will type my number.")
    call.happens(delta(1, "Go on."), finished(1), agent_off())
    call.happens(*(pressed(key) for key in "5678#"))
    call.happens(delta(2, "I am connecting you."), finished(2, wants("leave")))

    call.happens(done(1, effect=Handoff("user-requested")))
    handed = told(call.happens(agent_off()))

    assert handed["summary"] == "The caller's last words: I will type my number."
    assert "5678" not in json.dumps(handed)


def test_the_person_is_told_the_language_of_the_use_case() -> None:
    """Nobody has asked for another one."""
    call = thinking("Una persona, por favor.", brief=SPANISH)

    handed = handed_over(call, 1, Handoff("user-requested", "so"))

    assert handed["language"] == "es-US"


def test_the_person_is_told_the_language_that_was_switched_to_last() -> None:
    """Neither an edit of the use case nor another tool changes what the caller speaks."""
    call = thinking("Speak English, please.", brief=SPANISH)
    call.happens(finished(1, wants("leave")), done(1, effect=SwitchLanguage("fr-FR")))
    call.happens(finished(2, wants("leave")), done(2, effect=SwitchLanguage("en-US")))
    call.happens(finished(3, wants("leave")), done(3, effect=Play("https://example.com/a.mp3")))
    call.happens(ev.CallConfigChanged(SPANISH))

    handed = handed_over(call, 4, Handoff("user-requested", "so"))

    assert handed["language"] == "en-US"


def test_trouble_of_ours_is_told_with_words_and_language() -> None:
    """The model cannot say what it was about, so the caller's words do."""
    call = thinking("Two pizzas.", brief=SPANISH)
    call.happens(failed(1), spoke("Hello? Two pizzas!"), failed(2))

    handed = told(call.happens(agent_off()))

    assert handed == {
        "reasonCode": "live-agent-handoff",
        "reason": "technical trouble",
        "summary": "The caller's last words: Two pizzas. / Hello? Two pizzas!",
        "language": "es-US",
    }
