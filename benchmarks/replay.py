"""Says every caller's turn of the dialogue data to the running service and checks what comes back.

    python benchmarks/replay.py [--data FOLDER] [--sample N] [--seed S] [--concurrency C]
        [--dynamodb] [--json FILE]

Starts `python -m agent serve` as a child process on free loopback ports with the offline model, an
embedded store in a temporary folder or a DynamoDB started for it, and a test token, and plays
Twilio to it. The right answer to a real caller is not known, so the script checks
what holds for every answer: each turn with words is answered, each talk cycle is closed
once, no frame is one Twilio would drop, an interrupted cycle is closed soon, noise is not answered,
no call is refused or hung up on, nothing is logged as an error, no call is left behind. One token
may be under way when the caller breaks in; on average it must not be more. Exit status 1 if one of
them is broken.

`replay` is the part that knows nothing of processes: a test gives it a server of its own.

A call the agent ends is followed by another one with the turns that are left. Latency is measured
at the client, on the machine that also runs the service: compare it with itself only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.call.config import Phrases  # noqa: E402 - as the next one
from agent.simulator.carrier import CallRefusedError, Twilio  # noqa: E402
from agent.simulator.simulated_call import Manner, NoReplyError, TwilioCall  # noqa: E402
from agent.simulator.speech_playback import HeardText  # noqa: E402
from benchmarks.service import serving  # noqa: E402 - as the next one
from tests import dynamodb as engines  # noqa: E402 - as the next one
from tests.dialogues import (  # noqa: E402 - a script finds the repository only by the line above
    APARTMENTS,
    DEFAULT,
    ORDERING,
    PERSONA,
    WRITTEN_HERE,
    Dialogue,
    dialogues,
    has_words,
    sample,
)

CALLERS = {
    ORDERING: "+15550100011",
    APARTMENTS: "+15550100012",
    PERSONA: "+15550100013",
}
"""Numbers with a profile that routes them to the use case.

The default use case is for unknown callers, and its tools write their profile: each of its
calls comes from a fresh number, so that no call changes where the next one goes.
"""

_TOKEN = "replay-token"  # noqa: S105 - of a server that lives for this run
_WARM_UP = 26
"""Dialogues said before memory is measured: two of each file."""
_NOISE_SECONDS = 0.3
"""Quiet before and after noise, long enough that nothing of an earlier turn is still to come."""
_HEARD_AT_MOST = 120
"""Characters of a reply after which an impatient caller has broken in."""
_START_SECONDS, _STOP_SECONDS, _TOTAL_SECONDS = 30, 30, 3_600
_FINDINGS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a replay."""

    seed: int = 0
    concurrency: int = 8
    interrupt_probability: float = 0.2
    """Of a turn: that the caller breaks into its answer, and goes on with the next turn."""
    callers: Mapping[str, str] = field(default_factory=dict)
    """The number to call from, by use case; any other is called from an unknown number."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A failed check; `detail` holds no words of a conversation."""

    dialogue: str
    fault: str
    detail: str = ""


@dataclass(slots=True)
class Report:
    """The counts and times of a replay, and its failed checks."""

    dialogues: int
    calls: int = 0
    caller_turns: int = 0
    """Turns with words."""
    answered: int = 0
    said_again: int = 0
    """Turns that crossed the agent's `end` and were said in the next call."""
    noise_turns: int = 0
    interrupts: int = 0
    frames: int = 0
    late_tokens: int = 0
    late_cycles: int = 0
    first_text_seconds: list[float] = field(default_factory=list)
    """Sorted; of the turns that were answered without an interrupt."""
    cut_seconds: list[float] = field(default_factory=list)
    """Sorted; how long an interrupted cycle stayed open."""
    seconds: float = 0.0
    violations: list[Finding] = field(default_factory=list)
    cpu_seconds: float = 0.0
    """Of the service, where it is a process of its own."""

    def enter(self, dialogue: Dialogue, call: TwilioCall) -> None:
        """Add the counts of a call that is over."""
        ledger, answer = call.ledger, call.ending.answer if call.ending else None
        self.frames += ledger.frames
        self.late_tokens += ledger.late_tokens
        self.late_cycles += ledger.late_cycles
        self.cut_seconds += ledger.cut_seconds
        self.violations += [
            Finding(dialogue.id, each.kind, each.detail) for each in ledger.departures
        ]
        if answer is None or answer.status != 200:
            status = "no action URL" if answer is None else str(answer.status)
            self.violations.append(Finding(dialogue.id, "action", status))


