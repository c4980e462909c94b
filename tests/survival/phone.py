"""Callers who go on whatever happens to their sockets, and report what they heard.

Twilio's part follows docs/reference/relay.md. When the socket dies, or the service ends the
session, the phone asks the action URL and does what it answers: a new relay, a redirect after a
pause, a last sentence. With `applicationReconnect` it first opens the same URL again; whether
Twilio then sends `setup` again is not documented, so half of the phones do. On the new socket the
caller lets the agent speak first, and repeats a sentence that was not answered.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import aiohttp

from agent.call.config import Phrases
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import Manner, NoReplyError, TwilioCall
from agent.simulator.talk_cycles import ProtocolFault
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer
from agent.tools import SPECS
from tests.survival.model import Sentence
from tests.waiting import HANG_SECONDS

MANNER = Manner(
    grace_seconds=0.25,
    answer_seconds=15.0,
    fillers=frozenset({*Phrases().fillers, *(spec.filler for spec in SPECS.values())}),
)
"""The caller waits a moment before speaking, and takes no filler for an answer."""
PATIENCE_SECONDS = 1.5
"""Of quiet, after which a caller says again what was not answered, or speaks after all."""
_MOST_TIMES = 25
"""Times a sentence is said without an answer before the caller gives up."""
_MOST_REDIRECTS = 20
_REOPEN_SECONDS = 0.3
_LONGEST_SECONDS = 600.0
_POLL_SECONDS = 0.01
_APART_SECONDS = 0.1
_REOPENING_SECONDS = HANG_SECONDS
"""For which a socket is opened again before the action URL is asked."""


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


class Way(StrEnum):
    """How a socket came to be."""

    RANG = "rang"
    ASKED = "asked"
    """The action URL for it."""
    REOPENED = "reopened"
    """At the same URL."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a socket is opened with. Times are of the loop's clock, everywhere."""

    relay: RelayInvitation
    way: Way
    asked_at: float
    """When the webhook was asked, or when the socket before it died."""
    manner: Manner = MANNER


@dataclass(slots=True)
class Leg:
    """One socket of the call."""

    ticket: Ticket
    answered_at: float
    """When the webhook had answered."""
    opened_at: float = 0.0
    first_words_at: float = 0.0
    """0 = nothing was heard."""
    ended_at: float = 0.0
    status: str = ""
    """`SessionStatus` of the action URL."""
    reason: str = ""
    """Error code, or what the service said when it gave the call back."""
    phase: Phase = Phase.RINGING
    """When it ended."""
    heard: list[str] = field(default_factory=list)
    """Cycle by cycle."""
    violations: list[ProtocolFault] = field(default_factory=list)

    @property
    def wait(self) -> float:
        """Seconds from the webhook to the first words."""
        return self.first_words_at - self.ticket.asked_at


