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

from agent.call import history
from agent.call.text import whole_number
from agent.observability.recording.serialization import (
    LARGEST,
    RECORDED,
    RecordedConnection,
    RecordError,
    facts_of,
    missing,
    read_record,
    text_of,
)
from agent.observability.recording.turn_bars import drawn, turns_of_steps
from agent.ports import Item, Store
from agent.store.call_state import call_item as session
from agent.store.call_state.history_loader import GENERATION, read_items
from agent.store.call_state.journal import CHAT
from agent.store.call_state.outcome_item import outcome_form, outcome_texts, read_outcome_of
from agent.usecases.outcome_schema import CallOutcome
from agent.usecases.validation import plain

_RESUMES = "resume::"
COLUMNS = 100
"""Of the output, unless a terminal has fewer."""
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
    outcome: CallOutcome | None = None
    is_redacted: bool = False

    def since_beginning(self, one: RecordedConnection) -> float:
        return max(0.0, one.beginning.began_ms - (self.began_ms or one.beginning.began_ms))


async def read_transcript(store: Store, call_sid: str) -> CallTranscript | None:
    """A call with its facts and its record; None if the table has nothing of it."""
    keys = [(call_sid, session.CONNECTION), (call_sid, session.REDACTION)]
    item, redaction = (found or {} for found in await store.get_many(keys))
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
    outcome = await read_outcome_of(store, call_sid)
    is_redacted = redaction.get("state") == session.REDACTED
    call = CallTranscript(
        call_sid, use_case, caller, began_ms, [], causes, connections, fault, outcome, is_redacted
    )
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
                "turns": turns_of_steps(one.steps),
            }
            for one in call.connections
        ],
        "resumes": call.causes,
        "outcome": outcome_form(call.outcome) if call.outcome else None,
        "redacted": call.is_redacted,
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
    if call.is_redacted:
        yield "redacted: placeholders stand for personal values"
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
    if call.outcome is not None:
        yield from (f"outcome: {shortened(text, 80)}" for text in outcome_texts(call.outcome))


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
    all_turns = ((one, turn) for one in call.connections for turn in turns_of_steps(one.steps))
    for number, (one, turn) in enumerate(all_turns, 1):
        first = "nothing was said"
        if turn.first_text_ms is not None:
            first = f"first text after {turn.first_text_ms / 1000:.2f} s"
        at, words = clock(turn.at_ms + call.since_beginning(one)), shortened(turn.words, 36)
        yield ""
        yield from folded(f"turn {number}  {at}  {words}  ({first})", columns)
        yield from drawn(turn, columns)
