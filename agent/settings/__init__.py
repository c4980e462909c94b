"""Every environment variable of the service, read once into a frozen `Settings`.

The type of a field says how its variable is read: see `agent.settings.setting_types`. Bad values
stop the start, with one line for each that names the variable.

Rejected: pydantic-settings, on top of which older names, comma lists and one-line errors take 470
lines, and whose import takes another 0.1 to 0.3 s (version 2.16).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from agent import SHIPPED_CONFIGURATION
from agent.errors import AgentError
from agent.settings import setting_types as kinds
from agent.usecases.caller_identity import ATTESTATIONS
from agent.usecases.host_allowlist import HostAllowlist, Secret
from agent.usecases.model_times import ModelTimes, time_limits
from agent.usecases.spending import SpendingLimits

_OFF = False
_LOOPBACK = "127.0.0.1"
_LOCAL_HOSTS = {"localhost", _LOOPBACK, "::1"}
_NAME = re.compile(r"[A-Z][A-Z_]+")


class SettingsError(AgentError):
    """Variables have values that cannot be used; for each a line that begins with its name."""


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


_GROUPS = {
    "port": "Network",
    "table_name": "Table",
    "model_identifier": "Models",
    "aws_region": "AWS",
    "configuration": "Use cases and tools",
    "twilio_account_sid": "Twilio",
    "sendgrid_api_key": "Messages and outbound calls",
    "max_calls": "Limits",
    "log_level": "Observability",
}
"""By the first field of a group: the title of the group."""


def _env(default: object, meaning: str, older: str = "") -> Any:
    """A field that is read from the variable of its name, or from an older name of it."""
    return field(default=default, metadata={"older": older, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of the process."""

    port: kinds.Port = _env(3000, "TwiML routes, WebSocket, health")
    metrics_port: kinds.Port = _env(9090, "metrics; 0 switches it off")
    host: kinds.Host = _env(
        "", "address of PORT; unset = all with an auth token of Twilio, else 127.0.0.1"
    )
    metrics_host: kinds.Host = _env(_LOOPBACK, "address of METRICS_PORT")
    ws_url: kinds.SocketUrl = _env(
        "ws://localhost:3000/", "public WebSocket base, as Twilio dials it"
    )
    public_url: kinds.Origin = _env(
        "", "public origin of the webhooks; unset = derived from WS_URL"
    )
    allow_unsigned_requests: kinds.Flag = _env(
        _OFF, "serve a public WS_URL without an auth token of Twilio"
    )
    table_name: kinds.Name = _env("", "DynamoDB table; unset = the file at STORE_PATH")
    store_path: Path = _env(Path(".agent/agent.db"), "file of the embedded store")
    model_identifier: kinds.Model = _env(
        "offline:",
        "model if the use case names none: offline:, openai:NAME, or a Bedrock id or ARN",
        "INFERENCE_PROFILE_ARN",
    )
    fallback_model_identifiers: kinds.Models = _env((), "comma list of models, tried in order")
    openai_api_key: str = _env("", "for openai: models; unset = the server wants none; secret")
    openai_base_url: kinds.Url = _env("", "server of openai: models; unset = OpenAI itself")
    model_first_event_seconds: kinds.Seconds = _env(
        None, "wait for a reply to begin, then retry; unset = 2.5, of a server on this machine 30"
    )
    model_gap_seconds: kinds.Seconds = _env(
        None, "wait between two events of a reply; unset = 4, of a server on this machine 10"
    )
    model_reply_seconds: kinds.ReplySeconds = _env(
        None, "longest whole reply; unset = 20, of a server on this machine 90"
    )
    model_hedge_seconds: kinds.HedgeSeconds = _env(
        None,
        "second request beside a late one after this at the latest, 0 = none; unset = 1.5, of a"
        " server on this machine 0",
    )
    model_load_seconds: kinds.LoadSeconds = _env(60.0, "wait if OPENAI_BASE_URL loads a model")
    prices_file: str = _env("", "prices of models, TOML; unset = prices.toml of CONFIGURATION")
    aws_region: str = _env("", "for Bedrock, DynamoDB; unset = the profile's", "AWS_DEFAULT_REGION")
    aws_profile: str = _env("", "profile of the AWS configuration files")
    aws_config_file: Path = _env(Path("~/.aws/config"), "where profiles name their region")
    aws_endpoint_url_dynamodb: kinds.Url = _env(
        "", "endpoint of DynamoDB; unset = the region's own"
    )
    aws_endpoint_url_bedrock_runtime: kinds.Url = _env(
        "", "endpoint of Bedrock; unset = the region's"
    )
    aws_endpoint_url_secrets_manager: kinds.Url = _env(
        "", "endpoint of Secrets Manager; unset = the region's"
    )
    configuration: kinds.Folder = _env(
        SHIPPED_CONFIGURATION,
        "folder with use-cases/, profiles/ and tools/; unset = the shipped one",
    )
    stack_use_case: kinds.Name = _env(
        "restaurantOrderingUseCase", "default for callers without a use case"
    )
    time_zone: kinds.Zone = _env(
        ZoneInfo("UTC"), "IANA name, for dates and opening hours", "timeZone"
    )
    http_tool_hosts: kinds.Hosts = _env(
        HostAllowlist(),
        "comma list of hosts for HTTP tools and events: api.example.com, *.example.com:8443",
    )
    http_tool_secrets: kinds.SecretRules = _env(
        (),
        "comma list of variables whose values headers of HTTP tools may hold, and of their hosts:"
        " NAME@api.example.com; NAME alone may go to every host",
    )
    secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False, hash=False)
    """The values of those variables, by name."""
    mcp_config: str = _env(
        "", "JSON file of MCP servers with tools for use cases, or the JSON itself; unset = none"
    )
    twilio_account_sid: str = _env("", "calls of any other account are refused")
    twilio_auth_token: kinds.AuthTokenList = _env(
        (),
        "turns signature checks on; a comma list while tokens are rotated: all are accepted, the"
        " first one first for requests; secret",
    )
    twilio_auth_token_secret_arn: kinds.SecretArn = _env(
        "",
        "instead: AWS Secrets Manager secret with the token, ARN or ARN:KEY::; its current, pending"
        " and previous version are accepted and read again every few minutes",
    )
    twilio_api_key_sid: kinds.ApiKeySid = _env(
        "", "API key for requests to Twilio and access tokens"
    )
    twilio_api_key_secret: str = _env("", "of that key, signs access tokens; secret")
    twilio_api_url: kinds.Origin = _env(
        "https://api.twilio.com", "Twilio's API, or that of a region"
    )
    trusted_attestation: kinds.Attestation = _env(
        ATTESTATIONS[0],
        "whose number is accepted (SHAKEN/STIR): failed = all whose validation has not failed;"
        " C, B or A = those attested so or better; others are unknown callers",
    )
    twilio_twiml_app_sid: kinds.AppSid = _env("", "TwiML application that apps call")
    twilio_push_credential_sid: kinds.PushSid = _env(
        "", "push credential for calls to apps; unset = none"
    )
    token_api_keys: kinds.Secrets = _env(
        (), "comma list for POST /token; unset = no tokens; secret"
    )
    phone_keys: kinds.Secrets = _env(
        (),
        "comma list of passwords for /phone; unset = none is asked for, and /phone is served only"
        " if WS_URL is not public; secret",
    )
    phone_voice_sdk: str = _env(
        "", "file of Twilio's Voice SDK, twilio.min.js, for /phone/twilio; unset = no such page"
    )
    sendgrid_api_key: str = _env("", "for e-mails; unset = none are offered; secret")
    email_from_address: kinds.Email = _env("", "sender of e-mails", "TWILIO_EMAIL_FROM_ADDRESS")
    sms_numbers: kinds.Numbers = _env(
        (), "numbers or prefixes for SMS; unset = the sender's country"
    )
    outbound_numbers: kinds.Numbers = _env((), "numbers or prefixes, +1555, to call; unset = none")
    outbound_from: kinds.Number = _env("", "number for outbound calls and transfers of app callers")
    dial_api_keys: kinds.Secrets = _env(
        (), "comma list for POST /dial, /drain; unset = no calls; secret"
    )
    console_api_keys: kinds.OperatorKeys = _env(
        (), "comma list of NAME:look:SECRET, NAME:act:SECRET for /console; secret"
    )
    max_calls: kinds.Count = _env(100, "admission limit of this process")
    web_concurrency: kinds.Count = _env(
        1, "processes that share the ports, each on a core and with MAX_CALLS"
    )
    drain_seconds: kinds.Count = _env(
        100, "from SIGTERM to the exit at most; 20 below the limit of the platform"
    )
    target_group_arn: kinds.TargetGroup = _env(
        "", "on ECS, drain when the load balancer deregisters this task from it; unset = at SIGTERM"
    )
    ecs_container_metadata_uri_v4: str = _env("", "set by ECS; unset = not on ECS")
    busy_sentence: str = _env("", "said above MAX_CALLS; unset = the built-in sentence")
    busy_redirect_url: kinds.Url = _env("", "voice webhook elsewhere for calls above MAX_CALLS")
    busy_queue: kinds.Queue = _env("", "Twilio queue for calls above MAX_CALLS")
    busy_sms: str = _env("", "SMS to a caller above MAX_CALLS, once an hour; unset = none")
    caller_calls_at_once: kinds.Limit = _env(3, "concurrent calls of one caller; 0 = no limit")
    caller_calls_per_hour: kinds.Limit = _env(30, "calls of one caller in an hour; 0 = no limit")
    caller_tokens_per_day: kinds.Limit = _env(3_000_000, "model tokens per caller; 0 = no limit")
    call_tokens: kinds.Limit = _env(2_000_000, "model tokens in one call; 0 = no limit")
    outcome_requests_per_day: kinds.Limit = _env(
        10_000, "requests of a process to models for outcomes of calls in a day; 0 = none"
    )
    outcome_cost_per_day: kinds.Amount = _env(
        0.0, "what these may cost in a day, in the currency of the prices; 0 = no limit"
    )
    call_cost: kinds.Amount = _env(
        0.0,
        "most that the models of one call may cost, in the currency of PRICES_FILE; 0 = no limit",
    )
    task_protection: kinds.Flag = _env(_OFF, "on ECS, prevent scale-in while there are calls")
    ecs_agent_uri: str = _env("", "set by ECS; unset = not on ECS")
    log_level: kinds.Level = _env("info", "the least that is logged")
    log_format: kinds.Format = _env("", "unset = console on a terminal, else json")
    log_personal_data: kinds.Flag = _env(_OFF, "log personal data, in keys pii_...")
    record_calls: kinds.Flag = _env(_OFF, "record calls, with all words, for show and replay")
    record_days: kinds.Days = _env(7, "days until a recorded call is deleted")
    recording_days: kinds.DaysOrNone = _env(30, "days until Twilio's recording is deleted")
    call_days: kinds.Days = _env(1, "days until the words of a call and its listing are deleted")
    order_days: kinds.Days = _env(7, "days until an order, or a booking that is over, is deleted")
    emf_metrics: kinds.Flag = _env(_OFF, "write CloudWatch metrics into the log, if it is JSON")

    @property
    def public_host(self) -> str | None:
        """The address `port` is open on; None = all."""
        return self.host or (None if self.has_auth_token else _LOOPBACK)

    @property
    def has_auth_token(self) -> bool:
        """Whether signatures can be verified."""
        return bool(self.twilio_auth_token or self.twilio_auth_token_secret_arn)

    @property
    def origin(self) -> str:
        """Public origin of the webhooks, without a final slash."""
        return self.public_url or re.sub(r"^ws", "http", self.ws_url).rstrip("/")

    @property
    def models(self) -> tuple[str, ...]:
        """The model identifiers of the process, the first choice first."""
        return (self.model_identifier, *self.fallback_model_identifiers)

    @property
    def model_times(self) -> ModelTimes:
        """The time limits of models that are set."""
        return ModelTimes(
            self.model_first_event_seconds,
            self.model_gap_seconds,
            self.model_reply_seconds,
            self.model_hedge_seconds,
        )

    @property
    def spending(self) -> SpendingLimits:
        """What one call may spend, unless its use case says otherwise."""
        return SpendingLimits(self.call_tokens, self.call_cost)

    @property
    def call_seconds(self) -> int:
        """`CALL_DAYS` in seconds."""
        return self.call_days * 86_400

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach the service."""
        return any(urlsplit(url).hostname not in _LOCAL_HOSTS for url in (self.ws_url, self.origin))

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read all variables; `SettingsError` for values or combinations that cannot be used."""
        hints, values = get_type_hints(cls, include_extras=True), dict[str, Any]()
        faults = dict[str, str]()
        for one, names in cls.variables().items():
            name = next((each for each in names if environment.get(each, "").strip()), "")
            if name:
                try:
                    values[one] = kinds.parsed(environment[name].strip(), hints[one])
                except ValueError as error:
                    faults[name] = f"{name}: {error}"
        values["secrets"] = Secret.read_all(values.get("http_tool_secrets", ()), environment)
        settings, bad = cls(**values), set(faults)
        for problem in settings._problems():
            if not bad.intersection(_NAME.findall(problem)):
                faults.setdefault(problem.partition(":")[0], problem)
        if faults:
            raise SettingsError("\n".join(faults.values()))
        return settings

    @classmethod
    def misspelled(cls, environment: Mapping[str, str]) -> list[str]:
        """A line for each variable that is not read, but is nearly the name of one that is."""
        known = [name for names in cls.variables().values() for name in names]
        absent = [name for name in known if len(name) > 7 and not environment.get(name)]
        return [
            f"{name}: is not read; did you mean {close[0]}?"
            for name in sorted(environment.keys() - known)
            if (close := get_close_matches(name.upper(), absent, n=1, cutoff=0.85))
        ]

    @classmethod
    def variables(cls) -> dict[str, list[str]]:
        """By field: its variables. The first that is set and not empty is read."""
        read = (each for each in fields(cls) if each.metadata)
        return {it.name: [it.name.upper(), *it.metadata["older"].split()] for it in read}

    @classmethod
    def describe(cls) -> list[kinds.Variable]:
        """Each variable, in groups."""
        rows, group, by_name = list[kinds.Variable](), "", {each.name: each for each in fields(cls)}
        hints = get_type_hints(cls, include_extras=True)
        for one, (name, *older) in cls.variables().items():
            group, kind = _GROUPS.get(one, group), kinds.label(hints[one])
            also = f" (older name: {', '.join(older)})" if older else ""
            default = by_name[one].default
            shown = "" if default in {(), None, SHIPPED_CONFIGURATION} else str(default)
            meaning = by_name[one].metadata["meaning"] + also
            rows.append(kinds.Variable(name, group, kind, shown, meaning))
        return rows

    def _problems(self) -> Iterator[str]:
        """Combinations that are unsafe, or would fail during a call."""
        value = {names[0]: getattr(self, one) for one, names in self.variables().items()}
        for reason, name, why in _REQUIREMENTS:
            if value[reason] and not value[name]:
                yield f"{name}: must be set {why}"
        has_key = self.has_auth_token or self.twilio_api_key_sid
        for reason in ("OUTBOUND_NUMBERS", "BUSY_SMS"):
            if value[reason] and not (self.twilio_account_sid and has_key):
                with_key = "with TWILIO_AUTH_TOKEN or an API key"
                yield f"TWILIO_ACCOUNT_SID: must be set for {reason}, {with_key}"
        yield from self._network_problems()
        yield from self._model_problems()

    def _network_problems(self) -> Iterator[str]:
        if self.is_public and not (self.has_auth_token or self.allow_unsigned_requests):
            unless = "unless ALLOW_UNSIGNED_REQUESTS is true"
            yield (
                "TWILIO_AUTH_TOKEN: must be set when WS_URL is public,"
                f" or TWILIO_AUTH_TOKEN_SECRET_ARN, {unless}"
            )
        if self.twilio_auth_token and self.twilio_auth_token_secret_arn:
            yield "TWILIO_AUTH_TOKEN: must not be set together with TWILIO_AUTH_TOKEN_SECRET_ARN"
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
        url = self.openai_base_url if uses_openai else ""
        for name, wanted in time_limits(self.model_times, url).contradictions():
            yield f"MODEL_{name.upper()}_SECONDS: {wanted}"
        uses_bedrock = not all(each.startswith(("offline:", "openai:")) for each in self.models)
        if not (self.aws_region or os.access(self.aws_config_file.expanduser(), os.R_OK)):
            if uses_bedrock:
                yield "AWS_REGION: must be set for a model of Amazon Bedrock"
            if self.table_name:
                yield "AWS_REGION: must be set for TABLE_NAME, a table in DynamoDB"


def log_format_for(settings: Settings) -> str:
    """`LOG_FORMAT`; if it is not set, console on a terminal and JSON elsewhere."""
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")


def embedded_service_for(settings: Settings) -> str:
    """The host of `WS_URL`, which names the service in CloudWatch; empty = no metrics for it."""
    is_written = settings.emf_metrics and log_format_for(settings) == "json"
    return urlsplit(settings.ws_url).netloc if is_written else ""
