"""What each family of models accepts in a Converse request: one table, first row that fits.

Converse is one form for all models, but not all models take all of it, and what they do not take
they refuse with a ValidationException (practice sections 8 and 11). The family is read from the
identifier. An ARN of an application inference profile does not name its model: it is treated as
unknown, that is with the smallest common set. So is every family that has no row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Family:
    """The liberties a family of models allows."""

    result_status: bool = False
    """Tool results may carry a `status`."""
    named_choice: bool = False
    """One tool can be forced by its name; of Nova, both generations, see
    https://docs.aws.amazon.com/nova/latest/userguide/tool-choice.html."""
    text_beside_results: bool = False
    """One message may hold tool results and words."""
    greedy_tools: bool = False
    """Writes tool calls reliably only at temperature 0."""
    caches_prompt: bool = False
    """Cache points after the static instructions and in messages."""
    caches_tools: bool = False
    """Cache points after the tools and after tool blocks, too."""


_CLAUDE = Family(
    result_status=True,
    named_choice=True,
    text_beside_results=True,
    caches_prompt=True,
    caches_tools=True,
)
_CLAUDE_UNCACHED = Family(result_status=True, named_choice=True, text_beside_results=True)
_NOVA_2 = Family(
    result_status=True, named_choice=True, text_beside_results=True, caches_prompt=True
)
_NOVA = replace(_NOVA_2, greedy_tools=True)

OTHERS = Family()
"""Llama and Mistral, which allow none of it, and whatever we do not know."""

_FAMILIES = (
    ("anthropic.claude-3-haiku", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-sonnet", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-opus", _CLAUDE_UNCACHED),
    ("anthropic.claude-3-5-sonnet", _CLAUDE_UNCACHED),
    ("anthropic.claude", _CLAUDE),
    ("amazon.nova-2", _NOVA_2),
    ("amazon.nova", _NOVA),
    ("meta.llama", OTHERS),
    ("mistral.", OTHERS),
)


def family_of(identifier: str) -> Family:
    """The family of a model id, an inference profile or an ARN that names one."""
    return next((family for part, family in _FAMILIES if part in identifier), OTHERS)
