"""Reads the CloudFormation templates for tests.

The service's own environment has no YAML reader, and needs none. The linters' environment has
cfn-lint, whose reader knows CloudFormation's tags; it prints JSON, which is read here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.needs import use

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools" / "cloudformation" / "bin"
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
_DECODE = """
import json, sys
from cfnlint.decode import cfn_yaml
json.dump(cfn_yaml.load(sys.argv[1]), sys.stdout)
"""
CLOUD = ROOT / "cloud-deploy-infra-template.yml"
LOCAL = ROOT / "local-dev-cloud-infra-template.yml"
DEPLOY_ROLE = ROOT / "infrastructure" / "deploy-role.yml"
NESTED = tuple(sorted({*(ROOT / "infrastructure").glob("*.yml")} - {DEPLOY_ROLE}))
"""The stacks inside the cloud template's."""
CANARY = ROOT / "infrastructure" / "canary.yml"

REQUIRED = {
    "pECRRepoURL": "123456789012.dkr.ecr.us-east-1.amazonaws.com",
    "pImageTag": "1.0.0",
    "pPublicWSSEndpoint": "wss://voice.example.com/",
    "pCustomerDomainCertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0a",
    "pTwilioAuthTokenSecretArn": (
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio-AbCdEf:token::"
    ),
}
"""Parameters of the cloud template that have no default."""


def tool(name: str) -> str:
    """A program of the linters' environment, which `lint.sh` makes."""
    use("linters")
    path = TOOLS / name
    assert path.exists(), f"{path} is missing; run: bash tests/templates/lint.sh environments"
    return str(path)


@cache
def load(path: Path) -> dict[str, Any]:
    """A template as plain data, its short tags written out; to be read, not changed."""
    run = subprocess.run(  # noqa: S603 (our own program and file)
        [tool("python"), "-c", _DECODE, str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    template: dict[str, Any] = json.loads(run.stdout)
    return template


@cache
def stack(path: Path) -> dict[str, Any]:
    """A template with the resources of the stacks that are nested in it, but for the canary's.

    That one has a second service, task and target group; `test_canary.py` holds them against these.
    """
    template = load(path)
    merged = dict(template["Resources"])
    for properties in resources(template, "AWS::CloudFormation::Stack").values():
        file = path.parent / properties["TemplateURL"]
        inner = load(file)["Resources"] if file != CANARY else {}
        assert not merged.keys() & inner.keys(), "a name stands for one thing"
        merged |= inner
    return {**template, "Resources": merged}


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of one type, by their names."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def texts(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def maps(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from maps(child)


def decided(node: Any, **conditions: bool) -> Any:
    """A part of a template with each `Fn::If` of these conditions replaced by what it comes to."""
    match node:
        case {"Fn::If": [str(name), yes, no]} if name in conditions:
            return decided(yes if conditions[name] else no, **conditions)
        case dict():
            return {key: decided(value, **conditions) for key, value in node.items()}
        case list():
            return [decided(value, **conditions) for value in node]
        case _:
            return node


def as_list(value: Any) -> list[Any]:
    """What may be one thing or a list of them, as in policies."""
    return value if isinstance(value, list) else [value]


def statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Every statement of the template that permits something."""
    return [
        statement
        for kind in ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for properties in resources(template, kind).values()
        for each in maps(properties)
        if "PolicyDocument" in each
        for statement in each["PolicyDocument"]["Statement"]
    ]


def cloud() -> dict[str, Any]:
    """The cloud template, with the stacks that are nested in it."""
    return stack(CLOUD)


def only(kind: str) -> dict[str, Any]:
    """The properties of the one resource of this type in the cloud template."""
    [properties] = resources(cloud(), kind).values()
    return properties


def attributes(of: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["Key"]: each["Value"] for each in of}


def paths(routes: Iterable[web.AbstractRouteDef]) -> set[str]:
    return {each.path for each in routes if isinstance(each, web.RouteDef)}
