"""The body of a request: read within limits, by one rule for all routes.

- A body has at most `LARGEST_BODY_BYTES`, a form at most `MOST_FIELDS`. A body that announces more
  is refused before it is read.
- A form is UTF-8, as the URL Standard requires (https://url.spec.whatwg.org). Another `charset`
  makes it no form; no codec is looked up by that name. Some of Python's take a second for a body of
  this size, and Python remembers each name it was asked for.
- `Content-Type` has at most `LONGEST_TYPE` characters and is split at `;`. The standard library's
  parser takes milliseconds for a header of thousands of parameters.
- A body with a `Content-Encoding` is refused, and never decompressed (`auto_decompress=False` in
  `agent.http.server`): Twilio sends none.

A refusal is an answer 4xx, a count in `agent_bad_requests_total` and one line of the log.
How long a body may take is for `agent.http.server`.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from aiohttp import hdrs, web
from multidict import MultiDict

from agent.observability import Telemetry

log = structlog.get_logger(__name__)

TELEMETRY = web.AppKey("telemetry", Telemetry)
LARGEST_BODY_BYTES = 16 * 1024
MOST_FIELDS = 300
"""Twilio sends some forty; apps add their own."""
LONGEST_TYPE = 256
_FORM = "application/x-www-form-urlencoded"
_READ_AS_UTF_8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1"})
"""A form that is escaped as it should be is ASCII, and so the same in each of them."""

T = TypeVar("T")


def media_type(request: web.Request) -> str:
    """The type of the body; empty if it is not given, or its characters are not UTF-8."""
    header = request.headers.get(hdrs.CONTENT_TYPE, "")
    if len(header) > LONGEST_TYPE:
        return ""
    kind, *parameters = (each.strip().lower() for each in header.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in _READ_AS_UTF_8:
            return ""
    return kind


async def form_of(request: web.Request) -> MultiDict[str]:
    """The fields of a form; none where the body is not what its header says.

    Only the kind of form that Twilio sends: it has no files, and nothing reads several parts.

    Raises:
        web.HTTPException: The body is refused.
    """
    if media_type(request) != _FORM:
        return MultiDict()
    body = await body_of(request)
    if body.count(b"&") >= MOST_FIELDS:
        raise _refused(request, "fields", web.HTTPBadRequest())
    try:
        return MultiDict(parse_qsl(body.rstrip().decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        return MultiDict()


async def json_of(request: web.Request, kind: type[T]) -> T | None:
    """The body as JSON of this shape; None if it is none, or nested too deeply.

    Raises:
        web.HTTPException: The body is refused.
    """
    try:
        return msgspec.json.decode(await body_of(request), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


async def body_of(request: web.Request) -> bytes:
    """The body as it was sent.

    Raises:
        web.HTTPException: It is encoded, too large, broken, or its sender has left.
    """
    encodings = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
    if any(each.strip().lower() not in {"", "identity"} for each in encodings.split(",")):
        raise _refused(request, "encoding", web.HTTPUnsupportedMediaType())
    _check_size(request, request.content_length or 0)
    body = bytearray()
    try:
        while part := await request.content.readany():
            body += part
            _check_size(request, len(body))
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _refused(request, "broken", web.HTTPBadRequest()) from error
    return bytes(body)


def _check_size(request: web.Request, size: int) -> None:
    if size > LARGEST_BODY_BYTES:
        too_large = web.HTTPRequestEntityTooLarge(LARGEST_BODY_BYTES, size)
        raise _refused(request, "too_large", too_large)


def _refused(request: web.Request, reason: str, answer: web.HTTPException) -> web.HTTPException:
    request.app[TELEMETRY].count("agent_bad_requests_total", reason=reason)
    log.warning("request.refused", reason=reason, status=answer.status)
    return answer
