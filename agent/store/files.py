"""Files that people write, read as values: a fault names the file, `file: field: fault`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from agent.ports import UseCaseError
from agent.store.validation import convert

T = TypeVar("T")


def parsed(path: Path, decode: Callable[[str], object], wanted: type[T]) -> T:
    """What a file says.

    Args:
        path: The file.
        decode: From its text; raises `ValueError`.
        wanted: What it must hold.

    Raises:
        UseCaseError: It cannot be read, or holds something else.
    """
    try:
        raw = decode(text_of(path))
    except ValueError as error:
        raise UseCaseError(f"{path}: cannot be read: {error}") from error
    with faults_of(path):
        return convert(raw, wanted)


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        UseCaseError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UseCaseError(f"{path}: cannot be read: {reason}") from error


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Whatever is wrong in here is wrong in this file."""
    try:
        yield
    except UseCaseError as error:
        raise UseCaseError(f"{path}: {error}") from error
