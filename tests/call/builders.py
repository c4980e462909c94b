"""Short names for events, actions and messages, and a `Call` that checks all promises (`World`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.call import events as ev
from agent.call.actions import (
    Action,
    Effect,
    Handoff,
    HangUp,
    Record,
    Speak,
    StartReply,
    ToolOutcome,
)
from agent.call.config import CallConfig, KeyBinding, Limits
from agent.call.events import Playback
from agent.call.history import CallerBegan, Fact, History
from agent.call.messages import (
    Choice,
    Message,
    Part,
    Role,
    StopReason,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from agent.call.resumption import ResumeCause
from agent.call.timers import StartTimer, StopTimer, Timer
from tests.call.world import CONFIG, World

HELLO = replace(CONFIG, greeting="Hello.")
"""Its greeting takes 400 ms to play."""


_LEFT_OUT = frozenset({Timer.REPEAT, Timer.LONGEST_TURN, Timer.SPECULATION, Timer.WAIT})
Step = ev.Event | Timer
"""What happens; a timer of this name runs out."""


class Call:
    """One call in a `World`."""

    def __init__(self, config: CallConfig = HELLO) -> None:
        self.world = World(config=config)

    @property
    def history(self) -> History:
        return self.world.conversation.history

    @property
    def facts(self) -> list[Fact]:
        return list(self.history)

    @property
    def running(self) -> set[Timer]:
        return set(self.world.timers)

    def resumes(self, cause: ResumeCause = ResumeCause.LOST) -> list[Action]:
        """The connection is lost, and the call goes on from what was recorded."""
        self.world.resume(cause)
        return self.happens(ev.CallStarted())

    def happens(self, *steps: Step) -> list[Action]:
        """Send events; returns the actions after the last one, with serial 0 in every timer.

        Left out are `CallerBegan` (see `world.began_at`), and the timers REPEAT, LONGEST_TURN,
        SPECULATION and WAIT (see `running`).
        """
        actions: list[Action] = []
        for step in steps:
            actions = self.fires(step) if isinstance(step, Timer) else self.world.happen(step)
        return [
            replace(action, serial=0) if isinstance(action, StartTimer) else action
            for action in actions
            if not (isinstance(action, Record) and isinstance(action.fact, CallerBegan))
            and not (isinstance(action, StartTimer | StopTimer) and action.timer in _LEFT_OUT)
        ]

    def fires(self, timer: Timer) -> list[Action]:
        """The running timer of this name runs out."""
        return self.happens(ev.TimerFired(timer, self.world.timers[timer]))


def started(config: CallConfig = HELLO) -> Call:
    """The greeting is being played."""
    call = Call(config)
    call.happens(ev.CallStarted())
    return call


def listening(config: CallConfig = HELLO) -> Call:
    """The greeting was played; neither side speaks."""
    call = started(config)
    call.happens(agent_off())
    return call


def thinking(words: str = "Two pizzas please.", config: CallConfig = HELLO) -> Call:
    """The caller has spoken after the greeting; reply 1 has not begun."""
    call = listening(config)
    call.happens(spoke(words))
    return call


def speaking(text: str, config: CallConfig = HELLO) -> Call:
    """Reply 1 has said this much and goes on."""
    call = thinking(config=config)
    call.happens(delta(1, text))
    if Timer.FLUSH in call.running:
        call.fires(Timer.FLUSH)
    return call


def answered(text: str, config: CallConfig = HELLO) -> Call:
    """Reply 1 is complete and being played."""
    call = thinking(config=config)
    call.happens(delta(1, text), finished(1))
    return call


def using(name: str, arguments: str = "{}", config: CallConfig = HELLO) -> Call:
    """Reply 1 has called this tool without a word; as `tool00001` it runs."""
    call = thinking(config=config)
    call.happens(finished(1, wants(name, arguments)))
    return call


def leaving(effect: HangUp | Handoff) -> Call:
    """The model has said goodbye and its tool has run; the goodbye is being played."""
    call = thinking("That is all.")
    call.happens(delta(1, "Thank you, goodbye."), finished(1, wants("leave")))
    call.happens(done(1, effect=effect))
    return call


def limited(limits: Limits) -> CallConfig:
    """The usual configuration with other limits."""
    return replace(HELLO, limits=limits)


def keyed(keypad: Mapping[str, KeyBinding]) -> CallConfig:
    """The usual configuration with these keys bound."""
    return replace(HELLO, keypad=keypad)


def spoke(text: str) -> ev.CallerSpoke:
    return ev.CallerSpoke(text)


def partial(text: str) -> ev.CallerSpoke:
    return ev.CallerSpoke(text, is_final=False)


def interrupted(heard: str = "", after_ms: int | None = None) -> ev.CallerInterrupted:
    return ev.CallerInterrupted(heard, after_ms)


def delta(reply: int, text: str) -> ev.ReplyDelta:
    return ev.ReplyDelta(reply, text)


def finished(
    reply: int, *calls: ToolCall, stop: StopReason = StopReason.END, text: str = ""
) -> ev.ReplyFinished:
    return ev.ReplyFinished(reply, calls, stop, text)


def failed(reply: int) -> ev.ReplyFailed:
    return ev.ReplyFailed(reply, ev.ReplyFault.TIMEOUT)


def wants(name: str, arguments: str = "{}") -> ToolCall:
    """A call as a model makes it; its identifier is ignored."""
    return ToolCall("x", name, arguments)


def done(
    number: int, content: str = '{"ok":true}', effect: Effect | None = None, *, failed: bool = False
) -> ev.ToolFinished:
    return ev.ToolFinished(f"tool{number:05d}", ToolOutcome(content, failed, effect))


def acts(act: ev.OperatorAct, text: str = "") -> ev.OperatorActed:
    """What the operator anna does."""
    return ev.OperatorActed(act, text, "anna")


def pressed(digit: str) -> ev.CallerPressed:
    return ev.CallerPressed(digit)


def agent_on() -> ev.PlaybackReported:
    return ev.PlaybackReported(Playback.AGENT_ON)


def agent_off() -> ev.PlaybackReported:
    return ev.PlaybackReported(Playback.AGENT_OFF)


def caller_on() -> ev.PlaybackReported:
    return ev.PlaybackReported(Playback.CALLER_ON)


def caller_off() -> ev.PlaybackReported:
    return ev.PlaybackReported(Playback.CALLER_OFF)


def played(text: str) -> ev.PlaybackReported:
    return ev.PlaybackReported(Playback.PLAYED, text)


def starts(timer: Timer, after_ms: int) -> StartTimer:
    return StartTimer(timer, 0, after_ms)


def asks(reply: int, *messages: Message, choice: ToolChoice = Choice.AUTO) -> StartReply:
    return StartReply(reply, messages, choice)


def caller(*parts: str | Part) -> Message:
    return Message(Role.CALLER, _parts(parts))


def agent(*parts: str | Part) -> Message:
    return Message(Role.AGENT, _parts(parts))


def _parts(parts: tuple[str | Part, ...]) -> tuple[Part, ...]:
    return tuple(Text(part) if isinstance(part, str) else part for part in parts)


def use(number: int, name: str, arguments: str = "{}") -> ToolCall:
    """A call as the conversation has accepted it."""
    return ToolCall(f"tool{number:05d}", name, arguments)


def result(number: int, content: str = '{"ok":true}', *, is_error: bool = False) -> ToolResult:
    return ToolResult(f"tool{number:05d}", content, is_error)


def spoken(actions: list[Action]) -> list[str]:
    """What is said, piece by piece."""
    return [action.text for action in actions if isinstance(action, Speak)]


def question(actions: list[Action]) -> StartReply:
    """The one request to the model among these actions."""
    (only,) = [action for action in actions if isinstance(action, StartReply)]
    return only


def caller_text(actions: list[Action]) -> str:
    """The caller's last message in the one request to the model."""
    return " ".join(
        part.text for part in question(actions).messages[-1].parts if isinstance(part, Text)
    )
