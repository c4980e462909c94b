"""The browser phone by Twilio in Chromium, with Twilio's own SDK: the test is Twilio's end of it.

What the SDK sends and takes on its socket is as its version 2.18 shows it; sound goes from one page
of this browser to another.
"""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect

from tests.browser.chromium import ROOT, grave_faults, kept, opened, process
from tests.http.test_twilio_phone import ACCOUNT
from tests.waiting import no_longer

SDK = ROOT / ".tools" / "voice-sdk" / "twilio.min.js"
ENVIRONMENT = {**ACCOUNT, "PHONE_VOICE_SDK": str(SDK)}
SOCKET = "wss://voice-js.roaming.twilio.com/signal"
HOSTS = ("eventgw.twilio.com", "sdk.twilio.com", "media.twiliocdn.com")
CALL_SID = "CA" + "1" * 32
ANSWER = """async (sdp) => {
  const peer = (window.peer = new RTCPeerConnection());
  const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const track of sound.getTracks()) peer.addTrack(track, sound);
  await peer.setRemoteDescription({ type: "offer", sdp });
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete")
    await new Promise((done) => (peer.onicegatheringstatechange = done));
  return peer.localDescription.sdp;
}"""
HEARS = """async () =>
  [...(await peer.getStats()).values()].some((it) => it.type === "inbound-rtp" && it.audioLevel > 0)
"""


def _silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(160))
    return file.getvalue()


SILENCE = _silence()
pytestmark = pytest.mark.needs("voice-sdk")


class Signalling:
    """Twilio's end of the socket: tells how long a token counts, and keeps what it is told."""

    def __init__(self, token_seconds: int = 600) -> None:
        self.told: list[dict[str, Any]] = []
        self._next_seconds = token_seconds
        self._socket: WebSocketRoute | None = None
        self._news = asyncio.Event()

    async def prepare(self, page: Page) -> None:
        await page.route_web_socket(SOCKET, self._open)
        for host in HOSTS:
            await page.route(f"https://{host}/**", self._fulfil)

    def send(self, type_: str, **payload: object) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps({"type": type_, "version": "1.6", "payload": payload}))

    async def until(self, type_: str, count: int = 1) -> dict[str, Any]:
        """What the SDK tells with a message of this type."""
        async with no_longer():
            while len(found := [it for it in self.told if it["type"] == type_]) < count:
                self._news.clear()
                await self._news.wait()
        told: dict[str, Any] = found[count - 1]["payload"]
        return told

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.on_message(self._receive)

    def _receive(self, message: str | bytes) -> None:
        if not str(message).strip():  # a heartbeat
            return
        told = json.loads(message)
        self.told.append(told)
        self._news.set()
        if told["type"] == "listen":
            token = {"identity": "ada_1", "ttl": self._next_seconds}
            self._next_seconds = 600
            self.send("connected", token=token, edge="ashburn", gateway="gw", region="us1")
            self.send("ready")

    async def _fulfil(self, route: Route) -> None:
        """Events of the SDK, and its sounds, which are silent here."""
        headers = {"Access-Control-Allow-Origin": "*"}
        await route.fulfill(status=200, headers=headers, content_type="audio/wav", body=SILENCE)


@asynccontextmanager
async def phone(
    table: Path, twilio: Signalling, *, hears: bool = True, logged: str = ""
) -> AsyncIterator[Page]:
    """The page, whose browser has a microphone that beeps."""
    async with (
        process(table, **ENVIRONMENT) as origin,
        opened(
            f"{origin}/phone/twilio", prepare=twilio.prepare, hosts=HOSTS, logged=logged
        ) as page,
    ):
        if hears:
            await page.context.grant_permissions(["microphone"])
        await page.get_by_label("Identity").fill("ada_1")
        await page.get_by_role("button", name="Call", exact=True).click()
        yield page
        await page.goto("about:blank")  # the SDK tells nothing more
        await page.unroute_all(behavior="ignoreErrors")


@asynccontextmanager
async def answered(page: Page, twilio: Signalling) -> AsyncIterator[Page]:
    """The call is rung and answered by another page, which hears it."""
    invited = await twilio.until("invite")
    other = await page.context.new_page()
    await other.goto(page.url.removesuffix("/twilio"))
    twilio.send("ringing", callsid=CALL_SID)
    await expect(page.locator("#status")).to_have_text("ringing")
    sdp = await other.evaluate(ANSWER, invited["sdp"])
    kept_lines = [line for line in sdp.splitlines() if "telephone-event" not in line]
    twilio.send("answer", callsid=CALL_SID, sdp="\r\n".join([*kept_lines, ""]))
    await expect(page.locator("#status")).to_have_text(f"in a call, {CALL_SID}")
    yield other


async def test_call_by_twilios_sdk_is_dialled_heard_keyed_muted_and_hung_up(table: Path) -> None:
    """With the parameters of the webhook; the page asks no host but Twilio's documented ones."""
    twilio = Signalling()
    async with phone(table, twilio) as page, answered(page, twilio) as other:
        invited = await twilio.until("invite")
        await other.wait_for_function(HEARS)
        await page.get_by_role("button", name="Key 5").click()
        pressed = await twilio.until("dtmf")
        mute = page.get_by_role("button", name="Mute")
        await mute.click()
        await expect(mute).to_have_attribute("aria-pressed", "true")
        await kept(page, "phone-twilio")
        faults = await grave_faults(page)
        await page.get_by_role("button", name="Hang up").click()
        await twilio.until("hangup")
        await expect(page.locator("#status")).to_have_text("call over")
        await expect(page.get_by_role("button", name="Call", exact=True)).to_be_visible()

    assert invited["twilio"] == {"params": "app_page=phone"}
    assert pressed == {"callsid": CALL_SID, "dtmf": "5"}
    assert faults == []


async def test_token_is_renewed_before_it_expires(table: Path) -> None:
    twilio = Signalling(token_seconds=61)
    async with phone(table, twilio) as page, answered(page, twilio):
        first = await twilio.until("listen")
        second = await twilio.until("listen", 2)
        await expect(page.locator("#events")).to_contain_text("the token was renewed")

    assert first["token"] != second["token"]


async def test_hang_up_by_twilio_with_an_error_is_said_in_words(table: Path) -> None:
    twilio = Signalling()
    async with phone(table, twilio, logged="TwilioVoice") as page:
        await twilio.until("invite")
        twilio.send("hangup", error={"code": 31005, "message": "no answer"})

        await expect(page.locator("#status")).to_contain_text("is the voice URL")
        await expect(page.get_by_role("button", name="Call", exact=True)).to_be_visible()


async def test_microphone_that_is_refused_is_said_in_words(table: Path) -> None:
    twilio = Signalling()
    async with phone(table, twilio, hears=False, logged="TwilioVoice") as page:
        await expect(page.locator("#status")).to_have_text(
            "the microphone was refused; allow it for this page, and call again (31401)"
        )
        await expect(page.get_by_role("button", name="Call", exact=True)).to_be_visible()

    assert [told for told in twilio.told if told["type"] == "invite"] == []


async def test_first_page_leads_to_the_second_mode(table: Path) -> None:
    async with (
        process(table, **ENVIRONMENT) as origin,
        opened(f"{origin}/phone") as page,
    ):
        await page.get_by_role("link", name="By Twilio").click()
        await expect(page.get_by_role("heading", name="Browser phone by Twilio")).to_be_visible()
