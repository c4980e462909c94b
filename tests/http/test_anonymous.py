"""No anonymous request gets a 5xx: six a minute would roll a deployment back.

The load balancer's count of 5xx answers is the alarm of a deployment, and the public port is open
to all. Raw requests of many kinds, and all that Hypothesis makes of their parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Server, serving, settings_for
from tests.waiting import no_longer

PATHS = (
    "/", "/twiml", "/twiml/", "/twiml/action", "/twiml/action?cause=lost&attempt=99999999999999",
    "/twiml?dial=x", "/twiml?attempt=-1", "/conversation-relay", "/?callSid=CA1&token=x",
    "/conversation-relay?callSid=%00&token=%ff", "/token", "/token/", "/messages/status",
    "/calls/status", "/health", "/health/live", "/health/ready", "/health/detail", "/metrics",
    "/series", "/dial", "/drain", "/favicon.ico", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
    "//", "///twiml", "/%", "/%zz", "/%00", "/%ff%fe", "/\xe9", "/" + "a" * 7000,
    "/?" + "b=c&" * 1500,
    "*", "http://x/twiml", "http://x:99999/", "http://[::1/", "http://[v1.x]:1/", "x", "?", "/#",
    "/twiml;a=b", "/twiml%3f", "/.env", "/wp-login.php", "/cgi-bin/test", "/token?identity=x",
)  # fmt: skip
METHODS = (
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "get", "G\xcbT", "X" * 300,
)  # fmt: skip
_UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
_FORM = "Content-Type: application/x-www-form-urlencoded"
_SIGNED = "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA="
HEADS: tuple[tuple[str, ...], ...] = (
    (),
    ("Content-Length: -1",),
    ("Content-Length: 5, 6",),
    ("Content-Length: 99999999999999999999",),
    ("Content-Length: 3", "Content-Length: 4"),
    ("Transfer-Encoding: chunked",),
    ("Transfer-Encoding: gzip, chunked",),
    ("Transfer-Encoding: identity",),
    ("Transfer-Encoding: chunked", "Content-Length: 3"),
    ("Expect: 100-continue", "Content-Length: 3"),
    ("Expect: something-else",),
    ("Content-Encoding: gzip", _SIGNED, _FORM, "Content-Length: 3"),
    ("Content-Encoding: zstd", "Content-Length: 3"),
    (_FORM, "Content-Length: 3"),
    (_FORM, _SIGNED, "Content-Length: 3"),
    (f"{_FORM}; charset=utf-7", _SIGNED, "Content-Length: 3"),
    ("Content-Type: application/json", "Content-Length: 3"),
    ("Content-Type: multipart/form-data; boundary=x", _SIGNED, "Content-Length: 3"),
    ("Content-Type: " + ";" * 3000,),
    ("Authorization: Bearer \xff\xfe",),
    ("Authorization: Basic Og==",),
    ("Authorization: Bearer " + "x" * 5000,),
    ("X-Twilio-Signature: \xe9",),
    ("X-Twilio-Signature: ", "X-Twilio-Signature: x"),
    ("Cookie: " + "a=b; " * 1000,),
    ("X-Long: " + "x" * 9000,),
    *(tuple(f"X-Many-{number}: x" for number in range(count)) for count in (50, 300)),
    ("Bad header",),
    (": no name",),
    ("Name : space",),
    ("Folded: a", " b"),
    ("Null: \x00",),
    ("Host: y", "Host: z"),
    ("Host: [::1",),
    ("Host: x:99999",),
    ("Connection: close",),
    ("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    ("Connection: Upgrade", "Upgrade: websocket"),
    _UPGRADE,
    (*_UPGRADE, _SIGNED),
    (*_UPGRADE, "X-Twilio-Signature: \xe9"),
    (*_UPGRADE[:3], "Sec-WebSocket-Key: x"),
    (*_UPGRADE[:2], "Sec-WebSocket-Version: 99", _UPGRADE[3]),
    (*_UPGRADE, "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: permessage-deflate"),
    (*_UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"),
    (*_UPGRADE, "Origin: null"),
    ("Range: bytes=0-1,5-",),
    ("If-Modified-Since: yesterday",),
    ("Accept-Encoding: \xff",),
)  # fmt: skip
BODIES = (
    b"",
    b"a=b",
    b"{}",
    b"\xff\xfe",
    b"0\r\n\r\n",
    b"3\r\na=b\r\n0\r\n\r\n",
    b"zz\r\n",
    b"a" * 20_000,
)
_AT_ONCE = 60
"""Requests; far fewer than connections may wait from one address."""
RAW = (
    b"", b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 100,
    b"SSH-2.0-x\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"EHLO x\r\n", b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\n\n", b"GET  / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 9000, b"GET / HTTP/1.0\r\n\r\n",
    b"POST /twiml HTTP/1.0\r\nContent-Length: 9\r\n\r\n",
)  # fmt: skip


def request(method: str, path: str, head: Sequence[str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *head, "", ""]
    return "\r\n".join(lines).encode("latin-1", errors="replace") + body


async def status(port: int, text: bytes) -> int:
    """Of the first final answer to these bytes; 0 if the service closes without any."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text)
        async with no_longer():
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if (found := int(head.split()[1])) >= 200:
                    return found
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0
    finally:
        writer.close()


