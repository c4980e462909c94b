"""Plays one call of the day on a server, and notes what was heard when.

The caller is polite between turns: each begins when the agent is silent. Within a turn the caller
goes on after the pause of the script, whatever the agent does. The relay is as the TwiML asks for
it: a final prompt comes after `speechTimeout` of silence, 0.7 s unless a number is given; partial
prompts and speaker events come where they are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from agent.scenarios.day.observed_call import (
    ANSWER_SECONDS,
    SILENCE_SECONDS,
    ObservedCall,
    ObservedReaction,
    ObservedTurn,
    SpokenCycle,
)
from agent.scenarios.day.scripted_call import (
    CallerReaction,
    Reaction,
    ScriptedCall,
    ScriptedTurn,
    SpokenPiece,
)
from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.simulated_call import TwilioCall

_PARTIAL_SECONDS = 0.5
_NOISE_SECONDS = 0.4
_PATIENCE_SECONDS = 7.5
"""For which the caller waits for words of the agent: less than the silence before a re-prompt."""
_LONGEST_REPLY_SECONDS = 60.0
_LONGEST_CALL_SECONDS = 900.0

Expect = Callable[[str], None]
"""Tells the scripted model what it says from now on."""


async def play_call(script: ScriptedCall, twilio: Twilio, expect: Expect) -> ObservedCall:
    """One call from the ring to its end; raises `TimeoutError` if it has none within 15 min."""
    timing = script.timing
    manner = replace(twilio.manner, pace=timing.agent_pace, language=script.language)
    fields = call_fields(AccountSid=twilio.account, From="+15550109999")
    async with (
        asyncio.timeout(_LONGEST_CALL_SECONDS),
        twilio.call(manner=manner, **fields) as session,
    ):
        caller = _DayCaller(script, session, expect)
        turns = await caller.play()
        return ObservedCall(
            script.number,
            script.language,
            turns,
            tuple(SpokenCycle(each.opened_at, each.text) for each in session.ledger.cycles),
            tuple(at for at, _ in session.session.cuts),
            0 if turns and turns[-1].is_hung_up_on else len(script.turns) - len(turns),
        )


class _DayCaller:
    """The caller on one session."""

    def __init__(self, script: ScriptedCall, session: TwilioCall, expect: Expect) -> None:
        self._script = script
        self._session = session
        self._expect = expect
        self._loop = asyncio.get_running_loop()
        timeout = session.relay.attributes.get("speechTimeout", "")
        self._silence = int(timeout) / 1000 if timeout.isdecimal() else SILENCE_SECONDS
        self._wants_partials = session.relay.attributes.get("partialPrompts") == "true"
        self._wants_events = "speaker-events" in session.relay.attributes.get("events", "")
        self._acted_at = self._loop.time()

    async def play(self) -> tuple[ObservedTurn, ...]:
        turns = list[ObservedTurn]()
        await self._hear_out(lambda: "welcomeGreeting" in self._session.relay.attributes)
        for turn in self._script.turns:
            if not self._is_over:
                turns.append(await self._turn(turn))
        return tuple(turns)

    @property
    def _is_over(self) -> bool:
        return self._session.session.ending is not None

    async def _turn(self, turn: ScriptedTurn) -> ObservedTurn:
        self._expect(turn.reply)
        voices, prompts = await self._speak(turn.pieces)
        if turn.again_after:
            await self._pass(turn.again_after)
            await self._deliver(turn.pieces[-1].words)
        complete_at = self._acted_at = voices[-1][1]
        reaction, is_hung_up_on, until = None, False, 0.0
        if turn.away:
            await self._pass(max(0.0, complete_at + turn.away - self._loop.time()))
            await self._hear_out(lambda: True)  # the agent may be speaking, also its goodbye
            is_hung_up_on = self._is_over
        elif turn.reaction is not None and await self._is_time(turn):
            until = self._loop.time()
            reaction = await self._react(turn.reaction, turn)
        else:
            await self._hear_out(self._is_answered)
        after = self._loop.time()
        until = after if reaction is None else until
        return ObservedTurn(
            turn.manner, tuple(voices), prompts, until, after, reaction, is_hung_up_on
        )

    async def _speak(
        self, pieces: tuple[SpokenPiece, ...]
    ) -> tuple[list[tuple[float, float]], int]:
        """Say the pieces; returns when there was a voice, and the number of final prompts."""
        voices, prompts, words = list[tuple[float, float]](), 0, ""
        for piece in pieces:
            began_at = self._loop.time()
            is_heard = await self._session.begin_to_speak(piece.words)
            await self._voice(words, piece.words)
            await self._session.stop_speaking()
            voices.append((began_at, self._loop.time()))
            words = f"{words} {piece.words}".strip() if is_heard else words
            if piece.pause >= self._silence or piece is pieces[-1]:
                await self._pass(self._silence)
                if words:
                    await self._session.prompt(
                        self._script.written(words), language=self._script.language
                    )
                    prompts, words = prompts + 1, ""
                await self._pass(max(0.0, piece.pause - self._silence))
            else:
                await self._pass(piece.pause)
        return voices, prompts

    async def _voice(self, before: str, words: str) -> None:
        """The time that the words take, with partial prompts of all since the last final one."""
        spoken = words.split()
        step = max(1, round(_PARTIAL_SECONDS * self._script.timing.caller_pace))
        for end in range(step, len(spoken) + step, step):
            await self._pass(self._seconds(spoken[end - step : end]))
            if self._wants_partials:
                partial = " ".join([before, *spoken[:end]]).strip()
                await self._session.prompt(
                    self._script.written(partial), is_final=False, language=self._script.language
                )

    def _seconds(self, words: list[str]) -> float:
        """Each digit of a numeral is a word."""
        spoken = (max(1, sum(each.isdigit() for each in word)) for word in words)
        return sum(spoken) / self._script.timing.caller_pace

    async def _is_time(self, turn: ScriptedTurn) -> bool:
        """Whether the moment of the reaction comes: so much of the reply is heard, not all."""
        assert turn.reaction is not None  # noqa: S101 (for mypy)
        playback, first = self._session.playback, turn.sentences[0]
        wanted = turn.reaction.at_share * len(first)

        def is_time() -> bool:
            at = playback.heard_text.find(first)
            return at >= 0 and len(playback.heard_text) - at >= wanted

        def is_decided() -> bool:
            return is_time() or self._is_silent

        if await self._session.wait_until(self._is_answered, ANSWER_SECONDS):
            await self._session.wait_until(is_decided, _LONGEST_REPLY_SECONDS, every=0.2)
        return is_time() and playback.is_playing and not self._is_over

    async def _react(self, act: CallerReaction, turn: ScriptedTurn) -> ObservedReaction | None:
        """React, and hear what follows; None if the relay filters it out."""
        session, began_at = self._session, self._loop.time()
        before = len(self._heard)
        self._expect(act.reply)
        if act.kind is Reaction.NOD:
            await self._nod_unheeded(act)
        else:
            if not await session.begin_to_speak(act.words):
                await self._hear_out(lambda: True)
                return None
            await self._pass(self._seconds(act.words.split()) or _NOISE_SECONDS)
            await session.stop_speaking()
            if act.words:
                await self._pass(self._silence)
            if act.kind is Reaction.INTERRUPTION:
                words = self._script.written(act.words)
                await session.prompt(words, language=self._script.language)
            elif act.words:  # the nod has stopped the reply, its words do not stop what follows
                await self._deliver(act.words)
        self._acted_at = ended_at = self._loop.time()
        is_answered = (lambda: True) if act.kind is Reaction.NOD else self._is_answered
        await self._hear_out(is_answered)
        heard = self._heard[before:]
        first, last = turn.sentences[0], turn.sentences[-1]
        return ObservedReaction(act.kind, began_at, ended_at, first, last, heard)

    async def _nod_unheeded(self, act: CallerReaction) -> None:
        """A nod over the agent's speech, which goes on: its words are reported all the same."""
        voice = self._seconds(act.words.split())
        for value, seconds in (("on", voice), ("off", self._silence)):
            if self._wants_events:
                await self._session.send(type="info", name="clientSpeaking", value=value, ts=0)
            await self._pass(seconds)
        await self._deliver(act.words)

    async def _deliver(self, words: str) -> None:
        """A final prompt that does not stop the agent's speech."""
        await self._session.send(
            type="prompt",
            voicePrompt=self._script.written(words),
            lang=self._script.language,
            last=True,
        )

    @property
    def _heard(self) -> str:
        return "".join(self._session.playback.heard_replies)

    @property
    def _is_silent(self) -> bool:
        session = self._session
        return session.ledger.open_cycle is None and not session.playback.is_playing

    def _is_answered(self) -> bool:
        """Something was said since the caller's last act."""
        cycles = self._session.ledger.cycles
        return bool(cycles) and cycles[-1].opened_at >= self._acted_at

    async def _hear_out(self, is_answered: Callable[[], bool]) -> None:
        """Wait for an answer, for its end, and for the time of a reaction without more words."""
        session = self._session
        while not self._is_over:
            await session.wait_until(is_answered, _PATIENCE_SECONDS)
            await session.wait_until(lambda: self._is_silent, _LONGEST_REPLY_SECONDS)
            frames = session.ledger.frames
            goes_on = await session.wait_until(
                lambda frames=frames: session.ledger.frames > frames,  # type: ignore[misc] # bound
                self._script.timing.reaction,
            )
            if not goes_on:
                return

    async def _pass(self, seconds: float) -> None:
        """Time goes on; the call may end in it."""
        await self._session.wait_until(lambda: False, seconds)
