"""What a use case may set on `<ConversationRelay>` and `<Language>`.

Relay reference sections 1.3 to 1.5. A wrong attribute is found by the relay only when a caller is
on the line: error 64101 ends the call. So a record is checked when it is loaded. A bad value of a
known attribute is a `UseCaseError` that names it. An unknown attribute is dropped with a warning,
for records of the predecessor carry invented ones (`interruptByDtmf`) and the relay would ignore
them too. An empty value is left out: an attribute that is there but empty can itself be a 64101.

Defaults of the relay have changed twice and depend on the age of the account (section 7.2). What
we depend on is therefore always written out, from `DEFAULTS` where the record has no opinion.

Only combinations that are certainly wrong are refused. Which voice belongs to which provider, or
which model knows which language, is the providers' business and changes without notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from agent.ports import UseCaseError
from agent.relay.frames import LANGUAGE_TAG

RECORD_FIELD = "conversationRelayParams"
"""The record's attribute, as faults name it."""

LANGUAGES_FIELD = "languages"

Check = Callable[[str], str]
"""Gives the value as it stands in the TwiML, or raises a `ValueError` that says what it must be."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The attributes of `<ConversationRelay>` for one use case, complete but for the call's own."""

    attributes: Mapping[str, str]
    greeting: str
    """The record's `welcomeGreeting`; which greeting is played is decided for each call."""
    warnings: tuple[str, ...]
    """What the author of the record should know, a line each, `field: remark`."""


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """The attributes of each `<Language>` for one use case."""

    languages: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    """As in `RelaySettings`."""


def _one_of(*words: str) -> Check:
    known = {word.lower(): word for word in words}

    def check(text: str) -> str:
        if text.lower() not in known:
            raise ValueError(f"must be one of {', '.join(words)}")
        return known[text.lower()]

    return check


def _some_of(*words: str) -> Check:
    def check(text: str) -> str:
        chosen = list(dict.fromkeys(text.lower().split()))
        if not set(chosen) <= set(words):
            raise ValueError(f"must be some of {', '.join(words)}, with spaces between")
        return " ".join(chosen)

    return check


def _between(low: str, high: str, *, is_whole: bool = False, word: str = "") -> Check:
    fault = f"must be {word} or {low}-{high}" if word else f"must be {low}-{high}"

    def fits(number: Decimal) -> bool:
        in_range = Decimal(low) <= number <= Decimal(high)
        return in_range and not (is_whole and number % 1)

    def check(text: str) -> str:
        if word and text.lower() == word:
            return word
        try:
            number = Decimal(text)
            if not fits(number):
                raise ValueError(fault)
        except InvalidOperation as error:
            raise ValueError(fault) from error
        return f"{number.normalize():f}"

    return check


def _text(text: str) -> str:
    return text


def _locale(text: str) -> str:
    if not LANGUAGE_TAG.fullmatch(text):
        raise ValueError("must be a language tag such as en-US, or multi")
    return text


def _socket_url(text: str) -> str:
    if not text.startswith(("wss://", "ws://")):
        raise ValueError("must begin with wss://, or ws:// on the way to a test")
    return text


_FLAG = _one_of("true", "false")
_INPUT = _one_of("none", "dtmf", "speech", "any")
_NORMALIZATION = _one_of("on", "auto", "off")
_TTS_PROVIDER = _one_of("ElevenLabs", "Google", "Amazon")
_TRANSCRIPTION_PROVIDER = _one_of("Deepgram", "Google")

