"""The replies of the model: the latest one, what of it is withheld, and the one asked ahead."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from agent.call.actions import Action, CancelReply, StartReply
from agent.call.events import Event, ReplyDelta, ReplyEvent, ReplyFailed, ReplyFinished
from agent.call.history import History
from agent.call.messages import Choice, ForcedTool, StopReason, ToolCall, ToolChoice
from agent.call.sentence_chunker import SentenceChunker
from agent.call.speculation import Speculation
from agent.call.speech_guard import GuardRules, SpeechGuard
from agent.call.timers import Timer, TimerSet

TOOL_FIRST = "What you wrote was not heard. Call the tool {} now, and write nothing before it."
CALL_AS_TEXT = (
    "You wrote a tool call as text. It was not run and not heard. Call the tool as a tool,"
    " or answer in words."
)


class Then(Enum):
    """What follows a step of a turn."""

    AWAIT = auto()
    END_TURN = auto()
    GIVE_UP = auto()
    """The model has failed for good; the caller does not know it yet."""


TurnDecision = tuple[list[Action], Then]


@dataclass(slots=True)
class Reply:
    """The latest reply of the model, active or not; built before the history forgets anything."""

    _history: History
    _timers: TimerSet
    number: int = 0
    is_active: bool = False
    choice: ToolChoice = Choice.AUTO
    chunker: SentenceChunker = field(default_factory=SentenceChunker)
    guard: SpeechGuard = field(default_factory=lambda: SpeechGuard(GuardRules("")))
    withheld: list[ReplyEvent] = field(default_factory=list)
    held: str = ""  # the words of a reply that has to call a tool, until it has ended
    ahead: Speculation = field(init=False)
    _last_number: int = 0

    def __post_init__(self) -> None:
        self.ahead = Speculation(self._history, self._timers)
        self._last_number = max((used.reply for _, used in self._history.tool_runs()), default=0)

    @property
    def has_begun(self) -> bool:
        """Whether words of it were said."""
        return self.guard.has_begun

    @property
    def is_awaited(self) -> bool:
        """Whether the model still writes it; a finished one may be withheld."""
        is_over = self.withheld and not isinstance(self.withheld[-1], ReplyDelta)
        return self.is_active and not is_over

    @property
    def yields(self) -> bool:
        """Whether the caller speaks, and has heard nothing of it."""
        return Timer.YIELD in self._timers.running

    def is_current(self, reply: int) -> bool:
        is_awaited = self.is_awaited and reply == self.number
        return is_awaited or self.ahead.is_current(reply)

    def ask(self, choice: ToolChoice, language: str, limit: int, rules: GuardRules) -> Action:
        """Adopt the request that was made ahead, if it is the same; else make this one."""
        messages = self._history.messages(limit)
        if choice is Choice.AUTO and (ahead := self.ahead.adopt(messages)):
            adopted, events = ahead
            self._start(adopted.reply, choice, language, rules)
            self.withheld = events
            return adopted
        self._last_number += 1
        self._start(self._last_number, choice, language, rules)
        return StartReply(self.number, messages, choice)

    def stand_in(self) -> None:
        """The service calls a tool by itself, as a reply without a word would."""
        self._last_number += 1
        self._start(self._last_number, Choice.AUTO, "", GuardRules(""))
        self.is_active = False

    def ask_ahead(self, limit: int) -> Action:
        self._last_number += 1
        return self.ahead.ask(self._last_number, limit)

    def keep(self, event: Event) -> bool:
        """Keep an event for `release`: the caller speaks, or it was asked for ahead; else false."""
        if not isinstance(event, ReplyDelta | ReplyFinished | ReplyFailed):
            return False
        if self.ahead.is_current(event.reply):
            self.ahead.withhold(event)
        elif self.yields:
            self.withheld.append(event)
        else:
            return False
        return True

    def release(self) -> list[ReplyEvent]:
        """What was withheld, to be decided on now; nothing while the caller speaks."""
        if self.yields or not self.withheld:
            return []
        withheld, self.withheld = self.withheld, []
        return withheld

    def feed(self, delta: str) -> str:
        return self.guard.feed(self.chunker.feed(delta))

    def flush(self) -> str:
        return self.guard.feed(self.chunker.flush())

    def finish(self, stop: StopReason, text: str) -> str:
        self.is_active = False
        if stop is StopReason.BLOCKED:
            return self.guard.finish(self.chunker.feed(text))
        is_cut_short = stop is StopReason.LENGTH
        return self.guard.finish(self.chunker.finish(text, is_cut_short=is_cut_short))

    def ignored_tool(
        self, calls: Iterable[ToolCall], stop: StopReason, known: Container[str]
    ) -> str:
        """The tool that it had to call and has not called; empty = none."""
        if not isinstance(self.choice, ForcedTool) or stop is StopReason.BLOCKED:
            return ""
        name = self.choice.name
        is_called = any(call.name == name for call in calls)
        return "" if is_called or name not in known else name

    def cancel(self) -> list[Action]:
        cancelled: list[Action] = [CancelReply(self.number)] if self.is_awaited else []
        self.is_active, self.withheld = False, []
        return cancelled

    def _start(self, number: int, choice: ToolChoice, language: str, rules: GuardRules) -> None:
        self.number = number
        self.is_active = True
        self.choice = choice
        self.chunker = SentenceChunker(language)
        self.guard = SpeechGuard(rules)
        self.withheld, self.held = [], ""
