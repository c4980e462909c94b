"""What libraries log, as lines of ours.

aiohttp and asyncio report faults to `logging`. Where nobody listens Python writes them to stderr as
text of many lines, with bytes of a request that could not be read, whoever has sent it. Each of
them is one line `library.reported` instead: which library, what it says without its values, the
kind of the fault, and its traceback as our own faults have it. The whole text may be personal.
"""

from __future__ import annotations

import logging

import structlog

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
