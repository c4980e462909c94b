"""The `eval` command: plays scenarios, says which fail, and how two subjects differ.

Without `--model` everything runs on virtual time with the offline model of each use case, or the
replies that a scenario scripts. Another model is asked in real time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic

from agent import __version__
from agent.cli.command import (
    UNUSABLE,
    Commands,
    OptionError,
    add_config,
    check_writable,
    positive_whole,
    write_files,
)
from agent.cli.evaluation.bad_model_verdicts import (
    BadModelVerdict,
    fit_for_bad_models,
    judge_bad_models,
    report_lines,
)
from agent.cli.evaluation.bad_models import BAD_MODELS
from agent.cli.evaluation.eval_output import Progress, print_failures, print_summary
from agent.cli.evaluation.hosted_service import (
    OFFLINE,
    configuration_around,
    hosted_settings,
    needs_no_network,
)
from agent.cli.evaluation.scripted_day import add_day, judge_day
from agent.cli.evaluation.suite import Plan, Trial, play_plans
from agent.observability import configure_logging
from agent.observability.recording.transcript import printable
from agent.scenarios.figures import by_scenario
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.reports import EvalReport
from agent.scenarios.reports.html_report import html
from agent.scenarios.reports.json_report import json_text
from agent.scenarios.reports.junit_report import junit_xml
from agent.scenarios.reports.markdown_report import markdown
from agent.scenarios.scenario import ScenarioError
from agent.scenarios.scenario_files import read_folder

_REPORTS: Mapping[str, Callable[[EvalReport], str]] = {
    "html": html,
    "markdown": markdown,
    "junit": junit_xml,
    "json": json_text,
}
_KINDS = {"html": "one page of HTML", "markdown": "Markdown", "junit": "JUnit XML", "json": "JSON"}


def add(commands: Commands) -> None:
    """Add the command."""
    purpose = (
        "play scenarios on the whole service in this process; exit status 0 all passed, 1 not all,"
        " 2 a scenario or the configuration cannot be used"
    )
    trying = commands.add_parser("eval", help=purpose, description=purpose)
    trying.add_argument(
        "place",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="configuration, use case, folder of scenarios or one file; unset: the folder of"
        " CONFIGURATION",
    )
    trying.add_argument(
        "--only",
        default="",
        metavar="WORD",
        help="only scenarios with WORD in use case, file name or variant, or as a tag",
    )
    trying.add_argument(
        "--timings",
        type=positive_whole,
        metavar="N",
        help="how many timings each scenario is played under (default 8, with --bad-models 1)",
    )
    trying.add_argument(
        "--timing",
        type=int,
        metavar="SEED",
        help="play only the timing of this number; 0 is an ordinary call",
    )
    trying.add_argument(
        "--repeat",
        type=positive_whole,
        default=1,
        metavar="N",
        help="how many times each timing is played (default 1)",
    )
    trying.add_argument(
        "--model",
        default=OFFLINE,
        metavar="IDENTIFIER",
        help="for all use cases, in real time; unset: the offline model on virtual time",
    )
    other = trying.add_mutually_exclusive_group()
    other.add_argument(
        "--against", default="", metavar="IDENTIFIER", help="compare with this model"
    )
    other.add_argument(
        "--bad-models",
        action="store_true",
        help="play what the table decides under 20 bad models, and judge only harm to callers; exit"
        " status 0 if they come to harm under none of the models, else 1",
    )
    other.add_argument(
        "--day",
        action="store_true",
        help="play generated callers who are hard on turn-taking, and print how they are answered;"
        " exit status 0 if every figure that is wanted is reached, else 1",
    )
    other.add_argument(
        "--against-config", default="", metavar="DIR", help="compare with this configuration"
    )
    trying.add_argument(
        "--jobs",
        type=positive_whole,
        default=os.cpu_count() or 1,
        metavar="N",
        help="calls at a time, each in a process of its own; unset: the number of cores",
    )
    add_day(trying)
    for name in _REPORTS:
        trying.add_argument(
            f"--{name}", type=Path, metavar="FILE", help=f"write a report as {_KINDS[name]}"
        )
    add_config(trying)
    trying.set_defaults(run=_run, status_of_fault=UNUSABLE)


async def _run(asked: argparse.Namespace) -> int:
    configure_logging("critical", "console")  # what matters is in the checks
    if asked.day:
        return await judge_day(asked)
    check_writable(asked, _REPORTS)
    try:
        plans = _plans(asked)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    if asked.bad_models:
        return await _judge_bad_models(plans[0], asked)
    began = monotonic()
    progress = Progress(sum(plan.runs for plan in plans))
    runs = list[ScenarioRun]()
    try:
        async for finished in play_plans(plans, asked.jobs):
            runs += finished
            progress.show(finished)
    finally:
        progress.end()
    ordered = [run for played in by_scenario(runs).values() for run in played]
    subjects = [plan.trial.subject for plan in plans]
    report = EvalReport(ordered, subjects, _facts(plans[0], asked))
    print_failures(ordered, asked)
    print_summary(report, monotonic() - began)
    _write(report, asked)
    return int(bool(report.failed))


async def _judge_bad_models(whole: Plan, asked: argparse.Namespace) -> int:
    """Play all bad models; 0 unless callers come to harm under more than one of them."""
    plan = replace(whole, scenarios=fit_for_bad_models(whole.scenarios))
    _require_playable(plan)
    progress, found = Progress(len(BAD_MODELS) * plan.runs), dict[str, BadModelVerdict]()
    try:
        async for verdict in judge_bad_models(plan, jobs=asked.jobs):
            found[verdict.name] = verdict
            progress.show(verdict.reported)
    finally:
        progress.end()
    verdicts = [found[name] for name in BAD_MODELS]
    for line in report_lines(verdicts):
        print(printable(line))
    runs = [run for verdict in verdicts for run in verdict.reported]
    remarks = [verdict.line for verdict in verdicts]
    _write(EvalReport(runs, [*BAD_MODELS], _facts(plan, asked), remarks), asked)
    return int(any(verdict.harms for verdict in verdicts))


def _require_playable(plan: Plan) -> None:
    """Raise `OptionError` unless bad models can play this plan."""
    if not plan.trial.is_virtual:
        raise OptionError("--bad-models: plays on virtual time, so --model must be offline")
    if plan.trial.repetitions > 1:
        raise OptionError("--bad-models: every repetition would be the same; leave out --repeat")
    if not plan.scenarios:
        raise OptionError(
            "--bad-models: no scenario without `replies` expects a `table` or has the tag `facts`"
        )


def _facts(plan: Plan, asked: argparse.Namespace) -> dict[str, str]:
    """What the reports say about how it was done."""
    is_one = asked.timing is not None
    return {
        "configuration": str(plan.settings.configuration),
        "model": asked.model,
        "time": "virtual" if plan.trial.is_virtual else "real",
        "timings": f"number {asked.timing}" if is_one else str(plan.trial.timings),
        "repetitions": str(asked.repeat),
        "version": __version__,
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _write(report: EvalReport, asked: argparse.Namespace) -> None:
    """Write the files that were asked for; raises `OptionError`."""
    write_files(asked, {name: partial(text_of, report) for name, text_of in _REPORTS.items()})


def _plans(asked: argparse.Namespace) -> list[Plan]:
    """What is to be played: a plan for each subject."""
    settings = hosted_settings(asked.config or configuration_around(asked.place), asked.model)
    scenarios = read_folder(asked.place or settings.configuration, asked.only)
    subjects = [(_name_of(asked, ""), settings)]
    if asked.against:
        subjects.append(
            (asked.against, hosted_settings(str(settings.configuration), asked.against))
        )
    if asked.against_config:
        other = asked.against_config
        subjects.append((other, hosted_settings(other, asked.model)))
    is_one = asked.timing is not None
    return [
        Plan(
            of_subject,
            scenarios,
            Trial(
                timings=1 if is_one else asked.timings or (1 if asked.bad_models else 8),
                first_timing=asked.timing if is_one else 0,
                repetitions=asked.repeat,
                is_virtual=needs_no_network(of_subject),
                subject=name,
            ),
        )
        for name, of_subject in subjects
    ]


def _name_of(asked: argparse.Namespace, alone: str) -> str:
    """Of the first subject; what it is compared with says by what the two differ."""
    if asked.against_config:
        return asked.config or str(asked.place or "CONFIGURATION")
    return asked.model if asked.against else alone
