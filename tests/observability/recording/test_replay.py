"""A replay finds where a call would go differently today, and reports it in a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.call import events as ev
from agent.call.actions import ToolOutcome
from agent.call.config import CallConfig, Limits, Phrases
from agent.call.conversation import Conversation
from agent.call.events import Event, ReplyFault
from agent.call.history import CallerSaid
from agent.call.messages import ToolCall, ToolSpec
from agent.call.resumption import ResumeCause, Resumption
from agent.observability.call_summary import VersionStamp
from agent.observability.recording.replay import Today, changes, replay, report
from agent.observability.recording.serialization import RecordedConnection, read_chunks, read_record
from agent.simulator.virtual_time import run_virtually
from agent.store.memory import MemoryStore
from tests.observability.recording.taping import ASKS, STAMP, Tape, beginning, taped, write

LOOK = ToolSpec("look_up", "Looks.", '{"type":"object"}')
BRIEF = CallConfig(greeting="Hello.", tools={"look_up": LOOK})
ORDERED: list[Event] = [
    ev.CallStarted(),
    ev.CallerSpoke("two pizzas please"),
    ev.ReplyDelta(1, "Let me see. "),
    ev.ReplyFinished(1, (ToolCall("x", "look_up", "{}"),)),
    ev.ToolFinished("tool00001", ToolOutcome('{"ok":true}')),
    ev.ReplyFailed(2, ReplyFault.TIMEOUT),
    ev.CallEnded(),
]


def tape(
    events: Sequence[Event], brief: CallConfig = BRIEF, resumed: Resumption | None = None
) -> Tape:
    """A line on which this happened."""
    conversation = Conversation(brief, resumed)
    return Tape(
        beginning(brief, resumed), [(event, conversation.receive(event), 0.1) for event in events]
    )


def line_of(*tapes: Tape) -> list[RecordedConnection]:
    return run_virtually(taped(tapes))


def played(brief: CallConfig) -> list[str]:
    """The report of the call of above with this brief of today."""
    return report(replay(line_of(tape(ORDERED)), Today(brief, STAMP, ASKS)))


def test_changed_phrase_is_shown_where_it_is_said() -> None:
    """Not before, although it was in force from the beginning."""
    brief = replace(BRIEF, phrases=Phrases(lost_thread="Hm?", apology="Oh."))

    assert played(brief) == [
        "different at event 5 (00:00.5)",
        '  ReplyFailed {"reply":2,"fault":"timeout","reason":""}',
        '    StopTimer {"timer":"filler"}',
        '    StopTimer {"timer":"wait"}',
        '  - Speak {"utterance":3,"text":"I am sorry, I could not get an answer just now. Could you'
        " say th...",
        '  - Record {"position":4,"fact":{"kind":"AgentSaid","text":"I am sorry, I could not get an'
        " answer...",
        '  + Speak {"utterance":3,"text":"Oh.","is_last":true}',
        '  + Record {"position":4,"fact":{"kind":"AgentSaid","text":"Oh.","voice":"service"}}',
        '    StartTimer {"timer":"model_failure","serial":10,"after_ms":30000}',
        '  - StartTimer {"timer":"playback","serial":11,"after_ms":6600}',
        '  + StartTimer {"timer":"playback","serial":11,"after_ms":1933}',
    ]


def test_tool_that_is_gone_is_shown_where_it_was_used() -> None:
    """The model gets an error instead."""
    told = played(replace(BRIEF, tools={}))

    assert told[0] == "different at event 3 (00:00.3)"
    assert any(line.startswith("  - RunTool") for line in told)


@pytest.mark.parametrize(
    ("stamp", "asks", "change"),
    [
        (STAMP, "a1", "prompt, tools or settings of the request: a0 -> a1"),
        (replace(STAMP, model="openai:x"), ASKS, "model: scripted: -> openai:x"),
    ],
    ids=["prompt", "model"],
)
def test_changed_prompt_or_model_is_shown_at_the_first_request(
    stamp: VersionStamp, asks: str, change: str
) -> None:
    """The recorded answers lead to the same actions."""
    outcome = replay(line_of(tape(ORDERED)), Today(BRIEF, stamp, asks))

    assert report(outcome) == [
        "the model is asked otherwise from event 1 (00:00.1) on",
        '  CallerSpoke {"text":"two pizzas please","is_final":true,"language":"","after_ms":null}',
        f"  {change}",
        "with its recorded answers 7 events lead to the same",
    ]
    assert not outcome.is_same


def test_changed_message_is_named() -> None:
    facts = [CallerSaid("a pizza")]
    resumed = Resumption(facts, ResumeCause.LOST)
    (line,) = line_of(tape([ev.CallStarted()], resumed=resumed))
    line.beginning = beginning(BRIEF, Resumption([CallerSaid("a salad")], ResumeCause.LOST))

    outcome = replay([line])

    assert report(outcome)[-4:-2] == [
        "    message 1 of 3 is another one; there were 3",
        "    it is now: caller: a salad",
    ]


def test_each_line_is_played_with_its_beginning() -> None:
    resumed = Resumption([CallerSaid("a pizza")], ResumeCause.LOST)
    lines = line_of(tape(ORDERED), tape([ev.CallStarted(), ev.CallEnded()], resumed=resumed))

    same = replay(lines)
    other = replay(lines, Today(replace(BRIEF, phrases=Phrases(resumed="Oh.")), STAMP, ASKS))

    assert same.is_same
    assert report(same) == ["same: 9 events lead to the same actions"]
    assert report(other)[0] == "different at line 1, event 0 (00:00.0)"


def test_edit_during_the_call_brings_what_is_in_force_today() -> None:
    """Otherwise the recorded edit would undo it."""
    edited = replace(BRIEF, phrases=Phrases(apology="Oh."))
    events = [*ORDERED[:5], ev.CallConfigChanged(edited), *ORDERED[5:]]
    lines = line_of(tape(events))

    assert replay(lines).is_same
    assert replay(lines, Today(BRIEF, STAMP, ASKS)).acts is not None


def test_what_has_changed_is_listed_by_name() -> None:
    (line,) = line_of(tape(ORDERED))
    stamp = replace(STAMP, prompt="p1", code="c1")
    brief = replace(BRIEF, limits=Limits(tool_rounds=4), tools={})

    assert changes(line, stamp, brief) == [
        "prompt: p0 -> p1",
        "code: c0 -> c1",
        "brief.tools.look_up: {'name': 'look_up', 'description': '... (201 characters) -> nothing",
        "brief.limits.tool_rounds: 5 -> 4",
    ]
    assert changes(line, STAMP, BRIEF) == []


def test_record_with_a_gap_is_played_up_to_it() -> None:
    store = MemoryStore()
    long = [*ORDERED[:1], *[ev.PlaybackReported(ev.Playback.CALLER_OFF, "x" * 20_000)] * 6]

    async def main() -> list[RecordedConnection]:
        await write(store, [tape([*long, *ORDERED[1:]])])
        items = await store.query("CA1")
        return read_chunks([items[0], *items[2:]])

    (line,) = run_virtually(main())

    assert line.is_torn
    assert line.end == ""
    assert 0 < len(line.steps) < 10
    assert replay([line]).is_same


def test_call_that_was_not_recorded_has_no_lines() -> None:
    """Nor has one whose beginning is lost."""
    store = MemoryStore()

    async def main() -> list[list[RecordedConnection]]:
        nothing = await read_record(store, "CA1")
        await write(store, [tape(ORDERED)])
        items = [{**item, "sk": "record::000000::000001"} for item in await store.query("CA1")]
        await asyncio.sleep(0)
        return [nothing, read_chunks(items)]

    assert run_virtually(main()) == [[], []]
