"""Every frame that Twilio documents is parsed to an event."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    Playback,
    PlaybackReported,
)
from agent.errors import RelayProtocolError
from agent.twilio.relay_frames import (
    MAX_FRAME_BYTES,
    FrameFault,
    IgnoredFrame,
    IgnoredKind,
    Inbound,
    RelayError,
    Setup,
    parse,
)
from tests.twilio.schemas import INBOUND, check_inbound

SETUP = (
    '{"type":"setup","sessionId":"VX11111111111111111111111111111111",'
    '"accountSid":"AC22222222222222222222222222222222",'
    '"callSid":"CA33333333333333333333333333333333","parentCallSid":"CA4","from":"+15550001111",'
    '"to":"+15550002222","forwardedFrom":"+15550003333","callerName":"Ann","callType":"PSTN",'
    '"direction":"inbound","callStatus":"RINGING",'
    '"customParameters":{"tenantId":"acme","sessionToken":"s1"}}'
)

DOCUMENTED: list[tuple[str, Inbound]] = [
    (
        SETUP,
        Setup("CA33333333333333333333333333333333", "AC22222222222222222222222222222222"),
    ),
    (
        '{"type":"prompt","voicePrompt":"I would like to move my","lang":"en-US","last":false}',
        CallerSpoke("I would like to move my", is_final=False, language="en-US"),
    ),
    (
        '{"type":"prompt","voicePrompt":"My appointment.","lang":"en-US","last":true}',
        CallerSpoke("My appointment.", is_final=True, language="en-US"),
    ),
    (
        '{"type":"prompt","voicePrompt":"Sí.","lang":"es","last":true,"agentSpeaking":"off"}',
        CallerSpoke("Sí.", is_final=True, language="es"),
    ),
    ('{"type":"prompt","voicePrompt":"Yes"}', CallerSpoke("Yes", is_final=True, language="")),
    ('{"type":"dtmf","digit":"5"}', CallerPressed("5")),
    ('{"type":"dtmf","digit":"*"}', CallerPressed("*")),
    ('{"type":"dtmf","digit":"#"}', CallerPressed("#")),
    (
        '{"type":"interrupt","utteranceUntilInterrupt":"Your appointment is",'
        '"durationUntilInterruptMs":1830}',
        CallerInterrupted("Your appointment is", 1830),
    ),
    (
        '{"type":"interrupt","utteranceUntilInterrupt":"","durationUntilInterruptMs":"460"}',
        CallerInterrupted("", 460),
    ),
    (
        '{"type":"error","description":"Invalid message received: {}"}',
        RelayError("Invalid message received: {}", None),
    ),
    (
        '{"type":"error","description":"Invalid message","code":64107}',
        RelayError("Invalid message", 64107),
    ),
    (
        '{"type":"error","description":"Invalid message","errorCode":"64107"}',
        RelayError("Invalid message", 64107),
    ),
    (
        '{"type":"info","name":"agentSpeaking","value":"on","ts":1780000000000}',
        PlaybackReported(Playback.AGENT_ON),
    ),
    *[
        (f'{{"type":"info","name":"{name}","value":"{value}"}}', PlaybackReported(playback))
        for name, value, playback in [
            ("agentSpeaking", "start", Playback.AGENT_ON),
            ("agentSpeaking", "off", Playback.AGENT_OFF),
            ("agentSpeaking", "stop", Playback.AGENT_OFF),
            ("clientSpeaking", "on", Playback.CALLER_ON),
            ("clientSpeaking", "start", Playback.CALLER_ON),
            ("clientSpeaking", "off", Playback.CALLER_OFF),
            ("clientSpeaking", "stop", Playback.CALLER_OFF),
        ]
    ],
    (
        '{"type":"info","name":"tokensPlayed","value":"Let me check "}',
        PlaybackReported(Playback.PLAYED, "Let me check "),
    ),
    (
        '{"type":"info","name":"roundTripDelayMs","value":"121"}',
        IgnoredFrame("unused_info"),
    ),
    (
        '{"type":"info","name":"configUpdated","value":{"ttsProvider":"Google"}}',
        IgnoredFrame("unused_info"),
    ),
]


@pytest.mark.parametrize(("text", "meaning"), DOCUMENTED)
def test_every_documented_frame_is_understood(text: str, meaning: Inbound) -> None:
    check_inbound(text)

    assert parse(text) == meaning


def test_the_examples_hold_every_inbound_type() -> None:
    assert {json.loads(text)["type"] for text, _ in DOCUMENTED} == set(INBOUND)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        ',"customParameters":null,"from":null,"callerName":null',
        ',"customParameters":{},"from":"","parentCallSid":"","applicationSid":"AP1"',
        ',"callControlId":"v3:x","callLegId":{"a":[1]},"applicationSid":null',
    ],
)
def test_setup_may_lack_nearly_everything(rest: str) -> None:
    frame = parse('{"type":"setup","callSid":"CA1"' + rest + "}")

    assert frame == Setup(call_sid="CA1")


@pytest.mark.parametrize(
    ("last", "is_final"),
    [("true", True), ("false", False), ("null", True), ('"true"', True), ('"false"', False)],
)
def test_words_are_final_unless_the_relay_says_otherwise(last: str, is_final: bool) -> None:
    frame = parse(f'{{"type":"prompt","voicePrompt":"Hi","lang":null,"last":{last}}}')

    assert frame == CallerSpoke("Hi", is_final=is_final)


@pytest.mark.parametrize(
    ("duration", "after_ms"),
    [
        ("460", 460),
        ("460.0", 460),
        ('"460"', 460),
        ('"460.7"', 460),
        ("0", 0),
        ("null", None),
        ('""', None),
        ('"soon"', None),
        ('"nan"', None),
        ('"inf"', None),
        ("-1", None),
        ("true", None),
        ("[460]", None),
        ('{"ms":460}', None),
        ("9" * 5000, None),
        ("1e999", None),
        ("1e300", None),
    ],
)
def test_an_interrupt_survives_any_duration(duration: str, after_ms: int | None) -> None:
    frame = parse(f'{{"type":"interrupt","durationUntilInterruptMs":{duration}}}')

    assert frame == CallerInterrupted("", after_ms)


def test_fields_of_an_interrupt_and_an_error_may_be_missing() -> None:
    assert parse('{"type":"interrupt","utteranceUntilInterrupt":null}') == CallerInterrupted("")
    assert parse('{"type":"error"}') == RelayError("", None)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type":"connected"}', "unknown_type"),
        ('{"type":"text","token":"x","last":true}', "unknown_type"),
        ('{"type":""}', "unknown_type"),
        ('{"type":"Prompt","voicePrompt":"x"}', "unknown_type"),
        ('{"type":"info","name":"+15550001111","value":1}', "unknown_info"),
        ('{"type":"info","name":"agentSpeaking","value":"maybe"}', "unknown_info"),
        ('{"type":"info","name":"clientSpeaking"}', "unknown_info"),
    ],
)
def test_unknown_frame_is_ignored_with_a_kind(text: str, kind: IgnoredKind) -> None:
    """Kinds are a closed set, for a metric's label."""
    assert parse(text) == IgnoredFrame(kind)


