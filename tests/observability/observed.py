"""Calls of literal events on a literal clock, and what is counted and logged of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from agent.call import events as ev
from agent.call.actions import Action
from agent.call.messages import ToolCall
from agent.observability import CallFacts, Telemetry
from tests.fakes import Clock, moment

SPOKE = ev.CallerSpoke("Are you open?")
LOOK = ToolCall("tool00001", "look_up", "{}")
Step = tuple[float, ev.Event, Sequence[Action]]
"""When the event came and was dealt with, the event, and what was done."""


def observed(
    *steps: Step, facts: CallFacts | None = None, trace_id: Callable[[], str] = lambda: ""
) -> Telemetry:
    """The metrics after one call of these events."""
    clock = Clock()
    telemetry = Telemetry(clock, trace_id)
    observer = telemetry.call("pizza", lambda: "scripted:", facts)
    for at, event, actions in steps:
        clock.seconds = at
        observer.observe(moment(event, actions, at))
    observer.ended(ev.EndReason.CALLER_HANGUP)
    return telemetry


def lines_of(
    *steps: Step, event: str = "turn.finished", facts: CallFacts | None = None
) -> list[dict[str, Any]]:
    """The lines of this kind that a call of these events leaves."""
    with capture_logs() as logs:
        observed(*steps, facts=facts)
    return [dict(line) for line in logs if line["event"] == event]


def samples_of(telemetry: Telemetry) -> dict[str, Any]:
    """The values that are not 0, of a histogram number and sum.

    A sample is named with the values of its labels, in the order of the labels' names.
    """
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(telemetry.render("")[0].decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("agent_").removesuffix("_count").removesuffix("_sum")
            name = " ".join([name, *sample.labels.values()])
            if not sample.value and name not in found:
                continue
            if family.type != "histogram":
                found[name] = sample.value
            elif sample.name.endswith("_count"):
                found[name] = (sample.value, 0.0)
            elif sample.name.endswith("_sum"):
                found[name] = (found[name][0], sample.value)
    return {name: value for name, value in found.items() if "_created" not in name}
