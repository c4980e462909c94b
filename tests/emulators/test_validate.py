"""The strict Bedrock and chat-completions servers refuse one broken rule at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.emulators.validate import faults
from tests.emulators.validate_chat import faults as chat_faults

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OLD_CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "eu.amazon.nova-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
PROFILE = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}"

Body = dict[str, Any]
Change = Callable[[Body], object]
POINT = {"cachePoint": {"type": "default"}}
WORDS = {"text": "Words"}
USE = ("messages", 1, "content", 1, "toolUse")
SPEC = ("toolConfig", "tools", 0, "toolSpec")


def use(key: str = "abcdefgh1") -> Body:
    return {"toolUse": {"toolUseId": key, "name": "menu", "input": {}}}


def result(key: str = "abcdefgh1", **more: object) -> Body:
    return {"toolResult": {"toolUseId": key, "content": [{"text": "Soup"}], **more}}


def message(role: str, *content: object) -> Body:
    return {"role": role, "content": list(content)}


USER = message("user", {"text": "Hello"})
CALLED = message("assistant", use())


def golden() -> Body:
    """A request every family takes."""
    spec = {"name": "menu", "description": "Menu.", "inputSchema": {"json": {"type": "object"}}}
    return {
        "system": [{"text": "Be brief."}],
        "messages": [
            USER,
            message("assistant", {"text": "A moment."}, use(), use("abcdefgh2")),
            message("user", result(), result("abcdefgh2", content=[{"json": {"a": 1}}])),
            message("assistant", WORDS),
            message("user", WORDS),
        ],
        "toolConfig": {"tools": [{"toolSpec": spec}]},
        "inferenceConfig": {"maxTokens": 300, "temperature": 0.5, "stopSequences": ["END"]},
        "requestMetadata": {"call": "1"},
    }


def cached() -> Body:
    """A request with all that only Claude takes."""
    body = golden()
    body["toolConfig"]["tools"].append({"cachePoint": {"type": "default", "ttl": "1h"}})
    body["toolConfig"]["toolChoice"] = {"tool": {"name": "menu"}}
    body["system"].append(POINT)
    signed = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}
    body["messages"][1] = message("assistant", signed, use())
    body["messages"][2] = message("user", result(status="error"), POINT, WORDS)
    body["messages"][4]["content"].append(POINT)
    return body


@pytest.mark.parametrize("model", [CLAUDE, OLD_CLAUDE, NOVA, LLAMA, MISTRAL, PROFILE, "x"])
def test_portable_requests_pass(model: str) -> None:
    assert faults(golden(), model) == []
    assert faults({"messages": [USER]}, model) == []


@pytest.mark.parametrize("model", [CLAUDE, PROFILE])
def test_claude_takes_cache_points_status_reasoning_and_a_named_tool(model: str) -> None:
    assert faults(cached(), model) == []


def say(*messages: Body) -> Change:
    return lambda body: body.update(messages=list(messages))


def answer(*content: Body) -> Change:
    return say(USER, CALLED, message("user", *content))


def put(*at: str | int, **fields: object) -> Change:
    """Set fields of the object at this place of the body."""

    def change(place: Any) -> None:
        for key in at:
            place = place[key]
        place.update(fields)

    return change


RULES: list[tuple[str, str, Change]] = [
    ("must start with a user", CLAUDE, say(message("assistant", WORDS), USER)),
    ("must alternate", CLAUDE, say(USER, USER)),
    ("must end with a user", CLAUDE, say(USER, message("assistant", WORDS))),
    ("content field in the Message", CLAUDE, say(message("user"))),
    ("text field in the ContentBlock", CLAUDE, say(message("user", {"text": " \n"}))),
    ("Expected toolResult blocks at messages.2.content", CLAUDE, say(USER, CALLED, USER)),
    ("exceeds the number", CLAUDE, say(message("user", result()))),
    ("unexpected `tool_use_id`", CLAUDE, answer(result("abcdefgh9"))),
    ("single result", CLAUDE, answer(result(), result())),
    ("results come before", CLAUDE, answer(WORDS, result())),
    ("cannot be provided in the same turn", LLAMA, answer(result(), WORDS)),
    ("must be unique", CLAUDE, say(USER, CALLED, message("user", result()), CALLED)),
    ("[a-zA-Z0-9]{9}", MISTRAL, put(*USE, toolUseId="toolongtoday")),
    ("toolUse.name'", CLAUDE, put(*USE, name="no spaces")),
    ("toolUse.input is invalid", CLAUDE, put(*USE, input="{}")),
    ("[success, error]", CLAUDE, answer(result(status="fine"))),
    ("toolResult.status field", LLAMA, answer(result(status="error"))),
    ("toolConfig field must be defined", CLAUDE, lambda body: body.pop("toolConfig")),
    ("length greater than or equal to 1", CLAUDE, put(toolConfig={"tools": []})),
    ("length greater than or equal to 1", CLAUDE, put(*SPEC, description="")),
    ("toolSpec.name'", NOVA, put(*SPEC, name="my-menu")),
    ("following: object", CLAUDE, put(*SPEC, inputSchema={"json": {"type": "array"}})),
    ("exactly one of [any, auto, tool]", CLAUDE, put("toolConfig", toolChoice={"none": {}})),
    ("toolChoice.tool field", LLAMA, put("toolConfig", toolChoice={"tool": {"name": "menu"}})),
    ("is not defined", NOVA, put("toolConfig", toolChoice={"tool": {"name": "other"}})),
    ("SystemContentBlock", CLAUDE, put(system=[{"text": ""}])),
    ("cannot both", CLAUDE, put("inferenceConfig", topP=0.9)),
    ("'inferenceConfig.temperature'", CLAUDE, put("inferenceConfig", temperature=2)),
    ("'inferenceConfig.maxTokens'", CLAUDE, put("inferenceConfig", maxTokens=0)),
    ("extraneous key [topK]", CLAUDE, put("inferenceConfig", topK=5)),
    ("maximum of 4", CLAUDE, lambda b: b.update(cached(), system=[WORDS, POINT, WORDS, POINT])),
    ("must follow a block", CLAUDE, say(message("user", WORDS, POINT, POINT))),
    ("extraneous key [cachePoint]", LLAMA, put(system=[WORDS, POINT])),
    ("must not follow a tool", NOVA, answer(result(), POINT)),
    ("extraneous key [max_tokens]", CLAUDE, put(max_tokens=5)),
    ("exactly one of", CLAUDE, say(message("user", WORDS | use()))),
]


@pytest.mark.parametrize(("reason", "model", "change"), RULES)
def test_bedrock_names_each_broken_rule(reason: str, model: str, change: Change) -> None:
    body = golden()
    change(body)

    found = faults(body, model)

    assert [fault for fault in found if reason in fault], found


def chat_use(key: str = "call_1", name: str = "menu", arguments: str = "{}") -> Body:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_golden() -> Body:
    function = {"name": "menu", "parameters": {"type": "object", "properties": {}}}
    return {
        "model": "small",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 300,
        "tool_choice": {"type": "function", "function": {"name": "menu"}},
        "tools": [{"type": "function", "function": function}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is there?"}]},
            {"role": "assistant", "content": None, "tool_calls": [chat_use(), chat_use("call_2")]},
            {"role": "tool", "tool_call_id": "call_2", "content": "Bread"},
            {"role": "tool", "tool_call_id": "call_1", "content": "Soup"},
            {"role": "assistant", "content": "Soup and bread."},
            {"role": "user", "content": "Thanks."},
        ],
    }


def test_chat_request_passes() -> None:
    assert chat_faults(chat_golden(), "small") == []
    assert chat_faults(chat_golden(), "") == ["you must provide a model parameter"]


CHAT_RULES: list[tuple[str, Change]] = [
    ("tool_calls': empty", put("messages", 2, tool_calls=[])),
    ("expected a string, got null", put("messages", 5, content=None)),
    ("blank", put("messages", 1, content=" ")),
    ("must be a response to", put("messages", 3, tool_call_id="call_9")),
    ("did not have response messages: call_2", lambda body: body["messages"].pop(3)),
    ("Duplicate tool call id", put("messages", 5, tool_calls=[chat_use()])),
    ("last message must be", lambda body: body["messages"].pop()),
    ("role 'user' after role 'tool'", lambda body: body["messages"].pop(5)),
    ("role 'assistant' after role 'system'", lambda body: body["messages"].pop(1)),
    ("must be at the beginning", put("messages", 5, role="system")),
    ("length 1 to 40", put("messages", 2, tool_calls=[chat_use("c" * 41)])),
    ("function.name", put("messages", 2, tool_calls=[chat_use(name="no spaces")])),
    ("expected a JSON object", put("messages", 2, tool_calls=[chat_use(arguments="[]")])),
    ("only allowed when", lambda body: body.pop("tools")),
    ("Invalid 'tools': empty", put(tools=[])),
    ("'tool_choice'", put(tool_choice="any")),
    ("Unrecognized request argument supplied: topK", put(topK=3)),
    ("'temperature'", put(temperature=2.1)),
    ("'max_tokens'", put(max_tokens=0)),
    ("at the same time", put(max_completion_tokens=5)),
]


@pytest.mark.parametrize(("reason", "change"), CHAT_RULES)
def test_chat_names_each_broken_rule(reason: str, change: Change) -> None:
    body = chat_golden()
    change(body)

    found = chat_faults(body, "small")

    assert [fault for fault in found if reason in fault], found
