"""One live call: feeds the conversation with events and carries out its actions.

One inbox, one loop, one task group. The loop alone receives events, and it alone writes to the
line, so nothing here needs a lock and no decision is taken after an `await`: decisions are
`Conversation.receive`.

Around the loop run children: the reader of the line, at most one reply and one summary, tools,
timers. A child never raises; its last act is to put an event. It is cancelled when the
conversation says so (a reply, a tool that only looks) or when the call is over (the rest). A
hang-up is an event like any other: what has a side effect is finished first, and only then is the
call over.

Facts are handed to the journal, which writes them off the speaking path and outlives the call. The
end of a call waits for its facts a few seconds; a table that stays away longer does not hold it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog

from agent.call.actions import (
    Action,
    CancelReply,
    CancelTool,
    EndCall,
    Play,
    Record,
    RunTool,
    SendDigits,
    Speak,
    StartReply,
    Summarize,
    SwitchLanguage,
)
from agent.call.conversation import Conversation
from agent.call.events import (
    AllowanceSpent,
    CallConfigChanged,
    CallEnded,
    CallerPressed,
    CallerSpoke,
    CallStarted,
    EndReason,
    Event,
    Playback,
    PlaybackReported,
    ReplyDelta,
    ReplyFailed,
    ReplyFault,
    ReplyFinished,
    ServiceStopping,
    ShutdownMode,
    Summarized,
    SummaryFailed,
    TimerFired,
    TokensCounted,
    ToolFinished,
)
from agent.call.messages import ReplyRequest, Stopped, StopReason, TextPiece, ToolCall, Usage
from agent.call.summarization import SUMMARIZE, SUMMARY_TOKENS
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.errors import ModelError
from agent.ports import (
    Allowance,
    Configuration,
    Journal,
    LanguageModel,
    ObservedStep,
    Observer,
    Transport,
)

log = structlog.get_logger(__name__)

REPLY_SECONDS = 20.0
"""The longest a whole reply may take (practice section 10)."""
SUMMARY_SECONDS = 15.0
"""The longest a summary may take; nobody waits for it."""
WARM_SECONDS = 5.0
"""The longest a connection may take to be made ready."""
JOURNAL_FLUSH_SECONDS = 5.0
"""How long the end of a call waits for its facts to be written."""
KEPT_SECONDS = 1.0
"""How long is waited until all so far is written down: before a tool with side effects begins, and
before the call goes elsewhere."""
LONGEST_DELTA = 1_000
"""Characters of a reply that are worked on at a time, however much a model writes at once."""
_OFFER_AGAIN_SECONDS = 0.01
REFRESH_SECONDS = 0.1
"""How long the caller's words wait for news from the table, read since the first of them."""
_WARMING = "warming"
_REFRESHING = "refreshing"
_LOOKING = "looking at the allowance"
"""Children of which there is one; identifiers of tool calls are minted otherwise."""
_INBOX_SIZE = 256
"""Events; who has more to say waits until the loop has caught up."""


@dataclass(frozen=True, slots=True)
class CallDependencies:
    """What one call has around it."""

    line: Transport
    configuration: Configuration
    journal: Journal
    observer: Observer
    allowance: Allowance | None = None
    """None = the line may cost as much as it likes."""


