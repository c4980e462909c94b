"""Whether a provider would accept what the conversation sends a model.

Each request is put in the form of a Bedrock model of each family, and of chat completions, and
read by the emulators' validators, which are as strict as the services or stricter.
"""

from __future__ import annotations

from agent.conversation.actions import StartReply
from agent.conversation.messages import ReplyRequest
from agent.conversation.usecase import ModelSettings
from agent.llm import openai
from agent.llm.bedrock import request as bedrock
from agent.llm.bedrock.families import family_of
from tests.conversation.world import SPECS
from tests.emulators import validate, validate_chat

FAMILIES = (
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.amazon.nova-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
)
"""One model of each."""
GUARDED = ModelSettings(guardrail="abcdefghij:1")
PLAIN = ModelSettings()


def assert_no_provider_refuses(action: StartReply) -> None:
    """Promise 1, as Bedrock and OpenAI would judge it."""
    asked = ReplyRequest(
        system="You take orders.",
        context="It is noon.",
        messages=action.messages,
        tools=tuple(SPECS.values()),
        choice=action.choice,
    )
    settings = PLAIN if action.reply % 2 else GUARDED
    for model in FAMILIES:
        found = validate.faults(bedrock.body_of(asked, family_of(model), settings), model)
        assert not found, f"1: {model} would refuse: {found}"
    found = validate_chat.faults(openai.body_of(asked, "small") | {"stream": True}, "small")
    assert not found, f"1: chat completions would refuse: {found}"
