"""Three small servers of ConversationRelay for the scripted day: perfect, hasty and silent.

They share no code with the service. The perfect one is told the script of each call, which no real
agent could know.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from agent.scenarios.day.call_grammar import language_of, scripted_call
from agent.scenarios.day.day_caller import play_call
from agent.scenarios.day.observed_call import ObservedCall
from agent.scenarios.day.scripted_call import Reaction, ScriptedCall
from agent.simulator.carrier import Twilio
from agent.simulator.virtual_time import run_virtually
from tests.listening import listening

_FIRST_TOKEN_SECONDS = 0.6


class DayService:
    """A server that is silent; others answer."""

    def __init__(self, **attributes: str) -> None:
        """`attributes` are added to those of `<ConversationRelay>`."""
        self.attributes = {
            "welcomeGreeting": "Hello.",
            "reportInputDuringAgentSpeech": "any",
            "ignoreBackchannel": "true",
            "events": "speaker-events",
            **attributes,
        }
        self.received: list[dict[str, object]] = []
        self._socket = web.WebSocketResponse()
        self._url = ""

    def begin(self, script: ScriptedCall) -> None:
        """The next call will be this one."""

    def expect(self, reply: str) -> None:
        """What the model would say now."""

    async def prompted(self, words: str) -> None:
        """A final prompt."""

    async def interrupted(self, heard: str) -> None:
        """A barge-in."""

    async def say(self, text: str) -> None:
        """One talk cycle."""
        await self._socket.send_json({"type": "text", "token": text, "last": True})

    async def end(self) -> None:
        await self._socket.send_json({"type": "end"})

    async def play(self, scripts: Iterable[ScriptedCall]) -> list[ObservedCall]:
        """The calls, one after the other."""
        async with self._serving() as twilio:
            calls = []
            for script in scripts:
                self.begin(script)
                calls.append(await play_call(script, twilio, self.expect))
            return calls

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Twilio]:
        application = web.Application()
        application.router.add_post("/twiml", self._twiml)
        application.router.add_get("/relay", self._talk)
        async with listening(application) as origin, Twilio.open(origin, token="") as twilio:
            self._url = f"{origin.replace('http', 'ws')}/relay"
            yield twilio

    async def _twiml(self, _: web.Request) -> web.Response:
        given = {"url": self._url, **self.attributes}
        written = " ".join(f'{name}="{text}"' for name, text in given.items())
        xml = f"<Response><Connect><ConversationRelay {written}/></Connect></Response>"
        return web.Response(text=xml, content_type="text/xml")

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = web.WebSocketResponse()
        await self._socket.prepare(request)
        async with asyncio.TaskGroup() as work:
            async for message in self._socket:
                frame = json.loads(message.data)
                self.received.append(frame)
                if frame["type"] == "prompt" and frame["last"]:
                    work.create_task(self.prompted(frame["voicePrompt"]))
                elif frame["type"] == "interrupt":
                    work.create_task(self.interrupted(frame["utteranceUntilInterrupt"]))
        return self._socket


@dataclass(frozen=True, slots=True)
class _Utterance:
    words: str
    reply: str
    reaction: Reaction | None
    """None = the words of a turn."""


class PerfectService(DayService):
    """Answers each turn once, when all its words are there; goes on after nods and noise."""

    def begin(self, script: ScriptedCall) -> None:
        self._awaited = deque[_Utterance]()
        self._heard_words, self._reply, self._is_noise = "", "", False
        for turn in script.turns:
            words = " ".join(piece.words for piece in turn.pieces)
            self._awaited.append(_Utterance(words, turn.reply, None))
            if (act := turn.reaction) is not None:
                self._awaited.append(_Utterance(act.words, act.reply, act.kind))

    async def prompted(self, words: str) -> None:
        heard = _plain(f"{self._heard_words} {words}")
        while self._awaited and not _plain(self._awaited[0].words).startswith(heard):
            if self._awaited[0].reaction is None:
                return  # the words of the last turn again
            self._awaited.popleft()  # a nod that the relay has filtered out
        self._heard_words = heard
        if self._awaited and _plain(self._awaited[0].words) == heard:
            utterance, self._heard_words = self._awaited.popleft(), ""
            if utterance.reaction in {None, Reaction.INTERRUPTION}:
                self._reply = utterance.reply
                await asyncio.sleep(_FIRST_TOKEN_SECONDS)  # virtual time
                await self.say(self._reply)
            elif utterance.reaction is Reaction.CUTTING_NOD:
                await self.say(self._rest)

    async def interrupted(self, heard: str) -> None:
        self._rest = self._reply.removeprefix(heard).strip()
        if self._awaited and self._awaited[0].reaction is Reaction.NOISE:
            self._awaited.popleft()
            await asyncio.sleep(1.0)  # virtual time
            await self.say(self._rest)


class HastyService(DayService):
    """Answers each prompt after 0.3 s, twice, never lets go of a reply, and leaves a silence."""

    def begin(self, script: ScriptedCall) -> None:
        self._turns = {turn.reply: turn.away > 0 for turn in script.turns}
        self._reply = ""

    def expect(self, reply: str) -> None:
        self._reply = reply if reply in self._turns else self._reply

    async def prompted(self, words: str) -> None:
        await asyncio.sleep(0.3)  # virtual time
        await self.say("Yes.")
        await self.say(self._reply)
        if self._turns[self._reply]:
            await self.end()


class LeavingService(DayService):
    """Answers, and hangs up."""

    async def prompted(self, words: str) -> None:
        await self.say("Goodbye.")
        await self.end()


def day_of(service: DayService, numbers: Iterable[int], seed: int = 0) -> list[ObservedCall]:
    """These calls of a day, on virtual time."""
    scripts = [scripted_call(seed, number, language_of(number)) for number in numbers]
    return run_virtually(service.play(scripts))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
