"""Who may ask for what is not for Twilio: the company's own servers, by a secret in a header.

`Authorization: Bearer <secret>`. Several secrets count at once, so that one can be replaced without
a gap. Rejected: signed requests, and tokens of an identity provider, which need a library in each
caller and keep out nobody whom a secret over TLS lets in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


class Keys:
    """The secrets of one route.

    Raises:
        ValueError: A secret is empty, which anybody could give.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets or not all(secrets):
            raise ValueError("secrets must be a list of texts that are not empty")
        self._digests = tuple(_digest(secret) for secret in secrets)

    def holder(self, header: str | None) -> int | None:
        """Which secret an `Authorization` header gives, by its place; None if it is none of ours.

        Takes the same time for every wrong one: digests are compared, in constant time.
        """
        scheme, _, given = (header or "").partition(" ")
        digest = _digest(given.strip())
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return found.index(True) if scheme.lower() == "bearer" and any(found) else None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
