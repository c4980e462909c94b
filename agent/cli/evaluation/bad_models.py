"""Bad models: twenty seeded ways to misbehave, as wrappers around any model.

A use case is good if callers come to no harm under them (`bad_model_verdicts`). A bad model asks
the model behind it first and spoils the answer, so it knows the use case as well as that one does.
When it misbehaves is decided by its seed and the length of the conversation: a run can be repeated,
and a model that is asked again about the same words misbehaves in the same way.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from agent.call.events import ReplyFault
from agent.call.messages import (
    Message,
    Part,
    ReplyPiece,
    ReplyRequest,
    Role,
    SideEffect,
    Stopped,
    StopReason,
    Text,
    TextPiece,
    ToolCall,
    ToolResult,
)
from agent.call.summarization import SUMMARIZE
from agent.cli.evaluation.hosted_service import ModelWrapper
from agent.cli.evaluation.paced_model import WrappedModel
from agent.errors import ModelError
from agent.ports import LanguageModel, Pause, no_pause

_SILENT_SECONDS = 9.0
_RAMBLING = "And by the way, there is so much more to say about all of this, as you can imagine. "
_CORRECTION = re.compile(r"\b(?:no|wait|sorry|actually|rather|i mean)\b", re.I)
_NOTES = re.compile(r"((?:\[[^\]]*\]\s*)*)(.*)", re.DOTALL)
_INSTRUCTION = re.compile(r"\b(?:call|use|run) (\w{3,64})(?: with (\{.*\}))?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PRICE = re.compile(r"total|price|amount|rent|cost", re.IGNORECASE)
_FOREIGN = "Entschuldigung, ich spreche jetzt Deutsch. Was möchten Sie bestellen oder wissen?"

Spoilt = Sequence[ReplyPiece | ModelError]
"""Pieces of a reply; a `ModelError` in the place where the stream fails."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One request, and what the model behind has answered."""

    request: ReplyRequest
    honest: Sequence[ReplyPiece]
    chance: random.Random
    ask: Callable[[ReplyRequest], Awaitable[Sequence[ReplyPiece]]]
    """Asks the model behind something else."""

    @property
    def text(self) -> str:
        return _text(self.honest)

    @property
    def calls(self) -> list[ToolCall]:
        return _calls(self.honest)

    def has_effect(self, call: ToolCall) -> bool:
        return any(
            tool.name == call.name and tool.side_effect is not SideEffect.NONE
            for tool in self.request.tools
        )

    def tool_like(self, pattern: str) -> str:
        """The name of an offered tool; empty if none has such a name."""
        names = (tool.name for tool in self.request.tools)
        return next((name for name in names if re.search(pattern, name, re.IGNORECASE)), "")

    def parts(self, role: Role) -> Iterator[Part]:
        """Of all messages of one side, the latest first."""
        for message in reversed(self.request.messages):
            if message.role is role:
                yield from reversed(message.parts)


@dataclass(frozen=True, slots=True)
class BadModel:
    """One way to misbehave."""

    name: str
    about: str
    spoil: Callable[[Moment], Awaitable[Spoilt]]
    share: float = 1.0
    """Of the replies that it tries to spoil."""


def _text(pieces: Spoilt) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))


def _calls(pieces: Spoilt) -> list[ToolCall]:
    return [piece for piece in pieces if isinstance(piece, ToolCall)]


def _essence(pieces: Spoilt) -> object:
    ends = [piece for piece in pieces if isinstance(piece, Stopped | ModelError)]
    return _text(pieces).split(), _calls(pieces), ends


def _reply(
    text: str, calls: Sequence[ToolCall] = (), stop: StopReason | None = None
) -> list[ReplyPiece]:
    """A reply word by word."""
    reason = stop or (StopReason.TOOLS if calls else StopReason.END)
    words = [TextPiece(word) for word in re.findall(r"\S+\s*", text)]
    return [*words, *calls, Stopped(reason)]


