"""Scenario files: YAML, one scenario each, with variables and a table of variants.

`{name}` in any text is replaced by the variable, and a name without a value is a fault; `{{name}}`
stands for the text `{name}`. A variant gives values to variables and makes one scenario of the
file. `{number}` is the caller's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import UNSET, Struct

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
from agent.scenarios.scenario_format import (
    HearsFile,
    InterruptsFile,
    ReplyToolFile,
    ScenarioFile,
    StepFile,
    Value,
)

FOLDER = "scenarios"
"""Of a use case, beside its `use-case.toml`."""
_NAME = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
_VARIABLE = re.compile(rf"\{{{_NAME}\}}|{_NAME}")
"""A name in braces: in two pairs, which is no variable, or in one."""
_QUOTE = "put it in quotes, so that YAML reads a text"
_NOT_TEXT = re.compile(r"Expected `(?:str|float \| str).*got `(?:bool|int|float)`")


def scenario_files(place: Path) -> list[Path]:
    """The files at a place: a file, a folder of scenarios, or one with such folders below it."""
    if place.is_file():
        return [place]
    return sorted(place.rglob(f"{FOLDER}/*.yaml")) or sorted(place.glob("*.yaml"))


def read_folder(place: Path, word: str = "") -> list[Scenario]:
    """The scenarios at a place, in order of their files, that have `word`.

    It is looked for in use case, file name and variant, or is one of the tags.

    Raises `ScenarioError` for the first file that cannot be used, and if there is no scenario.
    """
    chosen = [
        each
        for file in scenario_files(place)
        for each in read_file(file)
        if word in each.tags or any(word in it for it in (each.use_case, each.name, each.variant))
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
        advice = f"; {_QUOTE}" if _NOT_TEXT.search(str(error)) else ""
        raise ScenarioError(f"{path}: {error}{advice}") from error


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
    wanted = [expects.profile, *(each.arguments for each in expects.tools)]
    wanted += [each.where for each in expects.table]
    for value in (value for values in wanted for value in values.values()):
        if isinstance(value, dict) and set(value) == {"matches"}:
            if not isinstance(value["matches"], str):
                raise ValueError(f"matches: {value['matches']!r} is no text; {_QUOTE}")
            patterns.append(value["matches"])
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
            [
                msgspec.structs.asdict(step) if isinstance(step, ReplyToolFile) else step
                for step in reply
            ]
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


def _filled(value: Any, values: Mapping[str, Value], place: str = "$") -> Any:
    """The document with its variables replaced; a text that is one variable keeps its type."""
    if isinstance(value, str):
        return _filled_text(value, values, place)
    if isinstance(value, dict):
        kept = ("variables", "variants")
        return {
            name: each if name in kept else _filled(each, values, f"{place}.{name}")
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_filled(each, values, f"{place}[{n}]") for n, each in enumerate(value)]
    return value


def _filled_text(text: str, values: Mapping[str, Value], place: str) -> Value:
    for found in _VARIABLE.finditer(text):
        if (name := found[2]) and name not in values:
            raise ValueError(f"{{{name}}} is no variable - at `{place}`")
        if name and found[0] != text and isinstance(values[name], bool):
            raise ValueError(f"{{{name}}} is true or false: {_QUOTE} - at `{place}`")
    if (whole := _VARIABLE.fullmatch(text)) and whole[2]:
        return values[whole[2]]
    return _VARIABLE.sub(
        lambda found: str(values[found[2]] if found[2] else f"{{{found[1]}}}"), text
    )


def _title(variant: Mapping[str, Value]) -> str:
    return ", ".join(str(value) for value in variant.values())
