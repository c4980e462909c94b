"""The offline model, on a script small enough to read."""

from __future__ import annotations

import json

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
    SPEAKS,
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

LAMPS: dict[str, object] = {
    "slots": {
        "lamp": {"kind": "choice", "values": {"desk lamp": ["reading light"], "lava lamp": []}},
        "day": {"kind": "date"},
        "hour": {"kind": "time", "answers": ["hour"]},
        "limit": {
            "kind": "number",
            "phrases": ["below (\\d+(?:\\.\\d+)?)"],
            "answers": ["limit"],
            "answer": ["\\d+"],
            "unless": ["no"],
        },
        "pick": {"kind": "listed", "listed": "choices", "answers": ["pick"]},
    },
    "prompt": {"choices": "^(?P<number>\\d)\\. (?P<name>\\w+)"},
    "menu": {"items": [{"name": "candle", "price": 2}], "closedBy": "Buy", "readBack": ["sure"]},
    "questions": {
        "hour": ["At what time?"],
        "limit": ["Up to how much?"],
        "pick": ["Which one?", "Which of these?"],
        "sure": ["Are you sure?"],
    },
    "lists": {"offer": "{name} for {price:money}"},
    "intents": [
        {"name": "no", "phrases": ["^no"]},
        {"name": "buy", "phrases": ["buy"], "say": "Buying.", "call": "Buy", "otherwise": "Sold."},
        {"name": "look", "phrases": ["look"], "call": "Look"},
        {"name": "which", "phrases": ["which"], "say": "{question.pick}"},
        {
            "name": "visit",
            "phrases": ["visit"],
            "needs": {"slot.day": "Which day?"},
            "say": "See you on {slot.day:day}.",
        },
        {"when": ["fresh.pick"], "say": "You took {slot.pick.name}."},
        {"when": ["fresh.hour"], "say": "At {slot.hour}. On {slot.day:day}."},
        {"when": ["slot.limit", "not slot.limit = 5"], "say": "Up to {slot.limit:money}."},
        {"when": ["fresh.day"], "say": "On {slot.day:day}."},
        {"when": ["slot.mood = GOOD"], "say": "{slot.mood:title} mood."},
        {"when": ["fresh.lamp", "not order.changed"], "say": "A {slot.lamp}."},
        {"when": ["order.lines"], "say": "{order.lines}: {order.total:money}."},
        {"when": ["keys"], "say": "Keys {keys}."},
        {"when": ["begins", "not heard"], "say": "Welcome."},
    ],
    "updates": [
        {"when": ["heard = cheerful"], "set": {"mood": "good"}},
        {"when": ["heard = empty it"], "clear": ["order", "mood"]},
        {"when": ["tool = Look"], "order": "{result.past}"},
    ],
    "tools": {
        "Buy": {
            "arguments": {
                "lines": "{order.items}",
                "note": "until {slot.day}",
                "fixed": ["{order.total}", 7, None],
            }
        },
        "Look": {
            "done": [
                {"when": ["result.text"], "say": "It says {result.text}."},
                {"when": ["result.offers.count = 2"], "say": "We have {result.offers:offer 1}."},
                {"when": ["order.changed"], "say": "Again {order.added}. Not {order.unread}."},
            ]
        },
    },
    "waiting": ["Still looking."],
    "fallback": ["What?", "Pardon?"],
    "trouble": ["Broken."],
    "done": ["Done."],
}
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


def lamps(**changes: object) -> OfflineModel:
    return OfflineModel(json.dumps({**LAMPS, **changes}))


async def words(*messages: Message, model: OfflineModel | None = None) -> str:
    return contract.said(await contract.pieces_of(model or lamps(), asking(*messages)))


LOOK, BUY = ToolCall("1", "Look", "{}"), ToolCall("1", "Buy", "{}")
LOOKED = (caller("look"), agent(LOOK))
RUNNING = (*LOOKED, caller(ToolResult("1", STILL_RUNNING)), agent("Still looking."))
MONDAY_AT_THREE = "At 3:00 PM. On Monday, March 9."


