"""The load balancer in front of the servers: HAProxy, with a certificate of its own.

What a load balancer of a cloud does, as far as calls depend on it: it ends TLS, sends each new
request to the server with the fewest connections, asks every server whether it is ready and sends
nothing new to one that is not, and leaves sockets alone that run through such a server. It does the
same with a server that is deregistered, until it cuts the connections of that. A request that meets
a dead server before the next check goes to another one; an answer that a dying server has begun is
lost, and the client gets 502.
"""

from __future__ import annotations

import asyncio
import csv
import shutil
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.dynamodb import free_port
from tests.emulators.target_group import States
from tests.needs import use

_START_SECONDS = 20.0
_POLL_SECONDS = 0.05
_TARGET_STATES = {"UP": "healthy", "DRAIN": "draining"}
_CONFIGURATION = """
# Each connection takes two files of the system.
global
    maxconn 9000
    stats socket ipv4@127.0.0.1:{commands_port} level admin
defaults
    mode http
    option http-server-close
    option redispatch 1
    retries 3
    timeout connect 1s
    timeout check 2s
    timeout http-request 10s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend public
    bind 127.0.0.1:{port} ssl crt {certificate}
    default_backend servers
frontend states
    bind 127.0.0.1:{states_port}
    stats enable
    stats uri /
backend servers
    balance leastconn
    option httpchk GET /health/ready
    http-check expect status 200
    default-server inter 200ms fall 1 rise 1
{servers}
"""


class FrontError(Exception):
    """HAProxy is not there or did not start."""


@dataclass(frozen=True, slots=True)
class Front:
    """A load balancer that listens."""

    url: str
    """`https://127.0.0.1:…`."""
    trust: ssl.SSLContext
    """What a client needs to believe the certificate."""
    port: int
    _states_url: str
    _commands_port: int
    _servers: tuple[int, ...]

    async def deregister(self, number: int) -> None:
        """Send no new connection to a server; those that are open go on."""
        await self._command(f"set server servers/s{number} state drain")

    async def register(self, number: int) -> None:
        """Send connections to a server again."""
        await self._command(f"set server servers/s{number} state ready")

    async def cut(self, number: int) -> int:
        """Break all connections to a server; how many there were."""
        open_now = int((await self._rows())[number]["scur"])
        await self._command(f"shutdown sessions server servers/s{number}")
        return open_now

    async def target_states(self) -> States:
        """What `DescribeTargetHealth` would say."""
        rows = await self._rows()
        return {
            ("127.0.0.1", port): _TARGET_STATES.get(row["status"].split()[0], "unhealthy")
            for port, row in zip(self._servers, rows, strict=True)
        }

    async def _command(self, text: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._commands_port)
        writer.write(f"{text}\n".encode())
        answer = (await reader.read()).decode().strip()
        writer.close()
        if answer:
            raise FrontError(answer)

    async def _rows(self) -> list[dict[str, str]]:
        async with aiohttp.ClientSession() as http, http.get(self._states_url) as response:
            rows = csv.DictReader((await response.text()).removeprefix("# ").splitlines())
        return [row for row in rows if row["pxname"] == "servers" and row["svname"] != "BACKEND"]

    async def until(self, *ups: bool) -> None:
        """Wait until just these servers get new requests, in the order of `opened`."""
        async with asyncio.timeout(_START_SECONDS):
            while await self._ups() != ups:  # noqa: ASYNC110 (as below)
                await asyncio.sleep(_POLL_SECONDS)  # a table of states has no event

    async def _ups(self) -> tuple[bool, ...]:
        return tuple(row["status"].startswith("UP") for row in await self._rows())


@asynccontextmanager
async def opened(folder: Path, servers: Sequence[int]) -> AsyncIterator[Front]:
    """A load balancer in front of these ports of 127.0.0.1; its files are in the folder."""
    port, states_port, commands_port = free_port(), free_port(), free_port()
    certificate = folder / "front.pem"
    authority = _write_certificate(certificate)
    lines = [f"    server s{number} 127.0.0.1:{at} check" for number, at in enumerate(servers)]
    (folder / "front.cfg").write_text(
        _CONFIGURATION.format(
            port=port,
            states_port=states_port,
            commands_port=commands_port,
            certificate=certificate,
            servers="\n".join(lines),
        )
    )
    process = await _start(folder)
    states = f"http://127.0.0.1:{states_port}/;csv"
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await is_answered(states):
                if process.returncode is not None:
                    raise FrontError((folder / "front.log").read_text())
                await asyncio.sleep(_POLL_SECONDS)  # a process that starts has no event for us
        trust = ssl.create_default_context(cadata=authority)
        url = f"https://127.0.0.1:{port}"
        yield Front(url, trust, port, states, commands_port, tuple(servers))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _start(folder: Path) -> asyncio.subprocess.Process:
    use("balancer")
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        raise FrontError("haproxy is not installed; tests/run.sh would (apt-get install haproxy)")
    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (folder / "front.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *guard, program, "-db", "-f", folder / "front.cfg", stdout=log, stderr=log
        )


async def is_answered(url: str) -> bool:
    """Whether a server is there and has nothing against the request."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _write_certificate(path: Path) -> str:
    """Write a key and a certificate for 127.0.0.1; the certificate, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(secret + certificate)
    return certificate.decode()
