"""Whether the caller has finished: how long to wait for more words before the answer.

`answer_after_ms` judges from all words since the agent's last ones, and from those: what the agent
has asked for sets what a complete answer is.

| the caller's words | wait |
|---|---|
| a number with all its digits, a question, any complete sentence | none |
| too few digits, a number of unknown length, "sure, it's" when asked for one | `end_of_number_ms` |
| spelled letters, an address without its end | `end_of_turn_ms` |
| "um", "no wait", "I would like", "two pizzas and": more is needed | `end_of_turn_ms` |
| "Hello.", "Sure." after an open question, "This is Ann Lee.", "If it rains" | half of it |

In doubt a sentence is complete: a reply that was not heard yet gives way to the caller's voice
(`agent.call.conversation`), so a wrong guess is heard only after a longer pause. Rejected: a wait
after each sentence, which all callers would pay for; and marks of speech recognition as a sign of
completeness, because it ends fragments with a full stop, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agent.call.answer_kind import NUMBERS, AnswerKind, ExpectedAnswer
from agent.call.config import Limits
from agent.call.dictation import dictated
from agent.call.languages import offers_help, turn_words
from agent.call.languages.turn_words import TurnWords, words
from agent.call.utterance_analysis import asks

_LONGEST = 600
"""Characters at the end of the caller's words, and of the agent's, that are judged."""
_INTERNATIONAL = 11
"""Digits of a number that begins with the 1 of North America."""
_LONGEST_UNKNOWN = 16
"""Digits of the longest number of unknown length, a card's."""
_LONGEST_CODE = 34
"""The same with letters: an IBAN's."""
_LONGEST_ZIP = 5
_SHORT_ANSWER = 4
_SHORT_CLAUSE = 2
_SHORT_PHRASE = 6
_FEW_WORDS = 8
_NAME = 2
_SPELLED = 2
_APOLOGISING = frozenset({"i'm", "am", "so", "really", "very"})
_TOKEN = re.compile(r"\d+[.,:]\d+(?![\d.,:])|[^\W_]+(?:['\u2019][^\W_]+)*['\u2019]?")
_SENTENCES = re.compile(r"[.!?](?:\s|$)")
_DANGLING = re.compile(r"(?:,|-|\u2013|\u2014)\s*$")
_EMAIL_END = words("com net org edu de fr es uk io mx ch at be ca eu")
_EMAIL = re.compile(r"@\S+\.\w{2,}\W*$")
_ROUND_OR_YEAR = re.compile(r"\d+00|(?:19|20)\d\d")
_FULL_DATE = re.compile(r"(?:19|20)\d\d|\d{6,8}|.*(?:19|20)\d\d")
_POSTAL_CODE = re.compile(r"\d{5}(?:\d{4})?|[a-z]{1,2}\d[a-z\d]?\d[a-z]{2}|(?:[a-z]\d){3}")
"""Of the United States, Spain, Germany, France; of the United Kingdom; of Canada."""
_WORDS = ExpectedAnswer(AnswerKind.WORDS)


def answer_after_ms(said: str, question: str, language: str, limits: Limits) -> int:
    """How long to wait for more words of the caller, in ms; 0 = the answer is due now.

    Args:
        said: All words of the caller since the agent's last ones.
        question: The agent's last words.
        language: Of the call, BCP 47. Of an unknown language nothing is judged.
        limits: The waits, and what a complete answer to a question is.
    """
    words = turn_words(language)
    if words is None:
        return 0
    judged = _Utterance(said[-_LONGEST:], question[-_LONGEST:], words, language, limits.expects)
    if judged.is_question or not judged.has_words:
        return 0
    if judged.is_part_of_number:
        return limits.end_of_number_ms
    if judged.is_part_of_spelling or judged.is_part_of_answer or judged.needs_more:
        return limits.end_of_turn_ms
    return limits.end_of_turn_ms // 2 if judged.leads_in else 0


