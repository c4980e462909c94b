"""The few numbers that people look at, from what was counted."""

from __future__ import annotations

from agent.observability import Telemetry
from agent.observability.call_overview import CallOverview, ToolRuns, overview_of
from agent.observability.series import SeriesCopy


def test_a_process_that_has_done_nothing_has_no_shares() -> None:
    assert overview_of(Telemetry().copies()) == CallOverview(0, 0, None, None, None, 0, [], {})


def test_numbers_are_sums_over_use_cases_and_models() -> None:
    telemetry = Telemetry()
    count = telemetry.count
    for use_case, reason in (
        ("pizza", "caller_hangup"),
        ("pizza", "transfer"),
        ("pizza", "error_model"),
        ("flat", "agent_end"),
    ):
        count("agent_calls_total", use_case=use_case, end_reason=reason)
    for seconds in (0.6, 0.7, 0.8, 9.0):
        count("agent_turn_time_to_first_speech_seconds", seconds, use_case="pizza")
    count("agent_interrupts_total", 2, kind="speech")
    count("agent_interrupts_total", kind="keypad")
    for outcome in ("ok", "error", "cancelled", "failed"):
        count("agent_tool_duration_seconds", 0.1, tool="order", outcome=outcome)
    count("agent_tool_duration_seconds", 0.1, tool="menu", outcome="ok")
    count("agent_llm_cost_total", 0.25, model="a", currency="USD")
    count("agent_llm_cost_total", 0.5, model="b", currency="USD")

    found = overview_of(telemetry.copies())

    assert (found.ended, found.contained, found.interrupts) == (4, 0.5, 3)
    assert found.tools == [ToolRuns("order", 4, 2), ToolRuns("menu", 1, 0)]
    assert found.costs == {"USD": 0.75}
    assert found.response_p50 is not None
    assert found.response_p95 is not None
    assert 0.5 <= found.response_p50 <= 0.8 < found.response_p95 <= 10


def test_series_of_another_version_are_left_out() -> None:
    """During a deploy: unknown metrics, other buckets, other labels."""
    telemetry = Telemetry()
    telemetry.count("agent_interrupts_total", 2, kind="speech")
    others = [
        SeriesCopy("agent_future_total", (), [1.0]),
        SeriesCopy("agent_turn_time_to_first_speech_seconds", ("pizza",), [0.5, 1.0]),
        SeriesCopy("agent_interrupts_total", ("speech", "en"), [5.0]),
    ]

    found = overview_of([*telemetry.copies(), *others])

    assert (found.interrupts, found.response_p50) == (2, None)
