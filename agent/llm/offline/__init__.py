"""The offline model: answers from the script of a use case, without an account or a network.

It replaces a language model in a terminal, in tests and under load. It understands what its script
lists (`agent.llm.offline.script`), and says so if it does not understand.

- It keeps no state: what the caller wants, the last question and the results of tools are read from
  the messages of each request. A "yes" after an interrupted question confirms nothing.
- It returns an empty summary, and `agent.call.summarization` makes an extract instead.
- Rejected: replaying recorded replies. They fit one conversation only, and call no tools.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from agent.call.history import CALLER_WAITS, CUT_OFF, STILL_RUNNING
from agent.call.languages import primary
from agent.call.messages import (
    SPEAKS,
    Choice,
    ForcedTool,
    Message,
    Part,
    ReplyPiece,
    ReplyRequest,
    Role,
    Stopped,
    StopReason,
    Text,
    TextPiece,
    ToolCall,
    ToolResult,
    Usage,
)
from agent.call.resumption import BROKEN_OFF
from agent.call.summarization import SUMMARIZE
from agent.call.text import json_object
from agent.call.turn import CALL_GOES_ON
from agent.llm.offline.order import Order, OrderReader
from agent.llm.offline.script import (
    MAX_ELEMENTS,
    Intent,
    Script,
    holds,
    load,
    look_up,
    pattern,
    recognise,
    render,
    value_of,
)
from agent.llm.offline.words import date_of_prompt, normalise, plain, split_notes
from agent.ports import Pause, no_pause

OFFLINE_NOTICE = (
    "This is the offline model: a script that recognises some sentences, not a language model."
)

NO_SCRIPT = """{
  "intents": [],
  "tools": {"*": {"done": [{"when": ["result.message"], "say": "{result.message}"}]}},
  "fallback": [
    "I am a script, and for this agent I have no lines. A language model would answer you here."
  ],
  "trouble": ["That did not work."], "done": ["That is done."]
}"""  # the script of a use case that has none

_WORD = re.compile(r"\S+\s*")
_KEYS = re.compile(r"\[The caller pressed on the keypad: ([0-9*#]+)\]")
_SPEAKS = re.compile(re.escape(SPEAKS).replace(r"\{\}", "([A-Za-z0-9-]+)"))
_ANSWER_WITH = "Answer with this text"  # begins the note about a key with a fixed answer
_LAST_RESORT = "I am sorry, I do not know what to say."
_LONG = 500  # characters of a message after which the model yields to the event loop


class OfflineModel:
    """`ports.LanguageModel` from a script; raises `UseCaseError` for a broken one."""

    name = "offline:"

    def __init__(self, script_json: str) -> None:
        script = load(script_json)
        scripts = {"": script, **script.languages}
        self._scripts = {tag: (each, OrderReader(each.menu)) for tag, each in scripts.items()}

    async def warm(self) -> None:
        """Nothing to connect to."""

    async def reply(
        self, request: ReplyRequest, _pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        """Stream the answer word by word, then the tool call if there is one; a word is a token."""
        answer = await self._answer(request)
        for piece in _pieces(answer, len(request.messages)):
            await asyncio.sleep(0)
            yield [piece]
        parts = (_text(part) for message in request.messages for part in message.parts)
        read = sum(len(text.split()) for text in (request.system, request.context, *parts))
        written = answer.text.split() + answer.arguments.split() * bool(answer.call)
        yield [Usage(read, len(written))]

    async def _answer(self, request: ReplyRequest) -> Answer:
        if request.system == SUMMARIZE:
            return Answer("")
        scripts = self._scripts
        script, reader = scripts.get(_language_of(request.messages), scripts[""])
        dialogue = Dialogue(script, reader, request)
        for message in request.messages:
            dialogue.read(message)
            if sum(len(_text(part)) for part in message.parts) > _LONG:
                await asyncio.sleep(0)
        return dialogue.answer()


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say, and the tool to call after it with arguments in JSON; one of them is there."""

    text: str
    call: str = ""
    arguments: str = "{}"


