"""The simulated Twilio is strict: against a small server that does right or wrong on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from twilio.request_validator import (  # type: ignore[import-untyped]  # no stubs
    RequestValidator,
)
from twilio.twiml.voice_response import VoiceResponse  # type: ignore[import-untyped]

from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import Manner
from agent.simulator.speech_playback import HeardText
from agent.simulator.talk_cycles import Departure, TalkLedger
from benchmarks.replay import Options, replay
from tests.dialogues import Dialogue
from tests.listening import listening
from tests.twilio.schemas import check_inbound
from tests.waiting import no_longer

TOKEN = "12345678901234567890123456789012"
PUBLIC = "https://voice.example.com"
VOICE = f"{PUBLIC}/twiml"


class Cue(Enum):
    """What the server does between frames."""

    BROKEN = "wait until the caller breaks in"
    SLAM = "close the socket"


CLOSER: dict[str, object] = {"type": "text", "token": "", "last": True}
END: dict[str, object] = {"type": "end", "handoffData": '{"reason": "human"}'}
BAD: dict[str, object] = {"type": "text", "token": None, "last": True}

SCRIPTS: dict[str, tuple[str | dict[str, object] | Cue, ...]] = {
    "silence": (),
    "bare": ("Right.", CLOSER, CLOSER),
    "bad": (BAD, "Right.", CLOSER),
    "cut": ("One two ", "three four ", Cue.BROKEN, "five ", CLOSER),
    "bye": ("Goodbye.", CLOSER, END),
    "slam": (Cue.SLAM,),
}
"""The answer of the server by the caller's words; any other words are repeated."""


