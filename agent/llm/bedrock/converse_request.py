"""A `ReplyRequest` as the body of a ConverseStream request.

https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html

Each family of models refuses parts of the common form. The family is read from the identifier; an
unknown one, as of an application inference profile, gets the smallest common set.

- The stable parts come first, for the prompt cache. Cache points follow the tools, the static
  instructions and the last two messages of the caller; the earlier of these is where the previous
  request put its last one. Four are the most that Bedrock allows.
- Bedrock has no tool choice "none", and wants `toolConfig` as soon as a message has tool blocks. So
  the tools stay and an instruction forbids them. An instruction also forces a tool where the family
  cannot be forced.
- With a guardrail only the caller's latest words are marked for it. Otherwise one bad turn in the
  history would block the rest of the call.
- A guardrail is no option to leave out: a use case that has one is not answered without it.
- A message and the tools are encoded once. The encoded message is kept with the message
  (`Message.written`), without its cache point, which moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec

from agent.call.messages import (
    Choice,
    ForcedTool,
    Message,
    Part,
    ReplyRequest,
    Role,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    results_apart,
)
from agent.call.text import json_object, whole_json
from agent.call.tool_calls import safe_name
from agent.llm.option_repair import FORCED, WORDS_ONLY, Option
from agent.usecases import ModelSettings

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """What a family of models accepts in a request."""

    result_status: bool = False
    named_choice: bool = False
    """For Nova, see https://docs.aws.amazon.com/nova/latest/userguide/tool-choice.html."""
    text_beside_results: bool = False
    greedy_tools: bool = False  # writes tool calls reliably only at temperature 0
    caches_prompt: bool = False  # cache points after the static instructions and in messages
    caches_tools: bool = False  # cache points also after the tools and after tool blocks


_NOVA_2 = ModelFamily(
    result_status=True, named_choice=True, text_beside_results=True, caches_prompt=True
)
_NOVA = replace(_NOVA_2, greedy_tools=True)
_CLAUDE = replace(_NOVA_2, caches_tools=True)
_CLAUDE_UNCACHED = replace(_NOVA_2, caches_prompt=False)
OTHERS = ModelFamily()  # Llama, Mistral and unknown families, which accept none of these

