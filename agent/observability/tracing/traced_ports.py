"""Operations on the table, each told to the trace of the line that caused it.

Whose an operation is, a context variable says. It is set while a line is served and goes with every
task that is begun meanwhile: with tools, and with the journal, which writes later and outlives the
line. What is done for no line leaves no span: probes, surveys, seeding, and the webhook and the
handshake of a call, which come before its line and may meet another process.

What a line reads before its trace can be named waits for it. A line makes `MOST_OPERATIONS` spans
at the most: a journal tries for an hour to write what a table that is away does not take.

Names of operations are those of `ports.Store`, as in the metric. One may be several requests, with
retries; a span covers them all, as the conventions ask. Keys are never told: some are numbers of
callers.

Rejected: a call as one more argument of each operation, which all who use the table would have to
pass on; the instrumentation of the SDK, which tells keys and knows no calls.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from agent.call.actions import Standing, ToolOutcome
from agent.call.messages import ToolCall
from agent.observability.tracing.spans import Attributes
from agent.ports import ToolExecutor

MOST_OPERATIONS = 2000
"""Of one line: some five hundred turns, or a hundred and fifty that each place an order."""
_SQLITE_TABLE = "items"


@dataclass(frozen=True, slots=True)
class Operation:
    """One that is over; times are seconds on the clock of the loop."""

    name: str
    began: float
    ended: float
    attributes: Attributes
    tool: str
    """Identifier of the tool call for which it was done; empty = none."""
    is_failed: bool


class Served:
    """A line that is served since then, and what it does at the table."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._left = MOST_OPERATIONS
        self._waiting: list[Operation] = []
        self._tell: Callable[[Operation], None] = self._waiting.append

    def note(self, operation: Operation) -> None:
        """Tell the trace, now or when it is there."""
        if self._left:
            self._left -= 1
            self._tell(operation)

    def follow(self, tell: Callable[[Operation], None]) -> None:
        """The trace is there: it is told what waits, and all that comes."""
        for operation in self._waiting:
            tell(operation)
        self._waiting.clear()
        self._tell = tell


_SERVED: ContextVar[Served | None] = ContextVar("served", default=None)
_TOOL: ContextVar[str] = ContextVar("tool", default="")


def served() -> Served | None:
    """The line for which this is done; None = for none."""
    return _SERVED.get()


@contextmanager
def serving(line: Served) -> Iterator[None]:
    """What is done and begun meanwhile is for this line."""
    token = _SERVED.set(line)
    try:
        yield
    finally:
        _SERVED.reset(token)


class TracedToolExecutor:
    """`ports.Toolbox` that lets operations be told under the tool that makes them."""

    def __init__(self, toolbox: ToolExecutor) -> None:
        self._toolbox = toolbox

    async def run(self, call: ToolCall, standing: Standing) -> ToolOutcome:
        """See `ports.Toolbox`."""
        token = _TOOL.set(call.id)
        try:
            return await self._toolbox.run(call, standing)
        finally:
            _TOOL.reset(token)


class TracedTable:
    """`telemetry.measured.OnOperation`.

    Args:
        name: Of the table in DynamoDB; empty = the SQLite file.
    """

    def __init__(self, name: str) -> None:
        self._name = name or _SQLITE_TABLE
        self._system = "aws.dynamodb" if name else "sqlite"

    def __call__(
        self, operation: str, began: float, ended: float, error: type[BaseException] | None
    ) -> None:
        """See `telemetry.measured.OnOperation`."""
        if (line := _SERVED.get()) is None:
            return
        told: dict[str, str | bool] = {
            "db.system.name": self._system,
            "db.collection.name": self._name,
            "db.operation.name": operation,
        }
        is_cancelled = error is not None and issubclass(error, CancelledError)
        if is_cancelled:
            told["voice.cancelled"] = True
        elif error is not None:
            told["error.type"] = error.__name__
        is_failed = error is not None and not is_cancelled
        name = f"{operation} {self._name}"
        line.note(Operation(name, began, ended, told, _TOOL.get(), is_failed))
