"""One page of HTML that needs nothing else: figures, a table of runs, transcripts, waterfalls.

It has no script and asks no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

from agent.scenarios.figures import Figures, by_scenario, figures
from agent.scenarios.outcome import AgentTurn, ScenarioRun, Speaker, TranscriptLine
from agent.scenarios.reports import EvalReport, clock, run_name
from agent.scenarios.reports.html_elements import page, tag

_STAGES = (
    ("wait", "from the caller's words to the first text"),
    ("text", "until the answer was closed"),
    ("speech", "until it was spoken"),
)


def html(report: EvalReport) -> str:
    """The whole document."""
    shown = _shown(report)
    return page(
        f"Evaluation: {_verdict(report)}",
        _style(),
        *_top(report),
        *_matrices(report, shown),
        *_details(report, shown),
    )


@cache
def _style() -> str:
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def _verdict(report: EvalReport) -> str:
    failed = len(report.failed)
    return f"{failed} of {len(report.runs)} runs failed" if failed else "all runs passed"


def _mark(*, is_good: bool) -> str:
    return "good" if is_good else "bad"


def _shown(report: EvalReport) -> dict[int, str]:
    """The runs with a transcript, by identity, with their anchors.

    All that failed, and the first of each scenario and subject.
    """
    chosen = list[ScenarioRun]()
    for subject in report.subjects:
        for played in by_scenario(report.of(subject)).values():
            chosen += [run for run in played if run is played[0] or not run.has_passed]
    return {id(run): f"run-{number}" for number, run in enumerate(chosen, 1)}


def _top(report: EvalReport) -> Iterator[ET.Element]:
    yield tag("h1", "Evaluation")
    yield tag("span", _verdict(report), kind=f"verdict {_mark(is_good=not report.failed)}")
    facts = (tag("span", f"{name} ", tag("b", value)) for name, value in report.facts.items())
    yield tag("p", *facts, kind="facts")
    titles = (
        "scenarios", "runs", "passed", "pass^1", "pass^k", "first words, median", "95 %",
        "longest", "minutes of calls", "tokens",
    )  # fmt: skip
    heads = [tag("th", ""), *(tag("th", title, kind="number") for title in titles)]
    rows = (_figures_row(subject, figures(report.of(subject))) for subject in report.subjects)
    yield tag("h2", "Figures")
    yield _table(heads, rows)
    if (comparison := report.comparison) is not None:
        yield tag("p", str(comparison), kind="note")
    yield from (tag("p", remark, kind="note") for remark in report.remarks)
    yield tag(
        "p",
        "pass^k is the chance that k runs of one scenario all pass, as the mean over scenarios."
        " First words: seconds from the caller's words to the agent's first text. The columns of"
        " the tables below are timings: how fast caller, voice and model are; 0 is ordinary.",
        kind="note",
    )


def _figures_row(subject: str, of: Figures) -> ET.Element:
    cells = (
        f"{of.scenarios}", f"{of.runs}", f"{of.passed}", f"{of.pass_1:.1%}",
        f"{of.pass_k:.1%} (k = {of.k})", f"{of.median_wait:.2f} s", f"{of.slow_wait:.2f} s",
        f"{of.longest_wait:.2f} s", f"{of.call_seconds / 60:.0f}", f"{of.tokens:,}",
    )  # fmt: skip
    name = tag("th", subject or "all", scope="row")
    return tag("tr", name, *(tag("td", cell, kind="number") for cell in cells))


def _table(heads: Sequence[ET.Element], rows: Iterator[ET.Element]) -> ET.Element:
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return tag("div", table, kind="scroll")


def _matrices(report: EvalReport, shown: dict[int, str]) -> Iterator[ET.Element]:
    """For each use case, scenarios by timings."""
    timings = sorted({run.timing for run in report.runs})
    for use_case, scenarios in report.by_use_case():
        yield tag("h2", use_case or "Scenarios")
        heads = [tag("th", "scenario"), tag("th", "subject")] if _many(report) else []
        heads = heads or [tag("th", "scenario")]
        heads += [tag("th", str(seed), kind="run", title=f"timing {seed}") for seed in timings]
        rows = (
            _matrix_row(runs, subject, timings, report, shown)
            for runs in scenarios
            for subject in report.subjects
        )
        yield _table(heads, rows)


def _many(report: EvalReport) -> bool:
    return len(report.subjects) > 1


def _matrix_row(
    runs: Sequence[ScenarioRun],
    subject: str,
    timings: Sequence[int],
    report: EvalReport,
    shown: dict[int, str],
) -> ET.Element:
    own = [run for run in runs if run.subject == subject]
    names = [tag("th", runs[0].title, scope="row")]
    if _many(report):
        names.append(tag("td", subject))
    cells = (_cell([run for run in own if run.timing == seed], shown) for seed in timings)
    return tag("tr", *names, *cells)


def _cell(runs: Sequence[ScenarioRun], shown: dict[int, str]) -> ET.Element:
    """The runs under one timing: a link to the first that failed, else to the first."""
    if not runs:
        return tag("td", "", kind="run")
    failed = [run for run in runs if not run.has_passed]
    run = failed[0] if failed else runs[0]
    of_several = f"{len(runs) - len(failed)}/{len(runs)}"
    text = of_several if len(runs) > 1 else "✗" if failed else "✓"
    names = ", ".join(check.name for check in run.failures)
    attributes = {"kind": _mark(is_good=not failed), "title": names or "passed"}
    if id(run) not in shown:
        return tag("td", tag("span", text, **attributes), kind="run")
    return tag("td", tag("a", text, href=f"#{shown[id(run)]}", **attributes), kind="run")


def _details(report: EvalReport, shown: dict[int, str]) -> Iterator[ET.Element]:
    runs = [run for run in report.runs if id(run) in shown]
    parts = (
        ("Runs that failed", [run for run in runs if not run.has_passed]),
        ("A run of each scenario that passed", [run for run in runs if run.has_passed]),
    )
    legend = (tag("span", tag("i", kind=name), meaning) for name, meaning in _STAGES)
    for number, (title, of_part) in enumerate(part for part in parts if part[1]):
        yield tag("h2", title)
        if number == 0:
            yield tag("div", *legend, kind="legend")
        open_for = set[str]()
        for run in of_part:
            is_first = run.title not in open_for and not run.has_passed
            yield _run(run, shown[id(run)], is_open=is_first)
            open_for.add(run.title)


def _run(run: ScenarioRun, anchor: str, *, is_open: bool) -> ET.Element:
    is_good = run.has_passed
    verdict = tag(
        "span", "passed" if is_good else "failed", kind=f"verdict {_mark(is_good=is_good)}"
    )
    aside = f"{run.use_case} · {clock(run.seconds)} · {run.outcome}".removeprefix(" · ")
    content = [tag("summary", verdict, run_name(run), tag("span", aside, kind="aside"))]
    failures = (
        tag("li", tag("b", check.name), f" {check.detail}", *_harm(is_harmful=check.is_harmful))
        for check in run.failures
    )
    inside = [] if is_good else [tag("ul", *failures, kind="checks")]
    inside += [tag("h3", "What was said"), *map(_line, run.transcript)]
    if run.turns:
        longest = max(turn.spoken_until - turn.asked_at for turn in run.turns)
        inside.append(tag("h3", "Answers"))
        inside += [_turn(turn, max(longest, 0.001)) for turn in run.turns]
    inside.append(tag("p", run.file, kind="note"))
    content.append(tag("div", *inside, kind="inside"))
    details = tag("details", *content, id=anchor)
    if is_open:
        details.set("open", "open")
    return details


def _harm(*, is_harmful: bool) -> list[str]:
    return [" (harms the caller)"] if is_harmful else []


def _line(line: TranscriptLine) -> ET.Element:
    kind = "line-event" if line.speaker is Speaker.LINE else line.speaker.value
    text = f"{line.text}—" if line.is_cut else line.text
    parts = (clock(line.at), line.speaker.value, text)
    return tag("div", *(tag("span", part) for part in parts), kind=f"line {kind}")


def _turn(turn: AgentTurn, longest: float) -> ET.Element:
    """One answer as bars on the scale of the longest one."""
    seconds = (
        turn.wait,
        turn.closed_at - turn.first_text_at,
        turn.spoken_until - turn.closed_at,
    )
    bars = (
        tag(
            "i", kind=name, style=f"width:{100 * each / longest:.2f}%", title=f"{each:.2f} s {what}"
        )
        for (name, what), each in zip(_STAGES, seconds, strict=True)
        if each > 0
    )
    figures_text = f"{seconds[0]:.2f} + {seconds[1]:.2f} + {seconds[2]:.2f} s"
    return tag(
        "div",
        tag("span", clock(turn.asked_at)),
        tag("div", *bars, kind="bars"),
        tag("span", figures_text),
        kind="turn",
    )
