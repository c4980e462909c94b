"""Assigns operations on the table to the connection of a call that caused them.

A context variable names the connection. It is set while the connection is served and is inherited
by every task begun meanwhile: by tools, and by the journal, which writes later and outlives the
connection. An operation without one leaves no span: probes, surveys, seeding, and the webhook and
handshake of a call, which come first and may run in another process.

One operation of `ports.Store` may be several requests with retries; a span covers them all, as the
conventions ask. Keys are never in spans: some are numbers of callers. A connection makes
`MOST_OPERATIONS` spans at most, as a journal retries for an hour while the table is away.

Rejected: a call as one more argument of each operation, which every user of the table would have to
pass on; the instrumentation of the SDK, which shows keys and knows no calls.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from agent.call.actions import Standing, ToolOutcome
from agent.call.messages import ToolCall
from agent.ports import ToolExecutor

Attributes = Mapping[str, str | int | float | bool | Sequence[str]]
MOST_OPERATIONS = 2000
"""About five hundred turns, or a hundred and fifty that each place an order."""
_SQLITE_TABLE = "items"


@dataclass(frozen=True, slots=True)
class TableOperation:
    """An operation that is over; times are seconds on the clock of the loop."""

    name: str
    began: float
    ended: float
    attributes: Attributes
    tool: str
    """Identifier of the tool call for which it was done; empty = none."""
    is_failed: bool


class ServedConnection:
    """A connection that is served since then, and its operations on the table."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._left = MOST_OPERATIONS
        self._waiting: list[TableOperation] = []
        self._add: Callable[[TableOperation], None] = self._waiting.append

    def note(self, operation: TableOperation) -> None:
        """Add it to the trace, now or when there is one."""
        if self._left:
            self._left -= 1
            self._add(operation)

    def follow(self, add: Callable[[TableOperation], None]) -> None:
        """The trace exists: it gets the operations that wait, and all later ones."""
        for operation in self._waiting:
            add(operation)
        self._waiting.clear()
        self._add = add


_SERVED: ContextVar[ServedConnection | None] = ContextVar("served", default=None)
_TOOL: ContextVar[str] = ContextVar("tool", default="")


def served() -> ServedConnection | None:
    """The connection for which this runs, if any."""
    return _SERVED.get()


@contextmanager
def serving(connection: ServedConnection) -> Iterator[None]:
    """What runs or is begun meanwhile is for this connection."""
    token = _SERVED.set(connection)
    try:
        yield
    finally:
        _SERVED.reset(token)


class TracedToolExecutor:
    """`ports.ToolExecutor` under whose tools the operations appear that they make."""

    def __init__(self, toolbox: ToolExecutor) -> None:
        self._toolbox = toolbox

    async def run(self, call: ToolCall, standing: Standing) -> ToolOutcome:
        token = _TOOL.set(call.id)
        try:
            return await self._toolbox.run(call, standing)
        finally:
            _TOOL.reset(token)


class TracedTable:
    """`measured_ports.OnOperation` that adds each operation to the trace of its connection.

    Args:
        name: Of the table in DynamoDB; empty = the SQLite file.
    """

    def __init__(self, name: str) -> None:
        self._name = name or _SQLITE_TABLE
        self._system = "aws.dynamodb" if name else "sqlite"

    def __call__(
        self, operation: str, began: float, ended: float, error: type[BaseException] | None
    ) -> None:
        if (connection := _SERVED.get()) is None:
            return
        attributes: dict[str, str | bool] = {
            "db.system.name": self._system,
            "db.collection.name": self._name,
            "db.operation.name": operation,
        }
        is_cancelled = error is not None and issubclass(error, CancelledError)
        if is_cancelled:
            attributes["voice.cancelled"] = True
        elif error is not None:
            attributes["error.type"] = error.__name__
        is_failed = error is not None and not is_cancelled
        name = f"{operation} {self._name}"
        connection.note(TableOperation(name, began, ended, attributes, _TOOL.get(), is_failed))
