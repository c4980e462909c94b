"""The record of a call without personal values: it can be shown, and not replayed.

What was said is in the recorded facts, whole and with placeholders. The pieces in which it came are
left out (of a reply, of speech, of partial words, single keys), as a value may be divided among
them. So are the configuration and the profile of the beginning, and the digests of requests, by
which a guess could be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.call.collector import MARK
from agent.call.history import AgentSaid, CallerBegan, CallerSaid, Note, Recorded, Summary, ToolUsed
from agent.observability.recording.serialization import (
    RECORD,
    RECORDED,
    Form,
    RecordError,
    facts_of,
    forms_of,
    read_chunks,
    text_of,
)
from agent.ports import Item
from agent.usecases.redaction import Redactor

_LEFT_OUT = "…"
_PIECES = {
    ("ReplyDelta", "text"), ("ReplyFinished", "text"), ("PlaybackReported", "text"),
    ("CallerInterrupted", "heard"), ("Speak", "text"),
}  # fmt: skip
_DIGITS = {("CallerPressed", "digit"), ("SendDigits", "digits"), ("RunTool", "entry")}
_CODES = frozenset({
    "kind", "id", "call_id", "name", "timer", "stop", "fault", "report", "act", "mode", "voice",
    "means", "language", "choice",
})  # fmt: skip
_FREE = frozenset({"slots", "arguments", "content", "outcome"})
_WEBHOOK = ("CallSid", "Direction", "startedMs")


def redacted_fact(fact: Recorded, redactor: Redactor) -> Recorded:
    """A fact with placeholders in its texts."""
    match fact:
        case CallerSaid() | AgentSaid() | Note():
            return replace(fact, text=redactor.text(fact.text))
        case Summary(text, _, noted):
            return replace(fact, text=redactor.text(text), facts=redactor.text(noted))
        case ToolUsed(_, call, result):
            call = replace(call, arguments=str(redactor.value(call.arguments)))
            if result is not None:
                result = replace(result, content=str(redactor.value(result.content)))
            return replace(fact, call=call, result=result)
        case CallerBegan():
            return fact


def redacted_record(items: Sequence[Item], redactor: Redactor) -> list[tuple[Item, str]]:
    """Each chunk of a call with its new lines, the last one first; none for one to be deleted.

    In this order, a chunk that is not written yet has no piece of a fact whose beginning is.
    """
    try:
        facts = {one.generation: facts_of(one) for one in read_chunks(items)}
        redacted = {
            (generation, position): RECORDED.write(redacted_fact(fact, redactor))
            for generation, known in facts.items()
            for position, (fact, _) in known.items()
        }
        return [(item, _lines(item, redacted, redactor)) for item in reversed(items)]
    except RecordError:  # it cannot be shown either
        return [(item, "") for item in reversed(items)]


def _lines(item: Item, facts: Mapping[tuple[int, int], Form], redactor: Redactor) -> str:
    generation = int(str(item["sk"]).removeprefix(RECORD).partition("::")[0])

    def line(form: Form) -> Form:
        match form:
            case {"begin": dict(begin)}:
                return {"begin": _beginning(begin)}
            case {"event": dict(event), "did": list(did), **rest}:
                written = (
                    _record(each, facts, generation)
                    if each.get("kind") == "Record"
                    else _form(each, redactor)
                    for each in did
                )
                done = [each for each in written if each]
                return {**rest, "event": _form(event, redactor), "did": done}
            case _:
                return form

    return "\n".join(text_of(line(form)) for form in forms_of(item))


def _beginning(begin: Form) -> Form:
    webhook = begin.get("webhook")
    known = webhook if isinstance(webhook, dict) else {}
    kept = {name: known[name] for name in _WEBHOOK if name in known}
    left_out: Form = {"brief": {}, "resumption": None, "profile": {}}
    return {**begin, **left_out, "webhook": kept, "is_redacted": True}


def _record(action: Form, facts: Mapping[tuple[int, int], Form], generation: int) -> Form:
    """With the whole fact; nothing if that is not known."""
    match action:
        case {"fact": {"kind": "CallerBegan"}}:
            return action
        case {"position": int(position)} if (generation, position) in facts:
            return {**action, "fact": facts[generation, position]}
        case _:
            return {}


def _form(form: Form, redactor: Redactor) -> Form:
    kind = str(form.get("kind", ""))
    is_partial = kind == "CallerSpoke" and form.get("is_final") is False

    def field(name: str, value: object) -> object:
        if (kind, name) in _PIECES or (is_partial and name == "text"):
            return _LEFT_OUT if value else value
        if (kind, name) in _DIGITS:
            return MARK * len(str(value)) if value else value
        if name == "messages":
            return []
        if name == "config":
            return {}
        if name in _CODES:
            return value
        if name in _FREE:
            return redactor.value(value, name)
        if isinstance(value, dict):
            return _form(value, redactor)
        if isinstance(value, list):
            return [field(name, one) for one in value]
        return redactor.value(value)

    return {name: field(name, value) for name, value in form.items()}
