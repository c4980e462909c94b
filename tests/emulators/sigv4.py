"""AWS Signature Version 4, the checking side, written from its specification.

Written here and not taken from botocore: what signs the requests under test must not be what
checks them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request,\s*SignedHeaders=(?P<signed>[a-z0-9;-]+)"
    r",\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_SKEW = timedelta(minutes=5)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Keys:
    """Static credentials a server knows."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed: the request as the wire carried it."""

    method: str
    path: str
    """Still percent-encoded, with its query."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A well-formed Authorization header."""

    key: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str


def read_claim(authorization: str) -> Claim | None:
    """Parse an Authorization header; nothing when it is not well-formed."""
    found = _AUTHORIZATION.fullmatch(authorization.strip())
    if found is None:
        return None
    parts = found.groupdict()
    return Claim(
        parts["key"],
        parts["date"],
        parts["region"],
        parts["service"],
        tuple(parts["signed"].split(";")),
        parts["signature"],
    )


def is_fresh(request: Signed, claim: Claim) -> bool:
    """Whether the time stamp is of now and agrees with the credential's date."""
    stamp = request.headers.get("x-amz-date", "")
    try:
        at = datetime.strptime(stamp, _TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        return False
    return stamp.startswith(claim.date) and abs(datetime.now(UTC) - at) <= _SKEW


def signature(request: Signed, claim: Claim, secret_key: str) -> str:
    """The signature this request must carry."""
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            request.headers.get("x-amz-date", ""),
            scope,
            hashlib.sha256(_canonical(request, claim).encode()).hexdigest(),
        )
    )
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(request: Signed, claim: Claim) -> str:
    """The request in the one spelling that is signed; the path is percent-encoded once more."""
    path, _, query = request.path.partition("?")
    lines = [f"{name}:{_squeezed(request.headers.get(name, ''))}" for name in claim.signed]
    return "\n".join(
        (
            request.method,
            quote(path, safe="/-_.~"),
            "&".join(sorted(query.split("&"))) if query else "",
            *lines,
            "",
            ";".join(claim.signed),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _squeezed(value: str) -> str:
    return " ".join(value.split())
