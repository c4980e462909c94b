"""What is kept of a caller is found, handed out and deleted as a whole, in either table.

The calls are those of the whole service on virtual time: what it writes tomorrow is covered too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import structlog

from agent.call.resumption import ResumeCause
from agent.cli.evaluation.hosted_service import SETTINGS, HostedService, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.events.outbox import SHARDS, EventState, StoredEvent, index_key
from agent.ports import Item, Key, Store
from agent.scenarios.scenario_files import read_file
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import ORDINARY
from agent.session.call_recording import recordings_of
from agent.session.outbound import OutboundCallRecord, record_call, take_turn
from agent.session.personal_data import (
    Deletion,
    Kept,
    PersonalData,
    delete_personal_data,
    find_personal_data,
)
from agent.session.resume import begin_attempt
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from tests.fakes import Clock
from tests.stores import Stores

ZELDA, GRACE = "+15557654321", "+15550100077"
NOON = 1_772_625_600.0  # of the virtual day
LATER = NOON + 40 * 3600
"""When no order and no call of that day is kept."""
WORDS = [f"zq{number:02}kx" for number in range(50)]
"""What is planted, in words, keys, names, addresses, results of tools and webhooks."""

SCENARIOS = {
    "delivery": """
        use_case: restaurantOrderingUseCase
        caller:
          number: "{number}"
          profile: {{firstName: "{0}", lastName: "{1}", email: "{2}@example.com", loyalty: "{3}"}}
        steps:
          - says: "two garlic knots to be delivered please, this is {4} {5} {6}"
          - says: "12 {7} Street in Port {8}"
          - says: "yes"
          - interrupts: {{words: "my {9} and {10}", after_words: 2}}
          - presses: "739"
          - loses_line: "64105"
          - says: "{11} {12} {13} {14} {15}"
          - says: no thanks, bye
        """,
    "order by text": """
        use_case: restaurantOrderingUseCase
        caller: {{number: "{number}"}}
        replies:
          - ["A soup for pickup, {16}. Shall I place it?"]
          - [{{tool: PlaceOrderFunction, arguments: {{order_type: pickup, current_order:
              [{{line_item: Tomato Soup, additional_details: "no {17} and no {18}"}}]}}}}]
          - ["It is placed, {19}. A text message?"]
          - [{{tool: SendRestaurantSmsFunction, arguments: {{}}}}]
          - ["It is on its way, {20}."]
        steps:
          - says: "a tomato soup for {21} and {22}"
          - says: "yes {23}"
          - says: "yes {24}"
          - hangs_up: true
        """,
    "order by mail": """
        use_case: restaurantOrderingUseCase
        caller: {{number: "{number}", profile: {{firstName: "{0}", email: "{2}@example.com"}}}}
        replies:
          - ["A soup for pickup. Shall I place it?"]
          - [{{tool: PlaceOrderFunction, arguments: {{order_type: pickup, current_order:
              [{{line_item: Tomato Soup}}]}}}}]
          - ["It is placed. A mail?"]
          - [{{tool: SendRestaurantEmailFunction, arguments: {{order_type: pickup,
              message_type: order confirmation, to_email: "{2}@example.com"}}}}]
          - ["It is on its way."]
        steps:
          - says: a tomato soup for pickup
          - says: "yes"
          - says: yes please
          - hangs_up: true
        """,
    "address": """
        use_case: restaurantOrderingUseCase
        caller: {{number: "{number}"}}
        steps:
          - says: my e-mail address is {25} dot {26} at example dot com
          - says: "yes"
          - says: "{27} {28} {29} {30}"
          - says: no that's all thanks, bye
        """,
    "tour": """
        use_case: apartmentSearchUseCase
        caller: {{number: "{number}", profile: {{firstName: "{31}", lastName: "{32}"}}}}
        steps:
          - says: hi, this is {33} {34}, I want to see a studio in-person tomorrow at 10:30 AM
          - says: "yes"
          - says: yes please
          - says: "{35} {36} {37} {38}"
          - says: no, that is all, bye
        """,
    "person": """
        use_case: restaurantOrderingUseCase
        caller: {{number: "{number}"}}
        items:
          - {{pk: restaurantOrderingUseCase, sk: configuration, handoffNumber: "+15550100098"}}
        steps:
          - says: "{39} {40} {41} {42}"
          - says: I want to talk to a person please
        """,
}
KINDS = {
    "apartmentAppointment", "call chat", "call connection", "call effect",
    "call event", "call listing", "call message", "call outcome", "call record", "call resume",
    "call token", "calls", "dial", "loyalty", "profile", "restaurantOrder", "usage",
}  # fmt: skip


async def _led(service: HostedService, folder: Path, number: str, words: Sequence[str]) -> None:
    """Lead all calls, each in a table that has what the earlier ones have left."""
    left: Mapping[Key, Item] = {}
    for name, text in SCENARIOS.items():
        path = folder / f"{name}.yaml"
        path.write_text(text.format(*words, number=number), encoding="utf-8")
        [scenario] = read_file(path)
        service.pace.begin(scenario, ORDINARY)
        run = await play(scenario, service.twilio, ORDINARY, service)
        assert run.failures == []
        left = {**left, **service.store.snapshot()}
    service.store.restore(left)


async def _around(store: Store, number: str, words: Sequence[str]) -> None:
    """What comes from further webhooks, and outbound calls."""
    [*_, lead] = await store.query(f"calls::{number}")
    call_sid = str(lead["callSid"])
    place = {"FromCity": words[43], "CallerName": words[44], "ForwardedFrom": words[45]}
    await store.merge(call_sid, "connection", place)
    kept = {"expireAt": int(NOON) + 9_000}
    await begin_attempt(store, call_sid, ResumeCause.LOST, words[46], NOON, kept)
    await record_call(store, OutboundCallRecord(number, "+15550100000", words[47]), NOON)
    assert await take_turn(store, f"number::{number}", 3, 3600, NOON)
    await store.put({"pk": number, "sk": f"loyalty::{words[48]}", "points": words[49]})
    for state, word in zip(EventState, (words[18], words[19], words[20]), strict=True):
        body = json.dumps({"data": {"caller": number, "deliveryAddress": word}})
        event = StoredEvent(
            call_sid, f"crm-{state}", f"evt_{word}", "order.placed", "1", NOON, body, state,
            NOON + 9_000, NOON, error=f"status 500 {word}",
        )  # fmt: skip
        await store.put(event.item())


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Mapping[Key, Item]]:
    """The table as the configuration makes it, after one caller, and after both."""
    folder = tmp_path_factory.mktemp("scenarios")
    limits = {"CALLER_CALLS_PER_HOUR": "30", "CALLER_TOKENS_PER_DAY": "3000000"}
    settings = Settings.read({**SETTINGS, **limits, "RECORD_CALLS": "true"})
    others = [f"yj{number:02}wv" for number in range(50)]

    async def main() -> dict[str, Mapping[Key, Item]]:
        async with hosted(settings, Pace(is_virtual=True)) as service:
            found = {"seeded": service.seeded}
            for number, words in ((ZELDA, WORDS), (GRACE, others)):
                await _led(service, folder, number, words)
                await _around(service.store, number, words)
                found[number] = service.store.snapshot()
            return found

    return run_virtually(main())


@pytest.fixture
def stores_clock() -> Clock:
    return Clock(NOON + 600)


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def _filled(store: Store, items: Mapping[Key, Item]) -> None:
    left = list(items.values())
    for first in range(0, len(left), 50):
        await asyncio.gather(*(store.put(item) for item in left[first : first + 50]))


async def _all_of(store: Store, items: Mapping[Key, Item]) -> dict[Key, Item]:
    """Those of these keys that are there."""
    keys = list(items)
    found = [
        each
        for first in range(0, len(keys), 100)
        for each in await store.get_many(keys[first : first + 100])
    ]
    return {key: item for key, item in zip(keys, found, strict=True) if item is not None}


async def test_an_export_has_all_that_was_planted_and_a_deletion_leaves_nothing_of_it(
    stores: Stores,
    stores_clock: Clock,
    items: dict[str, Mapping[Key, Item]],
    tmp_path: Path,
) -> None:
    """And another caller, who did the same, is as before."""
    both = {**items[ZELDA], **items[GRACE]}
    await _filled(stores[0], both)
    await stores[1].find_text(ZELDA)  # a full-text index has their words as well

    data = await find_personal_data(stores[0], ZELDA)
    exported = json.dumps(data.as_export())
    with structlog.testing.capture_logs() as logs:
        deletion = await delete_personal_data(stores[1], data, LATER)

    left = await _all_of(stores[0], both)
    assert [word for word in WORDS if word not in exported] == []
    assert ("yj0" in exported, GRACE in exported) == (False, False)
    assert left == items[GRACE]
    for state in (EventState.WAITING, EventState.DEAD):  # no sweep finds one
        keys = [index_key(state, shard) for shard in range(SHARDS)]
        found = [item for key in keys for item in await stores[0].query_index(key)]
        assert [word for word in (*WORDS, ZELDA) if word in str(found)] == []
    assert (set(deletion.deleted), deletion.kept) == (KINDS, [])
    assert [line["event"] for line in logs] == ["caller_data.deleted"]
    assert (ZELDA in str(logs), len(logs[0]["caller_digest"])) == (False, 16)
    beside = bytes_of(tmp_path)
    assert [word for word in [*WORDS, ZELDA] if word.encode() in beside] == []


async def _one_call(store: Store, began: float, *, ended: bool, **attributes: object) -> None:
    """A call of Zelda's, with what it has ordered."""
    item: Item = {"pk": "CA1", "sk": "connection", "From": ZELDA, "startedMs": int(began * 1000)}
    lead: Item = {"pk": f"calls::{ZELDA}", "sk": "1::CA1", "callSid": "CA1"}
    listed: Item = {"pk": "CA1", "sk": "listing", "reason": "agent_end" if ended else ""}
    order: Item = {"pk": ZELDA, "sk": "restaurantOrder::1", "neededUntil": NOON + 86_400}
    for each in ({**item, **attributes}, lead, listed, order):
        await store.put(each)


