"""The browser phone in Chromium, on a service of its own: a test speaks and hears in its place."""

from __future__ import annotations

import re
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from agent.ports import Item
from agent.store.sqlite import SqliteStore
from tests.browser.chromium import grave_faults, kept, opened, process
from tests.waiting import no_longer, until

ADA, ORDERS = "+15550100001", "restaurantOrder::"
SPEECH = """
window.phoneSpeech = {
  voice: {
    said: [], isHeld: false, held: null,
    speak(text, language, progress, done) {
      this.said.push(text);
      if (this.isHeld) { progress(9); this.held = done; return; }
      progress(Math.floor(text.length / 2));
      setTimeout(done, 0);
    },
    cancel() { this.held = null; this.isCancelled = true; },
  },
  ears: { listen(language, hear) { window.hear = hear; window.heardIn = language; }, stop() {} },
};
"""
"""A voice that needs no time, and ears that the test speaks to by `hear(words, isFinal)`."""


async def items(table: Path, pk: str, prefix: str) -> list[Item]:
    store = await SqliteStore.open(table)
    found = await store.query(pk, prefix)
    await store.close()
    return found


async def rename(table: Path, use_case: str, title: str) -> None:
    store = await SqliteStore.open(table)
    await store.merge(use_case, "configuration", {"title": title})
    await store.close()


async def call(page: Page, caller: str = ADA, use_case: str = "restaurantOrderingUseCase") -> None:
    await page.get_by_label("Use case").select_option(use_case)
    await page.get_by_role("combobox", name="Caller", exact=True).fill(caller)
    await page.get_by_role("button", name="Call", exact=True).click()
    await expect(page.locator("#status")).to_have_text("in a call")


async def say(page: Page, words: str, *, answer: str) -> None:
    """Speak into the ears of the page, and wait until the answer has been heard."""
    rows = page.locator(".turn").filter(has=page.locator(".caller", has_text=words))
    row = rows.nth(await rows.count())  # it comes with what the server has understood
    beginning = " ".join(words.split()[:2])
    await page.evaluate(
        "([begin, all]) => { hear(begin, false); hear(all, true); }", [beginning, words]
    )
    await expect(row).to_contain_text(answer)
    await expect(row.locator(".ahead").last).to_be_empty()


async def test_whole_order_by_browser_phone(table: Path) -> None:
    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await call(page)
        await expect(page.locator(".agent").first).to_have_text(re.compile("Hello Ada"))
        await say(page, "hi, a large pepperoni pizza with mushrooms for pickup", answer="23")
        await say(page, "yes", answer="?")
        tool = page.locator(".tool", has_text="PlaceOrderFunction")
        await expect(tool).to_contain_text("→")
        await tool.locator("summary").click()
        await expect(tool.locator("> .result")).to_contain_text("Large Pepperoni with mushrooms")
        await page.locator("#request-details > summary").click()
        await expect(page.locator("#request")).to_contain_text("PlaceOrderFunction")
        shown = await kept(page, "phone-light")
        await say(page, "no, that is all, bye", answer="Thank")
        await expect(page.locator("#status")).to_contain_text("the server hung up")
        turns = await page.locator(".waterfall").count()
        said = await page.evaluate("phoneSpeech.voice.said.join('')")
        heard_in = await page.evaluate("heardIn")
        tokens = await page.locator("#tokens").inner_text()

    assert shown.stat().st_size > 10_000
    assert turns == 3
    assert "Hello Ada, this is Harbor Oven." in said
    assert heard_in == "en-US"
    assert int(tokens.replace(",", "")) > 1000
    [item] = await items(table, ADA, ORDERS)
    order: Any = item["order"]
    assert order["order_total"] == 23.5


async def test_barge_in_stops_the_voice_and_marks_what_was_not_heard(table: Path) -> None:
    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await page.evaluate("phoneSpeech.voice.isHeld = true")
        await call(page)
        await expect(page.locator(".agent .now").first).to_contain_text("Ada")
        await page.evaluate("hear('a large pepperoni pizza', true)")
        await expect(page.locator(".unheard").first).to_contain_text("this is Harbor Oven")
        await expect(page.locator(".note").first).to_have_text("interrupted after: Hello Ada")
        is_cancelled = await page.evaluate("phoneSpeech.voice.isCancelled")

    assert is_cancelled


async def test_keys_are_pressed_and_answered(table: Path) -> None:
    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await call(page)
        await expect(page.locator(".agent .ahead")).to_be_empty()
        await page.get_by_role("button", name="Key 3").click()
        await expect(page.locator(".turn").last).to_contain_text("Lantern Street")
        row = await page.locator(".turn").last.inner_text()

    assert row.startswith("keys 3")


async def test_silent_caller_is_asked_again(table: Path) -> None:
    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await call(page)
        await expect(page.locator("#turns")).to_contain_text("still there")


