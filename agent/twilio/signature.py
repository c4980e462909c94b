"""Verification of `X-Twilio-Signature` on webhooks and on the handshake of the relay socket.

A signature covers the URL as Twilio knows it (https://www.twilio.com/docs/usage/security), so it is
checked against the configured public URLs plus the path and query of the request. `Host` and
forwarding headers are ignored, because the sender chooses them.

A handshake is signed with its `wss` URL; the signature of a webhook is not valid for it. Three
spellings of the URL are accepted: with and without port 443, with and without the `/` of a bare
host, with and without a path prefix that a proxy removed. A handshake signature never expires, so
the single-use token in the URL proves that the request is current. SharedKey signatures are not
accepted: it is not documented whether a handshake uses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # ships no types

_WELL_FORMED = re.compile(r"[A-Za-z0-9+/]{27}=")  # the 20 bytes of an HMAC-SHA1 in Base64


def is_well_formed(signature: str | None) -> bool:
    """Whether a header has the form of a signature; needs no body."""
    return signature is not None and _WELL_FORMED.fullmatch(signature) is not None


class Signatures:
    """Verifies signatures by an auth token.

    `public_url` is the origin of the webhooks, `ws_url` that of the relay socket, as `Settings` has
    checked them.
    """

    def __init__(self, public_url: str, ws_url: str) -> None:
        self._public = _base(public_url)
        self._socket = _base(ws_url)

    def webhook_is_genuine(
        self, token: str, raw_path: str, params: Mapping[str, object], signature: str | None
    ) -> bool:
        """Whether Twilio sent this form, and signed it with this token, which must not be empty.

        `raw_path` is path and query, percent-encoded as received. `params` is a multi-dict if names
        can repeat, because every value is signed; a value that is not text, as a file, is refused.
        """
        if not all(isinstance(value, str) for value in params.values()):
            return False
        return _is_genuine(token, _urls(self._public, raw_path), params, signature)

    def handshake_is_genuine(self, token: str, raw_path: str, signature: str | None) -> bool:
        """Whether Twilio opens this socket; arguments as of `webhook_is_genuine`."""
        urls = [*_urls(self._socket, raw_path), *_bare_urls(self._socket, raw_path)]
        return _is_genuine(token, urls, {}, signature)


def _is_genuine(
    token: str, urls: Iterable[str], params: Mapping[str, object], signature: str | None
) -> bool:
    if not token:
        raise ValueError("the auth token must not be empty")
    if signature is None or not is_well_formed(signature):
        return False
    validator = RequestValidator(token)
    try:
        return any(validator.validate(url, params, signature) for url in urls)
    except UnicodeEncodeError:  # bytes that are not text; Twilio signs text only
        return False


def _base(url: str) -> tuple[str, str]:
    """The origin of a URL, and its path as a prefix."""
    parts = urlsplit(url)
    # The validator tries a URL with and without its port, but takes 80 for the default of wss.
    port = ":443" if parts.scheme == "wss" and parts.port is None else ""
    return f"{parts.scheme}://{parts.netloc}{port}", parts.path.rstrip("/")


def _urls(base: tuple[str, str], raw_path: str) -> Iterator[str]:
    if not raw_path.startswith("/"):
        return
    origin, prefix = base
    yield origin + prefix + raw_path
    path = raw_path.partition("?")[0] + "/"
    if prefix and path.startswith(prefix + "/"):
        yield origin + raw_path


def _bare_urls(base: tuple[str, str], raw_path: str) -> Iterator[str]:
    path, mark, query = raw_path.partition("?")
    if path == "/":
        yield "".join(base) + mark + query
