"""The calls of this process: set up at the webhook, run when the socket connects.

Webhook and socket may reach different processes, so all that the socket needs is in the session
item (`agent.store.call_state.call_item`). A call on a terminal takes the same path.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import structlog

from agent.call.actions import ConsentAction
from agent.call.conversation import Conversation
from agent.call.events import EndReason
from agent.call.resumption import ResumeCause
from agent.capacity import Admission
from agent.errors import StoreError, UseCaseError
from agent.messaging import ListedMessenger
from agent.observability.tracing import TracedToolExecutor
from agent.ports import Item, ToolExecutor, Transport
from agent.session import Resources, resume
from agent.session.active_calls import ActiveCalls, RunningCall
from agent.session.announcements import CallAnnouncer
from agent.session.call_outcomes import CallOutcomes
from agent.session.call_recording import RECORDING, CallRecordings
from agent.session.call_redaction import CallRedaction
from agent.session.call_setup import CallSetup
from agent.session.caller_limits import CallerLimits, caller_of
from agent.session.due_work import DueWork
from agent.session.live_config import ConfigDependencies, LiveConfiguration, interned, open_for_call
from agent.session.observers import SessionObserver, open_observers
from agent.session.outcome_queue import EndedCall, OutcomeQueue
from agent.session.resume import RecoveredCall, ResumeAttempt
from agent.session.session import CallDependencies, Session
from agent.settings import Settings
from agent.store.call_state import call_item
from agent.store.call_state.call_item import SessionItem, SpentToken, TokenUse
from agent.tools import CallContext, IdempotencyStore
from agent.twilio.speech_failover import SpeechHealth
from agent.usecases import UseCase, prompt
from agent.usecases.relay_attributes import language_of_voice

log = structlog.get_logger(__name__)

OpenView = Callable[[LiveConfiguration], SessionObserver | None]
"""Opens an observer of a call, for a terminal or a page."""
OpenedCall = tuple[SpentToken, asyncio.Task[tuple[Item, LiveConfiguration]]]
"""How a connection was opened, and its session item and configuration, once they are read."""


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that was set up and waits for its connection, which `token` opens once."""

    call_sid: str
    use_case: UseCase
    greeting: str
    token: str


