"""What a use case may set on `<ConversationRelay>` and `<Language>`.

Relay reference sections 1.3 to 1.5. A wrong attribute is found by the relay only when a caller is
on the line: error 64101 ends the call. So a record is checked when it is loaded, and what is wrong
never ends a call:

- A value is read in every form that has one meaning: a flag may be a boolean, 0 or 1, or a word; a
  number may be text; `hints` and the words of `events` and `debug` may be a list. Attributes that
  were flags when the relay was launched and take words today still take the flag: true is `any`,
  `debugging` or `on`.
- A bad value of a known attribute is dropped, and a fault names it. A voice or a speech model is
  dropped with its provider or language: a voice of Google at ElevenLabs is a 64101.
- An unknown attribute is dropped with a remark, for records of the predecessor carry invented ones
  (`interruptByDtmf`) and the relay would ignore them too.
- An empty value is left out: an attribute that is there but empty can itself be a 64101.
- Twilio reads no document over 64 kB (https://www.twilio.com/docs/api/errors/11750): a text that
  does not fit is dropped.

Defaults of the relay have changed twice and depend on the age of the account (section 7.2). What
we depend on is therefore always written out, from `DEFAULTS` where the record has no opinion.

Only combinations that are certainly wrong are mended. Which voice belongs to which provider, or
which model knows which language, is the providers' business and changes without notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from xml.sax.saxutils import quoteattr

from agent.call.text import LANGUAGE_TAG

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
    faults: tuple[str, ...] = ()
    """What was dropped because it is wrong, a line each, `field: fault`."""


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """The attributes of each `<Language>` for one use case."""

    languages: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    """As in `RelaySettings`."""
    faults: tuple[str, ...] = ()
    """As in `RelaySettings`."""


_TRUE = frozenset({"true", "1", "1.0", "yes", "on"})
_FALSE = frozenset({"false", "0", "0.0", "no", "off"})


def _flag_of(text: str) -> str:
    """The flag a text says, as `true` or `false`; empty if it says none."""
    word = text.lower()
    return "true" if word in _TRUE else "false" if word in _FALSE else ""


def _one_of(*words: str, true: str = "", false: str = "") -> Check:
    """One of these words, or a flag where `true` and `false` say what it means."""
    known = {word.lower(): word for word in words}
    flags = {"true": true, "false": false} if true else {}

    def check(text: str) -> str:
        word = text.lower()
        if word in known:
            return known[word]
        if (flag := _flag_of(text)) in flags:
            return flags[flag]
        raise ValueError(f"must be one of {', '.join(words)}")

    return check


def _some_of(*words: str, true: str) -> Check:
    """Some of these words with spaces or commas between, or a flag: what true means, or none."""
    flags = {"true": true, "false": ""}

    def check(text: str) -> str:
        if (flag := _flag_of(text)) in flags:
            return flags[flag]
        chosen = list(dict.fromkeys(text.lower().replace(",", " ").split()))
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
    tag = text.replace("_", "-")
    if not LANGUAGE_TAG.fullmatch(tag):
        raise ValueError("must be a language tag such as en-US, or multi")
    return tag


def _socket_url(text: str) -> str:
    if not text.startswith(("wss://", "ws://")):
        raise ValueError("must begin with wss://, or ws:// on the way to a test")
    return text


_FLAG = _one_of("true", "false", true="true", false="false")
_INPUT = _one_of("none", "dtmf", "speech", "any", true="any", false="none")
_NORMALIZATION = _one_of("on", "auto", "off", true="on", false="off")
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
    "interruptible": _one_of(
        "none", "dtmf", "speech", "any", "true", "false", true="true", false="false"
    ),
    "interruptSensitivity": _one_of("high", "medium", "low"),
    "reportInputDuringAgentSpeech": _INPUT,
    "ignoreBackchannel": _FLAG,
    "preemptible": _FLAG,
    "dtmfDetection": _FLAG,
    "events": _some_of("speaker-events", "tokens-played", "config-updated", true="speaker-events"),
    "debug": _some_of("debugging", "speaker-events", "tokens-played", true="debugging"),
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

_BELONGS: Mapping[str, tuple[str, ...]] = {
    "ttsProvider": ("voice",),
    "ttsLanguage": ("voice",),
    "transcriptionProvider": ("speechModel",),
    "transcriptionLanguage": ("speechModel",),
    "language": ("voice", "speechModel"),
}
"""What has no sense without the attribute it was chosen for."""

_BETWEEN: Mapping[str, str] = {"hints": ",", "events": " ", "debug": " "}
"""What stands between the entries of a list; any other attribute has one value."""

_ROOM = 32_000
"""Bytes of all attributes of `<ConversationRelay>`."""
_ROOM_FOR_LANGUAGES = 12_000

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
    """Check a record's `conversationRelayParams` and add the defaults; the record wins."""
    reading = _read(params, ATTRIBUTES, RECORD_FIELD, _ROOM)
    given, remarks = reading.attributes, reading.remarks
    if given.pop("url", None):
        remarks.append(f"{RECORD_FIELD}.url: is set by the service, dropped")
    greeting = given.pop("welcomeGreeting", "")
    attributes = _with_defaults(given)
    reading.faults += _mend_multi(
        attributes, attributes, RECORD_FIELD, _spoken(attributes), _heard(attributes)
    )
    reading.faults += _mend_eagerness(attributes)
    if "eotThreshold" in attributes and not _is_flux(attributes):
        remarks.append(
            f"{RECORD_FIELD}.eotThreshold: has no effect without Deepgram and speechModel flux"
        )
    return RelaySettings(attributes, greeting, tuple(remarks), tuple(reading.faults))


