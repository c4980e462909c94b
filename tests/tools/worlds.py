"""The table and the calls that tests of tools begin with."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.call.actions import ToolOutcome
from agent.call.messages import ToolCall
from agent.messaging.kept_messages import MemoryMessenger
from agent.ports import Item, Messenger, Store
from agent.store.memory import MemoryStore
from agent.tools import TOOLS, CallContext, CallToolExecutor, IdempotencyStore
from agent.usecases import AudioFile, Profile
from tests.shipped import USE_CASES

ZONE = ZoneInfo("America/Los_Angeles")
TODAY = date(2026, 3, 5)
"""A Thursday."""
AFTERNOON = datetime(2026, 3, 5, 14, 0, tzinfo=ZONE).timestamp()

ADA = "+15550100001"
GRACE = "+15550100002"
RESTAURANT = "+15550100099"
CALL_ID = "CA00000000000000000000000000001234"


def record(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "use-case.toml").read_text())


class DistantStore(MemoryStore):
    """A table that yields before it answers, so that concurrent tools interleave."""

    async def get(self, pk: str, sk: str) -> Item | None:
        await asyncio.sleep(0)
        return await super().get(pk, sk)

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        await asyncio.sleep(0)
        return await super().put(item, only_if_absent=only_if_absent, beside=beside)

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        await asyncio.sleep(0)
        return await super().put_newer(item, may_wait=may_wait, beside=beside)

    async def move(self, pk: str, sk: str, item: Item, *, beside: Sequence[Item] = ()) -> bool:
        await asyncio.sleep(0)
        return await super().move(pk, sk, item, beside=beside)


async def seeded() -> MemoryStore:
    """The table with the items of every use case, as of `TODAY`."""
    store = DistantStore()
    for folder in USE_CASES:
        await store.put({
            "pk": folder.name, "sk": "configuration", "pk1": "use-case", "sk1": folder.name,
        })  # fmt: skip
        if (file := folder / "items.json").exists():
            text = re.sub(r"<<DAY\+(\d+)>>", _day, file.read_text())
            for item in json.loads(text):
                await store.put({k: v for k, v in item.items() if k != "onlyUnlessIndexed"})
    return store


def _day(found: re.Match[str]) -> str:
    return str(TODAY + timedelta(days=int(found[1])))


async def contents(store: MemoryStore) -> list[Item]:
    """All items tools may write: the caller's, the call's, and the free slots.

    Without the owners of idempotency records, which are random.
    """
    partitions = (ADA, CALL_ID, "availableApartmentAppointments")
    items = [item for pk in partitions for item in await store.query(pk)]
    return [{key: item[key] for key in item if key != "owner"} for item in items]


def call_of(
    store: Store,
    *,
    caller: str = ADA,
    call_id: str = CALL_ID,
    use_case: str = "restaurantOrderingUseCase",
    at: float = AFTERNOON,
    language: str = "en-US",
    languages: tuple[str, ...] = (),
    messenger: Messenger | None = None,
    profile: Profile | None = None,
    to: str = RESTAURANT,
) -> CallContext:
    """A call in which tools run."""
    return CallContext(
        call_id=call_id,
        caller=caller,
        to=to,
        use_case=use_case,
        profile=profile or Profile(caller),
        store=store,
        idempotency=IdempotencyStore(store, call_id, lambda: at),
        messenger=messenger or MemoryMessenger(),
        clock=lambda: at,
        time_zone=ZONE,
        language=language,
        languages=languages,
        audio={"jingle": AudioFile("https://a.example/j.mp3", 4)},
    )


async def run(call: CallContext, name: str, **arguments: object) -> ToolOutcome:
    """Run a tool by name with JSON arguments."""
    used = ToolCall("call00001", name, json.dumps(arguments))
    return await CallToolExecutor(TOOLS, call).run(used)


async def told(call: CallContext, name: str, **arguments: object) -> Any:
    """The result of a tool that must not fail."""
    outcome = await run(call, name, **arguments)
    assert not outcome.is_error, outcome.content
    return json.loads(outcome.content)


async def refused(call: CallContext, name: str, **arguments: object) -> str:
    """The error of a tool that must fail."""
    outcome = await run(call, name, **arguments)
    assert outcome.is_error, outcome.content
    return str(json.loads(outcome.content)["error"])
