"""The firewall of the cloud template, played with requests: what each rule blocks and counts."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

from tests.templates.loading import cloud

TEMPLATE = cloud()
RULES = {rule["Name"]: rule for rule in TEMPLATE["Resources"]["WebAcl"]["Properties"]["Rules"]}
SIGNATURE = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
FORM = "application/x-www-form-urlencoded"
INSPECTED_BYTES = 8_192
"""Of a body behind a load balancer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the firewall sees it."""

    path: str = "/twiml"
    headers: dict[str, str] = field(default_factory=lambda: {"x-twilio-signature": SIGNATURE})
    body_bytes: int = 300


def matches(statement: dict[str, Any], request: Request) -> bool:
    ((kind, said),) = statement.items()
    match kind:
        case "AndStatement":
            return all(matches(each, request) for each in said["Statements"])
        case "NotStatement":
            return not matches(said["Statement"], request)
        case "RateBasedStatement":
            return "ScopeDownStatement" not in said or matches(said["ScopeDownStatement"], request)
        case "SizeConstraintStatement":
            assert said["FieldToMatch"] == {"Body": {"OversizeHandling": "MATCH"}}
            assert said["ComparisonOperator"] == "GT" and said["Size"] <= INSPECTED_BYTES
            return bool(request.body_bytes > said["Size"])
        case "RegexMatchStatement":
            text = _text(said, request)
            return text is not None and re.search(said["RegexString"], text) is not None
        case "ByteMatchStatement":
            text, wanted = _text(said, request), said["SearchString"]
            is_exact = said["PositionalConstraint"] == "EXACTLY"
            return text is not None and (text == wanted if is_exact else wanted in text)
        case _:
            raise AssertionError(kind)


def _text(said: dict[str, Any], request: Request) -> str | None:
    """The part of a request that a statement looks at; None where it is missing."""
    match said["FieldToMatch"]:
        case {"UriPath": _}:
            text: str | None = request.path
        case {"SingleHeader": {"Name": name}}:
            text = request.headers.get(name)
        case other:
            raise AssertionError(other)
    for step in sorted(said["TextTransformations"], key=lambda one: int(one["Priority"])):
        match step["Type"], text:
            case "LOWERCASE", str(before):
                text = before.lower()
            case "URL_DECODE", str(before):
                text = unquote(before)
            case "NORMALIZE_PATH", str(before):
                text = posixpath.normpath(before)
            case _:
                pass
    return text


def blocked(request: Request) -> set[str]:
    return {
        name
        for name, rule in RULES.items()
        if "Action" in rule
        and "RateBasedStatement" not in rule["Statement"]
        and matches(rule["Statement"], request)
    }


def signed(content_type: str = FORM, path: str = "/twiml", body_bytes: int = 300) -> Request:
    headers = {"x-twilio-signature": SIGNATURE, "content-type": content_type}
    return Request(path, headers, body_bytes)


def test_every_rule_of_ours_blocks() -> None:
    ours = {name: rule["Action"] for name, rule in RULES.items() if "Action" in rule}

    assert set(ours) == {"rate", "unsigned-rate", "unsigned", "large-body", "other-charset"}
    assert all(action == {"Block": {}} for action in ours.values())


@pytest.mark.parametrize(
    "request_",
    [
        signed(f"{FORM}; charset=UTF-8"),
        signed(f"{FORM};charset=utf-8", "/twiml/action"),
        signed(f'{FORM}; charset="utf-8"', "/messages/status", 8_000),
        signed(path="/calls/status", body_bytes=8_192),
        Request("/", {"x-twilio-signature": SIGNATURE}, 0),
        Request("/conversation-relay", {"x-twilio-signature": SIGNATURE}, 0),
        Request("/health", {}, 0),
        Request("/token", {"content-type": "application/json"}, 40),
        Request("/token", {"content-type": "application/json; charset=utf-8"}, 40),
    ],
)
def test_what_twilio_and_apps_send_passes(request_: Request) -> None:
    assert blocked(request_) == set()


@pytest.mark.parametrize(
    "path", ["/twiml", "/", "/calls/status", "/health/", "/token/x", "/metrics"]
)
@pytest.mark.parametrize(
    "signature",
    [None, "", "x", "x" * 28, "é" * 27 + "=", SIGNATURE + "x", SIGNATURE[:-1], "A" * 5_000],
)  # fmt: skip
def test_a_request_without_anything_like_a_signature_is_blocked(
    path: str, signature: str | None
) -> None:
    """Whether it is right, the service checks; health has none, tokens have a secret."""
    headers = {} if signature is None else {"x-twilio-signature": signature}

    assert "unsigned" in blocked(Request(path, headers))


@pytest.mark.parametrize(
    "path",
    ["/twiml", "/twiml/action", "/twimlx", "/messages/status", "/calls/status", "/%74wiml",
     "/%74%77%69%6d%6c/action", "/twiml//action", "/x/../twiml", "/./calls"],
)  # fmt: skip
@pytest.mark.parametrize("body_bytes", [8_193, 64_000, 10_000_000])
def test_a_large_body_is_blocked_whatever_signature_comes_with_it(
    path: str, body_bytes: int
) -> None:
    assert blocked(signed(path=path, body_bytes=body_bytes)) == {"large-body"}


@pytest.mark.parametrize(
    "content_type",
    [
        *(f"{FORM}; charset={name}" for name in ("punycode", "idna", "utf-8punycode")),
        f"{FORM}; CharSet=UTF-7",
        f"{FORM};charset=utf-16",
        f"{FORM}; charset=utf-8; charset=punycode",
        f"{FORM}; charset=punycode; charset=utf-8",
        f"{FORM}; x=y; charset=idna",
        f"{FORM}; charset*=utf-8''punycode",
        f"{FORM}; charset*0=puny; charset*1=code",
        f"{FORM}; charset",
        "application/json; charset=latin-1",
    ],
)
@pytest.mark.parametrize("path", ["/twiml", "/messages/status", "/token"])
def test_other_charsets_are_blocked(content_type: str, path: str) -> None:
    assert "other-charset" in blocked(signed(content_type, path))


@pytest.mark.parametrize("path", ["/twiml", "/", "/token", "/health", "/twiml/action", "/x"])
@pytest.mark.parametrize(
    "headers", [{}, {"x-twilio-signature": "x"}, {"x-twilio-signature": SIGNATURE}]
)
def test_every_request_counts_for_the_rate_of_its_address(
    path: str, headers: dict[str, str]
) -> None:
    """Before any other rule lets it go or blocks it; no header exempts from it."""
    request = Request(path, headers)
    ordered = sorted(RULES.values(), key=lambda rule: int(rule["Priority"]))
    rates = [rule for rule in ordered if "RateBasedStatement" in rule["Statement"]]
    counting = {rule["Name"] for rule in rates if matches(rule["Statement"], request)}

    assert "rate" in counting
    assert ("unsigned-rate" in counting) == (path in {"/token", "/health"})
    assert rates[-1]["Priority"] < ordered[len(rates)]["Priority"]


def test_the_rate_is_high_enough_for_the_calls_that_the_tasks_take() -> None:
    """With the defaults: each task full of calls of two minutes, all from one address."""
    defaults = {name: one.get("Default") for name, one in TEMPLATE["Parameters"].items()}
    rate = RULES["rate"]["Statement"]["RateBasedStatement"]
    most = int(defaults["pMaxTasks"]) * int(defaults["pMaxCallsPerTask"])

    assert rate["AggregateKeyType"] == "IP"
    assert defaults["pRequestsPerAddress"] >= most * 2.5 * 4
