"""The table behind `ports.Store`, and what it holds.

    TABLE_NAME is set     DynamoDB (`agent.store.dynamodb`)
    otherwise             one SQLite file (`agent.store.sqlite`)

The library of AWS is imported when a table is named and not before: an offline process has no AWS.
"""

from __future__ import annotations

from pathlib import Path

from agent.ports import Store
from agent.store.sqlite import SqliteStore

__all__ = ["create_table", "open_store"]


async def open_store(
    table_name: str, path: Path, *, region: str, max_calls: int, make: bool = True
) -> Store:
    """The table of this process.

    Args:
        table_name: In DynamoDB; empty = the file.
        path: The file.
        region: Of the table; empty = as the SDK finds it.
        max_calls: Twice as many connections are the most there may be.
        make: The file, if it is missing. A table in DynamoDB is never made here.

    Raises:
        StoreError: It cannot be used; one line.
    """
    if not table_name:
        return await SqliteStore.open(path, make=make)
    from agent.store.dynamodb import DynamoDBStore  # noqa: PLC0415 (see the module)

    return await DynamoDBStore.open(table_name, region=region, connections=2 * max_calls)


async def create_table(table_name: str, *, region: str) -> bool:
    """Make the table in DynamoDB if it is missing; tells whether it was."""
    from agent.store.dynamodb import create_table as create  # noqa: PLC0415 (see the module)

    return await create(table_name, region=region)
