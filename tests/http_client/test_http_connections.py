"""Answers are read whole however they are cut; connections are kept, limited and given up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.http_client import (
    CannotConnectError,
    ClientLimits,
    HttpAnswer,
    HttpConnections,
    ProxyRefusedError,
)
from agent.http_client.http_connection import HttpConnection
from tests.waiting import no_longer, until

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LIMITS = ClientLimits(most=0, connect_seconds=5.0)
TRUSTED = ssl.create_default_context()
HEAD = "Host: here\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Server:
    """Answers each request with the bytes of the next entry; the last one again and again.

    An empty entry closes the connection instead, None says nothing.
    """

    answers: list[tuple[bytes, ...] | None] = field(default_factory=lambda: [(OK,)])
    url: str = ""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while await self.answer(reader, writer):
                pass
        finally:
            self.open -= 1

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
        self.bodies.append(await reader.readexactly(length))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        for part in answer or ():
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)  # the client reads this part alone
        return answer != ()


@asynccontextmanager
async def listening(serve: Streams, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server of this test; its connections must be left before its end."""
    serving = set[asyncio.Task[None] | None]()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(task := asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        serving.discard(task)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await until(lambda: not serving)
    finally:
        server.close()


@asynccontextmanager
async def serving(*answers: tuple[bytes, ...] | None) -> AsyncIterator[Server]:
    server = Server(list(answers)) if answers else Server()
    async with listening(server.serve) as address:
        server.url = f"http://{address}"
        yield server


@asynccontextmanager
async def connections(
    url: str,
    limits: ClientLimits = LIMITS,
    tls: ssl.SSLContext = TRUSTED,
    proxy: str | None = None,
) -> AsyncIterator[HttpConnections]:
    made = HttpConnections(url, limits, tls=tls, proxy=proxy)
    try:
        yield made
    finally:
        made.close()


async def read(client: HttpConnections, target: str = "/") -> bytes:
    answer = await client.ask(target, HEAD, b"body")
    try:
        return await answer.read()
    finally:
        answer.release()


async def test_request_is_sent_as_it_was_given() -> None:
    async with serving() as server, connections(f"{server.url}/under/") as client:
        assert await read(client, "/a%20b?c") == b"ok"

    assert server.heads == [
        "POST /under/a%20b?c HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
    ]
    assert server.bodies == [b"body"]


def bodies() -> Iterator[tuple[str, bytes, bytes]]:
    """Name, answer, body."""
    yield "of a known length", OK, b"ok"
    yield "without one", b"HTTP/1.1 204 No Content\r\n\r\n", b""
    yield "in chunks", CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n", b"abcde"
    yield (
        "after 100 and 103",
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK),
        b"ok",
    )


