"""The recorded events in a new conversation: does it decide the same?

The core knows no clock and no chance, so the same events in the same order lead to the same
actions, unless a rule, a phrase, a limit, a tool or a prompt is another one today. `replay` finds
the first event at which they depart, and the first request that would be another one for its
prompt, its tools, its settings or its model. What a model would answer to such a request nobody
knows: the replay goes on with what it has answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.call.actions import Action, StartReply, Summarize
from agent.call.config import CallConfig
from agent.call.conversation import Conversation
from agent.call.events import CallConfigChanged, Event
from agent.call.messages import Message
from agent.observability.recording.record_reader import RecordedConnection, RecordedStep
from agent.observability.recording.serialization import ActionForms, Form, RecordStamp


@dataclass(frozen=True, slots=True)
class Today:
    """What a call would begin with now."""

    brief: CallConfig
    stamp: RecordStamp
    asks: str
    """`forms.asks_digest` of each request."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a replay leaves the record."""

    generation: int
    """Of the line of the call."""
    position: int
    """Of the event in its line, from 0."""
    step: RecordedStep
    """What was recorded."""
    did: list[Form]
    """What is done now."""
    messages: tuple[Message, ...] = ()
    """What a model would be asked now, if it is."""


@dataclass(slots=True)
class ReplayOutcome:
    """What has come of a replay."""

    events: int = 0
    """So many were played."""
    acts: Divergence | None = None
    """The first event that leads to other actions."""
    asks: Divergence | None = None
    """The first request with another prompt, other tools or settings, or to another model; only
    with `Today`."""
    asks_now: str = ""
    models: tuple[str, str] = ("", "")
    """Of that request: then and now."""

    @property
    def is_same(self) -> bool:
        """Nothing departs."""
        return self.acts is None and self.asks is None


def replay(lines: Sequence[RecordedConnection], today: Today | None = None) -> ReplayOutcome:
    """Play the lines of a call until they depart.

    Args:
        lines: Of the record.
        today: What the conversations begin with, and what edits of the use case bring, instead of
            what was recorded; None = as recorded.
    """
    outcome = ReplayOutcome(asks_now=today.asks if today else "")
    for line in lines:
        _play(line, today, outcome)
        if outcome.acts is not None:
            break
    return outcome


def _play(line: RecordedConnection, today: Today | None, outcome: ReplayOutcome) -> None:
    beginning, forms = line.beginning, ActionForms()
    brief = today.brief if today else beginning.brief
    conversation = Conversation(brief, beginning.resumption)
    for position, step in enumerate(line.steps):
        actions = conversation.receive(_event(step.event, today))
        departure = Divergence(
            line.generation, position, step, forms.write(actions), _asked(actions)
        )
        outcome.events += 1
        if today and step.asks and outcome.asks is None:
            models = beginning.stamp.model, today.stamp.model
            if step.asks != today.asks or models[0] != models[1]:
                outcome.asks, outcome.models = departure, models
        if departure.did != step.did:
            outcome.acts = departure
            return


def _event(event: Event, today: Today | None) -> Event:
    """What enters the conversation: an edit brings what is in force today."""
    if today and isinstance(event, CallConfigChanged):
        return replace(event, config=today.brief)
    return event


def _asked(actions: Sequence[Action]) -> tuple[Message, ...]:
    asked = (one.messages for one in actions if isinstance(one, StartReply | Summarize))
    return next(asked, ())
