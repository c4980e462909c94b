"""Digests of what a model is asked: they tell versions apart, in records of long ago as well."""

from __future__ import annotations

from dataclasses import replace

from agent.call.messages import ToolSpec
from agent.observability.recording.serialization import prompt_digest, tools_digest

SPEC = ToolSpec("look_up", "Looks.", "{}")


def test_digests_stay_what_they_are() -> None:
    """Records and log lines of an earlier version are compared with those of this one."""
    assert prompt_digest("Be kind.") == "8c294dd9b20a"
    assert prompt_digest(["Be", {"kind": None}]) == "90480b5be6b7"
    assert tools_digest((SPEC,)) == "762f090bc20d"


def test_digests_tell_versions_apart() -> None:
    """By each part that a model is told."""
    others = [
        replace(SPEC, name="look"),
        replace(SPEC, description="Does."),
        replace(SPEC, parameters='{"type":"object"}'),
    ]

    found = [tools_digest(specs) for specs in [(), (SPEC,), *((each,) for each in others)]]

    assert len(set(found)) == len(found)
    assert prompt_digest("Be kind.") != prompt_digest("Be brief.")