class Dialogue:
    """One request. The paths of a script begin with the public attributes."""

    def __init__(self, script: Script, reader: OrderReader, request: ReplyRequest) -> None:
        told = f"{request.system}\n\n{request.context}"
        may_call = request.choice is not Choice.NONE
        self._script = script
        self._reader = reader
        self._forced = request.choice.name if isinstance(request.choice, ForcedTool) else ""
        self._today = date_of_prompt(told)
        self.prompt = {
            name: [found.groupdict(default="") for found in re.finditer(text, told, re.MULTILINE)]
            for name, text in script.prompt.items()
        }
        self.offered = {tool.name: True for tool in request.tools if may_call}
        self.slot: dict[str, object] = {}
        self.called: dict[str, bool] = {}  # tools that succeeded, or still run
        self.begins = True
        self.asked = ""  # the question that the caller heard last, to its end
        self._topic = ""  # the same, also if another one followed, such as "Are you still there?"
        self.tries = 0  # how often in a row the agent asked it
        self._asked_before = ""
        self._see_order(Order())
        self._begin_turn()
        self._questions = {
            plain(text): name for name, texts in script.questions.items() for text in texts
        }
        self._spoken = ""
        self._agent_turns = 0
        self._pending: dict[str, ToolCall] = {}
        self._ran = set[str]()  # tools that answered since the caller last spoke

    def read(self, message: Message) -> None:
        if message.role is Role.AGENT:
            self._read_agent(message)
        elif _says_nothing_new(message):
            self.asked = self._asked_then
        else:
            self._begin_turn()
            for part in message.parts:
                if isinstance(part, ToolResult) and part.call_id in self._pending:
                    name = self._pending.pop(part.call_id).name
                    self._read_result(name, part.content, is_error=part.is_error)
            self._read_caller(" ".join(p.text for p in message.parts if isinstance(p, Text)))

    def _begin_turn(self) -> None:
        self.heard = self.keys = ""
        self.intent: dict[str, bool] = {}
        self.fresh: dict[str, bool] = {}  # slots that were filled in this turn
        self.tool = ""  # the tool whose result came in this turn
        self.result: dict[str, object] = {}
        self.failed = self._is_running = False
        self._dictated = ""  # what a note tells the agent to say
        self._asked_then = self.asked  # to answer the caller's last words once more
        self._see_order(replace(self._order, news={}))

    def _see_order(self, order: Order) -> None:
        self._order, self.order = order, order.view()

    def _read_agent(self, message: Message) -> None:
        self._agent_turns += 1
        for part in message.parts:
            if isinstance(part, ToolCall):
                self._pending[part.id] = part
            elif isinstance(part, Text):
                said = plain(part.text)
                self._spoken += f"{said} | "
                ends = [
                    (said.rfind(question) + len(question), name)
                    for question, name in self._questions.items()
                    if question in said
                ]
                end, self._topic = max(ends, default=(0, ""))
                last_end = len(plain(part.text.rpartition("?")[0]))
                self.asked, self.begins = self._topic if end >= last_end else "", False
                is_again = self.asked == self._asked_before and not self.order.get("changed")
                self.tries = self.tries + 1 if is_again else 1
                self._asked_before = self.asked

    def _read_result(self, name: str, content: str, *, is_error: bool) -> None:
        result = json_object(content) or {}
        self.tool, self.failed = name, is_error
        self.result = {name: self._translated(value) for name, value in result.items()}
        self.asked = self._topic = ""
        self._is_running = content == STILL_RUNNING
        self._ran.add(name)
        if not is_error:
            self.called[name] = True
        self._update()

    def _translated(self, value: object) -> object:
        words = self._script.words
        if not (words and isinstance(value, str)):
            return value
        return " ".join(words.get(word, word) for word in value.split(" "))

    def _read_caller(self, text: str) -> None:
        script = self._script
        self.keys = "".join(_KEYS.findall(text))
        speech, notes = split_notes(_KEYS.sub(r" \1 ", text))
        for note in notes:
            self._read_note(note)
        if not (words := normalise(speech)):
            return
        self.heard = words
        self._ran = {self.tool} if self.tool else set()
        self.intent = {
            each.name: True for each in script.intents if pattern(each.phrases).search(words)
        }
        if script.menu.closed_by not in self.called:
            is_repeating = self._topic in script.menu.read_back
            places = (slot.phrases for slot in script.slots.values() if slot.kind == "pattern")
            rest = words  # a street named like a dish is no dish
            for phrases in filter(None, places):
                rest = pattern(phrases).sub(" ", rest)
            self._see_order(self._reader.read(rest, self._order, is_repeating=is_repeating))
        for name, slot in script.slots.items():
            is_answer = self._topic in slot.answers and self.intent.keys().isdisjoint(slot.unless)
            listed = self.prompt.get(slot.listed, [])
            value = recognise(slot, words, self._today, listed, is_answer=is_answer)
            if value not in (None, ""):
                self.slot[name], self.fresh[name] = value, True
        self._update()

    def _read_note(self, note: str) -> None:
        if note == CALL_GOES_ON:  # the words of the caller come after the tool has ended the call
            self.tool = ""
        if note.startswith(_ANSWER_WITH):
            self._dictated = note.partition(": ")[2].strip()
        start, end = note.find("{"), note.rfind("}") + 1
        name = next((name for name in self.called if name in note), "")
        if name and 0 <= start < end:
            content = note[start:end]
            self._read_result(name, content, is_error="error" in (json_object(content) or {}))

    def _update(self) -> None:
        for update in self._script.updates:
            if not all(holds(condition, self._look) for condition in update.when):
                continue
            for name, text in update.set.items():
                self.slot[name] = value_of(text, self._look, self._script.lists)
            for name in update.clear:
                self.slot.pop(name, None)
            if "order" in update.clear:
                self._see_order(Order())
            texts = value_of(update.order, self._look, self._script.lists)
            if isinstance(texts, list):
                self._see_order(self._reader.read_earlier(texts[:MAX_ELEMENTS], self._order))

    def answer(self) -> Answer:
        if self._forced in self.offered:
            return Answer("", self._forced, self._arguments(self._forced, {}))
        if self._dictated:
            return Answer(self._dictated)
        answers = map(self._try, self._candidates())
        if answer := next(filter(None, answers), None):
            return answer
        script = self._script
        texts = script.trouble if self.failed else script.done if self.tool else script.fallback
        return Answer(self._say(texts) or _LAST_RESORT)

    def _candidates(self) -> Iterator[Intent]:
        tools = self._script.tools
        tool = tools.get(self.tool, tools.get("*"))
        if self._is_running:
            yield Intent(say=self._script.waiting)
        elif self.tool and tool is not None:
            yield from tool.failed if self.failed else tool.done
        if self.heard or not self.tool:
            yield from self._script.intents

    def _try(self, intent: Intent) -> Answer | None:
        is_meant = not intent.phrases or intent.name in self.intent
        if not (is_meant and all(holds(condition, self._look) for condition in intent.when)):
            return None
        missing = (ask for need, ask in intent.needs.items() if not holds(need, self._look))
        question = next(missing, "")
        said = question or intent.say
        text = self._say((said,) if isinstance(said, str) else said, once=intent.once)
        if not question and intent.call in self.offered and intent.call not in self._ran:
            return Answer(text, intent.call, self._arguments(intent.call, intent.arguments))
        if intent.call and not question:
            text = self._say((intent.otherwise,))
        return Answer(text) if text else None

    def _say(self, texts: Iterable[str], *, once: bool = False) -> str:
        rendered = [render(text, self._look, self._script.lists) for text in texts]
        return self._pick([text for text in rendered if text], once=once)

    def _pick(self, texts: list[str] | tuple[str, ...], *, once: bool = False) -> str:
        # the question at the end does not make a text a new one
        said = [plain(text.rpartition(". ")[0] or text) in self._spoken for text in texts]
        new = (text for text, is_said in zip(texts, said, strict=True) if not is_said)
        return next(new, texts[self._agent_turns % len(texts)] if texts and not once else "")

    def _arguments(self, name: str, added: Mapping[str, object]) -> str:
        tool = self._script.tools.get(name)
        value = self._fill({**(tool.arguments if tool else {}), **added})
        return msgspec.json.encode(value).decode()

    def _fill(self, value: object) -> object:
        match value:
            case str():
                return value_of(value, self._look, self._script.lists)
            case dict():
                filled = {name: self._fill(each) for name, each in value.items()}
                return {name: each for name, each in filled.items() if each not in (None, "", [])}
            case list():
                return [self._fill(each) for each in value]
            case _:
                return value

    def _look(self, path: str) -> object:
        root, *names = path.split(".")
        if root == "question":
            return self._pick(self._script.questions[names[0]])
        return look_up(getattr(self, root), names)


