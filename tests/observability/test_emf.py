"""Metrics for CloudWatch in the log, as scaling and alarms of the template expect them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent.call.events import EndReason
from agent.observability import EmbeddedMetrics, Telemetry
from tests.servers import Server, serving, settings_for
from tests.virtual_time import run_virtually
from tests.waiting import no_longer, until


def lines_of(written: list[str]) -> list[dict[str, Any]]:
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in written)
    return [json.loads(line) for line in written]


def test_line_is_in_the_embedded_metric_format() -> None:
    """Names, namespace and dimension are those of the template."""
    telemetry, written = Telemetry(), list[str]()
    embedded = EmbeddedMetrics(telemetry, "voice.example.com", written.append, lambda: 1_700_000.5)
    telemetry.call("pizza", lambda: "m")

    embedded.publish()

    assert lines_of(written) == [
        {
            "_aws": {
                "Timestamp": 1_700_000_500,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "VoiceAgent",
                        "Dimensions": [["Service"]],
                        "Metrics": [
                            {"Name": "ActiveCalls", "Unit": "Count"},
                            {"Name": "CallsRefused", "Unit": "Count"},
                        ],
                    }
                ],
            },
            "Service": "voice.example.com",
            "ActiveCalls": 1,
            "CallsRefused": 0,
        }
    ]


def test_refused_calls_are_counted_since_the_line_before() -> None:
    """Of callers who found all lines busy; a forged request is no caller."""
    telemetry, written = Telemetry(), list[str]()
    embedded = EmbeddedMetrics(telemetry, "voice.example.com", written.append)
    counts = [["busy", "overload"], ["signature", "token"], ["full", "busy", "busy"]]

    for reasons in counts:
        for reason in reasons:
            telemetry.count("agent_calls_refused_total", reason=reason)
        embedded.publish()

    assert [line["CallsRefused"] for line in lines_of(written)] == [2, 0, 3]


def test_draining_process_is_silent() -> None:
    """Its few calls would pull the average down, and take tasks away from the others."""
    telemetry, written = Telemetry(), list[str]()
    embedded = EmbeddedMetrics(telemetry, "voice.example.com", written.append)
    observer = telemetry.call("pizza", lambda: "m")

    telemetry.count("agent_draining", 1)
    embedded.publish()
    observer.ended(EndReason.DRAIN)

    assert written == []


def test_line_is_written_at_once_and_every_thirty_seconds() -> None:
    """Twice in each of CloudWatch's minutes."""
    written: list[str] = []

    async def watch() -> list[int]:
        counts = []
        embedded = EmbeddedMetrics(Telemetry(), "voice.example.com", written.append)
        running = asyncio.create_task(embedded.run(), name="embedded metrics")
        for _ in range(3):
            await asyncio.sleep(29.9)
            counts.append(len(written))
        running.cancel()
        return counts

    assert run_virtually(watch()) == [1, 2, 3]


async def test_service_writes_it_where_it_is_asked_to(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the log, under the host of `WS_URL`; nothing is left running."""
    asked = settings_for(table, EMF_METRICS="true", LOG_FORMAT="json")
    seen = ""

    def has_come() -> bool:
        nonlocal seen
        seen += capsys.readouterr().err
        return "_aws" in seen

    async with serving(asked):
        await until(has_come)

    [line] = [json.loads(each) for each in seen.splitlines() if "_aws" in each]
    assert line["Service"] == urlsplit(asked.ws_url).netloc == "voice.example.com"
    assert (line["ActiveCalls"], line["CallsRefused"]) == (0, 0)


@pytest.mark.parametrize(
    "environment",
    [{"LOG_FORMAT": "json"}, {"EMF_METRICS": "true", "LOG_FORMAT": "console"}],
    ids=["not asked for", "no log that CloudWatch reads"],
)
async def test_service_does_not_write_it_otherwise(
    table: Path, capsys: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    """By itself a log has log lines only."""
    async with serving(settings_for(table, **environment)) as server:
        await _is_measured(server)

    assert "_aws" not in capsys.readouterr().err


async def _is_measured(server: Server) -> None:
    """The tasks beside the lines run: the first look at the load comes after them."""
    await server.until_metric("agent_load_shedding", 0)
    async with no_longer():
        while await server.metric("agent_event_loop_lag_seconds_count") == 0:  # noqa: ASYNC110 (a sample has no event)
            await asyncio.sleep(0.05)  # the same reason
