"""All that the table has of a call, as text for a terminal or as JSON.

Facts are kept for a day, a record longer: without facts in the table those of the record are shown.
What callers and models said may hold anything, so whatever would steer a terminal is left out.

The time of each recorded turn, as far as the socket, is drawn as bars.

    hold         from the first words until a model is asked
    reply N      the request, `.` until its first text or tool call, `=` until it is complete
    tool NAME    from its start until its result
    speech       from the first text that was sent to the last
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from agent.call import actions as act
from agent.call import history
from agent.call.events import TimerFired
from agent.call.messages import ToolCall
from agent.call.text import whole_number
from agent.observability.recording.serialization import (
    LARGEST,
    RECORDED,
    Form,
    RecordedConnection,
    RecordedStep,
    RecordError,
    facts_of,
    missing,
    read_record,
    text_of,
)
from agent.observability.turn_stages import Activity, TrackedTurn
from agent.observability.turn_tracker import TurnFinished, TurnTracker, interrupt_kind
from agent.ports import Item, ObservedStep, Store
from agent.store.call_state import call_item as session
from agent.store.call_state.history_loader import GENERATION, read_items
from agent.store.call_state.journal import CHAT
from agent.usecases.validation import plain

_RESUMES = "resume::"
COLUMNS = 100
"""Of the output, unless a terminal has fewer."""
_BESIDE_BAR = 48
_NAME = 26
_SHORTEST_HOLD_MS = 50
_JOINERS = "\u200c\u200d"
_INDENT = 18
_LONGEST = 240  # characters of arguments and results of tools


class _Entry(NamedTuple):
    fact: history.Fact
    at_ms: float | None
    """Since the call began; None if it was not recorded."""
    generation: int


@dataclass(frozen=True, slots=True)
class CallTranscript:
    """A call; `caller` is empty if it was withheld."""

    call_sid: str
    use_case: str
    caller: str
    began_ms: int
    """Epoch milliseconds; 0 = not known."""
    entries: list[_Entry]
    causes: Mapping[int, str]
    """Why each further connection was needed, by generation."""
    connections: list[RecordedConnection]
    fault: str

    def since_beginning(self, one: RecordedConnection) -> float:
        return max(0.0, one.beginning.began_ms - (self.began_ms or one.beginning.began_ms))


async def read_transcript(store: Store, call_sid: str) -> CallTranscript | None:
    """A call with its facts and its record; None if the table has nothing of it."""
    item = await store.get(call_sid, session.CONNECTION) or {}
    chats = await store.query(call_sid, CHAT)
    resumes = await store.query(call_sid, _RESUMES)
    numbers = (whole_number(str(one["sk"]).removeprefix(_RESUMES), LARGEST) for one in resumes)
    causes = {
        number or 0: str(one.get("cause", "")) for number, one in zip(numbers, resumes, strict=True)
    }
    connections, fault = list[RecordedConnection](), ""
    try:
        connections = await read_record(store, call_sid)
    except RecordError as error:
        fault = str(error)
    if not (item or chats or connections or fault):
        return None
    first = connections[0].beginning if connections else None
    webhook = item or (first.webhook if first else {})
    use_case = str(item.get("useCase", "")) or (first.stamp.use_case if first else "")
    began_ms = whole_number(str(plain(webhook.get("startedMs"))), LARGEST) or 0
    caller = session.identity_of(webhook)
    call = CallTranscript(call_sid, use_case, caller, began_ms, [], causes, connections, fault)
    call.entries.extend(_entries_of(call, chats))
    return call


def _entries_of(call: CallTranscript, chats: Sequence[Item]) -> list[_Entry]:
    recorded: dict[int, _Entry] = {}
    for one in call.connections:
        offset = call.since_beginning(one)
        for position, (fact, at_ms) in facts_of(one).items():
            new = _Entry(fact, at_ms + offset, one.generation)
            recorded[position] = recorded.get(position, new)._replace(fact=fact)
    generations = _generations(chats)
    times = {position: entry.at_ms for position, entry in recorded.items()}
    kept = [
        _Entry(fact, times.get(position), generations.get(position, 0))
        for position, fact in enumerate(read_items(chats).facts)
    ]
    return kept or [recorded[position] for position in sorted(recorded)]


def _generations(chats: Sequence[Item]) -> dict[int, int]:
    """The connection on which each fact was added, by position; later completions do not count."""
    latest, found = None, dict[int, int]()
    for item in reversed(chats):
        position, sequence = plain(item.get("position")), plain(item.get("sequence"))
        if isinstance(position, int) and isinstance(sequence, int):
            written = sequence // GENERATION
            latest = written if latest is None else min(latest, written)
            found[position] = latest
    return found


def transcript_text(call: CallTranscript, columns: int = COLUMNS) -> str:
    """A call as text, in at most so many columns."""
    heading = [part for line in _heading(call) for part in folded(line, columns)]
    return "\n".join([*heading, "", *_entries(call, columns), *_waterfalls(call, columns)])


def transcript_json(call: CallTranscript) -> str:
    """A call as JSON."""
    form = {
        "call": call.call_sid,
        "use_case": call.use_case,
        "caller": call.caller,
        "began_ms": call.began_ms,
        "facts": [
            {"at_ms": entry.at_ms, "line": entry.generation, **RECORDED.write(entry.fact)}
            for entry in call.entries
        ],
        "lines": [
            {
                "line": one.generation,
                "began_ms": one.beginning.began_ms,
                "since_beginning_ms": call.since_beginning(one),
                "stamp": one.beginning.stamp,
                "events": len(one.steps),
                "end": one.end,
                "is_torn": one.is_torn,
                "turns": _turns(one.steps),
            }
            for one in call.connections
        ],
        "resumes": call.causes,
        "fault": call.fault,
    }
    return escaped(text_of(form))


def plain_text(text: str) -> str:
    """Text that only prints, in one line; joiners shape the letters of some languages."""
    return "".join(one if one.isprintable() or one in _JOINERS else " " for one in text)


def printable(text: str) -> str:
    """All lines of an output without what could steer a terminal."""
    return "\n".join(map(plain_text, text.split("\n")))


def escaped(json_text: str) -> str:
    """JSON of the same value, with what could steer a terminal as escapes."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in json_text)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """The beginning of a text, and its length if there is more."""
    text = plain_text(text)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def folded(line: str, columns: int) -> list[str]:
    """A line over several on a narrow terminal; whole otherwise, so that it can be searched."""
    if columns >= COLUMNS:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, columns, subsequent_indent=indent, break_on_hyphens=False)


def clock(ms: float | None) -> str:
    """Minutes and seconds since the call began."""
    if ms is None:
        return ""
    minutes, tenths = divmod(round(ms / 100), 600)
    return f"{minutes:02d}:{tenths / 10:04.1f}"


def _heading(call: CallTranscript) -> Iterator[str]:
    began = ""
    if call.began_ms:
        began = f", {datetime.fromtimestamp(call.began_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield plain_text(call.call_sid)
    caller = plain_text(call.caller) or "an unknown caller"
    yield f"{plain_text(call.use_case) or 'no use case'}, with {caller}{began}"
    if call.fault:
        yield f"the record cannot be used: {call.fault}"
    elif not call.connections:
        yield "no events are recorded, or not yet (RECORD_CALLS): no times"
    for generation in missing(call.connections):
        yield f"line {generation}: nothing of it is recorded"
    for one in call.connections:
        stamp, end = one.beginning.stamp, one.end or "unknown: the record is not complete"
        what = f"version {stamp.version}, {plain_text(stamp.model)}, {len(one.steps)} events"
        torn = ", a part is missing" if one.is_torn else ""
        yield f"line {one.generation}: {what}, end {end}{torn}"


def _entries(call: CallTranscript, columns: int) -> Iterator[str]:
    generation = 0
    for entry in call.entries:
        if entry.generation > generation:
            generation = entry.generation
            cause = plain_text(call.causes.get(generation, "")) or "not known why"
            yield f"--- line {generation}: {cause} ".ljust(columns, "-")
        label, text = _label_and_text(entry.fact)
        first = f"{clock(entry.at_ms):<8} {label:<8} "
        yield from _wrapped(text, columns, first) or [first.rstrip()]
        if isinstance(entry.fact, history.ToolUsed):
            result = "no result"
            if (found := entry.fact.result) is not None:
                result = f"{'error ' if found.is_error else ''}{shortened(found.content)}"
            yield from _wrapped(f"-> {result}", columns, " " * _INDENT)


def _wrapped(text: str, columns: int, first: str) -> list[str]:
    indent = " " * _INDENT
    return textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )


def _label_and_text(fact: history.Fact) -> tuple[str, str]:
    match fact:
        case history.CallerSaid(text, means):
            return "keys" if means is history.InputMode.KEYPAD else "caller", plain_text(text)
        case history.AgentSaid(text, voice, is_cut):
            label = "agent" if voice is history.SpeechSource.MODEL else str(voice)
            cut = "[cut off]" if text.strip() else "[cut off before a word was heard]"
            return label, f"{plain_text(text).strip()} {cut if is_cut else ''}".strip()
        case history.ToolUsed(_, call):
            return "tool", f"{plain_text(call.name)} {shortened(call.arguments)}"
        case history.Note(text):
            return "note", plain_text(text)
        case history.Summary(text, until, noted):
            return (
                "summary",
                f"of all before fact {until}: {plain_text(f'{text} {noted}')}".rstrip(),
            )


def _waterfalls(call: CallTranscript, columns: int) -> Iterator[str]:
    all_turns = ((one, turn) for one in call.connections for turn in _turns(one.steps))
    for number, (one, turn) in enumerate(all_turns, 1):
        first = "nothing was said"
        if turn.first_text_ms is not None:
            first = f"first text after {turn.first_text_ms / 1000:.2f} s"
        at, words = clock(turn.at_ms + call.since_beginning(one)), shortened(turn.words, 36)
        yield ""
        yield from folded(f"turn {number}  {at}  {words}  ({first})", columns)
        yield from _drawn(turn, columns)


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
class _Turn:
    at_ms: float
    words: str
    """What the caller said, or in brackets what else made the agent act."""
    spans: list[_Bar]
    first_text_ms: float | None
    last_text_ms: float | None


def _turns(steps: Sequence[RecordedStep]) -> list[_Turn]:
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


def _waterfall(turn: TrackedTurn) -> _Turn:
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
    return _Turn(
        round(turn.heard_at * 1000, 1),
        words,
        [hold, *map(bar, turn.activities)],
        ms(first),
        ms(turn.last_speech),
    )


def _drawn(turn: _Turn, columns: int) -> list[str]:
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
