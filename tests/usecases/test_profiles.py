"""Profiles: what is read from their items, and what is written."""

from __future__ import annotations

from agent.usecases.use_case import Profile, profile, profile_from_item, profile_item
from tests.fakes import MemoryStore


async def test_a_profile_is_found_by_number_or_identity() -> None:
    """Callers may be apps (part C); who never called is unknown, and so is an empty caller."""
    store = MemoryStore()
    ada = Profile("client:ada", "Ada", "Example", "ada@example.com", "pizzaUseCase")
    await store.put(profile_item(ada))

    assert await profile(store, "client:ada") == ada
    assert await profile(store, "+15550100002") is None
    assert await profile(store, "") is None


def test_a_profile_tolerates_anything() -> None:
    """What is missing or no text is empty; what is unknown is ignored."""
    item = {"pk": "+15550100001", "sk": "profile", "firstName": 7, "lastName": None, "vip": True}

    assert profile_from_item(item) == Profile("+15550100001")


def test_an_empty_field_of_a_profile_is_not_written() -> None:
    """So that merging it erases nothing (D21)."""
    assert profile_item(Profile("+15550100001", first_name="Ada")) == {
        "pk": "+15550100001",
        "sk": "profile",
        "pk1": "profile",
        "sk1": "+15550100001",
        "firstName": "Ada",
    }
