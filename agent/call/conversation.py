"""One call, decided: an event goes in, actions come out, by docs/explain/promises.md.

    caller's words -> begin a turn -> ask -> deltas -> finished -> [tools -> ask ...] -> turn over
    turn over -> playback over -> idle -> re-prompts -> goodbye -> playback over -> end

In an open call a reply, an awaited tool or a timer is always under way, so that the caller is never
left in silence. The parts return actions; only the conversation decides what follows:

- *Barge-in after the words.* Twilio does not document the order of the two. A barge-in in a turn in
  which the agent has not spoken yet cuts the speech before it, and the running reply is asked anew.
- *Unfinished words* delay the reply. A caller who goes on before one was heard takes the turn.
- *News.* The late result of a side effect is announced when neither side speaks.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.call import events as ev
from agent.call import lifecycle
from agent.call.actions import Action, SwitchLanguage
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.caller_language import CallerLanguage
from agent.call.caller_wishes import CALLED_BACK, CallerWishes, Granted
from agent.call.config import CallConfig
from agent.call.history import History
from agent.call.keypad import Keypad
from agent.call.lifecycle import CallEnding
from agent.call.messages import Choice
from agent.call.opening import CallOpening, OpeningStep
from agent.call.operator_acts import OperatorControl
from agent.call.reply import Reply, Then
from agent.call.resumption import Resumption
from agent.call.stale_events import StaleEvents
from agent.call.summarization import Summarization
from agent.call.timers import Timer, TimerSet
from agent.call.tool_calls import ToolCalls
from agent.call.turn import Turn
from agent.call.turn_taking import FillerPolicy, TurnTaking
from agent.call.utterance_analysis import has_words


class Conversation:
    """One call; without a resumption a new one."""

    def __init__(self, config: CallConfig, resumption: Resumption | None = None) -> None:
        limits, timers = config.limits, TimerSet()
        self.history = history = History(resumption.facts if resumption else ())
        self._resumption, self._timers = resumption, timers
        self._tools = ToolCalls(history, config.tools)
        self._keypad = Keypad(history, timers, self._tools)
        self._input = CallerInput(history, timers, self._keypad)
        self._output = AgentOutput(history, characters_per_second=limits.characters_per_second)
        self._lifecycle = lifecycle.CallLifecycle(history, timers)
        self._fillers = FillerPolicy(config.phrases, limits)
        parts = (self._lifecycle, timers, self._fillers)
        self._reply = reply = Reply(history, timers)
        self._turn = Turn(history, self._output, self._tools, *parts, config, reply)
        self._language = CallerLanguage(history, self._turn, self._lifecycle)
        self._turn_taking = TurnTaking(self._input, self._output, *parts, self._turn, reply.ahead)
        self._wishes = CallerWishes(history, *parts)
        begun = (history, timers, self._input, self._output, self._tools, self._keypad)
        turn = (self._lifecycle, self._turn, self._turn_taking)
        self._opening = CallOpening(*begun, *turn, self._language, self._wishes)
        self._summarization = Summarization(history, self._tools, limits)
        others = (self._input, self._language, self._turn_taking, self._tools, self._summarization)
        agents = (history, self._output, self._turn, self._lifecycle, timers)
        self._operator = OperatorControl(*agents, *others)
        self._stale = StaleEvents(reply, self._tools, timers, self._summarization)
        self.received: ev.Event = ev.CallStarted()  # with marks for sensitive digits
        self._actions: list[Action] = []
        self._is_stopping = False

    @property
    def is_over(self) -> bool:
        return self._lifecycle.phase is lifecycle.Phase.GONE and not self._tools.runs

    @property
    def _config(self) -> CallConfig:
        return self._turn.config

    @property
    def end_reason(self) -> ev.EndReason:
        return self._lifecycle.reason

    def receive(self, event: ev.Event) -> list[Action]:
        """Take one event; returns what to do now, in this order. A stale event changes nothing."""
        self._actions = []
        event = self._keypad.screen(event, self._config.language)
        self.received = event = self._opening.screen(event)
        if self._lifecycle.accepts(event) and not self._stale.holds(event):
            if not self._reply.keep(event):
                self._decide(event)
            self._decide_kept(self._reply.release())
            self._actions += self._turn_taking.limit_turn(self._actions, self._config.limits)
        is_open = self._lifecycle.phase is lifecycle.Phase.OPEN
        self._actions[:0] = self._reply.ahead.settle(is_open=is_open and self._keypad.is_idle)
        assert not is_open or self._turn.is_under_way or self._timers.lead_on, type(event)  # noqa: S101
        return self._summarization.give_way(self._actions)

    def _decide(self, event: ev.Event) -> None:  # noqa: C901, PLR0912 (one case for each event)
        match event:
            case ev.ReplyDelta(_, text):
                self._actions += self._turn.add_delta(text)
            case _ if self._opening.takes(event):
                self._follow_opening(self._opening.receive(event))
            case _ if (done := self._operator.decide(event)) is not None:
                self._actions += done
            case ev.CallStarted():
                self._actions += self._operator.resume()
                self._follow_opening(self._opening.begin(self._resumption))
            case ev.CallerSpoke():
                self._hear(event)
            case ev.CallerInterrupted(heard, after_ms):
                self._yield_turn(heard, after_ms)
            case ev.CallerPressed(digit):
                self._take_key(digit)
            case ev.PlaybackReported():
                actions, is_played = self._turn_taking.follow_playback(event, self._config.limits)
                self._actions += actions
                if is_played:
                    self._finish_playback()
            case ev.ReplyFinished():
                self._follow_turn(*self._turn.finish_reply(event))
            case ev.ReplyFailed():
                self._follow_turn(*self._turn.fail_reply())
            case ev.TokensCounted():
                pass
            case ev.Summarized(_, text) if not self._lifecycle.ending:
                self._actions += self._summarization.finish(text)
            case ev.Summarized() | ev.SummaryFailed():  # at the end of a call none is asked for
                self._actions += self._summarization.fail()
            case ev.ToolFinished():
                self._finish_tool(event)
            case ev.TimerFired(timer):
                self._timers.stop(timer)
                self._wake(timer)
            case ev.CallConfigChanged(config):
                self._actions += self._turn.set_config(config.in_language(self._config.language))
            case ev.AllowanceSpent():
                self._leave_with(*self._lifecycle.spend(event, self._config.phrases))
            case ev.OperatorActed():
                self._follow_turn(*self._operator.act(event))
            case ev.ServiceStopping(mode):
                self._stop_service(mode)
            case _:  # a CallEnded; mypy reports any event that was added and forgotten here
                self._lose_connection(event.reason)

    def _wake(self, timer: Timer) -> None:  # noqa: C901, PLR0912 (one case for each)
        match timer:
            case Timer.FLUSH:
                self._actions += self._turn.flush()
            case Timer.END_OF_TURN_DELAY if self._turn_taking.grants_moment():
                self._say_last(self._config.phrases.take_your_time)
            case Timer.END_OF_TURN_DELAY:
                self._actions += self._turn.ask()
            case Timer.SPECULATION:
                self._actions += self._turn_taking.ask_ahead(self._config.limits)
            case Timer.RETRY:
                delay = self._turn_taking.delay_retry(self._config.limits)
                self._actions += delay or self._turn.ask()
            case Timer.REPEAT | Timer.LATE_DIGITS:
                pass  # from now on the same words, and keys, are new ones
            case Timer.YIELD:
                self._stop_yielding()
            case Timer.LONGEST_TURN:
                self._stop_caller()
            case Timer.FILLER | Timer.TOOL | Timer.WAIT:
                self._actions += self._turn.fill_wait(timer)
            case Timer.PLAYBACK:
                self._finish_playback()
            case Timer.IDLE:
                self._break_silence()
            case Timer.DIGITS:
                self._finish_entry()
            case Timer.MODEL_FAILURE:
                self._turn.may_retry = False
            case Timer.OPERATOR:
                self._follow_turn(*self._operator.give_back())
            case Timer.DURATION:
                self._watch_duration()
            case _:  # CLOSING
                self._lose_connection(ev.EndReason.CALLER_HANGUP)

    def _follow_opening(self, step: OpeningStep) -> None:
        self._follow_turn(step.actions, step.then)
        if step.leaves is not None:
            self._leave_with(step.leaves.words, step.leaves.ending, *step.leaves.records)
        self._decide_kept(step.kept)

    def _decide_kept(self, events: Iterable[ev.Event]) -> None:
        """Decide about events that have waited, if they still count."""
        for event in events:
            if self._lifecycle.accepts(event):
                self._decide(event)

    def _hear(self, event: ev.CallerSpoke) -> None:
        if not event.is_final:
            self._actions += self._turn_taking.note_partial(event, self._config.limits)
        elif has_words(event.text) and (entry := self._keypad.hear(event, self._config.language)):
            self._turn_taking.end_caller_turn()
            self._follow_turn(*self._turn.enter(*entry))
        elif not has_words(event.text) or self._input.is_repetition(event.text):
            self._stop_yielding()
            self._actions += self._turn_taking.note_noise()
        else:
            self._take_words(event)

    def _take_words(self, event: ev.CallerSpoke) -> None:
        self._actions += self._language.switch(changed := self._language.change(event))
        language, is_typing = self._turn.hear(event.language), self._keypad.is_typing
        self._actions += self._input.add_words(event.text, changed)
        self._turn_taking.end_caller_turn()
        is_nod = self._turn.has_whole_rest and self._turn_taking.is_nod(event.text, language)
        if self._lifecycle.end_is_final:
            self._actions += self._turn.ask(Choice.NONE) if is_typing else []
            self._stop_yielding()
        elif is_nod or self._wishes.keeps_waiting(event.text, language):
            self._stop_yielding()
            self._actions += self._turn.fill_wait() if self._fillers.has_offered else []
        elif is_typing or not self._turn_taking.is_backchannel(event, language):
            wish = self._wishes.choose(event.text, language, self._config)
            self._actions += self._turn.begin()
            self._answer(wish or self._wishes.grant(self._input, language, self._config), language)

    def _answer(self, granted: Granted | None, language: str) -> None:
        if granted is CALLED_BACK:
            self._follow_turn(*self._turn.call_back())
        elif granted is not None:
            self._leave_with(granted.words, granted.ending, *granted.records)
        else:
            delay = self._turn_taking.delay_answer(language, self._config.limits)
            self._actions += delay or self._turn.ask()

    def _yield_turn(self, heard: str, after_ms: int | None) -> None:
        if self._lifecycle.phase is lifecycle.Phase.CLOSING:
            self._actions += self._output.cut(heard, after_ms, is_complete=True)
        elif self._turn.has_rest or (self._turn.is_under_way and self._output.has_no_answer):
            self._actions += self._output.cut(heard, after_ms, is_complete=True)
            self._actions += self._turn_taking.await_words(self._config.limits)
        elif self._output.has_spoken:
            is_complete, is_all = self._output.open_at is None, not self._turn.is_under_way
            self._actions += self._turn.leave(is_entering=self._keypad.is_collecting)
            self._actions += self._output.cut(heard, after_ms, is_complete=is_complete)
            self._actions += self._turn_taking.begin_caller_turn()
            if (ending := self._lifecycle.ending) and not ending.is_revocable:
                self._end_call(ending)
            else:
                is_kept = not ending and self._turn.keep_rest(self._output.unheard, is_all=is_all)
                self._actions += self._turn.revoke_end()
                words = self._turn_taking.await_words(self._config.limits) if is_kept else []
                self._actions += [self._turn_taking.await_caller(), *words]
        elif records := self._output.cut(heard, after_ms, is_complete=True):
            self._actions += [*records, *self._turn.ask_anew()]

    def _take_key(self, digit: str) -> None:
        self._turn_taking.end_caller_turn()
        if self._lifecycle.end_is_final or self._keypad.is_late:
            pass
        elif self._keypad.is_collecting:
            self._follow_turn(*self._turn.enter(*self._keypad.press(digit)))
        elif binding := self._wishes.binding(digit, self._config.language, self._config):
            self._actions += self._keypad.press_bound(digit)
            self._actions += self._turn.begin()
            if granted := self._wishes.ask_by_key(binding, self._config):
                self._answer(granted, self._config.language)
            else:
                self._actions += self._turn.follow_key(binding)
        else:
            if not self._keypad.is_typing:
                self._actions += self._turn.begin()
            self._actions += self._keypad.collect(digit, self._config.limits.digits_ms)
            if not self._keypad.is_typing:
                self._finish_entry()

    def _finish_entry(self) -> None:
        if self._keypad.is_collecting:
            self._turn_taking.end_caller_turn()
            self._follow_turn(*self._turn.enter(*self._keypad.run_out()))
            return
        self._actions += self._keypad.complete()
        if self.history.is_answered and not self._turn.is_broken_off:
            self._actions.append(self._turn_taking.await_caller())
        else:
            self._actions += self._turn.ask()

    def _stop_caller(self) -> None:
        if self._turn_taking.may_stop_caller:
            self._actions += [*self._turn.revoke_end(), *self._turn.stop_caller()]
            self._stop_yielding()
            if not self._turn.is_under_way and Timer.PLAYBACK not in self._timers.running:
                self._end_turn()

    def _follow_turn(self, actions: list[Action], then: Then) -> None:
        self._actions += actions
        if then is Then.END_TURN:
            self._end_turn()
        elif then is Then.GIVE_UP:
            self._leave_with(*self._lifecycle.give_up(self._config))

    def _stop_yielding(self) -> None:
        """Stop waiting for words: what was not heard, or was written meanwhile, is said."""
        self._turn_taking.end_caller_turn()
        self._actions += self._timers.stop(Timer.YIELD)
        self._decide_kept(self._reply.release())
        if self._turn.has_rest:
            self._follow_turn(*self._turn.go_on())

    def _finish_tool(self, event: ev.ToolFinished) -> None:
        records, late = self._tools.finish(event.call_id, event.outcome)
        effect, was_awaited = event.outcome.effect, not late
        self._actions += records
        if self._lifecycle.phase is not lifecycle.Phase.OPEN:
            return
        self._actions += self._lifecycle.take_effect(effect, self._config, was_awaited=was_awaited)
        self._actions += (closed := self._keypad.close() if self._lifecycle.ending else [])
        if isinstance(effect, SwitchLanguage):
            self._actions += self._language.switch(effect.language)
        self._turn.closing.take(effect, was_awaited=was_awaited)
        if late:
            self._actions.append(self._turn.add_note(late))
        if (was_awaited or closed) and not self._tools.is_awaited:
            self._follow_turn(*self._turn.continue_after_tools())
        elif not was_awaited and self._turn_taking.is_quiet:
            self._actions += self._turn.ask()

    def _end_turn(self) -> None:
        limits, ending = self._config.limits, self._lifecycle.ending
        limit_ms = limits.goodbye_ms if ending else limits.duration_ms
        self._actions += self._turn_taking.await_playback(limit_ms)
        if not (ending or self._keypad.is_collecting or self._operator.has_call):
            self._actions += self._summarization.begin(self._output.first_audible)

    def _finish_playback(self) -> None:
        self._output.note_all_played()
        if self._lifecycle.ending:
            self._end_call(self._lifecycle.ending)
        elif self._turn_taking.is_callers or self._keypad.is_collecting or not self._use_silence():
            self._actions.append(self._turn_taking.await_caller())

    def _use_silence(self) -> bool:
        if self._tools.has_news:
            self._actions += self._turn.ask()
        elif self._is_stopping:
            self._end_call(lifecycle.HANDED_OVER)
        else:
            return False
        return True

    def _break_silence(self) -> None:
        self._turn_taking.end_caller_turn()
        if self._turn.has_rest:
            self._stop_yielding()
        elif self._use_silence():
            return
        elif words := self._turn_taking.next_reprompt(self._config.language):
            self._say_last(words)
        else:
            self._leave_with(self._config.phrases.goodbye_idle, lifecycle.IDLE)

    def _watch_duration(self) -> None:
        self._actions.append(self._lifecycle.warn(self._config.limits))
        if self._lifecycle.ending:
            return
        if self._lifecycle.warnings > 1:
            self._leave_with(self._config.phrases.goodbye_duration, lifecycle.TIME_IS_UP)
        elif self._turn_taking.is_quiet:
            self._say_last(self._config.phrases.almost_over)
        else:
            self._actions.append(self._turn.add_note(self._config.phrases.almost_over))

    def _stop_service(self, mode: ev.ShutdownMode) -> None:
        if mode is ev.ShutdownMode.WHEN_QUIET:
            self._is_stopping = True
            if self._turn_taking.is_quiet:
                self._end_call(lifecycle.HANDED_OVER)
            return
        self._actions += [*self._keypad.abandon(), *self._turn.leave()]
        if mode is ev.ShutdownMode.GOODBYE and not self._lifecycle.ending:
            self._actions += self._output.say_whole(self._config.phrases.goodbye_stopping)
            self._lifecycle.ending = lifecycle.STOPPED
        self._end_call(self._lifecycle.ending or lifecycle.CUT_SHORT)

    def _leave_with(self, words: str, ending: CallEnding | None, *records: Action) -> None:
        self._actions += self._operator.release()
        self._actions += [*self._turn.leave(), *self._keypad.complete(), *records]
        self._lifecycle.ending = ending
        self._say_last(words)

    def _end_call(self, ending: CallEnding) -> None:
        self._actions += self._lifecycle.close(ending, self._config.limits)

    def _lose_connection(self, reason: ev.EndReason) -> None:
        left = [*self._keypad.abandon(), *self._turn.drop_reply(), *self._tools.leave()]
        self._actions += [*left, *self._lifecycle.lose(reason)]

    def _say_last(self, sentence: str) -> None:
        self._actions += self._output.say_whole(sentence)
        self._end_turn()
