"""Delivery of events: order, retries, leases, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.errors import StoreError
from agent.events.delivery import DeliveryTimes, EventDelivery
from agent.events.outbox import EventState, TableOutbox, events_of_call
from agent.events.webhooks import DeliveryError
from agent.ports import Item
from agent.store.memory import MemoryStore
from agent.usecases.call_events import (
    CallEndedEvent,
    CallEvent,
    CallStartedEvent,
    TransferEndedEvent,
    TransferStartedEvent,
)
from agent.usecases.receivers import RECEIVERS_KEY, Receiver
from tests.fakes import Counted
from tests.virtual import virtually

DAY = 24 * 3600.0
STARTED = CallStartedEvent(call="CA1", use_case="restaurant", direction="inbound")
MOVED = TransferStartedEvent(call="CA1", use_case="restaurant", target="phone")
ENDED = CallEndedEvent(call="CA1", use_case="restaurant", seconds=60, reason="agent_end")
ORDER = ["call.started", "transfer.started", "call.ended"]


@dataclass(slots=True)
class Told:
    """`EventSender` that keeps what it is given, and fails as it is told to."""

    sent: list[tuple[str, str, str]] = field(default_factory=list)
    """Receiver, kind and id of each attempt."""
    fails: Callable[[str, int], bool] = lambda *_: False
    """By the kind of event, and how many attempts were made before."""
    seconds: float = 0.0
    is_gone: bool = False

    async def send(self, receiver: Receiver, identifier: str, body: str) -> None:
        kind = body.partition('"type":"')[2].partition('"')[0]
        number = len(self.sent)
        self.sent.append((receiver.name, kind, identifier))
        await asyncio.sleep(self.seconds)
        if self.fails(kind, number):
            raise DeliveryError("status 500", is_final=self.is_gone)

    def kinds(self, receiver: str = "crm") -> list[str]:
        return [kind for name, kind, _ in self.sent if name == receiver]


class Process:
    """What one process sends, on virtual time."""

    def __init__(self, store: MemoryStore, told: Told, times: DeliveryTimes | None = None) -> None:
        self.counted = Counted()
        self.delivery = EventDelivery(
            store, asyncio.get_running_loop().time, self.counted, lambda _: told,
            times or DeliveryTimes(),
        )  # fmt: skip
        self.outbox = self.delivery.outbox


async def a_table(*names: str) -> MemoryStore:
    """A table with these receivers; on virtual time items expire, too."""
    store = MemoryStore(asyncio.get_running_loop().time)
    pk, sk = RECEIVERS_KEY
    entries = {name: {"url": f"https://{name}.example.com/", "secret": "S"} for name in names}
    await store.put({"pk": pk, "sk": sk, "receivers": entries})
    return store


async def tell(process: Process, *events: CallEvent) -> None:
    for event in events:
        await process.outbox.tell(event)
        await asyncio.sleep(0.001)  # the clock goes on between the steps of a call


async def states(store: MemoryStore) -> list[EventState]:
    return [event.state for event in await events_of_call(store, "CA1")]


@virtually
async def test_events_are_sent_at_once_in_the_order_in_which_they_were_written() -> None:
    store, told = await a_table("crm"), Told()
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED, MOVED, ENDED)
        await asyncio.sleep(1)  # virtual: less than any sweep

    assert told.kinds() == ORDER
    assert await states(store) == [EventState.DELIVERED] * 3
    assert process.counted.value("agent_events_total", receiver="crm", outcome="delivered") == 3
    assert await store.query_index("outbox::0") == []


@virtually
async def test_an_event_that_fails_holds_back_its_call_and_no_other_receiver() -> None:
    store = await a_table("crm", "bus")
    told = Told(fails=lambda kind, number: kind == "call.started" and number < 8)
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED, MOVED, ENDED)
        await asyncio.sleep(1)  # virtual
        early = told.kinds("crm") + told.kinds("bus")
        await asyncio.sleep(3600)  # virtual

    assert set(early) == {"call.started"}
    for name in ("crm", "bus"):
        first = list(dict.fromkeys(told.kinds(name)))
        assert first == ORDER
    assert await states(store) == [EventState.DELIVERED] * 6


@virtually
async def test_a_repeated_event_has_the_id_of_the_first_and_is_written_once() -> None:
    store, told = await a_table("crm"), Told()
    process, other = Process(store, told), Process(store, told)

    async with process.delivery.running(), other.delivery.running():
        await tell(process, ENDED, ENDED)
        await tell(other, ENDED)
        await asyncio.sleep(60)  # virtual

    assert told.kinds() == ["call.ended"]
    assert told.sent[0][2] == ENDED.identifier("")


@virtually
async def test_the_events_of_a_killed_process_are_sent_by_another() -> None:
    """It was killed while it held the lane, after the receiver had the first event."""
    store, told = await a_table("crm"), Told()
    killed = Process(store, told)
    await killed.delivery.refresh()
    held = int(asyncio.get_running_loop().time()) + 60
    await store.put({"pk": "CA1", "sk": "lane::crm", "expireAt": held})
    await tell(killed, STARTED, MOVED, ENDED)
    told.sent.append(("crm", "call.started", STARTED.identifier("")))
    other = Process(store, told)

    async with other.delivery.running():
        await asyncio.sleep(120)  # virtual: until the lease is over and a sweep

    assert list(dict.fromkeys(told.kinds())) == ORDER
    assert len({identifier for _, _, identifier in told.sent}) == 3
    assert await states(store) == [EventState.DELIVERED] * 3


@virtually
async def test_an_event_that_fails_for_a_day_is_a_dead_letter_and_the_next_one_follows() -> None:
    store = await a_table("crm")
    told = Told(fails=lambda kind, _: kind == "call.started")
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED, ENDED)
        await asyncio.sleep(0.9 * DAY - 4 * 3600)  # virtual
        before = await states(store)
        await asyncio.sleep(0.3 * DAY + 4 * 3600)  # virtual

    assert before == [EventState.WAITING] * 2
    assert await states(store) == [EventState.DEAD, EventState.DELIVERED]
    assert 10 < told.kinds().count("call.started") < 20
    dead = [item for shard in range(8) for item in await store.query_index(f"outbox-dead::{shard}")]
    assert [(item["kind"], item["error"]) for item in dead] == [("call.started", "status 500")]


@virtually
async def test_an_event_that_is_deleted_while_it_is_sent_is_not_written_again() -> None:
    """Its caller is forgotten; those that wait behind one that fails, too."""
    store = await a_table("crm", "bus")
    told = Told(seconds=5.0, fails=lambda kind, _: kind == "call.started")
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED, MOVED)
        await asyncio.sleep(1)  # virtual: both are being sent
        for item in await store.query("CA1"):
            await store.delete("CA1", str(item["sk"]))
        await asyncio.sleep(600)  # virtual

    assert told.kinds("bus") == ["call.started"]
    assert await events_of_call(store, "CA1") == []


@virtually
async def test_a_receiver_that_is_gone_gets_no_further_attempt() -> None:
    store, told = await a_table("crm"), Told(fails=lambda *_: True, is_gone=True)
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED)
        await asyncio.sleep(DAY)  # virtual

    assert told.kinds() == ["call.started"]
    assert await states(store) == [EventState.DEAD]


@virtually
async def test_of_two_processes_one_sends_the_events_of_a_call() -> None:
    """Both find them in the same sweep, and a receiver takes its time."""
    store, told = await a_table("crm"), Told(seconds=2)
    one, two = Process(store, told), Process(store, told)
    await one.delivery.refresh()
    killed = TableOutbox(store, asyncio.get_running_loop().time)
    killed.receivers = one.outbox.receivers
    for event in (STARTED, MOVED, ENDED):
        await killed.tell(event)
        await asyncio.sleep(0.001)  # the clock goes on between the steps of a call
    await asyncio.sleep(20)  # virtual: others may look now
    for process in (one, two):
        await process.delivery.refresh()
        await process.delivery.sweep()
    await asyncio.sleep(30)  # virtual: until all is sent

    assert told.kinds() == ORDER


@virtually
async def test_a_receiver_that_hangs_delays_no_other() -> None:
    store, slow = await a_table("crm", "bus"), Told(seconds=10)
    quick, counted = Told(), Counted()
    delivery = EventDelivery(
        store, asyncio.get_running_loop().time, counted,
        lambda receiver: slow if receiver.name == "crm" else quick,
    )  # fmt: skip

    async with delivery.running():
        for number in range(300):
            call = f"CA{number}"
            await delivery.outbox.tell(TransferEndedEvent(call=call, use_case="restaurant"))
        await asyncio.sleep(2)  # virtual
        sent = len(quick.kinds("bus")), len(slow.kinds("crm"))
        await asyncio.sleep(3600)  # virtual

    assert sent == (200, 16)  # the lanes of one receiver, and how many send at once
    assert len(quick.kinds("bus")) == len(slow.kinds("crm")) == 300


@virtually
async def test_the_age_of_the_oldest_event_is_seen_until_it_is_delivered() -> None:
    store, loop = await a_table("crm"), asyncio.get_running_loop()
    told = Told(fails=lambda kind, _: kind == "call.started" and loop.time() < 300)
    process = Process(store, told)

    ages = list[float]()
    async with process.delivery.running():
        await tell(process, STARTED, MOVED)
        for seconds in (250, 150):
            await asyncio.sleep(seconds)  # virtual
            ages.append(process.counted.value("agent_event_age_seconds"))
        await asyncio.sleep(450)  # virtual: until the next attempt
        ages.append(process.counted.value("agent_event_age_seconds"))

    assert 230 < ages[0] < 251
    assert 380 < ages[1] < 401
    assert ages[2] == 0
    assert told.kinds()[-2:] == ["call.started", "transfer.started"]


@virtually
async def test_without_receivers_no_event_is_old() -> None:
    store, told = await a_table("crm"), Told(fails=lambda *_: True)
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED)
        await asyncio.sleep(100)  # virtual
        before = process.counted.value("agent_event_age_seconds")
        await store.put({"pk": RECEIVERS_KEY[0], "sk": RECEIVERS_KEY[1], "receivers": {}})
        await asyncio.sleep(60)  # virtual: the receivers are read again, and a sweep

    assert before > 60
    assert process.counted.value("agent_event_age_seconds") == 0


@virtually
async def test_edited_receivers_count_soon_and_wrong_ones_change_nothing() -> None:
    store, told = await a_table(), Told()
    process = Process(store, told)
    pk, sk = RECEIVERS_KEY
    entry = {"url": "https://crm.example.com/", "secret": "S", "events": ["call.ended"]}

    async with process.delivery.running():
        await tell(process, STARTED)
        await store.put({"pk": pk, "sk": sk, "receivers": {"crm": entry}})
        await asyncio.sleep(31)  # virtual
        await tell(process, MOVED, ENDED)
        await store.put({"pk": pk, "sk": sk, "receivers": {"crm": {"url": 5}}})
        await asyncio.sleep(31)  # virtual

        assert [receiver.name for receiver in process.outbox.receivers] == ["crm"]
    assert told.kinds() == ["call.ended"]


@virtually
async def test_events_of_a_receiver_that_was_taken_away_wait_for_it() -> None:
    store, told = await a_table("crm", "bus"), Told()
    process = Process(store, told)
    pk, sk = RECEIVERS_KEY
    there = await store.get(pk, sk)
    assert there is not None
    entries = dict(there["receivers"])  # type: ignore[call-overload] # as `a_table` makes it
    await process.delivery.refresh()
    await tell(process, STARTED)
    await store.put({"pk": pk, "sk": sk, "receivers": {"bus": entries["bus"]}})

    async with process.delivery.running():
        await asyncio.sleep(300)  # virtual
        without = told.kinds("crm")
        await store.put({"pk": pk, "sk": sk, "receivers": entries})
        await asyncio.sleep(3600)  # virtual

    assert (without, told.kinds("crm")) == ([], ["call.started"])


@virtually
async def test_a_table_that_fails_delays_events_and_loses_none() -> None:
    class Failing(MemoryStore):
        fails = False

        async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
            if self.fails:
                raise StoreError("unreachable")
            return await super().query(pk, sk_prefix)

        async def query_index(
            self, pk1: str, sk1_prefix: str = "", *, first: int = 0
        ) -> list[Item]:
            if self.fails:
                raise StoreError("unreachable")
            return await super().query_index(pk1, sk1_prefix, first=first)

    store, told = Failing(asyncio.get_running_loop().time), Told()
    pk, sk = RECEIVERS_KEY
    entry = {"url": "https://crm.example.com/", "secret": "S"}
    await store.put({"pk": pk, "sk": sk, "receivers": {"crm": entry}})
    process = Process(store, told)

    async with process.delivery.running():
        store.fails = True
        await tell(process, STARTED, ENDED)
        await asyncio.sleep(100)  # virtual
        store.fails = False
        await asyncio.sleep(100)  # virtual

    assert told.kinds() == ["call.started", "call.ended"]


@virtually
async def test_what_was_just_written_is_sent_before_the_process_ends() -> None:
    store, told = await a_table("crm"), Told(seconds=1)
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED, ENDED)

    assert told.kinds() == ["call.started", "call.ended"]
    assert await states(store) == [EventState.DELIVERED] * 2


@virtually
async def test_without_receivers_nothing_is_written() -> None:
    store, told = await a_table(), Told()
    process = Process(store, told)

    async with process.delivery.running():
        await tell(process, STARTED, ENDED)

        assert process.outbox.items(STARTED) == ()
    assert await store.query("CA1") == []
