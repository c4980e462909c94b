"""Every variable, port, path and user that a file names exists in the code.

The places are the sample script, the image, its compose file and its build script, both templates
and the README. Names that are not ours are those of the SDKs in the process, as they list them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import botocore.configprovider  # type: ignore[import-untyped] # ships no types
import opentelemetry.sdk.environment_variables
import pytest
from botocore.credentials import EnvProvider  # type: ignore[import-untyped] # ships no types

import agent.observability.tracing
from agent.settings import Settings
from tests.observability.shipped import read_yaml
from tests.templates.loading import CLOUD, LOCAL, decided, load, resources

pytestmark = pytest.mark.needs("linters")

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def ours() -> dict[str, str]:
    """The defaults of the service's own variables, older names included."""
    defaults = {it.name: it.default for it in Settings.describe()}
    for name, *older in Settings.variables().values():
        defaults |= dict.fromkeys(older, defaults[name])
    return defaults


def of_sdks() -> set[str]:
    """What the SDKs of AWS and of OpenTelemetry read from the environment."""
    read = botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES.values()
    aws = set(_NAME.findall(repr([each[1] for each in read])))
    aws |= {EnvProvider.ACCESS_KEY, EnvProvider.SECRET_KEY, *EnvProvider.TOKENS}
    otlp = set(dir(opentelemetry.sdk.environment_variables))
    tracing = Path(agent.observability.tracing.__file__).read_text()
    return {*aws, *otlp, *re.findall(r'"(OTEL_\w+)"', tracing)}


def of_the_script() -> dict[str, str]:
    """Defaults by name; empty where it only offers the variable, in a line to be switched on."""
    line = r'^(# )?export (\w+)="(?:\$\{\w+:-(.*)\})?'
    return {
        name: "" if is_offered else default.replace("$PORT", "3000")
        for is_offered, name, default in re.findall(line, text("run-local.sh.sample"), re.M)
    }


def of_compose() -> dict[str, str]:
    """Variables of the service's containers, and defaults of those that compose fills in."""
    whole = text("docker-compose.yml")
    shared = whole[whole.index("x-environment:") : whole.index("services:")]
    service = whole[whole.index("\n  agent:") : whole.index("\n  dynamodb:")]
    names = re.findall(r"^ {2,6}([A-Z][A-Z0-9_]+):", shared + service, re.M)
    defaults = dict(re.findall(r"\$\{(\w+):-(.*?)\}", shared + service))
    return dict.fromkeys(names, "") | defaults


FIXED_BY_COMPOSE = {
    # The container's own; PORT and METRICS_PORT are published as this machine wants them.
    "HOST", "PORT", "METRICS_HOST", "METRICS_PORT",
    "AWS_PROFILE", "AWS_CONFIG_FILE",  # files outside of the container
    # there on ECS only
    "ECS_AGENT_URI", "ECS_CONTAINER_METADATA_URI_V4", "TARGET_GROUP_ARN", "TASK_PROTECTION",
}  # fmt: skip


def offered_by_compose(service: str) -> dict[str, str]:
    """Variables of a service's container, with the values that the file gives them."""
    found = read_yaml(ROOT / "docker-compose.yml")["services"][service]["environment"]
    return {name: value or "" for name, value in found.items()}


@pytest.mark.parametrize("service", ["agent", "agent-full"])
def test_every_setting_can_be_set_through_compose(service: str) -> None:
    """A service has a table of one kind: a file, or one in DynamoDB."""
    table = {"agent": {"TABLE_NAME", "AWS_ENDPOINT_URL_DYNAMODB"}, "agent-full": {"STORE_PATH"}}
    settings = {it.name for it in Settings.describe()}

    offered = offered_by_compose(service).keys() & settings

    assert settings - offered == FIXED_BY_COMPOSE | table[service]


def test_services_of_compose_take_no_value_that_they_do_not_need() -> None:
    """Without a value: from the shell or from .env. With one, it is filled in or must be this."""
    given = {
        name: value
        for name, value in offered_by_compose("agent-full").items()
        if value and not value.startswith("${")
    }

    assert given == {
        "CONFIGURATION": "/configuration",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://dynamodb:8000",
    }


def of_the_image() -> dict[str, str]:
    [block] = re.findall(r"^ENV (.*?[^\\])$", text("Dockerfile"), re.M | re.S)
    return dict(each.split("=", 1) for each in block.replace("\\\n", "").split())


def of_the_task() -> dict[str, Any]:
    defaults = {name: each.get("Default", "") for name, each in load(CLOUD)["Parameters"].items()}
    values = {each["Name"]: each["Value"] for each in task()["Environment"]}
    return {name: _filled(value, defaults) for name, value in values.items()}


def _filled(value: Any, defaults: dict[str, Any]) -> str:
    """Empty if it follows from something else than one parameter."""
    if isinstance(value, str):
        return value
    referred = value.get("Ref") or str(value.get("Fn::Sub", "")).strip("${}")
    return str(defaults.get(referred, ""))


def task() -> dict[str, Any]:
    [definition] = resources(load(CLOUD), "AWS::ECS::TaskDefinition").values()
    chosen = decided(definition["ContainerDefinitions"], HasWebhookHost=True)
    _, _, [container] = chosen["Fn::If"]
    assert isinstance(container, dict)
    return container


