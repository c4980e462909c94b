"""What a caller's words are before they are a turn."""

from __future__ import annotations

import pytest

from agent.call.utterance_analysis import (
    asks,
    asks_for_moment,
    has_words,
    is_acknowledgement,
    questions,
    repeats,
    retells,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Two.", True), ("7", True), ("好", True), ("", False), (" \n", False), ("?! ...", False)],
)
def test_marks_alone_are_no_words(text: str, *, expected: bool) -> None:
    assert has_words(text) is expected


@pytest.mark.parametrize("text", ["Okay.", "uh-huh", "Mm-hm", "YES!", "all right", "Yeah, yeah."])
def test_a_backchannel_is_the_whole_utterance(text: str) -> None:
    assert is_acknowledgement(text, "en")


@pytest.mark.parametrize(
    "text", ["stop", "no", "wait", "actually", "okay stop", "yes but no onions", "", "..."]
)
def test_other_words_are_no_backchannel(text: str) -> None:
    assert not is_acknowledgement(text, "en")


@pytest.mark.parametrize(
    "text",
    [
        "Shall I order it?",
        'Did you say "two?"',
        "Shall I? Fine.",
        "ご注文は以上でしょうか？",  # noqa: RUF001 (Japanese)
        "هل هذا كل شيء؟",
        "Would you like garlic bread? It is only three dollars.",
        "Just say yes or no.",
        "I just need your phone number.",
        "Tell me the size you would like.",
        "Press one for sales.",
        "Let me know if that works.",
        "And your name, please.",
        "Your phone number, please.",
        "Please go ahead.",
        "I'm listening.",
        "What would you like. We have pizza and salad",
        "May I have your address.",
        "Shall I place the order",
        "Small or large.",
        "Pickup or delivery.",
        "That is two large pizzas, right.",
        "All I need is a date for the visit.",
        "We still need your e-mail address.",
        "Could you spell that for me.",
        "Give me your last name.",
        "I'd like to know how many people come.",
        "Can I get you anything else. We close at nine.",
        "Say that again.",
        "You can choose between thin and thick crust.",
        "I will need a first and last name for that.",
        "Simply repeat the number.",
        "Which one. The first one is cheaper.",
        "Are you still there. I am here if you need me.",
        "Sagen Sie bitte ja oder nein.",
        "Dígame su número de teléfono.",
        "ご注文は以上ですか。",
        "您要大的吗。",
        "Is that correct? I have a large pizza. It takes ten minutes.",
        "Do you want it delivered? Delivery is free today. It takes half an hour.",
        "I was wondering if you would like a drink with that.",
        "To confirm, that is one large pizza.",
        "Now, the phone number where we can reach you, please.",
        "Enter your code with the keys.",
        "I'm missing your zip code.",
        "Whenever you're ready.",
        "First things first: your name.",
        "Next I need the day.",
        "Name a time that suits you.",
        "How about a salad with it. They are fresh",
        "Then it's your turn.",
        "I'd love to hear your thoughts.",
        "Anything else. Otherwise I place the order.",
        "Feel free to ask me anything.",
        "Okay, and for when. We are open until nine.",
        "One moment, please. What was your name again?",
        "Could you hold on a second? I will look.",
        "I'm going to ask you for your birthday now.",
        "Just the last four digits of your card.",
        "All that's left is your phone number.",
        "Let's start with your name.",
        "So that's a yes.",
        "The last thing is your address.",
    ],
)
def test_question_or_request_anywhere_asks(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "One moment, please.", "Just a moment.", "Please hold on.",
        "Your order is two large pizzas and a salad. It comes to twenty four dollars.",
        "We are open until nine tonight.", "Let me check that for you.",
        "I am looking that up now.", "The kitchen is busy, so it takes ten or fifteen minutes.",
        "Thank you for calling. Goodbye.", "It is only three dollars.",
        "Your pizza will be ready at seven.", "You can pick it up at seven.",
        "I have found three apartments in your area.",
        "The first one has two bedrooms and costs fifteen hundred dollars a month.",
        "I have placed your order.", "Give me a second.", "Please wait a moment.", "Bear with me.",
        "Well, energy and mass are the same thing.", "I will send you a message with the details.",
        "Hello, this is the pizza place.", "I am still on it.",
        "Thank you for waiting, it will not be long.",
        "We have pizza, pasta and salads on the menu today.",
        "There is a large garden behind the house.", "Please stay on the line.",
        "That is a good choice.", "Great, I added a house salad.",
        "I am sorry, the line broke off for a moment.",
        "Your appointment is on Monday at three in the afternoon.",
        "The store is on Main Street, next to the bank.", "It will take a few minutes.",
        "Light is made of waves and of particles.", "Your name is saved.",
        "I will need a moment to look that up.",
    ],
)  # fmt: skip
def test_plain_statement_does_not_ask(text: str) -> None:
    assert not asks(text)


@pytest.mark.parametrize(
    ("before", "now", "is_retold", "is_nothing_new"),
    [
        ("two large", "two large pizzas please", True, False),
        ("Two large!", "two LARGE", True, True),
        ("two large pizzas", "two large", True, True),
        ("one large to go", "one large two go please", True, False),
        ("large to go", "large two go please", False, False),
        ("lar", "large please", True, False),
        ("la", "large please", False, False),
        ("to large", "two large pizzas", False, False),
        ("I want a pizza", "I want a pizzeria", False, False),
        ("I'd like to pay", "I'd like a pay phone", False, False),
        ("five five", "five five", False, False),
        ("two", "two large", True, False),
        ("two", "two five", False, False),
        ("two", "two", False, False),
        ("...", "two", False, False),
        ("two large", "...", False, False),
    ],
)
def test_words_that_are_given_again(
    before: str, now: str, *, is_retold: bool, is_nothing_new: bool
) -> None:
    assert retells(before, now) is is_retold
    assert (is_retold and repeats(before, now)) is is_nothing_new


def test_questions_are_counted_by_their_marks() -> None:
    assert questions("Is it? 是吗？ هل هذا؟ Yes.") == 3  # noqa: RUF001 (other scripts)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en-US", "okay, great"), ("en-US", "oh nice"), ("en-US", "right, right"),
        ("es-US", "ajá, sí"), ("de-DE", "ach so, alles klar"), ("fr-FR", "d'accord, très bien"),
        ("ja-JP", "mm"),
    ],
)  # fmt: skip
def test_backchannels_may_follow_each_other(language: str, text: str) -> None:
    assert is_acknowledgement(text, language)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en-US", "Hold on a second please.", True),
        ("en-US", "Can you wait a moment?", True),
        ("en-US", "Just a second, someone is at the door", True),
        ("en-US", "Give me a minute, I have to ask my wife", True),
        ("en-US", "Wait, can I change that?", False),
        ("en-US", "Hold on, I wanted the calzone", False),
        ("en-US", "Wait I am not done", False),
        ("en-US", "Wait, I'm looking for my card", True),
        ("de-DE", "Moment, ich habe noch eine Frage", False),
        ("es-US", "Un momento, por favor.", True),
        ("es-US", "Espere, tengo que buscar mi tarjeta", True),
        ("de-DE", "Einen Moment bitte", True),
        ("de-DE", "Moment, ich hole einen Stift", True),
        ("fr-FR", "Un instant, s'il vous plaît", True),
        ("fr-FR", "Attendez, je cherche ma carte", True),
        ("ja-JP", "ちょっと待って", False),
    ],
)
def test_a_request_for_a_moment(language: str, text: str, *, expected: bool) -> None:
    """With the reason, but with nothing else that wants an answer."""
    assert asks_for_moment(text, language) is expected
