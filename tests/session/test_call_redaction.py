"""After a call of a use case with `[redaction]`, no personal value is left in what the call has.

The calls are those of the whole service on virtual time: what it writes tomorrow is covered too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from agent.call.history import CallerSaid
from agent.cli.evaluation.hosted_service import SETTINGS, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.cli.recorded_calls import shown
from agent.errors import StoreError
from agent.events.outbox import EventState, StoredEvent, stored_event
from agent.observability.recording.serialization import facts_of, read_record
from agent.ports import Item, Key, Store
from agent.scenarios.scenario_files import read_file
from agent.scenarios.scenario_player import play
from agent.scenarios.timing import ORDINARY
from agent.session.call_redaction import CallRedaction
from agent.session.personal_data import delete_personal_data, find_personal_data
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from agent.store.call_state.call_list import CallQuery, search_calls
from agent.store.call_state.history_loader import load_history
from agent.store.memory import MemoryStore
from tests.fakes import Clock
from tests.stores import Stores

ZELDA = "+15557654321"
NOON = 1_772_625_600.0  # of the virtual day
LATER = NOON + 3_600
KEPT = 7 * 86_400
_DAY = (datetime.fromtimestamp(NOON - 86_400, UTC), datetime.fromtimestamp(NOON + 86_400, UTC))
SCENARIO = """
use_case: restaurantOrderingUseCase
caller:
  number: "{number}"
  profile: {firstName: Zelda, lastName: Quine, email: zelda.q@example.com}
items:
  - {pk: restaurantOrderingUseCase, sk: configuration, redaction: {}}
steps:
  - says: two garlic knots to be delivered please, this is Zelda Quine
  - says: 12 Elm Tree Street in Port Azure
  - says: "yes"
  - interrupts: {words: my number is 555 201, after_words: 2}
  - says: 3344 and my mail is z e l d a dot q at example dot com
  - loses_line: "64105"
  - says: five five five two oh one double three four four
  - says: the card is 4111 1111 1111 1111, not 5500
  - says: no thanks, bye
