"""Whether callers come to harm under each of the bad models.

Harm is what the caller cannot undo by listening: something false or doubled is committed, a
message is sent that was not to be sent, dead air, a call that breaks off or has no end. What the
agent only says is no harm, but is shown: each bad model is reported with the checks that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field

from agent.cli.evaluation.bad_models import BAD_MODELS, BadModel, around
from agent.cli.evaluation.suite import Trial, play_hosted
from agent.scenarios.outcome import Check, ScenarioRun
from agent.scenarios.scenario import Scenario
from agent.settings import Settings

FACTS = "facts"
"""Tag of the scenarios in which the table decides."""
_SHOWN = 3


@dataclass(slots=True)
class BadModelVerdict:
    """What came of the scenarios under one bad model."""

    bad: BadModel
    runs: list[ScenarioRun] = field(default_factory=list)
    spoilt: int = 0
    """Replies that it has spoilt."""

    @property
    def harms(self) -> list[tuple[ScenarioRun, Check]]:
        return [(run, check) for run in self.runs for check in run.harms]

    @property
    def shown(self) -> Counter[str]:
        """How often each check failed, harm or not."""
        return Counter(check.name for run in self.runs for check in run.failures)

    @property
    def line(self) -> str:
        """The verdict in one line: name, harm, and how the misbehaviour showed."""
        harmed = len({id(run) for run, _ in self.harms})
        verdict = f"HARM in {harmed} of {len(self.runs)} calls" if harmed else "no harm"
        seen = ", ".join(f"{name} ({times})" for name, times in self.shown.most_common(_SHOWN))
        said = f"{self.spoilt} replies spoilt; seen: {seen or 'nothing'}"
        return f"{self.bad.name}: {verdict}; {self.bad.about}; {said}"


def fit_for_bad_models(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """The scenarios in which the table decides, and that do not script the model."""
    return [
        each for each in scenarios
        if (each.expects.table or FACTS in each.tags) and not each.replies
    ]  # fmt: skip


async def judge_bad_models(
    settings: Settings,
    scenarios: Sequence[Scenario],
    names: Sequence[str] = tuple(BAD_MODELS),
    timings: int = 1,
) -> AsyncGenerator[BadModelVerdict, None]:
    """The verdict on each bad model, on virtual time; scenarios that do not fit are left out."""
    chosen = fit_for_bad_models(scenarios)
    for seed, name in enumerate(names):
        verdict = BadModelVerdict(BAD_MODELS[name])

        def note(of: BadModelVerdict = verdict) -> None:
            of.spoilt += 1

        trial = Trial(timings, around_model=around(name, seed, note), subject=name)
        async for run in play_hosted(settings, chosen, trial):
            verdict.runs.append(run)
        yield verdict


def report_lines(verdicts: Sequence[BadModelVerdict]) -> Iterator[str]:
    """All verdicts, one line each, the harms below them, and the sum."""
    for verdict in verdicts:
        yield verdict.line
        for run, check in verdict.harms:
            yield f"    {run.title}, timing {run.timing}: {check.name}: {check.detail}"
    harmless = sum(not verdict.harms for verdict in verdicts)
    yield f"{harmless} of {len(verdicts)} bad models end without harm to the caller"
