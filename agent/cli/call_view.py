"""What a call does, as notes on a screen: tools, times, tokens, interrupts, model faults."""

from __future__ import annotations

import asyncio

import msgspec

from agent.call.events import CallerPressed, CallerSpoke, EndReason, TimerFired
from agent.call.messages import ReplyRequest
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.cli.terminal_screen import Screen
from agent.observability import Prices
from agent.observability.call_notes import (
    CallNote,
    CallNotes,
    ConsentNote,
    FaultNote,
    InterruptNote,
    TokensNote,
    ToolNote,
    TurnNote,
)
from agent.observability.turn_stages import Stage
from agent.ports import ObservedStep
from agent.session.live_config import LiveConfiguration

_STAGES = {
    Stage.HOLD: "waiting for more words",
    Stage.PREPARE: "the service",
    Stage.MODEL: "the model",
    Stage.TOOL: "tools",
    Stage.PHRASE: "the first clause",
}


class CallView:
    """`SessionObserver` of one call in a terminal."""

    def __init__(self, screen: Screen, configuration: LiveConfiguration, prices: Prices) -> None:
        self._screen = screen
        self._configuration = configuration
        self._notes = CallNotes(lambda: configuration.model.name, prices)
        self._is_heard, self._waits_for_caller = True, False
        self._waits_for_digit = False  # the first one that a tool collects
        self._changed = asyncio.Event()

    @property
    def request(self) -> ReplyRequest | None:
        """The latest request to the model; None = there was none."""
        latest = self._notes.latest_request
        return self._configuration.request(latest) if latest else None

    def observe(self, moment: ObservedStep) -> None:
        for note in self._notes.observe(moment):
            self._show(note)
        self._note_event(moment)
        for action, _ in moment.timed_actions:
            match action:
                case StartTimer(Timer.IDLE):
                    self._waits_for_caller = True
                case StartTimer(Timer.DIGITS):
                    is_callers = isinstance(moment.event, CallerPressed | CallerSpoke)
                    self._waits_for_digit = not is_callers
                case StopTimer(Timer.DIGITS):
                    self._waits_for_digit = False
                case StopTimer(Timer.IDLE):
                    self._waits_for_caller = False
                case _:
                    pass
        self._changed.set()

    def ended(self, reason: EndReason) -> None:
        """Show what the call was."""
        notes = self._notes
        for note in notes.ended(asyncio.get_running_loop().time()):
            self._show(note)
        shown = [
            _counted(notes.turns, "turn"),
            _counted(notes.tools, "tool"),
            _counted(notes.tokens, "token"),
        ]
        if notes.cost is not None:
            shown.append(f"{notes.cost:.4f} {notes.currency}")
        self._screen.note(_joined(f"call ended ({reason.value.replace('_', ' ')})", shown))

    def caller_acts(self) -> None:
        """The caller has said or pressed something that the call does not know yet."""
        self._is_heard = False

    async def until_answered(self) -> None:
        """Wait until the agent has finished and waits for the caller."""
        while not (self._is_heard and (self._waits_for_caller or self._waits_for_digit)):
            self._changed.clear()
            await self._changed.wait()

    def _show(self, note: CallNote) -> None:
        match note:
            case TurnNote(is_over=False, response=float(response)):
                places = [
                    f"{name} {note.stages[stage]:.2f}"
                    for stage, name in _STAGES.items()
                    if note.stages.get(stage, 0.0) >= _SHORTEST_SHOWN
                ]
                self._screen.note(_joined(f"first word after {response:.2f} s", places))
            case ToolNote(seconds=float(seconds)):
                result = f"{'failed: ' if note.is_error else ''}{note.result}"
                self._screen.note(f"{note.name} {note.arguments} -> {result} ({seconds:.3f} s)")
            case TokensNote():
                self._screen.note(_tokens(note))
            case InterruptNote(heard):
                self._screen.note(f"interrupted; heard: {heard}" if heard else "interrupted")
            case ConsentNote(text):
                self._screen.note(text)
            case FaultNote(text):
                self._screen.fault(f"the model failed: {text}")
            case _:
                pass

    def _note_event(self, moment: ObservedStep) -> None:
        match moment.event:
            case CallerSpoke(_, True) | CallerPressed():
                self._is_heard = True
            case TimerFired(Timer.IDLE):
                self._waits_for_caller = False
            case _:
                pass


_SHORTEST_SHOWN = 0.005
"""Seconds of a stage."""


def _tokens(note: TokensNote) -> str:
    cached = f" ({note.cached} from the cache)" if note.cached else ""
    return f"{note.read} tokens in{cached}, {note.written} out"


def _joined(text: str, more: list[str]) -> str:
    return f"{text}: {', '.join(more)}" if more else text


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def request_text(request: ReplyRequest) -> str:
    """A request as indented JSON, as `/trace` shows it."""
    return msgspec.json.format(msgspec.json.encode(request)).decode()
