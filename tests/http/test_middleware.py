"""Limits of bodies and heads of unsigned requests, on a real port."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from multidict import MultiDict
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no stubs

from agent.http.middleware import LARGEST_BODY_BYTES, MOST_FIELDS
from agent.simulator.carrier import call_fields
from agent.twilio.signature import is_well_formed
from tests.servers import TOKEN, VOICE_URL, Server
from tests.waiting import no_longer

FORM = "application/x-www-form-urlencoded"
GUESS = "A" * 27 + "="
"""Of the form of a signature."""
PATHS = ["/twiml", "/twiml/action", "/messages/status", "/calls/status"]


async def send(server: Server, text: bytes) -> bytes:
    """The answer to these bytes, up to the end of the head or of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.service.port)
    try:
        writer.write(text)
        async with no_longer():
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    finally:
        writer.close()


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    """The head of the next answer."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


async def post_signed(server: Server, fields: Mapping[str, str], **headers: str) -> int:
    """Post a correctly signed form to the voice webhook; returns the status."""
    signature: str = RequestValidator(TOKEN).compute_signature(VOICE_URL, fields)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.twilio.http.post(
        server.url("/twiml"), data=fields, headers={**names, "X-Twilio-Signature": signature}
    ) as response:
        return response.status


async def bad(server: Server, reason: str) -> float:
    return await server.metric("agent_bad_requests_total", reason=reason)


@contextmanager
def looked_up() -> Iterator[list[str]]:
    """Names of codecs that Python looks up and does not know yet."""
    names: list[str] = []

    def note(name: str) -> None:
        names.append(name)

    codecs.register(note)
    try:
        yield names
    finally:
        codecs.unregister(note)


@pytest.mark.parametrize(
    "charset",
    ["edge-{}", '"edge {}"', "EDGE_{}", "edge-{}; charset=utf-8", "utf-8; charset=edge-{}"],
)
async def test_no_codec_is_looked_up_by_a_name_of_the_peer(server: Server, charset: str) -> None:
    """Python keeps each name, and some codecs take a second for 64 KB."""
    with looked_up() as names:
        for path in PATHS:
            name = charset.format(abs(hash((path, charset))))
            headers = {"Content-Type": f"{FORM}; charset={name}", "X-Twilio-Signature": GUESS}
            async with server.twilio.http.post(
                server.url(path), data=b"a=" + b"b" * 1000, headers=headers
            ) as response:
                assert response.status == 403

    assert [each for each in names if "edge" in each.lower()] == []


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (FORM, 200),
        (f"{FORM}; charset=UTF-8", 200),
        (f'{FORM};charset="utf-8"', 200),
        (f"{FORM.upper()} ; Charset=utf8", 200),
        (f"{FORM}{';a=b' * 1500}", 403),
    ],
)
async def test_signed_form_is_read_as_utf_8(server: Server, content_type: str, status: int) -> None:
    """A type of thousands of parameters is no form."""
    fields = MultiDict(call_fields(app_screen="Zürich ☕"))
    headers = {"Content_Type": content_type, "Content_Encoding": "identity"}

    assert await post_signed(server, fields, **headers) == status


async def test_body_of_a_request_without_a_signature_is_not_waited_for(server: Server) -> None:
    """One server for all: it ends seconds after a client that owes it a body."""
    wrong = ("", "x", "A" * 28, "A" * 26 + "==", GUESS + " x", "é" * 28, GUESS * 2)
    for lines in ([], *([f"X-Twilio-Signature: {signature}"] for signature in wrong)):
        for path in PATHS:
            request = head(path, f"Content-Type: {FORM}", "Content-Length: 9", *lines)
            answer = await send(server, request)

            assert status(answer) == 403, (lines, path)
            assert b"connection: close" in answer.lower(), (lines, path)


def test_signature_has_the_form_of_20_bytes() -> None:
    made: str = RequestValidator(TOKEN).compute_signature(VOICE_URL, {})

    assert is_well_formed(made) and is_well_formed(GUESS)
    assert not any(map(is_well_formed, (None, "", made + "\n", made[:-1], f" {made}", "é" * 28)))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip", gzip.compress(b"a" * 10_000_000)),
        ("deflate", zlib.compress(b"a" * 10_000_000)),
        ("zstd", b"x"),
        ("gzip, gzip", b"x"),
        ("identity, br", b"x"),
        ("GZIP", b"not gzip"),
        ("no-such-thing", b"x"),
    ],
)
async def test_encoded_body_is_refused_and_not_decompressed(
    server: Server, encoding: str, body: bytes
) -> None:
    lines = [
        f"Content-Type: {FORM}",
        f"Content-Encoding: {encoding}",
        f"X-Twilio-Signature: {GUESS}",
        f"Content-Length: {len(body)}",
    ]
    with capture_logs() as logs:
        answer = await send(server, head("/twiml", *lines) + body)

    assert status(answer) == 415
    assert [(entry["event"], "exc_info" in entry) for entry in logs] == [("request.refused", False)]
    assert await bad(server, "encoding") == 1


@pytest.mark.parametrize(
    ("lines", "body", "code", "reason"),
    [
        ([f"Content-Length: {LARGEST_BODY_BYTES + 1}"], b"", 413, "too_large"),
        (
            ["Transfer-Encoding: chunked"],
            b"11000\r\n" + b"a" * 0x11000 + b"\r\n0\r\n\r\n",
            413,
            "too_large",
        ),
        ([f"Content-Length: {MOST_FIELDS * 2 + 1}"], b"a&" * MOST_FIELDS + b"a", 400, "fields"),
        (["Transfer-Encoding: chunked"], b"zz\r\n", 400, "protocol"),
        (["Transfer-Encoding: chunked"], b"1\r\na", 0, "broken"),
    ],
)
async def test_body_beyond_a_limit_is_refused(
    server: Server, lines: list[str], body: bytes, code: int, reason: str
) -> None:
    """An announced size is refused before the body is read."""
    lines = [f"Content-Type: {FORM}", f"X-Twilio-Signature: {GUESS}", *lines]
    with capture_logs() as logs:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.service.port)
        writer.write(head("/twiml", *lines) + body)
        if not code:
            writer.write_eof()
            await asyncio.sleep(0)
            writer.close()
        else:
            async with no_longer():
                assert status(await reader.readuntil(b"\r\n\r\n")) == code
            writer.close()
        await server.until_metric("agent_bad_requests_total", 1)

    assert await bad(server, reason) == 1
    assert {(entry["event"], "exc_info" in entry) for entry in logs} == {("request.refused", False)}


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //[/ HTTP/1.1\r\nHost: [\r\n\r\n",
        head("/", "Content-Length: -1"),
        head("/", "Content-Length: 1", "Transfer-Encoding: chunked"),
        head("/", "Transfer-Encoding: gzip, chunked, chunked"),
        head("/health", *[f"X-{number}: y" for number in range(1000)], method="GET"),
        head("/health", "X: " + "y" * 100_000, method="GET"),
        head("/" + "y" * 100_000, method="GET"),
        head("/health?" + "a[=%zz&" * 1000, method="GET"),
        head("/health", "Cookie: " + ";" * 8000, method="GET"),
        head("/health", "Expect: the unexpected", method="GET"),
        head("/twiml", "Expect: 100-continue", "Content-Length: 5"),
        head("/conversation-relay", "Upgrade: websocket", "Connection: upgrade", method="GET"),
        head("/twiml", "X-Twilio-Signature: \xff\x00"),
        b"\r\n" * 1000,
        b"GET /twiml\x00 HTTP/1.1\r\n\r\n",
    ],
)
async def test_request_that_cannot_be_read_leaves_no_traceback(
    server: Server, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """At most one log line, and none of a library."""
    with capture_logs() as logs:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.service.port)
        writer.write(text)
        writer.write_eof()
        async with no_longer():
            await reader.read()
        writer.close()

    assert len(logs) <= 1 and not [each for each in caplog.records if each.levelname == "ERROR"]
    assert not any("exc_info" in entry or entry["log_level"] == "error" for entry in logs)
