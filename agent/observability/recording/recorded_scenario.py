"""`show CALL --scenario`: a call that was led, as a scenario that can be played again.

The steps are those of the caller; the expectations are the tools that ran and the end of the call.
What the agent said is not expected, because another model says it in other words. Without a record
of the call (`RECORD_CALLS`) there are no times, so silences of the caller are not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from agent.call.collector import MARK, WRONG_MARK
from agent.call.events import EndReason, TimerFired
from agent.call.history import AgentSaid, CallerSaid, InputMode, ToolUsed
from agent.call.resumption import ResumeCause
from agent.call.timers import Timer
from agent.observability.recording.placeholders import NUMBER, Placeholders
from agent.observability.recording.transcript import CallTranscript, read_transcript
from agent.ports import Store
from agent.scenarios.timing import ORDINARY
from agent.store.call_state import call_item
from agent.store.call_state.call_list import LISTING
from agent.usecases.validation import text_in

_HEADING = """\
# yaml-language-server: $schema=../../../schema/scenario.schema.json
# Made of a recorded call. Personal values that were found are replaced: read it before you keep it.
"""
_OUTCOMES = {
    EndReason.CALLER_HANGUP: "hung-up",
    EndReason.AGENT_END: "ended",
    EndReason.IDLE: "ended",
    EndReason.MAX_DURATION: "ended",
    EndReason.TRANSFER: "transferred",
}
_PROFILE_KEYS = {"pk", "sk", "pk1", "sk1", "useCase", "expireAt"}
_WORDS_PER_SECOND = 3.0
"""Of an agent, about."""
_LONG_SILENCE_SECONDS = 300.0
"""After which an agent has given up."""
_LONGEST_TEXT = 40
"""Characters of a text argument; a longer one is the model's own words."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")
_LOST = {ResumeCause.LOST, ResumeCause.RECONNECTED}
Step = dict[str, Any]


async def scenario_text(store: Store, call_sid: str) -> str | None:
    """The file of a call; None if there is no such call."""
    call = await read_transcript(store, call_sid)
    if call is None:
        return None
    item = await store.get(call_sid, call_item.CONNECTION) or {}
    listed = await store.get(call_sid, LISTING) or {}
    recorded = call.connections[-1].end if call.connections else ""
    reason = recorded or text_in(listed, "reason")
    profile = call.connections[0].beginning.profile if call.connections else {}
    profile = profile or call_item.profile_item_of(item)
    document = _document(call, profile, reason)
    return _HEADING + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _document(call: CallTranscript, profile: Mapping[str, object], reason: str) -> Step:
    known = {key: value for key, value in profile.items() if key not in _PROFILE_KEYS}
    tools = [entry.fact for entry in call.entries if isinstance(entry.fact, ToolUsed)]
    placeholders = Placeholders(call.caller)
    placeholders.learn_profile(known, {call.use_case})
    for tool in tools:
        placeholders.learn(_arguments(tool))
    steps = _CallerSteps(call).all(reason)
    for step in steps:
        if "presses" in step:
            keys = step["presses"]
            placeholders.learn_keys(keys["keys"] if isinstance(keys, dict) else keys)
    caller: Step = {"number": NUMBER}
    if known:
        caller["profile"] = placeholders.value(known)
    expects: Step = {}
    if expected := list(_expected(tools, placeholders)):
        expects["tools"] = expected
    if (outcome := _outcome(reason)) is not None:
        expects["outcome"] = outcome
    document = {
        "about": "From a recorded call.",
        "use_case": call.use_case,
        "caller": caller,
        "variables": {},
        "steps": [placeholders.value(step) for step in steps],
        "expects": expects,
        "tags": ["recorded"],
    }
    written = str(document)
    document["variables"] = {
        name: value for name, value in placeholders.variables.items() if f"{{{name}}}" in written
    }
    return {name: value for name, value in document.items() if value or name == "steps"}


def _outcome(reason: str) -> str | None:
    return _OUTCOMES.get(EndReason(reason)) if reason in set(EndReason) else None


