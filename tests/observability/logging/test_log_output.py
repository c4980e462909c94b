"""Log lines on files that are slow, stuck, full or gone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TextIO

import pytest
import structlog

from agent.observability import Telemetry, configure_logging
from agent.observability.logging import MOST_WAITING, LogOutput
from tests.waiting import HANG_SECONDS

MANY = 5_000
"""Lines; more than a pipe holds."""


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reading, writing = os.pipe()
    reader, writer = os.fdopen(reading, encoding="utf-8"), os.fdopen(writing, "w", encoding="utf-8")
    yield reader, writer
    for end in (reader, writer):
        with suppress(BrokenPipeError):
            end.close()


def test_reader_that_does_not_read_holds_nothing_up_and_loses_nothing(
    pipe: tuple[TextIO, TextIO],
) -> None:
    reader, writer = pipe
    output = LogOutput(writer)
    said = [*(f"{number} {'x' * 40}" for number in range(MANY)), "y" * 20_000, "last"]

    for line in said:
        output.write(line)

    assert not output.flush(0)
    assert [reader.readline().rstrip("\n") for _ in said] == said
    assert output.flush(HANG_SECONDS)
    assert output.lost == 0


def test_lines_that_wait_are_bounded(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    output = LogOutput(writer)
    line = "x" * 99_999
    most = MOST_WAITING // 100_000

    for _ in range(most + 10):
        output.write(line)

    assert 9 <= output.lost <= 10
    reading = Thread(target=reader.read)
    reading.start()
    assert output.flush(HANG_SECONDS)
    writer.close()
    reading.join()


def test_lines_for_a_reader_that_is_gone_are_counted(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    output = LogOutput(writer)
    reader.close()

    for line in ("one", "z" * 20_000, "three"):
        output.write(line)

    assert output.flush(HANG_SECONDS)
    assert output.lost == 3


def test_file_takes_each_line_at_once(tmp_path: Path) -> None:
    """Also one without a descriptor; lines for a full disk are counted."""
    text, in_memory = "caf\u00e9 \ud83d", io.StringIO()
    with (tmp_path / "log").open("w") as file, Path("/dev/full").open("w", buffering=1) as full:
        outputs = [LogOutput(each) for each in (file, in_memory, full)]
        for output, line in zip(outputs, (text, "one", "lost"), strict=True):
            output.write(line)

        assert (tmp_path / "log").read_text(encoding="utf-8") == "caf\u00e9 \\ud83d\n"
    assert in_memory.getvalue() == "one\n"
    assert [output.lost for output in outputs] == [0, 0, 1]


def test_lines_that_wait_are_written_when_the_process_ends() -> None:
    """More than a pipe holds, to a reader that begins late."""
    program = (
        "import sys; from agent.observability.logging import LogOutput;"
        "o = LogOutput(sys.stderr);"
        f"[o.write('x' * 99) for _ in range({MANY})]; print('written', flush=True)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(  # noqa: S603 (ours)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writing:
        assert writing.stdout is not None and writing.stderr is not None
        assert writing.stdout.readline() == "written\n"
        told = writing.stderr.read()

    assert told == ("x" * 99 + "\n") * MANY


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.usefixtures("plain_logging")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_line_that_cannot_be_rendered_is_reduced_to_its_event(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", log_format)

    structlog.get_logger("test").warning("call.odd", value=_Unprintable())

    told = json.loads(capsys.readouterr().err)
    assert told == {"event": "call.odd", "level": "warning", "unreadable": "RuntimeError"}


@pytest.mark.usefixtures("plain_logging")
def test_lost_lines_are_a_metric(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    reader.close()
    monkeypatch.setattr(sys, "stderr", writer)
    configure_logging("info", "json")

    structlog.get_logger("test").info("line.lost")

    assert Telemetry().value("agent_log_lines_lost_total") == 1.0
