"""Reads the record of a call from its chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agent.call.events import Event
from agent.call.history import AgentSaid, CallerBegan, Fact
from agent.call.text import whole_number
from agent.observability.recording.serialization import (
    RECORD,
    RECORDED,
    Beginning,
    Form,
    RecordError,
    beginning_from,
    converted,
    event_from,
)
from agent.ports import Store

_LARGEST = 10**15


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One event, and the actions it led to."""

    at_ms: float
    """When it was received, since the first event of its connection."""
    took_ms: float
    """From then until it was carried out."""
    event: Event
    did: list[Form]
    """The actions, as `ActionForms` writes them."""
    asks: str
    """`asks_digest` of what a model was asked; empty = none was."""

    @property
    def done_ms(self) -> float:
        return self.at_ms + self.took_ms


@dataclass(slots=True)
class RecordedConnection:
    """What is recorded of one connection of a call."""

    generation: int
    beginning: Beginning
    steps: list[RecordedStep] = field(default_factory=list)
    end: str = ""
    is_torn: bool = False
    """A chunk is missing; what came after it is left out."""


async def read_record(store: Store, call_sid: str) -> list[RecordedConnection]:
    """The connections of a call in order; none if the call was not recorded.

    Raises:
        RecordError: It cannot be read; perhaps another version has written it.
    """
    return read_chunks(await store.query(call_sid, RECORD))


def read_chunks(items: Iterable[Mapping[str, object]]) -> list[RecordedConnection]:
    """The connections in items that are in the order of their sort keys."""
    found: dict[int, RecordedConnection] = {}
    expected: dict[int, int] = {}
    for item in items:
        generation, number = _place(str(item.get("sk", "")))
        forms = list(_forms(item))
        if generation not in found:
            match forms:
                case [{"begin": begin}, *rest] if number == 0:
                    found[generation] = RecordedConnection(generation, beginning_from(begin))
                    forms = rest
                case _:
                    continue  # without its beginning nothing of a connection can be played
        one = found[generation]
        one.is_torn = one.is_torn or number != expected.get(generation, 0)
        expected[generation] = number + 1
        if not one.is_torn:
            _add(one, forms)
    return list(found.values())


def missing(connections: Iterable[RecordedConnection]) -> list[int]:
    """The generations before the last recorded one of which nothing is recorded."""
    known = {one.generation for one in connections}
    return [generation for generation in range(max(known, default=0)) if generation not in known]


def facts_of(connection: RecordedConnection) -> dict[int, tuple[Fact, float]]:
    """The recorded facts by position, each with the time when it was first recorded."""
    facts: dict[int, tuple[Fact, float]] = {}
    for step in connection.steps:
        for form in step.did:
            match form:
                case {"kind": "Record", "position": int(position), "fact": {**raw}}:
                    before, more = facts.get(position), raw.pop("more", None)
                    if more is not None and before and isinstance(before[0], AgentSaid):
                        raw["text"] = before[0].text + str(more)
                    fact = RECORDED.read(raw)
                    if not isinstance(fact, CallerBegan):
                        facts[position] = (fact, before[1] if before else step.done_ms)
                case _:
                    pass
    return facts


def _place(sk: str) -> tuple[int, int]:
    connection, _, chunk = sk.removeprefix(RECORD).partition("::")
    generation, number = whole_number(connection, _LARGEST), whole_number(chunk, _LARGEST)
    if generation is None or number is None:
        raise RecordError("record: a chunk has a key that is none")
    return generation, number


def _forms(item: Mapping[str, object]) -> Iterator[Form]:
    for text in str(item.get("lines", "")).split("\n"):
        try:
            yield converted(json.loads(text), dict[str, object])
        except (ValueError, RecursionError) as error:
            raise RecordError("record: a line is not JSON") from error


def _add(connection: RecordedConnection, forms: Iterable[Form]) -> None:
    for form in forms:
        match form:
            case {"end": str(reason)}:
                connection.end = reason
            case {"at": at_ms, "took": took_ms, "event": event, "did": did, **rest}:
                connection.steps.append(
                    RecordedStep(
                        converted(at_ms, float),
                        converted(took_ms, float),
                        event_from(event),
                        converted(did, list[dict[str, object]]),
                        str(rest.get("asks", "")),
                    )
                )
            case _:
                raise RecordError("record: a line cannot be read")
