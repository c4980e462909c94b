"""Versions of a use case: stored, tried on some callers, rolled back to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import StoreError, UseCaseError
from agent.ports import Item, Store
from agent.store.memory import MemoryStore
from agent.store.sqlite import SqliteStore
from agent.usecases.record import use_cases
from agent.usecases.versions import (
    CurrentVersion,
    Versions,
    as_record,
    canary_in_progress,
    canary_version,
    intact_version,
    version_key,
)

NAME = "flatsUseCase"
NOW = datetime(2026, 3, 5, 18, 40, tzinfo=UTC)
CALLERS = [f"+1555{number:07d}" for number in range(1_500)]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    in_memory = request.param == "memory"
    opened = MemoryStore() if in_memory else await SqliteStore.open(tmp_path / "agent.db")
    yield opened
    await opened.close()


def record(prompt: str) -> Item:
    keys = {"pk": NAME, "sk": "configuration", "pk1": "use-case", "sk1": NAME}
    return {**keys, "prompt": prompt, "topP": 1.0}


def of(store: Store, *, dry_run: bool = False) -> Versions:
    return Versions(store, NAME, NOW, dry_run)


async def current(store: Store) -> Item:
    item = await store.get(NAME, "configuration")
    assert item is not None
    return item


async def prompt_in_force(store: Store) -> object:
    return (await current(store))["prompt"]


async def numbers(store: Store) -> list[object]:
    return [item["version"] for item in await store.query(NAME, "version::")]


async def test_a_record_and_its_version_have_one_content(store: Store) -> None:
    """The version is not in the index."""
    told = await of(store).publish(record("A"))

    there = await current(store)
    digest = there["versionDigest"]
    assert told == CurrentVersion(1)
    assert there == {**record("A"), "version": 1, "versionDigest": digest}
    assert await store.query(NAME, "version::") == [
        {
            "pk": NAME,
            "sk": "version::000001",
            "prompt": "A",
            "topP": 1.0,
            "version": 1,
            "versionDigest": digest,
            "createdAt": "2026-03-05T18:40:00+00:00",
            "previous": 0,
        }
    ]
    assert await use_cases(store) == [(NAME, "", "")]


async def test_equal_content_is_the_same_version(store: Store) -> None:
    """Seeding again without a change writes no version; a change taken back can be made again."""
    told = [await of(store).publish(record(prompt)) for prompt in "AAB"]
    await of(store).roll_back()

    assert [each.version for each in told] == [1, 1, 2]
    assert await of(store).publish(record("B")) == CurrentVersion(2)
    assert await numbers(store) == [1, 2]


async def test_rolling_back_goes_further_each_time(store: Store) -> None:
    """Also if the same content was in force twice; the first version is the last step."""
    for prompt in "ABAC":
        await of(store).publish(record(prompt))

    back = []
    for _ in range(3):
        await of(store).roll_back()
        back.append(await prompt_in_force(store))

    assert back == ["A", "B", "A"]
    with pytest.raises(UseCaseError, match=r"^flatsUseCase: there is no version to go back to$"):
        await of(store).roll_back()
    assert await prompt_in_force(store) == "A"


async def test_any_version_can_be_named(store: Store) -> None:
    """An older or a newer one, and no other."""
    for prompt in "ABC":
        await of(store).publish(record(prompt))

    await of(store).roll_back(1)
    told = await of(store).roll_back(3)

    assert told == CurrentVersion(3)
    assert await prompt_in_force(store) == "C"
    for never in (0, 4, -1):
        with pytest.raises(UseCaseError, match=rf"^flatsUseCase: there is no version {never}$"):
            await of(store).roll_back(never)


async def test_rolling_back_an_edit_undoes_it(store: Store) -> None:
    """Its number brings it back."""
    await of(store).publish(record("A"))
    await store.merge(NAME, "configuration", {"prompt": "typed"})

    undone = await of(store).roll_back()
    again = await of(store).roll_back(2)

    assert (undone, again) == (CurrentVersion(1), CurrentVersion(2))
    assert await prompt_in_force(store) == "typed"


async def test_a_record_loaded_by_other_means_comes_after_the_last_version(store: Store) -> None:
    """The predecessor's loaders replace the record whole, numbers and all."""
    await of(store).publish(record("A"))
    await store.put(record("loaded"))

    seeded = await of(store).publish(record("B"))
    back = [await of(store).roll_back(), await of(store).roll_back()]

    assert (seeded, back) == (CurrentVersion(3), [CurrentVersion(2), CurrentVersion(1)])
    assert await prompt_in_force(store) == "A"


