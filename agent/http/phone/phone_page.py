"""The routes of the browser phone: `/phone`, its data, and the socket of a call.

`/phone/twilio` is its second mode: Twilio's Voice SDK dials from the browser, as an app does. The
SDK is a file of Twilio's that the operator names; its page alone may reach the hosts that Twilio
documents for it (https://www.npmjs.com/package/@twilio/voice-sdk, "Content Security Policy").

In development it needs no key; where other machines reach the service it is served only with
`PHONE_KEYS`, and a prompt cannot be edited there. What the page sends is bounded: one message by
`_LARGEST_MESSAGE`, its texts by their types.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import structlog
from aiohttp import WSMsgType, web

from agent.errors import AgentError
from agent.http.api import TOKENS, ApiKeys, answer_token
from agent.http.middleware import AUTH_TOKENS, CALLS, SETTINGS
from agent.http.pages import HEADERS, PageFiles, PageGuard, content_policy, private_json, refused
from agent.http.phone.browser_call import BrowserCall, PageView
from agent.ports import Item
from agent.session.call_manager import CallManager
from agent.session.call_setup import CallChoice
from agent.session.live_config import LiveConfiguration
from agent.settings import Settings, SettingsError
from agent.settings import setting_types as kinds
from agent.simulator.carrier import ACCOUNT, Twilio, call_fields
from agent.simulator.simulated_call import Manner
from agent.simulator.speech_playback import CHARACTERS_PER_SECOND
from agent.store.call_state.call_item import VERSTAT
from agent.usecases import PROFILE, profile_from_item
from agent.usecases import record as records
from agent.usecases.caller_identity import identify

log = structlog.get_logger(__name__)

PATH = "/phone"
_BY_TWILIO = f"{PATH}/twilio"
_SDK_HOSTS = "https://media.twiliocdn.com https://sdk.twilio.com"
_SDK_POLICY = content_policy(
    connect_src=f"https://eventgw.twilio.com wss://voice-js.roaming.twilio.com {_SDK_HOSTS}",
    media_src=f"mediastream: {_SDK_HOSTS}",
)
_LARGEST_MESSAGE = 128 * 1024
_MOST_UNSENT = 2000
"""Messages to a page that reads no more; then its socket is closed."""
_HEARTBEAT_SECONDS = 20.0
_LAST_SECONDS = 5.0
"""For the end of a call whose page has gone."""
_VERIFIED = "TN-Validation-Passed-A"
"""The caller's number counts as verified: the person at the page chose it."""
_LINE_NUMBER = "+15550100000"

_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
_Language = Annotated[str, msgspec.Meta(pattern="^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")]


class _Call(msgspec.Struct, tag="call", frozen=True):
    use_case: _Name = ""
    caller: _Name = ""
    model: _Name = ""
    is_voiced: bool = False


class _Say(msgspec.Struct, tag="say", frozen=True):
    text: _Words
    is_final: bool = True
    language: _Language = ""


class _Press(msgspec.Struct, tag="press", frozen=True):
    key: Annotated[str, msgspec.Meta(pattern="^[0-9*#]$")]


class _Voice(msgspec.Struct, tag="voice", frozen=True):
    part: int
    characters: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class _HangUp(msgspec.Struct, tag="hang_up", frozen=True):
    pass


class _Edit(msgspec.Struct, tag="edit", frozen=True):
    prompt: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]


class _Model(msgspec.Struct, tag="model", frozen=True):
    model: _Name


class _Request(msgspec.Struct, tag="request", frozen=True):
    pass


_Act = _Call | _Say | _Press | _Voice | _HangUp | _Edit | _Model | _Request
_DECODER = msgspec.json.Decoder(_Act)


def is_served(settings: Settings) -> bool:
    """Whether there is a browser phone: in development, or with keys; of one process only."""
    return settings.web_concurrency == 1 and (not settings.is_public or bool(settings.phone_keys))


def phone_routes(settings: Settings) -> list[web.RouteDef]:
    """The routes; empty if `is_served` says that there are none. May raise `SettingsError`."""
    if not is_served(settings):
        return []
    keys = ApiKeys(settings.phone_keys) if settings.phone_keys else None
    hosts = {urlsplit(url).hostname or "" for url in (settings.ws_url, settings.origin)}
    # With an auth token the port may be open to other machines, for Twilio.
    guard = PageGuard(keys, hosts, monotonic, only_this_machine=settings.has_auth_token)
    phone = _Phone(settings, guard)
    return [
        *PageFiles().routes(PATH, "phone.html", guard.check),
        web.get(f"{PATH}/setup", phone.set_up),
        web.get(f"{PATH}/line", phone.open_line),
        *_routes_by_twilio(settings, guard),
    ]


