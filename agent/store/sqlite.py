"""The table in one SQLite file, for a single machine: no account, no server.

One worker thread owns the connection. All that is asked for in one tick of the loop is one job of
this thread, done in its order, as the way there and back costs more than most work. Writes without
a read between them are one `BEGIN IMMEDIATE` transaction; if one fails, each is made in a
transaction of its own, so that it fails alone. A write that may wait goes along after the next read
or other write, at most `_APART_SECONDS` after the last transaction was begun: the first one after a
pause waits for nothing, under load one may be in the file 40 ms later. Rejected: reads on the
thread of the loop, which overtook the writes under way.

Other processes may use the same file: a condition still holds at the write. A write that did not
answer in time may still be made, as across a network. An item whose `expireAt` has passed is absent
for every method; each transaction deletes what has expired. What is deleted is overwritten with
zeros, all of it by `scrub`. `agent.store.text_index` has the words of calls once more, for
`find_text`. Keys are ordered by the bytes of their UTF-8 form, as in DynamoDB.
`synchronous=NORMAL`: a crash of the process loses nothing that was answered, a power cut may lose
the last moments. Rejected: `FULL`, a disk flush for every fact of every call.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby, islice, repeat, takewhile
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import structlog

from agent.call.text import whole_json
from agent.errors import StoreError, StoreRefusedError
from agent.ports import Item, Key
from agent.store.sqlite_file import file_error, open_file, scrub_file
from agent.store.text_index import TextIndex
from agent.usecases.validation import item_text, keys, sequence

_APART_SECONDS = 0.04
_ALIVE = "(expire_at IS NULL OR expire_at > ?)"
_DELETE = "DELETE FROM items WHERE pk = ? AND sk = ?"
_GET = f"SELECT item FROM items WHERE pk = ? AND sk = ? AND {_ALIVE}"  # noqa: S608 constant
_QUERY, _QUERY_INDEX = (
    f"SELECT {sk}, item FROM items WHERE {pk} = ? AND {sk} >= ? AND {_ALIVE}"  # noqa: S608 constant
    f" ORDER BY {sk}, pk, sk"
    for pk, sk in (("pk", "sk"), ("pk1", "sk1"))
)

log = structlog.get_logger(__name__)

T = TypeVar("T")
Work = Callable[[], object]
_Row = tuple[str, str, str | None, str | None, float | None, str]


class _Operation(NamedTuple):
    """What one method asks for."""

    work: Work
    is_write: bool
    may_wait: bool
    outcome: asyncio.Future[Any]
    """The result, or an `Exception` as a value."""


class SqliteStore:
    """`ports.Store` in a file; made by `open`."""

    _connection: sqlite3.Connection
    """Used on the worker's thread only, as the index."""
    _texts: TextIndex

    def __init__(self, path: Path, now: Callable[[], float], answer_seconds: float) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._now = now
        self._answer_seconds = answer_seconds
        self._path = path
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Operation] = []
        """What the worker does not have yet."""
        self._submission: asyncio.Handle | None = None
        self._is_urgent = False
        """The worker gets it at the end of this tick."""
        self._last_write_at = -inf

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
        store = cls(path, now, 2 * busy_seconds)
        try:
            await store._run(lambda: store._begin(busy_seconds, make=make))
        except BaseException:
            store._release()
            raise
        return store

    async def get(self, pk: str, sk: str) -> Item | None:
        return await self._run(lambda: self._get(pk, sk))

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return await self._run(lambda: [self._get(*key) for key in keys])

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        key, items = keys(item), (item, *beside)
        return await self._put(items, lambda: not only_if_absent or self._get(*key) is None)

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        key, number = keys(item), sequence(item)

        def is_newer() -> bool:
            there = self._get(*key)
            return there is None or sequence(there) < number

        return await self._put((item, *beside), is_newer, may_wait=may_wait)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        added = {**attributes, "pk": pk, "sk": sk}

        def work() -> None:
            self._replace(_row({**(self._get(pk, sk) or {}), **added}))

        await self._run(work, is_write=True)

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        return await self._run(lambda: self._select(_QUERY, pk, sk_prefix))

    async def query_index(self, pk1: str, sk1_prefix: str = "", *, first: int = 0) -> list[Item]:
        return await self._run(lambda: self._select(_QUERY_INDEX, pk1, sk1_prefix, first))

    async def find_text(self, text: str) -> frozenset[str]:
        texts = self._texts
        last = await self._run(texts.last_changed)
        while await self._run(partial(texts.index, last), is_write=True):
            pass
        return await self._run(partial(texts.find, text))

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        return await self._put((item, *beside), lambda: self._delete(pk, sk))

    async def delete(self, pk: str, sk: str) -> None:
        await self._run(lambda: self._delete(pk, sk), is_write=True)

    async def scrub(self) -> None:
        try:
            await asyncio.to_thread(scrub_file, self._path, 6 * self._answer_seconds)
        except (sqlite3.Error, OSError) as error:
            raise file_error(self._path, error) from error

    async def close(self) -> None:
        """Finish what was begun and release the file; harmless the second time."""
        if self._is_closed:
            return
        closing = self._ask(self._connection.close, may_wait=True)  # after all that waits
        self._is_closed = True
        self._submit()
        self._release()
        await self._result(closing)

    def _begin(self, busy_seconds: float, *, make: bool) -> None:
        self._connection = open_file(self._path, busy_seconds, make=make)
        self._texts = TextIndex(self._connection, self._now)

    def _release(self) -> None:
        """Take no more work; what the worker has is done."""
        self._is_closed = True
        self._worker.shutdown(wait=False)

    async def _put(
        self, items: Sequence[Item], is_possible: Callable[[], bool], *, may_wait: bool = False
    ) -> bool:
        """Write items in the transaction in which the condition holds; false if it does not."""
        rows = list(map(_row, items))

        def work() -> bool:
            if not is_possible():
                return False
            for row in rows:
                self._replace(row)
            return True

        return await self._run(work, is_write=True, may_wait=may_wait)

    async def _run(
        self, work: Callable[[], T], *, is_write: bool = False, may_wait: bool = False
    ) -> T:
        """Do this on the worker's thread, with the time limit and the errors of the port."""
        return await self._result(self._ask(work, is_write=is_write, may_wait=may_wait))

    def _ask(
        self, work: Callable[[], T], *, is_write: bool = False, may_wait: bool = False
    ) -> asyncio.Future[T | Exception]:
        if self._is_closed:
            raise StoreError("the table is closed")
        outcome: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append(_Operation(work, is_write, may_wait, outcome))
        if not self._is_urgent:
            self._submit_by(self._last_write_at + _APART_SECONDS if may_wait else -inf)
        return outcome

    def _submit_by(self, at: float) -> None:
        if at <= self._loop.time():
            self._is_urgent = True
            if self._submission is not None:
                self._submission.cancel()
            self._submission = self._loop.call_soon(self._submit)
        elif self._submission is None:
            self._submission = self._loop.call_at(at, self._submit)

    async def _result(self, asked: asyncio.Future[T | Exception]) -> T:
        outcome = await asked
        if isinstance(outcome, StoreError | sqlite3.Error | UnicodeError | OSError):
            raise _port_error(self._path, outcome) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _submit(self) -> None:
        """Have the worker do all that was asked for."""
        operations, self._asked = sorted(self._asked, key=attrgetter("may_wait")), []
        if self._submission is not None:
            self._submission.cancel()
        self._submission, self._is_urgent = None, False
        if any(operation.is_write for operation in operations):
            self._last_write_at = self._loop.time()
        late = StoreError(f"the table did not answer within {self._answer_seconds:g} s")
        limit = self._loop.call_later(self._answer_seconds, _resolve, operations, repeat(late))
        self._worker.submit(self._do, operations, limit)

    def _do(self, operations: Sequence[_Operation], limit: asyncio.TimerHandle) -> None:
        for is_write, one_after_another in groupby(operations, attrgetter("is_write")):
            group = list(one_after_another)
            works = [operation.work for operation in group]
            outcomes = self._write_group(works) if is_write else list(map(_outcome_of, works))
            self._loop.call_soon_threadsafe(_resolve, group, outcomes)
        self._loop.call_soon_threadsafe(limit.cancel)
        if not self._is_closed:
            self._index_texts()

    def _index_texts(self) -> None:
        """Some of what is not indexed yet, after the answers; a failure delays it, and no more."""
        work = _outcome_of(self._texts.due_work)
        outcome = self._write_group([work])[0] if callable(work) else work
        if isinstance(outcome, Exception):
            log.warning("store.indexing_failed", error=type(outcome).__name__)

    def _write_group(self, works: Sequence[Work]) -> list[object]:
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

    def _select(self, statement: str, partition: str, prefix: str, first: int = 0) -> list[Item]:
        rows = self._connection.execute(statement, (partition, prefix, self._now()))
        there = takewhile(lambda row: row[0].startswith(prefix), rows)
        found = [_item(text) for _, text in islice(there, first or None)]
        rows.close()
        return found

    def _delete(self, pk: str, sk: str) -> bool:
        return self._connection.execute(_DELETE, (pk, sk)).rowcount > 0

    def _replace(self, row: _Row) -> None:
        self._connection.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", row)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction that holds the write lock from its beginning."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            self._connection.execute("DELETE FROM items WHERE expire_at <= ?", (self._now(),))
            yield


