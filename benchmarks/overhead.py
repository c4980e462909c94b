"""What the service adds to the model, beside a plain SDK loop, and what hedging saves.

    python benchmarks/overhead.py [--calls 100] [--turns 5] [--json FILE]

A Bedrock emulator in a process of its own gives the first token after 300 ms and 40 tokens 20 ms
apart. Two services answer the same calls, one after the other, each in a process of its own: ours,
and the shortest loop one would write with the AWS SDK (`minimal` below: no turns, no interrupts,
no history to speak of).

Added time is what is not the emulator's: prompt frame written -> request read by the emulator
(in), and the 300 ms later -> first text frame read (out). The emulator's own lateness counts as
ours, in both rows; the row `emulator itself` shows it, measured by a client that does nothing but
read. All clocks are this machine's monotonic one.

The part on hedging runs in this process: 5 % of requests stall; time to the first words with hedges
and without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from xml.etree import ElementTree as ET

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.call.messages import Message, ReplyRequest, Role, Text, TextPiece
from agent.errors import ModelError
from agent.llm.bedrock import BedrockClient, BedrockModel
from agent.llm.failover import Candidate, FailoverModel, HedgeBudget, ModelCircuit
from agent.usecases import ModelSettings
from tests.emulators.bedrock import BedrockEmulator
from tests.emulators.replies import Reply, say, stall
from tests.emulators.scripts import sometimes

MODEL = "us.amazon.nova-lite-v1:0"
FIRST_SECONDS = 0.3
GAP_SECONDS = 0.02
TOKENS = 40
TURN_SECONDS = FIRST_SECONDS + TOKENS * GAP_SECONDS
STALLS = 0.05
HEDGED_REQUESTS = 600
HEDGED_AT_ONCE = 20
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",  # the SDK alone reads only this one
    "AWS_ACCESS_KEY_ID": "AKIDBENCHMARK",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_START_SECONDS = 30.0
_TURN_SECONDS = 30.0


def answer() -> Reply:
    """The one reply of the emulator."""
    return say([f"word{n} " for n in range(TOKENS)], first=FIRST_SECONDS, gap=GAP_SECONDS)


def fresh(folder: Path) -> Path:
    """Make the folder of one measurement."""
    folder.mkdir()
    return folder


def read_arrivals(folder: Path) -> list[tuple[str, float]]:
    """Each question the emulator has read, and when; one asked twice is there twice."""
    return [(words, at) for words, at in json.loads((folder / "arrivals.json").read_text())]


async def emulate(folder: Path, stalls: float) -> None:
    """Run the emulator: its address goes to a file, its arrivals to another at the end."""
    script = sometimes(answer(), (stalls, stall()), seed=7) if stalls else answer()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with BedrockEmulator(script, validator=lambda _, __: []) as bedrock:
        (folder / "url").write_text(bedrock.url)
        await ended.wait()
        arrivals = [(request.last_text, request.at) for request in bedrock.requests]
        (folder / "arrivals.json").write_text(json.dumps(arrivals))


async def minimal(port: int) -> None:
    """Serve the shortest loop with the AWS SDK: a WebSocket, a list, a stream."""
    import aioboto3  # type: ignore[import-untyped] # noqa: PLC0415 # ships no types
    from botocore.config import Config  # type: ignore[import-untyped] # noqa: PLC0415 # likewise

    config = Config(max_pool_connections=200, retries={"max_attempts": 1})
    async with aioboto3.Session().client("bedrock-runtime", config=config) as bedrock:

        async def call(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            messages: list[dict[str, object]] = []
            async for frame in socket:
                heard = json.loads(frame.data)
                if heard["type"] != "prompt":
                    continue
                messages.append({"role": "user", "content": [{"text": heard["voicePrompt"]}]})
                reply = await bedrock.converse_stream(
                    modelId=MODEL,
                    messages=messages,
                    system=[{"text": "You are helpful."}],
                    inferenceConfig={"maxTokens": 300},
                )
                said = ""
                async for event in reply["stream"]:
                    token = event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
                    if token:
                        said += token
                        await socket.send_json({"type": "text", "token": token, "last": False})
                await socket.send_json({"type": "text", "token": "", "last": True})
                messages.append({"role": "assistant", "content": [{"text": said}]})
            return socket

        application = web.Application()
        application.router.add_get("/", call)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()
        await runner.cleanup()


@asynccontextmanager
async def child(
    *arguments: str, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python process of this repository; SIGTERM ends it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until_there(path: Path) -> str:
    """Wait for a file that another process writes; returns its content."""
    async with asyncio.timeout(_START_SECONDS):
        while not (path.exists() and path.read_text()):  # noqa: ASYNC110, ASYNC240 (at start)
            await asyncio.sleep(0.05)
    return path.read_text()  # noqa: ASYNC240 (one line, at start)


async def until_answers(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until a server answers at a URL."""
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


