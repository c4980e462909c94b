"""The item with what a call has yielded, on every store."""

from __future__ import annotations

import pytest

from agent.store.call_state.outcome_item import OUTCOME, outcome_form, outcome_item, read_outcome_of
from agent.usecases.outcome_schema import Asked, CallOutcome, Success
from tests.stores import Stores

CALL = "CA01"
NOW = 1_900_000_000.0
SOLD = CallOutcome(
    "shop",
    "agent_end",
    values={"placed": True, "total": 8.55, "wish": "order"},
    unknown=("note",),
    success=Success.YES,
    asked=Asked.ANSWERED,
)
TRANSFERRED = CallOutcome("shop", "transfer", is_contained=False, transfer="legal")


@pytest.mark.parametrize("outcome", [SOLD, TRANSFERRED], ids=["sold", "transferred"])
async def test_an_outcome_is_read_as_it_was_written(stores: Stores, outcome: CallOutcome) -> None:
    await stores[0].put_newer(outcome_item(CALL, outcome, NOW, 2_000_000_000))

    assert await read_outcome_of(stores[1], CALL) == outcome


async def test_the_latest_outcome_counts(stores: Stores) -> None:
    for outcome, at in ((SOLD, NOW + 1), (TRANSFERRED, NOW)):
        await stores[0].put_newer(outcome_item(CALL, outcome, at, 2_000_000_000))

    assert await read_outcome_of(stores[1], CALL) == SOLD


async def test_an_item_that_cannot_be_read_counts_as_none(stores: Stores) -> None:
    assert await read_outcome_of(stores[1], CALL) is None

    for wrong in ({"success": "perhaps"}, {"fields": "{"}, {"asked": 5}, {"fields": '{"a": []}'}):
        await stores[0].put({**outcome_item(CALL, SOLD, NOW, 2_000_000_000), **wrong})
        assert await read_outcome_of(stores[1], CALL) is None


def test_an_item_is_kept_for_a_day_unless_told_otherwise() -> None:
    assert outcome_item(CALL, SOLD, NOW)["expireAt"] == 1_900_086_400
    assert outcome_item(CALL, SOLD, NOW, 1_900_000_500)["expireAt"] == 1_900_000_500
    assert outcome_item(CALL, SOLD, NOW)["sk"] == OUTCOME


def test_json_of_an_outcome_has_the_words_of_the_documentation() -> None:
    assert outcome_form(TRANSFERRED) == {
        "use_case": "shop", "end_reason": "transfer", "values": {}, "unknown": (),
        "success": "undeclared", "contained": False, "transfer": "legal", "asked": "not_needed",
    }  # fmt: skip
