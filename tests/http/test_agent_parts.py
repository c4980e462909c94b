"""What the agent says, as parts: nothing is told twice, and what was heard adds up."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.http.phone.agent_parts import AgentPart, AgentParts
from tests.simulator.test_speech_overlap import ANSWER, session


def text(token: str, *, last: bool = False) -> str:
    return json.dumps({"type": "text", "token": token, "last": last})


def test_part_grows_and_is_heard_little_by_little() -> None:
    call = session()
    parts = AgentParts(call)
    call.receive(text("One "), 0.0)
    first = parts.look()
    call.receive(text("moment.", last=True), 0.1)
    call.advance(0.5)

    second = parts.look()

    assert first == [AgentPart(1, "One ", 0, "")]
    assert second == [AgentPart(1, "One moment.", 5, "")]
    assert parts.look() == []


def test_barge_in_ends_a_part_with_what_was_not_heard() -> None:
    call = session()
    parts = AgentParts(call)
    call.receive(ANSWER, 0.0)
    parts.look()
    call.begin_to_speak("wait", 0.3)

    ended = parts.look()
    call.stop_speaking()
    call.prompt("wait", 0.4)
    call.receive(text("Yes?", last=True), 0.5)
    following = parts.look()

    assert ended == [AgentPart(1, "One moment, please.", 3, "", is_cut=True)]
    assert following == [AgentPart(2, "Yes?", 0, "")]


def test_session_that_ends_leaves_the_rest_unheard() -> None:
    call = session()
    parts = AgentParts(call, first=4)
    call.receive(ANSWER, 0.0)
    parts.look()
    call.advance(0.5)
    call.hang_up(0.5)

    last = parts.finish()[-1]

    assert last == AgentPart(4, "One moment, please.", 5, "", is_cut=True)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("agent"), st.text("ab .", min_size=1, max_size=12)),
        st.tuples(st.just("time"), st.floats(0.0, 2.0)),
        st.tuples(st.just("caller"), st.sampled_from(["wait", "no"])),
        st.tuples(st.just("noise"), st.just("")),
        st.tuples(st.just("key"), st.sampled_from("12")),
    ),
    max_size=25,
)


@given(_STEPS)
def test_parts_add_up_to_what_was_heard(steps: list[tuple[str, str | float]]) -> None:
    """A look after each act, as the page does; the last state of each part counts."""
    call = session(dtmfDetection="true", interruptible="any")
    parts, at, told = AgentParts(call), 0.0, dict[int, AgentPart]()
    newest = 0

    for kind, value in steps:
        match kind, value:
            case "agent", str():
                call.receive(text(value, last=True), at)
            case "time", float():
                at += value
                call.advance(at)
            case "caller", str():
                call.begin_to_speak(value, at)
                for part in parts.look():
                    told[part.part] = part
                call.stop_speaking()
                call.prompt(value, at)
            case "noise", _:
                call.begin_to_speak("", at)
                call.stop_speaking()
            case _, str():
                call.press(value, at)
            case _:
                pass
        for part in parts.look():
            assert part.part >= newest, "a part that was over is told again"
            assert not (part.part in told and told[part.part].is_cut)
            newest = max(newest, part.part)
            told[part.part] = part

    heard = "".join(part.text[: part.heard] for part in told.values())
    assert heard.split() == "".join(call.playback.heard_replies).split()
