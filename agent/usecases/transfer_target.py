"""The transfer target of a use case: where a person takes the call over from the agent.

There are three ways to a person, and one of them has two forms:

    [desk]                                  [desk]                       [desk]
    kind = "dial"                           kind = "enqueue"             kind = "refer"
    to = "+15550100098"                     queue = "support"            to = "sip:desk@example.com"
    ring_seconds = 30      # 5-120          # or workflow = "WW…"
    caller_id = "+15550100000"              # with priority = 5

    dial     a telephone, a switchboard or an app rings, and the caller hears it ring
    enqueue  the caller waits with music, in a queue or as a task of TaskRouter (Flex)
    refer    the caller's switchboard is asked to connect another address; the call leaves Twilio

`handoff_number` (`handoffNumber` in a record) is the short form of a target that is dialled. Twilio
reports a target it cannot use only when a caller is transferred, so everything that can be checked
is checked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.errors import UseCaseError
from agent.usecases.caller_identity import is_client, is_telephone_number
from agent.usecases.validation import convert, decoded

RING_SECONDS = 20  # unless the use case says otherwise


@dataclass(frozen=True, slots=True)
class PhoneTarget:
    """A person whose telephone, switchboard or app rings."""

    to: str
    """E.164 number, SIP address (`sip:` or `sips:`), or the user of an app (`client:identity`)."""
    ring_seconds: int = RING_SECONDS
    """5-120."""
    caller_id: str = ""
    """E.164; empty = the number of this account in the call, if any."""


@dataclass(frozen=True, slots=True)
class QueueTarget:
    """A queue, which Twilio creates if it does not exist."""

    name: str
    """1-64 characters."""


@dataclass(frozen=True, slots=True)
class WorkflowTarget:
    """A TaskRouter workflow."""

    sid: str
    """`WW` and 32 hexadecimal digits."""
    priority: int | None = None
    """Higher is sooner; None = as the workflow says."""


@dataclass(frozen=True, slots=True)
class ReferralTarget:
    """A SIP address to which the caller's switchboard takes the call; only for calls by SIP."""

    to: str


TransferTarget = PhoneTarget | QueueTarget | WorkflowTarget | ReferralTarget

_SIP = re.compile(r"sips?:[^\s<>\"]{1,250}", re.IGNORECASE)
_WORKFLOW = re.compile(r"WW[0-9a-fA-F]{32}")


class _Kind(msgspec.Struct):
    kind: Literal["dial", "enqueue", "refer"]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    kind: str


class _Dial(_Table):
    to: str
    ring_seconds: Annotated[int, Meta(ge=5, le=120)] = RING_SECONDS
    caller_id: str = ""


class _Enqueue(_Table):
    queue: Annotated[str, Meta(max_length=64)] = ""
    workflow: str = ""
    priority: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None


class _Refer(_Table):
    to: str


def read_transfer_target(raw: object, number: str, number_field: str) -> TransferTarget | None:
    """The transfer target of a record or of a file; None if there is neither table nor number.

    `raw` is the table `desk`, or JSON text of it; `number` the short form, `number_field` its name.

    Raises:
        UseCaseError: The first error, `field: error`.
    """
    if raw is None or raw == "":
        return PhoneTarget(_to_dial(number, number_field)) if number else None
    if number:
        raise UseCaseError(f"{number_field}: there is a desk as well")
    table = decoded(raw, "desk")
    match convert(table, _Kind, "desk").kind:
        case "dial":
            return _phone(convert(table, _Dial, "desk"))
        case "enqueue":
            return _queue(convert(table, _Enqueue, "desk"))
        case "refer":
            to = convert(table, _Refer, "desk").to
            if not _SIP.fullmatch(to):
                raise UseCaseError("desk.to: is not a SIP address (sip:…)")
            return ReferralTarget(to)


def _phone(table: _Dial) -> PhoneTarget:
    if table.caller_id and not is_telephone_number(table.caller_id):
        raise UseCaseError("desk.caller_id: is not an E.164 number")
    return PhoneTarget(_to_dial(table.to, "desk.to"), table.ring_seconds, table.caller_id)


def _to_dial(to: str, field: str) -> str:
    if not (is_telephone_number(to) or is_client(to) or _SIP.fullmatch(to)):
        raise UseCaseError(
            f"{field}: is not an E.164 number, a SIP address (sip:…) or an app's user (client:…)"
        )
    return to


def _queue(table: _Enqueue) -> QueueTarget | WorkflowTarget:
    if bool(table.queue.strip()) == bool(table.workflow):
        raise UseCaseError("desk: needs either a queue or a workflow")
    if not table.workflow:
        if table.priority is not None:
            raise UseCaseError("desk.priority: is for a workflow")
        return QueueTarget(table.queue.strip())
    if not _WORKFLOW.fullmatch(table.workflow):
        raise UseCaseError("desk.workflow: is not WW and 32 hexadecimal digits")
    return WorkflowTarget(table.workflow, table.priority)