@given(st.data())
@pytest.mark.parametrize(("answer", "body"), [each[1:] for each in bodies()])
def test_answer_may_be_cut_anywhere(answer: bytes, body: bytes, data: st.DataObject) -> None:
    """Its connection is used for the next one."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1))))
    edges = [0, *cuts, len(answer)]
    parts = tuple(answer[one:two] for one, two in pairwise(edges))

    async def play() -> None:
        async with serving(parts) as server, connections(server.url) as client:
            for _ in range(2):
                assert await read(client) == body
            assert server.connections == 1

    asyncio.run(play())


async def test_headers_are_found_in_lower_case() -> None:
    text = b"HTTP/1.1 400 Bad\r\nX-Amzn-ErrorType: Gr\xfc\xdfe\r\nX: 1\r\nX: 2\r\n"
    text += b"Content-Length: 0\r\n\r\n"
    async with serving((text,)) as server, connections(server.url) as client:
        answer = await client.ask("/", HEAD, b"")
        answer.release()

    assert answer.status == 400
    assert answer.headers == {"x-amzn-errortype": "Grüße", "x": "2", "content-length": "0"}


async def test_answer_without_a_length_ends_with_its_connection() -> None:
    answers = [(b"HTTP/1.1 200 OK\r\n\r\nwho", b"le"), ()]
    server = Server([*answers])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.answer(reader, writer)

    async with listening(serve) as address, connections(f"http://{address}") as client:
        assert await read(client) == b"whole"
        with pytest.raises(ConnectionResetError):
            await read(client)


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",),
        (CHUNKED + b"2\r\nok\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"+OK this is no HTTP\r\n",),
        (CHUNKED + b"what\r\n",),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",),
    ],
)
async def test_answer_that_breaks_off_is_an_error(answer: tuple[bytes, ...]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Server([answer]).answer(reader, writer)

    async with listening(serve) as address, connections(f"http://{address}") as client:
        with pytest.raises(ConnectionResetError):
            await read(client)


async def test_what_came_before_an_error_is_read_first() -> None:
    async with (
        serving((CHUNKED + b"2\r\nok\r\n", b"no chunk\r\n")) as server,
        connections(server.url) as client,
    ):
        answer = await client.ask("/", HEAD, b"")
        assert await answer.read_some() == b"ok"
        with pytest.raises(ConnectionResetError):
            await answer.read_some()
        answer.release()
        await until(lambda: server.open == 0)


async def test_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.http_client.http_connection._MOST_UNREAD", 1_000)
    async with (
        serving((CHUNKED, *[b"190\r\n" + b"x" * 400 + b"\r\n"] * 4)) as server,
        connections(server.url) as client,
    ):
        with pytest.raises(ConnectionResetError, match="too long"):
            await read(client)


@pytest.mark.parametrize(
    ("answer", "asks_again"),
    [(CLOSING, False), (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False), (OK, True)],
)
async def test_connection_is_kept_if_the_server_keeps_it(
    answer: bytes, *, asks_again: bool
) -> None:
    async with serving((answer,)) as server, connections(server.url) as client:
        assert [await read(client) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == (1 if asks_again else 3)


async def test_more_than_the_answer_is_not_taken_for_the_next() -> None:
    more = b"HTTP/1.1 500 Oh\r\nX: y\r\nContent-Length: 2\r\n\r\nno"
    async with serving((OK + more,), (OK,)) as server, connections(server.url) as client:
        for _ in range(2):
            answer = await client.ask("/", HEAD, b"")
            assert await answer.read() == b"ok"
            assert (answer.status, answer.headers) == (200, {"content-length": "2"})
            answer.release()
        assert server.connections == 2


async def test_what_nobody_asked_for_closes_a_connection() -> None:
    says_more = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await says_more.wait()
        writer.write(OK)
        assert await reader.read() == b"body"
        says_more.clear()

    async with listening(serve) as address, connections(f"http://{address}") as client:
        assert await read(client) == b"ok"
        assert client.idle(used_within=60.0) == 1
        says_more.set()
        await until(lambda: client.idle(used_within=60.0) == 0 and not says_more.is_set())


async def test_closed_by_the_server_while_idle_is_not_used() -> None:
    async with serving() as server, connections(server.url) as client:
        await read(client)
        server.answers = [()]
        with pytest.raises(ConnectionResetError):
            await read(client)
        server.answers = [(OK,)]

        assert await read(client) == b"ok"
        assert server.connections == 2


async def test_closed_before_the_request_is_an_error() -> None:
    """And no wait for ever."""
    async with serving() as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HttpConnection(lambda _: None, lambda _: None), host, int(port)
        )
        connection.transport.abort()
        answer = connection.begin(b"POST / HTTP/1.1\r\n\r\n", None)

        with pytest.raises(ConnectionResetError):
            await answer.begun()


async def test_leaving_before_the_end_closes_the_connection() -> None:
    async with serving((CHUNKED + b"2\r\nok\r\n",)) as server, connections(server.url) as client:
        answer = await client.ask("/", HEAD, b"")
        assert await answer.read_some() == b"ok"
        answer.release()
        answer.release()

        await until(lambda: server.open == 0)


async def test_cancelling_a_request_closes_the_connection_and_frees_its_place() -> None:
    limits = ClientLimits(most=1, connect_seconds=5.0)
    async with serving(None, (OK,)) as server, connections(server.url, limits) as client:
        asking = asyncio.create_task(read(client))
        await until(lambda: len(server.heads) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        await until(lambda: server.open == 0)
        assert await read(client) == b"ok"


async def test_no_more_than_so_many_at_a_time() -> None:
    limits = ClientLimits(most=2, connect_seconds=5.0)
    async with serving() as server, connections(server.url, limits) as client:
        held = [await client.ask("/", HEAD, b"") for _ in range(2)]
        waiting = asyncio.create_task(read(client))
        leaving = asyncio.create_task(read(client))
        await asyncio.sleep(0.05)  # no third request shall come: that has no event
        assert len(server.heads) == 2
        leaving.cancel()
        for answer in held:
            await answer.read()
            answer.release()

        assert await waiting == b"ok"
        assert server.connections == 2


async def test_silence_is_a_timeout() -> None:
    """Counted from the last byte: one second of an answer that trickles may be long."""
    limits = ClientLimits(most=1, connect_seconds=5.0, read_seconds=0.2)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for number in range(len(OK)):
            writer.write(OK[number : number + 1])
            await asyncio.sleep(0.02)  # the pace of this server is what is tested
        await reader.read()

    async with listening(trickle) as address, connections(f"http://{address}", limits) as client:
        answer = await client.ask("/", HEAD, b"")
        assert await answer.read() == b"ok"
        answer.release()
        async with no_longer():
            with pytest.raises(TimeoutError, match=r"nothing came within 0\.2 s"):
                await read(client)


async def test_pause_delays_and_ends_with_the_answer() -> None:
    """A connection in the pool reads again."""
    async with (
        serving((CHUNKED + b"2\r\nok\r\n", b"0\r\n\r\n"), (OK,)) as server,
        connections(server.url) as client,
    ):
        answer = await client.ask("/", HEAD, b"")
        assert await answer.read_some() == b"ok"
        answer.pause(0.05)
        answer.pause(3_600.0)
        assert await answer.read_some() == b""
        answer.pause(3_600.0)
        answer.release()

        assert await read(client) == b"ok"
        assert server.connections == 1


async def test_old_connections_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, connections(server.url) as client:
        await client.connect()
        await client.connect()
        await until(lambda: server.connections == 2)
        assert client.idle(used_within=60.0) == 2
        await read(client)
        monkeypatch.setattr("agent.http_client._KEPT_SECONDS", -1.0)
        await read(client)

        assert server.connections == 3
        assert client.idle(used_within=60.0) == 0


async def test_closing_ends_what_is_in_use() -> None:
    async with serving(None) as server, connections(server.url) as client:
        asking = asyncio.create_task(read(client))
        await until(lambda: len(server.heads) == 1)
        client.close()

        with pytest.raises(ConnectionResetError):
            await asking


async def cause_of(url: str, limits: ClientLimits = LIMITS, proxy: str | None = None) -> Exception:
    async with connections(url, limits, proxy=proxy) as client:
        with pytest.raises(CannotConnectError) as caught:
            await read(client)
        with pytest.raises(CannotConnectError):
            await client.connect()
    assert isinstance(caught.value.__cause__, Exception)
    return caught.value.__cause__


async def test_why_there_is_no_connection() -> None:
    async with listening(Server().serve) as address:
        pass
    assert isinstance(await cause_of(f"http://{address}"), ConnectionRefusedError)
    assert isinstance(await cause_of("http://a..b"), UnicodeError)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = ClientLimits(most=0, connect_seconds=0.1)
    async with listening(say_nothing) as address:
        assert isinstance(await cause_of(f"https://{address}", limits), TimeoutError)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    written = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(written + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls_server(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context


@pytest.fixture
def tls_client(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


async def test_tls_is_verified(tls_server: ssl.SSLContext, tls_client: ssl.SSLContext) -> None:
    server = Server()
    async with listening(server.serve, tls_server) as address:
        async with connections(f"https://{address}", tls=tls_client) as client:
            assert [await read(client) for _ in range(2)] == [b"ok"] * 2
            answer = await client.ask("/", HEAD, b"")
            assert await answer.read_some() == b"ok"
            answer.pause(0.01)
            answer.release()
        stranger = await cause_of(f"https://{address}")

    assert isinstance(stranger, ssl.SSLCertVerificationError)
    assert "self-signed" in stranger.verify_message


@dataclass(slots=True)
class Proxy:
    """Connects to whatever it is asked for."""

    status: bytes = b"200 Connection established"
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
        if self.status.startswith(b"200"):
            host, _, port = head.split()[1].rpartition(":")
            further_reader, further_writer = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pass_on(reader, further_writer), name="to the server")
                tasks.create_task(pass_on(further_reader, writer), name="to the client")


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def test_server_with_tls_is_reached_through_a_tunnel(
    tls_server: ssl.SSLContext, tls_client: ssl.SSLContext
) -> None:
    server, proxy = Server(), Proxy()
    async with listening(server.serve, tls_server) as address, listening(proxy.serve) as near:
        by = f"http://ada:p%40ss@{near}"
        async with connections(f"https://{address}", tls=tls_client, proxy=by) as client:
            assert [await read(client, "/x") for _ in range(2)] == [b"ok"] * 2
        await until(lambda: server.open == 0)

    assert proxy.heads == [
        f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"
        "Proxy-Authorization: Basic YWRhOnBAc3M=\r\n\r\n"
    ]
    assert [head.split()[1] for head in server.heads] == ["/x"] * 2


async def test_proxy_that_refuses_is_named() -> None:
    proxy = Proxy(status=b"407 Proxy Authentication Required")
    async with listening(proxy.serve) as near:
        cause = await cause_of("https://[::1]:1", proxy=near)

    assert isinstance(cause, ProxyRefusedError)
    assert str(cause) == "407"
    assert proxy.heads[0].startswith("CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n\r\n")


async def test_server_without_tls_is_asked_for_by_its_whole_address() -> None:
    async with serving() as proxy:
        by = proxy.url.replace("//", "//ada:secret@")
        async with connections("http://elsewhere:81/under", proxy=by) as client:
            assert await read(client) == b"ok"

    assert proxy.heads == [
        "POST http://elsewhere:81/under/ HTTP/1.1\r\nHost: here\r\n"
        "Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\nContent-Length: 4\r\n\r\n"
    ]


async def test_reading_may_be_cancelled_and_repeated() -> None:
    """A wait with a limit leaves the answer as it was."""
    goes_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])
        await goes_on.wait()
        writer.write(OK[-1:])
        await reader.read()

    async with listening(serve) as address, connections(f"http://{address}") as client:
        answer: HttpAnswer = await client.ask("/", HEAD, b"")
        assert await answer.read_some() == b"o"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await answer.read_some()
        goes_on.set()
        assert await answer.read_some() == b"k"
        answer.release()
