"""How a call begins: with the greeting, the model's first words, or where it was broken off."""

from __future__ import annotations

from dataclasses import dataclass

from agent.call.agent_output import AgentOutput
from agent.call.caller_language import CallerLanguage
from agent.call.keypad import Keypad
from agent.call.lifecycle import CallLifecycle
from agent.call.reply import Then, TurnDecision
from agent.call.resumption import Resumption, first_words
from agent.call.tool_calls import ToolCalls
from agent.call.turn import Turn


@dataclass(slots=True)
class CallOpening:
    """The beginning of one call, on its first connection or a later one."""

    _output: AgentOutput
    _tools: ToolCalls
    _keypad: Keypad
    _lifecycle: CallLifecycle
    _turn: Turn
    _language: CallerLanguage

    def begin(self, resumption: Resumption | None) -> TurnDecision:
        elapsed_ms = resumption.elapsed_ms if resumption else 0
        begun = [self._lifecycle.begin(self._turn.config.limits, elapsed_ms)]
        actions, then = self._greet() if resumption is None else self._resume(resumption)
        return [*begun, *actions], then

    def _greet(self) -> TurnDecision:
        if greeting := self._turn.config.greeting:
            return self._output.greet(greeting), Then.END_TURN
        return self._turn.ask(), Then.AWAIT

    def _resume(self, resumption: Resumption) -> TurnDecision:
        done = [*self._language.switch(resumption.language), *self._tools.resume()]
        config = self._turn.config
        if resumption.end is not None:
            self._lifecycle.take_effect(resumption.end, config, was_awaited=True)
            done += self._keypad.close()
        if (ending := self._lifecycle.ending) and not self._tools.is_awaited:
            return [*done, *self._output.say_whole(ending.farewell(config.phrases))], Then.END_TURN
        first = first_words(resumption, config.phrases, config.greeting)
        actions, then = self._turn.take_up(first)
        return [*done, *actions], then
