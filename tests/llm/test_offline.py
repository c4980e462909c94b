"""The engine of the offline model, on scripts small enough to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.call.history import (
    CALL_BEGINS,
    CALLER_WAITS,
    CUT_OFF,
    KEYS_PRESSED,
    STILL_RUNNING,
    SUMMARY,
)
from agent.call.messages import (
    Choice,
    ForcedTool,
    Message,
    Part,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolSpec,
    Usage,
)
from agent.call.resumption import BROKEN_OFF
from agent.call.summarization import SUMMARIZE
from agent.errors import UseCaseError
from agent.llm import NO_SCRIPT, OFFLINE_NOTICE, OfflineModel
from tests.llm import contract
from tests.llm.scripts import SHIPPED, SYSTEM, script

LAMPS: Mapping[str, object] = {
    "vocabularies": {
        "lamps": [
            {"value": "desk lamp", "needs": ["color"], "takes": ["extras"], "price": 20},
            {
                "value": "floor lamp",
                "spoken": "tall lamp",
                "about": "for reading",
                "needs": ["color"],
                "takes": ["extras"],
                "price": {"red": 30, "blue": 35.5},
            },
            {"value": "candles", "price": 2},
            {"value": "dimmer", "price": 9},
        ],
        "colors": [{"value": "red", "heard": ["crimson"]}, {"value": "blue"}],
        "extras": [{"value": "dimmer", "price": 5}, {"value": "timer", "price": 3}],
    },
    "lines": {
        "basket": {
            "head": "lamps",
            "one": {"color": "colors"},
            "many": {"extras": "extras"},
            "markers": {
                "add": ["add"],
                "remove": ["remove"],
                "without": ["without"],
                "with": ["with"],
                "change": ["make"],
                "onto": ["to the"],
                "all": ["both"],
            },
            "accepts": ["sure"],
            "frozenWhen": ["called.Buy"],
        }
    },
    "intents": {"no": ["^no"], "dump": ["what do i have"]},
    "slots": {
        "shape": {"kind": "vocabulary", "vocabulary": "lamps"},
        "day": {"kind": "date"},
        "hour": {"kind": "time", "answers": ["hour"]},
        "limit": {
            "kind": "number",
            "pattern": ["below (\\d+(?:\\.\\d+)?)"],
            "answers": ["limit"],
            "answer": ["\\d+"],
            "unless": ["intent.no"],
        },
        "pick": {"kind": "listed", "listed": "choices", "answers": ["pick"]},
    },
    "prompt": {"choices": "(?m)^(?P<number>\\d)\\. (?P<name>\\w+)"},
    "questions": {
        "hour": ["At what time?"],
        "limit": ["Up to how much?"],
        "pick": ["Which one?", "Which of these?"],
        "sure": ["Are you sure?"],
    },
    "phrases": {"line": "{quantity} [{color} ]{name}[ and {extras|and}][ no {leftOut|or}]"},
    "calls": {
        "Buy": {
            "lines": {"each": "basket.lines", "as": {"what": "{item}", "sum": "{amount}"}},
            "note": "[until {slot.day}]",
            "fixed": ["{basket.count}", 7, None],
        },
        "Look": {},
    },
    "updates": [
        {"hears": ["empty it"], "clear": ["basket", "mood"]},
        {"hears": ["cheerful"], "set": {"mood": "good"}},
    ],
    "rules": [
        {"when": ["tool = Look", "result.text"], "say": "It says {result.text}."},
        {"when": ["tool = Look", "running"], "say": "Still looking."},
        {"hears": ["buy"], "say": "Buying.", "call": "Buy"},
        {"hears": ["look"], "call": "Look"},
        {"hears": ["which"], "say": "{question.pick}"},
        {"hears": ["until"], "say": "{question.hour}"},
        {"hears": ["limit"], "say": "{question.limit}"},
        {"hears": ["certain"], "say": "{question.sure}"},
        {"when": ["fresh.pick"], "say": "You took {slot.pick.name|lower}."},
        {"when": ["fresh.hour"], "say": "At {slot.hour}, {slot.day|day}."},
        {"when": ["slot.limit > 99"], "say": "Rich: {slot.limit|money}."},
        {"when": ["slot.limit < 10", "slot.limit != 5"], "say": "Poor: {slot.limit|money}."},
        {"when": ["fresh.day"], "say": "On {slot.day|day}."},
        {"when": ["slot.mood = GOOD"], "say": "[{slot.nothing}]{slot.mood|title} [mood]"},
        {"when": ["basket.removed"], "say": "Gone: {basket.removed|each line}."},
        {"when": ["basket.count"], "say": "{basket.lines|each line}: {basket.total|money}."},
        {"when": ["intent.dump"], "say": "Nothing[ {keys|digits}][ {basket.lines|first 1|or}]."},
        {"when": ["begins", "not heard"], "say": "Welcome."},
    ],
    "fallback": ["What?", "Pardon?"],
    "trouble": ["Broken."],
    "done": ["Done."],
}
LAMPS["updates"].append({"when": ["not slot.nothing"], "set": {"nothing": ""}})  # type: ignore[attr-defined]  # JSON
TOOLS = tuple(ToolSpec(name, "A tool.", '{"type":"object"}') for name in ("Buy", "Look"))
PROMPT = "It is March 05, 2026 at 6:40 PM.\n1. Apple\n2. Banana\n"


def caller(*parts: str | Part) -> Message:
    return Message(Role.CALLER, tuple(Text(p) if isinstance(p, str) else p for p in parts))


def agent(*parts: str | Part) -> Message:
    return Message(Role.AGENT, tuple(Text(p) if isinstance(p, str) else p for p in parts))


def asking(
    *messages: Message,
    tools: tuple[ToolSpec, ...] = TOOLS,
    choice: ToolChoice = Choice.AUTO,
    system: str = PROMPT,
) -> ReplyRequest:
    return ReplyRequest(system, messages, tools, choice)


def lamps(**changes: object) -> str:
    return json.dumps({**LAMPS, **changes})


async def words(*messages: Message) -> str:
    """What the lamp shop says."""
    pieces = await contract.pieces_of(OfflineModel(lamps()), asking(*messages))
    return contract.said(pieces)


@pytest.mark.parametrize(
    ("spoken", "answer"),
    [
        ("a red desk lamp", "1 red desk lamp: $20."),
        ("two crimson desk lamps and candles", "2 red desk lamps and 1 candles: $42."),
        ("two, no, three blue floor lamps", "3 blue tall lamps: $106.50."),
        ("red floor lamp with dimmer and timer", "1 red tall lamp and dimmer and timer: $38."),
        ("a dimmer", "1 dimmer: $9."),
        ("desk lamp blue with dimmer, a dimmer", "1 blue desk lamp and dimmer and 1 dimmer: $34."),
        ("a timer red desk lamp", "1 red desk lamp and timer: $23."),
        ("red desk lamp without timer", "1 red desk lamp no timer: $20."),
        ("red desk lamp without timer with dimmer", "1 red desk lamp and dimmer no timer: $25."),
        ("red desk lamp without timer candles", "1 red desk lamp no timer and 1 candles: $22."),
        ("desk lamp desk lamp red", "1 red desk lamp: $20."),
        ("desk lamp and floor lamp both red", "1 desk lamp and 1 red tall lamp: $50."),
        ("red desk lamp red floor lamp timer to the desk lamp",
         "1 red desk lamp and timer and 1 red tall lamp: $53."),
        ("a candles with timer", "1 candles: $2."),
        ("make candles", "1 candles: $2."),
        ("remove candles", "What?"),
    ],
)  # fmt: skip
async def test_lines_are_read_from_one_utterance(spoken: str, answer: str) -> None:
    """Quantities, modifiers and heads attach as the rules of `dictation` say."""
    assert await words(caller(spoken)) == answer


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("a desk lamp", "red", "1 red desk lamp: $20."),
        ("a desk lamp", "red, sorry, blue", "1 blue desk lamp: $20."),
        ("a desk lamp", "a red desk lamp", "1 red desk lamp: $20."),
        ("a desk lamp and a floor lamp", "both blue",
         "1 blue desk lamp and 1 blue tall lamp: $55.50."),
        ("red", "a desk lamp", "1 red desk lamp: $20."),
        ("timer", "a red desk lamp", "1 red desk lamp and timer: $23."),
        ("a red desk lamp", "add a dimmer", "1 red desk lamp and 1 dimmer: $29."),
        ("a red desk lamp", "add dimmer", "1 red desk lamp and dimmer: $25."),
        ("a red desk lamp", "make it blue", "1 blue desk lamp: $20."),
        ("a red desk lamp", "make that two", "2 red desk lamps: $40."),
        ("a red desk lamp", "make it a floor lamp", "1 red tall lamp: $30."),
        ("a red desk lamp", "make the desk lamp candles", "1 candles: $2."),
        ("a red desk lamp with timer", "make the desk lamp to a floor lamp",
         "1 red tall lamp and timer: $33."),
        ("candles", "make it blue", "1 candles: $2."),
        ("a red desk lamp", "make the desk lamp blue", "1 blue desk lamp: $20."),
        ("3 candles", "remove 1 candles", "2 candles: $4."),
        ("3 candles", "remove the candles", "Gone: 3 candles."),
        ("a red desk lamp and candles", "remove the candles", "Gone: 1 candles."),
        ("a red desk lamp with dimmer", "remove the dimmer", "1 red desk lamp: $20."),
        ("a red desk lamp and a dimmer", "remove the dimmer", "Gone: 1 dimmer."),
        ("red desk lamp, red floor lamp", "without timer to the desk lamp",
         "1 red desk lamp no timer and 1 red tall lamp: $50."),
        ("candles", "without timer", "1 candles: $2."),
        ("a desk lamp", "red, remove the desk lamp, blue", "Gone: 1 desk lamp."),
        ("candles", "timer and candles", "1 candles and 1 candles: $4."),
        ("red desk lamp", "timer and blue", "1 red desk lamp and timer: $23."),
        ("3 candles", "empty it, no, cheerful", "Good mood"),
    ],
)  # fmt: skip
async def test_lines_are_completed_and_corrected_later(
    first: str, second: str, answer: str
) -> None:
    """A later utterance means the lines that are there."""
    assert await words(caller(first), agent("Fine."), caller(second)) == answer


async def test_line_said_again_while_confirming_is_not_added_twice() -> None:
    """Callers repeat what they agree to; "add" makes it another one."""
    start = (caller("a red desk lamp"), agent("Are you sure?"))

    assert await words(*start, caller("yes a red desk lamp")) == "1 red desk lamp: $20."
    assert (
        await words(*start, caller("add a red desk lamp"))
        == "1 red desk lamp and 1 red desk lamp: $40."
    )


AGAIN: Mapping[str, object] = {
    "updates": [{"when": ["tool = Look"], "read": {"basket": "{result.past}"}}],
    "rules": [
        {"hears": ["look"], "call": "Look"},
        {
            "when": ["tool = Look"],
            "say": "[New: {basket.added|each line}. ][No {basket.unread|or}. ]"
            "[All: {basket.lines|each line}.]",
        },
        {"when": ["basket.changed"], "say": "[New: {basket.added|each line}. ]"},
        {"when": ["not basket.unread"], "say": "Still {basket.count}."},
    ],
}


@pytest.mark.parametrize(
    ("before", "past", "answer"),
    [
        ("look", ["2 Red desk lamp (with timer)", "candles"],
         "New: 2 red desk lamps and timer and 1 candles. "
         "All: 2 red desk lamps and timer and 1 candles."),
        ("look", ["candles", "candles"], "New: 1 candles and 1 candles. "
         "All: 1 candles and 1 candles."),
        ("look", ["red sofa", "desk lamp"], "New: 1 desk lamp. No red sofa. All: 1 desk lamp."),
        ("a desk lamp, look", ["red desk lamp"],
         "New: 1 red desk lamp. All: 1 desk lamp and 1 red desk lamp."),
        ("candles, look", ["sofa"], "No sofa. All: 1 candles."),
        ("candles, look", "red desk lamp", "All: 1 candles."),
        ("candles, look", [{"what": "red desk lamp"}, None], "All: 1 candles."),
    ],
)  # fmt: skip
async def test_lines_of_a_tool_are_read_as_if_the_caller_had_said_them(
    before: str, past: object, answer: str
) -> None:
    """Each text for itself; what no line comes of is known, and leaves nothing behind."""
    model = OfflineModel(lamps(**AGAIN))
    messages = (
        caller(before),
        agent(ToolCall("a", "Look", "{}")),
        caller(ToolResult("a", json.dumps({"past": past}))),
    )

    pieces = await contract.pieces_of(model, asking(*messages))

    assert contract.said(pieces).strip() == answer


async def test_what_was_read_stays_and_is_new_once() -> None:
    """On the next turn it is part of the list."""
    model = OfflineModel(lamps(**AGAIN))
    messages = (
        caller("look"),
        agent(ToolCall("a", "Look", "{}")),
        caller(ToolResult("a", '{"past": ["red desk lamp", "sofa"]}')),
        agent("Fine."),
        caller("hello"),
    )

    pieces = await contract.pieces_of(model, asking(*messages))

    assert contract.said(pieces) == "Still 1."


async def test_list_that_is_frozen_does_not_change() -> None:
    """What was bought is bought."""
    bought = (
        caller("candles please buy"),
        agent(ToolCall("1", "Buy", '{"a":1}')),
        caller(ToolResult("1", '{"ok":true}')),
        agent("Done."),
    )

    assert await words(*bought, caller("candles")) == "1 candles: $2."


async def test_call_has_typed_arguments_and_leaves_out_what_is_unknown() -> None:
    """A template that is one field keeps the type of its value."""
    model = OfflineModel(lamps())

    pieces = await contract.pieces_of(model, asking(caller("buy two red desk lamps")))
    dated = await contract.pieces_of(model, asking(caller("buy candles tomorrow")))

    assert contract.said(pieces) == "Buying."
    assert contract.calls(pieces) == [
        ("Buy", {"lines": [{"what": "desk lamp", "sum": 40.0}], "fixed": [1, 7, None]})
    ]
    assert contract.calls(dated)[0][1]["note"] == "until 2026-03-06"


async def test_question_gives_a_bare_answer_its_meaning() -> None:
    """Right after the question "three" is a time, a number or a choice."""
    hour = (agent("At what time?"), caller("monday at three"))
    bare = (agent("At what time?"), caller("three"))

    assert await words(*hour) == "At 3:00 PM, Monday, March 9."
    assert await words(*bare) == "At 3:00 PM, ."
    assert await words(agent("Up to how much?"), caller("500")) == "Rich: $500."
    assert await words(agent("Up to how much?"), caller("no 500")) == "What?"
    assert await words(agent("Hm."), caller("below 7.5")) == "Poor: $7.50."
    assert await words(agent("Hm."), caller("below 5")) == "What?"
    assert await words(agent("Which one?"), caller("the second")) == "You took banana."
    assert await words(agent("Which one?"), caller("apple please")) == "You took apple."
    assert await words(agent("Which one?"), caller("9")) == "What?"
    assert await words(agent("Which one?"), caller("pear")) == "What?"


async def test_question_that_was_cut_off_was_not_asked() -> None:
    """Only what was heard to its end counts."""
    assert await words(agent("Which"), caller(f"{CUT_OFF} 2")) == "What?"


async def test_last_question_of_a_text_counts() -> None:
    """A service sentence after or between them changes nothing."""
    heard = "At what time? Up to how much? Are you still there?"

    assert await words(agent(heard), caller("500")) == "Rich: $500."


async def test_wordings_are_not_repeated_while_there_are_others() -> None:
    """Questions and fallbacks vary; after the last one they go round."""
    one = (caller("which"), agent("Which one?"))
    two = (*one, caller("which"), agent("Which of these?"))
    lost = (caller("hm"), agent("What?"))

    assert await words(*one, caller("which")) == "Which of these?"
    assert await words(*two, caller("which")) in {"Which one?", "Which of these?"}
    assert await words(*lost, caller("hm")) == "Pardon?"


async def test_keys_are_read_as_digits() -> None:
    """A key answers a question as the spoken number does."""
    pressed = KEYS_PRESSED.format("2")

    assert await words(agent("Which one?"), caller(pressed)) == "You took banana."
    assert await words(caller(f"{KEYS_PRESSED.format('12')} what do i have")) == "Nothing 1 2."


async def test_notes_are_not_the_callers_words() -> None:
    """Square brackets hold what nobody said."""
    assert await words(caller(CALL_BEGINS)) == "Welcome."
    assert await words(caller(CALLER_WAITS)) == "Welcome."
    assert await words(caller("[Buy [now] candles]"), agent("x"), caller("hm")) == "What?"


LOOKED = (caller("look"), agent(ToolCall("1", "Look", "{}")))


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (ToolResult("1", '{"text":"rain"}'), "It says rain."),
        (ToolResult("1", '{"text":["a",2,1.5,true,{}]}'), "It says a, 2, 1.5 and yes."),
        (ToolResult("1", STILL_RUNNING), "Still looking."),
        (ToolResult("1", '{"error":"x"}', is_error=True), "Broken."),
        (ToolResult("1", "not json"), "Done."),
        (ToolResult("1", "[1]"), "Done."),
        (ToolResult("unknown", '{"text":"rain"}'), "Welcome."),
    ],
)
async def test_tool_result_becomes_a_sentence(result: ToolResult, answer: str) -> None:
    """By a rule, or by what is always true; a broken result does no harm."""
    assert await words(*LOOKED, caller(result)) == answer


async def test_late_failure_in_a_note_is_told_as_one() -> None:
    """An error is an error, also when it comes late."""
    late = '[Look has finished meanwhile, with this result: {"error":"x"} Tell the caller.]'

    heard = await words(
        *LOOKED, caller(ToolResult("1", STILL_RUNNING)), agent("Still looking."), caller(late)
    )

    assert heard == "Broken."


async def test_text_dictated_by_a_note_is_said() -> None:
    """A key with a fixed answer is spoken by the model, once."""
    note = "[Answer with this text, in the caller's language: We close: at nine.]"
    pressed = caller(KEYS_PRESSED.format("2"), note)

    assert await words(pressed) == "We close: at nine."
    assert await words(pressed, agent("We close: at nine."), caller("hm")) == "What?"


async def test_request_without_new_words_does_not_act_on_old_ones() -> None:
    """When the caller waits, what they said is answered, and not done twice."""
    asked = asking(
        caller("look"),
        agent(ToolCall("1", "Look", "{}")),
        caller(ToolResult("1", "{}")),
        agent("Done."),
        caller(CALLER_WAITS),
    )

    pieces = await contract.pieces_of(OfflineModel(lamps()), asked)

    assert contract.calls(pieces) == []
    assert contract.said(pieces) == "Done."


async def test_line_that_broke_leaves_to_answer_what_was_to_be_answered() -> None:
    """Whatever was said about the break, the caller's words and a tool's result still count."""
    broken = agent("I am sorry, the line broke off for a moment.")

    after_words = await words(caller("look"), broken, caller(f"[{BROKEN_OFF}]"))
    after_result = await words(
        *LOOKED, caller(ToolResult("1", '{"text":"rain"}')), broken, caller(CALLER_WAITS)
    )

    assert after_words == await words(caller("look"))
    assert after_result == "It says rain."


async def test_late_result_in_a_note_is_told() -> None:
    """A result that came after the conversation went on is spoken all the same."""
    late = '[The tool Look has finished: {"text":"rain","list":[1]}]'

    heard = await words(
        *LOOKED, caller(ToolResult("1", STILL_RUNNING)), agent("Still looking."), caller(late)
    )

    assert heard == "It says rain."


async def test_tool_is_not_called_again_before_the_caller_speaks() -> None:
    """A rule that still holds after its own result would never end."""
    asked = asking(*LOOKED, caller(ToolResult("1", "{}"), "look"))

    pieces = await contract.pieces_of(OfflineModel(lamps()), asked)

    assert contract.calls(pieces) == []


async def test_forced_tool_without_known_arguments_gets_an_empty_object() -> None:
    """Also a tool the script does not know."""
    other = ToolSpec("Other", "A tool.", "{}")
    asked = asking(caller("hi"), tools=(other,), choice=ForcedTool("Other"))
    unoffered = asking(caller("hi"), tools=(), choice=ForcedTool("Other"))

    pieces = await contract.pieces_of(OfflineModel(lamps()), asked)
    plain = await contract.pieces_of(OfflineModel(lamps()), unoffered)

    assert contract.calls(pieces) == [("Other", {})]
    assert contract.said(plain) == "What?"


@pytest.mark.parametrize(
    ("say", "answer"),
    [
        ("{result.text|money}", "$1,250"),
        ("{result.word|money}, {result.word|day}", "soon, soon"),
        ("{result.list|or}, {result.list.count}, {result.list.first}", "a or b, 2, a"),
        ("{result.word|or}, {result.word.more}{result.first}", "soon, 1250"),
        ("{result.word|first 1|title}{result.huge}{result.list|number}", "Soon"),
        ("{result.text|number}", "1250"),
        ("{result.nothing.first}.", "."),
    ],
)
async def test_filters_speak_any_value(say: str, answer: str) -> None:
    """A value of the wrong kind is spoken as it is, or left out."""
    rules = [{"when": ["tool = Look"], "say": say}]
    value = {"text": 1250, "word": "soon", "list": ["a", "b"], "huge": 1e300, "nothing": {}}
    asked = asking(*LOOKED, caller(ToolResult("1", json.dumps(value))))

    pieces = await contract.pieces_of(OfflineModel(lamps(rules=rules)), asked)

    assert contract.said(pieces) == answer


@pytest.mark.parametrize("condition", ["result.word > 3", "result.word < 3", "result.list = c"])
async def test_comparison_of_what_cannot_be_compared_does_not_hold(condition: str) -> None:
    """Words are no numbers."""
    rules = [{"when": ["tool = Look", condition], "say": "Yes."}]
    asked = asking(*LOOKED, caller(ToolResult("1", '{"word":"soon","list":["a"]}')))

    pieces = await contract.pieces_of(OfflineModel(lamps(rules=rules)), asked)

    assert contract.said(pieces) == "Done."


async def test_day_comes_from_the_prompt_or_else_from_outside() -> None:
    """Without either, a relative day means nothing."""
    asked = asking(caller("tomorrow"), system="No date, but February 31, 2026.")

    known = await contract.pieces_of(OfflineModel(lamps(), today=date(2026, 5, 1)), asked)
    unknown = await contract.pieces_of(OfflineModel(lamps()), asked)

    assert contract.said(known) == "On Saturday, May 2."
    assert contract.said(unknown) == "What?"


async def test_words_are_counted_as_tokens() -> None:
    """Usage is honest about what it counts."""
    asked = asking(*LOOKED, caller(ToolResult("1", '{"text": "so so"}')), system="Be kind.")

    pieces = await contract.pieces_of(OfflineModel(lamps()), asked)

    assert pieces[-1] == Usage(input=7, output=4)


async def test_pause_between_pieces_can_be_set() -> None:
    """The pieces are the same at any pace."""
    slow = OfflineModel(lamps(), seconds_per_piece=0.0001, name="slow")

    pieces = await contract.pieces_of(slow, asking(caller("hm")))

    assert contract.said(pieces) == "What?"
    assert slow.name == "slow"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"rules": 1}, "rules: "),
        ({"nonsense": 1}, "script: "),
        ({"fallback": []}, "fallback: "),
        ({"done": [" "]}, "done: "),
        ({"rules": [{"say": ""}]}, "rules[0]: "),
        ({"rules": [{"call": "No"}]}, "rules[0].call: "),
        ({"rules": [{"say": "{"}]}, "rules[0].say: "),
        ({"rules": [{"say": "{slot.no}"}]}, "rules[0].say: "),
        ({"rules": [{"say": "{a b}"}]}, "rules[0].say: "),
        ({"rules": [{"say": "{asked|no}"}]}, "rules[0].say: "),
        ({"rules": [{"say": "{asked|first}"}]}, "rules[0].say: "),
        ({"rules": [{"say": "{asked|each no}"}]}, "rules[0].say: "),
        ({"rules": [{"say": "x", "when": ["=="]}]}, "rules[0]: "),
        ({"rules": [{"say": "x", "when": ["nothing"]}]}, "rules[0]: "),
        ({"rules": [{"say": "x", "hears": ["("]}]}, "rules[0].hears: "),
        ({"intents": {"no": [], "dump": []}}, "intents.no: "),
        ({"questions": {**LAMPS["questions"], "x": ["{a}"]}}, "questions.x: "),  # type: ignore[dict-item]  # JSON
        ({"updates": [{"clear": ["no"]}]}, "updates[0].clear: "),
        ({"updates": [{"read": {"no": "{slot.day}"}}]}, "updates[0].read: "),
        ({"updates": [{"read": {"basket": "{slot.no}"}}]}, "updates[0].read.basket: "),
        ({"slots": {"x": {"kind": "date", "answers": ["no"]}}}, "slots.x.answers: "),
        ({"slots": {"x": {"kind": "listed", "listed": "no"}}}, "slots.x.listed: "),
        ({"slots": {"x": {"kind": "vocabulary", "vocabulary": "no"}}}, "slots.x: "),
        ({"slots": {"x": {"kind": "mood"}}}, "slots[...].kind: "),
        ({"lines": {"slot": {"head": "lamps", "markers": {}}}}, "lines.slot: "),
        ({"lines": {"x": {"head": "no", "markers": {}}}}, "lines.x: "),
        ({"lines": {"x": {"head": "lamps", "markers": {}, "accepts": ["a"]}}}, "lines.x.accepts: "),
    ],
)  # fmt: skip
def test_broken_script_is_refused_with_its_place(changes: dict[str, object], where: str) -> None:
    """A mistyped name stops the start, not a call."""
    with pytest.raises(UseCaseError) as refused:
        OfflineModel(lamps(**changes))

    assert str(refused.value).startswith(f"offlineScript.{where}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\ud800", "[" * 100_000])
def test_text_that_is_no_script_is_refused(text: str) -> None:
    """Whatever stands in the file, the error is ours."""
    with pytest.raises(UseCaseError):
        OfflineModel(text)


async def test_use_case_without_a_script_is_answered_nevertheless() -> None:
    """It says so, and still tells what a key has run."""
    model = OfflineModel(NO_SCRIPT)

    said = contract.said(await contract.pieces_of(model, asking(caller("are you open"))))
    told = contract.said(
        await contract.pieces_of(
            model, asking(*LOOKED, caller(ToolResult("1", '{"message":"It will rain."}')))
        )
    )

    assert said == (
        "I am a script, and for this agent I have no lines. A language model would answer you here."
    )
    assert told == "It will rain."


def test_notice_says_that_it_is_a_script() -> None:
    """Nobody shall take it for more than it is."""
    assert "script" in OFFLINE_NOTICE


VOCABULARY = """a two 3 large small garden cheese pepperoni pizza mushrooms no without remove
change make it that to the on with add and both yes that's all pickup delivery 12 main street
confirm studio tomorrow monday at half past two bedroom self guided budget 1500 tour relativity
more name is ada lovelace first second human bye [ ] { } : thousand hundred"""
SPOKEN = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(VOCABULARY.split()), max_size=25).map(" ".join),
    st.sampled_from([CALL_BEGINS, CALLER_WAITS, CUT_OFF, KEYS_PRESSED.format("1")]),
)
NAMES = st.sampled_from(
    [
        "PlaceOrderFunction", "CheckRestaurantPickUpTime", "ListAvailableApartmentsFunction",
        "CheckAvailabilityFunction", "ScheduleTourFunction", "CommonInquiriesFunction",
        "LiveAgentHandoffFunction", "EndCallFunction", "DefaultSaveUseCase", "Unknown",
    ]
)  # fmt: skip
CONTENT = st.one_of(
    st.sampled_from([STILL_RUNNING, "", "null", "{", '{"availableSlots":[{}, 1]}']),
    st.dictionaries(
        st.sampled_from(["message", "availableSlots", "order_total", "appointments", "orders"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["date", "time", "rent"]), inner, max_size=2)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ).map(json.dumps),
    st.text(max_size=30),
)
PARTS: st.SearchStrategy[Part] = st.one_of(
    SPOKEN.map(Text),
    st.builds(ToolCall, st.sampled_from("xyz"), NAMES, CONTENT),
    st.builds(ToolResult, st.sampled_from("xyz"), CONTENT, st.booleans()),
)
REQUESTS = st.builds(
    ReplyRequest,
    system=st.sampled_from([SYSTEM, "", "It is February 29, 2028."]) | st.text(max_size=40),
    messages=st.lists(
        st.builds(
            Message, st.sampled_from(Role), st.lists(PARTS, min_size=1, max_size=4).map(tuple)
        ),
        max_size=9,
    ).map(tuple),
    tools=st.lists(NAMES, unique=True).map(
        lambda names: tuple(ToolSpec(name, "A tool.", "{}") for name in names)
    ),
    choice=st.sampled_from([Choice.AUTO, Choice.NONE]) | NAMES.map(ForcedTool),
)
HEADS = ["desk lamp", "floor lamp", "candles", "dimmer"]
OTHERS = ["timer", "red", "blue", "a", "3", "add", "remove", "without", "with", "make", "to the"]
DICTATED = st.sampled_from([*HEADS, *OTHERS, "both", "and"])


@settings(max_examples=300, deadline=None)
@given(st.lists(DICTATED, max_size=8), st.lists(DICTATED, min_size=3, max_size=12))
async def test_any_dictation_can_be_read(earlier: list[str], now: list[str]) -> None:
    """However often a caller changes their mind in one breath."""
    first, second = " ".join(["hm", *earlier]), " ".join(now)

    assert await words(caller(first), agent("Fine."), caller(second))


MODELS = [OfflineModel(script(name)) for name in SHIPPED]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODELS), REQUESTS)
async def test_any_request_gets_a_well_formed_reply_and_always_the_same(
    model: OfflineModel, asked: ReplyRequest
) -> None:
    """Never an exception, never an empty reply, and nothing is kept between requests."""
    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert await contract.pieces_of(model, asked) == pieces


async def test_a_script_writes_no_summary() -> None:
    """An empty answer: the conversation then makes an extract itself."""
    asked = asking(caller("Earlier summary: none\nSince then:\nCaller: candles"), system=SUMMARIZE)

    pieces = await contract.pieces_of(OfflineModel(lamps()), asked)

    assert [piece for piece in pieces if not isinstance(piece, Usage)] == [Stopped(StopReason.END)]


async def test_a_summary_is_nothing_the_caller_says() -> None:
    """What it tells of is over; what follows it in the message counts."""
    told = SUMMARY.format("Caller: three candles. Agent: Are you sure?")

    assert await words(caller(f"{told} a red desk lamp")) == "1 red desk lamp: $20."
