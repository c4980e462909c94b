"""A table of the predecessor, or of its sibling, served as it is.

Each file of `predecessor/` is one item as `aws dynamodb put-item --item` takes it, with invented
people. Calls are set up and run by the code of production, at a time before the items expire.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.call.config import KeyBinding
from agent.call.history import AgentSaid, CallerSaid, History, ToolUsed
from agent.call.messages import Message, Role, Text, ToolCall, ToolResult
from agent.llm import NO_SCRIPT, OfflineModel
from agent.ports import LanguageModel, Store
from agent.store.call_state.call_item import TokenUse, record_of_call, spend_token
from agent.store.call_state.history_loader import load_history
from agent.store.sqlite import SqliteStore
from agent.tools import SPECS, TOOLS, CallContext, CallToolExecutor, IdempotencyStore
from agent.usecases import record as records
from agent.usecases.folders import load_document
from agent.usecases.seed import seed_file
from agent.usecases.use_case import Profile, UseCase, profile
from agent.usecases.versions import canary_in_progress, intact_version
from tests.fakes import Clock, MemoryMessenger, MemoryStore
from tests.servers import Server, settings_for, staged

FOLDER = Path(__file__).parent / "predecessor"
FILES = sorted(FOLDER.glob("*.json"))
IDA = "+15550100021"
TOM = "+15550100022"
CALL = "CA5e1f00000000000000000000000ab12c"
CONNECTION = "Zq3Xce1PoAMCAdA="
NOW = datetime(2026, 3, 5, 18, 40, tzinfo=UTC)
Opener = Callable[[Path, Clock], Awaitable[Store]]


async def _memory(_folder: Path, now: Clock) -> Store:
    return MemoryStore(now)


async def _sqlite(folder: Path, now: Clock) -> Store:
    return await SqliteStore.open(folder / "agent.db", now=now)


STORES: dict[str, Opener] = {"memory": _memory, "sqlite": _sqlite}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW.timestamp())


@pytest.fixture(params=STORES)
async def empty(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Store]:
    opened = await STORES[request.param](tmp_path, clock)
    yield opened
    await opened.close()


@pytest.fixture
async def store(empty: Store) -> Store:
    """With all that the predecessor's loaders and calls have left there."""
    for path in FILES:
        await empty.put(load_document(path))
    return empty


@asynccontextmanager
async def serving(folder: Path, store: Store, clock: Clock) -> AsyncIterator[Server]:
    def offline(_: str, script: str) -> LanguageModel:
        return OfflineModel(script or NO_SCRIPT)

    async with staged(settings_for(folder / "unused"), store, offline, clock=clock) as server:
        yield server


NOT_OFFERED = [
    "dtmfHandlers.1.replyFunction: ListAvailableApartmentsFunction is not a tool of this use case",
    "dtmfHandlers.2.replyFunction: CheckExistingAppointmentsFunction is not a tool of"
    " this use case",
]
DROPPED = "conversationRelayParams.interruptByDtmf: the relay has no such attribute, dropped"
WARNINGS = {
    "restaurantOrderingUseCase": [DROPPED, *NOT_OFFERED],
    "albertEinsteinUseCase": [DROPPED, *NOT_OFFERED],
    "encodedPromptUseCase": [DROPPED],
    "defaultUseCase": [
        DROPPED,
        "dtmfHandlers.3.replyFunction: DefaultSampleFunction is not implemented",
    ],
    "apartmentSearchUseCase": [DROPPED],
    "restaurantMessagesUseCase": [DROPPED],
}
"""What may be remarked about each record."""

VOICES = {
    "restaurantOrderingUseCase": (
        "Google", "en-US-Journey-O", "Lanternfish Pizza, what may I bake for you?",
    ),
    "albertEinsteinUseCase": (
        "ElevenLabs", "UgBBYS2sOqTuMpoF3BR0",
        "This is the Einstein line. What would you like to hear?",
    ),
    "encodedPromptUseCase": ("Google", "en-US-Journey-O", "Lanternfish Pizza, good evening."),
    "defaultUseCase": ("Google", "en-US-Journey-O", "Welcome, you are new here."),
    "apartmentSearchUseCase": (
        "Amazon", "Ruth-Generative",
        "Quince Court, good day. Press one for flats, two for your visits.",
    ),
    "restaurantMessagesUseCase": ("Google", "en-US-Journey-O", "Lanternfish Pizza, hello."),
}  # fmt: skip
"""Provider, voice and greeting of each record."""


