"""Where the time of each turn went, as bars: from the record of a connection.

All times end at the socket; those of speech-to-text and text-to-speech are not known.

    hold         from the first words until a model is asked
    reply N      the request, `.` until its first text or tool call, `=` until it is complete
    tool NAME    from its start until its result
    speech       from the first text that was sent to the last
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent.call.actions import Action, CancelReply, CancelTool, RunTool, Speak, StartReply
from agent.call.events import Event, TimerFired
from agent.call.messages import ToolCall
from agent.observability.recording.record_reader import RecordedStep
from agent.observability.recording.serialization import Form
from agent.observability.turn_stages import Activity, TrackedTurn
from agent.observability.turn_tracker import TurnFinished, TurnTracker, interrupt_kind
from agent.ports import ObservedStep

COLUMNS = 100
"""Of the output, unless a terminal has fewer."""
_BESIDE_BAR = 48
_NAME = 26
_SHORTEST_HOLD_MS = 50


class WaterfallBar(NamedTuple):
    """Something that took time; milliseconds since the first words of the turn."""

    name: str
    from_ms: float
    first_ms: float | None = None
    to_ms: float | None = None
    """None = its end was not recorded."""
    end: str = ""
    """How it ended, if not well: `failed: FAULT`, `cancelled`, `error`."""


class WaterfallTurn(NamedTuple):
    """One turn, also an unprompted one."""

    at_ms: float
    words: str
    """What the caller said, or in brackets what else made the agent act."""
    spans: list[WaterfallBar]
    first_text_ms: float | None
    """Since the first words, like the last."""
    last_text_ms: float | None


def turns(steps: Sequence[RecordedStep]) -> list[WaterfallTurn]:
    """The turns of a connection in which a model was asked or a tool was run."""
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


def _actions(forms: Sequence[Form]) -> Iterator[Action]:
    for form in forms:
        match form:
            case {"kind": "StartReply", "reply": int(reply)}:
                yield StartReply(reply, ())
            case {"kind": "RunTool", "call": {"id": str(call_id), "name": str(name)}}:
                yield RunTool(ToolCall(call_id, name, ""))
            case {"kind": "CancelReply", "reply": int(reply)}:
                yield CancelReply(reply)
            case {"kind": "CancelTool", "call_id": str(call_id)}:
                yield CancelTool(call_id)
            case {"kind": "Speak", "text": str(text)}:
                yield Speak(0, text)
            case _:
                pass


def _waterfall(turn: TrackedTurn) -> WaterfallTurn:
    def ms(at: float | None) -> float | None:
        return None if at is None else round((at - turn.heard_at) * 1000, 1)

    def bar(one: Activity) -> WaterfallBar:
        end = "" if one.outcome in {"ok", "finished", "running"} else one.outcome
        end += f": {one.fault}" * bool(one.fault)
        name = f"tool {one.tool}" if one.tool else f"reply {one.key}"
        return WaterfallBar(name, ms(one.began) or 0.0, ms(one.first), ms(one.ended), end)

    hold = WaterfallBar("hold", 0.0, None, ms(turn.activities[0].began))
    first = None if turn.response is None else turn.began + turn.response
    return WaterfallTurn(
        round(turn.heard_at * 1000, 1),
        " ".join(turn.words) if turn.cause is None else f"[{_reason(turn.cause)}]",
        [hold, *map(bar, turn.activities)],
        ms(first),
        ms(turn.last_speech),
    )


def drawn(turn: WaterfallTurn, columns: int = COLUMNS) -> list[str]:
    """The bars of a turn, in at most so many columns."""
    hold, *bars = turn.spans
    if (hold.to_ms or 0.0) >= _SHORTEST_HOLD_MS:
        bars.insert(0, hold)
    if turn.first_text_ms is not None:
        bars.append(WaterfallBar("speech", turn.first_text_ms, None, turn.last_text_ms))
    length_ms = max(bar.to_ms or bar.first_ms or bar.from_ms for bar in bars)
    width = columns - _BESIDE_BAR
    return [_row(bar, width / max(length_ms, 1.0), width) for bar in bars]


def _row(bar: WaterfallBar, scale: float, width: int) -> str:
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


def _reason(event: Event) -> str:
    return f"{event.timer} is over" if isinstance(event, TimerFired) else type(event).__name__
