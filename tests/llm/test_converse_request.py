"""Requests to Bedrock, family by family."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.messages import (
    RESULTS_READ,
    Choice,
    ForcedTool,
    Message,
    ReplyRequest,
    Role,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from agent.llm.bedrock.converse_request import body_of, family_of
from agent.llm.option_repair import FORCED, WORDS_ONLY
from agent.usecases import ModelSettings

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OLD_CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
MISTRAL = "mistral.mistral-large-2402-v1:0"
UNNAMED = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
EVERY = (CLAUDE, OLD_CLAUDE, NOVA, NOVA_2, LLAMA, MISTRAL, UNNAMED)
POINT = {"cachePoint": {"type": "default"}}
LOOK = ToolSpec("Look", "Looks.", '{"type": "object", "properties": {}}')


def look_spec(description: str, **schema: object) -> dict[str, Any]:
    schemas = {"json": {"type": "object", **schema}}
    return {"toolSpec": {"name": "Look", "description": description, "inputSchema": schemas}}


LOOK_SPEC = look_spec("Looks.", properties={})
HISTORY = (
    Message(Role.CALLER, (Text("Hi."),)),
    Message(
        Role.AGENT,
        (Text("One moment."), ToolCall("abc123def", "Look", '{"a": 1}'),
         ToolCall("abc123deg", "Look", "{}")),
    ),
    Message(
        Role.CALLER,
        (ToolResult("abc123def", '{"b": 2}'), ToolResult("abc123deg", "No.", is_error=True),
         Text("Still there?")),
    ),
)  # fmt: skip
REQUEST = ReplyRequest("Static.", HISTORY, (LOOK,), context="It is Friday.")


def body(model: str, request: ReplyRequest = REQUEST, **settings: Any) -> dict[str, Any]:
    written = body_of(request, family_of(model), ModelSettings(**settings))
    found: dict[str, Any] = json.loads(written)
    return found


CALLS = {
    "role": "assistant",
    "content": [
        {"text": "One moment."},
        {"toolUse": {"toolUseId": "abc123def", "name": "Look", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "abc123deg", "name": "Look", "input": {}}},
    ],
}


def result(call_id: str, text: str, **status: str) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call_id, "content": [{"text": text}], **status}}


RESULTS = [result("abc123def", '{"b": 2}'), result("abc123deg", "No.")]
RESULTS_WITH_STATUS = [
    result("abc123def", '{"b": 2}', status="success"),
    result("abc123deg", "No.", status="error"),
]


@pytest.mark.parametrize(
    ("model", "points", "tool_points", "greedy"),
    [
        (CLAUDE, [POINT], [POINT], {}),
        (OLD_CLAUDE, [], [], {}),
        (NOVA, [POINT], [], {"temperature": 0}),
        (NOVA_2, [POINT], [], {}),
    ],
)
def test_claude_and_nova(
    model: str, points: list[Any], tool_points: list[Any], greedy: dict[str, Any]
) -> None:
    """Cache points only where the model takes them; Nova calls tools at temperature 0."""
    assert body(model) == {
        "system": [{"text": "Static."}, *points, {"text": "It is Friday."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi."}, *points]},
            CALLS,
            {"role": "user", "content": [*RESULTS_WITH_STATUS, {"text": "Still there?"}, *points]},
        ],
        "toolConfig": {"tools": [LOOK_SPEC, *tool_points]},
        "inferenceConfig": {"maxTokens": 300, **greedy},
    }


@pytest.mark.parametrize("model", [LLAMA, MISTRAL, UNNAMED])
def test_llama_mistral_and_the_unknown(model: str) -> None:
    assert body(model) == {
        "system": [{"text": "Static."}, {"text": "It is Friday."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi."}]},
            CALLS,
            {"role": "user", "content": RESULTS},
            {"role": "assistant", "content": [{"text": RESULTS_READ}]},
            {"role": "user", "content": [{"text": "Still there?"}]},
        ],
        "toolConfig": {"tools": [LOOK_SPEC]},
        "inferenceConfig": {"maxTokens": 300},
    }


def test_nova_has_no_cache_point_after_a_tool_block() -> None:
    answers = replace(HISTORY[2], parts=HISTORY[2].parts[:2])
    request = replace(REQUEST, messages=(*HISTORY[:2], answers))

    assert body(NOVA, request)["messages"][-1]["content"] == RESULTS_WITH_STATUS
    assert body(CLAUDE, request)["messages"][-1]["content"] == [*RESULTS_WITH_STATUS, POINT]


@pytest.mark.parametrize("turns", [1, 2, 3, 9])
def test_at_most_four_cache_points_and_each_where_the_last_request_had_one(turns: int) -> None:
    """The cache of the previous request is found; no point is first in a message."""
    spoken = [Message(Role.CALLER, (Text("Hm."),)), Message(Role.AGENT, (Text("Yes?"),))] * turns
    messages = body(CLAUDE, replace(REQUEST, messages=tuple(spoken[:-1])))["messages"]

    marked = [at for at, message in enumerate(messages) if POINT in message["content"]]

    assert marked == [2 * turn for turn in range(turns)][-2:]
    assert all(message["content"][0] != POINT for message in messages)


@pytest.mark.parametrize("model", EVERY)
def test_a_first_turn_without_tools_is_small(model: str) -> None:
    said = (Message(Role.CALLER, (Text("Hi."),)),)
    request = ReplyRequest("", said, context=" ", choice=Choice.NONE)

    asked = body(model, request)

    assert asked.pop("messages")[0]["content"][0] == {"text": "Hi."}
    assert asked == {"inferenceConfig": {"maxTokens": 300}}


@pytest.mark.parametrize(
    ("request_", "config"),
    [
        (replace(REQUEST, temperature=0.0), {"maxTokens": 300, "temperature": 0.0}),
        (replace(REQUEST, top_p=0.5), {"maxTokens": 300, "topP": 0.5}),
        (replace(REQUEST, temperature=0.3, top_p=0.5), {"maxTokens": 300, "temperature": 0.3}),
        (replace(REQUEST, max_tokens=50, temperature=1), {"maxTokens": 50, "temperature": 1}),
    ],
)
@pytest.mark.parametrize("model", EVERY)
def test_sampling_is_what_was_set_and_never_both(
    model: str, request_: ReplyRequest, config: dict[str, object]
) -> None:
    assert body(model, request_)["inferenceConfig"] == config


@pytest.mark.parametrize("model", EVERY)
def test_no_choice_is_an_instruction_and_the_tools_stay(model: str) -> None:
    """Bedrock has no tool choice "none"."""
    asked = body(model, replace(REQUEST, choice=Choice.NONE))

    assert asked["system"][-1] == {"text": WORDS_ONLY}
    assert asked["toolConfig"] == body(model)["toolConfig"]


@pytest.mark.parametrize(
    ("model", "additional", "is_chosen"),
    [
        *((model, "", True) for model in (CLAUDE, OLD_CLAUDE, NOVA, NOVA_2)),
        *((model, "", False) for model in (LLAMA, MISTRAL, UNNAMED)),
        (CLAUDE, '{"thinking": {"type": "enabled", "budget_tokens": 1024}}', False),
        (CLAUDE, '{"thinking": {"type": "disabled"}}', True),
        (NOVA_2, '{"reasoningConfig": {"type": "enabled"}}', False),
    ],
)
def test_tool_is_forced_by_choice_or_by_an_instruction(
    model: str, additional: str, *, is_chosen: bool
) -> None:
    asked = body(model, replace(REQUEST, choice=ForcedTool("Look")), additional=additional)
    other = body(model, replace(REQUEST, choice=ForcedTool("Other")), additional=additional)

    chosen = {"tool": {"name": "Look"}} if is_chosen else None
    assert asked["toolConfig"].get("toolChoice") == chosen
    assert ({"text": FORCED.format("Look")} in asked["system"]) is not is_chosen
    assert "toolChoice" not in other["toolConfig"]


@pytest.mark.parametrize("model", EVERY)
def test_tools_of_earlier_calls_are_declared(model: str) -> None:
    """Bedrock requires `toolConfig` with any tool block."""
    asked = body(model, replace(REQUEST, tools=(), choice=Choice.NONE))

    assert asked["toolConfig"]["tools"][0] == look_spec("No longer available.")
    assert asked["system"][-1] == {"text": WORDS_ONLY}


@pytest.mark.parametrize(
    ("name", "arguments", "sent"),
    [
        ("no-such tool!", "[1]", ("no_such_tool_", {"unreadable": "[1]"})),
        ("", '{"a": ', ("unknown", {"unreadable": '{"a": '})),
        ("x" * 70, "{}", ("x" * 64, {})),
        ("Look", '{"a": "\\ud83d"}', ("Look", {"a": ""})),
        ("Look", '{"a": "\\ud83d\\ude00"}', ("Look", {"a": "\U0001f600"})),
        ("Look", '{"a": "\ud83d"', ("Look", {"unreadable": '{"a": ""'})),
        ("Look", "[" * 100_000, ("Look", {"unreadable": "[" * 100_000})),
    ],
    ids=["name", "no name", "long name", "half", "whole", "unreadable half", "deep"],
)
def test_invalid_calls_are_sent_in_a_valid_form(
    name: str, arguments: str, sent: tuple[str, object]
) -> None:
    call = Message(Role.AGENT, (ToolCall("abc123def", name, arguments),))
    request = replace(REQUEST, messages=(HISTORY[0], call, HISTORY[2]))

    used = body(NOVA, request)["messages"][1]["content"][0]["toolUse"]

    assert (used["name"], used["input"]) == sent


def test_tool_without_a_description_has_its_name() -> None:
    asked = body(NOVA, replace(REQUEST, tools=(replace(LOOK, description=""),)))

    assert asked["toolConfig"]["tools"][0]["toolSpec"]["description"] == "Look"


ASKED = st.tuples(st.integers(1, 9), st.sampled_from(EVERY), st.sampled_from(["", "gr1:1"]))


@given(asked=st.lists(ASKED, min_size=2))
def test_what_is_kept_of_earlier_requests_changes_nothing(
    asked: list[tuple[int, str, str]],
) -> None:
    roles = (Role.CALLER, Role.AGENT) * 3
    said = (Message(role, (Text(f"Words {at} \u00e9"),)) for at, role in enumerate(roles))
    messages = tuple(replace(message) for message in (*said, *HISTORY))

    for length, model, guardrail in asked:
        kept = replace(REQUEST, messages=messages[:length])
        afresh = tuple(replace(message) for message in kept.messages)
        assert body(model, kept, guardrail=guardrail) == body(
            model, replace(kept, messages=afresh), guardrail=guardrail
        )


def test_options_of_bedrock_are_passed_on() -> None:
    settings = ModelSettings(
        additional='{"inferenceConfig": {"topK": 1}}',
        metadata='{"useCase": "pizza"}',
        latency="optimized",
        service_tier="priority",
    )

    asked = json.loads(body_of(REQUEST, family_of(NOVA), settings))

    assert {name: value for name, value in asked.items() if name not in body(NOVA)} == {
        "additionalModelRequestFields": {"inferenceConfig": {"topK": 1}},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "priority"},
        "requestMetadata": {"useCase": "pizza"},
    }


@pytest.mark.parametrize(
    ("guardrail", "identifier"),
    [("gr1:3", "gr1"), ("arn:aws:bedrock:x:1:guardrail/g:3", "arn:aws:bedrock:x:1:guardrail/g")],
)
def test_guardrail_judges_the_latest_words_only(guardrail: str, identifier: str) -> None:
    """Also while tools run; asynchronously, so that it delays no text."""
    after = Message(Role.CALLER, (ToolResult("abc123deh", "Yes."),))
    call = Message(Role.AGENT, (ToolCall("abc123deh", "Look", "{}"),))

    asked = body(LLAMA, replace(REQUEST, messages=(*HISTORY, call, after)), guardrail=guardrail)

    assert asked["guardrailConfig"] == {
        "guardrailIdentifier": identifier,
        "guardrailVersion": "3",
        "streamProcessingMode": "async",
    }
    assert [message["content"][0] for message in asked["messages"][::2]] == [
        {"text": "Hi."},
        RESULTS[0],
        {"guardContent": {"text": {"text": "Still there?"}}},
        result("abc123deh", "Yes."),
    ]
