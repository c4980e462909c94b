"""The caller's wait for words of the agent: fillers, and a choice when the wait is long.

    0.8 s of a tool, or 3 s of the model   a filler, then one every 5 s, at most three
    15 s                                   a question, once: to go on waiting, or something else
    then                                   a filler every 15 s, as long as the wait lasts

The wait goes on while the caller hears them and answers. It is over with the first words of the
model, or when the caller takes the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.call.actions import Action
from agent.call.agent_output import AgentOutput
from agent.call.config import CallConfig
from agent.call.history import SpeechSource
from agent.call.timers import Timer, TimerSet
from agent.call.turn_taking import FillerPolicy


@dataclass(slots=True)
class CallerWait:
    """The waits of one call."""

    _output: AgentOutput
    _timers: TimerSet
    _fillers: FillerPolicy
    config: CallConfig

    def await_filler(self, after_ms: int) -> list[Action]:
        return [self._timers.start(Timer.FILLER, after_ms)] if self._fillers.may_fill else []

    def await_tool(self) -> list[Action]:
        """A tool runs, and nothing was said since the caller's last input."""
        after_ms, may_fill = self.config.limits.filler_after_ms, self._fillers.may_fill
        filler = [self._timers.start(Timer.TOOL, after_ms)] if may_fill else []
        return [*filler, *self.await_choice()]

    def await_choice(self) -> list[Action]:
        if Timer.WAIT in self._timers.running or self._fillers.has_offered:
            return []
        return [self._timers.start(Timer.WAIT, self.config.limits.choice_after_ms)]

    def say_filler(self, of_tool: str) -> list[Action]:
        """The next filler, `of_tool` before any other; while the caller speaks it waits."""
        if self._is_withheld:
            return self.await_filler(self._fillers.every_ms)
        filler = self._fillers.next_filler(of_tool)
        return self._say(filler, SpeechSource.FILLER)

    def offer_choice(self, *, is_ending: bool) -> list[Action]:
        """The question, which models read; while the caller speaks it waits.

        `is_ending`: the call ends whatever the caller says. A filler takes its place.
        """
        if self._is_withheld:
            return [self._timers.start(Timer.WAIT, self.config.limits.filler_every_ms)]
        choice = self._fillers.offer_choice(self.config)
        return self.say_filler("") if is_ending else self._say(choice, SpeechSource.SERVICE)

    def end(self) -> Sequence[Action]:
        self._fillers.has_offered = False
        return self._timers.stop(Timer.FILLER, Timer.WAIT)

    def _say(self, words: str, source: SpeechSource) -> list[Action]:
        stopped = self._timers.stop(Timer.FILLER, Timer.TOOL)
        said = self._output.say_whole(words, source)
        return [*stopped, *said, *self.await_filler(self._fillers.every_ms)]

    @property
    def _is_withheld(self) -> bool:
        return Timer.YIELD in self._timers.running
