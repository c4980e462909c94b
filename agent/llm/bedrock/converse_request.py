"""What each family of models accepts in a Converse request: one table, first row that fits.

Converse is one form for all models, but not all models take all of it, and what they do not take
they refuse with a ValidationException (practice sections 8 and 11). The family is read from the
identifier. An ARN of an application inference profile does not name its model: it is treated as
unknown, that is with the smallest common set. So is every family that has no row.

A `ReplyRequest` as the body of a ConverseStream request; the rules of practice section 8.

The conversation's history already is what every provider demands (`agent.call.history`).
Here remain Bedrock's own form and what single families refuse (`families`).

- The stable part comes first: tools, static instructions, then what is this call's own, then
  messages, so that the prompt cache can serve it. Cache points stand after the tools, after the
  static instructions and after the last two messages of the caller: the earlier of these is where
  the request before put its last one. That is four, the most there may be.
- Bedrock has no tool choice "none", and wants `toolConfig` as soon as a message has tool blocks.
  So the tools stay and an instruction forbids them. The same way a tool is forced where the family
  cannot be made to.
- With a guardrail only the caller's latest words are marked for it. Unmarked, it would judge the
  whole history again each time, and one bad turn would block the rest of the call.
- What a model has refused is not sent to it again (`agent.llm.option_repair`). A guardrail is
none of
  these options: a use case that has one is not answered without it.
- Identifiers of tool calls are the conversation's own, nine of `[a-z0-9]`, which all accept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

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
from agent.llm.option_repair import FORCED, WORDS_ONLY, Option
from agent.usecases.use_case import ModelSettings


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """The liberties a family of models allows."""

    result_status: bool = False
    """Tool results may carry a `status`."""
    named_choice: bool = False
    """One tool can be forced by its name; of Nova, both generations, see
    https://docs.aws.amazon.com/nova/latest/userguide/tool-choice.html."""
    text_beside_results: bool = False
    """One message may hold tool results and words."""
    greedy_tools: bool = False
    """Writes tool calls reliably only at temperature 0."""
    caches_prompt: bool = False
    """Cache points after the static instructions and in messages."""
    caches_tools: bool = False
    """Cache points after the tools and after tool blocks, too."""


_CLAUDE = ModelFamily(
    result_status=True,
    named_choice=True,
    text_beside_results=True,
    caches_prompt=True,
    caches_tools=True,
)
_CLAUDE_UNCACHED = ModelFamily(result_status=True, named_choice=True, text_beside_results=True)
_NOVA_2 = ModelFamily(
    result_status=True, named_choice=True, text_beside_results=True, caches_prompt=True
)
_NOVA = replace(_NOVA_2, greedy_tools=True)

OTHERS = ModelFamily()
"""Llama and Mistral, which allow none of it, and whatever we do not know."""

_FAMILIES = (
    ("anthropic.claude-3-haiku", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-sonnet", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-opus", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-5-sonnet", _CLAUDE_UNCACHED),
    ("anthropic.claude", _CLAUDE),
    ("amazon.nova-2", _NOVA_2),
    ("amazon.nova", _NOVA),
    ("meta.llama", OTHERS),
    ("mistral.", OTHERS),
)


def family_of(identifier: str) -> ModelFamily:
    """The family of a model id, an inference profile or an ARN that names one."""
    return next((family for part, family in _FAMILIES if part in identifier), OTHERS)


__all__ = ["FORCED", "WORDS_ONLY", "Block", "body_of", "options_of"]

Block = dict[str, Any]
"""One JSON object of a request."""


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
    Option(
        "maxTokens",
        "max_tokens",
        ("maxTokens", "maximum tokens", "max_completion_tokens", "max_new_tokens", "max_gen_len",
         "max_output_tokens"),
    ),
)  # fmt: skip
"""Where they stand in a body, and how refusals call them."""

