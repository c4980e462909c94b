"""Whether a provider would accept what the conversation sends a model.

Each request is put in the form of a Bedrock model of each family, and of chat completions, and
read by the emulators' validators, which are as strict as the services or stricter. The adapters are
imported at the first request, so that the tests of the core start without them.
"""

from __future__ import annotations

import json

from agent.call.actions import StartReply, Summarize
from agent.call.messages import ReplyRequest
from agent.call.summarization import SUMMARIZE, SUMMARY_TOKENS
from agent.usecases import ModelSettings
from tests.call.world import SPECS

FAMILIES = (
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.amazon.nova-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
)
"""One model of each."""
GUARDED = ModelSettings(guardrail="abcdefghij:1")
PLAIN = ModelSettings()


def assert_no_provider_refuses(action: StartReply | Summarize) -> None:
    """Promise 1, as Bedrock and OpenAI would judge it."""
    from agent.llm.bedrock import converse_request as bedrock
    from agent.llm.openai import chat_request as openai
    from tests.emulators import validate, validate_chat

    asked, number = _asked(action)
    settings = PLAIN if number % 2 else GUARDED
    for model in FAMILIES:
        body = json.loads(bedrock.body_of(asked, bedrock.family_of(model), settings))
        found = validate.faults(body, model)
        assert not found, f"1: {model} would refuse: {found}"
    found = validate_chat.faults(openai.body_of(asked, "small") | {"stream": True}, "small")
    assert not found, f"1: chat completions would refuse: {found}"


def _asked(action: StartReply | Summarize) -> tuple[ReplyRequest, int]:
    """The request, and its number."""
    match action:
        case StartReply(number, messages, choice):
            tools = tuple(SPECS.values())
            return ReplyRequest("You take orders.", messages, tools, choice, "It is noon."), number
        case Summarize(number, messages):
            return ReplyRequest(SUMMARIZE, messages, max_tokens=SUMMARY_TOKENS), number
