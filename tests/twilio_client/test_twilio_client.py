"""The client that plays Twilio, against a small server that does right or wrong on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from twilio.request_validator import (  # type: ignore[import-untyped]  # no stubs
    RequestValidator,
)
from twilio.twiml.voice_response import Connect, VoiceResponse  # type: ignore[import-untyped]

from benchmarks.replay import Options, replay
from tests import dialogues
from tests.dialogues import Dialogue
from tests.twilio_client.call import Manner, UnansweredError
from tests.twilio_client.client import CallRefusedError, Twilio, call_fields
from tests.twilio_client.ledger import Fault, Ledger
from tests.twilio_client.playback import Playback, Reading
from tests.waiting import no_longer

TOKEN = "12345678901234567890123456789012"
PUBLIC = "https://voice.example.com"
VOICE = f"{PUBLIC}/twiml"


class Cue(Enum):
    """What the stand-in does between frames."""

    BROKEN = "wait until the caller breaks in"
    SLAM = "close the socket"


CLOSER: dict[str, object] = {"type": "text", "token": "", "last": True}
END: dict[str, object] = {"type": "end", "handoffData": '{"reason": "human"}'}
BAD: dict[str, object] = {"type": "text", "token": None, "last": True}

SCRIPTS: dict[str, tuple[str | dict[str, object] | Cue, ...]] = {
    "": (),
    "silence": (),
    "bare": ("Right.", CLOSER, CLOSER),
    "bad": (BAD, "Right.", CLOSER),
    "cut": ("One two ", "three four ", Cue.BROKEN, "five ", CLOSER),
    "leave open": ("One two ", "three four ", Cue.BROKEN),
    "tool": ("One moment.", CLOSER, "The ", "answer.", CLOSER),
    "bye": ("Goodbye.", CLOSER, END),
    "slam": (Cue.SLAM,),
}
"""What the stand-in says to which words; to all others it repeats them.

After "farewell" it ends the call once the answer was heard, and listens no more.
"""


@dataclass(slots=True)
class StandIn:
    """A service small enough to be seen through; the caller's words choose what it does."""

    received: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, str]] = field(default_factory=list)
    close_codes: list[int | None] = field(default_factory=list)
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    """The caller has broken in."""

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
        if fields["From"] == "+15550100099":
            response.say("Nobody is in.")
            response.hangup()
            return web.Response(text=str(response), content_type="text/xml")
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
        words = ""
        async with asyncio.TaskGroup() as replies:
            async for message in socket:
                frame = json.loads(message.data)
                self.received.append(frame)
                if frame["type"] == "interrupt":
                    self.broken.set()
                elif frame["type"] == "prompt" and frame["last"] and words != "farewell":
                    words = frame["voicePrompt"]
                    replies.create_task(self.answer(socket, words))
                elif frame.get("value") == "off" and words == "farewell":
                    await socket.send_json(END)
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


async def test_call_is_set_up_from_the_twiml(twilio: Twilio, service: StandIn) -> None:
    """`setup` repeats the webhook's ids and the parameters of the TwiML."""
    async with twilio.call(CallSid="CA1", From="+15550100007") as call:
        await call.say("hi")

    setup = service.received[0]
    assert setup == {
        "type": "setup",
        "sessionId": call.session_id,
        "accountSid": "AC" + "0" * 32,
        "callSid": "CA1",
        "parentCallSid": "",
        "from": "+15550100007",
        "to": "+15550100000",
        "forwardedFrom": "",
        "callerName": "",
        "callType": "PSTN",
        "direction": "inbound",
        "callStatus": "RINGING",
        "customParameters": {"ticket": "a&b"},
    }
    assert call.relay.url == "wss://voice.example.com/conversation-relay?callSid=CA1&t=a%2Fb"
    assert call.relay.action == f"{PUBLIC}/twiml/action?again=no"


async def test_setup_may_vary(twilio: Twilio, service: StandIn) -> None:
    """Fields of `setup` can be replaced, added and left out."""
    manner = Manner(setup={"callStatus": "IN-PROGRESS", "customParameters": None, "extra": 1})

    async with twilio.call(manner=manner) as call:
        await call.say("hi")

    assert service.received[0]["callStatus"] == "IN-PROGRESS"
    assert service.received[0]["extra"] == 1
    assert "customParameters" not in service.received[0]


async def test_refused_call_tells_what_was_answered(twilio: Twilio) -> None:
    """TwiML without a relay is an answer, not a crash."""
    with pytest.raises(CallRefusedError) as refusal:
        await twilio.webhook(call_fields(From="+15550100099"))

    assert refusal.value.answer.verbs == ("Say", "Hangup")