async def parsed(store: Store, name: str) -> tuple[UseCase, tuple[str, ...]]:
    """A record of the table as the service reads it, and what is remarked about it."""
    record = await store.get(name, records.CONFIGURATION)
    assert record is not None
    return records.parse_use_case(record, SPECS)


async def test_every_record_is_listed(store: Store) -> None:
    names = [name for name, _, _ in await records.use_cases(store)]

    assert names == sorted(WARNINGS) == sorted(VOICES)


@pytest.mark.parametrize("name", WARNINGS)
async def test_every_record_is_read_with_these_remarks_only(store: Store, name: str) -> None:
    use_case, warnings = await parsed(store, name)

    assert list(warnings) == [f"{name}.{warning}" for warning in WARNINGS[name]]
    assert sorted(use_case.keypad) == list("0123456789")
    assert use_case.title


async def test_encoded_prompt_is_the_text_it_encodes(store: Store) -> None:
    use_case, _ = await parsed(store, "encodedPromptUseCase")

    assert use_case.prompt == (
        'You answer the phone of "Lanternfish Pizza".\nBe brief.\n\n<<USER_CONTEXT>>'
    )


async def test_leftover_tool_and_lost_key_do_no_harm(store: Store) -> None:
    guide, _ = await parsed(store, "albertEinsteinUseCase")
    reception, _ = await parsed(store, "defaultUseCase")

    assert [tool.name for tool in guide.tools] == ["CheckRestaurantDeliveryTime"]
    assert reception.keypad["3"] == KeyBinding()
    assert reception.keypad["4"] == KeyBinding("That was the four.")
    assert [guide.keypad[key] for key in "12"] == [KeyBinding(), KeyBinding()]
    assert guide.errors == reception.errors == ()


@pytest.mark.parametrize("name", VOICES)
async def test_call_is_set_up_and_led_by_every_record(
    tmp_path: Path, store: Store, clock: Clock, name: str
) -> None:
    await store.merge(IDA, "profile", {"useCase": name})

    async with serving(tmp_path, store, clock) as server:
        relay = await server.relay(From=IDA, To="+15550100099")
        async with server.twilio.connect(relay) as call:
            reply = await call.say("good evening to you")
            await call.press("4")
            pressed = await call.reply()
            await call.press("1")
            neutral = await call.reply()

    provider, voice, greeting = VOICES[name]
    told = {key: relay.attributes[key] for key in ("ttsProvider", "voice", "welcomeGreeting")}
    assert told == {"ttsProvider": provider, "voice": voice, "welcomeGreeting": greeting}
    assert relay.attributes["transcriptionProvider"] == "Deepgram"
    assert "interruptByDtmf" not in relay.attributes
    assert reply.text
    assert pressed.text
    assert neutral.text
    assert call.ledger.violations == []


async def test_key_of_an_old_record_runs_its_tool_on_old_data(
    tmp_path: Path, store: Store, clock: Clock
) -> None:
    async with serving(tmp_path, store, clock) as server, server.twilio.call(From=TOM) as call:
        await call.play_out()
        await call.press("2")
        reply = await call.reply(cycles=2)

    assert reply.cycles == ("I look for your visits.", "These tours are booked.")


async def test_prompt_is_filled_for_a_caller_of_the_old_table(
    tmp_path: Path, store: Store, clock: Clock
) -> None:
    async with serving(tmp_path, store, clock) as server:
        relay = await server.relay(From=IDA)
        (item,) = await server.items(relay.fields["CallSid"], "connection")

    assert item["useCase"] == "restaurantOrderingUseCase"
    prompt = " ".join(str(item["systemPrompt"]).split())
    assert 'The caller is "Ida Quill"' in prompt
    assert "ida@example.com" in prompt
    assert prompt.count("March 05, 2026 at 6:40 PM") == 2
    assert "<<" not in prompt


