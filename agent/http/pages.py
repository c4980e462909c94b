"""Pages for a browser: their files, the headers of each answer, and whose requests are answered.

The files are plain HTML, CSS and ES modules in `agent/http/assets`, read once and served by their
names from a fixed list; a path is never looked up on the disk. A page asks no other host, has no
inline script or style, and writes what it shows as text, never as HTML: the content security policy
forbids the rest, `require-trusted-types-for` even `innerHTML`
(https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/).

A request is answered if its `Host` is expected, so that a page elsewhere cannot reach a service on
this machine by a name that resolves to it (DNS rebinding), and if it shows one of the keys, where
there are keys: as the password of HTTP Basic, which every browser asks for by itself. A WebSocket
is opened with a ticket that was read from the page's own data, as another site can open one but
cannot read that.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from importlib.resources import files
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from agent.http.api import REFUSALS_OF_AN_ADDRESS, ApiKeys, RateLimiter

log = structlog.get_logger(__name__)

_POLICY: Mapping[str, str] = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
    "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'",
    "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
}  # fmt: skip


def content_policy(**further: str) -> dict[str, str]:
    """The header of a page that may do more; `_` in the name of a directive stands for `-`."""
    more = {name.replace("_", "-"): sources for name, sources in further.items()}
    policy = {**_POLICY, **{name: f"{_POLICY.get(name, '')} {it}" for name, it in more.items()}}
    told = (" ".join(f"{name} {sources}".split()) for name, sources in policy.items())
    return {"Content-Security-Policy": "; ".join(told)}


HEADERS: Mapping[str, str] = {
    **content_policy(),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer about a page, also of a refusal."""
_NOT_STORED: Mapping[str, str] = {hdrs.CACHE_CONTROL: "no-store"}
_TYPES = {
    "html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml",
}  # fmt: skip
_MINUTE = 60.0
_TICKET_SECONDS = 60.0
_MOST_TICKETS = 1000
_CREDENTIALS_LENGTH = 1000


class _PageFile(NamedTuple):
    body: bytes
    kind: str
    etag: str


class PageFiles:
    """The files of all pages, by their names; `more` are scripts from elsewhere."""

    def __init__(self, more: Mapping[str, bytes] | None = None) -> None:
        assets = files("agent.http").joinpath("assets").iterdir()
        bodies = {file.name: file.read_bytes() for file in assets}
        self._files = {
            name: _PageFile(body, kind, f'"{sha256(body).hexdigest()[:16]}"')
            for name, body in {**bodies, **(more or {})}.items()
            if (kind := _TYPES.get(name.rpartition(".")[2]))
        }

    def routes(
        self,
        path: str,
        page: str,
        check: Callable[[web.Request], object],
        policy: Mapping[str, str] | None = None,
    ) -> list[web.RouteDef]:
        """A page at a path such as `/phone`, and the files it names at `/phone/assets/`.

        `check` raises `web.HTTPException` for a request that is refused. `policy` is a header of
        `content_policy` for the page.
        """

        async def show_page(request: web.Request) -> web.Response:
            check(request)
            answer = self._answer(request, page)
            answer.headers.update(policy or {})
            return answer

        async def show_file(request: web.Request) -> web.Response:
            check(request)
            return self._answer(request, request.match_info["name"])

        return [web.get(path, show_page), web.get(f"{path}/assets/{{name}}", show_file)]

    def _answer(self, request: web.Request, name: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            return refused(404, "there is no such file")
        headers: dict[str, str] = {**HEADERS, hdrs.CACHE_CONTROL: "no-cache", hdrs.ETAG: file.etag}
        if request.headers.get(hdrs.IF_NONE_MATCH) == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=file.body, content_type=file.kind, charset="utf-8", headers=headers
        )


