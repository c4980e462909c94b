"""The answer to a request: the first rule that holds for what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import msgspec

from agent.call.messages import Choice, ForcedTool, Message, ReplyRequest
from agent.llm.offline.recall import Recall, plain
from agent.llm.offline.rules import CompiledRule, Each, Rules
from agent.llm.offline.templates import Template, rows


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say, and perhaps which tool to call after it."""

    text: str
    call: str = ""
    arguments: str = "{}"
    """JSON text."""


class Dialogue:
    """One request: to be read message by message, and then answered."""

    def __init__(self, rules: Rules, request: ReplyRequest, today: date | None) -> None:
        self._rules = rules
        self._offered = {tool.name: True for tool in request.tools}
        self._may_call = request.choice is not Choice.NONE
        self._forced = request.choice.name if isinstance(request.choice, ForcedTool) else ""
        self._recall = Recall(rules, request, today)
        self._state = self._recall.state

    def read(self, message: Message) -> None:
        """Read the next message of the request."""
        self._recall.read(message)

    def answer(self) -> Answer:
        """The answer; its text is never empty unless a tool is called."""
        view = self._view()
        if self._forced in self._offered:
            return Answer("", self._forced, self._arguments(self._forced, view))
        if self._state.dictated:
            return Answer(self._state.dictated)
        for rule in self._rules.rules:
            if self._is_possible(rule) and rule.when.holds(view):
                text = self._word(rule.say, view)
                if text or rule.call:
                    return self._answered(text, rule.call, view)
        return Answer(self._otherwise(view))

    def _answered(self, text: str, call: str, view: Mapping[str, object]) -> Answer:
        return Answer(text, call, self._arguments(call, view)) if call else Answer(text)

    def _is_possible(self, rule: CompiledRule) -> bool:
        if self._state.tool and not self._state.heard and not rule.is_about_tool:
            return False
        if not rule.call:
            return True
        return self._may_call and rule.call in self._offered and rule.call not in self._state.ran

    def _otherwise(self, view: Mapping[str, object]) -> str:
        """What is always true: an apology, an acknowledgement, or that we did not understand."""
        state = self._state
        if not state.tool:
            return self._pick(self._rules.fallback)
        return self._pick(self._rules.trouble if state.has_failed else self._rules.done)

    def _word(self, wordings: tuple[Template, ...], view: Mapping[str, object]) -> str:
        texts = (template.render(view, self._rules.phrases).strip() for template in wordings)
        return self._pick(tuple(filter(None, texts)))

    def _pick(self, wordings: tuple[str, ...]) -> str:
        """The first wording that was not said yet; after that in turn."""
        if not wordings:
            return ""
        new = (text for text in wordings if plain(text) not in self._state.spoken)
        return next(new, wordings[self._state.agent_turns % len(wordings)])

    def _arguments(self, name: str, view: Mapping[str, object]) -> str:
        value = self._fill(self._rules.calls.get(name, {}), view)
        return msgspec.json.encode(value if isinstance(value, dict) else {}).decode()

    def _fill(self, value: object, view: Mapping[str, object]) -> object:
        """JSON with its templates filled; what is not known is left out of objects."""
        match value:
            case Template():
                return value.value(view, self._rules.phrases)
            case Each(listed, item):
                found = rows(listed.value(view, self._rules.phrases))
                return [self._fill(item, {**view, **row}) for row in found]
            case dict():
                filled = {name: self._fill(each, view) for name, each in value.items()}
                return {name: each for name, each in filled.items() if each not in (None, "", [])}
            case list():
                return [self._fill(each, view) for each in value]
            case _:
                return value

    def _view(self) -> dict[str, object]:
        questions = self._rules.questions.items()
        return {
            **self._state.view(),
            "offered": self._offered if self._may_call else {},
            "question": {name: self._pick(wordings) for name, wordings in questions},
        }
