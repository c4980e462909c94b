"""Frames of an event stream are read as botocore reads them, wherever they are cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import pack
from zlib import crc32

import pytest
from botocore.eventstream import (  # type: ignore[import-untyped] # botocore ships no types
    EventStreamBuffer,
    ParserError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.llm.bedrock.event_frames import (
    MOST_HEADER_BYTES,
    MOST_PAYLOAD_BYTES,
    Frame,
    FrameParser,
)
from tests.emulators.eventstream import frame
from tests.fuzzing import RUNS
from tests.llm.test_converse_stream_fuzz import cut_at, sealed, streams

Read = tuple[list[Frame], bool]
"""The frames, and whether the rest cannot be read."""


def read(parts: Iterable[bytes]) -> Read:
    parser, found = FrameParser(), list[Frame]()
    try:
        for part in parts:
            found.extend(parser.feed(part))
    except ValueError:
        return found, True
    return found, False


def read_by_botocore(parts: Iterable[bytes]) -> Read:
    buffer, found = EventStreamBuffer(), list[Frame]()
    try:
        for part in parts:
            buffer.add_data(part)
            found.extend((_texts(each.headers), each.payload) for each in buffer)
    except (ParserError, ValueError, KeyError, ArithmeticError):
        return found, True
    except Exception as error:  # `struct.error`, which is only an `Exception`
        if type(error).__module__ != "struct":
            raise
        return found, True
    return found, False


def _texts(headers: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def header(name: str, kind: int, value: bytes) -> bytes:
    label = name.encode()
    return pack("!B", len(label)) + label + pack("!B", kind) + value


def with_length(value: bytes) -> bytes:
    return pack("!H", len(value)) + value


names = st.sampled_from([":event-type", ":message-type", "x", "", "\u00fc" * 100])
long_texts = st.text(max_size=20) | st.integers(0, 300).map("long".__mul__)
headers = st.one_of(
    st.builds(header, names, st.just(7), long_texts.map(str.encode).map(with_length)),
    st.builds(header, names, st.just(6), st.binary(max_size=9).map(with_length)),
    st.builds(header, names, st.sampled_from([0, 1]), st.just(b"")),
    *(
        st.builds(header, names, st.just(kind), st.binary(min_size=size, max_size=size))
        for kind, size in {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}.items()
    ),
)
well_formed = st.builds(
    lambda head, payload: sealed(b"".join(head), payload, None, None),
    st.lists(headers, max_size=4),
    st.binary(max_size=60),
)
cuts = st.lists(st.integers(0, 4_000), max_size=6)


@settings(max_examples=RUNS)
@given(
    frames=st.lists(well_formed, max_size=5),
    cuts=cuts,
    broken=st.none() | st.tuples(st.integers(0, 4_000), st.integers(1, 255)),
)
def test_frames_are_those_that_botocore_reads(
    frames: list[bytes], cuts: list[int], broken: tuple[int, int] | None
) -> None:
    """Headers of all types, also twice; with a wrong byte both stop after the same frame."""
    data = bytearray(b"".join(frames))
    if broken is not None and data:
        data[broken[0] % len(data)] ^= broken[1]
    parts = cut_at(bytes(data), cuts)

    assert read(parts) == read_by_botocore(parts)


@settings(max_examples=RUNS)
@given(data=streams, cuts=cuts)
def test_what_is_read_otherwise_is_refused(data: bytes, cuts: list[int]) -> None:
    """Lengths that contradict each other, under right checksums."""
    parts = cut_at(data, cuts)
    (ours, is_refused), theirs = read(parts), read_by_botocore(parts)

    assert ours == theirs[0][: len(ours)]
    assert is_refused or (ours, False) == theirs


def test_a_frame_waits_for_its_last_byte() -> None:
    sent, parser = frame(b"{}", event_type="metadata"), FrameParser()

    assert [list(parser.feed(sent[at : at + 1])) for at in range(len(sent) - 1)] == [[]] * (
        len(sent) - 1
    )
    assert list(parser.feed(sent[-1:])) == [({":event-type": "metadata"}, b"{}")]


@pytest.mark.parametrize(
    ("header_size", "payload_size"), [(MOST_HEADER_BYTES + 1, 0), (0, MOST_PAYLOAD_BYTES + 1)]
)
def test_a_frame_that_is_too_long_is_refused_at_its_beginning(
    header_size: int, payload_size: int
) -> None:
    lengths = pack("!II", 16 + header_size + payload_size, header_size)

    assert read([lengths + pack("!I", crc32(lengths))]) == ([], True)
