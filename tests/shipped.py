"""What is shipped. Tests hold for these, whatever else is in `configuration` of a checkout."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from agent.ports import Store
from agent.tools import SPECS
from agent.usecases import seed

CONFIGURATION = Path(__file__).parents[1] / "configuration"
USE_CASES = tuple(
    CONFIGURATION / "use-cases" / name
    for name in (
        "albertEinsteinUseCase", "apartmentSearchUseCase", "defaultUseCase",
        "restaurantOrderingUseCase",
    )
)  # fmt: skip
PROFILES = tuple(CONFIGURATION / "profiles" / name for name in ("ada.toml", "grace.toml"))


async def load_shipped(store: Store, configuration: Path = CONFIGURATION) -> None:
    """Load it into a table, as of today; `configuration` may be an edited copy."""
    now = datetime.now(UTC)
    for folder in USE_CASES:
        await seed.seed(store, configuration, SPECS, now=now, use_case=folder.name)
    for path in PROFILES:
        await seed.seed_file(store, configuration / "profiles" / path.name, SPECS, now=now)
