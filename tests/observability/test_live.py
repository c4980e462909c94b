"""Shipped queries and rules have data from a real service in a real Prometheus.

A service is scraped while calls are played twice, so that everything that is counted was seen to
rise. Then each query of the dashboard and what each alert looks at must have data: numbers, and
not only series.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.service import Server
from tests.observability import played, shipped
from tests.observability.prometheus import Prometheus, scrape, watching
from tests.waiting import no_longer

pytestmark = pytest.mark.needs("prometheus")

_SCRAPES = "sum(sum_over_time(up[1h]))"
_EVALUATED = "max(timestamp(voice_agent:calls:limit))"
_SPEED = "histogram_quantile(0.5, sum by (le) (rate(agent_llm_tokens_per_second_bucket[5m])))"
_OUTCOMES = "sum(agent_call_outcomes_total) > 0 and sum(agent_outcome_requests_total) > 0"
"""They are counted when no further connection of a call can be expected."""
_STEADY = "vector(time()) and on () min_over_time(up[3s]) == 1"
"""The time now, if no scrape has failed just before: a failed one takes all data away."""


TOKENS = {
    model: f'sum(agent_llm_tokens_total{{model="{model}"}})'
    for model in ("openai:shaky", "openai:slow", "offline:")
}
PANELS = {(one.panel, one.expr): shipped.filled_in(one.expr) for one in shipped.targets()}


class Watched(NamedTuple):
    """What Prometheus had at the end, by query."""

    values: Mapping[str, Sequence[float]]
    sick_rules: Mapping[str, str]

    def without(self, queries: Mapping[Any, str]) -> list[Any]:
        """Those that have no data."""
        return [name for name, query in queries.items() if not self.values[query]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A service was watched while it had calls."""
    return asyncio.run(_watch(tmp_path_factory.mktemp("watched")))


async def _watch(folder: Path) -> Watched:
    async with played.service(folder) as server:
        target = server.metrics.removeprefix("http://").removesuffix("/metrics")
        rules = shipped.RECORDING, shipped.ALERTS
        async with watching(folder, scrape(target), *rules) as prometheus:
            await prometheus.until("up == 1")  # it takes seconds to find its first target
            await played.play_once(server)
            await played.play(server)
            await _scraped_again(prometheus)
            await played.play(server)
            await _have_speeds(server, prometheus)
            await prometheus.until(_OUTCOMES)
            return await _ask(prometheus, await _scraped_again(prometheus))


async def _have_speeds(server: Server, prometheus: Prometheus) -> None:
    """Play slow replies until their speeds have a median: a rate needs two samples that differ."""
    async with no_longer():
        while not await prometheus.ask(_SPEED):
            await played.hear_slowly(server)
            await _scraped_again(prometheus)


async def _scraped_again(prometheus: Prometheus) -> float:
    """Wait for two scrapes and what the rules make of them; a time when all of it is there."""
    [scrapes] = await prometheus.until(_SCRAPES)
    await prometheus.until(f"{_SCRAPES} >= {scrapes + 2}")
    [evaluated] = await prometheus.until(_EVALUATED)
    await prometheus.until(f"{_EVALUATED} > {evaluated + 1}")
    [steady, *_] = await prometheus.until(_STEADY)
    return steady


def _alerts() -> dict[str, str]:
    return {one.name: shipped.without_thresholds(one.expr) for one in shipped.alerts()}


def _metrics() -> list[str]:
    """Of a histogram its parts, for it has no sample of its own name."""
    return [
        name
        for parts in shipped.exported().values()
        for name in [part for part in parts if part.endswith("_count")] or parts
    ]


async def _ask(prometheus: Prometheus, at: float) -> Watched:
    queries = {*PANELS.values(), *_alerts().values(), *shipped.recordings(), *_metrics()}
    queries |= set(TOKENS.values())
    values = {query: await prometheus.ask(query, at) for query in queries}
    return Watched(values, await prometheus.sick_rules())


def test_every_query_of_the_dashboard_alert_and_rule_has_data(watched: Watched) -> None:
    assert watched.without(PANELS) == []
    assert watched.without(_alerts()) == []
    assert watched.without({name: name for name in shipped.recordings()}) == []
    assert watched.sick_rules == {}


def test_every_metric_was_seen_but_a_few(watched: Watched) -> None:
    """So the calls that are played are enough to tell by; what is not seen has a fallback of 0.

    Nothing has a price, no system is asked before a call or told of events, no caller is silent
    or asked for consent, the table has nothing to repair, no option is refused, no reply is guarded
    or asked ahead, no call is redacted, and each key means something by itself.
    """
    assert sorted(watched.without({name: name for name in _metrics()})) == [
        "agent_auth_token_reads_total",
        "agent_bad_requests_total",
        "agent_before_call_total",
        "agent_connections_cut_total",
        "agent_consents_total",
        "agent_due_work_total",
        "agent_events_total",
        "agent_guard_total",
        "agent_history_repairs_total",
        "agent_journal_facts_lost_total",
        "agent_keypad_entries_total",
        "agent_llm_cost_total",
        "agent_llm_options_refused_total",
        "agent_llm_speculations_total",
        "agent_observer_errors_total",
        "agent_record_lines_lost_total",
        "agent_reprompts_total",
    ]


def test_what_was_played_is_what_the_rules_say(watched: Watched) -> None:
    told = {
        name.removeprefix("VoiceAgent"): watched.values[each] for name, each in _alerts().items()
    }
    twice, once, never = (
        {name for name, seen in told.items() if seen == [count]} for count in (2.0, 1.0, 0.0)
    )

    assert watched.values["voice_agent:calls:limit"] == [100.0]
    assert watched.values["agent_relay_errors_total"] == [2.0]
    assert twice >= {"CallsRefused", "ResumesRefused", "FramesIgnored"}
    assert once >= {"ModelBreakerOpen", "InstanceDown"}
    assert never >= {"StrangersRefused", "JournalFactsLost", "RecordLinesLost"}
    assert never >= {"ToolSourceDown", "CallsNearLimit"}


def test_tokens_are_those_of_the_model_that_answered(watched: Watched) -> None:
    """The second model answers for the first one, which always fails; the slow one for itself."""
    assert watched.without(TOKENS) == ["openai:shaky"]
