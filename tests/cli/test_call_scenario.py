"""`call`: from a scenario, by hand, on the service in this process and on another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from agent.cli.evaluation import call
from agent.cli.evaluation.hosted_service import hosted, hosted_settings
from agent.cli.evaluation.paced_model import Pace
from agent.cli.evaluation.typed_caller import TypedCaller
from agent.cli.main import main
from agent.cli.terminal_screen import PlainScreen
from agent.observability import configure_logging
from agent.scenarios.outcome import ScenarioRun, TranscriptLine
from agent.scenarios.scenario import Scenario
from agent.scenarios.scenario_player import caller_of, run_of, strict
from agent.scenarios.timing import ORDINARY
from agent.settings import Settings
from agent.simulator.carrier import Twilio
from agent.simulator.phone_call import Outcome
from tests.virtual import virtually
from tests.waiting import HANG_SECONDS

LONG = "We have Margherita and Quattro Stagioni and Capricciosa and Diavola today."

pytestmark = pytest.mark.usefixtures("plain_logging")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours is set."""
    for names in Settings.variables().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    configure_logging("critical", "console")


@asynccontextmanager
async def other_server(*frames: str) -> AsyncIterator[str]:
    """A server that is not ours: to all that a caller says it answers with these frames."""

    async def voice(request: web.Request) -> web.Response:
        url = f"ws://{request.host}/relay"
        relay = f'<ConversationRelay url="{url}" welcomeGreeting="Hello."/>'
        text = f"<Response><Connect>{relay}</Connect></Response>"
        return web.Response(text=text, content_type="text/xml")

    async def relay(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.json()["type"] == "prompt" and message.json()["last"]:
                for frame in frames:
                    await socket.send_str(frame)
        return socket

    app = web.Application()
    app.add_routes([web.post("/voice", voice), web.get("/relay", relay)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/voice"
    finally:
        await runner.cleanup()


class Typist(PlainScreen):
    """A screen on which lines are typed, each after so many seconds."""

    def __init__(self, *lines: tuple[float, str]) -> None:
        self.shown: list[str] = []
        super().__init__(self.shown.append)
        self._typed = lines

    async def lines(self) -> AsyncGenerator[str, None]:
        for seconds, line in self._typed:
            await asyncio.sleep(seconds)
            yield line


async def by_hand(typist: Typist, *replies: str, is_paced: bool = True) -> ScenarioRun:
    """A call to the service whose model gives these replies."""
    pace = Pace(is_virtual=True)
    scenario = Scenario("call", replies=[[reply] for reply in replies])
    pace.begin(scenario, ORDINARY)
    async with hosted(hosted_settings(), pace) as service:
        await service.prepare([])
        script = caller_of(scenario, strict(service.twilio), ORDINARY)
        await TypedCaller(script, typist, is_paced=is_paced).play()
        return await run_of(script, service)


def failed(run: ScenarioRun) -> list[str]:
    return [check.name for check in run.failures]


@virtually
async def test_what_is_typed_is_said_and_stops_the_agent_who_speaks() -> None:
    typist = Typist((6, "what is there"), (2.5, "the second one"), (6, "/hangup"))

    run = await by_hand(typist, LONG, "Good choice.")

    shown = "".join(typist.shown)
    assert "you: what is there\n" in shown
    cut = next(line for line in shown.splitlines() if line.startswith("agent: We have Marg"))
    assert cut.endswith("—") and len(cut) < len(LONG)
    assert "agent: Good choice.\n" in shown
    assert typist.shown[-1] == "  - the caller hung up\n"
    assert failed(run) == []
    assert [line.text for line in run.transcript if line.speaker == "caller"] == [
        "what is there",
        "the second one",
        "(hangs up)",
    ]


@virtually
async def test_piped_lines_wait_for_the_answer_and_the_call_ends_with_them() -> None:
    typist = Typist((0, "what is there"), (0, "the second one"))

    run = await by_hand(typist, LONG, "Good choice.", is_paced=False)

    assert f"agent: {LONG}\n" in typist.shown
    assert run.outcome == "the caller hung up"
    assert failed(run) == []


@virtually
async def test_keys_noise_and_a_lost_line_can_be_tried_by_hand() -> None:
    typist = Typist(
        (1, "/noise"), (1, "/dtmf 1"), (8, "/lose"), (8, "/what"), (0, ""), (8, "still here")
    )

    run = await by_hand(typist, "One.", "Two.")

    texts = [line.text for line in run.transcript]
    assert {"(a noise)", "(presses 1)", "the connection is lost (64105)"} <= set(texts)
    assert any(text.startswith("interrupted after") for text in texts)
    assert any("/dtmf KEYS" in line for line in typist.shown), "the help for an unknown command"
    assert run.outcome == "the caller hung up"


class BrokenTypist(Typist):
    """Its terminal goes away after the lines."""

    async def lines(self) -> AsyncGenerator[str, None]:
        async for line in super().lines():
            yield line
        raise OSError("the terminal is gone")


@virtually
async def test_fault_of_the_terminal_ends_the_call_and_is_raised() -> None:
    async with other_server() as url, Twilio.open(url[: -len("/voice")], "") as twilio:
        script = caller_of(Scenario("call"), strict(with_path(twilio)), ORDINARY)
        with pytest.raises(OSError, match="the terminal is gone"):
            await TypedCaller(script, BrokenTypist((1, "hello")), is_paced=True).play()

    assert script.call.outcome is Outcome.HUNG_UP


async def test_fault_of_what_shows_the_call_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> list[TranscriptLine]:
        raise LookupError("no transcript")

    monkeypatch.setattr(call, "transcript_of", broken)  # no server or file makes it fail
    file = tmp_path / "one.yaml"
    file.write_text("steps: [{hangs_up: true}]")
    async with other_server() as url:
        with pytest.raises(LookupError, match="no transcript"):
            await asyncio.to_thread(main, ["call", str(file), "--url", url, "--token", "abc"])


@virtually
async def test_server_that_is_not_ours_is_judged_by_what_is_heard() -> None:
    talk = '{"type": "text", "token": "Sure.", "last": true}'
    broken = '{"type": "text", "token": null, "last": true}'
    scenario = Scenario("call")
    for frames, faults in (((talk,), []), ((talk, broken), ["protocol", "protocol: bad_frame"])):
        async with other_server(*frames) as url, Twilio.open(url[: -len("/voice")], "") as twilio:
            script = caller_of(scenario, strict(with_path(twilio)), ORDINARY)
            typist = Typist((3, "hello"), (3, "/exit"))
            await TypedCaller(script, typist, is_paced=True).play()
            run = await run_of(script, None)

        assert failed(run) == faults
        assert "agent: Sure.\n" in typist.shown


def with_path(twilio: Twilio) -> Twilio:
    return Twilio(twilio.http, twilio.base, twilio.token, path="/voice")


def test_scenario_is_played_on_the_service_in_this_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("""
replies: [["Hello, we are open."]]
steps: [{says: hello}]
expects: {said: [we are closed]}
""")

    assert main(["call", str(file)]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[1] for line in shown[1:3]] == [
        "caller  hello",
        "agent   Hello, we are open.",
    ]
    assert "FAILED  said 'we are closed'" in shown


async def test_scenario_is_played_on_another_server_without_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("""
replies: [["Not said."]]
steps: [{hangs_up: true}]
expects:
  said: [hello]
  tools: [{name: Order}]
  table: [{pk: a, sk: "order::"}]
""")
    async with other_server() as url, asyncio.timeout(HANG_SECONDS):
        status = await asyncio.to_thread(
            main, ["call", str(file), "--url", url, "--token", "abc", "--from", "+15550100077"]
        )

    shown = capsys.readouterr().out.splitlines()
    assert status == 0
    assert shown[0].split() == ["0:00.0", "agent", "Hello."]
    assert shown[-4:-1] == [
        "not checked: tool Order",
        "not checked: table order::",
        "not used: the replies of the scenario; the server has a model of its own",
    ]


async def test_refused_signature_says_which_options_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("steps: [{hangs_up: false}]")

    async with serving_service() as port:
        url = f"http://127.0.0.1:{port}"
        status = await asyncio.to_thread(main, ["call", str(file), "--url", url, "--token", "a"])

    shown = capsys.readouterr().out
    assert status == 1
    assert "FAILED  outcome: webhook: status 403\n        The signature does not fit" in shown


@asynccontextmanager
async def serving_service() -> AsyncIterator[int]:
    async with hosted(hosted_settings(), Pace(is_virtual=False)) as service:
        yield service.service.port


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nowhere.yaml"], "nowhere.yaml: has no scenario"),
        (["--url", "localhost:3000", "--token", "a"], "must be a URL"),
        (["--url", "http://localhost:3000"], "TWILIO_AUTH_TOKEN"),
        (["--url", ""], "must be a URL"),
        (["--use-case", "nope"], "nope: no such use case; known: albertEinsteinUseCase, "),
    ],
)
def test_what_cannot_be_called_is_one_line_and_status_2(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", *arguments]) == 2

    [line] = capsys.readouterr().err.splitlines()
    assert fault in line
