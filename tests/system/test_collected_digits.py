"""Sensitive digits of a caller reach the tool that collects them, and nothing else.

A whole service with everything on that writes: a table, records of calls, logs with personal data,
traces with content. Afterwards all of it is searched for the digits, typed and spoken.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.call.text import NUMBER_WORDS
from agent.observability import configure_logging
from agent.observability.recording.recorded_scenario import scenario_text
from agent.observability.recording.replay import replay
from agent.observability.recording.serialization import read_record
from agent.observability.recording.transcript import (
    read_transcript,
    transcript_json,
    transcript_text,
)
from agent.simulator.simulated_call import TwilioCall
from agent.store.sqlite import SqliteStore
from agent.tools import SPECS
from agent.usecases import seed
from tests.emulators.collector import ENDPOINT, collecting
from tests.servers import Server, heard_out, serving, settings_for
from tests.tools.http.stand_in import StandIn, reply, standing_in

pytestmark = pytest.mark.usefixtures("plain_logging")
Captured = pytest.CaptureFixture[str]
NAME = "shop"
CARD = "4556737586899855"
WRONG = "4556737586899856"
SPOKEN = "it is four five five six, seven three seven five, eight six eight nine, nine eight 55"
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
TOOL = """
greeting = "Hello."
keypad.4.reply_text = "You pressed four."
tools = ["LiveAgentHandoffFunction"]
handoff_number = "+15550100999"

[relay]
dtmfDetection = true

[http_tools.PayFunction]
description = "Takes the card of the caller."
url = "ORIGIN/pay"
method = "POST"
body = {card = "{call.digits}", caller = "{call.caller}"}
error = "/reason"

[http_tools.PayFunction.collects]
min_digits = 13
max_digits = 19
validator = "luhn"
pause_ms = 500
sensitive = true
prompt = "Please enter the number of your card."
"""
Case = tuple[Sequence[bytes], str, Sequence[str], int]
"""What the tool is answered, what is typed and said, and how often the tool sends the card."""
SCRIPT = {
    "intents": [
        {"name": "pay", "phrases": ["pay"], "when": ["intent.pay"], "call": "PayFunction"},
        {
            "name": "person",
            "phrases": ["person"],
            "when": ["intent.person"],
            "call": "LiveAgentHandoffFunction",
        },
    ],
    "tools": {
        "PayFunction": {"done": [{"say": "It is paid."}], "failed": [{"say": "It was not paid."}]},
        "LiveAgentHandoffFunction": {
            "arguments": {"reason": "wish"},
            "done": [{"say": "I connect you."}],
        },
    },
    "fallback": ["Do you want to pay?"],
    "trouble": ["That did not work."],
    "done": ["That is done."],
}


@asynccontextmanager
async def shop(tmp_path: Path, other: StandIn) -> AsyncIterator[Server]:
    folder = tmp_path / "configuration" / "use-cases" / NAME
    folder.mkdir(parents=True)
    text = TOOL.replace("ORIGIN", other.origin)
    (folder / "use-case.toml").write_text(text, encoding="utf-8")
    (folder / "prompt.md").write_text("You sell flowers.", encoding="utf-8")
    (folder / "offline.json").write_text(json.dumps(SCRIPT), encoding="utf-8")
    store = await SqliteStore.open(tmp_path / "agent.db")
    await seed.seed(store, tmp_path / "configuration", SPECS, now=datetime.now(UTC))
    await store.close()
    variables = {
        "STACK_USE_CASE": NAME,
        "HTTP_TOOL_HOSTS": other.origin,
        "RECORD_CALLS": "true",
        "LOG_PERSONAL_DATA": "true",
    }
    async with serving(settings_for(tmp_path / "agent.db", **variables)) as server:
        yield server


async def _pay(server: Server, typed: str, said: Sequence[str] = ()) -> TwilioCall:
    """One call: the caller asks to pay, enters this, and then asks for a person."""
    async with server.twilio.call(From="+15550100001") as call:
        asked = await call.say("I want to pay")
        assert asked.text == "Please enter the number of your card."
        await call.play_out()
        for key in typed:
            await call.press(key)
        if typed.endswith("#"):
            await call.reply()
            await call.play_out()
        for words in said:
            await call.prompt(words[:20], is_final=False)
            await call.prompt(words)
        if said:
            await call.reply()
        await call.say("a person, please")
        await heard_out(call)
    return call


def _found(places: dict[str, str]) -> list[str]:
    """Where the digits of the card are: eight in a row, or words for two."""
    words = {str(number): word for word, number in NUMBER_WORDS.items() if number < 10}
    named = "|".join(words.values())
    spoken = re.compile(rf"\b(?:{named})\b[ ,]+\b(?:{named})\b", re.IGNORECASE)
    rows = {CARD[at : at + 8] for at in range(len(CARD) - 7)}
    typed = [" ".join(row) for row in rows]
    return [
        place
        for place, text in places.items()
        if any(row in text for row in [*rows, *typed]) or spoken.search(text)
    ]


@pytest.mark.parametrize(
    "case",
    [
        ([reply(body=f'{{"paid": "{CARD}"}}')], f"{CARD}#", [], 1),
        ([reply(402, '{"reason": "4556 7375 8689 9855 is declined"}')], f"{CARD}#", [], 1),
        ([reply(500, CARD)], f"{CARD}#", [], 1),
        ([reply()], f"{WRONG}#", [], 0),
        ([reply()], "", [SPOKEN], 1),
        ([reply()], "", SPOKEN.split(", ", 1), 1),
        ([reply()], CARD[:9], ["no, wait, four five five six seven is what my dad has told me"], 0),
        ([reply()], f"{CARD}#", [SPOKEN], 1),
    ],
)
async def test_sensitive_digits_reach_the_tool_and_nothing_else(
    tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    answers, typed, said, sent = case
    configure_logging("debug", "json", with_personal=True)
    async with collecting() as collector, standing_in(*answers) as other:
        monkeypatch.setenv(ENDPOINT, collector.url)  # read by OpenTelemetry itself
        monkeypatch.setenv(CAPTURE, "true")
        async with shop(tmp_path, other) as server:
            call = await _pay(server, typed, said)
            _, metrics = await server.get(server.metrics_url)
            call_sid = call.relay.fields["CallSid"]
            await server.items(call_sid)
            same = [replay(await read_record(server.store, call_sid)).is_same]
            shown = await read_transcript(server.store, call_sid)
            scenario = await scenario_text(server.store, call_sid)
    assert shown is not None
    assert call.ending is not None
    with closing(sqlite3.connect(tmp_path / "agent.db")) as table:
        places = {
            "table": "\n".join(table.iterdump()),
            "metrics": metrics,
            "traces": collector.text,
            "log": "".join(capfd.readouterr()),
            "show": transcript_text(shown) + transcript_json(shown),
            "scenario": scenario or "",
            "handoff": str(call.ending.fields),
        }

    assert same == [True]
    assert "live-agent-handoff" in places["handoff"]
    assert "pii_caller" in places["traces"]
    assert _found(places) == []
    assert [json.loads(one.body)["card"] for one in other.asked] == [CARD] * sent
