"""Scenario files: YAML, one scenario each, with variables and a table of variants.

`{name}` in any text is replaced by the variable; a variant gives values to variables and makes one
scenario of the file. `{number}` is the caller's number. A file is checked against the types here,
from which the published schema is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import UNSET, Meta, Struct, UnsetType

from agent.scenarios.scenario import (
    CallerIdentity,
    Expectations,
    HangsUp,
    Hears,
    Interrupts,
    ItemExpectation,
    LosesLine,
    MessageExpectation,
    Presses,
    Says,
    Scenario,
    ScenarioError,
    Step,
    ToolExpectation,
    Waits,
)

FOLDER = "scenarios"
"""Of a use case, beside its `use-case.toml`."""
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
Value = str | int | float | bool


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a file; a name that it does not have is a fault."""


Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0)]
Times = Annotated[int, Meta(ge=0)]


class SaysFile(_Part, frozen=True):
    """Words of the caller, or the fragments in which recognition delivers them."""

    words: Annotated[str, Meta(description="Not needed with `fragments`.")] = ""
    fragments: Annotated[
        tuple[Text, ...], Meta(description="Each is delivered as a final prompt of its own.")
    ] = ()
    pause: Annotated[Seconds, Meta(description="Seconds between two fragments.")] = 0.6
    language: Annotated[str, Meta(description="Of these words; empty = the caller's.")] = ""
    waits: Annotated[
        bool, Meta(description="First hears the agent out; else these words follow at once.")
    ] = True


class InterruptsFile(_Part, frozen=True):
    """The caller speaks while the agent speaks."""

    words: Annotated[str, Meta(description="Empty = a noise, followed by nothing.")] = ""
    after_words: Annotated[Times, Meta(description="So many words of the agent are heard.")] = 0
    at: Annotated[str, Meta(description="A pattern: as soon as it is heard.")] = ""


class HearsFile(_Part, frozen=True):
    """The agent says something, else the scenario fails here."""

    pattern: Text
    within: Annotated[Seconds, Meta(description="Seconds.")] = 20.0


class PressesFile(_Part, frozen=True):
    """The caller presses keys."""

    keys: Annotated[str, Meta(pattern="^[0-9*#]+$", description='In quotes, such as `"12#"`.')]
    waits: Annotated[bool, Meta(description="First hears the agent out.")] = True


class StepFile(_Part, frozen=True, omit_defaults=True):
    """What the caller does; exactly one of these."""

    says: Annotated[
        str | SaysFile | UnsetType, Meta(description="When the agent has finished.")
    ] = UNSET
    interrupts: Annotated[
        InterruptsFile | UnsetType, Meta(description="While the agent speaks.")
    ] = UNSET
    presses: Annotated[str | PressesFile | UnsetType, Meta(description="Keys.")] = UNSET
    hears: Annotated[
        str | HearsFile | UnsetType, Meta(description="Waits until the agent says this pattern.")
    ] = UNSET
    waits: Annotated[Seconds | UnsetType, Meta(description="Seconds of silence.")] = UNSET
    loses_line: Annotated[
        str | UnsetType,
        Meta(description="The connection breaks, with this error of Twilio: 64105 or 39001."),
    ] = UNSET
    hangs_up: Annotated[
        bool | UnsetType,
        Meta(description="true = after the agent was heard out, false = at once."),
    ] = UNSET


class CallerFile(_Part, frozen=True):
    """Who calls; without `profile` a stranger."""

    number: Annotated[
        str, Meta(description="E.164, or `client:NAME`. It is the variable `{number}`.")
    ] = "+15550109999"
    called: Annotated[str, Meta(description="The agent's number.")] = "+15550100000"
    language: Annotated[str, Meta(description="Of what the caller says.")] = "en-US"
    profile: Annotated[
        dict[str, Any] | None,
        Meta(description="Attributes of the caller's profile in the table, before the call."),
    ] = None


class ToolFile(_Part, frozen=True):
    """A tool that is called."""

    name: Text
    arguments: Annotated[
        dict[str, Any],
        Meta(description="From a path such as `order.type` to a value, or to `{matches: REGEX}`."),
    ] = {}
    times: Annotated[Times | None, Meta(description="Unset = at least once.")] = None


class ItemFile(_Part, frozen=True):
    """Items of the table after the call: so many, and each as `where` says."""

    pk: Text
    sk: Annotated[Text, Meta(description="The beginning of it.")]
    times: Annotated[Times, Meta(description="How many there are.")] = 1
    where: Annotated[
        dict[str, Any],
        Meta(description="From a path such as `order.type` to a value, or to `{matches: REGEX}`."),
    ] = {}


