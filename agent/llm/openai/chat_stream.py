"""The bytes of a response → pieces of a reply, or errors; does no IO.

**Reading events.** Server-sent events in all forms that servers write
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation):
lines end with CR, LF or both, comments and invalid UTF-8 are ignored, a line of data that is
complete JSON is an event without a blank line after it. A body without events is read as one JSON
value, or one in each line, as servers respond that do not stream.

**Reading replies.** Values that are missing or of another type are ignored. An event without text
becomes a `TextPiece` without text: it shows `agent.llm.failover` that the stream has not stalled.
The reply is complete with a finish reason, `[DONE]`, or a body that was not streamed. Tool calls
are given out then. Only `ModelError` is raised.
"""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import IncrementalNewlineDecoder
from typing import Any

import httpx2
import openai

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, Usage, tokens
from agent.call.text import CharacterJoiner
from agent.errors import ModelError
from agent.llm.openai.chat_tool_calls import Json, ToolCallAssembler, objects
from agent.llm.option_repair import FAULTS_BY_STATUS, Refusal, fault_of, known_fault, refusal_of
from agent.llm.provider_faults import CHAT_COMPLETIONS, explained, network_error

MOST_BYTES = 16 * 1024 * 1024  # reasoning models send some megabytes in small events
LONGEST_EVENT = 512 * 1024  # in characters; reading a longer one would block the loop
_FIELDS = frozenset({"data", "event", "id", "retry"})
_DONE = "[DONE]"
_BYTE_ORDER_MARK = "\ufeff"
_STOPS = {
    "stop": StopReason.END,
    "end_turn": StopReason.END,
    "eos": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_calls": StopReason.TOOLS,
    "tool_use": StopReason.TOOLS,
    "function_call": StopReason.TOOLS,
    "length": StopReason.LENGTH,
    "max_tokens": StopReason.LENGTH,
    "model_length": StopReason.LENGTH,
    "content_filter": StopReason.BLOCKED,
    "safety": StopReason.BLOCKED,
    "malformed_function_call": StopReason.MALFORMED,
}  # in lower case; Mistral, Gemini and proxies for other APIs have their own names
_NO_REASON = frozenset({"", "null", "none"})
_FAILED = "error"
_TEXT_TYPES = frozenset({"text", "output_text", "refusal"})  # parts of a message that are spoken
_CACHED_COUNTS = ("prompt_cache_hit_tokens", "cached_tokens")  # of DeepSeek and Moonshot

_FAULTS_BY_CODE = {
    "context_length_exceeded": ReplyFault.TOO_LONG,
    "insufficient_quota": ReplyFault.DENIED,
    "invalid_api_key": ReplyFault.DENIED,
    "model_not_found": ReplyFault.DENIED,
    "rate_limit_exceeded": ReplyFault.THROTTLED,
    "tool_use_failed": ReplyFault.UNAVAILABLE,
}
_UNAVAILABLE = 503
_FAULTS_BY_STATUS = {**FAULTS_BY_STATUS, 409: ReplyFault.UNAVAILABLE}
_LONGEST_MESSAGE = 500
# No refused option has these; it may have 400, 422, 500 and others.
_NOT_OF_THE_REQUEST = frozenset({401, 403, 408, 409, 413, 429, 502, 503, 504, 529})


