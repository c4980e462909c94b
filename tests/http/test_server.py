"""Limits of the connections of a port, with real sockets."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from agent import app
from agent.http.connection_limits import ConnectionLimits
from agent.http.server import Address, open_site, public_limits, raise_file_limit
from agent.observability import Telemetry
from agent.settings import SettingsError
from agent.simulator.carrier import call_fields
from tests.servers import serving, settings_for
from tests.waiting import no_longer, until

ADA = "+15550100001"
HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def come(cls, port: int, source: str = "127.0.0.1") -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def say(self, text: bytes) -> None:
        self._writer.write(text)
        await self._writer.drain()

    async def answer(self, end: bytes = b"world") -> bytes:
        """The next answer, up to this end."""
        async with no_longer():
            return await self._reader.readuntil(end)

    async def closed(self) -> bool:
        """Whether the other side closes."""
        with suppress(ConnectionError):
            async with no_longer():
                await self._reader.read()
        return True

    async def leave(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Port:
    """A small application with limited connections."""

    port: int
    telemetry: Telemetry
    slowly: asyncio.Event
    """`/slow` answers when it is set."""
    opened: list[Client] = field(default_factory=list)

    async def clients(self, count: int, source: str = "127.0.0.1") -> list[Client]:
        """New connections, closed at the end of the test."""
        new = [await Client.come(self.port, source) for _ in range(count)]
        self.opened.extend(new)
        return new

    def sample(self, line: str) -> float:
        """The value of a metric; 0 if there is none yet."""
        text = self.telemetry.render("")[0].decode()
        found = [each.rpartition(" ")[2] for each in text.splitlines() if each.startswith(line)]
        return float(found[0]) if found else 0.0

    @property
    def open(self) -> float:
        return self.sample('agent_connections{port="public"}')

    def cut(self, reason: str) -> float:
        return self.sample(f'agent_connections_cut_total{{port="public",reason="{reason}"}}')


@asynccontextmanager
async def open_port(
    most: int, answer_seconds: float = 60.0, keep_alive_seconds: float = 60.0, **more: float
) -> AsyncIterator[Port]:
    telemetry, slowly = Telemetry(), asyncio.Event()

    async def hello(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="world")

    async def slow(_: web.Request) -> web.Response:
        await slowly.wait()
        return web.Response(text="world")

    async def events(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(b"hello")
        await slowly.wait()
        await stream.write(b"world")
        return stream

    application = web.Application()
    application.router.add_route("*", "/hello", hello)
    application.router.add_get("/slow", slow)
    application.router.add_get("/events", events)
    limits = ConnectionLimits("public", "PORT", most, answer_seconds, keep_alive_seconds, **more)
    async with open_site(application, Address("127.0.0.1"), limits, telemetry.count) as port:
        site = Port(port, telemetry, slowly)
        yield site
        for client in site.opened:
            await client.leave()
    await until(lambda: site.open == 0)


async def test_connection_serves_one_request_after_the_other() -> None:
    async with open_port(most=4) as site:
        [client] = await site.clients(1)
        answers = []
        for _ in range(3):
            await client.say(HELLO)
            answers.append(await client.answer())
        during = site.open
        await client.leave()
        await until(lambda: site.open == 0)

    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)
    assert (during, site.cut("late"), site.cut("idle"), site.cut("full")) == (1, 0, 0, 0)


async def test_longest_waiting_connection_makes_room() -> None:
    async with open_port(most=4) as site:
        first, *_ = await site.clients(4)
        [late] = await site.clients(1)
        await late.say(HELLO)
        answer = await late.answer()

        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert await first.closed()
        assert (site.open, site.cut("idle"), site.cut("full")) == (4, 1, 0)


async def test_limit_holds_for_connections_that_come_at_once() -> None:
    """The loop accepts many before the first `connection_made`."""
    async with open_port(most=4) as site:
        many = await asyncio.gather(*(Client.come(site.port) for _ in range(200)))
        await until(lambda: site.cut("idle") + site.cut("full") == 196)
        left = site.open
        for client in many:
            await client.leave()

    assert left == 4


async def test_connections_with_a_request_are_kept_and_a_new_one_is_refused() -> None:
    async with open_port(most=2) as site:
        asking = await site.clients(2)
        for client in asking:
            await client.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.05)  # until the bytes are there: they leave no other trace
        [late] = await site.clients(1)

        assert await late.closed()
        assert (site.open, site.cut("idle"), site.cut("full")) == (2, 0, 1)
        site.slowly.set()
        assert [await client.answer() for client in asking] != [b"", b""]


INCOMPLETE = [
    b"",
    b"G",
    b"GET /hello HTTP/1.1\r\nHost: x\r\n",
    b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx",
    b"POST /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
]
"""Requests that keep a place and never end."""


@pytest.mark.parametrize("words", INCOMPLETE)
async def test_oldest_request_that_is_not_complete_makes_room(words: bytes) -> None:
    async with open_port(most=4) as site:
        first, *others = await site.clients(4)
        for client in (first, *others):
            await client.say(words)
        for _ in range(3):
            [late] = await site.clients(1)
            await late.say(HELLO)
            assert (await late.answer()).startswith(b"HTTP/1.1 200 OK")
            await late.leave()
            await until(lambda: site.open < 4)
            await site.clients(1)

        assert await first.closed()
        assert site.cut("full") == 0


_LIMITED = [
    *((words, "head_seconds") for words in INCOMPLETE[:3]),
    *((words, "body_seconds") for words in INCOMPLETE[3:]),
    *((words, "answer_seconds") for words in INCOMPLETE),
]


@pytest.mark.parametrize(("words", "limit"), _LIMITED)
async def test_head_and_body_have_limits_of_their_own(words: bytes, limit: str) -> None:
    """`answer_seconds` is the upper limit of both."""
    async with open_port(most=4, **{limit: 0.2}) as site:
        [client] = await site.clients(1)
        await client.say(words)

        assert await client.closed()
        assert site.cut("late") == 1


@pytest.mark.parametrize(("words", "late"), [(b"", 0), (b"GET /hello HT", 1)])
async def test_second_request_of_a_connection_has_the_same_limits(words: bytes, late: int) -> None:
    """Aiohttp itself closes a connection that stays idle."""
    async with open_port(most=4, answer_seconds=0.2, keep_alive_seconds=0.4) as site:
        [client] = await site.clients(1)
        await client.say(HELLO)
        await client.answer()
        await client.say(words)

        assert await client.closed()
        assert site.cut("late") == late


async def test_slow_answer_has_the_limit_of_an_answer() -> None:
    async with open_port(most=4, head_seconds=0.1, body_seconds=0.1) as site:
        [client] = await site.clients(1)
        await client.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.3)  # longer than a head and a body may take: nothing shall happen
        site.slowly.set()

        assert (await client.answer()).startswith(b"HTTP/1.1 200 OK")
        await client.say(HELLO)
        assert (await client.answer()).startswith(b"HTTP/1.1 200 OK")


async def test_address_with_more_than_its_share_makes_room_for_others() -> None:
    """The one connection of another address stays, though it is the oldest."""
    async with open_port(most=16) as site:
        [other] = await site.clients(1, "127.0.0.2")
        await site.clients(45, "127.0.0.3")
        await until(lambda: site.cut("idle") == 30)
        await other.say(HELLO)

        assert (await other.answer()).startswith(b"HTTP/1.1 200 OK")


async def test_request_that_is_answered_before_its_body_is_the_last_one() -> None:
    async with open_port(most=4) as site:
        [client] = await site.clients(1)
        await client.say(b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        head = await client.answer(b"\r\n\r\n")

        assert b"404" in head and b"Connection: close" in head
        assert await client.closed()


async def test_streamed_answer_is_not_cut() -> None:
    async with open_port(most=1, answer_seconds=0.1) as site:
        [client] = await site.clients(1)
        await client.say(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.3)  # longer than an answer may take: nothing shall happen
        [late] = await site.clients(1)
        site.slowly.set()
        answer = await client.answer()

        assert b"hello" in answer
        assert await late.closed()
        assert (site.cut("late"), site.cut("full")) == (0, 1)


def test_public_limits_follow_max_calls() -> None:
    limits = public_limits(settings_for(Path("unused"), MAX_CALLS="100"))

    assert (limits.most, limits.answer_seconds) == (1056, 15.0)
    assert limits.keep_alive_seconds > 300.0


def test_soft_limit_of_files_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        raised = raise_file_limit()

        assert raised == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.needs("time")
async def test_two_thousand_idle_connections_do_not_disturb_a_call(table: Path) -> None:
    settings = settings_for(table, MAX_CALLS="1")
    most = public_limits(settings).most
    async with serving(settings) as server, server.twilio.call(From=ADA) as call:
        many = [await Client.come(server.service.port) for _ in range(2000)]
        reply = await call.say("are you open")
        health = await server.get(server.url("/health"))
        counted = await server.metric("agent_connections", port="public")
        cut = await server.metric("agent_connections_cut_total", port="public")
        for client in many:
            await client.leave()
        again = await call.say("are you open")

    assert reply.text and again.text
    assert health == (200, "Healthy")
    assert (most, counted) == (264, 264)
    assert cut >= 2000 - most


@pytest.mark.parametrize(
    "words",
    [
        b"P",
        b"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        b"X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\nx",
    ],
)
async def test_signed_webhooks_are_answered_while_incomplete_requests_take_all_places(
    table: Path, words: bytes
) -> None:
    settings = settings_for(table, MAX_CALLS="1")
    most = public_limits(settings).most
    async with serving(settings) as server:
        many = []
        for _ in range(most + 20):
            client = await Client.come(server.service.port)
            with suppress(ConnectionError):
                await client.say(words)
            many.append(client)
        answers = [await server.ring(call_fields(From=ADA)) for _ in range(20)]
        full = await server.metric("agent_connections_cut_total", port="public", reason="full")
        for client in many:
            await client.leave()

    assert [each.status for each in answers] == [200] * 20
    assert full == 0


@pytest.mark.parametrize(
    ("variable", "host", "shown"),
    [
        ("PORT", "127.0.0.1", "PORT: {} is in use by another process; "),
        ("METRICS_PORT", "127.0.0.1", "METRICS_PORT: {} is in use by another process; "),
        ("PORT", "192.0.2.1", "HOST: 192.0.2.1 is not an address of this machine; "),
    ],
)
async def test_port_that_cannot_be_opened_stops_the_start_with_one_line(
    tmp_path: Path, variable: str, host: str, shown: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = settings_for(tmp_path / "agent.db", **{variable: str(port)})

        with pytest.raises(SettingsError) as caught:
            async with app.running(settings, host):
                pass

    assert str(caught.value).startswith(shown.format(port))
    assert "\n" not in str(caught.value)
