"""Random frames, requests and items: valid, nearly valid and hostile.

Nearly valid input finds most: one to three parts of a real value are replaced, removed or repeated.
All of it contains the private values of `rig.PRIVATE`, so that a leak in a log is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from tests.fuzz.rig import CALLER, PRIVATE, SECRET

Path = tuple[str | int, ...]

_ODD = (
    "", " ", "\x00", "null", "\u202e", "\ud7ff", "e\u0301" * 40, "<Say>", "{{", "<<NAME>>", "../..",
    "9" * 400, "1e999", "-1", "true", "x" * 5_000, "\N{PILE OF POO}", "client:", "+", "a\nb\r\n",
)  # fmt: skip
texts = st.sampled_from([*PRIVATE, *(f"<{mark}> & more" for mark in PRIVATE), *_ODD]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=12
)
_numbers = (
    st.integers(-(10**20), 10**20)
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 10**37])
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30)
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
"""JSON of any shape that a table takes."""


def _paths(value: object, here: Path = ()) -> Iterator[Path]:
    parts: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    for name, part in parts:
        yield (*here, name)
        yield from _paths(part, (*here, name))


@st.composite
def spoiled(draw: st.DrawFn, real: dict[str, Any], *kept: str) -> dict[str, Any]:
    """A real value with one to three parts replaced or missing, except the `kept` ones."""
    result = deepcopy(real)
    for _ in range(draw(st.integers(1, 3))):
        paths = [path for path in _paths(result) if path[0] not in kept]
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        part: Any = result
        for step in way:
            part = part[step]
        if draw(st.booleans()) or not isinstance(part, dict):
            part[last] = draw(anything)
        else:
            del part[last]
    if draw(st.booleans()):
        result |= {name: value for name, value in draw(_extras).items() if name not in kept}
    return result


_extras = st.dictionaries(texts.filter(bool), anything, max_size=2)


# Frames.

_SETUP = {
    "type": "setup", "sessionId": "VX1", "accountSid": "AC" + "0" * 32, "callSid": "CA1",
    "from": CALLER, "to": "+15550100000", "customParameters": {"app_name": "Zebulonika"},
}  # fmt: skip
FRAMES: tuple[dict[str, Any], ...] = (
    _SETUP,
    {"type": "prompt", "voicePrompt": "mark quixotic words", "lang": "en-US", "last": True},
    {"type": "prompt", "voicePrompt": "a large cheese pizza for pickup", "last": True},
    {"type": "prompt", "voicePrompt": "my name is Zebulonika Quagmirela", "last": True},
    {"type": "prompt", "voicePrompt": "mark.quill@example.org, 77 Xylograph Lane", "last": False},
    {"type": "prompt", "voicePrompt": "that's all", "last": True},
    {"type": "prompt", "voicePrompt": "yes", "last": True},
    {"type": "interrupt", "utteranceUntilInterrupt": "Welcome", "durationUntilInterruptMs": 460},
    {"type": "dtmf", "digit": "9"},
    {"type": "dtmf", "digit": "90417263"},
    {"type": "error", "description": "Invalid message received: mark quixotic words"},
    {"type": "info", "name": "tokensPlayed", "value": "mark quixotic words"},
    {"type": "info", "name": "agentSpeaking", "value": "on", "ts": 1},
)
_HOSTILE = (
    "", "null", "[]", "{}", "NaN", '{"type":NaN}', '{"type":"prompt","voicePrompt":Infinity}',
    '{"type":"prompt","type":"dtmf","digit":"1"}', '{"type":"prompt","voicePrompt":"\\ud800"}',
    '{"type":"prompt","voicePrompt":"\\udfff mark quixotic words","last":true}',
    '{"type":"dtmf","digit":"\\u0000"}', '{"type":"setup","callSid":"\\ud83d"}',
    "[" * 50_000, '{"a":' * 20_000, '{"type":"prompt","voicePrompt":' + "[" * 30_000,
    '{"type":"prompt","voicePrompt":"' + "mark quixotic words " * 5_000 + '","last":true}',
    '{"type":"prompt","voicePrompt":"' + "mark quixotic words " * 2_000 + '","last":true}',
    '{"type":"' + "x" * 70_000 + '"}', '{"type":"dtmf","digit":1e400}', "x" * 5_000_000,
    '{"type":"interrupt","utteranceUntilInterrupt":"","durationUntilInterruptMs":-1e308}',
)  # fmt: skip

Frame = str | bytes
_near = st.sampled_from(FRAMES).flatmap(lambda real: spoiled(real, "type")).map(json.dumps)
frames: st.SearchStrategy[list[Frame]] = st.lists(
    st.sampled_from(FRAMES).map(json.dumps)
    | _near
    | st.sampled_from(FRAMES).flatmap(spoiled).map(json.dumps)
    | st.sampled_from(_HOSTILE)
    | anything.map(json.dumps)
    | st.binary(max_size=50),
    max_size=8,
)
floods = st.tuples(st.sampled_from([*map(json.dumps, FRAMES), *_HOSTILE[:12]]), st.integers(20, 90))
"""A frame and how often. The offline model reads a whole call anew for each of its words."""


# Requests.

PATHS = (
    "/twiml", "/twiml/action", "/messages/status", "/calls/status", "/token", "/dial", "/",
    "/conversation-relay",
)  # fmt: skip
_WEBHOOK = {
    "CallSid": "CA" + "1" * 32, "AccountSid": "AC" + "0" * 32, "From": CALLER, "To": "+15550100000",
    "CallStatus": "ringing", "Direction": "inbound", "CallerName": "Zebulonika", "FromCity": "Lane",
}  # fmt: skip
_FORMS: tuple[Mapping[str, str], ...] = (
    _WEBHOOK,
    {**_WEBHOOK, "From": "client:Zebulonika", "app_note": "mark quixotic words"},
    {**_WEBHOOK, "SessionStatus": "ended", "HandoffData": '{"reasonCode":"live-agent-handoff"}'},
    {**_WEBHOOK, "SessionStatus": "ended", "HandoffData": "[" * 9_000},
    {**_WEBHOOK, "SessionStatus": "failed", "ErrorCode": "64105", "ErrorMessage": "mark quixotic"},
    {**_WEBHOOK, "DialCallStatus": "no-answer"},
    {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "30007", "To": CALLER},
    {**_WEBHOOK, "CallStatus": "completed", "AnsweredBy": "human", "CallDuration": "9"},
    {"identity": "Zebulonika"},
)
_names = st.sampled_from(sorted({name for form in _FORMS for name in form})) | texts
_fields = st.sampled_from(_FORMS).flatmap(
    lambda form: st.lists(st.tuples(_names, texts), max_size=3).map(
        lambda more: [*form.items(), *more]
    )
)
"""A form, with fields repeated or added."""
queries = st.sampled_from(
    [
        "", "?", "?dial=mark-token-5f1e", "?useCase=restaurantOrderingUseCase", "?useCase=%00",
        "?callSid=CA1&token=mark-token-5f1e", "?callSid=&token=", "?token=%ff%fe&callSid=%ed%a0%80",
        "?" + "a=1&" * 900, "?callSid=CA1&callSid=CA2&token=mark-token-5f1e", "?%", "?dial=%80",
        "?useCase=" + "x" * 3_000, "?dial=&dial=mark-token-5f1e", "?callSid=%F0%9F%92%A9&token=t",
    ]
)  # fmt: skip
_TYPES = (
    "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-16",
    "application/x-www-form-urlencoded; charset=no-such-thing", "multipart/form-data",
    "multipart/form-data; boundary=b", "application/json", "text/plain; charset=\x80", "", "x/y;;=",
    "application/json; charset=utf-7", "application/x-www-form-urlencoded; charset=base64",
)  # fmt: skip
_PARTS = (
    b"", b"--b\r\n\r\n", b"--b--\r\n",
    b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="CallSid"; filename="f"\r\n\r\nx\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="From"\r\nContent-Transfer-Encoding: zip\r\n\r\n'
    b"x\r\n--b--\r\n", b"%", b"%ff%fe=%00&=&&==", b"\xff\xfe\x00",
    b"CallSid=CA1&From=%2B1&" * 3_000,
    b"a=" + b"mark quixotic words " * 9_000, b"&" * 60_000, b'{"to":', b"[" * 60_000, b"null",
    b'{"identity":"Zebulonika"}', b'{"identity":{"a":1}}', b'{"to":"+15550108642","useCase":"x"}',
    b'{"to":"+15550108642","useCase":"restaurantOrderingUseCase","from":"mark-token-5f1e"}',
    b'{"to":"mark-token-5f1e","useCase":"restaurantOrderingUseCase"}', b'{"identity":"\\ud800"}',
    b'{"to":"\xff"}',
)  # fmt: skip
forms = _fields
odd_bodies = st.tuples(
    st.sampled_from(_TYPES),
    st.sampled_from(_PARTS) | st.binary(max_size=60) | _fields.map(lambda f: urlencode(f).encode()),
)
keys = st.sampled_from([f"Bearer {SECRET}", "Bearer mark-token-5f1e", "Basic \x80", "Bearer", ""])


# Items.


def items(real: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Nearly a real item, or one of any shape; without `pk` and `sk`."""
    body = {name: value for name, value in real.items() if name not in {"pk", "sk"}}
    shapeless = st.dictionaries(st.sampled_from(sorted(body)) | texts, anything, max_size=4)
    return (spoiled(body) | shapeless).map(_as_a_table_takes_it)


def _as_a_table_takes_it(item: dict[str, Any]) -> dict[str, Any]:
    """Keys of the index are text and not empty, or are not there."""
    return {
        name: value
        for name, value in item.items()
        if name not in {"pk", "sk"} and (name not in {"pk1", "sk1"} or isinstance(value, str))
        if value or name not in {"pk1", "sk1"}
    }


CHAT: dict[str, Any] = {
    "chat": {"role": "user", "content": [{"text": "mark quixotic words"}]},
    "position": 0,
    "sequence": 1,
    "fact": {"kind": "callerSaid", "text": "mark quixotic words", "means": "voice"},
    "expireAt": 4_000_000_000,
}
PROFILE: dict[str, Any] = {
    "pk1": "profile", "sk1": CALLER, "firstName": "Zebulonika", "lastName": "Quagmirela",
    "email": "mark.quill@example.org", "useCase": "restaurantOrderingUseCase",
    "address": "77 Xylograph Lane", "smsOptedOut": False,
}  # fmt: skip
