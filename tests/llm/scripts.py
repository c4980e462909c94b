"""The shipped scripts, and a conversation with one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.call.history import AgentSaid, CallerSaid, History, InputMode, ToolUsed
from agent.call.messages import ReplyRequest, ToolCall, ToolResult, ToolSpec
from agent.ports import LanguageModel
from tests.llm import contract

ROOT = Path(__file__).resolve().parents[2]
USE_CASES = ROOT / "configuration" / "use-cases"
SHIPPED = (
    "albertEinsteinUseCase",
    "apartmentSearchUseCase",
    "defaultUseCase",
    "restaurantOrderingUseCase",
)
SYSTEM = """You are an assistant on the phone. It is March 05, 2026 at 6:40 PM.
1. Restaurant ordering: order a meal by phone (key: restaurantOrderingUseCase)
2. Apartment search: find a home (key: apartmentSearchUseCase)
3. Albert Einstein (key: albertEinsteinUseCase)"""
ROUNDS = 6

Result = Mapping[str, object] | str
"""What a tool answers; a text is an error."""


def script(name: str) -> str:
    return (USE_CASES / name / "offline.json").read_text(encoding="utf-8")


@dataclass
class Call:
    """A call with one model: the caller speaks, tools answer from a table."""

    model: LanguageModel
    results: Mapping[str, Result]
    system: str = SYSTEM
    history: History = field(default_factory=History)
    called: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    async def says(self, text: str, *, means: InputMode = InputMode.SPEECH) -> str:
        """The caller speaks; returns all words of the agent until it waits again."""
        self.called.clear()
        self.history.append(CallerSaid(text, means))
        heard: list[str] = []
        for round_number in range(ROUNDS):
            asked = ReplyRequest(self.system, self.history.messages(32_000), self._tools())
            pieces = await contract.pieces_of(self.model, asked)
            contract.assert_well_formed(pieces, asked)
            if words := contract.said(pieces):
                heard.append(words)
                self.history.append(AgentSaid(words))
            calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
            for call in calls:
                self._run(round_number, call)
            if not calls:
                return " ".join(heard)
        raise AssertionError(f"no end of tool calls: {self.called}")

    def _run(self, round_number: int, call: ToolCall) -> None:
        self.called.append((call.name, json.loads(call.arguments)))
        result = self.results[call.name]
        taken = ToolCall(f"call{len(self.history)}", call.name, call.arguments)
        content = {"error": result} if isinstance(result, str) else dict(result)
        answer = ToolResult(taken.id, json.dumps(content), is_error=isinstance(result, str))
        self.history.append(ToolUsed(len(self.history) + round_number, taken, answer))

    def _tools(self) -> tuple[ToolSpec, ...]:
        return tuple(ToolSpec(name, "A tool.", '{"type":"object"}') for name in self.results)
