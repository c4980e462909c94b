"""The sample script in a fresh folder, with no variable set.

The Python environment is the one that runs these tests. Where only the script matters, a stand-in
for Python prints how it was started.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from agent.settings import Settings, SettingsError

pytestmark = pytest.mark.needs("time")

ROOT = Path(__file__).parents[2]
SAMPLE = "run-local.sh.sample"
_PATIENCE = 60.0
"""Seconds; starting takes one or two on a machine with nothing else to do."""
_SERVES = "serve --announce Four ways to talk to it:"
_TELLS = """#!/bin/sh
echo "ran $*"
env
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in which the script has run before."""
    for name in ("agent", "configuration", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in (SAMPLE, "requirements.txt", "requirements-local-model.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    made_of = sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()
    (tmp_path / ".venv" / ".requirements.txt.sha256").write_text(f"{made_of}  requirements.txt\n")
    _interpret(tmp_path, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    return tmp_path


def _interpret(clone: Path, script: str) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.write_text(script)
    python.chmod(0o755)


def _environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "METRICS_PORT": "0", **more}


@asynccontextmanager
async def _started(
    clone: Path, *arguments: str, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "/bin/bash", SAMPLE, *arguments,
        cwd=clone, env=dict(environment), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_PATIENCE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until(process: asyncio.subprocess.Process, words: str) -> str:
    """Its output until these words."""
    assert process.stdout is not None
    shown = ""
    while words not in shown:
        piece = await process.stdout.read(200)
        assert piece, f"it ended before it said {words!r}: {shown}"
        shown += piece.decode()
    return shown


async def _type(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    await process.stdin.drain()


def _run(clone: Path, *arguments: str, **environment: str) -> str:
    """The commands that the stand-in was given, and its variables."""
    _interpret(clone, _TELLS)
    run = subprocess.run(  # noqa: S603 (our own script)
        ["/bin/bash", SAMPLE, *arguments],
        cwd=clone, env=_environment(**environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def _ran(told: str) -> list[str]:
    return re.findall(r"^ran -m agent (.*)$", told, re.MULTILINE)


async def test_talk_holds_a_conversation(clone: Path) -> None:
    """It answers as the README shows, and ends at `/hangup`."""
    [block] = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    greeting, words, answer = block.splitlines()
    async with _started(clone, "talk", environment=_environment()) as process:
        shown = await _until(process, greeting)
        await _type(process, words.removeprefix("you: "))
        await _until(process, answer)
        await _type(process, "/hangup")
        closing = await _until(process, f"bash {SAMPLE} show CA")
        status = await process.wait()

    assert "This is the offline model" in shown
    assert "call ended (caller hangup)" in closing
    assert status == 0
    assert (clone / ".agent" / "agent.db").exists()


async def test_service_starts_and_prints_no_secret(clone: Path) -> None:
    secrets = {
        "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
        "TWILIO_AUTH_TOKEN": "a-token-nobody-may-see",
        "TWILIO_API_KEY_SID": "SK0123456789abcdef0123456789abcdef",
        "TWILIO_API_KEY_SECRET": "a-key-nobody-may-see",
    }
    public = {"PORT": "0", "WS_URL": "wss://voice.example.com/"}

    async with _started(clone, environment=_environment(**secrets, **public)) as process:
        shown = await _until(process, "service.started")
        process.terminate()
        assert process.stdout is not None
        shown += (await process.stdout.read()).decode()
        status = await process.wait()

    assert status == 0
    assert "https://voice.example.com/twiml" in shown
    assert "every request must be signed" in shown
    assert [value for value in secrets.values() if value in shown] == []


async def test_port_in_use_is_the_last_line_without_the_four_ways(clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        async with _started(clone, environment=_environment(PORT=port)) as process:
            shown, _ = await process.communicate()

    assert process.returncode == 1
    assert "Four ways" not in shown.decode()
    assert shown.decode().splitlines()[-1] == (
        f"PORT: {port} is in use by another process; end it, or set another port"
    )


def test_without_anything_set_it_loads_the_records_and_serves(clone: Path) -> None:
    """It prints the four ways to talk to it."""
    told = _run(clone)

    assert _ran(told) == [_SERVES]  # what seeding says is not shown
    assert "1. In a browser:    http://localhost:3000/phone\n" in told
    assert "2. In a terminal:   bash run-local.sh.sample talk\n" in told
    assert "http://localhost:3000/twiml\n" in told
    assert "WS_URL=ws://localhost:3000/\n" in told


@pytest.mark.parametrize(
    ("arguments", "environment", "seeded"),
    [
        ([], {}, True),
        (["talk"], {}, True),
        (["check"], {}, False),
        (["seed", "--use-case", "x", "--rollback"], {}, False),
        ([], {"TABLE_NAME": "shared", "AWS_REGION": "us-east-1"}, False),
        (["talk"], {"TABLE_NAME": "shared", "AWS_REGION": "us-east-1"}, False),
    ],
)
def test_only_the_embedded_table_is_loaded_by_itself(
    clone: Path, arguments: list[str], environment: dict[str, str], *, seeded: bool
) -> None:
    """In a shared table a start would undo a rollback."""
    log = clone / "log"
    _interpret(clone, f'#!/bin/sh\necho "$*" >>{shlex.quote(str(log))}\n')

    subprocess.run(  # noqa: S603 (our own script)
        ["/bin/bash", SAMPLE, *arguments],
        cwd=clone, env=_environment(**environment), capture_output=True, check=True,
    )  # fmt: skip

    ran = re.findall(r"^-m agent (.*)$", log.read_text(), re.MULTILINE)
    assert ran == ["seed --all"] * seeded + [" ".join(arguments) or _SERVES]


def test_local_model_is_installed_with_hashes_when_it_is_asked_for(clone: Path) -> None:
    log = clone / "log"
    _interpret(clone, f'#!/bin/sh\necho "$*" >>{shlex.quote(str(log))}\n')

    for _ in range(2):
        subprocess.run(  # noqa: S603 (our own script)
            ["/bin/bash", SAMPLE, "talk", "--local-model"],
            cwd=clone, env=_environment(), capture_output=True, check=True,
        )  # fmt: skip

    install, *others = log.read_text().splitlines()
    assert install.endswith("--require-hashes --no-deps -r requirements-local-model.txt")
    assert others == ["-m agent seed --all", "-m agent talk --local-model"] * 2


def test_what_is_set_before_comes_first(clone: Path) -> None:
    told = _run(clone, "check", PORT="3001", STACK_USE_CASE="albertEinsteinUseCase")

    assert {"PORT=3001", "WS_URL=ws://localhost:3001/", "STACK_USE_CASE=albertEinsteinUseCase"} <= (
        set(told.splitlines())
    )


def test_env_file_counts_after_the_environment(clone: Path) -> None:
    (clone / ".env").write_text("PORT=3002\nLOG_LEVEL=error\nBUSY_SENTENCE='One \"moment\", $x'\n")
    _interpret(
        clone,
        f"""#!/bin/sh
