"""The network of the cloud template: which clients and ports reach the service, and how."""

from __future__ import annotations

import re
from itertools import chain

from agent.http import PRIVATE_ROUTES, PUBLIC_ROUTES
from agent.settings import Settings
from agent.store.dynamodb_client import ACTIONS, MOVE_ACTION
from tests.templates.loading import (
    as_list,
    attributes,
    cloud,
    decided,
    maps,
    only,
    paths,
    resources,
    statements,
)


def test_tasks_have_no_public_address() -> None:
    network = only("AWS::ECS::Service")["NetworkConfiguration"]["AwsvpcConfiguration"]
    subnets = resources(cloud(), "AWS::EC2::Subnet").values()

    assert network["AssignPublicIp"] == "DISABLED"
    made = decided(network["Subnets"], HasTaskSubnets=False)
    assert made == {"Fn::Split": [",", {"Fn::GetAtt": ["Network", "Outputs.PrivateSubnets"]}]}
    assert [each["MapPublicIpOnLaunch"] for each in subnets] == [False] * 6


def test_only_the_load_balancer_is_open_to_the_world_and_on_one_port() -> None:
    groups = resources(cloud(), "AWS::EC2::SecurityGroup")
    rules = resources(cloud(), "AWS::EC2::SecurityGroupIngress")
    opened = {
        name: [rule["FromPort"] for rule in group["SecurityGroupIngress"] if "CidrIp" in rule]
        for name, group in groups.items()
        if "SecurityGroupIngress" in group
    }

    assert opened == {"PublicHTTPSecurityGroup": [443], "EndpointSecurityGroup": []}
    rule = rules.pop("ApplicationLBSecurityGroupIngress")
    assert (rule["FromPort"], rule["ToPort"]) == (Settings().port, Settings().port)
    assert rule["GroupId"] == {"Fn::GetAtt": ["TaskSecurityGroup", "GroupId"]}
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["PublicHTTPSecurityGroup", "GroupId"]}
    assert sorted(rules) == ["OperatorsPortIngress", "PrometheusServerIngress"]


def test_tasks_reach_each_others_operators_port_and_no_balancer_does() -> None:
    """For the console, which shows the calls of all tasks."""
    tasks = {"Fn::GetAtt": ["TaskSecurityGroup", "GroupId"]}
    made = cloud()["Resources"]
    rules = [made[name]["Properties"] for name in ("OperatorsPortIngress", "OperatorsPortEgress")]
    port = Settings().metrics_port

    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(port, port)] * 2
    assert [rule["GroupId"] for rule in rules] == [tasks, tasks]
    assert rules[0]["SourceSecurityGroupId"] == rules[1]["DestinationSecurityGroupId"] == tasks


def test_metrics_are_open_to_one_group_and_only_when_it_is_named() -> None:
    ingress = cloud()["Resources"]["PrometheusServerIngress"]
    port = Settings().metrics_port

    assert ingress["Condition"] == "HasPrometheusServer"
    assert cloud()["Parameters"]["pPrometheusSecurityGroup"]["Default"] == ""
    assert ingress["Properties"]["SourceSecurityGroupId"] == {"Ref": "pPrometheusSecurityGroup"}
    assert (ingress["Properties"]["FromPort"], ingress["Properties"]["ToPort"]) == (port, port)


def test_every_security_group_says_where_it_may_go() -> None:
    """A group without egress may go anywhere; tasks leave by HTTPS only."""
    groups = resources(cloud(), "AWS::EC2::SecurityGroup")

    ports = {
        name: [(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]]
        for name, group in groups.items()
    }

    assert ports == {
        "PublicHTTPSecurityGroup": [(3000, 3000)],
        "TaskSecurityGroup": [(443, 443)],
        "EndpointSecurityGroup": [(443, 443)],
    }
    tasks = {"Fn::GetAtt": ["TaskSecurityGroup", "GroupId"]}
    [to_tasks] = groups["PublicHTTPSecurityGroup"]["SecurityGroupEgress"]
    [answers] = groups["EndpointSecurityGroup"]["SecurityGroupEgress"]
    assert to_tasks["DestinationSecurityGroupId"] == tasks
    assert answers["DestinationSecurityGroupId"] == {"Ref": "pTaskSecurityGroup"}
    endpoints = cloud()["Resources"]["Endpoints"]["Properties"]["Parameters"]
    assert decided(endpoints["pTaskSecurityGroup"], MakesGroups=True) == tasks