class MessageFile(_Part, frozen=True):
    """A message that is sent."""

    channel: Literal["sms", "email"]
    to: Text
    matches: Annotated[str, Meta(description="A pattern in its text.")] = ""
    times: Times = 1


class ExpectsFile(_Part, frozen=True):
    """What must be true afterwards. What is not named is not checked, but for the manners."""

    tools: Annotated[tuple[ToolFile, ...], Meta(description="Tools that are called.")] = ()
    table: Annotated[tuple[ItemFile, ...], Meta(description="What the table holds.")] = ()
    profile: Annotated[
        dict[str, Any], Meta(description="Values of the caller's profile, as `where` of an item.")
    ] = {}
    messages: Annotated[
        tuple[MessageFile, ...] | None,
        Meta(description="All messages that are sent; `[]` = none is sent, unset = not checked."),
    ] = None
    said: Annotated[
        tuple[Text, ...], Meta(description="Patterns that the caller hears at some time.")
    ] = ()
    never_said: Annotated[
        tuple[Text, ...], Meta(description="Patterns that the agent never says.")
    ] = ()
    numbers: Annotated[
        tuple[float | str, ...],
        Meta(description="Numbers that the caller hears, in digits or in English words."),
    ] = ()
    language: Annotated[str, Meta(description="Of the voice for the last answer.")] = ""
    outcome: Annotated[
        Literal["", "hung-up", "ended", "transferred", "refused"],
        Meta(description="`hung-up` by the caller, `ended` by the agent; empty = any."),
    ] = ""
    transfer_to: Annotated[str, Meta(description="A part of the number or address.")] = ""
    dead_air: Annotated[
        Seconds, Meta(description="The longest silence before an answer begins.")
    ] = 6.0
    first_words: Annotated[
        Seconds,
        Meta(description="Seconds until an answer begins, for 95 % of the turns; 0 = any."),
    ] = 0.0
    tokens: Annotated[
        Times, Meta(description="The most tokens of the model, read and written; 0 = any.")
    ] = 0


class ReplyToolFile(_Part, frozen=True):
    """A tool call of a scripted reply."""

    tool: Text
    arguments: dict[str, Any] = {}


class ScenarioFile(_Part, frozen=True):
    """One file in `scenarios`."""

    steps: Annotated[tuple[StepFile, ...], Meta(description="What the caller does, in order.")]
    about: Annotated[str, Meta(description="For readers.")] = ""
    use_case: Annotated[
        str, Meta(description="Of the caller; empty = the one in whose folder the file is.")
    ] = ""
    caller: Annotated[CallerFile, Meta(description="Who calls.")] = CallerFile()
    variables: Annotated[
        dict[str, Value], Meta(description="`{name}` in a text is replaced by the value.")
    ] = {}
    variants: Annotated[
        tuple[dict[str, Value], ...],
        Meta(description="Other values of variables: each makes a scenario of the file."),
    ] = ()
    items: Annotated[
        tuple[dict[str, Any], ...],
        Meta(description="Written to the table before the call; `pk` and `sk` are needed."),
    ] = ()
    replies: Annotated[
        tuple[tuple[str | ReplyToolFile, ...], ...],
        Meta(
            description="What the model replies, request by request, the last one for ever;"
            " unset = the model of the use case."
        ),
    ] = ()
    expects: Annotated[ExpectsFile, Meta(description="What must be true afterwards.")] = (
        ExpectsFile()
    )
    tags: Annotated[tuple[Text, ...], Meta(description="Words for `--only`.")] = ()


def scenario_files(place: Path) -> list[Path]:
    """The files at a place: a file, a folder of scenarios, or one with such folders below it."""
    if place.is_file():
        return [place]
    return sorted(place.rglob(f"{FOLDER}/*.yaml")) or sorted(place.glob("*.yaml"))


def read_folder(place: Path, word: str = "") -> list[Scenario]:
    """The scenarios at a place that have this in path, variant or tags, in order of their files.

    Raises `ScenarioError` for the first file that cannot be used, and if there is no scenario.
    """
    chosen = [
        each
        for file in scenario_files(place)
        for each in read_file(file)
        if word in each.file or word in each.variant or word in each.tags
    ]
    if not chosen:
        raise ScenarioError(f"{place}: has no scenario" + (f" with {word!r}" if word else ""))
    return chosen


