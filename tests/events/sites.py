"""A receiver of events on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from agent.tools import OutboundHttp
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule
from agent.usecases.receivers import Receiver

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET = {"HOOK": Secret(KEY, (SecretRule.read("HOOK"),))}


@dataclass(slots=True)
class Site:
    """A receiver that keeps what it gets; it answers as the path says."""

    port: int = 0
    got: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.path, dict(request.headers), await request.text()))
        status = int(request.match_info["status"])
        headers = {"Location": "/200"} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    def receiver(self, status: int) -> Receiver:
        return Receiver(url=f"http://127.0.0.1:{self.port}/{status}", secret="HOOK", name="crm")


@asynccontextmanager
async def a_site(listed: str = "=127.0.0.1/32") -> AsyncIterator[tuple[Site, OutboundHttp]]:
    """A receiver on this machine, which the operator lists so."""
    site, app = Site(), web.Application()
    app.router.add_post("/{status}", site.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site.port = int(runner.addresses[0][1])
        rules = f"http://127.0.0.1:{site.port}{listed}" if listed else "other.example.com"
        async with OutboundHttp.open(HostAllowlist.read(rules)) as http:
            yield site, http
    finally:
        await runner.cleanup()
