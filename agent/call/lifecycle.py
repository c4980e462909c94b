"""The course of one call: when it begins, how long it may last, and how it ends.

    new -> open -> closing (the carrier was told to end) -> gone

An end is decided first and carried out later, when the last words were played. Meanwhile the call
goes on: there may be an answer to finish, and a caller who goes on speaking takes the end back, if
it can be (`agent.call.ending`). What comes out of season changes nothing, such as a key
after the end.
"""

from __future__ import annotations

from enum import Enum, auto

from agent.call import events as ev
from agent.call.actions import Action, Effect, EndCall, Handoff, HangUp, SwitchLanguage, Timer
from agent.call.config import CallConfig, Limits
from agent.call.ending import BY_AGENT, CallEnding, transfer
from agent.call.events import EndReason, Event
from agent.call.history import History
from agent.call.timers import TimerSet


class _Phase(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSING = auto()
    """The carrier was told to end."""
    GONE = auto()


class CallLifecycle:
    """How far one call has come, and how it is going to end."""

    def __init__(self, history: History, clocks: TimerSet) -> None:
        self._history = history
        self._clocks = clocks
        self._phase = _Phase.NEW
        self._reason = EndReason.CALLER_HANGUP
        self._ending: CallEnding | None = None
        self._warnings = 0
        self._language = ""
        """The one switched to last; empty = that of the use case."""

    @property
    def is_open(self) -> bool:
        """It has begun, and the carrier was not told to end it."""
        return self._phase is _Phase.OPEN

    @property
    def is_closing(self) -> bool:
        """The carrier was told to end it and has not."""
        return self._phase is _Phase.CLOSING

    @property
    def is_gone(self) -> bool:
        """The line is lost."""
        return self._phase is _Phase.GONE

    @property
    def reason(self) -> EndReason:
        """Why the call ended; final once it has."""
        return self._reason

    @property
    def ending(self) -> CallEnding | None:
        """The end that is decided, as long as nobody takes it back."""
        return self._ending

    @property
    def is_revocable(self) -> bool:
        """An end is decided that a caller who goes on speaking takes back."""
        return self._ending is not None and self._ending.is_revocable

    @property
    def is_settled(self) -> bool:
        """The end stands, whatever the caller says."""
        return self.is_closing or (self._ending is not None and not self._ending.is_revocable)

    @property
    def is_time_up(self) -> bool:
        """It has lasted as long as it may, and the caller was warned."""
        return self._warnings > 1

    def expects(self, event: Event) -> bool:
        """The event is in season."""
        match event:
            case ev.CallStarted():
                return self._phase is _Phase.NEW
            case ev.CallEnded():
                return self._phase is not _Phase.GONE
            case ev.ServiceStopping():
                return self._phase in {_Phase.NEW, _Phase.OPEN}
            case ev.CallerSpoke() | ev.CallerInterrupted() | ev.TokensCounted():
                return self._phase in {_Phase.OPEN, _Phase.CLOSING}
            case ev.CallerPressed() | ev.PlaybackReported() | ev.Summarized() | ev.SummaryFailed():
                return self._phase is _Phase.OPEN
            case ev.AllowanceSpent():  # an end that stands needs no other reason
                return self._phase is _Phase.OPEN and not self.is_settled
            case _:  # edits, and what comes of our own actions
                return True

    def begin(self, limits: Limits, elapsed_ms: int) -> Action:
        """The line is open, and the call has lasted so long already."""
        self._phase = _Phase.OPEN
        until_warning_ms = limits.duration_ms - limits.duration_warning_ms - elapsed_ms
        return self._clocks.start(Timer.DURATION, max(1, until_warning_ms))

    def warn(self, limits: Limits) -> Action:
        """The call has to end soon, or its time is up; one that ends anyway needs no warning."""
        self._warnings += self._ending is None
        return self._clocks.start(Timer.DURATION, limits.duration_warning_ms)

    def take_effect(
        self, effect: Effect | None, brief: CallConfig, *, was_awaited: bool
    ) -> list[Action]:
        """What a tool does to the call; a transfer counts whether it was waited for or not."""
        match effect:
            case None:
                return []
            case HangUp():  # late, it is dropped: the caller has gone on
                self._ending = BY_AGENT if was_awaited else self._ending
                return []
            case Handoff():
                self._ending = self.transfer(effect, brief)
                return []
            case _:
                if isinstance(effect, SwitchLanguage):
                    self._language = effect.language
                return [effect]

    def transfer(self, handoff: Handoff, brief: CallConfig) -> CallEnding:
        """The end at which a person takes over, who is told what is known."""
        return transfer(handoff, self._history, self._language or brief.language)

    def plan(self, ending: CallEnding | None) -> None:
        """The call will end so once the last words were played; None = it goes on."""
        self._ending = ending

    def close(self, ending: CallEnding, limits: Limits) -> list[Action]:
        """End the call now; a carrier who does not is not waited for."""
        self._phase = _Phase.CLOSING
        self._reason = ending.reason
        return [
            *self._clocks.stop(*Timer),
            EndCall(ending.handoff.render()),
            self._clocks.start(Timer.CLOSING, limits.closing_ms),
        ]

    def lose(self, reason: EndReason) -> list[Action]:
        """The line is gone; for this reason, unless we were about to end the call."""
        if not self.is_closing:
            self._reason = self._ending.reason if self._ending else reason
        self._phase = _Phase.GONE
        return self._clocks.stop(*Timer)
