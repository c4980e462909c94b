"""A local server in place of Twilio's API for calls, recordings, the account and its numbers.

It records the requests.

Wrong credentials, a wrong account, and a request without `Url` (21205) are refused.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.listening import listening

ACCOUNT = "AC" + "0" * 32


@dataclass(slots=True)
class TwilioApi:
    """The requests, and the answers to give."""

    user: str
    secret: str
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)  # the form of each request
    unauthorized: int = 0  # requests with wrong credentials
    refusal: tuple[int, int] | None = None  # HTTP status and code
    body: str = ""  # answered instead of a call, with 201
    statuses: list[str] = field(default_factory=lambda: ["completed"])  # the last one stays
    looked_at: list[str] = field(default_factory=list)
    account_status: str = "active"
    account_refusal: tuple[int, int] | None = None
    numbers: dict[str, str] = field(default_factory=dict)  # number → voice webhook
    recordings: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The call and the channels of each recording that is not deleted."""
    recording_faults: list[tuple[int, int]] = field(default_factory=list)
    """HTTP status and code of the next answers; status 0 = it is done, and then not answered."""
    recording_requests: list[str] = field(default_factory=list)  # method and path below the account

    async def create(self, request: web.Request) -> web.Response:
        if fault := self._fault(request):
            return fault
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        if self.refusal:
            return _error(*self.refusal)
        if "Url" not in form:
            return _error(400, 21205)
        if self.body:
            return web.Response(status=201, text=self.body)
        return web.json_response(self._call(f"CA{len(self.asked):032}", "queued"), status=201)

    async def fetch(self, request: web.Request) -> web.Response:
        if fault := self._fault(request):
            return fault
        call_sid = request.match_info["call"]
        self.looked_at.append(call_sid)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.json_response(self._call(call_sid, status))

    async def record(self, request: web.Request) -> web.Response:
        """As https://www.twilio.com/docs/voice/api/recording says."""
        if fault := self._recording_fault(request):
            return fault
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.keys() - {"RecordingChannels"} or form.get("RecordingChannels") not in _CHANNELS:
            return _error(400, 21218)
        recording, call = f"RE{len(self.recording_requests):032}", request.match_info["call"]
        self.recordings[recording] = call, form["RecordingChannels"]
        if self.recording_faults and self.recording_faults.pop(0):
            return _error(503, 20500)
        return web.json_response(_recording(recording, call), status=201)

    async def list_recordings(self, request: web.Request) -> web.Response:
        if fault := self._recording_fault(request):
            return fault
        call = request.match_info["call"]
        found = [_recording(sid, call) for sid, (of, _) in self.recordings.items() if of == call]
        return web.json_response({"recordings": found, "next_page_uri": None})

    async def delete_recording(self, request: web.Request) -> web.Response:
        if fault := self._recording_fault(request):
            return fault
        known = self.recordings.pop(request.match_info["recording"], None)
        return web.Response(status=204) if known else _error(404, 20404)

    def _recording_fault(self, request: web.Request) -> web.Response | None:
        path = request.path.removeprefix(f"/2010-04-01/Accounts/{ACCOUNT}/")
        self.recording_requests.append(f"{request.method} {path}")
        if fault := self._fault(request):
            return fault
        if self.recording_faults and self.recording_faults[0][0]:
            return _error(*self.recording_faults.pop(0))
        return None

    async def account(self, request: web.Request) -> web.Response:
        if fault := self._fault(request):
            return fault
        if self.account_refusal:
            return _error(*self.account_refusal)
        return web.json_response({"sid": ACCOUNT, "status": self.account_status})

    async def list_numbers(self, request: web.Request) -> web.Response:
        if fault := self._fault(request):
            return fault
        numbers = [
            {"sid": f"PN{index:032}", "phone_number": number, "voice_url": url}
            for index, (number, url) in enumerate(self.numbers.items())
        ]
        return web.json_response({"incoming_phone_numbers": numbers, "next_page_uri": None})

    def _fault(self, request: web.Request) -> web.Response | None:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind != "Basic" or b64decode(given).decode() != f"{self.user}:{self.secret}":
            self.unauthorized += 1
            return _error(401, 20003)
        return None if request.match_info["account"] == ACCOUNT else _error(404, 20404)

    def _call(self, call_sid: str, status: str) -> dict[str, str]:
        return {"sid": call_sid, "account_sid": ACCOUNT, "status": status}


_CHANNELS = ("mono", "dual")


def _recording(sid: str, call_sid: str) -> dict[str, str]:
    return {"sid": sid, "call_sid": call_sid, "account_sid": ACCOUNT, "status": "in-progress"}


def _error(status: int, code: int) -> web.Response:
    body = {"status": status, "code": code, "message": "The number +15550100001 is not valid."}
    return web.json_response(body, status=status)


@asynccontextmanager
async def twilio_api(user: str, secret: str) -> AsyncIterator[TwilioApi]:
    """The API of one account on a free port."""
    api = TwilioApi(user, secret)
    application = web.Application()
    application.router.add_post("/2010-04-01/Accounts/{account}/Calls.json", api.create)
    application.router.add_get("/2010-04-01/Accounts/{account}/Calls/{call}.json", api.fetch)
    numbers = "/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json"
    application.router.add_get(numbers, api.list_numbers)
    application.router.add_get("/2010-04-01/Accounts/{account}.json", api.account)
    recordings = "/2010-04-01/Accounts/{account}/Calls/{call}/Recordings.json"
    application.router.add_post(recordings, api.record)
    application.router.add_get(recordings, api.list_recordings)
    recording = "/2010-04-01/Accounts/{account}/Recordings/{recording}.json"
    application.router.add_delete(recording, api.delete_recording)
    async with listening(application, handler_cancellation=True, shutdown_timeout=0.1) as api.url:
        yield api
