"""A caller of a recorded call is forgotten: in table, outbox, logs, metrics, traces, at Twilio."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.observability import configure_logging
from agent.ports import Item
from agent.simulator.simulated_call import TwilioCall
from agent.usecases.receivers import RECEIVERS_KEY
from agent.usecases.versions import Versions
from tests.emulators.collector import ENDPOINT, Collector, collecting
from tests.events.sites import KEY, Site, a_site
from tests.servers import ACTION_URL, Server, serving, settings_for
from tests.twilio_api import ACCOUNT, TwilioApi, twilio_api
from tests.waiting import until

Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("plain_logging")

NAME = "restaurantOrderingUseCase"
ZELDA = "+15557654321"
SECRET = "12345678901234567890123456789012"
WORDS = [f"zq{number:02}kx" for number in range(12)]
ASKED = "May we record? Say yes or press 1."
RECORD: Item = {
    "pk": NAME,
    "prompt": "You sell pizza.",
    "tools": "[]",
    "dtmfHandlers": "{}",
    "conversationRelayParams": {"welcomeGreeting": "Harbor Oven, hello."},
    "consent": {"question": ASKED},
    "recording": {"channels": "dual"},
}


async def _call(call: TwilioCall) -> None:
    def said(text: str) -> bool:
        return any(text in cycle.text for cycle in call.ledger.cycles)

    await call.wait_until(lambda: said(ASKED), 5.0)
    await call.play_out()
    await call.press("1")
    await call.wait_until(lambda: said("Harbor Oven, hello."), 5.0)
    await call.play_out()
    for number in range(4, 12, 2):
        await call.say(f"I am {WORDS[number]} of {WORDS[number + 1]}")


def _environment(table: Path, api: TwilioApi, site: Site, collector: Collector) -> dict[str, str]:
    return {
        "STORE_PATH": str(table),
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": SECRET,
        "TWILIO_API_URL": api.url,
        "HTTP_TOOL_HOSTS": f"http://127.0.0.1:{site.port}=127.0.0.1/32",
        "HTTP_TOOL_SECRETS": f"HOOK@http://127.0.0.1:{site.port}",
        "HOOK": KEY,
        ENDPOINT: collector.url,
    }


async def _configured(server: Server, site: Site) -> None:
    """With receivers that take events, fail for now, and are gone."""
    entries = {
        name: {
            "url": f"http://127.0.0.1:{site.port}/{status}",
            "secret": "HOOK",
            "personal_fields": True,
        }
        for name, status in (("taken", 200), ("failing", 500), ("gone", 410))
    }
    pk, sk = RECEIVERS_KEY
    await server.store.put({"pk": pk, "sk": sk, "receivers": entries})
    await Versions(server.store, NAME, datetime(2030, 1, 1, tzinfo=UTC)).publish(RECORD)


def _kept_in(table: Path) -> dict[str, str]:
    with closing(sqlite3.connect(table)) as connection:
        rows = "\n".join(connection.iterdump())
    files = b"".join(file.read_bytes() for file in table.parent.iterdir())
    return {"table": rows, "files": files.decode("latin-1")}


async def test_nothing_of_a_forgotten_caller_is_left_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    """While Twilio does not delete the recording, its call stays, and is said to."""
    configure_logging("debug", "json")
    table = tmp_path / "agent.db"
    async with (
        twilio_api(ACCOUNT, SECRET) as api, a_site() as (site, _), collecting() as collector
    ):  # fmt: skip
        environment = _environment(table, api, site, collector)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)  # commands and OpenTelemetry read them
        settings = settings_for(table, RECORD_CALLS="true", **environment)
        async with serving(settings) as server:
            await _configured(server, site)
        async with serving(settings) as server:
            first, last, mail = WORDS[:3]
            await server.know(ZELDA, firstName=first, lastName=last, email=f"{mail}@example.com")
            relay = await server.relay(From=ZELDA, CallerName=WORDS[3])
            async with server.twilio.connect(relay) as call:
                await _call(call)
            call_sid = relay.fields["CallSid"]
            over = {"CallStatus": "completed", "SessionStatus": "completed"}
            await server.twilio.post(ACTION_URL, {**relay.fields, **over})
            await until(lambda: len(site.got) >= 5)
            events = await server.items(call_sid, "event::")
            recorded = dict(api.recordings)
            exported = await asyncio.to_thread(main, ["export", ZELDA])
            handed_out = capfd.readouterr()
            api.recording_faults = [(503, 20500)]
            refused = await asyncio.to_thread(main, ["forget", ZELDA])
            stays = capfd.readouterr()
            kept = await server.items(call_sid)
            forgotten = await asyncio.to_thread(main, ["forget", ZELDA])
            told = capfd.readouterr()
            again = await asyncio.to_thread(main, ["forget", ZELDA])
            _, metrics = await server.get(server.metrics_url)
            left = await server.items(call_sid)
    places = {
        **_kept_in(table),
        "metrics": metrics,
        "traces": collector.text,
        "log": handed_out.err + stays.err + told.err + capfd.readouterr().err,
        "told": stays.out.replace(call_sid, "") + told.out,
    }

    assert (exported, [word for word in WORDS if word not in handed_out.out]) == (0, [])
    assert {str(item["state"]) for item in events} == {"delivered", "waiting", "dead"}
    assert len(recorded) == 1
    assert refused == 3
    assert f"stays: call {call_sid}: its recording at Twilio was not deleted" in stays.out
    assert {"connection", "recording"} <= {str(item["sk"]) for item in kept}
    assert (forgotten, again) == (0, 0)
    assert "deleted      1 call recording" in told.out
    assert api.recordings == {}
    assert left == []
    assert '"caller_data.deleted"' in told.err
    assert collector.names.count("call") > 0
    found = [
        (place, word) for place, text in places.items() for word in (*WORDS, ZELDA) if word in text
    ]
    assert found == []
