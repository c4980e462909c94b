"""What holds for both templates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.store.dynamodb_client import ACTIONS, INDEX, MOVE_ACTION, TABLE, TTL_ATTRIBUTE
from tests.templates.loading import (
    CLOUD,
    DEPLOY_ROLE,
    LOCAL,
    NESTED,
    as_list,
    cloud,
    decided,
    load,
    maps,
    resources,
    stack,
    statements,
    texts,
)

_KEEPS_DATA = {
    "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::S3::Bucket", "AWS::Logs::LogGroup",
    "AWS::APS::Workspace", "AWS::Backup::BackupVault",
}  # fmt: skip
_NAMING = re.compile(
    r"(TableName|LogGroupName|BucketName|RoleName|ManagedPolicyName|ServiceName|ClusterName"
    r"|FunctionName|AlarmName|DashboardName|TopicName|Name|Family|GroupName|InferenceProfileName"
    r"|BackupVaultName)"
)
_KEYS = {"EncryptionKey", "pEncryptionKeyArn"}
"""The key of a stack, in its own template and in a nested one."""
_KNOW_NO_RESOURCES = {
    "ecr:GetAuthorizationToken",
    "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    "bedrock:GetModelInvocationLoggingConfiguration",
    "bedrock:PutModelInvocationLoggingConfiguration",
    "bedrock:DeleteModelInvocationLoggingConfiguration",
    "xray:PutTraceSegments", "xray:PutTelemetryRecords",
    "elasticloadbalancing:DescribeTargetHealth",
}  # fmt: skip
"""Actions for which IAM accepts no narrower resource than `*`."""


def test_a_template_begins_with_its_version_and_transform(path: Path) -> None:
    assert path.read_text().splitlines()[:2] == [
        "AWSTemplateFormatVersion: '2010-09-09'",
        "Transform: AWS::Serverless-2016-10-31",
    ]


def test_a_template_works_in_any_partition_region_and_account(path: Path) -> None:
    """None is written into a resource; they come from pseudo parameters."""
    template = stack(path)
    fixed = re.compile(r"arn:aws|\b(us|eu|ap|sa|ca|me|af|cn|il)(-gov)?-[a-z]+-\d\b|\b\d{12}\b")

    found = list(texts([template["Resources"], template["Outputs"]]))

    assert [text for text in found if fixed.search(text)] == []


def test_nested_stacks_are_sent_along_and_have_no_transform() -> None:
    """A change set cannot show what a transform in a nested stack does."""
    nested = resources(load(CLOUD), "AWS::CloudFormation::Stack").values()

    assert sorted(CLOUD.parent / each["TemplateURL"] for each in nested) == list(NESTED)
    for each in NESTED:
        assert each.read_text().startswith("AWSTemplateFormatVersion: '2010-09-09'\nDescription:")
        assert "Transform" not in load(each)


@pytest.mark.parametrize("path", [CLOUD, LOCAL, DEPLOY_ROLE, *NESTED], ids=lambda path: path.stem)
def test_a_parameter_says_what_it_is_and_refuses_what_it_is_not(path: Path) -> None:
    constraints = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue"}

    for name, parameter in load(path)["Parameters"].items():
        assert parameter["Description"], name
        assert constraints & set(parameter), name
        default = parameter.get("Default")
        if default is not None:
            assert re.fullmatch(parameter.get("AllowedPattern", "(?s:.*)"), str(default)), name
            assert default in parameter.get("AllowedValues", [default]), name
            assert parameter.get("MinValue", default) <= default, name
            assert default <= parameter.get("MaxValue", default), name


def test_what_keeps_data_says_what_becomes_of_it(path: Path) -> None:
    for name, resource in stack(path)["Resources"].items():
        if resource["Type"] in _KEEPS_DATA:
            assert {"DeletionPolicy", "UpdateReplacePolicy"} <= set(resource), name


def test_the_table_of_production_outlives_its_stack() -> None:
    for name in ("PrimaryDynamoDBTable", "EncryptionKey"):
        resource = cloud()["Resources"][name]
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"
    [table] = resources(cloud(), "AWS::DynamoDB::Table").values()
    assert table["DeletionProtectionEnabled"] == {"Fn::If": ["IsProtected", True, False]}


def test_a_first_deploy_that_fails_leaves_nothing_in_the_way_of_the_next() -> None:
    """What keeps data is deleted with a creation that fails, or has no name to be taken."""
    kept = {
        name: resource
        for name, resource in cloud()["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }

    assert set(kept) == {"AccessLogBucket"}
    assert not any(_NAMING.fullmatch(key) for key in kept["AccessLogBucket"]["Properties"])
    vault = cloud()["Resources"]["BackupVault"]["Properties"]["BackupVaultName"]
    assert vault == {"Fn::Sub": "${AWS::StackName}"}, "a nested stack's, which differs each time"


def test_nothing_has_a_name_of_its_own_but_what_must(path: Path) -> None:
    """Several stacks fit in one account; a name that must be given begins with the stack's."""
    permitted = {
        ("PrimaryDynamoDBTable", "TableName"),
        ("WebAclLogGroup", "LogGroupName"),
        ("ClusterInsightsLogGroup", "LogGroupName"),
        ("InferenceProfile", "InferenceProfileName"),
        ("Guardrail", "Name"),
        ("BackupVault", "BackupVaultName"),
    }
    refers = {
        "AWS::EC2::VPCEndpoint", "AWS::EC2::FlowLog", "Custom::BedrockInvocationLogging",
        "AWS::Route53::RecordSet", "AWS::APS::RuleGroupsNamespace",  # named within its workspace
    }  # fmt: skip

    named = {
        (name, key)
        for name, resource in stack(path)["Resources"].items()
        for key in resource.get("Properties", {})
        if _NAMING.fullmatch(key) and resource["Type"] not in refers
    }

    assert named <= permitted
    for name, key in named:
        value = stack(path)["Resources"][name]["Properties"][key]
        whole = re.compile(r"\$\{(AWS::StackName|pStackName|Cluster)\}")
        assert whole.search(value["Fn::Sub"]), name


