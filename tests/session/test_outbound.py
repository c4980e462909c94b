"""Outbound calls: which numbers may be called, how often, and how the end is awaited."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import DialError, DialFault, UseCaseError
from agent.ports import Store
from agent.session.outbound import (
    FINAL_STATUSES,
    OutboundCallRecord,
    OutboundCalls,
    record_call,
    take_turn,
)
from agent.simulator.virtual_time import run_virtually
from agent.store.memory import MemoryStore
from agent.usecases import UseCase
from tests.fakes import Clock
from tests.servers import settings_for

ADA, GRACE, OURS = "+15550100001", "+15550100002", "+15550100000"
NOW = 1_900_000_000.0
PIZZA_CALL = OutboundCallRecord(ADA, OURS, "restaurantOrderingUseCase")


class ListeningDialer:
    """`ports.Dialer` that keeps what it was asked."""

    def __init__(self, *statuses: str) -> None:
        self.dialled: list[tuple[str, str, str, str]] = []
        self._statuses = list(statuses)

    async def dial(self, to: str, caller_id: str, url: str, status_url: str) -> str:
        self.dialled.append((to, caller_id, url, status_url))
        return f"CA{len(self.dialled)}"

    async def status(self, call_sid: str) -> str:
        return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]


async def shipped(name: str) -> UseCase:
    if name != "pizza":
        raise UseCaseError(f"{name}: there is no such use case")
    return UseCase(name, "You sell pizza.")


def outbound(
    dialer: ListeningDialer | None,
    clock: Clock | None = None,
    *,
    numbers: str = "+1555010,+41445550100",
    own: str = OURS,
    ws_url: str = "wss://voice.example.com/",
) -> OutboundCalls:
    clock, account = clock or Clock(NOW), "AC" + "0" * 32
    variables = {"OUTBOUND_NUMBERS": numbers, "OUTBOUND_FROM": own, "WS_URL": ws_url}
    settings = settings_for(Path("unused"), TWILIO_ACCOUNT_SID=account, **variables)
    return OutboundCalls(settings, MemoryStore(clock), dialer, shipped, clock)


async def fault(calls: OutboundCalls, to: str = ADA, use_case: str = "pizza", own: str = "") -> str:
    """One line: why a call is refused."""
    with pytest.raises(DialError) as caught:
        await calls.dial(to, use_case, own)
    assert "\n" not in str(caught.value)
    return caught.value.fault


async def test_number_on_the_list_is_called_from_ours() -> None:
    dialer = ListeningDialer()

    call_sid = await outbound(dialer).dial(ADA, "pizza")

    [(to, caller_id, url, status_url)] = dialer.dialled
    assert (call_sid, to, caller_id) == ("CA1", ADA, OURS)
    assert url.startswith("https://voice.example.com/twiml?dial=")
    assert "pizza" not in url and len(url) > 60
    assert status_url == "https://voice.example.com/calls/status"


async def test_list_holds_numbers_and_beginnings() -> None:
    dialer, listed = ListeningDialer(), ["+41445550100", "+15550109999"]

    for to in listed:
        await outbound(dialer).dial(to, "pizza", "+15550100009")

    assert [call[:2] for call in dialer.dialled] == [(to, "+15550100009") for to in listed]


@pytest.mark.parametrize(
    "to",
    [
        "911", "112", "999", "000", "110", "118", "+911", "+112", "+1911", "+1112", "+44999",
        "+49112", "+61000", "+41117", "15550100001", "+1 555 010 0001", "+1-555-010-0001",
        "tel:+15550100001", "client:ada", "sip:ada@example.com", "", "+", "+0550100001",
        "+15550100001\n", "+15550100001,+15550100002", "+155501000011234567890", "+266696687",
        "anonymous", "\uff0b15550100001", "+\u0661\u0665\u0665\u0665\u0660\u0661\u0660\u0660",
    ],
)  # fmt: skip
async def test_number_that_is_not_a_subscriber_is_never_called(to: str) -> None:
    """Emergency numbers in every spelling, and all that is not E.164, whatever the list allows."""
    dialer = ListeningDialer()
    everybody = ",".join(f"+{digit}" for digit in range(1, 10))

    assert await fault(outbound(dialer, numbers=everybody), to) == "number"
    assert dialer.dialled == []


@pytest.mark.parametrize("numbers", ["", "+1556", "+15550100002", "+4144"])
async def test_number_that_is_not_listed_is_not_called(numbers: str) -> None:
    dialer = ListeningDialer()

    assert await fault(outbound(dialer, numbers=numbers)) == "number"
    assert dialer.dialled == []


async def test_call_without_account_address_or_number_is_refused() -> None:
    dialer = ListeningDialer()

    faults = [
        await fault(outbound(None)),
        await fault(outbound(dialer, ws_url="ws://localhost:3000/")),
        await fault(outbound(dialer, own="")),
        await fault(outbound(dialer), own="911"),
        await fault(outbound(dialer), use_case="nobody"),
    ]

    assert faults == ["unconfigured", "unconfigured", "caller_id", "caller_id", "use_case"]
    assert dialer.dialled == []


async def test_one_number_is_called_three_times_an_hour() -> None:
    dialer, clock = ListeningDialer(), Clock(NOW)
    calls = outbound(dialer, clock)

    await fault(calls, use_case="nobody")
    for _ in range(3):
        await calls.dial(ADA, "pizza")
    fourth = await fault(calls)
    await calls.dial(GRACE, "pizza")
    clock.seconds += 3_601
    await calls.dial(ADA, "pizza")

    assert fourth == DialFault.LIMITED
    assert [call[0] for call in dialer.dialled] == [ADA, ADA, ADA, GRACE, ADA]


async def test_all_together_are_called_thirty_times_a_minute() -> None:
    dialer, clock = ListeningDialer(), Clock(NOW)
    calls = outbound(dialer, clock)

    for number in range(30):
        await calls.dial(f"+1555010{number:04}", "pizza")
    limited = await fault(calls, "+15550109999")
    clock.seconds += 61
    await calls.dial("+15550109999", "pizza")

    assert limited == "limited"
    assert len(dialer.dialled) == 31


@pytest.mark.parametrize(
    ("statuses", "last"),
    [
        *((("queued", "ringing", "in-progress", final), final) for final in sorted(FINAL_STATUSES)),
        (("in-progress",), "in-progress"),
    ],
)
def test_end_of_a_call_is_awaited_but_not_for_ever(statuses: tuple[str, ...], last: str) -> None:
    assert run_virtually(outbound(ListeningDialer(*statuses)).until_over("CA1")) == last


async def claimed(
    store: Store, token: str, call_sid: str = "CA1", to: str = ADA
) -> OutboundCallRecord | None:
    webhook = {"CallSid": call_sid, "To": to, "Direction": "outbound-api"}
    return await replace(outbound(None), store=store).claim(token, webhook)


async def test_first_call_that_comes_with_the_token_owns_it() -> None:
    """Also when Twilio repeats the webhook; another call never gets it."""
    store = MemoryStore()
    token = await record_call(store, PIZZA_CALL, NOW)

    claims = [await claimed(store, token, call) for call in ("CA1", "CA1", "CA2", "CA1")]

    assert claims == [PIZZA_CALL, PIZZA_CALL, None, PIZZA_CALL]


@pytest.mark.parametrize("token", ["", "x", "\ud800", "dial", "T" * 5_000])
async def test_unknown_token_claims_nothing(token: str) -> None:
    store = MemoryStore()
    known = await record_call(store, PIZZA_CALL, NOW)

    assert await claimed(store, token) is None
    assert await store.query(f"dial::{known}") == [], "the token itself is not in the table"


async def test_token_is_for_one_number_and_an_hour() -> None:
    store = MemoryStore(clock := Clock(NOW))
    token = await record_call(store, PIZZA_CALL, clock())

    other = await claimed(store, token, to=GRACE)
    in_time = await claimed(store, token)
    clock.seconds += 3_600
    late = await claimed(store, token)

    assert (other, in_time, late) == (None, PIZZA_CALL, None)


async def test_turns_come_back_with_time_and_are_each_ones_own() -> None:
    clock = Clock(NOW)
    store = MemoryStore(clock)

    async def turn(whom: str) -> bool:
        return await take_turn(store, whom, 2, 60, clock())

    assert await turn("ada")
    clock.seconds += 30
    assert [await turn(whom) for whom in ("ada", "ada", "adaX")] == [True, False, True]
    clock.seconds += 31
    assert [await turn(whom) for whom in ("ada", "ada")] == [True, False]


async def test_turns_taken_at_once_are_not_more_than_there_are() -> None:
    store = MemoryStore()

    turns = await asyncio.gather(*(take_turn(store, "ada", 3, 60, NOW) for _ in range(10)))

    assert turns.count(True) == 3
