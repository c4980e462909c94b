"""The service as a child process, measured from outside."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS, _STOP_SECONDS = 60, 30
_POLL_SECONDS = 0.01
_FAULT = re.compile(r'Traceback|"level": ?"(error|critical)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """The service as a child process."""

    process: asyncio.subprocess.Process
    base: str
    metrics: str
    folder: Path
    start_seconds: float = 0.0
    """From the beginning of the process until it was ready."""

    def rss_bytes(self) -> int:
        """Resident memory, from `/proc`; 0 where there is none."""
        return rss_bytes(self.process.pid)

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return cpu_seconds(self.process.pid)

    async def scrape(self) -> dict[str, float]:
        """Samples of the metrics, over a connection of its own; histograms with their limits."""
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get(self.metrics) as response,
        ):
            text = await response.text()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                limit = f"<{sample.labels['le']}" if "le" in sample.labels else ""
                name = f"{sample.name}{limit}"
                found[name] = found.get(name, 0) + sample.value
        return found

    def log_lines(self) -> list[str]:
        """Lines that it and its commands have logged."""
        return _read_lines(self.folder / "log")

    def logged_faults(self) -> list[str]:
        """Lines of level error, and every traceback."""
        return [line for line in self.log_lines() if _FAULT.search(line)]


def rss_bytes(process: int) -> int:
    """Resident memory of a process, from `/proc`; 0 where there is none."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return 0
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far; 0 where there is none."""
    try:  # its clock as clock_getcpuclockid(3) numbers it: /proc has no less than ten milliseconds
        return time.clock_gettime((~process << 3) | 2)
    except OSError:
        return 0.0


@contextmanager
def on_cores_apart(*services: int) -> Iterator[None]:
    """Give these processes one core, and this one with its later children the others.

    Left alone, the kernel likes to wake a reader on the core of its writer, where it waits for the
    writer to pause: a client then measures that, too. On a single core nothing can be done.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        yield
        return
    for service in services:
        _pin(service, {cores[0]})
    _pin(os.getpid(), set(cores[1:]))
    try:
        yield
    finally:
        _pin(os.getpid(), set(cores))


def _pin(process: int, cores: set[int]) -> None:
    """Pin the threads of a process; later ones inherit it."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


@dataclass(frozen=True, slots=True)
class Program:
    """The service of a checkout, which may have an environment of its own in `.venv`."""

    root: Path = ROOT
    arguments: tuple[str, ...] = ("-m", "agent")
    """Of Python, before `serve`."""


@asynccontextmanager
async def serving(
    folder: Path,
    token: str,
    profiles: Mapping[str, str],
    program: Program = Program(),
    /,
    **further: str,
) -> AsyncIterator[Server]:
    """Load the configuration and the callers, serve until ready; stop at the end.

    Args:
        folder: For all its files.
        token: Twilio's.
        profiles: Callers and the use cases they are routed to.
        program: Of which checkout, and how it is started.
        further: Environment variables, in place of those given here.

    Raises:
        RuntimeError: It does not start.
    """
    port, metrics_port = free_port(), free_port()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "STORE_PATH": str(folder / "agent.db"),
        "WS_URL": f"ws://127.0.0.1:{port}/",
        "TWILIO_AUTH_TOKEN": token,
        "MODEL_IDENTIFIER": "offline:",
        "LOG_FORMAT": "json",
        "CALLER_CALLS_AT_ONCE": "0",
        "CALLER_CALLS_PER_HOUR": "0",
        "CALLER_TOKENS_PER_DAY": "0",
        **further,
    }
    place = Place(folder, program.root, environment)
    await place.run("-m", "agent", "seed", "--all")
    for profile in _write_profiles(folder, profiles):
        await place.run("-m", "agent", "seed", "--profile", str(profile))
    began = time.monotonic()
    process = await place.start(*program.arguments, "serve")
    base = f"http://127.0.0.1:{port}"
    try:
        await until_ready(process, f"{base}/health/ready")
        took = time.monotonic() - began
        yield Server(process, base, f"http://127.0.0.1:{metrics_port}/metrics", folder, took)
    finally:
        await stop(process)


@dataclass(frozen=True, slots=True)
class Place:
    """Where processes run: the folder of their log, a checkout, and their environment."""

    folder: Path
    root: Path
    environment: Mapping[str, str]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a Python with these arguments; the checkout's own, if it has one."""
        own = self.root / ".venv/bin/python"
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            return await asyncio.create_subprocess_exec(
                str(own) if self.root != ROOT and own.exists() else sys.executable, *arguments,
                cwd=self.root, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip
        finally:
            os.close(log)

    async def run(self, *arguments: str) -> None:
        """Run a Python to its end; raises `RuntimeError` if it fails."""
        process = await self.start(*arguments)
        try:
            async with asyncio.timeout(_START_SECONDS):
                status = await process.wait()
        finally:
            await stop(process)
        if status:
            tail = "\n".join(_read_lines(self.folder / "log")[-20:])
            raise RuntimeError(f"{' '.join(arguments)} ended with status {status}:\n{tail}")


@asynccontextmanager
async def running(place: Place, url: str, *arguments: str) -> AsyncIterator[int]:
    """Run a server of ours until the end, ready when something answers at `url`; gives its id."""
    process = await place.start(*arguments)
    try:
        await until_ready(process, url)
        yield process.pid
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a process: politely, then not."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def until_ready(process: asyncio.subprocess.Process, url: str) -> None:
    """Ask until it is ready: a process that starts sends no event."""
    async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
        while process.returncode is None:
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the server ended with status {process.returncode}")


def _write_profiles(folder: Path, profiles: Mapping[str, str]) -> list[Path]:
    paths = []
    for caller, use_case in profiles.items():
        path = folder / f"{caller}.toml"
        path.write_text(
            f'caller = "{caller}"\nfirst_name = "Robin"\nlast_name = "Doe"\n'
            f'use_case = "{use_case}"\n',
            encoding="utf-8",
        )
        paths.append(path)
    return paths


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
