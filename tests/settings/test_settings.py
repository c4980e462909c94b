"""Every variable is read, checked and described; a bad one stops the start with one line."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.settings import Settings, SettingsError, log_format_for
from agent.settings.setting_types import OperatorKey
from agent.twilio.signature import Signatures
from agent.usecases.host_allowlist import HostAllowlist, HostRule, Secret, SecretRule

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:voice/twilio-auth-token-AbCdEf"
PUBLIC = {"WS_URL": "wss://voice.example.com/", "TWILIO_AUTH_TOKEN": "secret"}


TARGET_GROUP = (
    "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/voice/73e2d6bc24d8a067"
)
DEFAULTS = """
PORT=3000 METRICS_PORT=9090 METRICS_HOST=127.0.0.1 WS_URL=ws://localhost:3000/
ALLOW_UNSIGNED_REQUESTS=False STORE_PATH=.agent/agent.db MODEL_IDENTIFIER=offline:
MODEL_LOAD_SECONDS=60.0
AWS_CONFIG_FILE=~/.aws/config STACK_USE_CASE=restaurantOrderingUseCase TIME_ZONE=UTC TWILIO_API_URL=https://api.twilio.com
TRUSTED_ATTESTATION=failed MAX_CALLS=100 WEB_CONCURRENCY=1 DRAIN_SECONDS=100 CALLER_CALLS_AT_ONCE=3
CALLER_CALLS_PER_HOUR=30 CALLER_TOKENS_PER_DAY=3000000 CALL_TOKENS=2000000
OUTCOME_REQUESTS_PER_DAY=10000 OUTCOME_COST_PER_DAY=0.0 CALL_COST=0.0
TASK_PROTECTION=False LOG_LEVEL=info LOG_PERSONAL_DATA=False RECORD_CALLS=False RECORD_DAYS=7
RECORDING_DAYS=30 CALL_DAYS=1 ORDER_DAYS=7 EMF_METRICS=False
"""


def test_service_starts_without_any_variable() -> None:
    assert Settings.read({}) == Settings()
    defaults = [f"{it.name}={it.default}" for it in Settings.describe() if it.default]
    assert defaults == DEFAULTS.split()


LOCAL = "http://localhost:8080=127.0.0.0/8"
HOSTS = HostAllowlist(
    (
        HostRule("api.example.com", "https", "api.example.com", 443),
        HostRule(LOCAL, "http", "localhost", 8080, ip_network("127.0.0.0/8")),
    )
)
BOUND, UNBOUND = SecretRule("ORDERS_TOKEN", HostRule.read("api.example.com")), SecretRule("NOT_SET")
VARIABLES: dict[str, tuple[str, object]] = {
    "PORT": ("3001", 3001),
    "METRICS_PORT": ("0", 0),
    "HOST": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 (never bound)
    "METRICS_HOST": ("127.0.0.2", "127.0.0.2"),
    "WS_URL": ("wss://voice.example.com/", "wss://voice.example.com/"),
    "PUBLIC_URL": ("https://hooks.example.com/", "https://hooks.example.com"),
    "TABLE_NAME": ("demo-Conversation_1", "demo-Conversation_1"),
    "STORE_PATH": ("folder/agent.db", Path("folder/agent.db")),
    "MODEL_IDENTIFIER": ("us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"),
    "FALLBACK_MODEL_IDENTIFIERS": ("openai:gpt, offline:", ("openai:gpt", "offline:")),
    "OPENAI_API_KEY": ("key", "key"),
    "OPENAI_BASE_URL": ("http://localhost:8000/v1", "http://localhost:8000/v1"),
    "MODEL_FIRST_EVENT_SECONDS": ("5", 5.0),
    "MODEL_GAP_SECONDS": ("7.5", 7.5),
    "MODEL_REPLY_SECONDS": ("45", 45.0),
    "MODEL_HEDGE_SECONDS": ("0", 0.0),
    "MODEL_LOAD_SECONDS": ("120", 120.0),
    "AWS_REGION": ("us-east-1", "us-east-1"),
    "AWS_PROFILE": ("work", "work"),
    "AWS_CONFIG_FILE": ("folder/config", Path("folder/config")),
    "AWS_ENDPOINT_URL_DYNAMODB": ("http://localhost:8001", "http://localhost:8001"),
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": ("https://b.example.com", "https://b.example.com"),
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": ("https://s.example.com", "https://s.example.com"),
    "CONFIGURATION": ("configuration", Path("configuration")),
    "STACK_USE_CASE": ("albertEinsteinUseCase", "albertEinsteinUseCase"),
    "TIME_ZONE": ("Europe/Zurich", ZoneInfo("Europe/Zurich")),
    "TWILIO_ACCOUNT_SID": ("AC0", "AC0"),
    "TWILIO_AUTH_TOKEN": (" secret, second ", ("secret", "second")),
    "TWILIO_AUTH_TOKEN_SECRET_ARN": ("", ""),  # never together with a token
    "TWILIO_API_KEY_SID": ("SK0", "SK0"),
    "TWILIO_API_KEY_SECRET": ("key secret", "key secret"),
    "SENDGRID_API_KEY": ("SG.0", "SG.0"),
    "EMAIL_FROM_ADDRESS": ("orders@example.com", "orders@example.com"),
    "TWILIO_TWIML_APP_SID": ("AP0", "AP0"),
    "TWILIO_PUSH_CREDENTIAL_SID": ("CR0", "CR0"),
    "TOKEN_API_KEYS": (
        "a-secret-of-the-app, another-secret-1,",
        ("a-secret-of-the-app", "another-secret-1"),
    ),
    "PHONE_KEYS": ("a-key-of-the-phone-1", ("a-key-of-the-phone-1",)),
    "PHONE_VOICE_SDK": ("twilio.min.js", "twilio.min.js"),
    "TWILIO_API_URL": ("https://api.dublin.ie1.twilio.com/", "https://api.dublin.ie1.twilio.com"),
    "OUTBOUND_NUMBERS": ("+1555, +4144", ("+1555", "+4144")),
    "OUTBOUND_FROM": ("+15550100000", "+15550100000"),
    "DIAL_API_KEYS": ("a-secret-of-the-operator", ("a-secret-of-the-operator",)),
    "CONSOLE_API_KEYS": (
        "anna:act:a-secret-of-anna-1, wall:look:a-secret-of-the-wall",
        (
            OperatorKey("anna", may_act=True, secret="a-secret-of-anna-1"),
            OperatorKey("wall", may_act=False, secret="a-secret-of-the-wall"),
        ),
    ),
    "ALLOW_UNSIGNED_REQUESTS": ("TRUE", True),
    "HTTP_TOOL_HOSTS": (f"api.example.com, {LOCAL}", HOSTS),
    "HTTP_TOOL_SECRETS": ("ORDERS_TOKEN@api.example.com, NOT_SET", (BOUND, UNBOUND)),
    "MCP_CONFIG": ("mcp.json", "mcp.json"),
    "MAX_CALLS": ("7", 7),
    "WEB_CONCURRENCY": ("4", 4),
    "DRAIN_SECONDS": ("30", 30),
    "TARGET_GROUP_ARN": (TARGET_GROUP, TARGET_GROUP),
    "ECS_CONTAINER_METADATA_URI_V4": (
        "http://169.254.170.2/v4/0123",
        "http://169.254.170.2/v4/0123",
    ),
    "LOG_LEVEL": ("Debug", "debug"),
    "LOG_FORMAT": ("console", "console"),
    "BUSY_SENTENCE": ("Please hold.", "Please hold."),
    "BUSY_REDIRECT_URL": ("", ""),  # never together with a queue
    "BUSY_QUEUE": ("Front desk", "Front desk"),
    "BUSY_SMS": ("We will call you back.", "We will call you back."),
    "TRUSTED_ATTESTATION": ("B", "b"),
    "SMS_NUMBERS": ("+1, +41445550100", ("+1", "+41445550100")),
    "CALLER_CALLS_AT_ONCE": ("2", 2),
    "CALLER_CALLS_PER_HOUR": ("6", 6),
    "CALLER_TOKENS_PER_DAY": ("200000", 200_000),
    "CALL_TOKENS": ("500000", 500_000),
    "OUTCOME_REQUESTS_PER_DAY": ("0", 0),
    "OUTCOME_COST_PER_DAY": ("2.5", 2.5),
    "CALL_COST": ("0.75", 0.75),
    "TASK_PROTECTION": ("true", True),
    "ECS_AGENT_URI": ("http://169.254.170.2/api/0123", "http://169.254.170.2/api/0123"),
    "RECORD_CALLS": ("true", True),
    "RECORD_DAYS": ("30", 30),
    "CALL_DAYS": ("14", 14),
    "ORDER_DAYS": ("30", 30),
    "RECORDING_DAYS": ("0", 0),
    "PRICES_FILE": ("prices.toml", "prices.toml"),
    "EMF_METRICS": ("true", True),
    "LOG_PERSONAL_DATA": ("true", True),
}


def test_every_variable_is_read_into_the_field_of_its_name() -> None:
    environment = {name: text for name, (text, _) in VARIABLES.items()}

    settings = Settings.read({**environment, "ORDERS_TOKEN": " t0ken ", "OTHER_TOKEN": "other"})

    assert {row[0] for row in Settings.describe()} == VARIABLES.keys(), "users rely on the names"
    assert {name: getattr(settings, name.lower()) for name in VARIABLES} == {
        name: value for name, (_, value) in VARIABLES.items()
    }
    assert settings.secrets == {
        "ORDERS_TOKEN": Secret("t0ken", (BOUND,)),
        "NOT_SET": Secret("", (UNBOUND,)),
    }


BAD_VALUES = {
    "PORT": ["-1", "65536", "web", "\uff13\uff10\uff10\uff10"],
    "METRICS_PORT": ["1.5"],
    "HOST": ["voice.example.com", "127.0.0.1:3000"],
    "METRICS_HOST": ["*"],
    "WS_URL": [
        *("https://voice.example.com/", "wss:///", "wss://[voice/", "ws://voice.example.com/"),
        *(f"wss://voice.example.com{rest}" for rest in ("", "/?a=/", "/#/", ":port/", ":0/")),
        "wss://user:word@voice.example.com/",
        "wss://voice.example.com/conversation-relay/",
    ],
    "PUBLIC_URL": [
        *("voice.example.com", "https://", "https://voice.example.com?a"),
        *("https://user@voice.example.com", "https://voice.example.com:99999"),
    ],
    "TABLE_NAME": ["a table"],
    "AWS_ENDPOINT_URL_DYNAMODB": ["localhost:8001"],
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": ["localhost"],
    "MODEL_IDENTIFIER": ["openai:", "azure:gpt", "arn:aws:bedrock"],
    "FALLBACK_MODEL_IDENTIFIERS": ["offline:,azure:gpt"],
    "OPENAI_BASE_URL": ["localhost:8000"],
    "EMAIL_FROM_ADDRESS": ["orders", "Harbor Oven <orders@example.com>"],
    "CONFIGURATION": ["no/such/folder", "docs"],
    "STACK_USE_CASE": ["../secrets"],
    "TIME_ZONE": ["Mars/Olympus", "../etc/passwd"],
    "timeZone": ["Mars/Olympus"],
    "TWILIO_API_KEY_SID": ["AC0"],
    "TWILIO_TWIML_APP_SID": ["https://voice.example.com"],
    "TWILIO_PUSH_CREDENTIAL_SID": ["CR"],
    "TOKEN_API_KEYS": [",", "first-secret-of-the-app,short"],
    "PHONE_KEYS": [",", "short"],
    "TWILIO_API_URL": ["api.twilio.com"],
    "OUTBOUND_NUMBERS": ["*", "911", "+", ",", "+\u0661"],
    "OUTBOUND_FROM": ["client:ada", "+1\u0665\u0665\u06650100000", "+266696687"],
    "DIAL_API_KEYS": ["short"],
    "CONSOLE_API_KEYS": [
        *(",", "a-secret-of-anna-1", "anna:act:short", "anna:admin:a-secret-of-anna-1"),
        "anna:act:a-secret-of-anna-1,another-secret-without-name",
    ],
    "ALLOW_UNSIGNED_REQUESTS": ["yes"],
    "HTTP_TOOL_HOSTS": ["https://api.example.com/path", "api.example.com,169.254.169.254"],
    "HTTP_TOOL_SECRETS": [
        *("Bearer token", "ORDERS_TOKEN@", "@api.example.com"),
        "ORDERS_TOKEN@https://api.example.com/path",
    ],
    "MAX_CALLS": ["0", "100001", "\u0663", "9" * 5_000],
    "BUSY_REDIRECT_URL": ["voice.example.com/twiml", "https://voice.example.com/twiml"],
    "BUSY_QUEUE": ["<Queue>", "x" * 65],
    "CALLER_CALLS_PER_HOUR": ["-1"],
    "CALLER_CALLS_AT_ONCE": ["\u0663"],
    "SMS_NUMBERS": ["+", "*"],
    "TRUSTED_ATTESTATION": ["D"],
    "CALLER_TOKENS_PER_DAY": ["many", "1000000001"],
    "CALL_TOKENS": ["-1", "1.5"],
    "OUTCOME_REQUESTS_PER_DAY": ["-1", "1.5"],
    "OUTCOME_COST_PER_DAY": ["-1", "10001", "0,50"],
    "CALL_COST": ["-1", "10001", "0,50"],
    "LOG_LEVEL": ["loud"],
    "LOG_FORMAT": ["xml"],
    "TASK_PROTECTION": ["10"],
    "TARGET_GROUP_ARN": [
        "voice",
        "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/voice/73e2d6bc24d8a067",
    ],
    "RECORD_CALLS": ["1"],
    "MODEL_FIRST_EVENT_SECONDS": ["0.4"],
    "MODEL_GAP_SECONDS": ["-1"],
    "MODEL_REPLY_SECONDS": ["0", "601", "2.5"],
    "MODEL_HEDGE_SECONDS": ["61", "2.5"],
    "MODEL_LOAD_SECONDS": ["601", "nan", "1 minute"],
    "RECORD_DAYS": ["0", "366", "\u0967"],
    "CALL_DAYS": ["0", "366"],
    "ORDER_DAYS": ["0", "366"],
    "RECORDING_DAYS": ["-1", "3651"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_VALUES.items() for value in values]
)
def test_bad_value_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({**PUBLIC, name: value})

    line = str(caught.value)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line


_ACCESS = {
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_API_KEY_SID": "SK0",
    "TWILIO_API_KEY_SECRET": "signing",
    "TWILIO_TWIML_APP_SID": "AP0",
    "TOKEN_API_KEYS": "first-secret-of-the-app",
}
_KEY = {"TWILIO_ACCOUNT_SID": "AC0", "TWILIO_API_KEY_SID": "SK0", "TWILIO_API_KEY_SECRET": "x"}
_PAIR = "must be set together with [A-Z_]+$"
_OUTBOUND = "must be set for OUTBOUND"


def _without(given: Mapping[str, str], *names: str) -> list[tuple[Mapping[str, str], str]]:
    """These variables, each time without another one."""
    return [({key: given[key] for key in given if key != name}, name) for name in names]


@pytest.mark.parametrize(
    ("environment", "missing", "fault"),
    [
        *((given, name, _PAIR) for given, name in _without(_KEY, *_KEY)),
        ({"SENDGRID_API_KEY": "SG.0"}, "EMAIL_FROM_ADDRESS", _PAIR),
        ({"TWILIO_EMAIL_FROM_ADDRESS": "a@example.com"}, "SENDGRID_API_KEY", _PAIR),
        *(
            (given, name, "must be set")
            for given, name in _without(_ACCESS, *sorted(_ACCESS.keys() - {"TOKEN_API_KEYS"}))
        ),
        *(
            ({**account, "OUTBOUND_NUMBERS": "+1555"}, "TWILIO_ACCOUNT_SID", _OUTBOUND)
            for account in ({"TWILIO_AUTH_TOKEN": "secret"}, {"TWILIO_ACCOUNT_SID": "AC0"})
        ),
        (
            {"BUSY_REDIRECT_URL": "https://other.example.com/twiml", "BUSY_QUEUE": "desk"},
            "BUSY_QUEUE",
            "must not be set together with BUSY_REDIRECT_URL$",
        ),
        (
            {"BUSY_SMS": "We will call you back."},
            "TWILIO_ACCOUNT_SID",
            "must be set for BUSY_SMS, with TWILIO_AUTH_TOKEN or an API key$",
        ),
    ],
)
def test_variables_that_do_not_fit_together_stop_the_start(
    environment: Mapping[str, str], missing: str, fault: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^{missing}: {fault}"):
        Settings.read(environment)


@pytest.mark.parametrize(
    ("name", "older", "value", "read"),
    [
        ("TIME_ZONE", "timeZone", "Asia/Tokyo", "time_zone"),
        ("MODEL_IDENTIFIER", "INFERENCE_PROFILE_ARN", "amazon.nova-lite-v1:0", "model_identifier"),
        ("AWS_REGION", "AWS_DEFAULT_REGION", "eu-central-2", "aws_region"),
    ],
)
def test_older_name_is_read_where_the_new_one_is_not_set(
    name: str, older: str, value: str, read: str
) -> None:
    region = {"AWS_REGION": "us-east-1"} if name == "MODEL_IDENTIFIER" else {}

    alone = Settings.read({**region, older: value, name: ""})
    both = Settings.read({**region, older: "offline:", name: value})

    assert str(getattr(alone, read)) == str(getattr(both, read)) == value


@pytest.mark.parametrize(
    "environment", [{"WS_URL": PUBLIC["WS_URL"]}, {"PUBLIC_URL": "https://voice.example.com"}]
)
def test_public_service_without_a_token_is_refused(environment: Mapping[str, str]) -> None:
    """Unchecked requests are never served by mistake."""
    with pytest.raises(SettingsError, match=r"^TWILIO_AUTH_TOKEN: "):
        Settings.read(environment)

    served = {**environment, "WS_URL": "wss://voice.example.com/"}
    assert Settings.read({**served, "ALLOW_UNSIGNED_REQUESTS": "true"}).is_public
    assert Settings.read({**served, "TWILIO_AUTH_TOKEN": "secret"}).is_public
    assert Settings.read({**served, "TWILIO_AUTH_TOKEN_SECRET_ARN": ARN}).is_public


@pytest.mark.parametrize("arn", [ARN, f"{ARN}:token::"])
def test_token_is_in_the_environment_or_in_a_secret(arn: str) -> None:
    settings = Settings.read({"TWILIO_AUTH_TOKEN_SECRET_ARN": arn})

    assert (settings.twilio_auth_token_secret_arn, settings.public_host) == (arn, None)
    with pytest.raises(SettingsError, match=r"^TWILIO_AUTH_TOKEN: must not be set together with "):
        Settings.read({"TWILIO_AUTH_TOKEN": "a", "TWILIO_AUTH_TOKEN_SECRET_ARN": arn})


@pytest.mark.parametrize("arn", ["voice/token", ARN[:-20] + " x", f"{ARN}:token", f"{ARN}:::"])
def test_what_is_no_arn_of_a_secret_is_told_once(arn: str) -> None:
    """A public service does not also miss the token."""
    with pytest.raises(SettingsError) as caught:
        Settings.read({"WS_URL": PUBLIC["WS_URL"], "TWILIO_AUTH_TOKEN_SECRET_ARN": arn})

    assert str(caught.value) == (
        "TWILIO_AUTH_TOKEN_SECRET_ARN: must be the ARN of a secret, or ARN:KEY:: for a key of its"
        " JSON object"
    )


def test_calls_are_made_with_the_token_or_a_key_of_the_account() -> None:
    """A key is not for access tokens alone; without their secrets `/token` refuses all."""
    for given in ({"TWILIO_ACCOUNT_SID": "AC0", "TWILIO_AUTH_TOKEN": "secret"}, _KEY, _ACCESS):
        assert Settings.read({**given, "OUTBOUND_NUMBERS": "+1555"}).outbound_numbers == ("+1555",)


def test_call_above_the_limit_may_go_to_another_region() -> None:
    url = "https://eu.example.com/twiml"

    assert Settings.read({**PUBLIC, "BUSY_REDIRECT_URL": url}).busy_redirect_url == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_service_on_this_machine_needs_no_token(host: str) -> None:
    assert not Settings.read({"WS_URL": f"ws://{host}:3000/"}).is_public


@pytest.mark.parametrize(
    ("ws_url", "origin"),
    [
        ("wss://voice.example.com/", "https://voice.example.com"),
        ("wss://voice.example.com:8443/", "https://voice.example.com:8443"),
        ("ws://localhost:3000/", "http://localhost:3000"),
    ],
)
def test_origin_follows_from_the_socket(ws_url: str, origin: str) -> None:
    """One public address is enough; signatures can be checked with both."""
    settings = Settings.read({"WS_URL": ws_url, "TWILIO_AUTH_TOKEN": "secret"})

    assert settings.origin == origin
    Signatures(settings.origin, settings.ws_url)  # raises no error


@pytest.mark.parametrize(
    ("environment", "hosts"),
    [
        ({}, ("127.0.0.1", "127.0.0.1")),
        ({"TWILIO_AUTH_TOKEN": "t"}, (None, "127.0.0.1")),
        ({"HOST": "0.0.0.0"}, ("0.0.0.0", "127.0.0.1")),  # noqa: S104 (never bound)
        ({"HOST": "::1", "TWILIO_AUTH_TOKEN": "t"}, ("::1", "127.0.0.1")),
        ({"HOST": "localhost", "METRICS_HOST": "[::]"}, ("localhost", "::")),
        (
            {"ALLOW_UNSIGNED_REQUESTS": "true", "WS_URL": "wss://voice.example.com/"},
            ("127.0.0.1", "127.0.0.1"),
        ),
    ],
)
def test_ports_are_open_on_loopback_unless_told_otherwise(
    environment: Mapping[str, str], hosts: tuple[str | None, str]
) -> None:
    """The public port is open on all addresses where each request has to be signed."""
    settings = Settings.read(environment)

    assert (settings.public_host, settings.metrics_host) == hosts


def test_every_setting_is_described() -> None:
    rows = Settings.describe()

    assert [it.name for it in rows] == [names[0] for names in Settings.variables().values()]
    assert all(it.name.isupper() and it.meaning and it.group and it.kind for it in rows)
    assert ("PORT", "Network", "port", "3000", "TwiML routes, WebSocket, health") in rows
    assert any("older name: timeZone" in it.meaning for it in rows)
    groups = [it.group for it in rows]
    assert len([*groupby(groups)]) == len({*groups}), "a group is in one piece"


def test_all_faults_are_told_at_once() -> None:
    """One line for each variable; none that only follows from another one of them."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(
            {"PORT": "web", "TWILIO_API_KEY_SID": "AC0", "TWILIO_API_KEY_SECRET": "x",
             "FALLBACK_MODEL_IDENTIFIERS": "openai:", "PUBLIC_URL": "https://voice.example.com"}
        )  # fmt: skip

    assert str(caught.value).splitlines() == [
        "PORT: must be a port number from 0 to 65535",
        "FALLBACK_MODEL_IDENTIFIERS: must name a model, openai:NAME",
        "TWILIO_API_KEY_SID: must be a SID that begins with SK",
        "TWILIO_AUTH_TOKEN: must be set when WS_URL is public, or TWILIO_AUTH_TOKEN_SECRET_ARN,"
        " unless ALLOW_UNSIGNED_REQUESTS is true",
        "WS_URL: a public address must be wss://",
    ]


