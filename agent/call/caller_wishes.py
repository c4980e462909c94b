"""What the service grants a caller without the model: a person, a call back, to go on waiting.

A caller who asks for a person, and for nothing else, is transferred at once if the use case has a
transfer target, and is not asked whether that is meant. Without a target a sentence says so, once
in a call; then the model answers. A note tells a process that resumes the call, and the model if no
person is free. A wish inside of another sentence is the model's to judge.

A caller who waits and has heard the choice gets a call back for the word or for `CALL_BACK_KEY`,
whatever the key means elsewhere: the question names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agent.call.actions import Record
from agent.call.caller_input import CallerInput
from agent.call.config import CallConfig, KeyBinding
from agent.call.history import History, Note
from agent.call.lifecycle import CallEnding, CallLifecycle
from agent.call.timers import Timer, TimerSet
from agent.call.turn_taking import FillerPolicy
from agent.call.utterance_analysis import (
    asks_for_call_back,
    asks_for_number,
    asks_for_person,
    goes_on_waiting,
)

PERSON_KEY = "0"
PERSON = KeyBinding()
"""What an unbound `PERSON_KEY` does."""
CALL_BACK_KEY = "1"
CALL_BACK = KeyBinding()
"""What `CALL_BACK_KEY` does while there is the choice."""
TRANSFER_ASKED = "The caller asked for a person and is being transferred."
USER_REQUESTED = "user-requested"
"""The reason of a transfer that the caller asked for."""


class Granted(NamedTuple):
    """What is recorded and said, and the end that follows."""

    words: str
    ending: CallEnding | None = None
    records: tuple[Record, ...] = ()


CALLED_BACK = Granted("")
"""A call back, which a tool has to note."""


@dataclass(slots=True)
class CallerWishes:
    """The wishes of one call; appends its notes to the history it is given."""

    _history: History
    _lifecycle: CallLifecycle
    _timers: TimerSet
    _fillers: FillerPolicy
    _has_refused: bool = False

    def grant(self, given: CallerInput, language: str, config: CallConfig) -> Granted | None:
        """What the caller's words since the agent's last ones ask for; None = ask the model.

        Keys before them ask for nothing else: callers press some to reach a person.
        """
        is_wish = asks_for_person(given.spoken, given.unanswered[1], language)
        return self.find_person(config) if is_wish else None

    def find_person(self, config: CallConfig) -> Granted | None:
        """The transfer, or that there is none; None if that was said before."""
        if config.can_hand_off:
            note = Note(TRANSFER_ASKED)
            record = Record(self._history.append(note), note)
            ending = self._lifecycle.transfer(USER_REQUESTED, config)
            return Granted(config.phrases.transfer, ending, (record,))
        has_refused, self._has_refused = self._has_refused, True
        return None if has_refused else Granted(config.phrases.no_person)

    def ask_by_key(self, binding: KeyBinding, config: CallConfig) -> Granted | None:
        """What a key asks for, if it is `PERSON` or `CALL_BACK`."""
        if binding is CALL_BACK:
            return CALLED_BACK
        return self.find_person(config) if binding is PERSON else None

    def binding(self, digit: str, language: str, config: CallConfig) -> KeyBinding | None:
        """What a key does; `PERSON`, `CALL_BACK`: it asks for one."""
        if digit == CALL_BACK_KEY and config.can_call_back and self._is_choosing:
            return CALL_BACK
        if bound := config.keypad.get(digit):
            return bound
        is_digit = Timer.DIGITS in self._timers.running
        is_digit = is_digit or asks_for_number(self._history.question, language)
        is_wish = digit == PERSON_KEY and config.can_hand_off and not is_digit
        return PERSON if is_wish else None

    def keeps_waiting(self, text: str, language: str) -> bool:
        """Whether a caller who was offered a choice while waiting goes on waiting."""
        return self._is_choosing and goes_on_waiting(text, language)

    def choose(self, text: str, language: str, config: CallConfig) -> Granted | None:
        """The call back of such a caller, who wants it and may have it; None for other words."""
        is_offered = config.can_call_back and self._is_choosing
        return CALLED_BACK if is_offered and asks_for_call_back(text, language) else None

    @property
    def _is_choosing(self) -> bool:
        return self._fillers.has_offered and Timer.FILLER in self._timers.running
