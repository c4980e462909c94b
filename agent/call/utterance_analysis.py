"""What the caller's words are: an answer, a backchannel, half a sentence, or words given again.

A backchannel is not answered, so taking an answer for one leaves the caller in silence: words like
"sure" are one only after words of the agent that ask for nothing (`asks`). In doubt they are an
answer. Speech recognition may give an utterance again, longer or corrected (`retells`). In doubt
the words are new; digits always are, because a number is dictated in groups that may be equal
(`is_dictating`). A single number is a quantity, a time or a price and is answered at once, unless
the agent has asked for a number. So is a complete telephone number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ACKNOWLEDGEMENTS = frozenset({
    "mm", "mhm", "mmhm", "mm hm", "mm hmm", "hmm", "uh huh", "uhhuh", "ok", "okay", "okay okay",
    "right", "yeah", "yeah yeah", "yep", "yes", "sure", "i see", "got it", "alright", "all right",
    "good", "great",
})  # fmt: skip
_LONGEST_REQUEST = 2_000  # characters at the end: about two minutes of speech
_QUESTION_MARKS = frozenset("?¿？؟՞፧⁇⁈⁉\u037e")  # noqa: RUF001 (also of other scripts)
_WAITING = re.compile(
    r"\b(?:please )?(?:(?:give me|wait|just|hold on|bear with me|it will take)(?: for)? )?"
    r"(?:a|one|another|a few|two) (?:short |little |quick )?(?:moment|second|minute|sec)s?\b"
    r"(?:,? please)?|\b(?:please )?(?:hold on|hold the line|bear with me|stay on the line|wait)\b"
    r"(?:,? please)?"
)
_LEAD_IN = r"(?:(?:and|so|okay|ok|great|now|then|but|also|well|alright|thanks) ?,? ?)?"
_INVERSION = (
    r"(?:can|could|may|might|shall|should|would|will|do|does|did|are|is|was|were|have|has)"
    r" (?:you|i|we|it|that|this|there|they|your|the|these|those)"
)
_REQUESTS = (
    # A question without its mark: by how a sentence begins, or by a tag at its end.
    rf"(?:^|[.!,;:\u2014-] ?){_LEAD_IN}(?:what|what's|which|who|whose|when|where|why|how"
    rf"|{_INVERSION}|anything else|any)\b",
    r", (?:right|correct|okay|ok|yes|no|yeah)[.!]*(?:$| )",
    r"\b(?:yes or no|wonder|wondering|for (?:when|what|which|whom|how)|that's a (?:yes|no))\b",
    # A request for words or keys.
    r"\b(?:say|spell|press|dial|choose|select|repeat|confirm|describe|specify|enter|key in)\b",
    r"\b(?:(?:tell|give|remind|show|read|send) (?:me|us)|let (?:me|us) know)\b",
    r"\b(?:ask|call|reach) me\b",
    r"\b(?:type (?:in|your|the)|name (?:a|one|your)|pick (?:one|a|an|your|between|from|which))\b",
    r"\b(?:(?:state|provide|share|leave) (?:me|us|your|the|a)|answer (?:yes|no|with|me|my|the))\b",
    r"\b(?:please|go ahead|your turn|i'm listening|i am listening|whenever you)\b",
    # What is missing.
    r"\b(?:need (?:a|an|the|one|some|just|only|you|to|is)|(?:start|begin) with)\b",
    r"\b(?:need|require|want|missing|like|take|have|get|hear|know|ask|asking|verify|check)"
    r" (?:you for |for |about )?(?:your|to know|to hear|to have|to get|to ask)\b",
    r"\b(?:like|know|ask|asking|hear|check) (?:which|what|whether|if)\b",
    r"\b(?:just|only|next|now|first|last|is) (?:the (?:last|first)|your)(?: [a-z'-]+){1,6}[.!]*$",
    r": (?:your|the) ",
    # A choice in a few words.
    r"(?:^|[.!] )(?:\w+ ){1,2}or \w+(?: \w+)?[.!]*(?:$| )",
    # Other languages: the particle or the request, where no mark tells.
    r"か(?:[。.]|$)|[吗嗎呢](?:[。.]|$)|(?:까|나요|가요)(?:[。.]|$)",
    r"\b(?:sagen sie|sag mir|drücken sie|nennen sie|bitte|diga|dígame|pulse|presione|por favor)\b",
    r"\b(?:dites|appuyez|indiquez|s'il vous plaît|dica|prema|digiti|per favore|prego|pressione)\b",
)
_REQUEST = re.compile("|".join(f"(?:{each})" for each in _REQUESTS))
"""Requests in casefolded text on one line. The work of each alternative is bounded."""
_UNFINISHED = frozenset({
    "a", "an", "the", "and", "or", "but", "to", "of", "for", "with", "in", "on", "at", "from", "my",
    "your", "his", "her", "our", "their", "is", "are", "was", "because", "if", "um", "uh", "uhm",
    "er", "i'd", "i'll", "that's", "it's", "um,", "uh,", "and,", "or,", "but,",
})  # fmt: skip
_DIGITS = {word: str(value) for value, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
)} | {"oh": "0", "o": "0", "nought": "0"}  # fmt: skip
_SEVERAL = frozenset({"double", "triple"})
_LONGEST_NUMBER = 200  # characters at the end that are searched
_WHOLE_NUMBER = 10  # digits
_ROUND_OR_YEAR = re.compile(r"\d+00|(?:19|20)\d\d")
_NUMBER_WANTED = re.compile(
    r"\b(?:number(?! of)|digits?|zip|postal|postcode|pin|code|extension|phone|telephone)\b"
)
_SHORTEST_BEGINNING = 3  # letters of a word that was cut; fewer are a word of their own


def has_words(text: str) -> bool:
    """Whether the text is not blank and not only marks."""
    return any(character.isalnum() for character in text)


def is_acknowledgement(text: str) -> bool:
    """Whether the text is only a backchannel word."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) in _ACKNOWLEDGEMENTS


