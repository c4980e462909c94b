"""What crosses every port."""

from __future__ import annotations

import pytest

from agent.errors import provider_kind
from agent.llm.bedrock.bedrock_errors import parse_error


@pytest.mark.parametrize(
    "told", ["ThrottlingException", "insufficient_quota", "21610", "ns.Kind-2", "x" * 64]
)
def test_a_short_token_is_what_a_provider_calls_its_error(told: str) -> None:
    assert provider_kind(told) == told


@pytest.mark.parametrize(
    "told",
    [
        "a b",
        "x" * 65,
        "a\nb",
        "a\x1b[2J",
        "\u202ea",
        "<html>",
        "\u00e9",
        ["a"],
        10**400,
        " ",
        "a\n",
    ],
)
def test_anything_else_is_not_repeated(told: object) -> None:
    assert provider_kind(told) == "unreadable"


@pytest.mark.parametrize(
    ("told", "kind"), [(None, ""), ("", ""), (21610, "21610"), (-32600, "-32600")]
)
def test_numbers_are_kinds_too(told: object, kind: str) -> None:
    assert provider_kind(told) == kind


@pytest.mark.parametrize(
    "kind", ["a\x1b[2J" * 9, "K" * 5_000, "\u202eKind", "some text of +1 555 0100"]
)
def test_bedrock_s_kind_is_logged_as_a_short_token(kind: str) -> None:
    """It comes from a header or from the body of whoever answers."""
    told = parse_error(kind, b"{}", 400)

    assert told.kind == "unreadable"
    assert str(told.model_error()).endswith("unreadable (HTTP 400)")