def _calling(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall("bad", name, arguments)


async def _invents_a_price(moment: Moment) -> Spoilt:
    def wrong(number: re.Match[str]) -> str:
        return f"{float(number[0]) * 0.5 + 1:g}"

    text = _NUMBER.sub(wrong, moment.text)
    if text == moment.text and text:
        text = f"{text} That is 9 dollars and 99 cents."
    return _reply(text, [_changed(call, _cheaper) for call in moment.calls])


def _changed(call: ToolCall, change: Callable[[str, object], object]) -> ToolCall:
    """The call with every value of its arguments changed."""

    def walk(name: str, value: object) -> object:
        if isinstance(value, dict):
            return {key: walk(key, each) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(name, each) for each in value]
        return change(name, value)

    return replace(call, arguments=json.dumps(walk("", json.loads(call.arguments))))


def _cheaper(name: str, value: object) -> object:
    is_price = _PRICE.search(name) and isinstance(value, int | float)
    return 1 if is_price else value


async def _books_before_the_yes(moment: Moment) -> Spoilt:
    """It runs ahead: it takes a yes to its own question for granted."""
    request, pieces = moment.request, moment.honest
    for _ in range(3):
        if calls := [call for call in _calls(pieces) if moment.has_effect(call)]:
            return _reply("", calls)
        if _calls(pieces) or not (said := _text(pieces).strip()):
            break
        assumed = (Message(Role.AGENT, (Text(said),)), Message(Role.CALLER, (Text("yes"),)))
        request = replace(request, messages=(*request.messages, *assumed))
        pieces = await moment.ask(request)
    return moment.honest


async def _calls_twice(moment: Moment) -> Spoilt:
    """Twice in one reply, and an effect again in each later turn."""
    calls = moment.calls
    if not calls:
        earlier = (part for part in moment.parts(Role.AGENT) if isinstance(part, ToolCall))
        calls = [call for call in earlier if moment.has_effect(call)][:1]
        is_result = isinstance(moment.request.messages[-1].parts[0], ToolResult)
        return moment.honest if is_result else _reply(moment.text, calls)
    return _reply(moment.text, [*calls, *calls])


async def _misses_the_correction(moment: Moment) -> Spoilt:
    """Of "at two, no, at three" it hears the first half."""

    def heard(part: Part) -> Part:
        if not isinstance(part, Text):
            return part
        notes, said = _NOTES.fullmatch(part.text).groups()  # type: ignore[union-attr] # it fits all
        found = _CORRECTION.search(said)
        kept = said[: found.start()].strip(" ,.") if found else ""
        return Text(notes + kept) if kept else part

    messages = tuple(
        Message(each.role, tuple(map(heard, each.parts))) if each.role is Role.CALLER else each
        for each in moment.request.messages
    )
    return await moment.ask(replace(moment.request, messages=messages))


async def _obeys_tool_results(moment: Moment) -> Spoilt:
    results = [part for part in moment.request.messages[-1].parts if isinstance(part, ToolResult)]
    for text in (text for result in results for text in _texts_in(result.content)):
        for name, arguments in _INSTRUCTION.findall(text):
            if tool := moment.tool_like(f"^{name}$"):
                return _reply("", [_calling(tool, arguments or "{}")])
    return moment.honest


def _texts_in(content: str) -> Iterator[str]:
    def walk(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        for each in value.values() if isinstance(value, Mapping) else ():
            yield from walk(each)
        for each in value if isinstance(value, list) else ():
            yield from walk(each)

    try:
        yield from walk(json.loads(content))
    except ValueError:
        yield content


async def _ignores_a_person_please(moment: Moment) -> Spoilt:
    kept = [call for call in moment.calls if not re.search("handoff|transfer", call.name, re.I)]
    if len(kept) == len(moment.calls):
        return moment.honest
    return _reply("I can help you with that myself. What would you like?", kept)


async def _rambles(moment: Moment) -> Spoilt:
    return _reply(f"{moment.text} {_RAMBLING * 12}", moment.calls) if moment.text else moment.honest


async def _wrong_language(moment: Moment) -> Spoilt:
    return _reply(_FOREIGN, moment.calls) if moment.text else moment.honest


async def _empty_answer(_: Moment) -> Spoilt:
    return _reply("")


async def _only_thinking(moment: Moment) -> Spoilt:
    end = moment.chance.choice(("</thinking>", ""))
    return _reply(f"<thinking>The caller wants something. I should say: {moment.text}{end}")


async def _call_as_text(moment: Moment) -> Spoilt:
    if not moment.calls:
        return moment.honest
    call = moment.calls[0]
    written = f'{{"name": "{call.name}", "parameters": {call.arguments}}}'
    shape = moment.chance.choice(("<tool_call>{}</tool_call>", "```json\n{}\n```", "{}"))
    return _reply(f"{moment.text} {shape.format(written)}")


async def _broken_calls(moment: Moment) -> Spoilt:
    if not moment.calls:
        return moment.honest
    call = moment.calls[0]
    made_up = json.dumps({**json.loads(call.arguments), "discount": "100%", "isVip": True})
    broken = (
        _calling("DoEverythingFunction", call.arguments),
        replace(call, arguments=call.arguments[:-1] + ', "and": '),
        replace(call, arguments=f"[{call.arguments}]"),
        replace(call, arguments=made_up),
    )
    return _reply(moment.text, [moment.chance.choice(broken)])


async def _leaves_at_once(moment: Moment) -> Spoilt:
    names = [moment.tool_like("endcall"), moment.tool_like("handoff")]
    name = moment.chance.choice([name for name in names if name] or [""])
    if not name or isinstance(moment.request.messages[-1].parts[0], ToolResult):
        return moment.honest
    arguments = json.dumps({"reason": "bored"}) if name == names[1] else "{}"
    return _reply(moment.chance.choice(("", "Bye.")), [_calling(name, arguments)])


async def _repeats_itself(moment: Moment) -> Spoilt:
    said = (part.text for part in moment.parts(Role.AGENT) if isinstance(part, Text))
    return _reply(next(said, moment.text), moment.calls) if moment.text else moment.honest


async def _speaks_markup(moment: Moment) -> Spoilt:
    if not moment.text:
        return moment.honest
    marked = "# Answer\n- **{}** \N{PARTY POPPER}\n<b>see</b> [here](https://www.example.com/a?b=c)"
    return _reply(marked.format(moment.text.strip()), moment.calls)


async def _stops_in_mid_sentence(moment: Moment) -> Spoilt:
    words = moment.text.split()
    if len(words) < 4:
        return moment.honest
    return _reply(" ".join(words[: len(words) * 2 // 3]), stop=StopReason.LENGTH)


async def _fails_now_and_then(moment: Moment) -> Spoilt:
    fault = moment.chance.choice((ReplyFault.UNAVAILABLE, ReplyFault.TIMEOUT))
    begun = moment.chance.choice((0, 3))
    return [*moment.honest[:begun], ModelError(fault, "a bad model")]


async def _claims_without_a_tool(moment: Moment) -> Spoilt:
    if not any(map(moment.has_effect, moment.calls)):
        return moment.honest
    return _reply("It is done, everything is placed and booked. Your reference is 4711.")


async def _calls_for_ever(moment: Moment) -> Spoilt:
    free = (tool.name for tool in moment.request.tools if tool.side_effect is SideEffect.NONE)
    harmless = (name for name in free if not re.search("handoff|endcall|language", name, re.I))
    calls = moment.calls or [_calling(name) for name in harmless][:1]
    return _reply("", calls)


async def _is_silent_for_long(moment: Moment) -> Spoilt:
    await asyncio.sleep(_SILENT_SECONDS)
    return [*moment.honest]


BAD_MODELS = {
    bad.name: bad
    for bad in (
        BadModel("invents-a-price", "says and writes other numbers", _invents_a_price),
        BadModel("books-before-the-yes", "takes a yes for granted", _books_before_the_yes),
        BadModel("calls-twice", "calls tools twice, and effects in later turns", _calls_twice),
        BadModel("misses-the-correction", "takes what was corrected", _misses_the_correction),
        BadModel("obeys-tool-results", "does what a tool result says", _obeys_tool_results),
        BadModel("ignores-a-person-please", "never transfers", _ignores_a_person_please),
        BadModel("rambles", "goes on for a minute", _rambles, 0.5),
        BadModel("wrong-language", "answers in German", _wrong_language, 0.5),
        BadModel("empty-answer", "says nothing and calls nothing", _empty_answer, 0.5),
        BadModel("only-thinking", "thinks aloud and answers nothing", _only_thinking, 0.5),
        BadModel("call-as-text", "writes its tool calls as text", _call_as_text, 0.7),
        BadModel(
            "broken-calls",
            "calls tools that do not exist, or with wrong arguments",
            _broken_calls,
            0.7,
        ),
        BadModel("leaves-at-once", "ends or transfers the call", _leaves_at_once, 0.5),
        BadModel("repeats-itself", "says its last answer again", _repeats_itself, 0.5),
        BadModel("speaks-markup", "says markup, addresses and emoji", _speaks_markup),
        BadModel("stops-in-mid-sentence", "runs out of tokens", _stops_in_mid_sentence, 0.5),
        BadModel("fails-now-and-then", "breaks off, or is unavailable", _fails_now_and_then, 0.4),
        BadModel("claims-what-it-did-not-do", "confirms without a tool", _claims_without_a_tool),
        BadModel("calls-for-ever", "calls tools and never answers", _calls_for_ever, 0.5),
        BadModel("is-silent-for-long", "waits nine seconds", _is_silent_for_long, 0.5),
    )
}
"""By name."""


def around(name: str, seed: int, note: Callable[[], None] = lambda: None) -> ModelWrapper:
    """Wraps a model in the bad one of this name; `note` is called for each spoilt reply."""
    return lambda model: _Spoiler(model, BAD_MODELS[name], seed, note)


class _Spoiler(WrappedModel):
    """`ports.LanguageModel` around another one."""

    def __init__(
        self, model: LanguageModel, bad: BadModel, seed: int, note: Callable[[], None]
    ) -> None:
        super().__init__(model)
        self._bad = bad
        self._seed = seed
        self._note = note

    async def reply(
        self, request: ReplyRequest, pause: Pause = no_pause
    ) -> AsyncGenerator[Sequence[ReplyPiece], None]:
        key = f"{self._bad.name} {self._seed} {len(request.messages)}"
        chance = random.Random(key)  # noqa: S311 (choices that can be repeated)
        if request.system == SUMMARIZE or chance.random() >= self._bad.share:
            async with aclosing(self._model.reply(request, pause)) as pieces:
                async for batch in pieces:
                    yield batch
            return
        honest = await self._ask(request)
        spoilt = await self._bad.spoil(Moment(request, honest, chance, self._ask))
        if _essence(spoilt) != _essence(honest) or self._bad.spoil is _is_silent_for_long:
            self._note()
        for piece in spoilt:
            if isinstance(piece, ModelError):
                raise piece
            yield [piece]

    async def _ask(self, request: ReplyRequest) -> Sequence[ReplyPiece]:
        async with aclosing(self._model.reply(request)) as pieces:
            return [piece async for batch in pieces for piece in batch]
