"""Both stacks are created in a simulated account, and what comes out is what the service needs.

moto knows no firewall, scaling, alarm, guardrail or bucket policy, and no expiry or encryption of a
table made by a template: the other tests here and the linters judge those.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.observability.tracing import is_asked
from agent.settings import Settings
from agent.usecases.host_allowlist import HostAllowlist
from tests.templates.conftest import REGION, Account
from tests.templates.loading import CLOUD, LOCAL, NESTED, REQUIRED, ROOT, SAM, load, maps, resources
from tests.templates.rendering import subnets

_STACK = "CR-one"
_TABLE = f"{_STACK}-ConversationRelayAppDatabase"


def packaged(account: Account, path: Path) -> str:
    """A template as `sam deploy` sends it: its nested stacks are in a bucket."""
    storage, template = account("s3"), copy.deepcopy(load(path))
    storage.create_bucket(Bucket="packaged")
    for nested in resources(template, "AWS::CloudFormation::Stack").values():
        key = nested["TemplateURL"]
        body = json.dumps(without_parts_of_addresses(load(ROOT / key)))
        storage.put_object(Bucket="packaged", Key=key, Body=body)
        nested["TemplateURL"] = f"https://s3.amazonaws.com/packaged/{key}"
    # With short tags moto would take Outputs.VpcId for two words.
    return json.dumps(template)


def without_parts_of_addresses(template: dict[str, Any]) -> dict[str, Any]:
    """The template with the default's subnets in their places; moto knows no Fn::Cidr."""
    copied = copy.deepcopy(template)
    for each in maps(copied["Resources"]):
        block = each.get("CidrBlock", {})
        if "Fn::Select" in block:
            number, parts = block["Fn::Select"]
            each["CidrBlock"] = subnets("10.0.0.0/16", int(parts["Fn::Cidr"][1]), 13)[int(number)]
    return copied


def create(account: Account, path: Path, **chosen: str) -> dict[str, str]:
    """Create a stack with these parameters; its outputs."""
    parameters = dict(chosen)
    if path == CLOUD:
        certificate = account("acm").request_certificate(DomainName="voice.example.com")
        parameters |= {**REQUIRED, "pCustomerDomainCertificateArn": certificate["CertificateArn"]}
        parameters |= chosen
    client = account("cloudformation")
    client.create_stack(
        StackName=_STACK,
        TemplateBody=packaged(account, path),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    [stack] = client.describe_stacks(StackName=_STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def agent_container(account: Account) -> dict[str, Any]:
    client = account("ecs")
    [arn] = client.list_task_definitions()["taskDefinitionArns"]
    definition = client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    container: dict[str, Any] = definition["containerDefinitions"][0]
    return container


def environment(account: Account, **chosen: str) -> dict[str, str]:
    """The environment of a task of a stack with these parameters."""
    create(account, CLOUD, **chosen)
    given = agent_container(account)["environment"]
    return {each["name"]: each["value"] for each in given if each}


def test_the_service_starts_with_the_environment_of_its_task(account: Account) -> None:
    size = {"pTaskCpu": "2048", "pTaskMemory": "4096", "pMaxCallsPerTask": "400"}
    given = environment(account, **size, pTargetCallsPerTask="240", pTimeZone="Europe/Zurich")
    settings = Settings.read(given)

    assert settings.table_name == _TABLE
    assert settings.ws_url == "wss://voice.example.com/"
    assert settings.twilio_auth_token_secret_arn == REQUIRED["pTwilioAuthTokenSecretArn"]
    assert settings.model_identifier == "us.amazon.nova-lite-v1:0"
    assert settings.fallback_model_identifiers == ()
    assert (settings.web_concurrency, settings.max_calls) == (2, 200)
    assert str(settings.time_zone) == "Europe/Zurich"
    assert (settings.log_format, settings.metrics_port) == ("json", 9090)
    assert settings.is_public
    # Without a choice there is no record, no limit of the operator's, no traces.
    assert (settings.record_calls, settings.caller_calls_per_hour) == (False, 30)
    assert not is_asked(given)


def test_further_settings_arrive_in_the_service(account: Account) -> None:
    chosen = {
        "pHttpToolHosts": "api.example.com", "pCallerCallsPerHour": "6",
        "pCallerTokensPerDay": "200000", "pRecordDays": "30",
    }  # fmt: skip
    settings = Settings.read(environment(account, **chosen))

    assert settings.http_tool_hosts == HostAllowlist.read("api.example.com")
    assert (settings.caller_calls_per_hour, settings.caller_tokens_per_day) == (6, 200_000)
    assert (settings.record_calls, settings.record_days) == (True, 30)


def test_what_is_chosen_arrives_in_the_task(account: Account) -> None:
    """An image by its digest, secrets by their keys, a file; and Twilio and the DNS get theirs."""
    more = "arn:aws:secretsmanager:us-east-1:123456789012:secret:more-AbCdEf"
    file, digest = "arn:aws:s3:::files/voice/1.env", "sha256:" + "0" * 64
    chosen = {
        "pSecretsArn": more, "pSecretNames": "TWILIO_API_KEY_SECRET,ORDERS_TOKEN",
        "pEnvironmentFileArn": file, "pImageTag": digest,
    }  # fmt: skip

    outputs = create(account, CLOUD, **chosen)

    container = agent_container(account)
    assert [each for each in container["secrets"] if each] == [
        {"name": "TWILIO_API_KEY_SECRET", "valueFrom": f"{more}:TWILIO_API_KEY_SECRET::"},
        {"name": "ORDERS_TOKEN", "valueFrom": f"{more}:ORDERS_TOKEN::"},
    ]
    assert container["environmentFiles"] == [{"type": "s3", "value": file}]
    name = "twilio-conversation-relay-bedrock-services"
    assert container["image"] == f"{REQUIRED['pECRRepoURL']}/{name}@{digest}"
    assert outputs["TwimlAPI"] == "https://voice.example.com/twiml"
    assert outputs["HealthUrl"] == "https://voice.example.com/health"
    assert outputs["AlbDnsName"].endswith(".elb.amazonaws.com")


def test_the_developers_line_starts_the_service(account: Account) -> None:
    outputs = create(account, LOCAL)

    line = dict(each.split("=", 1) for each in outputs["EnvironmentLine"].split())
    settings = Settings.read(line)

    assert settings.table_name == outputs["DynamoDBTable"] == _TABLE
    assert settings.model_identifier == outputs["ModelIdentifier"] == "us.amazon.nova-lite-v1:0"
    assert settings.aws_region == outputs["Region"] == "us-east-1"


def test_listed_models_are_permitted_beside_the_default(account: Account) -> None:
    listed = (
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/a,"
        "arn:aws:bedrock:us-east-1::foundation-model/b"
    )

    policy = create(account, LOCAL, pBedrockInvokeResourceArns=listed)["PolicyArn"]

    document = account("iam").get_policy_version(PolicyArn=policy, VersionId="v1")
    by_sid = {each["Sid"]: each for each in document["PolicyVersion"]["Document"]["Statement"]}
    expected = [
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/us.amazon.nova-lite-v1:0",
        *listed.split(","),
    ]
    assert by_sid["Models"]["Resource"] == expected
    condition = by_sid["RegionsOfTheProfiles"]["Condition"]
    assert condition == {"StringLike": {"bedrock:InferenceProfileArn": expected}}


@pytest.mark.parametrize(
    "chosen",
    [
        {"pNatMode": "none", "pAccessLogBucket": "logs-of-mine", "pEnableWaf": "false"},
        {
            "pNatMode": "per-az",
            "pEnableVpcEndpoints": "false",
            "pEnableExec": "true",
            "pTaskProtection": "true",
            "pAlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
            "pUrgentAlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:pager",
            "pAlarmOnNoCalls": "false",
            "pSecretKmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/0a1b",
        },
    ],
    ids=["bare", "rich"],
)
def test_options_can_be_chosen(account: Account, chosen: dict[str, str]) -> None:
    outputs = create(account, CLOUD, **chosen)

    gateways = account("ec2").describe_nat_gateways()["NatGateways"]
    wanted = {"none": 0, "per-az": 2}.get(chosen.get("pNatMode", ""), 1)
    assert len(gateways) == wanted
    assert outputs["LogGroupName"].startswith(f"{_STACK}-LogGroup-")


def test_each_of_three_zones_has_its_subnets_and_way_out(account: Account) -> None:
    create(account, CLOUD, pZones="3", pNatMode="per-az")

    client = account("ec2")
    [vpc] = client.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.0.0.0/16"]}])["Vpcs"]
    subnets_of_vpc = client.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])
    zones = {each["CidrBlock"]: each["AvailabilityZone"][-1] for each in subnets_of_vpc["Subnets"]}
    assert zones == {
        "10.0.0.0/19": "a", "10.0.32.0/19": "b", "10.0.128.0/19": "c",
        "10.0.64.0/19": "a", "10.0.96.0/19": "b", "10.0.160.0/19": "c",
    }  # fmt: skip
    assert len(client.describe_nat_gateways()["NatGateways"]) == 3


