"""The caller's side of dialogues, ready to be said to the service.

The files of `tests/data/dialogues` were written for this project. Their record formats are those of
published corpora (MultiDoGO, STAR, DSTC10, SLURP, Disfl-QA), so a folder with such files can be
read instead. A caller's turns are kept as they are: blank turns and noise marks too, because
speech-to-text reports them as well.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORDERING = "restaurantOrderingUseCase"
APARTMENTS = "apartmentSearchUseCase"
PERSONA = "albertEinsteinUseCase"
DEFAULT = "defaultUseCase"

_GROUP = 10
"""Records of a single-utterance file that make one call."""
_MARK = re.compile(r"\[[^\]]*\]|<[^>]*>")
"""What transcribers write instead of words: `[noise]`, `<unk>`."""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What one caller says, in order."""

    id: str
    source: str
    """Name of the file without its ending."""
    turns: tuple[str, ...]

    @property
    def use_case(self) -> str:
        """The use case whose subject this is."""
        return _FILES[self.source].use_case


def has_words(turn: str) -> bool:
    """Whether a caller's turn holds more than blanks, punctuation and noise marks."""
    return any(letter.isalnum() for letter in _MARK.sub("", turn))


WRITTEN_HERE = Path(__file__).parent / "data" / "dialogues"


def dialogues(root: Path, *, hypothesis: int = 0) -> Iterator[Dialogue]:
    """Every dialogue of every known file, in a fixed order; those without a caller's turn are not.

    Args:
        root: A folder with at least one of the known files.
        hypothesis: Which recogniser hypothesis to take, 0 = best; the last where there are fewer.

    Raises:
        FileNotFoundError: The folder holds no known file.
    """
    paths = {source: root / f"{source}.jsonl" for source in _FILES}
    if not any(path.is_file() for path in paths.values()):
        raise FileNotFoundError(f"no dialogues at {root}")
    for source, file in _FILES.items():
        if not paths[source].is_file():
            continue
        text = paths[source].read_text(encoding="utf-8")
        records = [json.loads(line) for line in text.splitlines() if line]
        for name, turns in file.read(records, hypothesis):
            if turns:
                yield Dialogue(name, source, tuple(turns))


def sample(everything: Iterable[Dialogue], count: int, seed: int) -> list[Dialogue]:
    """A reproducible choice that takes from each file in turn, so that none is left out early."""
    chooser = random.Random(seed)  # noqa: S311 - a choice of test data, no secret
    by_source: dict[str, list[Dialogue]] = {}
    for dialogue in everything:
        by_source.setdefault(dialogue.source, []).append(dialogue)
    for stack in by_source.values():
        chooser.shuffle(stack)
    chosen: list[Dialogue] = []
    while len(chosen) < count and any(by_source.values()):
        chosen += [stack.pop() for stack in by_source.values() if stack]
    return chosen[:count]


def _conversations(records: Sequence[Record], hypothesis: int) -> Iterator[tuple[str, list[str]]]:
    for record in records:
        turns = [turn for turn in record["turns"] if turn["speaker"] == "user"]
        turns.sort(key=lambda turn: turn.get("start_ms", 0))  # segments follow the clock
        yield record["id"], [_heard(turn, hypothesis) for turn in turns]


def _heard(turn: Record, hypothesis: int) -> str:
    """The words as the recogniser has them, where the source has a recogniser's list."""
    guesses = turn.get("asr_nbest", [])
    if not guesses:
        return str(turn["text"])
    return str(guesses[min(hypothesis, len(guesses) - 1)]["text"])


def _utterances(records: Sequence[Record], _: int) -> Iterator[tuple[str, list[str]]]:
    yield from _groups(records, lambda record: [record["text"]])


def _pairs(records: Sequence[Record], _: int) -> Iterator[tuple[str, list[str]]]:
    yield from _groups(records, lambda record: [record["disfluent"], record["fluent"]])


def _groups(
    records: Sequence[Record], turns: Callable[[Record], list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """Unrelated requests, some of them to a call; the call is named after the first."""
    for start in range(0, len(records), _GROUP):
        group = records[start : start + _GROUP]
        yield group[0]["id"], [turn for record in group for turn in turns(record)]


@dataclass(frozen=True, slots=True)
class _File:
    use_case: str
    read: Callable[[Sequence[Record], int], Iterator[tuple[str, list[str]]]] = _conversations


_FILES = {
    "written_orders": _File(ORDERING),
    "written_requests": _File(ORDERING, _utterances),
    "written_apartments": _File(APARTMENTS),
    "written_newcomers": _File(DEFAULT),
    "written_persona": _File(PERSONA),
    "written_restarts": _File(PERSONA, _pairs),
    "tm4_coffee_orders": _File(ORDERING),
    "multidogo_pizza_orders": _File(ORDERING),
    "multidogo_order_utterances": _File(ORDERING, _utterances),
    "tm1_dialogs": _File(ORDERING),
    "slurp_takeaway": _File(ORDERING, _utterances),
    "sgd_homes": _File(APARTMENTS),
    "star_apartments": _File(APARTMENTS),
    "sgd_restaurants": _File(ORDERING),
    "star_restaurants": _File(ORDERING),
    "dstc10_spoken": _File(DEFAULT),
    "harpervalley_calls": _File(DEFAULT),
    "disflqa_pairs": _File(PERSONA, _pairs),
    "spc_persona_chat": _File(PERSONA),
}
