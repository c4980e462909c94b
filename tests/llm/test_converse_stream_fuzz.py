"""Whatever Bedrock sends is an answer or a `ModelError`: events in any order, bytes of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from struct import pack
from typing import Any
from zlib import crc32

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.call.messages import ReplyPiece, Stopped, StopReason, ToolCall, Usage
from agent.errors import ModelError
from agent.llm.bedrock.converse_stream import ConverseDecoder, parse_error
from tests.emulators.eventstream import frame
from tests.fuzzing import RUNS
from tests.llm import contract
from tests.llm.eventstream import event, fault

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, anything)


indices = mostly(st.integers(-1, 3))
fragments = mostly(st.sampled_from(["", "{", "}", '"n":', "1", '{"n":1}', "null", "[", "\ud83d"]))
words = mostly(st.sampled_from(["", "Well. ", "\ud83d", "\ude00", "é", " "]))


def made(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """An event with these members, each of which may be missing."""
    payloads = st.fixed_dictionaries({}, optional=members)
    return payloads.map(lambda payload: event(kind, **payload))


calls = mostly(
    st.fixed_dictionaries(
        {}, optional={"toolUseId": mostly(st.sampled_from(["a", "b", ""])),
                      "name": mostly(st.sampled_from(["Look", "Count", ""]))},
    )
)  # fmt: skip
starts = made(
    "contentBlockStart",
    contentBlockIndex=indices,
    start=mostly(st.fixed_dictionaries({}, optional={"toolUse": calls, "image": anything})),
)
inputs = mostly(st.fixed_dictionaries({}, optional={"input": fragments}))
deltas = made(
    "contentBlockDelta",
    contentBlockIndex=indices,
    delta=mostly(
        st.fixed_dictionaries(
            {}, optional={"text": words, "toolUse": inputs, "reasoningContent": anything}
        )
    ),
)
stops = made("contentBlockStop", contentBlockIndex=indices)
reasons = mostly(st.sampled_from(["end_turn", "tool_use", "max_tokens", "content_filtered", "new"]))
ends = made("messageStop", stopReason=reasons)
tokens = mostly(st.integers(-5, 50))
usages = made(
    "metadata",
    usage=mostly(
        st.fixed_dictionaries({}, optional={"inputTokens": tokens, "outputTokens": tokens})
    ),
)
strange = st.builds(event, st.text(max_size=20))
faults = st.builds(
    fault,
    st.sampled_from(
        ["throttlingException", "validationException", "modelStreamErrorException", ""]
    ),
    st.text(max_size=20),
)
usual = st.one_of(starts, starts, deltas, deltas, deltas, stops, made("messageStart"))
orders = st.lists(st.one_of(usual, usual, usual, ends, usages, strange, faults), max_size=12)


def sealed(head: bytes, payload: bytes, total: int | None, length: int | None) -> bytes:
    """A frame whose checksums are right, whatever its lengths claim."""
    claimed = 12 + len(head) + len(payload) + 4 if total is None else total
    prelude = pack("!II", claimed % 2**32, (len(head) if length is None else length) % 2**32)
    message = prelude + pack("!I", crc32(prelude)) + head + payload
    return message + pack("!I", crc32(message))


headers = st.one_of(
    st.binary(max_size=24),
    st.builds(
        lambda name, kind, value: pack("!B", len(name)) + name + pack("!B", kind) + value,
        st.sampled_from([b":event-type", b":message-type", b":exception-type", b"x"]),
        st.integers(0, 12),
        st.binary(max_size=12),
    ),
)
lengths = st.none() | st.integers(0, 40) | st.integers(0, 2**32 - 1)
frames = st.one_of(
    st.binary(max_size=40),
    st.builds(sealed, headers, st.binary(max_size=20), lengths, lengths),
    st.builds(
        lambda payload: frame(payload, event_type="contentBlockDelta"),
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"[" * 5_000, b'{"a":' * 5_000, b'{"delta":' * 2_000, b"\xff", b""]),
        ),
    ),
    usual,
    ends,
)
streams = st.lists(frames, max_size=6).map(b"".join)


def cut_at(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted(each % (len(data) + 1) for each in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def check(pieces: Sequence[ReplyPiece]) -> None:
    """At most one stop and one usage, in this order, after all else; all can be encoded."""
    kinds = [type(piece) for piece in pieces]
    assert kinds.count(Stopped) <= 1
    assert kinds.count(Usage) <= kinds.count(Stopped)
    if Stopped in kinds:
        assert kinds[kinds.index(Stopped) :] in ([Stopped], [Stopped, Usage])
    found = [piece for piece in pieces if isinstance(piece, ToolCall)]
    assert all(call.name and call.arguments for call in found)
    assert contract.said(list(pieces)).encode() is not None  # no half characters
    assert all(call.arguments.encode() for call in found)
    if (stop := next((each for each in pieces if isinstance(each, Stopped)), None)) is not None:
        assert (stop.reason is not StopReason.TOOLS) or found
    assert all(
        min(each.input, each.output, each.cache_read, each.cache_write) >= 0
        for each in pieces
        if isinstance(each, Usage)
    )


def read(chunks: Iterable[bytes]) -> list[ReplyPiece]:
    """What a stream gives until it ends or fails."""
    decoder, pieces = ConverseDecoder(), list[ReplyPiece]()
    with suppress(ModelError):
        for chunk in chunks:
            pieces.extend(decoder.feed(chunk))
    return pieces


@settings(max_examples=RUNS)
@given(orders, st.lists(st.integers(0, 4_000), max_size=4))
def test_events_in_any_order_are_an_answer_or_a_fault(events: list[bytes], cuts: list[int]) -> None:
    """Also without starts, stops or indices, with any payload; the same wherever it is cut."""
    data = b"".join(events)
    pieces = read([data])
    check(pieces)
    assert read(cut_at(data, cuts)) == pieces


@settings(max_examples=RUNS)
@given(streams, st.lists(st.integers(0, 4_000), max_size=4))
@example(sealed(b"", b"", 0, 0), [])
@example(sealed(b"\x01x\x09", b"", None, None), [])
@example(sealed(b"\x01x\x0c", b"", None, None), [])
def test_bytes_of_any_kind_are_an_answer_or_a_fault(data: bytes, cuts: list[int]) -> None:
    """Frames with wrong lengths, headers and payloads but correct checksums."""
    check(read(cut_at(data, cuts)))


@settings(max_examples=RUNS)
@given(
    st.one_of(orders.map(b"".join), streams),
    st.text(max_size=20),
    st.sampled_from([0, 400, 403, 424, 429, 500]),
)
def test_any_bytes_in_place_of_an_error_are_an_error(data: bytes, kind: str, status: int) -> None:
    error = parse_error(kind, data, status)

    assert error.fault
    assert error.refusal is None or error.refusal.text == error.detail
