"""Who may look at the console and who may act, and whose requests are the page's own.

Every request shows a key of `CONSOLE_API_KEYS` (`agent.http.pages.PageGuard`). An act needs a key
that may act. It must be JSON, which a page of another site cannot send without being asked
(https://fetch.spec.whatwg.org/#cors-safelisted-request-header), and of the own origin if it names
one. What costs much to answer is refused to a page of another site, too.
"""

from __future__ import annotations

import re
from time import monotonic
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from agent.http.api import ApiKeys
from agent.http.middleware import media_type
from agent.http.pages import PageGuard, PageRefusal, refused
from agent.settings import Settings
from agent.settings.setting_types import OperatorKey

log = structlog.get_logger(__name__)

_CALL = re.compile(r"[A-Za-z0-9]{2,64}")


class OperatorAccess:
    """Checks requests; all methods raise `web.HTTPException` for one that is refused."""

    def __init__(self, settings: Settings, keys: tuple[OperatorKey, ...]) -> None:
        hosts = {urlsplit(url).hostname or "" for url in (settings.ws_url, settings.origin)}
        self._keys = keys
        self._guard = PageGuard(ApiKeys([key.secret for key in keys]), hosts, monotonic)

    def key(self, request: web.Request) -> OperatorKey:
        """The key that is shown."""
        return self._keys[self._guard.check(request)]

    def own_key(self, request: web.Request) -> OperatorKey:
        """As `key`, of a request that no page of another site sends; a program names no origin."""
        key = self.key(request)
        if not _is_own(request):
            raise PageRefusal(refused(403, "open the page itself"))
        return key

    def acting_key(self, request: web.Request) -> OperatorKey:
        """As `key`, of a request that changes something."""
        key = self.key(request)
        if not key.may_act:
            log.warning("operator.refused", reason="role", operator=key.name)
            raise PageRefusal(refused(403, "this key may look, and not act"))
        if media_type(request) != "application/json" or not _is_own(request):
            log.warning("operator.refused", reason="origin", operator=key.name)
            raise PageRefusal(refused(403, "needs JSON from the page itself"))
        return key


def call_of(request: web.Request) -> str:
    """The call that the path names; raises `web.HTTPException` if it can be none."""
    call_sid = request.match_info["call"]
    if not _CALL.fullmatch(call_sid):
        raise PageRefusal(refused(404, "there is no such call"))
    return call_sid


def _is_own(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get(hdrs.ORIGIN)
    host = request.headers.get(hdrs.HOST, "").lower()
    is_same = origin is None or origin.partition("//")[2].lower() == host
    return is_same and site in {"same-origin", "none"}
