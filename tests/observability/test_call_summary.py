"""The summary of a call: counts, cost, and the versions that answered it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import agent
from agent.call import events as ev
from agent.call.actions import CancelReply, CancelTool, Record, RunTool, Speak, ToolOutcome
from agent.call.history import AgentSaid, SpeechSource
from agent.call.messages import ToolCall, Usage
from agent.observability import CallFacts, PricesError, Telemetry, VersionStamp, read_prices
from tests.fakes import Clock, moment
from tests.observability.observed import Step, lines_of

ROOT = Path(__file__).parents[2]
PRICES = """
currency = "CHF"
[models."scripted:"]
input = 0.01
output = 0.1
cache_read = 0.001
[models."other:"]
input = 1
output = 1
"""


def summary_of(*steps: Step, facts: CallFacts | None = None) -> dict[str, Any]:
    [summary] = lines_of(*steps, event="call.summarized", facts=facts)
    return summary


def prices_in(folder: Path) -> CallFacts:
    (folder / "prices.toml").write_text(PRICES)
    return CallFacts(prices=read_prices(folder / "prices.toml"))


def test_summary_adds_up_a_call() -> None:
    look, order = ToolCall("1", "look_up", "{}"), ToolCall("2", "order", "{}")
    usage = Usage(100, 20, 300, 0)
    stamp = VersionStamp(version=3, prompt="5499befb38db", tools="e3b0c44298fc")

    summary = summary_of(
        (0.0, ev.CallStarted(), [Record(0, AgentSaid("Hello Ada, ", SpeechSource.GREETING))]),
        (2.0, ev.CallerSpoke("my name is Ada"), [RunTool(look), RunTool(order)]),
        (3.0, ev.ToolFinished("1", ToolOutcome("{}")), []),
        (3.5, ev.ToolFinished("1", ToolOutcome("{}")), []),
        (4.0, ev.CallerInterrupted(""), [CancelTool("2")]),
        (5.0, ev.TokensCounted(1, usage), [Speak(1, "Welcome. ")]),
        (6.0, ev.TokensCounted(None, usage), []),
        (7.0, ev.CallerSpoke("No"), [CancelReply(2)]),
        facts=CallFacts(lambda: stamp, resume=2, code_version="0.1.0"),
    )

    assert summary == {
        "event": "call.summarized",
        "log_level": "info",
        "reason": "caller_hangup",
        "use_case": "pizza",
        "use_case_version": 3,
        "model": "scripted:",
        "models": ["scripted:"],
        "seconds": 7.0,
        "turns": 1,
        "interrupts": {"empty": 1, "new_words": 1},
        "tools": {"look_up": {"ok": 1}, "order": {"cancelled": 1}},
        "tokens": {"input": 200, "output": 40, "cache_read": 600, "cache_write": 0},
        "cache_share": 0.75,
        "agent_seconds": 1.3,
        "caller_seconds": 1.1,
        "talk_share": 0.556,
        "talk": "estimated",
        "prompt_hash": "5499befb38db",
        "tools_hash": "e3b0c44298fc",
        "code_version": "0.1.0",
        "resume": 2,
    }


REPORTED: Sequence[Step] = [
    (0.0, ev.PlaybackReported(ev.Playback.AGENT_ON), []),
    (3.0, ev.PlaybackReported(ev.Playback.AGENT_OFF), []),
    (4.0, ev.PlaybackReported(ev.Playback.CALLER_ON), []),
    (5.0, ev.PlaybackReported(ev.Playback.CALLER_OFF), []),
    (5.1, ev.CallerSpoke("A very long sentence that took one second."), []),
    (6.0, ev.PlaybackReported(ev.Playback.AGENT_ON), []),
]
HALF_REPORTED: Sequence[Step] = [
    (0.0, ev.PlaybackReported(ev.Playback.AGENT_ON), [Speak(1, "x" * 30)]),
    (9.0, ev.PlaybackReported(ev.Playback.AGENT_OFF), []),
    (9.5, ev.CallerSpoke("y" * 10), []),
]


@pytest.mark.parametrize(
    ("steps", "told"),
    [(REPORTED, (3.0, 1.0, "measured")), (HALF_REPORTED, (2.0, 0.7, "estimated"))],
)
def test_voices_are_measured_where_both_are_reported_and_estimated_elsewhere(
    steps: Sequence[Step], told: tuple[float, float, str]
) -> None:
    summary = summary_of(*steps)

    assert (summary["agent_seconds"], summary["caller_seconds"], summary["talk"]) == told
    assert summary["talk_share"] == 0.75


@pytest.mark.parametrize(
    ("used", "price"),
    [
        ([Usage(1000, 100, 2000), Usage(500, 100, model="other:")], 0.622),
        ([Usage(1, 1, 0, 5)], None),
        ([Usage(0, 0, 0, 1)], None),
        ([Usage(1, 1), Usage(1, 1, model="another:")], None),
        ([], None),
    ],
    ids=["priced", "partly priced", "not priced", "model without a price", "nothing used"],
)
def test_price_is_that_of_the_models_that_answered_or_left_out(
    tmp_path: Path, used: Sequence[Usage], price: float | None
) -> None:
    steps = [(1.0, ev.TokensCounted(None, usage), ()) for usage in used]

    summary = summary_of(*steps, facts=prices_in(tmp_path))

    assert (summary.get("price"), "currency" in summary) == (price, price is not None)
    assert summary["models"] == sorted({usage.model or "scripted:" for usage in used})
    assert summary["tokens"]["output"] == sum(usage.output for usage in used)


def test_cost_is_that_of_the_model_that_answered(tmp_path: Path) -> None:
    telemetry = Telemetry(Clock())
    observer = telemetry.call("pizza", lambda: "scripted:", prices_in(tmp_path))
    observer.observe(moment(ev.TokensCounted(1, Usage(1000, 100, model="other:")), [], 0.0))
    tokens = observer.tokens

    observer.ended(ev.EndReason.AGENT_END)

    costs = [
        telemetry.value("agent_llm_cost_total", model=model, currency="CHF")
        for model in ("scripted:", "other:")
    ]
    assert costs == [0.0, pytest.approx(1.1)]
    assert tokens == 1100


@pytest.mark.parametrize(
    "text",
    [
        "currency = 'USD'\n[models.a]\ninput = -1\noutput = 1",
        "currency = 'USD'\n[models.a]\ninput = 1",
        "currency = 'USD'\n[models.a]\ninput = 1\noutput = 1\nother = 1",
        "currency = 'dollars'",
        "currency =",
        "[models]",
        None,
    ],
)
def test_file_of_prices_is_checked(tmp_path: Path, text: str | None) -> None:
    """A wrong or missing file stops the start with one line."""
    if text is not None:
        (tmp_path / "prices.toml").write_text(text)

    with pytest.raises(PricesError, match=r"^PRICES_FILE: .*prices\.toml: "):
        read_prices(tmp_path / "prices.toml")


def test_shipped_prices_can_be_read() -> None:
    """Each model has all its prices, and reading the cache costs less than writing it."""
    prices = read_prices(ROOT / "configuration" / "prices.toml")

    assert len(prices.models) >= 5
    for model in prices.models.values():
        assert model.cache_read is not None and model.cache_write is not None
        assert model.cache_read < model.input <= model.cache_write < model.output


def test_version_of_the_code_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "agent/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", agent.__version__)
