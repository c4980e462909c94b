"""What the cloud template makes beside a zone and a table that exist."""

from __future__ import annotations

from typing import Any

import pytest

from tests.templates.loading import CLOUD, NESTED, REQUIRED, load
from tests.templates.rendering import Stack


def stack(**chosen: str) -> Stack:
    templates = {path: load(path) for path in (CLOUD, *NESTED)}
    return Stack(templates, CLOUD, {**REQUIRED, **chosen})


def variables(of: Stack) -> dict[str, str]:
    task = of.render()["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    return {each["Name"]: each["Value"] for each in task[0]["Environment"]}


def records(of: Stack) -> dict[str, dict[str, Any]]:
    """The DNS records by their names."""
    made = of.nested("Dns").render()["Resources"].values()
    return {
        each["Properties"]["Name"]: each["Properties"]
        for each in made
        if each["Type"] == "AWS::Route53::RecordSet"
    }


def test_a_zone_gets_an_alias_of_the_host() -> None:
    made = stack(pHostedZoneId="Z0123")

    [(name, record)] = records(made).items()
    assert (name, record["Type"], record["HostedZoneId"]) == ("voice.example.com", "A", "Z0123")
    assert record["AliasTarget"]["DNSName"] == "PublicLoadBalancer-DNSName"
    assert "PUBLIC_URL" not in variables(made)
    assert made.outputs["TwimlAPI"] == "https://voice.example.com/twiml"


@pytest.mark.parametrize(
    ("role", "said"), [("primary", "PRIMARY"), ("secondary", "SECONDARY")]
)  # fmt: skip
def test_a_shared_host_leads_to_a_region_while_its_own_host_answers(role: str, said: str) -> None:
    """Twilio signs the shared host; the health check asks the region's own."""
    made = stack(
        pHostedZoneId="Z0123", pWebhookHost="calls.example.com", pFailoverRole=role
    )  # fmt: skip

    shared = records(made)["calls.example.com"]
    check = made.nested("Dns").render()["Resources"]["HealthCheck"]["Properties"]
    asked = check["HealthCheckConfig"]
    assert set(records(made)) == {"voice.example.com", "calls.example.com"}
    assert (shared["Failover"], shared["HealthCheckId"]) == (said, "HealthCheck")
    assert (asked["FullyQualifiedDomainName"], asked["ResourcePath"]) == (
        "voice.example.com", "/health",
    )  # fmt: skip
    assert variables(made)["PUBLIC_URL"] == "https://calls.example.com"
    assert variables(made)["WS_URL"] == "wss://voice.example.com/"
    assert made.outputs["TwimlAPI"] == "https://calls.example.com/twiml"


def test_a_table_that_exists_is_used_with_its_key_and_none_is_made() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0a"
    made = stack(pTableName="restored", pTableKeyArn=key, pBackupDays="90")

    rendered = made.render()
    policy = rendered["Resources"]["ECSTaskPolicy"]["Properties"]["PolicyDocument"]
    may = {each["Sid"]: each["Resource"] for each in policy["Statement"]}
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/restored"
    assert "PrimaryDynamoDBTable" not in rendered["Resources"]
    assert may["Table"] == [arn, f"{arn}/index/index-1-full"]
    assert may["TableMoves"] == arn
    assert key in may["TableKey"]
    assert variables(made)["TABLE_NAME"] == rendered["Outputs"]["DynamoDBTable"] == "restored"
    for nested in ("Endpoints", "Backup"):
        assert made.nested(nested).given["pTableArn"] == arn
    assert made.nested("Backup").given["pTableKeyArn"] == key
    assert made.nested("Alarms").given["pTableName"] == "restored"
