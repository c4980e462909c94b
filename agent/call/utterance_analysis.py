"""What the caller's words are: an answer, a backchannel, or words given again.

A backchannel is not answered, so taking an answer for one leaves the caller in silence: words like
"sure" are one only after words of the agent that ask for nothing (`asks`). In doubt they are an
answer. Speech recognition may give an utterance again, longer or corrected (`retells`). In doubt
the words are new; digits always are, because a number is dictated in groups that may be equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.call.answer_kind import NUMBERS
from agent.call.languages import nods_of, turn_words
from agent.call.languages.turn_words import TurnWords

_MOST_OF_A_BACKCHANNEL = 6  # words
_LONGEST_WISH = 16  # words
_NO = re.compile(r"^\W*(?:no|nein|non)[.,;!]+\s", re.IGNORECASE)
"""Before a wish; without a mark it may be the negation of what follows."""
_SENTENCE_ENDS = re.compile(r"[.!?]\s")
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
    r"\b(?:donnez|il (?:me|nous) faut|besoin (?:de|d'un)|necesit(?:o|amos)|deme|ich br(?:auche"
    r"|äuchte))\b",
    r"\b(?:dites|appuyez|indiquez|s'il vous plaît|dica|prema|digiti|per favore|prego|pressione)\b",
)
_REQUEST = re.compile("|".join(f"(?:{each})" for each in _REQUESTS))
"""Requests in casefolded text on one line. The work of each alternative is bounded."""
_DIGITS = {word: str(value) for value, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
)} | {"oh": "0", "o": "0", "nought": "0"}  # fmt: skip
_LONGEST_QUESTION = 200
_LONGEST_PREPOSITION = 3  # letters, as in "for which"
_BETWEEN_CLAUSES = re.compile(r"[,:;\u00bf\u2014]")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])")
_SHORTEST_BEGINNING = 3  # letters of a word that was cut; fewer are a word of their own


def has_words(text: str) -> bool:
    """Whether the text is not blank and not only marks."""
    return any(character.isalnum() for character in text)


def is_acknowledgement(text: str, language: str) -> bool:
    """Whether the text is only backchannels of this language, a BCP 47 tag."""
    words = _words(text.replace("\u2019", "'"))
    return 0 < len(words) <= _MOST_OF_A_BACKCHANNEL and _are_nods(words, nods_of(language))


def _are_nods(words: Sequence[str], nods: frozenset[str]) -> bool:
    ends = (end for end in range(1, len(words) + 1) if " ".join(words[:end]) in nods)
    return not words or any(_are_nods(words[end:], nods) for end in ends)


def asks_for_moment(text: str, language: str) -> bool:
    """Whether the caller asks for time, perhaps with the reason, and for nothing else."""
    table = turn_words(language)
    words = " ".join(_words(text.replace("\u2019", "'")))
    return table is not None and table.moment.fullmatch(words) is not None


def asks_for_person(text: str, question: str, language: str) -> bool:
    """Whether the caller asks for a person, and for nothing else.

    A noun alone ("operator") is none after a question of the agent about persons or numbers.
    """
    table, words = turn_words(language), _words(_NO.sub("", text.replace("\u2019", "'")))
    if table is None or not 0 < len(words) <= _LONGEST_WISH:
        return False
    line = " ".join(words)
    if table.person.fullmatch(line):
        return True
    asked = _SENTENCE_ENDS.split(question.casefold().rstrip(" .!?\u2026"))[-1]
    is_answer = asks(question) and table.about_persons.search(asked) is not None
    return not is_answer and table.person_alone.fullmatch(line) is not None


def asks_for_number(question: str, language: str) -> bool:
    """Whether the agent has asked for a number, so that a key is one of its digits."""
    if (table := turn_words(language)) is None or not asks(question):
        return False
    asked = question.casefold()
    return any(kind in NUMBERS and words.search(asked) for kind, words in table.asks.items())


def asks_for_call_back(text: str, language: str) -> bool:
    """Whether a caller who has the choice wants to be called back, and says nothing else."""
    table, line = turn_words(language), " ".join(_words(text.replace("\u2019", "'")))
    return table is not None and table.call_back.fullmatch(line) is not None


def goes_on_waiting(text: str, language: str) -> bool:
    """Whether a caller who has the choice goes on waiting."""
    table = turn_words(language)
    waits = table is not None and table.waits.fullmatch(" ".join(_words(text))) is not None
    return waits or asks_for_moment(text, language) or is_acknowledgement(text, language)


def asks(text: str) -> bool:
    """Whether the agent's words hold a question or a request, so that "yes" is an answer."""
    if not _QUESTION_MARKS.isdisjoint(text):
        return True
    latest = text[-_LONGEST_REQUEST:].casefold().replace("\u2019", "'")
    plain = _WAITING.sub(" ", " ".join(latest.split()))
    return _REQUEST.search(plain) is not None


def open_question(text: str) -> str:
    """The last sentence of the agent's words that asks for something, to be asked again.

    Empty if there is none, if it was cut off, or is longer than `_LONGEST_QUESTION` characters.
    """
    sentences = reversed(_BETWEEN_SENTENCES.split(text.strip()))
    question = next((each for each in sentences if asks(each)), "")
    is_whole = question.endswith((*_QUESTION_MARKS, ".", "!", "\u3002", "\uff01"))
    return question if is_whole and len(question) <= _LONGEST_QUESTION else ""


def is_answered_by_yes(question: str, language: str) -> bool:
    """Whether "yes" may answer it; not if a clause of it begins like "which" or "to which"."""
    words = turn_words(language)
    if words is None:
        return True
    clauses = _BETWEEN_CLAUSES.split(question.casefold().replace("\u2019", "'"))
    return not any(_begins_openly(clause.strip(), words) for clause in clauses)


def _begins_openly(clause: str, words: TurnWords) -> bool:
    found = words.asks_openly.search(clause)
    before = clause[: found.start()].split() if found else [clause]
    return not before or (len(before) == 1 and len(before[0]) <= _LONGEST_PREPOSITION)


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
