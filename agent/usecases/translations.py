"""The sentences of a use case in each of its languages.

`[phrases]` of a file, `phrases` of a record: sentences by name, in the language the call begins in,
and a table of them for a language, by its tag with or without a region:

    [phrases]
    goodbye = "Thank you for calling Harbor Oven. Goodbye."
    [phrases.es]
    goodbye = "Gracias por llamar a Harbor Oven. Adiós."

What is not there is taken from the built-in sentences of the language (`agent.call.languages`), in
English if there are none. Rejected: a table for each name with the languages in it, because a
translator works on one language at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import partial

from agent.call.built_in_phrases import phrases_in
from agent.call.config import Phrases
from agent.call.languages import LANGUAGES, languages_of, primary
from agent.call.spoken_values import words_of
from agent.errors import UseCaseError
from agent.usecases import UseCase
from agent.usecases.relay_attributes import language_of_voice
from agent.usecases.validation import RecordErrors, convert, table

_FIELD = "phrases"
_NAMED = 4  # sentences in a message


def read_translations(
    raw: object, tags: tuple[str, ...], errors: RecordErrors
) -> Mapping[str, Phrases]:
    """The sentences in each of these languages; the call begins in the first one."""
    given = table(raw, _FIELD, errors)
    own = {name: each for name, each in given.items() if isinstance(each, Mapping)}
    spoken = {tag: phrases_in(tag) or Phrases() for tag in tags}
    first = {name: each for name, each in given.items() if name not in own}
    spoken[tags[0]] = _with_phrases(spoken[tags[0]], first, _FIELD, errors)
    for name in sorted(own, key=len):  # a region's after those of its language
        meant = [tag for tag in tags if tag == name or (primary(tag) == name)]
        if not meant:
            there = ", ".join(tags)
            errors.remark(f"{_FIELD}.{name}: is no language of the use case; there are: {there}")
        for tag in meant:
            spoken[tag] = _with_phrases(spoken[tag], own[name], f"{_FIELD}.{name}", errors)
    return spoken


def _with_phrases(
    phrases: Phrases, given: Mapping[str, object], field: str, errors: RecordErrors
) -> Phrases:
    for name, sentence in given.items():
        read = partial(_with_phrase, phrases, name, sentence, field)
        phrases = errors.read_or(read, phrases)
    return phrases


def _with_phrase(phrases: Phrases, name: str, raw: object, field: str) -> Phrases:
    if name not in {each.name for each in fields(Phrases)}:
        raise UseCaseError(f"{field}.{name}: there is no such sentence")
    said = getattr(convert({name: raw}, Phrases, field), name)
    sentences = (said,) if isinstance(said, str) else said
    if not (sentences and all(sentence.strip() for sentence in sentences)):
        raise UseCaseError(f"{field}.{name}: is blank")
    return replace(phrases, **{name: said})


def lacking(use_case: UseCase) -> Iterator[str]:
    """What the languages of a use case lack, one line each: sentences, or their language."""
    begins_in = language_of_voice(use_case.relay)
    for tag, phrases in use_case.translations.items():
        built_in = phrases_in(tag)
        names = [each.name for each in fields(Phrases)]
        if built_in is None and primary(tag) != "multi":
            left = [one for one in names if getattr(phrases, one) == getattr(Phrases(), one)]
            if left:
                more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
                there = ", ".join(LANGUAGES)
                yield (
                    f"{_FIELD}.{tag}: lacks {', '.join(left[:_NAMED])}{more}, which are said in"
                    f" English; there are built-in sentences in: {there}"
                )
        own = [one for one in names if getattr(phrases, one) != getattr(built_in, one, None)]
        said = [sentence for one in own for sentence in _sentences(phrases, one)]
        if tag == begins_in and use_case.greeting:
            own, said = ["greeting", *own], [use_case.greeting, *said]
        found = languages_of(words_of(" ".join(said)).split())
        if found and primary(tag) in LANGUAGES and primary(tag) not in found:
            what = ", ".join(own[:_NAMED])
            yield f"{_FIELD}: {what}: read as {found[0]}, the language is {tag}"


def _sentences(phrases: Phrases, name: str) -> tuple[str, ...]:
    said = getattr(phrases, name)
    return (said,) if isinstance(said, str) else said