class _Utterance:
    """The caller's words so far, beside the agent's."""

    def __init__(
        self,
        said: str,
        question: str,
        words: TurnWords,
        language: str,
        expects: Mapping[str, ExpectedAnswer],
    ) -> None:
        self._text = said.strip()
        self._said: Sequence[str] = _TOKEN.findall(_plain(said).replace("-", " "))
        self._line = " ".join(self._said)
        self._question = _plain(question)
        self._last_sentence = _SENTENCES.split(self._question.rstrip(" .!?\u2026"))[-1]
        self._is_asked = asks(question)
        self._words = words
        self._language = language
        self._said_set = frozenset(self._said)
        self._known = (*expects.items(), *words.lengths.items())
        self._dictated = dictated(self._said, words)
        self._before = " ".join(self._said[: self._dictated.begins_at])
        self._asked = self._asked_for() if self._is_asked else None
        self._expected = self._asked or _WORDS

    def _asked_for(self) -> ExpectedAnswer | None:
        """What the last sentence asks for; all of them, if it is no question itself."""
        asked = self._kind_in(self._last_sentence)
        is_question = self._question.rstrip().endswith("?")
        return asked or (None if is_question else self._kind_in(self._question))

    def _kind_in(self, text: str) -> ExpectedAnswer | None:
        found = next((kind for words, kind in self._known if words in text), None)
        kinds = (kind for kind, words in self._words.asks.items() if words.search(text))
        kind = next(kinds, None)
        return found or (None if kind is None else ExpectedAnswer(kind))

    @property
    def has_words(self) -> bool:
        return bool(self._said)

    @property
    def is_question(self) -> bool:
        return self._text.endswith(("?", "\uff1f"))

    @property
    def is_part_of_number(self) -> bool:
        asked, said = self._expected.kind in NUMBERS, self._dictated
        if not asked and self._asked:
            return False
        has_address = self._words.streets.search(self._before) is not None
        is_named = self._words.names_number.search(self._before) and not has_address
        if said.code and (asked or is_named):
            named = self._expected if asked else self._kind_in(self._before) or _WORDS
            return said.has_more or not self._is_whole(said.code, named)
        if said.groups and not asked:
            return self._is_dictated and not self._is_whole(said.digits, _WORDS)
        has_number = any(map(self._is_number, self._said))
        is_consent = self._line in self._words.consents and self._is_asked_openly
        return asked and not has_number and (is_consent or self.needs_more)

    def _is_number(self, word: str) -> bool:
        return any(map(str.isdigit, self._words.digits.get(word, word)))

    def _is_whole(self, code: str, expected: ExpectedAnswer) -> bool:
        """A number of which nothing is known is a telephone number."""
        length = expected.length
        if expected.kind in (AnswerKind.PHONE, AnswerKind.WORDS):
            length = self._words.phone_length(self._language)
            is_international = "+" in self._text or "plus" in self._said
            if is_international or (length == _INTERNATIONAL - 1 and code.startswith("1")):
                length = _INTERNATIONAL if code.startswith("1") else 0
        elif expected.kind is AnswerKind.POSTAL_CODE:
            return _POSTAL_CODE.fullmatch(code) is not None
        longest = _LONGEST_UNKNOWN if code.isdecimal() else _LONGEST_CODE
        return len(code) >= (length or longest)

    @property
    def _is_dictated(self) -> bool:
        """Whether the digits are of a number that is dictated, unasked; no quantity."""
        groups = self._dictated.groups
        has_address = self._words.streets.search(self._line) is not None
        if len(groups) > 2 or len(self._dictated.digits) > _LONGEST_ZIP:
            return not has_address
        has_zip = len(self._said) > _SHORT_ANSWER and _POSTAL_CODE.fullmatch(groups[-1])
        is_quantity = self._before.rpartition(" ")[2] in self._words.quantities
        if has_address or has_zip or is_quantity or not self._is_free:
            return False
        is_spelled = len(groups) == 2 and all(len(each) == 1 for each in groups)
        longer = (each for each in groups if len(each) > 2)
        return is_spelled or any(not _ROUND_OR_YEAR.fullmatch(each) for each in longer)

    @property
    def is_part_of_spelling(self) -> bool:
        said, words = self._said, self._words
        letters = 0
        for word in reversed(said):
            if len(word) > 1 or word.isdigit():
                break
            letters += 1
        is_time = said[-1] == "m" and said[-2:-1] in (["a"], ["p"])  # half past five p m
        has_code = self._dictated.has_letters and not is_time
        match self._expected.kind:
            case AnswerKind.SPELLING:
                has_mark = said[-1] in words.spelling_marks and any(len(one) == 1 for one in said)
                return has_code or has_mark or (len(said) <= _NAME and self._is_plain_answer)
            case AnswerKind.NAME:
                is_marked = len(said) > 1 and said[-1] in words.spelling_marks
                return is_marked or letters > 0 or (has_code and not self._dictated.groups)
            case AnswerKind.WORDS:
                return letters >= _SPELLED and not is_time
            case _:
                return False

    @property
    def is_part_of_answer(self) -> bool:
        """Whether the question that was asked has an answer by now, but a part of it is missing."""
        has_number = any(map(self._is_number, self._said))
        match self._expected.kind:
            case AnswerKind.ADDRESS:
                has_street = self._words.streets.search(self._line) is not None
                return (has_number or has_street) and not self._is_address
            case AnswerKind.DATE:
                is_refused = not self._said_set.isdisjoint(
                    self._words.answers | self._words.negations
                )
                is_date = has_number or (len(self._said) <= _SHORT_PHRASE and not is_refused)
                return is_date and _FULL_DATE.fullmatch(self._dictated.digits) is None
            case AnswerKind.EMAIL:
                is_short = len(self._said) <= _NAME and self._is_plain_answer
                has_mark = not self._words.email_marks.isdisjoint(self._said) or "@" in self._text
                has_end = self._said[-1] in _EMAIL_END and self._said[-2:-1] != []
                is_spoken = has_end and self._said[-2] in self._words.email_marks
                is_whole = is_spoken or _EMAIL.search(self._text) is not None
                return (is_short or has_mark or self._dictated.has_letters) and not is_whole
            case _:
                return False

    @property
    def _is_address(self) -> bool:
        """Whether it has a postal code, and something else with a number."""
        if _POSTAL_CODE.fullmatch(self._dictated.code.lower()):
            return len(self._said) > 1
        numbers = [one for one in self._said if any(map(str.isdigit, one))]
        has_code = any(_POSTAL_CODE.fullmatch(one) for one in numbers)
        return has_code and sum(map(self._is_number, self._said)) > 1

    @property
    def _is_plain_answer(self) -> bool:
        """Words that begin as a name does, and no sentence of another kind."""
        words = self._words
        others = words.answers | words.negations | words.subjects | words.before_phrases
        is_consent = self._line in words.consents
        return not (is_consent or any(word in others for word in self._said))

    @property
    def _is_free(self) -> bool:
        """The agent has asked for nothing, or for anything."""
        return not self._is_asked or offers_help(self._question)

    @property
    def needs_more(self) -> bool:
        """Whether the last words cannot be the end of a sentence."""
        words, last = self._words, self._said[-1]
        if self._line in words.openers or self._line in words.whole:
            return False
        if last in words.hesitations:
            return True
        if correction := self._ending_of(words.corrections):
            before = self._said[: len(self._said) - len(correction.split())]
            is_sorry = correction in words.apologies and not words.negations.isdisjoint(before)
            is_answer = is_sorry or words.answers.issuperset(before)
            if not is_answer and before[-1] not in _APOLOGISING:
                return True
        lead_in = self._ending_of(words.lead_ins)
        if lead_in and not (self._begins_short_answer or self._is_relative(lead_in)):
            return True
        has_gap = self._is_question_clause or self._has_infinitive
        if last in words.open_words:
            is_pronoun = last in words.subjects and not words.auxiliaries.isdisjoint(
                self._said[-2:-1]
            )
            is_asked = self._asks_for_word or self._has_infinitive or (is_pronoun and has_gap)
            return not (last in words.stranded and (is_asked or self._begins_short_answer))
        ends_clause = len(self._said) > _SHORT_CLAUSE and self._said[-2] in words.subjects
        is_longer = len(self._said) > _SHORT_CLAUSE + 1
        ends_clause = ends_clause and (is_longer or self._said[-3] not in words.before_clauses)
        if last in words.transitive:
            return not (self._is_question_clause or ends_clause)
        if last in words.auxiliaries:
            return not (has_gap or ends_clause or self._is_short_answer)
        return _DANGLING.search(self._text) is not None

    @property
    def leads_in(self) -> bool:
        """Whether what the caller wants probably comes next."""
        words, line = self._words, self._line
        if line in words.whole:
            return False
        if line in words.openers or words.announces.fullmatch(line):
            return True
        if self._is_asked_openly and line in words.consents:
            return True
        is_named = self._expected.kind is AnswerKind.NAME
        if words.introduces.fullmatch(line) and not is_named:
            return True
        if self._is_phrase or (self._is_free and words.topics.fullmatch(line)):
            return True
        *before, last = self._said
        is_number = last in words.digits or last.isdecimal()
        if self._is_free and is_number and self._ending(before, words.lead_ins):
            return True
        is_town_missing = words.has_town_last and self._dictated.begins_at < len(self._said)
        if self._expected.kind is AnswerKind.ADDRESS and is_town_missing:
            return True
        is_place = self._expected.kind is AnswerKind.ADDRESS and len(self._said) <= _SHORT_CLAUSE
        if is_place and self._is_plain_answer:
            return True
        is_condition = any(line.startswith(f"{each} ") for each in words.conditions)
        return is_condition and len(self._said) <= _FEW_WORDS and "," not in self._text

    @property
    def _is_phrase(self) -> bool:
        """As in "for Tuesday", where nothing of the kind was asked."""
        words, passed = self._words, self._words.hesitations | self._words.before_phrases
        first = next((word for word in self._said if word not in passed), "")
        is_short = len(self._said) <= _SHORT_PHRASE and self._said[-1] not in words.courtesies
        is_question = self._said[0] in words.auxiliaries or not words.questions.isdisjoint(
            self._said
        )
        return self._is_free and is_short and not is_question and first in words.phrase_starts

    @property
    def _is_asked_openly(self) -> bool:
        return self._is_asked and self._words.asks_openly.search(self._last_sentence) is not None

    @property
    def _is_short_answer(self) -> bool:
        """As in "Yes, it is." or "I do.", not "It is", which a name or a number may follow."""
        stands_alone = len(self._said) == 2 and self._said[0] in self._words.subjects
        return (stands_alone and self._is_asked and not self._is_free) or self._begins_short_answer

    @property
    def _begins_short_answer(self) -> bool:
        return 1 < len(self._said) <= _SHORT_ANSWER and self._said[0] in self._words.answers

    @property
    def _has_infinitive(self) -> bool:
        """As in "something to sit on", not "I'd like to come at"."""
        at = next((at for at in range(len(self._said) - 2, 0, -1) if self._said[at] == "to"), 0)
        return (
            len(self._said) - at < 5 and bool(at) and self._said[at - 1] not in self._words.wishes
        )

    @property
    def _is_question_clause(self) -> bool:
        """As in "who is it for" or "is that what you have"."""
        words, said = self._words, self._said
        return said[0] in words.auxiliaries or self._asks_for_word

    @property
    def _asks_for_word(self) -> bool:
        """As in "who is it for", not "what I need is a table for"."""
        said, words = self._said, self._words
        places = [at for at, word in enumerate(said[:-2]) if word in words.questions]
        is_subject = bool(places) and said[places[-1] + 1] in words.subjects
        is_over = is_subject and not words.auxiliaries.isdisjoint(said[places[-1] + 2 : -1])
        return bool(places) and not is_over

    def _is_relative(self, lead_in: str) -> bool:
        """As in "that is all I need": the phrase ends a clause, and begins none."""
        said, words = self._said, self._words
        length = len(lead_in.split())
        *earlier, sentence = _SENTENCES.split(_plain(self._text).rstrip(" .!"))
        if earlier and _TOKEN.findall(sentence.replace("-", " ")) == lead_in.split():
            return False
        if any(word in words.questions for word in said[:-length]):
            return True
        before = said[-length - 1 : -length]
        is_clause = said[-length] in words.subjects
        return (
            bool(is_clause and words.before_clauses and before)
            and before[0] not in words.before_clauses | words.hesitations
        )

    def _ending_of(self, phrases: Sequence[str]) -> str:
        """The longest of these phrases that the words end with."""
        return self._ending(self._said, phrases)

    @staticmethod
    def _ending(said: Sequence[str], phrases: Sequence[str]) -> str:
        line = f" {' '.join(said)}"
        return next((one for one in phrases if line.endswith(f" {one}")), "")


def _plain(text: str) -> str:
    return text.casefold().replace("\u2019", "'")
