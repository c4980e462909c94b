"""The bytes of a ConverseStream answer → pieces of a reply (practice section 9).

Frames and their checksums are botocore's `EventStreamBuffer`. Their payloads are read here with
msgspec, by the name in `:event-type`: botocore's parser walks its service model for each event,
which costs several times as much and drops what the pinned model does not know yet.

- Everything goes by the index of its block; a tool may be at any index, and several in a message.
- Reasoning, citations, and all that is newer than this file say nothing. Like the start of the
  message, of a block, and each part of a call's input, such a delta becomes a `TextPiece` without
  text: it tells `agent.llm.resilient` that a model which writes a long call has not stalled.
- Tool calls are given out at the end of the message. Only the stop reason tells whether the last
  one is whole: Bedrock closes the block of a call that `maxTokens` has cut like any other.
- What comes after `messageStop` and is no usage, also an error, is without meaning for the reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from botocore.eventstream import (  # type: ignore[import-untyped] # botocore ships no types
    EventStreamBuffer,
    ParserError,
)

from agent.conversation.events import ReplyFault
from agent.conversation.messages import (
    ReplyPiece,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.llm.bedrock.faults import Complaint, complaint
from agent.ports import ModelError

T = TypeVar("T")


class _ToolStart(msgspec.Struct):
    toolUseId: str = ""  # noqa: N815 the wire's spelling, as all below
    name: str = ""


class _Start(msgspec.Struct):
    toolUse: _ToolStart | None = None  # noqa: N815


class _BlockStart(msgspec.Struct):
    contentBlockIndex: int = 0  # noqa: N815
    start: _Start = msgspec.field(default_factory=_Start)


class _ToolDelta(msgspec.Struct):
    input: str = ""


class _Delta(msgspec.Struct):
    text: str = ""
    toolUse: _ToolDelta | None = None  # noqa: N815
    reasoningContent: object = None  # noqa: N815


class _BlockDelta(msgspec.Struct):
    contentBlockIndex: int = 0  # noqa: N815
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _BlockStop(msgspec.Struct):
    contentBlockIndex: int = 0  # noqa: N815


class _MessageStop(msgspec.Struct):
    stopReason: str = ""  # noqa: N815


class _Tokens(msgspec.Struct):
    inputTokens: int = 0  # noqa: N815
    outputTokens: int = 0  # noqa: N815
    cacheReadInputTokens: int = 0  # noqa: N815
    cacheWriteInputTokens: int = 0  # noqa: N815


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
_WITHOUT_CALLS = frozenset({StopReason.BLOCKED, StopReason.MALFORMED})


class UpstreamError(Exception):
    """An error event of the stream, with the provider's words."""

    def __init__(self, said: Complaint) -> None:
        super().__init__(said.kind)
        self.complaint = said


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    pieces: list[str] = field(default_factory=list)
    is_closed: bool = False

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class Reading:
    """One answer as it is read."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()
        self._calls: dict[int, _Call] = {}
        self._last_index = -1
        self._has_text = False
        self.events = 0
        """How many have come."""
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
        except (ParserError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            detail = f"unreadable stream: {type(error).__name__}"
            raise ModelError(ReplyFault.UNAVAILABLE, detail) from error

    def _read(self, headers: dict[str, object], payload: bytes) -> Iterator[ReplyPiece]:
        kind = headers.get(":event-type")
        if kind == "contentBlockDelta":
            yield from self._add(_BLOCK_DELTA.decode(payload))
        elif kind == "contentBlockStart":
            self._start(_BLOCK_START.decode(payload))
            yield _SIGN_OF_LIFE
        elif kind == "messageStart":
            yield _SIGN_OF_LIFE
        elif kind == "contentBlockStop":
            self._close(_BLOCK_STOP.decode(payload))
        elif kind == "messageStop":
            yield from self._stop(_MESSAGE_STOP.decode(payload).stopReason)
        elif kind == "metadata":
            yield from _usage(_METADATA.decode(payload))
        elif headers.get(":message-type") in ("exception", "error"):
            named = headers.get(":exception-type") or headers.get(":error-code") or ""
            raise UpstreamError(complaint(str(named), payload))

    def _start(self, block: _BlockStart) -> None:
        self._last_index = block.contentBlockIndex
        used = block.start.toolUse
        if used is not None:
            self._calls[block.contentBlockIndex] = _Call(used.toolUseId, used.name)

    def _add(self, block: _BlockDelta) -> Iterator[TextPiece]:
        self._last_index = block.contentBlockIndex
        if block.delta.text:
            self._has_text = True
            yield TextPiece(block.delta.text)
        else:
            yield _THOUGHT if block.delta.reasoningContent is not None else _SIGN_OF_LIFE
        call = self._calls.get(block.contentBlockIndex)
        if call is not None and block.delta.toolUse is not None:
            call.pieces.append(block.delta.toolUse.input)

    def _close(self, block: _BlockStop) -> None:
        call = self._calls.get(block.contentBlockIndex)
        if call is not None:
            call.is_closed = True

    def _stop(self, word: str) -> Iterator[ReplyPiece]:
        if word == _WINDOW_EXCEEDED and not self._has_text:
            raise ModelError(ReplyFault.TOO_LONG, word)
        reason = _STOPS.get(word, StopReason.LENGTH if word == _WINDOW_EXCEEDED else None)
        calls = [] if reason in _WITHOUT_CALLS else self._whole_calls(reason)
        if reason in (StopReason.END, None) and calls:
            reason = StopReason.TOOLS
        elif reason is StopReason.TOOLS and not calls:
            reason = StopReason.MALFORMED
        yield from calls
        self.is_complete = True
        yield Stopped(reason or StopReason.UNKNOWN)

    def _whole_calls(self, reason: StopReason | None) -> list[ToolCall]:
        """All that were closed; without the one that the limit of tokens has cut."""
        return [
            ToolCall(call.id, call.name, call.arguments.strip() or "{}")
            for index, call in sorted(self._calls.items())
            if call.is_closed
            and not (
                reason is StopReason.LENGTH
                and index == self._last_index
                and not _is_object(call.arguments)
            )
        ]


def _is_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return False
    return True


def _usage(told: _Metadata) -> Iterator[Usage]:
    tokens = told.usage
    if tokens is not None:
        yield Usage(
            tokens.inputTokens,
            tokens.outputTokens,
            tokens.cacheReadInputTokens,
            tokens.cacheWriteInputTokens,
        )
