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
reports a wrong target only when a caller is transferred, so all that can be is checked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agent.errors import UseCaseError
from agent.usecases.caller_identity import is_client, is_telephone_number
from agent.usecases.validation import convert, decoded


class PhoneTarget(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="dial"
):
    """A person whose telephone, switchboard or app rings."""

    to: str
    """E.164 number, SIP address (`sip:` or `sips:`), or the user of an app (`client:identity`)."""
    ring_seconds: Annotated[int, Meta(ge=5, le=120)] = 20
    caller_id: str = ""  # E.164; empty = the number of this account in the call, if any


@dataclass(frozen=True, slots=True)
class QueueTarget:
    """A queue, which Twilio creates if it does not exist."""

    name: str  # 1-64 characters


@dataclass(frozen=True, slots=True)
class WorkflowTarget:
    """A TaskRouter workflow."""

    sid: str  # WW and 32 hexadecimal digits
    priority: int | None = None  # higher is sooner; None = as the workflow says


class ReferralTarget(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="refer"
):
    """A SIP address to which the caller's switchboard takes the call; only for calls by SIP."""

    to: str


TransferTarget = PhoneTarget | QueueTarget | WorkflowTarget | ReferralTarget

_SIP = re.compile(r"sips?:[^\s<>\"]{1,250}", re.IGNORECASE)
_WORKFLOW = re.compile(r"WW[0-9a-fA-F]{32}")


class _Enqueue(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="enqueue"):
    queue: Annotated[str, Meta(max_length=64)] = ""
    workflow: str = ""
    priority: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None


DESK: Any = PhoneTarget | _Enqueue | ReferralTarget


def read_transfer_target(raw: object, number: str, number_field: str) -> TransferTarget | None:
    """The transfer target of a record or of a file; None if there is neither table nor number.

    `raw` is the table `desk`, or JSON text of it; `number` the short form, `number_field` its name.
    """
    if raw is None or raw == "":
        return _checked(PhoneTarget(number), number_field) if number else None
    if number:
        raise UseCaseError(f"{number_field}: there is a desk as well")
    target: PhoneTarget | _Enqueue | ReferralTarget = convert(decoded(raw, "desk"), DESK, "desk")
    if isinstance(target, _Enqueue):
        return _queue(target)
    if isinstance(target, PhoneTarget):
        if target.caller_id and not is_telephone_number(target.caller_id):
            raise UseCaseError("desk.caller_id: is not an E.164 number")
        return _checked(target, "desk.to")
    if not _SIP.fullmatch(target.to):
        raise UseCaseError("desk.to: is not a SIP address (sip:…)")
    return target


def _checked(target: PhoneTarget, field: str) -> PhoneTarget:
    to = target.to
    if not (is_telephone_number(to) or is_client(to) or _SIP.fullmatch(to)):
        raise UseCaseError(
            f"{field}: is not an E.164 number, a SIP address (sip:…) or an app's user (client:…)"
        )
    return target


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
