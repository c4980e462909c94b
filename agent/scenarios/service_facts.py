"""What a scenario may ask about a service beside its socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A call of a tool, as the service wrote it down."""

    name: str
    arguments: Mapping[str, object]
    result: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that left the service."""

    channel: str
    to: str
    text: str


class ServiceFacts(Protocol):
    """The table and the messages of the service under test, read after a call."""

    async def prepare(self, items: Sequence[Mapping[str, object]]) -> None:
        """Write items before the call."""

    async def settle(self) -> None:
        """Wait until what the call leaves behind is written."""

    async def items(self, pk: str, sk_prefix: str) -> list[Mapping[str, object]]:
        """Items of a partition, in order."""

    async def items_before(self, pk: str, sk_prefix: str) -> list[Mapping[str, object]]:
        """The same, as they were when the call began."""

    async def tools(self, call_sid: str) -> list[ToolRun]:
        """The tool calls of a call, in order."""

    async def said(self, call_sid: str) -> list[tuple[str, bool]]:
        """What the agent has said on a call by the service's own account; True = it was cut."""

    async def messages(self) -> list[SentMessage]:
        """What was sent since `prepare`."""

    async def tokens(self, call_sid: str) -> int:
        """Tokens of the model that the call has used, read and written."""
