"""Tool calls of a conversation: accepted once, run once, answered once.

1. A call is a fact from the moment its reply is complete, with one result for ever.
2. When the caller moves on, a tool without side effects is cancelled and answered so at once. One
   with side effects runs on; its result is news for the model.
3. The same call (name, arguments) of a tool with side effects joins the run in progress, or takes
   over the result of one that succeeded, even a forgotten one, until another tool with side effects
   is called: after it, equal arguments may mean something else, and the tool checks itself what it
   has done (`agent.tools.idempotency`).

Answered at once with an error: an unknown tool, arguments that are no JSON object, a call without
the confirmation it needs (`agent.call.heard_confirmation`), and any other order whose question was
cut off or never finished.

A tool that collects digits is accepted, and runs when the caller has entered them
(`agent.call.keypad`), one at a time. If the line is lost before its result is there, the digits
are lost too: the caller is asked again, and the tool runs with the new ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from agent.call.actions import (
    Action,
    CancelTool,
    Entry,
    Record,
    RunTool,
    ToolOutcome,
)
from agent.call.collector import Collector
from agent.call.heard_confirmation import NOT_HEARD, Exchange, fault_of
from agent.call.history import AgentSaid, CallerSaid, Fact, History, Note, SpeechSource, ToolUsed
from agent.call.messages import SideEffect, ToolCall, ToolResult, ToolSpec, tool_name_of

CANCELLED = "The caller went on before this was finished; it was cancelled and had no effect."
NOT_AN_OBJECT = "The arguments were not a JSON object. Call the tool again with correct arguments."
NOT_ENTERED = "The caller did not enter the number, but went on to something else."
NOT_VALID = "The caller has not entered a valid number. Offer another way, or ask what to do."
NOT_NOW = "Not done: the caller can enter one number at a time. Call this after the other one."
LATE_RESULT = "{} has finished meanwhile, with this result: {} Tell the caller when it fits."
ENTERED = "{} has finished, with this result: {}"
NO_RANGE = "min_digits and max_digits must be whole numbers in order, from {} to {}."
LOST_ENTRY = (
    "The line broke off. It is not known whether this was done, and the number is lost:"
    " ask before you call it again."
)
LONGEST_ARGUMENTS = 64_000  # characters
_DEEPEST = 32  # levels of objects and lists in arguments
_CONFIRMED = re.compile("confirmed|^confirm$", re.IGNORECASE)
_CLAIM = re.compile(r'"(?:\w*confirmed|confirm)"\s*:', re.IGNORECASE)
"""A property of a schema by which a call claims a confirmation."""
_YES = frozenset({"true", "1"})  # what tools read as true (`agent.tools.tool`)
_MINTED = re.compile(r"tool([0-9]{5})")

_Key = tuple[str, str]  # a tool and its canonical arguments, empty if not a JSON object


@dataclass(slots=True)
class _Run:
    spec: ToolSpec
    positions: list[int]
    awaited: set[int]
    start: RunTool
    collector: Collector | None = None
    """The caller has not entered the digits yet, so it has not begun."""
    latest: int = -1  # position of the last call with side effects before it


class ToolCalls:
    """The tool runs of one call; adds facts to the history it is given."""

    def __init__(self, history: History, specs: Mapping[str, ToolSpec]) -> None:
        self._history = history
        self.specs = specs
        self.runs: dict[str, _Run] = {}
        ids = (_MINTED.fullmatch(used.call.id) for _, used in history.tool_runs())
        self._minted = max((int(minted[1]) for minted in ids if minted), default=0)
        self._latest = -1  # position of the last call with side effects
        self._done: dict[_Key, str] = {}  # the last forgotten run that had an effect
        self.has_news = False
        """A result came that no turn waited for, and the model was not asked since."""
        self._collecting: _Run | None = None
        for position, used in history.tool_runs():
            self._note(position, used)

    def remember(self, forgotten: Iterable[Fact]) -> None:
        for used in forgotten:
            if isinstance(used, ToolUsed) and used.result and self.is_effect(used):
                self._done = {_key(used.call): used.result.content}

    @property
    def is_awaited(self) -> bool:
        return any(run.awaited for run in self.runs.values())

    @property
    def is_under_way(self) -> bool:
        """Whether a turn waits for a tool that has begun."""
        return any(run.awaited for run in self.runs.values() if run is not self._collecting)

    @property
    def collector(self) -> Collector | None:
        """What the caller is to enter for a tool that waits."""
        return self._collecting.collector if self._collecting else None

    @property
    def collecting(self) -> str:
        """The identifier of the tool call that waits for digits; empty = none."""
        return self._collecting.start.call.id if self._collecting else ""

    @property
    def collecting_tool(self) -> str:
        return self._collecting.spec.name if self._collecting else ""

    def is_running(self, call_id: str) -> bool:
        return call_id in self.runs and call_id != self.collecting

    def begin_collecting(self, entry: Entry) -> list[Action]:
        """Run the tool that waits for this entry; nothing if it is not offered any more."""
        if (run := self._collecting) is None or run.spec.name not in self.specs:
            return []
        self._collecting = None
        return [replace(run.start, entry=entry)]

    def end_collecting(self, why: str) -> list[Action]:
        """Answer the tool call that waits for digits; nothing if there is none."""
        if (run := self.forget_collecting()) is None:
            return []
        if self._latest in run.positions:
            self._latest = run.latest
        answered = self._complete(run.positions, error_content(why), is_error=True)
        return [*answered, *(self._tell(run, error_content(why)) if why == NOT_VALID else [])]

    def forget_collecting(self) -> _Run | None:
        """The line is lost: the call stays open, to be taken up by `resume`."""
        run, self._collecting = self._collecting, None
        return self.runs.pop(run.start.call.id) if run else None

    @property
    def filler(self) -> str:
        return next((run.spec.filler for run in self.runs.values() if run.awaited), "")

    def accept(
        self,
        reply: int,
        calls: Iterable[ToolCall],
        exchange: Exchange,
    ) -> list[Action]:
        """Run, join or answer the calls of a reply that was asked for after this exchange."""
        actions: list[Action] = []
        for call in calls:
            self._minted += 1
            name, arguments = safe_name(call.name), call.arguments or "{}"
            accepted = ToolCall(f"tool{self._minted:05d}", name, arguments)
            actions += self._accept(reply, accepted, exchange)
        return sorted(actions, key=lambda action: isinstance(action, RunTool))

    def resume(self) -> list[Action]:
        """Go on after a lost connection; what is not awaited and has no side effect is cancelled.

        The rest runs again under its old identifier (`agent.tools.idempotency`).
        """
        open_runs = [run for run in self._history.tool_runs() if run[1].result is None]
        facts = list(enumerate(self._history, self._history.first))
        turn = next((at for at, fact in reversed(facts) if isinstance(fact, CallerSaid)), -1)
        actions = list[Action]()
        twins: dict[_Key, _Run] = {}
        for position, used in open_runs:
            actions += self._resume(position, used, twins, is_awaited=position > turn)
        return actions

    def finish(self, call_id: str, outcome: ToolOutcome) -> tuple[list[Action], str]:
        """The completed facts, and a note of the result; empty if a turn has waited for it."""
        run = self.runs.pop(call_id)
        records = self._complete(run.positions, outcome.content, is_error=outcome.is_error)
        records += self._tell(run, outcome.content) if run.awaited else []
        self.has_news = self.has_news or not run.awaited
        late = LATE_RESULT.format(run.spec.name, outcome.content)
        return records, "" if run.awaited else late

    def leave(self, *, is_entering: bool = False) -> list[Action]:
        """The caller moves on: cancel what has no side effect; no turn waits for the rest.

        `is_entering`: the tool that waits for digits goes on waiting.
        """
        actions = [] if is_entering else self.end_collecting(NOT_ENTERED)
        for call_id, run in list(self.runs.items()):
            if run is self._collecting:
                continue
            run.awaited.clear()
            if run.spec.side_effect is SideEffect.NONE:
                del self.runs[call_id]
                actions.append(CancelTool(call_id))
                actions += self._complete(run.positions, error_content(CANCELLED), is_error=True)
        return actions

    def _accept(  # noqa: C901 (one branch for each rule)
        self, reply: int, call: ToolCall, exchange: Exchange
    ) -> list[Action]:
        spec, key = self.specs.get(call.name), _key(call)
        if not key[1]:
            empty = ToolCall(call.id, call.name, "{}")
            return self._refuse(reply, empty, NOT_AN_OBJECT)
        if spec is None:
            fault = f"There is no tool {call.name}. Tools: {', '.join(self.specs) or 'none'}."
            return self._refuse(reply, call, fault)
        needs_confirmation = _needs_confirmation(spec, key[1])
        if spec.side_effect is SideEffect.NONE and not needs_confirmation:
            return self._start(reply, call, spec)
        if self._latest < self._history.first:
            if key in self._done:
                return self._append(reply, call, self._done[key])
        elif _key((last := self._history.fact(self._latest, ToolUsed)).call) == key:
            if last.result is None:
                return self._join(reply, call, self._latest)
            if not last.result.is_error:
                return self._append(reply, call, last.result.content)
        if needs_confirmation and (fault := fault_of(spec, call, exchange, self._confirmed)):
            return self._refuse(reply, call, fault)
        if spec.side_effect is SideEffect.ONCE and not exchange.is_heard_out:
            return self._refuse(reply, call, NOT_HEARD)
        return self._start(reply, call, spec)

    def _start(self, reply: int, call: ToolCall, spec: ToolSpec) -> list[Action]:
        if spec.collects is not None:
            if self._collecting is not None:
                return self._refuse(reply, call, NOT_NOW)
            if _collector(spec, call) is None:
                low, high = spec.collects.min_digits, spec.collects.max_digits
                return self._refuse(reply, call, NO_RANGE.format(low, high))
        position = len(self._history)
        record = self._append(reply, call)
        return [*record, *self._run(position, call, spec, is_awaited=True)]

    def _run(
        self, position: int, call: ToolCall, spec: ToolSpec, *, is_awaited: bool
    ) -> list[Action]:
        start = RunTool(call, is_lasting=spec.side_effect is not SideEffect.NONE)
        run = _Run(spec, [position], {position} if is_awaited else set(), start)
        self.runs[call.id] = run
        run.collector = _collector(spec, call)
        if run.collector is None:
            return [start]
        before = (
            at for at, one in self._history.tool_runs() if at < position and self.is_effect(one)
        )
        self._collecting, run.latest = run, max(before, default=-1)
        return []

    def is_effect(self, used: ToolUsed) -> bool:
        """Whether a call may have changed something; not one that was refused or has failed."""
        spec, result = self.specs.get(used.call.name), used.result
        is_lasting = spec is None or spec.side_effect is not SideEffect.NONE
        return is_lasting and not (result is not None and result.is_error)

    def _resume(
        self, position: int, used: ToolUsed, twins: dict[_Key, _Run], *, is_awaited: bool
    ) -> list[Action]:
        """Run a call again, or let it wait for one of the `twins`: equal calls that run."""
        spec, call = self.specs.get(used.call.name), used.call
        is_lasting = spec is not None and spec.side_effect is not SideEffect.NONE
        if spec is not None and spec.collects is not None:
            return self._resume_collecting(position, used, spec)
        if spec is None or not (is_awaited or is_lasting):
            return self._complete([position], error_content(CANCELLED), is_error=True)
        twin = twins.get(_key(call)) if is_lasting else None
        if twin is None:
            start = self._run(position, call, spec, is_awaited=is_awaited)
            twins[_key(call)] = self.runs[call.id]
            return start
        twin.positions.append(position)
        twin.awaited |= {position} if is_awaited else set()
        return []

    def _resume_collecting(self, position: int, used: ToolUsed, spec: ToolSpec) -> list[Action]:
        """Ask the caller again, unless the model has gone on since."""
        later = self._history.between(position + 1, len(self._history))
        has_gone_on = any(
            (isinstance(fact, ToolUsed) and fact.reply != used.reply)
            or (isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL)
            for fact in later
        )
        if has_gone_on or self._collecting or _collector(spec, used.call) is None:
            return self._complete([position], error_content(LOST_ENTRY), is_error=True)
        return self._run(position, used.call, spec, is_awaited=True)

    def _append(
        self, reply: int, call: ToolCall, content: str | None = None, *, is_error: bool = False
    ) -> list[Action]:
        result = None if content is None else ToolResult(call.id, content, is_error)
        used = ToolUsed(reply, call, result)
        position = self._history.append(used)
        self._note(position, used)
        return [Record(position, used)]

    def _note(self, position: int, used: ToolUsed) -> None:
        if self.is_effect(used):
            self._latest = position

    @property
    def _confirmed(self) -> list[tuple[int, ToolUsed]]:
        """The calls so far that needed a confirmation, with their positions."""
        specs, needs = self.specs, _needs_confirmation
        runs = ((at, run, specs.get(run.call.name)) for at, run in self._history.tool_runs())
        return [(at, run) for at, run, spec in runs if spec and needs(spec, run.call.arguments)]

    def _join(self, reply: int, call: ToolCall, other: int) -> list[Action]:
        position = len(self._history)
        run = next(run for run in self.runs.values() if other in run.positions)
        run.positions.append(position)
        run.awaited.add(position)
        return self._append(reply, call)

    def _refuse(self, reply: int, call: ToolCall, fault: str) -> list[Action]:
        return self._append(reply, call, error_content(fault), is_error=True)

    def _tell(self, run: _Run, content: str) -> list[Action]:
        """The caller's entry follows the call, so the model reads the result once more after it."""
        if run.collector is None:
            return []
        note = Note(ENTERED.format(run.spec.name, content))
        return [Record(self._history.append(note), note)]

    def _complete(self, positions: list[int], content: str, *, is_error: bool) -> list[Action]:
        for at in positions:
            call = self._history.fact(at, ToolUsed).call
            self._history.complete_tool(at, ToolResult(call.id, content, is_error))
        return [Record(at, self._history[at]) for at in positions]


