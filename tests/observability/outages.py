"""A service that is called on virtual time, breaks, and is called again; and what it exported.

The service is the production wiring with real sockets. One caller after the other rings, asks a
question and hangs up. Every 30 seconds the metrics are read as a scraper does; the lines for
CloudWatch are those that the service writes.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web
from structlog.testing import capture_logs

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, ReplyRequest
from agent.errors import ModelError, StoreError
from agent.llm import OfflineModel
from agent.ports import Item, Key, LanguageModel, Pause, no_pause
from agent.simulator.carrier import ACCOUNT, CallRefusedError, Twilio, call_fields
from agent.simulator.simulated_call import NoReplyError
from agent.simulator.virtual_time import run_virtually
from agent.store.memory import MemoryStore
from agent.usecases.receivers import RECEIVERS_KEY
from tests.events.sites import KEY
from tests.listening import listening
from tests.servers import UNLIMITED_CALLERS, Server, seeded, settings_for, staged

BEGAN = 1_800_000_000.0
"""When a replay begins, in epoch seconds: a full hour."""
SCRAPE_SECONDS = 30.0
USE_CASE = "restaurantOrderingUseCase"
_OTHER_TOKEN = "f" * 32
_SLOW_SECONDS = 4.0
_ATTEMPTS = 6
"""A call whose socket fails is given up before."""


@dataclass(slots=True)
class Faults:
    """What is broken now."""

    store_is_away: bool = False
    model_refuses: bool = False
    model_is_slow: bool = False
    set_up_crashes: bool = False
    socket_is_unreachable: bool = False
    reports_socket: bool = True
    """Twilio requests the action URL when it cannot open the socket."""
    nobody_rings: bool = False
    receiver_is_down: bool = False


class FailingTable(MemoryStore):
    """A table that can be away."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(lambda: BEGAN + asyncio.get_running_loop().time())
        self._faults = faults

    async def get(self, pk: str, sk: str) -> Item | None:
        self._try()
        return await super().get(pk, sk)

    async def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        self._try()
        return await super().get_many(keys)

    async def put(
        self, item: Item, *, only_if_absent: bool = False, beside: Sequence[Item] = ()
    ) -> bool:
        self._try()
        return await super().put(item, only_if_absent=only_if_absent, beside=beside)

    async def query(self, pk: str, sk_prefix: str = "") -> list[Item]:
        self._try()
        return await super().query(pk, sk_prefix)

    def _try(self) -> None:
        if self._faults.store_is_away:
            raise StoreError("the table cannot be reached")


@dataclass(frozen=True, slots=True)
class _Model:
    """`ports.LanguageModel` that answers like the offline one, unless it is broken."""

    inner: OfflineModel
    faults: Faults
    name: str = "scripted:"

    async def warm(self) -> None:
        await self.inner.warm()

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        if self.faults.model_refuses:
            raise ModelError(ReplyFault.DENIED, "status 403")
        if self.faults.model_is_slow:
            await asyncio.sleep(_SLOW_SECONDS)
        async for pieces in self.inner.reply(request, pause):
            yield pieces


@dataclass(slots=True)
class Rig:
    """A service, its faults, and the Twilio that calls it."""

    server: Server
    store: FailingTable
    faults: Faults
    twilio: Twilio

    async def call(self) -> None:
        """One call, whatever comes of it."""
        fields = call_fields(From="+15550100001")
        try:
            relay = await self.twilio.webhook(fields)
        except CallRefusedError:
            return
        if self.faults.socket_is_unreachable:
            await self._report_no_socket(fields, relay.action)
            return
        async with self.twilio.connect(relay) as call:
            try:
                await call.say("are you open")
            except NoReplyError:
                await call.hang_up()

    async def edit(self, **attributes: object) -> None:
        """Change the record of the use case."""
        await self.store.merge(USE_CASE, "configuration", attributes)

    def sign_with_another_token(self) -> None:
        self.twilio = replace(self.twilio, token=_OTHER_TOKEN)

    async def _report_no_socket(self, fields: dict[str, str], action: str) -> None:
        """As Twilio does: https://www.twilio.com/docs/api/errors/64102."""
        for _ in range(_ATTEMPTS if self.faults.reports_socket else 0):
            report = {**fields, "SessionStatus": "failed", "ErrorCode": "64102"}
            answer = await self.twilio.post(action, {**report, "CallStatus": "in-progress"})
            if answer.relay is None:
                return
            action = answer.relay.action


