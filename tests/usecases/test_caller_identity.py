"""Which callers are recognised."""

from __future__ import annotations

import pytest

from agent.usecases.caller_identity import (
    ATTESTATIONS,
    UNKNOWN,
    identify,
    is_number_prefix,
    is_telephone_number,
    is_trusted,
)

_KEYS = {
    letter: str(key)
    for key, letters in enumerate(("abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz"), 2)
    for letter in letters
}


@pytest.mark.parametrize(
    "caller",
    [
        "+15550100001", " +15550100001 ", "client:ada", "client:ada.l@example-1.com",
        "+73787428331", "+26669668", "+442562533", "+15552562533", "+18656696687",
    ],
)  # fmt: skip
def test_numbers_and_clients_are_recognised(caller: str) -> None:
    """Also numbers that a digit or the country distinguishes from a withheld one."""
    assert identify(caller) == caller.strip()
    assert is_telephone_number(caller.strip()) is not caller.startswith("client:")


@pytest.mark.parametrize(
    "caller",
    [
        "", " ", "anonymous", "Anonymous", "unknown", "Restricted", "+266696687", "+7378742833",
        "sip:ada@example.com", "whatsapp:+15550100001", "client:", "client:a b", "+0123456789",
        "15550100001", "+1555", "+15550100001;x", "restaurantOrderingUseCase", "+8656696",
        "+86282452253", "+2562533", "+12562533", "+18656696", "+17378742833", "+1266696687",
        "client:Anonymous", "client:anonymous", "client:unknown",
    ],
)  # fmt: skip
def test_all_others_are_the_unknown_caller(caller: str) -> None:
    """They share no profile, and reach no other item of the table."""
    assert identify(caller) == UNKNOWN


@pytest.mark.parametrize(
    "word",
    ["anonymous", "restricted", "unavailable", "unknown", "blocked", "private", "withheld",
     "outofarea"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["+{}", "+1{}", "{}", "1{}", " +{} ", "client:{}"])
def test_a_word_for_no_number_is_the_unknown_caller_in_any_spelling(word: str, form: str) -> None:
    """As letters and as keys, with and without the code of North America."""
    keys = "".join(_KEYS[letter] for letter in word)
    assert identify(form.format(word)) == identify(form.format(word.upper())) == UNKNOWN
    if not form.startswith("client:"):
        assert identify(form.format(keys)) == UNKNOWN
        assert not is_telephone_number(form.format(keys))


@pytest.mark.parametrize("zero", ["\u0660", "\u06f0", "\u0966", "\uff10"])
def test_digits_are_ascii_digits(zero: str) -> None:
    """Arabic, Persian, Devanagari and full-width digits are refused."""
    foreign = "".join(chr(ord(zero) + int(digit)) for digit in "5550100001")
    assert identify(f"+1{foreign}") == UNKNOWN
    assert not is_telephone_number(f"+1{foreign}")
    assert not is_number_prefix(f"+1{foreign[:3]}")


@pytest.mark.parametrize("text", ["", "15550100001", "+15550100001\n", " +15550100001", "+1555"])
def test_a_telephone_number_is_exact(text: str) -> None:
    """It is sent to the carrier as it is."""
    assert not is_telephone_number(text)


def test_a_prefix_is_one_digit_or_more() -> None:
    """Up to a whole number."""
    assert all(map(is_number_prefix, ("+1", "+1555", "+4144", "+15550100001")))
    assert not any(map(is_number_prefix, ("", "+", "1", "+0", "+1 555", "+1555\n", "+" + "1" * 16)))


_PASSED = {"A": {"failed", "c", "b", "a"}, "B": {"failed", "c", "b"}, "C": {"failed", "c"}}


def accepted(verstat: str) -> set[str]:
    return {least for least in ATTESTATIONS if is_trusted(verstat, least)}


@pytest.mark.parametrize("suffix", ["", "-Diverted", "-Passthrough", "-SomethingNew"])
@pytest.mark.parametrize("level", "ABC")
def test_an_attestation_counts_by_its_level(level: str, suffix: str) -> None:
    """Also if the call was diverted or passed through; a failed one is never trusted."""
    passed = f"TN-Validation-Passed-{level}{suffix}"
    failed = f"TN-Validation-Failed-{level}{suffix}"

    assert accepted(passed) == accepted(passed.lower()) == _PASSED[level]
    assert accepted(failed) == accepted(f" {failed.upper()} ") == set()


@pytest.mark.parametrize(
    ("verstat", "trusted"),
    [
        *((text, set()) for text in ("TN-Validation-Failed", "TN-Validation-Failed-")),
        *(
            (text, {"failed"})
            for text in (
                "", " ", "NULL", "No-TN-Validation", "TN-Validation-Passed",
                "TN-Validation-Passed-D", "TN-Validation-Passed-AB", "TN-Validation-Passed-",
                "verified",
            )
        ),
    ],
)  # fmt: skip
def test_a_number_without_attestation_is_trusted_only_by_default(
    verstat: str, trusted: set[str]
) -> None:
    """Most carriers do not sign their calls; a failed validation is never trusted."""
    assert accepted(verstat) == trusted
