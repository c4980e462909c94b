"""Did Twilio send this? The check of webhooks and of the relay's handshake.

Relay reference sections 4.2 to 4.4. A signature covers the URL as Twilio knows it, so it is checked
against the configured public URLs and the request's own path and query, untouched. Host and
forwarding headers are not looked at: whoever sends them can choose them.

The handshake is signed with its `wss` scheme, and a webhook's signature is none for a handshake.
Twilio dials what the TwiML says, so we know the URL but for three spellings, and accept all: port
443 given or not, `/` of a bare host given or not, and a path prefix that a proxy in front of us has
taken away or left.

A handshake signature never expires and is the same for every call to the same URL. It proves that
Twilio was here once; that it is here now is for the single-use token in the URL.

Comparing, in constant time, is the library's. What we rely on beyond its documentation is pinned by
tests. Its SharedKey signatures are not accepted: whether they are used on a handshake is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from twilio.request_validator import (  # type: ignore[import-untyped] # ships no types
    RequestValidator,
)

_WELL_FORMED = re.compile(r"[A-Za-z0-9+/]{27}=")
"""The 20 bytes of an HMAC-SHA1 in Base64."""


def is_well_formed(signature: str | None) -> bool:
    """Whether a header can be a signature at all; cheap, and needs no body."""
    return signature is not None and _WELL_FORMED.fullmatch(signature) is not None


@dataclass(frozen=True, slots=True)
class _Base:
    origin: str
    prefix: str


class Signatures:
    """Checks with any of several auth tokens: while one is replaced, the old and the new count.

    Raises:
        ValueError: a token is empty, which anybody could sign with, or a URL is not of its kind.
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
            raw_path: Path and query, percent-encoded as they came.
            params: The form; a multi-dict where names can repeat, for each value counts. A value
                that is not text, such as an uploaded file, is none of Twilio's.
            signature: The header; None if there is none.
        """
        if not all(isinstance(value, str) for value in params.values()):
            return False
        return self._is_genuine(_urls(self._public, raw_path), params, signature)

    def handshake_is_genuine(self, raw_path: str, signature: str | None) -> bool:
        """Whether Twilio opens this socket; arguments as for a webhook."""
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
        except UnicodeEncodeError:  # bytes that are no text; nothing Twilio would have signed
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
