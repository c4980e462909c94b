"""Callers come to no harm under bad models, and each of those is named by the report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from agent.call.messages import (
    Message,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    TextPiece,
)
from agent.cli.evaluation.bad_model_verdicts import (
    BadModelVerdict,
    fit_for_bad_models,
    judge_bad_models,
    report_lines,
)
from agent.cli.evaluation.bad_models import BAD_MODELS, around
from agent.cli.evaluation.hosted_service import hosted_settings
from agent.cli.evaluation.suite import Plan, Trial
from agent.errors import ModelError
from agent.ports import Pause, no_pause
from agent.scenarios.outcome import Check, ScenarioRun
from agent.scenarios.scenario_files import read_folder
from tests.shipped import CONFIGURATION

SCENARIOS = Path(__file__).parents[1] / "data/scenarios/bad-models"


class Talker:
    """A model that says one sentence for ever."""

    name = "talker:"

    async def warm(self) -> None: ...

    async def reply(
        self, _request: ReplyRequest, _pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        for word in ("We ", "close ", "at ", "nine."):
            yield [TextPiece(word)]
        yield [Stopped(StopReason.END)]


def judged(place: Path, names: Sequence[str]) -> list[BadModelVerdict]:
    async def judge() -> list[BadModelVerdict]:
        settings = hosted_settings(str(CONFIGURATION))
        plan = Plan(settings, fit_for_bad_models(read_folder(place)), Trial(timings=1))
        verdicts = judge_bad_models(plan, names)
        return [verdict async for verdict in verdicts]

    return asyncio.run(judge())


def replies(name: str, seed: int) -> list[str]:
    """What the bad model makes of one sentence, at several lengths of the conversation."""
    model = around(name, seed)(Talker())

    async def reply(length: int) -> str:
        caller, agent = Message(Role.CALLER, (Text("Hi."),)), Message(Role.AGENT, (Text("Yes?"),))
        request = ReplyRequest("You are a test.", (caller, agent) * length + (caller,))
        try:
            pieces = [piece async for batch in model.reply(request) for piece in batch]
        except ModelError:
            return "fails"
        return "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))

    async def several() -> list[str]:
        return [await reply(length) for length in range(8)]

    return asyncio.run(several())


def test_callers_come_to_no_harm_and_all_bad_models_are_named(plain_logging: None) -> None:
    """Each has spoilt something; what was only said is no harm."""
    verdicts = judged(SCENARIOS, list(BAD_MODELS))

    lines = list(report_lines(verdicts))
    harmed = [verdict.line for verdict in verdicts if verdict.harms]
    assert harmed == []
    assert [each.name for each in verdicts if not each.spoilt] == []
    assert len(BAD_MODELS) == 20
    assert all(any(line.startswith(f"{name}: ") for line in lines) for name in BAD_MODELS)


def test_harm_is_reported_with_its_scenario() -> None:
    sent = Check("messages", is_met=False, detail="1 sent", is_harmful=True)
    verdict = BadModelVerdict("calls-twice", [ScenarioRun("order-for-pickup", checks=[sent])], 7)

    assert list(report_lines([verdict])) == [
        "calls-twice: HARM in 1 of 1 calls; it calls tools twice, and effects in later turns;"
        " 7 replies spoilt; seen: messages (1)",
        "    order-for-pickup, timing 0: messages: 1 sent",
        "0 of 1 bad models end without harm to the caller",
    ]


def test_a_bad_model_misbehaves_at_the_same_moments_with_the_same_seed() -> None:
    once, again, other = (replies("wrong-language", seed) for seed in (1, 1, 2))

    assert once == again
    assert once != other
    assert "We close at nine." in once  # at times it behaves
    assert set(once) > {"We close at nine."}
