"""The caller of a scenario: does one step after the other, on whatever session the call is on.

A caller is polite: a step begins when the agent has said something since the caller's last words,
has been heard out, and is silent for the time of a reaction. `Interrupts` begins while the agent
speaks. An answer that does not come is waited for and then counted as dead air. A caller who does
not hear what a step waits for hangs up: the steps that follow would answer something else.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from contextlib import aclosing

from agent.scenarios.outcome import Speaker, TranscriptLine
from agent.scenarios.scenario import (
    HangsUp,
    Hears,
    Interrupts,
    LosesLine,
    Presses,
    Says,
    Scenario,
    Step,
    Waits,
)
from agent.scenarios.timing import CallTiming
from agent.simulator.phone_call import PhoneCall
from agent.simulator.simulated_call import TwilioCall

LONGEST_WAIT_SECONDS = 15.0
"""For which a caller waits for an answer, or for its end, before going on."""
_PARTIAL_SECONDS = 0.5
_PATIENCE_SECONDS = 3.0
"""For which a caller who wants to break in waits for more, when the agent seems to be done."""
_LOOK_SECONDS = 0.1
"""How often a caller who wants to break in listens for the moment."""


class CallerScript:
    """Plays the steps; `transcript` and `faults` say what happened."""

    def __init__(self, scenario: Scenario, call: PhoneCall, timing: CallTiming) -> None:
        self.scenario = scenario
        self.call = call
        self.timing = timing
        self.own_lines: list[TranscriptLine] = []
        self.faults: list[str] = []
        """Steps that could not be done, in words."""
        self.silences: list[float] = []
        """Seconds waited for an answer that did not come."""
        self.dead_ends: list[str] = []
        """Answers that were begun and not ended."""
        self._loop = asyncio.get_running_loop()
        self.began_at = self._loop.time()
        self.steps_left = deque(scenario.steps)
        """Not done, the present one included."""

    async def play(self) -> None:
        """Call, do all steps, and hang up when none is left; also when it is cancelled."""
        async with aclosing(self.call.sessions()) as sessions:
            async for session in sessions:
                await self._session(session)

    async def _session(self, session: TwilioCall) -> None:
        while session.session.ending is None:
            if not self.steps_left:
                await self.hear_out(session)
                if session.session.ending is None:
                    await session.hang_up()
                return
            if await self._do(self.steps_left[0], session):
                self.steps_left.popleft()

    async def _do(self, step: Step, session: TwilioCall) -> bool:
        """Do one step; False if it is not done: the session was over, or it cannot be done."""
        match step:
            case Says():
                return await self._say(step, session)
            case Interrupts():
                return await self._interrupt(step, session)
            case Presses(keys, waits):
                if waits:
                    await self.hear_out(session)
                return await self._press(keys, session)
            case Hears(pattern, within):
                return await self._hear(pattern, within, session)
            case Waits(seconds):
                await session.wait_until(lambda: False, seconds)
                return True
            case LosesLine(error):
                self._note(Speaker.LINE, f"the connection is lost ({error})")
                await session.fail(error)
                return True
            case HangsUp(waits):
                if waits:
                    await self.hear_out(session)
                self._note(Speaker.CALLER, "(hangs up)")
                await session.hang_up()
                return True

    async def _say(self, step: Says, session: TwilioCall) -> bool:
        if step.waits:
            await self.hear_out(session)
        if session.session.ending is not None:
            return False
        for number, words in enumerate(step.fragments or (step.words,)):
            if number:
                await session.wait_until(lambda: False, step.pause)
            await self._utter(words, session, step.language)
        return True

    async def _utter(self, words: str, session: TwilioCall, language: str = "") -> None:
        """Speak at the caller's pace, with partial prompts where the TwiML asks for them."""
        began_at = self._now()
        spoken = words.split()
        if not await session.begin_to_speak(words):
            self._note(Speaker.CALLER, f"({words}, not heard by the line)")
            return
        wants_partials = session.relay.attributes.get("partialPrompts") == "true"
        step = max(1, round(_PARTIAL_SECONDS * self.timing.caller_pace))
        for end in range(step, len(spoken) + step, step):
            said = spoken[:end]
            await asyncio.sleep(len(spoken[end - step : end]) / self.timing.caller_pace)
            if wants_partials and len(said) < len(spoken):
                await session.prompt(" ".join(said), is_final=False, language=language)
        await session.stop_speaking()
        self.own_lines.append(TranscriptLine(began_at, Speaker.CALLER, words, self._now()))
        await asyncio.sleep(self.timing.endpointing)
        language = language or self.scenario.caller.language
        await session.prompt(words, language=language)

    async def _interrupt(self, step: Interrupts, session: TwilioCall) -> bool:
        playback = session.playback

        def is_time() -> bool:
            heard = playback.heard_text
            if step.at and not re.search(step.at, heard, re.IGNORECASE):
                return False
            return playback.is_playing and len(heard.split()) > step.after_words

        def is_over() -> bool:
            return is_time() or self._has_answered(session)

        waited, goes_on = True, True
        while waited and goes_on and not is_time():
            waited = await session.wait_until(is_over, LONGEST_WAIT_SECONDS, every=_LOOK_SECONDS)
            goes_on = is_time() or await self._goes_on(session, _PATIENCE_SECONDS)
        if session.session.ending is not None:
            return False
        if not is_time():
            self.faults.append(f"interrupts {step.words!r}: the agent was not speaking then")
        if step.words:
            await self._utter(step.words, session)
        else:
            self._note(Speaker.CALLER, "(a noise)")
            await session.begin_to_speak("")
            await session.stop_speaking()
        return True

    async def _press(self, keys: str, session: TwilioCall) -> bool:
        if session.session.ending is not None:
            return False
        self._note(Speaker.CALLER, f"(presses {keys})")
        for key in keys:
            await session.press(key)
            await asyncio.sleep(0.3)  # a finger's pace
        return True

    async def _hear(self, pattern: str, within: float, session: TwilioCall) -> bool:
        def is_said() -> bool:
            return any(re.search(pattern, text, re.IGNORECASE) for text in self._said(session))

        await session.wait_until(is_said, within)
        if is_said():
            return True
        if session.session.ending is not None:
            return False
        self.faults.append(f"hears {pattern!r}: not within {within:g} s")
        self.steps_left.clear()
        return False

    def _said(self, session: TwilioCall) -> Iterator[str]:
        """What the agent has said since the caller's last words, and the greeting before any."""
        turn = session.ledger.turn
        if turn == 0:
            yield session.relay.attributes.get("welcomeGreeting", "")
        yield from (cycle.text for cycle in session.ledger.cycles if cycle.turn == turn)

    async def hear_out(self, session: TwilioCall) -> None:
        """Hear the agent out; a silence in place of an answer, or an answer without an end."""
        asked_at = self._loop.time()
        while session.session.ending is None:
            if await session.wait_until(lambda: self._has_answered(session), LONGEST_WAIT_SECONDS):
                if not await self._goes_on(session, self.timing.reaction):
                    return
            elif not session.playback.is_playing and session.session.ending is None:
                self._note_silence(session, self._loop.time() - asked_at)
                return

    async def _goes_on(self, session: TwilioCall, seconds: float) -> bool:
        """Whether the agent says more within so many seconds."""
        frames = session.ledger.frames
        return await session.wait_until(lambda: session.ledger.frames > frames, seconds)

    def _note_silence(self, session: TwilioCall, seconds: float) -> None:
        if session.ledger.open_cycle is not None:
            self.dead_ends.append(f"an answer has no end after {seconds:.1f} s")
        else:
            self.silences.append(seconds)

    def _has_answered(self, session: TwilioCall) -> bool:
        """Something was said since the caller's last words, and is heard out."""
        turn = session.ledger.turn
        has_words = any(
            cycle.turn == turn and cycle.text.strip() for cycle in session.ledger.cycles
        )
        is_greeted = turn == 0 and "welcomeGreeting" in session.relay.attributes
        is_silent = session.ledger.open_cycle is None and not session.playback.is_playing
        return is_silent and (has_words or is_greeted)

    def _note(self, speaker: Speaker, text: str) -> None:
        self.own_lines.append(TranscriptLine(self._now(), speaker, text))

    def _now(self) -> float:
        return self._loop.time() - self.began_at
