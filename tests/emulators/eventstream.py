"""Frames of `application/vnd.amazon.eventstream`: botocore reads them but writes none.

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
    return frame(_json(payload), **_HEADERS, event_type=kind, message_type="event")


def exception(kind: str, payload: Mapping[str, Any]) -> bytes:
    return frame(_json(payload), **_HEADERS, exception_type=kind, message_type="exception")


def with_bad_checksum(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


def frame(payload: bytes, **headers: str) -> bytes:
    """One message; the header `event_type` becomes `:event-type`."""
    head = b"".join(_header(f":{name.replace('_', '-')}", each) for name, each in headers.items())
    total = _PRELUDE_BYTES + len(head) + len(payload) + _CRC_BYTES
    lengths = pack("!II", total, len(head))
    message = lengths + pack("!I", crc32(lengths)) + head + payload
    return message + pack("!I", crc32(message))


_HEADERS = {"content_type": "application/json"}


def _json(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _header(name: str, value: str) -> bytes:
    label, text = name.encode(), value.encode()
    return pack("!B", len(label)) + label + pack("!BH", _STRING, len(text)) + text
