"""What tokens cost, from a file of prices: an estimate for receipts, no bill.

    currency = "USD"

    [models."us.amazon.nova-lite-v1:0"]
    input = 0.00006        # each for 1,000 tokens
    output = 0.00024
    cache_read = 0.000015
    cache_write = 0.00006

A model that is not in the file, or a kind of tokens that has no price there and was used, makes the
price of the call unknown: it is left out. A price of 0 would look like a call for nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from agent.call.messages import Usage
from agent.errors import AgentError

_Price = Annotated[float, msgspec.Meta(ge=0)]


class PricesError(AgentError):
    """A file of prices cannot be used; one line that names it."""


class ModelPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one model, each for 1,000 tokens; None = not known."""

    input: _Price
    output: _Price
    cache_read: _Price | None = None
    cache_write: _Price | None = None

    def of(self, usage: Usage) -> float | None:
        """What so many tokens cost; None if that is not known."""
        total = 0.0
        for tokens, price in (
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read),
            (usage.cache_write, self.cache_write),
        ):
            if tokens and price is None:
                return None
            total += tokens / 1000 * (price or 0.0)
        return total


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    models: dict[str, ModelPrices] = {}


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of models by their identifiers."""

    currency: str
    """ISO 4217."""
    models: Mapping[str, ModelPrices]

    def each(self, used: Mapping[str, Usage]) -> list[tuple[str, float]]:
        """What the tokens of each model cost, without the models where that is not known."""
        found = []
        for model, usage in used.items():
            prices = self.models.get(model)
            if prices is not None and (price := prices.of(usage)) is not None:
                found.append((model, price))
        return found

    def of(self, used: Mapping[str, Usage]) -> float | None:
        """What all these tokens cost; None if that is not known of each, or nothing was used."""
        known = self.each(used)
        return sum(price for _, price in known) if known and len(known) == len(used) else None


NO_PRICES = Prices("USD", {})


def read_prices(path: Path) -> Prices:
    """Read a file of prices.

    Raises:
        PricesError: It cannot be read, or is not a file of prices.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8-sig")), _File)
    except (OSError, ValueError) as error:
        raise PricesError(f"PRICES_FILE: {path}: {error}") from error
    return Prices(found.currency, found.models)