@pytest.mark.parametrize(
    "value",
    ["AC...", "SK...", "sk-...", "...", "+1555...", "wss://your-host.example.com/", "<key>"],
)
def test_placeholder_is_never_taken_for_a_value(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^TWILIO_AUTH_TOKEN: is still a placeholder"):
        Settings.read({"TWILIO_AUTH_TOKEN": value})


def test_sentence_may_end_in_dots() -> None:
    assert Settings.read({"BUSY_SENTENCE": "One moment..."}).busy_sentence == "One moment..."


@pytest.mark.parametrize(
    ("identifier", "meant"),
    [
        ("gpt-4o", "openai:gpt-4o?"),
        ("gpt-4.1-mini", "openai:gpt-4.1-mini?"),
        ("o3", "openai:o3?"),
        ("claude-3-haiku-20240307", "us.anthropic.claude-3-haiku-20240307-v1:0?"),
        ("llama3", "openai:llama3, with OPENAI_BASE_URL?"),
        ("mistral:7b", "openai:mistral:7b, with OPENAI_BASE_URL?"),
    ],
)
def test_model_without_its_provider_is_asked_about(identifier: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=r"^MODEL_IDENTIFIER: ") as caught:
        Settings.read({"MODEL_IDENTIFIER": identifier, "AWS_REGION": "us-east-1"})

    assert str(caught.value).endswith(meant)


@pytest.mark.parametrize(
    "identifier",
    [
        *("amazon.nova-lite-v1:0", "openai.gpt-oss-20b-1:0", "us.anthropic.claude-sonnet-4-v1:0"),
        *("mistral.mistral-7b-instruct-v0:2", "deepseek.r1-v1:0", "qwen.qwen3-32b-v1:0"),
    ],
)
def test_ids_of_bedrock_are_not_asked_about(identifier: str) -> None:
    settings = Settings.read({"MODEL_IDENTIFIER": identifier, "AWS_REGION": "us-east-1"})

    assert settings.model_identifier == identifier


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MODEL_IDENTIFER", "MODEL_IDENTIFIER"),
        ("twilio_auth_token", "TWILIO_AUTH_TOKEN"),
        ("TWILIO_API_KEY", "TWILIO_API_KEY_SID"),
        ("OPENAI_BASEURL", "OPENAI_BASE_URL"),
    ],
)
def test_variable_that_is_nearly_one_of_ours_is_named(name: str, meant: str) -> None:
    """Not if the right one is set as well."""
    assert Settings.misspelled({name: "x"}) == [f"{name}: is not read; did you mean {meant}?"]
    assert Settings.misspelled({name: "x", meant: "x"}) == []


