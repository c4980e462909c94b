"""E-mail addresses are read from spoken words, spelled out, and found in what was said."""

from __future__ import annotations

from string import ascii_lowercase, digits

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.call.spoken_address import names_address, read_address, spell_out

SIGNS = {
    "@": ["at", "at sign", "@"],
    ".": ["dot", "period", "point", "."],
    "_": ["underscore", "under score", "_"],
    "-": ["dash", "hyphen", "minus", "-"],
    "+": ["plus", "+"],
}
_DIGITS = "zero one two three four five six seven eight nine"
NUMBERS = dict(zip(digits, _DIGITS.split(), strict=True))
_OTHERS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty"
    " forty fifty sixty seventy eighty ninety double triple as in like for u score sign"
)
TAKEN = {*(word for words in SIGNS.values() for word in words), *_DIGITS.split(), *_OTHERS.split()}
"""Words that stand for a sign or number; in an address they must be spelled."""

local_piece = st.text(ascii_lowercase + digits + "_+-", min_size=1, max_size=12)
label = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
addresses = st.builds(
    lambda pieces, labels, top: f"{'.'.join(pieces)}@{'.'.join(labels)}.{top}",
    st.lists(local_piece, min_size=1, max_size=3),
    st.lists(label, min_size=1, max_size=3),
    st.text(ascii_lowercase, min_size=2, max_size=6),
)


def say(address: str, choose: st.DataObject) -> str:
    """An address as a caller may say it: words whole or spelled, digits as numbers, named signs."""
    said, word = list[str](), ""
    for sign in f"{address} ":
        if sign in ascii_lowercase:
            word += sign
            continue
        if word:
            is_whole = word not in TAKEN and len(word) > 1 and choose.draw(st.booleans())
            said += [word] if is_whole else list(word)
            word = ""
        if sign in SIGNS:
            said.append(choose.draw(st.sampled_from(SIGNS[sign])))
        elif sign != " ":
            said.append(choose.draw(st.sampled_from([sign, NUMBERS[sign]])))
    return choose.draw(st.sampled_from([" ", ", ", "  "])).join(said)


@given(address=addresses)
def test_what_is_spelled_is_read_as_the_same(address: str) -> None:
    assert read_address(spell_out(address)) == address
    assert read_address(address) == address


@given(address=addresses, choose=st.data())
def test_what_a_caller_says_is_read_as_it_is_meant(address: str, choose: st.DataObject) -> None:
    assert read_address(say(address, choose)) == address


@given(said=st.text())
@example("@" * 600)
@example("double " * 100)
def test_what_is_read_is_a_plain_address(said: str) -> None:
    address = read_address(said)

    if address is not None:
        assert address.count("@") == 1
        assert set(address) <= set(ascii_lowercase + digits + "@._+-")
        assert read_address(spell_out(address)) == address


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("Ada@Example.com", "ada@example.com"),
        ("ada@example.com.", "ada@example.com"),
        ("a d a at example dot com", "ada@example.com"),
        ("Ada dot Lovelace at G mail dot com", "ada.lovelace@gmail.com"),
        ("ada underscore l dash 7 at example dot co dot uk", "ada_l-7@example.co.uk"),
        ("ada plus news at example dot com", "ada+news@example.com"),
        ("ada nineteen eighty four at example dot com", "ada1984@example.com"),
        ("ada twenty ten at example dot com", "ada2010@example.com"),
        ("ada twenty three at example dot com", "ada23@example.com"),
        ("ada thirty at example dot com", "ada30@example.com"),
        ("ada twenty double three at example dot com", "ada2033@example.com"),
        ("ada oh seven double o at example dot com", "adaoh7oo@example.com"),
        ("bi double l at example dot com", "bill@example.com"),
        ("double u i double l at triple w dot com", "will@www.com"),
        ("b as in boy o b at example dot com", "bob@example.com"),
        ("b for bravo, o like oscar, b at example dot com", "bob@example.com"),
        ("ada at sign example period com", "ada@example.com"),
        ("ada guion bajo b arroba ejemplo punto es", "ada_b@ejemplo.es"),
    ],
)
def test_an_address_is_read_as_people_say_it(said: str, address: str) -> None:
    assert read_address(said) == address


