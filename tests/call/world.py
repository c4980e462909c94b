"""Checks the promises of a conversation after each event.

`World` sends events to a `Conversation` and checks each answer from the outside: it knows only
events and actions, as a relay, a model and a tool do. The message of an `AssertionError` begins
with the number of the promise in docs/explain/promises.md; 10 = `agent.call.summarization`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

from agent.call import events as ev
from agent.call.actions import (
    Action,
    AdoptReply,
    CancelReply,
    CancelSummary,
    CancelTool,
    DiscardReply,
    EndCall,
    Entry,
    Play,
    Record,
    RunTool,
    SendDigits,
    Speak,
    Speculate,
    StampConsent,
    StartRecording,
    StartReply,
    Summarize,
    SwitchLanguage,
)
from agent.call.collector import Collector
from agent.call.config import CallConfig, KeyBinding, OnRefusal
from agent.call.consent import consent_of, played_version
from agent.call.conversation import Conversation
from agent.call.facts_block import LONGEST_LINE
from agent.call.history import (
    SUMMARY,
    AgentSaid,
    CallerBegan,
    CallerSaid,
    Fact,
    History,
    InputMode,
    Note,
    Recorded,
    SpeechSource,
    Summary,
    ToolUsed,
    is_turn_border,
)
from agent.call.messages import (
    ForcedTool,
    Message,
    Role,
    SideEffect,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from agent.call.operator_acts import GIVEN_BACK, TAKEN_OVER, TRANSFERRED
from agent.call.resumption import ResumeCause, Resumption
from agent.call.timers import StartTimer, StopTimer, Timer
from agent.call.tool_calls import canonical
from agent.call.utterance_analysis import asks_for_person, has_words, repeats, retells

LOOK = ToolSpec("look_up", "Looks.", '{"type":"object"}')
MARK = ToolSpec("mark", "Marks.", '{"type":"object"}', side_effect=SideEffect.IDEMPOTENT)
ORDER = ToolSpec("order", "Orders.", '{"type":"object"}', side_effect=SideEffect.ONCE)
LEAVE = ToolSpec("leave", "Ends the call.", '{"type":"object"}')
ENTER = ToolSpec("enter", "Takes a number.", '{"type":"object"}', collects=Collector())
PAY = ToolSpec(
    "pay",
    "Takes a card.",
    '{"type":"object"}',
    side_effect=SideEffect.ONCE,
    collects=Collector(min_digits=2, max_digits=3, validator="luhn", is_sensitive=True),
)
BUY = ToolSpec(
    "buy",
    "Buys.",
    '{"type":"object"}',
    SideEffect.ONCE,
    needs_heard_confirmation=True,
    read_back=("dollars",),
)
CALL_BACK = ToolSpec(
    "call_back", "Notes a call back.", '{"type":"object"}', side_effect=SideEffect.IDEMPOTENT
)
SPECS = {spec.name: spec for spec in (LOOK, MARK, ORDER, LEAVE, ENTER, PAY, BUY, CALL_BACK)}
REFUSALS = ("no", "stop", "wait", "cancel")
CONFIG = CallConfig(
    greeting="Hello, this is the pizza place. How can I help?",
    tools=SPECS,
    keypad={
        "1": KeyBinding("One moment.", "look_up"),
        "2": KeyBinding("We are open."),
        "3": KeyBinding("", "mark"),
        "4": KeyBinding(),
    },
)
AGAIN = "We have a tomato soup and a harvest salad with apples for lunch."
GOES_ON = "And what would be a dessert for us?"
"""What the caller says to that, and hears something else."""
WISH = "Operator, please."
ANSWERS = {"yes", "okay", "no", "stop", "wait", "sí"}
WAITING = {
    Timer.END_OF_TURN_DELAY, Timer.YIELD, Timer.RETRY, Timer.PLAYBACK, Timer.IDLE, Timer.DIGITS,
    Timer.OPERATOR,
}  # fmt: skip
"""Timers that lead to words of the agent, or to the end."""


@dataclass(slots=True)
class Utterance:
    """One utterance as the relay sees it."""

    number: int
    text: str = ""
    language: str = ""
    is_closed: bool = False
    is_stale: bool = False


@dataclass(slots=True)
class World:
    """Everything around one call."""

    config: CallConfig = CONFIG
    check_request: Callable[[StartReply | Summarize], None] | None = None
    """Judges each request beyond what `assert_acceptable` does."""
    conversation: Conversation = field(init=False)
    replies: dict[int, str] = field(default_factory=dict)
    """Every reply ever asked for: `active`, `finished` or `cancelled`; those asked for ahead:
    `ahead` or `ahead, over` until they are adopted or discarded."""
    ahead: dict[int, tuple[Message, ...]] = field(default_factory=dict)
    """What replies were asked ahead."""
    forced: set[int] = field(default_factory=set)
    """The replies that have to call a tool."""
    tools: dict[str, str] = field(default_factory=dict)
    """Every tool run: `running`, `finished` or `cancelled`."""
    calls: dict[str, ToolCall] = field(default_factory=dict)
    summaries: dict[int, dict[int, Fact]] = field(default_factory=dict)
    """Every summary ever asked for, and the journal of that moment."""
    awaited_summary: int | None = None
    timers: dict[Timer, int] = field(default_factory=dict)
    serials: list[tuple[Timer, int]] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    journal: dict[int, Fact] = field(default_factory=dict)
    began_at: int | None = None
    """The position at which it was last recorded that the caller had begun to speak."""
    is_spent: bool = False
    """A spending limit has ended the call."""
    awaited_again: set[str] = field(default_factory=set)
    """Tool calls, of any reply, that a resumed call waits for before it asks the model."""
    language: str | None = None
    """The one that the call has last changed to; None = it never did."""
    is_transferred: bool = False
    """The caller has asked for a person, and one was promised."""
    heard_words: list[str] = field(default_factory=list)
    """What the caller said, in order."""
    adopted: set[int] = field(default_factory=set)
    """Replies that were asked for ahead."""
    is_started: bool = False
    is_ending: bool = False
    is_gone: bool = False
    is_broken: bool = False
    """A promise was broken; nothing after it means anything."""
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conversation = Conversation(self.config)

    @property
    def active(self) -> int | None:
        """The one reply that runs."""
        running = [reply for reply, state in self.replies.items() if state == "active"]
        assert len(running) <= 1, "2: one reply at a time"
        return running[0] if running else None

    @property
    def speculation(self) -> int | None:
        """The one reply that was asked for ahead, and is neither adopted nor discarded."""
        ahead = [reply for reply, state in self.replies.items() if state.startswith("ahead")]
        assert len(ahead) <= 1, "2: one reply ahead at a time"
        return ahead[0] if ahead else None

    @property
    def open_utterance(self) -> Utterance | None:
        still_open = [one for one in self.utterances if not one.is_closed]
        assert len(still_open) <= 1, "6: one utterance at a time"
        return still_open[0] if still_open else None

    @property
    def summary(self) -> Summary | None:
        """The one in force."""
        summaries = [fact for fact in self.journal.values() if isinstance(fact, Summary)]
        return summaries[-1] if summaries else None

    @property
    def begin(self) -> int:
        """The position from which on nothing is summarised."""
        return self.summary.until if self.summary else 0

    @property
    def is_taken_over(self) -> bool:
        """Whether an operator speaks in place of the model."""
        notes = [fact.text for fact in self.journal.values() if isinstance(fact, Note)]
        latest = [text for text in notes if text in {TAKEN_OVER, GIVEN_BACK}]
        return latest[-1:] == [TAKEN_OVER] and not (self.is_ending or self.is_gone)

    @property
    def _has_open_call(self) -> bool:
        """A tool call of the latest reply, or one that runs again, has no result yet."""
        asked = {one for one in self.replies if one not in self.ahead or one in self.adopted}
        again = self.awaited_again if len(asked) == 1 else set[str]()
        return any(
            isinstance(fact, ToolUsed)
            and fact.result is None
            and (fact.reply == max(asked) or fact.call.id in again)
            for fact in self.journal.values()
        )

    @property
    def _collecting(self) -> list[ToolSpec]:
        """What waits for digits: tools that were called, have not begun, and join no equal run."""
        specs = {**SPECS, **self.config.tools}
        used = [fact for fact in self.journal.values() if isinstance(fact, ToolUsed)]
        running = [one.call for one in used if self.tools.get(one.call.id) == "running"]
        begun = {(call.name, call.arguments) for call in running}
        return [
            specs[one.call.name]
            for one in used
            if one.result is None
            and one.call.id not in self.tools
            and (one.call.name, one.call.arguments) not in begun
            and specs[one.call.name].collects is not None
        ]

    @property
    def is_deaf(self) -> bool:
        """No word of the caller may be kept: consent is open, or its refusal ends the call."""
        answer, terms = consent_of(self.journal.values()), self.config.opening
        is_refused = answer is not None and not answer.is_given
        ends = is_refused and terms.on_refusal is not OnRefusal.GO_ON
        return bool(terms.question) and (answer is None or ends)

    @property
    def is_disclosing(self) -> bool:
        """The disclosure was not played to its end yet."""
        return bool(self.config.opening.disclosure) and not played_version(self.journal.values())

    @property
    def is_collecting(self) -> bool:
        return bool(self._collecting)

    @property
    def _awaits_secret(self) -> bool:
        specs = self._collecting if self.is_started else []
        return any(spec.collects is not None and spec.collects.is_sensitive for spec in specs)

    @property
    def _has_done(self) -> bool:
        """Whether a tool with side effects has succeeded."""
        runs = (fact for fact in self.journal.values() if isinstance(fact, ToolUsed))
        done = (one for one in runs if one.result is not None and not one.result.is_error)
        specs = (SPECS.get(one.call.name) for one in done)
        return any(spec is not None and spec.side_effect is not SideEffect.NONE for spec in specs)

    def resume(self, cause: ResumeCause) -> None:
        """The line is lost; the call is taken up from what was recorded, perhaps elsewhere."""
        facts = [self.journal[at] for at in range(len(self.journal))]
        is_cut_off = self.began_at == len(facts)
        self.conversation = Conversation(
            self.config, Resumption(facts, cause, is_cut_off, language=self.language or "")
        )
        last = max((fact.reply for fact in facts if isinstance(fact, ToolUsed)), default=0)
        self.replies, self.forced = {last: "cancelled"}, set()
        self.ahead, self.adopted = {}, set()
        unanswered = takewhile(lambda fact: not isinstance(fact, CallerSaid), reversed(facts))
        self.awaited_again = {fact.call.id for fact in unanswered if isinstance(fact, ToolUsed)}
        self.tools = {call: state for call, state in self.tools.items() if state != "running"}
        self.timers, self.serials = {}, []
        self.summaries, self.awaited_summary = {}, None
        self.utterances = [Utterance(0, one.text, is_closed=True) for one in self.utterances]
        self.is_started = self.is_ending = self.is_gone = self.is_spent = False
        self.is_transferred = False

    def happen(self, event: ev.Event) -> list[Action]:
        """Hand over one event and judge the answer."""
        self.is_broken = True
        before, gives_way = dict(self.journal), Timer.YIELD in self.timers
        was_deaf = self.is_deaf
        hides = self._awaits_secret
        is_stale, is_ahead = self._is_stale(event), self._is_ahead(event)
        self._learn(event)
        has_to_call = self.active in self.forced
        is_unanswered = Timer.END_OF_TURN_DELAY in self.timers
        self.actions = self.conversation.receive(event)
        for action in self.actions:
            self._carry_out(action)
            if isinstance(action, StartReply) and isinstance(action.choice, ForcedTool):
                self.forced.add(action.reply)
        if is_stale:
            assert self.actions == [], f"2: a stale event changes nothing: {event}"
        else:
            self._judge_event(event, before, was_deaf=was_deaf)
            if hides:
                self._judge_secrets(event)
        if has_to_call and isinstance(event, ev.ReplyDelta) and not is_stale:
            assert self.actions == [], "3: words wait for the tool that a reply has to call"
        if gives_way and isinstance(event, ev.ReplyDelta | ev.ReplyFinished | ev.ReplyFailed):
            assert self.actions == [], "3: a reply that gives way says and does nothing"
        if is_ahead:
            assert self.actions == [], "2: a reply that was asked for ahead says and does nothing"
        self._judge_limits(event, is_stale=is_stale, is_unanswered=is_unanswered)
        self._judge_state()
        self.is_broken = False
        return self.actions

    def _is_ahead(self, event: ev.Event) -> bool:
        match event:
            case ev.ReplyDelta(reply) | ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
                return self.replies.get(reply) == "ahead"
            case _:
                return False

    def _is_stale(self, event: ev.Event) -> bool:
        match event:
            case ev.ReplyDelta(reply) | ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
                return self.replies.get(reply) not in {"active", "ahead"}
            case ev.ToolFinished(call_id):
                return self.tools.get(call_id) != "running"
            case ev.TimerFired(timer, serial):
                return self.timers.get(timer) != serial
            case ev.Summarized(summary) | ev.SummaryFailed(summary):
                return summary != self.awaited_summary or self.is_ending or self.is_gone
            case ev.CallStarted():
                return self.is_started
            case ev.CallEnded():
                return self.is_gone
            case _:
                return not self.is_started or self.is_gone

    def _learn(self, event: ev.Event) -> None:
        """What the world knows of an event before the conversation answers."""
        if isinstance(event, ev.CallConfigChanged):  # counts from the beginning if it comes before
            self.config = event.config
        if self._is_stale(event):
            return
        match event:
            case ev.CallStarted():
                self.is_started = True
            case ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
                is_kept = self._is_ahead(event) and isinstance(event, ev.ReplyFinished)
                self.replies[reply] = "ahead, over" if is_kept else "finished"
            case ev.ToolFinished(call_id):
                self.tools[call_id] = "finished"
            case ev.TimerFired(timer):
                del self.timers[timer]
                if timer is Timer.CLOSING:
                    self.is_gone = True
            case ev.Summarized() | ev.SummaryFailed():
                self.awaited_summary = None
            case ev.CallEnded():
                self.is_gone = self.is_started = True
            case _:
                pass

    def _carry_out(self, action: Action) -> None:  # noqa: C901, PLR0912, PLR0915 (one case each)
        match action:
            case StartReply(reply, messages):
                assert self.active is None, "2: one reply at a time"
                assert not self.is_taken_over, "13: no model is asked while an operator speaks"
                assert all(reply > one for one in self.replies), "2: a new reply id"
                assert not (self.is_ending or self.is_gone or self.is_transferred), (
                    "3: no reply after the end, or when a person was promised"
                )
                assert self.awaited_summary is None, "10: no reply beside a summary"
                self._assert_opened()
                self.replies[reply] = "active"
                assert_acceptable(messages)
                if self.check_request is not None:
                    self.check_request(action)
                self._assert_nothing_forgotten(messages)
            case Speculate(reply, messages):
                self._ask_ahead(reply, messages)
            case AdoptReply(reply):
                self._adopt(reply)
            case DiscardReply(reply):
                self._discard(reply)
            case CancelReply(reply):
                assert self.replies[reply] == "active", "2: only what runs is cancelled"
                self.replies[reply] = "cancelled"
                if (one := self.open_utterance) is not None:
                    one.is_stale = True
            case Summarize():
                self._await_summary(action)
            case CancelSummary(summary):
                assert summary == self.awaited_summary, "10: only what runs is cancelled"
                self.awaited_summary, self.summaries[summary] = None, {}
            case RunTool(call, is_lasting, entry=entry):
                self._assert_entered(self.config.tools[call.name].collects, entry)
                assert call.id not in self.tools, "4: a call is run once"
                assert call.name in self.config.tools, "only what is offered is run"
                effect = self.config.tools[call.name].side_effect
                assert is_lasting == (effect is not SideEffect.NONE), "4: kept before it begins"
                self._assert_first_run(call)
                self.tools[call.id] = "running"
                self.calls[call.id] = call
            case CancelTool(call_id):
                spec = SPECS[self.calls[call_id].name]
                assert spec.side_effect is SideEffect.NONE, "4: a side effect is not cancelled"
                assert self.tools[call_id] == "running", "4: only what runs is cancelled"
                self.tools[call_id] = "cancelled"
            case Speak():
                self._listen(action)
            case StampConsent(consent):
                assert consent == consent_of(self.journal.values()), "12: what was answered"
            case StartRecording():
                self._assert_opened()
                answer, terms = consent_of(self.journal.values()), self.config.opening
                is_given = answer is not None and answer.is_given
                assert is_given or not terms.question, "12: no recording without consent"
                assert terms.recording and terms, "12: none without a word of it"
            case Record(position, fact):
                self._write(position, fact)
            case StartTimer(timer, serial, after_ms):
                assert after_ms > 0, "a timer takes time"
                assert (timer, serial) not in self.serials, "a serial is never used again"
                assert not self.is_gone, "8: nothing is started when the caller is gone"
                self.timers[timer] = serial
                self.serials.append((timer, serial))
            case StopTimer(timer):
                assert timer in self.timers, "only what runs is stopped"
                del self.timers[timer]
            case EndCall():
                assert not self.is_ending, "the call is ended once"
                assert self.active is None, "3: nothing runs when the call is ended"
                assert self.open_utterance is None, "6: no utterance stays open"
                self.is_ending = True
            case SwitchLanguage(language):
                assert not self.is_ending and not self.is_gone, "nothing is sent after the end"
                self.language = language
            case Play() | SendDigits():
                assert not self.is_ending and not self.is_gone, "nothing is sent after the end"

    def _assert_opened(self) -> None:
        """Promise 12: the caller has heard the disclosure, and has given or refused consent."""
        assert not self.is_deaf, "12: nothing is asked or recorded before consent"
        assert not self.is_disclosing, "12: the disclosure comes first"

    def _assert_entered(self, collector: Collector | None, entry: Entry | None) -> None:
        """Promise 9: a tool gets the digits that it collects, and no others."""
        assert (entry is None) == (collector is None), "9: digits for a tool that collects"
        if entry is not None and collector is not None:
            assert entry.is_sensitive == collector.is_sensitive, "9: a secret stays one"
            assert collector.accepts(entry.digits), "9: a tool gets a valid entry"

    def _ask_ahead(self, reply: int, messages: tuple[Message, ...]) -> None:
        assert self.speculation is None, "2: one reply ahead at a time"
        assert all(reply > one for one in self.replies), "2: a new reply id"
        assert not self.is_ending and not self.is_gone, "3: no reply after the end"
        self._assert_opened()
        assert not self.is_taken_over, "13: no model is asked while an operator speaks"
        assert self.config.limits.speculates, "only where the use case wants it"
        assert_acceptable(messages)
        if self.check_request is not None:
            self.check_request(StartReply(reply, messages))
        self.replies[reply], self.ahead[reply] = "ahead", messages

    def _discard(self, reply: int) -> None:
        assert self.replies[reply].startswith("ahead"), "2: only what is ahead is discarded"
        self.replies[reply] = "cancelled"

    def _adopt(self, reply: int) -> None:
        """Promise 2: what was asked ahead is what is asked now, but for how words are written."""
        assert self.active is None, "2: one reply at a time"
        is_over = self.replies[reply] == "ahead, over"
        assert is_over or self.replies[reply] == "ahead", "2: only what is ahead is adopted"
        facts = [self.journal[at] for at in range(len(self.journal))]
        assert isinstance(facts[-1], CallerSaid), "2: it answers the caller's final words"
        asked = self.ahead[reply]
        now = History(facts).messages(self.config.limits.history_characters)
        self._assert_nothing_forgotten(now)
        assert asked[:-1] == now[:-1], "2: what came before is the same"
        assert _letters(asked[-1]) == _letters(now[-1]), "2: and so are the words"
        self.replies[reply] = "finished" if is_over else "active"
        self.adopted.add(reply)

    def _await_summary(self, action: Summarize) -> None:
        assert not self.is_taken_over, "13: no model is asked while an operator speaks"
        assert self.awaited_summary is None, "10: one summary at a time"
        assert action.summary not in self.summaries, "10: a number is never used again"
        assert self.active is None, "10: none is asked for while a reply is awaited"
        self._assert_opened()
        assert not self.is_ending and not self.is_gone, "10: none is asked for after the end"
        assert_acceptable(action.messages)
        if self.check_request is not None:
            self.check_request(action)
        self.awaited_summary = action.summary
        self.summaries[action.summary] = dict(self.journal)

    def _listen(self, piece: Speak) -> None:
        assert not self.is_ending and not self.is_gone, "3: nothing is said after the end"
        if piece.text in self.config.opening.disclosure.values():
            assert (piece.interruptible, piece.preemptible) == (False, False), (
                "12: nothing stops it"
            )
        current = self.open_utterance
        if current is None:
            assert piece.text, "6: none is opened empty"
            assert all(piece.utterance > one.number for one in self.utterances), "6: a new number"
            current = Utterance(piece.utterance, language=piece.language)
            self.utterances.append(current)
        assert piece.utterance == current.number, "6: pieces belong to the open utterance"
        in_force = self.config.voice_language if self.language is None else self.language
        assert piece.language == in_force, "speech names the language in force"
        assert not (piece.text and current.is_stale), "3: nothing more of an abandoned reply"
        current.text += piece.text
        self._assert_honest(current.text)
        is_guarded = self.config.limits.guards_commitments and "is placed" in current.text
        assert not is_guarded or self._has_done or self.summary, (
            "11: nothing is claimed that no tool has done"
        )
        current.is_closed = piece.is_last

    def _assert_honest(self, text: str) -> None:
        """Promise 11: a call back is offered only if one can be noted, and promised when it is."""
        for words in (self.config.phrases, *self.config.translations.values()):
            offers = {words.wait_or_call_back, words.person_or_call_back}
            assert self.config.can_call_back or text not in offers, "11: no false offer"
            runs = [fact for fact in self.journal.values() if isinstance(fact, ToolUsed)]
            is_noted = any(
                run.call.name == CALL_BACK.name and run.result and not run.result.is_error
                for run in runs
            )
            assert is_noted or not text.startswith(words.call_back_noted), "11: no false promise"

    def _write(self, position: int, fact: Recorded) -> None:  # noqa: C901 (one case for each)
        """A fact is appended, or completed once."""
        if isinstance(fact, CallerBegan):
            assert position == len(self.journal), "5: in the place of the next fact"
            self.began_at = position
            return
        assert position <= len(self.journal), "5: no gap"
        assert position >= self.begin, "10: what is summarised does not change any more"
        old = self.journal.get(position)
        is_greeting = isinstance(fact, AgentSaid) and fact.voice is SpeechSource.GREETING
        assert not (isinstance(fact, CallerSaid) and self.is_deaf), "12: no word is kept"
        assert not (is_greeting and self.is_disclosing), "12: the disclosure comes first"
        match old, fact:
            case None, Note("The caller asked for a person and is being transferred."):
                assert self.config.can_hand_off, "no person is promised without a desk"
                assert not self.is_transferred, "a call is transferred once"
                self.is_transferred = True
            case None, Note(text) if text == TRANSFERRED:
                assert self.config.can_hand_off, "no person is promised without a desk"
                self.is_transferred = True
            case None, AgentSaid(_, SpeechSource.MODEL):
                assert not self.is_taken_over, "13: the model is silent while an operator speaks"
            case None, ToolUsed(reply, call) if reply not in self.replies:
                assert call.name == CALL_BACK.name, "the service calls no other tool by itself"
                assert all(reply > one for one in self.replies), "2: a new reply id"
                self.replies[reply] = "finished"
            case None, Summary():
                self._assert_sound(position, fact)
            case None, CallerSaid(text, InputMode.SPEECH):
                self.heard_words.append(text)
            case CallerSaid(said, InputMode.SPEECH), CallerSaid(text, InputMode.SPEECH):
                assert position == len(self.journal) - 1, "5: nothing has followed these words"
                assert retells(said, text), "5: no word of the caller is lost"
                self.heard_words[-1] = text
            case None, _:
                pass
            case AgentSaid(was, voice, False), AgentSaid(now, new_voice, is_cut):
                assert voice == new_voice
                assert was.startswith(now) if is_cut else now.startswith(was), "5: words stay"
            case ToolUsed(reply, call, None), ToolUsed(new_reply, new_call, ToolResult(call_id)):
                assert (reply, call) == (new_reply, new_call)
                assert call_id == call.id, "1: the answer belongs to its call"
            case _:
                raise AssertionError(f"3: a fact is completed once: {old} -> {fact}")
        self.journal[position] = fact

    def _assert_sound(self, position: int, summary: Summary) -> None:
        """Promise 10: a summary ends at a turn border, far enough back, and is up to date."""
        facts = [self.journal[at] for at in range(position)]
        borders = [at for at in range(position) if is_turn_border(facts, at)]
        assert summary.until in borders, "10: no pair is cut"
        kept = [at for at in borders if at >= summary.until]
        assert len(kept) >= self.config.limits.kept_turns, "10: the last turns stay"
        assert summary.until > self.begin, "10: it reaches further than the one before it"
        assert summary.text.strip() and not set("[]") & set(summary.text), "10: it is one block"
        assert len(summary.text) <= self.config.limits.summary_characters, "10: it is short"
        asked_of = list(self.summaries.values())[-1]
        for at in range(summary.until):
            assert asked_of.get(at, facts[at]) == facts[at], "10: it tells of what is so still"
        self._assert_nothing_dropped(summary, facts)

    def _assert_nothing_dropped(self, summary: Summary, facts: list[Fact]) -> None:
        """Promise 10: names and numbers stay word for word, for ever if there is room."""
        noted, room = summary.facts, self.config.limits.facts_characters
        assert len(noted) <= room, "10: it is short"
        earlier = self.summary.facts.splitlines() if self.summary else []
        for line in earlier:
            is_full = len(noted) + len(line) >= room
            assert is_full or line in noted.splitlines(), "10: what is noted stays"
        for fact in facts[self.begin : summary.until]:
            if isinstance(fact, CallerSaid) and sum(map(str.isdigit, fact.text)) > 2:
                is_full = len(noted) + LONGEST_LINE >= room
                assert is_full or fact.text.strip() in noted, "10: a number is noted"

    def _assert_first_run(self, call: ToolCall) -> None:
        """Promise 4: the last call with side effects is not run again, unless it has failed."""
        self._assert_agreed(call)
        if SPECS[call.name].side_effect is SideEffect.NONE:
            return
        last: ToolUsed | None = None
        for position in range(len(self.journal)):
            used = self.journal[position]
            if not isinstance(used, ToolUsed):
                continue
            if used.call.id == call.id:
                break
            spec = SPECS.get(used.call.name)
            if used.result is not None and used.result.is_error and used.call.id not in self.calls:
                continue  # it was never run
            if spec is None or spec.side_effect is not SideEffect.NONE:
                last = used
        if last is None or (last.result is not None and last.result.is_error):
            return
        same = last.call.name == call.name
        same = same and canonical(last.call.arguments) == canonical(call.arguments)
        assert not same, "4: runs once"

    def _assert_agreed(self, call: ToolCall) -> None:
        """Promise 10: what it commits was said by the model, heard to its end, and not refused."""
        if not SPECS[call.name].needs_heard_confirmation or call.id in self.calls:
            return  # the latter runs again after a break
        facts = list(takewhile(lambda fact: not _is_call(fact, call.id), self.journal.values()))
        answers = [fact.text.lower() for fact in facts if isinstance(fact, CallerSaid)]
        assert answers, "10: the caller has said something"
        assert not answers[-1].startswith(REFUSALS), f"10: that is a no: {answers[-1]!r}"
        names = {20: "twenty", 30: "thirty"}[json.loads(call.arguments)["dollars"]]
        assert any(
            not fact.is_cut and names in fact.text
            for fact in facts
            if isinstance(fact, AgentSaid) and fact.voice is SpeechSource.MODEL
        ), "10: what is committed was read back and heard"

    def _assert_nothing_forgotten(self, messages: tuple[Message, ...]) -> None:
        """The model learns of each result and reads the caller's words in order.

        What is summarised it reads as the summary.
        """
        journal = [self.journal[at] for at in range(len(self.journal))]
        if self.summary is not None:
            first = messages[0].parts[0]
            assert isinstance(first, Text), "10: a request begins with the summary"
            assert first.text.startswith(SUMMARY.format(self.summary.text)), "10: likewise"
        results = {
            part.call_id: part.content
            for message in messages
            for part in message.parts
            if isinstance(part, ToolResult)
        }
        for fact in journal[self.begin :]:
            if isinstance(fact, ToolUsed) and fact.result is not None:
                assert results[fact.call.id] == fact.result.content, "4: the model learns of it"
        said = " ".join(
            part.text
            for message in messages
            if message.role is Role.CALLER
            for part in message.parts
            if isinstance(part, Text)
        )
        at = 0
        for words in self.heard_words[len(_said(journal[: self.begin])) :]:
            at = said.find(words.strip(), at)
            assert at >= 0, f"5: the model reads {words!r}"
            at += len(words.strip())

    def _judge_event(self, event: ev.Event, before: dict[int, Fact], *, was_deaf: bool) -> None:
        if was_deaf:
            self._judge_opening(event)
        else:
            self._judge_words(event, before)
            self._judge_language(event)
        self._judge_interrupt(event, before)
        self._judge_wish(event, before)
        self._judge_tools(event)
        self._judge_operator(event, before)

    def _judge_opening(self, event: ev.Event) -> None:
        """Promise 12: of what is said before consent, only the answer is there for others."""
        received = self.conversation.received
        if isinstance(event, ev.CallerSpoke) and isinstance(received, ev.CallerSpoke):
            kept = received.text.casefold().replace("x", "").split()
            is_wish = received.text == event.text and asks_for_person(event.text, "", "en-US")
            assert is_wish or all(word in ANSWERS for word in kept), (
                f"12: nothing of {event.text!r} is kept: {received.text!r}"
            )

    def _judge_limits(self, event: ev.Event, *, is_stale: bool, is_unanswered: bool) -> None:
        """The caller's turn has a limit; a call that has spent its limit asks no model."""
        asks = any(isinstance(action, StartReply | Summarize) for action in self.actions)
        says = any(isinstance(action, Speak) and action.text for action in self.actions)
        assert not (self.is_spent and asks), "no model is asked once a spending limit is reached"
        self.is_spent = self.is_spent or (isinstance(event, ev.AllowanceSpent) and says)
        if not is_stale and {Timer.END_OF_TURN_DELAY, Timer.YIELD} & self.timers.keys():
            assert says or Timer.LONGEST_TURN in self.timers, "7: the caller's turn has a limit"
        match event:
            case ev.TimerFired(Timer.LONGEST_TURN) if is_unanswered and not is_stale:
                assert asks and says, "7: who talks too long is stopped and answered"
            case _:
                pass

    def _judge_state(self) -> None:
        facts = [self.journal[at] for at in range(len(self.journal))]
        history = self.conversation.history
        assert list(history) == facts[self.begin :], (
            "5: all is recorded, what is summarised is gone"
        )
        assert (history.first, len(history)) == (self.begin, len(facts)), (
            "5: facts keep their places"
        )
        assert _said(facts) == self.heard_words, "5: each word of the caller once, in order"
        self._judge_speech(facts)
        if (told := self.config.opening.disclosure) and not self.is_disclosing:
            said = [fact for fact in facts if isinstance(fact, AgentSaid)]
            is_whole = any(not one.is_cut and one.text in told.values() for one in said)
            assert is_whole, "12: the disclosure is never cut"
        self._judge_waiting()
        running = any(state == "running" for state in self.tools.values())
        assert self.conversation.is_over == (self.is_gone and not running), "8: over, no sooner"

    def _judge_speech(self, facts: list[Fact]) -> None:
        """Promise 5: what was said is what was recorded, unless it was cut to what was heard."""
        by_relay = None if self.config.opening else SpeechSource.GREETING
        spoken = [f for f in facts if isinstance(f, AgentSaid) and f.voice is not by_relay]
        assert len(spoken) == len(self.utterances), "5: one fact for each utterance"
        for fact, utterance in zip(spoken, self.utterances, strict=True):
            if fact.is_cut:
                assert utterance.text.startswith(fact.text), "3: heard is a beginning of said"
            else:
                assert fact.text == utterance.text, "5: every word spoken is recorded"
        for now in zip(facts, facts[1:], facts[2:], facts[3:], strict=False):
            words = [f.text.strip() for f in now if isinstance(f, AgentSaid | CallerSaid)]
            assert words[1:] != [AGAIN, GOES_ON, AGAIN] or words[0] == GOES_ON, (
                "an answer is not given again to a caller who has gone on"
            )
        if self.is_gone or self.is_ending:
            assert self.speculation is None, "8: nothing was asked ahead that goes on"
        if self.is_gone:
            return
        if self.active is None:
            assert self.open_utterance is None, "6: a reply that ended is closed"

    def _judge_words(self, event: ev.Event, before: dict[int, Fact]) -> None:
        """Promise 5: words of the caller are recorded, unless they are given a second time."""
        if not (isinstance(event, ev.CallerSpoke) and event.is_final and has_words(event.text)):
            return
        received = self.conversation.received
        assert isinstance(received, ev.CallerSpoke)
        if self.heard_words[-1:] == [received.text]:
            return
        last = before.get(len(before) - 1)
        if not isinstance(last, CallerSaid):
            assert len(received.text.split()) > 2, "5: a short answer may be given twice"
            assert not (isinstance(last, AgentSaid) and last.is_cut), "5: said into an answer"
            said = [fact for fact in before.values() if isinstance(fact, CallerSaid)]
            last = said[-1]
        assert repeats(last.text, received.text), "5: no word of the caller is lost"

    def _judge_secrets(self, event: ev.Event) -> None:
        """No digit that is entered for a tool alone is in what others are given."""
        if not isinstance(event, ev.CallerSpoke | ev.CallerPressed):
            return
        shown: list[object] = [self.conversation.received]
        for action in self.actions:
            match action:
                case Record(_, CallerSaid(text)):
                    shown.append(text)
                case StartReply(_, messages):
                    shown.append([part for part in messages[-1].parts if isinstance(part, Text)])
                case RunTool(entry=Entry() as entry):
                    shown.append(repr(entry))
                case Speak(_, text):
                    shown.append(text)
                case _:
                    pass
        keys = event.digit if isinstance(event, ev.CallerPressed) else event.text.casefold()
        for secret in re.findall(r"\d+|five|two|seven", keys):
            assert not re.search(rf"\b{secret}\b", repr(shown).casefold()), (
                "9: a secret reaches nothing but the tool"
            )

    def _judge_language(self, event: ev.Event) -> None:
        """The caller's words change the language by sentences, never by a word or a number."""
        changes = [each.language for each in self.actions if isinstance(each, SwitchLanguage)]
        match event:
            case ev.CallerSpoke(text, True, reported) if changes:
                is_long = len(text.split()) >= 3 or not text.isascii()
                assert is_long, "a few words change no language"
                spoken = [tag for tag in self.config.translations if tag[:2] == reported[:2]]
                assert changes == spoken, "a call changes to a language that is spoken"
                written = [one.fact for one in self.actions if isinstance(one, Record)]
                said = [fact for fact in written if isinstance(fact, CallerSaid)]
                assert said[-1].language == changes[0], "a change is recorded with the words"
            case ev.ToolFinished() | ev.CallStarted():
                assert len(changes) <= 1
            case _:
                assert not changes, "nothing else changes the language"

    def _judge_interrupt(self, event: ev.Event, before: dict[int, Fact]) -> None:
        if not isinstance(event, ev.CallerInterrupted):
            return
        for position, fact in before.items():
            now = self.journal[position]
            if isinstance(fact, AgentSaid) and fact.is_cut:
                assert now == fact, "3: a cut is made once"
        assert self.open_utterance is None, "6: an interrupted utterance is closed"

    def _judge_wish(self, event: ev.Event, before: dict[int, Fact]) -> None:
        """A caller who asks for a person, and for nothing else, does not get the model."""
        if not isinstance(event, ev.CallerSpoke) or (event.text, event.is_final) != (WISH, True):
            return
        if event.language != "en":  # a wish in another language is none
            return
        is_whole = not isinstance(before.get(len(before) - 1), CallerSaid)
        if is_whole and self.config.can_hand_off:
            asked = [action for action in self.actions if isinstance(action, StartReply)]
            assert not asked, "a wish for a person is granted without the model"

    def _judge_tools(self, event: ev.Event) -> None:
        match event:
            case ev.ToolFinished(call_id, outcome) if call_id in self.calls:
                results = [
                    fact.result
                    for fact in self.journal.values()
                    if isinstance(fact, ToolUsed) and fact.call.id == call_id
                ]
                expected = ToolResult(call_id, outcome.content, outcome.is_error)
                assert results == [expected], "4: its result is recorded, also after hang-up"
            case _:
                pass

    def _judge_operator(self, event: ev.Event, before: dict[int, Fact]) -> None:
        """Promise 13: what an operator says is heard; given back, the model answers the caller."""
        if not isinstance(event, ev.OperatorActed):
            return
        notes = [fact.text for fact in before.values() if isinstance(fact, Note)]
        had_call = [text for text in notes if text in {TAKEN_OVER, GIVEN_BACK}][-1:] == [TAKEN_OVER]
        last = before.get(len(before) - 1)
        match event.act:
            case ev.OperatorAct.SAY if had_call and event.text.strip() and not self.is_ending:
                said = [fact for fact in self.journal.values() if isinstance(fact, AgentSaid)]
                assert said[-1] == AgentSaid(event.text.strip(), SpeechSource.OPERATOR), (
                    "13: the caller hears the operator"
                )
            case ev.OperatorAct.GIVE_BACK if had_call and isinstance(last, CallerSaid):
                waits = Timer.END_OF_TURN_DELAY in self.timers
                assert waits or self.active is not None or self.is_ending, (
                    "13: the model answers what the operator has not"
                )
            case _:
                pass

    def _judge_waiting(self) -> None:
        """Promise 7: something that leads to words is always under way."""
        if not self.is_started or self.is_gone:
            return
        if self.is_ending:
            assert Timer.CLOSING in self.timers, "7: the end comes even if the relay forgets"
            return
        leads_on = self.active is not None or bool(WAITING & self.timers.keys())
        runs = any(state == "running" for state in self.tools.values())
        has_open_call = self._has_open_call and (runs or not self._collecting)
        assert leads_on or has_open_call, "7: the caller is never left in silence"
        assert Timer.DURATION in self.timers, "7: a call does not last for ever"


