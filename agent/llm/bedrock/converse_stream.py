"""The bytes of a ConverseStream answer → pieces of a reply (practice section 9).

Frames and their checksums are botocore's `EventStreamBuffer`. Their payloads are read here with
msgspec, by the name in `:event-type`: botocore's parser walks its service model for each event,
which costs several times as much and drops what the pinned model does not know yet.

- Everything goes by the index of its block; a tool may be at any index, and several in a message.
  Where blocks have the same index or none, a part goes to the call that was begun last: no call is
  lost because another one began. A call that cannot be run, as it has no name or only parts of its
  input have come, is counted in `unusable`.
- Reasoning, citations, and all that is newer than this file say nothing. Like the start of the
  message, of a block, and each part of a call's input, such a delta becomes a `TextPiece` without
  text: it tells `agent.llm.failover` that a model which writes a long call has not stalled.
- Tool calls are given out at the end of the message. Only the stop reason tells whether the last
  one is whole: Bedrock closes the block of a call that `maxTokens` has cut like any other.
- The usage is given out after the stop, once, wherever it comes. What else comes after
  `messageStop`, also an error, is without meaning for the reply.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from botocore.eventstream import (  # type: ignore[import-untyped] # botocore ships no types
    EventStreamBuffer,
    ParserError,
)

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, ToolCall, Usage, tokens
from agent.call.text import CharacterJoiner, whole_json
from agent.errors import ModelError
from agent.llm.bedrock.bedrock_errors import BedrockError, complaint

T = TypeVar("T")


class _ToolStart(msgspec.Struct):
    toolUseId: str | None = None  # noqa: N815 the wire's spelling, as all below
    name: str | None = None


class _Start(msgspec.Struct):
    toolUse: _ToolStart | None = None  # noqa: N815


class _BlockStart(msgspec.Struct):
    contentBlockIndex: int | None = None  # noqa: N815
    start: _Start | None = None


class _ToolDelta(msgspec.Struct):
    input: str | dict[str, Any] | None = None


class _Delta(msgspec.Struct):
    text: str | None = None
    toolUse: _ToolDelta | None = None  # noqa: N815
    reasoningContent: object = None  # noqa: N815


class _BlockDelta(msgspec.Struct):
    contentBlockIndex: int | None = None  # noqa: N815
    delta: _Delta | None = None


class _BlockStop(msgspec.Struct):
    contentBlockIndex: int | None = None  # noqa: N815


class _MessageStop(msgspec.Struct):
    stopReason: str | None = None  # noqa: N815


class _Tokens(msgspec.Struct):
    inputTokens: object = 0  # noqa: N815
    outputTokens: object = 0  # noqa: N815
    cacheReadInputTokens: object = 0  # noqa: N815
    cacheWriteInputTokens: object = 0  # noqa: N815


class _Metadata(msgspec.Struct):
    usage: _Tokens | None = None


_BLOCK_START = msgspec.json.Decoder(_BlockStart)
_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)
_BLOCK_STOP = msgspec.json.Decoder(_BlockStop)
_MESSAGE_STOP = msgspec.json.Decoder(_MessageStop)
_METADATA = msgspec.json.Decoder(_Metadata)

_STOPS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_use": StopReason.TOOLS,
    "max_tokens": StopReason.LENGTH,
    "guardrail_intervened": StopReason.BLOCKED,
    "content_filtered": StopReason.BLOCKED,
    "malformed_tool_use": StopReason.MALFORMED,
    "malformed_model_output": StopReason.MALFORMED,
}
_WINDOW_EXCEEDED = "model_context_window_exceeded"
_SIGN_OF_LIFE = TextPiece("")
_THOUGHT = TextPiece("", is_thought=True)
_UNREADABLE = (ParserError, ValueError, KeyError, struct.error, RecursionError)
"""What botocore, msgspec and json raise for bytes that are no event; a `MsgspecError` and a
`UnicodeError` are a `ValueError`."""
_WITHOUT_CALLS = frozenset({StopReason.BLOCKED, StopReason.MALFORMED})


class UpstreamError(Exception):
    """An error event of the stream, with the provider's words."""

    def __init__(self, said: BedrockError) -> None:
        super().__init__(said.kind)
        self.complaint = said


@dataclass(slots=True, eq=False)
class _Call:
    id: str
    name: str
    pieces: list[str] = field(default_factory=list)
    is_closed: bool = False

    @property
    def arguments(self) -> str:
        return whole_json("".join(self.pieces)).strip()