UNREADABLE: dict[FrameFault, list[str]] = {
    "not_json": [
        "",
        "hello",
        '{"type":"dtmf","digit":"5"',
        '{"type":"dtmf","digit":"5"} x',
        '{"type":"prompt","voicePrompt":NaN}',
        '{"type":"prompt","voicePrompt":"\\ud800 "}',
        '{"type":"prompt","voicePrompt":"\ud800"}',
        '{"type":"prompt","more":' + "[" * 60_000,
        '{"type":"setup","customParameters":' + '{"a":' * 10_000,
    ],
    "no_type": [
        "[" * 60_000,
        "[]",
        "null",
        "9" * 5000,
        "{}",
        '{"type":null}',
        '{"type":5}',
    ],
    "bad_field": [
        '{"type":"prompt"}',
        '{"type":"prompt","voicePrompt":null}',
        '{"type":"prompt","voicePrompt":["x"]}',
        '{"type":"prompt","voicePrompt":"x","last":"perhaps"}',
        '{"type":"dtmf"}',
        '{"type":"dtmf","digit":"A"}',
        '{"type":"dtmf","digit":"12"}',
        '{"type":"dtmf","digit":"5\\n"}',
        '{"type":"dtmf","digit":""}',
        '{"type":"dtmf","digit":"٣"}',
        '{"type":"dtmf","digit":5}',
        '{"type":"setup","callSid":7}',
        '{"type":"info","value":"on"}',
        '{"type":"info","name":"agentSpeaking","value":1}',
        '{"type":"info","name":"tokensPlayed","value":{}}',
    ],
}


@pytest.mark.parametrize(
    ("text", "fault"), [(text, fault) for fault in UNREADABLE for text in UNREADABLE[fault]]
)
def test_frame_that_cannot_be_read_raises_one_of_a_closed_set_of_faults(
    text: str, fault: FrameFault
) -> None:
    with pytest.raises(RelayProtocolError) as raised:
        parse(text)

    assert raised.value.kind is fault


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_frame_may_have_64_kibibytes_and_not_one_more(letter: str) -> None:
    frame = '{"type":"prompt","voicePrompt":""}'
    words = letter * ((MAX_FRAME_BYTES - len(frame)) // len(letter.encode()))
    largest = frame.replace('""', f'"{words}"')

    assert parse(largest) == CallerSpoke(words)
    with pytest.raises(RelayProtocolError, match="too_large"):
        parse(largest + "  ")


def _read_or_refuse(text: str) -> None:
    outcome: object
    try:
        outcome = parse(text)
    except RelayProtocolError as error:
        outcome = error.kind
    assert isinstance(outcome, get_args(Inbound)) or outcome in get_args(FrameFault)


@given(st.text() | st.text(st.characters(codec=None)))
@example("\ud800")
def test_any_text_is_read_or_refused(text: str) -> None:
    _read_or_refuse(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    sorted({key for text, _ in DOCUMENTED for key in json.loads(text)} - {"type"})
)
_INFOS = st.sampled_from(
    ["agentSpeaking", "clientSpeaking", "tokensPlayed", "roundTripDelayMs", "configUpdated"]
)


@given(
    st.sampled_from(sorted(INBOUND)),
    st.dictionaries(_NAMES, _JSON | st.sampled_from(["on", "5"])),
    st.none() | _INFOS,
)
def test_any_object_is_read_or_refused(
    kind: str, fields: dict[str, object], name: str | None
) -> None:
    """Objects that look like frames, with any JSON and NaN as values."""
    named = {} if name is None else {"name": name}

    _read_or_refuse(json.dumps({"type": kind, **fields, **named}))
