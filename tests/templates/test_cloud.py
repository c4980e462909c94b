"""How the service of the cloud template starts, drains and scales, and what it may do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent.capacity.drain import TOTAL_SHARE
from agent.capacity.target_health import pause_seconds
from agent.http import PUBLIC_ROUTES
from agent.http.relay_socket import HEARTBEAT_SECONDS
from agent.http.server import public_limits
from agent.observability.tracing import ENDPOINTS
from agent.settings import Settings
from tests.templates.loading import (
    attributes,
    cloud,
    decided,
    only,
    paths,
    resources,
    statements,
    texts,
)


def containers() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those of a task with a collector, and of one without."""
    _, beside, alone = only("AWS::ECS::TaskDefinition")["ContainerDefinitions"]["Fn::If"]
    return beside, alone


def agents() -> list[dict[str, Any]]:
    beside, alone = containers()
    return [alone[0], beside[0]]


@pytest.fixture(params=[0, 1], ids=["alone", "beside a collector"])
def agent(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The container of the service, in either task."""
    return agents()[int(request.param)]


def variables(agent: dict[str, Any]) -> dict[str, Any]:
    """The plain environment of a container, without what is there on request only."""
    return {each["Name"]: each["Value"] for each in agent["Environment"] if "Name" in each}


def default(parameter: str) -> Any:
    return cloud()["Parameters"][parameter].get("Default", "must be given")


# How a task starts.


def test_what_users_of_the_predecessor_set_is_still_there() -> None:
    needed = (
        "pECRRepoURL", "pImageTag", "pCustomerDomainCertificateArn", "pPublicWSSEndpoint",
        "pTwilioAuthTokenSecretArn",
    )  # fmt: skip
    expected = {
        "pImageName": "twilio-conversation-relay-bedrock-services",
        "pBedrockApplicationInferenceProfile": "us.amazon.nova-lite-v1:0",
        "pBedrockInvokeResourceArns": "", "pStackUseCase": "restaurantOrderingUseCase",
        "pTaskCpu": "1024", "pTaskMemory": "2048", "pCpuArchitecture": "ARM64",
        "pMinTasks": "2", "pMaxTasks": "20", "pMaxCallsPerTask": "200",
        "pTargetCallsPerTask": "100",
        "pDrainSeconds": 180, "pEnableExec": "false", "pEnableWaf": "true",
        "pEnableVpcEndpoints": "true", "pNatMode": "one", "pEnableInvocationLogging": "false",
        "pEnableGuardrail": "false", "pMetricsCollector": "none", "pAlarmTopicArn": "",
        "pAccessLogBucket": "", "pLogRetentionDays": 365,
        **dict.fromkeys(needed, "must be given"),
    }  # fmt: skip

    assert {name: default(name) for name in expected} == expected


def test_no_image_can_change_behind_a_tag() -> None:
    pattern = cloud()["Parameters"]["pImageTag"]["AllowedPattern"]
    images = [
        default("pCollectorImage"),
        *(text for text in texts(cloud()["Resources"]) if ".ecr." in text),
    ]

    assert "Default" not in cloud()["Parameters"]["pImageTag"]
    assert not re.fullmatch(pattern, "latest")
    assert re.fullmatch(pattern, "1.2.0") and re.fullmatch(pattern, "sha256:" + "0" * 64)
    assert not any("latest" in image for image in images)


_WSS = "wss://voice.example.com/"
_SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("pPublicWSSEndpoint", _WSS, "wss://voice.example.com"),
        ("pPublicWSSEndpoint", _WSS, "ws://voice.example.com/"),
        ("pPublicWSSEndpoint", _WSS, "wss://voice.example.com/path/"),
        ("pPublicWSSEndpoint", _WSS, "wss://voice.example.com/?a=1/"),
        ("pPublicWSSEndpoint", _WSS, "wss://ada@voice.example.com/"),
        ("pPublicWSSEndpoint", _WSS, "wss://voice.example.com:8443/"),
        ("pECRRepoURL", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "docker.io/library"),
        ("pTwilioAuthTokenSecretArn", f"{_SECRET}twilio-AbCdEf:token::", "twilio-AbCdEf"),
        (
            "pTwilioAuthTokenSecretArn",
            "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a/b-AbCdEf",
            f"{_SECRET}twilio-AbCdEf:token",
        ),
        ("pTwilioAccountSid", "AC" + "0" * 32, "SK" + "0" * 32),
        ("pAlarmTopicArn", "arn:aws:sns:us-east-1:123456789012:alarms", "alarms"),
        ("pTimeZone", "America/Argentina/Buenos_Aires", "Europe/"),
        ("pSecretNames", "TWILIO_API_KEY_SECRET,ORDERS_TOKEN", "TWILIO_API_KEY_SECRET, TOKEN"),
        ("pSecretNames", "A,B,C,D,E,F", "A,B,C,D,E,F,G"),
        ("pSecretsArn", f"{_SECRET}more-AbCdEf", f"{_SECRET}more-AbCdEf:key::"),
        ("pEnvironmentFileArn", "arn:aws:s3:::files/voice/1.env", "s3://files/voice/1.env"),
        ("pEventBusArns", "arn:aws:events:eu-west-1:123456789012:event-bus/a", "default"),
        ("pEventTopicArns", "arn:aws:sns:eu-west-1:123456789012:a.fifo", "a.fifo"),
        ("pHttpToolHosts", "api.example.com, *.example.com", "https://api.example.com/?a=b"),
    ],
)
def test_a_value_that_cannot_work_is_refused(name: str, good: str, bad: str) -> None:
    pattern = cloud()["Parameters"][name]["AllowedPattern"]

    assert re.fullmatch(pattern, good)
    assert not re.fullmatch(pattern, bad)


def test_a_size_that_fargate_does_not_sell_is_refused() -> None:
    """CPU and memory come in pairs; each offered CPU has a rule, and each rule Fargate's pairs."""
    fargate = {
        "256": range(512, 2049, 512),
        "512": range(1024, 4097, 1024),
        "1024": range(2048, 8193, 1024),
        "2048": range(4096, 16385, 1024),
        "4096": range(8192, 30721, 1024),
    }

    allowed = {}
    for rule in cloud()["Rules"].values():
        parameter, value = rule["RuleCondition"].get("Fn::Equals", (None, ""))
        if parameter == {"Ref": "pTaskCpu"}:
            test = rule["Assertions"][0]["Assert"]
            allowed[value] = (test.get("Fn::Contains") or [[test["Fn::Equals"][1]]])[0]

    assert set(allowed) == set(fargate) == set(cloud()["Parameters"]["pTaskCpu"]["AllowedValues"])
    for cpu, memories in allowed.items():
        assert memories and all(int(memory) in fargate[cpu] for memory in memories), cpu


def test_the_container_is_locked_down(agent: dict[str, Any]) -> None:
    assert agent["User"] == "10001:10001"
    assert agent["ReadonlyRootFilesystem"] == {"Fn::If": ["HasExec", False, True]}
    assert agent["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert [each["ContainerPath"] for each in agent["MountPoints"]] == ["/tmp"]  # noqa: S108 (the container's)
    assert "Privileged" not in agent


def test_the_agent_is_the_same_with_a_collector_beside_it() -> None:
    alone, beside = agents()
    waits = {"DependsOn": [{"ContainerName": "collector", "Condition": "START"}]}

    assert beside == {**alone, **waits}


def test_the_service_is_given_what_it_needs_once_and_secrets_as_references(
    agent: dict[str, Any],
) -> None:
    """ECS would refuse a name given twice; what the operator lists cannot be a fixed one."""
    needed = {"WS_URL", "TABLE_NAME", "AWS_REGION", "MODEL_IDENTIFIER"}
    listed = cloud()["Parameters"]["pSecretNames"]["AllowedPattern"]
    secret = {it.name for it in Settings.describe() if it.meaning.endswith("secret")}

    given = [each["Name"] for each in agent["Environment"] if "Name" in each]

    assert len(given) == len(set(given))
    assert needed <= set(given)
    assert variables(agent)["TWILIO_AUTH_TOKEN_SECRET_ARN"] == {"Ref": "pTwilioAuthTokenSecretArn"}
    assert "ALLOW_UNSIGNED_REQUESTS" not in given
    assert len(secret) == 8
    assert secret & set(given) == set()
    assert [each["Name"] for each in agent["Secrets"] if "Name" in each] == []
    for each in (*given, "TWILIO_AUTH_TOKEN"):
        lists = f"SENDGRID_API_KEY,{each}", f"{each},SENDGRID_API_KEY"
        assert [text for text in (each, *lists) if re.fullmatch(listed, text)] == []
        assert re.fullmatch(listed, f"OUR_{each},{each}_2")


def test_name_and_port_agree_between_container_target_group_and_service(
    agent: dict[str, Any],
) -> None:
    [attached] = only("AWS::ECS::Service")["LoadBalancers"]
    group = only("AWS::ElasticLoadBalancingV2::TargetGroup")

    assert group["Port"] == attached["ContainerPort"] == Settings().port
    assert group["HealthCheckPath"] == "/health/ready"
    assert group["HealthCheckPath"] in paths(PUBLIC_ROUTES)
    assert agent["Name"] == attached["ContainerName"]
    assert [each["ContainerPort"] for each in agent["PortMappings"]] == [Settings().port]
    assert variables(agent)["PORT"] == str(Settings().port)
    assert variables(agent)["METRICS_PORT"] == str(Settings().metrics_port)


def test_the_collector_reads_metrics_and_takes_traces_inside_the_task(
    agent: dict[str, Any],
) -> None:
    """Traces only when they are asked for."""
    collector = containers()[0][1]
    configuration = "".join(texts(collector["Environment"]))

    assert f"localhost:{Settings().metrics_port}" in configuration
    assert "endpoint: localhost:4318\n" in configuration
    assert not collector["Essential"]
    assert "PortMappings" not in collector
    assert cloud()["Resources"]["ECSTaskTracesPolicy"]["Condition"] == "HasTraces"
    assert cloud()["Conditions"]["HasTraces"] == {"Fn::Equals": [{"Ref": "pEnableTraces"}, "true"]}
    assert default("pEnableTraces") == "false"
    endpoint = variables(agent)[ENDPOINTS[-1]]
    assert endpoint == {"Fn::If": ["HasTraces", "http://localhost:4318", ""]}


def test_logging_never_stops_the_event_loop(agent: dict[str, Any]) -> None:
    """A blocking log driver would freeze every call when CloudWatch is slow."""
    assert agent["LogConfiguration"]["Options"]["mode"] == "non-blocking"


def test_tasks_write_the_metrics_that_scaling_looks_at(agent: dict[str, Any]) -> None:
    """CloudWatch takes them out of JSON lines of the log; without them nothing scales."""
    assert {"EMF_METRICS": "true", "LOG_FORMAT": "json"}.items() <= variables(agent).items()


# How it drains and scales.


def test_calls_in_progress_have_time_to_end(agent: dict[str, Any]) -> None:
    """The task learns that it is deregistered, and ends before the load balancer cuts calls.

    In a service of a hundred tasks also with the shortest wait that can be set.
    """
    drain = cloud()["Parameters"]["pDrainSeconds"]
    group = attributes(only("AWS::ElasticLoadBalancingV2::TargetGroup")["TargetGroupAttributes"])

    assert group["deregistration_delay.timeout_seconds"] == {"Fn::Sub": "${pDrainSeconds}"}
    longest = Settings().drain_seconds * TOTAL_SHARE
    assert drain["Default"] == 180 > longest + pause_seconds(1000, failures=0, chance=1.0)
    assert drain["MinValue"] == 120 > longest + pause_seconds(100, failures=0, chance=1.0)
    assert agent["StopTimeout"] == 120, "as long as Fargate gives"
    assert Settings().drain_seconds == agent["StopTimeout"] - 20
    assert variables(agent)["TARGET_GROUP_ARN"] == {"Ref": "PublicLBTargetGroup"}
    [policy] = policies_with("elasticloadbalancing:")
    assert "Condition" not in policy
    asked = [each["Action"] for each in policy["Properties"]["PolicyDocument"]["Statement"]]
    assert "elasticloadbalancing:DescribeTargetHealth" in asked


def test_an_update_starts_new_tasks_first_and_goes_back_when_it_fails() -> None:
    """With a count in the template each update would reset what scaling has set."""
    service = only("AWS::ECS::Service")
    names = [{"Ref": "TargetErrorsAlarm"}, {"Ref": "FailedCallsAlarm"}]
    alarms = {"AlarmNames": names, "Enable": True, "Rollback": True}

    assert "DesiredCount" not in service
    assert service["DeploymentConfiguration"] == {
        "MinimumHealthyPercent": 100,
        "MaximumPercent": 200,
        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        "Alarms": alarms,
    }


def test_tasks_are_kept_where_they_are_until_they_are_told_to_drain() -> None:
    """No Spot, whose notice is too short; nothing is moved to even out zones."""
    service, cluster = only("AWS::ECS::Service"), only("AWS::ECS::Cluster")

    assert cluster["CapacityProviders"] == ["FARGATE"]
    assert cluster["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enhanced"}]
    assert service["LaunchType"] == "FARGATE"
    assert service["AvailabilityZoneRebalancing"] == "DISABLED"
    assert service["HealthCheckGracePeriodSeconds"] == 60
    assert service["PropagateTags"] == "SERVICE"


def test_the_service_waits_for_its_way_in_and_its_permissions() -> None:
    """ECS refuses a target group without a listener; a task without permissions fails calls."""
    rules = resources(cloud(), "AWS::ElasticLoadBalancingV2::ListenerRule")

    service = cloud()["Resources"]["Service"]

    assert {*rules, "ECSTaskPolicy"} <= set(service["DependsOn"])
    assert "Endpoints" in list(texts(service["Properties"]["Cluster"]))


def test_the_load_balancer_keeps_sockets_longer_than_the_pings_of_the_service() -> None:
    balancer = only("AWS::ElasticLoadBalancingV2::LoadBalancer")
    settings = attributes(balancer["LoadBalancerAttributes"])

    idle = int(settings["idle_timeout.timeout_seconds"])
    assert idle == 300
    assert idle >= HEARTBEAT_SECONDS * 10
    assert public_limits(Settings()).keep_alive_seconds > idle
    assert settings["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert settings["access_logs.s3.enabled"] == "true"
    assert settings["zonal_shift.config.enabled"] == "true"
    assert settings["deletion_protection.enabled"] == {"Ref": "pDeletionProtection"}
    assert default("pDeletionProtection") == "true"


def test_calls_go_on_while_the_firewall_does_not_answer() -> None:
    """Tasks check each signature themselves; by default the load balancer answers 500."""
    balancer = only("AWS::ElasticLoadBalancingV2::LoadBalancer")

    assert attributes(balancer["LoadBalancerAttributes"])["waf.fail_open.enabled"] == "true"


# Permissions.


def policies_with(action: str) -> list[dict[str, Any]]:
    """Policies with an action that begins like this."""
    return [
        each
        for each in cloud()["Resources"].values()
        if each["Type"] == "AWS::IAM::Policy"
        and any(text.startswith(action) for text in texts(each))
    ]


def test_copies_of_the_table_are_made_on_request_only() -> None:
    made = {name: each for name, each in cloud()["Resources"].items() if name.startswith("Backup")}

    assert set(made) == {"Backup", "BackupVault", "BackupPlan", "BackupSelection", "BackupRole"}
    assert made["Backup"]["Condition"] == "HasBackup"
    assert default("pBackupDays") == 0
    assert made["BackupVault"]["DeletionPolicy"] == "RetainExceptOnCreate"
    vault = made["BackupVault"]["Properties"]
    assert vault["EncryptionKeyArn"] == {"Ref": "pEncryptionKeyArn"}
    given = made["Backup"]["Properties"]["Parameters"]
    table = {"Fn::GetAtt": ["PrimaryDynamoDBTable", "Arn"]}
    assert decided(given["pTableArn"], MakesTable=True) == table
    selected = made["BackupSelection"]["Properties"]["BackupSelection"]["Resources"]
    assert selected == [{"Ref": "pTableArn"}]


def test_a_shell_in_a_task_is_off_until_asked_for() -> None:
    assert default("pEnableExec") == "false"
    assert only("AWS::ECS::Service")["EnableExecuteCommand"] == {"Fn::If": ["HasExec", True, False]}
    [policy] = policies_with("ssmmessages:")
    assert policy["Condition"] == "HasExec"


def test_protection_from_a_scale_in_is_off_until_asked_for(agent: dict[str, Any]) -> None:
    [policy] = policies_with("ecs:UpdateTaskProtection")
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]

    assert default("pTaskProtection") == "false"
    assert policy["Condition"] == "HasTaskProtection"
    assert statement["Action"] == ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
    assert "".join(texts(statement["Resource"])).endswith(":task/${Cluster}/*")
    assert variables(agent)["TASK_PROTECTION"] == {"Ref": "pTaskProtection"}


def test_a_task_may_read_its_secrets_and_pull_one_repository() -> None:
    given = {each.get("Sid"): each for each in statements(cloud())}

    assert given["PullTheImage"]["Resource"]["Fn::Sub"][0].endswith(":repository/${pImageName}")
    assert given["AuthToken"]["Resource"]["Fn::Sub"][0].endswith(":secret:${Name}")
    assert given["AuthToken"]["Condition"] == {
        "ForAnyValue:StringEquals": {
            "secretsmanager:VersionStage": ["AWSPENDING", "AWSCURRENT", "AWSPREVIOUS"]
        }
    }
    assert (
        given["AuthToken"]
        in cloud()["Resources"]["ECSTaskPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    )
    decrypting = cloud()["Resources"]["ECSTaskSecretKeyPolicy"]["Properties"]
    assert decrypting["Roles"] == [{"Ref": "ECSTaskExecutionRole"}, {"Ref": "ECSTaskRole"}]
    assert given["ReadFurtherSecrets"]["Resource"] == {"Ref": "pSecretsArn"}
    assert given["DecryptSecrets"]["Resource"] == {"Ref": "pSecretKmsKeyArn"}
    assert given["ReadTheEnvironmentFile"]["Resource"][0] == {"Ref": "pEnvironmentFileArn"}


def test_the_outputs_have_what_the_next_steps_need() -> None:
    assert {
        "DynamoDBTable", "ClusterName", "ServiceName", "VPCID", "PublicSubnet1", "PublicSubnet2",
        "PrivateSubnet1", "PrivateSubnet2", "TwimlAPI", "HealthUrl", "AlbDnsName",
        "TaskSecurityGroup", "LogGroupName", "KmsKeyArn",
    } <= set(cloud()["Outputs"])  # fmt: skip
