"""Reports: nothing that was said becomes markup, and every run is in them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from agent.scenarios.outcome import AgentTurn, Check, ScenarioRun, Speaker, TranscriptLine
from agent.scenarios.reports import EvalReport, clock, legible
from agent.scenarios.reports.html_report import html
from agent.scenarios.reports.json_report import json_text
from agent.scenarios.reports.junit_report import junit_xml
from agent.scenarios.reports.markdown_report import markdown

EVIL = "</script><script>alert('é')</script> & <b>| `x` \x1b[31m\x00"
VOID = {"meta", "br", "hr", "img", "input", "link"}


def run_of(timing: int, *, passed: bool, subject: str = "") -> ScenarioRun:
    run = ScenarioRun(f"order {EVIL}", timing=timing, subject=subject, seconds=61.26, tokens=7)
    run.checks = [Check("protocol", is_met=True), Check(f"said {EVIL}", passed, EVIL)]
    run.transcript = [
        TranscriptLine(0.5, Speaker.AGENT, f"Hello {EVIL}", 2),
        TranscriptLine(3, Speaker.CALLER, EVIL, 4),
        TranscriptLine(61, Speaker.LINE, "interrupted"),
    ]
    run.turns = [AgentTurn(4, 4.75, 6, 9)]
    run.use_case, run.file, run.outcome = "shop", "shop.yaml", "the caller hung up"
    return run


REPORT = EvalReport(
    [run_of(seed, passed=seed > 0) for seed in range(3)], [""], {"model": f"offline: {EVIL}"}
)
TWO = EvalReport(
    [run_of(seed, passed=name != "b", subject=name) for seed in range(3) for name in "ab"],
    ["a", "b"],
    {},
)


class Page(HTMLParser):
    """Tags as a browser sees them, and the text outside of the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.links += [str(given[name]) for name in ("href", "src") if name in given]
        self.anchors += [str(given["id"])] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


@pytest.mark.parametrize("report", [REPORT, TWO, EvalReport([], [""], {})])
def test_html_is_one_whole_page_that_asks_for_nothing(report: EvalReport) -> None:
    text = html(report)
    page = Page(text)

    assert page.open == []
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.tags)
    assert page.links == [link for link in page.links if link[1:] in page.anchors]
    assert "url(" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_html_shows_what_was_said_with_times_and_the_waits_of_answers() -> None:
    page = Page(html(REPORT))

    assert "1 of 3 runs failed" in page.text
    assert "<script>alert('é')</script> & <b>| `x`" in page.text, "as text"
    assert "\x1b" not in page.text and "\x00" not in page.text
    assert "0:03.0" in page.text and "1:01.3" in page.text
    assert "0.75 + 1.25 + 3.00 s" in page.text
    assert page.anchors == ["run-1"], "the run that failed is the first one, too"


def test_html_compares_two_subjects() -> None:
    page = Page(html(TWO))

    assert "3 pairs: 3 passed only with a, 0 only with b" in page.text
    assert len(page.anchors) == 4, "a run of a that passed, and three of b that failed"


def test_junit_has_a_test_case_for_each_run() -> None:
    root = ET.fromstring(junit_xml(REPORT))  # noqa: S314 (our own document)

    [suite] = root
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("shop", "3", "1")
    assert [case.get("name", "")[-8:] for case in suite] == ["timing 0", "timing 1", "timing 2"]
    [failure] = suite[0].findall("failure")
    assert failure.get("message") == legible(f"said {EVIL}")
    assert [case.find("failure") for case in suite][1:] == [None, None]
    assert "0:03.0 caller: </script>" in suite[0].findtext("system-out", "")


def test_markdown_has_a_row_for_each_scenario_and_transcripts_of_failures() -> None:
    text = markdown(REPORT)

    assert text.startswith("# Evaluation: 1 of 3 runs failed\n")
    [row] = [line for line in text.splitlines() if "| 2 of 3 |" in line]
    assert row.replace("\\|", "").count("|") == 4
    assert "<script>" not in text.partition("```text")[0]
    assert text.count("```text") == 1
    assert " 0:03.0  caller  </script>" in text
    assert "3 pairs: 3 passed only with a" in markdown(TWO)


def test_json_has_every_run_and_the_figures() -> None:
    document = json.loads(json_text(TWO))

    assert [each["figures"]["passed"] for each in document["subjects"]] == [3, 0]
    assert document["comparison"]["only_first"] == 3
    assert len(document["runs"]) == 6
    assert document["runs"][0]["transcript"][1]["speaker"] == "caller"
    assert document["runs"][0]["has_passed"] is True


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (61.24, "1:01.2"), (-1, "0:00.0")]
)
def test_clock_rounds_to_tenths(seconds: float, text: str) -> None:
    assert clock(seconds) == text
