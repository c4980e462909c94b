"""What a use case may set on `<ConversationRelay>` and `<Language>`, checked when it is loaded.

Twilio reports a wrong attribute only during a call, and error 64101 ends that call. Rules:

- A value is read in every form that has one meaning: a flag may be a boolean, 0 or 1, or a word; a
  number may be text; `hints`, `events` and `debug` may be lists. Attributes that were flags once
  and take words today still take the flag.
- A bad value of a known attribute is dropped with an error. A voice or a speech model is dropped
  with its provider or language: a voice of Google at ElevenLabs is a 64101.
- An unknown attribute is dropped with a remark: records of the predecessor have invented ones.
- An empty value is left out, because it can itself be a 64101.
- Twilio reads no document over 64 kB (https://www.twilio.com/docs/api/errors/11750): a text that
  does not fit is dropped.

Defaults of the relay depend on the age of the account, so `DEFAULTS` are always written. Only
combinations that are certainly wrong are repaired: voices and models change without notice.
https://www.twilio.com/docs/voice/twiml/connect/conversationrelay
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from xml.sax.saxutils import quoteattr

from agent.call.text import LANGUAGE_TAG
from agent.usecases.validation import RecordErrors

RECORD_FIELD = "conversationRelayParams"
LANGUAGES_FIELD = "languages"

Check = Callable[[str], str]  # the value for the TwiML, or `ValueError`: what it must be


def _flags(true: str, false: str) -> dict[str, str]:
    return {
        **dict.fromkeys(("true", "1", "1.0", "yes", "on"), true),
        **dict.fromkeys(("false", "0", "0.0", "no", "off"), false),
    }


def _one_of(*words: str, true: str = "", false: str = "") -> Check:
    """One of these words; a flag counts as the word `true` or `false` names."""
    known = (_flags(true, false) if true else {}) | {word.lower(): word for word in words}

    def check(text: str) -> str:
        if text.lower() not in known:
            raise ValueError(f"must be one of {', '.join(words)}")
        return known[text.lower()]

    return check


def _some_of(*words: str, true: str) -> Check:
    """Some of these words, separated by spaces or commas; a flag is the word `true`, or none."""
    flags = _flags(true, "")

    def check(text: str) -> str:
        if text.lower() in flags:
            return flags[text.lower()]
        chosen = list(dict.fromkeys(text.lower().replace(",", " ").split()))
        if not set(chosen) <= set(words):
            raise ValueError(f"must be some of {', '.join(words)}, with spaces between")
        return " ".join(chosen)

    return check


def _between(low: str, high: str, *, is_whole: bool = False, word: str = "") -> Check:
    message = f"must be {word} or {low}-{high}" if word else f"must be {low}-{high}"

    def check(text: str) -> str:
        if word and text.lower() == word:
            return word
        try:
            number = Decimal(text)
            if not Decimal(low) <= number <= Decimal(high) or (is_whole and number % 1):
                raise ValueError(message)
        except InvalidOperation as error:
            raise ValueError(message) from error
        return f"{number.normalize():f}"

    return check


def _locale(text: str) -> str:
    tag = text.replace("_", "-")
    if not LANGUAGE_TAG.fullmatch(tag):
        raise ValueError("must be a language tag such as en-US, or multi")
    return tag


def _socket_url(text: str) -> str:
    if not text.startswith(("wss://", "ws://")):
        raise ValueError("must begin with wss://, or ws:// for a local test")
    return text


ATTRIBUTES: Mapping[str, Check] = {
    "url": _socket_url,
    **dict.fromkeys(("language", "ttsLanguage", "transcriptionLanguage"), _locale),
    "ttsProvider": _one_of("ElevenLabs", "Google", "Amazon"),
    "transcriptionProvider": _one_of("Deepgram", "Google"),
    **dict.fromkeys(
        ("welcomeGreetingInterruptible", "reportInputDuringAgentSpeech"),
        _one_of("none", "dtmf", "speech", "any", true="any", false="none"),
    ),
    "interruptible": _one_of(
        "none", "dtmf", "speech", "any", "true", "false", true="true", false="false"
    ),
    "interruptSensitivity": _one_of("high", "medium", "low"),
    "eotThreshold": _between("0.5", "0.9"),
    "eagerEotThreshold": _between("0.3", "0.9"),
    "speechTimeout": _between("600", "5000", is_whole=True, word="auto"),
    "events": _some_of("speaker-events", "tokens-played", "config-updated", true="speaker-events"),
    "debug": _some_of("debugging", "speaker-events", "tokens-played", true="debugging"),
    "includeInPrompt": _one_of("turn-state", "prompt-segments"),
    **dict.fromkeys(
        ("elevenlabsTextNormalization", "ttsTextNormalization"),
        _one_of("on", "auto", "off", true="on", false="off"),
    ),
    **dict.fromkeys(
        (
            "partialPrompts", "deepgramSmartFormat", "profanityFilter", "ignoreBackchannel",
            "preemptible", "dtmfDetection", "applicationReconnect", "echoPromptFiltering",
            "turnDetection", "partialPromptOnHangup", "asrSmartFormat",
            "ttsLanguageTextNormalization", "elevenlabsLanguageTextNormalization",
        ),
        _one_of("true", "false", true="true", false="false"),
    ),
    **dict.fromkeys(
        (
            "welcomeGreeting", "voice", "speechModel", "hints", "backgroundNoiseReduction",
            "intelligenceService", "conversationConfiguration", "conversationId", "customerName",
        ),
        str,
    ),
}  # fmt: skip
"""Every attribute of `<ConversationRelay>`; any text where Twilio publishes no list of values."""

LANGUAGE_ATTRIBUTES: Mapping[str, Check] = {
    "code": _locale,
    **{
        name: ATTRIBUTES[name]
        for name in (
            "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints",
            "asrSmartFormat", "ttsTextNormalization", "ttsLanguageTextNormalization",
        )
    },
}  # fmt: skip
"""Every attribute of `<Language>`."""

_DEPENDENTS = {
    "ttsProvider": ("voice",),
    "ttsLanguage": ("voice",),
    "transcriptionProvider": ("speechModel",),
    "transcriptionLanguage": ("speechModel",),
    "language": ("voice", "speechModel"),
}
"""Attributes that are dropped together with the one they were chosen for."""

_SEPARATORS = {"hints": ",", "events": " ", "debug": " "}
_ROOM = 32_000  # bytes of all attributes of `<ConversationRelay>`
_LANGUAGES_ROOM = 12_000

DEFAULTS: Mapping[str, str] = {
    "ttsProvider": "ElevenLabs",  # depends on the age of the account
    "transcriptionProvider": "Deepgram",  # depends on the age of the account
    "interruptible": "any",  # speech and keys interrupt the agent
    "interruptSensitivity": "medium",  # with `high`, noise interrupts
    "reportInputDuringAgentSpeech": "any",  # otherwise interrupting words may be lost
    "dtmfDetection": "true",  # otherwise no key is reported
    "events": "speaker-events",  # the only signal for the end of playback
}
"""Written unless the record sets them."""

DEFAULT_LANGUAGE = "en-US"
DEFAULT_VOICES: Mapping[str, str] = {
    "ElevenLabs": "UgBBYS2sOqTuMpoF3BR0",
    "Google": "en-US-Journey-O",
    "Amazon": "Joanna-Neural",
}
"""By provider, for `DEFAULT_LANGUAGE` only: a voice of another language is an error 64101."""

_BACKCHANNEL_LANGUAGES = frozenset({"en", "es", "fr", "de"})
"""Languages known to support `ignoreBackchannel`, which is on by default there."""


def relay_attributes(
    params: Mapping[str, object], errors: RecordErrors
) -> tuple[dict[str, str], str]:
    """Check a record's `conversationRelayParams` and add the defaults; never raises.

    Returns:
        The attributes without those of a single call, and `welcomeGreeting`.
    """
    given, _ = _read(params, ATTRIBUTES, RECORD_FIELD, _ROOM, errors)
    if given.pop("url", None):
        errors.remark(f"{RECORD_FIELD}.url: is set by the service, dropped")
    greeting = given.pop("welcomeGreeting", "")
    attributes = _with_defaults(given)
    spoken = _language(attributes, "ttsLanguage")
    heard = _language(attributes, "transcriptionLanguage")
    _repair_multi(attributes, attributes, RECORD_FIELD, spoken, heard, errors)
    limit = attributes.get("eotThreshold", "0.8")  # the default of the relay
    eager = attributes.get("eagerEotThreshold", "0")
    if Decimal(eager) >= Decimal(limit):
        errors.add(
            f"{RECORD_FIELD}.eagerEotThreshold: must be below eotThreshold, which is {limit}"
        )
        del attributes["eagerEotThreshold"]
    model = attributes.get("speechModel", "").lower()
    is_flux = attributes["transcriptionProvider"] == "Deepgram" and model.startswith("flux")
    if "eotThreshold" in attributes and not is_flux:
        errors.remark(
            f"{RECORD_FIELD}.eotThreshold: has no effect without Deepgram and speechModel flux"
        )
    return attributes, greeting


def language_settings(
    records: Iterable[Mapping[str, object]], inherited: Mapping[str, str], errors: RecordErrors
) -> tuple[Mapping[str, str], ...]:
    """Check further languages, which inherit from the relay; without a valid code none is kept."""
    languages = list[Mapping[str, str]]()
    room = _LANGUAGES_ROOM
    for index, record in enumerate(records):
        field = f"{LANGUAGES_FIELD}[{index}]"
        language, room = _read(record, LANGUAGE_ATTRIBUTES, field, room, errors)
        if not (code := language.get("code")):
            continue
        _repair_multi(language, {**inherited, **language}, field, code, code, errors)
        if not {"ttsProvider", "voice"} <= language.keys():
            errors.remark(f"{field}: inherits a provider or voice that may not know the language")
        languages.append(language)
    return tuple(languages)


def _read(
    params: Mapping[str, object],
    table: Mapping[str, Check],
    field: str,
    room: int,
    errors: RecordErrors,
) -> tuple[dict[str, str], int]:
    """The attributes of one element that are right and fit, and the bytes left of `room`."""
    attributes, wrong = dict[str, str](), dict[str, str]()
    for name, value in params.items():
        if name not in table:
            errors.remark(f"{field}.{name}: the relay has no such attribute, dropped")
            continue
        try:
            text = _fitting(name, _as_text(name, value), table[name], room)
        except ValueError as error:
            wrong[name] = str(error)
            continue
        if text:
            attributes[name] = text
            room -= _size(name, text)
    for owner, owned in _DEPENDENTS.items():
        for name in owned if owner in wrong else ():
            if attributes.pop(name, None):
                wrong[name] = f"belongs to {owner}, which is wrong"
    if "code" in table and "code" not in attributes:
        wrong.setdefault("code", "missing")
    for name, reason in wrong.items():
        errors.add(f"{field}.{name}: {reason}")
    return attributes, room


def _fitting(name: str, given: str, check: Check, room: int) -> str:
    text = check(given) if given else ""
    if text and _size(name, text) > room:
        raise ValueError("does not fit in a document of 64 kB")
    return text


def _size(name: str, text: str) -> int:
    return len(name) + len(quoteattr(text).encode(errors="replace")) + 2


def _as_text(name: str, value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.strip()
        case int() | float() | Decimal():
            return str(value)
        case list() | tuple() if name in _SEPARATORS or len(value) == 1:
            texts = (_as_text("", each) for each in value)
            return _SEPARATORS.get(name, "").join(text for text in texts if text)
        case _:
            raise ValueError("must be text, a number, true or false")


def _with_defaults(given: Mapping[str, str]) -> dict[str, str]:
    attributes = {**DEFAULTS, **given}
    if _language(attributes, "ttsLanguage").lower() == DEFAULT_LANGUAGE.lower():
        attributes.setdefault("voice", DEFAULT_VOICES[attributes["ttsProvider"]])
    heard = _language(attributes, "transcriptionLanguage").lower()
    if heard.partition("-")[0] in _BACKCHANNEL_LANGUAGES:
        attributes.setdefault("ignoreBackchannel", "true")
    return attributes


def language_of_voice(attributes: Mapping[str, str]) -> str:
    """The language that a session of these attributes speaks, BCP 47; or `multi`."""
    return _language(attributes, "ttsLanguage")


def hears_any_language(attributes: Mapping[str, str]) -> bool:
    """Whether speech-to-text finds the language of the caller itself."""
    return _language(attributes, "transcriptionLanguage").lower() == "multi"


def _language(attributes: Mapping[str, str], name: str) -> str:
    return attributes.get(name) or attributes.get("language", DEFAULT_LANGUAGE)


def _repair_multi(
    attributes: dict[str, str],
    effective: Mapping[str, str],
    field: str,
    spoken: str,
    heard: str,
    errors: RecordErrors,
) -> None:
    """Replace a provider that does not support the language `multi`."""
    for language, name, provider, owned in (
        (spoken, "ttsProvider", "ElevenLabs", "voice"),
        (heard, "transcriptionProvider", "Deepgram", "speechModel"),
    ):
        if language.lower() == "multi" and effective.get(name) != provider:
            errors.add(f"{field}.{name}: must be {provider} where the language is multi")
            attributes[name] = provider
            attributes.pop(owned, None)
