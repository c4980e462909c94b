"""The table in one SQLite file, for a single machine: no account, no server.

Rules:

- One worker thread owns the connection; nothing of SQLite runs on the event loop. The connection
  refuses use from any other thread, so this cannot be broken by accident.
- Other processes may use the same file. Every write is one `BEGIN IMMEDIATE` transaction: it takes
  the write lock before it looks, so a condition still holds when the write is made. SQLite waits
  for a lock for `busy_seconds`, a caller of the store twice as long for any answer.
- A write that did not answer in time may still be made, as with any table across a network.
- An item whose `expireAt` has passed is absent for every method. Each write deletes what has
  expired; an index makes that cheap, so there is no sweep to schedule.
- Keys compare by the bytes of their UTF-8 form, as in DynamoDB: SQLite's `BINARY` collation.

`synchronous=NORMAL`: in WAL mode a crash of the process loses nothing, a power cut may lose the
last moments but never breaks the file. `FULL` would add a disk flush to every fact of every call;
a deployment that must survive a power cut to the last write uses DynamoDB.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Self, TypeVar

from agent.call.text import whole_json
from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item, Key
from agent.usecases.validation import ITEM_BYTES, keys, sequence, size_error

_RETRY_SECONDS = 0.02
_FILE_RIGHTS, _FOLDER_RIGHTS = 0o600, 0o700

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    pk TEXT NOT NULL, sk TEXT NOT NULL, pk1 TEXT, sk1 TEXT, expire_at REAL, item TEXT NOT NULL,
    PRIMARY KEY (pk, sk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS index_1_full ON items (pk1, sk1) WHERE pk1 IS NOT NULL;
CREATE INDEX IF NOT EXISTS expiring ON items (expire_at) WHERE expire_at IS NOT NULL;
"""
_IS_LAID_OUT = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'items'"
_ALIVE = "(expire_at IS NULL OR expire_at > ?)"

T = TypeVar("T")


class SqliteStore:
    """`ports.Store` in a file; made by `open`."""

    def __init__(self, table: _Table, worker: ThreadPoolExecutor, answer_seconds: float) -> None:
        self._table = table
        self._worker = worker
        self._answer_seconds = answer_seconds
        self._is_closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        busy_seconds: float = 5.0,
        make: bool = True,
    ) -> Self:
        """Open the file.

        Args:
            path: The file; SQLite keeps two more beside it while it is open.
            now: Epoch seconds, for expiry.
            busy_seconds: How long to wait for another process's write; any call of the store
                answers, or fails, within twice that.
            make: The file with its folder, if it is missing; otherwise it has to be one of ours.

        Raises:
            StoreError: It cannot be opened.
        """
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        opening = partial(_Table.open if make else _Table.found, path, now, busy_seconds)
        try:
            table = await _answer(worker, opening, 2 * busy_seconds)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(table, worker, 2 * busy_seconds)

    async def get(self, pk: str, sk: str) -> Item | None:
        """See `ports.Store`."""
        return await self._run(partial(self._table.get, pk, sk))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """See `ports.Store`."""
        return await self._run(lambda: [self._table.get(*key) for key in keys])

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        """See `ports.Store`."""
        row = _row(item)
        return await self._run(partial(self._table.put, row, only_if_absent=only_if_absent))

    async def put_newer(self, item: Item) -> bool:
        """See `ports.Store`."""
        return await self._run(partial(self._table.put_newer, _row(item), sequence(item)))

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """See `ports.Store`."""
        await self._run(partial(self._table.merge, pk, sk, dict(attributes)))

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        return await self._run(partial(self._table.query, pk, sk_prefix))

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        """See `ports.Store`."""
        return await self._run(partial(self._table.query_index, pk1, sk1_prefix))

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        """See `ports.Store`."""
        return await self._run(partial(self._table.move, pk, sk, _row(item)))

    async def close(self) -> None:
        """Finish what was begun and release the file; harmless the second time."""
        if self._is_closed:
            return
        try:
            await self._run(self._table.close)
        finally:
            self._is_closed = True
            self._worker.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._is_closed:
            raise StoreError("the table is closed")
        return await _answer(self._worker, work, self._answer_seconds)


