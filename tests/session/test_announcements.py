"""What is told of a call's beginning, transfers and end, and by which process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

import pytest

from agent.call.events import EndReason
from agent.errors import StoreError
from agent.events.outbox import TableOutbox, events_of_call
from agent.ports import Item
from agent.session.announcements import NOT_DELIVERED, CallAnnouncer
from agent.store.memory import MemoryStore
from agent.usecases.receivers import Receiver
from tests.fakes import Clock
from tests.virtual import virtually

CRM = Receiver(url="https://crm.example.com/", secret="S", personal_fields=True, name="crm")
SESSION: Item = {
    "pk": "CA1",
    "sk": "connection",
    "From": "+15550100001",
    "To": "+15550100099",
    "startedMs": 1_000_000,
    "useCase": "restaurant",
    "systemPrompt": [],
}


class World:
    """A table, and processes that have it open."""

    def __init__(self, *receivers: Receiver) -> None:
        self.clock = Clock(1_000.0)
        self.store = MemoryStore(self.clock)
        self._receivers = receivers

    def process(self) -> CallAnnouncer:
        outbox = TableOutbox(self.store, self.clock)
        outbox.receivers = self._receivers
        return CallAnnouncer(self.store, outbox, self.clock)

    async def told(self) -> list[tuple[str, str]]:
        """Kind and data of each event."""
        return [
            (event.kind, event.body.partition('"data":')[2].removesuffix("}"))
            for event in await events_of_call(self.store, "CA1")
        ]


async def test_a_call_that_resumes_has_begun_once_and_ends_once() -> None:
    world = World(CRM)
    await world.store.put(SESSION)
    first, second = world.process(), world.process()

    await first.began(SESSION)
    world.clock.seconds += 20
    await first.ended(SESSION, EndReason.ERROR_RELAY, ())
    await second.began(SESSION)
    world.clock.seconds += 40
    await second.ended(SESSION, EndReason.CALLER_HANGUP, ())
    await first.is_over("CA1", has_hung_up=True)

    call = '{"call":"CA1","useCase":"restaurant","caller":"+15550100001"'
    assert await world.told() == [
        ("call.started", call + ',"direction":"inbound","number":"+15550100099"}'),
        ("call.ended", call + ',"seconds":60,"reason":"caller_hangup"}'),
    ]
    [listed] = await world.store.query("CA1", "listing")
    assert (listed["reason"], listed["seconds"]) == ("caller_hangup", 60)


async def test_the_end_of_a_call_whose_process_was_killed_is_told_by_the_one_that_twilio_asks(
) -> None:  # fmt: skip
    world = World(CRM)
    await world.store.put(SESSION)
    await world.process().began(SESSION)
    world.clock.seconds += 30

    other = world.process()
    await other.is_over("CA1", has_hung_up=False)
    await other.is_over("CA1", has_hung_up=True)  # Twilio repeats it

    [_, (kind, data)] = await world.told()
    assert kind == "call.ended"
    assert data.endswith('"seconds":30,"reason":"unknown"}')


async def test_a_call_that_is_transferred_ends_when_twilio_says_so() -> None:
    world = World(CRM)
    await world.store.put(SESSION)
    process = world.process()
    await process.began(SESSION)
    world.clock.seconds += 10
    await process.ended(SESSION, EndReason.TRANSFER, ())
    await process.transfer_began("CA1", "VX1", "phone", "wants a person")
    await process.transfer_began("CA1", "VX1", "phone", "wants a person")
    world.clock.seconds += 10
    await process.transfer_ended("CA1", "VX1", "unanswered")
    world.clock.seconds += 10
    await process.transfer_began("CA1", "VX2", "phone", "again")
    world.clock.seconds += 10
    await process.transfer_ended("CA1", "VX2", "")
    world.clock.seconds += 10
    await process.is_over("CA1", has_hung_up=True)

    told = await world.told()
    assert [kind for kind, _ in told] == [
        "call.started", "transfer.started", "transfer.failed", "transfer.started",
        "transfer.ended", "call.ended",
    ]  # fmt: skip
    assert '"target":"phone","reason":"wants a person"' in told[1][1]
    assert '"reason":"unanswered"' in told[2][1]
    assert '"reason":"transfer"' in told[5][1]


async def test_a_beginning_that_its_end_overtakes_is_told_all_the_same() -> None:
    """Writes of a short call may overtake each other."""
    world = World(CRM)
    process = world.process()

    await process.ended(SESSION, EndReason.CALLER_HANGUP, ())
    world.clock.seconds -= 1
    await process.began(SESSION)

    assert [kind for kind, _ in await world.told()] == ["call.started", "call.ended"]
    [listed] = await world.store.query("CA1", "listing")
    assert listed["reason"] == "caller_hangup"


async def test_a_call_without_a_connection_has_no_end() -> None:
    world = World(CRM)
    await world.store.put(SESSION)

    await world.process().is_over("CA1", has_hung_up=True)

    assert await world.told() == []


async def test_without_receivers_only_the_list_of_calls_is_written() -> None:
    world = World()
    await world.store.put(SESSION)
    process = world.process()

    await process.began(SESSION)
    await process.ended(SESSION, EndReason.CALLER_HANGUP, ())
    await process.transfer_began("CA1", "VX1", "phone", "")
    await process.is_over("CA1", has_hung_up=True)

    assert [item["sk"] for item in await world.store.query("CA1")] == ["connection", "listing"]


async def test_a_table_that_fails_fails_no_call() -> None:
    class Failing(MemoryStore):
        async def get(self, *_: object) -> Item | None:
            raise StoreError("unreachable")

        async def get_many(self, keys: object) -> list[Item | None]:
            raise StoreError("unreachable")

        async def put(self, *_: object, **__: object) -> bool:
            raise StoreError("unreachable")

        async def put_newer(self, *_: object, **__: object) -> bool:
            raise StoreError("unreachable")

    clock = Clock(1_000.0)
    outbox = TableOutbox(Failing(), clock)
    outbox.receivers = (CRM,)
    process = CallAnnouncer(Failing(), outbox, clock)

    await process.began(SESSION)
    await process.ended(SESSION, EndReason.AGENT_END, ())
    await process.transfer_ended("CA1", "VX1", "")
    await process.is_over("CA1", has_hung_up=True)
    await report(process)

    assert await Failing().query("CA1") == []


KEY = "0a" * 32
REFERENCE = f"CA1.{KEY}"
SMS: Item = {
    "pk": "CA1",
    "sk": f"effect::{KEY}",
    "effect": "sms",
    "attempt": 1,
    "owner": "one",
    "startedAt": 1_000.0,
    "plan": {"To": "+15550100001", "From": "+15550100099", "MessageBody": "hello"},
}
SENT = '"channel":"sms","message":"SM1","recipient":"+15550100001"}'
UNDELIVERED = (
    '"channel":"sms","reason":"undelivered","message":"SM1","errorCode":30007,'
    '"recipient":"+15550100001"}'
)


def report(process: CallAnnouncer, reference: str = REFERENCE) -> Coroutine[None, None, None]:
    """Twilio's report to this process."""
    return process.message_failed(reference, "SM1", "undelivered", 30007)


