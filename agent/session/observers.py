"""The observers of one line of a call: metrics and the receipt, its record, its trace.

All see the same events, in one order, and each is told once that the line is over. A record and a
trace are there only where they are asked for. A fault in an observer stays in it
(`agent.observability.measured_ports`): the call and the other observers go on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from agent import __version__
from agent.call.events import EndReason
from agent.call.resumption import Resumption
from agent.observability import CallFacts, CallObserver, ObserverGuard, Telemetry
from agent.observability.measured_ports import ObserverName
from agent.observability.recording.call_recorder import CallRecorder
from agent.observability.tracing import CallTrace
from agent.ports import Item, ObservedStep
from agent.session.live_config import LiveConfiguration
from agent.session.recording_metadata import answering, asks_of, beginning_of
from agent.session.resources import Resources

_O = TypeVar("_O", bound="SessionObserver")


class SessionObserver(Protocol):
    """`ports.Observer` that is told when its line is over."""

    def observe(self, moment: ObservedStep) -> None:
        """See `ports.Observer`."""
        ...

    def ended(self, reason: EndReason) -> None:
        """The line is over; called once."""
        ...


class CallObservers:
    """`ports.Observer` of one line: all its observers as one, none of which can do harm.

    Args:
        telemetry: Of the process; counts the faults of observers.
        metrics: Opens the observer of metrics.
        record: Opens the recorder; gives None where calls are not recorded.
        trace: Opens the trace; gives None where calls leave none.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        metrics: Callable[[], CallObserver],
        record: Callable[[], SessionObserver | None],
        trace: Callable[[], SessionObserver | None],
    ) -> None:
        self._count = telemetry.count
        self._observers: list[tuple[ObserverGuard, SessionObserver]] = []
        self._open("trace", trace)  # first: the others ask which trace they measure
        self._metrics = self._open("metrics", metrics)
        self._open("record", record)

    @property
    def tokens(self) -> int:
        """Of all kinds, used so far."""
        return self._metrics.tokens if self._metrics is not None else 0

    def observe(self, moment: ObservedStep) -> None:
        """See `ports.Observer`."""
        for guard, observer in self._observers:
            with guard:
                observer.observe(moment)

    def ended(self, reason: EndReason) -> None:
        """The line is over; called once."""
        for guard, observer in reversed(self._observers):
            with guard:
                observer.ended(reason)

    def _open(self, name: ObserverName, open_one: Callable[[], _O | None]) -> _O | None:
        guard = ObserverGuard(name, self._count)
        with guard:
            observer = open_one()
            if observer is not None:
                self._observers.append((guard, observer))
            return observer
        return None


def open_watch(
    resources: Resources,
    item: Item,
    configuration: LiveConfiguration,
    number: int,
    resumption: Resumption | None,
    now: float,
) -> CallObservers:
    """Have a line watched from now on.

    Args:
        resources: Of the process.
        item: The session item of the call.
        configuration: Of the call.
        number: Of the line; 0 is the first one of the call.
        resumption: None for the first line.
        now: Epoch seconds.
    """
    call_sid, use_case = str(item["pk"]), configuration.use_case.name
    facts = CallFacts(
        stamp=partial(answering, configuration, item),
        resume=number,
        code_version=__version__,
        prices=resources.prices,
    )

    def model() -> str:
        return configuration.model.name

    def record() -> CallRecorder | None:
        if resources.records is None:
            return None
        beginning = beginning_of(configuration, item, resumption, now)
        return resources.records.open(call_sid, number, beginning, partial(asks_of, configuration))

    def trace() -> CallTrace | None:
        if resources.tracing is None:
            return None
        return resources.tracing.call(call_sid, use_case, number, model)

    metrics = partial(resources.telemetry.call, use_case, model, facts)
    return CallObservers(resources.telemetry, metrics, record, trace)