def _is_call(fact: Fact, call_id: str) -> bool:
    return isinstance(fact, ToolUsed) and fact.call.id == call_id


def _said(facts: list[Fact]) -> list[str]:
    """The words of the caller in these facts."""
    return [fact.text for fact in facts if isinstance(fact, CallerSaid) and fact.means == "speech"]


def _letters(message: Message) -> list[object]:
    """A message without marks and capitals."""
    return [
        "".join(each for each in part.text.casefold() if each.isalnum() or each in "?%$")
        if isinstance(part, Text)
        else part
        for part in message.parts
    ]


def assert_acceptable(messages: tuple[Message, ...]) -> None:
    """Promise 1: every provider accepts the request."""
    assert messages, "1: there is a message"
    assert messages[0].role is Role.CALLER, "1: begins with the caller"
    assert messages[-1].role is Role.CALLER, "1: ends with the caller"
    asked: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(messages):
        assert index == 0 or messages[index - 1].role is not message.role, "1: alternates"
        assert message.parts, "1: no empty message"
        results = [part.call_id for part in message.parts if isinstance(part, ToolResult)]
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        assert results == asked, "1: each call is answered once, in the next message, in order"
        assert [isinstance(part, ToolResult) for part in message.parts] == sorted(
            (isinstance(part, ToolResult) for part in message.parts), reverse=True
        ), "1: results come before words"
        asked = [call.id for call in calls]
        assert not seen & set(asked), "1: ids are unique"
        seen |= set(asked)
        assert not calls or message.role is Role.AGENT, "1: the agent calls"
        assert not results or message.role is Role.CALLER, "1: results are on the caller's side"
        for part in message.parts:
            _assert_part(part)
    assert not asked, "1: no call stays unanswered"


def _assert_part(part: object) -> None:
    match part:
        case Text(text):
            assert text, "1: no empty text"
            assert text == text.strip(), "1: no text is padded"
        case ToolCall(call_id, name, arguments):
            assert call_id.isalnum() and len(call_id) == 9, "1: an id every provider takes"
            assert name.replace("_", "").isalnum() and len(name) <= 64, "1: a name likewise"
            assert isinstance(json.loads(arguments), dict), "1: arguments are an object"
        case ToolResult(_, content):
            assert content.strip(), "1: no blank result"
        case _:
            raise AssertionError(f"1: unknown part {part!r}")
