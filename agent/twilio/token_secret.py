"""The secret of AWS Secrets Manager that holds the auth token: its address, and how it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import structlog

from agent.aws_requests import AWS_FAULTS, AwsRequests
from agent.errors import provider_kind
from agent.http_client import ClientLimits
from agent.twilio.auth_tokens import CURRENT, PENDING, PREVIOUS, AuthTokenError, SecretVersions

log = structlog.get_logger(__name__)

VARIABLE = "TWILIO_AUTH_TOKEN_SECRET_ARN"
READ_SECONDS = 4.0
"""For all versions together; shorter than Twilio's 15 s for a webhook."""
_READS_AT_START = 3
_PAUSE_SECONDS = 1.0
_LIMITS = ClientLimits(most=1, connect_seconds=1.0, read_seconds=2.0)
_JSON = {"Content-Type": "application/x-amz-json-1.1"}
_OK = 200
_REMEDIES = {
    "AccessDeniedException": (
        "no permission for secretsmanager:GetSecretValue, or for kms:Decrypt with its key"
    ),
    "DecryptionFailure": "its key cannot be used; kms:Decrypt is needed",
    "ResourceNotFoundException": "there is no such secret, or it has no value",
}


class SecretAddress(NamedTuple):
    """Where the token is, as `ValueFrom` of ECS says it: the ARN of a secret, perhaps a JSON key.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
    """

    arn: str
    region: str
    json_key: str
    """Empty = the whole text of the secret."""

    @classmethod
    def read(cls, text: str) -> SecretAddress:
        """From `arn:…:secret:NAME` or `arn:…:secret:NAME:KEY::`, which has been checked."""
        parts = text.split(":")
        return cls(":".join(parts[:7]), parts[3], ":".join(parts[7:]).removesuffix("::"))

    def token_in(self, text: object) -> str:
        """The token in the text of a version; empty if there is none."""
        found = text
        if self.json_key:
            try:
                found = msgspec.json.decode(str(text)).get(self.json_key)
            except (msgspec.DecodeError, AttributeError):  # not JSON, or no object
                found = ""
        return found.strip() if isinstance(found, str) else ""


class TokenSecret:
    """Reads the versions of a secret."""

    def __init__(self, address: SecretAddress, requests: AwsRequests) -> None:
        self._address = address
        self._requests = requests

    async def read(self) -> SecretVersions:
        """All versions; raises `AuthTokenError`, also if the current one has no token.

        A pending or previous version without a token is left out.
        """
        found = dict[str, str]()
        try:
            async with asyncio.timeout(READ_SECONDS):
                for stage in (PENDING, CURRENT, PREVIOUS):
                    if token := await self._token(stage):
                        found[stage] = token
        except AWS_FAULTS as error:
            raise self._error(f"it cannot be reached: {type(error).__name__}") from error
        if CURRENT not in found:
            key = self._address.json_key
            raise self._error(f"it has no token{f' under the key {key}' if key else ''}")
        return SecretVersions(found)

    async def read_at_start(self) -> SecretVersions:
        """The same, tried a few times: a new permission or network may take seconds."""
        for _ in range(_READS_AT_START - 1):
            try:
                return await self.read()
            except AuthTokenError as error:
                log.warning("auth_token.read_failed", fault=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
        return await self.read()

    async def _token(self, stage: str) -> str:
        asked = {"SecretId": self._address.arn, "VersionStage": stage}
        body = msgspec.json.encode(asked)
        answer = await self._requests.post("/", body, "secretsmanager.GetSecretValue")
        try:
            text = await answer.read()
        finally:
            answer.release()
        try:
            content: Any = msgspec.json.decode(text)
            kind = str(content.get("__type", "")).rpartition("#")[2]
        except (msgspec.DecodeError, AttributeError) as error:  # a page of a proxy
            fault = f"the answer is not of Secrets Manager: status {answer.status}"
            raise self._error(fault) from error
        if answer.status == _OK:
            return self._address.token_in(content.get("SecretString"))
        if kind == "ResourceNotFoundException" and stage != CURRENT:
            return ""
        fault = _REMEDIES.get(kind, f"{provider_kind(kind)}, status {answer.status}")
        raise self._error(f"{stage}: {fault}")

    def _error(self, fault: str) -> AuthTokenError:
        return AuthTokenError(f"{VARIABLE}: {self._address.arn}: {fault}")


@asynccontextmanager
async def open_secret(arn: str) -> AsyncIterator[TokenSecret]:
    """A secret that can be read; raises `AuthTokenError` if AWS is wrongly configured."""
    address = SecretAddress.read(arn)
    opening = AwsRequests.open(
        "secretsmanager", region=address.region, limits=_LIMITS, headers=_JSON
    )
    async with AsyncExitStack() as stack:
        try:
            requests = await stack.enter_async_context(opening)
        except AWS_FAULTS as error:  # its text names settings only
            raise AuthTokenError(f"{VARIABLE}: AWS configuration: {error}") from error
        yield TokenSecret(address, requests)
