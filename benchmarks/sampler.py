"""Where the processor time of a turn goes: samples taken inside the service, by stage.

    python benchmarks/sampler.py FILE serve      the service; SIGUSR2 writes FILE

A timer of the process's own processor time interrupts the loop's thread. Each sample weighs what
the thread has used since the last one, so the sum is exact; what other threads have used is the
table's, as the embedded store is all that runs there. The innermost function of a known place
decides the stage, e.g. the SDK below the store counts as the store's. `docs/explain/turn-budget.md`
has the stages and what each may take.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

_EVERY_SECONDS = 0.001
_ROOT = Path(__file__).resolve().parents[1]
BUDGET = _ROOT / "docs/explain/turn-budget.md"
TABLE, LOOP, CONSOLE = "table", "event loop", "console"
_CONSOLE_PART = "agent/http/console/"
"""All that a console leads to on the loop's thread is the console's, wherever it is done."""
PLACES: Sequence[tuple[str, str]] = (
    ("agent/store/", TABLE),
    ("agent/observability/recording/record_writer", TABLE),
    ("agent/call/", "core"),
    ("agent/usecases/", "core"),
    ("agent/observability/", "observers"),
    ("agent/session/observers", "observers"),
    ("converse_stream", "event stream"),
    ("eventstream", "event stream"),
    ("event_stream", "event stream"),
    ("agent/llm/bedrock/", "request"),
    ("agent/aws", "request"),
    ("agent/llm/", "hand-over"),
    ("agent/session/", "hand-over"),
    ("agent/twilio/", "frames"),
    ("agent/http/", "frames"),
    ("agent/http_client/", "HTTP client"),
    ("aiohttp/_websocket/", "frames"),
    ("aiohttp/web", "frames"),
    ("aiohttp/client", "HTTP client"),
    ("aiohttp/connector", "HTTP client"),
    ("aiohttp/http", "HTTP client"),
)
"""Part of a file's path, and the stage; the first that fits counts."""
_ROW = re.compile(r"^\| `([^`]+)` \| ([\d.]+) \| ([\d.]+) \|", re.MULTILINE)
_DEEPEST_PART = 3
"""Parts of a path that name a function."""


class Sampler:
    """Collects samples of this thread, in nanoseconds; made and started once in a process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages: Counter[str] = Counter()
        self._functions: Counter[str] = Counter()
        self._known: dict[str, str] = {}
        self._thread, self._process = time.thread_time_ns(), time.process_time_ns()

    def start(self) -> None:
        """Sample from now on; `SIGUSR2` writes what there is so far."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR2, self._write)
        for number in (signal.SIGPROF, signal.SIGUSR2):
            signal.siginterrupt(number, False)
        signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        thread, process = time.thread_time_ns(), time.process_time_ns()
        own, whole = thread - self._thread, process - self._process
        self._thread, self._process = thread, process
        self._stages[self._stage(frame)] += own
        self._stages[TABLE] += whole - own
        if frame is not None:
            path = "/".join(frame.f_code.co_filename.split("/")[-_DEEPEST_PART:])
            self._functions[f"{path} {frame.f_code.co_qualname}"] += own

    def _stage(self, frame: FrameType | None) -> str:
        stage = ""
        while frame is not None:
            path = frame.f_code.co_filename
            if _CONSOLE_PART in path:
                return CONSOLE
            stage = stage or self._stage_of(path)
            frame = frame.f_back
        return stage or LOOP

    def _stage_of(self, path: str) -> str:
        if path not in self._known:
            found = (stage for part, stage in PLACES if part in path)
            self._known[path] = next(found, "")
        return self._known[path]

    def _write(self, *_: object) -> None:
        user, system = os.times()[:2]
        kernel = {"user": int(user * 1e9), "kernel": int(system * 1e9)}
        written = {"stages": self._stages, "functions": self._functions, "times": kernel}
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(written), encoding="utf-8")
        part.replace(self._path)


Samples = Mapping[str, Mapping[str, int]]
"""Nanoseconds by stage, by function, and in the kernel."""


def read_samples(path: Path, process: int) -> Samples:
    """Let a service that is sampled write what it has so far, and read it."""
    path.unlink(missing_ok=True)
    os.kill(process, signal.SIGUSR2)
    while not path.exists():
        time.sleep(0.01)
    samples: Samples = json.loads(path.read_text(encoding="utf-8"))
    return samples


def between(before: Samples, after: Samples) -> dict[str, dict[str, int]]:
    """What was used between two readings."""
    return {
        kind: {name: used - before[kind].get(name, 0) for name, used in after[kind].items()}
        for kind in after
    }


def read_budget() -> dict[str, dict[str, float]]:
    """Of SQLite and DynamoDB: turns of the reference loop that each stage may cost."""
    rows = _ROW.findall(BUDGET.read_text(encoding="utf-8"))
    return {
        "sqlite": {stage: float(share) for stage, share, _ in rows},
        "dynamodb": {stage: float(share) for stage, _, share in rows},
    }


def profile_lines(
    name: str, used: Samples, turns: int, reference_ms: float, functions: int
) -> list[str]:
    """Spent and budget by stage, and the functions that took most, as lines."""
    budget = read_budget()[name.removeprefix("beside-")]
    stages = {stage: used["stages"].get(stage, 0) / turns / 1e6 for stage in budget}
    total = sum(stages.values())
    lines = [f"{name:14} {'ms a turn':>10} {'share':>6} {'x':>6} {'budget':>7}"]
    for stage, spent in [*sorted(stages.items(), key=lambda item: -item[1]), ("total", total)]:
        allowed = budget.get(stage) or sum(budget.values())
        x = spent / reference_ms
        over = "  over" if x > allowed else ""
        share = f"{spent / total:6.0%}"
        lines.append(f"{stage:14} {spent:10.2f} {share} {x:6.2f} {allowed:7.2f}{over}")
    times = used["times"]
    kernel = times["kernel"] / max(1, times["user"] + times["kernel"])
    lines.append(f"{'in the kernel':14} {kernel:17.0%}")
    most = Counter(used["functions"]).most_common(functions)
    lines += [f"{spent / turns / 1e6:25.3f}  {function}" for function, spent in most]
    return lines


def main() -> int:
    """Serve, sampled."""
    sys.path[0] = str(Path.cwd())
    from agent.cli.main import main as agent  # noqa: PLC0415 - of the checkout that is served

    Sampler(Path(sys.argv[1])).start()
    try:
        return agent(sys.argv[2:])
    finally:  # or it kills the process when its handler is gone
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    sys.exit(main())
