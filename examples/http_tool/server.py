"""A system with orders: `GET /orders/{number}` answers where an order is.

python examples/http_tool/server.py [PORT]
"""

from __future__ import annotations

import sys

from aiohttp import web

ORDERS = {"7": {"state": "on its way", "arrives": "at five"}, "8": {"state": "delivered"}}


async def order(request: web.Request) -> web.Response:
    """Answer one order; 404 with a sentence if there is none."""
    found = ORDERS.get(request.match_info["number"])
    if found is None:
        return web.json_response({"message": "There is no order with this number."}, status=404)
    return web.json_response(found)


def application() -> web.Application:
    """The whole server."""
    app = web.Application()
    app.router.add_get("/orders/{number}", order)
    return app


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    web.run_app(application(), host="127.0.0.1", port=port)
