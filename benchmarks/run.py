"""What a turn costs beside the shortest loop worth its name: added time, processor time, calls.

    python benchmarks/run.py [--levels 1,50,100,200,350,500] [--reps 3] [--json FILE]

In each repetition every subject plays every level of calls, one subject after the other, so that
whatever else the machine does hits all of them:

- `reference`: the loop of `reference.py`, without history, table or tools;
- `sqlite`, `dynamodb`: the service, its table a file or a stub in a process of its own;
- `nothing`: a relay that answers at once, without a model; what it "adds" is the rig's;
- `beside`: with `--beside FOLDER`, the service of another checkout, on SQLite and on DynamoDB.

The subject has one core, all else another. 40 tokens a reply, 300 ms to the first, 20 ms between
two, a turn of each call every 2.4 s. Printed are medians, and in brackets the largest difference
between repetitions; `x` is the ratio to the reference loop at the same level. Compare ratios, and
only within one run, when the machine has other work. A level is worth nothing if `rig` is near 1.

    --subjects sqlite,dynamodb  only these, in this order
    --turns 5                   measured turns of each call
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.callers import Calls, Subject, figures
from benchmarks.model_stub import ModelStub
from benchmarks.reference import MODEL
from benchmarks.service import ROOT, Place, free_port, on_cores_apart, running, serving
from tests.twilio_client.client import Twilio, call_fields

LEVELS = (1, 50, 100, 200, 350, 500)
SUBJECTS = ("reference", "sqlite", "dynamodb", "nothing")
_TURNS_ALONE = 12
_WARM_CALLS, _WARM_TURNS = 20, 6
_TOKEN = "run-token"  # noqa: S105 - of servers that live for this run
_KEYS = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIDBENCHMARK",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_EC2_METADATA_DISABLED": "true",
}
Rows = dict[str, dict[str, list[dict[str, float]]]]
"""Figures of each repetition, by level and subject."""


@dataclass(slots=True)
class Rig:
    """What all measurements share."""

    folder: Path
    model: ModelStub
    model_url: str
    http: aiohttp.ClientSession
    beside: Path | None = None
    _started: int = 0

    @asynccontextmanager
    async def subject(self, name: str, delay_ms: float = 0) -> AsyncIterator[Subject]:
        """Start a subject by its name; on a core of its own until the end."""
        self._started += 1
        folder = self.folder / f"{name}-{self._started}"
        folder.mkdir()
        async with AsyncExitStack() as stack:
            if name in {"reference", "nothing"}:
                subject = await stack.enter_async_context(self._relay(name, folder))
            else:
                subject = await stack.enter_async_context(self._service(name, folder, delay_ms))
            stack.enter_context(on_cores_apart(subject.pid))
            yield subject

    @asynccontextmanager
    async def _relay(self, name: str, folder: Path) -> AsyncIterator[Subject]:
        port = free_port()
        environment = {
            **os.environ, **_KEYS, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.model_url,
        }  # fmt: skip
        script, ready = (
            str(ROOT / "benchmarks/reference.py"),
            f"http://127.0.0.1:{port}/health/ready",
        )

        async def open_call(number: int) -> tuple[str, Mapping[str, str], str]:
            return f"ws://127.0.0.1:{port}/", {}, f"CA{number:032x}"

        place = Place(folder, ROOT, environment)
        async with running(place, ready, script, name, str(port)) as pid:
            yield Subject(name, pid, open_call, asks_model=name == "reference")

    @asynccontextmanager
    async def _service(self, name: str, folder: Path, delay_ms: float) -> AsyncIterator[Subject]:
        root = self.beside if self.beside and name.startswith("beside") else ROOT
        async with AsyncExitStack() as stack:
            environment = {
                **_KEYS,
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.model_url,
                "MODEL_IDENTIFIER": MODEL,
                "MAX_CALLS": "2000",
            }
            if name.endswith("dynamodb"):
                table = await stack.enter_async_context(self._table(folder, delay_ms))
                environment |= {"TABLE_NAME": "calls", "AWS_ENDPOINT_URL_DYNAMODB": table}
            server = await stack.enter_async_context(
                serving(folder, _TOKEN, {}, root=root, **environment)
            )
            twilio = Twilio(self.http, server.base, _TOKEN)

            async def open_call(number: int) -> tuple[str, Mapping[str, str], str]:
                relay = await twilio.webhook(call_fields(From=f"+1555{number:07d}"))
                headers = {"X-Twilio-Signature": twilio.sign(relay.url)}
                return relay.url, headers, relay.fields["CallSid"]

            yield Subject(name, server.process.pid, open_call)

    @asynccontextmanager
    async def _table(self, folder: Path, delay_ms: float) -> AsyncIterator[str]:
        port = free_port()
        url, script = f"http://127.0.0.1:{port}", str(ROOT / "benchmarks/table_stub.py")
        place = Place(folder, ROOT, os.environ)
        async with running(place, url, script, str(port), str(delay_ms)):
            yield url

    async def play(self, subject: Subject, calls: Calls) -> dict[str, float]:
        """Play calls; returns their figures."""
        self.model.answered.clear()
        return figures(await calls.play(), self.model, asks_model=subject.asks_model)


async def play_levels(
    rig: Rig, subjects: Sequence[str], levels: Sequence[int], turns: int, repetitions: int
) -> Rows:
    """Play every level by every subject, and all of that so many times."""
    rows: Rows = {str(level): {name: [] for name in subjects} for level in levels}
    for repetition in range(repetitions):
        for name in subjects if repetition % 2 == 0 else reversed(subjects):
            async with rig.subject(name) as subject:
                warm = Calls(subject, _WARM_CALLS, _WARM_TURNS, think=0.1, warm_turns=0)
                await rig.play(subject, warm)
                for level in levels:
                    calls = Calls(subject, level, turns)
                    if level == 1:  # nothing happens at the same time: no need to wait
                        calls = Calls(subject, level, max(turns, _TURNS_ALONE), think=0.2)
                    found = await rig.play(subject, calls)
                    rows[str(level)][name].append(found)
                    print(f"  {name:16} {level:4} calls  {_brief(found)}", flush=True)
    return rows


def _brief(found: Mapping[str, float]) -> str:
    names = ("added_p50", "added_p95", "cpu_ms", "core", "rig_core", "lag_p95", "frames", "errors")
    return "  ".join(f"{name} {found.get(name, 0):.3g}" for name in names)


def table(rows: Rows) -> Iterator[str]:
    """The levels as lines: medians, spread, and the ratio to the reference loop."""
    yield f"{'calls':>5} {'subject':16} {'added p50':>16} {'p95 ms':>16} {'x':>6}" + (
        f" {'CPU ms a turn':>16} {'x':>6} {'core':>5} {'rig':>5} {'errors':>6}"
    )
    for level, subjects in rows.items():
        base = subjects.get("reference") or []
        for name, found in subjects.items():
            cells = [f"{level:>5} {name:16}", _cell(found, "added_p50", 16)]
            for figure in ("added_p95", "cpu_ms"):
                cells += [_cell(found, figure, 16), f"{_ratio(found, base, figure):>6}"]
            cells += [f"{_median(found, figure):5.2f}" for figure in ("core", "rig_core")]
            yield " ".join([*cells, f"{sum(each['errors'] for each in found):6.0f}"])


def _median(found: Sequence[Mapping[str, float]], figure: str) -> float:
    return median(each.get(figure, 0.0) for each in found) if found else 0.0


def _cell(found: Sequence[Mapping[str, float]], figure: str, width: int) -> str:
    values = [each.get(figure, 0.0) for each in found]
    return f"{f'{_median(found, figure):.2f} ({max(values) - min(values):.2f})':>{width}}"


def _ratio(
    found: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]], figure: str
) -> str:
    """Median of the ratios of each repetition."""
    ratios = [one[figure] / other[figure] for one, other in zip(found, base, strict=False)]
    return f"{median(ratios):.2f}" if ratios else ""


async def run(asked: argparse.Namespace) -> dict[str, object]:
    """Measure what was asked for."""
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            model = ModelStub()
            http = await enter(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            rig = Rig(Path(folder), model, await enter(model.serving()), http, asked.beside)
            subjects = list(asked.subjects)
            if asked.beside:
                subjects += [
                    f"beside-{name}" for name in subjects if name in {"sqlite", "dynamodb"}
                ]
            rows = await play_levels(rig, subjects, asked.levels, asked.turns, asked.reps)
    print("\n".join(table(rows)))
    return {"levels": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def numbers(text: str) -> list[int]:
        return [int(each) for each in text.split(",") if each]

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--levels", type=numbers, default=list(LEVELS), help="calls side by side")
    parser.add_argument("--turns", type=int, default=5, help="measured turns of each call")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--subjects", type=names, default=list(SUBJECTS))
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the figures")
    asked = parser.parse_args(arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    found = asyncio.run(run(asked))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
