"""Access tokens, read back by the library that Twilio publishes for them."""

from __future__ import annotations

from time import time

import jwt
import pytest
from twilio.jwt import JwtDecodeError  # type: ignore[import-untyped] # ships no types
from twilio.jwt.access_token import AccessToken  # type: ignore[import-untyped] # the same

from agent.twilio.rest_client import VoiceAccess

SECRET = "a-signing-secret-of-at-least-32-bytes"
PUSH = "CR" + "3" * 32


def access(*, push: str = "", now: float | None = None) -> VoiceAccess:
    return VoiceAccess(
        "AC" + "0" * 32,
        "SK" + "1" * 32,
        SECRET,
        "AP" + "2" * 32,
        push,
        clock=time if now is None else lambda: now,
    )


@pytest.mark.parametrize(
    ("push", "voice"),
    [
        ("", {"outgoing": {"application_sid": "AP" + "2" * 32}}),
        (
            PUSH,
            {
                "incoming": {"allow": True},
                "outgoing": {"application_sid": "AP" + "2" * 32},
                "push_credential_sid": PUSH,
            },
        ),
    ],
)
def test_token_grants_what_is_configured_and_nothing_else(
    push: str, voice: dict[str, object]
) -> None:
    """Signed with the key's secret; without a push credential the app only calls."""
    now = int(time())

    text = access(push=push, now=now).issue("ada_1")
    token = AccessToken.from_jwt(text, SECRET)

    assert token.headers == {"alg": "HS256", "typ": "JWT", "cty": "twilio-fpa;v=1"}
    assert token.payload == {
        "jti": token.payload["jti"],
        "iss": "SK" + "1" * 32,
        "sub": "AC" + "0" * 32,
        "nbf": now,
        "exp": now + 600,
        "grants": {"identity": "ada_1", "voice": voice},
    }


def test_token_of_another_secret_is_not_ours() -> None:
    """The check of the tests is a check."""
    text = access().issue("ada")

    with pytest.raises(JwtDecodeError):
        AccessToken.from_jwt(text, "another-secret-of-at-least-32-bytes!")


def test_token_is_of_no_use_after_ten_minutes() -> None:
    """It begins a call and is then forgotten."""
    fresh, stale = access(now=time() - 590), access(now=time() - 601)

    assert AccessToken.from_jwt(fresh.issue("ada"), SECRET).payload["grants"]["identity"] == "ada"
    with pytest.raises(JwtDecodeError, match="expired"):
        AccessToken.from_jwt(stale.issue("ada"), SECRET)


def test_secret_is_in_neither_the_token_nor_the_text_of_the_object() -> None:
    """What is logged by accident tells nothing."""
    issuer = access()

    assert SECRET not in repr(issuer)
    assert SECRET not in str(jwt.decode(issuer.issue("ada"), options={"verify_signature": False}))