@lru_cache(maxsize=64)
def canonical(arguments: str) -> str | None:
    """The arguments in one form for all equal ones; None if they are not a JSON object.

    `NaN`, numbers beyond a float and deep nesting are none: servers refuse them.
    """
    if len(arguments) > LONGEST_ARGUMENTS:
        return None
    try:
        value = json.loads(arguments)
        if not isinstance(value, dict) or _is_deep(value):
            return None
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (ValueError, RecursionError):
        return None


def _is_deep(value: object, levels: int = _DEEPEST) -> bool:
    if levels == 0:
        return True
    inner = list(value.values()) if isinstance(value, dict) else value
    return isinstance(inner, list) and any(_is_deep(each, levels - 1) for each in inner)


def _collector(spec: ToolSpec, call: ToolCall) -> Collector | None:
    """The rules for this call; None if it has none, or asks for others than it may."""
    try:
        return spec.collects.narrowed(call.arguments) if spec.collects else None
    except ValueError:
        return None


def _needs_confirmation(spec: ToolSpec, arguments: str) -> bool:
    """Also of a call that claims one; a tool that can be called without it only prepares then."""
    has_claim = _CLAIM.search(spec.parameters) is not None
    return claims_confirmation(arguments) or (spec.needs_heard_confirmation and not has_claim)


def claims_confirmation(arguments: str) -> bool:
    """Whether an argument such as `confirmed` is true."""
    text = canonical(arguments) or "{}"
    if "confirm" not in text.casefold():
        return False
    claims = (value for name, value in json.loads(text).items() if _CONFIRMED.search(name))
    return any(str(value).casefold() in _YES for value in claims)


def error_content(message: str) -> str:
    """A tool result with an error for the model."""
    return json.dumps({"error": message}, ensure_ascii=False)


def _key(call: ToolCall) -> _Key:
    return call.name, canonical(call.arguments) or ""


def safe_name(name: str) -> str:
    """A name that every provider accepts, also for a tool the model made up."""
    return tool_name_of(name)[:64] or "unknown"
