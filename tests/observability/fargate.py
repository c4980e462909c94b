"""What Fargate and the collector make of a scrape: labels, by the configuration in the template.

There is no collector to be had from a package index. The actions of its resource processor are
played here as its documentation has them:
https://github.com/open-telemetry/opentelemetry-collector-contrib/blob/main/processor/attributesprocessor/README.md
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.templates.loading import CLOUD, load, resources, tool


class FargateTask(NamedTuple):
    """One task of the cluster `calls`."""

    id: str
    zone: str

    @property
    def arn(self) -> str:
        return f"arn:aws:ecs:us-east-1:123456789012:task/calls/{self.id}"

    def detected(self) -> dict[str, str]:
        """Resource attributes of the detector `ecs`, by its documentation."""
        return {
            "cloud.provider": "aws",
            "cloud.platform": "aws_ecs",
            "cloud.account.id": "123456789012",
            "cloud.region": "us-east-1",
            "cloud.availability_zone": self.zone,
            "aws.ecs.cluster.arn": "arn:aws:ecs:us-east-1:123456789012:cluster/calls",
            "aws.ecs.launchtype": "fargate",
            "aws.ecs.task.arn": self.arn,
            "aws.ecs.task.family": "calls-agent",
            "aws.ecs.task.id": self.id,
            "aws.ecs.task.revision": "7",
            "aws.log.group.names": '["calls"]',
        }

    def discovered(self) -> dict[str, str]:
        """Labels of Prometheus' own discovery, by its documentation."""
        return {
            "__meta_ecs_availability_zone": self.zone,
            "__meta_ecs_cluster": "calls",
            "__meta_ecs_service": "calls-agent",
            "__meta_ecs_task_arn": self.arn,
        }


def collector() -> dict[str, Any]:
    """The collector's container."""
    [definition] = resources(load(CLOUD), "AWS::ECS::TaskDefinition").values()
    _, [_, container], _ = definition["ContainerDefinitions"]["Fn::If"]
    found: dict[str, Any] = container
    return found


def configuration() -> dict[str, Any]:
    """What the collector is told, but for the names that CloudFormation fills in."""
    [text] = [
        each["Value"]["Fn::Sub"]
        for each in collector()["Environment"]
        if each["Name"] == "AOT_CONFIG_CONTENT"
    ]
    program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    filled = re.sub(r"\$\{[^}]+\}", "filled-in", text)
    assert "$" not in filled, "the collector would expand it"
    told = subprocess.check_output([tool("python"), "-c", program], input=filled, text=True)  # noqa: S603 (ours)
    loaded: dict[str, Any] = json.loads(told)
    return loaded


def pushed_labels(task: FargateTask) -> dict[str, str]:
    """Labels of every series that the task's collector writes."""
    whole = configuration()
    [scrape] = whole["receivers"]["prometheus"]["config"]["scrape_configs"]
    [static] = scrape["static_configs"]
    [target] = static["targets"]
    attributes = {
        "service.name": scrape["job_name"],
        "service.instance.id": target,
        "server.address": target.partition(":")[0],
        "server.port": target.partition(":")[2],
        "url.scheme": "http",
    }
    for name in whole["service"]["pipelines"]["metrics"]["processors"]:
        if name == "resourcedetection":
            attributes |= task.detected()
        for action in whole["processors"][name].get("attributes", ()):
            attributes = _changed(attributes, action)
    ours = {name.replace(".", "_"): value for name, value in attributes.items()}
    return {"job": ours["service_name"], "instance": ours["service_instance_id"], **ours}


def _changed(attributes: Mapping[str, str], action: Mapping[str, str]) -> dict[str, str]:
    pattern, key = action.get("pattern", ""), action.get("key", "")
    match action["action"]:
        case "extract":
            found = re.search(pattern, attributes[key])
            assert found, "nothing to extract"
            return {**attributes, **found.groupdict()}
        case "upsert":
            return {**attributes, key: attributes[action["from_attribute"]]}
        case "delete":
            return {
                name: value
                for name, value in attributes.items()
                if name != key and not (pattern and re.search(pattern, name))
            }
        case other:
            raise AssertionError(f"not played: {other}")
