"""The observer of one call that counts and logs, and the telemetry of a process.

All times are those of the event loop. Times and outcomes are those of the model that was asked, as
a caller waits for it; tokens and their speed are those of the model that answered, which a reply
that was abandoned never tells.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from agent.call import events as ev
from agent.call.actions import Action, CancelSummary, Record, Speak
from agent.call.history import AgentSaid, CallerSaid, InputMode, Note
from agent.call.messages import Usage
from agent.call.speech_guard import verdict_of
from agent.call.timers import Timer
from agent.observability import turn_tracker as turns
from agent.observability.call_summary import CallFacts, CallSummary, by_kind
from agent.observability.metrics import Metrics
from agent.observability.turn_stages import OURS, Activity, TrackedTurn
from agent.ports import ObservedStep
from agent.usecases.outcome_schema import CallOutcome

log = structlog.get_logger(__name__)

_SHORTEST_WRITING_SECONDS = 0.05
"""A reply that came all at once has no speed."""


class CallObserver:
    """`ports.Observer` of one call; `model` gives the name of the model that answers now."""

    def __init__(
        self, metrics: Metrics, use_case: str, model: Callable[[], str], facts: CallFacts
    ) -> None:
        self._metrics = metrics
        self._count = metrics.count
        self._use_case = use_case
        self._model = model
        self._facts = facts
        self._log = log.bind(use_case=use_case)
        self._tracker = turns.TurnTracker()
        self._turns = 0
        self._summary = CallSummary(model)
        self._began = metrics.now()
        self._rung_seconds = facts.rung_seconds
        self._rang: float | None = None
        self._is_answered = self._is_failed = False
        self._fell_silent: float | None = None
        self._written: dict[int | str, float] = {}
        """Seconds of writing of the reply that ended last; its tokens may still come."""
        metrics.add_active_calls(1)

    @property
    def tokens(self) -> int:
        return sum(used.total() for used in self._summary.used.values())

    @property
    def cost(self) -> float | None:
        """What these tokens cost; None = not known, as a model has no price."""
        costs = self._facts.prices.each(self._summary.used)
        return sum(costs.values()) if costs.keys() == self._summary.used.keys() else None

    @property
    def outcome(self) -> CallOutcome | None:
        """What the call has yielded; None before its end."""
        return self._summary.outcome

    @property
    def is_unanswered(self) -> bool:
        """Whether a turn has failed and none was answered."""
        return self._is_failed and not self._is_answered

    def observe(self, moment: ObservedStep) -> None:
        if self._rung_seconds is not None:
            self._note_start(moment, self._rung_seconds)
        event, kind = moment.event, ""
        if type(event) is not ev.ReplyDelta:
            kind = self._note_input(moment)
            self._note_verdicts(moment)
            self._note_event(moment)
            if any(isinstance(one, CancelSummary) for one in moment.actions):
                self._count("agent_summaries_total", outcome="cancelled")
        elif event.text and not self._tracker.awaits(event.reply):
            self._count("agent_llm_stale_pieces_total")
        if outcome := turns.speculation_outcome(moment, self._tracker.ahead):
            self._count("agent_llm_speculations_total", outcome=outcome)
        for change in self._tracker.observe(moment, kind):
            self._note_change(change)
        self._summary.observe(moment, kind)

    def ended(self, reason: ev.EndReason) -> None:
        now = self._metrics.now()
        self._metrics.add_active_calls(-1)
        self._count("agent_calls_total", use_case=self._use_case, end_reason=reason)
        for change in self._tracker.ended(now):
            self._note_change(change)
        prices = self._facts.prices
        for model, cost in prices.each(self._summary.used).items():
            self._count("agent_llm_cost_total", cost, model=model, currency=prices.currency)
        self._summary.write(self._use_case, reason, self._turns, now - self._began, self._facts)

    def _note_start(self, moment: ObservedStep, rung_seconds: float) -> None:
        """Measure the time to the first speech of a call, once; the relay plays the greeting."""
        if self._rang is None:
            self._rang = moment.received_at - rung_seconds
        for action, at in moment.timed_actions:
            if _is_speech(action):
                count, seconds = self._count, max(0.0, at - self._rang)
                count("agent_call_time_to_first_speech_seconds", seconds, use_case=self._use_case)
                self._rung_seconds = None
                return

    def _note_input(self, moment: ObservedStep) -> str:
        """Count an interrupt and a DTMF entry; returns the kind of the interrupt."""
        kind = turns.interrupt_kind(moment)
        if kind:
            self._count("agent_interrupts_total", kind=kind)
            seconds = max(0.0, self._metrics.now() - moment.received_at)
            self._count("agent_interrupt_stop_seconds", seconds, kind=kind)
        if reason := _entry_reason(moment):
            self._count("agent_keypad_entries_total", reason=reason)
        return kind

    def _note_verdicts(self, moment: ObservedStep) -> None:
        facts = (action.fact for action in moment.actions if isinstance(action, Record))
        for guard in (verdict_of(fact) for fact in facts if isinstance(fact, Note)):
            if guard is not None:
                self._count("agent_guard_total", use_case=self._use_case, guard=guard)

    def _note_event(self, moment: ObservedStep) -> None:
        match moment.event:
            case ev.TokensCounted(reply, usage):
                self._count_tokens(reply, usage)
            case ev.Summarized():
                is_in_force = any(isinstance(one, Record) for one in moment.actions)
                self._count("agent_summaries_total", outcome="came" if is_in_force else "refused")
            case ev.SummaryFailed():
                self._count("agent_summaries_total", outcome="failed")
            case ev.PlaybackReported(ev.Playback.CALLER_OFF):
                self._fell_silent = moment.received_at
            case ev.PlaybackReported(ev.Playback.CALLER_ON):
                self._fell_silent = None
            case ev.PlaybackReported(ev.Playback.AGENT_ON) if self._fell_silent is not None:
                seconds = moment.received_at - self._fell_silent
                self._count("agent_turn_audio_latency_seconds", seconds, use_case=self._use_case)
                self._fell_silent = None
            case ev.TimerFired(Timer.IDLE) if any(isinstance(one, Speak) for one in moment.actions):
                self._count("agent_reprompts_total", use_case=self._use_case)
            case _:
                pass

    def _note_change(self, change: turns.Change) -> None:
        match change:
            case turns.FirstToken(request):
                self._count(
                    "agent_llm_time_to_first_token_seconds",
                    (request.first or 0.0) - request.began,
                    model=self._model(),
                    use_case=self._use_case,
                )
            case turns.FirstClause(request, at):
                self._count(
                    "agent_llm_time_to_first_clause_seconds",
                    at - request.began,
                    model=self._model(),
                    use_case=self._use_case,
                )
            case turns.ActivityEnded(activity):
                self._measure_activity(activity)
            case turns.FirstSpeech(turn):
                count, seconds = self._count, turn.response or 0.0
                count("agent_turn_time_to_first_speech_seconds", seconds, use_case=self._use_case)
                ours = sum(turn.stages.get(stage, 0.0) for stage in OURS)
                count("agent_turn_overhead_seconds", ours)
            case turns.TurnFinished(turn) if turn.cause is None:
                self._finish_turn(turn)
            case _:
                pass

    def _measure_activity(self, one: Activity) -> None:
        outcome, seconds = one.outcome, one.seconds
        if one.tool:
            self._summary.add_tool(one)
            self._count("agent_tool_duration_seconds", seconds, tool=one.tool, outcome=outcome)
            return
        model = self._model()
        self._count("agent_llm_requests_total", model=model, outcome=outcome)
        self._count("agent_llm_duration_seconds", seconds, model=model, outcome=outcome)
        if one.fault:
            self._count("agent_llm_errors_total", model=model, kind=one.fault)
        if one.first is not None:
            self._written = {one.key: (one.ended or one.first) - one.first}

    def _finish_turn(self, turn: TrackedTurn) -> None:
        self._turns += 1
        self._is_failed |= turn.is_failed
        self._is_answered |= turn.response is not None and not turn.is_failed
        stops = [one.stop for one in turn.activities if one.stop]  # of replies not abandoned
        faults = [one.reason or one.fault for one in turn.activities if one.fault]
        self._count("agent_turns_total", use_case=self._use_case, outcome=turn.outcome)
        for stage, seconds in turn.stages.items():
            self._count("agent_turn_stage_seconds", seconds, use_case=self._use_case, stage=stage)
        self._log.info(
            "turn.finished",
            turn=self._turns,
            model=self._model(),
            outcome=turn.outcome,
            response_ms=None if turn.response is None else _ms(turn.response),
            total_ms=_ms(turn.total),
            stages={str(stage): _ms(seconds) for stage, seconds in turn.stages.items()},
            requests=sum(not one.tool for one in turn.activities),
            tool_rounds=turn.tool_rounds,
            tools=[
                {"name": run.tool, "ms": _ms(run.seconds), "outcome": run.outcome}
                for run in turn.activities
                if run.tool
            ],
            interrupted=turn.interrupted,
            filler=turn.is_filler,
            tokens=dict(turn.used),
            stop=stops[-1] if stops else "",
            fault=faults[-1] if faults else "",
        )

    def _count_tokens(self, reply: int | None, usage: Usage) -> None:
        model = usage.model or self._model()
        for kind, tokens in by_kind(usage).items():
            self._count("agent_llm_tokens_total", tokens, model=model, kind=kind)
        seconds = self._written.pop(reply, 0.0) if reply is not None else 0.0
        if seconds >= _SHORTEST_WRITING_SECONDS and usage.output:
            self._count("agent_llm_tokens_per_second", usage.output / seconds, model=model)


def _is_speech(action: Action) -> bool:
    match action:
        case Speak() | Record(_, AgentSaid()):
            return True
        case _:
            return False


def _entry_reason(moment: ObservedStep) -> str:
    """What completed a DTMF entry; empty text if no entry was completed.

    A key that means something by itself (`key`) is recorded like an entry of just that key.
    """
    typed = [
        action.fact.text
        for action, _ in moment.timed_actions
        if isinstance(action, Record)
        and isinstance(action.fact, CallerSaid)
        and action.fact.means is InputMode.KEYPAD
    ]
    match moment.event:
        case ev.CallerPressed(digit) if typed[-1:] == [digit]:
            return "key" if len(typed) > 1 else ""
        case _ if not typed:
            return ""
        case ev.CallerPressed(digit):
            return "terminator" if digit == "#" else "length"
        case ev.TimerFired(Timer.DIGITS):
            return "pause"
        case ev.CallerSpoke():
            return "speech"
        case _:
            return "ended"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


class Telemetry(Metrics):
    """All metrics of one process, and an observer for each of its calls."""

    def call(
        self, use_case: str, model: Callable[[], str], facts: CallFacts | None = None
    ) -> CallObserver:
        return CallObserver(self, use_case, model, facts or CallFacts())
