"""The command `load`: who calls when, what is counted, what is found, and what it refuses."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.cli.evaluation import load_test
from agent.cli.evaluation.hosted_service import SETTINGS, HostedService, hosted
from agent.cli.evaluation.load_page import load_page
from agent.cli.evaluation.load_report import LoadReport, is_good, json_text, report_lines
from agent.cli.evaluation.load_test import read_dialogues
from agent.cli.evaluation.paced_model import Pace
from agent.cli.evaluation.server_address import address_in
from agent.cli.evaluation.service_times import Histogram, histograms
from agent.cli.main import main
from agent.scenarios.load_figures import AnswerWait, LoadFigures
from agent.scenarios.load_generator import (
    Level,
    LoadGenerator,
    LoadPlan,
    find_highest,
    level_of,
)
from agent.scenarios.scenario import Says, Scenario, ScenarioError
from agent.settings import Settings
from agent.store.call_state.call_list import LISTING
from tests.simulator.minimal_relay import TOKEN, MinimalRelay, calling
from tests.virtual import virtually

pytestmark = pytest.mark.usefixtures("plain_logging")

HELLO = [Scenario("hello", steps=(Says("are you open"), Says("a large pepperoni for pickup")))]
FIRST_TOKEN_SECONDS = 0.4
"""Of the model of a hosted service."""


def service() -> Settings:
    return Settings.read({**SETTINGS, "STACK_USE_CASE": "restaurantOrderingUseCase"})


def callers(service: HostedService) -> list[object]:
    """The caller of each call that the service knows."""
    return [item["caller"] for item in service.store.snapshot().values() if item["sk"] == LISTING]


@virtually
async def test_each_caller_calls_again_and_each_call_has_a_number_of_its_own() -> None:
    """For the whole time, with so many calls at once; the waits are those of the model."""
    async with hosted(service(), Pace(is_virtual=True)) as server:
        plan = LoadPlan(calls=5, seconds=120.0, ramp=10.0)

        figures = await LoadGenerator(server.twilio, HELLO, plan).run()

        await server.settle()
        numbers = callers(server)
    assert (figures.errors, figures.departures, figures.dead_airs) == (Counter(), Counter(), 0)
    assert figures.begun == figures.ended == len(numbers) == len(set(numbers)) > 10
    assert all(re.fullmatch(r"\+1555[2-9]\d{6}", str(number)) for number in numbers)
    assert len(figures.at_once) in {120, 121}
    assert figures.seconds == pytest.approx(120.0)
    assert max(figures.at_once) == 5
    assert len(figures.counted()) > 20
    assert min(figures.counted()) == pytest.approx(FIRST_TOKEN_SECONDS)
    assert all(wait.asked_at >= 0 for wait in figures.waits)


@virtually
async def test_calls_of_a_rate_arrive_whatever_the_server_does() -> None:
    """Those for which there is no place are counted and left out."""
    async with hosted(service(), Pace(is_virtual=True)) as server:
        plan = LoadPlan(calls=3, seconds=20.5, rate=1.0, is_even=True)

        figures = await LoadGenerator(server.twilio, HELLO, plan).run()

    assert max(figures.at_once) == 3
    assert figures.begun + figures.held_back == 20
    assert figures.held_back > 10


@virtually
async def test_arrivals_are_those_of_a_poisson_process() -> None:
    """About as many as the rate says, and not at even times."""
    async with calling(MinimalRelay()) as twilio:
        stranger, plan = replace(twilio, token="wrong"), LoadPlan(1000, seconds=100.0, rate=2.0)
        generator = LoadGenerator(stranger, HELLO, plan)

        figures = await generator.run()

    assert 160 < figures.begun < 240
    assert figures.errors == Counter({"failed: webhook: status 403": figures.begun})


@virtually
async def test_departures_are_counted_by_kind() -> None:
    """A server that closes each answer twice, and one that closes the socket."""
    said = [Scenario(words, steps=(Says(words),)) for words in ("close twice", "hang up")]
    async with calling(MinimalRelay({"welcomeGreeting": "Hello!"})) as twilio:
        plan = LoadPlan(calls=2, seconds=12.0, ramp=0.1)

        figures = await LoadGenerator(twilio, said, plan).run()

    assert set(figures.departures) == {"no_words", "hung_up_on"}


@virtually
async def test_caller_without_an_answer_has_dead_air() -> None:
    async with calling(MinimalRelay({"welcomeGreeting": "Hello!"})) as twilio:
        plan = LoadPlan(calls=1, seconds=30.0, ramp=0.1, think=0.5)

        silent = [Scenario("s", steps=(Says("be silent"),))]
        figures = await LoadGenerator(twilio, silent, plan).run()

    assert figures.dead_airs > 0
    assert figures.counted() == []


def figures_of(calls: int, *waits: float, core_share: float = 0.1) -> LoadFigures:
    found = LoadFigures(calls, measured_from=10.0, begun=100, ended=100, core_share=core_share)
    found.waits = [AnswerWait(10.0 + number, wait) for number, wait in enumerate(waits)]
    found.waits.insert(0, AnswerWait(9.0, 99.0))
    found.at_once, found.seconds, found.lags = [0, calls, calls], 60.0, [0.0001, 0.002]
    return found


@pytest.mark.parametrize(
    ("figures", "holds", "reason"),
    [
        (figures_of(10, *[0.1] * 95, *[0.2] * 5), True, ""),
        (figures_of(10, *[0.1] * 90, *[0.9] * 10), False, "p95 0.900 s"),
        (figures_of(10), False, "no answer; give it more --minutes"),
        (figures_of(10, 0.1, 0.9), False, "p95 0.900 s"),
        (figures_of(10, *[0.9] * 99, core_share=0.95), False, "the load generator used 95%"),
    ],
)
def test_level_holds_within_the_limit(figures: LoadFigures, reason: str, *, holds: bool) -> None:
    """Answers of the time in which the calls began do not count."""
    level = level_of(figures, 0.25)

    assert (level.holds, level.reason[: len(reason)]) == (holds, reason)
    assert level.is_own_limit is ("generator" in reason)


def test_level_with_failed_calls_does_not_hold() -> None:
    figures = figures_of(10, *[0.1] * 100)
    figures.errors["refused"] = 2

    assert level_of(figures, 1.0).reason == "2 of 100 calls failed"


@pytest.mark.parametrize(
    ("holds_up_to", "most", "found"),
    [(137, 1000, range(131, 138)), (1000, 400, [400]), (3, 50, [3]), (0, 50, [0])],
)
@virtually
async def test_highest_number_of_calls_is_found(holds_up_to: int, most: int, found: object) -> None:
    tried = []

    async def try_level(calls: int) -> Level:
        tried.append(calls)
        return Level(calls, 0.1, holds=calls <= holds_up_to)

    highest = await find_highest(try_level, most)

    assert highest in found  # type: ignore[operator] # a range or a list
    assert len(tried) == len(set(tried)) < 12
    assert max(tried) <= most


def test_figures_are_reported_as_text_and_json() -> None:
    figures = figures_of(4, *[0.1] * 98, 0.4, 7.0)
    figures.errors["refused: Hangup"] = 1
    figures.departures["no_words"] = 2
    times = {"agent_turn_overhead_seconds": Histogram({0.01: 50, 0.1: 100, math.inf: 100}, 2.0)}
    report = LoadReport("http://127.0.0.1", LoadPlan(4, 60.0), figures, times)

    told = json.loads(json_text(report))

    assert list(report_lines(report)) == [
        "4 calls at once for 60 s: 100 calls, 100 answers",
        "first text              p50 0.100  p90 0.100  p95 0.100  p99 7.000",
        "added by the service    p50 0.010  p90 0.082  p95 0.091  p99 0.098  mean 0.020 s",
        "errors                  1: 1 refused: Hangup",
        "dead air                1",
        "departures              2: 2 no_words",
        "load generator          10% of a core; 0% of the time other processes had its core",
        "its timers              late by 2.0 ms (p99), 2.0 ms at most",
    ]
    assert told["first_text"] == {"p50": 0.1, "p90": 0.1, "p95": 0.1, "p99": 7.0}
    assert sum(each["answers"] for each in told["histogram"]) == told["answers"] == 100
    assert told["over_time"][0] == {"at": 5.0, **dict.fromkeys(["p50", "p90", "p95", "p99"], 99.0)}
    assert told["generator"]["lag_p99_ms"] == 2.0
    assert not is_good(report)


class Elements(HTMLParser):
    """The elements of a page, and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        self.loads += [name for name, _ in attrs if name in {"src", "href"}]


