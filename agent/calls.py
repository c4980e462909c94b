"""Calls of this process: set up at the webhook, opened when the line is there, counted until over.

Set-up and line may meet different processes, so all that the second needs is in the session item
(`agent.store.session`). A call on a terminal goes the same way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.conversation import prompt
from agent.conversation.actions import StartReply
from agent.conversation.caller import identify
from agent.conversation.events import EndReason
from agent.conversation.machine import Conversation
from agent.conversation.messages import ReplyRequest
from agent.conversation.usecase import Brief, Profile, UseCase
from agent.llm import OpenModel
from agent.ports import Item, LanguageModel, Line, Store, UseCaseError
from agent.relay import attributes as relay_rules
from agent.session import Session, Surroundings
from agent.settings import Settings
from agent.store import records, session
from agent.store.journal import Journals
from agent.telemetry import CallObserver, Telemetry
from agent.tools import SPECS, TOOLS, CallContext, CallToolbox

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that was set up and waits for its line."""

    call_sid: str
    use_case: UseCase
    greeting: str
    token: str
    """Opens the line once."""


class Calls:
    """Sets calls up and runs them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        telemetry: Telemetry,
        open_model: OpenModel,
        clock: Callable[[], float],
        journals: Journals,
    ) -> None:
        self._settings = settings
        self._store = store
        self._telemetry = telemetry
        self._open_model = open_model
        self._clock = clock
        self._journals = journals
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

    async def prepare(self, webhook: Mapping[str, str]) -> Prepared:
        """Set a call up: who calls, which use case answers, what it is told.

        Args:
            webhook: The fields of the voice webhook, with `CallSid` and `From`.

        Raises:
            UseCaseError: No use case can answer.
            StoreError: The table cannot be reached.
        """
        caller = identify(webhook["From"])
        item = await self._store.get(caller, records.PROFILE) if caller else None
        profile = records.profile_from_item(item) if item else Profile(caller)
        use_case = await self._use_case_for(profile)
        await self._open_model(use_case)
        now = self._clock()
        prepared = Prepared(
            call_sid=webhook["CallSid"],
            use_case=use_case,
            greeting=prompt.greeting(use_case, profile),
            token=secrets.token_urlsafe(24),
        )
        call = session.Session(
            call_sid=prepared.call_sid,
            use_case=use_case,
            model=use_case.model.identifier or self._settings.model_identifier,
            system_prompt=prompt.system_prompt(
                use_case,
                profile,
                datetime.fromtimestamp(now, self._settings.time_zone),
                await records.use_cases(self._store),
            ),
            profile=item or {},
        )
        await self._store.put(session.session_item(call, webhook, token=prepared.token, now=now))
        return prepared

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
        use_case = await self._use_case_of(item)
        model = await self._open_model(use_case)
        observer = self._telemetry.call(use_case.name, model.name)
        reason = EndReason.ERROR_RELAY
        running = self._session(call_sid, item, use_case, line, model, observer)
        self._running.add(running)
        self._is_quiet.clear()
        if self.is_draining:
            running.stop()
        try:
            reason = await running.run()
        finally:
            self._running.discard(running)
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
        """Wait until no call is in progress."""
        await self._is_quiet.wait()

    async def use_case(self, name: str) -> UseCase:
        """A use case of the table; what had to be left out of it is logged.

        Raises:
            UseCaseError: There is none of this name, or it is broken.
        """
        use_case, warnings = await records.use_case(self._store, name, SPECS, relay_rules)
        for warning in warnings:
            log.warning("use_case.warning", use_case=name, warning=warning)
        return use_case

    async def _use_case_for(self, profile: Profile) -> UseCase:
        """The caller's own use case; if it cannot answer, the one of this process."""
        if profile.use_case and profile.use_case != self._settings.stack_use_case:
            try:
                return await self.use_case(profile.use_case)
            except UseCaseError as error:
                log.error("use_case.broken", use_case=profile.use_case, fault=str(error))
        return await self.use_case(self._settings.stack_use_case)

    async def _use_case_of(self, item: Item) -> UseCase:
        """The use case as it was set up for this call: its prompt is filled."""
        name = str(item.get("useCase", ""))
        record = await self._store.get(name, records.CONFIGURATION)
        if record is None:
            raise UseCaseError(f"{name}: there is no such use case")
        as_set_up = session.record_of_call(record, item)
        use_case, _ = records.parse_use_case(as_set_up, SPECS, relay_rules)
        return use_case

    def _session(
        self,
        call_sid: str,
        item: Item,
        use_case: UseCase,
        line: Line,
        model: LanguageModel,
        observer: CallObserver,
    ) -> Session:
        caller = identify(str(item.get("From", "")))
        profile = _profile(item, caller)
        context = CallContext(
            call_id=call_sid,
            caller=caller,
            to=str(item.get("To", "")),
            use_case=use_case.name,
            profile=profile,
            store=self._store,
            clock=self._clock,
            time_zone=self._settings.time_zone,
            language=use_case.relay.get("language", "en-US"),
            languages=tuple(language["code"] for language in use_case.languages),
        )
        offered = {spec.name for spec in use_case.tools}
        started_ms = item.get("startedMs")
        around = Surroundings(
            line=line,
            model=model,
            toolbox=CallToolbox((tool for tool in TOOLS if tool.spec.name in offered), context),
            journal=self._journals.open(call_sid, started_ms if isinstance(started_ms, int) else 0),
            observer=observer,
            request=lambda action: _request(use_case, action),
        )
        return Session(Conversation(_brief(use_case, profile)), around)


def _profile(item: Item, caller: str) -> Profile:
    """The profile as it was when the call was set up."""
    context = item.get("userContext")
    if isinstance(context, dict) and context:
        return records.profile_from_item(context)
    return Profile(caller)


def _brief(use_case: UseCase, profile: Profile) -> Brief:
    return Brief(
        greeting=prompt.greeting(use_case, profile),
        tools={spec.name: spec for spec in use_case.tools},
        keypad=use_case.keypad,
        phrases=use_case.phrases,
        can_hand_off=bool(use_case.handoff_number),
    )


def _request(use_case: UseCase, action: StartReply) -> ReplyRequest:
    return ReplyRequest(
        system=use_case.prompt,
        context=use_case.context,
        messages=action.messages,
        tools=use_case.tools,
        choice=action.choice,
        max_tokens=use_case.model.max_tokens,
        temperature=use_case.model.temperature,
        top_p=use_case.model.top_p,
    )
