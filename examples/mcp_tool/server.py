"""An MCP server with one tool, over standard input and output. It needs the package `mcp`."""

from __future__ import annotations

from mcp.server import MCPServer

STOCK = {"tulips": 40, "roses": 0}
SERVER = MCPServer("stock", log_level="ERROR")


@SERVER.tool()
def in_stock(article: str) -> dict[str, object]:
    """Tell how many pieces of an article are in stock."""
    return {"article": article, "pieces": STOCK.get(article.lower(), 0)}


if __name__ == "__main__":
    SERVER.run("stdio")
