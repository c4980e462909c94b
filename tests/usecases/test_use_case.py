"""Values of a use case and of a caller, and the items of profiles."""

from __future__ import annotations

import pytest

from agent.store.memory import MemoryStore
from agent.usecases import Profile, profile, profile_from_item, profile_item, use_case_name


@pytest.mark.parametrize(
    "stored", ["", "+15550108642", "Ada Lovelace", "x" * 256, {"+15550108642": None}, 7, None]
)
def test_only_a_name_is_a_name(stored: object) -> None:
    """Names are logged, and a table may hold anything."""
    assert use_case_name("use-case_2.0") == "use-case_2.0"
    assert use_case_name(stored) == ""


async def test_a_profile_is_found_by_number_or_identity() -> None:
    store = MemoryStore()
    ada = Profile("client:ada", "Ada", "Example", "ada@example.com", "pizzaUseCase")
    await store.put(profile_item(ada))

    assert await profile(store, "client:ada") == ada
    assert await profile(store, "+15550100002") is None
    assert await profile(store, "") is None


def test_a_profile_tolerates_anything() -> None:
    """A missing or wrong value is empty, an unknown attribute is ignored."""
    item = {"pk": "+15550100001", "sk": "profile", "firstName": 7, "lastName": None, "vip": True}

    assert profile_from_item(item) == Profile("+15550100001")


def test_an_empty_field_of_a_profile_is_not_written() -> None:
    """So that merging it erases nothing."""
    assert profile_item(Profile("+15550100001", first_name="Ada")) == {
        "pk": "+15550100001",
        "sk": "profile",
        "pk1": "profile",
        "sk1": "+15550100001",
        "firstName": "Ada",
    }
