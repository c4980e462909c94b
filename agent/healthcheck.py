"""`python -m agent.healthcheck`: whether the service of this container answers; status 0 or 1.

For the image's HEALTHCHECK and the task definition, which have neither a shell nor curl. It asks
`/health/live` and not `/health/ready`: whoever finds a container unhealthy kills it, and one that
drains is not ready and still has calls. It begins every few seconds beside them, so it imports
nothing of the package and little of the library.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException

_SECONDS = 2.0
"""For connecting, and for each part of the answer."""


def fault(port: str, seconds: float = _SECONDS) -> str:
    """What is wrong with the service on a port of this machine, in one line; empty if nothing."""
    try:
        with closing(HTTPConnection("127.0.0.1", int(port), timeout=seconds)) as connection:
            connection.request("GET", "/health/live")
            status = connection.getresponse().status
    except (OSError, ValueError, OverflowError, HTTPException) as error:
        return f"port {port}: {type(error).__name__}: {error}"
    return "" if status == 200 else f"port {port}: status {status}"


if __name__ == "__main__":
    sys.exit(fault(os.environ.get("PORT", "").strip() or "3000") or 0)
