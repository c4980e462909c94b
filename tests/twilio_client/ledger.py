"""What the service sent on one socket, as talk cycles, and the violations of the protocol.

A talk cycle is every `text` up to and including `last: true`. Frames carry no ids, so their order
decides the cycle, and nothing shows when the service has noticed an interrupt:

- A token in a cycle that the caller has cut is late. Within `in_flight_seconds` it may have been
  under way and is only counted; afterwards it is a violation.
- A cycle that opens after the cut and before the caller's next words is treated in the same way.
- A cut cycle that is not closed within `closing_seconds` is a violation.
- A `last` while no cycle is open, or a cycle without a word, is a violation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jsonschema import ValidationError

from tests.twilio.schemas import check_outbound


class Fault(StrEnum):
    """Violations of the protocol."""

    BAD_FRAME = "bad_frame"  # Twilio would drop it with error 64107
    NO_WORDS = "no_words"  # a cycle without words, or a second closer
    NOT_CLOSED = "not_closed"  # left open after an interrupt, or at the end of the call
    TALKED_ON = "talked_on"  # after the caller broke in, too late to have been under way
    AFTER_END = "after_end"  # a frame after `end`
    HUNG_UP_ON = "hung_up_on"  # the socket was closed without an `end` (64105)


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault; `detail` holds kinds and times, never words."""

    fault: Fault
    detail: str = ""


@dataclass(slots=True)
class Cycle:
    """One talk cycle as it arrived."""

    turn: int  # number of the caller's turn it came after; 0 = before the caller's first words
    opened_at: float
    text: str = ""
    closed_at: float | None = None
    cut_at: float | None = None  # when the caller broke in while it was open
    talked_on: bool = False  # reported once, not for every token

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


@dataclass(slots=True)
class Ledger:
    """The frames of one socket. Times are seconds of one monotonic clock."""

    in_flight_seconds: float = 1.0
    closing_seconds: float = 20.0
    turn: int = 0
    frames: int = 0
    late_tokens: int = 0
    late_cycles: int = 0
    cycles: list[Cycle] = field(default_factory=list)
    others: list[Mapping[str, Any]] = field(default_factory=list)  # not `text`, but valid
    violations: list[Violation] = field(default_factory=list)
    cut_seconds: list[float] = field(default_factory=list)  # from each cut until it was closed
    end: Mapping[str, Any] | None = None
    _interrupted_at: float | None = None  # when the caller last broke in and said nothing since

    @property
    def open_cycle(self) -> Cycle | None:
        return self.cycles[-1] if self.cycles and self.cycles[-1].is_open else None

    def blame(self, fault: Fault, detail: str = "") -> None:
        self.violations.append(Violation(fault, detail))

    def caller_spoke(self, at: float) -> None:
        """Final words or a key; cycles opened from now on answer them."""
        self._cut(at)
        self.turn += 1
        self._interrupted_at = None

    def interrupted(self, at: float) -> None:
        """A barge-in; the words come later, or never."""
        self._cut(at)
        self._interrupted_at = at

    def received(self, frame: str, at: float) -> Mapping[str, Any] | None:
        """Enter one frame; returns it unless Twilio would have dropped it."""
        self.frames += 1
        try:
            check_outbound(frame)
        except ValidationError as fault:
            self.blame(Fault.BAD_FRAME, f"{fault.validator} at {fault.json_path}")
            return None
        except ValueError:
            self.blame(Fault.BAD_FRAME, "not JSON")
            return None
        message: Mapping[str, Any] = json.loads(frame)
        if self.end is not None:
            self.blame(Fault.AFTER_END, message["type"])
        elif message["type"] == "text":
            self._text(message["token"], at, is_last=message.get("last", False))
        else:
            self._other(message)
        return message

    def _text(self, token: str, at: float, *, is_last: bool) -> None:
        cycle = self.open_cycle or self._opened(at)
        cycle.text += token
        if cycle.cut_at is not None and token:
            self._late(cycle, at - cycle.cut_at)
        if is_last:
            self._closed(cycle, at)

    def _late(self, cycle: Cycle, seconds: float) -> None:
        self.late_tokens += 1
        if seconds > self.in_flight_seconds and not cycle.talked_on:
            cycle.talked_on = True
            self.blame(Fault.TALKED_ON, f"a token {seconds:.3f} s after the cut")

    def _opened(self, at: float) -> Cycle:
        cycle = Cycle(self.turn, at)
        self.cycles.append(cycle)
        if self._interrupted_at is not None:
            self.late_cycles += 1
            if (seconds := at - self._interrupted_at) > self.in_flight_seconds:
                self.blame(Fault.TALKED_ON, f"a cycle {seconds:.3f} s after the cut")
        return cycle

    def _closed(self, cycle: Cycle, at: float) -> None:
        cycle.closed_at = at
        if not cycle.text.strip():
            self.blame(Fault.NO_WORDS)
        if cycle.cut_at is not None:
            self.cut_seconds.append(at - cycle.cut_at)
            if at - cycle.cut_at > self.closing_seconds:
                self.blame(Fault.NOT_CLOSED, f"closed {at - cycle.cut_at:.3f} s after the cut")

    def _other(self, message: Mapping[str, Any]) -> None:
        self.others.append(message)
        if message["type"] == "end":
            self.end = message
            if self.open_cycle is not None:
                self.blame(Fault.NOT_CLOSED, "at end")

    def _cut(self, at: float) -> None:
        cycle = self.open_cycle
        if cycle is not None and cycle.cut_at is None:
            cycle.cut_at = at
