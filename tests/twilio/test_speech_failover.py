"""New sessions avoid a speech provider that failed; error codes of a session."""

from __future__ import annotations

import pytest

from agent.call.after_session import SessionFault
from agent.twilio.speech_failover import (
    AVOIDED_SECONDS,
    VOICE_ATTRIBUTES,
    SpeechHealth,
    SpeechSide,
    failed_side,
    session_fault,
)
from agent.usecases.relay_attributes import ATTRIBUTES
from tests.fakes import Clock

RELAY = {
    "ttsProvider": "ElevenLabs",
    "voice": "UgBBYS2sOqTuMpoF3BR0",
    "transcriptionProvider": "Deepgram",
    "speechModel": "flux",
    "eotThreshold": "0.7",
    "interruptible": "any",
}
VOICE = {"ttsProvider": "Google", "voice": "en-US-Journey-O"}


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def speech(clock: Clock) -> SpeechHealth:
    return SpeechHealth(clock)


@pytest.mark.parametrize(
    ("codes", "fault", "side"),
    [
        ([64111, 64112], SessionFault.CONNECTION, SpeechSide.VOICE),
        ([64114], SessionFault.CONNECTION, SpeechSide.TRANSCRIPTION),
        ([0, 39001, 64102, 64103, 64105, 64107, 64113, 99999], SessionFault.CONNECTION, None),
        ([64101, 64106], SessionFault.SPEECH_SETTINGS, None),
        ([64104, 64109, 64110], SessionFault.UNAVAILABLE, None),
        ([64108], SessionFault.CALLER_GONE, None),
    ],
)
def test_code_names_the_fault_of_a_session_and_the_side_that_failed(
    codes: list[int], fault: SessionFault, side: SpeechSide | None
) -> None:
    """An unknown code counts as a lost connection."""
    assert {(session_fault(code), failed_side(code)) for code in codes} == {(fault, side)}


def test_voice_attributes_exist() -> None:
    """A misspelt name would leave the attribute in that Twilio refused."""
    assert ATTRIBUTES.keys() >= VOICE_ATTRIBUTES
    assert not VOICE_ATTRIBUTES & {"url", "language", "interruptible", "dtmfDetection", "events"}


def test_backup_serves_for_a_minute(speech: SpeechHealth, clock: Clock) -> None:
    """Only the attributes of the failed side change."""
    speech.connected("CA1", RELAY, (), {})

    assert speech.failed("CA1", SpeechSide.VOICE) == "ElevenLabs"
    relay, _ = speech.connected("CA2", RELAY, (), {SpeechSide.VOICE: VOICE})
    assert relay == {**RELAY, **VOICE}
    clock.seconds += AVOIDED_SECONDS
    assert speech.connected("CA3", RELAY, (), {SpeechSide.VOICE: VOICE})[0] == RELAY


def test_without_a_backup_the_next_provider_serves(speech: SpeechHealth) -> None:
    """Another language gets no English voice."""
    speech.connected("CA1", RELAY, (), {})
    speech.failed("CA1", SpeechSide.VOICE)
    speech.failed("CA1", SpeechSide.TRANSCRIPTION)
    kept = {"interruptible": "any", "ttsProvider": "Amazon", "transcriptionProvider": "Google"}
    german = {"language": "de-DE"}

    relay, _ = speech.connected("CA2", RELAY, (), {})
    of_german, _ = speech.connected("CA2", {**RELAY, **german}, (), {})

    assert relay == {**kept, "voice": "Joanna-Neural"}
    assert of_german == {**kept, **german}


def test_backup_that_fails_as_well_is_avoided(speech: SpeechHealth) -> None:
    """With none left, the provider of the use case is used."""
    backups = {SpeechSide.VOICE: VOICE}
    told = []
    for _ in range(3):
        relay, _ = speech.connected("CA1", RELAY, (), backups)
        told.append(relay["ttsProvider"])
        assert speech.failed("CA1", SpeechSide.VOICE) == told[-1]

    assert told == ["ElevenLabs", "Google", "Amazon"]
    assert speech.connected("CA1", RELAY, (), backups)[0] == RELAY


def test_languages_change_with_the_provider(speech: SpeechHealth) -> None:
    """Those that name it or inherit it; `multi` is known to it alone."""
    languages = (
        {"code": "es-US", "ttsProvider": "ElevenLabs", "voice": "x"},
        {"code": "fr-FR", "ttsProvider": "Amazon", "voice": "Lea-Neural"},
        {"code": "de-DE"},
        {"code": "multi", "ttsProvider": "ElevenLabs"},
    )
    speech.failed("CA1", SpeechSide.VOICE, RELAY)

    _, spoken = speech.connected("CA2", RELAY, languages, {SpeechSide.VOICE: VOICE})

    assert spoken == (
        {"code": "es-US", "ttsProvider": "Google"},
        {"code": "fr-FR", "ttsProvider": "Amazon", "voice": "Lea-Neural"},
        {"code": "de-DE", "ttsProvider": "Google"},
        {"code": "multi", "ttsProvider": "ElevenLabs"},
    )


def test_failure_of_an_unknown_session_has_no_effect(speech: SpeechHealth) -> None:
    assert speech.failed("CA1", SpeechSide.VOICE) == ""
    assert speech.connected("CA2", RELAY, (), {})[0] == RELAY


def test_number_of_remembered_sessions_is_bounded(speech: SpeechHealth) -> None:
    for number in range(10_001):
        speech.connected(f"CA{number}", RELAY, (), {})

    assert speech.failed("CA0", SpeechSide.VOICE) == ""
    assert speech.failed("CA1", SpeechSide.VOICE) == "ElevenLabs"
