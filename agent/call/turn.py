"""The turn in progress: what the agent does about the caller's last words, until all is said.

After `tool_rounds` rounds the model is asked without tools. A reply without words and calls, with a
tool call as text, or with words it must not say (`agent.call.speech_guard`) is requested once more,
then a sentence of the use case stands in: a goodbye when the call is about to end. A turn that is
left runs nothing but tools with side effects. The words of a reply that has to call a tool wait for
its end: without the call they are not said, and the tool is asked for once more.

| the model has failed | the caller hears | then |
|---|---|---|
| once | an apology, or that the thread was lost | it is the caller's turn |
| again, with a transfer target | that a person takes over | the call is transferred |
| again | that the agent is still trying | the model is asked again after a delay |
| again, `model_failure_ms` after the first | a goodbye | the call ends |

Failures count in a row: an answer resets them. After the apology nothing the caller could say would
help, so the model is asked again without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.call.actions import Action, Record
from agent.call.agent_output import AgentOutput
from agent.call.caller_wait import CallerWait
from agent.call.config import CallConfig, KeyBinding
from agent.call.events import ReplyFinished
from agent.call.heard_confirmation import exchange_before
from agent.call.history import AgentSaid, History, Note, SpeechSource
from agent.call.keypad import EntryStep
from agent.call.lifecycle import CallLifecycle, last_words
from agent.call.messages import Choice, ForcedTool, StopReason, ToolCall, ToolChoice
from agent.call.reading_pace import flush_after_ms
from agent.call.reply import CALL_AS_TEXT, TOOL_FIRST, Reply, Then, TurnDecision
from agent.call.resumption import FirstWords
from agent.call.speech_guard import Verdict, rules_for
from agent.call.timers import Timer, TimerSet
from agent.call.tool_calls import NOT_ENTERED, ToolCalls
from agent.call.turn_closing import ANSWER_NOW, TurnClosing
from agent.call.turn_taking import FillerPolicy
from agent.call.utterance_analysis import asks

ANSWER_WITH = "Answer with this text, in the caller's language: {}"
CALL_GOES_ON = (
    "The caller spoke before the goodbye was over, so the call goes on."
    " End it again when the caller is done."
)
GO_ON = "Nothing was said; a noise stopped you. Go on exactly where you stopped."


@dataclass(slots=True)
class Turn:
    """The agent's side of one call; built before the history forgets anything."""

    _history: History
    _output: AgentOutput
    _tools: ToolCalls
    _lifecycle: CallLifecycle
    _timers: TimerSet
    _fillers: FillerPolicy
    config: CallConfig
    _reply: Reply
    spoken: str = ""  # language of the caller's last words, BCP 47
    _first_language: str = ""  # in which the call began
    may_retry: bool = True
    _failures: int = 0
    _round: int = 0
    _broken_off: int | None = None  # position of speech that the model did not finish
    _asked_at: int | None = None  # length of the history when the turn first asked
    _has_retried: bool = False
    _has_gone_on: bool = False
    _has_been_stopped: bool = False
    _rest: str = ""  # of an answer that a barge-in has cut
    _rest_is_all: bool = True  # the model had written no more, and no tool was awaited
    wait: CallerWait = field(init=False)
    closing: TurnClosing = field(init=False)

    def __post_init__(self) -> None:
        self._output.language = self.config.voice_language
        self.spoken = self._first_language = self.config.language
        self.wait = CallerWait(self._output, self._timers, self._fillers, self.config)
        self.closing = TurnClosing(self._history, self._output, self._fillers)

    def set_config(self, config: CallConfig) -> list[Action]:
        self.spoken = self.spoken if config.language == self.config.language else config.language
        self.config = self.wait.config = config
        self._tools.specs = config.tools
        self._fillers.phrases = config.phrases
        self._output.language = config.voice_language
        return self._reply.ahead.discard()

    def hear(self, language: str) -> str:
        """Note the language of the caller's words, BCP 47, or that it was not reported."""
        self.spoken = language or self.config.language
        return self.spoken

    @property
    def is_under_way(self) -> bool:
        return self._reply.is_active or self._tools.is_under_way

    @property
    def is_broken_off(self) -> bool:
        """Whether the agent's latest words were cut, or left by the model."""
        facts = enumerate(self._history, self._history.first)
        said = [(at, fact) for at, fact in facts if isinstance(fact, AgentSaid)]
        return bool(said) and (said[-1][1].is_cut or said[-1][0] == self._broken_off)

    def begin(self) -> list[Action]:
        left = self.leave()
        self.closing.drop()
        self._output.has_spoken = False
        self._fillers.begin_turn()
        self._asked_at = None
        self._round = 0
        self._has_retried = self._has_gone_on = self._has_been_stopped = False
        return [*left, *self.revoke_end()]

    def leave(self, *, is_entering: bool = False) -> list[Action]:
        """Drop what is under way; `is_entering`: a tool goes on waiting for digits."""
        self._rest = ""
        return [
            *self.drop_reply(),
            *self._break_off(),
            *self._tools.leave(is_entering=is_entering),
            *self._timers.stop(Timer.END_OF_TURN_DELAY, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE),
        ]

    def drop_reply(self) -> list[Action]:
        stopped = self._timers.stop(Timer.FLUSH, Timer.FILLER, Timer.TOOL, Timer.YIELD)
        return [*self._reply.cancel(), *stopped, *self.wait.end()]

    def ask(self, choice: ToolChoice = Choice.AUTO) -> list[Action]:
        limits = self.config.limits
        self._tools.has_news = False
        if self._asked_at is None:
            self._asked_at = len(self._history)
        call, languages = (self.config, self._history), (self.spoken, self.config.language)
        rules = rules_for(
            *call, languages, self._reply.guard.rules, is_stopped=self._has_been_stopped
        )
        is_awaited = Timer.FILLER in self._timers.running  # since a request without words
        return [
            *self._timers.stop(Timer.IDLE),
            self._reply.ask(choice, self.config.language, limits.history_characters, rules),
            *([] if is_awaited else self.wait.await_filler(limits.reply_filler_after_ms)),
            *self.wait.await_choice(),
        ]

    def speculate(self) -> list[Action]:
        """Ask ahead; not while a tool is awaited, as its result would be in the request."""
        limits = self.config.limits
        if self._tools.is_awaited or not limits.speculates:
            return []
        return [self._reply.ask_ahead(limits.history_characters)]

    def keep_rest(self, rest: str, *, is_all: bool) -> bool:
        """Keep what was not heard, to be said if no words come; whether there is such."""
        if self.config.limits.resumes_after_noise and not self._has_gone_on:
            self._rest, self._rest_is_all = rest, is_all
        return bool(self._rest)

    @property
    def has_rest(self) -> bool:
        return bool(self._rest)

    @property
    def has_whole_rest(self) -> bool:
        """Whether what was not heard is all that the reply had to say."""
        return self.has_rest and self._rest_is_all

    def go_on(self) -> TurnDecision:
        """Say what was not heard; once in a turn."""
        said = self._output.say_whole(self._rest, SpeechSource.MODEL)
        self._rest, self._has_gone_on = "", True
        if self._rest_is_all or self._tools.collector:
            return said, Then.END_TURN
        return [*said, self.add_note(GO_ON), *self.ask()], Then.AWAIT

    def stop_caller(self) -> list[Action]:
        """Take the turn from a caller who talks on; what was said so far is asked about."""
        left = self.leave() if self._rest else []
        delay = self._timers.stop(Timer.END_OF_TURN_DELAY)
        asked = self.ask() if delay else []
        said = self._output.say_whole(self.config.phrases.may_i_answer, interruptible=False)
        return [*left, *delay, *asked, *said]

    def follow_key(self, binding: KeyBinding) -> list[Action]:
        """Ask about a key; the text of its binding is said as it is if a tool is to run."""
        said: list[Action] = []
        if binding.reply_text and binding.function:
            said = self._output.say_whole(binding.reply_text)
        elif binding.reply_text:
            said = [self.add_note(ANSWER_WITH.format(binding.reply_text))]
        choice = ForcedTool(binding.function) if binding.function else Choice.AUTO
        return [*said, *self.ask(choice)]

    def call_back(self) -> TurnDecision:
        """Have a call back noted, as a model would; the caller waits no more for the answer."""
        topic = json.dumps({"topic": last_words(self._history)}, ensure_ascii=False)
        self._reply.stand_in()
        return self._use_tools([ToolCall("", self.config.call_back, topic)])

    def ask_anew(self) -> list[Action]:
        """Replace the active reply, if there is one: the history it was asked with has changed."""
        if not self._reply.is_active:
            return []
        return [*self.drop_reply(), *self.ask(self._reply.choice)]

    def add_delta(self, delta: str) -> list[Action]:
        if isinstance(self._reply.choice, ForcedTool):
            self._reply.held += delta
            return []
        said = self._say(self._reply.feed(delta))
        if not self._reply.chunker.is_pending:
            return [*said, *self._timers.stop(Timer.FLUSH)]
        if Timer.FLUSH in self._timers.running and not said:
            return said
        usual_ms = self.config.limits.flush_after_ms
        after_ms = flush_after_ms(usual_ms, self._reply.chunker.given)
        return [*said, self._timers.start(Timer.FLUSH, after_ms)]

    def finish_reply(self, event: ReplyFinished) -> TurnDecision:
        calls, stop = event.calls, event.stop
        name = self._reply.ignored_tool(calls, stop, self._tools.specs)
        if name and not self._has_retried:
            self._has_retried, self._reply.is_active = True, False
            noted = self.add_note(TOOL_FIRST.format(name))
            return [noted, *self.ask(self._reply.choice)], Then.AWAIT
        said = self._output.close(self._reply.finish(stop, self._reply.held + event.text))
        wait = self.wait.end() if self._reply.has_begun else []
        stopped = [*self._timers.stop(Timer.FLUSH), *wait]
        actions, then = self._after_reply(calls, stop)
        if then is Then.END_TURN:
            stopped += self.wait.end()
        return [*stopped, *said, *actions], then

    def fail_reply(self) -> TurnDecision:
        phrases = self.config.phrases
        sorry = phrases.apology if self._output.open_at is None else phrases.lost_thread
        self._reply.is_active = False
        if not self._lifecycle.ending:  # in a call that ends anyway it does not matter
            self._failures += 1
        stopped = [*self._timers.stop(Timer.FLUSH), *self.wait.end()]
        closed = self._break_off()
        actions, then = self._after_failure(sorry)
        return [*stopped, *closed, *actions], then

    def continue_after_tools(self) -> TurnDecision:
        ending, has_words = self._lifecycle.ending, self._reply.has_begun
        fillers = self._timers.stop(Timer.FILLER) if has_words else []
        stopped = [*self._timers.stop(Timer.TOOL), *fillers]
        closed = self.closing.close(self.config, ending, has_words=has_words)
        if closed is not None:
            return [*stopped, *self.wait.end(), *self._succeed(), *closed], Then.END_TURN
        must_answer = self.closing.must_answer(self.config)
        noted = [self.add_note(ANSWER_NOW)] if must_answer else []
        is_last = ending or must_answer or self._round >= self.config.limits.tool_rounds
        asked = self.ask(Choice.NONE if is_last else Choice.AUTO)
        return [*stopped, *noted, *asked], Then.AWAIT

    def enter(self, actions: list[Action], step: EntryStep) -> TurnDecision:
        """Go on after input for the tool that collects; nothing else is to be heard before it."""
        if step is EntryStep.LATE:
            return actions, Then.AWAIT
        self._rest = ""
        phrases, stopped = self.config.phrases, self._timers.stop(Timer.PLAYBACK, Timer.YIELD)
        waits = step is EntryStep.AWAIT and self._fillers.is_waiting
        self._fillers.is_waiting = waits or step is EntryStep.MOMENT
        done = [*stopped, *actions]
        match step:
            case EntryStep.MOMENT:
                return [*done, *self._output.say_whole(phrases.take_your_time)], Then.END_TURN
            case EntryStep.AGAIN:
                return [*done, *self._output.say_whole(phrases.digits_again)], Then.END_TURN
            case EntryStep.BEGUN:
                return [*done, *self.wait.await_tool()], Then.AWAIT
            case EntryStep.FAILED if not self._tools.is_awaited:
                after, then = self.continue_after_tools()
                return [*done, *after], then
            case _:
                return done, Then.AWAIT

    def flush(self) -> list[Action]:
        return self._say(self._reply.flush())

    def fill_wait(self, timer: Timer = Timer.FILLER) -> list[Action]:
        """A filler, or the choice after a long wait; while the caller speaks they wait."""
        if timer is Timer.WAIT:
            return self.wait.offer_choice(is_ending=self._lifecycle.end_is_final)
        return self.wait.say_filler("" if self._reply.has_begun else self._tools.filler)

    def take_up(self, first: FirstWords) -> TurnDecision:
        """Say how a resumed call goes on, and ask the model if it shall speak."""
        done = self._output.say_whole(first.sentence) if first.sentence else []
        done += [self.add_note(first.note)] if first.note else []
        if self._tools.collector:
            done += self._output.say_whole(self.config.phrases.digits_again)
        elif self._tools.is_awaited:
            return done + self.wait.await_filler(self.config.limits.filler_every_ms), Then.AWAIT
        elif first.asks_model:
            return done + self.ask(), Then.AWAIT
        return done, Then.END_TURN

    def revoke_end(self) -> list[Action]:
        return [self.add_note(CALL_GOES_ON)] if self._lifecycle.revoke_end() else []

    def add_note(self, text: str) -> Record:
        note = Note(text)
        return Record(self._history.append(note), note)

    def _after_reply(self, calls: Sequence[ToolCall], stop: StopReason) -> TurnDecision:
        phrases = self.config.phrases
        if stop is StopReason.BLOCKED:
            return self._stand_in(phrases.blocked)
        if calls and self._reply.choice is not Choice.NONE:
            return self._use_tools(calls)
        if verdict := self._reply.guard.verdict:
            return self._after_verdict(verdict)
        if self._reply.has_begun and not self._reply.chunker.has_call:
            self.closing.note_answer()
            return self._succeed(), Then.END_TURN
        if self._has_retried:
            return self._stand_in(phrases.not_understood)
        self._has_retried = True
        noted = [self.add_note(CALL_AS_TEXT)] if self._reply.chunker.has_call else []
        return [*noted, *self.ask(self._reply.choice)], Then.AWAIT

    def _after_verdict(self, verdict: Verdict) -> TurnDecision:
        """The reply was stopped: it is asked for again, or ends with a question."""
        noted, words = self.add_note(self._reply.guard.note), self.config.phrases
        is_end = self._reply.guard.is_end
        if not is_end and not self._has_been_stopped:
            self._has_been_stopped = True
            return [noted, *self.ask(self._reply.choice)], Then.AWAIT
        self.closing.note_answer()
        stopped: list[Action] = [noted, *self._succeed()]
        if is_end and asks(self._history.question):
            return stopped, Then.END_TURN
        is_again = verdict is Verdict.REPETITION
        sorry = words.not_understood if is_again else words.not_certain
        said, then = self._stand_in(words.shall_i_go_on if is_end else sorry)
        return [*stopped, *said], then

    def _succeed(self) -> list[Action]:
        self._failures, self.may_retry = 0, True
        return [*self._timers.stop(Timer.MODEL_FAILURE)]

    def _after_failure(self, sorry: str) -> TurnDecision:
        limits, sentences = self.config.limits, self.config.phrases.trying_again
        if self._lifecycle.ending:
            return self._stand_in(sorry)
        if self._failures == 1:
            limit = self._timers.start(Timer.MODEL_FAILURE, limits.model_failure_ms)
            return [*self._output.say_whole(sorry), limit], Then.END_TURN
        if self.config.can_hand_off or not self.may_retry:
            return [], Then.GIVE_UP
        said = self._output.say_whole(sentences[min(self._failures - 2, len(sentences) - 1)])
        again_after_ms = self._output.playing_ms + limits.retry_after_ms
        return [*said, self._timers.start(Timer.RETRY, again_after_ms)], Then.AWAIT

    def _stand_in(self, sentence: str) -> TurnDecision:
        ending = self._lifecycle.ending
        words = ending.farewell(self.config.phrases) if ending else sentence
        return self._output.say_whole(words), Then.END_TURN

    def _use_tools(self, calls: Iterable[ToolCall]) -> TurnDecision:
        self._round += 1
        asked = (self._asked_at or len(self._history), self._broken_off)
        exchange = exchange_before(self._history, *asked, self.spoken, self._first_language)
        accepted = self._tools.accept(self._reply.number, calls, exchange)
        if self._lifecycle.ending:
            accepted += self._tools.end_collecting(NOT_ENTERED)
        if not self._tools.is_awaited:
            actions, then = self.continue_after_tools()
            return [*accepted, *actions], then
        limits, has_spoken = self.config.limits, self._reply.has_begun
        if collector := self._tools.collector:
            prompt = collector.prompt or self.config.entry_prompt(self._tools.collecting_tool)
            said = [] if has_spoken else self._output.say_whole(prompt)
            return [*self.wait.end(), *accepted, *said], Then.END_TURN
        if has_spoken:
            wait = self.wait.await_filler(limits.filler_every_ms)
            return [*accepted, *wait, *self.wait.await_choice()], Then.AWAIT
        return [*accepted, *self.wait.await_tool()], Then.AWAIT

    def _break_off(self) -> list[Action]:
        if self._output.open_at is not None:
            self._broken_off = self._output.open_at
        return self._output.close()

    def _say(self, words: str) -> list[Action]:
        if not words:
            return []
        return [*self.wait.end(), *self._output.say(words)]
