"""Chat completions as servers and proxies really write them."""

from __future__ import annotations

import json
from functools import partial

import pytest

from agent.call.events import ReplyFault
from agent.call.messages import ReplyPiece, Stopped, StopReason, TextPiece, ToolCall, Usage
from agent.errors import ModelError
from agent.llm.openai.chat_stream import MOST_BYTES, ChatDecoder
from agent.llm.openai.chat_tool_calls import MOST_CALLS
from tests.llm import contract
from tests.llm.bodies import (
    ASKED,
    DONE,
    calls,
    chunk,
    event,
    part,
    pieces_of,
    raw_server,
    stop,
    words,
)

Called = list[tuple[str, dict[str, object]]]

TWO: Called = [("menu", {"day": 1}), ("hours", {"day": 2})]
FIRST, SECOND = '{"day": 1}', '{"day": 2}'

a, b, at_0 = partial(part, id="a"), partial(part, id="b"), partial(part, index=0)
a_at_0, b_at_0 = partial(a, index=0), partial(b, index=0)


def sent(*fragments: object) -> bytes:
    """Each fragment in a delta of its own."""
    return b"".join(map(calls, fragments))


CALLS: dict[str, tuple[bytes, Called]] = {
    "index is always 0": (sent(a_at_0("menu", FIRST), b_at_0("hours", SECOND)), TWO),
    "index is always 0, in fragments": (
        sent(a_at_0("menu", ""), at_0(None, '{"day"'), at_0(None, ": 1}"), b_at_0("hours", ""))
        + calls(at_0(None, '{"day"'), at_0(None, ": 2}")),
        TWO,
    ),
    "index is always 0, fragments interleave by id": (
        calls(a_at_0("menu", ""), b_at_0("hours", ""))
        + sent(a_at_0(None, '{"day"'), b_at_0(None, '{"day"'))
        + sent(a_at_0(None, ": 1}"), b_at_0(None, ": 2}")),
        TWO,
    ),
    "index is always 0, no ids": (sent(at_0("menu", FIRST), at_0("hours", SECOND)), TWO),
    "index is always 0, no ids, no arguments": (
        sent(at_0("menu", ""), at_0("hours", "")),
        [("menu", {}), ("hours", {})],
    ),
    "one tool twice, index is always 0, no ids": (
        sent(at_0("menu", FIRST), at_0("menu", SECOND)),
        [("menu", {"day": 1}), ("menu", {"day": 2})],
    ),
    "no index": (calls(a("menu", FIRST), b("hours", SECOND)), TWO),
    "no index and no ids": (calls(part("menu", FIRST), part("hours", SECOND)), TWO),
    "no index, in fragments": (
        sent(a("menu"), part(None, '{"day": '), part(None, "1}"), b("hours", '{"day'))
        + calls(part(None, '": 2}')),
        TWO,
    ),
    "index as text": (
        calls(a("menu", '{"day": ', index="0"), b("hours", SECOND, index="1"))
        + calls(part(None, "1}", index="0")),
        TWO,
    ),
    "ids repeated": (calls(a_at_0("menu", FIRST), a("hours", SECOND, index=1)), TWO),
    "ids repeated, arguments later": (
        calls(a_at_0("menu", ""), a("hours", "", index=1))
        + sent(a_at_0(None, FIRST), a(None, SECOND, index=1)),
        TWO,
    ),
    "ids new in each fragment": (sent(a_at_0("menu", '{"day'), b_at_0(None, '": 1}')), TWO[:1]),
    "ids are numbers": (calls(at_0("menu", FIRST, id=7)), TWO[:1]),
    "name repeated": (sent(a_at_0("menu", '{"day'), a_at_0("menu", '": 1}')), TWO[:1]),
    "name repeated, no ids": (sent(at_0("menu", '{"day'), at_0("menu", '": 1}')), TWO[:1]),
    "index counts fragments": (
        sent(a("menu", '{"day', index=0), a("menu", '": 1}', index=1)),
        TWO[:1],
    ),
    "name of another tool": (
        calls(a_at_0("odd"), a_at_0("menu", FIRST)),
        [("odd", {}), TWO[0]],
    ),
    "name in pieces": (
        sent(a_at_0("get_"), at_0("weather"), at_0(None, FIRST)),
        [("get_weather", {"day": 1})],
    ),
    "name so far": (
        sent(a_at_0("get_"), a_at_0("get_weather", ""), at_0(None, FIRST)),
        [("get_weather", {"day": 1})],
    ),
    "the whole call again": (sent(a_at_0("menu", FIRST), a_at_0("menu", FIRST)), TWO[:1]),
    "null among the calls": (
        calls(None, a_at_0("menu", FIRST), 7, "x", []) + chunk({"tool_calls": None}),
        TWO[:1],
    ),
    "one call, no list": (chunk({"tool_calls": a("menu", FIRST)}), TWO[:1]),
    "call without a function": (
        calls({"id": "a", "name": "menu", "arguments": {"day": 1}}),
        TWO[:1],
    ),
    "the old form": (
        chunk({"function_call": {"name": "menu", "arguments": '{"day'}})
        + chunk({"function_call": {"arguments": '": 1}'}}),
        TWO[:1],
    ),
}


