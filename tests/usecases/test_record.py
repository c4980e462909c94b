"""Use cases: what is read from records, old and new."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from agent.call.built_in_phrases import SPANISH_PHRASES
from agent.call.config import KeyBinding, Phrases
from agent.call.messages import SideEffect, ToolSpec
from agent.errors import UseCaseError
from agent.store.memory import MemoryStore
from agent.usecases import AudioFile, ModelSettings, UseCase
from agent.usecases.model_times import ModelTimes
from agent.usecases.named_tools import handlers_text, tools_text
from agent.usecases.record import parse_use_case, use_cases
from agent.usecases.relay_attributes import relay_attributes
from agent.usecases.spending import SpendingLimits
from agent.usecases.transfer_target import PhoneTarget
from agent.usecases.turn_options import TurnOptions
from agent.usecases.validation import RecordErrors

PLACE_ORDER = ToolSpec(
    "PlaceOrderFunction",
    "Ours.",
    '{"type": "object", "properties": {}}',
    SideEffect.ONCE,
    "I am placing your order.",
)
PICK_UP = ToolSpec("CheckRestaurantPickUpTime", "When.", '{"type": "object"}')
TOOLS = {tool.name: tool for tool in (PLACE_ORDER, PICK_UP)}


def handler(text: str = "", function: str = "") -> dict[str, object]:
    """What a key does, in the words of the predecessor."""
    return {
        "replyWithText": bool(text),
        "replyText": text or "unused",
        "replyWithFunction": bool(function),
        "replyFunction": function,
    }


def predecessor(**changes: object) -> dict[str, object]:
    """A record as the predecessor's loader wrote it."""
    order = {
        "toolSpec": {
            "name": "PlaceOrderFunction",
            "description": "Stores a finished order.",
            "inputSchema": {"json": {"type": "object", "properties": {"n": {"type": "number"}}}},
        }
    }
    handlers = {
        "1": handler("One moment.", "PlaceOrderFunction"),
        "9": handler("You pressed nine."),
        "0": handler(),
    }
    return {
        "pk": "pizzaUseCase",
        "sk": "configuration",
        "pk1": "use-case",
        "sk1": "pizzaUseCase",
        "title": "Pizza",
        "description": "Takes orders.",
        "prompt": "You take orders. <<USER_CONTEXT>>",
        "tools": json.dumps([order]),
        "dtmfHandlers": json.dumps(handlers),
        "conversationRelayParams": {
            "voice": "Anna",
            "interruptByDtmf": True,
            "welcomeGreeting": "Welcome!",
        },
        "llmModel": "us.amazon.nova-lite-v1:0",
        "somethingElse": [1, 2],
    } | changes


def parsed(**changes: object) -> UseCase:
    return parse_use_case(predecessor(**changes), TOOLS)[0]


def test_a_record_of_the_predecessor_is_read_as_it_is() -> None:
    """JSON text inside, an unknown attribute of the relay, unknown attributes of the record."""
    read, warnings = parse_use_case(predecessor(), TOOLS)

    schema = '{"type": "object", "properties": {"n": {"type": "number"}}}'
    assert read == UseCase(
        name="pizzaUseCase",
        prompt="You take orders. <<USER_CONTEXT>>",
        title="Pizza",
        description="Takes orders.",
        greeting="Welcome!",
        tools=(replace(PLACE_ORDER, description="Stores a finished order.", parameters=schema),),
        keypad={
            "1": KeyBinding("One moment.", "PlaceOrderFunction"),
            "9": KeyBinding("You pressed nine."),
            "0": KeyBinding(),
        },
        relay=relay_attributes({"voice": "Anna"}, RecordErrors())[0],
        model=ModelSettings("us.amazon.nova-lite-v1:0"),
    )
    assert warnings == (
        "pizzaUseCase.conversationRelayParams.interruptByDtmf: the relay has no such attribute,"
        " dropped",
    )


ADDITIONAL = '{"inferenceConfig": {"topK": 1}, "p": 0.5}'


@pytest.mark.parametrize(
    "additional", [{"inferenceConfig": {"topK": Decimal("1")}, "p": Decimal("0.5")}, ADDITIONAL]
)
def test_our_own_attributes_are_read(additional: object) -> None:
    """All of them optional; numbers may be `Decimal`, as DynamoDB gives them, maps JSON text."""
    read = parsed(
        greetingKnown="Hello <<FIRST_NAME>>!",
        languages=[{"code": "es-US", "voice": "Lupe", "hints": "x"}],
        phrases={
            "goodbye": "Bye.",
            "fillers": ["Hm.", "Well."],
            "es-US": {"goodbye": "Adiós."},
            "es": {"goodbye": "Hasta luego.", "apology": "Perdón."},
        },
        modelTimes={"first_event_seconds": Decimal("20"), "hedge_seconds": Decimal("0")},
        spending={"call_tokens": Decimal("500000"), "call_cost": Decimal("0.5")},
        turnTaking={"silence_ms": [Decimal("9000")], "expects": {"Order number": "6 digits"}},
        audio={"jingle": {"url": "https://a.example/j.mp3", "seconds": Decimal("4")}},
        maxTokens=Decimal("250"),
        temperature=Decimal("0.3"),
        topP=Decimal("1"),
        additionalModelRequestFields=additional,
        requestMetadata={"team": "pizza"},
        guardrail="arn:aws:bedrock:x:1:guardrail/g:DRAFT",
        performanceLatency="optimized",
        serviceTier="priority",
        offlineScript='{"rules": []}',
        handoffNumber="+15550100098",
        voicemail="We have called.",
    )

    assert read == replace(
        parsed(),
        greeting_known="Hello <<FIRST_NAME>>!",
        languages=({"code": "es-US", "voice": "Lupe", "hints": "x"},),
        translations={
            "en-US": Phrases(goodbye="Bye.", fillers=("Hm.", "Well.")),
            "es-US": replace(SPANISH_PHRASES, goodbye="Adiós.", apology="Perdón."),
        },
        turn_taking=TurnOptions(silence_ms=(9_000,), expects={"Order number": "6 digits"}),
        spending=SpendingLimits(500_000, 0.5),
        audio={"jingle": AudioFile("https://a.example/j.mp3", 4)},
        model=ModelSettings(
            "us.amazon.nova-lite-v1:0",
            250,
            0.3,
            1.0,
            ADDITIONAL,
            '{"team": "pizza"}',
            "arn:aws:bedrock:x:1:guardrail/g:DRAFT",
            "optimized",
            "priority",
            ModelTimes(first_event_seconds=20.0, hedge_seconds=0.0),
        ),
        offline_script='{"rules": []}',
        transfer_target=PhoneTarget("+15550100098"),
        voicemail="We have called.",
    )


def test_a_record_needs_a_prompt_and_nothing_else() -> None:
    """Null counts as missing."""
    read, warnings = parse_use_case(
        {"pk": "small", "prompt": "Be brief.", "tools": "", "dtmfHandlers": None}, {}
    )

    assert read == UseCase("small", "Be brief.", relay=relay_attributes({}, RecordErrors())[0])
    assert warnings == ()


@pytest.mark.parametrize(
    ("stored", "prompt"),
    [
        ("Line one.\nLine two.", "Line one.\nLine two."),
        ('"Line one.\\nLine two."', "Line one.\nLine two."),
        ('"Line one.\nLine two."', "Line one.\nLine two."),
        ('[{"text": "One."}, {"text": "Two."}]', "One.\nTwo."),
        ([{"text": "One."}], "One."),
        ("[Role] You are a guide.", "[Role] You are a guide."),
        ('"Hello," you say.', '"Hello," you say.'),
        ("42", "42"),
    ],
)
def test_a_prompt_is_plain_text_or_json(stored: object, prompt: str) -> None:
    """A text that is not JSON is the prompt itself; in the record of one call it has two parts."""
    assert parsed(prompt=stored).prompt == prompt
    assert parsed(prompt="A.", promptContext=[{"text": "B."}, {"text": "C."}]).context == "B.\nC."


def test_tools_and_keys_may_be_lists_and_maps() -> None:
    """A record need not hold JSON inside of its own types."""
    read = parsed(
        tools=[{"toolSpec": {"name": PICK_UP.name}}],
        dtmfHandlers={"*": {"replyWithFunction": True, "replyFunction": PICK_UP.name}},
    )

    assert (read.tools, read.keypad) == ((PICK_UP,), {"*": KeyBinding(function=PICK_UP.name)})


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        (
            {"tools": '[{"toolSpec": {"name": "LookUpFunction"}}]', "dtmfHandlers": "{}"},
            "tools.LookUpFunction: not implemented, left out",
        ),
        (
            {"dtmfHandlers": {"3": handler("One moment.", "LookUpFunction")}},
            "dtmfHandlers.3.replyFunction: LookUpFunction is not implemented",
        ),
        (
            {"dtmfHandlers": {"3": handler("One moment.", PICK_UP.name)}},
            "dtmfHandlers.3.replyFunction: CheckRestaurantPickUpTime is not a tool of this use"
            " case",
        ),
        (
            {"languages": [{"code": "es-US"}]},
            "languages[0]: inherits a provider or voice that may not know the language",
        ),
    ],
    ids=["tool", "key of no tool", "key of another tool", "language"],
)
def test_what_has_no_effect_has_a_remark(changes: dict[str, object], remark: str) -> None:
    """The predecessor's loaders write such tools and keys: a key then promises nothing."""
    read, warnings = parse_use_case(predecessor(**changes), TOOLS)

    assert f"pizzaUseCase.{remark}" in warnings
    assert read.errors == ()
    assert "LookUpFunction" not in {tool.name for tool in read.tools}
    assert read.keypad.get("3", KeyBinding()) == KeyBinding()


