"""What callers hear when the service is away, and what a second region is asked in its place."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agent.simulator.carrier import call_fields
from tests.servers import Server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configuration" / "fallback"
PAGE = (ROOT / "docs" / "deploy" / "number.md").read_text(encoding="utf-8")


def verbs(file: Path) -> list[tuple[str, str]]:
    response = ET.parse(file).getroot()  # noqa: S314 (our own file)
    assert response.tag == "Response"
    return [(verb.tag, (verb.text or "").strip()) for verb in response]


def test_apology_and_transfer_are_twiml_as_they_stand() -> None:
    """A transfer that is not answered ends with a sentence too."""
    [(say, apology), hangup] = verbs(FOLDER / "fallback.xml")
    transfer = verbs(FOLDER / "fallback-transfer.xml")

    assert (say, hangup) == ("Say", ("Hangup", ""))
    assert apology.startswith("I am sorry")
    assert [tag for tag, _ in transfer] == ["Say", "Dial", "Say", "Hangup"]
    assert dict(transfer)["Dial"] == "+15550100999", "one kept for documentation"


@pytest.mark.parametrize("name", ["fallback-transfer.xml", "fallback.xml"])
def test_document_asks_no_url_and_holds_no_real_number(name: str) -> None:
    """A URL that it asked might be away too. The page says what the document is for."""
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert re.findall(r"\+?\d{7,}", text.replace("+15550100999", "")) == []
    assert "://" not in text
    assert f"configuration/fallback/{name}" in PAGE
    assert len(list(FOLDER.iterdir())) == 2


async def test_call_whose_own_region_failed_is_answered_like_a_new_one(server: Server) -> None:
    """Twilio adds what went wrong to the request of the fallback URL."""
    url = "https://first.example.com/twiml"

    answer = await server.ring(call_fields(ErrorCode="11200", ErrorUrl=url, CallStatus="ringing"))

    assert (answer.status, answer.verbs) == (200, ("Connect",))


async def test_running_call_of_another_region_begins_anew_and_can_be_talked_to(
    server: Server,
) -> None:
    """Its action URL failed: this server does not know the call, and the caller is greeted."""
    fields = call_fields(
        ErrorCode="11205",
        ErrorUrl="https://first.example.com/twiml/action",
        CallStatus="in-progress",
        SessionStatus="failed",
    )
    relay = await server.twilio.webhook(fields)

    async with server.twilio.connect(relay) as call:
        reply = await call.say("are you open")

    assert relay.attributes["welcomeGreeting"]
    assert reply.text
