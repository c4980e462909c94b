"""The commands; `serve` has a test module of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time

import pytest

import agent
from agent.cli.main import main
from agent.session.call_redaction import CallRedaction
from agent.settings import Settings
from agent.store.sqlite import SqliteStore
from tests import dynamodb
from tests.servers import TOKEN
from tests.twilio_api import ACCOUNT, twilio_api
from tests.waiting import HANG_SECONDS

ROOT = Path(__file__).parents[2]
ADA = "+15550100001"

Run = Callable[..., tuple[int, str, str]]
"""Runs a command with typed input: its exit status, its output, its errors."""

pytestmark = pytest.mark.usefixtures("plain_logging")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Of the settings only `STORE_PATH` is set."""
    for name, *_ in Settings.describe():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STORE_PATH", str(tmp_path / "agent.db"))
    return monkeypatch


@pytest.fixture
def run(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        reading, writing = os.pipe()
        os.write(writing, typed.encode())
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe, environment.context() as patch:
            patch.setattr(sys, "stdin", pipe)
            return (main(list(arguments)), *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    "command",
    [
        "", "serve", "talk", "new", "dial", "seed", "check", "call", "eval", "load", "probe",
        "show", "replay",
    ],
)  # fmt: skip
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


def test_without_a_command_the_help_is_printed(run: Run) -> None:
    status, out, _ = run()

    assert status == 0
    assert out.startswith("usage: python -m agent ")


@pytest.mark.parametrize(
    ("arguments", "status", "stream", "line"),
    [
        ("--version", 0, 0, f"{agent.__version__}\n"),
        ("tlak", 2, 1, "'serve', 'talk'"),
        ("talk --form +15550100001", 2, 1, "--form"),
        ("seed --use-case nope", 1, 1, "there are: albertEinsteinUseCase, "),
    ],
)
def test_command_line_says_what_is_possible(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    status: int,
    stream: int,
    line: str,
) -> None:
    try:
        code, *shown = run(*arguments.split())
    except SystemExit as error:
        code, shown = int(error.code or 0), list(capsys.readouterr())

    assert code == status
    assert line in shown[stream]


@pytest.mark.parametrize("command", ["serve", "talk", "seed", "check", "show CA0"])
def test_bad_variable_stops_every_command_with_its_name(
    environment: pytest.MonkeyPatch, run: Run, command: str
) -> None:
    """All bad ones at once, one line each, no traceback."""
    environment.setenv("PORT", "web")
    environment.setenv("LOG_LEVEL", "loud")

    status, _, err = run(*command.split())

    assert (status, err.splitlines()) == (1, [
        "PORT: must be a port number from 0 to 65535",
        "LOG_LEVEL: must be one of debug, info, warning, error",
    ])  # fmt: skip


def test_seed_loads_everything_and_says_what(run: Run) -> None:
    """The second time it writes the same items."""
    status, out, _ = run("seed", "--all")

    assert status == 0
    assert "wrote restaurantOrderingUseCase / configuration (version 1)\n" in out
    assert f"wrote {ADA} / profile\n" in out
    assert run("seed") == (0, out, "")


def test_seed_can_tell_without_writing(run: Run, tmp_path: Path) -> None:
    """A dry run names what it would write for one use case or one file."""
    profile = tmp_path / "ada.toml"
    profile.write_text(f'caller = "{ADA}"\nfirst_name = "Ada"\n', encoding="utf-8")
    line = "would write albertEinsteinUseCase / configuration (version 1)\n"

    assert run("seed", *EINSTEIN, "--dry-run") == (0, line, "")
    assert run("seed", "--profile", str(profile), "--dry-run") == (
        *(0, f"would write {ADA} / profile\n", ""),
    )


EINSTEIN = ("--use-case", "albertEinsteinUseCase")


def test_version_can_be_tried_and_taken_back(run: Run, tmp_path: Path) -> None:
    """Each line of the output has the version number."""
    record = tmp_path / "record.json"
    record.write_text(
        '{"pk": {"S": "albertEinsteinUseCase"}, "sk": {"S": "configuration"},'
        ' "prompt": {"S": "You are brief."}}',
        encoding="utf-8",
    )

    ran = [
        run("seed", "--profile", str(record)),
        run("seed", *EINSTEIN, "--canary", "10"),
        run("seed", *EINSTEIN, "--rollback", "--dry-run"),
        run("seed", *EINSTEIN),
        run("seed", *EINSTEIN, "--rollback"),
        run("seed", *EINSTEIN, "--rollback", "--to", "2"),
    ]

    line = "albertEinsteinUseCase / configuration"
    assert ran == [
        (0, f"wrote {line} (version 1)\n", ""),
        (0, f"wrote {line} (version 1, canary 2 for 10 %)\n", ""),
        (0, f"would write {line} (version 1)\n", ""),
        (0, f"wrote {line} (version 2)\n", ""),
        (0, f"wrote {line} (version 1)\n", ""),
        (0, f"wrote {line} (version 2)\n", ""),
    ]


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
def test_change_that_cannot_be_made_is_one_line(run: Run, arguments: list[str], fault: str) -> None:
    status, out, err = run("seed", *arguments)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert fault in err


def test_no_file_is_made_beside_a_table_in_dynamodb(
    environment: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    """Only `seed` loads its configuration. This table cannot be reached."""
    for name, value in dynamodb.environment("a-table", "http://127.0.0.1:9").items():
        environment.setenv(name, value)

    status, _, err = run("serve", "--seed")

    assert (status, list(tmp_path.iterdir())) == (1, [])
    assert err.startswith("TABLE_NAME: table a-table in us-east-1: ")


def test_talk_opens_a_conversation(environment: pytest.MonkeyPatch, run: Run, table: Path) -> None:
    """In the use case of `--use-case`; the end of the input hangs up."""
    environment.setenv("STORE_PATH", str(table))

    status, out, _ = run("talk", *EINSTEIN, "--from", "+15550100050", typed="/help\n")

    assert status == 0
    assert "This is the offline model" in out
    assert "/hangup, /exit" in out
    assert "call ended (caller hangup)" in out


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
        assert main(["talk"]) == 0

    assert "call ended (caller hangup)" in capsys.readouterr().out


def test_talk_says_what_is_missing(run: Run) -> None:
    """A caller that can be recognised, or the use case."""
    assert run("talk", "--from", "555")[:2] == (
        *(1, "--from: 555 is neither an E.164 number nor client:identity\n"),
    )
    status, _, err = run("talk", "--use-case", "x")

    there = (
        "albertEinsteinUseCase, apartmentSearchUseCase, defaultUseCase, restaurantOrderingUseCase"
    )
    assert (status, err) == (1, f"x: there is no such use case; there are: {there}\n")


def test_talk_says_why_the_model_failed(environment: pytest.MonkeyPatch, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        environment.setenv("MODEL_IDENTIFIER", "openai:small")
        environment.setenv("OPENAI_BASE_URL", f"http://{place}/v1")

        status, out, err = run("talk", *EINSTEIN, typed="hello\n")

    assert (status, err) == (0, "")
    assert (
        f"the model failed: openai at {place}: cannot connect: connection refused."
        " Check that the server runs, and OPENAI_BASE_URL.\n"
    ) in out


@pytest.mark.parametrize("command", ["serve", "serve --seed", "talk", "seed --all"])
def test_file_that_cannot_be_opened_is_one_line(
    environment: pytest.MonkeyPatch, run: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "taken").touch()
    path = tmp_path / "taken" / "agent.db"
    environment.setenv("STORE_PATH", str(path))

    status, _, err = run(*command.split())

    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(f"STORE_PATH: {path}")


@pytest.mark.needs("time")
def test_ctrl_c_hangs_up(table: Path) -> None:
    """As `/hangup` does: one line, no traceback."""
    environment = {**os.environ, "STORE_PATH": str(table)}
    with _command("talk", env=environment) as talking:
        assert talking.stdout is not None
        shown = ""
        while "agent: " not in shown:
            shown += talking.stdout.read(1)
        talking.send_signal(signal.SIGINT)
        rest, errors = talking.communicate(timeout=HANG_SECONDS)

    assert "call ended (caller hangup)" in rest
    assert (talking.returncode, errors) == (0, "")


@pytest.mark.needs("time")
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
        env={**env, "PYTHON_DOTENV_DISABLED": "1"},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


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
        ("TWILIO_ACCOUNT_SID", "", "TWILIO_ACCOUNT_SID: must be set for OUTBOUND_NUMBERS, with "
         "TWILIO_AUTH_TOKEN or an API key"),
        ("OUTBOUND_NUMBERS", "", "number: OUTBOUND_NUMBERS does not list the number"),
        ("OUTBOUND_FROM", "", "caller_id: the number to call from must be E.164, +15550100000; "
         "see OUTBOUND_FROM"),
        ("WS_URL", "ws://localhost:3000/", "unconfigured: WS_URL must be public, so that Twilio "
         "finds us"),
    ],
)  # fmt: skip
def test_dial_says_in_one_line_why_it_does_not_call(
    calling: pytest.MonkeyPatch, run: Run, variable: str, value: str, line: str
) -> None:
    """Exit status 1 and no request: the address of the API refuses connections."""
    calling.setenv("TWILIO_API_URL", "http://127.0.0.1:9")
    calling.setenv(variable, value)

    assert run(*EINSTEIN_CALLS_ADA) == (1, "", f"{line}\n")


@pytest.fixture
def recorded(environment: pytest.MonkeyPatch, run: Run, table: Path) -> str:
    """The SID of a recorded call in a terminal with one sentence of the caller."""
    environment.setenv("STORE_PATH", str(table))
    environment.setenv("RECORD_CALLS", "true")
    assert run("talk", "--from", ADA, typed="a house salad for pickup\n")[0] == 0
    with closing(sqlite3.connect(table)) as connection:
        found = connection.execute("SELECT pk FROM items WHERE sk = 'connection'").fetchone()
    return str(found[0])


def _edit(table: Path, pk: str, old: str, new: str) -> None:
    """Replace a text in the items of a partition."""
    with closing(sqlite3.connect(table)) as connection, connection:
        connection.execute(
            "UPDATE items SET item = replace(item, ?, ?) WHERE pk = ?", (old, new, pk)
        )


def test_recorded_call_is_shown_and_played_again(run: Run, recorded: str) -> None:
    """With the recorded use case and with the present one."""
    shown = run("show", recorded)
    told = json.loads(run("show", recorded, "--json")[1])
    same = run("replay", recorded)

    assert run("replay", recorded, "--now") == same
    assert (same[0], same[1].startswith("same: ")) == (0, True)
    assert (shown[0], "caller   a house salad for pickup" in shown[1]) == (0, True)
    assert (told["call"], told["lines"][0]["end"]) == (recorded, "caller_hangup")


def test_calls_are_listed_and_the_latest_is_shown(run: Run, recorded: str) -> None:
    status, listed, _ = run("calls", "--last", "5", "--since", "2h")

    assert status == 0
    assert re.fullmatch(
        rf"\S+ \S+  {recorded}  \{ADA} +restaurantOrderingUseCase +0:\d\d caller_hangup,"
        r" success: no\n",
        listed,
    )
    assert run("show", "--last") == run("show", recorded)
    assert run("calls", "--caller", "+15550100009") == (0, "", "no calls\n")


def test_calls_are_searched_by_all_that_is_known_of_them(run: Run, recorded: str) -> None:
    today = datetime.now(UTC).date()

    def found(*arguments: str) -> bool:
        status, out, _ = run("calls", *arguments)
        assert status == 0
        return recorded in out

    shop = ("--use-case", "restaurantOrderingUseCase", "--reason", "caller_hangup")
    assert found("--since", "7d", "--caller", ADA, *shop, "--text", "house SALAD")
    assert found("--day", str(today)) or found("--day", str(today - timedelta(days=1)))
    assert not found("--day", str(today - timedelta(days=9)))
    assert not found("--text", "pepperoni")
    assert not found("--tool", "PlaceOrderFunction")
    assert not found("--outcome", "booked")


def test_a_caller_is_handed_out_and_forgotten(run: Run, recorded: str, table: Path) -> None:
    """The line of the audit has no number, and a second run has nothing to do."""
    status, exported, _ = run("export", ADA)
    dry = run("forget", ADA, "--dry-run")
    first = run("forget", ADA)

    assert (status, list(json.loads(exported)["calls"])) == (0, [recorded])
    assert "a house salad for pickup" in exported
    assert (dry[0], dry[1].endswith(" items, 1 calls\n")) == (0, True)
    assert (first[0], "deleted      1 call connection\n" in first[1]) == (0, True)
    audit = json.loads(first[2].splitlines()[0])
    assert (audit["event"], ADA in first[2]) == ("caller_data.deleted", False)
    assert b"house salad for pickup" not in table.read_bytes()
    assert run("show", recorded)[0] == 1
    assert run("forget", ADA)[1] == ""


def test_a_redacted_call_is_shown_with_placeholders_and_not_replayed(
    run: Run, recorded: str, table: Path
) -> None:
    async def redact() -> None:
        store = await SqliteStore.open(table)
        await store.put({"pk": recorded, "sk": "redaction", "state": "due", "sequence": 0})
        assert await CallRedaction(store, time, 86_400).redact(recorded) is None
        await store.close()

    asyncio.run(redact())

    _, shown, _ = run("show", recorded)
    _, page, _ = run("show", recorded, "--html")
    assert "redacted: placeholders stand for personal values" in shown
    assert "Redacted: placeholders stand for personal values." in page
    assert run("replay", recorded) == (
        2, "", f"{recorded}: the record is redacted, it can only be shown\n"
    )  # fmt: skip
    assert run("calls", "--caller", ADA)[1].count(recorded) == 1
    assert ADA not in run("calls")[1]


def test_an_order_of_today_is_said_to_stay(run: Run, recorded: str, table: Path) -> None:
    item = json.dumps({"pk": ADA, "sk": "restaurantOrder::1", "neededUntil": time() + 600})
    with closing(sqlite3.connect(table)) as connection, connection:
        row = (ADA, "restaurantOrder::1", item)
        connection.execute("INSERT INTO items (pk, sk, item) VALUES (?, ?, ?)", row)

    status, out, _ = run("forget", ADA)

    assert (status, f"stays: {ADA}::restaurantOrder::1: needed until " in out) == (3, True)


@pytest.mark.parametrize("command", ["forget", "export"])
def test_a_withheld_number_can_be_neither_forgotten_nor_exported(
    run: Run, recorded: str, command: str
) -> None:
    status, out, told = run(command, "anonymous")

    assert (status, out) == (1, "")
    assert told == "NUMBER: must be E.164, +15550100000, or client: and a name\n"


def test_replay_that_differs_has_another_exit_status(run: Run, recorded: str, table: Path) -> None:
    """A greeting that was edited since differs at the first event."""
    _edit(table, "restaurantOrderingUseCase", "How can I help you", "What can I do for you")

    status, out, _ = run("replay", recorded, "--now")

    assert run("replay", recorded)[0] == 0
    assert (status, out.splitlines()[0]) == (1, "changed since:")
    assert "different at event 0 (00:00.0)" in out.splitlines()


def test_call_that_is_not_there_is_one_line(
    environment: pytest.MonkeyPatch, run: Run, table: Path
) -> None:
    """Exit status 1 of `show`, 2 of `replay`."""
    environment.setenv("STORE_PATH", str(table))

    assert run("show", "CA0") == (1, "", "CA0: there is no such call\n")
    assert run("replay", "CA0") == (2, "", "CA0: there is no record of this call\n")


@pytest.mark.parametrize(
    ("has_file", "fault"),
    [(False, "there is no file {path}"), (True, "{path} is no table of this service")],
)
def test_reading_commands_make_no_table(
    environment: pytest.MonkeyPatch, run: Run, tmp_path: Path, fault: str, *, has_file: bool
) -> None:
    """The fault is the path, not a missing call; a file of another program stays as it is."""
    path = tmp_path / "other?.db"
    if has_file:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE others (a)")
    before = path.read_bytes() if has_file else b""
    environment.setenv("STORE_PATH", str(path))

    line = f"STORE_PATH: {fault.format(path=path)}\n"
    assert run("show", "CA0") == (1, "", line)
    assert run("replay", "CA0") == (3, "", line)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [before] * has_file


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PORT", "none"), ("TABLE_NAME", "gone"), ("RECORD_DAYS", "0"), ("PRICES_FILE", "/none")],
)
def test_replay_that_could_not_be_tried_has_an_exit_status_of_its_own(
    environment: pytest.MonkeyPatch, run: Run, variable: str, value: str
) -> None:
    environment.setenv(variable, value)

    for command, status in (("replay", 3), ("show", 1)):
        found, _, err = run(command, "CA0")
        assert (found, err.count(variable)) == (status, 1)


