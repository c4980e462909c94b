"""What model families accept beyond, or short of, the common rules (practice sections 8 and 11).

Read from the model id, which may be a profile's (`us.anthropic.…`) or an ARN that ends in one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_ANY_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ANY_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CLAUDE_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2})(?!\d))?")


@dataclass(frozen=True, slots=True)
class Family:
    """One family's rules."""

    name: str
    choices: frozenset[str] = frozenset()
    """Members of `toolChoice` it supports."""
    has_result_status: bool = False
    caches: frozenset[str] = frozenset()
    """Where cache points may stand: `tools`, `system`, `messages`."""
    caches_after_tools: bool = False
    mixes_results_and_words: bool = True
    takes_both_samplers: bool = True
    """Whether temperature and topP may come together."""
    tool_id: re.Pattern[str] = _ANY_ID
    tool_name: re.Pattern[str] = _ANY_NAME
    signs_reasoning: bool = False


_EVERYWHERE = frozenset({"tools", "system", "messages"})
_CLAUDE = Family(
    "claude",
    frozenset({"auto", "any", "tool"}),
    has_result_status=True,
    caches=_EVERYWHERE,
    caches_after_tools=True,
    signs_reasoning=True,
)
_NEW_CLAUDE = replace(_CLAUDE, takes_both_samplers=False)
_NOVA = Family(
    "nova",
    _CLAUDE.choices,
    has_result_status=True,
    caches=frozenset({"system", "messages"}),
    tool_name=re.compile(r"[a-zA-Z0-9_]{1,64}"),
)
_LLAMA = Family("llama", mixes_results_and_words=False)
_MISTRAL = Family(
    "mistral",
    frozenset({"auto", "any"}),
    mixes_results_and_words=False,
    tool_id=re.compile(r"[a-zA-Z0-9]{9}"),
)
_OTHER = Family("other", frozenset({"auto"}), mixes_results_and_words=False)


def family(model_id: str) -> Family:
    """The rules of a model; the smallest common set for one nobody knows."""
    if "anthropic.claude" in model_id:
        return _CLAUDE if _claude_version(model_id) < (4, 1) else _NEW_CLAUDE
    for mark, rules in (("amazon.nova", _NOVA), ("meta.llama", _LLAMA), ("mistral.", _MISTRAL)):
        if mark in model_id:
            return rules
    return _OTHER


def _claude_version(model_id: str) -> tuple[int, int]:
    """`claude-haiku-4-5-…` is 4.5; the names of Claude 3 begin with the number and count as 3.0."""
    found = _CLAUDE_VERSION.search(model_id)
    return (int(found[1]), int(found[2] or 0)) if found else (3, 0)
