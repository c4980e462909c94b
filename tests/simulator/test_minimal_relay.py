"""The simulator calls a server that is not ours, and names what is wrong with it.

All of it runs on virtual time, the sockets of both sides included.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest
import uvloop

from agent.simulator.carrier import CallRefusedError, Twilio, call_fields
from agent.simulator.phone_call import PhoneCall
from agent.simulator.simulated_call import Manner, NoReplyError
from agent.simulator.speech_playback import HeardText
from agent.simulator.talk_cycles import Departure
from agent.simulator.virtual_time import run_virtually
from benchmarks.replay import replay
from tests.dialogues import Dialogue
from tests.simulator.minimal_relay import SCRIPTS, TOKEN, Cue, MinimalRelay, calling
from tests.virtual import virtually

GREETING = "Hello, what can I do for you?"


@pytest.mark.parametrize(
    ("words", "attributes", "refusals", "faults"),
    [
        ("hello", {}, 0, []),
        ("be interrupted", {}, 0, []),
        ("say goodbye", {}, 0, []),
        ("leave it open", {}, 0, [Departure.NOT_CLOSED]),
        ("talk on", {}, 0, [Departure.TALKED_ON]),
        ("send a bad frame", {}, 0, [Departure.BAD_FRAME]),
        ("send ten bad frames", {}, 0, [Departure.BAD_FRAME] * 10),
        ("close twice", {}, 0, [Departure.NO_WORDS]),
        ("talk after the end", {}, 0, [Departure.AFTER_END] * 2),
        ("hang up", {}, 0, [Departure.HUNG_UP_ON]),
        ("hello", {"langauge": "en-US"}, 0, [Departure.BAD_TWIML]),
        ("send bytes", {}, 0, [Departure.BAD_FRAME]),
        ("hello", {}, 1, [Departure.UNREACHABLE]),
    ],
)
@virtually
async def test_each_departure_is_named(
    words: str, attributes: dict[str, str], refusals: int, faults: list[Departure]
) -> None:
    """A server that keeps to the protocol has none."""
    async with calling(MinimalRelay(attributes, refusals=refusals)) as twilio:
        phone = PhoneCall(twilio, call_fields())

        async with aclosing(phone.sessions()) as sessions:
            async for call in sessions:
                await call.prompt(words)
                await call.hear(7)
                if Cue.BROKEN in SCRIPTS.get(words, ()):
                    await call.interrupt(words=1)
                await call.settle(6.0)

    sockets = [leg.call.ledger.departures for leg in phone.legs if leg.call is not None]
    found = [fault for each in [phone.departures, *sockets] for fault in each]
    assert [fault.kind for fault in found] == faults


@virtually
async def test_sentences_of_a_call_are_answered() -> None:
    """With partials; words without an answer, or on a line that is lost, are said to have none."""
    relay = MinimalRelay({"welcomeGreeting": GREETING})
    async with calling(relay, Manner(answer_seconds=3.0)) as twilio, twilio.call() as call:
        replies = [(await call.say(words, partials=("a",))).text for words in ("hi", "and you?")]
        with pytest.raises(NoReplyError):
            await call.say("be silent")
        with pytest.raises(RuntimeError, match="nothing is playing"):
            await call.interrupt()
        with pytest.raises(NoReplyError, match="the line was lost"):
            await call.say("hang up")

    assert replies == ["You said hi.", "You said and you?."]
    assert [fault.kind for fault in call.ledger.departures] == [Departure.HUNG_UP_ON]


@virtually
async def test_wrong_signatures_are_sent_as_asked() -> None:
    """A missing signature, one over the wrong scheme, and a correct one."""
    async with calling(MinimalRelay()) as twilio:
        invitation = await twilio.webhook(call_fields())
        wrong_scheme = twilio.sign(invitation.url.replace("ws://", "https://"))

        statuses = [
            await twilio.handshake(invitation.url, signature=None),
            await twilio.handshake(invitation.url, signature=wrong_scheme),
            await twilio.handshake(invitation.url, signature=twilio.sign(invitation.url)),
            (await twilio.post(twilio.voice_url, call_fields(), signature="x")).status,
        ]

    assert statuses == [403, 403, 101, 403]


@virtually
async def test_call_without_a_relay_is_refused() -> None:
    relay = MinimalRelay(answers={"/voice": deque(["<Response><Reject/></Response>"])})
    async with calling(relay) as twilio:
        with pytest.raises(CallRefusedError) as refusal:
            await twilio.webhook(call_fields())

    assert refusal.value.answer.verbs == ("Reject",)


@virtually
async def test_caller_calls_again_until_there_is_a_line() -> None:
    """A second apart, each time as a call of its own, and no more often than asked."""
    busy = ["<Response><Reject/></Response>"] * 3
    relay = MinimalRelay(answers={"/voice": deque(busy)})
    async with calling(relay) as twilio:
        with pytest.raises(CallRefusedError):
            await twilio.until_taken("+15550100001", times=2)
        found = await twilio.until_taken("+15550100001", times=2)

    assert found.fields["From"] == "+15550100001"
    assert len({fields["CallSid"] for _, fields in relay.posted}) == 4
    assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=0.1)


async def test_urls_of_other_servers_are_asked_where_they_say() -> None:
    """Only those of the public origin are behind `base`; `ws://` is for this machine."""
    async with Twilio.open("http://127.0.0.1:1", TOKEN, "https://one.example") as twilio:
        with pytest.raises(aiohttp.ClientConnectorError) as here:
            await twilio.handshake("wss://one.example/relay", signature=None)
        with pytest.raises(aiohttp.ClientConnectorError) as there:
            await twilio.handshake("ws://127.0.0.1:2/relay", signature=None)
        with pytest.raises(aiohttp.InvalidURL):
            await twilio.handshake("ws://two.example/relay", signature=None)

    assert (here.value.port, there.value.port) == (1, 2)


@virtually
async def test_playback_is_reported_when_subscribed() -> None:
    """Speaker events and played tokens follow the script: greeting, words, reply."""
    relay = MinimalRelay({"welcomeGreeting": GREETING, "events": "speaker-events tokens-played"})
    async with calling(relay) as twilio, twilio.call() as call:
        await call.say("hi")
        await call.play_out()

    greeting = ["setup", "on", GREETING, "off"]
    reply = ["prompt", "on", "You said ", "hi.", "off"]
    assert [each.get("value", each["type"]) for each in relay.received] == greeting + reply


@pytest.mark.parametrize(
    ("reading", "utterance"), [(HeardText.REPLY, "One two three"), (HeardText.MESSAGE, "three")]
)
@virtually
async def test_interrupt_reports_what_was_heard(reading: HeardText, utterance: str) -> None:
    """In both readings; a token that was under way is counted as late, without a departure."""
    relay = MinimalRelay()
    async with calling(relay, Manner(heard=reading)) as twilio, twilio.call() as call:
        await call.prompt("be interrupted")
        await call.hear(14)
        reported = await call.interrupt(words=3)
        await call.settle()
        reply = await call.say("go on")

    interrupts = [frame for frame in relay.received if frame["type"] == "interrupt"]
    assert [each["utteranceUntilInterrupt"] for each in interrupts] == [utterance] == [reported]
    assert [each["durationUntilInterruptMs"] for each in interrupts] == [13 * 1000 // 15]
    assert reply.text == "You said go on."
    assert (call.ledger.late_tokens, len(call.ledger.cut_seconds)) == (1, 1)
    assert call.ledger.departures == []


@virtually
async def test_end_closes_like_twilio_and_asks_the_action_url() -> None:
    """Code 1000, then the signed callback with the hand-off data, and its TwiML."""
    relay = MinimalRelay()
    async with calling(relay) as twilio, twilio.call(CallSid="CA1") as call:
        await call.say("say goodbye")

        assert call.ending is not None
        assert call.ending.answer is not None
        assert call.ending.answer.verbs == ("Hangup",)

    assert relay.close_codes == [1000]
    ended = {"SessionId": call.session_id, "SessionStatus": "ended", "SessionDuration": "0"}
    fields = {**call_fields(CallSid="CA1"), "CallStatus": "in-progress", **ended}
    assert relay.actions == [{**fields, "HandoffData": '{"reason": "human"}'}]


@pytest.mark.parametrize("run", [run_virtually, uvloop.run])
def test_hang_up_and_failure_are_told_apart(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """By close code, `SessionStatus` and `ErrorCode`; also on a loop in real time."""
    run(_leave_and_break())


async def _leave_and_break() -> None:
    relay = MinimalRelay()
    async with calling(relay) as twilio:
        async with twilio.call() as left:
            await left.hang_up()
        async with twilio.call() as broken:
            await broken.fail()
            await broken.send(type="prompt", voicePrompt="lost")
            await broken.send_binary(b"lost")

    assert relay.close_codes == [1000, 1006]
    assert [fields["SessionStatus"] for fields in relay.actions] == ["completed", "failed"]
    assert relay.actions[1]["ErrorCode"] == "39001"


@virtually
async def test_voice_takes_its_time_at_a_pace() -> None:
    """A caller hears 13 characters a second, breaks in after one, and is heard by name."""
    relay = MinimalRelay({"dtmfDetection": "true", "events": "tokens-played"})
    async with calling(relay, Manner(pace=13.0)) as twilio, twilio.call() as call:
        await call.prompt("be interrupted")
        said = await call.wait_until(lambda: call.playback.heard >= 13, 60.0, every=0.1)
        heard = await call.begin_to_speak("Stop!")
        await call.stop_speaking()
        pressed = await call.press("1")
        never = await call.wait_until(lambda: False, 3.0)
        await call.prompt("say goodbye")
        over = await call.wait_until(lambda: call.session.ending is not None, 60.0, every=60.0)

    interrupt = next(each for each in relay.received if each["type"] == "interrupt")
    assert interrupt["utteranceUntilInterrupt"] == "One two three"
    assert 1000 <= interrupt["durationUntilInterruptMs"] < 1100
    assert (said, heard, pressed, never, over) == (True, True, True, False, True)
    played = [frame["value"] for frame in relay.received if frame["type"] == "info"]
    assert played == ["One two ", "three", "five "]
    assert relay.actions[0]["SessionStatus"] == "ended"


@virtually
async def test_speech_that_is_replaced_takes_no_time() -> None:
    """Four characters are spoken in place of a hundred."""
    async with calling(MinimalRelay(), Manner(pace=8.0)) as twilio, twilio.call() as call:
        await call.prompt("replace it")
        await call.wait_until(lambda: False, 60.0, every=60.0)

    assert call.ending is not None
    assert call.ending.at == pytest.approx(0.5)


@virtually
async def test_replay_reports_what_is_wrong() -> None:
    """An unanswered turn, a second `last`, a closed socket, and a noise that is answered."""
    words = ("be silent", "close twice", "hang up", "hello", "...")
    said = (Dialogue("a", "sgd_homes", words),)

    async with calling(MinimalRelay()) as twilio:
        report = await replay(twilio, said)

    assert (report.turns, report.calls, len(report.waits)) == (4, 2, 2)
    assert report.findings == [
        "a: a turn was not answered", "a: a turn was not answered", "a: a noise was answered",
        "a: no_words", "a: hung_up_on",
    ]  # fmt: skip
