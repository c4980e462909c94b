"""E-mail by SendGrid: `POST /v3/mail/send` on aiohttp.

The library `sendgrid` is not used: it is synchronous, so it would need a thread that cannot be
stopped at a time limit, and it hides whether a request was written before it failed.

202 means that SendGrid accepted the e-mail; bounces are visible at SendGrid only
(https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send).
"""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
import structlog

from agent.errors import MessageError, MessageRefusal, MessageRefusedError
from agent.ports import Mail
from agent.twilio.rest_client import is_certain_refusal, translating_errors

log = structlog.get_logger(__name__)

URL = "https://api.sendgrid.com/v3/mail/send"


class SendGrid:
    """Sends e-mails from one address; each at most once."""

    def __init__(self, http: aiohttp.ClientSession, api_key: str, sender: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Send an e-mail. Raises what `ports.Messenger.mail` raises."""
        recipient = {"email": mail.recipient, **({"name": mail.name} if mail.name else {})}
        body = {
            "personalizations": [{"to": [recipient]}],
            "from": {"email": self._sender},
            "subject": mail.subject,
            "content": [{"type": "text/html", "value": mail.html}],
        }
        with translating_errors():
            async with self._http.post(
                URL, json=body, headers=self._headers, allow_redirects=False
            ) as answer:
                status = answer.status
        if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            return
        log.warning("email.failed", status=status)
        if is_certain_refusal(status):
            raise MessageRefusedError(MessageRefusal.OTHER, f"HTTP {status}")
        raise MessageError(f"HTTP {status}")
