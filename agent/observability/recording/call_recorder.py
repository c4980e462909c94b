"""What enters a conversation, and what it answers, as lines of a record.

`CallRecorder` is an observer beside the one of metrics. It writes a line for each event, gathers
lines to chunks, and hands a chunk over when it holds enough, when it is a few seconds old, or when
the line of the call is over. Nothing here waits, and a call that is not recorded has no recorder.

A line of a record is JSON, one of:

    {"begin": ...}    with what it began, `forms.Beginning`
    {"at", "took", "event", "did", "asks"}
                      milliseconds since the first event that it was received, and from then until
                      it was answered, see `ports.Moment`; the event; the actions;
                      `forms.asks_digest` if a model is asked
    {"end": reason}   the line of the call is over; without it the record is not complete

Rejected: one item for each event, which is one writing for each word of the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass

from agent.call.actions import StartReply
from agent.call.events import EndReason
from agent.observability.recording.serialization import (
    ActionForms,
    Beginning,
    Form,
    beginning_form,
    event_form,
    text_of,
)
from agent.ports import ObservedStep

CHUNK_CHARACTERS = 32 * 1024
"""A chunk is full with the line that reaches it."""
CHUNK_SECONDS = 5.0
"""How long a line may wait for others, and so what a process that dies loses at the most."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines of a record, in their order."""

    call_sid: str
    generation: int
    """Of the line of the call, `agent.session.resume`."""
    number: int
    """From 0."""
    lines: tuple[str, ...]
    context: Context
    """Of the call: in it the chunk is written."""

    @property
    def characters(self) -> int:
        """Its size."""
        return sum(map(len, self.lines))


class CallRecorder:
    """`ports.Observer` that keeps what it sees; made by `desk.RecordDesk.open`.

    Args:
        call_sid: The call.
        generation: Of its line.
        beginning: With what the conversation was made.
        asks: `forms.asks_digest` of what is in force now.
        keep: Takes a chunk over; never waits.
    """

    def __init__(
        self,
        call_sid: str,
        generation: int,
        beginning: Beginning,
        asks: Callable[[], str],
        keep: Callable[[Chunk], None],
    ) -> None:
        self._call_sid = call_sid
        self._generation = generation
        self._asks = asks
        self._keep = keep
        self._forms = ActionForms()
        self._began_at: float | None = None
        self._chunks = 0
        self._lines: list[str] = []
        self._characters = 0
        self._closing: asyncio.TimerHandle | None = None
        self._add({"begin": beginning_form(beginning)})

    def observe(self, moment: ObservedStep) -> None:
        """See `ports.Observer`."""
        actions = moment.actions
        if self._began_at is None:
            self._began_at = moment.received_at
        line: Form = {
            "at": _ms(moment.received_at - self._began_at),
            "took": _ms(moment.done_at - moment.received_at),
            "event": event_form(moment.event),
            "did": self._forms.write(actions),
        }
        if any(isinstance(action, StartReply) for action in actions):
            line["asks"] = self._asks()
        self._add(line)

    def ended(self, reason: EndReason) -> None:
        """The line of the call is over; called once."""
        self._add({"end": reason})
        self._close_chunk()

    def _add(self, line: Form) -> None:
        text = text_of(line)
        if not self._lines:
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(CHUNK_SECONDS, self._close_chunk)
        self._lines.append(text)
        self._characters += len(text)
        if self._characters >= CHUNK_CHARACTERS:
            self._close_chunk()

    def _close_chunk(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if not self._lines:
            return
        lines, context = tuple(self._lines), copy_context()
        self._keep(Chunk(self._call_sid, self._generation, self._chunks, lines, context))
        self._chunks += 1
        self._lines, self._characters = [], 0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
