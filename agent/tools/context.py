"""The call a tool runs for.

It is passed to every tool as its first argument and holds what the model must not decide: who is
calling, what the time is, where things are kept (practice section 19).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from agent.conversation.actions import NOWHERE, Standing
from agent.conversation.usecase import Profile
from agent.ports import Messenger, Store
from agent.tools.ledger import Ledger


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls whom about what, and the means to serve them."""

    call_id: str
    caller: str
    """E.164 number or `client:identity`; empty for a caller who cannot be recognised."""
    to: str
    """The called number."""
    use_case: str
    profile: Profile
    store: Store
    ledger: Ledger
    """What the call has done to the world; whatever must not be done twice goes through it."""
    messenger: Messenger
    clock: Callable[[], float]
    """Seconds since the epoch."""
    time_zone: tzinfo
    language: str = "en-US"
    """The language the call began in, BCP 47."""
    languages: tuple[str, ...] = ()
    """The other languages the use case speaks."""

    standing: Standing = NOWHERE
    """Of the tool call that runs; see `agent.tools.confirming`."""

    @property
    def is_caller_known(self) -> bool:
        """The caller can be recognised when they ring again."""
        return bool(self.caller)

    @property
    def owner(self) -> str:
        """The partition of what belongs to the caller: their number, else this call alone."""
        return self.caller if self.is_caller_known else self.call_id

    @property
    def now(self) -> datetime:
        """The time where the agent's business is."""
        return datetime.fromtimestamp(self.clock(), self.time_zone)