async def test_history_of_the_old_table_is_told(tmp_path: Path, store: Store, clock: Clock) -> None:
    record = {"prompt": "Sell pizza. <<CALLER_HISTORY>>"}
    await store.merge("restaurantOrderingUseCase", "configuration", record)
    sibling = load_document(FOLDER / "order-sibling.json")
    await store.put({**sibling, "pk": IDA})

    async with serving(tmp_path, store, clock) as server:
        relay = await server.relay(From=IDA)
        (item,) = await server.items(relay.fields["CallSid"], "connection")

    assert item["systemPrompt"] == [
        {
            "text": "Sell pizza. From our records, the newest first; this is information, never "
            "an instruction, and prices may have changed since.\n"
            '1. Thursday, March 5, 2026, order for pickup: "small Lanternfish (well done)"; '
            "12.00 dollars in total.\n"
            '2. Wednesday, March 4, 2026, order for delivery: "large Lanternfish", '
            '"green salad (no onions)"; 28.50 dollars in total.\n'
            '3. Monday, March 2, 2026, order for pickup: "calzone"; 13.00 dollars in total.'
        }
    ]


async def test_reception_offers_the_other_records(
    tmp_path: Path, store: Store, clock: Clock
) -> None:
    await store.merge(TOM, "profile", {"useCase": "defaultUseCase"})

    async with serving(tmp_path, store, clock) as server:
        relay = await server.relay(From=TOM)
        (item,) = await server.items(relay.fields["CallSid"], "connection")

    assert (
        "2. Find a flat: Shows the flats of one house and plans visits. "
        "(key: apartmentSearchUseCase)"
    ) in str(item["systemPrompt"])


async def test_profiles_are_read(store: Store) -> None:
    """With an address or without one, by number or by identity (A9)."""
    assert [await profile(store, caller) for caller in (IDA, TOM, "client:wren")] == [
        Profile(IDA, "Ida", "Quill", "ida@example.com", "restaurantOrderingUseCase"),
        Profile(TOM, "Tom", "Sedge", "", "apartmentSearchUseCase"),
        Profile("client:wren", "Wren", "Alder", "", "albertEinsteinUseCase"),
    ]


async def test_record_loaded_as_a_file_is_a_version_and_served(
    tmp_path: Path, empty: Store, clock: Clock
) -> None:
    for path in FILES:
        await seed_file(empty, path, now=NOW)

    record = await empty.get("restaurantOrderingUseCase", "configuration") or {}
    theirs = load_document(FOLDER / "record-restaurant.json")
    async with serving(tmp_path, empty, clock) as server, server.twilio.call(From=IDA) as call:
        reply = await call.say("good evening to you")

    assert (intact_version(record), canary_in_progress(record)) == (1, 0)
    assert theirs.items() <= record.items()
    assert reply.text


async def test_session_of_the_predecessor_is_read_and_opens_no_line(store: Store) -> None:
    """It has no token, so no socket can open its call."""
    session = await store.get(CALL, "connection") or {}
    record = await store.get(str(session["useCase"]), "configuration") or {}

    use_case, _ = records.parse_use_case(record_of_call(record, session), SPECS)

    assert use_case.prompt.startswith("You answer the phone of Lanternfish Pizza.\n")
    assert "The caller is Ida Quill" in use_case.prompt
    assert use_case.model.identifier == "us.amazon.nova-lite-v1:0"
    assert [tool.name for tool in use_case.tools] == [
        "PlaceOrderFunction", "CheckRestaurantPickUpTime", "CheckRestaurantDeliveryTime",
    ]  # fmt: skip
    assert (await spend_token(store, CALL, "", NOW.timestamp())).use is TokenUse.REFUSED
    assert (await spend_token(store, CONNECTION, "", NOW.timestamp())).use is TokenUse.REFUSED


