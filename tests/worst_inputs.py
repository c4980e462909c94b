"""The worst inputs we know for the event loop, at the limits of the wire.

Each row is work that is done at a time, between two awaits. `tests/system/test_worst_inputs.py`
counts the work and looks how it grows; `benchmarks/worst_inputs.py` measures it in milliseconds.

Rejected: one random input for each function. What is slow is slow for a reason, and a random text
does not meet it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from agent.call import end_of_turn
from agent.call import events as ev
from agent.call import utterance_analysis as listening
from agent.call.config import CallConfig, Limits
from agent.call.conversation import Conversation
from agent.call.facts_block import lines_of
from agent.call.heard_alignment import heard_until
from agent.call.heard_confirmation import Exchange
from agent.call.history import AgentSaid, CallerSaid, Fact, History, ToolUsed
from agent.call.messages import (
    Message,
    ReplyRequest,
    Role,
    SideEffect,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from agent.call.resumption import ResumeCause, Resumption
from agent.call.sentence_chunker import SentenceChunker
from agent.call.summarization import (
    LONGEST_SUMMARY,
    cleaned,
    extract,
    summary_fault,
    transcript,
)
from agent.call.tool_calls import LONGEST_ARGUMENTS, ToolCalls, canonical
from agent.errors import RelayProtocolError
from agent.llm.offline import Dialogue
from agent.llm.offline.order import OrderReader
from agent.llm.offline.script import Script, load
from agent.llm.offline.words import find_date, find_time, normalise
from agent.session.session import LONGEST_DELTA
from agent.tools import json_schema
from agent.tools.mcp.mcp_tools import arguments_of
from agent.twilio.relay_frames import MAX_FRAME_BYTES, parse
from agent.usecases import Profile, UseCase
from agent.usecases.prompt import greeting, system_prompt
from tests.llm.scripts import SHIPPED, SYSTEM, script

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Row:
    """One input, of any size."""

    name: str
    size: int
    """The largest that can come."""
    prepare: Callable[[int], Work]
    """Makes the input of a size, and gives the work on it."""


def rows() -> Iterator[Row]:
    """All of them."""
    yield from _heard()
    yield from _spoken()
    yield from _listened()
    yield from _frames()
    yield from _json()
    yield from _schemas()
    yield from _scripts()
    yield from _long_calls()


def _row(
    name: str, size: int, work: Callable[..., object], *inputs: Callable[[int], object]
) -> Row:
    """Work on inputs that are made first."""
    return Row(name, size, lambda n: partial(work, *[make(n) for make in inputs]))


def _filled(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size]


def _heard() -> Iterator[Row]:
    frame = MAX_FRAME_BYTES
    texts: Mapping[str, tuple[str, Callable[[int], str]]] = {
        "the same word, a report that fits nowhere": ("ha ", lambda n: _filled("ha xx ", n)),
        "the same word, a report that ends otherwise": ("ha ", _half_of("ha ", "xx ")),
        "two words in turn": ("so it ", lambda n: _filled("it so so ", n)),
        "a number in each place": ("7 ha ", lambda n: _filled("zz ha ", n)),
        "nothing in common": ("ha ", lambda n: _filled("xx ", n)),
        "many places to begin": ("ha xx ", lambda n: _filled("ha yy xx ", n)),
        "writing without spaces": ("好", lambda n: _filled("好一", n)),
        "one long word": ("a", lambda n: "a" * n),
        "a word with marks inside": ("a.", lambda n: _filled("b.", n)),
        "marks alone": (".,", lambda n: _filled(".'", n)),
    }
    for name, (piece, report) in texts.items():
        yield _row(f"heard: {name}", frame, _heard_until, partial(_filled, piece), report)


def _half_of(first: str, second: str) -> Callable[[int], str]:
    return lambda size: _filled(first, size // 2) + _filled(second, size // 2)


def _heard_until(sent: str, reported: str) -> None:
    heard_until(sent, reported, after_ms=10**9)


def _spoken() -> Iterator[Row]:
    pieces = (
        "a", "<a", "<a ", "</a", "<a>", "<think>", "<think>a ", " ", "\n", ". ", ".", ".'", "1*",
        "_", "a_", "](", "](a]", "http://", "https://a/.", "A.", "-", "- ", "、", "ab cd, ", "😀",
        "&", "1^", "'", "… ", "\u200d", "*", "| ",
    )  # fmt: skip
    for piece in pieces:
        name = f"speech: {piece!r} again and again"
        yield _row(name, LONGEST_DELTA, partial(_speak, ""), partial(_filled, piece))
    for begin, piece in (
        ("https://", "."),
        ("https://a/", "."),
        ("<a", "a"),
        ("a", "_"),
        ("", "a"),
    ):
        name = f"a word that begins with {begin!r} and goes on with {piece!r}"
        before = begin + 2_500 * piece
        yield _row(f"speech: {name}", LONGEST_DELTA, partial(_speak, before), piece.__mul__)
        yield _row(f"summary: {name}", LONGEST_SUMMARY, partial(_clean, begin), piece.__mul__)
    yield _row("summary: marks", LONGEST_SUMMARY, partial(_clean, ""), "、".__mul__)
    yield _row("summary: thoughts", 10**6, partial(_clean, "<think>"), "a ".__mul__)


def _clean(begin: str, text: str) -> None:
    cleaned(begin + text, 4_000)


def _note(text: str) -> None:
    [*lines_of([AgentSaid(text), CallerSaid(text)], lambda _: True)]


def _speak(before: str, text: str) -> None:
    speech = SentenceChunker()
    speech.feed(before)
    speech.feed(text)
    speech.finish()


def _listened() -> Iterator[Row]:
    pieces = ("ok ", ".", "and-", "…", "uh-", "five ", "5 ", "5", "5-", "oh ", "好", "? ", "'")
    for piece in pieces:
        name = f"listening: {piece!r} again and again"
        yield _row(name, MAX_FRAME_BYTES, _listen, partial(_filled, piece))


def _listen(text: str) -> None:
    listening.has_words(text)
    listening.is_acknowledgement(text, "en")
    listening.asks_for_moment(text, "en")
    end_of_turn.answer_after_ms(text, text, "en", Limits())
    listening.asks(text)


def _frames() -> Iterator[Row]:
    size = MAX_FRAME_BYTES - 200
    interrupt = partial(_frame, "interrupt", "durationUntilInterruptMs")
    texts: Mapping[str, Callable[[int], str]] = {
        "deep arrays": lambda n: '{"type":"info","name":"tokensPlayed","value":' + "[" * n,
        "deep objects": lambda n: '{"type":"info","name":"x","value":' + '{"a":' * (n // 5),
        "deep and whole": lambda n: '{"type":"info","x":' + "[" * (n // 2) + "]" * (n // 2) + "}",
        "a huge integer": lambda n: interrupt("9" * n),
        "a huge integer as text": lambda n: interrupt(f'"{"9" * n}"'),
        "a huge exponent": lambda n: _frame("error", "code", f"1e{'9' * n}"),
        "a long fraction": lambda n: _frame("error", "code", f"0.{'9' * n}"),
        "a long text": lambda n: _frame("prompt", "voicePrompt", json.dumps("a" * n)),
        "escapes": lambda n: _frame("prompt", "voicePrompt", '"' + "\\u597d" * (n // 6) + '"'),
        "lone surrogates": lambda n: _frame("prompt", "lang", '"' + "\\ud800" * (n // 6) + '"'),
        "many keys": lambda n: "{" + _keys(n) + '"type":"prompt","voicePrompt":"a"}',
        "the same key": lambda n: "{" + '"type":"prompt",' * (n // 16) + '"type":"prompt"}',
        "many parameters": lambda n: _frame("setup", "customParameters", f'{{{_keys(n)}"a":"a"}}'),
        "white space": lambda n: " " * n + '{"type":"prompt"}',
        "no JSON": lambda n: "\\" * n,
    }  # fmt: skip
    for name, make in texts.items():
        yield _row(f"frame: {name}", size, _parse, make)


def _frame(kind: str, field: str, value: str) -> str:
    return f'{{"type":"{kind}","{field}":{value}}}'


def _keys(size: int) -> str:
    return "".join(f'"k{number}":"1",' for number in range(size // 12))


def _parse(text: str) -> None:
    with suppress(RelayProtocolError):
        parse(text)


def _json() -> Iterator[Row]:
    texts: Mapping[str, Callable[[int], str]] = {
        "many keys": lambda n: "{" + _keys(n) + '"a":1}',
        "deep arrays": lambda n: '{"a":' + "[" * (n // 2) + "]" * (n // 2) + "}",
        "deep objects": lambda n: '{"a":' * (n // 6) + "1" + "}" * (n // 6),
        "a huge integer": lambda n: '{"a":' + "9" * n + "}",
        "many numbers": lambda n: '{"a":[' + "1e9," * (n // 4) + "1]}",
        "not ended": lambda n: '{"a":"' + "\\\\" * (n // 2),
    }
    for name, make in texts.items():
        yield _row(f"arguments: {name}", LONGEST_ARGUMENTS, canonical, make)
        yield _row(f"arguments: {name}, too long", 10**6, canonical, make)
    for name, spell in (("the same", "{{}}".format), ("another", '{{"a":{}}}'.format)):
        yield Row(f"calls: {name} call 500 times in a reply", 500, partial(_taken_up, spell))
    yield Row("calls: a reply of a resumed call", 300, _resumed_calls)


_ORDER = ToolSpec("order", "Orders.", '{"type":"object"}', side_effect=SideEffect.ONCE)


def _taken_up(spell: Callable[[int], str], count: int) -> Work:
    runs = ToolCalls(History(), {"order": _ORDER})
    calls = [ToolCall("x", "order", spell(number)) for number in range(count)]
    return lambda: runs.accept(1, calls, Exchange())


def _resumed_calls(count: int) -> Work:
    calls = (ToolCall(f"tool{at:05d}", "order", f'{{"a":{at}}}') for at in range(count))
    facts = [ToolUsed(1, call) for call in calls]
    return lambda: ToolCalls(History(facts), {"order": _ORDER}).resume()


def _schemas() -> Iterator[Row]:
    size = 1024 * 1024
    names = [f"p{number}" for number in range(60)]
    wide = {name: {"type": "string"} for name in names}
    made: Mapping[str, Callable[[int], Mapping[str, Any]]] = {
        "many required": lambda n: {"properties": wide, "required": ["none"] * (n // 8)},
        "a long list of choices": lambda n: {"properties": {"a": {"enum": ["a"] * (n // 4)}}},
        "a long list of types": lambda n: {"properties": {"a": {"type": ["string"] * (n // 9)}}},
        "a long description": lambda n: {"properties": {"a": {"description": "a " * (n // 2)}}},
        "a long reference": lambda n: {"properties": {"a": {"$ref": "#" + "/a" * (n // 2)}}},
        "many keywords, referred to often": lambda n: {
            "properties": {name: {"$ref": "#/$defs/a"} for name in names},
            "$defs": {"a": {f"k{number}": 1 for number in range(n // 10)}},
        },
        "many choices, referred to often": lambda n: {
            "properties": {
                name: {"properties": {each: {"$ref": "#/$defs/a"} for each in names}}
                for name in names
            },
            "$defs": {"a": {"enum": [f"{number:0300}" for number in range(min(100, n // 300))]}},
        },
        "many properties": lambda n: {"properties": {f"p{at}": {} for at in range(n // 10)}},
        "in a circle": lambda n: {"$ref": "#", "a": "a" * n},
        "alternatives": lambda n: {"anyOf": [{"type": "object"}] * (n // 20)},
    }
    for name, make in made.items():
        yield _row(f"schema: {name}", size, _rewrite, make)


def _rewrite(schema: Mapping[str, Any]) -> None:
    with suppress(json_schema.SchemaError):
        plain = json_schema.plain_schema(schema)
        arguments_of("tool", plain)


def _scripts() -> Iterator[Row]:
    pieces = (
        "one ", "one hundred ", "1,", "a'", "monday ", "the 31 ", "february 30 ", "at 1 ", "1 p m ",
        "pizza ", "bacon ", "two large pizzas with bacon and no onion ", "add bacon to the garden ",
        "no ", "[", "[a] ", "four one five ",
    )  # fmt: skip
    for piece in pieces:
        text = partial(_filled, piece)
        yield _row(f"words: {piece!r} again and again", MAX_FRAME_BYTES, _read_words, text)
        for name in SHIPPED:
            read = partial(_read, load(script(name)))
            yield _row(f"script: {piece!r} said to {name}", MAX_FRAME_BYTES, read, text)


def _read_words(text: str) -> None:
    words = normalise(text)
    find_date(words, date(2026, 3, 5))
    find_time(words, is_answer=True)


def _read(rules: Script, text: str) -> None:
    """One message: the offline model reads them one by one."""
    message = Message(Role.CALLER, (Text(text or "a"),))
    asked = ReplyRequest(SYSTEM, (message,))
    Dialogue(rules, OrderReader(rules.menu), asked).read(message)


def _long_calls() -> Iterator[Row]:
    yield Row("call: nods without end", 5_000, lambda n: _asked([CallerSaid("yes")] * n))
    yield Row("call: many turns", 16_000, lambda n: _asked(_turns(n, "Two pizzas.")))
    yield Row("call: long words", 60, lambda n: _asked(_turns(n, "a " * (MAX_FRAME_BYTES // 2))))
    facts = _turns(60, "a " * (MAX_FRAME_BYTES // 2))
    yield Row("call: summarised", 60, lambda n: lambda: transcript("", facts[:n], 32_000))
    yield Row("call: extracted", 60, lambda n: lambda: extract("", facts[:n], 4_000))
    yield Row("call: noted", 60, lambda n: lambda: [*lines_of(facts[:n], lambda _: True)])
    answer = "you " * 1_000
    yield Row("call: judged", 60, lambda n: lambda: summary_fault(answer, "", facts[:n]))
    words = ("we will now ", "been ", "1 ", "A ", "the the ", "ist ", "est ", "hola ")
    for piece in words:
        yield _row(f"noted: {piece!r}", 4_000, _note, piece.__mul__)
    yield Row("call: interrupted after a long speech", MAX_FRAME_BYTES, _interrupted)
    yield Row("prompt: a long profile", 400_000, _prompted)


def _turns(count: int, words: str) -> list[Fact]:
    used = ToolUsed(1, ToolCall("a", "look", '{"a":1}'), ToolResult("a", '{"b":2}'))
    turn: list[Fact] = [CallerSaid(words), used, AgentSaid("Gladly.")]
    return turn * count


def _asked(facts: Sequence[Fact]) -> Work:
    """The caller says something in a call that has gone on for so long."""
    conversation = Conversation(CallConfig(), Resumption(facts, ResumeCause.RECONNECTED))
    conversation.receive(ev.CallStarted())
    return partial(conversation.receive, ev.CallerSpoke("And a salad, please."))


def _interrupted(size: int) -> Work:
    conversation = Conversation(replace(CallConfig(), greeting=_filled("ha ", size)))
    conversation.receive(ev.CallStarted())
    conversation.receive(ev.PlaybackReported(ev.Playback.PLAYED, _filled("ha xx ", size)))
    return partial(conversation.receive, ev.CallerInterrupted(_filled("xx ha ", size), 10**9))


def _prompted(size: int) -> Work:
    profile = Profile("+12025550100", "A " * size, "B " * size, "a@b.example " * size)
    known = UseCase("pizza", "<<USER_CONTEXT>>", greeting_known="<<FIRST_NAME>> <<LAST_NAME>>")

    def render() -> None:
        system_prompt(known, profile, datetime(2026, 3, 5, tzinfo=UTC))
        greeting(known, profile)

    return render
