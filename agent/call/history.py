"""The call as facts, and what a model may read of it.

A fact says what happened: the caller said this, the agent said that and so much of it was heard,
this tool ran and answered so. Facts are only appended, or completed: speech in progress grows, is
cut at most once to what was heard; a tool run is given its result at most once; the caller's last
words may be heard anew as long as nothing follows them. Facts never change their place, so a
position is an identity and writing a fact twice is harmless.

One kind of fact is about others: a summary, of everything before a turn border. From when it is
appended a model reads it in their place, and they may be forgotten (`History.forget`): the table
has them, and positions stay what they were. See `agent.call.summarization`.

What a model reads is computed from the facts each time (`History.messages`). This is the only
place that knows the rules all providers share (practice section 8): the first and the last message
are the caller's, roles alternate, no part is blank, each tool call is answered exactly once in the
next message, before any words. Rejected: keeping the list of messages itself and repairing it on
interrupts. Each race then needs its own repair, and one that is forgotten makes every later
request of the call fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import dropwhile, groupby, takewhile

from agent.call.messages import Message, Part, Role, Text, ToolCall, ToolResult
from agent.call.text import mend


class SpeechSource(StrEnum):
    """On whose account the agent spoke."""

    GREETING = "greeting"
    MODEL = "model"
    SERVICE = "service"
    """A filler, an apology, a re-prompt: said without a model."""


class InputMode(StrEnum):
    """How the caller expressed something."""

    SPEECH = "speech"
    KEYPAD = "keypad"


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """Words of the caller, or keys."""

    text: str
    means: InputMode = InputMode.SPEECH

    def __post_init__(self) -> None:
        mend(self, "text")


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """Words of the agent: those sent, or after a cut those heard."""

    text: str
    voice: SpeechSource = SpeechSource.MODEL
    is_cut: bool = False
    """The caller broke in; `text` is what was heard, perhaps nothing."""

    def __post_init__(self) -> None:
        mend(self, "text")


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

    def __post_init__(self) -> None:
        mend(self, "text")


@dataclass(frozen=True, slots=True)
class Summary:
    """All that was before a turn border, in short; the latest one is in force."""

    text: str
    """Not blank."""
    until: int
    """Position of the first fact that is not in it: a turn border before the summary's own place,
    not before that of an earlier summary."""

    def __post_init__(self) -> None:
        mend(self, "text")


Fact = CallerSaid | AgentSaid | ToolUsed | Note | Summary


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
SUMMARY = "[Summary of the call so far: {}]"
STILL_RUNNING = '{"status":"running","message":"Still running. The result will follow in a note."}'


class History:
    """The facts of one call, in the order of generation.

    Args:
        facts: Of the call so far, from position 0 on; see `append` for their summaries.
    """

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._facts: list[Fact] = []
        self._first = 0
        self._summary: Summary | None = None
        for fact in facts:
            self.append(fact)

    def __len__(self) -> int:
        """How many facts there have been, forgotten ones too: the next position."""
        return self._first + len(self._facts)

    def __getitem__(self, position: int) -> Fact:
        return self._facts[self._index(position)]

    def __iter__(self) -> Iterator[Fact]:
        """Those that are not forgotten."""
        return iter(self._facts)

    @property
    def first(self) -> int:
        """The position of the first fact that is not forgotten."""
        return self._first

    @property
    def begin(self) -> int:
        """The position from which on nothing is summarised."""
        return self._summary.until if self._summary else 0

    @property
    def summary(self) -> str:
        """What was before `begin`, in short; empty if that is the beginning."""
        return self._summary.text if self._summary else ""

    @property
    def last(self) -> Fact | None:
        """The last thing that happened."""
        happened = (fact for fact in reversed(self._facts) if not isinstance(fact, Summary))
        return next(happened, None)

    @property
    def last_said(self) -> CallerSaid | None:
        """The caller's words or keys, if they are the last fact."""
        last = self._facts[-1] if self._facts else None
        return last if isinstance(last, CallerSaid) else None

    @property
    def unanswered(self) -> str:
        """What the caller has said since anything else happened."""
        said = takewhile(lambda fact: isinstance(fact, CallerSaid), reversed(self._facts))
        return " ".join(reversed([fact.text for fact in said if isinstance(fact, CallerSaid)]))

    @property
    def asked(self) -> str:
        """What the agent had said when the caller began to say that."""
        before = dropwhile(lambda fact: isinstance(fact, CallerSaid), reversed(self._facts))
        said = takewhile(lambda fact: isinstance(fact, AgentSaid), before)
        return " ".join(reversed([fact.text for fact in said if isinstance(fact, AgentSaid)]))

    @property
    def is_answered(self) -> bool:
        """The caller's turn: the agent spoke last, with more than a sentence of the service."""
        happened = (
            fact
            for fact in reversed(self._facts)
            if not (isinstance(fact, Summary) or _is_of_service(fact))
        )
        return isinstance(next(happened, self.last), AgentSaid)

    @property
    def turns(self) -> list[int]:
        """The turn borders from `begin` on."""
        first, facts = self._first, self._facts
        return [at for at in range(self.begin, len(self)) if is_turn_border(facts, at - first)]

    @property
    def characters(self) -> int:
        """The size of what is not summarised."""
        return sum(map(_size, self.between(self.begin, len(self))))

    def answered_before(self, end: int, *, is_heard: bool = False) -> int | None:
        """The position of the model's words that the caller's last ones before `end` came after.

        None if there are none, or they were forgotten.

        Args:
            end: A position.
            is_heard: Leave out words that were cut off before anything of them was heard.
        """
        positions = range(end - 1, self._first - 1, -1)
        happened = ((at, self._facts[at - self._first]) for at in positions)
        for _, fact in happened:
            if isinstance(fact, CallerSaid):
                break
        words = (at for at, fact in happened if _is_of_model(fact))
        return next((at for at in words if not is_heard or self.speech(at).text.strip()), None)

    def between(self, start: int, end: int) -> list[Fact]:
        """The facts from one position to before another one; none of them may be forgotten."""
        return self._facts[start - self._first : end - self._first]

    def tool_runs(self) -> Iterator[tuple[int, ToolUsed]]:
        """Those that are not forgotten, each with its position."""
        for position, fact in enumerate(self._facts, self._first):
            if isinstance(fact, ToolUsed):
                yield position, fact

    def append(self, fact: Fact) -> int:
        """Add a fact; returns its position, from 0.

        A ValueError for a summary that reaches to no turn border, or less far than one before it.
        """
        if isinstance(fact, Summary):
            if not self._is_sound(fact):
                raise ValueError(f"fact {len(self)} is no summary until {fact.until}")
            self._summary = fact
        self._facts.append(fact)
        return len(self) - 1

    def forget(self) -> list[Fact]:
        """Keep nothing that is summarised; returns what is forgotten by that."""
        gone = self.between(self._first, self.begin)
        del self._facts[: len(gone)]
        self._first += len(gone)
        return gone

    def speech(self, position: int) -> AgentSaid:
        """The speech at this position; a ValueError if something else is there."""
        said = self[position]
        if not isinstance(said, AgentSaid):
            raise ValueError(f"fact {position} is not speech")  # noqa: TRY004 (a wrong position)
        return said

    def tool_run(self, position: int) -> ToolUsed:
        """The tool run at this position; a ValueError if something else is there."""
        used = self[position]
        if not isinstance(used, ToolUsed):
            raise ValueError(f"fact {position} is not a tool run")  # noqa: TRY004 (likewise)
        return used

    def extend_speech(self, position: int, text: str) -> None:
        """Add words to speech in progress; it must not have been cut."""
        said = self._uncut(position)
        self._facts[self._index(position)] = replace(said, text=said.text + text)

    def cut_speech(self, position: int, heard: str) -> None:
        """Cut speech to what was heard, once."""
        self._facts[self._index(position)] = replace(self._uncut(position), text=heard, is_cut=True)

    def rephrase(self, text: str) -> int:
        """The caller's last words were these; a ValueError if something followed them."""
        said = self.last_said
        if said is None:
            raise ValueError("the last fact is not the caller's words")
        self._facts[-1] = replace(said, text=text)
        return len(self) - 1

    def complete_tool(self, position: int, result: ToolResult) -> None:
        """Give a tool run its result, once."""
        used = self.tool_run(position)
        if used.result is not None:
            raise ValueError(f"fact {position} awaits no result")
        self._facts[self._index(position)] = replace(used, result=result)

    def _uncut(self, position: int) -> AgentSaid:
        said = self.speech(position)
        if said.is_cut:
            raise ValueError(f"fact {position} was cut")
        return said

    def messages(self, limit: int) -> tuple[Message, ...]:
        """What a model reads: the summary, if there is one, and the latest whole turns after it.

        Begins and ends with the caller; the other rules are in the header.

        Args:
            limit: Characters in all. The summary and the last turn are there at any rate.
        """
        projection = _Projection()
        if self._summary:
            projection.add([self._summary])
        kept = self.between(self._start(limit - len(self.summary)), len(self))
        happened = (fact for fact in kept if not isinstance(fact, Summary))
        for _, group in groupby(happened, key=_grouping):
            projection.add(list(group))
        return projection.finish()

    def _start(self, limit: int) -> int:
        """The position of the turn border from which on the facts fit into `limit` characters."""
        start, size = self.begin, 0
        for position in range(len(self) - 1, self.begin - 1, -1):
            size += _size(self._facts[position - self._first])
            if size > limit and start > self.begin:
                return start
            if is_turn_border(self._facts, position - self._first):
                start = position
        return self.begin if size <= limit else start

    def _is_sound(self, summary: Summary) -> bool:
        is_later = self.begin <= summary.until < len(self)
        return is_later and is_turn_border(self._facts, self._index(summary.until))

    def _index(self, position: int) -> int:
        if not self._first <= position < len(self):
            raise IndexError(f"fact {position} is not there")
        return position - self._first