@pytest.mark.parametrize("dialect", CALLS)
@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
async def test_calls_are_distinguished(dialect: str, reason: str) -> None:
    body, expected = CALLS[dialect]

    pieces = await pieces_of(body + stop(reason) + DONE)

    assert contract.calls(pieces) == expected
    assert pieces[-1] == Stopped(StopReason.TOOLS)
    ids = [piece.id for piece in pieces if isinstance(piece, ToolCall)]
    assert all(ids) and len(set(ids)) == len(ids)


GIVEN: dict[str, list[object]] = {
    "an object": [{"day": 1}],
    "an object after nothing": ["", {"day": 1}],
    "an object again": [{"day": 1}, {"day": 1}],
    "an empty object, then the object": ["{}", FIRST],
    "an empty object, then fragments": ["{}", '{"day', '": 1}'],
    "an empty object of JSON, then the object": [{}, {"day": 1}],
    "null, then the object": ["null", FIRST],
    "no text, then the object": [None, FIRST],
    "JSON in a JSON string": [json.dumps(FIRST)],
    "JSON in a JSON string, in fragments": [json.dumps(FIRST)[:5], json.dumps(FIRST)[5:]],
    "JSON in JSON strings": [json.dumps(json.dumps(FIRST))],
    "empty string of JSON, then the object": ['""', FIRST],
    "a list with the object": [f"[{FIRST}]"],
    "a list of JSON with the object": [[{"day": 1}]],
    "the same again": [FIRST, FIRST],
    "what there is so far": ['{"day', '{"day": 1', FIRST],
    "what there is so far, as objects": [{}, {"day": 1}],
    "blanks around": ["\n ", FIRST, " \n"],
}


@pytest.mark.parametrize("given", GIVEN)
async def test_arguments_with_one_meaning_are_read(given: str) -> None:
    fragments = [part(arguments=each, index=0) for each in GIVEN[given]]
    body = calls(part("menu", index=0, id="a")) + b"".join(calls(each) for each in fragments)

    pieces = await pieces_of(body + stop("tool_calls") + DONE)

    assert contract.calls(pieces) == TWO[:1]


@pytest.mark.parametrize("given", ["", "null", "{}", '""', "[]", '"null"', '"{}"', {}, [], None])
async def test_no_arguments_are_an_empty_object(given: object) -> None:
    pieces = await pieces_of(calls(part("menu", given, index=0, id="a")) + stop("tool_calls"))

    assert pieces[0] == ToolCall("a", "menu", "{}")


@pytest.mark.parametrize("given", ["[1]", "7", '"hello"', '{"day": 1}{"day": 2}', '{"day', "x{}"])
async def test_arguments_without_a_meaning_stay_as_they_came(given: str) -> None:
    """The conversation asks the model again."""
    pieces = await pieces_of(calls(part("menu", given, index=0, id="a")) + stop("tool_calls"))

    assert pieces[0] == ToolCall("a", "menu", given)


HALVES = ("\ud83d", "\ude00")


async def test_a_character_in_two_pieces_is_one() -> None:
    pieces = await pieces_of(
        words("Hi " + HALVES[0])
        + words(HALVES[1] + "!")
        + calls(part("menu", '{"name": "' + HALVES[0], index=0, id="a"))
        + calls(part(arguments=HALVES[1] + '"}', index=0))
        + stop("tool_calls")
    )

    assert contract.said(pieces) == "Hi \U0001f600!"
    assert contract.calls(pieces) == [("menu", {"name": "\U0001f600"})]


