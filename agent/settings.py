"""Every environment variable of the service, read once into a frozen `Settings`.

The type of a field says how its variable is read: `Annotated[type, parse]`, where `parse` takes the
text and raises `ValueError` with what it must be. A bad value stops the start with one line that
names the variable.

Rejected: pydantic-settings, on top of which older names, comma lists and one-line errors take 470
lines, and whose import takes another 0.1 to 0.3 s (version 2.16).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent import SHIPPED_CONFIGURATION
from agent.errors import AgentError
from agent.usecases.caller_identity import (
    ATTESTATIONS,
    is_email_address,
    is_number_prefix,
    is_telephone_number,
)
from agent.usecases.folders import configuration_folder
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule

_OFF = False
_LOOPBACK = "127.0.0.1"
_LOCAL_HOSTS = {"localhost", _LOOPBACK, "::1"}
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_MODEL_ARN = re.compile(r"arn:aws[a-z-]*:(bedrock|sagemaker):[a-z0-9-]+:[0-9]*:[a-z-]+/.+")

_Parse = Callable[[str], Any]


class SettingsError(AgentError):
    """A variable has a value that cannot be used; one line that begins with its name."""


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


def _model(text: str) -> str:
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


_Count = Annotated[int, _between(1, 100_000, "a whole number")]
_Days = Annotated[int, _between(1, 365, "a whole number")]
_Limit = Annotated[int, _between(0, 1_000_000_000, "a whole number (0 = no limit)")]
_Port = Annotated[int, _between(0, 65_535, "a port number")]
_Seconds = Annotated[float, _between(0.5, 60, "seconds")]
_LoadSeconds = Annotated[float, _between(1.0, 600, "seconds")]
_Flag = Annotated[bool, lambda text: _choice("true", "false")(text) == "true"]
_Level = Annotated[str, _choice("debug", "info", "warning", "error")]
_Format = Annotated[str, _choice("json", "console")]
_Attestation = Annotated[str, _choice(*ATTESTATIONS)]
_Name = Annotated[str, _matching("[A-Za-z0-9_.-]{1,255}", "of letters, digits, '.', '-' and '_'")]
_Queue = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_. -]{0,63}", "the name of a queue")]
_ApiKeySid = Annotated[str, _matching("SK[A-Za-z0-9]{1,64}", "a SID that begins with SK")]
_AppSid = Annotated[str, _matching("AP[A-Za-z0-9]{1,64}", "a SID that begins with AP")]
_PushSid = Annotated[str, _matching("CR[A-Za-z0-9]{1,64}", "a SID that begins with CR")]
_Number = Annotated[str, _valid(is_telephone_number, "an E.164 number, for example +15550100000")]
_Numbers = Annotated[tuple[str, ...], _some(is_number_prefix, "numbers or prefixes like +1555")]
_Email = Annotated[str, _valid(is_email_address, "an e-mail address such as orders@example.com")]
_Secrets = Annotated[
    tuple[str, ...], _some(lambda it: len(it) > 15, "secrets of 16 or more characters")
]
_Host = Annotated[str, _host]
_SocketUrl = Annotated[str, _socket_url]
_Origin = Annotated[str, _origin]
_Url = Annotated[str, _base_url]
_Model = Annotated[str, _model]
_Models = Annotated[tuple[str, ...], lambda text: tuple(map(_model, _split(text)))]
_Zone = Annotated[ZoneInfo, _zone]
_Hosts = Annotated[HostAllowlist, HostAllowlist.read]
_SecretRules = Annotated[
    tuple[SecretRule, ...], lambda text: tuple(map(SecretRule.read, _split(text)))
]


_KEY, _SECRET, _APP = "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET", "TWILIO_TWIML_APP_SID"
_MAIL, _SENDER = "SENDGRID_API_KEY", "EMAIL_FROM_ADDRESS"
_REQUIREMENTS = (
    *(
        (reason, name, f"for access tokens ({reason} is)")
        for reason in (_APP, "TWILIO_PUSH_CREDENTIAL_SID", "TOKEN_API_KEYS")
        for name in ("TWILIO_ACCOUNT_SID", _KEY, _APP)
    ),
    *(
        (reason, name, f"together with {reason}")
        for reason, name in ((_KEY, _SECRET), (_SECRET, _KEY), (_MAIL, _SENDER), (_SENDER, _MAIL))
    ),
    (_KEY, "TWILIO_ACCOUNT_SID", f"together with {_KEY}"),
)
"""If the first variable is set, the second must be set, and why."""


def _env(default: object, meaning: str, older: str = "") -> Any:
    """A field that is read from the variable of its name, or from an older name of it."""
    return field(default=default, metadata={"older": older, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of the process."""

    port: _Port = _env(3000, "TwiML routes, WebSocket, health")
    metrics_port: _Port = _env(9090, "metrics; 0 switches it off")
    host: _Host = _env("", "address of PORT; unset = all with TWILIO_AUTH_TOKEN, else 127.0.0.1")
    metrics_host: _Host = _env(_LOOPBACK, "address of METRICS_PORT")
    ws_url: _SocketUrl = _env("ws://localhost:3000/", "public WebSocket base, as Twilio dials it")
    public_url: _Origin = _env("", "public origin of the webhooks; unset = derived from WS_URL")
    table_name: _Name = _env("", "DynamoDB table; unset = the file at STORE_PATH")
    store_path: Path = _env(Path(".agent/agent.db"), "file of the embedded store")
    model_identifier: _Model = _env(
        "offline:",
        "model if the use case names none: offline:, openai:NAME, or a Bedrock id or ARN",
        "INFERENCE_PROFILE_ARN",
    )
    fallback_model_identifiers: _Models = _env((), "comma list of models, tried in order")
    openai_api_key: str = _env("", "for openai: models; unset = the server wants none; secret")
    openai_base_url: _Url = _env("", "server of openai: models; unset = OpenAI itself")
    model_first_event_seconds: _Seconds = _env(2.5, "wait for a reply to begin, then retry; 0.5-60")
    model_gap_seconds: _Seconds = _env(4.0, "wait between two events of a reply; 0.5-60")
    model_load_seconds: _LoadSeconds = _env(60.0, "wait if OPENAI_BASE_URL loads a model; 1-600")
    aws_region: str = _env("", "for Bedrock, DynamoDB; unset = the profile's", "AWS_DEFAULT_REGION")
    aws_profile: str = _env("", "profile of the AWS configuration files")
    aws_config_file: Path = _env(Path("~/.aws/config"), "where profiles name their region")
    aws_endpoint_url_dynamodb: _Url = _env("", "endpoint of DynamoDB; unset = the region's own")
    aws_endpoint_url_bedrock_runtime: _Url = _env("", "endpoint of Bedrock; unset = the region's")
    configuration: Annotated[Path, configuration_folder] = _env(
        SHIPPED_CONFIGURATION,
        "folder with use-cases/, profiles/ and tools/; unset = the shipped one",
    )
    stack_use_case: _Name = _env(
        "restaurantOrderingUseCase", "default for callers without a use case"
    )
    time_zone: _Zone = _env(ZoneInfo("UTC"), "IANA name, for dates and opening hours", "timeZone")
    twilio_account_sid: str = _env("", "calls of any other account are refused")
    trusted_attestation: _Attestation = _env(
        ATTESTATIONS[0],
        "whose number is accepted (SHAKEN/STIR): failed = all whose validation has not failed;"
        " C, B or A = those attested so or better; others are unknown callers",
    )
    twilio_auth_token: str = _env("", "turns signature checks on; secret")
    twilio_api_key_sid: _ApiKeySid = _env("", "API key for requests to Twilio and access tokens")
    twilio_api_key_secret: str = _env("", "of that key, signs access tokens; secret")
    sendgrid_api_key: str = _env("", "for e-mails; unset = none are offered; secret")
    email_from_address: _Email = _env("", "sender of e-mails", "TWILIO_EMAIL_FROM_ADDRESS")
    twilio_twiml_app_sid: _AppSid = _env("", "TwiML application that apps call")
    twilio_push_credential_sid: _PushSid = _env(
        "", "push credential for calls to apps; unset = none"
    )
    token_api_keys: _Secrets = _env((), "comma list for POST /token; unset = no tokens; secret")
    twilio_api_url: _Origin = _env("https://api.twilio.com", "Twilio's API, or that of a region")
    outbound_numbers: _Numbers = _env((), "numbers or prefixes, +1555, to call; unset = none")
    outbound_from: _Number = _env("", "number for outbound calls and transfers of app callers")
    dial_api_keys: _Secrets = _env((), "comma list for POST /dial; unset = no calls; secret")
    allow_unsigned_requests: _Flag = _env(_OFF, "serve a public WS_URL without TWILIO_AUTH_TOKEN")
    http_tool_hosts: _Hosts = _env(
        HostAllowlist(), "comma list of hosts for HTTP tools: api.example.com, *.example.com:8443"
    )
    http_tool_secrets: _SecretRules = _env(
        (),
        "comma list of variables whose values headers of HTTP tools may hold, and of their hosts:"
        " NAME@api.example.com; NAME alone may go to every host",
    )
    secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False, hash=False)
    """The values of those variables, by name."""
    mcp_config: str = _env("", "JSON file of MCP servers with tools for use cases; unset = none")
    max_calls: _Count = _env(100, "admission limit of this process")
    drain_seconds: _Count = _env(110, "limit for calls after SIGTERM; below the platform's limit")
    log_level: _Level = _env("info", "debug, info, warning or error")
    log_format: _Format = _env("", "json or console; unset = console on a terminal")
    busy_sentence: str = _env("", "said above MAX_CALLS; unset = the built-in sentence")
    busy_redirect_url: _Url = _env("", "voice webhook elsewhere for calls above MAX_CALLS")
    busy_queue: _Queue = _env("", "Twilio queue for calls above MAX_CALLS")
    busy_sms: str = _env("", "SMS to a caller above MAX_CALLS, once an hour; unset = none")
    sms_numbers: _Numbers = _env((), "numbers or prefixes for SMS; unset = the sender's country")
    caller_calls_at_once: _Limit = _env(3, "concurrent calls of one caller; 0 = no limit")
    caller_calls_per_hour: _Limit = _env(30, "calls of one caller in an hour; 0 = no limit")
    caller_tokens_per_day: _Limit = _env(3_000_000, "model tokens per caller; 0 = no limit")
    task_protection: _Flag = _env(_OFF, "on ECS, prevent scale-in while there are calls")
    ecs_agent_uri: str = _env("", "set by ECS; unset = not on ECS")
    record_calls: _Flag = _env(_OFF, "record calls, with all words, for show and replay")
    record_days: _Days = _env(7, "days until a recorded call is deleted")
    prices_file: str = _env("", "prices of models, TOML; unset = prices.toml of CONFIGURATION")
    emf_metrics: _Flag = _env(_OFF, "write CloudWatch metrics into the log, if it is JSON")
    log_personal_data: _Flag = _env(_OFF, "log personal data, in keys pii_...")

    @property
    def public_host(self) -> str | None:
        """The address `port` is open on; None = all."""
        return self.host or (None if self.twilio_auth_token else _LOOPBACK)

    @property
    def origin(self) -> str:
        """Public origin of the webhooks, without a final slash."""
        return self.public_url or re.sub(r"^ws", "http", self.ws_url).rstrip("/")

    @property
    def models(self) -> tuple[str, ...]:
        """The model identifiers of the process, the first choice first."""
        return (self.model_identifier, *self.fallback_model_identifiers)

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the service."""
        return any(urlsplit(url).hostname not in _LOCAL_HOSTS for url in (self.ws_url, self.origin))

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read all variables; `SettingsError` for a value or a combination that cannot be used."""
        hints, values = get_type_hints(cls, include_extras=True), dict[str, Any]()
        for one, names in cls.variables().items():
            for name in names:
                if text := environment.get(name, "").strip():
                    values[one] = _parsed(name, text, hints[one])
                    break
        values["secrets"] = Secret.read_all(values.get("http_tool_secrets", ()), environment)
        settings = cls(**values)
        for problem in settings._problems():
            raise SettingsError(problem)
        return settings

    @classmethod
    def variables(cls) -> dict[str, list[str]]:
        """By field: its variables. The first that is set and not empty is read."""
        read = (each for each in fields(cls) if each.metadata)
        return {it.name: [it.name.upper(), *it.metadata["older"].split()] for it in read}

    @classmethod
    def describe(cls) -> list[tuple[str, str, str]]:
        """Each variable with its default and its meaning, which names older variables."""
        rows, by_name = [], {each.name: each for each in fields(cls)}
        for one, (name, *older) in cls.variables().items():
            also = f" (older name: {', '.join(older)})" if older else ""
            default = by_name[one].default
            shown = "" if default in {(), SHIPPED_CONFIGURATION} else str(default)
            rows.append((name, shown, by_name[one].metadata["meaning"] + also))
        return rows

    def _problems(self) -> Iterator[str]:
        """Combinations that are unsafe, or would fail during a call."""
        value = {names[0]: getattr(self, one) for one, names in self.variables().items()}
        for reason, name, why in _REQUIREMENTS:
            if value[reason] and not value[name]:
                yield f"{name}: must be set {why}"
        has_key = self.twilio_auth_token or self.twilio_api_key_sid
        for reason in ("OUTBOUND_NUMBERS", "BUSY_SMS"):
            if value[reason] and not (self.twilio_account_sid and has_key):
                with_key = "with TWILIO_AUTH_TOKEN or an API key"
                yield f"TWILIO_ACCOUNT_SID: must be set for {reason}, {with_key}"
        yield from self._network_problems()
        yield from self._model_problems()

    def _network_problems(self) -> Iterator[str]:
        if self.is_public and not (self.twilio_auth_token or self.allow_unsigned_requests):
            unless = "unless ALLOW_UNSIGNED_REQUESTS is true"
            yield f"TWILIO_AUTH_TOKEN: must be set when WS_URL is public, {unless}"
        if self.is_public and not self.ws_url.startswith("wss://"):
            yield "WS_URL: a public address must be wss://"
        if self.busy_redirect_url and self.busy_queue:
            yield "BUSY_QUEUE: must not be set together with BUSY_REDIRECT_URL"
        if self.busy_redirect_url.startswith(f"{self.origin}/"):
            yield "BUSY_REDIRECT_URL: must not be an address of this service"

    def _model_problems(self) -> Iterator[str]:
        uses_openai = any(each.startswith("openai:") for each in self.models)
        if uses_openai and not (self.openai_api_key or self.openai_base_url):
            yield "OPENAI_API_KEY: must be set, or OPENAI_BASE_URL, for openai:"
        uses_bedrock = not all(each.startswith(("offline:", "openai:")) for each in self.models)
        if not (self.aws_region or self.aws_config_file.expanduser().is_file()):
            if uses_bedrock:
                yield "AWS_REGION: must be set for a model of Amazon Bedrock"
            if self.table_name:
                yield "AWS_REGION: must be set for TABLE_NAME, a table in DynamoDB"


def _parsed(name: str, text: str, hint: Any) -> object:
    parse: _Parse = hint.__metadata__[0] if hasattr(hint, "__metadata__") else hint
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def log_format_for(settings: Settings) -> str:
    """`LOG_FORMAT`; if it is not set, console on a terminal and JSON elsewhere."""
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")
