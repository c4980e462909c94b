"""What a log line tells of a fault: where it was and of what kind, not what it says.

The text of a fault is whatever the code that raised it put there: arguments of a tool, a row of the
table, bytes of a request. Its notes are no better. The lines of source in a traceback are safe,
they have no values. Rejected: `traceback.TracebackException`, which takes the text out of a fault
when it is made and gives no way to leave it out.

What libraries log, as lines of ours.

aiohttp and asyncio report faults to `logging`. Where nobody listens Python writes them to stderr as
text of many lines, with bytes of a request that could not be read, whoever has sent it. Each of
them is one line `library.reported` instead: which library, what it says without its values, the
kind of the fault, and its traceback as our own faults have it. The whole text may be personal.

Log lines: one JSON object each, or readable ones on a terminal.

Values that may be personal have keys that begin with `pii_` and are dropped, unless the operator
asks for them. So is the text of a fault. A traceback has the lines of our code and no values of
their variables: structlog by itself shows those on a terminal as soon as the package rich is
installed, whoever has brought it.
"""

from __future__ import annotations

import json
import logging
import sys
import textwrap
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

from agent.observability.logging.console_format import readable
from agent.observability.logging.log_output import LogOutput

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


log = structlog.get_logger(__name__)

_LONGEST_NOTICE = 200


class LibraryLines(logging.Handler):
    """Hands warnings and errors of libraries over to structlog."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        told: dict[str, object] = {}
        if record.exc_info and (fault := record.exc_info[1]):
            told = {"error": type(fault).__name__, "exc_info": fault}
        first, _, _ = str(record.msg).partition("\n")  # asyncio adds values from the second line on
        log.log(
            record.levelno,
            "library.reported",
            library=record.name,
            notice=first[:_LONGEST_NOTICE],
            pii_detail=record.getMessage(),
            **told,
        )


def listen_to_libraries() -> None:
    """From now on; harmless when it is done already."""
    stop_listening()
    logging.getLogger().addHandler(LibraryLines())


def stop_listening() -> None:
    """As before."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LibraryLines)]:
        root.removeHandler(handler)


def configure_logging(level: str, log_format: str, *, with_personal: bool = False) -> None:
    """Set up structlog for the process, also for what libraries report.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json` or `console`.
        with_personal: Let values through that may be personal, under their keys `pii_…`, and what
            faults say.
    """
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    personal = [] if with_personal else [drop_personal]
    eyes: list[structlog.types.Processor] = []
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
        )
        eyes = [readable]
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *personal,
        *eyes,
        traceback_processor(with_personal=with_personal),
        renderer,
    ]
    structlog.configure(
        processors=[_Guarded(processors)],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=LogOutput(sys.stderr),
    )
    listen_to_libraries()


def lost_lines() -> int:
    """How many log lines of this process could not be written."""
    output = structlog.get_config()["logger_factory"]
    return output.lost if isinstance(output, LogOutput) else 0


class _Guarded:
    """The processors of a line; a line they cannot render is reduced to its event."""

    def __init__(self, processors: Sequence[structlog.types.Processor]) -> None:
        self._processors = processors

    def __call__(self, logger: Any, method: str, values: MutableMapping[str, Any]) -> Any:
        event, told = str(values["event"]), values
        try:
            for processor in self._processors:
                told = processor(logger, method, told)  # type: ignore[assignment] # the last: text
        except Exception as error:  # noqa: BLE001 (a log line must not end what it tells of)
            return json.dumps({"event": event, "level": method, "unreadable": type(error).__name__})
        return told


def drop_personal(
    _: object, __: str, values: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Leave out every value that may be personal."""
    for key in [key for key in values if key.startswith("pii_")]:
        del values[key]
    return values
