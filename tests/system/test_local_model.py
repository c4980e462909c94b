"""A real model: SmolLM2 in llama.cpp, behind the `openai:` adapter as calls use it.

What it says differs between machines; the tests read the shape of its replies.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from time import monotonic

import httpx2
import pytest
import pytest_asyncio

from agent import app
from agent.call.config import Phrases
from agent.call.events import ReplyFault
from agent.call.history import AgentSaid, CallerSaid, SpeechSource
from agent.call.messages import (
    Choice,
    Message,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    TextPiece,
    Usage,
)
from agent.capacity.load_shedding import Load
from agent.cli.local_model import USE_CASE, open_local_model
from agent.cli.talk import TerminalCall
from agent.cli.terminal_screen import PlainScreen
from agent.errors import ModelError
from agent.llm import open_models
from agent.observability import Telemetry
from agent.ports import LanguageModel
from agent.settings import Settings
from agent.store.call_state.history_loader import load_history
from agent.usecases import UseCase
from agent.usecases.seed import seed
from tests.llm import contract
from tests.servers import settings_for
from tests.waiting import no_longer

MISSING = os.environ.get("LOCAL_MODEL_MISSING", "")
"""Set by `tests/run.sh` where what the model needs cannot be installed."""
OF_THE_MODEL = ("<|", "|>", "im_start", "im_end", "endoftext", "assistant\n")
"""Marks of its chat template, or parts of them."""
SHOP = """
title = "Bookshop"
greeting = "Hello, this is the bookshop. How can I help?"

[model]
max_tokens = 40
temperature = 0.0
"""
SHOP_PROMPT = (
    "You are a clerk of a small bookshop and speak with a caller on the telephone."
    " Answer in one short sentence."
)
TWENTY_TURNS = [
    "Hello, who is this?",
    "Do you sell books for children?",
    "Which one do you like best?",
    "Who wrote it?",
    "Is it long?",
    "How much is it?",
    "Do you have it in Spanish?",
    "My name is Ada Lovelace.",
    "Can you keep one for me?",
    "When do you open?",
    "And on Sundays?",
    "Where is your shop?",
    "Is there a bus?",
    "Do you sell maps?",
    "What is a good book about the sea?",
    "And one about the stars?",
    "My number is 555 201 0100.",
    "Can you send it to me?",
    "What is my name?",
    "Thank you, goodbye.",
]
STORY = "Tell me a very long story about the sea."
_OPENS_AND_WAITS = """
import asyncio
from agent.cli.local_model import open_local_model
from agent.settings import Settings

