"""`check` and `check --live` against servers of this process: planted faults, one line for each."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import botocore.session  # type: ignore[import-untyped]  # it ships no types
import pytest

from agent.cli.main import main
from agent.settings import Settings
from tests import dynamodb
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import fail, say
from tests.emulators.scripts import by_model
from tests.emulators.secrets_manager import ARN
from tests.llm.accounts import set_account
from tests.servers import TOKEN, VOICE_URL
from tests.tools.http.stand_in import standing_in
from tests.tools.mcp_servers import Peer, listed, peering, said, written
from tests.twilio_api import ACCOUNT, TwilioApi, twilio_api

KEY = "sk-the-right-key-0123456789"
SECRETS = (KEY, TOKEN, "example-secret", "a-wrong-secret")
NOWHERE = "http://127.0.0.1:9"
NUMBER = "+15550100000"

pytestmark = pytest.mark.usefixtures("plain_logging")

Shown = tuple[int, list[str], list[str]]
"""Exit status, lines of output, lines of errors."""


@dataclass(slots=True)
class World:
    """Everything that good settings name."""

    variables: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    api: TwilioApi
    peer: Peer
    engine: dynamodb.Engine
    folder: Path

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.variables.setenv(name, value)

    def unset(self, *names: str) -> None:
        for name in names:
            self.variables.delenv(name, raising=False)

    async def check(self, *options: str) -> Shown:
        """Run it in a thread, beside the servers."""
        self.capsys.readouterr()
        status = await asyncio.to_thread(main, ["check", *options])
        shown = self.capsys.readouterr()
        assert [each for each in SECRETS if each in shown.out + shown.err] == []
        return status, shown.out.splitlines(), shown.err.splitlines()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable of ours is set but `STORE_PATH`."""
    for names in Settings.variables().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    set_account(monkeypatch)
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("STORE_PATH", str(tmp_path / "agent.db"))
    return monkeypatch


@pytest.fixture
async def world(
    bare: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    dynamodb: dynamodb.Engine,
    table_name: str,
) -> AsyncIterator[World]:
    """Good settings: two models, a table, Twilio, an MCP server and a host of HTTP tools."""
    async with AsyncExitStack() as opened:
        model = by_model({"small": say("Hello.")}, otherwise=fail("model_not_found"))
        openai = await opened.enter_async_context(OpenAIEmulator(model, api_key=KEY))
        bedrock = await opened.enter_async_context(BedrockEmulator())
        host = await opened.enter_async_context(standing_in())
        api = await opened.enter_async_context(twilio_api(ACCOUNT, TOKEN))
        peer = await opened.enter_async_context(peering())
        peer.offers(listed("look"), said("Found."))
        api.numbers = {NUMBER: VOICE_URL}
        world = World(bare, capsys, api, peer, dynamodb, tmp_path)
        world.set(
            AWS_REGION="us-east-1",
            AWS_SECRET_ACCESS_KEY="example-secret",
            AWS_ENDPOINT_URL_DYNAMODB=dynamodb.url,
            AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url,
            MODEL_IDENTIFIER="openai:small",
            FALLBACK_MODEL_IDENTIFIERS="amazon.nova-lite-v1:0",
            OPENAI_API_KEY=KEY,
            OPENAI_BASE_URL=openai.base_url,
            MODEL_LOAD_SECONDS="1",
            TABLE_NAME=table_name,
            WS_URL="wss://voice.example.com/",
            TWILIO_ACCOUNT_SID=ACCOUNT,
            TWILIO_AUTH_TOKEN=TOKEN,
            TWILIO_API_URL=api.url,
            MCP_CONFIG=written(tmp_path, tickets={"url": peer.url}),
            HTTP_TOOL_HOSTS=host.origin,
        )
        yield world


async def test_what_works_is_said_too(world: World) -> None:
    """Each thing that was tried has a line; nothing but them is printed."""
    status, out, err = await world.check("--live")

    assert (status, err) == (0, [])
    beginnings = [
        *("MCP_CONFIG: ", "use cases: albertEinsteinUseCase, ", "scenarios: "),
        *("settings: ", "models: openai:s"),
        *(
            "table: TABLE_NAME t-",
            "calls: 100 at once",
            "MODEL_IDENTIFIER openai:small: answers, first token after ",
        ),
        "FALLBACK_MODEL_IDENTIFIERS[0] amazon.nova-lite-v1:0: answers, first token after ",
        *("table: t-", f"Twilio: the account is active; {NUMBER} call {VOICE_URL}"),
        "HTTP_TOOL_HOSTS http://127.0.0.1:",
    ]
    assert len(out) == len(beginnings)
    assert [
        line for line, begins in zip(out, beginnings, strict=True) if line[: len(begins)] != begins
    ] == []


