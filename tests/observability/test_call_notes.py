"""What is told of a call to a person at a terminal or a page."""

from __future__ import annotations

from agent.call.actions import RunTool, Speak, StartReply, ToolOutcome
from agent.call.events import (
    CallerSpoke,
    Event,
    ReplyDelta,
    ReplyFailed,
    ReplyFault,
    ReplyFinished,
    TokensCounted,
    ToolFinished,
)
from agent.call.messages import ToolCall, Usage
from agent.observability.call_notes import (
    CallNotes,
    FaultNote,
    TokensNote,
    ToolNote,
    TurnNote,
)
from agent.observability.call_summary import ModelPrices, Prices
from agent.ports import ObservedStep

PRICES = Prices("USD", {"known": ModelPrices(input=1.0, output=2.0)})


def step(event: Event, at: float, *actions: object) -> ObservedStep:
    return ObservedStep(event, at, tuple((action, at) for action in actions))  # type: ignore[misc] # any action


def test_tool_is_told_when_it_begins_and_when_it_ends() -> None:
    notes, order = CallNotes(lambda: "known", PRICES), ToolCall("t1", "Order", '{"size": "large"}')

    notes.observe(step(CallerSpoke("yes", is_final=True), 1.0, StartReply(1, ())))
    began = notes.observe(step(ReplyFinished(1, (order,)), 2.0, RunTool(order)))
    ended = notes.observe(step(ToolFinished("t1", ToolOutcome("{}", is_error=True)), 2.5))

    assert began == [ToolNote("t1", "Order", '{"size": "large"}')]
    assert ended == [ToolNote("t1", "Order", '{"size": "large"}', 0.5, "{}", is_error=True)]
    assert notes.tools == 1


def test_turn_is_told_at_its_first_words_and_at_its_end_with_one_number() -> None:
    notes = CallNotes(lambda: "known", PRICES)

    notes.observe(step(CallerSpoke("a pizza", is_final=True), 1.0, StartReply(1, ())))
    first = notes.observe(step(ReplyDelta(1, "Sure."), 1.5, Speak(1, "Sure.")))
    notes.observe(step(ReplyFinished(1, ()), 2.0, Speak(1, "", is_last=True)))
    last = notes.observe(step(CallerSpoke("thanks", is_final=True), 9.0, StartReply(2, ())))

    turns = [note for note in (*first, *last) if isinstance(note, TurnNote)]
    assert [(turn.number, turn.words, turn.is_over) for turn in turns] == [
        (1, "a pizza", False), (1, "a pizza", True),
    ]  # fmt: skip
    assert (turns[0].response, turns[0].stages["model"]) == (0.5, 0.5)
    assert notes.turns == 1


def test_cost_is_known_only_if_every_model_has_a_price() -> None:
    notes = CallNotes(lambda: "known", PRICES)

    priced = notes.observe(step(TokensCounted(1, Usage(1000, 500)), 1.0))
    unpriced = notes.observe(step(TokensCounted(2, Usage(10, 5, cache_read=90, model="new")), 2.0))

    assert priced == [TokensNote(1000, 0, 500, 1500, 2.0, "USD")]
    assert unpriced == [TokensNote(100, 90, 5, 1605, None, "USD")]


def test_fault_of_a_model_is_told_with_what_to_do() -> None:
    notes = CallNotes(lambda: "known", PRICES)

    own = notes.observe(step(ReplyFailed(1, ReplyFault.TIMEOUT, "read timed out"), 1.0))
    [built_in] = notes.observe(step(ReplyFailed(1, ReplyFault.TIMEOUT, ""), 1.0))

    assert own == [FaultNote("read timed out")]
    assert isinstance(built_in, FaultNote)
    assert built_in.text.startswith("timeout. ")
