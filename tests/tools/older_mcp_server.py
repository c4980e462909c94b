"""An MCP server of an older protocol (2025-06-18) over its pipes, without any library.

Most servers there are speak it: a handshake, unrequested notices, no discovery. The
official library cannot be made to be so old.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOOLS = ["ping"]


def send(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def listed() -> dict[str, Any]:
    return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}


def initialized() -> dict[str, Any]:
    return {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "elder", "version": "1"},
    }


def called(name: str) -> dict[str, Any]:
    if name == "ping":
        TOOLS.append("pong")
        send(method="notifications/tools/list_changed")
    return {"content": [{"type": "text", "text": name}]}


def answered(request: dict[str, Any]) -> None:
    match request["method"]:
        case "initialize":
            send(id=request["id"], result=initialized())
        case "tools/list":
            send(id=request["id"], result=listed())
        case "tools/call":
            send(id=request["id"], result=called(request["params"]["name"]))
        case _:
            send(id=request["id"], error={"code": -32601, "message": "Method not found"})


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answered(message)
    elif message["method"] == "notifications/cancelled":
        break
