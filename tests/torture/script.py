"""What each call of the torture test consists of, and what the table must therefore hold.

A call is so many turns of four facts: the caller asks, the agent answers piece by piece, an order
is placed by the real tool, the agent confirms. Everything is made of the number of the call and of
the turn, so a process that takes a call over knows what comes next, and the judge what was said.
"""

from __future__ import annotations

import json

from agent.call.history import AgentSaid, CallerSaid, Fact, ToolUsed
from agent.call.messages import ToolCall

CALLS, PROCESSES, TURNS = 200, 4, 4
FACTS = TURNS * 4
ORDER_TOOL = "PlaceOrderFunction"
STARTED_MS = 1_900_000_000_000


def call_sid(call: int) -> str:
    return f"CA{call:032d}"


def caller(call: int) -> str:
    """The number of a caller; each call has its own."""
    return f"+1555{call:07d}"


def pieces(call: int, position: int) -> list[str]:
    words = f"Call {call}: this is what I have to say at {position}, in a few pieces.".split()
    return [" ".join(words[:count]) for count in range(4, len(words) + 1, 4)]


def opening(call: int, position: int) -> Fact:
    """The fact as it is first recorded."""
    turn, part = divmod(position, 4)
    match part:
        case 0:
            return CallerSaid(f"Call {call}, turn {turn}: one more please.")
        case 2:
            arguments = {
                "current_order": [
                    {"line_item": "Garlic Knots", "additional_details": f"for guest {turn}"}
                ],
                "order_type": "pickup",
            }
            return ToolUsed(turn, ToolCall(f"tool{turn:05d}", ORDER_TOOL, json.dumps(arguments)))
        case _:
            return AgentSaid(pieces(call, position)[0])


def is_complete(call: int, position: int, fact: Fact) -> bool:
    """Nothing more will happen to the fact."""
    match fact:
        case AgentSaid(text):
            return text == pieces(call, position)[-1]
        case ToolUsed(_, _, result):
            return result is not None and not result.is_error
        case _:
            return True


def size(fact: Fact) -> int:
    """How far a fact has come: a later writing is never smaller."""
    match fact:
        case ToolUsed(_, _, result):
            return 2 if result else 1
        case _:
            return len(fact.text)
