"""Tasks of the ECS service on a day of calls: what scaling sees, and which calls are refused.

Steps of ten seconds. Calls last four minutes on average, with any length. The balancer deals new
calls out by chance, also to a task that is full: the caller is refused though another has room.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.templates.target_tracking import Readings, Tracker

STEP = 10.0
MINUTE = 60.0
HOUR = 3600.0
CALL = 240.0
WRITES = 30.0
START = 90.0
"""From the start of a task until the balancer sends calls."""
NOTICE = 30.0
"""From its deregistration until a task knows of it."""
QUIET = 20.0
"""Between two quiet moments of a call, on average."""
CALLS = ("VoiceAgent", "ActiveCalls")
TASKS = ("ECS/ContainerInsights", "DesiredTaskCount")
CPU = ("AWS/ECS", "CPUUtilization")

Load = Callable[[float], float]
"""Calls that are wanted at once at a second of the day."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the template says: calls of a task at most, and seconds of its drain.

    A task that `knows_of_drain` writes no calls from then on, and hands them over.
    """

    seats: int
    drain: float
    knows_of_drain: bool = True


@dataclass(frozen=True, slots=True)
class Day:
    """What happens: the load, its length, seconds at which deploys begin.

    `cpu_of_call` is in percent of a task. `late` are minutes after which the number of tasks is
    seen; calls are seen after one.
    """

    load: Load
    seconds: float
    deploys: tuple[float, ...] = ()
    cpu_of_call: float = 0.1
    late: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the calls, and what it took."""

    calls: int
    refused: int
    lost: int
    most_tasks: int
    task_hours: float


@dataclass(slots=True)
class _Task:
    ready_at: float
    calls: list[float] = field(default_factory=list)
    """When they will end."""
    drains_since: float | None = None
    is_old: bool = False

    def takes_calls(self, now: float) -> bool:
        return self.drains_since is None and now >= self.ready_at


class _Fleet:
    def __init__(self, service: Service, tracker: Tracker, day: Day) -> None:
        self._service, self._tracker, self._day = service, tracker, day
        self._chance = Random(day.seed)  # noqa: S311 - reproducible choices
        self._readings = Readings()
        self._tasks = [_Task(0.0) for _ in range(tracker.capacity)]
        self._unborn = 0.0
        self._wanted: list[int] = []
        self._is_deploying = False
        self._calls = self._refused = self._lost = self._most = 0
        self._busy = 0.0

    def play(self) -> Outcome:
        steps = int(self._day.seconds / STEP)
        deploys = {int(each / STEP) for each in self._day.deploys}
        for number in range(steps):
            now = number * STEP
            if number in deploys:
                self._deploy(now)
            self._end_calls(now)
            self._drain(now)
            self._keep(now)
            self._begin_calls(now)
            self._write(now)
            self._most = max(self._most, len(self._tasks))
            self._busy += len(self._tasks) * STEP
        return Outcome(self._calls, self._refused, self._lost, self._most, self._busy / HOUR)

    def _deploy(self, now: float) -> None:
        self._is_deploying = True
        for each in self._tasks:
            each.is_old = each.drains_since is None
        self._tasks += [_Task(now + START) for _ in range(self._tracker.capacity)]

    def _keep(self, now: float) -> None:
        """As many tasks as are wanted; while a deploy starts, old ones stay beside the new."""
        new = [each for each in self._tasks if each.drains_since is None and not each.is_old]
        capacity = self._tracker.capacity
        self._tasks += [_Task(now + START) for _ in range(capacity - len(new))]
        for each in sorted(new, key=lambda task: -len(task.calls))[: max(0, len(new) - capacity)]:
            each.drains_since = now
        if self._is_deploying and all(each.takes_calls(now) for each in new):
            for each in self._tasks:
                if each.is_old and each.drains_since is None:
                    each.drains_since = now
            self._is_deploying = any(each.is_old for each in self._tasks)

    def _drain(self, now: float) -> None:
        for task in [each for each in self._tasks if each.drains_since is not None]:
            since = now - (task.drains_since or 0.0)
            is_over, knows = since >= self._service.drain, self._knows(task, now)
            kept: list[float] = []
            for ends_at in task.calls:
                if is_over or (knows and self._chance.random() < STEP / QUIET):
                    self._move(now, ends_at)
                else:
                    kept.append(ends_at)
            task.calls = kept
            heapq.heapify(task.calls)
            if is_over or (knows and not kept):
                self._tasks.remove(task)

    def _knows(self, task: _Task, now: float) -> bool:
        since = task.drains_since
        return self._service.knows_of_drain and since is not None and now - since >= NOTICE

    def _move(self, now: float, ends_at: float) -> None:
        """A call that is handed over is taken beyond the limit, up to twice as many."""
        task = self._chosen(now)
        if task is None or len(task.calls) >= 2 * self._service.seats:
            self._lost += 1
        else:
            heapq.heappush(task.calls, ends_at)

    def _chosen(self, now: float) -> _Task | None:
        ready = [each for each in self._tasks if each.takes_calls(now)]
        return self._chance.choice(ready) if ready else None

    def _end_calls(self, now: float) -> None:
        for task in self._tasks:
            while task.calls and task.calls[0] <= now:
                heapq.heappop(task.calls)

    def _begin_calls(self, now: float) -> None:
        """As many as keep the load where it is, and what it rises by."""
        load = self._day.load
        rise = load(now) - load(now - STEP)
        self._unborn += max(0.0, load(now) * STEP / CALL + rise)
        while self._unborn >= 1:
            self._unborn -= 1
            self._calls += 1
            task = self._chosen(now)
            if task is None or len(task.calls) >= self._service.seats:
                self._refused += 1
            else:
                heapq.heappush(task.calls, now + self._chance.expovariate(1 / CALL))

    def _write(self, now: float) -> None:
        minute = int(now // MINUTE)
        if now % WRITES == 0:
            for each in self._tasks:
                if now >= each.ready_at and not self._knows(each, now):
                    self._readings.write(CALLS, minute, len(each.calls))
        if now % MINUTE == 0:
            running = [each for each in self._tasks if now >= each.ready_at]
            load = sum(len(each.calls) for each in running) * self._day.cpu_of_call
            self._readings.write(CPU, minute, load / len(running))
            self._wanted.append(self._tracker.capacity)
            if minute >= self._day.late:
                seen = minute - self._day.late
                self._readings.write(TASKS, seen, self._wanted[seen])
            self._tracker.decide(
                now, self._readings, minute - 2, may_scale_in=not self._is_deploying
            )


def play(service: Service, tracker: Tracker, day: Day) -> Outcome:
    """One day; the same for the same arguments."""
    return _Fleet(service, tracker, day).play()
