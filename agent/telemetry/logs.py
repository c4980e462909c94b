"""Log lines: one JSON object each, or readable ones on a terminal.

Values that may be personal have keys that begin with `pii_` and are dropped, unless the operator
asks for them. So is the text of a fault. A traceback has the lines of our code and no values of
their variables: structlog by itself shows those on a terminal as soon as the package rich is
installed, whoever has brought it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

from agent.telemetry.eyes import readable
from agent.telemetry.libraries import listen_to_libraries
from agent.telemetry.log_output import LogOutput
from agent.telemetry.tracebacks import traceback_processor


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
