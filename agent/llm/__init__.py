"""Language models, chosen by the scheme of an identifier.

    offline:       the script of the use case (`agent.llm.offline.offline_model`)
    openai:NAME    chat completions (`agent.llm.openai`)
    anything else  a model, inference profile or ARN of Amazon Bedrock

A use case's own identifier wins over the process's, also in a process that is `offline:`
otherwise (contract section 4, seed section A8). What a scheme needs is opened at start for the
identifiers of the process, so that a wrong one stops the start, and for any other when a use
case first names it. Until then its libraries are not even imported: an offline process has no
AWS. One task opens and closes them all, because what is entered in one task must be left in it.

A server of the operator's own (`OPENAI_BASE_URL`) may load a model at its first contact. Those of
the process are asked for at start, so that this is over before the first call.

Every model but the offline one, which cannot fail, is wrapped: `agent.llm.failover`, with the
process's fallbacks behind it. A fallback answers with the use case's settings, guardrail included,
but without the options that belong to a family of models.

Records of the predecessor have no script. Where the offline model is the one that was chosen, it
then says that it has no lines; as a fallback it is left out, an apology serves callers better.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import structlog

from agent.errors import AgentError, UseCaseError
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.llm.offline.offline_model import NO_SCRIPT, OFFLINE_NOTICE, OfflineModel
from agent.llm.reasoning import ReasoningHabits, Thinker
from agent.llm.timeouts import TimeLimits
from agent.ports import Count, LanguageModel, uncounted
from agent.usecases.use_case import ModelSettings, UseCase

__all__ = [
    "NO_SCRIPT",
    "OFFLINE_NOTICE",
    "ModelOptions",
    "OfflineModel",
    "OpenModel",
    "TimeLimits",
    "open_models",
]

log = structlog.get_logger(__name__)

OpenModel = Callable[[UseCase], Awaitable[LanguageModel]]
"""Gives the model that answers for a use case. Raises `UseCaseError` if there is none."""

_OFFLINE = "offline"
_OPENAI = "openai"
_BEDROCK = ""
"""Has no scheme."""
_KEPT_MODELS = 64
_WARM_AT_START = 4
"""Connections that are there before the first call is."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the process was told of its models."""

    identifier: str = "offline:"
    """When a use case names none."""
    fallbacks: tuple[str, ...] = ()
    """Tried in order when a model fails."""
    openai_api_key: str = ""
    openai_base_url: str = ""
    max_calls: int = 100
    patience: TimeLimits = field(default_factory=TimeLimits)
    count: Count = uncounted
    may_hedge: Callable[[], bool] = lambda: True
    """Whether this process can afford a second request now."""


_Build = Callable[[ModelSettings, str], LanguageModel]
"""Makes the model these settings name; the second is the offline script of the use case."""


@asynccontextmanager
async def _offline(_: ModelOptions) -> AsyncIterator[_Build]:
    yield lambda _, script: OfflineModel(script)


@asynccontextmanager
async def _openai(options: ModelOptions) -> AsyncIterator[_Build]:
    from agent.llm.openai import OpenAIClient, OpenAIModel  # noqa: PLC0415 (see the module)

    async with OpenAIClient.open(
        api_key=options.openai_api_key,
        base_url=options.openai_base_url,
        max_calls=options.max_calls,
        patience=options.patience,
        count=options.count,
    ) as runtime:
        yield lambda settings, _: OpenAIModel(settings.identifier, runtime)


@asynccontextmanager
async def _bedrock(options: ModelOptions) -> AsyncIterator[_Build]:
    from agent.llm.bedrock import BedrockClient, BedrockModel  # noqa: PLC0415 (see the module)

    async with BedrockClient.open(
        max_calls=options.max_calls, patience=options.patience, count=options.count
    ) as runtime:
        await runtime.warm(_WARM_AT_START)
        yield lambda settings, _: BedrockModel(settings.identifier, settings, runtime)


_SCHEMES: Mapping[str, Callable[[ModelOptions], AbstractAsyncContextManager[_Build]]] = {
    _OFFLINE: _offline,
    _OPENAI: _openai,
    _BEDROCK: _bedrock,
}


@asynccontextmanager
async def open_models(options: ModelOptions) -> AsyncIterator[OpenModel]:
    """The models of this process; on leaving, their connections are closed.

    Raises:
        UseCaseError: An identifier of the process has an unknown scheme.
        ModelError: What a scheme of the process needs is not there, as a region.
    """
    models = _Models(options)
    try:
        for identifier in (options.identifier, *options.fallbacks):
            await models.ready(identifier)
            models.load(identifier)
        yield models.open
    finally:
        await models.close()


