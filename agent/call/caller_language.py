"""Whether the caller has changed to another language, as speech-to-text reports it.

A prompt names its language (`lang` of https://www.twilio.com/docs/voice/conversationrelay/websocket-messages),
but of a few words it is a guess: "ok" is a word of all languages, and a name of none.
So the call changes only after

- two prompts in a row of at least `_ENOUGH` words, or
- one of at least `_PLENTY`,

in a language that the use case speaks. Digits do not count as words. Shorter prompts, and answers
to a question for a name, an address or a spelling, neither count nor break the row. A prompt in the
language of the call, or in one that the use case does not speak, breaks it.
"""

from __future__ import annotations

import re
import unicodedata

from agent.call.actions import Action, SwitchLanguage
from agent.call.answer_kind import AnswerKind
from agent.call.events import CallerSpoke
from agent.call.history import History
from agent.call.languages import closest_tag, is_same_language, turn_words
from agent.call.lifecycle import CallLifecycle, Phase
from agent.call.turn import Turn
from agent.call.utterance_analysis import asks

_ENOUGH = 3
_PLENTY = 7
_IN_A_ROW = 2
_OF_NAMES = (AnswerKind.NAME, AnswerKind.ADDRESS, AnswerKind.SPELLING, AnswerKind.EMAIL)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")


class CallerLanguage:
    """The language of one caller, prompt by prompt."""

    def __init__(self, history: History, turn: Turn, lifecycle: CallLifecycle) -> None:
        self._history = history
        self._turn = turn
        self._lifecycle = lifecycle
        self._tag = ""
        self._prompts = 0  # in a row in this language

    def switch(self, language: str) -> list[Action]:
        """The one way to another language, for tools, the caller's words and a resumed call."""
        config = self._turn.config
        if not language or self._lifecycle.phase is not Phase.OPEN:
            return []
        discarded = self._turn.set_config(config.in_language(language))
        return [*discarded, SwitchLanguage(language, config.hears_any_language)]

    def change(self, event: CallerSpoke) -> str:
        """The tag that the call changes to with these words; empty = it does not change.

        `event` is a final prompt.
        """
        config, question = self._turn.config, self._history.asked
        words = _words_in(event.text, event.language)
        if not event.language or words < _ENOUGH or _asks_for_name(question, config.language):
            return ""
        tag = closest_tag(event.language, config.translations)
        if not tag or is_same_language(tag, config.language):
            self._tag, self._prompts = "", 0
            return ""
        self._prompts = self._prompts + 1 if tag == self._tag else 1
        self._tag = tag
        if words < _PLENTY and self._prompts < _IN_A_ROW:
            return ""
        self._tag, self._prompts = "", 0
        return tag


def _words_in(text: str, language: str) -> int:
    """The number of words but digits; of a script without spaces, two characters are one."""
    if wide := sum(unicodedata.east_asian_width(letter) in "WF" for letter in text):
        return wide // 2
    table = turn_words(language)
    digits = table.digits.keys() - table.articles if table else ()
    return sum(word not in digits for word in _WORD.findall(text.casefold()))


def _asks_for_name(question: str, language: str) -> bool:
    """Whether the answer is a name: of a person, of a street, or letters."""
    words = turn_words(language)
    if words is None or not asks(question):
        return False
    asked = question.casefold().replace("\u2019", "'")
    return any(words.asks[kind].search(asked) for kind in _OF_NAMES)
