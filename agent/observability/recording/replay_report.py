"""What a replay has found, as text: what is another one now, and where the call departs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher

import msgspec

from agent.call.config import CallConfig
from agent.call.messages import Message, Text, ToolCall
from agent.observability.call_summary import VersionStamp
from agent.observability.recording.digests import digests, list_digest
from agent.observability.recording.record_reader import RecordedConnection
from agent.observability.recording.replay import Divergence, ReplayOutcome
from agent.observability.recording.serialization import Form, event_form, text_of
from agent.observability.recording.transcript import clock, folded, plain_text, shortened
from agent.observability.recording.waterfall import COLUMNS

_MOST_CHANGES = 20
_LEAD = 24
"""Characters that are shown before two long lines depart."""


def changes(line: RecordedConnection, stamp: VersionStamp, brief: CallConfig) -> list[str]:
    """What is not as it was when a line was recorded, one line each; the first twenty.

    Args:
        line: Of the record.
        stamp: What is in force now.
        brief: With what the line is replayed.
    """
    before, after = asdict(line.beginning.stamp), asdict(stamp)
    found = _leaves("", before, after)
    found += _leaves("brief", _values(line.beginning.brief), _values(brief))
    more = [f"and {len(found) - _MOST_CHANGES} more"] if len(found) > _MOST_CHANGES else []
    return found[:_MOST_CHANGES] + more


def told(outcome: ReplayOutcome, columns: int = COLUMNS) -> list[str]:
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
        if recorded != outcome.asks_now:
            lines.append(
                f"  prompt, tools or settings of the request: {recorded} -> {outcome.asks_now}"
            )
        before, after = map(plain_text, outcome.models)
        if before != after:
            lines += folded(f"  model: {before} -> {after}", columns)
    if outcome.acts is None:
        return [*lines, f"with its recorded answers {outcome.events} events lead to the same"]
    return [
        *lines,
        f"different at {_place(outcome.acts)}",
        f"  {_shown_event(outcome.acts, columns)}",
        *_compared(outcome.acts, columns),
    ]


def _place(departure: Divergence) -> str:
    line = f"line {departure.generation}, " if departure.generation else ""
    return f"{line}event {departure.position} ({clock(departure.step.at_ms)})"


def _shown_event(departure: Divergence, columns: int) -> str:
    return _fitted(_shown(event_form(departure.step.event)), columns - 2)


def _compared(departure: Divergence, columns: int) -> Iterator[str]:
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
    """The first message of a request that is another one."""
    for before, after in zip(recorded, now, strict=False):
        match before.get("messages"), after.get("messages"):
            case [*were], [*are] if were != are:
                same = sum(1 for _ in _same(were, are))
                yield f"    message {same + 1} of {len(are)} is another one; there were {len(were)}"
                if same < len(messages) and digests(messages) == are:
                    yield f"    it is now: {_fitted(_message(messages[same]), columns - 15)}"
                return
            case _:
                pass


def _same(one: Sequence[object], other: Sequence[object]) -> Iterator[object]:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return
        yield a


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
    """How much of two lines is the same and need not be shown."""
    if len(before) != 1 or len(after) != 1 or max(len(before[0]), len(after[0])) < columns - 4:
        return 0
    same = sum(1 for _ in _same(before[0], after[0]))
    return max(0, same - _LEAD)


def _fitted(text: str, columns: int, skipped: int = 0) -> str:
    text = plain_text(f"...{text[skipped:]}" if skipped else text)
    return text if len(text) <= columns else f"{text[: columns - 3]}..."


def _shown(form: Form) -> str:
    rest = {name: value for name, value in form.items() if name != "kind"}
    match rest.get("messages"):
        case [*each]:
            rest["messages"] = f"{len(each)} messages, {list_digest(each)}"
        case _:
            pass
    return f"{form['kind']} {text_of(rest)}" if rest else str(form["kind"])


def _values(brief: CallConfig) -> object:
    return msgspec.to_builtins(brief, enc_hook=dict)


def _leaves(path: str, before: object, after: object) -> list[str]:
    """The values that differ, each with its place."""
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [*before, *(name for name in after if name not in before)]
        return [
            line
            for name in names
            for line in _leaves(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))
        ]
    return [_fitted(f"{path}: {_value(before)} -> {_value(after)}", COLUMNS - 2)]


def _value(value: object) -> str:
    return "nothing" if value is None else shortened(str(value), 36)
