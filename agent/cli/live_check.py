"""`check --live`: tries what the settings name, one line for each.

It asks each model for a few tokens, writes and reads an item of the table, reads the Twilio account
with its numbers, and sends a `GET /` to each host of HTTP tools. Nothing is sent to a caller.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import monotonic, time
from uuid import uuid4

from agent import app
from agent.call.messages import Message, ReplyRequest, Role, Stopped, Text
from agent.capacity.load_shedding import Load
from agent.errors import AgentError, StoreError
from agent.llm import open_models
from agent.observability import Telemetry
from agent.settings import Settings
from agent.store import open_store
from agent.tools.http.outbound_http import HttpRequest, OutboundHttp, UnreachableError
from agent.twilio.rest_client import look_up
from agent.usecases import UseCase
from agent.usecases.host_allowlist import HostRule

_HOST_SECONDS = 5.0
_TABLE_REMEDY = (
    "check TABLE_NAME, AWS_REGION and the credentials, or make the table: docs/deploy/table.md"
)
_HELLO = ReplyRequest(
    "Answer with one word.", (Message(Role.CALLER, (Text("Hello."),)),), max_tokens=16
)


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """What was tried; `fault` is empty if it works."""

    name: str
    detail: str = ""
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.fault or self.detail}"


async def live_checks(settings: Settings, models: Mapping[str, str]) -> AsyncIterator[LiveCheck]:
    """Try everything, in turn; an error of one is its result. `models`: by where they are named."""
    for name, identifier in models.items():
        yield await _tried(f"{name} {identifier}", _ask(settings, identifier))
    yield await _tried("table", _write_and_read(settings))
    yield await _tried("Twilio", _find_numbers(settings))
    async with OutboundHttp.open(settings.http_tool_hosts) as http:
        for rule in settings.http_tool_hosts.rules:
            yield await _tried(f"HTTP_TOOL_HOSTS {rule.text}", _reach(http, rule))


async def _tried(name: str, trial: Awaitable[str]) -> LiveCheck:
    try:
        return LiveCheck(name, await trial)
    except StoreError as error:
        is_named = str(error).startswith("TABLE_NAME")
        return LiveCheck(name, fault=f"{error}; {_TABLE_REMEDY}" if is_named else str(error))
    except AgentError as error:
        return LiveCheck(name, fault=str(error))


async def _ask(settings: Settings, identifier: str) -> str:
    if identifier == "offline:":
        return "a script of the use case; no language model"
    options = replace(
        app.model_options(settings, Telemetry(), Load()), identifier=identifier, fallbacks=()
    )
    async with open_models(options) as open_model:
        model = await open_model(UseCase("check", _HELLO.system))
        began, first = monotonic(), 0.0
        async with aclosing(model.reply(_HELLO)) as reply:
            async for pieces in reply:
                first = first or monotonic() - began
                if any(isinstance(piece, Stopped) for piece in pieces):
                    break
    return f"answers, first token after {first:.2f} s"


async def _write_and_read(settings: Settings) -> str:
    if not settings.table_name and not settings.store_path.exists():
        return f"{settings.store_path} is not there yet; seed, talk or serve --seed makes it"
    store = await open_store(
        settings.table_name, settings.store_path, region=settings.aws_region, max_calls=1
    )
    try:
        key = f"check::{uuid4()}"
        await store.put({"pk": key, "sk": "check", "expireAt": int(time()) + 60})
        if await store.get(key, "check") is None:
            raise AgentError("what was written cannot be read")
    finally:
        await store.close()
    return f"{settings.table_name or settings.store_path}, written and read"


async def _find_numbers(settings: Settings) -> str:
    async with app.open_account(settings) as account:
        if account.missing_variable:
            return f"not tried: {account.missing_variable} is not set"
        status, called = await look_up(account)
    if status != "active":
        raise AgentError(f"TWILIO_ACCOUNT_SID: the account is {status}; see Twilio's console")
    if not settings.is_public:
        return "the account is active; WS_URL is not public, so no number can call this service"
    webhook = f"{settings.origin}/twiml"
    ours = [number for number, url in called.items() if url.partition("#")[0] == webhook]
    if ours:
        return f"the account is active; {', '.join(ours)} call {webhook}"
    others = ", ".join(f"{number} calls {url or 'nothing'}" for number, url in called.items())
    remedy = "set it in the console, or correct WS_URL (PUBLIC_URL)" if others else "buy a number"
    others = others or "the account has no number"
    raise AgentError(f"no number has the voice webhook {webhook}: {others}; {remedy}")


async def _reach(http: OutboundHttp, rule: HostRule) -> str:
    if rule.host.startswith("*."):
        return "not tried: it stands for many hosts"
    request = HttpRequest("GET", rule.scheme, rule.host, rule.port, "/", {})
    try:
        await http.send(request, _HOST_SECONDS)
    except UnreachableError as error:
        raise AgentError(f"{error.__cause__ or error}; check the host, its port and TLS") from error
    return "reached"
