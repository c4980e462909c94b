"""The event that a tool tells when it has done something, as a declaration of the tool has it.

    [http_tools.ReserveTable.event]
    kind = "custom.table_reserved"           # or booking.made
    fields = { reservation = "/id", seats = "/seats" }
    personal_fields = { guest = "/guest/name" }

A pointer (RFC 6901) leads into what the model is told of the run. Only a tool with a side effect
tells: its event is written in the same step as its outcome (`agent.tools.idempotency`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agent.call.messages import SideEffect
from agent.errors import UseCaseError
from agent.usecases.call_events import BookingMadeEvent, CallEvent, CustomEvent

Pointer = Annotated[str, Meta(pattern=r"^(/([^~]|~[01])*)?$")]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
_CUSTOM = re.compile(r"custom\.([a-z][a-z0-9_]{0,39})")


def is_custom(kind: str) -> bool:
    """Whether events of this kind may be told by tools, though no part of the service does."""
    return _CUSTOM.fullmatch(kind) is not None


class ToolEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool tells: a kind, and which values of its result by the names of the fields."""

    kind: str
    fields: dict[_Name, Pointer] = {}
    personal_fields: dict[_Name, Pointer] = {}

    def __hash__(self) -> int:
        return hash((self.kind, *self.fields.items(), *self.personal_fields.items()))

    def check(self, field: str, effect: SideEffect) -> None:
        """Raises `UseCaseError` of `field` if a tool with this effect cannot tell it."""
        if effect is SideEffect.NONE:
            raise UseCaseError(f"{field}: needs a tool with a side effect")
        if self.kind != BookingMadeEvent.kind:
            if not is_custom(self.kind):
                raise UseCaseError(f"{field}.kind: must be custom.NAME or booking.made")
        elif self.personal_fields:
            raise UseCaseError(f"{field}.personal_fields: booking.made has none")
        elif "booking" not in self.fields:
            raise UseCaseError(f"{field}.fields: booking.made needs booking, the id of the booking")

    def of(
        self,
        call: Mapping[str, str],
        tool: str,
        fields: Mapping[str, Any],
        personal: Mapping[str, Any],
    ) -> CallEvent:
        """The event with these values; `call` is what every event has."""
        custom = _CUSTOM.fullmatch(self.kind)
        if custom is None:
            appointment = {name: str(value) for name, value in fields.items() if name != "booking"}
            booking = str(fields.get("booking", ""))
            return BookingMadeEvent(**call, booking=booking, appointment=appointment)
        return CustomEvent(
            call=call["call"],
            use_case=call["use_case"],
            caller=call["caller"],
            event=custom[1],
            tool=tool,
            fields=dict(fields),
            personal_fields=dict(personal),
        )
