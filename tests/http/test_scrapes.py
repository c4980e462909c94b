"""A process that ends waits for its scraper, and for nothing else."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import aiohttp
import pytest
import structlog

from agent.cli import serve
from agent.http.server import SCRAPE_HEADER, Scrapes
from agent.settings import Settings
from agent.simulator.virtual_time import run_virtually
from tests.dynamodb import free_port
from tests.waiting import no_longer, until

SCRAPED = {SCRAPE_HEADER: "5"}


def seconds_waited(before: list[float], end: float, after: list[float]) -> float:
    """How long a process waits that has drained at `end`; scrapes are at these seconds.

    It drains from one second before.
    """

    async def play() -> float:
        clock = asyncio.get_running_loop().time
        began = clock()
        scrapes = Scrapes(clock)

        async def scrape() -> None:
            for second in sorted([*before, *after]):
                await asyncio.sleep(began + second - clock())
                scrapes.note(SCRAPED, is_draining=second >= end - 1)

        async with asyncio.TaskGroup() as tasks:
            scraping = tasks.create_task(scrape(), name="scrape")
            await asyncio.sleep(end)
            await scrapes.until_seen()
            waited = clock() - began - end
            scraping.cancel()
        return round(waited, 3)

    return run_virtually(play())


@pytest.mark.parametrize(
    ("before", "end", "after", "waited"),
    [
        ([0, 15], 17, [30], 13),
        ([0, 30], 32, [60], 28),
        ([0, 15, 30], 31, [45], 0),  # it was seen while calls were handed over
        ([0, 15], 17, [], 20.5),  # late by half of the interval
        ([0, 15], 60, [], 0),  # has left long ago
        ([], 17, [], 0),
        ([0], 17, [30], 0),  # once is no interval
        ([0, 60], 61, [120], 0),
    ],
)
def test_process_stays_until_its_scraper_has_seen_that_it_drains(
    before: list[float], end: float, after: list[float], waited: float
) -> None:
    assert seconds_waited(before, end, after) == waited


def test_readers_that_are_no_scrapers_are_not_waited_for() -> None:
    async def play() -> float:
        clock = asyncio.get_running_loop().time
        scrapes = Scrapes(clock)
        for _ in range(3):
            scrapes.note({"User-Agent": "curl"}, is_draining=False)
            await asyncio.sleep(15)
        began = clock()
        await scrapes.until_seen()
        return clock() - began

    assert run_virtually(play()) == 0


@pytest.mark.needs("time")
@pytest.mark.usefixtures("plain_logging")
@pytest.mark.parametrize("again", [False, True], ids=["scraped", "second signal"])
async def test_drained_service_is_scraped_once_more(
    service_settings: Settings, again: bool
) -> None:
    """Or a second signal ends it without that."""
    metrics_port = free_port()
    settings = replace(service_settings, port=free_port(), metrics_port=metrics_port)
    url = f"http://127.0.0.1:{metrics_port}/metrics"
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(serve.serve(settings), name="serve")
        await until(lambda: any(entry["event"] == "service.started" for entry in logs))
        async with aiohttp.ClientSession(headers=SCRAPED) as http:
            texts = [await _text(http, url)]
            await asyncio.sleep(2)  # a scraper keeps an interval, which the process learns
            texts.append(await _text(http, url))
            signal.raise_signal(signal.SIGTERM)
            await until(lambda: any(entry["event"] == "service.draining" for entry in logs))
            if again:
                signal.raise_signal(signal.SIGTERM)
            else:
                texts.append(await _text(http, url))
        async with no_longer():
            await task

    assert [text.count("agent_draining 1.0") for text in texts] == [0, 0, 1][: len(texts)]


async def _text(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as response:
        return await response.text()
