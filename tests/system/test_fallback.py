"""What callers hear when the service is away, and what a second region is asked in its place."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.servers import Server
from tests.twilio_client.client import call_fields

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configuration" / "fallback"
PAGE = (ROOT / "docs" / "deploy" / "number.md").read_text(encoding="utf-8")
FILES = sorted(FOLDER.iterdir())


def verbs(file: Path) -> list[tuple[str, str]]:
    response = ET.parse(file).getroot()  # noqa: S314 (our own file)
    assert response.tag == "Response"
    return [(verb.tag, (verb.text or "").strip()) for verb in response]


def test_apology_is_twiml_as_it_stands() -> None:
    [(say, apology), hangup] = verbs(FOLDER / "fallback.xml")

    assert say == "Say"
    assert apology.startswith("I am sorry")
    assert hangup == ("Hangup", "")


def test_transfer_that_is_not_answered_ends_with_a_sentence() -> None:
    """The number is one of those kept for documentation: it has to be replaced."""
    assert [tag for tag, _ in verbs(FOLDER / "fallback-transfer.xml")] == [
        "Say", "Dial", "Say", "Hangup",
    ]  # fmt: skip
    assert dict(verbs(FOLDER / "fallback-transfer.xml"))["Dial"] == "+15550100999"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_document_asks_no_url_and_holds_no_real_number(file: Path) -> None:
    """A URL that it asked might be away too. The page says what the document is for."""
    text = file.read_text(encoding="utf-8")

    assert re.findall(r"\+?\d{7,}", text.replace("+15550100999", "")) == []
    assert "://" not in text
    assert f"configuration/fallback/{file.name}" in PAGE


def test_there_are_both() -> None:
    assert [file.name for file in FILES] == ["fallback-transfer.xml", "fallback.xml"]


async def test_call_whose_own_region_failed_is_answered_like_a_new_one(server: Server) -> None:
    """Twilio adds what went wrong to the request of the fallback URL."""
    fields = call_fields(
        ErrorCode="11200", ErrorUrl="https://first.example.com/twiml", CallStatus="ringing"
    )

    answer = await server.ring(fields)

    assert answer.status == 200
    assert answer.verbs == ("Connect",)


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
