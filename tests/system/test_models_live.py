"""Models over real sockets: whole calls, and streams that are left at any point."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.call.config import Phrases
from agent.call.events import ReplyFault
from agent.errors import ModelError
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.llm.openai import OpenAIClient, OpenAIModel
from agent.ports import LanguageModel
from agent.simulator.simulated_call import TwilioCall
from agent.usecases import ModelSettings
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, call, empty, fail, say, stall, think
from tests.emulators.scripts import Script, by_model
from tests.emulators.server import Emulator
from tests.llm import contract
from tests.llm.accounts import set_account
from tests.servers import Server, serving, settings_for
from tests.waiting import until

NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ADA = "+15550100001"
PHRASES = Phrases()
ORDER = {"current_order": [{"line_item": "Pepperoni", "size": "large"}], "order_type": "pickup"}


@dataclass(frozen=True, slots=True)
class Place:
    """A service on Nova, and the Bedrock it talks to."""

    server: Server
    bedrock: BedrockEmulator

    def assert_acceptable(self) -> None:
        assert [asked.faults for asked in self.bedrock.requests if asked.faults] == []


OpenPlace = Callable[..., AbstractAsyncContextManager[Place]]
"""Opens a service whose Bedrock follows a script, with these fallback models."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda url: set_account(monkeypatch, url)


@pytest.fixture
def place(table: Path, environment: Callable[[str], None]) -> OpenPlace:
    @asynccontextmanager
    async def opened(script: Script, fallbacks: str = "") -> AsyncIterator[Place]:
        models = {"MODEL_IDENTIFIER": NOVA, "FALLBACK_MODEL_IDENTIFIERS": fallbacks}
        settings = settings_for(table, AWS_REGION="eu-central-1", **models)
        async with BedrockEmulator(script, region="eu-central-1") as bedrock:
            environment(bedrock.url)
            async with serving(settings) as server:
                yield Place(server, bedrock)
            await until(lambda: bedrock.connections == 0)
            assert bedrock.open_streams == 0

    return opened


async def test_order_by_a_model_of_bedrock_is_stored_and_confirmed(place: OpenPlace) -> None:
    script = [
        say("A large pepperoni for pickup, is that right?", gap=0.002),
        say("Right away. ") + call("PlaceOrderFunction", ORDER, gap=0.002),
        say("It is on its way.", gap=0.002),
    ]
    async with place(script) as at, at.server.twilio.call(From=ADA) as line:
        asked = await line.say("a large pepperoni pizza for pickup")
        placed = await line.say("yes", cycles=2)
        orders = await at.server.orders(ADA)

    assert asked.text == "A large pepperoni for pickup, is that right?"
    assert placed.cycles == ("Right away.", "It is on its way.")
    assert [order["order_items"][0]["line_item"] for order in orders] == ["Large Pepperoni"]
    assert len(at.bedrock.requests) == 3
    assert {asked.model for asked in at.bedrock.requests} == {NOVA}
    assert line.ledger.departures == []
    at.assert_acceptable()


async def ask_for_a_long_story(line: TwilioCall) -> None:
    await line.play_out()
    await line.prompt("tell me everything")
    await line.hear(10)


async def test_interrupt_and_hang_up_close_the_stream_to_bedrock(place: OpenPlace) -> None:
    endless = say("Well, that is a long story. ") + stall()
    script = [endless, say("Short, then."), endless]
    async with place(script) as at, at.server.twilio.call(From=ADA) as line:
        await ask_for_a_long_story(line)
        await line.interrupt(words=3)
        await at.bedrock.until_idle()
        left = [each.index for each in at.bedrock.closed_early]
        reply = await line.say("make it short")
        await ask_for_a_long_story(line)
        await line.hang_up()
        await at.bedrock.until_idle()

    assert left == [0]
    assert [each.index for each in at.bedrock.closed_early] == [0, 2]
    assert reply.text == "Short, then."
    assert line.ledger.departures == []
    at.assert_acceptable()


