"""Personal values of a call, replaced by variables with fictitious values.

One value has one fictitious value in each of its forms, so that what a caller says still leads to
the arguments of the tools. `agent.usecases.personal_values` says what is found.
"""

from __future__ import annotations

import re

from agent.usecases.personal_values import (
    ONES,
    PersonalValues,
    digits_of,
    written_address,
)

NUMBER = "+15550109001"
"""Of the caller of the scenario; files know it as `{number}`."""
_FICTITIOUS = {
    "first_name": ("Robin", "Kim", "Sasha", "Noor", "Jules"),
    "last_name": ("Doe", "Roe", "Poe", "Moe", "Coe"),
    "email": ("robin@example.com", "kim@example.com", "sasha@example.com", "noor@example.com"),
    "address": ("1 Example Street", "2 Example Street", "3 Example Street", "4 Example Street"),
}
_SPOKEN = {"@": " at ", ".": " dot ", "_": " underscore ", "-": " dash "}


class Placeholders(PersonalValues):
    """The personal values of one call; `variables` are their stand-ins."""

    def __init__(self, caller: str) -> None:
        super().__init__()
        self.variables: dict[str, str] = {}
        self._stand_ins: dict[tuple[str, str], str] = {}  # by kind and what the value comes down to
        self._count: dict[str, int] = {}
        if digits := re.sub(r"\D", "", caller):
            self._stand_ins["phone", digits[-10:]] = NUMBER[-10:]
        if caller:
            self._names[caller.casefold()] = "{number}"

    def text(self, text: str) -> str:
        """The text with variables in place of what is personal; a name in braces stays text."""
        return super().text(re.sub(r"\{[A-Za-z_]\w*\}", r"{\g<0>}", text))

    def _learn_text(self, value: str, kind: str) -> None:
        if kind == "name":
            first, *others = value.split()
            self._learn_text(first, "first_name")
            if others:
                self._learn_text(" ".join(others), "last_name")
            return
        if kind == "email" and " " in value:  # as it was heard
            heard, value = value, written_address(value)
            self._add(heard, "email_spoken", _spoken(self._stand_in(value, kind)))
        stand_in = self._stand_in(value, kind)
        self._add(value, kind, stand_in)
        if kind in {"first_name", "last_name"}:
            for gap in (" ", "-", ", "):
                self._add(gap.join(value), f"{kind}_spelled", " ".join(stand_in))
        if kind == "email":
            self._add(_spoken(value), "email_spoken", _spoken(stand_in))

    def _replaced(self, core: str, kind: str) -> str:
        """A variable for a text that looks personal."""
        is_spoken = "@" not in core if kind == "email" else kind == "phone" and core[-1].isalpha()
        if kind == "email" and is_spoken:
            stand_in = _spoken(self._stand_in(written_address(core), kind))
        elif kind == "phone":
            stand_in = self._phone(core, is_spoken=is_spoken)
        else:
            stand_in = self._stand_in(core, kind)
        self._add(core, f"{kind}_spoken" if is_spoken else kind, stand_in)
        return self._names[core.casefold()]

    def _stand_in(self, value: str, kind: str) -> str:
        if kind == "phone":
            return self._phone(value, is_spoken=False)
        known = self._stand_ins.get((kind, value.casefold()))
        if known is None:
            known = self._stand_ins[kind, value.casefold()] = self._next(value, kind)
        return known

    def _next(self, value: str, kind: str) -> str:
        number = self._count[kind] = self._count.get(kind, -1) + 1
        if kind == "keys":
            return "".join(str((each + number + 1) % 10) for each in range(len(value)))
        ready = _FICTITIOUS.get(kind, ())
        if number < len(ready):
            return ready[number]
        if kind == "email":
            return f"caller{number}@example.com"
        return f"{number} Example Street" if kind == "address" else f"Example {number}"

    def _phone(self, text: str, *, is_spoken: bool) -> str:
        """The fictitious number for a number, in the same form."""
        digits = digits_of(text)
        core = digits[-10:]
        if not digits:
            return self._next(text, "value")
        if ("phone", core) not in self._stand_ins:
            number = self._count["phone"] = self._count.get("phone", 0) + 1
            self._stand_ins["phone", core] = f"555010{9100 + number}"[-len(core) :]
        fictitious = digits[: -len(core)] + self._stand_ins["phone", core][-len(core) :]
        if is_spoken:
            return " ".join(ONES[int(digit)] for digit in fictitious)
        rest = iter(fictitious)
        return re.sub(r"\d", lambda _: next(rest), text)

    def _add(self, value: str, kind: str, stand_in: str) -> None:
        """Name the variable of a value, once."""
        if value.casefold() in self._names:
            return
        same = (name for name, each in self.variables.items() if each == stand_in)
        name = next((each for each in same if each.startswith(kind)), "")
        number = 1 + sum(re.sub(r"_\d+$", "", each) == kind for each in self.variables)
        name = name or (kind if number == 1 else f"{kind}_{number}")
        self._names[value.casefold()] = f"{{{name}}}"
        self.variables[name] = stand_in


def _spoken(address: str) -> str:
    return re.sub(r"[@._-]", lambda found: _SPOKEN[found[0]], address)
