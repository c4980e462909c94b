"""The `call` command: one call by a caller on a machine, from a scenario or by hand.

It calls any ConversationRelay server by the URL of its voice webhook, or the service in this
process. Without the service's own table, checks that need it are named as not checked.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from agent.cli.command import UNUSABLE, Commands, add_config
from agent.cli.evaluation.hosted_service import (
    OFFLINE,
    configuration_around,
    hosted,
    hosted_settings,
    needs_no_network,
)
from agent.cli.evaluation.paced_model import Pace
from agent.cli.evaluation.server_address import add_address, address_in
from agent.cli.evaluation.suite import Plan, Trial, play_plans
from agent.cli.evaluation.typed_caller import TypedCaller
from agent.cli.terminal_screen import open_screen
from agent.cli.terminal_transport import CHARACTERS_PER_SECOND
from agent.observability import configure_logging
from agent.observability.recording.transcript import printable
from agent.scenarios.caller_script import CallerScript
from agent.scenarios.expectations import unchecked
from agent.scenarios.outcome import ScenarioRun, Speaker, TranscriptLine
from agent.scenarios.reports import clock
from agent.scenarios.scenario import CallerIdentity, Scenario, ScenarioError
from agent.scenarios.scenario_files import read_folder
from agent.scenarios.scenario_player import caller_of, play, run_of, strict, transcript_of
from agent.scenarios.service_facts import ServiceFacts
from agent.scenarios.timing import ORDINARY, timing
from agent.settings import Settings
from agent.simulator.carrier import Twilio
from agent.usecases.folders import use_case_folders

_LOOK_SECONDS = 0.2
_FEWEST_COLUMNS = 40
_REFUSED = "webhook: status 403"
_TYPED = replace(
    ORDINARY, agent_pace=CHARACTERS_PER_SECOND, caller_pace=1000.0, reaction=0.3, endpointing=0.0
)
"""Of a caller who types: the words are there at once."""


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = (
        "call a server as Twilio does, from a scenario or by hand; exit status 0 as expected,"
        " 1 not, 2 the scenario or the server's address cannot be used"
    )
    calling = commands.add_parser("call", help=purpose, description=purpose)
    calling.add_argument(
        "place",
        nargs="?",
        type=Path,
        metavar="SCENARIO",
        help="a file; without one, what is typed is said, also while the agent speaks",
    )
    calling.add_argument(
        "--only", default="", metavar="WORD", help="the variant with WORD; unset: the first one"
    )
    calling.add_argument(
        "--timing", type=int, default=0, metavar="SEED", help="0, the default, is an ordinary call"
    )
    calling.add_argument(
        "--from", dest="caller", default="", metavar="NUMBER", help="calls from this number"
    )
    add_address(calling, "--url")
    calling.add_argument(
        "--model", default=OFFLINE, metavar="IDENTIFIER", help="without --url: its model"
    )
    calling.add_argument(
        "--use-case", default="", metavar="NAME", help="without --url and a scenario: its agent"
    )
    add_config(calling)
    calling.set_defaults(run=_run, status_of_fault=UNUSABLE)


async def _run(asked: argparse.Namespace) -> int:
    configure_logging("critical", "console")
    try:
        run, scenario, has_facts = await _called(asked)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    for line in _verdict(run, scenario, has_facts=has_facts):
        print(printable(line))
    return 0 if run.has_passed else 1


async def _called(asked: argparse.Namespace) -> tuple[ScenarioRun, Scenario, bool]:
    """The call, and whether the service's table could be asked."""
    if asked.place is None:
        return await _by_hand(asked)
    scenario = read_folder(asked.place, asked.only)[0]
    if asked.caller:
        scenario = replace(scenario, caller=replace(scenario.caller, number=asked.caller))
    settings = _settings(asked)
    if asked.url is None and needs_no_network(settings):
        trial = Trial(timings=1, first_timing=asked.timing)
        [[run]] = [runs async for runs in play_plans([Plan(settings, [scenario], trial)], 1)]
        _print_lines(run.transcript)
        return run, scenario, True
    pace = Pace(is_virtual=False)
    pace.begin(scenario, timing(asked.timing))
    async with _server(asked, settings, pace) as (twilio, facts), _Follower() as follower:
        run = await play(scenario, twilio, pace.timing, facts, follower.begin)
    follower.show(run.transcript)
    return run, scenario, facts is not None


