"""HTTP: webhooks of Twilio, the relay socket, the API for the company's servers, health, metrics.

`PUBLIC_ROUTES` are behind the load balancer; each checks a signature, a token or an API key.
`PRIVATE_ROUTES` are on a port that is never published.
"""

from __future__ import annotations

from aiohttp.web import AbstractRouteDef

from agent.http import action_webhook, api, relay_socket, server, voice_webhook

PUBLIC_ROUTES: tuple[AbstractRouteDef, ...] = (
    *voice_webhook.routes,
    *action_webhook.routes,
    *relay_socket.routes,
    *api.public_routes,
    *server.public_routes,
)
PRIVATE_ROUTES: tuple[AbstractRouteDef, ...] = (*server.private_routes, *api.private_routes)
