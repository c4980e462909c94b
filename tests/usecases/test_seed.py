"""Folders of configuration: what is loaded, what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.call.config import KeyBinding
from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.store.memory import MemoryStore
from agent.usecases.folders import load_document, load_folder, load_profile
from agent.usecases.record import parse_use_case
from agent.usecases.seed import SeedResult, check, check_table, roll_back, seed, seed_file, try_out
from agent.usecases.versions import CurrentVersion, Versions

NOW = datetime(2026, 3, 5, 18, 40, tzinfo=UTC)
BOOK = ToolSpec("ScheduleTourFunction", "Books a tour.", '{"type": "object"}')
TOOLS = {BOOK.name: BOOK}

USE_CASE = """
title = "Flats"
description = "Finds flats."
greeting = "Welcome!"
greeting_known = "Hello <<FIRST_NAME>>!"
tools = ["ScheduleTourFunction"]
handoff_number = "+15550100098"
voicemail = "We have called."
live_edits = true

model.identifier = "offline:"
model.max_tokens = 250
model.temperature = 0.3
model.top_p = 1
model.additional = { inferenceConfig = { topK = 1 } }
model.metadata = { team = "pizza" }
model.guardrail = "g:1"
model.latency = "standard"
model.service_tier = "default"
model.times = { first_event_seconds = 20 }
relay = { voice = "Anna", hints = "flat" }
languages = [{ code = "es-US", ttsProvider = "Amazon", voice = "Lupe" }]

[keypad.1]
reply_text = "One moment."
function = "ScheduleTourFunction"

[keypad."*"]

[phrases]
goodbye = "Bye."
fillers = ["Hm.", "Well."]
"""

ITEMS = [
    {"pk": "apartments", "sk": "database", "apartmentDetails": '{"studio": {"rent": 900}}'},
    {
        "pk": "slots",
        "sk": "<<DAY+1>>::10:00 AM",
        "appointment": {"date": "<<DAY+1>>", "notes": ["<<DAY+0>> or <<DAY+30>>", 1, None]},
        "expireAt": "<<END+1>>",
        "onlyUnlessIndexed": {"pk1": "booking", "sk1": "<<DAY+1>>::10:00 AM"},
    },
]

PROFILE = """
caller = "+15550100001"
first_name = "Ada"
last_name = "Example"
use_case = "flatsUseCase"
"""


@pytest.fixture
def flats(tmp_path: Path) -> Path:
    """The folder of a use case, all in order."""
    folder = tmp_path / "configuration" / "use-cases" / "flatsUseCase"
    folder.mkdir(parents=True)
    (folder / "use-case.toml").write_text(USE_CASE)
    (folder / "prompt.md").write_text("You know flats, größere too. <<USER_CONTEXT>>\n")
    (folder / "offline.json").write_text('{"rules": ["ü"]}\n')
    (folder / "items.json").write_text(json.dumps(ITEMS))
    return folder


@pytest.fixture
def configuration(flats: Path) -> Path:
    """This use case and one profile."""
    profiles = flats.parents[1] / "profiles"
    profiles.mkdir()
    (profiles / "ada.toml").write_text(PROFILE)
    return flats.parents[1]


def test_a_folder_becomes_a_record_of_the_predecessors_shape(flats: Path) -> None:
    """JSON text inside, the greeting among the relay's parameters; it is read without a remark."""
    record = load_folder(flats, TOOLS, NOW)[0].item

    use_case, warnings = parse_use_case(record, TOOLS)
    assert (use_case.tools, warnings) == ((BOOK,), ())
    assert use_case.keypad == {"1": KeyBinding("One moment.", BOOK.name), "*": KeyBinding()}
    spec = {"name": BOOK.name, "description": "Books a tour."}
    assert json.loads(str(record.pop("tools"))) == [
        {"toolSpec": {**spec, "inputSchema": {"json": {"type": "object"}}}}
    ]
    handler = {"replyWithText": True, "replyText": "One moment."}
    assert json.loads(str(record.pop("dtmfHandlers"))) == {
        "1": {**handler, "replyWithFunction": True, "replyFunction": BOOK.name},
        "*": dict.fromkeys(("replyWithText", "replyWithFunction"), False)
        | dict.fromkeys(("replyText", "replyFunction"), ""),
    }
    assert record == {
        "pk": "flatsUseCase",
        "sk": "configuration",
        "pk1": "use-case",
        "sk1": "flatsUseCase",
        "title": "Flats",
        "description": "Finds flats.",
        "prompt": "You know flats, größere too. <<USER_CONTEXT>>",
        "conversationRelayParams": {
            "voice": "Anna",
            "hints": "flat",
            "welcomeGreeting": "Welcome!",
        },
        "greetingKnown": "Hello <<FIRST_NAME>>!",
        "handoffNumber": "+15550100098",
        "voicemail": "We have called.",
        "liveEdits": True,
        "languages": [{"code": "es-US", "ttsProvider": "Amazon", "voice": "Lupe"}],
        "phrases": {"goodbye": "Bye.", "fillers": ["Hm.", "Well."]},
        "llmModel": "offline:",
        "maxTokens": 250,
        "temperature": 0.3,
        "additionalModelRequestFields": '{"inferenceConfig":{"topK":1}}',
        "requestMetadata": '{"team":"pizza"}',
        "guardrail": "g:1",
        "performanceLatency": "standard",
        "serviceTier": "default",
        "topP": 1.0,
        "modelTimes": {"first_event_seconds": 20.0},
        "offlineScript": '{"rules": ["ü"]}',
    }