@dataclass(slots=True)
class StandIn:
    """A server whose behaviour the caller's words choose. Each frame it gets fits the schemas."""

    received: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, str]] = field(default_factory=list)
    close_codes: list[int | None] = field(default_factory=list)
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at a barge-in."""

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/twiml", self.webhook)
        app.router.add_post("/twiml/action", self.webhook)
        app.router.add_get("/conversation-relay", self.relay)
        return app

    async def webhook(self, request: web.Request) -> web.Response:
        fields = await request.post()
        if not self.is_signed(request, PUBLIC, fields):
            return web.Response(status=403)
        response = VoiceResponse()
        if request.path == "/twiml/action":
            self.actions.append({name: str(value) for name, value in fields.items()})
            response.hangup()
        else:
            response.connect(action="/twiml/action?again=no").conversation_relay(
                url=f"wss://voice.example.com/conversation-relay?t=a%2Fb&c={fields['CallSid']!s}",
                welcome_greeting="Hello, what can I do for you?",
                events="speaker-events tokens-played",
            )
        return web.Response(text=str(response), content_type="text/xml")

    async def relay(self, request: web.Request) -> web.StreamResponse:
        if not self.is_signed(request, "wss://voice.example.com", {}):
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with asyncio.TaskGroup() as replies:
            async for message in socket:
                check_inbound(message.data)
                frame = json.loads(message.data)
                self.received.append(frame)
                if frame["type"] == "interrupt":
                    self.broken.set()
                elif frame["type"] == "prompt" and frame["last"]:
                    replies.create_task(self.answer(socket, frame["voicePrompt"]))
            self.close_codes.append(socket.close_code)
            self.broken.set()
        return socket

    async def answer(self, socket: web.WebSocketResponse, words: str) -> None:
        for step in SCRIPTS.get(words, ("You said ", f"{words}.", CLOSER)):
            if step is Cue.BROKEN:
                await self.broken.wait()
            elif step is Cue.SLAM:
                await socket.close()
            elif not socket.closed:
                frame = {"type": "text", "token": step} if isinstance(step, str) else step
                await socket.send_json(frame)

    @staticmethod
    def is_signed(request: web.Request, origin: str, fields: object) -> bool:
        signature = request.headers.get("X-Twilio-Signature", "")
        return bool(
            RequestValidator(TOKEN).validate(f"{origin}{request.raw_path}", fields, signature)
        )


@pytest.fixture
async def service() -> StandIn:
    return StandIn()


@pytest.fixture
async def twilio(service: StandIn) -> AsyncIterator[Twilio]:
    async with listening(service.application()) as base, aiohttp.ClientSession() as http:
        yield Twilio(http, base, TOKEN, PUBLIC, Manner())


async def test_wrong_signatures_are_sent_as_asked(twilio: Twilio) -> None:
    """A missing signature, one over the wrong scheme, and a correct one."""
    relay = await twilio.webhook(call_fields())
    wrong_scheme = twilio.sign(relay.url.replace("wss://", "https://"))

    statuses = [
        await twilio.handshake(relay.url, signature=None),
        await twilio.handshake(relay.url, signature=wrong_scheme),
        await twilio.handshake(relay.url, signature=twilio.sign(relay.url)),
        (await twilio.post(VOICE, call_fields(), signature="x")).status,
    ]

    assert statuses == [403, 403, 101, 403]


async def test_playback_is_reported_when_subscribed(twilio: Twilio, service: StandIn) -> None:
    """Speaker events and played tokens follow the script: greeting, words, reply."""
    async with twilio.call() as call:
        await call.say("hi")
        await call.play_out()

    greeting = ["setup", "on", "Hello, what can I do for you?", "off"]
    reply = ["prompt", "on", "You said ", "hi.", "off"]
    assert [each.get("value", each["type"]) for each in service.received] == greeting + reply


@pytest.mark.parametrize(
    ("reading", "utterance"), [(HeardText.REPLY, "One two three"), (HeardText.MESSAGE, "three")]
)
async def test_interrupt_reports_what_was_heard(
    twilio: Twilio, service: StandIn, reading: HeardText, utterance: str
) -> None:
    """In both readings; a token that was under way is counted as late, without a violation."""
    manner = Manner(heard=reading)

    async with twilio.call(manner=manner) as call:
        await call.prompt("cut")
        await call.hear(14)
        reported = await call.interrupt(words=3)
        await call.settle()
        reply = await call.say("go on")

    interrupts = [frame for frame in service.received if frame["type"] == "interrupt"]
    reports = [each["utteranceUntilInterrupt"] for each in interrupts]
    assert (reports, reported) == ([utterance], utterance)
    assert [each["durationUntilInterruptMs"] for each in interrupts] == [13 * 1000 // 15]
    assert reply.text == "You said go on."
    assert call.ledger.late_tokens == 1
    assert len(call.ledger.cut_seconds) == 1
    assert call.ledger.departures == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [("bare", Departure.NO_WORDS), ("bad", Departure.BAD_FRAME), ("slam", Departure.HUNG_UP_ON)],
)
async def test_faults_of_the_service_are_seen(twilio: Twilio, words: str, fault: Departure) -> None:
    """A second closer, a frame Twilio rejects, a socket closed by the service."""
    async with twilio.call() as call:
        await call.prompt(words)
        async with no_longer():
            while not call.ledger.departures:
                await call.settle()

    assert [each.kind for each in call.ledger.departures] == [fault]


TEXT, LAST = '{"type":"text","token":"One two "}', '{"type":"text","token":"","last":true}'
Steps = list[tuple[float, str]]


@pytest.mark.parametrize(
    ("steps", "faults", "late"),
    [
        ([(2.6, TEXT), (2.7, TEXT)], [Departure.TALKED_ON], (2, 0)),
        ([(2.1, LAST), (2.6, TEXT), (2.7, LAST)], [Departure.TALKED_ON], (0, 1)),
        ([(23.0, LAST)], [Departure.NOT_CLOSED], (0, 0)),
        (
            [(2.1, '{"type":"end"}'), (2.2, TEXT)],
            [Departure.NOT_CLOSED, Departure.AFTER_END],
            (0, 0),
        ),
        ([(2.1, "not json"), (2.1, "[]"), (2.2, LAST)], [Departure.BAD_FRAME] * 2, (0, 0)),
        ([(2.1, '{"type":"end","handoffData":{}}')], [Departure.BAD_FRAME], (0, 0)),
    ],
)
def test_what_follows_an_interrupt_is_judged_by_the_time(
    steps: Steps, faults: list[Departure], late: tuple[int, int]
) -> None:
    """A cycle was opened at 1 s and cut at 2 s; half a second may be under way."""
    ledger = TalkLedger(in_flight_seconds=0.5)
    ledger.received(TEXT, 1.0)
    ledger.interrupted(2.0)

    for at, frame in steps:
        ledger.received(frame, at)

    assert [each.kind for each in ledger.departures] == faults
    assert (ledger.late_tokens, ledger.late_cycles) == late


async def test_end_closes_like_twilio_and_asks_the_action_url(
    twilio: Twilio, service: StandIn
) -> None:
    """Code 1000, then the signed callback with the hand-off data, and its TwiML."""
    async with twilio.call(CallSid="CA1") as call:
        await call.say("bye")

        assert call.ending is not None
        assert call.ending.answer is not None
        assert call.ending.answer.verbs == ("Hangup",)

    assert service.close_codes == [1000]
    ended = {"SessionId": call.session_id, "SessionStatus": "ended", "SessionDuration": "0"}
    fields = {**call_fields(CallSid="CA1"), "CallStatus": "in-progress", **ended}
    assert service.actions == [{**fields, "HandoffData": '{"reason": "human"}'}]


async def test_hang_up_and_failure_are_told_apart(twilio: Twilio, service: StandIn) -> None:
    """By close code, `SessionStatus` and `ErrorCode`."""
    async with twilio.call() as left:
        await left.hang_up()
    async with twilio.call() as broken:
        await broken.fail()

    assert service.close_codes == [1000, 1006]
    assert [fields["SessionStatus"] for fields in service.actions] == ["completed", "failed"]
    assert service.actions[1]["ErrorCode"] == "39001"


@pytest.mark.needs("time")
async def test_replay_reports_what_is_wrong(twilio: Twilio) -> None:
    """An unanswered turn, a second `last` and a closed socket."""
    said = (Dialogue("a", "sgd_homes", ("silence", "bare", "slam", "hello")),)
    hasty = replace(twilio, manner=Manner(answer_seconds=3.0))

    report = await replay(hasty, said, Options())

    assert (report.caller_turns, report.answered) == (4, 2)
    faults = {(each.dialogue, each.fault) for each in report.violations}
    assert faults == {("a", "unanswered"), ("a", "no_words"), ("a", "hung_up_on")}
