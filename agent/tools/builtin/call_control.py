"""Tools that act on the call: transfer, end, language, keys, and turns without an answer.

The conversation performs their effects: an end and a transfer once the caller has heard the words
about it. They are never joined: a caller may change to another language, back, and there again.
After `repeat_last`, `hold` and `skip_turn` no answer follows (`agent.call.turn_closing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.call.actions import (
    Handoff,
    HangUp,
    Hold,
    Play,
    RepeatLast,
    SendDigits,
    SkipTurn,
    SwitchLanguage,
)
from agent.call.caller_wishes import TRANSFER_ASKED, USER_REQUESTED
from agent.call.collector import Collector
from agent.call.history import CallerSaid, Fact, Note, ToolUsed
from agent.call.languages import closest_tag
from agent.call.turn import CALL_GOES_ON
from agent.errors import ToolError
from agent.tools.tool import CallContext, Tool, WithEffect, tool

_REASON_CHARS = 200
_SUMMARY_CHARS = 1_500
_SLOTS = 10
_REASON = (
    "Why: user-requested, legal, liability, financial, or another sensitive matter in a few words."
)
_DETAILS = (
    "What is known by now, each as `name: value`, for example `order: two pizzas`, "
    "`day: 2026-03-06`. No card numbers, passwords or health matters."
)


class _Asked(msgspec.Struct, frozen=True, rename={"summary": "context"}):
    """Arguments of `hand_off`."""

    reason: str = ""
    summary: str = ""
    details: tuple[str, ...] = ()

    @property
    def handoff(self) -> Handoff:
        # Cut, not refused, so that the caller does not wait for a shorter summary.
        why = " ".join(self.reason.split())[:_REASON_CHARS] or USER_REQUESTED
        slots = {}
        for number, detail in enumerate(self.details[:_SLOTS], 1):
            name, _, value = (part.strip() for part in detail.partition(":"))
            if value or name:
                slots[name if name and value else f"note {number}"] = value or name
        return Handoff(why, self.summary.strip()[:_SUMMARY_CHARS], slots)


class _Switched(msgspec.Struct, frozen=True):
    language: str = ""


@tool("LiveAgentHandoffFunction", rename={"summary": "context"})
async def hand_off(
    call: CallContext,
    reason: Annotated[str, Meta(description=_REASON)],
    summary: Annotated[
        str, Meta(description="What was said and done so far, for the person who takes over.")
    ] = "",
    details: Annotated[tuple[str, ...], Meta(description=_DETAILS)] = (),
) -> WithEffect:
    """Pass the call to a person.

    Use it when the caller asks for a person, or for legal, liability, financial or other
    sensitive matters. Tell the caller in one short sentence; the call then leaves you.
    """
    return WithEffect(
        {"message": "The caller is connected to a person as soon as you have said so."},
        _Asked(reason, summary, details).handoff,
    )


@tool("EndCallFunction")
async def end_call(call: CallContext) -> WithEffect:
    """End the call.

    Use it once, alone, when the caller has said goodbye or needs nothing more; then say goodbye in
    one short sentence.
    """
    return WithEffect({"message": "The call ends after your goodbye."}, HangUp())


@tool("SwitchLanguageFunction")
async def switch_language(
    call: CallContext,
    language: Annotated[
        str, Meta(description="The wanted language as a tag, for example es-US.", max_length=35)
    ],
) -> WithEffect:
    """Listen and speak in another language.

    Use it when the caller speaks or asks for another language; then go on in that language.
    """
    spoken = (call.language, *call.languages)
    if not (tag := closest_tag(language, spoken)):
        raise ToolError(f"This agent speaks only: {', '.join(spoken)}.")
    return WithEffect(
        {"language": tag, "message": f"Answer in {tag} from now on."}, SwitchLanguage(tag)
    )


@tool("CollectDigitsFunction", collects=Collector())
async def collect_digits(
    call: CallContext,
    min_digits: Annotated[int, Meta(description="The fewest digits it has.", ge=1, le=20)] = 1,
    max_digits: Annotated[int, Meta(description="The most digits it has.", ge=1, le=20)] = 20,
) -> dict[str, str]:
    """Let the caller type or say a number, such as one of an order, an account or a telephone.

    Ask for the number in the same reply. Not for cards, PINs, passwords or other secrets: you read
    what is entered.
    """
    return {"digits": call.digits}


_DIGITS = Annotated[
    str,
    Meta(
        description="The keys in order: 0-9, *, #, and w for half a second of pause.",
        pattern=r"^[0-9*#w]{1,40}$",
    ),
]


@tool("SendDigitsFunction")
async def send_digits(call: CallContext, digits: _DIGITS) -> WithEffect:
    """Press keys of the telephone, for a menu or an extension on the other side.

    Use it alone, without words, when the other side asks for keys.
    """
    return WithEffect({"message": "The keys are pressed."}, SendDigits(digits))


@tool("PlayAudioFunction")
async def play_audio(
    call: CallContext, audio: Annotated[str, Meta(description="The name of the audio file.")]
) -> WithEffect:
    """Play an audio file to the caller. What you say next follows after it."""
    if (file := call.audio.get(audio)) is None:
        names = ", ".join(call.audio) or "none"
        raise ToolError(f"There is no audio file {audio[:64]!r}. The files are: {names}.")
    played = Play(file.url, preemptible=False, lasts_ms=file.seconds * 1000)
    return WithEffect({"message": "It is played. Say in a short sentence what follows."}, played)


@tool("RepeatLastFunction")
async def repeat_last(call: CallContext) -> WithEffect:
    """Say your last words again, exactly as they were.

    Use it alone, without words, when the caller did not hear or understand you.
    """
    return WithEffect({"message": "Your last words are said again."}, RepeatLast())


@tool("HoldFunction")
async def hold(call: CallContext) -> WithEffect:
    """Wait for a caller who needs a moment, for up to two minutes.

    Use it alone, without words: the caller hears that there is time.
    """
    return WithEffect({"message": "You wait for the caller."}, Hold())


@tool("SkipTurnFunction")
async def skip_turn(call: CallContext) -> WithEffect:
    """Say nothing and go on listening.

    Use it alone, without words, when the caller talks to another person in the room.
    """
    return WithEffect({"message": "You say nothing and go on listening."}, SkipTurn())


def language_of(facts: Iterable[Fact]) -> str:
    """The language a call has last changed to; empty if it never did."""
    language = ""
    for fact in facts:
        if isinstance(fact, CallerSaid):
            language = fact.language or language
        if not (isinstance(fact, ToolUsed) and fact.call.name == switch_language.spec.name):
            continue
        if fact.result is not None and not fact.result.is_error:
            with suppress(msgspec.MsgspecError):
                switched = msgspec.json.decode(fact.result.content, type=_Switched)
                language = switched.language or language
    return language


def planned_end(facts: Sequence[Fact]) -> Handoff | HangUp | None:
    """The transfer or the end that a call was about to come to; None if the caller went on."""
    for fact in reversed(facts):
        if isinstance(fact, CallerSaid) or fact == Note(CALL_GOES_ON):
            return None
        if fact == Note(TRANSFER_ASKED):
            return Handoff(USER_REQUESTED)
        if not isinstance(fact, ToolUsed) or fact.result is None or fact.result.is_error:
            continue
        if fact.call.name == end_call.spec.name:
            return HangUp()
        if fact.call.name == hand_off.spec.name:
            with suppress(msgspec.MsgspecError):
                return msgspec.json.decode(fact.call.arguments, type=_Asked).handoff
    return None


TOOLS: tuple[Tool, ...] = (
    hand_off,
    end_call,
    switch_language,
    collect_digits,
    send_digits,
    play_audio,
    repeat_last,
    hold,
    skip_turn,
)
