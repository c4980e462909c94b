"""A load test as one HTML page that needs nothing else: figures, and plots in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from agent.cli.evaluation.load_report import STEP_SECONDS, LoadReport, report_lines
from agent.scenarios.load_figures import BUCKETS

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 220, 52, 28
_COLORS = {"p50": "#2a7ab0", "p95": "#c0641c", "p99": "#a02c4a", "calls": "#2a7ab0"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 48em; padding: 0 1em }
pre { background: #8881; padding: 1em; overflow: auto }
svg { width: 100%; height: auto } text { font: 12px system-ui; fill: currentColor }
:root { color-scheme: light dark }
"""
Series = dict[str, list[tuple[float, float]]]


def load_page(report: LoadReport) -> str:
    """The page."""
    figures = report.figures
    waits: Series = {
        name: [(at, found[name]) for at, found in figures.over_time(STEP_SECONDS) if name in found]
        for name in ("p50", "p95", "p99")
    }
    calls: Series = {
        "calls": [(float(second), float(number)) for second, number in enumerate(figures.at_once)]
    }
    names = [*(f"{bound:g}" for bound in BUCKETS), "more"]
    parts = [
        _plot("Time to first text over the time of the test, in seconds", waits),
        _plot("Calls in progress", calls),
        _bars("Answers by time to first text, up to so many seconds", names, figures.histogram()),
    ]
    if report.levels:
        tried: Series = {
            "p95": sorted(
                (float(each.calls), each.p95) for each in report.levels if each.p95 < float("inf")
            )
        }
        parts.append(_plot("95th percentile of time to first text, by calls at once", tried))
    text = escape("\n".join(report_lines(report)))
    title = f"Load test of {escape(report.url)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><pre>{text}</pre>{''.join(parts)}</html>\n"
    )


def _plot(title: str, series: Series) -> str:
    """Lines of values over a number."""
    points = [point for line in series.values() for point in line]
    right = max((x for x, _ in points), default=0.0) or 1.0
    top = max((y for _, y in points), default=0.0) or 1.0
    drawn = []
    for number, (name, line) in enumerate(series.items()):
        path = " ".join(f"{_x(x / right):.1f},{_y(y / top):.1f}" for x, y in line)
        color = _COLORS[name]
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn.append(
            f'<text x="{_LEFT + 8 + 60 * number}" y="14" style="fill:{color}">{name}</text>'
        )
    return _framed(title, top, f"{right:g}", drawn)


def _bars(title: str, names: Sequence[str], values: Sequence[int]) -> str:
    top = max(values, default=0) or 1
    step = 1 / len(values)
    drawn = []
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        x, y = _x(number * step), _y(value / top)
        width = 0.8 * step * (_WIDTH - _LEFT)
        drawn.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_y(0) - y:.1f}"'
            f' fill="{_COLORS["p50"]}"><title>{value}</title></rect>'
            f'<text x="{x:.1f}" y="{_HEIGHT - 8}">{name}</text>'
        )
    return _framed(title, top, "", drawn)


def _framed(title: str, top: float, right: str, drawn: Sequence[str]) -> str:
    return (
        f'<h2>{escape(title)}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(title)}"><path d="M{_LEFT} 0V{_y(0)}H{_WIDTH}" fill="none"'
        f' stroke="currentColor"/><text x="0" y="12">{top:.3g}</text>'
        f'<text x="0" y="{_y(0)}">0</text><text x="{_WIDTH - 40}" y="{_HEIGHT - 8}">{right}</text>'
        f"{''.join(drawn)}</svg>"
    )


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT)


def _y(share: float) -> float:
    return (_HEIGHT - _BOTTOM) * (1 - share)
