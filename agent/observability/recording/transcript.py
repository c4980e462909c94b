"""A call as text for a terminal, or for machines.

What callers and models said may hold anything, so whatever would steer a terminal is left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    InputMode,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
)
from agent.observability.recording.record_reader import RecordedConnection, missing
from agent.observability.recording.serialization import Form, fact_form, text_of
from agent.observability.recording.story import CallTranscript, TranscriptEntry
from agent.observability.recording.waterfall import COLUMNS, WaterfallTurn, drawn, turns

_INDENT = 18
_LONGEST = 240
"""Of arguments and results of tools."""


def transcript(story: CallTranscript, columns: int = COLUMNS) -> str:
    """A call for a reader."""
    heading = [part for line in _heading(story) for part in folded(line, columns)]
    entries, waterfalls = _entries(story, columns), _waterfalls(story, columns)
    return "\n".join([*heading, "", *entries, *waterfalls])


def story_form(story: CallTranscript) -> Form:
    """A call for machines."""
    return {
        "call": story.call_sid,
        "use_case": story.use_case,
        "caller": story.caller,
        "began_ms": story.began_ms,
        "facts": [
            {"at_ms": entry.at_ms, "line": entry.generation, **fact_form(entry.fact)}
            for entry in story.entries
        ],
        "lines": [_line_form(story, line) for line in story.lines],
        "resumes": {str(number): cause for number, cause in story.causes.items()},
        "fault": story.fault,
    }


def plain_text(text: str) -> str:
    """Text that only prints, in one line."""
    return "".join(one if _prints(one) else " " for one in text)


def printable(text: str) -> str:
    """All lines of an output without what could steer a terminal."""
    return "\n".join(map(plain_text, text.split("\n")))


def escaped(json_text: str) -> str:
    """JSON without what could steer a terminal: the same value, such characters by their codes."""
    return "".join(one if one.isprintable() else _escape(one) for one in json_text)


def _prints(character: str) -> bool:
    """Joiners shape the letters of some languages; all else that is invisible is left out."""
    return character.isprintable() or character in "\u200c\u200d"


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Its beginning, and how much there is."""
    text = plain_text(text)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def folded(line: str, columns: int) -> list[str]:
    """A line over several on a narrow terminal; whole otherwise, for whoever searches it."""
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


def _heading(story: CallTranscript) -> Iterator[str]:
    began = ""
    if story.began_ms:
        began = f", {datetime.fromtimestamp(story.began_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield plain_text(story.call_sid)
    caller = plain_text(story.caller) or "an unknown caller"
    yield f"{plain_text(story.use_case) or 'no use case'}, with {caller}{began}"
    if story.fault:
        yield f"the record cannot be used: {story.fault}"
    elif not story.lines:
        yield "no events are recorded, or not yet (RECORD_CALLS): no times"
    for generation in missing(story.lines):
        yield f"line {generation}: nothing of it is recorded"
    for line in story.lines:
        stamp, end = line.beginning.stamp, line.end or "unknown: the record is not complete"
        torn = ", a part is missing" if line.is_torn else ""
        yield (
            f"line {line.generation}: version {stamp.version}, {plain_text(stamp.model)},"
            f" {len(line.steps)} events, end {end}{torn}"
        )


def _entries(story: CallTranscript, columns: int) -> Iterator[str]:
    generation = 0
    for entry in story.entries:
        if entry.generation > generation:
            generation = entry.generation
            cause = plain_text(story.causes.get(generation, "")) or "not known why"
            yield f"--- line {generation}: {cause} ".ljust(columns, "-")
        yield from _entry(entry, columns)


def _entry(entry: TranscriptEntry, columns: int) -> Iterator[str]:
    label, text = _told(entry.fact)
    first = f"{clock(entry.at_ms):<8} {label:<8} "
    yield from textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=" " * _INDENT, break_on_hyphens=False
    ) or [first.rstrip()]
    if isinstance(entry.fact, ToolUsed):
        yield from textwrap.wrap(
            _result(entry.fact),
            columns,
            initial_indent=" " * _INDENT,
            subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )


def _told(fact: Fact) -> tuple[str, str]:
    """Who, and what."""
    match fact:
        case CallerSaid(text, means):
            return "keys" if means is InputMode.KEYPAD else "caller", plain_text(text)
        case AgentSaid(text, voice, is_cut):
            label = "agent" if voice is SpeechSource.MODEL else str(voice)
            cut = "[cut off]" if text.strip() else "[cut off before a word was heard]"
            return label, f"{plain_text(text).strip()} {cut if is_cut else ''}".strip()
        case ToolUsed(_, call):
            return "tool", f"{plain_text(call.name)} {shortened(call.arguments)}"
        case Note(text):
            return "note", plain_text(text)
        case Summary(text, until):
            return "summary", f"of all before fact {until}: {plain_text(text)}"


def _result(used: ToolUsed) -> str:
    if used.result is None:
        return "-> no result"
    return f"-> {'error ' if used.result.is_error else ''}{shortened(used.result.content)}"


def _waterfalls(story: CallTranscript, columns: int) -> Iterator[str]:
    number = 0
    for line in story.lines:
        for turn in turns(line.steps):
            number += 1
            yield ""
            heading = _turn_heading(number, turn, story.since_beginning(line))
            yield from folded(heading, columns)
            yield from drawn(turn, columns)


def _turn_heading(number: int, turn: WaterfallTurn, offset_ms: float) -> str:
    words = shortened(turn.words, 40)
    first = "nothing was said"
    if turn.first_text_ms is not None:
        first = f"first text after {turn.first_text_ms / 1000:.2f} s"
    return f"turn {number}  {clock(turn.at_ms + offset_ms)}  {words}  ({first})"


def _line_form(story: CallTranscript, line: RecordedConnection) -> Form:
    return {
        "line": line.generation,
        "began_ms": line.beginning.began_ms,
        "since_beginning_ms": story.since_beginning(line),
        "stamp": asdict(line.beginning.stamp),
        "events": len(line.steps),
        "end": line.end,
        "is_torn": line.is_torn,
        "turns": [_turn_form(turn) for turn in turns(line.steps)],
    }


def _turn_form(turn: WaterfallTurn) -> Form:
    return {**turn._asdict(), "spans": [bar._asdict() for bar in turn.spans]}


def story_text(story: CallTranscript) -> str:
    """`story_form` as JSON text."""
    return escaped(text_of(story_form(story)))
