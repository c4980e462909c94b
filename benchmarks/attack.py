"""Measure whether strangers, or one caller, can delay the calls of others.

    python benchmarks/attack.py [--calls 3] [--seconds 8] [--only NAME] [--json FILE]

Starts `python -m agent serve` on loopback with signature checks, a model played by an emulator, and
calls in progress. Their turns are timed undisturbed, then again during each attack, while other
numbers ring. Prints a row for each attack: the time to the first text of a turn, and how many
signed webhooks of other numbers were connected. Exit status 1 if a turn took more than 100 ms
longer than the slowest undisturbed one, a webhook was not connected, or a limit did not hold.

Attacks without a signature come from another process, so that they do not delay the clock: forms
in a slow or unknown character set, bodies that are encoded or too large, a `Content-Type` of
thousands of parameters, and as many connections as there are places at `MAX_CALLS=100`, each with a
part of a request. Attacks of one caller are reports of heard text that fits nowhere, frames that
are hard to read, calls at once beyond `CALLER_CALLS_PER_HOUR`, and calls that never open their
socket. Every attack has a limit of connections, requests and seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.http.server import raise_file_limit
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import NoReplyError, TwilioCall
from benchmarks.service import on_cores_apart, serving
from tests.emulators.openai import OpenAIEmulator
from tests.emulators.replies import Reply, say
from tests.emulators.scripts import Request

MOST_DELAY_SECONDS = 0.1
_TOKEN = "attack-token"  # noqa: S105 - of a server that lives for this run
_CALLS_PER_HOUR = 3
_SEATS = 40
"""`MAX_CALLS`; calls may go a little beyond it, so an attack asks for three times as many."""
_CONNECTIONS = 1056
_PAUSE_SECONDS = 0.4
"""Between turns of a call, and between webhooks."""
_REST_SECONDS = 6.0
"""After an attack, until what it has left open is closed."""
_AGAIN_SECONDS = 0.05
"""Between requests of an attacker's connection."""
_COMING_SECONDS = 2.0
"""In which all connections of an attack are opened."""
_START_SECONDS, _NICE = 30.0, 10
_WORDS = 1500
_RECITE = "please recite"
_FORM = "application/x-www-form-urlencoded"
_GUESS = "A" * 27 + "="


def answer(request: Request) -> Reply:
    """The emulator's replies: a short one, or a long repetitive one."""
    if _RECITE in request.last_text:
        return say(["la la "] * (_WORDS // 2), first=0.05)
    return say(["Yes, ", "we ", "are ", "open."], first=0.2, gap=0.01)


@dataclass(frozen=True, slots=True)
class Ground:
    """The service under attack, and callers for it."""

    twilio: Twilio
    port: int
    seconds: float
    numbers: count[int] = field(default_factory=lambda: count(1))

    def number(self) -> str:
        """The number of a caller who has not called yet."""
        return f"+1555{3_000_000 + next(self.numbers):07}"

    async def until_over(self, again: Callable[[], Awaitable[object]]) -> None:
        """Repeat until the time is over; a refusal of the service is no fault."""
        refusals = (aiohttp.ClientError, ConnectionError, TimeoutError, NoReplyError)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds):
                while True:
                    with suppress(*refusals):
                        await again()
                    await asyncio.sleep(_AGAIN_SECONDS)

    async def ring(self, caller: str) -> bool:
        """Ring by a signed webhook and end the call without a socket; whether it was connected."""
        fields = call_fields(From=caller)
        found = await self.twilio.post(self.twilio.voice_url, fields)
        if found.relay is not None:
            ended = {**fields, "CallStatus": "completed"}
            await self.twilio.post(found.relay.action, ended)
        return found.relay is not None


Attack = Callable[[Ground], Coroutine[object, object, str]]
"""Returns what did not hold; empty if all did."""


def posting(content_type: str, body: bytes, **headers: str) -> Attack:
    """An attack by two connections that send an unsigned form; `{}` becomes a number."""
    numbers = count()

    async def attack(ground: Ground) -> str:
        async def post() -> None:
            headers_now = {
                "X-Twilio-Signature": _GUESS,
                **{name.replace("_", "-"): value for name, value in headers.items()},
                "Content-Type": content_type.replace("{}", str(next(numbers))),
            }
            http, url = ground.twilio.http, ground.twilio.voice_url
            async with http.post(url, data=body, headers=headers_now) as response:
                await response.read()

        await asyncio.gather(*(ground.until_over(post) for _ in range(2)))
        return ""

    return attack


def holding(words: bytes) -> Attack:
    """An attack by more connections than there are places; each sends this and waits."""

    async def attack(ground: Ground) -> str:
        async def hold() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", ground.port)
            try:
                writer.write(words)
                await reader.read()
            finally:
                writer.close()
            await asyncio.sleep(1)

        async def come(number: int) -> None:
            await asyncio.sleep(number / _CONNECTIONS * _COMING_SECONDS)
            await ground.until_over(hold)

        await asyncio.gather(*map(come, range(_CONNECTIONS)))
        return ""

    return attack


def from_outside(name: str) -> Attack:
    """An attack without a signature, by a process that runs when nothing else does."""

    async def attack(ground: Ground) -> str:
        arguments = (__file__, "--seconds", str(ground.seconds), "--only", name)
        attacker = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, "--against", ground.twilio.base
        )
        try:
            async with asyncio.timeout(_START_SECONDS + 2 * ground.seconds):
                status = await attacker.wait()
        finally:
            if attacker.returncode is None:
                attacker.kill()
        return f"the attacker ended with status {status}" if status else ""

    return attack


