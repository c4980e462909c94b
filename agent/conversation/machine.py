"""One call, decided: `Conversation.receive` takes an event and returns what to do, in order.

It awaits nothing and knows no clock, so each race between caller, model, tools, timers and line is
a list of events. The promises it keeps are style section 3; `tests/conversation/test_rules.py`
plays the world against it, `test_*_stories.py` tell the races that once mattered.

How a call flows:

    caller's words -> begin a turn -> ask -> deltas -> finished -> [tools -> ask ...] -> turn over
    turn over -> playback over -> idle -> re-prompts -> goodbye -> playback over -> end

At each moment of an open call something is under way that must lead to another event: a reply, an
awaited tool, or one of the timers HOLD, PLAYBACK, IDLE, DIGITS. That is how the caller is never
left in silence.

Choices that are not obvious:

- *Interrupt after prompt.* The order of the two on barge-in is undocumented (relay reference
section 8,
  item 6). An interrupt in a turn in which we have not spoken yet therefore belongs to the turn
  before: it cuts that speech and the running reply is asked anew with the corrected history.
  Otherwise the caller's words would stay unanswered.
- *Unfinished words* delay the reply for a second instead of running it muted: a reply to half a
sentence is
  mostly thrown away, and its tools must not run.
- *News.* A side effect that finishes after the caller has moved on is told when nobody speaks.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from agent.conversation import events as ev
from agent.conversation.actions import (
    Action,
    EndCall,
    Record,
    StartReply,
    SwitchLanguage,
    Timer,
)
from agent.conversation.clocks import Clocks
from agent.conversation.compaction import Compaction
from agent.conversation.ending import (
    BY_AGENT,
    HANDED_OVER,
    IDLE,
    STOPPED,
    TIME_IS_UP,
    TORN_OFF,
    TROUBLE,
    Ending,
    transfer,
)
from agent.conversation.events import Departure, EndReason, Event, Playback
from agent.conversation.history import (
    AgentSaid,
    CallerBegan,
    CallerSaid,
    Fact,
    History,
    Means,
    Note,
    ToolUsed,
)
from agent.conversation.keypad import Entry
from agent.conversation.listening import asks, has_words, is_acknowledgement, is_unfinished
from agent.conversation.messages import Choice, ForcedTool, StopReason, ToolCall, ToolChoice
from agent.conversation.mouth import Mouth
from agent.conversation.outcome import Effect, Handoff, HangUp
from agent.conversation.patience import Patience
from agent.conversation.reply import Reply
from agent.conversation.resuming import Resumption, first_words
from agent.conversation.toolruns import ToolRuns
from agent.conversation.usecase import Brief, KeyBinding

ANSWER_WITH = "Answer with this text, in the caller's language: {}"
LATE_RESULT = "{} has finished meanwhile, with this result: {} Tell the caller when it fits."
_PAUSE_MS = 1_000
"""Between the estimated end of playback and what follows: the voice may be slower."""


class _Phase(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSING = auto()
    """The carrier was told to end."""
    GONE = auto()


class Conversation:
    """One call. `receive` is all that matters; the properties tell where it stands."""

    def __init__(self, brief: Brief, resumption: Resumption | None = None) -> None:
        """Begin a call, or go on with one that was led before."""
        limits = brief.limits
        self._brief = brief
        self._resumption = resumption
        facts = resumption.facts if resumption else ()
        self._history = History(facts)
        self._mouth = Mouth(self._history, characters_per_second=limits.characters_per_second)
        self._tools = ToolRuns(self._history, brief.tools)
        self._compaction = Compaction(self._history, self._tools, limits)
        self._clocks = Clocks()
        self._actions: list[Action] = []
        self._phase = _Phase.NEW
        self._end_reason = EndReason.CALLER_HANGUP
        self._ending: Ending | None = None
        self._reply = Reply(_last_reply(facts))
        self._patience = Patience(brief.phrases, limits)
        self._entry = Entry()
        self._round = 0
        self._failures = 0
        self._is_out_of_patience = False
        self._has_retried = False
        self._has_news = False
        self._has_caller_floor = False
        self._is_agent_heard = False
        self._is_stopping = False
        self._is_warned = False
        self._language = ""

    @property
    def history(self) -> History:
        """The facts so far; only the conversation may change them."""
        return self._history

    @property
    def is_over(self) -> bool:
        """The caller is gone and nothing that was started is unfinished."""
        return self._phase is _Phase.GONE and not self._tools.is_unfinished

    @property
    def end_reason(self) -> EndReason:
        """Why the call ended; final once it has."""
        return self._end_reason

    def receive(self, event: Event) -> list[Action]:
        """Take one event; returns what to do now, in this order. Stale events change nothing."""
        self._actions = []
        if not self._is_stale(event):
            self._decide(event)
        return self._actions

    def _is_stale(self, event: Event) -> bool:
        """The event speaks of something that was left behind, or comes out of season."""
        match event:
            case ev.CallStarted():
                return self._phase is not _Phase.NEW
            case ev.ReplyDelta(reply) | ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
                return not self._reply.is_current(reply)
            case ev.ToolFinished(call_id):
                return not self._tools.is_known(call_id)
            case ev.TimerFired(timer, serial):
                return not self._clocks.is_current(timer, serial)
            case ev.Summarized(summary) | ev.SummaryFailed(summary):
                return self._phase is not _Phase.OPEN or not self._compaction.is_current(summary)
            case ev.CallEnded():
                return self._phase is _Phase.GONE
            case ev.CallerSpoke() | ev.CallerInterrupted() | ev.TokensCounted():
                return self._phase in {_Phase.NEW, _Phase.GONE}
            case ev.CallerPressed() | ev.PlaybackReported():
                return self._phase is not _Phase.OPEN
            case ev.BriefChanged():
                return False
            case _:  # by now a ServiceStopping; a forgotten event is found in `_decide`
                return self._phase not in {_Phase.NEW, _Phase.OPEN}

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
                self._pass_on(text)
            case ev.ReplyFinished(_, calls, stop):
                self._finish_reply(calls, stop)
            case ev.ReplyFailed():
                self._survive_failure()
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
            case ev.BriefChanged(brief):
                self._follow(brief)
            case ev.ServiceStopping(departure):
                self._stop_service(departure)
            case _:  # by now a CallEnded; mypy complains here of any event added and forgotten
                self._lose_line(event.reason)

    def _begin_call(self) -> None:
        self._phase = _Phase.OPEN
        limits, elapsed_ms = self._brief.limits, 0
        if self._resumption is not None:
            elapsed_ms = self._resumption.elapsed_ms
        until_warning_ms = limits.duration_ms - limits.duration_warning_ms - elapsed_ms
        self._start(Timer.DURATION, max(1, until_warning_ms))
        if self._resumption is not None:
            self._take_up(self._resumption)
        elif self._brief.greeting:
            self._actions += self._mouth.greet(self._brief.greeting)
            self._end_turn()
        else:
            self._ask()

    def _take_up(self, resumption: Resumption) -> None:
        """Go on with a call, see `agent.conversation.resuming`."""
        if resumption.language:
            self._actions.append(SwitchLanguage(resumption.language))
        self._actions += self._tools.resume()
        first = first_words(resumption, self._brief.phrases, self._brief.greeting)
        if first.sentence:
            self._actions += self._mouth.say_whole(first.sentence)
        if first.note:
            self._keep(Note(first.note))
        if self._tools.is_awaited:
            self._start_filler(self._brief.limits.filler_every_ms)
        elif first.asks_model:
            self._ask()
        else:
            self._end_turn()

    def _follow(self, brief: Brief) -> None:
        self._brief = brief
        self._tools.offer(brief.tools)
        self._patience.speak(brief.phrases)

    def _leave_with(self, words: str, ending: Ending) -> None:
        self._record_entry()
        self._actions += self._mouth.say_whole(words)
        self._ending = ending
        self._end_turn()

    def _end_call(self, ending: Ending) -> None:
        self._phase = _Phase.CLOSING
        self._end_reason = ending.reason
        self._stop(*Timer)
        self._actions.append(EndCall(ending.handoff.render()))
        self._start(Timer.CLOSING, self._brief.limits.closing_ms)

    def _lose_line(self, reason: EndReason) -> None:
        if self._phase is not _Phase.CLOSING:
            self._end_reason = self._ending.reason if self._ending else reason
        self._record_entry()
        self._phase = _Phase.GONE
        self._drop_reply()
        self._actions += self._tools.leave()
        self._stop(*Timer)

    def _stop_service(self, departure: Departure) -> None:
        if departure is Departure.WHEN_QUIET:
            self._is_stopping = True
            if self._is_quiet:
                self._end_call(HANDED_OVER)
            return
        self._abandon()
        self._record_entry()
        if departure is Departure.GOODBYE and not self._ending:
            self._actions += self._mouth.say_whole(self._brief.phrases.goodbye_stopping)
            self._ending = STOPPED
        self._end_call(self._ending or TORN_OFF)

    def _hear(self, text: str, *, is_final: bool) -> None:
        if not is_final:
            self._notice_caller()
            return
        if not has_words(text):
            self._restart(Timer.IDLE, self._patience.idle_ms)
            return
        is_typing = self._clocks.is_running(Timer.DIGITS)
        self._record_entry()
        self._keep(CallerSaid(text))
        self._has_caller_floor = False
        if self._is_leaving:
            if is_typing:  # nothing else was under way
                self._ask(Choice.NONE)
            return
        if self._is_nod(text) and not is_typing:
            return
        self._begin_turn()
        if is_unfinished(text):
            self._start(Timer.HOLD, self._brief.limits.hold_ms)
        else:
            self._ask()

    def _notice_caller(self) -> None:
        """The caller is saying something; the words will follow."""
        self._give_floor()
        if self._ending and self._ending.is_revocable:
            self._restart(Timer.PLAYBACK, self._brief.limits.goodbye_ms)
        self._restart(Timer.HOLD, self._brief.limits.hold_ms)
        self._restart(Timer.IDLE, self._patience.idle_ms)

    def _is_nod(self, text: str) -> bool:
        """The caller only says "go on" while the agent speaks."""
        is_speaking = self._mouth.is_open or self._is_agent_heard
        return is_speaking and is_acknowledgement(text) and not asks(self._mouth.last_words)

    def _yield_floor(self, heard: str, after_ms: int | None) -> None:
        self._is_agent_heard = False
        if self._phase is _Phase.CLOSING:
            self._actions += self._mouth.cut(heard, after_ms, is_complete=True)
        elif self._mouth.has_spoken:
            is_complete = not self._mouth.is_open
            self._abandon()
            self._actions += self._mouth.cut(heard, after_ms, is_complete=is_complete)
            self._listen_after_cut()
        elif records := self._mouth.cut(heard, after_ms, is_complete=True):
            self._actions += records
            if self._reply.is_active:
                self._drop_reply()
                self._ask(self._reply.choice)

    def _give_floor(self) -> None:
        """To the caller, who is about to say something."""
        if not self._has_caller_floor:
            self._mark_beginning()
        self._has_caller_floor = True

    def _mark_beginning(self) -> None:
        """Should the line be lost before the words, or all keys, are there, this is known."""
        self._actions.append(Record(len(self._history), CallerBegan()))

    def _listen_after_cut(self) -> None:
        self._give_floor()
        if self._ending and not self._ending.is_revocable:
            self._end_call(self._ending)
        else:
            self._ending = None
            self._start(Timer.IDLE, self._patience.idle_ms)

    def _take_key(self, digit: str) -> None:
        if self._is_leaving:
            return
        binding = self._brief.keypad.get(digit)
        if binding is None:
            self._collect(digit)
            return
        self._record_entry()
        self._keep(CallerSaid(digit, Means.KEYPAD))
        self._begin_turn()
        self._obey(binding)

    def _obey(self, binding: KeyBinding) -> None:
        """Seed section A13: the four kinds of binding."""
        if binding.reply_text and binding.function:
            self._actions += self._mouth.say_whole(binding.reply_text)
        elif binding.reply_text:
            self._keep(Note(ANSWER_WITH.format(binding.reply_text)))
        self._ask(ForcedTool(binding.function) if binding.function else Choice.AUTO)

    def _collect(self, digit: str) -> None:
        if not self._clocks.is_running(Timer.DIGITS):
            self._begin_turn()
            self._mark_beginning()
        self._entry = self._entry.press(digit)
        if self._entry.is_complete:
            self._finish_entry()
        else:
            self._start(Timer.DIGITS, self._brief.limits.digits_ms)

    def _finish_entry(self) -> None:
        self._record_entry()
        if isinstance(self._history.last, AgentSaid):
            self._start(Timer.IDLE, self._patience.idle_ms)
        else:
            self._ask()

    def _record_entry(self) -> None:
        """Keys typed so far become a fact of their own."""
        entry, self._entry = self._entry, Entry()
        self._stop(Timer.DIGITS)
        if entry.text:
            self._keep(CallerSaid(entry.text, Means.KEYPAD))

    def _follow_playback(self, report: Playback, text: str) -> None:
        match report:
            case Playback.AGENT_ON:
                self._is_agent_heard = True
                self._mouth.note_playing()
                if self._clocks.is_running(Timer.IDLE):
                    self._stop(Timer.IDLE)
                    self._start(Timer.PLAYBACK, self._mouth.playing_ms + _PAUSE_MS)
            case Playback.AGENT_OFF:
                self._is_agent_heard = False
                self._hear_silence()
            case Playback.CALLER_ON:
                self._notice_caller()
            case Playback.PLAYED:
                self._mouth.note_played(text)
            case _:  # by now CALLER_OFF: the words follow
                pass

    def _hear_silence(self) -> None:
        """The playback is over, unless it was an earlier one or the caller is taking the floor."""
        is_interrupted = self._ending is not None and self._has_caller_floor
        is_over = self._mouth.note_played_out() and not is_interrupted
        if is_over and self._clocks.is_running(Timer.PLAYBACK):
            self._stop(Timer.PLAYBACK)
            self._finish_playback()

    def _begin_turn(self) -> None:
        """The caller has said something to answer: leave all else."""
        self._abandon()
        self._mouth.begin_turn()
        self._ending = None
        self._round = 0
        self._has_retried = False
        self._patience.begin_turn()

    def _abandon(self) -> None:
        self._drop_reply()
        self._actions += self._mouth.close()
        self._actions += self._tools.leave()
        self._stop(Timer.HOLD, Timer.PLAYBACK, Timer.IDLE)

    def _drop_reply(self) -> None:
        self._actions += self._reply.drop()
        self._stop(Timer.FLUSH, Timer.FILLER)

    def _ask(self, choice: ToolChoice = Choice.AUTO) -> None:
        limits = self._brief.limits
        self._has_news = False
        self._stop(Timer.IDLE)
        number = self._reply.start(choice)
        messages = self._history.messages(limits.history_characters)
        self._actions.append(StartReply(number, messages, choice))
        self._start_filler(limits.reply_filler_after_ms)

    def _end_turn(self) -> None:
        """All is said; what follows waits for the playback to end."""
        self._stop(Timer.IDLE)
        limit = self._brief.limits.goodbye_ms if self._ending else self._brief.limits.duration_ms
        self._start(Timer.PLAYBACK, min(self._mouth.playing_ms + _PAUSE_MS, limit))
        if not self._ending:
            self._actions += self._compaction.begin(self._mouth.first_audible)

    def _finish_playback(self) -> None:
        self._mouth.note_silence()
        self._is_agent_heard = False
        if self._ending:
            self._end_call(self._ending)
        elif self._has_news:
            self._ask()
        elif self._is_stopping:
            self._end_call(HANDED_OVER)
        else:
            self._start(Timer.IDLE, self._patience.idle_ms)

    def _pass_on(self, delta: str) -> None:
        self._say(self._reply.feed(delta))
        if not self._reply.is_pending:
            self._stop(Timer.FLUSH)
        elif not self._clocks.is_running(Timer.FLUSH):
            self._start(Timer.FLUSH, self._brief.limits.flush_after_ms)

    def _say(self, words: str) -> None:
        if words:
            self._stop(Timer.FILLER)
            self._actions += self._mouth.say(words)

    def _finish_reply(self, calls: tuple[ToolCall, ...], stop: StopReason) -> None:
        self._stop(Timer.FLUSH, Timer.FILLER)
        self._actions += self._mouth.close(self._reply.finish(stop))
        if stop is StopReason.BLOCKED:
            self._actions += self._mouth.say_whole(self._farewell or self._brief.phrases.blocked)
            self._end_turn()
        elif calls and self._reply.choice is not Choice.NONE:
            self._use_tools(calls)
        elif self._reply.has_spoken:
            self._failures, self._is_out_of_patience = 0, False
            self._stop(Timer.TROUBLE)
            self._end_turn()
        else:
            self._make_up_for_nothing()

    def _make_up_for_nothing(self) -> None:
        """The model gave neither words nor calls: once more, then a sentence of our own."""
        if not self._has_retried:
            self._has_retried = True
            self._ask(self._reply.choice)
            return
        self._actions += self._mouth.say_whole(self._farewell or self._brief.phrases.not_understood)
        self._end_turn()

    def _survive_failure(self) -> None:
        self._reply.fail()
        self._stop(Timer.FLUSH, Timer.FILLER)
        has_begun = self._mouth.is_open
        self._actions += self._mouth.close()
        self._failures += 1
        phrases = self._brief.phrases
        if self._farewell:
            self._actions += self._mouth.say_whole(self._farewell)
            self._end_turn()
        elif self._failures == 1:
            sorry = phrases.lost_thread if has_begun else phrases.apology
            self._actions += self._mouth.say_whole(sorry)
            self._start(Timer.TROUBLE, self._brief.limits.trouble_ms)
            self._end_turn()
        elif self._brief.can_hand_off:
            self._leave_with(phrases.transfer, self._transfer(Handoff("technical trouble")))
        elif self._is_out_of_patience:
            self._leave_with(phrases.goodbye_trouble, TROUBLE)
        else:
            self._try_again_later()

    def _try_again_later(self) -> None:
        """Neither the caller nor we can do anything but wait."""
        sentences = self._brief.phrases.trying_again
        patience = sentences[min(self._failures - 2, len(sentences) - 1)]
        self._actions += self._mouth.say_whole(patience)
        self._start(Timer.HOLD, self._mouth.playing_ms + self._brief.limits.retry_after_ms)

    def _use_tools(self, calls: tuple[ToolCall, ...]) -> None:
        limits = self._brief.limits
        self._round += 1
        confirmed = self._was_heard_out
        self._actions += self._tools.take_up(self._reply.number, calls, is_confirmed=confirmed)
        if self._tools.is_awaited:
            spoke = self._reply.has_spoken
            self._start_filler(limits.filler_every_ms if spoke else limits.filler_after_ms)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """All results are there."""
        self._stop(Timer.FILLER)
        if self._ending and self._reply.has_spoken:
            self._end_turn()
        elif self._ending or self._round >= self._brief.limits.tool_rounds:
            self._ask(Choice.NONE)
        else:
            self._ask()

    def _finish_tool(self, event: ev.ToolFinished) -> None:
        run = self._tools.finish(event.call_id, event.outcome)
        self._actions += run.records
        if self._phase is not _Phase.OPEN:
            return
        self._take_effect(event.outcome.effect, was_awaited=run.was_awaited)
        if not run.was_awaited:
            self._keep(Note(LATE_RESULT.format(run.name, event.outcome.content)))
            self._has_news = True
            if self._is_quiet:
                self._ask()
        elif not self._tools.is_awaited:
            self._go_on()

    def _take_effect(self, effect: Effect | None, *, was_awaited: bool) -> None:
        match effect:
            case None:
                pass
            case HangUp():  # late, it is dropped: the caller has gone on
                self._ending = BY_AGENT if was_awaited else self._ending
            case Handoff():
                self._ending = self._transfer(effect)
            case _:
                if isinstance(effect, SwitchLanguage):
                    self._language = effect.language
                self._actions.append(effect)

    def _transfer(self, handoff: Handoff) -> Ending:
        return transfer(handoff, self._history, self._language or self._brief.language)

    @property
    def _was_heard_out(self) -> bool:
        """The model's words before the caller's last were not cut off (practice section 5.11)."""
        answered = self._history.answered
        return answered is None or not self._history.speech(answered).is_cut

    def _wake(self, timer: Timer) -> None:
        match timer:
            case Timer.FLUSH:
                self._say(self._reply.flush())
            case Timer.HOLD:
                self._ask()
            case Timer.FILLER:
                self._fill_in()
            case Timer.PLAYBACK:
                self._finish_playback()
            case Timer.IDLE:
                self._break_silence()
            case Timer.DIGITS:
                self._finish_entry()
            case Timer.TROUBLE:
                self._is_out_of_patience = True
            case Timer.DURATION:
                self._watch_duration()
            case _:  # by now CLOSING
                self._lose_line(EndReason.CALLER_HANGUP)

    def _start_filler(self, after_ms: int) -> None:
        if self._patience.may_fill:
            self._start(Timer.FILLER, after_ms)

    def _fill_in(self) -> None:
        own = "" if self._reply.has_spoken else self._tools.filler
        self._actions += self._mouth.say_whole(self._patience.filler(own))
        self._start_filler(self._brief.limits.filler_every_ms)

    def _break_silence(self) -> None:
        self._has_caller_floor = False
        if self._is_stopping:
            self._end_call(HANDED_OVER)
        elif self._has_news:
            self._ask()
        elif words := self._patience.reprompt():
            self._actions += self._mouth.say_whole(words)
            self._end_turn()
        else:
            self._leave_with(self._brief.phrases.goodbye_idle, IDLE)

    def _watch_duration(self) -> None:
        phrases = self._brief.phrases
        self._start(Timer.DURATION, self._brief.limits.duration_warning_ms)
        if self._ending:
            return
        if self._is_warned:
            self._abandon()
            self._leave_with(phrases.goodbye_duration, TIME_IS_UP)
            return
        self._is_warned = True
        if self._is_quiet:
            self._actions += self._mouth.say_whole(phrases.almost_over)
            self._end_turn()
        else:
            self._keep(Note(phrases.almost_over))

    @property
    def _is_quiet(self) -> bool:
        """Nobody speaks, nothing runs."""
        return self._clocks.is_running(Timer.IDLE) and not self._has_caller_floor

    @property
    def _is_leaving(self) -> bool:
        """The end stands, whatever the caller says."""
        return self._phase is _Phase.CLOSING or (
            self._ending is not None and not self._ending.is_revocable
        )

    @property
    def _farewell(self) -> str:
        """What we say ourselves when the model has no last words; empty while the call goes on."""
        return self._ending.farewell(self._brief.phrases) if self._ending else ""

    def _keep(self, fact: Fact) -> None:
        self._actions.append(Record(self._history.append(fact), fact))

    def _start(self, timer: Timer, after_ms: int) -> None:
        self._actions.append(self._clocks.start(timer, after_ms))

    def _restart(self, timer: Timer, after_ms: int) -> None:
        if self._clocks.is_running(timer):
            self._start(timer, after_ms)

    def _stop(self, *timers: Timer) -> None:
        self._actions += self._clocks.stop(*timers)


def _last_reply(facts: Iterable[Fact]) -> int:
    """The latest reply of which there are tool runs; the next one must not be taken for it."""
    return max((fact.reply for fact in facts if isinstance(fact, ToolUsed)), default=0)
