"""The `events` command: what waits in the outbox, what was given up, and sending it again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime
from time import time

from agent import app
from agent.cli.command import Commands, OptionError, positive_whole, quiet_settings
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


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "list events to receivers, send them again, or try a receiver"
    events = commands.add_parser("events", help=purpose, description=purpose)
    events.add_argument(
        "action",
        choices=list(_ACTIONS),
        help="list: those that wait, or all of CALL; replay: have a running service send those of"
        " CALL or --dead again, with the same ids; test: send a test event to a receiver now, and"
        " print what it answered",
    )
    events.add_argument("call", nargs="?", default="", metavar="CALL", help="the SID of a call")
    events.add_argument("--dead", action="store_true", help="those that were given up")
    events.add_argument("--id", default="", metavar="ID", help="only the event with this id")
    events.add_argument(
        "--receiver", default="", metavar="NAME", help="only of this one of receivers.toml"
    )
    events.add_argument(
        "--last", type=positive_whole, default=100, metavar="N", help="at most so many (100)"
    )
    events.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    return await _ACTIONS[asked.action](asked)


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
        raise OptionError("replay: needs CALL or --dead")
    async with app.open_calls(quiet_settings(), makes_table=False) as (_, store, _):
        found = await chosen_events(store, asked)
        sent = await replay_events(store, found, time())
    print(f"{sent} events wait to be sent again")
    return 0 if sent else 1


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
        return 1
    identifier, now = f"evt_test_{int(time())}", time()
    async with app.open_event_senders(settings) as sender_of:
        try:
            body = body_of(identifier, TEST_KIND, now, {})
            await sender_of(receiver).send(receiver, identifier, body)
        except DeliveryError as error:
            print(printable(f"{receiver.name}: {error}"), file=sys.stderr)
            return 1
    print(f"{receiver.name}: delivered {identifier}")
    return 0


_ACTIONS = {"list": _list, "replay": _replay, "test": _test}


async def chosen_events(store: Store, asked: argparse.Namespace) -> list[StoredEvent]:
    """The events that the options name, in the order in which they were written."""
    if asked.call:
        found = await events_of_call(store, asked.call, asked.receiver)
    else:
        found = list[StoredEvent]()
        state = EventState.DEAD if asked.dead else EventState.WAITING
        is_chosen = asked.receiver or asked.id  # among all, then
        for shard in range(SHARDS):
            items = await store.query_index(
                index_key(state, shard), first=0 if is_chosen else asked.last
            )
            found += map(stored_event, items)
    return sorted(
        (
            event
            for event in found
            if asked.receiver in {"", event.receiver}
            and asked.id in {"", event.id}
            and (not asked.dead or event.state is EventState.DEAD)
        ),
        key=lambda event: event.written_at,
    )[: asked.last]


async def replay_events(store: Store, events: Iterable[StoredEvent], now: float) -> int:
    """Have events sent again; how many. Raises `StoreError`; those before it will be sent."""
    written = [await store.put_newer(event.again(now).item()) for event in events]
    return sum(written)
