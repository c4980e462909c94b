"""One secret of AWS Secrets Manager with its versions and their labels, on a free loopback port.

Labels move as the service moves them: a version that becomes `AWSCURRENT` makes the one before
`AWSPREVIOUS`; a label is at one version only; a version without a label cannot be read.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
`tests/templates/test_secret_versions.py` holds it equal to moto.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.listening import listening

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:voice/twilio-auth-token-AbCdEf"
PENDING, CURRENT, PREVIOUS = "AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"
_SCOPE = "/us-east-1/secretsmanager/aws4_request, "


@dataclass(slots=True)
class SecretsManager:
    """The secret at `ARN`; `versions` are its texts by label."""

    versions: dict[str, str]
    url: str = ""
    is_away: bool = False
    """Close each connection without an answer."""
    refusal: str = ""
    """Kind of error for each request."""
    reads: list[str] = field(default_factory=list)
    """The label of each request, also of those without an answer."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a service that reads this secret."""
        return {
            "TWILIO_AUTH_TOKEN": "",
            "TWILIO_AUTH_TOKEN_SECRET_ARN": ARN,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.url,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
        }

    def put_pending(self, text: str) -> None:
        """`put-secret-value --version-stages AWSPENDING`."""
        self.versions[PENDING] = text

    def make_current(self) -> None:
        """Move `AWSCURRENT` to the pending version, then take `AWSPENDING` from it."""
        self.versions[PREVIOUS] = self.versions[CURRENT]
        self.versions[CURRENT] = self.versions.pop(PENDING)

    def forget_previous(self) -> None:
        """Take `AWSPREVIOUS` from its version."""
        del self.versions[PREVIOUS]

    async def answer(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        self.reads.append(asked["VersionStage"])
        if self.is_away:
            assert request.transport is not None
            request.transport.abort()
        if _SCOPE not in request.headers["Authorization"]:
            return _error("InvalidSignatureException", "wrong scope")
        if request.headers["X-Amz-Target"] != "secretsmanager.GetSecretValue":
            return _error("InvalidRequestException", "unknown operation")
        if self.refusal:
            return _error(self.refusal, "refused")
        if asked["SecretId"] != ARN:
            return _error("ResourceNotFoundException", "there is no such secret")
        if (stage := asked["VersionStage"]) not in self.versions:
            return _error("ResourceNotFoundException", f"there is no version {stage}")
        return _json({"ARN": ARN, "SecretString": self.versions[stage], "VersionStages": [stage]})


def _error(kind: str, message: str) -> web.Response:
    return _json({"__type": kind, "Message": message}, 400)


def _json(content: dict[str, object], status: int = 200) -> web.Response:
    kind = "application/x-amz-json-1.1"
    return web.Response(text=json.dumps(content), status=status, content_type=kind)


@asynccontextmanager
async def secrets_manager(**versions: str) -> AsyncIterator[SecretsManager]:
    """A secret with these versions, by label."""
    emulator = SecretsManager(versions)
    application = web.Application()
    application.router.add_post("/", emulator.answer)
    async with listening(application, shutdown_timeout=0.1) as emulator.url:
        yield emulator
