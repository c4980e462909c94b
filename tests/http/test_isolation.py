"""Calls at the same time share nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import product

import pytest

from agent.simulator.simulated_call import TwilioCall
from tests.servers import Server

pytestmark = pytest.mark.needs("time")

_SIZES = ("small", "medium", "large")
_PIZZAS = ("Cheese", "Lighthouse", "Garden", "Pepperoni")
_TOPPINGS = ("bacon", "mushrooms", "spinach", "black olives", "jalapenos")
_CALLERS = 50


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller with a unique name and order."""

    number: str
    name: str
    size: str
    pizza: str
    topping: str

    @property
    def line_item(self) -> str:
        return f"{self.size.capitalize()} {self.pizza} with {self.topping}"


CALLERS = [
    Caller(f"+1555020{index:04}", f"Guest{chr(65 + index // 26)}{chr(97 + index % 26)}x", *wish)
    for index, wish in enumerate(list(product(_SIZES, _PIZZAS, _TOPPINGS))[:_CALLERS])
]


@pytest.mark.usefixtures("uncovered")
async def test_fifty_calls_at_once_share_nothing(server: Server) -> None:
    """Orders, words and greetings stay with their callers."""
    for caller in CALLERS:
        await server.know(caller.number, firstName=caller.name, lastName="Example")

    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(_order(server, caller)) for caller in CALLERS]

    for caller, task in zip(CALLERS, calls, strict=True):
        await _check(server, caller, task.result())
    await server.calls.until_quiet()
    assert await server.metric("agent_active_calls") == 0
    assert await server.metric("agent_calls_total", end_reason="caller_hangup") == _CALLERS


async def _order(server: Server, caller: Caller) -> TwilioCall:
    async with server.twilio.call(From=caller.number) as call:
        await call.say(f"a {caller.size} {caller.pizza} pizza with {caller.topping} for pickup")
        await call.say("yes", cycles=2)
    return call


async def _check(server: Server, caller: Caller, call: TwilioCall) -> None:
    (order,) = await server.orders(caller.number)
    (line,) = order["order_items"]
    assert line["line_item"] == caller.line_item

    said = await server.said(call)
    assert [text for kind, text in said if kind == "callerSaid"] == [
        f"a {caller.size} {caller.pizza} pizza with {caller.topping} for pickup",
        "yes",
    ]
    wish = f"{caller.size} {caller.pizza} pizza with {caller.topping}"
    assert wish in call.ledger.cycles[0].text
    assert call.ledger.departures == []

    everything = json.dumps(await server.items(call.relay.fields["CallSid"]))
    greeting = call.relay.attributes["welcomeGreeting"]
    assert caller.name in everything and caller.name in greeting
    others = [other for other in CALLERS if other is not caller]
    theirs = [text for it in others for text in (it.name, it.number, it.line_item)]
    assert not [text for text in theirs if text in everything + greeting]
    (profile,) = await server.items(caller.number, "profile")
    assert (profile["firstName"], profile["lastName"]) == (caller.name, "Example")
