"""The call as facts, and what a model may read of it.

Facts are only appended, or completed: speech is extended, and cut at most once; a tool run gets its
result once; the caller's last words may be replaced while nothing follows them. A position is
an identity, so storing a fact twice is harmless. A summary stands for all facts before a turn
border, which may then be forgotten: the table keeps them, and positions stay the same.

`History.messages` knows the rules that all providers share: the first and the last message are the
caller's, roles alternate, no part is blank, each tool call is answered exactly once in the next
message, before any words. Rejected: to keep the list of messages and repair it on barge-ins, where
one forgotten repair makes every later request fail. The messages of facts that have not changed are
kept, and are the same objects in the next request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile, takewhile
from typing import TypeVar

from agent.call.messages import SPEAKS, Message, Part, Role, Text, ToolCall, ToolResult
from agent.call.text import WholeText


class SpeechSource(StrEnum):
    """Where words of the agent come from."""

    GREETING = "greeting"
    MODEL = "model"
    SERVICE = "service"
    """A sentence of the use case: an apology, a re-prompt, a goodbye."""
    OPERATOR = "operator"
    FILLER = "filler"
    """No model reads these."""


class InputMode(StrEnum):
    """How the caller has answered."""

    SPEECH = "speech"
    KEYPAD = "keypad"


@dataclass(frozen=True, slots=True)
class CallerSaid(WholeText):
    """Words of the caller, or keys with spaces between."""

    text: str
    means: InputMode = InputMode.SPEECH
    language: str = ""  # BCP 47, which the call changes to with these words


@dataclass(frozen=True, slots=True)
class AgentSaid(WholeText):
    """Words of the agent: those sent, or after a cut those heard, perhaps none."""

    text: str
    voice: SpeechSource = SpeechSource.MODEL
    is_cut: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether these are words of the model, the greeting or an operator."""
        return self.voice not in {SpeechSource.SERVICE, SpeechSource.FILLER}


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A tool call of a reply, and its result when there is one."""

    reply: int
    call: ToolCall
    result: ToolResult | None = None


@dataclass(frozen=True, slots=True)
class Note(WholeText):
    """Something the model should know that was not said."""

    text: str


@dataclass(frozen=True, slots=True)
class Summary(WholeText):
    """A summary of everything before a turn border; the latest one counts."""

    text: str
    until: int
    """Position of the first fact after it: a turn border, not before that of an earlier summary."""
    facts: str = ""
    """What must stay word for word, a fact on each line; see `agent.call.facts_block`."""

    @property
    def block(self) -> str:
        return SUMMARY.format(self.text) + (NOTED.format(self.facts) if self.facts else "")


Fact = CallerSaid | AgentSaid | ToolUsed | Note | Summary
_F = TypeVar("_F", AgentSaid, ToolUsed)


@dataclass(frozen=True, slots=True)
class CallerBegan:
    """The caller has begun to speak: at the place of the next fact, which replaces it."""


Recorded = Fact | CallerBegan

CALL_BEGINS = "[The call begins.]"
_BEGINNING = Message(Role.CALLER, (Text(CALL_BEGINS),))
CALLER_WAITS = "[The caller is waiting for you to speak.]"
KEYS_PRESSED = "[The caller pressed on the keypad: {}]"
CUT_OFF = "[The caller interrupted you there and did not hear more.]"
_WAITING = (
    (Message(Role.CALLER, (Text(CALLER_WAITS),)),),
    (Message(Role.CALLER, (Text(f"{CUT_OFF} {CALLER_WAITS}"),)),),
)
"""What follows the agent's last words; the second after words that were cut off."""
SUMMARY = "[Summary of the call so far: {}]"
NOTED = " [Noted word for word, later lines correct earlier ones:\n{}]"
STILL_RUNNING = '{"status":"running","message":"Still running. The result will follow in a note."}'


