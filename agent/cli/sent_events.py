"""The `events` command: what waits in the outbox, what was given up, and sending it again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime
from time import time

from agent import app
from agent.cli.command import Commands, positive_whole, quiet_settings
from agent.events.outbox import (
    SHARDS,
    EventState,
    StoredEvent,
    body_of,
    events_of_call,
    index_key,
    stored_event,
)
from agent.events.webhooks import DeliveryError
from agent.observability.recording.transcript import printable
from agent.ports import Store
from agent.usecases.receivers import RECEIVERS_KEY, receivers_of

TEST_KIND = "events.test"
_FAILED, _NONE = 1, 1


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "list, repeat and try events to the receivers of receivers.toml"
    events = commands.add_parser("events", help=purpose, description=purpose)
    actions = events.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="print events; without CALL those that wait")
    listing.add_argument("call", nargs="?", default="", metavar="CALL", help="all of this call")
    _add_choice(listing, "those that were given up")
    listing.set_defaults(run=_list)

    replaying = actions.add_parser(
        "replay", help="send events again, with the same ids; a running service does it"
    )
    replaying.add_argument(
        "call", nargs="?", default="", metavar="CALL", help="all of this call, delivered or not"
    )
    replaying.add_argument("--id", default="", metavar="ID", help="with CALL: only this event")
    _add_choice(replaying, "all that were given up")
    replaying.set_defaults(run=_replay)

    testing = actions.add_parser("test", help="send a test event now, and print what was answered")
    testing.add_argument("receiver", metavar="RECEIVER", help="a name in receivers.toml")
    testing.set_defaults(run=_test)


def _add_choice(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument("--dead", action="store_true", help=meaning)
    parser.add_argument("--receiver", default="", metavar="NAME", help="only of this receiver")
    parser.add_argument(
        "--last", type=positive_whole, default=100, metavar="N", help="at most so many (100)"
    )


async def _list(asked: argparse.Namespace) -> int:
    settings = quiet_settings()
    async with app.open_calls(settings, makes_table=False) as (_, store, _):
        found = await chosen_events(store, asked)
    for event in found:
        at = datetime.fromtimestamp(event.written_at, settings.time_zone)
        due = datetime.fromtimestamp(event.due_at, settings.time_zone)
        fields = (
            f"{at:%Y-%m-%d %H:%M:%S}  {event.id}  {event.call}  {event.kind:16}"
            f" {event.receiver:16} {event.state:9} {event.attempts:>2}"
        )
        is_late = event.state is EventState.WAITING and event.attempts
        next_one = f"next {due:%H:%M:%S}  " if is_late else ""
        print(printable(f"{fields}  {next_one}{event.error}".rstrip()))
    if not found:
        print("no events", file=sys.stderr)
    return 0


async def _replay(asked: argparse.Namespace) -> int:
    if not (asked.call or asked.dead):
        print("name a call, or --dead", file=sys.stderr)
        return _NONE
    async with app.open_calls(quiet_settings(), makes_table=False) as (_, store, _):
        found = await chosen_events(store, asked)
        sent = await replay_events(store, found, time())
    print(f"{sent} events wait to be sent again")
    return 0 if sent else _NONE


async def _test(asked: argparse.Namespace) -> int:
    settings = quiet_settings()
    async with app.open_calls(settings, makes_table=False) as (_, store, _):
        receivers = {each.name: each for each in receivers_of(await store.get(*RECEIVERS_KEY))}
    receiver = receivers.get(asked.receiver)
    if receiver is None:
        there = ", ".join(receivers) or "none"
        print(
            f"{asked.receiver}: there is no such receiver; in the table: {there}", file=sys.stderr
        )
        return _FAILED
    identifier, now = f"evt_test_{int(time())}", time()
    async with app.open_event_senders(settings) as sender_of:
        try:
            body = body_of(identifier, TEST_KIND, now, {})
            await sender_of(receiver).send(receiver, identifier, body)
        except DeliveryError as error:
            print(printable(f"{receiver.name}: {error}"), file=sys.stderr)
            return _FAILED
    print(f"{receiver.name}: delivered {identifier}")
    return 0


async def chosen_events(store: Store, asked: argparse.Namespace) -> list[StoredEvent]:
    """The events that the options name, in the order in which they were written."""
    if asked.call:
        found = await events_of_call(store, asked.call, asked.receiver)
    else:
        found = list[StoredEvent]()
        state = EventState.DEAD if asked.dead else EventState.WAITING
        for shard in range(SHARDS):
            items = await store.query_index(index_key(state, shard), first=asked.last)
            found += map(stored_event, items)
    wanted = getattr(asked, "id", "")
    return sorted(
        (
            event
            for event in found
            if asked.receiver in {"", event.receiver}
            and wanted in {"", event.id}
            and (not asked.dead or event.state is EventState.DEAD)
        ),
        key=lambda event: event.written_at,
    )[: asked.last]


async def replay_events(store: Store, events: Iterable[StoredEvent], now: float) -> int:
    """Have events sent again; how many. Raises `StoreError`; those before it will be sent."""
    written = [await store.put_newer(event.again(now).item()) for event in events]
    return sum(written)