def test_settings_are_listed_in_groups(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each: name, type, default, meaning."""
    del bare
    status = main(["check", "--settings"])
    lines = list(filter(None, capsys.readouterr().out.splitlines()))
    variables = [line.split()[0] for line in lines if line.startswith("  ")]

    assert status == 0
    assert variables == [each.name for each in Settings.describe()]
    assert [line for line in lines if not line.startswith("  ")] == list(
        dict.fromkeys(each.group for each in Settings.describe())
    )


Plant = Callable[[World], object]


def _setting(**variables: str) -> Plant:
    return lambda world: world.set(**variables)


def _unsetting(*names: str) -> Plant:
    return lambda world: world.unset(*names)


def _table_of_wrong_shape(world: World) -> None:
    session = botocore.session.Session()
    client = session.create_client("dynamodb", region_name="us-east-1")
    client.create_table(
        TableName="wrong-shape",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    world.set(TABLE_NAME="wrong-shape")


def _webhook_elsewhere(world: World) -> None:
    world.api.numbers = {NUMBER: "https://demo.twilio.com/welcome/voice/"}


def _no_number(world: World) -> None:
    world.api.numbers = {}


def _suspended(world: World) -> None:
    world.api.account_status = "suspended"


def _refused(status: int, code: int) -> Callable[[World], None]:
    def plant(world: World) -> None:
        world.api.account_refusal = (status, code)

    return plant


def _not_twilio(world: World) -> None:
    world.set(TWILIO_API_URL=os.environ["HTTP_TOOL_HOSTS"])


def _secret_of_server_missing(world: World) -> None:
    server = {"url": world.peer.url, "headers": {"Authorization": "Bearer ${TICKETS_TOKEN}"}}
    world.set(MCP_CONFIG=written(world.folder, tickets=server))


def _server_away(world: World) -> None:
    world.set(MCP_CONFIG=written(world.folder, tickets={"url": f"{NOWHERE}/mcp"}))


def _broken_aws_configuration(world: World) -> None:
    (world.folder / "config").write_text("us-east-1", encoding="utf-8")
    world.set(AWS_CONFIG_FILE=str(world.folder / "config"))


LIVE: dict[str, tuple[Plant, str, str]] = {
    "key": (
        _setting(OPENAI_API_KEY="a-wrong-secret"),
        "MODEL_IDENTIFIER openai:small: openai at 127.0.0.1", "Correct OPENAI_API_KEY"),
    "model": (_setting(MODEL_IDENTIFIER="openai:tiny"), "MODEL_IDENTIFIER openai:tiny: ", "MODEL_"),
    "base URL": (
        _setting(OPENAI_BASE_URL=f"{NOWHERE}/v1"), "MODEL_IDENTIFIER openai:", "OPENAI_BASE_URL"),
    "credentials of Bedrock": (
        _unsetting("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        "FALLBACK_MODEL_IDENTIFIERS[0] amazon", "AWS_"),
    "credentials of the table": (
        _unsetting("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        "table: TABLE_NAME: ", "credentials"),
    "AWS configuration": (
        _broken_aws_configuration, "FALLBACK_MODEL_IDENTIFIERS[0] amazon", "AWS_PROFILE"),
    "Bedrock away": (
        _setting(AWS_ENDPOINT_URL_BEDROCK_RUNTIME=NOWHERE),
        "FALLBACK_MODEL_IDENTIFIERS[0] amazon", "AWS_REGION"),
    "table missing": (
        _setting(TABLE_NAME="not-there"),
        "table: TABLE_NAME: table not-there in us-east-1: there is no such table; ", "make the ta"),
    "table of wrong shape": (
        _table_of_wrong_shape, "table: TABLE_NAME: table wrong-shape ", "make the table"),
    "table away": (_setting(AWS_ENDPOINT_URL_DYNAMODB=NOWHERE), "table: TABLE_NAME: ", "AWS_REG"),
    "webhook elsewhere": (
        _webhook_elsewhere, f"Twilio: no number has the voice webhook {VOICE_URL}: ", "WS_URL"),
    "no number": (_no_number, "Twilio: no number has ", "buy a number"),
    "wrong token": (
        _setting(TWILIO_AUTH_TOKEN="a-wrong-secret"),
        "Twilio: TWILIO_AUTH_TOKEN: HTTP 401", "copy both from the console"),
    "secret of the token away": (
        _setting(
            TWILIO_AUTH_TOKEN="", TWILIO_AUTH_TOKEN_SECRET_ARN=ARN,
            AWS_ENDPOINT_URL_SECRETS_MANAGER=NOWHERE),
        f"Twilio: TWILIO_AUTH_TOKEN_SECRET_ARN: {ARN}: ", "it cannot be reached"),
    "wrong API key": (
        _setting(TWILIO_API_KEY_SID="SK0", TWILIO_API_KEY_SECRET="a-wrong-secret"),
        "Twilio: TWILIO_API_KEY_SECRET: HTTP 401", "copy both from the console"),
    "no such account": (
        _refused(404, 20404), "Twilio: TWILIO_ACCOUNT_SID: HTTP 404", "copy it from the console"),
    "key without rights": (
        _refused(403, 20003), "Twilio: TWILIO_AUTH_TOKEN: HTTP 403", "may not read the account"),
    "Twilio ails": (_refused(503, 20503), "Twilio: HTTP 503", "try again later"),
    "account suspended": (
        _suspended, "Twilio: TWILIO_ACCOUNT_SID: the account is suspended", "console"),
    "Twilio away": (
        _setting(TWILIO_API_URL=NOWHERE), "Twilio: TWILIO_API_URL: ", "check it, and the network"),
    "not Twilio": (_not_twilio, "Twilio: TWILIO_API_URL: ", "is not Twilio's API; unset it"),
    "MCP server away": (_server_away, "MCP_CONFIG: tickets: it cannot be reached", "correct"),
    "secret of an MCP server": (
        _secret_of_server_missing, "MCP_CONFIG: tickets: ", "TICKETS_TOKEN is not set"),
    "host of HTTP tools away": (
        _setting(HTTP_TOOL_HOSTS=NOWHERE), f"HTTP_TOOL_HOSTS {NOWHERE}: ", "check the host"),
    "private address not admitted": (
        _setting(HTTP_TOOL_HOSTS="http://localhost:9"), "HTTP_TOOL_HOSTS http://localhost:9: ",
        "none of its addresses is admitted"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
async def test_live_check_names_variable_and_remedy(world: World, name: str) -> None:
    plant, begins, remedy = LIVE[name]
    if not begins.startswith(("MODEL_", "FALLBACK_")):  # the models take the most time
        world.unset("MODEL_IDENTIFIER", "FALLBACK_MODEL_IDENTIFIERS")
    plant(world)

    status, _, err = await world.check("--live")

    assert status == 1
    assert [line for line in err if line.startswith(begins) and remedy in line] != [], err


PLAIN: dict[str, tuple[dict[str, str], str]] = {
    "region": (
        {"MODEL_IDENTIFIER": "amazon.nova-lite-v1:0"},
        "AWS_REGION: must be set for a model of Amazon Bedrock"),
    "typo": (
        {"MODEL_IDENTIFER": "offline:"},
        "MODEL_IDENTIFER: is not read; did you mean MODEL_IDENTIFIER?"),
    "placeholder": (
        {"WS_URL": "wss://your-host.example.com/"},
        "WS_URL: is still a placeholder; set the real value, or unset it"),
    "model without provider": (
        {"MODEL_IDENTIFIER": "gpt-4o"},
        "MODEL_IDENTIFIER: is no id of Amazon Bedrock; did you mean openai:gpt-4o?"),
    "key missing": (
        {"MODEL_IDENTIFIER": "openai:gpt-4o"},
        "OPENAI_API_KEY: must be set, or OPENAI_BASE_URL, for openai:"),
    "token missing": (
        {"WS_URL": "wss://voice.example.com/"},
        "TWILIO_AUTH_TOKEN: must be set when WS_URL is public, or TWILIO_AUTH_TOKEN_SECRET_ARN,"
        " unless ALLOW_UNSIGNED_REQUESTS is true"),
    "host allow-list": (
        {"HTTP_TOOL_HOSTS": "169.254.169.254"}, "HTTP_TOOL_HOSTS: "),
    "use case missing": (
        {"STACK_USE_CASE": "pizza"}, "STACK_USE_CASE: 'pizza' is not in the configuration, and "),
    "folder": (
        {"CONFIGURATION": "nowhere"},
        "CONFIGURATION: must be a folder with a use case in use-cases/, unlike nowhere"),
    "time zone": (
        {"TIME_ZONE": "Zurich"},
        "TIME_ZONE: must be an IANA time zone, for example Europe/Zurich"),
    "file of MCP servers": ({"MCP_CONFIG": "nowhere.json"}, "MCP_CONFIG: nowhere.json: No such"),
    "file of prices": ({"PRICES_FILE": "nowhere.toml"}, "PRICES_FILE: "),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_check_names_variable_and_remedy(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    variables, begins = PLAIN[name]
    bare.setenv("AWS_CONFIG_FILE", "nowhere")
    for variable, value in variables.items():
        bare.setenv(variable, value)

    status = main(["check"])

    [line] = capsys.readouterr().err.splitlines()
    assert status == 1
    assert line.startswith(begins)


SCRIPT: dict[str, object] = {
    "slots": {"size": {"kind": "choice", "values": {"large": []}}},
    "intents": [{"name": "bye", "phrases": ["bye"], "say": "Goodbye."}],
    "tools": {"EndCallFunction": {}},
    "fallback": ["What size?"], "done": ["Done."], "trouble": ["That did not work."],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"fallback": ["{slot.sise}?"]}, "there is no 'slot.sise'; of slot there are: order, size"),
        ({"intents": [{"when": ["intent.by"], "say": "Bye."}]}, "there is no 'intent.by'"),
        (
            {"intents": [{"when": ["begins"], "call": "EndFunction"}]},
            "there is no 'called.EndFunction'; of called there are: EndCallFunction",
        ),
        (
            {"tools": {"EndCallFunction": {}, "PayFunction": {}}},
            "tools.PayFunction: is not a tool of the use case; there are: EndCallFunction",
        ),
        ({"tolls": {}}, "Object contains unknown field `tolls`"),
    ],
)
@pytest.mark.parametrize("file", ["offline.json", "offline.es.json"])
def test_unknown_name_in_an_offline_script_is_told(
    bare: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    file: str,
    change: dict[str, object],
    line: str,
) -> None:
    folder = tmp_path / "own" / "use-cases" / Settings().stack_use_case
    folder.mkdir(parents=True)
    (folder / "use-case.toml").write_text('tools = ["EndCallFunction"]')
    (folder / "prompt.md").write_text("Sell pizza.")
    bare.setenv("CONFIGURATION", str(tmp_path / "own"))

    (folder / "offline.json").write_text(json.dumps(SCRIPT))
    assert main(["check"]) == 0
    (folder / file).write_text(json.dumps(SCRIPT | change))
    capsys.readouterr()

    assert main(["check"]) == 1
    [err] = capsys.readouterr().err.splitlines()
    assert err.startswith(f"use-cases/{folder.name}/{file}: ")
    assert line in err


def test_time_limits_that_contradict_each_other_are_told(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Those of a use case are judged together with those of the process."""
    folder = tmp_path / "own" / "use-cases" / Settings().stack_use_case
    folder.mkdir(parents=True)
    (folder / "prompt.md").write_text("Sell pizza.")
    (folder / "use-case.toml").write_text("[model.times]\nhedge_seconds = 4\n")
    bare.setenv("CONFIGURATION", str(tmp_path / "own"))

    assert main(["check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"use-cases/{folder.name} [model.times] hedge_seconds: must be below the wait for the first"
        " event, 2.5"
    ]
    bare.setenv("MODEL_FIRST_EVENT_SECONDS", "6")
    assert main(["check"]) == 0


def test_a_limit_of_the_cost_needs_prices(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "own" / "use-cases" / Settings().stack_use_case
    folder.mkdir(parents=True)
    (folder / "prompt.md").write_text("Sell pizza.")
    (folder / "use-case.toml").write_text("[spending]\ncall_cost = 0.5\n")
    bare.setenv("CONFIGURATION", str(tmp_path / "own"))
    bare.setenv("AWS_REGION", "us-east-1")
    bare.setenv("MODEL_IDENTIFIER", "us.amazon.nova-lite-v1:0")
    assert main(["check"]) == 0
    capsys.readouterr()
    bare.setenv("MODEL_IDENTIFIER", "us.example.model-v1:0")

    assert main(["check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"use-cases/{folder.name}: a limit of its cost needs a price of us.example.model-v1:0"
    ]


@pytest.mark.parametrize("variant", ["EndCallFuncton", "'{tool}'"])
def test_unknown_tool_that_a_scenario_expects_is_told(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, variant: str
) -> None:
    """Else `times: 0` of a misspelled name always passes. A scripted model may try any tool."""
    folder = tmp_path / "own" / "use-cases" / Settings().stack_use_case
    (folder / "scenarios").mkdir(parents=True)
    (folder / "use-case.toml").write_text('tools = ["EndCallFunction"]')
    (folder / "prompt.md").write_text("Sell pizza.")
    bare.setenv("CONFIGURATION", str(tmp_path / "own"))
    text = """
steps: []
replies: [[{tool: PayFunction}]]
variables: {tool: EndCallFunction}
variants: [{tool: EndCallFunction}, {tool: EndCallFuncton}]
expects: {tools: [{name: PayFunction, times: 0}, {name: NAME, times: 0}]}
"""
    file = folder / "scenarios" / "one.yaml"

    file.write_text(text.replace("NAME", "EndCallFunction"))
    assert main(["check"]) == 0
    file.write_text(text.replace("NAME", variant))
    capsys.readouterr()

    assert main(["check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{file}: expects.tools: 'EndCallFuncton' is not a tool of {folder.name}; there are:"
        " EndCallFunction"
    ]


def test_use_case_in_the_table_alone_is_found(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path
) -> None:
    bare.setenv("STORE_PATH", str(table))
    bare.setenv("STACK_USE_CASE", "pizza")
    missing = main(["check"])
    err = capsys.readouterr().err
    record = {"pk": {"S": "pizza"}, "sk": {"S": "configuration"}, "prompt": {"S": "Sell pizza."}}
    (tmp_path / "pizza.json").write_text(json.dumps(record), encoding="utf-8")

    assert missing == 1
    assert "nor in the table; there are: albertEinsteinUseCase, " in err
    assert main(["seed", "--profile", str(tmp_path / "pizza.json")]) == 0
    assert main(["check"]) == 0


def test_port_that_is_taken_stops_the_start(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bare.setenv("PORT", str(other.getsockname()[1]))
        bare.setenv("METRICS_PORT", "0")
        status = main(["serve"])

    assert status == 1
    assert "PORT" in capsys.readouterr().err.splitlines()[-1]


def test_file_that_cannot_be_opened_is_named(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder stands in its place, which also root cannot open."""
    bare.setenv("STORE_PATH", str(tmp_path))

    assert main(["check", "--live"]) == 1
    assert f"STORE_PATH: {tmp_path}: " in capsys.readouterr().err


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def test_env_file_sets_what_the_environment_does_not(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Environment, .env, default; a variable that is set to nothing is set."""
    (tmp_path / ".env").write_text("PORT=web\nLOG_LEVEL=loud\nTIME_ZONE='Mars' # far\n")
    bare.delenv("PYTHON_DOTENV_DISABLED")
    bare.setenv("LOG_LEVEL", "info")
    bare.setenv("TIME_ZONE", "")
    bare.setenv("PORT", "web")  # undone after the test, whatever the file sets
    bare.delenv("PORT")

    with _working_in(tmp_path):
        status = main(["check"])

    assert status == 1
    assert capsys.readouterr().err.splitlines() == ["PORT: must be a port number from 0 to 65535"]


def test_env_file_that_cannot_be_read_is_named(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"BUSY_SENTENCE=\xff\n")
    bare.delenv("PYTHON_DOTENV_DISABLED")

    with _working_in(tmp_path):
        status = main(["check"])

    err = capsys.readouterr().err
    assert (status, err) == (1, f"{tmp_path / '.env'}: cannot be read: is not UTF-8\n")
