"""The command `probe`: ok, or the step that failed and what to do."""

from __future__ import annotations

import argparse
from collections import deque

import pytest
from aiohttp import web

from agent.cli.evaluation import probe as command
from agent.cli.evaluation.hosted_service import SETTINGS, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.cli.main import main
from agent.settings import Settings
from agent.store.call_state.call_list import LISTING
from tests.listening import listening
from tests.simulator.minimal_relay import TOKEN, MinimalRelay
from tests.virtual import virtually

pytestmark = pytest.mark.usefixtures("plain_logging")

PUBLIC = "https://voice.example.com"
SERVICE = Settings.read({**SETTINGS, "STACK_USE_CASE": "restaurantOrderingUseCase"})
BUSY = "<Response><Say>All lines are busy.</Say><Hangup/></Response>"
WRONG = '<Response><Connect><ConversationRelay url="http://x" voice=""/></Connect></Response>'
ELSEWHERE = '<Response><Connect><ConversationRelay url="wss://x/y"/></Connect></Response>'


async def probed(*arguments: str) -> int:
    """Run the command on the loop of the test; its exit status."""
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    asked = parser.parse_args(["probe", *arguments])
    status: int = await asked.run(asked)
    return status


@virtually
async def probe_service(*arguments: str, status: int) -> None:
    """Probe the whole service in this process, whose model takes 0.4 s to the first word."""
    async with hosted(SERVICE, Pace(is_virtual=True)) as server:
        options = ["--public-url", PUBLIC, "--token", SETTINGS["TWILIO_AUTH_TOKEN"], *arguments]

        assert await probed(f"http://127.0.0.1:{server.service.port}", *options) == status

        await server.settle()
        calls = [item for item in server.store.snapshot().values() if item["sk"] == LISTING]
    assert [call["reason"] for call in calls] in ([], ["caller_hangup"])
    assert len(calls) == ("--token" not in arguments)


@virtually
async def test_account_is_that_of_the_service() -> None:
    """A service that knows its account refuses all others."""
    settings = Settings.read({**SETTINGS, "TWILIO_ACCOUNT_SID": "AC" + "1" * 32})
    async with hosted(settings, Pace(is_virtual=True)) as server:
        base = f"http://127.0.0.1:{server.service.port}"
        known = [base, "--public-url", PUBLIC, "--token", SETTINGS["TWILIO_AUTH_TOKEN"]]

        statuses = [
            await probed(*known, "--account", f"AC{digit * 32}", "--question", "hello")
            for digit in "10"
        ]
        await server.settle()

    assert statuses == [0, 1]


def test_working_service_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    """One line with the times, and the call is over for the service too."""
    probe_service(status=0)

    out, err = capsys.readouterr()
    [line] = [line for line in out.splitlines() if line.startswith("ok ")]  # the service logs
    assert line.startswith("ok 0.40 s to the first word, ")
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--within", "0.2"], "failed: there was no answer within 0.2 s; see the service's log"),
        (["--within", "0.6"], "failed: the answer had no end within 0.6 s"),
        (
            ["--token", "x" * 32],
            "failed: the voice webhook answered with status 403: the signature",
        ),
    ],
)
def test_what_fails_is_said(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    probe_service(*arguments, status=1)

    assert fault in capsys.readouterr().err


@virtually
async def probe_stand_in(question: str) -> None:
    async with MinimalRelay().serving() as relay:
        options = ["--token", TOKEN, "--within", "2", "--question", question]
        assert await probed(f"{relay.url}/voice", *options) == (question != "hello")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("hello", ""),
        ("be silent", "failed: there was no answer within 2 s"),
        ("close twice", "failed: the service departs from the protocol: no_words"),
        ("hang up", "failed: the service ended the session (failed)"),
    ],
)
def test_faults_on_the_socket_are_said(
    question: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    probe_stand_in(question)

    assert capsys.readouterr().err.startswith(told)


def answering(status: int, twiml: str) -> web.Application:
    """A server that answers each webhook so, and has no socket."""

    async def webhook(request: web.Request) -> web.Response:
        return web.Response(status=status, text=twiml, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/voice", webhook)
    return app


@virtually
async def probe_webhook(status: int, twiml: str) -> None:
    async with listening(answering(status, twiml)) as base:
        assert await probed(f"{base}/voice", "--public-url", "https://x", "--token", TOKEN) == 1


@pytest.mark.parametrize(
    ("status", "twiml", "told"),
    [
        (200, BUSY, "the call was not taken (Say+Hangup): the service is at a limit"),
        (200, WRONG, "the TwiML is not valid: 64102 url of <ConversationRelay>; 64101 voice"),
        (200, "soon", "the TwiML is not valid: 12100 no XML"),
        (200, ELSEWHERE, "the socket was refused with status 404; see the service's log"),
        (404, "", "the voice webhook answered with status 404: there is no such path; check URL"),
        (500, "", "the voice webhook answered with status 500: see the service's log"),
        (503, "", "the voice webhook answered with status 503: the service is stopping"),
    ],
)
def test_faults_of_the_webhook_are_said(
    status: int, twiml: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    probe_webhook(status, twiml)

    assert capsys.readouterr().err.startswith(f"failed: {told}")


def test_action_url_must_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A call is not over before it has."""

    @virtually
    async def run() -> None:
        relay = MinimalRelay(answers={"/action": deque(["404"])})
        async with relay.serving():
            assert await probed(f"{relay.url}/voice", "--token", TOKEN) == 1

    run()

    assert "failed: the action URL answered with status 404" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "status", "told"),
    [
        ("http://127.0.0.1:1", 1, "failed: the voice webhook cannot be reached"),
        ("voice.example.com", 2, "must be a URL such as https://voice.example.com"),
    ],
)
def test_server_that_cannot_be_reached_is_told_from_a_wrong_url(
    url: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", url, "--token", TOKEN]) == status

    assert told in capsys.readouterr().err
