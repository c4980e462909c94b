"""No wrong value of a field of a record makes a call fail; only a prompt is required."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path

import pytest

from agent.call.config import Phrases
from agent.call.messages import StopReason
from agent.errors import UseCaseError
from agent.ports import Item, LanguageModel
from agent.store.memory import MemoryStore
from agent.usecases.folders import load_document
from agent.usecases.relay_attributes import ATTRIBUTES, LANGUAGE_ATTRIBUTES
from tests.scripted import ScriptedModel
from tests.servers import UNLIMITED_CALLERS, Server, settings_for, staged

pytestmark = pytest.mark.needs("time")

NAME = "restaurantOrderingUseCase"
OLD = Path(__file__).parents[1] / "store" / "predecessor" / "record-restaurant.json"


def _nested(levels: int) -> object:
    value: object = "deep"
    for _ in range(levels):
        value = {"inner": [value]}
    return value


WRONG: dict[str, object] = {
    "null": None,
    "empty text": "",
    "blank": "  \n",
    "text": "not what it should be",
    "huge text": "x" * 300_000,
    "zero": 0,
    "negative": -1,
    "huge number": 10**30,
    "fraction": 0.123,
    "true": True,
    "false": False,
    "empty list": [],
    "list": [1, "two", None, {}],
    "empty object": {},
    "object": {"some": {"thing": [1]}, "": None},
    "nested": _nested(30),
    "nested deeper than a table keeps": _nested(120),
    "JSON text of an object": '{"kind": "other"}',
    "JSON text of a list": '[1, "two", null, {}, {"toolSpec": 1}]',
    "JSON text of a text": '"text"',
    "broken JSON": '{"1": [',
    "JSON text without end": "[" * 100_000,
    "control characters": "\x00\x1b[2J\u202e\x9b",
    "half a character": "\ud83d",
}
WRONG_EVERYWHERE = {**WRONG, "huge text": "x" * 3_000, "JSON text without end": "[" * 3_000}
"""For many fields at once: the record stays below the 400 KB that a table takes."""
FIELDS = [
    "title", "description", "promptContext", "tools", "dtmfHandlers", "conversationRelayParams",
    "greetingKnown", "languages", "phrases", "llmModel", "maxTokens", "temperature", "topP",
    "additionalModelRequestFields", "requestMetadata", "guardrail", "performanceLatency",
    "serviceTier", "offlineScript", "handoffNumber", "desk", "voicemail", "liveEdits", "httpTools",
    "backupVoice", "backupTranscription",
    "version", "versionDigest", "canary", "createdAt", "previous", "nobodyKnowsIt",
]  # fmt: skip
HANDLER = ("replyWithText", "replyText", "replyWithFunction", "replyFunction")


class Stage:
    """A service whose only record is the predecessor's, changed."""

    def __init__(self, server: Server, store: MemoryStore) -> None:
        self.server = server
        self.store = store

    async def answers(self, changes: Item) -> bool:
        """Whether the caller is greeted and gets a reply."""
        await self.store.put({**load_document(OLD), **changes})
        async with self.server.twilio.call() as call:
            reply = await call.say("good evening to you")
        return "Sure." in reply.text


def _opened(identifier: str, script: str) -> LanguageModel:
    if identifier not in {"", "offline:"}:
        raise UseCaseError("llmModel: has an unknown scheme")
    if script:
        raise UseCaseError("offlineScript: is none")
    return ScriptedModel([["Sure.", StopReason.END]] * 3)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store = MemoryStore()
    async with staged(
        settings_for(tmp_path / "unused", **UNLIMITED_CALLERS), store, _opened
    ) as server:
        yield Stage(server, store)


async def _refusing(stage: Stage, changes: dict[str, Item]) -> list[str]:
    """Names of the changes after which the call is not answered."""
    return [name for name, change in changes.items() if not await stage.answers(change)]


@pytest.mark.parametrize("field", FIELDS)
async def test_wrong_value_of_a_field_refuses_no_call(stage: Stage, field: str) -> None:
    assert await _refusing(stage, {name: {field: wrong} for name, wrong in WRONG.items()}) == []


LANGUAGE = {"code": "es-US", "ttsProvider": "Amazon", "voice": "Lupe-Neural"}
GROUPS: dict[str, Callable[[object], Item]] = {
    "relay": lambda wrong: {"conversationRelayParams": dict.fromkeys(ATTRIBUTES, wrong)},
    "language": lambda wrong: {
        "languages": [LANGUAGE, dict.fromkeys(LANGUAGE_ATTRIBUTES, wrong) | {"code": "fr-FR"}]
    },
    "sentences": lambda wrong: {
        "phrases": {field.name: wrong for field in fields(Phrases)},
    },
}


@pytest.mark.parametrize("group", GROUPS)
async def test_wrong_values_of_many_fields_refuse_no_call(stage: Stage, group: str) -> None:
    changes = {name: GROUPS[group](wrong) for name, wrong in WRONG_EVERYWHERE.items()}

    assert await _refusing(stage, changes) == []


@pytest.mark.parametrize("part", HANDLER)
async def test_wrong_part_of_a_handler_refuses_no_call(stage: Stage, part: str) -> None:
    """As a map and as JSON text."""
    known = {"replyWithText": True, "replyText": "One.", "replyWithFunction": True}
    changes: dict[str, Item] = {}
    for name, wrong in WRONG.items():
        handlers = {"1": {**known, part: wrong}}
        changes[name] = {"dtmfHandlers": handlers}
        changes[f"{name} as text"] = {"dtmfHandlers": json.dumps(handlers)}

    assert await _refusing(stage, changes) == []


@pytest.mark.parametrize(
    "place", ["entry", "toolSpec", "name", "description", "inputSchema", "json", "type"]
)
async def test_wrong_part_of_a_tool_refuses_no_call(stage: Stage, place: str) -> None:
    """At each level; the other tools are offered."""

    def tool(wrong: object) -> object:
        schema = {"type": wrong} if place == "type" else {"type": "object", "properties": {}}
        spec: dict[str, object] = {
            "name": "PlaceOrderFunction",
            "inputSchema": wrong if place == "inputSchema" else {"json": schema},
        }
        if place == "json":
            spec["inputSchema"] = {"json": wrong}
        if place in {"name", "description"}:
            spec[place] = wrong
        return wrong if place == "entry" else {"toolSpec": wrong if place == "toolSpec" else spec}

    good = {"toolSpec": {"name": "CheckRestaurantPickUpTime"}}
    changes: dict[str, Item] = {
        name: {"tools": [tool(wrong), good]} for name, wrong in WRONG.items()
    }

    assert await _refusing(stage, changes) == []


async def test_broken_canary_version_falls_back_to_the_record(stage: Stage) -> None:
    record = {**load_document(OLD), "canary": {"version": 2, "percent": 99}}
    for broken in ({"prompt": None}, {"prompt": "Sell."}, {"prompt": 7, "version": "two"}):
        await stage.store.put({"pk": NAME, "sk": "version::000002", **broken})

        assert await stage.answers(record), broken
