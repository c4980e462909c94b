"""The load balancer in front of the servers: HAProxy, with a certificate of its own.

What a load balancer of a cloud does, as far as calls depend on it: it ends TLS, sends each new
request to the server with the fewest connections, asks every server whether it is ready and sends
nothing new to one that is not, and leaves sockets alone that run through such a server. A request
that meets a dead server before the next check goes to another one; an answer that a dying server
has begun is lost, and the client gets 502.
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
from tests.needs import use

_START_SECONDS = 20.0
_POLL_SECONDS = 0.05
_CONFIGURATION = """
# Each connection takes two files of the system.
global
    maxconn 9000
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

    async def until(self, *ups: bool) -> None:
        """Wait until just these servers get new requests, in the order of `opened`."""
        async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
            while await self._ups(http) != ups:  # noqa: ASYNC110 (as below)
                await asyncio.sleep(_POLL_SECONDS)  # a table of states has no event

    async def _ups(self, http: aiohttp.ClientSession) -> tuple[bool, ...]:
        async with http.get(self._states_url) as response:
            rows = csv.DictReader((await response.text()).removeprefix("# ").splitlines())
        servers = [row for row in rows if row["pxname"] == "servers" and row["svname"] != "BACKEND"]
        return tuple(row["status"].startswith("UP") for row in servers)


@asynccontextmanager
async def opened(folder: Path, servers: Sequence[int]) -> AsyncIterator[Front]:
    """A load balancer in front of these ports of 127.0.0.1; its files are in the folder."""
    port, states_port = free_port(), free_port()
    certificate = folder / "front.pem"
    authority = _write_certificate(certificate)
    lines = [f"    server s{number} 127.0.0.1:{at} check" for number, at in enumerate(servers)]
    (folder / "front.cfg").write_text(
        _CONFIGURATION.format(
            port=port,
            states_port=states_port,
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
        yield Front(f"https://127.0.0.1:{port}", trust, port, states)
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