@pytest.mark.needs("time")
@pytest.mark.parametrize(("has", "columns"), [(80, 80), (40, 72), (200, 100)])
def test_call_is_shown_and_replayed_as_wide_as_the_terminal(
    environment: pytest.MonkeyPatch, run: Run, recorded: str, table: Path, has: int, columns: int
) -> None:
    """From 72 to 100 columns; 100 without a terminal."""
    _edit(table, recorded, "a house salad", "so much salad " * 20)
    _edit(table, "restaurantOrderingUseCase", "How can I help you", "What can I do for you " * 9)

    on_terminal = _on_terminal(has, "show", recorded)
    replayed = _on_terminal(has, "replay", recorded, "--now")
    environment.setenv("COLUMNS", str(has))
    elsewhere = run("show", recorded)[1].splitlines()

    assert columns - 14 < max(map(len, on_terminal)) <= columns
    assert max(map(len, replayed)) == columns
    assert 86 < max(map(len, elsewhere)) <= 100
    assert (on_terminal == elsewhere) == (columns == 100)


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
def test_seed_of_a_broken_record_is_refused_with_its_faults(
    run: Run, tmp_path: Path, values: dict[str, object]
) -> None:
    """Exit status 1; the present version stays."""
    assert run("seed")[0] == 0
    path = tmp_path / "item.json"
    key = {"pk": {"S": "albertEinsteinUseCase"}, "sk": {"S": "configuration"}}
    path.write_text(json.dumps({**key, **values}), encoding="utf-8")

    status, out, err = run("seed", "--profile", str(path))

    assert (status, out, err.startswith("albertEinsteinUseCase.")) == (1, "", True)
    assert run("check", "--table")[0] == 0


