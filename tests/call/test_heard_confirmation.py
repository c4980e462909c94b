"""A tool that commits runs only after a read-back that was heard and agreed to."""

from __future__ import annotations

import json

import pytest

from agent.call.heard_confirmation import (
    NOT_AGREED,
    NOT_HEARD,
    NOT_NAMED,
    agrees,
    exchange_before,
    fault_of,
)
from agent.call.history import AgentSaid, CallerSaid, Fact, History, SpeechSource, ToolUsed
from agent.call.messages import SideEffect, ToolCall, ToolResult, ToolSpec

BOOK = ToolSpec(
    "book",
    "Books.",
    '{"type":"object"}',
    SideEffect.ONCE,
    needs_heard_confirmation=True,
    read_back=("date", "time", "seats", "name"),
)
READ_BACK = AgentSaid(
    "A table for four on Friday, March sixth at half past seven. Shall I book it?"
)
YES = CallerSaid("yes please")
TABLE = {"date": "2026-03-06", "time": "7:30 PM", "seats": 4, "note": "by the window"}
MORE = AgentSaid("It is by the window. Anything else?")


def fault(*facts: Fact, language: str = "en-US", arguments: object = TABLE) -> str:
    """Why the table is not booked after these facts."""
    history = History(facts)
    call = ToolCall("tool00009", "book", json.dumps(arguments))
    exchange = exchange_before(history, len(history), None, language, "en-US")
    return fault_of(BOOK, call, exchange, list(history.tool_runs()))


def used(result: str | None, *, is_error: bool = False, arguments: object = TABLE) -> ToolUsed:
    """The same tool, called before."""
    call = ToolCall("tool00001", "book", json.dumps(arguments))
    return ToolUsed(1, call, None if result is None else ToolResult(call.id, result, is_error))


def service(text: str) -> AgentSaid:
    """A sentence of the use case."""
    return AgentSaid(text, SpeechSource.SERVICE)


@pytest.mark.parametrize(
    "facts",
    [
        (READ_BACK, YES),
        (READ_BACK, CallerSaid("no, that's right, book it")),
        (READ_BACK, CallerSaid("1")),
        (READ_BACK, CallerSaid("is there parking?"), AgentSaid("Yes. Shall I book it?"), YES),
        (READ_BACK, CallerSaid("hold on"), service("Of course, take your time."), YES),
        (READ_BACK, service("Are you still there? Shall I book it?"), YES),
        (READ_BACK, YES, service("I am sorry. Could you say that again?"), YES),
        (READ_BACK, used("{}", is_error=True), YES),
        (READ_BACK, YES, used('{"error":"down"}', is_error=True)),
    ],
)
def test_a_yes_to_what_was_read_back_is_enough(facts: tuple[Fact, ...]) -> None:
    assert fault(*facts) == ""


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((), NOT_AGREED),
        ((CallerSaid("a table for four on March 6th at 7:30, yes, book it"),), NOT_AGREED),
        ((READ_BACK,), NOT_AGREED),
        ((AgentSaid(READ_BACK.text, is_cut=True), YES), NOT_HEARD),
        ((READ_BACK, CallerSaid("No.")), NOT_AGREED),
        ((READ_BACK, CallerSaid("yes, no wait, at eight")), NOT_AGREED),
        ((READ_BACK, CallerSaid("what does it cost")), NOT_AGREED),
        ((READ_BACK, CallerSaid("hold on")), NOT_AGREED),
        ((READ_BACK, service("Are you still there?"), YES), NOT_AGREED),
        ((READ_BACK, YES, used("{}"), CallerSaid("thanks")), NOT_AGREED),
        ((READ_BACK, YES, used(None)), NOT_AGREED),
        (
            (READ_BACK, CallerSaid("for two people"), MORE, YES),
            NOT_NAMED.format("date, time, seats"),
        ),
        ((AgentSaid("A table for two on Friday at 7:30. OK?"), YES), NOT_NAMED.format("seats")),
        ((AgentSaid("A table for four on Friday at eight. OK?"), YES), NOT_NAMED.format("time")),
        ((AgentSaid("Four on Monday the 9th at 7:30?"), YES), NOT_NAMED.format("date")),
        ((AgentSaid("Four on Friday at 7:30 PM."), YES), NOT_AGREED),
    ],
)
def test_anything_less_is_refused_with_the_reason(facts: tuple[Fact, ...], expected: str) -> None:
    assert fault(*facts) == expected


@pytest.mark.parametrize(
    ("language", "read_back", "answer"),
    [
        ("es-US", "Una mesa para cuatro el viernes a las siete y media. ¿La reservo?", "sí, claro"),
        ("de-DE", "Ein Tisch für vier am Freitag um halb acht. Soll ich buchen?", "ja gerne"),
        ("fr-FR", "Une table pour quatre vendredi à sept heures trente. C'est bon ?", "oui"),
        ("it-IT", "Un tavolo per quattro il 6 marzo alle 7:30. Va bene?", "certo"),
    ],
)
def test_other_languages_are_compared_by_numbers_times_and_days(
    language: str, read_back: str, answer: str
) -> None:
    spoken = {**TABLE, "name": "large window table"}

    heard = fault(AgentSaid(read_back), CallerSaid(answer), language=language, arguments=spoken)
    other = fault(
        AgentSaid(read_back), CallerSaid(answer), language=language, arguments={"seats": 23}
    )

    assert heard == ""
    assert other == NOT_NAMED.format("seats")


def test_other_words_for_the_same_are_agreed_to_at_the_second_read_back() -> None:
    spoken = {**TABLE, "name": "Riverside Terrace"}
    again = AgentSaid("So four outside by the water, Friday at 7:30. Shall I?")

    first = fault(READ_BACK, YES, arguments=spoken)
    refused = used("{}", is_error=True, arguments=spoken)
    second = fault(READ_BACK, YES, refused, again, YES, arguments=spoken)
    other = fault(READ_BACK, YES, refused, again, YES, arguments={**spoken, "name": "Garden"})

    assert first == NOT_NAMED.format("name")
    assert second == ""
    assert other == NOT_NAMED.format("name")


@pytest.mark.parametrize(
    ("language", "answer", "expected"),
    [
        ("en-US", "sounds good", True),
        ("en-US", "nothing else, go ahead", True),
        ("en-US", "make it a large one", False),
        ("en-US", "I will wait for it", True),
        ("es-ES", "no, está mal", False),
        ("es-ES", "sí, pero cambie la hora", False),
        ("de-DE", "nein", False),
        ("de-DE", "ja, aber lieber um neun", False),
        ("fr-FR", "non, c'est bon", True),
        ("fr-FR", "attendez", False),
        ("ja-JP", "はい", True),
    ],
)
def test_what_a_caller_says_agrees_or_not(language: str, answer: str, *, expected: bool) -> None:
    assert agrees([answer], language) is expected
