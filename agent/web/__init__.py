"""HTTP: Twilio's webhooks, the relay socket, tokens for apps; health, metrics and operators.

`PUBLIC_ROUTES` are for everybody who finds the service, which lets them in by signature, token or
secret; the load balancer forwards them. `PRIVATE_ROUTES` are on a port that is never published.
"""

from __future__ import annotations

from aiohttp.web import AbstractRouteDef

from agent.web import action, answered, call, dial, messages, ops, token, voice

__all__ = ["PRIVATE_ROUTES", "PUBLIC_ROUTES"]

PUBLIC_ROUTES: tuple[AbstractRouteDef, ...] = (
    *voice.routes,
    *action.routes,
    *answered.routes,
    *messages.routes,
    *call.routes,
    *token.routes,
    *ops.public_routes,
)
PRIVATE_ROUTES: tuple[AbstractRouteDef, ...] = (*ops.private_routes, *dial.routes)
