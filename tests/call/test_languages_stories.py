"""The language of a call: how it is noticed, changed and kept, and which one the agent speaks."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from agent.call import events as ev
from agent.call.actions import DiscardReply, Handoff, Record, Speak, SwitchLanguage
from agent.call.built_in_phrases import phrases_in
from agent.call.config import Phrases
from agent.call.events import EndReason
from agent.call.history import CallerSaid
from agent.call.languages import LANGUAGES, closest_tag
from agent.call.messages import SPEAKS
from agent.call.timers import Timer
from tests.call import builders as it

BILINGUAL = replace(
    it.HELLO,
    language="en-US",
    translations={tag: phrases_in(tag) or Phrases() for tag in ("en-US", "es-US", "de-DE")},
)


def says(text: str, language: str) -> ev.CallerSpoke:
    return ev.CallerSpoke(text, language=language)


def languages_spoken(call: it.Call) -> list[str]:
    return [one.language for one in call.world.utterances]


def test_two_prompts_in_another_language_change_the_call() -> None:
    call = it.listening(BILINGUAL)

    first = call.happens(says("quiero una pizza", "es"))
    call.happens(it.delta(1, "Sorry? "), it.finished(1), it.agent_off())
    second = call.happens(says("una pizza por favor", "es"))
    call.happens(it.delta(2, "Claro. "))

    assert not [action for action in first if isinstance(action, SwitchLanguage)]
    assert second[0] == SwitchLanguage("es-US")
    assert Record(3, CallerSaid("una pizza por favor", language="es-US")) in second
    assert it.caller_text(second) == f"{SPEAKS.format('es-US')} una pizza por favor"
    assert languages_spoken(call) == ["en-US", "es-US"]


def test_one_long_prompt_in_another_language_changes_the_call() -> None:
    call = it.listening(BILINGUAL)

    actions = call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es-MX"))

    assert actions[0] == SwitchLanguage("es-US")


def test_a_reply_that_was_asked_ahead_is_discarded_when_the_call_changes() -> None:
    call, words = it.listening(BILINGUAL), "hola, quisiera pedir una pizza grande de queso"
    call.happens(replace(says(words, "es"), is_final=False), Timer.SPECULATION)

    actions = call.happens(says(words, "es"))

    assert actions[:2] == [DiscardReply(1), SwitchLanguage("es-US")]
    assert it.question(actions).reply == 2


@pytest.mark.parametrize("words", ["ok", "Okay.", "no", "Anna Müller", "uno dos tres cuatro cinco"])
def test_a_few_words_never_change_the_call(words: str) -> None:
    call = it.listening(BILINGUAL)

    for number in range(1, 6):
        said = call.happens(says(f"{words} {'!' * number}", "es"))
        call.happens(it.delta(number, "Sure."), it.finished(number), it.agent_off())
        assert not [action for action in said if isinstance(action, SwitchLanguage)]


def test_a_name_or_an_address_never_changes_the_call() -> None:
    call = it.listening(BILINGUAL)
    call.happens(says("I would like to leave my name", "en"))
    call.happens(it.delta(1, "What is your name?"), it.finished(1), it.agent_off())

    name = call.happens(says("Ana María de la Cruz García y López", "es"))
    call.happens(it.delta(2, "What is your address?"), it.finished(2), it.agent_off())
    street = call.happens(
        says("Avenida de las Palmas de San Juan Capistrano", "es"), it.caller_off()
    )

    assert not [action for action in [*name, *street] if isinstance(action, SwitchLanguage)]


def test_short_words_of_the_old_language_do_not_change_the_call_back() -> None:
    call = it.listening(BILINGUAL)
    call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es"))
    call.happens(it.delta(1, "Claro."), it.finished(1), it.agent_off())

    switched = [
        action
        for words, language in [("ok", "en"), ("sí", "es"), ("okay", "en"), ("no", "en")]
        for action in call.happens(says(words, language))
        if isinstance(action, SwitchLanguage)
    ]

    assert switched == []


def test_a_sentence_in_the_language_of_the_call_breaks_the_row() -> None:
    call = it.listening(BILINGUAL)

    actions = [
        action
        for words, language in [
            ("quiero una pizza", "es"),
            ("no I want pizza", "en"),
            ("una pizza por favor", "es"),
        ]
        for action in call.happens(says(words, language))
    ]

    assert not [action for action in actions if isinstance(action, SwitchLanguage)]


def test_a_language_that_the_use_case_does_not_speak_changes_nothing() -> None:
    call = it.listening(BILINGUAL)

    actions = call.happens(says("bonjour je voudrais une grande pizza aux champignons", "fr"))

    assert not [action for action in actions if isinstance(action, SwitchLanguage)]


def test_a_long_prompt_in_chinese_is_counted_by_its_characters() -> None:
    config = replace(BILINGUAL, translations={"en-US": Phrases(), "zh-CN": Phrases()})
    call = it.listening(config)

    short = call.happens(says("好的", "zh"))
    long = call.happens(says("你好我想要一个大的意大利香肠披萨谢谢", "zh"))

    assert not [action for action in short if isinstance(action, SwitchLanguage)]
    assert long[0] == SwitchLanguage("zh-CN")


def test_speech_to_text_that_knows_all_languages_goes_on_so() -> None:
    call = it.listening(replace(BILINGUAL, hears_any_language=True))

    heard = call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es"))
    call.happens(it.finished(1, it.wants("leave")))
    asked = call.happens(it.done(1, effect=SwitchLanguage("en-US")))

    assert heard[0] == SwitchLanguage("es-US", voice_only=True)
    assert SwitchLanguage("en-US", voice_only=True) in asked


def test_a_tool_and_the_callers_words_change_the_same_language() -> None:
    call = it.using("leave", config=BILINGUAL)

    call.happens(it.done(1, effect=SwitchLanguage("es-US")))
    call.happens(it.delta(2, "Claro."), it.finished(2), it.agent_off())
    silence = call.fires(Timer.IDLE)
    call.happens(it.agent_off())
    back = call.happens(says("I want to go on in English now please", "en"))

    assert it.spoken(silence) == ["¿Sigue ahí?"]
    assert languages_spoken(call) == ["es-US", "es-US"]
    assert back[0] == SwitchLanguage("en-US")


def test_a_call_in_spanish_asks_waits_and_says_goodbye_in_spanish() -> None:
    call = it.listening(BILINGUAL)
    call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es"))

    filler = call.fires(Timer.FILLER)
    call.happens(it.delta(1, "Claro."), it.finished(1), it.agent_off())
    moment = call.happens(says("un momento por favor", "es"), Timer.END_OF_TURN_DELAY)
    call.happens(it.agent_off())
    reprompts = [call.happens(Timer.IDLE), call.happens(it.agent_off(), Timer.IDLE)]
    goodbye = call.happens(it.agent_off(), Timer.IDLE)

    assert it.spoken(filler) == ["Un momento, por favor."]
    assert it.spoken(moment) == ["Claro, tómese su tiempo."]
    assert it.spoken(reprompts[0]) == ["¿Sigue ahí?"]
    assert it.spoken(reprompts[1]) == ["Sigo aquí, por si necesita algo."]
    assert it.spoken(goodbye) == ["Ya no le oigo, así que voy a colgar. Adiós."]
    assert set(languages_spoken(call)) == {"es-US"}


def test_a_person_is_told_the_language_the_caller_has_changed_to() -> None:
    call = it.listening(BILINGUAL)
    call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es"))
    call.happens(it.delta(1, "Le paso."), it.finished(1, it.wants("leave")))
    call.happens(it.done(1, effect=Handoff("wish", "A pizza.")))

    ended = call.happens(it.agent_off())

    assert '"language": "es-US"' in str(ended)
    assert call.world.conversation.end_reason is EndReason.TRANSFER


def test_an_edit_keeps_the_language_of_the_call() -> None:
    call = it.listening(BILINGUAL)
    call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es"))
    own = {**BILINGUAL.translations, "es-US": Phrases(still_there=("¿Oiga?",))}

    call.happens(ev.CallConfigChanged(replace(BILINGUAL, translations=own)))
    call.happens(it.delta(1, "Claro."), it.finished(1), it.agent_off())

    assert it.spoken(call.fires(Timer.IDLE)) == ["¿Oiga?"]
    assert languages_spoken(call) == ["es-US", "es-US"]


def test_a_stand_in_voice_of_another_language_is_not_told_the_language() -> None:
    call = it.listening(replace(BILINGUAL, has_other_backup_voice=True))
    call.happens(says("two pizzas please", "en"), it.delta(1, "Sure."), it.finished(1))
    call.happens(it.agent_off())
    call.happens(says("hola, quisiera pedir una pizza grande de pepperoni", "es"))
    call.happens(it.delta(2, "Claro."), it.finished(2))

    assert languages_spoken(call) == ["", "es-US"]


def test_the_end_of_an_utterance_names_the_language_too() -> None:
    call = it.listening(BILINGUAL)
    call.happens(says("two pizzas please", "en"), it.delta(1, "Sure, two pizzas. "))

    ended = call.happens(it.finished(1))

    assert Speak(2, "two pizzas.", is_last=True, language="en-US") in ended


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_every_built_in_sentence_is_translated(language: str) -> None:
    own, english = phrases_in(language), Phrases()
    assert own is not None

    left = [each.name for each in fields(Phrases) if _same(own, english, each.name)]

    assert left == []


def _same(own: Phrases, english: Phrases, name: str) -> bool:
    """Whether one sentence of a field is in English, or they are not as many."""
    one, other = (getattr(each, name) for each in (own, english))
    if isinstance(one, str):
        return bool(one == other)
    return len(one) != len(other) or bool(set(one) & set(other))


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [("es-US", "es-US"), ("ES", "es-US"), ("es-MX", "es-US"), ("en-GB", "en-US"), ("fr", "")],
)
def test_a_tag_of_another_region_means_the_language_that_is_spoken(wanted: str, tag: str) -> None:
    assert closest_tag(wanted, ["en-US", "es-US"]) == tag
