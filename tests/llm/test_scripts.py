"""Whole conversations with the shipped use cases, without an account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from agent.call.history import AgentSaid, InputMode
from agent.llm import OfflineModel
from tests.llm.scripts import SHIPPED, USE_CASES, Result, call_to, script

HANDOFF: Mapping[str, Result] = {"LiveAgentHandoffFunction": {"message": "Connected soon."}}
ENDING: Mapping[str, Result] = {**HANDOFF, "EndCallFunction": {"message": "The call ends."}}
RESTAURANT: Mapping[str, Result] = {
    **ENDING,
    "PlaceOrderFunction": {
        "message": "The order is placed. The total is 54.50 dollars.",
        "order_total": "54.50",
        "order_type": "pickup",
        "order_items": [],
    },
    "CheckRestaurantPickUpTime": {"pickupTime": "30 minutes", "message": "Ready."},
    "CheckRestaurantDeliveryTime": {"deliveryTime": "1 hour", "message": "There."},
    "CheckPastOrdersFunction": {
        "orders": [{"ordered": "Monday, March 2", "order_items": ["Large Cheese", "Tomato Soup"]}],
        "message": "These are the latest orders of this caller.",
    },
}
SLOT = {"date": "2026-03-06", "time": "10:30 AM", "type": "in-person", "apartmentType": "studio"}
STUDIO = {"layout": "studio", "rent": 1250, "squareFeet": 480, "moveInDate": "2026-03-12"}
APARTMENTS: Mapping[str, Result] = {
    **ENDING,
    "ListAvailableApartmentsFunction": {"availableApartments": [STUDIO], "message": "Fit."},
    "CheckAvailabilityFunction": {"availableSlots": [SLOT], "message": "Free."},
    "ScheduleTourFunction": {"available": True, "message": "Booked."},
    "CheckExistingAppointmentsFunction": {"appointments": [SLOT], "message": "Booked."},
    "CommonInquiriesFunction": {
        "inquiryDetails": {"studio": "Cats are welcome."},
        "message": "This is what we have.",
    },
    "SendAppointmentConfirmationSmsFunction": {"status": "sent", "message": "Sent."},
}
DEFAULT: Mapping[str, Result] = {
    **ENDING,
    "DefaultSaveFirstAndLastName": {"message": "The name is saved."},
    "DefaultSaveUseCase": {"message": "The choice is saved."},
}
Called = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class Turn:
    """What the caller says, what is heard back, and which tools run."""

    caller: str
    heard: tuple[str, ...] = ()
    called: tuple[Called, ...] = ()


async def _hold(use_case: str, results: Mapping[str, Result], turns: list[Turn]) -> None:
    call = call_to(use_case, results)
    for turn in turns:
        heard = await call.says(turn.caller)

        for words in turn.heard:
            assert words in heard, f"{turn.caller!r} → {heard!r}"
        assert call.called == list(turn.called), turn.caller


async def test_pickup_order_is_dictated_corrected_confirmed_and_timed() -> None:
    """Several items at once, added and removed; placed once, after the read-back."""
    placed = {
        "current_order": [
            {
                "line_item": "Cheese",
                "size": "large",
                "toppings": ["mushrooms"],
                "quantity": 2,
                "line_amount": 42.0,
            },
            {"line_item": "Pepperoni", "size": "small", "quantity": 1, "line_amount": 12.5},
        ],
        "order_type": "pickup",
        "order_total": 54.5,
    }

    await _hold(
        "restaurantOrderingUseCase",
        RESTAURANT,
        [
            Turn("hi there", ("Hello",)),
            Turn(
                "uh two large margheritas with mushrooms and a caesar salad",
                ("2 large Cheese pizzas with mushrooms and 1 Caesar Salad", "pickup or delivery"),
            ),
            Turn("pickup please", ("pickup",)),
            Turn("um can you also add a small pepperoni pizza", ("1 small Pepperoni pizza",)),
            Turn("take off the caesar salad", ("took off 1 Caesar Salad",)),
            Turn("no that's all", ("$54.50", "for pickup", "Is that right?")),
            Turn(
                "yes",
                ("Your order is placed", "$54.50", "in 30 minutes"),
                (
                    ("PlaceOrderFunction", placed),
                    ("CheckRestaurantPickUpTime", {"order_type": "pickup"}),
                ),
            ),
            Turn("thank you", ("welcome",)),
            Turn("okay", ("go ahead",)),
            Turn("add a soup", ("already in the kitchen",)),
            Turn("no bye", ("Goodbye",), (("EndCallFunction", {}),)),
        ],
    )


async def test_delivery_order_needs_sizes_and_an_address() -> None:
    """What is missing is asked for, one thing at a time; remarks reach the kitchen."""
    placed = {
        "current_order": [
            {
                "line_item": "Garden",
                "size": "large",
                "quantity": 1,
                "additional_details": "no red onion",
                "line_amount": 22.0,
            },
            {
                "line_item": "Lighthouse",
                "size": "medium",
                "toppings": ["extra cheese", "pepperoni"],
                "quantity": 2,
                "line_amount": 50.0,
            },
        ],
        "order_type": "delivery",
        "order_total": 72.0,
        "delivery_address": "12 Main Street Apartment 4",
    }

    await _hold(
        "restaurantOrderingUseCase",
        RESTAURANT,
        [
            Turn("i want to order pizza", ("Which pizza",)),
            Turn("a garden and a cheese pizza with extra cheese and pepperoni", ("what size",)),
            Turn("large", ("For the Cheese pizza",)),
            Turn("medium", ("pickup or delivery",)),
            Turn("delivery", ("delivery address",)),
            Turn("it's twelve main street apartment four", ("12 Main Street Apartment 4",)),
            Turn("no onions on the garden pizza", ("Garden pizza without red onion",)),
            Turn("change the cheese pizza to a lighthouse", ("medium Lighthouse pizza",)),
            Turn("that's all", ("$47", "12 Main Street")),
            Turn("no", ("change?",)),
            Turn("make that two", ("2 medium Lighthouse",)),
            Turn("thats all thanks", ("$72",)),
            Turn(
                "yes please go ahead",
                ("in 1 hour",),
                (
                    ("PlaceOrderFunction", placed),
                    ("CheckRestaurantDeliveryTime", {"order_type": "delivery"}),
                ),
            ),
        ],
    )


def earlier(*order_items: str, order_type: str = "pickup") -> Mapping[str, Result]:
    """The tools of the restaurant, for somebody who ordered this on Monday."""
    order = {"ordered": "Monday, March 2", "order_items": order_items, "order_type": order_type}
    return {**RESTAURANT, "CheckPastOrdersFunction": {"orders": [order], "message": "These."}}


PAST: Called = ("CheckPastOrdersFunction", {})


async def test_same_as_last_time_is_read_back_and_placed() -> None:
    """At the prices of today, as an order like any other."""
    placed = {
        "current_order": [
            {
                "line_item": "Garden",
                "size": "large",
                "toppings": ["bacon"],
                "quantity": 2,
                "additional_details": "no red onion",
                "line_amount": 50.0,
            },
            {"line_item": "Tomato Soup", "quantity": 1, "line_amount": 8.5},
        ],
        "order_type": "pickup",
        "order_total": 58.5,
    }

    await _hold(
        "restaurantOrderingUseCase",
        earlier("2 Large Garden with bacon (no red onion)", "Tomato Soup"),
        [
            Turn(
                "the same as last time please",
                (
                    "As on Monday, March 2, I have 2 large Garden pizzas with bacon without red "
                    "onion and 1 Tomato Soup, for pickup. Today the total is $58.50.",
                ),
                (PAST,),
            ),
            Turn(
                "yes",
                ("Your order is placed",),
                (
                    ("PlaceOrderFunction", placed),
                    ("CheckRestaurantPickUpTime", {"order_type": "pickup"}),
                ),
            ),
        ],
    )


async def test_same_as_last_time_can_be_changed_before_it_is_placed() -> None:
    """It is an order that was dictated at once."""
    await _hold(
        "restaurantOrderingUseCase",
        earlier("Tomato Soup", order_type="delivery"),
        [
            Turn("like last time", ("1 Tomato Soup. What is the delivery address?",), (PAST,)),
            Turn("it's twelve main street", ("So that is 1 Tomato Soup, for delivery",)),
            Turn("add a house salad", ("1 House Salad",)),
            Turn("that's all", ("1 Tomato Soup and 1 House Salad", "12 Main Street", "$18.50")),
        ],
    )


@pytest.mark.parametrize(
    ("items", "heard"),
    [
        (
            ("Small Hawaiian", "Tomato Soup"),
            "I am sorry, Small Hawaiian is not on our menu any more. "
            "As on Monday, March 2, I have 1 Tomato Soup, for pickup. Today the total is $8.50.",
        ),
        (("small Lanternfish",), "I am sorry, small Lanternfish is not on our menu any more. What"),
        (("Cheese",), "For the Cheese pizza, what size would you like"),
    ],
)
async def test_what_is_gone_since_last_time_is_said(items: tuple[str, ...], heard: str) -> None:
    """Nothing is left out in silence."""
    call = call_to("restaurantOrderingUseCase", earlier(*items))

    assert heard in await call.says("i'd like the same as last time")


async def test_same_as_last_time_is_refused_by_the_menu_of_today() -> None:
    """What the script does not know the tool does."""
    results = {**earlier("Tomato Soup"), "PlaceOrderFunction": "'Tomato Soup' is not on the menu."}
    call = call_to("restaurantOrderingUseCase", results)
    await call.says("the usual")

    heard = await call.says("yes")

    assert heard == (
        "I am sorry, the order did not go through. Something of last time may be gone from our "
        "menu. What would you like to change?"
    )


async def test_who_never_ordered_has_no_last_time() -> None:
    """And can order now."""
    none: Result = {"orders": [], "message": "There are no past orders."}
    results = {**RESTAURANT, "CheckPastOrdersFunction": none}
    call = call_to("restaurantOrderingUseCase", results)

    heard = await call.says("the same as last time")
    placing = await call.says("a tomato soup for pickup")

    assert "I find no earlier orders of yours." in heard
    assert "1 Tomato Soup" in placing


@pytest.mark.parametrize("use_case", ["restaurantOrderingUseCase", "defaultUseCase"])
async def test_address_is_read_back_before_it_is_saved(use_case: str) -> None:
    """A no asks for it again, a yes saves it."""
    heard: Result = {"saved": False, "read_back": "a, d, a, at, x, dot, c, o, m", "message": "No."}
    saving = ("SaveEmailFunction", {"email": "ada at x dot com"})
    first = call_to(use_case, {**DEFAULT, "SaveEmailFunction": heard})
    await first.says("i am ada lovelace")

    asked = await first.says("my email is ada at x dot com")
    assert (asked, first.called) == (
        "I heard a, d, a, at, x, dot, c, o, m. Is that address right?",
        [saving],
    )
    refused = await first.says("no")
    assert "Could you spell the e-mail address for me" in refused
    again = await first.says("a d a at x dot com")
    assert "Did I get the address right?" in again
    first.results = {**DEFAULT, "SaveEmailFunction": {"saved": True, "message": "Saved."}}
    saved = await first.says("yes")

    assert saved.startswith("Thank you, the address is saved.")
    assert first.called == [
        ("SaveEmailFunction", {"email": "a d a at x dot com", "confirmed": "true"})
    ]


async def test_restaurant_answers_questions_about_itself() -> None:
    """Hours, place, menu, prices, dishes and earlier orders are known."""
    await _hold(
        "restaurantOrderingUseCase",
        RESTAURANT,
        [
            Turn("what time do you close", ("11 PM",)),
            Turn("where are you located", ("214 Lantern Street", "9 7 0 0 0")),
            Turn("what's on the menu", ("calzones",)),
            Turn("which toppings do you have", ("jalapenos",)),
            Turn("what is on the lighthouse", ("fennel sausage",)),
            Turn("can you recommend something", ("Lighthouse",)),
            Turn("do you deliver", ("we deliver",)),
            Turn("two sodas", ("not on our menu",)),
            Turn(
                "what were my last orders",
                ("Large Cheese and Tomato Soup",),
                (("CheckPastOrdersFunction", {}),),
            ),
        ],
    )


async def test_order_that_was_refused_can_be_tried_again() -> None:
    """An error is told, and only a new yes places the order again."""
    call = call_to(
        "restaurantOrderingUseCase", {**RESTAURANT, "PlaceOrderFunction": "The kitchen is closed."}
    )
    for text in ("a house salad for pickup", "that's all"):
        await call.says(text)

    refused = await call.says("yes")
    tried = len(call.called)
    again = await call.says("yes")

    assert "did not go through" in refused
    assert "did not go through" in again
    assert (tried, len(call.called)) == (1, 1)


async def test_yes_to_a_read_back_that_was_cut_places_nothing() -> None:
    """A question of which the caller did not hear the end cannot be agreed to."""
    call = call_to("restaurantOrderingUseCase", RESTAURANT)
    for text in ("a house salad for pickup", "that's all"):
        await call.says(text)
    call.history.cut_speech(len(call.history) - 1, "So that is 1 House")

    heard = await call.says("yes")

    assert call.called == []
    assert "The total is $10" in heard


async def test_apartment_is_found_toured_and_confirmed_by_message() -> None:
    """Availability comes before booking; the text message only with consent."""
    details: dict[str, object] = {**SLOT}
    await _hold(
        "apartmentSearchUseCase",
        APARTMENTS,
        [
            Turn("hi i need to find an apartment", ("Which layout",)),
            Turn(
                "a studio under fifteen hundred",
                ("a studio for $1,250", "Thursday, March 12"),
                (
                    (
                        "ListAvailableApartmentsFunction",
                        {"budget": 1500, "apartmentType": "studio"},
                    ),
                ),
            ),
            Turn("yes", ("in person",)),
            Turn("in person please", ("Which day",)),
            Turn(
                "tomorrow",
                ("Friday, March 6 at 10:30 AM", "book it"),
                (
                    (
                        "CheckAvailabilityFunction",
                        {"date": "2026-03-06", "type": "in-person", "apartmentType": "studio"},
                    ),
                ),
            ),
            Turn(
                "yes please",
                ("booked for Friday, March 6", "text message"),
                (("ScheduleTourFunction", details),),
            ),
            Turn(
                "sure",
                ("sent you the details",),
                (("SendAppointmentConfirmationSmsFunction", {"appointmentDetails": details}),),
            ),
            Turn(
                "do you allow cats",
                ("Cats are welcome.",),
                (
                    (
                        "CommonInquiriesFunction",
                        {"inquiryType": "pet policy", "apartmentType": "studio"},
                    ),
                ),
            ),
            Turn(
                "what are my appointments",
                ("a tour of the studio on Friday, March 6",),
                (("CheckExistingAppointmentsFunction", {}),),
            ),
            Turn("no that's all bye", ("Goodbye",), (("EndCallFunction", {}),)),
        ],
    )


async def test_tour_with_several_free_times_lets_the_caller_choose() -> None:
    """A time is asked for, looked up again, and only then offered for booking."""
    later = {**SLOT, "time": "2:00 PM"}
    results = {**APARTMENTS, "CheckAvailabilityFunction": {"availableSlots": [SLOT, later]}}

    call = call_to("apartmentSearchUseCase", results)
    await call.says("i want to see the studio on my own next monday")
    heard = await call.says("at two")

    assert "10:30 AM" in heard
    assert call.called == [
        (
            "CheckAvailabilityFunction",
            {
                "date": "2026-03-09",
                "time": "2:00 PM",
                "type": "self-guided",
                "apartmentType": "studio",
            },
        )
    ]


async def test_tour_that_is_gone_or_never_free_leads_to_another_day() -> None:
    """No slot and a lost slot both end in a question, not in a booking."""
    none = {**APARTMENTS, "CheckAvailabilityFunction": {"availableSlots": []}}
    lost = {**APARTMENTS, "ScheduleTourFunction": {"available": False}}

    first = await call_to("apartmentSearchUseCase", none).says(
        "schedule an in person tour of a studio tomorrow"
    )
    second = call_to("apartmentSearchUseCase", lost)
    await second.says("schedule an in person tour of a studio tomorrow")

    assert "no tour free" in first
    assert "just been taken" in await second.says("yes")


async def test_fees_are_told_for_one_layout_and_then_for_the_one_asked() -> None:
    """Without a layout the smallest is the example."""
    fees = {"studio": {"applicationFee": 50, "securityDeposit": 600}}
    results = {**APARTMENTS, "CommonInquiriesFunction": {"inquiryDetails": fees}}
    call = call_to("apartmentSearchUseCase", results)

    general = await call.says("what are the fees")
    await call.says("one")

    assert "$50" in general
    assert "$600" in general
    assert call.called == [
        ("CommonInquiriesFunction", {"inquiryType": "fees", "apartmentType": "one-bedroom"})
    ]


async def test_keys_of_the_apartment_menu_work_without_a_binding() -> None:
    """A key that reaches the model as a note has the meaning the greeting gave it."""
    call = call_to("apartmentSearchUseCase", APARTMENTS)

    await call.says("2", means=InputMode.KEYPAD)

    assert call.called == [("CheckExistingAppointmentsFunction", {})]


async def test_physicist_answers_goes_on_and_refuses_what_is_off_topic() -> None:
    """Topics have more than one answer; everything else is declined kindly."""
    await _hold(
        "albertEinsteinUseCase",
        ENDING,
        [
            Turn("good morning", ("Good day",)),
            Turn("so what is relativity", ("beam of light",)),
            Turn("tell me more", ("one speed for all",)),
            Turn("did you play the violin", ("Lina",)),
            Turn("what is the weather like tomorrow", ("outside my field",)),
            Turn("and who wins the cup", ("violin",)),
            Turn("thank you", ("welcome",)),
            Turn("no goodbye", ("pleasure",), (("EndCallFunction", {}),)),
        ],
    )


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ("why did you get the nobel prize", "photoelectric"),
        ("what about quantum mechanics", "dice"),
        ("do atoms exist", "molecules"),
        ("what happened in 1905", "1905"),
        ("tell me about the patent office", "Bern"),
        ("were you bad at math", "geometry"),
        ("how was your childhood", "compass"),
        ("tell me about your wife", "Mileva"),
        ("did you build the atomic bomb", "letter"),
        ("do you believe in god", "Spinoza"),
        ("what is a black hole", "Schwarzschild"),
        ("does the universe expand", "Hubble"),
    ],
)
async def test_physicist_knows_the_topic(asked: str, word: str) -> None:
    """Each topic answers with its own words."""
    assert word in await call_to("albertEinsteinUseCase", ENDING).says(asked)


async def test_newcomer_gives_a_name_and_chooses_from_the_prompts_list() -> None:
    """The list of demos comes from the system prompt, as the use cases of the table."""
    await _hold(
        "defaultUseCase",
        DEFAULT,
        [
            Turn("hello", ("first and last name",)),
            Turn("ada", ("last name?",)),
            Turn(
                "lovelace",
                ("Thank you, Ada", "Restaurant ordering, Apartment search and Albert Einstein"),
                (
                    (
                        "DefaultSaveFirstAndLastName",
                        {"firstName": "Ada", "lastName": "Lovelace"},
                    ),
                ),
            ),
            Turn("hm what was that", ("Albert Einstein",)),
            Turn(
                "the second one please",
                ("Apartment search", "call again"),
                (("DefaultSaveUseCase", {"useCase": "apartmentSearchUseCase"}),),
            ),
        ],
    )


@pytest.mark.parametrize("said", ["hello", "hi there", "yes", "can you hear me", "who is this"])
async def test_what_is_no_name_is_not_taken_for_one(said: str) -> None:
    """A greeting answers a greeting; nobody is saved as Hello."""
    call = call_to("defaultUseCase", DEFAULT)
    call.history.append(AgentSaid("Hello and welcome. May I have your first and last name?"))

    first = await call.says(said)
    await call.says("ada lovelace")

    assert "last name?" not in first.replace("first and last name?", "")
    assert call.called == [
        ("DefaultSaveFirstAndLastName", {"firstName": "Ada", "lastName": "Lovelace"})
    ]


@pytest.mark.parametrize(
    ("chosen", "key"),
    [("3", "albertEinsteinUseCase"), ("the restaurant", "restaurantOrderingUseCase")],
)
async def test_demo_is_chosen_by_number_or_by_name(chosen: str, key: str) -> None:
    """Callers say what they remember."""
    call = call_to("defaultUseCase", DEFAULT)
    await call.says("my name is ada lovelace")

    await call.says(chosen)

    assert call.called == [("DefaultSaveUseCase", {"useCase": key})]


@pytest.mark.parametrize("use_case", SHIPPED)
async def test_caller_who_asks_for_a_person_gets_one(use_case: str) -> None:
    """The way out works at any time, and says why."""
    results: dict[str, Mapping[str, Result]] = {
        "restaurantOrderingUseCase": RESTAURANT,
        "apartmentSearchUseCase": APARTMENTS,
        "albertEinsteinUseCase": ENDING,
        "defaultUseCase": DEFAULT,
    }
    call = call_to(use_case, results[use_case])
    await call.says("hello")

    heard = await call.says("um i'd like to speak to a real person please")

    assert [name for name, _ in call.called] == ["LiveAgentHandoffFunction"]
    assert call.called[0][1]["reason"] == "user-requested"
    assert "connecting you" in heard


async def test_sensitive_matter_is_handed_over_with_its_reason() -> None:
    """Legal and financial matters are not for a machine."""
    call = call_to("restaurantOrderingUseCase", RESTAURANT)

    await call.says("i got food poisoning and will call my lawyer")

    assert call.called[0][1]["reason"] == "legal"


@pytest.mark.parametrize("use_case", SHIPPED)
async def test_model_that_speaks_first_greets(use_case: str) -> None:
    """Without a greeting of the relay the first request has no words of the caller."""
    call = call_to(use_case, {})
    assert call.history.append(AgentSaid("")) == 0

    assert "Hello" in await call.says("")


def test_prices_of_the_script_are_those_of_the_menu() -> None:
    """The sum that is read back is the one the tool computes."""
    menu_file = USE_CASES / "restaurantOrderingUseCase" / "items.json"
    (menu,) = json.loads(menu_file.read_text(encoding="utf-8"))
    vocabularies = json.loads(script("restaurantOrderingUseCase"))["vocabularies"]

    dishes = {dish["value"]: dish["price"] for dish in vocabularies["dishes"]}
    toppings = {topping["value"]: topping["price"] for topping in vocabularies["toppings"]}

    assert toppings == {name: float(price) for name, price in menu["toppings"].items()}
    assert dishes == {
        item["name"]: float(item["price"])
        if "price" in item
        else {size: float(price) for size, price in item["sizes"].items()}
        for item in menu["items"]
    }


@pytest.mark.parametrize("use_case", SHIPPED)
def test_every_shipped_script_loads(use_case: str) -> None:
    """A broken script would stop the start."""
    assert OfflineModel(script(use_case)).name == "offline:"
