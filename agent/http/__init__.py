"""HTTP: Twilio's webhooks, the relay socket, tokens for apps; health, metrics and operators.

`PUBLIC_ROUTES` are for everybody who finds the service, which lets them in by signature, token or
secret; the load balancer forwards them. `PRIVATE_ROUTES` are on a port that is never published.
"""

from __future__ import annotations

from aiohttp.web import AbstractRouteDef

from agent.http import action_webhook as action
from agent.http import answering_machine as answered
from agent.http import dial_api as dial
from agent.http import health as ops
from agent.http import relay_socket as call
from agent.http import sms_status as messages
from agent.http import token_api as token
from agent.http import voice_webhook as voice

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
