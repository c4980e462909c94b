"""Property: a value changes only its own place in a request."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from agent.errors import ToolError
from agent.tools.http import http_messages as fill
from agent.tools.http.outbound_http import HttpRequest
from tests.tools.http.stand_in import declared

TEXT = {"description": "A text."}
TOOL = declared(
    url="https://api.example.com/v1/{a}/x-{b}/end?p={a}&q=is+{b}&r=1",
    method="POST",
    body={"a": "{a}", "in": ["<{b}>"]},
    parameters={"a": TEXT, "b": TEXT},
)
NASTY = [
    "../", "..", ".", "../../admin", "..\\", "a/b", "%2f", "%2e%2e%2f", "%252e", "?x=1", "&r=2",
    "#", "#frag", "@evil.example", "//evil.example/", "\r\nHost: evil.example", "\n", "\x00", " ",
    "", "a b", "=", ";", "+", "{a}", "{call.caller}", "${ORDERS_TOKEN}", "\u2025", "\uff0f",
    "\u3002", "\u202e", "Zürich", "🍕", "\ud83c", "\\", "http://evil.example", "a\tb", "\x85",
    "\u2028",
]  # fmt: skip
values = st.one_of(st.sampled_from(NASTY), st.text(max_size=40))


def sent(a: str, b: str) -> URL | None:
    """The URL of a request; `None` if it is refused."""
    try:
        target = fill.fill_target(TOOL.url, {"a": a, "b": b})
    except ToolError:
        return None
    return HttpRequest("POST", "https", TOOL.url.host, TOOL.url.port, target, {}).url


@given(values, values)
@example("..", "x")
@example("x", "..")
def test_value_changes_neither_host_nor_path_nor_query(a: str, b: str) -> None:
    url = sent(a, b)

    if url is None:
        return
    assert str(url).isascii() and not set(str(url)) & set(" \r\n\t\\#@{}")
    assert (url.scheme, url.host, url.explicit_port, url.user) == (
        "https", "api.example.com", 443, None,
    )  # fmt: skip
    assert [unquote(each) for each in url.raw_path.split("/")] == ["", "v1", a, f"x-{b}", "end"]
    segments = unquote(url.raw_path).split("/")
    assert len(segments) == 5 and "" not in segments[1:]
    assert not {".", ".."} & {each.strip() for each in segments}
    assert parse_qsl(url.raw_query_string, keep_blank_values=True) == [
        ("p", a),
        ("q", f"is {b}"),
        ("r", "1"),
    ]


@given(values, values)
def test_body_says_exactly_the_values(a: str, b: str) -> None:
    try:
        body = fill.fill_body(TOOL, {"a": a, "b": b})
    except ToolError:
        assert any("\ud800" <= each <= "\udfff" for each in a + b)
        return

    assert json.loads(body) == {"a": a, "in": [f"<{b}>"]}


@pytest.mark.parametrize(
    "value", ["..", ".", "", " ", "a/b", "a\\b", "\r\n", "\x00", "../x", "\ud83c"]
)
def test_value_that_would_change_a_path_is_refused(value: str) -> None:
    with pytest.raises(ToolError, match="cannot be"):
        fill.fill_target(TOOL.url, {"a": value, "b": "x"})


def test_literal_and_value_together_are_no_parent() -> None:
    tool = declared(url="https://api.example.com/a/.{a}/b", parameters={"a": TEXT})

    with pytest.raises(ToolError, match="dots"):
        fill.fill_target(tool.url, {"a": "."})


def test_values_that_are_no_texts_are_written_as_json_does() -> None:
    tool = declared(
        url="https://api.example.com/{n}?b={b}&f={f}",
        parameters={
            "n": {**TEXT, "type": "integer"},
            "b": {**TEXT, "type": "boolean"},
            "f": {**TEXT, "type": "number"},
        },
    )

    assert fill.fill_target(tool.url, {"n": -3, "b": True, "f": 0.5}) == "/-3?b=true&f=0.5"
