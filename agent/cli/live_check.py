"""`check --live`: tries what the settings name, one line for each.

It asks each model for a few tokens, writes and reads an item of the table, and looks at the Twilio
account, the webhooks of its numbers, the MCP servers and the hosts of HTTP tools. Nothing is sent
to a caller.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import monotonic, time
from uuid import uuid4

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped] # ships no types

from agent import app
from agent.call.messages import Message, ReplyRequest, Role, Stopped, Text
from agent.capacity.load_shedding import Load
from agent.errors import AgentError
from agent.llm import open_models
from agent.observability import Telemetry
from agent.settings import Settings
from agent.store import open_store
from agent.tools.mcp import survey
from agent.twilio.rest_client import open_http, twilio_client
from agent.usecases import UseCase
from agent.usecases.host_allowlist import HostRule

_CONNECT_SECONDS = 5.0
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
        return f"{self.name}: {self.fault or self.detail or 'works'}"


class _TrialError(AgentError):
    """Something that was tried does not work."""


async def live_checks(settings: Settings) -> AsyncIterator[LiveCheck]:
    """Try everything, in turn; an error of one is its result."""
    for identifier in settings.models:
        yield await _tried(f"model {identifier}", lambda it=identifier: _ask(settings, it))  # type: ignore[misc]
    table = settings.table_name or settings.store_path
    yield await _tried(f"table {table}", lambda: _write_and_read(settings))
    async for check in _twilio(settings):
        yield check
    if settings.mcp_config:
        yield await _tried("MCP_CONFIG", lambda: _find_tools(settings.mcp_config))
    for rule in settings.http_tool_hosts.rules:
        yield await _tried(f"HTTP_TOOL_HOSTS {rule.text}", lambda it=rule: _connect(it))  # type: ignore[misc]


async def _tried(name: str, trial: Callable[[], Awaitable[str]]) -> LiveCheck:
    try:
        return LiveCheck(name, await trial())
    except AgentError as error:
        return LiveCheck(name, fault=str(error))
    except TimeoutError:
        return LiveCheck(name, fault="no answer in time")
    except (OSError, aiohttp.ClientError) as error:
        return LiveCheck(name, fault=f"cannot be reached: {error}")


async def _ask(settings: Settings, identifier: str) -> str:
    if identifier == "offline:":
        return "a script of the use case; no language model"
    options = replace(
        app.model_options(settings, Telemetry(), Load()), identifier=identifier, fallbacks=()
    )
    async with open_models(options) as open_model:
        model = await open_model(UseCase("check", _HELLO.system))
        began, first = monotonic(), 0.0
        async with aclosing(model.reply(_HELLO)) as pieces:
            async for piece in pieces:
                first = first or monotonic() - began
                if isinstance(piece, Stopped):
                    break
    return f"answers, first token after {first:.2f} s"


async def _write_and_read(settings: Settings) -> str:
    store = await open_store(
        settings.table_name, settings.store_path, region=settings.aws_region, max_calls=1
    )
    try:
        key = f"check::{uuid4()}"
        await store.put({"pk": key, "sk": "check", "expireAt": int(time()) + 60})
        is_there = await store.get(key, "check") is not None
    finally:
        await store.close()
    if not is_there:
        raise _TrialError("what was written cannot be read")
    return "written and read"


async def _find_tools(path: str) -> str:
    tools, faults, _ = await survey(path)
    if faults:
        raise _TrialError("; ".join(faults))
    return f"{len(tools)} tools"


async def _connect(rule: HostRule) -> str:
    if rule.host.startswith("*."):
        return "not tried: it stands for many hosts"
    context = ssl.create_default_context() if rule.scheme == "https" else None
    async with asyncio.timeout(_CONNECT_SECONDS):
        _, writer = await asyncio.open_connection(rule.host, rule.port, ssl=context)
        writer.close()
        await writer.wait_closed()
    return "reached"


async def _twilio(settings: Settings) -> AsyncIterator[LiveCheck]:
    account = app.twilio_account(settings)
    if account.missing_variable:
        yield LiveCheck("Twilio", f"not tried: {account.missing_variable} is not set")
        return
    name, webhook = f"Twilio account {account.sid}", f"{settings.origin}/twiml"
    async with open_http() as http:
        client = twilio_client(account, http)
        try:
            found = await client.api.v2010.accounts(account.sid).fetch_async()
            numbers = await client.incoming_phone_numbers.list_async(limit=1_000)
        except TwilioRestException as error:
            yield LiveCheck(name, fault=_refusal(error))
            return
        except (TwilioException, aiohttp.ClientError, TimeoutError) as error:
            yield LiveCheck(
                name, fault=f"TWILIO_API_URL: cannot be reached: {type(error).__name__}"
            )
            return
    yield LiveCheck(name, str(found.status))
    urls = {str(number.phone_number): str(number.voice_url or "") for number in numbers}
    for check in _webhooks(urls, webhook):
        yield check


def _refusal(error: TwilioRestException) -> str:
    if error.status == 401:
        return "HTTP 401: TWILIO_AUTH_TOKEN (or the API key) is not of TWILIO_ACCOUNT_SID"
    return f"HTTP {error.status}, Twilio error {error.code}"


def _webhooks(urls: dict[str, str], webhook: str) -> Iterator[LiveCheck]:
    """The numbers that lead here; a fault if there is none."""
    ours = [number for number, url in urls.items() if url.partition("#")[0] == webhook]
    if ours:
        yield LiveCheck("Twilio numbers", f"{', '.join(ours)} call {webhook}")
        return
    others = ", ".join(f"{number} calls {url or 'nothing'}" for number, url in urls.items())
    yield LiveCheck(
        "Twilio numbers",
        fault=f"no number has the voice webhook {webhook} (WS_URL, PUBLIC_URL);"
        f" {others or 'the account has no number'}",
    )
