"""Plain words, numbers, days and times of day in what a caller said.

`normalise` brings a text to the form that phrases of a script are matched against: lower case, no
punctuation, one space between words, numbers in digits ("fifteen hundred" is `1500`, "the third" is
`the 3rd`), `am` and `pm` as separate words. Every function accepts any text, and the last mention
counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from agent.call.text import NUMBER_WORDS

MAX_CHARACTERS = 4_000  # of a longer caller message the end is read
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_ORDINALS += " thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
_ORDINAL_WORDS = {word: value for value, word in enumerate(_ORDINALS.split(), start=1)}
_ORDINAL_WORDS |= {"twentieth": 20, "thirtieth": 30}
_SCALES = {"hundred", "thousand"}

_APOSTROPHES = {
    word.replace("'", ""): word for word in ("that's", "what's", "don't", "i'm", "it's", "doesn't")
}  # speech recognition often leaves the apostrophe out

_MONTHS = [date(2000, month, 1).strftime("%B").lower() for month in range(1, 13)]
_NEAR_DAYS = {"day after tomorrow": 2, "today": 0, "tonight": 0, "tomorrow": 1}
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_PLAIN_WORD = re.compile(r"[^\W_]+")
_BRACKET = re.compile(r"[\[\]]")
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)+|[^\W_]+(?:'[^\W_]+)*")
_GLUED_TIME = re.compile(r"(?<=\d)(am|pm)\b")
_SPACED_TIME = re.compile(r"(?<=\d) ([ap]) m\b")
_PROMPT_DATE = re.compile(rf"\b({'|'.join(_MONTHS)}) (\d{{1,2}}), (\d{{4}})\b", re.IGNORECASE)
_DATE = re.compile(
    rf"\b(?:(?<!help )(?<!all )(?<!all for )(?P<near>{'|'.join(_NEAR_DAYS)})"
    r"|in (?P<ahead>\d{1,2}) days"
    rf"|(?P<weekday>{'|'.join(_WEEKDAYS)})"
    r"|(?P<year>20\d\d) (?P<number>0?[1-9]|1[0-2]) (?P<numbered>\d{1,2})"
    rf"|(?P<month>{'|'.join(_MONTHS)})(?: the)? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?"
    rf"|(?P<day_first>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month_last>{'|'.join(_MONTHS)})"
    r"|(?P<this_month>\d{1,2})(?:st|nd|rd|th) of (?:this|the) month"
    r"|(?:the|on) (?P<alone>\d{1,2})(?:st|nd|rd|th)(?! (?:of|1|floor|slot|time|tour)\b))\b"
)
_PERIOD = (
    r" ?(?:o'clock )?(?P<half>am|pm|in the (?:morning|afternoon|evening)|at night|sharp|o'clock)"
)
_CLOCK = r"(?P<hour>\d{1,2}?):?(?P<minute>[0-5]\d)?"
_TIME = re.compile(
    r"\b(?:(?P<noon>noon|midday)|(?P<part>half|quarter) (?P<side>past|to) (?P<near>\d{1,2})"
    rf"(?: (?P<part_half>am|pm))?|{_CLOCK}{_PERIOD}"
    r"|(?P<hour24>[01]?\d|2[0-3]):(?P<minute24>[0-5]\d)"
    r"|(?:at|around|about|by) (?P<bare>\d{1,2})(?!:| (?:am|pm|in the|at night)\b))\b"
)
_BARE_TIME = re.compile(r"\b(?P<hour>\d{1,2}?):?(?P<minute>[0-5]\d)?\b")


def normalise(text: str) -> str:
    """The form that phrases are matched against; normalising it again changes nothing."""
    lowered = text[-MAX_CHARACTERS:].lower().replace("\u2019", "'")
    tokens = [_APOSTROPHES.get(token, token).replace(",", "") for token in _TOKEN.findall(lowered)]
    joined = " ".join(_numbers_as_digits(tokens))
    return _SPACED_TIME.sub(r" \1m", _GLUED_TIME.sub(r" \1", joined))


def _numbers_as_digits(tokens: list[str]) -> Iterator[str]:
    position = 0
    while position < len(tokens):
        text, length = _number_at(tokens, position)
        yield text
        position += length


def _number_at(tokens: list[str], start: int) -> tuple[str, int]:
    first, *following = tokens[start : start + 12]
    if first in _ORDINAL_WORDS:
        return _ordinal(_ORDINAL_WORDS[first]), 1
    if first in NUMBER_WORDS:
        return _number(NUMBER_WORDS[first], following)
    if re.fullmatch(r"[0-9]{1,3}", first) and following and following[0] in _SCALES:
        return _number(int(first), following)
    return first, 1


def _number(group: int, following: list[str]) -> tuple[str, int]:
    """Continue a number while the words belong to it: "two" "thousand" "and" "fifty"."""
    total, taken = 0, 1
    for position, word in enumerate(following):
        value = NUMBER_WORDS.get(word, 0)
        if word in _ORDINAL_WORDS and _takes_unit(group, _ORDINAL_WORDS[word]):
            return _ordinal(group + _ORDINAL_WORDS[word]), position + 2
        if word == "thousand" and 0 < group < 1_000 and not total:
            total, group = 1_000 * group, 0
        elif word == "hundred" and 0 < group < 100:
            group *= 100
        elif value and (_takes_unit(group, value) or _takes_rest(total, group, value)):
            group += value
        elif value >= 10 and 0 < group < 100 and not total:
            group = group * 100 + value
        elif word != "and" or total + group < 100:
            break
        else:
            continue
        taken = position + 2
    return str(total + group), taken


def _takes_unit(group: int, value: int) -> bool:
    return group % 10 == 0 and group % 100 >= 20 and value < 10


def _takes_rest(total: int, group: int, value: int) -> bool:
    return value < 100 and (group >= 100 or total > 0) and group % 100 == 0


def _ordinal(value: int) -> str:
    suffix = "th" if 10 < value < 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{suffix}"


def plain(text: str) -> str:
    """The words only, to compare sentences whatever the speech filters changed."""
    return " ".join(_PLAIN_WORD.findall(text.lower()))


def split_notes(text: str) -> tuple[str, list[str]]:
    """What was said, and the notes in square brackets, which may hold brackets themselves."""
    said, notes = list[str](), list[str]()
    depth = start = 0
    for bracket in _BRACKET.finditer(text):
        if bracket[0] == "[":
            depth += 1
            if depth == 1:
                said.append(text[start : bracket.start()])
                start = bracket.end()
        elif depth:
            depth -= 1
            if not depth:
                notes.append(text[start : bracket.start()])
                start = bracket.end()
    said.append(text[start:])
    return " ".join(said), notes


def date_of_prompt(system: str) -> date | None:
    """The first date written like "March 05, 2026" in a system prompt."""
    if (found := _PROMPT_DATE.search(system)) is None:
        return None
    return _day(int(found[3]), _MONTHS.index(found[1].lower()) + 1, int(found[2]))


def find_date(text: str, today: date) -> date | None:
    """The last day mentioned in normalised text; a weekday or a bare day is the next one."""
    days = [day for found in _DATE.finditer(text) if (day := _date(found, today)) is not None]
    return days[-1] if days else None


def _date(found: re.Match[str], today: date) -> date | None:
    part = found.groupdict()
    if part["near"]:
        return today + timedelta(days=_NEAR_DAYS[part["near"]])
    if part["ahead"]:
        return today + timedelta(days=int(part["ahead"]))
    if part["weekday"]:
        ahead = (_WEEKDAYS.index(part["weekday"]) - today.weekday() - 1) % 7 + 1
        return today + timedelta(days=ahead)
    if part["year"]:
        return _day(int(part["year"]), int(part["number"]), int(part["numbered"]))
    if day_of_month := part["alone"] or part["this_month"]:
        return _next_day(today, None, int(day_of_month))
    month = _MONTHS.index(part["month"] or part["month_last"]) + 1
    return _next_day(today, month, int(part["day"] or part["day_first"]))


def _next_day(today: date, month: int | None, day: int) -> date | None:
    """The next such day from today on, looking no further than a year ahead."""
    for ahead in range(13):
        year, number = divmod(today.month - 1 + ahead, 12)
        candidate = _day(today.year + year, number + 1, day)
        if candidate and candidate >= today and month in (None, candidate.month):
            return candidate
    return None


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def find_time(text: str, *, is_answer: bool = False) -> str | None:
    """The last time of day in normalised text, like `2:00 PM`; in an answer also a bare "three"."""
    times = [time for found in _TIME.finditer(text) if (time := _time(found)) is not None]
    if not times and is_answer:
        bare = (_clock(found["hour"], found["minute"], "") for found in _BARE_TIME.finditer(text))
        times = [time for time in bare if time is not None]
    return times[-1] if times else None


def _time(found: re.Match[str]) -> str | None:
    part = found.groupdict()
    if part["noon"]:
        return "12:00 PM"
    if part["part"]:
        hour, minutes = int(part["near"]), 30 if part["part"] == "half" else 15
        if part["side"] == "to":
            hour, minutes = (hour + 10) % 12 + 1, 60 - minutes
        return _clock(str(hour), str(minutes), part["part_half"] or "")
    if part["hour24"]:
        return _clock(part["hour24"], part["minute24"], "")
    return _clock(part["hour"] or part["bare"], part["minute"], part["half"] or "")


def _clock(hour_text: str, minute_text: str | None, half: str) -> str | None:
    """Twelve-hour form; without AM or PM an hour is taken as between 8 AM and 7 PM."""
    hour, minute = int(hour_text), int(minute_text or 0)
    if hour > 23 or (hour == 0 and half):
        return None
    if hour > 12 or hour == 0:
        return f"{(hour + 11) % 12 + 1}:{minute:02} {'PM' if hour else 'AM'}"
    is_bare = half in {"", "sharp", "o'clock"}
    is_morning = half in {"am", "in the morning"} or (is_bare and 8 <= hour < 12)
    return f"{hour}:{minute:02} {'AM' if is_morning else 'PM'}"


def join(texts: Sequence[str], conjunction: str = "and") -> str:
    """A list as people say it: "one, two and three"."""
    said = [text for text in texts if text]
    return f" {conjunction} ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))
