"""Time limits of a model: `MODEL_..._SECONDS` of the process, `[model.times]` of a use case.

What neither sets follows from the place of the model. A server on this machine is one slow machine:
it may read the prompt for half a minute, and a second request would make it slower. Limits that are
not set follow from those that are, so that one that was raised is not cut by another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

LONGEST_REPLY_SECONDS = 600.0
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})
_Wait = Annotated[float, Meta(ge=0.5, le=300)]


class ModelTimes(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Limits that were set, in seconds; `None` = not set."""

    first_event_seconds: _Wait | None = None
    """From sending the request to the first event of a reply."""
    gap_seconds: _Wait | None = None
    """Between two events."""
    reply_seconds: Annotated[float, Meta(ge=1, le=LONGEST_REPLY_SECONDS)] | None = None
    """The whole reply, with retries and fallbacks."""
    hedge_seconds: Annotated[float, Meta(ge=0, le=60)] | None = None
    """The latest time for a second request beside a late one; 0 = there is none."""

    def over(self, others: ModelTimes) -> ModelTimes:
        """These limits, and the others where none is set."""
        given = {**msgspec.to_builtins(others), **msgspec.to_builtins(self)}
        return ModelTimes(**given)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Longest waits for a model, in seconds."""

    connect: float = 1.5
    first_event: float = 2.5  # from sending the request
    gap: float = 4.0  # between events
    reply: float = 20.0  # the whole reply, with retries and fallbacks
    hedge: float = 1.5  # the latest time for a second request; 0 = there is none
    load: float = 60.0  # in place of `first_event`, where a server may have to load the model first

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What cannot be meant: the name of a limit, and what it must be."""
        if self.hedge >= self.first_event:
            yield "hedge", f"must be below the wait for the first event, {self.first_event:g}"
        longest = max(self.first_event, self.gap)
        if longest >= self.reply:
            yield "reply", f"must be above the wait for an event, {longest:g}"


NO_TIMES = ModelTimes()
USUAL_LIMITS = TimeLimits()
_HERE = TimeLimits(first_event=30.0, gap=10.0, reply=90.0, hedge=0.0)


def time_limits(times: ModelTimes, url: str = "", load: float = 60.0) -> TimeLimits:
    """The limits of a model.

    Args:
        times: What was set.
        url: Of its server; empty = that of its provider.
        load: Seconds for a server that loads the model on demand.
    """
    usual = _HERE if urlsplit(url).hostname in _THIS_MACHINE else USUAL_LIMITS
    first = usual.first_event if times.first_event_seconds is None else times.first_event_seconds
    gap = usual.gap if times.gap_seconds is None else times.gap_seconds
    reply, hedge = times.reply_seconds, times.hedge_seconds
    return TimeLimits(
        first_event=first,
        gap=gap,
        reply=max(usual.reply, 3 * first, 2 * gap) if reply is None else reply,
        hedge=min(usual.hedge, 0.6 * first) if hedge is None else hedge,
        load=max(load, first),
    )
