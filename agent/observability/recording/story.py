"""All that the table has of a call: its facts, its lines, and its record if there is one.

Facts are kept a day, a record longer. Who asks later is told the facts of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.call.history import Fact
from agent.call.text import whole_number
from agent.observability.recording.record_reader import RecordedConnection, facts_of, read_record
from agent.observability.recording.serialization import RecordError
from agent.ports import Item, Store
from agent.store.call_state import call_item as session
from agent.store.call_state.facts import CHAT
from agent.store.call_state.history_loader import GENERATION, read_items
from agent.usecases.validation import plain

_RESUMES = "resume::"
_LARGEST = 10**15
"""Above any number of a line, and any time in milliseconds."""


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One fact of a call."""

    fact: Fact
    at_ms: float | None
    """Since the call began; None if it was not recorded."""
    generation: int
    """Of the line it happened on."""


@dataclass(frozen=True, slots=True)
class CallTranscript:
    """A call."""

    call_sid: str
    use_case: str
    caller: str
    """Who was at the other end; empty = withheld."""
    began_ms: int
    """Epoch milliseconds; 0 = not known."""
    entries: list[TranscriptEntry]
    causes: Mapping[int, str]
    """Why each further line was needed, by generation."""
    lines: list[RecordedConnection]
    fault: str
    """Why the record cannot be read; empty = it can, or there is none."""

    def since_beginning(self, line: RecordedConnection) -> float:
        """When a line began, in milliseconds since the call did."""
        return max(0.0, line.beginning.began_ms - (self.began_ms or line.beginning.began_ms))


async def read_story(store: Store, call_sid: str) -> CallTranscript | None:
    """What is known of a call; None if that is nothing.

    Raises:
        StoreError: The table cannot be reached.
    """
    item = await store.get(call_sid, session.CONNECTION) or {}
    chats = await store.query(call_sid, CHAT)
    causes = {
        _number(str(resume["sk"]).removeprefix(_RESUMES)): str(resume.get("cause", ""))
        for resume in await store.query(call_sid, _RESUMES)
    }
    lines, fault = await _lines(store, call_sid)
    if not (item or chats or lines or fault):
        return None
    first = lines[0].beginning if lines else None
    webhook = item or (first.webhook if first else {})
    began_ms = _number(str(plain(webhook.get("startedMs"))))
    story = CallTranscript(
        call_sid=call_sid,
        use_case=str(item.get("useCase", "")) or (first.stamp.use_case if first else ""),
        caller=session.identity_of(webhook),
        began_ms=began_ms,
        entries=[],
        causes=causes,
        lines=lines,
        fault=fault,
    )
    story.entries.extend(_entries(story, chats))
    return story


async def _lines(store: Store, call_sid: str) -> tuple[list[RecordedConnection], str]:
    try:
        return await read_record(store, call_sid), ""
    except RecordError as error:
        return [], str(error)


def _entries(story: CallTranscript, chats: Sequence[Item]) -> list[TranscriptEntry]:
    recorded: dict[int, TranscriptEntry] = {}
    for line in story.lines:
        offset = story.since_beginning(line)
        for position, (fact, at_ms) in facts_of(line).items():
            before = recorded.get(position)
            at = before.at_ms if before else at_ms + offset
            generation = before.generation if before else line.generation
            recorded[position] = TranscriptEntry(fact, at, generation)
    generations = _generations(chats)
    kept = [
        TranscriptEntry(
            fact, recorded[at].at_ms if at in recorded else None, generations.get(at, 0)
        )
        for at, fact in enumerate(read_items(chats).facts)
    ]
    return kept or [recorded[position] for position in sorted(recorded)]


def _generations(chats: Sequence[Item]) -> dict[int, int]:
    """By position: the line on which a fact was added, however often it was completed later."""
    latest, found = None, dict[int, int]()
    for item in reversed(chats):
        position, sequence = plain(item.get("position")), plain(item.get("sequence"))
        if isinstance(position, int) and isinstance(sequence, int):
            written = sequence // GENERATION
            latest = written if latest is None else min(latest, written)
            found[position] = latest
    return found


def _number(numeral: str) -> int:
    return whole_number(numeral, _LARGEST) or 0
