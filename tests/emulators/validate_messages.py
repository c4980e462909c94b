"""The rules of Bedrock about messages. Part of `validate`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from tests.emulators.converse import (
    Asked,
    Family,
    Json,
    as_object,
    is_object,
    model_error,
    no_object,
    unfit,
    unsupported,
    violated,
)

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _order(asked: Asked) -> Iterator[str]:
    """From the user, in turns, to the user."""
    roles = [message["role"] for message in asked.messages]
    if not roles or roles[0] != "user":
        yield "A conversation must start with a user message."
    if roles and roles[-1] != "user":
        yield (
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message."
        )
    for i, (role, following) in enumerate(pairwise(roles), 1):
        if role == following:
            yield f"A conversation must alternate between user and assistant roles: messages.{i}."


def _content(asked: Asked) -> Iterator[str]:
    """No message without content, no text without words."""
    for i, message in enumerate(asked.messages):
        if not message["content"]:
            yield f"The content field in the Message object at messages.{i} is empty."
    for at, _, text in asked.blocks("text"):
        if not text.strip():
            yield f"The text field in the ContentBlock object at {at} is blank."


def _pairs(asked: Asked) -> Iterator[str]:
    """Each call answered once, in the very next message, before any words."""
    waiting: list[str] = []
    for i, message in enumerate(asked.messages):
        content = message["content"]
        results = [b["toolResult"]["toolUseId"] for b in content if "toolResult" in b]
        yield from _missing([call for call in waiting if call not in results], i)
        if len(results) > len(waiting):
            yield (
                f"The number of toolResult blocks at messages.{i}.content exceeds the number of "
                "toolUse blocks of previous turn."
            )
        for stray in set(results) - set(waiting):
            text = f"unexpected `tool_use_id` found in `tool_result` blocks: {stray}"
            yield model_error(f"messages.{i}.content: {text}")
        if len(set(results)) < len(results):
            yield model_error(f"messages.{i}.content: each tool_use must have a single result.")
        yield from _mixture(content, i, asked.family)
        waiting = [b["toolUse"]["toolUseId"] for b in content if "toolUse" in b]
    yield from _missing(waiting, len(asked.messages))


def _missing(calls: list[str], i: int) -> Iterator[str]:
    if calls:
        at = f"messages.{i}.content"
        yield f"Expected toolResult blocks at {at} for the following Ids: {', '.join(calls)}"


def _mixture(content: list[Json], i: int, rules: Family) -> Iterator[str]:
    """Results first; for some families nothing else."""
    kinds = [kind for block in content for kind in block if kind != "cachePoint"]
    if "toolResult" not in kinds:
        return
    results = kinds.count("toolResult")
    if kinds[:results] != ["toolResult"] * results:
        yield model_error(f"messages.{i}: tool results come before any other block.")
    if len(kinds) > results and not rules.mixes_results_and_words:
        yield (
            f"messages.{i}.content: Conversation blocks and tool result blocks cannot be provided "
            "in the same turn."
        )


def _sides(asked: Asked) -> Iterator[str]:
    """Calls and reasoning are the assistant's, results the user's."""
    owners = {"toolUse": "assistant", "reasoningContent": "assistant", "toolResult": "user"}
    for kind, owner in owners.items():
        for at, message, _ in asked.blocks(kind):
            if message["role"] != owner:
                yield f"The {kind} block at {at} is not allowed in a message of this role."


def _names(asked: Asked) -> Iterator[str]:
    """Ids and names fit their patterns, ids occur once."""
    seen: set[str] = set()
    for at, _, use in asked.blocks("toolUse"):
        key, name = str(use["toolUseId"]), str(use["name"])
        if not _ID.fullmatch(key):
            yield unfit(key, f"{at}.toolUse.toolUseId", _ID)
        elif not asked.family.tool_id.fullmatch(key):
            yield unfit(key, f"{at}.toolUse.toolUseId", asked.family.tool_id)
        if not asked.family.tool_name.fullmatch(name):
            yield unfit(name, f"{at}.toolUse.name", asked.family.tool_name)
        if key in seen:
            yield model_error(f"{at}: `tool_use` ids must be unique: {key}")
        seen.add(key)


def _values(asked: Asked) -> Iterator[str]:
    """Input is an object, a result says something, status only where it is known."""
    for at, _, use in asked.blocks("toolUse"):
        if not is_object(use["input"]):
            yield no_object(f"{at}.toolUse.input")
    for at, _, result in asked.blocks("toolResult"):
        content = result["content"]
        if not content or not isinstance(content, list):
            yield (
                f"The content field at {at}.toolResult cannot be empty. Add a content block and "
                "try again."
            )
            continue
        for j, block in enumerate(content):
            inside = f"{at}.toolResult.content.{j}"
            if not is_object(block):
                yield no_object(inside)
            elif "json" in block and not is_object(block["json"]):
                yield no_object(f"{inside}.json")
            elif "text" in block and not str(block["text"]).strip():
                yield f"The text field in the ToolResultContentBlock object at {inside} is blank."
        yield from _status(result, at, asked.family)


def _status(result: Json, at: str, rules: Family) -> Iterator[str]:
    if "status" not in result:
        return
    if result["status"] not in ("success", "error"):
        constraint = "satisfy enum value set: [success, error]"
        yield violated(result["status"], f"{at}.toolResult.status", constraint)
    if not rules.has_result_status:
        yield unsupported("toolResult.status")


def _signatures(asked: Asked) -> Iterator[str]:
    """Only families that sign reasoning get it back, signed."""
    for at, _, reasoning in asked.blocks("reasoningContent"):
        thought = as_object(reasoning)
        words = as_object(thought.get("reasoningText"))
        signed = "redactedContent" in thought or words.get("signature")
        if not asked.family.signs_reasoning:
            yield unsupported("reasoningContent")
        elif not signed:
            yield model_error(f"{at}.thinking.signature: Field required")


MESSAGE_RULES = (_order, _content, _pairs, _sides, _names, _values, _signatures)
