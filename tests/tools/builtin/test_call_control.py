"""The effects of transfer, end of call and change of language."""

from __future__ import annotations

import pytest

from agent.call.actions import (
    Effect,
    Handoff,
    HangUp,
    Hold,
    Play,
    RepeatLast,
    SendDigits,
    SkipTurn,
    SwitchLanguage,
)
from agent.call.caller_wishes import TRANSFER_ASKED
from agent.call.history import AgentSaid, CallerSaid, Fact, Note, ToolUsed
from agent.call.messages import ToolCall, ToolResult
from agent.call.turn import CALL_GOES_ON
from agent.store.memory import MemoryStore
from agent.tools import language_of, planned_end
from tests.tools.worlds import call_of, refused, run

DETAILS = ["order: two pizzas", " time : 4:30 PM", "wants a person", "name:", " ", ": Ada"]
SLOTS = {
    "order": "two pizzas", "time": "4:30 PM", "note 3": "wants a person", "note 4": "name",
    "note 6": "Ada",
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "handoff"),
    [
        ({"reason": "legal", "context": " Asked about a contract. "},
         Handoff("legal", "Asked about a contract.")),
        ({"reason": "r" * 900, "context": "c" * 9_000}, Handoff("r" * 200, "c" * 1_500)),
        ({"reason": " "}, Handoff("user-requested")),
        ({"reason": "legal", "details": DETAILS}, Handoff("legal", slots=SLOTS)),
        ({"reason": "legal", "details": [f"n{n}: {n}" for n in range(50)]},
         Handoff("legal", slots={f"n{n}": str(n) for n in range(10)})),
        ({"reason": "legal", "details": ["a: 1", "a: 2"]}, Handoff("legal", slots={"a": "2"})),
    ],
    ids=["summary", "long", "blank reason", "details", "ten details at most", "same detail twice"],
)  # fmt: skip
async def test_a_handoff_carries_reason_summary_and_details(
    arguments: dict[str, object], handoff: Handoff
) -> None:
    outcome = await run(call_of(MemoryStore()), "LiveAgentHandoffFunction", **arguments)

    assert outcome.effect == handoff
    assert not outcome.is_error


@pytest.mark.parametrize(
    ("tool", "arguments", "effect"),
    [
        ("SendDigitsFunction", {"digits": "1w2#"}, SendDigits("1w2#")),
        ("RepeatLastFunction", {}, RepeatLast()),
        ("HoldFunction", {}, Hold()),
        ("SkipTurnFunction", {}, SkipTurn()),
    ],
)
async def test_a_tool_acts_on_the_call(
    tool: str, arguments: dict[str, object], effect: Effect
) -> None:
    outcome = await run(call_of(MemoryStore()), tool, **arguments)

    assert outcome.effect == effect
    assert not outcome.is_error


async def test_an_audio_file_of_the_use_case_is_played() -> None:
    call = call_of(MemoryStore())

    outcome = await run(call, "PlayAudioFunction", audio="jingle")
    error = await refused(call, "PlayAudioFunction", audio="https://b.example/x.mp3")

    assert outcome.effect == Play("https://a.example/j.mp3", preemptible=False, lasts_ms=4_000)
    assert error == "There is no audio file 'https://b.example/x.mp3'. The files are: jingle."


@pytest.mark.parametrize("digits", ["", "12a", "1" * 41])
async def test_what_is_no_key_is_not_pressed(digits: str) -> None:
    error = await refused(call_of(MemoryStore()), "SendDigitsFunction", digits=digits)

    assert "digits" in error


async def test_the_agent_can_hang_up() -> None:
    outcome = await run(call_of(MemoryStore()), "EndCallFunction")

    assert outcome.effect == HangUp()


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("es-US", "es-US"), ("ES-es", "es-ES"), ("es", "es-US"), ("es-MX", "es-US"), ("en", "en-US")],
)
async def test_a_language_of_the_use_case_is_spoken(wanted: str, language: str) -> None:
    call = call_of(MemoryStore(), languages=("es-US", "es-ES"))

    outcome = await run(call, "SwitchLanguageFunction", language=wanted)

    assert outcome.effect == SwitchLanguage(language)


async def test_another_language_is_refused() -> None:
    call = call_of(MemoryStore(), languages=("es-US",))

    error = await refused(call, "SwitchLanguageFunction", language="de-DE")

    assert error == "This agent speaks only: en-US, es-US."


def test_the_language_of_a_call_is_the_one_it_switched_to_last() -> None:
    def switch(number: int, content: str | None, *, is_error: bool = False) -> ToolUsed:
        call = ToolCall(f"tool{number:05d}", "SwitchLanguageFunction", "{}")
        result = ToolResult(call.id, content, is_error) if content else None
        return ToolUsed(number, call, result)

    facts: list[Fact] = [
        CallerSaid("Hola."),
        switch(1, '{"language": "es-US"}'),
        switch(2, '{"language": "fr-FR"}', is_error=True),
        switch(3, "{}"),
        switch(4, "["),
        switch(5, None),
    ]

    assert language_of(facts) == "es-US"
    assert language_of(facts[:1]) == ""


def used(name: str, arguments: str = "{}", *, is_error: bool = False) -> ToolUsed:
    call = ToolCall("tool00001", name, arguments)
    return ToolUsed(1, call, ToolResult(call.id, "{}", is_error))


LEGAL = used("LiveAgentHandoffFunction", '{"reason": "legal", "details": ["day: Friday"]}')


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        ([CallerSaid("Bye."), used("EndCallFunction"), AgentSaid("Goodbye.")], HangUp()),
        ([LEGAL, AgentSaid("I am connecting you.")], Handoff("legal", slots={"day": "Friday"})),
        (
            [CallerSaid("Agent!"), Note(TRANSFER_ASKED), AgentSaid("Yes.")],
            Handoff("user-requested"),
        ),
        ([LEGAL, CallerSaid("Are you there?")], None),
        ([used("EndCallFunction"), Note(CALL_GOES_ON)], None),
        ([used("EndCallFunction", is_error=True)], None),
        ([used("LiveAgentHandoffFunction", "[")], None),
        ([ToolUsed(1, ToolCall("tool00001", "EndCallFunction", "{}")), used("look_up")], None),
        ([], None),
    ],
    ids=[
        "end",
        "transfer",
        "transfer that the caller asked for",
        "caller went on",
        "taken back",
        "failed",
        "broken",
        "no result",
        "none",
    ],
)
def test_planned_end_of_a_call_is_that_of_its_last_facts(
    facts: list[Fact], end: Handoff | HangUp | None
) -> None:
    assert planned_end(facts) == end
