"""What the agent says on one relay session, as parts that a page shows and speaks.

A part ends when the caller breaks in, which leaves the rest of it unheard, or says the next words.
Parts have numbers, so that a voice can say in which it is and how far. No I/O and no clock.
"""

from __future__ import annotations

import msgspec

from agent.simulator.relay_session import RelaySession


class AgentPart(msgspec.Struct, frozen=True, tag="agent"):
    """A part as it is now; the same number comes again when it has changed."""

    part: int
    text: str
    heard: int
    """Characters of `text` that the caller has heard."""
    language: str
    is_cut: bool = False
    """The caller broke in, or the session is over: the rest is not heard."""


class AgentParts:
    """Follows the playback of one session; parts are numbered from `first`."""

    def __init__(self, session: RelaySession, first: int = 1) -> None:
        self.number = first
        """Of the present part."""
        self._session = session
        self._replies = len(session.playback.heard_replies)
        self._cuts = 0
        self._begin = 0  # where the part begins in the text of the playback
        self._shown = AgentPart(first, "", 0, "")

    @property
    def begin(self) -> int:
        """Characters of the playback before the present part."""
        return self._begin

    def look(self) -> list[AgentPart]:
        """The parts that have changed since the last look; look after each act of the caller."""
        playback, changed = self._session.playback, list[AgentPart]()
        if len(self._session.cuts) > self._cuts:
            self._cuts = len(self._session.cuts)
            heard = len(self._session.cuts[-1][1])
            changed += self._ended(heard - self._begin, is_cut=True)
            self._begin = heard
        if (replies := len(playback.heard_replies)) > self._replies:
            self._replies = replies
            changed += self._ended(len(self._shown.text), is_cut=False)
            self._begin = 0
        text, heard = playback.text[self._begin :], len(playback.heard_text) - self._begin
        part = AgentPart(self.number, text, max(0, heard), self._session.languages[-1])
        if text.strip() and part != self._shown:
            self._shown = part
            changed.append(part)
        return changed

    def finish(self) -> list[AgentPart]:
        """The session is over: what was not heard will not be."""
        return [*self.look(), *self._ended(self._shown.heard, is_cut=True)]

    def _ended(self, heard: int, *, is_cut: bool) -> list[AgentPart]:
        text, shown = self._shown.text, self._shown
        if not text:
            return []
        heard = min(max(0, heard), len(text))
        last = AgentPart(self.number, text, heard, shown.language, is_cut and heard < len(text))
        self.number += 1
        self._shown = AgentPart(self.number, "", 0, "")
        return [last] if last != shown else []
