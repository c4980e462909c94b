"""Twilio repeats a webhook and uses one of the two answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.ports import Item, LanguageModel, Store
from agent.simulator.carrier import call_fields
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer
from tests.fakes import Clock
from tests.scripted import ScriptedModel
from tests.servers import ACTION_URL, VOICE_URL, Server, settings_for, staged
from tests.stores import Stores

RESTAURANT = "restaurantOrderingUseCase"
RECORD: Item = {
    "pk": RESTAURANT,
    "sk": "configuration",
    "prompt": "Sell pizza.",
    "conversationRelayParams": {"welcomeGreeting": "Hello."},
}
SESSION_OVER = {"SessionStatus": "failed", "ErrorCode": "64105", "SessionId": "VX1"}
NOT_ANSWERED = {"DialCallStatus": "no-answer"}


def _silent(identifier: str, _: str) -> LanguageModel:
    return ScriptedModel([], identifier)


@dataclass(frozen=True, slots=True)
class Processes:
    """Two processes with one table."""

    servers: tuple[Server, Server]
    store: Store
    clock: Clock

    async def twice(self, url: str, fields: Mapping[str, str]) -> list[RelayInvitation]:
        """The relays of both processes, requested at the same time."""
        asked = (server.twilio.post(url, fields) for server in self.servers)
        answers: list[TwimlAnswer] = await asyncio.gather(*asked)
        assert [answer.verbs for answer in answers] == [("Connect",)] * 2
        return [answer.relay for answer in answers if answer.relay is not None]

    async def opens(self, relay: RelayInvitation, at: int = 0) -> int:
        """101 if the socket is opened, otherwise the status of the refusal."""
        twilio = self.servers[at].twilio
        status = await twilio.handshake(relay.url, signature=twilio.sign(relay.url))
        await self.servers[at].calls.until_quiet()
        return status


@pytest.fixture
async def processes(stores: Stores, stores_clock: Clock) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as running:
        settings = settings_for(Path("unused"))
        await stores[0].put(dict(RECORD))
        first, second = [
            await running.enter_async_context(staged(settings, store, _silent, clock=stores_clock))
            for store in stores
        ]
        yield Processes((first, second), stores[0], stores_clock)


@pytest.mark.parametrize("used", [0, 1], ids=["the first answer", "the second answer"])
async def test_either_answer_to_a_repeated_webhook_opens_the_socket(
    processes: Processes, used: int
) -> None:
    """Once, in either process; the other answer is invalid then."""
    relays = await processes.twice(VOICE_URL, call_fields())
    unused = relays.pop(1 - used)
    (relay,) = relays

    assert await processes.opens(relay, at=1) == 101
    assert await processes.opens(unused) == 403
    assert await processes.opens(relay) == 403


async def test_both_answers_at_once_open_one_socket(processes: Processes) -> None:
    relays = await processes.twice(VOICE_URL, call_fields())

    opened = await asyncio.gather(*(processes.opens(relay, at) for at, relay in enumerate(relays)))

    assert sorted(opened) == [101, 403]


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("over", [SESSION_OVER, NOT_ANSWERED], ids=["a session", "a person"])
async def test_either_answer_to_a_repeated_action_opens_the_socket(
    processes: Processes, over: Mapping[str, str], used: int
) -> None:
    """It is one resume with one number, and no earlier token opens it."""
    fields = call_fields(CallStatus="in-progress")
    first, also_first = await processes.twice(VOICE_URL, fields)
    assert await processes.opens(first) == 101

    relays = await processes.twice(ACTION_URL, {**fields, **over})
    unused = relays.pop(1 - used)
    lines = await processes.store.query(fields["CallSid"], "resume::")

    assert len(lines) == 1
    assert await processes.opens(also_first) == 403
    assert await processes.opens(relays[0], at=1) == 101
    assert await processes.opens(unused) == 403


async def test_repeated_webhook_keeps_the_stored_call(processes: Processes) -> None:
    """Start time, set-up and first token; two minutes later the second token is valid."""
    fields = call_fields()
    first = await processes.servers[0].relay(**fields)
    await processes.servers[0].calls.until_written()
    before = await processes.store.get(fields["CallSid"], "connection") or {}
    processes.clock.seconds += 110.0
    second = await processes.servers[1].relay(**fields)
    await processes.servers[1].calls.until_written()
    after = await processes.store.get(fields["CallSid"], "connection") or {}
    processes.clock.seconds += 20.0

    assert {"startedMs", "socketToken", "systemPrompt"} <= after.keys()
    assert before == after
    assert await processes.opens(first) == 403
    assert await processes.opens(second, at=1) == 101


async def test_webhook_of_a_call_that_was_connected_starts_it_again(
    processes: Processes,
) -> None:
    """Another program has sent the call back; it gets a new token."""
    fields = call_fields()
    first = await processes.servers[0].relay(**fields)
    opened = await processes.opens(first)
    second = await processes.servers[1].relay(**fields)

    assert (opened, await processes.opens(second)) == (101, 101)


async def test_only_the_used_token_reconnects_the_socket(processes: Processes) -> None:
    params = {"welcomeGreeting": "Hello.", "applicationReconnect": "true"}
    await processes.store.merge(RESTAURANT, "configuration", {"conversationRelayParams": params})
    used, unused = await processes.twice(VOICE_URL, call_fields())
    for server in processes.servers:
        await server.calls.until_written()

    assert await processes.opens(used) == 101
    assert await processes.opens(unused) == 403
    assert await processes.opens(used, at=1) == 101
