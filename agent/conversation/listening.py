"""What a caller's words are, before they are a turn: nothing, a nod, or half a sentence.

A nod is not answered, so an answer that is taken for one leaves the caller in silence; a nod that
is taken for an answer costs a sentence. So words like "sure" are a nod only after words of the
agent that plainly ask for nothing (`asks`): no question anywhere in them, with its mark or without,
and no request for a word, a number or a key. In doubt they are an answer.
"""

from __future__ import annotations

import re

_ACKNOWLEDGEMENTS = frozenset({
    "mm", "mhm", "mmhm", "mm hm", "mm hmm", "hmm", "uh huh", "uhhuh", "ok", "okay", "okay okay",
    "right", "yeah", "yeah yeah", "yep", "yes", "sure", "i see", "got it", "alright", "all right",
    "good", "great",
})  # fmt: skip
_LONGEST_REQUEST = 2_000
"""Characters in which a request without a question mark is looked for: the last two minutes."""
_QUESTION_MARKS = frozenset("?¿？؟՞፧⁇⁈⁉\u037e")  # noqa: RUF001 (also of other scripts)
_WAITING = re.compile(
    r"\b(?:please )?(?:(?:give me|wait|just|hold on|bear with me|it will take)(?: for)? )?"
    r"(?:a|one|another|a few|two) (?:short |little |quick )?(?:moment|second|minute|sec)s?\b"
    r"(?:,? please)?|\b(?:please )?(?:hold on|hold the line|bear with me|stay on the line|wait)\b"
    r"(?:,? please)?"
)
"""Asks for patience and for no word."""
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
"""Words that ask, in casefolded text on one line. Each alternative reads only what is near."""
_UNFINISHED = frozenset({
    "a", "an", "the", "and", "or", "but", "to", "of", "for", "with", "in", "on", "at", "from", "my",
    "your", "his", "her", "our", "their", "is", "are", "was", "because", "if", "um", "uh", "uhm",
    "er", "i'd", "i'll", "that's", "it's", "um,", "uh,", "and,", "or,", "but,",
})  # fmt: skip


def has_words(text: str) -> bool:
    """There is something to answer: not blank, not only marks."""
    return any(character.isalnum() for character in text)


def is_acknowledgement(text: str) -> bool:
    """All of it only says "go on" (practice section 4.2)."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) in _ACKNOWLEDGEMENTS


def asks(text: str) -> bool:
    """Something in it is a question or a request, so that "yes" is an answer and not a nod."""
    if not _QUESTION_MARKS.isdisjoint(text):
        return True
    latest = text[-_LONGEST_REQUEST:].casefold().replace("\u2019", "'")
    plain = _WAITING.sub(" ", " ".join(latest.split()))
    return _REQUEST.search(plain) is not None


def is_unfinished(text: str) -> bool:
    """English that breaks off in mid-sentence: more is likely to come (practice section 4.4)."""
    words = text.casefold().split()
    return bool(words) and words[-1].rstrip("-…") in _UNFINISHED