async def main():
    async with open_local_model(Settings()) as settings:
        print(settings.openai_base_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def local_model() -> AsyncIterator[Settings]:
    """Settings of a process that has the model, which runs until the last test."""
    if MISSING:
        pytest.skip(MISSING)
    async with open_local_model(settings_for(Path("unused"))) as settings:
        yield settings


@pytest.fixture
async def model(local_model: Settings) -> AsyncIterator[LanguageModel]:
    """With retries: llama.cpp closes a connection after a stream, and does not announce it."""
    async with open_models(app.model_options(local_model, Telemetry(), Load())) as open_model:
        yield await open_model(UseCase("chat", ""))


def said_so_far(*texts: str, most: int = 100) -> ReplyRequest:
    """The caller's words and the agent's in turn; the likeliest tokens are chosen."""
    roles = (Role.CALLER, Role.AGENT)
    messages = [Message(roles[n % 2], (Text(text),)) for n, text in enumerate(texts)]
    return ReplyRequest("", tuple(messages), (), Choice.AUTO, max_tokens=most, temperature=0.0)


def stop_of(pieces: list[ReplyPiece]) -> StopReason:
    [stopped] = [piece for piece in pieces if isinstance(piece, Stopped)]
    return stopped.reason


def texts_of(pieces: list[ReplyPiece]) -> list[str]:
    return [piece.text for piece in pieces if isinstance(piece, TextPiece) and piece.text]


async def test_reply_is_streamed_and_ends_by_itself(model: LanguageModel) -> None:
    asked = said_so_far("Who was Albert Einstein? Answer in one sentence.")

    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert stop_of(pieces) is StopReason.END
    assert len(texts_of(pieces)) > 5
    assert "Einstein" in contract.said(pieces)


@pytest.mark.parametrize("most", [1, 200])
async def test_limit_cuts_the_reply_at_its_token(
    model: LanguageModel, most: int, record_property: Callable[[str, object], None]
) -> None:
    """One word, and more than any caller says in one breath."""
    began = monotonic()
    pieces = await contract.pieces_of(model, said_so_far(STORY, most=most))
    if most > 1:
        record_property("local model", f"{most / (monotonic() - began):.0f} tokens a second")

    assert stop_of(pieces) is StopReason.LENGTH
    assert [piece.output for piece in pieces if isinstance(piece, Usage)] == [most]
    assert len(texts_of(pieces)) == pytest.approx(most, rel=0.1, abs=0)


async def test_short_answer_is_complete(model: LanguageModel) -> None:
    pieces = await contract.pieces_of(model, said_so_far("Say only: yes."))

    assert stop_of(pieces) is StopReason.END
    assert 0 < len(contract.said(pieces).split()) < 5


async def test_empty_answer_is_an_end_without_text(model: LanguageModel) -> None:
    """The model has nothing to add to what the agent has said."""
    asked = said_so_far("Hello", "Hello! How can I help you today?")

    pieces = await contract.pieces_of(model, asked)

    assert (stop_of(pieces), contract.said(pieces)) == (StopReason.END, "")


async def test_interrupt_stops_the_computing(local_model: Settings, model: LanguageModel) -> None:
    """The story would take minutes."""
    server = local_model.openai_base_url.removesuffix("/v1")
    async with httpx2.AsyncClient(base_url=server) as http:

        async def computes() -> bool:
            slots = (await http.get("/slots")).json()
            return any(slot["is_processing"] for slot in slots)

        async with aclosing(model.reply(said_so_far(STORY, most=8_000))) as reply:
            async for pieces in reply:
                if texts_of(list(pieces)):
                    break
            assert await computes()

        async with no_longer():
            while await computes():  # noqa: ASYNC110 (the server announces nothing)
                await asyncio.sleep(0.01)


async def test_too_long_conversation_has_its_fault(model: LanguageModel) -> None:
    with pytest.raises(ModelError) as caught:
        await contract.pieces_of(model, said_so_far("word " * 9_000))

    assert caught.value.fault is ReplyFault.TOO_LONG


async def test_call_in_the_terminal_of_three_turns(local_model: Settings, table: Path) -> None:
    """The model is offered no tools, and each turn is answered."""
    shown: list[str] = []
    lines = ("Say only: yes.", "Say only: no.", "Say only: bye.", "/trace")
    typed: asyncio.Queue[str | None] = asyncio.Queue()
    for line in (*lines, None):
        typed.put_nowait(line)

    async with app.open_calls(replace(local_model, store_path=table)) as (calls, _, _):
        calls.setup.offers_tools = False
        screen = PlainScreen(shown.append)
        await TerminalCall(calls, screen, "", is_paced=False).run(USE_CASE, typed)

    said = [line.split(":")[0] for line in shown if line.startswith(("agent:", "you:"))]
    speakers = [each for each, _ in groupby(said)]  # a filler is a line of its own
    assert speakers == ["agent", *["you", "agent"] * 3]
    assert '  "tools": [],\n' in shown
    assert any("call ended (caller hangup): 3 turns, 0 tools" in line for line in shown)
    assert not any("the model failed" in line for line in shown)


async def test_call_of_twenty_turns_learns_no_filler_and_does_not_loop(
    local_model: Settings, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Short replies, and the likeliest tokens; on a busy machine fillers are said in most turns."""
    shop = tmp_path / "use-cases" / "bookshop"
    shop.mkdir(parents=True)
    (shop / "use-case.toml").write_text(SHOP)
    (shop / "prompt.md").write_text(SHOP_PROMPT)
    shown: list[str] = []
    typed: asyncio.Queue[str | None] = asyncio.Queue()
    for line in (*TWENTY_TURNS, None):
        typed.put_nowait(line)

    began = monotonic()
    async with app.open_calls(replace(local_model, store_path=tmp_path / "agent.db")) as opened:
        calls, store = opened[0], opened[0].resources.store
        await seed(store, tmp_path, {}, now=datetime.now(UTC))
        calls.setup.offers_tools = False
        await TerminalCall(calls, PlainScreen(shown.append), "", is_paced=False).run(
            "bookshop", typed
        )
        facts = (await load_history(store, shown[-1].split()[-1])).facts
    record_property("local model", f"20 turns in {monotonic() - began:.0f} s")

    replies = [
        fact.text
        for fact in facts
        if isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL
    ]
    assert [fact.text for fact in facts if isinstance(fact, CallerSaid)] == TWENTY_TURNS
    assert len(replies) == 20
    said = " ".join(replies).casefold()
    assert [each for each in Phrases().fillers if each.casefold().rstrip(".") in said] == []
    assert [each for each in OF_THE_MODEL if each in said] == []
    assert max(map(repeated_sentences, ["", *replies], replies)) <= 2


def repeated_sentences(before: str, reply: str) -> int:
    """How many sentences of a reply were said in it before, or in the reply before it."""
    sentences = re.split(r"(?<=[.!?])\s+", reply.casefold().strip())
    known = [*re.split(r"(?<=[.!?])\s+", before.casefold().strip()), *sentences]
    earlier = len(known) - len(sentences)
    return sum(each in known[: earlier + at] for at, each in enumerate(sentences))


@pytest.mark.usefixtures("local_model")
async def test_server_ends_with_its_process() -> None:
    """Also when that is killed and cleans nothing up."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OPENS_AND_WAITS, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    address = httpx2.URL((await parent.stdout.readline()).decode().strip())

    async def is_listening() -> bool:
        try:
            _, writer = await asyncio.open_connection(address.host, address.port)
        except (ConnectionRefusedError, ConnectionResetError):  # it may end meanwhile
            return False
        writer.close()
        return True

    assert await is_listening()
    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    async with no_longer():
        while await is_listening():  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