@pytest.mark.parametrize(
    "arguments",
    ['{"name": "a' + HALVES[0] + '"}', '{"name": "a\\ud83d"}', '{"name": "a\\uDE00"}'],
)
async def test_half_a_character_is_left_out(arguments: str) -> None:
    """UTF-8 cannot encode it, so later requests would fail."""
    pieces = await pieces_of(
        words("A" + HALVES[0])
        + words("B" + HALVES[1])
        + calls(part("menu", arguments, index=0, id="a" + HALVES[0]))
        + stop("tool_calls")
    )

    assert contract.said(pieces) == "AB"
    assert contract.calls(pieces) == [("menu", {"name": "a"})]
    assert [piece.id for piece in pieces if isinstance(piece, ToolCall)] == ["a"]


SAID: dict[str, bytes] = {
    "parts": words([{"type": "text", "text": "Hello "}, {"type": "text", "text": "there."}]),
    "parts without a type": words([{"text": "Hello "}, "there.", None, 7, {"text": None}]),
    "one part": words({"type": "text", "text": "Hello there."}),
    "parts with thoughts": words(
        [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, "Hello there."]
    ),
    "a refusal": chunk({"content": None, "refusal": "Hello there."}),
    "nothing that is text": words(7) + words(True) + words({"a": 1}) + words("Hello there."),
    "thoughts": chunk({"reasoning_content": "Hm."})
    + chunk({"reasoning": "Hm.", "reasoning_details": [{}]})
    + words("Hello there."),
    "a filter's results first": event({"choices": [], "prompt_filter_results": [{}]})
    + words("Hello there."),
    "choices that are none": event({"choices": None})
    + event({"choices": 7})
    + event({"choices": [None]})
    + event({"choices": {"delta": {"content": "Hello there."}}}),
    "a delta that is none": chunk(None) + chunk([]) + chunk("x") + words("Hello there."),
    "a choice without a delta": event({"choices": [{"message": {"content": "Hello there."}}]}),
    "events that say nothing": event(None) + event(7) + event([]) + words("Hello there."),
    "comments": b": OPENROUTER PROCESSING\n\n:\n\n" + words("Hello there."),
    "keep-alive events": b"event: ping\ndata:\n\nevent: ping\ndata: {}\n\n" + words("Hello there."),
    "fields without a value": b"id\nretry: 10\nid: 7\n" + words("Hello there."),
    "a byte order mark": b"\xef\xbb\xbf" + words("Hello there."),
    "other line ends": words("Hello there.").replace(b"\n", b"\r\n") + b"\r\r",
    "no blank between": words("Hello ").rstrip() + b"\n" + words("there.").replace(b": ", b":"),
    "one event in lines": b'data: {"choices": [{"delta":\ndata: {"content": "Hello there."}}]}\n\n',
    "data written twice": b"data: " + words("Hello there."),
    "words repeated at the end": words("Hello there.")
    + event({"choices": [{"message": {"content": "Hello there."}}]}),
    "no UTF-8": b'data: {"choices": [{"delta": {"content": "Hello \xf0\x9fthere."}}]}\n\n',
}


@pytest.mark.parametrize("dialect", SAID)
async def test_words_are_read(dialect: str) -> None:
    pieces = await pieces_of(SAID[dialect] + stop() + DONE)

    assert contract.said(pieces) == "Hello there."
    assert pieces[-1] == Stopped(StopReason.END)


ENDS: dict[str, tuple[bytes, StopReason]] = {
    "done": (words("Hi.") + DONE, StopReason.END),
    "done without a line end": (words("Hi.") + b"data: [DONE]", StopReason.END),
    "done without a blank": (words("Hi.").strip() + b"\ndata:[DONE]\n", StopReason.END),
    "done, then more": (words("Hi.") + DONE + words("No.") + b"no", StopReason.END),
    "done after a call": (calls(part("menu", FIRST)) + DONE, StopReason.TOOLS),
    "done inside a call": (calls(part("menu", '{"day')) + DONE, StopReason.END),
    "no line end": ((words("Hi.") + stop()).rstrip(), StopReason.END),
    "null as text": (words("Hi.") + stop("null") + stop("None") + stop("stop"), StopReason.END),
    "capitals": (words("Hi.") + stop("STOP"), StopReason.END),
    "a limit": (words("Hi.") + stop("MAX_TOKENS"), StopReason.LENGTH),
    "a reason of Mistral": (words("Hi.") + stop("model_length"), StopReason.LENGTH),
    "a reason unknown": (words("Hi.") + stop("tired"), StopReason.UNKNOWN),
    "a reason that is none": (words("Hi.") + stop({"type": "stop"}), StopReason.UNKNOWN),
    "a reason unknown after a call": (calls(part("menu")) + stop("x"), StopReason.TOOLS),
    "calls without a call": (words("Hi.") + stop("tool_calls"), StopReason.MALFORMED),
    "a call with a stop": (calls(part("menu")) + stop("stop"), StopReason.TOOLS),
    "a filter": (calls(part("menu")) + stop("content_filter"), StopReason.BLOCKED),
    "an error after the end": (words("Hi.") + stop() + event({"error": "x"}), StopReason.END),
    "no JSON after the end": (words("Hi.") + stop() + b"data: {x\n\n" + DONE, StopReason.END),
}


