"""`receivers.toml`: who is told of what."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import UseCaseError
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule
from agent.usecases.receivers import load_receivers, read_receivers, receivers_of

CRM = {"url": "https://crm.example.com/hooks", "secret": "CRM_KEY"}
TOPIC = "arn:aws:sns:us-east-1:123456789012:calls.fifo"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_file_becomes_the_item_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "receivers.toml").write_text(
        '[receivers.crm]\nurl = "https://crm.example.com/hooks"\nsecret = "CRM_KEY"\n'
        'events = ["call.*"]\nuse_cases = ["hotel"]\npersonal_fields = true\n'
        '[receivers.bus]\nevent_bus = "default"\n'
    )

    item = load_receivers(tmp_path)

    crm, bus = receivers_of(item)
    assert item is not None
    assert (item["pk"], item["sk"]) == ("events", "receivers")
    assert (crm.name, crm.url, crm.personal_fields) == ("crm", CRM["url"], True)
    assert crm.wants_of("hotel", "call.ended")
    assert not crm.wants_of("bank", "call.ended")
    assert not crm.wants_of("hotel", "order.placed")
    assert (bus.event_bus, bus.personal_fields) == ("default", False)
    assert bus.wants_of("bank", "order.placed")


def test_without_a_file_there_is_no_item(tmp_path: Path) -> None:
    assert load_receivers(tmp_path) is None
    assert receivers_of(None) == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[receivers.crm]\n", "receivers.crm.url: must be set, or event_bus or topic"),
        (f'[receivers.crm]\nevent_bus = "b"\ntopic = "{TOPIC}"\n', "url: must be set, or"),
        (f'[receivers.crm]\nevent_bus = "{TOPIC}"\n', "crm.event_bus: must be the name or"),
        ('[receivers.crm]\ntopic = "calls"\n', "crm.topic: must be the ARN"),
        (f'[receivers.crm]\ntopic = "{TOPIC}"\nsecret = "A"\n', "secret: only a url has one"),
        ('[receivers.crm]\nurl = "ftp://a.example"\nsecret = "A"\n', "url: must be like https"),
        ('[receivers.crm]\nurl = "https://u:p@a.example"\nsecret = "A"\n', "url: must be like"),
        ('[receivers.crm]\nurl = "https://a.example:x"\nsecret = "A"\n', "url: is no URL"),
        ('[receivers.crm]\nurl = "https://a.example"\n', "secret: must name a variable"),
        ('[receivers.crm]\nevent_bus = "b"\nsecret = "A"\n', "secret: only a url has one"),
        ('[receivers.crm]\nevent_bus = "b"\nevents = ["call.begun"]\n', "no event 'call.begun'"),
        ('[receivers.crm]\nevent_bus = "b"\nname = "x"\n', "name: is not known"),
        ('[receivers.crm]\nevent_bus = "b"\nother = 1\n', "unknown field `other`"),
        ('[receivers."a b"]\nevent_bus = "b"\n', "receivers"),
        ("[crm]\n", "unknown field `crm`"),
        ("receivers", "receivers.toml: "),
        ("".join(f'[receivers.r{n}]\nevent_bus = "b"\n' for n in range(21)), "at most 20"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "receivers.toml").write_text(text)

    with pytest.raises(UseCaseError) as refused:
        load_receivers(tmp_path)

    assert str(refused.value).startswith("receivers.toml: ")
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_receiver_on_aws_tells_what_the_role_needs() -> None:
    bus, topic, crm = read_receivers({"bus": {"event_bus": "b"}, "t": {"topic": TOPIC}, "crm": CRM})

    assert [each.permission for each in (bus, topic, crm)] == [
        "events:PutEvents on b",
        f"sns:Publish on {TOPIC}",
        "",
    ]
    assert topic.fault(HostAllowlist.read(""), {}) == ""


@pytest.mark.parametrize(
    ("hosts", "secrets", "fault"),
    [
        ("crm.example.com", {"CRM_KEY": KEY}, ""),
        ("other.example.com", {"CRM_KEY": KEY}, "url: https://crm.example.com:443 is not in"),
        ("crm.example.com", {}, "secret: CRM_KEY is not in HTTP_TOOL_SECRETS"),
        ("crm.example.com", {"CRM_KEY@x.example.com": KEY}, "secret: CRM_KEY may not be used"),
        ("crm.example.com", {"CRM_KEY": ""}, "secret: CRM_KEY must be set, to whsec_"),
        ("crm.example.com", {"CRM_KEY": "whsec_?"}, "secret: CRM_KEY must be set, to whsec_"),
    ],
)
def test_hosts_and_secrets_are_those_that_the_operator_lists(
    hosts: str, secrets: dict[str, str], fault: str
) -> None:
    [receiver] = read_receivers({"crm": CRM})
    rules = tuple(map(SecretRule.read, secrets))
    known = Secret.read_all(rules, {rule.name: secrets[str(rule)] for rule in rules})

    found = receiver.fault(HostAllowlist.read(hosts), known)

    assert found.startswith(fault)
    assert bool(found) is bool(fault)
