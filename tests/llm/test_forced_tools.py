"""Servers that do not force a tool by its name, from a keypress to the tool that runs.

llama.cpp accepts the name and ignores it (https://github.com/ggml-org/llama.cpp/issues/26535), LM
Studio refuses it, and Ollama ignores every tool choice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.call.actions import StartReply
from agent.call.config import CallConfig, KeyBinding
from agent.call.conversation import Conversation
from agent.call.events import CallerPressed
from agent.call.messages import ReplyRequest
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.session.session import CallDependencies, Session
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, call, fail, say
from tests.emulators.scripts import Request
from tests.llm import contract
from tests.scripted import (
    ListJournal,
    ListObserver,
    ScriptedConfiguration,
    ScriptedLine,
    ScriptedToolbox,
)
from tests.waiting import until

END_CALL = contract.TOOLS[1]
PRESSED = CallConfig(
    tools={spec.name: spec for spec in contract.TOOLS},
    keypad={"0": KeyBinding("", END_CALL.name)},
    greeting="Hello.",
)
REFUSAL = "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"


def _tools_of(request: Request) -> list[str]:
    return [tool["function"]["name"] for tool in request.body["tools"]]


def llama_cpp(request: Request) -> Reply:
    """Takes an object for `auto`; enforces `required`, with a tool of its choice: the first one."""
    is_required = request.body["tool_choice"] == "required"
    return call(_tools_of(request)[0], {}) if is_required else say("I would rather talk.")


def another_tool(request: Request) -> Reply:
    """The same with a model that calls a tool, and the wrong one."""
    return call(_tools_of(request)[0], {})


def lm_studio(request: Request) -> Reply:
    if isinstance(request.body["tool_choice"], dict):
        return fail("invalid_request_error", REFUSAL, status=400)
    return llama_cpp(request)


def ollama(request: Request) -> Reply:
    """Ignores the choice; the model follows an instruction that comes last."""
    told = f"Call the tool {END_CALL.name} now" in str(request.body["messages"][-1])
    return call(END_CALL.name, {}) if told else say("I would rather talk.")


@dataclass(slots=True)
class _WithTools(ScriptedConfiguration):
    def request(self, action: StartReply) -> ReplyRequest:
        return ReplyRequest("Be kind.", action.messages, contract.TOOLS, action.choice)


async def _press_twice(server: Callable[[Request], Reply]) -> tuple[list[str], list[object]]:
    """What came of a keypress in two calls, one line each; and all choices that were sent.

    A choice has the number of tools that were offered with it.
    """
    told: list[str] = []
    async with (
        OpenAIEmulator(server) as emulator,
        OpenAIClient.open(base_url=emulator.base_url) as client,
    ):
        model = OpenAIModel("openai:small", client)
        for _ in range(2):
            toolbox = ScriptedToolbox(seconds=60.0)
            line = ScriptedLine([(0.0, CallerPressed("0"))], stays_open=True)
            configuration = _WithTools(model, toolbox)
            around = CallDependencies(line, configuration, ListJournal(), ListObserver())
            call_under_way = asyncio.create_task(Session(Conversation(PRESSED), around).run())
            await until(lambda: bool(toolbox.runs or line.said))  # noqa: B023 (awaited here)
            await line.close()
            await call_under_way
            told += toolbox.runs or line.said.splitlines()
        sent = [(one.body["tool_choice"], len(one.body["tools"])) for one in emulator.requests]
    return told, [(choice if isinstance(choice, str) else "by name", n) for choice, n in sent]


BY_NAME, ALONE, ASKED = ("by name", 2), ("required", 1), ("auto", 2)


@pytest.mark.parametrize(
    ("server", "choices"),
    [
        (llama_cpp, [BY_NAME, ALONE, ALONE]),
        (another_tool, [BY_NAME, ALONE, ALONE]),
        (lm_studio, [BY_NAME, ALONE, ALONE]),
        (ollama, [BY_NAME, ALONE, ALONE, ASKED]),
    ],
)
async def test_the_tool_of_a_key_runs(
    server: Callable[[Request], Reply], choices: list[object]
) -> None:
    """What a server does not do is learned at the first key; no word of a refusal is heard."""
    assert await _press_twice(server) == ([END_CALL.name, END_CALL.name], choices)


async def test_a_model_that_will_not_call_is_heard_after_one_instruction() -> None:
    told, choices = await _press_twice(lambda _: say("I would rather talk."))

    assert told == ["I would rather talk."] * 2
    assert choices == [BY_NAME, ALONE, ASKED, ASKED]
