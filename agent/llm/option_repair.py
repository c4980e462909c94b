"""What a model refuses, and what is done about it: one rule for all adapters.

A refusal is read in this order:

1. The request is too long, or the model cannot be had: a fault, see `worded`.
2. It names an option that was sent, as `temperature` or a forced tool choice: the request is made
   again at once without that option, or with another name for it. `LearnedOptions` remembers this
   for the model and the life of the process; it is counted and logged once.
3. It says that the model cannot do what was asked, as tool use while streaming: the model is to
   blame, `ReplyFault.DENIED`, and the next one is asked.
4. Anything else is a wrong request of ours, `ReplyFault.REFUSED`.

Providers name an option in a field (`param` of OpenAI, `loc` of FastAPI) or only in a sentence.
Their texts may quote the caller: they are matched, and logged only as personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import structlog

from agent.call.events import ReplyFault
from agent.ports import Count, uncounted

log = structlog.get_logger(__name__)

OptionLabel = Literal[
    "additional", "cache", "latency", "max_tokens", "metadata", "result_status", "service_tier",
    "stream_options", "temperature", "tool_choice", "top_p",
]  # fmt: skip
"""The kinds of options, for counting."""

WORDS_ONLY = "Answer the caller now with spoken words only. Do not call any tool in this answer."
FORCED = "In this answer you must call the tool {} first, before any words."
"""Say in the instructions what a tool choice would say, where a model takes none."""

MOST_REPAIRS = 8
"""A request is made at most so often again for refused options."""

_WORDINGS = (
    ("too long", ReplyFault.TOO_LONG),
    ("too many total text bytes", ReplyFault.TOO_LONG),
    ("too many input tokens", ReplyFault.TOO_LONG),
    ("context length", ReplyFault.TOO_LONG),
    ("context size", ReplyFault.TOO_LONG),
    ("context window", ReplyFault.TOO_LONG),
    ("context limit", ReplyFault.TOO_LONG),
    ("input tokens exceed", ReplyFault.TOO_LONG),
    ("input length and `max_tokens`", ReplyFault.TOO_LONG),
    ("max_tokens is too large", None),
    ("too large", ReplyFault.TOO_LONG),
    ("model identifier is invalid", ReplyFault.DENIED),
    ("on-demand throughput", ReplyFault.DENIED),
    ("operation not allowed", ReplyFault.DENIED),
    ("end of its life", ReplyFault.DENIED),
    ("as legacy", ReplyFault.DENIED),
    ("decommissioned", ReplyFault.DENIED),
    ("access to the model", ReplyFault.DENIED),
    ("not a chat model", ReplyFault.DENIED),
    ("requires --enable-auto-tool-choice", ReplyFault.DENIED),
    ("requires --jinja", ReplyFault.DENIED),
    ("invalid sequence as part of tooluse", ReplyFault.UNAVAILABLE),
)
"""Texts that say what is wrong, in lower case; the first that is found counts, `None` = none."""

_CANNOT = re.compile(
    r"(?:n['\u2019]t|not|no longer|cannot|never)\s+(?:\w+\s+)?"
    r"(?:support|available|enabled|allowed?|exist|found|be used)"
    r"|unsupported|only supported in|only supports"
)
_OF_A_MODEL = re.compile(
    r"\bmodels?\b|\bdeployment\b|\b(?:tool|function) (?:use|call)|support\w* (?:\w+ )?tools?\b|"
    r"\btools? (?:is|are)\b|\bsystem (?:role|message|prompt|instruction)|"
    r"\bdeveloper (?:role|message|instruction)|\bstreaming\b"
)
_REFUSES = re.compile(
    r"not\b|n['\u2019]t\b|cannot|unsupported|unknown|unrecogni[sz]ed|unexpected|extra|invalid|"
    r"deprecated|remove|only|must|should|too (?:large|high|many)|exceed|forbidden|incompatible"
)
_WORD = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*", re.IGNORECASE)
_TEXTS = frozenset({"message", "msg", "detail", "error", "raw", "Message"})
_POINTERS = frozenset({"param", "loc"})
_QUOTES = frozenset({"input", "ctx"})
"""Where a validator repeats what it was sent."""
_DEEPEST = 6
_LONGEST = 4_000
"""More of a refusal is not read; texts of this size are longer than any that are known."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something in a request that a model may refuse and can answer without."""

    key: str
    """How it is remembered; says what exactly is not sent again."""
    label: OptionLabel
    spellings: tuple[str, ...]
    """How refusals call it; case, `_` and `-` and blanks between words do not count."""