class CallManager:
    """Sets calls up and runs them; `clock` is in epoch seconds."""

    def __init__(
        self,
        settings: Settings,
        resources: Resources,
        clock: Callable[[], float],
        on_active: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.resources = resources
        self.load, self.clock = resources.load, clock
        self._settings = settings
        self._store = resources.store
        self._count = resources.telemetry.count
        self._limits = CallerLimits(settings, resources.store, clock)
        self.messenger = ListedMessenger(resources.messenger, settings.sms_numbers)
        self.admission = Admission(settings.max_calls, clock, settings.caller_calls_at_once)
        self.speech = SpeechHealth(clock)
        self.outcomes = CallOutcomes(resources.store, self._count, clock)
        self.recordings = CallRecordings(
            resources.store, resources.recorder, clock, settings.recording_days, self._count
        )
        days = {"days": settings.call_days, "longest_days": settings.record_days}
        self.announcer = CallAnnouncer(resources.store, resources.outbox, clock, **days)
        kept = max(settings.call_days, settings.record_days) * 86_400
        self._redaction = CallRedaction(resources.store, clock, kept)
        works = {call_item.REDACTION: self._redaction.redact, RECORDING: self.recordings.expire}
        self.due_work = DueWork(resources.store, clock, self._count, works)
        self.outcome_queue = OutcomeQueue(settings, resources, clock)
        self.active_calls = ActiveCalls(self.admission, on_active)
        resources.telemetry.read_gauge("agent_reserved_calls", lambda: self.admission.reserved)
        of_calls = (settings, resources.store, resources.tool_registry, clock, self._count)
        self.setup = CallSetup(*of_calls)
        self.views: dict[str, OpenView] = {}
        """By CallSid: observers for people who make the call, who also take them out again."""
        self.running: dict[str, RunningCall] = {}
        """By CallSid, on its latest connection."""
        self._writes: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether a new call has to be refused."""
        return self.admission.is_full or not self.load.allows_calls

    async def prepare(
        self,
        webhook: Mapping[str, str],
        outbound: str = "",
        *,
        is_admitted: bool = False,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> PreparedCall:
        """Set a call up from its voice webhook, in one round trip to the table.

        The item that opens the connection is written while the rest is read; what was read is
        merged into it afterwards. `outbound` is the use case of an outbound call, `variables` are
        those it was asked for with; a call in progress `is_admitted` without regard to the
        caller's limits. Raises `CallerLimitError`,
        and `UseCaseError` if no use case can answer.
        """
        call_sid, token = webhook["CallSid"], secrets.token_urlsafe(24)
        now, trusted = self.clock(), self._settings.trusted_attestation
        opening = call_item.opening_item(
            call_sid,
            webhook,
            token=token,
            now=now,
            outbound=outbound,
            trusted=trusted,
        )
        opening["expireAt"] = int(now) + self._settings.call_seconds
        opening |= {"variables": dict(variables)} if variables else {}
        self._write_later(self.announcer.list.note_number(opening), name="calls of a number")
        (profile, session), _, _ = await asyncio.gather(
            self.setup.read(opening),
            self._open(opening, token),
            asyncio.sleep(0) if is_admitted else self._limits.admit(opening),
        )
        await open_for_call(self.resources.open_model, session.use_case)
        self._complete_later(call_sid, session)
        self._write_later(self._redaction.note(call_sid, session.use_case), name="redaction")
        greeting = prompt.greeting(session.use_case, profile, session.variables)
        if session.use_case.opening:
            greeting = ""
        return PreparedCall(call_sid, session.use_case, greeting, token)

    async def resume(
        self, webhook: Mapping[str, str], cause: ResumeCause, session_id: str
    ) -> PreparedCall | None:
        """Prepare a new connection for a call; None if it had too many lately.

        An unknown call, as after a switch to another region, is set up like a new one.
        `webhook` is the request of the action URL; `session_id` is of the relay session that is
        over, empty if not known.
        """
        call_sid = webhook["CallSid"]
        item = await self._store.get(call_sid, call_item.CONNECTION)
        if item is None:
            return await self.prepare(webhook, is_admitted=True)
        now, token = self.clock(), secrets.token_urlsafe(24)
        own = call_item.token_attributes(token, now)
        kept = {**own, "expireAt": int(now) + self._settings.call_seconds}
        attempt = await resume.begin_attempt(self._store, call_sid, cause, session_id, now, kept)
        if attempt is None:
            self._count("agent_call_resumes_total", cause=cause, outcome="refused")
            return None
        attributes = attempt.attributes
        if attempt.token != own and not await self._joins(call_sid, token, attempt.token):
            attributes |= own
        await self._store.merge(call_sid, call_item.CONNECTION, attributes)
        item = await self._set_up(call_sid, item)
        record = await self.setup.record_of(item)
        use_case = self.setup.parse(call_item.record_of_call(record, item))
        return PreparedCall(call_sid, use_case, "", token)

    async def spend_token(self, call_sid: str, token: str) -> SpentToken:
        """Use the single-use token of a connection."""
        if not call_sid or not token:
            return SpentToken(TokenUse.REFUSED, None)
        return await call_item.spend_token(self._store, call_sid, token, self.clock())

    @contextmanager
    def opening(self, call_sid: str, spent: SpentToken) -> Iterator[OpenedCall]:
        """Read what a connection needs, for `run`, while its peer is still to be heard."""
        tracing = self.resources.tracing
        with tracing.serving() if tracing else nullcontext():
            opened = asyncio.create_task(self._opened(call_sid, spent.item), name="opening")
            try:
                yield spent, opened
            finally:
                opened.cancel()
                opened.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def run(
        self, call_sid: str, transport: Transport, opened: OpenedCall | None = None
    ) -> EndReason:
        """Run a call until it is over or its connection is lost; a terminal spends no token."""
        if opened is not None:
            return await self._run(call_sid, transport, opened)
        with self.opening(call_sid, SpentToken(TokenUse.FIRST, None)) as first:
            return await self._run(call_sid, transport, first)

    async def _run(self, call_sid: str, transport: Transport, opened: OpenedCall) -> EndReason:
        spent, reading = opened
        item, configuration = await reading
        self.admission.note(call_sid, caller_of(item))
        self._write_later(self.announcer.began(item), name="list of calls")
        use_case = configuration.use_case
        self._write_later(self._redaction.note(call_sid, use_case), name="redaction")
        attempt = resume.latest_attempt(item)
        if spent.use is TokenUse.AGAIN:
            now, cause = self.clock(), ResumeCause.RECONNECTED
            kept = {"expireAt": int(now) + self._settings.call_seconds}
            attempt = await resume.begin_attempt(self._store, call_sid, cause, "", now, kept)
            if attempt is None:
                self._count("agent_call_resumes_total", cause=cause, outcome="refused")
                return EndReason.ERROR_RELAY
        recovered = await self._recover(item, attempt) if attempt else RecoveredCall()
        number = attempt.number if attempt else 0
        observers = open_observers(
            self.resources, item, configuration, number, recovered.resumption, self.clock()
        )
        if use_case.opening.question and not number:
            self._count("agent_consents_total", use_case=use_case.name, outcome="asked")
        if (open_view := self.views.get(call_sid)) is not None:
            observers.add("view", partial(open_view, configuration))
        allowance = self._limits.allowance(item, observers, lambda: configuration.use_case.spending)
        reason, tools = EndReason.ERROR_RELAY, recovered.tools
        try:
            began, sequence = resume.started_ms(item), recovered.first_sequence
            journal = self.resources.journals.open(call_sid, began, sequence, tools)
            around = (transport, configuration, journal, observers, allowance)
            keep = partial(self._keep_consent, item)
            dependencies = CallDependencies(*around, self.resources.speculation, keep)
            conversation = Conversation(configuration.config, recovered.resumption)
            session = Session(conversation, dependencies)
            watched = (session, observers, configuration, item, conversation.history)
            self.running[call_sid] = RunningCall(*watched)
            with self.active_calls.in_progress(call_sid, session):
                reason = await session.run()
        finally:
            if (running := self.running.get(call_sid)) and running.observers is observers:
                del self.running[call_sid]
            observers.ended(reason)
            if reason is EndReason.ERROR_MODEL or observers.is_unanswered:
                self.outcomes.failed(call_sid, "model")
            use_case, outcome = configuration.use_case, observers.outcome
            noting = self._redaction.note(call_sid, use_case, reason)
            self._write_later(noting, name="redaction")
            told = (reason, tools, outcome.success if outcome else "")
            self._write_later(self.announcer.ended(item, *told), name="list of calls")
            if outcome is not None:
                ended = EndedCall(call_sid, number, use_case, outcome)
                self._write_later(self.outcome_queue.add(ended), name="outcome")
            self._write_later(allowance.write(), name="caller's tokens")
        return reason

    async def edit(self, call_sid: str, attributes: Mapping[str, object]) -> None:
        """Change the item of a call that goes on, from its next turn on; may raise `StoreError`.

        It is written after what this process still writes to set the call up.
        """
        await self.until_written()
        await self._store.merge(call_sid, call_item.CONNECTION, attributes)

    async def until_quiet(self) -> None:
        """Wait until no connection and no session is left, and all items are written."""
        await self.active_calls.until_quiet()
        await self.until_written()

    async def until_written(self) -> None:
        """Wait until all session items are written or have failed; the table limits the time."""
        if self._writes:
            await asyncio.wait(self._writes)

    async def _open(self, opening: Item, token: str) -> None:
        """Write the item that opens the connection; the webhook may be a repeated one."""
        if await self._store.put(opening, only_if_absent=True):
            return
        call_sid = str(opening["pk"])
        item = await self._store.get(call_sid, call_item.CONNECTION) or {}
        if not await self._joins(call_sid, token, item):
            await self._store.put(opening)

    async def _joins(self, call_sid: str, token: str, known: Mapping[str, object]) -> bool:
        """Whether a token now opens the same first connection as the known one."""
        leading = call_item.leading_token(known)
        return await call_item.join_token(self._store, call_sid, token, leading, self.clock())

    def _write_later(self, write: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(write, name=name)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def _keep_consent(self, item: Item, action: ConsentAction) -> None:
        self._write_later(self.recordings.carry_out(item, action), name="consent")

    def _complete_later(self, call_sid: str, session: SessionItem) -> dict[str, object]:
        attributes = call_item.set_up_attributes(session)
        self._write_later(self._complete(call_sid, attributes), name="session item")
        return attributes

    async def _complete(self, call_sid: str, attributes: Mapping[str, object]) -> None:
        """Complete a session item; if that fails, the socket sets the call up again."""
        try:
            await self._store.merge(call_sid, call_item.CONNECTION, attributes)
        except StoreError as error:
            log.warning("session.write_failed", error=type(error).__name__)

    async def _set_up(self, call_sid: str, item: Item | None) -> Item:
        """The complete session item of a call.

        An item that was incomplete when the token was spent is read again; if it still is
        incomplete, the call is set up again.
        """
        if item is None or not call_item.is_set_up(item):
            item = await self._store.get(call_sid, call_item.CONNECTION)
        if item is None:
            raise UseCaseError("call: it was never set up")
        if call_item.is_set_up(item):
            return item
        _, session = await self.setup.read(item)
        return {**item, **self._complete_later(call_sid, session)}

    async def _recover(self, item: Item, attempt: ResumeAttempt) -> RecoveredCall:
        """The state of a call, after its earlier session in this process has ended."""
        await self.active_calls.lose(str(item["pk"]))
        outcome = "failed"
        try:
            recovered = await resume.recover(self._store, item, attempt, self.clock())
            outcome = "resumed"
        finally:
            self._count("agent_call_resumes_total", cause=attempt.cause, outcome=outcome)
        for repair in recovered.repairs:
            self._count("agent_history_repairs_total", kind=repair.kind)
        log.info("call.resumed", cause=attempt.cause, number=attempt.number)
        return recovered

    async def _opened(self, call_sid: str, known: Item | None) -> tuple[Item, LiveConfiguration]:
        item = interned(await self._set_up(call_sid, known))
        idempotency = IdempotencyStore(self._store, str(item["pk"]), self.clock)
        tools = partial(self._tools, item, idempotency)
        dependencies = ConfigDependencies(self._store, self.setup, self.resources.open_model, tools)
        return item, await LiveConfiguration.open(dependencies, item)

    def _tools(self, item: Item, idempotency: IdempotencyStore, use_case: UseCase) -> ToolExecutor:
        context = CallContext(
            call_id=str(item["pk"]),
            caller=call_item.identity_of(item),
            to=call_item.our_number(item),
            use_case=use_case.name,
            profile=call_item.profile_of(item),
            store=self._store,
            outbox=self.resources.outbox,
            idempotency=idempotency,
            messenger=self.messenger,
            clock=self.clock,
            time_zone=self._settings.time_zone,
            order_days=self._settings.order_days,
            language=language_of_voice(use_case.relay),
            languages=tuple(language["code"] for language in use_case.languages),
            audio=use_case.audio,
        )
        executor = self.resources.tool_registry.executor(use_case, context)
        return TracedToolExecutor(executor) if self.resources.tracing else executor
