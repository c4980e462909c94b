"""The file of the embedded table: its rights, its layout, and its errors."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

from agent.errors import StoreError
from agent.store.text_index import prepare_text_index, scrub_texts

_RETRY_SECONDS = 0.02
_CACHE_KIBIBYTES = 512
"""Of pages in memory; SQLite's own default is 2,000. The system caches the file as well."""
_FILE_RIGHTS, _FOLDER_RIGHTS = 0o600, 0o700

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    pk TEXT NOT NULL, sk TEXT NOT NULL, pk1 TEXT, sk1 TEXT, expire_at REAL, item TEXT NOT NULL,
    PRIMARY KEY (pk, sk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS index_1_full ON items (pk1, sk1) WHERE pk1 IS NOT NULL;
CREATE INDEX IF NOT EXISTS expiring ON items (expire_at) WHERE expire_at IS NOT NULL;
"""
_PRAGMAS = (
    "synchronous = NORMAL", "secure_delete = ON", f"cache_size = -{_CACHE_KIBIBYTES}",
)  # fmt: skip
"""Of each connection."""
_IS_LAID_OUT = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'items'"


def scrub_file(path: Path, busy_seconds: float) -> None:
    """Rewrite the file: `secure_delete` leaves copies where pages were balanced."""
    with closing(open_file(path, busy_seconds, make=False)) as connection:
        scrub_texts(connection)
        connection.execute("VACUUM")
        deadline = time.monotonic() + busy_seconds  # for another checkpoint SQLite does not wait
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError("database is locked")
            time.sleep(_RETRY_SECONDS)


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


def open_file(path: Path, busy_seconds: float, *, make: bool) -> sqlite3.Connection:
    """A connection to the file, laid out; without `make` it must exist and be one of ours.

    Waits for other processes `busy_seconds` at most. Raises `StoreError`, `sqlite3.Error`,
    `OSError`.
    """
    if make:
        _keep_private(path)
    elif not path.is_file():
        raise StoreError(f"STORE_PATH: there is no file {path}")
    address = f"{path.absolute().as_uri()}?mode=rw"  # not "ro": WAL needs files beside it
    connection = sqlite3.connect(address, timeout=busy_seconds, isolation_level=None, uri=True)
    with ExitStack() as undoing:
        undoing.callback(connection.close)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()
        if make:
            _prepare(connection, time.monotonic() + busy_seconds)
        elif connection.execute(_IS_LAID_OUT).fetchone() is None:
            raise StoreError(f"STORE_PATH: {path} is no table of this service")
        prepare_text_index(connection)
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
    connection.executescript(_SCHEMA)
