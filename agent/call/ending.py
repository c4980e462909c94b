"""What we tell ourselves through the carrier: the `handoffData` of an `end` message.

Twilio hands the text untouched to the `<Connect action>` URL, perhaps in another process. It is
signed with the request, but has travelled, so reading it never fails: what is not ours reads as no
reason.

It is small, whatever a model or a caller has said: each part has a share of `LARGEST`, and what is
longer is cut. The shares are fixed instead of filled up one after the other, so that a long reason
never costs the person the summary. They are counted as the text is sent, in bytes of JSON, where a
quotation mark takes two and a letter of many languages three; parts of a character are never left.

A decision to end the call, carried out when the last words were played.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate

from agent.call.actions import Handoff
from agent.call.config import Phrases
from agent.call.events import EndReason
from agent.call.history import CallerSaid, Fact, InputMode

QUIET = "quiet"
"""Reason of a `SERVER_DRAIN` in a quiet moment."""
LARGEST = 2_000
"""Bytes of the whole text, and so characters; the relay's limit is not published."""
_REASON = 300
_SUMMARY = 800
_LANGUAGE = 40
_SLOTS = 700
_SLOT_NAME = 60
_SLOT_VALUE = 150
_BETWEEN_SLOTS = len('"": "", ')
_encode = json.JSONEncoder(ensure_ascii=False).encode


class ReasonCode(StrEnum):
    """Why the call was given back."""

    GOODBYE = "goodbye"
    LIVE_AGENT = "live-agent-handoff"
    SERVER_DRAIN = "server-drain"


@dataclass(frozen=True, slots=True)
class HandoffData:
    """Content of `handoffData`."""

    code: ReasonCode = ReasonCode.GOODBYE
    reason: str = ""
    summary: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    """What was found out so far, by name."""
    language: str = ""
    """What the caller speaks, BCP 47."""

    def bounded(self) -> HandoffData:
        """The same on one line each and within the limits; bounding it again changes nothing."""
        return HandoffData(
            self.code,
            _cut(self.reason, _REASON),
            _cut(self.summary, _SUMMARY),
            dict(_fitting(self.slots)),
            _cut(self.language, _LANGUAGE),
        )

    @property
    def was_quiet(self) -> bool:
        """The call was given up when nobody spoke and nothing was under way."""
        return self.reason == QUIET

    def render(self) -> str:
        """JSON text of at most `LARGEST` bytes; what is empty is left out."""
        own = self.bounded()
        fields = {
            "reason": own.reason,
            "summary": own.summary,
            "slots": own.slots,
            "language": own.language,
        }
        kept = {name: value for name, value in fields.items() if value}
        return _encode({"reasonCode": own.code, **kept})

    @classmethod
    def read(cls, text: str) -> HandoffData | None:
        """What `render` wrote, within the same limits; None for anything else."""
        try:
            fields = json.loads(text)
            slots = fields.get("slots", {})
            return cls(
                ReasonCode(fields["reasonCode"]),
                str(fields.get("reason", "")),
                str(fields.get("summary", "")),
                {name: str(slots[name]) for name in slots} if isinstance(slots, dict) else {},
                str(fields.get("language", "")),
            ).bounded()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


GOODBYE = HandoffData()
"""Nothing to hand over: the call is simply over."""


def _fitting(slots: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The first slots that go into their share; one without name or value says nothing."""
    room = _SLOTS
    for each, text in slots.items():
        name, value = _cut(each, _SLOT_NAME), _cut(text, _SLOT_VALUE)
        room -= _size(name) + _size(value) + _BETWEEN_SLOTS
        if room < 0:
            return
        if name and value:
            yield name, value


def _cut(text: str, room: int) -> str:
    """The beginning of a text that takes up at most so many bytes in JSON."""
    whole = " ".join(text.encode(errors="ignore").decode().split())
    sizes = accumulate(_size(letter) for letter in whole[:room])
    return whole[: sum(size <= room for size in sizes)].rstrip()


def _size(text: str) -> int:
    return len(_encode(text).encode()) - len('""')


@dataclass(frozen=True, slots=True)
class CallEnding:
    """Why the call will end, and what the action URL is told."""

    reason: EndReason
    handoff: HandoffData = GOODBYE
    is_revocable: bool = False
    """A caller who goes on speaking takes it back."""

    def farewell(self, phrases: Phrases) -> str:
        """Last words for when the model has none."""
        return phrases.transfer if self.reason is EndReason.TRANSFER else phrases.goodbye


BY_AGENT = CallEnding(EndReason.AGENT_END, is_revocable=True)
IDLE = CallEnding(EndReason.IDLE, is_revocable=True)
TIME_IS_UP = CallEnding(EndReason.MAX_DURATION)
SPENT = CallEnding(EndReason.CALLER_SPEND)
TROUBLE = CallEnding(EndReason.ERROR_MODEL)
HANDED_OVER = CallEnding(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN, QUIET))
TORN_OFF = CallEnding(EndReason.DRAIN, HandoffData(ReasonCode.SERVER_DRAIN))
"""Given up in whatever moment: nobody knows what was heard."""
STOPPED = CallEnding(EndReason.DRAIN)
"""Over, because the service is."""


_LAST_WORDS = 3
_LONGEST_WORDS = 250
"""Characters of the caller's last words together."""


def transfer(handoff: Handoff, facts: Iterable[Fact] = (), language: str = "") -> CallEnding:
    """The call goes to a person.

    The model has written the summary when it asked for the person. Where there is none, the
    caller's own words stand in: no request is made for it, so that it takes no time.

    Args:
        handoff: What is known.
        facts: The call so far.
        language: What the caller speaks, BCP 47.
    """
    summary = handoff.summary or _in_the_callers_words(facts)
    data = HandoffData(
        ReasonCode.LIVE_AGENT, handoff.reason, summary, handoff.slots, language
    ).bounded()
    return CallEnding(EndReason.TRANSFER, data)


def _in_the_callers_words(facts: Iterable[Fact]) -> str:
    """The latest sentences, without keys: what is typed may be a secret (practice section 17)."""
    said = [
        fact.text
        for fact in facts
        if isinstance(fact, CallerSaid) and fact.means is InputMode.SPEECH
    ]
    words = " / ".join(said[-_LAST_WORDS:])
    return f"The caller's last words: {words[-_LONGEST_WORDS:]}" if words else ""
