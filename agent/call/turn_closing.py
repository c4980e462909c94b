"""How a turn is over without an answer of the model: words again, a moment, silence, a promise.

The tools that choose it are in `agent.tools.builtin.call_control`. A model that has left
`Limits.skips` turns in a row unanswered must answer the next one in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.call.actions import Action, Effect, Hold, Play, PromiseCallBack, RepeatLast, SkipTurn
from agent.call.agent_output import AgentOutput
from agent.call.config import CallConfig
from agent.call.history import AgentSaid, CallerSaid, History, SpeechSource
from agent.call.lifecycle import CallEnding
from agent.call.turn_taking import FillerPolicy

ANSWER_NOW = "You have left the caller without an answer long enough. Answer in words now."


@dataclass(slots=True)
class TurnClosing:
    """What a tool has chosen in place of an answer."""

    _history: History
    _output: AgentOutput
    _fillers: FillerPolicy
    _chosen: Effect | None = None
    _skips: int = 0

    def take(self, effect: Effect | None, *, was_awaited: bool) -> None:
        if isinstance(effect, Play):
            self._output.note_audio(effect.lasts_ms)
        elif was_awaited and isinstance(effect, Hold | RepeatLast | SkipTurn | PromiseCallBack):
            self._chosen = effect

    def drop(self) -> None:
        self._chosen = None

    def note_answer(self) -> None:
        self._skips = 0

    def must_answer(self, config: CallConfig) -> bool:
        return self._skips > config.limits.skips

    def close(
        self, config: CallConfig, ending: CallEnding | None, *, has_words: bool
    ) -> list[Action] | None:
        """What is said in place of an answer, perhaps nothing; None = the model is asked.

        Args:
            config: In force.
            ending: The planned end of the call: nothing but a promise is said before it.
            has_words: The reply that has called the tool had words.
        """
        chosen, self._chosen = self._chosen, None
        match chosen:
            case PromiseCallBack():
                words = config.phrases
                then = ending.farewell(words) if ending else words.anything_else
                return self._output.say_whole(f"{words.call_back_noted} {then}")
            case _ if ending:
                return [] if has_words else None
            case RepeatLast():
                said = self._last_words
                return self._output.say_whole(said, SpeechSource.MODEL) if said else None
            case Hold():
                self._fillers.is_waiting = True
                return [] if has_words else self._output.say_whole(config.phrases.take_your_time)
            case SkipTurn():
                self._skips += not has_words
                return None if self.must_answer(config) else []
            case _:
                return None

    @property
    def _last_words(self) -> str:
        """All words of the model's latest turn that has any; those cut off are whole."""
        return " ".join(reversed(list(self._latest())))

    def _latest(self) -> Iterator[str]:
        is_before, has_found = False, False
        for fact in reversed(list(self._history)):
            if isinstance(fact, CallerSaid):
                if has_found:
                    return
                is_before = True
            elif is_before and isinstance(fact, AgentSaid) and fact.is_answer:
                whole = self._output.cut_words
                text = whole if fact.is_cut and whole.startswith(fact.text) else fact.text
                has_found = has_found or bool(text)
                yield text
