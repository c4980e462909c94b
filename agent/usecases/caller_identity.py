"""Who is calling: the carrier's `From`, brought to an identity we can keep things under.

An identity is an E.164 number or `client:` with a name. Everything else (a withheld number in any
of the carriers' spellings, a SIP address, another channel) is the unknown caller, the empty
identity: such callers must not share one profile because they share one word.

A carrier that is given no number puts a word in its place, such as `anonymous`. On the way the word
may become the digits of its keys, `+266696687`, with the code of North America before them or
without. No such number is assigned to a subscriber, except perhaps `+17378742833`.

What counts as a telephone number is decided here, for every module that asks.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_NUMBER_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_CLIENT = re.compile(r"client:[A-Za-z0-9_.@-]{1,121}")

_NO_NUMBER = (
    "anonymous", "blocked", "outofarea", "private", "restricted", "unavailable", "unknown",
    "withheld",
)  # fmt: skip
"""Words that carriers put in the place of a number."""
_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
_WITHHELD = frozenset(
    f"{code}{word.translate(_KEYS)}" for word in _NO_NUMBER for code in ("+", "+1")
)

_EMAIL_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)

UNKNOWN = ""

ATTESTATIONS = ("failed", "c", "b", "a")
"""What is asked of a number before it is believed; the first: that its validation has not failed,
the others: the lowest level of attestation."""
_PASSED = re.compile("tn-validation-passed-([abc])(?:-.*)?")


def identify(caller: str) -> str:
    """The caller's identity; `UNKNOWN` for one who cannot be recognised when they ring again."""
    caller = caller.strip()
    if is_client(caller):
        is_named = caller.removeprefix("client:").lower() not in _NO_NUMBER
        return caller if is_named else UNKNOWN
    return caller if is_telephone_number(caller) else UNKNOWN


def is_telephone_number(text: str) -> bool:
    """One that can be called and texted: exactly E.164, of seven digits or more."""
    return _NUMBER.fullmatch(text) is not None and text not in _WITHHELD


def is_number_prefix(text: str) -> bool:
    """The beginning of E.164 numbers, such as `+1555`, or a whole one."""
    return _NUMBER_PREFIX.fullmatch(text) is not None


def is_client(text: str) -> bool:
    """A user of an app as Twilio writes one, `client:` with a name."""
    return _CLIENT.fullmatch(text) is not None


def is_trusted(verstat: str, least: str) -> bool:
    """Whether a caller by telephone is taken for the owner of the number.

    A caller can have any number shown. Carriers that sign their calls (SHAKEN/STIR) vouch for it at
    a level, and Twilio tells what it has found:
    https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir. Most countries do not sign.

    Args:
        verstat: `StirVerstat` of the voice webhook; empty if there was none.
        least: One of `ATTESTATIONS`.
    """
    told = verstat.strip().lower()
    if told.startswith("tn-validation-failed"):
        return False
    passed = _PASSED.fullmatch(told)
    return least == "failed" or (passed is not None and passed[1] <= least)


def is_email_address(text: str) -> bool:
    """One that mail servers take: ASCII, a domain with a dot, neither quotes nor comments."""
    return _EMAIL_ADDRESS.fullmatch(text) is not None
