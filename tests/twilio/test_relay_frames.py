"""Every frame that Twilio documents is parsed to an event, and every action is written as one."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.call.actions import EndCall, Play, SendDigits, Speak, SwitchLanguage, TransportAction
from agent.call.events import (
    CallerInterrupted,
    CallerPressed,
    CallerSpoke,
    Playback,
    PlaybackReported,
)
from agent.errors import RelayProtocolError
from agent.simulator.server_frames import FrameError, read_frame
from agent.twilio.relay_frames import (
    MAX_FRAME_BYTES,
    FrameFault,
    IgnoredFrame,
    IgnoredKind,
    Inbound,
    RelayError,
    Setup,
    parse,
    render,
)
from tests.twilio.schemas import INBOUND, check_inbound


def frame(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))


SETUP = {
    "sessionId": "VX1", "accountSid": "AC2", "callSid": "CA3", "parentCallSid": "CA4",
    "from": "+15550001111", "to": "+15550002222", "forwardedFrom": "+15550003333",
    "callerName": "Ann", "callType": "PSTN", "direction": "inbound", "callStatus": "RINGING",
    "customParameters": {"tenantId": "acme", "sessionToken": "s1"},
}  # fmt: skip
_SPEAKING = {
    "agentSpeaking": (Playback.AGENT_ON, Playback.AGENT_OFF),
    "clientSpeaking": (Playback.CALLER_ON, Playback.CALLER_OFF),
}
DOCUMENTED: list[tuple[str, Inbound]] = [
    (frame("setup", **SETUP), Setup("CA3", "AC2")),
    (
        frame("prompt", voicePrompt="I would like to move my", lang="en-US", last=False),
        CallerSpoke("I would like to move my", is_final=False, language="en-US"),
    ),
    (
        frame("prompt", voicePrompt="My appointment.", lang="en-US", last=True),
        CallerSpoke("My appointment.", is_final=True, language="en-US"),
    ),
    (
        frame("prompt", voicePrompt="Sí.", lang="es", last=True, agentSpeaking="off"),
        CallerSpoke("Sí.", is_final=True, language="es"),
    ),
    (frame("prompt", voicePrompt="Yes"), CallerSpoke("Yes", is_final=True, language="")),
    *((frame("dtmf", digit=digit), CallerPressed(digit)) for digit in "5*#"),
    (
        frame("interrupt", utteranceUntilInterrupt="Your", durationUntilInterruptMs=1830),
        CallerInterrupted("Your", 1830),
    ),
    (
        frame("interrupt", utteranceUntilInterrupt="", durationUntilInterruptMs="460"),
        CallerInterrupted("", 460),
    ),
    (frame("error", description="Invalid: {}"), RelayError("Invalid: {}", None)),
    (frame("error", description="Invalid", code=64107), RelayError("Invalid", 64107)),
    (frame("error", description="Invalid", errorCode="64107"), RelayError("Invalid", 64107)),
    (
        frame("info", name="agentSpeaking", value="on", ts=1780000000000),
        PlaybackReported(Playback.AGENT_ON),
    ),
    *(
        (frame("info", name=name, value=value), PlaybackReported(playback))
        for name, (on, off) in _SPEAKING.items()
        for value, playback in (("on", on), ("start", on), ("off", off), ("stop", off))
    ),
    (
        frame("info", name="tokensPlayed", value="Let me check "),
        PlaybackReported(Playback.PLAYED, "Let me check "),
    ),
    (frame("info", name="roundTripDelayMs", value="121"), IgnoredFrame("unused_info")),
    (frame("info", name="configUpdated", value={"a": "b"}), IgnoredFrame("unused_info")),
]


@pytest.mark.parametrize(("text", "meaning"), DOCUMENTED)
def test_every_documented_frame_is_understood(text: str, meaning: Inbound) -> None:
    check_inbound(text)

    assert parse(text) == meaning


def test_the_examples_hold_every_inbound_type() -> None:
    assert {json.loads(text)["type"] for text, _ in DOCUMENTED} == set(INBOUND)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('{"type":"setup","callSid":"CA1"}', Setup("CA1")),
        ('{"type":"setup","callSid":"CA1","customParameters":null,"from":null}', Setup("CA1")),
        ('{"type":"setup","callSid":"CA1","accountSid":"","applicationSid":"AP1"}', Setup("CA1")),
        ('{"type":"setup","callSid":"CA1","callLegId":{"a":[1]},"to":null}', Setup("CA1")),
        *(
            (
                f'{{"type":"prompt","voicePrompt":"Hi","lang":null,"last":{last}}}',
                CallerSpoke("Hi", is_final="false" not in last),
            )
            for last in ("true", "false", "null", '"true"', '"false"')
        ),
        ('{"type":"interrupt","utteranceUntilInterrupt":null}', CallerInterrupted("")),
        ('{"type":"error"}', RelayError("", None)),
    ],
)
def test_nearly_every_field_may_be_missing_or_null(text: str, meaning: Inbound) -> None:
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("durations", "after_ms"),
    [
        (["460", "460.0", '"460"', '"460.7"'], 460),
        (["0"], 0),
        (["null", '""', '"soon"', '"nan"', '"inf"', "-1", "true", "[460]", '{"ms":460}'], None),
        (["9" * 5000, "1e999", "1e300"], None),
    ],
)
def test_an_interrupt_survives_any_duration(durations: list[str], after_ms: int | None) -> None:
    for duration in durations:
        text = f'{{"type":"interrupt","durationUntilInterruptMs":{duration}}}'

        assert parse(text) == CallerInterrupted("", after_ms)


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
    "no_type": ["[" * 60_000, "[]", "null", "9" * 5000, "{}", '{"type":null}', '{"type":5}'],
    "bad_field": [
        '{"type":"prompt"}',
        '{"type":"prompt","voicePrompt":null}',
        '{"type":"prompt","voicePrompt":["x"]}',
        '{"type":"prompt","voicePrompt":"x","last":"perhaps"}',
        '{"type":"dtmf"}',
        *(f'{{"type":"dtmf","digit":{digit}}}' for digit in ('"A"', '"12"', '"5\\n"', '""', "5")),
        '{"type":"dtmf","digit":"٣"}',
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

    assert raised.value.kind == fault


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_frame_may_have_64_kibibytes_and_not_one_more(letter: str) -> None:
    least = '{"type":"prompt","voicePrompt":""}'
    words = letter * ((MAX_FRAME_BYTES - len(least)) // len(letter.encode()))
    largest = least.replace('""', f'"{words}"')

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


_ANY_TEXT = st.text(st.characters(codec=None))


@given(st.text() | _ANY_TEXT)
@example("\ud800")
def test_any_text_is_read_or_refused(text: str) -> None:
    _read_or_refuse(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    sorted({key for text, _ in DOCUMENTED for key in json.loads(text)} - {"type"})
)
_INFOS = st.sampled_from([*_SPEAKING, "tokensPlayed", "roundTripDelayMs", "configUpdated"])


@given(
    st.sampled_from(sorted(INBOUND)),
    st.dictionaries(_KEYS, _JSON | st.sampled_from(["on", "5"])),
    st.none() | _INFOS,
)
def test_any_object_is_read_or_refused(
    kind: str, fields: dict[str, object], name: str | None
) -> None:
    """Objects that look like frames, with any JSON and NaN as values."""
    named = {} if name is None else {"name": name}

    _read_or_refuse(json.dumps({"type": kind, **fields, **named}))


LOOP = "http://a.example/x?y=%20z"
SOUND = "https://assets.example.com/typing.mp3"


@pytest.mark.parametrize(
    ("action", "written"),
    [
        (Speak(1, "Let me check "), frame("text", token="Let me check ", last=False)),
        (Speak(1, "", is_last=True), frame("text", token="", last=True)),
        (
            Speak(1, 'Zoë said "hi" ', interruptible=False, preemptible=True),
            '{"type":"text","token":"Zoë said \\"hi\\" ","last":false,'
            '"interruptible":false,"preemptible":true}',
        ),
        (Speak(1, "half \ud83d of one"), frame("text", token="half  of one", last=False)),
        (Play(SOUND), frame("play", source=SOUND, loop=1, preemptible=True)),
        (
            Play(LOOP, loop=0, preemptible=False, interruptible=True),
            frame("play", source=LOOP, loop=0, preemptible=False, interruptible=True),
        ),
        (
            Speak(1, "Claro.", is_last=True, language="es-US"),
            frame("text", token="Claro.", last=True, lang="es-US"),
        ),
        (SendDigits("1w2#*"), frame("sendDigits", digits="1w2#*")),
        (
            SwitchLanguage("es-US"),
            frame("language", ttsLanguage="es-US", transcriptionLanguage="es-US"),
        ),
        (SwitchLanguage("es-US", voice_only=True), frame("language", ttsLanguage="es-US")),
        (EndCall(), '{"type":"end"}'),
        (
            EndCall('{"v":1,"reason":"human"}'),
            '{"type":"end","handoffData":"{\\"v\\":1,\\"reason\\":\\"human\\"}"}',
        ),
    ],
)
def test_every_action_of_the_transport_has_its_frame(action: TransportAction, written: str) -> None:
    read_frame(written)

    assert render(action).decode() == written


@pytest.mark.parametrize(
    "action",
    [
        *map(SendDigits, ("", "12A", "1W", "1\n", "٣")),
        *map(Play, ("", "typing.mp3", "file:///etc/passwd", "https://", "https:///x.mp3")),
        *map(Play, ("https://[x.mp3", "https://a.example/a b.mp3", "https://a.example/a\n.mp3")),
        *(Play("https://a.example/ä.mp3"), Play(SOUND, loop=-1), Play(SOUND, loop=1001)),
        *map(SwitchLanguage, ("", "en US", "en_US", "en-US\n")),
        Speak(1, "Claro.", language="es_US"),
    ],
)
def test_a_frame_the_relay_would_refuse_is_not_written(action: TransportAction) -> None:
    """A programming error raises `ValueError`."""
    with pytest.raises(ValueError, match=r"digits|URL|loop|tag"):
        render(action)


_FLAGS = st.none() | st.booleans()
_TAGS = st.sampled_from(["en-US", "multi", "cmn-CN"]) | _ANY_TEXT
_SOURCES = _ANY_TEXT.map("https://assets.example.com/".__add__) | _ANY_TEXT
_ACTIONS: st.SearchStrategy[TransportAction] = st.one_of(
    st.builds(Speak, st.integers(), _ANY_TEXT, st.booleans(), _FLAGS, _FLAGS, _TAGS),
    st.builds(Play, _SOURCES, st.integers(-1, 1001), st.booleans(), _FLAGS),
    st.builds(SendDigits, st.text("0123456789*#wA\n")),
    st.builds(SwitchLanguage, _TAGS, st.booleans()),
    st.builds(EndCall, _ANY_TEXT),
)


@given(_ACTIONS)
def test_no_action_becomes_an_invalid_frame(action: TransportAction) -> None:
    """A rendered frame is one that the relay accepts; any other action is a `ValueError`."""
    try:
        written = render(action).decode()
    except ValueError:
        return

    read_frame(written)


@pytest.mark.parametrize(
    "refused",
    [
        "[]",
        "{}",
        '{"type":"interrupt"}',
        '{"type":"text","last":true}',
        '{"type":"text","token":null}',
        '{"type":"text","token":"x","interruptible":"any"}',
        '{"type":"end","handoffData":{"v":1}}',
        '{"type":"sendDigits","digits":"1A"}',
        '{"type":"language"}',
        '{"type":"play","source":"typing.mp3"}',
        '{"type":"config","interruptible":false}',
    ],
)
def test_the_simulator_refuses_what_the_relay_refuses(refused: str) -> None:
    """Common mistakes fail the check that the tests of outbound frames rely on."""
    with pytest.raises(FrameError):
        read_frame(refused)


def test_the_schemas_of_inbound_frames_are_schemas() -> None:
    for schema in INBOUND.values():
        Draft202012Validator.check_schema(schema)