async def test_an_order_in_the_kitchen_stays_until_it_is_not_needed_any_more(
    stores: Stores,
) -> None:
    await _one_call(stores[0], NOON - 9_000, ended=True)

    first = await _forgotten(stores[0], NOON)
    second = await _forgotten(stores[0], LATER)

    until = "needed until 2026-03-05T12:00+00:00"
    assert first.kept == [Kept(f"{ZELDA}::restaurantOrder::1", until)]
    assert first.deleted == {"call connection": 1, "call listing": 1, "calls": 1}
    assert second == Deletion({"restaurantOrder": 1}, [])


async def test_what_is_needed_stays_with_what_leads_to_it_wherever_it_is(stores: Stores) -> None:
    """In the call, and in a partition that only an item of the call names."""
    await _one_call(stores[0], NOON - 90_000, ended=True)
    until = {"neededUntil": NOON + 86_400}
    for call_sid in ("CA1", "CA2"):
        lead: Item = {"pk": f"calls::{ZELDA}", "sk": f"1::{call_sid}", "callSid": call_sid}
        await stores[0].put(lead)
    await stores[0].put({"pk": "CA1", "sk": "warranty::1", **until})
    await stores[0].put({"pk": "CA2", "sk": "message::1", "linked": ["shelf"]})
    await stores[0].put({"pk": "shelf", "sk": "parcel::1", "callSid": "CA2", **until})

    first = await _forgotten(stores[0], NOON)
    second = await _forgotten(stores[0], LATER)

    assert [kept.what for kept in first.kept] == [
        f"{ZELDA}::restaurantOrder::1", "shelf::parcel::1", "CA1::warranty::1",
    ]  # fmt: skip
    assert first.deleted == {"call connection": 1, "call listing": 1}
    assert second.kept == []
    assert second.deleted == {
        "call warranty": 1, "call message": 1, "calls": 2, "parcel": 1, "restaurantOrder": 1,
    }  # fmt: skip


