"""A caller whose number may be forged is served as an unknown caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import Server, serving, settings_for

ADA = "+15550100001"
FAILED = "TN-Validation-Failed-A"


async def prompt_of(server: Server, call_sid: str) -> str:
    await server.calls.until_written()
    item = await server.store.get(call_sid, "connection")
    assert item is not None
    return str(item["systemPrompt"])


async def known(server: Server) -> None:
    """Give Ada a profile and an order."""
    await server.know(ADA, firstName="Ada", lastName="Lovelace", email="ada@example.com")
    order = {"order_items": [{"line_item": "Small Quixote"}], "order_total": 9.0}
    key = {"pk": ADA, "sk": "restaurantOrder::CA00::1772733600::aa"}
    await server.store.put({**key, "order": order})


async def told(table: Path, level: str, verstat: str) -> tuple[str, str]:
    """Greeting and prompt of a call from Ada's number."""
    async with serving(settings_for(table, TRUSTED_ATTESTATION=level)) as server:
        await known(server)
        relay = await server.relay(From=ADA, StirVerstat=verstat)
        prompt = await prompt_of(server, relay.fields["CallSid"])
        return relay.attributes["welcomeGreeting"], prompt


@pytest.mark.parametrize(
    ("level", "verstat", "is_known"),
    [
        ("", "TN-Validation-Failed", False),
        ("", "TN-Validation-Failed-B-Diverted", False),
        ("C", "No-TN-Validation", False),
        ("B", "TN-Validation-Passed-C", False),
        ("A", "TN-Validation-Passed-B-Passthrough", False),
        ("a", "", False),
        ("", "", True),
        ("failed", "No-TN-Validation", True),
        ("", "TN-Validation-Passed-C", True),
        ("B", "TN-Validation-Passed-B-Diverted", True),
        ("A", "TN-Validation-Passed-A", True),
    ],
)
async def test_caller_is_known_by_a_trusted_number_only(
    table: Path, level: str, verstat: str, *, is_known: bool
) -> None:
    """By default all numbers are trusted whose validation has not failed."""
    greeting, prompt = await told(table, level, verstat)

    words = ("Ada", "Lovelace", "ada@example.com", "Quixote")
    assert {"Ada" in greeting, *(word in prompt for word in words)} == {is_known}
    assert is_known or ADA not in prompt


async def test_nothing_is_stored_under_a_number_that_may_be_forged(table: Path) -> None:
    """The order belongs to the call."""
    async with serving(settings_for(table)) as server:
        async with server.twilio.call(From=ADA, StirVerstat=FAILED) as call:
            await call.say("a house salad for pickup")
            await call.say("yes", cycles=2)
        call_sid = call.relay.fields["CallSid"]
        orders = (await server.orders(ADA), len(await server.orders(call_sid)))

    assert orders == ([], 1)


async def test_name_is_not_stored_under_a_number_that_may_be_forged(table: Path) -> None:
    async with (
        serving(settings_for(table, STACK_USE_CASE="defaultUseCase")) as server,
        server.twilio.call(From="+15550100077", StirVerstat=FAILED) as call,
    ):
        await call.say("my name is mallory jones")
        reply = await call.say("yes", cycles=2)
        profile = await server.store.get("+15550100077", "profile")

    assert "could not keep your name" in reply.text
    assert profile is None


async def test_resumed_call_with_a_forged_number_stays_unknown(table: Path) -> None:
    """Also if its item was lost."""
    async with serving(settings_for(table)) as server:
        await known(server)
        relay = await server.relay(From=ADA, StirVerstat=FAILED)
        later = {**relay.fields, "SessionStatus": "failed", "ErrorCode": "64105"}
        del later["StirVerstat"]
        resumed = await server.twilio.post(relay.action, later)
        lost = {**later, "CallSid": "CA" + "7" * 32}
        elsewhere = await server.twilio.post(relay.action, lost)
        prompts = [await prompt_of(server, fields["CallSid"]) for fields in (relay.fields, lost)]

    assert resumed.relay and elsewhere.relay
    assert "Ada" not in f"{prompts}{elsewhere.xml}"
