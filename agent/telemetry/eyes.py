"""Turns and receipts on a terminal: a sentence instead of twenty keys.

    turn 2 answered in 812 ms  prepare 2 + model 640 + phrase 170  (all 2103 ms)  look_up 240 ms
    call over: caller_hangup after 41.5 s, 3 turns, 1 interrupt, ...

Only for eyes; the JSON form of a line has everything.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

_LINES = {"turn.finished", "call.receipt"}
_KEPT = ("timestamp", "level", "call_sid")


def readable(_: object, __: str, values: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: these two lines as a sentence, all others as they are."""
    event = values["event"]
    if event not in _LINES:
        return values
    sentence = _turn(values) if event == "turn.finished" else _receipt(values)
    return {
        **{key: values[key] for key in _KEPT if key in values},
        "event": sentence,
        **{key: values[key] for key in values if key.startswith("pii_")},
    }


def _turn(told: Mapping[str, Any]) -> str:
    response = told["response_ms"]
    head = f"turn {told['turn']} {told['outcome']}"
    if response is not None:
        head += f" in {response:.0f} ms" + (" by a filler" if told["filler"] else "")
    parts = " + ".join(f"{name} {ms:.0f}" for name, ms in told["stages"].items() if ms >= 1)
    tools = ", ".join(f"{run['name']} {run['ms']:.0f} ms {run['outcome']}" for run in told["tools"])
    cut = f" ({told['interrupted']})" if told["interrupted"] else ""
    return "  ".join(
        part for part in (head + cut, f"{told['total_ms']:.0f} ms = {parts or 0}", tools) if part
    )


def _receipt(told: Mapping[str, Any]) -> str:
    tokens = told["tokens"]
    interrupts = sum(told["interrupts"].values())
    parts = [
        f"call over: {told['reason']} after {told['seconds']:.1f} s",
        f"{told['turns']} turns, {interrupts} interrupts",
        f"agent spoke {told['talk_share']:.0%} ({told['talk']})",
        f"tokens {tokens['input']} in, {tokens['output']} out, {told['cache_share']:.0%} cached",
    ]
    if told["tools"]:
        parts.append(
            "tools "
            + ", ".join(
                f"{name} {count} {outcome}"
                for name, outcomes in told["tools"].items()
                for outcome, count in outcomes.items()
            )
        )
    if "price" in told:
        parts.append(f"about {told['price']:.4f} {told['currency']}")
    return "  ".join(parts)
