"""Calls of this process: set up at the webhook, opened when the line is there, counted until over.

Set-up and line may meet different processes, so all that the second needs is in the session item
(`agent.store.session`). A call on a terminal goes the same way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from agent.configuration import LiveConfiguration, Means
from agent.conversation import prompt
from agent.conversation.events import EndReason
from agent.conversation.machine import Conversation
from agent.conversation.usecase import UseCase
from agent.llm import OpenModel
from agent.ports import Item, Journal, Line, Messenger, Store, StoreError, UseCaseError
from agent.session import Session, Surroundings
from agent.settings import Settings
from agent.setup import Setups
from agent.store import session
from agent.store.journal import Journals
from agent.telemetry import Telemetry
from agent.tools import CallContext, CallToolbox, Ledger, Toolkit

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that was set up and waits for its line."""

    call_sid: str
    use_case: UseCase
    greeting: str
    token: str
    """Opens the line once."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What all calls of a process share."""

    store: Store
    journals: Journals
    open_model: OpenModel
    toolkit: Toolkit
    messenger: Messenger
    telemetry: Telemetry


class Calls:
    """Sets calls up and runs them."""

    def __init__(
        self,
        settings: Settings,
        resources: Resources,
        clock: Callable[[], float],
        on_active: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._on_active = on_active
        self._settings = settings
        self._resources = resources
        self._store = resources.store
        self._open_model = resources.open_model
        self._clock = clock
        self._setups = Setups(settings, resources.store, resources.toolkit, clock)
        self._writings: set[asyncio.Task[None]] = set()
        self._running: set[Session] = set()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self.is_draining = False
        """No further call is taken."""

    @property
    def active(self) -> int:
        """Calls in progress."""
        return len(self._running)

    @property
    def is_full(self) -> bool:
        """One more call would be too many."""
        return self.active >= self._settings.max_calls

    @property
    def tool_sources_away(self) -> tuple[str, ...]:
        """Sources of tools that cannot be reached; calls are taken, and do without them."""
        return self._resources.toolkit.away

    async def prepare(self, webhook: Mapping[str, str], outbound: str = "") -> Prepared:
        """Set a call up: who calls, which use case answers, what it is told.

        Takes one round trip to the table: the item that opens the line is written while the rest is
        read, and what was read is added to it afterwards.

        Args:
            webhook: The fields of the voice webhook, with `CallSid` and `From`.
            outbound: Use case of a call that we made, to `To`; empty = one that came in.

        Raises:
            UseCaseError: No use case can answer.
            StoreError: The table cannot be reached.
        """
        call_sid, token = webhook["CallSid"], secrets.token_urlsafe(24)
        opening = session.opening_item(
            call_sid, webhook, token=token, now=self._clock(), outbound=outbound
        )
        setup, _ = await asyncio.gather(self._setups.read(opening), self._store.put(opening))
        await self._open_model(setup.use_case)
        self._write_later(call_sid, session.set_up_attributes(setup.session))
        greeting = prompt.greeting(setup.use_case, setup.profile)
        return Prepared(call_sid, setup.use_case, greeting, token)

    async def admit(self, call_sid: str, token: str) -> bool:
        """Whether this token opens the line of this call: true once."""
        if not call_sid or not token:
            return False
        return await session.spend_token(self._store, call_sid, token, self._clock())

    async def run(self, call_sid: str, line: Line) -> EndReason:
        """Lead a call that was set up, until it is over.

        Raises:
            UseCaseError: What was set up cannot be read any more.
            StoreError: The table cannot be reached.
        """
        item = await self._store.get(call_sid, session.CONNECTION)
        if item is None:
            raise UseCaseError("call: it was never set up")
        if not session.is_set_up(item):
            attributes = session.set_up_attributes((await self._setups.read(item)).session)
            self._write_later(call_sid, attributes)
            item = {**item, **attributes}
        ledger = Ledger(self._store, call_sid, self._clock)
        toolbox = partial(self._toolbox, item, ledger)
        means = Means(self._store, self._setups, self._open_model, toolbox)
        configuration = await LiveConfiguration.open(means, item)
        observer = self._resources.telemetry.call(
            configuration.use_case.name, lambda: configuration.model.name
        )
        reason = EndReason.ERROR_RELAY
        around = Surroundings(line, configuration, self._journal(item), observer)
        running = Session(Conversation(configuration.brief), around)
        self._running.add(running)
        self._is_quiet.clear()
        self._on_active(self.active)
        if self.is_draining:
            running.stop()
        try:
            reason = await running.run()
        finally:
            self._running.discard(running)
            self._on_active(self.active)
            if not self._running:
                self._is_quiet.set()
            observer.ended(reason)
        return reason

    def drain(self) -> None:
        """Take no further call and let those in progress come to an end."""
        self.is_draining = True
        for running in list(self._running):
            running.stop()

    async def until_quiet(self) -> None:
        """Wait until no call is in progress and all that was set up is written."""
        await self._is_quiet.wait()
        await self.close()

    async def close(self) -> None:
        """Wait until what was set up is written, or refused; the table ends that in time."""
        if self._writings:
            await asyncio.wait(self._writings)

    async def survey(self) -> None:
        """See `Setups.survey`."""
        await self._setups.survey()

    @property
    def remarks(self) -> list[str]:
        """What had to be left out of use cases, one line each; names no caller and no secret."""
        return [
            remark for name in sorted(self._setups.remarks) for remark in self._setups.remarks[name]
        ]

    async def use_case(self, name: str) -> UseCase:
        """See `Setups.use_case`."""
        return await self._setups.use_case(name)

    def _write_later(self, call_sid: str, attributes: Mapping[str, object]) -> None:
        """Add to a session item while the caller is connected."""
        writing = asyncio.create_task(self._write(call_sid, attributes), name="session item")
        self._writings.add(writing)
        writing.add_done_callback(self._writings.discard)

    async def _write(self, call_sid: str, attributes: Mapping[str, object]) -> None:
        """Without it the call is set up again when the line is there."""
        try:
            await self._store.merge(call_sid, session.CONNECTION, attributes)
        except StoreError as error:
            log.warning("session.not_written", error=type(error).__name__)

    def _journal(self, item: Item) -> Journal:
        started_ms = item.get("startedMs")
        started_ms = started_ms if isinstance(started_ms, int) else 0
        return self._resources.journals.open(str(item["pk"]), started_ms)

    def _toolbox(self, item: Item, ledger: Ledger, use_case: UseCase) -> CallToolbox:
        """The tools a use case offers, for one call."""
        context = CallContext(
            call_id=str(item["pk"]),
            caller=session.identity_of(item),
            to=session.our_number(item),
            use_case=use_case.name,
            profile=session.profile_of(item),
            store=self._store,
            ledger=ledger,
            messenger=self._resources.messenger,
            clock=self._clock,
            time_zone=self._settings.time_zone,
            language=use_case.relay.get("language", "en-US"),
            languages=tuple(language["code"] for language in use_case.languages),
        )
        return self._resources.toolkit.toolbox(use_case, context)
