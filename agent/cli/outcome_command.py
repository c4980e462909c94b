"""The `outcome` command: what calls have yielded, worked out again from the table."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from agent import app
from agent.call.events import EndReason
from agent.cli.command import Commands, positive_whole, quiet_settings
from agent.cli.recorded_calls import checked
from agent.errors import UseCaseError
from agent.observability.recording.transcript import printable
from agent.session.call_manager import CallManager
from agent.session.outcome_of_call import known_outcome
from agent.session.outcome_queue import EndedCall
from agent.store.call_state import call_item
from agent.store.call_state.call_list import LISTING, CallQuery, period_of, search_calls
from agent.store.call_state.history_loader import load_history
from agent.store.call_state.outcome_item import outcome_texts, read_outcome_of
from agent.usecases.outcome_schema import Asked
from agent.usecases.validation import text_in

_LONGEST_CALL = timedelta(hours=1)
_UNFINISHED = {Asked.PENDING, Asked.REFUSED, Asked.FAILED, Asked.LIMITED}


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = "work out what calls have yielded, with the [outcome] of their use cases"
    again = commands.add_parser("outcome", help=purpose, description=purpose)
    which = again.add_mutually_exclusive_group(required=True)
    which.add_argument("call", nargs="?", metavar="CALL", help="the SID of a call, CA...")
    which.add_argument(
        "--since",
        type=checked(period_of),
        metavar="TIME",
        help="the calls of this time that are without an outcome, or whose model could not be"
        " asked: 30m, 2h",
    )
    again.add_argument(
        "--last", type=positive_whole, default=100, metavar="N", help="at most so many (100)"
    )
    again.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    async with app.open_calls(quiet_settings(), makes_table=False) as (calls, _, _):
        if asked.call:
            line = await worked_out(calls, asked.call)
            print(printable(line or f"{asked.call}: there is no such call, or it has no outcome"))
            return 0 if line else 1
        due = await due_calls(calls, asked.since, asked.last)
        lines = [await worked_out(calls, call_sid) for call_sid in due]
    told = [line for line in lines if line]
    print(*map(printable, told), sep="\n", end="\n" if told else "")
    if not told:
        print("no calls", file=sys.stderr)
    return 0


async def due_calls(calls: CallManager, since: timedelta, last: int) -> list[str]:
    """The calls that are over and whose outcome is missing or unfinished, the latest first.

    One whose process was killed is never written down as over, and counts so after an hour.
    """
    store = calls.resources.store
    now = datetime.fromtimestamp(calls.clock(), UTC)
    listed = await search_calls(store, CallQuery(now - since, now, last))
    due = list[str]()
    for call in (each for each in listed if each.reason or now - each.began > _LONGEST_CALL):
        known = await read_outcome_of(store, call.call_sid)
        if known is None or known.asked in _UNFINISHED:
            due.append(call.call_sid)
    return due


async def worked_out(calls: CallManager, call_sid: str) -> str:
    """Work the outcome of a call out again and store it; empty if there is none.

    A call whose process was killed has no reason for its end, and counts as one that was cut off.
    """
    store = calls.resources.store
    item = await store.get(call_sid, call_item.CONNECTION)
    if item is None:
        return ""
    reason = EndReason.ERROR_RELAY
    with suppress(ValueError):
        reason = EndReason(text_in(await store.get(call_sid, LISTING) or {}, "reason"))
    try:
        record = await calls.setup.record_of(item)
        use_case = calls.setup.parse(call_item.record_of_call(record, item))
    except UseCaseError as error:
        return f"{call_sid}; {error}"
    if use_case.outcome is None:
        return ""
    known = known_outcome(use_case, (await load_history(store, call_sid)).facts, reason)
    expire_at = item.get("expireAt")
    until = expire_at if isinstance(expire_at, int) else 0
    outcome = await calls.outcome_queue.finish(EndedCall(call_sid, 0, use_case, known, until))
    return "; ".join([call_sid, *outcome_texts(outcome), f"model {outcome.asked}"])