@pytest.mark.parametrize("dialect", ENDS)
async def test_a_reply_that_is_complete_ends(dialect: str) -> None:
    body, reason = ENDS[dialect]

    assert (await pieces_of(body))[-1] == Stopped(reason)


BODY = {"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]}
CALLING = {"choices": [{"message": {"content": None, "tool_calls": [part("menu", FIRST)]}}]}
USED = {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}


@pytest.mark.parametrize("indent", [None, 2])
async def test_a_body_that_is_not_streamed_is_read(indent: int | None) -> None:
    said = await pieces_of(json.dumps(BODY | USED, indent=indent).encode())
    called = await pieces_of(json.dumps(CALLING, indent=indent).encode())
    lined = await pieces_of(json.dumps(CALLING).encode() + b"\n" + json.dumps(BODY).encode())

    assert said == [TextPiece("Hi."), Stopped(StopReason.END), Usage(9, 2)]
    assert contract.calls(called) == contract.calls(lined) == TWO[:1]
    assert called[-1] == Stopped(StopReason.TOOLS)


FAULTS: dict[str, tuple[bytes, ReplyFault]] = {
    "nothing": (b"", ReplyFault.UNAVAILABLE),
    "a cut": (words("Hi."), ReplyFault.UNAVAILABLE),
    "a cut call": (calls(part("menu", FIRST)), ReplyFault.UNAVAILABLE),
    "done without a message": (DONE, ReplyFault.UNAVAILABLE),
    "only comments": (b": PROCESSING\n\n", ReplyFault.UNAVAILABLE),
    "a page": (b"<html>\n<body>Sorry</body>\n</html>", ReplyFault.UNAVAILABLE),
    "no JSON": (b"data: {x\n\n" + words("Hi.") + stop(), ReplyFault.UNAVAILABLE),
    "nested": (b"data: " + b"[" * 90_000 + b"\n\n", ReplyFault.UNAVAILABLE),
    "a number too long": (b"data: {" + b"1" * 9_000 + b"}\n\n", ReplyFault.UNAVAILABLE),
    "a line too long": (b"data: " + b"x" * 900_000, ReplyFault.UNAVAILABLE),
    "a body too long": (b"{\n" + b"x\n" * 450_000, ReplyFault.UNAVAILABLE),
    "a body of blanks too long": (b"[\n" + b"7,\n\n" * 300_000, ReplyFault.UNAVAILABLE),
    "arguments too long": (calls(part("menu", "x" * 70_000)) + stop(), ReplyFault.UNAVAILABLE),
    "an error as text": (words("Hi.") + event({"error": "Failed."}), ReplyFault.UNAVAILABLE),
    "an error in a choice": (
        event({"choices": [{"error": {"code": 429, "message": "Slow down."}}]}),
        ReplyFault.THROTTLED,
    ),
    "an error with a status": (
        event({"error": {"code": 502, "message": "Provider failed."}, "choices": []}),
        ReplyFault.UNAVAILABLE,
    ),
    "an error with a status as text": (event({"error": {"code": "429"}}), ReplyFault.THROTTLED),
    "an error that asks too much": (
        event({"error": {"message": "exceeds the context window"}}),
        ReplyFault.TOO_LONG,
    ),
    "an error of nothing": (event({"error": [None]}), ReplyFault.UNAVAILABLE),
    "an event that is an error": (
        b'event: error\ndata: {"message": "no", "code": 401}\n\n',
        ReplyFault.DENIED,
    ),
    "an object that is an error": (
        event({"object": "error", "message": "no", "code": 400}),
        ReplyFault.REFUSED,
    ),
    "a model that failed": (words("Hi.") + stop("error"), ReplyFault.UNAVAILABLE),
    "a body with an error": (b'[{"error": {"code": 429}}]', ReplyFault.THROTTLED),
}


@pytest.mark.parametrize("dialect", FAULTS)
async def test_unusable_responses_raise_a_model_error(dialect: str) -> None:
    body, fault = FAULTS[dialect]

    with pytest.raises(ModelError) as caught:
        await pieces_of(body)

    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        ({"prompt_tokens": "12", "completion_tokens": 5.0}, Usage(12, 5)),
        ({"prompt_tokens": -3, "completion_tokens": None}, Usage(0, 0)),
        ({"prompt_tokens": [3], "completion_tokens": {"a": 1}}, Usage(0, 0)),
        ({"prompt_tokens": True, "completion_tokens": "many"}, Usage(0, 0)),
        ({"prompt_tokens": float("inf"), "completion_tokens": float("nan")}, Usage(0, 0)),
        ({"prompt_tokens": 10**400, "completion_tokens": "1e99"}, Usage(10**9, 10**9)),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}},
            Usage(0, 0, cache_read=5),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -9}}, Usage(5, 0)),
        ({"prompt_tokens": 5, "prompt_tokens_details": [7]}, Usage(5, 0)),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 2}, Usage(3, 0, cache_read=2)),
        ({}, Usage(0, 0)),
        *((given, Stopped(StopReason.END)) for given in (None, [], [1], "12", 12.5, -1)),
    ],
)
async def test_usage_is_never_negative(given: object, usage: ReplyPiece) -> None:
    """No more tokens are cached than the prompt has; an invalid usage is ignored."""
    pieces = await pieces_of(words("Hi.") + stop() + event({"choices": [], "usage": given}) + DONE)

    assert pieces[-1] == usage


