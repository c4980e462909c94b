"""What a person who watches the call does: whisper, say, take over and give back, transfer, end.

    whisper    a note, which the model reads with its next request; nothing is said
    say        replaces what the agent does at the moment; then it is the caller's turn
    take over  no model is asked until the operator gives the call back

While an operator has the call, this part decides on the caller's events: words and keys become
facts as ever, and the operator answers them. A caller who waits hears fillers. The end of a tool
with side effects becomes a note; nothing else follows from it. The call is given back without the
operator if the caller's words have waited for `ANSWER_MS`, if the operator has done nothing for
`ACT_MS`, if the service says the last words, or if the line is lost: a closed page must not leave
the caller alone. Two notes say in the facts who had the call; so a process that resumes the call
knows it, and the model reads what was said as the agent's words. What an operator has asked is no
read-back: a yes to it commits nothing (`agent.call.heard_confirmation`).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.call import events as ev
from agent.call.actions import Action
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.caller_language import CallerLanguage
from agent.call.events import OperatorAct
from agent.call.history import AgentSaid, History, Note, SpeechSource, Summary
from agent.call.lifecycle import BY_OPERATOR, CallEnding, CallLifecycle, Phase
from agent.call.messages import WHISPERED
from agent.call.reply import Then, TurnDecision
from agent.call.summarization import Summarization
from agent.call.timers import Timer, TimerSet
from agent.call.tool_calls import ToolCalls
from agent.call.turn import Turn
from agent.call.turn_taking import TurnTaking
from agent.call.utterance_analysis import has_words

ANSWER_MS = 60_000
ACT_MS = 300_000
FILLER_MS = 8_000
"""A person who types takes longer than a model."""
TAKEN_OVER = "A colleague has taken over the call and speaks in your place from here on."
GIVEN_BACK = "The colleague has given the call back to you. Go on from what was said."
SAID = "A colleague says the next words to the caller in your place."
TRANSFERRED = "A colleague is having the caller transferred to a person."
OPERATOR_REQUESTED = "operator-requested"
"""The reason of a transfer that an operator has asked for."""
_PASSED = frozenset({
    Timer.OPERATOR, Timer.DURATION, Timer.CLOSING, Timer.REPEAT, Timer.LATE_DIGITS,
    Timer.MODEL_FAILURE,
})  # fmt: skip
"""Timers that mean the same while an operator has the call."""


@dataclass(slots=True)
class OperatorControl:
    """The operator of one call; appends the notes to the history it is given."""

    _history: History
    _output: AgentOutput
    _turn: Turn
    _lifecycle: CallLifecycle
    _timers: TimerSet
    _input: CallerInput
    _language: CallerLanguage
    _turn_taking: TurnTaking
    _tools: ToolCalls
    _summarization: Summarization
    _has_call: bool = False

    @property
    def has_call(self) -> bool:
        """Whether an operator speaks in place of the model."""
        return self._has_call and self._lifecycle.phase is Phase.OPEN

    def act(self, event: ev.OperatorActed) -> TurnDecision:
        """What follows an act; nothing if it is not possible now."""
        text, config = event.text.strip(), self._turn.config
        match event.act:
            case OperatorAct.WHISPER if text:
                return [self._turn.add_note(WHISPERED + text), *self._await_act()], Then.AWAIT
            case OperatorAct.SAY if text:
                return self._say(text), Then.END_TURN
            case OperatorAct.TAKE_OVER if not self.has_call:
                return self._take_over(), Then.END_TURN
            case OperatorAct.GIVE_BACK if self.has_call:
                return self.give_back()
            case OperatorAct.END:
                return self._end(config.phrases.goodbye, BY_OPERATOR), Then.END_TURN
            case OperatorAct.TRANSFER if config.can_hand_off:
                ending = self._lifecycle.transfer(OPERATOR_REQUESTED, config)
                noted = self._turn.add_note(TRANSFERRED)
                return [noted, *self._end(config.phrases.transfer, ending)], Then.END_TURN
            case _:
                return [], Then.AWAIT

    def give_back(self) -> TurnDecision:
        """The model goes on, and answers what has no answer yet."""
        is_unanswered = self._tools.has_news or not self._is_answered
        released = self.release()
        if not is_unanswered:
            return released, Then.END_TURN
        begun = self._turn.begin()
        delay = self._turn_taking.delay_retry(self._turn.config.limits)
        return [*released, *begun, *(delay or self._turn.ask())], Then.AWAIT

    def release(self) -> list[Action]:
        """The operator has the call no more; does nothing if none has it."""
        if not self._has_call:
            return []
        self._has_call = False
        stopped = self._timers.stop(Timer.OPERATOR, Timer.FILLER)
        return [*stopped, *self._input.keypad.complete(), self._turn.add_note(GIVEN_BACK)]

    def resume(self) -> list[Action]:
        """The line was lost: the model has the call again."""
        notes = [fact for fact in self._history if isinstance(fact, Note)]
        latest = [note.text for note in notes if note.text in {TAKEN_OVER, GIVEN_BACK}]
        return [self._turn.add_note(GIVEN_BACK)] if latest[-1:] == [TAKEN_OVER] else []

    def decide(self, event: ev.Event) -> list[Action] | None:  # noqa: C901, PLR0912 (one case for each)
        """What follows an event while an operator has the call; None: what always does."""
        if not self.has_call:
            return None
        limits = self._turn.config.limits
        match event:
            case ev.CallerSpoke(_, False):
                return self._turn_taking.note_caller(limits)
            case ev.CallerSpoke():
                return self._hear(event)
            case ev.CallerInterrupted(heard, after_ms):
                stopped = self._timers.stop(Timer.PLAYBACK, Timer.FILLER)
                cut = self._output.cut(heard, after_ms, is_complete=True)
                return [*stopped, *cut, *self._turn_taking.begin_caller_turn()]
            case ev.CallerPressed(digit):
                self._turn_taking.end_caller_turn()
                if self._input.keypad.is_late:
                    return []
                typed = self._input.keypad.collect(digit, limits.digits_ms)
                return typed if self._input.keypad.is_typing else [*typed, *self._await_answer()]
            case ev.PlaybackReported():
                actions, is_played = self._turn_taking.follow_playback(event, limits)
                if is_played:
                    self._output.note_all_played()
                return list(actions)
            case ev.ToolFinished(call_id, outcome):
                records, late = self._tools.finish(call_id, outcome)
                return [*records, self._turn.add_note(late)]
            case ev.Summarized() | ev.SummaryFailed():
                return self._summarization.fail()  # it might ask for another one
            case ev.TimerFired(timer) if timer not in _PASSED:
                self._timers.stop(timer)
                return self._wake(timer)
            case ev.AllowanceSpent():
                return []  # nothing is spent now; it comes again
            case _:
                return None

    def _wake(self, timer: Timer) -> list[Action]:
        match timer:
            case Timer.PLAYBACK:
                self._output.note_all_played()
                return []
            case Timer.DIGITS:
                return [*self._input.keypad.complete(), *self._await_answer()]
            case Timer.FILLER:
                return self._turn.fill_wait(timer)
            case _:  # it was started for a model, which waits
                return []

    def _hear(self, event: ev.CallerSpoke) -> list[Action]:
        self._turn_taking.end_caller_turn()
        if not has_words(event.text) or self._input.is_repetition(event.text):
            return []
        switched = self._language.switch(changed := self._language.change(event))
        self._turn.hear(event.language)
        words = self._input.add_words(event.text, changed)
        return [*switched, *words, *self._turn.begin(), *self._await_answer()]

    def _say(self, text: str) -> list[Action]:
        left = self._leave(is_entering=self._input.keypad.is_collecting)
        noted = [] if self.has_call else [self._turn.add_note(SAID)]
        said = self._output.say_whole(text, SpeechSource.OPERATOR)
        return [*left, *noted, *said, *self._await_act()]

    def _take_over(self) -> list[Action]:
        left, self._has_call = self._leave(), True
        return [*left, self._turn.add_note(TAKEN_OVER), *self._await_act()]

    def _end(self, words: str, ending: CallEnding) -> list[Action]:
        left = [*self.release(), *self._leave()]
        self._lifecycle.ending = ending
        return [*left, *self._output.say_whole(words)]

    def _leave(self, *, is_entering: bool = False) -> list[Action]:
        typed = [] if is_entering else self._input.keypad.complete()
        return [*typed, *self._turn.leave(is_entering=is_entering), *self._turn.revoke_end()]

    def _await_answer(self) -> list[Action]:
        """The caller's words are the operator's to answer."""
        waits = [self._timers.start(Timer.OPERATOR, ANSWER_MS)]
        return [*waits, *self._turn.wait.await_filler(FILLER_MS)]

    def _await_act(self) -> list[Action]:
        if not self.has_call:
            return []
        stopped = self._timers.stop(Timer.FILLER)
        return [*stopped, self._timers.start(Timer.OPERATOR, ACT_MS)]

    @property
    def _is_answered(self) -> bool:
        """Whether the caller has heard an answer, and no note for the model follows it."""
        for fact in reversed(list(self._history)):
            is_passed = isinstance(fact, Summary) or fact == Note(TAKEN_OVER)
            if not (is_passed or (isinstance(fact, AgentSaid) and not fact.is_answer)):
                return isinstance(fact, AgentSaid) and not self._turn.is_broken_off
        return False
