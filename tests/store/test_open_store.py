"""Which table a process has, and what it imports for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent.ports import Item
from agent.store import open_store
from tests.dynamodb import REGION

ITEM: Item = {"pk": "a", "sk": "one"}


async def test_without_a_name_the_table_is_the_file(tmp_path: Path) -> None:
    for _ in range(2):
        store = await open_store("", tmp_path / "agent.db", region="", max_calls=1)
        await store.put(ITEM)
        await store.close()

    assert (tmp_path / "agent.db").exists()


async def test_with_a_name_the_table_is_in_dynamodb(tmp_path: Path, table_name: str) -> None:
    found = []
    for _ in range(2):
        store = await open_store(table_name, tmp_path / "agent.db", region=REGION, max_calls=1)
        found.append(await store.get("a", "one"))
        await store.put(ITEM)
        await store.close()

    assert found == [None, ITEM]
    assert not (tmp_path / "agent.db").exists()


def test_a_process_without_a_table_in_aws_does_not_import_its_library(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "import agent.cli.serve\n"
        "from agent.store import open_store\n"
        f"path = pathlib.Path({str(tmp_path / 'agent.db')!r})\n"
        "async def main():\n"
        "    await (await open_store('', path, region='', max_calls=1)).close()\n"
        "asyncio.run(main())\n"
        "print(sorted({'aioboto3', 'aiobotocore', 'boto3', 'botocore'} & set(sys.modules)))"
    )

    run = subprocess.run(  # noqa: S603 (our own interpreter and program)
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (run.stdout, run.stderr) == ("[]\n", "")
