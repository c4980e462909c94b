"""The records of the idempotency store, and its answers to repeated requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from agent.call.messages import SideEffect
from agent.errors import StoreError, ToolError
from agent.ports import Item
from agent.store.memory import MemoryStore
from agent.tools import TOOLS
from agent.tools.idempotency import PERFORM_SECONDS, IdempotencyStore
from tests.tools.failing_processes import (
    CALL,
    DEATHS,
    EPOCH,
    FAILURES,
    REFUSED,
    Fate,
    Mortal,
    Told,
    World,
    virtual_clock,
)
from tests.virtual import virtually

CLAIM, SEND, SETTLE = 0, 1, 2
"""The touches of a process without faults."""
BOTH_KINDS = pytest.mark.parametrize("is_repeatable", [True, False])
EVERY_FAILURE = pytest.mark.parametrize("fate", FAILURES)


async def both(world: World, first: Mortal, *, after: float = 0.0) -> tuple[Told, Told]:
    """The answers to a process with these fates, and to a sound one that asks meanwhile."""
    async with asyncio.TaskGroup() as group:
        one = group.create_task(world.asker("one", first).ask())
        await asyncio.sleep(after)
        two = group.create_task(world.ask("two"))
    return one.result(), two.result()


def test_a_key_depends_on_call_effect_and_content_alone() -> None:
    one = IdempotencyStore(MemoryStore(), "CA1", lambda: 0.0)
    other = IdempotencyStore(MemoryStore(), "CA2", lambda: 0.0)
    content = {"a": 1, "b": 2}

    keys = {
        one.key("order", content), one.key("order", {"a": 1}), one.key("sms", content),
        other.key("order", content),
    }  # fmt: skip

    assert one.key("order", content) == one.key("order", {"b": 2, "a": 1})
    assert len(keys) == 4


@virtually
async def test_an_effect_is_written_down_before_and_after() -> None:
    store = MemoryStore()
    idempotency = IdempotencyStore(store, CALL, virtual_clock)
    before = []

    async def send(plan: dict[str, object]) -> dict[str, object]:
        before.extend(await store.query(CALL))
        return {"sid": "SM1"}

    result = await idempotency.once("sms", ["hello"], {"text": "hello"}, send, repeatable=False)

    (started,), (done,) = before, await store.query(CALL)
    assert result == {"sid": "SM1"}
    assert started == {
        "pk": CALL,
        "sk": f"effect::{idempotency.key('sms', ['hello'])}",
        "effect": "sms",
        "state": "started",
        "attempt": 1,
        "owner": started["owner"],
        "startedAt": EPOCH,
        "plan": {"text": "hello"},
        "result": {},
        "refusal": "",
        "sequence": 3,
        "expireAt": int(EPOCH) + 24 * 60 * 60,
    }
    assert done == {**started, "state": "done", "result": {"sid": "SM1"}, "sequence": 1_000_000}


@BOTH_KINDS
@virtually
async def test_what_was_done_is_answered_and_not_done_again(is_repeatable: bool) -> None:
    world = World(is_repeatable=is_repeatable)
    asker = world.asker("one", Mortal())

    told = [await asker.ask(), await asker.ask(), await world.ask("two")]

    assert told == [told[0]] * 3
    assert told[0].kind == "done"
    assert await world.happened() == 1


@pytest.mark.parametrize(
    ("pause", "fate", "kind"),
    [(2.5, Fate.LIVES, "done"), (1.0, Fate.REFUSES, "refused"), (1000.0, Fate.LIVES, "unknown")],
)
@virtually
async def test_who_asks_while_it_is_performed_gets_its_outcome(
    pause: float, fate: Fate, kind: str
) -> None:
    world = World(is_repeatable=False)

    first, other = await both(world, Mortal({SEND: fate}, pauses=[0.0, pause, 0.0]))

    assert first == other
    assert first.kind == kind
    assert await world.happened() == (kind == "done")
    assert asyncio.get_running_loop().time() <= PERFORM_SECONDS + 0.5


@BOTH_KINDS
@virtually
async def test_what_was_refused_may_be_tried_again(is_repeatable: bool) -> None:
    world = World(is_repeatable=is_repeatable)

    refused = await world.ask("one", {SEND: Fate.REFUSES})
    entry = await world.entry()
    again = await both(world, Mortal())

    assert refused == Told("refused")
    assert (entry["state"], entry["refusal"]) == ("refused", REFUSED)
    assert again[0] == again[1]
    assert again[0].kind == "done"
    assert (await world.entry())["attempt"] == 2
    assert (await world.entry())["plan"] == {"by": "one"}
    assert await world.happened() == 1


@pytest.mark.parametrize(
    ("touch", "fate", "sent", "kind", "sent_after"),
    [
        (CLAIM, Fate.DIES_BEFORE, 0, "done", 1),
        (CLAIM, Fate.DIES_AFTER, 0, "unknown", 0),
        (SEND, Fate.DIES_BEFORE, 0, "unknown", 0),
        (SEND, Fate.DIES_AFTER, 1, "unknown", 1),
        (SETTLE, Fate.DIES_BEFORE, 1, "unknown", 1),
        (SETTLE, Fate.DIES_AFTER, 1, "done", 1),
    ],
)
@pytest.mark.parametrize("skew", [0.0, -3600.0], ids=["", "the clock of the next is behind"])
@virtually
async def test_what_cannot_be_repeated_ends_unknown_when_its_process_dies(
    touch: int, fate: Fate, sent: int, kind: str, sent_after: int, skew: float
) -> None:
    world = World(is_repeatable=False)

    died = await world.ask("one", {touch: fate})
    before = await world.happened()
    told = [await world.asker("two", Mortal(), skew).ask(), await world.ask("three")]

    assert died == Told("died")
    assert before == sent
    assert [each.kind for each in told] == [kind, kind]
    assert (await world.entry())["state"] == kind
    assert await world.happened() == sent_after
    assert asyncio.get_running_loop().time() <= PERFORM_SECONDS + 0.5


@pytest.mark.parametrize("touch", [CLAIM, SEND, SETTLE])
@pytest.mark.parametrize("fate", DEATHS)
@virtually
async def test_what_can_be_repeated_is_completed_at_once_when_its_process_dies(
    touch: int, fate: Fate
) -> None:
    world = World(is_repeatable=True)

    await world.ask("one", {touch: fate})
    told = await world.ask("two")

    is_begun = (touch, fate) != (CLAIM, Fate.DIES_BEFORE)
    assert told == Told("done", {"order": "one" if is_begun else "two"})
    assert await world.happened() == 1
    assert asyncio.get_running_loop().time() == 0.0


@BOTH_KINDS
@EVERY_FAILURE
@virtually
async def test_without_the_table_nothing_is_begun_and_the_next_try_succeeds(
    fate: Fate, is_repeatable: bool
) -> None:
    world = World(is_repeatable=is_repeatable)

    async with asyncio.TaskGroup() as late:
        asker = world.asker("one", Mortal({CLAIM: fate}, late=late))
        away, happened, soon = await asker.ask(), await world.happened(), await asker.ask()
    later = await asker.ask()

    assert (away, happened) == (Told("not begun"), 0)
    assert soon.kind == "done"
    assert later == soon
    assert await world.happened() == 1


@BOTH_KINDS
@EVERY_FAILURE
@virtually
async def test_a_result_is_told_though_it_cannot_be_written(
    fate: Fate, is_repeatable: bool
) -> None:
    world = World(is_repeatable=is_repeatable)

    async with asyncio.TaskGroup() as late:
        asker = world.asker("one", Mortal({SETTLE: fate}, late=late))
        with capture_logs() as logs:
            told = await asker.ask()
        again = await asker.ask()
    other = await world.ask("two")

    assert told.kind == "done"
    assert again == other == told
    assert (await world.entry())["state"] == "done"
    assert await world.happened() == 1
    assert [(each["event"], each["state"]) for each in logs] == [
        ("idempotency.write_failed", "done")
    ]


@virtually
async def test_a_result_does_not_wait_long_for_the_table() -> None:
    world = World(is_repeatable=False)
    asker = world.asker("one", Mortal(pauses=[0.0, 0.0, 30.0, 0.0]))

    told = await asker.ask()
    waited = asyncio.get_running_loop().time()
    states = [(await world.entry())["state"], await asker.ask(), (await world.entry())["state"]]

    assert told.kind == "done"
    assert waited <= 1.0
    assert states == ["started", told, "done"]


@EVERY_FAILURE
@virtually
async def test_a_refusal_that_cannot_be_written_may_be_tried_again(fate: Fate) -> None:
    world = World(is_repeatable=False)

    async with asyncio.TaskGroup() as late:
        asker = world.asker("one", Mortal({SEND: Fate.REFUSES, SETTLE: fate}, late=late))
        told = [await asker.ask(), await asker.ask()]

    assert [each.kind for each in told] == ["refused", "done"]
    assert await world.happened() == 1


@pytest.mark.parametrize(
    ("is_repeatable", "kinds"), [(True, ["in doubt", "done"]), (False, ["unknown", "unknown"])]
)
@EVERY_FAILURE
@virtually
async def test_an_effect_that_broke_off_is_not_called_a_failure(
    fate: Fate, is_repeatable: bool, kinds: list[str]
) -> None:
    world = World(is_repeatable=is_repeatable)

    async with asyncio.TaskGroup() as late:
        asker = world.asker("one", Mortal({SEND: fate}, late=late))
        with capture_logs() as logs:
            told = [await asker.ask(), await asker.ask()]
        waited = asyncio.get_running_loop().time()

    assert [each.kind for each in told] == kinds
    assert waited == 0.0
    assert (await world.entry())["state"] == kinds[-1]
    assert await world.happened() <= 1
    assert logs[0]["event"] == "idempotency.outcome_unknown"


@pytest.mark.parametrize(("fate", "kind"), [(Fate.LIVES, "done"), (Fate.REFUSES, "refused")])
@virtually
async def test_a_late_outcome_wins_over_unknown(fate: Fate, kind: str) -> None:
    world = World(is_repeatable=False)
    slow = world.asker("one", Mortal({SEND: fate}, pauses=[0.0, 2.0, 0.0]))
    hasty = world.asker("two", Mortal(), skew=60.0)

    async with asyncio.TaskGroup() as group:
        late = group.create_task(slow.ask())
        await asyncio.sleep(0.1)
        early = await hasty.ask()
        states = [(await world.entry())["state"]]
    states.append((await world.entry())["state"])
    again = await hasty.ask()

    assert early == Told("unknown")
    assert states == ["unknown", kind]
    assert late.result().kind == kind
    assert again == late.result() if kind == "done" else again.kind == "done"
    assert await world.happened() == 1


@virtually
async def test_who_is_refused_what_a_twin_has_done_is_told_that_it_was_done() -> None:
    world = World(is_repeatable=True)
    refused = Mortal({SEND: Fate.REFUSES}, pauses=[0.0, 1.0, 0.0])

    first, twin = await both(world, refused, after=0.1)

    assert twin.kind == "done"
    assert first == twin == await world.ask("three")
    assert await world.happened() == 1


@virtually
async def test_of_two_results_the_first_stands_for_both() -> None:
    store = MemoryStore()
    one, two = (IdempotencyStore(store, CALL, virtual_clock) for _ in range(2))

    async def slow(plan: dict[str, object]) -> dict[str, object]:
        await asyncio.sleep(1)
        return {"message": "booked"}

    async def quick(plan: dict[str, object]) -> dict[str, object]:
        return {"message": "booked already"}

    async with asyncio.TaskGroup() as group:
        first = group.create_task(one.once("tour", 1, {}, slow, repeatable=True))
        await asyncio.sleep(0.1)
        second = await two.once("tour", 1, {}, quick, repeatable=True)

    assert first.result() == second == {"message": "booked already"}
    assert await one.once("tour", 1, {}, slow, repeatable=True) == second


@BOTH_KINDS
@virtually
async def test_a_write_that_a_client_repeats_is_known_by_its_owner(is_repeatable: bool) -> None:
    class Repeating(MemoryStore):
        async def put_newer(
            self,
            item: dict[str, object],
            *,
            may_wait: bool = False,
            beside: Sequence[dict[str, object]] = (),
        ) -> bool:
            await super().put_newer(item, may_wait=may_wait, beside=beside)
            return await super().put_newer(item, may_wait=may_wait, beside=beside)

    world = World(is_repeatable=is_repeatable)
    world.store = Repeating()

    told = await world.ask("one")

    assert told.kind == "done"
    assert await world.happened() == 1


@pytest.mark.parametrize(
    ("pauses", "kind"),
    [([1.0, *[0.0] * 9], "done"), ([0.0, 1.0, 0.0], "unknown")],
    ids=["claim", "sending"],
)
@virtually
async def test_a_cancelled_claim_has_done_nothing_and_a_cancelled_sending_is_not_repeated(
    pauses: list[float], kind: str
) -> None:
    world = World(is_repeatable=False)
    asker = world.asker("one", Mortal(pauses=pauses))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await asker.ask()
    began = (await world.entry())["state"]
    told = [await asker.ask(), await world.ask("two")]

    assert began == "started"
    assert [each.kind for each in told] == [kind, kind]
    assert await world.happened() == 1


class _Forgetful(MemoryStore):
    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        return False


class _Restless(MemoryStore):
    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        await self.put({**item, "state": "refused", "owner": "another", "sequence": 0})
        return False


@pytest.mark.parametrize("store", [_Forgetful(), _Restless()])
async def test_an_entry_that_is_gone_or_that_others_keep_changing_is_not_taken_for_a_claim(
    store: MemoryStore,
) -> None:
    async def perform(plan: dict[str, object]) -> dict[str, object]:
        raise AssertionError("it was never claimed")

    with pytest.raises(ToolError, match="Nothing was done now") as caught:
        await IdempotencyStore(store, CALL, lambda: 0.0).once("e", 1, {}, perform, repeatable=True)

    assert isinstance(caught.value.__cause__, StoreError)


def test_no_tool_with_effects_is_stopped_before_the_idempotency_store_can_tell() -> None:
    effective = [tool for tool in TOOLS if tool.spec.side_effect is not SideEffect.NONE]

    assert [tool.spec.name for tool in effective if tool.timeout <= PERFORM_SECONDS + 1.0] == []
