"""Where several utterances are cut; the stories have the rest."""

from __future__ import annotations

import pytest

from agent.call.actions import Record, Speak
from agent.call.agent_output import AgentOutput
from agent.call.history import AgentSaid, History, SpeechSource


@pytest.mark.parametrize(
    ("heard", "is_complete", "cut"),
    [
        ("One two. Three", True, {1: "Three", 2: ""}),
        ("One two. Three four. Five", True, {2: "Five"}),
        ("One two. Three four. Five six.", True, {}),
        ("One two. Three four. Five six.", False, {2: "Five six."}),
    ],
)
def test_utterances_are_cut_as_one_text_with_spaces_between(
    heard: str, is_complete: bool, cut: dict[int, str]
) -> None:
    output = AgentOutput(History(), characters_per_second=15)
    for text in ("One two.", "Three four.", "Five six."):
        output.say_whole(text)

    assert output.cut(heard, None, is_complete=is_complete) == [
        Record(at, AgentSaid(text, SpeechSource.SERVICE, is_cut=True)) for at, text in cut.items()
    ]


def test_played_text_of_an_earlier_turn_does_not_count() -> None:
    output = AgentOutput(History(), characters_per_second=15)
    output.say_whole("One two.")
    output.note_played("One two.")
    output.has_spoken = False
    output.say_whole("One two three.")

    assert output.cut("One", None, is_complete=True) == [
        Record(1, AgentSaid("One", SpeechSource.SERVICE, is_cut=True))
    ]


@pytest.mark.parametrize(("rest", "whole"), [("", "One, "), ("two.", "One, two.")])
def test_the_whole_is_recorded_when_a_reply_ends(rest: str, whole: str) -> None:
    """Of words that grow a record may be skipped, so the last one is not of that kind."""
    output = AgentOutput(History(), characters_per_second=15)
    growing = output.say("One, ")[-1]
    ended = output.close(rest)

    assert isinstance(growing, Record)
    assert growing.is_growing
    assert ended == [Speak(1, rest, is_last=True), Record(0, AgentSaid(whole))]
    assert not [action for action in ended if isinstance(action, Record) and action.is_growing]
