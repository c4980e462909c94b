"""Language models, chosen by the scheme of an identifier.

    offline:       the script of the use case (`agent.llm.offline`)
    openai:NAME    chat completions (`agent.llm.openai`)
    anything else  a model, inference profile or ARN of Amazon Bedrock (`agent.llm.bedrock`)

The identifier of a use case wins over that of the process, also where the process is `offline:`.

- The client of a scheme is opened, and its libraries are imported, at start for the identifiers of
  the process, so that a wrong one stops the start; else when a use case first names it.
- A fallback gets the settings of the use case, with its guardrail but without its time limits and
  the options of a family of models. Offline without a script is no fallback: an apology serves
  callers better.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import structlog

from agent.errors import ModelError, UseCaseError
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.llm.offline import NO_SCRIPT, OFFLINE_NOTICE, OfflineModel
from agent.llm.reasoning import ReasoningHabits
from agent.ports import Count, LanguageModel, uncounted
from agent.usecases import ModelSettings, UseCase
from agent.usecases.model_times import NO_TIMES, ModelTimes, TimeLimits, time_limits

__all__ = [
    "NO_SCRIPT", "OFFLINE_NOTICE", "ModelOptions", "OfflineModel", "OpenModel", "open_models",
]  # fmt: skip

log = structlog.get_logger(__name__)

OpenModel = Callable[[UseCase], Awaitable[LanguageModel]]
"""Returns the model of a use case. Raises `UseCaseError` if there is none."""

_OFFLINE, _OPENAI = "offline", "openai"
_BEDROCK = ""  # identifiers without a scheme
_CACHED_MODELS = 64
_CONNECTIONS_AT_START = 4


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The settings of the process for its models."""

    identifier: str = "offline:"
    fallbacks: tuple[str, ...] = ()
    openai_api_key: str = ""
    openai_base_url: str = ""
    max_calls: int = 100
    times: ModelTimes = NO_TIMES
    load_seconds: float = 60.0
    count: Count = uncounted
    may_hedge: Callable[[], bool] = lambda: True
    throttled: Callable[[], None] = lambda: None
    """Called when a provider refuses a request for its rate."""

    def limits_of(self, identifier: str, times: ModelTimes = NO_TIMES) -> TimeLimits:
        """The limits of a model whose use case has set these times."""
        url = self.openai_base_url if _scheme_of(identifier) == _OPENAI else ""
        return time_limits(times.over(self.times), url, self.load_seconds)


_MakeModel = Callable[[ModelSettings, str], LanguageModel]
"""Makes the model of these settings; the second argument is the offline script of the use case."""


@asynccontextmanager
async def _offline(_: ModelOptions) -> AsyncIterator[_MakeModel]:
    yield lambda _, script: OfflineModel(script)


@asynccontextmanager
async def _openai(options: ModelOptions) -> AsyncIterator[_MakeModel]:
    from agent.llm.openai import OpenAIClient, OpenAIModel  # noqa: PLC0415 (see the module)

    async with OpenAIClient.open(
        api_key=options.openai_api_key,
        base_url=options.openai_base_url,
        max_calls=options.max_calls,
        limits=options.limits_of("openai:"),
        count=options.count,
    ) as client:
        yield lambda settings, _: OpenAIModel(settings.identifier, client)


@asynccontextmanager
async def _bedrock(options: ModelOptions) -> AsyncIterator[_MakeModel]:
    from agent.llm.bedrock import BedrockClient, BedrockModel  # noqa: PLC0415 (see the module)

    async with BedrockClient.open(
        max_calls=options.max_calls, limits=options.limits_of(_BEDROCK), count=options.count
    ) as client:
        await client.warm(_CONNECTIONS_AT_START)
        yield lambda settings, _: BedrockModel(settings.identifier, settings, client)


_SCHEMES: Mapping[str, Callable[[ModelOptions], AbstractAsyncContextManager[_MakeModel]]] = {
    _OFFLINE: _offline,
    _OPENAI: _openai,
    _BEDROCK: _bedrock,
}