async def _answer(worker: ThreadPoolExecutor, work: Callable[[], T], seconds: float) -> T:
    """Run on the worker's thread, within the limit, with the errors of the port."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(worker, work)
    except TimeoutError as error:
        raise StoreError(f"the table did not answer within {seconds:g} s") from error
    except (sqlite3.DataError, UnicodeError) as error:
        raise StoreRefusedError(f"the table refused: {type(error).__name__}") from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the table refused: {error}") from error


def _keep_private(path: Path) -> None:
    """Make the file, and the folder if it is missing, for this user alone.

    Files that others may read are tightened, where they are this user's. SQLite gives the two files
    beside it the rights of the first (https://www.sqlite.org/src/file/src/os_unix.c).

    Raises:
        OSError: It cannot be made.
    """
    for folder in reversed([path.parent, *path.parent.parents]):
        folder.mkdir(_FOLDER_RIGHTS, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_RIGHTS))
    for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        if each.exists() and each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode & _FILE_RIGHTS)


_Row = tuple[str, str, str | None, str | None, float | None, str]


class _Table:
    """The file itself; lives on the worker's thread and nowhere else."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now

    @classmethod
    def open(cls, path: Path, now: Callable[[], float], busy_seconds: float) -> Self:
        """Connect, and lay out the table if that is not done."""
        _keep_private(path)
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        try:
            _prepare(connection, time.monotonic() + busy_seconds)
        except sqlite3.Error:
            connection.close()
            raise
        return cls(connection, now)

    @classmethod
    def found(cls, path: Path, now: Callable[[], float], busy_seconds: float) -> Self:
        """Connect to a table that is there; nothing is made or changed."""
        if not path.is_file():
            raise StoreError(f"STORE_PATH: there is no file {path}")
        address = f"{path.absolute().as_uri()}?mode=rw"  # not "ro": WAL needs files beside it
        connection = sqlite3.connect(address, timeout=busy_seconds, isolation_level=None, uri=True)
        try:
            is_ours = connection.execute(_IS_LAID_OUT).fetchone() is not None
        except sqlite3.Error:
            connection.close()
            raise
        if not is_ours:
            connection.close()
            raise StoreError(f"STORE_PATH: {path} is no table of this service")
        return cls(connection, now)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def get(self, pk: str, sk: str) -> Item | None:
        """The item with this key, if it has not expired."""
        row = self._connection.execute(
            f"SELECT item FROM items WHERE pk = ? AND sk = ? AND {_ALIVE}",  # noqa: S608 constant
            (pk, sk, self._now()),
        ).fetchone()
        return None if row is None else _item(row[0])

    def put(self, row: _Row, *, only_if_absent: bool) -> bool:
        """Write a row whole, perhaps only where there is none."""
        with self._writing():
            if only_if_absent and self.get(row[0], row[1]) is not None:
                return False
            self._write(row)
            return True

    def put_newer(self, row: _Row, number: int) -> bool:
        """Write a row whole, unless there is one that is not older."""
        with self._writing():
            there = self.get(row[0], row[1])
            if there is not None and sequence(there) >= number:
                return False
            self._write(row)
            return True

    def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        """Set some attributes of an item; the key is not one of them."""
        with self._writing():
            self._write(_row({**(self.get(pk, sk) or {}), **attributes, "pk": pk, "sk": sk}))

    def query(self, pk: str, prefix: str) -> list[Item]:
        """A partition, in the order of the sort key."""
        return self._select(
            f"SELECT sk, item FROM items WHERE pk = ? AND sk >= ? AND {_ALIVE}"  # noqa: S608 constant
            " ORDER BY sk",
            pk,
            prefix,
        )

    def query_index(self, pk1: str, prefix: str) -> list[Item]:
        """A partition of the index, in the order of its sort key."""
        return self._select(
            f"SELECT sk1, item FROM items WHERE pk1 = ? AND sk1 >= ? AND {_ALIVE}"  # noqa: S608 constant
            " ORDER BY sk1, pk, sk",
            pk1,
            prefix,
        )

    def move(self, pk: str, sk: str, row: _Row) -> bool:
        """Delete one row and write another, or do neither."""
        with self._writing():
            if self.get(pk, sk) is None:
                return False
            self._connection.execute("DELETE FROM items WHERE pk = ? AND sk = ?", (pk, sk))
            self._write(row)
            return True

    def _select(self, statement: str, partition: str, prefix: str) -> list[Item]:
        """Rows from the prefix on, as long as they begin with it: those stand together."""
        rows = self._connection.execute(statement, (partition, prefix, self._now()))
        found = [_item(text) for _, text in takewhile(lambda row: row[0].startswith(prefix), rows)]
        rows.close()
        return found

    def _write(self, row: _Row) -> None:
        self._connection.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", row)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction that holds the write lock from its beginning."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            self._connection.execute("DELETE FROM items WHERE expire_at <= ?", (self._now(),))
            yield


def _prepare(connection: sqlite3.Connection, deadline: float) -> None:
    """Set the file up, though another process may be doing the same.

    Changing a fresh file to WAL needs it alone, and SQLite does not always wait for that: it may
    fail at once when several processes begin together (one opening in eighty, measured with eight
    processes). Hence the attempts, until the deadline.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            break
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
    connection.execute("PRAGMA synchronous = NORMAL").close()
    connection.executescript(_SCHEMA)


def _row(item: Item) -> _Row:
    """An item with the columns it is found by.

    Raises:
        StoreRefusedError: It holds what a table cannot, or a key is none.
    """
    pk, sk = keys(item)
    pk1, sk1 = item.get("pk1"), item.get("sk1")
    indexed = (pk1, sk1) if isinstance(pk1, str) and isinstance(sk1, str) else (None, None)
    expire_at = item.get("expireAt")
    expires = float(expire_at) if isinstance(expire_at, int | float) else None
    try:
        text = json.dumps(item, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(error).__name__
        raise StoreRefusedError(f"an item cannot be written: {kind}") from error
    if len(text) > ITEM_BYTES and (fault := size_error(item)):
        raise StoreRefusedError(fault)
    return (pk, sk, *indexed, expires, text)


def _item(text: str) -> Item:
    item: Item = json.loads(whole_json(text))
    return item