ATTRIBUTES: Mapping[str, Check] = {
    "url": _socket_url,
    "welcomeGreeting": _text,
    "welcomeGreetingInterruptible": _INPUT,
    "language": _locale,
    "ttsLanguage": _locale,
    "transcriptionLanguage": _locale,
    "ttsProvider": _TTS_PROVIDER,
    "voice": _text,
    "transcriptionProvider": _TRANSCRIPTION_PROVIDER,
    "speechModel": _text,
    "eotThreshold": _between("0.5", "0.9"),
    "speechTimeout": _between("600", "5000", is_whole=True, word="auto"),
    "partialPrompts": _FLAG,
    "deepgramSmartFormat": _FLAG,
    "hints": _text,
    "profanityFilter": _FLAG,
    "interruptible": _one_of("none", "dtmf", "speech", "any", "true", "false"),
    "interruptSensitivity": _one_of("high", "medium", "low"),
    "reportInputDuringAgentSpeech": _INPUT,
    "ignoreBackchannel": _FLAG,
    "preemptible": _FLAG,
    "dtmfDetection": _FLAG,
    "events": _some_of("speaker-events", "tokens-played", "config-updated"),
    "debug": _some_of("debugging", "speaker-events", "tokens-played"),
    "elevenlabsTextNormalization": _NORMALIZATION,
    "backgroundNoiseReduction": _text,
    "intelligenceService": _text,
    "conversationConfiguration": _text,
    "conversationId": _text,
    "applicationReconnect": _FLAG,
    "echoPromptFiltering": _FLAG,
    "turnDetection": _FLAG,
    "eagerEotThreshold": _between("0.3", "0.9"),
    "partialPromptOnHangup": _FLAG,
    "includeInPrompt": _one_of("turn-state", "prompt-segments"),
    "customerName": _text,
    "asrSmartFormat": _FLAG,
    "ttsTextNormalization": _NORMALIZATION,
    "ttsLanguageTextNormalization": _FLAG,
    "elevenlabsLanguageTextNormalization": _FLAG,
}
"""Every attribute of `<ConversationRelay>`. Where no list of values is published, any text goes."""

OURS = frozenset({"url", "welcomeGreeting"})
"""Set for each call by us; a record cannot."""

LANGUAGE_ATTRIBUTES: Mapping[str, Check] = {
    "code": _locale,
    "ttsProvider": _TTS_PROVIDER,
    "voice": _text,
    "transcriptionProvider": _TRANSCRIPTION_PROVIDER,
    "speechModel": _text,
    "hints": _text,
    "asrSmartFormat": _FLAG,
    "ttsTextNormalization": _NORMALIZATION,
    "ttsLanguageTextNormalization": _FLAG,
}
"""Every attribute of `<Language>`."""

DEFAULTS: Mapping[str, str] = {
    "ttsProvider": "ElevenLabs",  # has changed with the account's age
    "transcriptionProvider": "Deepgram",  # differs with the account's age
    "interruptible": "any",  # a caller who speaks or presses a key is listened to
    "interruptSensitivity": "medium",  # on `high` noise breaks in
    "reportInputDuringAgentSpeech": "any",  # or the words that broke in may be lost (section 3.3)
    "dtmfDetection": "true",  # off, no key ever arrives
    "events": "speaker-events",  # the only sign that a playback has ended
}
"""Written out unless the record says otherwise (section 7.3)."""

DEFAULT_LANGUAGE = "en-US"
"""The relay's own, unless the record says otherwise."""

DEFAULT_VOICES: Mapping[str, str] = {
    "ElevenLabs": "UgBBYS2sOqTuMpoF3BR0",
    "Google": "en-US-Journey-O",
    "Amazon": "Joanna-Neural",
}
"""Only for `DEFAULT_LANGUAGE`: an English voice on another language is a typical error 64101."""

BACKCHANNEL_LANGUAGES = frozenset({"en", "es", "fr", "de"})
"""Those known to support `ignoreBackchannel`, which is on by default there."""

_DEFAULT_EOT_THRESHOLD = "0.8"


def relay_attributes(params: Mapping[str, object]) -> RelaySettings:
    """Check a record's `conversationRelayParams` and add the defaults; the record wins.

    Raises:
        UseCaseError: a value the relay would refuse.
    """
    given, warnings = _checked(params, ATTRIBUTES, RECORD_FIELD)
    if given.pop("url", None):
        warnings.append(f"{RECORD_FIELD}.url: is set by the service, dropped")
    greeting = given.pop("welcomeGreeting", "")
    attributes = _with_defaults(given)
    _refuse_multi(attributes, RECORD_FIELD, _spoken(attributes), _heard(attributes))
    _refuse_late_eagerness(attributes)
    if "eotThreshold" in attributes and not _is_flux(attributes):
        warnings.append(
            f"{RECORD_FIELD}.eotThreshold: has no effect without Deepgram and speechModel flux"
        )
    return RelaySettings(attributes, greeting, tuple(warnings))


