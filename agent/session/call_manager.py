"""Calls of this process: set up at the webhook, led when the line is there.

Set-up and line may meet different processes, so all that the second needs is in the session item
(`agent.store.call_state.call_item`). A call on a terminal goes the same way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import structlog

from agent.call.conversation import Conversation
from agent.call.events import EndReason
from agent.call.resumption import ResumeCause
from agent.capacity import Admission
from agent.capacity.load_shedding import Load
from agent.errors import StoreError, UseCaseError
from agent.messaging import ListedMessenger
from agent.observability.tracing import TracedToolExecutor
from agent.ports import Item, ToolExecutor, Transport
from agent.session.call_registry import ActiveCalls
from agent.session.call_setup import CallSetup
from agent.session.caller_limits import CallerLimits, caller_of
from agent.session.live_config import ConfigDependencies, LiveConfiguration, open_for_call
from agent.session.observers import open_watch
from agent.session.recovery import RecoveredCall, recover, started_ms
from agent.session.resources import Resources
from agent.session.session import CallDependencies, Session
from agent.settings import Settings
from agent.store.call_state import call_item as session
from agent.store.call_state.call_item import TokenUse
from agent.store.call_state.resume_attempts import ResumeAttempt, enter_again, reentry_of
from agent.tools import CallContext, IdempotencyStore
from agent.twilio.speech_failover import SpeechHealth
from agent.usecases import prompt
from agent.usecases.use_case import UseCase

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that was set up and waits for its line."""

    call_sid: str
    use_case: UseCase
    greeting: str
    token: str
    """Opens the line once."""


async def _admit_always(_: Item) -> None:
    """A call that was admitted before."""


