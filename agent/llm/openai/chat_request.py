"""A `ReplyRequest` as the body of a request that OpenAI, vLLM, llama.cpp and Ollama all accept.

llama.cpp does not enforce a tool that is forced by its name, and does not say so
(https://github.com/ggml-org/llama.cpp/issues/26535).

A message and the tools are written once, and shared by the bodies that repeat them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any

from agent.call.messages import (
    Choice,
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
from agent.llm.openai.chat_tool_calls import is_object
from agent.llm.option_repair import FORCED, WORDS_ONLY, Option

Json = dict[str, Any]

_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
_LIMIT_SPELLINGS = (*_LIMIT_FIELDS, "max_new_tokens", "max_output_tokens", "maximum tokens")
_FORCED = "tool_choice forced"
_REQUIRED = "tool_choice required"
_AUTO = f"tool_choice {Choice.AUTO}"
_OPTIONS = (
    Option("stream_options", "stream_options", ("stream_options", "include_usage")),
    Option("tool_choice", "tool_choice", ("tool_choice", "forced tool", "forces tool")),
    Option("temperature", "temperature", ("temperature",)),
    Option("top_p", "top_p", ("top_p",)),
    *(Option(name, "max_tokens", _LIMIT_SPELLINGS) for name in _LIMIT_FIELDS),
)  # by their fields, with the names that refusals use; the least useful first


def body_of(
    request: ReplyRequest,
    model: str,
    limit_field: str = "max_tokens",
    refused: frozenset[str] = frozenset(),
) -> Json:
    """The body of a request, without `stream`; `refused` has keys of `options_of` to leave out."""
    choice, tools, instruction = _tool_choice(request, refused)
    limits = sorted(_LIMIT_FIELDS, key=lambda name: name != limit_field)
    options = {
        "stream_options": {"include_usage": True},
        next((name for name in limits if name not in refused), ""): request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "tools": list(_tools(tools)) or None,
        "tool_choice": choice if request.tools else None,
    }
    parts = (request.system, request.context, instruction if request.tools else "")
    system = "\n\n".join(text for text in parts if text.strip())
    head = [{"role": "system", "content": system}] if system else []
    written = (message.written(_write, _write) for message in request.messages)
    return {
        "model": model,
        "messages": [*head, *chain.from_iterable(written)],
        **{
            name: value
            for name, value in options.items()
            if name and value is not None and name not in refused
        },
    }


def options_of(body: Json) -> list[Option]:
    """The options in a body that a model may refuse; the least useful first."""
    choice = body.get("tool_choice")
    kind = _FORCED if isinstance(choice, dict) else f"tool_choice {choice}"
    sent = [option for option in _OPTIONS if option.key in body]
    return [replace(each, key=kind) if each.key == "tool_choice" else each for each in sent]


def forcing(body: Json) -> list[Option]:
    """The option in a body that forces a tool, if there is one."""
    return [option for option in options_of(body) if option.key in {_FORCED, _REQUIRED}]


def _write(message: Message) -> tuple[Json, ...]:
    return tuple(chain.from_iterable(map(_split, results_apart(message))))


def _split(message: Message) -> Iterator[Json]:
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
    words = "\n".join(part.text for part in message.parts if isinstance(part, Text)) or None
    calls = [_call(part) for part in message.parts if isinstance(part, ToolCall)]
    if message.role is Role.CALLER:
        if words:
            yield {"role": "user", "content": words}
    else:
        made = {"tool_calls": calls} if calls else {}
        yield {"role": "assistant", "content": words, **made}


def _call(call: ToolCall) -> Json:
    arguments = call.arguments if is_object(call.arguments) else "{}"
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


@lru_cache(maxsize=256)
def _tools(specs: tuple[ToolSpec, ...]) -> tuple[Json, ...]:
    def tool(spec: ToolSpec) -> Json:
        parameters = json.loads(spec.parameters)
        function = {"name": spec.name, "description": spec.description, "parameters": parameters}
        return {"type": "function", "function": function}

    return tuple(map(tool, specs))


def _tool_choice(
    request: ReplyRequest, refused: frozenset[str]
) -> tuple[object, tuple[ToolSpec, ...], str]:
    """The value of the tool choice, the tools to offer, and an instruction in its place.

    A tool is forced by its name; else, where a server takes only words (llama.cpp), as the only one
    offered; else by the instruction.
    """
    auto = None if _AUTO in refused else Choice.AUTO.value
    match request.choice:
        case ForcedTool(name):
            only = tuple(tool for tool in request.tools if tool.name == name)
            if _FORCED not in refused:
                function = {"type": "function", "function": {"name": name}}
                return function, request.tools, ""
            if _REQUIRED not in refused and only:
                return "required", only, ""
            return auto, request.tools, FORCED.format(name)
        case Choice.NONE if f"tool_choice {Choice.NONE}" in refused:
            return None, request.tools, WORDS_ONLY
        case Choice.NONE:
            return Choice.NONE.value, request.tools, ""
        case Choice.AUTO:
            return auto, request.tools, ""
