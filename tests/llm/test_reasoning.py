"""Models whose template begins their thoughts."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import pytest

from agent.call.messages import (
    ReplyPiece,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.llm.reasoning import ReasoningHabits, ThoughtFilter

THOUGHT = TextPiece("", is_thought=True)
CALL = ToolCall("1", "order", "{}")
END = Stopped(StopReason.END)


def pieces_of(habits: ReasoningHabits, reply: Sequence[ReplyPiece]) -> list[ReplyPiece]:
    """What is given out of a reply that comes piece by piece."""
    thoughts = ThoughtFilter(habits)
    return [given for piece in reply for given in thoughts.filtered([piece])]


def given(habits: ReasoningHabits, reply: Sequence[ReplyPiece]) -> tuple[str, list[ReplyPiece]]:
    """The text that is given out, and the other pieces; the same however the pieces are read."""
    pieces = pieces_of(copy(habits), reply)
    together = list(ThoughtFilter(habits).filtered(reply))
    assert together == pieces
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
def test_a_model_known_to_write_only_the_end_starts_hidden(name: str, end: str) -> None:
    reply = ["", "They say hi", ". ", *f"Hm.\n{end}\n\nHello", "!"]

    assert given(ReasoningHabits(name), texts(*reply)) == ("\n\nHello!", [END])


@pytest.mark.parametrize("name", ["openai:gpt-4o", "amazon.nova-lite-v1:0", "openai:qwen3-8b"])
def test_other_models_are_not_held(name: str) -> None:
    reply = texts("<think>Hm", ".</think>", "Hello", "")

    assert pieces_of(ReasoningHabits(name), reply) == reply


def test_a_model_seen_writing_only_the_end_is_held_from_then_on() -> None:
    thoughts = texts("They say hi.", "</th", "ink>", "Hello!")
    habits = ReasoningHabits("openai:default")

    first, second = given(habits, thoughts), given(habits, thoughts)

    assert first == ("They say hi.</think>Hello!", [END])
    assert second == ("Hello!", [END])


ENDS = (
    "</think>", "</THINKING>", "</mm:thought >", "</reasoning>", "[/THINK]", "◁/think▷",
    "<|END_THINKING|>", "<channel|>", "assistantfinal", "ASSISTANTFINAL",
)  # fmt: skip
OPENINGS = ("<think>", "<mm:Thinking >", "[THINK]", "◁think▷", "<|START_THINKING|>", "<|channel>")


@pytest.mark.parametrize("end", ENDS)
def test_each_end_is_seen_wherever_it_is_cut(end: str) -> None:
    for cut in range(len(end) + 1):
        habits = ReasoningHabits("openai:default")

        pieces_of(habits, texts("Hm. ", end[:cut], end[cut:], "Hello!"))

        assert habits.starts_thinking, cut


@pytest.mark.parametrize("opening", OPENINGS)
def test_each_opening_is_seen_wherever_it_is_cut(opening: str) -> None:
    for cut in range(len(opening) + 1):
        habits = ReasoningHabits("openai:default")

        pieces_of(habits, texts(opening[:cut], opening[cut:], "Hm.", "</think>", "Hello!"))

        assert not habits.starts_thinking, cut


def test_thoughts_in_a_field_of_their_own_leave_the_text_alone() -> None:
    reply: list[ReplyPiece] = [TextPiece(""), THOUGHT, TextPiece("Hello"), THOUGHT, TextPiece("!")]

    pieces = pieces_of(ReasoningHabits("openai:deepseek-r1"), [*reply, END])

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
def test_a_reply_without_the_end_of_a_thought(
    stop: StopReason, calls: list[ReplyPiece], said: str
) -> None:
    """An answer is given out at its end; a thought that was cut is not."""
    usage = Usage(1, 2)
    reply = [TextPiece("Hello"), TextPiece("!"), *calls, Stopped(stop), usage]

    assert given(ReasoningHabits("openai:qwq"), reply) == (said, [*calls, Stopped(stop), usage])


def test_after_three_answers_nothing_is_held_back() -> None:
    """After three answers without a thought nothing is held back until the next thought."""
    answer, thoughts = texts("Hel", "lo!"), texts("Hm.</think>", "Hello!")
    replies = [answer, answer, answer, answer, thoughts, thoughts]
    habits = ReasoningHabits("openai:qwq")
    firsts: list[str] = []

    for reply in replies:
        pieces = pieces_of(habits, reply)
        firsts.append(next(p.text for p in pieces if isinstance(p, TextPiece) and p.text))

    assert firsts == ["Hello!", "Hello!", "Hello!", "Hel", "Hm.</think>", "Hello!"]