async def test_a_canary_leaves_the_record_as_it_is(store: Store) -> None:
    """The present version answers the other callers, until all get a named one."""
    await of(store).publish(record("A"))
    before = await current(store)

    assert await of(store).try_out(record("B"), 10) == CurrentVersion(1, 2, 10)

    assert await current(store) == {**before, "canary": {"version": 2, "percent": 10}}
    assert (await store.get(*version_key(NAME, 2)) or {})["prompt"] == "B"
    assert await of(store).roll_back(2) == CurrentVersion(2)
    assert "canary" not in await current(store)


async def test_a_canary_needs_another_record(store: Store) -> None:
    """With other content."""
    with pytest.raises(UseCaseError, match=r"^flatsUseCase: there is no such use case$"):
        await of(store).try_out(record("A"), 10)
    await of(store).publish(record("A"))

    with pytest.raises(UseCaseError, match=r"canary: all callers get this content already$"):
        await of(store).try_out(record("A"), 10)


async def test_a_dry_run_returns_the_numbers_and_writes_nothing(store: Store) -> None:
    """Also if the record has to be stored first."""
    await of(store).publish(record("A"))
    await store.merge(NAME, "configuration", {"prompt": "typed"})
    before = await store.query(NAME)
    dry = of(store, dry_run=True)

    told = [
        await dry.publish(record("B")),
        await dry.publish(record("typed")),
        await dry.try_out(record("B"), 5),
        await dry.roll_back(),
        await dry.roll_back(2),
        await dry.end_canary(),
    ]

    assert told == [
        CurrentVersion(3), CurrentVersion(2), CurrentVersion(2, 3, 5), CurrentVersion(1),
        CurrentVersion(2), CurrentVersion(2),
    ]  # fmt: skip
    assert await store.query(NAME) == before


async def test_concurrent_seeds_all_keep_their_version(tmp_path: Path) -> None:
    """Each gets a number of its own; the record is one of them."""
    path = tmp_path / "agent.db"
    stores = [await SqliteStore.open(path) for _ in range(4)]

    async with asyncio.TaskGroup() as seeds:
        for number, each in enumerate(stores):
            seeds.create_task(of(each).publish(record(f"{number}")), name=f"seed {number}")

    kept = await stores[0].query(NAME, "version::")
    there = await current(stores[0])
    assert await numbers(stores[0]) == [1, 2, 3, 4]
    assert sorted(str(item["prompt"]) for item in kept) == ["0", "1", "2", "3"]
    assert as_record(kept[intact_version(there) - 1]) == there
    for each in stores:
        await each.close()


class CrowdedStore(MemoryStore):
    """Every number is always taken."""

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        return not only_if_absent and await super().put(item, beside=beside)


async def test_seeding_gives_up_if_every_number_is_taken() -> None:
    """Nothing is written."""
    store = CrowdedStore()
    with pytest.raises(StoreError, match=r"^flatsUseCase: too many others are seeding it$"):
        await of(store).publish(record("A"))
    assert await store.query(NAME) == []


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "edited"},
        {"liveEdits": True},
        {"phrases": {"goodbye": "Bye."}},
        {"topP": 0.5},
        {"topP": "1"},
        {"version": 2, "prompt": "B"},
        {"version": None},
        {"versionDigest": None},
    ],
)
async def test_a_record_that_was_edited_is_no_version(change: Item) -> None:
    """Any change of its content counts, and none of its bookkeeping."""
    store = MemoryStore()
    await of(store).publish(record("A"))
    there = await current(store)

    assert intact_version(there) == 1
    assert intact_version({**there, "canary": {"version": 2, "percent": 5}, "pk1": "x"}) == 1
    assert intact_version({**there, **change}) == 0
    assert intact_version(record("A")) == 0


async def test_numbers_of_dynamodb_are_the_same_content() -> None:
    """It returns `Decimal`, and 1 for 1.0."""
    store = MemoryStore()
    await of(store).publish({**record("A"), "temperature": 0.3, "phrases": [{"n": 2.0}, True]})
    numbers = {"topP": Decimal("1"), "temperature": Decimal("0.3"), "version": Decimal("1")}

    there = {**await current(store), **numbers, "phrases": [{"n": Decimal("2")}, True]}
    assert intact_version(there) == 1


@pytest.mark.parametrize(
    ("canary", "number"),
    [
        ({"version": 7, "percent": 1}, 7),
        ({"version": Decimal("7"), "percent": Decimal("1")}, 7),
        ({"version": 7, "percent": 0}, 0),
        ({"version": 7}, 0),
        ("7", 0),
        (None, 0),
    ],
)
def test_a_canary_in_progress_has_a_number(canary: object, number: int) -> None:
    """One with a share of 0, or one that cannot be read, is none."""
    assert canary_in_progress({"pk": NAME, "canary": canary}) == number


def share(version: int, percent: int, name: str = NAME) -> set[str]:
    tried = {"pk": name, "canary": {"version": version, "percent": percent}}
    return {caller for caller in CALLERS if canary_version(tried, caller) == version}