async def test_words_are_typed_where_the_browser_has_no_speech(table: Path) -> None:
    """Chromium here has neither a voice nor a microphone, as some browsers have not."""
    none = "window.phoneSpeech = { voice: null, ears: null };"
    async with process(table) as origin, opened(f"{origin}/phone", none) as page:
        await call(page)
        await expect(page.locator(".agent .now")).not_to_be_empty()
        await page.get_by_label("What you say").fill("two large Lighthouse pizzas please")
        await page.keyboard.press("Enter")
        await expect(page.locator(".caller")).to_have_text("two large Lighthouse pizzas please")
        await expect(page.locator(".turn").last).to_contain_text("pickup or delivery")
        await expect(page.locator("#spoken")).to_have_text(re.compile("pickup or delivery"))
        is_hidden = (
            await page.locator("#listen").is_hidden(),
            await page.locator("#voice").is_hidden(),
        )

    assert is_hidden == (True, True)


async def test_prompt_that_comes_late_replaces_no_edit(table: Path) -> None:
    late = list[tuple[WebSocketRoute, str | bytes]]()

    def hold(page_socket: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            if '"configuration"' in str(message):
                late.append((page_socket, message))
            else:
                page_socket.send(message)

        page_socket.connect_to_server().on_message(pass_on)

    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await page.route_web_socket(re.compile("/phone"), hold)
        await page.reload()
        await call(page)
        prompt = page.get_by_label("Prompt of this call")

        await until(lambda: bool(late))
        await expect(prompt).not_to_be_editable()
        ((page_socket, message),) = late
        page_socket.send(message)
        await expect(prompt).to_be_editable()
        await prompt.fill("Be brief.")
        page_socket.send(message)  # as when the call goes on in a new session
        await page.get_by_role("button", name="Use from the next turn").click()
        await expect(page.locator("#edited")).to_have_text("prompt counts from the next turn")

        await expect(prompt).to_have_value("Be brief.")


async def test_edited_prompt_counts_in_the_call(table: Path) -> None:
    """From the next turn, or from a later one if reading it takes longer than 100 ms."""
    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await call(page)
        await page.get_by_label("Prompt of this call").fill("Be brief.")
        await page.get_by_role("button", name="Use from the next turn").click()
        await expect(page.locator("#edited")).to_have_text("prompt counts from the next turn")
        await page.locator("#request-details > summary").click()
        words = cycle(["a large pepperoni pizza", "for pickup please"])
        async with no_longer():
            while '"system": "Be brief."' not in await page.locator("#request").inner_text():
                await say(page, next(words), answer="?")


async def test_markup_is_shown_as_text_wherever_it_comes_from(table: Path) -> None:
    """From a record of the table, a field of the page, the caller's words, and a prompt."""
    attack = '<img src=x onerror="window.isHacked=1"><script>window.isHacked=1</script>'
    await rename(table, "defaultUseCase", attack)

    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await expect(page.locator("#use-case option", has_text="<script>")).to_be_attached()
        await page.get_by_role("combobox", name="Caller", exact=True).fill(attack)
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.locator(".note").last).to_contain_text("<script>")
        await call(page)
        await page.get_by_label("Prompt of this call").fill(attack)
        await page.get_by_role("button", name="Use from the next turn").click()
        await page.evaluate("(it) => hear(it, true)", attack)
        await expect(page.locator(".caller").last).to_have_text(attack)
        await page.locator("#request-details > summary").click()
        await expect(page.locator("#request")).to_contain_text("<script>")
        is_hacked = await page.evaluate("'isHacked' in window")
        images = await page.locator("main img, aside img").count()

    assert (is_hacked, images) == (False, 0)


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [("phone-wide", "light", 1440), ("phone-dark", "dark", 1440), ("phone-narrow", "light", 390)],
)
async def test_page_has_no_serious_fault_of_accessibility(
    table: Path, name: str, scheme: str, width: int
) -> None:
    """During a call with a tool, an interrupt and a key; the screenshots are for people."""
    dark = scheme == "dark"
    async with (
        process(table) as origin,
        opened(f"{origin}/phone", SPEECH, scheme="dark" if dark else "light", width=width) as page,
    ):
        before = await grave_faults(page)
        await call(page)
        await say(page, "a large pepperoni pizza with mushrooms for pickup", answer="23")
        await page.get_by_role("button", name="Key 1").click()
        await expect(page.locator(".tool .result").first).to_be_visible()
        during = await grave_faults(page)
        is_too_wide = await page.evaluate(
            "[document.documentElement, ...document.querySelectorAll('main, aside, li')]"
            ".some((each) => each.scrollWidth > each.clientWidth + 1)"
        )
        await kept(page, name)

    assert (before, during, is_too_wide) == ([], [], False)


async def test_call_is_made_by_keyboard_alone(table: Path) -> None:
    async with process(table) as origin, opened(f"{origin}/phone", SPEECH) as page:
        await expect(page.locator("#use-case option").nth(1)).to_be_attached()
        await page.get_by_role("combobox", name="Caller", exact=True).focus()
        await page.keyboard.type(ADA)
        await page.keyboard.press("Enter")
        await expect(page.locator("#status")).to_have_text("in a call")
        await page.keyboard.type("a large pepperoni pizza")
        await page.keyboard.press("Enter")
        await expect(page.locator(".caller")).to_have_text("a large pepperoni pizza")
