"""Which request gets which reply.

A `Script` is one reply for every request, a list of them, or a rule of the request. The functions
here build rules and take scripts, so they nest:

    by_model({"slow": stall()}, otherwise=[say("One"), say("Two")])
    sometimes(say("Fine"), (0.05, stall()), (0.3, fail("ThrottlingException")), seed=7)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from tests.emulators.replies import Json, Reply


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in."""

    index: int
    """Counts the requests of one emulator, from 0, refused ones too."""
    model: str
    body: Json
    headers: Mapping[str, str]
    """By lower-case name."""
    at: float
    """`time.monotonic()` when it was read."""
    faults: tuple[str, ...] = ()
    """What the validator found; such a request was refused."""

    @property
    def last_text(self) -> str:
        """The last words of the user, or nothing when the last message has none."""
        content = self.body["messages"][-1]["content"]
        if isinstance(content, str):
            return content
        return " ".join(block["text"] for block in content if "text" in block)


Rule = Callable[[Request], Reply]
Script = Rule | Sequence[Reply] | Reply
"""A rule, the replies in turn (the last one again and again), or one reply for ever."""


def as_rule(script: Script) -> Rule:
    if isinstance(script, Reply):
        return in_turn(script)
    return script if callable(script) else in_turn(*script)


def in_turn(*replies: Reply) -> Rule:
    """One reply after the other, the last one again and again."""
    turns = count()
    return lambda _: replies[min(next(turns), len(replies) - 1)]


def by_model(chosen: Mapping[str, Script], otherwise: Script) -> Rule:
    return _by(lambda key, request: key == request.model, chosen, otherwise)


def by_text(chosen: Mapping[str, Script], otherwise: Script) -> Rule:
    """The first whose key is part of the user's last words."""
    return _by(lambda key, request: key in request.last_text, chosen, otherwise)


def _by(
    fits: Callable[[str, Request], bool], chosen: Mapping[str, Script], otherwise: Script
) -> Rule:
    rules, rest = {key: as_rule(script) for key, script in chosen.items()}, as_rule(otherwise)
    return lambda request: next((r for k, r in rules.items() if fits(k, request)), rest)(request)


def sometimes(otherwise: Script, *odds: tuple[float, Script], seed: int = 0) -> Rule:
    """Each script of `odds` with its probability, else `otherwise`; the same for the same seed."""
    draws = random.Random(seed)  # noqa: S311 - reproducible choices, no secret
    shares, rules = [share for share, _ in odds], [as_rule(script) for _, script in odds]
    shares, rules = [*shares, 1 - sum(shares)], [*rules, as_rule(otherwise)]

    def rule(request: Request) -> Reply:
        (drawn,) = draws.choices(rules, shares)
        return drawn(request)

    return rule
