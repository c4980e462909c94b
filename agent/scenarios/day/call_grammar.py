"""Generates the calls of a day: a seed decides everything, so a day can be repeated.

What is said comes from a table for each language. A pause is log-normal around 0.8 s, between 0.3
and 2 s, as between the groups of a dictated number or before a correction. Turns in pieces have a
pause of at least 0.75 s, so that a relay that waits 0.7 s delivers them in several prompts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.scenarios.day.scripted_call import (
    CallerManner,
    CallerReaction,
    Reaction,
    ScriptedCall,
    ScriptedTurn,
    SpokenPiece,
)
from agent.scenarios.timing import CallTiming

_FOLDER = Path(__file__).parent
_DAY: tuple[tuple[CallerManner, Reaction | None, int], ...] = (
    (CallerManner.SENTENCE, None, 14),
    (CallerManner.NUMBER, None, 9),
    (CallerManner.PIECES, None, 14),
    (CallerManner.ADDRESS, None, 6),
    (CallerManner.HESITATION, None, 8),
    (CallerManner.CORRECTION, None, 8),
    (CallerManner.RETOLD, None, 4),
    (CallerManner.MOMENT, None, 4),
    (CallerManner.SENTENCE, Reaction.NOD, 5),
    (CallerManner.SENTENCE, Reaction.CUTTING_NOD, 5),
    (CallerManner.SENTENCE, Reaction.NOISE, 10),
    (CallerManner.SENTENCE, Reaction.INTERRUPTION, 13),
)
"""What turns there are, and how many of each hundred."""
_ASKED_FOR = {CallerManner.ADDRESS, CallerManner.MOMENT}
_TURNS = (2, 4)
"""Fewest and most in a call."""
_SHORTEST_PAUSE, _TYPICAL_PAUSE, _LONGEST_PAUSE, _SPREAD = 0.3, 0.8, 2.0, 0.5
_NOTED_PAUSE = 0.75
_AWAY = (5.0, 45.0)
_PAUSE_CHANCE = 0.6
"""That a caller pauses at a place where one may."""


class _Numbers(Struct, frozen=True, forbid_unknown_fields=True):
    groups: list[list[int]]
    asks: list[str]
    unasked: list[str]


class _Asks(Struct, frozen=True, forbid_unknown_fields=True):
    address: list[str]
    open: list[str]


class DayLanguage(Struct, frozen=True, forbid_unknown_fields=True):
    """The table of one language, as in its file."""

    code: str
    digits: list[str]
    oh: str
    double: str
    slots: dict[str, list[str]]
    numbers: dict[str, _Numbers]
    lead_ins: list[str]
    asks: _Asks
    sentences: list[str]
    pieces: list[str]
    addresses: list[str]
    hesitations: list[str]
    corrections: list[str]
    moments: list[str]
    nods: list[str]
    interruptions: list[str]
    acknowledgements: list[str]
    statements: list[str]
    after_nod: str
    after_interruption: str
    after_moment: str


LANGUAGES = tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


@cache
def language_table(name: str) -> DayLanguage:
    """The table of one of `LANGUAGES`."""
    return msgspec.yaml.decode((_FOLDER / f"{name}.yaml").read_bytes(), type=DayLanguage)


def scripted_call(seed: int, number: int, language: str) -> ScriptedCall:
    """The call of this number on the day of this seed."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311 (choices that can be repeated)
    return _CallGrammar(language_table(language), chance).call(number)


