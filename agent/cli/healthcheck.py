"""`python -m agent.cli.healthcheck`: whether the service of this container answers; status 0 or 1.

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


_OWN = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound)
"""Where a service is asked that listens on every address."""


def fault(port: str, seconds: float = _SECONDS, host: str = "") -> str:
    """What is wrong with the service on a port of this machine, in one line; empty if nothing."""
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
