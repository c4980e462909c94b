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

from agent.call.history import CallerSaid, InputMode, Note, Summary
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
from agent.session.call_redaction import CallRedaction, redacted_items
from agent.session.personal_data import delete_personal_data, find_personal_data
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from agent.store.call_state.call_list import CallQuery, search_calls
from agent.store.call_state.history_loader import load_history
from agent.store.call_state.journal import fact_item
from agent.store.memory import MemoryStore
from agent.usecases import UseCase
from agent.usecases.redaction import RedactionOptions, Redactor
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
    left = list(items.values())
    for first in range(0, len(left), 50):
        await asyncio.gather(*(store.put(item) for item in left[first : first + 50]))


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


async def test_a_search_finds_no_value_that_was_redacted(
    stores: Stores, call_sid: str, items: Mapping[Key, Item]
) -> None:
    """Also where the texts of the call were in an index before."""
    await _filled(stores[0], items)

    async def found() -> list[str]:
        async def is_found(text: str) -> bool:
            return bool(await search_calls(stores[0], CallQuery(*_DAY, text=text)))

        return [text for text in (*PLANTED, "garlic knots") if await is_found(text)]

    before = await found()
    await _redaction(stores[0]).redact(call_sid)

    assert {"zelda", "4111", "garlic knots"} <= {*before}
    assert await found() == ["garlic knots"]


async def test_a_process_whose_values_came_second_writes_nothing_else(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    """The placeholders of a call are those of one process."""

    class Second(MemoryStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            if item.get("state") == "begun":
                await super().put_newer({**item, "values": "{}"})
            return await super().put_newer(item, may_wait=may_wait, beside=beside)

    store = Second(lambda: LATER)
    store.restore(items)

    assert await _redaction(store).redact(call_sid) == 60

    kept = {**store.snapshot()}
    own = (call_sid, "redaction")
    assert kept.pop(own)["values"] == "{}"
    assert kept == {key: item for key, item in items.items() if key != own}


async def test_values_that_another_process_has_added_meanwhile_are_looked_at_again(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    """They are dropped by the next look."""

    class Rival(MemoryStore):
        async def put_newer(
            self, item: Item, *, may_wait: bool = False, beside: Sequence[Item] = ()
        ) -> bool:
            if item.get("state") == "done" and item["sequence"] == 2:
                begun = await self.get(call_sid, "redaction") or {}
                await super().put_newer({**begun, "sequence": 2})
            return await super().put_newer(item, may_wait=may_wait, beside=beside)

    store = Rival(lambda: LATER)
    store.restore(items)

    looks = [await _redaction(store).redact(call_sid) for _ in range(2)]

    own = await store.get(call_sid, "redaction") or {}
    assert looks == [60, None]
    assert (own["state"], "values" in own) == ("done", False)


async def test_a_call_without_the_table_stays_as_it_is(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    store = MemoryStore(lambda: LATER)
    store.restore({key: item for key, item in items.items() if key[1] != "redaction"})
    before = store.snapshot()

    assert await _redaction(store).redact(call_sid) is None

    assert store.snapshot() == before


async def test_the_number_that_was_called_is_personal_and_ours_stays() -> None:
    """Of an outbound call."""
    ours = "+15550100000"
    item: Item = {"pk": "CA1", "sk": "connection", "From": ours, "Caller": ours, "To": ZELDA}
    item |= {"Direction": "outbound-api", "outboundUseCase": "shop", "Called": ZELDA}

    [(_, changed)] = redacted_items([item], Redactor())

    assert changed == {"To": "[number 1]", "Called": "[number 1]"}


async def test_what_was_entered_said_by_others_or_stored_by_a_predecessor_is_covered() -> None:
    keys = fact_item("CA1", 1, 0, CallerSaid("7 3 9 2 1", InputMode.KEYPAD), 0, 0)
    note = fact_item("CA1", 1, 1, Note("The caller entered 7 3 9 2 1."), 0, 0)
    summary = fact_item("CA1", 1, 2, Summary("She is at +15557654321.", 0, "code: 73921"), 0, 0)
    chat = {"role": "user", "content": [{"text": "mail ada@example.org"}]}
    old: Item = {"pk": "CA1", "sk": "chat::2", "chat": chat}
    whisper: Item = {"pk": "CA1", "sk": "operator::1", "text": "call 5557654321", "act": "say"}

    changes = redacted_items([keys, note, summary, old, whisper], Redactor())

    said = [change.attributes.get("fact", change.attributes) for change in changes]
    assert [str(each) for each in said if "[" not in str(each)] == []
    assert said[0]["text"] == "[number 1]"  # type: ignore[index]
    assert said[1]["text"] == "The caller entered [number 1]."  # type: ignore[index]
    assert (said[2]["text"], said[2]["facts"]) == ("She is at [number 2].", "code: [number 1]")  # type: ignore[index]
    assert said[3]["chat"]["content"] == [{"text": "mail [e-mail 1]"}]  # type: ignore[index]
    assert said[4] == {"text": "call [number 2]"}


async def test_a_record_that_cannot_be_read_is_deleted() -> None:
    store = MemoryStore(lambda: LATER)
    listed: Item = {"pk": "CA1", "sk": "listing", "reason": "agent_end"}
    own: Item = {"pk": "CA1", "sk": "redaction", "state": "due", "sequence": 0}
    torn: Item = {"pk": "CA1", "sk": "record::000000::000000", "lines": "{Zelda"}
    for item in (listed, own, torn):
        await store.put(item)

    await _redaction(store).redact("CA1")

    assert [item["sk"] for item in await store.query("CA1")] == ["listing", "redaction"]


async def test_a_table_that_fails_while_it_is_planned_is_logged() -> None:
    use_case = UseCase("shop", "Sell.", redaction=RedactionOptions())

    with structlog.testing.capture_logs() as logs:
        await _redaction(_KilledStore(0)).note("CA1", use_case)

    assert [line["event"] for line in logs] == ["redaction.not_planned"]


async def test_a_call_to_which_no_socket_comes_is_redacted_too(
    call_sid: str, items: Mapping[Key, Item]
) -> None:
    """It has the caller's number and profile; nobody tells its end, so it waits four hours."""
    store = MemoryStore(lambda: LATER)
    kept = ("connection", "redaction")
    store.restore({key: item for key, item in items.items() if key[1] in kept})

    early = await _redaction(store).redact(call_sid)
    late = await _redaction(store, NOON + 4 * 3600 + 1).redact(call_sid)

    assert (early, late) == (60, None)
    assert left_in(await store.query(call_sid)) == []