def test_logs_expire_and_are_encrypted(path: Path) -> None:
    for name, group in resources(stack(path), "AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"], name
        assert _KEYS & set(texts(group["KmsKeyId"])), name


def test_only_its_service_takes_a_role_and_for_this_account_only(path: Path) -> None:
    """No service can use the role on behalf of another account (confused deputy)."""
    for name, role in resources(stack(path), "AWS::IAM::Role").items():
        document = role["AssumeRolePolicyDocument"]
        assert document["Version"] == "2012-10-17"
        for statement in document["Statement"]:
            assert list(statement["Principal"]) == ["Service"], name
            account = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
            assert account == {"Ref": "AWS::AccountId"}, name


def test_a_role_is_named_by_its_arn(path: Path) -> None:
    """A reference would give its name, which most services refuse, and only when it is used."""
    named = [
        value
        for each in maps(stack(path)["Resources"])
        for key, value in each.items()
        if re.fullmatch(r"\w*RoleArn|DeliverLogsPermissionArn|Role", key)
    ]

    assert named
    chosen = [each["Fn::Select"][1][0] if "Fn::Select" in each else each for each in named]
    assert [each for each in chosen if each.get("Fn::GetAtt", [""])[-1] != "Arn"] == []


def test_permissions_are_the_least_that_work(path: Path) -> None:
    """No managed policy, no wildcard in an action, no resource `*` where IAM knows resources."""
    template = stack(path)
    assert "ManagedPolicyArns" not in list(texts(template["Resources"]))

    for statement in statements(template):
        actions = as_list(statement["Action"])
        assert not any("*" in action for action in actions), statement
        if "*" in as_list(statement["Resource"]):
            assert set(actions) <= _KNOW_NO_RESOURCES, statement


def test_the_service_may_use_the_table_and_its_index_and_not_scan_it(path: Path) -> None:
    """A query of the index asks for permission on the index's own ARN."""
    given = decided(statements(stack(path)), MakesTable=True)
    [statement] = [each for each in given if each.get("Sid") == "Table"]
    [moves] = [each for each in statements(stack(path)) if each.get("Sid") == "TableMoves"]

    assert statement["Action"] == [f"dynamodb:{action}" for action in ACTIONS]
    assert statement["Resource"] == [
        {"Fn::GetAtt": ["PrimaryDynamoDBTable", "Arn"]},
        {"Fn::Sub": "${PrimaryDynamoDBTable.Arn}/index/" + INDEX},
    ]
    assert moves["Action"] == f"dynamodb:{MOVE_ACTION}"
    assert moves["Condition"]["ForAllValues:StringEquals"] == {
        "dynamodb:EnclosingOperation": "TransactWriteItems"
    }


def test_a_profile_may_use_its_model_in_every_region(path: Path) -> None:
    """A forgotten region would fail at random; the models are reached through the profile only."""
    [statement] = [each for each in statements(stack(path)) if "RegionsOf" in each.get("Sid", "")]

    assert statement["Action"] == "bedrock:InvokeModelWithResponseStream"
    assert statement["Resource"] == [
        {"Fn::Sub": "arn:${AWS::Partition}:bedrock:*::foundation-model/*"},
        {"Fn::Sub": "arn:${AWS::Partition}:bedrock:::foundation-model/*"},
    ]
    assert list(statement["Condition"]["StringLike"]) == ["bedrock:InferenceProfileArn"]


def test_a_developer_may_do_what_the_service_in_the_cloud_may() -> None:
    """What works at home works in the cloud, and the reverse."""

    def runtime(path: Path) -> dict[str, Any]:
        shared = {"Table", "TableMoves", "TableKey", "Models", "RegionsOfTheProfiles"}
        given = decided(statements(stack(path)), MakesTable=True)
        return {each["Sid"]: each for each in given if each.get("Sid") in shared}

    deployed, local = runtime(CLOUD), runtime(LOCAL)
    for each in (deployed, local):
        each["TableKey"] = {**each["TableKey"], "Resource": "the key of the table"}

    assert local == deployed


def test_the_table_has_the_documented_keys_index_and_expiry(path: Path) -> None:
    """It can be restored, and is encrypted."""
    [table] = resources(stack(path), "AWS::DynamoDB::Table").values()

    assert {name: table[name] for name in TABLE} == TABLE
    assert table["TimeToLiveSpecification"] == {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"]["SSEType"] == "KMS"
    assert "EncryptionKey" in list(texts(table["SSESpecification"]))


def test_few_security_checks_are_skipped_and_each_says_why() -> None:
    skips = [
        skip
        for path in (CLOUD, LOCAL)
        for resource in stack(path)["Resources"].values()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]

    assert len(skips) <= 3
    assert all(len(skip["comment"]) > 20 for skip in skips)


def test_the_local_template_costs_nothing_without_calls() -> None:
    """No network, no load balancer, no tasks; only what a developer's machine cannot make."""
    kinds = {resource["Type"].split("::")[1] for resource in load(LOCAL)["Resources"].values()}

    assert kinds <= {
        "KMS", "DynamoDB", "IAM", "Bedrock", "Logs", "Lambda", "BedrockInvocationLogging",
    }  # fmt: skip
