"""The chunks of a stream → pieces of a reply.

A chunk without words becomes a `TextPiece` without text: it tells `agent.llm.resilient` that the
model is at work. Tool calls come in fragments that belong together by `index`; they are given
out when the model says why it stopped, because only then are they known to be complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agent.conversation.messages import (
    ReplyPiece,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.llm.openai.request import is_object

_STOPS = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOLS,
    "function_call": StopReason.TOOLS,
    "length": StopReason.LENGTH,
    "content_filter": StopReason.BLOCKED,
}


@dataclass(slots=True)
class _Fragments:
    """What has come of one tool call."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, delta: ChoiceDeltaToolCall) -> None:
        self.id = self.id or delta.id or ""
        if delta.function is not None:
            self.name = self.name or delta.function.name or ""
            self.arguments += delta.function.arguments or ""


class Reading:
    """The chunks of one stream, to the pieces of a reply. Does no IO."""

    def __init__(self) -> None:
        self._calls: dict[int, _Fragments] = {}
        self.has_stopped = False
        """The reply is complete."""
        self.usage: Usage | None = None

    def feed(self, chunk: ChatCompletionChunk) -> Iterator[ReplyPiece]:
        """Take the next chunk; its choices may be missing or null, as the client checks nothing."""
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if self.has_stopped:
            return
        choices: Sequence[Any] = chunk.choices or ()
        for choice in choices[:1]:
            delta = choice.delta
            words = (delta.content or delta.refusal or "") if delta else ""
            yield TextPiece(words, is_thought=not words and _has_thought(delta))
            for each in (delta.tool_calls or ()) if delta else ():
                self._calls.setdefault(each.index or 0, _Fragments()).add(each)
            if choice.finish_reason:
                self.has_stopped = True
                yield from self._end(choice.finish_reason)
        if not choices:
            yield TextPiece("")

    def _end(self, finish_reason: str) -> Iterator[ReplyPiece]:
        reason = _STOPS.get(finish_reason, StopReason.UNKNOWN)
        calls = self._complete_calls(is_cut=reason is StopReason.LENGTH)
        if reason is StopReason.BLOCKED:
            calls = []
        yield from calls
        if calls and reason in {StopReason.END, StopReason.UNKNOWN}:
            reason = StopReason.TOOLS
        if not calls and reason is StopReason.TOOLS:
            reason = StopReason.MALFORMED
        yield Stopped(reason)

    def _complete_calls(self, *, is_cut: bool) -> list[ToolCall]:
        return [
            ToolCall(call.id or f"call-{index}", call.name, call.arguments.strip() or "{}")
            for index, call in sorted(self._calls.items())
            if call.name and not (is_cut and not is_object(call.arguments))
        ]


def _has_thought(delta: object) -> bool:
    """Whether a server gives thoughts apart from the text.

    docs.vllm.ai/en/stable/features/reasoning_outputs has both names.
    """
    return any(getattr(delta, name, None) for name in ("reasoning", "reasoning_content"))


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Usage((usage.prompt_tokens or 0) - cached, usage.completion_tokens or 0, cached)