async def replay(twilio: Twilio, said: Sequence[Dialogue], options: Options) -> Report:
    """Say all dialogues, `concurrency` calls at a time; what is said where depends on the seed."""
    started, report, queue = time.monotonic(), Report(len(said)), iter(said)

    async def worker() -> None:
        for dialogue in queue:
            await _Speaker(twilio, dialogue, options, report).speak()

    async with asyncio.TaskGroup() as workers:
        for number in range(options.concurrency):
            workers.create_task(worker(), name=f"caller {number}")
    if report.late_tokens > report.interrupts:
        detail = f"{report.late_tokens} after {report.interrupts} interrupts"
        report.violations.append(Finding("all", "late_tokens", detail))
    report.first_text_seconds.sort()
    report.cut_seconds.sort()
    report.seconds = time.monotonic() - started
    return report


class _Speaker:
    """The caller of one dialogue, over as many calls as it takes."""

    def __init__(
        self, twilio: Twilio, dialogue: Dialogue, options: Options, report: Report
    ) -> None:
        self._twilio = twilio
        self._dialogue = dialogue
        self._options = options
        self._report = report
        self._chance = random.Random(f"{options.seed}:{dialogue.source}:{dialogue.id}")
        self._turns = deque(dialogue.turns)

    async def speak(self) -> None:
        while self._turns:
            turns_left = len(self._turns)
            try:
                await self._call()
            except CallRefusedError as refusal:
                self._find("refused", str(refusal))
            except (aiohttp.ClientError, TimeoutError) as error:
                self._find("connection", type(error).__name__)
            if len(self._turns) == turns_left:
                self._find("gave_up", "a call without progress")
                return

    async def _call(self) -> None:
        number = f"+1555{self._chance.randrange(10**7):07}"
        caller = self._options.callers.get(self._dialogue.use_case, number)
        reading = self._chance.choice(list(HeardText))
        manner = replace(self._twilio.manner, heard=reading)
        self._report.calls += 1
        async with self._twilio.call(manner=manner, From=caller) as call:
            while self._turns and call.ending is None:
                await self._turn(call, self._turns.popleft())
            await call.play_out()  # now a goodbye has been heard, and the agent may end the call
            await call.settle()
        self._report.enter(self._dialogue, call)

    async def _turn(self, call: TwilioCall, turn: str) -> None:
        if not has_words(turn):
            await self._noise(call, turn)
            return
        try:
            if self._breaks_in():
                await self._break_in(call, turn)
            else:
                reply = await call.say(turn)
                self._report.first_text_seconds.append(reply.first_text_seconds)
        except NoReplyError as error:
            if call.ending is not None and call.ending.status == "ended":
                self._report.said_again += 1
                self._turns.appendleft(turn)
                return
            self._find("unanswered", str(error))
        else:
            self._report.answered += 1
        self._report.caller_turns += 1

    def _breaks_in(self) -> bool:
        """Whether the caller breaks in; never when noise follows."""
        may = not self._turns or has_words(self._turns[0])
        return may and self._chance.random() < self._options.interrupt_probability

    async def _break_in(self, call: TwilioCall, turn: str) -> None:
        """Say a turn and break into its answer, which may be complete by then or still growing."""
        await call.play_out()
        await call.prompt(turn)
        wanted = self._chance.randint(1, _HEARD_AT_MOST)
        arrived = await call.hear(wanted)
        if arrived == 0:
            raise NoReplyError("nothing to break into")
        if call.ending is not None:
            return
        await call.interrupt(characters=self._chance.randint(0, min(arrived, wanted)))
        self._report.interrupts += 1
        if not self._turns or self._chance.random() < 0.5:
            await call.settle()

    async def _noise(self, call: TwilioCall, noise: str) -> None:
        """Say what speech-to-text makes of a cough; text with letters may be answered."""
        self._report.noise_turns += 1
        await call.settle(_NOISE_SECONDS)
        await call.play_out()
        cycles = len(call.ledger.cycles)
        await call.prompt(noise)
        await call.settle(_NOISE_SECONDS)
        is_blank = not any(letter.isalnum() for letter in noise)
        if is_blank and len(call.ledger.cycles) > cycles:
            self._find("noise_answered")

    def _find(self, fault: str, detail: str = "") -> None:
        self._report.violations.append(Finding(self._dialogue.id, fault, detail))


def log_findings(lines: Sequence[str]) -> Iterator[Finding]:
    """Log lines of level error, and every traceback."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {}
        level = str(entry.get("level", "")).lower() if isinstance(entry, dict) else ""
        if level in {"error", "critical"} or "Traceback" in line:
            yield Finding("server log", level or "traceback", line[:300])


async def _calls_left(http: aiohttp.ClientSession, url: str) -> float:
    """Calls the service counts as active, once that is none or five seconds have passed."""
    active = 0.0
    for _ in range(50):
        async with http.get(url) as response:
            lines = (await response.text()).splitlines()
        active = sum(
            float(line.split()[-1]) for line in lines if line.startswith("agent_active_calls")
        )
        if not active:
            break
        await asyncio.sleep(0.1)
    return active


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes the service takes: in memory, and on disk at the end."""

    rss_idle: int
    rss_warm: int
    rss_end: int
    store: int
    log: int


