"""What a line does without a provider of speech that has failed.

Twilio names the side that failed by the code of an `error` message, or of the action's `ErrorCode`:
64111 and 64112 are the voice's, 64114 the recognition's
(https://www.twilio.com/docs/api/errors/64114). A provider that has failed is not asked by new lines
of this process for a minute. In its place comes the backup of the use case; if it names none, or
that has failed as well, the next provider with the voice or model Twilio has for it. A language
`multi` is known to one provider only, so nothing takes its place.

What to do about a relay session that failed, by the carrier's error code.

Relay reference section 5. A code that is not known is taken for trouble of the line: a new one
costs a second, and the number of new lines is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.usecases.relay_attributes import DEFAULT_LANGUAGE, DEFAULT_VOICES

AVOIDED_SECONDS = 60.0
_KEPT_LINES = 10_000

Attributes = Mapping[str, str]


class SpeechSide(StrEnum):
    """Which of a line's two providers."""

    VOICE = "voice"
    TRANSCRIPTION = "transcription"


_SIDES = {64111: SpeechSide.VOICE, 64112: SpeechSide.VOICE, 64114: SpeechSide.TRANSCRIPTION}


@dataclass(frozen=True, slots=True)
class _Names:
    """How the attributes of a side are called."""

    provider: str
    language: str
    others: tuple[str, ...]
    """What belongs to the provider."""
    providers: tuple[str, ...]


_NAMES = {
    SpeechSide.VOICE: _Names(
        "ttsProvider",
        "ttsLanguage",
        ("voice", "elevenlabsTextNormalization", "elevenlabsLanguageTextNormalization"),
        ("ElevenLabs", "Amazon", "Google"),
    ),
    SpeechSide.TRANSCRIPTION: _Names(
        "transcriptionProvider",
        "transcriptionLanguage",
        ("speechModel", "eotThreshold", "eagerEotThreshold", "deepgramSmartFormat"),
        ("Deepgram", "Google"),
    ),
}


def failed_side(error_code: int) -> SpeechSide | None:
    """Whose provider an error code is about; None for any other trouble."""
    return _SIDES.get(error_code)


class SpeechHealth:
    """Which providers the lines of this process avoid."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[tuple[SpeechSide, str], float] = {}
        self._lines: OrderedDict[str, Attributes] = OrderedDict()

    def failed(self, call_sid: str, side: SpeechSide, otherwise: Attributes | None = None) -> str:
        """Note that a provider has failed a call; its name, empty if it is not known.

        Args:
            call_sid: The call.
            side: What has failed.
            otherwise: Attributes of the line if another process has connected it.
        """
        provider = self._lines.get(call_sid, otherwise or {}).get(_NAMES[side].provider, "")
        if provider:
            self._until[side, provider] = self._clock() + AVOIDED_SECONDS
        return provider

    def connected(
        self,
        call_sid: str,
        relay: Attributes,
        languages: Iterable[Attributes],
        backups: Mapping[SpeechSide, Attributes],
    ) -> tuple[Attributes, tuple[Attributes, ...]]:
        """The attributes a new line gets, of the relay and of each language.

        Args:
            call_sid: The call.
            relay: As the use case has them.
            languages: As the use case has them.
            backups: Of the use case; empty attributes for none.
        """
        spoken = tuple(languages)
        for side in SpeechSide:
            before, provider = relay, _NAMES[side].provider
            relay = self._without(side, before, before, backups.get(side, {}))
            same = {provider: relay.get(provider, "")}
            spoken = tuple(self._without(side, {**before, **each}, each, same) for each in spoken)
        self._lines[call_sid] = relay
        self._lines.move_to_end(call_sid)
        if len(self._lines) > _KEPT_LINES:
            self._lines.popitem(last=False)
        return relay, spoken

    def _without(
        self, side: SpeechSide, in_force: Attributes, own: Attributes, backup: Attributes
    ) -> Attributes:
        """A table of attributes without a provider that has failed."""
        names = _NAMES[side]
        language = own.get("code") or in_force.get(names.language) or in_force.get("language", "")
        provider = in_force.get(names.provider, "")
        if language.lower() == "multi" or not self._is_down(side, provider):
            return own
        kept = {name: text for name, text in own.items() if name not in names.others}
        if backup and not self._is_down(side, backup.get(names.provider, "")):
            return {**kept, **backup}
        for other in names.providers:
            if not self._is_down(side, other):
                return {**kept, names.provider: other, **_voice(side, other, language)}
        return own

    def _is_down(self, side: SpeechSide, provider: str) -> bool:
        return self._clock() < self._until.get((side, provider), 0.0)


def _voice(side: SpeechSide, provider: str, language: str) -> dict[str, str]:
    """Of a provider, for English; Twilio has one for any other language."""
    is_english = (language or DEFAULT_LANGUAGE).lower() == DEFAULT_LANGUAGE.lower()
    return {"voice": DEFAULT_VOICES[provider]} if side is SpeechSide.VOICE and is_english else {}


class ErrorRemedy(StrEnum):
    """What follows."""

    NEW_LINE = "new_line"
    """The same once more."""
    PLAIN_LINE = "plain_line"
    """The relay refused our settings: once more without those of voice and recognition."""
    OTHERS = "others"
    """The relay is not to be had: somebody else, or an apology."""
    NONE = "none"
    """Nobody is there to be helped."""


_REMEDIES = {
    64101: ErrorRemedy.PLAIN_LINE,  # invalid parameter
    64106: ErrorRemedy.PLAIN_LINE,  # a combination that the provider refused
    64109: ErrorRemedy.OTHERS,  # too many sessions in this account
    64110: ErrorRemedy.OTHERS,  # the account may not use the relay
    64104: ErrorRemedy.OTHERS,  # the longest call
    64108: ErrorRemedy.NONE,  # no audio any more: the call is gone
}

VOICE_ATTRIBUTES = frozenset(
    {
        "ttsProvider", "voice", "transcriptionProvider", "speechModel", "eotThreshold",
        "eagerEotThreshold", "speechTimeout", "elevenlabsTextNormalization",
        "ttsTextNormalization", "ttsLanguageTextNormalization", "deepgramSmartFormat",
        "asrSmartFormat", "turnDetection", "intelligenceService", "backgroundNoiseReduction",
    }
)  # fmt: skip
"""What a plain line does without: the carrier's defaults go together."""


def remedy(error_code: int) -> ErrorRemedy:
    """What to do about a session that failed with this code; 0 = none was given."""
    return _REMEDIES.get(error_code, ErrorRemedy.NEW_LINE)
