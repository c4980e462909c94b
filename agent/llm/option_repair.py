"""Refusals of requests, and their repair: one rule for all adapters.

A refusal is read in this order:

1. The request is too long, or the model cannot be used: a fault, see `known_fault`.
2. It names an option that was sent, as `temperature`: the request is repeated at once without it,
   or with its other name. `LearnedOptions` remembers this for the life of the process.
3. The model cannot do what was asked, as tool use while streaming: `ReplyFault.DENIED`.
4. Anything else is an invalid request: `ReplyFault.REFUSED`.

An option that a server accepts and ignores is remembered in the same way.

Providers name an option in a field (`param` of OpenAI, `loc` of FastAPI) or only in a sentence.
Their texts may quote the caller: they are matched, and logged only as personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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

# In place of a tool choice that a model does not accept:
WORDS_ONLY = "Answer the caller now with spoken words only. Do not call any tool in this answer."
FORCED = "In this answer you must call the tool {} first, before any words."
MOST_REPAIRS = 8

_WORDINGS: tuple[tuple[ReplyFault | None, tuple[str, ...]], ...] = (
    (ReplyFault.TOO_LONG, (
        "too long", "too many total text bytes", "too many input tokens", "context length",
        "context size", "context window", "context limit", "input tokens exceed",
        "input length and `max_tokens`",
    )),
    (None, ("max_tokens is too large",)),
    (ReplyFault.TOO_LONG, ("too large",)),
    (ReplyFault.DENIED, (
        "model identifier is invalid", "on-demand throughput", "operation not allowed",
        "end of its life", "as legacy", "decommissioned", "access to the model",
        "not a chat model", "requires --enable-auto-tool-choice", "requires --jinja",
    )),
    (ReplyFault.UNAVAILABLE, ("invalid sequence as part of tooluse",)),
)  # fmt: skip
"""Texts of refusals in lower case with their fault, in this order."""
FAULTS_BY_STATUS = {
    401: ReplyFault.DENIED,
    403: ReplyFault.DENIED,
    404: ReplyFault.DENIED,
    408: ReplyFault.TIMEOUT,
    413: ReplyFault.TOO_LONG,
    424: ReplyFault.UNAVAILABLE,
    429: ReplyFault.THROTTLED,
}

_CANNOT = re.compile(
    r"(?:n['\u2019]t|not|no longer|cannot|never)\s+(?:\w+\s+)?"
    r"(?:support|available|enabled|allowed?|exist|found|be used)"
    r"|unsupported|only supported in|only supports"
)
_OF_THE_MODEL = re.compile(
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
_QUOTES = frozenset({"input", "ctx"})  # fields in which a validator quotes the request
_DEEPEST = 6
_LONGEST = 4_000  # characters of a refusal that are read


@dataclass(frozen=True, slots=True)
class Option:
    """A part of a request that a model may refuse and can answer without."""

    key: str
    label: OptionLabel
    spellings: tuple[str, ...]  # its names in refusals; case, `_`, `-` and spaces do not count


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider says about a request that it refuses."""

    text: str
    pointers: tuple[str, ...] = ()  # the fields of the request that it names


def refusal_of(body: object) -> Refusal:
    """Read the decoded body of a response, without its quotations of the request."""
    found = list(_texts(body, "message", _DEEPEST))
    text = " ".join(text for is_pointer, text in found if not is_pointer)
    return Refusal(text[:_LONGEST], tuple(text for is_pointer, text in found if is_pointer))


def known_fault(text: str) -> ReplyFault | None:
    """The fault that a text states; None = it states none of the known ones."""
    plain = text[:_LONGEST].lower()
    return next((fault for fault, texts in _WORDINGS if any(each in plain for each in texts)), None)


def fault_of(text: str) -> ReplyFault:
    """The fault of a refusal that is not about an option."""
    plain = text[:_LONGEST].lower()
    is_denied = _CANNOT.search(plain) and _OF_THE_MODEL.search(plain)
    return known_fault(text) or (ReplyFault.DENIED if is_denied else ReplyFault.REFUSED)


def refused_option(refusal: Refusal, sent: Iterable[Option]) -> Option | None:
    """The first of the options sent that a refusal names; None = it is not about an option."""
    if known_fault(refusal.text):
        return None
    options = tuple(sent)
    if option := _first_named(options, _names_in(" ".join(refusal.pointers))):
        return option
    is_refusing = _REFUSES.search(refusal.text[:_LONGEST].lower())
    return _first_named(options, _names_in(refusal.text)) if is_refusing else None


class LearnedOptions:
    """The options that the models of this process have refused."""

    def __init__(self, count: Count = uncounted) -> None:
        self._count = count
        self._refused: dict[str, frozenset[str]] = {}

    def of(self, model: str) -> frozenset[str]:
        return self._refused.get(model, frozenset())

    def learn(self, model: str, refusal: Refusal | None, sent: Iterable[Option]) -> bool:
        """Remember the refused option; whether there is one, so that the request is repeated."""
        if refusal is None or (option := refused_option(refusal, sent)) is None:
            return False
        if self._add(model, option):
            log.warning(
                "llm.option_refused", model=model, option=option.label, pii_detail=refusal.text
            )
        return True

    def note_ignored(self, model: str, sent: Iterable[Option]) -> None:
        """Remember that the server has accepted options and has not done what they say."""
        for option in sent:
            if self._add(model, option):
                log.warning("llm.option_ignored", model=model, option=option.label)

    def _add(self, model: str, option: Option) -> bool:
        known = self.of(model)
        if option.key in known:  # a concurrent call may have learned it
            return False
        self._refused[model] = known | {option.key}
        self._count("agent_llm_options_refused_total", model=model, option=option.label)
        return True


def _texts(value: object, key: str, depth: int) -> Iterator[tuple[bool, str]]:
    """(Is a pointer, text) of the texts and pointers in the body of an error, in order."""
    if depth < 0:
        return
    match value:
        case str() if key in _TEXTS or key in _POINTERS:
            yield key in _POINTERS, value
        case dict():
            for name, each in value.items():
                if name not in _QUOTES:
                    yield from _texts(each, str(name), depth - 1)
        case list():
            for each in value:
                yield from _texts(each, key, depth - 1)
        case _:
            pass  # a number, or a text with another name


def _names_in(text: str) -> frozenset[str]:
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
