"""The identity of a caller, and the one place that decides what a telephone number is.

An identity is an E.164 number or `client:` and a name. Any other `From` (a withheld number, a SIP
address, another channel) is the unknown caller, the empty identity: such callers must not share one
profile. A carrier may send a word such as `anonymous`, or the digits of its keys, `+266696687`,
with or without `+1`. No subscriber has such a number, except perhaps `+17378742833`.
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
_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
_WITHHELD = frozenset(
    f"{code}{word.translate(_KEYS)}" for word in _NO_NUMBER for code in ("+", "+1")
)

UNKNOWN = ""

ATTESTATIONS = ("failed", "c", "b", "a")
"""Requirements on a caller's number: the first, that its validation has not failed; the others, the
lowest accepted level of attestation."""
_PASSED = re.compile("tn-validation-passed-([abc])(?:-.*)?")


def identify(caller: str) -> str:
    """The caller's identity; `UNKNOWN` for one who could not be recognised in another call."""
    caller = caller.strip()
    if is_client(caller):
        is_named = caller.removeprefix("client:").lower() not in _NO_NUMBER
        return caller if is_named else UNKNOWN
    return caller if is_telephone_number(caller) else UNKNOWN


def is_telephone_number(text: str) -> bool:
    """A number that can be called and texted: E.164 with seven digits or more, not withheld."""
    return _NUMBER.fullmatch(text) is not None and text not in _WITHHELD


def is_number_prefix(text: str) -> bool:
    """The beginning of E.164 numbers, such as `+1555`, or a whole number."""
    return _NUMBER_PREFIX.fullmatch(text) is not None


def is_client(text: str) -> bool:
    """Whether this is a user of an app as Twilio writes one, `client:` and a name."""
    return _CLIENT.fullmatch(text) is not None


def is_trusted(verstat: str, least: str) -> bool:
    """Whether a caller by telephone is accepted as the owner of the number.

    Carriers that sign calls (SHAKEN/STIR) attest to the number; most countries do not sign
    (https://www.twilio.com/docs/voice/trusted-calling-with-shakenstir).

    Args:
        verstat: `StirVerstat` of the voice webhook; empty if there was none.
        least: One of `ATTESTATIONS`.
    """
    reported = verstat.strip().lower()
    if reported.startswith("tn-validation-failed"):
        return False
    passed = _PASSED.fullmatch(reported)
    return least == "failed" or (passed is not None and passed[1] <= least)