def _language_of(messages: Iterable[Message]) -> str:
    """The language that the call has changed to, without its region; empty = it never did."""
    language, switches = "", set[str]()
    for part in (part for message in messages for part in message.parts):
        match part:
            case ToolCall(call_id, "SwitchLanguageFunction"):
                switches.add(call_id)
            case ToolResult(call_id, content) if call_id in switches:
                language = str((json_object(content) or {}).get("language", language))
            case Text(text) if found := _SPEAKS.findall(text):
                language = found[-1]
    return primary(language)


def _says_nothing_new(message: Message) -> bool:
    """The caller only waits, or the line broke: what was to be answered still is."""
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    said = " ".join(texts)
    for note in (CALLER_WAITS, CUT_OFF, f"[{BROKEN_OFF}]"):
        said = said.replace(note, "")
    return len(texts) == len(message.parts) and not said.strip()


def _pieces(answer: Answer, message_count: int) -> list[ReplyPiece]:
    pieces: list[ReplyPiece] = [TextPiece(word) for word in _WORD.findall(answer.text)]
    if not answer.call:
        return [*pieces, Stopped(StopReason.END)]
    call = ToolCall(f"offline-{message_count}", answer.call, answer.arguments)
    return [*pieces, call, Stopped(StopReason.TOOLS)]


def _text(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    return part.arguments if isinstance(part, ToolCall) else part.content
