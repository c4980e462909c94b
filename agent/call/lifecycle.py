"""The lifecycle of one call: when it begins, how long it may last, and how it ends.

    new -> open -> closing (the relay was asked to end) -> gone

An end is planned first and carried out when the last words were played; until then a caller who
speaks revokes an end that is revocable. An event that the phase does not allow changes nothing.

`HandoffData` is the `handoffData` of the relay's `end` message, which Twilio sends back unchanged,
perhaps to another process. It comes from outside, so what is not ours reads as None. Each part has
a fixed share of `LARGEST`, in bytes of JSON, so that a long reason never costs the summary.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum, auto
from itertools import accumulate

from agent.call import events as ev
from agent.call.actions import (
    Action,
    Effect,
    EndCall,
    Handoff,
    HangUp,
    Play,
    PromiseCallBack,
    SendDigits,
)
from agent.call.config import CallConfig, Limits, Phrases
from agent.call.events import EndReason, Event
from agent.call.history import CallerSaid, Fact, History, InputMode
from agent.call.timers import Timer, TimerSet

QUIET = "quiet"
"""Reason of a `SERVER_DRAIN` when neither side spoke."""
LARGEST = 2_000
"""Bytes of the whole text; the relay's limit is not published."""
_REASON, _SUMMARY, _LANGUAGE, _SLOTS = 300, 800, 40, 700
_SLOT_NAME, _SLOT_VALUE = 60, 150
_BETWEEN_SLOTS = len('"": "", ')
_LAST_UTTERANCES, _LAST_CHARACTERS = 3, 250  # in place of a summary
_encode = json.JSONEncoder(ensure_ascii=False).encode


class ReasonCode(StrEnum):
    """Why we gave the call back."""

    GOODBYE = "goodbye"
    LIVE_AGENT = "live-agent-handoff"
    SERVER_DRAIN = "server-drain"


@dataclass(frozen=True, slots=True)
class HandoffData:
    """Content of `handoffData`."""

    code: ReasonCode = ReasonCode.GOODBYE
    reason: str = ""
    summary: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    language: str = ""

    def bounded(self) -> HandoffData:
        """The same on one line each and within the limits; idempotent."""
        return HandoffData(
            self.code,
            _cut(self.reason, _REASON),
            _cut(self.summary, _SUMMARY),
            dict(_fitting(self.slots)),
            _cut(self.language, _LANGUAGE),
        )

    def render(self) -> str:
        """JSON text of at most `LARGEST` bytes, without empty fields."""
        fields = {name: value for name, value in asdict(self.bounded()).items() if value}
        return _encode({"reasonCode": fields.pop("code"), **fields})

    @classmethod
    def read(cls, text: str) -> HandoffData | None:
        """What `render` wrote, within the same limits; None for anything else."""
        try:
            fields = json.loads(text)
            slots = fields.get("slots", {})
            return cls(
                ReasonCode(fields["reasonCode"]),
                str(fields.get("reason", "")),
                str(fields.get("summary", "")),
                {name: str(slots[name]) for name in slots} if isinstance(slots, dict) else {},
                str(fields.get("language", "")),
            ).bounded()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class CallEnding:
    """Why the call will end, and what the action URL is sent."""

    reason: EndReason
    handoff: HandoffData = HandoffData()
    is_revocable: bool = False

    def farewell(self, phrases: Phrases) -> str:
        return phrases.transfer if self.reason is EndReason.TRANSFER else phrases.goodbye


BY_AGENT = CallEnding(EndReason.AGENT_END, is_revocable=True)
IDLE = CallEnding(EndReason.IDLE, is_revocable=True)
TIME_IS_UP = CallEnding(EndReason.MAX_DURATION)
BY_OPERATOR = CallEnding(EndReason.OPERATOR)
SPENT = CallEnding(EndReason.CALLER_SPEND)
CALL_SPENT = CallEnding(EndReason.CALL_SPEND)
MODEL_FAILED = CallEnding(EndReason.ERROR_MODEL)
HANDED_OVER = CallEnding(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN, QUIET))
CUT_SHORT = CallEnding(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN))
"""At any moment: what was heard is not known."""
STOPPED = CallEnding(EndReason.DRAIN)


def transfer(handoff: Handoff, facts: Iterable[Fact] = (), language: str = "") -> CallEnding:
    """The end at which a person takes over; without a summary the caller's last words stand in."""
    summary = handoff.summary or last_words(facts)
    data = HandoffData(ReasonCode.LIVE_AGENT, handoff.reason, summary, handoff.slots, language)
    return CallEnding(EndReason.TRANSFER, data.bounded())


class Phase(Enum):
    """How far a call has come, in this order."""

    NEW = auto()
    OPEN = auto()
    CLOSING = auto()
    GONE = auto()


