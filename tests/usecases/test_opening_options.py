"""The tables of a use case that come before the greeting."""

from __future__ import annotations

import pytest

from agent.call.config import OnRefusal, OpeningTerms
from agent.usecases.opening_options import opening_remarks, read_opening
from agent.usecases.validation import RecordErrors

TAGS = ("en-US", "es-US")
BOTH = {"text": "Hello.", "es": {"text": "Hola."}}


def read(
    disclosure: object = None,
    consent: object = None,
    recording: object = None,
    tags: tuple[str, ...] = TAGS,
) -> tuple[OpeningTerms, tuple[str, ...], tuple[str, ...]]:
    errors = RecordErrors()
    terms = read_opening(disclosure, consent, recording, tags, errors)
    return terms, errors.errors, errors.remarks


def test_without_the_tables_nothing_comes_before_the_greeting() -> None:
    assert read() == (OpeningTerms(), (), ())
    assert not OpeningTerms()


def test_texts_are_read_in_each_language() -> None:
    asked = {"question": "May we?", "on_refusal": "transfer", "es-US": {"question": "¿Podemos?"}}

    terms, errors, remarks = read(BOTH, asked, {"channels": "mono"})

    assert terms == OpeningTerms(
        {"en-US": "Hello.", "es-US": "Hola."},
        {"en-US": "May we?", "es-US": "¿Podemos?"},
        OnRefusal.TRANSFER,
        "mono",
    )
    assert (errors, remarks) == ((), ())


def test_an_empty_table_turns_the_recording_on() -> None:
    assert read(BOTH, recording={})[0].recording == "dual"


@pytest.mark.parametrize(
    ("disclosure", "consent", "error"),
    [
        (None, None, "recording: needs a [disclosure] or [consent] that can be used"),
        (BOTH, {"on_refusal": "end"}, "recording: needs a [disclosure] or [consent] that can be"),
        ({"text": " "}, {"question": "May we?"}, "recording: needs a [disclosure] or [consent]"),
    ],
)
def test_a_call_is_never_recorded_without_what_must_come_before(
    disclosure: object, consent: object, error: str
) -> None:
    terms, errors, _ = read(disclosure, consent, {})

    assert terms.recording == ""
    assert errors[-1].startswith(error) or errors[0].startswith(error)


@pytest.mark.parametrize(
    ("disclosure", "consent", "error"),
    [
        ({"es": {"text": "Hola."}}, None, "disclosure.text: is missing or blank"),
        ({"text": "Hi.", "es": {"text": ""}}, None, "disclosure.es.text: is missing or blank"),
        ({"text": "Hi.", "words": "x"}, None, "disclosure.words: there is no such field"),
        (None, {"question": "May we?", "on_refusal": "shout"}, "consent.on_refusal: "),
    ],
)
def test_a_wrong_field_is_named(disclosure: object, consent: object, error: str) -> None:
    (line,) = read(disclosure, consent)[1]

    assert line.startswith(error)


def test_a_refusal_that_cannot_be_read_ends_the_call() -> None:
    assert read(consent={"question": "May we?", "on_refusal": 1})[0].on_refusal is OnRefusal.END


def test_what_a_language_lacks_is_remarked() -> None:
    question = {"question": "May we?", "fr": {"question": "?"}}

    assert read({"text": "Hi."}, question, tags=("en-US", "it-IT"))[2] == (
        "disclosure.it-IT: has no text, that of en-US is said",
        "consent.fr: is no language of the use case",
        "consent.it-IT: has no text, that of en-US is said",
        "consent: no words of yes and no are known in it-IT; keys answer it",
    )


@pytest.mark.parametrize(
    ("relay", "can_hand_off", "has_secrets", "remark"),
    [
        ({"dtmfDetection": "false"}, True, False, "consent: keys are not reported"),
        ({}, False, False, "consent.on_refusal: there is no transfer target; the call ends"),
        ({}, True, True, "recording: keeps sensitive digits at Twilio"),
    ],
)
def test_what_its_use_case_lacks_is_remarked(
    relay: dict[str, str], can_hand_off: bool, has_secrets: bool, remark: str
) -> None:
    terms = OpeningTerms({}, {"en-US": "May we?"}, OnRefusal.TRANSFER, "dual")

    (line,) = opening_remarks(terms, relay, can_hand_off=can_hand_off, has_secrets=has_secrets)

    assert line.startswith(remark)