async def test_wrong_signatures_are_sent_as_asked(twilio: Twilio) -> None:
    """The client can be a forger: another signature, one over the wrong scheme, or none."""
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


async def test_reply_is_whole_and_timed(twilio: Twilio) -> None:
    """`say` waits for the closer and reports how soon the first text came."""
    async with twilio.call() as call:
        reply = await call.say("hello there")

    assert reply.text == "You said hello there."
    assert reply.first_text_seconds > 0
    assert call.ledger.violations == []


async def test_tool_turn_is_one_reply_of_two_cycles(twilio: Twilio) -> None:
    """A preamble in its own cycle belongs to the reply and is no answer if it is a filler."""
    manner = Manner(fillers=frozenset({"One moment."}))

    async with twilio.call(manner=manner) as call:
        reply = await call.say("tool")

    assert reply.cycles == ("One moment.", "The answer.")


async def test_missing_answer_is_reported_in_time(twilio: Twilio) -> None:
    """The wait is bounded, also when only fillers come."""
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
    """Both readings of the utterance; the token under way is late, the closer ends the cycle."""
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


async def test_words_right_after_the_interrupt_get_their_own_reply(twilio: Twilio) -> None:
    """Late tokens of the cut cycle are not taken for the answer to the new words."""
    async with twilio.call() as call:
        await call.prompt("cut")
        await call.hear(14)
        await call.interrupt(characters=5)
        await call.prompt("go on")
        reply = await call.reply()

    assert reply.cycles == ("You said go on.",)
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
    """The closer must come without further words of the caller."""
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
    """A token of the cut cycle, or a new cycle, that comes too late to have been under way."""
    ledger = Ledger(in_flight_seconds=0.5)
    ledger.received('{"type":"text","token":"One two "}', 1.0)
    ledger.interrupted(2.0)

    for frame in frames:
        ledger.received(frame, 2.6)

    assert [violation.fault for violation in ledger.violations] == [Fault.TALKED_ON]
    assert (ledger.late_tokens, ledger.late_cycles) == late


def test_frames_after_the_end_and_an_open_cycle_at_the_end_are_seen() -> None:
    """`end` closes the accounts."""
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
    """A caller who leaves closes cleanly; a broken connection does not, and has an error code."""
    async with twilio.call() as left:
        await left.hang_up()
    async with twilio.call() as broken:
        await broken.fail()

    assert service.close_codes == [1000, 1006]
    assert [fields["SessionStatus"] for fields in service.actions] == ["completed", "failed"]
    assert service.actions[1]["ErrorCode"] == "39001"