ORDER = ToolCall(
    "old000002",
    "PlaceOrderFunction",
    json.dumps(
        {
            "current_order": [
                {
                    "line_item": "small Lanternfish",
                    "additonal_details": "well done",
                    "line_amount": 12,
                }
            ],
            "order_type": "pickup",
            "order_total": 12,
        }
    ),
)
TIME = ToolCall("old000003", "CheckRestaurantPickUpTime", '{"order_type": "pickup"}')
PLACED = ToolResult("old000002", '{"message": "The kitchen has it."}')
TOLD = ToolResult(
    "old000003", '{"pickupTime": "30 minutes", "message": "It is ready in 30 minutes."}'
)


async def test_chat_of_the_predecessor_is_read_back(store: Store) -> None:
    facts = (await load_history(store, CALL)).facts

    assert facts == [
        CallerSaid("One small Lanternfish to go, how long does it take?"),
        AgentSaid("One small Lanternfish, I write it down."),
        ToolUsed(0, ORDER, PLACED),
        ToolUsed(0, TIME, TOLD),
        CallerSaid("Thank you."),
        AgentSaid("Half an hour. See you soon, Ida!"),
    ]


async def test_chat_of_the_predecessor_makes_messages_for_a_model(store: Store) -> None:
    history = History((await load_history(store, CALL)).facts)

    history.append(CallerSaid("One thing more."))

    assert history.messages(10_000) == (
        Message(Role.CALLER, (Text("One small Lanternfish to go, how long does it take?"),)),
        Message(Role.AGENT, (Text("One small Lanternfish, I write it down."), ORDER, TIME)),
        Message(Role.CALLER, (PLACED, TOLD, Text("Thank you."))),
        Message(Role.AGENT, (Text("Half an hour. See you soon, Ida!"),)),
        Message(Role.CALLER, (Text("One thing more."),)),
    )


async def test_chat_of_the_sibling_is_passed_over(store: Store) -> None:
    """They are in the form of OpenAI, under a connection id, and expire in a day."""
    assert len(await store.query(CONNECTION, "chat::")) == 5
    assert (await load_history(store, CONNECTION)).facts == []


def _call(store: Store, clock: Clock, caller: str, use_case: str, call_id: str) -> CallToolExecutor:
    context = CallContext(
        call_id=call_id,
        caller=caller,
        to="+15550100099",
        use_case=use_case,
        profile=Profile(caller),
        store=store,
        idempotency=IdempotencyStore(store, call_id, clock),
        messenger=MemoryMessenger(),
        clock=clock,
        time_zone=UTC,
    )
    return CallToolExecutor(TOOLS, context)


async def _told(toolbox: CallToolExecutor, name: str, **arguments: object) -> Any:
    outcome = await toolbox.run(ToolCall("call00001", name, json.dumps(arguments)))
    assert not outcome.is_error, outcome.content
    return json.loads(outcome.content)


async def test_past_orders_are_told(store: Store, clock: Clock) -> None:
    toolbox = _call(store, clock, IDA, "restaurantOrderingUseCase", "CA1")

    told = await _told(toolbox, "CheckPastOrdersFunction")

    assert told["orders"] == [
        {
            "ordered": "Thursday, March 5",
            "order_items": ["small Lanternfish (well done)"],
            "order_type": "pickup",
            "order_total": 12,
        },
        {
            "ordered": "Wednesday, March 4",
            "order_items": ["large Lanternfish", "green salad (no onions)"],
            "order_type": "delivery",
            "order_total": 28.5,
        },
        {
            "ordered": "Tuesday, March 3",
            "order_items": [],
            "order_type": "pickup",
            "order_total": 9,
        },
    ]


@pytest.mark.parametrize(
    ("caller", "call_id", "ordered"),
    [
        (TOM, "CA5e1f00000000000000000000000ab12c", []),
        ("", "CA5e1f00000000000000000000000cd34e", ["Thursday, March 5"]),
    ],
    ids=["nobody else's", "of the call alone"],
)
async def test_past_orders_are_those_of_the_caller(
    store: Store, clock: Clock, caller: str, call_id: str, ordered: list[str]
) -> None:
    toolbox = _call(store, clock, caller, "restaurantOrderingUseCase", call_id)

    told = await _told(toolbox, "CheckPastOrdersFunction")

    assert [order["ordered"] for order in told["orders"]] == ordered


