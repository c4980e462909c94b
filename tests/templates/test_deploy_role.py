"""The roles of a pipeline: what it may start, and what CloudFormation may then make."""

from __future__ import annotations

import json
import subprocess
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from tests.templates.loading import (
    CLOUD,
    DEPLOY_ROLE,
    NESTED,
    as_list,
    load,
    maps,
    resources,
    texts,
    tool,
)

_NEEDED = """
import json, sys
from pathlib import Path
import cfnlint.data.schemas.resources as schemas
needed = {}
for path in Path(list(schemas.__path__)[0]).glob("*.json"):
    schema = json.loads(path.read_text())
    for name, handler in schema.get("handlers", {}).items():
        if schema["typeName"] in sys.argv[1:] and name != "list":
            needed.setdefault(schema["typeName"], []).extend(handler["permissions"])
json.dump(needed, sys.stdout)
"""
"""What the handlers of resource types ask for, in AWS's own schemas, which cfn-lint ships."""
_OF_OTHER_TARGETS = (
    "amplify:*", "apigateway:*", "apprunner:*", "appsync:*", "autoscaling:*", "bedrock-agentcore:*",
    "cognito-idp:*", "elasticfilesystem:*", "firehose:*", "kinesis:*", "payments:*", "s3files:*",
    "s3tables:*", "vpc-lattice:*", "vpce:*", "ec2:*VerifiedAccess*", "ec2:*VpnGateway",
    "ec2:*Ipam*",
    "ec2:AcceptAddressTransfer", "iam:*Group*", "iam:*User*", "iam:DescribeOrganization",
    "iam:AttachRolePolicy", "iam:DetachRolePolicy", "lambda:*CapacityProvider", "lambda:*Alias",
    "lambda:GetLayerVersion", "lambda:*CodeSigning*", "lambda:*ProvisionedConcurrency*",
    "logs:DescribeIndexPolicies", "s3:*Object*", "s3:*Table*", "s3:*Replication*", "s3:*Website",
    "s3:*Cors", "s3:*CORS", "s3:REST.PUT.OBJECT", "s3:PutAccelerate*", "s3:PutAnalytics*",
    "s3:PutIntelligentTiering*", "s3:PutInventory*", "s3:PutMetrics*", "s3:DeleteBucket?*",
    "route53-recovery-control-config:*",
    "sqs:*", "sns:*", "ssm:*", "secretsmanager:*", "codeconnections:*", "codestar-connections:*",
)  # fmt: skip
"""What they ask for features and partners that no template here uses."""
_READS_DATA = (
    "dynamodb:*Item*", "dynamodb:Query", "dynamodb:Scan", "dynamodb:ImportTable",
    "dynamodb:*TableReplica", "logs:GetLogEvents", "logs:FilterLogEvents", "kinesis:*",
    "secretsmanager:*", "bedrock:Invoke*", "bedrock:Converse*", "ecs:ExecuteCommand", "ecs:RunTask",
)  # fmt: skip
"""What neither role needs, though handlers ask for some of it to import tables."""
_NEED_NOTHING = {"AWS::CloudFormation::WaitConditionHandle"}
_ACCOUNT_SETTINGS = ("ecs:PutAccountSetting*",)


def role(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = load(DEPLOY_ROLE)["Resources"][name]["Properties"]
    return properties


def permitted(name: str) -> list[dict[str, Any]]:
    """Statements of a role; those on a condition, too."""
    return [each for each in maps(role(name)["Policies"]) if each.get("Effect") == "Allow"]


def patterns(name: str) -> set[str]:
    return {action for each in permitted(name) for action in as_list(each["Action"])}


def is_one_of(action: str, of: tuple[str, ...] | set[str]) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in of)


