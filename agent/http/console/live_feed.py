"""What one call does, as messages for the pages that watch it.

A feed observes its call while it has a watcher; a call without one costs nothing. Each watcher gets
the facts so far, then every fact, note and report of the relay as it happens. A watcher who does
not keep up is closed, and begins anew with the facts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import msgspec

from agent.call.actions import Record
from agent.call.events import (
    CallerSpoke,
    EndReason,
    OperatorActed,
    PlaybackReported,
)
from agent.call.history import CallerBegan, Note, Recorded
from agent.call.operator_acts import GIVEN_BACK, TAKEN_OVER
from agent.observability import Prices
from agent.observability.call_notes import CallNotes
from agent.observability.recording.serialization import RECORDED
from agent.ports import ObservedStep
from agent.session.active_calls import RunningCall
from agent.store.call_state import call_item

MOST_WAITING = 1_000
"""Messages that wait for one watcher."""
_ALIVE_SECONDS = 2.0
"""A page that has gone is noticed by the next write."""
_ALIVE = b": alive\n\n"


def framed(message: bytes) -> bytes:
    """A message as a server-sent event; made once for all watchers.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    return b"data: " + message + b"\n\n"


class Watcher:
    """The events for one page, in order, each `framed`."""

    def __init__(self, first: Iterable[bytes] = ()) -> None:
        self._waiting = list(first)
        self._arrival = asyncio.Event()
        self._is_closed = False

    def tell(self, event: bytes) -> None:
        """Add an event; a watcher that has too many unread ones is closed."""
        if len(self._waiting) >= MOST_WAITING:
            self.close()
        elif not self._is_closed:
            self._waiting.append(event)
            self._arrival.set()

    def close(self) -> None:
        """No more messages follow."""
        self._is_closed = True
        self._arrival.set()

    async def events(self) -> AsyncIterator[bytes]:
        """All events that wait, as one; a comment when there is nothing to tell for a while."""
        while self._waiting or not self._is_closed:
            if self._waiting:
                together = b"".join(self._waiting)
                self._waiting.clear()
                yield together
                continue
            self._arrival.clear()
            try:
                async with asyncio.timeout(_ALIVE_SECONDS):
                    await self._arrival.wait()
            except TimeoutError:
                yield _ALIVE


@dataclass(slots=True, eq=False)
class LiveFeed:
    """`SessionObserver` of one call that pages watch."""

    _call: RunningCall
    _prices: Prices
    _now: Callable[[], float]
    watchers: set[Watcher] = field(default_factory=set)
    remove: Callable[[], None] = lambda: None
    """Takes the feed out of the observers of its call."""
    _notes: CallNotes = field(init=False)
    _has_operator: bool = False

    def __post_init__(self) -> None:
        configuration = self._call.configuration
        self._notes = CallNotes(lambda: configuration.model.name, self._prices)
        for fact in self._call.history:
            self._follow(fact)

    def beginning(self) -> Iterator[bytes]:
        """The call as it stands: what it is, then its facts."""
        item, configuration, history = (
            self._call.item,
            self._call.configuration,
            self._call.history,
        )
        yield _encoded(
            type="call",
            call=str(item["pk"]),
            caller=call_item.identity_of(item),
            useCase=configuration.use_case.name,
            model=configuration.model.name,
            began_ms=item.get("startedMs"),
            mayTransfer=configuration.config.can_hand_off,
            isTakenOver=self._has_operator,
        )
        for position, fact in enumerate(history, history.first):
            yield _encoded(type="fact", position=position, fact=RECORDED.write(fact))

    def observe(self, moment: ObservedStep) -> None:
        """Tell what a step has changed."""
        match moment.event:
            case CallerSpoke(text, False):
                self._tell(type="partial", text=text)
            case PlaybackReported(report, text):
                self._tell(type="playback", report=report, text=text)
            case OperatorActed(act, _, operator):
                self._tell(type="act", act=act, by=operator, isDone=bool(moment.timed_actions))
            case _:
                pass
        for action, _ in moment.timed_actions:
            if isinstance(action, Record) and not isinstance(action.fact, CallerBegan):
                self._follow(action.fact)
                form = RECORDED.write(action.fact)
                self._tell(type="fact", position=action.position, fact=form)
        for note in self._notes.observe(moment):
            self._send(framed(msgspec.json.encode(note)))

    def ended(self, reason: EndReason) -> None:
        """The connection is over; a call that goes on is watched anew."""
        for note in self._notes.ended(self._now()):
            self._send(framed(msgspec.json.encode(note)))
        self._tell(type="ended", reason=reason)
        for watcher in self.watchers:
            watcher.close()

    def _follow(self, fact: Recorded) -> None:
        if fact in {Note(TAKEN_OVER), Note(GIVEN_BACK)}:
            self._has_operator = fact == Note(TAKEN_OVER)
            self._tell(type="control", isTakenOver=self._has_operator)

    def _tell(self, **message: object) -> None:
        self._send(_encoded(**message))

    def _send(self, event: bytes) -> None:
        for watcher in self.watchers:
            watcher.tell(event)


class LiveFeeds:
    """The feeds of one process, by connection of a call."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._feeds: dict[int, LiveFeed] = {}

    @contextmanager
    def watching(self, call: RunningCall) -> Iterator[Watcher]:
        """Watch a call that runs in this process."""
        key = id(call)
        feed = self._feeds.get(key)
        if feed is None:
            feed = LiveFeed(call, self._prices, asyncio.get_running_loop().time)
            feed.remove = call.observers.add("view", partial(_itself, feed))
            self._feeds[key] = feed
        watcher = Watcher(feed.beginning())
        feed.watchers.add(watcher)
        try:
            yield watcher
        finally:
            feed.watchers.discard(watcher)
            if not feed.watchers:
                feed.remove()
                del self._feeds[key]


def _itself(feed: LiveFeed) -> LiveFeed:
    return feed


def _encoded(**message: object) -> bytes:
    return framed(msgspec.json.encode(message))