class Guest:
    """One caller and one call; the caller's number and the random choices follow from `number`.

    After `patience_seconds` of quiet a sentence is said again.
    """

    def __init__(self, twilio: Twilio, number: int, patience_seconds: float) -> None:
        self.caller = f"+1555{number:07d}"
        self.fields = call_fields(From=self.caller)
        self.phase = Phase.RINGING
        self.said: list[Said] = []
        self.legs: list[Leg] = []
        self.turns: list[Sentence] = []
        """What was answered to its end."""
        self.ending = ""
        """How the call ended; `hung up` is how it should."""
        self._twilio = twilio
        self._patience_seconds = patience_seconds
        self._chance = random.Random(f"0:{number}")  # noqa: S311 - reproducible choices
        self._order_turn = self._chance.randint(2, 4)
        self._times_unanswered = 0
        self._says_setup_again = number % 2 == 0

    @property
    def call_sid(self) -> str:
        return self.fields["CallSid"]

    async def live(self, delay: float, enough: asyncio.Event) -> None:
        """Ring after a delay and talk until it is enough, at least until an order is placed."""
        await asyncio.sleep(delay)  # callers do not ring all at once
        at = self._now()
        ticket = await self._ask(f"{self._twilio.public_url}/twiml", self.fields, Way.RANG, at)
        while ticket is not None:
            self.legs.append(leg := Leg(ticket, self._now()))
            ticket = await self._leg(leg, enough)
        self.phase = Phase.OVER

    async def _leg(self, leg: Leg, enough: asyncio.Event) -> Ticket | None:
        """Talk on one socket; what the next one is opened with, none when the call is over."""
        try:
            async with self._opened(leg.ticket) as call:
                leg.opened_at = self._now()
                await self._talk(call, leg.ticket.way, enough)
        except (aiohttp.ClientError, OSError) as error:
            return await self._unconnected(leg, error)
        finally:
            leg.phase = self.phase
        ending, cycles = call.ending, call.ledger.cycles
        assert ending is not None
        leg.heard = [cycle.text for cycle in cycles]
        leg.first_words_at = cycles[0].opened_at if cycles else 0.0
        leg.violations = call.ledger.departures
        leg.ended_at, leg.status = ending.at, ending.status
        leg.reason = ending.fields.get("ErrorCode", ending.fields.get("HandoffData", ""))
        if ending.status == "completed":
            self._end("hung up")
            return None
        attributes = leg.ticket.relay.attributes
        if ending.status == "failed" and attributes.get("applicationReconnect") == "true":
            manner = replace(MANNER, setup={"sessionId": call.session_id})
            return Ticket(leg.ticket.relay, Way.REOPENED, ending.at, manner)
        return await self._ask(leg.ticket.relay.action, ending.fields, Way.ASKED, ending.at)

    @asynccontextmanager
    async def _opened(self, ticket: Ticket) -> AsyncIterator[TwilioCall]:
        """The socket. Which URL is asked after it is over is decided here and not by the call."""
        relay = replace(ticket.relay, action="", fields=self.fields)
        says_setup = ticket.way is not Way.REOPENED or self._says_setup_again
        open_socket = self._twilio.connect if says_setup else self._twilio.dial
        async with open_socket(relay, manner=ticket.manner) as call:
            yield call

    async def _unconnected(self, leg: Leg, error: Exception) -> Ticket | None:
        """The socket could not be opened: Twilio tries again, or says so to the action URL."""
        status = getattr(error, "status", type(error).__name__)
        leg.ended_at, leg.status, leg.reason = self._now(), "failed", f"64102 {status}"
        has_time = self._now() - leg.ticket.asked_at < _REOPENING_SECONDS
        if leg.ticket.way is Way.REOPENED and has_time:
            await asyncio.sleep(_REOPEN_SECONDS)  # Twilio's own schedule is not documented
            return leg.ticket
        session = {"SessionId": "VX" + "0" * 32, "SessionStatus": "failed", "SessionDuration": "0"}
        fault = {"ErrorCode": "64102", "ErrorMessage": "Unable to connect to WebSocket URL."}
        fields = {**self.fields, "CallStatus": "in-progress", **session, **fault}
        return await self._ask(leg.ticket.relay.action, fields, Way.ASKED, leg.ended_at)

    async def _ask(self, url: str, fields: Mapping[str, str], way: Way, at: float) -> Ticket | None:
        """Ask a webhook and do as it says; none when the call is over."""
        for _ in range(_MOST_REDIRECTS):
            try:
                answer = await self._twilio.post(url, fields)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._end(f"webhook: {type(error).__name__}")
                return None
            if answer.relay is not None:
                return Ticket(answer.relay, way, at)
            document = _document(answer)
            redirect = document.find("Redirect")
            if answer.status != 200 or redirect is None:
                self._end(_ended_by(answer, self.legs))
                return None
            for pause in document.iter("Pause"):
                await asyncio.sleep(float(pause.get("length", "1")))  # Twilio does, too
            url = urljoin(url, (redirect.text or "").strip())
            fields = {**self.fields, "CallStatus": "in-progress"}
        self._end("redirected for ever")
        return None

    async def _talk(self, call: TwilioCall, way: Way, enough: asyncio.Event) -> None:
        if way is not Way.RANG:
            self.phase = Phase.REJOINING
            await self._hear_first_words(call, way)
        while call.ending is None:
            number = len(self.turns) + 1
            if enough.is_set() and number > self._order_turn:
                await call.hang_up()
            elif self._times_unanswered > _MOST_TIMES:
                self._end("gave up")
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
        if not self._has_heard(call, sentence.end):
            self._times_unanswered += 1
            self.phase = Phase.ORDERING if sentence.is_order else Phase.LISTENING
            await call.play_out()
            if call.ending is not None:
                return
            self.said.append(Said(sentence.text, self._now(), len(self.legs) - 1))
            await call.prompt(sentence.text)
            await self._listen(call, sentence, self._patience_seconds)
        if self._has_heard(call, sentence.end):
            self._times_unanswered = 0
            self.turns.append(sentence)
        await call.play_out()

    async def _listen(self, call: TwilioCall, sentence: Sentence, patience_seconds: float) -> None:
        """Listen to the end of this answer, or until nothing more comes for a while."""
        quiet_at = self._now()
        while call.ending is None and not self._has_heard(call, sentence.end):
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

    def _has_heard(self, call: TwilioCall, sentence: str) -> bool:
        before = (text for leg in self.legs for text in leg.heard)
        now = (cycle.text for cycle in call.ledger.cycles)
        return any(sentence in text for text in (*before, *now))

    def _end(self, how: str) -> None:
        self.ending = self.ending or how

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _ended_by(answer: TwimlAnswer, legs: Sequence[Leg]) -> str:
    """How a call ended by what a webhook answered: that, and the last words heard."""
    spoken = [say.text or "" for say in _document(answer).iter("Say")]
    last = spoken or [text for leg in legs for text in leg.heard][-1:]
    return f"{answer.status} {'+'.join(answer.verbs)}: {' '.join(last)}"


def _document(answer: TwimlAnswer) -> ET.Element:
    try:
        return ET.fromstring(answer.xml)  # noqa: S314 - the service under test wrote it
    except ET.ParseError:
        return ET.Element("Response")


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