async def _measure(
    folder: Path, said: Sequence[Dialogue], options: Options, environment: Mapping[str, str]
) -> tuple[Report, Footprint]:
    """Serve, warm up, replay, stop, read the log."""
    profiles = {caller: use_case for use_case, caller in CALLERS.items()}
    async with (
        serving(folder, _TOKEN, profiles, STACK_USE_CASE=DEFAULT, **environment) as server,
        aiohttp.ClientSession() as http,
    ):
        manner = Manner(fillers=frozenset(Phrases().fillers))
        twilio = Twilio(http, server.base, _TOKEN, manner=manner)
        idle = server.rss_bytes()
        warm_up = await replay(twilio, sample(said, _WARM_UP, options.seed), options)
        warm, busy = server.rss_bytes(), server.cpu_seconds()
        report = await replay(twilio, said, options)
        end, cpu = server.rss_bytes(), server.cpu_seconds() - busy
        left = await _calls_left(http, server.metrics)
    report.violations += [*warm_up.violations, *log_findings(server.log_lines())]
    if left:
        report.violations.append(Finding("server", "calls_left", f"{left:g} active"))
    if server.process.returncode:
        report.violations.append(Finding("server", "exit", f"status {server.process.returncode}"))
    report.cpu_seconds = cpu
    sizes = Footprint(idle, warm, end, server.store_bytes(), (folder / "log").stat().st_size)
    return report, sizes


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of sorted values; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def figures(report: Report, sizes: Footprint) -> dict[str, float]:
    """The figures by name, with units in the names."""
    counts = {
        name: value for name, value in asdict(report).items() if isinstance(value, int | float)
    }
    latencies = {
        f"{name}_p{share}_ms": round(percentile(values, share / 100) * 1000, 1)
        for name, values in (("first_text", report.first_text_seconds), ("cut", report.cut_seconds))
        for share in (50, 95, 99)
    }
    memory = {f"{name}_mib": round(size / 2**20, 1) for name, size in asdict(sizes).items()}
    return {
        **counts,
        "violations": len(report.violations),
        **latencies,
        **memory,
        "seconds": round(report.seconds, 1),
        "cpu_ms_per_turn": round(1000 * report.cpu_seconds / max(1, report.caller_turns), 2),
    }


@contextmanager
def table_of(is_dynamodb: bool) -> Iterator[dict[str, str]]:
    """Environment of a service with that table; the file is what it takes by itself."""
    if not is_dynamodb:
        yield {}
        return
    with engines.running() as engine:
        print(f"DynamoDB: {engine.description}")
        yield engines.environment(engine.create_table(), engine.url)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay the dialogue data against the service.")
    parser.add_argument(
        "--data", type=Path, default=WRITTEN_HERE, metavar="FOLDER", help="see tests/dialogues.py"
    )
    parser.add_argument("--sample", type=int, help="say only so many dialogues, of every file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=8, choices=range(1, 65), metavar="1-64")
    parser.add_argument("--interrupt-probability", type=float, default=0.2, metavar="P")
    parser.add_argument(
        "--dynamodb", action="store_true", help="keep the data in a DynamoDB started for this"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def main() -> int:
    """Run the replay and print its figures; returns 1 if a check failed."""
    arguments = _arguments()
    options = Options(
        arguments.seed, arguments.concurrency, arguments.interrupt_probability, CALLERS
    )
    said = list(dialogues(arguments.data))
    if arguments.sample is not None:
        said = sample(said, arguments.sample, arguments.seed)

    async def bounded(folder: Path, environment: Mapping[str, str]) -> tuple[Report, Footprint]:
        async with asyncio.timeout(_TOTAL_SECONDS):
            return await _measure(folder, said, options, environment)

    with TemporaryDirectory() as folder, table_of(arguments.dynamodb) as environment:
        report, sizes = asyncio.run(bounded(Path(folder), environment))
    table = figures(report, sizes)
    for name, value in table.items():
        print(f"{name:24} {value:>12,g}")
    for finding in report.violations[:_FINDINGS_SHOWN]:
        print(f"{finding.dialogue}: {finding.fault} {finding.detail}")
    if arguments.json:
        findings = [asdict(finding) for finding in report.violations]
        arguments.json.write_text(json.dumps({**table, "findings": findings}, indent=1))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
