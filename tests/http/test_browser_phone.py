"""The socket of the browser phone: a call on the service's own webhook and relay socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.http.test_pages import KEY, LOCAL, basic, origin, ticket
from tests.servers import UNLIMITED_CALLERS, Server, serving, settings_for
from tests.waiting import no_longer

ADA = "+15550100001"
Told = dict[str, Any]


class Page:
    """A page without a browser: its voice is instant, unless it is told to be slow."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.told: list[Told] = []
        self.speaks = True
        self._socket = socket

    async def send(self, **message: object) -> None:
        await self._socket.send_json(message)

    async def send_text(self, text: str) -> None:
        await self._socket.send_str(text)

    async def until(self, type_: str, holds: Callable[[Told], bool] = lambda _: True) -> Told:
        """The first message of a type, from here on, for which this holds."""
        async with no_longer():
            while True:
                message = await self._socket.receive()
                assert message.type is WSMsgType.TEXT, message
                told: Told = json.loads(message.data)
                self.told.append(told)
                if self.speaks and told["type"] == "agent" and told["heard"] < len(told["text"]):
                    part, characters = told["part"], len(told["text"])
                    await self.send(type="voice", part=part, characters=characters)
                if told["type"] == type_ and holds(told):
                    return told

    async def call(self, **more: object) -> None:
        await self.send(type="call", caller=ADA, is_voiced=True, **more)

    async def heard(self, words: str) -> Told:
        """Wait until the agent was heard to say this."""
        return await self.until("agent", lambda it: words in it["text"][: it["heard"]])

    async def say(self, words: str, *, answer: str) -> Told:
        await self.send(type="say", text=words)
        return await self.heard(answer)


@asynccontextmanager
async def opened(server: Server, **headers: str) -> AsyncIterator[Page]:
    path = f"/phone/line?ticket={await ticket(server, **headers)}"
    async with server.twilio.http.ws_connect(
        server.url(path), headers={"Origin": origin(server)}
    ) as socket:
        yield Page(socket)


@pytest.fixture
async def server(table: Path) -> AsyncIterator[Server]:
    async with serving(settings_for(table, **LOCAL, **UNLIMITED_CALLERS)) as running:
        yield running


@pytest.fixture
async def page(server: Server) -> AsyncIterator[Page]:
    async with opened(server) as one:
        yield one


async def test_call_is_rung_heard_answered_and_hung_up(page: Page) -> None:
    await page.call()
    ringing = await page.until("ringing")
    await page.heard("Hello Ada, this is Harbor Oven. How can I help you today?")

    await page.say("a large pepperoni pizza", answer="?")
    turn = await page.until("turn")
    await page.send(type="hang_up")
    over = await page.until("over")

    assert ringing["callSid"].startswith("CA")
    assert (turn["number"], turn["words"]) == (1, "a large pepperoni pizza")
    assert turn["stages"]["model"] >= 0
    assert over == {
        "type": "over", "outcome": "the caller hung up", "detail": "", "faults": [],
    }  # fmt: skip


async def test_words_of_the_agent_are_heard_as_far_as_the_voice_says(page: Page) -> None:
    page.speaks = False
    await page.call()
    part = await page.until("agent")
    await page.send(type="voice", part=part["part"], characters=9)
    halfway = await page.until("agent", lambda it: it["heard"] > 0)

    await page.send(type="say", text="wait")
    cut = await page.until("agent", lambda it: it["is_cut"])
    told = await page.until("interrupt")
    caller = next(it for it in page.told if it["type"] == "caller")

    assert halfway["heard"] == 9
    assert (cut["part"], cut["heard"]) == (part["part"], 9)
    assert told["heard"] == "Hello Ada"
    assert caller == {"type": "caller", "text": "wait", "fate": "delivered"}


async def test_words_that_were_cut_before_any_was_heard_are_shown_as_unheard(page: Page) -> None:
    page.speaks = False
    await page.call()
    await page.until("session")

    await page.send(type="say", text="a large pepperoni pizza")
    cut = await page.until("agent", lambda it: it["is_cut"])

    assert (cut["text"][:10], cut["heard"]) == ("Hello Ada,", 0)


async def test_without_a_voice_the_agent_takes_the_time_of_one(page: Page) -> None:
    await page.send(type="call", caller=ADA)
    page.speaks = False

    first = await page.until("agent")
    later = await page.until("agent", lambda it: it["heard"] > 3)

    assert first["heard"] < later["heard"] < len(later["text"])


