"""Every environment variable of the service, read once into a frozen `Settings`.

The variables are contract section 4. A bad value stops start-up with one line that names the
variable; `python -m agent check --settings` lists them all with what they mean.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.call.text import whole_number
from agent.errors import AgentError
from agent.usecases.caller_identity import (
    ATTESTATIONS,
    is_email_address,
    is_number_prefix,
    is_telephone_number,
)
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ON_LOOPBACK = "127.0.0.1"
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_MODEL_ARN = re.compile(r"arn:aws[a-z-]*:(bedrock|sagemaker):[a-z0-9-]+:[0-9]*:[a-z-]+/.+")


class SettingsError(AgentError):
    """A variable has a value that cannot be used; one line that begins with its name."""


def _port(text: str) -> int:
    if (port := whole_number(text, 65_535)) is None:
        raise ValueError("must be a port number from 0 to 65535")
    return port


def _host(text: str) -> str:
    if text == "localhost":
        return text
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError as error:
        raise ValueError("must be localhost or an IP address; 0.0.0.0 is every one") from error


def _count(text: str) -> int:
    if not (count := whole_number(text, 100_000)):
        raise ValueError("must be a whole number from 1 to 100000")
    return count


def _days(text: str) -> int:
    if not (days := whole_number(text, 365)):
        raise ValueError("must be a whole number from 1 to 365")
    return days


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not least <= float(text) <= most:
            raise ValueError(f"must be seconds, from {least:g} to {most:g}")
        return float(text)

    return parse


def _limit(text: str) -> int:
    if (limit := whole_number(text, 1_000_000_000)) is None:
        raise ValueError("must be a whole number from 0 to 1000000000; 0 = no limit")
    return limit


def _queue(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,63}", text):
        raise ValueError("must be the name of a queue: letters, digits, spaces, at most 64")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be an IANA time zone, for example Europe/Zurich") from error


def _address(text: str) -> SplitResult:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError("must have no user name")
    if parts.port == 0:  # asking for a port that is none raises, too
        raise ValueError("must have a port that can be dialled")
    return parts


def _socket_url(text: str) -> str:
    parts = _address(text)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname or not text.endswith("/"):
        raise ValueError("must be wss://host/ (or ws://localhost:PORT/), with the final slash")
    if parts.query or parts.fragment:
        raise ValueError("must have neither a query nor a fragment")
    if parts.path.endswith("/conversation-relay/"):
        raise ValueError("is the base of the socket's address; leave out /conversation-relay/")
    return text


def _origin(text: str) -> str:
    parts = _address(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise ValueError("must be https://host (or http://localhost:PORT)")
    return text.rstrip("/")


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be https://host/path (or http://localhost:PORT/path)")
    return text


def _sid(prefix: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(f"{prefix}[A-Za-z0-9]{{1,64}}", text):
            raise ValueError(f"must be a SID that begins with {prefix}")
        return text

    return parse


def _secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(each.strip() for each in text.split(",") if each.strip())
    if not secrets or any(len(each) < 16 for each in secrets):
        raise ValueError("must be secrets of at least 16 characters, with commas between")
    return secrets


def _numbers(text: str) -> tuple[str, ...]:
    numbers = tuple(each.strip() for each in text.split(",") if each.strip())
    if not numbers or not all(map(is_number_prefix, numbers)):
        raise ValueError("must be numbers or their beginnings, +1555, with commas between")
    return numbers


def _number(text: str) -> str:
    if not is_telephone_number(text):
        raise ValueError("must be an E.164 number, +15550100000")
    return text


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text.lower()

    return parse


def _identifier(text: str) -> str:
    """A model: `offline:`, `openai:NAME`, or what Amazon Bedrock calls it."""
    scheme, colon, rest = text.partition(":")
    if scheme == "arn":
        if not _MODEL_ARN.fullmatch(text):
            raise ValueError("must be a whole ARN, arn:aws:bedrock:REGION:ACCOUNT:KIND/NAME")
    elif scheme == "openai" and colon:
        if not rest:
            raise ValueError("must name a model, openai:NAME")
    elif text != "offline:" and ((scheme.isalpha() and colon) or not _MODEL_ID.fullmatch(text)):
        raise ValueError("must be offline:, openai:NAME, or an id or ARN of Amazon Bedrock")
    return text


def _email(text: str) -> str:
    if not is_email_address(text):
        raise ValueError("must be an e-mail address, for example orders@example.com")
    return text


def _needs_region(identifier: str) -> bool:
    return not identifier.startswith(("offline:", "openai:"))


def _identifiers(text: str) -> tuple[str, ...]:
    return tuple(_identifier(each.strip()) for each in text.split(",") if each.strip())


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", text):
        raise ValueError("must be a name of letters, digits, dots, dashes and underscores")
    return text


def _secret_rules(text: str) -> tuple[SecretRule, ...]:
    return tuple(SecretRule.read(each.strip()) for each in text.split(",") if each.strip())


def _variable(
    names: str, default: object, meaning: str, parse: Callable[[str], object] = str
) -> Any:
    """A field read from the first of these variables that is set and not empty."""
    metadata = {"names": tuple(names.split()), "meaning": meaning, "parse": parse}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process was told by its environment."""

    port: int = _variable("PORT", 3000, "TwiML routes, WebSocket, health", _port)
    metrics_port: int = _variable("METRICS_PORT", 9090, "metrics; 0 switches it off", _port)
    host: str = _variable(
        "HOST",
        "",
        "address PORT is open on; unset = all if TWILIO_AUTH_TOKEN is set, otherwise 127.0.0.1",
        _host,
    )
    metrics_host: str = _variable(
        "METRICS_HOST", _ON_LOOPBACK, "address METRICS_PORT is open on", _host
    )
    ws_url: str = _variable(
        "WS_URL", "ws://localhost:3000/", "public WebSocket base, as Twilio dials it", _socket_url
    )
    public_url: str = _variable(
        "PUBLIC_URL", "", "public origin of the webhooks; unset = derived from WS_URL", _origin
    )
    table_name: str = _variable(
        "TABLE_NAME", "", "DynamoDB table; unset = the file at STORE_PATH", _name
    )
    store_path: Path = _variable(
        "STORE_PATH", Path(".agent/agent.db"), "file of the embedded store", Path
    )
    model_identifier: str = _variable(
        "MODEL_IDENTIFIER INFERENCE_PROFILE_ARN",
        "offline:",
        "model when the use case names none: offline:, openai:NAME, or a Bedrock id or ARN",
        _identifier,
    )
    fallback_model_identifiers: tuple[str, ...] = _variable(
        "FALLBACK_MODEL_IDENTIFIERS", (), "comma list, tried in order", _identifiers
    )
    openai_api_key: str = _variable(
        "OPENAI_API_KEY", "", "for openai: models; unset = the server wants none; secret"
    )
    openai_base_url: str = _variable(
        "OPENAI_BASE_URL", "", "server of openai: models; unset = OpenAI itself", _base_url
    )
    model_first_event_seconds: float = _variable(
        "MODEL_FIRST_EVENT_SECONDS",
        2.5,
        "longest wait for the first event of a reply, 0.5 to 60; then it is asked for again",
        _seconds(0.5, 60),
    )
    model_gap_seconds: float = _variable(
        "MODEL_GAP_SECONDS",
        4.0,
        "longest wait between two events of a reply, 0.5 to 60",
        _seconds(0.5, 60),
    )
    model_load_seconds: float = _variable(
        "MODEL_LOAD_SECONDS",
        60.0,
        "longest wait for a server at OPENAI_BASE_URL that loads the model first, 1 to 600",
        _seconds(1, 600),
    )
    aws_region: str = _variable(
        "AWS_REGION AWS_DEFAULT_REGION", "", "of Bedrock and DynamoDB; unset = the profile's"
    )
    aws_profile: str = _variable("AWS_PROFILE", "", "profile of the AWS configuration files")
    aws_config_file: Path = _variable(
        "AWS_CONFIG_FILE", Path("~/.aws/config"), "where profiles name their region", Path
    )
    aws_endpoint_url_dynamodb: str = _variable(
        "AWS_ENDPOINT_URL_DYNAMODB", "", "unset = the region's own", _base_url
    )
    aws_endpoint_url_bedrock_runtime: str = _variable(
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "", "unset = the region's own", _base_url
    )
    stack_use_case: str = _variable(
        "STACK_USE_CASE",
        "restaurantOrderingUseCase",
        "use case when the caller's profile names none",
        _name,
    )
    time_zone: ZoneInfo = _variable(
        "TIME_ZONE timeZone", ZoneInfo("UTC"), "IANA name, for dates and opening hours", _zone
    )
    twilio_account_sid: str = _variable(
        "TWILIO_ACCOUNT_SID", "", "calls of any other account are refused"
    )
    trusted_attestation: str = _variable(
        "TRUSTED_ATTESTATION",
        ATTESTATIONS[0],
        "whose number is believed (SHAKEN/STIR): failed = all whose validation has not failed;"
        " C, B or A = those attested so or better; others are strangers",
        _choice(*ATTESTATIONS),
    )
    twilio_auth_token: str = _variable(
        "TWILIO_AUTH_TOKEN", "", "turns signature checks on; secret", str
    )
    twilio_api_key_sid: str = _variable(
        "TWILIO_API_KEY_SID",
        "",
        "API key for requests to Twilio and access tokens; unset = the account's own token",
        _sid("SK"),
    )
    twilio_api_key_secret: str = _variable(
        "TWILIO_API_KEY_SECRET", "", "of that key, signs access tokens; secret"
    )
    sendgrid_api_key: str = _variable(
        "SENDGRID_API_KEY", "", "for e-mails; unset = none are offered; secret"
    )
    email_from_address: str = _variable(
        "EMAIL_FROM_ADDRESS TWILIO_EMAIL_FROM_ADDRESS", "", "sender of e-mails", _email
    )
    twilio_twiml_app_sid: str = _variable(
        "TWILIO_TWIML_APP_SID", "", "TwiML application that apps call", _sid("AP")
    )
    twilio_push_credential_sid: str = _variable(
        "TWILIO_PUSH_CREDENTIAL_SID",
        "",
        "push credential; unset = tokens do not let apps be called",
        _sid("CR"),
    )
    token_api_keys: tuple[str, ...] = _variable(
        "TOKEN_API_KEYS",
        (),
        "comma list of secrets that may ask for access tokens; unset = nobody; secret",
        _secrets,
    )
    twilio_api_url: str = _variable(
        "TWILIO_API_URL",
        "https://api.twilio.com",
        "Twilio's API, for calls that we make; another one for other regions",
        _origin,
    )
    outbound_numbers: tuple[str, ...] = _variable(
        "OUTBOUND_NUMBERS",
        (),
        "who may be called: comma list of numbers and of beginnings like +1555; unset = nobody",
        _numbers,
    )
    outbound_from: str = _variable(
        "OUTBOUND_FROM",
        "",
        "number of the account that calls are made from; also when an app's caller is handed over",
        _number,
    )
    dial_api_keys: tuple[str, ...] = _variable(
        "DIAL_API_KEYS",
        (),
        "comma list of secrets that may ask POST /dial; unset = nobody; secret",
        _secrets,
    )
    allow_unsigned_requests: bool = _variable(
        "ALLOW_UNSIGNED_REQUESTS",
        False,
        "serve a public WS_URL without TWILIO_AUTH_TOKEN",
        _switch,
    )
    http_tool_hosts: HostAllowlist = _variable(
        "HTTP_TOOL_HOSTS",
        HostAllowlist(),
        "hosts HTTP tools may talk to, a comma list: api.example.com, *.example.com:8443",
        HostAllowlist.read,
    )
    http_tool_secret_rules: tuple[SecretRule, ...] = _variable(
        "HTTP_TOOL_SECRETS",
        (),
        "variables whose values their headers may hold, and which host may have them, a comma list:"
        " NAME@api.example.com; NAME alone may go to every host",
        _secret_rules,
    )
    http_tool_secrets: Mapping[str, Secret] = field(
        default_factory=dict, repr=False, hash=False, metadata={"names": ()}
    )
    """The values of those, by name."""
    mcp_config: str = _variable(
        "MCP_CONFIG", "", "JSON file of MCP servers whose tools use cases may name; unset = none"
    )
    max_calls: int = _variable("MAX_CALLS", 100, "admission limit of this process", _count)
    drain_seconds: int = _variable(
        "DRAIN_SECONDS",
        110,
        "how long calls may take to be handed over after SIGTERM; less than the stop limit of"
        " whatever runs the process",
        _count,
    )
    log_level: str = _variable(
        "LOG_LEVEL",
        "info",
        "debug, info, warning or error",
        _choice("debug", "info", "warning", "error"),
    )
    log_format: str = _variable(
        "LOG_FORMAT",
        "",
        "json or console; unset = console on a terminal",
        _choice("json", "console"),
    )
    busy_sentence: str = _variable(
        "BUSY_SENTENCE",
        "",
        "what a caller too many hears; unset = asks to call again, or nothing if it goes elsewhere",
    )
    busy_redirect_url: str = _variable(
        "BUSY_REDIRECT_URL",
        "",
        "voice webhook where a call too many goes, for instance in another region",
        _base_url,
    )
    busy_queue: str = _variable(
        "BUSY_QUEUE", "", "Twilio queue where a call too many waits instead", _queue
    )
    busy_sms: str = _variable(
        "BUSY_SMS", "", "text message to a caller too many, once an hour; unset = none"
    )
    sms_numbers: tuple[str, ...] = _variable(
        "SMS_NUMBERS",
        (),
        "who may be texted: comma list of numbers and of beginnings like +1555; unset = numbers of"
        " the country of the number that sends",
        _numbers,
    )
    caller_calls_at_once: int = _variable(
        "CALLER_CALLS_AT_ONCE",
        3,
        "calls of one caller in this process at the same time; 0 = no limit",
        _limit,
    )
    caller_calls_per_hour: int = _variable(
        "CALLER_CALLS_PER_HOUR", 30, "calls of one caller in an hour; 0 = no limit", _limit
    )
    caller_tokens_per_day: int = _variable(
        "CALLER_TOKENS_PER_DAY",
        3_000_000,
        "tokens of all kinds that one caller's calls may cost in 24 hours; 0 = no limit",
        _limit,
    )
    task_protection: bool = _variable(
        "TASK_PROTECTION", False, "on ECS, keep scale-in away while there are calls", _switch
    )
    ecs_agent_uri: str = _variable("ECS_AGENT_URI", "", "set by ECS; unset = not on ECS")
    record_calls: bool = _variable(
        "RECORD_CALLS",
        False,
        "keep all that happens in calls, with the callers' words, to be shown and replayed",
        _switch,
    )
    record_days: int = _variable("RECORD_DAYS", 7, "how long such a record is kept", _days)
    prices_file: str = _variable(
        "PRICES_FILE", "", "prices of models, TOML; unset = configuration/prices.toml"
    )
    emf_metrics: bool = _variable(
        "EMF_METRICS",
        False,
        "write metrics for CloudWatch into the log, if its format is json",
        _switch,
    )
    log_personal_data: bool = _variable(
        "LOG_PERSONAL_DATA", False, "log what may be personal, in keys pii_...", _switch
    )

    @property
    def public_host(self) -> str | None:
        """The address `port` is open on; None = all of them."""
        return self.host or (None if self.twilio_auth_token else _ON_LOOPBACK)

    @property
    def origin(self) -> str:
        """Public origin of the webhooks, without a final slash."""
        if self.public_url:
            return self.public_url
        return re.sub(r"^ws", "http", self.ws_url).rstrip("/")

    @property
    def models(self) -> tuple[str, ...]:
        """The identifiers of the process, the first choice first."""
        return (self.model_identifier, *self.fallback_model_identifiers)

    @property
    def is_public(self) -> bool:
        """Others than this machine can reach the service."""
        return any(urlsplit(url).hostname not in _LOOPBACK for url in (self.ws_url, self.origin))

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check all variables.

        Raises:
            SettingsError: The first value that cannot be used, or a combination that is unsafe.
        """
        values: dict[str, object] = {}
        for one in fields(cls):
            for name in one.metadata["names"]:
                if text := environment.get(name, "").strip():
                    values[one.name] = _parsed(name, text, one.metadata["parse"])
                    break
        rules = cast("tuple[SecretRule, ...]", values.get("http_tool_secret_rules", ()))
        values["http_tool_secrets"] = {
            name: Secret(
                environment.get(name, "").strip(), tuple(one for one in rules if one.name == name)
            )
            for name in {rule.name for rule in rules}
        }
        settings = cls(**cast("dict[str, Any]", values))
        settings._check()
        return settings

    @classmethod
    def describe(cls) -> list[tuple[str, str, str]]:
        """Each variable with its default and its meaning; older names stand in its meaning."""
        rows = []
        for one in (each for each in fields(cls) if each.metadata["names"]):
            name, *older = one.metadata["names"]
            also = f" (older name: {', '.join(older)})" if older else ""
            default = "" if one.default == () else str(one.default)
            rows.append((name, default, one.metadata["meaning"] + also))
        return rows

    def _check(self) -> None:
        self._check_access()
        if self.is_public and not self.twilio_auth_token and not self.allow_unsigned_requests:
            raise SettingsError(
                "TWILIO_AUTH_TOKEN: must be set when WS_URL is public,"
                " or ALLOW_UNSIGNED_REQUESTS must be true"
            )
        has_credentials = self.twilio_auth_token or self.twilio_api_key_sid
        if self.outbound_numbers and not (self.twilio_account_sid and has_credentials):
            raise SettingsError(
                "TWILIO_ACCOUNT_SID: must be set for OUTBOUND_NUMBERS,"
                " with TWILIO_AUTH_TOKEN or an API key"
            )
        if self.busy_sms and not (self.twilio_account_sid and has_credentials):
            raise SettingsError(
                "TWILIO_ACCOUNT_SID: must be set for BUSY_SMS, with TWILIO_AUTH_TOKEN or an API key"
            )
        self._check_busy()
        if self.is_public and not self.ws_url.startswith("wss://"):
            raise SettingsError("WS_URL: a public address must be wss://")
        self._check_pairs()
        uses_openai = any(each.startswith("openai:") for each in self.models)
        if uses_openai and not self.openai_api_key and not self.openai_base_url:
            raise SettingsError("OPENAI_API_KEY: must be set, or OPENAI_BASE_URL, for openai:")
        knows_region = self.aws_region or self.aws_config_file.expanduser().is_file()
        if not knows_region and any(map(_needs_region, self.models)):
            raise SettingsError("AWS_REGION: must be set for a model of Amazon Bedrock")
        if not knows_region and self.table_name:
            raise SettingsError("AWS_REGION: must be set for TABLE_NAME, a table in DynamoDB")

    def _check_busy(self) -> None:
        """A call too many goes to one place, and not back to where it came from."""
        if self.busy_redirect_url and self.busy_queue:
            raise SettingsError("BUSY_QUEUE: must not be set together with BUSY_REDIRECT_URL")
        if self.busy_redirect_url.startswith(f"{self.origin}/"):
            raise SettingsError("BUSY_REDIRECT_URL: must not be an address of this service")

    def _check_pairs(self) -> None:
        """A credential without its other half would fail in the middle of a call."""
        pairs = (
            ("TWILIO_API_KEY_SID", self.twilio_api_key_sid),
            ("TWILIO_API_KEY_SECRET", self.twilio_api_key_secret),
            ("SENDGRID_API_KEY", self.sendgrid_api_key),
            ("EMAIL_FROM_ADDRESS", self.email_from_address),
        )
        for one, other in (pairs[:2], pairs[2:]):
            for (name, value), (counterpart, its_value) in ((one, other), (other, one)):
                if its_value and not value:
                    raise SettingsError(f"{name}: must be set together with {counterpart}")
        if self.twilio_api_key_sid and not self.twilio_account_sid:
            raise SettingsError("TWILIO_ACCOUNT_SID: must be set together with TWILIO_API_KEY_SID")

    def _check_access(self) -> None:
        """What belongs together for access tokens is there together, or not at all."""
        needed = {
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_API_KEY_SID": self.twilio_api_key_sid,
            "TWILIO_TWIML_APP_SID": self.twilio_twiml_app_sid,
        }
        wants_tokens = {
            "TWILIO_TWIML_APP_SID": self.twilio_twiml_app_sid,
            "TWILIO_PUSH_CREDENTIAL_SID": self.twilio_push_credential_sid,
            "TOKEN_API_KEYS": self.token_api_keys,
        }
        for reason in (name for name, value in wants_tokens.items() if value):
            for name in (name for name, value in needed.items() if not value):
                raise SettingsError(f"{name}: must be set for access tokens ({reason} is)")


def _parsed(name: str, text: str, parse: Callable[[str], object]) -> object:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def log_format_for(settings: Settings) -> str:
    """What was asked for; otherwise readable on a terminal, JSON elsewhere."""
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")
