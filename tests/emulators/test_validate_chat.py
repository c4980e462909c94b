"""Each rule of the strict chat-completions server, beside a request that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.emulators.spoiled import spoiled
from tests.emulators.validate_chat import faults

Body = dict[str, Any]


def use(key: str = "call_1", name: str = "menu", arguments: str = "{}") -> Body:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def golden() -> Body:
    parameters = {"type": "object", "properties": {}}
    return {
        "model": "small",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 300,
        "stop": ["END"],
        "tool_choice": {"type": "function", "function": {"name": "menu"}},
        "tools": [{"type": "function", "function": {"name": "menu", "parameters": parameters}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is there?"}]},
            {"role": "assistant", "content": None, "tool_calls": [use(), use("call_2")]},
            {"role": "tool", "tool_call_id": "call_2", "content": "Bread"},
            {"role": "tool", "tool_call_id": "call_1", "content": "Soup"},
            {"role": "assistant", "content": "Soup and bread."},
            {"role": "user", "content": "Thanks."},
        ],
    }


def test_golden_request_passes() -> None:
    """What is right is not refused."""
    assert faults(golden(), "small") == []


def put(at: int, **fields: object) -> Callable[[Body], object]:
    return lambda body: body["messages"][at].update(fields)


def setting(**fields: object) -> Callable[[Body], object]:
    return lambda body: body.update(fields)


RULES: list[tuple[str, Callable[[Body], object]]] = [
    ("Invalid 'messages'", setting(messages=[])),
    ("[1].role", put(1, role="caller")),
    ("tool_calls': empty", put(2, tool_calls=[])),
    ("tool_calls[0].type", put(2, tool_calls=[{"id": "call_1"}])),
    ("expected a string, got null", put(1, content=None)),
    ("expected a string, got null", put(5, content=None)),
    ("blank", put(1, content=" ")),
    ("blank", put(3, content="")),
    ("must be a response to", put(3, tool_call_id="call_9")),
    ("must be a response to", put(4, tool_call_id="call_2")),
    ("did not have response messages: call_2", lambda b: b["messages"].pop(3)),
    ("did not have response messages: call_1, call_2", lambda b: b.update(m(b, 0, 3))),
    ("only allowed for role 'assistant'", put(6, tool_calls=[use("call_3")])),
    ("Duplicate tool call id", put(5, tool_calls=[use()])),
    ("last message must be", lambda b: b["messages"].pop()),
    ("role 'user' after role 'tool'", lambda b: b["messages"].pop(5)),
    ("role 'user' after role 'user'", lambda b: b["messages"].insert(1, b["messages"][1])),
    ("role 'assistant' after role ''", lambda b: b.update(m(b, 2, 7))),
    ("role 'assistant' after role 'system'", lambda b: b["messages"].pop(1)),
    (
        "role 'assistant' after role 'assistant'",
        lambda b: b["messages"].insert(5, b["messages"][5]),
    ),
    ("role 'user' after role 'assistant'", lambda b: b["messages"].insert(3, b["messages"][1])),
    ("role 'tool' after role 'user'", lambda b: b["messages"].insert(3, b["messages"][6])),
    ("must be at the beginning", put(5, role="system")),
    ("must be at the beginning", lambda b: b["messages"].insert(0, b["messages"][0])),
    ("length 1 to 40", put(2, tool_calls=[use("c" * 41)])),
    ("function.name", put(2, tool_calls=[use(name="no spaces")])),
    ("expected a JSON object", put(2, tool_calls=[use(arguments='{"a')])),
    ("expected a JSON object", put(2, tool_calls=[use(arguments="[]")])),
    ("only allowed when", lambda b: b.pop("tools")),
    ("Invalid 'tools': empty", setting(tools=[])),
    ("tools[0].function.name", lambda b: b["tools"][0]["function"].update(name="a b")),
    ('type: "object"', lambda b: b["tools"][0]["function"].update(parameters={"type": "array"})),
    ("must be unique", lambda b: b["tools"].append(b["tools"][0])),
    ("'tool_choice'", setting(tool_choice="any")),
    ("'tool_choice'", setting(tool_choice={"type": "function", "function": {"name": "x"}})),
    ("Unrecognized request argument supplied: topK", setting(topK=3)),
    ("only streams", setting(stream=False)),
    ("'temperature'", setting(temperature=2.1)),
    ("'top_p'", setting(top_p=1.5)),
    ("'max_tokens'", setting(max_tokens=0)),
    ("at the same time", setting(max_completion_tokens=5)),
    ("'stop'", setting(stop=["a", "b", "c", "d", "e"])),
    ("'stop'", setting(stop=" ")),
]


def m(body: Body, first: int, last: int) -> Body:
    return {"messages": body["messages"][first:last]}


@pytest.mark.parametrize(("reason", "change"), RULES)
def test_each_broken_rule_is_named(reason: str, change: Callable[[Body], object]) -> None:
    """One change to a good request is refused for that."""
    body = golden()
    change(body)

    found = faults(body, "small")

    assert [fault for fault in found if reason in fault], found


def test_a_model_must_be_named() -> None:
    """Nothing else is looked at before."""
    assert faults(golden(), "") == ["you must provide a model parameter"]


def test_no_shape_of_a_request_breaks_the_validator() -> None:
    """Whatever stands in a request, it is judged."""
    for bad in spoiled(golden()):
        if isinstance(bad, dict):
            assert isinstance(faults(bad, "small"), list)
