"""What a call hears that is not taken: all lines are busy, or its caller has called too often.

At the limit nothing here needs the table. What follows the sentence is the operator's choice: the
end of the call, another voice webhook (`BUSY_REDIRECT_URL`), or a queue of the Twilio account
(`BUSY_QUEUE`); and a text message (`BUSY_SMS`), which is sent beside, at most once an hour to one
number, and never holds up or fails the answer. A call that we made is only told so.

A process that drains does not refuse a new call: it sends it back to the voice webhook, where the
balancer has another process for it. A call is sent on `MOST_ATTEMPTS` times, whoever sends it; the
count is in the URL, which the signature covers. So two full regions that name each other do not
keep a caller for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog
from aiohttp import web

from agent.call.text import whole_number
from agent.errors import MessageError, StoreError
from agent.http.api_access import RateLimiter
from agent.http.middleware import CALLS, SETTINGS, answer, passed_on
from agent.messaging.messenger import may_text
from agent.ports import TextMessage
from agent.session import caller_limits as usage
from agent.session.call_manager import CallManager
from agent.settings import Settings
from agent.store.call_state.call_item import is_forged, our_number
from agent.twilio import twiml
from agent.usecases.caller_identity import is_telephone_number

log = structlog.get_logger(__name__)

BUSY = "All our lines are busy at the moment. Please call again in a few minutes. Goodbye."
TOO_OFTEN = "You have called us very often lately. Please call again later. Goodbye."
TOO_MANY = "You already have several calls with us at the moment. Please call again later. Goodbye."
MOST_ATTEMPTS = 3
_ATTEMPT = "attempt"
_PAUSE_SECONDS = 1
_MOST_TEXTS = 100
"""Messages on their way at one time; who comes when it is full gets none."""
_CLOSE_SECONDS = 5.0


def sent_on(request: web.Request, fields: Mapping[str, str]) -> web.Response | None:
    """Send a call to another process of this service; None if it was sent on often enough."""
    if _attempts(request) >= MOST_ATTEMPTS:
        return None
    log.info("call.sent_on")
    own = f"{request.app[SETTINGS].origin}/twiml?{urlencode(list(request.query.items()))}"
    return answer(twiml.redirect(_counted(own, request, fields), pause_seconds=_PAUSE_SECONDS))


def turned_away(request: web.Request, fields: Mapping[str, str], *, is_ours: bool) -> web.Response:
    """Tell a caller that there is no line; `is_ours`: we have called."""
    settings = request.app[SETTINGS]
    if is_ours:
        return answer(twiml.say_and_hang_up(settings.busy_sentence or BUSY))
    if texts := request.app[TEXTS]:
        texts.send_later(fields)
    if settings.busy_redirect_url and _attempts(request) < MOST_ATTEMPTS:
        url = _counted(settings.busy_redirect_url, request, fields)
        return answer(twiml.redirect(url, sentence=settings.busy_sentence))
    if settings.busy_queue:
        return answer(twiml.enqueue(settings.busy_queue, sentence=settings.busy_sentence))
    return answer(twiml.say_and_hang_up(settings.busy_sentence or BUSY))


def _attempts(request: web.Request) -> int:
    """How often this call was sent on; a count that is none counts as often enough."""
    attempts = whole_number(request.query.get(_ATTEMPT, "0"), MOST_ATTEMPTS)
    return MOST_ATTEMPTS if attempts is None else attempts


def _counted(url: str, request: web.Request, fields: Mapping[str, str]) -> str:
    parts, told = urlsplit(url), passed_on(fields)
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name != _ATTEMPT and name not in told
    ]
    query += [*told.items(), (_ATTEMPT, str(_attempts(request) + 1))]
    return urlunsplit(parts._replace(query=urlencode(query)))


class AtCapacityTexts:
    """Sends the text message of the operator to callers who were turned away."""

    def __init__(self, settings: Settings, calls: CallManager) -> None:
        self._text = settings.busy_sms
        self._sender = settings.outbound_from
        self._trusted = settings.trusted_attestation
        self._store = calls.resources.store
        self._messenger = calls.messenger
        self._listed = settings.sms_numbers
        self._clock = calls.clock
        self._rates = RateLimiter(1, usage.TEXT_SECONDS, calls.clock)
        self._sending: set[asyncio.Task[None]] = set()

    def send_later(self, fields: Mapping[str, str]) -> None:
        """Text the caller, if that is a telephone and was not texted lately; returns at once."""
        ours, caller = our_number(fields), fields.get("From", "")
        sender = ours if is_telephone_number(ours) else self._sender
        message = TextMessage(sender, caller, self._text)
        is_theirs = is_telephone_number(caller) and not is_forged(fields, self._trusted)
        is_possible = sender and is_theirs and may_text(message, self._listed)
        if not is_possible or len(self._sending) >= _MOST_TEXTS or self._rates.wait(caller):
            return
        task = asyncio.create_task(self._send(message), name="busy text")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Wait until all is sent, a few seconds at the most."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()

    async def _send(self, message: TextMessage) -> None:
        try:
            if not await usage.may_text(self._store, message.recipient, self._clock()):
                return
        except StoreError as error:  # this process at least has counted it
            log.warning("busy.text_not_counted", error=type(error).__name__)
        try:
            await self._messenger.text(message)
        except MessageError as error:
            log.warning("busy.text_not_sent", error=type(error).__name__)


TEXTS: web.AppKey[AtCapacityTexts | None] = web.AppKey("busy_texts")
"""None: callers who are turned away are not texted."""


async def texting(application: web.Application) -> AsyncIterator[None]:
    """Have `TEXTS` for as long as the application runs."""
    settings = application[SETTINGS]
    texts = AtCapacityTexts(settings, application[CALLS]) if settings.busy_sms else None
    application[TEXTS] = texts
    yield
    if texts:
        await texts.close()
