"""Turns and receipts on a terminal: sentences instead of twenty keys.

    …89abcd turn 2 answered after 812 ms = prepare 2 + model 640 + phrase 170, then speech 1291
    …89abcd call over: caller_hangup after 41.5 s, 3 turns, 1 interrupt
            agent spoke 61% (measured); tokens 1200 in, 90 out, 88% cached; about 0.0004 USD

A line names the end of its call's SID, which the lines around it have in full. Only for eyes: the
JSON form has everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from agent.observability.turn_stages import UNTIL_SPEECH

_SHOWN_OF_SID = 6
_INDENT = "\n" + " " * 42
"""Under the sentence, behind the time stamp and the level."""


def readable(_: object, __: str, values: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: these two lines as sentences, all others as they are."""
    match values["event"]:
        case "turn.finished":
            sentence = _turn(values)
        case "call.summarized":
            sentence = _receipt(values)
        case _:
            return values
    sid = str(values.get("call_sid", ""))[-_SHOWN_OF_SID:]
    told = {key: values[key] for key in ("timestamp", "level") if key in values}
    return {**told, "event": f"…{sid} {sentence}" if sid else sentence}


def _turn(told: Mapping[str, Any]) -> str:
    stages: dict[str, float] = told["stages"]
    before, after = _sum_of(stages, is_before=True), _sum_of(stages, is_before=False)
    sentence = f"turn {told['turn']} {told['outcome']}"
    if told["interrupted"]:
        sentence += f" ({told['interrupted']})"
    if told["response_ms"] is None:
        sentence += f" after {told['total_ms']:.0f} ms without a word"
    else:
        sentence += f" after {told['response_ms']:.0f} ms" + " (filler)" * told["filler"]
    sentence += f" = {before}" * bool(before) + f", then {after}" * bool(after)
    for run in told["tools"]:
        sentence += f"{_INDENT}{run['name']} {run['ms']:.0f} ms {run['outcome']}"
    return sentence


def _sum_of(stages: Mapping[str, float], *, is_before: bool) -> str:
    return " + ".join(
        f"{name} {ms:.0f}"
        for name, ms in stages.items()
        if round(ms) and (name in UNTIL_SPEECH) == is_before
    )


def _receipt(told: Mapping[str, Any]) -> str:
    tokens = told["tokens"]
    head = (
        f"call over: {told['reason']} after {told['seconds']:.1f} s,"
        f" {_counted(told['turns'], 'turn')},"
        f" {_counted(sum(told['interrupts'].values()), 'interrupt')}"
    )
    parts = [
        f"agent spoke {told['talk_share']:.0%} ({told['talk']})",
        f"tokens {tokens['input']} in, {tokens['output']} out, {told['cache_share']:.0%} cached",
        *_tools(told["tools"]),
    ]
    if "price" in told:
        parts.append(f"about {told['price']:.4f} {told['currency']}")
    return head + _INDENT + "; ".join(parts)


def _tools(tools: Mapping[str, Mapping[str, int]]) -> Iterable[str]:
    for name, outcomes in tools.items():
        yield f"{name} " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
