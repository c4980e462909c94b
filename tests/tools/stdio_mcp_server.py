"""An MCP server made with the library's decorators; serves over its pipes."""

from __future__ import annotations

import os
import sys

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

READS = ToolAnnotations(read_only_hint=True)

MARKET = MCPServer("market", log_level="ERROR")


@MARKET.tool(annotations=READS)
def price(fruit: str, kilos: float = 1.0) -> dict[str, object]:
    """Price of a fruit."""
    return {"fruit": fruit, "price": 2.5 * kilos}


@MARKET.tool()
def process_number() -> str:
    """Number of the process that serves."""
    return str(os.getpid())


@MARKET.tool()
def environment() -> str:
    """Names of the variables that the process has."""
    return " ".join(sorted(os.environ))


@MARKET.tool(annotations=READS)
def die() -> str:
    """End the process in the middle of an answer."""
    sys.stderr.write("the caller is +15550100001\n")
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    MARKET.run()
