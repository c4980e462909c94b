"""Tool calls of a conversation: taken up, run once, answered once.

The table of practice section 7 (tool against interrupt) comes down to three rules:

1. A call is a fact from the moment the reply that made it is complete, with one result for ever.
2. When the caller moves on, a tool without side effects is cancelled and answered so at once. One
with
   side effects runs on; its result completes the fact and is news for the model.
3. The same call of a tool with side effects (same name, same arguments) is not run again: it joins
   the run in progress, or takes over the result of one that succeeded, also if the history has
   forgotten that one (`agent.conversation.compaction`).

What cannot be run is answered at once with an error the model can act on: an unknown tool,
arguments that are no JSON object, or an order the caller cannot have agreed to because the
sentence that asked was cut off or never finished (practice section 5, rule 11).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.conversation.actions import Action, CancelTool, Record, RunTool
from agent.conversation.history import CallerSaid, Fact, History, ToolUsed
from agent.conversation.messages import SideEffect, ToolCall, ToolResult, ToolSpec
from agent.conversation.outcome import ToolOutcome

CANCELLED = "The caller went on before this was finished; it was cancelled and had no effect."
NOT_AN_OBJECT = "The arguments were not a JSON object. Call the tool again with correct arguments."
NOT_HEARD = (
    "Not done: the caller interrupted your last sentence, so a yes may not mean this."
    " Say again briefly what you are about to do and ask."
)
_MINTED = re.compile(r"tool([0-9]{5})")


@dataclass(slots=True)
class _Run:
    """One execution, and the facts that wait for it."""

    spec: ToolSpec
    positions: list[int]
    awaited: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What came of a run: facts to keep, and whether the present turn waited for it."""

    records: Sequence[Action]
    name: str
    was_awaited: bool


