"""Events, facts and actions as JSON, for the record of a call; its reader; digests of requests.

What enters a conversation (events, configuration, resumption) is written whole, because a replay
needs it. What it answers (actions) is only compared and written compactly: a request has a digest
of each message, speech that grows is written as what was added, what is false or None is left out.
Prompts are compared before they are filled, as what they tell of the day, the caller and earlier
orders differs in every call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Generic, TypeVar, get_args

import msgspec

from agent.call.actions import (
    Action,
    Effect,
    Entry,
    Handoff,
    HangUp,
    Record,
    RunTool,
    Speak,
    Speculate,
    StartReply,
    Summarize,
    ToolOutcome,
)
from agent.call.config import CallConfig
from agent.call.events import Event, ToolFinished
from agent.call.history import AgentSaid, CallerBegan, Fact, Recorded
from agent.call.messages import Message, ReplyRequest, ToolSpec
from agent.call.resumption import ResumeCause, Resumption
from agent.call.text import whole_number
from agent.errors import AgentError
from agent.observability.call_summary import VersionStamp
from agent.ports import Store
from agent.usecases.validation import plain

T = TypeVar("T")
Form = dict[str, object]
"""A value in JSON's types; `kind` names its class."""
RECORD = "record::"
"""Sort keys of records begin with it."""
_DIGITS = 12
_MESSAGE_DIGITS = 8
LARGEST = 10**15
"""Above any number of a connection or a chunk, and any time in milliseconds."""


class RecordError(AgentError):
    """A record cannot be read; one line, without anything that was said."""


class TaggedUnion(Generic[T]):
    """The classes of a union, by name."""

    def __init__(self, union: object) -> None:
        self._kinds: dict[str, type[T]] = {kind.__name__: kind for kind in get_args(union)}

    def write(self, value: T) -> Form:
        return {"kind": type(value).__name__, **_fields(value)}

    def read(self, raw: object) -> T:
        match raw:
            case {"kind": str(name), **fields} if name in self._kinds:
                return converted(fields, self._kinds[name])
            case {"kind": str(name)}:
                raise RecordError(f"record: a kind that is not known here: {name}")
            case _:
                raise RecordError("record: a kind is missing")


_EVENTS = TaggedUnion[Event](Event)
RECORDED = TaggedUnion[Recorded](Recorded)
_FACTS = TaggedUnion[Fact](Fact)
_EFFECTS = TaggedUnion[Effect](Effect)


@dataclass(frozen=True, slots=True)
class Beginning:
    """With what a connection of a call began."""

    brief: CallConfig
    resumption: Resumption | None
    stamp: VersionStamp
    began_ms: int
    """Epoch milliseconds."""
    webhook: Mapping[str, str]
    """The numbers and identifiers of the call, as in the session item."""
    profile: Mapping[str, object] = field(default_factory=dict)
    is_redacted: bool = False
    """Placeholders stand for personal values (`agent.observability.recording.redacted_record`)."""


def event_form(event: Event) -> Form:
    """An event, whole."""
    form = _EVENTS.write(event)
    if isinstance(event, ToolFinished):
        effect = event.outcome.effect
        written = None if effect is None else _EFFECTS.write(effect)
        form["outcome"] = {**_fields(event.outcome), "effect": written}
    return form


def event_from(raw: object) -> Event:
    """The event of a form; raises `RecordError`."""
    match raw:
        case {"kind": "ToolFinished", "call_id": str(call_id), "outcome": {**outcome}}:
            effect, content = outcome.get("effect"), str(outcome.get("content", ""))
            read = None if effect is None else _EFFECTS.read(effect)
            is_error = outcome.get("is_error") is True
            return ToolFinished(call_id, ToolOutcome(content, is_error=is_error, effect=read))
        case _:
            return _EVENTS.read(raw)


def beginning_form(beginning: Beginning) -> Form:
    """A beginning, whole."""
    resumption: Form | None = None
    if beginning.resumption is not None:
        facts = [RECORDED.write(fact) for fact in beginning.resumption.facts]
        end = beginning.resumption.end
        ends = {"end": _EFFECTS.write(end)} if end is not None else {}
        resumption = {**_fields(beginning.resumption), "facts": facts, **ends}
    profile = plain(beginning.profile)
    return {**_fields(beginning), "resumption": resumption, "profile": profile}


