"""The `serve` command: takes calls until a signal, then lets them end.

    SIGTERM             each call moves to another process at its next pause; after
                        `AT_ONCE_SHARE` of the drain time without waiting for a pause;
                        calls that are left end with a goodbye
    SIGINT, or a second SIGTERM
                        a goodbye at once

A call that still goes on after that is cut, and the log says so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime

import structlog

from agent.app import running
from agent.call.events import ShutdownMode
from agent.cli.command import Commands, add_config, read_settings
from agent.cli.event_loop import new_loop, settled
from agent.cli.workers import READY, serve_with_workers
from agent.http.server import raise_file_limit
from agent.llm.offline import OFFLINE_NOTICE
from agent.observability import configure_logging
from agent.session.call_manager import CallManager
from agent.settings import Settings, SettingsError, log_format_for
from agent.store import file_error, open_store
from agent.tools import load_tools, specs_of
from agent.usecases import seed

log = structlog.get_logger(__name__)

AT_ONCE_SHARE = 0.8
"""Share of the drain time after which a call does not wait for a pause to move."""
GOODBYE_SECONDS = 5.0
"""Time limit for the goodbyes."""


def add(commands: Commands) -> None:
    """Add the command."""
    serving = commands.add_parser("serve", help="take calls until SIGTERM")
    serving.add_argument(
        "--seed",
        action="store_true",
        help="create the file at STORE_PATH with the configuration if it is missing;"
        " no effect with TABLE_NAME",
    )
    serving.add_argument(
        "--announce", default="", metavar="TEXT", help="print this once both ports are open"
    )
    serving.add_argument(
        "--workers", type=int, metavar="N", help="processes; unset = WEB_CONCURRENCY"
    )
    serving.add_argument("--worker", default="", help=argparse.SUPPRESS)  # see `workers`
    add_config(serving)
    serving.set_defaults(run=_run, loop=new_loop)


async def _run(asked: argparse.Namespace) -> int:
    settings = read_settings(asked)
    log_format, with_personal = log_format_for(settings), settings.log_personal_data
    configure_logging(settings.log_level, log_format, with_personal=with_personal)
    if asked.workers is not None:
        if asked.workers < 1:
            raise SettingsError("--workers: must be 1 or more")
        settings = replace(settings, web_concurrency=asked.workers)
    if asked.seed and not settings.table_name:
        await _make_file(settings)
    if asked.worker:
        structlog.contextvars.bind_contextvars(pid=os.getpid())
        await serve(settings, READY, worker=asked.worker)
    elif settings.web_concurrency > 1:
        options = ["--config", asked.config] if asked.config else []
        await serve_with_workers(settings, options, _signals(), asked.announce)
    else:
        await serve(settings, asked.announce)
    return 0


async def _make_file(settings: Settings) -> None:
    """Create the embedded table with the configuration if it is missing.

    Raises `StoreError` if that fails; there is no file then.
    """
    path, folder = settings.store_path, settings.configuration
    draft = path.with_name(f"{path.name}.new")
    try:
        if path.exists():
            return
        specs, now = specs_of(load_tools(folder)), datetime.now(settings.time_zone)
        draft.unlink(missing_ok=True)
        store = await open_store("", draft, region="", max_calls=settings.max_calls)
        try:
            await seed.seed(store, folder, specs, now=now)
        finally:
            await store.close()
        draft.replace(path)
    except OSError as error:
        raise file_error(path, error) from error


async def serve(settings: Settings, announcement: str = "", *, worker: str = "") -> None:
    """Serve until SIGTERM or SIGINT, then let the calls end; a second signal ends them at once.

    `announcement` is printed once both ports are open; `worker` is as of `agent.app.running`.
    """
    raise_file_limit()
    signals = _signals()
    if worker:
        _stop_with_parent(signals)
    async with running(settings, worker=worker) as service, settled():
        if announcement:
            print(announcement, flush=True)
        if settings.model_identifier.startswith("offline:"):
            log.warning("model.offline", notice=OFFLINE_NOTICE)
        log.info("service.started", port=service.port, metrics_port=service.metrics_port)
        first = await signals.get()
        service.telemetry.count("agent_draining", 1)
        await _leave(service.calls, first, signals, settings.drain_seconds)
        if first is not signal.SIGINT:
            await _is_interrupted(service.scrapes.until_seen(), signals)
    log.info("service.stopped")


def _signals() -> asyncio.Queue[signal.Signals]:
    """The signals of this process from now on."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


def _stop_with_parent(signals: asyncio.Queue[signal.Signals]) -> None:
    """Drain when the process has ended that started this one: standard input is a pipe from it."""
    loop, pipe = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if not os.read(pipe, 1):
            loop.remove_reader(pipe)
            signals.put_nowait(signal.SIGTERM)

    loop.add_reader(pipe, read)


async def _leave(
    calls: CallManager,
    first: signal.Signals,
    signals: asyncio.Queue[signal.Signals],
    seconds: float,
) -> None:
    """Drain the calls stage by stage until none is left; another signal ends them at once."""
    active = calls.active_calls
    stages = [
        (ShutdownMode.WHEN_QUIET, seconds * AT_ONCE_SHARE),
        (ShutdownMode.AT_ONCE, seconds * (1 - AT_ONCE_SHARE)),
    ]
    for departure, limit in [] if first is signal.SIGINT else stages:
        log.info("service.draining", calls=active.count, departure=departure, seconds=limit)
        active.drain(departure)
        if await _is_interrupted(calls.until_quiet(), signals, limit) or not active.count:
            break
    if active.count:
        log.info("service.ending_calls", calls=active.count)
        active.drain(ShutdownMode.GOODBYE)
        await _is_interrupted(calls.until_quiet(), signals, GOODBYE_SECONDS)
    active.is_draining = True
    if active.count:
        log.warning("service.calls_cut", calls=active.count)


async def _is_interrupted(
    end: Coroutine[None, None, None],
    signals: asyncio.Queue[signal.Signals],
    seconds: float | None = None,
) -> bool:
    """Wait for this, at most so long; true if another signal came first."""
    quiet = asyncio.create_task(end, name="quiet")
    interrupted = asyncio.create_task(signals.get(), name="signal")
    await asyncio.wait({quiet, interrupted}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in (quiet, interrupted):
        wait.cancel()
    return interrupted.done() and not interrupted.cancelled()
