"""What is serialized is read back as it was; digests tell versions apart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest

from agent.call import events as ev
from agent.call.actions import (
    Handoff,
    HangUp,
    Play,
    Record,
    RunTool,
    SendDigits,
    Speak,
    StartReply,
    SwitchLanguage,
    ToolOutcome,
)
from agent.call.config import CallConfig, Limits
from agent.call.events import Event
from agent.call.history import AgentSaid, CallerSaid, Fact, InputMode, Note, Recorded, ToolUsed
from agent.call.messages import (
    ForcedTool,
    Message,
    Role,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from agent.call.resumption import ResumeCause, Resumption
from agent.call.timers import Timer
from agent.observability.call_summary import VersionStamp
from agent.observability.recording.serialization import (
    RECORDED,
    ActionForms,
    Beginning,
    RecordError,
    beginning_form,
    beginning_from,
    event_form,
    event_from,
    prompt_digest,
    text_of,
    tools_digest,
)
from tests.call.world import CONFIG

CALL = ToolCall("abc123def", "order", '{"size":"large"}')
EVENTS: list[Event] = [
    ev.CallStarted(),
    ev.CallerSpoke("half a \ud83d character, and \u2028 a line", language="en-US"),
    ev.CallerInterrupted("Hello", None),
    ev.CallerPressed("#"),
    ev.PlaybackReported(ev.Playback.PLAYED, "Hello."),
    ev.ReplyDelta(1, "Sure"),
    ev.ReplyFinished(1, (CALL,), StopReason.TOOLS),
    ev.ReplyFailed(1, ev.ReplyFault.THROTTLED),
    ev.TokensCounted(None, Usage(1, 2, 3, model="offline:")),
    ev.Summarized(1, "So far."),
    ev.SummaryFailed(1),
    ev.ToolFinished("a", ToolOutcome("{}")),
    ev.ToolFinished("a", ToolOutcome("{}", is_error=True, effect=HangUp())),
    ev.ToolFinished("a", ToolOutcome("{}", effect=Handoff("wish", "so", {"size": "large"}))),
    ev.ToolFinished("a", ToolOutcome("{}", effect=Play("https://example.com/a.mp3", 0))),
    ev.ToolFinished("a", ToolOutcome("{}", effect=SendDigits("1w2"))),
    ev.ToolFinished("a", ToolOutcome("{}", effect=SwitchLanguage("es-US"))),
    ev.TimerFired(Timer.IDLE, 7),
    ev.CallConfigChanged(CONFIG),
    ev.AllowanceSpent(),
    ev.ServiceStopping(ev.ShutdownMode.AT_ONCE),
    ev.CallEnded(ev.EndReason.ERROR_RELAY),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_is_read_back_as_it_was(event: Event) -> None:
    text = text_of(event_form(event))

    assert text.encode()
    assert "\n" not in text
    assert event_from(json.loads(text)) == event


def test_tokens_of_an_older_record_are_those_of_the_model_that_was_asked() -> None:
    raw = {"kind": "TokensCounted", "reply": 1, "usage": {"input": 1, "output": 2}}

    assert event_from(raw) == ev.TokensCounted(1, Usage(1, 2))


def test_every_event_is_tried() -> None:
    """An event that is added and forgotten here is found."""
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"kind": "CallerDanced"},
        {"kind": "CallerSpoke"},
        {"kind": "ToolFinished", "call_id": "a", "outcome": {"effect": {"kind": "Boom"}}},
    ],
)
def test_what_is_no_event_is_told_without_its_words(raw: object) -> None:
    """A record of another version names the kind that is missing here."""
    with pytest.raises(RecordError, match=r"^record: [a-zA-Z ]+(: [A-Za-z]+)?$"):
        event_from(raw)


def test_beginning_is_read_back_as_it_was() -> None:
    facts: list[Fact] = [
        CallerSaid("12", InputMode.KEYPAD),
        AgentSaid("Hello", is_cut=True),
        ToolUsed(1, CALL),
        Note("The line broke."),
    ]
    resumption = Resumption(
        facts, ResumeCause.LOST, is_caller_cut_off=True, elapsed_ms=9, language="es"
    )
    brief = CallConfig(tools=CONFIG.tools, keypad=CONFIG.keypad, limits=Limits(idle_ms=(1, 2, 3)))
    stamp = VersionStamp("pizza", 2)
    began = Beginning(brief, resumption, stamp, 1_772_733_600_000, {"From": "+1"})

    assert beginning_from(json.loads(text_of(beginning_form(began)))) == began


def test_actions_are_written_without_what_is_known_already() -> None:
    """Messages as digests, speech as what was added, nothing false or None."""
    forms = ActionForms()
    asked = (Message(Role.CALLER, (Text("Two pizzas."),)),)

    written = forms.write(
        [
            StartReply(2, asked, ForcedTool("order")),
            RunTool(CALL, is_lasting=True),
            Speak(1, "One. "),
            Record(3, AgentSaid("One. ")),
            Record(3, AgentSaid("One. Two.")),
            Record(3, AgentSaid("One.", is_cut=True)),
        ]
    )

    assert written == [
        {
            "kind": "StartReply",
            "reply": 2,
            "choice": {"name": "order"},
            "messages": [written[0]["messages"][0]],  # type: ignore[index]  # a list of one text
        },
        {
            "kind": "RunTool",
            "call": {"id": "abc123def", "name": "order", "arguments": '{"size":"large"}'},
            "is_lasting": True,
            "standing": {"position": 0, "answered": -1},
        },
        {"kind": "Speak", "utterance": 1, "text": "One. "},
        {
            "kind": "Record",
            "position": 3,
            "fact": {"kind": "AgentSaid", "text": "One. ", "voice": "model"},
        },
        {
            "kind": "Record",
            "position": 3,
            "fact": {"kind": "AgentSaid", "voice": "model", "more": "Two."},
        },
        {
            "kind": "Record",
            "position": 3,
            "fact": {"kind": "AgentSaid", "text": "One.", "voice": "model", "is_cut": True},
        },
    ]


@pytest.mark.parametrize("fact", [ToolUsed(0, CALL), ToolUsed(0, CALL, ToolResult(CALL.id, "{}"))])
def test_number_that_is_zero_is_written(fact: Recorded) -> None:
    """Zero is a value, unlike false: a fact of reply 0 is read back."""
    recorded, play = ActionForms().write([Record(3, fact), Play("https://example.com/a.mp3", 0)])

    assert RECORDED.read(recorded["fact"]) == fact
    assert play["loop"] == 0


SPEC = ToolSpec("look_up", "Looks.", "{}")


def test_digests_stay_what_they_are() -> None:
    """Records and log lines of earlier versions are compared with those of this one."""
    assert prompt_digest("Be kind.") == "8c294dd9b20a"
    assert prompt_digest(["Be", {"kind": None}]) == "90480b5be6b7"
    assert tools_digest((SPEC,)) == "762f090bc20d"


def test_digests_tell_versions_apart() -> None:
    others = [
        replace(SPEC, name="look"),
        replace(SPEC, description="Does."),
        replace(SPEC, parameters='{"type":"object"}'),
    ]

    found = [tools_digest(specs) for specs in [(), (SPEC,), *((each,) for each in others)]]

    assert len(set(found)) == len(found)
    assert prompt_digest("Be kind.") != prompt_digest("Be brief.")