Times = list[tuple[str, float, float]]
"""Of each turn: its words, when the prompt was written, when the first text was read."""


async def talk(http: aiohttp.ClientSession, url: str, call: str, turns: int) -> Times:
    """Lead one call of so many turns."""
    times: Times = []
    async with http.ws_connect(url) as socket:
        await socket.send_json({"type": "setup", "callSid": call, "sessionId": f"VX{call}"})
        for turn in range(turns):
            words = f"Tell me about question {turn} of caller {call}."
            prompt = {"type": "prompt", "voicePrompt": words, "last": True}
            asked = time.monotonic()
            await socket.send_json(prompt)
            first = 0.0
            async with asyncio.timeout(_TURN_SECONDS):
                while True:
                    frame = json.loads(await socket.receive_str())
                    if frame["token"] and not first:
                        first = time.monotonic()
                    if frame["last"]:
                        break
            times.append((words, asked, first))
    return times


async def ours_url(http: aiohttp.ClientSession, base: str, call: str) -> str:
    """Set up a call at our service; returns the URL of its socket."""
    fields = {"CallSid": call, "From": "anonymous", "To": "+15550009999"}
    async with http.post(f"{base}/twiml", data=fields) as response:
        relay = ET.fromstring(await response.text()).find("./Connect/ConversationRelay")  # noqa: S314 (our own)
    if relay is None:
        raise RuntimeError("the service did not connect the call")
    return relay.attrib["url"]


async def run_calls(
    http: aiohttp.ClientSession, base: str, calls: int, turns: int, *, is_ours: bool
) -> Times:
    """Lead all calls at the same time."""

    async def one(number: int) -> Times:
        await asyncio.sleep(number / calls * TURN_SECONDS)  # callers do not speak at the same time
        call = f"CA{number:05d}{time.monotonic_ns()}"
        url = await ours_url(http, base, call) if is_ours else f"{base}/"
        return await talk(http, url, call, turns)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(number)) for number in range(calls)]
    return [times for task in running for times in task.result()]


async def measure_service(
    kind: str, port: int, folder: Path, calls: int, turns: int
) -> dict[str, float]:
    """Measure a service under so many calls, with an emulator of its own."""
    emulator = [__file__, "emulate", str(folder), "0"]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        async with child(*emulator, environment={}):
            url = await until_there(folder / "url")
            environment = {
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
                "PORT": str(port),
                "METRICS_PORT": "0",
                "WS_URL": f"ws://127.0.0.1:{port}/",
                "STORE_PATH": str(folder / "agent.db"),
                "MODEL_IDENTIFIER": MODEL,
                "MAX_CALLS": "1000",
                "LOG_LEVEL": "error",
            }
            base = f"http://127.0.0.1:{port}"
            serve = ["-m", "agent", "serve"] if kind == "ours" else [__file__, "minimal", str(port)]
            if kind == "ours":
                async with child("-m", "agent", "seed", environment=environment) as seeding:
                    await seeding.wait()
            async with child(*serve, environment=environment):
                await until_answers(http, f"{base}/health")
                await run_calls(http, base, 2, 2, is_ours=kind == "ours")
                times = await run_calls(http, base, calls, turns, is_ours=kind == "ours")
        arrivals = dict(read_arrivals(folder))
    return summary(times, arrivals)


async def measure_emulator(folder: Path, turns: int) -> dict[str, float]:
    """Measure the lateness of the emulator by a client that only reads."""
    times: Times = []
    async with (
        aiohttp.ClientSession() as http,
        child(__file__, "emulate", str(folder), "0", environment={}),
    ):
        url = await until_there(folder / "url")
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/"
            "aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
            "X-Amz-Date": "20260101T000000Z",
        }
        for turn in range(turns):
            words = f"Question {turn}."
            body = {"messages": [{"role": "user", "content": [{"text": words}]}]}
            asked = time.monotonic()
            async with http.post(
                f"{url}/model/{MODEL}/converse-stream", json=body, headers=headers
            ) as response:
                await response.content.readany()
                times.append((words, asked, time.monotonic()))
                await response.read()
    return summary(times, dict(read_arrivals(folder)))


