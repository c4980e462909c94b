"""Callers who go on whatever happens to their sockets, and report what they heard.

What Twilio does between two sockets is `agent.simulator.phone_call`. Whether `setup` is sent again
on a socket that is opened again is not documented, so half of the phones do it. On the new socket
the caller lets the agent speak first, and repeats a sentence that was not answered.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.phone_call import Leg, Outcome, PhoneCall, Way
from agent.simulator.simulated_call import NoReplyError, TwilioCall
from tests.servers import PATIENT
from tests.survival.model import Sentence

MANNER = replace(PATIENT, grace_seconds=0.25, answer_seconds=15.0)
"""The caller waits a moment before speaking, and takes no filler for an answer."""
PATIENCE_SECONDS = 1.5
"""Of quiet, after which a caller says again what was not answered, or speaks after all."""
_MOST_TIMES = 25
"""Times a sentence is said without an answer before the caller gives up."""
_LONGEST_SECONDS = 600.0
_POLL_SECONDS = 0.01
_APART_SECONDS = 0.1


class Phase(StrEnum):
    """What the call is doing."""

    RINGING = "ringing"
    THINKING = "thinking"
    """The line is quiet."""
    LISTENING = "listening"
    """The agent speaks."""
    ORDERING = "ordering"
    """The tool runs, or the turn that calls it."""
    REJOINING = "rejoining"
    """The first words on a new socket are awaited."""
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of the caller."""

    text: str
    at: float
    leg: int


class Guest:
    """One caller and one call; the caller's number and the random choices follow from `number`.

    After `patience_seconds` of quiet a sentence is said again.
    """

    def __init__(self, twilio: Twilio, number: int, patience_seconds: float) -> None:
        self.caller = f"+1555{number:07d}"
        fields = call_fields(From=self.caller)
        self.call_sid = fields["CallSid"]
        self.phase = Phase.RINGING
        self.phases: list[Phase] = []
        """In which each leg ended."""
        self.said: list[Said] = []
        self.turns: list[Sentence] = []
        """What was answered to its end."""
        self._phone = PhoneCall(twilio, fields, says_setup_again=number % 2 == 0)
        self._patience_seconds = patience_seconds
        self._chance = random.Random(f"0:{number}")  # noqa: S311 - reproducible choices
        self._order_turn = self._chance.randint(2, 4)
        self._times_unanswered = 0

    @property
    def legs(self) -> list[Leg]:
        return self._phone.legs

    @property
    def ending(self) -> str:
        """How the call ended; that the caller hung up is how it should."""
        if self._phone.outcome is Outcome.HUNG_UP:
            return "gave up" if self._has_given_up else Outcome.HUNG_UP
        last = [verb.text for verb in self._phone.verbs[-1:]]
        return " ".join([str(self._phone.outcome), self._phone.detail, *last])

    @property
    def _has_given_up(self) -> bool:
        return self._times_unanswered > _MOST_TIMES

    async def live(self, delay: float, enough: asyncio.Event) -> None:
        """Ring after a delay and talk until it is enough, at least until an order is placed."""
        await asyncio.sleep(delay)  # callers do not ring all at once
        async with aclosing(self._phone.sessions()) as sessions:
            async for call in sessions:
                self.phases += [self.phase] * (len(self.legs) - 1 - len(self.phases))
                await self._talk(call, self.legs[-1].way, enough)
        self.phases += [self.phase] * (len(self.legs) - len(self.phases))
        self.phase = Phase.OVER

    async def _talk(self, call: TwilioCall, way: Way, enough: asyncio.Event) -> None:
        if way is not Way.RANG:
            self.phase = Phase.REJOINING
            await self._hear_first_words(call, way)
        while call.ending is None:
            number = len(self.turns) + 1
            if self._has_given_up or (enough.is_set() and number > self._order_turn):
                await call.hang_up()
            else:
                await self._turn(call, Sentence(number, number == self._order_turn))
                if call.ending is None:
                    self.phase = Phase.THINKING
                    await call.settle(self._chance.uniform(0.2, 1.0))

    async def _hear_first_words(self, call: TwilioCall, way: Way) -> None:
        """The agent speaks first, and perhaps goes on with what it was saying.

        Not on a socket that was opened again: there the caller has noticed nothing.
        """
        patience = 2 * PATIENCE_SECONDS if way is Way.REOPENED else None
        with suppress(NoReplyError, TimeoutError):
            async with asyncio.timeout(patience):
                await call.hear(1)
        if call.ledger.cycles:
            await self._listen(call, Sentence(len(self.turns) + 1), PATIENCE_SECONDS)
        await call.play_out()

    async def _turn(self, call: TwilioCall, sentence: Sentence) -> None:
        """Say a sentence unless it was answered meanwhile, and hear the answer."""
        if not self._has_heard(sentence.end):
            self._times_unanswered += 1
            self.phase = Phase.ORDERING if sentence.is_order else Phase.LISTENING
            await call.play_out()
            if call.ending is not None:
                return
            self.said.append(Said(sentence.text, self._now(), len(self.legs) - 1))
            await call.prompt(sentence.text)
            await self._listen(call, sentence, self._patience_seconds)
        if self._has_heard(sentence.end):
            self._times_unanswered = 0
            self.turns.append(sentence)
        await call.play_out()

    async def _listen(self, call: TwilioCall, sentence: Sentence, patience_seconds: float) -> None:
        """Listen to the end of this answer, or until nothing more comes for a while."""
        quiet_at = self._now()
        while call.ending is None and not self._has_heard(sentence.end):
            frames = call.ledger.frames
            try:
                await call.reply()
            except NoReplyError:
                return
            await call.play_out()
            if call.ledger.frames > frames:
                quiet_at = self._now()
            elif self._now() - quiet_at > patience_seconds:
                return

    def _has_heard(self, sentence: str) -> bool:
        return any(sentence in text for leg in self.legs for text in leg.heard)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class Crowd:
    """Guests who talk at the same time."""

    def __init__(self, twilio: Twilio, count: int, patience_seconds: float) -> None:
        self.guests = [Guest(twilio, number, patience_seconds) for number in range(count)]
        self.enough = asyncio.Event()
        """Set: a guest that has placed an order may hang up."""

    def phases(self, calls: set[str]) -> Counter[str]:
        """How many of these calls are in which `Phase`."""
        return Counter(guest.phase.value for guest in self.guests if guest.call_sid in calls)

    async def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 (phases of many calls have no one event)
                await asyncio.sleep(_POLL_SECONDS)  # the same reason

    async def until_turns(self, more: int) -> None:
        """Wait until every call that is not over has had so many more sentences answered."""
        goals = {guest.call_sid: len(guest.turns) + more for guest in self.guests}

        def is_reached(guest: Guest) -> bool:
            return guest.phase is Phase.OVER or len(guest.turns) >= goals[guest.call_sid]

        await self.until(lambda: all(map(is_reached, self.guests)), 240.0)


@asynccontextmanager
async def talking(
    twilio: Twilio, count: int, patience_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Crowd]:
    """Calls that have each had an answer; on leaving, they come to their end."""
    crowd = Crowd(twilio, count, patience_seconds)
    async with asyncio.timeout(_LONGEST_SECONDS), asyncio.TaskGroup() as calls:
        for number, guest in enumerate(crowd.guests):
            calls.create_task(
                guest.live(number * _APART_SECONDS, crowd.enough), name=f"guest {number}"
            )
        try:
            await crowd.until_turns(1)
            yield crowd
        finally:
            crowd.enough.set()
