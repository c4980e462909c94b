"""A use case that is edited while a call runs."""

from __future__ import annotations

from dataclasses import replace

from agent.call import events as ev
from agent.call.actions import RunTool
from agent.call.config import KeyBinding, Phrases
from agent.call.history import ToolUsed
from agent.call.messages import Choice, ForcedTool, ToolResult
from agent.call.timers import Timer
from tests.call import builders as it

BARE = replace(it.HELLO, tools={}, keypad={})


def test_an_edit_itself_says_and_does_nothing() -> None:
    call = it.thinking()

    assert call.happens(ev.CallConfigChanged(BARE)) == []


def test_a_key_means_what_the_edited_table_says() -> None:
    call = it.listening()
    call.happens(ev.CallConfigChanged(replace(it.HELLO, keypad={"7": KeyBinding("", "look_up")})))

    bound = call.happens(it.pressed("7"))

    assert it.question(bound).choice == ForcedTool("look_up")


def test_a_tool_that_was_taken_away_is_not_run() -> None:
    call = it.thinking()
    call.happens(ev.CallConfigChanged(BARE))
    refused = call.happens(it.finished(1, it.wants("look_up")))
    call.happens(it.delta(2, "Hm."), it.finished(2), it.agent_off(), it.spoke("Look again."))
    call.happens(ev.CallConfigChanged(it.HELLO))

    taken_up = call.happens(it.finished(3, it.wants("look_up")))

    assert not any(isinstance(action, RunTool) for action in refused)
    assert [action.call.name for action in taken_up if isinstance(action, RunTool)] == ["look_up"]


def test_a_tool_that_runs_is_finished_though_it_was_taken_away() -> None:
    call = it.using("order")
    call.happens(ev.CallConfigChanged(BARE))

    answer = call.happens(it.done(1))

    result = next(fact for fact in call.facts if isinstance(fact, ToolUsed)).result
    assert result == ToolResult("tool00001", '{"ok":true}')
    assert it.question(answer).choice is Choice.AUTO


def test_edited_sentences_are_the_ones_said() -> None:
    call = it.answered("Sure.")
    call.happens(
        ev.CallConfigChanged(replace(it.HELLO, phrases=Phrases(still_there=("Hello there?",))))
    )
    call.happens(it.agent_off())

    assert it.spoken(call.fires(Timer.IDLE)) == ["Hello there?"]
