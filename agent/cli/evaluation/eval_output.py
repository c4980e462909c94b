"""What `eval` shows while it plays, and afterwards."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from agent.cli.command import PROGRAM
from agent.observability.recording.transcript import printable
from agent.scenarios.figures import Figures, by_scenario, figures
from agent.scenarios.outcome import ScenarioRun
from agent.scenarios.reports import EvalReport

_PLAIN_LINES = 10
"""How many lines of progress there are where no line can be rewritten."""


class Progress:
    """How far it is, on standard error: one line that is rewritten, or a few lines."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._failed, self._told = total, 0, 0, 0
        self._is_live = sys.stderr.isatty()
        self._write("")

    def show(self, finished: Sequence[ScenarioRun]) -> None:
        """These runs are over."""
        self._done += len(finished)
        self._failed += sum(not run.has_passed for run in finished)
        self._write(finished[-1].title if finished else "")

    def end(self) -> None:
        """Leave no line behind."""
        if self._is_live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _write(self, title: str) -> None:
        line = f"{self._done} of {self._total} runs, {self._failed} failed"
        if self._is_live:
            columns = max(20, shutil.get_terminal_size().columns - 1)
            sys.stderr.write(f"\r\x1b[K{printable(f'{line}  {title}')[:columns]}")
            sys.stderr.flush()
        elif self._done * _PLAIN_LINES >= self._told * self._total and self._done:
            self._told = self._done * _PLAIN_LINES // self._total + 1
            print(line, file=sys.stderr)


def print_failures(runs: Sequence[ScenarioRun], asked: argparse.Namespace) -> None:
    """Each scenario that failed, what was not met, and the command that plays just that run."""
    failed = [run for run in runs if not run.has_passed]
    for subject in dict.fromkeys(run.subject for run in failed):
        of_subject = [run for run in failed if run.subject == subject]
        for same in by_scenario(of_subject).values():
            print(f"FAILED  {printable(_place(same[0]))}")
            for line in _failures(same):
                print(f"  {printable(line)}")
            print(f"  {printable(_command(same[0], asked))}\n")


def _place(run: ScenarioRun) -> str:
    of_subject = f"  ({run.subject})" if run.subject else ""
    return f"{run.use_case or 'no use case'}: {run.title}{of_subject}"


def _failures(runs: Sequence[ScenarioRun]) -> Iterator[str]:
    """A line for each check, with the timings under which it failed and the first detail."""
    found = dict[str, list[int]]()
    details = dict[str, str]()
    for run in runs:
        for check in run.failures:
            found.setdefault(check.name, []).append(run.timing)
            details.setdefault(check.name, check.detail)
    for name, timings in found.items():
        detail = f": {details[name]}" if details[name] else ""
        noun = "timing" if len(set(timings)) == 1 else "timings"
        yield f"{name}{detail}  ({noun} {_ranges(timings)})"


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, those that follow each other as a range: `0-2, 5`."""
    ranges = list[tuple[int, int]]()
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def _command(run: ScenarioRun, asked: argparse.Namespace) -> str:
    words = [PROGRAM, "eval", shlex.quote(_shortest(run.file)), f"--timing {run.timing}"]
    if run.variant:
        words.append(f"--only {shlex.quote(run.variant)}")
    model = run.subject if asked.against else asked.model
    if not model.startswith("offline:"):
        words.append(f"--model {shlex.quote(model)}")
    is_other = bool(asked.against_config) and run.subject == asked.against_config
    config = run.subject if is_other else asked.config
    if config:
        words.append(f"--config {shlex.quote(config)}")
    return " ".join(words)


def _shortest(file: str) -> str:
    """The path as it is shorter: as it is, or from the working folder."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def print_summary(report: EvalReport, seconds: float) -> None:
    """The figures of each use case, of everything, and of the comparison."""
    for subject in report.subjects:
        runs = report.of(subject)
        if subject:
            print(printable(subject))
        for use_case in sorted({run.use_case for run in runs}):
            of_use_case = figures([run for run in runs if run.use_case == use_case])
            print(f"{printable(use_case or 'no use case'):32} {_passes(of_use_case)}")
        of_all = figures(runs)
        print(f"{'all':32} {_passes(of_all)}")
        print(
            f"{'seconds to the first words':32} median {of_all.median_wait:.2f},"
            f" 95 % {of_all.slow_wait:.2f}, longest {of_all.longest_wait:.2f}"
        )
    if report.comparison is not None:
        print(printable(str(report.comparison)))
    minutes = sum(run.seconds for run in report.runs) / 60
    print(f"{minutes:.0f} minutes of calls in {seconds:.1f} s")


def _passes(of: Figures) -> str:
    noun = "scenario, " if of.scenarios == 1 else "scenarios,"
    all_k = f", pass^{of.k} {of.pass_k:.1%}" if of.k > 1 else ""
    return (
        f"{of.scenarios:3} {noun} {of.passed} of {of.runs} runs passed;"
        f" pass^1 {of.pass_1:.1%}{all_k}"
    )