class ChatDecoder:
    """Decodes one response; `names` are those of the offered tools."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._events = EventStreamParser()
        self._calls = ToolCallAssembler(names)
        self._text = CharacterJoiner()
        self._has_begun = False  # there was a choice, perhaps an empty one
        self.has_stopped = False
        self.called: frozenset[str] | None = None
        """The tools that were called, once the reply has ended where the model wanted."""
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> Iterator[ReplyPiece]:
        """The pieces that more bytes complete, cut anywhere; raises `ModelError` for bad ones."""
        for event in self._events.feed(data):
            yield from self._take(event)

    def finish(self) -> Iterator[ReplyPiece]:
        """The last pieces, at the end of the body; raises `ModelError` if it was cut off."""
        for event in self._events.finish():
            yield from self._take(event)
        if not self.has_stopped:
            raise ModelError(ReplyFault.UNAVAILABLE, "the stream ended before the message")

    def _take(self, event: ServerEvent) -> Iterator[ReplyPiece]:
        value = event.value if isinstance(event.value, dict) else {}
        self._note_usage(value)
        if self.has_stopped:
            return
        choice = next(objects(value.get("choices")), {})
        _raise_error(event, value, choice)
        yield from self._read(choice)
        reason = _reason(choice)
        if reason or (event.is_last and self._has_begun):
            yield from self._end(reason)

    def _read(self, choice: Json) -> Iterator[ReplyPiece]:
        """Text and calls; a whole message is ignored at the end, where some servers repeat it."""
        delta, message = choice.get("delta"), choice.get("message")
        if not isinstance(delta, dict):
            delta = message if isinstance(message, dict) and not self._has_begun else {}
        self._has_begun = self._has_begun or bool(choice)
        text = _text_of(delta.get("content")) or _text_of(delta.get("refusal"))
        yield TextPiece(self._text.add(text), is_thought=not text and _has_thought(delta))
        self._calls.add(delta)

    def _end(self, name: str) -> Iterator[ReplyPiece]:
        reason = _STOPS.get(name, StopReason.UNKNOWN) if name else StopReason.END
        calls = self._calls.complete(is_cut=reason is StopReason.LENGTH or not name)
        if reason in {StopReason.BLOCKED, StopReason.MALFORMED}:
            calls = []
        if calls and reason in {StopReason.END, StopReason.UNKNOWN}:
            reason = StopReason.TOOLS
        if not calls and reason is StopReason.TOOLS:
            reason = StopReason.MALFORMED
        self.has_stopped = True
        if reason in {StopReason.END, StopReason.TOOLS}:
            self.called = frozenset(call.name for call in calls)
        yield from calls
        yield Stopped(reason)

    def _note_usage(self, value: Json) -> None:
        """Keep the latest usage; Groq and Moonshot have their own places for it."""
        for place in (value, *objects(value.get("choices")), *objects(value.get("x_groq"))):
            usage = place.get("usage")
            if isinstance(usage, dict):
                self.usage = _usage(usage)
                return


def _raise_error(event: ServerEvent, value: Json, choice: Json) -> None:
    if error := value.get("error") or choice.get("error"):
        raise reported_error(error)
    if event.name == _FAILED or value.get("object") == _FAILED:
        raise reported_error(event.value)
    if _reason(choice) == _FAILED:
        raise reported_error("the model failed")


def _reason(choice: Json) -> str:
    reason = choice.get("finish_reason")
    if isinstance(reason, str):
        return "" if reason.lower() in _NO_REASON else reason.lower()
    return "unknown" if reason else ""


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(_part(each) for each in (content if isinstance(content, list) else [content]))


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    fields: Json = part if isinstance(part, dict) else {}
    kind = fields.get("type", "text")
    if not (isinstance(kind, str) and kind in _TEXT_TYPES):
        return ""
    text = fields.get("text") or fields.get("refusal")
    return text if isinstance(text, str) else ""


def _has_thought(delta: Json) -> bool:
    """Both names are in https://docs.vllm.ai/en/stable/features/reasoning_outputs."""
    return any(delta.get(name) for name in ("reasoning", "reasoning_content"))


