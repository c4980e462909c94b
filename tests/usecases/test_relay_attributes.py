"""The relay's attributes of a record are checked before a call uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.usecases.relay_attributes import (
    ATTRIBUTES,
    LANGUAGE_ATTRIBUTES,
    language_settings,
    relay_attributes,
)
from agent.usecases.validation import RecordErrors

DEFAULT_ATTRIBUTES = {
    "ttsProvider": "ElevenLabs",
    "voice": "UgBBYS2sOqTuMpoF3BR0",
    "transcriptionProvider": "Deepgram",
    "interruptible": "any",
    "interruptSensitivity": "medium",
    "reportInputDuringAgentSpeech": "any",
    "ignoreBackchannel": "true",
    "dtmfDetection": "true",
    "events": "speaker-events",
}


Attributes = Mapping[str, str]


@dataclass
class Checked:
    """What the relay gets, and what is said about the rest."""

    attributes: Attributes
    greeting: str = ""
    remarks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def checked(**params: object) -> Checked:
    errors = RecordErrors()
    return Checked(*relay_attributes(params, errors), errors.remarks, errors.errors)


def languages_of(
    records: Iterable[Mapping[str, object]], inherited: Attributes = DEFAULT_ATTRIBUTES
) -> tuple[tuple[Attributes, ...], tuple[str, ...], tuple[str, ...]]:
    """Languages, remarks and errors."""
    errors = RecordErrors()
    return language_settings(records, inherited, errors), errors.remarks, errors.errors


def test_a_record_of_the_predecessor_is_read_as_it_is() -> None:
    """Booleans, lower-case providers, an invented attribute, the greeting; no URL of the socket."""
    given = {
        "dtmfDetection": True,
        "interruptible": True,
        "interruptByDtmf": True,
        "ttsProvider": "google",
        "voice": "en-US-Journey-O",
        "transcriptionProvider": "deepgram",
        "welcomeGreeting": "Hello, this is the booking line.",
        "url": "wss://elsewhere.example.com/",
    }

    assert checked(**given) == Checked(
        {
            **DEFAULT_ATTRIBUTES,
            "ttsProvider": "Google",
            "voice": "en-US-Journey-O",
            "interruptible": "true",
        },
        "Hello, this is the booking line.",
        remarks=(
            "conversationRelayParams.interruptByDtmf: the relay has no such attribute, dropped",
            "conversationRelayParams.url: is set by the service, dropped",
        ),
    )


def test_the_record_wins_over_every_default() -> None:
    """They are written for an empty record."""
    assert checked() == Checked(DEFAULT_ATTRIBUTES)
    record = {
        "ttsProvider": "Amazon",
        "voice": "Lupe-Neural",
        "transcriptionProvider": "Google",
        "interruptible": "none",
        "interruptSensitivity": "high",
        "reportInputDuringAgentSpeech": "none",
        "ignoreBackchannel": "false",
        "dtmfDetection": "false",
        "events": "tokens-played",
    }

    assert checked(**record) == Checked(record)


@pytest.mark.parametrize(
    ("params", "name", "default"),
    [
        ({"ttsProvider": "Google"}, "voice", "en-US-Journey-O"),
        ({"ttsProvider": "amazon"}, "voice", "Joanna-Neural"),
        ({"language": "es-US", "ttsLanguage": "en-us"}, "voice", "UgBBYS2sOqTuMpoF3BR0"),
        ({"language": "es-US"}, "voice", None),
        ({"ttsLanguage": "en-GB"}, "voice", None),
        ({"language": "fr-CA"}, "ignoreBackchannel", "true"),
        ({"language": "ja-JP", "transcriptionLanguage": "de-DE"}, "ignoreBackchannel", "true"),
        ({"language": "ja-JP"}, "ignoreBackchannel", None),
        ({"language": "en-US", "transcriptionLanguage": "multi"}, "ignoreBackchannel", None),
    ],
)
def test_a_default_fits_provider_and_language(
    params: dict[str, object], name: str, default: str | None
) -> None:
    """No English voice for another language; the filter only where it is known to work."""
    assert checked(**params).attributes.get(name) == default


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("partialPrompts", False, "false"),
        ("partialPrompts", "True", "true"),
        ("partialPrompts", "yes", "true"),
        ("dtmfDetection", 1, "true"),
        ("dtmfDetection", Decimal("0"), "false"),
        ("dtmfDetection", "off", "false"),
        ("welcomeGreetingInterruptible", True, "any"),
        ("welcomeGreetingInterruptible", "false", "none"),
        ("welcomeGreetingInterruptible", "Speech", "speech"),
        ("reportInputDuringAgentSpeech", True, "any"),
        ("reportInputDuringAgentSpeech", 0, "none"),
        ("debug", True, "debugging"),
        ("debug", "true", "debugging"),
        ("debug", False, None),
        ("debug", ["debugging", "tokens-played"], "debugging tokens-played"),
        ("events", True, "speaker-events"),
        ("events", "speaker-events,tokens-played", "speaker-events tokens-played"),
        ("events", ["tokens-played", "speaker-events"], "tokens-played speaker-events"),
        ("hints", ["Ulm", "Bern", " "], "Ulm,Bern"),
        ("hints", ("Ulm", 1879), "Ulm,1879"),
        ("hints", [], None),
        ("speechModel", ["nova-3-general"], "nova-3-general"),
        ("ttsTextNormalization", True, "on"),
        ("elevenlabsTextNormalization", "FALSE", "off"),
        ("ttsLanguageTextNormalization", "1", "true"),
        ("language", "English", "English"),
        ("language", "en_US", "en-US"),
        ("eotThreshold", " 0.7 ", "0.7"),
        ("interruptible", False, "false"),
        ("interruptible", "SPEECH", "speech"),
        ("speechTimeout", "auto", "auto"),
        ("speechTimeout", "Auto", "auto"),
        ("speechTimeout", 600, "600"),
        ("speechTimeout", 5000.0, "5000"),
        ("speechTimeout", "1000", "1000"),
        ("speechTimeout", Decimal("1E+3"), "1000"),
        ("eotThreshold", 0.7, "0.7"),
        ("eotThreshold", Decimal("0.50"), "0.5"),
        ("eagerEotThreshold", "0.3", "0.3"),
        ("language", " cmn-CN ", "cmn-CN"),
        ("events", "tokens-played  speaker-events tokens-played", "tokens-played speaker-events"),
        ("events", "config-updated", "config-updated"),
        ("debug", "debugging speaker-events", "debugging speaker-events"),
        ("includeInPrompt", "turn-state", "turn-state"),
        ("ttsTextNormalization", "off", "off"),
        ("customerName", 7, "7"),
        ("hints", "Twilio, Zürich", "Twilio, Zürich"),
        ("speechModel", "", None),
        ("intelligenceService", "  ", None),
        ("hints", None, None),
    ],
)
def test_a_value_is_written_as_the_relay_reads_it(
    name: str, value: object, written: str | None
) -> None:
    """Types of TOML and of the table become text; an empty value leaves the attribute out."""
    assert checked(**{name: value}).attributes.get(name) == written


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("speechTimeout", 599, "must be auto or 600-5000"),
        ("speechTimeout", 5001, "must be auto or 600-5000"),
        ("speechTimeout", 700.5, "must be auto or 600-5000"),
        ("speechTimeout", "fast", "must be auto or 600-5000"),
        ("speechTimeout", True, "must be auto or 600-5000"),
        ("eotThreshold", 0.4, "must be 0.5-0.9"),
        ("eotThreshold", "0.91", "must be 0.5-0.9"),
        ("eotThreshold", float("nan"), "must be 0.5-0.9"),
        ("eotThreshold", float("inf"), "must be 0.5-0.9"),
        ("eotThreshold", "auto", "must be 0.5-0.9"),
        ("eagerEotThreshold", 0.2, "must be 0.3-0.9"),
        ("eagerEotThreshold", 0.8, "must be below eotThreshold, which is 0.8"),
        ("dtmfDetection", "maybe", "must be one of true, false"),
        ("dtmfDetection", 2, "must be one of true, false"),
        ("ttsProvider", "Polly", "must be one of ElevenLabs, Google, Amazon"),
        ("transcriptionProvider", "Amazon", "must be one of Deepgram, Google"),
        ("interruptible", "always", "must be one of none, dtmf, speech, any, true, false"),
        ("reportInputDuringAgentSpeech", 7, "must be one of none, dtmf, speech, any"),
        ("welcomeGreetingInterruptible", "both", "must be one of none, dtmf, speech, any"),
        ("interruptSensitivity", "none", "must be one of high, medium, low"),
        ("language", "US English", "must be a language tag such as en-US, or multi"),
        (
            "events",
            "speaker-events,tokens-spoken",
            "must be some of speaker-events, tokens-played, config-updated, with spaces between",
        ),
        ("hints", [{"word": "Twilio"}], "must be text, a number, true or false"),
        ("hints", [["Twilio", "Ulm"]], "must be text, a number, true or false"),
        ("voice", ["Ruth", "Joanna"], "must be text, a number, true or false"),
        ("welcomeGreeting", "x" * 40_000, "does not fit in a document of 64 kB"),
        ("hints", "&" * 8_000, "does not fit in a document of 64 kB"),
        ("customerName", {}, "must be text, a number, true or false"),
    ],
)
def test_a_bad_value_is_dropped_and_names_its_field(name: str, value: object, error: str) -> None:
    """The relay would refuse it during a call."""
    assert checked(**{name: value}) == Checked(
        DEFAULT_ATTRIBUTES, errors=(f"conversationRelayParams.{name}: {error}",)
    )


TTS_MULTI = "ttsProvider: must be ElevenLabs where the language is multi"
STT_MULTI = "transcriptionProvider: must be Deepgram where the language is multi"


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"language": "multi", "ttsProvider": "Google"}, TTS_MULTI),
        ({"ttsLanguage": "multi", "ttsProvider": "Amazon"}, TTS_MULTI),
        ({"transcriptionLanguage": "multi", "transcriptionProvider": "Google"}, STT_MULTI),
        (
            {"speechModel": "flux", "eotThreshold": 0.6, "eagerEotThreshold": 0.6},
            "eagerEotThreshold: must be below eotThreshold, which is 0.6",
        ),
    ],
)
def test_a_wrong_combination_is_repaired(params: dict[str, object], error: str) -> None:
    """With one error; the result needs no further repair."""
    repaired = checked(**params)

    assert repaired.errors == (f"conversationRelayParams.{error}",)
    assert checked(**repaired.attributes).errors == ()


@pytest.mark.parametrize(
    ("params", "lost"),
    [
        ({"ttsProvider": "Polly", "voice": "Amy"}, "voice: belongs to ttsProvider, which is wrong"),
        ({"language": "?", "voice": "Vicki"}, "voice: belongs to language, which is wrong"),
        (
            {"transcriptionProvider": "Amazon", "speechModel": "x"},
            "speechModel: belongs to transcriptionProvider, which is wrong",
        ),
    ],
)
def test_a_value_that_belongs_to_a_wrong_attribute_is_dropped_with_it(
    params: dict[str, object], lost: str
) -> None:
    """A voice of one provider at another is an error 64101."""
    assert checked(**params).attributes == DEFAULT_ATTRIBUTES
    assert checked(**params).errors[1:] == (f"conversationRelayParams.{lost}",)


def test_document_stays_small_whatever_a_record_holds() -> None:
    """Twilio reads no document over 64 kB; earlier attributes have priority."""
    relay = checked(**dict.fromkeys(ATTRIBUTES, "x" * 4000))
    records = [{"code": "en-US", "hints": "y" * 3_000} for _ in range(40)]
    languages, _, errors = languages_of(records, relay.attributes)

    written = [relay.attributes, {"welcomeGreeting": relay.greeting}, *languages]
    assert sum(len(text) for each in written for text in each.values()) < 44_500
    assert any("does not fit" in error for error in relay.errors)
    assert any("does not fit" in error for error in errors)


WITHOUT_FLUX = (
    "conversationRelayParams.eotThreshold: has no effect without Deepgram and speechModel flux",
)


@pytest.mark.parametrize(
    ("params", "remarks"),
    [
        ({"language": "multi"}, ()),
        ({"ttsLanguage": "multi", "transcriptionProvider": "Google"}, ()),
        ({"transcriptionLanguage": "multi", "ttsProvider": "Google"}, ()),
        ({"speechModel": "flux", "eotThreshold": 0.9, "eagerEotThreshold": 0.85}, ()),
        ({"speechModel": "flux-general-en", "eotThreshold": 0.7}, ()),
        ({"eotThreshold": 0.7}, WITHOUT_FLUX),
        ({"eotThreshold": 0.7, "speechModel": "nova-3-general"}, WITHOUT_FLUX),
        (
            {"eotThreshold": 0.7, "speechModel": "flux", "transcriptionProvider": "Google"},
            WITHOUT_FLUX,
        ),
    ],
)
def test_a_combination_without_effect_has_a_remark(
    params: dict[str, object], remarks: tuple[str, ...]
) -> None:
    """A valid one has none, and neither is an error."""
    assert (checked(**params).remarks, checked(**params).errors) == (remarks, ())


def test_further_languages_are_checked_in_the_same_way() -> None:
    """Providers are normalised, unknown and empty values left out, gaps have a remark."""
    spanish = {
        "code": "es-US",
        "ttsProvider": "amazon",
        "voice": "Lupe-Neural",
        "transcriptionProvider": "deepgram",
        "speechModel": "",
        "asrSmartFormat": True,
    }
    read = {**spanish, "ttsProvider": "Amazon", "transcriptionProvider": "Deepgram"}
    del read["speechModel"]

    assert languages_of([spanish, {"code": "fr-FR", "ttsProvider": "Google", "speed": 2}]) == (
        ({**read, "asrSmartFormat": "true"}, {"code": "fr-FR", "ttsProvider": "Google"}),
        (
            "languages[1].speed: the relay has no such attribute, dropped",
            "languages[1]: inherits a provider or voice that may not know the language",
        ),
        (),
    )


@pytest.mark.parametrize(
    ("language", "inherited", "error"),
    [
        ({"voice": "Lupe-Neural"}, {}, "code: missing"),
        ({"code": ""}, {}, "code: missing"),
        ({"code": "multi"}, {}, TTS_MULTI),
        ({"code": "Spanish (US)"}, {}, "code: must be a language tag such as en-US, or multi"),
        ({"code": "multi", "ttsProvider": "Google"}, DEFAULT_ATTRIBUTES, TTS_MULTI),
        ({"code": "multi"}, {**DEFAULT_ATTRIBUTES, "ttsProvider": "Google"}, TTS_MULTI),
        (
            {"code": "multi", "ttsProvider": "ElevenLabs"},
            {"ttsProvider": "Google", "transcriptionProvider": "Google"},
            STT_MULTI,
        ),
        ({"code": "multi", "voice": "abc"}, DEFAULT_ATTRIBUTES, None),
    ],
)
def test_a_bad_language_names_its_field(
    language: dict[str, object], inherited: dict[str, str], error: str | None
) -> None:
    """Inherited attributes count as its own."""
    languages, _, errors = languages_of([{"code": "en-US"}, language], inherited)

    assert languages[0] == {"code": "en-US"}
    if error is None:
        assert (languages[1], errors) == (language, ())
    else:
        assert errors[0] == f"languages[1].{error}"
    assert languages_of(languages, inherited)[2] == ()


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.sampled_from(["multi", "en-US", "any", "flux", "0.8"]),
    st.lists(st.text(), max_size=1),
)


@given(
    st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)) | st.text(), _VALUES),
    st.lists(st.dictionaries(st.sampled_from(sorted(LANGUAGE_ATTRIBUTES)), _VALUES), max_size=2),
)
def test_any_record_gives_valid_settings(
    params: dict[str, object], languages: list[dict[str, object]]
) -> None:
    """Nothing is raised, no attribute is empty, and the result needs no repair."""
    relay = checked(**params)
    further, _, _ = languages_of(languages, relay.attributes)

    written = [relay.attributes, *further]
    assert all(text.strip() for attributes in written for text in attributes.values())
    assert checked(**relay.attributes).errors == ()
    assert languages_of(further, relay.attributes)[2] == ()
