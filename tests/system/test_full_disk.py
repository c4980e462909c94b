"""A disk without room and a tool that hangs are trouble of their own: other calls do not wait.

The disk is a real one: a small file system in memory where this process may mount one, and a limit
of the kernel on the size of files where it may not.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.simulator.carrier import call_fields
from agent.simulator.simulated_call import TwilioCall
from agent.store.sqlite import SqliteStore
from tests.emulators.carrier import ACCOUNT, Conduct
from tests.servers import Server, settings_for
from tests.system.test_messages_call import ADA, CONFIGURED, GRACE, NUMBER, Stage, sending

_DISK_BYTES = 4 * 2**20
_PATIENCE_SECONDS = 60.0
"""Of the carrier; longer than any of these tests."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder with the table, on a disk that a test fills and clears."""

    folder: Path
    fill: Callable[[], None]
    clear: Callable[[], None]


@pytest.fixture
def disk(tmp_path: Path, seeded_file: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    is_mounted = bool(mount and unmount) and _succeeds([str(mount), *options])
    found = (_small_disk if is_mounted else _limited)(folder)
    try:
        shutil.copy(seeded_file, folder / "agent.db")
        yield found
        found.clear()
    finally:
        if is_mounted:
            assert _succeeds([str(unmount), str(folder)])


def _succeeds(command: list[str]) -> bool:
    run = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 (the system's own)
    return run.returncode == 0


def _small_disk(folder: Path) -> Disk:
    filler = folder / "filler"

    def fill() -> None:
        with filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 512)

    return Disk(folder, fill, lambda: filler.unlink(missing_ok=True))


def _limited(folder: Path) -> Disk:
    """No file of this process may grow beyond what the table's journal is by then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        size = (folder / "agent.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    return Disk(folder, fill, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))


@pytest.fixture
async def stage(disk: Disk) -> AsyncIterator[Stage]:
    """A service whose table is on that disk, and which can send messages."""
    settings = settings_for(disk.folder / "agent.db", **CONFIGURED)
    store = await SqliteStore.open(disk.folder / "agent.db")
    async with sending(settings, store, patience=_PATIENCE_SECONDS) as stage:
        yield stage
    await store.close()


async def callers_words(server: Server, call: TwilioCall) -> list[str]:
    return [text for kind, text in await server.said(call) if kind == "callerSaid"]


async def test_what_is_said_while_the_disk_is_full_is_written_when_it_has_room_again(
    disk: Disk, stage: Stage
) -> None:
    """Callers notice nothing, and nothing is lost, in order."""
    with capture_logs() as logs:
        async with stage.call(ADA) as call:
            await call.say("are you open")
            disk.fill()
            answered = [await call.say(words) for words in ("where are you", "do you deliver")]
            disk.clear()
            await call.say("thank you")

        assert all(reply.text for reply in answered)
        assert await callers_words(stage.server, call) == [
            "are you open", "where are you", "do you deliver", "thank you",
        ]  # fmt: skip
    assert "write_queue.delayed" in [each["event"] for each in logs]
    assert "write_queue.caught_up" in [each["event"] for each in logs]


async def test_hanging_tool_and_full_disk_hold_up_no_other_call(disk: Disk, stage: Stage) -> None:
    """One call waits for a carrier that never answers; another one is talked to, and written."""
    stage.carrier.next = [Conduct.WAITS]
    async with stage.call(ADA) as waiting, stage.call(GRACE) as other:
        await stage.ordered(waiting)
        await waiting.prompt("yes please")
        await stage.carrier.reached.wait()
        first = await other.say("are you open")
        disk.fill()
        second = await other.say("where are you")
        disk.clear()
        third = await other.say("do you deliver")
        stage.carrier.gate.set()
        texted = await waiting.reply()

    assert first.text and second.text and third.text
    assert "I have sent you the text message." in texted.text
    assert await callers_words(stage.server, other) == [
        "are you open", "where are you", "do you deliver",
    ]  # fmt: skip
    assert (await callers_words(stage.server, waiting))[-1] == "yes please"
    assert stage.carrier.taken[0].url.endswith(f"/Accounts/{ACCOUNT}/Messages.json")
    assert stage.carrier.texts[0]["From"] == NUMBER


async def test_caller_who_rings_while_the_disk_is_full_hears_a_sentence(
    disk: Disk, stage: Stage
) -> None:
    """A call cannot be set up without a table; it can as soon as there is room."""
    await stage.server.relay(From=ADA, AccountSid=ACCOUNT)
    await stage.server.calls.until_written()
    disk.fill()

    refused = await stage.server.ring(call_fields(From=ADA, AccountSid=ACCOUNT))
    disk.clear()
    taken = await stage.server.ring(call_fields(From=ADA, AccountSid=ACCOUNT))

    assert (refused.status, refused.verbs) == (200, ("Say", "Hangup"))
    assert taken.verbs == ("Connect",)
