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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # ships no types

_WELL_FORMED = re.compile(r"[A-Za-z0-9+/]{27}=")
"""The 20 bytes of an HMAC-SHA1 in Base64."""


def is_well_formed(signature: str | None) -> bool:
    """Whether a header has the form of a signature; needs no body."""
    return signature is not None and _WELL_FORMED.fullmatch(signature) is not None


@dataclass(frozen=True, slots=True)
class _Base:
    origin: str
    prefix: str


class Signatures:
    """Verifies signatures.

    Args:
        auth_tokens: A signature by any of them is valid, so that a token can be rotated.
        public_url: Origin of the webhooks, `https` or `http`.
        ws_url: Of the relay socket, `wss` or `ws`.

    Raises:
        ValueError: A token is empty, or a URL has another scheme or a user name.
    """

    def __init__(self, auth_tokens: Sequence[str], public_url: str, ws_url: str) -> None:
        if isinstance(auth_tokens, str) or not all(auth_tokens):
            raise ValueError("auth tokens must be a list of texts that are not empty")
        self._validators = tuple(RequestValidator(token) for token in auth_tokens)
        self._public = _base(public_url, "https", "http")
        self._socket = _base(ws_url, "wss", "ws")

    def webhook_is_genuine(
        self, raw_path: str, params: Mapping[str, object], signature: str | None
    ) -> bool:
        """Whether Twilio sent this form.

        Args:
            raw_path: Path and query, percent-encoded as received.
            params: A multi-dict if names can repeat, because every value is signed. A form
                with a value that is not text, such as a file, is refused.
            signature: The header; None if it is missing.
        """
        if not all(isinstance(value, str) for value in params.values()):
            return False
        return self._is_genuine(_urls(self._public, raw_path), params, signature)

    def handshake_is_genuine(self, raw_path: str, signature: str | None) -> bool:
        """Whether Twilio opens this socket; arguments as of `webhook_is_genuine`."""
        urls = [*_urls(self._socket, raw_path), *_bare_urls(self._socket, raw_path)]
        return self._is_genuine(urls, {}, signature)

    def _is_genuine(
        self, urls: Iterable[str], params: Mapping[str, object], signature: str | None
    ) -> bool:
        if signature is None or not is_well_formed(signature):
            return False
        try:
            return any(
                validator.validate(url, params, signature)
                for url in urls
                for validator in self._validators
            )
        except UnicodeEncodeError:  # bytes that are not text; Twilio signs text only
            return False


def _base(url: str, *schemes: str) -> _Base:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"must be a URL of {' or '.join(schemes)}, without a user name")
    # The validator tries a URL with and without its port, but takes 80 for the default of wss.
    port = ":443" if parts.scheme == "wss" and parts.port is None else ""
    return _Base(f"{parts.scheme}://{parts.netloc}{port}", parts.path.rstrip("/"))


def _urls(base: _Base, raw_path: str) -> Iterator[str]:
    if not raw_path.startswith("/"):
        return
    yield base.origin + base.prefix + raw_path
    path = raw_path.partition("?")[0] + "/"
    if base.prefix and path.startswith(base.prefix + "/"):
        yield base.origin + raw_path


def _bare_urls(base: _Base, raw_path: str) -> Iterator[str]:
    path, mark, query = raw_path.partition("?")
    if path == "/":
        yield base.origin + base.prefix + mark + query
