"""What the models of one call may still use."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from agent.call.events import AllowanceSpent
from agent.session.caller_limits import CallAllowance
from agent.usecases.spending import SpendingLimits

OF_PROCESS = SpendingLimits(1_000, 0.5)


@dataclass(slots=True)
class Spent:
    """What a connection has used."""

    tokens: int = 0
    cost: float | None = 0.0


@pytest.mark.parametrize(
    ("own", "used", "is_spent"),
    [
        (SpendingLimits(), Spent(999, 0.49), False),
        (SpendingLimits(), Spent(1_000, 0.0), True),
        (SpendingLimits(), Spent(0, 0.5), True),
        (SpendingLimits(call_tokens=2_000), Spent(1_000, 0.0), False),
        (SpendingLimits(call_tokens=0), Spent(9_000_000, 0.0), False),
        (SpendingLimits(call_cost=0.1), Spent(1, 0.1), True),
        (SpendingLimits(call_cost=0.0), Spent(1, 99.0), False),
    ],
)
def test_a_call_has_limits_of_tokens_and_of_cost(
    own: SpendingLimits, used: Spent, is_spent: bool
) -> None:
    """A use case's own come before those of the process; 0 is no limit."""
    allowance = CallAllowance(lambda: own.over(OF_PROCESS), used)

    assert allowance.spent == (AllowanceSpent(of_call=True) if is_spent else None)


def test_a_cost_that_is_not_known_is_told_once() -> None:
    allowance = CallAllowance(lambda: SpendingLimits(call_cost=0.5), Spent(10, None))

    with capture_logs() as logged:
        spent = [allowance.spent, allowance.spent]

    assert spent == [None, None]
    assert [line["event"] for line in logged] == ["call.cost_unknown"]
