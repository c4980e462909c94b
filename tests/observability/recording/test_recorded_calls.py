"""Calls over real sockets are recorded, shown, and replayed to the same decisions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.cli.recorded_calls import shown
from agent.ports import Item
from agent.session.call_replay import DIFFERENT, NO_RECORD, replayed
from agent.settings import Settings
from agent.store.memory import MemoryStore
from tests.http.test_resume import new_line
from tests.servers import Server, offline, seeded, serving, settings_for, staged
from tests.waiting import until

pytestmark = pytest.mark.needs("time")

ADA = "+15550100001"
CALLERS = {
    "restaurantOrderingUseCase": ("a large pepperoni pizza for pickup", "that's all", "yes"),
    "apartmentSearchUseCase": ("i am looking for a two bedroom apartment", "yes", "tomorrow"),
    "albertEinsteinUseCase": ("when was he born", "tell me more", "what about relativity"),
    "defaultUseCase": ("my name is Ada Example", "yes", "i would like to order a pizza"),
}

_NO_RECORDS = """
CREATE TRIGGER no_records BEFORE INSERT ON items WHEN NEW.sk LIKE 'record::%'
BEGIN SELECT RAISE(ABORT, 'no records'); END
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a service that records its calls."""
    return settings_for(tmp_path / "unused", RECORD_CALLS="true")


@pytest.fixture
async def recording(settings: Settings) -> AsyncIterator[Server]:
    """A service that records its calls, with the shipped configuration."""
    async with staged(settings, await seeded(MemoryStore()), offline) as server:
        yield server


async def busy_call(server: Server, said: tuple[str, ...]) -> str:
    """Words, keys, a caller who breaks in, and a line that breaks; its SID."""
    first, *others = said
    async with server.twilio.call(From=ADA) as call:
        await call.say(first, partials=(first[:9],))
        await call.press("1")
        await call.settle()
        await call.prompt(first)
        await call.hear(20)
        if call.playback.is_playing:
            await call.interrupt(words=3)
        await call.settle()
        relay = new_line(await call.fail())
    async with server.twilio.connect(relay) as call:
        await call.settle()
        for words in others:
            await call.say(words)
            await call.settle()
    call_sid = call.relay.fields["CallSid"]
    await server.items(call_sid)
    return call_sid


async def test_records_that_wait_are_counted_by_the_service(table: Path) -> None:
    async with serving(settings_for(table, RECORD_CALLS="true")) as server:
        with closing(sqlite3.connect(table)) as aside:
            aside.execute(_NO_RECORDS)
            async with server.twilio.call(From=ADA) as call:
                await call.say("are you open")
            telemetry = server.service.telemetry
            await until(lambda: telemetry.value("agent_record_characters_waiting") > 1000)
            aside.execute("DROP TRIGGER no_records")

        await server.until_metric("agent_record_characters_waiting", 0)


@pytest.mark.parametrize("use_case", CALLERS)
async def test_call_of_each_shipped_use_case_is_decided_again_as_it_was(
    recording: Server, settings: Settings, use_case: str
) -> None:
    """With what was recorded, and with the table as it still is; the log names the same stamp."""
    await recording.know(ADA, firstName="Ada", lastName="Example", useCase=use_case)

    with capture_logs() as logs:
        call_sid = await busy_call(recording, CALLERS[use_case])
    resources = recording.calls.resources
    as_recorded = await replayed(settings, resources, call_sid)
    as_today = await replayed(settings, resources, call_sid, with_today=True)
    told: Any = json.loads(await shown(recording.store, call_sid, for_machines=True) or "")

    assert as_recorded.status == 0, as_recorded.text
    assert as_today.status == 0, as_today.text
    assert as_recorded.text == as_today.text
    assert told["use_case"] == use_case
    assert [(line["line"], line["end"]) for line in told["lines"]] == [
        (0, "error_relay"),
        (1, "caller_hangup"),
    ]
    assert told["resumes"] == {"1": "lost"}
    assert all(line["turns"] for line in told["lines"])
    assert sum(line["events"] for line in told["lines"]) > 50
    assert {fact["line"] for fact in told["facts"]} == {0, 1}
    assert None not in [fact["at_ms"] for fact in told["facts"]]
    summaries = [line for line in logs if line["event"] == "call.summarized"]
    named = [
        [line[key] for key in ("prompt_hash", "tools_hash", "use_case_version")]
        for line in summaries
    ]
    assert named == [
        [line["stamp"][key] for key in ("prompt", "tools", "version")] for line in told["lines"]
    ]


async def test_edit_of_the_use_case_is_found_by_a_replay_with_today(
    recording: Server, settings: Settings
) -> None:
    """The prompt at the first request, the phrase where it was said."""
    call_sid = await busy_call(recording, CALLERS["restaurantOrderingUseCase"])
    record = await recording.store.get("restaurantOrderingUseCase", "configuration")
    assert record is not None
    prompt, phrases = f"{record['prompt']}\nBe brief.", record.get("phrases")
    assert isinstance(phrases, dict)
    phrases["resumed"] = phrases["resumed_unheard"] = "Hm."  # which one tells when the line broke
    await recording.store.put({**record, "prompt": prompt, "phrases": phrases})

    result = await replayed(settings, recording.calls.resources, call_sid, with_today=True)
    lines = result.text.splitlines()

    assert result.status == DIFFERENT
    both = ["  brief.phrases.resumed", "  brief.phrases.resumed_unheard"]
    changed = ["changed since", "  version", "  prompt", *both]
    assert [line.split(":")[0] for line in lines[:5]] == changed
    assert any(line.startswith("the model is asked otherwise from event ") for line in lines)
    assert "different at line 1, event 0 (00:00.0)" in lines
    assert '  + Speak {"utterance":1,"text":"Hm.","is_last":true}' in lines


async def test_call_is_shown_with_what_took_how_long(recording: Server) -> None:
    """Also after its facts have expired: they are kept for a day, records for a week."""
    call_sid = await busy_call(recording, CALLERS["restaurantOrderingUseCase"])
    await recording.calls.until_written()
    later = MemoryStore()
    for item in await recording.store.query(call_sid, "record::"):
        await later.put(item)

    text = await shown(recording.store, call_sid) or ""
    whole: Any = json.loads(await shown(recording.store, call_sid, for_machines=True) or "")
    kept: Any = json.loads(await shown(later, call_sid, for_machines=True) or "")

    assert kept["facts"] == whole["facts"]
    assert kept["caller"] == ADA
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == call_sid
    assert lines[1].startswith("restaurantOrderingUseCase, with +15550100001, 20")
    for told in (
        " caller   a large pepperoni pizza for pickup",
        " tool     PlaceOrderFunction {",
        " keys     1",
        "\n--- line 1: lost ---",
        "\n  tool PlaceOrderFunction ",
        "\nturn 1 ",
        "\noutcome: success yes\noutcome: end caller_hangup\noutcome: order_placed yes\n",
        "\noutcome: order_type pickup\noutcome: wish ?\n",
    ):
        assert told in text
    outcome = whole["outcome"]
    assert (outcome["values"]["order_type"], outcome["unknown"]) == ("pickup", ["wish"])
    assert kept["outcome"] is None


async def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Such a call is shown from its facts and cannot be replayed."""
    settings = settings_for(tmp_path / "unused")
    store = await seeded(MemoryStore())
    async with staged(settings, store, offline) as server:
        call_sid = await busy_call(server, CALLERS["restaurantOrderingUseCase"])
        result = await replayed(settings, server.calls.resources, call_sid)

    text = await shown(store, call_sid) or ""

    assert await store.query(call_sid, "record::") == []
    assert result.status == NO_RECORD
    assert "no events are recorded, or not yet (RECORD_CALLS): no times" in text.splitlines()
    assert "         caller   a large pepperoni pizza for pickup" in text.splitlines()
    assert any(line.startswith("--- line 1: lost ---") for line in text.splitlines())
    assert "turn 1" not in text


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("broken", "{}: the record cannot be used: record: a line is not JSON"),
        ('{"end":"error_relay"}', "line 0: nothing of it is recorded"),
    ],
    ids=["cannot be used", "lost"],
)
async def test_record_that_is_not_whole_is_named_by_a_replay(
    recording: Server, settings: Settings, lines: str, told: str
) -> None:
    """The exit status of one that cannot be used differs from that of a changed decision."""
    call_sid = await busy_call(recording, CALLERS["restaurantOrderingUseCase"])
    chunk: Item = {"pk": call_sid, "sk": "record::000000::000000", "lines": lines}
    await recording.store.put(chunk)

    result = await replayed(settings, recording.calls.resources, call_sid)

    assert result.text.splitlines()[0] == told.format(call_sid)
    assert (result.status == NO_RECORD) is (lines == "broken")


async def test_unknown_call_is_not_shown() -> None:
    assert await shown(MemoryStore(), "CA1") is None