@pytest.mark.parametrize(
    ("messages", "answer"),
    [
        # the question before gives a bare answer its meaning
        ((agent("At what time?"), caller("monday at three")), MONDAY_AT_THREE),
        ((agent("At what time?"), caller("three")), "At 3:00 PM."),
        ((agent("Up to how much?"), caller("500")), "Up to $500."),
        ((agent("Up to how much?"), caller("no 500")), "What?"),
        ((agent("Hm."), caller("below 7.5")), "Up to $7.50."),
        ((agent("Hm."), caller("below 5")), "What?"),
        ((agent("Which one?"), caller("the second")), "You took Banana."),
        ((agent("Which one?"), caller("apple please")), "You took Apple."),
        ((agent("Which one?"), caller("9")), "What?"),
        ((agent("Which one?"), caller("pear")), "What?"),
        ((agent("At what time? Up to how much? Are you there?"), caller("500")), "Up to $500."),
        ((agent("Which"), caller(f"{CUT_OFF} 2")), "What?"),
        # slots, needs and updates
        ((caller("two reading lights"),), "A desk lamp."),
        ((caller("a visit"),), "Which day?"),
        ((caller("a visit tomorrow"),), "See you on Friday, March 6."),
        ((caller("cheerful"), agent("x"), caller("hm")), "Good mood."),
        ((caller("cheerful"), agent("x"), caller("empty it"), agent("y"), caller("hm")), "What?"),
        ((caller("3 candles"),), "3 candles: $6."),
        ((caller("um " * 300 + "3 candles"),), "3 candles: $6."),
        ((caller("3 candles"), agent("x"), caller("empty it")), "What?"),
        # the order is closed by its tool
        ((caller("a candle, buy"), agent(BUY), caller(ToolResult("1", "{}")), agent("Done."),
          caller("candles")), "1 candle: $2."),
        ((caller("a candle"), agent("Are you sure?"), caller("a candle")), "1 candle: $2."),
        # wordings change while there are others
        ((caller("which"), agent("Which one?"), caller("which")), "Which of these?"),
        ((caller("hm"), agent("What?"), caller("hm")), "Pardon?"),
        # keys and notes
        ((agent("Which one?"), caller(KEYS_PRESSED.format("2"))), "You took Banana."),
        ((caller(KEYS_PRESSED.format("12")),), "Keys 12."),
        ((caller(CALL_BEGINS),), "Welcome."),
        ((caller(CALLER_WAITS),), "Welcome."),
        ((caller("[Buy [now] candles]"), agent("x"), caller("hm")), "What?"),
        ((caller(KEYS_PRESSED.format("2"),
                 "[Answer with this text, in the caller's language: We close: at nine.]"),),
         "We close: at nine."),
        # results of tools, also late ones
        ((*LOOKED, caller(ToolResult("1", '{"text":"rain"}'))), "It says rain."),
        ((*LOOKED, caller(ToolResult("1", '{"text":["a",2,1.5,true,{}]}'))),
         "It says a, 2, 1.5 and yes."),
        ((*LOOKED, caller(ToolResult("1", '{"offers":[{"name":"A","price":1250},{}]}'))),
         "We have A for $1,250."),
        ((*LOOKED, caller(ToolResult("1", '{"past":["2 candles","sofa",7]}'))),
         "Again 2 candles. Not sofa."),
        ((*LOOKED, caller(ToolResult("1", STILL_RUNNING))), "Still looking."),
        ((*LOOKED, caller(ToolResult("1", '{"error":"x"}', is_error=True))), "Broken."),
        ((*LOOKED, caller(ToolResult("1", "not json"))), "Done."),
        ((*LOOKED, caller(ToolResult("1", "[1]"))), "Done."),
        ((*LOOKED, caller(ToolResult("unknown", '{"text":"rain"}'))), "Welcome."),
        ((*RUNNING, caller('[The tool Look has finished: {"text":"rain","list":[1]}]')),
         "It says rain."),
        ((*RUNNING, caller('[Look has finished meanwhile: {"error":"x"} Tell the caller.]')),
         "Broken."),
        # nothing new was said
        ((*LOOKED, caller(ToolResult("1", "{}")), agent("Done."), caller(CALLER_WAITS)), "Done."),
        ((*LOOKED, caller(ToolResult("1", '{"text":"rain"}')), agent("The line broke off."),
          caller(f"[{BROKEN_OFF}]")), "It says rain."),
        # a summary is not what the caller says
        ((caller(f"{SUMMARY.format('Caller: three candles.')} a candle"),), "1 candle: $2."),
    ],
)  # fmt: skip
async def test_messages_are_answered(messages: tuple[Message, ...], answer: str) -> None:
    assert await words(*messages) == answer