async def test_fallback_answers_for_a_throttled_model(place: OpenPlace) -> None:
    script = by_model({NOVA: fail("ThrottlingException")}, otherwise=say("Until nine."))
    async with place(script, CLAUDE) as at, at.server.twilio.call(From=ADA) as line:
        reply = await line.say("are you open")
        throttled = await at.server.metric("agent_llm_errors_total", kind="throttled", model=NOVA)
        fallbacks = await at.server.metric("agent_llm_fallbacks_total", model=CLAUDE)

    assert reply.text == "Until nine."
    assert [asked.model for asked in at.bedrock.requests] == [NOVA, CLAUDE]
    assert (throttled, fallbacks) == (1, 1)
    at.assert_acceptable()


@pytest.mark.parametrize(
    "kind",
    ["AccessDeniedException", "ExpiredTokenException", "ResourceNotFoundException",
     "UnrecognizedClientException"],
)  # fmt: skip
async def test_denied_model_leads_to_an_apology_and_a_log_line(place: OpenPlace, kind: str) -> None:
    script = [fail(kind, "Said: 1234."), say("Now it works.")]
    with capture_logs() as logged:
        async with place(script) as at, at.server.twilio.call(From=ADA) as line:
            apology = await line.say("are you open")
            denied = await at.server.metric("agent_llm_errors_total", kind="denied", model=NOVA)
            reply = await line.say("are you open")

    assert apology.text == PHRASES.apology
    assert reply.text == "Now it works."
    assert denied == 1
    failed = [each for each in logged if each["event"] in {"llm.request_failed", "reply.failed"}]
    assert [each["model"] for each in failed] == [NOVA, NOVA]
    assert all(f", {kind}: " in each["reason"] for each in failed)
    spoken_of = [each for each in logged if "1234" in str({**each, "pii_detail": ""})]
    assert spoken_of == []


NONSENSE = [
    call("NoSuchTool", {"a": 1}),
    call("no such/tool!", {}),
    call("CheckRestaurantPickUpTime", '{"order_'),
    call("CheckRestaurantPickUpTime", "[1, 2]"),
    call("CheckRestaurantPickUpTime", {"order_type": 7}),
    call("", {}),
    empty(),
    say([" ", "\n"]),
    empty("tool_use"),
    empty("malformed_tool_use"),
    empty("a_newer_reason"),
    think(),
]


@pytest.mark.parametrize(
    ("nonsense", "heard"),
    [*(([one], "Here I am.") for one in NONSENSE), ([empty(), think()], PHRASES.not_understood)],
)
async def test_nonsense_of_a_model_never_ends_a_call(
    place: OpenPlace, nonsense: list[Reply], heard: str
) -> None:
    """The model is asked again, or the caller is; no invalid form is sent back."""
    script = [*nonsense, say("Here I am.")]
    async with place(script) as at, at.server.twilio.call(From=ADA) as line:
        first = await line.say("are you open")
        second = await line.say("hello")

        assert line.ending is None

    assert first.text == heard
    assert second.text == "Here I am."
    assert line.ledger.departures == []
    at.assert_acceptable()


LONG = say("one two three four five six ", first=0.002, gap=0.001) + call(
    "EndCallFunction", {"why": "the caller wishes it"}, gap=0.001
)
AT_ONCE = 50
ASKED = contract.request(contract.SMALL_TALK)


