"""Caller and agent speak at the same time: what Twilio stops and reports, in either order."""

from __future__ import annotations

import json

from agent.simulator.relay_session import RelayHabits, RelaySession
from agent.simulator.talk_cycles import Departure, TalkLedger
from agent.simulator.twiml_reader import RelayInvitation

PACE = 10.0
"""Characters a second."""
ANSWER = json.dumps({"type": "text", "token": "One moment, please.", "last": True})
FIELDS = {"AccountSid": "AC0", "CallSid": "CA0", "To": "+15550100000"}
FIELDS |= {"Direction": "inbound", "CallStatus": "in-progress"}


def session(**attributes: str) -> RelaySession:
    relay = RelayInvitation("wss://voice.example.com", attributes, {}, "", FIELDS)
    return RelaySession(relay, RelayHabits(pace=PACE), 0.0)


def sent(call: RelaySession) -> list[str]:
    """Types of the frames to the server since the last look."""
    found = [str(json.loads(frame)["type"]) for frame in call.outbox]
    call.outbox.clear()
    return found


def test_answer_that_begins_while_the_caller_speaks_is_interrupted() -> None:
    call = session()
    call.begin_to_speak("and another thing", 0.0)

    call.receive(ANSWER, 0.5)

    assert sent(call) == ["interrupt"]
    assert call.cuts == [(0.5, "")]
    assert not call.playback.is_playing


def test_answer_that_begins_before_the_final_words_is_interrupted_by_them() -> None:
    call = session()
    call.begin_to_speak("yes", 0.0)
    call.stop_speaking()
    call.receive(ANSWER, 0.5)
    heard_before = sent(call)

    call.prompt("yes", 0.8)

    assert heard_before == []
    assert sent(call) == ["interrupt", "prompt"]
    assert call.cuts == [(0.8, "One")]


def test_answer_that_may_not_be_interrupted_is_talked_over() -> None:
    call = session(interruptible="none", reportInputDuringAgentSpeech="speech")
    call.begin_to_speak("and another thing", 0.0)
    call.receive(ANSWER, 0.5)

    call.prompt("and another thing", 0.8)

    assert sent(call) == ["prompt"]
    assert call.playback.is_playing


def test_key_begins_a_new_reply_as_words_do() -> None:
    call = session(dtmfDetection="true")
    call.receive(ANSWER, 0.0)
    call.advance(5.0)
    call.press("1", 5.0)
    call.receive(json.dumps({"type": "text", "token": "You pressed one.", "last": True}), 5.0)

    call.begin_to_speak("wait", 5.35)

    assert call.cuts == [(5.35, "You")]


def test_server_that_breaks_the_silence_after_a_noise_is_right() -> None:
    late, silence = (TalkLedger(in_flight_seconds=0.5, stale_seconds=5.0) for _ in range(2))

    for ledger, at in ((late, 4.9), (silence, 5.1)):
        ledger.interrupted(0.0)
        ledger.received(ANSWER, at)

    assert [each.kind for each in late.departures] == [Departure.TALKED_ON]
    assert silence.departures == []
