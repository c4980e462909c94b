"""Health and metrics."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from agent.simulator.carrier import call_fields
from tests.servers import Server, heard_out, serving, settings_for
from tests.waiting import no_longer, until

ADA = "+15550100001"
METRICS = {
    "agent_llm_time_to_first_token_seconds": "histogram",
    "agent_turn_time_to_first_speech_seconds": "histogram",
    "agent_turn_overhead_seconds": "histogram",
    "agent_active_calls": "gauge",
    "agent_calls_total": "counter",
    "agent_calls_refused_total": "counter",
    "agent_interrupts_total": "counter",
    "agent_tool_duration_seconds": "histogram",
    "agent_llm_requests_total": "counter",
    "agent_llm_errors_total": "counter",
    "agent_llm_tokens_total": "counter",
    "agent_webhook_duration_seconds": "histogram",
    "agent_store_duration_seconds": "histogram",
    "agent_draining": "gauge",
    "agent_event_loop_lag_seconds": "histogram",
}
"""Names and types that dashboards and alarms are built on."""


@pytest.mark.parametrize(
    ("path", "text"),
    [("/health", "Healthy"), ("/health/live", "Healthy"), ("/health/ready", "Ready")],
)
async def test_running_service_is_healthy_and_ready(server: Server, path: str, text: str) -> None:
    assert await server.get(server.url(path)) == (200, text)


async def test_draining_service_takes_no_call_and_hands_over_those_it_has(server: Server) -> None:
    """No new call and no new socket; running calls go on elsewhere."""
    waiting = await server.relay(From="+15550100050")
    async with server.twilio.call(From=ADA) as call:
        await call.say("are you open")
        server.calls.active_calls.drain()
        ready = await server.get(server.url("/health/ready"))
        live, _ = await server.get(server.url("/health/live"))
        signature = server.twilio.sign(waiting.url)
        socket = await server.twilio.handshake(waiting.url, signature=signature)
        refused = await server.ring(call_fields(From="+15550100051"))
        ending = await heard_out(call)

    assert (ready, live) == ((503, "Draining"), 200)
    assert socket == 503
    assert refused.verbs == ("Pause", "Redirect")
    assert ending.fields["HandoffData"] == '{"reasonCode": "server-drain", "reason": "quiet"}'
    assert ending.answer and ending.answer.verbs == ("Connect",)
    assert await server.metric("agent_calls_refused_total", reason="draining") == 1
    assert await server.metric("agent_calls_total", end_reason="drain") == 1


async def test_metrics_have_the_names_of_the_contract(server: Server) -> None:
    """On the private port only."""
    status, text = await server.get(server.metrics_url)
    public, _ = await server.get(server.url("/metrics"))

    declared = {tuple(line.split()[2:4]) for line in text.splitlines() if "# TYPE" in line}
    assert (status, public) == (200, 404)
    assert METRICS.items() <= declared


async def test_scraper_that_accepts_openmetrics_gets_it(server: Server) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with server.twilio.http.get(server.metrics_url, headers=headers) as response:
        content_type, text = response.headers["Content-Type"], await response.text()

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "# TYPE agent_calls counter" in text


async def test_running_service_measures_its_event_loop(server: Server) -> None:
    measured = "agent_event_loop_lag_seconds_count"
    async with no_longer():
        while await server.metric(measured) == 0:  # noqa: ASYNC110 (a sample has no event)
            await asyncio.sleep(0.05)  # the same reason

    assert await server.metric("agent_load_shedding") == 0


async def test_metrics_can_be_switched_off(table: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]

    async with serving(replace(settings_for(table), port=port)) as server:
        health = await server.get(server.url("/health"))

        assert (server.service.port, server.service.metrics_port) == (port, 0)
        assert health == (200, "Healthy")


async def test_call_with_a_tool_turn_is_counted(server: Server) -> None:
    """No label has the caller or the call."""
    async with server.twilio.call(From=ADA) as call:
        await call.say("the usual")
        active = await server.metric("agent_active_calls")
    await server.calls.until_quiet()

    metric, use_case, model = server.metric, "restaurantOrderingUseCase", "offline:"
    ended = {"use_case": use_case, "end_reason": "caller_hangup"}
    tool = {"tool": "CheckPastOrdersFunction", "outcome": "ok"}
    assert (active, await metric("agent_active_calls")) == (1, 0)
    assert await metric("agent_calls_total", **ended) == 1
    first_speech = "agent_turn_time_to_first_speech_seconds_count"
    assert await metric(first_speech, use_case=use_case) == 1
    assert await metric("agent_tool_duration_seconds_count", **tool) == 1
    assert await metric("agent_llm_requests_total", model=model, outcome="finished") == 2
    assert await metric("agent_llm_tokens_total", model=model, kind="input") > 0
    assert await metric("agent_store_duration_seconds_count", operation="put") > 0
    _, text = await server.get(server.metrics_url)
    assert ADA not in text and call.relay.fields["CallSid"] not in text


async def test_number_of_tasks_is_measured(server: Server) -> None:
    leaked, released, telemetry = 1000, asyncio.Event(), server.service.telemetry
    async with asyncio.TaskGroup() as tasks:
        for _ in range(leaked):
            tasks.create_task(released.wait())
        await until(lambda: telemetry.value("agent_tasks") > leaked)
        released.set()

    await until(lambda: 0 < telemetry.value("agent_tasks") < leaked)