class _CallGrammar:
    """Generates one call."""

    def __init__(self, table: DayLanguage, chance: random.Random) -> None:
        self._table = table
        self._chance = chance
        self._says_numerals = chance.random() < 0.5
        self._statements = chance.sample(table.statements, len(table.statements))

    def call(self, number: int) -> ScriptedCall:
        chance = self._chance
        timing = CallTiming(
            number,
            agent_pace=chance.uniform(13.0, 17.0),
            caller_pace=chance.uniform(2.0, 3.4),
            reaction=chance.uniform(0.9, 1.8),
            endpointing=0.0,
            first_token=0.0,
            token=0.1,
        )
        plan = [self._planned(is_first=not at) for at in range(chance.randint(*_TURNS))]
        numbers = [chance.choice([*self._table.numbers]) for _ in plan]
        turns = [
            self._turn(
                *plan[at], numbers[at], self._question(plan, numbers, at + 1), is_first=not at
            )
            for at in range(len(plan))
        ]
        is_punctuated = chance.random() < 0.7
        return ScriptedCall(number, self._table.code, timing, is_punctuated, tuple(turns))

    def _planned(self, *, is_first: bool) -> tuple[CallerManner, Reaction | None]:
        """A kind of turn; no caller begins with what is said only when it was asked for."""
        kinds = [kind for kind in _DAY if not is_first or kind[0] not in _ASKED_FOR]
        [(manner, reaction, _)] = self._chance.choices(kinds, [share for *_, share in kinds])
        return manner, reaction

    def _question(
        self, plan: Sequence[tuple[CallerManner, Reaction | None]], numbers: Sequence[str], at: int
    ) -> str:
        """What is asked before this turn; a caller who asks for a moment answers after it."""
        asks = self._table.asks
        match plan[at][0] if at < len(plan) else None:
            case CallerManner.NUMBER:
                return self._chance.choice(self._table.numbers[numbers[at]].asks)
            case CallerManner.ADDRESS:
                return self._chance.choice(asks.address)
            case CallerManner.MOMENT:
                return self._question(plan, numbers, at + 1)
            case _:
                return self._chance.choice([*asks.open, ""])

    def _turn(
        self,
        manner: CallerManner,
        reaction: Reaction | None,
        number: str,
        question: str,
        *,
        is_first: bool,
    ) -> ScriptedTurn:
        chance, table = self._chance, self._table
        pieces = self._pieces(manner, number, is_first=is_first)
        if reaction is not None:
            said = [self._statements.pop() for _ in range(3)]
            is_cut = reaction is Reaction.INTERRUPTION  # so the question comes after it
            sentences = [*said, question] if question and not is_cut else said
            act = self._reaction(reaction, question if is_cut else "")
            return ScriptedTurn(manner, pieces, tuple(sentences), act)
        away = chance.uniform(*_AWAY) if manner is CallerManner.MOMENT else 0.0
        again_after = chance.uniform(0.1, 0.5) if manner is CallerManner.RETOLD else 0.0
        if away:
            sentences = [table.after_moment]
        else:
            sentences = [chance.choice(table.acknowledgements), question or table.after_nod]
        return ScriptedTurn(manner, pieces, tuple(sentences), away=away, again_after=again_after)

    def _reaction(self, kind: Reaction, question: str) -> CallerReaction:
        chance, table = self._chance, self._table
        at_share = chance.uniform(1.1, 1.8)
        if kind is Reaction.INTERRUPTION:
            words = self._filled(chance.choice(table.interruptions))
            reply = f"{table.after_interruption} {question}".strip()
            return CallerReaction(kind, words, at_share, reply)
        words = "" if kind is Reaction.NOISE else chance.choice(table.nods)
        return CallerReaction(kind, words, at_share, table.after_nod)

    def _pieces(
        self, manner: CallerManner, number: str, *, is_first: bool
    ) -> tuple[SpokenPiece, ...]:
        if manner is CallerManner.NUMBER:
            return self._paused(self._number(number, is_first=is_first), chance_of_pause=1.0)
        table = self._table
        templates = {
            CallerManner.PIECES: table.pieces,
            CallerManner.ADDRESS: table.addresses,
            CallerManner.HESITATION: table.hesitations,
            CallerManner.CORRECTION: table.corrections,
            CallerManner.MOMENT: table.moments,
        }.get(manner, table.sentences)
        parts = self._filled(self._chance.choice(templates)).split(" | ")
        return self._paused(parts, chance_of_pause=_PAUSE_CHANCE)

    def _filled(self, template: str) -> str:
        """The template with an entry in each place, another one for each name of a place."""
        drawn: dict[str, str] = {}

        def draw(place: re.Match[str]) -> str:
            name = place[1]
            if name not in drawn:
                entries = self._table.slots[name.rstrip("0123456789")]
                drawn[name] = self._chance.choice([e for e in entries if e not in drawn.values()])
            return drawn[name]

        return re.sub(r"\{(\w+)\}", draw, template)

    def _number(self, kind: str, *, is_first: bool) -> list[str]:
        chance, numbers = self._chance, self._table.numbers[kind]
        spoken = [self._digits(length) for length in chance.choice(numbers.groups)]
        lead_in = chance.choice(numbers.unasked if is_first else self._table.lead_ins)
        return [f"{lead_in} {spoken[0]}".strip(), *spoken[1:]]

    def _digits(self, length: int) -> str:
        """A group of digits, as it is written down: `555`, or word by word, or with a double."""
        chance, table = self._chance, self._table
        digits = [chance.randrange(10) for _ in range(length)]
        if self._says_numerals:
            return "".join(map(str, digits))
        names = [table.oh if not d and chance.random() < 0.5 else table.digits[d] for d in digits]
        if length > 2 and chance.random() < 0.25:
            at = chance.randrange(length - 1)
            names[at : at + 2] = [table.double, table.digits[digits[at]]]
        return " ".join(names)

    def _paused(self, parts: Sequence[str], *, chance_of_pause: float) -> tuple[SpokenPiece, ...]:
        """The parts as pieces: with a pause where the caller makes one, else joined."""
        breaks = len(parts) - 1
        if not breaks:
            return (SpokenPiece(parts[0]),)
        pauses = self._pauses(breaks, chance_of_pause)
        pieces, words = list[SpokenPiece](), ""
        for part, pause in zip(parts, [*pauses, 0.0], strict=True):
            words = f"{words} {part}".strip()
            if pause:
                pieces.append(SpokenPiece(words, pause))
                words = ""
        return (*pieces, SpokenPiece(words))

    def _pauses(self, breaks: int, chance_of_pause: float) -> list[float]:
        """A pause for each place, 0 where the caller makes none; one of them is long enough."""
        while True:
            pauses = [
                self._pause() if self._chance.random() < chance_of_pause else 0.0
                for _ in range(breaks)
            ]
            if max(pauses) >= _NOTED_PAUSE:
                return pauses

    def _pause(self) -> float:
        pause = self._chance.lognormvariate(0.0, _SPREAD) * _TYPICAL_PAUSE
        return min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, pause))


def language_of(number: int) -> str:
    """The language of the call with this number: English for seven of ten, else the others."""
    others = [name for name in LANGUAGES if name != "english"]
    place = number % 10 - 7
    return others[place] if 0 <= place < len(others) else "english"
