"""Measures whether the stages of a turn add up to what an outside client measures.

    python benchmarks/stages.py [--turns 60] [--calls 30] [--json FILE]

The service is a process of its own; the offline model answers in it, or a Bedrock emulator in
another one (first token after 300 ms, 40 tokens 20 ms apart). The client takes the time from just
before a prompt is sent until the first text, and the last frame, have been read. Of each turn this
is compared with its line in the service's log: the stages until the first text, and all stages.

What the client measures encloses what the log says, so a difference is the way there and back,
both event loops included. The row `round trip` shows that way by itself: a ping and its pong, which
pass through the same sockets and both loops, and through nothing else of the service. Client and
service have cores of their own, as machines of their own would, see `on_cores_apart`.

Exit status 1 if a median or P95 of a caller who is alone is above 2 ms, or if stages do not add
up to their own line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import aiohttp
from yarl import URL

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.observability.turn_stages import UNTIL_SPEECH
from benchmarks.overhead import ENVIRONMENT, MODEL, child, fresh, until_there
from benchmarks.replay import percentile
from benchmarks.service import Server, on_cores_apart, serving
from tests.dialogues import ORDERING
from tests.twilio_client.client import Twilio, call_fields

MOST_MS = 2.0
"""Between the log and the client, of a caller who is alone."""
CALLER = "+15550100011"
WORDS = (
    "are you open",
    "what pizzas do you have",
    "a large pepperoni pizza with mushrooms for pickup",
    "do you deliver",
    "how much is that",
)
"""Said in turn; the offline model uses a tool for some."""
_TOKEN = "stages-token"  # noqa: S105 - of a server that lives for this run
_QUIET_SECONDS = 0.15
"""After a last frame; what comes later is of another turn."""
_TURN_SECONDS = 30.0
_ROUNDING_MS = 0.05
"""Of one figure in the log."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn by the client's clock, in milliseconds."""

    call_sid: str
    number: int
    response: float
    whole: float


@dataclass(slots=True)
class Ear:
    """Reads one socket and notes the time of each frame, before anything else."""

    socket: aiohttp.ClientWebSocketResponse
    texts: list[tuple[float, str]] = field(default_factory=list)
    pongs: list[float] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Read until the socket is closed."""
        while True:
            message = await self.socket.receive()
            at = monotonic()
            if message.type is aiohttp.WSMsgType.TEXT:
                self.texts.append((at, message.data))
            elif message.type is aiohttp.WSMsgType.PONG:
                self.pongs.append(at)
            elif message.type is aiohttp.WSMsgType.PING:
                await self.socket.pong(message.data)
            else:
                return
            self.news.set()

    async def until_said(self) -> tuple[float, float]:
        """When the first text and the last frame of a reply came; forgets what it has heard."""
        async with asyncio.timeout(_TURN_SECONDS):
            while True:
                await self._until_quiet()
                frames = [(at, json.loads(data)) for at, data in self.texts]
                spoken = [at for at, frame in frames if frame.get("token")]
                if spoken and frames[-1][1].get("last"):
                    self.texts.clear()
                    return spoken[0], frames[-1][0]

    async def _until_quiet(self) -> None:
        while True:
            self.news.clear()
            try:
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self.news.wait()
            except TimeoutError:
                return

    async def round_trip(self) -> float:
        """Milliseconds from a ping to its pong."""
        self.pongs.clear()
        began = monotonic()
        await self.socket.ping()
        async with asyncio.timeout(_TURN_SECONDS):
            while not self.pongs:
                self.news.clear()
                await self.news.wait()
        return 1000 * (self.pongs[0] - began)


@dataclass(slots=True)
class Measured:
    """Turns and round trips measured by the client."""

    turns: list[Heard] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)


async def talk(twilio: Twilio, turns: int, measured: Measured) -> None:
    """Lead one call of so many turns."""
    relay = await twilio.webhook(call_fields(From=CALLER))
    call_sid = relay.fields["CallSid"]
    async with twilio.http.ws_connect(
        URL(relay.url, encoded=True),
        headers={"X-Twilio-Signature": twilio.sign(relay.url)},
        autoping=False,
    ) as socket:
        ear = Ear(socket)
        listening = asyncio.create_task(ear.listen(), name="ear")
        await socket.send_json({"type": "setup", "callSid": call_sid, "sessionId": "VX1"})
        await ear.round_trip()  # the caller speaks after the call is answered
        for number in range(turns):
            words = WORDS[number % len(WORDS)]
            prompt = json.dumps({"type": "prompt", "voicePrompt": words, "last": True})
            asked = monotonic()
            await socket.send_str(prompt)
            first, last = await ear.until_said()
            measured.turns.append(
                Heard(call_sid, number + 1, 1000 * (first - asked), 1000 * (last - asked))
            )
            measured.round_trips.append(await ear.round_trip())
        await socket.close()
        await listening


async def run_calls(server: Server, calls: int, turns: int) -> Measured:
    """All calls side by side, none in step with another."""
    measured = Measured()

    async def one(twilio: Twilio, number: int) -> None:
        await asyncio.sleep(number / calls)  # callers do not speak at the same time
        await talk(twilio, turns, measured)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        twilio = Twilio(http, server.base, _TOKEN)
        await talk(twilio, len(WORDS), Measured())  # the first call of a process is not measured
        async with asyncio.TaskGroup() as tasks:
            for number in range(calls):
                tasks.create_task(one(twilio, number), name=f"caller {number}")
    return measured


@asynccontextmanager
async def model_of(kind: str, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Environment of a service with this model."""
    if kind == "offline":
        yield {}
        return
    emulator = [str(Path(__file__).with_name("overhead.py")), "emulate", str(folder), "0"]
    async with child(*emulator, environment={}):
        url = await until_there(folder / "url")
        yield {**ENVIRONMENT, "MODEL_IDENTIFIER": MODEL, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url}


