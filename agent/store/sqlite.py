"""The table in one SQLite file, for a single machine: no account, no server.

One worker thread owns the connection. Writes that are asked for in one tick of the loop are one
`BEGIN IMMEDIATE` transaction, in their order; if one fails, each is made in a transaction of its
own, so that it fails alone. Other processes may use the same file: a condition still holds at the
write. A write that did not answer
in time may still be made, as across a network. An item whose `expireAt` has passed is absent for
every method; each write deletes what has expired. Keys are ordered by the bytes of their UTF-8
form, as in DynamoDB. `synchronous=NORMAL`: a crash of the process loses nothing, a power cut may
lose the last moments. Rejected: `FULL`, a disk flush for every fact of every call.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
_GET = f"SELECT item FROM items WHERE pk = ? AND sk = ? AND {_ALIVE}"  # noqa: S608 constant
_QUERY, _QUERY_INDEX = (
    f"SELECT {sk}, item FROM items WHERE {pk} = ? AND {sk} >= ? AND {_ALIVE}"  # noqa: S608 constant
    f" ORDER BY {sk}, pk, sk"
    for pk, sk in (("pk", "sk"), ("pk1", "sk1"))
)

T = TypeVar("T")
Work = Callable[[], bool]
_Row = tuple[str, str, str | None, str | None, float | None, str]


@dataclass(eq=False, slots=True)
class _WriteGroup:
    """Writes of one transaction."""

    works: list[Work] = field(default_factory=list)
    answer: asyncio.Task[list[bool | Exception]] = field(init=False)


class SqliteStore:
    """`ports.Store` in a file; made by `open`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        worker: ThreadPoolExecutor,
        now: Callable[[], float],
        answer_seconds: float,
        path: Path,
    ) -> None:
        self._connection = connection  # used on the worker's thread only
        self._worker = worker
        self._now = now
        self._answer_seconds = answer_seconds
        self._path = path
        self._is_closed = False
        self._group: _WriteGroup | None = None
        """The writes of this tick."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        busy_seconds: float = 5.0,
        make: bool = True,
    ) -> Self:
        """Open the file, or raise `StoreError`; without `make` it must exist and be one of ours.

        `now` is epoch seconds, for expiry. `busy_seconds` is how long to wait for another process's
        write; any method answers or fails within twice that.
        """
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        opening = partial(_connected, path, busy_seconds, make=make)
        try:
            connection = await _answer(worker, opening, 2 * busy_seconds, path)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(connection, worker, now, 2 * busy_seconds, path)

    async def get(self, pk: str, sk: str) -> Item | None:
        return await self._run(lambda: self._get(pk, sk))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return await self._run(lambda: [self._get(*key) for key in keys])

    async def put(self, item: Item, *, only_if_absent: bool = False) -> bool:
        key = keys(item)
        return await self._put(item, lambda: not only_if_absent or self._get(*key) is None)

    async def put_newer(self, item: Item) -> bool:
        key, number = keys(item), sequence(item)

        def is_newer() -> bool:
            there = self._get(*key)
            return there is None or sequence(there) < number

        return await self._put(item, is_newer)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        added = {**attributes, "pk": pk, "sk": sk}

        def work() -> bool:
            self._replace(_row({**(self._get(pk, sk) or {}), **added}))
            return True

        await self._write(work)

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        return await self._run(lambda: self._select(_QUERY, pk, sk_prefix))

    async def query_index(self, pk1: str, sk1_prefix: str = "") -> list[Item]:
        return await self._run(lambda: self._select(_QUERY_INDEX, pk1, sk1_prefix))

    async def move(self, pk: str, sk: str, item: Item) -> bool:
        delete = "DELETE FROM items WHERE pk = ? AND sk = ?"
        return await self._put(
            item, lambda: self._connection.execute(delete, (pk, sk)).rowcount > 0
        )

    async def close(self) -> None:
        """Finish what was begun and release the file; harmless the second time."""
        if self._is_closed:
            return
        try:
            await self._run(self._connection.close)
        finally:
            self._is_closed = True
            self._worker.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._is_closed:
            raise StoreError("the table is closed")
        return await _answer(self._worker, work, self._answer_seconds, self._path)

    async def _put(self, item: Item, is_possible: Callable[[], bool]) -> bool:
        """Write an item in the transaction in which the condition holds; false if it does not."""
        row = _row(item)

        def work() -> bool:
            if not is_possible():
                return False
            self._replace(row)
            return True

        return await self._write(work)

    async def _write(self, work: Work) -> bool:
        """Do this together with the other writes of this tick."""
        if self._group is None:
            self._group = _WriteGroup()
            self._group.answer = asyncio.create_task(self._answer_group(self._group), name="sqlite")
        group, place = self._group, len(self._group.works)
        group.works.append(work)
        outcome = (await asyncio.shield(group.answer))[place]
        if isinstance(outcome, Exception):
            raise _port_error(self._path, outcome) from outcome
        return outcome

    async def _answer_group(self, group: _WriteGroup) -> list[bool | Exception]:
        self._group = None
        try:
            return await self._run(partial(self._write_group, group.works))
        except StoreError as error:
            return [error] * len(group.works)

    def _write_group(self, works: Sequence[Work]) -> list[bool | Exception]:
        """The result or the error of each."""
        try:
            with self._writing():
                return [work() for work in works]
        except (sqlite3.OperationalError, OSError) as error:  # locked or full: for all
            return [error] * len(works)
        except Exception as error:  # noqa: BLE001 (raised where the write was asked for)
            if len(works) == 1:
                return [error]
        return [outcome for work in works for outcome in self._write_group([work])]

    def _get(self, pk: str, sk: str) -> Item | None:
        row = self._connection.execute(_GET, (pk, sk, self._now())).fetchone()
        return None if row is None else _item(row[0])

    def _select(self, statement: str, partition: str, prefix: str) -> list[Item]:
        rows = self._connection.execute(statement, (partition, prefix, self._now()))
        found = [_item(text) for _, text in takewhile(lambda row: row[0].startswith(prefix), rows)]
        rows.close()
        return found

    def _replace(self, row: _Row) -> None:
        self._connection.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", row)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction that holds the write lock from its beginning."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            self._connection.execute("DELETE FROM items WHERE expire_at <= ?", (self._now(),))
            yield


async def _answer(
    worker: ThreadPoolExecutor, work: Callable[[], T], seconds: float, path: Path
) -> T:
    """Run on the worker's thread, with the time limit and the errors of the port."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(worker, work)
    except TimeoutError as error:
        raise StoreError(f"the table did not answer within {seconds:g} s") from error
    except (sqlite3.Error, UnicodeError, OSError) as error:
        raise _port_error(path, error) from error