@cache
def needed() -> dict[str, list[str]]:
    """What CloudFormation asks for, by the types of resources in the templates."""
    kinds = {
        resource["Type"]
        for path in (CLOUD, *NESTED)
        for resource in load(path)["Resources"].values()
        if resource["Type"].startswith("AWS::") and resource["Type"] not in _NEED_NOTHING
    }
    run = subprocess.run(  # noqa: S603 (our own program and names)
        [tool("python"), "-c", _NEEDED, *sorted(kinds)], capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = json.loads(run.stdout)
    assert found.keys() == kinds, "each type has handlers"
    return found


def test_cloudformation_may_do_what_the_resources_of_the_templates_need() -> None:
    """A new type of resource shows here what it needs."""
    allowed = patterns("ServiceRole")
    beside = (*_OF_OTHER_TARGETS, *_READS_DATA, *_ACCOUNT_SETTINGS)

    lacking = {
        f"{kind}: {action}"
        for kind, actions in needed().items()
        for action in actions
        if not is_one_of(action, allowed) and not is_one_of(action, beside)
    }

    assert lacking == set()


def test_cloudformation_may_do_nothing_for_services_that_the_templates_do_not_use() -> None:
    used = {action.partition(":")[0] for actions in needed().values() for action in actions}
    allowed = {action.partition(":")[0] for action in patterns("ServiceRole")}

    assert allowed - used - {"cloudformation"} <= {"route53"}, "for the names of endpoints"


def test_neither_role_may_read_data_or_do_anything_it_likes() -> None:
    """But for the one secret that signs the probe."""
    for name in ("DeployRole", "ServiceRole"):
        actions = patterns(name) - {"secretsmanager:GetSecretValue"}
        assert not any(is_one_of(action, _READS_DATA) for action in actions), name
        assert not any(action.endswith(":*") or action == "*" for action in actions), name


def test_what_may_be_changed_is_of_this_region_and_account_or_of_the_stack() -> None:
    """`*` stands only where IAM knows no resource; what writes then names its region."""
    for name in ("DeployRole", "ServiceRole"):
        for statement in permitted(name):
            if "*" in as_list(statement["Resource"]):
                reads = all(
                    each.partition(":")[2].startswith(("Describe", "Get", "List"))
                    for each in as_list(statement["Action"])
                )
                assert reads or "aws:RequestedRegion" in list(texts(statement)), statement


def test_roles_that_an_update_makes_are_the_stacks_and_given_to_known_services_only() -> None:
    by_name = {each["Sid"]: each for each in permitted("ServiceRole")}

    for sid in ("RolesOfTheStack", "GiveTheRolesToServices"):
        assert by_name[sid]["Resource"]["Fn::Sub"].endswith(":role/${pStackName}-*")
    services = {
        statement["Principal"]["Service"]
        for path in (CLOUD, *NESTED)
        for made in resources(load(path), "AWS::IAM::Role").values()
        for statement in made["AssumeRolePolicyDocument"]["Statement"]
    }
    passed = by_name["GiveTheRolesToServices"]["Condition"]["StringEquals"]["iam:PassedToService"]
    assert services <= set(passed)


def test_the_pipeline_has_its_role_only_in_its_environment_of_its_repository() -> None:
    [statement] = role("DeployRole")["AssumeRolePolicyDocument"]["Statement"]

    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {
                "Fn::Sub": "repo:${pGitHubRepository}:environment:${pGitHubEnvironment}"
            },
        }
    }


def test_the_pipeline_may_not_pass_roles_nor_make_or_delete_what_the_stack_is_made_of() -> None:
    """It can start an update; CloudFormation does the rest with a role of its own."""
    services = {action.partition(":")[0] for action in patterns("DeployRole")}

    assert services == {
        "ecr",
        "signer",
        "s3",
        "cloudformation",
        "cloudwatch",
        "secretsmanager",
        "kms",
    }
    assert not any("Delete" in each and "ChangeSet" not in each for each in patterns("DeployRole"))
    assert {"cloudformation:CreateStack", "iam:PassRole"} & patterns("DeployRole") == set()
