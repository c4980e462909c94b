"""Outbound calls from `POST /dial` to the status callback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from agent.http.voice_webhook import VOICEMAIL
from agent.simulator.carrier import call_fields
from agent.simulator.twiml_reader import TwimlAnswer
from tests.servers import ORIGIN, TOKEN, Server, serving, settings_for
from tests.twilio_api import ACCOUNT, TwilioApi, twilio_api

ADA, OURS = "+15550100001", "+15550100000"
RESTAURANT, EINSTEIN = "restaurantOrderingUseCase", "albertEinsteinUseCase"
KEY = "a-secret-of-the-operator"
STATUS_URL = f"{ORIGIN}/calls/status"


@dataclass(frozen=True, slots=True)
class Office:
    """A service that may call, and the Twilio it calls with."""

    server: Server
    api: TwilioApi

    async def ask(self, body: object = None, key: str | None = KEY) -> tuple[int, Any]:
        """`POST /dial`: status and answer."""
        asked = {"to": ADA, "useCase": EINSTEIN} if body is None else body
        text = asked if isinstance(asked, str) else json.dumps(asked)
        url = self.server.metrics_url.replace("/metrics", "/dial")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self.server.twilio.http.post(url, data=text, headers=headers) as response:
            return response.status, await response.json()

    async def dialled(self) -> tuple[str, dict[str, str]]:
        """Have Ada called: the URL that Twilio requests, and the fields of the call."""
        status, answer = await self.ask()
        assert status == 202
        made = {"CallSid": answer["callSid"], "Direction": "outbound-api", "From": OURS, "To": ADA}
        return self.api.asked[-1]["Url"], call_fields(**made, CallStatus="in-progress")

    async def answered(self, by: str) -> TwimlAnswer:
        """Have Ada called, and answered."""
        url, fields = await self.dialled()
        return await self.server.twilio.post(url, {**fields, **({"AnsweredBy": by} if by else {})})

    async def count(self, outcome: str) -> float:
        return await self.server.metric("agent_outbound_calls_total", outcome=outcome)


@asynccontextmanager
async def open_office(table: Path, **environment: str) -> AsyncIterator[Office]:
    async with twilio_api(ACCOUNT, TOKEN) as api:
        account = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_URL": api.url}
        numbers = {"OUTBOUND_NUMBERS": "+1555010", "OUTBOUND_FROM": OURS, "DIAL_API_KEYS": KEY}
        async with serving(settings_for(table, **account, **numbers | environment)) as server:
            yield Office(server, api)


@pytest.fixture
async def office(table: Path) -> AsyncIterator[Office]:
    async with open_office(table) as running:
        yield running


async def test_outbound_call_that_a_person_answers_uses_the_requested_agent(office: Office) -> None:
    """With the profile of the called person; the prompt says that the agent has called."""
    await office.server.know(ADA, firstName="Ada", lastName="Example", useCase=RESTAURANT)

    answer = await office.answered("human")
    assert answer.relay is not None
    async with office.server.twilio.connect(answer.relay) as call:
        reply = await call.say("Who is there?")

    [item] = await office.server.items(answer.relay.fields["CallSid"], "connection")
    prompt: Any = item["systemPrompt"]
    assert reply.text
    assert item["useCase"] == item["outboundUseCase"] == EINSTEIN
    assert item["userContext"]["firstName"] == "Ada"  # type: ignore[index] # a map in the table
    assert prompt[-1]["text"].endswith(
        "You have called this person, they did not call you: say who you are and why you call."
    )
    assert [await office.count(one) for one in ("dialled", "human", "machine")] == [1, 1, 0]
    assert await office.server.metric("agent_calls_total", use_case=EINSTEIN) == 1


async def test_variables_of_a_dial_fill_the_greeting_and_the_prompt(office: Office) -> None:
    """Those that are not given have the default of the use case."""
    edit = {
        "variables": {"PLAN": "basic", "DUE": "soon"},
        "prompt": "You collect.\n\nPlan <<PLAN>>, due <<DUE>>.",
        "greetingKnown": "<<FIRST_NAME>>, your plan is <<PLAN>>.",
    }
    await office.server.store.merge(EINSTEIN, "configuration", edit)
    asked = {"to": ADA, "useCase": EINSTEIN, "variables": {"PLAN": "gold"}}

    _, answer = await office.ask(asked)
    made = {"CallSid": answer["callSid"], "Direction": "outbound-api", "From": OURS, "To": ADA}
    fields = call_fields(**made, CallStatus="in-progress", AnsweredBy="human")
    rung = await office.server.twilio.post(office.api.asked[-1]["Url"], fields)

    assert rung.relay is not None
    assert rung.relay.attributes["welcomeGreeting"] == "Ada, your plan is gold."
    async with office.server.twilio.connect(rung.relay) as call:
        await call.say("hello")
    item: Any = await office.server.store.get(answer["callSid"], "connection")
    own = item["systemPrompt"][1]["text"]
    assert own.startswith('Plan "gold", due "soon".')
    assert item["variables"] == {"PLAN": "gold", "DUE": "soon"}


@pytest.mark.parametrize(
    ("variables", "status", "error"),
    [
        ({"OTHER": "x"}, 400, "variable"),
        ({"PLAN": 5}, 400, "invalid"),
        ({"PLAN": "x" * 201}, 400, "invalid"),
        ("PLAN", 400, "invalid"),
    ],
)
async def test_variables_that_the_use_case_lacks_or_that_are_no_short_texts_are_refused(
    office: Office, variables: object, status: int, error: str
) -> None:
    await office.server.store.merge(EINSTEIN, "configuration", {"variables": {"PLAN": ""}})

    answered, answer = await office.ask({"to": ADA, "useCase": EINSTEIN, "variables": variables})

    assert (answered, answer["error"]) == (status, error)
    assert office.api.asked == []


async def test_order_of_a_called_person_is_stored_under_their_number(office: Office) -> None:
    await office.ask({"to": ADA, "useCase": RESTAURANT})
    fields = call_fields(From=OURS, To=ADA, Direction="outbound-api", AnsweredBy="human")

    answer = await office.server.twilio.post(office.api.asked[-1]["Url"], fields)
    assert answer.relay is not None
    before = len(await office.server.orders(ADA))
    async with office.server.twilio.connect(answer.relay) as call:
        await call.say("a small cheese pizza with bacon for pickup")
        await call.say("yes", cycles=2)

    orders = await office.server.items(ADA, "restaurantOrder::")
    assert len(orders) == before + 1
    assert orders[-1]["sk1"] == OURS
    assert await office.server.orders(OURS) == []


async def test_live_edit_keeps_the_note_that_the_agent_has_called(office: Office) -> None:
    await office.server.store.merge(EINSTEIN, "configuration", {"liveEdits": True})
    answer = await office.answered("human")
    assert answer.relay is not None

    async with office.server.twilio.connect(answer.relay) as call:
        await call.say("Who is there?")
        await office.server.store.merge(EINSTEIN, "configuration", {"prompt": "You are brief."})
        await call.say("And why do you call?")

    [item] = await office.server.items(answer.relay.fields["CallSid"], "connection")
    prompt: Any = item["systemPrompt"]
    assert [part["text"][:20] for part in prompt] == ["You are brief.", "You have called this"]


@pytest.mark.parametrize(
    ("answered_by", "verbs", "outcome"),
    [
        ("human", ("Connect",), "human"),
        ("unknown", ("Connect",), "unknown"),
        ("", ("Connect",), "unknown"),
        ("new_value", ("Connect",), "unknown"),
        ("machine_end_beep", ("Say", "Hangup"), "machine"),
        ("machine_end_silence", ("Say", "Hangup"), "machine"),
        ("machine_start", ("Say", "Hangup"), "machine"),
        ("fax", ("Hangup",), "fax"),
    ],
)
async def test_answer_depends_on_what_answered(
    office: Office, answered_by: str, verbs: tuple[str, ...], outcome: str
) -> None:
    """An unknown answer counts as a person; a machine hears one message, and nothing is stored."""
    answer = await office.answered(answered_by)

    assert answer.verbs == verbs
    assert (VOICEMAIL in answer.xml) == (outcome == "machine")
    assert bool(await office.server.items("CA" + "1".zfill(32))) == (verbs == ("Connect",))
    assert await office.count(outcome) == 1


@pytest.mark.parametrize(
    ("language", "say"), [("de-DE", '<Say language="de-DE">'), ("multi", "<Say>")]
)
async def test_use_case_has_its_own_message_for_machines(
    office: Office, language: str, say: str
) -> None:
    """In the language of its agent, if `<Say>` knows it."""
    record = {
        "voicemail": "Hier ist Albert. <Bitte> rufen Sie an.",
        "conversationRelayParams": {"language": language},
    }
    await office.server.store.merge(EINSTEIN, "configuration", record)

    answer = await office.answered("machine_end_beep")

    assert f"{say}Hier ist Albert. &lt;Bitte&gt; rufen Sie an.</Say>" in answer.xml


@pytest.mark.parametrize(
    ("status", "label"),
    [("completed", "completed"), ("no-answer", "no-answer"), ("x" * 99, "other")],
)
async def test_end_of_each_call_is_counted(office: Office, status: str, label: str) -> None:
    """Labels are a closed set."""
    _, fields = await office.dialled()

    with capture_logs() as logs:
        told = await office.server.twilio.post(STATUS_URL, {**fields, "CallStatus": status})

    ended = [entry["status"] for entry in logs if entry["event"] == "outbound_call.ended"]
    assert (told.status, ended) == (204, [label])
    assert await office.count(label) == 1
    assert ADA not in str(logs)


@pytest.mark.parametrize(
    "change", [{"To": "+15550100002"}, {"Direction": "inbound"}, {"Direction": ""}]
)
async def test_token_of_another_call_opens_nothing(office: Office, change: dict[str, str]) -> None:
    url, fields = await office.dialled()

    answer = await office.server.twilio.post(url, {**fields, **change})

    assert (answer.status, answer.xml) == (403, "dial\n")


async def test_token_belongs_to_one_call_whose_webhook_may_be_repeated(office: Office) -> None:
    url, fields = await office.dialled()

    answers = [
        await office.server.twilio.post(url, {**fields, "CallSid": call, "AnsweredBy": "human"})
        for call in ("CA1", "CA1", "CA2")
    ]
    forged = await office.server.twilio.post(f"{url}x", fields)

    assert [answer.status for answer in answers] == [200, 200, 403]
    assert forged.status == 403


async def test_outbound_call_of_another_program_is_an_inbound_call(office: Office) -> None:
    await office.server.know(ADA, firstName="Ada", lastName="Example", useCase=EINSTEIN)
    fields = call_fields(From=OURS, To=ADA, Direction="outbound-api", AnsweredBy="machine_end_beep")

    answer = await office.server.ring(fields)

    assert answer.verbs == ("Connect",)
    [item] = await office.server.items(fields["CallSid"], "connection")
    assert (item["useCase"], item["userContext"]) == (RESTAURANT, {})
    assert await office.count("machine") == 0


async def test_outbound_call_with_a_broken_use_case_hears_an_apology(office: Office) -> None:
    """No other agent takes the call."""
    url, fields = await office.dialled()
    await office.server.store.merge(EINSTEIN, "configuration", {"prompt": " "})

    answer = await office.server.twilio.post(url, {**fields, "AnsweredBy": "human"})

    assert answer.verbs == ("Say", "Hangup")


async def test_dial_answers_with_the_call(office: Office) -> None:
    """202, and one request to Twilio."""
    status, answer = await office.ask({"to": ADA, "useCase": EINSTEIN, "from": "+15550100009"})

    assert (status, answer) == (202, {"callSid": "CA" + "1".zfill(32)})
    [asked] = office.api.asked
    assert (asked["To"], asked["From"]) == (ADA, "+15550100009")
    assert asked["StatusCallback"] == STATUS_URL
    assert urlsplit(asked["Url"]).path == "/twiml"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("", 400, "invalid"),
        ("[]", 400, "invalid"),
        ("\xff", 400, "invalid"),
        ({"to": ADA}, 400, "invalid"),
        ({"to": 15550100001, "useCase": EINSTEIN}, 400, "invalid"),
        ({"to": ADA, "useCase": EINSTEIN, "from": "+1"}, 400, "caller_id"),
        ({"to": ADA, "useCase": "nobody"}, 404, "use_case"),
        ({"to": "911", "useCase": EINSTEIN}, 403, "number"),
        ({"to": "+15560100001", "useCase": EINSTEIN}, 403, "number"),
    ],
)
async def test_dial_refuses_what_may_not_be_called(
    office: Office, body: object, status: int, error: str
) -> None:
    """Without a request to Twilio."""
    refused, answer = await office.ask(body)

    assert (refused, answer["error"]) == (status, error)
    assert "\n" not in answer["detail"]
    assert office.api.asked == []
    assert await office.count("refused") == 1


async def test_dial_needs_an_api_key(office: Office) -> None:
    keys = (None, "", "another-secret-of-nobody")

    assert [(await office.ask("", key))[0] for key in keys] == [401] * 3
    assert office.api.asked == []


async def test_dial_is_closed_without_dial_api_keys_and_never_public(table: Path) -> None:
    async with open_office(table, DIAL_API_KEYS="") as office:
        status, answer = await office.ask()
        async with office.server.twilio.http.post(office.server.url("/dial")) as public:
            elsewhere = public.status

    assert (status, answer["error"], elsewhere) == (503, "unavailable", 404)


async def test_fourth_call_to_a_number_is_refused(office: Office) -> None:
    statuses = [(await office.ask())[0] for _ in range(4)]

    assert statuses == [202, 202, 202, 429]
    assert len(office.api.asked) == 3


async def test_draining_process_makes_no_call(office: Office) -> None:
    office.server.calls.active_calls.drain()

    assert (await office.ask())[0] == 503
    assert office.api.asked == []