def _outcome_of(work: Work) -> object:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 (raised where it was asked for)
        return error


def _resolve(operations: Sequence[_Operation], outcomes: Iterable[object]) -> None:
    """Tell those who still wait."""
    for operation, outcome in zip(operations, outcomes, strict=False):
        if not operation.outcome.done():
            operation.outcome.set_result(outcome)


def _port_error(
    path: Path, error: StoreError | sqlite3.Error | UnicodeError | OSError
) -> StoreError:
    """The error as the port has it."""
    if isinstance(error, StoreError):
        return type(error)(*error.args)  # one for each caller, with its own traceback
    if isinstance(error, sqlite3.DataError | UnicodeError):
        return StoreRefusedError(f"the table refused: {type(error).__name__}")
    return file_error(path, error)


def _row(item: Item) -> _Row:
    pk, sk = keys(item)
    pk1, sk1 = item.get("pk1"), item.get("sk1")
    indexed = (pk1, sk1) if isinstance(pk1, str) and isinstance(sk1, str) else (None, None)
    expire_at = item.get("expireAt")
    expires = float(expire_at) if isinstance(expire_at, int | float) else None
    return (pk, sk, *indexed, expires, item_text(item))


def _item(text: str) -> Item:
    item: Item = json.loads(whole_json(text))
    return item