def test_silence_between_messages_is_no_word() -> None:
    """Cycles are set apart in what was heard; tokens within a cycle are joined as they are."""
    playback = Playback()
    playback.queue("One moment.", opens_cycle=True)
    playback.queue("The ans", opens_cycle=True)
    playback.queue("wer.", opens_cycle=False)

    playback.play(100)

    assert playback.text == "One moment. The answer."
    assert playback.finished_messages() == ["One moment.", "The ans", "wer."]
    assert playback.finished_messages() == []


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        "[]",
        '{"type":"interrupt"}',
        '{"type":"text"}',
        '{"type":"text","token":"a","interruptible":"any"}',
        '{"type":"sendDigits","digits":"1A"}',
        '{"type":"language"}',
        '{"type":"end","handoffData":{"v":1}}',
        '{"type":"play","source":"typing.mp3"}',
    ],
)
def test_frames_that_twilio_rejects(frame: str) -> None:
    """Reference section 2: each of these costs an error 64107."""
    ledger = Ledger()

    ledger.received(frame, 0.0)

    assert [violation.fault for violation in ledger.violations] == [Fault.BAD_FRAME]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with invented records: one conversation a file, or a few utterances."""
    for source in ("tm4_coffee_orders", "multidogo_pizza_orders", "tm1_dialogs", "sgd_homes"):
        turns = [
            {"speaker": "user", "text": f"caller of {source}"},
            {"speaker": "assistant", "text": "yes?"},
        ]
        write(tmp_path, source, {"id": source, "turns": turns})
    for source in ("star_apartments", "sgd_restaurants", "star_restaurants", "spc_persona_chat"):
        write(tmp_path, source, {"id": source, "turns": []})
    guesses = [{"text": "best", "score": -1}, {"text": "second", "score": -2}]
    spoken = {"speaker": "user", "text": "best", "asr_nbest": guesses}
    write(tmp_path, "dstc10_spoken", {"id": "d", "turns": [spoken]})
    segments = [
        {"speaker": "user", "text": "later", "start_ms": 900},
        {"speaker": "user", "text": "[noise]", "start_ms": 10},
    ]
    write(tmp_path, "harpervalley_calls", {"id": "h", "turns": segments})
    write(tmp_path, "disflqa_pairs", {"id": "q", "fluent": "B?", "disfluent": "A no wait B?"})
    utterances = [{"id": f"u{number}", "text": f"item {number}"} for number in range(12)]
    write(tmp_path, "multidogo_order_utterances", *utterances)
    write(tmp_path, "slurp_takeaway", utterances[0])
    return tmp_path


def write(folder: Path, source: str, *records: dict[str, Any]) -> None:
    lines = "".join(f"{json.dumps(record)}\n" for record in records)
    (folder / f"{source}.jsonl").write_text(lines, encoding="utf-8")


def test_dialogues_keep_what_the_caller_says(data: Path) -> None:
    """Segments follow the clock, single utterances are grouped, empty records are left out."""
    found = {(each.source, each.id): each.turns for each in dialogues.dialogues(data)}

    assert found[("sgd_homes", "sgd_homes")] == ("caller of sgd_homes",)
    assert found[("harpervalley_calls", "h")] == ("[noise]", "later")
    assert found[("disflqa_pairs", "q")] == ("A no wait B?", "B?")
    assert found[("multidogo_order_utterances", "u10")] == ("item 10", "item 11")
    assert ("star_apartments", "star_apartments") not in found


def test_second_hypothesis_is_what_speech_recognition_heard_next(data: Path) -> None:
    """Other hypotheses are available where the source has them."""
    found = {each.id: each.turns for each in dialogues.dialogues(data, hypothesis=7)}

    assert found["d"] == ("second",)


def test_each_file_has_the_use_case_of_its_subject(data: Path) -> None:
    """Orders, apartments, small talk, and everything else."""
    cases = {each.source: each.use_case for each in dialogues.dialogues(data)}

    assert cases["tm4_coffee_orders"] == "restaurantOrderingUseCase"
    assert cases["sgd_homes"] == "apartmentSearchUseCase"
    assert cases["disflqa_pairs"] == "albertEinsteinUseCase"
    assert cases["dstc10_spoken"] == "defaultUseCase"


def test_sample_takes_from_every_file_and_is_reproducible(data: Path) -> None:
    """A sample as large as the number of files has one dialogue of each."""
    everything = list(dialogues.dialogues(data))

    first = dialogues.sample(everything, 9, seed=1)

    assert first == dialogues.sample(everything, 9, seed=1)
    assert len({each.source for each in first}) == 9
    assert len(dialogues.sample(everything, 1000, seed=1)) == len(everything)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [("hello", True), ("2", True), ("[noise]", False), ("<unk> ...", False), ("", False)],
)
def test_noise_is_no_turn(turn: str, expected: bool) -> None:
    """Marks and punctuation are not words."""
    assert dialogues.has_words(turn) is expected


def test_missing_data_is_named(tmp_path: Path) -> None:
    """One sentence that says where they were looked for."""
    with pytest.raises(FileNotFoundError, match=f"no dialogues at {tmp_path}"):
        list(dialogues.dialogues(tmp_path))


async def test_replay_counts_and_finds_nothing_wrong(twilio: Twilio) -> None:
    """Turns, noise, a call ended by the agent and continued, interrupts: all add up."""
    said = (
        Dialogue("a", "sgd_homes", ("hello", "[noise]", "", "bye", "again", "tool")),
        Dialogue("b", "dstc10_spoken", ("first", "and more", "last words")),
    )

    report = await replay(twilio, said, Options(interrupt_probability=1.0, seed=3))

    assert report.dialogues == 2
    assert report.calls == 3
    assert report.caller_turns == 7
    assert report.answered == 7
    assert report.noise_turns == 2
    assert report.interrupts > 0
    assert report.violations == ()


async def test_words_that_cross_the_end_are_said_in_the_next_call(twilio: Twilio) -> None:
    """An agent that ends the call once its goodbye was heard does not lose a turn."""
    said = (Dialogue("a", "sgd_homes", ("farewell", "one more thing", "farewell")),)

    report = await replay(twilio, said, Options(interrupt_probability=0.0))

    assert (report.calls, report.caller_turns, report.answered) == (2, 3, 3)
    assert report.said_again == 1
    assert report.violations == ()


async def test_replay_reports_what_is_wrong(twilio: Twilio) -> None:
    """An unanswered turn, a second closer and a slammed line are violations of their dialogue."""
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
