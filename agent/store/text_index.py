"""The full-text index of an SQLite file: the words of each call, found by pieces of three letters.

A call with facts has one row, the texts of `fact_words`. FTS5 finds the rows that have all pieces
of what is asked for, and these are compared as a whole: so parts of words are found too, and
languages without spaces (https://www.sqlite.org/fts5.html#the_trigram_tokenizer).

Triggers take the row of a call away in the transaction that writes or deletes a fact of it, by
whichever process and for whatever reason, and note that the call has changed. So no row has what
the facts do not have, and all facts but the first cost a look. The row is made again off the path
of calls: two to four minutes later, some calls a second after other work; a search first does the
rest. Rejected: a row that is made at the end of a call, which no process may live to see.

FTS5 keeps the pieces of a deleted row until it merges its segments. The index is merged to one
segment every hour, step by step, and by `scrub_texts` at once. Rejected: the option `secure-delete`
of FTS5, after which SQLite below 3.42 cannot write to the file; a row for each fact, written with
it; whole words as pieces, which are readable in the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from functools import partial
from math import inf

from agent.call.text import whole_json
from agent.store.call_state.fact_words import fact_words, folded
from agent.store.call_state.journal import CHAT

_LATER_SECONDS = 120.0
_APART_SECONDS = 1.0
_MERGE_SECONDS = 3600.0
_CALLS_AT_ONCE = 4
"""Of a long call one takes 3 ms, in which the thread of the table does nothing else."""
_PAGES_AT_ONCE = 16
_PIECE = 3
_MOST_PIECES = 60

_IS_THERE = "SELECT 1 FROM sqlite_master WHERE name = 'fact_delete'"
_ON_CHANGE = """
CREATE TRIGGER IF NOT EXISTS fact_{event} AFTER {event} ON items
WHEN {row}.sk GLOB '{chat}*' AND NOT EXISTS (SELECT 1 FROM changed_call WHERE pk = {row}.pk)
BEGIN
    DELETE FROM call_text WHERE pk = {row}.pk;
    INSERT OR REPLACE INTO changed_call (pk) VALUES ({row}.pk);
END;
"""
"""`INSERT OR REPLACE`, the only way in which the service replaces an item, is an insert here."""
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS call_text (
    id INTEGER PRIMARY KEY, pk TEXT NOT NULL UNIQUE, words TEXT NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS call_piece USING fts5 (
    words, content = 'call_text', content_rowid = 'id', columnsize = 0, detail = 'none',
    tokenize = 'trigram case_sensitive 1'
);
CREATE TABLE IF NOT EXISTS changed_call (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pk TEXT NOT NULL UNIQUE
);
CREATE TRIGGER IF NOT EXISTS text_inserted AFTER INSERT ON call_text BEGIN
    INSERT INTO call_piece (rowid, words) VALUES (new.id, new.words);
END;
CREATE TRIGGER IF NOT EXISTS text_deleted AFTER DELETE ON call_text BEGIN
    INSERT INTO call_piece (call_piece, rowid, words) VALUES ('delete', old.id, old.words);
END;
"""
_MARK_ALL = f"""
INSERT OR REPLACE INTO changed_call (pk)
SELECT DISTINCT pk FROM items WHERE sk GLOB '{CHAT}*' AND NOT EXISTS (SELECT 1 FROM call_text);
COMMIT;
"""  # noqa: S608 constant
_FACTS = (
    f"SELECT item FROM items WHERE pk = ? AND sk GLOB '{CHAT}*'"  # noqa: S608 constant
    " AND (expire_at IS NULL OR expire_at > ?) ORDER BY sk"
)
_WITH_TEXT = "SELECT pk FROM call_text WHERE instr(words, ?)"
_AND_PIECES = " AND id IN (SELECT rowid FROM call_piece WHERE call_piece MATCH ?)"
_DROP_GONE = (
    "DELETE FROM changed_call WHERE NOT EXISTS"  # noqa: S608 constant
    f" (SELECT 1 FROM items WHERE pk = changed_call.pk AND sk GLOB '{CHAT}*')"
)
_MERGE = "INSERT INTO call_piece (call_piece, rank) VALUES ('merge', ?)"


