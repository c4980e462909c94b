"""Event streams of Bedrock become pieces of a reply, wherever they are cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from agent.call.events import ReplyFault
from agent.call.messages import (
    ReplyPiece,
    Stopped,
    StopReason,
    TextPiece,
    ToolCall,
    Usage,
)
from agent.errors import ModelError
from agent.llm.bedrock.converse_stream import BedrockError, ConverseDecoder
from tests.emulators.eventstream import frame
from tests.llm import contract
from tests.llm.eventstream import (
    HELLO,
    START,
    USAGE,
    closed,
    delta,
    event,
    fault,
    stop,
    tool,
    usage,
)

LOOK = tool(0, "Look", '{"day":', ' "fri', 'day"}')
LOOKED = ToolCall("tooluse_0", "Look", '{"day": "friday"}')


def read(*data: bytes) -> list[ReplyPiece]:
    """What the events say, without the signs of life between."""
    return contract.without_signs_of_life(read_all(*data))


def read_all(*data: bytes) -> list[ReplyPiece]:
    decoder = ConverseDecoder()
    return [piece for each in data for piece in decoder.feed(each)]


def test_a_reply_is_words_then_the_stop_then_the_usage() -> None:
    assert read(HELLO) == [TextPiece("Hello"), Stopped(StopReason.END), Usage(7, 2)]


@pytest.mark.parametrize(
    "unspoken",
    [
        START,
        event("contentBlockStart", contentBlockIndex=0, start={"image": {"format": "png"}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": "{"}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "H"}}),
        event("contentBlockDelta", delta={"reasoningContent": {"redactedContent": "eA=="}}),
        event("contentBlockDelta", delta={"citation": {"title": "A book", "location": {}}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"newer": {}}),
        delta(""),
    ],
)
def test_event_without_words_is_a_sign_of_life(unspoken: bytes) -> None:
    """A tool call that takes long to write is not a stall."""
    assert read_all(unspoken) == [contract.SIGN_OF_LIFE]
    assert read_all(event("initial-response"), event("somethingNew", more=[1])) == []


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", StopReason.END),
        ("stop_sequence", StopReason.END),
        ("tool_use", StopReason.MALFORMED),
        ("max_tokens", StopReason.LENGTH),
        ("guardrail_intervened", StopReason.BLOCKED),
        ("content_filtered", StopReason.BLOCKED),
        ("model_context_window_exceeded", StopReason.LENGTH),
        ("malformed_tool_use", StopReason.MALFORMED),
        ("malformed_model_output", StopReason.MALFORMED),
        ("something_new", StopReason.UNKNOWN),
    ],
)
def test_stop_reasons_of_a_reply_in_words(word: str, reason: StopReason) -> None:
    """`tool_use` without a tool is malformed."""
    assert read(START, delta("Well"), closed(0), stop(word)) == [
        TextPiece("Well"), Stopped(reason),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("tool_use", [LOOKED, Stopped(StopReason.TOOLS)]),
        ("end_turn", [LOOKED, Stopped(StopReason.TOOLS)]),
        ("something_new", [LOOKED, Stopped(StopReason.TOOLS)]),
        ("max_tokens", [LOOKED, Stopped(StopReason.LENGTH)]),
        ("guardrail_intervened", [Stopped(StopReason.BLOCKED)]),
        ("content_filtered", [Stopped(StopReason.BLOCKED)]),
        ("malformed_tool_use", [Stopped(StopReason.MALFORMED)]),
    ],
)
def test_stop_reasons_of_a_reply_with_a_tool(word: str, pieces: list[ReplyPiece]) -> None:
    assert read(START, LOOK, stop(word)) == pieces


def test_window_that_is_full_before_the_first_word_is_too_long() -> None:
    with pytest.raises(ModelError) as caught:
        read(START, stop("model_context_window_exceeded"))

    assert caught.value.fault is ReplyFault.TOO_LONG


@pytest.mark.parametrize(
    "cut",
    [
        tool(1, "Look", '{"day": "fr'),
        tool(1, "Look", '{"day": "fr', is_closed=False),
        tool(1, "Look"),
        tool(1, "Look", '"day"'),
    ],
)
def test_call_cut_by_the_limit_of_tokens_is_dropped(cut: bytes) -> None:
    """Complete calls before it stay."""
    assert read(START, LOOK, cut, stop("max_tokens")) == [LOOKED, Stopped(StopReason.LENGTH)]
    assert read(START, cut, stop("max_tokens")) == [Stopped(StopReason.LENGTH)]


def test_tools_come_at_any_index_and_several_in_one_message() -> None:
    second = tool(3, "Second", is_closed=False)
    pieces = read(
        START,
        tool(1, "First", '{"n":', is_closed=False),
        second,
        event("contentBlockDelta", contentBlockIndex=1, delta={"toolUse": {"input": "1}"}}),
        delta("One moment.", 2),
        closed(3),
        closed(1),
        stop("tool_use"),
    )

    assert pieces == [
        TextPiece("One moment."),
        ToolCall("tooluse_1", "First", '{"n":1}'),
        ToolCall("tooluse_3", "Second", "{}"),
        Stopped(StopReason.TOOLS),
    ]


def test_usage_counts_the_cache_apart() -> None:
    tokens = usage(
        inputTokens=3, outputTokens=5, cacheReadInputTokens=1024, cacheWriteInputTokens=64
    )

    assert read(tokens, stop("end_turn"))[1:] == [Usage(3, 5, cache_read=1024, cache_write=64)]
    assert read(event("metadata", metrics={})) == []


@pytest.mark.parametrize(
    "events",
    [
        (USAGE, delta("Hello"), stop("end_turn")),
        (delta("Hello"), stop("end_turn"), USAGE, USAGE, stop("end_turn"), delta("more")),
        (USAGE, delta("Hello"), stop("end_turn"), usage(inputTokens=1)),
        (delta("Hello"), stop("end_turn"), fault("throttlingException"), USAGE),
    ],
)
def test_usage_is_given_once_after_the_stop(events: tuple[bytes, ...]) -> None:
    """Wherever it comes; other events after the stop are ignored."""
    assert read(*events) == [TextPiece("Hello"), Stopped(StopReason.END), Usage(7, 2)]


def begun(name: str = "Look", call_id: str = "a", **place: int) -> bytes:
    used = {"toolUse": {"toolUseId": call_id, "name": name}}
    return event("contentBlockStart", start=used, **place)


def part(text: object, **place: int) -> bytes:
    return event("contentBlockDelta", delta={"toolUse": {"input": text}}, **place)


def ended(**place: int) -> bytes:
    return event("contentBlockStop", **place)


def at(*sent: bytes | Callable[..., bytes], index: int = 0) -> bytes:
    return b"".join(
        each if isinstance(each, bytes) else each(contentBlockIndex=index) for each in sent
    )


FIRST, SECOND = ToolCall("a", "Look", '{"n":1}'), ToolCall("b", "Count", '{"n":2}')
ONE, TWO = begun("Look", "a"), begun("Count", "b")
GIVEN_1, GIVEN_2 = part('{"n":1}'), part('{"n":2}')
LOOK_AT, COUNT_AT = partial(begun, "Look", "a"), partial(begun, "Count", "b")
GIVEN_1_AT, GIVEN_2_AT = partial(part, '{"n":1}'), partial(part, '{"n":2}')


@pytest.mark.parametrize(
    "events",
    [
        (ONE, GIVEN_1, ended(), TWO, GIVEN_2, ended()),
        (ONE, GIVEN_1, TWO, part('{"n":'), part("2}"), ended()),
        (ONE, GIVEN_1, TWO, GIVEN_2),
        (at(LOOK_AT, GIVEN_1_AT, ended, COUNT_AT, GIVEN_2_AT, ended),),
        (at(LOOK_AT, GIVEN_1, ended(), index=1), at(COUNT_AT, index=2), at(GIVEN_2_AT, index=7)),
        (at(LOOK_AT, LOOK_AT, partial(part, {"n": 1}), ended), TWO, GIVEN_2),
        (at(LOOK_AT, ended, GIVEN_1_AT), TWO, GIVEN_2, delta("", 9)),
    ],
    ids=["no index", "no stop between", "no stop", "same index", "parts elsewhere", "begun twice",
         "stopped early"],
)  # fmt: skip
def test_no_call_is_lost_without_distinct_indexes(events: tuple[bytes, ...]) -> None:
    pieces = read(START, *events, stop("tool_use"))

    found = [
        replace(piece, arguments=piece.arguments.replace(" ", ""))
        for piece in pieces
        if isinstance(piece, ToolCall)
    ]
    assert found == [FIRST, SECOND]
    assert pieces[-1] == Stopped(StopReason.TOOLS)


def test_calls_with_the_same_id_are_two_calls() -> None:
    pieces = read(
        tool(0, "Look", "{}"), ONE, part("{}"), ended(), ONE, part("{}"), stop("end_turn")
    )

    assert sum(isinstance(piece, ToolCall) for piece in pieces) == 3


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((part('{"n":1}'), stop("tool_use")), StopReason.MALFORMED),
        ((part('{"n":1}', contentBlockIndex=3), stop("end_turn")), StopReason.MALFORMED),
        ((begun(""), part("{}"), stop("end_turn")), StopReason.MALFORMED),
        ((begun(""), stop("max_tokens")), StopReason.LENGTH),
        ((delta("Well"), part('{"n":1}'), stop("end_turn")), StopReason.END),
    ],
)
def test_call_that_cannot_be_run_is_counted(events: tuple[bytes, ...], reason: StopReason) -> None:
    decoder = ConverseDecoder()
    pieces = [piece for each in events for piece in decoder.feed(each)]

    assert pieces[-1] == Stopped(reason)
    assert decoder.unusable == 1


def test_input_that_is_no_object_reaches_the_tools() -> None:
    assert read(ONE, part('{"n":'), stop("tool_use"))[0] == ToolCall("a", "Look", '{"n":')


def test_character_in_two_halves_is_one() -> None:
    halves = [frame(json.dumps({"delta": {"text": half}}).encode(), event_type="contentBlockDelta")
              for half in ("\ud83d", "\ude00!")]  # fmt: skip
    inputs = [part('{"n":"\ud83d'), part('\ude00"}')]

    assert contract.said(read(*halves)) == "\U0001f600!"
    assert read(ONE, *inputs, stop("tool_use"))[0] == ToolCall("a", "Look", '{"n":"\U0001f600"}')
    assert contract.said(read(halves[1])) == "!"


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("throttlingException", ReplyFault.THROTTLED),
        ("modelStreamErrorException", ReplyFault.UNAVAILABLE),
        ("internalServerException", ReplyFault.UNAVAILABLE),
        ("serviceUnavailableException", ReplyFault.UNAVAILABLE),
        ("modelTimeoutException", ReplyFault.TIMEOUT),
        ("validationException", ReplyFault.REFUSED),
        ("newException", ReplyFault.UNAVAILABLE),
    ],
)
def test_error_in_the_stream(kind: str, meaning: ReplyFault) -> None:
    """The error has none of the provider's words, which may quote the caller."""
    with pytest.raises(BedrockError) as caught:
        read(START, delta("Well"), fault(kind, "The caller said: my PIN is 1234"))
    with pytest.raises(BedrockError, match=f"^in the stream, {kind}"):
        read(frame(b"", message_type="error", error_code=kind))

    assert (caught.value.fault, caught.value.cause) == (meaning, f"in the stream, {kind}")


@pytest.mark.parametrize(
    "broken",
    [
        START[:-1] + bytes([START[-1] ^ 255]),
        bytes([255]) * 40,
        frame(b'{"delta":', event_type="contentBlockDelta", message_type="event"),
        frame(b'{"delta": 7}', event_type="contentBlockDelta", message_type="event"),
    ],
)
def test_what_cannot_be_read_is_unavailable(broken: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        read(broken)

    assert caught.value.fault is ReplyFault.UNAVAILABLE
