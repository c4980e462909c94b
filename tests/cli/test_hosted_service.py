"""What a service that is only tried out leaves alone, and which variables it heeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.evaluation.hosted_service import SETTINGS, hosted, hosted_settings
from agent.cli.evaluation.paced_model import Pace
from agent.cli.evaluation.suite import Trial, play_hosted
from agent.scenarios.scenario import HangsUp, Says, Scenario
from agent.scenarios.timing import ORDINARY
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from tests.emulators.collector import ENDPOINT, collecting
from tests.tools.http.stand_in import standing_in
from tests.virtual import virtually

pytestmark = pytest.mark.usefixtures("plain_logging")

USE_CASE = """
greeting = "Hello."

[http_tools.OrderStatusFunction]
description = "Looks an order up."
method = "GET"
url = "{origin}/orders"
"""
OF_A_DEPLOYMENT = {
    "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
    "TWILIO_API_KEY_SID": "half of a pair",
    "TWILIO_EMAIL_FROM_ADDRESS": "an older name, and half of a pair",
    "PUBLIC_URL": "https://agent.example.com",
    "TRUSTED_ATTESTATION": "A",
    "MAX_CALLS": "0",
    "RECORD_CALLS": "true",
    "EMF_METRICS": "true",
    "MCP_CONFIG": "nowhere.json",
}


def written(configuration: Path, origin: str) -> Path:
    folder = configuration / "use-cases" / "flowerShop"
    folder.mkdir(parents=True)
    (folder / "use-case.toml").write_text(USE_CASE.format(origin=origin))
    (folder / "prompt.md").write_text("You know the orders.")
    return configuration


@virtually
async def test_requests_of_http_tools_are_not_sent(tmp_path: Path) -> None:
    """The tool fails as if its server could not be reached."""
    asks = {"tool": "OrderStatusFunction", "arguments": {}}
    pace = Pace(is_virtual=True)
    pace.begin(Scenario("one", replies=[[asks], ["I cannot see that."]]), ORDINARY)
    async with standing_in() as other:
        variables = {
            "CONFIGURATION": str(written(tmp_path, other.origin)),
            "STACK_USE_CASE": "flowerShop",
            "HTTP_TOOL_HOSTS": other.origin,
        }
        async with hosted(Settings.read({**SETTINGS, **variables}), pace) as service:
            await service.prepare([])
            async with service.twilio.call() as call:
                heard = await call.say("where is my order")
            await service.settle()
            [ran] = await service.tools(call.relay.fields["CallSid"])

    assert heard.text.strip().endswith("I cannot see that.")
    assert ran.is_error and "sends no requests" in ran.result
    assert other.asked == []


def test_variables_of_a_deployment_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in OF_A_DEPLOYMENT.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")
    settings = hosted_settings()
    scenario = Scenario("one", replies=[["We are open."]], steps=(Says("hello"), HangsUp()))

    async def play() -> list[str]:
        runs = play_hosted(settings, [scenario], Trial(timings=1))
        return [check.detail or check.name async for run in runs for check in run.failures]

    assert run_virtually(play()) == []
    assert not (settings.record_calls or settings.emf_metrics or settings.email_from_address)
    assert settings.openai_base_url == "http://127.0.0.1:11434/v1"


async def test_no_spans_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        pace = Pace(is_virtual=False)
        pace.begin(Scenario("one", replies=[["We are open."]]), ORDINARY)
        async with hosted(Settings.read(SETTINGS), pace) as service, service.twilio.call() as call:
            assert (await call.say("hello")).text.strip() == "We are open."

    assert collector.bodies == []
