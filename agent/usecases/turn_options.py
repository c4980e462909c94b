"""What a use case may say of turn-taking: `turnTaking` of its record, `[turn_taking]` of a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.call.answer_kind import EXPECTATION, expected_answers
from agent.call.config import Limits

_DEFAULTS = Limits()
_Wait = Annotated[int, Meta(ge=0, le=10_000)]
_Silences = Annotated[tuple[Annotated[int, Meta(ge=1_000, le=600_000)], ...], Meta(min_length=1)]
_Turn = Annotated[int, Meta(ge=10_000, le=600_000)]
Expectation = Annotated[str, Meta(pattern=EXPECTATION)]
"""What a complete answer is, as `agent.call.answer_kind.expected_answer` reads it."""


class TurnOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Times are in milliseconds."""

    end_of_turn_ms: _Wait = _DEFAULTS.end_of_turn_ms
    """The wait after words that need more; see `agent.call.end_of_turn`."""
    end_of_number_ms: _Wait = _DEFAULTS.end_of_number_ms
    """The same while a number is dictated."""
    silence_ms: _Silences = _DEFAULTS.idle_ms
    """Before each re-prompt; as much silence after the last one ends the call."""
    moment_ms: _Silences = _DEFAULTS.moment_ms
    """The same after the caller has asked for a moment."""
    longest_turn_ms: _Turn = _DEFAULTS.longest_turn_ms
    """How long a caller may talk without a word of the agent, who then takes the turn."""
    resumes_after_noise: bool = True
    """Whether the agent goes on when a noise or a backchannel has stopped it."""
    ends_after_call_back: bool = False
    """Whether a call ends when it was noted that the caller is to be called back."""
    speculates: bool = True
    """Whether the model is asked with partial words, where the relay is asked for them."""
    guards_commitments: bool = False
    """Whether prices, times and claims such as "it is booked" are said only if a tool of this call
    or the prompt says so; see `agent.call.speech_guard`."""
    longest_reply: Annotated[int, Meta(ge=0, le=20_000)] = _DEFAULTS.longest_reply
    """Characters after which an answer ends with its sentence and a question; 0 = no limit."""
    expects: dict[str, Expectation] = {}
    """What a complete answer is, by words of the question: `"order number" = "6 digits"`."""

    @property
    def limits(self) -> Limits:
        """The limits of a call with these options."""
        return replace(
            _DEFAULTS,
            end_of_turn_ms=self.end_of_turn_ms,
            end_of_number_ms=self.end_of_number_ms,
            idle_ms=self.silence_ms,
            moment_ms=self.moment_ms,
            longest_turn_ms=self.longest_turn_ms,
            speculates=self.speculates,
            ends_after_call_back=self.ends_after_call_back,
            resumes_after_noise=self.resumes_after_noise,
            expects=expected_answers(self.expects),
            guards_commitments=self.guards_commitments,
            longest_reply=self.longest_reply,
        )
