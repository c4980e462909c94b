"""What a caller has ordered or booked before, as far as a model is told of it.

Memory across calls is small: a few dealings of the last days, each with its day, from the items of
the caller's own partition. Nothing is written for it, so whoever deletes an order or a booking has
deleted the memory of it, and all of them expire by themselves (seed sections A7.2 and B5).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Dealing:
    """One order or booking; its texts come from callers and models and are not to be trusted."""

    at: datetime
    """Of the order, or of the appointment; aware, in the zone of the business."""
    kind: str
    """What it was, such as `order for pickup`."""
    items: tuple[str, ...]
    total: str = ""
    """Dollars; empty where nothing was paid."""
