"""The part of a reply that is for the caller: without thoughts, control tokens and tool calls.

- A marker may come in any number of deltas. Text waits only while it may be the beginning of a
  marker, and each decision depends on the text alone, not on where it was cut.
- After a tool call nothing is said: what a model writes then is made up.
- Work is linear in the text, with a bounded look-ahead; a JSON object is read once.

Rejected: one regular expression over the whole reply, which would have to wait for its end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.call.hidden_markup import (
    CUT_CALL,
    HEADER_CHARACTERS,
    HIDDEN,
    MarkupKind,
    header,
    is_beginning,
    kind_of,
    read_json,
)

_LONGEST_TAG = 100
_LONGEST_OBJECT = 1_000  # characters of a JSON object after which it is no tool call
_BARS = "|\uff5c\u2016"
_PLAIN_BARS = str.maketrans({"\uff5c": "|", "\u2016": "|", "\u2581": "_", " ": None})

_ANALYSIS = "analysis"
_COMMENT_END = "-->"  # outside of a comment this is an arrow
_FIXED = (
    "<!--", _COMMENT_END, "<<SYS>>", "<</SYS>>", "◁think▷", "◁/think▷",
    "assistantfinal", "assistantcommentary", "assistantanalysis",
)  # fmt: skip
_LONGER = ("functions.", _ANALYSIS)  # markers only with what follows them
_BEGINNINGS = frozenset(word[:size] for word in (*_FIXED, *_LONGER) for size in range(1, len(word)))
_MAY_BEGIN = re.compile(  # each way begins with a character, which `re` then looks for first
    "|".join(
        (
            *map(re.escape, ("<", "[", "{", "`", *_FIXED, *_LONGER)),
            *(rf"{re.escape(one)}\Z" for one in sorted(_BEGINNINGS)),
        )
    )
)
_ANGLE_END = re.compile(r"[<>]")
_SPECIAL = re.compile(rf"<([{_BARS}]*)([^<>]*?)([{_BARS}]*)>")
_TAG = re.compile(r"<(/?)(?:\w+:)?([A-Za-z]\w*)(?:[\s=/][^<>]*)?>")
_SQUARE = re.compile(r"\[(?:/?[A-Z][A-Z_]{2,30}|\|/?\w{1,40}\|)\]")
_SQUARE_CALL = re.compile(r"\[\s{0,3}[A-Za-z_]\w{0,40}\(\s{0,3}(?:\)|\w{1,40}\s{0,3}=)")
_SQUARE_GROWS = re.compile(
    r"\[(?:/?[A-Z_]{0,31}|\|/?\w{0,40}\|?"
    r"|\s{0,3}(?:[A-Za-z_]\w{0,40}(?:\(\s{0,3}(?:\w{1,40}\s{0,3})?)?)?)\Z"
)
_FENCE_CALL = re.compile(r"```\w{0,20}(?:tool|function)\w{0,20}(?!\w)")
_FENCE_GROWS = re.compile(r"`{1,3}\w{0,40}\Z")
_FUNCTION = re.compile(r"functions\.\w{1,64}(?::\d|\s{0,3}[({])")
_FUNCTION_GROWS = re.compile(r"functions\.\w{0,64}(?::|\s{1,3})?\Z")
_OBJECT = re.compile(r"\{\s{0,20}[\"']")
_OBJECT_GROWS = re.compile(r"\{\s{0,20}\Z")
_HEADER_END = re.compile(r"<|(?<=\S)\n")


@dataclass(frozen=True, slots=True)
class _Marker:
    key: str
    kind: MarkupKind
    length: int


_CALL = _Marker("", MarkupKind.CALL, 1)
_MORE = _Marker("", MarkupKind.TOKEN, 0)  # more text is needed to decide


class MarkupFilter:
    """The filter of one reply; not reusable."""

    def __init__(self) -> None:
        self.has_call = False
        self._held = self._before = self._opening = self._last_said = ""
        self._at = self._no_call_until = self._depth = 0
        self._is_of_others = self._has_begun = self._is_gap = False

    def read(self, more: str, *, is_whole: bool = False) -> str:
        """The words of the next delta; `is_whole`: it is the last one."""
        text, at, said = self._held + more, 0, list[str]()
        while not self.has_call and (start := _MAY_BEGIN.search(text, at)):
            self._pass(text[at : start.start()], said)
            at = start.start()
            marker = self._marker(text, at)
            if marker is _MORE:
                if not is_whole:
                    break
                marker = _cut_marker(text, at)
            if marker is None:
                self._pass(text[at], said)
                at += 1
            else:
                self._obey(marker)
                at += marker.length
        else:
            self._pass(text[at:], said)
            at = len(text)
        self._before = text[at - 1 : at] or self._before
        self._held = text[at:]
        self._at += at
        return "".join(said)

    def _pass(self, piece: str, said: list[str]) -> None:
        self._has_begun = self._has_begun or bool(piece.strip())
        if not piece or self.has_call or self._opening or self._is_of_others:
            return
        if self._is_gap and piece[0].isalnum() and not self._last_said.isspace():
            said.append(" ")
        self._is_gap = False
        self._last_said = piece[-1]
        said.append(piece)

    def _obey(self, marker: _Marker) -> None:
        self._has_begun = True
        self._is_gap = bool(self._last_said)
        if self._opening:
            self._depth += (marker.key == self._opening) - (marker.key == HIDDEN[self._opening])
            self._opening = self._opening if self._depth else ""
            return
        match marker.kind:
            case MarkupKind.OPENS:
                self._opening, self._depth = marker.key, 1
            case MarkupKind.CALL:
                self.has_call = True
            case MarkupKind.OTHER:
                self._is_of_others = True
            case MarkupKind.AGENT | MarkupKind.TURN_END | MarkupKind.CLOSES:
                self._is_of_others = False
            case _:
                pass

    def _marker(self, text: str, at: int) -> _Marker | None:
        first, rest = text[at], text[at : at + _LONGEST_TAG]
        if found := _fixed(rest):
            is_arrow = found.key == _COMMENT_END and not self._opening
            return None if is_arrow else found
        match first:
            case "<":
                return _with_header(_angle(rest), text, at)
            case "[":
                return _square(rest)
            case _ if self._opening or self._is_of_others:
                return None
            case "{":
                return self._object(text, at)
            case "`":
                return _code(rest, _FENCE_CALL, _FENCE_GROWS)
            case "f" if not (text[at - 1 : at] or self._before).isalnum():
                return _code(rest, _FUNCTION, _FUNCTION_GROWS)
            case "a" if not self._has_begun:
                return _first_word(rest)
            case _:
                return None

    def _object(self, text: str, at: int) -> _Marker | None:
        if self._at + at < self._no_call_until:
            return None
        window = text[at : at + _LONGEST_OBJECT]
        if not _OBJECT.match(window):
            return _MORE if _OBJECT_GROWS.match(window) else None
        end, is_call = read_json(window)
        if is_call:
            return _CALL
        if end is None and len(window) < _LONGEST_OBJECT:
            return _MORE
        self._no_call_until = self._at + at + (end or _LONGEST_OBJECT)
        return None


def _fixed(rest: str) -> _Marker | None:
    for word in _FIXED:
        if rest.startswith(word):
            return _Marker(word, kind_of(word) or MarkupKind.TOKEN, len(word))
    return _MORE if rest in _BEGINNINGS else None


def _angle(rest: str) -> _Marker | None:
    second = rest[1:2]
    if second and not (second in _BARS + "/" or (second.isascii() and second.isalpha())):
        return None
    end = _ANGLE_END.search(rest, 1)
    if end is None:
        return _MORE if len(rest) < _LONGEST_TAG else None
    return _known(rest[: end.end()])


def _known(tag: str) -> _Marker | None:
    if (special := _SPECIAL.fullmatch(tag)) and (special.group(1) or special.group(3)):
        key = re.sub(r"\|+", "|", tag.translate(_PLAIN_BARS).lower())
    elif (plain := _TAG.fullmatch(tag)) and not tag.endswith("/>"):
        key = f"<{plain.group(1)}{plain.group(2)}>".lower()
    else:
        return None
    kind = kind_of(key)
    return None if kind is None else _Marker(key, kind, len(tag))


def _with_header(found: _Marker | None, text: str, at: int) -> _Marker | None:
    if found is None or found.kind is not MarkupKind.HEADER:
        return found
    rest = text[at + found.length : at + found.length + HEADER_CHARACTERS]
    end = _HEADER_END.search(rest)
    if end is None and len(rest) < HEADER_CHARACTERS:
        return _MORE
    length, kind = header(found.key, rest[: end.start()] if end else rest)
    return _Marker(found.key, kind, found.length + length)


def _square(rest: str) -> _Marker | None:
    if found := _SQUARE.match(rest):
        key = found.group()
        key = f"<{key[1:-1]}>".lower() if key[1] == "|" else key
        kind = kind_of(key)
        return None if kind is None else _Marker(key, kind, found.end())
    return _code(rest, _SQUARE_CALL, _SQUARE_GROWS)


def _code(rest: str, call: re.Pattern[str], growing: re.Pattern[str]) -> _Marker | None:
    if growing.match(rest):
        return _MORE
    return _CALL if call.match(rest) else None


def _first_word(rest: str) -> _Marker | None:
    if len(rest) == len(_ANALYSIS):
        return _MORE
    is_glued = rest[len(_ANALYSIS) : len(_ANALYSIS) + 1].isupper()
    return _Marker(_ANALYSIS, MarkupKind.OPENS, len(_ANALYSIS)) if is_glued else None


def _cut_marker(text: str, at: int) -> _Marker | None:
    rest = text[at:]
    if rest.startswith("{") and CUT_CALL.match(rest):
        return _CALL
    tag, angle, after = rest.partition(">")
    found = _angle(f"{tag}>") if tag.startswith("<") else None
    if found is None:
        return _Marker("", MarkupKind.TOKEN, len(rest)) if is_beginning(rest) else None
    is_header = found.kind is MarkupKind.HEADER
    length, kind = header(found.key, after) if is_header else (0, found.kind)
    return _Marker(found.key, kind, len(tag + angle) + length)
