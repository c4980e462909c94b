"""What a long call keeps word for word: names, numbers, orders, promises."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.facts_block import LONGEST_LINE, facts_block, lines_of
from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    InputMode,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
)
from tests.call import builders as it


def is_order(used: ToolUsed) -> bool:
    return used.call.name == "order"


def noted(*facts: Fact) -> list[str]:
    return list(lines_of(facts, is_order))


def asked(question: str, *answers: str) -> list[str]:
    return noted(AgentSaid(question), *map(CallerSaid, answers))


def test_a_call_as_lines() -> None:
    lines = noted(
        AgentSaid("Hello, this is Mario's 24 hour pizza.", SpeechSource.GREETING),
        CallerSaid("Hi, this is Ann Lee. Two large pizzas please."),
        ToolUsed(1, it.use(1, "menu", "{}"), it.result(1, '{"large":12.5}')),
        AgentSaid("A large one is $12.50. What is your phone number?"),
        CallerSaid("It's 555"),
        CallerSaid("0100."),
        AgentSaid("So two large pizzas for $25, right?"),
        AgentSaid("One moment, please 1 2 3.", SpeechSource.FILLER),
        CallerSaid("Yes, sure."),
        ToolUsed(2, it.use(2, "order", '{"large":2}'), it.result(2, '{"order_id":[4711]}')),
        ToolUsed(3, it.use(3, "order", '{"large":9}'), it.result(3, "{}", is_error=True)),
        ToolUsed(4, it.use(4, "order")),
        AgentSaid("I've placed your order. We will call you when it is ready. Anything else?"),
        CallerSaid("Yes."),
        CallerSaid("4 2", InputMode.KEYPAD),
        Note("The kitchen closes at 10."),
        CallerSaid("Thanks, that is all."),
    )

    assert lines == [
        "Name: Hi, this is Ann Lee.",
        "Mentioned: Two large pizzas please.",
        'Looked up: menu {} -> {"large":12.5}',
        "Said: A large one is $12.50.",
        'Caller: asked "What is your phone number?": It\'s 555 0100.',
        "Agreed: So two large pizzas for $25, right?",
        'Done: order {"large":2} -> {"order_id":(4711)}',
        "Promised: I've placed your order.",
        "Promised: We will call you when it is ready.",
        "Caller: pressed 4 2",
    ]


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("What is your name?", "Ann", "Name"),
        ("Where do we deliver it to? I need the address.", "Elm Street", "Caller"),
        ("Can you spell that?", "b o b", "Caller"),
        ("What else?", "My number is five five five, oh one hundred", "Caller"),
        ("What else?", "Ask for Bob", "Caller"),
        ("What else?", "ann@example.com", "Caller"),
        ("¿Cómo se llama? ¿Me da su nombre?", "Ana de la Cruz, para la cena con los niños", "Name"),
        ("Wie ist der Name für die Reservierung?", "Das ist ein Tisch für die Familie", "Name"),
        ("C'est à quel nom, pour la table de ce soir ?", "Pour le nom de Dupont", "Name"),
        ("Est-ce la rue ou le numéro de la maison ?", "Le douze de la rue du Bac", "Caller"),
        ("De qué hora para la mesa en el centro?", "A las siete, por favor", "Mentioned"),
    ],
)
def test_what_was_asked_tells_what_an_answer_is(question: str, answer: str, kind: str) -> None:
    assert [line.partition(":")[0] for line in asked(question, answer)] == [kind]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which size?", "Large, please."),
        ("Anything else?", "Yes."),
        ("How can I help?", "Yeah, sure."),
        ("It is nice here.", "Okay."),
        ("Which size?", "I think that I'll take a large one."),
    ],
)
def test_small_talk_is_no_fact(question: str, answer: str) -> None:
    assert asked(question, answer) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Your table is booked.",
        "I have saved the address.",
        "We'll send you a message.",
        "You will get a call.",
        "La mesa está reservada para la cena de los dos.",
        "Le enviaremos un mensaje con la hora de la cita.",
        "Ich werde Sie zurückrufen, wenn der Tisch und das Essen da ist.",
        "Der Tisch ist für den Abend reserviert und die Zeit ist notiert.",
        "La table est réservée pour le dîner de la famille.",
        "Nous vous rappellerons pour le taxi et la table.",
    ],
)
def test_a_promise_of_the_agent_is_kept(sentence: str) -> None:
    assert noted(AgentSaid(sentence)) == [f"Promised: {sentence}"]


def test_what_was_not_heard_is_no_promise() -> None:
    assert noted(AgentSaid("I will", is_cut=True)) == []
    assert noted(AgentSaid("Let me check. I'll see what we have.")) == []


def test_in_a_language_without_a_table_numbers_and_tools_are_kept() -> None:
    lines = noted(
        CallerSaid("Отправьте код 4711 на мой телефон"),
        ToolUsed(1, it.use(1, "order"), it.result(1)),
        AgentSaid("Стол на 19:30."),
    )

    assert lines == [
        "Caller: Отправьте код 4711 на мой телефон",
        'Done: order {} -> {"ok":true}',
        "Said: Стол на 19:30.",
    ]


def test_a_number_is_not_cut_in_two() -> None:
    result = '{"' + "a" * 278 + '":5550100}'

    assert noted(ToolUsed(1, it.use(1, "order"), it.result(1, result))) == [
        'Done: order {} -> {"' + "a" * 278 + '"…'
    ]


@pytest.mark.parametrize("question", ["", "What is your phone number, the one I can reach you at?"])
def test_a_number_at_the_end_of_a_long_story_is_noted(question: str) -> None:
    story = "and then I went there and they told me to call you about it " * 10

    block = facts_block("", asked(question, f"{story}my number is 555 0100"), 3_000)

    assert "my number is 555 0100" in block


def test_an_equal_line_counts_where_it_came_last() -> None:
    assert facts_block("Said: 1\nSaid: 2", ["Said: 1"], 100) == "Said: 2\nSaid: 1"


def test_a_full_block_leaves_out_what_matters_least_and_of_that_the_oldest() -> None:
    lines = [
        "Looked up: 1", "Said: 1", "Caller: 111", "Done: order 1", "Said: 2", "Name: Ann",
        "Caller: 222", "From elsewhere: 1",
    ]  # fmt: skip

    assert facts_block("", lines, 200) == "\n".join(lines)
    assert facts_block("", lines, 62).splitlines() == [
        "Caller: 111", "Done: order 1", "Said: 2", "Name: Ann", "Caller: 222",
    ]  # fmt: skip
    assert facts_block("", lines, 36).splitlines() == ["Done: order 1", "Name: Ann", "Caller: 222"]
    assert facts_block("", lines, 9) == "Name: Ann"
    assert facts_block("", lines, 0) == ""


said = st.sampled_from([
    "My number is 555 0100", "Hi, this is Ann Lee.", "Yes.", "Two pizzas", "Ask for Bob. Or 4711",
    "Which size?", "What is your name?", "Your order 12 is booked.", "You'll get a call at 7:30.",
]) | st.text(max_size=80)  # fmt: skip
any_facts = st.lists(
    st.builds(CallerSaid, said)
    | st.builds(CallerSaid, st.text("0123456789# ", min_size=1), st.just(InputMode.KEYPAD))
    | st.builds(AgentSaid, said, st.sampled_from(SpeechSource), st.booleans())
    | st.builds(Note, said)
    | st.builds(Summary, said, st.just(0))
    | st.builds(
        lambda name, text: ToolUsed(1, it.use(1, name), it.result(1, text)),
        st.sampled_from(["order", "menu"]),
        said,
    ),
    max_size=12,
)


@given(rounds=st.lists(any_facts, min_size=1, max_size=6))
def test_with_room_every_line_of_a_round_is_in_all_later_ones(rounds: list[list[Fact]]) -> None:
    block = ""
    for facts in rounds:
        before, block = block, facts_block(block, noted(*facts), 1_000_000)

        assert {*block.splitlines()} == {*before.splitlines(), *noted(*facts)}


@given(rounds=st.lists(any_facts, min_size=1, max_size=6), limit=st.integers(0, 900))
def test_a_block_has_an_end_and_leaves_out_only_what_does_not_fit(
    rounds: list[list[Fact]], limit: int
) -> None:
    block = ""
    for facts in rounds:
        before, lines = block.splitlines(), noted(*facts)
        block = facts_block(block, lines, limit)

        assert len(block) <= limit
        left_out = {*before, *lines} - {*block.splitlines()}
        assert all(len(block) + len(line) + 1 > limit for line in left_out)


@given(facts=any_facts)
def test_any_line_is_one_short_line_of_a_block(facts: list[Fact]) -> None:
    for line in noted(*facts):
        assert line == " ".join(line.split())
        assert 0 < len(line) <= LONGEST_LINE
        assert not set("[]") & set(line)


@given(facts=any_facts)
def test_every_long_number_of_the_caller_is_noted(facts: list[Fact]) -> None:
    block = facts_block("", noted(*facts), 1_000_000)

    for fact in facts:
        if isinstance(fact, CallerSaid) and fact.means is InputMode.SPEECH:
            for number in re.findall(r"[0-9]{3,}", fact.text):
                assert number in block
