"""Who has the floor: the agent, the caller or nobody.

The agent has it until what it has said was played. The relay reports that, but the report may be
missing, so the timer PLAYBACK runs as long as a slow voice would take; and a report of the end may
be that of an utterance before the last one, which changes nothing (practice section 3).

The caller takes it with the first sign of words to come (the voice, a partial transcript, an
interrupt) and has it until the words are there, or keys, or a sign that there are none. Timers that
would break in upon the caller begin anew meanwhile. A voice is listened to until the relay reports
its end, which may be missing as well.

While nobody has it the timer IDLE runs: from the end of the playback, never from the time at which
the text was sent (practice section 15).

What the agent says when nobody does: fillers while it works, re-prompts in a silence.

Wording varies and counts are limited (practice sections 13 and 15).
"""

from __future__ import annotations

from agent.call.actions import Action, Timer
from agent.call.agent_output import AgentOutput
from agent.call.caller_input import CallerInput
from agent.call.config import Limits, Phrases
from agent.call.timers import TimerSet
from agent.call.utterance_analysis import (
    asks,
    is_acknowledgement,
    is_dictating,
    is_unfinished,
    is_whole_number,
    wants_number,
)

_PAUSE_MS = 1_000
"""Between the estimated end of playback and what follows: the voice may be slower."""
LONGEST_VOICE_MS = 20_000
"""How long a voice is waited for whose end is not reported, and whose words do not come."""
LONGEST_HOLD_MS = 5_000
"""The same where words of the caller wait to be answered."""