async def test_without_a_date_in_the_prompt_a_relative_day_means_nothing() -> None:
    asked = asking(caller("tomorrow"), system="No date, but February 31, 2026.")

    assert contract.said(await contract.pieces_of(lamps(), asked)) == "What?"


async def test_call_has_typed_arguments_and_leaves_out_what_is_unknown() -> None:
    """A text that is one field keeps the type of its value."""
    pieces = await contract.pieces_of(lamps(), asking(caller("buy two candles")))
    dated = await contract.pieces_of(lamps(), asking(caller("buy tomorrow")))

    assert contract.said(pieces) == "Buying."
    line = {"line_item": "candle", "quantity": 2, "line_amount": 4.0}
    assert contract.calls(pieces) == [("Buy", {"lines": [line], "fixed": [4.0, 7, None]})]
    assert contract.calls(dated)[0][1]["note"] == "until 2026-03-06"


async def test_tool_is_called_once_before_the_caller_speaks_again_and_only_if_offered() -> None:
    """An intent that still applies after its own result would never end."""
    again = asking(*LOOKED, caller(ToolResult("1", "{}"), "look"))
    unoffered = asking(caller("buy"), tools=())
    forbidden = asking(caller("buy"), choice=Choice.NONE)

    replies = [await contract.pieces_of(lamps(), each) for each in (again, unoffered, forbidden)]

    assert [contract.calls(each) for each in replies] == [[], [], []]
    assert [contract.said(each) for each in replies] == ["Done.", "Sold.", "Sold."]


async def test_forced_tool_is_called_with_what_is_known() -> None:
    """A tool that the script does not know gets an empty object."""
    other = ToolSpec("Other", "A tool.", "{}")
    known = asking(caller("tomorrow"), choice=ForcedTool("Buy"))
    unknown = asking(caller("hi"), tools=(other,), choice=ForcedTool("Other"))
    unoffered = asking(caller("hi"), tools=(), choice=ForcedTool("Other"))

    replies = [await contract.pieces_of(lamps(), each) for each in (known, unknown, unoffered)]

    note = {"note": "until 2026-03-06", "fixed": [0, 7, None]}
    assert [contract.calls(each) for each in replies] == [[("Buy", note)], [("Other", {})], []]
    assert contract.said(replies[2]) == "What?"


@pytest.mark.parametrize(
    ("say", "answer"),
    [
        ("{result.text:money}", "$1,250"),
        ("{result.word:money}, {result.word:day}", "soon, soon"),
        ("{result.list}, {result.list.count}, {result.list.first:title}", "a and b, 2, A"),
        ("{result.list.second} and {result.list.last}. Then {result.list.third}.", "b and b."),
        ("Yes. {result.word.more}! {result.huge}, no. {result.first}?", "Yes. 1250?"),
        ("{result.nothing.first}.", "Done."),
    ],
)
async def test_texts_speak_any_value(say: str, answer: str) -> None:
    """A value of another kind is spoken as it is; a sentence without its value is left out."""
    value = {"text": 1250, "word": "soon", "list": ["a", "b"], "huge": 1e300, "nothing": {}}
    model = lamps(tools={"Look": {"done": [{"say": say}]}, "Buy": {}})

    heard = await words(*LOOKED, caller(ToolResult("1", json.dumps(value))), model=model)

    assert heard == answer


