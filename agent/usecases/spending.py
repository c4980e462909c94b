"""What the model may cost in one call: `spending` of a record, `[spending]` of a file."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MOST_TOKENS = 1_000_000_000
MOST_COST = 10_000.0


class SpendingLimits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`None` = the limit of the process; 0 = none."""

    call_tokens: Annotated[int, Meta(ge=0, le=MOST_TOKENS)] | None = None
    """Of all kinds and models, summaries too."""
    call_cost: Annotated[float, Meta(ge=0, le=MOST_COST)] | None = None
    """In the currency of the file of prices."""

    def over(self, others: SpendingLimits) -> SpendingLimits:
        """These limits, and the others where none is set."""
        given = {**msgspec.structs.asdict(others), **msgspec.to_builtins(self)}
        return SpendingLimits(**given)


NO_SPENDING_LIMITS = SpendingLimits()
