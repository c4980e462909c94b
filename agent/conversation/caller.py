"""Who is calling: the carrier's `From`, brought to an identity we can keep things under.

An identity is an E.164 number or `client:` with a name. Everything else (a withheld number in any
of the carriers' spellings, a SIP address, another channel) is the unknown caller, the empty
identity: such callers must not share one profile because they share one word.
"""

from __future__ import annotations

import re

_IDENTITY = re.compile(r"\+[1-9]\d{6,14}|client:[A-Za-z0-9_.@-]{1,121}")
_WITHHELD = frozenset({"+266696687", "+86282452253", "+7378742883", "+2562533", "+8566696"})
"""Numbers that spell anonymous, unavailable, restricted, blocked or unknown on a keypad."""

_EMAIL_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)

UNKNOWN = ""


def identify(caller: str) -> str:
    """The caller's identity; `UNKNOWN` for one who cannot be recognised when they ring again."""
    caller = caller.strip()
    is_identity = _IDENTITY.fullmatch(caller) is not None and caller not in _WITHHELD
    return caller if is_identity else UNKNOWN


def is_telephone_number(text: str) -> bool:
    """One that can be called and texted, in E.164."""
    return text.startswith("+") and bool(identify(text))


def is_email_address(text: str) -> bool:
    """One that mail servers take: ASCII, a domain with a dot, neither quotes nor comments."""
    return _EMAIL_ADDRESS.fullmatch(text) is not None
