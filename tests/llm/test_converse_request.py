"""Requests to Bedrock, family by family (practice sections 8 and 11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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
from agent.usecases.use_case import ModelSettings

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
LOOK_SPEC = {
    "toolSpec": {
        "name": "Look",
        "description": "Looks.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }
}
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
    return body_of(request, family_of(model), ModelSettings(**settings))


CALLS = {
    "role": "assistant",
    "content": [
        {"text": "One moment."},
        {"toolUse": {"toolUseId": "abc123def", "name": "Look", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "abc123deg", "name": "Look", "input": {}}},
    ],
}


RESULTS = [
    {"toolResult": {"toolUseId": "abc123def", "content": [{"text": '{"b": 2}'}]}},
    {"toolResult": {"toolUseId": "abc123deg", "content": [{"text": "No."}]}},
]
RESULTS_WITH_STATUS = [
    {
        "toolResult": {
            "toolUseId": "abc123def",
            "content": [{"text": '{"b": 2}'}],
            "status": "success",
        }
    },
    {
        "toolResult": {
            "toolUseId": "abc123deg",
            "content": [{"text": "No."}],
            "status": "error",
        }
    },
]


def test_claude() -> None:
    """All that Converse has, and four cache points."""
    assert body(CLAUDE) == {
        "system": [{"text": "Static."}, POINT, {"text": "It is Friday."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi."}, POINT]},
            CALLS,
            {"role": "user", "content": [*RESULTS_WITH_STATUS, {"text": "Still there?"}, POINT]},
        ],
        "toolConfig": {"tools": [LOOK_SPEC, POINT]},
        "inferenceConfig": {"maxTokens": 300},
    }


def test_claude_before_prompt_caching() -> None:
    """Those models refuse cache points."""
    assert body(OLD_CLAUDE) == {
        "system": [{"text": "Static."}, {"text": "It is Friday."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi."}]},
            CALLS,
            {"role": "user", "content": [*RESULTS_WITH_STATUS, {"text": "Still there?"}]},
        ],
        "toolConfig": {"tools": [LOOK_SPEC]},
        "inferenceConfig": {"maxTokens": 300},
    }


def test_nova() -> None:
    """Tools are not cached, and are called at temperature 0."""
    assert body(NOVA) == {
        "system": [{"text": "Static."}, POINT, {"text": "It is Friday."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi."}, POINT]},
            CALLS,
            {"role": "user", "content": [*RESULTS_WITH_STATUS, {"text": "Still there?"}, POINT]},
        ],
        "toolConfig": {"tools": [LOOK_SPEC]},
        "inferenceConfig": {"maxTokens": 300, "temperature": 0},
    }


@pytest.mark.parametrize("model", [LLAMA, MISTRAL, UNNAMED])
def test_llama_mistral_and_the_unknown(model: str) -> None:
    """The smallest common set; results stand alone in their message."""
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
    """Where results end the request; Claude has it."""
    answers = replace(HISTORY[2], parts=HISTORY[2].parts[:2])
    request = replace(REQUEST, messages=(*HISTORY[:2], answers))

    assert body(NOVA, request)["messages"][-1]["content"] == RESULTS_WITH_STATUS
    assert body(CLAUDE, request)["messages"][-1]["content"] == [*RESULTS_WITH_STATUS, POINT]


@pytest.mark.parametrize("turns", [1, 2, 3, 9])
def test_at_most_four_cache_points_and_each_where_the_last_request_had_one(turns: int) -> None:
    """So that the one before is found again; never first in a message."""
    spoken = [Message(Role.CALLER, (Text("Hm."),)), Message(Role.AGENT, (Text("Yes?"),))] * turns
    messages = body(CLAUDE, replace(REQUEST, messages=tuple(spoken[:-1])))["messages"]

    marked = [at for at, message in enumerate(messages) if POINT in message["content"]]

    assert marked == [2 * turn for turn in range(turns)][-2:]
    assert all(message["content"][0] != POINT for message in messages)


@pytest.mark.parametrize("model", EVERY)
def test_a_first_turn_without_tools_is_small(model: str) -> None:
    """Nothing empty is sent."""
    request = ReplyRequest("", (Message(Role.CALLER, (Text("Hi."),)),), context=" ")

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
    """Some models refuse one of them, and newer ones both."""
    assert body(model, request_)["inferenceConfig"] == config


@pytest.mark.parametrize("model", EVERY)
def test_no_choice_is_an_instruction_and_the_tools_stay(model: str) -> None:
    """Bedrock has no choice "none" (section 8, rule 9)."""
    asked = body(model, replace(REQUEST, choice=Choice.NONE))

    assert asked["system"][-1] == {"text": WORDS_ONLY}
    assert asked["toolConfig"] == body(model)["toolConfig"]


def test_no_choice_needs_no_instruction_without_tools() -> None:
    """There is nothing to forbid."""
    request = ReplyRequest("Static.", HISTORY[:1], choice=Choice.NONE)

    assert body(LLAMA, request)["system"] == [{"text": "Static."}]


@pytest.mark.parametrize("model", [CLAUDE, OLD_CLAUDE, NOVA, NOVA_2])
def test_tool_is_forced_by_choice(model: str) -> None:
    """Where the family can."""
    asked = body(model, replace(REQUEST, choice=ForcedTool("Look")))

    assert asked["toolConfig"]["toolChoice"] == {"tool": {"name": "Look"}}
    assert asked["system"] == body(model)["system"]


@pytest.mark.parametrize(
    ("model", "additional"),
    [
        (LLAMA, ""), (MISTRAL, ""), (UNNAMED, ""),
        (CLAUDE, '{"thinking": {"type": "enabled", "budget_tokens": 1024}}'),
        (NOVA_2, '{"reasoningConfig": {"type": "enabled"}}'),
    ],
)  # fmt: skip
def test_tool_is_forced_by_an_instruction(model: str, additional: str) -> None:
    """Where the family cannot, or thinks."""
    asked = body(model, replace(REQUEST, choice=ForcedTool("Look")), additional=additional)

    assert "toolChoice" not in asked["toolConfig"]
    assert asked["system"][-1] == {"text": FORCED.format("Look")}


def test_tool_is_forced_by_choice_when_thinking_is_off() -> None:
    """Newer models think unless told not to."""
    request = replace(REQUEST, choice=ForcedTool("Look"))

    asked = body(CLAUDE, request, additional='{"thinking": {"type": "disabled"}}')

    assert asked["toolConfig"]["toolChoice"] == {"tool": {"name": "Look"}}


@pytest.mark.parametrize("model", [CLAUDE, LLAMA])
def test_forced_tool_that_is_not_offered_is_not_named(model: str) -> None:
    """Bedrock would refuse the request."""
    asked = body(model, replace(REQUEST, choice=ForcedTool("Other")))

    assert "toolChoice" not in asked["toolConfig"]


@pytest.mark.parametrize("model", EVERY)
def test_tools_of_the_past_are_declared(model: str) -> None:
    """Bedrock wants `toolConfig` with any tool block (section 8, rule 8)."""
    asked = body(model, replace(REQUEST, tools=(), choice=Choice.NONE))

    assert asked["toolConfig"]["tools"][0] == {
        "toolSpec": {
            "name": "Look",
            "description": "No longer available.",
            "inputSchema": {"json": {"type": "object"}},
        }
    }
    assert asked["system"][-1] == {"text": WORDS_ONLY}


@pytest.mark.parametrize(
    ("name", "arguments", "sent"),
    [
        ("no-such tool!", "[1]", ("no_such_tool_", {"unreadable": "[1]"})),
        ("", '{"a": ', ("unknown", {"unreadable": '{"a": '})),
        ("x" * 70, "{}", ("x" * 64, {})),
    ],
)
def test_what_a_model_made_up_is_told_it_again_in_a_form_bedrock_takes(
    name: str, arguments: str, sent: tuple[str, object]
) -> None:
    """One bad call must not break all later requests."""
    call = Message(Role.AGENT, (ToolCall("abc123def", name, arguments),))
    request = replace(REQUEST, messages=(HISTORY[0], call, HISTORY[2]))

    used = body(NOVA, request)["messages"][1]["content"][0]["toolUse"]

    assert (used["name"], used["input"]) == sent


def test_tool_without_a_description_has_its_name() -> None:
    """Bedrock refuses an empty one."""
    asked = body(NOVA, replace(REQUEST, tools=(replace(LOOK, description=""),)))

    assert asked["toolConfig"]["tools"][0]["toolSpec"]["description"] == "Look"


def test_options_of_bedrock_are_passed_on() -> None:
    """As the use case set them."""
    settings = ModelSettings(
        additional='{"inferenceConfig": {"topK": 1}}',
        metadata='{"useCase": "pizza"}',
        latency="optimized",
        service_tier="priority",
    )

    asked = body_of(REQUEST, family_of(NOVA), settings)

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
    """Also while tools run; asynchronously, as no word may wait for it."""
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
        {"toolResult": {"toolUseId": "abc123deh", "content": [{"text": "Yes."}]}},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"a": "\\ud83d"}', {"a": ""}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a": "\ud83d"', {"unreadable": '{"a": ""'}),
        ("[" * 100_000, {"unreadable": "[" * 100_000}),
    ],
    ids=["half", "whole", "unreadable half", "deep"],
)
def test_old_calls_do_not_spoil_a_request(arguments: str, sent: dict[str, str]) -> None:
    """Whatever a model wrote is sent again with each later request of the call."""
    called = Message(Role.AGENT, (ToolCall("abc123def", "Look", arguments),))
    messages = body(CLAUDE, replace(REQUEST, messages=(HISTORY[0], called)))["messages"]

    assert messages[1]["content"][0]["toolUse"]["input"] == sent
