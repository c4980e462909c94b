"""The TwiML of each kind of transfer target."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from agent.call.lifecycle import HandoffData, ReasonCode
from agent.http.call_twiml import transfer_document
from agent.settings import Settings
from agent.simulator.carrier import call_fields
from agent.simulator.twiml_reader import TwimlAnswer
from agent.usecases.transfer_target import PhoneTarget
from tests.servers import ACTION_URL, Server, settings_for

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


TOLD = {
    "reason": "user-requested",
    "summary": 'Cold pizza. "Never <again> & so on"',
    "language": "es-US",
    "useCase": RESTAURANT,
    "callSid": "CA1",
}


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(tmp_path_factory.mktemp("people") / "unused")


def test_parameter_of_an_app_is_cut_to_128_bytes(settings: Settings) -> None:
    """Between characters."""
    told = HandoffData(ReasonCode.LIVE_AGENT, "wish", "界" * 200)

    passed_on = transfer_document(PhoneTarget("client:ada"), told, call_fields(), settings, "shop")

    assert passed_on is not None
    [summary] = ET.fromstring(passed_on).findall(".//Parameter[@name='summary']")  # noqa: S314
    assert summary.get("value") == "界" * 42


async def test_app_target_gets_the_handoff_as_parameters(server: Server) -> None:
    await _open(server, kind="dial", to="client:desk_1")

    answer = await _handed_over(server, CallSid="CA1")

    [client] = ET.fromstring(answer.xml).findall("Dial/Client")  # noqa: S314 - our own document
    told = {each.get("name"): each.get("value") for each in client.findall("Parameter")}
    assert client.findtext("Identity") == "desk_1"
    assert told == {**TOLD, "slots": "order: two pizzas; día: jueves"}


async def test_workflow_target_gets_the_handoff_as_task_attributes(server: Server) -> None:
    await _open(server, kind="enqueue", workflow=WORKFLOW, priority=5)

    answer = await _handed_over(server, CallSid="CA1")

    [waiting] = ET.fromstring(answer.xml).findall("Enqueue")  # noqa: S314 - our own document
    [task] = waiting.findall("Task")
    assert waiting.attrib == {"action": BACK, "method": "POST", "workflowSid": WORKFLOW}
    assert task.attrib == {"priority": "5"}
    assert json.loads(task.text or "") == {
        **TOLD,
        "slots": {"order": "two pizzas", "día": "jueves"},
    }


@pytest.mark.parametrize(
    ("desk", "caller", "verb"),
    [
        (
            {"kind": "enqueue", "queue": "the office"},
            "+15550100001",
            f'<Enqueue action="{BACK}" method="POST">the office</Enqueue>',
        ),
        (
            {"kind": "refer", "to": "sip:desk@pbx.example.com"},
            "sip:ada@pbx.example.com",
            f'<Refer action="{BACK}" method="POST"><Sip>sip:desk@pbx.example.com</Sip></Refer>',
        ),
        (
            {"kind": "dial", "to": "+15550100098", "ring_seconds": 45, "caller_id": "+15550100077"},
            "+15550100001",
            f'<Dial action="{BACK}" answerOnBridge="true" callerId="+15550100077" method="POST"'
            ' timeout="45"><Number>+15550100098</Number></Dial>',
        ),
    ],
)
async def test_each_target_has_its_verb(
    server: Server, desk: dict[str, object], caller: str, verb: str
) -> None:
    await _open(server, **desk)

    answer = await _handed_over(server, From=caller)

    assert answer.xml == f'<?xml version="1.0" encoding="UTF-8"?><Response>{verb}</Response>'


@pytest.mark.parametrize("caller", ["+15550100001", "client:ada", ""])
async def test_any_other_call_is_not_referred(server: Server, caller: str) -> None:
    """Twilio would end it (https://www.twilio.com/docs/api/errors/13801); the agent goes on."""
    await _open(server, kind="refer", to="sip:desk@pbx.example.com")

    answer = await _handed_over(server, From=caller)

    assert answer.verbs == ("Connect",)


async def _open(server: Server, **desk: object) -> None:
    await server.store.merge(RESTAURANT, "configuration", {"desk": desk})


async def _handed_over(server: Server, **fields: str) -> TwimlAnswer:
    told = {"SessionStatus": "ended", "HandoffData": HANDOFF.render()}
    return await server.twilio.post(BACK, call_fields(CallStatus="in-progress", **told, **fields))
