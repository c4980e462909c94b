"""What a caller dictates: the digits and letters at the end of the words.

four one five, oh one forty two    ->  groups 4 1 5 0 1 42
soixante-douze, quatre-vingt-dix   ->  groups 72 90
X J four seven                     ->  code xj47, of which the groups are 4 7
S as in Sam, M                     ->  code sm
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.call.languages.turn_words import TurnWords

_LONGEST_MIXED = 12
SpokenElement = tuple[str, bool]
"""Digits or letters, and whether they were spoken as a word."""


@dataclass(frozen=True, slots=True)
class Dictation:
    """The digits and letters at the end of an utterance; all empty if it ends with none."""

    groups: tuple[str, ...] = ()
    """Of digits alone, in the order of speech."""
    code: str = ""
    """Digits and letters."""
    begins_at: int = 0
    """Words before it."""
    has_more: bool = False
    """The last word announces another one: "dash", "double", "and then"."""

    @property
    def digits(self) -> str:
        return "".join(self.groups)

    @property
    def has_letters(self) -> bool:
        return bool(self.code) and not self.code.isdecimal()


def dictated(said: Sequence[str], words: TurnWords) -> Dictation:
    """What these casefolded words end with, without marks."""
    elements, digits = list[SpokenElement](), list[SpokenElement]()
    at, begins_at, has_more = len(said), len(said), False
    while at:
        word, read, step = said[at - 1], _element(said[at - 1], words), 1
        if word in words.articles and not elements and _is_thing(said, at, words):
            break
        if read is None and (length := _spelling_aid(said, at, words)):
            read, step = (said[at - length], False), length
        phrase = " ".join(said[max(0, at - 2) : at])
        is_in_digits = len(digits) == len(elements)
        if times := words.repeated.get(phrase) or words.repeated.get(word):
            step = 2 if phrase in words.repeated and at > 1 else 1
            again = (elements[-1][0][0] if elements else "0", False)
            found = [again] * (times - 1 if elements else 1)
        elif read is not None:
            found = [read]
        elif word in words.joints or word in words.hesitations:
            has_more |= at == len(said)
            at -= 1
            continue
        else:
            break
        has_more |= bool(times) and at == len(said)
        elements += found
        if is_in_digits and found[-1][0].isdecimal():
            digits += found
        at -= step
        begins_at = at
    if not elements:
        return Dictation(begins_at=len(said))
    groups = composed(digits[::-1], words)
    code = "".join(composed(elements[::-1], words))
    return Dictation(groups, code, begins_at, has_more)


def _element(word: str, words: TurnWords) -> SpokenElement | None:
    digits = words.digits.get(word)
    if digits is not None:
        return digits, True
    if word.isascii() and word.isdecimal():
        return word, False
    is_letter = len(word) == 1 and word.isalpha() and word not in words.joints
    is_mixed = word.isalnum() and any(map(str.isdigit, word)) and len(word) <= _LONGEST_MIXED
    return (word, False) if is_letter or (is_mixed and any(map(str.isalpha, word))) else None


def _is_thing(said: Sequence[str], at: int, words: TurnWords) -> bool:
    """Whether the word before this one is none of a number, so that "one" stands for a thing."""
    if at == 1:
        return False
    before = said[at - 2]
    others = words.joints | words.hesitations | words.repeated.keys()
    return _element(before, words) is None and before not in others


def _spelling_aid(said: Sequence[str], at: int, words: TurnWords) -> int:
    """Words of "S as in Sam" before this place; 0 if there is none."""
    for aid in words.spelling_aids:
        length = len(aid) + 2
        if at >= length and tuple(said[at - length + 1 : at - 1]) == aid:
            return length if len(said[at - length]) == 1 else 0
    return 0


def composed(elements: Sequence[SpokenElement], words: TurnWords) -> tuple[str, ...]:
    """The elements with "twenty" and "three" as 23: two digits, not three."""
    sums = _joined(elements, lambda first, second: words.sums.get((first, second), ""))
    return tuple(group for group, _ in _joined(sums, _sum))


def _joined(
    elements: Sequence[SpokenElement], together: Callable[[str, str], str]
) -> Sequence[SpokenElement]:
    groups = list[SpokenElement]()
    for element in elements:
        groups.append(element)
        while len(groups) > 1:
            (first, is_spoken), (second, is_too) = groups[-2:]
            joined = together(first, second) if is_spoken and is_too else ""
            if not joined:
                break
            groups[-2:] = [(joined, True)]
    return groups


def _sum(first: str, second: str) -> str:
    """The number that two spoken ones are together; empty if they are two."""
    if second.startswith("00"):
        return first + second if first.strip("0") else ""
    zeros = len(first) - len(first.rstrip("0"))
    is_part = zeros and len(second) == zeros and second[0] != "0" and first.strip("0")
    return first[:-zeros] + second if is_part else ""