class History:
    """The facts of one call; `facts` are those so far, from position 0 on."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._facts: list[Fact] = []
        self.first = 0  # that is not forgotten
        self.summary = Summary("", 0)  # the one in force
        self.turns: list[int] = []
        """Turn borders that are not summarized; like `characters` kept, as each turn asks."""
        self.characters = 0  # of the same facts
        self._projection = _Projection(0, self.summary)
        for fact in facts:
            self.append(fact)

    def __len__(self) -> int:
        return self.first + len(self._facts)

    def __getitem__(self, position: int) -> Fact:
        return self._facts[self._index(position)]

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    @property
    def last_said(self) -> CallerSaid | None:
        last = self._facts[-1] if self._facts else None
        return last if isinstance(last, CallerSaid) else None

    def unanswered(self, since: int, means: Set[InputMode] = frozenset(InputMode)) -> str:
        """What the caller has said since this position, and since the agent's last words."""
        latest = self._facts[max(0, since - self.first) :]
        said = takewhile(lambda fact: isinstance(fact, CallerSaid), reversed(latest))
        words = (one for one in said if isinstance(one, CallerSaid) and one.means in means)
        return " ".join(reversed([fact.text for fact in words]))

    @property
    def asked(self) -> str:
        """What the agent had said when the caller began with these words."""
        before = dropwhile(lambda fact: isinstance(fact, CallerSaid), reversed(self._facts))
        said = takewhile(lambda fact: isinstance(fact, AgentSaid), before)
        return " ".join(reversed([fact.text for fact in said if isinstance(fact, AgentSaid)]))

    @property
    def question(self) -> str:
        """The agent's last words that are no sentence of the service's own."""
        said = (fact for fact in reversed(self._facts) if isinstance(fact, AgentSaid))
        return next((each.text for each in said if each.is_answer), "")

    @property
    def is_answered(self) -> bool:
        latest: Fact | None = None
        for fact in reversed(self._facts):
            if not isinstance(fact, Summary):
                if not (isinstance(fact, AgentSaid) and not fact.is_answer):
                    return isinstance(fact, AgentSaid)
                latest = latest or fact
        return latest is not None

    def answered_before(self, end: int) -> int | None:
        """The model's words that the caller's last ones before `end` answer; None if forgotten."""
        positions = range(end - 1, self.first - 1, -1)
        happened = ((at, self._facts[at - self.first]) for at in positions)
        for _, fact in happened:
            if isinstance(fact, CallerSaid):
                break
        said = ((at, fact) for at, fact in happened if isinstance(fact, AgentSaid))
        return next((at for at, fact in said if fact.voice is SpeechSource.MODEL), None)

    def between(self, start: int, end: int) -> list[Fact]:
        return self._facts[start - self.first : end - self.first]

    def tool_runs(self) -> Iterator[tuple[int, ToolUsed]]:
        numbered = enumerate(self._facts, self.first)
        return ((position, fact) for position, fact in numbered if isinstance(fact, ToolUsed))

    def append(self, fact: Fact) -> int:
        """Add a fact; ValueError for a summary that ends at no turn border, or too early."""
        if isinstance(fact, Summary):
            is_later = self.summary.until <= fact.until < len(self)
            if not is_later or not is_turn_border(self._facts, self._index(fact.until)):
                raise ValueError(f"fact {len(self)} is no summary until {fact.until}")
            self.summary = fact
            self.turns = [at for at in self.turns if at >= fact.until]
            self.characters = sum(map(_size, self.between(fact.until, len(self))))
        self._facts.append(fact)
        self.characters += _size(fact)
        position = len(self) - 1
        if is_turn_border(self._facts, position - self.first):
            self.turns.append(position)
        return position

    def forget(self) -> list[Fact]:
        gone = self.between(self.first, self.summary.until)
        del self._facts[: len(gone)]
        self.first += len(gone)
        return gone

    def fact(self, position: int, kind: type[_F]) -> _F:
        """The fact at this position; ValueError if it is of another kind."""
        fact = self[position]
        if not isinstance(fact, kind):
            raise ValueError(f"fact {position} is no {kind.__name__}")  # noqa: TRY004 (a wrong position)
        return fact

    def extend_speech(self, position: int, text: str) -> None:
        said = self._uncut(position)
        self._replace(position, AgentSaid(said.text + text, said.voice))

    def cut_speech(self, position: int, heard: str) -> None:
        self._replace(position, AgentSaid(heard, self._uncut(position).voice, is_cut=True))

    def rephrase(self, text: str, language: str = "") -> int:
        said = self.last_said
        if said is None:
            raise ValueError("the last fact is not the caller's words")
        self._replace(len(self) - 1, CallerSaid(text, said.means, language or said.language))
        return len(self) - 1

    def complete_tool(self, position: int, result: ToolResult) -> None:
        used = self.fact(position, ToolUsed)
        if used.result is not None:
            raise ValueError(f"fact {position} awaits no result")
        self._replace(position, ToolUsed(used.reply, used.call, result))

    def _replace(self, position: int, fact: Fact) -> None:
        index = self._index(position)
        if position >= self.summary.until:
            self.characters += _size(fact) - _size(self._facts[index])
        self._facts[index] = fact
        self._projection.forget(position)

    def _uncut(self, position: int) -> AgentSaid:
        said = self.fact(position, AgentSaid)
        if said.is_cut:
            raise ValueError(f"fact {position} was cut")
        return said

    def messages(self, limit: int) -> tuple[Message, ...]:
        """The summary, and the latest whole turns that fit into `limit`; at least the last."""
        start = self._start(limit - len(self.summary.text) - len(self.summary.facts))
        if not self._projection.begins_with(start, self.summary):
            self._projection = _Projection(start, self.summary)
        return self._projection.extended(self.between(self._projection.next, len(self)))

    def _start(self, limit: int) -> int:
        if self.characters <= limit:
            return self.summary.until
        start, size = self.summary.until, 0
        for position in range(len(self) - 1, self.summary.until - 1, -1):
            size += _size(self._facts[position - self.first])
            if size > limit and start > self.summary.until:
                return start
            if is_turn_border(self._facts, position - self.first):
                start = position
        return start

    def _index(self, position: int) -> int:
        if not self.first <= position < len(self):
            raise IndexError(f"fact {position} is not there")
        return position - self.first


