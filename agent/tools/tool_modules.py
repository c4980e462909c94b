"""Loads the modules of Python tools: built-in ones, `tools/*.py` of a configuration, and packages.

Each has `TOOLS`, a list of what `@tool` made. An installed package names its module as an entry
point of the group `voice_agent.tools`. Names are unique over all of them.

A file is loaded from its source each time, under a module name of its own, so that a saved edit can
be loaded beside the version that running calls use. It stands alone: code that several files share
belongs into an installed package.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from itertools import count
from pathlib import Path
from types import ModuleType

from agent.call.messages import ToolSpec
from agent.errors import UseCaseError
from agent.tools.builtin import TOOLS
from agent.tools.tool import Tool
from agent.usecases.named_tools import EXTERNAL_MARKER

ENTRY_POINTS = "voice_agent.tools"
_numbers = count()


def load_tools(configuration: Path) -> tuple[Tool, ...]:
    """All Python tools of a process; runs the modules.

    Raises:
        UseCaseError: The errors of all modules, a line each: `file: reason`.
    """
    tools = {each.spec.name: each for each in TOOLS}
    places = dict.fromkeys(tools, "the service")
    faults = list[str]()
    for place, load in _modules(configuration):
        try:
            for each in _tools_of(load(), places):
                tools[each.spec.name], places[each.spec.name] = each, place
        except (Exception, SystemExit) as error:  # noqa: BLE001 (the modules are not ours)
            faults.append(f"{place}: {_reason(error, place)}")
    if faults:
        raise UseCaseError("\n".join(faults))
    return tuple(tools.values())


def specs_of(tools: Iterable[Tool]) -> dict[str, ToolSpec]:
    """What the model reads of each tool, by name."""
    return {each.spec.name: each.spec for each in tools}


def _modules(configuration: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Where each module is, and what loads it."""
    found: list[EntryPoint] = sorted(entry_points(group=ENTRY_POINTS), key=lambda it: it.name)
    for each in found:
        yield f"entry point {each.name} ({each.value})", each.load
    for path in sorted((configuration / "tools").glob("*.py")):
        yield str(path), lambda path=path: _module(path)  # type: ignore[misc]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_loader(
        f"voice_agent_tools_{next(_numbers)}_{path.stem}", loader=None, origin=str(path)
    )
    assert spec is not None  # noqa: S101 (only a loader can refuse)
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[spec.name] = module  # where decorators of the file look up its annotations
    # Not by Python's loader: its cache takes a file of equal size and second for the same.
    exec(compile(path.read_bytes(), path, "exec"), vars(module))  # noqa: S102 (the operator's code)
    return module


def _tools_of(module: object, places: Mapping[str, str]) -> Iterator[Tool]:
    tools = getattr(module, "TOOLS", None)
    if not isinstance(tools, list | tuple) or not all(isinstance(it, Tool) for it in tools):
        raise TypeError("TOOLS must be a list of functions with @tool")
    for name, each in ((it.spec.name, it) for it in tools):
        if EXTERNAL_MARKER in name:
            raise ValueError(f"{name}: two underscores are for tools of MCP servers")
        if name in places:
            raise ValueError(f"{name}: {places[name]} has a tool of this name")
        yield each


def _reason(error: BaseException, place: str) -> str:
    """One line: the line of the file, the kind of error, and its text."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    numbers = [frame.lineno for frame in frames if frame.filename == place]
    line = f"line {numbers[-1]}: " if numbers else ""
    is_ours = not numbers and isinstance(error, TypeError | ValueError)
    return f"{line}{text}" if is_ours else f"{line}{type(error).__name__}: {text}"