async def test_partial_words_break_in_and_the_last_ones_are_delivered(page: Page) -> None:
    page.speaks = False
    await page.call()
    await page.until("agent")
    await page.send(type="say", text="I would", is_final=False)
    partial = await page.until("caller")
    await page.send(type="say", text="I would like a pizza")

    final = await page.until("caller")

    assert (partial["fate"], final["fate"]) == ("partial", "delivered")
    assert [it["is_cut"] for it in page.told if it["type"] == "agent"][-1]


async def test_key_starts_a_tool_whose_result_is_told(page: Page) -> None:
    await page.call()
    await page.heard("How can I help you today?")

    await page.send(type="press", key="1")
    key = await page.until("key")
    began = await page.until("tool")
    ended = await page.until("tool", lambda it: it["seconds"] is not None)

    assert key == {"type": "key", "key": "1", "is_delivered": True}
    assert (began["name"], began["result"]) == ("CheckPastOrdersFunction", "")
    assert (ended["id"], ended["is_error"]) == (began["id"], False)
    assert ended["result"] != ""


async def test_use_case_and_model_are_chosen_for_this_call_only(server: Server, page: Page) -> None:
    await page.call(use_case="apartmentSearchUseCase", model="offline:")
    chosen = await page.until("configuration")
    await page.send(type="hang_up")
    await page.until("over")
    await page.call()
    usual = await page.until("configuration")
    await page.send(type="hang_up")
    await page.until("over")

    assert chosen["useCase"] == "apartmentSearchUseCase"
    assert usual["useCase"] == "restaurantOrderingUseCase"
    assert server.calls.setup.choices == {}
    assert server.calls.views == {}


async def test_edited_prompt_counts_from_the_next_turn(page: Page) -> None:
    await page.call()
    await page.heard("How can I help you today?")
    await page.send(type="edit", prompt="Be brief.")
    await page.until("edited")

    await page.say("a large pepperoni pizza", answer="?")
    await page.send(type="request")
    told = await page.until("request")

    assert told["request"]["system"] == "Be brief."
    assert "a large pepperoni pizza" in json.dumps(told["request"]["messages"])


async def test_public_page_edits_no_prompt(table: Path) -> None:
    async with (
        serving(settings_for(table, PHONE_KEYS=KEY)) as server,
        opened(server, **basic(KEY)) as page,
    ):
        await page.call()
        await page.heard("How can I help you today?")
        await page.send(type="edit", prompt="Be brief.")

        told = await page.until("refused")

    assert told["text"] == "prompts are edited in development only"


async def test_call_comes_back_where_nobody_can_be_reached(page: Page) -> None:
    """The action URL is asked, as Twilio asks it, and answers with a new session."""
    await page.call()
    await page.heard("How can I help you today?")

    await page.send(type="press", key="0")
    again = await page.until("session", lambda it: it["way"] == "asked")
    part = await page.until("agent")
    await page.send(type="hang_up")
    over = await page.until("over")

    assert again["language"] == "en-US"
    assert part["part"] > 1
    assert over["outcome"] == "the caller hung up"


async def test_page_that_is_closed_hangs_up(server: Server) -> None:
    async with opened(server) as page:
        await page.call()
        await page.heard("Hello")

    async with no_longer():
        await server.calls.until_quiet()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("{", "not understood"),
        ("[]", "not understood"),
        ('{"type":"say"}', "not understood"),
        ('{"type":"everything"}', "not understood"),
        ('{"type":"press","key":"12"}', "not understood"),
        ('{"type":"press","key":"x"}', "not understood"),
        (json.dumps({"type": "say", "text": "a" * 2001}), "not understood"),
        (json.dumps({"type": "call", "caller": "a" * 201}), "not understood"),
        (json.dumps({"type": "edit", "prompt": "a" * 100_001}), "not understood"),
        ('{"type":"say","text":"hello"}', "there is no call"),
        ('{"type":"call","caller":"Ada"}', "neither an E.164 number nor client:identity"),
        ('{"type":"call","use_case":"noSuchUseCase"}', "there is no such use case"),
        ('{"type":"call","model":"no model"}', "model: "),
    ],
)
async def test_what_is_not_understood_is_said_and_the_page_goes_on(
    page: Page, message: str, told: str
) -> None:
    await page.send_text(message)
    refused = await page.until("refused")
    await page.call()
    await page.heard("Hello")

    assert told in refused["text"]
    assert "aaaa" not in refused["text"]


async def test_message_without_end_closes_the_socket(server: Server) -> None:
    async with opened(server) as page:
        await page.send(type="say", text="a" * 200_000)
        with pytest.raises(AssertionError, match="1009"):
            await page.until("refused")


async def test_second_call_waits_for_the_end_of_the_first(page: Page) -> None:
    await page.call()
    await page.heard("Hello")

    await page.call()

    assert (await page.until("refused"))["text"] == "hang up first"
