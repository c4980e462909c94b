"""What Twilio answers about recordings, and what a caller of the adapter gets of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.errors import RecordingError
from agent.twilio.auth_tokens import AuthTokens
from agent.twilio.call_recorder import TwilioRecorder, open_recorder
from agent.twilio.rest_client import TwilioAccount
from tests.twilio_api import ACCOUNT, twilio_api

CALL = "CA" + "1" * 32


class Answering:
    """The part of Twilio's client that records, with one answer for each request."""

    def __init__(self, answer: object) -> None:
        self._answer = answer
        self.recordings: Any = self

    def calls(self, _: str) -> Answering:
        return self

    async def create_async(self, **_: object) -> object:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def test_a_call_that_twilio_does_not_know_has_no_recordings() -> None:
    async with twilio_api("SK1", "signing") as api:
        account = TwilioAccount(ACCOUNT, AuthTokens(), "SK1", "signing", api.url)
        async with open_recorder(account) as recorder:
            assert recorder is not None
            api.recording_faults.append((404, 20404))

            assert await recorder.recordings(CALL) == []


async def test_a_recording_that_cannot_be_deleted_is_an_error_with_its_status() -> None:
    async with twilio_api("SK1", "signing") as api:
        account = TwilioAccount(ACCOUNT, AuthTokens(), "SK1", "signing", api.url)
        async with open_recorder(account) as recorder:
            assert recorder is not None
            api.recording_faults.append((500, 20500))

            with pytest.raises(RecordingError) as caught:
                await recorder.delete("RE1")

    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (SimpleNamespace(sid=""), "names no recording"),
        (ConnectionResetError(), "gave no answer: ConnectionResetError"),
        (ValueError("body"), "cannot be read"),
    ],
)
async def test_what_is_no_answer_is_an_error_without_its_text(answer: object, says: str) -> None:
    with pytest.raises(RecordingError, match=says):
        await TwilioRecorder(Answering(answer)).start(CALL, "dual")
