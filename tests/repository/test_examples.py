"""Every example is loaded or run."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from agent.tools import SPECS
from agent.tools.mcp import survey
from agent.usecases import seed

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/use-case.toml"))


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


async def test_every_use_case_loads_without_a_fault(tmp_path: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(folder, tmp_path / "use-cases" / folder.name)
    in_stock = replace(SPECS["EndCallFunction"], name="stock__in_stock")

    assert len(FOLDERS) == 6
    assert seed.check(tmp_path, {**SPECS, in_stock.name: in_stock}) == []


async def test_mcp_server_offers_its_tool(tmp_path: Path) -> None:
    text = json.loads((EXAMPLES / "mcp_tool" / "mcp.json").read_text())
    program = {"command": sys.executable, "args": [str(EXAMPLES / "mcp_tool" / "server.py")]}
    text["mcpServers"]["stock"] |= program
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps(text))

    specs, faults, remarks = await survey(str(path))

    assert (list(specs), faults, remarks) == (["stock__in_stock"], [], [])


@pytest.mark.parametrize(
    ("number", "status", "answer"),
    [
        ("7", 200, {"state": "on its way", "arrives": "at five"}),
        ("9", 404, {"message": "There is no order with this number."}),
    ],
)
async def test_server_of_the_http_tool_answers(
    number: str, status: int, answer: dict[str, str]
) -> None:
    orders = module(EXAMPLES / "http_tool" / "server.py")
    runner = web.AppRunner(orders.application())
    await runner.setup()
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/orders/{number}") as response,
    ):
        assert (response.status, await response.json()) == (status, answer)
    await runner.cleanup()
