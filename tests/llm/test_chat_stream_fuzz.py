"""Whatever bytes a server sends, a reply is pieces or a `ModelError`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, ToolCall, Usage
from agent.call.tool_calls import canonical
from agent.errors import ModelError
from agent.llm.openai.chat_stream import ChatDecoder
from tests.fuzzing import RUNS
from tests.llm import contract
from tests.llm.bodies import DONE, NAMES, event
from tests.llm.test_chat_stream import CALLS, ENDS, FAULTS, SAID

pytestmark = [pytest.mark.needs("time"), pytest.mark.usefixtures("uncovered")]

KEYS = (
    *("choices", "delta", "message", "content", "text", "type", "refusal", "finish_reason"),
    *("tool_calls", "function_call", "function", "index", "id", "name", "arguments"),
    *("usage", "x_groq", "prompt_tokens", "completion_tokens", "prompt_tokens_details"),
    *("cached_tokens", "error", "code", "object"),
)
LEAVES = (
    *(None, True, 0, 1, -1, 7.5, 10**30, float("inf"), float("nan"), "", "a", "0", "stop", "menu"),
    *("tool_calls", "text", "null", "{}", '{"a": 1}', '"{}"', '{"a": NaN}', "[", "\ud83d"),
    *("\ude00", "\\ud83d", "\x00", "menu" * 90),
)
VALID = tuple(
    body for table in (CALLS, ENDS, FAULTS) for body, _ in table.values() if 0 < len(body) < 3_000
) + tuple(body for body in SAID.values())
SCRAPS = (
    *(b"data: ", b"data:", b"event: error\n", b": x\n", b"\n", b"\r", b"\r\n", b"\n\n", DONE),
    *(b"[DONE]", b"{", b"}", b"[", b"]", b'"', b"\\ud83d", b"\xef\xbb\xbf", b"\xff", b"\xf0\x9f"),
    *(b"null", b"1" * 5_000, b"[" * 2_000, b'{"choices":[{"delta":', b'"finish_reason":"stop"'),
)

values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)
fragments = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, "1", None, -1]),
        "id": st.sampled_from(["a", "b", "", None, 3]),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from([*NAMES, "get_", "weather", "", None, 3]),
                "arguments": st.sampled_from(["{", "}", '"a": 1', "{}", "null", {"a": 1}, [1], ""])
                | values,
            },
        ),
    },
)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from(["Hi ", "\ud83d", "\ude00", None]) | values,
        "tool_calls": st.lists(fragments | values, max_size=3) | values,
        "function_call": values,
    },
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"delta": deltas}), max_size=2)},
    optional={"usage": values, "error": st.sampled_from([None, "", "x"]) | values},
)
stops = st.sampled_from(
    [
        DONE,
        b"",
        *(
            event({"choices": [{"delta": {}, "finish_reason": reason}]})
            for reason in ("stop", "tool_calls", "length", "x", {"a": 1})
        ),
    ]
)
odd_streams = st.builds(
    lambda events, stop: b"".join(map(event, events)) + stop,
    st.lists(chunks | values, max_size=8),
    stops,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Good streams with some bytes put wrong, taken out, said twice, or mixed with others."""
    body = bytearray(b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        old = bytes(body[start:end])
        body[start:end] = draw(st.sampled_from([b"", old * 2, *SCRAPS]) | st.binary(max_size=8))
    return bytes(body)


bodies = st.binary() | st.lists(st.sampled_from(SCRAPS)).map(b"".join) | mutated() | odd_streams
cuts = st.lists(st.integers(1, 400), max_size=12)


def read(parts: Iterable[bytes]) -> list[ReplyPiece] | None:
    """The reply that comes in these parts; None if it is a fault. Nothing else is raised."""
    decoder = ChatDecoder(NAMES)
    pieces: list[ReplyPiece] = []
    try:
        for part in parts:
            pieces += decoder.feed(part)
        pieces += decoder.finish()
    except ModelError:
        if not decoder.has_stopped:
            return None
    return pieces + ([decoder.usage] if decoder.usage else [])


def assert_sound(pieces: list[ReplyPiece]) -> None:
    """Words and calls, one stop, perhaps usage; all of it can be written and counted."""
    reasons = [piece.reason for piece in pieces if isinstance(piece, Stopped)]
    calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
    assert len(reasons) == 1
    assert (reasons[0] is StopReason.TOOLS) == bool(calls) or reasons[0] is StopReason.LENGTH
    assert len({call.id for call in calls}) == len(calls)
    for piece in pieces:
        match piece:
            case TextPiece(text):
                assert can_be_sent(text)
            case ToolCall(call_id, name, arguments):
                assert call_id
                assert name
                assert can_be_sent(arguments)
                assert can_be_sent(canonical(arguments) or "")
            case Usage(spent, written, cached):
                assert min(spent, written, cached) >= 0
            case Stopped():
                pass


def can_be_sent(text: str) -> bool:
    return text.encode().decode() == text


def outcome(pieces: list[ReplyPiece] | None) -> object:
    """What a reply is, without how its words were cut."""
    if pieces is None:
        return None
    return contract.said(pieces), [piece for piece in pieces if not isinstance(piece, TextPiece)]


@settings(max_examples=RUNS)
@given(body=bodies, at=cuts)
def test_any_bytes_raise_only_model_errors(body: bytes, at: list[int]) -> None:
    """The reply is the same wherever the network cuts the bytes."""
    places = [0, *sorted({place for place in at if place < len(body)}), len(body)]

    whole, cut = read([body]), read(body[a:b] for a, b in pairwise(places))

    if whole is not None:
        assert_sound(whole)
    assert outcome(cut) == outcome(whole)