_FAMILIES = (
    ("anthropic.claude-3-haiku", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-sonnet", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-opus", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-5-sonnet", _CLAUDE_UNCACHED),
    ("anthropic.claude", _CLAUDE),
    ("amazon.nova-2", _NOVA_2),
    ("amazon.nova", _NOVA),
)


def family_of(identifier: str) -> ModelFamily:
    """The family of a model id, an inference profile or an ARN that names one."""
    return next((family for part, family in _FAMILIES if part in identifier), OTHERS)


_ADDED = "additional."
_COMMON_NAMES = frozenset({"type", "name", "value", "enabled", "mode"})
_OPTIONS = (
    Option("cachePoint", "cache", ("cachePoint", "cache_control", "prompt caching", "caching")),
    Option("serviceTier", "service_tier", ("serviceTier",)),
    Option("performanceConfig", "latency", ("performanceConfig", "latency")),
    Option("requestMetadata", "metadata", ("requestMetadata",)),
    Option("status", "result_status", ("status",)),
    Option("toolChoice", "tool_choice", ("toolChoice", "forced tool", "forces tool")),
    Option("temperature", "temperature", ("temperature",)),
    Option("topP", "top_p", ("topP",)),
    Option("maxTokens", "max_tokens", (
        "maxTokens", "maximum tokens", "max_completion_tokens", "max_new_tokens", "max_gen_len",
        "max_output_tokens",
    )),
)  # fmt: skip
"""By their fields, with the names that refusals use; the least useful first."""

_encode = msgspec.json.Encoder().encode
_CACHE_POINT = msgspec.Raw(b'{"cachePoint":{"type":"default"}}')
_END_OF_MESSAGE = b"]}"
_CACHED_MESSAGES = 2
_ROLES = {Role.CALLER: "user", Role.AGENT: "assistant"}


def body_of(
    request: ReplyRequest,
    family: ModelFamily,
    settings: ModelSettings,
    refused: frozenset[str] = frozenset(),
) -> bytes:
    """The body of a request; `refused` has keys of `options_of` to leave out."""
    family = _without(family, refused)
    given = _object(settings.additional)
    additional = {name: value for name, value in given.items() if _ADDED + name not in refused}
    tools = request.tools or _tools_called(request.messages)
    can_force = (
        isinstance(request.choice, ForcedTool)
        and request.choice.name in [tool.name for tool in request.tools]
        and family.named_choice
        and not _thinks(additional)
    )
    choice, instruction = _choice(request, has_tools=bool(tools), can_force=can_force)
    tool_points = [_CACHE_POINT] if family.caches_tools else []
    tool_config = {"tools": [*_specs(tools), *tool_points]} | (
        {"toolChoice": choice} if choice else {}
    )
    optional: Json = {
        "inferenceConfig": _inference(request, family, refused, has_tools=bool(tools)),
        "system": _system(request, family, instruction),
        "toolConfig": tool_config if tools else {},
        "additionalModelRequestFields": additional,
        "guardrailConfig": _guardrail(settings.guardrail),
        "performanceConfig": {"latency": settings.latency} if settings.latency else {},
        "serviceTier": {"type": settings.service_tier} if settings.service_tier else {},
        "requestMetadata": _object(settings.metadata),
    }
    messages = _messages(request.messages, family, is_guarded=bool(settings.guardrail))
    given = {name: value for name, value in optional.items() if value and name not in refused}
    return _encode({"messages": messages, **given})


def options_of(written: bytes) -> list[Option]:
    """The options in a body that a model may refuse; the least useful first."""
    body: Json = msgspec.json.decode(written)
    has_point = b"cachePoint" in written
    found = [option for option in _OPTIONS if _has(body, option.key, has_point=has_point)]
    added: Json = body.get("additionalModelRequestFields", {})
    return found + [
        Option(_ADDED + name, "additional", (name, *_keys_within(value)))
        for name, value in added.items()
    ]


def _has(body: Json, key: str, *, has_point: bool) -> bool:
    if key == "cachePoint":
        return has_point
    if key == "status":
        blocks = (block for message in body["messages"] for block in message["content"])
        return any("status" in block.get("toolResult", {}) for block in blocks)
    parts = (body, body.get("inferenceConfig", {}), body.get("toolConfig", {}))
    return any(key in part for part in parts)


def _keys_within(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in _COMMON_NAMES:
                yield name
            yield from _keys_within(each)


def _without(family: ModelFamily, refused: frozenset[str]) -> ModelFamily:
    if "cachePoint" in refused:
        family = replace(family, caches_prompt=False, caches_tools=False)
    if "toolChoice" in refused:
        family = replace(family, named_choice=False)
    return replace(family, result_status=False) if "status" in refused else family


def _inference(
    request: ReplyRequest, family: ModelFamily, refused: frozenset[str], *, has_tools: bool
) -> Json:
    """`temperature` or `topP`, not both, and only if set."""
    greedy = 0 if has_tools and family.greedy_tools and request.top_p is None else None
    chosen = greedy if request.temperature is None else request.temperature
    wanted = {"maxTokens": request.max_tokens, "temperature": chosen, "topP": request.top_p}
    config = {
        name: value for name, value in wanted.items() if value is not None and name not in refused
    }
    if "temperature" in config:
        config.pop("topP", None)
    return config


def _system(request: ReplyRequest, family: ModelFamily, instruction: str) -> list[object]:
    blocks: list[object] = []
    if request.system.strip():
        blocks.append({"text": request.system})
        if family.caches_prompt:
            blocks.append(_CACHE_POINT)
    return blocks + [{"text": text} for text in (request.context, instruction) if text.strip()]


def _choice(request: ReplyRequest, *, has_tools: bool, can_force: bool) -> tuple[Json, str]:
    match request.choice:
        case Choice.NONE if has_tools:
            return {}, WORDS_ONLY
        case ForcedTool(name):
            return ({"tool": {"name": name}}, "") if can_force else ({}, FORCED.format(name))
        case _:
            return {}, ""


@lru_cache(maxsize=256)
def _specs(tools: tuple[ToolSpec, ...]) -> tuple[msgspec.Raw, ...]:
    def spec(tool: ToolSpec) -> msgspec.Raw:
        schema = {"json": _object(tool.parameters)}
        named = {"name": tool.name, "description": tool.description or tool.name}
        return msgspec.Raw(_encode({"toolSpec": {**named, "inputSchema": schema}}))

    return tuple(map(spec, tools))


@lru_cache(maxsize=256)
def _object(text: str) -> Json:
    """The object of JSON text, empty if there is none; it is shared, so it must not change."""
    found: Json = msgspec.json.decode(whole_json(text)) if text else {}
    return found


def _tools_called(messages: Iterable[Message]) -> tuple[ToolSpec, ...]:
    """Tools that the messages call; Bedrock wants them declared even if none is offered."""
    parts = (part for message in messages for part in message.parts)
    names = dict.fromkeys(safe_name(part.name) for part in parts if isinstance(part, ToolCall))
    return tuple(ToolSpec(name, "No longer available.", '{"type":"object"}') for name in names)


class _Written(NamedTuple):
    is_callers: bool
    ends_with_result: bool
    content: bytes


def _messages(
    messages: Sequence[Message], family: ModelFamily, *, is_guarded: bool
) -> list[msgspec.Raw]:
    guarded = _latest_words(messages) if is_guarded else None
    form = (_write, family.result_status, family.text_beside_results)
    write = partial(_write, family=family, guarded=None)
    written: list[_Written] = []
    for message in messages:
        if guarded is not None and any(part is guarded for part in message.parts):
            written += _write(message, family, guarded)
        else:
            written += message.written(form, write)
    contents = [each.content for each in written]
    if family.caches_prompt:
        for at in [at for at, each in enumerate(written) if each.is_callers][-_CACHED_MESSAGES:]:
            if family.caches_tools or not written[at].ends_with_result:
                before = contents[at].removesuffix(_END_OF_MESSAGE)
                contents[at] = b"%b,%b%b" % (before, _CACHE_POINT, _END_OF_MESSAGE)
    return list(map(msgspec.Raw, contents))


def _write(message: Message, family: ModelFamily, guarded: Text | None) -> tuple[_Written, ...]:
    apart = (message,) if family.text_beside_results else results_apart(message)
    return tuple(
        _Written(
            each.role is Role.CALLER,
            isinstance(each.parts[-1], ToolResult),
            _encode(
                {
                    "role": _ROLES[each.role],
                    "content": [_block(part, family, guarded) for part in each.parts],
                }
            ),
        )
        for each in apart
    )


def _block(part: Part, family: ModelFamily, guarded: Text | None) -> Json:
    match part:
        case Text(text):
            return {"guardContent": {"text": {"text": text}}} if part is guarded else {"text": text}
        case ToolCall(identifier, name, arguments):
            call = {"toolUseId": identifier, "name": safe_name(name), "input": _input(arguments)}
            return {"toolUse": call}
        case ToolResult(call_id, content, is_error):
            status = {"status": "error" if is_error else "success"} if family.result_status else {}
            result = {"toolUseId": call_id, "content": [{"text": content}], **status}
            return {"toolResult": result}


def _latest_words(messages: Sequence[Message]) -> Text | None:
    spoken = (message for message in reversed(messages) if message.role is Role.CALLER)
    parts = (part for message in spoken for part in reversed(message.parts))
    return next((part for part in parts if isinstance(part, Text)), None)


def _guardrail(guardrail: str) -> Json:
    """From `ID:VERSION`, where the id may be an ARN; asynchronous, so that it delays no text."""
    identifier, _, version = guardrail.rpartition(":")
    if not identifier:
        return {}
    named = {"guardrailIdentifier": identifier, "guardrailVersion": version}
    return {**named, "streamProcessingMode": "async"}


def _thinks(additional: Json) -> bool:
    """Whether reasoning is on, which excludes forcing a tool."""
    modes = (additional.get("thinking"), additional.get("reasoningConfig"))
    return any(isinstance(mode, dict) and mode.get("type") != "disabled" for mode in modes)


def _input(arguments: str) -> Json:
    read = json_object(arguments)
    return {"unreadable": arguments} if read is None else read
