"""Scenario files: YAML, one scenario each, with variables and a table of variants.

`{name}` in any text is replaced by the variable; a variant gives values to variables and makes one
scenario of the file. `{number}` is the caller's number. A file is checked against the types here,
from which the published schema is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import UNSET, Struct, UnsetType

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


class SaysFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Words of the caller, or the fragments in which recognition delivers them."""

    words: str = ""
    fragments: tuple[str, ...] = ()
    pause: float = 0.6
    """Seconds between two fragments."""
    language: str = ""
    waits: bool = True
    """The caller first hears the agent out."""


class InterruptsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The caller speaks while the agent speaks."""

    words: str = ""
    """Empty = a noise."""
    after_words: int = 0
    at: str = ""
    """A regular expression: as soon as the agent has said it."""


class HearsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The agent says something within so many seconds."""

    pattern: str
    within: float = 20.0


class PressesFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Keys."""

    keys: str
    waits: bool = True


class StepFile(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the caller does; exactly one of these."""

    says: str | SaysFile | UnsetType = UNSET
    interrupts: InterruptsFile | UnsetType = UNSET
    presses: str | PressesFile | UnsetType = UNSET
    hears: str | HearsFile | UnsetType = UNSET
    waits: float | UnsetType = UNSET
    """Seconds of silence."""
    loses_line: str | UnsetType = UNSET
    """The error that Twilio reports: 64105 or 39001."""
    hangs_up: bool | UnsetType = UNSET
    """true = after the agent was heard out, false = at once."""


class CallerFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Who calls; without `profile` a stranger."""

    number: str = "+15550100001"
    called: str = "+15550100000"
    language: str = "en-US"
    profile: dict[str, Any] | None = None


class ToolFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that is called; without `times` at least once."""

    name: str
    arguments: dict[str, Any] = {}
    times: int | None = None


class ItemFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Items of the table: all under `sk`, a prefix, must be as `where` says."""

    pk: str
    sk: str
    times: int = 1
    where: dict[str, Any] = {}


class MessageFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A message that is sent."""

    channel: str
    to: str
    matches: str = ""
    times: int = 1


class ExpectsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What must be true afterwards."""

    tools: tuple[ToolFile, ...] = ()
    table: tuple[ItemFile, ...] = ()
    profile: dict[str, Any] = {}
    messages: tuple[MessageFile, ...] | None = None
    said: tuple[str, ...] = ()
    never_said: tuple[str, ...] = ()
    numbers: tuple[float | str, ...] = ()
    language: str = ""
    outcome: str = ""
    transfer_to: str = ""
    dead_air: float = 6.0
    first_words: float = 0.0
    tokens: int = 0


class ReplyToolFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call of a scripted reply."""

    tool: str
    arguments: dict[str, Any] = {}


class ScenarioFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One file in `scenarios`."""

    steps: tuple[StepFile, ...]
    about: str = ""
    use_case: str = ""
    """Of the caller; empty = that of the folder."""
    caller: CallerFile = CallerFile()
    variables: dict[str, Value] = {}
    variants: tuple[dict[str, Value], ...] = ()
    items: tuple[dict[str, Any], ...] = ()
    replies: tuple[tuple[str | ReplyToolFile, ...], ...] = ()
    expects: ExpectsFile = ExpectsFile()
    tags: tuple[str, ...] = ()


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
        yield _scenario(filled, path, _title(variant), filled.use_case or own)


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
        caller=CallerIdentity(caller.number, caller.called, caller.language, profile),
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