def asks(text: str) -> bool:
    """Whether the agent's words hold a question or a request, so that "yes" is an answer."""
    if not _QUESTION_MARKS.isdisjoint(text):
        return True
    latest = text[-_LONGEST_REQUEST:].casefold().replace("\u2019", "'")
    plain = _WAITING.sub(" ", " ".join(latest.split()))
    return _REQUEST.search(plain) is not None


def is_unfinished(text: str) -> bool:
    """Whether English text breaks off in mid-sentence, so that more is likely to come."""
    words = text.casefold().split()
    return bool(words) and words[-1].rstrip("-…") in _UNFINISHED


def retells(before: str, now: str) -> bool:
    """Whether `now` is `before` again: with more words, fewer, or the last ones corrected."""
    old, new = _spoken(before), _spoken(now)
    if not old or not new or _is_group(old, new):
        return False
    if old == new[: len(old)] or repeats(before, now):
        return True
    return len(new) >= len(old) and _is_correction(_words(before), _words(now))


def repeats(before: str, now: str) -> bool:
    """Whether `now` is `before` again or the beginning of it."""
    old, new = _spoken(before), _spoken(now)
    return old[: len(new)] == new and not _is_group(old, new)


def _is_group(old: list[str], new: list[str]) -> bool:
    """Whether the old words are digits of a number, not the quantity the new ones begin with."""
    is_number = all(word.isdigit() for word in old)
    return is_number and (len(old) > 1 or len(new) < 2 or new[1].isdigit())


def questions(text: str) -> int:
    """The number of question marks."""
    return sum(map(text.count, "?？؟"))  # noqa: RUF001 (Chinese, Arabic)


def _is_correction(old: list[str], new: list[str]) -> bool:
    """The last old word must be there, or its beginning; a quarter before it may differ."""
    *first, last = old
    if first and first[0] != new[0]:
        return False
    differs = [(word, other) for word, other in zip(first, new, strict=False) if word != other]
    is_near = 4 * len(differs) <= len(old) and all(a[0] == b[0] for a, b in differs)
    is_cut = len(last) >= _SHORTEST_BEGINNING and new[len(first)].startswith(last)
    is_longer = len(new) > len(old)
    return is_near and ((is_longer and new[len(first)] == last) or (is_cut and not differs))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['\u2019][^\W_]+)*", text.casefold())


def _spoken(text: str) -> list[str]:
    return [_DIGITS.get(word, word) for word in _words(text)]


def is_dictating(text: str, *, is_wanted: bool) -> bool:
    """Whether more digits are likely to follow; `is_wanted`: the agent has asked for a number."""
    digits = list(_digits_at_end(text))
    if is_wanted or len(digits) > 2:
        return bool(digits)
    is_spelled = len(digits) == 2 and all(len(each) == 1 for each in digits)
    longer = (each for each in digits if len(each) > 2)
    return is_spelled or any(not _ROUND_OR_YEAR.fullmatch(each) for each in longer)


def is_whole_number(text: str) -> bool:
    """Whether the text ends in as many digits as a telephone number has."""
    return sum(map(len, _digits_at_end(text))) >= _WHOLE_NUMBER


def wants_number(text: str) -> bool:
    """Whether the agent asks for something of digits, not for a quantity."""
    return _NUMBER_WANTED.search(text[-_LONGEST_REQUEST:].casefold()) is not None and asks(text)


def _digits_at_end(text: str) -> Iterator[str]:
    for word in reversed(text[-_LONGEST_NUMBER:].casefold().replace("-", " ").split()):
        plain = word.strip(".,;:!?…()\"'")
        digits = "0" if plain in _SEVERAL else _DIGITS.get(plain, plain)
        if not (digits.isascii() and digits.isdecimal()):
            return
        yield digits