class ToolRuns:
    """The tool runs of one call; writes facts into the history it is given."""

    def __init__(self, history: History, specs: Mapping[str, ToolSpec]) -> None:
        self._history = history
        self._specs = specs
        self._runs: dict[str, _Run] = {}
        self._minted = max(map(_minted_number, history), default=0)
        self._done: dict[tuple[str, str], str] = {}
        """Name and arguments of forgotten runs that had an effect -> their result."""
        self._has_news = False

    def offer(self, specs: Mapping[str, ToolSpec]) -> None:
        """From now on these are the tools; what runs goes on."""
        self._specs = specs

    def remember(self, forgotten: Iterable[Fact]) -> None:
        """These facts are leaving the history; what has taken effect is not to be run again."""
        for used in forgotten:
            if not isinstance(used, ToolUsed) or used.result is None or used.result.is_error:
                continue
            spec = self._specs.get(used.call.name)
            arguments = canonical(used.call.arguments)
            if arguments and (spec is None or spec.side_effect is not SideEffect.NONE):
                self._done.setdefault((used.call.name, arguments), used.result.content)

    @property
    def is_awaited(self) -> bool:
        """The present turn waits for a result."""
        return any(run.awaited for run in self._runs.values())

    @property
    def has_news(self) -> bool:
        """A result came that nobody waited for, and the model was not asked since."""
        return self._has_news

    def tell(self) -> None:
        """The model is asked, and reads what there is of results."""
        self._has_news = False

    @property
    def filler(self) -> str:
        """What an awaited tool has to say to a caller who waits; empty = nothing."""
        return next((run.spec.filler for run in self._runs.values() if run.awaited), "")

    @property
    def is_unfinished(self) -> bool:
        """Something runs that will not be cancelled."""
        return bool(self._runs)

    def is_known(self, call_id: str) -> bool:
        """A result for this call is expected."""
        return call_id in self._runs

    def take_up(self, reply: int, calls: Iterable[ToolCall], *, is_confirmed: bool) -> list[Action]:
        """Make facts of the calls of one reply and start what has to run.

        Args:
            reply: The reply that made the calls.
            calls: In the order of the reply.
            is_confirmed: The agent had said all, and the caller has heard it, before answering.
        """
        actions: list[Action] = []
        starts: list[Action] = []
        for call in calls:
            self._minted += 1
            taken = ToolCall(
                f"tool{self._minted:05d}", safe_name(call.name), call.arguments or "{}"
            )
            record, start = self._take_up(reply, taken, is_confirmed=is_confirmed)
            actions.append(record)
            starts.extend(start)
        return actions + starts

    def resume(self) -> list[Action]:
        """Take up what ran when the line was lost.

        What the caller waits for, and what may have changed the world, is run again under its old
        identifier: the tool knows what it has done (`agent.tools.ledger`). The rest is answered as
        cancelled; so is what is not offered any more.
        """
        open_runs = [
            (position, used) for position, used in self._history.tool_runs() if used.result is None
        ]
        turn = self._last_turn
        return [
            action
            for position, used in open_runs
            for action in self._resume(position, used, is_awaited=position > turn)
        ]

    def finish(self, call_id: str, outcome: ToolOutcome) -> FinishedRun:
        """A run has ended: complete every fact that waited for it."""
        run = self._runs.pop(call_id)
        records = [
            self._complete(at, outcome.content, is_error=outcome.is_error) for at in run.positions
        ]
        self._has_news = self._has_news or not run.awaited
        return FinishedRun(records, run.spec.name, was_awaited=bool(run.awaited))

    def leave(self) -> list[Action]:
        """The caller moves on: cancel what has no side effect, let the rest run unawaited."""
        actions: list[Action] = []
        for call_id, run in list(self._runs.items()):
            run.awaited.clear()
            if run.spec.side_effect is SideEffect.NONE:
                del self._runs[call_id]
                actions.append(CancelTool(call_id))
                actions += [
                    self._complete(at, error_content(CANCELLED), is_error=True)
                    for at in run.positions
                ]
        return actions

    def _take_up(
        self, reply: int, call: ToolCall, *, is_confirmed: bool
    ) -> tuple[Action, list[Action]]:
        spec = self._specs.get(call.name)
        arguments = canonical(call.arguments)
        if arguments is None:
            empty = ToolCall(call.id, call.name, "{}")
            return self._answered(reply, empty, error_content(NOT_AN_OBJECT), is_error=True)
        if spec is None:
            fault = f"There is no tool {call.name}. Tools: {', '.join(self._specs) or 'none'}."
            return self._answered(reply, call, error_content(fault), is_error=True)
        if spec.side_effect is SideEffect.NONE:
            return self._started(reply, call, spec)
        if (content := self._done.get((call.name, arguments))) is not None:
            return self._answered(reply, call, content, is_error=False)
        for position, used in self._history.tool_runs():
            if _is_same(used.call, call.name, arguments):
                if used.result is None:
                    return self._joined(reply, call, position)
                if not used.result.is_error:
                    return self._answered(reply, call, used.result.content, is_error=False)
        if spec.side_effect is SideEffect.ONCE and not is_confirmed:
            return self._answered(reply, call, error_content(NOT_HEARD), is_error=True)
        return self._started(reply, call, spec)

    def _started(self, reply: int, call: ToolCall, spec: ToolSpec) -> tuple[Action, list[Action]]:
        position = self._history.append(ToolUsed(reply, call))
        return self._record(position), [self._run(position, call, spec, is_awaited=True)]

    def _run(self, position: int, call: ToolCall, spec: ToolSpec, *, is_awaited: bool) -> Action:
        self._runs[call.id] = _Run(spec, [position], {position} if is_awaited else set())
        return RunTool(call, is_lasting=spec.side_effect is not SideEffect.NONE)

    @property
    def _last_turn(self) -> int:
        """Position of the caller's last words; -1 if there are none."""
        facts = list(enumerate(self._history, self._history.first))
        return next((at for at, fact in reversed(facts) if isinstance(fact, CallerSaid)), -1)

    def _resume(self, position: int, used: ToolUsed, *, is_awaited: bool) -> list[Action]:
        spec, call = self._specs.get(used.call.name), used.call
        is_lasting = spec is not None and spec.side_effect is not SideEffect.NONE
        if spec is None or not (is_awaited or is_lasting):
            return [self._complete(position, error_content(CANCELLED), is_error=True)]
        twin = self._twin(call) if is_lasting else None
        if twin is None:
            return [self._run(position, call, spec, is_awaited=is_awaited)]
        twin.positions.append(position)
        twin.awaited |= {position} if is_awaited else set()
        return []

    def _twin(self, call: ToolCall) -> _Run | None:
        """The run of the same call that is going on."""
        arguments = canonical(call.arguments) or ""
        for run in self._runs.values():
            if _is_same(self._history.tool_run(run.positions[0]).call, call.name, arguments):
                return run
        return None

    def _joined(self, reply: int, call: ToolCall, other: int) -> tuple[Action, list[Action]]:
        position = self._history.append(ToolUsed(reply, call))
        run = next(run for run in self._runs.values() if other in run.positions)
        run.positions.append(position)
        run.awaited.add(position)
        return self._record(position), []

    def _answered(
        self, reply: int, call: ToolCall, content: str, *, is_error: bool
    ) -> tuple[Action, list[Action]]:
        result = ToolResult(call.id, content, is_error)
        return self._record(self._history.append(ToolUsed(reply, call, result))), []

    def _complete(self, position: int, content: str, *, is_error: bool) -> Record:
        call = self._history.tool_run(position).call
        self._history.complete_tool(position, ToolResult(call.id, content, is_error))
        return self._record(position)

    def _record(self, position: int) -> Record:
        return Record(position, self._history[position])


def canonical(arguments: str) -> str | None:
    """The arguments in one spelling for all equal ones; None if they are not a JSON object."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def error_content(message: str) -> str:
    """A result that tells the model what went wrong."""
    return json.dumps({"error": message}, ensure_ascii=False)


def _minted_number(fact: Fact) -> int:
    """The number in an identifier of ours; 0 if there is none."""
    found = _MINTED.fullmatch(fact.call.id) if isinstance(fact, ToolUsed) else None
    return int(found[1]) if found else 0


def _is_same(call: ToolCall, name: str, arguments: str) -> bool:
    return call.name == name and canonical(call.arguments) == arguments


def safe_name(name: str) -> str:
    """A name every provider takes back, also for a tool the model made up."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:64] or "unknown"
