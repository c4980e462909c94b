"""A call over several sessions, against the minimal server and on virtual time."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from dataclasses import replace

import pytest

from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.phone_call import Outcome, PhoneCall, Way
from agent.simulator.simulated_call import Manner
from tests.simulator.minimal_relay import HANG_UP, MinimalRelay, calling
from tests.virtual import virtually

RECONNECTS = {"applicationReconnect": "true"}
PERSON = '<Dial action="/later">+15550100099</Dial>'


def response(*verbs: str) -> str:
    return f"<Response>{''.join(verbs)}</Response>"


async def talk(
    twilio: Twilio, words: str = "hello", *, setup_again: bool = True, dial: str = "completed"
) -> PhoneCall:
    """One call; each session is left open after these words, so that the caller hangs up."""
    phone = PhoneCall(twilio, call_fields(), says_setup_again=setup_again, dial_status=dial)
    async with aclosing(phone.sessions()) as sessions:
        async for call in sessions:
            await call.prompt(words if len(phone.legs) == 1 else "hello")
            await call.settle(2.0)
    return phone


@virtually
async def test_caller_hangs_up_and_the_action_url_is_told() -> None:
    relay = MinimalRelay()
    async with calling(relay) as twilio:
        phone = await talk(twilio)

    assert phone.outcome is Outcome.HUNG_UP
    assert [(leg.way, leg.status, leg.heard) for leg in phone.legs] == [
        (Way.RANG, "completed", ["You said hello."])
    ]
    [leg] = phone.legs
    times = [leg.asked_at, leg.answered_at, leg.opened_at, leg.first_words_at, leg.ended_at]
    assert times == sorted(times)
    assert [fields["SessionStatus"] for fields in relay.actions] == ["completed"]


@virtually
async def test_action_url_may_ask_for_another_session() -> None:
    relay = MinimalRelay(answers={})
    async with calling(relay) as twilio:
        relay.answers["/action"] = deque([relay.relay(), HANG_UP])
        phone = await talk(twilio, "say goodbye")

    assert phone.outcome is Outcome.HUNG_UP
    assert [(leg.way, leg.status) for leg in phone.legs] == [
        (Way.RANG, "ended"),
        (Way.ASKED, "completed"),
    ]
    assert phone.legs[0].reason == '{"reason": "human"}'
    assert len({each["sessionId"] for each in relay.received if each["type"] == "setup"}) == 2


@virtually
async def test_verbs_of_an_answer_are_done_in_order() -> None:
    """A sentence at the pace of the voice, a pause, a redirect with the fields of the call."""
    parting = response("<Say>0123456789</Say>", "<Play>https://example.com/a.mp3</Play>",
                       '<Pause length="3"/>', "<Redirect>/later?a=1</Redirect>")  # fmt: skip
    relay = MinimalRelay(answers={"/action": deque([parting])})
    async with calling(relay, Manner(pace=10.0)) as twilio:
        phone = await talk(twilio, "say goodbye")

    assert (phone.outcome, phone.detail) == (Outcome.ENDED, "Hangup")
    assert [(verb.kind, verb.text) for verb in phone.verbs] == [("say", "0123456789"), ("play", "")]
    assert phone.verbs[1].at - phone.verbs[0].at == pytest.approx(1.0)
    path, fields = relay.posted[-1]
    assert path == "/later?a=1"
    assert fields == {**phone.fields, "CallStatus": "in-progress"}


@pytest.mark.parametrize(
    ("dial", "outcome", "statuses"),
    [("completed", Outcome.TRANSFERRED, []), ("no-answer", Outcome.ENDED, ["no-answer"])],
)
@virtually
async def test_person_takes_the_call_or_does_not(
    dial: str, outcome: Outcome, statuses: list[str]
) -> None:
    """The URL of `<Dial>` is asked only if nobody takes it."""
    relay = MinimalRelay(answers={"/action": deque([response(PERSON)])})
    async with calling(relay) as twilio:
        phone = await talk(twilio, "say goodbye", dial=dial)

    assert phone.outcome is outcome
    assert [(verb.kind, verb.text) for verb in phone.verbs] == [("dial", "+15550100099")]
    later = [fields["DialCallStatus"] for path, fields in relay.posted if path == "/later"]
    assert later == statuses


@pytest.mark.parametrize(
    ("path", "answer", "outcome", "detail"),
    [
        ("/voice", response("<Reject/>"), Outcome.REFUSED, "Reject"),
        ("/voice", response("<Say>Busy.</Say>", "<Hangup/>"), Outcome.REFUSED, "Say+Hangup"),
        ("/voice", "503", Outcome.FAILED, "webhook: status 503"),
        ("/action", "503", Outcome.FAILED, "webhook: status 503"),
        ("/action", "", Outcome.FAILED, "webhook: ServerDisconnectedError"),
    ],
)
@virtually
async def test_call_ends_by_what_a_webhook_answers(
    path: str, answer: str, outcome: Outcome, detail: str
) -> None:
    async with calling(MinimalRelay(answers={path: deque([answer])})) as twilio:
        phone = await talk(twilio, "say goodbye")

    assert (phone.outcome, phone.detail) == (outcome, detail)


@virtually
async def test_redirects_without_an_end_are_not_followed_for_ever() -> None:
    again = deque([response("<Redirect>/voice</Redirect>")] * 30)
    relay = MinimalRelay(answers={"/voice": again})
    async with calling(relay) as twilio:
        phone = await talk(twilio)

    assert (phone.outcome, phone.detail) == (Outcome.FAILED, "redirected without an end")
    assert len(relay.posted) == 20


@virtually
async def test_without_an_action_url_the_call_is_over() -> None:
    relay = MinimalRelay()
    async with calling(relay) as twilio:
        relay.answers["/voice"] = deque([relay.relay().replace(' action="/action"', "")])
        phone = await talk(twilio, "hang up")

    assert (phone.outcome, phone.detail) == (Outcome.ENDED, "no action URL")
    assert relay.actions == []


@pytest.mark.parametrize(("setup_again", "setups"), [(True, 2), (False, 1)])
@virtually
async def test_lost_socket_is_opened_again_at_the_same_url(setup_again: bool, setups: int) -> None:
    """With `applicationReconnect`, as the same session, and the action URL is not asked."""
    relay = MinimalRelay(RECONNECTS)
    async with calling(relay) as twilio:
        phone = await talk(twilio, "hang up", setup_again=setup_again)

    assert [(leg.way, leg.status, leg.reason) for leg in phone.legs] == [
        (Way.RANG, "failed", "64105"),
        (Way.REOPENED, "completed", ""),
    ]
    ids = [each["sessionId"] for each in relay.received if each["type"] == "setup"]
    assert (len(ids), len({*ids})) == (setups, 1)
    assert [fields["SessionStatus"] for fields in relay.actions] == ["completed"]


@pytest.mark.parametrize(
    ("refusals", "ways", "outcome"),
    [
        (2, [Way.RANG, *[Way.REOPENED] * 3], Outcome.HUNG_UP),
        (10_000, [Way.RANG, Way.REOPENED], Outcome.ENDED),
    ],
)
@virtually
async def test_socket_that_cannot_be_opened_again_is_tried_for_a_while(
    refusals: int, ways: list[Way], outcome: Outcome
) -> None:
    """Then the action URL is asked, with error 64102."""
    relay = MinimalRelay(RECONNECTS)
    async with calling(relay) as twilio:
        phone = PhoneCall(twilio, call_fields())
        async with aclosing(phone.sessions()) as sessions:
            async for call in sessions:
                if len(phone.legs) == 1:
                    relay.refusals = refusals
                    await call.fail()

    found = [leg.way for leg in phone.legs]
    assert found[: len(ways)] == ways
    assert phone.outcome is outcome
    codes = [fields.get("ErrorCode") for fields in relay.actions]
    assert codes == ([None] if outcome is Outcome.HUNG_UP else ["64102"])
    ended, asked = phone.legs[-1].ended_at, phone.legs[1].asked_at
    assert outcome is Outcome.HUNG_UP or ended - asked == pytest.approx(20.0, abs=0.5)


@virtually
async def test_socket_that_was_never_open_is_not_tried_again() -> None:
    """The action URL is asked at once and may give another one."""
    relay = MinimalRelay(RECONNECTS, refusals=1)
    async with calling(relay) as twilio:
        relay.answers["/action"] = deque([relay.relay()])
        phone = await talk(twilio)

    assert [(leg.way, leg.status, leg.reason) for leg in phone.legs] == [
        (Way.RANG, "failed", "64102 503"),
        (Way.ASKED, "completed", ""),
    ]
    assert phone.legs[0].heard == []
    assert phone.legs[0].first_words_at == 0.0
    assert [str(fault) for fault in phone.departures] == ["unreachable: 503"]
    assert [fields["ErrorCode"] for fields in relay.actions[:1]] == ["64102"]


@virtually
async def test_socket_at_an_address_that_twilio_never_dials_is_unreachable() -> None:
    relay = MinimalRelay()
    async with calling(relay) as twilio:
        relay.answers["/voice"] = deque([relay.relay(url="ws://voice.example.com/")])
        phone = await talk(twilio)

    assert [fault.kind.value for fault in phone.departures] == ["bad_twiml", "unreachable"]
    assert phone.legs[0].reason == "64102 InvalidURL"


@virtually
async def test_another_server_is_not_dialled_for_a_caller_who_stays_on_one() -> None:
    """As in a load test, whose consent is for one host."""
    relay, other = MinimalRelay(), MinimalRelay()
    async with calling(relay) as twilio, calling(other):
        relay.answers["/voice"] = deque([other.relay()])
        phone = await talk(replace(twilio, stays_on_server=True))

    assert [fault.kind.value for fault in phone.departures] == ["unreachable"]
    assert other.received == []