def summary(times: Times, arrivals: Mapping[str, float]) -> dict[str, float]:
    """P50 and P99 of the added time, in milliseconds."""
    inward = [(arrivals[words] - asked) * 1000 for words, asked, _ in times]
    outward = [(first - arrivals[words] - FIRST_SECONDS) * 1000 for words, _, first in times]
    both = [a + b for a, b in zip(inward, outward, strict=True)]
    return {
        "turns": len(times),
        "in_p50": p50(inward),
        "in_p99": p99(inward),
        "out_p50": p50(outward),
        "out_p99": p99(outward),
        "added_p50": p50(both),
        "added_p99": p99(both),
    }


def p50(values: Sequence[float]) -> float:
    """The median, rounded."""
    return round(median(values), 2)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile, rounded."""
    return round(quantiles(values, n=100, method="inclusive")[98], 2)


async def measure_hedging(folder: Path, share: float) -> dict[str, float]:
    """Time to the first words when 5 % of requests stall."""
    seconds: list[float] = []
    failed: list[int] = []
    async with child(__file__, "emulate", str(folder), str(STALLS), environment={}):
        os.environ.update(ENVIRONMENT)
        os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = await until_there(folder / "url")
        async with BedrockClient.open(max_calls=100) as runtime:
            settings = ModelSettings(MODEL)
            bedrock = BedrockModel(MODEL, settings, runtime)
            health, budget = ModelCircuit(MODEL), HedgeBudget(share)
            gate = asyncio.Semaphore(HEDGED_AT_ONCE)

            async def ask(number: int) -> None:
                request = ReplyRequest(
                    "You are helpful.", (Message(Role.CALLER, (Text(f"Question {number}."),)),)
                )
                model = FailoverModel([Candidate(bedrock, health)], budget)
                async with gate:
                    asked = time.monotonic()
                    try:
                        await first_words(model, request)
                    except ModelError:  # both requests stalled: the caller hears an apology now
                        failed.append(number)
                    seconds.append(time.monotonic() - asked)

            async with asyncio.TaskGroup() as tasks:
                for number in range(HEDGED_REQUESTS):
                    tasks.create_task(ask(number))
    requests = len(read_arrivals(folder))
    milliseconds = [each * 1000 for each in seconds]
    return {
        "requests": requests,
        "more_percent": round(100 * (requests / HEDGED_REQUESTS - 1), 1),
        "failed": len(failed),
        "p50": p50(milliseconds),
        "p99": p99(milliseconds),
    }


async def first_words(model: FailoverModel, request: ReplyRequest) -> None:
    """Read a reply up to its first words."""
    async with aclosing(model.reply(request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, TextPiece) and piece.text:
                return


async def measure_all(calls: int, turns: int, port: int) -> dict[str, dict[str, float]]:
    """Measure all rows in turn, so that none disturbs another."""
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows["emulator itself"] = await measure_emulator(fresh(folder / "emulator"), 20)
        for number in (1, calls):
            for kind in ("minimal", "ours"):
                label = f"{kind}, {number} calls at once"
                count = 20 if number == 1 else turns
                place = fresh(folder / f"{kind}{number}")
                rows[label] = await measure_service(kind, port, place, number, count)
        rows["hedging off"] = await measure_hedging(fresh(folder / "off"), 0.0)
        rows["hedging on"] = await measure_hedging(fresh(folder / "on"), 0.05)
    return rows


def main() -> int:
    """Measure, or be one of the processes that are measured."""
    if sys.argv[1:2] == ["emulate"]:
        asyncio.run(emulate(Path(sys.argv[2]), float(sys.argv[3])))
        return 0
    if sys.argv[1:2] == ["minimal"]:
        asyncio.run(minimal(int(sys.argv[2])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5, help="of each of the many calls")
    parser.add_argument("--port", type=int, default=38_417)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = asyncio.run(measure_all(asked.calls, asked.turns, asked.port))
    for label, row in rows.items():
        print(f"{label:28} " + "  ".join(f"{name} {value:g}" for name, value in row.items()))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