class TurnTaking:
    """The floor of one call; knows when it is free, not what follows then."""

    def __init__(
        self, ear: CallerInput, mouth: AgentOutput, patience: FillerPolicy, clocks: TimerSet
    ) -> None:
        self._ear = ear
        self._mouth = mouth
        self._patience = patience
        self._clocks = clocks
        self._is_callers = False
        self._hold_ms = 0
        """How long the caller's last words were held for others to follow."""
        self._is_heard = False
        """The caller's voice is, as far as the relay reports that."""

    @property
    def is_callers(self) -> bool:
        """The caller is about to say something."""
        return self._is_callers

    @property
    def is_quiet(self) -> bool:
        """Nobody speaks, nothing runs."""
        return self._clocks.is_running(Timer.IDLE) and not self._is_callers

    def is_nod(self, text: str, *, is_promised: bool) -> bool:
        """With this the caller only says "go on" to the agent, who has not asked.

        Args:
            text: The caller's words.
            is_promised: More is to come from the agent, who is speaking or has just said so.
        """
        is_agents = self._mouth.is_speaking or (is_promised and self._mouth.has_spoken)
        return is_agents and is_acknowledgement(text) and not asks(self._mouth.audible_words)

    def keep(self, limit_ms: int) -> list[Action]:
        """All is said: the floor is the agent's until it is played, but for `limit_ms` at most."""
        stopped = self._clocks.stop(Timer.IDLE)
        return [*stopped, self._clocks.start(Timer.PLAYBACK, min(self._silent_after_ms, limit_ms))]

    def listen(self) -> Action:
        """Nobody says anything now."""
        return self._clocks.start(Timer.IDLE, self._silence_ms)

    def hold(self, text: str, since: str, limits: Limits) -> list[Action]:
        """What follows waits a moment if the caller seems not to have finished; else nothing.

        Args:
            text: The caller's last words.
            since: All words since the agent spoke, these too.
            limits: How long they are waited for.
        """
        is_wanted = wants_number(self._mouth.audible_words)
        if is_dictating(since, is_wanted=is_wanted) and not is_whole_number(text):
            self._hold_ms = limits.hold_digits_ms
        elif is_unfinished(text):
            self._hold_ms = limits.hold_ms
        else:
            return []
        return [self._clocks.start(Timer.HOLD, self._hold_ms)]

    def hold_back(self, limits: Limits) -> list[Action]:
        """As `hold`, if the caller is about to say something."""
        self._hold_ms = LONGEST_HOLD_MS if self._is_heard else limits.hold_ms
        return [self._clocks.start(Timer.HOLD, self._hold_ms)] if self._is_callers else []

    def give(self) -> list[Action]:
        """To the caller, who is about to say something."""
        began = [] if self._is_callers else [self._ear.notice()]
        self._is_callers = True
        return began

    def take(self) -> None:
        """From the caller, who has said it, or says nothing."""
        self._is_callers = self._is_heard = False

    def note_voice(self) -> None:
        """The relay reports that the caller's voice has begun."""
        self._is_heard = True

    def note_voice_over(self) -> list[Action]:
        """The relay reports that the caller's voice has ended; its words will follow."""
        self._is_heard = False
        return [*self._restart(Timer.HOLD, self._hold_ms), *self.notice_noise()]

    def notice_caller(self, limits: Limits, *, is_revocable: bool) -> list[Action]:
        """The caller is saying something; the words will follow.

        Args:
            limits: How long they are waited for.
            is_revocable: The call is about to end, unless the caller goes on.
        """
        return [
            *self.give(),
            *(self._restart(Timer.PLAYBACK, limits.goodbye_ms) if is_revocable else ()),
            *self._restart(Timer.HOLD, LONGEST_HOLD_MS if self._is_heard else self._hold_ms),
            *self._restart(Timer.FILLER, limits.filler_every_ms),
            *self.notice_noise(),
        ]

    def notice_noise(self) -> list[Action]:
        """Somebody is there, but says nothing."""
        return self._restart(Timer.IDLE, self._silence_ms)

    def note_playing(self) -> list[Action]:
        """The relay has begun to play: it is not quiet after all."""
        self._mouth.note_playing()
        stopped = self._clocks.stop(Timer.IDLE)
        if not stopped:
            return []
        return [*stopped, self._clocks.start(Timer.PLAYBACK, self._silent_after_ms)]

    def note_played_out(self, *, is_ending: bool) -> list[Action]:
        """The relay has stopped playing; nothing unless the floor becomes free by that.

        Args:
            is_ending: The call ends then, so that a caller who is about to speak is waited for.
        """
        is_over = self._mouth.note_played_out() and not (is_ending and self._is_callers)
        return self._clocks.stop(Timer.PLAYBACK) if is_over else []

    @property
    def _silent_after_ms(self) -> int:
        return self._mouth.playing_ms + _PAUSE_MS

    @property
    def _silence_ms(self) -> int:
        return LONGEST_VOICE_MS if self._is_heard else self._patience.idle_ms

    def _restart(self, timer: Timer, after_ms: int) -> list[Action]:
        return [self._clocks.start(timer, after_ms)] if self._clocks.is_running(timer) else []


class FillerPolicy:
    """How often the caller was put off in this turn, and how long the caller has been silent."""

    def __init__(self, phrases: Phrases, limits: Limits) -> None:
        self._phrases = phrases
        self._limits = limits
        self._fillers = 0
        self._silences = 0

    def speak(self, phrases: Phrases) -> None:
        """From now on say it in these words."""
        self._phrases = phrases

    @property
    def may_fill(self) -> bool:
        """Another filler would not get on the caller's nerves yet."""
        return self._fillers < self._limits.filler_count

    @property
    def idle_ms(self) -> int:
        """How long silence may last this time."""
        idle_ms = self._limits.idle_ms
        return idle_ms[min(self._silences, len(idle_ms) - 1)]

    def begin_turn(self) -> None:
        """The caller has said something."""
        self._fillers = 0
        self._silences = 0

    def filler(self, own: str) -> str:
        """The next filler, the tool's `own` first; never the same twice in a row."""
        self._fillers += 1
        if own and self._fillers == 1:
            return own
        return self._phrases.fillers[(self._fillers - 1) % len(self._phrases.fillers)]

    def reprompt(self) -> str:
        """The next question whether anybody is there; empty when it was asked often enough."""
        if self._silences >= len(self._limits.idle_ms):
            return ""
        self._silences += 1
        return self._phrases.still_there[(self._silences - 1) % len(self._phrases.still_there)]