async def test_texts_said_once_leave_the_turn_to_the_next_intent() -> None:
    lamp = {"name": "lamp", "phrases": ["lamp"], "once": True, "say": ["Red.", "Blue."]}
    rest = {"when": ["intent.lamp"], "say": "No more."}
    model = lamps(slots={}, updates=[], tools={}, intents=[lamp, rest])
    said = [caller("a lamp")]

    for answer in ("Red.", "Blue.", "No more.", "No more."):
        assert await words(*said, model=model) == answer
        said += [agent(answer), caller("a lamp")]


async def test_words_are_counted_as_tokens() -> None:
    asked = asking(*LOOKED, caller(ToolResult("1", '{"text": "so so"}')), system="Be kind.")

    assert (await contract.pieces_of(lamps(), asked))[-1] == Usage(input=7, output=4)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"intents": 1}, "intents: "),
        ({"nonsense": 1}, "script: "),
        ({"fallback": []}, "fallback: "),
        ({"done": [" "]}, "done[0]: "),
        ({"questions": {"x": ["{a}"]}}, "questions[...][0]: "),
        ({"slots": {"x": {"kind": "mood"}}}, "slots[...].kind: "),
        ({"intents": [{"call": "No"}]}, "intents[0].call: "),
        ({"intents": [{"say": "{"}]}, "intents[0].say: "),
        ({"intents": [{"say": ["{slot.no}"]}]}, "intents[0].say[0]: "),
        ({"intents": [{"say": "{a b}"}]}, "intents[0].say: "),
        ({"intents": [{"say": "{asked:no}"}]}, "intents[0].say: "),
        ({"intents": [{"when": ["=="]}]}, "intents[0].when[0]: "),
        ({"intents": [{"when": ["not intent.nothing"]}]}, "intents[0].when[0]: "),
        ({"intents": [{"needs": {"slot.no": "x"}}]}, "intents[0].needs: "),
        ({"intents": [{"arguments": {"x": ["{slot.no}"]}}]}, "intents[0].arguments.x[0]: "),
        ({"intents": [{"name": "x", "phrases": ["("]}]}, "intents[0].phrases[0]: "),
        ({"intents": [{"phrases": ["x"]}]}, "intents[0]: "),
        ({"updates": [{"when": [], "clear": ["no"]}]}, "updates[0].clear[0]: "),
        ({"updates": [{"when": [], "order": "{slot.no}"}]}, "updates[0].order: "),
        ({"slots": {"x": {"kind": "date", "answers": ["no"]}}}, "slots.x.answers[0]: "),
        ({"slots": {"x": {"kind": "listed", "listed": "no"}}}, "slots.x.listed: "),
        ({"prompt": {"x": "("}}, "prompt.x: "),
    ],
)  # fmt: skip
def test_broken_script_is_refused_with_its_place(changes: dict[str, object], where: str) -> None:
    """A mistyped name stops the start, not a call."""
    known = {"intents": [], "fallback": ["a"], "trouble": ["a"], "done": ["a"]}

    with pytest.raises(UseCaseError) as refused:
        OfflineModel(json.dumps({**known, **changes}))

    assert str(refused.value).startswith(f"offlineScript.{where}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\ud800", "[" * 100_000])
def test_text_that_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(UseCaseError):
        OfflineModel(text)