def refused(status: int, text: str, **more: str) -> web.Response:
    """A plain answer with the headers of pages; `_` in the name of a header stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return web.Response(
        status=status, text=f"{text}\n", headers={**HEADERS, **_NOT_STORED, **named}
    )


def private_json(body: bytes) -> web.Response:
    """Data of a page, which no cache keeps."""
    return web.Response(
        body=body, content_type="application/json", headers={**HEADERS, **_NOT_STORED}
    )


def private_download(text: str, kind: str, name: str) -> web.Response:
    """A file to keep, which no cache keeps and no browser shows in place of a page.

    `name` is of letters, digits and dots.
    """
    headers: dict[str, str] = {**HEADERS, **_NOT_STORED}
    headers[hdrs.CONTENT_DISPOSITION] = f'attachment; filename="{name}"'
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)


class PageRefusal(web.HTTPException):
    """Ends a request with an answer of `refused`."""

    status_code = 403

    def __init__(self, answer: web.Response) -> None:
        super().__init__(headers=answer.headers, text=answer.text)
        self.set_status(answer.status)


class PageGuard:
    """Decides whose requests about a page are answered.

    Args:
        keys: One of them must be shown; None = no key is needed.
        hosts: Names by which the service is known, besides addresses and `localhost`.
        clock: In seconds.
        only_this_machine: Without keys, requests of other machines are refused.
    """

    def __init__(
        self,
        keys: ApiKeys | None,
        hosts: Collection[str],
        clock: Callable[[], float],
        *,
        only_this_machine: bool = False,
    ) -> None:
        self._keys = keys
        self._hosts = {host.lower() for host in hosts}
        self._clock = clock
        self._only_this_machine = only_this_machine
        self._refusals = RateLimiter(REFUSALS_OF_AN_ADDRESS, _MINUTE, clock)
        self.open_tickets: dict[str, float] = {}
        """Not used yet, each with the time until which it counts."""

    def check(self, request: web.Request) -> int:
        """The index of the key that is shown, 0 if none is needed.

        Raises `web.HTTPException` with 401, 403 or 429 unless the request is answered.
        """
        if not self._is_expected(_host_name(f"//{request.headers.get(hdrs.HOST, '')}")):
            raise self._refusal("host", refused(403, "unknown host name"))
        if self._keys is None:
            if self._only_this_machine and not _is_loopback(request.remote):
                raise self._refusal("address", refused(403, "only from this machine, or with keys"))
            return 0
        holder = self._keys.holder(f"Bearer {_password(request)}")
        if holder is None:
            wait = self._refusals.wait(request.remote or "")
            if wait > 0:
                answer = refused(429, "too many wrong keys", Retry_After=str(int(wait) + 1))
                raise self._refusal("rate", answer)
            challenge = 'Basic realm="voice agent", charset="UTF-8"'
            raise self._refusal("key", refused(401, "a key is needed", WWW_Authenticate=challenge))
        return holder

    def ticket(self) -> str:
        """Opens one socket, once, within a minute; give it out in a checked answer only."""
        now = self._clock()
        self.open_tickets = {it: until for it, until in self.open_tickets.items() if until > now}
        if len(self.open_tickets) >= _MOST_TICKETS:
            self.open_tickets.pop(next(iter(self.open_tickets)))
        ticket = secrets.token_urlsafe(24)
        self.open_tickets[ticket] = now + _TICKET_SECONDS
        return ticket

    def check_socket(self, request: web.Request) -> None:
        """As `check`, for the handshake of a WebSocket: it shows a ticket, and its own origin."""
        host = request.headers.get(hdrs.HOST, "")
        until = self.open_tickets.pop(request.query.get("ticket", ""), 0.0)
        is_same = request.headers.get(hdrs.ORIGIN, "").partition("//")[2].lower() == host.lower()
        if until <= self._clock() or not is_same or not self._is_expected(_host_name(f"//{host}")):
            raise self._refusal("ticket", refused(403, "open the page again"))

    def _is_expected(self, host: str) -> bool:
        return host == "localhost" or host in self._hosts or _is_address(host)

    def _refusal(self, reason: str, answer: web.Response) -> PageRefusal:
        log.warning("page.refused", reason=reason, status=answer.status)
        return PageRefusal(answer)


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # such as an unclosed bracket
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(remote: str | None) -> bool:
    return _is_address(remote or "") and ip_address(remote or "").is_loopback


def _password(request: web.Request) -> str:
    """That of HTTP Basic (https://www.rfc-editor.org/rfc/rfc7617); empty if there is none."""
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "basic" or len(given) > _CREDENTIALS_LENGTH:
        return ""
    try:
        return b64decode(given, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