@asynccontextmanager
async def rigged(folder: Path, **environment: str) -> AsyncIterator[Rig]:
    """The service on the running loop, whose clock is the time since `BEGAN`."""
    faults = Faults()
    store, loop = FailingTable(faults), asyncio.get_running_loop()
    await seeded(store)

    def opened(_: str, script: str) -> LanguageModel:
        if faults.set_up_crashes:
            raise RuntimeError("a fault of ours")
        return _Model(OfflineModel(script), faults)

    clock = loop.time
    async with _receiver(store, faults) as allowed:
        variables = {**UNLIMITED_CALLERS, **allowed, **environment}
        settings = settings_for(folder / "unused", TWILIO_ACCOUNT_SID=ACCOUNT, **variables)
        async with staged(
            settings, store, opened, clock=lambda: BEGAN + clock(), tells_events=True
        ) as server:
            yield Rig(server, store, faults, server.twilio)


@asynccontextmanager
async def _receiver(store: FailingTable, faults: Faults) -> AsyncIterator[dict[str, str]]:
    """A receiver of events in the table; gives the settings that allow it."""

    async def take(_: web.Request) -> web.Response:
        return web.Response(status=503 if faults.receiver_is_down else 204)

    app = web.Application()
    app.router.add_post("/", take)
    async with listening(app, shutdown_timeout=0.1) as url:
        pk, sk = RECEIVERS_KEY
        receivers = {"crm": {"url": f"{url}/", "secret": "HOOK"}}
        await store.put({"pk": pk, "sk": sk, "receivers": receivers})
        yield {
            "HTTP_TOOL_HOSTS": f"{url}=127.0.0.1/32",
            "HTTP_TOOL_SECRETS": f"HOOK@{url}",
            "HOOK": KEY,
        }


Break = Callable[[Rig], Awaitable[None]]


async def _healthy(_: Rig) -> None:
    return None


async def _wrong_token(rig: Rig) -> None:
    rig.sign_with_another_token()


async def _missing_record(rig: Rig) -> None:
    await rig.edit(expireAt=1)


async def _broken_record(rig: Rig) -> None:
    await rig.edit(prompt=None)


def _with(**faults: bool) -> Break:
    async def break_it(rig: Rig) -> None:
        for name, value in faults.items():
            setattr(rig.faults, name, value)

    return break_it


OUTAGES: dict[str, Break] = {
    "auth token wrong or rotated": _wrong_token,
    "use-case record missing": _missing_record,
    "use-case record broken": _broken_record,
    "set-up crashes": _with(set_up_crashes=True),
    "model refuses requests": _with(model_refuses=True),
    "table away": _with(store_is_away=True),
    "socket's host name or certificate wrong": _with(socket_is_unreachable=True),
    "the same, and Twilio reports nothing": _with(socket_is_unreachable=True, reports_socket=False),
    "webhook's host name or certificate wrong": _with(nobody_rings=True),
    "receiver of events down": _with(receiver_is_down=True),
    "first speech slow": _with(model_is_slow=True),
}
"""What breaks, by what the documentation calls it."""


@dataclass(slots=True)
class Replay:
    """What a service exported; times are seconds since `BEGAN`."""

    broken_at: float
    lines: list[str] = field(default_factory=list)
    """For CloudWatch."""
    scrapes: list[str] = field(default_factory=list)
    """The text for Prometheus, every `SCRAPE_SECONDS` from 0."""


def replay(
    folder: Path,
    broken: Break,
    *,
    minutes_before: int = 11,
    minutes_after: int = 11,
    seconds_between: float = 20.0,
) -> Replay:
    """Calls before and after something breaks; on virtual time."""
    played = Replay(minutes_before * 60.0)

    async def call_again(rig: Rig) -> None:
        while True:
            if not rig.faults.nobody_rings:
                await rig.call()
            await asyncio.sleep(seconds_between)

    async def scrape(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        while True:
            _, text = await rig.server.get(rig.server.metrics_url)
            played.scrapes.append(text)
            await asyncio.sleep(SCRAPE_SECONDS * len(played.scrapes) - loop.time())

    async def main() -> None:
        async with rigged(folder, EMF_METRICS="true", LOG_FORMAT="json") as rig:
            tasks = [asyncio.create_task(each(rig)) for each in (call_again, scrape)]
            await asyncio.sleep(minutes_before * 60)
            await broken(rig)
            await asyncio.sleep(minutes_after * 60)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            failed = [task.exception() for task in tasks if not task.cancelled()]
            assert failed == []
            rig.faults.store_is_away = False

    with redirect_stderr(io.StringIO()) as written, capture_logs():
        run_virtually(main())
    played.lines += [line for line in written.getvalue().splitlines() if '"_aws"' in line]
    return played