def beginning_from(raw: object) -> Beginning:
    """The beginning of a form; raises `RecordError`."""
    match raw:
        case {"brief": brief, "stamp": stamp, "began_ms": int(began_ms), **rest}:
            return Beginning(
                converted(brief, CallConfig),
                _resumption_from(rest.get("resumption")),
                converted(stamp, VersionStamp),
                began_ms,
                converted(rest.get("webhook") or {}, dict[str, str]),
                converted(rest.get("profile") or {}, dict[str, object]),
                is_redacted=rest.get("is_redacted") is True,
            )
        case _:
            raise RecordError("record: the beginning cannot be read")


def _resumption_from(raw: object) -> Resumption | None:
    match raw:
        case None:
            return None
        case {"facts": [*facts], "cause": str(cause), **rest}:
            end = None if rest.get("end") is None else _EFFECTS.read(rest["end"])
            return Resumption(
                facts=[_FACTS.read(fact) for fact in facts],
                cause=converted(cause, ResumeCause),
                is_caller_cut_off=rest.get("is_caller_cut_off") is True,
                elapsed_ms=converted(rest.get("elapsed_ms", 0), int),
                language=str(rest.get("language", "")),
                end=end if isinstance(end, Handoff | HangUp) else None,
            )
        case _:
            raise RecordError("record: the resumption cannot be read")


class ActionForms:
    """Writes the actions of one connection, in their order."""

    def __init__(self) -> None:
        self._said: dict[int, str] = {}

    def write(self, actions: Sequence[Action]) -> list[Form]:
        return [self._form(action) for action in actions]

    def _form(self, action: Action) -> Form:
        form: Form = {"kind": type(action).__name__}
        match action:
            case StartReply(reply, messages, choice):
                asked = {"choice": msgspec.to_builtins(choice), "messages": digests(messages)}
                return {**form, "reply": reply, **asked}
            case Speculate(reply, messages):
                return {**form, "reply": reply, "messages": digests(messages)}
            case Summarize(summary, messages):
                return {**form, "summary": summary, "messages": digests(messages)}
            case RunTool(entry=Entry() as entry):
                return {
                    **form,
                    **_filled(_fields(replace(action, entry=None))),
                    "entry": entry.shown,
                }
            case Speak():  # in the language that the beginning and the changes tell
                return {**form, **_filled({**_fields(action), "language": None})}
            case Record(position, fact):
                return {**form, "position": position, "fact": self._fact(position, fact)}
            case _:
                return {**form, **_filled(_fields(action))}

    def _fact(self, position: int, fact: Recorded) -> Form:
        form = {"kind": type(fact).__name__, **_filled(_fields(fact))}
        if isinstance(fact, AgentSaid):
            before = self._said.get(position, "")
            self._said[position] = fact.text
            if before and not fact.is_cut and fact.text.startswith(before):
                del form["text"]
                form["more"] = fact.text[len(before) :]
        return form


def converted(raw: object, wanted: type[T]) -> T:
    """A value of JSON as a value of this type; raises `RecordError`."""
    try:
        return msgspec.convert(raw, wanted)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise RecordError(f"record: a {wanted.__name__} cannot be read") from error


def text_of(value: object) -> str:
    """JSON in one line; only the slower encoder can escape half a character."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def digests(messages: Sequence[Message]) -> list[str]:
    """A digest of each message of a request, so that the first that differs can be named."""
    return [prompt_digest(message)[:_MESSAGE_DIGITS] for message in messages]


def list_digest(each: Sequence[object]) -> str:
    """One digest of all of `digests`."""
    return prompt_digest(each)[:_MESSAGE_DIGITS]


def prompt_digest(template: object) -> str:
    """The digest of a prompt that is not filled, or of another value, in JSON's types."""
    return sha256(text_of(template).encode()).hexdigest()[:_DIGITS]


def tools_digest(tools: Sequence[ToolSpec]) -> str:
    """The digest of what a model is told of the tools."""
    return prompt_digest([[spec.name, spec.description, spec.parameters] for spec in tools])


