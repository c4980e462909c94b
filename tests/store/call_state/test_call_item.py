"""The session item and the single-use token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.call.config import KeyBinding
from agent.call.messages import ToolSpec
from agent.ports import Item
from agent.store.call_state.call_item import (
    SessionItem,
    TokenUse,
    identity_of,
    is_edited,
    is_set_up,
    number_of,
    opening_item,
    profile_of,
    record_of_call,
    set_up_attributes,
    spend_token,
    token_attributes,
    version_of,
)
from agent.store.memory import MemoryStore
from agent.usecases import Profile, UseCase

SESSION = SessionItem(
    use_case=UseCase(
        "pizzaUseCase",
        "Template.",
        tools=(ToolSpec("PlaceOrderFunction", "Stores.", '{"type": "object"}'),),
        keypad={"1": KeyBinding("One.", "PlaceOrderFunction")},
    ),
    version=3,
    model="offline:",
    system_prompt=("Filled.", "Own."),
    profile_item={"pk": "+15550100001", "firstName": "Ada"},
)


def session_item(webhook: Mapping[str, str], now: float = 1.0) -> Item:
    """The item of a call that was set up."""
    return {
        **opening_item("CA0123", webhook, token="secret", now=now),
        **set_up_attributes(SESSION),
    }


def test_a_session_has_the_shape_of_the_predecessor() -> None:
    item = session_item(
        {"CallSid": "CA0123", "From": "+15550100001", "CallerCity": "SPRINGFIELD"},
        now=1_772_733_600.25,
    )

    schema = {"inputSchema": {"json": {"type": "object"}}}
    spec = {"name": "PlaceOrderFunction", "description": "Stores.", **schema}
    text = {"replyWithText": True, "replyText": "One."}
    call = {"replyWithFunction": True, "replyFunction": "PlaceOrderFunction"}
    assert json.loads(str(item.pop("tools"))) == [{"toolSpec": spec}]
    assert json.loads(str(item.pop("dtmfHandlers"))) == {"1": {**text, **call}}
    whole = replace(SESSION, system_prompt=("Filled.", ""))
    assert set_up_attributes(whole)["systemPrompt"] == [{"text": "Filled."}]
    assert item == {
        "pk": "CA0123",
        "sk": "connection",
        "mayReconnect": False,
        "llmModel": "offline:",
        "useCase": "pizzaUseCase",
        "useCaseVersion": 3,
        "userContext": {"pk": "+15550100001", "firstName": "Ada"},
        "systemPrompt": [{"text": "Filled."}, {"text": "Own."}],
        "startedMs": 1_772_733_600_250,
        "expireAt": 1_772_820_000,
        "socketToken": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "socketTokenExpireAt": 1_772_733_720,
        "CallSid": "CA0123",
        "From": "+15550100001",
        "CallerCity": "SPRINGFIELD",
    }


def test_no_field_of_the_webhook_overwrites_ours() -> None:
    """Client-supplied parameters reach the webhook as ordinary fields."""
    honest = session_item({})
    hostile = dict.fromkeys(honest, "forged") | {"admin": "true", "pk1": "profile"}

    assert session_item(hostile) == honest


def test_a_call_that_rings_is_not_set_up_yet() -> None:
    opening = opening_item("CA0123", {"From": "+15550100001"}, token="secret", now=1.0)

    assert (is_set_up(opening), is_set_up(session_item({}))) == (False, True)
    assert (version_of(opening), version_of(session_item({}))) == (0, 3)
    assert profile_of(opening) == Profile("+15550100001")
    assert profile_of(session_item({})) == Profile("+15550100001", first_name="Ada")


FAILED = {"From": "+15550100001", "StirVerstat": "TN-Validation-Failed-C"}


def test_number_that_is_not_trusted_gives_no_identity() -> None:
    """Limits count by it nevertheless, and another process reads the same."""
    opening = opening_item("CA0123", FAILED, token="secret", now=1.0)
    strict = opening_item("CA0123", {"From": "+15550100001"}, token="secret", now=1.0, trusted="a")

    assert (identity_of(opening), identity_of(strict)) == ("", "")
    assert (number_of(opening), number_of(strict)) == ("+15550100001", "+15550100001")
    assert profile_of(opening) == Profile("")


@pytest.mark.parametrize(
    ("webhook", "outbound", "identity"),
    [
        ({"From": "client:ada", "StirVerstat": "TN-Validation-Failed"}, "", "client:ada"),
        ({**FAILED, "To": "+15550100002"}, "tours", "+15550100002"),
    ],
    ids=["an app, whose token names the caller", "a call that we made"],
)
def test_attestation_is_for_callers_by_telephone(
    webhook: Mapping[str, str], outbound: str, identity: str
) -> None:
    item = opening_item("CA0123", webhook, token="secret", now=1.0, outbound=outbound, trusted="a")

    assert identity_of(item) == identity


def test_no_field_of_the_webhook_makes_a_number_trusted_or_not() -> None:
    item = opening_item("CA0123", {**FAILED, "callerUntrusted": ""}, token="secret", now=1.0)
    forged = {"From": "+15550100001", "callerUntrusted": "true"}
    honest = opening_item("CA0123", forged, token="secret", now=1.0)

    assert (identity_of(item), identity_of(honest)) == ("", "+15550100001")


@pytest.mark.parametrize("name", ["systemPrompt", "tools", "dtmfHandlers", "llmModel"])
def test_an_edit_is_told_from_other_changes(name: str) -> None:
    before = session_item({})

    assert is_edited(before | {name: "edited"}, before) is True
    assert is_edited(before | {"socketToken": "new", "expireAt": 2}, before) is False


async def stored(*, may_reconnect: bool = False) -> MemoryStore:
    store = MemoryStore()
    await store.put({**session_item({}, now=1_000.0), "mayReconnect": may_reconnect})
    return store


FIRST, AGAIN, REFUSED = TokenUse.FIRST, TokenUse.AGAIN, TokenUse.REFUSED


async def test_a_token_opens_one_socket_once() -> None:
    store = await stored()

    spent = await asyncio.gather(
        *(spend_token(store, "CA0123", "secret", 1_001.0) for _ in range(5))
    )

    assert sorted(each.use for each in spent) == [FIRST, *[REFUSED] * 4]


@pytest.mark.parametrize(
    ("tries", "may_reconnect"),
    [
        ([("guess", 1_001, REFUSED), ("", 1_001, REFUSED), ("secret", 1_001, FIRST)], False),
        ([("secret", 1_120, REFUSED), ("secret", 1_119, FIRST)], False),
        ([("secret", 1_001, FIRST), ("secret", 1_002, REFUSED)], False),
        ([("secret", 1_000, FIRST), ("secret", 1_001, AGAIN), ("guess", 1_001, REFUSED)], True),
        ([("secret", 1_000, FIRST), ("secret", 9_000, AGAIN)], True),
        ([("secret", 1_120, REFUSED)], True),
    ],
)
async def test_a_token_is_used_in_time_and_again_by_a_relay_that_may_reconnect(
    tries: list[tuple[str, float, TokenUse]], *, may_reconnect: bool
) -> None:
    """Where the use case allows it (`applicationReconnect`), as long as the session item exists."""
    store = await stored(may_reconnect=may_reconnect)

    for token, now, use in tries:
        assert (await spend_token(store, "CA0123", token, now)).use is use


async def test_a_token_of_another_session_opens_nothing() -> None:
    """Neither of a call without an item, token or expiry, nor of an earlier connection."""
    store = await stored()
    await store.put({"pk": "CA2", "sk": "connection", "useCase": "pizzaUseCase"})
    await store.merge("CA0123", "connection", token_attributes("fresh", 2_000.0))

    timeless = {"socketToken": token_attributes("secret", 2_000.0)["socketToken"]}
    await store.put({"pk": "CA3", "sk": "connection", **timeless})

    assert (await spend_token(store, "CA2", "", 2_001.0)).use is REFUSED
    for call_sid in ("CA9999", "CA3", "CA0123"):
        assert (await spend_token(store, call_sid, "secret", 2_001.0)).use is REFUSED
    assert (await spend_token(store, "CA0123", "fresh", 2_001.0)).use is FIRST


A, B, C = ({"text": letter} for letter in "ABC")


@pytest.mark.parametrize(
    ("stored", "prompt", "context"),
    [
        ([A], [A], None),
        ("Filled.", "Filled.", None),
        ('[{"text": "Filled."}]', '[{"text": "Filled."}]', None),
        ([A, B, C], [A], [B, C]),
    ],
)
def test_a_prompt_of_any_shape_is_found_again(
    stored: object, prompt: object, context: object
) -> None:
    merged = record_of_call({}, {"systemPrompt": stored})

    assert (merged["prompt"], merged["promptContext"]) == (prompt, context)


def test_a_rewritten_session_changes_the_use_case_of_its_call() -> None:
    session = session_item({}) | {"llmModel": "other"}
    record = {"pk": "pizzaUseCase", "prompt": "Template.", "title": "Pizza", "tools": "[]"}

    merged = record_of_call(record, session)

    assert merged == {
        "pk": "pizzaUseCase",
        "sk": "configuration",
        "title": "Pizza",
        "prompt": [{"text": "Filled."}],
        "promptContext": [{"text": "Own."}],
        "tools": session["tools"],
        "dtmfHandlers": session["dtmfHandlers"],
        "llmModel": "other",
    }
