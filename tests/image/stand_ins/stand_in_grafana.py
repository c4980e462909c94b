"""Answers in place of Grafana, as far as docker-compose.yml decides the answers.

It reads the provisioning from the same variables and folders, and answers on the same port and
paths: health, the list of dashboards, and queries through a data source. It draws nothing.
Anonymous users are let in only if the variables of Grafana say so.
"""

from __future__ import annotations

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

_PORT = 3000
_SECONDS = 10.0


def provisioned(kind: str, key: str) -> str:
    """The value of a key in the provisioning files of a kind, variables filled in."""
    for path in sorted((Path(os.environ["GF_PATHS_PROVISIONING"]) / kind).glob("*.yml")):
        found = re.search(rf"^ +{key}: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return os.path.expandvars(found[1])
    return ""


def dashboards() -> list[dict[str, str]]:
    """Every dashboard in the provisioned folder."""
    paths = sorted(Path(provisioned("dashboards", "path")).glob("*.json"))
    loaded = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [{"uid": each["uid"], "title": each["title"], "type": "dash-db"} for each in loaded]


def answer(path: str) -> tuple[int, Any]:
    """Status and content of the answer to a GET."""
    if path == "/api/health":
        return 200, {"database": "ok"}
    if os.environ.get("GF_AUTH_ANONYMOUS_ENABLED") != "true":
        return 401, {"message": "Unauthorized"}
    if path.startswith("/api/search"):
        return 200, dashboards()
    source = f"/api/datasources/proxy/uid/{provisioned('datasources', 'uid')}"
    if path.startswith(f"{source}/"):
        asked = provisioned("datasources", "url") + path.removeprefix(source)
        try:
            with urlopen(asked, timeout=_SECONDS) as response:  # noqa: S310 (compose says where)
                return 200, json.load(response)
        except URLError as error:
            return 502, {"message": str(error.reason)}
    return 404, {"message": "Not found"}


class Answers(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        status, content = answer(self.path)
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", _PORT), Answers).serve_forever()
