"""The `serve` command: takes calls until the process has to end, then drains them.

`agent.capacity.drain` says when it has to, and in which stages. A call that still goes on after
the last one is cut, and the log says so. A process that cannot end even then, as a thread hangs,
ends itself with status 1, and writes where each thread was.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from agent.app import Service, running
from agent.capacity.drain import (
    LINGER_SHARE,
    MODES,
    SHARES,
    TOTAL_SHARE,
    Drain,
    DrainEvent,
    DrainStage,
)
from agent.capacity.watched_target import watched_target
from agent.cli.command import Commands, add_config, read_settings
from agent.cli.event_loop import new_loop, settled
from agent.cli.workers import DRAIN_SIGNAL, READY, serve_with_workers
from agent.http.server import raise_file_limit
from agent.llm.offline import OFFLINE_NOTICE
from agent.observability import configure_logging
from agent.settings import Settings, SettingsError, log_format_for
from agent.store import file_error, open_store
from agent.tools import load_tools, specs_of
from agent.usecases import seed

log = structlog.get_logger(__name__)

Events = asyncio.Queue[DrainEvent]
_SIGNALS = {signal.SIGTERM: DrainEvent.TERMINATED, signal.SIGINT: DrainEvent.INTERRUPTED}


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
        await serve(settings, READY, worker=asked.worker, limit_exit=_limit_exit)
    elif settings.web_concurrency > 1:
        options = ["--config", asked.config] if asked.config else []
        await serve_with_workers(settings, options, _events(), asked.announce)
    else:
        await serve(settings, asked.announce, limit_exit=_limit_exit)
    return 0


def _limit_exit(seconds: float) -> None:
    """End the process after so long, whatever its threads do."""
    faulthandler.dump_traceback_later(seconds, exit=True)


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


async def serve(
    settings: Settings,
    announcement: str = "",
    *,
    worker: str = "",
    limit_exit: Callable[[float], object] = lambda _: None,
) -> None:
    """Serve until the process has to end, then drain its calls (`agent.capacity.drain`).

    Args:
        settings: Of the service; the end is at most `drain_seconds` after the first event.
        announcement: Printed once both ports are open; empty = nothing.
        worker: As of `agent.app.running`.
        limit_exit: Called when the drain begins, with the seconds until the process must be over.
    """
    raise_file_limit()
    events = _events()
    if worker:
        _stop_with_parent(events)
    group, metadata_uri = settings.target_group_arn, settings.ecs_container_metadata_uri_v4
    requested = partial(events.put_nowait, DrainEvent.REQUESTED)
    deregistered = partial(events.put_nowait, DrainEvent.DEREGISTERED)
    async with (
        running(settings, worker=worker, on_drain=requested) as service,
        watched_target(group, metadata_uri, service.port, deregistered),
        settled(),
    ):
        if announcement:
            print(announcement, flush=True)
        if settings.model_identifier.startswith("offline:"):
            log.warning("model.offline", notice=OFFLINE_NOTICE)
        log.info("service.started", port=service.port, metrics_port=service.metrics_port)
        if service.console_key and service.metrics_port and sys.stderr.isatty():
            place = f"http://localhost:{service.metrics_port}/console"
            print(f"Console: {place} with the password {service.console_key}", file=sys.stderr)
        first = await events.get()
        service.telemetry.count("agent_draining", 1)
        limit_exit(settings.drain_seconds * TOTAL_SHARE)
        await drain(service, first, events, settings.drain_seconds)
    log.info("service.stopped")


def _events() -> Events:
    """Signals of this process from now on, as events; others may be added."""
    events = Events()
    loop = asyncio.get_running_loop()
    for number, event in _SIGNALS.items():
        loop.add_signal_handler(number, events.put_nowait, event)
    return events


def _stop_with_parent(events: Events) -> None:
    """Obey the process that started this one, and drain when it has ended.

    Standard input is a pipe from it.
    """
    loop, pipe = asyncio.get_running_loop(), sys.stdin.fileno()
    loop.add_signal_handler(DRAIN_SIGNAL, events.put_nowait, DrainEvent.REQUESTED)

    def read() -> None:
        if not os.read(pipe, 1):
            loop.remove_reader(pipe)
            events.put_nowait(DrainEvent.TERMINATED)

    loop.add_reader(pipe, read)


async def drain(service: Service, first: DrainEvent, events: Events, seconds: float) -> None:
    """Drain the calls stage by stage, until the stage in which their connections are closed.

    Args:
        service: With the calls of this process.
        first: Why it has to end.
        events: What happens meanwhile.
        seconds: As `Settings.drain_seconds`.
    """
    active, now = service.calls.active_calls, asyncio.get_running_loop().time
    lingers_until = now() + seconds * LINGER_SHARE
    state, event, ends_at = Drain(), first, 0.0

    async def none_left() -> None:
        if state.lingers:
            await asyncio.sleep(lingers_until - now())
        await service.calls.until_quiet()
        if state.stage < DrainStage.GOODBYES:
            await service.scrapes.until_seen()

    while True:
        before, state = state, state.after(event)
        if state.stage is not before.stage:
            lasts = seconds * SHARES[state.stage]
            ends_at = now() + lasts
            if state.stage is DrainStage.CLOSING:
                break
            mode = MODES[state.stage]
            log.info(
                "service.draining", cause=event, calls=active.count, departure=mode, seconds=lasts
            )
            active.drain(mode)
        event = await _next(none_left(), events, ends_at - now())
    if active.count:
        log.warning("service.calls_cut", calls=active.count)


async def _next(
    none_left: Coroutine[None, None, None], events: Events, seconds: float
) -> DrainEvent:
    """The next event: one that was put, or no call is left, or the time of the stage is up."""
    quiet = asyncio.create_task(none_left, name="quiet")
    told = asyncio.create_task(events.get(), name="event")
    limit = max(0.0, seconds)
    await asyncio.wait({quiet, told}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    for wait in (quiet, told):
        wait.cancel()
    if told.done() and not told.cancelled():
        return told.result()
    return DrainEvent.CALLS_OVER if quiet.done() else DrainEvent.STAGE_OVER
