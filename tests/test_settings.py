"""Every variable is read, checked and described; a bad one stops the start with one line."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.settings import Settings, SettingsError, log_format_for
from agent.twilio.signature import Signatures
from agent.usecases.host_allowlist import HostAllowlist, HostRule, Secret, SecretRule

PUBLIC = {"WS_URL": "wss://voice.example.com/", "TWILIO_AUTH_TOKEN": "secret"}


def test_service_starts_without_any_variable() -> None:
    """The defaults are those of the contract."""
    assert Settings.read({}) == Settings(
        port=3000,
        metrics_port=9090,
        ws_url="ws://localhost:3000/",
        public_url="",
        table_name="",
        store_path=Path(".agent/agent.db"),
        model_identifier="offline:",
        stack_use_case="restaurantOrderingUseCase",
        time_zone=ZoneInfo("UTC"),
        twilio_account_sid="",
        twilio_auth_token="",
        allow_unsigned_requests=False,
        max_calls=100,
        log_level="info",
        log_format="",
    )


def test_every_variable_is_read() -> None:
    """What is set is what holds."""
    environment = {
        "PORT": "3001",
        "METRICS_PORT": "0",
        "HOST": "0.0.0.0",  # noqa: S104 (never bound)
        "METRICS_HOST": "127.0.0.2",
        "WS_URL": "wss://voice.example.com/",
        "PUBLIC_URL": "https://hooks.example.com/",
        "TABLE_NAME": "demo-ConversationRelayAppDatabase",
        "STORE_PATH": "/tmp/agent.db",  # noqa: S108 (never opened)
        "MODEL_IDENTIFIER": "us.amazon.nova-lite-v1:0",
        "FALLBACK_MODEL_IDENTIFIERS": "openai:gpt, offline:",
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": "http://localhost:8000/v1",
        "MODEL_FIRST_EVENT_SECONDS": "5",
        "MODEL_GAP_SECONDS": "7.5",
        "MODEL_LOAD_SECONDS": "120",
        "AWS_REGION": "us-east-1",
        "AWS_PROFILE": "work",
        "AWS_CONFIG_FILE": "/tmp/config",  # noqa: S108 (never opened)
        "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:8001",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://bedrock.example.com",
        "STACK_USE_CASE": "albertEinsteinUseCase",
        "TIME_ZONE": "Europe/Zurich",
        "TWILIO_ACCOUNT_SID": "AC0",
        "TWILIO_AUTH_TOKEN": " secret ",
        "TWILIO_API_KEY_SID": "SK0",
        "TWILIO_API_KEY_SECRET": "key secret",
        "SENDGRID_API_KEY": "SG.0",
        "EMAIL_FROM_ADDRESS": "orders@example.com",
        "TWILIO_TWIML_APP_SID": "AP0",
        "TWILIO_PUSH_CREDENTIAL_SID": "CR0",
        "TOKEN_API_KEYS": "first-secret-of-the-app, second-secret-of-it,",
        "TWILIO_API_URL": "https://api.dublin.ie1.twilio.com/",
        "OUTBOUND_NUMBERS": "+1555, +4144",
        "OUTBOUND_FROM": "+15550100000",
        "DIAL_API_KEYS": "a-secret-of-the-operator",
        "ALLOW_UNSIGNED_REQUESTS": "TRUE",
        "HTTP_TOOL_HOSTS": "api.example.com, http://localhost:8080=127.0.0.0/8",
        "HTTP_TOOL_SECRETS": "ORDERS_TOKEN@api.example.com, NOT_SET",
        "MCP_CONFIG": "mcp.json",
        "MAX_CALLS": "7",
        "DRAIN_SECONDS": "30",
        "LOG_LEVEL": "Debug",
        "LOG_FORMAT": "console",
        "BUSY_SENTENCE": "Please hold.",
        "BUSY_QUEUE": "Front desk",
        "BUSY_SMS": "We will call you back.",
        "TRUSTED_ATTESTATION": "B",
        "SMS_NUMBERS": "+1, +41445550100",
        "CALLER_CALLS_AT_ONCE": "2",
        "CALLER_CALLS_PER_HOUR": "6",
        "CALLER_TOKENS_PER_DAY": "200000",
        "TASK_PROTECTION": "true",
        "ECS_AGENT_URI": "http://169.254.170.2/api/0123",
        "RECORD_CALLS": "true",
        "RECORD_DAYS": "30",
        "PRICES_FILE": "prices.toml",
        "EMF_METRICS": "true",
        "LOG_PERSONAL_DATA": "true",
    }
    alone = {"BUSY_REDIRECT_URL"}  # never beside a queue

    bound = SecretRule("ORDERS_TOKEN", HostRule.read("api.example.com"))
    unbound = SecretRule("NOT_SET")

    settings = Settings.read({**environment, "ORDERS_TOKEN": " t0ken ", "OTHER_TOKEN": "other"})

    assert {row[0] for row in Settings.describe()} == environment.keys() | alone
    assert settings == Settings(
        port=3001,
        metrics_port=0,
        host="0.0.0.0",  # noqa: S104 (never bound)
        metrics_host="127.0.0.2",
        ws_url="wss://voice.example.com/",
        public_url="https://hooks.example.com",
        table_name="demo-ConversationRelayAppDatabase",
        store_path=Path("/tmp/agent.db"),  # noqa: S108 (never opened)
        model_identifier="us.amazon.nova-lite-v1:0",
        fallback_model_identifiers=("openai:gpt", "offline:"),
        openai_api_key="key",
        openai_base_url="http://localhost:8000/v1",
        model_first_event_seconds=5.0,
        model_gap_seconds=7.5,
        model_load_seconds=120.0,
        aws_region="us-east-1",
        aws_profile="work",
        aws_config_file=Path("/tmp/config"),  # noqa: S108 (never opened)
        aws_endpoint_url_dynamodb="http://localhost:8001",
        aws_endpoint_url_bedrock_runtime="https://bedrock.example.com",
        stack_use_case="albertEinsteinUseCase",
        time_zone=ZoneInfo("Europe/Zurich"),
        twilio_account_sid="AC0",
        twilio_auth_token="secret",
        twilio_api_key_sid="SK0",
        twilio_api_key_secret="key secret",
        sendgrid_api_key="SG.0",
        email_from_address="orders@example.com",
        twilio_twiml_app_sid="AP0",
        twilio_push_credential_sid="CR0",
        token_api_keys=("first-secret-of-the-app", "second-secret-of-it"),
        twilio_api_url="https://api.dublin.ie1.twilio.com",
        outbound_numbers=("+1555", "+4144"),
        outbound_from="+15550100000",
        dial_api_keys=("a-secret-of-the-operator",),
        allow_unsigned_requests=True,
        http_tool_hosts=HostAllowlist(
            (
                HostRule("api.example.com", "https", "api.example.com", 443),
                HostRule(
                    "http://localhost:8080=127.0.0.0/8",
                    "http",
                    "localhost",
                    8080,
                    ip_network("127.0.0.0/8"),
                ),
            )
        ),
        http_tool_secrets=(bound, unbound),
        secrets={
            "ORDERS_TOKEN": Secret("t0ken", (bound,)),
            "NOT_SET": Secret("", (unbound,)),
        },
        mcp_config="mcp.json",
        max_calls=7,
        drain_seconds=30,
        log_level="debug",
        log_format="console",
        busy_sentence="Please hold.",
        busy_queue="Front desk",
        busy_sms="We will call you back.",
        trusted_attestation="b",
        sms_numbers=("+1", "+41445550100"),
        caller_calls_at_once=2,
        caller_calls_per_hour=6,
        caller_tokens_per_day=200_000,
        task_protection=True,
        ecs_agent_uri="http://169.254.170.2/api/0123",
        record_calls=True,
        record_days=30,
        prices_file="prices.toml",
        emf_metrics=True,
        log_personal_data=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "web"),
        ("METRICS_PORT", "1.5"),
        ("HOST", "voice.example.com"),
        ("HOST", "127.0.0.1:3000"),
        ("METRICS_HOST", "*"),
        ("WS_URL", "https://voice.example.com/"),
        ("WS_URL", "wss:///"),
        ("WS_URL", "wss://voice.example.com"),
        ("WS_URL", "wss://voice.example.com/?a=/"),
        ("WS_URL", "wss://voice.example.com/#/"),
        ("WS_URL", "ws://voice.example.com/"),
        ("WS_URL", "wss://[voice/"),
        ("WS_URL", "wss://user:word@voice.example.com/"),
        ("WS_URL", "wss://voice.example.com:port/"),
        ("WS_URL", "wss://voice.example.com:0/"),
        ("WS_URL", "wss://voice.example.com/conversation-relay/"),
        ("PUBLIC_URL", "voice.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://voice.example.com?a"),
        ("PUBLIC_URL", "https://user@voice.example.com"),
        ("PUBLIC_URL", "https://voice.example.com:99999"),
        ("TABLE_NAME", "a table"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8001"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "localhost"),
        ("MODEL_IDENTIFIER", "openai:"),
        ("MODEL_IDENTIFIER", "azure:gpt"),
        ("MODEL_IDENTIFIER", "arn:aws:bedrock"),
        ("FALLBACK_MODEL_IDENTIFIERS", "offline:,azure:gpt"),
        ("OPENAI_BASE_URL", "localhost:8000"),
        ("EMAIL_FROM_ADDRESS", "orders"),
        ("EMAIL_FROM_ADDRESS", "Harbor Oven <orders@example.com>"),
        ("STACK_USE_CASE", "../secrets"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("TIME_ZONE", "../etc/passwd"),
        ("TWILIO_API_KEY_SID", "AC0"),
        ("TWILIO_TWIML_APP_SID", "https://voice.example.com"),
        ("TWILIO_PUSH_CREDENTIAL_SID", "CR"),
        ("TOKEN_API_KEYS", ","),
        ("TOKEN_API_KEYS", "first-secret-of-the-app,short"),
        ("TWILIO_API_URL", "api.twilio.com"),
        ("OUTBOUND_NUMBERS", "*"),
        ("OUTBOUND_NUMBERS", "911"),
        ("OUTBOUND_NUMBERS", "+"),
        ("OUTBOUND_NUMBERS", ","),
        ("OUTBOUND_NUMBERS", "+\u0661"),
        ("OUTBOUND_FROM", "client:ada"),
        ("OUTBOUND_FROM", "+1\u0665\u0665\u06650100000"),
        ("OUTBOUND_FROM", "+266696687"),
        ("DIAL_API_KEYS", "short"),
        ("ALLOW_UNSIGNED_REQUESTS", "yes"),
        ("HTTP_TOOL_HOSTS", "https://api.example.com/path"),
        ("HTTP_TOOL_HOSTS", "api.example.com,169.254.169.254"),
        ("HTTP_TOOL_SECRETS", "Bearer token"),
        ("HTTP_TOOL_SECRETS", "ORDERS_TOKEN@"),
        ("HTTP_TOOL_SECRETS", "ORDERS_TOKEN@https://api.example.com/path"),
        ("HTTP_TOOL_SECRETS", "@api.example.com"),
        ("MAX_CALLS", "0"),
        ("MAX_CALLS", "100001"),
        ("MAX_CALLS", "\u0663"),
        ("MAX_CALLS", "9" * 5_000),
        ("PORT", "\uff13\uff10\uff10\uff10"),
        ("BUSY_REDIRECT_URL", "voice.example.com/twiml"),
        ("BUSY_REDIRECT_URL", "https://voice.example.com/twiml"),
        ("BUSY_QUEUE", "<Queue>"),
        ("BUSY_QUEUE", "x" * 65),
        ("CALLER_CALLS_PER_HOUR", "-1"),
        ("CALLER_CALLS_AT_ONCE", "\u0663"),
        ("SMS_NUMBERS", "+"),
        ("SMS_NUMBERS", "*"),
        ("TRUSTED_ATTESTATION", "D"),
        ("CALLER_TOKENS_PER_DAY", "many"),
        ("CALLER_TOKENS_PER_DAY", "1000000001"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("TASK_PROTECTION", "10"),
        ("RECORD_CALLS", "1"),
        ("MODEL_FIRST_EVENT_SECONDS", "0.4"),
        ("MODEL_GAP_SECONDS", "-1"),
        ("MODEL_LOAD_SECONDS", "601"),
        ("MODEL_LOAD_SECONDS", "nan"),
        ("MODEL_LOAD_SECONDS", "1 minute"),
        ("RECORD_DAYS", "0"),
        ("RECORD_DAYS", "366"),
        ("RECORD_DAYS", "\u0967"),
    ],
)
def test_bad_value_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    """Whoever starts the service sees at once what to correct (D25)."""
    with pytest.raises(SettingsError) as caught:
        Settings.read({**PUBLIC, name: value})

    line = str(caught.value)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"TWILIO_API_KEY_SID": "SK0", "TWILIO_ACCOUNT_SID": "AC0"}, "TWILIO_API_KEY_SECRET"),
        ({"TWILIO_API_KEY_SECRET": "x", "TWILIO_ACCOUNT_SID": "AC0"}, "TWILIO_API_KEY_SID"),
        ({"TWILIO_API_KEY_SID": "SK0", "TWILIO_API_KEY_SECRET": "x"}, "TWILIO_ACCOUNT_SID"),
        ({"SENDGRID_API_KEY": "SG.0"}, "EMAIL_FROM_ADDRESS"),
        ({"TWILIO_EMAIL_FROM_ADDRESS": "a@example.com"}, "SENDGRID_API_KEY"),
    ],
)
def test_half_of_a_pair_stops_the_start(environment: Mapping[str, str], missing: str) -> None:
    """A message that cannot be sent is noticed here, not by a caller (D25)."""
    with pytest.raises(SettingsError, match=rf"^{missing}: must be set together with [A-Z_]+$"):
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
    """Users move over with their environment unchanged (D25)."""
    region = {"AWS_REGION": "us-east-1"} if name == "MODEL_IDENTIFIER" else {}

    alone = Settings.read({**region, older: value, name: ""})
    both = Settings.read({**region, older: "offline:", name: value})

    assert str(getattr(alone, read)) == value
    assert str(getattr(both, read)) == value


def test_fault_of_an_older_name_names_it() -> None:
    """The line names the variable that was set."""
    with pytest.raises(SettingsError, match=r"^timeZone: "):
        Settings.read({"timeZone": "Mars/Olympus"})


@pytest.mark.parametrize(
    "environment",
    [
        {"WS_URL": "wss://voice.example.com/"},
        {"PUBLIC_URL": "https://voice.example.com"},
    ],
)
def test_public_service_without_a_token_is_refused(environment: Mapping[str, str]) -> None:
    """Nobody serves strangers unchecked by mistake (D4)."""
    with pytest.raises(SettingsError, match=r"^TWILIO_AUTH_TOKEN: "):
        Settings.read(environment)

    served = {**environment, "WS_URL": "wss://voice.example.com/"}
    assert Settings.read({**served, "ALLOW_UNSIGNED_REQUESTS": "true"}).is_public
    assert Settings.read({**served, "TWILIO_AUTH_TOKEN": "secret"}).is_public


_ACCESS = {
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_API_KEY_SID": "SK0",
    "TWILIO_API_KEY_SECRET": "signing",
    "TWILIO_TWIML_APP_SID": "AP0",
    "TOKEN_API_KEYS": "first-secret-of-the-app",
}


@pytest.mark.parametrize("missing", [name for name in _ACCESS if name != "TOKEN_API_KEYS"])
def test_half_of_what_access_tokens_need_is_refused(missing: str) -> None:
    """One line that names what is missing, instead of tokens nobody can use."""
    rest = {name: value for name, value in _ACCESS.items() if name != missing}

    with pytest.raises(SettingsError, match=f"^{missing}: must be set"):
        Settings.read(rest)


def test_account_without_a_secret_to_ask_with_starts() -> None:
    """The key is not for access tokens alone; `/token` then refuses everybody."""
    environment = {**_ACCESS, "TOKEN_API_KEYS": ""}

    assert Settings.read(environment).token_api_keys == ()
    assert Settings.read(_ACCESS).token_api_keys == ("first-secret-of-the-app",)


@pytest.mark.parametrize(
    "environment", [{"TWILIO_AUTH_TOKEN": "secret"}, {"TWILIO_ACCOUNT_SID": "AC0"}]
)
def test_who_lists_numbers_to_call_needs_an_account(environment: Mapping[str, str]) -> None:
    """And the token or a key of it; told at start."""
    with pytest.raises(SettingsError, match=r"^TWILIO_ACCOUNT_SID: must be set for OUTBOUND"):
        Settings.read({**environment, "OUTBOUND_NUMBERS": "+1555"})


def test_calls_are_made_with_the_token_or_a_key_of_the_account() -> None:
    """Either will do."""
    for given in ({"TWILIO_ACCOUNT_SID": "AC0", "TWILIO_AUTH_TOKEN": "secret"}, _ACCESS):
        assert Settings.read({**given, "OUTBOUND_NUMBERS": "+1555"}).outbound_numbers == ("+1555",)


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        (
            {"BUSY_REDIRECT_URL": "https://other.example.com/twiml", "BUSY_QUEUE": "desk"},
            "BUSY_QUEUE: must not be set together with BUSY_REDIRECT_URL",
        ),
        (
            {"BUSY_SMS": "We will call you back."},
            "TWILIO_ACCOUNT_SID: must be set for BUSY_SMS, with TWILIO_AUTH_TOKEN or an API key",
        ),
    ],
)
def test_busy_answer_that_cannot_be_given_stops_the_start(
    environment: Mapping[str, str], fault: str
) -> None:
    """A call too many goes to one place, and a message needs an account (D25)."""
    with pytest.raises(SettingsError) as caught:
        Settings.read(environment)

    assert str(caught.value) == fault


def test_call_too_many_may_go_to_another_region() -> None:
    """Any webhook but our own."""
    url = "https://eu.example.com/twiml"

    assert Settings.read({**PUBLIC, "BUSY_REDIRECT_URL": url}).busy_redirect_url == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_service_on_this_machine_needs_no_token(host: str) -> None:
    """The first try needs no account (D29)."""
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
    Signatures(["secret"], settings.origin, settings.ws_url)  # raises no error


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
    """`check --settings` tells name, default and meaning of each (D25)."""
    rows = Settings.describe()

    assert [name for name, _, _ in rows] == [names[0] for names in Settings.variables().values()]
    assert all(name.isupper() and meaning for name, _, meaning in rows)
    assert ("PORT", "3000", "TwiML routes, WebSocket, health") in rows
    assert any("older name: timeZone" in meaning for _, _, meaning in rows)


def test_log_is_json_unless_somebody_looks() -> None:
    """Tests have no terminal, like containers."""
    assert log_format_for(Settings()) == "json"
    assert log_format_for(Settings(log_format="console")) == "console"


@pytest.mark.parametrize(
    "environment", [{"TABLE_NAME": "table"}, {"MODEL_IDENTIFIER": "amazon.nova-lite-v1:0"}]
)
def test_what_is_in_aws_needs_a_region(environment: Mapping[str, str], tmp_path: Path) -> None:
    """From a variable, or from a profile in the configuration of AWS."""
    profiles = tmp_path / "config"
    nowhere = {"AWS_CONFIG_FILE": str(profiles)}
    with pytest.raises(SettingsError, match=r"^AWS_REGION: must be set for ") as caught:
        Settings.read({**nowhere, **environment})
    profiles.touch()

    assert "\n" not in str(caught.value)
    assert Settings.read({**nowhere, **environment}).aws_region == ""
    assert Settings.read({"AWS_REGION": "eu-central-2", **environment}).is_public is False
