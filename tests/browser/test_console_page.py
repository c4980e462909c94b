"""The console in a browser: a person watches a call, takes over, speaks and gives back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from agent.call.events import ReplyFault
from agent.call.messages import StopReason, ToolCall
from agent.errors import ModelError
from agent.settings import Settings
from agent.store.memory import MemoryStore
from tests.browser.chromium import grave_faults, kept, opened
from tests.scripted import ScriptedModel, Step
from tests.servers import Server, seeded, serving, settings_for, staged

SECRET, BOB = "a-secret-of-anna-who-acts", "+15550100009"
ATTACK = "<img src=x onerror=window.isHacked=1><script>window.isHacked=1</script>"
FAULT = ModelError(ReplyFault.REFUSED, ATTACK, detail=ATTACK)
SCRIPT = "<script>document.title='broken into'</script> Two pizzas please."


def url_of(server: Server) -> str:
    return server.metrics_url.replace("/metrics", "/console")


@pytest.fixture
async def server(table: Path) -> AsyncIterator[Server]:
    async with serving(recording(table)) as running:
        yield running


def recording(table: Path) -> Settings:
    return settings_for(table, CONSOLE_API_KEYS=f"anna:act:{SECRET}", RECORD_CALLS="true")


async def order(server: Server) -> None:
    """A call with a tool, which the table has whole."""
    relay = await server.relay(From=BOB)
    async with server.twilio.connect(relay) as call:
        await call.say("a large pepperoni pizza with mushrooms for pickup")
        await call.say("yes")
    await server.items(relay.fields["CallSid"])


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
    await order(server)
    async with opened(url_of(server), scheme=scheme, width=width, password=SECRET) as page:
        await expect(page.get_by_text("1 of 1 processes answer")).to_be_visible()
        await expect(page.get_by_role("button", name="Replay")).to_be_hidden()
        await kept(page, f"console-overview-{scheme}-{width}")
        faults = await grave_faults(page)
        await page.get_by_role("button", name=BOB).click()
        await expect(page.get_by_text("ended: caller hangup")).to_be_visible()
        await expect(page.get_by_text("mushrooms for pickup").first).to_be_visible()
        await expect(page.locator(".waterfall .stage-tool").first).to_be_visible()
        await page.get_by_role("button", name="Replay with today's configuration").click()
        await expect(page.get_by_text("It is decided as it was.")).to_be_visible()
        wide = await page.evaluate("document.documentElement.scrollWidth")
        await kept(page, f"console-earlier-{scheme}-{width}")
        faults += await grave_faults(page)

    assert wide <= width
    assert faults == []


async def test_an_earlier_call_is_found_kept_and_its_caller_forgotten(
    server: Server, tmp_path: Path
) -> None:
    await order(server)
    async with opened(url_of(server), password=SECRET) as page:
        button = page.get_by_role("button", name=BOB)
        await page.get_by_label("Words that were said").fill("anchovies")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_text("No calls fit.")).to_be_visible()
        await page.get_by_text("More filters").click()
        await page.get_by_label("Tool", exact=True).fill("PlaceOrderFunction")
        await page.get_by_label("Words that were said").fill("MUSHROOMS for")
        await page.get_by_role("button", name="Search").click()
        await button.click()
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Make a scenario of it").click()
        await (await download.value).save_as(tmp_path / "scenario.yaml")

        await page.get_by_text("Forget this caller").click()
        await page.get_by_label("Last 4 characters").fill("0009")
        await page.get_by_role("button", name="Delete the data").click()
        await expect(page.get_by_text("deleted 1 call connection")).to_be_visible()
        await kept(page, "console-forgotten")
        await expect(page.get_by_text("No calls fit.")).to_be_visible()
        await page.get_by_role("button", name="Overview").click()
        await expect(page.get_by_text("Calls ended")).to_be_visible()

    assert "says: a large pepperoni pizza" in (tmp_path / "scenario.yaml").read_text("utf-8")


async def test_markup_is_text_wherever_it_comes_from(tmp_path: Path) -> None:
    """On the live page, the page of the call when it is over, and the page that is kept.

    From the caller's words, a name, a model, a tool's arguments and result, a provider's error.
    """
    used: list[Step] = [
        ToolCall("t1", "DefaultSaveUseCase", json.dumps({"useCase": ATTACK})),
        StopReason.TOOLS,
    ]
    replies: list[list[Step]] = [used, [ATTACK, StopReason.END], [FAULT]]
    model, store = ScriptedModel(replies), await seeded(MemoryStore())
    async with staged(recording(tmp_path), store, lambda *_: model) as server:
        await server.know(BOB, firstName=ATTACK, useCase="defaultUseCase")
        relay = await server.relay(From=BOB)
        call_sid = relay.fields["CallSid"]
        async with (
            opened(url_of(server), password=SECRET) as page,
            server.twilio.connect(relay) as call,
        ):
            await call.settle()
            await page.get_by_role("button", name=BOB).click()
            await expect(page.locator(".transcript .agent")).not_to_be_empty()
            await call.say(ATTACK)
            await expect(page.locator(".transcript .caller")).to_have_text(f"caller{ATTACK}")
            await expect(page.locator(".transcript .tool .result").first).to_contain_text(ATTACK)
            await call.prompt("Are you there?")
            await expect(page.locator("#state")).to_contain_text(ATTACK)
            live = await broken_into(page)
            await call.hang_up()
            await expect(page.locator("#state")).to_contain_text("ended")
            await server.items(call_sid)
            await page.locator("#ended").get_by_role("button", name=BOB).click()
            await expect(page.locator("#facts strong", has_text=ATTACK).first).to_be_visible()
            await page.get_by_role("button", name="Replay with today's configuration").click()
            await expect(page.locator(".report")).to_be_visible()
            ended = await broken_into(page)
            async with page.expect_download() as download:
                await page.get_by_role("link", name="Save as a page").click()
            await (await download.value).save_as(tmp_path / "call.html")
    async with opened((tmp_path / "call.html").as_uri()) as page:
        await expect(page.locator("td", has_text=ATTACK).first).to_be_visible()
        await kept(page, "call-page")
        file = await broken_into(page)

    assert (live, ended, file) == ((False, 0),) * 3


async def broken_into(page: Page) -> tuple[bool, int]:
    """Whether markup was run, and how many elements it has made."""
    is_run = await page.evaluate("'isHacked' in window")
    return bool(is_run), await page.locator("body img[src=x], body script").count()
