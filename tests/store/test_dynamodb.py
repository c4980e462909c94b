"""What DynamoDB does to a store besides answering: faults, repetitions, and what others wrote."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item, Store
from agent.store.dynamodb_client import DynamoDBTimeouts
from agent.store.dynamodb_table import DynamoDBStore
from tests.dynamodb import REGION
from tests.fakes import Clock
from tests.store import proxy as faults
from tests.store.proxy import SECRET, Exchange, Fault, Proxy

PATIENCE = DynamoDBTimeouts(connect=2.0, read=1.0, operation=20.0)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
async def store(proxy: Proxy, table_name: str, clock: Clock) -> AsyncIterator[DynamoDBStore]:
    """A store that has begun, and reaches its engine through the proxy."""
    opened = await DynamoDBStore.open(table_name, region=REGION, now=clock, timeouts=PATIENCE)
    proxy.operations.clear()
    yield opened
    await opened.close()


PASSING = {
    "throttled": faults.refuse("ProvisionedThroughputExceededException"),
    "throttled by the gateway": faults.refuse("ThrottlingException"),
    "account limit": faults.refuse("RequestLimitExceeded"),
    "internal error": faults.refuse("InternalServerError", 500),
    "unavailable": faults.fail,
    "connection closed": faults.hang_up,
    "answer lost": faults.lose_answer,
    "answer late": faults.keep_answer,
    "answer cut": faults.cut_answer,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_passing_fault_is_not_noticed(store: Store, proxy: Proxy, fault: Fault) -> None:
    item: Item = {"pk": "a", "sk": "one", "sequence": 1}
    proxy.plan("PutItem", fault)
    proxy.plan("GetItem", fault)

    written = await store.put_newer(item)
    read = await store.get("a", "one")

    assert (written, read) == (True, item)
    assert proxy.operations == ["PutItem", "PutItem", "GetItem", "GetItem"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (faults.refuse("ThrottlingException"), "refused: get_item: ThrottlingException"),
        (faults.refuse("AccessDeniedException"), "refused: get_item: AccessDeniedException"),
        (faults.fail, "refused: get_item: 503"),
        (faults.hang_up, "cannot be reached: get_item: ConnectionClosedError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_lasting_fault_is_the_error_of_the_port(
    store: Store, proxy: Proxy, fault: Fault, text: str
) -> None:
    proxy.each = lambda _: fault

    with pytest.raises(StoreError) as caught:
        await store.get("a", "one")

    assert str(caught.value) == f"the table {text}"
    assert SECRET not in str(caught.value)
    assert 1 <= len(proxy.operations) <= 3


async def test_a_store_gives_up_when_its_time_is_over(proxy: Proxy, table_name: str) -> None:
    """Also if keys are never read."""
    hasty = DynamoDBTimeouts(connect=1.0, read=5.0, operation=1.0)
    store = await DynamoDBStore.open(table_name, region=REGION, timeouts=hasty)
    proxy.plan("BatchGetItem", *[faults.read_none] * 100)
    proxy.plan("GetItem", faults.keep_answer)

    for read in (store.get("a", "one"), store.get_many([("a", "one")])):
        with pytest.raises(StoreError, match=r"^the table did not answer within 1 s$"):
            await read
    await store.close()


@pytest.mark.parametrize("lose", [faults.lose_answer, faults.keep_answer])
async def test_a_conditional_put_knows_its_own_item(
    store: Store, proxy: Proxy, lose: Fault
) -> None:
    """A repeated write whose first answer was lost finds its own item and reports success."""
    proxy.plan("PutItem", lose)

    first = await store.put({"pk": "a", "sk": "one", "by": 1}, only_if_absent=True)
    second = await store.put({"pk": "a", "sk": "one", "by": 2}, only_if_absent=True)

    assert (first, second) == (True, False)
    assert await store.get("a", "one") == {"pk": "a", "sk": "one", "by": 1}
    assert await store.query("a") == [{"pk": "a", "sk": "one", "by": 1}]
    assert proxy.operations.count("PutItem") == 3


async def test_a_conditional_put_knows_its_own_item_after_a_merge(
    store: Store, proxy: Proxy
) -> None:
    """Others may have added to the item before the repetition."""

    async def merge_and_lose(exchange: Exchange) -> object:
        await exchange.forward()
        await store.merge("a", "one", {"note": "merged"})
        return exchange.abort()

    proxy.plan("PutItem", merge_and_lose)  # type: ignore[arg-type] # the answer is never read

    assert await store.put({"pk": "a", "sk": "one"}, only_if_absent=True) is True
    assert await store.get("a", "one") == {"pk": "a", "sk": "one", "note": "merged"}


async def test_a_repeated_move_counts_once(store: Store, proxy: Proxy) -> None:
    """The second attempt finds nothing to take, and knows that the first one took it."""
    await store.put({"pk": "slots", "sk": "monday"})
    proxy.plan("TransactWriteItems", faults.lose_answer)

    moved = await store.move("slots", "monday", {"pk": "+1", "sk": "booking"})

    assert moved is True
    assert await store.query("slots") == []
    assert await store.query("+1") == [{"pk": "+1", "sk": "booking"}]


@pytest.mark.parametrize(
    "reasons",
    [
        ("TransactionConflict", "None"),
        ("None", "ThrottlingError"),
        ("ProvisionedThroughputExceeded", "TransactionConflict"),
    ],
)
async def test_a_move_is_tried_again_after_a_conflict(
    store: Store, proxy: Proxy, reasons: tuple[str, ...]
) -> None:
    await store.put({"pk": "slots", "sk": "monday"})
    proxy.plan("TransactWriteItems", *[faults.cancel(*reasons)] * 4)

    moved = await store.move("slots", "monday", {"pk": "+1", "sk": "booking"})

    assert moved is True
    assert proxy.operations.count("TransactWriteItems") == 5


async def test_a_move_that_can_never_be_made_is_refused_at_once(store: Store, proxy: Proxy) -> None:
    proxy.plan("TransactWriteItems", faults.cancel("None", "ValidationError"))

    with pytest.raises(StoreError, match="TransactionCanceledException"):
        await store.move("slots", "monday", {"pk": "+1", "sk": "booking"})

    assert proxy.operations == ["TransactWriteItems"]


async def test_a_write_that_meets_a_transaction_is_made_after_it(
    store: Store, proxy: Proxy
) -> None:
    proxy.plan("PutItem", *[faults.refuse("TransactionConflictException")] * 4)
    proxy.plan("UpdateItem", *[faults.refuse("TransactionConflictException")] * 4)

    await store.put({"pk": "a", "sk": "one"})
    await store.merge("a", "one", {"note": "merged"})

    assert await store.get("a", "one") == {"pk": "a", "sk": "one", "note": "merged"}


async def test_keys_left_unread_are_read_again(store: Store, proxy: Proxy) -> None:
    for number in range(4):
        await store.put({"pk": "a", "sk": str(number)})
    proxy.plan("BatchGetItem", *[faults.leave_unread] * 5)

    found = await store.get_many([("a", str(number)) for number in (3, 1, 9, 0, 2)])

    assert [item and item["sk"] for item in found] == ["3", "1", None, "0", "2"]
    assert proxy.operations.count("BatchGetItem") == 5


async def test_a_partition_of_many_pages_is_read_to_its_end(store: Store, proxy: Proxy) -> None:
    items: list[Item] = [
        {"pk": "p", "sk": f"{number:02}", "pk1": "i", "sk1": f"{number:02}", "text": "x" * 300_000}
        for number in range(8)
    ]
    for item in items:
        await store.put(item)
    proxy.operations.clear()

    assert await store.query("p") == items
    assert await store.query_index("i") == items
    assert proxy.operations.count("Query") >= 6


def _lose_some(exchange: Exchange) -> Fault | None:
    """Some requests are lost on the way, some answers on the way back; the same ones each time."""
    if exchange.operation not in {"PutItem", "TransactWriteItems"}:
        return None
    return chance.choice([None, None, None, faults.lose_answer, faults.hang_up])


chance = random.Random(7)  # noqa: S311 no secret


@pytest.mark.parametrize("how", ["put", "move"])
async def test_of_many_writes_on_a_bad_line_exactly_one_wins(
    store: Store, proxy: Proxy, how: str
) -> None:
    await store.put({"pk": "slots", "sk": "monday"})
    proxy.each = _lose_some

    async def write(by: int) -> bool | None:
        """None if the outcome is not known."""
        try:
            if how == "put":
                return await store.put({"pk": "a", "sk": "one", "by": by}, only_if_absent=True)
            return await store.move("slots", "monday", {"pk": "a", "sk": str(by), "by": by})
        except StoreError:
            return None

    outcomes = await asyncio.gather(*map(write, range(20)))

    proxy.each = lambda _: None
    [there] = [item["by"] for item in await store.query("a")]
    winners = [by for by, outcome in enumerate(outcomes) if outcome is True]
    unsure = [by for by, outcome in enumerate(outcomes) if outcome is None]
    assert winners == [there] or (winners == [] and there in unsure)


async def test_what_a_predecessor_wrote_can_be_read(
    store: Store, sdk: Any, table_name: str
) -> None:
    """Types that JSON does not have become JSON's; numbers keep their value."""
    await sdk.put_item(
        TableName=table_name,
        Item={
            "pk": {"S": "a"},
            "sk": {"S": "one"},
            "words": {"SS": ["one"]},
            "numbers": {"NS": ["1.50"]},
            "sound": {"B": b"\x00\xff"},
            "sounds": {"BS": [b"\x01"]},
            "price": {"N": "12.50"},
            "total": {"N": "1E+2"},
            "large": {"N": "12345678901234567890123456789012345678"},
            "map": {"M": {"list": {"L": [{"NULL": True}, {"BOOL": False}, {"B": b"a"}]}}},
            "expireAt": {"S": "never"},
        },
    )

    assert await store.get("a", "one") == {
        "pk": "a",
        "sk": "one",
        "words": ["one"],
        "numbers": [1.5],
        "sound": "AP8=",
        "sounds": ["AQ=="],
        "price": 12.5,
        "total": 100,
        "large": 12345678901234567890123456789012345678,
        "map": {"list": [None, False, "YQ=="]},
        "expireAt": "never",
    }