async def test_use_case_without_a_script_says_so_and_tells_results() -> None:
    model = OfflineModel(NO_SCRIPT)

    said = await words(caller("are you open"), model=model)
    told = await words(*LOOKED, caller(ToolResult("1", '{"message":"It will rain."}')), model=model)

    assert said == (
        "I am a script, and for this agent I have no lines. A language model would answer you here."
    )
    assert told == "It will rain."
    assert "script" in OFFLINE_NOTICE


async def test_summary_is_empty() -> None:
    """The conversation then makes an extract itself."""
    asked = asking(caller("Earlier summary: none\nSince then:\nCaller: candles"), system=SUMMARIZE)

    pieces = await contract.pieces_of(lamps(), asked)

    assert [piece for piece in pieces if not isinstance(piece, Usage)] == [Stopped(StopReason.END)]


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
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
OBJECTS = st.dictionaries(st.sampled_from(["date", "time", "rent"]), VALUES, max_size=2)
RESULTS = st.dictionaries(
    st.sampled_from(["message", "availableSlots", "order_total", "appointments", "orders"]),
    VALUES | OBJECTS | st.lists(VALUES | OBJECTS, max_size=3),
    max_size=4,
)
CONTENT = st.one_of(
    st.sampled_from([STILL_RUNNING, "", "null", "{", '{"availableSlots":[{}, 1]}']),
    RESULTS.map(json.dumps),
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
MODELS = [OfflineModel(script(name)) for name in SHIPPED]


@pytest.mark.needs("time")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODELS), REQUESTS)
async def test_any_request_gets_a_well_formed_reply_and_always_the_same(
    model: OfflineModel, asked: ReplyRequest
) -> None:
    """Never an exception, never an empty reply, and nothing is kept between requests."""
    pieces = await contract.pieces_of(model, asked)

    contract.assert_well_formed(pieces, asked)
    assert await contract.pieces_of(model, asked) == pieces


SPANISH = {
    "lists": {"and": "y"},
    "words": {"minutes": "minutos"},
    "intents": [{"name": "lamp", "phrases": ["lámpara"], "say": "Una lámpara."}],
    "tools": {"Look": {"done": [{"when": ["result.time"], "say": "En {result.time}."}]}},
    "fallback": ["¿Cómo?"],
    "trouble": ["Roto."],
    "done": ["Hecho."],
}
SWITCHED = (
    caller("spanish"),
    agent(ToolCall("9", "SwitchLanguageFunction", '{"language":"es-US"}')),
    caller(ToolResult("9", '{"language":"es-US"}')),
    agent("Claro."),
)
BACK = (
    agent(ToolCall("8", "SwitchLanguageFunction", '{"language":"en-US"}')),
    caller(ToolResult("8", '{"language":"en-US"}')),
    agent("Sure."),
)


@pytest.mark.parametrize(
    ("messages", "answer"),
    [
        ((caller("hm"),), "What?"),
        ((*SWITCHED, caller("una lámpara")), "Una lámpara."),
        ((*SWITCHED, caller("hm")), "¿Cómo?"),
        ((*SWITCHED, caller("hm"), *BACK, caller("hm")), "What?"),
        ((caller(f"{SPEAKS.format('es-MX')} una lámpara"),), "Una lámpara."),
        ((caller(f"{SPEAKS.format('fr-FR')} hm"),), "What?"),
        ((*SWITCHED, caller("hm"), agent(LOOK),
          caller(ToolResult("1", '{"time": "20 minutes", "count": 20}'))), "En 20 minutos."),
    ],
)  # fmt: skip
async def test_the_script_of_the_language_of_the_call_answers(
    messages: tuple[Message, ...], answer: str
) -> None:
    assert await words(*messages, model=lamps(languages={"es": SPANISH})) == answer


def test_a_fault_in_the_script_of_another_language_is_named() -> None:
    wrong = {**SPANISH, "done": ["{slot.size}"]}

    with pytest.raises(UseCaseError, match=r"offlineScript\.languages\.es\.done\[0\]: there is no"):
        lamps(languages={"es": wrong})
