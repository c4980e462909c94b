"""The promises of docs/explain/promises.md, against an adversary.

A Hypothesis state machine plays the caller, the relay, the model, the tools and the clock: every
event at any time, twice, late, for replies and tools long cancelled. `World` checks each answer,
and the validators of the emulators check each request as a provider would.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.call import events as ev
from agent.call.actions import (
    Handoff,
    HangUp,
    Hold,
    Play,
    PromiseCallBack,
    Record,
    RepeatLast,
    SendDigits,
    SkipTurn,
    Speak,
    SwitchLanguage,
    ToolOutcome,
)
from agent.call.answer_kind import expected_answers
from agent.call.built_in_phrases import phrases_in
from agent.call.collector import Collector
from agent.call.config import CallConfig, Limits, OnRefusal, OpeningTerms, Phrases
from agent.call.events import EndReason, Playback, ReplyFault, ShutdownMode
from agent.call.history import AgentSaid, SpeechSource, ToolUsed
from agent.call.messages import StopReason, ToolCall
from agent.call.resumption import ResumeCause
from agent.call.timers import Timer
from tests.call.providers import assert_no_provider_refuses
from tests.call.world import AGAIN, CALL_BACK, CONFIG, GOES_ON, WISH, World

WORDS = st.sampled_from([
    "Two large pizzas please.", "yes", "okay", "I would like to and", "no", "", " ", "...", "stop",
    "What is on the menu?", "uh huh", "Pick up at seven, please", "My number is 555 0100",
    "Two large", "two large pizzas please", "I would like to and that", "five five five", "Yes.",
    "A 4 dash", "soup is my lucky dish", "Hold on.",
    WISH, "I'll wait.",
])  # fmt: skip
OPERATOR_WORDS = st.sampled_from(["Shall I buy it?", "One moment, I look.", "", " "])
LANGUAGES = st.sampled_from(["", "en", "es", "es", "de", "fr"])
"""What speech-to-text takes the words for; the use case speaks the first three."""
DELTAS = st.sampled_from([
    "Sure", ", ", "that is", " twenty dollars. ", "Anything else?", "", " ", "\n", "<thinking>",
    "hm", "</thinking>", "**",
    "One large pizza, one small salad and a drink, is that right? ", "😀", "... ", "— ",
    "Say yes. ", "Your order is placed. ",
])  # fmt: skip
CALLS = st.lists(
    st.builds(
        ToolCall,
        id=st.sampled_from(["a", "b", ""]),
        name=st.sampled_from(
            ["look_up", "mark", "order", "leave", "enter", "pay", "call_back", "no-such tool", ""]
        ),
        arguments=st.sampled_from(["{}", '{"a": 1, "b": 2}', '{"b":2,"a":1}', "", "[]", "{oops"]),
    ),
    max_size=3,
).map(tuple)
OUTCOMES = st.sampled_from(
    [
        ToolOutcome('{"ok":true}'),
        ToolOutcome('{"ok":true}'),
        ToolOutcome('{"error":"x"}', is_error=True),
        ToolOutcome('{"bye":true}', effect=HangUp()),
        ToolOutcome('{"t":1}', effect=Handoff("wish", "so")),
        ToolOutcome('{"l":1}', effect=SwitchLanguage("es-US")),
        ToolOutcome('{"again":1}', effect=RepeatLast()),
        ToolOutcome('{"hold":1}', effect=Hold()),
        ToolOutcome('{"skip":1}', effect=SkipTurn()),
        ToolOutcome('{"keys":1}', effect=SendDigits("12#")),
        ToolOutcome('{"music":1}', effect=Play("https://example.com/a.mp3", preemptible=False)),
    ]
)
SUMMARIES = st.sampled_from(
    [
        "The caller wants two large pizzas. ",
        "",
        " ",
        "<thinking>Hm.",
        "] [Forget that pizza.",
        "Pizza. " * 900,
        "I am sorry, I cannot help with pizza.",
    ]
)
LIMITS = st.sampled_from(
    [
        Limits(),
        Limits(summarize_after_turns=1, kept_turns=2, turns_without_model=2),
        Limits(summarize_after_turns=2, kept_turns=3, speculates=False),
        Limits(expects=expected_answers({"anything": "6 digits", "right": "address"})),
        Limits(
            summarize_at_percent=1,
            kept_turns=2,
            summary_characters=40,
            facts_characters=60,
            turns_without_model=4,
        ),
        Limits(guards_commitments=True, longest_reply=60, ends_after_call_back=True),
    ]
)
"""When a call is summarised: rarely; or soon, after turns or for its length.
With what is expected, and the guards."""
SPOKEN = replace(
    CONFIG,
    language="en-US",
    translations={tag: phrases_in(tag) or Phrases() for tag in ("en-US", "es-US", "de-DE")},
)
DISCLOSED = {"en-US": "This is an assistant.", "es-US": "Soy un asistente."}
ASKED = {"en-US": "May we record? Press 1 or say yes.", "es-US": "¿Podemos grabar?"}
OPENINGS = st.sampled_from(
    [
        *[OpeningTerms()] * 4,
        OpeningTerms(DISCLOSED, recording="dual"),
        OpeningTerms(question=ASKED, on_refusal=OnRefusal.END),
        *[OpeningTerms(DISCLOSED, ASKED, each, "dual") for each in OnRefusal],
    ]
)
GRANTED = {each.take_your_time for each in (CONFIG.phrases, *SPOKEN.translations.values())}
Turn = tuple[tuple[ToolCall, ...], str | None]
TURNS = st.tuples(CALLS, st.none() | SUMMARIES)
SERVICE = SpeechSource.SERVICE
ANY = st.integers(min_value=0, max_value=10_000)


class Adversary(RuleBasedStateMachine):
    """Everything that can happen, in any order."""

    world_type: type[World] = World

    def __init__(self) -> None:
        super().__init__()
        self.world = self.world_type(check_request=assert_no_provider_refuses)
        self.tools = CONFIG.tools

    @initialize(
        is_prompt=st.booleans(),
        greeted=st.booleans(),
        offers=st.tuples(st.booleans(), st.sampled_from(["", "known number", "withheld number"])),
        limits=LIMITS,
        opening=OPENINGS,
        turns=st.integers(0, 6).flatmap(lambda n: st.lists(TURNS, min_size=n, max_size=n)),
    )
    def begin(
        self,
        is_prompt: bool,
        greeted: bool,
        offers: tuple[bool, str],
        limits: Limits,
        opening: OpeningTerms,
        turns: list[Turn],
    ) -> None:
        """Perhaps in a call that has gone on for some turns, whose calls were all answered.

        `offers`: whether there is a desk, and who can be called back.
        """
        has_desk, calls_back = offers
        config = SPOKEN if greeted else _silent(SPOKEN)
        config = replace(config, limits=limits, can_hand_off=has_desk, opening=opening)
        if calls_back == "withheld number":
            asking = replace(CALL_BACK, collects=Collector(min_digits=2, max_digits=3))
            config = replace(config, tools={**config.tools, CALL_BACK.name: asking})
        config = replace(config, call_back=CALL_BACK.name if calls_back else "")
        self.tools = config.tools
        self.world = self.world_type(config, assert_no_provider_refuses)
        if is_prompt:
            self.world.happen(ev.CallStarted())
            for turn in turns:
                self._take_turn(*turn)

    @rule(answer=st.sampled_from(["1", "Call me back please.", "I'll wait.", WISH, "Soup?"]))
    def caller_has_the_choice(self, answer: str) -> None:
        """The caller waits for 15 s, and says what is to follow."""
        world = self.world
        world.happen(ev.CallerSpoke("What is on the menu?"))
        if (serial := world.timers.get(Timer.WAIT)) is None:
            return
        said = world.happen(ev.TimerFired(Timer.WAIT, serial))
        facts = [each.fact for each in said if isinstance(each, Record)]
        asks = any(isinstance(fact, AgentSaid) and fact.voice is SERVICE for fact in facts)
        is_offered = asks and world.config.can_call_back
        is_offered = is_offered and Timer.LATE_DIGITS not in world.timers  # it runs for 5 s
        if not answer.isdigit():
            world.happen(ev.CallerSpoke(answer, language="en"))
        else:
            world.happen(ev.CallerPressed(answer))
        if is_offered and answer in {"1", "Call me back please."}:
            runs = [fact for fact in world.journal.values() if isinstance(fact, ToolUsed)]
            assert runs[-1].call.name == CALL_BACK.name, "the choice is granted without the model"
            assert world.active is None or runs[-1].result is not None

    def _outcome(self, call_id: str, outcome: ToolOutcome) -> ToolOutcome:
        is_call_back = self.world.calls[call_id].name == CALL_BACK.name
        is_noted = is_call_back and not outcome.is_error
        return replace(outcome, effect=PromiseCallBack()) if is_noted else outcome

    def _take_turn(self, calls: tuple[ToolCall, ...], summary: str | None) -> None:
        """The caller asks and is answered; a summary that is asked for comes, or is late."""
        world = self.world
        world.happen(ev.CallerSpoke("Two large pizzas please."))
        while world.active is not None:
            world.happen(ev.ReplyDelta(world.active, "Gladly. "))
            world.happen(ev.ReplyFinished(world.active, calls))
            for call_id, state in list(world.tools.items()):
                if state == "running":
                    world.happen(ev.ToolFinished(call_id, ToolOutcome('{"ok":true}')))
            calls = ()
        if world.awaited_summary is not None and summary is not None:
            world.happen(ev.Summarized(world.awaited_summary, summary))

    @rule()
    def call_starts(self) -> None:
        self.world.happen(ev.CallStarted())

    @rule(text=WORDS, is_final=st.sampled_from([True, True, False]), language=LANGUAGES)
    def caller_speaks(self, text: str, is_final: bool, language: str) -> None:
        was_collecting = self.world.is_collecting
        actions = self.world.happen(ev.CallerSpoke(text, is_final, language))
        granted = [each for each in actions if isinstance(each, Speak) and each.text in GRANTED]
        assert was_collecting or not granted, "a caller who asks for a moment may go on"

    @precondition(lambda self: self.world.is_deaf or self.world.is_disclosing)
    @rule(answer=st.sampled_from(["1", "1", "2", "yes", "Yes, my name is Ada.", "no", "No, stop!"]))
    def opening_goes_on(self, answer: str) -> None:
        """What is said is played, and the caller answers, perhaps before there is a question."""
        if (serial := self.world.timers.get(Timer.PLAYBACK)) is not None:
            self.world.happen(ev.TimerFired(Timer.PLAYBACK, serial))
        if answer.isdigit():
            self.world.happen(ev.CallerPressed(answer))
        else:
            self.world.happen(ev.CallerSpoke(answer, language="en"))

    @rule(
        text=WORDS,
        events=st.lists(st.sampled_from(["delta", "finish", "fail", "voice"]), max_size=3),
        calls=CALLS,
        final=st.sampled_from(["same", "same", "marks", "other", "none"]),
    )
    def model_is_asked_ahead(
        self, text: str, events: list[str], calls: tuple[ToolCall, ...], final: str
    ) -> None:
        """Partial words are stable, the model writes, and then the final ones come, or others."""
        world = self.world
        world.happen(ev.CallerSpoke(text, is_final=False))
        if (serial := world.timers.get(Timer.SPECULATION)) is not None:
            world.happen(ev.TimerFired(Timer.SPECULATION, serial))
        for event in events:
            ahead = world.speculation
            if event == "voice":
                world.happen(ev.PlaybackReported(Playback.CALLER_OFF))
            elif ahead is None:
                break
            elif event == "delta":
                world.happen(ev.ReplyDelta(ahead, "Sure, one moment. "))
            elif event == "finish":
                world.happen(ev.ReplyFinished(ahead, calls))
            else:
                world.happen(ev.ReplyFailed(ahead, ReplyFault.NOT_ASKED))
        words = {"same": text, "marks": f"{text.capitalize()}!", "other": f"{text} now"}
        if final in words:
            world.happen(ev.CallerSpoke(words[final]))

    @rule(
        words=st.integers(0, 30),
        after_ms=st.none() | st.integers(0, 9_000),
        skip=st.integers(0, 2),
    )
    def caller_interrupts(self, words: int, after_ms: int | None, skip: int) -> None:
        said = " ".join(one.text for one in self.world.utterances[-1 - skip :])
        heard = " ".join(said.split()[:words])
        self.world.happen(ev.CallerInterrupted(heard, after_ms))

    @rule(text=WORDS, after_ms=st.none() | st.integers(0, 9_000))
    def relay_reports_nonsense(self, text: str, after_ms: int | None) -> None:
        self.world.happen(ev.CallerInterrupted(text, after_ms))

    @precondition(lambda self: self.world.is_collecting)
    @rule(keys=st.sampled_from(["59#", "18", "*", "34", "0", "7", "555"]))
    def caller_enters(self, keys: str) -> None:
        """59, 18 and 34 have a check digit that fits."""
        for key in keys:
            self.world.happen(ev.CallerPressed(key))

    @rule(digit=st.sampled_from("0123456789*#"))
    def caller_presses(self, digit: str) -> None:
        self.world.happen(ev.CallerPressed(digit))

    @rule(report=st.sampled_from(Playback), text=WORDS)
    def relay_reports(self, report: Playback, text: str) -> None:
        self.world.happen(ev.PlaybackReported(report, text if report is Playback.PLAYED else ""))

    @precondition(lambda self: self.world.replies)
    @rule(pick=ANY, text=DELTAS, stale=st.sampled_from([False, False, False, True]))
    def model_writes(self, pick: int, text: str, stale: bool) -> None:
        self.world.happen(ev.ReplyDelta(self._reply(pick, stale=stale), text))

    @precondition(lambda self: self.world.replies)
    @rule(
        pick=ANY,
        calls=CALLS,
        stop=st.sampled_from(StopReason),
        text=st.just("") | DELTAS,
        stale=st.booleans(),
    )
    def model_finishes(
        self, pick: int, calls: tuple[ToolCall, ...], stop: StopReason, text: str, stale: bool
    ) -> None:
        self.world.happen(ev.ReplyFinished(self._reply(pick, stale=stale), calls, stop, text))

    @rule(
        says=st.sampled_from(["twenty", "thirty"]),
        is_cut=st.booleans(),
        answer=st.sampled_from(["yes", "okay then", "no", "stop", "Two large", "wait, no"]),
        dollars=st.sampled_from([20, 30]),
    )
    def model_commits(self, says: str, is_cut: bool, answer: str, dollars: int) -> None:
        """It reads something back, hears an answer, and commits to something, perhaps other."""
        world = self.world
        world.happen(ev.CallerSpoke("I would like to buy it now."))
        if world.active is not None:
            world.happen(ev.ReplyDelta(world.active, f"That is {says} dollars. Shall I buy it? "))
            world.happen(ev.ReplyFinished(world.active))
        if is_cut:
            world.happen(ev.CallerInterrupted("That"))
        world.happen(ev.CallerSpoke(answer))
        if world.active is not None:
            buy = ToolCall("a", "buy", f'{{"dollars":{dollars}}}')
            world.happen(ev.ReplyFinished(world.active, (buy,)))

    @rule(
        then=st.sampled_from([GOES_ON, GOES_ON, "Say that again.", "no"]),
        begins=st.sampled_from(["", "Sure", "One"]),
    )
    def model_says_it_again(self, then: str, begins: str) -> None:
        """It answers, the caller goes on, and it answers with the same words."""
        world = self.world
        for words in ("What is for lunch?", then):
            world.happen(ev.CallerSpoke(words))
            for _ in range(2):
                if world.active is not None:
                    text = f"{begins} {AGAIN}" if words == then else AGAIN
                    world.happen(ev.ReplyDelta(world.active, text))
                    world.happen(ev.ReplyFinished(world.active))

    @precondition(lambda self: self.world.replies)
    @rule(pick=ANY, fault=st.sampled_from(ReplyFault))
    def model_fails(self, pick: int, fault: ReplyFault) -> None:
        self.world.happen(ev.ReplyFailed(self._reply(pick, stale=False), fault))

    @precondition(lambda self: self.world.summaries)
    @rule(pick=ANY, text=SUMMARIES, stale=st.sampled_from([False, False, True]))
    def model_summarizes(self, pick: int, text: str, stale: bool) -> None:
        self.world.happen(ev.Summarized(self._summary(pick, stale=stale), text))

    @precondition(lambda self: self.world.summaries)
    @rule(pick=ANY, stale=st.booleans())
    def model_cannot_summarize(self, pick: int, stale: bool) -> None:
        self.world.happen(ev.SummaryFailed(self._summary(pick, stale=stale)))

    @precondition(lambda self: self.world.tools)
    @rule(pick=ANY, outcome=OUTCOMES)
    def tool_finishes(self, pick: int, outcome: ToolOutcome) -> None:
        running = [call for call, state in self.world.tools.items() if state == "running"]
        calls = running or list(self.world.tools)
        call_id = calls[pick % len(calls)]
        self.world.happen(ev.ToolFinished(call_id, self._outcome(call_id, outcome)))

    @precondition(lambda self: self.world.tools)
    @rule(pick=ANY, outcome=OUTCOMES)
    def tool_repeats_itself(self, pick: int, outcome: ToolOutcome) -> None:
        calls = list(self.world.tools)
        self.world.happen(ev.ToolFinished(calls[pick % len(calls)], outcome))

    @precondition(lambda self: self.world.timers)
    @rule(pick=ANY)
    def timer_fires(self, pick: int) -> None:
        running = sorted(self.world.timers.items())
        self.world.happen(ev.TimerFired(*running[pick % len(running)]))

    @precondition(lambda self: self.world.serials)
    @rule(pick=ANY)
    def old_timer_fires(self, pick: int) -> None:
        serials = self.world.serials
        self.world.happen(ev.TimerFired(*serials[pick % len(serials)]))

    @rule(
        tools=st.frozensets(st.sampled_from(sorted(CONFIG.tools))),
        keys=st.frozensets(st.sampled_from(sorted(CONFIG.keypad))),
    )
    def use_case_is_edited(self, tools: frozenset[str], keys: frozenset[str]) -> None:
        config = replace(
            self.world.config,
            tools={name: self.tools[name] for name in tools},
            keypad={key: CONFIG.keypad[key] for key in keys},
        )
        self.world.happen(ev.CallConfigChanged(config))

    @rule(act=st.sampled_from(ev.OperatorAct), text=OPERATOR_WORDS)
    def operator_acts(self, act: ev.OperatorAct, text: str) -> None:
        self.world.happen(ev.OperatorActed(act, text, "anna"))

    @rule(
        whispers=st.booleans(),
        lines=st.lists(st.tuples(OPERATOR_WORDS, WORDS), max_size=3),
        ends=st.sampled_from(["given back", "given back", "timer", "none"]),
    )
    def operator_takes_over(self, whispers: bool, lines: list[tuple[str, str]], ends: str) -> None:
        """They talk, and the model has the call again with a valid request, or not yet."""
        world = self.world
        world.happen(ev.OperatorActed(ev.OperatorAct.TAKE_OVER))
        for line, answer in lines:
            world.happen(ev.OperatorActed(ev.OperatorAct.SAY, line))
            world.happen(ev.CallerSpoke(answer))
        if whispers:
            world.happen(ev.OperatorActed(ev.OperatorAct.WHISPER, "Offer 10 percent."))
        if ends == "given back":
            world.happen(ev.OperatorActed(ev.OperatorAct.GIVE_BACK))
        elif ends == "timer" and (serial := world.timers.get(Timer.OPERATOR)) is not None:
            world.happen(ev.TimerFired(Timer.OPERATOR, serial))
            assert not world.is_taken_over, "13: a closed page leaves the caller to the model"

    @precondition(lambda self: len(self.world.serials) > 8)
    @rule(of_call=st.booleans())
    def allowance_is_spent(self, of_call: bool) -> None:
        self.world.happen(ev.AllowanceSpent(of_call))

    @precondition(lambda self: len(self.world.serials) > 12)
    @rule(departure=st.sampled_from(ShutdownMode))
    def service_stops(self, departure: ShutdownMode) -> None:
        self.world.happen(ev.ServiceStopping(departure))

    @precondition(lambda self: len(self.world.serials) > 4)
    @rule(cause=st.sampled_from(ResumeCause))
    def call_is_resumed(self, cause: ResumeCause) -> None:
        self.world.resume(cause)
        self.world.happen(ev.CallStarted())

    @precondition(lambda self: len(self.world.serials) > 8)
    @rule(reason=st.sampled_from([EndReason.CALLER_HANGUP, EndReason.ERROR_RELAY]))
    def line_drops(self, reason: EndReason) -> None:
        self.world.happen(ev.CallEnded(reason))

    def _reply(self, pick: int, *, stale: bool) -> int:
        running = [one for one in (self.world.active, self.world.speculation) if one is not None]
        if not stale and running:
            return running[pick % len(running)]
        replies = list(self.world.replies)
        return replies[pick % len(replies)]

    def _summary(self, pick: int, *, stale: bool) -> int:
        if not stale and self.world.awaited_summary is not None:
            return self.world.awaited_summary
        return pick % (len(self.world.summaries) + 1)

    def teardown(self) -> None:
        """Whatever happened, a hang-up and the end of what runs end the call."""
        world = self.world
        if world.is_broken:
            return
        world.happen(ev.CallEnded())
        for call_id, state in list(world.tools.items()):
            if state == "running":
                world.happen(ev.ToolFinished(call_id, ToolOutcome('{"late":true}')))
        assert world.conversation.is_over


def _silent(config: CallConfig) -> CallConfig:
    return replace(config, greeting="")


RUNS = {"quick": 40, "dev": 200, "ci": 3_000, "nightly": 50_000}[
    os.environ.get("HYPOTHESIS_PROFILE", "dev")
]
"""In all; half of them in each test, so that two processors can share the work."""

TestPromises = pytest.mark.usefixtures("uncovered")(Adversary.TestCase)
TestPromises.settings = settings(max_examples=RUNS // 2, stateful_step_count=40)


class _OtherAdversary(Adversary):
    """The same with other luck: Hypothesis seeds each test by its name."""


TestPromisesAgain = pytest.mark.usefixtures("uncovered")(_OtherAdversary.TestCase)
TestPromisesAgain.settings = TestPromises.settings
