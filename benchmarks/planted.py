"""Whether anything personal of a caller reaches logs, metrics or traces at default settings.

    python benchmarks/planted.py [--calls 1000] [--seed 0]

Every call has a caller of its own, made up: names, mail and number in the profile and in `setup`,
and then all of it, an address and digits in words, in keys, in frames that cannot be read and in
faults the relay reports. Traces are on, and go to a collector in this process. Afterwards the whole
log, all metrics and all that the collector was sent are searched for each of them. Exit status 1 if
one is found, or if there is nothing to search: not a summary and a trace for each call.

`plant` is the part that knows nothing of processes: a test gives it a server of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.observability import configure_logging
from agent.simulator.simulated_call import NoReplyError, TwilioCall
from agent.store.sqlite import SqliteStore
from tests.dialogues import APARTMENTS, DEFAULT, ORDERING
from tests.emulators.collector import ENDPOINT, collecting
from tests.servers import UNLIMITED_CALLERS, Server, serving, settings_for
from tests.shipped import load_shipped

_AT_ONCE = 25
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True, slots=True)
class Person:
    """An invented person; no value occurs anywhere else."""

    first: str
    last: str
    number: str
    email: str
    address: str
    digits: str

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts that must not be found."""
        return (self.first, self.last, self.number[1:], self.email, self.address, self.digits)


def person(chance: random.Random) -> Person:
    """Invent a person."""

    def word() -> str:
        pairs = (chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(5))
        return "".join(pairs).capitalize()

    first, last = word(), word()
    return Person(
        first,
        last,
        f"+1555{chance.randrange(10**7):07}",
        f"{first}.{last}@example.org".lower(),
        f"{chance.randrange(100, 999)} {word()} Lane",
        f"{chance.randrange(10**9, 10**10)}",
    )


async def plant(server: Server, calls: int, seed: int = 0) -> list[Person]:
    """Let so many invented people call and say all their data; returns the people."""
    chance = random.Random(seed)
    people = [person(chance) for _ in range(calls)]
    queue = iter(enumerate(people))

    async def worker() -> None:
        for number, person in queue:
            await _call(server, person, (ORDERING, APARTMENTS, DEFAULT)[number % 3])

    async with asyncio.TaskGroup() as workers:
        for number in range(_AT_ONCE):
            workers.create_task(worker(), name=f"caller {number}")
    await server.calls.until_quiet()
    return people


async def _call(server: Server, person: Person, use_case: str) -> None:
    await server.know(
        person.number,
        firstName=person.first,
        lastName=person.last,
        email=person.email,
        address=person.address,
        useCase=use_case,
    )
    names = f"{person.first} {person.last}"
    manner = replace(server.twilio.manner, setup={"callerName": names})
    relay = await server.twilio.until_taken(person.number)
    async with server.twilio.connect(relay, manner=manner) as call:
        with suppress(NoReplyError):
            await _tell(call, person, names)


async def _tell(call: TwilioCall, person: Person, names: str) -> None:
    await call.say(f"my name is {names}")
    await call.say(f"my number is {person.number} and my card is {person.digits}")
    for digit in f"{person.digits}#":
        await call.press(digit)
    await call.settle()
    for frame in (
        {"type": "error", "description": f"Invalid message: {names} {person.digits}"},
        {"type": person.address, "name": names},
        {"type": "prompt", "voicePrompt": [names, person.email]},
    ):
        await call.send_raw(json.dumps(frame))
    await call.send_raw(f"{names} {person.email}")
    await call.prompt(f"a large pepperoni to {person.address} for {names}")
    if await call.hear(10):
        await call.interrupt(characters=5)
    await call.say(f"write to {person.email}")


def found(people: Iterable[Person], said: str) -> list[str]:
    """The marks of these people in a text, also in another case."""
    lower = said.lower()
    return [mark for one in people for mark in one.marks if mark.lower() in lower]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the calls left behind, without the log."""

    people: list[Person]
    metrics: str
    traces: str
    spans: Counter[str]
    """How many, by name."""


async def _measure(folder: Path, calls: int, seed: int) -> Seen:
    table = folder / "agent.db"
    store = await SqliteStore.open(table)
    await load_shipped(store)
    await store.close()
    async with collecting() as collector:
        os.environ[ENDPOINT] = collector.url
        async with serving(settings_for(table, **UNLIMITED_CALLERS)) as server:
            people = await plant(server, calls, seed)
            headers = {"Accept": "application/openmetrics-text"}
            async with server.twilio.http.get(server.metrics_url, headers=headers) as response:
                metrics = await response.text()
    return Seen(people, metrics, collector.text, Counter(collector.names))


def main(arguments: Sequence[str] | None = None) -> int:
    """Search; returns 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    said = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(said))
    with TemporaryDirectory() as folder, redirect_stderr(said):
        configure_logging("info", "json")
        seen = asyncio.run(_measure(Path(folder), asked.calls, asked.seed))
    lines, people = said.getvalue(), seen.people
    turns, summaries = (lines.count(f'"{name}"') for name in ("turn.finished", "call.summarized"))
    traced = seen.metrics.count('trace_id="')
    print(f"calls {len(people)}  marks {sum(len(one.marks) for one in people)}")
    print(f"log lines {lines.count(chr(10))}  turns {turns}  summaries {summaries}")
    print(f"metrics {seen.metrics.count(chr(10))} lines  exemplars {traced}")
    print(f"traces {seen.spans['call']}  spans {seen.spans.total()}  turns {seen.spans['turn']}")
    leaks = {
        place: len(found(people, text))
        for place, text in (("log", lines), ("metrics", seen.metrics), ("traces", seen.traces))
    }
    print("found  " + "  ".join(f"{place} {count}" for place, count in leaks.items()))
    is_whole = summaries == seen.spans["call"] == len(people)
    return 0 if is_whole and not any(leaks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
