"""The emulator of Secrets Manager moves labels as moto does, and the service reads both alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.twilio.auth_tokens import AuthTokenError, open_auth_tokens
from tests.emulators.secrets_manager import ARN, SecretsManager, secrets_manager
from tests.templates.conftest import Account

pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setattr("agent.twilio.token_secret._PAUSE_SECONDS", 0.0)  # no second of waiting


async def _known(monkeypatch: pytest.MonkeyPatch, url: str, arn: str) -> tuple[str, ...]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
    async with open_auth_tokens([], arn) as tokens:
        return tokens.known


class Moto:
    """The same steps, as the commands of `docs/operate/secrets.md` do them."""

    def __init__(self, client: Any, text: str) -> None:
        self._client = client
        self.arn: str = client.create_secret(Name="voice/token", SecretString=text)["ARN"]
        self._new = self._old = ""

    def put_pending(self, text: str) -> None:
        put = self._client.put_secret_value
        current = self._client.get_secret_value(SecretId=self.arn, VersionStage="AWSCURRENT")
        self._old = current["VersionId"]
        made = put(SecretId=self.arn, SecretString=text, VersionStages=["AWSPENDING"])
        self._new = made["VersionId"]

    def make_current(self) -> None:
        move = self._client.update_secret_version_stage
        move(
            SecretId=self.arn, VersionStage="AWSCURRENT",
            MoveToVersionId=self._new, RemoveFromVersionId=self._old,
        )  # fmt: skip
        move(SecretId=self.arn, VersionStage="AWSPENDING", RemoveFromVersionId=self._new)

    def forget_previous(self) -> None:
        self._client.update_secret_version_stage(
            SecretId=self.arn, VersionStage="AWSPREVIOUS", RemoveFromVersionId=self._old
        )


Step = Callable[[SecretsManager | Moto], None]
STEPS: list[tuple[Step, tuple[str, ...]]] = [
    (lambda it: it.put_pending("b"), ("a", "b")),
    (lambda it: it.make_current(), ("b", "a")),
    (lambda it: it.put_pending("c"), ("b", "c", "a")),
    (lambda it: it.make_current(), ("c", "b")),
    (lambda it: it.forget_previous(), ("c",)),
]


async def test_a_rotation_is_read_alike(
    account: Account, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto = Moto(account("secretsmanager"), "a")
    async with secrets_manager(AWSCURRENT="a") as emulator:
        places = (moto_endpoint, moto.arn), (emulator.url, ARN)
        read = [[await _known(monkeypatch, *place) for place in places]]
        for step, _ in STEPS:
            step(moto)
            step(emulator)
            read.append([await _known(monkeypatch, *place) for place in places])

    assert read == [[known, known] for known in [("a",), *(known for _, known in STEPS)]]


async def test_missing_secret_is_named(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthTokenError, match="there is no such secret"):
        await _known(monkeypatch, moto_endpoint, ARN)
