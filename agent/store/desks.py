"""Where a use case reaches people: what an author writes → `Desk`.

    [desk]                                  [desk]                       [desk]
    kind = "dial"                           kind = "enqueue"             kind = "refer"
    to = "+15550100098"                     queue = "support"            to = "sip:desk@example.com"
    ring_seconds = 30      # 5-120          # or workflow = "WW…"
    caller_id = "+15550100000"              # with priority = 5

`handoff_number` is the short form of a desk that is dialled. The record keeps the table of the file
as it is, in `desk`, so that there is one form to learn and one to read; the short form is
`handoffNumber` there.

A desk that Twilio cannot use is found out only when somebody waits for a person, so what can be
known is checked here. Whether anybody is there cannot.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.conversation.caller import is_client, is_telephone_number
from agent.conversation.desk import RING_SECONDS, Desk, Phone, Queue, Referral, Workflow
from agent.ports import UseCaseError
from agent.store.validation import convert, decoded

_SIP = re.compile(r"sips?:[^\s<>\"]{1,250}", re.IGNORECASE)
_WORKFLOW = re.compile(r"WW[0-9a-fA-F]{32}")


class _Kind(msgspec.Struct):
    kind: Literal["dial", "enqueue", "refer"]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """A table in which every key must be known."""

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


def read_desk(raw: object, number: str, number_field: str) -> Desk | None:
    """The desk of a record or of a file; None if there is neither a table nor a number.

    Args:
        raw: The table `desk`, or JSON text of it.
        number: The short form.
        number_field: What to call the short form in a fault.

    Raises:
        UseCaseError: The first fault, `field: fault`.
    """
    if raw is None or raw == "":
        return Phone(_to_dial(number, number_field)) if number else None
    if number:
        raise UseCaseError(f"{number_field}: there is a desk as well")
    table = decoded(raw, "desk")
    match convert(table, _Kind, "desk").kind:
        case "dial":
            return _phone(convert(table, _Dial, "desk"))
        case "enqueue":
            return _queue(convert(table, _Enqueue, "desk"))
        case "refer":
            return _referral(convert(table, _Refer, "desk"))


def _phone(table: _Dial) -> Phone:
    if table.caller_id and not is_telephone_number(table.caller_id):
        raise UseCaseError("desk.caller_id: is not an E.164 number")
    return Phone(_to_dial(table.to, "desk.to"), table.ring_seconds, table.caller_id)


def _to_dial(to: str, field: str) -> str:
    if not (is_telephone_number(to) or is_client(to) or _SIP.fullmatch(to)):
        raise UseCaseError(
            f"{field}: is not an E.164 number, a SIP address (sip:…) or an app's user (client:…)"
        )
    return to


def _queue(table: _Enqueue) -> Queue | Workflow:
    if bool(table.queue.strip()) == bool(table.workflow):
        raise UseCaseError("desk: needs either a queue or a workflow")
    if not table.workflow:
        if table.priority is not None:
            raise UseCaseError("desk.priority: is for a workflow")
        return Queue(table.queue.strip())
    if not _WORKFLOW.fullmatch(table.workflow):
        raise UseCaseError("desk.workflow: is not WW and 32 hexadecimal digits")
    return Workflow(table.workflow, table.priority)


def _referral(table: _Refer) -> Referral:
    if not _SIP.fullmatch(table.to):
        raise UseCaseError("desk.to: is not a SIP address (sip:…)")
    return Referral(table.to)
