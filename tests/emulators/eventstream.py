"""Frames of `application/vnd.amazon.eventstream`, the writing side.

A frame is a prelude (total length, length of the headers, CRC of these two), headers, payload and
a CRC of all that. Every header here is a string: kind 7 with a two-byte length.
"""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Mapping
from struct import pack
from typing import Any

_STRING = 7
_PRELUDE_BYTES = 12
_CRC_BYTES = 4


def event(kind: str, payload: Mapping[str, Any]) -> bytes:
    return _frame(
        {":event-type": kind, ":content-type": "application/json", ":message-type": "event"},
        payload,
    )


def exception(kind: str, payload: Mapping[str, Any]) -> bytes:
    return _frame(
        {
            ":exception-type": kind,
            ":content-type": "application/json",
            ":message-type": "exception",
        },
        payload,
    )


def with_bad_checksum(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


def _frame(headers: Mapping[str, str], payload: Mapping[str, Any]) -> bytes:
    head = b"".join(_header(name, value) for name, value in headers.items())
    body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    total = _PRELUDE_BYTES + len(head) + len(body) + _CRC_BYTES
    lengths = pack("!II", total, len(head))
    message = lengths + pack("!I", crc32(lengths)) + head + body
    return message + pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    label, text = name.encode(), value.encode()
    return pack("!B", len(label)) + label + pack("!BH", _STRING, len(text)) + text
