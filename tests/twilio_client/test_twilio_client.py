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
from twilio.twiml.voice_response import Connect, VoiceResponse  # type: ignore[import-untyped]

from benchmarks.replay import Options, replay
from tests.dialogues import Dialogue
from tests.twilio.schemas import check_inbound
from tests.twilio_client.call import Manner, UnansweredError
from tests.twilio_client.client import Twilio, call_fields
from tests.twilio_client.ledger import Fault, Ledger
from tests.twilio_client.playback import Reading
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
    "leave open": ("One two ", "three four ", Cue.BROKEN),
    "tool": ("One moment.", CLOSER, "The ", "answer.", CLOSER),
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
        app.router.add_post("/twiml", self.twiml)
        app.router.add_post("/twiml/action", self.action)
        app.router.add_get("/conversation-relay", self.relay)
        return app

    async def twiml(self, request: web.Request) -> web.Response:
        fields = await request.post()
        if not self.is_signed(request, PUBLIC, fields):
            return web.Response(status=403)
        response = VoiceResponse()
        call_sid = str(fields["CallSid"])
        connect = Connect(action="/twiml/action?again=no")
        relay = connect.conversation_relay(
            url=f"wss://voice.example.com/conversation-relay?callSid={call_sid}&t=a%2Fb",
            welcome_greeting="Hello, what can I do for you?",
            events="speaker-events tokens-played",
        )
        relay.parameter(name="ticket", value="a&b")
        response.append(connect)
        return web.Response(text=str(response), content_type="text/xml")

    async def action(self, request: web.Request) -> web.Response:
        fields = await request.post()
        if not self.is_signed(request, PUBLIC, fields):
            return web.Response(status=403)
        self.actions.append({name: str(value) for name, value in fields.items()})
        response = VoiceResponse()
        response.hangup()
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
    runner = web.AppRunner(service.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as http:
        yield Twilio(http, f"http://127.0.0.1:{port}", TOKEN, PUBLIC, Manner())
    await runner.cleanup()


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


async def test_plain_socket_to_a_public_host_is_not_dialled(twilio: Twilio) -> None:
    """Twilio reports 64102 for `ws://`."""
    with pytest.raises(ValueError, match="64102"):
        await twilio.handshake("ws://voice.example.com/", signature=None)


async def test_missing_answer_is_reported_in_time(twilio: Twilio) -> None:
    """Also when only fillers come."""
    manner = Manner(answer_seconds=0.2, fillers=frozenset({"You said filler."}))

    async with twilio.call(manner=manner) as call:
        with pytest.raises(UnansweredError):
            await call.say("silence")
        with pytest.raises(UnansweredError):
            await call.say("filler")


async def test_playback_is_reported_when_subscribed(twilio: Twilio, service: StandIn) -> None:
    """Speaker events and played tokens follow the script: greeting, words, reply."""
    async with twilio.call() as call:
        await call.say("hi")
        await call.play_out()

    assert [frame.get("value", frame["type"]) for frame in service.received] == [
        "setup",
        "on",
        "Hello, what can I do for you?",
        "off",
        "prompt",
        "on",
        "You said ",
        "hi.",
        "off",
    ]


@pytest.mark.parametrize(
    ("reading", "utterance"), [(Reading.REPLY, "One two three"), (Reading.MESSAGE, "three")]
)
async def test_interrupt_reports_what_was_heard(
    twilio: Twilio, service: StandIn, reading: Reading, utterance: str
) -> None:
    """In both readings; a token that was under way is counted as late, without a violation."""
    manner = Manner(reading=reading)

    async with twilio.call(manner=manner) as call:
        await call.prompt("cut")
        await call.hear(14)
        reported = await call.interrupt(words=3)
        await call.settle()
        reply = await call.say("go on")

    interrupts = [frame for frame in service.received if frame["type"] == "interrupt"]
    assert interrupts == [
        {
            "type": "interrupt",
            "utteranceUntilInterrupt": utterance,
            "durationUntilInterruptMs": 13 * 1000 // 15,
        }
    ]
    assert reported == utterance
    assert reply.text == "You said go on."
    assert call.ledger.late_tokens == 1
    assert len(call.ledger.cut_seconds) == 1
    assert call.ledger.violations == []


async def test_greeting_can_be_interrupted_and_silence_cannot(twilio: Twilio) -> None:
    """Twilio sends no interrupt while nothing plays."""
    async with twilio.call() as call:
        heard = await call.interrupt(words=1)
        with pytest.raises(RuntimeError, match="nothing is playing"):
            await call.interrupt()

    assert heard == "Hello,"


@pytest.mark.parametrize(
    ("words", "fault"),
    [("bare", Fault.NO_WORDS), ("bad", Fault.BAD_FRAME), ("slam", Fault.HUNG_UP_ON)],
)
async def test_faults_of_the_service_are_seen(twilio: Twilio, words: str, fault: Fault) -> None:
    """A second closer, a frame Twilio rejects, a socket closed by the service."""
    async with twilio.call() as call:
        await call.prompt(words)
        async with no_longer():
            while not call.ledger.violations:
                await call.settle()

    assert [violation.fault for violation in call.ledger.violations] == [fault]


async def test_cycle_left_open_after_an_interrupt_is_seen(twilio: Twilio) -> None:
    async with twilio.call(manner=Manner(closing_seconds=0.2)) as call:
        await call.prompt("leave open")
        await call.hear(14)
        await call.interrupt(words=1)
        await call.settle()

    assert [violation.fault for violation in call.ledger.violations] == [Fault.NOT_CLOSED]


@pytest.mark.parametrize(
    ("frames", "late"),
    [
        (['{"type":"text","token":"five"}'], (1, 0)),
        (['{"type":"text","token":"","last":true}', '{"type":"text","token":"Six."}'], (0, 1)),
    ],
)
def test_talking_on_after_an_interrupt_is_seen(frames: list[str], late: tuple[int, int]) -> None:
    """A token of the cut cycle or a new cycle, later than `in_flight_seconds`."""
    ledger = Ledger(in_flight_seconds=0.5)
    ledger.received('{"type":"text","token":"One two "}', 1.0)
    ledger.interrupted(2.0)

    for frame in frames:
        ledger.received(frame, 2.6)

    assert [violation.fault for violation in ledger.violations] == [Fault.TALKED_ON]
    assert (ledger.late_tokens, ledger.late_cycles) == late


def test_frames_after_the_end_and_an_open_cycle_at_the_end_are_seen() -> None:
    ledger = Ledger()

    ledger.received('{"type":"text","token":"Good"}', 0.0)
    ledger.received('{"type":"end"}', 0.0)
    ledger.received('{"type":"text","token":"bye","last":true}', 0.0)

    assert [violation.fault for violation in ledger.violations] == [
        Fault.NOT_CLOSED,
        Fault.AFTER_END,
    ]


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
    assert service.actions == [
        {
            **call_fields(CallSid="CA1"),
            "CallStatus": "in-progress",
            "SessionId": call.session_id,
            "SessionStatus": "ended",
            "SessionDuration": "0",
            "HandoffData": '{"reason": "human"}',
        }
    ]


async def test_hang_up_and_failure_are_told_apart(twilio: Twilio, service: StandIn) -> None:
    """By close code, `SessionStatus` and `ErrorCode`."""
    async with twilio.call() as left:
        await left.hang_up()
    async with twilio.call() as broken:
        await broken.fail()

    assert service.close_codes == [1000, 1006]
    assert [fields["SessionStatus"] for fields in service.actions] == ["completed", "failed"]
    assert service.actions[1]["ErrorCode"] == "39001"


@pytest.mark.parametrize("frame", ["not json", "[]", '{"type":"end","handoffData":{"v":1}}'])
def test_frame_that_twilio_refuses_is_a_violation(frame: str) -> None:
    """The schemas of `tests.twilio.schemas` decide; their own test has the full list."""
    ledger = Ledger()

    ledger.received(frame, 0.0)

    assert [violation.fault for violation in ledger.violations] == [Fault.BAD_FRAME]


async def test_replay_reports_what_is_wrong(twilio: Twilio) -> None:
    """An unanswered turn, a second `last` and a closed socket."""
    said = (Dialogue("a", "sgd_homes", ("silence", "bare", "slam", "hello")),)

    hasty = replace(twilio, manner=Manner(answer_seconds=3.0))

    report = await replay(hasty, said, Options())

    assert report.caller_turns == 4
    assert report.answered == 2
    assert {(each.dialogue, each.fault) for each in report.violations} == {
        ("a", "unanswered"),
        ("a", "no_words"),
        ("a", "hung_up_on"),
    }
