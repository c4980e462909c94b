"""What a provider's model would do with the requests of the contract suite, in its own wire form.

A model is free in what it says; the suite asks about choices of tools, which a real one heeds. So
this rule reads tools and choice from the body as the provider would: Bedrock has no choice "none"
and, for most families, no forced tool; both are instructions.
"""

from __future__ import annotations

from typing import Any

from agent.llm.option_repair import FORCED, WORDS_ONLY
from tests.emulators.replies import Json, Reply, call, say
from tests.emulators.scripts import Request
from tests.llm import contract


def oblige(request: Request) -> Reply:
    """Calls what it must, then what the caller asks for, if it may; else answers with words."""
    offered, forced, may_call = _read(request.body)
    if forced:
        return call(forced)
    wanted = "LiveAgentHandoffFunction"
    if may_call and wanted in offered and contract.ASKS_FOR_A_PERSON in request.last_text:
        return say("One moment.") + call(wanted, {})
    return say("I am well, thank you.")


def _read(body: Json) -> tuple[list[str], str, bool]:
    """The tools offered, the one demanded, and whether any may be called."""
    if "toolConfig" in body or "system" in body or "inferenceConfig" in body:
        return _of_converse(body)
    tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    choice: Any = body.get("tool_choice", "auto")
    forced = choice["function"]["name"] if isinstance(choice, dict) else ""
    return tools, forced, choice != "none"


def _of_converse(body: Json) -> tuple[list[str], str, bool]:
    config = body.get("toolConfig", {})
    tools = [tool["toolSpec"]["name"] for tool in config.get("tools", []) if "toolSpec" in tool]
    instructions = [block.get("text", "") for block in body.get("system", [])]
    named = [config.get("toolChoice", {}).get("tool", {}).get("name", "")]
    demanded = named + [tool for tool in tools if FORCED.format(tool) in instructions]
    return tools, "".join(demanded), WORDS_ONLY not in instructions
