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
from agent.twilio.inbound_frames import (
    MAX_FRAME_BYTES,
    ConfigUpdated,
    FrameFault,
    IgnoredFrame,
    IgnoredKind,
    Inbound,
    RelayError,
    RoundTrip,
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
    (
        '{"type":"info","name":"agentSpeaking","value":"start"}',
        PlaybackReported(Playback.AGENT_ON),
    ),
    (
        '{"type":"info","name":"agentSpeaking","value":"off"}',
        PlaybackReported(Playback.AGENT_OFF),
    ),
    (
        '{"type":"info","name":"agentSpeaking","value":"stop"}',
        PlaybackReported(Playback.AGENT_OFF),
    ),
    (
        '{"type":"info","name":"clientSpeaking","value":"on"}',
        PlaybackReported(Playback.CALLER_ON),
    ),
    (
        '{"type":"info","name":"clientSpeaking","value":"start"}',
        PlaybackReported(Playback.CALLER_ON),
    ),
    (
        '{"type":"info","name":"clientSpeaking","value":"off"}',
        PlaybackReported(Playback.CALLER_OFF),
    ),
    (
        '{"type":"info","name":"clientSpeaking","value":"stop"}',
        PlaybackReported(Playback.CALLER_OFF),
    ),
    (
        '{"type":"info","name":"tokensPlayed","value":"Let me check "}',
        PlaybackReported(Playback.PLAYED, "Let me check "),
    ),
    ('{"type":"info","name":"roundTripDelayMs","value":"121"}', RoundTrip(121)),
    ('{"type":"info","name":"roundTripDelayMs","value":121}', RoundTrip(121)),
    (
        '{"type":"info","name":"configUpdated","value":{"ttsProvider":"Google"}}',
        ConfigUpdated('{"ttsProvider":"Google"}'),
    ),
]


@pytest.mark.parametrize(("text", "meaning"), DOCUMENTED)
def test_every_documented_frame_is_understood(text: str, meaning: Inbound) -> None:
    """Each inbound message and field of section 2 has its place in the domain."""
    check_inbound(text)

    assert parse(text) == meaning


def test_the_examples_hold_every_inbound_type() -> None:
    """A type added to the schemas needs an example above."""
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
    """Absent, null, empty and unknown fields of a setup are no error."""
    frame = parse('{"type":"setup","callSid":"CA1"' + rest + "}")

    assert frame == Setup(call_sid="CA1")


@pytest.mark.parametrize(
    ("last", "is_final"),
    [("true", True), ("false", False), ("null", True), ('"true"', True), ('"false"', False)],
)
def test_words_are_final_unless_the_relay_says_otherwise(last: str, is_final: bool) -> None:
    """Only an explicit false makes a partial transcript."""
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
    """A duration that makes no sense is left out; the interrupt itself counts."""
    frame = parse(f'{{"type":"interrupt","durationUntilInterruptMs":{duration}}}')

    assert frame == CallerInterrupted("", after_ms)


def test_an_interrupt_need_not_say_what_was_heard() -> None:
    """Null for the heard text reads as nothing heard."""
    assert parse('{"type":"interrupt","utteranceUntilInterrupt":null}') == CallerInterrupted("")


def test_an_error_need_not_say_anything() -> None:
    """An error frame without fields is still an error of the relay."""
    assert parse('{"type":"error"}') == RelayError("", None)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type":"connected"}', IgnoredKind.UNKNOWN_TYPE),
        ('{"type":"text","token":"x","last":true}', IgnoredKind.UNKNOWN_TYPE),
        ('{"type":""}', IgnoredKind.UNKNOWN_TYPE),
        ('{"type":"Prompt","voicePrompt":"x"}', IgnoredKind.UNKNOWN_TYPE),
        ('{"type":"info","name":"+15550001111","value":1}', IgnoredKind.UNKNOWN_INFO),
        ('{"type":"info","name":"agentSpeaking","value":"maybe"}', IgnoredKind.UNKNOWN_INFO),
        ('{"type":"info","name":"clientSpeaking"}', IgnoredKind.UNKNOWN_INFO),
    ],
)
def test_what_nobody_told_us_about_is_not_heeded(text: str, kind: IgnoredKind) -> None:
    """Unknown types and info names are counted by a closed list of kinds, and are no error."""
    assert parse(text) == IgnoredFrame(kind)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", FrameFault.NOT_JSON),
        ("hello", FrameFault.NOT_JSON),
        ('{"type":"dtmf","digit":"5"', FrameFault.NOT_JSON),
        ('{"type":"dtmf","digit":"5"} x', FrameFault.NOT_JSON),
        ('{"type":"prompt","voicePrompt":NaN}', FrameFault.NOT_JSON),
        ('{"type":"prompt","voicePrompt":"\\ud800 "}', FrameFault.NOT_JSON),
        ('{"type":"prompt","voicePrompt":"\ud800"}', FrameFault.NOT_JSON),
        ('{"type":"prompt","more":' + "[" * 60_000, FrameFault.NOT_JSON),
        ('{"type":"setup","customParameters":' + '{"a":' * 10_000, FrameFault.NOT_JSON),
        ("[" * 60_000, FrameFault.NO_TYPE),
        ("[]", FrameFault.NO_TYPE),
        ("null", FrameFault.NO_TYPE),
        ("9" * 5000, FrameFault.NO_TYPE),
        ("{}", FrameFault.NO_TYPE),
        ('{"type":null}', FrameFault.NO_TYPE),
        ('{"type":5}', FrameFault.NO_TYPE),
        ('{"type":"prompt"}', FrameFault.BAD_FIELD),
        ('{"type":"prompt","voicePrompt":null}', FrameFault.BAD_FIELD),
        ('{"type":"prompt","voicePrompt":["x"]}', FrameFault.BAD_FIELD),
        ('{"type":"prompt","voicePrompt":"x","last":"perhaps"}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf"}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf","digit":"A"}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf","digit":"12"}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf","digit":"5\\n"}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf","digit":""}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf","digit":"٣"}', FrameFault.BAD_FIELD),
        ('{"type":"dtmf","digit":5}', FrameFault.BAD_FIELD),
        ('{"type":"setup","callSid":7}', FrameFault.BAD_FIELD),
        ('{"type":"info","value":"on"}', FrameFault.BAD_FIELD),
        ('{"type":"info","name":"agentSpeaking","value":1}', FrameFault.BAD_FIELD),
        ('{"type":"info","name":"tokensPlayed","value":{}}', FrameFault.BAD_FIELD),
        ('{"type":"info","name":"roundTripDelayMs","value":"fast"}', FrameFault.BAD_FIELD),
        ('{"type":"info","name":"roundTripDelayMs"}', FrameFault.BAD_FIELD),
    ],
)
def test_what_cannot_be_read_is_a_protocol_error(text: str, fault: FrameFault) -> None:
    """Each unreadable frame raises one of the closed list of kinds."""
    with pytest.raises(RelayProtocolError) as raised:
        parse(text)

    assert raised.value.kind is fault


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_frame_may_have_64_kibibytes_and_not_one_more(letter: str) -> None:
    """The size limit counts bytes, not characters."""
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
    assert isinstance(outcome, (*get_args(Inbound), FrameFault))


@given(st.text() | st.text(st.characters(codec=None)))
@example("\ud800")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Parsing raises nothing but a protocol error of a known kind."""
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
    """The same for objects that look like frames, with any JSON, and NaN, as their values."""
    named = {} if name is None else {"name": name}

    _read_or_refuse(json.dumps({"type": kind, **fields, **named}))
