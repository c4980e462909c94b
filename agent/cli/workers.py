"""Serving with several processes on as many cores: starts them, and starts them again.

The workers share the public port (`SO_REUSEPORT`): the system deals connections out, and any worker
takes any webhook and socket, as different machines do. This process serves the operators' port for
all (`agent.http.operators`), protects the task while one of them has calls, watches its target,
and passes on by a signal whatever makes a process drain.

A worker that ends by itself is logged and replaced, at once and then after ever longer pauses; only
before the first is ready it stops the start, as its settings are everybody's. Workers are in
sessions of their own, so that Ctrl-C reaches them once, from here. They notice the end of this
process by the end of their standard input.

Rejected: a fork after the start, which would share memory that a collection soon copies, and
connections and threads that must not be shared.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from agent.app import dial_keys
from agent.capacity.drain import DrainEvent
from agent.capacity.ecs_task_protection import OnActive, open_protection
from agent.capacity.watched_target import watched_target
from agent.errors import AgentError
from agent.http.operators import Workers
from agent.http.server import operators_address, tried_port
from agent.observability.embedded_metrics import write_active_calls
from agent.settings import Settings, embedded_service_for

log = structlog.get_logger(__name__)

DRAIN_SIGNAL = signal.SIGUSR1
"""Makes a worker drain as `POST /drain` does."""
READY = "ready"
"""What a worker prints when it takes calls."""
LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
"""A worker that ran so long is replaced at once."""
_SIGNALS = {
    DrainEvent.DEREGISTERED: DRAIN_SIGNAL,
    DrainEvent.REQUESTED: DRAIN_SIGNAL,
    DrainEvent.TERMINATED: signal.SIGTERM,
    DrainEvent.INTERRUPTED: signal.SIGINT,
}
_LOOK_SECONDS = 1.0
"""Between two looks at calls in progress, for the protection of the task."""


class WorkerStartError(AgentError):
    """A worker ended before it was ready; it has said why."""


class Pool:
    """`settings.web_concurrency` workers; `options` are those of their command."""

    def __init__(self, settings: Settings, options: Sequence[str], folder: Path, port: int) -> None:
        self.view = Workers()
        self._settings = settings
        self._options = options
        self._folder = folder
        self._environment = {
            **os.environ,
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
            "TASK_PROTECTION": "false",
            "TARGET_GROUP_ARN": "",
        }
        self._running: dict[int, Process] = {}
        self._were_ready: set[int] = set()
        self.is_ready = asyncio.Event()
        """Each worker was ready once."""
        self.is_stopping = asyncio.Event()

    async def keep(self, number: int) -> None:
        """Keep a worker running until `stop`; raises `WorkerStartError` if it never was ready."""
        loop, pause = asyncio.get_running_loop(), 0.0
        while not self.is_stopping.is_set():
            began = loop.time()
            status = await self._run(number)
            if self.is_stopping.is_set():
                return
            if number not in self._were_ready:
                raise WorkerStartError(f"worker {number} ended with status {status}")
            if loop.time() - began > _HEALTHY_SECONDS:
                pause = 0.0
            log.error("worker.ended", worker=number, status=status, again_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.is_stopping.wait(), pause)
            pause = min(2 * pause + 1, LONGEST_PAUSE_SECONDS)

    async def pass_on(self, events: asyncio.Queue[DrainEvent]) -> None:
        """Pass every event on; from the first, no worker is started again."""
        while True:
            event = await events.get()
            self.is_stopping.set()
            log.info("service.draining", cause=event, workers=len(self._running))
            for process in self._running.values():
                process.send_signal(_SIGNALS[event])

    async def protect(self, on_active: OnActive) -> None:
        """Tell the protection of the task how many calls there are, until cancelled."""
        while True:
            on_active(await self.view.active_calls())
            await asyncio.sleep(_LOOK_SECONDS)

    async def _run(self, number: int) -> int:
        """Run one worker to its end; returns its status."""
        path = self._folder / f"worker-{number}"
        path.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", "serve", "--worker", str(path), *self._options,
            stdin=PIPE, stdout=PIPE, env=self._environment, start_new_session=True,
        )  # fmt: skip
        self._running[number] = process
        try:
            if self.is_stopping.is_set():
                process.terminate()
            if process.stdout and (await process.stdout.readline()).strip() == READY.encode():
                self.view.add(number, str(path))
                log.info("worker.started", worker=number, pid=process.pid)
                self._were_ready.add(number)
                if len(self._were_ready) == self._settings.web_concurrency:
                    self.is_ready.set()
            return await process.wait()
        finally:
            del self._running[number]
            if process.returncode is None:
                process.kill()
            await self.view.remove(number)


async def serve_with_workers(
    settings: Settings,
    options: Sequence[str],
    events: asyncio.Queue[DrainEvent],
    announcement: str,
) -> None:
    """Serve until an event of `_SIGNALS`, then let all workers drain.

    `announcement` is printed once all take calls. Raises `WorkerStartError` and `SettingsError`.
    """
    count, uri = settings.web_concurrency, settings.ecs_agent_uri
    group, metadata_uri = settings.target_group_arn, settings.ecs_container_metadata_uri_v4
    requested, keys = partial(events.put_nowait, DrainEvent.REQUESTED), dial_keys(settings)
    deregistered = partial(events.put_nowait, DrainEvent.DEREGISTERED)
    with TemporaryDirectory(prefix="voice-agent-") as folder:
        port = await tried_port(settings.public_host, settings.port, "PORT")
        pool = Pool(settings, options, Path(folder), port)
        async with (
            pool.view.serving(operators_address(settings), keys, requested) as metrics_port,
            watched_target(group, metadata_uri, port, deregistered),
            open_protection(uri if settings.task_protection else "") as on_active,
        ):
            begin = asyncio.create_task
            kept = [begin(pool.keep(each), name=f"worker {each}") for each in range(count)]
            others = [begin(pool.pass_on(events), name="events")]
            if settings.task_protection and uri:
                others.append(begin(pool.protect(on_active), name="protection"))
            try:
                if await _comes(pool.is_ready, kept):
                    print(announcement, end="\n" if announcement else "", flush=True)
                    seats = count * settings.max_calls
                    ports = {"port": port, "metrics_port": metrics_port}
                    log.info("service.started", **ports, workers=count, seats=seats)
                    if service := embedded_service_for(settings):
                        writing = write_active_calls(pool.view.copies, service, sys.stderr.write)
                        others.append(begin(writing, name="embedded metrics"))
                if await _comes(pool.is_stopping, kept):
                    _, late = await asyncio.wait(kept, timeout=settings.drain_seconds)
                    if late:
                        log.error("worker.killed", workers=len(late))
            finally:
                for task in (*kept, *others):
                    task.cancel()
                outcomes = await asyncio.gather(*kept, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
    log.info("service.stopped")


async def _comes(event: asyncio.Event, kept: Sequence[asyncio.Task[None]]) -> bool:
    """Wait for an event; False if a task ends before."""
    waiting = asyncio.create_task(event.wait(), name="event")
    await asyncio.wait({waiting, *kept}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return event.is_set()
