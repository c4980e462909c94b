"""Who is asked next: the way of one reply through the models.

Each model is asked once, in order; one of them may be asked a second time, once in a reply.

    fault                   same model again              next model
    UNAVAILABLE, TIMEOUT    at once, first choice         second choice
    THROTTLED               after 100-300 ms, if last     first choice
    INTERNAL, TOO_LONG      no                            yes
    DENIED                  no; its breaker opens         yes
    REFUSED                 no                            yes; what one refuses another may take
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.conversation.events import ReplyFault
from agent.llm.resilient.health import ModelHealth
from agent.ports import LanguageModel, ModelError

_AGAIN_AT_ONCE = frozenset({ReplyFault.UNAVAILABLE, ReplyFault.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, and what is known of it."""

    model: LanguageModel
    health: ModelHealth


@dataclass(frozen=True, slots=True)
class Failure:
    """Who was asked, and why there is no answer."""

    candidate: Candidate
    error: ModelError


@dataclass(frozen=True, slots=True)
class Step:
    """Who is asked next."""

    candidate: Candidate
    is_retry: bool = False
    is_pause_due: bool = False


class Route:
    """The way of one reply through the models."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._unasked = list(candidates)
        self._may_ask_again = True
        self.may_rival = True
        """No rival was started yet."""

    @property
    def has_more(self) -> bool:
        """There is a model that was not asked."""
        return bool(self._unasked)

    def take(self) -> Candidate:
        """The next model that was not asked; there must be one."""
        return self._unasked.pop(0)

    def take_rival(self, candidate: Candidate) -> Candidate:
        """Who is asked beside this one."""
        self.may_rival = False
        return self.take() if self._unasked else candidate

    def after(self, failures: Iterable[Failure]) -> Step | None:
        """What to do when all that were asked have failed; None = nothing."""
        steps = (self._after(each.candidate, each.error.fault) for each in failures)
        return next((step for step in steps if step is not None), None)

    def _after(self, candidate: Candidate, fault: ReplyFault) -> Step | None:
        if fault in _AGAIN_AT_ONCE and self._may_ask_again:
            self._may_ask_again = False
            return Step(candidate, is_retry=True)
        if self._unasked:
            return Step(self.take())
        if fault is ReplyFault.THROTTLED and self._may_ask_again:
            self._may_ask_again = False
            return Step(candidate, is_retry=True, is_pause_due=True)
        return None
