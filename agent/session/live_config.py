"""The configuration of one call, which may be edited while the call runs.

An edit of the session item (prompt, tools, keys, model) counts from the next turn. An edit of the
use case's record counts if it says `liveEdits`: the call is set up again, and the result is written
into the session item, over earlier edits there. Both are read in one round trip when the caller
begins to speak; if that fails, everything stays as it is. An edit with a new fault is refused and
logged once: leaving a part out would take from a running call what it has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, cast

import structlog

from agent.call.actions import StartReply
from agent.call.answer_kind import expected_answers
from agent.call.config import CallConfig, Limits
from agent.call.messages import ReplyRequest, ToolSpec
from agent.call.spoken_values import KnownNumbers, known_numbers
from agent.errors import StoreError, UseCaseError
from agent.llm import OpenModel
from agent.ports import Item, Key, LanguageModel, Store, ToolExecutor
from agent.session.call_setup import CallSetup
from agent.store.call_state import call_item
from agent.tools import request_call_back
from agent.usecases import UseCase, prompt
from agent.usecases import record as records
from agent.usecases.caller_identity import is_telephone_number
from agent.usecases.relay_attributes import hears_any_language, language_of_voice
from agent.usecases.validation import plain

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConfigDependencies:
    """What the configuration of a call is made from; `toolbox` makes its tools."""

    store: Store
    setup: CallSetup
    open_model: OpenModel
    toolbox: Callable[[UseCase], ToolExecutor]


_V = TypeVar("_V")
_LONG_TEXT = 200  # characters
_InForce = tuple[UseCase, LanguageModel, ToolExecutor]


class LiveConfiguration:
    """`ports.Configuration` of one call; made by `open`."""

    def __init__(
        self, dependencies: ConfigDependencies, record: Item, item: Item, in_force: _InForce
    ) -> None:
        self._deps = dependencies
        self._record = self._seen_record = record
        self._item = self._seen_item = item
        self._seen_edits = dependencies.setup.edits
        self.use_case, self.model, self.toolbox = in_force

    @classmethod
    async def open(cls, dependencies: ConfigDependencies, item: Item) -> LiveConfiguration:
        """The configuration of the call of this session item; raises `UseCaseError`."""
        record = interned(await dependencies.setup.record_of(item))
        open_model = partial(open_for_call, dependencies.open_model)
        in_force = await _in_force(replace(dependencies, open_model=open_model), record, item)
        return cls(dependencies, record, item, in_force)

    @property
    def template(self) -> object:
        """The prompt in the record of the use case, with its placeholders."""
        return plain(self._record.get("prompt"))

    @property
    def config(self) -> CallConfig:
        """What the conversation needs of the use case."""
        return config_of(self.use_case, self._item)

    def request(self, action: StartReply) -> ReplyRequest:
        return request_of(self.use_case, action)

    async def refresh(self) -> CallConfig | None:
        try:
            return self.config if await self._apply_edits() else None
        except UseCaseError as error:
            log.error("use_case.edit_refused", fault=str(error))
        except StoreError as error:
            log.warning("use_case.read_failed", error=type(error).__name__)
        return None

    async def _apply_edits(self) -> bool:
        """Apply edits; whether there was one. A refused edit is not tried again."""
        keys: list[Key] = [(str(self._item["pk"]), call_item.CONNECTION)]
        is_live = records.has_live_edits(self._record) and not call_item.version_of(self._item)
        if is_live or self._deps.setup.follows_edits:
            keys.append((str(self._record["pk"]), records.CONFIGURATION))
        item, *found = await self._deps.store.get_many(keys)
        record = found[0] if found else None
        edits = self._deps.setup.edits
        if record is not None and (record, edits) != (self._seen_record, self._seen_edits):
            self._seen_record, self._seen_edits = record, edits
            await self._apply_record(record)
            return True
        if item is not None and call_item.is_edited(item, self._seen_item):
            self._seen_item = item
            in_force = await _in_force(self._deps, self._record, item)
            _refuse_new(in_force[0].errors, self.use_case.errors)
            self.use_case, self.model, self.toolbox = in_force
            self._item = item
            return True
        return False

    async def _apply_record(self, record: Item) -> None:
        setup = self._deps.setup
        renewed = await setup.renew(record, self._item)
        _refuse_new(renewed.use_case.errors, setup.faults_of(self._record))
        attributes = call_item.set_up_attributes(renewed)
        item = {**self._item, **attributes}
        in_force = await _in_force(self._deps, record, item)
        await self._deps.store.merge(str(item["pk"]), call_item.CONNECTION, attributes)
        self.use_case, self.model, self.toolbox = in_force
        self._record, self._item, self._seen_item = record, item, item


def config_of(use_case: UseCase, item: Item) -> CallConfig:
    """What the conversation needs of a use case, in the call of this session item."""
    language = language_of_voice(use_case.relay)
    backup = use_case.backup_voice.get("ttsLanguage", "")
    greeting = prompt.greeting(use_case, call_item.profile_of(item), call_item.variables_of(item))
    return CallConfig(
        greeting=greeting,
        tools={spec.name: _entered(spec, call_item.identity_of(item)) for spec in use_case.tools},
        keypad=use_case.keypad,
        phrases=use_case.phrases,
        limits=_limits_of(use_case),
        can_hand_off=use_case.transfer_target is not None,
        call_back=request_call_back.spec.name,
        language=language,
        opening=use_case.opening,
        known=_known(use_case, greeting)
        if use_case.turn_taking.guards_commitments
        else KnownNumbers(),
        translations=use_case.translations,
        hears_any_language=hears_any_language(use_case.relay),
        has_other_backup_voice=backup not in {"", language},
    )


def _entered(spec: ToolSpec, caller: str) -> ToolSpec:
    """The tool as it is in this call: a caller is called back at the own number, if it is known."""
    is_known = spec.name == request_call_back.spec.name and is_telephone_number(caller)
    return replace(spec, collects=None) if is_known else spec


def _limits_of(use_case: UseCase) -> Limits:
    """Those of the use case, which also knows more of an answer than a tool."""
    limits = use_case.turn_taking.limits
    of_tools = expected_answers(dict(pair for spec in use_case.tools for pair in spec.expects))
    others = {words: kind for words, kind in of_tools.items() if words not in limits.expects}
    return replace(limits, expects={**limits.expects, **others})


def _known(use_case: UseCase, greeting: str) -> KnownNumbers:
    """The numbers that the model is given, or the agent says by itself."""
    keys = (key.reply_text for key in use_case.keypad.values())
    said = (use_case.greeting, greeting, use_case.context, *keys)
    return known_numbers("\n".join((use_case.prompt, *said)))


def request_of(use_case: UseCase, action: StartReply) -> ReplyRequest:
    """The complete request to the model."""
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
    """The model of a use case; the default of the process if that is unusable."""
    try:
        return await open_model(use_case)
    except UseCaseError as error:
        log.warning("use_case.model_replaced", use_case=use_case.name, fault=str(error))
    settings = replace(use_case.model, identifier="", additional="")
    return await open_model(replace(use_case, model=settings, offline_script=""))


def _refuse_new(faults: tuple[str, ...], known: tuple[str, ...]) -> None:
    if new := [fault for fault in faults if fault not in known]:
        raise UseCaseError(new[0])


def interned(value: _V) -> _V:
    """The value with its long texts, most of which are equal in other calls, as shared ones."""
    kept: object = value
    if isinstance(value, str):
        kept = sys.intern(value) if len(value) >= _LONG_TEXT else value
    elif isinstance(value, dict):
        kept = {name: interned(each) for name, each in value.items()}
    elif isinstance(value, list):
        kept = [interned(each) for each in value]
    return cast("_V", kept)


async def _in_force(deps: ConfigDependencies, record: Item, item: Item) -> _InForce:
    use_case = deps.setup.parse(call_item.record_of_call(record, item))
    return use_case, await deps.open_model(use_case), deps.toolbox(use_case)
