"""Speculation: the model is asked before the caller's final words have come.

Recognition waits for a silence before it calls words final. Partial prompts have the same words
earlier, so the model can write while that silence passes. `Speculation` makes at most one request
ahead at a time, and keeps what comes of it: nothing is said, recorded or run.

- It is **made** when the partial words seem complete (`agent.call.end_of_turn`) and no voice is
  heard: at once for words that come when the voice is over, as these are its last ones; else when
  they have not changed for `STABLE_MS`, since the end of the voice if that is reported.
- It is **adopted** when the turn is about to ask the same: its events are decided on as if they
  came now, so that its words are said and its tools run.
- It is **discarded** when the partial words change, when the turn asks something else, and after
  anything that changes the call: a fact, the configuration, a key, an end.

*The same* is the whole request, message by message. Only the caller's last message may differ, in
capitals and in marks between words, which recognition writes last; the history holds the final
text. A question mark, a sign and a mark inside a number count as words.

At most `MOST_TRIES` requests are made for a turn. A call may lose `MOST_LOST` of them, and one more
for every two that were adopted. The share of all calls, and none under load, is kept by the process
(`agent.capacity.speculation_budget`). Rejected: a request for each partial that seems complete
(several are lost in each sentence); to adopt by the words alone (a tool result or an edit between
the two would be answered as if it had not come).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.call.actions import Action, AdoptReply, DiscardReply, Speculate
from agent.call.events import ReplyDelta, ReplyEvent, ReplyFailed
from agent.call.history import CALLER_WAITS, History
from agent.call.messages import Message, Part, Role, Text
from agent.call.timers import Timer, TimerSet

STABLE_MS = 250
"""How long partial words must not change: about as long as recognition takes for the next ones."""
_AT_ONCE_MS = 1
MOST_TRIES = 2
"""Of one turn of the caller."""
MOST_LOST = 3
"""Requests of a call that were not adopted, before any was."""
_FEWEST_LETTERS = 2
_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W_]+(?:['\u2019][^\W_]+)*|[?\uff1f\u061f%$€£+@#&]")


class Speculation:
    """The request ahead of one call, if there is one, and the partial words it was made from."""

    def __init__(self, history: History, timers: TimerSet) -> None:
        self._history = history
        self._timers = timers
        self.words = ""
        """The caller's partial words, that no final ones have replaced."""
        self.language = ""
        self._voice: bool | None = None  # whether it is heard; None = not reported
        self._tries = self._lost = self._adopted = 0
        self._number = 0  # of the reply; 0 = there is none
        self._limit = 0
        self._before: tuple[Message, ...] = ()  # without the partial words
        self._messages: tuple[Message, ...] = ()
        self._events: list[ReplyEvent] = []

    def is_current(self, reply: int) -> bool:
        """Whether this reply is asked for ahead, and not over yet."""
        return reply == self._number > 0 and not self._is_over

    @property
    def may_ask(self) -> bool:
        is_affordable = self._lost < MOST_LOST + self._adopted // 2
        is_word = sum(map(str.isalnum, self.words)) >= _FEWEST_LETTERS
        return not self._number and is_word and is_affordable and self._tries < MOST_TRIES

    def hear(self, text: str, language: str) -> list[Action]:
        """Partial words; the timer then says when they are stable."""
        if _tokens(text) == _tokens(self.words):
            return []
        self.words, self.language = text, language
        discarded = self.discard()
        return [*discarded, *self._wait(STABLE_MS if self._voice is None else _AT_ONCE_MS)]

    def note_voice(self, *, is_heard: bool) -> Sequence[Action]:
        """A voice begins, or is over: its last words come with the next partial prompt, if any."""
        self._voice = is_heard
        return self._timers.stop(Timer.SPECULATION) if is_heard else self._wait(STABLE_MS)

    def _wait(self, after_ms: int) -> Sequence[Action]:
        may_wait = self.may_ask and not self._voice
        return [self._timers.start(Timer.SPECULATION, after_ms)] if may_wait else []

    def end_words(self) -> None:
        """The caller's final words have come, or there are none: the next ones are a new turn."""
        self.words, self._voice, self._tries = "", None, 0

    def ask(self, number: int, limit: int) -> Action:
        """Ask ahead with the words that have come; `limit` is that of `History.messages`."""
        self._number, self._limit, self._events = number, limit, []
        self._tries += 1
        self._before = self._history.messages(limit)
        self._messages = with_words(self._before, self.words)
        return Speculate(number, self._messages)

    def withhold(self, event: ReplyEvent) -> None:
        """Keep an event of the request ahead; a failed one is given up."""
        self._events.append(event)
        if isinstance(event, ReplyFailed):
            self._number, self._tries = 0, MOST_TRIES

    def adopt(self, messages: Sequence[Message]) -> tuple[AdoptReply, list[ReplyEvent]] | None:
        """What was asked ahead, if it is the same request; None = nothing or another one."""
        if not (self._number and is_same_request(self._messages, messages)):
            return None
        adopted, self._number = AdoptReply(self._number), 0
        self._adopted += 1
        return adopted, self._events

    def settle(self, *, is_open: bool) -> list[Action]:
        """After an event: discard what can no more be adopted."""
        if not self._number:
            return []
        is_same = is_open and self._history.messages(self._limit) == self._before
        return [] if is_same else self.discard()

    def discard(self) -> list[Action]:
        if not self._number:
            return []
        discarded, self._number = DiscardReply(self._number), 0
        self._lost += 1
        return [discarded]

    @property
    def _is_over(self) -> bool:
        return bool(self._events) and not isinstance(self._events[-1], ReplyDelta)


def with_words(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    """What `History.messages` would be if the caller had said this next."""
    *before, last = messages
    *parts, text = last.parts
    if not isinstance(text, Text):
        return (*before, Message(Role.CALLER, (*last.parts, Text(words))))
    said = text.text.removesuffix(CALLER_WAITS).strip()
    return (*before, Message(Role.CALLER, (*parts, Text(f"{said} {words}".strip()))))


def is_same_request(asked: Sequence[Message], now: Sequence[Message]) -> bool:
    """Whether two requests are equal but for how the caller's last message is written."""
    if len(asked) != len(now) or asked[:-1] != now[:-1]:
        return False
    before, last = asked[-1], now[-1]
    return before.role is last.role and _plain(before.parts) == _plain(last.parts)


def _plain(parts: Sequence[Part]) -> list[object]:
    return [_tokens(part.text) if isinstance(part, Text) else part for part in parts]


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.casefold().replace("\u2019", "'"))
