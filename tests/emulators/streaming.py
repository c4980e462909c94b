"""A reply as steps on the wire, in any provider's dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from tests.emulators.replies import Fault, HalfFrame, HangUp, Part, Reply, Stall


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes of the stream."""

    data: bytes
    after: float = 0.0


Step = Send | Stall | HangUp


class Dialect(Protocol):
    """One answer being written; kept for one answer only, since it numbers its parts."""

    def start(self) -> bytes:
        """The message begins."""

    def part(self, part: Part) -> Iterator[Step]:
        """One part of the reply."""

    def finish(self, reply: Reply) -> Iterator[Step]:
        """Stop reason and usage."""


def steps(reply: Reply, dialect: Dialect) -> Iterator[Step]:
    """Everything to send for a reply, up to a fault that ends it."""
    is_started = reply.starts_early
    if is_started:
        yield Send(dialect.start())
    for part in reply.parts:
        paced = part
        if not (is_started or _hides_start(part)):
            yield Send(dialect.start(), part.after)
            paced = replace(part, after=0.0)
            is_started = True
        yield from dialect.part(paced)
        if isinstance(part, Stall | HangUp | HalfFrame | Fault):
            return
    if not is_started:
        yield Send(dialect.start())
    yield from dialect.finish(reply)


def _hides_start(part: Part) -> bool:
    """Whether a part that comes first also takes the message's start away."""
    return isinstance(part, HangUp) or (isinstance(part, Stall) and part.reach != "started")
