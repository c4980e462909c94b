"""The bytes of a body → the JSON values in it.

The form is that of server-sent events, read as widely as servers write it
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation):

- Lines may end with CR, LF or both, the body may begin with a byte order mark, the last event may
  lack its blank line. Comments, as proxies send them to keep a connection, are nothing.
- A line of data that is JSON by itself is an event, also without a blank line after it.
- A body without any event may be JSON: one value, as servers answer that do not stream, or a value
  in each line. It is read at its end.
- Bytes that are no UTF-8 are left out.

Whatever is fed, nothing but `ModelError` is raised, and no more than `MOST_BYTES` are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.call.events import ReplyFault
from agent.errors import ModelError

MOST_BYTES = 16 * 1024 * 1024
"""Of one answer. Models that reason send some megabytes in small events."""
LONGEST_EVENT = 512 * 1024
"""In bytes; what is longer would hold the loop while it is read."""
_FIELDS = frozenset({"data", "event", "id", "retry"})
_DONE = "[DONE]"
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One value of a body."""

    value: Any
    """Of JSON's types."""
    name: str = ""
    """As the server named the event; mostly empty."""
    is_last: bool = False
    """The answer is complete with it: the whole body, or `[DONE]`, whose value is `None`."""


class EventStreamParser:
    """The events of one body as they come; does no IO."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._size = 0
        self._is_after_cr = False
        self._data: list[str] = []
        self._bare: list[str] = []
        self._held = 0
        """Bytes of the lines that wait for their end."""
        self._name = ""
        self._has_events = False
        self._is_done = False

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Read more bytes, cut anywhere; gives what they complete.

        Raises:
            ModelError: An event cannot be read, or the body is too long.
        """
        self._size += len(data)
        if self._size > MOST_BYTES:
            raise _unreadable("an answer without an end")
        if self._is_after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._is_after_cr = False
        if not data:
            return
        self._is_after_cr = data.endswith(b"\r")
        for line in self._lines(data):
            if line or self._data or self._name:
                yield from self._read(line.decode(errors="ignore"))

    def finish(self) -> Iterator[ServerEvent]:
        """The body has ended; gives what waited for that. Raises as `feed`."""
        if self._rest:
            line, self._rest = self._rest, bytearray()
            yield from self._read(line.decode(errors="ignore"))
        yield from self._end_event()
        if self._bare and not self._has_events:
            yield from _bare_values(self._bare)

    def _lines(self, data: bytes) -> Iterator[bytes]:
        """Lines that are complete; the rest is kept."""
        lines = data.splitlines(keepends=True)
        self._rest += lines[0]
        if data.endswith((b"\n", b"\r")) or len(lines) > 1:
            lines[0], self._rest = bytes(self._rest), bytearray()
            if not data.endswith((b"\n", b"\r")):
                self._rest += lines.pop()
            yield from (line.rstrip(b"\r\n") for line in lines)
        self._limit(len(self._rest))

    def _read(self, line: str) -> Iterator[ServerEvent]:
        self._limit(len(line))
        line = line.removeprefix(_BYTE_ORDER_MARK)
        if self._is_done or line.startswith(":"):
            return
        if not line.strip():
            yield from self._end_event()
            return
        name, _, value = line.partition(":")
        if name not in _FIELDS:
            self._hold(self._bare, line)
        elif name == "event":
            self._name = value.strip()
        elif name == "data":
            yield from self._add(value.strip())

    def _add(self, data: str) -> Iterator[ServerEvent]:
        while data.startswith("data:"):  # written twice by a proxy
            data = data.removeprefix("data:").lstrip()
        if data.startswith(_DONE):
            yield from self._end_event()
            self._is_done = True
            yield ServerEvent(None, is_last=True)
        elif data and not self._data and data[0] + data[-1] in ("{}", "[]"):
            try:
                yield self._event(_value(data))
            except ModelError:
                self._hold(self._data, data)
        elif data:
            self._hold(self._data, data)

    def _end_event(self) -> Iterator[ServerEvent]:
        if self._data:
            data, self._data, self._held = self._data, [], 0
            yield self._event(_value("\n".join(data)))
        self._name = ""

    def _event(self, value: Any) -> ServerEvent:
        self._has_events = True
        return ServerEvent(value, self._name)

    def _hold(self, lines: list[str], line: str) -> None:
        self._held += len(line)
        self._limit(self._held)
        lines.append(line)

    def _limit(self, size: int) -> None:
        if size > LONGEST_EVENT:
            raise _unreadable("an event without an end")


def _bare_values(lines: list[str]) -> Iterator[ServerEvent]:
    """A body that is JSON, or a line of JSON for each event."""
    try:
        value = _value("\n".join(lines))
    except ModelError:
        for line in lines:
            yield ServerEvent(_value(line))
        return
    for each in value if isinstance(value, list) else [value]:
        yield ServerEvent(each, is_last=True)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable("an event that is no JSON") from error


def _unreadable(what: str) -> ModelError:
    return ModelError(ReplyFault.UNAVAILABLE, what)
