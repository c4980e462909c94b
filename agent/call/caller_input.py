"""What the caller says and types, as facts.

That the caller has begun is recorded before the words or all keys are there, so that the agent asks
for them if the connection is lost in between. Words that speech recognition gives again within
`REPEAT_MS` replace the earlier ones, if the agent has done nothing since; a sentence that is given
again while it is answered changes nothing, however fast the answer was. After the answer the caller
says it anew. Keys are those of `agent.call.keypad`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import dropwhile

from agent.call.actions import Action, Record
from agent.call.history import AgentSaid, CallerBegan, CallerSaid, Fact, History, InputMode
from agent.call.keypad import Keypad
from agent.call.timers import Timer, TimerSet
from agent.call.utterance_analysis import questions, repeats, retells

REPEAT_MS = 1_500
"""How long after the caller's words others may replace them."""
_FEWEST_AGAIN = 3
"""Words of a sentence given again; "yes" may answer two questions."""


@dataclass(slots=True)
class CallerInput:
    """The input of one call; appends its facts to the history it is given."""

    _history: History
    _timers: TimerSet
    keypad: Keypad
    _question: str = ""  # what the agent had said when the caller's last words came
    _since: int = 0  # position after the last words that need no answer
    _heard_out: int = 0  # position after the last words that the caller has heard to the end

    @property
    def unanswered(self) -> tuple[str, str]:
        """All words of the caller since the agent's last ones, and what the agent had asked."""
        return self._history.unanswered(self._since), self._history.question

    @property
    def spoken(self) -> str:
        """Those of the unanswered words that the caller has not typed."""
        return self._history.unanswered(self._since, {InputMode.SPEECH})

    @property
    def heard(self) -> str:
        """What the caller answers."""
        return self._history.asked

    def record_beginning(self) -> Action:
        return Record(len(self._history), CallerBegan())

    def is_repetition(self, text: str) -> bool:
        """Whether words are given twice: before an answer, or while it is given."""
        if (said := self._replaceable) is not None:
            return repeats(said, text) and self._is_same_utterance(said, text)
        is_sentence = len(text.split()) >= _FEWEST_AGAIN
        is_recent = Timer.REPEAT in self._timers.running and self.keypad.is_empty
        return is_recent and is_sentence and repeats(self._being_answered, text)

    def add_words(self, text: str, language: str = "") -> list[Action]:
        """The words become a fact; `language`: the call changes to it with them."""
        said = self._replaceable
        window = self._timers.start(Timer.REPEAT, REPEAT_MS)
        if said is not None and self._is_same_utterance(said, text):
            position = self._history.rephrase(text, language)
            self._since = min(self._since, position)
            return [Record(position, self._history[position]), window]
        records = [*self.keypad.complete(), self._append(CallerSaid(text, language=language))]
        self._question = self._history.asked
        return [*records, window]

    def pass_over(self) -> None:
        """The words so far need no answer."""
        self._since = len(self._history)

    def note_heard_out(self) -> None:
        """All that the agent has said was heard: equal words that follow are said again."""
        self._heard_out = len(self._history)

    @property
    def _replaceable(self) -> str | None:
        said = self._history.last_said
        is_recent = Timer.REPEAT in self._timers.running and self.keypad.is_empty
        if said is None or said.means is not InputMode.SPEECH or not is_recent:
            return None
        return said.text if self._history.asked == self._question else None

    @property
    def _being_answered(self) -> str:
        """The caller's latest words, if nothing follows them but an answer that is being heard."""
        if len(self._history) == self._heard_out:
            return ""
        said = next(dropwhile(_is_whole_answer, reversed(list(self._history))), None)
        return said.text if isinstance(said, CallerSaid) else ""

    def _is_same_utterance(self, said: str, text: str) -> bool:
        """Short answers to two questions of the agent may be equal and still be two answers."""
        return retells(said, text) and (len(said.split()) > 2 or questions(self._question) < 2)

    def _append(self, said: CallerSaid) -> Action:
        return Record(self._history.append(said), said)


def _is_whole_answer(fact: Fact) -> bool:
    """An apology is none: the caller is asked to say it again."""
    return isinstance(fact, AgentSaid) and fact.is_answer and not fact.is_cut
