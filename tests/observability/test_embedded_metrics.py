"""Metrics for CloudWatch in the log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.observability import EmbeddedMetrics, Telemetry
from agent.observability.embedded_metrics import NAMES, write_active_calls
from agent.observability.series import SeriesCopy
from agent.simulator.virtual_time import run_virtually
from tests.servers import serving, settings_for
from tests.waiting import until

Captured = pytest.CaptureFixture[str]
HOST = "voice.example.com"
_NO_CALLS = {"CallsRung": 0, "CallsConnected": 0, "CallsFailed": 0, "CallsRefused": 0}


def counts_in(line: str) -> dict[str, int]:
    """The metrics of a line, which has nothing else but what the format asks for."""
    document = json.loads(line)
    [directive] = document.pop("_aws")["CloudWatchMetrics"]
    assert document.pop("Service") == HOST
    assert [each["Name"] for each in directive["Metrics"]] == list(document)
    return dict(document)


def test_a_line_is_in_the_embedded_metric_format() -> None:
    telemetry, written = Telemetry(), list[str]()
    telemetry.call("pizza", lambda: "m")

    EmbeddedMetrics(telemetry, HOST, written.append, lambda: 1_700_000.5).publish()

    names = ["ActiveCalls", "CallsRung", "CallsConnected", "CallsFailed", "CallsRefused"]
    metrics = [{"Name": name, "Unit": "Count"} for name in names]
    directive = {"Namespace": "VoiceAgent", "Dimensions": [["Service"]], "Metrics": metrics}
    [line] = written
    assert line.endswith("\n") and line.count("\n") == 1
    assert json.loads(line) == {
        "_aws": {"Timestamp": 1_700_000_500, "CloudWatchMetrics": [directive]},
        "Service": "voice.example.com",
        "ActiveCalls": 1,
        **_NO_CALLS,
    }


def test_counters_are_what_came_since_the_line_before() -> None:
    """Refusals at capacity are no failures, and a forged request is no caller."""
    telemetry, written = Telemetry(), list[str]()
    embedded = EmbeddedMetrics(telemetry, HOST, written.append)

    for reasons in ([], ["busy", "overload"], ["signature", "token"], ["full", "busy", "busy"]):
        for reason in reasons:
            telemetry.count("agent_calls_refused_total", reason=reason)
        embedded.publish()

    lines = [counts_in(line) for line in written]
    assert [line["CallsRefused"] for line in lines] == [0, 2, 0, 3]
    assert [line.get("UnsignedRequests") for line in lines] == [None, None, 1, None]
    assert [line["CallsFailed"] for line in lines] == [0, 0, 0, 0]


def test_each_metric_counts_what_its_name_says() -> None:
    telemetry, written = Telemetry(), list[str]()
    count = telemetry.count
    for _ in range(9):
        count("agent_calls_rung_total")
    for _ in range(8):
        count("agent_calls_connected_total")
    for reason in (
        "account", "busy", "connection", "crash", "model", "model", "no_socket", "signature",
        "store", "use_case",
    ):  # fmt: skip
        count("agent_calls_failed_total", reason=reason)
    for kind in ("denied", "refused", "throttled", "timeout"):
        count("agent_llm_errors_total", model="m", kind=kind)
    for outcome in ("read", "failed", "failed"):
        count("agent_auth_token_reads_total", outcome=outcome)
    for outcome in ("delivered", "failed", "dead"):
        count("agent_events_total", receiver="crm", outcome=outcome)
    count("agent_event_age_seconds", 301.5)
    for outcome in ("ok", "error", "error"):
        count("agent_store_duration_seconds", 0.1, operation="get", outcome=outcome)
    for seconds in (0.4, 2.0, 2.1, 30.0):
        count("agent_turn_time_to_first_speech_seconds", seconds, use_case="pizza")
    for seconds in (0.4, 5.0, 5.1):
        count("agent_call_time_to_first_speech_seconds", seconds, use_case="pizza")

    EmbeddedMetrics(telemetry, HOST, written.append).publish()

    assert counts_in(written[0]) == {
        "ActiveCalls": 0,
        "CallsRung": 9,
        "CallsConnected": 8,
        "CallsFailed": 9,
        "CallsFailedBySignature": 2,
        "CallsFailedByUseCase": 1,
        "CallsFailedByCrash": 1,
        "CallsFailedByTable": 1,
        "CallsFailedByModel": 2,
        "CallsFailedByConnection": 1,
        "CallsWithoutSocket": 1,
        "CallsRefused": 0,
        "TokenReadsFailed": 2,
        "ModelRefusals": 2,
        "EventsGivenUp": 1,
        "TableErrors": 2,
        "Turns": 4,
        "SlowTurns": 2,
        "SlowStarts": 1,
        "OldestEventSeconds": 301,
    }
    assert set(NAMES) - counts_in(written[0]).keys() == {"UnsignedRequests"}


@pytest.mark.parametrize(
    ("age", "is_draining", "told"), [(59, 0, None), (60, 0, 60), (60, 1, None)]
)
def test_the_age_of_an_event_is_written_from_a_minute_on(
    age: float, is_draining: int, told: int | None
) -> None:
    """A metric that is written costs something; a draining process has stopped to look."""
    telemetry, written = Telemetry(), list[str]()
    telemetry.count("agent_event_age_seconds", age)
    telemetry.count("agent_draining", is_draining)
    telemetry.count("agent_calls_rung_total")

    EmbeddedMetrics(telemetry, HOST, written.append).publish()

    assert counts_in(written[0]).get("OldestEventSeconds") == told
    assert ('"OldestEventSeconds", "Unit": "Seconds"' in written[0]) is bool(told)


def test_a_draining_process_writes_what_it_counts_and_no_calls_in_progress() -> None:
    """Its few calls would pull the average down; its failures would be lost."""
    telemetry, written = Telemetry(), list[str]()
    embedded = EmbeddedMetrics(telemetry, HOST, written.append)
    embedded.publish()

    telemetry.count("agent_draining", 1)
    embedded.publish()
    telemetry.count("agent_calls_failed_total", reason="crash")
    embedded.publish()
    telemetry.count("agent_calls_failed_total", reason="model")
    embedded.publish(is_last=True)

    assert [counts_in(line) for line in written] == [
        {"ActiveCalls": 0, **_NO_CALLS},
        {**_NO_CALLS, "CallsFailed": 1, "CallsFailedByCrash": 1},
        {**_NO_CALLS, "CallsFailed": 1, "CallsFailedByModel": 1},
    ]


def test_line_is_written_at_once_and_every_thirty_seconds() -> None:
    written: list[str] = []

    async def watch() -> list[int]:
        counts = []
        embedded = EmbeddedMetrics(Telemetry(), HOST, written.append)
        running = asyncio.create_task(embedded.run(), name="embedded metrics")
        for _ in range(3):
            await asyncio.sleep(29.9)
            counts.append(len(written))
        running.cancel()
        return counts

    assert run_virtually(watch()) == [1, 2, 3]


def test_several_processes_of_a_task_write_its_calls_once() -> None:
    """Each writes its counters, whose sum is right; one of them writes the calls of all."""
    telemetries, written = [Telemetry(), Telemetry()], list[str]()
    for telemetry, calls in zip(telemetries, (2, 3), strict=True):
        telemetry.add_active_calls(calls)
        EmbeddedMetrics(telemetry, HOST, written.append, is_worker=True).publish()
    of_both = [SeriesCopy("agent_active_calls", (), [5.0]), SeriesCopy("agent_draining", (), [0.0])]
    draining = [
        SeriesCopy("agent_active_calls", (), [4.0]),
        SeriesCopy("agent_draining", (), [1.0]),
    ]
    answers = iter([of_both, draining, []])

    async def read() -> list[SeriesCopy]:
        return next(answers)

    async def watch() -> None:
        writing = asyncio.create_task(write_active_calls(read, HOST, written.append), name="calls")
        await asyncio.sleep(89.0)
        writing.cancel()

    run_virtually(watch())
    assert [counts_in(line) for line in written] == [_NO_CALLS, _NO_CALLS, {"ActiveCalls": 5}]


async def test_service_writes_them_where_it_is_asked_to(table: Path, capsys: Captured) -> None:
    """Also what was counted just before its end."""
    asked = settings_for(table, EMF_METRICS="true", LOG_FORMAT="json")
    seen = ""

    def has_come() -> bool:
        nonlocal seen
        seen += capsys.readouterr().err
        return "_aws" in seen

    async with serving(asked) as server:
        await until(has_come)
        server.service.telemetry.count("agent_calls_failed_total", reason="crash")
    seen += capsys.readouterr().err

    first, last = [counts_in(each) for each in seen.splitlines() if "_aws" in each]
    assert urlsplit(asked.ws_url).netloc == HOST
    assert first == {"ActiveCalls": 0, **_NO_CALLS}
    assert last == {**_NO_CALLS, "CallsFailed": 1, "CallsFailedByCrash": 1}


@pytest.mark.parametrize(
    "environment",
    [{"LOG_FORMAT": "json"}, {"EMF_METRICS": "true", "LOG_FORMAT": "console"}],
    ids=["not asked for", "no log that CloudWatch reads"],
)
async def test_service_does_not_write_them_otherwise(
    table: Path, capsys: Captured, environment: dict[str, str]
) -> None:
    """The first look at the load comes after the tasks that would write it."""
    async with serving(settings_for(table, **environment)) as server:
        telemetry = server.service.telemetry
        await until(lambda: telemetry.value("agent_event_loop_lag_seconds_count") > 0)

    assert "_aws" not in capsys.readouterr().err
