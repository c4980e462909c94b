"""The `dial` command: a call that an agent makes."""

from __future__ import annotations

import argparse

from agent import app
from agent.cli.command import Commands, add_variables, quiet_settings


def add(commands: Commands) -> None:
    """Add the command."""
    dialling = commands.add_parser("dial", help="call a number with an agent")
    dialling.add_argument(
        "number", metavar="NUMBER", help="the number to call; see OUTBOUND_NUMBERS"
    )
    dialling.add_argument("--use-case", required=True, metavar="NAME", help="the agent")
    dialling.add_argument(
        "--from", dest="caller_id", default="", metavar="NUMBER", help="instead of OUTBOUND_FROM"
    )
    add_variables(dialling)
    dialling.add_argument("--wait", action="store_true", help="wait for the end of the call")
    dialling.set_defaults(run=_run)


async def _run(asked: argparse.Namespace) -> int:
    settings = quiet_settings(with_mcp=True)
    async with (
        app.open_account(settings) as account,
        app.open_calls(settings, account=account) as (calls, store, _),
        app.open_outbound(settings, account, calls, store) as outbound,
    ):
        call_sid = await outbound.dial(
            asked.number, asked.use_case, asked.caller_id, dict(asked.variables)
        )
        print(call_sid)
        if not asked.wait:
            return 0
        status = await outbound.until_over(call_sid)
    print(status)
    return 0 if status == "completed" else 1
