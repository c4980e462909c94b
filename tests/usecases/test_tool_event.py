"""Which events a tool may declare."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agent.errors import UseCaseError
from agent.usecases.http_tool import read_http_tools

POST = {"description": "Books.", "url": "https://a.example/b", "method": "POST"}


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"kind": "order.placed"}, "T.event.kind: must be custom.NAME or booking.made"),
        ({"kind": "custom.*"}, "T.event.kind: must be custom.NAME or booking.made"),
        ({"kind": "custom.Ü"}, "T.event.kind: must be custom.NAME or booking.made"),
        ({"kind": "booking.made"}, "T.event.fields: booking.made needs booking"),
        (
            {"kind": "booking.made", "fields": {"booking": "/id"}, "personal_fields": {"a": "/a"}},
            "T.event.personal_fields: booking.made has none",
        ),
        ({"kind": "custom.a", "fields": {"a": "id"}}, "matching regex"),
        ({"kind": "custom.a", "fields": {"a b": "/id"}}, "matching regex"),
        ({"kind": "custom.a", "personal": {}}, "unknown field `personal`"),
        ({}, "missing required field `kind`"),
    ],
)
def test_an_event_that_no_receiver_could_read_is_refused(
    event: dict[str, object], fault: str
) -> None:
    with pytest.raises(UseCaseError) as refused:
        read_http_tools({"T": {**POST, "event": event}}, "http_tools")

    assert fault in str(refused.value)


def test_a_tool_without_effect_has_no_event() -> None:
    look = {**POST, "method": "GET", "event": {"kind": "custom.looked"}}

    with pytest.raises(UseCaseError, match=r"T\.event: needs a tool with a side effect"):
        read_http_tools({"T": look}, "http_tools")


def test_the_example_of_the_documentation_is_an_event() -> None:
    page = (Path(__file__).parents[2] / "docs" / "build" / "http-tools.md").read_text("utf-8")
    *_, example = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    [(name, declared)] = tomllib.loads(example)["http_tools"].items()

    [tool] = read_http_tools({name: {**POST, **declared}}, "http_tools")

    assert tool.event is not None
    assert tool.event.kind == "custom.table_reserved"