_CACHE_POINT: Block = {"cachePoint": {"type": "default"}}
_CACHED_MESSAGES = 2
_ROLES = {Role.CALLER: "user", Role.AGENT: "assistant"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_NAME_LENGTH = 64


def body_of(
    request: ReplyRequest,
    family: ModelFamily,
    settings: ModelSettings,
    refused: frozenset[str] = frozenset(),
) -> Block:
    """The body of a request.

    Args:
        request: What is asked.
        family: What the model accepts.
        settings: Bedrock's own options of the use case; sampling is taken from the request.
        refused: Keys of `options_of` that the model is not to be sent.
    """
    family = _without(family, refused)
    read: Block = json.loads(settings.additional) if settings.additional else {}
    additional = {name: value for name, value in read.items() if _ADDED + name not in refused}
    tools = request.tools or _tools_of_old(request.messages)
    is_offered = request.choice in [ForcedTool(tool.name) for tool in request.tools]
    can_force = is_offered and family.named_choice and not _thinks(additional)
    optional: Block = {
        "inferenceConfig": _inference(request, family, refused, has_tools=bool(tools)),
        "system": _system(request, family, _instruction(request, tools, can_force=can_force)),
        "toolConfig": _tool_config(request, tools, family, can_force=can_force),
        "additionalModelRequestFields": additional,
        "guardrailConfig": _guardrail(settings.guardrail),
        "performanceConfig": {"latency": settings.latency} if settings.latency else {},
        "serviceTier": {"type": settings.service_tier} if settings.service_tier else {},
        "requestMetadata": json.loads(settings.metadata) if settings.metadata else {},
    }
    return {
        "messages": _messages(request.messages, family, is_guarded=bool(settings.guardrail)),
        **{name: value for name, value in optional.items() if value and name not in refused},
    }


def options_of(body: Block) -> list[Option]:
    """What this body has that a model may refuse; what is missed least comes first."""
    has_point = "cachePoint" in json.dumps(body)
    found = [option for option in _OPTIONS if _has(body, option.key, has_point=has_point)]
    added: Block = body.get("additionalModelRequestFields", {})
    return found + [
        Option(_ADDED + name, "additional", (name, *_keys_within(value)))
        for name, value in added.items()
    ]


def _has(body: Block, key: str, *, has_point: bool) -> bool:
    if key == "cachePoint":
        return has_point
    if key == "status":
        return any(
            "status" in block.get("toolResult", {})
            for message in body["messages"]
            for block in message["content"]
        )
    parts: Iterable[Block] = (body, body.get("inferenceConfig", {}), body.get("toolConfig", {}))
    return any(key in part for part in parts)


def _keys_within(value: object) -> Iterator[str]:
    """Names of the members of a value, at any depth, but for those that everything has."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in _COMMON_NAMES:
                yield name
            yield from _keys_within(each)


def _without(family: ModelFamily, refused: frozenset[str]) -> ModelFamily:
    """A family without the liberties that one of its models turned out not to have."""
    if "cachePoint" in refused:
        family = replace(family, caches_prompt=False, caches_tools=False)
    if "toolChoice" in refused:
        family = replace(family, named_choice=False)
    return replace(family, result_status=False) if "status" in refused else family


def _inference(
    request: ReplyRequest, family: ModelFamily, refused: frozenset[str], *, has_tools: bool
) -> Block:
    """`temperature` or `topP`, never both, and only if set."""
    greedy = 0 if has_tools and family.greedy_tools and request.top_p is None else None
    chosen = greedy if request.temperature is None else request.temperature
    wanted = {"maxTokens": request.max_tokens, "temperature": chosen, "topP": request.top_p}
    config = {
        name: value for name, value in wanted.items() if value is not None and name not in refused
    }
    if "temperature" in config:
        config.pop("topP", None)
    return config


def _system(request: ReplyRequest, family: ModelFamily, instruction: str) -> list[Block]:
    blocks: list[Block] = []
    if request.system.strip():
        blocks.append({"text": request.system})
        if family.caches_prompt:
            blocks.append(_CACHE_POINT)
    return blocks + [{"text": text} for text in (request.context, instruction) if text.strip()]


def _instruction(request: ReplyRequest, tools: Sequence[ToolSpec], *, can_force: bool) -> str:
    """What a tool choice that Bedrock does not offer says in words."""
    match request.choice:
        case Choice.NONE:
            return WORDS_ONLY if tools else ""
        case ForcedTool(name) if not can_force:
            return FORCED.format(name)
        case _:
            return ""


def _tool_config(
    request: ReplyRequest, tools: tuple[ToolSpec, ...], family: ModelFamily, *, can_force: bool
) -> Block:
    if not tools:
        return {}
    config: Block = {"tools": list(_specs(tools))}
    if family.caches_tools:
        config["tools"].append(_CACHE_POINT)
    match request.choice:
        case ForcedTool(name) if can_force:
            config["toolChoice"] = {"tool": {"name": name}}
        case _:
            pass
    return config


@lru_cache(maxsize=256)
def _specs(tools: tuple[ToolSpec, ...]) -> tuple[Block, ...]:
    """Tools in Bedrock's form; kept, as they are the same for all turns of a use case."""
    return tuple(
        {
            "toolSpec": {
                "name": tool.name,
                "description": tool.description or tool.name,
                "inputSchema": {"json": json.loads(tool.parameters)},
            }
        }
        for tool in tools
    )


def _tools_of_old(messages: Iterable[Message]) -> tuple[ToolSpec, ...]:
    """Tools that were called and are offered no more; Bedrock wants them declared all the same."""
    names = (
        _name(part.name)
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCall)
    )
    return tuple(
        ToolSpec(name, "No longer available.", '{"type":"object"}') for name in dict.fromkeys(names)
    )