def read_file(path: Path) -> list[Scenario]:
    """The scenarios of a file, one for each variant; raises `ScenarioError`."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ScenarioError(f"{path}: {line}{error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {str(error).splitlines()[0]}") from error
    try:
        return list(_scenarios(document, path))
    except (msgspec.ValidationError, ValueError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def _scenarios(document: Any, path: Path) -> Iterator[Scenario]:
    whole = msgspec.convert(document, ScenarioFile)
    own = path.parent.parent.name if path.parent.name == FOLDER else ""
    for variant in whole.variants or ({},):
        values = {"number": whole.caller.number, **whole.variables, **variant}
        if unknown := set(variant) - set(whole.variables) if whole.variables else set():
            raise ValueError(f"variants: {', '.join(sorted(unknown))} is no variable")
        filled = msgspec.convert(_filled(document, values), ScenarioFile, strict=False)
        _check(filled)
        yield _scenario(filled, path, _title(variant), filled.use_case or own)


def _check(given: ScenarioFile) -> None:
    """What the types do not say: items have keys, and patterns can be read."""
    if any(not {"pk", "sk"} <= item.keys() for item in given.items):
        raise ValueError("items: each needs pk and sk")
    expects, patterns = given.expects, list[object]()
    for step in given.steps:
        hears, interrupts = step.hears, step.interrupts
        patterns.append(hears.pattern if isinstance(hears, HearsFile) else hears)
        patterns.append(interrupts.at if isinstance(interrupts, InterruptsFile) else UNSET)
    patterns += [*expects.said, *expects.never_said]
    patterns += [message.matches for message in expects.messages or ()]
    for pattern in patterns:
        try:
            re.compile(pattern if isinstance(pattern, str) else "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


def _scenario(given: ScenarioFile, path: Path, variant: str, use_case: str) -> Scenario:
    expects = given.expects
    caller, profile = given.caller, given.caller.profile
    table = [ItemExpectation(**msgspec.structs.asdict(each)) for each in expects.table]
    if expects.profile:
        table.append(ItemExpectation(caller.number, "profile", where=expects.profile))
    items = [dict(item) for item in given.items]
    if profile is not None or use_case:
        known = {"useCase": use_case} if use_case else {}
        items.append({"pk": caller.number, "sk": "profile", **known, **(profile or {})})
    messages = expects.messages
    return Scenario(
        name=path.stem,
        use_case=use_case,
        about=given.about,
        caller=CallerIdentity(caller.number, caller.called, caller.language),
        items=items,
        replies=[
            [step if isinstance(step, str) else msgspec.structs.asdict(step) for step in reply]
            for reply in given.replies
        ],
        steps=tuple(_step(each, number) for number, each in enumerate(given.steps, 1)),
        expects=Expectations(
            tools=tuple(ToolExpectation(**msgspec.structs.asdict(each)) for each in expects.tools),
            table=tuple(table),
            messages=None
            if messages is None
            else tuple(MessageExpectation(**msgspec.structs.asdict(each)) for each in messages),
            said=expects.said,
            never_said=expects.never_said,
            numbers=tuple(float(number) for number in expects.numbers),
            language=expects.language,
            outcome=expects.outcome,
            transfer_to=expects.transfer_to,
            dead_air=expects.dead_air,
            first_words=expects.first_words,
            tokens=expects.tokens,
        ),
        variant=variant,
        file=str(path),
        tags=frozenset(given.tags),
    )


def _step(given: StepFile, number: int) -> Step:
    named = [name for name in given.__struct_fields__ if getattr(given, name) is not UNSET]
    if len(named) != 1:
        raise ValueError(f"step {number}: has {' and '.join(named) or 'nothing'}, not one thing")
    given_step = getattr(given, named[0])
    if isinstance(given_step, Struct):
        return _STEPS[named[0]](**msgspec.structs.asdict(given_step))
    return _STEPS[named[0]](given_step)


def _says(words: str = "", fragments: tuple[str, ...] = (), **rest: Any) -> Says:
    return Says(words or " ".join(fragments), fragments, **rest)


_STEPS: Mapping[str, Callable[..., Step]] = {
    "says": _says,
    "interrupts": Interrupts,
    "presses": Presses,
    "hears": Hears,
    "waits": Waits,
    "loses_line": LosesLine,
    "hangs_up": HangsUp,
}


def _filled(value: Any, values: Mapping[str, Value]) -> Any:
    """The document with its variables replaced; a text that is one variable keeps its type."""
    if isinstance(value, str):
        if (whole := _VARIABLE.fullmatch(value)) and whole[1] in values:
            return values[whole[1]]
        return _VARIABLE.sub(lambda found: str(values.get(found[1], found[0])), value)
    if isinstance(value, dict):
        kept = ("variables", "variants")
        return {
            name: each if name in kept else _filled(each, values) for name, each in value.items()
        }
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    return value


def _title(variant: Mapping[str, Value]) -> str:
    return ", ".join(str(value) for value in variant.values())
