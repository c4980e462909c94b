"""A call as one HTML page: all that `show --json` has, as text, and nothing from elsewhere."""

from __future__ import annotations

import re

from agent.call.history import CallerSaid
from agent.observability.recording.call_page import call_page
from agent.store.call_state.journal import fact_item
from agent.store.memory import MemoryStore
from tests.observability.recording.test_transcript import (
    SESSION,
    STARTED,
    kept,
    ordered,
    transcript_of,
)


def texts(page: str) -> list[str]:
    """What is read on a page, in order."""
    body = page[page.index("<body>") :]
    return [each.strip() for each in re.split(r"<[^>]*>", body) if each.strip()]


def test_page_has_the_facts_of_a_call_in_their_order() -> None:
    read = texts(call_page(transcript_of(kept)))

    assert read[:2] == ["Call CA1", "pizza, with +15550100001, 2026-03-05 18:00:00 UTC"]
    assert read[2:] == [
        "What was said",
        *("greeting", "Hello."),
        *("caller", "a large pizza, please  [2J"),
        *("service", "One moment, please."),
        *("tool", 'PlaceOrderFunction {"size":"large"}', '→ {"error":"sold out"}'),
        *("agent", "[cut off]"),
        *("keys", "12"),
        *("agent", "Twelve pizzas, then. That will", "[cut off]"),
        *("note", "The line broke off here for a moment."),
        *("tool", 'PlaceOrderFunction {"size":"large"}', "→ no result"),
        *("summary", "Twelve pizzas."),
    ]


def test_page_of_a_recorded_call_draws_where_the_time_of_each_turn_went() -> None:
    page = call_page(transcript_of(ordered))

    assert page.count("<svg") == 1
    assert {"hold", "reply 1", "reply 2"} <= set(texts(page))
    assert "00:00.0" in texts(page)
    assert re.findall(r'<rect class="(\w+)"', page) == [
        "wait",
        "wait",
        "work",
        "tool",
        "wait",
        "work",
    ]


async def scripted(store: MemoryStore) -> None:
    """A caller who says markup."""
    await store.put(SESSION)
    said = CallerSaid("<script src='https://evil.example.com/x.js'></script><img onerror=x>")
    await store.put(fact_item("CA1", STARTED, 0, said, 1, 1))


def test_what_a_caller_says_is_text_and_the_page_asks_no_one() -> None:
    page = call_page(transcript_of(scripted))

    assert "<script" not in page
    assert "<img" not in page
    assert not re.search(r"(src|href)=", page.replace("src='https://evil", ""))
    assert "&lt;script" in page
