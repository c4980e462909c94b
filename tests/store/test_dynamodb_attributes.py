"""Values of JSON in DynamoDB's form and back; what an engine makes of them is in the contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import StoreError
from agent.ports import Item
from agent.store.dynamodb_table import from_attributes, to_attributes

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(), _VALUES, max_size=8))
def test_every_value_of_json_comes_back(item: Item) -> None:
    assert from_attributes(to_attributes(item)) == item


def test_numbers_are_exact() -> None:
    item: Item = {"a": 0.1, "b": 12.0, "c": -3, "d": 1e-7, "e": True, "f": 10**37}

    assert to_attributes(item) == {
        "a": {"N": "0.1"},
        "b": {"N": "12.0"},
        "c": {"N": "-3"},
        "d": {"N": "1e-07"},
        "e": {"BOOL": True},
        "f": {"N": "1" + 37 * "0"},
    }
    assert [type(value) for value in from_attributes(to_attributes(item)).values()] == [
        float, int, int, float, bool, int,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), b"bytes", {1: "one"}, {"set"}, object(), [[b"deep"]]]
)
def test_what_is_not_json_is_refused_by_its_type_alone(value: object) -> None:
    with pytest.raises(StoreError, match=r"^an item cannot be written: it holds a \w+$"):
        to_attributes({"value": value})


def test_unknown_type_is_read_as_null() -> None:
    assert from_attributes({"a": {"V": [1.0]}, "b": {"S": "b"}}) == {"a": None, "b": "b"}