def test_a_folder_needs_a_prompt_and_a_file_that_may_be_empty(tmp_path: Path) -> None:
    """Everything else has a default, and what is not said is not written."""
    (tmp_path / "use-case.toml").write_text("")
    (tmp_path / "prompt.md").write_text("Be brief.")

    [planned] = load_folder(tmp_path, {}, NOW)

    assert sorted(planned.item) == [
        "conversationRelayParams", "description", "dtmfHandlers", "pk", "pk1", "prompt", "sk",
        "sk1", "title", "tools",
    ]  # fmt: skip


SLOT = "2026-03-06::10:00 AM"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_everything_is_written_and_returned(configuration: Path, store: MemoryStore) -> None:
    """With the days counted from today; a dry run returns the same and writes nothing."""
    told = await seed(store, configuration, TOOLS, now=NOW, dry_run=True)
    for name in ("flatsUseCase", "slots", "+15550100001"):
        assert await store.query(name) == []

    assert await seed(store, configuration, TOOLS, now=NOW) == told
    assert told == [
        SeedResult("flatsUseCase", "configuration", CurrentVersion(1)),
        SeedResult("apartments", "database"),
        SeedResult("slots", SLOT),
        SeedResult("+15550100001", "profile"),
    ]
    assert await store.get("slots", SLOT) == {
        "pk": "slots",
        "sk": SLOT,
        "appointment": {"date": "2026-03-06", "notes": ["2026-03-05 or 2026-04-04", 1, None]},
        "expireAt": 1_772_841_600,
    }
    assert await store.get("apartments", "database") == ITEMS[0]
    assert await store.get("+15550100001", "profile") == {
        "pk": "+15550100001",
        "sk": "profile",
        "pk1": "profile",
        "sk1": "+15550100001",
        "firstName": "Ada",
        "lastName": "Example",
        "useCase": "flatsUseCase",
        "seeded": True,
    }


async def test_a_day_ends_at_midnight_of_its_zone(configuration: Path, store: MemoryStore) -> None:
    """Also on the day when the clocks change: March 8, 2026 has 23 hours there."""
    now = datetime(2026, 3, 7, 20, 0, tzinfo=ZoneInfo("America/Los_Angeles"))

    await seed(store, configuration, TOOLS, now=now, use_case="flatsUseCase")

    [slot] = await store.query("slots")
    assert (slot["sk"], slot["expireAt"]) == ("2026-03-08::10:00 AM", 1_773_039_600)


async def test_one_use_case_comes_without_the_profiles(configuration: Path) -> None:
    """And one that has no folder is an error."""
    written = await seed(MemoryStore(), configuration, TOOLS, now=NOW, use_case="flatsUseCase")

    assert [item.pk for item in written] == ["flatsUseCase", "apartments", "slots"]
    with pytest.raises(UseCaseError, match="noUseCase: there is no such folder"):
        await seed(MemoryStore(), configuration, TOOLS, now=NOW, use_case="noUseCase")


