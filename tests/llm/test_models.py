"""Models are found by identifier, share what they should, and leave nothing open."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agent.errors import ModelError, UseCaseError
from agent.llm import ModelOptions, OfflineModel, open_models
from agent.ports import LanguageModel
from agent.settings import Settings, SettingsError
from agent.usecases import ModelSettings, UseCase
from agent.usecases.model_times import ModelTimes
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import stall
from tests.llm import contract
from tests.llm.scripts import SHIPPED, script

SCRIPT = script(next(iter(SHIPPED)))
AWAY = "http://127.0.0.1:9/v1"


def use_case(identifier: str = "", offline_script: str = SCRIPT) -> UseCase:
    return UseCase(
        "test", "Be kind.", model=ModelSettings(identifier), offline_script=offline_script
    )


async def test_offline_is_the_default() -> None:
    async with open_models(ModelOptions()) as open_model:
        model = await open_model(use_case())

        assert isinstance(model, OfflineModel)
        assert await open_model(use_case()) is model
        scriptless = await open_model(use_case(offline_script=""))
        pieces = await contract.pieces_of(scriptless, contract.request(contract.SMALL_TALK))

    assert "A language model would answer you here." in contract.said(pieces)


@pytest.mark.parametrize("identifier", ["openai:small", "offline:"])
async def test_model_of_the_use_case_wins_over_that_of_the_process(identifier: str) -> None:
    async with open_models(ModelOptions(identifier, openai_base_url=AWAY)) as open_model:
        models = [await open_model(use_case(each)) for each in ("", "openai:big", "offline:")]

    assert [model.name for model in models] == [identifier, "openai:big", "offline:"]


async def test_fallback_answers_for_an_unreachable_model() -> None:
    options = ModelOptions("openai:small", ("openai:small", "offline:"), openai_base_url=AWAY)

    async with open_models(options) as open_model:
        model = await open_model(use_case())
        pieces = await contract.pieces_of(model, contract.request(contract.SMALL_TALK))

    assert contract.said(pieces)


async def test_process_that_is_busy_asks_no_model_twice() -> None:
    """A hedge would be due after 1.5 s of silence."""
    async with OpenAIEmulator(stall()) as server:
        options = ModelOptions(
            "openai:small",
            openai_base_url=server.base_url,
            times=ModelTimes(hedge_seconds=1.5),
            may_hedge=lambda: False,
        )
        async with open_models(options) as open_model:
            model = await open_model(use_case())
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):  # what does not happen can only be waited for
                    await contract.pieces_of(model, contract.request(contract.SMALL_TALK))

        asked = [each for each in server.requests if contract.SMALL_TALK in str(each.body)]
        assert len(asked) == 1, "but for loading it"


async def test_fallback_that_cannot_be_made_is_left_out() -> None:
    """A use case without a script has no offline fallback."""
    options = ModelOptions("openai:small", ("offline:",), openai_base_url=AWAY)

    async with open_models(options) as open_model:
        model = await open_model(use_case(offline_script=""))
        with pytest.raises(ModelError):
            await contract.pieces_of(model, contract.request("Hi"))


async def test_nothing_is_left_open() -> None:
    before = asyncio.all_tasks()

    async with open_models(ModelOptions("openai:small", openai_base_url=AWAY)) as open_model:
        await open_model(use_case())
        assert len(asyncio.all_tasks() - before) == 1

    assert asyncio.all_tasks() == before


async def test_many_calls_open_a_scheme_once() -> None:
    """Cancelling one of the calls does not affect the others."""
    async with open_models(ModelOptions(openai_base_url=AWAY)) as open_model:

        async def call() -> LanguageModel:
            return await open_model(use_case("openai:small"))

        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(call())
            staying = [tasks.create_task(call()) for _ in range(3)]
            await asyncio.sleep(0)
            leaving.cancel()

        assert len({id(task.result()) for task in staying}) == 1


@pytest.mark.parametrize("identifier", ["opnai:small", "bedrock:nova"])
async def test_unknown_scheme_is_named(identifier: str) -> None:
    with pytest.raises(UseCaseError, match="unknown scheme"):
        async with open_models(ModelOptions(identifier)):
            pass
    async with open_models(ModelOptions()) as open_model:
        with pytest.raises(UseCaseError, match="unknown scheme"):
            await open_model(use_case(identifier))


async def test_broken_script_is_a_broken_use_case() -> None:
    async with open_models(ModelOptions()) as open_model:
        with pytest.raises(UseCaseError):
            await open_model(use_case(offline_script="{"))


def test_offline_process_loads_no_client_library() -> None:
    program = (
        "import asyncio, sys; from agent.llm import ModelOptions, open_models\n"
        "async def main():\n"
        "    async with open_models(ModelOptions()): pass\n"
        "asyncio.run(main())\n"
        "print(sorted({'openai', 'httpx2', 'aioboto3', 'botocore'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent.parent

    ran = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    "identifier",
    [
        "offline:",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "amazon.nova-lite-v1:0:24k",
        "nova",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0",
    ],
)
def test_identifiers_that_may_be_right(identifier: str) -> None:
    read = Settings.read({"MODEL_IDENTIFIER": identifier, "AWS_REGION": "us-east-1"})

    assert read.model_identifier == identifier


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MODEL_IDENTIFIER": "offline:script"}, "MODEL_IDENTIFIER: must be offline:"),
        ({"MODEL_IDENTIFIER": "two words"}, "MODEL_IDENTIFIER: must be offline:"),
        ({"INFERENCE_PROFILE_ARN": "arn:aws:s3:::bucket"}, "INFERENCE_PROFILE_ARN: must be a"),
        ({"MODEL_IDENTIFIER": "openai:small"}, "OPENAI_API_KEY: must be set"),
        ({"FALLBACK_MODEL_IDENTIFIERS": "nova"}, "AWS_REGION: must be set"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{message}"):
        Settings.read({"AWS_CONFIG_FILE": "/nowhere/at/all"} | environment)
