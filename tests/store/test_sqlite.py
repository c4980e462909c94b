"""What only the embedded table promises: files, processes, limits."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item
from agent.store.sqlite import SqliteStore
from agent.store.sqlite_file import file_error
from tests.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "agent.db", now=clock)
    yield opened
    await opened.close()


def rights(folder: Path) -> dict[str, int]:
    """Of each file."""
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


async def test_file_and_folder_are_made_for_this_user_alone(tmp_path: Path) -> None:
    """Items outlive the store."""
    path = tmp_path / "deep" / ".agent" / "agent.db"
    opened = await SqliteStore.open(path)
    await opened.put({"pk": "a", "sk": "one"})
    files, folders = rights(path.parent), rights(tmp_path) | rights(tmp_path / "deep")
    await opened.close()
    again = await SqliteStore.open(path)
    item = await again.get("a", "one")
    await again.close()

    assert item == {"pk": "a", "sk": "one"}
    assert files == {"agent.db": 0o600, "agent.db-wal": 0o600, "agent.db-shm": 0o600}
    assert folders == {"deep": 0o700, ".agent": 0o700}


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o666, 0o600), (0o600, 0o600)])
async def test_file_that_others_may_read_is_tightened(
    tmp_path: Path, before: int, after: int
) -> None:
    path = tmp_path / "agent.db"
    other = await SqliteStore.open(path)
    await other.put({"pk": "a", "sk": "one"})
    for name in rights(tmp_path):
        (tmp_path / name).chmod(before)
    opened = await SqliteStore.open(path)
    found = set(rights(tmp_path).values())
    item = await opened.get("a", "one")
    await opened.close()
    await other.close()

    assert (found, item) == ({after}, {"pk": "a", "sk": "one"})


async def test_any_write_purges_what_has_expired(
    store: SqliteStore, clock: Clock, tmp_path: Path
) -> None:
    """The file is in WAL mode."""
    await store.put({"pk": "a", "sk": "one", "expireAt": 1_010.5})
    await store.put({"pk": "a", "sk": "two", "expireAt": "not a time"})
    clock.seconds = 1_011.0

    await store.put({"pk": "b", "sk": "three"})

    connection = sqlite3.connect(tmp_path / "agent.db")
    rows = connection.execute("SELECT pk, sk FROM items ORDER BY pk, sk").fetchall()
    mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert (rows, mode) == ([("a", "two"), ("b", "three")], ("wal",))


_RACER = """
import asyncio, sys
from pathlib import Path
from agent.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), busy_seconds=30)
    me = sys.argv[2]
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(60):
        if await store.put({"pk": "put", "sk": str(number), "by": me}, only_if_absent=True):
            print("put", number)
        if await store.move("slot", str(number), {"pk": "booking", "sk": f"{number}::{me}"}):
            print("move", number)
        await store.merge("merge", str(number), {me: True})
    await store.close()