def test_variables_of_others_are_left_alone() -> None:
    """Such as those of a shell, a container, Compose and the AWS command line."""
    others = (
        "HOME HOSTNAME PATH PORTS USER TERM LANG LOGNAME TZ COLUMNS AWS_ACCESS_KEY_ID"
        " AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_SHARED_CREDENTIALS_FILE"
        " AWS_EC2_METADATA_DISABLED AWS_DEFAULT_PROFILE ECS_CONTAINER_METADATA_URI_V4"
        " OTEL_SERVICE_NAME OPENAI_ORG_ID COMPOSE_PROFILES PYTHON_DOTENV_DISABLED GRAFANA_PORT"
    )

    assert Settings.misspelled(dict.fromkeys(others.split(), "x")) == []


def test_log_is_json_without_a_terminal() -> None:
    assert log_format_for(Settings()) == "json"
    assert log_format_for(Settings(log_format="console")) == "console"


@pytest.mark.parametrize(
    "environment", [{"TABLE_NAME": "table"}, {"MODEL_IDENTIFIER": "amazon.nova-lite-v1:0"}]
)
def test_services_of_aws_need_a_region(environment: Mapping[str, str], tmp_path: Path) -> None:
    profiles = tmp_path / "config"
    nowhere = {"AWS_CONFIG_FILE": str(profiles)}
    with pytest.raises(SettingsError, match=r"^AWS_REGION: must be set for ") as caught:
        Settings.read({**nowhere, **environment})
    profiles.touch()

    assert "\n" not in str(caught.value)
    assert Settings.read({**nowhere, **environment}).aws_region == ""
    assert Settings.read({"AWS_REGION": "eu-central-2", **environment}).is_public is False
