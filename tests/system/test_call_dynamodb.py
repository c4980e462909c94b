"""A whole call with its table in DynamoDB, as production is deployed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from agent.tools import SPECS
from agent.usecases import seed
from tests.dynamodb import REGION
from tests.servers import serving, settings_for

CONFIGURATION = Path(__file__).parents[2] / "configuration"
ADA = "+15550100001"


async def test_what_was_agreed_on_the_phone_stands_in_dynamodb(
    table_name: str, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "unused.db", TABLE_NAME=table_name, AWS_REGION=REGION)

    async with serving(settings) as server:
        await seed.seed(server.store, CONFIGURATION, SPECS, now=datetime.now(UTC))
        async with server.twilio.call(From=ADA) as call:
            await call.say("a large pepperoni pizza with mushrooms for pickup")
            await call.say("that's all")
            placed = await call.say("yes", cycles=2)
        (order,) = await server.orders(ADA)

    assert "Your order is placed" in placed.text
    assert order["order_total"] == 23.5
    assert not (tmp_path / "unused.db").exists()
