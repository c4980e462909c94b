"""Markdown, as for the comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.scenarios.figures import figures
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.reports import EvalReport, clock, legible, run_name

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~&])")
_MOST_TRANSCRIPTS = 20


def markdown(report: EvalReport) -> str:
    """A table of scenarios, then each failure with its transcript."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: EvalReport) -> Iterator[str]:
    yield f"# Evaluation: {_verdict(report)}"
    yield ""
    yield from (f"- {_plain(name)}: {_plain(value)}" for name, value in report.facts.items())
    yield ""
    yield "| | scenarios | runs | passed | pass^1 | pass^k | median wait | 95 % |"
    yield "|---|---|---|---|---|---|---|---|"
    for subject in report.subjects:
        of = figures(report.of(subject))
        yield (
            f"| {_plain(subject) or 'all'} | {of.scenarios} | {of.runs} | {of.passed}"
            f" | {of.pass_1:.1%} | {of.pass_k:.1%} (k = {of.k}) | {of.median_wait:.2f} s"
            f" | {of.slow_wait:.2f} s |"
        )
    if report.comparison is not None:
        yield ""
        yield _plain(str(report.comparison))
    if report.remarks:
        yield ""
        yield from (f"- {_plain(remark)}" for remark in report.remarks)
    for use_case, scenarios in report.by_use_case():
        yield ""
        yield f"## {_plain(use_case) or 'Scenarios'}"
        yield ""
        yield "| scenario | passed | failed checks |"
        yield "|---|---|---|"
        yield from (_row(runs) for runs in scenarios)
    yield from _transcripts(report.failed)


def _verdict(report: EvalReport) -> str:
    failed = len(report.failed)
    return f"{failed} of {len(report.runs)} runs failed" if failed else "all passed"


def _row(runs: Sequence[ScenarioRun]) -> str:
    names = dict.fromkeys(check.name for run in runs for check in run.failures)
    passed = sum(run.has_passed for run in runs)
    return f"| {_plain(runs[0].title)} | {passed} of {len(runs)} | {_plain(', '.join(names))} |"


def _transcripts(failed: Sequence[ScenarioRun]) -> Iterator[str]:
    for run in failed[:_MOST_TRANSCRIPTS]:
        yield ""
        yield f"### {_plain(run_name(run))}"
        yield ""
        yield from (
            f"- **{_plain(check.name)}** {_plain(check.detail)}".rstrip() for check in run.failures
        )
        yield ""
        yield "```text"
        yield from (
            f"{clock(line.at):>7}  {line.speaker.value:6}  {' '.join(legible(line.text).split())}"
            for line in run.transcript
        )
        yield "```"
    if len(failed) > _MOST_TRANSCRIPTS:
        yield ""
        yield f"{len(failed) - _MOST_TRANSCRIPTS} more runs failed."


def _plain(text: str) -> str:
    """One line without markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(legible(text).split()))