async def _by_hand(asked: argparse.Namespace) -> tuple[ScenarioRun, Scenario, bool]:
    settings = _settings(asked)
    known = {folder.name for folder in use_case_folders(settings.configuration)}
    if asked.url is None and asked.use_case and asked.use_case not in known:
        raise ScenarioError(
            f"{asked.use_case}: no such use case; known: {', '.join(sorted(known))}"
        )
    caller = CallerIdentity(asked.caller) if asked.caller else CallerIdentity()
    profile = {"pk": caller.number, "sk": "profile", "useCase": asked.use_case}
    scenario = Scenario("call", caller=caller, items=[profile] if asked.use_case else [])
    async with _server(asked, settings, Pace(is_virtual=False)) as (twilio, facts):
        if facts is not None:
            await facts.prepare(scenario.items)
        script = caller_of(scenario, strict(twilio), _TYPED)
        await TypedCaller(script, open_screen(), is_paced=sys.stdin.isatty()).play()
        run = await run_of(script, facts)
    print()
    _print_lines(run.transcript)
    return run, scenario, facts is not None


def _settings(asked: argparse.Namespace) -> Settings:
    return hosted_settings(asked.config or configuration_around(asked.place), asked.model)


@asynccontextmanager
async def _server(
    asked: argparse.Namespace, settings: Settings, pace: Pace
) -> AsyncIterator[tuple[Twilio, ServiceFacts | None]]:
    if asked.url is not None:
        async with address_in(asked).open() as twilio:
            yield twilio, None
    else:
        async with hosted(settings, pace) as service:
            yield service.twilio, service


class _Follower:
    """Prints each line of a call once, when it is complete."""

    def __init__(self) -> None:
        self._shown = set[tuple[float, Speaker]]()
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work

    def begin(self, script: CallerScript) -> None:
        """Follow this call until the context is left."""
        self._work = asyncio.create_task(self._follow(script), name="transcript")

    async def _follow(self, script: CallerScript) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            lines = transcript_of(script)
            self.show([line for line in lines if line is not lines[-1] or _is_complete(line)])

    def show(self, lines: list[TranscriptLine]) -> None:
        """Those that are new."""
        new = [line for line in lines if (line.at, line.speaker) not in self._shown]
        self._shown.update((line.at, line.speaker) for line in new)
        _print_lines(new)


def _is_complete(line: TranscriptLine) -> bool:
    return line.speaker is not Speaker.AGENT or line.until > line.at


def _print_lines(lines: list[TranscriptLine]) -> None:
    columns = max(_FEWEST_COLUMNS, shutil.get_terminal_size().columns)
    for line in lines:
        begin = f"{clock(line.at):>7}  {line.speaker.value:6}  "
        text = begin + printable(" ".join(line.text.split()))
        if sys.stdout.isatty():
            text = textwrap.fill(text, columns, subsequent_indent=" " * len(begin))
        print(text, flush=True)


def _verdict(run: ScenarioRun, scenario: Scenario, *, has_facts: bool) -> Iterator[str]:
    yield ""
    yield f"{clock(run.seconds)}, {run.outcome or 'no outcome'}"
    for check in run.failures:
        yield f"FAILED  {check.name}" + (f": {check.detail}" if check.detail else "")
        if check.detail == _REFUSED:
            yield "        The signature does not fit: see --token and --public-url."
    if not has_facts:
        yield from (f"not checked: {name}" for name in unchecked(scenario.expects))
        if scenario.replies:
            yield "not used: the replies of the scenario; the server has a model of its own"
    met = sum(check.is_met for check in run.checks)
    yield f"{met} of {len(run.checks)} checks met"
