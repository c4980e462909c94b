"""Writes log lines to a file that may be slow, stuck, full or closed, without delaying a call.

A line that the file takes at once is written at once, so that the lines of a killed process are
there. Otherwise a thread writes the lines in their order; at most `MOST_WAITING` bytes wait. Lines
that do not fit, or that the file refuses, are lost and counted. Rejected: a thread for every line,
which costs more and loses the last lines of a killed process; a non-blocking descriptor, because
other processes share it.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import stat
from collections import deque
from threading import Condition, Thread
from typing import TextIO

MOST_WAITING = 4 * 1024 * 1024
"""Bytes."""
FLUSH_SECONDS = 2.0
"""How long the process waits at its end for lines that are not written."""


class LogOutput:
    """Writes lines to a file without waiting for it. It is a `logger_factory` of structlog.

    Args:
        file: Of the process, like `sys.stderr`; one without a descriptor is written to directly.
    """

    def __init__(self, file: TextIO) -> None:
        self.lost = 0
        """Lines that could not be written."""
        self._file = file
        self._descriptor = _descriptor_of(file)
        self._is_regular, self._most_at_once = _kind_of(self._descriptor)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = Condition()
        self._writer: Thread | None = None

    def __call__(self, *_: object) -> LineLogger:
        return LineLogger(self)

    def write(self, line: str) -> None:
        """Write a line, now or as soon as the file takes it. Never raises or waits."""
        if self._descriptor is None:
            print(line, file=self._file, flush=True)
            return
        data = f"{line}\n".encode(errors="backslashreplace")
        with self._changed:
            if not self._waiting and self._takes(data):
                self._write_now(self._descriptor, data)
            elif self._waiting_bytes + len(data) <= MOST_WAITING:
                self._write_later(data)
            else:
                self.lost += 1

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait for `seconds` at most until all lines are written; whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def _takes(self, data: bytes) -> bool:
        if self._is_regular:
            return True
        return len(data) <= self._most_at_once and self._is_ready(0)

    def _is_ready(self, milliseconds: int | None) -> bool:
        poll = select.poll()
        poll.register(self._descriptor or 0, select.POLLOUT)
        return bool(poll.poll(milliseconds))

    def _write_now(self, descriptor: int, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:  # the disk is full, or the reader is gone
            self.lost += 1

    def _write_later(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._writer is None:
            self._writer = Thread(target=self._write_waiting, name="log", daemon=True)
            self._writer.start()
            atexit.register(self.flush)
        self._changed.notify_all()

    def _write_waiting(self) -> None:
        """Write the waiting lines one after the other; runs in the thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                data = self._waiting[0]
            self._is_ready(None)
            self._write_now(self._descriptor or 0, data)
            with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._changed.notify_all()


class LineLogger:
    """The logger that structlog calls with a rendered line."""

    def __init__(self, output: LogOutput) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = output.write


def _descriptor_of(file: TextIO) -> int | None:
    try:
        return file.fileno()
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return None


def _kind_of(descriptor: int | None) -> tuple[bool, int]:
    """Whether it is a regular file, and how many bytes it takes at once when it takes any."""
    if descriptor is None:
        return True, 0
    mode = os.fstat(descriptor).st_mode
    is_stream = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return stat.S_ISREG(mode), select.PIPE_BUF if is_stream else MOST_WAITING
