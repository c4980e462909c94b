"""What a log line tells of a fault: where it was and of what kind, not what it says.

The text of a fault is whatever the code that raised it put there: arguments of a tool, a row of the
table, bytes of a request. Its notes are no better. The lines of source in a traceback are safe,
they have no values. Rejected: `traceback.TracebackException`, which takes the text out of a fault
when it is made and gives no way to leave it out.
"""

from __future__ import annotations

import textwrap
import traceback

import structlog

_MOST_FAULTS = 32
"""In one line; the last ones of a chain, the first ones of a group."""
_LED_TO = "\nThe above exception was the direct cause of the following exception:\n\n"
_BEFORE = "\nDuring handling of the above exception, another exception occurred:\n\n"
_INDENT = "    "


def traceback_processor(*, with_personal: bool) -> structlog.types.Processor:
    """The processor that makes `exception` of `exc_info`: all of it, or only what is safe."""
    if with_personal:
        return structlog.processors.format_exc_info
    return structlog.processors.ExceptionRenderer(lambda found: frames_and_types(found[1]))


def frames_and_types(error: BaseException) -> str:
    """A traceback in the layout of Python, also of the causes, without texts and notes.

    Faults of a group stand indented below it.
    """
    return _Telling().chain(error).rstrip()


class _Telling:
    """One log line; each fault is told once, so that it ends."""

    def __init__(self) -> None:
        self._told = set[int]()

    def chain(self, error: BaseException) -> str:
        """A fault, below those it came from."""
        parts = list[str]()
        one: BaseException | None = error
        link = ""
        while one is not None and self._is_new(one):
            parts.append(self._alone(one) + link)
            if one.__cause__ is not None:
                one, link = one.__cause__, _LED_TO
            else:
                one, link = None if one.__suppress_context__ else one.__context__, _BEFORE
        return "".join(reversed(parts))

    def _is_new(self, error: BaseException) -> bool:
        if id(error) in self._told or len(self._told) == _MOST_FAULTS:
            return False
        self._told.add(id(error))
        return True

    def _alone(self, error: BaseException) -> str:
        head = "Traceback (most recent call last):\n" if error.__traceback__ else ""
        frames = "".join(traceback.format_tb(error.__traceback__))
        within = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        members = "".join(textwrap.indent(self.chain(one), _INDENT) for one in within)
        return f"{head}{frames}{type(error).__name__}\n{members}"