async def attack_only(base: str, seconds: float, name: str) -> None:
    """Run one unsigned attack in this process."""
    os.nice(_NICE)
    async with Twilio.open(base, "") as twilio:
        await UNSIGNED[name](Ground(twilio, int(base.rpartition(":")[2]), seconds))


async def mishear(ground: Ground) -> str:
    """One caller reports after long repetitive speech that something else was heard."""
    heard = "la " * _WORDS + "lo"
    async with ground.twilio.call(From=ground.number()) as call:

        async def break_in() -> None:
            await call.prompt(_RECITE)
            await call.reply()
            await call.send(
                type="interrupt", utteranceUntilInterrupt=heard, durationUntilInterruptMs=60_000
            )
            await asyncio.sleep(0.2)

        await ground.until_over(break_in)
    return ""


async def babble(ground: Ground) -> str:
    """One caller sends frames that are hard to read."""
    texts = (
        "la " * 20_000,
        "4 1 5 " * 10_000,
        "four one five " * 4_000,
        "a@" * 30_000,
        "." * 60_000,
    )
    frames = ["[" * 60_000, '{"a":' * 12_000, '"' + "\\u0000" * 10_000, "9" * 60_000]
    for text in texts:
        frames.append(json.dumps({"type": "prompt", "voicePrompt": text, "last": False}))
        frames.append(json.dumps({"type": "interrupt", "utteranceUntilInterrupt": text}))
    async with ground.twilio.call(From=ground.number()) as call:

        async def send() -> None:
            for frame in frames:
                await call.send_raw(frame)
                await asyncio.sleep(0.02)

        await ground.until_over(send)
    return ""


async def crowd(ground: Ground) -> str:
    """Sixty calls of one number at once."""
    caller = ground.number()
    fields = [call_fields(From=caller) for _ in range(60)]
    twilio = ground.twilio
    answers = await asyncio.gather(*(twilio.post(twilio.voice_url, each) for each in fields))
    taken = sum(each.relay is not None for each in answers)
    return "" if taken <= _CALLS_PER_HOUR else f"{taken} of 60 calls of one number were taken"


async def sit(ground: Ground) -> str:
    """One number rings three times as often as there are seats, and never opens a socket."""
    caller = ground.number()
    for _ in range(3 * _SEATS):
        await ground.twilio.post(ground.twilio.voice_url, call_fields(From=caller))
        await asyncio.sleep(ground.seconds / (6 * _SEATS))
    await asyncio.sleep(ground.seconds / 2)
    return ""


