"""The voice webhook: signatures, what is stored, and an answer to every caller."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from structlog.testing import capture_logs

from agent.call.lifecycle import HandoffData, ReasonCode
from agent.errors import StoreError
from agent.http.middleware import TROUBLE
from agent.llm import OfflineModel
from agent.ports import Item
from agent.simulator.carrier import call_fields
from agent.simulator.twiml_reader import TwimlAnswer
from agent.store.memory import MemoryStore
from tests.servers import ACTION_URL, VOICE_URL, Server, serving, settings_for, staged

ADA = "+15550100001"
UNKNOWN = "+15550100050"
RESTAURANT = "restaurantOrderingUseCase"


@pytest.mark.parametrize("url", [VOICE_URL, ACTION_URL])
@pytest.mark.parametrize("signature", ["", "Zm9yZ2Vk", "é", "x" * 5_000])
async def test_webhook_without_twilios_signature_is_refused(
    server: Server, url: str, signature: str
) -> None:
    """Nothing is stored."""
    fields = call_fields(From=UNKNOWN, SessionStatus="failed")

    answer = await server.twilio.post(url, fields, signature=signature)

    assert (answer.status, answer.xml) == (403, "signature\n")
    assert await server.items(fields["CallSid"]) == []
    assert await server.metric("agent_calls_refused_total", reason="signature") == 1


@pytest.mark.parametrize("url", [VOICE_URL, ACTION_URL])
@pytest.mark.parametrize("sid", [{}, {"CallSid": ""}], ids=["missing", "empty"])
async def test_webhook_without_a_call_sid_is_refused(
    server: Server, url: str, sid: dict[str, str]
) -> None:
    fields = {name: text for name, text in call_fields().items() if name != "CallSid"}

    answer = await server.twilio.post(url, {**fields, **sid})

    assert answer.status == 400
    assert await server.metric("agent_calls_refused_total", reason="bad_request") == 1


@pytest.mark.parametrize("caller", [{}, {"From": ""}], ids=["missing", "empty"])
async def test_caller_without_a_number_is_answered(server: Server, caller: dict[str, str]) -> None:
    fields = {name: text for name, text in call_fields().items() if name != "From"}
    answer = await server.ring({**fields, **caller})
    assert answer.relay is not None

    async with server.twilio.connect(answer.relay) as call:
        reply = await call.say("are you open")

    assert reply.text != ""
    assert call.ledger.departures == []


async def test_names_with_markup_are_not_spoken(server: Server) -> None:
    await server.know(UNKNOWN, firstName='Ada "& <Hangup/>', lastName="<<CURRENT_DATE>>")

    answer = await server.ring(call_fields(From=UNKNOWN))

    assert answer.relay is not None
    assert answer.relay.attributes["welcomeGreeting"].startswith("Hello, this is Harbor Oven.")


@pytest.mark.parametrize("use_case", ["noSuchUseCase", "albertEinsteinUseCase"])
async def test_missing_or_broken_use_case_of_a_profile_falls_back_to_the_default(
    server: Server, use_case: str
) -> None:
    await server.store.merge("albertEinsteinUseCase", "configuration", {"prompt": "[]"})
    await server.know(UNKNOWN, useCase=use_case)

    relay = await server.relay(From=UNKNOWN)

    assert relay.attributes["welcomeGreeting"].startswith("Hello, this is Harbor Oven.")
    assert relay.action == f"{ACTION_URL}?useCase={RESTAURANT}"


async def test_unknown_model_of_a_use_case_is_replaced_by_the_default(server: Server) -> None:
    await server.store.merge(RESTAURANT, "configuration", {"llmModel": "azure:other"})

    with capture_logs() as logs:
        async with server.twilio.call(From=UNKNOWN) as call:
            reply = await call.say("good evening")

    assert reply.text
    assert {"event": "use_case.model_replaced", "use_case": RESTAURANT} in [
        {name: line[name] for name in ("event", "use_case") if name in line} for line in logs
    ]


class _FaultyStore(MemoryStore):
    """A table that fails when it is read."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault

    async def get(self, pk: str, sk: str) -> Item | None:
        raise self.fault


@pytest.mark.parametrize("fault", [StoreError("away"), RuntimeError("a fault of ours")])
async def test_failure_of_a_webhook_is_answered_with_an_apology(
    tmp_path: Path, fault: Exception
) -> None:
    """Twilio never gets a 5xx."""
    settings = settings_for(tmp_path / "unused")

    async with staged(
        settings, _FaultyStore(fault), lambda _, script: OfflineModel(script)
    ) as server:
        answer = await server.ring(call_fields(From=ADA))

    assert (answer.status, answer.verbs) == (200, ("Say", "Hangup"))
    assert TROUBLE in answer.xml


@pytest.mark.parametrize(
    ("outbound_from", "call", "shown"),
    [
        ("", {"To": "+15550009999"}, "+15550009999"),
        ("", {"To": "client:desk"}, None),
        ("", {"From": "+15550009999", "To": ADA, "Direction": "outbound-api"}, "+15550009999"),
        ("+15550008888", {"From": "client:ada", "To": "+15550100077"}, "+15550008888"),
    ],
)
async def test_transfer_shows_our_number_or_none(
    table: Path, outbound_from: str, call: dict[str, str], shown: str | None
) -> None:
    """An app has called no number, and only a number can be shown."""
    async with serving(settings_for(table, OUTBOUND_FROM=outbound_from)) as server:
        await server.store.merge(RESTAURANT, "configuration", {"handoffNumber": "+15550007777"})
        answer = await _given_back(server, HandoffData(ReasonCode.LIVE_AGENT), RESTAURANT, **call)

    [dial] = ET.fromstring(answer.xml).findall("Dial")  # noqa: S314 (our own answer)
    assert dial.get("callerId") == shown


@pytest.mark.parametrize("use_case", ["", "noSuchUseCase"])
async def test_handoff_of_a_use_case_that_is_gone_is_an_apology(
    server: Server, use_case: str
) -> None:
    answer = await _given_back(server, HandoffData(ReasonCode.LIVE_AGENT), use_case)

    assert answer.verbs == ("Say", "Hangup")
    assert TROUBLE in answer.xml


@pytest.mark.parametrize("path", ["/twiml", "/twiml/action"])
async def test_get_of_a_webhook_answers_405_and_is_measured(server: Server, path: str) -> None:
    status, _ = await server.get(server.url(path))

    assert status == 405
    assert await server.metric("agent_webhook_duration_seconds_count", status="405") == 1


async def test_unsigned_service_on_this_machine_needs_no_token(table: Path) -> None:
    settings = settings_for(table, WS_URL="ws://localhost:3000/", TWILIO_AUTH_TOKEN="")

    async with serving(settings) as server:
        answer = await server.twilio.post(VOICE_URL, call_fields(From=ADA), signature="")

    assert answer.relay is not None
    assert answer.relay.url.startswith("ws://localhost:3000/?callSid=")
    assert answer.relay.action.startswith("http://localhost:3000/twiml/action?")


async def _given_back(
    server: Server, handoff: HandoffData, use_case: str, **fields: str
) -> TwimlAnswer:
    fields = call_fields(
        CallStatus="in-progress",
        SessionStatus="ended",
        HandoffData=handoff.render(),
        **fields,
    )
    return await server.twilio.post(f"{ACTION_URL}?useCase={use_case}", fields)
