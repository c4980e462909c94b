"""Prometheus' checker, and a real Prometheus that scrapes services quickly for a test.

Its own configuration differs from the shipped one in nothing but intervals, targets and folder.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.dynamodb import free_port
from tests.needs import use

_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.05
_FAST = "400ms"


def program(name: str) -> str:
    """Where one of Prometheus' programs is; fails if it is nowhere."""
    use("prometheus")
    found = shutil.which(name)
    assert found, f"{name} is not installed; tests/run.sh would (see prometheus.sh)"
    return found


def promtool(*arguments: object) -> str:
    """What it says of files that are right; fails with what it says of others."""
    return tool_of_prometheus("promtool", *arguments)


def tool_of_prometheus(name: str, *arguments: object) -> str:
    """The same of `promtool` or `amtool`."""
    command = [program(name), *map(str, arguments)]
    run = subprocess.run(  # noqa: S603 (Prometheus' program and our own files)
        command, capture_output=True, text=True, check=False
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    return said


class PrometheusError(Exception):
    """It did not start, or did not understand."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str
    http: aiohttp.ClientSession

    async def ask(self, expr: str, at: float | None = None) -> list[float]:
        """Values at epoch seconds or now, without those that are no numbers."""
        time = {} if at is None else {"time": str(at)}
        found = await self._get("query", query=expr, **time)
        if found["resultType"] != "vector":
            raise PrometheusError(f"no vector: {expr}")
        values = [float(each["value"][1]) for each in found["result"]]
        return [value for value in values if not math.isnan(value)]

    async def series(self, expr: str) -> list[dict[str, str]]:
        """The labels of what an expression has now, without the name, sorted by instance."""
        found = (await self._get("query", query=expr))["result"]
        labels = [
            {name: value for name, value in each["metric"].items() if name != "__name__"}
            for each in found
        ]
        return sorted(labels, key=lambda each: each["instance"])

    async def until(self, expr: str) -> list[float]:
        """Wait until an expression has values; which ones."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not (values := await self.ask(expr)):  # noqa: ASYNC110 (as below)
                await asyncio.sleep(_POLL_SECONDS)  # a scrape has no event for us
        return values

    async def sick_rules(self) -> dict[str, str]:
        """The rules that could not be evaluated, with the reason, by their names.

        Waits until each rule was evaluated once: groups begin at different times of an interval.
        """
        rules = await self._rules()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while any(rule["health"] == "unknown" for rule in rules):
                await asyncio.sleep(_POLL_SECONDS)  # an evaluation has no event for us
                rules = await self._rules()
        return {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"}

    async def _rules(self) -> list[dict[str, Any]]:
        found = await self._get("rules")
        return [rule for group in found["groups"] for rule in group["rules"]]

    async def _get(self, what: str, **parameters: str) -> Any:
        async with self.http.get(f"{self.url}/api/v1/{what}", params=parameters) as response:
            answer: Mapping[str, Any] = await response.json()
        if answer["status"] != "success":
            raise PrometheusError(f"{answer['error']}: {parameters}")
        return answer["data"]


def scrape(target: str) -> list[dict[str, Any]]:
    """The shipped configuration, for a target such as `127.0.0.1:9090`."""
    return [{"job_name": "voice-agent", "static_configs": [{"targets": [target]}]}]


@asynccontextmanager
async def watching(
    folder: Path, scrapes: Sequence[Mapping[str, Any]], *rules: Path, interval: str = _FAST
) -> AsyncIterator[Prometheus]:
    """One with these scrape configurations and rules; ends on leaving."""
    configuration = folder / "prometheus.yml"
    times = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    content = {
        "global": dict.fromkeys(times, interval),
        "rule_files": [str(path) for path in rules],
        "scrape_configs": scrapes,
    }
    configuration.write_text(json.dumps(content))  # which is YAML, too
    port = free_port()
    process = await _start(folder, configuration, port)
    try:
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus(f"http://127.0.0.1:{port}", http)
            await _until_ready(process, prometheus, folder)
            yield prometheus
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _start(folder: Path, configuration: Path, port: int) -> asyncio.subprocess.Process:
    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (folder / "prometheus.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *guard,
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )


async def _until_ready(
    process: asyncio.subprocess.Process, prometheus: Prometheus, folder: Path
) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while process.returncode is None:
            try:
                async with prometheus.http.get(f"{prometheus.url}/-/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(_POLL_SECONDS)  # a process that starts has no event for us
    raise PrometheusError((folder / "prometheus.log").read_text())