async def measure(kind: str, folder: Path, calls: int, turns: int) -> dict[str, float]:
    """Measure one row."""
    profiles = {CALLER: ORDERING}
    async with (
        model_of(kind, folder) as environment,
        serving(folder, _TOKEN, profiles, **environment) as server,
    ):
        with on_cores_apart(server.process.pid):
            measured = await run_calls(server, calls, turns)
    return summary(measured, lines_of(server.log_lines()))


def lines_of(log: Sequence[str]) -> dict[tuple[str, int], Mapping[str, object]]:
    """The lines of turns, by call and number."""
    entries = [json.loads(line) for line in log if '"turn.finished"' in line]
    return {(entry["call_sid"], entry["turn"]): entry for entry in entries}


def summary(
    measured: Measured, lines: Mapping[tuple[str, int], Mapping[str, object]]
) -> dict[str, float]:
    """How far client and log are apart, in milliseconds.

    Raises:
        KeyError: A turn has no line.
    """
    responses, wholes, apart = list[float](), list[float](), list[float]()
    for heard in measured.turns:
        line = lines[heard.call_sid, heard.number]
        until_speech, whole, unlike = added_up(line)
        responses.append(abs(heard.response - until_speech))
        wholes.append(abs(heard.whole - whole))
        apart.append(unlike)
    figures: dict[str, float] = {"turns": len(measured.turns)}
    for name, values in (
        ("response", responses),
        ("whole", wholes),
        ("round_trip", measured.round_trips),
    ):
        ordered = sorted(values)
        figures |= {
            f"{name}_p50": round(percentile(ordered, 0.5), 2),
            f"{name}_p95": round(percentile(ordered, 0.95), 2),
            f"{name}_max": round(ordered[-1], 2),
        }
    return figures | {"stages_off": round(max(apart), 2)}


def added_up(line: Mapping[str, object]) -> tuple[float, float, float]:
    """Stages until the first text, all stages, and how far these are from the line's own sums.

    All in milliseconds; rounding is subtracted.
    """
    stages, response, total = line["stages"], line["response_ms"], line["total_ms"]
    if not isinstance(stages, dict) or not isinstance(response, float | int):
        raise TypeError("a turn without an answer")
    until_speech = sum(stages.get(stage.value, 0.0) for stage in UNTIL_SPEECH)
    whole = sum(stages.values())
    unlike = max(abs(until_speech - response), abs(whole - float(str(total))))
    return until_speech, whole, max(0.0, unlike - _ROUNDING_MS * (len(stages) + 1))


async def measure_all(calls: int, turns: int) -> dict[str, dict[str, float]]:
    """Measure all rows in turn."""
    rows: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as name:
        for kind, count in (("offline", 1), ("emulator", 1), ("emulator", calls)):
            label = f"{kind}, {count} at once"
            said = turns if count == 1 else len(WORDS)
            rows[label] = await measure(kind, fresh(Path(name) / str(len(rows))), count, said)
            shown = "  ".join(f"{name} {value:g}" for name, value in rows[label].items())
            print(f"{label:24} {shown}", flush=True)
    return rows


def is_kept(label: str, row: Mapping[str, float]) -> bool:
    """Whether this row is within the limits."""
    names = [f"{name}_{share}" for name in ("response", "whole") for share in ("p50", "p95")]
    is_near = not label.endswith(" 1 at once") or max(row[name] for name in names) <= MOST_MS
    return is_near and row["stages_off"] == 0


def main() -> int:
    """Measure and print; 1 if log and client are too far apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=60, help="of the caller who is alone")
    parser.add_argument("--calls", type=int, default=30, help="of the row with many")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = asyncio.run(measure_all(asked.calls, asked.turns))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    return 0 if all(is_kept(label, row) for label, row in rows.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