async def test_a_call_in_progress_stays_until_it_is_over(stores: Stores) -> None:
    """Also one whose process was killed, for as long as a call can last."""
    await _one_call(stores[0], NOON - 9_000, ended=False)

    first = await _forgotten(stores[0], NOON + 4_000)
    second = await _forgotten(stores[0], LATER)

    assert first.kept[0] == Kept("call CA1", "it is in progress, or was cut off")
    assert second.deleted == {
        "call connection": 1, "call listing": 1, "calls": 1, "restaurantOrder": 1,
    }  # fmt: skip


async def test_a_legal_hold_keeps_everything(stores: Stores) -> None:
    await _one_call(stores[0], NOON - 90_000, ended=True)
    await stores[0].merge(ZELDA, "profile", {"legalHold": "case 17"})

    asked: list[object] = []

    async def delete_outside(call: Sequence[Item]) -> Sequence[str]:
        asked.append(call)
        return ()

    data = await find_personal_data(stores[0], ZELDA)
    with structlog.testing.capture_logs() as logs:
        deletion = await delete_personal_data(stores[0], data, LATER, delete_outside)

    assert deletion == Deletion({}, [Kept("everything", "legal hold: case 17")])
    assert len(await stores[0].query("CA1")) == 2
    assert asked == []
    assert [line["event"] for line in logs] == ["caller_data.deletion_refused"]


