"""The `check` command: validates settings and configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from agent import SHIPPED_CONFIGURATION, app
from agent.call.messages import ToolSpec
from agent.cli.command import Commands, add_config, read_settings
from agent.cli.live_check import live_checks
from agent.errors import AgentError, UseCaseError
from agent.observability import configure_logging
from agent.settings import Settings
from agent.tools import load_tools, specs_of
from agent.tools.http import fault_of
from agent.tools.mcp import survey
from agent.usecases import seed
from agent.usecases.http_tool import HttpTool
from agent.usecases.named_tools import usable_everywhere


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
        for name, default, meaning in Settings.describe():
            print(f"{name:32} {default or '-':28} {meaning}")
        return 0
    configure_logging("error", "console")
    specs, faults, usable = dict[str, ToolSpec](), list[str](), usable_everywhere
    folder = SHIPPED_CONFIGURATION
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
        faults += away
        print(*remarks, sep="\n", end="\n" if remarks else "")
    try:
        specs |= specs_of(load_tools(folder))
    except UseCaseError as error:
        faults.append(str(error))
    else:
        faults += seed.check(folder, specs, usable)
    if asked.table:
        faults += await _table_faults(asked, specs, usable)
    for fault in faults:
        print(fault, file=sys.stderr)
    if asked.live and not faults:
        faults += await _live_faults(read_settings(asked))
    return 1 if faults else 0


async def _live_faults(settings: Settings) -> list[str]:
    """Try what the settings name, and print a line for each; returns those that do not work."""
    faults = list[str]()
    async for check in live_checks(settings):
        print(check, file=sys.stderr if check.fault else sys.stdout)
        faults += [check.fault] if check.fault else []
    return faults


async def _table_faults(
    asked: argparse.Namespace, specs: Mapping[str, ToolSpec], usable: Callable[[HttpTool], str]
) -> list[str]:
    try:
        settings = replace(read_settings(asked), mcp_config="")
        async with app.open_calls(settings, makes_table=False) as (_, store, _):
            return await seed.check_table(store, settings.stack_use_case, specs, usable)
    except AgentError as error:
        return [str(error)]
