"""Turn-taking: whether the agent has the turn, the caller has it, or neither side speaks.

- The agent has the turn until its speech was played. That report may be missing, so PLAYBACK runs
  for as long as a slow voice takes; that of an earlier utterance changes nothing.
- The caller takes the turn with the first sign of words to come and has it until they are there, or
  a sign that there are none. Timers that would interrupt the caller restart in the meantime. The
  end of a voice may not be reported, so the wait for it is bounded.
- A caller who talks on and on is stopped: LONGEST_TURN runs from the first sign of words until the
  agent says something, a filler too. When it has run out, the agent takes the turn.
- When neither side speaks IDLE runs, from the end of the playback.

What the caller says and types becomes facts in `agent.call.caller_input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.call.actions import Action, Speak
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.config import CallConfig, Limits, Phrases
from agent.call.end_of_turn import answer_after_ms
from agent.call.events import CallerSpoke, Playback, PlaybackReported
from agent.call.lifecycle import CallLifecycle, Phase
from agent.call.speculation import Speculation
from agent.call.timers import StartTimer, Timer, TimerSet
from agent.call.utterance_analysis import (
    asks,
    asks_for_moment,
    is_acknowledgement,
    is_answered_by_yes,
    open_question,
)

_PAUSE_MS = 1_000  # after the estimated end of playback: the voice may be slower
LONGEST_VOICE_MS = 20_000
"""The longest wait for a voice whose end is not reported and whose words do not come."""
LONGEST_END_OF_TURN_MS = 15_000
"""The same while earlier words of the caller wait for an answer."""


class TurnUnderWay(Protocol):
    """The agent's turn, as turn-taking sees it."""

    @property
    def is_under_way(self) -> bool: ...

    @property
    def config(self) -> CallConfig: ...

    def speculate(self) -> list[Action]: ...