@settings(max_examples=60)
@given(version=st.integers(1, 50), percent=st.integers(1, 99))
def test_a_canary_answers_its_share_of_callers(version: int, percent: int) -> None:
    """Near the percentage over many callers (four standard deviations), the same ones each time."""
    expected = len(CALLERS) * percent / 100
    deviation = (expected * (1 - percent / 100)) ** 0.5

    inside = share(version, percent)

    assert abs(len(inside) - expected) <= max(4 * deviation, 20)
    assert share(version, percent) == inside


@given(
    caller=st.text(min_size=1, max_size=20),
    version=st.integers(1, 50),
    low=st.integers(0, 99),
    high=st.integers(0, 99),
)
def test_a_greater_share_keeps_every_caller(caller: str, version: int, low: int, high: int) -> None:
    """A caller of the canary stays with it."""
    low, high = sorted((low, high))
    at_low = canary_version({"pk": NAME, "canary": {"version": version, "percent": low}}, caller)
    at_high = canary_version({"pk": NAME, "canary": {"version": version, "percent": high}}, caller)

    assert at_low in {0, at_high}


def test_each_canary_has_its_own_callers() -> None:
    """Other versions have other callers; an unrecognised caller never has one."""
    everybody = {"pk": NAME, "canary": {"version": 2, "percent": 99}}

    assert share(2, 10) != share(3, 10)
    assert share(2, 10) != share(2, 10, "pizzaUseCase")
    assert canary_version(everybody, "") == 0
    assert canary_version({"pk": NAME}, "+15550100001") == 0


@dataclass
class Expected:
    """The contents in force so far, each after the previous one."""

    in_force: list[str] = field(default_factory=list)
    edit: str = ""
    """Written into the record and not stored as a version yet."""
    canary: str = ""

    def keep(self) -> None:
        if self.edit and self.edit != self.in_force[-1]:
            self.in_force.append(self.edit)
        self.edit = ""

    @property
    def now(self) -> str:
        return self.edit or self.in_force[-1]


contents = st.sampled_from("ABC")


class Operators(RuleBasedStateMachine):
    """Operators who seed, try, roll back and edit the table, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.expected = Expected()
        self.kept: dict[str, Item] = {}

    @rule(content=contents)
    def seed(self, content: str) -> None:
        asyncio.run(of(self.store).publish(record(content)))

        self.expected.keep()
        if self.expected.in_force[-1:] != [content]:
            self.expected.in_force.append(content)
        self.expected.canary = ""

    @precondition(lambda self: self.expected.in_force)
    @rule(content=contents)
    def edit(self, content: str) -> None:
        asyncio.run(self.store.merge(NAME, "configuration", {"prompt": content}))

        self.expected.edit = content

    @precondition(lambda self: self.expected.in_force)
    @rule(content=contents, percent=st.integers(1, 99))
    def try_out(self, content: str, percent: int) -> None:
        is_new = content != self.expected.now
        try:
            asyncio.run(of(self.store).try_out(record(content), percent))
        except UseCaseError:
            assert not is_new
            return

        assert is_new
        self.expected.keep()
        self.expected.canary = content

    @precondition(lambda self: self.expected.in_force)
    @rule()
    def end_canary(self) -> None:
        asyncio.run(of(self.store).end_canary())

        self.expected.keep()
        self.expected.canary = ""

    @precondition(lambda self: self.expected.in_force)
    @rule()
    def roll_back(self) -> None:
        had_canary = self.expected.canary
        try:
            asyncio.run(of(self.store).roll_back())
        except UseCaseError:
            assert not had_canary
            assert self.expected.now == self.expected.in_force[0]
            assert len(self.expected.in_force) == 1
            return

        self.expected.keep()
        self.expected.canary = ""
        if not had_canary:
            self.expected.in_force.pop()
            assert self.expected.in_force

    @invariant()
    def the_record_is_what_was_promised(self) -> None:
        there = asyncio.run(self.store.get(NAME, "configuration"))
        if there is None:
            assert not self.expected.in_force
            return
        number = canary_in_progress(there)
        tried = asyncio.run(self.store.get(*version_key(NAME, number))) or {}
        assert (there["prompt"], tried.get("prompt", "")) == (
            self.expected.now,
            self.expected.canary,
        )
        if not self.expected.edit:
            version = asyncio.run(self.store.get(*version_key(NAME, intact_version(there))))
            assert version is not None
            assert {**as_record(version), "canary": 0} == {**there, "canary": 0}

    @invariant()
    def versions_are_numbered_without_gaps_and_never_change(self) -> None:
        items = {str(item["sk"]): item for item in asyncio.run(self.store.query(NAME, "version::"))}
        assert [item["version"] for item in items.values()] == list(range(1, len(items) + 1))
        assert self.kept.items() <= items.items()
        self.kept = items


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=80, stateful_step_count=25)
