"""For balancers, orchestrators and scrapers: is it alive, may it have calls, what it measures."""

from __future__ import annotations

from aiohttp import web

from agent.http.middleware import CALLS, TELEMETRY

public_routes = web.RouteTableDef()
private_routes = web.RouteTableDef()


@public_routes.get("/health")
@public_routes.get("/health/live")
async def live(_: web.Request) -> web.Response:
    """The event loop answers."""
    return web.Response(text="Healthy")


@public_routes.get("/health/ready")
async def ready(request: web.Request) -> web.Response:
    """New calls are welcome. A full process is ready: it tells callers so itself.

    So is one whose sources of tools are away: the second line names them.
    """
    if request.app[CALLS].active_calls.is_draining:
        return web.Response(status=503, text="Draining")
    away = request.app[CALLS].resources.toolkit.away
    return web.Response(text=f"Ready\ntool sources away: {', '.join(away)}" if away else "Ready")


@private_routes.get("/health/detail")
async def detail(request: web.Request) -> web.Response:
    """What had to be left out of the use cases: calls are taken nevertheless."""
    calls = request.app[CALLS]
    lines = ["Draining" if calls.active_calls.is_draining else "Ready", *calls.setup.remarks]
    return web.Response(text="\n".join(lines))


@private_routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """All metrics, as text or OpenMetrics."""
    body, content_type = request.app[TELEMETRY].render(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})
