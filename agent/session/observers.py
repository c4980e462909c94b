"""The observers of one connection of a call: metrics, record and trace, and what they begin with.

All see the same events in the same order. An error in one is caught
(`agent.observability.measured_ports`): the call and the other observers go on. A record stores
digests of the prompt with its placeholders, as the filled prompt differs for each day and caller;
so a prompt that was edited in one session item is not seen as a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

from agent import __version__
from agent import call as conversation
from agent.call.actions import StartReply
from agent.call.events import EndReason
from agent.call.messages import ReplyRequest
from agent.call.resumption import Resumption
from agent.observability import CallFacts, CallObserver, ObserverGuard, Telemetry, VersionStamp
from agent.observability.measured_ports import ObserverName
from agent.observability.recording.record_writer import CallRecorder
from agent.observability.recording.replay import Today
from agent.observability.recording.serialization import (
    Beginning,
    asks_digest,
    prompt_digest,
    tools_digest,
)
from agent.observability.tracing import CallTrace
from agent.ports import Item, ObservedStep, Observer
from agent.session import Resources
from agent.session.call_setup import CallSetup
from agent.session.live_config import LiveConfiguration, config_of, request_of
from agent.session.outcome_of_call import known_outcome
from agent.session.resume import started_ms
from agent.store.call_state import call_item
from agent.usecases import record as records
from agent.usecases.outcome_schema import CallOutcome
from agent.usecases.validation import plain
from agent.usecases.versions import intact_version

_NOTHING_ASKED = StartReply(0, ())
_WEBHOOK = (
    "CallSid", "From", "To", "Direction", "outboundUseCase", "startedMs", call_item.UNTRUSTED,
)  # fmt: skip
_O = TypeVar("_O", bound="SessionObserver")


class SessionObserver(Observer, Protocol):
    """`ports.Observer` that also sees the end of its connection, once."""

    def ended(self, reason: EndReason) -> None: ...


class CallObservers:
    """`ports.Observer` of one connection: all as one; a function returns None to open none."""

    def __init__(
        self,
        telemetry: Telemetry,
        metrics: Callable[[], CallObserver],
        record: Callable[[], SessionObserver | None],
        trace: Callable[[], SessionObserver | None],
    ) -> None:
        self._count = telemetry.count
        self._observers: list[tuple[ObserverGuard, SessionObserver]] = []
        self._steps: list[tuple[ObserverGuard, Callable[[ObservedStep], None]]] = []
        self._open("trace", trace)  # first: the others read the current trace
        self._metrics = self._open("metrics", metrics)
        self._open("record", record)

    @property
    def tokens(self) -> int:
        """Tokens of all kinds, used so far."""
        return self._metrics.tokens if self._metrics is not None else 0

    @property
    def cost(self) -> float | None:
        """What these tokens cost; None = not known."""
        return self._metrics.cost if self._metrics is not None else None

    @property
    def outcome(self) -> CallOutcome | None:
        """What the call has yielded; None before its end."""
        return self._metrics.outcome if self._metrics is not None else None

    @property
    def is_unanswered(self) -> bool:
        """Whether no model has answered the caller, though one was asked."""
        return self._metrics is not None and self._metrics.is_unanswered

    def observe(self, moment: ObservedStep) -> None:
        for guard, observe in self._steps:
            try:
                observe(moment)
            except Exception as error:  # noqa: BLE001 (as `with guard`, at no cost while all is well)
                guard.caught(error)

    def ended(self, reason: EndReason) -> None:
        for guard, observer in reversed(self._observers):
            with guard:
                observer.ended(reason)

    def add(
        self, name: ObserverName, open_one: Callable[[], SessionObserver | None]
    ) -> Callable[[], None]:
        """Open one more, of a caller of `open_observers`; returns what takes it out again."""
        observer = self._open(name, open_one)
        return partial(self._remove, observer)

    def __len__(self) -> int:
        return len(self._steps)

    def _remove(self, observer: SessionObserver | None) -> None:
        self._observers = [one for one in self._observers if one[1] is not observer]
        self._steps = [(guard, one.observe) for guard, one in self._observers]

    def _open(self, name: ObserverName, open_one: Callable[[], _O | None]) -> _O | None:
        guard = ObserverGuard(name, self._count)
        with guard:
            observer = open_one()
            if observer is not None:
                self._observers.append((guard, observer))
                self._steps.append((guard, observer.observe))
            return observer
        return None


def open_observers(
    resources: Resources,
    item: Item,
    configuration: LiveConfiguration,
    number: int,
    resumption: Resumption | None,
    now: float,
) -> CallObservers:
    """Open the observers of a connection; `number` 0 is the first one of the call."""
    call_sid, use_case = str(item["pk"]), configuration.use_case.name

    def model() -> str:
        return configuration.model.name

    def stamp() -> VersionStamp:
        request = configuration.request(_NOTHING_ASKED)
        return _stamp(configuration.use_case.name, item, configuration.template, request)

    def asks() -> str:
        return asks_digest(configuration.template, configuration.request(_NOTHING_ASKED))

    def record() -> CallRecorder | None:
        if resources.records is None:
            return None
        beginning = Beginning(
            brief=configuration.config,
            resumption=resumption,
            stamp=stamp(),
            began_ms=int(now * 1000),
            webhook={name: str(item[name]) for name in _WEBHOOK if name in item},
            profile=call_item.profile_item_of(item),
        )
        return resources.records.open(call_sid, number, beginning, asks)

    def trace() -> CallTrace | None:
        if resources.tracing is None:
            return None
        return resources.tracing.call(call_sid, use_case, number, model)

    rang_at = 0 if number else started_ms(item) / 1000
    rung = max(0.0, now - rang_at) if rang_at else None
    facts = CallFacts(
        stamp,
        number,
        __version__,
        resources.prices,
        rung,
        earlier=resumption.facts if resumption else (),
        outcome=lambda known, reason: known_outcome(configuration.use_case, known, reason),
    )
    metrics = partial(resources.telemetry.call, use_case, model, facts)
    return CallObservers(resources.telemetry, metrics, record, trace)


async def today(setup: CallSetup, began: Beginning, model: str) -> Today:
    """With what the same call would begin today; `model` is the default of the process."""
    record = await setup.record_of({"useCase": began.stamp.use_case})
    use_case, template = setup.parse(record), plain(record.get("prompt"))
    item: Item = {
        **began.webhook,
        "userContext": began.profile,
        "llmModel": use_case.model.identifier or model,
        "useCaseVersion": 0 if records.has_live_edits(record) else intact_version(record),
    }
    request = request_of(use_case, _NOTHING_ASKED)
    stamp = _stamp(use_case.name, item, template, request)
    # The numbers of the filled prompt are compared by its digest.
    config = replace(config_of(use_case, item), known=began.brief.known)
    if use_case.variables:  # their values are not recorded
        config = replace(config, greeting=began.brief.greeting)
    return Today(config, stamp, asks_digest(template, request))


def _stamp(
    use_case: str, item: Mapping[str, object], template: object, request: ReplyRequest
) -> VersionStamp:
    return VersionStamp(
        use_case=use_case,
        version=call_item.version_of(item),
        model=str(item.get("llmModel", "")),
        prompt=prompt_digest(template),
        tools=tools_digest(request.tools),
        code=code_digest(),
    )


@cache
def code_digest() -> str:
    """Digest of the sources of `agent.call`; computed once in a process."""
    digest = sha256()
    for file in sorted(Path(*conversation.__path__).glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
