"""The rules about messages (practice section 8, rules 1 to 7 and 12). Part of `validate`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from tests.emulators.converse import Asked, Json, as_object, is_object, unfit
from tests.emulators.families import Family

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _order(asked: Asked) -> Iterator[str]:
    """Rules 1 to 3: from the user, in turns, to the user."""
    roles = [message["role"] for message in asked.messages]
    if not roles or roles[0] != "user":
        yield (
            "A conversation must start with a user message. Try again with a conversation that "
            "starts with a user message."
        )
    if roles and roles[-1] != "user":
        yield (
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message."
        )
    for i, (role, following) in enumerate(pairwise(roles), 1):
        if role == following:
            yield (
                "A conversation must alternate between user and assistant roles. Make sure the "
                f"conversation alternates between user and assistant roles and try again: "
                f"messages.{i}."
            )


def _content(asked: Asked) -> Iterator[str]:
    """Rule 4: no message without content, no text without words."""
    for i, message in enumerate(asked.messages):
        if not message["content"]:
            yield (
                f"The content field in the Message object at messages.{i} is empty. Add a "
                "ContentBlock object to the content field and try again."
            )
    for at, _, text in asked.blocks("text"):
        if not text.strip():
            yield (
                f"The text field in the ContentBlock object at {at} is blank. Add text to the "
                "text field, and try again."
            )


def _pairs(asked: Asked) -> Iterator[str]:
    """Rule 5: each call answered once, in the very next message, before any words."""
    waiting: list[str] = []
    for i, message in enumerate(asked.messages):
        content = message["content"]
        results = [b["toolResult"]["toolUseId"] for b in content if "toolResult" in b]
        missing = [call for call in waiting if call not in results]
        if missing:
            yield (
                f"Expected toolResult blocks at messages.{i}.content for the following Ids: "
                f"{', '.join(missing)}"
            )
        if len(results) > len(waiting):
            yield (
                f"The number of toolResult blocks at messages.{i}.content exceeds the number of "
                "toolUse blocks of previous turn."
            )
        for stray in set(results) - set(waiting):
            yield (
                f"The model returned the following errors: messages.{i}.content: unexpected "
                f"`tool_use_id` found in `tool_result` blocks: {stray}"
            )
        if len(set(results)) < len(results):
            yield (
                f"The model returned the following errors: messages.{i}.content: each tool_use "
                "must have a single result."
            )
        yield from _mixture(content, i, asked.family)
        waiting = [b["toolUse"]["toolUseId"] for b in content if "toolUse" in b]
    if waiting:
        yield (
            f"Expected toolResult blocks at messages.{len(asked.messages)}.content for the "
            f"following Ids: {', '.join(waiting)}"
        )


def _mixture(content: list[Json], i: int, rules: Family) -> Iterator[str]:
    """Rules 5 and 12: results first; for some families nothing else."""
    kinds = [kind for block in content for kind in block if kind != "cachePoint"]
    if "toolResult" not in kinds:
        return
    results = kinds.count("toolResult")
    if kinds[:results] != ["toolResult"] * results:
        yield (
            f"The model returned the following errors: messages.{i}: `tool_use` ids were found "
            "without `tool_result` blocks immediately after; results come before any other block."
        )
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
    """Rule 6: ids and names fit their patterns, ids occur once."""
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
            yield (
                f"The model returned the following errors: {at}: `tool_use` ids must be unique: "
                f"{key}"
            )
        seen.add(key)


def _values(asked: Asked) -> Iterator[str]:
    """Rule 7: input is an object, a result says something, status only where it is known."""
    for at, _, use in asked.blocks("toolUse"):
        if not is_object(use["input"]):
            yield _not_object(f"{at}.toolUse.input")
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
                yield _not_object(inside)
            elif "json" in block and not is_object(block["json"]):
                yield _not_object(f"{inside}.json")
            elif "text" in block and not str(block["text"]).strip():
                yield f"The text field in the ToolResultContentBlock object at {inside} is blank."
        yield from _status(result, at, asked.family)


def _not_object(at: str) -> str:
    return (
        f"The format of the value at {at} is invalid. Provide a json object for the field and try "
        "again."
    )


def _status(result: Json, at: str, rules: Family) -> Iterator[str]:
    if "status" not in result:
        return
    if result["status"] not in ("success", "error"):
        yield (
            f"1 validation error detected: Value '{result['status']}' at '{at}.toolResult.status' "
            "failed to satisfy constraint: Member must satisfy enum value set: [success, error]"
        )
    if not rules.has_result_status:
        yield (
            "This model doesn't support the toolResult.status field. Remove toolResult.status and "
            "try again."
        )


def _signatures(asked: Asked) -> Iterator[str]:
    """Reasoning goes back signed to those who sign it, and to nobody else."""
    for at, _, reasoning in asked.blocks("reasoningContent"):
        thought = as_object(reasoning)
        words = as_object(thought.get("reasoningText"))
        signed = "redactedContent" in thought or words.get("signature")
        if not asked.family.signs_reasoning:
            yield "This model doesn't support the reasoningContent field. Remove it and try again."
        elif not signed:
            yield (
                f"The model returned the following errors: {at}.thinking.signature: Field required"
            )


MESSAGE_RULES = (_order, _content, _pairs, _sides, _names, _values, _signatures)