async def test_a_message_that_was_sent_and_not_delivered_has_failed_once() -> None:
    world = World(CRM)
    await world.store.put(SESSION)
    await world.store.put({**SMS, "state": "done", "result": {"sid": "SM1"}})

    for process in (world.process(), world.process()):
        await report(process)

    [(kind, data)] = await world.told()
    assert (kind, data.endswith(UNDELIVERED)) == ("message.failed", True)


async def test_a_report_completes_what_a_killed_process_has_left() -> None:
    """So that the message was sent before it was not delivered."""
    world = World(CRM)
    await world.store.put(SESSION)
    await world.store.put({**SMS, "state": "started"})
    world.clock.seconds += 60

    for _ in range(2):
        await report(world.process())
        world.clock.seconds += 1

    told = await world.told()
    assert [kind for kind, _ in told] == ["message.sent", "message.failed"]
    assert (told[0][1].endswith(SENT), told[1][1].endswith(UNDELIVERED)) == (True, True)
    record = await world.store.get("CA1", f"effect::{KEY}")
    assert record is not None
    assert (record["state"], record["result"]) == (
        "done",
        {"status": "undelivered", "sid": "SM1", "message": NOT_DELIVERED},
    )


@virtually
async def test_a_report_waits_for_the_process_that_is_sending() -> None:
    """It is not told twice that the message was sent."""
    world = World(CRM)
    await world.store.put(SESSION)
    await world.store.put({**SMS, "state": "started"})

    reporting = asyncio.create_task(report(world.process()))
    await asyncio.sleep(2)  # virtual time
    before = await world.told()
    done = {**SMS, "state": "done", "result": {"sid": "SM1"}, "sequence": 1_000_000}
    await world.store.put_newer(done)
    await reporting

    assert before == []
    assert [kind for kind, _ in await world.told()] == ["message.failed"]


@pytest.mark.parametrize("state", ["unknown", "refused"])
async def test_a_message_that_was_told_as_failed_is_not_told_again(state: str) -> None:
    world = World(CRM)
    await world.store.put(SESSION)
    await world.store.put({**SMS, "state": state})

    await report(world.process())

    assert await world.told() == []


@pytest.mark.parametrize("reference", ["", "CA1", f"CA1.{KEY}0", f"CA1::x.{KEY}", f"CA2.{KEY}"])
async def test_a_report_of_no_message_of_a_call_tells_nothing(reference: str) -> None:
    """As that of a text message for callers who find all lines busy."""
    world = World(CRM)
    await world.store.put(SESSION)
    await world.store.put({**SMS, "state": "done", "result": {"sid": "SM1"}})

    await report(world.process(), reference)

    assert await world.told() == []


async def test_without_receivers_a_report_changes_nothing() -> None:
    world = World()
    await world.store.put({**SMS, "state": "started"})
    world.clock.seconds += 60

    await report(world.process())

    record = await world.store.get("CA1", f"effect::{KEY}")
    assert record is not None
    assert record["state"] == "started"


async def test_a_message_that_is_found_unknown_meanwhile_is_not_told_again() -> None:
    """Another process, which is asked to send it again, may be the quicker one."""

    class Overtaken(MemoryStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            if item.get("state") == "done":
                await super().put_newer({**SMS, "state": "unknown", "sequence": 4})
            return await super().put_newer(item, may_wait=may_wait, beside=beside)

    world = World(CRM)
    world.store = Overtaken(world.clock)
    await world.store.put({**SMS, "state": "started", "sequence": 3})
    world.clock.seconds += 60

    await report(world.process())

    assert await world.told() == []
