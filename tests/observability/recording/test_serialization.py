"""What is serialized is read back as it was; digests tell versions apart."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest

from agent.call import actions as act
from agent.call import events as ev
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
    digests,
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
    ev.ReplyFailed(1, ev.ReplyFault.THROTTLED, "bedrock: HTTP 429"),
    ev.TokensCounted(None, Usage(1, 2, 3, model="offline:")),
    ev.Summarized(1, "So far."),
    ev.SummaryFailed(1),
    ev.ToolFinished("a", act.ToolOutcome("{}")),
    ev.ToolFinished("a", act.ToolOutcome("{}", is_error=True, effect=act.HangUp())),
    ev.ToolFinished(
        "a", act.ToolOutcome("{}", effect=act.Handoff("wish", "so", {"size": "large"}))
    ),
    ev.ToolFinished("a", act.ToolOutcome("{}", effect=act.Play("https://example.com/a.mp3", 0))),
    ev.ToolFinished("a", act.ToolOutcome("{}", effect=act.SendDigits("1w2"))),
    ev.ToolFinished("a", act.ToolOutcome("{}", effect=act.SwitchLanguage("es-US"))),
    ev.TimerFired(Timer.IDLE, 7),
    ev.CallConfigChanged(CONFIG),
    ev.AllowanceSpent(of_call=True),
    ev.OperatorActed(ev.OperatorAct.SAY, "I look.", "anna"),
    ev.ServiceStopping(ev.ShutdownMode.AT_ONCE),
    ev.CallEnded(ev.EndReason.ERROR_RELAY),
]


def test_every_event_is_read_back_as_it_was() -> None:
    """Also tokens of an older record, without the model that answered."""
    raw = {"kind": "TokensCounted", "reply": 1, "usage": {"input": 1, "output": 2}}

    texts = [text_of(event_form(event)) for event in EVENTS]

    assert [event_from(json.loads(text)) for text in texts] == EVENTS
    assert not any("\n" in text for text in texts)
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    assert event_from(raw) == ev.TokensCounted(1, Usage(1, 2))


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


@pytest.mark.parametrize("end", [None, act.HangUp(), act.Handoff("wish", slots={"day": "Friday"})])
def test_beginning_is_read_back_as_it_was(end: act.HangUp | act.Handoff | None) -> None:
    facts: list[Fact] = [
        CallerSaid("12", InputMode.KEYPAD),
        AgentSaid("Hello", is_cut=True),
        ToolUsed(1, CALL),
        Note("The line broke."),
    ]
    resumption = Resumption(
        facts, ResumeCause.LOST, is_caller_cut_off=True, elapsed_ms=9, language="es", end=end
    )
    brief = CallConfig(tools=CONFIG.tools, keypad=CONFIG.keypad, limits=Limits(idle_ms=(1, 2, 3)))
    stamp = VersionStamp("pizza", 2)
    began = Beginning(brief, resumption, stamp, 1_772_733_600_000, {"From": "+1"}, {"a": [1]})

    assert beginning_from(json.loads(text_of(beginning_form(began)))) == began


def test_actions_are_written_without_what_is_known_already() -> None:
    """Messages as digests, speech as what was added, nothing false or None."""
    forms = ActionForms()
    asked = (Message(Role.CALLER, (Text("Two pizzas."),)),)

    record = '{{"kind":"Record","position":3,"fact":{{"kind":"AgentSaid",{}}}}}'
    [digest] = digests(asked)

    written = forms.write(
        [
            act.StartReply(2, asked, ForcedTool("order")),
            act.Speculate(3, asked),
            act.AdoptReply(3),
            act.RunTool(CALL, is_lasting=True),
            act.Speak(1, "One. "),
            act.Record(3, AgentSaid("One. ")),
            act.Record(3, AgentSaid("One. Two.")),
            act.Record(3, AgentSaid("One.", is_cut=True)),
        ]
    )

    assert [text_of(form) for form in written] == [
        f'{{"kind":"StartReply","reply":2,"choice":{{"name":"order"}},"messages":["{digest}"]}}',
        f'{{"kind":"Speculate","reply":3,"messages":["{digest}"]}}',
        '{"kind":"AdoptReply","reply":3}',
        '{"kind":"RunTool","call":{"id":"abc123def","name":"order","arguments":'
        '"{\\"size\\":\\"large\\"}"},"is_lasting":true}',
        '{"kind":"Speak","utterance":1,"text":"One. "}',
        record.format('"text":"One. ","voice":"model"'),
        record.format('"voice":"model","more":"Two."'),
        record.format('"text":"One.","voice":"model","is_cut":true'),
    ]


def test_number_that_is_zero_is_written() -> None:
    """Zero is a value, unlike false: a fact of reply 0 is read back."""
    play = act.Play("https://example.com/a.mp3", 0)
    facts: list[Recorded] = [ToolUsed(0, CALL), ToolUsed(0, CALL, ToolResult(CALL.id, "{}"))]

    *recorded, played = ActionForms().write([*(act.Record(3, fact) for fact in facts), play])

    assert [RECORDED.read(form["fact"]) for form in recorded] == facts
    assert played["loop"] == 0


SPEC = ToolSpec("look_up", "Looks.", "{}")


def test_digests_stay_what_they_are_and_tell_versions_apart() -> None:
    """Records and log lines of earlier versions are compared with those of this one."""
    others = [
        replace(SPEC, name="look"),
        replace(SPEC, description="Does."),
        replace(SPEC, parameters='{"type":"object"}'),
    ]

    found = [tools_digest(specs) for specs in [(), (SPEC,), *((each,) for each in others)]]

    assert len(set(found)) == len(found)
    assert found[1] == "762f090bc20d"
    assert prompt_digest("Be kind.") == "8c294dd9b20a"
    assert prompt_digest(["Be", {"kind": None}]) == "90480b5be6b7"
