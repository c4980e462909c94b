"""Whatever parameters are given: the cloud template comes out whole, or says a sentence why not."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.templates.loading import CLOUD, NESTED, REQUIRED, load, maps
from tests.templates.rendering import PSEUDO, DanglingError, RefusedError, Stack, Templates

TEMPLATES: Templates = {path: load(path) for path in (CLOUD, *NESTED)}
RUNS = 500
_ARN = "arn:aws:{service}:{region}:123456789012:{rest}"
_VPC = {
    "pVpcId": "vpc-0123abcd", "pLoadBalancerSubnetIds": "subnet-0123abcd,subnet-1123abcd",
    "pTaskSubnetIds": "subnet-2123abcd,subnet-3123abcd,subnet-4123abcd", "pNatMode": "none",
}  # fmt: skip
_GROUPS = {"pLoadBalancerSecurityGroupId": "sg-0123abcd", "pTaskSecurityGroupId": "sg-1123abcd"}
_FAILOVER = {
    "pHostedZoneId": "Z0123", "pWebhookHost": "calls.example.com", "pFailoverRole": "primary",
}  # fmt: skip
_SECRETS = {
    "pSecretsArn": _ARN.format(
        service="secretsmanager", region="us-east-1", rest="secret:a-AbCdEf"
    ),
    "pSecretNames": "SENDGRID_API_KEY,TOKEN_API_KEYS",
}
_TABLE = {"pTableName": "voice-restored"}
_TABLE_KEY = {"pTableKeyArn": _ARN.format(service="kms", region="us-east-1", rest="key/0a")}
TOGETHER = (
    _VPC, {**_VPC, **_GROUPS}, {**_VPC, "pLoadBalancerScheme": "internal"}, _FAILOVER,
    {"pHostedZoneId": "Z0123"}, {"pWebhookHost": "calls.example.com"}, _SECRETS, _TABLE,
    {**_TABLE, **_TABLE_KEY}, {"pZones": "3", "pNatMode": "per-az", "pVpcCidr": "172.20.0.0/22"},
    {"pMetricsCollector": "sidecar", "pEnableTraces": "true"},
    {"pCanaryImageTag": "1.1.0", "pCanaryWSSEndpoint": "wss://canary.example.com/"},
)  # fmt: skip
"""What belongs together; each is also torn apart by what is drawn besides."""
CHOICES = {
    "pECRRepoURL": ["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"],
    "pImageName": ["voice/agent"],
    "pImageTag": ["sha256:" + "0" * 64, "latest"],
    "pPublicWSSEndpoint": ["wss://a.b.example.com/", "wss://calls.example.com/", "wss://a/b/"],
    "pCustomerDomainCertificateArn": [
        REQUIRED["pCustomerDomainCertificateArn"],
        _ARN.format(service="acm", region="eu-west-1", rest="certificate/0a"),
    ],
    "pTwilioAuthTokenSecretArn": [
        REQUIRED["pTwilioAuthTokenSecretArn"],
        _ARN.format(service="secretsmanager", region="eu-west-1", rest="secret:a-AbCdEf"),
    ],
    "pSecretKmsKeyArn": [
        _ARN.format(service="kms", region=region, rest="key/0a")
        for region in ("us-east-1", "eu-west-1")
    ],
    "pTwilioAccountSid": ["AC" + "0" * 32, "AC"],
    "pStackUseCase": ["flowerShop"],
    "pTimeZone": ["Europe/Zurich"],
    "pHttpToolHosts": ["api.example.com, *.example.com"],
    "pEventBusArns": [_ARN.format(service="events", region="us-east-1", rest="event-bus/calls")],
    "pEventTopicArns": [
        _ARN.format(service="sns", region="eu-west-1", rest="calls.fifo"),
        f"{_ARN.format(service='sns', region='us-east-1', rest='calls')},calls",
    ],
    "pEnvironmentFileArn": ["arn:aws:s3:::files/voice/1.env", "s3://files/1.env"],
    "pSecretsArn": [_SECRETS["pSecretsArn"]],
    "pSecretNames": ["A,B,C,D,E,F", "A", "A,B,A"],
    "pBedrockApplicationInferenceProfile": [
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "eu.amazon.nova-lite-v1:0",
        "amazon.nova-lite-v1:0",
        _ARN.format(service="bedrock", region="us-east-1", rest="application-inference-profile/a"),
    ],
    "pInferenceProfileSourceArn": [
        _ARN.format(
            service="bedrock", region=region, rest="inference-profile/us.amazon.nova-lite-v1:0"
        )
        for region in ("us-east-1", "us-west-2")
    ],
    "pFallbackModelIdentifiers": ["us.amazon.nova-micro-v1:0, openai:gpt", "jp.amazon.nova-2"],
    "pBedrockInvokeResourceArns": [
        "arn:aws:bedrock:us-east-1::foundation-model/a,arn:aws:bedrock:*::foundation-model/b",
    ],
    "pVpcId": ["vpc-0123abcd", "vpc"],
    "pLoadBalancerSubnetIds": [_VPC["pLoadBalancerSubnetIds"], "subnet-0123abcd"],
    "pTaskSubnetIds": [_VPC["pTaskSubnetIds"], ""],
    "pLoadBalancerSecurityGroupId": ["sg-0123abcd", ""],
    "pTaskSecurityGroupId": ["sg-1123abcd", ""],
    "pVpcCidr": ["10.1.0.0/20", "192.168.0.0/22", "10.0.0.0/28"],
    "pHostedZoneId": ["Z0123", ""],
    "pWebhookHost": ["calls.example.com", "voice.example.com", "https://calls.example.com"],
    "pTableName": ["voice-restored", ""],
    "pTableKeyArn": [_TABLE_KEY["pTableKeyArn"]],
    "pAccessLogBucket": ["logs-of-mine"],
    "pAlarmTopicArn": [
        _ARN.format(service="sns", region=region, rest="alarms")
        for region in ("us-east-1", "eu-west-1")
    ],
    "pUrgentAlarmTopicArn": [
        _ARN.format(service="sns", region=region, rest="alarms")
        for region in ("us-east-1", "eu-west-1")
    ],
    "pCanaryImageTag": ["1.1.0", "sha256:" + "1" * 64],
    "pCanaryWSSEndpoint": ["wss://canary.example.com/", "wss://voice.example.com/"],
    "pPrometheusSecurityGroup": ["sg-2123abcd"],
    "pCollectorImage": ["123456789012.dkr.ecr.us-east-1.amazonaws.com/collector:1"],
}
"""Values of parameters that take a text; of the others they follow from the declaration."""


def choices(name: str) -> list[str]:
    declared = TEMPLATES[CLOUD]["Parameters"][name]
    if "AllowedValues" in declared:
        return [str(each) for each in declared["AllowedValues"]]
    if declared["Type"] == "Number":
        low, high = declared.get("MinValue", 0), declared.get("MaxValue", 10**9)
        return [str(each) for each in (low, high, declared["Default"], low, high, high + 1)]
    return CHOICES[name]


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, str]:
    """Up to two groups that belong together, and up to ten parameters besides."""
    names = sorted(TEMPLATES[CLOUD]["Parameters"])
    chosen = dict(REQUIRED)
    for group in draw(st.lists(st.sampled_from(TOGETHER), max_size=2)):
        chosen |= group
    for name in draw(st.lists(st.sampled_from(names), max_size=10, unique=True)):
        chosen[name] = draw(st.sampled_from(choices(name)))
    return chosen


def refusal(
    given: dict[str, str], region: str = "us-east-1", templates: Templates = TEMPLATES
) -> str:
    """The sentence that refuses these parameters; empty if all comes out whole."""
    try:
        rendered = Stack(templates, CLOUD, given, {**PSEUDO, "AWS::Region": region}).render()
    except RefusedError as refused:
        return str(refused)
    left = [
        key for each in maps(rendered) for key in each if key == "Ref" or key.startswith("Fn::")
    ]
    assert left == []
    task = rendered["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    agent: dict[str, Any] = next(each for each in task if each["Name"] == "agent")
    named = [each["Name"] for each in (*agent["Environment"], *agent["Secrets"])]
    assert len(named) == len(set(named)), "ECS refuses a variable that is there twice"
    return ""


def play(templates: Templates) -> Counter[str]:
    """Random parameters, each rendered or refused; how often each sentence came."""
    said: Counter[str] = Counter()

    @settings(max_examples=RUNS, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(parameters())
    def once(given: dict[str, str]) -> None:
        said[refusal(given, templates=templates)] += 1

    once()
    return said


def test_random_parameters_come_out_whole_or_are_refused_with_a_sentence() -> None:
    said = play(TEMPLATES)

    rendered = said.pop("")
    assert rendered + said.total() >= RUNS
    assert rendered >= RUNS // 5
    assert len(said) >= 30
    assert [sentence for sentence in said if len(sentence.split()) < 4] == []


def test_every_parameter_takes_part() -> None:
    assert [name for name in TEMPLATES[CLOUD]["Parameters"] if not choices(name)] == []


@pytest.mark.parametrize(
    ("resource", "planted"),
    [
        ("PublicLoadBalancer", {"Ref": "AccessLogBucket"}),
        ("Service", {"Fn::GetAtt": ["Prometheus", "Outputs.WorkspaceArn"]}),
        ("Cluster", {"Fn::Sub": "${PrimaryDynamoDBTable.Arn}"}),
        ("LogGroup", {"Fn::GetAtt": ["Network", "Outputs.Missing"]}),
    ],
    ids=["reference", "output of a stack that is not made", "in a text", "missing output"],
)  # fmt: skip
def test_a_planted_reference_to_what_is_not_made_is_found(
    resource: str, planted: dict[str, Any]
) -> None:
    template = copy.deepcopy(TEMPLATES[CLOUD])
    template["Resources"][resource]["Properties"]["Planted"] = planted

    with pytest.raises(DanglingError, match=r"not made|no output"):
        play({**TEMPLATES, CLOUD: template})


def test_a_planted_error_in_a_nested_stack_is_found() -> None:
    """A parameter that is not given, and one that the nested stack does not have."""
    nested = Path(CLOUD.parent / "infrastructure" / "firewall.yml")
    wanting, having = copy.deepcopy(TEMPLATES[nested]), copy.deepcopy(TEMPLATES[nested])
    wanting["Parameters"]["pFurther"] = {"Type": "String"}
    del having["Parameters"]["pStackName"]

    for planted, says in ((wanting, "is not given pFurther"), (having, "has no parameter")):
        with pytest.raises(DanglingError, match=says):
            refusal(REQUIRED, templates={**TEMPLATES, nested: planted})


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"pVpcId": "vpc-0123abcd"}, "pLoadBalancerSubnetIds must say where"),
        ({**_VPC, "pTaskSubnetIds": ""}, "pTaskSubnetIds must say where tasks run"),
        ({**_VPC, "pNatMode": "one"}, "pNatMode must be none"),
        ({**_VPC, "pVpcCidr": "10.1.0.0/16"}, "pVpcCidr must be left out"),
        ({**_VPC, "pZones": "3"}, "pZones must be left out"),
        ({"pTaskSubnetIds": _VPC["pTaskSubnetIds"]}, "pVpcId must say of which network"),
        (_GROUPS, "pVpcId must say of which network"),
        ({**_VPC, "pTaskSecurityGroupId": "sg-0a"}, "pLoadBalancerSecurityGroupId must be given"),
        ({**_VPC, "pLoadBalancerSecurityGroupId": "sg-0a"}, "pTaskSecurityGroupId must be given"),
        ({"pLoadBalancerScheme": "internal"}, "An internal load balancer needs pVpcId"),
        ({**_FAILOVER, **_VPC, "pLoadBalancerScheme": "internal"}, "cannot be internal"),
        ({**_FAILOVER, "pHostedZoneId": ""}, "pHostedZoneId must say where the record stands"),
        ({**_FAILOVER, "pWebhookHost": ""}, "pWebhookHost must name the host"),
        ({"pWebhookHost": "voice.example.com"}, "pWebhookHost must be left out"),
        (_TABLE_KEY, "pTableName must say of which table"),
        ({**_SECRETS, "pSecretNames": "A,B,A"}, "six different names"),
        ({"pNatMode": "none", "pEnableVpcEndpoints": "false"}, "pEnableVpcEndpoints must be true"),
    ],
)
def test_what_does_not_go_together_is_refused(chosen: dict[str, str], sentence: str) -> None:
    assert sentence in refusal({**REQUIRED, **chosen})


@pytest.mark.parametrize("chosen", TOGETHER, ids=" ".join)
def test_what_goes_together_comes_out_whole(chosen: dict[str, str]) -> None:
    assert refusal({**REQUIRED, **chosen}) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pCustomerDomainCertificateArn", "arn:aws:acm:eu-west-1:123456789012:certificate/0a"),
        (
            "pTwilioAuthTokenSecretArn",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf",
        ),
        ("pSecretsArn", "arn:aws:secretsmanager:us-east-2:123456789012:secret:a-AbCdEf"),
        ("pSecretKmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/0a"),
        ("pTableKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/0a"),
        ("pAlarmTopicArn", "arn:aws:sns:us-east-11:123456789012:alarms"),
        ("pUrgentAlarmTopicArn", "arn:aws:sns:eu-west-1:123456789012:alarms"),
    ],
)
def test_what_is_in_another_region_is_refused(name: str, value: str) -> None:
    chosen = {**REQUIRED, **_TABLE, "pSecretNames": "A", "pSecretsArn": _SECRETS["pSecretsArn"]}

    assert refusal(chosen) == ""
    assert refusal({**chosen, name: value}) == f"{name} must be in the region of the stack"


def model_is_taken(region: str, **models: str) -> bool:
    chosen = {name: each.replace("us-east-1", region) for name, each in REQUIRED.items()}
    sentence = refusal({**chosen, **models}, region)
    assert "must be of the geography of the stack" in sentence or not sentence
    return not sentence


@pytest.mark.parametrize(
    ("prefix", "regions", "elsewhere"),
    [
        ("us.", ["us-east-1", "us-west-2", "ca-central-1"], ["eu-central-1", "us-gov-west-1"]),
        ("us-gov.", ["us-gov-west-1"], ["us-east-1"]),
        ("eu.", ["eu-central-1", "eu-west-3"], ["us-east-1", "ap-south-1"]),
        ("apac.", ["ap-south-1", "ap-southeast-2"], ["us-east-1", "eu-central-1"]),
        ("jp.", ["ap-northeast-1", "ap-northeast-3"], ["ap-southeast-2", "us-east-1"]),
        ("au.", ["ap-southeast-2", "ap-southeast-4"], ["ap-northeast-1", "eu-west-1"]),
        ("ca.", ["ca-central-1"], ["us-east-1"]),
        ("global.", ["us-east-1", "eu-central-1", "sa-east-1"], []),
        ("", ["us-east-1", "eu-central-1"], []),
    ],
)
def test_a_model_is_of_the_geography_of_the_stack(
    prefix: str, regions: list[str], elsewhere: list[str]
) -> None:
    """At least its part of the world; not each model has a profile in each of its regions.

    https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
    """
    model = f"{prefix}amazon.nova-lite-v1:0"

    taken = [region for region in (*regions, *elsewhere)
             if model_is_taken(region, pBedrockApplicationInferenceProfile=model)]  # fmt: skip
    as_fallback = [region for region in (*regions, *elsewhere)
                   if model_is_taken(region, pFallbackModelIdentifiers=f"openai:a, {model}",
                                     pBedrockApplicationInferenceProfile="global.a")]  # fmt: skip

    assert taken == as_fallback == regions


def test_a_profile_by_its_arn_is_of_the_region_of_the_stack() -> None:
    arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"

    assert model_is_taken("eu-central-1", pInferenceProfileSourceArn=arn)
    assert not model_is_taken("eu-west-1", pInferenceProfileSourceArn=arn)
    assert model_is_taken("eu-central-1", pBedrockApplicationInferenceProfile=arn)
    assert not model_is_taken("eu-west-1", pBedrockApplicationInferenceProfile=arn)


_BUS = "arn:aws:events:us-east-1:123456789012:event-bus/calls"
_TOPIC = "arn:aws:sns:us-east-1:123456789012:calls.fifo"
_PUT = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": [_BUS]}
_PUBLISH = {"Effect": "Allow", "Action": "sns:Publish", "Resource": [_TOPIC]}
_OTHER = "arn:aws:sns:us-east-1:123456789012:other"
_PUBLISH_BOTH = {**_PUBLISH, "Resource": [_TOPIC, _OTHER]}


@pytest.mark.parametrize(
    ("chosen", "permitted"),
    [
        ({}, []),
        ({"pEventBusArns": _BUS}, [_PUT]),
        ({"pEventTopicArns": f"{_TOPIC},{_OTHER}"}, [_PUBLISH_BOTH]),
        ({"pEventBusArns": _BUS, "pEventTopicArns": _TOPIC}, [_PUT, _PUBLISH]),
    ],
)
def test_a_task_may_send_events_to_what_is_named_only(
    chosen: dict[str, str], permitted: list[dict[str, Any]]
) -> None:
    stack = Stack(TEMPLATES, CLOUD, {**REQUIRED, **chosen}, PSEUDO)
    made, endpoints = stack.render()["Resources"], stack.nested("Endpoints").render()["Resources"]

    through = [
        {name: statement[name] for name in ("Effect", "Action", "Resource")}
        for each in endpoints.values()
        if each["Type"] == "AWS::EC2::VPCEndpoint"
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if str(statement["Action"]).startswith(("events:", "sns:"))
    ]
    policies = [each for each in made.values() if each["Type"] == "AWS::IAM::Policy"]
    given = [
        statement
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if str(statement["Action"]).startswith(("events:", "sns:"))
    ]
    assert given == through == permitted
