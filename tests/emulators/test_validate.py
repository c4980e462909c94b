"""Each rule of the strict Bedrock: one request that breaks it, beside requests that pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.emulators.spoiled import spoiled
from tests.emulators.validate import faults

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OLD_CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "eu.amazon.nova-lite-v1:0"
NOVA_2 = "global.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
PROFILE = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}"

POINT = {"cachePoint": {"type": "default"}}
Body = dict[str, Any]
Change = Callable[[Body], object]


def tool(name: str = "menu") -> Body:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}
    spec = {"name": name, "description": "The menu.", "inputSchema": {"json": schema}}
    return {"toolSpec": spec}


def use(key: str = "abcdefgh1", name: str = "menu", given: object = None) -> Body:
    return {"toolUse": {"toolUseId": key, "name": name, "input": {} if given is None else given}}


def result(key: str = "abcdefgh1", *content: Body, **more: object) -> Body:
    return {"toolResult": {"toolUseId": key, "content": [*content] or [{"text": "Soup"}], **more}}


def golden() -> Body:
    """A request every family takes."""
    return {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "What is there?"}]},
            {"role": "assistant", "content": [{"text": "A moment."}, use(), use("abcdefgh2")]},
            {"role": "user", "content": [result(), result("abcdefgh2", {"json": {"a": 1}})]},
            {"role": "assistant", "content": [{"text": "Soup."}]},
            {"role": "user", "content": [{"text": "Thanks."}]},
        ],
        "toolConfig": {"tools": [tool()]},
        "inferenceConfig": {"maxTokens": 300, "temperature": 0.5, "stopSequences": ["END"]},
        "requestMetadata": {"call": "1"},
    }


def cached() -> Body:
    """A request with the cache points only Claude takes all of."""
    body = golden()
    body["toolConfig"]["tools"].append({"cachePoint": {"type": "default", "ttl": "1h"}})
    body["system"].append(POINT)
    body["messages"][2]["content"].append(POINT)
    body["messages"][4]["content"].append(POINT)
    return body


def plain() -> Body:
    return {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


@pytest.mark.parametrize("model", [CLAUDE, OLD_CLAUDE, NOVA, NOVA_2, LLAMA, MISTRAL, PROFILE, "x"])
def test_golden_requests_pass(model: str) -> None:
    """What is right is not refused, whatever the family."""
    assert faults(golden(), model) == []
    assert faults(plain(), model) == []


def test_claude_takes_cache_points_status_reasoning_and_a_named_tool() -> None:
    """What only some families know passes with those."""
    body = cached()
    body["messages"][2]["content"][0]["toolResult"]["status"] = "error"
    signed = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}
    body["messages"][1]["content"].insert(0, signed)
    body["toolConfig"]["toolChoice"] = {"tool": {"name": "menu"}}
    body["messages"][2]["content"].append({"text": "And quickly."})

    assert faults(body, CLAUDE) == []
    assert faults(body, PROFILE) == []


def message(role: str, *content: object) -> Body:
    return {"role": role, "content": list(content)}


def say(body: Body, *messages: Body) -> None:
    body["messages"] = list(messages)


USER = message("user", {"text": "Hello"})
WORDS = {"text": "Words"}
CALLED = message("assistant", use())

RULES: list[tuple[str, str, Change]] = [
    ("must start with a user", CLAUDE, lambda b: say(b, message("assistant", WORDS), USER)),
    ("must start with a user", CLAUDE, say),
    ("must alternate", CLAUDE, lambda b: say(b, USER, USER)),
    ("must end with a user", CLAUDE, lambda b: say(b, USER, message("assistant", WORDS))),
    ("content field in the Message", CLAUDE, lambda b: say(b, message("user"))),
    ("text field in the ContentBlock", CLAUDE, lambda b: say(b, message("user", {"text": " \n"}))),
    (
        "Expected toolResult blocks at messages.2.content for the following Ids: abcdefgh1",
        CLAUDE,
        lambda b: say(b, USER, CALLED, USER),
    ),
    ("Expected toolResult blocks at messages.2", CLAUDE, lambda b: say(b, USER, CALLED)),
    ("exceeds the number", CLAUDE, lambda b: say(b, message("user", result()))),
    (
        "unexpected `tool_use_id`",
        CLAUDE,
        lambda b: say(b, USER, CALLED, message("user", result("abcdefgh9"))),
    ),
    (
        "single result",
        CLAUDE,
        lambda b: say(b, USER, CALLED, message("user", result(), result())),
    ),
    (
        "results come before",
        CLAUDE,
        lambda b: say(b, USER, CALLED, message("user", WORDS, result())),
    ),
    (
        "cannot be provided in the same turn",
        LLAMA,
        lambda b: say(b, USER, CALLED, message("user", result(), WORDS)),
    ),
    (
        "cannot be provided in the same turn",
        MISTRAL,
        lambda b: say(b, USER, CALLED, message("user", result(), WORDS)),
    ),
    (
        "toolUse block at messages.0",
        CLAUDE,
        lambda b: say(b, message("user", use())),
    ),
    (
        "must be unique",
        CLAUDE,
        lambda b: say(
            b, USER, CALLED, message("user", result()), CALLED, message("user", result())
        ),
    ),
    ("toolUse.toolUseId'", CLAUDE, lambda b: rename(b, "a:b")),
    ("toolUse.toolUseId'", CLAUDE, lambda b: rename(b, "a" * 65)),
    ("[a-zA-Z0-9]{9}", MISTRAL, lambda b: rename(b, "toolongtoday")),
    ("toolUse.name'", CLAUDE, lambda b: call_as(b, "no spaces")),
    ("toolUse.name'", CLAUDE, lambda b: call_as(b, "")),
    ("toolUse.name'", NOVA, lambda b: call_as(b, "my-menu")),
    ("toolUse.input is invalid", CLAUDE, lambda b: call_with(b, "{}")),
    ("toolUse.input is invalid", CLAUDE, lambda b: call_with(b, [1])),
    ("toolResult cannot be empty", CLAUDE, lambda b: results(b)[0].update(content=[])),
    (
        "ToolResultContentBlock",
        CLAUDE,
        lambda b: results(b)[0].update(content=[{"text": " "}], status="error"),
    ),
    ("0.json is invalid", CLAUDE, lambda b: results(b)[0].update(content=[{"json": [1]}])),
    ("content.0 is invalid", CLAUDE, lambda b: results(b)[0].update(content=["Soup"])),
    ("[success, error]", CLAUDE, lambda b: results(b)[0].update(status="fine")),
    ("toolResult.status field", LLAMA, lambda b: results(b)[0].update(status="error")),
    ("toolConfig field must be defined", CLAUDE, lambda b: b.pop("toolConfig")),
    ("length greater than or equal to 1", CLAUDE, lambda b: b["toolConfig"].update(tools=[])),
    ("length greater than or equal to 1", CLAUDE, lambda b: spec(b).update(description="")),
    ("toolSpec.name'", CLAUDE, lambda b: spec(b).update(name="n" * 65)),
    ("toolSpec.name'", NOVA, lambda b: spec(b).update(name="my-menu")),
    ("already defined", CLAUDE, lambda b: b["toolConfig"]["tools"].append(tool())),
    ("Provide a json object", CLAUDE, lambda b: spec(b).update(inputSchema={"json": "{}"})),
    ("following: object", CLAUDE, lambda b: schema(b).update(type="array")),
    ("following: object", CLAUDE, lambda b: schema(b).pop("type")),
    ("$defs and $ref", CLAUDE, lambda b: schema(b).update({"$defs": {}})),
    ("exactly one of [any, auto, tool]", CLAUDE, lambda b: choose(b, {"none": {}})),
    ("exactly one of [any, auto, tool]", CLAUDE, lambda b: choose(b, {"auto": {}, "any": {}})),
    ("exactly one of [any, auto, tool]", CLAUDE, lambda b: choose(b, "auto")),
    ("toolChoice.tool field", LLAMA, lambda b: choose(b, {"tool": {"name": "menu"}})),
    ("toolChoice.any field", LLAMA, lambda b: choose(b, {"any": {}})),
    ("toolChoice.tool field", MISTRAL, lambda b: choose(b, {"tool": {"name": "menu"}})),
    ("is not defined", NOVA, lambda b: choose(b, {"tool": {"name": "other"}})),
    ("is not defined", NOVA_2, lambda b: choose(b, {"tool": {"name": "other"}})),
    (
        "Thinking may not",
        CLAUDE,
        lambda b: b.update(
            toolConfig=b["toolConfig"] | {"toolChoice": {"any": {}}},
            additionalModelRequestFields={"thinking": {"type": "enabled"}},
        ),
    ),
    ("SystemContentBlock", CLAUDE, lambda b: b.update(system=[{"text": ""}])),
    ("cannot both", CLAUDE, lambda b: b["inferenceConfig"].update(topP=0.9)),
    ("'inferenceConfig.temperature'", CLAUDE, lambda b: b["inferenceConfig"].update(temperature=2)),
    ("'inferenceConfig.topP'", OLD_CLAUDE, lambda b: b["inferenceConfig"].update(topP=-0.1)),
    ("'inferenceConfig.maxTokens'", CLAUDE, lambda b: b["inferenceConfig"].update(maxTokens=0)),
    ("extraneous key [topK]", CLAUDE, lambda b: b["inferenceConfig"].update(topK=5)),
    ("non-whitespace", CLAUDE, lambda b: b["inferenceConfig"].update(stopSequences=["\n"])),
    ("maximum of 4", CLAUDE, lambda b: b.update(cached(), system=[WORDS, POINT, WORDS, POINT])),
    ("must follow a block", CLAUDE, lambda b: say(b, message("user", POINT, WORDS))),
    ("must follow a block", CLAUDE, lambda b: say(b, message("user", WORDS, POINT, POINT))),
    ("type is default", CLAUDE, lambda b: b.update(system=[WORDS, {"cachePoint": {"type": "x"}}])),
    (
        "must not come after",
        CLAUDE,
        lambda b: b.update(
            system=[WORDS, POINT, WORDS, {"cachePoint": {"type": "default", "ttl": "1h"}}]
        ),
    ),
    ("extraneous key [cachePoint]", NOVA, lambda b: b["toolConfig"]["tools"].append(POINT)),
    ("extraneous key [cachePoint]", LLAMA, lambda b: b["system"].append(POINT)),
    ("must not follow a tool", NOVA, lambda b: b["messages"][2]["content"].append(POINT)),
    (
        "signature: Field required",
        CLAUDE,
        lambda b: b["messages"][3]["content"].insert(
            0, {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
        ),
    ),
    (
        "reasoningContent field",
        NOVA,
        lambda b: b["messages"][3]["content"].insert(
            0, {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}}
        ),
    ),
    ("extraneous key [max_tokens]", CLAUDE, lambda b: b.update(max_tokens=5)),
    ("enum value set: [user, assistant]", CLAUDE, lambda b: say(b, message("system", WORDS))),
    ("exactly one of", CLAUDE, lambda b: say(b, message("user", {"speech": 1}))),
    ("exactly one of", CLAUDE, lambda b: say(b, message("user", WORDS | use()))),
    ("'messages'", CLAUDE, lambda b: b.pop("messages")),
    ("toolUse.input'", CLAUDE, lambda b: b["messages"][1]["content"][1]["toolUse"].pop("input")),
]


def calls(body: Body) -> list[Body]:
    return [b["toolUse"] for m in body["messages"] for b in m["content"] if "toolUse" in b]


def results(body: Body) -> list[Body]:
    return [b["toolResult"] for m in body["messages"] for b in m["content"] if "toolResult" in b]


def rename(body: Body, key: str) -> None:
    calls(body)[0]["toolUseId"] = results(body)[0]["toolUseId"] = key


def call_as(body: Body, name: str) -> None:
    calls(body)[0]["name"] = name


def call_with(body: Body, given: object) -> None:
    calls(body)[0]["input"] = given


def spec(body: Body) -> Body:
    found: Body = body["toolConfig"]["tools"][0]["toolSpec"]
    return found


def schema(body: Body) -> Body:
    found: Body = spec(body)["inputSchema"]["json"]
    return found


def choose(body: Body, choice: object) -> None:
    body["toolConfig"]["toolChoice"] = choice


@pytest.mark.parametrize(("reason", "model", "change"), RULES)
def test_each_broken_rule_is_named(reason: str, model: str, change: Change) -> None:
    """One change to a good request is refused for that."""
    body = golden()
    change(body)

    found = faults(body, model)

    assert [fault for fault in found if reason in fault], found


def test_older_models_take_both_samplers() -> None:
    """Only the newest Claude models want temperature or topP alone."""
    body = golden()
    body["inferenceConfig"]["topP"] = 0.9

    assert faults(body, OLD_CLAUDE) == []
    assert faults(body, "anthropic.claude-3-5-haiku-20241022-v1:0") == []


def test_no_shape_of_a_request_breaks_the_validator() -> None:
    """Whatever stands in a request, it is judged."""
    body = cached()
    choose(body, {"tool": {"name": "menu"}})
    body["additionalModelRequestFields"] = {"thinking": {"type": "disabled"}}
    body["messages"][1]["content"].append({"reasoningContent": {"reasoningText": {"text": "Hm."}}})

    for model in (CLAUDE, NOVA):
        for bad in spoiled(body):
            if isinstance(bad, dict):
                assert isinstance(faults(bad, model), list)
