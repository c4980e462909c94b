"""One live call: passes events to the conversation and carries out its actions.

One inbox, one loop, one task group. Only the loop receives events and writes to the transport, so
no lock is needed. Child tasks (the reader, a reply, one asked ahead, a summary, tools) never raise;
their last act is to put an event into the inbox. A hang-up is an event, not a cancellation: tools
with side effects finish first. The journal writes facts off the speech path and outlives the call,
whose end waits for it for at most `FINAL_FLUSH_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from agent.call import actions as act
from agent.call import events as ev
from agent.call.conversation import Conversation
from agent.call.messages import ReplyRequest, Stopped, StopReason, TextPiece, ToolCall, Usage
from agent.call.reading_pace import ReadingPace
from agent.call.summarization import SUMMARIZE, SUMMARY_TOKENS
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.call.turn_preparation import LONGEST_WAIT_MS, PlaybackClock, TurnPreparation
from agent.capacity.speculation_budget import SpeculationBudget
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
from agent.usecases.model_times import LONGEST_REPLY_SECONDS

log = structlog.get_logger(__name__)

REPLY_SECONDS = SUMMARY_SECONDS = LONGEST_REPLY_SECONDS  # whatever the limits of the model are
WARM_SECONDS = 5.0  # for opening a connection to the model in advance
FINAL_FLUSH_SECONDS = 5.0
FLUSH_SECONDS = 1.0
"""How long the journal is waited for before a lasting tool or a change of transport."""
LONGEST_DELTA = 1_000  # characters of one `ReplyDelta`; longer pieces of a model are split
_OFFER_AGAIN_SECONDS = 0.01
_WARMING = "warming"
_REFRESHING = "refreshing"
_LOOKING = "looking at the allowance"
"""Keys of children that run once at a time; no identifier of a tool call looks like them."""
_INBOX_SIZE = 256  # events; when it is full, children wait until the loop has caught up


@dataclass(frozen=True, slots=True)
class CallDependencies:
    """What one call is given by the process; without `allowance` it has no spending limit."""

    transport: Transport
    configuration: Configuration
    journal: Journal
    observer: Observer
    allowance: Allowance | None = None
    speculation: SpeculationBudget = field(default_factory=SpeculationBudget)
    keep_consent: Callable[[act.ConsentAction], None] = lambda _: None
    """Carries it out later; the call does not wait for it."""


class _Inbox:
    """The events of one call in order, each with its time; one task takes them.

    Rejected: `asyncio.Queue`, whose bookkeeping for many tasks is most of what an event costs here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events = deque[tuple[float, ev.Event]]()
        self._arrival: asyncio.Future[None] | None = None

    @property
    def is_empty(self) -> bool:
        return not self._events

    @property
    def is_full(self) -> bool:
        return len(self._events) >= _INBOX_SIZE

    def add(self, at: float, event: ev.Event) -> None:
        self._events.append((at, event))
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def arrival(self) -> asyncio.Future[None]:
        """Done with the next event that is added."""
        self._arrival = self._loop.create_future()
        return self._arrival

    def take(self) -> tuple[float, ev.Event]:
        return self._events.popleft()


