"""Where the time of each turn went, from the record of a line.

A turn begins with the words, or the key, that a model is asked for. Without them, as after a
silence, it begins with what made us ask. All times are of the event loop's clock (practice section
21), and end at the socket: how long speech-to-text and the voice took nobody tells us.

    hold         from the words until a model is asked
    reply N      the request, `.` until its first text or tool call, `=` until it is complete
    tool NAME    from its start until its result
    speech       from the first text that was sent to the last
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.call.events import (
    CallerPressed,
    CallerSpoke,
    Event,
    ReplyDelta,
    ReplyFailed,
    ReplyFinished,
    TimerFired,
    ToolFinished,
)
from agent.observability.recording.record_reader import RecordedStep
from agent.observability.recording.serialization import Form

COLUMNS = 100
"""Of what is printed, unless a terminal has fewer."""
_BESIDE_BAR = 48
_NAME = 26


@dataclass(slots=True)
class Span:
    """Something that took time; milliseconds since the turn began."""

    name: str
    from_ms: float
    first_ms: float | None = None
    """When the first of a reply was there."""
    to_ms: float | None = None
    """None: it was never seen to end."""
    end: str = ""
    """How it ended, if not well: `failed`, `cancelled`, `error`."""


@dataclass(slots=True)
class WaterfallTurn:
    """One turn."""

    at_ms: float
    """Since the first event of the line."""
    words: str
    """What the caller said, or in brackets what else was the reason."""
    spans: list[Span] = field(default_factory=list)
    first_text_ms: float | None = None
    """From the words to the first text that was sent."""
    last_text_ms: float | None = None

    @property
    def length_ms(self) -> float:
        """Until the last thing that is known of it."""
        ends = [span.to_ms or span.first_ms or span.from_ms for span in self.spans]
        return max([*ends, self.last_text_ms or 0.0], default=0.0)


def turns(steps: Sequence[RecordedStep]) -> list[WaterfallTurn]:
    """The turns of a line in which a model was asked."""
    reading = _Reading()
    for step in steps:
        reading.add(step)
    return [turn for turn in reading.turns if turn.spans]


class _Reading:
    """Turns so far."""

    def __init__(self) -> None:
        self.turns: list[WaterfallTurn] = []
        self._open: dict[int | str, tuple[WaterfallTurn, Span]] = {}

    def add(self, step: RecordedStep) -> None:
        """What a step tells."""
        words = _words(step.event)
        if words and step.did:
            self._caller_spoke(step.at_ms, words)
        self._close_with(step)
        for form in step.did:
            self._act(form, step)

    def _caller_spoke(self, at_ms: float, words: str) -> None:
        if self.turns and not self.turns[-1].spans:
            self.turns[-1].words += f" {words}"
            return
        self.turns.append(WaterfallTurn(at_ms, words))

    def _close_with(self, step: RecordedStep) -> None:
        match step.event:
            case ReplyDelta(reply, text) if text:
                self._first(reply, step.at_ms)
            case ReplyFinished(reply, calls):
                if calls:
                    self._first(reply, step.at_ms)
                self._end(reply, step.at_ms, "")
            case ReplyFailed(reply, fault):
                self._end(reply, step.at_ms, f"failed: {fault}")
            case ToolFinished(call_id, outcome):
                self._end(call_id, step.at_ms, "error" if outcome.is_error else "")
            case _:
                pass

    def _act(self, form: Form, step: RecordedStep) -> None:
        match form:
            case {"kind": "StartReply", "reply": int(reply)}:
                self._ask(reply, step)
            case {"kind": "RunTool", "call": {"id": str(call_id), "name": str(name)}}:
                self._begin(call_id, f"tool {name}", step.done_ms)
            case {"kind": "CancelReply", "reply": int(child)}:
                self._end(child, step.done_ms, "cancelled")
            case {"kind": "CancelTool", "call_id": str(child)}:
                self._end(child, step.done_ms, "cancelled")
            case {"kind": "Speak", "text": str(text)} if text and self.turns:
                turn = self.turns[-1]
                turn.last_text_ms = step.done_ms - turn.at_ms
                if turn.first_text_ms is None:
                    turn.first_text_ms = turn.last_text_ms
            case _:
                pass

    def _ask(self, reply: int, step: RecordedStep) -> None:
        if not self.turns or not (self._is_going_on(step) or _words(step.event)):
            self.turns.append(WaterfallTurn(step.at_ms, f"[{_reason(step.event)}]"))
        turn = self.turns[-1]
        if not turn.spans:
            turn.spans.append(Span("hold", 0.0, None, step.done_ms - turn.at_ms))
        self._begin(reply, f"reply {reply}", step.done_ms)

    def _is_going_on(self, step: RecordedStep) -> bool:
        """The request belongs to the turn before: it was held back, or a tool was used."""
        return not self.turns[-1].spans or not isinstance(step.event, TimerFired)

    def _begin(self, child: int | str, name: str, at_ms: float) -> None:
        if self.turns:
            turn = self.turns[-1]
            span = Span(name, at_ms - turn.at_ms)
            turn.spans.append(span)
            self._open[child] = (turn, span)

    def _first(self, child: int, at_ms: float) -> None:
        if child in self._open and self._open[child][1].first_ms is None:
            turn, span = self._open[child]
            span.first_ms = at_ms - turn.at_ms

    def _end(self, child: int | str, at_ms: float, end: str) -> None:
        if child in self._open:
            turn, span = self._open.pop(child)
            span.to_ms, span.end = at_ms - turn.at_ms, end


def drawn(turn: WaterfallTurn, columns: int = COLUMNS) -> list[str]:
    """The spans of a turn as bars, in at most so many columns."""
    spans = [span for span in turn.spans if span.name != "hold" or _is_seen(span)]
    if turn.first_text_ms is not None:
        spans.append(Span("speech", turn.first_text_ms, None, turn.last_text_ms))
    width = columns - _BESIDE_BAR
    scale = width / max(turn.length_ms, 1.0)
    return [_row(span, scale, width) for span in spans]


def _is_seen(span: Span) -> bool:
    return span.to_ms is not None and span.to_ms >= 50


def _row(span: Span, scale: float, width: int) -> str:
    to_ms = span.to_ms if span.to_ms is not None else span.first_ms
    begin = min(int(span.from_ms * scale), width - 1)
    end = max(begin + 1, round((to_ms if to_ms is not None else span.from_ms) * scale))
    bar = [" "] * begin + ["="] * (end - begin)
    if span.name.startswith("reply"):
        middle = end if span.first_ms is None else round(span.first_ms * scale)
        bar[begin:middle] = ["."] * (min(middle, end) - begin)
    took = "?" if to_ms is None else f"{(to_ms - span.from_ms) / 1000:.2f}"
    name = f"{span.name} {span.end}".rstrip()
    return (
        f"  {name[:_NAME]:<{_NAME}} {span.from_ms / 1000:6.2f} +{took:<6} |{''.join(bar)}".rstrip()
    )


def _words(event: Event) -> str:
    match event:
        case CallerSpoke(text, True):
            return text
        case CallerPressed(digit):
            return digit
        case _:
            return ""


def _reason(event: Event) -> str:
    return f"{event.timer} is over" if isinstance(event, TimerFired) else type(event).__name__
