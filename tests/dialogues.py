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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORDERING = "restaurantOrderingUseCase"
APARTMENTS = "apartmentSearchUseCase"
PERSONA = "albertEinsteinUseCase"
DEFAULT = "defaultUseCase"
CALLERS = {ORDERING: "+15550100011", APARTMENTS: "+15550100012", PERSONA: "+15550100013"}
"""Numbers for a profile that routes them to the use case.

Callers of the default use case are unknown; its tools write their profile. So each of its calls
comes from a fresh number.
"""

_GROUP = 10
"""Records without turns that make one call, which is named after the first."""
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
        return _USE_CASES[self.source]


def has_words(turn: str) -> bool:
    """Whether a caller's turn holds more than blanks, punctuation and noise marks."""
    return any(letter.isalnum() for letter in _MARK.sub("", turn))


WRITTEN_HERE = Path(__file__).parent / "data" / "dialogues"


def dialogues(root: Path) -> Iterator[Dialogue]:
    """Every dialogue of every known file, in a fixed order; those without a caller's turn are not.

    Raises:
        FileNotFoundError: The folder holds no known file.
    """
    paths = [path for source in _USE_CASES if (path := root / f"{source}.jsonl").is_file()]
    if not paths:
        raise FileNotFoundError(f"no dialogues at {root}")
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines()
        said = [(record["id"], _turns(record)) for record in map(json.loads, filter(None, lines))]
        size = 1 if '"turns"' in lines[0] else _GROUP
        for start in range(0, len(said), size):
            turns = [turn for _, turns in said[start : start + size] for turn in turns]
            if turns:
                yield Dialogue(said[start][0], path.stem, tuple(turns))


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


def _turns(record: Mapping[str, Any]) -> list[str]:
    """What the caller says in a conversation, in a pair of a restart and its repair, or at once."""
    if "disfluent" in record:
        return [record["disfluent"], record["fluent"]]
    if "turns" not in record:
        return [record["text"]]
    turns = [turn for turn in record["turns"] if turn["speaker"] == "user"]
    turns.sort(key=lambda turn: turn.get("start_ms", 0))  # segments follow the clock
    return [(turn.get("asr_nbest") or [turn])[0]["text"] for turn in turns]


_USE_CASES = {
    "written_orders": ORDERING,
    "written_requests": ORDERING,
    "written_apartments": APARTMENTS,
    "written_newcomers": DEFAULT,
    "written_persona": PERSONA,
    "written_restarts": PERSONA,
    "tm4_coffee_orders": ORDERING,
    "multidogo_pizza_orders": ORDERING,
    "multidogo_order_utterances": ORDERING,
    "tm1_dialogs": ORDERING,
    "slurp_takeaway": ORDERING,
    "sgd_homes": APARTMENTS,
    "star_apartments": APARTMENTS,
    "sgd_restaurants": ORDERING,
    "star_restaurants": ORDERING,
    "dstc10_spoken": DEFAULT,
    "harpervalley_calls": DEFAULT,
    "disflqa_pairs": PERSONA,
    "spc_persona_chat": PERSONA,
}
"""By the name of a file without its ending."""
