"""What comes before the greeting: the tables `[disclosure]`, `[consent]` and `[recording]`.

    [disclosure]
    text = "You are speaking with an automated assistant."
    [disclosure.es]
    text = "Habla con un asistente automático."
    [consent]
    question = "May we record this call? Say yes or press 1, say no or press 2."
    on_refusal = "go_on"       # or "transfer", "end"
    [recording]
    channels = "dual"          # or "mono"

A recording is begun after consent, or after the disclosure where nothing is asked. With neither it
is left out, and so it is where one of the two is there but cannot be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import msgspec

from agent.call.config import OnRefusal, OpeningTerms
from agent.call.languages import primary
from agent.call.languages.commitment_words import commitment_words
from agent.usecases.validation import RecordErrors, convert, table, tolerant

OpeningTable = dict[str, str | dict[str, str]]
"""A table with a text, and a table with it for each further language."""


class RecordingOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Call recording at Twilio; the table turns it on."""

    channels: Literal["dual", "mono"] = "dual"
    """`dual` has the caller and the agent on a channel each."""


def read_opening(
    disclosure: object,
    consent: object,
    recording: object,
    tags: tuple[str, ...],
    errors: RecordErrors,
) -> OpeningTerms:
    """The opening of a use case that speaks these languages; what is wrong is left out.

    `tags` are BCP 47; a call begins in the first one, whose text stands in for a missing one.
    """
    asked = table(consent, "consent", errors)
    refusal = asked.get("on_refusal", OnRefusal.GO_ON)
    read = partial(convert, refusal, OnRefusal, "consent.on_refusal")
    said = table(disclosure, "disclosure", errors)
    terms = OpeningTerms(
        disclosure=_texts(said, "disclosure", "text", tags, errors),
        question=_texts(asked, "consent", "question", tags, errors),
        on_refusal=errors.read_or(read, OnRefusal.END),
        recording=_channels(recording, errors),
    )
    for tag in tags if terms.question else ():
        if commitment_words(tag) is None:
            errors.remark(f"consent: no words of yes and no are known in {tag}; keys answer it")
    is_usable = bool(terms.disclosure or not said) and bool(terms.question or not asked)
    if terms.recording and not (terms and is_usable):
        errors.add("recording: needs a [disclosure] or [consent] that can be used")
        return OpeningTerms(terms.disclosure, terms.question, terms.on_refusal)
    return terms


def opening_remarks(
    terms: OpeningTerms, relay: Mapping[str, str], *, can_hand_off: bool, has_secrets: bool
) -> Iterator[str]:
    """What an opening lacks in its use case, one line each."""
    if terms.question and relay.get("dtmfDetection") == "false":
        yield "consent: keys are not reported, as dtmfDetection is false"
    if terms.on_refusal is OnRefusal.TRANSFER and not can_hand_off:
        yield "consent.on_refusal: there is no transfer target; the call ends"
    if terms.recording and has_secrets:
        yield "recording: keeps sensitive digits at Twilio"


def _channels(raw: object, errors: RecordErrors) -> str:
    if raw is None:
        return ""
    given = table(raw, "recording", errors)
    read = partial(tolerant, given, RecordingOptions, "recording", errors)
    return errors.read_or(read, RecordingOptions()).channels


def _texts(
    given: Mapping[str, object], field: str, name: str, tags: tuple[str, ...], errors: RecordErrors
) -> Mapping[str, str]:
    """The text in each language, that of the first one where there is none."""
    if not given:
        return {}
    first = _text(given, field, name, errors)
    for unknown in sorted(given.keys() - {name, "on_refusal" if field == "consent" else ""}):
        if not isinstance(given[unknown], Mapping):
            errors.add(f"{field}.{unknown}: there is no such field")
    if not first:
        return {}
    texts = {tags[0]: first}
    own = {tag: each for tag, each in given.items() if isinstance(each, Mapping)}
    for language in sorted(own, key=len):  # a region's after those of its language
        meant = [tag for tag in tags if language in {tag, primary(tag)}]
        if not meant:
            errors.remark(f"{field}.{language}: is no language of the use case")
        elif text := _text(own[language], f"{field}.{language}", name, errors):
            texts |= dict.fromkeys(meant, text)
    for tag in tags:
        if tag not in texts and primary(tag) != primary(tags[0]):
            errors.remark(f"{field}.{tag}: has no text, that of {tags[0]} is said")
    return texts


def _text(given: Mapping[str, object], field: str, name: str, errors: RecordErrors) -> str:
    """A text without blanks around it; empty, with an error, if there is none."""
    place, found = f"{field}.{name}", len(errors.errors)
    text = errors.read_or(partial(convert, given.get(name, ""), str, place), "").strip()
    if not text and len(errors.errors) == found:
        errors.add(f"{place}: is missing or blank")
    return text
