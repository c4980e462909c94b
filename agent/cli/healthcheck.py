"""`python -m agent.cli.healthcheck`: exit status 0 if the service in this container answers.

The HEALTHCHECK of the image and the task definition use it, as the image has no curl. It requests
`/health/live`: a service that drains is not ready but has calls, and an unhealthy container is
killed. It runs every few seconds, so it imports nothing of the package and little of the library.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException

_SECONDS = 2.0  # limit for connecting, and for each part of the answer
_OWN = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound)
"""The address to ask a service that listens on every address."""


def fault(port: str, seconds: float = _SECONDS, host: str = "") -> str:
    """The fault of the service on a port of this machine, in one line, or an empty text."""
    try:
        address = _OWN.get(host, host)
        with closing(HTTPConnection(address, int(port), timeout=seconds)) as connection:
            connection.request("GET", "/health/live")
            status = connection.getresponse().status
    except (OSError, ValueError, OverflowError, HTTPException) as error:
        return f"port {port}: {type(error).__name__}: {error}"
    return "" if status == 200 else f"port {port}: status {status}"


if __name__ == "__main__":
    asked = [os.environ.get(name, "").strip() for name in ("PORT", "HOST")]
    sys.exit(fault(asked[0] or "3000", host=asked[1].strip("[]")) or 0)
