"""How many requests this process may make before a caller has finished (`agent.call.speculation`).

One that is adopted costs nothing, as the turn makes no other. One that is not is an extra request:
at most `SHARE` of all, counted when it is made and given back when it is adopted.
"""

from __future__ import annotations

from collections.abc import Callable

SHARE = 0.2
"""Requests ahead that may be lost, of the requests of turns."""
MOST_SAVED = 10.0
"""So many calls may ask ahead at once after a quiet night."""


class SpeculationBudget:
    """The budget of one process; `is_allowed` is false under load."""

    def __init__(self, is_allowed: Callable[[], bool] = lambda: True) -> None:
        self._is_allowed = is_allowed
        self._saved = MOST_SAVED / 2

    def earn(self) -> None:
        """A turn has asked a model."""
        self._saved = min(self._saved + SHARE, MOST_SAVED)

    def spend(self) -> bool:
        """Take a request ahead from the budget; whether it may be made."""
        if self._saved < 1.0 or not self._is_allowed():
            return False
        self._saved -= 1.0
        return True

    def empty(self) -> None:
        """A provider refuses requests: those of turns come first, and earn the budget again."""
        self._saved = 0.0

    def give_back(self) -> None:
        """One was adopted: it is the request of its turn."""
        self._saved = min(self._saved + 1.0, MOST_SAVED)
        self.earn()
