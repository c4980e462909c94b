"""The bytes of a ConverseStream response → pieces of a reply, or an error; does no IO.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html

`agent.llm.bedrock.event_frames` reads frames and checksums, msgspec their payloads by the name in
`:event-type`: botocore's parsers cost several times as much, and drop what their pinned model does
not know yet.

- Parts belong to the block with their index. Where blocks share an index or have none, a part
  belongs to the call that began last.
- Events without text (starts, reasoning, citations, parts of a call) become a `TextPiece` without
  text: it shows `agent.llm.failover` that the stream has not stalled.
- Tool calls are given out at the end of the message: only the stop reason shows whether the last
  one is whole, as Bedrock also closes the block of a call that `maxTokens` has cut.
- The usage is given out once, after `Stopped`, wherever it comes. Other events after `messageStop`,
  also errors, are ignored.
- The message of an error decides where one kind stands for several faults: `ValidationException`
  (see `agent.llm.option_repair`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, ToolCall, Usage, tokens
from agent.call.text import CharacterJoiner, json_object, whole_json
from agent.errors import ModelError, provider_kind
from agent.llm.bedrock.event_frames import FrameParser
from agent.llm.option_repair import FAULTS_BY_STATUS, Refusal, fault_of
from agent.llm.provider_faults import BEDROCK, explained

# ruff: noqa: N815 (names as the API spells them)


class _ToolUse(msgspec.Struct):
    toolUseId: str | None = None
    name: str | None = None
    input: str | dict[str, Any] | None = None


class _Content(msgspec.Struct):
    text: str | None = None
    toolUse: _ToolUse | None = None
    reasoningContent: object = None


class _Tokens(msgspec.Struct):
    inputTokens: object = 0
    outputTokens: object = 0
    cacheReadInputTokens: object = 0
    cacheWriteInputTokens: object = 0


class _Event(msgspec.Struct):
    contentBlockIndex: int | None = None
    start: _Content | None = None
    delta: _Content | None = None
    stopReason: str | None = None
    usage: _Tokens | None = None


class _Body(msgspec.Struct):
    type: str = msgspec.field(default="", name="__type")
    code: str = ""
    message: str = ""
    Message: str = ""


_DELTA = "contentBlockDelta"
_DECODER = msgspec.json.Decoder(_Event)
_STOPS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_use": StopReason.TOOLS,
    "max_tokens": StopReason.LENGTH,
    "guardrail_intervened": StopReason.BLOCKED,
    "content_filtered": StopReason.BLOCKED,
    "malformed_tool_use": StopReason.MALFORMED,
    "malformed_model_output": StopReason.MALFORMED,
    "model_context_window_exceeded": StopReason.LENGTH,
}
_WINDOW_EXCEEDED = "model_context_window_exceeded"
_SIGN_OF_LIFE = TextPiece("")
_THOUGHT = TextPiece("", is_thought=True)
# Of frames, msgspec and json; `MsgspecError` and `UnicodeError` are `ValueError`s.
_UNREADABLE = (ValueError, RecursionError)
_WITHOUT_CALLS = frozenset({StopReason.BLOCKED, StopReason.MALFORMED})
_KINDS_BY_FAULT = {
    ReplyFault.THROTTLED: ("throttling", "toomanyrequests", "servicequotaexceeded"),
    ReplyFault.UNAVAILABLE: (
        "serviceunavailable", "internalserver", "internalfailure", "modelerror", "modelstreamerror",
        "modelnotready",
    ),
    ReplyFault.TIMEOUT: ("modeltimeout",),
    ReplyFault.DENIED: (
        "accessdenied", "resourcenotfound", "unrecognizedclient", "expiredtoken",
        "invalidsignature", "incompletesignature", "invalidclienttokenid",
        "missingauthenticationtoken",
    ),
}  # fmt: skip
"""Names in lower case, without `Exception` or `Error`."""
_KINDS = {kind: fault for fault, kinds in _KINDS_BY_FAULT.items() for kind in kinds}
_MODEL_KINDS = frozenset({"modelerror", "modelstreamerror"})
"""A model's own refusal may come as an error of the model. Models without prompt caching answer
`AccessDeniedException` to a cache point."""
_VALIDATION_STATUSES = (400, 422)


class BedrockError(ModelError):
    """An error as Bedrock reported it; `refusal` is None if the request was not refused."""

    def __init__(self, kind: str, message: str, status: int = 0) -> None:
        short = _short(kind)
        is_validation = short == "validation" or (not short and status in _VALIDATION_STATUSES)
        default = ReplyFault.REFUSED if 400 <= status < 500 else ReplyFault.UNAVAILABLE
        fault = _KINDS.get(short) or FAULTS_BY_STATUS.get(status, default)
        fault = fault_of(message) if is_validation else fault
        cause, remedy = explained(BEDROCK, status, (kind,), message)
        super().__init__(fault, cause, remedy=remedy, detail=message)
        is_cached = "prompt caching" in message.lower()
        is_of_request = is_validation or short in _MODEL_KINDS or is_cached
        self.refusal = Refusal(message) if is_of_request else None


def parse_error(kind_header: str, body: bytes, status: int = 0) -> BedrockError:
    """Read an error; its kind is `x-amzn-errortype` of HTTP or `:exception-type` of a stream."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, RecursionError):
        read = _Body(message=body.decode(errors="replace"))
    kind = (kind_header or read.type or read.code).partition(":")[0].rpartition("#")[2].strip()
    return BedrockError(provider_kind(kind), read.message or read.Message, status)


