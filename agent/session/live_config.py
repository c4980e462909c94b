"""What answers one call, also while somebody edits it.

Two items can be edited during a call (seed section A13):

- the session item: prompt, tools, keys and model of this one call. What is written there counts at
  the next turn.
- the use case's record, if it says `liveEdits`. A change sets the call up anew and is written into
  the session item, over what was edited there: the last edit wins.

Both are read when a turn begins, in one round trip, while the caller is still speaking
(`agent.session.session`). What cannot be read leaves everything as it is. An edit
that brings a fault is refused, logged once, and the call goes on as before: leaving a part out, as
is done when a call begins, would take from a running call what it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from agent.call.actions import StartReply
from agent.call.config import CallConfig
from agent.call.messages import ReplyRequest
from agent.errors import StoreError, UseCaseError
from agent.llm import OpenModel
from agent.ports import Item, Key, LanguageModel, Store, ToolExecutor
from agent.session.call_setup import CallSetup
from agent.store.call_state import call_item as session
from agent.usecases import prompt
from agent.usecases import record as records
from agent.usecases.use_case import UseCase
from agent.usecases.validation import plain

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConfigDependencies:
    """What the configuration of a call is made with."""

    store: Store
    setups: CallSetup
    open_model: OpenModel
    toolbox: Callable[[UseCase], ToolExecutor]
    """The tools of this call that a use case offers."""


@dataclass(frozen=True, slots=True)
class _InForce:
    """One state of the configuration; replaced whole."""

    use_case: UseCase
    model: LanguageModel
    toolbox: ToolExecutor


class LiveConfiguration:
    """`ports.Configuration` of one call; made by `open`."""

    def __init__(
        self, means: ConfigDependencies, record: Item, item: Item, in_force: _InForce
    ) -> None:
        self._means = means
        self._record = self._seen_record = record
        self._item = self._seen_item = item
        self._in_force = in_force

    @classmethod
    async def open(cls, means: ConfigDependencies, item: Item) -> LiveConfiguration:
        """The configuration of a call that was set up.

        Args:
            means: Of this call.
            item: Its session item.

        Raises:
            UseCaseError: What was set up cannot be read any more.
            StoreError: The table cannot be reached.
        """
        record = await means.setups.record_of(item)
        use_case = means.setups.parse(session.record_of_call(record, item))
        model = await open_for_call(means.open_model, use_case)
        in_force = _InForce(use_case, model, means.toolbox(use_case))
        return cls(means, record, item, in_force)

    @property
    def use_case(self) -> UseCase:
        """The use case in force, its prompt filled."""
        return self._in_force.use_case

    @property
    def model(self) -> LanguageModel:
        """See `ports.Configuration`."""
        return self._in_force.model

    @property
    def toolbox(self) -> ToolExecutor:
        """See `ports.Configuration`."""
        return self._in_force.toolbox

    @property
    def template(self) -> object:
        """The prompt of the use case in force, as its record has it."""
        return template_of(self._record)

    @property
    def brief(self) -> CallConfig:
        """What the conversation needs to know of it."""
        return brief_of(self._in_force.use_case, self._item)

    def request(self, action: StartReply) -> ReplyRequest:
        """See `ports.Configuration`."""
        return request_of(self._in_force.use_case, action)

    async def refresh(self) -> CallConfig | None:
        """See `ports.Configuration`."""
        try:
            return self.brief if await self._take_edits() else None
        except UseCaseError as error:
            log.error("use_case.edit_refused", fault=str(error))
        except StoreError as error:
            log.warning("use_case.not_read", error=type(error).__name__)
        return None

    async def _take_edits(self) -> bool:
        """Whether there was one; each is tried once, and what is broken is never built upon."""
        record, item = await self._read()
        if record is not None and record != self._seen_record:
            self._seen_record = record
            await self._follow_record(record)
            return True
        if item is not None and session.is_edited(item, self._seen_item):
            self._seen_item = item
            in_force = await _in_force(self._means, self._record, item)
            _refuse_new(in_force.use_case.errors, self._in_force.use_case.errors)
            self._in_force, self._item = in_force, item
            return True
        return False

    async def _read(self) -> tuple[Item | None, Item | None]:
        """The record, if the call follows its edits, and the session item."""
        keys: list[Key] = [(str(self._item["pk"]), session.CONNECTION)]
        if records.has_live_edits(self._record) and not session.version_of(self._item):
            keys.append((str(self._record["pk"]), records.CONFIGURATION))
        item, *record = await self._means.store.get_many(keys)
        return record[0] if record else None, item

    async def _follow_record(self, record: Item) -> None:
        setups = self._means.setups
        renewed = await setups.renew(record, self._item)
        _refuse_new(renewed.use_case.errors, setups.faults_of(self._record))
        attributes = session.set_up_attributes(renewed)
        item = {**self._item, **attributes}
        in_force = await _in_force(self._means, record, item)
        await self._means.store.merge(str(item["pk"]), session.CONNECTION, attributes)
        self._record, self._item, self._in_force = record, item, in_force
        self._seen_item = item


def template_of(record: Item) -> object:
    """The prompt of a record, with its placeholders."""
    return plain(record.get("prompt"))


def brief_of(use_case: UseCase, item: Item) -> CallConfig:
    """What the conversation needs to know of a use case, in the call of this session item."""
    return CallConfig(
        greeting=prompt.greeting(use_case, session.profile_of(item)),
        tools={spec.name: spec for spec in use_case.tools},
        keypad=use_case.keypad,
        phrases=use_case.phrases,
        can_hand_off=use_case.transfer_target is not None,
        language=use_case.relay.get("language", "en-US"),
    )


def request_of(use_case: UseCase, action: StartReply) -> ReplyRequest:
    """What a model is asked in a use case."""
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


async def open_for_call(open_model: OpenModel, use_case: UseCase) -> LanguageModel:
    """The model of a use case; that of the process if the use case names one that cannot be used.

    Raises:
        UseCaseError: There is none.
    """
    try:
        return await open_model(use_case)
    except UseCaseError as error:
        log.warning("use_case.model_replaced", use_case=use_case.name, fault=str(error))
    settings = replace(use_case.model, identifier="", additional="")
    return await open_model(replace(use_case, model=settings, offline_script=""))


def _refuse_new(faults: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse an edit for a fault that was not there before.

    Raises:
        UseCaseError: The first one.
    """
    for fault in faults:
        if fault not in known:
            raise UseCaseError(fault)


async def _in_force(means: ConfigDependencies, record: Item, item: Item) -> _InForce:
    """What a record and a session item say together."""
    use_case = means.setups.parse(session.record_of_call(record, item))
    return _InForce(use_case, await means.open_model(use_case), means.toolbox(use_case))
