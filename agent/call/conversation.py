"""One call, decided: `Conversation.receive` takes an event and returns what to do, in order.

It awaits nothing and knows no clock, so each race between caller, model, tools, timers and line is
a list of events. The promises it keeps are style section 3; `tests/call/test_rules.py`
plays the world against it, `test_*_stories.py` tell the races that once mattered.

How a call flows:

    caller's words -> begin a turn -> ask -> deltas -> finished -> [tools -> ask ...] -> turn over
    turn over -> playback over -> idle -> re-prompts -> goodbye -> playback over -> end

At each moment of an open call something is under way that must lead to another event: a reply, an
awaited tool, or one of the timers HOLD, RETRY, PLAYBACK, IDLE, DIGITS. That is how the caller is
never left in silence.

The rules of each matter are kept by a part of its own: the ear and the mouth, the floor between
them, the turn in progress, the course of the call. The parts take values and return actions and
know nothing of the conversation, which alone decides what follows what.

Choices that are not obvious:

- *Interrupt after prompt.* The order of the two on barge-in is undocumented (relay reference
  section 8, item 6). An interrupt in a turn in which we have not spoken yet therefore belongs to
  the turn before: it cuts that speech and the running reply is asked anew with the corrected
  history. Otherwise the caller's words would stay unanswered.
- *Unfinished words* delay the reply for a second, digits of a number for two, instead of running it
  muted: a reply to half a sentence is mostly thrown away, and its tools must not run.
- *News.* A side effect that finishes after the caller has moved on is told when nobody speaks.
"""

from __future__ import annotations

from agent.call import events as ev
from agent.call.actions import Action, Handoff, Record, SwitchLanguage, Timer
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.config import CallConfig, KeyBinding
from agent.call.ending import (
    HANDED_OVER,
    IDLE,
    SPENT,
    STOPPED,
    TIME_IS_UP,
    TORN_OFF,
    TROUBLE,
    CallEnding,
)
from agent.call.events import EndReason, Event, Playback, ShutdownMode
from agent.call.history import History, Note
from agent.call.lifecycle import CallLifecycle
from agent.call.messages import Choice, ForcedTool, ToolChoice
from agent.call.resumption import Resumption, first_words
from agent.call.summarization import Summarization
from agent.call.timers import TimerSet
from agent.call.tool_calls import ToolCalls
from agent.call.turn import Then, Turn, TurnDecision
from agent.call.turn_taking import FillerPolicy, TurnTaking
from agent.call.utterance_analysis import has_words

ANSWER_WITH = "Answer with this text, in the caller's language: {}"
LATE_RESULT = "{} has finished meanwhile, with this result: {} Tell the caller when it fits."


