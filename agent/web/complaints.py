"""What aiohttp says of requests that it cannot read: one line and a count, without a traceback.

Anybody can send such bytes, so they must not cost more than a line. What aiohttp says of faults of
ours goes where it went before, see `agent.telemetry.libraries`.
"""

from __future__ import annotations

import logging

import structlog
from aiohttp import http_exceptions, web

from agent.telemetry import Telemetry

log = structlog.get_logger(__name__)

_OF_THE_PEER = (http_exceptions.HttpProcessingError, web.RequestPayloadError, ConnectionError)


class Complaints(logging.LoggerAdapter[logging.Logger]):
    """The logger of aiohttp's server."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self._telemetry = telemetry

    def log(self, level: int, msg: object, *args: object, **options: object) -> None:
        """See `logging.LoggerAdapter`."""
        fault = options.get("exc_info")
        if not isinstance(fault, _OF_THE_PEER):
            super().log(level, msg, *args, **options)  # type: ignore[arg-type] # as they came
            return
        self._telemetry.bad_requests.labels("protocol").inc()
        log.warning("request.refused", reason="protocol", error=type(fault).__name__)