@dataclass(frozen=True, slots=True)
class RefusedOption:
    """What a provider said about a request."""

    text: str
    pointers: tuple[str, ...] = ()
    """The fields of the request that it named as such."""


def refusal_of(body: object) -> RefusedOption:
    """Read the decoded body of an answer; what it quotes of the request is left out."""
    found = list(_told(body, "message", _DEEPEST))
    text = " ".join(text for is_pointer, text in found if not is_pointer)
    return RefusedOption(text[:_LONGEST], tuple(text for is_pointer, text in found if is_pointer))


def worded(text: str) -> ReplyFault | None:
    """What a text says in so many words; None = nothing of that kind."""
    plain = text[:_LONGEST].lower()
    return next((fault for words, fault in _WORDINGS if words in plain), None)


def fault_of(text: str) -> ReplyFault:
    """What a refusal means that is not about an option."""
    if fault := worded(text):
        return fault
    plain = text[:_LONGEST].lower()
    if _CANNOT.search(plain) and _OF_A_MODEL.search(plain):
        return ReplyFault.DENIED
    return ReplyFault.REFUSED


def refused_option(said: RefusedOption, sent: Iterable[Option]) -> Option | None:
    """Which of the options that were sent a refusal is about; the first one that it names."""
    if worded(said.text):
        return None
    options = tuple(sent)
    pointed = _names_in(" ".join(said.pointers))
    if option := _first_named(options, pointed):
        return option
    plain = said.text[:_LONGEST].lower()
    return _first_named(options, _names_in(said.text)) if _REFUSES.search(plain) else None


class LearnedOptions:
    """Which options the models of this process have refused.

    Args:
        count: For each refused option, once.
    """

    def __init__(self, count: Count = uncounted) -> None:
        self._count = count
        self._refused: dict[str, frozenset[str]] = {}

    def of(self, model: str) -> frozenset[str]:
        """The keys of the options that this model is not to be sent."""
        return self._refused.get(model, frozenset())

    def learn(self, model: str, said: RefusedOption, sent: Callable[[], Iterable[Option]]) -> bool:
        """Whether the request is to be made again, without the option that was refused.

        Args:
            model: Identifier.
            said: The refusal.
            sent: Gives the options of the request; asked only for a refusal.
        """
        option = refused_option(said, sent())
        if option is None:
            return False
        known = self.of(model)
        if option.key not in known:  # another call may have learned it meanwhile
            self._refused[model] = known | {option.key}
            log.warning(
                "model.option_refused", model=model, option=option.label, pii_detail=said.text
            )
            self._count("agent_llm_options_refused_total", model=model, option=option.label)
        return True


def _told(value: object, key: str, depth: int) -> Iterator[tuple[bool, str]]:
    """Texts and pointers in the body of an error, in order; (is a pointer, text)."""
    if depth < 0:
        return
    match value:
        case str() if key in _TEXTS or key in _POINTERS:
            yield key in _POINTERS, value
        case dict():
            for name, each in value.items():
                if name not in _QUOTES:
                    yield from _told(each, str(name), depth - 1)
        case list():
            for each in value:
                yield from _told(each, key, depth - 1)
        case _:
            pass  # a number, or a text under another name


def _names_in(text: str) -> frozenset[str]:
    """The words of a text without `_` and `-`, and what two or three of them make together."""
    words = [_plain(word) for word in _WORD.findall(text[:_LONGEST])]
    pairs = [one + other for one, other in pairwise(words)]
    triples = [pair + word for pair, word in zip(pairs, words[2:], strict=False)]
    return frozenset([*words, *pairs, *triples])


def _first_named(options: Iterable[Option], names: frozenset[str]) -> Option | None:
    return next(
        (each for each in options if any(_plain(name) in names for name in each.spellings)), None
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
