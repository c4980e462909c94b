"""The relays that the service is compared with: the shortest loop worth its name, and one without.

    python benchmarks/reference.py reference PORT   prompt -> signed request -> text frames
    python benchmarks/reference.py nothing PORT     prompt -> text frame

The reference loop has aiohttp on both sides, its own signature and its own parser of the event
stream. It keeps no history and no table, runs no tools and knows no barge-in, so what the service
costs more is the price of these. With uvloop where that is installed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from struct import unpack_from
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from zlib import crc32

import aiohttp
import msgspec
from aiohttp import web

MODEL = "us.amazon.nova-lite-v1:0"
_REGION = "us-east-1"
_PROMPT = "You answer the telephone. Keep every answer short, and never invent a price. " * 110
"""As long as the default use case's request is with its tools."""
_LAST = '{"type":"text","token":"","last":true}'
_PRELUDE, _CHECKSUM = 12, 4
_DELTA = b"contentBlockDelta"

_Result = TypeVar("_Result")
_Talk = Callable[[str, web.WebSocketResponse], Coroutine[Any, Any, None]]


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


class Signer:
    """Signs POST requests to Bedrock (SigV4); the key of a day is made once."""

    def __init__(self, host: str, path: str) -> None:
        self._access = os.environ["AWS_ACCESS_KEY_ID"]
        self._secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        self._canonical = f"POST\n{quote(path, safe='/-_.~')}\n\nhost:{host}\nx-amz-date:"
        self._keys: dict[str, bytes] = {}

    def headers(self, body: bytes) -> dict[str, str]:
        """Headers that sign this body now."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        day = now[:8]
        scope = f"{day}/{_REGION}/bedrock/aws4_request"
        request = f"{self._canonical}{now}\n\nhost;x-amz-date\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}".encode()
        signature = hmac.digest(self._key(day, scope), to_sign, "sha256").hex()
        credential = f"AWS4-HMAC-SHA256 Credential={self._access}/{scope}"
        authorization = f"{credential}, SignedHeaders=host;x-amz-date, Signature={signature}"
        return {"x-amz-date": now, "Authorization": authorization}

    def _key(self, day: str, scope: str) -> bytes:
        if day not in self._keys:
            key = f"AWS4{self._secret}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._keys = {day: key}
        return self._keys[day]


class _Delta(msgspec.Struct):
    text: str = ""


class _Event(msgspec.Struct):
    delta: _Delta


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_frame = msgspec.json.Decoder(dict[str, Any]).decode


class Texts:
    """Reads the text deltas of an event stream, however it is cut."""

    def __init__(self) -> None:
        self._unread = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Give the texts that are complete now; raises `ValueError` for a wrong checksum."""
        data = self._unread + data
        begin = 0
        while len(data) - begin >= _PRELUDE:
            total, headers = unpack_from("!II", data, begin)
            if len(data) - begin < total:
                break
            end = begin + total - _CHECKSUM
            if crc32(data[begin:end]) != unpack_from("!I", data, end)[0]:
                raise ValueError("a frame of the event stream is damaged")
            payload = begin + _PRELUDE + headers
            if data.find(_DELTA, begin, payload) >= 0:
                yield _decode_event(data[payload:end]).delta.text
            begin += total
        self._unread = data[begin:]


async def asking_model(http: aiohttp.ClientSession) -> _Talk:
    """Answer a prompt by the model at `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`."""
    endpoint = os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
    path = f"/model/{quote(MODEL, safe='')}/converse-stream"
    signer = Signer(urlsplit(endpoint).netloc, path)

    async def texts(words: str) -> AsyncIterator[str]:
        body = _encoded(
            {
                "messages": [{"role": "user", "content": [{"text": words}]}],
                "system": [{"text": _PROMPT}],
                "inferenceConfig": {"maxTokens": 300},
            }
        )
        headers = {"Content-Type": "application/json", **signer.headers(body)}
        async with http.post(f"{endpoint}{path}", data=body, headers=headers) as response:
            response.raise_for_status()
            stream = Texts()
            async for data in response.content.iter_any():
                for text in stream.feed(data):
                    yield text

    async def talk(words: str, socket: web.WebSocketResponse) -> None:
        async for text in texts(words):
            frame = {"type": "text", "token": text, "last": False}
            await socket.send_str(_encoded(frame).decode())
        await socket.send_str(_LAST)

    return talk


async def saying_nothing(http: aiohttp.ClientSession) -> _Talk:
    """Answer a prompt at once by one word."""
    del http

    async def talk(words: str, socket: web.WebSocketResponse) -> None:
        del words
        await socket.send_str('{"type":"text","token":"Well.","last":false}')
        await socket.send_str(_LAST)

    return talk


KINDS: dict[str, Callable[[aiohttp.ClientSession], Awaitable[_Talk]]] = {
    "reference": asking_model,
    "nothing": saying_nothing,
}


async def serve(kind: str, port: int) -> None:
    """Serve until the process ends."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=120)
    http = aiohttp.ClientSession(connector=connector, auto_decompress=False)
    talk = await KINDS[kind](http)

    async def call(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        turns = set[asyncio.Task[None]]()
        async for message in socket:
            frame = _decode_frame(message.data)
            if frame["type"] == "prompt":
                turns.add(turn := asyncio.create_task(talk(frame["voicePrompt"], socket)))
                turn.add_done_callback(turns.discard)
        return socket

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application()
    application.add_routes([web.get("/", call), web.get("/health/ready", health)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4_096).start()
    await asyncio.Event().wait()


def run_quickly(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run with the quicker loop, if it is there."""
    try:
        import uvloop  # noqa: PLC0415 - the dependency is optional
    except ImportError:
        return asyncio.run(main)
    result: _Result = uvloop.run(main)
    return result


if __name__ == "__main__":
    run_quickly(serve(sys.argv[1], int(sys.argv[2])))
