"""The turn in progress: what the agent does about the caller's last words, until all is said.

    begin -> ask -> pass on ... -> finish -> [tools -> go on -> ask ...] -> over

The model is asked; its words are said as they come; the tools it calls are run, and it is asked
again with what they have answered, a few times and then without tools (practice section 6). Who
has to wait meanwhile hears fillers. A reply that gives neither words nor calls is asked for once
more, then a sentence of ours stands in for it; so is one that holds a tool call as text, also if it
has words, and the model is told. What stands in for one that fails is the matter of
`agent.call.turn`. When the call is about to end, these sentences are a goodbye.

A turn that is left behind leaves nothing running but tools with side effects. What follows when it
is over is not its business: each step that may be the last says so.

The reply of the model that is awaited or spoken: one at a time, each with a new number.

Trouble with the model: from an apology to a goodbye (practice section 10).

| the model has failed | the caller hears | then |
|---|---|---|
| once | an apology, or that the thread was lost | it is the caller's turn |
| again, and a person can be reached | that a person takes over | the call goes there |
| again | that we are still trying | it is asked once more after a while |
| again, after half a minute | a goodbye | the call ends |

Failures count in a row: an answer forgives them all. A caller who has heard the apology says it
again; after that nothing the caller could say would help, so we try by ourselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent.call.actions import Action, CancelReply, Record, StartReply, Timer
from agent.call.agent_output import AgentOutput
from agent.call.config import CallConfig, Phrases
from agent.call.ending import CallEnding
from agent.call.history import Fact, History, Note, ToolUsed
from agent.call.messages import Choice, StopReason, ToolCall, ToolChoice
from agent.call.sentence_chunker import SentenceChunker
from agent.call.timers import TimerSet
from agent.call.tool_calls import ToolCalls
from agent.call.turn_taking import FillerPolicy

CALL_AS_TEXT = (
    "You wrote a tool call as text. It was not run and not heard. Call the tool as a tool,"
    " or answer in words."
)


class Then(Enum):
    """What follows a step of a turn."""

    AWAIT = auto()
    """It goes on by itself: a reply, a result or another attempt is to come."""
    END_TURN = auto()
    """All is said."""
    GIVE_UP = auto()
    """The model cannot be had; the caller has not been told so."""


@dataclass(frozen=True, slots=True)
class TurnDecision:
    """One step of a turn."""

    actions: Sequence[Action]
    then: Then = Then.AWAIT

    def after(self, actions: Sequence[Action]) -> TurnDecision:
        """The same with these actions before it."""
        return TurnDecision([*actions, *self.actions], self.then)


class Turn:
    """The agent's side of one call, a turn at a time.

    Args:
        history: The call so far; whole, so that no number of a reply is used again.
        mouth: Says what the model writes.
        tools: Runs what the model calls.
        patience: Has the fillers.
        clocks: Of the call; FLUSH, FILLER, RETRY and TROUBLE are the turn's own.
        brief: Until an edit brings another one.
    """

    def __init__(
        self,
        history: History,
        mouth: AgentOutput,
        tools: ToolCalls,
        patience: FillerPolicy,
        clocks: TimerSet,
        brief: CallConfig,
    ) -> None:
        self._history = history
        self._mouth = mouth
        self._tools = tools
        self._patience = patience
        self._clocks = clocks
        self._brief = brief
        self._language = brief.language
        self._reply = Reply(_last_reply(history))
        self._trouble = ModelFailurePolicy()
        self._broken_off: int | None = None
        """Position of the last words that the model could not finish."""
        self._asked_at: int | None = None
        """How long the history was when the model was asked for the first time in this turn."""
        self._round = 0
        self._has_retried = False

    def follow(self, brief: CallConfig) -> None:
        """The use case was edited; what is begun from now on is as it says."""
        self._brief = brief
        self._tools.offer(brief.tools)
        self._patience.speak(brief.phrases)

    def switch(self, language: str) -> None:
        """The call goes on in this language (BCP 47)."""
        self._language = language

    def is_current(self, reply: int) -> bool:
        """Events of this reply are not stale."""
        return self._reply.is_current(reply)

    @property
    def is_under_way(self) -> bool:
        """A reply or a result is to come."""
        return self._reply.is_active or self._tools.is_awaited

    def begin(self) -> list[Action]:
        """The caller has said something to answer: leave all else."""
        left = self.leave()
        self._mouth.begin_turn()
        self._patience.begin_turn()
        self._asked_at = None
        self._round = 0
        self._has_retried = False
        return left

    def leave(self) -> list[Action]:
        """Leave the turn behind, and what would have followed it."""
        return [
            *self.drop_reply(),
            *self._break_off(),
            *self._tools.leave(),
            *self._clocks.stop(Timer.HOLD, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE),
        ]

    def drop_reply(self) -> list[Action]:
        """Leave the reply behind, if there is one."""
        return [*self._reply.drop(), *self._clocks.stop(Timer.FLUSH, Timer.FILLER)]

    def ask(self, choice: ToolChoice = Choice.AUTO) -> list[Action]:
        """Ask the model, with all that is known."""
        limits = self._brief.limits
        self._tools.tell()
        if self._asked_at is None:
            self._asked_at = len(self._history)
        number = self._reply.start(choice, self._language)
        return [
            *self._clocks.stop(Timer.IDLE),
            StartReply(number, self._history.messages(limits.history_characters), choice),
            *self.wait(limits.reply_filler_after_ms),
        ]

    def ask_anew(self) -> list[Action]:
        """What the reply in progress was asked with has changed; nothing if there is none."""
        if not self._reply.is_active:
            return []
        return [*self.drop_reply(), *self.ask(self._reply.choice)]

    def pass_on(self, delta: str) -> list[Action]:
        """More of the reply: say what can be said now, and let the rest wait for its clause."""
        said = self._say(self._reply.feed(delta))
        if not self._reply.is_pending:
            return [*said, *self._clocks.stop(Timer.FLUSH)]
        if self._clocks.is_running(Timer.FLUSH):
            return said
        return [*said, self._clocks.start(Timer.FLUSH, self._brief.limits.flush_after_ms)]

    def finish_reply(
        self, calls: Sequence[ToolCall], stop: StopReason, ending: CallEnding | None
    ) -> TurnDecision:
        """The reply is complete.

        Args:
            calls: What it wants to be run.
            stop: Why it has ended.
            ending: The end of the call, if it was decided.
        """
        waiting = self._clocks.stop(Timer.FLUSH, Timer.FILLER)
        said = self._mouth.close(self._reply.finish(stop))
        return self._after_reply(calls, stop, ending).after([*waiting, *said])

    def fail_reply(self, ending: CallEnding | None) -> TurnDecision:
        """The reply has ended early; what was not said of it is lost."""
        phrases = self._brief.phrases
        sorry = phrases.lost_thread if self._mouth.is_open else phrases.apology
        self._reply.fail()
        if not ending:  # a call that ends anyway is not in trouble
            self._trouble.grow()
        waiting = self._clocks.stop(Timer.FLUSH, Timer.FILLER)
        closed = self._break_off()
        return self._after_failure(sorry, ending).after([*waiting, *closed])

    def go_on(self, ending: CallEnding | None) -> TurnDecision:
        """All results are there."""
        waiting = self._clocks.stop(Timer.FILLER)
        if ending and self._reply.has_spoken:
            return TurnDecision(waiting, Then.END_TURN)
        is_last = ending or self._round >= self._brief.limits.tool_rounds
        return TurnDecision([*waiting, *self.ask(Choice.NONE if is_last else Choice.AUTO)])

    def wait(self, after_ms: int) -> list[Action]:
        """Somebody keeps the caller waiting: after so long a filler is due, unless it was often."""
        return [self._clocks.start(Timer.FILLER, after_ms)] if self._patience.may_fill else []

    def flush(self) -> list[Action]:
        """No token came for a while: say the clause that is ready."""
        return self._say(self._reply.flush())

    def fill_in(self) -> list[Action]:
        """Say that the caller is kept waiting."""
        own = "" if self._reply.has_spoken else self._tools.filler
        said = self._mouth.say_whole(self._patience.filler(own))
        return [*said, *self.wait(self._brief.limits.filler_every_ms)]

    def lose_patience(self) -> None:
        """No answer could be had for so long that there is no use in trying again."""
        self._trouble.lose_patience()

    def _after_reply(
        self, calls: Sequence[ToolCall], stop: StopReason, ending: CallEnding | None
    ) -> TurnDecision:
        phrases = self._brief.phrases
        if stop is StopReason.BLOCKED:
            return self._stand_in(phrases.blocked, ending)
        if calls and self._reply.choice is not Choice.NONE:
            return self._use_tools(calls, ending)
        if self._reply.has_spoken and not self._reply.has_call:
            self._trouble.end()
            return TurnDecision(self._clocks.stop(Timer.TROUBLE), Then.END_TURN)
        if self._has_retried:
            return self._stand_in(phrases.not_understood, ending)
        self._has_retried = True
        told = [self._note(CALL_AS_TEXT)] if self._reply.has_call else []
        return TurnDecision([*told, *self.ask(self._reply.choice)])

    def _note(self, text: str) -> Record:
        note = Note(text)
        return Record(self._history.append(note), note)

    def _after_failure(self, sorry: str, ending: CallEnding | None) -> TurnDecision:
        limits = self._brief.limits
        if ending:
            return self._stand_in(sorry, ending)
        if self._trouble.has_just_begun:
            watch = self._clocks.start(Timer.TROUBLE, limits.trouble_ms)
            return TurnDecision([*self._mouth.say_whole(sorry), watch], Then.END_TURN)
        if self._trouble.is_hopeless(can_hand_off=self._brief.can_hand_off):
            return TurnDecision([], Then.GIVE_UP)
        said = self._mouth.say_whole(self._trouble.trying_again(self._brief.phrases))
        again_after_ms = self._mouth.playing_ms + limits.retry_after_ms
        return TurnDecision([*said, self._clocks.start(Timer.RETRY, again_after_ms)])

    def _stand_in(self, sentence: str, ending: CallEnding | None) -> TurnDecision:
        """The model gave nothing that could be said; the last words of a call are a goodbye."""
        words = ending.farewell(self._brief.phrases) if ending else sentence
        return TurnDecision(self._mouth.say_whole(words), Then.END_TURN)

    def _use_tools(self, calls: Iterable[ToolCall], ending: CallEnding | None) -> TurnDecision:
        self._round += 1
        taken = self._tools.take_up(
            self._reply.number,
            calls,
            is_confirmed=self._was_heard_out,
            answered=self._history.answered_before(self._asked_until, is_heard=True),
        )
        if not self._tools.is_awaited:
            return self.go_on(ending).after(taken)
        limits, spoke = self._brief.limits, self._reply.has_spoken
        waits = self.wait(limits.filler_every_ms if spoke else limits.filler_after_ms)
        return TurnDecision([*taken, *waits])

    def _break_off(self) -> list[Action]:
        """The model will not finish what it is saying, if it is."""
        if self._mouth.open_at is not None:
            self._broken_off = self._mouth.open_at
        return self._mouth.close()

    def _say(self, words: str) -> list[Action]:
        if not words:
            return []
        return [*self._clocks.stop(Timer.FILLER), *self._mouth.say(words)]

    @property
    def _asked_until(self) -> int:
        """The position before which all was there when the model was asked in this turn."""
        return self._asked_at or len(self._history)

    @property
    def _was_heard_out(self) -> bool:
        """The model's words before the caller's of this turn were finished and not cut off.

        Practice section 5.11. The second does not imply the first: no interrupt is reported of
        words that were not being played yet, or that nobody may stop. A nod to what is said or done
        meanwhile answers nothing.
        """
        answered = self._history.answered_before(self._asked_until)
        if answered is None:
            return True
        return answered != self._broken_off and not self._history.speech(answered).is_cut


def _last_reply(facts: Iterable[Fact]) -> int:
    """The latest reply of which there are tool runs; the next one must not be taken for it."""
    return max((fact.reply for fact in facts if isinstance(fact, ToolUsed)), default=0)


class Reply:
    """The reply in progress, and what is still of interest of the last one."""

    def __init__(self, number: int = 0) -> None:
        """Begin to count after this number."""
        self._number = number
        self._is_active = False
        self._speech = SentenceChunker()
        self.choice: ToolChoice = Choice.AUTO
        """What the reply may do with tools."""
        self.has_spoken = False
        """Some of its words were given out."""

    @property
    def number(self) -> int:
        """The latest reply."""
        return self._number

    @property
    def is_active(self) -> bool:
        """More of it is to come."""
        return self._is_active

    @property
    def is_pending(self) -> bool:
        """Words of it are ready and wait for the rest of their clause."""
        return self._speech.is_pending

    @property
    def has_call(self) -> bool:
        """It held a tool call written as text, which nothing can run."""
        return self._speech.has_call

    def is_current(self, number: int) -> bool:
        """Events of this number are not stale."""
        return self._is_active and number == self._number

    def start(self, choice: ToolChoice, language: str = "") -> int:
        """Begin a new reply in this language (BCP 47); returns its number."""
        self._number += 1
        self._is_active = True
        self._speech = SentenceChunker(language)
        self.choice = choice
        self.has_spoken = False
        return self._number

    def feed(self, delta: str) -> str:
        """Take more of the reply; returns what can be said now."""
        return self._given(self._speech.feed(delta))

    def flush(self) -> str:
        """Give out the words that are ready."""
        return self._given(self._speech.flush())

    def finish(self, stop: StopReason) -> str:
        """The reply is complete; returns its last words, none of a blocked one."""
        self._is_active = False
        if stop is StopReason.BLOCKED:
            return ""
        return self._given(self._speech.finish(is_cut_short=stop is StopReason.LENGTH))

    def fail(self) -> None:
        """The reply ended early; what was ready but not said is lost."""
        self._is_active = False

    def drop(self) -> list[Action]:
        """Leave the reply behind, if it is still going on."""
        if not self._is_active:
            return []
        self._is_active = False
        return [CancelReply(self._number)]

    def _given(self, words: str) -> str:
        self.has_spoken = self.has_spoken or bool(words)
        return words


class ModelFailurePolicy:
    """How often the model has failed since its last answer."""

    def __init__(self) -> None:
        self._failures = 0
        self._is_out_of_patience = False

    @property
    def has_just_begun(self) -> bool:
        """It has failed once."""
        return self._failures == 1

    def grow(self) -> None:
        """It has failed once more."""
        self._failures += 1

    def is_hopeless(self, *, can_hand_off: bool) -> bool:
        """Somebody else can do better, or it has lasted too long."""
        return can_hand_off or self._is_out_of_patience

    def trying_again(self, phrases: Phrases) -> str:
        """A sentence that asks the caller for patience; from the second failure on."""
        sentences = phrases.trying_again
        return sentences[min(self._failures - 2, len(sentences) - 1)]

    def lose_patience(self) -> None:
        """There is no use in trying again."""
        self._is_out_of_patience = True

    def end(self) -> None:
        """The model has answered."""
        self._failures, self._is_out_of_patience = 0, False