def language_settings(
    records: Iterable[Mapping[str, object]], inherited: Mapping[str, str]
) -> LanguageSettings:
    """Check a record's further languages; one without a sound code is left out.

    Args:
        records: The attributes of each `<Language>`, in order.
        inherited: The attributes of `<ConversationRelay>`, which count where a language has none.
    """
    languages: list[Mapping[str, str]] = []
    remarks: list[str] = []
    faults: list[str] = []
    room = _ROOM_FOR_LANGUAGES
    for index, record in enumerate(records):
        field = f"{LANGUAGES_FIELD}[{index}]"
        reading = _read(record, LANGUAGE_ATTRIBUTES, field, room)
        language, room = reading.attributes, reading.room
        faults += reading.faults
        if "code" not in language:
            if not reading.is_faulty("code"):
                faults.append(f"{field}.code: missing")
            continue
        code = language["code"]
        faults += _mend_multi(language, {**inherited, **language}, field, code, code)
        remarks += reading.remarks
        if not {"ttsProvider", "voice"} <= language.keys():
            remarks.append(f"{field}: inherits a provider or voice that may not know the language")
        languages.append(language)
    return LanguageSettings(tuple(languages), tuple(remarks), tuple(faults))


@dataclass(slots=True)
class _Reading:
    """What a table of attributes says."""

    place: str
    """What to call the table in a fault."""
    room: int
    """Bytes that are left."""
    attributes: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def take(self, name: str, text: str) -> None:
        """Keep an attribute if there is room for it."""
        size = len(name) + len(quoteattr(text).encode(errors="replace")) + 2
        if size > self.room:
            self.refuse(name, "does not fit in a document of 64 kB")
        elif text:
            self.attributes[name] = text
            self.room -= size

    def refuse(self, name: str, fault: str) -> None:
        """Tell that an attribute is wrong."""
        self.faults.append(f"{self.place}.{name}: {fault}")

    def is_faulty(self, name: str) -> bool:
        """An attribute was given and is wrong."""
        return any(fault.startswith(f"{self.place}.{name}: ") for fault in self.faults)

    def drop_what_belongs(self) -> None:
        """Drop what was chosen for an attribute that is wrong."""
        for owner, owned in _BELONGS.items():
            for name in owned if self.is_faulty(owner) else ():
                if self.attributes.pop(name, None):
                    self.refuse(name, f"belongs to {owner}, which is wrong")


def _read(
    params: Mapping[str, object], table: Mapping[str, Check], field: str, room: int
) -> _Reading:
    reading = _Reading(field, room)
    for name, value in params.items():
        if name not in table:
            reading.remarks.append(f"{field}.{name}: the relay has no such attribute, dropped")
            continue
        try:
            if text := _as_text(name, value):
                reading.take(name, table[name](text))
        except ValueError as error:
            reading.refuse(name, str(error))
    reading.drop_what_belongs()
    return reading


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
        case list() | tuple() if name in _BETWEEN or len(value) == 1:
            texts = (_as_text("", each) for each in value)
            return _BETWEEN.get(name, "").join(text for text in texts if text)
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


def _mend_multi(
    attributes: dict[str, str], inforce: Mapping[str, str], field: str, spoken: str, heard: str
) -> list[str]:
    """Where the language is `multi`, only one provider knows it: it takes the other's place."""
    faults = []
    for language, name, provider, owned in (
        (spoken, "ttsProvider", "ElevenLabs", "voice"),
        (heard, "transcriptionProvider", "Deepgram", "speechModel"),
    ):
        if language.lower() == "multi" and inforce.get(name) != provider:
            faults.append(f"{field}.{name}: must be {provider} where the language is multi")
            attributes[name] = provider
            attributes.pop(owned, None)
    return faults


def _mend_eagerness(attributes: dict[str, str]) -> list[str]:
    limit = attributes.get("eotThreshold", _DEFAULT_EOT_THRESHOLD)
    eager = attributes.get("eagerEotThreshold")
    if eager is None or Decimal(eager) < Decimal(limit):
        return []
    del attributes["eagerEotThreshold"]
    return [f"{RECORD_FIELD}.eagerEotThreshold: must be below eotThreshold, which is {limit}"]


def _is_flux(attributes: Mapping[str, str]) -> bool:
    model = attributes.get("speechModel", "").lower()
    return attributes["transcriptionProvider"] == "Deepgram" and model.startswith("flux")
