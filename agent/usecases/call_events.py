"""What the operator's systems are told of a call: the payloads, and the outbox that takes them.

An event is written in the same step of the table as what it tells (`Store.put(…, beside=…)`), and
sent afterwards by `agent.events`. Its id is made of the call, its kind and what distinguishes it,
so that a repeated step makes no second id. A receiver gets the personal fields only if its entry
says so. docs/reference/events.md has the schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Protocol

import msgspec
from msgspec import Meta

from agent.ports import Item

_CANONICAL = msgspec.json.Encoder(order="sorted")
_ID_DIGITS = 32


class CallEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What all events have; the attributes are the `data` of the payload."""

    kind: ClassVar[str] = ""
    rank: ClassVar[int] = 1
    """Of two events of a call in the same moment, the one with the lower rank comes first."""
    personal: ClassVar[frozenset[str]] = frozenset({"caller"})
    """Names of fields, at any depth, that a receiver gets only if its entry says so."""

    call: Annotated[str, Meta(description="The CallSid.")]
    use_case: Annotated[str, Meta(description="The use case; empty if it is not known.")]
    caller: Annotated[str, Meta(description="E.164 or `client:…`; personal.")] = ""

    @property
    def full_kind(self) -> str:
        """The `type` of the payload."""
        return self.kind

    def identifier(self, content: object) -> str:
        """The id of the event; `content` distinguishes it from others of its kind in the call."""
        digest = sha256(_CANONICAL.encode([self.call, self.full_kind, content])).hexdigest()
        return f"evt_{digest[:_ID_DIGITS]}"

    def data(self, *, with_personal: bool) -> Mapping[str, object]:
        """The `data` of the payload, of JSON's types."""
        whole: dict[str, object] = msgspec.to_builtins(self)
        return whole if with_personal else _without(whole, self.personal)


class CallStartedEvent(CallEvent, frozen=True, kw_only=True):
    """The first connection of a call is set up: the caller hears the greeting."""

    kind = "call.started"
    rank = 0

    direction: Annotated[str, Meta(description="`inbound` or `outbound`.")]
    number: Annotated[str, Meta(description="Our number.")] = ""


class CallEndedEvent(CallEvent, frozen=True, kw_only=True):
    """A call is over, also one that was transferred or whose process was killed."""

    kind = "call.ended"
    rank = 3

    seconds: Annotated[int, Meta(description="From the voice webhook to the end.")]
    reason: Annotated[
        str,
        Meta(description="As `end_reason` of `agent_calls_total`; `unknown` if no process knows."),
    ]


class CallOutcomeEvent(CallEvent, frozen=True, kw_only=True):
    """What the use case wanted to know of a call that is over."""

    kind = "call.outcome"
    rank = 4
    personal = frozenset({"caller", "personalFields"})

    fields: Annotated[dict[str, Any], Meta(description="By name, none of them personal.")] = {}
    personal_fields: Annotated[
        dict[str, Any], Meta(description="The others by name; personal.")
    ] = {}
    is_success: Annotated[bool | None, Meta(description="Left out if it is not known.")] = None


class TransferStartedEvent(CallEvent, frozen=True, kw_only=True):
    """Twilio was told to transfer a call."""

    kind = "transfer.started"
    personal = frozenset({"caller", "reason"})

    target: Annotated[str, Meta(description="`phone`, `queue`, `workflow` or `referral`.")]
    reason: Annotated[str, Meta(description="The agent's words; personal.")] = ""


class TransferEndedEvent(CallEvent, frozen=True, kw_only=True):
    """A transfer is over, and the caller was connected."""

    kind = "transfer.ended"


class TransferFailedEvent(CallEvent, frozen=True, kw_only=True):
    """A transfer is over, and no person was reached."""

    kind = "transfer.failed"

    reason: Annotated[str, Meta(description="`unanswered` or `caller_gone`.")]


class OrderedItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One line of an order."""

    name: str
    amount: Annotated[float, Meta(description="Dollars.")]
    remarks: Annotated[str, Meta(description="The caller's wishes; personal.")] = ""


class OrderPlacedEvent(CallEvent, frozen=True, kw_only=True):
    """An order is stored."""

    kind = "order.placed"
    personal = frozenset({"caller", "remarks", "deliveryAddress"})

    order: Annotated[str, Meta(description="The sort key of the order in the table.")]
    order_type: Annotated[str, Meta(description="`pickup` or `delivery`.")]
    total: Annotated[float, Meta(description="Dollars.")]
    items: list[OrderedItem]
    delivery_address: Annotated[str, Meta(description="Personal.")] = ""


class BookingMadeEvent(CallEvent, frozen=True, kw_only=True):
    """A tour of an apartment is booked."""

    kind = "booking.made"

    booking: Annotated[str, Meta(description="The sort key of the booking in the table.")]
    appointment: Annotated[dict[str, str], Meta(description="Date, time, type, apartmentType.")]


class CallbackRequestedEvent(CallEvent, frozen=True, kw_only=True):
    """The caller was promised that a person calls back."""

    kind = "callback.requested"
    personal = frozenset({"caller", "number", "topic"})

    number: Annotated[str, Meta(description="E.164, or the digits as entered; personal.")]
    topic: Annotated[str, Meta(description="What it is about; personal.")] = ""
    language: Annotated[str, Meta(description="In which the call began, BCP 47.")] = ""


class CustomEvent(CallEvent, frozen=True, kw_only=True):
    """A tool that you have declared has done something; `*` is the name that you gave to that."""

    kind = "custom.*"
    personal = frozenset({"caller", "personalFields"})

    event: Annotated[str, Meta(description="The name.")]
    tool: Annotated[str, Meta(description="The name of the tool.")]
    fields: Annotated[dict[str, Any], Meta(description="By name, none of them personal.")] = {}
    personal_fields: Annotated[
        dict[str, Any], Meta(description="The others by name; personal.")
    ] = {}

    @property
    def full_kind(self) -> str:
        return f"custom.{self.event}"


class MessageSentEvent(CallEvent, frozen=True, kw_only=True):
    """The carrier has accepted a text message or an e-mail."""

    kind = "message.sent"
    personal = frozenset({"caller", "recipient"})

    channel: Annotated[str, Meta(description="`sms` or `email`.")]
    message: Annotated[str, Meta(description="The carrier's id; left out for an e-mail.")] = ""
    recipient: Annotated[str, Meta(description="Number or address; personal.")] = ""


class MessageFailedEvent(CallEvent, frozen=True, kw_only=True):
    """A message was not sent, it is not known whether it was, or it was not delivered."""

    kind = "message.failed"
    rank = 2
    personal = frozenset({"caller", "recipient"})

    channel: Annotated[str, Meta(description="`sms` or `email`.")]
    reason: Annotated[
        str,
        Meta(
            description="`refused`: nothing was sent; `unknown`: it may have been sent; `failed` or"
            " `undelivered`: what Twilio reports after `message.sent`."
        ),
    ]
    message: Annotated[str, Meta(description="The carrier's id, if it has reported.")] = ""
    error_code: Annotated[int, Meta(description="Twilio's, if it has reported one.")] = 0
    recipient: Annotated[str, Meta(description="Number or address; personal.")] = ""


EVENTS: tuple[type[CallEvent], ...] = (
    CallStartedEvent, CallEndedEvent, CallOutcomeEvent, TransferStartedEvent, TransferEndedEvent,
    TransferFailedEvent, OrderPlacedEvent, BookingMadeEvent, CallbackRequestedEvent, CustomEvent,
    MessageSentEvent, MessageFailedEvent,
)  # fmt: skip
KINDS = tuple(event.kind for event in EVENTS)


class Outbox(Protocol):
    """Where events of calls are written."""

    def wants(self, kind: str, use_case: str = "") -> bool:
        """Whether a receiver wants events of this kind; of any use case if none is given."""

    def items(self, event: CallEvent, content: object = "") -> Sequence[Item]:
        """The items to write beside what the event tells; none without a receiver.

        They are sent soon after they are written. Never waits or raises. `content`: as in
        `CallEvent.identifier`, of JSON's types.
        """

    async def tell(self, event: CallEvent, content: object = "") -> None:
        """Write an event that no other item tells, once for its id. Raises `StoreError`."""


@dataclass(frozen=True, slots=True)
class NoOutbox:
    """`Outbox` without receivers: agents that are tried out tell no other system."""

    def wants(self, kind: str, use_case: str = "") -> bool:
        return False

    def items(self, event: CallEvent, content: object = "") -> Sequence[Item]:
        return ()

    async def tell(self, event: CallEvent, content: object = "") -> None:
        return None


NO_OUTBOX = NoOutbox()


def _without(fields: Mapping[str, object], names: frozenset[str]) -> dict[str, object]:
    """The same without fields of these names at any depth."""
    return {name: _inside(value, names) for name, value in fields.items() if name not in names}


def _inside(value: object, names: frozenset[str]) -> object:
    match value:
        case dict():
            return _without(value, names)
        case list():
            return [_inside(each, names) for each in value]
        case _:
            return value
