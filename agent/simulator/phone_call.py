"""A whole call: the webhook, one session after the other, and what the action URLs answer.

When a session is over, Twilio asks the action URL and does what the answer says: a new session, a
redirect after a pause, a sentence, a person's telephone, the end. With `applicationReconnect` it
first opens the same URL again when the connection was lost; whether `setup` is then sent again is
not documented (`docs/reference/relay.md`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import aiohttp

from agent.simulator.carrier import Twilio
from agent.simulator.simulated_call import TwilioCall
from agent.simulator.talk_cycles import Departure, ProtocolFault
from agent.simulator.twiml_reader import RelayInvitation, TwimlAnswer

_MOST_REDIRECTS = 20
_REOPEN_SECONDS = 0.3
"""Between two attempts to open a socket again; Twilio's own schedule is not documented."""
_REOPENING_SECONDS = 20.0
"""For which a socket is opened again before the action URL is asked."""


class Way(StrEnum):
    """How a session came to be."""

    RANG = "rang"
    ASKED = "asked"
    """The action URL for it."""
    REOPENED = "reopened"
    """At the same URL."""


class Outcome(StrEnum):
    """How a call ended."""

    HUNG_UP = "the caller hung up"
    ENDED = "the server hung up"
    TRANSFERRED = "transferred"
    REFUSED = "refused"
    FAILED = "failed"
    """A webhook gave no answer, an error, or redirects without an end."""


@dataclass(slots=True)
class Leg:
    """One session of a call. Times are those of the event loop; 0 = not yet, or never."""

    way: Way
    relay: RelayInvitation
    asked_at: float
    """When the webhook was asked, or when the session before it was lost."""
    answered_at: float
    """When the webhook had answered."""
    opened_at: float = 0.0
    ended_at: float = 0.0
    call: TwilioCall | None = None
    status: str = ""
    """`SessionStatus` of the action URL."""
    reason: str = ""
    """Error code, or what the server said when it gave the call back."""

    @property
    def heard(self) -> list[str]:
        """What the server said, cycle by cycle."""
        return [cycle.text for cycle in self.call.ledger.cycles] if self.call else []

    @property
    def first_words_at(self) -> float:
        cycles = self.call.ledger.cycles if self.call else []
        return cycles[0].opened_at if cycles else 0.0


@dataclass(frozen=True, slots=True)
class SpokenVerb:
    """A `<Say>`, or a person who was called, of an answer to a webhook."""

    at: float
    kind: str
    text: str