def test_network_and_table_may_exist_already(account: Account) -> None:
    client = account("ec2")
    vpc = client.create_vpc(CidrBlock="172.20.0.0/22")["Vpc"]["VpcId"]
    there = [
        client.create_subnet(VpcId=vpc, CidrBlock=f"172.20.{number}.0/24")["Subnet"]["SubnetId"]
        for number in range(4)
    ]

    outputs = create(
        account, CLOUD, pVpcId=vpc, pNatMode="none", pEnableVpcEndpoints="false",
        pLoadBalancerSubnetIds=",".join(there[:2]), pTaskSubnetIds=",".join(there[2:]),
        pTableName="restored",
    )  # fmt: skip

    given = {
        each["name"]: each["value"] for each in agent_container(account)["environment"] if each
    }
    names = ("VPCID", "PublicSubnet1", "PublicSubnet2", "PrivateSubnet1", "PrivateSubnet2")
    assert [outputs[name] for name in names] == [vpc, *there]
    assert outputs["DynamoDBTable"] == given["TABLE_NAME"] == "restored"
    assert account("dynamodb").list_tables()["TableNames"] == []
    made = (
        client.describe_vpc_endpoints()["VpcEndpoints"]
        + client.describe_nat_gateways()["NatGateways"]
    )
    assert made == []


def test_sam_sends_the_nested_stacks_along(
    account: Account, moto_endpoint: str, tmp_path: Path
) -> None:
    account("s3").create_bucket(Bucket="packaged")
    written = tmp_path / "packaged.yml"

    run = subprocess.run(  # noqa: S603 (our own program and file)
        [SAM, "package", "--template-file", CLOUD, "--s3-bucket", "packaged",
         "--region", REGION, "--output-template-file", written],
        env={
            "AWS_ENDPOINT_URL": moto_endpoint, "AWS_ACCESS_KEY_ID": "moto",
            "AWS_SECRET_ACCESS_KEY": "moto", "SAM_CLI_TELEMETRY": "0", "HOME": str(tmp_path),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    sent = re.findall(r"TemplateURL: https?://\S+/packaged/(\S+)", written.read_text())
    assert len(sent) == len(NESTED)
    stored = account("s3").list_objects_v2(Bucket="packaged")["Contents"]
    assert {each["Key"] for each in stored} == set(sent)
