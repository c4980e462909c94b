"""The `check` command: validates settings and configuration."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent import SHIPPED_CONFIGURATION, app
from agent.call.messages import ToolSpec
from agent.cli.command import Commands, add_config, read_settings
from agent.cli.live_check import live_checks
from agent.errors import AgentError, StoreError, UseCaseError
from agent.llm import NO_SCRIPT
from agent.llm.offline.script import load
from agent.observability import configure_logging
from agent.scenarios.scenario import Scenario, ScenarioError
from agent.scenarios.scenario_files import read_file, scenario_files
from agent.settings import Settings
from agent.store import open_store
from agent.tools import load_tools, specs_of
from agent.tools.http import fault_of
from agent.tools.mcp import place, survey
from agent.usecases import UseCase, seed
from agent.usecases.folders import load_record, use_case_folders
from agent.usecases.http_tool import HttpTool
from agent.usecases.model_times import NO_TIMES, time_limits
from agent.usecases.named_tools import usable_everywhere
from agent.usecases.receivers import RECEIVERS_FILE, load_receivers, receivers_of
from agent.usecases.record import CONFIGURATION, parse_use_case

_OF_LANGUAGE = re.compile(r"languages\.([^.]+)\.")


def add(commands: Commands) -> None:
    """Add the command."""
    checking = commands.add_parser("check", help="validate settings and configuration")
    what = checking.add_mutually_exclusive_group()
    what.add_argument("--settings", action="store_true", help="list every variable instead")
    what.add_argument(
        "--table",
        action="store_true",
        help="also check the use cases in the table, their canaries, and the profiles",
    )
    checking.add_argument(
        "--live",
        action="store_true",
        help="also try the models, the table, Twilio, MCP servers and hosts of HTTP tools",
    )
    add_config(checking)
    checking.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    if asked.settings:
        _list_settings()
        return 0
    configure_logging("critical", "console")  # a fault is printed, once
    specs, usable, settings = dict[str, ToolSpec](), usable_everywhere, None
    faults, folder = Settings.misspelled(os.environ), SHIPPED_CONFIGURATION
    try:
        settings = read_settings(asked)
        folder = settings.configuration
        app.prices_of(settings)
        found, away, remarks = await survey(settings.mcp_config)
    except AgentError as error:
        faults.append(str(error))
    else:
        hosts, secrets = settings.http_tool_hosts, settings.secrets
        usable = partial(fault_of, hosts=hosts, secrets=secrets)
        specs = dict(found)
        faults += [f"{line}; correct the file, or what it names" for line in away]
        if settings.mcp_config:
            print(f"MCP_CONFIG: {place(settings.mcp_config)}, {len(found)} tools")
        print(*remarks, sep="\n", end="\n" if remarks else "")
    wrong = _folder_faults(folder, specs, usable)
    faults += wrong
    if settings:
        print(_summary(settings))
        faults += _judged(settings, {} if wrong else _use_cases_in(folder, specs))
        faults += _receiver_faults(settings)
        faults += await _default_faults(settings)
    if asked.table:
        faults += await _table_faults(asked, specs, usable)
    for fault in faults:
        print(fault, file=sys.stderr)
    if asked.live and settings:
        faults += await _live_faults(settings, _models_of(folder, specs) if not wrong else {})
    return 1 if faults else 0


def _folder_faults(
    folder: Path, specs: dict[str, ToolSpec], usable: Callable[[HttpTool], str]
) -> list[str]:
    """The faults of a configuration folder, whose tools are added to `specs`."""
    try:
        specs |= specs_of(load_tools(folder))
    except UseCaseError as error:
        return [str(error)]
    wrong, use_cases = seed.check(folder, specs, usable), dict[str, UseCase]()
    if not wrong:
        use_cases = _use_cases_in(folder, specs)
        wrong = [
            f"{place}/offline.{language}{'.' if language else ''}json: {fault}"
            for place, use_case in use_cases.items()
            for language, fault in _script_faults(use_case)
        ]
    if not wrong:
        print(f"use cases: {_names_in(folder)}")
    tools = {} if wrong else {each.name: _tools_of(each) for each in use_cases.values()}
    return wrong + _scenario_faults(folder, tools)


def _receiver_faults(settings: Settings) -> list[str]:
    """The faults of receivers.toml: of the file, or of what the settings allow."""
    try:
        receivers = receivers_of(load_receivers(settings.configuration))
    except UseCaseError as error:
        return [str(error)]
    if receivers:
        print(f"receivers of events: {', '.join(each.name for each in receivers)}")
    for each in receivers:
        if each.permission:
            print(f"receiver {each.name}: the role of the process needs {each.permission}")
    return [
        f"{RECEIVERS_FILE}: receivers.{each.name}.{fault}"
        for each in receivers
        if (fault := each.fault(settings.http_tool_hosts, settings.secrets))
    ]


def _list_settings() -> None:
    group = ""
    for each in Settings.describe():
        if group != each.group:
            print(f"{chr(10) * bool(group)}{each.group}")
            group = each.group
        print(f"  {each.name:32} {each.kind:28} {each.default or '-':28} {each.meaning}")


def _summary(settings: Settings) -> str:
    """What is set, without values that may be secret."""
    given = [names[0] for names in Settings.variables().values() if any(map(os.environ.get, names))]
    table = f"TABLE_NAME {settings.table_name}" if settings.table_name else settings.store_path
    workers, seats = settings.web_concurrency, settings.max_calls
    return (
        f"settings: {', '.join(given) or 'none'} set, the others at their defaults\n"
        f"models: {', '.join(settings.models)}\n"
        f"table: {table}\n"
        f"calls: {seats} at once"
        + f" in each of {workers} processes, {workers * seats} in all"
        * (workers > 1)
    )


def _script_faults(use_case: UseCase) -> Iterator[tuple[str, str]]:
    """The faults of the script for the offline model: language (empty = the first) and fault."""
    try:
        script = load(use_case.offline_script or NO_SCRIPT)
    except UseCaseError as error:
        fault = str(error).removeprefix("offlineScript").removeprefix(".")
        of_language = _OF_LANGUAGE.match(fault)
        yield of_language[1] if of_language else "", _OF_LANGUAGE.sub("", fault)
        return
    offered = _tools_of(use_case)
    for language, one in {"": script, **script.languages}.items():
        for name in sorted(one.tools.keys() - offered - {"*"}):
            there = ", ".join(sorted(offered))
            yield language, f"tools.{name}: is not a tool of the use case; there are: {there}"


def _limit_faults(settings: Settings, use_cases: Mapping[str, UseCase]) -> Iterator[str]:
    """Time limits that contradict each other, and costs that cannot be limited, one line each.

    `use_cases`: by the beginning of a line about one.
    """
    prices, fallbacks = app.prices_of(settings), settings.fallback_model_identifiers
    for where, use_case in use_cases.items():
        model = use_case.model
        identifier = model.identifier or settings.model_identifier
        asks = bool(use_case.outcome and use_case.outcome.asked_fields)
        costs = settings.outcome_cost_per_day if asks else 0.0
        if use_case.spending.over(settings.spending).call_cost or costs:
            for name in (identifier, *fallbacks):
                if name not in {*prices.models, "offline:"}:
                    yield f"{where}: a limit of its cost needs a price of {name}"
        url = settings.openai_base_url if identifier.startswith("openai:") else ""
        limits = time_limits(model.times.over(settings.model_times), url)
        if model.times != NO_TIMES:
            for name, wanted in limits.contradictions():
                yield f"{where} [model.times] {name}_seconds: {wanted}"


def _judged(settings: Settings, use_cases: Mapping[str, UseCase]) -> list[str]:
    """`_limit_faults`; what only has no effect is printed."""
    for where, use_case in use_cases.items():
        if use_case.opening.recording and not settings.twilio_account_sid:
            print(f"{where}: [recording] has no effect without TWILIO_ACCOUNT_SID")
    return list(_limit_faults(settings, use_cases))


def _tools_of(use_case: UseCase) -> set[str]:
    own = {each.spec.name for each in use_case.http_tools}
    return {each.name for each in use_case.tools} | own


def _use_cases_in(folder: Path, specs: Mapping[str, ToolSpec]) -> dict[str, UseCase]:
    """The use cases of a folder without faults, by the beginning of a line about one."""
    records = {each.name: load_record(each, specs) for each in use_case_folders(folder)}
    return {
        f"use-cases/{name}": parse_use_case(record, specs)[0] for name, record in records.items()
    }


def _scenario_faults(folder: Path, tools: Mapping[str, set[str]]) -> list[str]:
    """The faults of scenario files, one line each; the others are counted.

    A tool that is expected must be in `tools`, where the use case is one of these, or be called by
    the scripted model, which may try one that does not exist.
    """
    names, files = {each.name for each in use_case_folders(folder)}, scenario_files(folder)
    faults, scenarios = list[str](), 0
    for file in files:
        try:
            found = read_file(file)
        except ScenarioError as error:
            faults.append(str(error))
            continue
        scenarios += len(found)
        if (name := found[0].use_case) not in names | {""}:
            faults.append(f"{file}: use_case: {name!r} is not in the configuration")
        if (offered := tools.get(name)) is not None:
            expected = set().union(*map(_tools_expected, found))
            faults += [
                f"{file}: expects.tools: {tool!r} is not a tool of {name}; there are:"
                f" {', '.join(sorted(offered))}"
                for tool in sorted(expected - offered)
            ]
    if files and not faults:
        print(f"scenarios: {scenarios}")
    return faults


def _tools_expected(scenario: Scenario) -> set[str]:
    """Without those that its scripted model calls, or that its items give to the use case."""
    replies = (step for reply in scenario.replies for step in reply)
    called = {str(step["tool"]) for step in replies if isinstance(step, Mapping)}
    given = " ".join(str(item.get("tools", "")) for item in scenario.items)
    return {each.name for each in scenario.expects.tools if each.name not in given} - called


def _models_of(folder: Path, specs: Mapping[str, ToolSpec]) -> dict[str, str]:
    """The models that use cases name."""
    records = {each.name: load_record(each, specs) for each in use_case_folders(folder)}
    return {
        f"use-cases/{name} [model]": str(record["llmModel"])
        for name, record in records.items()
        if "llmModel" in record
    }


def _names_in(folder: Path) -> str:
    return ", ".join(each.name for each in use_case_folders(folder))


async def _default_faults(settings: Settings) -> list[str]:
    """Whether the use case of the process is neither in the folder nor in the table.

    If that is the default of the variable, it is no fault, and printed.
    """
    name, folder = settings.stack_use_case, settings.configuration
    if name in {each.name for each in use_case_folders(folder)}:
        return []
    where = settings.table_name, settings.store_path
    why = "nor in the table"
    try:
        store = await open_store(*where, region=settings.aws_region, max_calls=1, make=False)
        try:
            if await store.get(name, CONFIGURATION):
                return []
        finally:
            await store.close()
    except StoreError as error:
        why = f"and the table cannot be read ({error})"
    there = f"there are: {_names_in(folder)}"
    line = f"STACK_USE_CASE: {name!r} is not in the configuration, {why}; {there}"
    if os.environ.get("STACK_USE_CASE"):
        return [line]
    print(f"{line}; set it for callers without a use case")
    return []


async def _live_faults(settings: Settings, of_use_cases: Mapping[str, str]) -> list[str]:
    """Try what the settings name, and print a line for each; returns those that do not work."""
    faults, fallbacks = list[str](), settings.fallback_model_identifiers
    models = {"MODEL_IDENTIFIER": settings.model_identifier} | dict(of_use_cases)
    models |= {f"FALLBACK_MODEL_IDENTIFIERS[{n}]": it for n, it in enumerate(fallbacks)}
    async for check in live_checks(settings, models):
        print(check, file=sys.stderr if check.fault else sys.stdout)
        faults += [check.fault] if check.fault else []
    return faults


async def _table_faults(
    asked: argparse.Namespace, specs: Mapping[str, ToolSpec], usable: Callable[[HttpTool], str]
) -> list[str]:
    try:
        settings = replace(read_settings(asked), mcp_config="")
        async with app.open_calls(settings, makes_table=False) as (_, store, _):
            default = settings.stack_use_case
            faults, use_cases = await seed.check_table(store, default, specs, usable)
        return [
            *faults,
            *(
                f"{place}.offlineScript.{f'languages.{language}.' if language else ''}{fault}"
                for place, use_case in use_cases.items()
                for language, fault in _script_faults(use_case)
            ),
            *_judged(settings, use_cases),
        ]
    except AgentError as error:
        return [str(error)]