def language_settings(
    records: Iterable[Mapping[str, object]], inherited: Mapping[str, str]
) -> LanguageSettings:
    """Check a record's further languages.

    Args:
        records: The attributes of each `<Language>`, in order.
        inherited: The attributes of `<ConversationRelay>`, which count where a language has none.

    Raises:
        UseCaseError: a value the relay would refuse, or a language without a code.
    """
    languages: list[Mapping[str, str]] = []
    warnings: list[str] = []
    for index, record in enumerate(records):
        field = f"{LANGUAGES_FIELD}[{index}]"
        language, remarks = _checked(record, LANGUAGE_ATTRIBUTES, field)
        if "code" not in language:
            raise UseCaseError(f"{field}.code: missing")
        _refuse_multi({**inherited, **language}, field, language["code"], language["code"])
        if not {"ttsProvider", "voice"} <= language.keys():
            remarks.append(f"{field}: inherits a provider or voice that may not know the language")
        languages.append(language)
        warnings += remarks
    return LanguageSettings(tuple(languages), tuple(warnings))


def _checked(
    params: Mapping[str, object], table: Mapping[str, Check], field: str
) -> tuple[dict[str, str], list[str]]:
    attributes: dict[str, str] = {}
    warnings: list[str] = []
    for name, value in params.items():
        if name not in table:
            warnings.append(f"{field}.{name}: the relay has no such attribute, dropped")
            continue
        try:
            if text := _as_text(value):
                attributes[name] = table[name](text)
        except ValueError as error:
            raise UseCaseError(f"{field}.{name}: {error}") from error
    return attributes, warnings


def _as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.strip()
        case int() | float() | Decimal():
            return str(value)
        case _:
            raise ValueError("must be text, a number, true or false")


def _with_defaults(given: Mapping[str, str]) -> dict[str, str]:
    attributes = {**DEFAULTS, **given}
    if _spoken(attributes).lower() == DEFAULT_LANGUAGE.lower():
        attributes.setdefault("voice", DEFAULT_VOICES[attributes["ttsProvider"]])
    if _heard(attributes).lower().split("-")[0] in BACKCHANNEL_LANGUAGES:
        attributes.setdefault("ignoreBackchannel", "true")
    return attributes


def _spoken(attributes: Mapping[str, str]) -> str:
    return attributes.get("ttsLanguage") or attributes.get("language", DEFAULT_LANGUAGE)


def _heard(attributes: Mapping[str, str]) -> str:
    return attributes.get("transcriptionLanguage") or attributes.get("language", DEFAULT_LANGUAGE)


def _refuse_multi(attributes: Mapping[str, str], field: str, spoken: str, heard: str) -> None:
    for language, name, provider in (
        (spoken, "ttsProvider", "ElevenLabs"),
        (heard, "transcriptionProvider", "Deepgram"),
    ):
        if language.lower() == "multi" and attributes.get(name) != provider:
            raise UseCaseError(f"{field}.{name}: must be {provider} where the language is multi")


def _refuse_late_eagerness(attributes: Mapping[str, str]) -> None:
    limit = attributes.get("eotThreshold", _DEFAULT_EOT_THRESHOLD)
    eager = attributes.get("eagerEotThreshold")
    if eager is not None and Decimal(eager) >= Decimal(limit):
        raise UseCaseError(
            f"{RECORD_FIELD}.eagerEotThreshold: must be below eotThreshold, which is {limit}"
        )


def _is_flux(attributes: Mapping[str, str]) -> bool:
    model = attributes.get("speechModel", "").lower()
    return attributes["transcriptionProvider"] == "Deepgram" and model.startswith("flux")
