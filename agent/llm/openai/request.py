"""A `ReplyRequest` as the body of a request.

What is sent keeps to what OpenAI, vLLM, llama.cpp and Ollama all accept; one field has two names,
see `runtime`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from agent.conversation.messages import (
    ForcedTool,
    Message,
    ReplyRequest,
    Role,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    results_apart,
)
from agent.llm.openai.arguments import is_object

Json = dict[str, Any]


def body_of(request: ReplyRequest, model: str, limit_field: str = "max_tokens") -> Json:
    """What is sent, without `stream`."""
    system = "\n\n".join(text for text in (request.system, request.context) if text.strip())
    head = [{"role": "system", "content": system}] if system else []
    options = {
        limit_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "tools": [_tool(spec) for spec in request.tools] or None,
        "tool_choice": _choice(request) if request.tools else None,
    }
    return {
        "model": model,
        "messages": [*head, *_written(request.messages)],
        "stream_options": {"include_usage": True},
        **{name: value for name, value in options.items() if value is not None},
    }


def _written(messages: Sequence[Message]) -> Iterator[Json]:
    for mixed in messages:
        for message in results_apart(mixed):
            yield from _messages(message)


def _messages(message: Message) -> Iterator[Json]:
    """One of ours may be several of theirs: each result of a tool stands alone."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
    words = "\n".join(part.text for part in message.parts if isinstance(part, Text)) or None
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    if message.role is Role.CALLER:
        if words:
            yield {"role": "user", "content": words}
    elif calls:
        yield {"role": "assistant", "content": words, "tool_calls": calls}
    else:
        yield {"role": "assistant", "content": words}


def _call(call: ToolCall) -> Json:
    arguments = call.arguments if is_object(call.arguments) else "{}"
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool(spec: ToolSpec) -> Json:
    parameters = json.loads(spec.parameters)
    function = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _choice(request: ReplyRequest) -> object:
    if isinstance(request.choice, ForcedTool):
        return {"type": "function", "function": {"name": request.choice.name}}
    return request.choice.value