"""
PLANTED = (
    "zelda", "quine", "elm tree", "azure", "555 201", "3344", "z e l d a", "five five",
    "4111", "7654321", "double three",
)  # fmt: skip


async def _led(folder: Path) -> tuple[str, Mapping[Key, Item]]:
    path = folder / "call.yaml"
    path.write_text(SCENARIO.replace("{number}", ZELDA), encoding="utf-8")
    [scenario] = read_file(path)
    async with hosted(
        Settings.read({**SETTINGS, "RECORD_CALLS": "true"}), Pace(is_virtual=True)
    ) as service:
        service.pace.begin(scenario, ORDINARY)
        run = await play(scenario, service.twilio, ORDINARY, service)
        assert run.failures == []
        [lead] = await service.store.query(f"calls::{ZELDA}")
        return str(lead["callSid"]), service.store.snapshot()


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Mapping[Key, Item]]:
    """The SID of a call, and the table after it."""
    return run_virtually(_led(tmp_path_factory.mktemp("scenario")))


@pytest.fixture
def call_sid(call: tuple[str, Mapping[Key, Item]]) -> str:
    return call[0]


@pytest.fixture
def items(call: tuple[str, Mapping[Key, Item]]) -> Mapping[Key, Item]:
    return call[1]


@pytest.fixture
def stores_clock() -> Clock:
    return Clock(LATER)


async def _filled(store: Store, items: Mapping[Key, Item]) -> None:
    await asyncio.gather(*(store.put(item) for item in items.values()))


def _redaction(store: Store, now: float = LATER) -> CallRedaction:
    return CallRedaction(store, lambda: now, KEPT)


def left_in(items: Sequence[Item]) -> list[str]:
    text = json.dumps(items, default=str).casefold()
    return [word for word in PLANTED if word in text]


def _event(call_sid: str, state: EventState, receiver: str) -> StoredEvent:
    body = json.dumps({"id": "evt_1", "type": "order.placed", "data": {"caller": ZELDA}})
    return StoredEvent(
        call=call_sid, receiver=receiver, id="evt_1", kind="order.placed", order="0001772625600001",
        written_at=NOON, body=body, state=state, due_at=LATER + 300, since=NOON,
    )  # fmt: skip


async def test_no_planted_value_is_left_in_what_the_call_has(
    stores: Stores, call_sid: str, items: Mapping[Key, Item]
) -> None:
    """And what it does not have is as before: the profile, the order, the use case."""
    await _filled(stores[0], items)
    before = await stores[0].query(call_sid)

    with structlog.testing.capture_logs() as logs:
        again = await _redaction(stores[0]).redact(call_sid)

    kept = await stores[1].query(call_sid)
    assert left_in(before) == list(PLANTED)
    assert left_in(kept) == []
    assert again is None
    assert [(line["event"], ZELDA in str(line)) for line in logs] == [("call.redacted", False)]
    others = {key: item for key, item in items.items() if key[0] != call_sid}
    found = {key: await stores[1].get(*key) for key in others}
    assert found == others


async def test_what_is_shown_of_a_redacted_call_has_placeholders_and_its_times(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    store = MemoryStore(lambda: LATER)
    store.restore(items)

    await _redaction(store).redact(call_sid)

    text = await shown(store, call_sid) or ""
    form = json.loads(await shown(store, call_sid, for_machines=True) or "{}")
    assert "redacted: placeholders stand for personal values" in text
    assert form["redacted"] is True
    assert "two garlic knots to be delivered please, this is [name 1] [name 2]" in text
    assert "[address 1]" in text
    assert "the card is [card 1], not 5500" in text
    assert "(first text after" in text
    lines = await read_record(store, call_sid)
    facts = [fact for line in lines for fact, _ in facts_of(line).values()]
    assert len(lines) == 2
    assert [line.is_torn for line in lines] == [False, False]
    loaded = await load_history(store, call_sid)
    assert loaded.repairs == []
    assert [fact for fact in loaded.facts if fact not in facts] == []


async def test_one_value_has_one_placeholder_in_all_its_forms(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    store = MemoryStore(lambda: LATER)
    store.restore(items)

    await _redaction(store).redact(call_sid)

    loaded = await load_history(store, call_sid)
    said = [fact.text for fact in loaded.facts if isinstance(fact, CallerSaid)]
    assert [text for text in said if "number" in text] == [
        "my number is [number 2]", "[number 2] and my mail is [e-mail 1]", "[number 2]",
    ]  # fmt: skip


async def test_a_second_run_changes_nothing(
    stores: Stores, call_sid: str, items: Mapping[Key, Item]
) -> None:
    await _filled(stores[0], items)
    await _redaction(stores[0]).redact(call_sid)
    first = await stores[0].query(call_sid)

    assert await _redaction(stores[1], LATER + 90).redact(call_sid) is None

    assert await stores[0].query(call_sid) == first


class _KilledStore(MemoryStore):
    """A table whose process is killed at one of its writes, which is not carried out."""

    def __init__(self, left: int) -> None:
        super().__init__(lambda: LATER)
        self.left = left

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("killed")

    async def put_newer(
        self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        self._count()
        return await super().put_newer(item, may_wait=may_wait, beside=beside)

    async def merge(self, pk: str, sk: str, attributes: Mapping[str, object]) -> None:
        self._count()
        await super().merge(pk, sk, attributes)


def _timeless(items: Mapping[Key, Item]) -> dict[Key, Item]:
    """Items without what a further write of the same content changes."""
    own = ("sequence", "atMs")
    return {
        key: {name: item[name] for name in item if name not in own} for key, item in items.items()
    }


async def test_a_process_that_is_killed_at_any_write_leaves_what_the_next_one_completes(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    """With the same placeholders, as if it had not been killed."""
    whole = MemoryStore(lambda: LATER)
    whole.restore(items)
    await _redaction(whole).redact(call_sid)
    writes, is_over = 0, False

    while not is_over:
        store = _KilledStore(writes)
        store.restore(items)
        try:
            await _redaction(store).redact(call_sid)
            is_over = True
        except StoreError:
            store.left = 10_000
            await _redaction(store).redact(call_sid)
        assert _timeless(store.snapshot()) == _timeless(whole.snapshot())
        writes += 1

    assert writes > 20


async def test_two_processes_at_the_same_time_leave_one_result(
    stores: Stores, call_sid: str, items: Mapping[Key, Item]
) -> None:
    await _filled(stores[0], items)

    await asyncio.gather(*(_redaction(store).redact(call_sid) for store in stores))

    for store in stores:
        await _redaction(store).redact(call_sid)
    kept = await stores[0].query(call_sid)
    assert left_in(kept) == []
    assert [item["state"] for item in kept if item["sk"] == "redaction"] == ["done"]


@pytest.mark.parametrize(
    "unfinished",
    [
        {"sk": "listing", "reason": ""},
        {"sk": "outcome", "asked": "pending", "sequence": int(LATER * 1000)},
    ],
)
async def test_a_call_that_is_not_over_or_has_no_outcome_yet_waits(
    call_sid: str, items: Mapping[Key, Item], unfinished: Item
) -> None:
    store = MemoryStore(lambda: LATER)
    store.restore(items)
    await store.merge(call_sid, str(unfinished["sk"]), unfinished)
    before = store.snapshot()

    again = await _redaction(store).redact(call_sid)

    assert again == 60
    assert store.snapshot() == before


async def test_an_event_that_waits_is_delivered_whole_and_redacted_then(
    stores: Stores, call_sid: str, items: Mapping[Key, Item]
) -> None:
    """The values are kept for that long, and no longer."""
    await _filled(stores[0], items)
    waiting, dead = (
        _event(call_sid, EventState.WAITING, "shop"), _event(call_sid, EventState.DEAD, "till"),
    )  # fmt: skip
    for event in (waiting, dead):
        await stores[0].put(event.item())

    again = await _redaction(stores[0]).redact(call_sid)
    held = await stores[0].query(call_sid, "event::")
    values = await stores[0].get(call_sid, "redaction") or {}
    await stores[0].put_newer(_event(call_sid, EventState.DELIVERED, "shop").item())
    last = await _redaction(stores[1]).redact(call_sid)

    bodies = {event.receiver: event.body for event in map(stored_event, held)}
    assert again == 300
    assert bodies["shop"] == waiting.body
    assert json.loads(bodies["till"])["data"] == {"caller": "[number 1]"}
    assert ZELDA[-10:] in str(values["values"])
    assert last is None
    kept = await stores[0].query(call_sid)
    assert left_in(kept) == []
    assert [item["state"] for item in kept if "state" in item and "receiver" in item] == [
        "delivered", "dead",
    ]  # fmt: skip


async def test_an_event_that_nobody_sends_is_redacted_after_a_day(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    store = MemoryStore(lambda: LATER)
    store.restore(items)
    await store.put(_event(call_sid, EventState.WAITING, "shop").item())

    assert await _redaction(store, NOON + 26 * 3_600).redact(call_sid) is None

    assert left_in(await store.query(call_sid)) == []


async def test_a_redacted_call_is_still_found_and_forgotten_by_its_number(
    stores: Stores, call_sid: str, items: Mapping[Key, Item], stores_clock: Clock
) -> None:
    await _filled(stores[0], items)
    await _redaction(stores[0]).redact(call_sid)

    query = CallQuery(*_DAY, caller=ZELDA)
    listed = await search_calls(stores[1], query)
    unasked = await search_calls(stores[1], CallQuery(*_DAY))
    stores_clock.seconds = NOON + 2 * 86_400
    data = await find_personal_data(stores[1], ZELDA)
    deletion = await delete_personal_data(stores[1], data, NOON + 40 * 3_600)

    assert [each.call_sid for each in listed] == [call_sid]
    assert [each.caller for each in unasked] == ["[number 1]"]
    assert deletion.kept == []
    assert await stores[0].query(call_sid) == []


async def test_a_call_that_is_forgotten_meanwhile_leaves_nothing(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    """Nothing that was deleted is written again."""

    class Forgetting(MemoryStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            if item.get("state") == "begun":
                for each in await self.query(call_sid):
                    await self.delete(call_sid, str(each["sk"]))
            return await super().put_newer(item, may_wait=may_wait, beside=beside)

    store = Forgetting(lambda: LATER)
    store.restore(items)

    assert await _redaction(store).redact(call_sid) is None

    assert await store.query(call_sid) == []


async def test_a_call_without_the_table_stays_as_it_is(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    store = MemoryStore(lambda: LATER)
    store.restore({key: item for key, item in items.items() if key[1] != "redaction"})
    before = store.snapshot()

    assert await _redaction(store).redact(call_sid) is None

    assert store.snapshot() == before