def _short(kind: str) -> str:
    lower = kind.lower()
    return lower.removesuffix("exception" if lower.endswith("exception") else "error")


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
    """Decodes one response."""

    def __init__(self) -> None:
        self._frames = FrameParser()
        self._calls: list[_Call] = []
        self._by_index: dict[int | None, _Call] = {}  # the call that began last at each index
        self._latest: _Call | None = None  # the call of the latest part, if that was of one
        self._text = CharacterJoiner()
        self._has_text = False
        self._usage: Usage | None = None
        self._has_given_usage = False
        self.unusable = 0  # number of calls, or parts of calls, that cannot be run
        self.is_complete = False  # the message has ended; only its usage may follow

    def feed(self, data: bytes) -> Iterator[ReplyPiece]:
        """The pieces that more bytes complete, cut anywhere; raises `ModelError` for bad ones."""
        try:
            for headers, payload in self._frames.feed(data):
                if headers.get(":event-type") == _DELTA and not self.is_complete:
                    yield self._add(_decoded(payload))
                    continue
                yield from self._take(headers, payload)
                if self.is_complete and self._usage is not None and not self._has_given_usage:
                    self._has_given_usage = True
                    yield self._usage
        except _UNREADABLE as error:
            detail = f"unreadable stream: {type(error).__name__}"
            raise ModelError(ReplyFault.UNAVAILABLE, detail) from error

    def finish(self) -> None:
        """The response has ended; raises `ModelError` if it was cut off."""
        if not self.is_complete:
            raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before the message")

    def _take(self, headers: Mapping[str, str], payload: bytes) -> Iterator[ReplyPiece]:
        kind = headers.get(":event-type")
        if kind == "metadata":
            self._count(_decoded(payload).usage)
        elif self.is_complete:
            return
        elif kind == "contentBlockStart":
            self._start(_decoded(payload))
            yield _SIGN_OF_LIFE
        elif kind == "messageStart":
            yield _SIGN_OF_LIFE
        elif kind == "contentBlockStop":
            call = self._by_index.get(_decoded(payload).contentBlockIndex)
            if call is not None:
                call.is_closed = True
        elif kind == "messageStop":
            yield from self._stop(_decoded(payload).stopReason or "")
        elif headers.get(":message-type") in ("exception", "error"):
            name = headers.get(":exception-type") or headers.get(":error-code") or ""
            raise parse_error(name, payload)

    def _start(self, block: _Event) -> None:
        start = block.start.toolUse if block.start is not None else None
        if start is None:
            self._latest = None
            return
        self._latest = self._by_index.get(block.contentBlockIndex)
        if self._latest is None or not _is_repeated(self._latest, start):
            self._latest = _Call(start.toolUseId or "", start.name or "")
            self._calls.append(self._latest)
            self._by_index[block.contentBlockIndex] = self._latest

    def _add(self, block: _Event) -> TextPiece:
        delta = block.delta
        if delta is None or delta.toolUse is None:
            self._latest = None
            return self._text_piece(delta)
        self._latest = call = self._continued(block.contentBlockIndex)
        part = delta.toolUse.input or ""
        text = part if isinstance(part, str) else json.dumps(part)
        if call is not None:
            call.pieces.append(text)
        elif text.strip():
            self.unusable += 1
        return self._text_piece(delta)

    def _text_piece(self, delta: _Content | None) -> TextPiece:
        if delta is None or not delta.text:
            is_thought = delta is not None and delta.reasoningContent is not None
            return _THOUGHT if is_thought else _SIGN_OF_LIFE
        self._has_text = True
        return TextPiece(self._text.add(delta.text))

    def _continued(self, index: int | None) -> _Call | None:
        call = self._by_index.get(index)
        if (call is None or call.is_closed) and self._calls and not self._calls[-1].is_closed:
            return self._calls[-1]
        return call

    def _stop(self, name: str) -> Iterator[ReplyPiece]:
        if name == _WINDOW_EXCEEDED and not self._has_text:
            raise ModelError(ReplyFault.TOO_LONG, name)
        reason = _STOPS.get(name)
        calls = [] if reason in _WITHOUT_CALLS else self._whole_calls(reason)
        yield from calls
        self.is_complete = True
        yield Stopped(self._consistent(reason, has_calls=bool(calls)))

    def _consistent(self, reason: StopReason | None, *, has_calls: bool) -> StopReason:
        if reason in (StopReason.END, None) and has_calls:
            return StopReason.TOOLS
        if has_calls or reason in _WITHOUT_CALLS:
            return reason or StopReason.UNKNOWN
        has_only_broken = bool(self.unusable) and not self._has_text
        if reason is StopReason.TOOLS or (has_only_broken and reason is not StopReason.LENGTH):
            return StopReason.MALFORMED
        return reason or StopReason.UNKNOWN

    def _whole_calls(self, reason: StopReason | None) -> list[ToolCall]:
        named = [call for call in self._calls if call.name]
        self.unusable += len(self._calls) - len(named)
        return [
            ToolCall(call.id, call.name, call.arguments or "{}")
            for call in named
            if reason is not StopReason.LENGTH or self._is_uncut(call)
        ]

    def _is_uncut(self, call: _Call) -> bool:
        """Whether the token limit has not cut this call; it can only cut the latest part."""
        is_over = (call.is_closed or not call.arguments) and call is not self._latest
        return is_over or json_object(call.arguments) is not None

    def _count(self, counts: _Tokens | None) -> None:
        if counts is not None:
            self._usage = Usage(
                tokens(counts.inputTokens),
                tokens(counts.outputTokens),
                tokens(counts.cacheReadInputTokens),
                tokens(counts.cacheWriteInputTokens),
            )


def _decoded(payload: bytes) -> _Event:
    """The payload of an event; json reads half characters, which msgspec refuses."""
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError:
        if b"\\ud" not in payload.lower():
            raise
        return msgspec.convert(json.loads(payload), _Event)


def _is_repeated(call: _Call, start: _ToolUse) -> bool:
    is_same = (start.toolUseId, start.name or "") == (call.id, call.name)
    return bool(start.toolUseId) and is_same and not call.is_closed