def _dials_by_twilio(settings: Settings) -> bool:
    return bool(settings.phone_voice_sdk and settings.token_api_keys)


def _routes_by_twilio(settings: Settings, guard: PageGuard) -> list[web.RouteDef]:
    if not _dials_by_twilio(settings):
        return []
    try:
        sdk = Path(settings.phone_voice_sdk).read_bytes()
    except OSError as error:
        why = f"PHONE_VOICE_SDK: {settings.phone_voice_sdk}: {error.strerror}"
        raise SettingsError(why) from error

    async def issue_token(request: web.Request) -> web.Response:
        guard.check(request)
        tokens = request.app[TOKENS]
        if tokens is None:
            return refused(404, "no tokens are issued")
        answer = answer_token(request, tokens, request.query.get("identity", ""))
        answer.headers.update(HEADERS)
        return answer

    pages = PageFiles({"voice-sdk.js": sdk})
    return [
        *pages.routes(_BY_TWILIO, "twilio-phone.html", guard.check, _SDK_POLICY),
        web.get(f"{_BY_TWILIO}/token", issue_token),
    ]


class _Phone:
    def __init__(self, settings: Settings, guard: PageGuard) -> None:
        self._settings = settings
        self._guard = guard
        self._is_development = not settings.is_public

    async def set_up(self, request: web.Request) -> web.Response:
        """What can be chosen on the page, and the ticket of its socket."""
        self._guard.check(request)
        calls = request.app[CALLS]
        store, settings = calls.resources.store, self._settings
        named = await records.use_cases(store)
        callers = await store.query_index(PROFILE) if self._is_development else []
        models = dict.fromkeys([*settings.models, *calls.resources.prices.models])
        return private_json(
            msgspec.json.encode(
                {
                    "ticket": self._guard.ticket(),
                    "isDevelopment": self._is_development,
                    "dialsByTwilio": _dials_by_twilio(settings),
                    "useCase": settings.stack_use_case,
                    "useCases": [{"name": name, "title": title} for name, title, _ in named],
                    "callers": [
                        {"number": str(each["pk"]), "name": _full_name(each)} for each in callers
                    ],
                    "models": list(models),
                }
            )
        )

    async def open_line(self, request: web.Request) -> web.StreamResponse:
        """The socket of a page: calls, one after the other."""
        self._guard.check_socket(request)
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS, compress=False, max_msg_size=_LARGEST_MESSAGE
        )
        socket.headers.update(HEADERS)
        await socket.prepare(request)
        address, port = request.get_extra_info("sockname")[:2]
        base = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        line = _Line(request.app, socket, base, is_development=self._is_development)
        await line.serve()
        return socket