[ "$1" = -c ] && exec {shlex.quote(sys.executable)} "$@"
env
""",
    )
    told = subprocess.run(  # noqa: S603 (our own script)
        ["/bin/bash", SAMPLE, "check"],
        cwd=clone, env=_environment(LOG_LEVEL="debug"), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert {"PORT=3002", "WS_URL=ws://localhost:3002/", "LOG_LEVEL=debug"} <= {*told.splitlines()}
    assert 'BUSY_SENTENCE=One "moment", $x' in told


def test_every_line_of_the_script_gives_way_to_the_environment() -> None:
    """Also the lines that are to be filled in."""
    script = (ROOT / SAMPLE).read_text(encoding="utf-8")
    lines = re.findall(r"^(?:# )?export (\w+)=(.*)$", script, re.MULTILINE)

    assert len(lines) > 30
    assert [name for name, value in lines if not value.startswith(f'"${{{name}:-')] == []


def test_steps_that_are_switched_on_as_they_stand_are_read(clone: Path) -> None:
    """Removing the "# " is enough; the first of the two models counts."""
    script = clone / SAMPLE
    before, steps, after = re.split(
        r"(?=^# Step 1\.)|(?=^# Step 5\.)", script.read_text(), flags=re.M
    )
    script.write_text(before + re.sub(r"^# (?=export )", "", steps, flags=re.M) + after)

    told = dict(line.split("=", 1) for line in _run(clone, "check").splitlines() if "=" in line)
    with pytest.raises(SettingsError) as caught:
        Settings.read(told)
    lines = str(caught.value).splitlines()
    assert {line.partition(":")[0] for line in lines} == {
        *("OPENAI_API_KEY", "WS_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    }
    assert all("is still a placeholder" in line for line in lines)

    filled = {"WS_URL": "wss://voice.example.com/", "TWILIO_ACCOUNT_SID": "AC0"}
    keys = {"TWILIO_AUTH_TOKEN": "token", "OPENAI_API_KEY": "key"}
    settings = Settings.read({**told, **filled, **keys})
    assert settings.ws_url == "wss://voice.example.com/"
    assert settings.table_name == "voice-dev-ConversationRelayAppDatabase"
    assert settings.model_identifier == "us.amazon.nova-lite-v1:0"
    assert settings.fallback_model_identifiers == ("offline:",)


def test_copy_with_secrets_is_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert {"run-local.sh", ".env"} <= set(ignored)
    assert SAMPLE not in ignored


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "not now: WS_URL is public; set PHONE_KEYS to a password of your own"),
        ({"PHONE_KEYS": "a-key-of-the-phone-1"}, "http://localhost:3000/phone"),
        ({"WEB_CONCURRENCY": "2"}, "not now: WEB_CONCURRENCY is above 1"),
    ],
)
def test_browser_phone_of_a_public_service_needs_a_key_and_one_process(
    clone: Path, more: dict[str, str], line: str
) -> None:
    public = {"WS_URL": "wss://voice.example.com/", "TWILIO_AUTH_TOKEN": "token"}

    told = _run(clone, **public, **more)

    assert f"1. In a browser:    {line}\n" in told