async def test_a_call_of_a_forged_number_is_deleted_but_not_handed_out(stores: Stores) -> None:
    await _one_call(stores[0], NOON - 90_000, ended=True, callerUntrusted=True)

    data = await find_personal_data(stores[0], ZELDA)
    deletion = await delete_personal_data(stores[0], data, LATER)

    export = data.as_export()
    assert (export["calls"], export["left_out"]) == ({}, ["CA1: its number may be forged"])
    assert deletion.deleted["call connection"] == 1


async def test_what_lies_outside_of_the_table_goes_first_and_its_call_stays_if_it_cannot(
    stores: Stores,
) -> None:
    """The next run finds it again."""
    await _one_call(stores[0], NOON - 90_000, ended=True, recording="RE1")
    answers = [["recording RE1: Twilio did not answer"], []]
    asked: list[object] = []

    async def delete_outside(call: Sequence[Item]) -> Sequence[str]:
        asked.append([item.get("recording") for item in call])
        return answers.pop(0)

    deletions = [
        await delete_personal_data(
            stores[0], await find_personal_data(stores[0], ZELDA), LATER, delete_outside
        )
        for _ in range(2)
    ]

    reason = "recording RE1: Twilio did not answer"
    assert [deletion.kept for deletion in deletions] == [[Kept("call CA1", reason)], []]
    assert [sum(deletion.deleted.values()) for deletion in deletions] == [1, 3]
    assert asked == [["RE1", None], ["RE1", None]]


async def test_a_recorded_call_is_found_when_nothing_else_of_it_is_left(stores: Stores) -> None:
    """Twilio keeps the recording, and so the table keeps the link."""
    link: Item = {"pk": "CA1", "sk": "recording", "recordingSid": "RE1"}
    await stores[0].put({**link, "pk1": recordings_of(ZELDA), "sk1": "2026::CA1"})
    asked: list[object] = []

    async def delete_outside(call: Sequence[Item]) -> Sequence[str]:
        asked.append([item["recordingSid"] for item in call])
        return ()

    data = await find_personal_data(stores[0], ZELDA)
    deletion = await delete_personal_data(stores[0], data, LATER, delete_outside)

    assert asked == [["RE1"]]
    assert deletion == Deletion({"call recording": 1}, [])


async def test_a_caller_without_data_has_none(stores: Stores) -> None:
    data = await find_personal_data(stores[0], ZELDA)

    assert data == PersonalData(ZELDA)
    assert await delete_personal_data(stores[0], data, NOON) == Deletion({}, [])


async def _forgotten(store: Store, now: float) -> Deletion:
    return await delete_personal_data(store, await find_personal_data(store, ZELDA), now)
