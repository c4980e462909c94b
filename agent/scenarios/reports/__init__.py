"""What is written about many runs: JUnit XML, Markdown, JSON, and one page of HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.scenarios.figures import Comparison, by_scenario, compare
from agent.scenarios.outcome import ScenarioRun


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The runs of one evaluation."""

    runs: Sequence[ScenarioRun]
    subjects: Sequence[str]
    """In order; one that is empty is the service as it is."""
    facts: Mapping[str, str]
    """What was tested, when and how: names and values."""
    remarks: Sequence[str] = ()
    """Sentences about the subjects."""

    def of(self, subject: str) -> list[ScenarioRun]:
        """The runs of one subject."""
        return [run for run in self.runs if run.subject == subject]

    @property
    def comparison(self) -> Comparison | None:
        """Of the first two subjects, if there are no others."""
        if len(self.subjects) != 2:
            return None
        first, second = self.subjects
        return compare(self.of(first), self.of(second))

    @property
    def failed(self) -> list[ScenarioRun]:
        return [run for run in self.runs if not run.has_passed]

    def by_use_case(self) -> Iterator[tuple[str, list[list[ScenarioRun]]]]:
        """Each use case with its scenarios, of each scenario its runs."""
        scenarios = list(by_scenario(self.runs).values())
        for use_case in sorted({runs[0].use_case for runs in scenarios}):
            yield use_case, [runs for runs in scenarios if runs[0].use_case == use_case]


def legible(text: str) -> str:
    """The text without control characters, which XML cannot hold; lines and tabs stay."""
    return "".join(each for each in text if each.isprintable() or each in "\n\t")


def run_name(run: ScenarioRun) -> str:
    """Scenario, timing, repetition and subject of a run."""
    parts = [f"{run.title}, timing {run.timing}"]
    parts += [f"repetition {run.repetition}"] if run.repetition else []
    parts += [run.subject] if run.subject else []
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Minutes and seconds since the call began, such as `1:02.5`."""
    minutes, rest = divmod(max(0.0, seconds) + 0.05, 60)
    return f"{int(minutes)}:{int(rest):02d}.{int(rest * 10 % 10)}"
