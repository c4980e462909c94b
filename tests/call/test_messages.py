"""The vocabulary's own rules: counts of tokens, and results of tools apart from words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.messages import (
    MOST_TOKENS,
    RESULTS_READ,
    Message,
    Part,
    Role,
    Text,
    ToolCall,
    ToolResult,
    results_apart,
    tokens,
)


@pytest.mark.parametrize(
    ("given_value", "count"),
    [
        *((7, 7), (7.9, 7), ("7", 7), (" 7.9 ", 7), ("1e3", 1_000)),
        *((-7, 0), ("-7", 0), (None, 0), ([7], 0), ({"a": 7}, 0), (True, 0), ("seven", 0), ("", 0)),
        *((math.inf, 0), (math.nan, 0), ("inf", 0), ("NaN", 0), (10**400, MOST_TOKENS)),
        *(("9" * 400, MOST_TOKENS), (1e300, MOST_TOKENS), (-(10**400), 0)),
    ],
)
def test_tokens_are_a_count(given_value: object, count: int) -> None:
    assert tokens(given_value) == count


@given(
    given_value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
)
def test_tokens_are_in_their_limits(given_value: object) -> None:
    assert 0 <= tokens(given_value) <= MOST_TOKENS


RESULTS = (ToolResult("tool00001", "1"), ToolResult("tool00002", "2"))
WORDS = (Text("And?"), Text("Well?"))


def test_the_agents_word_is_between_results_and_words() -> None:
    mixed = Message(Role.CALLER, (RESULTS[0], WORDS[0], RESULTS[1], WORDS[1]))

    assert results_apart(mixed) == (
        Message(Role.CALLER, RESULTS),
        Message(Role.AGENT, (Text(RESULTS_READ),)),
        Message(Role.CALLER, WORDS),
    )


@pytest.mark.parametrize("parts", [RESULTS, WORDS, (Text("Hm."), ToolCall("a", "menu", "{}"))])
def test_a_message_of_one_kind_stays_as_it_is(parts: tuple[Part, ...]) -> None:
    message = Message(Role.AGENT, parts)

    assert results_apart(message) == (message,)
