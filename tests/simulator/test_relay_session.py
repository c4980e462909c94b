"""What Twilio does in a session, as lists of events: frames, acts of the caller, and seconds.

The voice speaks eight characters a second, so that all times are exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.simulator.carrier import call_fields
from agent.simulator.relay_session import RelayHabits, RelaySession
from agent.simulator.speech_playback import HeardText
from agent.simulator.talk_cycles import Departure
from agent.simulator.twiml_reader import RelayInvitation
from tests.fuzzing import RUNS

HABITS = RelayHabits(pace=8.0)
EVENTS = {"events": "speaker-events tokens-played"}


def begun(
    attributes: Mapping[str, str] | None = None, habits: RelayHabits = HABITS
) -> RelaySession:
    """A session at second 0, without its `setup`."""
    invitation = RelayInvitation(
        "wss://voice.example.com/", attributes or {}, {"name": "Ada"}, "", call_fields()
    )
    session = RelaySession(invitation, habits, 0.0)
    session.set_up(0.0)
    session.outbox.popleft()
    return session


def text(token: str, **more: object) -> str:
    """A frame that closes its cycle unless `last` says otherwise."""
    return json.dumps({"type": "text", "token": token, "last": True, **more})


SOUND = '{"type":"play","source":"https://example.com/a.mp3","loop":1}'
END = '{"type":"end","handoffData":"{}"}'


def frames(session: RelaySession) -> list[str]:
    """What was sent since the last question, in short."""
    found = []
    while session.outbox:
        frame = json.loads(session.outbox.popleft())
        frame.pop("lang", None)
        found.append(" ".join(str(part) for part in frame.values()))
    return found


def test_setup_tells_of_the_call_and_its_parameters() -> None:
    """Fields may be replaced or left out."""
    habits = RelayHabits(setup={"callType": "SIP", "callerName": None})
    invitation = replace(begun().relay, fields=call_fields(CallSid="CA1", From="+15550100009"))
    session = RelaySession(invitation, habits, 0.0)

    session.set_up(0.0)

    assert json.loads(session.outbox[0]) == {
        "type": "setup", "sessionId": session.session_id, "accountSid": "AC" + "0" * 32,
        "callSid": "CA1", "parentCallSid": "", "from": "+15550100009", "to": "+15550100000",
        "forwardedFrom": "", "callType": "SIP", "direction": "inbound", "callStatus": "RINGING",
        "customParameters": {"name": "Ada"},
    }  # fmt: skip


def test_barge_in_reports_what_was_heard_to_the_character() -> None:
    """Over two messages: 11 characters after 1.375 seconds."""
    session = begun()
    session.receive(text("One two ", last=False), 1.0)
    session.receive(text("three four"), 1.5)

    assert session.begin_to_speak("Wait", 2.375)
    session.prompt("Wait, please", 3.0)

    assert frames(session) == ["interrupt One two thr 1375", "prompt Wait, please True"]
    assert session.cuts == [(2.375, "One two thr")]
    assert session.spoken == [(1.0, 2.375)]


def test_heard_text_may_be_that_of_one_message() -> None:
    session = begun(habits=RelayHabits(pace=8.0, heard=HeardText.MESSAGE))
    session.receive(text("One two ", last=False), 1.0)
    session.receive(text("three four"), 1.5)

    session.begin_to_speak("Wait", 2.375)

    assert frames(session) == ["interrupt thr 1375"]


def test_words_in_silence_come_alone() -> None:
    """All was heard: nothing is cut, and the next reply is counted from its beginning."""
    session = begun(EVENTS)
    session.receive(text("One two"), 1.0)

    assert session.begin_to_speak("Hello", 4.0)
    session.prompt("Hel", 4.5, is_final=False)
    session.prompt("Hello", 5.0)
    session.stop_speaking()
    session.receive(text("Good day"), 6.0)
    session.begin_to_speak("Wait", 6.5)

    before = ["info agentSpeaking on 0", "info tokensPlayed One two", "info agentSpeaking off 0"]
    words = ["info clientSpeaking on 0", "prompt Hel False", "prompt Hello True"]
    reports = ["clientSpeaking off", "agentSpeaking on", "clientSpeaking on", "agentSpeaking off"]
    after = [*(f"info {each} 0" for each in reports), "interrupt Good 500"]
    assert frames(session) == [*before, *words, *after]


@pytest.mark.parametrize(
    ("attributes", "message", "is_heard", "sent"),
    [
        ({}, {}, True, ["interrupt One 375"]),
        ({"interruptible": "any"}, {}, True, ["interrupt One 375"]),
        ({"interruptible": "speech"}, {}, True, ["interrupt One 375"]),
        ({"interruptible": "dtmf"}, {}, False, []),
        ({"interruptible": "none"}, {}, False, []),
        ({"interruptible": "none"}, {"interruptible": True}, True, ["interrupt One 375"]),
        ({}, {"interruptible": False}, False, []),
        ({"interruptible": "none", "reportInputDuringAgentSpeech": "speech"}, {}, True, []),
        ({"interruptible": "none", "reportInputDuringAgentSpeech": "any"}, {}, True, []),
        ({"interruptible": "none", "reportInputDuringAgentSpeech": "dtmf"}, {}, False, []),
    ],
)
def test_words_stop_speech_as_the_attributes_say(
    attributes: dict[str, str], message: dict[str, object], is_heard: bool, sent: list[str]
) -> None:
    session = begun(attributes)
    session.receive(text("One two three", **message), 1.0)

    assert session.begin_to_speak("Wait", 1.375) is is_heard
    assert frames(session) == sent


@pytest.mark.parametrize(
    ("attributes", "message", "is_delivered", "sent"),
    [
        ({}, {}, True, ["interrupt One 375", "dtmf 5"]),
        ({"interruptible": "dtmf"}, {}, True, ["interrupt One 375", "dtmf 5"]),
        ({"interruptible": "speech"}, {}, False, []),
        ({"interruptible": "none"}, {}, False, []),
        ({}, {"interruptible": False}, False, []),
        ({"interruptible": "none", "reportInputDuringAgentSpeech": "dtmf"}, {}, True, ["dtmf 5"]),
        ({"dtmfDetection": "false"}, {}, False, []),
    ],
)
def test_keys_stop_speech_as_the_attributes_say(
    attributes: dict[str, str], message: dict[str, object], is_delivered: bool, sent: list[str]
) -> None:
    session = begun({"dtmfDetection": "true", **attributes})
    session.receive(text("One two three", **message), 1.0)

    assert session.press("5", 1.375) is is_delivered
    assert frames(session) == sent


def test_key_in_silence_comes_alone() -> None:
    session = begun({"dtmfDetection": "true"})

    assert session.press("#", 1.0)
    assert frames(session) == ["dtmf #"]
    assert session.ledger.turn == 1


@pytest.mark.parametrize(
    ("words", "is_heard"), [("Uh-huh.", False), ("okay", False), ("No, wait", True)]
)
def test_nods_stop_nothing_if_they_are_ignored(words: str, is_heard: bool) -> None:
    session = begun({"ignoreBackchannel": "true"})
    session.receive(text("One two three"), 1.0)

    assert session.begin_to_speak(words, 1.5) is is_heard


@pytest.mark.parametrize(("allowed", "sent"), [("", ["interrupt Hell 500"]), ("none", [])])
def test_greeting_has_a_rule_of_its_own(allowed: str, sent: list[str]) -> None:
    session = begun({"welcomeGreeting": "Hello!", "welcomeGreetingInterruptible": allowed})

    assert session.begin_to_speak("Hi", 0.5) is bool(sent)
    assert frames(session) == sent


@pytest.mark.parametrize(
    ("attributes", "message", "heard"),
    [
        ({}, {}, "Please wait. Here it is."),
        ({"preemptible": "true"}, {}, "Please w Here it is."),
        ({}, {"preemptible": True}, "Please w Here it is."),
        ({"preemptible": "true"}, {"preemptible": False}, "Please wait. Here it is."),
    ],
)
def test_what_comes_next_takes_the_place_of_what_may_be_replaced(
    attributes: dict[str, str], message: dict[str, object], heard: str
) -> None:
    session = begun(attributes)
    session.receive(text("Please wait.", **message), 1.0)

    session.receive(text("Here it is."), 2.0)

    assert session.playback.text == heard


def test_sound_takes_time_and_is_no_text() -> None:
    """Two seconds for each time it is played; what follows waits."""
    session = begun({"events": "speaker-events"})
    session.receive(SOUND.replace('"loop":1', '"loop":2'), 1.0)
    session.receive(text("Done."), 1.0)

    session.begin_to_speak("Wait", 5.25)

    reports = ["agentSpeaking on", "clientSpeaking on", "agentSpeaking off"]
    assert frames(session) == [*(f"info {each} 0" for each in reports), "interrupt Do 4250"]


def test_language_and_keys_of_the_server_are_kept() -> None:
    session = begun({"language": "en-US"})
    session.receive('{"type":"language","ttsLanguage":"es-MX"}', 1.0)
    session.receive('{"type":"language","transcriptionLanguage":"de-DE"}', 1.0)
    session.receive('{"type":"sendDigits","digits":"12w#"}', 1.0)

    assert (session.languages, session.digits) == (["en-US", "es-MX"], "12w#")


def test_session_ends_when_what_was_queued_was_played() -> None:
    """Whatever comes later is a departure; the action URL is given the hand-off data."""
    session = begun()
    session.receive(text("Goodbye."), 1.0)
    session.receive(END, 1.0)
    due_at = session.due_at
    session.advance(1.5)
    before = session.ending

    session.advance(2.0)
    session.hang_up(3.0)
    session.receive(text("Wait"), 3.0)
    session.advance(4.0)

    assert (due_at, before, session.due_at) == (2.0, None, None)
    assert session.ending is not None
    found = session.action_fields(session.ending)
    own = {"SessionId": session.session_id, "SessionStatus": "ended", "SessionDuration": "2"}
    expected = {**session.relay.fields, **own, "CallStatus": "in-progress", "HandoffData": "{}"}
    assert found == expected
    assert [fault.kind for fault in session.ledger.departures] == [Departure.AFTER_END]


def test_end_without_data_hands_over_none() -> None:
    session = begun()

    session.receive('{"type":"end"}', 1.0)

    assert session.ending is not None
    assert "HandoffData" not in session.action_fields(session.ending)


def test_ten_malformed_frames_in_a_row_end_the_session() -> None:
    """Each is reported to the server; a good one starts the count anew."""
    session = begun()
    malformed = ["[]", "not json", '{"type":"text"}', '{"type":"Text","token":"a"}'] * 5
    for frame in [*malformed[:9], text("Good."), *malformed[:9]]:
        session.receive(frame, 1.0)
    before = session.ending

    session.receive('{"type":"text","token":"a","volume":1}', 2.0)

    assert before is None
    assert session.ending is not None
    assert (session.ending.status, session.ending.error) == ("failed", "64105")
    assert frames(session) == ["error Invalid message received"] * 19
    assert [each.kind for each in session.ledger.departures] == [Departure.BAD_FRAME] * 19


def test_noise_is_delivered_and_is_no_turn() -> None:
    session = begun()

    session.prompt("...", 1.0)
    session.prompt("Hello.", 2.0)

    assert frames(session) == ["prompt ... True", "prompt Hello. True"]
    assert session.ledger.asked == [2.0]


def test_final_words_may_come_again_or_extended() -> None:
    """Each is a turn, and the answer belongs to the last one."""
    session = begun()
    for at, words in enumerate(["I want", "I want", "I want a pizza"]):
        session.prompt(words, float(at))

    session.receive(text("A pizza."), 4.0)

    assert [frame.split(" ", 1)[1] for frame in frames(session)] == [
        "I want True", "I want True", "I want a pizza True",
    ]  # fmt: skip
    assert [cycle.turn for cycle in session.ledger.cycles] == [3]


@pytest.mark.parametrize(
    ("way", "status", "call", "error"),
    [
        (lambda session: session.hang_up(3.5), "completed", "completed", None),
        (lambda session: session.lost("39001", 3.5), "failed", "in-progress", "39001"),
        (lambda session: session.hung_up_on("CLOSE 1001", 3.5), "failed", "in-progress", "64105"),
    ],
)
def test_action_url_is_told_how_a_session_ended(
    way: object, status: str, call: str, error: str | None
) -> None:
    session = begun()
    assert callable(way)
    way(session)
    session.hung_up_on("CLOSE 1000", 4.0)

    assert session.ending is not None
    found = session.action_fields(session.ending)
    assert (found["SessionStatus"], found["CallStatus"]) == (status, call)
    assert (found["SessionDuration"], found.get("ErrorCode")) == ("3", error)
    assert len(session.ledger.departures) == (error == "64105")


# Whatever comes, in whatever order.

_TOKENS = tuple(chr(0x4E00 + number) * 6 for number in range(40))
"""No two have a character in common."""
_ACTS: Mapping[str, Callable[[RelaySession, str, float], object]] = {
    "token": lambda session, token, at: session.receive(text(token, last=False), at),
    "last": lambda session, _, at: session.receive(text("", last=True), at),
    "sound": lambda session, _, at: session.receive(SOUND, at),
    "junk": lambda session, _, at: session.receive("{", at),
    "begin": lambda session, _, at: session.begin_to_speak("Wait", at),
    "nod": lambda session, _, at: session.begin_to_speak("Uh-huh", at),
    "stop": lambda session, _, at: session.stop_speaking(),
    "half": lambda session, _, at: session.prompt("Hel", at, is_final=False),
    "final": lambda session, _, at: session.prompt("Hello", at),
    "press": lambda session, _, at: session.press("1", at),
    "listen": lambda session, _, at: session.advance(at),
}
_acts = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 3.0]), st.sampled_from(sorted(_ACTS))),
    max_size=len(_TOKENS),
)
_attributes = st.fixed_dictionaries(
    {"dtmfDetection": st.just("true"), "events": st.just("tokens-played")},
    optional={
        "interruptible": st.sampled_from(["none", "dtmf", "speech", "any"]),
        "reportInputDuringAgentSpeech": st.sampled_from(["none", "dtmf", "speech", "any"]),
        "ignoreBackchannel": st.just("true"),
        "welcomeGreeting": st.just("Hello."),
    },
)


@settings(max_examples=RUNS)
@given(_attributes, _acts)
def test_heard_text_begins_what_was_said_and_nothing_is_played_twice(
    attributes: dict[str, str], acts: list[tuple[float, str]]
) -> None:
    session = begun(attributes)
    at, said, played = 0.0, attributes.get("welcomeGreeting", ""), ""

    for token, (seconds, act) in zip(_TOKENS, acts, strict=False):
        at += seconds
        session.advance(at)
        was_playing = session.playback.is_playing
        _ACTS[act](session, token, at)
        said += token if act == "token" else ""
        for frame in map(json.loads, session.outbox):
            if frame["type"] == "interrupt":
                heard = frame["utteranceUntilInterrupt"].replace(" ", "")
                assert was_playing or act in {"token", "sound"}
                assert said.startswith(heard)
                said = heard
            elif frame.get("name") == "tokensPlayed":
                assert not set(frame["value"]) & set(played)
                played += frame["value"]
            elif frame["type"] == "dtmf" or frame.get("last"):
                said = said if session.playback.is_playing else ""
        session.outbox.clear()
