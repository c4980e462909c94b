"""Plays the recorded events of a call in a new conversation and reports where it departs.

The core has no clock and no randomness: the same events in the same order lead to the same
actions, unless a rule, a phrase, a limit, a tool or a prompt has changed. `replay` finds the first
event with other actions, and the first request that is another one. What a model would answer to it
is not known: the replay goes on with the recorded answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from itertools import takewhile
from operator import eq
from typing import NamedTuple

import msgspec

from agent.call.actions import Speculate, StartReply, Summarize
from agent.call.config import CallConfig
from agent.call.conversation import Conversation
from agent.call.events import CallConfigChanged
from agent.call.messages import Message, Text, ToolCall
from agent.observability.call_summary import VersionStamp
from agent.observability.recording.serialization import (
    ActionForms,
    Form,
    RecordedConnection,
    RecordedStep,
    digests,
    event_form,
    list_digest,
    text_of,
)
from agent.observability.recording.transcript import COLUMNS, clock, folded, plain_text, shortened

_ASKED = (StartReply, Speculate, Summarize)
_MOST_CHANGES = 20
_LEAD = 24  # characters that are shown before two long lines differ


@dataclass(frozen=True, slots=True)
class Today:
    """What a call would begin with now."""

    brief: CallConfig
    stamp: VersionStamp
    asks: str
    """`asks_digest` of each request."""


class _Departure(NamedTuple):
    generation: int
    position: int
    """Of the event in its connection, from 0."""
    step: RecordedStep
    did: list[Form]
    messages: tuple[Message, ...] = ()


@dataclass(slots=True)
class ReplayOutcome:
    """Where a replay leaves the record."""

    events: int = 0
    acts: _Departure | None = None
    asks: _Departure | None = None
    """The first other request; only with `Today`."""
    asks_now: str = ""
    models: tuple[str, str] = ("", "")
    """Of that request: then and now."""

    @property
    def is_same(self) -> bool:
        return self.acts is None and self.asks is None


def replay(connections: Sequence[RecordedConnection], today: Today | None = None) -> ReplayOutcome:
    """Play connections with what is in force `today`, or as recorded, until they depart."""
    outcome = ReplayOutcome(asks_now=today.asks if today else "")
    for one in connections:
        beginning, forms = one.beginning, ActionForms()
        conversation = Conversation(today.brief if today else beginning.brief, beginning.resumption)
        for position, step in enumerate(one.steps):
            event = step.event
            if today and isinstance(event, CallConfigChanged):
                event = replace(event, config=today.brief)
            actions = conversation.receive(event)
            asked = (each.messages for each in actions if isinstance(each, _ASKED))
            did = forms.write(actions)
            departure = _Departure(one.generation, position, step, did, next(asked, ()))
            outcome.events += 1
            if today and step.asks and outcome.asks is None:
                models = beginning.stamp.model, today.stamp.model
                if step.asks != today.asks or models[0] != models[1]:
                    outcome.asks, outcome.models = departure, models
            if did != step.did:
                outcome.acts = departure
                return outcome
    return outcome


def changes(one: RecordedConnection, stamp: VersionStamp, brief: CallConfig) -> list[str]:
    """What has changed since a connection was recorded, one line each; at most twenty."""
    begun = one.beginning
    before, now = (msgspec.to_builtins(each, enc_hook=dict) for each in (begun.brief, brief))
    found = _leaves("", asdict(begun.stamp), asdict(stamp)) + _leaves("brief", before, now)
    more = [f"and {len(found) - _MOST_CHANGES} more"] if len(found) > _MOST_CHANGES else []
    return found[:_MOST_CHANGES] + more


def report(outcome: ReplayOutcome, columns: int = COLUMNS) -> list[str]:
    """Where the replay departs from the record; one line if it does not."""
    if outcome.is_same:
        return [f"same: {outcome.events} events lead to the same actions"]
    lines: list[str] = []
    if outcome.asks is not None:
        recorded = outcome.asks.step.asks
        lines += [
            f"the model is asked otherwise from {_place(outcome.asks)} on",
            f"  {_shown_event(outcome.asks, columns)}",
        ]
        if recorded != (now := outcome.asks_now):
            lines.append(f"  prompt, tools or settings of the request: {recorded} -> {now}")
        before, after = map(plain_text, outcome.models)
        if before != after:
            lines += folded(f"  model: {before} -> {after}", columns)
    if outcome.acts is None:
        return [*lines, f"with its recorded answers {outcome.events} events lead to the same"]
    lines += [f"different at {_place(outcome.acts)}", f"  {_shown_event(outcome.acts, columns)}"]
    return [*lines, *_compared(outcome.acts, columns)]


def _place(departure: _Departure) -> str:
    line = f"line {departure.generation}, " if departure.generation else ""
    return f"{line}event {departure.position} ({clock(departure.step.at_ms)})"


def _shown_event(departure: _Departure, columns: int) -> str:
    return _fitted(_shown(event_form(departure.step.event)), columns - 2)


def _compared(departure: _Departure, columns: int) -> Iterator[str]:
    """The actions side by side: `-` as recorded, `+` as they are now."""
    recorded, now = departure.step.did, departure.did
    before, after = [_shown(form) for form in recorded], [_shown(form) for form in now]
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (f"    {_fitted(text, columns - 4)}" for text in before[a:b])
            continue
        skipped = _common(before[a:b], after[c:d], columns)
        yield from (f"  - {_fitted(text, columns - 4, skipped)}" for text in before[a:b])
        yield from (f"  + {_fitted(text, columns - 4, skipped)}" for text in after[c:d])
        yield from _other_message(recorded[a:b], now[c:d], departure.messages, columns)
    if not before:
        yield "  (nothing was done)"
    if not after:
        yield "  (nothing is done now)"


def _other_message(
    recorded: Sequence[Form], now: Sequence[Form], messages: Sequence[Message], columns: int
) -> Iterator[str]:
    for before, after in zip(recorded, now, strict=False):
        were, are = before.get("messages"), after.get("messages")
        if isinstance(were, list) and isinstance(are, list) and were != are:
            same = _common_length(were, are)
            yield f"    message {same + 1} of {len(are)} is another one; there were {len(were)}"
            if same < len(messages) and digests(messages) == are:
                yield f"    it is now: {_fitted(_message(messages[same]), columns - 15)}"
            return


def _common_length(one: Sequence[object], other: Sequence[object]) -> int:
    return len(list(takewhile(bool, map(eq, one, other))))


def _message(message: Message) -> str:
    return f"{message.role}: " + " ".join(
        part.text
        if isinstance(part, Text)
        else f"{part.name} {part.arguments}"
        if isinstance(part, ToolCall)
        else part.content
        for part in message.parts
    )


def _common(before: Sequence[str], after: Sequence[str], columns: int) -> int:
    if len(before) != 1 or len(after) != 1 or max(len(before[0]), len(after[0])) < columns - 4:
        return 0
    return max(0, _common_length(before[0], after[0]) - _LEAD)


def _fitted(text: str, columns: int, skipped: int = 0) -> str:
    text = plain_text(f"...{text[skipped:]}" if skipped else text)
    return text if len(text) <= columns else f"{text[: columns - 3]}..."


def _shown(form: Form) -> str:
    rest = {name: value for name, value in form.items() if name != "kind"}
    if isinstance(each := rest.get("messages"), list):
        rest["messages"] = f"{len(each)} messages, {list_digest(each)}"
    return f"{form['kind']} {text_of(rest)}" if rest else str(form["kind"])


def _leaves(path: str, before: object, after: object) -> list[str]:
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [*before, *(name for name in after if name not in before)]
        return [
            line
            for name in names
            for line in _leaves(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))
        ]
    old, new = (
        "nothing" if value is None else shortened(str(value), 36) for value in (before, after)
    )
    return [_fitted(f"{path}: {old} -> {new}", COLUMNS - 2)]