@asynccontextmanager
async def open_models(options: ModelOptions) -> AsyncIterator[OpenModel]:
    """The models of this process; their connections are closed on exit.

    Raises `UseCaseError` for an unknown scheme, and `ModelError` for one that cannot be opened.
    """
    async with AsyncExitStack() as clients:
        models = _Models(options, clients)
        try:
            for identifier in (options.identifier, *options.fallbacks):
                await models.open_scheme(identifier)
                models.load(identifier)
            yield models.open_model
        finally:
            await models.stop_probes()


def _scheme_of(identifier: str) -> str:
    scheme, colon, _ = identifier.partition(":")
    if colon and scheme in _SCHEMES:
        return scheme
    if colon and scheme != "arn" and scheme.isalpha():
        raise UseCaseError(f"llmModel: {identifier!r} has an unknown scheme")
    return _BEDROCK


class _Models:
    def __init__(self, options: ModelOptions, clients: AsyncExitStack) -> None:
        self._options = options
        self._clients = clients
        self._budget = HedgeBudget(is_allowed=options.may_hedge, throttled=options.throttled)
        self._known: dict[str, tuple[ModelCircuit, ReasoningHabits]] = {}
        self._makers: dict[str, _MakeModel] = {}
        self._opening = asyncio.Lock()
        self._cached = lru_cache(maxsize=_CACHED_MODELS)(self._with_failover)
        self._probes: list[asyncio.Task[None]] = []

    async def open_model(self, use_case: UseCase) -> LanguageModel:
        identifier = use_case.model.identifier or self._options.identifier
        try:
            await self.open_scheme(identifier)
        except ModelError as error:
            raise UseCaseError(f"llmModel: {identifier!r} cannot be used: {error}") from error
        settings = replace(use_case.model, identifier=identifier)
        return self._cached(settings, use_case.offline_script)

    async def open_scheme(self, identifier: str) -> None:
        """Open the client for an identifier; after an error the next call tries again."""
        scheme = _scheme_of(identifier)
        if scheme in self._makers:
            return
        async with self._opening:
            if scheme not in self._makers:
                client = _SCHEMES[scheme](self._options)
                self._makers[scheme] = await self._clients.enter_async_context(client)

    def load(self, identifier: str) -> None:
        if self._may_load(identifier):
            self._candidate(ModelSettings(identifier), "").circuit.wake()

    async def stop_probes(self) -> None:
        for task in self._probes:
            task.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _with_failover(self, settings: ModelSettings, script: str) -> LanguageModel:
        if _scheme_of(settings.identifier) == _OFFLINE:
            return self._makers[_OFFLINE](settings, script or NO_SCRIPT)
        candidates = [self._candidate(settings, script)]
        common = replace(settings, additional="", latency="", service_tier="", times=NO_TIMES)
        for identifier in self._options.fallbacks:
            if identifier == settings.identifier:
                continue
            try:
                candidates.append(self._candidate(replace(common, identifier=identifier), script))
            except UseCaseError as error:
                log.warning("llm.fallback_left_out", model=identifier, reason=str(error))
        return FailoverModel(candidates, self._budget, self._options.count)

    def _may_load(self, identifier: str) -> bool:
        return _scheme_of(identifier) == _OPENAI and bool(self._options.openai_base_url)

    def _candidate(self, settings: ModelSettings, script: str) -> Candidate:
        identifier, options = settings.identifier, self._options
        model = self._makers[_scheme_of(identifier)](settings, script)
        if identifier not in self._known:
            may_load = self._may_load(identifier)
            usual = options.limits_of(identifier)
            circuit = ModelCircuit(identifier, options.count, usual, may_load=may_load)
            self._known[identifier] = circuit, ReasoningHabits(identifier)
            self._probes.append(asyncio.create_task(circuit.probe(model), name="model probe"))
        circuit, habits = self._known[identifier]
        return Candidate(model, circuit, habits, options.limits_of(identifier, settings.times))