def _usage(counts: Json) -> Usage:
    """Consistent counts: no more cached tokens than tokens of the prompt."""
    prompt = tokens(counts.get("prompt_tokens"))
    details = next(objects(counts.get("prompt_tokens_details")), {})
    places = (details.get("cached_tokens"), *(counts.get(name) for name in _CACHED_COUNTS))
    cached = min(next((count for count in map(tokens, places) if count), 0), prompt)
    return Usage(prompt - cached, tokens(counts.get("completion_tokens")), cached)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One JSON value of a body."""

    value: Any
    name: str = ""
    is_last: bool = False  # a whole body, or `[DONE]`, whose value is `None`


class EventStreamParser:
    """Parses the events of one body."""

    def __init__(self) -> None:
        decoder = getincrementaldecoder("utf-8")("ignore")
        self._decoder = IncrementalNewlineDecoder(decoder, translate=True)
        self._size = 0
        self._line: list[str] = []  # the parts of an unfinished line
        self._line_size = 0
        self._data: list[str] = []
        self._bare: list[str] = []
        self._held = 0  # characters of an unfinished event
        self._name = ""
        self._has_events = False
        self._is_done = False

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        self._size += len(data)
        if self._size > MOST_BYTES:
            raise _unreadable("the response is too long")
        yield from self._read_lines(self._decoder.decode(data))

    def finish(self) -> Iterator[ServerEvent]:
        yield from self._read_lines(self._decoder.decode(b"", final=True) + "\n")
        yield from self._end_event()
        if self._bare and not self._has_events:
            yield from _bare_values(self._bare)

    def _read_lines(self, text: str) -> Iterator[ServerEvent]:
        for number, part in enumerate(text.split("\n")):
            if number:
                line, self._line, self._line_size = "".join(self._line), [], 0
                yield from self._read(line)
            self._line.append(part)
            self._line_size += len(part)
            self._limit(self._line_size)

    def _read(self, line: str) -> Iterator[ServerEvent]:
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
            raise _unreadable("an event is too long")


def _bare_values(lines: list[str]) -> Iterator[ServerEvent]:
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
        raise _unreadable("an event is not JSON") from error


def _unreadable(detail: str) -> ModelError:
    return ModelError(ReplyFault.UNAVAILABLE, detail)


class ReportedError(ModelError):
    """An error that a server reports; `refusal` is None if it cannot be about an option.

    `status` is 0 inside a stream, unless the server gives one.
    """

    def __init__(self, codes: Sequence[object], message: str, body: object, status: int) -> None:
        refusal = refusal_of(body)
        text = refusal.text or message
        cause, remedy = explained(CHAT_COMPLETIONS, status, codes, text)
        super().__init__(_fault(codes, text, status or 500), cause, remedy=remedy, detail=text)
        self.status = status
        self.refusal: Refusal | None = replace(refusal, text=text)
        self.is_loading = status == _UNAVAILABLE and "loading" in text.lower()  # as llama.cpp says


@contextmanager
def client_errors() -> Iterator[None]:
    """Raise errors of the client and of its connections as `ModelError`."""
    try:
        yield
    except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
        connecting = httpx2.ConnectError | httpx2.ConnectTimeout
        raise network_error(
            error,
            has_connected=not isinstance(error.__cause__ or error, connecting),
            remedy="Check that the server runs, and OPENAI_BASE_URL.",
            authorities="SSL_CERT_FILE",
        ) from error
    except openai.APIError as error:
        status = error.status_code if isinstance(error, openai.APIStatusError) else 500
        reported = ReportedError((error.code, error.type), error.message, error.body, status)
        is_known = isinstance(error.code, str) and error.code in _FAULTS_BY_CODE
        if is_known or status in _NOT_OF_THE_REQUEST:
            reported.refusal = None
        raise reported from error


def reported_error(value: object) -> ReportedError:
    """An error inside a stream: an object, perhaps with a proxy's status, or a message alone."""
    error = value if isinstance(value, dict) else {"message": value}
    codes = (error.get("code"), error.get("type"))
    message = str(error.get("message") or "an error")[:_LONGEST_MESSAGE]
    statuses = map(tokens, (*codes, error.get("status"), error.get("status_code")))
    status = next((each for each in statuses if 400 <= each < 600), 0)
    return ReportedError(codes, message, error, status)


def _fault(codes: Sequence[object], text: str, status: int) -> ReplyFault:
    by_code = (_FAULTS_BY_CODE.get(code) for code in codes if isinstance(code, str))
    if fault := next(filter(None, by_code), None) or known_fault(text):
        return fault
    if status >= 500:
        return ReplyFault.UNAVAILABLE
    return _FAULTS_BY_STATUS.get(status) or fault_of(text)
