"""On virtual time each call begins at the same moment, however many were played before."""

from __future__ import annotations

import asyncio

from agent.cli.evaluation.hosted_service import SETTINGS, hosted
from agent.cli.evaluation.paced_model import Pace
from agent.settings import Settings
from tests.shipped import CONFIGURATION
from tests.virtual import virtually

_DAYS = 3 * 24 * 3_600.0


@virtually
async def test_calls_on_virtual_time_begin_on_the_day_of_the_seeded_tours() -> None:
    settings = Settings.read({**SETTINGS, "CONFIGURATION": str(CONFIGURATION)})
    async with hosted(settings, Pace(is_virtual=True)) as service:
        await service.prepare([])
        first = service.clock()
        await asyncio.sleep(_DAYS)  # virtual
        later = service.clock()
        await service.prepare([])

        assert later == first + _DAYS
        assert service.clock() == first
        assert await service.items("availableApartmentAppointments", "2026-03-05::") != []
