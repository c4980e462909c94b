"""How amounts are counted and exported."""

from __future__ import annotations

from functools import partial

from agent.call.actions import StartReply
from agent.call.events import ReplyDelta
from agent.observability import Telemetry
from agent.observability.metrics import rendered
from tests.fakes import Clock
from tests.observability.observed import SPOKE, Step, observed, samples_of

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
