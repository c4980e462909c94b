"""What a chat-completions server would refuse a request for.

The strictest of OpenAI, Mistral, vLLM, llama.cpp and Ollama decides: blank words, arguments that
are no JSON object and a conversation that ends with the assistant pass with some of them, never
with all. The order of roles is Mistral's, and that of the chat templates which vLLM and llama.cpp
apply: the system first, then the user and the assistant in turns, results right after their calls
and the assistant's word after them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.emulators.converse import Json, as_list, as_object

_FIELDS = frozenset({
    "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens",
    "metadata", "model", "messages", "n", "parallel_tool_calls", "presence_penalty",
    "prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed",
    "service_tier", "stop", "store", "stream", "stream_options", "temperature", "tool_choice",
    "tools", "top_logprobs", "top_p", "user", "verbosity",
})  # fmt: skip
_ROLES = ("system", "developer", "user", "assistant", "tool")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_LONGEST_ID = 40


def faults(body: Json, model: str) -> list[str]:
    """Why the request would be refused; nothing when it would not. `model` is the body's own."""
    if not model:
        return ["you must provide a model parameter"]
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return ["Invalid 'messages': empty array. Expected an array with minimum length 1."]
    if broken := [fault for i, message in enumerate(messages) for fault in _shape(message, i)]:
        return broken
    return [
        *_content(messages),
        *_pairs(messages),
        *_order(messages),
        *_tools(body),
        *_options(body),
    ]


def _shape(message: Any, i: int) -> Iterator[str]:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        yield f"Invalid value at 'messages[{i}].role'. Supported values are: {', '.join(_ROLES)}."
        return
    calls = message.get("tool_calls", [])
    if not isinstance(calls, list) or ("tool_calls" in message and not calls):
        yield f"Invalid 'messages[{i}].tool_calls': empty array. Expected at least 1 element."
        return
    for j, call in enumerate(calls):
        at = f"messages[{i}].tool_calls[{j}]"
        if not (isinstance(call, dict) and call.get("type") == "function"):
            yield f"Missing required parameter: '{at}.type'."
        elif not isinstance(call.get("function"), dict) or not isinstance(call.get("id"), str):
            yield f"Missing required parameter: '{at}.function' or '{at}.id'."


def _content(messages: list[Json]) -> Iterator[str]:
    for i, message in enumerate(messages):
        content, at = message.get("content"), f"messages[{i}].content"
        if content is None and message["role"] == "assistant" and message.get("tool_calls"):
            continue
        if not isinstance(content, str | list):
            yield f"Invalid value for 'content': expected a string, got null. ({at})"
        elif not _words(content).strip():
            yield f"Invalid '{at}': blank. Expected some text."


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _pairs(messages: list[Json]) -> Iterator[str]:
    """Each call answered once, by the messages right after it; the last word is not ours."""
    waiting: list[str] = []
    seen: set[str] = set()
    for i, message in enumerate(messages):
        if message["role"] == "tool":
            answered = message.get("tool_call_id")
            if answered not in waiting:
                yield (
                    f"Invalid parameter: messages with role 'tool' must be a response to a "
                    f"preceding message with 'tool_calls'. (messages[{i}])"
                )
            waiting = [call for call in waiting if call != answered]
            continue
        yield from _unanswered(waiting)
        waiting = [call["id"] for call in message.get("tool_calls", [])]
        for call in message.get("tool_calls", []):
            yield from _call(call, i)
            if call["id"] in seen:
                yield f"Duplicate tool call id '{call['id']}' in messages[{i}]."
            seen.add(call["id"])
        if waiting and message["role"] != "assistant":
            yield f"'tool_calls' is only allowed for role 'assistant' (messages[{i}])."
    yield from _unanswered(waiting)
    if messages[-1]["role"] not in ("user", "tool"):
        yield "The last message must be from the user or a tool."


_FOLLOWERS = {
    "": ("system", "developer", "user"),
    "system": ("user",),
    "developer": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
    "assistant with calls": ("tool",),
    "tool": ("tool", "assistant"),
}
"""Which roles may come after a role; first of all the empty one."""


def _order(messages: list[Json]) -> Iterator[str]:
    """Each role after one that it may follow."""
    before = ""
    for i, message in enumerate(messages):
        role = message["role"]
        if role in ("system", "developer") and i:
            yield f"System message must be at the beginning. (messages[{i}])"
        elif role not in _FOLLOWERS[before]:
            last = before.partition(" ")[0]
            yield f"Unexpected role '{role}' after role '{last}' (messages[{i}])"
        before = f"{role} with calls" if role == "assistant" and message.get("tool_calls") else role


def _unanswered(waiting: list[str]) -> Iterator[str]:
    if waiting:
        yield (
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(waiting)}"
        )


def _call(call: Json, i: int) -> Iterator[str]:
    function, at = call["function"], f"messages[{i}].tool_calls"
    if not 1 <= len(call["id"]) <= _LONGEST_ID:
        yield f"Invalid '{at}.id': expected a string with length 1 to {_LONGEST_ID}."
    if not _NAME.fullmatch(str(function.get("name"))):
        yield f"Invalid '{at}.function.name': does not match pattern '^[a-zA-Z0-9_-]+$'."
    try:
        arguments = json.loads(function.get("arguments", ""))
    except (TypeError, ValueError):
        arguments = None
    if not isinstance(arguments, dict):
        yield f"Invalid '{at}.function.arguments': expected a JSON object as a string."


def _tools(body: Json) -> Iterator[str]:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                yield f"Invalid value for '{name}': only allowed when 'tools' are specified."
        return
    if not isinstance(tools, list) or not tools:
        yield "Invalid 'tools': empty array. Expected an array with minimum length 1."
        return
    names: list[str] = []
    for i, tool in enumerate(tools):
        spec = as_object(as_object(tool).get("function"))
        names.append(str(spec.get("name")))
        if as_object(tool).get("type") != "function" or not _NAME.fullmatch(names[-1]):
            yield f"Invalid 'tools[{i}].function.name': does not match '^[a-zA-Z0-9_-]+$'."
        if as_object(spec.get("parameters", {"type": "object"})).get("type") != "object":
            yield (
                f"Invalid schema for function '{names[-1]}': schema must be a JSON Schema of "
                "'type: \"object\"'."
            )
    if len(set(names)) < len(names):
        yield "Invalid 'tools': function names must be unique."
    yield from _choice(body.get("tool_choice", "auto"), names)


def _choice(choice: Any, names: list[str]) -> Iterator[str]:
    if choice in ("auto", "none", "required"):
        return
    if choice not in [{"type": "function", "function": {"name": name}} for name in names]:
        yield "Invalid value for 'tool_choice': not one of none, auto, required or a given tool."


def _options(body: Json) -> Iterator[str]:
    for name in sorted(body.keys() - _FIELDS):
        yield f"Unrecognized request argument supplied: {name}"
    if body.get("stream") is not True:
        yield "This server only streams: 'stream' must be true."
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = body.get(name, 0)
        if not isinstance(value, int | float) or not 0 <= value <= most:
            yield f"Invalid '{name}': expected a value from 0 to {most}."
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name, 1)
        if not isinstance(value, int) or value < 1:
            yield f"Invalid '{name}': integer below minimum value. Expected a value >= 1."
    if {"max_tokens", "max_completion_tokens"} <= body.keys():
        yield "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    stops = as_list([body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop"))
    if len(stops) > 4 or any(not str(stop).strip() for stop in stops):
        yield "Invalid 'stop': expected at most 4 strings, none of them blank."
