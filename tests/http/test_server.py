"""What strangers may hold open at a port, with real sockets."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from agent import app
from agent.http.connection_limits import ConnectionLimits
from agent.http.server import open_site, public_limits, raise_file_limit
from agent.observability import Telemetry
from agent.settings import SettingsError
from tests.servers import serving, settings_for
from tests.twilio_client.client import call_fields
from tests.waiting import no_longer, until

ADA = "+15550100001"
HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Visitor:
    """A TCP connection of somebody who may say nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def come(cls, port: int, source: str = "127.0.0.1") -> Visitor:
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def say(self, text: bytes) -> None:
        self._writer.write(text)
        await self._writer.drain()

    async def answer(self) -> bytes:
        """The next answer, which ends with `world`."""
        async with no_longer():
            return await self._reader.readuntil(b"world")

    async def head(self) -> bytes:
        """The head of the next answer."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def closed(self) -> bool:
        """The other side closes, within a limit."""
        with suppress(ConnectionError):
            async with no_longer():
                await self._reader.read()
        return True

    async def leave(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@dataclass(frozen=True, slots=True)
class House:
    """A small application behind doors."""

    port: int
    telemetry: Telemetry
    slowly: asyncio.Event
    """`/slow` answers when it is set."""

    async def visitors(self, count: int, source: str = "127.0.0.1") -> list[Visitor]:
        return [await Visitor.come(self.port, source) for _ in range(count)]

    def sample(self, line: str) -> float:
        """The value of a metric, named as a scraper sees it; 0 if there is none yet."""
        text = self.telemetry.render("")[0].decode()
        found = [each.rpartition(" ")[2] for each in text.splitlines() if each.startswith(line)]
        return float(found[0]) if found else 0.0

    @property
    def open(self) -> float:
        return self.sample('agent_connections{port="public"}')

    def cut(self, reason: str) -> float:
        return self.sample(f'agent_connections_cut_total{{port="public",reason="{reason}"}}')


@asynccontextmanager
async def open_house(
    most: int, answer_seconds: float = 60.0, keep_alive_seconds: float = 60.0, **more: float
) -> AsyncIterator[House]:
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
    application.add_routes(
        [
            web.get("/hello", hello),
            web.post("/hello", hello),
            web.get("/slow", slow),
            web.get("/events", events),
        ]
    )
    doors = ConnectionLimits("public", most, answer_seconds, keep_alive_seconds, **more)
    async with open_site(application, "127.0.0.1", 0, doors, telemetry.count) as port:
        yield House(port, telemetry, slowly)
    await until(lambda: House(0, telemetry, slowly).open == 0)


async def test_connection_serves_one_request_after_the_other() -> None:
    """As any HTTP connection; it counts while it is open."""
    async with open_house(most=4) as house:
        [visitor] = await house.visitors(1)
        answers = []
        for _ in range(3):
            await visitor.say(HELLO)
            answers.append(await visitor.answer())
        during = house.open
        await visitor.leave()
        await until(lambda: house.open == 0)

    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)
    assert (during, house.cut("late"), house.cut("idle"), house.cut("full")) == (1, 0, 0, 0)


async def test_who_is_silent_longest_makes_room() -> None:
    """Whoever comes with a request is answered, though the house is full of silent ones."""
    async with open_house(most=4) as house:
        first, *others = await house.visitors(4)
        [guest] = await house.visitors(1)
        await guest.say(HELLO)
        answer = await guest.answer()

        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert await first.closed()
        assert (house.open, house.cut("idle"), house.cut("full")) == (4, 1, 0)
        for visitor in (first, guest, *others):
            await visitor.leave()


async def test_crowd_that_comes_at_once_finds_no_more_room() -> None:
    """The loop accepts many before the first of them is told that it is connected."""
    async with open_house(most=4) as house:
        crowd = await asyncio.gather(*(Visitor.come(house.port) for _ in range(200)))
        await until(lambda: house.cut("idle") + house.cut("full") == 196)
        left = house.open
        for visitor in crowd:
            await visitor.leave()

    assert left == 4


async def test_who_has_something_going_on_keeps_their_place() -> None:
    """Then it is who comes that is cut off, at once."""
    async with open_house(most=2) as house:
        asking = await house.visitors(2)
        for visitor in asking:
            await visitor.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.05)  # until the bytes are there: they leave no other trace
        [guest] = await house.visitors(1)

        assert await guest.closed()
        assert (house.open, house.cut("idle"), house.cut("full")) == (2, 0, 1)
        house.slowly.set()
        assert [await visitor.answer() for visitor in asking] != [b"", b""]
        for visitor in (guest, *asking):
            await visitor.leave()


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
    """It does not matter how much of it has come."""
    async with open_house(most=4) as house:
        first, *others = await house.visitors(4)
        for visitor in (first, *others):
            await visitor.say(words)
        for _ in range(3):
            [guest] = await house.visitors(1)
            await guest.say(HELLO)
            assert (await guest.answer()).startswith(b"HTTP/1.1 200 OK")
            await guest.leave()
            await until(lambda: house.open < 4)
            others += await house.visitors(1)

        assert await first.closed()
        assert house.cut("full") == 0
        for visitor in (first, *others):
            await visitor.leave()


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        *[(words, "head_seconds") for words in INCOMPLETE[:3]],
        *[(words, "body_seconds") for words in INCOMPLETE[3:]],
        *[(words, "answer_seconds") for words in INCOMPLETE],
    ],
)
async def test_head_and_body_have_limits_of_their_own(words: bytes, limit: str) -> None:
    """`answer_seconds` is the upper limit of both."""
    async with open_house(most=4, **{limit: 0.2}) as house:
        [visitor] = await house.visitors(1)
        await visitor.say(words)

        assert await visitor.closed()
        assert house.cut("late") == 1
        await visitor.leave()


@pytest.mark.parametrize(("words", "late"), [(b"", 0), (b"GET /hello HT", 1)])
async def test_second_request_of_a_connection_has_the_same_limits(words: bytes, late: int) -> None:
    """Aiohttp itself closes a connection that stays idle."""
    async with open_house(most=4, answer_seconds=0.2, keep_alive_seconds=0.4) as house:
        [visitor] = await house.visitors(1)
        await visitor.say(HELLO)
        await visitor.answer()
        await visitor.say(words)

        assert await visitor.closed()
        assert house.cut("late") == late
        await visitor.leave()


async def test_request_that_is_answered_slowly_has_the_limits_of_an_answer() -> None:
    """What comes late from us is no fault of the peer."""
    async with open_house(most=4, head_seconds=0.1, body_seconds=0.1) as house:
        [visitor] = await house.visitors(1)
        await visitor.say(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.3)  # longer than a head and a body may take: nothing shall happen
        house.slowly.set()

        assert (await visitor.answer()).startswith(b"HTTP/1.1 200 OK")
        await visitor.say(HELLO)
        assert (await visitor.answer()).startswith(b"HTTP/1.1 200 OK")
        await visitor.leave()


async def test_address_with_more_than_its_share_makes_room_for_others() -> None:
    """The one connection of another address stays, though it is the oldest."""
    async with open_house(most=16) as house:
        [neighbour] = await house.visitors(1, "127.0.0.2")
        crowd = await house.visitors(15, "127.0.0.3")
        crowd += await house.visitors(30, "127.0.0.3")
        await until(lambda: house.cut("idle") == 30)
        await neighbour.say(HELLO)

        assert (await neighbour.answer()).startswith(b"HTTP/1.1 200 OK")
        for visitor in (neighbour, *crowd):
            await visitor.leave()


async def test_request_that_is_answered_before_its_body_is_the_last_one() -> None:
    """Its connection closes, also if the body never comes; the header says so."""
    async with open_house(most=4) as house:
        [visitor] = await house.visitors(1)
        await visitor.say(b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        async with no_longer():
            head = await visitor.head()

        assert b"404" in head and b"Connection: close" in head
        assert await visitor.closed()
        await visitor.leave()


async def test_answer_that_goes_on_is_not_cut() -> None:
    """A stream has limits of its own, and does not make room for others."""
    async with open_house(most=1, answer_seconds=0.1) as house:
        [visitor] = await house.visitors(1)
        await visitor.say(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.3)  # longer than an answer may take: nothing shall happen
        [guest] = await house.visitors(1)
        house.slowly.set()
        answer = await visitor.answer()

        assert b"hello" in answer
        assert await guest.closed()
        assert (house.cut("late"), house.cut("full")) == (0, 1)
        await visitor.leave()
        await guest.leave()


def test_doors_follow_the_limit_of_calls() -> None:
    """Four connections for each call there can be, and some; kept longer than a balancer does."""
    doors = public_limits(settings_for(Path("unused"), MAX_CALLS="100"))

    assert (doors.most, doors.answer_seconds) == (1056, 15.0)
    assert doors.keep_alive_seconds > 300.0


def test_process_may_have_as_many_files_as_it_is_allowed() -> None:
    """The soft limit becomes the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        raised = raise_file_limit()

        assert raised == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_two_thousand_idle_connections_do_not_disturb_a_call(table: Path) -> None:
    """The caller is answered meanwhile, others are let in, and afterwards nothing is left."""
    settings = settings_for(table, MAX_CALLS="1")
    most = public_limits(settings).most
    async with serving(settings) as server, server.twilio.call(From=ADA) as call:
        crowd = [await Visitor.come(server.service.port) for _ in range(2000)]
        reply = await call.say("are you open")
        health = await server.get(server.url("/health"))
        counted = await server.metric("agent_connections", port="public")
        cut = await server.metric("agent_connections_cut_total", port="public")
        for visitor in crowd:
            await visitor.leave()
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
async def test_signed_webhooks_are_answered_whoever_holds_the_places(
    table: Path, words: bytes
) -> None:
    """More connections than there are places, each with the beginning of a request."""
    settings = settings_for(table, MAX_CALLS="1")
    most = public_limits(settings).most
    async with serving(settings) as server:
        crowd = []
        for _ in range(most + 20):
            visitor = await Visitor.come(server.service.port)
            with suppress(ConnectionError):
                await visitor.say(words)
            crowd.append(visitor)
        answers = [await server.ring(call_fields(From=ADA)) for _ in range(20)]
        full = await server.metric("agent_connections_cut_total", port="public", reason="full")
        for visitor in crowd:
            await visitor.leave()

    assert [each.status for each in answers] == [200] * 20
    assert full == 0


async def test_service_whose_port_is_taken_is_told_so_in_one_line(tmp_path: Path) -> None:
    """And not as a group of faults with a traceback."""
    async with serving(settings_for(tmp_path / "one.db")) as first:
        taken = settings_for(tmp_path / "other.db", PORT=str(first.service.port))

        with pytest.raises(SettingsError, match=r"^PORT or METRICS_PORT: cannot listen on "):
            async with app.running(taken, "127.0.0.1"):
                pass
