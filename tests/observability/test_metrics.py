"""How amounts are counted and exported; metrics for CloudWatch in the log."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.call.actions import StartReply
from agent.call.events import ReplyDelta
from agent.observability import EmbeddedMetrics, Telemetry
from agent.observability.metrics import rendered
from agent.simulator.virtual_time import run_virtually
from tests.fakes import Clock
from tests.observability.observed import SPOKE, Step, observed, samples_of
from tests.servers import serving, settings_for
from tests.waiting import until

Captured = pytest.CaptureFixture[str]
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def test_waits_of_different_length_are_told_apart() -> None:
    """A tool may take 30 s and a webhook 15 s: no quantile may stop at 5 s."""
    telemetry = Telemetry()
    telemetry.count("agent_tool_duration_seconds", 12.0, tool="look_up", outcome="ok")
    telemetry.count("agent_webhook_duration_seconds", 12.0, route="/twiml", status="200")

    tool, webhook = "agent_tool_duration_seconds_bucket", "agent_webhook_duration_seconds_bucket"
    for le, count in (("10.0", 0), ("15.0", 1)):
        assert telemetry.value(tool, tool="look_up", outcome="ok", le=le) == count
        assert telemetry.value(webhook, route="/twiml", status="200", le=le) == count


def test_a_count_is_kept_as_its_metric_is_declared() -> None:
    """Added to a counter, the new value of a gauge, one observation of a histogram."""
    telemetry = Telemetry(Clock())

    for amount in (3, 2):
        telemetry.count("agent_journal_facts_waiting", amount)
        telemetry.count("agent_journal_facts_lost_total", amount, reason="stopped")
        telemetry.count("agent_event_loop_lag_seconds", amount)

    assert samples_of(telemetry) == {
        "journal_facts_waiting": 2.0,
        "journal_facts_lost_total stopped": 5.0,
        "event_loop_lag_seconds": (2.0, 5.0),
    }


def test_latencies_lead_to_their_traces_where_the_form_can_say_so() -> None:
    """Only OpenMetrics has exemplars, and only if there is a trace."""
    steps: list[Step] = [(1.0, SPOKE, [StartReply(1, ())]), (2.0, ReplyDelta(1, "Yes"), [])]
    traced, untraced = observed(*steps, trace_id=lambda: "0af7651916cd43dd"), observed(*steps)

    assert b"trace_id" in traced.render(OPEN_METRICS)[0]
    assert b"trace_id" not in traced.render("text/plain")[0]
    assert b"trace_id" not in untraced.render(OPEN_METRICS)[0]


def test_lines_are_in_the_embedded_metric_format() -> None:
    """Refusals at capacity since the line before; a forged request is no caller.

    A draining process is silent: its few calls would pull the average down.
    """
    telemetry, written = Telemetry(), list[str]()
    embedded = EmbeddedMetrics(telemetry, "voice.example.com", written.append, lambda: 1_700_000.5)
    telemetry.call("pizza", lambda: "m")

    for reasons in ([], ["busy", "overload"], ["signature", "token"], ["full", "busy", "busy"]):
        for reason in reasons:
            telemetry.count("agent_calls_refused_total", reason=reason)
        embedded.publish()
    telemetry.count("agent_draining", 1)
    embedded.publish()

    assert all(line.endswith("\n") and line.count("\n") == 1 for line in written)
    lines = [json.loads(line) for line in written]
    metrics = [{"Name": name, "Unit": "Count"} for name in ("ActiveCalls", "CallsRefused")]
    directive = {"Namespace": "VoiceAgent", "Dimensions": [["Service"]], "Metrics": metrics}
    assert [line.pop("CallsRefused") for line in lines] == [0, 2, 0, 3]
    assert lines[0] == {
        "_aws": {"Timestamp": 1_700_000_500, "CloudWatchMetrics": [directive]},
        "Service": "voice.example.com",
        "ActiveCalls": 1,
    }


def test_line_is_written_at_once_and_every_thirty_seconds() -> None:
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


async def test_service_writes_it_where_it_is_asked_to(table: Path, capsys: Captured) -> None:
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
    table: Path, capsys: Captured, environment: dict[str, str]
) -> None:
    """The first look at the load comes after the tasks that would write it."""
    async with serving(settings_for(table, **environment)) as server:
        telemetry = server.service.telemetry
        await until(lambda: telemetry.value("agent_event_loop_lag_seconds_count") > 0)

    assert "_aws" not in capsys.readouterr().err


def test_processes_are_added_up_as_each_metric_says() -> None:
    """Calls and observations are added, a state counts if one process is in it."""
    telemetries = [Telemetry(Clock(), partial(str, trace)) for trace in ("aaa", "bbb")]
    for telemetry, calls in zip(telemetries, (2, 3), strict=True):
        telemetry.add_active_calls(calls)
        telemetry.count("agent_draining", calls - 2)
        telemetry.count("agent_tool_source_up", 3 - calls, source="crm")
        telemetry.count("agent_turns_total", calls, use_case="pizza", outcome="answered")
        telemetry.count("agent_turn_overhead_seconds", calls / 1000)

    first, second = telemetries
    text = rendered([*first.copies(), *second.copies()], OPEN_METRICS)[0].decode()

    for line in (
        "agent_active_calls 5.0",
        "agent_draining 1.0",
        'agent_tool_source_up{source="crm"} 0.0',
        'agent_turns_total{outcome="answered",use_case="pizza"} 5.0',
        "agent_turn_overhead_seconds_count 2.0",
        "agent_turn_overhead_seconds_sum 0.005",
    ):
        assert line in text.splitlines()
    [both] = [line for line in text.splitlines() if 'overhead_seconds_bucket{le="0.002"}' in line]
    assert both.partition(" # ")[0].endswith(" 1.0") and 'trace_id="aaa"' in both
