"""What a load test has found: as text, and for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import msgspec

from agent.cli.evaluation.service_times import TIMES, Histogram
from agent.scenarios.figures import percentile
from agent.scenarios.load_figures import BUCKETS, SHARES, LoadFigures
from agent.scenarios.load_generator import Level, LoadPlan

STEP_SECONDS = 5.0
"""Of the figures over time."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The figures of a run, and what the service has measured meanwhile."""

    url: str
    plan: LoadPlan
    figures: LoadFigures
    service: Mapping[str, Histogram] = field(default_factory=dict)
    """By the name of the metric; empty = not read."""
    levels: list[Level] = field(default_factory=list)
    """Numbers of calls that were tried to find the highest."""
    highest: int = 0
    """That held; the figures are its own, or if it is 0 those of the last that was tried."""


def is_good(report: LoadReport) -> bool:
    """Whether every caller was served, or with a limit to find whether some number of calls was."""
    if report.levels:
        return report.highest > 0
    figures = report.figures
    troubles = figures.errors.total() + figures.departures.total() + figures.dead_airs
    return bool(figures.counted()) and not troubles


def report_lines(report: LoadReport) -> Iterator[str]:
    """The report as text."""
    figures = report.figures
    if report.levels:
        yield f"highest number of calls within the limit: {report.highest}"
        if not report.levels[-1].holds and report.levels[-1].is_own_limit:
            yield f"  the load generator was the limit: {report.levels[-1].reason}"
    yield (
        f"{figures.calls} calls at once for {figures.seconds:.0f} s: {figures.begun} calls,"
        f" {len(figures.counted())} answers"
    )
    yield _row("first text", _joined(figures.percentiles()))
    for name, of_what in TIMES.items():
        if (found := report.service.get(name)) is not None and found.count:
            shares = {f"p{100 * share:g}": found.at_share(share) for share in SHARES}
            yield _row(of_what, f"{_joined(shares)}  mean {found.mean:.3f} s")
    yield _row("errors", _counted(figures.errors))
    yield _row("dead air", str(figures.dead_airs))
    yield _row("departures", _counted(figures.departures))
    if figures.held_back:
        yield _row("held back", f"{figures.held_back} calls found no place among those at once")
    if figures.undone_steps:
        yield _row("not done", f"{figures.undone_steps} steps of the scenarios")
    lags = _lags(figures)
    yield _row(
        "load generator",
        f"{figures.core_share:.0%} of a core; {figures.waited_share:.0%} of the time other"
        " processes had its core",
    )
    yield _row(
        "its timers",
        f"late by {lags['lag_p99_ms']:.1f} ms (p99), {lags['lag_max_ms']:.1f} ms at most",
    )


def json_text(report: LoadReport) -> str:
    """The report as JSON; times in seconds unless the name says otherwise, null = infinite."""
    return msgspec.json.format(msgspec.json.encode(_document(report)), indent=1).decode() + "\n"


def _document(report: LoadReport) -> dict[str, object]:
    figures = report.figures
    return {
        "url": report.url,
        "plan": asdict(report.plan),
        "calls": {
            "begun": figures.begun,
            "ended": figures.ended,
            "held_back": figures.held_back,
            "at_once": figures.at_once,
        },
        "answers": len(figures.counted()),
        "first_text": figures.percentiles(),
        "histogram": [
            {"up_to": bound, "answers": number}
            for bound, number in zip([*BUCKETS, None], figures.histogram(), strict=True)
        ],
        "over_time": [{"at": at, **found} for at, found in figures.over_time(STEP_SECONDS)],
        "service": {
            name: {
                "count": found.count,
                "mean": found.mean,
                **{f"p{100 * share:g}": found.at_share(share) for share in SHARES},
            }
            for name, found in report.service.items()
        },
        "errors": dict(figures.errors),
        "dead_airs": figures.dead_airs,
        "departures": dict(figures.departures),
        "undone_steps": figures.undone_steps,
        "generator": {
            "core_share": figures.core_share,
            "waited_share": figures.waited_share,
            **_lags(figures),
        },
        "levels": [asdict(level) for level in report.levels],
        "highest": report.highest,
    }


def _lags(figures: LoadFigures) -> dict[str, float]:
    ordered = sorted(figures.lags) or [0.0]
    return {"lag_p99_ms": 1000 * percentile(ordered, 0.99), "lag_max_ms": 1000 * ordered[-1]}


def _joined(found: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in found.items()) or "no answer"


def _counted(kinds: Counter[str]) -> str:
    total = kinds.total()
    each = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(10))
    return f"{total}: {each}" if total else "0"


def _row(name: str, text: str) -> str:
    return f"{name:<24}{text}"
