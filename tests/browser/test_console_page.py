"""The console in a browser: a person watches a call, takes over, speaks and gives back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import expect

from tests.browser.chromium import grave_faults, kept, opened
from tests.servers import Server, serving, settings_for

SECRET = "a-secret-of-anna-who-acts"
SCRIPT = "<script>document.title='broken into'</script> Two pizzas please."


def url_of(server: Server) -> str:
    return server.metrics_url.replace("/metrics", "/console")


@pytest.fixture
async def server(table: Path) -> AsyncIterator[Server]:
    keys = f"anna:act:{SECRET}"
    async with serving(settings_for(table, CONSOLE_API_KEYS=keys)) as running:
        yield running


async def test_a_person_watches_a_call_and_steps_in(server: Server) -> None:
    relay = await server.relay(From="+15550100009")
    async with (
        opened(url_of(server), password=SECRET) as page,
        server.twilio.connect(relay) as call,
    ):
        await call.say("What is on the menu?")
        await page.get_by_role("button", name="+15550100009").click()
        await expect(page.get_by_text("What is on the menu?").first).to_be_visible()
        await call.say(SCRIPT)
        await expect(page.get_by_text(SCRIPT).first).to_be_visible()
        await kept(page, "console-live")
        assert await grave_faults(page) == []

        await page.get_by_role("button", name="Take over").click()
        await expect(page.get_by_text("You have the call.")).to_be_visible()
        await page.get_by_label("Words for the caller").fill("Anna here, one moment.")
        await page.keyboard.press("Enter")
        heard = await call.reply()
        await call.prompt("My soup was cold.")
        await expect(page.get_by_text("My soup was cold.").first).to_be_visible()
        await kept(page, "console-taken-over")
        await page.get_by_role("button", name="Give back").click()
        await expect(page.get_by_text("The model has the call again.")).to_be_visible()
        answer = await call.reply()

        title = await page.title()

    assert "Anna here, one moment." in heard.text
    assert answer.text
    assert title == "Console"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("dark", 390)])
async def test_an_earlier_call_is_shown_in_light_dark_and_narrow(
    server: Server, scheme: Literal["light", "dark"], width: int
) -> None:
    relay = await server.relay(From="+15550100009")
    async with server.twilio.connect(relay) as call:
        await call.say("What is on the menu?")
    await server.items("none")
    async with opened(url_of(server), scheme=scheme, width=width, password=SECRET) as page:
        await page.get_by_role("button", name="+15550100009").click()
        await expect(page.get_by_text("ended: caller hangup")).to_be_visible()
        await expect(page.get_by_text("What is on the menu?").first).to_be_visible()
        wide = await page.evaluate("document.documentElement.scrollWidth")
        await kept(page, f"console-earlier-{scheme}-{width}")
        found = await grave_faults(page)

    assert wide <= width
    assert found == []
