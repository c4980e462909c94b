"""What the guards of speech and of confirmation cost in processor time.

    python benchmarks/guard_cost.py [--runs 9]

Feeds replies to `agent.call.speech_guard` piece by piece, as `agent.call.sentence_chunker` gives
them out, after an ordering call of twenty turns with results of tools. A reply has the rules
(`rules_for`, with the last answer), each piece, and the look whether what it commits was heard and
agreed to (`agent.call.heard_confirmation`). Prints the median of a few runs, and the lowest, which
other work of the machine disturbs least; exit status 1 if that is above 1 ms for a reply of at most
three sentences. A longer one costs more, in pieces that come one by one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.call.config import CallConfig, Limits
from agent.call.heard_confirmation import exchange_before, fault_of
from agent.call.history import AgentSaid, CallerSaid, Fact, History, ToolUsed
from agent.call.messages import SideEffect, ToolCall, ToolResult, ToolSpec
from agent.call.sentence_chunker import SentenceChunker
from agent.call.speech_guard import GuardRules, SpeechGuard, Verdict, rules_for
from agent.call.spoken_values import known_numbers

LIMIT_US = 1_000.0
_SHORT = 3
LANGUAGE = "en-US"
MENU = " ".join(f"Dish number {n} costs ${n + 4}.50, in a large size ${n + 7}." for n in range(40))
ORDER = ToolSpec(
    "order", "Orders.", "{}", SideEffect.ONCE, needs_heard_confirmation=True,
    read_back=("dish", "total"),
)  # fmt: skip
CALL = ToolCall("tool00099", "order", json.dumps({"dish": "Harvest Salad", "total": 11.5}))
SENTENCES = (
    "The Harvest Salad comes with apples, walnuts and a light dressing. ",
    "It costs $11.50, and in a large size it is $14. ",
    "We can have it ready for pickup in about twenty minutes. ",
    "The tomato soup is made fresh each morning by our kitchen. ",
    "With the soup it would be eighteen dollars in all. ",
    "If you would like something warm, the garden pizza is a favorite. ",
    "We are open until nine in the evening, every day but Sunday. ",
    "Delivery takes longer on Fridays, as there are many orders then. ",
    "You can also add a drink to it, such as our lemonade. ",
    "So that is one Harvest Salad for $11.50, is that right? ",
)
REPLIES = {"1 sentence": SENTENCES[-1:], "3 sentences": SENTENCES[:2] + SENTENCES[-1:]}
REPLIES |= {"10 sentences": SENTENCES, "tool's price": ("Dish 3 with cheese costs $8.25 then. ",)}


def call_so_far(turns: int = 20) -> History:
    """An ordering call: what was asked, looked up and said, and a read-back with a yes to it."""
    facts = list[Fact]()
    for turn in range(turns):
        facts.append(CallerSaid(f"And what do you have with tomatoes, for {turn + 2} people?"))
        if turn % 5 == 1:
            found = [{"name": f"Dish {n}", "price": n + 5.25} for n in range(12)]
            result = ToolResult(f"tool{turn:05d}", json.dumps({"dishes": found}))
            facts.append(ToolUsed(turn, ToolCall(result.call_id, "look_up", "{}"), result))
        facts.append(
            AgentSaid(f"Dish number {turn} has tomatoes and basil. It costs ${turn + 4}.50.")
        )
    facts.append(CallerSaid("Then the Harvest Salad, please."))
    facts.append(AgentSaid("One Harvest Salad for $11.50, is that right?"))
    facts.append(CallerSaid("Yes, that is right."))
    return History(facts)


def pieces_of(reply: Sequence[str]) -> list[str]:
    """What the chunker gives out of a reply whose tokens are words."""
    chunker = SentenceChunker(LANGUAGE)
    words = "".join(reply).rstrip().split(" ")
    given = [chunker.feed(f" {word}" if at else word) for at, word in enumerate(words)]
    return [piece for piece in [*given, chunker.finish("", is_cut_short=False)] if piece]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if a reply costs more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=9, help="of which the median is taken")
    runs = parser.parse_args(arguments).runs
    limits = Limits(guards_commitments=True)
    config = CallConfig(tools={"order": ORDER}, limits=limits, known=known_numbers(MENU))
    history, slowest = call_so_far(), 0.0

    before = GuardRules(LANGUAGE)
    before = rules_for(config, history, (LANGUAGE, LANGUAGE), before, is_stopped=False)

    def rules() -> SpeechGuard:
        languages = LANGUAGE, LANGUAGE
        return SpeechGuard(rules_for(config, history, languages, before, is_stopped=False))

    def confirm() -> None:
        exchange = exchange_before(history, len(history), None, LANGUAGE, LANGUAGE)
        assert not fault_of(ORDER, CALL, exchange, [])  # noqa: S101 (else it measures a refusal)

    for name, reply in REPLIES.items():
        pieces = pieces_of(reply)

        def speak(pieces: Sequence[str] = pieces) -> None:
            guard = rules()
            for piece in pieces:
                guard.feed(piece)
            guard.finish("")
            assert guard.verdict in {None, Verdict.LENGTH}  # noqa: S101 (the same)

        parts: dict[str, Callable[[], object]]
        parts = {"rules": rules, "speech": speak, "confirmation": confirm}
        taken = {part: microseconds(work, runs) for part, work in parts.items()}
        shown = list[str]()
        for of in (median, min):
            rule, speech, confirmation = (of(each) for each in taken.values())
            piece = (speech - rule) / len(pieces)
            shown.append(
                f"{speech + confirmation:6.0f} us (rules {rule:.0f}, {len(pieces)} pieces"
                f" {piece:.0f} each, confirmation {confirmation:.0f})"
            )
        if len(reply) <= _SHORT:
            slowest = max(slowest, min(taken["speech"]) + min(taken["confirmation"]))
        print(f"{name:13} median {shown[0]}   lowest {shown[1]}")
    return int(slowest > LIMIT_US)


def microseconds(work: Callable[[], object], runs: int) -> list[float]:
    """So many runs, of fifty times each; processor time of one."""
    taken = list[float]()
    for _ in range(runs):
        began = time.thread_time()
        for _ in range(50):
            work()
        taken.append(1e6 * (time.thread_time() - began) / 50)
    return taken


if __name__ == "__main__":
    raise SystemExit(main())
