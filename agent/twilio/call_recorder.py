"""Recordings of live calls at Twilio: https://www.twilio.com/docs/voice/api/recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException  # type: ignore[import-untyped] # ships no types

from agent.errors import RecordingError
from agent.twilio.rest_client import TwilioAccount, open_http, twilio_client

_SECONDS = 10.0
_MOST = 50  # recordings of one call that are read

_T = TypeVar("_T")


class TwilioRecorder:
    """`ports.Recorder` over Twilio's API."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def start(self, call_sid: str, channels: str) -> str:
        recordings = self._client.calls(call_sid).recordings
        made = await _answer(recordings.create_async(recording_channels=channels))
        if not made.sid:
            raise RecordingError("Twilio's answer names no recording")
        return str(made.sid)

    async def recordings(self, call_sid: str) -> list[str]:
        found = self._client.calls(call_sid).recordings.list_async(limit=_MOST)
        try:
            return [str(each.sid) for each in await _answer(found)]
        except RecordingError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return []
            raise

    async def delete(self, recording_sid: str) -> None:
        try:
            await _answer(self._client.recordings(recording_sid).delete_async())
        except RecordingError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise


@asynccontextmanager
async def open_recorder(account: TwilioAccount) -> AsyncIterator[TwilioRecorder | None]:
    """A recorder whose connections are closed on leaving; None without credentials."""
    if account.missing_variable:
        yield None
        return
    async with open_http() as http:
        yield TwilioRecorder(twilio_client(account, http))


async def _answer(request: Awaitable[_T]) -> _T:
    """The answer of the API; its errors without its texts, which may hold personal data."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await request
    except (TwilioRestException, TwilioServiceException) as error:
        detail = f"Twilio refused: HTTP {error.status}, code {error.code}"
        raise RecordingError(detail, int(error.status)) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise RecordingError(f"Twilio gave no answer: {type(error).__name__}") from error
    except TwilioException as error:  # of a list: with its response
        status = int(getattr(error.args[-1] if error.args else None, "status_code", 0))
        raise RecordingError(f"Twilio refused: HTTP {status}", status) from error
    except (ValueError, TypeError, AttributeError) as error:  # unexpected JSON
        raise RecordingError("Twilio's answer cannot be read") from error
