"""What became of calls: what the callers heard, and what the table holds of it.

The table is asked when the servers have ended and written all they know. A sentence of a caller is
owed by the service if the socket it was said on lived on for a moment: then it was received. It
must be there, in its place, once; a sentence said into a dying socket may be. A sentence of the
agent is lost if its answer was heard to the end without it, and repeated if it was heard twice in
full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from agent.call.history import AgentSaid, CallerSaid, ToolUsed
from agent.ports import Store
from agent.scenarios.figures import percentile
from agent.simulator.phone_call import Way
from agent.simulator.talk_cycles import Departure
from agent.store.call_state.history_loader import LoadedHistory, read_items
from agent.store.call_state.journal import CHAT
from tests.survival.phone import Guest, Said

OWED_SECONDS = 0.5
"""A sentence said so long before its socket died has been received and written down.

Most of it is the machine of the tests: the service writes a sentence within a tenth of a second.
"""


@dataclass(slots=True)
class Report:
    """What became of all calls."""

    calls: int
    endings: Counter[str]
    """By the caller, when all was said, is how it should be."""
    rejoins: Counter[str]
    """New sockets, by why and in which phase the last one ended."""
    waits: list[float]
    """Sorted; seconds from the request of the action URL to the first words on the new socket."""
    answers: list[float]
    """Sorted; the part of it until the URL had answered."""
    openings: list[float]
    """Sorted; and until the socket was open."""
    silent: int
    """New sockets on which nothing was heard."""
    violations: Counter[str]
    """Of the relay protocol, but for sockets that died."""
    answered: int = 0
    """Sentences of callers that were answered to the end."""
    said_again: int = 0
    """Sentences that callers had to say once more."""
    lost: int = 0
    """Sentences of the agent that were not heard in full, of answers heard to their end."""
    repeated: int = 0
    """Times that such a sentence was heard in full once more."""
    unwritten: list[float] = field(default_factory=list)
    """For each sentence of a caller that is not there: how long its socket lived afterwards."""
    strange: int = 0
    """Sentences of callers that are there and were not said, or in another order."""
    forgotten: int = 0
    """Sentences of the agent that were heard in full and are not there."""
    open_tools: int = 0
    """Tools without a recorded outcome."""
    repairs: int = 0
    orders: Counter[int] = field(default_factory=Counter)
    """How many calls have so many orders."""

    def add(self, guest: Guest, found: LoadedHistory, orders: int) -> None:
        """Compare what one caller said and heard with the table."""
        recorded = " ".join(fact.text for fact in found.facts if isinstance(fact, AgentSaid))
        heard = " ".join(text for leg in guest.legs for text in leg.heard)
        for sentence in (sentence for asked in guest.turns for sentence in asked.answer):
            times = heard.count(sentence)
            self.lost += times == 0
            self.repeated += max(0, times - 1)
            self.forgotten += times > 0 and sentence not in recorded
        words = [fact.text for fact in found.facts if isinstance(fact, CallerSaid)]
        unwritten, strange = _compared(guest.said, words, [leg.ended_at for leg in guest.legs])
        self.unwritten += unwritten
        self.strange += strange
        self.answered += len(guest.turns)
        self.said_again += len(guest.said) - len({said.text for said in guest.said})
        self.open_tools += sum(isinstance(it, ToolUsed) and not it.result for it in found.facts)
        self.repairs += len(found.repairs)
        self.orders[orders] += 1

    @property
    def missing(self) -> int:
        """Sentences of callers that are owed and not there."""
        return sum(seconds > OWED_SECONDS for seconds in self.unwritten)

    def rows(self) -> list[str]:
        """Lines of text for a report."""
        spans = (
            f"seconds from the end of a socket to the answer of the action URL:"
            f" {_shares(self.answers)}; to the new socket: {_shares(self.openings)};"
            f" to the first words: {_shares(self.waits)}; silent {self.silent}"
        )
        return [
            f"calls {self.calls}: {listed(self.endings)}",
            f"rejoined {sum(self.rejoins.values())}: {listed(self.rejoins)}",
            *([spans] if self.answers else []),
            f"answers {self.answered}, said again by callers {self.said_again}, sentences lost"
            f" {self.lost}, repeated in full {self.repeated}",
            f"in the table: missing {self.missing}, not owed {len(self.unwritten) - self.missing}"
            f" (the latest lived on for {max(self.unwritten, default=0.0):.2f} s), strange"
            f" {self.strange}, forgotten {self.forgotten}, open tools {self.open_tools},"
            f" repairs {self.repairs}; orders of a call: {listed(self.orders)}",
            f"violations: {listed(self.violations)}",
        ]


def _shares(seconds: Sequence[float]) -> str:
    shares = {"P50": 0.5, "P99": 0.99, "max": 1.0}
    return ", ".join(f"{name} {percentile(seconds, at):.2f}" for name, at in shares.items())


def listed(counts: Mapping[str, int] | Mapping[int, int]) -> str:
    """The counts in one line."""
    return ", ".join(f"{name} x {count}" for name, count in sorted(counts.items())) or "none"


async def judge(store: Store, guests: Sequence[Guest]) -> Report:
    """Compare what was said with the table, once the servers have ended."""
    rejoined = [
        (phase, before, leg)
        for guest in guests
        for phase, (before, leg) in zip(guest.phases, pairwise(guest.legs), strict=False)
    ]
    asked = [leg for *_, leg in rejoined if leg.way is Way.ASKED and leg.opened_at]
    violations = (
        each.kind
        for guest in guests
        for leg in guest.legs
        if leg.call is not None
        for each in leg.call.ledger.departures
    )
    report = Report(
        calls=len(guests),
        endings=Counter(guest.ending for guest in guests),
        rejoins=Counter(
            f"{leg.status} {leg.reason} {phase}, {after.way}" for phase, leg, after in rejoined
        ),
        waits=sorted(leg.first_words_at - leg.asked_at for leg in asked if leg.first_words_at),
        answers=sorted(leg.answered_at - leg.asked_at for leg in asked),
        openings=sorted(leg.opened_at - leg.asked_at for leg in asked),
        silent=sum(1 for leg in asked if not leg.first_words_at),
        violations=Counter(
            fault.value for fault in violations if fault is not Departure.HUNG_UP_ON
        ),
    )
    for guest in guests:
        orders = await store.query(guest.caller, "restaurantOrder::")
        report.add(guest, read_items(await store.query(guest.call_sid, CHAT)), len(orders))
    return report


def _compared(
    said: Sequence[Said], words: Sequence[str], ends: Sequence[float]
) -> tuple[list[float], int]:
    """Of each sentence that is not there how long its socket lived on; how many are too many.

    From the end: of a sentence that was said again, the first time is the one that was lost.
    """
    unwritten, left = [], list(words)
    for each in reversed(said):
        if left and left[-1] == each.text:
            left.pop()
        else:
            unwritten.append(ends[each.leg] - each.at)
    return unwritten, len(left)
