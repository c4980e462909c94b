"""Where people are reached who take a call over from the agent: the desk of a use case.

There are three ways to a person (relay reference section 6.2), and one of them has two forms:

    dial     a telephone, a switchboard or an app rings, and the caller hears it ring
    enqueue  the caller waits with music, in a queue by name or as a task of TaskRouter (Flex)
    refer    the caller's own switchboard is asked to call somebody else; then we are out of it

The values are plain; what may stand in them is checked where records are read.
"""

from __future__ import annotations

from dataclasses import dataclass

RING_SECONDS = 20
"""How long a person has to answer, where the use case does not say."""


@dataclass(frozen=True, slots=True)
class Phone:
    """Somebody is called."""

    to: str
    """E.164 number, SIP address (`sip:` or `sips:`), or the user of an app (`client:identity`)."""
    ring_seconds: int = RING_SECONDS
    """5-120."""
    caller_id: str = ""
    """E.164 number the person sees; empty = the number of ours that the call came by, if any."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The caller waits in a queue that somebody takes calls from."""

    name: str
    """1-64 characters; Twilio makes a queue that does not exist."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """The call becomes a task, and the workflow finds the person."""

    sid: str
    """`WW` and 32 hexadecimal digits."""
    priority: int | None = None
    """Higher is sooner; None = as the workflow says."""


@dataclass(frozen=True, slots=True)
class Referral:
    """The caller's switchboard takes the call to another address; only for calls by SIP."""

    to: str
    """SIP address."""


Desk = Phone | Queue | Workflow | Referral
