"""The shape of a ConverseStream request, and what each family of models accepts.

The family is read from the model id, which may be a profile's (`us.anthropic.…`) or an ARN that
ends in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Json = Mapping[str, Any]

_FIELDS = frozenset({
    "additionalModelRequestFields", "additionalModelResponseFieldPaths", "guardrailConfig",
    "inferenceConfig", "messages", "outputConfig", "performanceConfig", "promptVariables",
    "requestMetadata", "serviceTier", "system", "toolConfig",
})  # fmt: skip
_BLOCKS = frozenset({
    "cachePoint", "citationsContent", "document", "guardContent", "image", "reasoningContent",
    "text", "toolResult", "toolUse", "video",
})  # fmt: skip
_SYSTEM_BLOCKS = frozenset({"cachePoint", "guardContent", "text"})
_TOOLS = frozenset({"cachePoint", "toolSpec"})


_ANY_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ANY_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CLAUDE_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2})(?!\d))?")


@dataclass(frozen=True, slots=True)
class Family:
    """One family's rules."""

    name: str
    choices: frozenset[str] = frozenset()
    """Members of `toolChoice` it supports."""
    has_result_status: bool = False
    caches: frozenset[str] = frozenset()
    """Where cache points may stand: `tools`, `system`, `messages`."""
    caches_after_tools: bool = False
    mixes_results_and_words: bool = True
    takes_both_samplers: bool = True
    """Whether temperature and topP may come together."""
    tool_id: re.Pattern[str] = _ANY_ID
    tool_name: re.Pattern[str] = _ANY_NAME
    signs_reasoning: bool = False


_EVERYWHERE = frozenset({"tools", "system", "messages"})
_CLAUDE = Family(
    "claude",
    frozenset({"auto", "any", "tool"}),
    has_result_status=True,
    caches=_EVERYWHERE,
    caches_after_tools=True,
    signs_reasoning=True,
)
_NEW_CLAUDE = replace(_CLAUDE, takes_both_samplers=False)
_NOVA = Family(
    "nova",
    _CLAUDE.choices,
    has_result_status=True,
    caches=frozenset({"system", "messages"}),
    tool_name=re.compile(r"[a-zA-Z0-9_]{1,64}"),
)
_LLAMA = Family("llama", mixes_results_and_words=False)
_MISTRAL = Family(
    "mistral",
    frozenset({"auto", "any"}),
    mixes_results_and_words=False,
    tool_id=re.compile(r"[a-zA-Z0-9]{9}"),
)
_OTHER = Family("other", frozenset({"auto"}), mixes_results_and_words=False)


def family(model_id: str) -> Family:
    """The rules of a model; the smallest common set for an unknown one."""
    if "anthropic.claude" in model_id:
        return _CLAUDE if _claude_version(model_id) < (4, 1) else _NEW_CLAUDE
    for mark, rules in (("amazon.nova", _NOVA), ("meta.llama", _LLAMA), ("mistral.", _MISTRAL)):
        if mark in model_id:
            return rules
    return _OTHER


def _claude_version(model_id: str) -> tuple[int, int]:
    """`claude-haiku-4-5-…` is 4.5; the names of Claude 3 begin with the number and count as 3.0."""
    found = _CLAUDE_VERSION.search(model_id)
    return (int(found[1]), int(found[2] or 0)) if found else (3, 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of sound shape."""

    body: Json
    family: Family
    messages: list[Json]
    tools: list[Json]
    system: list[Json]

    @classmethod
    def of(cls, body: Json, model_id: str) -> Asked:
        tools = body.get("toolConfig", {}).get("tools", [])
        return cls(body, family(model_id), body["messages"], tools, body.get("system", []))

    def blocks(self, kind: str) -> Iterator[tuple[str, Json, Any]]:
        """Each block of a kind in the messages: where, the message, the block's value."""
        for i, message in enumerate(self.messages):
            for j, block in enumerate(message["content"]):
                if kind in block:
                    yield f"messages.{i}.content.{j}", message, block[kind]


def shape_faults(body: Json) -> Iterator[str]:
    """What keeps the other rules from being asked at all."""
    for name in body.keys() - _FIELDS:
        yield f"Malformed input request: #: extraneous key [{name}] is not permitted"
    if not isinstance(body.get("messages"), list):
        yield _null("messages")
        return
    for i, message in enumerate(body["messages"]):
        yield from _message_shape(message, f"messages.{i}")
    yield from _union(body.get("system", []), _SYSTEM_BLOCKS, "system")
    config = body.get("toolConfig", {"tools": []})
    if not isinstance(config, dict) or not isinstance(config.get("tools"), list):
        yield _null("toolConfig.tools")
        return
    yield from _union(config["tools"], _TOOLS, "toolConfig.tools")
    for i, tool in enumerate(config["tools"]):
        spec = tool.get("toolSpec", {"name": "", "inputSchema": {}}) if is_object(tool) else {}
        if not is_object(spec) or not isinstance(spec.get("name"), str):
            yield _null(f"toolConfig.tools.{i}.toolSpec.name")
    if not is_object(body.get("inferenceConfig", {})):
        yield _null("inferenceConfig")


def _message_shape(message: Any, at: str) -> Iterator[str]:
    if not is_object(message) or message.keys() != {"role", "content"}:
        yield malformed(at, "required keys are [role, content]")
        return
    if message["role"] not in ("user", "assistant"):
        yield violated(message["role"], f"{at}.role", "satisfy enum value set: [user, assistant]")
    yield from _union(message["content"], _BLOCKS, f"{at}.content")
    if not isinstance(message["content"], list):
        return
    for j, block in enumerate(message["content"]):
        yield from _block_shape(block, f"{at}.content.{j}") if is_object(block) else ()


def _block_shape(block: Json, at: str) -> Iterator[str]:
    if "text" in block and not isinstance(block["text"], str):
        yield _null(f"{at}.text")
    needs = {"toolUse": ("toolUseId", "name", "input"), "toolResult": ("toolUseId", "content")}
    for kind, names in needs.items():
        for name in names if kind in block else ():
            value = as_object(block[kind]).get(name)
            if value is None or not (isinstance(value, str) or name in ("input", "content")):
                yield _null(f"{at}.{kind}.{name}")


def _union(values: Any, kinds: frozenset[str], at: str) -> Iterator[str]:
    if not isinstance(values, list):
        yield _null(at)
        return
    for i, value in enumerate(values):
        if not is_object(value) or len(value) != 1 or not value.keys() <= kinds:
            yield malformed(f"{at}/{i}", f"exactly one of [{', '.join(sorted(kinds))}] must be set")


def as_object(value: Any) -> Json:
    """The value, or an empty object in place of anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value, or an empty list in place of anything else."""
    return value if isinstance(value, list) else []


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def violated(value: object, at: str, constraint: str) -> str:
    return (
        f"1 validation error detected: Value '{value}' at '{at}' failed to satisfy constraint: "
        f"Member must {constraint}"
    )


def unfit(value: str, at: str, pattern: re.Pattern[str]) -> str:
    return violated(value, at, f"satisfy regular expression pattern: {pattern.pattern}")


def model_error(text: str) -> str:
    return f"The model returned the following errors: {text}"


def malformed(at: str, text: str) -> str:
    return f"Malformed input request: #/{at}: {text}, please reformat your input and try again."


def unsupported(field: str) -> str:
    return f"This model doesn't support the {field} field. Remove {field} and try again."


def no_object(at: str) -> str:
    return f"The format of the value at {at} is invalid. Provide a json object for the field."


def _null(at: str) -> str:
    return f"1 validation error detected: Value at '{at}' must not be null"