def asks_digest(template: object, request: ReplyRequest) -> str:
    """The digest of a request without its messages and its choice of a tool."""
    numbers = [request.max_tokens, request.temperature, request.top_p]
    return prompt_digest([prompt_digest(template), tools_digest(request.tools), numbers])


def _fields(value: object) -> Form:
    fields: Form = msgspec.to_builtins(value, enc_hook=dict)
    return fields


def _filled(fields: Form) -> Form:
    return {name: value for name, value in fields.items() if not (value is None or value is False)}


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One event, and the actions it led to."""

    at_ms: float
    """When it was received, since the first event of its connection."""
    took_ms: float
    event: Event
    did: list[Form]
    asks: str
    """`asks_digest` of what a model was asked; empty = none was."""

    @property
    def done_ms(self) -> float:
        return self.at_ms + self.took_ms


@dataclass(slots=True)
class RecordedConnection:
    """What is recorded of one connection of a call."""

    generation: int
    beginning: Beginning
    steps: list[RecordedStep] = field(default_factory=list)
    end: str = ""
    is_torn: bool = False
    """A chunk is missing; what came after it is left out."""


async def read_record(store: Store, call_sid: str) -> list[RecordedConnection]:
    """The connections of a call in order; raises `RecordError`, as for one of another version."""
    return read_chunks(await store.query(call_sid, RECORD))


def read_chunks(items: Iterable[Mapping[str, object]]) -> list[RecordedConnection]:
    """The connections in items that are in the order of their sort keys."""
    found: dict[int, RecordedConnection] = {}
    expected: dict[int, int] = {}
    for item in items:
        connection, _, chunk = str(item.get("sk", "")).removeprefix(RECORD).partition("::")
        generation, number = whole_number(connection, LARGEST), whole_number(chunk, LARGEST)
        if generation is None or number is None:
            raise RecordError("record: a chunk has a key that is none")
        forms = list(forms_of(item))
        if generation not in found:
            begin, *forms = forms
            if number or "begin" not in begin:
                continue  # without its beginning nothing of a connection can be played
            found[generation] = RecordedConnection(generation, beginning_from(begin["begin"]))
        one = found[generation]
        one.is_torn = one.is_torn or number != expected.get(generation, 0)
        expected[generation] = number + 1
        if not one.is_torn:
            _add(one, forms)
    return list(found.values())


def missing(connections: Iterable[RecordedConnection]) -> list[int]:
    """The generations before the last recorded one of which nothing is recorded."""
    known = {one.generation for one in connections}
    return [generation for generation in range(max(known, default=0)) if generation not in known]


def facts_of(connection: RecordedConnection) -> dict[int, tuple[Fact, float]]:
    """The recorded facts by position, each with the time when it was first recorded."""
    facts: dict[int, tuple[Fact, float]] = {}
    for step in connection.steps:
        for form in step.did:
            match form:
                case {"kind": "Record", "position": int(position), "fact": {**raw}}:
                    before, more = facts.get(position), raw.pop("more", None)
                    if more is not None and before and isinstance(before[0], AgentSaid):
                        raw["text"] = before[0].text + str(more)
                    fact = RECORDED.read(raw)
                    if not isinstance(fact, CallerBegan):
                        facts[position] = (fact, before[1] if before else step.done_ms)
                case _:
                    pass
    return facts


def forms_of(item: Mapping[str, object]) -> Iterator[Form]:
    """The lines of a chunk; raises `RecordError`."""
    for text in str(item.get("lines", "")).split("\n"):
        try:
            yield converted(json.loads(text), dict[str, object])
        except (ValueError, RecursionError) as error:
            raise RecordError("record: a line is not JSON") from error


def _add(connection: RecordedConnection, forms: Iterable[Form]) -> None:
    for form in forms:
        match form:
            case {"end": str(reason)}:
                connection.end = reason
            case {"at": at_ms, "took": took_ms, "event": event, "did": did, **rest}:
                at_ms, took_ms = converted([at_ms, took_ms], list[float])
                did, asks = converted(did, list[Form]), str(rest.get("asks", ""))
                step = RecordedStep(at_ms, took_ms, event_from(event), did, asks)
                connection.steps.append(step)
            case _:
                raise RecordError("record: a line cannot be read")
