"""A call on the whole service, and what a receiver on this machine is told of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any

import pytest

from agent.cli.main import main
from agent.events.outbox import EventState, StoredEvent, events_of_call
from agent.store.sqlite import SqliteStore
from agent.usecases.receivers import RECEIVERS_KEY
from tests.emulators.carrier import ACCOUNT, CarrierStandIn
from tests.events.sites import KEY, a_site
from tests.servers import ACTION_URL, serving, settings_for
from tests.shipped import USE_CASES, load_shipped
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("plain_logging")

ADA = "+15550100001"


def written(folder: Path, port: int) -> None:
    """A configuration folder with a receiver at this port."""
    folder.mkdir(exist_ok=True)
    (folder / "use-cases").symlink_to(USE_CASES[0].parent)
    (folder / "receivers.toml").write_text(
        f'[receivers.crm]\nurl = "http://127.0.0.1:{port}/200"\nsecret = "HOOK"\n'
    )


async def test_a_call_is_told_from_its_beginning_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_site() as (site, _):
        written(tmp_path / "configuration", site.port)
        environment = {
            "CONFIGURATION": str(tmp_path / "configuration"),
            "STORE_PATH": str(tmp_path / "agent.db"),
            "HTTP_TOOL_HOSTS": f"http://127.0.0.1:{site.port}=127.0.0.1/32",
            "HTTP_TOOL_SECRETS": f"HOOK@http://127.0.0.1:{site.port}",
            "HOOK": KEY,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)  # commands read them
        seeded = await asyncio.to_thread(main, ["seed"])
        checked = await asyncio.to_thread(main, ["check"])
        tried = await asyncio.to_thread(main, ["events", "test", "--receiver", "crm"])
        with monkeypatch.context() as without:
            without.delenv("HOOK")  # a command reads it
            refused = [
                await asyncio.to_thread(main, words)
                for words in (["check"], ["events", "test", "--receiver", "crm"])
            ]
        async with serving(settings_for(tmp_path / "agent.db", **environment)) as server:
            relay = await server.relay(From=ADA)
            async with server.twilio.connect(relay) as call:
                await call.say("hello")
            over = {"CallStatus": "completed", "SessionStatus": "completed"}
            await server.twilio.post(ACTION_URL, {**relay.fields, **over})
            await until(lambda: len(site.got) == 3)

    told: list[Any] = [json.loads(text) for _, _, text in site.got]
    assert (seeded, checked, tried) == (0, 0, 0)
    assert refused == [1, 1]
    assert [each["type"] for each in told] == ["events.test", "call.started", "call.ended"]
    assert told[2]["data"]["reason"] == "caller_hangup"
    assert [each["id"] for each in told] == [headers["webhook-id"] for _, headers, _ in site.got]
    assert ADA not in str(told)


async def test_a_message_that_is_not_delivered_is_told_after_it_was_sent(tmp_path: Path) -> None:
    """Twilio reports it to the address that the message has given, also after the call."""
    path, (pk, sk) = tmp_path / "agent.db", RECEIVERS_KEY
    store = await SqliteStore.open(path)
    await load_shipped(store)
    crm = {"url": "https://crm.example.com/", "secret": "UNSET", "events": ["message.*"]}
    await store.put({"pk": pk, "sk": sk, "receivers": {"crm": crm}})
    await store.close()
    async with CarrierStandIn() as carrier:
        environment = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_URL": carrier.url}
        async with serving(settings_for(path, **environment)) as server:
            relay = await server.relay(From=ADA, AccountSid=ACCOUNT)
            async with server.twilio.connect(relay) as call:
                await call.say("a large pepperoni pizza with mushrooms for pickup")
                await call.say("yes", cycles=2)
                await call.say("yes please")
            [sent] = carrier.taken
            reported = {"MessageSid": "SM1", "AccountSid": ACCOUNT, "ErrorCode": "30007"}
            for status in ("sent", "undelivered", "undelivered"):
                fields = {**reported, "MessageStatus": status}
                await server.twilio.post(sent.content["StatusCallback"], fields)
    store = await SqliteStore.open(path)
    events = await events_of_call(store, relay.fields["CallSid"])
    await store.close()

    assert [event.kind for event in events] == ["message.sent", "message.failed"]
    data = json.loads(events[1].body)["data"]
    assert (data["reason"], data["errorCode"], data["message"]) == ("undelivered", 30007, "SM1")
    assert ADA not in events[1].body


def test_check_tells_what_the_role_needs_for_receivers_on_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:calls.fifo"
    written(tmp_path / "configuration", 1)
    (tmp_path / "configuration" / "receivers.toml").write_text(
        f'[receivers.bus]\nevent_bus = "calls"\n[receivers.topic]\ntopic = "{topic}"\n'
    )
    monkeypatch.setenv("CONFIGURATION", str(tmp_path / "configuration"))  # the command reads it

    status = main(["check"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert [line for line in lines if line.startswith("receiver")] == [
        "receivers of events: bus, topic",
        "receiver bus: the role of the process needs events:PutEvents on calls",
        f"receiver topic: the role of the process needs sns:Publish on {topic}",
    ]


async def test_what_was_given_up_is_listed_and_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the one that is named, and with its id."""
    monkeypatch.setenv("STORE_PATH", str(tmp_path / "agent.db"))  # commands read it
    dead = StoredEvent(
        "CA1", "crm", "evt_1", "call.ended", "1", 1_000.0, "{}", EventState.DEAD, error="status 500"
    )
    store = await SqliteStore.open(tmp_path / "agent.db", now=lambda: 1_001.0)
    now = time()
    fresh = replace(dead, since=now, written_at=now, attempts=14)
    await store.put(fresh.item())
    await store.put(replace(fresh, id="evt_2").item())

    async def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = await asyncio.to_thread(main, ["events", *words])
        return status, capsys.readouterr().out

    other = replace(fresh, id="evt_3", receiver="erp", due_at=now, written_at=now + 1)
    await store.put(other.item())

    waiting = await command("list")
    of_one = await command("list", "--dead", "--receiver", "erp", "--last", "1")
    await store.delete(other.call, other.sk)
    given_up = await command("list", "--dead")
    replayed = await command("replay", "CA1", "--id", "evt_1")
    after = await events_of_call(store, "CA1")
    unnamed = await command("replay")
    unknown = await command("test", "--receiver", "erp")
    await store.close()

    assert waiting == (0, "")
    assert [line.split()[2] for line in of_one[1].splitlines()] == ["evt_3"]
    assert [line.split()[2:8] for line in given_up[1].splitlines()] == [
        [identifier, "CA1", "call.ended", "crm", "dead", "14"] for identifier in ("evt_1", "evt_2")
    ]
    assert "status 500" in given_up[1]
    assert replayed == (0, "1 events wait to be sent again\n")
    assert [(event.id, event.state, event.round) for event in after] == [
        ("evt_1", EventState.WAITING, 1),
        ("evt_2", EventState.DEAD, 0),
    ]
    assert (unnamed[0], unknown[0]) == (1, 1)
