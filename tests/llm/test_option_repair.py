"""A model that refuses an option is asked again without it; one that cannot do it is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.call.events import ReplyFault
from agent.call.messages import Choice, ForcedTool, ReplyRequest
from agent.errors import ModelError
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.llm.option_repair import (
    FORCED,
    MOST_REPAIRS,
    WORDS_ONLY,
    LearnedOptions,
    Option,
    Refusal,
    fault_of,
    refusal_of,
    refused_option,
)
from agent.usecases import ModelSettings
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Json, Reply, fail, say
from tests.emulators.scripts import Request
from tests.fakes import Counted
from tests.llm import contract
from tests.llm.accounts import set_account
from tests.waiting import until

CLAUDE = "us.anthropic.claude-opus-4-8"
TOOL = contract.TOOLS[0].name
ASKED = contract.request(contract.SMALL_TALK)
WARM = replace(ASKED, temperature=0.3)
FORCING = replace(ASKED, choice=ForcedTool(TOOL))
WELL = say("Well.")

Rule = Callable[[Json], bool]
"""Whether a body is refused."""


@asynccontextmanager
async def chat(script: Callable[[Request], Reply]) -> AsyncIterator[tuple[Any, Any, Counted]]:
    counted = Counted()
    async with (
        OpenAIEmulator(script) as server,
        OpenAIClient.open(base_url=server.base_url, count=counted) as client,
    ):
        yield lambda: OpenAIModel("openai:small", client), server, counted


@asynccontextmanager
async def converse(
    patch: pytest.MonkeyPatch, script: Callable[[Request], Reply], **settings: Any
) -> AsyncIterator[tuple[Any, Any, Counted]]:
    counted = Counted()
    async with BedrockEmulator(script) as server:
        set_account(patch, server.url)
        async with BedrockClient.open(count=counted) as client:
            yield lambda: BedrockModel(CLAUDE, ModelSettings(**settings), client), server, counted


def refused_options(counted: Counted) -> list[tuple[str, str]]:
    """Model and option of each refusal, in order."""
    return [(labels["model"], labels["option"]) for _, _, labels in counted.seen]


def refusing(rule: Rule, kind: str, text: str, **how: Any) -> Callable[..., Reply]:
    """A server that refuses some bodies with these words."""
    return lambda request: fail(kind, text, **how) if rule(request.body) else WELL


def has(*path: str) -> Rule:
    def rule(body: Json) -> bool:
        value: Any = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value is not None

    return rule


SENT_TO_BEDROCK: dict[str, tuple[ReplyRequest, Mapping[str, str], Rule]] = {
    "temperature": (WARM, {}, has("inferenceConfig", "temperature")),
    "top_p": (replace(ASKED, top_p=0.5), {}, has("inferenceConfig", "topP")),
    "tool_choice": (FORCING, {}, has("toolConfig", "toolChoice")),
    "max_tokens": (ASKED, {}, has("inferenceConfig", "maxTokens")),
    "cache": (ASKED, {}, lambda body: "cachePoint" in str(body)),
    "latency": (ASKED, {"latency": "optimized"}, has("performanceConfig")),
    "service_tier": (ASKED, {"service_tier": "priority"}, has("serviceTier")),
    "metadata": (ASKED, {"metadata": '{"team": "a"}'}, has("requestMetadata")),
    "additional": (
        ASKED,
        {"additional": '{"thinking": {"type": "enabled", "top_k": {"topK": 50}}, "other": 1}'},
        has("additionalModelRequestFields", "thinking"),
    ),
}
"""Option → a request and settings that send it, and whether a body has it."""
RETURNED = "The model returned the following errors: "
DENIED, INVALID = "AccessDeniedException", "ValidationException"
NO_CACHING = "You invoked an unsupported model or your request did not allow prompt caching."
NOT_PERMITTED = "is not permitted, please reformat your input and try again."
REFUSED_BY_BEDROCK = {
    "temperature": [
        f"{RETURNED}`temperature` is deprecated for this model.",
        "This model doesn't support the inferenceConfig.temperature field. Remove "
        "inferenceConfig.temperature and try again.",
    ],
    "top_p": [f"{RETURNED}`top_p` is deprecated for this model."],
    "tool_choice": [
        "This model doesn't support the toolConfig.toolChoice.tool field. Remove "
        "toolConfig.toolChoice.tool and try again.",
        f"{RETURNED}Thinking may not be enabled when tool_choice forces tool use.",
    ],
    "max_tokens": [
        "The maximum tokens you requested exceeds the model limit of 200. Try again with a "
        "maximum tokens value that is lower than 200.",
    ],
    "cache": [
        NO_CACHING,
        f"{RETURNED}system.0.cache_control: Extra inputs are not permitted",
        f"Malformed input request: #/system/1: extraneous key [cachePoint] {NOT_PERMITTED}",
    ],
    "latency": ["Latency performance configuration is not supported for this model."],
    "service_tier": ["The provided service tier is not supported for this model."],
    "metadata": ["This model doesn't support the requestMetadata field."],
    "additional": [
        f"Malformed input request: extraneous key [top_k] {NOT_PERMITTED}",
        f'{RETURNED}"thinking.type.enabled" is not supported for this model.',
        "Malformed input request: #/thinking: extraneous key [topK] is not permitted",
    ],
}


@pytest.mark.parametrize(
    ("label", "text"), [(key, text) for key, texts in REFUSED_BY_BEDROCK.items() for text in texts]
)
async def test_bedrock_is_asked_again_without_what_it_refuses(
    monkeypatch: pytest.MonkeyPatch, label: str, text: str
) -> None:
    """In the same turn; later requests of any model of that identifier leave it out."""
    asked, settings, rule = SENT_TO_BEDROCK[label]
    script = refusing(rule, DENIED if text is NO_CACHING else INVALID, text)
    async with converse(monkeypatch, script, **settings) as (model, server, counted):
        for _ in range(2):
            assert contract.said(await contract.pieces_of(model(), asked)) == "Well."

        assert [rule(request.body) for request in server.requests] == [True, False, False]
        assert refused_options(counted) == [(CLAUDE, label)]


SENT_BY_CHAT: dict[str, tuple[ReplyRequest, Rule]] = {
    "temperature": (WARM, has("temperature")),
    "top_p": (replace(ASKED, top_p=0.5), has("top_p")),
    "max_tokens": (ASKED, has("max_tokens")),
    "stream_options": (ASKED, has("stream_options")),
    "tool_choice": (FORCING, has("tool_choice")),
}
REFUSED_BY_CHAT = {
    "temperature": [
        "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default "
        "(1) value is supported.",
        "Unsupported parameter: 'temperature' is not supported with this model.",
    ],
    "top_p": [
        "openai does not support parameters: ['top_p'], for model=o1. To drop these, set "
        "`litellm.drop_params=True`",
    ],
    "max_tokens": [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
    ],
    "stream_options": [
        "Unrecognized request argument supplied: stream_options. Please contact us through an "
        "Azure support request.",
        "Unknown parameter: 'stream_options'.",
    ],
    "tool_choice": [
        "Input should be 'auto', 'none' or 'any' (body.tool_choice)",
        "deepseek-reasoner does not support this tool_choice",
    ],
}


@pytest.mark.parametrize(
    ("label", "text"), [(key, text) for key, texts in REFUSED_BY_CHAT.items() for text in texts]
)
@pytest.mark.parametrize("status", [400, 404, 422, 500])
async def test_chat_is_asked_again_without_what_it_refuses(
    label: str, text: str, status: int
) -> None:
    """A proxy may give another status."""
    asked, rule = SENT_BY_CHAT[label]
    script = refusing(rule, "invalid_request_error", text, status=status)

    async with chat(script) as (model, server, counted):
        for _ in range(2):
            assert contract.said(await contract.pieces_of(model(), asked)) == "Well."

        refused = [rule(request.body) for request in server.requests]
        assert refused == [True] * (len(refused) - 2) + [False, False]
        assert refused_options(counted) == [("openai:small", label)] * (len(refused) - 2)


async def test_limit_of_tokens_gets_its_other_name() -> None:
    text = "Unsupported parameter: '{}' is not supported with this model."

    def script(request: Request) -> Reply:
        name = next((each for each in names if each in request.body), "")
        return fail("invalid_request_error", text.format(name)) if name else WELL

    names = ["max_tokens"]
    async with chat(script) as (model, server, _):
        await contract.pieces_of(model(), ASKED)
        assert server.requests[-1].body["max_completion_tokens"] == ASKED.max_tokens

        names.append("max_completion_tokens")
        await contract.pieces_of(model(), ASKED)
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("asked", "words"),
    [(FORCING, FORCED.format(TOOL)), (replace(ASKED, choice=Choice.NONE), WORDS_ONLY)],
)
async def test_refused_tool_choice_becomes_an_instruction(asked: ReplyRequest, words: str) -> None:
    script = refusing(
        lambda body: body["tool_choice"] != "auto" if "tool_choice" in body else False,
        "invalid_request_error",
        "tool_choice is not supported by this model",
    )
    async with chat(script) as (model, server, _):
        await contract.pieces_of(model(), asked)
        body = server.requests[-1].body
        assert words in body["messages"][0]["content"]
        assert len(body["tools"]) == len(contract.TOOLS)

        await contract.pieces_of(model(), ASKED)
        assert server.requests[-1].body["tool_choice"] == "auto"
        assert words not in server.requests[-1].body["messages"][0]["content"]


@pytest.mark.parametrize("kind", ["ValidationException", "invalid_request_error"])
async def test_repairs_have_an_end(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    additional = ",".join(f'"option{n}": 1' for n in range(20))
    numbers = iter(range(20))

    def script(_: Request) -> Reply:
        return fail(kind, f"temperature top_p max_tokens option{next(numbers)} not permitted")

    opened = (
        converse(monkeypatch, script, additional=f"{{{additional}}}")
        if kind == "ValidationException"
        else chat(script)
    )
    async with opened as (model, server, _):
        with pytest.raises(ModelError) as caught:
            await contract.pieces_of(model(), WARM)

        assert caught.value.fault is ReplyFault.REFUSED
        assert 2 <= len(server.requests) <= MOST_REPAIRS + 1


@pytest.mark.parametrize("is_bedrock", [True, False])
async def test_refusal_inside_the_stream_is_repaired_in_the_same_turn(
    monkeypatch: pytest.MonkeyPatch, *, is_bedrock: bool
) -> None:
    kind, path = (
        ("ValidationException", ("inferenceConfig", "temperature"))
        if is_bedrock
        else ("invalid_request_error", ("temperature",))
    )
    text = "`temperature` is deprecated for this model."
    script = refusing(has(*path), kind, text, in_stream=True)
    opened = converse(monkeypatch, script) if is_bedrock else chat(script)
    async with opened as (make, server, counted):
        candidate = Candidate(make(), ModelCircuit("any"))
        pieces = await contract.pieces_of(FailoverModel([candidate], HedgeBudget(0.0)), WARM)

        assert contract.said(pieces) == "Well."
        assert len(server.requests) == 2
        assert [label for _, label in refused_options(counted)] == ["temperature"]


async def test_guardrail_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    script = refusing(
        has("guardrailConfig"), "ValidationException", "guardrailConfig is not permitted"
    )
    async with converse(monkeypatch, script, guardrail="gr1:1") as (model, server, _):
        with pytest.raises(ModelError):
            await contract.pieces_of(model(), ASKED)

        assert len(server.requests) == 1


async def test_refusal_is_logged_once_and_without_its_text() -> None:
    """The text may quote the caller."""
    script = refusing(has("temperature"), "invalid_request_error", "temperature: not 0.3, Ada")
    async with chat(script) as (model, _, _):
        with capture_logs() as logs:
            for _ in range(3):
                await contract.pieces_of(model(), WARM)

    (line,) = [each for each in logs if each["event"] == "llm.option_refused"]
    assert (line["model"], line["option"]) == ("openai:small", "temperature")
    assert [name for name, value in line.items() if "Ada" in value] == ["pii_detail"]


CANNOT = [
    "This model doesn't support tool use in streaming mode.",
    "This model doesn't support tool use.",
    "This model doesn't support system messages. Try again without a system message or use a "
    "model that supports system messages.",
    "The model is unsupported for streaming.",
    "The provided model identifier is invalid.",
    "Invocation of model ID x with on-demand throughput isn't supported.",
    "Access denied. This Model is marked by provider as Legacy.",
    "You don't have access to the model with the specified model ID.",
    "data retention mode 'default' is not available for this model",
    "This model version has reached the end of its life.",
    "registry.ollama.ai/library/gemma3:4b does not support tools",
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "tools param requires --jinja flag",
    "`tool calling` is not supported with this model",
    "Function calling is not enabled for models/gemma-3-4b-it",
    "Developer instruction is not enabled for models/gemma-3-4b-it",
    "System role not supported",
    "The model `mixtral-8x7b-32768` has been decommissioned and is no longer supported.",
    "This is not a chat model and thus not supported in the v1/chat/completions endpoint.",
    "This model is only supported in v1/responses and not in v1/chat/completions.",
    "The model `gpt-9` does not exist or you do not have access to it.",
]


@pytest.mark.parametrize("text", CANNOT)
def test_model_that_cannot_do_what_was_asked_is_denied(text: str) -> None:
    options = [Option("temperature", "temperature", ("temperature",))]
    assert refused_option(Refusal(text), options) is None
    assert fault_of(text) is ReplyFault.DENIED


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The model returned the following errors: roles must alternate", ReplyFault.REFUSED),
        ("tool_use_id found in tool_result blocks: tool1", ReplyFault.REFUSED),
        ("Invalid schema for function 'f': array schema missing items.", ReplyFault.REFUSED),
        ("", ReplyFault.REFUSED),
        (
            "'max_tokens' is too large: 300. This model's maximum context length is 4096 tokens",
            ReplyFault.TOO_LONG,
        ),
        ("input length and `max_tokens` exceed context limit: 9 + 3 > 10", ReplyFault.TOO_LONG),
        ("Input is too long for requested model.", ReplyFault.TOO_LONG),
    ],
)
def test_invalid_requests_have_no_refused_option(text: str, fault: ReplyFault) -> None:
    options = [Option("max_tokens", "max_tokens", ("max_tokens",))]
    assert refused_option(Refusal(text), options) is None
    assert fault_of(text) is fault


SENT = [
    Option("temperature", "temperature", ("temperature",)),
    Option("top_p", "top_p", ("top_p",)),
    Option("max_tokens", "max_tokens", ("max_tokens",)),
]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"message": "No.", "param": "top_p", "code": "unsupported_parameter"}, "top_p"),
        (
            {"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted",
                         "input": {"temperature": 0.3, "top_p": 1}}]},
            "max_tokens",
        ),
        (
            {"message": "Provider returned error", "code": 400,
             "metadata": {"raw": '{"error":{"message":"top_p: unknown"}}'}},
            "top_p",
        ),
        ({"message": {"detail": [{"loc": ["body", "top_p"], "msg": "forbidden"}]}}, "top_p"),
        ({"message": "Use TOP-P or Temperature, not both"}, "temperature"),
        ({"message": "max tokens: must be lower"}, "max_tokens"),
        ({"message": "temperature"}, None),
        ({"message": "Something is not supported", "param": "messages"}, None),
        ("top_p is unsupported", "top_p"),
        (["a", 1, None, {"msg": "top_p unsupported"}], "top_p"),
        (None, None),
    ],
)  # fmt: skip
def test_option_is_found_where_servers_name_it(body: object, key: str | None) -> None:
    """In a field or in a sentence, not in quotations of the request."""
    option = refused_option(refusal_of(body), SENT)

    assert (option.key if option else None) == key


def test_deep_and_long_bodies_are_read_in_part() -> None:
    deep: object = "top_p is unsupported"
    for _ in range(5_000):
        deep = {"detail": [deep]}

    assert refusal_of(deep) == Refusal("")
    assert len(refusal_of({"message": "x" * 1_000_000}).text) < 10_000


def test_two_calls_learn_one_thing_once() -> None:
    counted = Counted()
    learned = LearnedOptions(counted)

    assert all(learned.learn("a", Refusal("temperature is not supported"), SENT) for _ in range(2))
    assert refused_options(counted) == [("a", "temperature")]
    assert learned.of("a") == {"temperature"}
    assert not learned.of("b")


async def test_model_that_cannot_use_tools_does_not_come_back_by_a_probe_without_any() -> None:
    """The probe offers a tool as the requests did."""
    cannot = refusing(has("tools"), "invalid_request_error", "small does not support tools")
    async with chat(cannot) as (make, server, _):
        circuit = ModelCircuit("small")
        model = FailoverModel([Candidate(make(), circuit)], HedgeBudget(0.0))
        with pytest.raises(ModelError):
            await contract.pieces_of(model, ASKED)
        watching = asyncio.create_task(circuit.probe(make(), chance=lambda *_: 0.0002))
        await until(lambda: len(server.requests) >= 2)
        watching.cancel()
        await asyncio.wait({watching})

        assert circuit.is_open
        assert "tools" in server.requests[1].body
