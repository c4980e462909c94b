"""One call of the browser phone: the acts of a person in a browser, on a simulated line.

A voice in the browser says how far it is, and the playback goes no further; without one the
playback takes the time of a voice. Either way the simulator decides what Twilio reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing

import msgspec

from agent.call.events import EndReason
from agent.http.phone.agent_parts import AgentParts
from agent.observability import Prices
from agent.observability.call_notes import CallNotes
from agent.ports import ObservedStep
from agent.session.live_config import LiveConfiguration
from agent.simulator.carrier import Twilio
from agent.simulator.phone_call import PhoneCall
from agent.simulator.simulated_call import TwilioCall

Show = Callable[[object], None]
"""Sends a message to the page: a mapping, or a structure with a tag; never waits."""
_LOOK_SECONDS = 0.08
"""Between two looks at what was heard; a page shows it word by word."""


class CallerLine(msgspec.Struct, frozen=True, tag="caller"):
    """The caller's words; `fate` says what became of them."""

    text: str
    fate: str
    """`partial`: goes on speaking; `delivered`; `lost`: Twilio does not report them."""


class PressedKey(msgspec.Struct, frozen=True, tag="key"):
    """A key, and whether Twilio reports it."""

    key: str
    is_delivered: bool


class BrowserCall:
    """One call from the ring to its end; `show` gets what happens, in order."""

    def __init__(
        self, twilio: Twilio, fields: Mapping[str, str], show: Show, *, is_voiced: bool
    ) -> None:
        self._call = PhoneCall(twilio, fields)
        self._show = show
        self._is_voiced = is_voiced
        self._session: TwilioCall | None = None
        self._parts: AgentParts | None = None
        self._utterance = ""
        """What became of the words that the caller is saying; empty = silent."""

    @property
    def is_connected(self) -> bool:
        """Whether a session is open: it has rung, and is not between two sessions."""
        return self._session is not None

    async def run(self) -> dict[str, object]:
        """Ring, and follow the call until it is over; returns what is told of its end."""
        call, parts = self._call, 1
        async with aclosing(call.sessions()) as sessions:
            async for session in sessions:
                self._tell_verbs()
                session.playback.is_voiced = self._is_voiced
                self._session, self._utterance = session, ""
                self._parts = AgentParts(session.session, parts)
                attributes = session.relay.attributes
                language = attributes.get("transcriptionLanguage") or attributes.get("language", "")
                self._show({"type": "session", "way": call.legs[-1].way, "language": language})
                while session.session.ending is None:
                    await session.wait_until(lambda: False, _LOOK_SECONDS)
                    self._look()
                for part in self._parts.finish():
                    self._show(part)
                parts, self._session = self._parts.number, None
        self._tell_verbs()
        sockets = [leg.call.ledger.departures for leg in call.legs if leg.call]
        faults = [str(each) for found in (call.departures, *sockets) for each in found]
        over = {"type": "over", "outcome": call.outcome, "detail": call.detail}
        return {**over, "faults": faults}

    async def say(self, words: str, language: str, *, is_final: bool) -> None:
        """The caller says words, all of them since the utterance began, or the last of them."""
        if (session := self._session) is None:
            return
        self._look()
        if not self._utterance:
            is_heard = await session.begin_to_speak(words)
            self._utterance = "partial" if is_heard else "lost"
            self._look()
        fate = self._utterance
        if is_final:
            fate = "delivered" if fate == "partial" else fate
            self._utterance = ""
            await session.stop_speaking()
        self._show(CallerLine(words, fate))
        wants_partials = session.relay.attributes.get("partialPrompts") == "true"
        if fate == "delivered" or (fate == "partial" and wants_partials):
            await session.prompt(words, is_final=is_final, language=language)
            self._look()

    async def press(self, key: str) -> None:
        """The caller presses one key."""
        if (session := self._session) is not None:
            self._look()
            is_delivered = await session.press(key)
            self._look()
            self._show(PressedKey(key, is_delivered))

    async def voice_at(self, part: int, characters: int) -> None:
        """The voice in the browser has come so far in this part; another part is over for us."""
        session, parts = self._session, self._parts
        if not self._is_voiced or session is None or parts is None:
            return
        if part == parts.number:
            await session.voice_at(parts.begin + characters)
            self._look()

    async def hang_up(self) -> None:
        if (session := self._session) is not None:
            await session.hang_up()

    def _look(self) -> None:
        for part in self._parts.look() if self._parts else ():
            self._show(part)

    def _tell_verbs(self) -> None:
        for verb in self._call.verbs:
            self._show({"type": "verb", "verb": verb.kind, "text": verb.text})
        self._call.verbs.clear()


class PageView:
    """`SessionObserver` of one connection of the call: what the service does, for the page."""

    def __init__(self, configuration: LiveConfiguration, prices: Prices, show: Show) -> None:
        self._configuration = configuration
        self._notes = CallNotes(lambda: configuration.model.name, prices)
        self._show = show
        show({"type": "configuration", "useCase": configuration.use_case.name, **self._present()})

    @property
    def request(self) -> bytes:
        """The latest request to the model, as JSON; `null` before the first."""
        latest = self._notes.latest_request
        return msgspec.json.encode(self._configuration.request(latest) if latest else None)

    @property
    def context(self) -> str:
        """The part of the prompt that is of this call."""
        return self._configuration.use_case.context

    def observe(self, moment: ObservedStep) -> None:
        for note in self._notes.observe(moment):
            self._show(note)

    def ended(self, reason: EndReason) -> None:
        """Show the last turn."""
        for note in self._notes.ended(asyncio.get_running_loop().time()):
            self._show(note)
        self._show({"type": "ended", "reason": reason.value})

    def _present(self) -> dict[str, str]:
        prompt, model = self._configuration.use_case.prompt, self._configuration.model.name
        return {"prompt": prompt, "model": model}