async def test_a_booked_slot_does_not_come_back(configuration: Path, store: MemoryStore) -> None:
    """Only the booked one: an index key that begins so is another slot."""
    booking: dict[str, object] = {"pk": "+1", "sk": "booking", "pk1": "booking"}
    await store.put(booking | {"sk1": f"{SLOT}::later"})
    first = await seed(store, configuration, TOOLS, now=NOW)
    await store.move("slots", SLOT, booking | {"sk1": SLOT})

    second = await seed(store, configuration, TOOLS, now=NOW)

    assert SeedResult("slots", SLOT) in first
    assert SeedResult("slots", SLOT) not in second
    assert await store.query("slots") == []


async def test_seeding_again_keeps_what_callers_have_said(
    configuration: Path, store: MemoryStore
) -> None:
    """An example caller who gave an address still has it; a record is replaced whole."""
    await store.merge("+15550100001", "profile", {"email": "ada@example.com"})
    await store.merge("flatsUseCase", "configuration", {"stale": True})

    await seed(store, configuration, TOOLS, now=NOW)

    caller = await store.get("+15550100001", "profile") or {}
    assert (caller["email"], caller["firstName"]) == ("ada@example.com", "Ada")
    assert "stale" not in (await store.get("flatsUseCase", "configuration") or {})


async def test_a_record_that_was_not_seeded_here_can_be_rolled_back_to(
    configuration: Path, store: MemoryStore
) -> None:
    """Users of the predecessor's table keep their records."""
    await store.put({"pk": "flatsUseCase", "sk": "configuration", "prompt": "Theirs."})
    versions = Versions(store, "flatsUseCase", NOW)

    [written, *_] = await seed(store, configuration, TOOLS, now=NOW)
    [back] = await roll_back(versions, None, TOOLS)

    assert (written.in_force, back.in_force) == (CurrentVersion(2), CurrentVersion(1))
    assert (await store.get("flatsUseCase", "configuration") or {})["prompt"] == "Theirs."


async def test_a_folder_is_tried_out_without_its_items(configuration: Path) -> None:
    """The record stays, and so does the data that all callers share."""
    store = MemoryStore()
    versions = Versions(store, "flatsUseCase", NOW)
    await versions.publish({"prompt": "Before."})

    tried = await try_out(versions, configuration, TOOLS, 10)
    ended = await try_out(versions, configuration / "nowhere", TOOLS, 0)

    assert tried == [SeedResult("flatsUseCase", "configuration", CurrentVersion(1, 2, 10))]
    assert ended == [SeedResult("flatsUseCase", "configuration", CurrentVersion(1))]
    assert await store.query("apartments") == []


async def test_one_file_can_be_loaded_alone(configuration: Path, tmp_path: Path) -> None:
    """A profile of ours, or a document for `put-item` of the predecessor."""
    store = MemoryStore()
    document = tmp_path / "profile.json"
    document.write_text('{"pk": {"S": "client:bob"}, "sk": {"S": "profile"}}')

    written = [
        *await seed_file(store, configuration / "profiles" / "ada.toml", TOOLS, now=NOW),
        *await seed_file(store, document, TOOLS, now=NOW),
        *await seed_file(store, document, TOOLS, now=NOW, dry_run=True),
    ]

    assert written == [
        SeedResult("+15550100001", "profile"),
        SeedResult("client:bob", "profile"),
        SeedResult("client:bob", "profile"),
    ]
    assert await store.get("client:bob", "profile") == {"pk": "client:bob", "sk": "profile"}


