"""The call as facts, and what a model may read of it.

A fact says what happened: the caller said this, the agent said that and so much of it was heard,
this tool ran and answered so. Facts are only appended, or completed: speech in progress grows, is
cut at most once to what was heard; a tool run is given its result at most once. They are never
removed and never change their place, so a position is an identity and writing a fact twice is
harmless.

What a model reads is computed from the facts each time (`History.messages`). This is the only
place that knows the rules all providers share (practice section 8): the first and the last message
are the caller's, roles alternate, no part is blank, each tool call is answered exactly once in the
next message, before any words. Rejected: keeping the list of messages itself and repairing it on
interrupts. Each race then needs its own repair, and one that is forgotten makes every later
request of the call fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby

from agent.conversation.messages import Message, Part, Role, Text, ToolCall, ToolResult


class Voice(StrEnum):
    """On whose account the agent spoke."""

    GREETING = "greeting"
    MODEL = "model"
    SERVICE = "service"
    """A filler, an apology, a re-prompt: said without a model."""


class Means(StrEnum):
    """How the caller expressed something."""

    SPEECH = "speech"
    KEYPAD = "keypad"


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """Words of the caller, or keys."""

    text: str
    means: Means = Means.SPEECH


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """Words of the agent: those sent, or after a cut those heard."""

    text: str
    voice: Voice = Voice.MODEL
    is_cut: bool = False
    """The caller broke in; `text` is what was heard, perhaps nothing."""


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A tool call of a reply, and its result once there is one."""

    reply: int
    call: ToolCall
    result: ToolResult | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something the model should know that nobody said."""

    text: str


Fact = CallerSaid | AgentSaid | ToolUsed | Note


@dataclass(frozen=True, slots=True)
class CallerBegan:
    """The caller was heard to speak, and the words have not come yet.

    No fact of a history: it is recorded at the position of the next one, which takes its place.
    It stays there only if the line is lost before the words come, and then tells so.
    """


Recorded = Fact | CallerBegan

CALL_BEGINS = "[The call begins.]"
CALLER_WAITS = "[The caller is waiting for you to speak.]"
KEYS_PRESSED = "[The caller pressed on the keypad: {}]"
CUT_OFF = "[The caller interrupted you there and did not hear more.]"
STILL_RUNNING = '{"status":"running","message":"Still running. The result will follow in a note."}'


class History:
    """The facts of one call, in the order of generation."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._facts: list[Fact] = list(facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __getitem__(self, position: int) -> Fact:
        return self._facts[position]

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def append(self, fact: Fact) -> int:
        """Add a fact; returns its position, from 0."""
        self._facts.append(fact)
        return len(self._facts) - 1

    def speech(self, position: int) -> AgentSaid:
        """The speech at this position; a ValueError if something else is there."""
        said = self._facts[position]
        if not isinstance(said, AgentSaid):
            raise ValueError(f"fact {position} is not speech")  # noqa: TRY004 (a wrong position)
        return said

    def tool_run(self, position: int) -> ToolUsed:
        """The tool run at this position; a ValueError if something else is there."""
        used = self._facts[position]
        if not isinstance(used, ToolUsed):
            raise ValueError(f"fact {position} is not a tool run")  # noqa: TRY004 (likewise)
        return used

    def extend_speech(self, position: int, text: str) -> None:
        """Add words to speech in progress; it must not have been cut."""
        said = self._uncut(position)
        self._facts[position] = replace(said, text=said.text + text)

    def cut_speech(self, position: int, heard: str) -> None:
        """Cut speech to what was heard, once."""
        self._facts[position] = replace(self._uncut(position), text=heard, is_cut=True)

    def complete_tool(self, position: int, result: ToolResult) -> None:
        """Give a tool run its result, once."""
        used = self.tool_run(position)
        if used.result is not None:
            raise ValueError(f"fact {position} awaits no result")
        self._facts[position] = replace(used, result=result)

    def _uncut(self, position: int) -> AgentSaid:
        said = self.speech(position)
        if said.is_cut:
            raise ValueError(f"fact {position} was cut")
        return said

    def messages(self, limit: int) -> tuple[Message, ...]:
        """What a model reads: the latest whole turns within `limit` characters, at least one turn.

        Begins and ends with the caller; the other rules are in the header.
        """
        projection = _Projection()
        for _, group in groupby(self._facts[self._start(limit) :], key=_grouping):
            projection.add(list(group))
        return projection.finish()

    def _start(self, limit: int) -> int:
        """The position of the turn border from which on the facts fit into `limit` characters."""
        start, size = 0, 0
        for position in range(len(self._facts) - 1, -1, -1):
            size += _size(self._facts[position])
            if size > limit and start:
                return start
            if self._is_turn_border(position):
                start = position
        return 0 if size <= limit else start

    def _is_turn_border(self, position: int) -> bool:
        """Here the caller takes the floor: a request may begin with this fact."""
        return isinstance(self._facts[position], CallerSaid) and not (
            position > 0 and isinstance(self._facts[position - 1], CallerSaid)
        )


class _Projection:
    """Facts → messages; merges neighbours of one role."""

    def __init__(self) -> None:
        self._messages: list[tuple[Role, list[Part]]] = []
        self._cut_off = False

    def add(self, facts: list[Fact]) -> None:
        """Add one fact, or all tool runs of one reply."""
        match facts[0]:
            case CallerSaid(text, means):
                self._caller(KEYS_PRESSED.format(text) if means is Means.KEYPAD else text)
            case Note(text):
                self._caller(f"[{text}]")
            case AgentSaid(text, _, is_cut):
                self._put(Role.AGENT, Text(text))
                self._cut_off = self._cut_off or is_cut
            case _:  # by now the tool runs of one reply
                used = [fact for fact in facts if isinstance(fact, ToolUsed)]
                for fact in used:
                    self._put(Role.AGENT, fact.call)
                for fact in used:
                    self._put(Role.CALLER, _result(fact))

    def finish(self) -> tuple[Message, ...]:
        """All messages, begun and ended by the caller."""
        if not self._messages or self._messages[0][0] is Role.AGENT:
            self._messages.insert(0, (Role.CALLER, [Text(CALL_BEGINS)]))
        if self._messages[-1][0] is Role.AGENT:
            self._caller(CALLER_WAITS)
        return tuple(Message(role, tuple(parts)) for role, parts in self._messages)

    def _caller(self, text: str) -> None:
        if self._cut_off:
            self._cut_off = False
            self._put(Role.CALLER, Text(CUT_OFF))
        self._put(Role.CALLER, Text(text))

    def _put(self, role: Role, part: Part) -> None:
        if isinstance(part, Text):
            part = Text(part.text.strip())
            if not part.text:
                return
        if not self._messages or self._messages[-1][0] is not role:
            self._messages.append((role, [part]))
            return
        parts = self._messages[-1][1]
        if isinstance(part, Text) and isinstance(parts[-1], Text):
            parts[-1] = Text(f"{parts[-1].text} {part.text}")
        else:
            parts.append(part)


def _grouping(fact: Fact) -> object:
    """Tool runs of one reply belong together; every other fact stands alone."""
    return ("reply", fact.reply) if isinstance(fact, ToolUsed) else id(fact)


def _result(used: ToolUsed) -> ToolResult:
    return used.result or ToolResult(used.call.id, STILL_RUNNING)


def _size(fact: Fact) -> int:
    match fact:
        case CallerSaid(text) | AgentSaid(text) | Note(text):
            return len(text)
        case _:  # by now a ToolUsed; mypy complains here of any fact added and forgotten
            return len(fact.call.arguments) + len(fact.result.content if fact.result else "")
