"""A call goes to a person: what Twilio is told, and what follows when they are done or away."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from agent.call.lifecycle import HandoffData, ReasonCode
from agent.http.call_twiml import transfer_document
from agent.settings import Settings
from agent.usecases.transfer_target import PhoneTarget
from tests.servers import ACTION_URL, Server, settings_for
from tests.twilio_client.client import Answer, call_fields

RESTAURANT = "restaurantOrderingUseCase"
BACK = f"{ACTION_URL}?useCase={RESTAURANT}"
WORKFLOW = "WW0123456789abcdef0123456789abcdef"
HANDOFF = HandoffData(
    ReasonCode.LIVE_AGENT,
    "user-requested",
    'Cold pizza. "Never <again> & so on"',
    {"order": "two pizzas", "día": "jueves"},
    "es-US",
)


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(tmp_path_factory.mktemp("people") / "unused")


def test_an_app_is_told_no_more_than_it_can_be(settings: Settings) -> None:
    """128 bytes of each, cut between letters."""
    told = HandoffData(ReasonCode.LIVE_AGENT, "wish", "界" * 200)

    passed_on = transfer_document(PhoneTarget("client:ada"), told, call_fields(), settings, "shop")

    assert passed_on is not None
    [summary] = ET.fromstring(passed_on).findall(".//Parameter[@name='summary']")  # noqa: S314
    assert summary.get("value") == "界" * 42


async def test_person_is_rung_as_long_as_the_use_case_says(server: Server) -> None:
    """With the number it wants to be seen; the call comes back with its use case."""
    await _open(server, kind="dial", to="+15550100098", ring_seconds=45, caller_id="+15550100077")

    answer = await _handed_over(server)

    assert answer.xml == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        f'<Dial action="{BACK}" answerOnBridge="true" callerId="+15550100077" method="POST"'
        ' timeout="45"><Number>+15550100098</Number></Dial></Response>'
    )


async def test_person_with_an_app_reads_what_it_is_about(server: Server) -> None:
    """As parameters of the call that comes in."""
    await _open(server, kind="dial", to="client:desk_1")

    answer = await _handed_over(server, CallSid="CA1")

    [client] = ET.fromstring(answer.xml).findall("Dial/Client")  # noqa: S314 - our own document
    told = {each.get("name"): each.get("value") for each in client.findall("Parameter")}
    assert client.findtext("Identity") == "desk_1"
    assert told == {
        "reason": "user-requested",
        "summary": 'Cold pizza. "Never <again> & so on"',
        "slots": "order: two pizzas; día: jueves",
        "language": "es-US",
        "useCase": RESTAURANT,
        "callSid": "CA1",
    }


async def test_caller_waits_in_the_queue_of_the_use_case(server: Server) -> None:
    """Somebody dials the queue."""
    await _open(server, kind="enqueue", queue="the office")

    answer = await _handed_over(server)

    assert answer.xml == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        f'<Enqueue action="{BACK}" method="POST">the office</Enqueue></Response>'
    )


async def test_task_holds_all_that_is_known(server: Server) -> None:
    """Whoever takes it reads it before they speak."""
    await _open(server, kind="enqueue", workflow=WORKFLOW, priority=5)

    answer = await _handed_over(server, CallSid="CA1")

    [waiting] = ET.fromstring(answer.xml).findall("Enqueue")  # noqa: S314 - our own document
    [task] = waiting.findall("Task")
    assert waiting.attrib == {"action": BACK, "method": "POST", "workflowSid": WORKFLOW}
    assert task.attrib == {"priority": "5"}
    assert json.loads(task.text or "") == {
        "reason": "user-requested",
        "summary": 'Cold pizza. "Never <again> & so on"',
        "slots": {"order": "two pizzas", "día": "jueves"},
        "language": "es-US",
        "useCase": RESTAURANT,
        "callSid": "CA1",
    }


async def test_call_by_sip_is_referred(server: Server) -> None:
    """The caller's switchboard does the rest."""
    await _open(server, kind="refer", to="sip:desk@pbx.example.com")

    answer = await _handed_over(server, From="sip:ada@pbx.example.com")

    assert answer.xml == (
        '<?xml version="1.0" encoding="UTF-8"?><Response>'
        f'<Refer action="{BACK}" method="POST"><Sip>sip:desk@pbx.example.com</Sip></Refer>'
        "</Response>"
    )


@pytest.mark.parametrize("caller", ["+15550100001", "client:ada", ""])
async def test_any_other_call_is_not_referred(server: Server, caller: str) -> None:
    """Twilio would end it (13801); the agent takes the caller back."""
    await _open(server, kind="refer", to="sip:desk@pbx.example.com")

    answer = await _handed_over(server, From=caller)

    assert answer.verbs == ("Connect",)


async def _open(server: Server, **desk: object) -> None:
    await server.store.merge(RESTAURANT, "configuration", {"desk": desk})


async def _handed_over(server: Server, **fields: str) -> Answer:
    told = {"SessionStatus": "ended", "HandoffData": HANDOFF.render()}
    return await server.twilio.post(BACK, call_fields(CallStatus="in-progress", **told, **fields))
