"""Pages: which files are served, with which headers, and whose requests are answered."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from agent.http.api import REFUSALS_OF_AN_ADDRESS, ApiKeys
from agent.http.pages import PageFiles, PageGuard
from tests.fakes import Clock
from tests.servers import Server, serving, settings_for

KEY = "a-key-of-the-browser-phone"
LOCAL = {"WS_URL": "ws://localhost:3000/", "TWILIO_AUTH_TOKEN": ""}
"""Environment of a service in development."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


@pytest.fixture
async def local(table: Path) -> AsyncIterator[Server]:
    """A service in development."""
    async with serving(settings_for(table, **LOCAL)) as server:
        yield server


@pytest.fixture
async def public(table: Path) -> AsyncIterator[Server]:
    """A service that other machines reach, with a key for its page."""
    async with serving(settings_for(table, PHONE_KEYS=KEY)) as server:
        yield server


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'me:{password}'.encode()).decode()}"}


async def status(server: Server, path: str, **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.twilio.http.get(server.url(path), headers=given) as answer:
        return answer.status


async def ticket(server: Server, **headers: str) -> str:
    async with server.twilio.http.get(server.url("/phone/setup"), headers=headers) as answer:
        return str((await answer.json())["ticket"])


async def handshake(server: Server, path: str, **headers: str) -> int:
    """The status of an upgrade, 101 if it is accepted."""
    try:
        async with server.twilio.http.ws_connect(server.url(path), headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as refusal:
        return refusal.status


def origin(server: Server) -> str:
    return server.twilio.base


@pytest.mark.parametrize(
    "path", ["/phone", "/phone/assets/page.css", "/phone/assets/nothing.js", "/phone/setup"]
)
async def test_every_answer_about_a_page_has_its_security_headers(local: Server, path: str) -> None:
    async with local.twilio.http.get(local.url(path)) as answer:
        headers = answer.headers

    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] in {"no-store", "no-cache"}


async def test_refusal_has_the_same_headers(public: Server) -> None:
    async with public.twilio.http.get(public.url("/phone")) as answer:
        found = answer.status, answer.headers["Content-Security-Policy"]

    assert found == (401, POLICY)


@pytest.mark.parametrize(
    "path",
    [
        "/phone/assets/../phone_page.py",
        "/phone/assets/..%2fphone%2fphone_page.py",
        "/phone/assets/%2e%2e/api.py",
        "/phone/assets/..%5capi.py",
        "/phone/assets//etc/passwd",
        "/phone/assets/%2fetc%2fpasswd",
        "/phone/assets/phone.html%00.js",
        "/phone/assets/",
        "/phone/assets/PHONE.JS",
        "/phone/assets/" + "a" * 4000,
    ],
)
async def test_only_the_listed_files_are_served(local: Server, path: str) -> None:
    url = URL(local.url(path), encoded=True)
    async with local.twilio.http.get(url) as answer:
        found = answer.status, await answer.text()

    assert found[0] == 404
    assert "import" not in found[1]


async def test_file_that_is_known_is_not_sent_again(local: Server) -> None:
    url = local.url("/phone/assets/page.js")
    async with local.twilio.http.get(url) as answer:
        first = answer.status, answer.content_type, bool(await answer.read())
        etag = answer.headers["ETag"]
    async with local.twilio.http.get(url, headers={"If-None-Match": etag}) as answer:
        second = answer.status, await answer.read()

    assert first == (200, "text/javascript", True)
    assert second == (304, b"")


def test_files_name_no_other_host_and_have_no_inline_code() -> None:
    """The policy would break such a page in the browser; this says it before."""
    folder = Path(__file__).parents[2] / "agent" / "http" / "assets"
    forbidden = ("://", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=")

    found = [
        (file.name, word)
        for file in sorted(folder.iterdir())
        for word in forbidden
        if word in file.read_text().replace("http://www.w3.org/2000/svg", "")
    ]

    assert found == []


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("localhost:3000", 200),
        ("127.0.0.1:3000", 200),
        ("[::1]:3000", 200),
        ("192.168.1.7:3000", 200),
        ("evil.example.com", 403),
        ("localhost.evil.example.com", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_page_is_not_shown_under_a_foreign_host_name(
    local: Server, host: str, wanted: int
) -> None:
    """A name of another site may resolve to this machine (DNS rebinding)."""
    found = {await status(local, path, Host=host) for path in ("/phone", "/phone/setup")}

    assert found == {wanted}


async def test_service_that_others_reach_has_no_page_without_keys(table: Path) -> None:
    async with serving(settings_for(table)) as server:
        found = {await status(server, path) for path in ("/phone", "/phone/setup", "/phone/line")}

    assert found == {404}


async def test_several_processes_have_no_page(table: Path) -> None:
    """The socket of the page and that of its call would meet in one process by chance only."""
    async with serving(settings_for(table, **LOCAL, WEB_CONCURRENCY="2")) as server:
        assert await status(server, "/phone") == 404


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        basic("another-key-of-16-characters"),
        basic(""),
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Basic " + "QQ==" * 1000},
    ],
)
async def test_without_the_key_everything_is_401(
    public: Server, credentials: dict[str, str]
) -> None:
    paths = ("/phone", "/phone/setup", "/phone/assets/phone.js", "/phone/assets/nothing")

    found = {await status(public, path, **credentials) for path in paths}

    assert found == {401}
    assert await handshake(public, "/phone/line?ticket=", Origin=origin(public)) == 403


async def test_with_the_key_the_page_and_its_socket_are_open(public: Server) -> None:
    granted = await ticket(public, **basic(KEY))

    assert await status(public, "/phone", **basic(KEY)) == 200
    assert await handshake(public, f"/phone/line?ticket={granted}", Origin=origin(public)) == 101


async def test_public_page_lists_no_caller(public: Server) -> None:
    async with public.twilio.http.get(public.url("/phone/setup"), headers=basic(KEY)) as answer:
        told = await answer.json()

    assert (told["callers"], told["isDevelopment"]) == ([], False)


async def test_wrong_keys_are_limited_and_the_right_one_is_not(public: Server) -> None:
    wrong = [
        await status(public, "/phone", **basic("wrong")) for _ in range(REFUSALS_OF_AN_ADDRESS + 1)
    ]

    assert wrong == [401] * REFUSALS_OF_AN_ADDRESS + [429]
    assert await status(public, "/phone", **basic(KEY)) == 200


async def test_ticket_opens_one_socket_once_and_only_for_the_page_itself(local: Server) -> None:
    """Another site can open a socket to this machine, but cannot read a ticket."""
    first, second = await ticket(local), await ticket(local)
    path = "/phone/line?ticket="

    assert await handshake(local, path + first, Origin="https://evil.example.com") == 403
    assert await handshake(local, path + first, Origin=origin(local)) == 403
    assert await handshake(local, path + second, Origin=origin(local)) == 101
    assert await handshake(local, path + second, Origin=origin(local)) == 403
    assert await handshake(local, path + "x" * 43, Origin=origin(local)) == 403
    assert await handshake(local, path + await ticket(local)) == 403


def test_ticket_is_forgotten_after_a_minute_and_tickets_are_bounded() -> None:
    clock = Clock(0.0)
    guard = PageGuard(None, (), clock)

    given = [guard.ticket() for _ in range(1001)]
    kept = len(guard.open_tickets), given[0] in guard.open_tickets
    clock.seconds += 61
    guard.ticket()

    assert kept == (1000, False)
    assert len(guard.open_tickets) == 1


@pytest.mark.parametrize(
    ("keys", "headers", "wanted"),
    [(None, {}, 403), (ApiKeys([KEY]), basic(KEY), 200)],
)
async def test_only_this_machine_is_answered_without_keys(
    tmp_path: Path, keys: ApiKeys | None, headers: dict[str, str], wanted: int
) -> None:
    """A Unix socket stands for a peer that is not at a loopback address."""
    guard = PageGuard(keys, (), Clock(0.0), only_this_machine=True)
    application, path = web.Application(), str(tmp_path / "s")
    application.add_routes(PageFiles().routes("/phone", "phone.html", guard.check))
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, path).start()

    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http,
        http.get("http://localhost/phone", headers=headers) as answer,
    ):
        found = answer.status
    await runner.cleanup()

    assert found == wanted
