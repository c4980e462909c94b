"""What a server sent on one relay socket, as talk cycles, and where it departs from the protocol.

A talk cycle is every `text` up to and including `last: true`. Frames carry no ids, so their order
decides the cycle, and nothing shows when the server has noticed an interrupt:

- A token in a cycle that the caller has cut is late. Within `in_flight_seconds` it may have been
  under way and is only counted; afterwards it is a departure.
- A cycle that opens after the cut and before the caller's next words is treated in the same way,
  but for one after `stale_seconds`: no words came, and the server breaks the silence.
  One that says what was sent before goes on after a noise.
- A cut cycle that is not closed within `closing_seconds` is a departure.
- A `last` while no cycle is open, or a cycle without a word, is a departure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.simulator.server_frames import (
    EndFrame,
    FrameError,
    ServerFrame,
    TextFrame,
    read_frame,
)


class Departure(StrEnum):
    """How a server departs from the protocol."""

    BAD_FRAME = "bad_frame"  # Twilio would drop it with error 64107
    NO_WORDS = "no_words"  # a cycle without words, or a second closer
    NOT_CLOSED = "not_closed"  # left open after an interrupt, or at the end of the call
    TALKED_ON = "talked_on"  # after the caller broke in, too late to have been under way
    AFTER_END = "after_end"  # a frame after `end`
    HUNG_UP_ON = "hung_up_on"  # the socket was closed without an `end` (64105)
    BAD_TWIML = "bad_twiml"  # 12100, 12200, 64101 or 64102
    UNREACHABLE = "unreachable"  # the socket could not be opened (64102)


@dataclass(frozen=True, slots=True)
class ProtocolFault:
    """One departure; `detail` holds kinds and times, never words."""

    kind: Departure
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.detail}" if self.detail else self.kind.value


@dataclass(slots=True)
class TalkCycle:
    """One talk cycle as it arrived."""

    turn: int  # number of the caller's turn it came after; 0 = before the caller's first words
    opened_at: float
    text: str = ""
    language: str = ""
    """The `lang` of its first text; empty = the language of the session."""
    closed_at: float | None = None
    cut_at: float | None = None  # when the caller broke in while it was open
    talked_on: bool = False  # reported once, not for every token

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


@dataclass(slots=True)
class TalkLedger:
    """The frames of one socket. Times are seconds of one monotonic clock."""

    in_flight_seconds: float = 1.0
    closing_seconds: float = 20.0
    stale_seconds: float = 5.0
    greeting: str = ""
    """What the relay says first; no cycle of the server."""
    turn: int = 0
    asked: list[float] = field(default_factory=list)
    """When the words of each turn were delivered."""
    frames: int = 0
    late_tokens: int = 0
    late_cycles: int = 0
    cycles: list[TalkCycle] = field(default_factory=list)
    others: list[ServerFrame] = field(default_factory=list)  # not `text`, but valid
    departures: list[ProtocolFault] = field(default_factory=list)
    cut_seconds: list[float] = field(default_factory=list)  # from each cut until it was closed
    end: EndFrame | None = None
    _interrupted_at: float | None = None  # when the caller broke in, who has said nothing since

    @property
    def open_cycle(self) -> TalkCycle | None:
        return self.cycles[-1] if self.cycles and self.cycles[-1].is_open else None

    def blame(self, kind: Departure, detail: str = "") -> None:
        self.departures.append(ProtocolFault(kind, detail))

    def caller_spoke(self, at: float) -> None:
        """Final words or a key; cycles opened from now on answer them."""
        self._cut(at)
        self.turn += 1
        self.asked.append(at)
        self._interrupted_at = None

    def interrupted(self, at: float) -> None:
        """A barge-in; the words come later, or never."""
        self._cut(at)
        since = self._interrupted_at
        if since is None or at - since >= self.stale_seconds:
            self._interrupted_at = at

    def close(self, at: float) -> None:
        """The session is over: a cycle that was cut long ago should have been closed."""
        cycle = self.open_cycle
        cut_at = at if cycle is None or cycle.cut_at is None else cycle.cut_at
        if at - cut_at > self.closing_seconds:
            self.blame(Departure.NOT_CLOSED, "a cycle that was cut was never closed")

    def received(self, text: str, at: float) -> ServerFrame | None:
        """Enter one frame; returns it unless Twilio would have dropped it."""
        self.frames += 1
        try:
            frame = read_frame(text)
        except FrameError as fault:
            self.blame(Departure.BAD_FRAME, str(fault))
            return None
        if self.end is not None:
            self.blame(Departure.AFTER_END, type(frame).__name__)
            return None
        if isinstance(frame, TextFrame):
            self._text(frame, at)
        else:
            self._other(frame)
        return frame

    def received_late(self, text: str, at: float) -> ServerFrame | None:
        """Enter one frame after the session; it is a departure if the server has ended that."""
        return self.received(text, at) if self.end is not None else None

    def _text(self, frame: TextFrame, at: float) -> None:
        cycle = self.open_cycle or self._opened(frame, at)
        cycle.text += frame.token
        if cycle.cut_at is not None and frame.token:
            self._late(cycle, at - cycle.cut_at)
        if frame.last:
            self._closed(cycle, at)

    def _late(self, cycle: TalkCycle, seconds: float) -> None:
        self.late_tokens += 1
        if seconds > self.in_flight_seconds and not cycle.talked_on:
            cycle.talked_on = True
            self.blame(Departure.TALKED_ON, f"a token {seconds:.3f} s after the cut")

    def _opened(self, frame: TextFrame, at: float) -> TalkCycle:
        cycle = TalkCycle(self.turn, at, language=frame.lang or "")
        self.cycles.append(cycle)
        if self._interrupted_at is not None:
            self.late_cycles += 1
            seconds = at - self._interrupted_at
            is_late = self.in_flight_seconds < seconds < self.stale_seconds
            if is_late and self._goes_on(frame.token):
                self._interrupted_at = None  # the turn is the server's again
            elif is_late:
                self.blame(Departure.TALKED_ON, f"a cycle {seconds:.3f} s after the cut")
        return cycle

    def _goes_on(self, token: str) -> bool:
        """Whether these words were sent before, since the caller's last words."""
        sent = [cycle.text for cycle in self.cycles if cycle.turn == self.turn]
        return " ".join(token.split()) in " ".join(" ".join([self.greeting, *sent]).split())

    def _closed(self, cycle: TalkCycle, at: float) -> None:
        cycle.closed_at = at
        if not cycle.text.strip():
            self.blame(Departure.NO_WORDS)
        if cycle.cut_at is not None:
            self.cut_seconds.append(at - cycle.cut_at)
            if at - cycle.cut_at > self.closing_seconds:
                self.blame(Departure.NOT_CLOSED, f"closed {at - cycle.cut_at:.3f} s after the cut")

    def _other(self, frame: ServerFrame) -> None:
        self.others.append(frame)
        if isinstance(frame, EndFrame):
            self.end = frame
            if self.open_cycle is not None:
                self.blame(Departure.NOT_CLOSED, "at end")

    def _cut(self, at: float) -> None:
        cycle = self.open_cycle
        if cycle is not None and cycle.cut_at is None:
            cycle.cut_at = at