def _scheme_of(identifier: str) -> str:
    scheme, colon, _ = identifier.partition(":")
    if not colon or scheme not in _SCHEMES:
        if colon and scheme != "arn" and scheme.isalpha():
            raise UseCaseError(f"llmModel: {identifier!r} has an unknown scheme")
        return _BEDROCK
    return scheme


class _Models:
    """What all models of the process share: connections, health, budget, and the tasks of these."""

    def __init__(self, options: ModelOptions) -> None:
        self._options = options
        self._budget = HedgeBudget(is_allowed=options.may_hedge)
        self._health: dict[str, ModelCircuit] = {}
        self._habits: dict[str, ReasoningHabits] = {}
        self._builds: dict[str, asyncio.Future[_Build]] = {}
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self._make = lru_cache(maxsize=_KEPT_MODELS)(self._made)
        self._owner = asyncio.create_task(self._own(), name="models")
        self._watches: list[asyncio.Task[None]] = []

    async def open(self, use_case: UseCase) -> LanguageModel:
        """See `OpenModel`."""
        identifier = use_case.model.identifier or self._options.identifier
        try:
            await self.ready(identifier)
        except UseCaseError:
            raise
        except AgentError as error:
            raise UseCaseError(f"llmModel: {identifier!r} cannot be used: {error}") from error
        return self._make(replace(use_case.model, identifier=identifier), use_case.offline_script)

    async def ready(self, identifier: str) -> None:
        """Have what this identifier needs; a failure is not remembered."""
        scheme = _scheme_of(identifier)
        if scheme not in self._builds:
            self._builds[scheme] = asyncio.get_running_loop().create_future()
            self._asked.put_nowait(scheme)
        opened = self._builds[scheme]
        ends: set[asyncio.Future[Any]] = {opened, self._owner}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._owner.done():
            self._owner.result()
        opened.result()

    def load(self, identifier: str) -> None:
        """Have a model loaded if its server loads models; in the background."""
        if self._loads(identifier):
            model = self._built(ModelSettings(identifier), "")
            self._candidate(identifier, model).health.wake()

    async def close(self) -> None:
        """End all tasks, and with them all connections."""
        tasks = [self._owner, *self._watches]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _own(self) -> None:
        """Open what is asked for, and close all of it on being cancelled."""
        async with AsyncExitStack() as stack:
            while True:
                scheme = await self._asked.get()
                opened = self._builds[scheme]
                try:
                    build = await stack.enter_async_context(_SCHEMES[scheme](self._options))
                except AgentError as error:
                    del self._builds[scheme]
                    opened.set_exception(error)
                else:
                    opened.set_result(build)

    def _made(self, settings: ModelSettings, script: str) -> LanguageModel:
        if _scheme_of(settings.identifier) == _OFFLINE:
            return self._built(settings, script or NO_SCRIPT)
        model = self._built(settings, script)
        candidates = [self._candidate(settings.identifier, model)]
        for identifier in self._options.fallbacks:
            if identifier == settings.identifier:
                continue
            other = replace(
                settings, identifier=identifier, additional="", latency="", service_tier=""
            )
            try:
                candidates.append(self._candidate(identifier, self._built(other, script)))
            except UseCaseError as error:
                log.warning("model.no_fallback", model=identifier, fault=str(error))
        return FailoverModel(candidates, self._budget, self._options.count, self._options.patience)

    def _built(self, settings: ModelSettings, script: str) -> LanguageModel:
        return self._builds[_scheme_of(settings.identifier)].result()(settings, script)

    def _loads(self, identifier: str) -> bool:
        """Whether a server of the operator's own may have to load this model."""
        return _scheme_of(identifier) == _OPENAI and bool(self._options.openai_base_url)

    def _candidate(self, identifier: str, model: LanguageModel) -> Candidate:
        if identifier not in self._health:
            options = self._options
            health = ModelCircuit(
                identifier,
                options.count,
                patience=options.patience,
                loads=self._loads(identifier),
            )
            self._health[identifier] = health
            watch = asyncio.create_task(health.watch(model), name="model probe")
            self._watches.append(watch)
        habits = self._habits.setdefault(identifier, ReasoningHabits(identifier))
        return Candidate(Thinker(model, habits), self._health[identifier])
