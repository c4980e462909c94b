"""The full-text index of the embedded table: exact at any time, and it keeps nothing deleted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.ports import Item
from agent.store.call_state.fact_words import fact_words, folded
from agent.store.sqlite import SqliteStore
from agent.store.sqlite_file import open_file, scrub_file
from agent.store.text_index import TextIndex
from tests.fakes import Clock

PLANTED = "ξ7q ωrchard lane"
"""Begins with a letter that no other text has, so that its pieces share no bytes with others."""


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "agent.db", now=clock)
    yield opened
    await opened.close()


def fact(pk: str, number: int, text: object, expire_at: float = 1e9) -> Item:
    said = {"kind": "callerSaid", "text": text}
    return {"pk": pk, "sk": f"chat::{number}", "fact": said, "expireAt": expire_at}


def rows(folder: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "agent.db")) as connection:
        return connection.execute(statement).fetchall()


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def time_passes(store: SqliteStore, clock: Clock, seconds: int) -> None:
    """While something is asked of the table every second."""
    for _ in range(seconds):
        clock.seconds += 1
        await store.get("nothing", "1")
    await store.query("nothing")  # after the work that follows an answer


KEYS = st.tuples(st.sampled_from(["CA1", "CA2"]), st.sampled_from([1, 2]))
TEXTS = st.text(alphabet="aAßẞ\0é'\"*%_ 披🍕{", max_size=6)
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, TEXTS, st.sampled_from([5.0, 1e9])),
    st.tuples(st.just("delete"), KEYS, st.just(""), st.just(0.0)),
    st.tuples(st.just("move"), KEYS, TEXTS, st.just(0.0)),
    st.tuples(st.just("wait"), KEYS, st.just(""), st.sampled_from([1.0, 300.0])),
    st.tuples(st.just("search"), KEYS, TEXTS, st.just(0.0)),
    st.tuples(st.just("scrub"), KEYS, st.just(""), st.just(0.0)),
)


@settings(max_examples=60)
@given(steps=st.lists(STEPS, max_size=12), asked=TEXTS.filter(bool))
def test_a_text_is_found_in_all_calls_that_have_it_and_in_no_other(
    steps: list[tuple[str, tuple[str, int], str, float]], asked: str
) -> None:
    """Whatever was written, moved, deleted or has expired before, by either of two processes."""

    async def run(folder: Path) -> None:
        clock = Clock(1_000.0)
        stores = [await SqliteStore.open(folder / "agent.db", now=clock) for _ in range(2)]
        for turn, (step, (pk, number), text, seconds) in enumerate(steps):
            store, item = stores[turn % 2], fact(pk, number, text, clock() + seconds)
            if step == "put":
                await store.put(item)
            elif step == "delete":
                await store.delete(pk, f"chat::{number}")
            elif step == "move":
                await store.move(pk, f"chat::{number}", {**item, "sk": "chat::3"})
            elif step == "wait":
                clock.seconds += seconds
            elif step == "search":
                await store.find_text(text)
            else:
                await store.scrub()
        known = {pk: fact_words(await stores[0].query(pk, "chat::")) for pk in ("CA1", "CA2")}

        found = [await store.find_text(asked) for store in stores]

        assert found == [{pk for pk, words in known.items() if folded(asked) in words}] * 2
        for store in stores:
            await store.close()

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


@pytest.mark.parametrize(
    "text",
    ['say "hi"', '"', "a OR b", "NEAR(a b, 2)", "a*", "^a", "words:a", "NOT", "-1", "100%", "_",
     "Grüner Weg", "STRASSE", "披萨", "大披萨两份", "🍕🍕", "a\0b", "\0",
     "' OR 1=1 --", "pizza " * 2_000],
)  # fmt: skip
async def test_whatever_is_asked_for_is_a_text_and_no_syntax(store: SqliteStore, text: str) -> None:
    await store.put(fact("CA1", 1, f"before {text} after"))
    await store.put(fact("CA2", 1, "otherwise"))

    assert await store.find_text(text) == {"CA1"}
    assert await store.find_text(f"{text}x") == frozenset()


def test_a_call_that_has_changed_since_it_was_indexed_is_found(tmp_path: Path) -> None:
    """As calls change while a search indexes them."""
    with closing(open_file(tmp_path / "agent.db", 1.0, make=True)) as connection:
        index = TextIndex(connection, lambda: 1_000.0)
        add = "INSERT OR REPLACE INTO items (pk, sk, item) VALUES (?, ?, ?)"
        connection.execute(add, ("CA1", "chat::1", '{"fact": {"text": "pizza"}}'))
        is_unfinished = index.index(index.last_changed())
        connection.execute(add, ("CA1", "chat::2", '{"fact": {"text": "olives"}}'))

        found = [index.find(text) for text in ("pizza", "olives", "salad")]

    assert not is_unfinished
    assert found == [{"CA1"}, {"CA1"}, frozenset()]


async def test_calls_are_indexed_after_some_minutes_without_a_search(
    store: SqliteStore, clock: Clock, tmp_path: Path
) -> None:
    """A call is not indexed again with each fact."""
    await time_passes(store, clock, 1)
    for number in range(9):
        await store.put(fact(f"CA{number}", 1, "pizza"))
        await store.put(fact(f"CA{number}", 2, "olives"))
    await time_passes(store, clock, 100)
    early = rows(tmp_path, "SELECT pk FROM call_text")

    await time_passes(store, clock, 150)

    late = rows(tmp_path, "SELECT pk FROM call_text ORDER BY pk")
    assert (early, late) == ([], [(f"CA{number}",) for number in range(9)])
    assert rows(tmp_path, "SELECT pk FROM changed_call") == []


@pytest.mark.parametrize("how", ["replaced", "deleted", "expired"])
async def test_words_of_a_removed_fact_leave_the_index_with_it(
    store: SqliteStore, clock: Clock, tmp_path: Path, how: str
) -> None:
    """In the same transaction: also if nothing is searched or asked for afterwards."""
    await store.put(fact("CA1", 1, PLANTED, clock() + 10))
    assert await store.find_text(PLANTED) == {"CA1"}
    before = rows(tmp_path, "SELECT pk FROM call_text")

    if how == "replaced":
        await store.put(fact("CA1", 1, "[name]"))
    elif how == "deleted":
        await store.delete("CA1", "chat::1")
    else:
        clock.seconds += 11
        await store.put({"pk": "other", "sk": "1"})

    assert (before, rows(tmp_path, "SELECT pk FROM call_text")) == ([("CA1",)], [])


@pytest.mark.parametrize("is_scrubbed", [True, False])
async def test_of_a_deleted_fact_no_word_and_no_piece_of_a_word_stays_in_the_file(
    store: SqliteStore, clock: Clock, tmp_path: Path, is_scrubbed: bool
) -> None:
    """By a scrub at once, within hours otherwise; the pieces of other calls stay."""
    for number in range(12):
        await store.put(fact(f"CA{number}", 1, "garlic knots"))
        await store.find_text("garlic")
    await store.put(fact("CA99", 1, PLANTED))
    await store.find_text(PLANTED)
    pieces = "SELECT sum(instr(block, CAST('ξ7q' AS BLOB)) > 0) FROM call_piece_data"
    before = rows(tmp_path, pieces)

    await store.delete("CA99", "chat::1")
    if is_scrubbed:
        await store.scrub()
    else:
        await time_passes(store, clock, 2)
        clock.seconds += 3_600
        await time_passes(store, clock, 20)

    assert before == [(1,)]
    assert rows(tmp_path, pieces) == [(0,)]
    assert "ξ7q".encode() not in bytes_in(tmp_path) or not is_scrubbed
    assert await store.find_text("garlic KNOTS") == {f"CA{number}" for number in range(12)}


async def test_a_scrub_leaves_no_name_of_a_call_without_facts(
    store: SqliteStore, tmp_path: Path
) -> None:
    await store.put(fact(f"{PLANTED}-call", 1, "pizza"))
    await store.put(fact("CA1", 1, "pizza"))
    await store.delete(f"{PLANTED}-call", "chat::1")

    await store.scrub()

    assert PLANTED.encode() not in bytes_in(tmp_path)
    assert rows(tmp_path, "SELECT pk FROM changed_call") == [("CA1",)]


@pytest.mark.parametrize("makes", [True, False])
async def test_a_file_without_an_index_gets_one_when_it_is_opened(
    tmp_path: Path, clock: Clock, makes: bool
) -> None:
    """Once, also by a command that would make no file."""
    path = tmp_path / "agent.db"
    with closing(open_file(path, 1.0, make=True)) as connection:
        for kind, name in (
            ("TRIGGER", "fact_insert"), ("TRIGGER", "fact_delete"), ("TABLE", "call_text"),
            ("TABLE", "call_piece"), ("TABLE", "changed_call"),
        ):  # fmt: skip
            connection.execute(f"DROP {kind} {name}")
        for number in range(6):
            item = (
                "CA1",
                f"chat::{number}",
                '{"fact": {"text": "pizza X"}}'.replace("X", str(number)),
            )
            connection.execute("INSERT INTO items (pk, sk, item) VALUES (?, ?, ?)", item)

    store = await SqliteStore.open(path, now=clock, make=makes)
    found = [await store.find_text(text) for text in ("Pizza 5", "pizza 6")]
    second = await SqliteStore.open(path, now=clock, make=makes)

    assert found == [{"CA1"}, frozenset()]
    assert rows(tmp_path, "SELECT pk FROM changed_call") == []
    await second.close()
    await store.close()


async def test_indexing_that_fails_delays_itself_and_nothing_else(
    store: SqliteStore, clock: Clock, tmp_path: Path
) -> None:
    await time_passes(store, clock, 1)
    await store.put(fact("CA1", 1, "pizza"))
    with closing(sqlite3.connect(tmp_path / "agent.db", isolation_level=None)) as other:
        other.execute("ALTER TABLE call_text RENAME TO elsewhere")
        with capture_logs() as logs:
            await time_passes(store, clock, 200)
            read = await store.get("CA1", "chat::1")
        other.execute("ALTER TABLE elsewhere RENAME TO call_text")
    await time_passes(store, clock, 60)

    assert read == fact("CA1", 1, "pizza")
    assert [(each["event"], each["error"]) for each in logs] == [
        ("store.indexing_failed", "OperationalError")
    ]
    assert rows(tmp_path, "SELECT pk FROM call_text") == [("CA1",)]


def test_a_file_that_was_scrubbed_keeps_what_is_indexed(tmp_path: Path) -> None:
    """`VACUUM` gives no row another number."""
    path = tmp_path / "agent.db"

    async def search(text: str) -> frozenset[str]:
        store = await SqliteStore.open(path, now=lambda: 1_000.0)
        if text == "pizza":
            await store.put(fact("CA0", 1, "first"))
            await store.put(fact("CA1", 1, "pizza"))
        found = await store.find_text(text)
        if text == "pizza":
            await store.delete("CA0", "chat::1")
        await store.close()
        return found

    before = asyncio.run(search("pizza"))
    scrub_file(path, 1.0)
    after = asyncio.run(search("izza"))

    assert [before, after] == [{"CA1"}] * 2
