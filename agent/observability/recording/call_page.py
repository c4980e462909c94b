"""A call as one HTML page that needs nothing else: what was said, and where the time went.

It is made of what `show --json` prints. Whatever was said is text in it, never markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from agent.observability.recording.transcript import (
    CallTranscript,
    clock,
    printable,
    shortened,
    transcript_json,
)
from agent.scenarios.reports.html_elements import page, tag

_WIDTH, _LEFT, _ROW = 720, 210, 20
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 52em; padding: 0 1em }
table { border-collapse: collapse; width: 100% }
td { padding: .25em .6em; vertical-align: top; overflow-wrap: anywhere }
td:first-child, td:nth-child(2) { color: light-dark(#515c69, #a4aebb); white-space: nowrap }
tr.caller td:last-child { background: light-dark(#e2eefb, #203447); border-radius: 8px }
tr.operator td:last-child { border-left: 3px solid light-dark(#0b5c8a, #7cc4ec) }
.cut { color: light-dark(#a3231c, #ff9d94) }
svg { width: 100%; height: auto }
text { font: 12px system-ui, sans-serif; fill: currentColor }
.wait { fill: light-dark(#b9c2cc, #4a5460) }
.work { fill: light-dark(#5b4db8, #a79bf5) }
.tool { fill: light-dark(#0e7a6d, #5cc9bb) }
"""
_Form = Mapping[str, Any]
_NAMES = {"CallerSaid": "caller", "ToolUsed": "tool", "Note": "note", "Summary": "summary"}


def call_page(call: CallTranscript) -> str:
    """The page."""
    form: _Form = json.loads(transcript_json(call))
    turns = [(line, turn) for line in form["lines"] for turn in line["turns"]]
    return page(
        f"Call {form['call']}",
        _STYLE,
        tag("h1", printable(f"Call {form['call']}")),
        *(tag("p", printable(line)) for line in _heading(form)),
        tag("h2", "What was said"),
        tag("table", tag("tbody", *map(_row, form["facts"]))),
        *(part for number, each in enumerate(turns, 1) for part in _turn(number, *each)),
    )


def _heading(form: _Form) -> Iterator[str]:
    began = datetime.fromtimestamp(form["began_ms"] / 1000, UTC)
    caller = form["caller"] or "an unknown caller"
    yield f"{form['use_case'] or 'no use case'}, with {caller}, {began:%Y-%m-%d %H:%M:%S} UTC"
    if form["redacted"]:
        yield "Redacted: placeholders stand for personal values."
    if form["fault"]:
        yield f"The record cannot be used: {form['fault']}"
    for line in form["lines"]:
        stamp = line["stamp"]
        end = line["end"] or "unknown"
        yield f"Version {stamp['version']}, {stamp['model']}, end: {end}"


def _row(fact: _Form) -> ET.Element:
    kind = str(fact["kind"])
    label = _NAMES.get(kind) or str(fact.get("voice", "model"))
    label = {"model": "agent", "caller": "keys" if fact.get("means") == "keypad" else "caller"}.get(
        label, label
    )
    said = tag("td", printable(str(fact.get("text", ""))))
    if kind == "ToolUsed":
        result = fact.get("result") or {"content": "no result"}
        used = f"{fact['call']['name']} {shortened(fact['call']['arguments'])}"
        said = tag("td", printable(used), tag("br"), f"→ {shortened(str(result['content']))}")
    elif fact.get("is_cut"):
        said.append(tag("span", " [cut off]", kind="cut"))
    return tag("tr", tag("td", clock(fact["at_ms"])), tag("td", label), said, kind=label)


def _turn(number: int, line: _Form, turn: _Form) -> Iterator[ET.Element]:
    first = "nothing was said"
    if turn["first_text_ms"] is not None:
        first = f"first text after {turn['first_text_ms'] / 1000:.2f} s"
    at = clock(turn["at_ms"] + line["since_beginning_ms"])
    yield tag("h3", printable(f"Turn {number}, {at}: {turn['words']} ({first})"))
    ends = [span["to_ms"] for span in turn["spans"]] + [turn["last_text_ms"]]
    longest = max((each for each in ends if each is not None), default=0.0) or 1.0
    yield _bars(turn["spans"], longest)


def _bars(spans: Sequence[_Form], longest: float) -> ET.Element:
    inside = list[ET.Element]()
    for row, span in enumerate(spans):
        end = longest if span["to_ms"] is None else span["to_ms"]
        is_tool = span["name"].startswith("tool ")
        first = span["from_ms"] if is_tool else span["first_ms"]
        first, kind = end if first is None else first, "tool" if is_tool else "work"
        y, told = _ROW * row, f"{span['name']} {span['end']}".strip()
        inside.append(tag("text", printable(shortened(told, 32)), x=0, y=y + 14))
        if first > span["from_ms"] or end == first:
            inside.append(_bar("wait", span["from_ms"], first, longest, y))
        if end > first:
            inside.append(_bar(kind, first, end, longest, y))
        seconds = f"{(end - span['from_ms']) / 1000:.2f} s"
        inside.append(tag("text", seconds, x=_WIDTH - 50, y=y + 14))
    return tag("svg", *inside, viewBox=f"0 0 {_WIDTH} {_ROW * max(1, len(spans))}")


def _bar(kind: str, begin: float, end: float, longest: float, y: int) -> ET.Element:
    room = _WIDTH - _LEFT - 60
    x, width = _LEFT + room * begin / longest, max(1.0, room * (end - begin) / longest)
    place = {"x": f"{x:.1f}", "y": f"{y + 4}", "width": f"{width:.1f}", "height": "12"}
    return tag("rect", kind=kind, **place)
