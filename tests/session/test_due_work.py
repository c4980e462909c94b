"""Work on calls that is due is done by any process, and a fault of one call costs no other its."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from agent.errors import RecordingError, StoreError
from agent.ports import Item, Store, uncounted
from agent.session.due_work import DueWork, due_item
from agent.store.memory import MemoryStore
from tests.fakes import Clock
from tests.stores import Stores
from tests.virtual import virtually

NOON = 1_800_000_000.0
ADA, BOB = "CA" + "1" * 32, "CA" + "2" * 32


@dataclass
class Office:
    """A process with one kind of work; `answers` are what it returns or raises."""

    store: Store
    clock: Clock
    answers: list[float | Exception | None] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)

    async def work(self, call_sid: str) -> float | None:
        self.did.append(call_sid)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sweep(self) -> bool:
        def count(metric: str, amount: float = 1, /, **labels: str) -> None:
            self.counted.append(f"{metric} {labels['work']} {labels['outcome']}")

        return await DueWork(self.store, self.clock, count, {"cleaning": self.work}).sweep()

    async def plan(self, call_sid: str, at: float, *, expire_at: int = 0) -> None:
        item = due_item(call_sid, "cleaning", at, self.clock(), expire_at)
        await self.store.put_newer(item)


def office(*answers: float | Exception | None) -> Office:
    clock = Clock(NOON)
    return Office(MemoryStore(clock), clock, list(answers))


async def test_work_is_done_when_it_is_due_and_not_again(stores: Stores) -> None:
    """By a process that did not plan it."""
    clock = Clock(NOON)
    planner, worker = (Office(store, clock) for store in stores)
    await planner.plan(ADA, NOON + 60)

    await worker.sweep()
    before = list(worker.did)
    clock.seconds = NOON + 60
    await worker.sweep()
    await planner.sweep()

    assert (before, worker.did, planner.did) == ([], [ADA], [])
    assert worker.counted == ["agent_due_work_total cleaning done"]
    assert await stores[0].query(ADA) == []


async def test_work_that_is_put_off_is_looked_at_again_then() -> None:
    desk = office(300.0, None)
    await desk.plan(ADA, NOON)

    for seconds in (0, 299, 300):
        desk.clock.seconds = NOON + seconds
        await desk.sweep()

    assert desk.did == [ADA, ADA]
    assert [line.split()[-1] for line in desk.counted] == ["put_off", "done"]


async def test_work_that_fails_is_tried_again_and_the_next_call_gets_its() -> None:
    desk = office(RecordingError("away", 503), None, RuntimeError("a bug"))
    await desk.plan(ADA, NOON)
    await desk.plan(BOB, NOON)

    with structlog.testing.capture_logs() as logs:
        await desk.sweep()
        desk.clock.seconds = NOON + 600
        await desk.sweep()

    assert sorted(desk.did[:2]) == [ADA, BOB]
    assert desk.did[2:] == desk.did[:1]
    assert [line["event"] for line in logs] == ["due_work.failed", "due_work.crashed"]
    assert [line.split()[-1] for line in desk.counted] == ["failed", "done", "failed"]


async def test_much_work_is_done_in_several_sweeps() -> None:
    desk = office()
    for number in range(60):
        await desk.plan(f"CA{number}", NOON)

    sweeps = [await desk.sweep(), await desk.sweep()]

    assert sweeps == [True, False]
    assert len(set(desk.did)) == len(desk.did) == 60


async def test_work_that_is_planned_later_is_not_done_before() -> None:
    """As when a call goes on; the earlier plan may even be written after the later one."""
    desk = office()
    earlier = due_item(ADA, "cleaning", NOON + 90, NOON)
    desk.clock.seconds = NOON + 5
    await desk.plan(ADA, NOON + 4 * 3600)
    await desk.store.put_newer(earlier)

    desk.clock.seconds = NOON + 3600
    await desk.sweep()

    assert desk.did == []


async def test_work_of_a_call_that_was_forgotten_meanwhile_is_not_planned_again() -> None:
    desk = office()

    async def forget(call_sid: str) -> float | None:
        await desk.store.delete(call_sid, "due::cleaning")
        return 60.0

    await desk.plan(ADA, NOON)

    await DueWork(desk.store, desk.clock, uncounted, {"cleaning": forget}).sweep()

    assert await desk.store.query(ADA) == []


@virtually
async def test_a_table_that_fails_delays_work_and_loses_none() -> None:
    class Failing(MemoryStore):
        failures = 2

        async def query_index(
            self, pk1: str, sk1_prefix: str = "", *, first: int = 0
        ) -> list[Item]:
            self.failures -= 1
            if self.failures >= 0:
                raise StoreError("away")
            return await super().query_index(pk1, sk1_prefix, first=first)

    time = asyncio.get_running_loop().time
    desk = Office(Failing(time), Clock(time()))
    await desk.plan(ADA, time())
    work = DueWork(desk.store, time, uncounted, {"cleaning": desk.work})

    with structlog.testing.capture_logs() as logs:
        sweeping = asyncio.create_task(work.run())
        await asyncio.sleep(200)  # virtual
        sweeping.cancel()

    assert [line["event"] for line in logs] == ["due_work.sweep_failed"] * 2
    assert desk.did == [ADA]


async def test_work_of_another_version_is_left_to_it() -> None:
    desk = office()
    await desk.store.put_newer(due_item(ADA, "polishing", NOON, NOON))

    await desk.sweep()

    assert len(await desk.store.query(ADA)) == 1


async def test_work_expires_with_its_call_also_when_it_was_put_off() -> None:
    desk = office(60.0)
    await desk.plan(ADA, NOON, expire_at=int(NOON) + 100)

    await desk.sweep()
    desk.clock.seconds = NOON + 101
    await desk.sweep()

    assert desk.did == [ADA]
