"""The table behind `ports.Store`: DynamoDB if `TABLE_NAME` is set, otherwise one SQLite file.

The AWS SDK is imported only if a table is named: an offline process does not load it.
"""

from __future__ import annotations

from pathlib import Path

from agent.ports import Store
from agent.store.sqlite import SqliteStore
from agent.store.sqlite_file import file_error

__all__ = ["create_table", "file_error", "open_store"]


async def open_store(
    table_name: str, path: Path, *, region: str, max_calls: int, make: bool = True
) -> Store:
    """Open the table, or raise `StoreError`; `make` creates a file, never a DynamoDB table."""
    if not table_name:
        return await SqliteStore.open(path, make=make)
    from agent.store.dynamodb_table import DynamoDBStore  # noqa: PLC0415 (see the module)

    return await DynamoDBStore.open(table_name, region=region, connections=2 * max_calls)


async def create_table(table_name: str, *, region: str) -> bool:
    """Create the DynamoDB table if it is missing; returns whether it was."""
    from agent.store.dynamodb_client import create_table as create  # noqa: PLC0415 (see the module)

    return await create(table_name, region=region)