def test_check_finds_in_a_record_what_it_finds_in_a_folder(run: Run, tmp_path: Path) -> None:
    """Placeholders, tools of the offline script, and times that contradict each other."""
    script = {
        "intents": [{"name": "bye", "phrases": ["bye"], "say": "Bye."}],
        "tools": {"PayFunction": {}},
        "fallback": ["Hm?"],
        "done": ["Done."],
        "trouble": ["No."],
    }
    record = {
        "pk": {"S": "albertEinsteinUseCase"},
        "sk": {"S": "configuration"},
        "pk1": {"S": "use-case"},
        "sk1": {"S": "albertEinsteinUseCase"},
        "prompt": {"S": "You are Einstein. Today is <<TODAY>>."},
        "offlineScript": {"S": json.dumps(script)},
        "modelTimes": {"M": {"hedge_seconds": {"N": "4"}}},
    }
    path = tmp_path / "item.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    assert [run("seed")[0], run("seed", "--profile", str(path))[0]] == [0, 0]

    status, _, err = run("check", "--table")

    assert status == 1
    assert err.splitlines() == [
        "albertEinsteinUseCase.prompt: <<TODAY>>: nothing fills this",
        "albertEinsteinUseCase.offlineScript.tools.PayFunction: is not a tool of the use case;"
        " there are: ",
        "albertEinsteinUseCase [model.times] hedge_seconds: must be below the wait for the first"
        " event, 2.5",
    ]


def test_check_reads_the_table(run: Run) -> None:
    """A missing table is a fault, and so is each invalid record in it."""
    record = ROOT / "tests" / "store" / "predecessor" / "record-einstein.json"

    statuses = [
        run(*command)[0]
        for command in (
            *(("check", "--table"), ("seed",), ("check", "--table")),
            ("seed", "--profile", str(record)),
        )
    ]
    status, _, err = run("check", "--table")

    assert [*statuses, status] == [1, 0, 0, 0, 1]
    assert err.splitlines() == [
        "albertEinsteinUseCase.conversationRelayParams.interruptByDtmf: the relay has no such"
        " attribute, dropped",
        "albertEinsteinUseCase.dtmfHandlers.1.replyFunction: ListAvailableApartmentsFunction is"
        " not a tool of this use case",
        "albertEinsteinUseCase.dtmfHandlers.2.replyFunction: CheckExistingAppointmentsFunction is"
        " not a tool of this use case",
    ]
