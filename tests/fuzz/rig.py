"""A service that runs through many examples, and checks of its log and metrics.

Hypothesis calls plain functions, so the service runs in a thread with its own loop: the production
wiring with the shipped configuration and default settings. All input contains values of `PRIVATE`,
which must not be in the log or in the metrics.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import structlog

from agent.observability import configure_logging
from agent.simulator.simulated_call import NoReplyError, TwilioCall
from agent.simulator.talk_cycles import Departure
from tests.servers import UNLIMITED_CALLERS, Server, serving, settings_for
from tests.waiting import no_longer, until

T = TypeVar("T")

CALLER = "+15550108642"
SECRET = "mark-secret-of-the-operator-of-32-bytes"
PRIVATE = (
    CALLER,
    "Zebulonika",
    "Quagmirela",
    "mark quixotic words",
    "mark.quill@example.org",
    "77 Xylograph Lane",
    "90417263",
    "mark-token-5f1e",
    SECRET,
)
"""Number, names, words, mail, address, digits, token, secret."""
_CRASHES = ("webhook.crashed", "call.crashed", "tool.failed", "write_queue.write_crashed")


class Rig:
    """Runs examples against the service, and checks its output after each."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, said: io.StringIO) -> None:
        self._server = server
        self._loop = loop
        self._said = said
        self._judged = 0
        self._tokens: set[str] = set()

    def run(self, example: Callable[[Server], Awaitable[T]]) -> T:
        """Run an example, then check the log and the metrics."""

        async def whole() -> T:
            async with no_longer():
                result = await example(self._server)
            await until(lambda: self._server.calls.active_calls.count == 0)
            return result

        result = asyncio.run_coroutine_threadsafe(whole(), self._loop).result()
        self._judge()
        return result

    def note_token(self, url: str) -> None:
        """The token in a socket's URL is a secret, too."""
        self._tokens |= set(parse_qs(urlsplit(url).query)["token"])

    def _judge(self) -> None:
        said = self._said.getvalue()[self._judged :]
        self._judged += len(said)
        lines = said.splitlines()
        crashes = [line for line in lines if "Traceback" in line or _event(line) in _CRASHES]
        assert crashes == []
        metrics = self._server.service.telemetry.render("")[0].decode()
        for mark in (*PRIVATE, *self._tokens):
            assert [line for line in lines if mark in line] == []
            assert mark not in metrics


def _event(line: str) -> str:
    """The event name of a log line of ours; empty for other lines."""
    with suppress(ValueError):
        return str(json.loads(line)["event"])
    return line


@contextmanager
def rig(folder: Path, table: Path) -> Iterator[Rig]:
    """A service in a thread; nothing of it is left behind."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger().addHandler(handler)
    with redirect_stderr(said):
        configure_logging("info", "json")
    settings = settings_for(
        table,
        TWILIO_ACCOUNT_SID="AC" + "0" * 32,
        TWILIO_API_KEY_SID="SK" + "0" * 32,
        TWILIO_API_KEY_SECRET=SECRET,
        TWILIO_TWIML_APP_SID="AP" + "0" * 32,
        TWILIO_API_URL="http://127.0.0.1:9",
        TOKEN_API_KEYS=SECRET,
        DIAL_API_KEYS=SECRET,
        OUTBOUND_NUMBERS="+1555",
        OUTBOUND_FROM="+15550100000",
        MAX_CALLS="1000",
        **UNLIMITED_CALLERS,
    )
    begun = threading.Event()
    here: list[Rig] = []
    over: list[Callable[[], object]] = []

    async def serve() -> None:
        async with serving(settings) as server:
            leave, loop = asyncio.Event(), asyncio.get_running_loop()
            here.append(Rig(server, loop, said))
            over.append(lambda: loop.call_soon_threadsafe(leave.set))
            begun.set()
            await leave.wait()

    faults: list[Exception] = []

    def work() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001 (raised again in the thread of the test)
            faults.append(error)
        begun.set()

    thread = threading.Thread(target=work, name=f"service in {folder.name}")
    thread.start()
    begun.wait()
    try:
        if here:
            yield here[0]
    finally:
        for leave in over:
            leave()
        thread.join()
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()
    assert faults == []


async def goes_on_or_is_over(call: TwilioCall) -> None:
    """The caller is answered, or the call has come to an end; never silence."""
    await call.settle()
    if call.ending is None:
        try:
            await call.say("are you open")
        except NoReplyError:
            assert call.ending is not None, "neither an answer nor an end"
    assert not [each for each in call.ledger.departures if each.kind is Departure.BAD_FRAME]