asyncio.run(main())
"""


async def _racer(path: Path, name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _RACER, str(path), name,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


async def test_of_two_processes_exactly_one_wins_each_race(
    store: SqliteStore, tmp_path: Path
) -> None:
    """Conditional puts and moves of two processes on one file: one winner each, no merge lost."""
    for number in range(60):
        await store.put({"pk": "slot", "sk": str(number)})
    racers = [await _racer(tmp_path / "agent.db", name) for name in ("left", "right")]
    for racer in racers:
        assert racer.stdout is not None
        assert await racer.stdout.readline() == b"ready\n"

    outputs = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))

    won = [line for output, _ in outputs for line in output.decode().splitlines()]
    assert sorted(won) == sorted(
        [f"put {number}" for number in range(60)] + [f"move {number}" for number in range(60)]
    )
    assert await store.query("slot") == []
    assert len(await store.query("booking")) == 60
    merged = await store.query("merge")
    assert [(item["left"], item["right"]) for item in merged] == [(True, True)] * 60


async def test_several_processes_can_make_the_same_new_file(tmp_path: Path) -> None:
    racers = [await _racer(tmp_path / "new" / "agent.db", str(name)) for name in range(4)]

    outputs = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))

    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    won = [line for output, _ in outputs for line in output.decode().splitlines()]
    assert won.count("ready") == 4
    assert len([line for line in won if line.startswith("put")]) == 60


async def test_a_file_that_stays_locked_is_a_store_error(tmp_path: Path) -> None:
    """A writer waits a bounded time; reads go on."""
    store = await SqliteStore.open(tmp_path / "agent.db", busy_seconds=0.05)
    await store.put({"pk": "a", "sk": "one"})
    other = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match="database is locked; another process"):
        await store.put({"pk": "a", "sk": "two"})

    assert await store.query("a") == [{"pk": "a", "sk": "one"}]
    other.execute("ROLLBACK")
    assert await store.put({"pk": "a", "sk": "two"}) is True
    other.close()
    await store.close()


async def test_a_table_that_does_not_answer_is_a_store_error(tmp_path: Path) -> None:
    stuck = threading.Event()
    is_stuck = False

    def now() -> float:
        if is_stuck:
            stuck.wait()
        return 1_000.0

    store = await SqliteStore.open(tmp_path / "agent.db", now=now, busy_seconds=0.05)
    is_stuck = True

    with pytest.raises(StoreError, match="did not answer within"):
        await store.get("a", "one")

    stuck.set()
    await store.close()


async def test_a_new_file_that_another_process_holds_is_a_store_error(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "agent.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreError, match="locked"):
        await SqliteStore.open(tmp_path / "agent.db", busy_seconds=0.5)

    other.execute("ROLLBACK")
    other.close()
    store = await SqliteStore.open(tmp_path / "agent.db")
    assert await store.put({"pk": "a", "sk": "one"}) is True
    await store.close()


async def test_a_file_that_is_no_table_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.write_bytes(b"This is no database." * 100)

    with pytest.raises(StoreError, match="not a database"):
        await SqliteStore.open(path)


async def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(StoreError, match=r"^STORE_PATH: .*taken/agent\.db: .*; set it to a file"):
        await SqliteStore.open(tmp_path / "taken" / "agent.db")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied; set it to a file in"),
        (OSError(30, "Read-only file system"), "Read-only file system; set it to a file in"),
        (OSError(28, "No space left on device"), "No space left on device; free space"),
        (sqlite3.OperationalError("database or disk is full"), "disk is full; free space"),
        (sqlite3.OperationalError("database is locked"), "locked; another process"),
    ],
)
def test_error_of_the_file_has_the_variable_the_path_and_the_remedy(
    error: sqlite3.Error | OSError, shown: str
) -> None:
    text = str(file_error(Path("/data/agent.db"), error))

    assert text.startswith("STORE_PATH: /data/agent.db: ")
    assert shown in text


async def test_a_key_outside_of_unicode_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreRefusedError, match=r"^the table refused: UnicodeEncodeError$"):
        await store.get("a", "\ud800")


async def test_a_closed_table_says_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "agent.db")
    await store.close()
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        await store.get("a", "one")


@pytest.mark.parametrize("text", ["Hi \ud83d.", "\ude00Hi \ud83d.", "Hi ."])
async def test_half_a_character_is_left_out(store: SqliteStore, text: str) -> None:
    """A text with a lone surrogate could be neither spoken nor sent."""
    await store.put({"pk": "a", "sk": "one", "greeting": text, "inner": [{text: "\U0001f600"}]})

    expected = {"pk": "a", "sk": "one", "greeting": "Hi .", "inner": [{"Hi .": "\U0001f600"}]}
    assert await store.get("a", "one") == expected
    assert await store.query("a") == [expected]


PLANTED = "zq17-orchard-lane"


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_after_a_scrub_no_byte_of_a_deleted_item_is_in_the_file_or_beside_it(
    tmp_path: Path, clock: Clock
) -> None:
    """Nor of what it was before, short or long; also if the one who deletes did not write it."""
    path = tmp_path / "agent.db"
    service = await SqliteStore.open(path, now=clock)
    for number in range(40):
        item: Item = {"pk": f"{PLANTED}{number}", "sk": "one", "pk1": PLANTED, "sk1": "1"}
        await service.put({**item, "text": PLANTED * 2_000})
        await service.put({**item, "text": PLANTED})
        await service.put({"pk": f"other{number}", "sk": "one", "text": "kept" * number})
    command = await SqliteStore.open(path, now=clock, make=False)

    await asyncio.gather(*(command.delete(f"{PLANTED}{number}", "one") for number in range(40)))
    await command.scrub()

    left = bytes_in(tmp_path)
    assert (PLANTED.encode() in left, b"keptkept" in left) == (False, True)
    await command.close()
    await service.close()


async def test_a_reader_in_the_way_makes_a_scrub_fail_until_it_is_done(
    tmp_path: Path, clock: Clock
) -> None:
    """It is no success while the log beside the file still has the item."""
    path = tmp_path / "agent.db"
    store = await SqliteStore.open(path, now=clock, busy_seconds=0.1)
    await store.put({"pk": PLANTED, "sk": "one"})
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM items").fetchone()

    await store.delete(PLANTED, "one")
    with pytest.raises(StoreError, match="locked; another process"):
        await store.scrub()
    reader.close()
    await store.scrub()

    assert PLANTED.encode() not in bytes_in(tmp_path)
    await store.close()
