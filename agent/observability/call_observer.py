"""The one observer of a call: replies, turns and the receipt see what it sees.

Everything is on the clock of the process's metrics, which is that of the event loop.

The telemetry of one process: its metrics, and an observer for each of its calls.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.call.actions import Speak
from agent.call.events import EndReason, Playback, PlaybackReported, TimerFired
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.observability.call_summary import CallFacts, CallSummary
from agent.observability.input_kinds import entry_reason, interrupt_kind
from agent.observability.metrics import Metrics
from agent.observability.reply_metrics import Replies
from agent.observability.turn_tracker import TurnTracker
from agent.ports import ObservedStep

_CLOCKS = (StartTimer, StopTimer)


class CallObserver:
    """`ports.Observer` of one call.

    Args:
        metrics: Of the process.
        use_case: Its name.
        model: Tells the name of the model that answers now.
        facts: For the receipt.
    """

    def __init__(
        self, metrics: Metrics, use_case: str, model: Callable[[], str], facts: CallFacts
    ) -> None:
        self._metrics = metrics
        self._use_case = use_case
        self._facts = facts
        self._replies = Replies(metrics.count, use_case, model)
        self._turns = TurnTracker(metrics.count, use_case, model)
        self._receipt = CallSummary(model)
        self._began = metrics.now()
        self._fell_silent: float | None = None
        metrics.add_active_calls(1)

    @property
    def tokens(self) -> int:
        """Of all kinds, used so far."""
        return self._receipt.tokens

    def ended(self, reason: EndReason) -> None:
        """The call is over; called once."""
        now = self._metrics.now()
        self._metrics.add_active_calls(-1)
        self._metrics.count("agent_calls_total", use_case=self._use_case, end_reason=reason)
        self._turns.ended(now)
        prices = self._facts.prices
        for model, cost in prices.each(self._receipt.used):
            self._metrics.count("agent_llm_cost_total", cost, model=model, currency=prices.currency)
        self._receipt.write(
            self._use_case, reason, self._turns.count, now - self._began, self._facts
        )

    def observe(self, moment: ObservedStep) -> None:
        """See `ports.Observer`."""
        if self._replies.is_being_written(moment.event) and _is_silent(moment):
            return  # one more word of many
        if kind := interrupt_kind(moment):
            self._metrics.count("agent_interrupts_total", kind=kind)
            seconds = max(0.0, self._metrics.now() - moment.received_at)
            self._metrics.count("agent_interrupt_stop_seconds", seconds, kind=kind)
        if reason := entry_reason(moment):
            self._metrics.count("agent_keypad_entries_total", reason=reason)
        self._replies.observe(moment)
        self._turns.observe(moment, kind)
        self._receipt.observe(moment, kind)
        match moment.event:
            case PlaybackReported(report):
                self._listen(report, moment.received_at)
            case TimerFired(Timer.IDLE) if any(isinstance(one, Speak) for one, _ in moment.deeds):
                self._metrics.count("agent_reprompts_total", use_case=self._use_case)
            case _:
                pass

    def _listen(self, report: Playback, at: float) -> None:
        """Measure the silence between the caller's voice and the agent's."""
        if report is Playback.CALLER_OFF:
            self._fell_silent = at
        elif report is Playback.CALLER_ON:
            self._fell_silent = None
        elif report is Playback.AGENT_ON and self._fell_silent is not None:
            seconds = at - self._fell_silent
            self._metrics.count(
                "agent_turn_audio_latency_seconds", seconds, use_case=self._use_case
            )
            self._fell_silent = None


def _is_silent(moment: ObservedStep) -> bool:
    return all(isinstance(action, _CLOCKS) for action, _ in moment.deeds)


class Telemetry(Metrics):
    """All metrics of one process."""

    def call(
        self, use_case: str, model: Callable[[], str], facts: CallFacts | None = None
    ) -> CallObserver:
        """A new call begins; its observer counts it until `ended`.

        Args:
            use_case: Its name.
            model: Tells the name of the model that answers now.
            facts: For the receipt; none are known without them.
        """
        return CallObserver(self, use_case, model, facts or CallFacts())
