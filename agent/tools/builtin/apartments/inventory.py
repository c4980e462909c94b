"""The apartments of the house, as the table has them (seed section B5)."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from agent.errors import ToolError
from agent.ports import Item

Subject = Literal[
    "pet policy",
    "fees",
    "parking",
    "specials",
    "income requirements",
    "utilities",
    "location",
]


class Fees(msgspec.Struct, frozen=True, rename="camel"):
    """Paid once, in dollars."""

    application_fee: int | None = None
    security_deposit: int | None = None


class Location(msgspec.Struct, frozen=True, rename="camel"):
    """Where the house is."""

    street: str = ""
    city: str = ""
    state: str = ""
    zip_code: str = ""


class Apartment(msgspec.Struct, frozen=True, rename="camel"):
    """One layout of the house."""

    layout: str
    rent: int
    """Dollars a month."""
    move_in_date: date
    """The first day somebody can move in."""
    square_feet: int | None = None
    features: tuple[str, ...] = ()
    pet_policy: str = ""
    fees: Fees = Fees()
    parking: str = ""
    specials: str = ""
    income_requirements: str = ""
    utilities: str = ""
    location: Location = Location()

    @property
    def overview(self) -> dict[str, object]:
        """What a caller wants to know first."""
        return {
            "layout": self.layout,
            "rent": self.rent,
            "squareFeet": self.square_feet,
            "moveInDate": self.move_in_date,
            "features": self.features,
            "specials": self.specials,
        }

    @property
    def address(self) -> str:
        """As one would write it; empty if it is not known."""
        where = self.location
        if not where.street:
            return ""
        return f"{where.street}, {where.city}, {where.state} {where.zip_code}"

    def answer(self, subject: Subject) -> object:
        """What the data says about a subject; the location as one would say an address."""
        match subject:
            case "pet policy":
                return self.pet_policy
            case "fees":
                return self.fees
            case "parking":
                return self.parking
            case "specials":
                return self.specials
            case "income requirements":
                return self.income_requirements
            case "utilities":
                return self.utilities
            case "location":
                return self.address


def read_apartments(item: Item | None) -> dict[str, Apartment]:
    """The apartments by layout; `apartmentDetails` is JSON text, or the map itself."""
    if item is None:
        raise ToolError("There is no data about the apartments, so no question can be answered.")
    details = item["apartmentDetails"]
    if isinstance(details, str):
        return msgspec.json.decode(details, type=dict[str, Apartment])
    return msgspec.convert(details, dict[str, Apartment], strict=False)
