"""Settings and fixtures every test shares.

Fixtures import what they need when they are used, so that the tests of the core start without the
service, its SDKs and a container engine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import needs

if TYPE_CHECKING:
    from agent.settings import Settings
    from tests.dynamodb import Engine
    from tests.fakes import Clock
    from tests.servers import Server
    from tests.stores import Stores

os.environ["PYTHON_DOTENV_DISABLED"] = "1"  # no test reads the .env of a developer

TABLES = (
    "fault matrix",
    "streams left early",
    "DynamoDB",
    "torture",
    "survival",
    "image",
    "local model",
)
"""Names of the properties that are shown at the end of a run."""
_TESTS = Path(__file__).parent

settings.register_profile(
    "everywhere",
    max_examples=150,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ),
)
settings.load_profile("everywhere")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only tests that need nothing but Python")
    parser.addoption("--without", action="append", default=[], help="see tests/needs.py")


def pytest_configure(config: pytest.Config) -> None:
    without = needs.ALL if config.getoption("quick") else config.getoption("without")
    os.environ[needs.LEFT_OUT] = ",".join(without)
    if config.getoption("quick"):
        settings.register_profile("quick", settings.get_profile("everywhere"), max_examples=30)
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a folder that is left out as a whole."""
    folder = collection_path.name if collection_path.parent == _TESTS else ""
    return True if needs.FOLDERS.get(folder) in needs.left_out() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run cannot do; see `tests.needs`."""
    if without := needs.left_out():
        left_out = {item for item in items if needs.needs_of(item) & without}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def seeded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with the shipped configuration, to be copied and not to be written."""
    from agent.store.sqlite import SqliteStore
    from tests.shipped import load_shipped

    path = tmp_path_factory.mktemp("seeded") / "agent.db"

    async def load() -> None:
        store = await SqliteStore.open(path)
        await load_shipped(store)
        await store.close()

    asyncio.run(load())
    return path


@pytest.fixture
def table(seeded_file: Path, tmp_path: Path) -> Path:
    """A table of this test, with the shipped configuration."""
    return Path(shutil.copy(seeded_file, tmp_path / "agent.db"))


@pytest.fixture
def service_settings(table: Path) -> Settings:
    """Settings of a service with that table."""
    from tests.servers import settings_for

    return settings_for(table)


@pytest.fixture
async def server(service_settings: Settings) -> AsyncIterator[Server]:
    """The service as production wires it, with the shipped configuration."""
    from tests.servers import serving

    async with serving(service_settings) as running:
        yield running


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[Engine]:
    """A DynamoDB of this process; a test that stops it starts it again."""
    from tests import dynamodb as engines

    with engines.running() as engine:
        yield engine


@pytest.fixture
def table_name(
    dynamodb: Engine,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> Iterator[str]:
    """An empty table of this test, where this process looks for DynamoDB."""
    from tests import dynamodb as engines

    record_property("DynamoDB", dynamodb.description)
    engines.set_account(monkeypatch, dynamodb)
    name = dynamodb.create_table()
    yield name
    dynamodb.delete_table(name)


@pytest.fixture
def uncovered() -> Iterator[None]:
    """Switch coverage off for a test that repeats the same thousands of times: it doubles its time.

    Another test must reach the same lines.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded of a table, also when they ran in other processes.

    Reports carry their properties from one process to the other; what is printed there is lost.
    """
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    recorded = [one for report in reports for one in report.user_properties]
    for name in TABLES:
        rows = sorted({str(row) for title, row in recorded if title == name})
        if rows:
            terminalreporter.section(name)
            terminalreporter.write_line("\n".join(rows))


@pytest.fixture(autouse=True)
def plain_logging() -> Iterator[None]:
    """Logging is after each test as it was before."""
    yield
    if "agent.observability.logging" in sys.modules:
        import structlog

        from agent.observability.logging import stop_listening

        stop_listening()
        structlog.reset_defaults()


@pytest.fixture
def stores_clock() -> Clock:
    """What the time is for `stores`."""
    from tests.fakes import Clock

    return Clock(1_900_000_000.0)


@pytest.fixture(params=["sqlite", "dynamodb"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, stores_clock: Clock
) -> AsyncIterator[Stores]:
    """One table of either engine, as two processes have it open."""
    from tests.stores import open_table

    is_file = request.param == "sqlite"
    place: Path | str = tmp_path / "shared.db" if is_file else request.getfixturevalue("table_name")
    first = await open_table(place, stores_clock)
    second = await open_table(place, stores_clock)
    yield first, second
    await first.close()
    await second.close()
