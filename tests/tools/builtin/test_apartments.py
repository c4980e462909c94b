"""The tools of the leasing assistant: filters, answers, bookings."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from agent.store.memory import MemoryStore
from agent.tools import CallContext
from tests.tools.failing_processes import DEATHS, DiedError, Fate, Mortal, mortal_store
from tests.tools.worlds import ADA, GRACE, TODAY, ZONE, call_of, refused, seeded, told

FREE = "availableApartmentAppointments"
TOMORROW = str(TODAY + timedelta(days=1))
SLOT = f"{TOMORROW}::4:30 PM::studio::in-person"
"""The key of the slot of `tour()`."""
LAYOUTS = ["studio", "one-bedroom", "two-bedroom", "three-bedroom"]


def tour(time: str = "4:30 PM", day: str = TOMORROW) -> dict[str, object]:
    return {"date": day, "time": time, "type": "in-person", "apartmentType": "studio"}


def wish(day: str = TOMORROW, **more: object) -> dict[str, object]:
    return {"date": day, "type": "in-person", "apartmentType": "studio", **more}


async def book(call: CallContext, time: str = "4:30 PM") -> Any:
    return await told(call, "ScheduleTourFunction", **tour(time))


def times(answer: Any) -> list[str]:
    return [slot["time"] for slot in answer["availableSlots"]]


@pytest.mark.parametrize(
    ("wishes", "layouts"),
    [
        ({}, LAYOUTS),
        ({"budget": 1600}, ["studio", "one-bedroom"]),
        ({"date": "2026-03-19"}, ["studio", "one-bedroom"]),
        ({"apartmentType": "two-bedroom"}, ["two-bedroom"]),
        ({"apartmentType": "two-bedroom", "budget": 2000}, []),
    ],
)
async def test_apartments_are_filtered_by_every_wish(
    wishes: dict[str, object], layouts: list[str]
) -> None:
    answer = await told(call_of(await seeded()), "ListAvailableApartmentsFunction", **wishes)

    assert [each["layout"] for each in answer["availableApartments"]] == layouts
    assert answer["message"] == (
        "These apartments fit." if layouts else "No apartment fits; offer to change a wish."
    )


async def test_an_apartment_is_told_with_what_callers_ask_first() -> None:
    answer = await told(
        call_of(await seeded()), "ListAvailableApartmentsFunction", apartmentType="studio"
    )

    assert answer["availableApartments"] == [
        {
            "layout": "studio",
            "rent": 1250,
            "squareFeet": 480,
            "moveInDate": "2026-03-12",
            "features": ["murphy bed", "bay window", "shared roof deck"],
            "specials": "Half a month free on a twelve-month lease.",
        }
    ]


@pytest.mark.parametrize(
    ("subject", "detail"),
    [
        ("pet policy", "Cats and dogs are welcome, two pets at most, "
                       "with a pet rent of 35 dollars a month each."),
        ("fees", {"applicationFee": 50, "securityDeposit": 600}),
        ("parking", "Street parking; a garage space is 90 dollars a month."),
        ("specials", "Half a month free on a twelve-month lease."),
        ("income requirements", "Monthly income of at least 3,100 dollars."),
        ("utilities", "Water and trash are included; "
                      "electricity and internet are paid by the tenant."),
        ("location", "500 Alder Way, Port Maple, Oregon 97000"),
    ],
)  # fmt: skip
async def test_an_inquiry_is_answered_from_the_data(subject: str, detail: object) -> None:
    call = call_of(await seeded())

    one = await told(call, "CommonInquiriesFunction", inquiryType=subject, apartmentType="studio")
    every = await told(call, "CommonInquiriesFunction", inquiryType=subject)

    assert one["inquiryDetails"] == {"studio": detail}
    assert list(every["inquiryDetails"]) == LAYOUTS


async def test_the_data_may_be_a_map_and_may_lack_layouts() -> None:
    store = MemoryStore()
    studio = {"layout": "studio", "rent": 900, "moveInDate": "2026-04-01"}
    await store.put({"pk": "apartments", "sk": "database", "apartmentDetails": {"studio": studio}})
    call = call_of(store)

    listed = await told(call, "ListAvailableApartmentsFunction")
    asked = await told(
        call, "CommonInquiriesFunction", inquiryType="fees", apartmentType="two-bedroom"
    )

    assert listed["availableApartments"][0]["rent"] == 900
    assert asked == {"inquiryDetails": {}, "message": "There is no data about this layout."}


async def test_without_data_no_question_is_answered() -> None:
    error = await refused(call_of(MemoryStore()), "ListAvailableApartmentsFunction")

    assert error.startswith("There is no data about the apartments")


async def test_a_free_slot_is_found_however_its_time_is_written() -> None:
    call = call_of(await seeded())

    for time in ("4:30 PM", "4:30pm", "4.30 p.m.", "16:30", " 16:30:00 "):
        answer = await told(call, "CheckAvailabilityFunction", **wish(time=time))

        assert answer == {"availableSlots": [tour()], "message": "This slot is free."}


async def test_a_day_is_told_in_the_order_of_time() -> None:
    store = MemoryStore()
    for time in ("10:00 AM", "2:00 PM", "9:00 AM"):
        sk = f"{TOMORROW}::{time}::studio::in-person"
        await store.put({"pk": FREE, "sk": sk, "appointment": tour(time)})

    answer = await told(call_of(store), "CheckAvailabilityFunction", **wish())

    assert times(answer) == ["9:00 AM", "10:00 AM", "2:00 PM"]
    assert answer["message"] == "These slots are free on that day."


async def test_a_taken_time_gives_others_of_the_day() -> None:
    store = await seeded()
    call = call_of(store)

    same_day = await told(call, "CheckAvailabilityFunction", **wish(time="5 pm"))
    later = await told(call, "CheckAvailabilityFunction", **wish("2026-06-01", time="noon"))
    none = await told(call_of(MemoryStore()), "CheckAvailabilityFunction", **wish())

    assert same_day["message"] == "That time is taken; these are free on the same day."
    assert len(times(same_day)) == 3
    assert later["message"] == "Nothing is free on that day; these are free on other days."
    assert [slot["date"] for slot in later["availableSlots"]] == [TOMORROW] * 3 + ["2026-03-07"] * 3
    assert none["message"] == "No slot of this kind is free at the moment."
    assert times(none) == []


async def test_slots_of_the_past_are_not_offered() -> None:
    evening = datetime(2026, 3, 6, 20, tzinfo=ZONE).timestamp()
    call = call_of(await seeded(), at=evening)

    offered = await told(call, "CheckAvailabilityFunction", **wish())
    booked = await book(call)

    assert offered["availableSlots"][0]["date"] == "2026-03-07"
    assert booked == {"available": False, "message": "This time has passed. Offer another slot."}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (wish("tomorrow"), "'tomorrow' is not a day as YYYY-MM-DD. Today is Thursday, 2026-03-05."),
        (wish("2026-02-30"),
         "'2026-02-30' is not a day as YYYY-MM-DD. Today is Thursday, 2026-03-05."),
        (wish(time="after lunch"), "'after lunch' is not a time. Write it like 2:00 PM."),
        (wish(time="25:00"), "There is no time '25:00'."),
        (wish(time="13 pm"), "There is no time '13 pm'."),
    ],
)  # fmt: skip
async def test_a_day_or_time_that_is_none_is_refused(
    arguments: dict[str, object], error: str
) -> None:
    call = call_of(await seeded())

    assert await refused(call, "CheckAvailabilityFunction", **arguments) == error


async def test_a_booking_takes_the_slot_and_keeps_its_name() -> None:
    store = await seeded()
    assert await store.get(FREE, SLOT)

    answer = await book(call_of(store), "16:30")

    assert answer == {
        "available": True,
        "message": "The tour is booked: Friday, March 6 at 4:30 PM, studio, in-person.",
    }
    assert await store.get(FREE, SLOT) is None
    assert await store.query_index("apartmentAppointment", SLOT) == [
        {
            "pk": ADA,
            "sk": f"apartmentAppointment::{SLOT}",
            "pk1": "apartmentAppointment",
            "sk1": SLOT,
            "appointment": tour(),
            "neededUntil": int(datetime(2026, 3, 7, tzinfo=ZONE).timestamp()),
            # Seven days after its day has ended; one of them has 23 hours here.
            "expireAt": int(datetime(2026, 3, 14, 1, tzinfo=ZONE).timestamp()),
        }
    ]


async def test_two_callers_never_get_the_same_slot() -> None:
    store = await seeded()
    calls = (call_of(store, caller=ADA), call_of(store, caller=GRACE, call_id="CA2"))

    async with asyncio.TaskGroup() as group:
        racing = [group.create_task(book(call)) for call in calls]

    assert sorted(task.result()["available"] for task in racing) == [False, True]
    assert len(await store.query_index("apartmentAppointment")) == 1


async def test_booking_again_is_not_a_second_booking() -> None:
    store = await seeded()
    await book(call_of(store))

    again = await book(call_of(store, call_id="CA2"), "4:30pm")

    assert again == {"available": True, "message": "The caller has booked this tour already."}


async def test_a_slot_that_was_taken_may_be_free_again() -> None:
    store = await seeded()
    call = call_of(store)
    slot = await store.get(FREE, SLOT) or {}
    await store.move(FREE, SLOT, {"pk": GRACE, "sk": f"apartmentAppointment::{SLOT}"})

    taken = await book(call)
    await store.move(GRACE, f"apartmentAppointment::{SLOT}", slot)
    booked = await book(call)

    assert [taken["available"], booked["available"]] == [False, True]
    assert await store.get(FREE, SLOT) is None
    assert await store.get(ADA, f"apartmentAppointment::{SLOT}")


@pytest.mark.parametrize("touch", range(4))
@pytest.mark.parametrize("fate", DEATHS)
async def test_a_tour_is_booked_once_whenever_its_process_dies(touch: int, fate: Fate) -> None:
    """The repeat completes the booking, unless another caller took the slot before.

    The touches are: the record, the booking that may be there, the move, the record.
    """
    store = await seeded()
    dying = Mortal({touch: fate})

    with pytest.raises(DiedError):
        await book(call_of(mortal_store(store, dying)))
    other = await book(call_of(store, caller=GRACE, call_id="CA2"))
    answers = [await book(call_of(store)) for _ in range(2)]

    assert dying.touches == touch + 1
    is_taken = touch == 3 or (touch == 2 and fate is Fate.DIES_AFTER)
    assert other["available"] is not is_taken
    assert [answer["available"] for answer in answers] == [is_taken] * 2
    (booking,) = await store.query_index("apartmentAppointment")
    assert booking["pk"] == (ADA if is_taken else GRACE)
    assert await store.get(FREE, SLOT) is None


async def test_callers_hear_their_coming_tours() -> None:
    store = await seeded()
    call = call_of(store)
    none = await told(call, "CheckExistingAppointmentsFunction")
    for day in ("2026-03-08", "2026-03-01", "2026-03-07"):
        sk = f"apartmentAppointment::{day}::9:00 AM::studio::in-person"
        await store.put({"pk": ADA, "sk": sk, "appointment": tour("9:00 AM", day)})
    await book(call_of(store, caller=GRACE))

    answer = await told(call, "CheckExistingAppointmentsFunction")

    assert none == {"appointments": [], "message": "No tour is booked for this caller."}
    assert answer == {
        "appointments": [tour("9:00 AM", "2026-03-07"), tour("9:00 AM", "2026-03-08")],
        "message": "These tours are booked.",
    }


async def test_every_seeded_slot_agrees_with_its_key() -> None:
    for item in await (await seeded()).query(FREE):
        slot = json.loads(json.dumps(item["appointment"]))
        assert item["sk"] == "::".join(
            (slot["date"], slot["time"], slot["apartmentType"], slot["type"])
        )