def test_page_needs_nothing_else() -> None:
    levels = [Level(10, 0.1, holds=True), Level(20, math.inf, holds=False)]
    report = LoadReport(
        "http://127.0.0.1/<b>", LoadPlan(4, 60.0), figures_of(4, *[0.1] * 50), levels=levels
    )
    elements = Elements()

    elements.feed(load_page(report))

    assert elements.loads == []
    assert elements.found["svg"] == 4
    assert elements.found["polyline"] == 5
    assert elements.found["rect"] == 13
    assert elements.found["b"] == 0


def test_json_holds_no_infinity() -> None:
    """A number of calls without an answer has no 95th percentile; JSON knows no infinity."""
    levels = [Level(10, math.inf, holds=False)]
    report = LoadReport("http://127.0.0.1", LoadPlan(4, 60.0), figures_of(10), levels=levels)

    text = json_text(report)

    assert "Infinity" not in text
    assert json.loads(text)["levels"][0]["p95"] is None


METRICS = """
# TYPE agent_turn_overhead_seconds histogram
agent_turn_overhead_seconds_bucket{le="0.1"} 3.0
agent_turn_overhead_seconds_bucket{le="+Inf"} 4.0
agent_turn_overhead_seconds_sum 1.5
agent_llm_time_to_first_token_seconds_bucket{le="0.5",model="a",use_case="b"} 1.0
agent_llm_time_to_first_token_seconds_bucket{le="+Inf",model="a",use_case="b"} 2.0
agent_llm_time_to_first_token_seconds_bucket{le="0.5",model="c",use_case="b"} 5.0
agent_llm_time_to_first_token_seconds_bucket{le="+Inf",model="c",use_case="b"} 5.0
agent_llm_time_to_first_token_seconds_sum{model="a",use_case="b"} 3.0
agent_active_calls 2.0
"""


