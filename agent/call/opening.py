"""How a call begins: what a caller hears and is asked before the greeting, or where it broke off.

    disclosure -> played to its end -> question for consent -> answer -> greeting

A use case may have a disclosure, a question, both or none. Nothing stops the disclosure. Until the
caller has answered the question no model is asked, and nothing that was said is kept but the
answer. The question is asked twice at most in silence, three times after unclear words; then it
counts as refused. Words that came before the question was heard are no answer; a key is one at any
time after the question has begun. A caller who asks for a person gets one.

Without a question, what the caller says over the disclosure is answered after it, in place of the
greeting; keys are taken after it.

On a later connection what is not done yet is done: a disclosure that was not played to its end is
said again, and a question that is open is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import NamedTuple

from agent.call import consent
from agent.call import events as ev
from agent.call.actions import Action, Record, StampConsent, StartRecording
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.caller_language import CallerLanguage
from agent.call.caller_wishes import PERSON_KEY, CallerWishes, Granted
from agent.call.config import OnRefusal, OpeningTerms
from agent.call.consent import Consent, ConsentMeans
from agent.call.history import (
    AgentSaid,
    CallerSaid,
    Fact,
    History,
    Note,
    SpeechSource,
    Summary,
    ToolUsed,
)
from agent.call.keypad import Keypad
from agent.call.lifecycle import CallEnding, CallLifecycle, Phase
from agent.call.reply import Then
from agent.call.resumption import ResumeCause, Resumption, first_words
from agent.call.timers import Timer, TimerSet
from agent.call.tool_calls import ToolCalls
from agent.call.turn import Turn
from agent.call.turn_taking import TurnTaking
from agent.call.utterance_analysis import asks_for_person, has_words, is_acknowledgement

REFUSED = CallEnding(ev.EndReason.AGENT_END)
CONSENT_REFUSED = "consent-refused"
"""The reason of a transfer after a refusal."""
_MOST_IN_SILENCE, _MOST_UNCLEAR = 2, 3  # questions


class OpeningStage(Enum):
    """How far the opening has come."""

    DISCLOSING = auto()
    ASKING = auto()
    OVER = auto()


class OpeningStep(NamedTuple):
    """What follows: the end of a turn, the end of the call, or what was said in the meantime."""

    actions: list[Action]
    then: Then = Then.AWAIT
    leaves: Granted | None = None
    kept: tuple[ev.Event, ...] = ()
    """To be decided now."""


@dataclass(slots=True)
class CallOpening:
    """The beginning of one call, on its first connection or a later one."""

    _history: History
    _timers: TimerSet
    _input: CallerInput
    _output: AgentOutput
    _tools: ToolCalls
    _keypad: Keypad
    _lifecycle: CallLifecycle
    _turn: Turn
    _turn_taking: TurnTaking
    _language: CallerLanguage
    _wishes: CallerWishes
    stage: OpeningStage = OpeningStage.OVER
    _terms: OpeningTerms = field(default_factory=OpeningTerms)  # as the call began with
    _asked: int = 0
    _question_at: int = 0
    _has_words: bool = False  # that wait for an answer
    _kept: list[ev.Event] = field(default_factory=list)

    def begin(self, resumption: Resumption | None) -> OpeningStep:
        elapsed_ms = resumption.elapsed_ms if resumption else 0
        begun = [self._lifecycle.begin(self._turn.config.limits, elapsed_ms)]
        self._terms = self._turn.config.opening
        step = self._begin_call() if resumption is None else self._resume(resumption)
        return step._replace(actions=[*begun, *step.actions])

    def _begin_call(self) -> OpeningStep:
        if self._terms:
            return self._open(())
        if greeting := self._turn.config.greeting:
            return OpeningStep(self._output.greet(greeting), Then.END_TURN)
        return OpeningStep(self._turn.ask())

    def _resume(self, resumption: Resumption) -> OpeningStep:
        done = [*self._language.switch(resumption.language), *self._tools.resume()]
        config, is_begun = self._turn.config, _has_gone_on(resumption.facts)
        self.stage = (
            OpeningStage.ASKING if self._terms.question and not is_begun else OpeningStage.OVER
        )
        if resumption.end is not None:
            self._lifecycle.take_effect(resumption.end, config, was_awaited=True)
            done += self._keypad.close()
        if (ending := self._lifecycle.ending) and not self._tools.is_awaited:
            said = self._output.say_whole(ending.farewell(config.phrases))
            return OpeningStep([*done, *said], Then.END_TURN)
        if self._terms and not is_begun:
            step = self._open(resumption.facts, resumption.cause)
            return step._replace(actions=[*done, *step.actions])
        first = first_words(resumption, config.phrases, config.greeting)
        actions, then = self._turn.take_up(first)
        return OpeningStep([*done, *actions, *self._recording(resumption.facts)], then)

    def screen(self, event: ev.Event) -> ev.Event:
        """The event as all may read it: until there is consent, without what the caller says."""
        if self.stage is OpeningStage.OVER or not isinstance(event, ev.CallerSpoke):
            return event
        if not self._terms.question or self._asks_for_person(event):
            return event
        return replace(event, text=consent.screened(event.text, self._language_of(event)))

    def takes(self, event: ev.Event) -> bool:
        """Whether the opening decides about this event, and not the conversation."""
        if self.stage is OpeningStage.OVER:
            return False
        is_open = self._lifecycle.phase is Phase.OPEN and self._lifecycle.ending is None
        match event:
            case ev.CallerSpoke() | ev.CallerPressed():
                return is_open or bool(self._terms.question)
            case ev.CallerInterrupted() | ev.PlaybackReported():
                return is_open
            case ev.TimerFired(timer):
                return is_open and timer in {Timer.PLAYBACK, Timer.IDLE}
            case ev.OperatorActed():
                return is_open
            case ev.AllowanceSpent():
                return is_open and self.stage is OpeningStage.DISCLOSING
            case _:
                return False

    def receive(self, event: ev.Event) -> OpeningStep:
        """Decide about an event that the opening takes."""
        if self._lifecycle.phase is not Phase.OPEN or self._lifecycle.ending:
            return OpeningStep([])  # what is said now is not kept
        match event:
            case ev.CallerSpoke():
                return self._hear(event)
            case ev.CallerPressed(digit):
                return self._take_key(event, digit)
            case ev.CallerInterrupted(heard, after_ms):
                return self._cut(heard, after_ms)
            case ev.PlaybackReported():
                return self._follow_playback(event)
            case ev.TimerFired(Timer.PLAYBACK):
                self._timers.stop(Timer.PLAYBACK)
                return self._finish_playback()
            case ev.TimerFired():
                self._timers.stop(Timer.IDLE)
                return self._ask_again(ConsentMeans.SILENCE, _MOST_IN_SILENCE)
            case _:  # an AllowanceSpent, or an operator, who waits
                self._kept.append(event)
                return OpeningStep([])

    def _open(self, facts: Iterable[Fact], cause: ResumeCause | None = None) -> OpeningStep:
        known = list(facts)
        answer, was_played = consent.consent_of(known), bool(consent.played_version(known))
        self._has_words = any(isinstance(fact, CallerSaid) for fact in known)
        if answer is not None:
            is_free = cause is not ResumeCause.NOBODY
            return self._follow_answer(answer, [StampConsent(answer)], is_free=is_free)
        if self._terms.disclosure and not was_played:
            return self._disclose([])
        sorry = self._turn.config.phrases.nobody_free
        said = self._output.say_whole(sorry) if cause is ResumeCause.NOBODY else []
        return self._ask_or_finish(said)

    def _disclose(self, actions: list[Action]) -> OpeningStep:
        self.stage, self._output.has_spoken = OpeningStage.DISCLOSING, False
        text = self._text(self._terms.disclosure)
        said = self._output.say_whole(text, interruptible=False, preemptible=False)
        return OpeningStep([*actions, *said, *self._await_playback()])

    def _ask_or_finish(self, actions: list[Action]) -> OpeningStep:
        if self._terms.question:
            return self._ask(actions)
        return self._finish([*actions, *self._start_recording()])

    def _ask(self, actions: list[Action]) -> OpeningStep:
        self.stage, self._output.has_spoken = OpeningStage.ASKING, False
        self._asked += 1
        self._question_at = len(self._history)
        said = self._output.say_whole(self._text(self._terms.question))
        return OpeningStep([*actions, *said, *self._await_playback()])

    def _ask_again(self, means: ConsentMeans, most: int) -> OpeningStep:
        if self._asked < most:
            return self._ask([])
        return self._answer(Consent(is_given=False, means=means, version=self._version))

    def _answer(self, answer: Consent) -> OpeningStep:
        noted: list[Action] = [self._record(answer.note), StampConsent(answer)]
        return self._follow_answer(answer, noted)

    def _follow_answer(
        self, answer: Consent, actions: list[Action], *, is_free: bool = True
    ) -> OpeningStep:
        if answer.is_given:
            return self._finish([*actions, *self._start_recording()])
        if self._terms.on_refusal is OnRefusal.GO_ON:
            return self._finish(actions)
        self.stage = OpeningStage.ASKING
        config = self._turn.config
        if self._terms.on_refusal is OnRefusal.TRANSFER and config.can_hand_off and is_free:
            ending = self._lifecycle.transfer(CONSENT_REFUSED, config)
            return OpeningStep(actions, leaves=Granted(config.phrases.transfer, ending))
        return OpeningStep(actions, leaves=Granted(config.phrases.consent_refused, REFUSED))

    def _finish(self, actions: list[Action]) -> OpeningStep:
        """The call goes on: what was said is answered, or the caller is greeted."""
        self.stage, self._output.has_spoken = OpeningStage.OVER, False
        kept, greeting = tuple(self._kept), self._turn.config.greeting
        actions = [*actions, *self._timers.stop(Timer.PLAYBACK, Timer.IDLE)]
        if self._has_words or not greeting:
            return OpeningStep([*actions, *self._turn.ask()], kept=kept)
        said = self._output.say_whole(greeting, SpeechSource.GREETING)
        return OpeningStep([*actions, *said], Then.END_TURN, kept=kept)

    def _hear(self, event: ev.CallerSpoke) -> OpeningStep:
        if not event.is_final or not has_words(event.text):
            return OpeningStep([*self._turn_taking.note_noise()])
        self._turn_taking.end_caller_turn()
        if not self._terms.question:
            return self._keep(event)
        if self.stage is OpeningStage.DISCLOSING:
            return OpeningStep([])
        if self._asks_for_person(event) and self._turn.config.can_hand_off:
            return OpeningStep([], leaves=self._wishes.find_person(self._turn.config))
        if changed := self._language.change(event):
            self._asked = 0
            switched = self._language.switch(changed)
            return self._disclose(switched) if self._terms.disclosure else self._ask(switched)
        answer = consent.answer_of(event.text, self._language_of(event))
        if not self._was_asked(event.after_ms):
            return self._ask([]) if self._question.is_cut else OpeningStep([])
        if answer is None:
            return self._ask_again(ConsentMeans.UNCLEAR, _MOST_UNCLEAR)
        return self._answer(Consent(answer.is_yes, ConsentMeans.WORD, self._version))

    def _keep(self, event: ev.CallerSpoke) -> OpeningStep:
        """Words over a disclosure that nothing is asked after."""
        if self._input.is_repetition(event.text):
            return OpeningStep([*self._turn_taking.note_noise()])
        switched = self._language.switch(changed := self._language.change(event))
        language = self._turn.hear(event.language)
        self._has_words |= not is_acknowledgement(event.text, language)
        return OpeningStep([*switched, *self._input.add_words(event.text, changed)])

    def _take_key(self, event: ev.Event, digit: str) -> OpeningStep:
        self._turn_taking.end_caller_turn()
        if not self._terms.question:
            self._kept.append(event)
            return OpeningStep([])
        if self.stage is OpeningStage.DISCLOSING:
            return OpeningStep([])
        if digit in {consent.YES_KEY, consent.NO_KEY}:
            is_yes = digit == consent.YES_KEY
            return self._answer(Consent(is_yes, ConsentMeans.KEY, self._version))
        if digit == PERSON_KEY and self._turn.config.can_hand_off:
            return OpeningStep([], leaves=self._wishes.find_person(self._turn.config))
        return self._ask_again(ConsentMeans.UNCLEAR, _MOST_UNCLEAR)

    def _cut(self, heard: str, after_ms: int | None) -> OpeningStep:
        """The relay has stopped the speech: a disclosure that was not heard whole is said again."""
        records = self._output.cut(heard, after_ms, is_complete=True)
        if self.stage is OpeningStage.ASKING:
            stopped = self._timers.stop(Timer.PLAYBACK)
            return OpeningStep([*records, *stopped, self._turn_taking.await_caller()])
        return self._disclose(records) if records else self._finish_playback()

    def _follow_playback(self, event: ev.PlaybackReported) -> OpeningStep:
        if event.report in {ev.Playback.CALLER_ON, ev.Playback.CALLER_OFF}:
            self._turn_taking.caller_is_speaking = event.report is ev.Playback.CALLER_ON
            return OpeningStep([*self._turn_taking.note_noise()])
        limits = self._turn.config.limits
        actions, is_played = self._turn_taking.follow_playback(event, limits)
        step = self._finish_playback() if is_played else OpeningStep([])
        return step._replace(actions=[*actions, *step.actions])

    def _finish_playback(self) -> OpeningStep:
        self._output.note_all_played()
        if self.stage is OpeningStage.ASKING:
            return OpeningStep([self._turn_taking.await_caller()])
        self._output.clear_audible()
        stopped = self._timers.stop(Timer.PLAYBACK)
        played = self._record(consent.played_note(self._version))
        return self._ask_or_finish([*stopped, played])

    def _await_playback(self) -> list[Action]:
        return self._turn_taking.await_playback(self._turn.config.limits.duration_ms)

    def _recording(self, facts: Iterable[Fact]) -> list[Action]:
        """Stamp and record a resumed call, if its process has not come to that."""
        known = list(facts)
        answer, was_played = consent.consent_of(known), bool(consent.played_version(known))
        stamped: list[Action] = [StampConsent(answer)] if answer else []
        is_allowed = answer.is_given if answer else was_played and not self._terms.question
        return [*stamped, *(self._start_recording() if is_allowed else [])]

    def _start_recording(self) -> list[Action]:
        return [StartRecording(self._terms.recording)] if self._terms.recording else []

    def _record(self, note: Note) -> Record:
        return Record(self._history.append(note), note)

    @property
    def _version(self) -> str:
        texts = (self._terms.disclosure, self._terms.question)
        return consent.text_version(*(self._text(each) for each in texts if each))

    def _text(self, texts: Mapping[str, str]) -> str:
        return texts.get(self._turn.config.language) or next(iter(texts.values()))

    @property
    def _question(self) -> AgentSaid:
        return self._history.fact(self._question_at, AgentSaid)

    def _was_asked(self, after_ms: int | None) -> bool:
        """Whether the question was heard before words that came so long after it began."""
        is_cut = self._question.is_cut
        heard = self._question.text if is_cut else self._output.heard_until(after_ms)
        question = self._text(self._terms.question)
        return len(heard) > question.find("?") if "?" in question else len(heard) >= len(question)

    def _asks_for_person(self, event: ev.CallerSpoke) -> bool:
        question = self._text(self._terms.question)
        return asks_for_person(event.text, question, self._language_of(event))

    def _language_of(self, event: ev.CallerSpoke) -> str:
        return event.language or self._turn.config.language


def _has_gone_on(facts: Iterable[Fact]) -> bool:
    """Whether a call has come further than to its opening, perhaps before that was declared."""
    return any(
        isinstance(fact, ToolUsed | Summary) or (isinstance(fact, AgentSaid) and fact.is_answer)
        for fact in facts
    )
