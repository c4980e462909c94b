"""What is remembered of a caller."""

from __future__ import annotations

import pytest

from tests.fakes import MemoryStore
from tests.tools.worlds import ADA, call_of, refused, seeded, told


async def test_a_name_is_saved_and_nothing_else_is_lost() -> None:
    """D21: the address and the routing of the profile stay."""
    store = MemoryStore()
    kept: dict[str, object] = {
        "pk": ADA,
        "sk": "profile",
        "pk1": "profile",
        "sk1": ADA,
        "email": "ada@example.com",
        "useCase": "apartmentSearchUseCase",
    }
    await store.put(kept)

    answer = await told(
        call_of(store), "DefaultSaveFirstAndLastName", firstName=" Ada ", lastName="de  Example"
    )

    assert answer == {"message": "The name Ada de Example is saved."}
    assert await store.get(ADA, "profile") == {
        **kept,
        "firstName": "Ada",
        "lastName": "de Example",
    }


async def test_a_new_caller_gets_a_profile() -> None:
    """Routed to the use case that asked, and listed in the index."""
    store = MemoryStore()
    call = call_of(store, use_case="defaultUseCase")

    await told(call, "DefaultSaveFirstAndLastName", firstName="Ada", lastName="Example")

    assert await store.query_index("profile") == [
        {
            "pk": ADA,
            "sk": "profile",
            "pk1": "profile",
            "sk1": ADA,
            "firstName": "Ada",
            "lastName": "Example",
            "useCase": "defaultUseCase",
        }
    ]


async def test_half_a_name_is_not_saved() -> None:
    """Blank is not a name."""
    error = await refused(
        call_of(MemoryStore()), "DefaultSaveFirstAndLastName", firstName="Ada", lastName=" "
    )

    assert error == "Both names are needed. Ask the caller for the missing one."


async def test_a_choice_routes_the_next_call() -> None:
    """The key is written as the use case is called, whatever its case; the rest stays."""
    store = await seeded()
    await store.put({"pk": ADA, "sk": "profile", "email": "ada@example.com"})

    answer = await told(call_of(store), "DefaultSaveUseCase", useCase=" alberteinsteinusecase")

    assert answer["message"].startswith("The choice albertEinsteinUseCase is saved.")
    assert await store.get(ADA, "profile") == {
        "pk": ADA,
        "sk": "profile",
        "pk1": "profile",
        "sk1": ADA,
        "email": "ada@example.com",
        "useCase": "albertEinsteinUseCase",
    }


async def test_a_use_case_that_is_none_is_refused() -> None:
    """With those there are."""
    error = await refused(call_of(await seeded()), "DefaultSaveUseCase", useCase="taxi")

    assert error == (
        "There is no use case 'taxi'. The keys are: albertEinsteinUseCase, "
        "apartmentSearchUseCase, defaultUseCase, restaurantOrderingUseCase."
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("DefaultSaveFirstAndLastName", {"firstName": "Ada", "lastName": "Example"}),
        ("DefaultSaveUseCase", {"useCase": "defaultUseCase"}),
    ],
)
async def test_nothing_is_saved_for_a_withheld_number(
    name: str, arguments: dict[str, object]
) -> None:
    """All of them would share one profile."""
    store = await seeded()

    error = await refused(call_of(store, caller=""), name, **arguments)

    assert error.startswith("The caller's number is withheld")
    assert await store.query_index("profile") == []
