"""A load test as one HTML page that needs nothing else: figures, and plots in SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from agent.cli.evaluation.load_report import STEP_SECONDS, LoadReport, report_lines
from agent.scenarios.load_figures import BUCKETS

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
    page = ET.Element("html", lang="en")
    head, body = ET.SubElement(page, "head"), ET.SubElement(page, "body")
    ET.SubElement(head, "meta", charset="utf-8")
    _add(head, "title", title)
    _add(head, "style", _STYLE)
    _add(body, "h1", title)
    _add(body, "pre", "\n".join(report_lines(report)))
    for heading, series in _series(report):
        _add(body, "h2", heading)
        _plot(body, series)
    figures = report.figures
    _add(body, "h2", "Answers by time to first text, up to so many seconds")
    _bars(body, [*(f"{bound:g}" for bound in BUCKETS), "more"], figures.histogram())
    return f"<!doctype html>\n{ET.tostring(page, encoding='unicode', method='html')}\n"


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


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
    element = ET.SubElement(parent, tag, named)
    element.text = text
    return element


def _plot(parent: ET.Element, series: _Series) -> None:
    """Lines of values over a number."""
    points = [point for line in series.values() for point in line]
    right = max((x for x, _ in points), default=0.0) or 1.0
    top = max((y for _, y in points), default=0.0) or 1.0
    frame = _frame(parent, top)
    _add(frame, "text", f"{right:g}", x=_WIDTH - 40, y=_HEIGHT - 8)
    for number, (name, line) in enumerate(series.items()):
        path = " ".join(f"{_x(x / right):.1f},{_y(y / top):.1f}" for x, y in line)
        color = _COLORS[name]
        _add(frame, "polyline", points=path, fill="none", stroke=color, stroke_width=2)
        _add(frame, "text", name, x=_LEFT + 8 + 60 * number, y=14, style=f"fill: {color}")


def _bars(parent: ET.Element, names: Sequence[str], values: Sequence[int]) -> None:
    top = max(values, default=0) or 1
    frame, step = _frame(parent, top), 1 / len(values)
    width = 0.8 * step * (_WIDTH - _LEFT)
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        x, y = _x(number * step), _y(value / top)
        size = {"width": f"{width:.1f}", "height": f"{_y(0) - y:.1f}"}
        bar = _add(frame, "rect", x=f"{x:.1f}", y=f"{y:.1f}", fill=_COLORS["p50"], **size)
        _add(bar, "title", f"{value}")
        _add(frame, "text", name, x=f"{x:.1f}", y=_HEIGHT - 8)


def _frame(parent: ET.Element, top: float) -> ET.Element:
    """An empty plot with its axes, from 0 to `top`."""
    frame = _add(parent, "svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}")
    axes = f"M{_LEFT} 0V{_y(0)}H{_WIDTH}"
    _add(frame, "path", d=axes, fill="none", stroke="currentColor")
    _add(frame, "text", f"{top:.3g}", x=0, y=12)
    _add(frame, "text", "0", x=0, y=_y(0))
    return frame


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT)


def _y(share: float) -> float:
    return (_HEIGHT - _BOTTOM) * (1 - share)
