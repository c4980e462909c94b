"""A server that loads a model at the first contact is given the time, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

import pytest

from agent.call.actions import Speak
from agent.call.config import Phrases
from agent.call.conversation import Conversation
from agent.call.events import CallerSpoke, EndReason, ReplyFault
from agent.errors import ModelError
from agent.llm import ModelOptions, open_models
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.session.session import CallDependencies, Session
from agent.simulator.virtual_time import run_virtually
from agent.usecases import ModelSettings, UseCase
from agent.usecases.model_times import ModelTimes, TimeLimits
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, fail, say
from tests.emulators.scripts import Request
from tests.llm import contract
from tests.llm.bench import ASKED, WELL, Bench
from tests.scripted import (
    GREETING,
    ListJournal,
    ListObserver,
    ScriptedConfiguration,
    ScriptedLine,
    ScriptedToolbox,
    Step,
)
from tests.waiting import until

LOADING: Sequence[Step] = [20.0, *WELL]
DEAD: Sequence[Step] = [1_000.0]


def loading(*scripts: Sequence[Sequence[Step]], hedges: float = 0.0, reply: float = 120.0) -> Bench:
    return Bench(*scripts, hedges=hedges, loads=True, limits=TimeLimits(reply=reply))


async def several(bench: Bench, times: int, pause: float = 0.0) -> list[str]:
    said = []
    for _ in range(times):
        said.append(await bench.say())
        await asyncio.sleep(pause)
    return said


FAILING: Sequence[Step] = [ModelError(ReplyFault.UNAVAILABLE)]


@pytest.mark.parametrize(
    ("bench", "pause", "said", "took", "is_open"),
    [
        (lambda: loading([LOADING, WELL]), 0, ["Well."] * 2, [20.0, 0.0], False),
        (lambda: loading([LOADING, [3.0, *WELL], WELL]), 0, ["Well."] * 2, [20.0, 2.5], False),
        (lambda: loading([DEAD]), 0, ["timeout"] * 4, [62.5, 5.0, 5.0, 5.0], True),
        (lambda: Bench([DEAD]), 0, ["timeout"], [5.0], False),
        (lambda: loading([LOADING], hedges=1.0), 0, ["Well."], [20.0], False),
        (lambda: loading([LOADING, LOADING]), 3_600, ["Well."] * 2, [20.0, 20.0], False),
        (lambda: loading([FAILING]), 0, ["unavailable"], [0.0], False),
    ],
    ids=[
        "loaded once", "then as any other", "the longer wait is granted once",
        "not for other servers", "no hedge while loading", "unloaded in a quiet hour",
        "a fault is raised at once",
    ],
)  # fmt: skip
def test_reply_waits_for_a_model_that_is_loading(
    bench: Callable[[], Bench], pause: float, said: list[str], took: list[float], *, is_open: bool
) -> None:
    made = bench()

    assert run_virtually(several(made, len(said), pause)) == said

    assert (made.took, made.circuits[0].is_open) == (took, is_open)


def test_other_model_answers_while_the_first_one_is_loaded() -> None:
    bench = loading([[10.0, *WELL], [10.0, *WELL], WELL], [WELL])
    bench.circuits[1] = ModelCircuit("second")

    async def talk() -> tuple[str, bool]:
        said = await bench.say()
        await asyncio.sleep(30.0)
        return said, bench.circuits[0].is_cold

    assert run_virtually(bench.watched(talk())) == ("Well.", False)
    assert bench.took == [5.0]
    assert bench.asked == [3, 1], "asked, asked again, and loaded in the background"


def test_call_that_begins_has_the_model_loaded() -> None:
    """By a request without the caller's words that lasts until the answer."""
    bench = loading([LOADING, WELL])

    async def talk() -> str:
        for _ in range(3):
            await bench.model.warm()
        await asyncio.sleep(25.0)
        await bench.model.warm()
        return await bench.say()

    assert run_virtually(bench.watched(talk())) == "Well."
    assert bench.took == [0.0]
    assert bench.asked == [2]


def test_loading_goes_on_when_the_caller_breaks_in() -> None:
    """A server stops loading when the last client leaves."""
    bench = loading([DEAD, LOADING, WELL])

    async def talk() -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(4.0):
                await bench.say()
        await asyncio.sleep(25.0)
        return await bench.say()

    assert run_virtually(bench.watched(talk())) == "Well."
    assert bench.took == [4.0, 0.0]