class Session:
    """One call from its first to its last event. `run` may be called once."""

    def __init__(self, conversation: Conversation, dependencies: CallDependencies) -> None:
        self._conversation = conversation
        self._deps = dependencies
        self._loop = asyncio.get_running_loop()
        self._inbox = _Inbox(self._loop)
        self._children: dict[int | str, asyncio.Task[None]] = {}
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._tasks = asyncio.TaskGroup()
        self._pace = self._pace_ahead = ReadingPace()  # of the latest reply; of the one ahead
        self._is_over = False
        self._has_left = asyncio.Event()
        """Set when the loss of the transport was processed and its facts are in the journal."""

    async def run(self) -> ev.EndReason:
        """Run the call; returns when it is over and its facts are written, or the wait is over."""
        await self._put(ev.CallStarted())
        async with self._tasks:
            self._start_once(_WARMING, self._warm)
            reader = self._tasks.create_task(self._read_transport(), name="transport")
            try:
                while not self._conversation.is_over:
                    await self._step()
            finally:
                self._is_over = True
                self._has_left.set()
                for task in (reader, *self._children.values()):
                    task.cancel()
                for timer in list(self._timers):
                    self._stop_timer(timer)
            await self._deps.transport.close()
            if unwritten := await self._deps.journal.flush(FINAL_FLUSH_SECONDS):
                log.warning("call.facts_unwritten", facts=unwritten)
        return self._conversation.end_reason

    def stop(self, mode: ev.ShutdownMode = ev.ShutdownMode.WHEN_QUIET) -> None:
        """Announce that the process stops; the conversation decides what to say and when."""
        self._offer(ev.ServiceStopping(mode))

    def operate(self, event: ev.OperatorActed) -> None:
        """Pass on what a person does who watches the call."""
        self._offer(event)

    async def lose_transport(self) -> None:
        """End this session because the call continues on another transport, from the table.

        Returns when all facts so far are written, or after twice `FLUSH_SECONDS`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._put(ev.CallEnded(ev.EndReason.ERROR_RELAY))
                await self._has_left.wait()
        await self._deps.journal.flush(FLUSH_SECONDS)

    async def _step(self) -> None:
        while self._inbox.is_empty:
            await self._inbox.arrival()
        received_at, event = self._inbox.take()
        now, performed = self._loop.time, list[tuple[act.Action, float]]()
        for action in self._conversation.receive(event):
            performed.append((action, now()))
            if (waiting := self._carry_out(action)) is not None:
                await waiting
        if isinstance(event, ev.CallEnded):
            self._has_left.set()
        seen = ObservedStep(self._conversation.received, received_at, performed)
        self._deps.observer.observe(seen)

    async def _put(self, event: ev.Event, received_at: float | None = None) -> None:
        at = self._loop.time() if received_at is None else received_at
        while self._inbox.is_full:  # noqa: ASYNC110 (rare; an Event would cost at each event)
            await asyncio.sleep(_OFFER_AGAIN_SECONDS)
        self._inbox.add(at, event)

    def _carry_out(self, action: act.Action) -> Awaitable[None] | None:  # noqa: C901, PLR0912 (cases)
        """Begin an action; returns what the next one has to wait for."""
        match action:
            case act.Speak(_, text, is_last):
                if not is_last:
                    self._pace.note_speech(text, self._loop.time())
                return self._deps.transport.send(action)
            case act.Record(position, fact, is_growing):
                self._deps.journal.record(position, fact, is_growing=is_growing)
            case StartTimer(timer, serial, after_ms):
                self._stop_timer(timer)
                fired = ev.TimerFired(timer, serial)
                self._timers[timer] = self._loop.call_later(after_ms / 1000, self._offer, fired)
            case StopTimer(timer):
                self._stop_timer(timer)
            case act.Play() | act.SendDigits() | act.SwitchLanguage():
                return self._deps.transport.send(action)
            case act.EndCall():
                return self._end_call(action)
            case act.StampConsent() | act.StartRecording():
                self._deps.keep_consent(action)
            case act.StartReply():
                self._deps.speculation.earn()
                self._pace = ReadingPace()
                self._ask_for_reply(action, self._pace)
            case act.Speculate(reply, messages):
                if self._may_speculate:
                    self._pace_ahead = ReadingPace()
                    self._ask_for_reply(act.StartReply(reply, messages), self._pace_ahead)
                else:
                    self._offer(ev.ReplyFailed(reply, ev.ReplyFault.NOT_ASKED))
            case act.AdoptReply():
                self._deps.speculation.give_back()
                self._pace = self._pace_ahead
            case act.RunTool(call):
                self._start(call.id, self._run_tool(action), name="tool")
            case act.Summarize(summary):
                work, failure = partial(self._summarize, action), ev.SummaryFailed(summary)
                asking = self._ask_model(work, SUMMARY_SECONDS, lambda *_: failure)
                self._start(f"summary {summary}", asking, name="summary")
            case act.CancelSummary(summary):
                self._cancel(f"summary {summary}")
            case act.CancelReply(child) | act.DiscardReply(child) | act.CancelTool(child):
                self._cancel(child)
        return None

    def _ask_for_reply(self, action: act.StartReply, pace: ReadingPace) -> None:
        work = partial(self._stream, action, pace)
        asking = self._ask_model(work, REPLY_SECONDS, partial(ev.ReplyFailed, action.reply))
        self._start(action.reply, asking, name="reply")

    @property
    def _may_speculate(self) -> bool:
        allowance = self._deps.allowance
        has_any = allowance is None or allowance.spent is None
        return has_any and self._deps.speculation.spend()

    async def _end_call(self, action: act.EndCall) -> None:
        """End the call once its facts are written, for a process that continues it."""
        await self._deps.journal.flush(FLUSH_SECONDS)
        await self._deps.transport.send(action)

    async def _warm(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WARM_SECONDS):
                await self._deps.configuration.model.warm()

    def _start_once(self, child: str, work: Callable[[], Coroutine[object, object, None]]) -> None:
        if child not in self._children:
            self._start(child, work(), name=child)

    def _start(self, child: int | str, work: Coroutine[object, object, None], name: str) -> None:
        task = self._tasks.create_task(work, name=name)
        self._children[child] = task
        task.add_done_callback(lambda _: self._children.pop(child, None))

    def _cancel(self, child: int | str) -> None:
        if (task := self._children.pop(child, None)) is not None:
            task.cancel()

    def _stop_timer(self, timer: Timer) -> None:
        if (handle := self._timers.pop(timer, None)) is not None:
            handle.cancel()

    def _offer(self, event: ev.Event) -> None:
        """Put an event from outside a task; retries while the inbox is full."""
        if not self._inbox.is_full:
            self._inbox.add(self._loop.time(), event)
        elif not self._is_over:
            self._loop.call_later(_OFFER_AGAIN_SECONDS, self._offer, event)

    async def _read_transport(self) -> None:
        turns, playback = TurnPreparation(), PlaybackClock()
        async with aclosing(self._deps.transport.events()) as events:
            async for event in events:
                received_at = self._loop.time()
                preparation = turns.before(event)
                if preparation.asks:
                    self._ask_for_news()
                if preparation.waits:
                    await self._wait_for_news()
                elif preparation.asks:
                    self._start_once(_WARMING, self._warm)
                await self._put(playback.timed(event, received_at), received_at)
        await self._put(ev.CallEnded())

    def _ask_for_news(self) -> None:
        self._start_once(_REFRESHING, self._refresh)
        if self._deps.allowance is not None:
            self._start_once(_LOOKING, self._deps.allowance.look)

    async def _wait_for_news(self) -> None:
        """Put edits and limits into the inbox before what the caller has just said."""
        asked = [self._children[one] for one in (_REFRESHING, _LOOKING) if one in self._children]
        if asked:
            await asyncio.wait(asked, timeout=LONGEST_WAIT_MS / 1000)
        if self._deps.allowance is not None and (spent := self._deps.allowance.spent):
            await self._put(spent)

    async def _refresh(self) -> None:
        if (config := await self._deps.configuration.refresh()) is not None:
            await self._put(ev.CallConfigChanged(config))

    async def _ask_model(
        self,
        work: Callable[[LanguageModel], Coroutine[object, object, bool]],
        seconds: float,
        failed: Callable[[ev.ReplyFault, str], ev.Event],
    ) -> None:
        """Run a request to the model; `failed` makes the event of one that did not end well."""
        model, fault = self._deps.configuration.model, ev.ReplyFault.UNAVAILABLE
        reason = ""
        try:
            async with asyncio.timeout(seconds):
                if await work(model):
                    return
            log.warning("reply.truncated", model=model.name)
        except TimeoutError:
            log.warning("reply.timed_out", model=model.name)
            fault = ev.ReplyFault.TIMEOUT
        except ModelError as error:
            fault, reason = error.fault, str(error)
            log.warning(
                "reply.failed",
                model=model.name,
                fault=fault,
                reason=reason,
                pii_detail=error.detail,
            )
        except Exception:  # the reply boundary: whatever a model does, the caller hears a sentence
            log.exception("reply.crashed", model=model.name)
            fault = ev.ReplyFault.INTERNAL
        await self._put(failed(fault, reason))

    async def _stream(
        self, action: act.StartReply, pace: ReadingPace, model: LanguageModel
    ) -> bool:
        reply, calls, has_finished = action.reply, list[ToolCall](), False
        request = self._deps.configuration.request(action)
        now = self._loop.time
        async with aclosing(model.reply(request, lambda: pace.pause(now()))) as stream:
            async for pieces in stream:
                words = ""  # the last ones go with the end: one frame, not two
                for piece in pieces:
                    match piece:
                        case TextPiece(text):
                            words += text
                        case ToolCall():
                            calls.append(piece)
                        case Stopped(reason):
                            has_finished = True
                            last = words if len(words) <= LONGEST_DELTA else ""
                            if words != last:
                                await self._pass_on(reply, words)
                            await self._put(ev.ReplyFinished(reply, tuple(calls), reason, last))
                            words = ""
                        case Usage():
                            await self._put(ev.TokensCounted(reply, piece))
                if len(words) > LONGEST_DELTA:
                    await self._pass_on(reply, words)
                elif words:
                    await self._put(ev.ReplyDelta(reply, words))
        return has_finished

    async def _pass_on(self, reply: int, text: str) -> None:
        """Put a long text of a reply in parts, between which other calls are served."""
        await self._put(ev.ReplyDelta(reply, text[:LONGEST_DELTA]))
        for start in range(LONGEST_DELTA, len(text), LONGEST_DELTA):
            await asyncio.sleep(0)
            await self._put(ev.ReplyDelta(reply, text[start : start + LONGEST_DELTA]))

    async def _summarize(self, action: act.Summarize, model: LanguageModel) -> bool:
        texts, is_whole = list[str](), False
        request = ReplyRequest(SUMMARIZE, action.messages, max_tokens=SUMMARY_TOKENS)
        async with aclosing(model.reply(request)) as stream:
            async for piece in (piece async for pieces in stream for piece in pieces):
                match piece:
                    case TextPiece(text):
                        texts.append(text)
                    case Stopped(reason):
                        is_whole = reason not in {StopReason.BLOCKED, StopReason.MALFORMED}
                    case Usage():
                        await self._put(ev.TokensCounted(None, piece))
                    case ToolCall():
                        pass  # none was offered
        if is_whole:
            await self._put(ev.Summarized(action.summary, "".join(texts)))
        return is_whole

    async def _run_tool(self, action: act.RunTool) -> None:
        """Run a tool; the start of a lasting one is written first, for a process that resumes."""
        if action.is_lasting:
            await self._deps.journal.flush(FLUSH_SECONDS)
        run = self._deps.configuration.toolbox.run
        outcome = await run(action.call, action.entry)
        await self._put(ev.ToolFinished(action.call.id, outcome))