def test_a_document_of_dynamodb_is_an_item(tmp_path: Path) -> None:
    """All types a record may have; alone or as the `Item` of a request."""
    attributes = {
        "pk": {"S": "flatsUseCase"},
        "sk": {"S": "configuration"},
        "maxTokens": {"N": "250"},
        "temperature": {"N": "0.3"},
        "nothing": {"NULL": True},
        "conversationRelayParams": {"M": {"interruptible": {"BOOL": False}}},
        "languages": {"L": [{"M": {"code": {"S": "es-US"}}}]},
    }
    path = tmp_path / "item.json"

    for document in (attributes, {"TableName": "t", "Item": attributes}):
        path.write_text(json.dumps(document))
        assert load_document(path) == {
            "pk": "flatsUseCase",
            "sk": "configuration",
            "maxTokens": 250,
            "temperature": 0.3,
            "nothing": None,
            "conversationRelayParams": {"interruptible": False},
            "languages": [{"code": "es-US"}],
        }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[]", "Expected `object`, got `array`"),
        ("{", "cannot be read: Expecting property name"),
        ('{"sk": {"S": "x"}}', "Object missing required field `pk`"),
        ('{"pk": {"S": ""}, "sk": {"S": "x"}}', "pk: Expected `str` of length >= 1"),
        ('{"pk": "plain", "sk": {"S": "x"}}', "pk: is no attribute of DynamoDB's JSON"),
        ('{"pk": {"B": "AA=="}}', "pk: is no attribute of DynamoDB's JSON"),
        ('{"pk": {"N": "many"}}', "pk: Expected `int | float`, got `str`"),
        ('{"a": {"M": {"b": {"L": [{"N": "x"}]}}}}', "a.b[0]: Expected `int | float`, got `str`"),
    ],
)
def test_a_document_that_is_no_item_is_refused(tmp_path: Path, text: str, error: str) -> None:
    """The line names file, attribute and error."""
    path = tmp_path / "record.json"
    path.write_text(text)

    with pytest.raises(UseCaseError) as caught:
        load_document(path)

    assert str(caught.value).startswith(f"{path}: {error}")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("age = 3", "Object contains unknown field `age`"),
        ('first_name = "Ada 2"', "first_name: cannot be used"),
        ('email = "ada@home"', "email: cannot be used"),
    ],
)
def test_a_profile_that_calls_would_ignore_is_refused(
    tmp_path: Path, line: str, error: str
) -> None:
    """An unknown key, a text that is not a name, or not an address."""
    path = tmp_path / "x.toml"
    path.write_text(f'caller = "+1"\n{line}')

    with pytest.raises(UseCaseError, match=error):
        load_profile(path)


USE_CASE_ERRORS = {
    "titel = 'x'": "Object contains unknown field `titel`",
    "title = ": "cannot be read: Invalid value",
    "title = 1": "title: Expected `str`, got `int`",
    "[model]\nmax_token = 1": "model: Object contains unknown field `max_token`",
    "[model]\ntop_p = 2": "model.top_p: Expected `float` <= 1.0",
    "[model]\nservice_tier = 'flex'": "model.service_tier: Invalid enum value 'flex'",
    "tools = ['LookUpFunction']": "tools: there is no tool 'LookUpFunction'",
    "tools = ['ScheduleTourFunction', 'ScheduleTourFunction']": (
        "tools.ScheduleTourFunction: is named twice"
    ),
    "[keypad.10]": "keypad.10: is not a key",
    "[keypad.1]\nfunction = 'ScheduleTourFunction'": (
        "keypad.1.function: 'ScheduleTourFunction' is not in tools"
    ),
    "[relay]\nwelcomeGreeting = 'x'": "relay.welcomeGreeting: is called greeting, above [relay]",
    "[relay]\ndtmfDetection = 'perhaps'": (
        "conversationRelayParams.dtmfDetection: must be one of true, false"
    ),
    "[relay]\ninvented = true": (
        "conversationRelayParams.invented: the relay has no such attribute, dropped"
    ),
    "[phrases]\nfillers = 'x'": "phrases.fillers: Expected `array`, got `str`",
    "[[languages]]\nvoice = 'x'": "languages[0].code: missing",
    "greeting = 'Hello <<FIRST_NAME>>'": "greeting: <<FIRST_NAME>>: nothing fills this",
    "greeting_known = 'Hello <<NAME>>'": "greeting_known: <<NAME>>: nothing fills this",
    "backup_voice.provider = 'Polly'": "backup_voice.provider: Invalid enum value",
    "backup_voice.voice = 'x'": "backup_voice: Object missing required field `provider`",
    "backup_transcription = {provider = 'Google', voice = 'x'}": (
        "backup_transcription: Object contains unknown field `voice`"
    ),
}
ITEM_ERRORS = {
    "{}": "Expected `array`, got `object`",
    '[{"pk": "a"}]': "[0]: Object missing required field `sk`",
    '[{"pk": "a", "sk": "b", "expireAt": "tomorrow"}]': "[0].expireAt: Expected ",
    '[{"pk": "a", "sk": "b", "expireAt": "<<END>>"}]': "[0]: <<END>> is not DAY+n, or END+n",
    '[{"pk": "a", "sk": "<<DAY-1>>"}]': "[0]: <<DAY-1>> is not DAY+n, or END+n as expireAt",
    '[{"pk": "a", "sk": "b", "onlyUnlessIndexed": {"pk1": "x"}}]': (
        "[0].onlyUnlessIndexed: Object missing required field `sk1`"
    ),
}


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        *(("use-case.toml", text, error) for text, error in USE_CASE_ERRORS.items()),
        *(("items.json", text, error) for text, error in ITEM_ERRORS.items()),
        ("prompt.md", "<<MENU>>", "<<MENU>>: nothing fills this"),
        ("prompt.md", " \n", "is blank"),
        ("offline.json", "{", "cannot be read: Expecting property name"),
    ],
)
def test_an_error_is_one_line(
    configuration: Path, flats: Path, file: str, text: str, error: str
) -> None:
    """File, field and error; the path begins at the folder of the configuration."""
    (flats / file).write_text(text)

    [line] = check(configuration, TOOLS)

    assert line.startswith(f"use-cases/flatsUseCase/{file}: {error}")


