"""The shape of a ConverseStream request, and a view of one whose shape is sound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulators.families import Family

Json = Mapping[str, Any]

_FIELDS = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "inferenceConfig",
        "messages",
        "outputConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
        "serviceTier",
        "system",
        "toolConfig",
    }
)
_BLOCKS = frozenset(
    {
        "cachePoint",
        "citationsContent",
        "document",
        "guardContent",
        "image",
        "reasoningContent",
        "text",
        "toolResult",
        "toolUse",
        "video",
    }
)
_SYSTEM_BLOCKS = frozenset({"cachePoint", "guardContent", "text"})
_TOOLS = frozenset({"cachePoint", "toolSpec"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of sound shape."""

    body: Json
    family: Family

    @property
    def messages(self) -> list[Json]:
        found: list[Json] = self.body["messages"]
        return found

    @property
    def tools(self) -> list[Json]:
        found: list[Json] = self.body.get("toolConfig", {}).get("tools", [])
        return found

    @property
    def system(self) -> list[Json]:
        found: list[Json] = self.body.get("system", [])
        return found

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
        yield f"Malformed input request: #/{at}: required keys are [role, content]"
        return
    if message["role"] not in ("user", "assistant"):
        yield (
            f"1 validation error detected: Value '{message['role']}' at '{at}.role' failed to "
            "satisfy constraint: Member must satisfy enum value set: [user, assistant]"
        )
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
            yield (
                f"Malformed input request: #/{at}/{i}: exactly one of "
                f"[{', '.join(sorted(kinds))}] must be set, please reformat your input"
            )


def as_object(value: Any) -> Json:
    """The value, or an empty object in place of anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value, or an empty list in place of anything else."""
    return value if isinstance(value, list) else []


def unfit(value: str, at: str, pattern: re.Pattern[str]) -> str:
    return (
        f"1 validation error detected: Value '{value}' at '{at}' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {pattern.pattern}"
    )


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _null(at: str) -> str:
    return (
        f"1 validation error detected: Value at '{at}' failed to satisfy constraint: "
        "Member must not be null"
    )
