"""Who watches one line of a call: metrics and the receipt, its record, its trace.

All see the same events, in one order, and each is told once that the line is over. A record and a
trace are there only if somebody asked for them.
"""

from __future__ import annotations

from functools import partial

from agent import __version__
from agent.configuration import LiveConfiguration
from agent.conversation.events import EndReason
from agent.conversation.resuming import Resumption
from agent.origins import answering, asks_of, beginning_of
from agent.ports import Item, Moment
from agent.recording.recorder import CallRecorder
from agent.resources import Resources
from agent.telemetry import CallFacts, CallObserver
from agent.tracing import CallTrace


class Watch:
    """`ports.Observer` of one line: all who watch it, as one; made by `open_watch`.

    Args:
        observer: Of metrics.
        recorder: Who keeps what happens; None if calls are not recorded.
        trace: None if calls leave none.
    """

    def __init__(
        self, observer: CallObserver, recorder: CallRecorder | None, trace: CallTrace | None
    ) -> None:
        self._observer = observer
        self._others = tuple(one for one in (observer, recorder) if one is not None)
        self._trace = trace

    @property
    def tokens(self) -> int:
        """Of all kinds, used so far."""
        return self._observer.tokens

    def observe(self, moment: Moment) -> None:
        """See `ports.Observer`."""
        if self._trace is not None:  # first: the others ask whose trace it is
            self._trace.observe(moment)
        for one in self._others:
            one.observe(moment)

    def ended(self, reason: EndReason) -> None:
        """The line is over; called once."""
        for one in self._others:
            one.ended(reason)
        if self._trace is not None:
            self._trace.ended(reason)


def open_watch(
    resources: Resources,
    item: Item,
    configuration: LiveConfiguration,
    number: int,
    resumption: Resumption | None,
    now: float,
) -> Watch:
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

    observer = resources.telemetry.call(use_case, model, facts)
    recorder = trace = None
    if resources.records is not None:
        beginning = beginning_of(configuration, item, resumption, now)
        asks = partial(asks_of, configuration)
        recorder = resources.records.open(call_sid, number, beginning, asks)
    if resources.tracing is not None:
        trace = resources.tracing.call(call_sid, use_case, number, model)
    return Watch(observer, recorder, trace)