def is_turn_border(facts: Sequence[Fact], at: int) -> bool:
    """Here the caller takes the floor: a request may begin with this fact."""
    return isinstance(facts[at], CallerSaid) and not (
        at > 0 and isinstance(facts[at - 1], CallerSaid)
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
                self._caller(KEYS_PRESSED.format(text) if means is InputMode.KEYPAD else text)
            case Note(text):
                self._caller(f"[{text}]")
            case Summary(text):
                self._caller(SUMMARY.format(text))
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
        return tuple(Message(role, _joined(parts)) for role, parts in self._messages)

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
        self._messages[-1][1].append(part)


def _joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts with texts that follow each other as one."""
    joined: list[Part] = []
    for is_text, group in groupby(parts, key=lambda part: isinstance(part, Text)):
        if is_text:
            joined.append(Text(" ".join(part.text for part in group if isinstance(part, Text))))
        else:
            joined.extend(group)
    return tuple(joined)


def _grouping(fact: Fact) -> object:
    """Tool runs of one reply belong together; every other fact stands alone."""
    return ("reply", fact.reply) if isinstance(fact, ToolUsed) else id(fact)


def _result(used: ToolUsed) -> ToolResult:
    return used.result or ToolResult(used.call.id, STILL_RUNNING)


def _size(fact: Fact) -> int:
    match fact:
        case CallerSaid(text) | AgentSaid(text) | Note(text):
            return len(text)
        case Summary():
            return 0  # it is read once, before all else
        case _:  # by now a ToolUsed; mypy complains here of any fact added and forgotten
            return len(fact.call.arguments) + len(fact.result.content if fact.result else "")


def _is_of_service(fact: Fact) -> bool:
    return isinstance(fact, AgentSaid) and fact.voice is SpeechSource.SERVICE


def _is_of_model(fact: Fact) -> bool:
    return isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL
