"""A long call in short: when a summary is asked for, what it takes the place of, what stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call import events as ev
from agent.call.actions import (
    Action,
    AdoptReply,
    CancelSummary,
    HangUp,
    Record,
    RunTool,
    Speak,
    StartReply,
    Summarize,
)
from agent.call.config import CallConfig, Limits
from agent.call.conversation import Conversation
from agent.call.heard_confirmation import NOT_HEARD, Exchange
from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    History,
    InputMode,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
)
from agent.call.messages import StopReason, Text, ToolCall
from agent.call.summarization import (
    NOTHING,
    Summarization,
    cleaned,
    extract,
    summary_fault,
    transcript,
    with_earlier,
)
from agent.call.timers import Timer
from agent.call.tool_calls import ToolCalls, error_content
from tests.call import builders as it
from tests.call.world import SPECS, assert_acceptable

SOON = it.limited(Limits(summarize_after_turns=2, kept_turns=2, turns_without_model=9))
"""A third turn has the first one summarised."""
SHORT = it.limited(
    Limits(history_characters=200, summarize_at_percent=50, kept_turns=2, summary_characters=60)
)
"""So does the hundred and first character."""

NOTED = "Caller: I am Ada.\nMentioned: Two pizzas."
"""Of the first turn, and the words after it, which answer a question of that turn."""
ALWAYS = Limits(summarize_after_turns=0, kept_turns=2)
TURN: list[Fact] = [CallerSaid("Well."), AgentSaid("Yes?")]


SPOKE = "it spoke to the caller"
FOREIGN = "it was not in the language of the call"


def turn(call: it.Call, words: str, answer: str, *calls: ToolCall) -> list[Action]:
    """The caller speaks, tools are used and give `{"ok":true}`, the agent answers and is heard."""
    call.happens(it.spoke(words))
    if calls:
        call.happens(it.finished(reply(call), *calls))
        for call_id, state in list(call.world.tools.items()):
            if state == "running":
                call.happens(it.done(int(call_id.removeprefix("tool"))))
    actions = call.happens(it.delta(reply(call), answer), it.finished(reply(call)))
    call.happens(it.agent_off())
    return actions


def reply(call: it.Call) -> int:
    """The one that is awaited."""
    assert call.world.active is not None
    return call.world.active


def three_turns(config: CallConfig = SOON, *calls: ToolCall) -> it.Call:
    """The first of which uses these tools; a summary is awaited."""
    call = it.listening(config)
    turn(call, "I am Ada.", "Hello Ada.", *calls)
    turn(call, "Two pizzas.", "Which size?")
    turn(call, "Large.", "Fine.")
    return call


def summarized(text: str = "Ada is calling.", *calls: ToolCall) -> it.Call:
    """The same call, its first turn summarised."""
    call = three_turns(SOON, *calls)
    call.happens(ev.Summarized(1, text))
    return call


def test_a_summary_is_asked_for_when_a_turn_is_over() -> None:
    call = it.listening(SOON)
    turn(call, "I am Ada.", "Hello Ada.")
    turn(call, "Two pizzas.", "Which size?")

    actions = turn(call, "Large.", "Fine.")

    text = "Earlier summary: none\nSince then:\nAgent: Hello.\nCaller: I am Ada.\nAgent: Hello Ada."
    assert actions[-1] == Summarize(1, (it.caller(text),))
    assert isinstance(actions[1], Speak)


def test_a_summary_takes_the_place_of_what_it_is_of() -> None:
    call = three_turns()

    actions = call.happens(ev.Summarized(1, "Ada is calling."))
    asked = call.happens(it.spoke("And a salad."))

    assert actions == [Record(7, Summary("Ada is calling.", 3, NOTED))]
    assert call.facts[:3] == [
        CallerSaid("Two pizzas."),
        AgentSaid("Which size?"),
        CallerSaid("Large."),
    ]
    assert it.question(asked) == it.asks(
        4,
        it.caller(
            "[Summary of the call so far: Ada is calling.] [Noted word for word, later lines"
            f" correct earlier ones:\n{NOTED}] Two pizzas."
        ),
        it.agent("Which size?"),
        it.caller("Large."),
        it.agent("Fine."),
        it.caller("And a salad."),
    )


def test_the_next_summary_is_made_of_the_last_one_and_what_came_since() -> None:
    call = summarized()

    actions = turn(call, "And a salad.", "Sure.")
    call.happens(ev.Summarized(2, "Ada wants two pizzas."))
    asked = call.happens(it.spoke("Bye"))

    text = (
        f"Earlier summary: Ada is calling.\n{NOTED}\nSince then:\nCaller: Two pizzas."
        "\nAgent: Which size?"
    )
    assert actions[-1] == Summarize(2, (it.caller(text),))
    first = (
        "[Summary of the call so far: Ada wants two pizzas.] [Noted word for word, later lines"
        f" correct earlier ones:\n{NOTED}] Large."
    )
    assert it.question(asked).messages[0] == it.caller(first)


def test_a_reply_cancels_the_summary_and_the_end_of_the_turn_asks_again() -> None:
    call = three_turns()

    spoke = call.happens(it.spoke("A salad please."))
    late = call.happens(ev.Summarized(1, "Ada is calling."))
    over = call.happens(it.delta(4, "Sure."), it.finished(4))

    begun = [one for one in spoke if isinstance(one, StartReply | CancelSummary)]
    assert [type(one) for one in begun] == [CancelSummary, StartReply]
    assert late == []
    assert isinstance(over[-1], Summarize)


def test_a_summary_after_a_reply_that_was_complete_before_the_words_is_not_cancelled() -> None:
    call = it.listening(SOON)
    turn(call, "I am Ada.", "Hello Ada.")
    turn(call, "Two pizzas.", "Which size?")
    call.happens(it.partial("Large please"), Timer.SPECULATION)
    call.happens(it.delta(3, "Fine. "), it.finished(3))

    actions = call.happens(it.spoke("Large please."))

    begun = (AdoptReply, Summarize, CancelSummary)
    assert [type(one) for one in actions if isinstance(one, begun)] == [AdoptReply, Summarize]


def test_a_model_that_is_always_interrupted_is_asked_less_often() -> None:
    call = three_turns()

    actions = [turn(call, "A salad.", "Sure.")[-1] for _ in range(7)]

    asked = [isinstance(one, Summarize) for one in actions]
    assert asked == [True, True, False, False, False, True, False]


def test_a_summary_that_is_cancelled_again_and_again_ends_in_an_extract_when_room_is_needed() -> (
    None
):
    limits = Limits(summarize_after_turns=2, kept_turns=2, turns_without_model=3)
    call = three_turns(it.limited(limits))

    actions = [turn(call, "A salad.", "Sure.")[-1] for _ in range(3)]

    assert [type(one) for one in actions] == [Summarize, Summarize, Record]
    assert call.history.summary.text.startswith("Caller: I am Ada. Caller: Two pizzas.")


def test_after_twenty_turns_all_but_the_last_four_are_summarised() -> None:
    call = it.listening()
    asked = [turn(call, f"Number {n}.", f"Here is {n}.")[-1] for n in range(1, 22)]

    call.happens(ev.Summarized(1, "The caller was told all numbers up to 17."))

    assert [isinstance(action, Summarize) for action in asked] == [False] * 20 + [True]
    assert call.facts[0] == CallerSaid("Number 18.")
    assert len(call.facts) == 2 * 4 + 1


def test_a_call_that_ends_is_not_summarised() -> None:
    call = it.listening(SOON)
    turn(call, "I am Ada.", "Hello Ada.")
    turn(call, "Two pizzas.", "Which size?")
    call.happens(it.spoke("None, bye."), it.delta(3, "Goodbye."), it.finished(3, it.wants("leave")))

    actions = call.happens(it.done(1, effect=HangUp()))

    assert Timer.PLAYBACK in call.running
    assert not any(isinstance(action, Summarize) for action in actions)


def test_one_summary_at_a_time() -> None:
    """The agent asks again whether the caller is there while it is awaited."""
    call = three_turns()

    actions = call.fires(Timer.IDLE)

    assert it.spoken(actions) == ["Are you still there?"]
    assert not any(isinstance(one, Summarize) for one in actions)


@pytest.mark.parametrize(
    "event", [ev.Summarized(2, "Not asked for."), ev.SummaryFailed(0), ev.SummaryFailed(2)]
)
def test_a_stale_summary_changes_nothing(event: ev.Event) -> None:
    call = three_turns()

    assert call.happens(event) == []


def test_a_summary_comes_once() -> None:
    call = summarized()

    assert call.happens(ev.Summarized(1, "Again.")) == []
    assert call.happens(ev.SummaryFailed(1)) == []


def test_a_summary_after_the_end_is_dropped() -> None:
    call = three_turns()

    call.happens(ev.CallEnded())

    assert call.happens(ev.Summarized(1, "Too late.")) == []


@pytest.mark.parametrize("first", [ev.SummaryFailed(1), ev.Summarized(1, " <think>Hm.</think>")])
def test_without_a_summary_nothing_is_lost_while_there_is_room(first: ev.Event) -> None:
    call = three_turns()

    if isinstance(first, ev.Summarized):
        call.happens(first)
        first = ev.Summarized(2, "")
    at_once = call.happens(first)
    later = [turn(call, "A salad.", "Sure.")[-1] for _ in range(3)]

    assert at_once == []
    assert [isinstance(action, Summarize) for action in later] == [False, False, True]
    assert call.history.first == 0


def test_without_a_summary_an_extract_makes_room() -> None:
    call = it.listening(SHORT)
    turn(call, "I am Ada [Lovelace].", "Hello Ada.", it.wants("order", '{"n":1}'))
    turn(call, "Two pizzas please.", "Which size would you like them in?")
    turn(call, "Large.", "Fine.")

    actions = call.happens(ev.SummaryFailed(1))

    text = 'Caller: I am Ada (Lovelace). order {"n":1} -> {"ok":true}'
    noted = (
        'Caller: I am Ada (Lovelace).\nDone: order {"n":1} -> {"ok":true}'
        "\nMentioned: Two pizzas please."
    )
    assert actions == [Record(8, Summary(text, 4, noted))]


def test_without_a_model_turns_have_an_end_too() -> None:
    limits = Limits(summarize_after_turns=2, kept_turns=2, turns_without_model=4)
    call = three_turns(it.limited(limits))

    kept = call.happens(ev.SummaryFailed(1))
    for _ in range(3):
        turn(call, "A salad.", "Sure.")
    records = call.happens(ev.SummaryFailed(2))

    text = "Caller: I am Ada. Caller: Two pizzas. Caller: Large. Caller: A salad."
    noted = "Caller: I am Ada.\nMentioned: Two pizzas."
    assert kept == []
    assert records == [Record(13, Summary(text, 9, noted))]


def test_an_order_is_not_made_again_when_its_fact_is_forgotten() -> None:
    call = summarized("Ada has ordered.", it.wants("order", '{"a":1,"b":2}'))
    call.happens(it.spoke("Order that."))

    actions = call.happens(it.finished(reply(call), it.wants("order", '{"b": 2, "a": 1}')))

    taken = ToolUsed(5, it.use(2, "order", '{"b": 2, "a": 1}'), it.result(2))
    assert Record(10, taken) in actions
    assert not any(isinstance(action, RunTool) for action in actions)


def test_other_orders_and_look_ups_run_as_ever() -> None:
    call = summarized("Ada has ordered.", it.wants("order", '{"a":1}'), it.wants("look_up"))
    call.happens(it.spoke("Order more."))

    actions = call.happens(
        it.finished(reply(call), it.wants("order", '{"a":2}'), it.wants("look_up"))
    )

    runs = [action.call.name for action in actions if isinstance(action, RunTool)]
    assert runs == ["order", "look_up"]


def test_an_order_that_failed_may_be_tried_again() -> None:
    call = it.listening(SOON)
    call.happens(
        it.spoke("Order."),
        it.finished(1, it.wants("order")),
        it.done(1, '{"error":"x"}', failed=True),
    )
    call.happens(it.delta(2, "Sorry."), it.finished(2), it.agent_off())
    turn(call, "That is bad.", "Yes?")
    turn(call, "Very bad.", "Yes?")
    call.happens(ev.Summarized(1, "It failed."))

    call.happens(it.spoke("Again."))
    actions = call.happens(it.finished(reply(call), it.wants("order")))

    assert RunTool(it.use(2, "order"), is_lasting=True) in actions


def test_an_order_in_progress_is_not_summarised() -> None:
    call = it.listening(SOON)
    call.happens(it.spoke("Order."), it.finished(1, it.wants("order")))
    for _ in range(3):
        turn(call, "Hello?", "Yes.")

    assert call.world.summaries == {}
    call.happens(it.done(1))
    actions = call.happens(it.delta(reply(call), "It is ordered."), it.finished(reply(call)))
    assert isinstance(actions[-1], Summarize)


def test_what_may_still_be_cut_is_not_summarised() -> None:
    history = History([CallerSaid("Hi."), AgentSaid("Hello."), *TURN, *TURN, *TURN])
    summarization = Summarization(history, ToolCalls(history, SPECS), ALWAYS)

    held = summarization.begin(1)
    actions = summarization.begin(5)

    assert held == []
    text = (
        "Earlier summary: none\nSince then:\nCaller: Hi.\nAgent: Hello.\nCaller: Well.\nAgent: Yes?"
    )
    assert actions == [Summarize(1, (it.caller(text),))]


def test_a_question_that_was_cut_is_not_forgotten() -> None:
    silent: list[Fact] = [CallerSaid("Yes!"), ToolUsed(1, it.use(1, "look_up"), it.result(1))]
    cut = AgentSaid("Shall I", is_cut=True)
    history = History([CallerSaid("Hi."), cut, *silent, *silent, *silent])
    summarization = Summarization(history, ToolCalls(history, SPECS), ALWAYS)

    assert summarization.begin(None) == []
    assert history.answered_before(len(history)) == 1


def test_an_order_after_a_cut_question_is_refused_long_after() -> None:
    call = it.listening(it.limited(Limits(summarize_after_turns=1, kept_turns=1)))
    call.happens(it.spoke("A pizza."), it.delta(1, "Shall I order "), it.interrupted("Shall I"))
    for _ in range(3):
        call.happens(it.spoke("Yes, do it!"))
        call.happens(it.finished(reply(call), it.wants("order")))

        orders = [fact for fact in call.facts if isinstance(fact, ToolUsed)]
        assert orders[-1].result is not None
        assert orders[-1].result.content == error_content(NOT_HEARD)
        call.happens(ev.ReplyFinished(reply(call), stop=StopReason.BLOCKED), it.agent_off())


def test_no_key_was_pressed_when_a_summary_comes() -> None:
    call = three_turns()
    call.happens(it.pressed("5"), ev.Summarized(1, "Ada is calling."), it.pressed("*"))

    actions = call.fires(Timer.DIGITS)

    assert not any(isinstance(action, StartReply) for action in actions)
    assert Timer.IDLE in call.running


def test_a_call_that_goes_on_elsewhere_remembers_what_was_done() -> None:
    order = ToolUsed(1, it.use(1, "order"), it.result(1))
    facts: list[Fact] = [CallerSaid("Order."), order, *TURN, Summary("It is ordered.", 2)]
    history = History(facts)
    runs = ToolCalls(history, SPECS)
    Summarization(history, runs, Limits())

    actions = runs.accept(9, [it.wants("order")], Exchange())

    assert history.first == 2
    assert [type(action) for action in actions] == [Record]


@pytest.mark.needs("time")
@pytest.mark.usefixtures("uncovered")
@pytest.mark.parametrize(
    ("every", "most_facts"),
    [(1, 70), (7, 160), (0, 260)],
    ids=["at once", "mostly cancelled", "never"],
)
def test_a_call_of_two_thousand_turns_stays_small(every: int, most_facts: int) -> None:
    conversation = Conversation(CallConfig(tools=SPECS))
    conversation.receive(ev.CallStarted())
    facts = characters = asked = summary = 0  # the most of each, and the last number
    for number in range(2_000):
        reply = 2 * number + 2
        look = ToolCall("x", "look_up", f'{{"number":{number}}}')
        happenings: list[ev.Event] = [
            ev.CallerSpoke(f"Number {number}, please."),
            ev.ReplyFinished(reply, (look,)),
            it.done(number + 1, '{"item":"' + "x" * 200 + '"}'),
            ev.ReplyDelta(reply + 1, f"Here is {number}."),
            ev.ReplyFinished(reply + 1),
            it.agent_off(),
        ]
        for event in happenings:
            for action in conversation.receive(event):
                if isinstance(action, Summarize):
                    summary = action.summary
                if isinstance(action, StartReply | Summarize):
                    asked = max(asked, len(str(action.messages)) if number % 9 == 0 else 0)
        if every == 0:
            conversation.receive(ev.SummaryFailed(summary))
        elif number % every == 0:
            conversation.receive(ev.Summarized(summary, f"Number {number} is here. " * 300))
        facts = max(facts, len(list(conversation.history)))
        characters = max(characters, conversation.history.characters)

    assert len(conversation.history) > 6_000
    assert facts <= most_facts
    assert characters <= 21_000
    assert asked <= 60_000


def test_a_transcript_has_every_kind_of_fact() -> None:
    facts: list[Fact] = [
        CallerSaid("Hi  there.\n"),
        CallerSaid("5 5", InputMode.KEYPAD),
        AgentSaid("We have", is_cut=True),
        AgentSaid(" ", is_cut=True),
        AgentSaid("One moment.", SpeechSource.SERVICE),
        CallerSaid(" "),
        Note("The kitchen closes."),
        Note(""),
        ToolUsed(1, it.use(1, "look_up", '{"a":1}'), it.result(1, '{"b":2}')),
        ToolUsed(1, it.use(2, "order")),
        Summary("Earlier.", 0),
    ]

    assert transcript("Ada is calling.", facts, 1_000).splitlines() == [
        "Earlier summary: Ada is calling.",
        "Since then:",
        "Caller: Hi there.",
        "Keypad: 5 5",
        "Agent: We have (interrupted there)",
        "Agent: One moment.",
        "Note: The kitchen closes.",
        'look_up {"a":1} -> {"b":2}',
        "order {} ->",
    ]


def test_a_transcript_that_is_too_long_begins_later() -> None:
    facts: list[Fact] = [CallerSaid("a" * 10), CallerSaid("b" * 10), CallerSaid("c" * 3_000)]

    assert (
        transcript("S.", facts[:2], 19) == "Earlier summary: S.\nSince then:\nCaller: " + "b" * 10
    )
    assert transcript("", facts[2:], 2_100).endswith("c…")
    assert transcript("", facts[2:], 10) == "Earlier summary: none\nSince then:"


def test_an_extract_has_the_callers_words_and_tool_results() -> None:
    facts: list[Fact] = [
        CallerSaid("First."),
        AgentSaid("Which?"),
        CallerSaid("b" * 300),
        ToolUsed(1, it.use(1, "order"), it.result(1, '{"number":7}')),
        Note("The kitchen closes."),
    ]

    assert extract("Ada is calling.", facts, 250) == (
        "Ada is calling. Caller: " + "b" * 199 + '… order {} -> {"number":7}'
    )
    assert extract("Ada is calling.", facts, 20) == "Ada is…"
    assert extract("", [AgentSaid("Hello.")], 100) == NOTHING


ORDER: list[Fact] = [
    CallerSaid("Hi, this is Ada. I would like to order two large mushroom pizzas and a salad."),
    ToolUsed(1, it.use(1, "order", '{"pizza":"mushroom"}'), it.result(1, '{"number":4711}')),
    AgentSaid("Of course. That is 25 dollars, ready for pickup at seven."),
]
PEDIDO: list[Fact] = [
    CallerSaid("Hola, quiero una pizza de champiñones y una ensalada para las siete."),
    AgentSaid("Muy bien, la pizza con la ensalada está lista a las siete en el local."),
]
IN_JAPANESE: list[Fact] = [  # words without blanks
    CallerSaid("マッシュルームのピザを二枚とサラダをお願いします。"),
    AgentSaid("かしこまりました。ピザは七時にできます。"),
]


@pytest.mark.parametrize(
    ("facts", "summary"),
    [
        (ORDER, "The caller Ada ordered two large mushroom pizzas, number 4711, for seven."),
        (ORDER, "Here is the summary: Ada wants pizzas. Still open: which size does Ada want?"),
        (PEDIDO, "El cliente quiere una pizza de champiñones con ensalada para las siete."),
        (
            IN_JAPANESE,
            "お客様はマッシュルームのピザを二枚、七時に頼みました。",
        ),
        (TURN, "The two have greeted."),
        ([CallerSaid("5 5", InputMode.KEYPAD)], "Keys were pressed."),
    ],
)
def test_a_summary_of_the_call_is_taken(facts: list[Fact], summary: str) -> None:
    assert summary_fault(summary, "", facts) == ""


@pytest.mark.parametrize(
    ("facts", "summary", "fault"),
    [
        (ORDER, "", "it had no words"),
        (ORDER, "I'm sorry, but I cannot summarize this call about pizzas.", SPOKE),
        (ORDER, "Sorry, I can\u2019t help with mushroom pizzas.", SPOKE),
        (ORDER, "Hello Ada! Two large mushroom pizzas it is.", SPOKE),
        (ORDER, "Your two mushroom pizzas are ready at seven. Would you like a drink?", SPOKE),
        (ORDER, "As an AI language model I do not keep pizzas.", SPOKE),
        (PEDIDO, "Lo siento, no puedo hacer eso con la pizza.", SPOKE),
        (PEDIDO, "La pizza está lista. ¿Le puedo ayudar en algo más?", SPOKE),
        (ORDER, "El cliente Ada quiere dos pizzas de champiñones para las siete.", FOREIGN),
        (PEDIDO, "The caller wants a pizza with champiñones and a salad for the evening.", FOREIGN),
        (ORDER, "客户要了两个大蘑菇披萨和一份沙拉。", FOREIGN),
        (IN_JAPANESE, "The caller wants two mushroom pizzas and a salad.", FOREIGN),
        ([*ORDER, *ORDER, *ORDER], "Ada ordered.", "it was too short"),
        (
            ORDER,
            "The weather in Paris is mild in spring, and many people visit.",
            "it was not about",
        ),
        (
            IN_JAPANESE,
            "今日はとても良い天気なので散歩に行きたいと思います。",
            "it was not about",
        ),
    ],
)
def test_what_is_no_summary_of_the_call_is_refused(
    facts: list[Fact], summary: str, fault: str
) -> None:
    assert summary_fault(summary, "", facts).startswith(fault)


BOOKSHOP: list[Fact] = [
    CallerSaid("Do you sell books for children? Which one do you like best?"),
    AgentSaid("Our newest is The Magic Book of Wonder. It costs 12 dollars."),
    CallerSaid("My name is Ada Lovelace. Can you keep one for me?"),
    AgentSaid("Yes, I have reserved one for you. We will call you on Friday, on 555 201 0100."),
]
INVENTED = (
    "The Magic Book of Wonder is one of the most famous books of the world. It was sold by a"
    " company that makes toys for kids, and tells how trains travel across mountains. A young girl"
    " discovers an ancient temple with stories of different cultures."
)
"""Much like what a small model writes: with the title, and about nothing else that was said."""


def test_a_summary_among_the_facts_is_not_what_the_next_one_is_judged_by() -> None:
    facts = [Summary("Bob has a question.", 0), *ORDER]

    assert summary_fault("Ada wants two mushroom pizzas.", "", facts) == ""


def test_a_summary_that_is_mostly_invented_is_refused() -> None:
    told = (
        "The caller Ada Lovelace asked for books for children. The agent likes The Magic Book of"
        " Wonder best, which costs 12 dollars, has reserved one, and will call on Friday on the"
        " number 555 201 0100."
    )

    assert summary_fault(told, "", BOOKSHOP) == ""
    assert summary_fault(INVENTED, "", BOOKSHOP) == "it was not about this call"


def test_a_summary_that_is_longer_than_the_call_is_refused() -> None:
    rambling = "Ada wants pizzas and a salad for seven. " * 9

    assert summary_fault(rambling, "", ORDER) == "it was longer than the call"
    assert summary_fault(rambling, "", ORDER * 3) == ""


def test_a_refused_summary_is_asked_for_once_more_with_the_reason() -> None:
    call = three_turns()

    again = call.happens(ev.Summarized(1, "I'm sorry, I can't help with that."))
    taken = call.happens(ev.Summarized(2, "Ada is calling."))

    text = (
        "Earlier summary: none\nSince then:\nAgent: Hello.\nCaller: I am Ada.\nAgent: Hello Ada."
        "\nYour last answer was refused: it spoke to the caller."
        " Write the summary that was asked for, nothing else."
    )
    assert again == [Summarize(2, (it.caller(text),))]
    assert taken == [Record(7, Summary("Ada is calling.", 3, NOTED))]


def test_a_call_that_has_spent_its_limit_asks_for_no_summary_again() -> None:
    call = three_turns()
    call.happens(ev.AllowanceSpent(of_call=True))

    assert call.happens(ev.Summarized(1, "I'm sorry, I can't help with that.")) == []


def test_a_summary_that_is_refused_twice_gives_way_to_an_extract_when_room_is_needed() -> None:
    call = three_turns(
        it.limited(Limits(summarize_after_turns=2, kept_turns=2, turns_without_model=2))
    )

    call.happens(ev.Summarized(1, "Hello! How can I help you?"))
    actions = call.happens(ev.Summarized(2, "Hello! How can I help you?"))

    assert actions == [Record(7, Summary("Caller: I am Ada.", 3, NOTED))]


def test_an_earlier_summary_that_the_model_has_dropped_is_kept() -> None:
    earlier = "Ada Lovelace of Elm Street wants mushroom pizzas delivered on Friday."

    assert with_earlier("Ada Lovelace wants pizzas on Friday.", earlier, 200) == (
        "Ada Lovelace wants pizzas on Friday."
    )
    assert with_earlier("The salad comes without onions.", earlier, 200) == (
        f"{earlier} The salad comes without onions."
    )
    assert with_earlier("The salad comes without onions.", earlier, 60) == (
        "Ada Lovelace of Elm Street… The salad comes without onions."
    )
    assert with_earlier("The salad comes without onions.", "Ada calls.", 60) == (
        "The salad comes without onions."
    )


def test_a_summary_of_an_older_version_has_no_facts_and_counts() -> None:
    """Its caller's words at the border were not noted, so they are now."""
    facts = [*TURN, CallerSaid("My number is 555 0100."), AgentSaid("Thanks."), *TURN, *TURN]
    history = History([*facts, Summary("Ada is calling.", 2)])
    summarization = Summarization(history, ToolCalls(history, SPECS), ALWAYS)

    summarization.begin(None)
    [record] = summarization.finish("Ada is calling, and has left a number.")

    assert isinstance(record, Record)
    assert record.fact == Summary(
        "Ada is calling, and has left a number.", 4, "Caller: My number is 555 0100."
    )


@given(
    turns=st.lists(
        st.sampled_from(["My number is 555 0100.", "I am Bob Ray.", "Well.", "Order it.", "4711"]),
        min_size=3,
        max_size=14,
    ),
    answers=st.lists(st.sampled_from(["", "Bob Ray wants to order.", "Hello!"]), min_size=30),
)
def test_whatever_models_answer_a_number_of_the_caller_is_read_in_every_later_request(
    turns: list[str], answers: list[str]
) -> None:
    """In the facts block, or in the words that are not summarised yet."""
    limits = Limits(summarize_after_turns=1, kept_turns=2, turns_without_model=2)
    call, said = it.listening(it.limited(limits)), list[str]()
    for words in turns:
        said += [words] if "4711" in words or "555" in words else []
        actions = call.happens(it.spoke(words))
        if Timer.END_OF_TURN_DELAY in call.running:
            actions = call.fires(Timer.END_OF_TURN_DELAY)
        parts = (part for one in it.question(actions).messages for part in one.parts)
        read = " ".join(part.text for part in parts if isinstance(part, Text))

        assert all(one in read for one in said)
        actions = call.happens(it.delta(reply(call), "Fine."), it.finished(reply(call)))
        while actions and isinstance(actions[-1], Summarize) and answers:
            actions = call.happens(ev.Summarized(actions[-1].summary, answers.pop()))
        call.happens(it.agent_off())


words = st.text(max_size=60)
any_facts = st.lists(
    st.builds(CallerSaid, words)
    | st.builds(AgentSaid, words)
    | st.builds(Note, words)
    | st.builds(lambda text: ToolUsed(1, it.use(1, "order"), it.result(1, text)), words),
    max_size=8,
)


@given(summary=words, facts=any_facts, limit=st.integers(40, 400))
def test_an_extract_is_one_short_line_that_says_something(
    summary: str, facts: list[Fact], limit: int
) -> None:
    text = extract(summary, facts, limit)

    assert 0 < len(text) <= limit
    assert text == " ".join(text.split())
    assert not set("[]") & set(text)


@given(text=st.text(max_size=300), limit=st.integers(1, 200))
def test_a_summary_of_any_model_is_one_short_line(text: str, limit: int) -> None:
    line = cleaned(text, limit)

    assert len(line) <= limit
    assert line == " ".join(line.split())
    assert not set("[]*`") & set(line)


def test_a_summary_is_cleaned_like_a_reply() -> None:
    written = (
        "<thinking>Who is it?</thinking>\n## Summary\n- **Ada** wants [two] pizzas for $25.50.\n"
    )

    assert cleaned(written, 100) == "Summary Ada wants two pizzas for $25.50."
    assert cleaned("word " * 1_000, 20) == "word word word word…"


@given(facts=any_facts, limit=st.integers(0, 400))
def test_any_transcript_can_be_asked_about(facts: list[Fact], limit: int) -> None:
    assert_acceptable((it.caller(transcript("", facts, limit)),))
