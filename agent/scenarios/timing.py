"""How fast everybody is on one run: a seed decides, so a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass

CALLER_WORDS_PER_SECOND = 2.7
"""About 160 words a minute."""


@dataclass(frozen=True, slots=True)
class CallTiming:
    """Seconds, and rates per second."""

    seed: int
    agent_pace: float
    """Characters a second."""
    caller_pace: float
    """Words a second."""
    reaction: float
    """Of the caller, from the agent's last word to the own first one."""
    endpointing: float
    """From the caller's last word to the final prompt."""
    first_token: float
    """Of the model, on a service that runs on virtual time."""
    token: float
    """Between two tokens of the model, there."""


ORDINARY = CallTiming(0, 15.0, CALLER_WORDS_PER_SECOND, 1.2, 0.7, 0.4, 0.02)


def timing(seed: int) -> CallTiming:
    """The timing of this seed; 0 is an ordinary call, and all others differ."""
    if seed == 0:
        return ORDINARY
    chance = random.Random(seed)  # noqa: S311 (choices that can be repeated)
    return CallTiming(
        seed,
        agent_pace=chance.uniform(11.0, 19.0),
        caller_pace=chance.uniform(1.8, 3.8),
        reaction=chance.uniform(0.9, 2.0),
        endpointing=chance.uniform(0.3, 1.2),
        first_token=chance.choice((0.0, 0.15, 0.5, 0.9, 1.5)),
        token=chance.choice((0.0, 0.01, 0.03, 0.08)),
    )