def test_the_load_balancer_speaks_modern_tls_and_no_plain_http() -> None:
    """CloudFormation's default policy would allow TLS 1.0. What no rule names reaches no task."""
    listener = only("AWS::ElasticLoadBalancingV2::Listener")
    [default] = listener["DefaultActions"]

    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2-Res")
    assert default["Type"] == "fixed-response"
    assert default["FixedResponseConfig"]["StatusCode"] == "404"


def test_a_task_gets_calls_when_it_is_ready_and_never_too_many_at_a_time() -> None:
    group = only("AWS::ElasticLoadBalancingV2::TargetGroup")

    algorithm = attributes(group["TargetGroupAttributes"])["load_balancing.algorithm.type"]

    assert algorithm == "least_outstanding_requests"
    others = {"VpcId", "TargetGroupAttributes"}
    assert {name: value for name, value in group.items() if name not in others} == {
        "TargetType": "ip", "Protocol": "HTTP", "ProtocolVersion": "HTTP1", "Port": 3000,
        "HealthCheckProtocol": "HTTP", "HealthCheckPath": "/health/ready",
        "HealthCheckIntervalSeconds": 10, "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 3, "Matcher": {"HttpCode": "200"},
    }  # fmt: skip


def test_what_leaves_by_the_gateway_waits_until_it_is_attached() -> None:
    """Else a stack fails now and then, by the order in which its parts are made."""
    made = cloud()["Resources"]
    through = [
        name
        for name, resource in made.items()
        if resource["Type"] == "AWS::EC2::EIP" or "GatewayId" in resource.get("Properties", {})
    ]

    assert len(through) == 6
    for name in through:
        assert made[name]["DependsOn"] == "VPCInternetGatewayAttachment"


def test_endpoints_let_through_what_tasks_do_and_no_more() -> None:
    """A forgotten action would fail every call; the names of services resolve to the endpoints."""
    endpoints = resources(cloud(), "AWS::EC2::VPCEndpoint")
    interfaces = {name: each for name, each in endpoints.items() if "SubnetIds" in each}

    def through(name: str) -> set[str]:
        document = endpoints[name]["PolicyDocument"]["Statement"]
        return {action for each in document for action in as_list(each["Action"])}

    assert through("DynamoDbEndpoint") == {f"dynamodb:{each}" for each in (*ACTIONS, MOVE_ACTION)}
    of_tasks = {action for each in statements(cloud()) for action in as_list(each["Action"])}
    calls_models = {"bedrock:InvokeModelWithResponseStream", "bedrock:ApplyGuardrail"}
    assert through("BedrockEndpoint") == calls_models & of_tasks == calls_models
    for name, each in interfaces.items():
        assert each["PrivateDnsEnabled"], name
        assert each["SecurityGroupIds"] == [{"Fn::GetAtt": ["EndpointSecurityGroup", "GroupId"]}]
        assert each["SubnetIds"] == {"Ref": "pSubnets"}
        assert not any("*" in action for action in through(name))
        for statement in each["PolicyDocument"]["Statement"]:
            assert statement["Condition"] == {
                "StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
            }
    assert {
        each["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
        for each in interfaces.values()
    } == {
        "bedrock-runtime", "ecr.api", "ecr.dkr", "logs", "secretsmanager", "kms", "ssmmessages",
        "aps-workspaces", "elasticloadbalancing", "events", "sns",
    }  # fmt: skip


def test_the_load_balancer_forwards_the_public_routes_of_the_service_and_no_other() -> None:
    rules = resources(cloud(), "AWS::ElasticLoadBalancingV2::ListenerRule").values()
    patterns = [
        value
        for rule in rules
        for condition in rule["Conditions"]
        if condition["Field"] == "path-pattern"
        for value in condition["PathPatternConfig"]["Values"]
    ]
    inside = {"/health/live", "/health/ready"}
    public = paths(PUBLIC_ROUTES) - inside

    def forwarded(path: str) -> bool:
        return any(re.fullmatch(each.replace("*", ".*"), path) for each in patterns)

    assert {path for path in public if not forwarded(path)} == set()
    private = paths(PRIVATE_ROUTES) | inside
    assert {path for path in private if forwarded(path)} == set()
    assert [path for path in patterns if "*" not in path and path not in public] == []
    for rule in rules:
        held = [each["Values"] for each in maps(rule["Conditions"]) if "Values" in each]
        assert len(list(chain(*held))) <= 5, "the most a rule can hold"