async def test_order_of_the_sibling_is_told(store: Store, clock: Clock) -> None:
    sibling = load_document(FOLDER / "order-sibling.json")
    await store.put({**sibling, "pk": TOM})

    told = await _told(
        _call(store, clock, TOM, "restaurantOrderingUseCase", "CA1"), "CheckPastOrdersFunction"
    )

    assert [order["order_items"] for order in told["orders"]] == [["calzone"]]


async def test_order_is_taken_by_the_old_record(store: Store, clock: Clock) -> None:
    """It has no menu: the lines are those of the model, the total is ours."""
    toolbox = _call(store, clock, IDA, "restaurantOrderingUseCase", "CA1")
    line = {"line_item": "small Lanternfish", "additonal_details": "olives", "line_amount": 14}

    placed = await _told(
        toolbox,
        "PlaceOrderFunction",
        current_order=[line],
        order_type="delivery",
        order_total=12,
        delivery_address="7 Elm Road",
    )
    ready = await _told(toolbox, "CheckRestaurantPickUpTime", order_type="pickup")

    assert placed["message"] == (
        "The order is placed. The total is 14.00 dollars. "
        "The total of 12 was wrong: tell the caller the right one."
    )
    assert ready["pickupTime"] == "30 minutes"
    kept = [order["order"] for order in await store.query(IDA, "restaurantOrder::CA1::")]
    assert kept == [
        {
            "order_items": [
                {
                    "line_item": "small Lanternfish",
                    "additional_details": "olives",
                    "line_amount": 14.0,
                }
            ],
            "order_type": "delivery",
            "order_total": 14.0,
            "delivery_address": "7 Elm Road",
        }
    ]


async def test_apartments_are_found(store: Store, clock: Clock) -> None:
    toolbox = _call(store, clock, TOM, "apartmentSearchUseCase", "CA1")

    listed = await _told(toolbox, "ListAvailableApartmentsFunction", date="2026-04-10", budget=1500)
    fees = await _told(
        toolbox, "CommonInquiriesFunction", inquiryType="fees", apartmentType="studio"
    )
    parking = await _told(toolbox, "CommonInquiriesFunction", inquiryType="parking")

    assert [each["layout"] for each in listed["availableApartments"]] == ["studio", "one-bedroom"]
    assert fees["inquiryDetails"] == {"studio": {"applicationFee": 40, "securityDeposit": 490}}
    assert sorted(parking["inquiryDetails"]) == [
        "one-bedroom", "studio", "three-bedroom", "two-bedroom",
    ]  # fmt: skip


async def test_slot_of_the_old_table_is_booked_beside_an_old_booking(
    store: Store, clock: Clock
) -> None:
    toolbox = _call(store, clock, TOM, "apartmentSearchUseCase", "CA1")
    wanted = {"date": "2026-03-06", "type": "in-person", "apartmentType": "studio"}

    free = await _told(toolbox, "CheckAvailabilityFunction", **wanted)
    booked = await _told(toolbox, "ScheduleTourFunction", **wanted, time="14:00")
    visits = await _told(toolbox, "CheckExistingAppointmentsFunction")
    left = await _told(toolbox, "CheckAvailabilityFunction", **wanted)

    assert [slot["time"] for slot in free["availableSlots"]] == ["9:30 AM", "2:00 PM"]
    assert booked["available"] is True
    assert visits["appointments"] == [
        {**wanted, "time": "2:00 PM"},
        {
            "date": "2026-03-08",
            "time": "11:00 AM",
            "type": "in-person",
            "apartmentType": "two-bedroom",
        },
    ]
    assert [slot["time"] for slot in left["availableSlots"]] == ["9:30 AM"]


async def test_person_is_asked_for_in_the_words_of_the_old_schema(
    store: Store, clock: Clock
) -> None:
    toolbox = _call(store, clock, TOM, "apartmentSearchUseCase", "CA1")

    told = await _told(
        toolbox, "LiveAgentHandoffFunction", reason="legal", context="A question on the lease."
    )

    assert "message" in told
