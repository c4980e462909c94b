"""A decision to end the call, carried out when the last words were played."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.conversation.events import EndReason
from agent.conversation.handoff import GOODBYE, QUIET, HandoffData, ReasonCode
from agent.conversation.history import CallerSaid, Fact, Means
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
SPENT = Ending(EndReason.CALLER_SPEND)
TROUBLE = Ending(EndReason.ERROR_MODEL)
HANDED_OVER = Ending(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN, QUIET))
TORN_OFF = Ending(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN))
"""Given up in whatever moment: nobody knows what was heard."""
STOPPED = Ending(EndReason.DRAIN)
"""Over, because the service is."""


_LAST_WORDS = 3
_LONGEST_WORDS = 250
"""Characters of the caller's last words together."""


def transfer(handoff: Handoff, facts: Iterable[Fact] = (), language: str = "") -> Ending:
    """The call goes to a person.

    The model has written the summary when it asked for the person. Where there is none, the
    caller's own words stand in: no request is made for it, so that it takes no time.

    Args:
        handoff: What is known.
        facts: The call so far.
        language: What the caller speaks, BCP 47.
    """
    summary = handoff.summary or _in_the_callers_words(facts)
    data = HandoffData(
        ReasonCode.LIVE_AGENT, handoff.reason, summary, handoff.slots, language
    ).bounded()
    return Ending(EndReason.TRANSFER, data)


def _in_the_callers_words(facts: Iterable[Fact]) -> str:
    """The latest sentences, without keys: what is typed may be a secret (practice section 17)."""
    said = [
        fact.text for fact in facts if isinstance(fact, CallerSaid) and fact.means is Means.SPEECH
    ]
    words = " / ".join(said[-_LAST_WORDS:])
    return f"The caller's last words: {words[-_LONGEST_WORDS:]}" if words else ""