async def answered(port: int, texts: Sequence[bytes]) -> dict[int, list[bytes]]:
    """The requests by the status of their answers."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(text: bytes) -> int:
        async with gate:
            return await status(port, text)

    by_status: dict[int, list[bytes]] = {}
    for text, found in zip(texts, await asyncio.gather(*map(one, texts)), strict=True):
        by_status.setdefault(found, []).append(text[:200])
    return by_status


def server_errors(by_status: dict[int, list[bytes]]) -> list[bytes]:
    return [text for found, texts in by_status.items() if found >= 500 for text in texts]


async def test_no_method_on_any_path_gets_a_server_error(server: Server) -> None:
    texts = [request(method, path, (), b"") for path in PATHS for method in METHODS]

    by_status = await answered(server.service.port, texts)

    assert server_errors(by_status) == []
    assert by_status.keys() >= {200, 400, 403, 404, 405, 426}


async def test_no_head_and_no_body_gets_a_server_error(server: Server) -> None:
    routes = ("/", "/twiml", "/twiml/action", "/token", "/messages/status", "/calls/status")
    texts = [
        request(method, path, head, body)
        for path in routes
        for head in HEADS
        for method, body in (("GET", b""), ("POST", BODIES[1]))
    ]
    texts += [request("POST", path, HEADS[14], body) for path in routes for body in BODIES]

    by_status = await answered(server.service.port, [*texts, *RAW])

    assert server_errors(by_status) == []
    assert by_status.keys() >= {400, 403, 404, 417, 426}


@pytest.mark.needs("time")
def test_no_mixture_of_them_gets_a_server_error(table: Path) -> None:
    """Methods, paths, up to four lines of heads, and bodies, as Hypothesis mixes them."""
    lines = sorted({line for head in HEADS for line in head})

    @settings(max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(METHODS[:4]),
                st.sampled_from(PATHS) | st.text(st.characters(codec="latin-1"), max_size=20),
                st.lists(st.sampled_from(lines), max_size=4),
                st.sampled_from(BODIES),
            ),
            min_size=5,
            max_size=10,
        )
    )
    def mixed(requests: list[tuple[str, str, list[str], bytes]]) -> None:
        texts = [request(*each) for each in requests]

        assert server_errors(runner.run(answered(server.service.port, texts))) == []

    with asyncio.Runner() as runner:
        opened = serving(settings_for(table))
        server = runner.run(opened.__aenter__())
        try:
            mixed()
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def test_token_route_that_is_not_configured_is_not_there(server: Server) -> None:
    assert await status(server.service.port, request("POST", "/token", (), b"")) == 404
