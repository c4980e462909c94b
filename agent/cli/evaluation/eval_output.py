"""What `eval` shows while it plays, and afterwards."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.cli.command import PROGRAM
from agent.observability.recording.transcript import printable
from agent.scenarios.comparison import by_scenario, compare, pass_power, percentile, waits_of
from agent.scenarios.outcome import ScenarioRun

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
            print(f"  {_command(same[0], asked)}\n")


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
        numbers = sorted(set(timings))
        noun = "timing" if len(numbers) == 1 else "timings"
        yield f"{name}{detail}  ({noun} {', '.join(map(str, numbers))})"


def _command(run: ScenarioRun, asked: argparse.Namespace) -> str:
    words = [PROGRAM, "eval", shlex.quote(_shortest(run.file)), f"--timing {run.timing}"]
    if run.variant:
        words.append(f"--only {shlex.quote(run.variant)}")
    model = run.subject if asked.against else asked.model
    if not model.startswith("offline:"):
        words.append(f"--model {shlex.quote(model)}")
    config = run.subject if asked.against_config == run.subject else asked.config
    if config:
        words.append(f"--config {shlex.quote(config)}")
    return " ".join(words)


def _shortest(file: str) -> str:
    """The path as it is shorter: as it is, or from the working folder."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def print_summary(runs: Sequence[ScenarioRun], subjects: Sequence[str], seconds: float) -> None:
    """The figures of each use case, of everything, and of the comparison."""
    for subject in subjects:
        of_subject = [run for run in runs if run.subject == subject]
        if subject:
            print(printable(subject))
        for use_case in sorted({run.use_case for run in of_subject}):
            few = [run for run in of_subject if run.use_case == use_case]
            print(f"{printable(use_case or 'no use case'):32} {_figures(few)}")
        print(f"{'all':32} {_figures(of_subject)}")
        waits = waits_of(of_subject)
        print(
            f"{'seconds to the first words':32} median {percentile(waits, 0.5):.2f},"
            f" 95 % {percentile(waits, 0.95):.2f}, longest {percentile(waits, 1):.2f}"
        )
    if len(subjects) == 2:
        first, second = ([run for run in runs if run.subject == name] for name in subjects)
        print(printable(str(compare(first, second))))
    print(f"{sum(run.seconds for run in runs) / 60:.0f} minutes of calls in {seconds:.1f} s")


def _figures(runs: Sequence[ScenarioRun]) -> str:
    played = by_scenario(runs)
    k = max((len(each) for each in played.values()), default=1)
    passed = sum(run.has_passed for run in runs)
    return (
        f"{len(played):3} scenarios, {passed} of {len(runs)} runs passed;"
        f" pass^1 {100 * pass_power(runs, 1):.1f} %, pass^{k} {100 * pass_power(runs, k):.1f} %"
    )
