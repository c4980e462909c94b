"""Chromium on the pages of a service that runs as a process of its own.

A page that logs an error, or asks another host, fails the test that opened it; what a test routes
itself it names. Screenshots are kept in `build/screenshots`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped] # no types
from playwright.async_api import Page, Request, async_playwright, expect

from tests import needs
from tests.waiting import HANG_SECONDS, no_longer

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
expect.set_options(timeout=HANG_SECONDS * 1000)
_GRAVE = {"serious", "critical"}
_ONLY_THIS_MACHINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"


@asynccontextmanager
async def process(table: Path, **environment: str) -> AsyncIterator[str]:
    """`python -m agent serve` in development with this table; yields its origin."""
    own = {
        "PORT": "0",
        "METRICS_PORT": "0",
        "STORE_PATH": str(table),
        "WS_URL": "ws://localhost:3000/",
        "LOG_FORMAT": "json",
        "PYTHON_DOTENV_DISABLED": "1",
        "CALLER_CALLS_AT_ONCE": "0",
        "CALLER_CALLS_PER_HOUR": "0",
        **environment,
    }
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "serve",
        cwd=ROOT, env={**os.environ, **own}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert service.stderr is not None
    try:
        async with no_longer():
            async for line in service.stderr:
                if b"service.started" in line:
                    break
        drain = asyncio.create_task(service.stderr.read())
        yield f"http://localhost:{json.loads(line)['port']}"
    finally:
        service.terminate()
        await service.wait()
    assert b"crashed" not in await drain


@asynccontextmanager
async def opened(
    url: str,
    script: str = "",
    *,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1440,
    height: int = 900,
    password: str = "",
    prepare: Callable[[Page], Awaitable[object]] | None = None,
    hosts: tuple[str, ...] = (),
    logged: str = "",
) -> AsyncIterator[Page]:
    """A page; `script` runs before those of the page itself, `password` is for HTTP Basic.

    `prepare` routes requests to `hosts`; errors whose text has `logged` are expected.
    """
    needs.use("browser")
    faults: list[str] = []

    def note_request(request: Request) -> None:
        if urlsplit(request.url).netloc not in {urlsplit(url).netloc, *hosts}:
            faults.append(f"asks {request.url}")

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-fake-device-for-media-stream", _ONLY_THIS_MACHINE],
        )
        context = await browser.new_context(
            color_scheme=scheme,
            viewport={"width": width, "height": height},
            http_credentials={"username": "me", "password": password} if password else None,
        )
        page = await context.new_page()
        page.set_default_timeout(HANG_SECONDS * 1000)
        page.on("request", note_request)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: faults.append(message.text) if message.type == "error" else None,
        )
        if script:
            await page.add_init_script(script)
        if prepare is not None:
            await prepare(page)
        await page.goto(url)
        yield page
        await browser.close()
    unexpected = [fault for fault in faults if not logged or logged not in fault]
    assert unexpected == [], unexpected


async def kept(page: Page, name: str) -> Path:
    """A screenshot of what is seen, as a file with this name."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    await page.screenshot(path=path)
    return path


async def grave_faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is now."""
    results = await Axe().run(page)
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']]}"
        for each in results.response["violations"]
        if each["impact"] in _GRAVE
    ]