@dataclass(slots=True)
class Leaving:
    """Readers of many replies, each of which leaves at a different point."""

    models: list[LanguageModel]
    ended: int = 0
    left: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - no secret

    async def leave(self, count: int) -> None:
        numbers = iter(range(count))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._leave_each(numbers))

    async def _leave_each(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            model = self.models[number % len(self.models)]
            leave = self._chance.choice([self._cancel_while_waiting, self._cancel, self._close])
            while not await leave(model):
                self.ended += 1
            self.left += 1

    async def _cancel_while_waiting(self, model: LanguageModel) -> bool:
        """At any turn of the loop: while connecting, sending, or waiting for the head."""
        reading = asyncio.create_task(contract.pieces_of(model, ASKED))
        for _ in range(self._chance.randrange(400)):
            await asyncio.sleep(0)
        return await _is_cancelled(reading)

    async def _cancel(self, model: LanguageModel) -> bool:
        """While the next piece is awaited."""
        arrived: asyncio.Queue[object] = asyncio.Queue()
        reading = asyncio.create_task(_pass_on(model, arrived))
        for _ in range(self._chance.randrange(1, 12)):
            if await arrived.get() is None:
                break
        return await _is_cancelled(reading)

    async def _close(self, model: LanguageModel) -> bool:
        """Between two pieces."""
        with _time_may_run_out():
            async with aclosing(model.reply(ASKED)) as reply:
                for _ in range(self._chance.randrange(12)):
                    if await anext(reply, None) is None:
                        return False
        return True


@contextmanager
def _time_may_run_out() -> Iterator[None]:
    """A reply is given up that takes too long, as on a machine that stands still for seconds."""
    try:
        yield
    except ModelError as error:
        if error.fault is not ReplyFault.TIMEOUT:
            raise


async def _is_cancelled(reading: asyncio.Task[object]) -> bool:
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        with _time_may_run_out():
            reading.result()
    return reading.cancelled()


async def _pass_on(model: LanguageModel, arrived: asyncio.Queue[object]) -> None:
    try:
        async with aclosing(model.reply(ASKED)) as reply:
            async for pieces in reply:
                arrived.put_nowait(pieces)
    finally:
        arrived.put_nowait(None)


def both_ways(model: LanguageModel) -> list[LanguageModel]:
    candidates = [Candidate(model, ModelCircuit(model.name))]
    return [model, FailoverModel(candidates, HedgeBudget(0.0))]


async def _ask_on(model: LanguageModel) -> None:
    """Wait for a reply that stalls, and for the next one when its time is over."""
    while True:
        with _time_may_run_out():
            await contract.pieces_of(model, ASKED)


async def assert_nothing_streams(
    emulator: Emulator, leaving: Leaving, record: Callable[[str, object], None]
) -> None:
    """Every answer is over, and nothing is connected but what lies ready for the next request.

    So many replies that stall take all of that; when they are cancelled, nothing is left.
    """
    await emulator.until_idle()
    asked, cut = len(emulator.requests), len(emulator.closed_early)
    emulator.answer_with(stall())
    asking = [asyncio.create_task(_ask_on(leaving.models[0])) for _ in range(AT_ONCE)]
    await until(lambda: emulator.open_streams == AT_ONCE or any(task.done() for task in asking))
    for task in asking:
        if not task.cancel():
            task.result()
    await asyncio.wait(asking)
    await until(lambda: emulator.connections == 0)
    record(
        "streams left early",
        f"{type(emulator).__name__}: {leaving.left} left and {leaving.ended} ended of {asked} asked"
        f" for; {cut} cut off, at most {emulator.max_open} at once; afterwards"
        f" {emulator.open_streams} streams and {emulator.connections} connections",
    )
    assert emulator.open_streams == 0
    assert emulator.refused == []
    assert cut > 0
    assert leaving.ended > 0


Opened = AsyncIterator[tuple[Emulator, LanguageModel]]


@asynccontextmanager
async def bedrock(environment: Callable[[str], None]) -> Opened:
    async with BedrockEmulator(LONG) as emulator:
        environment(emulator.url)
        async with BedrockClient.open() as client:
            yield emulator, BedrockModel(NOVA, ModelSettings(), client)


@asynccontextmanager
async def chat_completions(_: Callable[[str], None]) -> Opened:
    async with (
        OpenAIEmulator(LONG) as emulator,
        OpenAIClient.open(base_url=emulator.base_url) as client,
    ):
        yield emulator, OpenAIModel("openai:small", client)


@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize(("opened", "count"), [(bedrock, 1_000), (chat_completions, 200)])
async def test_replies_left_anywhere_leave_nothing(
    environment: Callable[[str], None],
    record_property: Callable[[str, object], None],
    opened: Any,
    count: int,
) -> None:
    before = asyncio.all_tasks()
    async with opened(environment) as (emulator, model):
        leaving = Leaving(both_ways(model))
        await leaving.leave(count)
        await assert_nothing_streams(emulator, leaving, record_property)

    assert emulator.connections == 0
    assert leaving.left == count
    await until(lambda: asyncio.all_tasks() <= before)