def of_the_pages() -> set[str]:
    """Names that begin like ours or an SDK's; placeholders of prompts are <<NAMES>>."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    whole = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    firsts = {each.partition("_")[0] for each in ours() if "_" in each} | {"OTEL"}
    named = re.findall(rf"(?<!<<){_NAME.pattern}", whole)
    return {each for each in named if each.partition("_")[0] in firsts}


def of_the_developers_line() -> list[str]:
    line = load(LOCAL)["Outputs"]["EnvironmentLine"]["Value"]["Fn::Sub"][0]
    return [each.partition("=")[0] for each in line.split()]


def offered_in_descriptions() -> Iterator[str]:
    """Variables that descriptions of parameters name."""
    for path in (CLOUD, LOCAL):
        for parameter in load(path)["Parameters"].values():
            yield from _NAME.findall(parameter["Description"])


@pytest.mark.parametrize(
    "named",
    [
        of_the_script, of_compose, of_the_image, of_the_task, of_the_developers_line,
        offered_in_descriptions, of_the_pages,
    ],
)  # fmt: skip
def test_every_variable_that_is_named_is_read(named: Any) -> None:
    """Setting any other name would have no effect; readers learn how to list all of them."""
    given = set(named()) - {"PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}

    assert given
    assert given - ours().keys() - of_sdks() == set()
    assert "python -m agent check --settings" in text("docs/reference/settings.md")


@pytest.mark.parametrize(
    ("stated", "differing"),
    [
        (of_the_script, set()),
        (of_compose, set()),
        # The account's own model instead of the script; metrics for CloudWatch, which is there.
        (of_the_task, {"MODEL_IDENTIFIER", "EMF_METRICS"}),
    ],
    ids=["script", "compose", "task"],
)
def test_a_default_is_the_same_wherever_it_is_stated(stated: Any, differing: set[str]) -> None:
    """Where the service has one; what is off without a value has none to agree with."""
    defaults = {name: default.lower() for name, default in ours().items() if default}

    values = {
        name: value.lower()
        for name, value in stated().items()
        if value and name in defaults and name not in differing
    }

    assert {"PORT", "METRICS_PORT"} <= set(values)
    assert values == {name: defaults[name] for name in values}


# The container.


def test_ports_are_those_of_the_service() -> None:
    settings = Settings()
    both = {str(settings.port), str(settings.metrics_port)}
    published = r'"127\.0\.0\.1:\$\{(?:METRICS_)?PORT:-(\d+)\}:(\d+)"'

    [exposed] = re.findall(r"^EXPOSE (.*)$", text("Dockerfile"), re.M)

    assert set(exposed.split()) == both
    assert {*re.findall(published, text("docker-compose.yml"))} == {(port, port) for port in both}
    assert [each["ContainerPort"] for each in task()["PortMappings"]] == [settings.port]


def test_user_and_writable_folder_are_the_same_everywhere() -> None:
    """Else the process could not write what it was promised, or could write more."""
    dockerfile, compose = text("Dockerfile"), text("docker-compose.yml")
    patterns = {r"^USER (.*)$": dockerfile, r'^ +user: "(.*)"$': compose}
    folders = {r'^VOLUME \["(.*)"\]$': dockerfile, r"^  tmpfs: \[(.*)\]$": compose}

    users = [each for pattern, file in patterns.items() for each in re.findall(pattern, file, re.M)]
    written = [
        each for pattern, file in folders.items() for each in re.findall(pattern, file, re.M)
    ]
    written += [each["ContainerPath"] for each in task()["MountPoints"]]

    assert [*users, task()["User"]] == ["10001:10001"] * 3
    assert written == ["/tmp"] * 3  # noqa: S108 (the container's)
    assert of_the_image()["STORE_PATH"].startswith(f"{written[0]}/")


def test_health_is_asked_for_in_one_way() -> None:
    [options, command] = re.findall(
        r"^HEALTHCHECK (.*)\\\n +CMD \[(.*)\]$", text("Dockerfile"), re.M
    )[0]
    check = task()["HealthCheck"]

    assert check["Command"] == ["CMD", *re.findall(r'"(.+?)"', command)]
    assert re.findall(r"=(\d+)", options) == [
        str(check[each]) for each in ("Interval", "Timeout", "Retries", "StartPeriod")
    ]
    assert find_spec(check["Command"][-1])


def test_calls_are_handed_over_before_the_process_is_killed() -> None:
    [grace] = re.findall(r"^  stop_grace_period: (\d+)s$", text("docker-compose.yml"), re.M)

    assert int(grace) == task()["StopTimeout"] == 120
    assert Settings().drain_seconds + 20 == int(grace)


def test_the_image_says_what_is_run() -> None:
    """It is written in one place only; the container has one name."""
    whole = text("docker-compose.yml")
    service = whole[whole.index("\n  agent:") : whole.index("\n  seed:")]

    assert not {"Command", "EntryPoint", "WorkingDirectory"} & task().keys()
    assert "command:" not in service
    assert task()["Name"] == "agent"


@pytest.mark.parametrize(
    ("place", "given"),
    [
        ("build-images.sh", r'--build-arg "([A-Z_]+)='),
        ("docker-compose.yml", r"^      ([A-Z_]+): \$\{\1:-"),
    ],
)
def test_the_image_takes_every_argument_it_is_built_with(place: str, given: str) -> None:
    """Docker only warns of one it does not know."""
    taken = set(re.findall(r"^ARG (\w+)", text("Dockerfile"), re.M))

    arguments = set(re.findall(given, text(place), re.M))

    assert {"BASE_IMAGE", "REQUIREMENTS"} <= arguments
    assert arguments <= taken