@pytest.mark.parametrize(
    "said",
    [
        "", "ada", "ada at home", "12 Oak Street, 4", "2:30 p.m. on Friday",
        "ada at example", "at example dot com", "ada at dot com",
        "ada at at example dot com", "dot ada at example dot com",
        "ada dot dot l at example dot com", "ada at dash example dot com",
        "ada at example dot c", "ada at example dot 42", "ad\u00e0@example.com",
        '"ada"@example.com', "ada@[127.0.0.1]", "ada@example.com\nBcc: all@example.com",
        "ada@example.com, grace@example.com", "ada@example.com please",
        "ada at example dot com thank you", "ada at example dot c o m please",
        "<ada@example.com>", f"{'a' * 65}@example.com", f"ada@{'a' * 64}.com",
        f"ada@{'a.' * 130}com",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_not_read(said: str) -> None:
    assert read_address(said) is None


_PART = st.text("abcdefgxyz0123456789", min_size=1, max_size=8)
NEAR_ADDRESSES = st.builds("{}{}{}@{}.{}".format, _PART, st.sampled_from("._-+"), _PART, _PART,
                      st.sampled_from(["com", "example.org", "de"]))  # fmt: skip


@given(address=NEAR_ADDRESSES, before=st.sampled_from(["", "I heard ", "Le escribo a "]))
def test_an_address_that_is_spelled_out_is_read_and_found(address: str, before: str) -> None:
    spelled = spell_out(address)

    assert read_address(spelled) == address
    assert names_address(
        f"{before}{spelled}. Is that right?", address, is_exact=before != "Le escribo a "
    )
    assert names_address(f"{before}{address}. Is that right?", address, is_exact=True)


@given(address=NEAR_ADDRESSES, other=NEAR_ADDRESSES)
def test_another_address_is_not_found(address: str, other: str) -> None:
    found = names_address(f"I heard {spell_out(other)}. Is that right?", address, is_exact=True)

    assert found is (address == other)


@pytest.mark.parametrize(
    "said",
    [
        "So that is a, d, a, at, example, dot, com. Is that right?",
        "I have a-d-a at example dot com, correct?",
        "A. D. A. at example dot com. Right?",
        "Shall I save ada@example.com?",
        "Is it ada at e x a m p l e dot com?",
        "It is a as in apple, d for dog, a, at example dot com. I will save it, okay?",
        "¿Le escribo a ada arroba example punto com?",
        "Ist ada at example Punkt com richtig?",
        "C'est ada arobase example point com ?",
    ],
)
def test_an_address_is_found_however_it_is_said(said: str) -> None:
    assert names_address(said, "ada@example.com", is_exact=True)


@pytest.mark.parametrize(
    ("said", "is_near"),
    [
        ("e, d, a, at example dot com. Is that right?", False),
        ("x, a, d, a, at example dot com. Is that right?", True),
        ("ada dot ada at example dot com, is that right?", True),
        ("Ada at example dot com dot uk, is that right?", True),
        ("ada at other dot com, is that right?", False),
        ("Ada. At example we write dot com?", True),
        ("Shall I save it?", False),
    ],
)
def test_another_address_is_none_and_may_be_near(said: str, *, is_near: bool) -> None:
    assert not names_address(said, "ada@example.com", is_exact=True)
    assert names_address(said, "ada@example.com", is_exact=False) is is_near


def test_a_number_at_the_end_belongs_to_the_address() -> None:
    assert read_address("ada at example dot com twenty") is None
    assert read_address("ada twenty at example dot com") == "ada20@example.com"
