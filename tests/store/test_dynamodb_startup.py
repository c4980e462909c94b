"""A table that cannot be used stops the start, with one line that says what to correct."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import aioboto3  # type: ignore[import-untyped] # ships no types
import pytest

from agent.cli.main import main
from agent.errors import StoreError
from agent.settings import Settings
from agent.store.dynamodb_client import INDEX, TABLE, TTL_ATTRIBUTE, DynamoDBTimeouts, create_table
from agent.store.dynamodb_table import DynamoDBStore
from tests.dynamodb import REGION, Engine
from tests.store import proxy as faults
from tests.store.proxy import Fault, Proxy

PATIENCE = DynamoDBTimeouts(connect=2.0, read=0.5, operation=60.0)


async def _line(name: str, region: str = REGION) -> str:
    """What the operator who starts the service reads."""
    with pytest.raises(StoreError) as caught:
        await DynamoDBStore.open(name, region=region, timeouts=PATIENCE)
    line = str(caught.value)
    assert "\n" not in line
    return line


def _index(table: Any) -> Any:
    return table["GlobalSecondaryIndexes"][0]


KEYS = "its keys are not pk and sk, both text"
NO_INDEX = f"it has no index {INDEX} on pk1 and sk1, both text"


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda it: it.update(KeySchema=[{"AttributeName": "pk1", "KeyType": "HASH"}]), KEYS),
        (lambda it: it["KeySchema"].pop(), KEYS),
        (lambda it: it["AttributeDefinitions"][1].update(AttributeType="N"), KEYS),
        (lambda it: _index(it).update(IndexName="index-2"), NO_INDEX),
        (lambda it: _index(it)["KeySchema"][0].update(AttributeName="sk"), NO_INDEX),
        (lambda it: _index(it)["KeySchema"].pop(), NO_INDEX),
    ],
    ids=["other keys", "no sort key", "number", "other index", "other index keys", "no index sort"],
)
async def test_a_table_of_another_shape_is_refused(
    sdk: Any, table_name: str, spoil: Callable[[Any], None], fault: str
) -> None:
    spoiled = deepcopy(TABLE)
    spoil(spoiled)
    _declare_keys_only(spoiled)
    await sdk.create_table(TableName=f"{table_name}-spoiled", **spoiled)

    line = await _line(f"{table_name}-spoiled")

    await sdk.delete_table(TableName=f"{table_name}-spoiled")
    assert line == f"TABLE_NAME: table {table_name}-spoiled in {REGION}: {fault}"


def _declare_keys_only(table: Any) -> None:
    """DynamoDB refuses a declared attribute that is no key."""
    schemas = [table["KeySchema"], table["GlobalSecondaryIndexes"][0]["KeySchema"]]
    used = {key["AttributeName"] for schema in schemas for key in schema}
    table["AttributeDefinitions"] = [
        each for each in table["AttributeDefinitions"] if each["AttributeName"] in used
    ]


async def test_a_table_that_is_not_there_is_refused(table_name: str) -> None:
    """Or is in another region."""
    for name, region in (("nothing", REGION), (table_name, "eu-central-2")):
        line = f"TABLE_NAME: table {name} in {region}: there is no such table"
        assert await _line(name, region) == line


DENIED = "these credentials have no permission for"


@pytest.mark.parametrize(
    ("operation", "planned", "fault"),
    [
        ("GetItem", "AccessDeniedException", f"{DENIED} GetItem"),
        ("Query", "AccessDeniedException", f"{DENIED} Query"),
        ("GetItem", "ExpiredTokenException", "the credentials are refused: ExpiredTokenException"),
        (
            "GetItem",
            "UnrecognizedClientException",
            "the credentials are refused: UnrecognizedClientException",
        ),
        ("GetItem", "ThrottlingException", "it cannot be used now: GetItem: ThrottlingException"),
        ("GetItem", faults.fail, "it cannot be used now: GetItem: 503"),
        ("Query", faults.hang_up, "it cannot be reached now: ConnectionClosedError"),
        ("GetItem", faults.keep_answer, "it cannot be reached now: ReadTimeoutError"),
    ],
)
async def test_refused_check_stops_the_start(
    proxy: Proxy, table_name: str, operation: str, planned: str | Fault, fault: str
) -> None:
    refusal = faults.refuse(planned) if isinstance(planned, str) else planned
    proxy.plan(operation, *[refusal] * 3)

    assert await _line(table_name) == f"TABLE_NAME: table {table_name} in {REGION}: {fault}"


async def test_a_table_that_cannot_be_made_is_one_line(proxy: Proxy) -> None:
    proxy.plan("CreateTable", faults.refuse("AccessDeniedException"))

    with pytest.raises(StoreError) as caught:
        await create_table("new", region=REGION)

    assert str(caught.value) == f"TABLE_NAME: table new in {REGION}: {DENIED} CreateTable"


@pytest.mark.parametrize(
    ("unset", "set_to", "region", "fault"),
    [
        ("AWS_ACCESS_KEY_ID", {}, REGION, f"in {REGION}: no AWS credentials were found"),
        ("", {}, "", "in no region: AWS_REGION must be set"),
        (
            "",
            {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"},
            REGION,
            f'in {REGION}: Could not connect to the endpoint URL: "http://127.0.0.1:9/"',
        ),
        (
            "",
            {"AWS_PROFILE": "nobody"},
            REGION,
            f"in {REGION}: The config profile (nobody) could not be found",
        ),
        (
            "",
            {},
            "eu_central",
            "in eu_central: Provided region_name 'eu_central' doesn't match a supported format.",
        ),
    ],
)
async def test_start_without_access_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    table_name: str,
    unset: str,
    set_to: dict[str, str],
    region: str,
    fault: str,
) -> None:
    for name in filter(None, [unset, "AWS_REGION", "AWS_DEFAULT_REGION"]):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)

    assert await _line(table_name, region) == f"TABLE_NAME: table {table_name} {fault}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, dynamodb: Engine, table_name: str) -> str:
    """The variables of a process with a table that is not there; gives its name."""
    for name, *_ in Settings.describe():
        if not name.startswith("AWS_"):
            monkeypatch.delenv(name, raising=False)
    name = f"{table_name}-made"
    monkeypatch.setenv("TABLE_NAME", name)
    return name


@pytest.mark.usefixtures("plain_logging")
def test_a_missing_table_is_exit_status_1(
    environment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve"]) == 1

    line = f"TABLE_NAME: table {environment} in {REGION}: there is no such table\n"
    assert capsys.readouterr().err == line


async def _described(name: str, url: str) -> tuple[Any, Any]:
    async with aioboto3.Session().client("dynamodb", region_name=REGION, endpoint_url=url) as sdk:
        table = await sdk.describe_table(TableName=name)
        expiry = await sdk.describe_time_to_live(TableName=name)
        return table["Table"], expiry["TimeToLiveDescription"]


async def test_a_table_is_made_as_the_schema_has_it(environment: str, dynamodb: Engine) -> None:
    made = [await create_table(environment, region=REGION) for _ in range(2)]
    store = await DynamoDBStore.open(environment, region=REGION)
    await store.close()

    table, expiry = await _described(environment, dynamodb.url)
    dynamodb.delete_table(environment)
    assert made == [True, False]
    assert table["TableStatus"] == "ACTIVE"
    assert table["KeySchema"] == TABLE["KeySchema"]
    assert table["GlobalSecondaryIndexes"][0]["IndexName"] == INDEX
    assert expiry["AttributeName"] == TTL_ATTRIBUTE
    assert expiry["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}


def test_seed_makes_the_table_and_fills_it(
    environment: str, dynamodb: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seed", "--create-table"]) == 0
    first = capsys.readouterr().out.splitlines()
    assert main(["seed", "--create-table"]) == 0
    second = capsys.readouterr().out.splitlines()

    dynamodb.delete_table(environment)
    assert first == [f"made the table {environment}", *second]
    assert "wrote restaurantOrderingUseCase / configuration (version 1)" in second


@pytest.mark.usefixtures("environment")
def test_seed_makes_no_table_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TABLE_NAME")

    assert main(["seed", "--create-table"]) == 1
    assert capsys.readouterr().err == "TABLE_NAME: must be set to make a table\n"
