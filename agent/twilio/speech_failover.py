"""Speech providers that failed, and error codes of a relay session.

A provider that failed is avoided by new sessions of this process for `AVOIDED_SECONDS`. The backup
of the use case replaces it; without one, or if that failed as well, the next provider with Twilio's
default voice or model. A language `multi` is known to one provider only and is not replaced.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.call.after_session import SessionFault
from agent.usecases.relay_attributes import DEFAULT_LANGUAGE, DEFAULT_VOICES

AVOIDED_SECONDS = 60.0
_KEPT_SESSIONS = 10_000

Attributes = Mapping[str, str]


class SpeechSide(StrEnum):
    """One of the two providers of a session."""

    VOICE = "voice"
    TRANSCRIPTION = "transcription"


_FAILED_SIDES = {
    64111: SpeechSide.VOICE,  # https://www.twilio.com/docs/api/errors/64111
    64112: SpeechSide.VOICE,  # https://www.twilio.com/docs/api/errors/64112
    64114: SpeechSide.TRANSCRIPTION,  # https://www.twilio.com/docs/api/errors/64114
}
_FAULTS = {
    64101: SessionFault.SPEECH_SETTINGS,  # https://www.twilio.com/docs/api/errors/64101
    64106: SessionFault.SPEECH_SETTINGS,  # https://www.twilio.com/docs/api/errors/64106
    64104: SessionFault.UNAVAILABLE,  # https://www.twilio.com/docs/api/errors/64104 call too long
    64109: SessionFault.UNAVAILABLE,  # https://www.twilio.com/docs/api/errors/64109 account's limit
    64110: SessionFault.UNAVAILABLE,  # https://www.twilio.com/docs/api/errors/64110 not allowed
    64108: SessionFault.CALLER_GONE,  # https://www.twilio.com/docs/api/errors/64108 no audio
}


@dataclass(frozen=True, slots=True)
class _Names:
    provider: str
    language: str
    others: tuple[str, ...]  # attributes whose values are specific to a provider
    providers: tuple[str, ...]  # in order of preference


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
    """The side whose provider caused this error code; None for any other cause."""
    return _FAILED_SIDES.get(error_code)


def session_fault(error_code: int) -> SessionFault:
    """Why a session failed with this code (0 = none); an unknown one is a lost connection."""
    return _FAULTS.get(error_code, SessionFault.CONNECTION)


class SpeechHealth:
    """The providers that new sessions of this process avoid."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[tuple[SpeechSide, str], float] = {}
        self._sessions: OrderedDict[str, Attributes] = OrderedDict()

    def failed(self, call_sid: str, side: SpeechSide, otherwise: Attributes | None = None) -> str:
        """Note that a provider failed; returns its name, empty if it is not known.

        `otherwise` has the attributes of the session if another process connected it.
        """
        provider = self._sessions.get(call_sid, otherwise or {}).get(_NAMES[side].provider, "")
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
        """The attributes of a new session, of relay and languages, from those of the use case."""
        spoken = tuple(languages)
        for side in SpeechSide:
            before, provider = relay, _NAMES[side].provider
            relay = self._without(side, before, before, backups.get(side, {}))
            same = {provider: relay.get(provider, "")}
            spoken = tuple(self._without(side, {**before, **each}, each, same) for each in spoken)
        self._sessions[call_sid] = relay
        self._sessions.move_to_end(call_sid)
        if len(self._sessions) > _KEPT_SESSIONS:
            self._sessions.popitem(last=False)
        return relay, spoken

    def _without(
        self, side: SpeechSide, in_force: Attributes, own: Attributes, backup: Attributes
    ) -> Attributes:
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
    """The default voice of a provider, for English; Twilio has a default for other languages."""
    is_english = (language or DEFAULT_LANGUAGE).lower() == DEFAULT_LANGUAGE.lower()
    return {"voice": DEFAULT_VOICES[provider]} if side is SpeechSide.VOICE and is_english else {}


VOICE_ATTRIBUTES = frozenset(
    {
        "ttsProvider", "voice", "transcriptionProvider", "speechModel", "eotThreshold",
        "eagerEotThreshold", "speechTimeout", "elevenlabsTextNormalization",
        "ttsTextNormalization", "ttsLanguageTextNormalization", "deepgramSmartFormat",
        "asrSmartFormat", "turnDetection", "intelligenceService", "backgroundNoiseReduction",
    }
)  # fmt: skip
"""Left out when Twilio refused one of them: its defaults fit each other."""