def test_all_folders_and_profiles_are_checked(configuration: Path, flats: Path) -> None:
    """One broken file hides no other; a missing or unreadable one is named."""
    assert check(configuration, TOOLS) == []
    (configuration / "use-cases" / "emptyUseCase").mkdir()
    (flats / "prompt.md").write_bytes(b"\xff")
    (flats / "items.json").write_text("[1]")
    (configuration / "profiles" / "bob.toml").write_text('caller = "+1"\nuse_case = "noUseCase"')

    assert check(configuration, TOOLS) == [
        "use-cases/emptyUseCase/use-case.toml: cannot be read: No such file or directory",
        "use-cases/flatsUseCase/prompt.md: cannot be read: is not UTF-8",
        "use-cases/flatsUseCase/items.json: [0]: Expected `object`, got `int`",
        "profiles/bob.toml: use_case: there is no use case 'noUseCase'",
    ]
    assert check(configuration / "profiles", TOOLS) == ["use-cases: there is no use case"]


RECORD_FILE = {"pk": {"S": "flatsUseCase"}, "sk": {"S": "configuration"}, "prompt": {"S": "Sell."}}
MAX_TOKENS = "flatsUseCase.maxTokens: Expected `int` >= 1"


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ({**RECORD_FILE, "prompt": {"S": " "}}, ["flatsUseCase.prompt: is missing or blank"]),
        (
            {**RECORD_FILE, "tools": {"S": "[{"}, "maxTokens": {"N": "0"}},
            [MAX_TOKENS, "flatsUseCase.tools: is not JSON: Input data was truncated"],
        ),
        ({**RECORD_FILE, "sk": {"S": "version::000004"}, "maxTokens": {"N": "0"}}, [MAX_TOKENS]),
        (
            {"pk": {"S": "+1"}, "sk": {"S": "profile"}, "useCase": {"N": "1"}},
            ["+1.useCase: is not text"],
        ),
        (
            {"pk": {"S": "+1"}, "sk": {"S": "b"}, "text": {"S": "x" * 500_000}},
            ["+1 / b: the item has 488 KB, a table takes 400 KB at most"],
        ),
    ],
    ids=["no prompt", "record", "version", "profile", "too large"],
)
async def test_file_with_an_error_is_refused_before_it_is_written(
    tmp_path: Path, document: dict[str, object], faults: list[str]
) -> None:
    """A use case, a version, a profile, any item: one line for each error."""
    store, path = MemoryStore(), tmp_path / "item.json"
    path.write_text(json.dumps(document))

    with pytest.raises(UseCaseError) as caught:
        await seed_file(store, path, TOOLS, now=NOW)

    assert str(caught.value).splitlines() == faults
    assert await store.query("flatsUseCase") == await store.query("+1") == []


async def test_folder_with_an_error_is_neither_published_nor_tried(
    configuration: Path, flats: Path, store: MemoryStore
) -> None:
    """All folders and profiles are read before the first write."""
    await seed(store, configuration, TOOLS, now=NOW)
    before = await store.query("flatsUseCase")
    wrong = USE_CASE.replace('voice = "Anna"', 'ttsProvider = "nobody"')
    (flats / "use-case.toml").write_text(wrong)

    fault = "flatsUseCase.conversationRelayParams.ttsProvider: must be one of ElevenLabs"
    with pytest.raises(UseCaseError, match=fault):
        await seed(store, configuration, TOOLS, now=NOW)
    with pytest.raises(UseCaseError, match=fault):
        await try_out(Versions(store, "flatsUseCase", NOW), configuration, TOOLS, 10)
    (flats / "use-case.toml").write_text(USE_CASE.replace("Finds", "Sells"))
    (configuration / "profiles" / "bob.toml").write_text("caller = ''")
    with pytest.raises(UseCaseError, match="caller: Expected `str` of length >= 1"):
        await seed(store, configuration, TOOLS, now=NOW)
    assert await store.query("flatsUseCase") == before