def _messages(messages: Sequence[Message], family: ModelFamily, *, is_guarded: bool) -> list[Block]:
    guarded = _latest_words(messages) if is_guarded else None
    written = [
        {
            "role": _ROLES[message.role],
            "content": [_block(part, family, guarded) for part in message.parts],
        }
        for mixed in messages
        for message in ((mixed,) if family.text_beside_results else results_apart(mixed))
    ]
    if family.caches_prompt:
        _add_cache_points(written, family)
    return written


def _block(part: Part, family: ModelFamily, guarded: Text | None) -> Block:
    match part:
        case Text(text):
            return {"guardContent": {"text": {"text": text}}} if part is guarded else {"text": text}
        case ToolCall(identifier, name, arguments):
            call = {"toolUseId": identifier, "name": _name(name), "input": _input(arguments)}
            return {"toolUse": call}
        case ToolResult(call_id, content, is_error):
            status = {"status": "error" if is_error else "success"} if family.result_status else {}
            result = {"toolUseId": call_id, "content": [{"text": content}], **status}
            return {"toolResult": result}


def _latest_words(messages: Sequence[Message]) -> Text | None:
    """The last words of the caller; a tool's results may follow them."""
    words = (
        part
        for message in reversed(messages)
        if message.role is Role.CALLER
        for part in reversed(message.parts)
        if isinstance(part, Text)
    )
    return next(words, None)


def _add_cache_points(written: list[Block], family: ModelFamily) -> None:
    of_caller = [message for message in written if message["role"] == "user"]
    for message in of_caller[-_CACHED_MESSAGES:]:
        if family.caches_tools or "toolResult" not in message["content"][-1]:
            message["content"].append(_CACHE_POINT)


def _guardrail(guardrail: str) -> Block:
    """`ID:VERSION`, where the id may be an ARN; asynchronous, so that no word waits for it."""
    identifier, _, version = guardrail.rpartition(":")
    if not identifier:
        return {}
    return {
        "guardrailIdentifier": identifier,
        "guardrailVersion": version,
        "streamProcessingMode": "async",
    }


def _thinks(additional: Block) -> bool:
    """Reasoning is switched on, and then no tool can be forced."""
    modes = (additional.get("thinking"), additional.get("reasoningConfig"))
    return any(isinstance(mode, dict) and mode.get("type") != "disabled" for mode in modes)


def _name(name: str) -> str:
    """A name the model invented may have characters that Bedrock refuses when told it again."""
    return _NOT_IN_NAMES.sub("_", name)[:_NAME_LENGTH] or "unknown"


def _input(arguments: str) -> Block:
    """An object, as Bedrock demands; what cannot be read is passed on as text."""
    try:
        read = json.loads(arguments)
    except (ValueError, RecursionError):
        read = arguments
    return read if isinstance(read, dict) else {"unreadable": read}
