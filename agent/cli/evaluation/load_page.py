"""A load test as one HTML page that needs nothing else: figures, and plots in SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from agent.cli.evaluation.load_report import STEP_SECONDS, LoadReport, report_lines
from agent.scenarios.load_figures import BUCKETS
from agent.scenarios.reports.html_elements import page, tag

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 220, 52, 28
_COLORS = {"p50": "#2a7ab0", "p95": "#c0641c", "p99": "#a02c4a", "calls": "#2a7ab0"}
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 48em; padding: 0 1em }
pre { background: #8881; padding: 1em; white-space: pre-wrap }
svg { width: 100%; height: auto }
text { font: 12px system-ui, sans-serif; fill: currentColor }
"""
_Series = dict[str, list[tuple[float, float]]]


def load_page(report: LoadReport) -> str:
    """The page."""
    title = f"Load test of {report.url}"
    plots = (
        each for heading, series in _series(report) for each in (tag("h2", heading), _plot(series))
    )
    bounds = [*(f"{bound:g}" for bound in BUCKETS), "more"]
    return page(
        title,
        _STYLE,
        tag("h1", title),
        tag("pre", "\n".join(report_lines(report))),
        *plots,
        tag("h2", "Answers by time to first text, up to so many seconds"),
        _bars(bounds, report.figures.histogram()),
    )


def _series(report: LoadReport) -> Iterator[tuple[str, _Series]]:
    figures = report.figures
    over_time = figures.over_time(STEP_SECONDS)
    waits = {name: [(at, found[name]) for at, found in over_time] for name in ("p50", "p95", "p99")}
    yield "Time to first text over the time of the test, in seconds", waits
    at_once = [(float(second), float(number)) for second, number in enumerate(figures.at_once)]
    yield "Calls in progress over the time of the test", {"calls": at_once}
    levels = [(float(each.calls), each.p95) for each in report.levels if each.p95 < float("inf")]
    if levels:
        heading = "95th percentile of time to first text in seconds, by calls at once"
        yield heading, {"p95": sorted(levels)}


def _plot(series: _Series) -> ET.Element:
    """Lines of values over a number."""
    points = [point for line in series.values() for point in line]
    right = max((x for x, _ in points), default=0.0) or 1.0
    top = max((y for _, y in points), default=0.0) or 1.0
    inside = [tag("text", f"{right:g}", x=_WIDTH - 40, y=_HEIGHT - 8)]
    for number, (name, line) in enumerate(series.items()):
        path = " ".join(f"{_x(x / right):.1f},{_y(y / top):.1f}" for x, y in line)
        color = _COLORS[name]
        inside.append(tag("polyline", points=path, fill="none", stroke=color, stroke_width=2))
        inside.append(tag("text", name, x=_LEFT + 8 + 60 * number, y=14, style=f"fill: {color}"))
    return _frame(top, inside)


def _bars(names: Sequence[str], values: Sequence[int]) -> ET.Element:
    top, step = max(values, default=0) or 1, 1 / len(values)
    width, inside = 0.8 * step * (_WIDTH - _LEFT), list[ET.Element]()
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        x, y = f"{_x(number * step):.1f}", _y(value / top)
        size = {"width": f"{width:.1f}", "height": f"{_y(0) - y:.1f}"}
        told = tag("title", f"{value}")
        inside.append(tag("rect", told, x=x, y=f"{y:.1f}", fill=_COLORS["p50"], **size))
        inside.append(tag("text", name, x=x, y=_HEIGHT - 8))
    return _frame(top, inside)


def _frame(top: float, inside: Sequence[ET.Element]) -> ET.Element:
    """A plot with its axes, from 0 to `top`."""
    axes = f"M{_LEFT} 0V{_y(0)}H{_WIDTH}"
    return tag(
        "svg",
        tag("path", d=axes, fill="none", stroke="currentColor"),
        tag("text", f"{top:.3g}", x=0, y=12),
        tag("text", "0", x=0, y=_y(0)),
        *inside,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    )


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT)


def _y(share: float) -> float:
    return (_HEIGHT - _BOTTOM) * (1 - share)
