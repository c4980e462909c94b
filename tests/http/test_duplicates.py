"""Twilio asks twice for one thing, at once, and uses one of the two answers: whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.ports import Item, LanguageModel, Store
from tests.fakes import Clock
from tests.scripted import ScriptedModel
from tests.servers import ACTION_URL, VOICE_URL, Server, settings_for, staged
from tests.stores import Stores
from tests.twilio_client.client import Answer, Relay, call_fields

RESTAURANT = "restaurantOrderingUseCase"
RECORD: Item = {
    "pk": RESTAURANT,
    "sk": "configuration",
    "prompt": "Sell pizza.",
    "conversationRelayParams": {"welcomeGreeting": "Hello."},
}
SESSION_OVER = {"SessionStatus": "failed", "ErrorCode": "64105", "SessionId": "VX1"}
NOBODY_CAME = {"DialCallStatus": "no-answer"}


def _silent(identifier: str, _: str) -> LanguageModel:
    return ScriptedModel([], identifier)


@dataclass(frozen=True, slots=True)
class Processes:
    """Two of a service, with one table."""

    servers: tuple[Server, Server]
    store: Store
    clock: Clock

    async def twice(self, url: str, fields: Mapping[str, str]) -> list[Relay]:
        """The lines that both processes offer who are asked at once."""
        asked = (server.twilio.post(url, fields) for server in self.servers)
        answers: list[Answer] = await asyncio.gather(*asked)
        assert [answer.verbs for answer in answers] == [("Connect",)] * 2
        return [answer.relay for answer in answers if answer.relay is not None]

    async def opens(self, relay: Relay, at: int = 0) -> int:
        """101 if the socket of this line is opened, otherwise the status of the refusal."""
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
    """At whichever process it arrives, once; the other is good for nothing then."""
    relays = await processes.twice(VOICE_URL, call_fields())
    unused = relays.pop(1 - used)
    (relay,) = relays

    assert await processes.opens(relay, at=1) == 101
    assert await processes.opens(unused) == 403
    assert await processes.opens(relay) == 403


@pytest.mark.parametrize("used", [0, 1])
async def test_both_answers_at_once_open_one_socket(processes: Processes, used: int) -> None:
    """Not that Twilio did so; whoever has read them both does not lead a call twice."""
    relays = await processes.twice(VOICE_URL, call_fields())
    if used:
        relays.reverse()

    opened = await asyncio.gather(*(processes.opens(relay, at) for at, relay in enumerate(relays)))

    assert sorted(opened) == [101, 403]


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("over", [SESSION_OVER, NOBODY_CAME], ids=["a session", "a person"])
async def test_either_answer_to_a_repeated_action_opens_the_socket(
    processes: Processes, over: Mapping[str, str], used: int
) -> None:
    """It is one new line, with one number, and none of the earlier tokens opens it."""
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


async def test_webhook_that_is_repeated_while_the_first_token_waits_keeps_the_call(
    processes: Processes,
) -> None:
    """The time it began, its set-up and the first answer; also two minutes later, by the second."""
    fields = call_fields()
    first = await processes.servers[0].relay(**fields)
    await processes.servers[0].calls.close()
    before = await processes.store.get(fields["CallSid"], "connection") or {}
    processes.clock.seconds += 110.0
    second = await processes.servers[1].relay(**fields)
    await processes.servers[1].calls.close()
    after = await processes.store.get(fields["CallSid"], "connection") or {}
    processes.clock.seconds += 20.0

    assert {"startedMs", "socketToken", "systemPrompt"} <= after.keys()
    assert before == after
    assert await processes.opens(first) == 403
    assert await processes.opens(second, at=1) == 101


async def test_webhook_of_a_call_that_was_connected_before_begins_it_anew(
    processes: Processes,
) -> None:
    """Some other program has sent the call back to us; its token is a new one."""
    fields = call_fields()
    first = await processes.servers[0].relay(**fields)
    opened = await processes.opens(first)
    second = await processes.servers[1].relay(**fields)

    assert (opened, await processes.opens(second)) == (101, 101)


async def test_relay_that_reconnects_by_itself_brings_the_token_it_has(
    processes: Processes,
) -> None:
    """Of two answers only the one that was used opens the socket again."""
    params = {"welcomeGreeting": "Hello.", "applicationReconnect": "true"}
    await processes.store.merge(RESTAURANT, "configuration", {"conversationRelayParams": params})
    used, unused = await processes.twice(VOICE_URL, call_fields())
    for server in processes.servers:
        await server.calls.close()

    assert await processes.opens(used) == 101
    assert await processes.opens(unused) == 403
    assert await processes.opens(used, at=1) == 101