@pytest.mark.parametrize("place", ["choice", "groq"])
async def test_usage_is_found_where_servers_put_it(place: str) -> None:
    """Moonshot has it in the choice, Groq in a field of its own."""
    given = {"prompt_tokens": 9, "completion_tokens": 2}
    choice = {"delta": {}, "finish_reason": "stop", "usage": given}
    last = {"choices": [choice]} if place == "choice" else {"x_groq": {"usage": given}}

    assert (await pieces_of(words("Hi.") + stop() + event(last)))[-1] == Usage(9, 2)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"Content-Encoding": "gzip"}, b"no gzip"),
        (500, {"Content-Encoding": "gzip"}, b"no gzip"),
        (400, {"Content-Type": "application/json"}, b"[" * 50_000),
        (400, {"Content-Type": "application/json; charset=punycode"}, b'{"error": 7}'),
        (429, {"Retry-After": "never"}, b'{"error": {"code": [1], "message": {"a": 1}}}'),
        (302, {"Location": "http://[half"}, b""),
        (302, {"Location": "/v1/again"}, b""),
        (204, {}, b""),
    ],
)
async def test_broken_responses_raise_only_model_errors(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    async with raw_server() as (server, model):
        server.status, server.headers, server.body = status, headers, body

        with pytest.raises(ModelError):
            await contract.pieces_of(model, ASKED)


def test_a_reply_is_bounded() -> None:
    """Calls, their arguments, bytes, and checks for complete arguments are limited."""
    decoder = ChatDecoder()
    many = [part("menu", FIRST, index=number) for number in range(40)] + [{}, {"index": 3}]
    pieces = list(decoder.feed(calls(*many) + stop()))
    assert sum(isinstance(piece, ToolCall) for piece in pieces) == MOST_CALLS

    decoder = ChatDecoder()
    for number in range(300):
        list(decoder.feed(calls(part(arguments="{}", index=number), part("menu", FIRST))))
    pieces = list(decoder.feed(DONE))
    assert 0 < sum(isinstance(piece, ToolCall) for piece in pieces) <= MOST_CALLS

    decoder = ChatDecoder()
    for _ in range(MOST_BYTES // 64_000):
        assert list(decoder.feed(b":" + b"x" * 63_998 + b"\n")) == []
    with pytest.raises(ModelError, match="too long"):
        list(decoder.feed(b":" * 64_000))