@dataclass(slots=True)
class TurnTaking:
    """Who has the turn in one call; reports when it is free, not what follows then."""

    _input: CallerInput
    _output: AgentOutput
    _lifecycle: CallLifecycle
    _timers: TimerSet
    _fillers: FillerPolicy
    _turn: TurnUnderWay
    _speculation: Speculation
    is_callers: bool = False
    caller_is_speaking: bool = False
    _end_of_turn_ms: int = 0
    _asks_for_moment: bool = False

    @property
    def is_quiet(self) -> bool:
        return Timer.IDLE in self._timers.running and not self.is_callers

    @property
    def may_stop_caller(self) -> bool:
        """Whether the caller still talks, or may go on, and hears nothing of the agent."""
        return self._is_with_caller and self._output.is_silent

    @property
    def _is_with_caller(self) -> bool:
        running = self._timers.running
        is_waiting = Timer.END_OF_TURN_DELAY in running or Timer.YIELD in running
        return self._lifecycle.phase is Phase.OPEN and (self.is_callers or is_waiting)

    def limit_turn(self, actions: Sequence[Action], limits: Limits) -> Sequence[Action]:
        """What these actions mean for the longest turn of the caller."""
        if any(isinstance(action, Speak) and action.text for action in actions):
            return self._timers.stop(Timer.LONGEST_TURN)
        if Timer.LONGEST_TURN in self._timers.running or not self._is_with_caller:
            return ()
        return [self._timers.start(Timer.LONGEST_TURN, limits.longest_turn_ms)]

    def is_backchannel(self, event: CallerSpoke, language: str) -> bool:
        """Whether these words, which were just recorded, need no answer; then they get none."""
        is_speaking = self._output.open_at is not None or self._output.is_playing
        is_agents = is_speaking or (self._turn.is_under_way and self._output.has_spoken)
        is_nod = is_agents and is_acknowledgement(event.text, language)
        is_backchannel = is_nod and not asks(self._output.heard_until(event.after_ms))
        if is_backchannel:
            self._input.pass_over()
        return is_backchannel

    def grants_moment(self) -> bool:
        """Whether the caller asks for time, and has said nothing else; then it is granted."""
        self._fillers.is_waiting = self._asks_for_moment
        return self._fillers.is_waiting

    def is_nod(self, text: str, language: str) -> bool:
        """Whether it answers nothing of what was heard before a barge-in."""
        return is_acknowledgement(text, language) and not asks(self._input.heard)

    def next_reprompt(self, language: str) -> str:
        """What breaks the silence; empty = it has been broken often enough."""
        return self._fillers.next_reprompt(open_question(self._input.unanswered[1]), language)

    def await_words(self, limits: Limits) -> list[Action]:
        """After a barge-in: wait for the words of the voice that is heard, if there is one.

        An end that is final is announced whatever they are.
        """
        if self._lifecycle.end_is_final:
            return []
        after_ms = LONGEST_END_OF_TURN_MS if self.caller_is_speaking else limits.resume_after_ms
        return [*self.begin_caller_turn(), self._timers.start(Timer.YIELD, after_ms)]

    def await_playback(self, limit_ms: int) -> list[Action]:
        """All is said: the agent has the turn until it is played, for `limit_ms` at most."""
        after_ms = min(self._output.playing_ms + _PAUSE_MS, limit_ms)
        return [*self._timers.stop(Timer.IDLE), self._timers.start(Timer.PLAYBACK, after_ms)]

    def await_caller(self) -> Action:
        if self._input.keypad.is_collecting:
            first_ms = self._fillers.idle_ms if self._fillers.is_waiting else None
            return self._input.keypad.await_digit(first_ms)
        return self._timers.start(Timer.IDLE, self._silence_ms)

    def delay_answer(self, language: str, limits: Limits) -> list[Action]:
        """Delay the answer to all that the caller has said, if more may come.

        More may also come after "hold on", which a caller says while thinking.
        """
        said, asked = self._input.unanswered
        self._end_of_turn_ms = answer_after_ms(said, asked, language, limits)
        self._asks_for_moment = asks_for_moment(self._input.spoken, language)
        if self._asks_for_moment:
            self._end_of_turn_ms = max(self._end_of_turn_ms, limits.end_of_turn_ms // 2, 1)
        if not self._end_of_turn_ms:
            return []
        return [self._timers.start(Timer.END_OF_TURN_DELAY, self._end_of_turn_ms)]

    def ask_ahead(self, limits: Limits) -> list[Action]:
        """Ask with the partial words if an answer were due at once to them as final ones."""
        ahead, (said, asked) = self._speculation, self._input.unanswered
        language, whole = (
            ahead.language or self._turn.config.language,
            f"{said} {ahead.words}".strip(),
        )
        is_busy = self._turn.is_under_way and not self._yields
        is_busy = is_busy or self._output.is_playing or not self._input.keypad.is_idle
        is_ending = self._lifecycle.ending is not None or self._lifecycle.end_is_final
        spoken = f"{self._input.spoken} {ahead.words}".strip()
        if is_busy or is_ending or asks_for_moment(spoken, language):
            return []
        is_due = ahead.may_ask and not answer_after_ms(whole, asked, language, limits)
        return self._turn.speculate() if is_due else []

    def delay_retry(self, limits: Limits) -> list[Action]:
        """Wait for the words of a caller who speaks, and for a while after the voice is over."""
        if not self.is_callers:
            return []
        is_speaking = self.caller_is_speaking
        self._end_of_turn_ms = limits.end_of_number_ms if is_speaking else limits.end_of_turn_ms
        delay_ms = LONGEST_END_OF_TURN_MS if is_speaking else self._end_of_turn_ms
        return [self._timers.start(Timer.END_OF_TURN_DELAY, delay_ms)]

    def begin_caller_turn(self) -> list[Action]:
        began = [] if self.is_callers else [self._input.record_beginning()]
        self.is_callers = True
        return began

    def end_caller_turn(self) -> None:
        self.is_callers = self.caller_is_speaking = False
        self._speculation.end_words()

    def follow_playback(
        self, event: PlaybackReported, limits: Limits
    ) -> tuple[Sequence[Action], bool]:
        """What follows a report of the relay, and whether all speech has been played."""
        match event.report:
            case Playback.AGENT_ON:
                return self._note_playing(), False
            case Playback.AGENT_OFF:
                if stopped := self._note_played_out():
                    self._input.note_heard_out()
                return stopped, bool(stopped)
            case Playback.CALLER_ON:
                self.caller_is_speaking = True
                begun = self._speculation.note_voice(is_heard=True)
                return [*self.note_caller(limits), *begun], False
            case Playback.PLAYED:
                self._output.note_played(event.text)
                return [], False
            case _:  # CALLER_OFF: the words follow
                over = self._speculation.note_voice(is_heard=False)
                return [*self._note_voice_over(limits), *over], False

    def _note_voice_over(self, limits: Limits) -> list[Action]:
        self.caller_is_speaking = False
        delay_ms = max(self._end_of_turn_ms, limits.transcript_ms)
        delay = self._timers.restart(Timer.END_OF_TURN_DELAY, delay_ms)
        withheld = self._timers.restart(Timer.YIELD, limits.transcript_ms)
        return [*delay, *withheld, *self.note_noise()]

    def note_caller(self, limits: Limits) -> list[Action]:
        """The caller speaks; a reply that is under way is withheld if nothing of it was heard."""
        began: list[Action] = self.begin_caller_turn()
        if (ending := self._lifecycle.ending) and ending.is_revocable:
            began += self._timers.restart(Timer.PLAYBACK, limits.goodbye_ms)
        delay_ms = max(self._end_of_turn_ms, limits.transcript_ms)
        delay_ms = LONGEST_END_OF_TURN_MS if self.caller_is_speaking else delay_ms
        return [
            *began,
            *self._timers.restart(Timer.END_OF_TURN_DELAY, delay_ms),
            *self._timers.restart(Timer.FILLER, self._fillers.every_ms),
            *self._timers.restart(Timer.TOOL, limits.filler_every_ms),
            *(self._withhold(limits) if self._yields else []),
            *self.note_noise(),
        ]

    @property
    def _yields(self) -> bool:
        if self._lifecycle.end_is_final:
            return False
        has_yielded = Timer.YIELD in self._timers.running
        return has_yielded or (self._turn.is_under_way and self._output.is_silent)

    def _withhold(self, limits: Limits) -> list[Action]:
        after_ms = LONGEST_END_OF_TURN_MS if self.caller_is_speaking else limits.transcript_ms
        return [self._timers.start(Timer.YIELD, after_ms)]

    def note_noise(self) -> Sequence[StartTimer]:
        entry = self._input.keypad.note_voice(LONGEST_VOICE_MS * self.caller_is_speaking)
        return [*self._timers.restart(Timer.IDLE, self._silence_ms), *entry]

    def note_partial(self, event: CallerSpoke, limits: Limits) -> list[Action]:
        return [*self.note_caller(limits), *self._speculation.hear(event.text, event.language)]

    def _note_playing(self) -> list[Action]:
        self._output.note_playing()
        if not (stopped := self._timers.stop(Timer.IDLE)):
            return []
        after_ms = self._output.playing_ms + _PAUSE_MS
        return [*stopped, self._timers.start(Timer.PLAYBACK, after_ms)]

    def _note_played_out(self) -> Sequence[Action]:
        """No action: an end waits for the caller's words, or other speech is to be played."""
        is_ending = self._lifecycle.ending is not None
        is_over = self._output.note_played_out() and not (is_ending and self.is_callers)
        return self._timers.stop(Timer.PLAYBACK) if is_over else []

    @property
    def _silence_ms(self) -> int:
        return LONGEST_VOICE_MS if self.caller_is_speaking else self._fillers.idle_ms


@dataclass(slots=True)
class FillerPolicy:
    """Which filler or re-prompt is next, and when none is."""

    phrases: Phrases
    _limits: Limits
    _fillers: int = 0
    _reprompts: int = 0
    _has_asked_again: bool = False
    is_waiting: bool = False
    """The caller has asked for a moment."""
    has_offered: bool = False
    """The caller, who still waits, was offered a choice."""

    @property
    def may_fill(self) -> bool:
        return self.has_offered or self._fillers < self._limits.filler_count

    @property
    def every_ms(self) -> int:
        limits = self._limits
        return limits.choice_after_ms if self.has_offered else limits.filler_every_ms

    @property
    def idle_ms(self) -> int:
        idle_ms = self._limits.moment_ms if self.is_waiting else self._limits.idle_ms
        return idle_ms[min(self._reprompts, len(idle_ms) - 1)]

    def begin_turn(self) -> None:
        self._fillers = self._reprompts = 0
        self.is_waiting = self.has_offered = self._has_asked_again = False

    def next_filler(self, of_tool: str) -> str:
        """The tool's own filler first, if it is not empty."""
        self._fillers += 1
        if of_tool and self._fillers == 1:
            return of_tool
        return self.phrases.fillers[(self._fillers - 1) % len(self.phrases.fillers)]

    def offer_choice(self, config: CallConfig) -> str:
        """The question to a caller who has waited for long; once in a wait."""
        self.has_offered, words = True, self.phrases
        if config.can_call_back:
            return words.person_or_call_back if config.can_hand_off else words.wait_or_call_back
        return words.wait_or_person if config.can_hand_off else words.wait_or_go_on

    def next_reprompt(self, question: str, language: str) -> str:
        """The first one repeats the question that is open.

        If "yes" may answer both that and "Are you still there?", the next one does.
        """
        if self._reprompts >= len(self._limits.idle_ms):
            return ""
        self._reprompts += 1
        words = self.phrases.still_there[(self._reprompts - 1) % len(self.phrases.still_there)]
        is_ambiguous = asks(words) and is_answered_by_yes(question, language)
        if self._has_asked_again or not question or is_ambiguous:
            return words
        self._has_asked_again = True
        return f"{words} {question}"