def test_histograms_are_read_as_prometheus_does() -> None:
    """Label sets are added up; what was there before does not count."""
    found = histograms(METRICS)

    assert found == {
        "agent_turn_overhead_seconds": Histogram({0.1: 3.0, math.inf: 4.0}, 1.5),
        "agent_llm_time_to_first_token_seconds": Histogram({0.5: 6.0, math.inf: 7.0}, 3.0),
    }
    since = found["agent_turn_overhead_seconds"].since(Histogram({0.1: 1.0, math.inf: 1.0}, 0.5))
    assert (since.count, since.mean, since.at_share(1.0)) == (3.0, 1 / 3, 0.1)


def test_dialogues_are_callers(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('["hello", "two pizzas"]\n\n["hi"]\n', encoding="utf-8")

    found = [scenario.steps for scenario in read_dialogues(path)]

    assert found == [(Says("hello"), Says("two pizzas")), (Says("hi"),)]
    path.write_text('{"turns": []}', encoding="utf-8")
    with pytest.raises(ScenarioError, match="line 1"):
        list(read_dialogues(path))


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["https://voice.example.com"], "voice.example.com: not this machine"),
        (["https://voice.example.com", "--i-own", "example.com"], "--i-own voice.example.com"),
        (["http://127.0.0.1.example.com"], "not this machine"),
        (["ftp://127.0.0.1"], "must be a URL"),
        (
            ["http://127.0.0.1:1", "--public-url", "voice.example.com"],
            "--public-url: voice.example",
        ),
        (["http://127.0.0.1:1", "--public-url", "https://x/twiml"], "must be an origin such as"),
        (["http://127.0.0.1:1", "--json", "/nowhere/a"], "--json: /nowhere/a: No such file"),
        (["http://127.0.0.1:1", "--html", "/"], "--html: /: Is a directory"),
        (["http://127.0.0.1:1", "--dialogues", "/nowhere"], "/nowhere"),
        (["http://127.0.0.1:1", "--metrics", "http://127.0.0.1:1/metrics"], "127.0.0.1:1/metrics"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is called; a server elsewhere must be named as one's own."""
    status = main(["load", *arguments, "--token", TOKEN])

    assert status == 2
    assert fault in capsys.readouterr().err


def test_token_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)  # without a file .env

    assert main(["load", "http://127.0.0.1:1"]) == 2
    assert "TWILIO_AUTH_TOKEN" in capsys.readouterr().err


def test_first_token_of_a_list_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while tokens are rotated."""
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "old,new")

    assert address_in(parsed("http://127.0.0.1:1")).token == "old"


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("--calls=2.5", "must be a whole number"),
        ("--calls=0", "must be a number above 0"),
        ("--rate=-1", "must be a number above 0"),
        ("--minutes=inf", "must be a number above 0"),
        ("--find=soon", "must be a number above 0"),
    ],
)
def test_numbers_of_options_are_checked(
    option: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["load", "http://127.0.0.1:1", option])

    assert caught.value.code == 2
    assert fault in capsys.readouterr().err


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    load_test.add(parser.add_subparsers())
    return parser.parse_args(["load", *arguments])


@virtually
async def run_command(server_arguments: list[str], folder: Path) -> None:
    async with hosted(service(), Pace(is_virtual=True)) as server:
        port, metrics = server.service.port, server.service.metrics_port
        asked = parsed(
            f"http://127.0.0.1:{port}", "--public-url", "https://voice.example.com",
            "--metrics", f"http://127.0.0.1:{metrics}/metrics", "--token", SETTINGS[
                "TWILIO_AUTH_TOKEN"
            ],
            "--json", str(folder / "r.json"), "--html", str(folder / "r.html"), *server_arguments,
        )  # fmt: skip

        assert await asked.run(asked) == 0


def test_command_reports_on_the_whole_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of progress on standard error, the report on standard output and in files."""
    run_command(["--calls", "4", "--minutes", "1"], tmp_path)

    out, err = capsys.readouterr()
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert out.startswith("4 calls at once for 60 s: ")
    assert "added by the service" in out
    assert len(err.splitlines()) >= 5
    assert "   30 s  4 calls  " in err
    assert told["service"]["agent_turn_overhead_seconds"]["count"] == pytest.approx(
        told["answers"], abs=8
    )
    assert (tmp_path / "r.html").read_text(encoding="utf-8").count("<svg") == 3


def test_command_finds_the_highest_number_of_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(["--calls", "12", "--minutes", "1.5", "--find", "3000"], tmp_path)

    out, err = capsys.readouterr()
    assert out.startswith("highest number of calls within the limit: 12\n")
    assert "10 calls: p95 " in err