class PhoneCall:
    """One call from the ring to its end; use `sessions` once."""

    def __init__(
        self,
        twilio: Twilio,
        fields: Mapping[str, str],
        *,
        says_setup_again: bool = True,
        dial_status: str = "completed",
    ) -> None:
        self.fields = dict(fields)
        self.legs: list[Leg] = []
        self.verbs: list[SpokenVerb] = []
        self.outcome: Outcome | None = None
        self.detail = ""
        """Of the outcome: a number, a status, an error."""
        self.departures: list[ProtocolFault] = []
        """Of the webhooks; those of the sockets are with the legs."""
        self._twilio = twilio
        self._says_setup_again = says_setup_again
        self._dial_status = dial_status
        self._loop = asyncio.get_running_loop()

    async def sessions(self) -> AsyncGenerator[TwilioCall, None]:
        """Each session in turn, open; who goes on to the next without an end has hung up."""
        at = self._loop.time()
        leg = await self._follow(self._twilio.voice_url, self.fields, Way.RANG, at)
        while leg is not None:
            self.legs.append(leg)
            try:
                async with self._opened(leg) as call:
                    leg.opened_at, leg.call = self._loop.time(), call
                    yield call
            except (aiohttp.ClientError, OSError) as error:
                leg = await self._unconnected(leg, error)
            else:
                leg = await self._after(leg, call)

    @asynccontextmanager
    async def _opened(self, leg: Leg) -> AsyncIterator[TwilioCall]:
        """The socket; the action URL is asked by `_after`, which knows of a reconnect."""
        relay = replace(leg.relay, action="", fields=self.fields)
        says_setup = leg.way is not Way.REOPENED or self._says_setup_again
        open_socket = self._twilio.connect if says_setup else self._twilio.dial
        manner = self._twilio.manner
        if leg.way is Way.REOPENED:
            before = next(each.call for each in reversed(self.legs) if each.call is not None)
            manner = replace(manner, setup={**manner.setup, "sessionId": before.session_id})
        async with open_socket(relay, manner=manner) as call:
            yield call

    async def _after(self, leg: Leg, call: TwilioCall) -> Leg | None:
        report = await call.hang_up()
        leg.ended_at, leg.status = report.at, report.status
        leg.reason = report.fields.get("ErrorCode", report.fields.get("HandoffData", ""))
        if report.status == "completed":
            self._end(Outcome.HUNG_UP)
            await self._ask(leg.relay.action, report.fields)
            return None
        if report.status == "failed" and leg.relay.attributes.get("applicationReconnect") == "true":
            return Leg(Way.REOPENED, leg.relay, report.at, report.at)
        return await self._follow(leg.relay.action, report.fields, Way.ASKED, report.at)

    async def _unconnected(self, leg: Leg, error: Exception) -> Leg | None:
        """The socket could not be opened: Twilio tries again, or says so to the action URL."""
        status = getattr(error, "status", type(error).__name__)
        leg.ended_at, leg.status, leg.reason = self._loop.time(), "failed", f"64102 {status}"
        has_time = self._loop.time() - leg.asked_at < _REOPENING_SECONDS
        if leg.way is Way.REOPENED and has_time:
            await asyncio.sleep(_REOPEN_SECONDS)
            return Leg(Way.REOPENED, leg.relay, leg.asked_at, leg.answered_at)
        self.departures.append(ProtocolFault(Departure.UNREACHABLE, str(status)))
        session = {"SessionId": "VX" + "0" * 32, "SessionStatus": "failed", "SessionDuration": "0"}
        fault = {"ErrorCode": "64102", "ErrorMessage": "Unable to connect to WebSocket URL."}
        fields = {**self.fields, "CallStatus": "in-progress", **session, **fault}
        return await self._follow(leg.relay.action, fields, Way.ASKED, leg.ended_at)

    async def _follow(
        self, url: str, fields: Mapping[str, str], way: Way, asked_at: float
    ) -> Leg | None:
        """Ask a webhook and do as it says; None when the call is over."""
        for _ in range(_MOST_REDIRECTS):
            answer = await self._ask(url, fields)
            if answer is None:
                return None
            answered_at = self._loop.time()
            following = await self._perform(answer, url)
            if self.outcome is not None:
                return None
            if following is None and answer.relay is not None:
                return Leg(way, answer.relay, asked_at, answered_at)
            if following is None:
                has_rung = bool(self.legs)
                self._end(Outcome.ENDED if has_rung else Outcome.REFUSED, "+".join(answer.verbs))
                return None
            url, more = following
            fields = {**self.fields, "CallStatus": "in-progress", **more}
        self._end(Outcome.FAILED, "redirected without an end")
        return None

    async def _ask(self, url: str, fields: Mapping[str, str]) -> TwimlAnswer | None:
        if not url:
            self._end(Outcome.ENDED, "no action URL")
            return None
        try:
            answer = await self._twilio.post(url, fields)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._end(Outcome.FAILED, f"webhook: {type(error).__name__}")
            return None
        if answer.status != 200:
            self._end(Outcome.FAILED, f"webhook: status {answer.status}")
            return None
        self.departures += [ProtocolFault(Departure.BAD_TWIML, fault) for fault in answer.faults]
        return answer

    async def _perform(self, answer: TwimlAnswer, url: str) -> tuple[str, Mapping[str, str]] | None:
        """Do one verb after the other; where to go on, None at a relay or at the end."""
        for verb in answer.document:
            match verb.tag:
                case "Say":
                    self._note("say", verb.text or "")
                    pace = self._twilio.manner.pace
                    await asyncio.sleep(len(verb.text or "") / pace if pace else 0)
                case "Pause":
                    await asyncio.sleep(float(verb.get("length", "1")))  # as Twilio does
                case "Redirect":
                    return urljoin(url, (verb.text or "").strip()), {}
                case "Dial" | "Enqueue" | "Refer":
                    if (afterwards := self._transfer(verb)) is None:
                        return None
                    return urljoin(url, afterwards), {"DialCallStatus": self._dial_status}
                case "Hangup" | "Reject" | "Connect":
                    break
                case _:
                    self._note(verb.tag.lower(), "")
        return None

    def _transfer(self, verb: ET.Element) -> str | None:
        """Call a person; returns the URL to ask if the call is not taken, None if it is."""
        target = " ".join("".join(verb.itertext()).split())
        self._note(verb.tag.lower(), target)
        action = verb.get("action", "")
        if self._dial_status == "completed" or not action:
            self._end(Outcome.TRANSFERRED, target)
            return None
        return action

    def _note(self, kind: str, text: str) -> None:
        self.verbs.append(SpokenVerb(self._loop.time(), kind, text))

    def _end(self, outcome: Outcome, detail: str = "") -> None:
        if self.outcome is None:
            self.outcome, self.detail = outcome, detail
