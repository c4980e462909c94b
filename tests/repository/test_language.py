"""Tracked text is plain technical English, and cites only what a reader can open."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BANNED = (
    "whoever", "whomever", "nobody wants", "nobody looks", "nobody knows", "hearsay", "in season",
    "somebody", "for eyes", "counts no more", "is no more", "the likes of",
    "in vain", "has the floor", "takes the floor", "goes by", "look away", "anybody", "hence",
    "is asked nevertheless", "as it must be", "at its leisure",
)  # fmt: skip
"""Words and phrases that have a plain equivalent. Extend it when one turns up in a review."""

_CITATION = re.compile(
    r"\b(?:practice|seed|relay reference|contract|style)\s+(?:section|guide|part)\s*[A-D]?\d"
    r"|\b(?:seed|practice|reference|contract) section|\bpractice \d|\(D\d+\)",
    re.IGNORECASE,
)
_SPOKEN = ("configuration/", "tests/data/", "tests/store/predecessor/", "LICENSE")
"""What agents and callers say, and legal text."""


@cache
def tracked() -> dict[str, str]:
    """The text of every tracked file that people write."""
    names = subprocess.run(
        ["/usr/bin/env", "git", "ls-files", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    return {
        name: (ROOT / name).read_text(encoding="utf-8")
        for name in names
        if name.endswith((".py", ".md", ".toml", ".sh", ".yml", ".sample", "Dockerfile"))
        and not name.startswith(_SPOKEN)
        and name != str(Path(__file__).relative_to(ROOT))
        and (ROOT / name).exists()
    }


def places(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in tracked().items()
        for match in pattern.finditer(text)
    ]


@pytest.mark.parametrize("word", BANNED)
def test_banned_word_occurs_nowhere(word: str) -> None:
    """A reader whose first language is not English has to understand each sentence at once."""
    spaced = word.replace(" ", r"\s+")

    assert places(re.compile(rf"\b{spaced}\b", re.IGNORECASE)) == []


def test_no_document_outside_of_the_repository_is_cited() -> None:
    """A source is a page in docs/ or an address."""
    assert places(_CITATION) == []