class CallManager:
    """Sets calls up and runs them."""

    def __init__(
        self,
        settings: Settings,
        resources: Resources,
        clock: Callable[[], float],
        on_active: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._resources = resources
        self._store = resources.store
        self._open_model = resources.open_model
        self._clock = clock
        self.messenger = ListedMessenger(resources.messenger, settings.sms_numbers)
        """The way to callers, for those that may be texted."""
        self._limits = CallerLimits(settings, resources.store, clock)
        self.admission = Admission(settings.max_calls, clock, settings.caller_calls_at_once)
        self.speech = SpeechHealth(clock)
        self.lines = ActiveCalls(self.admission, on_active)
        resources.telemetry.read_gauge("agent_reserved_calls", lambda: self.admission.reserved)
        self._setups = CallSetup(settings, resources.store, resources.tool_registry, clock)
        self._writings: set[asyncio.Task[None]] = set()
        self._count = resources.telemetry.count

    @property
    def is_full(self) -> bool:
        """One more new call would be too many."""
        return self.admission.is_full or not self.load.allows_calls

    @property
    def load(self) -> Load:
        """How busy this process is."""
        return self._resources.load

    @property
    def resources(self) -> Resources:
        """What all calls share."""
        return self._resources

    @property
    def clock(self) -> Callable[[], float]:
        """Epoch seconds."""
        return self._clock

    @property
    def tool_sources_away(self) -> tuple[str, ...]:
        """Sources of tools that cannot be reached; calls are taken, and do without them."""
        return self._resources.tool_registry.unreachable

    async def prepare(self, webhook: Mapping[str, str], outbound: str = "") -> PreparedCall:
        """Set a call up: who calls, which use case answers, what it is told.

        Takes one round trip to the table: the item that opens the line is written while the rest is
        read, and what was read is added to it afterwards.

        Args:
            webhook: The fields of the voice webhook, with `CallSid` and `From`.
            outbound: Use case of a call that we made, to `To`; empty = one that came in.

        Raises:
            CallerLimitError: The caller has called too often, or too much.
            UseCaseError: No use case can answer.
            StoreError: The table cannot be reached.
        """
        return await self._prepare(webhook, outbound, admit=self._limits.admit)

    async def take_back(
        self, webhook: Mapping[str, str], cause: ResumeCause, session_id: str
    ) -> PreparedCall | None:
        """Give a call a new line; None if it has had too many lately.

        A call of which nothing is known, as after a switch to another region, is set up like a new
        one.

        Args:
            webhook: The fields of the request of the action URL, with `CallSid`.
            cause: Why it needs one.
            session_id: Of the relay session that is over; empty = not known.

        Raises:
            UseCaseError: No use case can answer.
            StoreError: The table cannot be reached.
        """
        call_sid = webhook["CallSid"]
        item = await self._store.get(call_sid, session.CONNECTION)
        if item is None:
            return await self._prepare(webhook)
        now, token = self._clock(), secrets.token_urlsafe(24)
        own = session.token_attributes(token, now)
        reentry = await enter_again(self._store, call_sid, cause, session_id, now, own)
        if reentry is None:
            self._count("agent_call_resumes_total", cause=cause, outcome="refused")
            return None
        attributes = reentry.attributes
        if reentry.token != own and not await self._joins(call_sid, token, reentry.token):
            attributes |= own
        await self._store.merge(call_sid, session.CONNECTION, attributes)
        item = await self._set_up(item)
        record = await self._setups.record_of(item)
        use_case = self._setups.parse(session.record_of_call(record, item))
        return PreparedCall(call_sid, use_case, "", token)

    async def admit(self, call_sid: str, token: str) -> TokenUse:
        """What this token is good for: it opens the line of its call."""
        if not call_sid or not token:
            return TokenUse.REFUSED
        return await session.spend_token(self._store, call_sid, token, self._clock())

    async def run(
        self, call_sid: str, line: Transport, use: TokenUse = TokenUse.FIRST
    ) -> EndReason:
        """Lead a call that was set up, until it is over or its line is.

        Args:
            call_sid: The call.
            line: To the caller.
            use: For what the token was good that has opened the line.

        Raises:
            UseCaseError: What was set up cannot be read any more.
            StoreError: The table cannot be reached.
        """
        tracing = self._resources.tracing
        with tracing.serving() if tracing else nullcontext():
            return await self._run(call_sid, line, use)

    async def _run(self, call_sid: str, line: Transport, use: TokenUse) -> EndReason:
        item = await self._store.get(call_sid, session.CONNECTION)
        if item is None:
            raise UseCaseError("call: it was never set up")
        self.admission.note(call_sid, caller_of(item))
        item = await self._set_up(item)
        reentry = reentry_of(item)
        if use is TokenUse.AGAIN:
            now, cause = self._clock(), ResumeCause.RECONNECTED
            reentry = await enter_again(self._store, call_sid, cause, "", now)
            if reentry is None:
                self._count("agent_call_resumes_total", cause=cause, outcome="refused")
                return EndReason.ERROR_RELAY
        recovered = await self._recovered(item, reentry) if reentry else None
        resumption = recovered.resumption if recovered else None
        configuration = await self._configuration(item)
        number = reentry.number if reentry else 0
        watch = open_watch(self._resources, item, configuration, number, resumption, self._clock())
        allowance = self._limits.allowance(item, lambda: watch.tokens)
        reason = EndReason.ERROR_RELAY
        try:
            journal = self._resources.journals.open(
                call_sid, started_ms(item), recovered.first_sequence if recovered else 0
            )
            around = CallDependencies(line, configuration, journal, watch, allowance)
            running = Session(Conversation(configuration.brief, resumption), around)
            with self.lines.in_progress(call_sid, running):
                reason = await running.run()
        finally:
            watch.ended(reason)
            if allowance is not None:
                self._later(allowance.write(), name="caller's tokens")
        return reason

    async def until_quiet(self) -> None:
        """Wait until no line is there, no call in progress, and all that was set up written."""
        await self.lines.until_quiet()
        await self.close()

    async def close(self) -> None:
        """Wait until what was set up is written, or refused; the table ends that in time."""
        if self._writings:
            await asyncio.wait(self._writings)

    async def survey(self) -> None:
        """See `CallSetup.survey`."""
        await self._setups.survey()

    @property
    def remarks(self) -> list[str]:
        """What had to be left out of use cases, one line each; names no caller and no secret."""
        return [
            remark for name in sorted(self._setups.remarks) for remark in self._setups.remarks[name]
        ]

    async def use_case(self, name: str) -> UseCase:
        """See `CallSetup.use_case`."""
        return await self._setups.use_case(name)

    async def _prepare(
        self,
        webhook: Mapping[str, str],
        outbound: str = "",
        admit: Callable[[Item], Awaitable[None]] = _admit_always,
    ) -> PreparedCall:
        """See `prepare`; a call in progress needs no admission."""
        call_sid, token, now = webhook["CallSid"], secrets.token_urlsafe(24), self._clock()
        trusted = self._settings.trusted_attestation
        opening = session.opening_item(
            call_sid, webhook, token=token, now=now, outbound=outbound, trusted=trusted
        )
        setup, _, _ = await asyncio.gather(
            self._setups.read(opening), self._open(opening, token), admit(opening)
        )
        await open_for_call(self._open_model, setup.use_case)
        self._write_later(call_sid, session.set_up_attributes(setup.session))
        greeting = prompt.greeting(setup.use_case, setup.profile)
        return PreparedCall(call_sid, setup.use_case, greeting, token)

    async def _open(self, opening: Item, token: str) -> None:
        """Keep what opens the socket of a call; it may be the second webhook for one."""
        if await self._store.put(opening, only_if_absent=True):
            return
        call_sid = str(opening["pk"])
        item = await self._store.get(call_sid, session.CONNECTION) or {}
        if not await self._joins(call_sid, token, item):
            await self._store.put(opening)

    async def _joins(self, call_sid: str, token: str, known: Mapping[str, object]) -> bool:
        """Whether a token opens the same first socket as the one that is known."""
        leading = session.leading_token(known)
        return await session.join_token(self._store, call_sid, token, leading, self._clock())

    def _write_later(self, call_sid: str, attributes: Mapping[str, object]) -> None:
        """Add to a session item while the caller is connected."""
        self._later(self._write(call_sid, attributes), name="session item")

    def _later(self, writing_down: Coroutine[None, None, None], name: str) -> None:
        """Write while nobody waits for it; `close` does."""
        writing = asyncio.create_task(writing_down, name=name)
        self._writings.add(writing)
        writing.add_done_callback(self._writings.discard)

    async def _write(self, call_sid: str, attributes: Mapping[str, object]) -> None:
        """Without it the call is set up again when the line is there."""
        try:
            await self._store.merge(call_sid, session.CONNECTION, attributes)
        except StoreError as error:
            log.warning("session.not_written", error=type(error).__name__)

    async def _set_up(self, item: Item) -> Item:
        """The session item with all it needs; set up again if that was not kept."""
        if session.is_set_up(item):
            return item
        attributes = session.set_up_attributes((await self._setups.read(item)).session)
        self._write_later(str(item["pk"]), attributes)
        return {**item, **attributes}

    async def _recovered(self, item: Item, reentry: ResumeAttempt) -> RecoveredCall:
        """A call as it stands, when nobody here leads it any more."""
        call_sid = str(item["pk"])
        await self.lines.lose(call_sid)
        outcome = "failed"
        try:
            recovered = await recover(self._store, item, reentry, self._clock())
            outcome = "resumed"
        finally:
            self._count("agent_call_resumes_total", cause=reentry.cause, outcome=outcome)
        for repair in recovered.repairs:
            self._count("agent_history_repairs_total", kind=repair.kind)
        log.info("call.resumed", cause=reentry.cause, number=reentry.number)
        return recovered

    async def _configuration(self, item: Item) -> LiveConfiguration:
        """What answers one call."""
        idempotency = IdempotencyStore(self._store, str(item["pk"]), self._clock)
        toolbox = partial(self._toolbox, item, idempotency)
        means = ConfigDependencies(self._store, self._setups, self._open_model, toolbox)
        return await LiveConfiguration.open(means, item)

    def _toolbox(
        self, item: Item, idempotency: IdempotencyStore, use_case: UseCase
    ) -> ToolExecutor:
        """The tools a use case offers, for one call."""
        context = CallContext(
            call_id=str(item["pk"]),
            caller=session.identity_of(item),
            to=session.our_number(item),
            use_case=use_case.name,
            profile=session.profile_of(item),
            store=self._store,
            idempotency=idempotency,
            messenger=self.messenger,
            clock=self._clock,
            time_zone=self._settings.time_zone,
            language=use_case.relay.get("language", "en-US"),
            languages=tuple(language["code"] for language in use_case.languages),
        )
        toolbox = self._resources.tool_registry.executor(use_case, context)
        return TracedToolExecutor(toolbox) if self._resources.tracing else toolbox