async def test_broken_version_is_not_rolled_back_to(
    configuration: Path, store: MemoryStore
) -> None:
    """Neither by its number nor as the previous one."""
    await store.put({"pk": "flatsUseCase", "sk": "configuration", "prompt": ""})
    await seed(store, configuration, TOOLS, now=NOW)
    versions = Versions(store, "flatsUseCase", NOW)
    before = await store.query("flatsUseCase")

    for to in (1, None):
        with pytest.raises(UseCaseError, match=r"flatsUseCase\.prompt: is missing or blank"):
            await roll_back(versions, to, TOOLS)
    assert await store.query("flatsUseCase") == before
    [back] = await roll_back(versions, 2, TOOLS)
    assert back.in_force == CurrentVersion(2)


async def test_every_record_in_force_in_a_table_is_read(configuration: Path) -> None:
    """Use cases, a canary, profiles; one line each, and a missing default is one."""
    store = MemoryStore()
    await seed(store, configuration, TOOLS, now=NOW)
    faults, read = await check_table(store, "flatsUseCase", TOOLS)
    assert (faults, list(read)) == ([], ["flatsUseCase"])
    await store.merge("flatsUseCase", "configuration", {"maxTokens": 0})
    await store.merge("flatsUseCase", "configuration", {"canary": {"version": 9, "percent": 5}})
    old: dict[str, object] = {"pk1": "use-case", "sk": "configuration", "pk": "a", "sk1": "a"}
    await store.put({**old, "canary": {"version": 2, "percent": 5}, "prompt": "Sell. <<TODAY>>"})
    await store.put({"pk": "a", "sk": "version::000002", "prompt": 7})
    await store.merge("+15550100001", "profile", {"useCase": "gone", "email": 7})

    assert (await check_table(store, "other", TOOLS))[0] == [
        "other: there is no such use case",
        "a.prompt: <<TODAY>>: nothing fills this",
        "version 2: a.prompt: Expected `str`, got `int`",
        "flatsUseCase.maxTokens: Expected `int` >= 1; left out",
        "flatsUseCase.canary: there is no version 9",
        "+15550100001.email: is not text",
        "+15550100001.useCase: there is no use case 'gone'",
    ]
    await store.put({"pk": "b", "sk": "configuration", "prompt": " "})
    assert "b.prompt: is missing or blank" in (await check_table(store, "b", TOOLS))[0]


def test_backups_of_speech_are_read_back(flats: Path) -> None:
    """The record keeps the tables; the relay gets its attributes."""
    backups = """
backup_voice = { provider = "Google", voice = "en-US-Journey-O" }
backup_transcription = { provider = "Google", model = "telephony", language = "en-US" }
"""
    (flats / "use-case.toml").write_text(backups + USE_CASE)

    record = load_folder(flats, TOOLS, NOW)[0].item
    use_case, warnings = parse_use_case(record, TOOLS)

    assert record["backupVoice"] == {"provider": "Google", "voice": "en-US-Journey-O"}
    assert use_case.backup_voice == {"ttsProvider": "Google", "voice": "en-US-Journey-O"}
    assert use_case.backup_transcription == {
        "transcriptionProvider": "Google",
        "speechModel": "telephony",
        "transcriptionLanguage": "en-US",
    }
    assert warnings == ()


@pytest.mark.parametrize("wrong", [7, [], {"voice": "x"}, "{", {"provider": "Google", "voice": 7}])
def test_wrong_backup_of_a_record_is_left_out(wrong: object) -> None:
    """The call continues without a backup."""
    record = {"pk": "a", "prompt": "Sell.", "backupVoice": wrong}

    use_case, _ = parse_use_case(record, TOOLS)

    assert "voice" not in use_case.backup_voice
    assert bool(use_case.errors) is (wrong != [])
