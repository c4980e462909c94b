"""The types of settings: how the text of a variable is read, and what may be in it.

A type is `Annotated[type, parse, label]`. `parse` raises `ValueError` with what the text must be;
the label is for the list of settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.call.spoken_address import is_email_address
from agent.usecases.caller_identity import (
    ATTESTATIONS,
    is_number_prefix,
    is_telephone_number,
)
from agent.usecases.folders import configuration_folder
from agent.usecases.host_allowlist import HostAllowlist, SecretRule
from agent.usecases.model_times import LONGEST_REPLY_SECONDS
from agent.usecases.spending import MOST_COST

_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_MODEL_ARN = re.compile(r"arn:aws[a-z-]*:(bedrock|sagemaker):[a-z0-9-]+:[0-9]*:[a-z-]+/.+")

_OPENAI = re.compile(r"(chat)?gpt-|o[1-9](-|$)")
_CLAUDE = re.compile(r"claude-")
_OPEN = re.compile(r"(deepseek|gemma|llama|mistral|phi|qwen|smollm)(?![a-z]*\.)")
_PLACEHOLDER = re.compile(r"\S{0,5}\.\.\.|.*your-host\.example\.com.*|<.*>")

_OPERATOR_KEY = re.compile(r"([A-Za-z0-9._@-]{1,60}):(look|act):([^\s:,]{16,})")

_Parse = Callable[[str], Any]


class Variable(NamedTuple):
    """A variable, for the list of settings."""

    name: str
    group: str
    kind: str
    default: str
    meaning: str  # names older variables, too


class OperatorKey(NamedTuple):
    """Whose key of the console it is, and whether they may act on calls."""

    name: str
    may_act: bool
    secret: str

    @classmethod
    def read(cls, text: str) -> OperatorKey:
        """`NAME:look:SECRET` or `NAME:act:SECRET`; `ValueError` for anything else."""
        found = _OPERATOR_KEY.fullmatch(text)
        if not found:
            raise ValueError("must be NAME:look:SECRET or NAME:act:SECRET, 16 characters or more")
        return cls(found[1], found[2] == "act", found[3])

    def __repr__(self) -> str:
        return f"OperatorKey({self.name})"


def parsed(text: str, hint: Any) -> object:
    """The value of a variable of this type; `ValueError` says what it must be."""
    if _PLACEHOLDER.fullmatch(text):
        raise ValueError("is still a placeholder; set the real value, or unset it")
    parse: _Parse = hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint
    return parse(text)


def label(hint: Any) -> str:
    """A word or two for this type."""
    if hasattr(hint, "__metadata__"):
        return str(hint.__metadata__[1])
    return "path" if hint is Path else "text"


def _valid(is_valid: Callable[[str], object], wanted: str) -> _Parse:
    def parse(text: str) -> str:
        if not is_valid(text):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def _matching(pattern: str, wanted: str) -> _Parse:
    return _valid(re.compile(pattern).fullmatch, wanted)


def _between(least: float, most: float, wanted: str) -> _Parse:
    is_whole = isinstance(least, int)
    pattern = re.compile(r"[0-9]{1,10}" if is_whole else r"[0-9]{1,10}(\.[0-9]{1,10})?")

    def parse(text: str) -> float:
        if not pattern.fullmatch(text) or not least <= float(text) <= most:
            raise ValueError(f"must be {wanted} from {least:g} to {most}")
        return int(text) if is_whole else float(text)

    return parse


def _choice(*allowed: str) -> _Parse:
    parse = _valid(lambda text: text in allowed, f"one of {', '.join(allowed)}")
    return lambda text: parse(text.lower())


def _split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _some(is_valid: Callable[[str], object], wanted: str) -> _Parse:
    """A comma-separated list that is not empty."""

    def parse(text: str) -> tuple[str, ...]:
        found = _split(text)
        if not found or not all(map(is_valid, found)):
            raise ValueError(f"must be {wanted}, with commas between")
        return tuple(found)

    return parse


def _host(text: str) -> str:
    if text == "localhost":
        return text
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError as error:
        raise ValueError("must be localhost or an IP address; 0.0.0.0 means all") from error


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be an IANA time zone, for example Europe/Zurich") from error


def _url(text: str, schemes: set[str], wanted: str) -> SplitResult:
    parts = urlsplit(text)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must be {wanted}")
    return parts


def _public_url(text: str, schemes: set[str], wanted: str) -> SplitResult:
    parts = _url(text, schemes, wanted)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must have neither user name nor query nor fragment")
    if parts.port == 0:  # reading an invalid port raises ValueError, too
        raise ValueError("must have a port from 1 to 65535")
    return parts


def _socket_url(text: str) -> str:
    parts = _public_url(text, {"ws", "wss"}, "wss://host/, or ws://localhost:PORT/")
    if not text.endswith("/"):
        raise ValueError("must have a final slash")
    if parts.path.endswith("/conversation-relay/"):
        raise ValueError("is the base of the socket's address; leave out /conversation-relay/")
    return text


def _origin(text: str) -> str:
    _public_url(text, {"http", "https"}, "https://host, or http://localhost:PORT")
    return text.rstrip("/")


def _base_url(text: str) -> str:
    _url(text, {"http", "https"}, "https://host/path, or http://localhost:PORT/path")
    return text


def _nearly_model(text: str) -> str:
    """What is meant by the name of a well-known model without its provider; perhaps nothing."""
    if _OPENAI.match(text):
        return f"openai:{text}"
    if _CLAUDE.match(text):
        return f"the id of Bedrock, such as us.anthropic.{text}-v1:0"
    return f"openai:{text}, with OPENAI_BASE_URL" if _OPEN.match(text) else ""


def _model(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if scheme == "arn":
        if not _MODEL_ARN.fullmatch(text):
            raise ValueError("must be a whole ARN, arn:aws:bedrock:REGION:ACCOUNT:KIND/NAME")
    elif scheme == "openai" and colon:
        if not rest:
            raise ValueError("must name a model, openai:NAME")
    elif nearly := _nearly_model(text):
        raise ValueError(f"is no id of Amazon Bedrock; did you mean {nearly}?")
    elif text != "offline:" and ((scheme.isalpha() and colon) or not _MODEL_ID.fullmatch(text)):
        raise ValueError("must be offline:, openai:NAME, or an id or ARN of Amazon Bedrock")
    return text


Count = Annotated[int, _between(1, 100_000, "a whole number"), "whole number, 1-100000"]
DaysOrNone = Annotated[int, _between(0, 3_650, "a whole number"), "whole number, 0-3650; 0 = never"]
Days = Annotated[int, _between(1, 365, "a whole number"), "whole number, 1-365"]
Limit = Annotated[int, _between(0, 1_000_000_000, "a whole number (0 = no limit)"), "whole number"]
Amount = Annotated[float, _between(0.0, MOST_COST, "an amount (0 = no limit)"), "amount of money"]
Port = Annotated[int, _between(0, 65_535, "a port number"), "port"]
Seconds = Annotated[float | None, _between(0.5, 300, "seconds"), "seconds, 0.5-300"]
ReplySeconds = Annotated[
    float | None, _between(1.0, LONGEST_REPLY_SECONDS, "seconds"), "seconds, 1-600"
]
HedgeSeconds = Annotated[float | None, _between(0.0, 60, "seconds"), "seconds, 0-60"]
LoadSeconds = Annotated[float, _between(1.0, 600, "seconds"), "seconds, 1-600"]
Flag = Annotated[bool, lambda text: _choice("true", "false")(text) == "true", "true or false"]
Level = Annotated[
    str, _choice("debug", "info", "warning", "error"), "debug, info, warning or error"
]
Format = Annotated[str, _choice("json", "console"), "json or console"]
Attestation = Annotated[str, _choice(*ATTESTATIONS), "failed, C, B or A"]
Name = Annotated[
    str, _matching("[A-Za-z0-9_.-]{1,255}", "of letters, digits, '.', '-' and '_'"), "name"
]
Queue = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_. -]{0,63}", "the name of a queue"), "name"]
ApiKeySid = Annotated[
    str, _matching("SK[A-Za-z0-9]{1,64}", "a SID that begins with SK"), "SID (SK)"
]
AppSid = Annotated[str, _matching("AP[A-Za-z0-9]{1,64}", "a SID that begins with AP"), "SID (AP)"]
PushSid = Annotated[str, _matching("CR[A-Za-z0-9]{1,64}", "a SID that begins with CR"), "SID (CR)"]
TargetGroup = Annotated[
    str,
    _matching(
        "arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]*:targetgroup/[A-Za-z0-9/-]+",
        "arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID",
    ),
    "ARN",
]
Number = Annotated[
    str, _valid(is_telephone_number, "an E.164 number, for example +15550100000"), "E.164 number"
]
Numbers = Annotated[
    tuple[str, ...], _some(is_number_prefix, "numbers or prefixes like +1555"), "list of numbers"
]
Email = Annotated[
    str, _valid(is_email_address, "an e-mail address such as orders@example.com"), "e-mail address"
]
Secrets = Annotated[
    tuple[str, ...],
    _some(lambda it: len(it) > 15, "secrets of 16 or more characters"),
    "list of secrets",
]
OperatorKeys = Annotated[
    tuple[OperatorKey, ...],
    lambda text: tuple(map(OperatorKey.read, _split(text) or [""])),
    "list of secrets",
]
AuthTokenList = Annotated[tuple[str, ...], _some(bool, "tokens"), "list of secrets"]
SecretArn = Annotated[
    str,
    _matching(
        r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[^:\s]+(:[^:]+::)?",
        "the ARN of a secret, or ARN:KEY:: for a key of its JSON object",
    ),
    "ARN",
]
Folder = Annotated[Path, configuration_folder, "folder"]
Host = Annotated[str, _host, "address"]
SocketUrl = Annotated[str, _socket_url, "WebSocket URL"]
Origin = Annotated[str, _origin, "origin"]
Url = Annotated[str, _base_url, "URL"]
Model = Annotated[str, _model, "model"]
Models = Annotated[tuple[str, ...], lambda text: tuple(map(_model, _split(text))), "list of models"]
Zone = Annotated[ZoneInfo, _zone, "IANA name"]
Hosts = Annotated[HostAllowlist, HostAllowlist.read, "list of hosts"]
SecretRules = Annotated[
    tuple[SecretRule, ...],
    lambda text: tuple(map(SecretRule.read, _split(text))),
    "list of variables",
]