@dataclass(slots=True)
class CallLifecycle:
    """The phase of one call, and its planned end."""

    _history: History
    _timers: TimerSet
    phase: Phase = Phase.NEW
    reason: EndReason = EndReason.CALLER_HANGUP
    ending: CallEnding | None = None  # planned
    warnings: int = 0  # at the second one the time is up

    @property
    def end_is_final(self) -> bool:
        """Whether the call ends whatever the caller says."""
        return self.phase is Phase.CLOSING or (
            self.ending is not None and not self.ending.is_revocable
        )

    def accepts(self, event: Event) -> bool:
        match event:
            case ev.ReplyDelta():  # the most frequent one
                return True
            case ev.CallStarted():
                return self.phase is Phase.NEW
            case ev.CallEnded():
                return self.phase is not Phase.GONE
            case ev.ServiceStopping():
                return self.phase in {Phase.NEW, Phase.OPEN}
            case ev.CallerSpoke() | ev.CallerInterrupted() | ev.TokensCounted():
                return self.phase in {Phase.OPEN, Phase.CLOSING}
            case ev.CallerPressed() | ev.PlaybackReported() | ev.Summarized() | ev.SummaryFailed():
                return self.phase is Phase.OPEN
            case ev.AllowanceSpent() | ev.OperatorActed():  # a final end needs no other reason
                return self.phase is Phase.OPEN and not self.end_is_final
            case _:  # edits, and results of our own actions
                return True

    def begin(self, limits: Limits, elapsed_ms: int) -> Action:
        self.phase = Phase.OPEN
        until_warning_ms = limits.duration_ms - limits.duration_warning_ms - elapsed_ms
        return self._timers.start(Timer.DURATION, max(1, until_warning_ms))

    def warn(self, limits: Limits) -> Action:
        self.warnings += self.ending is None
        return self._timers.start(Timer.DURATION, limits.duration_warning_ms)

    def take_effect(
        self, effect: Effect | None, config: CallConfig, *, was_awaited: bool
    ) -> list[Action]:
        """Apply a tool's effect: a late transfer counts, a late hang-up does not."""
        if isinstance(effect, HangUp) and was_awaited:
            self.ending = BY_AGENT
        elif isinstance(effect, Handoff):
            self.ending = self._transfer(effect, config)
        elif isinstance(effect, PromiseCallBack) and was_awaited:
            is_last = config.limits.ends_after_call_back
            self.ending = self.ending or (BY_AGENT if is_last else None)
        return [effect] if isinstance(effect, Play | SendDigits) else []

    def revoke_end(self) -> bool:
        """The call goes on, unless its end is final; whether the model had ended it."""
        is_models = self.ending is BY_AGENT
        self.ending = self.ending if self.end_is_final else None
        return is_models

    def give_up(self, config: CallConfig) -> tuple[str, CallEnding]:
        if config.can_hand_off:
            return config.phrases.transfer, self.transfer("technical trouble", config)
        return config.phrases.goodbye_trouble, MODEL_FAILED

    def spend(self, event: ev.AllowanceSpent, phrases: Phrases) -> tuple[str, CallEnding]:
        """The last words and the end of a call that has reached a spending limit."""
        if event.of_call:
            return phrases.goodbye_spent_call, CALL_SPENT
        return phrases.goodbye_spent, SPENT

    def transfer(self, reason: str, config: CallConfig) -> CallEnding:
        """The end at which a person takes over, with the caller's last words as its summary."""
        return self._transfer(Handoff(reason), config)

    def close(self, ending: CallEnding, limits: Limits) -> list[Action]:
        self.phase = Phase.CLOSING
        self.reason = ending.reason
        return [
            *self._timers.stop(*Timer),
            EndCall(ending.handoff.render()),
            self._timers.start(Timer.CLOSING, limits.closing_ms),
        ]

    def lose(self, reason: EndReason) -> list[Action]:
        """The connection is gone; a planned end gives the reason, else `reason` does."""
        if self.phase is not Phase.CLOSING:
            self.reason = self.ending.reason if self.ending else reason
        self.phase = Phase.GONE
        return [*self._timers.stop(*Timer)]

    def _transfer(self, handoff: Handoff, config: CallConfig) -> CallEnding:
        return transfer(handoff, self._history, config.language)


def _fitting(slots: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    room = _SLOTS
    for each, text in slots.items():
        name, value = _cut(each, _SLOT_NAME), _cut(text, _SLOT_VALUE)
        room -= _size(name) + _size(value) + _BETWEEN_SLOTS
        if room < 0:
            return
        if name and value:
            yield name, value


def _cut(text: str, room: int) -> str:
    whole = " ".join(text.encode(errors="ignore").decode().split())
    sizes = accumulate(_size(letter) for letter in whole[:room])
    return whole[: sum(size <= room for size in sizes)].rstrip()


def _size(text: str) -> int:
    return len(_encode(text).encode()) - len('""')


def last_words(facts: Iterable[Fact]) -> str:
    """The caller's latest sentences; no keys, because what is typed may be a secret."""
    spoken = (fact for fact in facts if isinstance(fact, CallerSaid))
    said = [fact.text for fact in spoken if fact.means is InputMode.SPEECH]
    words = " / ".join(said[-_LAST_UTTERANCES:])
    return f"The caller's last words: {words[-_LAST_CHARACTERS:]}" if words else ""
