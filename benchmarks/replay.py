"""Says every caller's turn of the dialogue data to the running service and checks what comes back.

    python benchmarks/replay.py [--data FOLDER] [--sample N] [--seed S] [--concurrency C]
        [--dynamodb] [--json FILE]

Starts `python -m agent serve` as a child process on free loopback ports with the offline model, an
embedded store in a temporary folder or a DynamoDB started for it, and a test token, and plays
Twilio to it. The right answer to a real caller is not known, so the script checks what holds for
every answer: each turn with words is answered, noise is not, the protocol is kept, no call is
refused or fails, nothing is logged as an error, no call is left behind. Exit status 1 if one of
them is broken.

One turn in five breaks into the answer before it. A call that the agent ends is followed by another
one with the turns that are left. Latency is measured at the client, on the machine that also runs
the service: compare it with itself only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.scenarios.caller_script import CallerScript
from agent.scenarios.expectations import sessions_of
from agent.scenarios.load_figures import LoadFigures, percentiles
from agent.scenarios.load_generator import play_call
from agent.scenarios.scenario import (
    CallerIdentity,
    HangsUp,
    Interrupts,
    Says,
    Scenario,
    Step,
    Waits,
)
from agent.scenarios.scenario_player import caller_of
from agent.scenarios.timing import CallTiming
from agent.simulator.carrier import Twilio
from agent.simulator.speech_playback import HeardText
from benchmarks.service import serving
from tests.dialogues import CALLERS, DEFAULT, WRITTEN_HERE, Dialogue, dialogues, has_words, sample
from tests.dynamodb import environment_if

_QUICK = CallTiming(0, 300.0, 60.0, reaction=0.1, endpointing=0.0, first_token=0.0, token=0.0)
"""Twenty times as fast as people."""
_TOKEN = "replay-token"  # noqa: S105 - of a server that lives for this run
_BREAKS_IN = 0.2
"""Share of the turns that break into the answer before them."""
_HEARD_AT_MOST = 8
"""Words of an answer after which an impatient caller breaks in."""
_FINDINGS_SHOWN = 20


@dataclass(slots=True)
class Report:
    """What came of a replay."""

    turns: int = 0
    """With words."""
    calls: int = 0
    interrupts: int = 0
    late_tokens: int = 0
    """That came after the caller had broken in."""
    waits: list[float] = field(default_factory=list)
    """Seconds until an answer began."""
    findings: list[str] = field(default_factory=list)
    """Failed checks: a dialogue and a fault, without words of a conversation."""


async def replay(
    twilio: Twilio, said: Sequence[Dialogue], concurrency: int = 8, seed: int = 0
) -> Report:
    """Say all dialogues, so many calls at a time; how each is said depends on the seed."""
    report, queue = Report(), iter(said)

    async def worker() -> None:
        for dialogue in queue:
            await _speak(twilio, dialogue, random.Random(f"{seed}:{dialogue.id}"), report)

    async with asyncio.TaskGroup() as workers:
        for number in range(concurrency):
            workers.create_task(worker(), name=f"caller {number}")
    if report.late_tokens > report.interrupts:  # one may be under way when the caller breaks in
        report.findings.append(f"{report.late_tokens} tokens after {report.interrupts} interrupts")
    return report


async def _speak(twilio: Twilio, dialogue: Dialogue, chance: random.Random, report: Report) -> None:
    """Say one dialogue, in as many calls as it takes."""
    seen, faults, steps = LoadFigures(1), Counter[str](), tuple(_steps(dialogue.turns, chance))
    while steps:
        number = CALLERS.get(dialogue.use_case, f"+1555{chance.randrange(10**7):07}")
        manner = replace(twilio.manner, heard=chance.choice(list(HeardText)))
        scenario = Scenario(dialogue.id, caller=CallerIdentity(number), steps=steps)
        script = caller_of(scenario, replace(twilio, manner=manner), _QUICK)
        await play_call(script, seen, script.began_at)
        faults.update(_faults_of_answers(script))
        for session in sessions_of(script):
            report.interrupts += len(session.session.cuts)
            report.late_tokens += session.ledger.late_tokens
        if len(script.steps_left) == len(steps):
            faults["a call without progress"] += 1
            break
        steps = tuple(script.steps_left)
    report.calls += seen.begun
    report.turns += sum(map(has_words, dialogue.turns))
    report.waits += [each.seconds for each in seen.waits]
    faults += seen.errors + seen.departures
    report.findings += [f"{dialogue.id}: {fault}" for fault in faults.elements()]


def _steps(turns: Sequence[str], chance: random.Random) -> Iterator[Step]:
    """What the caller does. A noise may have no answer, so nobody waits for one."""
    is_answered = waits = True
    for turn in turns:
        if is_answered and has_words(turn) and chance.random() < _BREAKS_IN:
            yield Interrupts(turn, after_words=chance.randint(0, _HEARD_AT_MOST))
        else:
            yield Says(turn, waits=waits)
        is_answered = waits = has_words(turn)
        if not is_answered:
            yield Waits(0.3)  # to hear whether it is answered
    yield HangsUp(waits=waits)


def _faults_of_answers(script: CallerScript) -> Iterator[str]:
    """Turns with words that have no answer, and noises without a letter that have one.

    Words that crossed the agent's `end` need none.
    """
    cycles = [cycle for session in sessions_of(script) for cycle in session.ledger.cycles]
    began = [cycle.opened_at - script.began_at for cycle in cycles if cycle.text.strip()]
    said = [line for line in script.own_lines if line.until]
    for line, end in zip(said, [*(line.until for line in said[1:]), math.inf], strict=True):
        is_answered = any(line.until <= at < end for at in began)
        is_crossing = end == math.inf and script.call.legs[-1].status == "ended"
        if has_words(line.text) and not is_answered and not is_crossing:
            yield "a turn was not answered"
        if is_answered and not any(letter.isalnum() for letter in line.text):
            yield "a noise was answered"


async def _measure(folder: Path, asked: argparse.Namespace, table: Mapping[str, str]) -> Report:
    """Serve, replay, stop, read the log."""
    said = list(dialogues(asked.data))
    if asked.sample is not None:
        said = sample(said, asked.sample, asked.seed)
    profiles = {caller: use_case for use_case, caller in CALLERS.items()}
    async with serving(folder, _TOKEN, profiles, STACK_USE_CASE=DEFAULT, **table) as server:
        async with Twilio.open(server.base, _TOKEN) as twilio:
            report = await replay(twilio, said, asked.concurrency, asked.seed)
        await asyncio.sleep(1)  # what ends with a call is counted a moment later
        if left := (await server.scrape())["agent_active_calls"]:
            report.findings.append(f"{left:g} calls left")
    report.findings += [f"log: {line[:300]}" for line in server.logged_faults()]
    if server.process.returncode:
        report.findings.append(f"the server ended with status {server.process.returncode}")
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay the dialogue data against the service.")
    parser.add_argument(
        "--data", type=Path, default=WRITTEN_HERE, metavar="FOLDER", help="see tests/dialogues.py"
    )
    parser.add_argument("--sample", type=int, help="say only so many dialogues, of every file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=8, choices=range(1, 65), metavar="1-64")
    parser.add_argument("--dynamodb", action="store_true", help="with a DynamoDB started for this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def main() -> int:
    """Run the replay and print its figures; returns 1 if a check failed."""
    asked = _arguments()
    with TemporaryDirectory() as folder, environment_if(asked.dynamodb) as table:
        report = asyncio.run(_measure(Path(folder), asked, table))
    found = {
        **{name: each for name, each in asdict(report).items() if isinstance(each, int)},
        **percentiles(sorted(report.waits)),
    }
    for name, value in found.items():
        print(f"{name:12} {value:10,.4g}")
    print("\n".join(report.findings[:_FINDINGS_SHOWN]) or "no findings")
    if asked.json:
        asked.json.write_text(json.dumps({**found, "findings": report.findings}, indent=1))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