class Conversation:
    """One call. `receive` is all that matters; the properties tell where it stands."""

    def __init__(self, brief: CallConfig, resumption: Resumption | None = None) -> None:
        """Begin a call, or go on with one that was led before."""
        limits, clocks = brief.limits, TimerSet()
        history = History(resumption.facts if resumption else ())
        self._brief = brief
        self._resumption = resumption
        self._history = history
        self._clocks = clocks
        self._ear = CallerInput(history, clocks)
        self._mouth = AgentOutput(history, characters_per_second=limits.characters_per_second)
        self._tools = ToolCalls(history, brief.tools)
        self._patience = FillerPolicy(brief.phrases, limits)
        self._turn = Turn(history, self._mouth, self._tools, self._patience, clocks, brief)
        self._compaction = Summarization(history, self._tools, limits)
        self._floor = TurnTaking(self._ear, self._mouth, self._patience, clocks)
        self._course = CallLifecycle(history, clocks)
        self._actions: list[Action] = []
        self._is_stopping = False

    @property
    def history(self) -> History:
        """The facts so far; only the conversation may change them."""
        return self._history

    @property
    def is_over(self) -> bool:
        """The caller is gone and nothing that was started is unfinished."""
        return self._course.is_gone and not self._tools.is_unfinished

    @property
    def end_reason(self) -> EndReason:
        """Why the call ended; final once it has."""
        return self._course.reason

    def receive(self, event: Event) -> list[Action]:
        """Take one event; returns what to do now, in this order. Stale events change nothing."""
        self._actions = []
        if self._course.expects(event) and not self._is_left_behind(event):
            self._decide(event)
        return self._actions

    def _is_left_behind(self, event: Event) -> bool:
        """The event speaks of something that counts no more."""
        match event:
            case ev.ReplyDelta(reply) | ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
                return not self._turn.is_current(reply)
            case ev.ToolFinished(call_id):
                return not self._tools.is_known(call_id)
            case ev.TimerFired(timer, serial):
                return not self._clocks.is_current(timer, serial)
            case ev.Summarized(summary) | ev.SummaryFailed(summary):
                return not self._compaction.is_current(summary)
            case _:
                return False

    def _decide(self, event: Event) -> None:  # noqa: C901, PLR0912 (one case for each event)
        match event:
            case ev.CallStarted():
                self._begin_call()
            case ev.CallerSpoke(text, is_final):
                self._hear(text, is_final=is_final)
            case ev.CallerInterrupted(heard, after_ms):
                self._yield_floor(heard, after_ms)
            case ev.CallerPressed(digit):
                self._take_key(digit)
            case ev.PlaybackReported(report, text):
                self._follow_playback(report, text)
            case ev.ReplyDelta(_, text):
                self._actions += self._turn.pass_on(text)
            case ev.ReplyFinished(_, calls, stop):
                self._follow_turn(self._turn.finish_reply(calls, stop, self._course.ending))
            case ev.ReplyFailed():
                self._follow_turn(self._turn.fail_reply(self._course.ending))
            case ev.TokensCounted():
                pass
            case ev.Summarized(_, text):
                self._actions += self._compaction.finish(text)
            case ev.SummaryFailed():
                self._actions += self._compaction.fail()
            case ev.ToolFinished():
                self._finish_tool(event)
            case ev.TimerFired(timer):
                self._clocks.has_fired(timer)
                self._wake(timer)
            case ev.CallConfigChanged(brief):
                self._brief = brief
                self._turn.follow(brief)
            case ev.AllowanceSpent():
                self._stop_here(self._brief.phrases.goodbye_spent, SPENT)
            case ev.ServiceStopping(departure):
                self._stop_service(departure)
            case _:  # by now a CallEnded; mypy complains here of any event added and forgotten
                self._lose_line(event.reason)

    def _wake(self, timer: Timer) -> None:  # noqa: C901 (one case for each timer)
        match timer:
            case Timer.FLUSH:
                self._actions += self._turn.flush()
            case Timer.HOLD:
                self._ask()
            case Timer.RETRY:
                self._ask_unless(self._floor.hold_back(self._brief.limits))
            case Timer.REPEAT:
                pass  # from now on the same words are new ones
            case Timer.FILLER:
                self._actions += self._turn.fill_in()
            case Timer.PLAYBACK:
                self._finish_playback()
            case Timer.IDLE:
                self._break_silence()
            case Timer.DIGITS:
                self._finish_entry()
            case Timer.TROUBLE:
                self._turn.lose_patience()
            case Timer.DURATION:
                self._watch_duration()
            case _:  # by now CLOSING
                self._lose_line(EndReason.CALLER_HANGUP)

    def _begin_call(self) -> None:
        elapsed_ms = self._resumption.elapsed_ms if self._resumption else 0
        self._actions.append(self._course.begin(self._brief.limits, elapsed_ms))
        if self._resumption is not None:
            self._take_up(self._resumption)
        elif self._brief.greeting:
            self._actions += self._mouth.greet(self._brief.greeting)
            self._end_turn()
        else:
            self._ask()

    def _take_up(self, resumption: Resumption) -> None:
        """Go on with a call, see `agent.call.resumption`."""
        if resumption.language:
            self._actions.append(SwitchLanguage(resumption.language))
            self._turn.switch(resumption.language)
        self._actions += self._tools.resume()
        first = first_words(resumption, self._brief.phrases, self._brief.greeting)
        if first.sentence:
            self._say(first.sentence)
        if first.note:
            self._note(first.note)
        if self._tools.is_awaited:
            self._actions += self._turn.wait(self._brief.limits.filler_every_ms)
        elif first.asks_model:
            self._ask()
        else:
            self._end_turn()

    def _hear(self, text: str, *, is_final: bool) -> None:
        if not is_final:
            self._notice_caller()
        elif not has_words(text) or self._ear.has_heard(text):
            self._floor.take()
            self._actions += self._floor.notice_noise()
        else:
            self._take_words(text)

    def _take_words(self, text: str) -> None:
        is_typing = self._ear.is_typing
        self._actions += self._ear.hear(text)
        self._floor.take()
        if self._course.is_settled:
            if is_typing:  # nothing else was under way
                self._ask(Choice.NONE)
        elif is_typing or not self._floor.is_nod(text, is_promised=self._turn.is_under_way):
            self._begin_turn()
            self._ask_unless(self._floor.hold(text, self._history.unanswered, self._brief.limits))

    def _ask_unless(self, held: list[Action]) -> None:
        """Ask the model, unless that waits for the caller."""
        self._actions += held
        if not held:
            self._ask()

    def _notice_caller(self) -> None:
        limits, is_revocable = self._brief.limits, self._course.is_revocable
        self._actions += self._floor.notice_caller(limits, is_revocable=is_revocable)

    def _yield_floor(self, heard: str, after_ms: int | None) -> None:
        if self._course.is_closing:
            self._actions += self._mouth.cut(heard, after_ms, is_complete=True)
        elif self._mouth.has_spoken:
            is_complete = not self._mouth.is_open
            self._actions += self._turn.leave()
            self._actions += self._mouth.cut(heard, after_ms, is_complete=is_complete)
            self._listen_after_cut()
        elif records := self._mouth.cut(heard, after_ms, is_complete=True):
            self._actions += records
            self._actions += self._turn.ask_anew()

    def _listen_after_cut(self) -> None:
        self._actions += self._floor.give()
        if self._course.ending and not self._course.is_revocable:
            self._end_call(self._course.ending)
        else:
            self._course.plan(None)
            self._actions.append(self._floor.listen())

    def _take_key(self, digit: str) -> None:
        self._floor.take()
        if self._course.is_settled:
            return
        binding = self._brief.keypad.get(digit)
        if binding is None:
            self._collect(digit)
        else:
            self._actions += self._ear.press(digit)
            self._begin_turn()
            self._obey(binding)

    def _obey(self, binding: KeyBinding) -> None:
        """Seed section A13: the four kinds of binding."""
        if binding.reply_text and binding.function:
            self._say(binding.reply_text)
        elif binding.reply_text:
            self._note(ANSWER_WITH.format(binding.reply_text))
        self._ask(ForcedTool(binding.function) if binding.function else Choice.AUTO)

    def _collect(self, digit: str) -> None:
        if not self._ear.is_typing:
            self._begin_turn()
        self._actions += self._ear.collect(digit, self._brief.limits.digits_ms)
        if not self._ear.is_typing:
            self._finish_entry()

    def _finish_entry(self) -> None:
        self._actions += self._ear.complete_entry()
        if self._history.is_answered:
            self._actions.append(self._floor.listen())
        else:
            self._ask()

    def _follow_playback(self, report: Playback, text: str) -> None:
        match report:
            case Playback.AGENT_ON:
                self._actions += self._floor.note_playing()
            case Playback.AGENT_OFF:
                is_ending = self._course.ending is not None
                if stopped := self._floor.note_played_out(is_ending=is_ending):
                    self._actions += stopped
                    self._finish_playback()
            case Playback.CALLER_ON:
                self._floor.note_voice()
                self._notice_caller()
            case Playback.PLAYED:
                self._mouth.note_played(text)
            case _:  # by now CALLER_OFF: the words follow
                self._actions += self._floor.note_voice_over()

    def _begin_turn(self) -> None:
        self._actions += self._turn.begin()
        self._course.plan(None)

    def _ask(self, choice: ToolChoice = Choice.AUTO) -> None:
        self._actions += self._turn.ask(choice)

    def _follow_turn(self, step: TurnDecision) -> None:
        self._actions += step.actions
        match step.then:
            case Then.AWAIT:
                pass
            case Then.END_TURN:
                self._end_turn()
            case _:  # by now GIVE_UP
                self._give_up()

    def _give_up(self) -> None:
        """The model cannot be had: perhaps a person can."""
        phrases = self._brief.phrases
        if self._brief.can_hand_off:
            person = self._course.transfer(Handoff("technical trouble"), self._brief)
            self._leave_with(phrases.transfer, person)
        else:
            self._leave_with(phrases.goodbye_trouble, TROUBLE)

    def _finish_tool(self, event: ev.ToolFinished) -> None:
        run = self._tools.finish(event.call_id, event.outcome)
        self._actions += run.records
        if not self._course.is_open:
            return
        effect, was_awaited = event.outcome.effect, run.was_awaited
        self._actions += self._course.take_effect(effect, self._brief, was_awaited=was_awaited)
        if isinstance(effect, SwitchLanguage):
            self._turn.switch(effect.language)
        if not run.was_awaited:
            self._note(LATE_RESULT.format(run.name, event.outcome.content))
            if self._floor.is_quiet:
                self._ask()
        elif not self._tools.is_awaited:
            self._follow_turn(self._turn.go_on(self._course.ending))

    def _end_turn(self) -> None:
        """All is said; what follows waits for the playback to end."""
        limits, ending = self._brief.limits, self._course.ending
        self._actions += self._floor.keep(limits.goodbye_ms if ending else limits.duration_ms)
        if not ending:
            self._actions += self._compaction.begin(self._mouth.first_audible)

    def _finish_playback(self) -> None:
        self._mouth.note_silence()
        if self._course.ending:
            self._end_call(self._course.ending)
        elif self._floor.is_callers or not self._use_quiet():
            self._actions.append(self._floor.listen())

    def _use_quiet(self) -> bool:
        """Nobody speaks: do what has waited for that, if there is anything."""
        if self._tools.has_news:
            self._ask()
        elif self._is_stopping:
            self._end_call(HANDED_OVER)
        else:
            return False
        return True

    def _break_silence(self) -> None:
        self._floor.take()
        if self._use_quiet():
            return
        if words := self._patience.reprompt():
            self._say_last(words)
        else:
            self._leave_with(self._brief.phrases.goodbye_idle, IDLE)

    def _watch_duration(self) -> None:
        phrases = self._brief.phrases
        self._actions.append(self._course.warn(self._brief.limits))
        if self._course.ending:
            return
        if self._course.is_time_up:
            self._stop_here(phrases.goodbye_duration, TIME_IS_UP)
        elif self._floor.is_quiet:
            self._say_last(phrases.almost_over)
        else:
            self._note(phrases.almost_over)

    def _stop_service(self, departure: ShutdownMode) -> None:
        if departure is ShutdownMode.WHEN_QUIET:
            self._is_stopping = True
            if self._floor.is_quiet:
                self._end_call(HANDED_OVER)
            return
        self._actions += self._turn.leave()
        self._actions += self._ear.complete_entry()
        if departure is ShutdownMode.GOODBYE and not self._course.ending:
            self._say(self._brief.phrases.goodbye_stopping)
            self._course.plan(STOPPED)
        self._end_call(self._course.ending or TORN_OFF)

    def _stop_here(self, words: str, ending: CallEnding) -> None:
        self._actions += self._turn.leave()
        self._leave_with(words, ending)

    def _leave_with(self, words: str, ending: CallEnding) -> None:
        self._actions += self._ear.complete_entry()
        self._course.plan(ending)
        self._say_last(words)

    def _end_call(self, ending: CallEnding) -> None:
        self._actions += self._course.close(ending, self._brief.limits)

    def _lose_line(self, reason: EndReason) -> None:
        self._actions += self._ear.complete_entry()
        self._actions += self._turn.drop_reply()
        self._actions += self._tools.leave()
        self._actions += self._course.lose(reason)

    def _say(self, sentence: str) -> None:
        self._actions += self._mouth.say_whole(sentence)

    def _say_last(self, sentence: str) -> None:
        self._say(sentence)
        self._end_turn()

    def _note(self, text: str) -> None:
        """The model is to know this."""
        note = Note(text)
        self._actions.append(Record(self._history.append(note), note))