async def test_a_store_asks_for_little_and_reads_what_was_just_written(
    proxy: Proxy, table_name: str
) -> None:
    """No operation beyond the permissions of the service; only the index may lag."""
    asked: list[tuple[str, bool]] = []

    def note(exchange: Exchange) -> Fault | None:
        body = exchange.body
        of_table = body.get("RequestItems", {}).get(table_name, body)
        asked.append((exchange.operation, of_table.get("ConsistentRead", False)))
        return None

    proxy.each = note
    store = await DynamoDBStore.open(table_name, region=REGION)
    await store.put({"pk": "a", "sk": "one"})
    await store.put_newer({"pk": "a", "sk": "one", "sequence": 1})
    await store.merge("a", "one", {"note": "merged"})
    await store.get("a", "one")
    await store.get_many([("a", "one")])
    await store.query("a")
    await store.query_index("a")
    await store.move("a", "one", {"pk": "a", "sk": "two"})
    await store.close()

    assert asked == [
        ("GetItem", True), ("Query", False),
        ("PutItem", False), ("PutItem", False), ("UpdateItem", False),
        ("GetItem", True), ("BatchGetItem", True), ("Query", True), ("Query", False),
        ("TransactWriteItems", False),
    ]  # fmt: skip


async def test_attributes_with_reserved_names_are_merged(store: Store) -> None:
    await store.merge("a", "one", {"name": "Ada", "status": "new", "data.x": 1, "size of": None})
    await store.merge("a", "two", {})

    assert await store.query("a") == [
        {"pk": "a", "sk": "one", "name": "Ada", "status": "new", "data.x": 1, "size of": None},
        {"pk": "a", "sk": "two"},
    ]


async def test_item_that_becomes_too_large_is_refused_without_a_word_of_it(store: Store) -> None:
    await store.merge("a", "one", {"first": SECRET * 15_000})

    with pytest.raises(StoreRefusedError) as caught:
        await store.merge("a", "one", {"second": SECRET * 15_000})

    assert str(caught.value) == "the table refused: update_item: ValidationException"


async def test_a_closed_store_refuses(store: Store) -> None:
    await store.close()
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        await store.get("a", "one")
