"""Why Bedrock would refuse a ConverseStream request, in its words where they are known.

Stricter than the service, as portable requests need none of it: a trailing assistant message is
refused for every model (older ones take it as the beginning of their answer); so are blank text in
a tool result, `$defs` in a tool's schema, reasoning sent to a family that signs none, and unknown
top-level fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.emulators.converse import (
    Asked,
    Json,
    as_list,
    as_object,
    is_object,
    malformed,
    model_error,
    no_object,
    shape_faults,
    unfit,
    unsupported,
    violated,
)
from tests.emulators.validate_messages import MESSAGE_RULES

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_CACHE_POINTS = 4
_TTL_ORDER = {"1h": 0, "5m": 1}


def _config(asked: Asked) -> Iterator[str]:
    """Tools are declared when messages speak of them, and never as an empty list."""
    if "toolConfig" in asked.body:
        if not any("toolSpec" in tool for tool in asked.tools):
            yield violated("[]", "toolConfig.tools", "have length greater than or equal to 1")
    elif any(True for kind in ("toolUse", "toolResult") for _ in asked.blocks(kind)):
        yield (
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )


def _declared(asked: Asked) -> Iterator[tuple[str, Json]]:
    for i, tool in enumerate(asked.tools):
        if "toolSpec" in tool:
            yield f"toolConfig.tools.{i}.toolSpec", tool["toolSpec"]


def _specs(asked: Asked) -> Iterator[str]:
    """Names fit and differ, descriptions say something, schemas are plain object schemas."""
    seen: set[str] = set()
    for at, spec in _declared(asked):
        name = spec["name"]
        pattern = _NAME if not _NAME.fullmatch(name) else asked.family.tool_name
        if not pattern.fullmatch(name):
            yield unfit(name, f"{at}.name", pattern)
        if name in seen:
            yield f"The tool {name} is already defined at {at}."
        seen.add(name)
        if not str(spec.get("description", "-")).strip():
            yield violated("", f"{at}.description", "have length greater than or equal to 1")
        yield from _schema(spec.get("inputSchema"), f"{at}.inputSchema.json")


def _schema(schema: Any, at: str) -> Iterator[str]:
    inner: Any = schema.get("json") if is_object(schema) else None
    if not isinstance(inner, dict):
        yield no_object(at)
        return
    if inner.get("type") != "object":
        yield f"The value at {at}.type must be one of the following: object."
    text = json.dumps(inner)
    if '"$defs"' in text or '"$ref"' in text:
        yield f"The value at {at} is not supported: $defs and $ref are not portable."


def _choice(asked: Asked) -> Iterator[str]:
    """One of three shapes, known to the family, a declared tool, never while thinking."""
    if "toolChoice" not in asked.body.get("toolConfig", {}):
        return
    choice = asked.body["toolConfig"]["toolChoice"]
    shapes: tuple[Json, ...] = ({"auto": {}}, {"any": {}})
    is_named = is_object(choice) and choice.keys() == {"tool"} and is_object(choice["tool"])
    if choice not in shapes and not (is_named and choice["tool"].keys() == {"name"}):
        yield malformed("toolConfig/toolChoice", "exactly one of [any, auto, tool] must be set")
        return
    (kind,) = choice
    if kind not in asked.family.choices:
        yield unsupported(f"toolConfig.toolChoice.{kind}")
    if is_named and choice["tool"]["name"] not in [spec["name"] for _, spec in _declared(asked)]:
        yield (
            f"The tool {choice['tool']['name']} at toolConfig.toolChoice.tool.name is not defined "
            "in toolConfig.tools."
        )
    if kind != "auto" and _thinks(asked.body):
        yield model_error("Thinking may not be enabled when tool_choice forces tool use.")


def _thinks(body: Json) -> bool:
    thinking = as_object(as_object(body.get("additionalModelRequestFields")).get("thinking"))
    return bool(thinking.get("type", "disabled") != "disabled")


def _system(asked: Asked) -> Iterator[str]:
    """No block of instructions without words."""
    for i, block in enumerate(asked.body.get("system", [])):
        if "text" in block and not str(block["text"]).strip():
            yield (
                f"The text field in the SystemContentBlock object at system.{i} is blank. Add "
                "text to the text field, and try again."
            )


def _sampling(asked: Asked) -> Iterator[str]:
    """Ranges, and for the newest Claude models temperature or topP alone."""
    config = asked.body.get("inferenceConfig", {})
    for name in config.keys() - {"maxTokens", "stopSequences", "temperature", "topP"}:
        yield malformed("inferenceConfig", f"extraneous key [{name}] is not permitted")
    for name in ("temperature", "topP"):
        if name in config and not (_is_number(config[name]) and 0 <= config[name] <= 1):
            yield violated(config[name], f"inferenceConfig.{name}", "be between 0 and 1")
    if "maxTokens" in config and not (
        isinstance(config["maxTokens"], int) and config["maxTokens"] >= 1
    ):
        yield violated(config["maxTokens"], "inferenceConfig.maxTokens", "be at least 1")
    if {"temperature", "topP"} <= config.keys() and not asked.family.takes_both_samplers:
        yield model_error("`temperature` and `top_p` cannot both be specified for this model.")
    for i, stop in enumerate(as_list(config.get("stopSequences"))):
        if not str(stop).strip():
            yield model_error(f"stop_sequences: sequence {i} must contain non-whitespace")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cache_points(asked: Asked) -> Iterator[str]:
    """Four at most, behind something, where the family allows, longer lives first."""
    places = list(_caching(asked))
    if len(places) > _MOST_CACHE_POINTS:
        yield model_error("A maximum of 4 blocks with cache_control may be provided.")
    for section, at, before, _ in places:
        if section not in asked.family.caches:
            yield malformed(at, "extraneous key [cachePoint] is not permitted")
        if not before or "cachePoint" in before[-1]:
            yield f"The cachePoint block at {at} must follow a block that can be cached."
        last = before[-1] if before else {}
        if not asked.family.caches_after_tools and ("toolUse" in last or "toolResult" in last):
            yield f"The cachePoint block at {at} must not follow a tool block for this model."
    yield from _lives([(at, point) for _, at, _, point in places])


def _caching(asked: Asked) -> Iterator[tuple[str, str, list[Json], Any]]:
    """Each cache point in the order of the prefix: section, place, the blocks before, itself."""
    rows = [("tools", "toolConfig.tools", asked.tools), ("system", "system", asked.system)]
    for i, message in enumerate(asked.messages):
        rows.append(("messages", f"messages.{i}.content", message["content"]))
    for section, at, blocks in rows:
        for j, block in enumerate(blocks):
            if "cachePoint" in block:
                yield section, f"{at}.{j}", blocks[:j], block["cachePoint"]


def _lives(points: list[tuple[str, Any]]) -> Iterator[str]:
    shortest = 0
    for at, point in points:
        life = str(as_object(point).get("ttl", "5m"))
        if not is_object(point) or point.get("type") != "default" or life not in _TTL_ORDER:
            yield malformed(f"{at}/cachePoint", "type is default, ttl is 5m or 1h")
            continue
        if _TTL_ORDER[life] < shortest:
            yield model_error(f"{at}: a ttl='1h' block must not come after a ttl='5m' block.")
        shortest = max(shortest, _TTL_ORDER[life])


_RULES = (*MESSAGE_RULES, _config, _specs, _choice, _system, _sampling, _cache_points)


def faults(body: Json, model_id: str) -> list[str]:
    """Every reason for a refusal; only the shape is judged if that is wrong."""
    broken = list(shape_faults(body))
    if broken:
        return broken
    asked = Asked.of(body, model_id)
    return [fault for rule in _RULES for fault in rule(asked)]
