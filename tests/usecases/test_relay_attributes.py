"""The relay's attributes of a record are checked before a call uses them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.usecases.relay_attributes import (
    ATTRIBUTES,
    LANGUAGE_ATTRIBUTES,
    LanguageSettings,
    RelaySettings,
    language_settings,
    relay_attributes,
)

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


def _one(name: str, value: object) -> str | None:
    return relay_attributes({name: value}).attributes.get(name)


def test_defaults_are_written_out() -> None:
    """For an empty record."""
    assert relay_attributes({}) == RelaySettings(DEFAULT_ATTRIBUTES, greeting="", warnings=())


def test_a_record_of_the_predecessor_is_read_as_it_is() -> None:
    """Booleans, lower-case providers, an invented attribute and the greeting are all there."""
    settings = relay_attributes(
        {
            "dtmfDetection": True,
            "interruptible": True,
            "interruptByDtmf": True,
            "ttsProvider": "google",
            "voice": "en-US-Journey-O",
            "transcriptionProvider": "deepgram",
            "welcomeGreeting": "Hello, this is the booking line.",
        }
    )

    assert settings == RelaySettings(
        {
            **DEFAULT_ATTRIBUTES,
            "ttsProvider": "Google",
            "voice": "en-US-Journey-O",
            "interruptible": "true",
        },
        greeting="Hello, this is the booking line.",
        warnings=(
            "conversationRelayParams.interruptByDtmf: the relay has no such attribute, dropped",
        ),
    )


def test_the_record_wins_over_every_default() -> None:
    """No default replaces a value of a record."""
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

    assert relay_attributes(record).attributes == record


@pytest.mark.parametrize(
    ("params", "voice"),
    [
        ({"ttsProvider": "Google"}, "en-US-Journey-O"),
        ({"ttsProvider": "amazon"}, "Joanna-Neural"),
        ({"language": "es-US", "ttsLanguage": "en-us"}, "UgBBYS2sOqTuMpoF3BR0"),
        ({"language": "es-US"}, None),
        ({"ttsLanguage": "en-GB"}, None),
    ],
)
def test_a_default_voice_fits_provider_and_language(
    params: dict[str, object], voice: str | None
) -> None:
    """An English voice is never put on another language."""
    assert relay_attributes(params).attributes.get("voice") == voice


@pytest.mark.parametrize(
    ("params", "ignored"),
    [
        ({"language": "fr-CA"}, "true"),
        ({"language": "ja-JP", "transcriptionLanguage": "de-DE"}, "true"),
        ({"language": "ja-JP"}, None),
        ({"language": "en-US", "transcriptionLanguage": "multi"}, None),
    ],
)
def test_backchannels_are_ignored_where_that_is_supported(
    params: dict[str, object], ignored: str | None
) -> None:
    """The filter is switched on for the languages that are known to have it."""
    assert relay_attributes(params).attributes.get("ignoreBackchannel") == ignored


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
    assert _one(name, value) == written


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
    settings = relay_attributes({name: value})

    assert settings.errors == (f"conversationRelayParams.{name}: {error}",)
    assert settings.attributes == DEFAULT_ATTRIBUTES
    assert settings.greeting == ""


def test_a_record_cannot_set_the_url_of_the_socket() -> None:
    """It is dropped with a remark."""
    settings = relay_attributes({"url": "wss://elsewhere.example.com/"})

    assert settings == RelaySettings(
        DEFAULT_ATTRIBUTES,
        greeting="",
        warnings=("conversationRelayParams.url: is set by the service, dropped",),
    )


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (
            {"language": "multi", "ttsProvider": "Google"},
            "ttsProvider: must be ElevenLabs where the language is multi",
        ),
        (
            {"ttsLanguage": "multi", "ttsProvider": "Amazon"},
            "ttsProvider: must be ElevenLabs where the language is multi",
        ),
        (
            {"transcriptionLanguage": "multi", "transcriptionProvider": "Google"},
            "transcriptionProvider: must be Deepgram where the language is multi",
        ),
        (
            {"speechModel": "flux", "eotThreshold": 0.6, "eagerEotThreshold": 0.6},
            "eagerEotThreshold: must be below eotThreshold, which is 0.6",
        ),
    ],
)
def test_a_wrong_combination_is_repaired(params: dict[str, object], error: str) -> None:
    """With one error; the result needs no further repair."""
    settings = relay_attributes(params)

    assert settings.errors == (f"conversationRelayParams.{error}",)
    assert relay_attributes(settings.attributes).errors == ()


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
    settings = relay_attributes(params)

    assert settings.attributes == DEFAULT_ATTRIBUTES
    assert settings.errors[1:] == (f"conversationRelayParams.{lost}",)


def test_document_stays_small_whatever_a_record_holds() -> None:
    """Twilio reads no document over 64 kB; earlier attributes have priority."""
    huge = dict.fromkeys(ATTRIBUTES, "x" * 4000)
    languages = [{"code": "en-US", "hints": "y" * 3_000} for _ in range(40)]

    settings = relay_attributes(huge)
    further = language_settings(languages, settings.attributes)

    written = [settings.attributes, {"welcomeGreeting": settings.greeting}, *further.languages]
    assert sum(len(text) for each in written for text in each.values()) < 44_500
    assert any("does not fit" in error for error in settings.errors)
    assert any("does not fit" in error for error in further.errors)


@pytest.mark.parametrize(
    "params",
    [
        {"language": "multi"},
        {"ttsLanguage": "multi", "transcriptionProvider": "Google"},
        {"transcriptionLanguage": "multi", "ttsProvider": "Google"},
        {"speechModel": "flux", "eotThreshold": 0.9, "eagerEotThreshold": 0.85},
        {"speechModel": "flux-general-en", "eotThreshold": 0.7},
    ],
)
def test_a_valid_combination_has_no_remark(params: dict[str, object]) -> None:
    """The repairs change nothing else."""
    assert relay_attributes(params).warnings == ()


@pytest.mark.parametrize(
    "params",
    [
        {"eotThreshold": 0.7},
        {"eotThreshold": 0.7, "speechModel": "nova-3-general"},
        {"eotThreshold": 0.7, "speechModel": "flux", "transcriptionProvider": "Google"},
    ],
)
def test_an_end_of_turn_threshold_without_flux_has_a_remark(params: dict[str, object]) -> None:
    """It has no effect and does no harm."""
    assert relay_attributes(params).warnings == (
        "conversationRelayParams.eotThreshold: has no effect without Deepgram and speechModel flux",
    )


def test_further_languages_are_checked_in_the_same_way() -> None:
    """Providers are normalised, unknown and empty values left out, gaps have a remark."""
    settings = language_settings(
        [
            {
                "code": "es-US",
                "ttsProvider": "amazon",
                "voice": "Lupe-Neural",
                "transcriptionProvider": "deepgram",
                "speechModel": "",
                "asrSmartFormat": True,
            },
            {"code": "fr-FR", "ttsProvider": "Google", "speed": 2},
        ],
        DEFAULT_ATTRIBUTES,
    )

    assert settings == LanguageSettings(
        (
            {
                "code": "es-US",
                "ttsProvider": "Amazon",
                "voice": "Lupe-Neural",
                "transcriptionProvider": "Deepgram",
                "asrSmartFormat": "true",
            },
            {"code": "fr-FR", "ttsProvider": "Google"},
        ),
        warnings=(
            "languages[1].speed: the relay has no such attribute, dropped",
            "languages[1]: inherits a provider or voice that may not know the language",
        ),
    )


@pytest.mark.parametrize(
    ("language", "inherited", "error"),
    [
        ({"voice": "Lupe-Neural"}, {}, "code: missing"),
        ({"code": ""}, {}, "code: missing"),
        (
            {"code": "multi"},
            {},
            "ttsProvider: must be ElevenLabs where the language is multi",
        ),
        ({"code": "Spanish (US)"}, {}, "code: must be a language tag such as en-US, or multi"),
        (
            {"code": "multi", "ttsProvider": "Google"},
            {"ttsProvider": "ElevenLabs", "transcriptionProvider": "Deepgram"},
            "ttsProvider: must be ElevenLabs where the language is multi",
        ),
        (
            {"code": "multi"},
            {"ttsProvider": "Google", "transcriptionProvider": "Deepgram"},
            "ttsProvider: must be ElevenLabs where the language is multi",
        ),
        (
            {"code": "multi", "ttsProvider": "ElevenLabs"},
            {"ttsProvider": "Google", "transcriptionProvider": "Google"},
            "transcriptionProvider: must be Deepgram where the language is multi",
        ),
    ],
)
def test_a_bad_language_names_its_field(
    language: dict[str, object], inherited: dict[str, str], error: str
) -> None:
    """Inherited attributes count as its own."""
    settings = language_settings([{"code": "en-US"}, language], inherited)

    assert settings.languages[0] == {"code": "en-US"}
    assert settings.errors[0] == f"languages[1].{error}"
    assert language_settings(settings.languages, inherited).errors == ()


def test_a_language_may_inherit_what_it_needs() -> None:
    """Language detection with the providers of the relay."""
    settings = language_settings([{"code": "multi", "voice": "abc"}], DEFAULT_ATTRIBUTES)

    assert settings.languages == ({"code": "multi", "voice": "abc"},)


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
    settings = relay_attributes(params)
    further = language_settings(languages, settings.attributes)

    written = [settings.attributes, *further.languages]
    assert all(text.strip() for attributes in written for text in attributes.values())
    assert relay_attributes(settings.attributes).errors == ()
    assert language_settings(further.languages, settings.attributes).errors == ()
