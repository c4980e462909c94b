"""The time of each recorded turn as bars, for a terminal.

`agent.observability.recording.transcript` says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.call import actions as act
from agent.call.events import TimerFired
from agent.call.messages import ToolCall
from agent.observability.recording.serialization import Form, RecordedStep
from agent.observability.turn_stages import Activity, TrackedTurn
from agent.observability.turn_tracker import TurnFinished, TurnTracker, interrupt_kind
from agent.ports import ObservedStep

_BESIDE_BAR = 48
_NAME = 26
_SHORTEST_HOLD_MS = 50


@dataclass(frozen=True, slots=True)
class _Bar:
    """Milliseconds since the first words of the turn."""

    name: str
    from_ms: float
    first_ms: float | None = None
    to_ms: float | None = None
    """None = its end was not recorded."""
    end: str = ""
    """How it ended, if not well: `failed: FAULT`, `cancelled`, `error`."""


@dataclass(frozen=True, slots=True)
class DrawnTurn:
    """A turn, and its bars in the order in which they began."""

    at_ms: float
    words: str
    """What the caller said, or in brackets what else made the agent act."""
    spans: list[_Bar]
    first_text_ms: float | None
    last_text_ms: float | None


def turns_of_steps(steps: Sequence[RecordedStep]) -> list[DrawnTurn]:
    """Those in which a model was asked or a tool was run."""
    tracker = TurnTracker()
    changes = []
    for step in steps:
        timed_actions = [(action, step.done_ms / 1000) for action in _actions(step.did)]
        observed = ObservedStep(step.event, step.at_ms / 1000, timed_actions)
        changes += tracker.observe(observed, interrupt_kind(observed))
    changes += tracker.ended(steps[-1].done_ms / 1000 if steps else 0.0)
    found = [change.turn for change in changes if isinstance(change, TurnFinished)]
    found.sort(key=lambda turn: turn.heard_at)
    return [_waterfall(turn) for turn in found if turn.activities]


def _actions(forms: Sequence[Form]) -> Iterator[act.Action]:
    for form in forms:
        match form:
            case {"kind": "StartReply", "reply": int(reply)}:
                yield act.StartReply(reply, ())
            case {"kind": "Speculate", "reply": int(reply)}:
                yield act.Speculate(reply, ())
            case {"kind": "AdoptReply", "reply": int(reply)}:
                yield act.AdoptReply(reply)
            case {"kind": "DiscardReply", "reply": int(reply)}:
                yield act.DiscardReply(reply)
            case {"kind": "RunTool", "call": {"id": str(call_id), "name": str(name)}}:
                yield act.RunTool(ToolCall(call_id, name, ""))
            case {"kind": "CancelReply", "reply": int(reply)}:
                yield act.CancelReply(reply)
            case {"kind": "CancelTool", "call_id": str(call_id)}:
                yield act.CancelTool(call_id)
            case {"kind": "Speak", "text": str(text)}:
                yield act.Speak(0, text)
            case _:
                pass


def _waterfall(turn: TrackedTurn) -> DrawnTurn:
    def ms(at: float | None) -> float | None:  # what was asked ahead began before the words
        return None if at is None else max(0.0, round((at - turn.heard_at) * 1000, 1))

    def bar(one: Activity) -> _Bar:
        end = "" if one.outcome in {"ok", "finished", "running"} else one.outcome
        end += f": {one.fault}" * bool(one.fault)
        name = f"tool {one.tool}" if one.tool else f"reply {one.key}"
        return _Bar(name, ms(one.began) or 0.0, ms(one.first), ms(one.ended), end)

    words, cause = " ".join(turn.words), turn.cause
    if cause is not None:
        reason = f"{cause.timer} is over" if isinstance(cause, TimerFired) else type(cause).__name__
        words = f"[{reason}]"
    hold = _Bar("hold", 0.0, None, ms(turn.activities[0].began))
    first = None if turn.response is None else turn.began + turn.response
    return DrawnTurn(
        round(turn.heard_at * 1000, 1),
        words,
        [hold, *map(bar, turn.activities)],
        ms(first),
        ms(turn.last_speech),
    )


def drawn(turn: DrawnTurn, columns: int) -> list[str]:
    """A line of at most so many columns for each bar."""
    hold, *bars = turn.spans
    if (hold.to_ms or 0.0) >= _SHORTEST_HOLD_MS:
        bars.insert(0, hold)
    if turn.first_text_ms is not None:
        bars.append(_Bar("speech", turn.first_text_ms, None, turn.last_text_ms))
    length_ms = max(bar.to_ms or bar.first_ms or bar.from_ms for bar in bars)
    width = columns - _BESIDE_BAR
    return [_row(bar, width / max(length_ms, 1.0), width) for bar in bars]


def _row(bar: _Bar, scale: float, width: int) -> str:
    to_ms = bar.to_ms if bar.to_ms is not None else bar.first_ms
    begin = min(int(bar.from_ms * scale), width - 1)
    end = max(begin + 1, round((to_ms if to_ms is not None else bar.from_ms) * scale))
    cells = [" "] * begin + ["="] * (end - begin)
    if bar.name.startswith("reply"):
        middle = end if bar.first_ms is None else round(bar.first_ms * scale)
        cells[begin:middle] = ["."] * (min(middle, end) - begin)
    took = "?" if to_ms is None else f"{(to_ms - bar.from_ms) / 1000:.2f}"
    name = f"{bar.name} {bar.end}".rstrip()
    row = f"  {name[:_NAME]:<{_NAME}} {bar.from_ms / 1000:6.2f} +{took:<6} |{''.join(cells)}"
    return row.rstrip()
