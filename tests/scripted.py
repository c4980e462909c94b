"""Scripted ports of a session for tests: line, model, tools, configuration and journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from agent.call.actions import (
    Action,
    EndCall,
    Entry,
    Speak,
    StartReply,
    ToolOutcome,
    TransportAction,
)
from agent.call.config import CallConfig
from agent.call.conversation import Conversation
from agent.call.events import AllowanceSpent, EndReason, Event
from agent.call.history import CallerBegan, Fact, Recorded
from agent.call.messages import (
    ReplyPiece,
    ReplyRequest,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.capacity.speculation_budget import SpeculationBudget
from agent.errors import ModelError
from agent.ports import (
    Allowance,
    LanguageModel,
    ObservedStep,
    Pause,
    ToolExecutor,
    no_pause,
)
from agent.session.session import CallDependencies, Session

DONE = ToolOutcome('{"ok":true}')
GREETING = CallConfig(greeting="Hello.")


@dataclass(slots=True)
class ScriptedLine:
    """`ports.Line` with events at given seconds; keeps what is sent."""

    happenings: Sequence[tuple[float, Event]] = ()
    stays_open: bool = False
    """After the last happening the line waits to be closed, like a silent caller."""
    hangs_up_at: float = 0.0
    """Else the caller hangs up then, or after the last happening if that is later."""
    sent: list[tuple[float, TransportAction]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def events(self) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        for at, event in self.happenings:
            await asyncio.sleep(max(0.0, at - loop.time()))
            yield event
        if self.stays_open:
            await self.closed.wait()
        else:
            await asyncio.sleep(max(0.0, self.hangs_up_at - loop.time()))

    async def send(self, action: TransportAction) -> None:
        self.sent.append((round(asyncio.get_running_loop().time(), 3), action))
        if isinstance(action, EndCall):
            self.closed.set()

    async def close(self) -> None:
        self.closed.set()

    @property
    def said(self) -> str:
        """All words, one utterance a line."""
        pieces = [action for _, action in self.sent if isinstance(action, Speak)]
        return "".join(piece.text + "\n" * piece.is_last for piece in pieces)


Piece = str | ToolCall | StopReason | Usage
Step = Piece | tuple[Piece, ...] | float | ModelError
"""Of a reply: say this, call, stop for this reason, cost so much, or several of these in one
reading; wait so many seconds, fail."""


def _piece(one: Piece) -> ReplyPiece:
    match one:
        case StopReason():
            return Stopped(one)
        case str():
            return TextPiece(one)
        case _:
            return one


@dataclass(slots=True)
class ScriptedModel:
    """`ports.LanguageModel` that gives these replies in turn, the last one for ever."""

    replies: Sequence[Sequence[Step]]
    name: str = "scripted:"
    requests: list[ReplyRequest] = field(default_factory=list)
    open_streams: int = 0
    warmed: int = 0

    async def warm(self) -> None:
        self.warmed += 1

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[list[ReplyPiece], None]:
        script = self.replies[min(len(self.requests), len(self.replies) - 1)]
        self.requests.append(request)
        self.open_streams += 1
        try:
            for step in script:
                if seconds := pause():
                    await asyncio.sleep(seconds)
                match step:
                    case tuple():
                        yield [_piece(one) for one in step]
                    case StopReason() | str() | ToolCall() | Usage():
                        yield [_piece(step)]
                    case ModelError():
                        raise step
                    case seconds:
                        await asyncio.sleep(seconds)
        finally:
            self.open_streams -= 1


@dataclass(slots=True)
class ScriptedToolbox:
    """`ports.Toolbox` in which each tool takes its time and then gives its outcome."""

    seconds: float = 0.0
    outcome: ToolOutcome = DONE
    runs: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    async def run(self, call: ToolCall, entry: Entry | None = None) -> ToolOutcome:
        self.runs.append(call.name)
        await asyncio.sleep(self.seconds)
        self.finished.append(call.name)
        return self.outcome


Edit = tuple[float, CallConfig | None]
"""How long reading takes in seconds, and what is found."""


@dataclass(slots=True)
class ScriptedConfiguration:
    """`ports.Configuration` that finds these edits in turn, and then none."""

    model: LanguageModel
    toolbox: ToolExecutor
    edits: list[Edit] = field(default_factory=list)

    def request(self, action: StartReply) -> ReplyRequest:
        return ReplyRequest("You are helpful.", action.messages, choice=action.choice)

    async def refresh(self) -> CallConfig | None:
        if not self.edits:
            return None
        seconds, config = self.edits.pop(0)
        await asyncio.sleep(seconds)
        return config


@dataclass(slots=True)
class ListJournal:
    """`ports.Journal` in a list; writes at once, or never."""

    is_away: bool = False
    recorded: list[tuple[int, Recorded]] = field(default_factory=list)
    flushed: list[float] = field(default_factory=list)
    """How long each flush was ready to wait."""

    def record(self, position: int, fact: Recorded, *, is_growing: bool = False) -> None:
        self.recorded.append((position, fact))

    async def flush(self, seconds: float) -> int:
        self.flushed.append(seconds)
        if not self.is_away:  # like the real one, which does not yield when all is written
            return 0
        await asyncio.sleep(seconds)
        return len(self.facts)

    @property
    def facts(self) -> list[Fact]:
        """What a reader would find."""
        kept = {at: fact for at, fact in self.recorded if not isinstance(fact, CallerBegan)}
        return [kept[position] for position in sorted(kept)]


@dataclass(slots=True)
class ListObserver:
    """`ports.Observer` that keeps everything."""

    seen: list[tuple[Event, Sequence[Action]]] = field(default_factory=list)

    def observe(self, moment: ObservedStep) -> None:
        begun = [at for _, at in moment.timed_actions]
        times = [moment.received_at, *begun, asyncio.get_running_loop().time()]
        assert times == sorted(times)
        self.seen.append((moment.event, moment.actions))


@dataclass(slots=True)
class ScriptedAllowance:
    """`ports.Allowance` that is spent from a time on, as it finds out after a while."""

    spent_at: float
    """Seconds of the loop's clock."""
    look_seconds: float = 0.0
    spent: AllowanceSpent | None = None
    looks: list[float] = field(default_factory=list)

    async def look(self) -> None:
        now = asyncio.get_running_loop().time()
        self.looks.append(now)
        await asyncio.sleep(self.look_seconds)
        self.spent = AllowanceSpent() if now >= self.spent_at else None


@dataclass(slots=True)
class Stage:
    """One session with everything around it."""

    line: ScriptedLine
    model: ScriptedModel
    toolbox: ScriptedToolbox = field(default_factory=ScriptedToolbox)
    journal: ListJournal = field(default_factory=ListJournal)
    observer: ListObserver = field(default_factory=ListObserver)
    config: CallConfig = GREETING
    edits: list[Edit] = field(default_factory=list)
    allowance: Allowance | None = None
    speculation: SpeculationBudget = field(default_factory=SpeculationBudget)

    def session(self) -> Session:
        configuration = ScriptedConfiguration(self.model, self.toolbox, self.edits)
        around = CallDependencies(
            self.line,
            configuration,
            self.journal,
            self.observer,
            self.allowance,
            self.speculation,
        )
        return Session(Conversation(self.config), around)

    async def play(self) -> EndReason:
        """Run the call to its end; nothing may be left over."""
        before = asyncio.all_tasks()
        reason = await self.session().run()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before, "no task outlives the call"
        assert self.model.open_streams == 0, "no stream outlives the call"
        return reason