def _port_error(path: Path, error: Exception) -> Exception:
    """The error as the port has it; a fault of ours as it is."""
    if isinstance(error, StoreError):
        return type(error)(*error.args)  # one for each caller, with its own traceback
    if isinstance(error, sqlite3.DataError | UnicodeError):
        return StoreRefusedError(f"the table refused: {type(error).__name__}")
    return file_error(path, error) if isinstance(error, sqlite3.Error | OSError) else error


def file_error(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    """The error of a file, in one line with its path and what to do."""
    why = (error.strerror if isinstance(error, OSError) else "") or str(error)
    remedy = "set it to a file in a folder that this user may write"
    if any(word in why for word in ("full", "No space", "I/O", "too large")):
        remedy = "free space on the disk, or set another file"
    elif "locked" in why:
        remedy = "another process writes to it"
    return StoreError(f"STORE_PATH: {path}: {why}; {remedy}")


def _keep_private(path: Path) -> None:
    """Create the file and its folder if missing, for this user only.

    SQLite gives the files beside it the same rights (https://www.sqlite.org/src/file/src/os_unix.c).
    """
    for folder in reversed([path.parent, *path.parent.parents]):
        folder.mkdir(_FOLDER_RIGHTS, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_RIGHTS))
    for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        if each.exists() and each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode & _FILE_RIGHTS)


def _connected(path: Path, busy_seconds: float, *, make: bool) -> sqlite3.Connection:
    if make:
        _keep_private(path)
    elif not path.is_file():
        raise StoreError(f"STORE_PATH: there is no file {path}")
    address = f"{path.absolute().as_uri()}?mode=rw"  # not "ro": WAL needs files beside it
    connection = sqlite3.connect(address, timeout=busy_seconds, isolation_level=None, uri=True)
    with ExitStack() as undoing:
        undoing.callback(connection.close)
        if make:
            _prepare(connection, time.monotonic() + busy_seconds)
        elif connection.execute(_IS_LAID_OUT).fetchone() is None:
            raise StoreError(f"STORE_PATH: {path} is no table of this service")
        undoing.pop_all()
    return connection


def _prepare(connection: sqlite3.Connection, deadline: float) -> None:
    """Set the file up; WAL needs exclusive access, for which SQLite does not always wait."""
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
    pk, sk = keys(item)
    pk1, sk1 = item.get("pk1"), item.get("sk1")
    indexed = (pk1, sk1) if isinstance(pk1, str) and isinstance(sk1, str) else (None, None)
    expire_at = item.get("expireAt")
    expires = float(expire_at) if isinstance(expire_at, int | float) else None
    try:
        text = json.dumps(item, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreRefusedError(f"an item cannot be written: {type(error).__name__}") from error
    if len(text) > ITEM_BYTES and (fault := size_error(item)):
        raise StoreRefusedError(fault)
    return (pk, sk, *indexed, expires, text)


def _item(text: str) -> Item:
    item: Item = json.loads(whole_json(text))
    return item