class Session:
    """One call from its first to its last event. `run` may be called once."""

    def __init__(self, conversation: Conversation, around: CallDependencies) -> None:
        self._conversation = conversation
        self._around = around
        self._inbox: asyncio.Queue[tuple[float, Event]] = asyncio.Queue(_INBOX_SIZE)
        self._children: dict[int | str, asyncio.Task[None]] = {}
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._tasks = asyncio.TaskGroup()
        self._is_over = False
        self._has_left = asyncio.Event()
        """The conversation knows that the line is lost, and what it made of that is recorded."""

    async def run(self) -> EndReason:
        """Live through the call; returns when it is over and written down, or cannot be."""
        await self._put(CallStarted())
        async with self._tasks:
            self._start_once(_WARMING, self._warm)
            reader = self._tasks.create_task(self._read_line(), name="line")
            try:
                while not self._conversation.is_over:
                    await self._step()
            finally:
                self._is_over = True
                self._has_left.set()
                self._stop_children(reader)
            await self._around.line.close()
            if unwritten := await self._around.journal.flush(JOURNAL_FLUSH_SECONDS):
                log.warning("call.unwritten", facts=unwritten)
        return self._conversation.end_reason

    def stop(self, departure: ShutdownMode = ShutdownMode.WHEN_QUIET) -> None:
        """The process will go away; the conversation decides what to say and when."""
        self._offer(ServiceStopping(departure))

    async def lose_line(self) -> None:
        """Another line has taken this one's place: the call goes on there, from what is kept.

        Returns when all of it is, keys typed so far and what was spoken too, or after a while.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(KEPT_SECONDS):
                await self._put(CallEnded(EndReason.ERROR_RELAY))
                await self._has_left.wait()
        await self._around.journal.flush(KEPT_SECONDS)

    async def _step(self) -> None:
        received_at, event = await self._inbox.get()
        actions = self._conversation.receive(event)
        loop, deeds = asyncio.get_running_loop(), list[tuple[Action, float]]()
        for action in actions:
            deeds.append((action, loop.time()))
            await self._carry_out(action)
        if isinstance(event, CallEnded):
            self._has_left.set()
        self._around.observer.observe(ObservedStep(event, received_at, deeds))

    async def _put(self, event: Event) -> None:
        await self._inbox.put((asyncio.get_running_loop().time(), event))

    async def _carry_out(self, action: Action) -> None:  # noqa: C901 (one case for each action)
        match action:
            case Speak() | Play() | SendDigits() | SwitchLanguage():
                await self._around.line.send(action)
            case EndCall():  # whoever goes on with the call reads what was said
                await self._around.journal.flush(KEPT_SECONDS)
                await self._around.line.send(action)
            case Record(position, fact):
                self._around.journal.record(position, fact)
            case StartReply(reply):
                self._start(reply, self._reply(action), name="reply")
            case RunTool(call):
                self._start(call.id, self._run_tool(action), name="tool")
            case Summarize(summary):
                self._start(f"summary {summary}", self._summarize(action), name="summary")
            case CancelReply(child) | CancelTool(child):
                if (task := self._children.pop(child, None)) is not None:
                    task.cancel()
            case StartTimer(timer, serial, after_ms):
                self._stop_timer(timer)
                loop = asyncio.get_running_loop()
                self._timers[timer] = loop.call_later(
                    after_ms / 1000, self._offer, TimerFired(timer, serial)
                )
            case StopTimer(timer):
                self._stop_timer(timer)

    async def _warm(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WARM_SECONDS):
                await self._around.configuration.model.warm()

    def _start_once(self, child: str, work: Callable[[], Coroutine[object, object, None]]) -> None:
        if child not in self._children:
            self._start(child, work(), name=child)

    def _start(self, child: int | str, work: Coroutine[object, object, None], name: str) -> None:
        task = self._tasks.create_task(work, name=name)
        self._children[child] = task
        task.add_done_callback(lambda _: self._children.pop(child, None))

    def _stop_timer(self, timer: Timer) -> None:
        if (handle := self._timers.pop(timer, None)) is not None:
            handle.cancel()

    def _offer(self, event: Event) -> None:
        """Put an event from outside a task; with a full inbox it is offered again in a moment."""
        loop = asyncio.get_running_loop()
        try:
            self._inbox.put_nowait((loop.time(), event))
        except asyncio.QueueFull:
            if not self._is_over:
                loop.call_later(_OFFER_AGAIN_SECONDS, self._offer, event)

    def _stop_children(self, reader: asyncio.Task[None]) -> None:
        reader.cancel()
        for task in list(self._children.values()):
            task.cancel()
        for timer in list(self._timers):
            self._stop_timer(timer)

    async def _read_line(self) -> None:
        is_turn_prepared = False
        async with aclosing(self._around.line.events()) as events:
            async for event in events:
                # Before what follows, for the caller waits for that.
                received_at = asyncio.get_running_loop().time()
                match event:
                    case PlaybackReported(Playback.CALLER_ON):
                        self._prepare_turn()
                        is_turn_prepared = True
                    case CallerSpoke(is_final=False):
                        if not is_turn_prepared:
                            self._prepare_turn()
                        is_turn_prepared = True
                    case CallerSpoke():
                        await self._be_up_to_date(is_asked=is_turn_prepared)
                        is_turn_prepared = False
                    case CallerPressed():  # nobody is heard before a key
                        await self._be_up_to_date(is_asked=False)
                    case _:
                        pass
                await self._inbox.put((received_at, event))
        await self._put(CallEnded())

    def _prepare_turn(self) -> None:
        """The caller begins to speak: use the time until the words are there."""
        self._start_once(_WARMING, self._warm)
        self._ask_for_news()

    def _ask_for_news(self) -> None:
        """Ask what was edited, and what the caller may still spend."""
        self._start_once(_REFRESHING, self._refresh)
        if self._around.allowance is not None:
            self._start_once(_LOOKING, self._around.allowance.look)

    async def _be_up_to_date(self, *, is_asked: bool) -> None:
        """Have all news in the inbox before what the caller has just said."""
        if not is_asked:
            self._ask_for_news()
        asked = [self._children[one] for one in (_REFRESHING, _LOOKING) if one in self._children]
        if asked:
            await asyncio.wait(asked, timeout=REFRESH_SECONDS)
        if self._around.allowance is not None and self._around.allowance.is_spent:
            await self._put(AllowanceSpent())

    async def _refresh(self) -> None:
        if (brief := await self._around.configuration.refresh()) is not None:
            await self._put(CallConfigChanged(brief))

    async def _reply(self, action: StartReply) -> None:
        """One reply, to an event that says how it ended."""
        model = self._around.configuration.model
        fault = await self._fault_of(model, self._stream(model, action), REPLY_SECONDS)
        if fault is not None:
            await self._put(ReplyFailed(action.reply, fault))

    async def _summarize(self, action: Summarize) -> None:
        """One summary, likewise."""
        model, texts = self._around.configuration.model, list[str]()
        fault = await self._fault_of(model, self._collect(model, action, texts), SUMMARY_SECONDS)
        told = Summarized(action.summary, "".join(texts))
        await self._put(told if fault is None else SummaryFailed(action.summary))

    async def _fault_of(
        self, model: LanguageModel, answer: Coroutine[object, object, bool], seconds: float
    ) -> ReplyFault | None:
        """Have a model answer; why it did not."""
        fault = ReplyFault.UNAVAILABLE
        try:
            async with asyncio.timeout(seconds):
                if await answer:
                    return None
            log.warning("reply.truncated", model=model.name)
        except TimeoutError:
            log.warning("reply.timed_out", model=model.name)
            fault = ReplyFault.TIMEOUT
        except ModelError as error:
            log.warning("reply.failed", model=model.name, fault=error.fault)
            fault = error.fault
        except Exception:  # the reply boundary: whatever a model does, the caller hears a sentence
            log.exception("reply.crashed", model=model.name)
            fault = ReplyFault.INTERNAL
        return fault

    async def _stream(self, model: LanguageModel, action: StartReply) -> bool:
        """Pass a reply on; whether it came to its end."""
        reply, calls, has_finished = action.reply, list[ToolCall](), False
        request = self._around.configuration.request(action)
        async with aclosing(model.reply(request)) as pieces:
            async for piece in pieces:
                match piece:
                    case TextPiece(text):
                        await self._pass_on(reply, text)
                    case ToolCall():
                        calls.append(piece)
                    case Stopped(reason):
                        has_finished = True
                        await self._put(ReplyFinished(reply, tuple(calls), reason))
                    case Usage():
                        await self._put(TokensCounted(reply, piece))
        return has_finished

    async def _pass_on(self, reply: int, text: str) -> None:
        """Put text of a reply, and let the loop serve other calls between long parts of it."""
        await self._put(ReplyDelta(reply, text[:LONGEST_DELTA]))
        for start in range(LONGEST_DELTA, len(text), LONGEST_DELTA):
            await asyncio.sleep(0)
            await self._put(ReplyDelta(reply, text[start : start + LONGEST_DELTA]))

    async def _collect(self, model: LanguageModel, action: Summarize, texts: list[str]) -> bool:
        """Gather what a model writes; whether it came to an end that lets it be used."""
        is_whole = False
        request = ReplyRequest(SUMMARIZE, action.messages, max_tokens=SUMMARY_TOKENS)
        async with aclosing(model.reply(request)) as pieces:
            async for piece in pieces:
                match piece:
                    case TextPiece(text):
                        texts.append(text)
                    case Stopped(reason):
                        is_whole = reason not in {StopReason.BLOCKED, StopReason.MALFORMED}
                    case Usage():
                        await self._put(TokensCounted(None, piece))
                    case ToolCall():
                        pass  # none was offered
        return is_whole

    async def _run_tool(self, action: RunTool) -> None:
        """Run a tool; one that may change the world once its beginning is written down.

        A process that takes the call over then knows of it. A table that is away is not waited for
        long: the tool itself does nothing without it.
        """
        if action.is_lasting:
            await self._around.journal.flush(KEPT_SECONDS)
        outcome = await self._around.configuration.toolbox.run(action.call, action.standing)
        await self._put(ToolFinished(action.call.id, outcome))
