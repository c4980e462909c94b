"""What is asked of the embedded table together: one trip to its thread, in order."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import StoreRefusedError
from agent.ports import Item, Store
from agent.store import sqlite as module
from agent.store.memory import MemoryStore
from agent.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "agent.db")
    yield opened
    await opened.close()


async def test_writes_of_a_moment_are_one_transaction(store: SqliteStore, tmp_path: Path) -> None:
    """A transaction of its own would add a page to the log for each."""
    log = tmp_path / "agent.db-wal"
    before = log.stat().st_size

    await asyncio.gather(*(store.put({"pk": "a", "sk": f"{number:02d}"}) for number in range(50)))

    assert log.stat().st_size - before < 25 * 4096
    assert len(await store.query("a")) == 50


async def test_writes_of_a_moment_are_made_in_their_order(store: SqliteStore) -> None:
    """Each condition sees those before it, and each write has its own result."""
    results = await asyncio.gather(
        *(store.put_newer({"pk": "a", "sk": "1", "sequence": number}) for number in (2, 1, 3)),
        store.merge("a", "1", {"said": True}),
        store.move("a", "1", {"pk": "b", "sk": "1"}),
        store.move("a", "1", {"pk": "b", "sk": "2"}),
    )

    assert results == [True, False, True, None, True, False]
    assert await store.query("a") + await store.query("b") == [{"pk": "b", "sk": "1"}]


async def test_a_write_that_is_refused_fails_none_of_its_moment(store: SqliteStore) -> None:
    """Nothing is done twice, though all but the refused one are done again."""
    await store.put({"pk": "slot", "sk": "1"})

    moved, refused, late, put = await asyncio.gather(
        store.move("slot", "1", {"pk": "booking", "sk": "1"}),
        store.put({"pk": "a", "sk": "\ud800"}),
        store.move("slot", "1", {"pk": "booking", "sk": "2"}),
        store.put({"pk": "a", "sk": "2"}, only_if_absent=True),
        return_exceptions=True,
    )

    assert (moved, late, put) == (True, False, True)
    assert isinstance(refused, StoreRefusedError)
    assert await store.query("booking") == [{"pk": "booking", "sk": "1"}]
    assert await store.query("a") == [{"pk": "a", "sk": "2"}]


async def test_a_locked_file_fails_all_writes_of_a_moment_after_one_wait(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "agent.db", busy_seconds=0.5)
    other = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    writes = [store.put({"pk": "a", "sk": str(number)}) for number in range(9)]
    results = await asyncio.gather(*writes, return_exceptions=True)

    assert ["locked" in str(error) for error in results] == [True] * 9
    other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_a_write_that_is_given_up_stops_no_other(store: SqliteStore) -> None:
    given_up = asyncio.create_task(store.put({"pk": "a", "sk": "1"}))
    other = asyncio.create_task(store.put({"pk": "a", "sk": "2"}))
    await asyncio.sleep(0)
    given_up.cancel()

    assert await other is True
    assert len(await store.query("a")) == 2


@pytest.fixture
def waiting_store(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    """A table in which a write that may wait does so until something else is asked for."""
    monkeypatch.setattr(module, "_APART_SECONDS", 1e6)
    return store


async def waits(store: SqliteStore, sk: str, sequence: int = 1) -> asyncio.Task[bool]:
    """A write that may wait and was asked for."""
    item: Item = {"pk": "a", "sk": sk, "sequence": sequence}
    asked = asyncio.ensure_future(store.put_newer(item, may_wait=True))
    await asyncio.sleep(0)
    return asked


async def test_the_first_write_after_a_pause_waits_for_nothing(waiting_store: SqliteStore) -> None:
    assert await waiting_store.put_newer({"pk": "a", "sk": "1"}, may_wait=True) is True


async def test_writes_that_may_wait_are_made_together_after_a_moment(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.put({"pk": "b", "sk": "1"})
    log = tmp_path / "agent.db-wal"
    before = log.stat().st_size

    written = [await waits(store, f"{number:02d}") for number in range(50)]

    assert await asyncio.gather(*written) == [True] * 50
    assert log.stat().st_size - before < 25 * 4096


@pytest.mark.parametrize("how", ["get", "query", "put", "put_newer", "merge", "move", "delete"])
async def test_whatever_is_asked_for_takes_the_writes_that_wait_along(
    waiting_store: SqliteStore, how: str
) -> None:
    """After it: nobody waits for them."""
    store = waiting_store
    await store.put({"pk": "a", "sk": "1", "sequence": 0})
    first, second, older = [await waits(store, "1", number) for number in (1, 3, 2)]
    asking: dict[str, Awaitable[object]] = {
        "get": store.get("a", "1"),
        "query": store.query("a"),
        "put": store.put({"pk": "a", "sk": "2"}),
        "put_newer": store.put_newer({"pk": "a", "sk": "1", "sequence": 0}),
        "merge": store.merge("a", "2", {}),
        "move": store.move("a", "2", {"pk": "a", "sk": "1"}),
        "delete": store.delete("a", "2"),
    }
    found: Item = {"pk": "a", "sk": "1", "sequence": 0}

    assert not (first.done() or second.done() or older.done())
    result = await asking.pop(how)

    expected = {"get": found, "query": [found], "put": True, "merge": None, "delete": None}
    assert result == expected.get(how, False)
    assert [await first, await second, await older] == [True, True, False]
    assert await store.get("a", "1") == {"pk": "a", "sk": "1", "sequence": 3}
    for left in asking.values():
        left.close()  # type: ignore[attr-defined]


async def test_a_waiting_write_that_is_given_up_is_made_all_the_same(
    waiting_store: SqliteStore,
) -> None:
    await waiting_store.put({"pk": "b", "sk": "1"})
    given_up, other = await waits(waiting_store, "1"), await waits(waiting_store, "2")
    given_up.cancel()

    await waiting_store.put({"pk": "b", "sk": "2"})
    assert (given_up.cancelled(), await other) == (True, True)
    assert len(await waiting_store.query("a")) == 2


async def test_closing_makes_the_writes_that_wait(
    waiting_store: SqliteStore, tmp_path: Path
) -> None:
    """Those of its own tick too."""
    await waiting_store.put({"pk": "b", "sk": "1"})
    waiting, late = await waits(waiting_store, "1"), await waits(waiting_store, "2")
    urgent = asyncio.ensure_future(waiting_store.put({"pk": "a", "sk": "3"}))
    await asyncio.gather(urgent, waiting_store.close())

    assert (await waiting, await late, await urgent) == (True, True, True)
    again = await SqliteStore.open(tmp_path / "agent.db")
    assert len(await again.query("a")) == 3
    await again.close()


async def test_all_that_was_asked_for_together_fails_if_the_table_does_not_answer(
    tmp_path: Path,
) -> None:
    """Each with an error of its own, and what was asked for is made late."""
    stuck = threading.Event()

    def now() -> float:
        stuck.wait()
        return 1_000.0

    store = await SqliteStore.open(tmp_path / "agent.db", now=now, busy_seconds=0.5)
    asked = (store.put({"pk": "a", "sk": "1"}), store.get("a", "1"), store.query("a"))
    errors = await asyncio.gather(*asked, return_exceptions=True)

    assert ["did not answer within" in str(error) for error in errors] == [True] * 3
    assert len({id(error) for error in errors}) == 3
    stuck.set()
    assert await store.query("a") == [{"pk": "a", "sk": "1"}]
    await store.close()


async def test_a_fault_of_ours_is_raised_as_it_is_and_fails_nothing_else(
    tmp_path: Path,
) -> None:
    store = await SqliteStore.open(tmp_path / "agent.db", now=lambda: 1_000.0)
    put, fault, found = await asyncio.gather(
        store.put({"pk": "a", "sk": "1"}),
        store.query("a", 1),  # type: ignore[arg-type]
        store.query("a", "1"),
        return_exceptions=True,
    )

    assert (put, type(fault), found) == (True, TypeError, [{"pk": "a", "sk": "1"}])
    await store.close()


_SKS = st.sampled_from(["1", "2"])
_OPERATIONS = st.one_of(
    st.tuples(st.just("get"), _SKS),
    st.tuples(st.just("query")),
    st.tuples(st.just("put"), _SKS, st.booleans()),
    st.tuples(st.just("put_newer"), _SKS, st.integers(0, 3)),
    st.tuples(st.just("put_newer"), st.just("of the journal"), st.integers(0, 3), st.just(True)),
    st.tuples(st.just("merge"), _SKS, st.sampled_from("xyz")),
    st.tuples(st.just("move"), _SKS, _SKS),
    st.tuples(st.just("delete"), _SKS),
)


def ask(store: Store, operation: tuple[object, ...]) -> Awaitable[object]:
    match operation:
        case "get", str(sk):
            return store.get("a", sk)
        case "put", str(sk), bool(only_if_absent):
            return store.put({"pk": "a", "sk": sk}, only_if_absent=only_if_absent)
        case "put_newer", str(sk), int(sequence):
            return store.put_newer({"pk": "a", "sk": sk, "sequence": sequence})
        case "put_newer", str(pk), int(sequence), True:
            item: Item = {"pk": pk, "sk": "1", "sequence": sequence}
            return store.put_newer(item, may_wait=True)
        case "merge", str(sk), str(name):
            return store.merge("a", sk, {name: 1})
        case "move", str(sk), str(to):
            return store.move("a", sk, {"pk": "a", "sk": to, "moved": True})
        case "delete", str(sk):
            return store.delete("a", sk)
        case _:
            return store.query("a")


@settings(max_examples=50)
@given(st.lists(st.lists(_OPERATIONS, max_size=6), max_size=4))
def test_what_is_asked_for_is_done_in_its_order(
    ticks: list[list[tuple[object, ...]]],
) -> None:
    """Whether it comes together or apart: as one after the other, and so is all that may wait."""

    async def run() -> None:
        with TemporaryDirectory() as folder:
            store, model = await SqliteStore.open(Path(folder) / "agent.db"), MemoryStore()
            asked = []
            for tick in ticks:
                asked += [asyncio.ensure_future(ask(store, operation)) for operation in tick]
                await asyncio.sleep(0)
            closing = asyncio.ensure_future(store.close())
            expected = [await ask(model, operation) for tick in ticks for operation in tick]
            assert await asyncio.gather(*asked) == expected
            await closing

    asyncio.run(run())