class _Line:
    """The socket of one page."""

    def __init__(
        self,
        application: web.Application,
        socket: web.WebSocketResponse,
        base: str,
        *,
        is_development: bool,
    ) -> None:
        self._application = application
        self._calls: CallManager = application[CALLS]
        self._socket = socket
        self._base = base
        self._is_development = is_development
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue(_MOST_UNSENT)
        self._call: BrowserCall | None = None
        self._call_sid = ""
        self._view: PageView | None = None
        self._running: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Take what the page sends until it is closed; a call still going on is hung up."""
        writer = asyncio.create_task(self._write(), name="phone page")
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                try:
                    await self._act(_DECODER.decode(message.data))
                except msgspec.MsgspecError as error:
                    self._tell_fault(f"not understood: {error}")
                except AgentError as error:
                    self._tell_fault(str(error))
        finally:
            await self._end()
            writer.cancel()

    async def _act(self, act: _Act) -> None:
        match act:
            case _Call():
                await self._begin(act)
            case _HangUp():
                await self._hang_up()
            case _Say(text, is_final, language) if self._call is not None:
                await self._call.say(text, language, is_final=is_final)
            case _Press(key) if self._call is not None:
                await self._call.press(key)
            case _Voice(part, characters) if self._call is not None:
                await self._call.voice_at(part, characters)
            case _Edit() if not self._is_development:
                self._tell_fault("prompts are edited in development only")
            case _Edit(prompt) if self._view is not None:
                parts = [{"text": each} for each in (prompt, self._view.context) if each]
                await self._edit({"systemPrompt": parts})
            case _Model(model) if self._view is not None:
                await self._edit({"llmModel": _model_identifier(model)})
            case _Request() if self._view is not None:
                self._show({"type": "request", "request": msgspec.Raw(self._view.request)})
            case _:
                self._tell_fault("there is no call")

    async def _begin(self, asked: _Call) -> None:
        if self._running is not None:
            self._tell_fault("hang up first")
            return
        caller = asked.caller.strip()
        if caller and not identify(caller):
            self._tell_fault(f"{caller} is neither an E.164 number nor client:identity")
            return
        model = _model_identifier(asked.model) if asked.model.strip() else ""
        if asked.use_case:
            await self._calls.setup.use_case(asked.use_case)
        settings = self._application[SETTINGS]
        account = settings.twilio_account_sid or ACCOUNT
        fields = call_fields(From=caller, To=_LINE_NUMBER, AccountSid=account)
        fields[VERSTAT] = _VERIFIED
        self._call_sid, self._view = fields["CallSid"], None
        choice = CallChoice(asked.use_case, model)
        running = self._run(fields, choice, is_voiced=asked.is_voiced)
        self._running = asyncio.create_task(running, name="phone call")

    async def _run(self, fields: Mapping[str, str], choice: CallChoice, *, is_voiced: bool) -> None:
        settings, tokens = self._application[SETTINGS], self._application[AUTH_TOKENS]
        token = tokens.known[0] if tokens.known else ""
        over: dict[str, object] = {"type": "over", "outcome": "hung up while it rang"}
        with suppress(asyncio.CancelledError):
            async with (
                self._chosen(fields["CallSid"], choice),
                Twilio.open(self._base, token, settings.origin) as twilio,
            ):
                line = replace(twilio, manner=Manner(pace=CHARACTERS_PER_SECOND))
                self._call = BrowserCall(line, fields, self._show, is_voiced=is_voiced)
                self._show({"type": "ringing", "callSid": fields["CallSid"]})
                over = await self._call.run()
        self._call = self._running = None
        self._show({"detail": "", "faults": [], **over})

    @asynccontextmanager
    async def _chosen(self, call_sid: str, choice: CallChoice) -> AsyncIterator[None]:
        calls = self._calls
        calls.setup.choices[call_sid], calls.views[call_sid] = choice, self._open_view
        try:
            yield
        finally:
            del calls.setup.choices[call_sid], calls.views[call_sid]

    def _open_view(self, configuration: LiveConfiguration) -> PageView:
        self._view = PageView(configuration, self._calls.resources.prices, self._show)
        return self._view

    async def _edit(self, attributes: Mapping[str, object]) -> None:
        await self._calls.edit(self._call_sid, attributes)
        self._show({"type": "edited", "what": list(attributes)})

    async def _hang_up(self) -> None:
        if self._call is not None and self._call.is_connected:
            await self._call.hang_up()
        elif self._running is not None:
            self._running.cancel()

    async def _end(self) -> None:
        if (running := self._running) is None:
            return
        await self._hang_up()
        _, late = await asyncio.wait({running}, timeout=_LAST_SECONDS)
        for task in late:
            task.cancel()

    def _tell_fault(self, text: str) -> None:
        self._show({"type": "refused", "text": text})

    def _show(self, message: object) -> None:
        try:
            self._unsent.put_nowait(msgspec.json.encode(message))
        except asyncio.QueueFull:
            log.warning("phone.page_too_slow", unsent=_MOST_UNSENT)
            if self._running is not None:
                self._running.cancel()

    async def _write(self) -> None:
        while True:
            message = await self._unsent.get()
            try:
                await self._socket.send_str(message.decode())
            except ConnectionError:
                return


def _model_identifier(text: str) -> str:
    """As it is given; raises `SettingsError` for what names no model."""
    try:
        return str(kinds.parsed(text.strip(), kinds.Model))
    except ValueError as error:
        raise SettingsError(f"model: {error}") from error


def _full_name(item: Item) -> str:
    profile = profile_from_item(item)
    return f"{profile.first_name} {profile.last_name}".strip()
