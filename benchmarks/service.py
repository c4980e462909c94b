"""The service as a child process, measured from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[1]
_START_SECONDS, _STOP_SECONDS = 60, 30


@dataclass(frozen=True, slots=True)
class Server:
    """The service as a child process."""

    process: asyncio.subprocess.Process
    base: str
    metrics: str
    folder: Path

    def rss_bytes(self) -> int:
        """Resident memory, from `/proc`; 0 where there is none."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return 0
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return cpu_seconds(self.process.pid)

    def store_bytes(self) -> int:
        """The embedded store on disk, with its journal files."""
        return sum(file.stat().st_size for file in self.folder.glob("agent.db*"))

    def log_lines(self) -> list[str]:
        """Lines that it and its commands have logged."""
        return _read_lines(self.folder / "log")


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far, from `/proc`; 0 where there is none."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


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


@asynccontextmanager
async def serving(
    folder: Path, token: str, profiles: Mapping[str, str], **further: str
) -> AsyncIterator[Server]:
    """Load the configuration and the callers, serve until ready; stop at the end.

    Args:
        folder: For all its files.
        token: Twilio's.
        profiles: Callers and the use cases they are routed to.
        further: Environment variables, in place of those given here.

    Raises:
        RuntimeError: It does not start.
    """
    port, metrics_port = _free_ports()
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
    await _agent(folder, environment, "seed", "--all")
    for profile in _write_profiles(folder, profiles):
        await _agent(folder, environment, "seed", "--profile", str(profile))
    process = await _start(folder, environment, "serve")
    base = f"http://127.0.0.1:{port}"
    try:
        await _until_ready(process, base)
        yield Server(process, base, f"http://127.0.0.1:{metrics_port}/metrics", folder)
    finally:
        await _stop(process)


async def _agent(folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
    """Run a command of the service to its end; raises `RuntimeError` if it fails."""
    process = await _start(folder, environment, *arguments)
    try:
        async with asyncio.timeout(_START_SECONDS):
            status = await process.wait()
    finally:
        await _stop(process)
    if status:
        tail = "\n".join(_read_lines(folder / "log")[-20:])
        raise RuntimeError(f"{' '.join(arguments[:2])} ended with status {status}:\n{tail}")


async def _start(
    folder: Path, environment: Mapping[str, str], *arguments: str
) -> asyncio.subprocess.Process:
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", *arguments,
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    finally:
        os.close(log)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, base: str) -> None:
    """Ask until it is ready: a process that starts sends no event."""
    async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
        while process.returncode is None:
            try:
                async with http.get(f"{base}/health/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the service ended with status {process.returncode}")


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


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
