"""Models whose template begins their thoughts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from agent.call.messages import (
    Message,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.llm.reasoning import ReasoningFilter, ReasoningHabits

REQUEST = ReplyRequest("Be kind.", (Message(Role.CALLER, (Text("Hi."),)),))
THOUGHT = TextPiece("", is_thought=True)
CALL = ToolCall("1", "order", "{}")
END = Stopped(StopReason.END)


class Written:
    """A `ports.LanguageModel` that gives these replies, one after the other."""

    def __init__(self, *replies: Sequence[ReplyPiece]) -> None:
        self._replies = iter(replies)
        self.name = "written"
        self.is_warm = False

    async def warm(self) -> None:
        self.is_warm = True

    async def reply(self, _: ReplyRequest) -> AsyncGenerator[ReplyPiece, None]:
        for piece in next(self._replies):
            yield piece


async def given(model: ReasoningFilter) -> tuple[str, list[ReplyPiece]]:
    """The text that is given out, and the other pieces."""
    pieces = [piece async for piece in model.reply(REQUEST)]
    texts = [piece.text for piece in pieces if isinstance(piece, TextPiece)]
    return "".join(texts), [piece for piece in pieces if not isinstance(piece, TextPiece)]


def texts(*words: str) -> list[ReplyPiece]:
    return [*map(TextPiece, words), END]


@pytest.mark.parametrize(
    "name",
    [
        "openai:deepseek-r1", "openai:deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "openai:qwq:32b",
        "us.deepseek.r1-v1:0", "openai:Qwen/QwQ-32B", "openai:qwen3-235b-a22b-thinking-2507",
        "openai:Qwen/Qwen3-30B-A3B-Thinking-2507-FP8", "openai:qwen3.6:35b", "openai:MiniMax-M2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["</think>", "</THINK >", "[/THINK]", "</seed:think>"])
async def test_a_model_known_to_write_only_the_end_starts_hidden(name: str, end: str) -> None:
    reply = ["", "They say hi", ". ", *f"Hm.\n{end}\n\nHello", "!"]
    model = ReasoningFilter(Written(texts(*reply)), ReasoningHabits(name))

    assert await given(model) == ("\n\nHello!", [END])


@pytest.mark.parametrize("name", ["openai:gpt-4o", "amazon.nova-lite-v1:0", "openai:qwen3-8b"])
async def test_other_models_are_not_held(name: str) -> None:
    model = ReasoningFilter(
        Written(texts("<think>Hm", ".</think>", "Hello", "")), ReasoningHabits(name)
    )

    pieces = [piece async for piece in model.reply(REQUEST)]

    assert pieces == texts("<think>Hm", ".</think>", "Hello", "")


async def test_a_model_seen_writing_only_the_end_is_held_from_then_on() -> None:
    thoughts = texts("They say hi.", "</th", "ink>", "Hello!")
    model = ReasoningFilter(Written(thoughts, thoughts), ReasoningHabits("openai:default"))

    first, second = await given(model), await given(model)

    assert first == ("They say hi.</think>Hello!", [END])
    assert second == ("Hello!", [END])


async def test_thoughts_in_a_field_of_their_own_leave_the_text_alone() -> None:
    reply: list[ReplyPiece] = [TextPiece(""), THOUGHT, TextPiece("Hello"), THOUGHT, TextPiece("!")]
    model = ReasoningFilter(Written([*reply, END]), ReasoningHabits("openai:deepseek-r1"))

    pieces = [piece async for piece in model.reply(REQUEST)]

    assert pieces == texts("", "", "Hello", "", "!")


@pytest.mark.parametrize(
    ("stop", "calls", "said"),
    [
        (StopReason.END, [], "Hello!"),
        (StopReason.UNKNOWN, [], "Hello!"),
        (StopReason.LENGTH, [], ""),
        (StopReason.BLOCKED, [], ""),
        (StopReason.MALFORMED, [], ""),
        (StopReason.TOOLS, [CALL], ""),
        (StopReason.END, [CALL], ""),
    ],
)
async def test_a_reply_without_the_end_of_a_thought(
    stop: StopReason, calls: list[ReplyPiece], said: str
) -> None:
    """An answer is given out at its end; a thought that was cut is not."""
    usage = Usage(1, 2)
    reply = [TextPiece("Hello"), TextPiece("!"), *calls, Stopped(stop), usage]
    model = ReasoningFilter(Written(reply), ReasoningHabits("openai:qwq"))

    assert await given(model) == (said, [*calls, Stopped(stop), usage])


async def test_after_three_answers_nothing_is_held_back() -> None:
    """After three answers without a thought nothing is held back until the next thought."""
    answer, thoughts = texts("Hel", "lo!"), texts("Hm.</think>", "Hello!")
    replies = [answer, answer, answer, answer, thoughts, thoughts]
    model = ReasoningFilter(Written(*replies), ReasoningHabits("openai:qwq"))
    firsts: list[str] = []

    for _ in replies:
        pieces = [piece async for piece in model.reply(REQUEST)]
        firsts.append(next(p.text for p in pieces if isinstance(p, TextPiece) and p.text))

    assert firsts == ["Hello!", "Hello!", "Hello!", "Hel", "Hm.</think>", "Hello!"]


async def test_the_rest_is_the_model_s_own() -> None:
    written = Written()
    model = ReasoningFilter(written, ReasoningHabits("openai:qwq"))

    await model.warm()

    assert (model.name, written.is_warm) == ("written", True)
