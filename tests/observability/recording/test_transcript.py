"""A call as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call import events as ev
from agent.call.actions import (
    Action,
    AdoptReply,
    DiscardReply,
    Record,
    RunTool,
    Speak,
    Speculate,
    StartReply,
    ToolOutcome,
)
from agent.call.config import CallConfig
from agent.call.events import Event, Playback, PlaybackReported, TimerFired
from agent.call.history import (
    AgentSaid,
    CallerSaid,
    InputMode,
    Note,
    Recorded,
    SpeechSource,
    Summary,
    ToolUsed,
)
from agent.call.messages import ToolCall, ToolResult
from agent.call.timers import Timer
from agent.cli.recorded_calls import shown
from agent.observability.recording.serialization import RecordedConnection
from agent.observability.recording.transcript import (
    CallTranscript,
    clock,
    escaped,
    printable,
    read_transcript,
    transcript_json,
    transcript_text,
)
from agent.ports import Item
from agent.simulator.virtual_time import run_virtually
from agent.store.call_state.history_loader import GENERATION
from agent.store.call_state.journal import fact_item
from agent.store.memory import MemoryStore
from tests.observability.recording.taping import ADA_CALLS, NOW, Tape, beginning, write

STARTED = int(NOW * 1000)
CALL = ToolCall("abc123def", "PlaceOrderFunction", '{"size":"large"}')
FACTS: list[Recorded] = [
    AgentSaid("Hello.", SpeechSource.GREETING),
    CallerSaid("a large pizza, please \x1b[2J"),
    AgentSaid("One moment, please.", SpeechSource.SERVICE),
    ToolUsed(1, CALL, ToolResult("abc123def", '{"error":"sold out"}', is_error=True)),
    AgentSaid("", is_cut=True),
    CallerSaid("12", InputMode.KEYPAD),
    AgentSaid("Twelve pizzas, then. That will ", is_cut=True),
    Note("The line broke off here for a moment."),
    ToolUsed(2, CALL),
    Summary("Twelve pizzas.", 5, "Caller: 4711"),
]
SESSION: Item = {
    "pk": "CA1",
    "sk": "connection",
    **ADA_CALLS,
    "startedMs": STARTED,
    "useCase": "pizza",
}


async def kept(store: MemoryStore) -> None:
    """A call with a second line from its eighth fact on; an earlier one was completed there."""
    await store.put(SESSION)
    await store.put({"pk": "CA1", "sk": "resume::000001", "cause": "lost"})
    for position, fact in enumerate(FACTS):
        sequence = position + GENERATION * (position >= 7 or position == 3)
        await store.put(fact_item("CA1", STARTED, position, fact, sequence, 1))


def transcript_of(*fill: Callable[[MemoryStore], Awaitable[None]]) -> CallTranscript:
    """The transcript of a call after the table was filled so."""

    async def main() -> CallTranscript | None:
        store = MemoryStore()
        for one in fill:
            await one(store)
        return await read_transcript(store, "CA1")

    call = run_virtually(main())
    assert call is not None
    return call


def test_call_is_told_in_the_order_of_its_facts() -> None:
    assert transcript_text(transcript_of(kept)).splitlines() == [
        "CA1",
        "pizza, with +15550100001, 2026-03-05 18:00:00 UTC",
        "no events are recorded, or not yet (RECORD_CALLS): no times",
        "",
        "         greeting Hello.",
        "         caller   a large pizza, please  [2J",
        "         service  One moment, please.",
        '         tool     PlaceOrderFunction {"size":"large"}',
        '                  -> error {"error":"sold out"}',
        "         agent    [cut off before a word was heard]",
        "         keys     12",
        "         agent    Twelve pizzas, then. That will [cut off]",
        "--- line 1: lost ".ljust(100, "-"),
        "         note     The line broke off here for a moment.",
        '         tool     PlaceOrderFunction {"size":"large"}',
        "                  -> no result",
        "         summary  of all before fact 5: Twelve pizzas. Caller: 4711",
    ]


async def ordered(store: MemoryStore) -> None:
    """A recorded turn: held back, asked, a tool, asked again, answered."""
    happened: list[tuple[Event, Sequence[Action], float]] = [
        (ev.CallStarted(), [Record(0, AgentSaid("Hello.", SpeechSource.GREETING))], 0.0),
        (ev.CallerSpoke("a large pizza and"), [Record(1, CallerSaid("a large pizza and"))], 2.0),
        (ev.CallerSpoke("a salad"), [Record(2, CallerSaid("a salad")), StartReply(1, ())], 1.0),
        (ev.ReplyDelta(1, "Let me see. "), [Speak(1, "Let me see. ")], 0.4),
        (ev.ReplyFinished(1, (CALL,)), [RunTool(CALL)], 0.2),
        (ev.ToolFinished(CALL.id, ToolOutcome("{}")), [StartReply(2, ())], 0.8),
        (ev.ReplyDelta(2, "Done."), [Speak(1, "Done.", is_last=True)], 0.6),
        (ev.ReplyFinished(2), [], 0.2),
        (PlaybackReported(Playback.AGENT_OFF), [], 3.0),
    ]
    await write(store, [Tape(beginning(CallConfig()), happened)])


def test_recorded_call_is_told_with_its_times() -> None:
    assert transcript_text(transcript_of(ordered)).splitlines() == [
        "CA1",
        "pizza, with +15550100001",
        "line 0: version 3, scripted:, 9 events, end caller_hangup",
        "",
        "00:00.0  greeting Hello.",
        "00:02.0  caller   a large pizza and",
        "00:03.0  caller   a salad",
        "",
        "turn 1  00:02.0  a large pizza and a salad  (first text after 1.40 s)",
        "  hold                         0.00 +1.00   |================",
        "  reply 1                      1.00 +0.60   |                .......===",
        "  tool PlaceOrderFunction      1.60 +0.80   |                          =============",
        "  reply 2                      2.40 +0.80   |" + " " * 39 + "..........===",
        "  speech                       1.40 +1.60   |" + " " * 22 + "=" * 27,
    ]


async def asked_ahead(store: MemoryStore) -> None:
    """A recorded turn whose reply was asked ahead, after another one that was discarded."""
    happened: list[tuple[Event, Sequence[Action], float]] = [
        (ev.CallStarted(), [Record(0, AgentSaid("Hello.", SpeechSource.GREETING))], 0.0),
        (TimerFired(Timer.SPECULATION, 1), [Speculate(1, ())], 2.0),
        (ev.CallerSpoke("a salad", False), [DiscardReply(1)], 0.2),
        (TimerFired(Timer.SPECULATION, 2), [Speculate(2, ())], 0.3),
        (ev.ReplyDelta(2, "Done."), [], 0.4),
        (ev.CallerSpoke("A salad"), [AdoptReply(2), Speak(1, "Done.")], 0.1),
        (ev.ReplyFinished(2), [Speak(1, "", is_last=True)], 0.2),
    ]
    await write(store, [Tape(beginning(CallConfig()), happened)])


def test_reply_that_was_asked_ahead_is_shown_from_the_words_on() -> None:
    told: Any = json.loads(transcript_json(transcript_of(asked_ahead)))

    (turn,) = told["lines"][0]["turns"]
    assert (turn["words"], turn["first_text_ms"]) == ("A salad", 0.0)
    assert [(span["name"], span["from_ms"], span["to_ms"]) for span in turn["spans"]] == [
        ("hold", 0.0, 0.0),
        ("reply 2", 0.0, 200.0),
    ]


def test_machines_are_told_the_same() -> None:
    told: Any = json.loads(transcript_json(transcript_of(ordered)))

    said = {"kind": "CallerSaid", "text": "a large pizza and", "means": "speech", "language": ""}
    assert told["facts"][1] == {"at_ms": 2000.0, "line": 0, **said}
    (turn,) = told["lines"][0]["turns"]
    assert turn["first_text_ms"] == 1400.0
    assert [(span["name"], span["from_ms"], span["to_ms"]) for span in turn["spans"]] == [
        ("hold", 0.0, 1000.0),
        ("reply 1", 1000.0, 1600.0),
        ("tool PlaceOrderFunction", 1600.0, 2400.0),
        ("reply 2", 2400.0, 3200.0),
    ]


def test_record_that_cannot_be_read_does_not_hide_the_call() -> None:
    """Another version wrote it; the facts are there."""

    async def spoil(store: MemoryStore) -> None:
        await store.put({"pk": "CA1", "sk": "record::000000::000000", "lines": '{"begin":1}'})

    lines = transcript_text(transcript_of(kept, spoil)).splitlines()

    assert lines[2] == "the record cannot be used: record: the beginning cannot be read"
    assert "         greeting Hello." in lines


def test_line_of_which_nothing_is_recorded_is_named() -> None:
    second = RecordedConnection(1, beginning(CallConfig()), end="caller_hangup")
    call = CallTranscript("CA1", "pizza", "", 0, [], {1: "lost"}, [second], "")

    assert transcript_text(call).splitlines()[2:4] == [
        "line 0: nothing of it is recorded",
        "line 1: version 3, scripted:, 0 events, end caller_hangup",
    ]


@pytest.mark.parametrize(
    ("ms", "told"),
    [(0.0, "00:00.0"), (59_949.0, "00:59.9"), (59_960.0, "01:00.0"), (754_300.0, "12:34.3")],
)
def test_no_minute_has_sixty_seconds(ms: float, told: str) -> None:
    assert clock(ms) == told


@pytest.mark.parametrize("columns", [72, 80, 99])
def test_call_fits_a_narrow_terminal(columns: int) -> None:
    call = transcript_of(kept, ordered)
    call = replace(call, use_case="u" * 70, fault="the record is torn " * 9)

    narrow, wide = transcript_text(call, columns).splitlines(), transcript_text(call).splitlines()

    assert max(map(len, narrow)) <= columns
    assert [len(line) for line in narrow if line.startswith("---")] == [columns]
    assert max(len(line) for line in narrow if "|" in line) > columns - 8
    assert "".join("".join(narrow).split()).replace("-", "").replace("=", "").replace(".", "") == (
        "".join("".join(wide).split()).replace("-", "").replace("=", "").replace(".", "")
    )
    assert max(map(len, wide)) > 100


STEERING = "a\x1b[2Jb\x9bc\u202ed\u2066e\u200ef\x07g\x7fh\u2028i\U000e0041j\rk"


def test_no_output_for_a_terminal_can_steer_it() -> None:
    """Lines stay, and so do the joiners of Persian and Indic words."""
    told = printable(f"{STEERING}\nsecond \u06cc\u200c\u062e")

    assert told == "a [2Jb c d e f g h i j k\nsecond \u06cc\u200c\u062e"


@given(value=st.text() | st.sampled_from([STEERING, "\ud800", "\U0001f600"]))
def test_json_for_machines_has_the_same_value_and_nothing_that_steers(value: str) -> None:
    text = escaped(json.dumps({value: [value]}, ensure_ascii=False))

    assert text.isprintable()
    assert json.loads(text) == {value: [value]}


@pytest.mark.parametrize("for_machines", [True, False])
def test_no_value_of_a_call_can_steer_a_terminal(for_machines: bool) -> None:
    call = ToolCall("abc123def", STEERING, STEERING)
    facts: list[Recorded] = [
        CallerSaid(STEERING),
        AgentSaid(STEERING),
        ToolUsed(1, call, ToolResult("abc123def", STEERING)),
        Note(STEERING),
    ]

    async def main() -> str:
        store = MemoryStore()
        await store.put({**SESSION, "useCase": "pizza\u202e", "From": "client:a\x9b"})
        await store.put({"pk": "CA1", "sk": "resume::000001", "cause": STEERING})
        for position, fact in enumerate(facts):
            await store.put(fact_item("CA1", STARTED, position, fact, position, 1))
        return await shown(store, "CA1", for_machines=for_machines) or "\0"

    assert run_virtually(main()).replace("\n", "").isprintable()
