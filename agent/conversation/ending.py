"""A decision to end the call, carried out when the last words were played."""

from __future__ import annotations

from dataclasses import dataclass

from agent.conversation.events import EndReason
from agent.conversation.handoff import GOODBYE, QUIET, HandoffData, ReasonCode
from agent.conversation.outcome import Handoff
from agent.conversation.usecase import Phrases


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the call will end, and what the action URL is told."""

    reason: EndReason
    handoff: HandoffData = GOODBYE
    is_revocable: bool = False
    """A caller who goes on speaking takes it back."""

    def farewell(self, phrases: Phrases) -> str:
        """Last words for when the model has none."""
        return phrases.transfer if self.reason is EndReason.TRANSFER else phrases.goodbye


BY_AGENT = Ending(EndReason.AGENT_END, is_revocable=True)
IDLE = Ending(EndReason.IDLE, is_revocable=True)
TIME_IS_UP = Ending(EndReason.MAX_DURATION)
TROUBLE = Ending(EndReason.ERROR_MODEL)
HANDED_OVER = Ending(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN, QUIET))
TORN_OFF = Ending(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN))
"""Given up in whatever moment: nobody knows what was heard."""
STOPPED = Ending(EndReason.DRAIN)
"""Over, because the service is."""


def transfer(handoff: Handoff) -> Ending:
    """The call goes to a person."""
    data = HandoffData(ReasonCode.LIVE_AGENT, handoff.reason, handoff.summary)
    return Ending(EndReason.TRANSFER, data)
