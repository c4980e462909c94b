"""Keys of the caller: entries for a tool that collects digits, and free ones for the model.

While a tool collects, keys are digits and nothing else, and spoken digits are an alternative: an
entry is typed or spoken, and a key takes spoken ones back. It is complete at its longest, with the
terminator, or after a pause. A wrong one, or none in time, is asked for again. A backchannel and a
request for a moment leave the collector open; other words end it, and the model answers them.

Without a collector, keys without a binding become one entry for the model: `#`, a pause or anything
else completes it; `*` clears it.

Sensitive digits are marked in events (`screen`) before anything else reads them. What comes late,
because the caller has typed on or was reading aloud, is marked and dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial

from agent.call.actions import Action, Entry, Record
from agent.call.collector import NUMBER, Collector, SpokenDigits, spoken_digits
from agent.call.events import CallerPressed, CallerSpoke, Event, TimerFired
from agent.call.history import CallerBegan, CallerSaid, History, InputMode
from agent.call.languages import LANGUAGES
from agent.call.timers import StartTimer, Timer, TimerSet
from agent.call.tool_calls import NOT_ENTERED, NOT_VALID, ToolCalls
from agent.call.utterance_analysis import asks_for_moment, is_acknowledgement

LONGEST_ENTRY = 40
"""Keys; a free entry of this length is complete."""
LATE_MS = 5_000
"""After a sensitive entry, how long words that may repeat it are marked."""


class EntryStep(Enum):
    """What follows input for a collector."""

    LATE = auto()
    """The words belong to an entry that is over."""
    AWAIT = auto()
    MOMENT = auto()
    """The caller asks for time."""
    AGAIN = auto()
    """Ask for the digits again."""
    BEGUN = auto()
    """The tool runs."""
    FAILED = auto()
    """The tool call is answered: there is no valid entry."""


EntryDecision = tuple[list[Action], EntryStep]


@dataclass(slots=True)
class Keypad:
    """The keys of one call; appends their facts to the history it is given."""

    _history: History
    _timers: TimerSet
    _tools: ToolCalls
    _keys: str = ""
    """As they may be recorded: of sensitive digits the marks."""
    _digits: str = ""
    """Of the entry for a tool."""
    _is_spoken: bool = False
    _collects_for: str = ""  # a tool call
    _failures: int = 0
    _raw: str = ""  # the digits of the event that is being received, if marks stand for them
    _hides: bool = False
    """A sensitive entry is under way, or has ended lately."""

    @property
    def is_collecting(self) -> bool:
        return self._tools.collector is not None

    @property
    def is_typing(self) -> bool:
        """Whether a free entry is not complete."""
        return Timer.DIGITS in self._timers.running and not self.is_collecting

    @property
    def is_idle(self) -> bool:
        """Whether no entry is under way, and none has ended lately."""
        return not (self.is_typing or self.is_collecting or self.is_late)

    @property
    def is_empty(self) -> bool:
        return not self._keys

    @property
    def is_late(self) -> bool:
        """Whether a key belongs to an entry that is over."""
        return Timer.LATE_DIGITS in self._timers.running and not self.is_collecting

    def screen(self, event: Event, language: str) -> Event:
        """The event as all may read it; the digits are kept for the step that takes them."""
        self._raw, collector = "", self._tools.collector
        self._hides |= collector is not None and collector.is_sensitive
        if not self._hides or (collector and not collector.is_sensitive):
            return event
        rules, before = collector or Collector(), self._digits if collector else ""
        match event:
            case CallerPressed(digit) if digit not in "*#":
                self._raw = digit
                return CallerPressed(rules.marks("" if self._is_spoken else before, digit))
            case CallerSpoke(text):
                spoken = _read(event, language, is_sensitive=True)
                if len(spoken.digits) <= 1 and _is_harmless(text, event.language or language):
                    return event
                self._raw = spoken.digits if event.is_final else ""
                marks = rules.marks(before if self._is_spoken else "", spoken.digits)
                return replace(event, text=spoken.hidden(text, marks))
            case TimerFired(Timer.LATE_DIGITS, serial):
                self._hides &= self._timers.running.get(Timer.LATE_DIGITS) != serial
                return event
            case _:
                return event

    def press(self, digit: str) -> EntryDecision:
        """A key for the tool that collects."""
        collector = self._begin()
        if digit == collector.clear_key:
            self._clear()
        elif digit == collector.terminator and self._digits:
            return self._complete(collector)
        elif digit not in "*#":
            if self._is_spoken:
                self._clear()
            self._keys += digit
            self._digits += self._raw or digit
            if len(self._digits) >= collector.max_digits:
                return self._complete(collector)
        return [self.await_digit()], EntryStep.AWAIT

    def hear(self, event: CallerSpoke, language: str) -> EntryDecision | None:
        """Words for the tool that collects, or late ones; None if they are something else."""
        if self.is_collecting:
            return self._take_words(event, event.language or language)
        is_late = self._hides and self.is_late and not self._history.is_answered
        if is_late and len(_read(event, language, is_sensitive=True).digits) >= NUMBER:
            return [self._append(event.text)], EntryStep.LATE
        return None

    def run_out(self) -> EntryDecision:
        """The next digit has not come in time."""
        return self._complete(self._begin())

    def await_digit(self, first_ms: int | None = None) -> StartTimer:
        """Wait for the next digit; `first_ms`: for the first one, of a caller who needs time."""
        collector = self._begin()
        first_ms = first_ms or collector.first_digit_ms
        return self._timers.start(Timer.DIGITS, collector.pause_ms if self._digits else first_ms)

    def note_voice(self, longest_ms: int) -> Sequence[StartTimer]:
        """While a tool collects, the caller speaks for `longest_ms` at most; 0 = no more."""
        if not self.is_collecting or Timer.DIGITS not in self._timers.running:
            return []
        return (
            self._timers.restart(Timer.DIGITS, longest_ms) if longest_ms else [self.await_digit()]
        )

    def press_bound(self, digit: str) -> list[Action]:
        """A key with a meaning of its own."""
        return [*self.complete(), self._append(digit, InputMode.KEYPAD)]

    def collect(self, digit: str, pause_ms: int) -> list[Action]:
        """A key of a free entry."""
        began = [] if self.is_typing else [Record(len(self._history), CallerBegan())]
        self._keys = "" if digit == "*" else self._keys + digit
        if digit == "#" or len(self._keys) >= LONGEST_ENTRY:
            return [*began, *self.complete()]
        return [*began, self._timers.start(Timer.DIGITS, pause_ms)]

    def complete(self) -> list[Action]:
        """Record what was typed, for whatever follows it."""
        typed, collector = self._stop(), self._tools.collector
        if collector is not None and collector.is_sensitive:
            typed.append(self._expect_late(collector))
        return typed

    def abandon(self) -> list[Action]:
        """The line is lost: the tool call stays open, and the caller is asked again on the next."""
        self._tools.forget_collecting()
        return self.complete()

    def close(self) -> list[Action]:
        """The call comes to its end: a tool that collects gets no digits."""
        if not self.is_collecting:
            return []
        stopped = self._timers.stop(Timer.PLAYBACK)  # of the question
        return [*stopped, *self.complete(), *self._tools.end_collecting(NOT_ENTERED)]

    def _take_words(self, event: CallerSpoke, language: str) -> EntryDecision | None:
        collector = self._begin()
        if asks_for_moment(event.text, language):
            return [*self._timers.stop(Timer.DIGITS), self._append(event.text)], EntryStep.MOMENT
        spoken = _read(event, language, is_sensitive=collector.is_sensitive)
        is_entry = spoken.is_entry and collector.takes_speech
        is_typed = bool(self._digits) and not self._is_spoken
        if is_acknowledgement(event.text, language) or (is_entry and is_typed):
            return [self._append(event.text), self.await_digit()], EntryStep.AWAIT
        if not is_entry:
            return None
        said = self._append(event.text)
        self._is_spoken = True
        self._digits += self._raw or spoken.digits
        if len(self._digits) < collector.max_digits:
            return [said, self.await_digit()], EntryStep.AWAIT
        actions, step = self._complete(collector)
        return [said, *actions], step

    def _complete(self, collector: Collector) -> EntryDecision:
        entry = Entry(self._digits, collector.is_sensitive)
        actions = self._stop()
        if collector.accepts(entry.digits):
            if begun := self._tools.begin_collecting(entry):
                return [*actions, self._expect_late(collector), *begun], EntryStep.BEGUN
            self._failures = collector.retries
        self._failures += 1
        if self._failures <= collector.retries:
            return actions, EntryStep.AGAIN
        answered = self._tools.end_collecting(NOT_VALID)
        return [*actions, self._expect_late(collector), *answered], EntryStep.FAILED

    def _begin(self) -> Collector:
        """The rules in force; an entry for another tool is forgotten."""
        if self._collects_for != self._tools.collecting:
            self._collects_for, self._failures = self._tools.collecting, 0
            self._clear()
        return self._tools.collector or Collector()

    def _clear(self) -> None:
        self._keys = self._digits = ""
        self._is_spoken = False

    def _stop(self) -> list[Action]:
        """Nothing is entered any more; what was typed is recorded."""
        keys = self._keys.removesuffix("#")
        self._clear()
        typed = [self._append(" ".join(keys), InputMode.KEYPAD)] if keys else []
        return [*self._timers.stop(Timer.DIGITS), *typed]

    def _expect_late(self, collector: Collector) -> StartTimer:
        after_ms = LATE_MS if collector.is_sensitive else collector.pause_ms
        return self._timers.start(Timer.LATE_DIGITS, after_ms)

    def _append(self, text: str, means: InputMode = InputMode.SPEECH) -> Record:
        said = CallerSaid(text, means)
        return Record(self._history.append(said), said)


def _read(event: CallerSpoke, language: str, *, is_sensitive: bool) -> SpokenDigits:
    """The digits in the language reported, which is a guess: sensitive ones in all others, too."""
    read = partial(spoken_digits, event.text, is_sensitive=is_sensitive)
    reported = read(event.language or language)
    if not is_sensitive:
        return reported
    found = [reported, read(language), *map(read, LANGUAGES)]
    best, other = (max(of, key=lambda one: len(one.digits)) for of in (found[:2], found))
    best = other if len(best.digits) < NUMBER <= len(other.digits) else best
    spans = list[tuple[int, int]]()
    for start, end in sorted(span for one in found for span in one.spans):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return best._replace(spans=tuple(spans))


def _is_harmless(text: str, language: str) -> bool:
    return is_acknowledgement(text, language) or asks_for_moment(text, language)
