"""What is known of a call, folded from the messages of a request.

Nothing is kept between requests. What the caller has asked for, which question was put last, what
has been said and which tools have answered is all in the messages, and is read from there each
time. So an interrupt needs no bookkeeping here: a question of which the caller did not hear the
end is not in the history, and a "yes" after it confirms nothing (practice section 5, rule 11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

import msgspec

from agent.call.history import CALLER_WAITS, STILL_RUNNING
from agent.call.messages import Message, ReplyRequest, Role, Text, ToolCall, ToolResult
from agent.call.resumption import BROKEN_OFF
from agent.llm.offline.lines import LineList, read_all
from agent.llm.offline.rules import CompiledSlot, Rules
from agent.llm.offline.script_record import Entry
from agent.llm.offline.templates import texts_in
from agent.llm.offline.words import date_of_prompt, find_date, find_time, normalise

_WORD = re.compile(r"[^\W_]+")
_KEYS = re.compile(r"\[The caller pressed on the keypad: ([0-9*#]+)\]")
_PLACE = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBER = re.compile(r"\b\d{1,7}(?:\.\d{1,2})?\b")
_ANSWER_WITH = "Answer with this text"
"""How the note of a key with a fixed answer begins."""
_BRACKET = re.compile(r"[\[\]]")
_MAX_LISTED = 50


@dataclass(slots=True)
class State:
    """What is known after some of the messages; lives as long as one fold."""

    today: date | None
    prompt: dict[str, list[dict[str, str]]]
    slots: dict[str, object] = field(default_factory=dict)
    entries: dict[str, object] = field(default_factory=dict)
    lists: dict[str, LineList] = field(default_factory=dict)
    spoken: str = ""
    """All words of the agent, in plain form."""
    agent_turns: int = 0
    asked: str = ""
    heard: str = ""
    keys: str = ""
    dictated: str = ""
    """What a note tells to say."""
    intents: dict[str, bool] = field(default_factory=dict)
    fresh: dict[str, bool] = field(default_factory=dict)
    pending: dict[str, ToolCall] = field(default_factory=dict)
    called: dict[str, object] = field(default_factory=dict)
    done: dict[str, object] = field(default_factory=dict)
    tool: str = ""
    result: dict[str, object] = field(default_factory=dict)
    has_failed: bool = False
    is_running: bool = False
    ran: set[str] = field(default_factory=set)
    """Tools that answered since the caller last spoke."""

    def view(self) -> dict[str, object]:
        """What paths walk through; slots are shared with it, lists are as they are now."""
        return {
            "asked": self.asked,
            "begins": not self.spoken,
            "called": self.called,
            "done": self.done,
            "entry": self.entries,
            "failed": self.has_failed,
            "fresh": self.fresh,
            "heard": self.heard,
            "intent": self.intents,
            "keys": self.keys,
            "prompt": self.prompt,
            "result": self.result,
            "running": self.is_running,
            "slot": self.slots,
            "today": self.today,
            "tool": self.tool,
            "turn": self.agent_turns,
            **{name: each.view() for name, each in self.lists.items()},
        }


class Recall:
    """The state after the messages of a request that were read, see `read`."""

    def __init__(self, rules: Rules, request: ReplyRequest, today: date | None) -> None:
        self._rules = rules
        self._questions = {
            plain(text): name for name, texts in rules.questions.items() for text in texts
        }
        told = f"{request.system}\n\n{request.context}"
        self.state = State(
            today=date_of_prompt(told) or today,
            prompt={name: _groups(pattern, told) for name, pattern in rules.prompt.items()},
            lists={name: LineList() for name in rules.lines},
        )

    def read(self, message: Message) -> None:
        """One message: first its tool results, then its words."""
        if message.role is Role.AGENT:
            self._read_agent(message)
            return
        if _says_nothing_new(message):
            return
        self._begin_turn()
        for part in message.parts:
            if isinstance(part, ToolResult):
                call = self.state.pending.pop(part.call_id, None)
                if call is not None:
                    self._read_result(call, part.content, is_error=part.is_error)
        self._read_caller(" ".join(part.text for part in message.parts if isinstance(part, Text)))

    def _begin_turn(self) -> None:
        state = self.state
        state.tool, state.result, state.has_failed, state.is_running = "", {}, False, False
        state.heard, state.keys, state.dictated, state.intents, state.fresh = "", "", "", {}, {}
        state.lists = {name: each.at_rest for name, each in state.lists.items()}

    def _read_agent(self, message: Message) -> None:
        state = self.state
        state.agent_turns += 1
        for part in message.parts:
            if isinstance(part, ToolCall):
                state.pending[part.id] = part
            elif isinstance(part, Text):
                said = plain(part.text)
                state.spoken += f"{said} | "
                state.asked = self._question_in(said)

    def _question_in(self, said: str) -> str:
        """The question heard last, to its end."""
        ends = [
            (said.rfind(plain) + len(plain), name)
            for plain, name in self._questions.items()
            if plain in said
        ]
        return max(ends, default=(0, ""))[1]

    def _read_result(self, call: ToolCall, content: str, *, is_error: bool) -> None:
        state = self.state
        state.tool, state.result = call.name, _json(content)
        state.has_failed, state.is_running = is_error, content == STILL_RUNNING
        state.asked = ""
        state.ran.add(call.name)
        if not is_error:
            state.called[call.name] = _json(call.arguments) or {"ran": True}
        if not is_error and not state.is_running:
            state.done[call.name] = state.result or {"ran": True}
        self._update()

    def _read_caller(self, text: str) -> None:
        state = self.state
        state.keys = "".join(_KEYS.findall(text))
        speech, notes = _split_notes(_KEYS.sub(r" \1 ", text))
        self._read_notes(notes)
        words = normalise(speech)
        if not words:
            return
        state.heard = words
        state.ran = {state.tool} if state.tool else set()
        state.intents = {n: True for n, p in self._rules.intents.items() if p.search(words)}
        self._read_lists()
        for name, slot in self._rules.slots.items():
            self._fill_slot(name, slot)
        self._update()

    def _read_notes(self, notes: list[str]) -> None:
        """A text to say, or the result of a tool that came late (style section 13, rule 1)."""
        for note in notes:
            if note.startswith(_ANSWER_WITH):
                self.state.dictated = note.partition(": ")[2].strip()
            start, end = note.find("{"), note.rfind("}") + 1
            name = next((name for name in self.state.called if name in note), "")
            if name and 0 <= start < end:
                content = note[start:end]
                is_error = "error" in _json(content)
                self._read_result(ToolCall("", name, "{}"), content, is_error=is_error)

    def _read_lists(self) -> None:
        state = self.state
        for name, lines in self._rules.lines.items():
            if lines.frozen_when and lines.frozen_when.holds(self.state.view()):
                continue
            is_repeating = state.asked in lines.reader.record.accepts
            state.lists[name] = lines.reader.read(
                state.heard, state.lists[name], is_repeating=is_repeating
            )

    def _fill_slot(self, name: str, slot: CompiledSlot) -> None:
        state = self.state
        value = self._heard_value(slot)
        if isinstance(value, Entry):
            state.entries[name] = {"about": value.about, "spoken": value.spoken or value.value}
            value = value.value
        if value not in (None, ""):
            state.slots[name], state.fresh[name] = value, True

    def _heard_value(self, slot: CompiledSlot) -> object:
        state, record = self.state, slot.record
        is_answer = state.asked in record.answers and not (
            slot.unless and slot.unless.holds(state.view())
        )
        match record.kind:
            case "vocabulary":
                phrase = _last(slot.mention, state.heard)
                return slot.entries.get(phrase or "")
            case "date":
                day = find_date(state.heard, state.today) if state.today else None
                return day.isoformat() if day else None
            case "time":
                return find_time(state.heard, is_answer=is_answer)
            case "listed":
                return _listed(state.prompt[record.listed], state.heard) if is_answer else None
            case "number" | "pattern":
                text = _last(slot.pattern, state.heard)
                if text is None and is_answer:
                    text = _last(slot.answer, state.heard)
                return _as_number(text) if record.kind == "number" else text

    def _update(self) -> None:
        state, view = self.state, self.state.view()
        for update in self._rules.updates:
            if not update.when.holds(view):
                continue
            for name, template in update.set.items():
                state.slots[name] = template.value(view, self._rules.phrases)
            for name in update.clear:
                state.slots.pop(name, None)
                if name in state.lists:
                    state.lists[name] = LineList()
                    view = self.state.view()
            for name, template in update.read.items():
                self._read_into(name, template.value(view, self._rules.phrases))
                view = self.state.view()

    def _read_into(self, name: str, texts: object) -> None:
        reader, lines = self._rules.lines[name].reader, self.state.lists[name]
        self.state.lists[name] = read_all(
            texts_in(texts), lines, lambda text, into: reader.read(normalise(text), into)
        )


def _groups(pattern: re.Pattern[str], text: str) -> list[dict[str, str]]:
    found = islice(pattern.finditer(text), _MAX_LISTED)
    return [each.groupdict(default="") for each in found]


def _says_nothing_new(message: Message) -> bool:
    """Only that the caller waits, or that the line broke: what was to be answered still is."""
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    said = " ".join(texts).replace(CALLER_WAITS, "").replace(f"[{BROKEN_OFF}]", "")
    return len(texts) == len(message.parts) and not said.strip()


def plain(text: str) -> str:
    """Words only: how sentences are compared whatever the speech filters did to them."""
    return " ".join(_WORD.findall(text.lower()))


def _json(text: str) -> dict[str, object]:
    """The object in a JSON text; anything else is an empty one."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _split_notes(text: str) -> tuple[str, list[str]]:
    """What was said, and the notes in square brackets, which may hold brackets themselves."""
    said, notes, depth, start = [], [], 0, 0
    for bracket in _BRACKET.finditer(text):
        position = bracket.start()
        if bracket[0] == "[":
            if depth == 0:
                said.append(text[start:position])
                start = position + 1
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                notes.append(text[start:position])
                start = position + 1
    said.append(text[start:])
    return " ".join(said), notes


def _last(pattern: re.Pattern[str] | None, text: str) -> str | None:
    """The last match: its first group that took part, or the whole."""
    matches = list(pattern.finditer(text)) if pattern else []
    if not matches:
        return None
    return next((group for group in matches[-1].groups() if group), matches[-1][0])


def _as_number(text: str | None) -> int | float | None:
    found = _NUMBER.search(text or "")
    if found is None:
        return None
    return float(found[0]) if "." in found[0] else int(found[0])


def _listed(listed: list[dict[str, str]], heard: str) -> dict[str, str] | None:
    """The element a caller means: by its place in the list, or by the words they share."""
    place = _as_number(_last(_PLACE, heard)) or _as_number(heard)
    if isinstance(place, int) and 1 <= place <= len(listed):
        return listed[place - 1]
    said = {word for word in heard.split() if len(word) > 3}
    shared = [len(said & _words_of(element)) for element in listed]
    best = max(shared, default=0)
    return listed[shared.index(best)] if best else None


def _words_of(element: Mapping[str, str]) -> set[str]:
    """The longer words of a record; those inside a key like `restaurantOrdering` too."""
    text = " ".join(element.values())
    return set(normalise(_INNER_CAPITAL.sub(" ", text)).split())
