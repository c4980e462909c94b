"""The commands, in this process; and the service once as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from agent.call.config import Phrases
from agent.cli import serve
from agent.cli.main import main
from agent.settings import Settings
from agent.store.sqlite import SqliteStore
from tests import dynamodb
from tests.servers import ORIGIN, PATIENT, TOKEN, heard_out
from tests.twilio_client.api import ACCOUNT, twilio_api
from tests.twilio_client.call import TwilioCall
from tests.twilio_client.client import Twilio, call_fields
from tests.waiting import HANG_SECONDS, no_longer, until

ROOT = Path(__file__).parents[2]
ADA = "+15550100001"

pytestmark = pytest.mark.usefixtures("plain_logging")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Of the settings only `STORE_PATH` is set."""
    for name, _, _ in Settings.describe():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STORE_PATH", str(tmp_path / "agent.db"))
    return monkeypatch


@pytest.mark.parametrize(
    "command", ["", "serve", "talk", "dial", "seed", "check", "show", "replay"]
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])

    assert caught.value.code == 0
    assert f"usage: python -m agent {command}".rstrip() in capsys.readouterr().out


def test_closed_output_gives_no_traceback() -> None:
    """As in `show CALL | less`, when the pager is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = subprocess.run(
            [sys.executable, "-m", "agent", "check", "--settings"],
            cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)

    assert (run.returncode, run.stderr) == (128 + signal.SIGPIPE, b"")


def test_command_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])

    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.usefixtures("environment")
def test_shipped_configuration_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("environment")
def test_check_lists_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """With default and meaning."""
    assert main(["check", "--settings"]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [name for name, _, _ in Settings.describe()]


@pytest.mark.parametrize("command", ["serve", "talk", "seed", "check", "show CA0"])
def test_bad_variable_stops_every_command_with_its_name(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """One line, no traceback."""
    environment.setenv("PORT", "web")

    assert main(command.split()) == 1
    assert capsys.readouterr().err == "PORT: must be a port number from 0 to 65535\n"


@pytest.mark.usefixtures("environment")
def test_seed_loads_everything_and_says_what(capsys: pytest.CaptureFixture[str]) -> None:
    """The second time it writes the same items."""
    assert main(["seed", "--all"]) == 0
    first = capsys.readouterr().out.splitlines()
    assert main(["seed"]) == 0
    second = capsys.readouterr().out.splitlines()

    assert "wrote restaurantOrderingUseCase / configuration (version 1)" in first
    assert f"wrote {ADA} / profile" in first
    assert first == second


@pytest.mark.usefixtures("environment")
def test_seed_can_tell_without_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names what it would write for one use case or one file."""
    profile = tmp_path / "ada.toml"
    profile.write_text(f'caller = "{ADA}"\nfirst_name = "Ada"\n', encoding="utf-8")

    assert main(["seed", "--use-case", "albertEinsteinUseCase", "--dry-run"]) == 0
    assert main(["seed", "--profile", str(profile), "--dry-run"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "would write albertEinsteinUseCase / configuration (version 1)",
        f"would write {ADA} / profile",
    ]


EINSTEIN = ("--use-case", "albertEinsteinUseCase")


@pytest.mark.usefixtures("environment")
def test_version_can_be_tried_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line of the output has the version number."""
    record = tmp_path / "record.json"
    record.write_text(
        '{"pk": {"S": "albertEinsteinUseCase"}, "sk": {"S": "configuration"},'
        ' "prompt": {"S": "You are brief."}}',
        encoding="utf-8",
    )

    statuses = [
        main(["seed", "--profile", str(record)]),
        main(["seed", *EINSTEIN, "--canary", "10"]),
        main(["seed", *EINSTEIN, "--rollback", "--dry-run"]),
        main(["seed", *EINSTEIN]),
        main(["seed", *EINSTEIN, "--rollback"]),
        main(["seed", *EINSTEIN, "--rollback", "--to", "2"]),
    ]

    line = "albertEinsteinUseCase / configuration"
    assert statuses == [0] * 6
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {line} (version 1)",
        f"wrote {line} (version 1, canary 2 for 10 %)",
        f"would write {line} (version 1)",
        f"wrote {line} (version 2)",
        f"wrote {line} (version 1)",
        f"wrote {line} (version 2)",
    ]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--canary", "10"], "--canary: needs --use-case"),
        (["--rollback"], "--rollback: needs --use-case"),
        ([*EINSTEIN, "--canary", "100"], "--canary: must be 1 to 99, or 0 to end it"),
        ([*EINSTEIN, "--canary", "-1"], "--canary: must be 1 to 99, or 0 to end it"),
        ([*EINSTEIN, "--to", "1"], "--to: needs --rollback"),
        (
            ["--create-table", "--dry-run"],
            "--create-table: makes a table, so not with --dry-run",
        ),
        (["--use-case", "noSuchUseCase"], "noSuchUseCase: there is no such folder"),
        ([*EINSTEIN, "--canary", "5"], "albertEinsteinUseCase: there is no such use case"),
        ([*EINSTEIN, "--rollback"], "albertEinsteinUseCase: there is no such use case"),
    ],
)
def test_change_that_cannot_be_made_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], fault: str
) -> None:
    assert main(["seed", *arguments]) == 1
    out, err = capsys.readouterr()
    assert (out, err[-len(fault) - 1 :], err.count("\n")) == ("", f"{fault}\n", 1)


@contextmanager
def _typed(text: str) -> Iterator[Any]:
    """Standard input with this text, through a pipe."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        yield pipe


def test_talk_opens_a_conversation(
    environment: pytest.MonkeyPatch, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the use case of `--use-case`; the end of the input hangs up."""
    environment.setenv("STORE_PATH", str(table))

    with _typed("/help\n") as pipe:
        environment.setattr(sys, "stdin", pipe)
        status = main(["talk", "--use-case", "albertEinsteinUseCase", "--from", "+15550100050"])

    shown = capsys.readouterr().out
    assert status == 0
    assert "This is the offline model" in shown
    assert "/hangup or Ctrl-C ends the call." in shown
    assert shown.endswith("[caller_hangup]\n")


@pytest.mark.parametrize("stdin", ["file", os.devnull])
def test_talk_reads_from_a_file_as_well(
    environment: pytest.MonkeyPatch,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stdin: str,
) -> None:
    """The event loop cannot watch a file."""
    environment.setenv("STORE_PATH", str(table))
    (tmp_path / "file").write_text("/hangup\n", encoding="utf-8")

    with (tmp_path / stdin).open(encoding="utf-8") as file:
        environment.setattr(sys, "stdin", file)
        status = main(["talk"])

    assert status == 0
    assert capsys.readouterr().out.endswith("[caller_hangup]\n")


@pytest.mark.usefixtures("environment")
def test_talk_needs_a_caller_that_can_be_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["talk", "--from", "555"]) == 1
    assert "--from: 555 is neither" in capsys.readouterr().out


def test_talk_without_configuration_says_so(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _typed("") as pipe:
        environment.setattr(sys, "stdin", pipe)
        status = main(["talk"])

    assert status == 1
    assert "restaurantOrderingUseCase: there is no such use case" in capsys.readouterr().err


def test_ctrl_c_hangs_up(table: Path) -> None:
    """As `/hangup` does: one line, no traceback."""
    environment = {**os.environ, "STORE_PATH": str(table)}
    with _command("talk", env=environment) as talking:
        assert talking.stdout is not None
        shown = ""
        while not shown.endswith("agent: "):
            shown += talking.stdout.read(1)
        talking.send_signal(signal.SIGINT)
        rest, errors = talking.communicate(timeout=HANG_SECONDS)

    assert "Ctrl-C ends the call" in shown
    assert rest.endswith("\n[caller_hangup]\n")
    assert (talking.returncode, errors) == (0, "")


def test_ctrl_c_ends_a_command_with_one_line() -> None:
    """While it waits for a table that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as table:
        environment = {
            **os.environ,
            **dynamodb.environment("agent", f"http://127.0.0.1:{table.getsockname()[1]}"),
        }
        with _command("seed", env=environment) as seeding:
            table.settimeout(HANG_SECONDS)
            with table.accept()[0]:
                seeding.send_signal(signal.SIGINT)
                output, errors = seeding.communicate(timeout=HANG_SECONDS)

    assert (seeding.returncode, output, errors) == (130, "", "interrupted\n")


def _command(*arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """A command as a process without input."""
    return subprocess.Popen(  # noqa: S603 (ours)
        [sys.executable, "-m", "agent", *arguments],
        cwd=ROOT,
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _free_port() -> int:
    """A free port; with port 0 each address family would get another one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[tuple[Twilio, asyncio.Task[None]]]:
    """`serve` in a task, once it listens."""
    port = _free_port()
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(serve.serve(replace(settings, port=port)), name="serve")
        await until(lambda: any(entry["event"] == "service.started" for entry in logs))
        async with aiohttp.ClientSession() as http:
            yield Twilio(http, f"http://127.0.0.1:{port}", TOKEN, ORIGIN, PATIENT), task
        async with no_longer():
            await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_idle_service_stops_at_once(
    service_settings: Settings, number: signal.Signals
) -> None:
    async with _served(service_settings) as (twilio, _):
        async with twilio.http.get(f"{twilio.base}/health/ready") as response:
            assert response.status == 200
        signal.raise_signal(number)


async def test_objects_of_the_start_are_excluded_from_garbage_collection(
    service_settings: Settings,
) -> None:
    """Until the service stops."""
    async with _served(service_settings):
        during = gc.get_freeze_count()
        signal.raise_signal(signal.SIGTERM)

    assert during > 10_000
    assert gc.get_freeze_count() == 0


async def test_call_is_handed_over_when_the_service_stops(service_settings: Settings) -> None:
    """The service waits for a pause of the call, then sends `end`."""
    async with _served(service_settings) as (twilio, _), _call(twilio) as call:
        await call.say("are you open")
        signal.raise_signal(signal.SIGTERM)
        ending = await heard_out(call)

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert ending.status == "ended"
    assert call.ledger.violations == []


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
async def test_interrupt_or_second_signal_ends_calls_with_a_goodbye(
    service_settings: Settings, signals: list[signal.Signals]
) -> None:
    """Ctrl-C, or a second SIGTERM: at once, in mid-sentence, with a goodbye."""
    async with _served(service_settings) as (twilio, task), _call(twilio) as call:
        await call.play_out()
        await call.prompt("are you open")
        await call.hear(1)
        for number in signals:
            signal.raise_signal(number)
            await asyncio.sleep(0)  # let the loop take each signal by itself
        ending = await heard_out(call)
        async with no_longer():
            await task

    assert call.ledger.cycles[-1].text == Phrases().goodbye_stopping
    assert ending.fields["HandoffData"] == '{"reasonCode": "goodbye"}'
    assert call.ledger.violations == []


@asynccontextmanager
async def _call(twilio: Twilio) -> AsyncIterator[TwilioCall]:
    """A call without an action request, which another process would have to answer."""
    relay = await twilio.webhook(call_fields(From=ADA))
    async with twilio.connect(replace(relay, action="")) as call:
        yield call


@dataclass(frozen=True, slots=True)
class Child:
    """`python -m agent serve` as an operator starts it."""

    process: asyncio.subprocess.Process
    port: int


@asynccontextmanager
async def _child(table: Path, *options: str, **variables: str) -> AsyncIterator[Child]:
    port = _free_port()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PORT": str(port),
        "METRICS_PORT": "0",
        "WS_URL": "wss://voice.example.com/",
        "TWILIO_AUTH_TOKEN": TOKEN,
        "STORE_PATH": str(table),
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "serve", *options,
        cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with no_longer():
            while json.loads(await process.stderr.readline())["event"] != "service.started":
                pass
        yield Child(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_process_hands_over_its_call_at_sigterm_and_ends(table: Path) -> None:
    """SIGTERM during a call: `end` comes at a pause, and the exit status is 0."""
    async with _child(table) as child, aiohttp.ClientSession() as http:
        twilio = Twilio(http, f"http://127.0.0.1:{child.port}", TOKEN, ORIGIN, PATIENT)
        async with _call(twilio) as call:
            await call.say("are you open")
            child.process.send_signal(signal.SIGTERM)
            ending = await heard_out(call)
        async with no_longer():
            status = await child.process.wait()

    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert status == 0


async def _greeting_of(child: Child) -> str:
    """The greeting for Ada; empty if no agent answers."""
    async with aiohttp.ClientSession() as http:
        twilio = Twilio(http, f"http://127.0.0.1:{child.port}", TOKEN, ORIGIN, PATIENT)
        answer = await twilio.post(f"{ORIGIN}/twiml", call_fields(From=ADA))
    return answer.relay.attributes["welcomeGreeting"] if answer.relay else ""


async def test_first_start_makes_the_file_with_the_shipped_configuration(tmp_path: Path) -> None:
    path = tmp_path / "new" / "agent.db"

    async with _child(path, "--seed") as child:
        greeting = await _greeting_of(child)

    assert greeting == "Hello Ada, this is Harbor Oven. How can I help you today?"
    assert list(path.parent.glob("*.new*")) == []


async def test_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """Changed use cases stay, and an empty table stays empty."""
    path = tmp_path / "agent.db"
    await (await SqliteStore.open(path)).close()

    async with _child(path, "--seed") as child:
        greeting = await _greeting_of(child)

    assert greeting == ""


def test_no_file_is_made_beside_a_table_in_dynamodb(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only `seed` loads its configuration. This table cannot be reached."""
    for name, value in dynamodb.environment("a-table", "http://127.0.0.1:9").items():
        environment.setenv(name, value)

    status = main(["serve", "--seed"])

    assert (status, list(tmp_path.iterdir())) == (1, [])
    assert capsys.readouterr().err.startswith("TABLE_NAME: table a-table in us-east-1: ")


@pytest.fixture
def calling(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {
        "WS_URL": "wss://voice.example.com/",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "OUTBOUND_NUMBERS": "+1555",
        "OUTBOUND_FROM": "+15550100000",
    }.items():
        environment.setenv(name, value)
    return environment


EINSTEIN_CALLS_ADA = ["dial", ADA, *EINSTEIN]


async def test_dial_calls_and_waits_for_the_end(
    calling: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the SID, and with `--wait` the final status; exit status 0 only if `completed`."""
    async with twilio_api(ACCOUNT, TOKEN) as api:
        calling.setenv("TWILIO_API_URL", api.url)
        await asyncio.to_thread(main, ["seed", "--all"])
        capsys.readouterr()
        called = await asyncio.to_thread(main, EINSTEIN_CALLS_ADA)
        completed = await asyncio.to_thread(main, [*EINSTEIN_CALLS_ADA, "--wait"])
        api.statuses = ["busy"]
        own = ["--wait", "--from", "+15550100009"]
        busy = await asyncio.to_thread(main, [*EINSTEIN_CALLS_ADA, *own])
        limited = await asyncio.to_thread(main, EINSTEIN_CALLS_ADA)

    out, err = capsys.readouterr()
    first, second, third = (f"CA{number:032}" for number in (1, 2, 3))
    assert [called, completed, busy, limited] == [0, 0, 1, 1]
    assert out.splitlines() == [first, second, "completed", third, "busy"]
    assert err == "limited: no more than 3 calls to the number in 3600 seconds\n"
    assert [(one["To"], one["From"]) for one in api.asked] == [
        (ADA, "+15550100000"),
        (ADA, "+15550100000"),
        (ADA, "+15550100009"),
    ]


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "TWILIO_ACCOUNT_SID",
            "",
            "TWILIO_ACCOUNT_SID: must be set for OUTBOUND_NUMBERS, with TWILIO_AUTH_TOKEN or an"
            " API key",
        ),
        ("OUTBOUND_NUMBERS", "", "number: OUTBOUND_NUMBERS does not list the number"),
        (
            "OUTBOUND_FROM",
            "",
            "caller_id: the number to call from must be E.164, +15550100000; see OUTBOUND_FROM",
        ),
        (
            "WS_URL",
            "ws://localhost:3000/",
            "unconfigured: WS_URL must be public, so that Twilio finds us",
        ),
    ],
)
def test_dial_says_in_one_line_why_it_does_not_call(
    calling: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    line: str,
) -> None:
    """Exit status 1 and no request: the address of the API refuses connections."""
    calling.setenv("TWILIO_API_URL", "http://127.0.0.1:9")
    calling.setenv(variable, value)

    assert main(EINSTEIN_CALLS_ADA) == 1
    assert capsys.readouterr().err == f"{line}\n"


def _talked(
    environment: pytest.MonkeyPatch, table: Path, capsys: pytest.CaptureFixture[str]
) -> str:
    """A recorded call in a terminal with one sentence of the caller; its SID."""
    environment.setenv("STORE_PATH", str(table))
    environment.setenv("RECORD_CALLS", "true")
    with _typed("a house salad for pickup\n") as pipe:
        environment.setattr(sys, "stdin", pipe)
        assert main(["talk", "--from", ADA]) == 0
    capsys.readouterr()
    with closing(sqlite3.connect(table)) as connection:
        found = connection.execute("SELECT pk FROM items WHERE sk = 'connection'").fetchone()
    return str(found[0])


def test_recorded_call_is_shown_and_played_again(
    environment: pytest.MonkeyPatch, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the recorded use case and with the present one."""
    call_sid = _talked(environment, table, capsys)

    assert main(["show", call_sid]) == 0
    shown = capsys.readouterr().out
    assert main(["show", call_sid, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["replay", call_sid]) == 0
    same = capsys.readouterr().out
    assert main(["replay", call_sid, "--now"]) == 0

    assert capsys.readouterr().out == same
    assert same.startswith("same: ")
    assert "caller   a house salad for pickup" in shown
    assert told["call"] == call_sid
    assert told["lines"][0]["end"] == "caller_hangup"


def test_replay_that_differs_has_another_exit_status(
    environment: pytest.MonkeyPatch,
    table: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A greeting that was edited since differs at the first event."""
    call_sid = _talked(environment, table, capsys)
    with closing(sqlite3.connect(table)) as connection, connection:
        connection.execute(
            "UPDATE items SET item = replace(item, 'How can I help you', 'What can I do for you')"
            " WHERE pk = 'restaurantOrderingUseCase' AND sk = 'configuration'"
        )

    assert main(["replay", call_sid]) == 0
    assert main(["replay", call_sid, "--now"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "changed since:"
    assert "different at event 0 (00:00.0)" in lines


def test_call_that_is_not_there_is_one_line(
    environment: pytest.MonkeyPatch, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 of `show`, 2 of `replay`."""
    environment.setenv("STORE_PATH", str(table))

    assert main(["show", "CA0"]) == 1
    assert main(["replay", "CA0"]) == 2

    assert capsys.readouterr() == (
        "",
        "CA0: there is no such call\nCA0: there is no record of this call\n",
    )


@pytest.mark.parametrize(
    ("has_file", "fault"),
    [(False, "there is no file {path}"), (True, "{path} is no table of this service")],
)
def test_reading_commands_make_no_table(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    *,
    has_file: bool,
) -> None:
    """The fault is the path, not a missing call; a file of another program stays as it is."""
    path = tmp_path / "other?.db"
    if has_file:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE others (a)")
    before = path.read_bytes() if has_file else b""
    environment.setenv("STORE_PATH", str(path))

    assert main(["show", "CA0"]) == 1
    assert main(["replay", "CA0"]) == 3

    assert capsys.readouterr() == ("", f"STORE_PATH: {fault.format(path=path)}\n" * 2)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [before] * has_file


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "none"), ("TABLE_NAME", "gone"), ("RECORD_DAYS", "0"), ("PRICES_FILE", "/none")],
)
def test_replay_that_could_not_be_tried_has_an_exit_status_of_its_own(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    environment.setenv(variable, value)

    assert main(["replay", "CA0"]) == 3
    assert main(["show", "CA0"]) == 1

    assert capsys.readouterr().err.count(variable) == 2


def test_exit_statuses_of_a_replay_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "--help"])

    told = " ".join(capsys.readouterr().out.split())
    assert "exit status 0 same, 1 different, 2 no usable record, 3 not tried" in told


@pytest.mark.parametrize(("has", "columns"), [(80, 80), (40, 72), (200, 100)])
def test_call_is_shown_as_wide_as_the_terminal(
    environment: pytest.MonkeyPatch,
    table: Path,
    capsys: pytest.CaptureFixture[str],
    has: int,
    columns: int,
) -> None:
    """From 72 to 100 columns; 100 without a terminal."""
    call_sid = _talked(environment, table, capsys)
    with closing(sqlite3.connect(table)) as connection, connection:
        connection.execute(
            "UPDATE items SET item = replace(item, 'a house salad', ?) WHERE pk = ?",
            ("so much salad " * 20, call_sid),
        )

    on_terminal = _on_terminal(has, "show", call_sid)
    environment.setenv("COLUMNS", str(has))
    assert main(["show", call_sid]) == 0
    elsewhere = capsys.readouterr().out.splitlines()

    assert columns - 14 < max(map(len, on_terminal)) <= columns
    assert 86 < max(map(len, elsewhere)) <= 100
    assert (on_terminal == elsewhere) == (columns == 100)


def test_replay_is_told_as_wide_as_the_terminal(
    environment: pytest.MonkeyPatch, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_sid = _talked(environment, table, capsys)
    with closing(sqlite3.connect(table)) as connection, connection:
        connection.execute(
            "UPDATE items SET item = replace(item, 'How can I help you', ?)"
            " WHERE pk = 'restaurantOrderingUseCase' AND sk = 'configuration'",
            ("What can I do for you " * 9,),
        )

    lines = _on_terminal(80, "replay", call_sid, "--now")

    assert "different at event 0 (00:00.0)" in lines
    assert max(map(len, lines)) == 80


def _on_terminal(columns: int, *command: str) -> list[str]:
    """The output of a command on a terminal of so many columns."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    asked = [sys.executable, "-m", "agent", *command]
    with subprocess.Popen(asked, cwd=ROOT, stdout=theirs, env=environment):  # noqa: S603 (ours)
        os.close(theirs)
        written = bytearray()
        with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:  # EIO at its end
            while some := terminal.read(4096):
                written += some
    return written.decode().splitlines()


@pytest.mark.parametrize(
    "values", [{"prompt": {"S": " "}}, {"prompt": {"S": "Sell."}, "tools": {"S": "[{"}}]
)
@pytest.mark.usefixtures("environment")
def test_seed_of_a_broken_record_is_refused_with_its_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict[str, object]
) -> None:
    """Exit status 1; the present version stays."""
    assert main(["seed"]) == 0
    path = tmp_path / "item.json"
    key = {"pk": {"S": "albertEinsteinUseCase"}, "sk": {"S": "configuration"}}
    path.write_text(json.dumps({**key, **values}), encoding="utf-8")
    capsys.readouterr()

    assert main(["seed", "--profile", str(path)]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("albertEinsteinUseCase.")
    assert main(["check", "--table"]) == 0


@pytest.mark.usefixtures("environment")
def test_check_reads_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing table is a fault, and so is each invalid record in it."""
    assert main(["check", "--table"]) == 1
    assert main(["seed"]) == 0
    assert main(["check", "--table"]) == 0
    record = ROOT / "tests" / "store" / "predecessor" / "record-einstein.json"
    assert main(["seed", "--profile", str(record)]) == 0
    capsys.readouterr()

    assert main(["check", "--table"]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "albertEinsteinUseCase.conversationRelayParams.interruptByDtmf: the relay has no such"
        " attribute, dropped",
        "albertEinsteinUseCase.dtmfHandlers.1.replyFunction: ListAvailableApartmentsFunction is"
        " not a tool of this use case",
        "albertEinsteinUseCase.dtmfHandlers.2.replyFunction: CheckExistingAppointmentsFunction is"
        " not a tool of this use case",
    ]