_HEAD = (
    f"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Type: {_FORM}\r\nContent-Length: 9\r\n".encode()
)
_BODY = b"a=" + b"b\x80" * 8_000
UNSIGNED: dict[str, Attack] = {
    "charset=punycode": posting(f"{_FORM}; charset=punycode", b"a-" * 8_000),
    "charset=idna": posting(f"{_FORM}; charset=idna", b"a." * 8_000),
    "unknown charsets": posting(f"{_FORM}; charset=attack-{{}}", _BODY),
    "most fields": posting(_FORM, b"&".join(b"%d=%%C3" % n for n in range(300))),
    "too large": posting(_FORM, b"a" * 1_000_000),
    "gzip bomb": posting(_FORM, gzip.compress(b"a" * 20_000_000), Content_Encoding="gzip"),
    "content type": posting(_FORM + ";a=b" * 1900, b"a=b"),
    "one byte": holding(b"P"),
    "half a head": holding(_HEAD),
    "head, one byte": holding(_HEAD + f"X-Twilio-Signature: {_GUESS}\r\n\r\nx".encode()),
}
ATTACKS: dict[str, Attack] = {
    **{name: from_outside(name) for name in UNSIGNED},
    "misheard": mishear,
    "odd frames": babble,
    "60 at once": crowd,
    "no socket": sit,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Turns and webhooks of other calls during an attack."""

    turns: int
    p50_ms: float
    max_ms: float
    connected: int
    rung: int
    fault: str

    def verdict(self, quiet: Row) -> str:
        """What is wrong, compared with no attack; empty if nothing."""
        faults = [self.fault] if self.fault else []
        if self.max_ms - quiet.max_ms > MOST_DELAY_SECONDS * 1000:
            faults.append(f"a turn was {self.max_ms - quiet.max_ms:.0f} ms later")
        if self.connected < self.rung or not self.rung:
            faults.append("webhooks were not connected")
        return "; ".join(faults)


async def measure(ground: Ground, calls: list[TwilioCall], attack: Attack) -> Row:
    """Talk and ring while the attack goes on."""
    times: list[float] = []
    rung: list[bool] = []
    lost: list[str] = []

    async def talk(call: TwilioCall) -> None:
        try:
            times.append((await call.say("are you open")).first_text_seconds)
        except NoReplyError as error:
            lost.append(f"a turn was not answered: {error}")
        await asyncio.sleep(_PAUSE_SECONDS)

    async def ring() -> None:
        is_connected = False
        try:
            is_connected = await ground.ring(ground.number())
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            lost.append(f"a webhook was not answered: {type(error).__name__}")
        rung.append(is_connected)
        await asyncio.sleep(_PAUSE_SECONDS)

    async def repeat(again: Callable[[], Awaitable[None]]) -> None:
        while not attacking.done():
            await again()

    async with asyncio.TaskGroup() as tasks:
        attacking = tasks.create_task(attack(ground))
        for call in calls:
            tasks.create_task(repeat(lambda call=call: talk(call)))  # type: ignore[misc] # bound now
        tasks.create_task(repeat(ring))
    fault = "; ".join(filter(None, [attacking.result(), *lost[:1]]))
    seconds = times or [float("inf")]
    return Row(len(times), median(seconds) * 1000, max(seconds) * 1000, sum(rung), len(rung), fault)


async def undisturbed(ground: Ground) -> str:
    """No attack."""
    await asyncio.sleep(2 * ground.seconds)
    return ""


@asynccontextmanager
async def opened(
    folder: Path, calls: int, seconds: float
) -> AsyncIterator[tuple[Ground, list[TwilioCall]]]:
    """Start the service with its model and calls in progress."""
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(OpenAIEmulator(answer))
        server = await stack.enter_async_context(
            serving(
                *(folder, _TOKEN, {}),
                MODEL_IDENTIFIER="openai:emulated",
                OPENAI_BASE_URL=emulator.base_url,
                OPENAI_API_KEY="any",
                MAX_CALLS=str(_SEATS),
                CALLER_CALLS_PER_HOUR=str(_CALLS_PER_HOUR),
            )
        )
        stack.enter_context(on_cores_apart(server.process.pid))
        twilio = await stack.enter_async_context(Twilio.open(server.base, _TOKEN))
        ground = Ground(twilio, int(server.base.rpartition(":")[2]), seconds)
        talking = [
            await stack.enter_async_context(ground.twilio.call(From=ground.number()))
            for _ in range(calls)
        ]
        yield ground, talking


async def run(
    folder: Path, calls: int, seconds: float, chosen: Mapping[str, Attack]
) -> dict[str, tuple[Row, str]]:
    """Run all attacks in turn; each row with what is wrong. The first row has no attack."""
    found: dict[str, tuple[Row, str]] = {}
    async with opened(folder, calls, seconds) as (ground, talking):
        await asyncio.gather(*(call.say("are you open") for call in talking))
        quiet = await measure(ground, talking, undisturbed)
        found["undisturbed"] = (quiet, quiet.verdict(quiet))
        show("undisturbed", *found["undisturbed"])
        for name, attack in chosen.items():
            row = await measure(ground, talking, attack)
            found[name] = (row, row.verdict(quiet))
            show(name, *found[name])
            await asyncio.sleep(_REST_SECONDS)
    return found


def show(name: str, row: Row, fault: str) -> None:
    """Print a row."""
    print(
        f"{name:18} {row.turns:5} {row.p50_ms:8.0f} {row.max_ms:8.0f}"
        f" {row.connected:5} of {row.rung:<4} {fault or 'ok'}",
        flush=True,
    )


def main() -> int:
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(description="Attack a service of this machine.")
    parser.add_argument("--calls", type=int, default=3, help="in progress")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="this attack; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--against", metavar="URL", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    raise_file_limit()
    if asked.against:
        asyncio.run(attack_only(asked.against, asked.seconds, asked.only[0]))
        return 0
    chosen = {name: ATTACKS[name] for name in asked.only or ATTACKS}
    print(f"{'attack':18} {'turns':>5} {'P50 ms':>8} {'max ms':>8} {'connected':>13}")
    with TemporaryDirectory() as folder:
        found = asyncio.run(run(Path(folder), asked.calls, asked.seconds, chosen))
    if asked.json:
        rows = {name: {**asdict(row), "wrong": fault} for name, (row, fault) in found.items()}
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 1 if any(fault for _, fault in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