ORDER = {"toolSpec": {"name": "PlaceOrderFunction"}}


OBJECT = "Expected `object`, got `array`"
CUT_SHORT = "is not JSON: Input data was truncated"


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("title", 1, ": Expected `str`, got `int`"),
        ("liveEdits", 2, ": Expected `bool`, got `int`"),
        ("tools", "[{", f": {CUT_SHORT}"),
        ("tools", '{"a": 1}', ": Expected `array`, got `object`"),
        ("tools", '[{"name": "x"}]', "[0]: Object missing required field `toolSpec`"),
        ("tools", [ORDER, ORDER], ".PlaceOrderFunction: is named twice"),
        (
            "tools",
            [{"toolSpec": {"name": "PlaceOrderFunction", "inputSchema": {"json": {}}}}],
            ".PlaceOrderFunction.inputSchema.json.type: must be object",
        ),
        ("dtmfHandlers", {"12": {}}, ".12: is not a key"),
        (
            "dtmfHandlers",
            {"1": {"replyWithText": "maybe"}},
            ".1.replyWithText: Expected `bool`, got `str`",
        ),
        ("dtmfHandlers", {"1": {"replyWithFunction": True}}, ".1.replyFunction: is missing"),
        ("dtmfHandlers", {"1": "One moment."}, ".1: Expected `object`, got `str`"),
        (
            "conversationRelayParams",
            {"dtmfDetection": "perhaps"},
            ".dtmfDetection: must be one of true, false",
        ),
        ("conversationRelayParams", [1], f": {OBJECT}"),
        ("languages", [{"voice": "Lupe"}], "[0].code: missing"),
        ("phrases", {"hello": "x"}, ".hello: there is no such sentence"),
        ("phrases", {"goodbye": " "}, ".goodbye: is blank"),
        ("phrases", {"en": {"goodbye": " "}}, ".en.goodbye: is blank"),
        ("phrases", {"fillers": []}, ".fillers: is blank"),
        ("phrases", {"fillers": "x"}, ".fillers: Expected `array`, got `str`"),
        ("modelTimes", {"gap_seconds": 0}, ".gap_seconds: Expected `float` >= 0.5"),
        ("spending", {"call_cost": -1}, ".call_cost: Expected `float` >= 0.0"),
        ("turnTaking", {"moment_ms": []}, ".moment_ms: Expected `array` of length >= 1"),
        ("turnTaking", {"expects": {"zip": 5}}, ".expects[...]: Expected `str`, got `int`"),
        (
            "audio",
            {"x": {"url": "https://a.example/x.mp3", "seconds": 0}},
            ".x.seconds: Expected `int` >= 1",
        ),
        ("maxTokens", 0, ": Expected `int` >= 1"),
        ("temperature", 1.5, ": Expected `float` <= 1.0"),
        ("requestMetadata", {"team": 1}, ".team: Expected `str`, got `int`"),
        ("additionalModelRequestFields", "[1]", f": {OBJECT}"),
        ("additionalModelRequestFields", "{", f": {CUT_SHORT}"),
        ("guardrail", "g", r": Expected `str` matching regex '^$|^\\S+:(\\d+|DRAFT)$'"),
        ("performanceLatency", "fast", ": Invalid enum value, must be one of optimized, standard"),
        ("serviceTier", "flex", ": Invalid enum value, must be one of default, priority, reserved"),
        ("offlineScript", "{", f": {CUT_SHORT}"),
        (
            "backupVoice",
            {"provider": "Google", "voice": "x" * 501},
            ".voice: Expected `str` of length <= 500",
        ),
    ],
)
def test_a_wrong_field_is_left_out_and_named(field: str, value: object, error: str) -> None:
    """One line; the call is answered."""
    read, warnings = parse_use_case(predecessor(**{field: value}), TOOLS)

    assert read.errors == (f"pizzaUseCase.{field}{error}",)
    assert f"pizzaUseCase.{field}{error}; left out" in warnings
    assert read.prompt == "You take orders. <<USER_CONTEXT>>"


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        (None, "is missing or blank"),
        (" \n", "is missing or blank"),
        ('" "', "is missing or blank"),
        ('[{"text": 1}]', "is missing or blank"),
        (1, "Expected `str`, got `int`"),
        ({"text": "Sell."}, "Expected `str`, got `object`"),
        ("Sell.\ud83d", "holds a lone surrogate"),
    ],
)
def test_a_record_without_a_prompt_answers_no_call(prompt: object, error: str) -> None:
    """A prompt is required."""
    with pytest.raises(UseCaseError) as caught:
        parsed(prompt=prompt)

    assert str(caught.value) == f"pizzaUseCase.prompt: {error}"


def test_only_the_wrong_part_of_a_field_is_left_out() -> None:
    """One bad key, tool, sentence, language or number does not take its neighbours along."""
    read, warnings = parse_use_case(
        predecessor(
            tools=[7, ORDER, {"toolSpec": {"name": PICK_UP.name, "description": []}}],
            dtmfHandlers={"1": 7, "2": {"replyWithText": "true", "replyText": "Two."}},
            phrases={"goodbye": 7, "apology": "Sorry.", "hello": "x"},
            languages='[{"code": "es-US", "voice": "Lupe"}]',
            conversationRelayParams='{"voice": "Anna"}',
            maxTokens="250",
            temperature="0.3",
            topP="much",
            desk={"kind": "fax"},
            handoffNumber="+15550100098",
        ),
        TOOLS,
    )

    assert [tool.name for tool in read.tools] == ["PlaceOrderFunction", PICK_UP.name]
    assert read.keypad == {"1": KeyBinding(), "2": KeyBinding("Two.")}
    assert read.phrases == Phrases(apology="Sorry.")
    assert read.languages == ({"code": "es-US", "voice": "Lupe"},)
    assert read.relay["voice"] == "Anna"
    assert (read.model.max_tokens, read.model.temperature, read.model.top_p) == (250, 0.3, None)
    assert read.transfer_target == PhoneTarget("+15550100098")
    assert [line.split(":")[0].removeprefix("pizzaUseCase.") for line in read.errors] == [
        "topP", "tools[0]", "tools[2].toolSpec.description", "dtmfHandlers.1", "phrases.goodbye",
        "phrases.hello", "handoffNumber", "desk.kind",
    ]  # fmt: skip
    assert warnings


def test_a_warning_holds_no_value_no_control_character_and_has_a_length() -> None:
    """Values may be personal data; names of fields may be any text."""
    read, warnings = parse_use_case(
        predecessor(
            desk={"kind": "+15550100077"},
            dtmfHandlers={f"{number}\n\x9b": {} for number in range(100)} | {"k" * 5_000: {}},
            conversationRelayParams={"a\nb": 1, "x" * 5_000: 1},
        ),
        TOOLS,
    )

    assert "5550100077" not in str(warnings)
    assert len(warnings) < 110
    assert all(line.isprintable() and len(line) < 400 for line in warnings)
    assert read.errors[-1].startswith("pizzaUseCase.record: ")


def test_what_is_written_is_what_is_read() -> None:
    """The texts of tools and keys come back as the same values."""
    keypad = {"1": KeyBinding("Ein Moment, größer.", "PlaceOrderFunction"), "2": KeyBinding()}

    read = parsed(tools=tools_text([PLACE_ORDER, PICK_UP]), dtmfHandlers=handlers_text(keypad))

    assert read.tools == (PLACE_ORDER, PICK_UP)
    assert read.keypad == keypad


async def test_a_broken_record_does_not_hide_the_others() -> None:
    """The list has the readable values of each."""
    store = MemoryStore()
    await store.put(predecessor())
    await store.put(
        {"pk": "aUseCase", "sk": "configuration", "pk1": "use-case", "sk1": "aUseCase", "title": 1}
    )

    assert await use_cases(store) == [
        ("aUseCase", "", ""),
        ("pizzaUseCase", "Pizza", "Takes orders."),
    ]


def test_a_transcript_at_twilio_that_would_hold_sensitive_digits_has_a_remark() -> None:
    pay = {
        "description": "Pays.",
        "url": "https://pay.example.com/",
        "method": "POST",
        "body": {"card": "{call.digits}"},
        "collects": {"sensitive": True},
    }
    changes = {
        "tools": [{"toolSpec": {"name": "PayFunction"}}],
        "httpTools": {"PayFunction": pay},
        "dtmfHandlers": {},
        "conversationRelayParams": {"intelligenceService": "GA1"},
    }

    _, warnings = parse_use_case(predecessor(**changes), TOOLS)
    _, others = parse_use_case(predecessor(**{**changes, "tools": []}), TOOLS)

    remark = "conversationRelayParams.intelligenceService: keeps sensitive digits at Twilio"
    assert f"pizzaUseCase.{remark}" in warnings
    assert f"pizzaUseCase.{remark}" not in others
