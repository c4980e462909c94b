"""Whether callers come to harm under each of the bad models.

Harm is what the caller cannot undo by listening: something false or doubled is committed, a
message is sent that was not to be sent, dead air, a call that breaks off or has no end. What the
agent only says is no harm, but is shown: each bad model is reported with the checks that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from agent.cli.evaluation.bad_models import BAD_MODELS, around
from agent.cli.evaluation.suite import Plan, play_hosted, spread
from agent.scenarios.outcome import Check, ScenarioRun
from agent.scenarios.scenario import Scenario
from agent.simulator.virtual_time import run_virtually

FACTS = "facts"
"""Tag of the scenarios in which the table decides."""
_SHOWN = 3
_SEED = 1


@dataclass(slots=True)
class BadModelVerdict:
    """What came of the scenarios under one bad model."""

    name: str
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
    def reported(self) -> list[ScenarioRun]:
        """The runs for reports: of what was not met, only harm is left."""
        return [
            replace(run, checks=[each for each in run.checks if each.is_met or each.is_harmful])
            for run in self.runs
        ]

    @property
    def line(self) -> str:
        """The verdict in one line: name, harm, and how the misbehaviour showed."""
        harmed = len({id(run) for run, _ in self.harms})
        verdict = f"HARM in {harmed} of {len(self.runs)} calls" if harmed else "no harm"
        seen = ", ".join(f"{name} ({times})" for name, times in self.shown.most_common(_SHOWN))
        said = f"{self.spoilt} replies spoilt; seen: {seen or 'nothing'}"
        return f"{self.name}: {verdict}; it {BAD_MODELS[self.name].about}; {said}"


def fit_for_bad_models(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """The scenarios in which the table decides, and that do not script the model."""
    return [
        each for each in scenarios
        if (each.expects.table or FACTS in each.tags) and not each.replies
    ]  # fmt: skip


async def judge_bad_models(
    plan: Plan, names: Sequence[str] = tuple(BAD_MODELS), *, jobs: int = 1
) -> AsyncGenerator[BadModelVerdict, None]:
    """The verdict on each bad model as it is found, on virtual time.

    All scenarios of the plan are played (`fit_for_bad_models`). Raises what `hosted` raises.
    """
    async with aclosing(spread(_verdict, [(name, plan) for name in names], jobs)) as verdicts:
        async for verdict in verdicts:
            yield verdict


def _verdict(asked: tuple[str, Plan]) -> BadModelVerdict:
    return run_virtually(_judged(*asked))


async def _judged(name: str, plan: Plan) -> BadModelVerdict:
    verdict = BadModelVerdict(name)

    def note() -> None:
        verdict.spoilt += 1

    trial = replace(plan.trial, around_model=around(name, _SEED, note), subject=name)
    async with aclosing(play_hosted(plan.settings, plan.scenarios, trial)) as runs:
        verdict.runs = [run async for run in runs]
    return verdict


def report_lines(verdicts: Sequence[BadModelVerdict]) -> Iterator[str]:
    """All verdicts, one line each, the harms below them, and the sum."""
    for verdict in verdicts:
        yield verdict.line
        for run, check in verdict.harms:
            yield f"    {run.title}, timing {run.timing}: {check.name}: {check.detail}"
    harmless = sum(not verdict.harms for verdict in verdicts)
    yield f"{harmless} of {len(verdicts)} bad models end without harm to the caller"