def _arguments(tool: ToolUsed) -> Mapping[str, object]:
    try:
        found = json.loads(tool.call.arguments or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _expected(tools: Sequence[ToolUsed], placeholders: Placeholders) -> Iterator[Step]:
    """Each tool that succeeded, once, with its arguments and how often it ran with them."""
    ran = [tool for tool in tools if tool.result is not None and not tool.result.is_error]
    expected: list[tuple[str, Step]] = []
    for tool in ran:
        arguments = dict(_leaves(placeholders.value(_arguments(tool)), ""))
        if (tool.call.name, arguments) not in expected:
            expected.append((tool.call.name, arguments))
    for name, arguments in expected:
        times = sum(
            tool.call.name == name
            and arguments.items() <= dict(_leaves(placeholders.value(_arguments(tool)), "")).items()
            for tool in ran
        )
        step: Step = {"name": name, "arguments": arguments, "times": times}
        yield {key: value for key, value in step.items() if value}


def _leaves(value: object, path: str) -> Iterator[tuple[str, Any]]:
    """Arguments by their path; dates are expected as any date, long texts not at all."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{number}".lstrip("."))
    elif isinstance(value, str) and _DATE.fullmatch(value):
        yield path, {"matches": r"^\d{4}-\d\d-\d\d"}
    elif path and not (isinstance(value, str) and len(value) > _LONGEST_TEXT):
        yield path, value


class _CallerSteps:
    """What the caller did, fact by fact."""

    def __init__(self, call: CallTranscript) -> None:
        self._call = call
        self._steps: list[Step] = []
        self._heard = 0
        """Words of the agent since the caller's last ones."""
        self._is_cut = False
        """The agent's last words were cut, and nothing came since."""
        self._fragments: list[str] | None = None
        """Of the caller's last words, while nothing follows them."""
        self._acted_at = 0.0
        """When the caller last did something; milliseconds since the call began."""
        self._silences = [
            one.beginning.began_ms - call.began_ms + step.at_ms
            for one in call.connections
            for step in one.steps
            if isinstance(step.event, TimerFired) and step.event.timer is Timer.IDLE
        ]

    def all(self, reason: str) -> list[Step]:
        """The steps, up to the end of the call for this reason."""
        generation = 0
        for entry in self._call.entries:
            if entry.generation > generation:
                generation = entry.generation
                self._change_line(self._call.causes.get(generation, ""))
            match entry.fact:
                case AgentSaid(text, _, is_cut):
                    self._agent_speaks(len(text.split()), is_cut=is_cut)
                case CallerSaid(text, InputMode.KEYPAD):
                    keys = text.replace(" ", "")  # 0 stands for a digit that was sensitive
                    self._press(re.sub(f"[{MARK}{WRONG_MARK}]", "0", keys), entry.at_ms)
                case CallerSaid(text):
                    self._say(text, entry.at_ms)
                case _:
                    self._fragments = None
        self._end(reason)
        return self._steps

    def _agent_speaks(self, words: int, *, is_cut: bool) -> None:
        if is_cut and not words and not self._heard:
            return  # cut before a word was heard: the caller went on speaking
        self._fragments = None
        if self._is_cut:  # by a noise: no words of the caller followed
            self._add_interrupt("")
        self._heard += words
        self._is_cut = is_cut

    def _say(self, text: str, at_ms: float | None) -> None:
        speaking = len(text.split()) / ORDINARY.caller_pace + ORDINARY.endpointing
        if self._fragments is not None:
            self._fragments.append(text)
            step: Step = {"fragments": self._fragments}
            if at_ms is not None:
                step["pause"] = round(max(0.1, self._since(at_ms) - speaking), 1)
            self._steps[-1] = {"says": step}
        elif self._is_cut:
            self._add_interrupt(text)
        else:
            self._be_silent(at_ms, speaking)
            self._steps.append({"says": text})
            self._fragments = [text]
        self._acted(at_ms)

    def _press(self, keys: str, at_ms: float | None) -> None:
        if self._is_cut:
            self._hear_some(at_ms)
            self._steps.append({"presses": {"keys": keys, "waits": False}})
        else:
            self._be_silent(at_ms, 0.0)
            self._steps.append({"presses": keys})
        self._fragments = None
        self._acted(at_ms)

    def _add_interrupt(self, text: str) -> None:
        after = {"words": text, "after_words": max(0, self._heard - 1)}
        self._steps.append({"interrupts": {name: each for name, each in after.items() if each}})
        self._is_cut = False

    def _be_silent(self, at_ms: float | None, speaking: float) -> None:
        """The caller let the agent ask again."""
        if at_ms is None:
            return
        if any(self._acted_at < each < at_ms for each in self._silences):
            seconds = self._since(at_ms) - speaking - ORDINARY.reaction
            self._steps.append({"waits": round(max(1.0, seconds), 1)})

    def _acted(self, at_ms: float | None) -> None:
        self._heard, self._is_cut = 0, False
        self._acted_at = self._acted_at if at_ms is None else at_ms

    def _hear_some(self, until_ms: float | None = None) -> None:
        """The time until then, or in which the agent says as many words as were heard."""
        about = ORDINARY.first_token + self._heard / _WORDS_PER_SECOND
        seconds = about if until_ms is None else self._since(until_ms)
        self._steps.append({"waits": round(max(0.1, seconds), 1)})

    def _since(self, at_ms: float) -> float:
        """Seconds since the caller last did something."""
        return (at_ms - self._acted_at) / 1000

    def _change_line(self, cause: str) -> None:
        self._fragments = None
        if cause in _LOST:
            if self._is_cut:
                self._hear_some()
            self._steps.append({"loses_line": "64105"})
            self._is_cut = False

    def _end(self, reason: str) -> None:
        if reason == EndReason.IDLE:
            self._steps.append({"waits": _LONG_SILENCE_SECONDS})
        elif reason == EndReason.CALLER_HANGUP:
            if self._is_cut:
                self._hear_some()
            self._steps.append({"hangs_up": not self._is_cut})
