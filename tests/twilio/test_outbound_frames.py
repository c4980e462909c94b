"""Every action of the transport is written as a frame that Twilio documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from agent.call.actions import EndCall, Play, SendDigits, Speak, SwitchLanguage, TransportAction
from agent.twilio.relay_frames import render
from tests.twilio.schemas import INBOUND, OUTBOUND, check_outbound


@pytest.mark.parametrize(
    ("action", "frame"),
    [
        (Speak(1, "Let me check "), '{"type":"text","token":"Let me check ","last":false}'),
        (Speak(1, "", is_last=True), '{"type":"text","token":"","last":true}'),
        (
            Speak(1, 'Zoë said "hi" ', interruptible=False, preemptible=True),
            '{"type":"text","token":"Zoë said \\"hi\\" ","last":false,'
            '"interruptible":false,"preemptible":true}',
        ),
        (Speak(1, "half \ud83d of one"), '{"type":"text","token":"half  of one","last":false}'),
        (
            Play("https://assets.example.com/typing.mp3"),
            '{"type":"play","source":"https://assets.example.com/typing.mp3","loop":1,'
            '"preemptible":true}',
        ),
        (
            Play("http://a.example/x?y=%20z", loop=0, preemptible=False, interruptible=True),
            '{"type":"play","source":"http://a.example/x?y=%20z","loop":0,"preemptible":false,'
            '"interruptible":true}',
        ),
        (SendDigits("1w2#*"), '{"type":"sendDigits","digits":"1w2#*"}'),
        (
            SwitchLanguage("es-US"),
            '{"type":"language","ttsLanguage":"es-US","transcriptionLanguage":"es-US"}',
        ),
        (EndCall(), '{"type":"end"}'),
        (
            EndCall('{"v":1,"reason":"human"}'),
            '{"type":"end","handoffData":"{\\"v\\":1,\\"reason\\":\\"human\\"}"}',
        ),
    ],
)
def test_every_action_of_the_transport_has_its_frame(action: TransportAction, frame: str) -> None:
    check_outbound(frame)

    assert render(action) == frame


@pytest.mark.parametrize(
    "action",
    [
        SendDigits(""),
        SendDigits("12A"),
        SendDigits("1W"),
        SendDigits("1\n"),
        SendDigits("٣"),
        Play(""),
        Play("typing.mp3"),
        Play("file:///etc/passwd"),
        Play("https://"),
        Play("https:///x.mp3"),
        Play("https://[x.mp3"),
        Play("https://a.example/a b.mp3"),
        Play("https://a.example/a\n.mp3"),
        Play("https://a.example/ä.mp3"),
        Play("https://a.example/x.mp3", loop=-1),
        Play("https://a.example/x.mp3", loop=1001),
        SwitchLanguage(""),
        SwitchLanguage("en US"),
        SwitchLanguage("en_US"),
        SwitchLanguage("en-US\n"),
    ],
)
def test_a_frame_the_relay_would_refuse_is_not_written(action: TransportAction) -> None:
    """A programming error raises `ValueError`."""
    with pytest.raises(ValueError, match=r"digits|URL|loop|tag"):
        render(action)


_FLAGS = st.none() | st.booleans()
_ANY_TEXT = st.text(st.characters(codec=None))
_LINE_ACTIONS: st.SearchStrategy[TransportAction] = st.one_of(
    st.builds(Speak, st.integers(), _ANY_TEXT, st.booleans(), _FLAGS, _FLAGS),
    st.builds(
        Play,
        _ANY_TEXT.map("https://assets.example.com/".__add__) | _ANY_TEXT,
        st.integers(-1, 1001),
        st.booleans(),
        _FLAGS,
    ),
    st.builds(SendDigits, st.text("0123456789*#wA\n")),
    st.builds(SwitchLanguage, st.sampled_from(["en-US", "multi", "cmn-CN"]) | _ANY_TEXT),
    st.builds(EndCall, _ANY_TEXT),
)


@given(_LINE_ACTIONS)
def test_no_action_becomes_an_invalid_frame(action: TransportAction) -> None:
    """A rendered frame satisfies the schemas; any other action is a `ValueError`."""
    try:
        frame = render(action)
    except ValueError:
        return

    check_outbound(frame)


@pytest.mark.parametrize("schema", [*INBOUND.values(), *OUTBOUND.values()])
def test_the_schemas_are_schemas(schema: dict[str, object]) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "frame",
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
def test_the_schemas_refuse_what_the_relay_refuses(frame: str) -> None:
    """Common mistakes fail the check that the tests of outbound frames rely on."""
    with pytest.raises(ValidationError):
        check_outbound(frame)