def prepare_text_index(connection: sqlite3.Connection) -> None:
    """Lay the index out in a file that has none; then all its calls count as changed."""
    if connection.execute(_IS_THERE).fetchone() is None:
        rows = (("insert", "new"), ("delete", "old"))
        triggers = [_ON_CHANGE.format(event=event, row=row, chat=CHAT) for event, row in rows]
        connection.executescript("".join((_TABLES, *triggers, _MARK_ALL)))


def scrub_texts(connection: sqlite3.Connection) -> None:
    """Leave nothing of deleted facts in the index; what was deleted is in free pages still."""
    connection.execute(_DROP_GONE)
    connection.execute("INSERT INTO call_piece (call_piece) VALUES ('optimize')")


class TextIndex:
    """The index as one connection has it; used on the thread of the connection."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        """`now` is epoch seconds."""
        self._connection = connection
        self._now = now
        self._next_at = self._looked_at = -inf
        self._due_to = 0
        """Calls up to this number are indexed without a search."""
        self._merge_at = inf
        self._is_merging = False

    def last_changed(self) -> int:
        """The number of the latest call noted; it gets a greater one when it is noted again."""
        [found] = self._connection.execute("SELECT coalesce(max(id), 0) FROM changed_call")
        return int(found[0])

    def index(self, last: int) -> bool:
        """Index some calls up to this number; returns whether some may be left.

        In a transaction, as all work is.
        """
        found = self._connection.execute(
            "SELECT id, pk FROM changed_call WHERE id <= ? ORDER BY id LIMIT ?",
            (last, _CALLS_AT_ONCE),
        ).fetchall()
        for number, pk in found:
            if words := self._words(pk):
                added = "INSERT INTO call_text (pk, words) VALUES (?, ?)"
                self._connection.execute(added, (pk, words))
            self._connection.execute("DELETE FROM changed_call WHERE id = ?", (number,))
        return len(found) == _CALLS_AT_ONCE

    def due_work(self) -> Callable[[], object] | None:
        """What is to be done now, in a transaction of its own; None = nothing.

        After work that fails nothing is due for two minutes, otherwise for a second.
        """
        now = self._now()
        if now < self._next_at:
            return None
        self._next_at = now + _APART_SECONDS
        if (work := self._due(now)) is None:
            return None
        self._next_at = now + _LATER_SECONDS

        def do() -> None:
            work()
            self._next_at = now + _APART_SECONDS

        return do

    def _due(self, now: float) -> Callable[[], object] | None:
        waiting = "SELECT 1 FROM changed_call WHERE id <= ? LIMIT 1"
        if self._connection.execute(waiting, (self._due_to,)).fetchone():
            return partial(self.index, self._due_to)
        if now >= self._looked_at + _LATER_SECONDS:
            self._due_to, self._looked_at = self.last_changed(), now
            self._merge_at = min(self._merge_at, now + _MERGE_SECONDS)
        return self._merge if now >= self._merge_at else None

    def find(self, text: str) -> frozenset[str]:
        """The partitions with a fact that contains this text, in any case."""
        wanted = folded(text)
        most = min(len(wanted) - _PIECE + 1, _MOST_PIECES)
        pieces = {wanted[start : start + _PIECE].replace('"', '""') for start in range(most)}
        with self._connection:  # what is indexed and what has changed, of one moment
            self._connection.execute("BEGIN")
            found = self._found(wanted, " AND ".join(f'"{piece}"' for piece in sorted(pieces)))
            changed = self._connection.execute("SELECT pk FROM changed_call").fetchall()
            return found.union(pk for (pk,) in changed if wanted in self._words(pk))

    def _found(self, wanted: str, pieces: str) -> frozenset[str]:
        rows = (
            self._connection.execute(_WITH_TEXT + _AND_PIECES, (wanted, pieces))
            if pieces
            else self._connection.execute(_WITH_TEXT, (wanted,))
        )
        return frozenset(pk for (pk,) in rows)

    def _words(self, pk: str) -> str:
        rows = self._connection.execute(_FACTS, (pk, self._now()))
        return fact_words(json.loads(whole_json(item)) for (item,) in rows)

    def _merge(self) -> None:
        """A step of merging all segments to one; FTS5's way to tell that none is left."""
        before = self._connection.total_changes
        pages = _PAGES_AT_ONCE if self._is_merging else -_PAGES_AT_ONCE
        self._connection.execute(_MERGE, (pages,))
        self._is_merging = self._connection.total_changes - before >= 2
        if not self._is_merging:
            self._merge_at = self._now() + _MERGE_SECONDS
