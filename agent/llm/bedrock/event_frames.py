"""The frames of an AWS event stream: bytes, cut anywhere → headers and payloads; does no IO.

https://smithy.io/2.0/aws/amazon-eventstream.html#message-wire-format

botocore's parser costs about ten times as much: it reads each header byte by byte again, although a
stream has a few kinds of event with the same headers. Here headers are remembered by their bytes. A
test holds the result equal to botocore's. What that parser would read in spite of lengths that
contradict each other is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from zlib import crc32

MOST_HEADER_BYTES = 128 * 1024
MOST_PAYLOAD_BYTES = 24 * 1024 * 1024
_PRELUDE = struct.Struct("!III")  # bytes of the frame and of its headers, checksum of these two
_CHECKSUM = struct.Struct("!I")
_LENGTH = struct.Struct("!H")
_OUTSIDE = _PRELUDE.size + _CHECKSUM.size  # bytes of a frame that are neither headers nor payload
_BYTES, _TEXT = 6, 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of the other types, in bytes
_REMEMBERED = 64  # kinds of header

Frame = tuple[Mapping[str, str], bytes]
"""The headers that are text, and the payload."""


class FrameParser:
    """Parses the frames of one response."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._needed = _PRELUDE.size  # bytes until there is something to read

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that more bytes complete; raises `ValueError` for bytes that are none.

        To be iterated to its end. After an error the parser cannot be used.
        """
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return
        data, start = b"".join(self._parts), 0
        while True:
            size, header_size = _sizes(data, start)
            if len(data) - start < size:
                break
            headers_start, end = start + _PRELUDE.size, start + size
            headers_end, payload_end = headers_start + header_size, end - _CHECKSUM.size
            if (crc32(data[start:payload_end]),) != _CHECKSUM.unpack_from(data, payload_end):
                raise ValueError("a frame has another checksum")
            yield headers_of(data[headers_start:headers_end]), data[headers_end:payload_end]
            start = end
        self._parts, self._size, self._needed = [data[start:]], len(data) - start, size


def _sizes(data: bytes, start: int) -> tuple[int, int]:
    """Bytes of the frame that begins here and of its headers; before, those of its prelude."""
    if len(data) - start < _PRELUDE.size:
        return _PRELUDE.size, 0
    size, header_size, checksum = _PRELUDE.unpack_from(data, start)
    if crc32(data[start : start + 8]) != checksum:
        raise ValueError("a prelude has another checksum")
    payload_size = size - header_size - _OUTSIDE
    if header_size > MOST_HEADER_BYTES or not 0 <= payload_size <= MOST_PAYLOAD_BYTES:
        raise ValueError("a frame has impossible lengths")
    return size, header_size


@lru_cache(_REMEMBERED)
def headers_of(data: bytes) -> Mapping[str, str]:
    """The headers that are text, by name; raises `ValueError` for bytes that are no headers."""
    headers: dict[str, str] = {}
    names, at = set[str](), 0
    try:
        while at < len(data):
            at, written = _cut(data, at + 1, data[at])
            name = written.decode()
            kind, at = data[at], at + 1
            if kind in (_BYTES, _TEXT):
                at, value = _cut(data, at + _LENGTH.size, _LENGTH.unpack_from(data, at)[0])
            else:
                at, value = _cut(data, at, _SIZES[kind])
            if name in names:
                raise ValueError("a header comes twice")
            names.add(name)
            if kind == _TEXT:
                headers[name] = value.decode()
    except (LookupError, struct.error) as error:
        raise ValueError("headers are cut off, or of an unknown type") from error
    return headers


def _cut(data: bytes, start: int, size: int) -> tuple[int, bytes]:
    """The end of so many bytes, and these bytes."""
    end = start + size
    if end > len(data):
        raise ValueError("a header is cut off")
    return end, data[start:end]
