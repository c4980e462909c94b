"""Whether anything personal of a caller reaches logs or metrics at default settings.

    python benchmarks/planted.py [--calls 1000] [--seed 0]

Every call has a caller of its own, made up: names, mail and number in the profile and in `setup`,
and then all of it, an address and digits in words, in keys, in frames that cannot be read and in
faults the relay reports. Afterwards the whole log and all metrics are searched for each of them.
Exit status 1 if one is found.

`plant` is the part that knows nothing of processes: a test gives it a server of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import random
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from agent.llm import OfflineModel  # noqa: E402 - as the next one
from agent.ports import LanguageModel  # noqa: E402 - as the next one
from agent.store import seed as seeding  # noqa: E402 - as the next one
from agent.store.sqlite import SqliteStore  # noqa: E402 - as the next one
from agent.telemetry import configure_logging  # noqa: E402 - as the next one
from agent.tools import SPECS  # noqa: E402 - as the next one
from tests.dialogues import APARTMENTS, DEFAULT, ORDERING  # noqa: E402 - found by the line above
from tests.servers import Server, settings_for, staged  # noqa: E402
from tests.twilio.call import TwilioCall, UnansweredError  # noqa: E402

_AT_ONCE = 25
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist; every value is found nowhere else."""

    first: str
    last: str
    number: str
    email: str
    address: str
    digits: str

    @property
    def marks(self) -> tuple[str, ...]:
        """What must not be found."""
        return (self.first, self.last, self.number[1:], self.email, self.address, self.digits)


def person(chance: random.Random) -> Person:
    """Somebody new."""

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
    """Have so many people call, and tell everything; who they were."""
    chance = random.Random(seed)
    people = [person(chance) for _ in range(calls)]
    queue = iter(enumerate(people))

    async def worker() -> None:
        for number, somebody in queue:
            await _call(server, somebody, (ORDERING, APARTMENTS, DEFAULT)[number % 3])

    async with asyncio.TaskGroup() as workers:
        for number in range(_AT_ONCE):
            workers.create_task(worker(), name=f"caller {number}")
    await server.calls.until_quiet()
    return people


async def _call(server: Server, somebody: Person, use_case: str) -> None:
    await server.know(
        somebody.number,
        firstName=somebody.first,
        lastName=somebody.last,
        email=somebody.email,
        address=somebody.address,
        useCase=use_case,
    )
    names = f"{somebody.first} {somebody.last}"
    manner = replace(server.twilio.manner, setup={"callerName": names})
    async with server.twilio.call(manner=manner, From=somebody.number) as call:
        with suppress(UnansweredError):
            await _tell(call, somebody, names)


async def _tell(call: TwilioCall, somebody: Person, names: str) -> None:
    await call.say(f"my name is {names}")
    await call.say(f"my number is {somebody.number} and my card is {somebody.digits}")
    for digit in f"{somebody.digits}#":
        await call.press(digit)
    await call.settle()
    for frame in (
        {"type": "error", "description": f"Invalid message: {names} {somebody.digits}"},
        {"type": somebody.address, "name": names},
        {"type": "prompt", "voicePrompt": [names, somebody.email]},
    ):
        await call.send_raw(json.dumps(frame))
    await call.send_raw(f"{names} {somebody.email}")
    await call.prompt(f"a large pepperoni to {somebody.address} for {names}")
    if await call.hear(10):
        await call.interrupt(characters=5)
    await call.say(f"write to {somebody.email}")


def found(people: Iterable[Person], said: str) -> list[str]:
    """The marks of these people in a text, also in another case."""
    lower = said.lower()
    return [mark for one in people for mark in one.marks if mark.lower() in lower]


def offline(_: str, script: str) -> LanguageModel:
    """The model of a use case that needs nobody."""
    return OfflineModel(script)


async def _measure(folder: Path, calls: int, seed: int) -> tuple[list[Person], str]:
    store = await SqliteStore.open(folder / "agent.db")
    await seeding.seed(store, ROOT / "configuration", SPECS, now=datetime.now(UTC))
    try:
        async with staged(settings_for(folder / "agent.db"), store, offline) as server:
            people = await plant(server, calls, seed)
            _, metrics = await server.get(server.metrics_url)
    finally:
        await store.close()
    return people, metrics


def main(arguments: Sequence[str] | None = None) -> int:
    """Search; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    said = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(said))
    with TemporaryDirectory() as folder, redirect_stderr(said):
        configure_logging("info", "json")
        people, metrics = asyncio.run(_measure(Path(folder), asked.calls, asked.seed))
    lines = said.getvalue()
    leaks = [*found(people, lines), *found(people, metrics)]
    turns, receipts = (lines.count(f'"{name}"') for name in ("turn.finished", "call.receipt"))
    print(f"calls {len(people)}  log lines {lines.count(chr(10))}  turns {turns}")
    print(f"receipts {receipts}  marks {sum(len(one.marks) for one in people)}")
    print(f"found {len(leaks)}")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
