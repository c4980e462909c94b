"""Payloads of events: ids, and what is personal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.usecases.call_events import (
    EVENTS,
    KINDS,
    CallEndedEvent,
    CallEvent,
    CallOutcomeEvent,
    CustomEvent,
    MessageFailedEvent,
    MessageSentEvent,
    OrderedItem,
    OrderPlacedEvent,
    TransferStartedEvent,
)

ADA, HOME = "+15550100001", "5 Planted Lane"
CALL: dict[str, Any] = {"call": "CA1", "use_case": "restaurant", "caller": ADA}
ORDER = OrderPlacedEvent(
    **CALL,
    order="restaurantOrder::0CA1::1::ab",
    order_type="delivery",
    total=12.5,
    items=[OrderedItem(name="1 large Pizza", amount=12.5, remarks=HOME)],
    delivery_address=HOME,
)


def test_an_id_is_made_of_the_call_the_kind_and_what_distinguishes_it() -> None:
    ended = CallEndedEvent(**CALL, seconds=60, reason="agent_end")
    sent = MessageSentEvent(**CALL, channel="sms")

    assert ended.identifier("") == "evt_b8356e5d53cc14472f5def4c5dc26343"
    assert ended.identifier("") == msgspec.structs.replace(ended, seconds=61).identifier("")
    ids = {
        ended.identifier(""),
        msgspec.structs.replace(ended, call="CA2").identifier(""),
        sent.identifier(["k", 1]),
        sent.identifier(["k", 2]),
        MessageFailedEvent(**CALL, channel="sms", reason="refused").identifier(["k", 1]),
    }
    assert len(ids) == 5


def test_a_receiver_that_may_have_personal_fields_gets_all() -> None:
    assert ORDER.data(with_personal=True) == {
        "call": "CA1",
        "useCase": "restaurant",
        "caller": ADA,
        "order": "restaurantOrder::0CA1::1::ab",
        "orderType": "delivery",
        "total": 12.5,
        "items": [{"name": "1 large Pizza", "amount": 12.5, "remarks": HOME}],
        "deliveryAddress": HOME,
    }


@pytest.mark.parametrize(
    "event",
    [
        ORDER,
        TransferStartedEvent(**CALL, target="phone", reason=HOME),
        MessageSentEvent(**CALL, channel="sms", message="SM1", recipient=ADA),
        MessageFailedEvent(**CALL, channel="email", reason="refused", recipient=HOME),
        CustomEvent(
            **CALL, event="a", tool="T", fields={"id": "R7"}, personal_fields={"name": HOME}
        ),
        CallOutcomeEvent(
            **CALL, is_success=None, fields={"kind": "order"}, personal_fields={"name": HOME}
        ),
    ],
    ids=lambda event: event.kind,
)
def test_another_receiver_gets_nothing_personal(event: CallEvent) -> None:
    data = event.data(with_personal=False)

    assert ADA not in str(data)
    assert HOME not in str(data)
    assert data["call"] == "CA1"


def test_every_personal_field_is_one_of_the_event() -> None:
    """So that a field that is renamed does not become public."""
    for event in EVENTS:
        names = {field.encode_name for field in msgspec.structs.fields(event)}
        inner = {field.encode_name for field in msgspec.structs.fields(OrderedItem)}
        assert event.personal <= names | inner


def test_every_kind_occurs_once() -> None:
    assert len(set(KINDS)) == len(EVENTS) == 12
