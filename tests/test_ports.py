"""`provider_kind`: what is repeated of a provider's error."""

from __future__ import annotations

import pytest

from agent.errors import provider_kind
from agent.llm.bedrock.converse_stream import parse_error

_TOKENS = ["ThrottlingException", "insufficient_quota", "21610", "ns.Kind-2", "x" * 64]
_UNREADABLE: list[object] = [
    "a b", "x" * 65, "a\nb", "a\x1b[2J", "\u202ea", "<html>", "\u00e9", ["a"], 10**400, " ", "a\n",
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        *((each, each) for each in _TOKENS),
        *((each, "unreadable") for each in _UNREADABLE),
        *((None, ""), ("", ""), (21610, "21610"), (-32600, "-32600")),
    ],
)
def test_a_short_token_is_the_kind_of_an_error(given: object, kind: str) -> None:
    """Anything else is not repeated."""
    assert provider_kind(given) == kind


@pytest.mark.parametrize(
    "kind", ["a\x1b[2J" * 9, "K" * 5_000, "\u202eKind", "some text of +1 555 0100"]
)
def test_bedrock_s_kind_is_logged_as_a_short_token(kind: str) -> None:
    """It comes from a header or the body of an answer that may not be from AWS."""
    error = parse_error(kind, b"{}", 400)

    assert error.cause == "HTTP 400, unreadable"