def test_wait_is_one_for_all_calls_and_begins_with_the_first_contact() -> None:
    """A later call waits for the rest of it, also after replies that were left."""
    bench = loading([DEAD])

    async def talk() -> list[str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(20.0):
                await bench.say()
        await asyncio.sleep(10.0)
        return [await bench.say(), await bench.say()]

    assert run_virtually(talk()) == ["timeout", "timeout"]
    assert bench.took == [20.0, 32.5, 5.0]


def test_caller_is_not_left_in_silence_while_the_model_is_loaded() -> None:
    """Fillers and a choice, then an apology when a reply takes too long; then an answer."""
    bench = loading([DEAD, [40.0, *WELL], [17.0, *WELL]], reply=20.0)
    line = ScriptedLine(
        [(1.0, CallerSpoke("Hello?")), (24.0, CallerSpoke("Hello?"))], hangs_up_at=45.0
    )
    configuration = ScriptedConfiguration(bench.model, ScriptedToolbox())
    around = CallDependencies(line, configuration, ListJournal(), ListObserver())

    async def call() -> EndReason:
        return await Session(Conversation(GREETING), around).run()

    run_virtually(bench.watched(call()))

    phrases = Phrases()
    said = line.said.splitlines()
    wait = [*phrases.fillers, phrases.wait_or_go_on]
    assert said == [*wait, phrases.apology, *wait, "Well."]
    times = [at for at, action in line.sent if isinstance(action, Speak)]
    assert max(later - earlier for earlier, later in pairwise([1.0, *times])) <= 8.0


def test_probe_of_a_cold_model_waits_for_it_to_be_loaded() -> None:
    """A shorter probe would make the server start loading again."""
    bench = loading([DEAD, DEAD, DEAD, DEAD, DEAD, DEAD, LOADING, WELL])

    async def talk() -> bool:
        await several(bench, 3)
        assert bench.circuits[0].is_open
        await asyncio.sleep(60.0)
        return bench.circuits[0].is_open

    assert run_virtually(bench.watched(talk())) is False


QUICK = TimeLimits(first_event=0.2, gap=2.0, load=20.0)


class Ollama:
    """Loads for a moment; begins anew when the one who asked has left."""

    def __init__(self) -> None:
        self.server = OpenAIEmulator(self._answer)

    def _answer(self, request: Request) -> Reply:
        finished = request.index - len(self.server.closed_early) - self.server.open_streams + 1
        return say("Well.", first=0.0 if finished > 0 else 0.5)


def _options(ollama: Ollama, identifier: str = "openai:small") -> ModelOptions:
    url = ollama.server.base_url
    return ModelOptions(
        identifier,
        openai_base_url=url,
        times=ModelTimes(QUICK.first_event, QUICK.gap),
        load_seconds=QUICK.load,
        may_hedge=lambda: False,
    )


async def test_model_of_the_process_is_loaded_at_start() -> None:
    ollama = Ollama()
    async with ollama.server as server, open_models(_options(ollama)) as open_model:
        await until(lambda: len(server.requests) == 1)
        await server.until_idle()
        model = await open_model(UseCase("test", "Be kind."))

        assert contract.said(await contract.pieces_of(model, ASKED)) == "Well."
        assert server.closed_early == []
        assert server.requests[0].body["max_tokens"] <= 16
        assert ASKED.messages[0].parts[0] not in server.requests[0].body["messages"]


async def test_other_models_of_use_cases_are_loaded_when_a_call_begins() -> None:
    ollama = Ollama()
    async with ollama.server as server, open_models(_options(ollama, "offline:")) as open_model:
        settings = ModelSettings("openai:other")
        model = await open_model(UseCase("test", "Be kind.", model=settings))
        assert server.requests == []

        await model.warm()
        await until(lambda: len(server.requests) == 1)
        assert server.requests[0].model == "other"
        await server.until_idle()


@pytest.mark.parametrize(
    "text", ["Loading model", "Model small is currently loading", "model is loading, retry later"]
)
async def test_server_that_says_it_is_loading_is_asked_again(text: str) -> None:
    """llama.cpp answers 503 at once."""
    busy = fail("overloaded", text, status=503)
    async with (
        OpenAIEmulator([busy, busy, say("Well.")]) as server,
        OpenAIClient.open(base_url=server.base_url, limits=QUICK) as client,
    ):
        circuit = ModelCircuit("small", limits=QUICK, may_load=True)
        candidate = Candidate(OpenAIModel("openai:small", client), circuit, limits=QUICK)
        model = FailoverModel([candidate], HedgeBudget(0.0))

        assert contract.said(await contract.pieces_of(model, ASKED)) == "Well."
        assert len(server.requests) == 3
