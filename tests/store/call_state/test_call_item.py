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
from agent.usecases import Profile, UseCase
from tests.fakes import MemoryStore

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

    assert json.loads(str(item.pop("tools"))) == [
        {
            "toolSpec": {
                "name": "PlaceOrderFunction",
                "description": "Stores.",
                "inputSchema": {"json": {"type": "object"}},
            }
        }
    ]
    assert json.loads(str(item.pop("dtmfHandlers"))) == {
        "1": {
            "replyWithText": True,
            "replyText": "One.",
            "replyWithFunction": True,
            "replyFunction": "PlaceOrderFunction",
        }
    }
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
    honest = opening_item(
        "CA0123", {"From": "+15550100001", "callerUntrusted": "true"}, token="secret", now=1.0
    )

    assert (identity_of(item), identity_of(honest)) == ("", "+15550100001")


@pytest.mark.parametrize("name", ["systemPrompt", "tools", "dtmfHandlers", "llmModel"])
def test_an_edit_is_told_from_other_changes(name: str) -> None:
    before = session_item({})

    assert is_edited(before | {name: "edited"}, before) is True
    assert is_edited(before | {"socketToken": "new", "expireAt": 2}, before) is False


async def stored() -> MemoryStore:
    store = MemoryStore()
    await store.put(session_item({}, now=1_000.0))
    return store


async def test_a_token_opens_one_socket_once() -> None:
    store = await stored()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(spend_token(store, "CA0123", "secret", 1_001.0)) for _ in range(5)
        ]

    assert sorted(task.result().use for task in tasks) == [TokenUse.FIRST, *[TokenUse.REFUSED] * 4]
    assert (await spend_token(store, "CA0123", "secret", 1_002.0)).use is TokenUse.REFUSED


async def test_a_wrong_token_opens_nothing_and_spends_nothing() -> None:
    store = await stored()

    assert (await spend_token(store, "CA0123", "guess", 1_001.0)).use is TokenUse.REFUSED
    assert (await spend_token(store, "CA0123", "", 1_001.0)).use is TokenUse.REFUSED
    assert (await spend_token(store, "CA9999", "secret", 1_001.0)).use is TokenUse.REFUSED
    assert (await spend_token(store, "CA0123", "secret", 1_001.0)).use is TokenUse.FIRST


async def test_a_token_expires() -> None:
    store = await stored()

    assert (await spend_token(store, "CA0123", "secret", 1_120.0)).use is TokenUse.REFUSED
    assert (await spend_token(store, "CA0123", "secret", 1_119.9)).use is TokenUse.FIRST


async def test_a_session_without_a_token_opens_nothing() -> None:
    store = MemoryStore()
    await store.put({"pk": "CA0123", "sk": "connection", "useCase": "pizzaUseCase"})

    assert (await spend_token(store, "CA0123", "", 1_001.0)).use is TokenUse.REFUSED


async def test_a_resumed_call_gets_a_new_token() -> None:
    store = await stored()
    await store.merge("CA0123", "connection", token_attributes("fresh", 2_000.0))

    assert (await spend_token(store, "CA0123", "secret", 2_001.0)).use is TokenUse.REFUSED
    assert (await spend_token(store, "CA0123", "fresh", 2_001.0)).use is TokenUse.FIRST


@pytest.mark.parametrize("now", [1_001.0, 9_000.0])
async def test_a_relay_that_reconnects_brings_the_spent_token(now: float) -> None:
    """Where the use case allows it (`applicationReconnect`), as long as the session item exists."""
    store = await stored()
    await store.merge("CA0123", "connection", {"mayReconnect": True})
    first = (await spend_token(store, "CA0123", "secret", 1_000.0)).use

    again = (await spend_token(store, "CA0123", "secret", now)).use

    assert (first, again) == (TokenUse.FIRST, TokenUse.AGAIN)
    assert (await spend_token(store, "CA0123", "guess", now)).use is TokenUse.REFUSED


async def test_a_relay_that_may_reconnect_does_not_come_late_the_first_time() -> None:
    store = await stored()
    await store.merge("CA0123", "connection", {"mayReconnect": True})

    assert (await spend_token(store, "CA0123", "secret", 1_120.0)).use is TokenUse.REFUSED


@pytest.mark.parametrize(
    ("stored", "prompt", "context"),
    [
        ([{"text": "Filled."}], [{"text": "Filled."}], None),
        ("Filled.", "Filled.", None),
        ('[{"text": "Filled."}]', '[{"text": "Filled."}]', None),
        (
            [{"text": "A."}, {"text": "B."}, {"text": "C."}],
            [{"text": "A."}],
            [{"text": "B."}, {"text": "C."}],
        ),
    ],
)
def test_a_prompt_of_any_shape_is_found_again(
    stored: object, prompt: object, context: object
) -> None:
    merged = record_of_call({}, {"systemPrompt": stored})

    assert (merged["prompt"], merged["promptContext"]) == (prompt, context)


def test_a_prompt_without_a_part_of_its_own_is_one_block() -> None:
    whole = replace(SESSION, system_prompt=("Filled.", ""))

    assert set_up_attributes(whole)["systemPrompt"] == [{"text": "Filled."}]


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
