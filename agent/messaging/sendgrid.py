"""E-mails by SendGrid (`POST /v3/mail/send`), with one JSON request on aiohttp.

The library `sendgrid` is not used: it is synchronous, so it would need a thread that nobody can
stop when time is up, and it hides whether a request was written before it failed. aiohttp and not
httpx2, since the same table of failures holds for Twilio's requests (`agent.twilio.rest_client`).

202 means that SendGrid has taken it over; bounces are seen there, not here.
"""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
import structlog

from agent.errors import MessageError, MessageRefusal, MessageRefusedError
from agent.ports import Mail
from agent.twilio.rest_client import refused, telling_apart

log = structlog.get_logger(__name__)

URL = "https://api.sendgrid.com/v3/mail/send"


class SendGrid:
    """Sends e-mails from one address; each at most once."""

    def __init__(self, http: aiohttp.ClientSession, api_key: str, sender: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Have an e-mail taken over. Errors as of `ports.Messenger`."""
        with telling_apart():
            async with self._http.post(
                URL, json=self._body(mail), headers=self._headers, allow_redirects=False
            ) as answer:
                status = answer.status
        if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            return
        log.warning("email.failed", status=status)
        if refused(status):
            raise MessageRefusedError(MessageRefusal.OTHER, f"HTTP {status}")
        raise MessageError(f"HTTP {status}")

    def _body(self, mail: Mail) -> dict[str, object]:
        recipient = {"email": mail.recipient, **({"name": mail.name} if mail.name else {})}
        return {
            "personalizations": [{"to": [recipient]}],
            "from": {"email": self._sender},
            "subject": mail.subject,
            "content": [{"type": "text/html", "value": mail.html}],
        }