class ConverseDecoder:
    """One answer as it is read."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()
        self._calls: list[_Call] = []
        self._places: dict[int | None, _Call] = {}
        """The call that was begun last at each index."""
        self._latest: _Call | None = None
        """The call of the latest part; None = that was of another block."""
        self._words = CharacterJoiner()
        self._has_text = False
        self._usage: Usage | None = None
        self._has_told_usage = False
        self.events = 0
        """How many have come."""
        self.unusable = 0
        """Calls, or parts of one, that cannot be run."""
        self.is_complete = False
        """The message has stopped; only its usage may follow."""

    def feed(self, data: bytes) -> Iterator[ReplyPiece]:
        """Read more bytes, cut anywhere; gives what they complete.

        Raises:
            ModelError: They cannot be read, or the model's window is full.
            UpstreamError: Bedrock reports an error.
        """
        self._buffer.add_data(data)
        try:
            for message in self._buffer:
                self.events += 1
                yield from self._read(message.headers, message.payload)
        except _UNREADABLE as error:
            detail = f"unreadable stream: {type(error).__name__}"
            raise ModelError(ReplyFault.UNAVAILABLE, detail) from error

    def _read(self, headers: dict[str, object], payload: bytes) -> Iterator[ReplyPiece]:
        kind = headers.get(":event-type")
        if kind == "metadata":
            yield from self._count(_decoded(_METADATA, payload))
        elif self.is_complete:
            return
        elif kind == "contentBlockDelta":
            yield self._add(_decoded(_BLOCK_DELTA, payload))
        elif kind == "contentBlockStart":
            self._start(_decoded(_BLOCK_START, payload))
            yield _SIGN_OF_LIFE
        elif kind == "messageStart":
            yield _SIGN_OF_LIFE
        elif kind == "contentBlockStop":
            self._close(_decoded(_BLOCK_STOP, payload))
        elif kind == "messageStop":
            yield from self._stop(_decoded(_MESSAGE_STOP, payload).stopReason or "")
        elif headers.get(":message-type") in ("exception", "error"):
            named = headers.get(":exception-type") or headers.get(":error-code") or ""
            raise UpstreamError(complaint(str(named), payload))

    def _start(self, block: _BlockStart) -> None:
        used = block.start.toolUse if block.start is not None else None
        if used is None:
            self._latest = None
            return
        known = self._places.get(block.contentBlockIndex)
        if known is None or not _is_repeated(known, used):
            known = _Call(used.toolUseId or "", used.name or "")
            self._calls.append(known)
            self._places[block.contentBlockIndex] = known
        self._latest = known

    def _add(self, block: _BlockDelta) -> TextPiece:
        delta = block.delta
        if delta is None or delta.toolUse is None:
            self._latest = None
            return self._say(delta)
        self._latest = call = self._of_part(block.contentBlockIndex)
        written = delta.toolUse.input or ""
        text = written if isinstance(written, str) else json.dumps(written)
        if call is not None:
            call.pieces.append(text)
        elif text.strip():
            self.unusable += 1
        return self._say(delta)

    def _say(self, delta: _Delta | None) -> TextPiece:
        if delta is None or not delta.text:
            is_thought = delta is not None and delta.reasoningContent is not None
            return _THOUGHT if is_thought else _SIGN_OF_LIFE
        self._has_text = True
        return TextPiece(self._words.add(delta.text))

    def _of_part(self, index: int | None) -> _Call | None:
        """The call that a part of an input belongs to."""
        call = self._places.get(index)
        if (call is None or call.is_closed) and self._calls and not self._calls[-1].is_closed:
            return self._calls[-1]
        return call

    def _close(self, block: _BlockStop) -> None:
        call = self._places.get(block.contentBlockIndex)
        if call is not None:
            call.is_closed = True

    def _stop(self, word: str) -> Iterator[ReplyPiece]:
        if word == _WINDOW_EXCEEDED and not self._has_text:
            raise ModelError(ReplyFault.TOO_LONG, word)
        reason = _STOPS.get(word, StopReason.LENGTH if word == _WINDOW_EXCEEDED else None)
        calls = [] if reason in _WITHOUT_CALLS else self._whole_calls(reason)
        yield from calls
        self.is_complete = True
        yield Stopped(self._meaning(reason, has_calls=bool(calls)))
        if self._usage is not None:
            self._has_told_usage = True
            yield self._usage

    def _meaning(self, reason: StopReason | None, *, has_calls: bool) -> StopReason:
        """A reason that agrees with what the message has."""
        if reason in (StopReason.END, None) and has_calls:
            return StopReason.TOOLS
        if has_calls or reason in _WITHOUT_CALLS:
            return reason or StopReason.UNKNOWN
        has_only_broken = bool(self.unusable) and not self._has_text
        if reason is StopReason.TOOLS or (has_only_broken and reason is not StopReason.LENGTH):
            return StopReason.MALFORMED
        return reason or StopReason.UNKNOWN

    def _whole_calls(self, reason: StopReason | None) -> list[ToolCall]:
        """All that can be run; without the one that the limit of tokens has cut."""
        named = [call for call in self._calls if call.name]
        self.unusable += len(self._calls) - len(named)
        return [
            ToolCall(call.id, call.name, call.arguments or "{}")
            for call in named
            if reason is not StopReason.LENGTH or self._is_uncut(call)
        ]

    def _is_uncut(self, call: _Call) -> bool:
        """Bedrock closes a call that was cut, too; only the latest part can have been cut."""
        is_over = call.is_closed or not call.arguments
        return _is_object(call.arguments) or (is_over and call is not self._latest)

    def _count(self, told: _Metadata) -> Iterator[Usage]:
        counts = told.usage
        if counts is None or self._has_told_usage:
            return
        self._usage = Usage(
            tokens(counts.inputTokens),
            tokens(counts.outputTokens),
            tokens(counts.cacheReadInputTokens),
            tokens(counts.cacheWriteInputTokens),
        )
        if self.is_complete:
            self._has_told_usage = True
            yield self._usage


def _decoded(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """The payload of an event; msgspec takes no half of a character, json does."""
    try:
        return decoder.decode(payload)
    except msgspec.DecodeError:
        if b"\\ud" not in payload.lower():
            raise
        return msgspec.convert(json.loads(payload), decoder.type)


def _is_repeated(call: _Call, start: _ToolStart) -> bool:
    """Whether a block that is open was begun once more, and is no second call."""
    same = bool(start.toolUseId) and (start.toolUseId, start.name or "") == (call.id, call.name)
    return same and not call.is_closed


def _is_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return False
    return True
