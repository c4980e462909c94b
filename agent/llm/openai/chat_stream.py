"""The bytes of an answer → pieces of a reply.

Every field may be missing or of another type: servers that imitate OpenAI differ, and proxies
change what passes them. What cannot be used is left out; what tells of an error is one. An event
without words becomes a `TextPiece` without text: it tells `agent.llm.failover` that the model is
at work.

The reply is complete when the model says why it stopped, with `[DONE]`, or with a body that was
not streamed. Tool calls are given out then (see `calls`). A stream that just ends was cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, Usage, tokens
from agent.call.text import CharacterJoiner
from agent.errors import ModelError
from agent.llm.openai.chat_errors import reported
from agent.llm.openai.chat_tool_calls import Json, ToolCallAssembler, objects
from agent.llm.openai.server_sent_events import EventStreamParser, ServerEvent

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
}
"""In lower case; Mistral, Gemini and proxies over other interfaces have words of their own."""
_NO_REASON = frozenset({"", "null", "none"})
_FAILED = "error"
_WORDS = frozenset({"text", "output_text", "refusal"})
"""Types of the parts of a message that are said; others are thoughts, citations and the like."""
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens")
"""Where DeepSeek and Moonshot tell of the cache."""


class ChatDecoder:
    """One answer as it is read. Does no IO.

    Args:
        names: Of the tools that were offered.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._events = EventStreamParser()
        self._calls = ToolCallAssembler(names)
        self._words = CharacterJoiner()
        self._has_begun = False
        """There was a choice, perhaps an empty one."""
        self.has_stopped = False
        """The reply is complete."""
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> Iterator[ReplyPiece]:
        """Read more bytes, cut anywhere; gives what they complete.

        Raises:
            ModelError: They cannot be read, or tell of an error.
        """
        for event in self._events.feed(data):
            yield from self._take(event)

    def finish(self) -> Iterator[ReplyPiece]:
        """The body has ended. Raises `ModelError` as `feed`, and if the reply is not complete."""
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
        """The words and the calls of a choice.

        Some servers repeat the whole message at the end; it counts only if nothing came before.
        """
        delta, message = choice.get("delta"), choice.get("message")
        if not isinstance(delta, dict):
            delta = message if isinstance(message, dict) and not self._has_begun else {}
        self._has_begun = self._has_begun or bool(choice)
        said = _words(delta.get("content")) or _words(delta.get("refusal"))
        yield TextPiece(self._words.add(said), is_thought=not said and _has_thought(delta))
        self._calls.add(delta)

    def _end(self, told: str) -> Iterator[ReplyPiece]:
        reason = _STOPS.get(told, StopReason.UNKNOWN) if told else StopReason.END
        calls = self._calls.complete(is_cut=reason is StopReason.LENGTH or not told)
        if reason in {StopReason.BLOCKED, StopReason.MALFORMED}:
            calls = []
        if calls and reason in {StopReason.END, StopReason.UNKNOWN}:
            reason = StopReason.TOOLS
        if not calls and reason is StopReason.TOOLS:
            reason = StopReason.MALFORMED
        self.has_stopped = True
        yield from calls
        yield Stopped(reason)

    def _note_usage(self, value: Json) -> None:
        """The latest usage; Groq and Moonshot have places of their own for it."""
        for place in (value, *objects(value.get("choices")), *objects(value.get("x_groq"))):
            told = place.get("usage")
            if isinstance(told, dict):
                self.usage = _usage(told)
                return


def _raise_error(event: ServerEvent, value: Json, choice: Json) -> None:
    """A `ModelError` if the event tells of one."""
    for place in (value, choice):
        if place.get("error"):
            raise reported(place["error"])
    if event.name == _FAILED or value.get("object") == _FAILED:
        raise reported(event.value)
    if _reason(choice) == _FAILED:
        raise reported("the model failed")


def _reason(choice: Json) -> str:
    """Why the model stopped, in lower case; empty if it has not."""
    told = choice.get("finish_reason")
    if isinstance(told, str):
        return "" if told.lower() in _NO_REASON else told.lower()
    return "unknown" if told else ""


def _words(content: object) -> str:
    """The text of a content: itself, or in parts."""
    if isinstance(content, str):
        return content
    return "".join(_part(each) for each in (content if isinstance(content, list) else [content]))


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    told: dict[str, Any] = part if isinstance(part, dict) else {}
    kind = told.get("type", "text")
    if not (isinstance(kind, str) and kind in _WORDS):
        return ""
    text = told.get("text") or told.get("refusal")
    return text if isinstance(text, str) else ""


def _has_thought(delta: Json) -> bool:
    """Whether a server gives thoughts apart from the text.

    docs.vllm.ai/en/stable/features/reasoning_outputs has both names.
    """
    return any(delta.get(name) for name in ("reasoning", "reasoning_content"))


def _usage(told: Json) -> Usage:
    """Counts that fit together: of the tokens of the prompt, no more are from the cache."""
    prompt = tokens(told.get("prompt_tokens"))
    details = next(objects(told.get("prompt_tokens_details")), {})
    counts = (details.get("cached_tokens"), *(told.get(name) for name in _CACHED))
    cached = min(next((count for count in map(tokens, counts) if count), 0), prompt)
    return Usage(prompt - cached, tokens(told.get("completion_tokens")), cached)