def is_turn_border(facts: Sequence[Fact], at: int) -> bool:
    """Whether a turn of the caller begins here, so that a request may begin with this fact."""
    is_first = at == 0 or not isinstance(facts[at - 1], CallerSaid)
    return is_first and isinstance(facts[at], CallerSaid)


class _Projection:
    """The messages of the facts from `start` on, after the summary; facts are only added."""

    def __init__(self, start: int, summary: Summary) -> None:
        self.next = start  # position of the first fact that is not in it
        self._start = start
        self._summary = summary
        self._latest: tuple[Message, ...] = ()  # as asked for last: used again where equal
        self._begin()

    def _begin(self) -> None:
        self.next = self._start
        self._settled: list[Message] = []
        self._messages: list[tuple[Role, list[Part]]] = []
        """Those after the settled ones; the last two may still grow."""
        self._cut_off = False
        self._reply: int | None = None  # of the tool run before
        if self._summary.text:
            self._add(self._summary)

    def begins_with(self, start: int, summary: Summary) -> bool:
        return start == self._start and summary is self._summary

    def forget(self, position: int) -> None:
        """The fact at this position has changed."""
        if position < self.next:
            self._begin()

    def extended(self, facts: Sequence[Fact]) -> tuple[Message, ...]:
        """The messages with these facts, the next ones, added."""
        for fact in facts:
            if not isinstance(fact, Summary):
                self._add(fact)
        self.next += len(facts)
        return self._finish()

    def _add(self, fact: Fact) -> None:
        before, self._reply = self._reply, fact.reply if isinstance(fact, ToolUsed) else None
        match fact:
            case CallerSaid(text, means, language):
                self._caller(SPEAKS.format(language) if language else "")
                self._caller(KEYS_PRESSED.format(text) if means is InputMode.KEYPAD else text)
            case Note(text):
                self._caller(f"[{text}]")
            case Summary():
                self._caller(fact.block)
            case AgentSaid(_, SpeechSource.FILLER):
                pass  # a model that reads fillers learns to say nothing else
            case AgentSaid(text, _, is_cut):
                self._put(Role.AGENT, Text(text))
                self._cut_off = self._cut_off or is_cut
            case _:  # a ToolUsed
                if fact.reply == before:  # the calls of one reply are one message
                    self._messages[-2][1].append(fact.call)
                else:
                    self._put(Role.AGENT, fact.call)
                self._put(Role.CALLER, fact.result or ToolResult(fact.call.id, STILL_RUNNING))

    def _finish(self) -> tuple[Message, ...]:
        first = self._settled[0].role if self._settled else None
        first = first or (self._messages[0][0] if self._messages else Role.AGENT)
        before = [_BEGINNING] if first is Role.AGENT else []
        settled = len(before) + len(self._settled)
        written = [
            self._message(at, role, tuple(parts))
            for at, (role, parts) in enumerate(self._messages, settled)
        ]
        last = written[-1] if written else _BEGINNING
        after = _WAITING[self._cut_off] if last.role is Role.AGENT else ()
        self._latest = (*before, *self._settled, *written, *after)
        self._settled += written[:-2]
        del self._messages[:-2]
        return self._latest

    def _message(self, at: int, role: Role, parts: tuple[Part, ...]) -> Message:
        known, message = self._latest[at : at + 1], Message(role, parts)
        return known[0] if known == (message,) else message

    def _caller(self, text: str) -> None:
        if self._cut_off:
            self._cut_off = False
            self._put(Role.CALLER, Text(CUT_OFF))
        self._put(Role.CALLER, Text(text))

    def _put(self, role: Role, part: Part) -> None:
        if isinstance(part, Text) and not (part := Text(part.text.strip())).text:
            return
        if not self._messages or self._messages[-1][0] is not role:
            self._messages.append((role, []))
        parts = self._messages[-1][1]
        if isinstance(part, Text) and parts and isinstance(last := parts[-1], Text):
            parts[-1] = Text(f"{last.text} {part.text}")
        else:
            parts.append(part)


def _size(fact: Fact) -> int:
    match fact:
        case CallerSaid(text) | AgentSaid(text) | Note(text):
            return len(text)
        case Summary():
            return 0  # it is counted by itself
        case _:  # a ToolUsed; mypy reports any fact that was added and forgotten here
            return len(fact.call.arguments) + len(fact.result.content if fact.result else "")
