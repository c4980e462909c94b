"""The canary is the service with another image and host, and a call stays where it begins."""

from __future__ import annotations

from typing import Any

from agent.settings import Settings
from tests.templates.conftest import Account
from tests.templates.loading import CANARY, CLOUD, cloud, load
from tests.templates.test_created import create

_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/twilio-conversation-relay-bedrock-services"
_CHOSEN = {"pCanaryImageTag": "1.1.0", "pCanaryWSSEndpoint": "wss://canary.example.com/"}
_OF_ITS_OWN = {"WS_URL", "PUBLIC_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "TARGET_GROUP_ARN"}
"""Variables whose value is another one."""


def given() -> dict[str, Any]:
    """What the stack gives the canary's template."""
    parameters: dict[str, Any] = load(CLOUD)["Resources"]["Canary"]["Properties"]["Parameters"]
    return parameters


def resolved(node: Any) -> Any:
    """A part of the canary's template, written as a part of the stack's."""
    match node:
        case {"Ref": str(name)} if name in given():
            return given()[name]
        case dict():
            return {key: resolved(value) for key, value in node.items()}
        case list():
            return [resolved(each) for each in node]
        case _:
            return node


def canary(name: str) -> dict[str, Any]:
    """The properties of one of its resources."""
    properties: dict[str, Any] = resolved(load(CANARY)["Resources"][name]["Properties"])
    return properties


def service(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = cloud()["Resources"][name]["Properties"]
    return properties


def without(of: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name not in names}


def variables(container: dict[str, Any]) -> dict[str, Any]:
    """Those that are always there."""
    return {each["Name"]: each["Value"] for each in container["Environment"] if "Name" in each}


def test_its_container_is_that_of_the_service() -> None:
    """But for image, addresses, collector and shell, and the name of its log stream."""
    [ours] = canary("CanaryTaskDefinition")["ContainerDefinitions"]
    [theirs] = service("TaskDefinition")["ContainerDefinitions"]["Fn::If"][2]
    differs = ("Image", "ReadonlyRootFilesystem", "Environment", "LogConfiguration")

    assert without(ours, *differs) == without(theirs, *differs)
    assert ours["Image"]["Fn::Sub"][0] == theirs["Image"]["Fn::Sub"][0].replace(
        "pImageTag", "pCanaryImageTag"
    )
    assert ours["ReadonlyRootFilesystem"] is True
    assert without(variables(ours), *_OF_ITS_OWN) == without(variables(theirs), *_OF_ITS_OWN)
    assert variables(ours)["TARGET_GROUP_ARN"] == {"Ref": "CanaryTargetGroup"}
    options = ours["LogConfiguration"]["Options"], theirs["LogConfiguration"]["Options"]
    assert without(options[0], "awslogs-stream-prefix") == without(
        options[1], "awslogs-stream-prefix"
    )


def test_its_task_and_target_group_are_those_of_the_service() -> None:
    """Size, roles, health check and time to drain."""
    containers = "ContainerDefinitions"

    assert without(canary("CanaryTaskDefinition"), containers) == without(
        service("TaskDefinition"), containers
    )
    assert canary("CanaryTargetGroup") == service("PublicLBTargetGroup")


def test_it_is_one_task_that_is_placed_like_those_of_the_service() -> None:
    ours, theirs = canary("CanaryService"), service("Service")
    differs = ("Cluster", "DeploymentConfiguration", "LoadBalancers", "TaskDefinition")

    assert ours["DesiredCount"] == 1
    assert ours["NetworkConfiguration"]["AwsvpcConfiguration"] == {
        **theirs["NetworkConfiguration"]["AwsvpcConfiguration"],
        "Subnets": given()["pSubnets"],
    }
    subnets = theirs["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]["Fn::If"]
    assert given()["pSubnets"]["Fn::If"] == [
        subnets[0], *(each["Fn::Split"][1] for each in subnets[1:])
    ]  # fmt: skip
    assert without(ours, "DesiredCount", "NetworkConfiguration", *differs) == without(
        theirs, "EnableExecuteCommand", "NetworkConfiguration", *differs
    )


def test_what_its_container_depends_on_is_decided_as_for_the_service() -> None:
    """A condition of the same name is the same condition."""
    ours, theirs = load(CANARY)["Conditions"], load(CLOUD)["Conditions"]
    shared = ours.keys() & theirs.keys()

    assert shared == ours.keys() - {"HasShare"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_it_is_given_each_of_its_parameters() -> None:
    assert given().keys() == load(CANARY)["Parameters"].keys()


def test_its_host_reaches_it_before_any_rule_of_the_service() -> None:
    """The paths of calls, and nothing else."""
    rules = canary("CanaryWebhookRule"), canary("CanarySocketRule")
    host = {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "pCanaryWSSEndpoint"}]}]}
    of_service = [
        each["Properties"]["Priority"]
        for each in cloud()["Resources"].values()
        if each["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"
    ]

    conditions = [{each["Field"]: each for each in rule["Conditions"]} for rule in rules]

    assert [each["host-header"]["HostHeaderConfig"]["Values"] for each in conditions] == [
        [host]
    ] * 2
    assert [each["path-pattern"]["PathPatternConfig"]["Values"] for each in conditions] == [
        ["/twiml", "/twiml/*"], ["/", "/conversation-relay"],
    ]  # fmt: skip
    assert [rule["Priority"] for rule in (*rules, canary("CanaryShareRule"))] == [1, 2, 3]
    assert min(of_service) > 3


def test_only_new_calls_are_shared_and_only_while_there_is_a_task() -> None:
    """Made after the task and taken away before it: the load balancer would answer 503."""
    resource = load(CANARY)["Resources"]["CanaryShareRule"]
    rule = canary("CanaryShareRule")

    assert (resource["Condition"], resource["DependsOn"]) == ("HasShare", "CanaryService")
    assert rule["Conditions"] == [
        {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/twiml"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["POST"]}},
    ]
    [action] = rule["Actions"]
    assert action["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": {"Ref": "PublicLBTargetGroup"}, "Weight": 100},
        {"TargetGroupArn": {"Ref": "CanaryTargetGroup"}, "Weight": {"Ref": "pCanaryShare"}},
    ]


def test_there_is_none_until_one_is_asked_for_and_it_needs_another_host() -> None:
    template = load(CLOUD)

    assert template["Resources"]["Canary"]["Condition"] == "HasCanary"
    assert template["Parameters"]["pCanaryImageTag"]["Default"] == ""
    assert template["Parameters"]["pCanaryShare"]["Default"] == 0
    endpoint = {"Ref": "pCanaryWSSEndpoint"}
    assert [each["Assert"] for each in template["Rules"]["CanaryHasAHost"]["Assertions"]] == [
        {"Fn::Not": [{"Fn::Equals": [endpoint, ""]}]},
        {"Fn::Not": [{"Fn::Equals": [endpoint, {"Ref": "pPublicWSSEndpoint"}]}]},
    ]


def test_its_task_takes_sockets_at_its_own_host_and_webhooks_as_the_service(
    account: Account,
) -> None:
    """Made in a simulated account."""
    outputs = create(account, CLOUD, **_CHOSEN)

    client = account("ecs")
    definitions = [
        client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        for arn in client.list_task_definitions()["taskDefinitionArns"]
    ]
    [container] = [
        each["containerDefinitions"][0]
        for each in definitions
        if each["containerDefinitions"][0]["image"] == f"{_IMAGE}:1.1.0"
    ]
    environment = {each["name"]: each["value"] for each in container["environment"]}
    settings = Settings.read(environment)
    assert len(definitions) == 2
    assert settings.ws_url == "wss://canary.example.com/"
    assert settings.origin == "https://voice.example.com"
    assert settings.table_name == outputs["DynamoDBTable"]
    assert outputs["CanaryUrl"] == "https://canary.example.com"
